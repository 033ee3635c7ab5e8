//! What was altered, told by mail as well: who altered it may be the next one to log in.

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::message::{Action, Import, Imported, Packed, Reply};

use crate::alterations::what_was;
use crate::audit::Line;
use crate::mail::{Address, Letter, Occasion};
use crate::policy::Situation;
use crate::record::{Altered, Device, UserRecord};
use crate::store::Owner;
use crate::world::World;

/// The addresses that a notice goes to, as the record had them before the alteration: a mailbox that is
/// taken out learns of it, too.
pub(crate) fn addresses(world: &World, owner: &Owner, record: &UserRecord) -> Vec<Address> {
    if world.config.email.from.is_none() {
        return Vec::new();
    }
    let own: Vec<_> = record.devices.iter().filter_map(Device::address).cloned().collect();
    if !own.is_empty() {
        return own;
    }
    let template = world.config.email.address.as_ref();
    template.and_then(|template| template.fill(&owner.name).ok()).into_iter().collect()
}

/// Tells them what was done, if anything was that the owner must know. Nobody waits for that.
pub(crate) fn send(
    world: &World,
    owner: &Owner,
    addresses: &[Address],
    action: &Action,
    reply: &Reply,
) {
    let Some(what) = in_words(action, reply) else { return };
    let by = if world.caller.is_root() && owner.uid != world.caller.uid { " by root" } else { "" };
    post(world, owner, addresses, &format!("{what}{by}"), (REAUTH_SERVICE, "local"));
}

/// Tells of a first device that was enrolled at a login. There, who has stolen the first factor may have
/// been quicker than the owner.
pub(crate) fn send_of_login(
    world: &World,
    owner: &Owner,
    record: &UserRecord,
    situation: &Situation,
    label: &str,
) {
    let what = format!("{}, at a login", what_was(Altered::Added, label));
    let addresses = addresses(world, owner, record);
    post(world, owner, &addresses, &what, (situation.service, &situation.from_where()));
}

/// Tells them what was done at this service, from there.
fn post(
    world: &World,
    owner: &Owner,
    addresses: &[Address],
    what: &str,
    (service, source): (&str, &str),
) {
    let text = format!("{}: {what}.", owner.name);
    for address in addresses {
        let now = (world.now)();
        let at = Occasion { host: world.hostname, user: &owner.name, service, source, now };
        let line = Line::new()
            .value("action", Some("send_notice"))
            .quoted("user", &owner.name)
            .value("uid", Some(&owner.uid.to_string()));
        drop(world.mailer.post(Some(Letter::notice(address, &text, &at)), line));
    }
}

/// None of what changes nothing that lets in.
fn in_words(action: &Action, reply: &Reply) -> Option<String> {
    let words = match (action, reply) {
        (Action::Add(_), Reply::Added(added)) => what_was(Altered::Added, &added.label),
        (Action::Remove { label }, _) => what_was(Altered::Removed, label),
        (Action::MakeDefault { label }, _) => what_was(Altered::Default, label),
        (Action::Resync { label }, _) => what_was(Altered::Resynchronised, label),
        (Action::NewCodes, _) => what_was(Altered::NewCodes, ""),
        (Action::NewToken(asked), _) => what_was(Altered::TokenMade, &asked.name),
        (Action::RevokeToken { name }, _) => what_was(Altered::TokenRevoked, name),
        (Action::Import(asked), reply) => {
            let imported = taken_over(asked, reply)?;
            let added =
                imported.devices.iter().map(|device| what_was(Altered::Added, &device.label));
            let codes = Some(imported.backup_codes).filter(|codes| *codes > 0);
            let codes = codes.map(|codes| format!("{codes} scratch codes became backup codes"));
            let words: Vec<_> = added.chain(codes).collect();
            return Some(words.join("; ")).filter(|words| !words.is_empty());
        }
        (Action::Reset, _) => "everything was reset".to_owned(),
        (Action::MakeBypass { .. }, _) => what_was(Altered::BypassMade, ""),
        (Action::RevokeBypass, _) => what_was(Altered::BypassRevoked, ""),
        (Action::Disable { label }, _) => what_was(Altered::Disabled, label),
        (Action::Enable { label }, _) => what_was(Altered::Enabled, label),
        (Action::Require { required: true }, _) => what_was(Altered::Required, ""),
        (Action::Require { required: false }, _) => what_was(Altered::NotRequired, ""),
        _ => return None,
    };
    Some(words)
}

/// What an import has changed; none where it has changed nothing, as a dry run has.
pub(crate) fn taken_over(asked: &Packed<Import>, reply: &Reply) -> Option<Imported> {
    let (Ok(asked), Reply::Imported(imported)) = (asked.open(), reply) else { return None };
    imported.open().ok().filter(|imported| imported.changed && !asked.dry_run)
}

/// Whether an action is one that is told.
pub(crate) fn is_told(action: &Action) -> bool {
    matches!(
        action,
        Action::Add(_)
            | Action::Remove { .. }
            | Action::MakeDefault { .. }
            | Action::Resync { .. }
            | Action::NewCodes
            | Action::NewToken(_)
            | Action::RevokeToken { .. }
            | Action::Import(_)
            | Action::Reset
            | Action::MakeBypass { .. }
            | Action::RevokeBypass
            | Action::Disable { .. }
            | Action::Enable { .. }
            | Action::Require { .. }
    )
}
