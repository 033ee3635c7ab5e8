//! One login, from top to bottom.

use mfa_protocol::message::LoginRequest;
use mfa_protocol::{Answer, Conversation, ConversationError, Outcome, Prompt, Style, Verdict};

use crate::alterations::tell;
use crate::attempt::{AttemptError, Purpose, Subject, answered};
use crate::audit::{Line, Severity};
use crate::decision::{Decision, write_down};
use crate::factor::Typed;
use crate::judge::Refusal;
use crate::policy::{self, Exemption, Requirement, Situation};
use crate::record::{Alteration, UserRecord};
use crate::source::Source;
use crate::store::{MemoryStore, Owner, Store, StoreError};
use crate::world::{World, decoy};

/// What somebody is told whose code was accepted before.
pub const ALREADY_USED: &str = "This code was already used; wait for the next one.";

/// What somebody is told whose device was used before the clock was set back.
const USED_AHEAD: &str =
    "This device was last used at a time that has not come yet; use a backup code.";

/// Decides one login: who, what policy asks, what is given, whether it is right. The outcome is
/// returned only after the record is durable and the log line is written.
pub fn login(
    world: &World,
    request: &LoginRequest,
    purpose: Purpose,
    conversation: &mut dyn Conversation,
) -> Outcome {
    let source = Source::of(&request.service, request.rhost.as_deref());
    let user = world.users.by_name(&request.user);
    let decision = match &user {
        Ok(user) => decide(world, request, user.as_ref(), source, purpose, conversation),
        Err(error) => Err(LoginError::Users(error.to_string())),
    };
    let decision = decision.unwrap_or_else(Decision::from);
    if !matches!(decision.verdict(), Verdict::Granted | Verdict::Exempt) {
        refuse_with_help(world, conversation);
    }
    let user = user.ok().flatten();
    write_down(world.log, request, user.as_ref(), &decision);
    decision.outcome(user)
}

fn decide(
    world: &World,
    request: &LoginRequest,
    user: Option<&Owner>,
    source: Source,
    purpose: Purpose,
    conversation: &mut dyn Conversation,
) -> Result<Decision, LoginError> {
    let stand_in;
    let store = if let Some(store) = open_store(world, request)? {
        store
    } else {
        let record = decoy(world.config)?;
        stand_in = MemoryStore::of_decoys(&record).map_err(StoreError::from)?;
        &stand_in
    };
    let own = load(store, user)?;
    let situation = Situation {
        service: &request.service,
        user_exists: user.is_some(),
        enrolled: own.is_enrolled(),
        first_factor: has_first_factor(request),
        nullok: request.nullok,
    };
    let requirement = policy::requirement(&world.config.policy, &situation);
    if request.debug {
        let line = Line::new().quoted("debug", &format!("{requirement:?} from {source}"));
        world.log.write(Severity::Debug, &line.finish());
    }
    match requirement {
        Requirement::Exempt(exemption) => {
            if exemption == Exemption::NotEnrolled {
                inform(&own.news((world.now)()), conversation);
            }
            Ok(Decision::Exempt(exemption))
        }
        Requirement::Deny(denial) => Ok(Decision::Denied(denial)),
        Requirement::Challenge => {
            let subject = Subject::of(store, user, own)?;
            challenge(world, request, store, &subject, source, purpose, conversation)
        }
    }
}

/// Asks for a code and judges it. Nothing is locked while a person types.
fn challenge(
    world: &World,
    request: &LoginRequest,
    store: &dyn Store,
    subject: &Subject,
    source: Source,
    purpose: Purpose,
    conversation: &mut dyn Conversation,
) -> Result<Decision, LoginError> {
    if let Some(password) = &request.password {
        let typed = Typed::of(password.expose());
        let decision = answered(world, store, subject, source, typed, purpose)?;
        if decision.verdict() == Verdict::Granted {
            advise(world, &decision, conversation);
            return Ok(decision);
        }
    }
    let decision = match conversation.ask(&prompt(world, request))? {
        Answer::RepeatsPassword => Decision::NoCode("repeats_password"),
        Answer::Text(text) => {
            let typed = Typed::of(text.expose());
            answered(world, store, subject, source, typed, purpose)?
        }
    };
    advise(world, &decision, conversation);
    Ok(decision)
}

/// The store, if there is one to look at: a fresh host has none, and with the policy off nothing is
/// looked up, so that this way out works when all else is broken.
fn open_store<'a>(
    world: &World<'a>,
    request: &LoginRequest,
) -> Result<Option<&'a dyn Store>, StoreError> {
    let needed = policy::looks_at_records(&world.config.policy, &request.service);
    if needed { world.archive.open() } else { Ok(None) }
}

fn load(store: &dyn Store, user: Option<&Owner>) -> Result<UserRecord, StoreError> {
    let stranger = Owner::stranger();
    Ok(store.load(user.unwrap_or(&stranger))?.0)
}

/// A method that sshd names, which is believed of sshd alone, or a password that some module read.
fn has_first_factor(request: &LoginRequest) -> bool {
    let named_by_sshd = request.service == "sshd"
        && request.ssh_auth_info.as_ref().is_some_and(|methods| !methods.trim().is_empty());
    named_by_sshd || request.password_given
}

fn prompt(world: &World, request: &LoginRequest) -> Prompt {
    let text = request.prompt.as_deref().unwrap_or(&world.config.login.prompt);
    if request.echo || world.config.login.echo {
        Prompt::visible(text)
    } else {
        Prompt::hidden(text)
    }
}

/// What the person learns beside the outcome.
fn advise(world: &World, decision: &Decision, conversation: &mut dyn Conversation) {
    if let Decision::Granted { news, .. } = decision {
        inform(news, conversation);
    }
    match decision {
        Decision::Refused { refusal: Refusal::Used { .. }, .. } => {
            conversation.tell(Style::Error, ALREADY_USED);
        }
        Decision::Refused { refusal: Refusal::UsedAhead { .. }, .. } => {
            conversation.tell(Style::Error, USED_AHEAD);
        }
        Decision::Granted { codes_left, .. }
            if *codes_left <= usize::from(world.config.backup_codes.low) =>
        {
            let text = match codes_left {
                0 => "No backup codes are left; make new ones with: mfa-setup codes new".to_owned(),
                1 => "1 backup code is left; make new ones with: mfa-setup codes new".to_owned(),
                n => format!("{n} backup codes are left; make new ones with: mfa-setup codes new"),
            };
            conversation.tell(Style::Info, &text);
        }
        _ => {}
    }
}

/// What was altered since the last login.
fn inform(news: &[Alteration], conversation: &mut dyn Conversation) {
    if let Some(text) = tell(news) {
        conversation.tell(Style::Info, &text);
    }
}

/// The same words for everybody who is refused.
fn refuse_with_help(world: &World, conversation: &mut dyn Conversation) {
    if !world.config.policy.help.is_empty() {
        conversation.tell(Style::Error, &world.config.policy.help);
    }
}

/// Why a login could not be decided.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error(transparent)]
    Attempt(#[from] AttemptError),
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the user database fails: {0}")]
    Users(String),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Attempt(error.into())
    }
}

impl From<LoginError> for Decision {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Conversation(_) => Self::NoAnswer,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
