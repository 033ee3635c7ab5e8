//! One login, from top to bottom.

use mfa_protocol::message::LoginRequest;
use mfa_protocol::{Answer, Conversation, ConversationError, Outcome, Secret, Verdict};

use crate::attempt::{AttemptError, Purpose, Subject, answered};
use crate::audit::{Line, Severity};
use crate::challenge::Challenge;
use crate::decision::{Decision, write_down};
use crate::factor::Typed;
use crate::newcomer::Newcomer;
use crate::policy::{self, Requirement, Situation};
use crate::reason::Reason;
use crate::recall::{self, Offer, recall};
use crate::record::{Device, UserRecord};
use crate::situation::{SituationError, situation};
use crate::store::{MemoryStore, Owner, Store, StoreError};
use crate::words::{advise, announce, inform, prompt, refuse};
use crate::world::{World, decoy};

/// Decides one login: who, which rule holds, what policy asks, what is given, whether it is right. The
/// outcome is returned only after the record is durable and the log line is written.
pub fn login(
    world: &World,
    request: &LoginRequest,
    purpose: Purpose,
    conversation: &mut dyn Conversation,
) -> Outcome {
    let user = world.users.by_name(&request.user);
    let known = user.as_ref().ok().and_then(Option::as_ref);
    let situation = match &user {
        Ok(_) => situation(world, request, known).map_err(LoginError::from),
        Err(error) => Err(LoginError::Users(error.to_string())),
    };
    let ruling = situation.as_ref().ok().map(|situation| policy::ruling(world.config, situation));
    let world = &World { config: ruling.as_ref().map_or(world.config, |r| &r.config), ..*world };
    let decided = situation.and_then(|situation| {
        let situation = &situation;
        Login { world, request, user: known, situation, purpose }.decide(conversation)
    });
    let (decision, offer) = decided.unwrap_or_else(|error| (error.into(), None));
    if !matches!(decision.verdict(), Verdict::Granted | Verdict::Exempt) {
        refuse(world, conversation);
    }
    write_down(world.log, request, known, ruling.as_ref(), &decision);
    if let Some((owner, offer)) = known.zip(offer) {
        recall::offer(world, owner, request, &offer, conversation);
    }
    decision.outcome(user.ok().flatten())
}

/// A login, and what holds for it.
#[derive(Clone, Copy)]
struct Login<'a> {
    /// Its configuration is the ruling's.
    world: &'a World<'a>,
    request: &'a LoginRequest,
    user: Option<&'a Owner>,
    situation: &'a Situation<'a>,
    purpose: Purpose,
}

