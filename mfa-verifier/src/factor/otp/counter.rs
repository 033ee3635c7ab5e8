//! HOTP (RFC 4226): look-ahead, and a counter that ran away.

use super::{Finding, Generator};
use crate::config::Config;
use crate::record::MovingFactor;

/// What a code is to a device that counts its codes.
pub(super) fn examine(
    generator: &Generator,
    code: &str,
    next: u64,
    candidate: Option<u64>,
    config: &Config,
) -> Finding {
    // The last counter of all has no next one, so its code could never be marked as used.
    let usable = |counter: u64| counter.min(u64::MAX - 1);
    let near = usable(next.saturating_add(config.hotp.look_ahead.into()));
    let far = near.max(usable(next.saturating_add(config.hotp.resync.into())));
    let mut found = None;
    for counter in next..=far {
        if generator.matches_counter(code, counter) && found.is_none() {
            found = Some(counter);
        }
    }
    let is_last = next.checked_sub(1).is_some_and(|last| generator.matches_counter(code, last));
    let moved = |next| MovingFactor::Counter { next, candidate: None };
    match found {
        // RFC 4226 7.4: two consecutive codes resynchronise beyond the look-ahead.
        Some(counter) if counter <= near || candidate == Some(counter) => {
            Finding::Right(moved(counter.saturating_add(1)))
        }
        _ if is_last => Finding::Used,
        Some(counter) => Finding::Wrong(MovingFactor::Counter {
            next,
            candidate: Some(counter.saturating_add(1)),
        }),
        None => Finding::Wrong(moved(next)),
    }
}
