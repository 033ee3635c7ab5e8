//! A process that belongs to itself.

use std::ffi::CStr;

use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, close, setresgid, setresuid, setsid};

use crate::{default_priority, default_signals};

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

fn close_others(keep: &[i32]) -> std::io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
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
