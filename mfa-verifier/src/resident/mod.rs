//! The resident verifier: one process that serves root's faces, a thread for each connection.
//!
//! It greets before it answers: a face that is not greeted starts a verifier of its own, and what would
//! change something by itself is said only to somebody who has greeted. So a resident that is stopped,
//! stuck, full or dying costs a login a second at most, and nothing is carried out twice.

mod crew;
mod users;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mfa_protocol::VERIFIER_BOUND;
use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;

pub use self::crew::Crew;
use self::users::UsersListener;
use crate::audit::{Line, Log, Severity, Syslog};
use crate::mail::all_are_through;
use crate::process::end_now;
use crate::socket::Bound;
use crate::store::OpenDbs;

/// How long logins that are under way are waited for at the end, and then as long for their letters.
const FAREWELL: Duration = VERIFIER_BOUND;

/// How often it is looked whether something is stuck, and dbs are written. A face waits two seconds longer
/// than the verifier's own bound.
const GLANCE: Duration = Duration::from_secs(1);

/// Where it is to listen.
pub enum Place<'a> {
    /// On the socket that systemd listens on.
    Passed(UnixListener),
    /// On a socket of this name, and as [`crate::listen`] on another one for users.
    Named {
        /// For root's faces.
        root: &'a Path,
        /// For everybody else's.
        users: Option<&'a Path>,
    },
}

/// Serves until SIGTERM or SIGINT, and then waits for the logins that are under way, for as long as
/// a verifier may take. Who waits for a person even then is refused.
///
/// # Errors
/// Where it cannot begin.
pub fn reside(
    place: Place<'_>,
    config: Option<&Path>,
    open_dbs: &'static OpenDbs,
    serve: impl Fn(&UnixStream, Instant) + Send + Sync + 'static,
) -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    // Before there are threads, which inherit it: this one alone takes them.
    signals.thread_block()?;
    let (listener, bound, mut users) = match place {
        Place::Passed(listener) => (listener, None, None),
        Place::Named { root, users } => {
            let users = users.map(|users| UsersListener::start(users, config)).transpose()?;
            let bound = Bound::new(root, 0o600)?;
            (bound.listener().try_clone()?, Some(bound), users)
        }
    };
    spawn("doorbell", || deaf(&open_dbs.answer_others()))?;
    let crew = Crew::begin(listener, Box::new(serve))?;
    spawn("watchdog", || watch(open_dbs))?;
    spawn("writer", || write(open_dbs))?;
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    while signals.wait()? == Signal::SIGCHLD {
        if let Some(users) = &mut users {
            users.revive();
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    // Faces that come now find nobody here, and start verifiers of their own.
    drop(bound);
    crew.end(FAREWELL);
    all_are_through(FAREWELL);
    open_dbs.write();
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(work)?;
    Ok(())
}

/// Ends the process when a user's lock is held for too long, or a db is written or closed: a flush that is stuck in the kernel
/// keeps that user out of every verifier, and reacts to nothing less. What is slow without holding a
/// lock, such as a directory of users in the network, delays nobody else and is let be.
fn watch(open_dbs: &OpenDbs) {
    let pings = sd_notify::watchdog_enabled().is_some();
    while open_dbs.longest_held() <= VERIFIER_BOUND {
        if pings {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        thread::sleep(GLANCE);
    }
    complain("a user's lock was held for too long; the resident verifier ends itself");
    end_now()
}

/// A thread of its own: where the disk is stuck, so is this, and the watchdog must not be.
fn write(open_dbs: &OpenDbs) {
    loop {
        thread::sleep(GLANCE);
        open_dbs.write();
    }
}

/// Dbs that are open could then be had by nobody else.
fn deaf(why: &io::Error) {
    complain(&format!("inotify fails ({why}); the resident verifier ends itself"));
    end_now()
}

fn complain(error: &str) {
    let line = Line::new().quoted("error", error);
    Syslog::connect().write(Severity::Error, &line.finish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_waits_for_longer_than_the_resident_does_at_its_end() {
        let unit = include_str!("../../../packaging/systemd/mfa-verifier.service");
        let bound = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let bound = bound.and_then(|bound| bound.strip_suffix('s')?.parse().ok()).unwrap();
        assert!(Duration::from_secs(bound) > 2 * FAREWELL);
    }
}
