//! What is asked for beside logging in.

use mfa_protocol::message::{
    Action, CodeStatus, DeviceStatus, Failure, FailureKind, FullStatus, Initialised, Key,
    ManageRequest, Reply, Status,
};
use mfa_protocol::{Conversation, Secret, Style, escape};

use crate::access_tokens;
use crate::audit::{Line, Severity, timestamp};
use crate::change::{alter, change, change_notes, find, load};
use crate::check::check;
use crate::enrol::{self, key};
use crate::examine::examine;
use crate::explain::explain;
use crate::export::export;
use crate::factor::codes;
use crate::factor::mail_code::MailCodes;
use crate::failure::{failure, not_enrolled, of_codes, of_users, usage};
use crate::helpdesk;
use crate::import::import;
use crate::invite::invite;
use crate::notices;
use crate::overview;
use crate::recall;
use crate::record::{Altered, BackupCodes, Device, MovingFactor, UserRecord};
use crate::resync::resync;
use crate::self_service::{Authority, Intent, authorise, permit};
use crate::store::Owner;
use crate::words::SCRATCH_CODES;
use crate::world::World;

/// Does what was asked, and writes down who asked for what.
pub fn manage(
    world: &World,
    request: &ManageRequest,
    conversation: &mut dyn Conversation,
) -> Reply {
    let owner = match owner(world, request) {
        Ok(owner) => owner,
        Err(failure) => return Reply::Failed(failure),
    };
    let addresses = if notices::is_told(&request.action) {
        // Of a record that cannot be read nothing is known.
        load(world, &owner).map(|record| {
            let is_news = helpdesk::changes(&record, &request.action);
            if is_news { notices::addresses(world, &owner, &record) } else { Vec::new() }
        })
    } else {
        Ok(Vec::new())
    };
    let result = act(world, &owner, &request.action, conversation);
    audit(world, &owner, &request.action, &result);
    if let (Ok(addresses), Ok(reply)) = (addresses, &result) {
        notices::send(world, &owner, &addresses, &request.action, reply);
    }
    result.unwrap_or_else(Reply::Failed)
}

fn owner(world: &World, request: &ManageRequest) -> Result<Owner, Failure> {
    let Some(name) = &request.user else { return Ok(world.caller.clone()) };
    match world.users.by_name(name) {
        Ok(Some(owner)) => Ok(owner),
        Ok(None) => Err(usage(
            format!("there is no user \"{}\"", escape::escape_bytes(name)),
            "look at the spelling, or at: getent passwd",
        )),
        Err(error) => Err(of_users(&error)),
    }
}

