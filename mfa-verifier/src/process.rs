//! A process that belongs to itself, and ends itself when it is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The longest sleep of the watchdog.
const GLANCE: Duration = Duration::from_millis(500);

/// Takes over nothing of whoever started it; see [`mfa_sys::process`].
///
/// # Errors
/// The step that failed; the process is then not to be used.
pub fn belong_to_itself(keep: &[i32]) -> Result<(), String> {
    mfa_sys::process::belong_to_itself(c"mfa-verifier", keep)
}

/// The same for one that stays with whoever started it; see [`mfa_sys::process`].
///
/// # Errors
/// As [`belong_to_itself`].
pub fn serve_in_the_foreground(keep: &[i32]) -> Result<(), String> {
    mfa_sys::process::serve_in_the_foreground(c"mfa-verifier", keep)
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
    let _ = kill(Pid::this(), Signal::SIGKILL);
    // The first process of a container does not heed it.
    std::process::abort()
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
