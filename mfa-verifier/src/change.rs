//! Changes of a record beside logging in.

use mfa_protocol::escape;
use mfa_protocol::message::{Failure, Reply};

use crate::failure::{not_enrolled, of_store, usage};
use crate::record::{Altered, Device, UserRecord};
use crate::self_service::Authority;
use crate::store::{self, Change, Owner, Store};
use crate::world::World;

/// [`change`]s a record so that its owner learns of it.
pub(crate) fn alter(
    world: &World,
    owner: &Owner,
    authority: &Authority,
    what: Altered,
    label: &str,
    mut alteration: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    change(world, owner, |record| {
        authority.exercise(record, what, label, (world.now)())?;
        alteration(record)
    })
}

/// Changes the record of somebody who is enrolled.
pub(crate) fn change(
    world: &World,
    owner: &Owner,
    decide: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    change_where(UserRecord::is_enrolled, world, owner, decide)
}

/// Changes what logins have noted, be it of somebody to whom policy only lends a device.
pub(crate) fn change_notes(
    world: &World,
    owner: &Owner,
    decide: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    change_where(|record| record.is_enrolled() || record.has_notes(), world, owner, decide)
}

fn change_where(
    is_one: impl Fn(&UserRecord) -> bool,
    world: &World,
    owner: &Owner,
    decide: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    let Some(store) = world.managed_store()? else { return Err(not_enrolled(owner)) };
    change_in(store, is_one, owner, decide)
}

fn change_in(
    store: &dyn Store,
    is_one: impl Fn(&UserRecord) -> bool,
    owner: &Owner,
    mut decide: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    store::update(store, owner, |mut record| {
        if !is_one(&record) {
            return Change::Keep(Err(not_enrolled(owner)));
        }
        match decide(&mut record) {
            Ok(()) => Change::Save(record, Ok(())),
            Err(failure) => Change::Keep(Err(failure)),
        }
    })
    .map_err(|error| of_store(&error))??;
    Ok(done(owner))
}

/// Changes the record of anybody, which is made where there is none.
pub(crate) fn change_or_make(
    world: &World,
    owner: &Owner,
    decide: impl FnMut(&mut UserRecord) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    change_in(world.store_to_enrol_in()?, |_| true, owner, decide)
}

/// The device of this label.
pub(crate) fn find<'a>(record: &'a UserRecord, label: &str) -> Result<&'a Device, Failure> {
    record.device(label).ok_or_else(|| {
        let known: Vec<String> =
            record.devices.iter().map(|d| format!("\"{}\"", escape::escape(&d.label))).collect();
        let hint = if known.is_empty() {
            "nothing is enrolled; see: mfa-setup status".to_owned()
        } else {
            format!("these are enrolled: {}", known.join(", "))
        };
        usage(format!("there is no device \"{}\"", escape::escape(label)), hint)
    })
}

/// The record as it stands; an empty one where there is none.
pub(crate) fn load(world: &World, owner: &Owner) -> Result<UserRecord, Failure> {
    let Some(store) = world.managed_store()? else { return Ok(UserRecord::default()) };
    let (record, _) = store.load(owner).map_err(|error| of_store(&error))?;
    Ok(record)
}

/// The answer where there is nothing to show.
pub(crate) fn done(owner: &Owner) -> Reply {
    Reply::Done { user: owner.name.clone() }
}
