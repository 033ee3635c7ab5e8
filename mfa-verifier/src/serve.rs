//! One connection: who is at the other end, what they ask for, the conversation, the reply.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mfa_protocol::VERIFIER_BOUND;
use mfa_protocol::message::{Reply, Request, ToFace};
use mfa_protocol::relayed::{Relayed, send};

use crate::admission::{Admitted, TurnedAway, admit};
use crate::attempt::Purpose;
use crate::audit::{Line, Log, Severity};
use crate::config::ConfigFile;
use crate::failure::unusable;
use crate::local_time::Zone;
use crate::login::login;
use crate::mail;
use crate::manage::manage;
use crate::pam_services::PamD;
use crate::reauth::FirstFactor;
use crate::session::Session;
use crate::store::{OpenDbs, Store};
use crate::users::Users;
use crate::world::{Configured, World};

/// How long a verifier may take beyond the peer's time for its request before it counts as stuck.
const MARGIN: Duration = Duration::from_secs(1);

/// What an older `mfa-setup` is told in place of what it could not read.
const TOO_NEW: &str = "the answer has something in it that came after the program that asked";
const OF_ONE_VERSION: &str = "install mfa-setup and mfa-verifier from one version";

/// What a connection is served with.
pub struct Service<'a> {
    /// The policy file.
    pub config: &'a ConfigFile,
    /// The dbs that stay open between requests, where there is more than one.
    pub open_dbs: Option<&'a OpenDbs>,
    /// The system's users.
    pub users: &'a dyn Users,
    /// The clock, seconds since the Unix epoch.
    pub now: &'a dyn Fn() -> u64,
    /// How callers who are not root show who they are.
    pub first_factor: &'a dyn FirstFactor,
    /// The log.
    pub log: &'a dyn Log,
    /// Is told how long what comes next may take.
    pub allow: &'a dyn Fn(Duration),
}

impl Service<'_> {
    /// Serves one request, for which the face has not begun to wait before `since`. Whatever goes
    /// wrong, a face that can still be reached gets a reply, and that is no success.
    pub fn serve(&self, stream: &UnixStream, since: Instant) {
        // A peer that says nothing is given up first, and the log says so.
        (self.allow)(VERIFIER_BOUND + MARGIN);
        let admitted = catch_unwind(AssertUnwindSafe(|| admit(stream, self.users, self.log)));
        let reply = match admitted {
            Ok(Ok(admitted)) => {
                (self.allow)(VERIFIER_BOUND);
                self.reply(stream, &admitted, since + VERIFIER_BOUND)
            }
            Ok(Err(TurnedAway(Some(reply)))) => *reply,
            Ok(Err(TurnedAway(None))) => return,
            Err(_) => return self.say_panicked(),
        };
        // A face that is gone changes nothing: what was decided is on disk.
        let _ = send(stream, &ToFace::Done(Box::new(reply)));
    }

    fn reply(&self, stream: &UnixStream, admitted: &Admitted, until: Instant) -> Reply {
        catch_unwind(AssertUnwindSafe(|| self.answer(stream, admitted, until))).unwrap_or_else(
            |_| {
                self.say_panicked();
                let hint = "report this with the log's last lines";
                unusable(&admitted.request, "the verifier failed", hint)
            },
        )
    }

    fn say_panicked(&self) {
        self.log.write(Severity::Error, "error=\"the verifier panicked\"");
    }

    /// `until`: how long the face waits at most for a request that asks nothing.
    fn answer(&self, stream: &UnixStream, admitted: &Admitted, until: Instant) -> Reply {
        let Admitted { caller, pid, version, request, .. } = admitted;
        let config = match self.config.load() {
            Ok(config) => config,
            Err(error) => {
                let line = Line::new().value("outcome", Some("unavailable"));
                let line = line.quoted("error", &error.to_string());
                self.log.write(Severity::Error, &line.finish());
                return unusable(request, &error.to_string(), &error.hint());
            }
        };
        let until = Cell::new(until);
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        let archive = Configured::new(&config.store, self.open_dbs);
        let world = World {
            config: &config,
            policy_file: self.config.path(),
            archive: &archive,
            users: self.users,
            pam_services: &PamD,
            now: self.now,
            zone: &Zone::of_this_host,
            late: &|| until.get() < Instant::now(),
            log: self.log,
            hostname: &hostname.to_string_lossy(),
            caller,
            face_version: *version,
            session: &|| Session::of(*pid),
            first_factor: self.first_factor,
            mailer: &mail::Configured(&config.email),
        };
        let allow = |bound: Duration| {
            until.set(Instant::now() + bound);
            // Who is late says so.
            (self.allow)(bound.max(MARGIN));
        };
        let mut conversation = Relayed::new(stream, &allow);
        let reply = match request {
            Request::Login(request) => {
                Reply::Outcome(login(&world, request, Purpose::Login, &mut conversation))
            }
            Request::Unseen(request) => {
                Reply::Outcome(login(&world, request, Purpose::Unseen, &mut conversation))
            }
            Request::Manage(request) => manage(&world, request, &mut conversation),
        };
        // Most is mended when a record is saved.
        if let Some(store) = archive.opened() {
            report_healing(&world, store);
        }
        if reply.since() <= *version { reply } else { unusable(request, TOO_NEW, OF_ONE_VERSION) }
    }
}

/// Says in the log what the store had to mend.
fn report_healing(world: &World, store: &dyn Store) {
    for notice in store.notices() {
        world.log.write(Severity::Error, &Line::new().quoted("healed", &notice).finish());
    }
}