fn act(
    world: &World,
    owner: &Owner,
    action: &Action,
    conversation: &mut dyn Conversation,
) -> Result<Reply, Failure> {
    if !world.caller.is_root() && is_roots(action) {
        return Err(failure(
            FailureKind::NotPermitted,
            "only root can do that",
            "ask the administrator",
        ));
    }
    match action {
        Action::Status => {
            let record = load_to_show(world, owner, conversation)?;
            Ok(Reply::Status(status(&record, owner, (world.now)())))
        }
        Action::FullStatus => {
            let record = load_to_show(world, owner, conversation)?;
            Ok(Reply::FullStatus(Box::new(full_status(&record, owner, (world.now)()))))
        }
        Action::Codes => {
            let record = load_to_show(world, owner, conversation)?;
            Ok(Reply::Codes { user: owner.name.clone(), codes: code_list(&record) })
        }
        Action::ShowKey { label } => show_key(world, owner, label),
        Action::Unlock => change_notes(world, owner, |record| {
            unlock(record, (world.now)(), i64::from(world.config.widest_window()));
            Ok(())
        }),
        Action::Reset => helpdesk::reset(world, owner, conversation),
        Action::MakeBypass { lifetime, uses } => {
            helpdesk::make_bypass(world, owner, *lifetime, *uses)
        }
        Action::RevokeBypass => helpdesk::revoke_bypass(world, owner),
        Action::Disable { label } => helpdesk::disable(world, owner, label),
        Action::Enable { label } => helpdesk::enable(world, owner, label),
        Action::Require { required } => helpdesk::require(world, owner, *required),
        Action::Invite { lifetime } => invite(world, owner, *lifetime),
        Action::Initialise => initialise(world).map(Reply::Initialised),
        Action::Import(asked) => import(world, owner, asked),
        Action::Export { format } => export(world, owner, *format),
        Action::Users { after } => overview::list(world, *after).map(Reply::Users),
        Action::Check => check(world).map(Reply::Checked),
        Action::Examine => examine(world).map(Reply::Examined),
        Action::Explain(supposed) => {
            explain(world, owner, supposed).map(|explained| Reply::Explained(Box::new(explained)))
        }
        // Mistakes in what was asked for are found before a code is asked for.
        Action::Add(wanted) => {
            let record = load(world, owner)?;
            let permitted = permit(world, owner, &record, Intent::Add)?;
            let prepared = enrol::prepare(world, &record, wanted)?;
            let authority = authorise(world, owner, &record, permitted, conversation)?;
            enrol::add(world, owner, prepared, &authority, conversation).map(Reply::Added)
        }
        Action::Remove { label } => {
            let record = load(world, owner)?;
            let permitted = permit(world, owner, &record, Intent::Alter)?;
            known(&record, owner, label)?;
            let authority = authorise(world, owner, &record, permitted, conversation)?;
            alter(world, owner, &authority, Altered::Removed, label, |record| remove(record, label))
        }
        Action::MakeDefault { label } => {
            let record = load(world, owner)?;
            let permitted = permit(world, owner, &record, Intent::Alter)?;
            known(&record, owner, label)?;
            let authority = authorise(world, owner, &record, permitted, conversation)?;
            change(world, owner, |record| {
                let (id, now) = (find(record, label)?.id, (world.now)());
                if record.default == id {
                    return authority.spend(record, now);
                }
                authority.exercise(record, Altered::Default, label, now)?;
                record.default = id;
                Ok(())
            })
        }
        Action::NewCodes => {
            let record = load(world, owner)?;
            let permitted = permit(world, owner, &record, Intent::Alter)?;
            let authority = authorise(world, owner, &record, permitted, conversation)?;
            new_codes(world, owner, &authority)
        }
        Action::Resync { label } => {
            let record = load(world, owner)?;
            let permitted = permit(world, owner, &record, Intent::Resync)?;
            let device = known(&record, owner, label)?;
            if device.address().is_some() {
                let error = "codes are sent to this device; it has no clock";
                return Err(usage(error, "see: mfa-setup status"));
            }
            let authority = authorise(world, owner, &record, permitted, conversation)?;
            let found = resync(world, device, conversation)?;
            alter(world, owner, &authority, Altered::Resynchronised, label, |record| {
                found.apply(record, device)
            })
        }
        Action::NewToken(asked) => access_tokens::make(world, owner, asked, conversation),
        Action::Tokens => access_tokens::list(world, owner),
        Action::RevokeToken { name } => access_tokens::revoke(world, owner, name, conversation),
        Action::Remembered => recall::list(world, owner),
        // Nobody has to show who they are to be asked for a code again.
        Action::Forget { number } => recall::forget(world, owner, *number),
    }
}

/// The record, for who looks at it and at its backup codes.
fn load_to_show(
    world: &World,
    owner: &Owner,
    conversation: &mut dyn Conversation,
) -> Result<UserRecord, Failure> {
    let record = load(world, owner)?;
    if record.has_scratch_codes() {
        conversation.tell(Style::Info, SCRATCH_CODES);
    }
    Ok(record)
}

/// The device of this label, of somebody who is enrolled.
fn known<'a>(record: &'a UserRecord, owner: &Owner, label: &str) -> Result<&'a Device, Failure> {
    if record.is_enrolled() { find(record, label) } else { Err(not_enrolled(owner)) }
}

/// What users may not even do to their own records.
fn is_roots(action: &Action) -> bool {
    match action {
        Action::ShowKey { .. }
        | Action::Unlock
        | Action::Reset
        | Action::Invite { .. }
        | Action::Initialise
        | Action::Check
        | Action::Explain(_)
        | Action::Users { .. }
        | Action::MakeBypass { .. }
        | Action::RevokeBypass
        | Action::Disable { .. }
        | Action::Enable { .. }
        | Action::Require { .. }
        | Action::Examine
        | Action::Import(_)
        | Action::Export { .. } => true,
        // A key that is known elsewhere, or a device that nobody has shown to work.
        Action::Add(wanted) => wanted.secret.is_some() || !wanted.confirm,
        Action::Status
        | Action::FullStatus
        | Action::Codes
        | Action::Remove { .. }
        | Action::MakeDefault { .. }
        | Action::NewCodes
        | Action::Resync { .. }
        | Action::NewToken(_)
        | Action::Tokens
        | Action::RevokeToken { .. }
        | Action::Remembered
        | Action::Forget { .. } => false,
    }
}

fn initialise(world: &World) -> Result<Initialised, Failure> {
    let there = matches!(world.archive.open(), Ok(Some(_)));
    world.store_to_enrol_in()?;
    let store = &world.config.store;
    Ok(Initialised {
        store: store.path.display().to_string(),
        key_file: store.key_file.display().to_string(),
        made: !there,
    })
}

