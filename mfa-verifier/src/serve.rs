//! One connection: who is at the other end, what they ask for, the conversation, the reply.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mfa_protocol::frame::{self, FrameError};
use mfa_protocol::message::{FailureKind, Reply, Request, ToFace};
use mfa_protocol::relay::decode;
use mfa_protocol::relayed::{Relayed, send};
use mfa_protocol::{OLDEST_VERSION, Outcome, PROTOCOL_VERSION, VERIFIER_BOUND, Verdict};
use nix::sys::socket::{getsockopt, sockopt};

use crate::audit::{Line, Log, Severity};
use crate::config::Config;
use crate::failure::failure;
use crate::login::login;
use crate::manage::manage;
use crate::process::Watchdog;
use crate::store::{Owner, Store};
use crate::users::Users;
use crate::world::{Configured, World};

/// What a connection is served with.
pub struct Service<'a> {
    /// `--config`.
    pub config: Option<&'a Path>,
    /// The system's users.
    pub users: &'a dyn Users,
    /// The clock, seconds since the Unix epoch.
    pub now: &'a dyn Fn() -> u64,
    /// The log.
    pub log: &'a dyn Log,
    /// Ends the process when a request takes too long.
    pub watchdog: &'a Watchdog,
}

impl Service<'_> {
    /// Serves one request. Whatever goes wrong, a face that can still be reached gets a reply, and
    /// that is no success.
    pub fn serve(&self, stream: &UnixStream) {
        self.watchdog.allow(VERIFIER_BOUND);
        let request = match admit(stream) {
            Ok(request) => request,
            Err(reason) => {
                let line = Line::new().value("request", Some("refused")).quoted("reason", &reason);
                self.log.write(Severity::Error, &line.finish());
                return;
            }
        };
        let reply = catch_unwind(AssertUnwindSafe(|| self.answer(stream, &request)))
            .unwrap_or_else(|_| {
                self.log.write(Severity::Error, "error=\"the verifier panicked\"");
                unusable(&request, "the verifier failed", "report this with the log's last lines")
            });
        // A face that is gone changes nothing: what was decided is on disk.
        let _ = send(stream, &ToFace::Done(Box::new(reply)));
    }

    fn answer(&self, stream: &UnixStream, request: &Request) -> Reply {
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
        let caller = match self.users.by_uid(0) {
            Ok(Some(root)) => root,
            _ => Owner { uid: 0, name: "root".to_owned() },
        };
        let archive = Configured::new(&config.store);
        let world = World {
            config: &config,
            archive: &archive,
            users: self.users,
            now: self.now,
            log: self.log,
            hostname: &hostname.to_string_lossy(),
            caller: &caller,
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

/// Only root is served here.
fn admit(stream: &UnixStream) -> Result<Request, String> {
    let peer = getsockopt(stream, sockopt::PeerCredentials)
        .map_err(|errno| format!("the peer is not known: {errno}"))?;
    if peer.uid() != 0 {
        return Err(format!("uid {} is not root", peer.uid()));
    }
    receive_request(stream).map_err(|error| error.to_string())
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
