//! A process that belongs to itself, and ends itself when it is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, chdir, close, setresgid, setresuid, setsid};

/// The longest sleep of the watchdog.
const GLANCE: Duration = Duration::from_millis(500);

/// Takes over nothing of whoever started it: identity, session, signals, priority, limits, directory,
/// umask, descriptors. `keep` are the descriptors that stay open.
///
/// # Errors
/// The step that failed; the process is then not to be used.
pub fn belong_to_itself(keep: &[i32]) -> Result<(), String> {
    let failed = |step: &'static str| move |error| format!("{step}: {error}");
    mfa_sys::default_signals();
    mfa_sys::default_priority();
    // Fails where it is a session's leader already, which is as well.
    let _ = setsid();
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
    let _ = prctl::set_name(c"mfa-verifier");
    Ok(())
}

/// The caller's limits are no business of the verifier's; without `CAP_SYS_RESOURCE` they stay.
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

/// Ends the process when it was not told in time that all is well.
///
/// It is a thread of its own and a SIGKILL: a flush that is stuck in the kernel, or in a lock of a
/// library, reacts to nothing less.
#[derive(Debug)]
pub struct Watchdog {
    started: Instant,
    /// Milliseconds after `started` at which it is over.
    deadline: AtomicU64,
}

impl Watchdog {
    /// Starts watching.
    ///
    /// # Errors
    /// Where no thread can be made. Then the store could not work either.
    pub fn start(bound: Duration) -> std::io::Result<&'static Self> {
        let watchdog: &'static Self =
            Box::leak(Box::new(Self { started: Instant::now(), deadline: AtomicU64::new(0) }));
        watchdog.allow(bound);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(64 * 1024)
            .spawn(|| watchdog.watch())?;
        Ok(watchdog)
    }

    /// Nothing is wrong before `bound` has passed from now.
    pub fn allow(&self, bound: Duration) {
        let deadline = self.started.elapsed() + bound;
        let milliseconds = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.deadline.store(milliseconds, Ordering::Relaxed);
    }

    fn watch(&self) {
        while let Some(nap) = self.nap() {
            std::thread::sleep(nap);
        }
        end_now()
    }

    /// How long to sleep before the next look; none once it is over. Never the whole time that is
    /// left: the next [`Watchdog::allow`] may bring the deadline forward, as it does when a person
    /// has answered and the verifier's own bound begins.
    fn nap(&self) -> Option<Duration> {
        let deadline = Duration::from_millis(self.deadline.load(Ordering::Relaxed));
        let left = deadline.checked_sub(self.started.elapsed())?;
        (!left.is_zero()).then_some(left.min(GLANCE))
    }
}

/// Ends the process at once, without destructors that could be stuck as well.
pub fn end_now() -> ! {
    loop {
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_brought_forward_is_noticed() {
        let watchdog = Watchdog { started: Instant::now(), deadline: AtomicU64::new(0) };
        assert_eq!(watchdog.nap(), None);
        watchdog.allow(Duration::from_secs(300));
        assert_eq!(watchdog.nap(), Some(GLANCE));
        watchdog.allow(Duration::from_millis(100));
        assert!(watchdog.nap().is_some_and(|nap| nap <= Duration::from_millis(100)));
    }
}
