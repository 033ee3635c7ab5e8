//! Listening for users where systemd does not: a verifier, started anew, for each connection.
//!
//! This process answers nothing and holds no secret. It only keeps one user's connections from
//! taking what others need: so many at once in all, so many of one user, and those beyond are told
//! so, before a process is started for them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mfa_protocol::frame;
use mfa_protocol::message::{Failure, FailureKind, Reply, ToFace};
use mfa_protocol::relay::encode;
use mfa_protocol::trusted;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{getsockopt, sockopt};

use crate::failure::failure;
use crate::places::PER_USER;
use crate::socket::{Bound, is_passing};

/// Verifiers of all users at once, as many as `mfa-verifier-user.socket` allows.
const MOST: usize = 64;

/// How long a connection that is turned away may hold this process up. What is written fits into the
/// socket's buffer.
const FAREWELL: Duration = Duration::from_millis(10);

/// Listens at `path` until SIGTERM or SIGINT, and then takes the socket away. Verifiers that run go
/// on to their ends.
///
/// # Errors
/// Where the socket cannot be made, or no more connection accepted.
pub fn listen_for_users(path: &Path, config: Option<&Path>) -> io::Result<()> {
    let signals = signals()?;
    let bound = Bound::new(path, 0o666)?;
    bound.listener().set_nonblocking(true)?;
    let program = std::env::current_exe()?;
    let mut verifiers = Verifiers { program: &program, config, running: HashMap::new() };
    verifiers.serve(bound.listener(), &signals)
}

/// The signals that end this process or tell of a verifier's end, as something to wait for.
fn signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// The verifiers that run, by process number, each with its user.
struct Verifiers<'a> {
    /// What is started: by its name, so that an upgrade holds from then on.
    program: &'a Path,
    config: Option<&'a Path>,
    running: HashMap<u32, (Child, u32)>,
}

impl Verifiers<'_> {
    fn serve(&mut self, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
        loop {
            let mut ready = [
                PollFd::new(listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            while let Some(signal) = signals.read_signal()? {
                if signal.ssi_signo != Signal::SIGCHLD as u32 {
                    return Ok(());
                }
            }
            // One SIGCHLD may stand for several.
            self.running.retain(|_, (child, _)| matches!(child.try_wait(), Ok(None)));
            match listener.accept() {
                Ok((stream, _)) => self.admit(&stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_passing(&error) => pause(signals),
                Err(error) => return Err(error),
            }
        }
    }

    fn admit(&mut self, stream: &UnixStream) {
        let Ok(peer) = getsockopt(stream, sockopt::PeerCredentials) else { return };
        let uid = peer.uid();
        let of_user = self.running.values().filter(|(_, of)| *of == uid).count();
        if of_user >= share(self.running.len()) {
            let hint = "wait until others of them have ended";
            let why = "too many verifiers of users run at once";
            turn_away(stream, failure(FailureKind::Refused, why, hint));
            return;
        }
        match self.start(stream) {
            Ok(child) => drop(self.running.insert(child.id(), (child, uid))),
            Err(error) => {
                eprintln!("mfa-verifier: error: no verifier can be started: {error}");
                let hint = "look at limits on processes, memory and open files";
                let why = format!("no verifier can be started: {error}");
                turn_away(stream, failure(FailureKind::Unusable, why, hint));
            }
        }
    }

    fn start(&self, stream: &UnixStream) -> io::Result<Child> {
        let program = trusted::open_program(self.program).map_err(io::Error::other)?;
        // What was looked at is what runs: the opened file, not its name.
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command.arg0("mfa-verifier");
        if let Some(config) = self.config {
            command.arg("--config").arg(config);
        }
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// How many verifiers one user may have where so many run: [`PER_USER`], and the fewer the fewer places are left,
/// so that it takes many users to keep others out. Who has none gets the last one.
fn share(running: usize) -> usize {
    let left = MOST.saturating_sub(running);
    if left == 0 { 0 } else { (left / 2).clamp(1, PER_USER as usize) }
}

/// Waits a little, or for a verifier's end, which gives back what was lacking.
fn pause(signals: &SignalFd) {
    let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    // Whatever comes of it, the next connection is tried.
    let _ = poll(&mut ready, PollTimeout::from(100u8));
}

fn turn_away(stream: &UnixStream, why: Failure) {
    if let Ok(message) = encode(&ToFace::Done(Box::new(Reply::Failed(why)))) {
        // Who does not hear it has hung up.
        let _ = frame::transmit(stream, &message, FAREWELL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as they can get, one user after the other.
    fn users_who_fill_all() -> usize {
        let (mut running, mut users) = (0, 0);
        while share(running) > 0 {
            let mut own = 0;
            while own < share(running) {
                own += 1;
                running += 1;
            }
            users += 1;
        }
        assert_eq!(running, MOST);
        users
    }

    #[test]
    fn a_user_has_eight_while_there_is_room_and_less_when_there_is_little() {
        assert_eq!(share(0), 8);
        assert_eq!(share(MOST - 16), 8);
        assert_eq!(share(MOST - 6), 3);
        assert_eq!(share(MOST - 1), 1);
        assert_eq!(share(MOST), 0);
    }

    #[test]
    fn it_takes_more_users_than_eight_to_keep_others_out() {
        assert_eq!(users_who_fill_all(), 13);
    }
}
