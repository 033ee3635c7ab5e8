//! Who may change a record: root, or its owner, who shows it by a first factor and a code.
//!
//! The verifier decides this; a face that says something else is not believed.

use mfa_protocol::message::{Failure, FailureKind, LoginRequest};
use mfa_protocol::{Conversation, Prompt, REAUTH_SERVICE, Secret};
use subtle::ConstantTimeEq;

use crate::attempt::{Purpose, Subject, answered};
use crate::audit::timestamp;
use crate::challenge::Challenge;
use crate::config::{Allow, EnrolAtLogin, Reauth};
use crate::decision::{Decision, write_down};
use crate::factor::{Typed, codes};
use crate::failure::{failure, not_enrolled, of_codes, of_conversation, of_situation, of_store};
use crate::judge::{Accepted, Refusal};
use crate::lockout::Barred;
use crate::policy;
use crate::reason::Reason;
use crate::record::{Alteration, Altered, Invitation, UserRecord};
use crate::situation::situation;
use crate::source::Source;
use crate::store::{self, Change, Decoy, Owner, Store};
use crate::world::World;

/// Seconds for which a permission is good: half an hour, in which a person can install an app.
const LIFETIME: u64 = 30 * 60;

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

/// What policy lets the caller do, before they have shown who they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permitted(Intent);

/// Asks policy.
pub(crate) fn permit(
    world: &World,
    owner: &Owner,
    record: &UserRecord,
    intent: Intent,
) -> Result<Permitted, Failure> {
    if world.caller.is_root() {
        return Ok(Permitted(intent));
    }
    let enrolled = record.is_enrolled();
    let refused = |what| Err(not_permitted(what, "ask the administrator"));
    match world.config.self_service.allow {
        Allow::None => refused("users do not change their own second factors on this host"),
        Allow::First if enrolled => {
            refused("users do not change what they have enrolled on this host")
        }
        Allow::First | Allow::All if enrolled || intent == Intent::Add => Ok(Permitted(intent)),
        Allow::First | Allow::All => Err(not_enrolled(owner)),
    }
}

/// The permission to alter one record once.
#[derive(Debug)]
pub(crate) enum Authority {
    /// Root needs to show nothing.
    Root,
    /// The owner has shown who they are.
    Owner {
        /// What stood in for the password; it ends with the change.
        invitation: Option<Invitation>,
        /// What the code was of; `None` where nothing was enrolled.
        factor: Option<Factor>,
        /// When it ends.
        until: u64,
    },
}

/// A factor that was right once, in a record that may be another by the time of the change.
#[derive(Debug)]
pub(crate) enum Factor {
    /// A device. Its number alone would not do: after a reset numbers begin anew.
    Device { id: u32, key: Secret },
    /// A batch of backup codes.
    BackupCodes { batch: u64 },
    /// A bypass code, which the helpdesk gives to who has lost the phone and is to enrol another.
    Bypass { salt: [u8; 16] },
}

impl Factor {
    fn of(accepted: &Accepted, record: &UserRecord) -> Option<Self> {
        match accepted {
            Accepted::Device { label, .. } => record
                .device(label)
                .map(|device| Self::Device { id: device.id, key: device.key.clone() }),
            Accepted::BackupCode { .. } => {
                record.backup_codes.as_ref().map(|codes| Self::BackupCodes { batch: codes.batch })
            }
            Accepted::Bypass { .. } => {
                record.bypass.as_ref().map(|bypass| Self::Bypass { salt: bypass.salt })
            }
            // A script's, and not its owner's.
            Accepted::Token { .. } => None,
        }
    }

    fn is_in(&self, record: &UserRecord) -> bool {
        match self {
            Self::Device { id, key } => record.devices.iter().any(|device| {
                // It may have been disabled since.
                !device.disabled
                    && device.id == *id
                    && bool::from(device.key.expose().ct_eq(key.expose()))
            }),
            Self::BackupCodes { batch } => {
                record.backup_codes.as_ref().is_some_and(|codes| codes.batch == *batch)
            }
            Self::Bypass { salt } => {
                record.bypass.as_ref().is_some_and(|bypass| bypass.salt == *salt)
            }
        }
    }
}

