//! Lets so many through at once, and the others wait for a bounded time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A semaphore.
#[derive(Debug)]
pub struct Turnstile {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place inside, free again when this is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    /// Room for that many.
    #[must_use]
    pub const fn new(room: usize) -> Self {
        Self { free: Mutex::new(room), freed: Condvar::new() }
    }

    /// Goes in, or gives up after `patience`.
    pub fn enter(&self, patience: Duration) -> Option<Turn<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, patience, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const AT_ONCE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn no_more_go_in_than_there_is_room_for() {
        let turnstile = Turnstile::new(2);
        let first = turnstile.enter(AT_ONCE);
        let second = turnstile.enter(AT_ONCE);
        assert!(first.is_some() && second.is_some());
        assert!(turnstile.enter(AT_ONCE).is_none());
        drop(first);
        assert!(turnstile.enter(AT_ONCE).is_some());
        drop(second);
    }

    #[test]
    fn who_waits_goes_in_when_somebody_comes_out() {
        let turnstile = Turnstile::new(1);
        let inside = turnstile.enter(AT_ONCE);
        thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..8).map(|_| scope.spawn(|| turnstile.enter(LONG).is_some())).collect();
            drop(inside);
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
