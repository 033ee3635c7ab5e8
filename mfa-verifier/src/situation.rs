//! What policy looks at, gathered: from the request, and from the system where a rule asks for it.

use std::collections::BTreeSet;

use mfa_protocol::message::LoginRequest;

use crate::policy::{
    Situation, groups_that_matter, hinges_on_groups, hinges_on_local_time, needs_local_time,
};
use crate::source::Place;
use crate::store::Owner;
use crate::world::World;

/// The system does not say what policy has to know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SituationError {
    #[error("the user database fails: {0}")]
    Groups(#[from] std::io::Error),
    #[error(transparent)]
    Zone(#[from] crate::local_time::ZoneError),
}

/// The situation in which `user`, or somebody whom the system does not know, asks to be let in.
///
/// What the system fails to say is an error where it decides, and nowhere else: one group of a directory
/// that is down must not keep out whom another rule is for.
pub(crate) fn situation<'a>(
    world: &World,
    request: &'a LoginRequest,
    user: Option<&'a Owner>,
) -> Result<Situation<'a>, SituationError> {
    let place = Place::of(&request.service, request.rhost.as_deref(), request.tty.as_deref());
    let now = (world.now)();
    let zone = needs_local_time(world.config).then(world.zone).transpose();
    let mut situation = Situation {
        service: &request.service,
        user: user.map(|owner| owner.name.as_str()),
        groups: BTreeSet::new(),
        source: place.source(),
        address: place.address(),
        console: place == Place::Console,
        now,
        local: zone.as_ref().ok().and_then(Option::as_ref).map(|zone| zone.local(now)),
        first_factor: has_first_factor(request),
        nullok: request.nullok,
    };
    let groups = groups_that_matter(world.config, &situation);
    if !groups.is_empty() {
        // Also for whom the system does not know, so that it takes as long.
        let name = user.map_or(request.user.as_slice(), |owner| owner.name.as_bytes());
        match world.users.groups(name, &groups) {
            Ok(groups) => situation.groups = groups,
            Err(error) => {
                // One of this host's own may be enough.
                let alone = |group| world.users.groups(name, &BTreeSet::from([group]));
                situation.groups = groups.into_iter().flat_map(alone).flatten().collect();
                if hinges_on_groups(world.config, &situation) {
                    return Err(error.into());
                }
            }
        }
    }
    match zone {
        Err(error) if hinges_on_local_time(world.config, &situation) => Err(error.into()),
        _ => Ok(situation),
    }
}

/// A method that sshd names, or a password that some module read. That password may be wrong.
fn has_first_factor(request: &LoginRequest) -> bool {
    is_vouched_for(request) || request.password_given
}

/// Whether sshd names a method that succeeded, which is believed of sshd alone.
pub(crate) fn is_vouched_for(request: &LoginRequest) -> bool {
    request.service == "sshd"
        && request.ssh_auth_info.as_ref().is_some_and(|methods| !methods.trim().is_empty())
}
