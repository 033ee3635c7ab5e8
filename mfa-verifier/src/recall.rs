//! Remembered logins on their way to the record and back.

use mfa_protocol::message::{Failure, LoginRequest, Reply};
use mfa_protocol::{Answer, Conversation, Prompt};

use crate::attempt::{AttemptError, Purpose, Subject};
use crate::audit::{Line, Severity, timestamp};
use crate::change::{change_notes, load};
use crate::decision::Decision;
use crate::factor::Method;
use crate::failure::{of_situation, usage};
use crate::policy;
use crate::record::{Alteration, Remembered};
use crate::remember::{Bond, is_by_session};
use crate::situation::situation;
use crate::source::Place;
use crate::store::{self, Change, Owner, Store};
use crate::world::World;

/// A remembered login that stood in for a code.
#[derive(Debug)]
pub(crate) struct Recalled {
    /// When the code was given.
    pub(crate) since: u64,
    /// When it ends.
    pub(crate) until: u64,
    /// What was altered and is still to be told.
    pub(crate) news: Vec<Alteration>,
}

/// A login that was given a code, and could be remembered.
#[derive(Debug)]
pub(crate) struct Offer {
    bond: Bond,
    /// The factors that there were before the code was given.
    bound_to: [u8; 16],
    /// How often logins had been forgotten by then.
    forgotten: u32,
    given: Method,
    since: u64,
}

impl Offer {
    /// Of a decision; `asked` says whether the code was asked for.
    pub(crate) fn of(
        world: &World,
        subject: &Subject,
        bond: Bond,
        decision: &Decision,
        asked: bool,
    ) -> Option<Self> {
        let Decision::Granted { accepted, .. } = decision else { return None };
        let given = accepted.method();
        // A script needs none. A bypass code is good for as long and as often as the helpdesk said, and can be
        // revoked. And who brought the code along may have no way to answer a question.
        let is_for_once = matches!(given, Method::Token | Method::Bypass);
        if is_for_once || !asked && bond.question().is_some() {
            return None;
        }
        let record = subject.own_record()?;
        let (bound_to, forgotten) = (bond.digest(record), record.forgotten);
        Some(Self { bond, bound_to, forgotten, given, since: (world.now)() })
    }
}

/// What this login would be remembered by.
pub(crate) fn bond(world: &World, request: &LoginRequest, purpose: Purpose) -> Option<Bond> {
    let policy = &world.config.policy;
    // Read before anything is asked: whoever is heard afterwards is still the process it was.
    let session = is_by_session(policy, request).then(|| (world.session)()).flatten();
    Bond::of(policy, request, purpose, session)
}

/// The remembered login that makes a code unnecessary, if there is one. Its use is noted durably.
pub(crate) fn recall(
    world: &World,
    store: &dyn Store,
    subject: &Subject,
    bond: &Bond,
) -> Result<Option<Recalled>, AttemptError> {
    // Looked for in the record that is there already, a decoy's too, so that who is asked afterwards
    // has waited for no lock, and all of them equally long.
    let found = subject.record().recall(bond, (world.now)());
    if found.is_none() || subject.own_record().is_none() {
        return Ok(None);
    }
    store::update(store, subject.owner(), |mut record| {
        if (world.late)() {
            return Change::Keep(Err(AttemptError::Late));
        }
        let now = (world.now)();
        let found = record.recall(bond, now);
        let login = found.and_then(|index| record.remembered.get_mut(index));
        let Some(login) = login else { return Change::Keep(Ok(None)) };
        login.last_used = Some(now);
        let (since, until) = (login.since, login.until);
        let recalled = Recalled { since, until, news: record.news(now) };
        record.fit();
        Change::Save(record, Ok(Some(recalled)))
    })?
}

