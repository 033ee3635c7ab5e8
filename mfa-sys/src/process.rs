//! A process that belongs to itself.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, close, fork, getpid, getppid, setresgid, setresuid, setsid,
};

use crate::{default_priority, default_signals};

/// Whether the other end of this connection was made by this process's parent, and by root.
///
/// That the parent is process 1 would tell nothing: in a container it may be anybody, and one outside
/// of the pid namespace is 0, on both sides.
///
/// # Errors
/// Where the system does not say who made it.
pub fn is_from_parent(connection: &impl AsFd) -> nix::Result<bool> {
    let peer = getsockopt(connection, sockopt::PeerCredentials)?;
    Ok(peer.uid() == 0 && peer.pid() == getppid().as_raw())
}

/// How long a process that ends is waited for. It takes no time to speak of, unless it is stopped just then.
const MOMENT: Duration = Duration::from_secs(1);

/// Goes on in another process, which is nobody's child; the one that was the parent's has ended then, and
/// can be reaped before anything is heard of the other.
///
/// What serves a program that asks PAM must not be its child. Such a program may take whichever ends first
/// for what it has started itself: login(1) of util-linux closes the session then, since it takes it for
/// the user's shell. And to wait for the child is to wait for all that it does after its answer, so that
/// the time tells what that was.
///
/// Process 1, which it is where the parent has made a pid namespace for its children, stays: that
/// namespace ends with it. So does a child of process 1, to which whoever leaves it comes back: it would wait
/// for a child that it has started, and not for one that it has not.
///
/// # Errors
/// Where no process can be made, or there is a second thread. Nothing has changed then.
pub fn leave_the_parent() -> io::Result<()> {
    let first = Pid::from_raw(1);
    if getpid() == first || getppid() == first {
        return Ok(());
    }
    if !is_single_threaded()? {
        return Err(io::Error::other("other threads run"));
    }
    let left = getpid();
    // SAFETY: this thread is the only one, so no lock of a library's is held in the new process by one
    // that is not there, and it may do whatever this one might have done.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let deadline = Instant::now() + MOMENT;
            while getppid() == left && Instant::now() < deadline {
                thread::yield_now();
            }
            Ok(())
        }
        // SAFETY: it takes a number and does not return. Nothing runs on the way out: what is open or
        // unwritten is the other process's now.
        ForkResult::Parent { .. } => unsafe { libc::_exit(0) },
    }
}

fn is_single_threaded() -> io::Result<bool> {
    Ok(fs::read_dir("/proc/self/task")?.count() == 1)
}

/// Takes over nothing of whoever started it: identity, session, signals, priority, limits, directory,
/// umask, descriptors, and is called `name`. `keep` are the descriptors that stay open.
///
/// # Errors
/// The step that failed; the process is then not to be used.
pub fn belong_to_itself(name: &CStr, keep: &[i32]) -> Result<(), String> {
    // Fails where it is a session's leader already, which is as well.
    let _ = setsid();
    serve_in_the_foreground(name, keep)
}

/// The same for a process that stays in the session of whoever started it: a supervisor, or somebody
/// at a terminal, who ends it by ^C.
///
/// # Errors
/// As [`belong_to_itself`].
pub fn serve_in_the_foreground(name: &CStr, keep: &[i32]) -> Result<(), String> {
    let failed = |step: &'static str| move |error| format!("{step}: {error}");
    default_signals();
    default_priority();
    if nix::unistd::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
        setresgid(gid, gid, gid).map_err(failed("setresgid"))?;
        setresuid(uid, uid, uid).map_err(failed("setresuid"))?;
    }
    umask(Mode::from_bits_truncate(0o077));
    chdir("/").map_err(failed("chdir"))?;
    // No core dump and no debugger of the caller's: secrets are in this memory.
    prctl::set_dumpable(false).map_err(failed("prctl"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("setrlimit"))?;
    raise_limits();
    close_others(keep).map_err(|error| format!("/proc/self/fd: {error}"))?;
    // Its name would else be the descriptor's number that it was started through.
    let _ = prctl::set_name(name);
    Ok(())
}

/// The caller's limits are no business of this process; without `CAP_SYS_RESOURCE` they stay.
fn raise_limits() {
    let limits = [
        Resource::RLIMIT_AS,
        Resource::RLIMIT_CPU,
        Resource::RLIMIT_DATA,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_NPROC,
    ];
    for limit in limits {
        if let (Err(_), Ok((_, hard))) =
            (setrlimit(limit, RLIM_INFINITY, RLIM_INFINITY), getrlimit(limit))
        {
            // As far as it goes.
            let _ = setrlimit(limit, hard, hard);
        }
    }
    let _ = setrlimit(Resource::RLIMIT_NOFILE, 4_096, 4_096);
    let _ = setrlimit(Resource::RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
}

fn close_others(keep: &[i32]) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            open.push(number);
        }
    }
    for number in open {
        if !keep.contains(&number) {
            // The directory's own descriptor is among them, and closed by now.
            let _ = close::<i32>(number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_second_thread_is_noticed() {
        // The one that runs the tests, and this one.
        assert!(!is_single_threaded().unwrap());
    }

    #[test]
    fn a_connection_that_somebody_else_made_is_not_from_the_parent() {
        // This process is not its own parent.
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(!is_from_parent(&ours).unwrap());
    }
}