impl Login<'_> {
    /// The decision, and what may be remembered of it.
    fn decide(
        &self,
        conversation: &mut dyn Conversation,
    ) -> Result<(Decision, Option<Offer>), LoginError> {
        let opened = self.open_store()?;
        let stand_in;
        let store = if let Some(store) = opened {
            store
        } else {
            let record = decoy(self.world.config)?;
            stand_in = MemoryStore::of_decoys(&record).map_err(StoreError::from)?;
            &stand_in
        };
        let own = self.load(store)?;
        // A code that is sent has to be noted somewhere.
        let lent = opened.and_then(|_| self.lent(&own));
        let config = policy::from_there(self.world.config, self.situation, &own, lent.as_ref());
        let here = Login { world: &World { config: &config, ..*self.world }, ..*self };
        let known = policy::Known::of(&own, lent.as_ref());
        let requirement = policy::requirement(&config.policy, self.situation, known);
        self.debug(requirement);
        match requirement {
            Requirement::Exempt(exemption) => {
                // Who is to be asked by mail is not let in for want of a place to note the code.
                if opened.is_none()
                    && exemption.is_for_want_of_a_device()
                    && self.lent(&own).is_some()
                {
                    return Err(LoginError::NoStore);
                }
                announce(self.world, exemption, &own, conversation);
                Ok((Decision::Exempt(exemption), None))
            }
            Requirement::Deny(denial) => Ok((Decision::Denied(denial), None)),
            Requirement::Challenge | Requirement::Enrol(_) => {
                if let Some(decision) = here.enrol(requirement, opened, &own, conversation)? {
                    return Ok((decision, None));
                }
                let subject = Subject::of(store, self.user, own, lent)?;
                here.challenge(store, &subject, conversation)
            }
        }
    }

    /// Leads to a first device where policy wants that and a person is there; `None`: a code is asked for.
    fn enrol(
        &self,
        requirement: Requirement,
        store: Option<&dyn Store>,
        own: &UserRecord,
        conversation: &mut dyn Conversation,
    ) -> Result<Option<Decision>, LoginError> {
        let (Requirement::Enrol(how), Some(owner), Purpose::Login) =
            (requirement, self.user, self.purpose)
        else {
            return Ok(None);
        };
        let store = store.ok_or(LoginError::NoStore)?;
        let newcomer = Newcomer { store, owner, record: own, how };
        Ok(newcomer.enrol(self.world, self.request, self.situation, conversation)?)
    }

    /// Asks nothing where a login is remembered, and else for a code.
    fn challenge(
        &self,
        store: &dyn Store,
        subject: &Subject,
        conversation: &mut dyn Conversation,
    ) -> Result<(Decision, Option<Offer>), LoginError> {
        let bond = recall::bond(self.world, self.request, self.purpose);
        if let Some(bond) = &bond
            && let Some(recalled) = recall(self.world, store, subject, bond)?
        {
            inform(&recalled.news, conversation);
            return Ok((Decision::Remembered(recalled), None));
        }
        let (decision, asked) = self.ask(store, subject, conversation)?;
        advise(self.world, &decision, conversation);
        let offer = bond.and_then(|bond| Offer::of(self.world, subject, bond, &decision, asked));
        Ok((decision, offer))
    }

    /// Judges the code that came along, or asks for one, and says whether it asked. Nothing is locked
    /// while a person types.
    fn ask(
        &self,
        store: &dyn Store,
        subject: &Subject,
        conversation: &mut dyn Conversation,
    ) -> Result<(Decision, bool), LoginError> {
        if let Some(brought) = &self.request.password {
            let decision = self.judge(store, subject, brought)?;
            if decision.verdict() == Verdict::Granted {
                return Ok((decision, false));
            }
        }
        let Self { world, situation, .. } = *self;
        let challenge = Challenge { world, store, subject, situation };
        let decision = match challenge.ask(prompt(world, self.request), conversation)? {
            Answer::RepeatsPassword => Decision::NoCode(Reason::RepeatsPassword),
            Answer::Text(text) => self.judge(store, subject, &text)?,
        };
        Ok((decision, true))
    }

    fn judge(
        &self,
        store: &dyn Store,
        subject: &Subject,
        given: &Secret,
    ) -> Result<Decision, AttemptError> {
        let typed = Typed::of(given.expose());
        answered(self.world, store, subject, self.situation, typed, self.purpose)
    }

    /// The store, if there is one to look at: a fresh host has none, and where policy asks nobody nothing
    /// is looked up, so that this way out works when all else is broken.
    fn open_store(&self) -> Result<Option<&dyn Store>, StoreError> {
        let needed = policy::looks_at_records(&self.world.config.policy, self.situation);
        if needed { self.world.archive.open() } else { Ok(None) }
    }

    fn load(&self, store: &dyn Store) -> Result<UserRecord, StoreError> {
        let stranger = Owner::stranger();
        Ok(store.load(self.user.unwrap_or(&stranger))?.0)
    }

    /// What policy lends to the user, or to somebody of that name whom the system does not know.
    fn lent(&self, own: &UserRecord) -> Option<Device> {
        let claimed = String::from_utf8_lossy(&self.request.user);
        let name = self.user.map_or(&*claimed, |owner| &owner.name);
        policy::lent(self.world.config, self.situation, name, own)
    }

    fn debug(&self, requirement: Requirement) {
        if self.request.debug {
            let text = format!("{requirement:?} from {}", self.situation.source);
            self.world.log.write(Severity::Debug, &Line::new().quoted("debug", &text).finish());
        }
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
    /// Root makes it: whoever logs in is not to decide where keys are kept.
    #[error("there is no store yet: mfa-setup init makes it")]
    NoStore,
    #[error(transparent)]
    Situation(#[from] SituationError),
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