/// Asks whether the login is to be remembered, if that is asked, and remembers it. Whatever comes of
/// this, the login has been granted.
pub(crate) fn offer(
    world: &World,
    owner: &Owner,
    request: &LoginRequest,
    offer: &Offer,
    conversation: &mut dyn Conversation,
) {
    if let Some(question) = offer.bond.question()
        && !conversation.ask(&Prompt::yes_no(question)).is_ok_and(Answer::is_yes)
    {
        return;
    }
    let kept = keep(world, owner, offer);
    let done = matches!(kept, Ok(Kept::Until(_)));
    let line = Line::new()
        .value("action", Some("remember"))
        .value("outcome", Some(if done { "done" } else { "failed" }))
        .quoted("user", &owner.name)
        .value("uid", Some(&owner.uid.to_string()))
        .value("service", Some(&request.service))
        .value("rhost", request.rhost.as_deref());
    let (severity, line) = match kept {
        Ok(Kept::Until(until)) => (Severity::Info, line.value("until", Some(&timestamp(until)))),
        Ok(Kept::Changed) => {
            let error = "factors were changed or logins forgotten meanwhile";
            (Severity::Notice, line.quoted("error", error))
        }
        Ok(Kept::NoRoom) => {
            (Severity::Notice, line.quoted("error", "there is no room for it in the record"))
        }
        Err(error) => (Severity::Error, line.quoted("error", &error.to_string())),
    };
    world.log.write(severity, &line.finish());
}

/// What came of remembering.
enum Kept {
    /// It is remembered until then.
    Until(u64),
    /// It is not: a factor was changed, or logins were forgotten, since the code was given.
    Changed,
    /// It is not: the record is full.
    NoRoom,
}

fn keep(world: &World, owner: &Owner, offer: &Offer) -> Result<Kept, AttemptError> {
    let Some(store) = world.archive.open()? else { return Ok(Kept::Changed) };
    store::update(store, owner, |mut record| {
        if (world.late)() {
            return Change::Keep(Err(AttemptError::Late));
        }
        // One that was made anew since, for who is lent a mailbox, knows of no login.
        let mut sources = record.lockout.sources.iter();
        let is_same = record.is_enrolled() || sources.any(|source| source.last_success.is_some());
        let was_forgotten = !is_same || record.forgotten != offer.forgotten;
        if was_forgotten || offer.bond.digest(&record) != offer.bound_to {
            return Change::Keep(Ok(Kept::Changed));
        }
        match record.remember(&offer.bond, offer.given, offer.since) {
            Some(until) => Change::Save(record, Ok(Kept::Until(until))),
            None => Change::Keep(Ok(Kept::NoRoom)),
        }
    })?
}

/// What the owner may know of each that policy lets stand where it would be used.
pub(crate) fn list(world: &World, owner: &Owner) -> Result<Reply, Failure> {
    let record = load(world, owner)?;
    let mut logins = Vec::new();
    for login in &record.remembered {
        let again = again(login, owner);
        let situation =
            situation(world, &again, Some(owner)).map_err(|error| of_situation(&error))?;
        let ruling = policy::ruling(world.config, &situation);
        logins.extend(login.standing(&ruling.config.policy, situation.now));
    }
    Ok(Reply::Remembered { user: owner.name.clone(), logins })
}

/// A login that policy takes for such a one.
fn again(login: &Remembered, owner: &Owner) -> LoginRequest {
    let (rhost, tty) = match login.from {
        Place::Console => (None, Some("console".to_owned())),
        Place::Local => (None, None),
        Place::Address(address) => (Some(address.to_string()), None),
        // Whatever is no address.
        Place::Unknown => (Some("unknown".to_owned()), None),
    };
    LoginRequest {
        user: owner.name.clone().into_bytes(),
        service: login.service.clone(),
        rhost,
        tty,
        ..LoginRequest::default()
    }
}

/// Ends one, or all.
pub(crate) fn forget(world: &World, owner: &Owner, number: Option<u32>) -> Result<Reply, Failure> {
    change_notes(world, owner, |record| {
        let found = record.forget(number);
        if let (Some(number), false) = (number, found) {
            let error = format!("there is no remembered login {number}");
            return Err(usage(error, "see which there are: mfa-setup remembered"));
        }
        Ok(())
    })
}
