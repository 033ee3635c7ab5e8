//! A device that is far off: three consecutive codes, looked for in a wide range.
//!
//! Not for a login, where the range would let codes in that were seen over a shoulder at noon and
//! are right again at night.

use super::{Generator, narrow, to_step};
use crate::record::{Device, MovingFactor};

/// How far off a clock is looked for, in seconds: twelve hours.
const REACH: i64 = 12 * 3_600;

/// How many counters are looked at.
const COUNTERS: u64 = 10_000;

/// Codes that are asked for.
pub const CODES: usize = 3;

/// Where codes that are given one after another could stand.
pub struct Search {
    generator: Generator,
    device: MovingFactor,
    /// Steps or counters at which the first code could stand.
    starts: Vec<u64>,
    /// When each code was given.
    given: Vec<u64>,
}

impl Search {
    /// Everywhere in reach, behind what was accepted before.
    #[must_use]
    pub fn new(device: &Device, now: u64) -> Self {
        let starts = match device.moving {
            MovingFactor::Time { period, last_step, .. } => {
                let (here, reach) = (steps(now, period), REACH / i64::from(period.max(1)));
                let first =
                    (here - reach).max(last_step.map_or(0, |last| to_step(last) + 1)).max(0);
                (first..=here + reach).filter_map(|step| u64::try_from(step).ok()).collect()
            }
            MovingFactor::Counter { next, .. } => {
                (next..next.saturating_add(COUNTERS).min(u64::MAX - CODES as u64)).collect()
            }
            MovingFactor::Sent { .. } => Vec::new(),
        };
        Self {
            generator: Generator::of(device),
            device: device.moving.clone(),
            starts,
            given: Vec::new(),
        }
    }

    /// Takes the next code, given at `now`. Whether it can be one of a row with those before it.
    pub fn take(&mut self, code: &str, now: u64) -> bool {
        let place = self.given.len() as u64;
        let generator = &self.generator;
        self.starts.retain(|start| generator.matches_counter(code, start.saturating_add(place)));
        self.given.push(now);
        !self.starts.is_empty()
    }

    /// What the device's moving factor becomes, after [`CODES`] codes in a row.
    #[must_use]
    pub fn found(&self) -> Option<MovingFactor> {
        if self.given.len() < CODES {
            return None;
        }
        match self.device {
            MovingFactor::Time { period, .. } => {
                let offset = |start: &u64| self.offset(*start, period);
                let start = self.starts.iter().min_by_key(|start| offset(start).abs())?;
                Some(MovingFactor::Time {
                    period,
                    last_step: Some(start + CODES as u64 - 1),
                    drift: narrow(offset(start)),
                    candidate: None,
                })
            }
            MovingFactor::Counter { .. } => {
                let next = self.starts.first()?.saturating_add(CODES as u64);
                Some(MovingFactor::Counter { next, candidate: None })
            }
            MovingFactor::Sent { .. } => None,
        }
    }

    /// How many steps the device is ahead. A code is given while it is shown or a little later, never
    /// before, so the largest of the offsets is the nearest to the truth.
    fn offset(&self, start: u64, period: u16) -> i64 {
        let steps_shown = (start..).map(to_step);
        let steps_given = self.given.iter().map(|now| steps(*now, period));
        steps_shown.zip(steps_given).map(|(shown, given)| shown - given).max().unwrap_or_default()
    }
}

fn steps(now: u64, period: u16) -> i64 {
    to_step(now / u64::from(period.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::factor::otp::tests::{code, device};
    use crate::factor::otp::{Finding, examine};
    use mfa_protocol::message::Algorithm;

    const NOW: u64 = 1_800_000_000;

    fn phone(last_step: Option<u64>) -> Device {
        let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
        phone.moving = MovingFactor::Time { period: 30, last_step, drift: 0, candidate: None };
        phone
    }

    /// What comes of codes of these steps, given 30 s apart from `NOW` on.
    fn search(device: &Device, first: u64) -> Option<MovingFactor> {
        let mut search = Search::new(device, NOW);
        for n in 0..3 {
            if !search.take(&code(device, first + n), NOW + 30 * n) {
                return None;
            }
        }
        search.found()
    }

    #[test]
    fn a_clock_up_to_twelve_hours_off_is_found_on_either_side() {
        let here = NOW / 30;
        for offset in [-1_440i64, -360, -1, 0, 1, 360, 1_440] {
            let first = here.saturating_add_signed(offset);
            let Some(MovingFactor::Time { last_step, drift, candidate: None, .. }) =
                search(&phone(None), first)
            else {
                panic!("{offset}");
            };
            assert_eq!((last_step, i64::from(drift)), (Some(first + 2), offset));
        }
        assert_eq!(search(&phone(None), here - 1_441), None);
        assert_eq!(search(&phone(None), here + 1_441), None);
    }

    #[test]
    fn codes_that_were_used_or_are_not_in_a_row_find_nothing() {
        let here = NOW / 30;
        let used = phone(Some(here - 360));
        assert_eq!(search(&used, here - 360), None);
        assert!(search(&used, here - 359).is_some());
        let phone = phone(None);
        let mut search = Search::new(&phone, NOW);
        assert!(search.take(&code(&phone, here + 100), NOW));
        assert_eq!(search.found(), None);
        assert!(!search.take(&code(&phone, here + 102), NOW));
        assert_eq!(search.found(), None);
    }

    #[test]
    fn a_device_that_was_brought_back_keeps_its_offset_at_the_logins_after() {
        let config = Config::default();
        let mut phone = phone(None);
        let mut step = NOW / 30 - 360;
        phone.moving = search(&phone, step).unwrap();
        step += 2;
        let mut now = NOW + 60;
        for _ in 0..30 {
            (step, now) = (step + 1, now + 30);
            let Finding::Right(moving) = examine(&phone, &code(&phone, step), now, &config) else {
                panic!("step {step}");
            };
            phone.moving = moving;
            assert_eq!(phone.drift(), -360);
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_and_was_set_right_is_told_from_a_wrong_code() {
        let config = Config::default();
        let (mut phone, here) = (phone(None), NOW / 30);
        phone.moving = search(&phone, here + 360).unwrap();
        let given = |step| examine(&phone, &code(&phone, step), NOW + 60, &config);
        assert_eq!(given(here + 2), Finding::UsedAhead);
        assert!(matches!(given(here + 50), Finding::Wrong(_)));
        assert!(matches!(given(here + 363), Finding::Right(_)));
    }

    #[test]
    fn a_counter_is_found_ten_thousand_presses_on() {
        let mut token = phone(None);
        token.moving = MovingFactor::Counter { next: 5, candidate: None };
        let moved = |next| Some(MovingFactor::Counter { next, candidate: None });
        assert_eq!(search(&token, 5), moved(8));
        assert_eq!(search(&token, 10_004), moved(10_007));
        assert_eq!(search(&token, 10_005), None);
        assert_eq!(search(&token, 4), None);
    }
}