fn remove(record: &mut UserRecord, label: &str) -> Result<(), Failure> {
    let id = find(record, label)?.id;
    record.devices.retain(|device| device.id != id);
    if let Some(first) = record.devices.first() {
        if record.default == id {
            record.default = first.id;
        }
    } else {
        // Codes and tokens without a device would let in somebody who counts as not enrolled.
        record.default = 0;
        record.backup_codes = None;
        record.tokens.clear();
        record.remembered.clear();
        record.bypass = None;
    }
    Ok(())
}

fn new_codes(world: &World, owner: &Owner, authority: &Authority) -> Result<Reply, Failure> {
    let count = world.config.backup_codes.count;
    // Ten Argon2 evaluations: before the lock.
    let (batch, backup_codes) =
        codes::new_batch(count, (world.now)()).map_err(|error| of_codes(&error))?;
    alter(world, owner, authority, Altered::NewCodes, "", |record| {
        // They are not older than what is told of them, or they would make it unseen.
        record.backup_codes = Some(BackupCodes { made: (world.now)(), ..batch.clone() });
        Ok(())
    })?;
    Ok(Reply::NewCodes { user: owner.name.clone(), backup_codes })
}

fn show_key(world: &World, owner: &Owner, label: &str) -> Result<Reply, Failure> {
    let record = load(world, owner)?;
    let device = find(&record, label)?;
    if device.address().is_some() {
        return Err(usage("codes are sent to this device; it has no key", "see: mfa-setup status"));
    }
    let issuer = world.config.totp.issuer.replace("{hostname}", world.hostname);
    Ok(Reply::Key(Key {
        user: owner.name.clone(),
        label: device.label.clone(),
        secret: Secret::from(key::encode(&device.key).as_str()),
        uri: Secret::from(key::uri(device, &issuer, &owner.name).as_str()),
    }))
}

/// Forgets failures, waits, and steps that were accepted while the clock ran ahead. The steps that a
/// code could be right for at this moment stay used: one of them may have been accepted before the
/// clock went wrong.
fn unlock(record: &mut UserRecord, now: u64, window: i64) {
    record.lockout.unlock();
    record.mail_codes = MailCodes::default();
    for device in &mut record.devices {
        device.failures = 0;
        if let MovingFactor::Time { period, last_step, drift, candidate } = &mut device.moving {
            *candidate = None;
            let here = now / u64::from((*period).max(1));
            let latest = here.saturating_add_signed(i64::from(*drift).saturating_add(window));
            *last_step = last_step.map(|step| step.min(latest));
        }
    }
}

fn status(record: &UserRecord, owner: &Owner, now: u64) -> Status {
    let left = record.backup_codes.as_ref().map_or(0, BackupCodes::left);
    Status {
        user: owner.name.clone(),
        uid: owner.uid,
        devices: record
            .devices
            .iter()
            .map(|device| DeviceStatus {
                id: device.id,
                label: device.label.clone(),
                kind: device.kind(),
                default: device.id == record.default,
                added: device.added,
                last_used: device.last_used.map(|used| used.at),
                last_from: device.last_used.map(|used| used.from.to_string()),
                drift: device.drift(),
                failures: device.failures,
                disabled: device.disabled,
            })
            .collect(),
        backup_codes_left: u32::try_from(left).unwrap_or(u32::MAX),
        failures: record.lockout.all_failures(now),
        locked_until: Some(record.lockout.last_wait()).filter(|until| *until > now),
    }
}

/// What root has set, too, and the helpdesk has given.
fn full_status(record: &UserRecord, owner: &Owner, now: u64) -> FullStatus {
    FullStatus {
        status: status(record, owner, now),
        bypass: record.bypass.as_ref().and_then(|bypass| bypass.status(now)),
        required: record.required,
    }
}

fn code_list(record: &UserRecord) -> Vec<CodeStatus> {
    let codes = record.backup_codes.iter().flat_map(|batch| &batch.codes);
    codes
        .zip(1..)
        .map(|(code, number)| CodeStatus {
            number,
            used_at: code.used.map(|used| used.at),
            used_from: code.used.map(|used| used.from.to_string()),
        })
        .collect()
}

