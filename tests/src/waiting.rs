//! Waiting for other processes, and for other tests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::sync;

/// Waits for something that another process does.
#[track_caller]
pub fn until(what: &str, done: impl FnMut() -> bool) {
    until_within(Duration::from_secs(20), what, done);
}

/// The same where it takes longer.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Held by a crowd of logins: two of them at once would run into bounds for want of processors.
pub fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held by tests that measure times, or take all that the machine has.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What others have written does not go to the disk meanwhile.
    sync();
    alone
}
