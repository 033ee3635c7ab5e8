//! Who may change a record: root, or its owner, who shows it by a first factor and a code.
//!
//! The verifier decides this; a face that says something else is not believed.

use mfa_protocol::message::{Failure, FailureKind, LoginRequest};
use mfa_protocol::{Answer, Conversation, Prompt, REAUTH_SERVICE, Secret};
use subtle::ConstantTimeEq;

use crate::attempt::{Purpose, Subject, answered};
use crate::audit::timestamp;
use crate::config::{Allow, Reauth};
use crate::decision::{Decision, write_down};
use crate::factor::{Typed, codes};
use crate::failure::{failure, not_enrolled, of_codes, of_conversation, of_store};
use crate::judge::{Accepted, Refusal};
use crate::lockout::Barred;
use crate::record::{Alteration, Altered, Invitation, UserRecord};
use crate::source::Source;
use crate::store::{self, Change, Owner, Store};
use crate::world::World;

/// What somebody is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// To add a device, which may be the first.
    Add,
    /// To alter what is enrolled.
    Alter,
    /// To bring back a device by codes that are right at another time: only a backup code shows
    /// that its owner is there.
    Resync,
}

/// The permission to alter one record once.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    by_root: bool,
    /// What stood in for the password; it ends with the change.
    invitation: Option<Invitation>,
    /// What the code was of, where something is enrolled.
    factor: Option<Factor>,
}

/// A factor that was right once, in a record that may be another by the time of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    Device { id: u32, added: u64 },
    BackupCodes { batch: u64 },
}

impl Factor {
    fn of(accepted: &Accepted, record: &UserRecord) -> Option<Self> {
        match accepted {
            Accepted::Device { label, .. } => record
                .device(label)
                .map(|device| Self::Device { id: device.id, added: device.added }),
            Accepted::BackupCode { .. } => {
                record.backup_codes.as_ref().map(|codes| Self::BackupCodes { batch: codes.batch })
            }
        }
    }

    fn is_in(self, record: &UserRecord) -> bool {
        match self {
            Self::Device { id, added } => {
                record.devices.iter().any(|device| (device.id, device.added) == (id, added))
            }
            Self::BackupCodes { batch } => {
                record.backup_codes.as_ref().is_some_and(|codes| codes.batch == batch)
            }
        }
    }
}

/// Obtains the permission for the owner's record.
pub(crate) fn authorise(
    world: &World,
    owner: &Owner,
    intent: Intent,
    conversation: &mut dyn Conversation,
) -> Result<Authority, Failure> {
    if world.caller.is_root() {
        return Ok(Authority { by_root: true, ..Authority::default() });
    }
    let store = world.managed_store()?;
    let record = match store {
        Some(store) => store.load(owner).map_err(|error| of_store(&error))?.0,
        None => UserRecord::default(),
    };
    permit(world.config.self_service.allow, record.is_enrolled(), owner, intent)?;
    let invitation = first_factor(world, store, owner, &record, conversation)?;
    let factor = match store {
        Some(store) if record.is_enrolled() => {
            Some(second_factor(world, store, owner, &record, intent, conversation)?)
        }
        _ => None,
    };
    Ok(Authority { by_root: false, invitation, factor })
}

impl Authority {
    /// Uses the permission on the record as it is now, before it is altered, and notes what will be.
    pub(crate) fn exercise(
        &self,
        record: &mut UserRecord,
        what: Altered,
        label: &str,
        now: u64,
    ) -> Result<(), Failure> {
        record.note(Alteration { at: now, what, label: label.to_owned(), by_root: self.by_root });
        self.spend(record)
    }

    /// Ends the invitation. A record in which the factor or the invitation is not there any more,
    /// because it was reset, say, is another one than was asked for.
    pub(crate) fn spend(&self, record: &mut UserRecord) -> Result<(), Failure> {
        let same_invitation = self.invitation.is_none() || record.invitation == self.invitation;
        if !same_invitation || !self.factor.is_none_or(|factor| factor.is_in(record)) {
            return Err(failure(
                FailureKind::Refused,
                "what you gave to show who you are was used or replaced meanwhile",
                "nothing was changed; look at it with: mfa-setup status",
            ));
        }
        if self.invitation.is_some() {
            record.invitation = None;
        }
        Ok(())
    }
}

/// What policy lets owners do themselves.
fn permit(allow: Allow, enrolled: bool, owner: &Owner, intent: Intent) -> Result<(), Failure> {
    let first = !enrolled && intent == Intent::Add;
    match allow {
        Allow::None => Err(not_permitted(
            "users do not change their own second factors on this host",
            "ask the administrator",
        )),
        Allow::First if enrolled => Err(not_permitted(
            "users do not change what they have enrolled on this host",
            "ask the administrator",
        )),
        Allow::First | Allow::All if enrolled || first => Ok(()),
        Allow::First | Allow::All => Err(not_enrolled(owner)),
    }
}

