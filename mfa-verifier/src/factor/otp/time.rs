//! TOTP (RFC 6238): windows of steps, drift, and a clock that is off.

use super::{Finding, Generator, narrow, to_step};
use crate::config::Config;
use crate::record::{MovingFactor, TimeCandidate};

/// Codes of one offset, one after another, that resynchronise a TOTP device.
const RESYNC_CODES: u8 = 3;

/// Seconds within which they must come.
const RESYNC_WITHIN: u64 = 300;

/// The host's clock as a device sees it; everything in steps.
pub(super) struct Clock {
    now: u64,
    period: u16,
    here: i64,
    expected: i64,
    window: i64,
    reach: i64,
}

impl Clock {
    pub(super) fn new(now: u64, period: u16, drift: i32, config: &Config) -> Self {
        let seconds = u64::from(period.max(1));
        let here = to_step(now / seconds);
        let reach = i64::from(config.totp.resync_minutes) * 60 / i64::from(period.max(1));
        Self {
            now,
            period,
            here,
            expected: here + i64::from(drift),
            window: i64::from(config.totp.window),
            reach,
        }
    }

    fn in_window(&self, step: i64) -> bool {
        (step - self.expected).abs() <= self.window
    }

    fn moved(&self, step: i64, drift: i64) -> MovingFactor {
        // One that was brought back from far off keeps its drift, and gets no farther by itself.
        let bound = self.reach.max(self.window).max((self.expected - self.here).abs());
        MovingFactor::Time {
            period: self.period,
            last_step: u64::try_from(step).ok(),
            drift: narrow(drift.clamp(-bound, bound)),
            candidate: None,
        }
    }
}

/// What a code is to a device that counts time.
pub(super) fn examine(
    generator: &Generator,
    code: &str,
    clock: &Clock,
    last_step: Option<u64>,
    candidate: Option<TimeCandidate>,
) -> Finding {
    let last = last_step.map_or(-1, to_step);
    let window = clock.expected - clock.window..=clock.expected + clock.window;
    let reach = clock.here - clock.reach..=clock.here + clock.reach;
    let (mut fresh, mut used, mut distant, mut overtaken) = (None, None, None, None);
    for step in window.chain(reach.filter(|step| !clock.in_window(*step))) {
        let slot = match (clock.in_window(step), step > last) {
            (true, true) => &mut fresh,
            (true, false) => &mut used,
            (false, true) => &mut distant,
            (false, false) if (step - clock.here).abs() <= clock.window => &mut overtaken,
            (false, false) => continue,
        };
        if generator.matches(code, step) && slot.is_none() {
            *slot = Some(step);
        }
    }
    let drift = clock.expected - clock.here;
    let unchanged = |candidate| MovingFactor::Time {
        period: clock.period,
        last_step,
        drift: narrow(drift),
        candidate,
    };
    match (fresh, used, distant) {
        (Some(step), _, _) => {
            Finding::Right(clock.moved(step, drift + (step - clock.expected).signum()))
        }
        (_, Some(_), _) if last > clock.expected + clock.window => Finding::UsedAhead,
        (_, Some(_), _) => Finding::Used,
        (_, _, Some(step)) => {
            let offset = step - clock.here;
            let run = continued(candidate, step, offset, clock.now);
            if run.seen >= RESYNC_CODES {
                Finding::Right(clock.moved(step, offset))
            } else {
                Finding::Wrong(unchanged(Some(run)))
            }
        }
        // The device's clock ran far ahead and was set right; or the code is an older one of a device that
        // runs a little ahead.
        _ if overtaken.is_some() && last > clock.here + clock.window => Finding::UsedAhead,
        _ if overtaken.is_some() => Finding::Used,
        (None, None, None) => Finding::Wrong(unchanged(None)),
    }
}

/// The run of consecutive codes of one offset that ends with this one.
fn continued(before: Option<TimeCandidate>, step: i64, offset: i64, now: u64) -> TimeCandidate {
    let alone = TimeCandidate {
        step: u64::try_from(step).unwrap_or_default(),
        offset: narrow(offset),
        seen: 1,
        since: now,
    };
    match before {
        Some(run)
            if step > to_step(run.step)
                && (offset - i64::from(run.offset)).abs() <= 1
                && now.checked_sub(run.since).is_some_and(|age| age <= RESYNC_WITHIN) =>
        {
            TimeCandidate { seen: run.seen.saturating_add(1), since: run.since, ..alone }
        }
        _ => alone,
    }
}
