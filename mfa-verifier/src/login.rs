//! One login, from top to bottom.

use mfa_protocol::message::LoginRequest;
use mfa_protocol::{Answer, Conversation, ConversationError, Outcome, Prompt, Style, Verdict};

use crate::audit::{Line, Severity};
use crate::decision::{Decision, Given, Nobody, write_down};
use crate::factor::Typed;
use crate::factor::codes::{self, CodesError};
use crate::judge::{Attempt, Code, Judgement, Refusal, judge};
use crate::policy::{self, Requirement, Situation};
use crate::record::{BackupCodes, UserRecord};
use crate::source::Source;
use crate::store::{self, Change, MemoryStore, Owner, Store, StoreError};
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
    conversation: &mut dyn Conversation,
) -> Outcome {
    let source = Source::of(&request.service, request.rhost.as_deref());
    let user = world.users.by_name(&request.user);
    let decision = match &user {
        Ok(user) => decide(world, request, user.as_ref(), source, conversation),
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
    conversation: &mut dyn Conversation,
) -> Result<Decision, LoginError> {
    let stand_in;
    let store = if let Some(store) = open_store(world)? {
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
        Requirement::Exempt(exemption) => Ok(Decision::Exempt(exemption)),
        Requirement::Deny(denial) => Ok(Decision::Denied(denial)),
        Requirement::Challenge => {
            let subject = Subject::of(store, user, own)?;
            challenge(world, request, store, &subject, source, conversation)
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
    conversation: &mut dyn Conversation,
) -> Result<Decision, LoginError> {
    if let Some(password) = &request.password {
        let decision = answered(world, store, subject, source, Typed::of(password.expose()))?;
        if decision.verdict() == Verdict::Granted {
            advise(world, &decision, conversation);
            return Ok(decision);
        }
    }
    let decision = match conversation.ask(&prompt(world, request))? {
        Answer::RepeatsPassword => Decision::NoCode("repeats_password"),
        Answer::Text(text) => answered(world, store, subject, source, Typed::of(text.expose()))?,
    };
    advise(world, &decision, conversation);
    Ok(decision)
}

/// Judges one answer under the user's lock and saves what came of it.
fn answered(
    world: &World,
    store: &dyn Store,
    subject: &Subject,
    source: Source,
    typed: Typed,
) -> Result<Decision, LoginError> {
    let code = match typed {
        Typed::Empty => return Ok(Decision::NoCode("empty")),
        Typed::Misshapen => return Ok(Decision::NoCode("misshapen")),
        Typed::OneTimeCode(code) => Code::OneTime(code),
        // Slow, so it is done before the lock is taken.
        Typed::BackupCode(plain) => hash(&plain, &subject.record)?,
    };
    let given = Given::of(&code, &subject.record);
    let attempt = Attempt { code, source };
    let (judgement, codes_left) = store::update(store, &subject.owner, |record| {
        if !record.is_enrolled() {
            // Everything was taken from the user while the code was typed. A record that is empty
            // must not come of it.
            return Change::Keep((Judgement::Refused(Refusal::Misshapen), 0));
        }
        let (judgement, record) = judge(record, &attempt, (world.now)(), world.config);
        let codes_left = record.backup_codes.as_ref().map_or(0, BackupCodes::left);
        Change::Save(record, (judgement, codes_left))
    })?;
    Ok(match (judgement, subject.stands_for) {
        (_, Some(nobody)) => Decision::Nobody { given, nobody },
        (Judgement::Accepted(accepted), None) => Decision::Granted { accepted, codes_left },
        (Judgement::Refused(refusal), None) => Decision::Refused { given, refusal },
    })
}

/// Whose record is judged: the user's own, or a decoy for who has none.
struct Subject {
    owner: Owner,
    record: UserRecord,
    stands_for: Option<Nobody>,
}

impl Subject {
    fn of(store: &dyn Store, user: Option<&Owner>, own: UserRecord) -> Result<Self, LoginError> {
        let nobody = match user {
            Some(owner) if own.is_enrolled() => {
                return Ok(Self { owner: owner.clone(), record: own, stands_for: None });
            }
            Some(_) => Nobody::NotEnrolled,
            None => Nobody::Unknown,
        };
        // Any of them, so that they do not wait for each other.
        let owner = Owner::decoy(getrandom::u32()?);
        let (record, _) = store.load(&owner)?;
        Ok(Self { owner, record, stands_for: Some(nobody) })
    }
}

/// The store, if there is one to look at: a fresh host has none, and with the policy off nothing is
/// looked up, so that this way out works when all else is broken.
fn open_store<'a>(world: &World<'a>) -> Result<Option<&'a dyn Store>, StoreError> {
    if world.config.policy.mode.looks_at_records() { world.archive.open() } else { Ok(None) }
}

fn load(store: &dyn Store, user: Option<&Owner>) -> Result<UserRecord, StoreError> {
    match user {
        Some(owner) => Ok(store.load(owner)?.0),
        None => Ok(UserRecord::default()),
    }
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

fn hash(plain: &str, record: &UserRecord) -> Result<Code, CodesError> {
    let batch = record.backup_codes.as_ref();
    let salt = batch.map_or([0; 16], |batch| batch.salt);
    Ok(Code::Backup { batch: batch.map(|batch| batch.batch), hash: codes::hash(plain, &salt)? })
}

/// What the person learns beside the outcome.
fn advise(world: &World, decision: &Decision, conversation: &mut dyn Conversation) {
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
    Store(#[from] StoreError),
    #[error(transparent)]
    Codes(#[from] CodesError),
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the user database fails: {0}")]
    Users(String),
}

impl From<LoginError> for Decision {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Conversation(_) => Self::NoAnswer,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