/// Obtains the permission to alter the owner's `record`, which may change while people type.
pub(crate) fn authorise(
    world: &World,
    owner: &Owner,
    record: &UserRecord,
    Permitted(intent): Permitted,
    conversation: &mut dyn Conversation,
) -> Result<Authority, Failure> {
    if world.caller.is_root() {
        return Ok(Authority::Root);
    }
    let store = world.managed_store()?;
    let until = (world.now)().saturating_add(LIFETIME);
    let invitation = first_factor(world, store, owner, record, conversation)?;
    let factor = match (record.is_enrolled(), store) {
        (false, _) => None,
        (true, Some(store)) => {
            Some(second_factor(world, store, owner, record, intent, conversation)?)
        }
        (true, None) => return Err(not_enrolled(owner)),
    };
    Ok(Authority::Owner { invitation, factor, until })
}

/// The permission to enrol a first device at a login that comes from `source`, for somebody whose first
/// factor was right, or who has an invitation where that is asked for. Who has none cannot be told from
/// who gives a wrong code.
pub(crate) fn authorise_newcomer(
    world: &World,
    store: &dyn Store,
    owner: &Owner,
    record: &UserRecord,
    how: EnrolAtLogin,
    source: Source,
    conversation: &mut dyn Conversation,
) -> Result<Authority, Failure> {
    let now = (world.now)();
    let until = now.saturating_add(LIFETIME);
    if how != EnrolAtLogin::Invite {
        return Ok(Authority::Owner { invitation: None, factor: None, until });
    }
    let prompt = Prompt::hidden("Invitation code: ");
    let answer = conversation.ask(&prompt).map_err(of_conversation)?.into_text();
    let Some(invitation) = open_invitation(record, now) else {
        let decoy = Decoy::take();
        let invitation = Invitation { salt: random()?, hash: random()?, expires: u64::MAX };
        return match judge_invitation(world, store, &decoy.owner(), &invitation, source, &answer) {
            Err(failure) if failure.kind == FailureKind::Unusable => Err(failure),
            _ => Err(refused("there is no invitation", ask_for_invitation(owner))),
        };
    };
    judge_invitation(world, store, owner, invitation, source, &answer)?;
    Ok(Authority::Owner { invitation: Some(invitation.clone()), factor: None, until })
}

impl Authority {
    /// Uses the permission on the record as it is now, before it is altered, and notes what will be.
    /// Every alteration ends all remembered logins: they stand in for what is altered.
    pub(crate) fn exercise(
        &self,
        record: &mut UserRecord,
        what: Altered,
        label: &str,
        now: u64,
    ) -> Result<(), Failure> {
        self.spend(record, now)?;
        record.remembered.clear();
        let by_root = matches!(self, Self::Root);
        record.note(Alteration { at: now, again: None, what, label: label.to_owned(), by_root });
        Ok(())
    }

