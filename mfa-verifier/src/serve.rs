//! One connection: who is at the other end, what they ask for, the conversation, the reply.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use mfa_protocol::frame::{self, FrameError};
use mfa_protocol::message::{FailureKind, Reply, Request, ToFace};
use mfa_protocol::relay::decode;
use mfa_protocol::relayed::{Relayed, send};
use mfa_protocol::{OLDEST_VERSION, Outcome, PROTOCOL_VERSION, VERIFIER_BOUND, Verdict};
use nix::sys::socket::{getsockopt, sockopt};

use crate::audit::{Line, Log, Severity};
use crate::config::Config;
use crate::confine::confine;
use crate::failure::failure;
use crate::login::login;
use crate::manage::manage;
use crate::places::Place;
use crate::process::Watchdog;
use crate::reauth::FirstFactor;
use crate::store::{Owner, Store};
use crate::users::Users;
use crate::world::{Configured, World};

/// How long a verifier may take beyond the peer's time for its request before it counts as stuck.
const MARGIN: Duration = Duration::from_secs(1);

/// What a connection is served with.
pub struct Service<'a> {
    /// `--config`.
    pub config: Option<&'a Path>,
    /// The system's users.
    pub users: &'a dyn Users,
    /// The clock, seconds since the Unix epoch.
    pub now: &'a dyn Fn() -> u64,
    /// How callers who are not root show who they are.
    pub first_factor: &'a dyn FirstFactor,
    /// The log.
    pub log: &'a dyn Log,
    /// Ends the process when a request takes too long.
    pub watchdog: &'a Watchdog,
}