/// The password, or an invitation in its place.
fn first_factor(
    world: &World,
    store: Option<&dyn Store>,
    owner: &Owner,
    record: &UserRecord,
    conversation: &mut dyn Conversation,
) -> Result<Option<Invitation>, Failure> {
    let by_password = world.config.self_service.reauth == Reauth::Password;
    let now = (world.now)();
    let open = record.invitation.as_ref().filter(|invitation| invitation.expires > now);
    if let (Some(store), Some(invitation)) = (store, open) {
        let prompt = if by_password {
            "Invitation code, or nothing to give the password: "
        } else {
            "Invitation code: "
        };
        let answer = text(conversation.ask(&Prompt::hidden(prompt)).map_err(of_conversation)?);
        if !(by_password && answer.expose().is_empty()) {
            world.first_factor.prove(owner, false, conversation)?;
            judge_invitation(world, store, owner, invitation, &answer)?;
            return Ok(Some(invitation.clone()));
        }
    }
    if by_password {
        world.first_factor.prove(owner, true, conversation)?;
        return Ok(None);
    }
    Err(not_permitted("this needs an invitation", ask_for_invitation(owner)))
}

/// Compares an invitation code under the same budget as backup codes. It is not used up before the
/// change is made.
fn judge_invitation(
    world: &World,
    store: &dyn Store,
    owner: &Owner,
    invitation: &Invitation,
    answer: &Secret,
) -> Result<(), Failure> {
    let Typed::BackupCode(plain) = Typed::of(answer.expose()) else {
        return Err(refused("that is no invitation code", "it looks like xxxxx-xxxxx-xxxxx"));
    };
    let hash = codes::hash(&plain, &invitation.salt).map_err(|error| of_codes(&error))?;
    store::update(store, owner, |mut record| {
        let (now, rules) = ((world.now)(), &world.config.lockout);
        if let Err(Barred::Until(until)) =
            record.lockout.admit_backup_code(Source::Local, now, rules)
        {
            return Change::Keep(Err(barred(Some(until))));
        }
        if bool::from(invitation.hash.ct_eq(&hash)) {
            return Change::Keep(Ok(()));
        }
        record.lockout.charge_backup_code(Source::Local, now, rules);
        Change::Save(
            record,
            Err(refused("the invitation code is not right", ask_for_invitation(owner))),
        )
    })
    .map_err(|error| of_store(&error))?
}

/// A code of a factor that is enrolled. Whose device is far off the clock gives a backup code.
fn second_factor(
    world: &World,
    store: &dyn Store,
    owner: &Owner,
    record: &UserRecord,
    intent: Intent,
    conversation: &mut dyn Conversation,
) -> Result<Factor, Failure> {
    let backup_code_only = intent == Intent::Resync;
    let prompt = if backup_code_only {
        "A backup code: "
    } else {
        "A code of a device that is enrolled, or a backup code: "
    };
    let answer = text(conversation.ask(&Prompt::hidden(prompt)).map_err(of_conversation)?);
    let typed = Typed::of(answer.expose());
    if backup_code_only && !matches!(typed, Typed::BackupCode(_)) {
        return Err(refused("that is no backup code", "it looks like xxxxx-xxxxx-xxxxx"));
    }
    let subject = Subject::own(owner, record.clone());
    let decision = answered(world, store, &subject, Source::Local, typed, Purpose::Change)
        .unwrap_or_else(|error| Decision::Unavailable(error.to_string()));
    let request = LoginRequest {
        user: owner.name.clone().into_bytes(),
        service: REAUTH_SERVICE.to_owned(),
        ..LoginRequest::default()
    };
    write_down(world.log, &request, Some(owner), &decision);
    accept(&decision, record)
}

fn accept(decision: &Decision, record: &UserRecord) -> Result<Factor, Failure> {
    let again = "nothing was changed; wait for the next code and try again";
    match decision {
        Decision::Granted { accepted, .. } => Factor::of(accepted, record).ok_or_else(|| {
            refused("the device was replaced meanwhile", "look at it with: mfa-setup status")
        }),
        Decision::Refused { refusal: Refusal::Barred(Barred::Until(until)), .. } => {
            Err(barred(Some(*until)))
        }
        Decision::Refused { refusal: Refusal::Barred(Barred::Disabled), .. } => Err(barred(None)),
        Decision::Refused { refusal: Refusal::Used { .. }, .. } => {
            Err(refused("this code was already used", again))
        }
        Decision::Refused { refusal: Refusal::UsedAhead { .. }, .. } => Err(refused(
            "this device was last used at a time that has not come yet",
            "nothing was changed; use a backup code",
        )),
        Decision::Unavailable(error) => Err(failure(
            FailureKind::Unusable,
            error.clone(),
            "look for lines of pam_mfa in the system log",
        )),
        _ => Err(refused("the code is not right", again)),
    }
}

fn barred(until: Option<u64>) -> Failure {
    let error = match until {
        Some(until) => format!("too many codes were wrong; not before {}", timestamp(until)),
        None => "too many codes were wrong".to_owned(),
    };
    refused(error, "nothing was changed; wait, use a backup code, or ask the administrator")
}

/// The text of an answer; a repeated password is nobody's code.
fn text(answer: Answer) -> Secret {
    match answer {
        Answer::Text(text) => text,
        Answer::RepeatsPassword => Secret::default(),
    }
}

fn ask_for_invitation(owner: &Owner) -> String {
    let name = mfa_protocol::escape::escape(&owner.name);
    format!("ask the administrator for: mfa-setup invite {name}")
}

fn refused(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    failure(FailureKind::Refused, error, hint)
}

fn not_permitted(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    failure(FailureKind::NotPermitted, error, hint)
}
