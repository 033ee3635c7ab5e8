//! `mfa-reauth`: PAM's conversation with somebody who changes the own second factor.
//!
//! PAM modules are foreign code, and libpam loads them into the process that asks. The verifier holds
//! the sealing key, so it does not ask itself but starts this program, which knows nothing, on one
//! end of a socketpair. It reads one [`ReAuthentication`], asks what the modules of the service
//! `mfa-setup` ask, and ends with [`Reply::Done`] or [`Reply::Failed`].
//!
//! `pam_mfa.so` starts it, too, before somebody enrols at login: its own stack may have gone on behind a
//! wrong password.
//!
//! Nobody else has a use for it: it is not setuid, and answers only the process that started it.
//! Whoever did must end it past a bound of its own, since a module may hang. The verifier's child ends with
//! the thread that started it, or at the next question to somebody who is gone. With [`LEAVE`] it is
//! nobody's child, and ends as soon as whoever started it hangs up.
#![deny(unsafe_code)]

mod failure;
mod pam;
mod person;
mod proof;
mod service;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::{io, thread};

use mfa_protocol::connect::LEAVE;
use mfa_protocol::frame::{self, FrameError};
use mfa_protocol::message::{Failure, FailureKind, ReAuthentication, Reply, ToFace};
use mfa_protocol::relay::decode;
use mfa_protocol::relayed::{Relayed, send};
use mfa_protocol::{PROTOCOL_VERSION, VERIFIER_BOUND};
use mfa_sys::process::{belong_to_itself, is_from_parent, leave_the_parent};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, dup2_stdin};

fn main() -> ExitCode {
    // A panic is answered by a refusal; its message could quote what it must not.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let leaves = arguments == [LEAVE];
    // Modules read the environment, and this one is nobody's to fill; a PATH is not missed: modules
    // name their helpers in full, and what does not is found in /bin and /usr/bin (execvp(3)).
    if !(leaves || arguments.is_empty()) || std::env::vars_os().next().is_some() {
        eprintln!("mfa-reauth: error: only mfa-verifier and pam_mfa.so start this");
        return ExitCode::from(2);
    }
    let Some(stream) = connection() else {
        eprintln!("mfa-reauth: error: descriptor 0 is not a socket");
        return ExitCode::from(2);
    };
    let reply = catch_unwind(AssertUnwindSafe(|| answer(&stream, leaves)))
        .unwrap_or_else(|_| Err(failure::unusable("mfa-reauth failed")))
        .unwrap_or_else(Reply::Failed);
    // Who is gone has given up.
    match send(&stream, &ToFace::Done(Box::new(reply))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// The connection, which is then descriptor 0 no more: what modules start inherits that one, and
/// could speak for this program, or hold the connection open when it has died.
fn connection() -> Option<UnixStream> {
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
    stream.peer_addr().ok()?;
    dup2_stdin(File::open("/dev/null").ok()?).ok()?;
    Some(stream)
}

fn answer(stream: &UnixStream, leaves: bool) -> Result<Reply, Failure> {
    if leaves {
        // Before there is another parent.
        admit(stream)?;
        leave_the_parent()
            .map_err(|error| failure::unusable(&format!("no process can be made: {error}")))?;
    }
    belong_to_itself(c"mfa-reauth", &[0, 1, 2, stream.as_raw_fd()])
        .map_err(|error| failure::unusable(&error))?;
    if leaves {
        end_with(stream)
            .map_err(|error| failure::unusable(&format!("no thread can be made: {error}")))?;
    } else {
        // After the ids, whose change would undo it.
        prctl::set_pdeathsig(Signal::SIGKILL)
            .map_err(|errno| failure::unusable(&format!("prctl: {errno}")))?;
        // The parent may have died before it could be noticed, and then there is another one now.
        admit(stream)?;
    }
    let request = receive_request(stream).map_err(|error| failure::of_frame(&error))?;
    proof::prove(&request, &mut Relayed::new(stream, &|_| {}))?;
    Ok(Reply::Done { user: request.user })
}

/// The other end must have been made by this process's parent, and by root.
fn admit(stream: &UnixStream) -> Result<(), Failure> {
    match is_from_parent(stream) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure {
            kind: FailureKind::NotPermitted,
            error: "mfa-reauth answers only the program of root that started it".to_owned(),
            hint: "run mfa-setup".to_owned(),
        }),
        Err(errno) => Err(failure::unusable(&format!("the peer is not known: {errno}"))),
    }
}

/// Has this process killed when the other end hangs up, whatever a module of PAM's does then.
///
/// By a thread that does nothing else, and holds no lock that a module could find held when it forks.
fn end_with(stream: &UnixStream) -> io::Result<()> {
    let stream = stream.try_clone()?;
    let watch = move || {
        // A module's handlers are for its own thread.
        let _ = SigSet::all().thread_block();
        // Where it cannot be waited for, that is the end as well.
        let _ = hang_up_of(&stream);
        let _ = kill(Pid::this(), Signal::SIGKILL);
        // The first process of a pid namespace does not heed it.
        std::process::abort()
    };
    thread::Builder::new().name("watch".to_owned()).stack_size(64 * 1024).spawn(watch).map(drop)
}

/// Waits for the other end to hang up.
fn hang_up_of(stream: &UnixStream) -> nix::Result<()> {
    loop {
        let mut other_end = [PollFd::new(stream.as_fd(), PollFlags::POLLHUP)];
        match poll(&mut other_end, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            ended => return ended.map(drop),
        }
    }
}

/// Those that ask are installed together with this, so there is one version. A module that was loaded before an
/// upgrade is refused, and then nobody enrols at that login.
fn receive_request(stream: &UnixStream) -> Result<ReAuthentication, FrameError> {
    let payload = frame::receive(stream, VERIFIER_BOUND)?;
    match payload.split_first_chunk() {
        Some((version, rest)) => match u16::from_le_bytes(*version) {
            PROTOCOL_VERSION => decode(rest),
            other => Err(FrameError::Version(other)),
        },
        None => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::relay::encode;

    fn received(version: u16, rest: &[u8]) -> Result<ReAuthentication, FrameError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let payload = [&version.to_le_bytes(), rest].concat();
        frame::transmit(&theirs, &payload, VERIFIER_BOUND).unwrap();
        receive_request(&ours)
    }

    #[test]
    fn a_request_of_this_version_alone_is_read_and_only_whole() {
        let request =
            ReAuthentication { user: "alice".to_owned(), first_factor: true, at_login: false };
        let encoded = encode(&request).unwrap();
        let read = received(PROTOCOL_VERSION, &encoded).unwrap();
        assert_eq!((read.user.as_str(), read.first_factor), ("alice", true));
        for version in [0, PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1, u16::MAX] {
            let error = received(version, &encoded).unwrap_err();
            assert!(matches!(error, FrameError::Version(other) if other == version), "{error}");
        }
        for payload in [&[][..], &encoded[..encoded.len() - 1], &[&encoded[..], b"\0"].concat()] {
            let error = received(PROTOCOL_VERSION, payload).unwrap_err();
            assert!(matches!(error, FrameError::Malformed), "{error}");
        }
    }

    #[test]
    fn only_the_parent_is_answered() {
        // This process is not its own parent.
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(admit(&ours).unwrap_err().kind, FailureKind::NotPermitted);
    }
}