impl Service<'_> {
    /// Serves one request. Whatever goes wrong, a face that can still be reached gets a reply, and
    /// that is no success.
    pub fn serve(&self, stream: &UnixStream) {
        // A peer that says nothing is given up first, and the log says so.
        self.watchdog.allow(VERIFIER_BOUND + MARGIN);
        let reply = match self.admit(stream) {
            Ok(admitted) => {
                self.watchdog.allow(VERIFIER_BOUND);
                self.reply(stream, admitted)
            }
            Err(Refused::Silently) => return,
            Err(Refused::With(reply)) => reply,
        };
        // A face that is gone changes nothing: what was decided is on disk.
        let _ = send(stream, &ToFace::Done(Box::new(reply)));
    }

    /// Who asks, and what. Whoever is not root gets no farther with more than their own.
    fn admit(&self, stream: &UnixStream) -> Result<Admitted, Refused> {
        let uid = match getsockopt(stream, sockopt::PeerCredentials) {
            Ok(peer) => peer.uid(),
            Err(errno) => return Err(self.refuse(None, &format!("the peer is not known: {errno}"))),
        };
        let place = if uid == 0 { None } else { Some(self.place(uid)?) };
        // Before anything is waited for: a user may have thousands of uids without a name
        // (subuid(5)), each with places of its own.
        let caller = match self.users.by_uid(uid) {
            Ok(Some(caller)) => caller,
            _ if uid == 0 => Owner { uid: 0, name: "root".to_owned() },
            Ok(None) => return Err(self.nameless(uid, "the caller's uid has no name on this host")),
            Err(error) => {
                return Err(self.nameless(uid, &format!("the user database fails: {error}")));
            }
        };
        let request =
            receive_request(stream).map_err(|error| self.refuse(Some(uid), &error.to_string()))?;
        if uid == 0 {
            return Ok(Admitted { caller, request, _place: place });
        }
        let request = confine(request, &caller, self.users).map_err(|reply| {
            self.refuse(Some(uid), "the record of another user was asked for");
            Refused::With(reply)
        })?;
        Ok(Admitted { caller, request, _place: place })
    }

    fn place(&self, uid: u32) -> Result<Place, Refused> {
        let failed = |kind, error: &str, hint| {
            Refused::With(Reply::Failed(failure(kind, error.to_owned(), hint)))
        };
        match Place::take(uid) {
            Ok(Some(place)) => Ok(place),
            // Not logged: who has a thousand connections shall not fill the log with them.
            Ok(None) => {
                let hint = "wait until others of them have ended";
                Err(failed(FailureKind::Refused, "this user has too many verifiers at once", hint))
            }
            Err(error) => {
                let error = format!("places for users cannot be had: {error}");
                self.refuse(Some(uid), &error);
                let hint = "the administrator finds more in the system log";
                Err(failed(FailureKind::Unusable, &error, hint))
            }
        }
    }

    fn nameless(&self, uid: u32, error: &str) -> Refused {
        self.refuse(Some(uid), error);
        let failed = failure(FailureKind::Unusable, error, "look at: getent passwd");
        Refused::With(Reply::Failed(failed))
    }

    /// Writes down who was refused what.
    fn refuse(&self, uid: Option<u32>, reason: &str) -> Refused {
        let line = Line::new()
            .value("request", Some("refused"))
            .value("by_uid", uid.map(|uid| uid.to_string()).as_deref())
            .quoted("reason", reason);
        let severity = if uid == Some(0) { Severity::Error } else { Severity::Notice };
        self.log.write(severity, &line.finish());
        Refused::Silently
    }

    fn reply(&self, stream: &UnixStream, admitted: Admitted) -> Reply {
        let Admitted { caller, request, _place } = admitted;
        catch_unwind(AssertUnwindSafe(|| self.answer(stream, &caller, &request))).unwrap_or_else(
            |_| {
                self.log.write(Severity::Error, "error=\"the verifier panicked\"");
                unusable(&request, "the verifier failed", "report this with the log's last lines")
            },
        )
    }

    fn answer(&self, stream: &UnixStream, caller: &Owner, request: &Request) -> Reply {
        let config = match Config::load(self.config) {
            Ok(config) => config,
            Err(error) => {
                let line = Line::new().value("outcome", Some("unavailable"));
                let line = line.quoted("error", &error.to_string());
                self.log.write(Severity::Error, &line.finish());
                return unusable(request, &error.to_string(), &error.hint());
            }
        };
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        let archive = Configured::new(&config.store);
        let world = World {
            config: &config,
            archive: &archive,
            users: self.users,
            now: self.now,
            log: self.log,
            hostname: &hostname.to_string_lossy(),
            caller,
            first_factor: self.first_factor,
        };
        let allow = |bound| self.watchdog.allow(bound);
        let mut conversation = Relayed::new(stream, &allow);
        let reply = match request {
            Request::Login(request) => Reply::Outcome(login(&world, request, &mut conversation)),
            Request::Manage(request) => manage(&world, request, &mut conversation),
        };
        // Most is mended when a record is saved.
        if let Some(store) = archive.opened() {
            report_healing(&world, store);
        }
        reply
    }
}

/// Who may go on.
struct Admitted {
    caller: Owner,
    request: Request,
    _place: Option<Place>,
}

/// How somebody is turned away.
enum Refused {
    /// By hanging up: it was no request, and there is no reply to it.
    Silently,
    /// By a reply.
    With(Reply),
}

fn receive_request(stream: &UnixStream) -> Result<Request, FrameError> {
    let payload = frame::receive(stream, VERIFIER_BOUND)?;
    match payload.split_first_chunk() {
        Some((version, rest)) => match u16::from_le_bytes(*version) {
            OLDEST_VERSION..=PROTOCOL_VERSION => decode(rest),
            other => Err(FrameError::Version(other)),
        },
        None => Err(FrameError::Malformed),
    }
}

fn unusable(request: &Request, error: &str, hint: &str) -> Reply {
    match request {
        Request::Login(_) => Reply::Outcome(Outcome {
            verdict: Verdict::Unavailable,
            user: None,
            factor: None,
            label: None,
        }),
        Request::Manage(_) => Reply::Failed(failure(FailureKind::Unusable, error, hint)),
    }
}

/// Says in the log what the store had to mend.
fn report_healing(world: &World, store: &dyn Store) {
    for notice in store.notices() {
        world.log.write(Severity::Error, &Line::new().quoted("healed", &notice).finish());
    }
}