fn audit(world: &World, owner: &Owner, action: &Action, result: &Result<Reply, Failure>) {
    let (name, label) = match action {
        Action::Import(asked) => {
            let imported = match result {
                Err(_) => return write_down(world, owner, "import", None, result),
                Ok(reply) => notices::taken_over(asked, reply),
            };
            let Some(imported) = imported else { return };
            if imported.devices.is_empty() {
                // A device that was there has moved on.
                write_down(world, owner, "import", None, result);
            }
            for device in &imported.devices {
                write_down(world, owner, "import", Some(&device.label), result);
            }
            return;
        }
        Action::Export { .. } => ("export", None),
        // Looking changes nothing and shows no secret.
        Action::Status
        | Action::FullStatus
        | Action::Codes
        | Action::Check
        | Action::Explain(_)
        | Action::Tokens
        | Action::Remembered
        | Action::Examine
        | Action::Users { .. } => return,
        Action::Add(_) => match result {
            Ok(Reply::Added(added)) => ("add", Some(&added.label)),
            _ => ("add", None),
        },
        Action::Remove { label } => ("remove", Some(label)),
        Action::MakeDefault { label } => ("default", Some(label)),
        Action::NewCodes => ("new_codes", None),
        Action::ShowKey { label } => ("show_key", Some(label)),
        Action::Unlock => ("unlock", None),
        Action::Reset => ("reset", None),
        Action::Resync { label } => ("resync", Some(label)),
        Action::Invite { .. } => ("invite", None),
        Action::Initialise => match result {
            Ok(Reply::Initialised(Initialised { made: false, .. })) => return,
            _ => ("init", None),
        },
        Action::NewToken(asked) => ("new_token", Some(&asked.name)),
        Action::Forget { .. } => ("forget", None),
        Action::RevokeToken { name } => ("revoke_token", Some(name)),
        Action::MakeBypass { .. } => ("bypass", None),
        Action::RevokeBypass => ("revoke_bypass", None),
        Action::Disable { label } => ("disable", Some(label)),
        Action::Enable { label } => ("enable", Some(label)),
        Action::Require { required: true } => ("require", None),
        Action::Require { required: false } => ("require_off", None),
    };
    write_down(world, owner, name, label, result);
}

fn write_down(
    world: &World,
    owner: &Owner,
    name: &str,
    label: Option<&String>,
    result: &Result<Reply, Failure>,
) {
    let outcome = if result.is_ok() { "done" } else { "failed" };
    let mut line = Line::new()
        .value("action", Some(name))
        .value("outcome", Some(outcome))
        .quoted("user", &owner.name)
        .value("uid", Some(&owner.uid.to_string()))
        .quoted("by", &world.caller.name)
        .value("by_uid", Some(&world.caller.uid.to_string()));
    if let Some(label) = label {
        line = line.quoted("device", label);
    }
    if let Ok(Reply::BypassMade(made)) = result {
        line = line
            .value("left", Some(&made.bypass.uses_left.to_string()))
            .value("until", Some(&timestamp(made.bypass.expires)));
    }
    if let Err(failure) = result {
        line = line.quoted("error", &failure.error);
    }
    let severity = if result.is_ok() { Severity::Info } else { Severity::Notice };
    world.log.write(severity, &line.finish());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::factor::bypass;
    use crate::factor::otp::Finding;
    use crate::factor::otp::examine;
    use crate::factor::otp::tests::{code, device};
    use crate::factor::tokens::tests::token;
    use mfa_protocol::message::Algorithm;

    #[test]
    fn unlock_forgets_a_step_in_the_future_and_lets_no_recent_code_be_used_again() {
        let now = 3_000_000;
        let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
        phone.moving = MovingFactor::Time {
            period: 30,
            last_step: Some(now / 30 + 2_880),
            drift: 0,
            candidate: None,
        };
        let mut record = UserRecord { devices: vec![phone], ..UserRecord::default() };
        unlock(&mut record, now, 1);
        let phone = &record.devices[0];
        let give = |step: u64| examine(phone, &code(phone, step), step * 30, &Config::default());
        assert_eq!(give(now / 30 + 1), Finding::Used);
        assert!(matches!(give(now / 30 + 2), Finding::Right(_)));
    }

    #[test]
    fn with_the_last_device_codes_and_tokens_go_too_and_the_default_moves_on() {
        let mut record = UserRecord {
            devices: vec![device(b"1", Algorithm::Sha1, 6), device(b"2", Algorithm::Sha1, 6)],
            default: 1,
            backup_codes: Some(codes::new_batch(1, 0).unwrap().0),
            tokens: vec![token([0; 20])],
            bypass: Some(bypass::new_code().unwrap().1.made(0, 60, 1)),
            ..UserRecord::default()
        };
        record.devices[1].id = 2;
        record.devices[1].label = "tablet".to_owned();
        remove(&mut record, "phone").unwrap();
        assert_eq!(record.default, 2);
        assert!(record.backup_codes.is_some() && !record.tokens.is_empty());
        assert!(record.bypass.is_some());
        assert!(remove(&mut record, "phone").is_err());
        remove(&mut record, "tablet").unwrap();
        assert!(!record.is_enrolled());
        assert_eq!((record.backup_codes, record.tokens, record.bypass), (None, vec![], None));
    }
}
