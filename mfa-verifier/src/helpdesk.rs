//! What root does for somebody else: a bypass code for who has lost the phone, a device that is out of somebody's hands,
//! a second factor that is required of one user, and a beginning anew.

use mfa_protocol::message::{Action, BypassStatus, Failure, MadeBypass, Reply};
use mfa_protocol::{Conversation, Style, escape};

use crate::access_tokens::no_room;
use crate::change::{alter, change_or_make, done, find, load};
use crate::factor::bypass;
use crate::failure::{of_codes, of_store, usage};
use crate::record::{Altered, Device, UserRecord};
use crate::self_service::Authority;
use crate::store::{self, Change, Owner, StoreError};
use crate::world::World;

/// Seconds for which a bypass code may be good: a month.
const LONGEST: u64 = 31 * 86_400;

/// Logins for which it may be.
const MOST_USES: u8 = 100;

/// Makes a bypass code in place of the one before, if there was one.
pub(crate) fn make_bypass(
    world: &World,
    owner: &Owner,
    lifetime: u64,
    uses: u32,
) -> Result<Reply, Failure> {
    if !(1..=LONGEST).contains(&lifetime) {
        return Err(usage("that is no time for a bypass code", "choose up to 31 days: --for 1h"));
    }
    let uses = u8::try_from(uses).ok().filter(|uses| (1..=MOST_USES).contains(uses));
    let uses = uses.ok_or_else(|| {
        let error = format!("a bypass code is good for 1 to {MOST_USES} logins");
        usage(error, "say for how many: --uses 2")
    })?;
    if !load(world, owner)?.is_enrolled() {
        return Err(nothing_to_bypass(owner));
    }
    // Argon2: before the lock.
    let (code, hashed) = bypass::new_code().map_err(|error| of_codes(&error))?;
    let mut expires = 0;
    alter(world, owner, &Authority::Root, Altered::BypassMade, "", |record| {
        let bypass = hashed.made((world.now)(), lifetime, uses);
        expires = bypass.expires;
        if record.grant(bypass) { Ok(()) } else { Err(no_room()) }
    })?;
    let bypass = BypassStatus { uses_left: uses.into(), expires };
    Ok(Reply::BypassMade(Box::new(MadeBypass { user: owner.name.clone(), code, bypass })))
}

fn nothing_to_bypass(owner: &Owner) -> Failure {
    let name = escape::escape(&owner.name);
    usage(
        format!("{name} is not enrolled, and a bypass code stands in for what is enrolled"),
        format!("a code by which {name} can enrol is made by: mfa-setup invite {name}"),
    )
}

/// Ends it, be it used up or not.
pub(crate) fn revoke_bypass(world: &World, owner: &Owner) -> Result<Reply, Failure> {
    let name = escape::escape(&owner.name);
    let none =
        || usage(format!("{name} has no bypass code"), format!("look at: mfa-setup show {name}"));
    if load(world, owner)?.bypass.is_none() {
        return Err(none());
    }
    alter(world, owner, &Authority::Root, Altered::BypassRevoked, "", |record| {
        record.bypass.take().map(|_| ()).ok_or_else(none)
    })
}

/// Has a device's codes refused, and those of others with the same key, and says how many devices are left.
pub(crate) fn disable(world: &World, owner: &Owner, label: &str) -> Result<Reply, Failure> {
    let mut record = load(world, owner)?;
    if changes(&record, &Action::Disable { label: label.to_owned() }) {
        alter(world, owner, &Authority::Root, Altered::Disabled, label, |altered| {
            let device = find(altered, label)?.clone();
            let same = altered.devices.iter_mut();
            let same = same.filter(|it| it.id == device.id || it.makes_codes_of(&device));
            same.for_each(|device| device.disabled = true);
            record.devices.clone_from(&altered.devices);
            Ok(())
        })?;
    }
    let left = record.devices.iter().filter(|device| !device.disabled).count();
    let enabled = u32::try_from(left).unwrap_or(u32::MAX);
    Ok(Reply::Disabled { user: owner.name.clone(), enabled })
}

/// Has them judged again.
pub(crate) fn enable(world: &World, owner: &Owner, label: &str) -> Result<Reply, Failure> {
    if !changes(&load(world, owner)?, &Action::Enable { label: label.to_owned() }) {
        return Ok(done(owner));
    }
    alter(world, owner, &Authority::Root, Altered::Enabled, label, |record| {
        let id = find(record, label)?.id;
        let of_label = record.devices.iter_mut().filter(|device| device.id == id);
        of_label.for_each(|device| device.disabled = false);
        Ok(())
    })
}

/// Whether an action would change the record: who says again what holds already is told nothing new, and nobody
/// else is.
pub(crate) fn changes(record: &UserRecord, action: &Action) -> bool {
    match action {
        Action::Disable { label } => record.device(label).is_none_or(|device| {
            let same = |it: &Device| it.id == device.id || it.makes_codes_of(device);
            record.devices.iter().any(|it| same(it) && !it.disabled)
        }),
        Action::Enable { label } => record.device(label).is_none_or(|device| device.disabled),
        Action::Require { required } => record.required != *required,
        _ => true,
    }
}

/// Requires a second factor of one user, or no longer. Somebody who has no record gets one that says so.
pub(crate) fn require(world: &World, owner: &Owner, required: bool) -> Result<Reply, Failure> {
    let what = if required { Altered::Required } else { Altered::NotRequired };
    if !changes(&load(world, owner)?, &Action::Require { required }) {
        return Ok(done(owner));
    }
    change_or_make(world, owner, |record| {
        Authority::Root.exercise(record, what, "", (world.now)())?;
        record.required = required;
        record.fit();
        Ok(())
    })
}

/// Forgets everything but that a second factor is required of the user, and that scratch codes came once: who has to enrol
/// anew must not get in without one until then, and what was used of the codes is not known any more.
pub(crate) fn reset(
    world: &World,
    owner: &Owner,
    conversation: &mut dyn Conversation,
) -> Result<Reply, Failure> {
    let Some(store) = world.managed_store()? else { return Ok(done(owner)) };
    match store.load(owner) {
        Ok((record, _)) if record.required || record.scratch_batch.is_some() => {
            store::update(store, owner, |record| {
                let UserRecord { required, scratch_batch, .. } = record;
                let blank = UserRecord { required, scratch_batch, ..UserRecord::default() };
                Change::Save(blank, ())
            })
        }
        Ok(_) => store.remove(owner),
        // Once more would take longer than anybody waits.
        Err(error @ StoreError::Busy(_)) => Err(error),
        Err(_) => store.remove(owner).map(|()| {
            let name = escape::escape(&owner.name);
            let unknown = format!(
                "whether a second factor was required of {name} could not be read; if so, say it again: \
                 mfa-setup require {name}"
            );
            conversation.tell(Style::Info, &unknown);
        }),
    }
    .map_err(|error| of_store(&error))?;
    Ok(done(owner))
}
