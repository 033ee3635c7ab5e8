//! An invitation: root's one-time code for somebody who has no password that could be asked for.

use mfa_protocol::backup_code;
use mfa_protocol::message::{Failure, Reply};

use crate::access_tokens::no_room;
use crate::factor::codes::{self, SingleCode};
use crate::failure::{of_codes, of_store, usage};
use crate::record::Invitation;
use crate::store::{self, Change, Owner};
use crate::world::World;

/// Seconds for which an invitation may be good: a month.
const LONGEST: u64 = 31 * 86_400;

/// Makes an invitation in place of the one before, if there was one.
pub(crate) fn invite(world: &World, owner: &Owner, lifetime: u64) -> Result<Reply, Failure> {
    if !(1..=LONGEST).contains(&lifetime) {
        return Err(usage("that is no time for an invitation", "choose up to 31 days: --for 24h"));
    }
    // Argon2: before the lock.
    let SingleCode { plain, salt, hash } = codes::new_code().map_err(|error| of_codes(&error))?;
    let expires = (world.now)().saturating_add(lifetime);
    let invitation = Invitation { salt, hash, expires };
    store::update(world.store_to_enrol_in()?, owner, |mut record| {
        if record.invite(invitation.clone()) {
            Change::Save(record, Ok(()))
        } else {
            Change::Keep(Err(no_room()))
        }
    })
    .map_err(|error| of_store(&error))??;
    let code = backup_code::as_shown(&plain);
    Ok(Reply::Invited { user: owner.name.clone(), code, expires })
}
