//! Who is at the other end of a connection, and what they may ask.

use std::os::unix::net::UnixStream;

use mfa_protocol::frame::{self, FrameError};
use mfa_protocol::message::{FailureKind, Reply, Request};
use mfa_protocol::relay::decode;
use mfa_protocol::{OLDEST_VERSION, PROTOCOL_VERSION, VERIFIER_BOUND};
use nix::sys::socket::{getsockopt, sockopt};

use crate::audit::{Line, Log, Severity};
use crate::confine::confine;
use crate::failure::failure;
use crate::places::Place;
use crate::store::Owner;
use crate::users::Users;

/// Somebody who may go on, and what they ask.
pub struct Admitted {
    /// Who asks, as the kernel has it.
    pub caller: Owner,
    /// The process that asks, likewise.
    pub pid: i32,
    /// The version of the protocol that is spoken there.
    pub version: u16,
    /// What is asked, without what is not to be believed.
    pub request: Request,
    /// What a caller who is not root takes up of the places for users, until this is dropped.
    _place: Option<Place>,
}

/// How somebody is turned away: by this reply, or, where there was no request, by hanging up.
pub struct TurnedAway(pub Option<Box<Reply>>);

/// Admits root to everything, and everybody else to what is their own.
pub fn admit(
    stream: &UnixStream,
    users: &dyn Users,
    log: &dyn Log,
) -> Result<Admitted, TurnedAway> {
    let gate = Gate { log, uid: None };
    let (uid, pid) = match getsockopt(stream, sockopt::PeerCredentials) {
        Ok(peer) => (peer.uid(), peer.pid()),
        Err(errno) => return Err(gate.hang_up(&format!("the peer is not known: {errno}"))),
    };
    let gate = Gate { log, uid: Some(uid) };
    if uid == 0 {
        let (version, request) = gate.receive_request(stream)?;
        return Ok(Admitted { caller: root(users, &request), pid, version, request, _place: None });
    }
    let place = gate.place(uid)?;
    // Before anything is waited for: a user may have thousands of uids without a name (subuid(5)),
    // each with places of its own.
    let caller = match users.by_uid(uid) {
        Ok(Some(caller)) => caller,
        Ok(None) => return Err(gate.nameless("the caller's uid has no name on this host")),
        Err(error) => return Err(gate.nameless(&format!("the user database fails: {error}"))),
    };
    let (version, request) = gate.receive_request(stream)?;
    let request = confine(request, &caller, users)
        .map_err(|reply| gate.refuse("another user's record was asked for", *reply))?;
    Ok(Admitted { caller, pid, version, request, _place: Some(place) })
}

/// Root under the name that the system has for it. A login is not root's own, and asks for no name.
fn root(users: &dyn Users, request: &Request) -> Owner {
    let named = match request {
        Request::Manage(_) => users.by_uid(0).ok().flatten(),
        Request::Login(_) | Request::Unseen(_) => None,
    };
    named.unwrap_or_else(|| Owner { uid: 0, name: "root".to_owned() })
}

/// Where people are turned away, and who that is written down of.
struct Gate<'a> {
    log: &'a dyn Log,
    uid: Option<u32>,
}

impl Gate<'_> {
    /// A place for a verifier of this user.
    fn place(&self, uid: u32) -> Result<Place, TurnedAway> {
        match Place::take(uid) {
            Ok(Some(place)) => Ok(place),
            // Not written down: a thousand connections shall not fill the log.
            Ok(None) => Err(TurnedAway(Some(Box::new(Reply::Failed(failure(
                FailureKind::Refused,
                "this user has too many verifiers at once",
                "wait until others of them have ended",
            )))))),
            Err(error) => {
                let error = format!("the places for users cannot be had: {error}");
                let hint = "the administrator finds more in the system log";
                let reply = failure(FailureKind::Unusable, error.as_str(), hint);
                Err(self.refuse(&error, Reply::Failed(reply)))
            }
        }
    }

    fn receive_request(&self, stream: &UnixStream) -> Result<(u16, Request), TurnedAway> {
        receive_request(stream).map_err(|error| self.hang_up(&error.to_string()))
    }

    fn nameless(&self, why: &str) -> TurnedAway {
        let reply = failure(FailureKind::Unusable, why, "look at: getent passwd");
        self.refuse(why, Reply::Failed(reply))
    }

    fn refuse(&self, why: &str, reply: Reply) -> TurnedAway {
        self.write_down(why);
        TurnedAway(Some(Box::new(reply)))
    }

    fn hang_up(&self, why: &str) -> TurnedAway {
        self.write_down(why);
        TurnedAway(None)
    }

    fn write_down(&self, why: &str) {
        let uid = self.uid.map(|uid| uid.to_string());
        let line = Line::new()
            .value("request", Some("refused"))
            .value("by_uid", uid.as_deref())
            .quoted("reason", why);
        // What users do is no fault of the host.
        let severity = if self.uid == Some(0) { Severity::Error } else { Severity::Notice };
        self.log.write(severity, &line.finish());
    }
}

/// The request, and the version of the face that sent it.
fn receive_request(stream: &UnixStream) -> Result<(u16, Request), FrameError> {
    let payload = frame::receive(stream, VERIFIER_BOUND)?;
    match payload.split_first_chunk() {
        Some((version, rest)) => match u16::from_le_bytes(*version) {
            version @ OLDEST_VERSION..=PROTOCOL_VERSION => Ok((version, decode(rest)?)),
            other => Err(FrameError::Version(other)),
        },
        None => Err(FrameError::Malformed),
    }
}