    /// Uses the permission on the record as it is now. One that was reset meanwhile, or enrolled, or
    /// in which the factor or the invitation is not there any more, is another than was asked for.
    pub(crate) fn spend(&self, record: &mut UserRecord, now: u64) -> Result<(), Failure> {
        let Self::Owner { invitation, factor, until } = self else { return Ok(()) };
        let same_factor = match factor {
            Some(factor) => factor.is_in(record),
            None => !record.is_enrolled(),
        };
        let same_invitation = match invitation {
            Some(invitation) => {
                record.invitation.as_ref() == Some(invitation) && invitation.expires > now
            }
            None => true,
        };
        if !same_factor || !same_invitation || now > *until {
            return Err(refused(
                "what you gave to show who you are was used or replaced meanwhile, or is too old",
                "nothing was changed; look at it with: mfa-setup status",
            ));
        }
        if invitation.is_some() {
            record.invitation = None;
        }
        Ok(())
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
    let open = open_invitation(record, (world.now)());
    if let (Some(store), Some(invitation)) = (store, open) {
        let prompt = if by_password {
            "Invitation code, or nothing to give the password: "
        } else {
            "Invitation code: "
        };
        let answer =
            conversation.ask(&Prompt::hidden(prompt)).map_err(of_conversation)?.into_text();
        if !(by_password && answer.expose().is_empty()) {
            world.first_factor.prove(owner, false, conversation)?;
            judge_invitation(world, store, owner, invitation, Source::Local, &answer)?;
            return Ok(Some(invitation.clone()));
        }
    }
    if by_password {
        world.first_factor.prove(owner, true, conversation)?;
        return Ok(None);
    }
    Err(not_permitted("this needs an invitation", ask_for_invitation(owner)))
}

fn open_invitation(record: &UserRecord, now: u64) -> Option<&Invitation> {
    record.invitation.as_ref().filter(|invitation| invitation.expires > now)
}

/// Compares an invitation code under the same budget as backup codes. It is not used up before the
/// change is made.
fn judge_invitation(
    world: &World,
    store: &dyn Store,
    owner: &Owner,
    invitation: &Invitation,
    source: Source,
    answer: &Secret,
) -> Result<(), Failure> {
    let Typed::BackupCode(plain) = Typed::of(answer.expose()) else {
        return Err(refused("that is no invitation code", "it looks like xxxxx-xxxxx-xxxxx"));
    };
    let hash = codes::hash(&plain, &invitation.salt).map_err(|error| of_codes(&error))?;
    store::update(store, owner, |mut record| {
        let (now, rules) = ((world.now)(), &world.config.lockout);
        if let Err(Barred::Until(until)) = record.lockout.admit_backup_code(source, now, rules) {
            // Others are charged, which is written; that nothing is for this one must not be seen.
            return Change::Save(record, Err(barred(Some(until))));
        }
        if bool::from(invitation.hash.ct_eq(&hash)) && invitation.expires > now {
            return Change::Keep(Ok(()));
        }
        record.distrust_clock(now);
        record.lockout.charge_backup_code(source, now, rules);
        record.fit();
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
    let subject = Subject::own(owner, record.clone(), None);
    let request = LoginRequest {
        user: owner.name.clone().into_bytes(),
        service: REAUTH_SERVICE.to_owned(),
        ..LoginRequest::default()
    };
    // What does not let in must not lead to a device that does.
    let situation =
        situation(world, &request, Some(owner)).map_err(|error| of_situation(&error))?;
    let ruling = policy::ruling(world.config, &situation);
    let world = &World { config: &ruling.config, ..*world };
    let prompt = Prompt::hidden(prompt);
    let answer = if backup_code_only {
        conversation.ask(&prompt)
    } else {
        Challenge { world, store, subject: &subject, situation: &situation }
            .ask(prompt, conversation)
    };
    let answer = answer.map_err(of_conversation)?.into_text();
    let typed = match Typed::of(answer.expose()) {
        Typed::OneTimeCode(code)
            if backup_code_only && record.has_scratch_codes() && codes::is_scratch_code(&code) =>
        {
            Typed::BackupCode(code)
        }
        typed => typed,
    };
    if backup_code_only && !matches!(typed, Typed::BackupCode(_) | Typed::Bypass(_)) {
        return Err(refused("that is no backup code", "it looks like xxxxx-xxxxx-xxxxx"));
    }
    if matches!(typed, Typed::Token(_)) {
        return Err(refused("an access token changes nothing", "give a code of a device"));
    }
    let decision = answered(world, store, &subject, &situation, typed, Purpose::Change)
        .unwrap_or_else(|error| Decision::Unavailable(error.to_string()));
    write_down(world.log, &request, Some(owner), Some(&ruling), &decision);
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
        Decision::Refused { refusal: Refusal::Used { label }, .. } => {
            let another = "nothing was changed; each backup code is good once, so give another";
            let hint = if label.is_some() { again } else { another };
            Err(refused("this code was already used", hint))
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
        Decision::Refused { refusal: Refusal::NotSent, .. } => Err(refused(
            "no code that was sent is good any more",
            "nothing was changed; have one sent: Enter alone, or ?",
        )),
        Decision::Refused { refusal: Refusal::Disabled, .. } => Err(refused(
            "this device is disabled",
            "nothing was changed; use another one, or ask the administrator",
        )),
        Decision::Refused { refusal: Refusal::NotAccepted | Refusal::NewAddress, .. } => {
            Err(refused(
                "policy does not accept this factor",
                "nothing was changed; use another one, or ask the administrator",
            ))
        }
        Decision::Refused { refusal: Refusal::AnotherBatch, .. } => {
            Err(refused("the code was replaced meanwhile", "nothing was changed; use a new one"))
        }
        Decision::NoCode(Reason::NotAscii) => Err(refused(
            "codes are of 0-9, a-z, spaces and dashes; this answer has other characters",
            "nothing was changed; switch the keyboard to plain (half-width) digits",
        )),
        Decision::NoCode(_) | Decision::Refused { refusal: Refusal::Misshapen, .. } => {
            Err(refused("that is no code of what is enrolled", "see: mfa-setup status"))
        }
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

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| of_codes(&error.into()))?;
    Ok(bytes)
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
