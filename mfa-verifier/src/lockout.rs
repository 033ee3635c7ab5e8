//! Budgets and waits: how many wrong codes, from where, how fast.
//!
//! Every source has a budget of its own, so that outsiders cannot lock the owner out. Sources that
//! are not *known* (nobody got in from them lately) share a budget of the user as well, which is
//! what stops an attacker with many addresses. A wait is a time before which nothing is judged,
//! never a sleep.

use crate::config::LockoutConfig;
use crate::record::{Lockout, MAX_SOURCES, SourceState};
use crate::source::Source;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// What a whole day without a failure takes off the user's failures. It is also what an attacker who
/// has used up the hundred may try in a day: with three codes right at a time (TOTP), one chance in
/// nine hundred a year.
const FORGIVEN_PER_DAY: u64 = 1;

/// Why an attempt is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// Not before this time.
    Until(u64),
    /// One-time codes are refused from sources that are not known, until the failures fall.
    Disabled,
}

impl Lockout {
    /// Shortens what a clock that ran ahead has noted to the longest wait from now, that of all rules:
    /// an attempt where waits are short must not end one that was given elsewhere. The result is to be
    /// saved: shortened anew at each look, such a wait would never come nearer to its end.
    pub fn shorten_waits(&mut self, now: u64, longest: u64) {
        let latest = now.saturating_add(longest);
        self.not_before = self.not_before.min(latest);
        for state in &mut self.sources {
            state.not_before = state.not_before.min(latest);
        }
    }

    /// Whether a one-time code from `source` may be judged.
    pub fn admit_otp(&self, source: Source, now: u64, rules: &LockoutConfig) -> Result<(), Barred> {
        let known = self.is_known(source, now, rules);
        let own = self.state(source).map_or(0, |state| state.not_before);
        let until = if known { own } else { own.max(self.not_before) };
        if until > now {
            return Err(Barred::Until(until));
        }
        if !known && self.failures_now(now) >= rules.disable_after {
            return Err(Barred::Disabled);
        }
        Ok(())
    }

    /// Whether a backup code from `source` may be judged.
    pub fn admit_backup_code(
        &self,
        source: Source,
        now: u64,
        rules: &LockoutConfig,
    ) -> Result<(), Barred> {
        match self.state(source) {
            Some(state)
                if state.wrong_codes >= rules.backup_codes_per_hour
                    && within_hour(state.codes_since, now) =>
            {
                Err(Barred::Until(state.codes_since.saturating_add(HOUR)))
            }
            _ => Ok(()),
        }
    }

    /// Counts a wrong one-time code.
    pub fn charge_otp(&mut self, source: Source, now: u64, rules: &LockoutConfig) {
        let known = self.is_known(source, now, rules);
        if let Some(state) = self.state_mut(source, now, rules) {
            state.failures = state.failures.saturating_add(1);
            state.last_seen = now;
            state.not_before = now.saturating_add(wait(state.failures, rules.per_source, rules));
        }
        if !known {
            self.failures = self.failures_now(now).saturating_add(1);
            // Not taken back with the clock: set right again, it would forgive for days that never
            // passed.
            self.counted_at = self.counted_at.max(now);
            self.not_before = now.saturating_add(wait(self.failures, rules.per_user, rules));
        }
    }

    /// Counts a wrong backup code.
    pub fn charge_backup_code(&mut self, source: Source, now: u64, rules: &LockoutConfig) {
        if let Some(state) = self.state_mut(source, now, rules) {
            if !within_hour(state.codes_since, now) {
                state.codes_since = now;
                state.wrong_codes = 0;
            }
            state.wrong_codes = state.wrong_codes.saturating_add(1);
            state.last_seen = now;
        }
    }

    /// The user got in from `source`: its own failures are forgotten, and it is known from now on.
    pub fn clear_source(&mut self, source: Source, now: u64, rules: &LockoutConfig) {
        if let Some(state) = self.state_mut(source, now, rules) {
            *state = SourceState { last_success: Some(now), ..fresh(source, now) };
        }
    }

    /// A backup code was right: whoever failed before, the owner is here.
    pub fn clear_user(&mut self) {
        self.failures = 0;
        self.counted_at = 0;
        self.not_before = 0;
    }

    /// Forgets every failure and wait, and keeps which sources are known.
    pub fn unlock(&mut self) {
        self.clear_user();
        for state in &mut self.sources {
            *state = SourceState {
                last_success: state.last_success,
                ..fresh(state.source, state.last_seen)
            };
        }
    }

    /// The failures from sources that were not known, less what quiet days took off.
    #[must_use]
    pub fn failures_now(&self, now: u64) -> u32 {
        let quiet_days = now.saturating_sub(self.counted_at) / DAY;
        let forgiven = quiet_days.saturating_mul(FORGIVEN_PER_DAY);
        self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// Wrong codes that are still counted, for a person to read: the user's, or those of the sources
    /// where known ones have more.
    #[must_use]
    pub fn all_failures(&self, now: u64) -> u32 {
        let sources = self.sources.iter().map(|state| state.failures);
        self.failures_now(now).max(sources.fold(0, u32::saturating_add))
    }

    /// The time before which codes from some source are not judged; it may have passed.
    #[must_use]
    pub fn last_wait(&self) -> u64 {
        let sources = self.sources.iter().map(|state| state.not_before);
        sources.fold(self.not_before, u64::max)
    }

    /// Whether the user got in from `source` lately.
    #[must_use]
    pub fn is_known(&self, source: Source, now: u64, rules: &LockoutConfig) -> bool {
        self.state(source).is_some_and(|state| is_known(state, now, rules))
    }

    fn state(&self, source: Source) -> Option<&SourceState> {
        self.sources.iter().find(|state| state.source == source)
    }

    /// The state of `source`, made if need be in place of the one that was silent longest, of those from
    /// which nobody ever got in before any other. None
    /// where every place is taken by a known source: those are never given up, and what comes from
    /// elsewhere then counts for the user alone. One place is this host's, on which anything that
    /// runs as the user can try codes.
    fn state_mut(
        &mut self,
        source: Source,
        now: u64,
        rules: &LockoutConfig,
    ) -> Option<&mut SourceState> {
        let local = |state: &SourceState| state.source == Source::Local;
        let reserved = source != Source::Local && !self.sources.iter().any(local);
        let places = MAX_SOURCES - usize::from(reserved);
        let index = match self.sources.iter().position(|state| state.source == source) {
            Some(index) => index,
            None if self.sources.len() < places => {
                self.sources.push(fresh(source, now));
                self.sources.len() - 1
            }
            None => {
                let strangers = self.sources.iter().enumerate();
                let (index, _) = strangers
                    .filter(|(_, state)| !is_known(state, now, rules) && !local(state))
                    // From where the user got in once may be known where another rule holds.
                    .min_by_key(|(_, state)| (state.last_success.is_some(), state.last_seen))?;
                *self.sources.get_mut(index)? = fresh(source, now);
                index
            }
        };
        self.sources.get_mut(index)
    }
}

fn fresh(source: Source, now: u64) -> SourceState {
    SourceState {
        source,
        last_success: None,
        failures: 0,
        last_seen: now,
        not_before: 0,
        wrong_codes: 0,
        codes_since: 0,
    }
}

fn is_known(state: &SourceState, now: u64, rules: &LockoutConfig) -> bool {
    let lately = u64::from(rules.known_source_days) * DAY;
    state.source.can_be_known()
        && state.last_success.is_some_and(|at| now.saturating_sub(at) <= lately)
}

/// An hour that began at `since` is not over; one that begins in the future never did.
fn within_hour(since: u64, now: u64) -> bool {
    now.checked_sub(since).is_some_and(|age| age < HOUR)
}

/// Seconds to wait after so many failures, where the first wait comes with the `limit`th.
fn wait(failures: u32, limit: u32, rules: &LockoutConfig) -> u64 {
    match failures.checked_sub(limit) {
        None => 0,
        Some(beyond) => {
            let doubled = 1u64.checked_shl(beyond).unwrap_or(u64::MAX);
            rules.first_wait.saturating_mul(doubled).min(rules.longest_wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Source = Source::V4([192, 0, 2, 1]);
    const NOW: u64 = 1_800_000_000;

    fn stranger(n: u32) -> Source {
        Source::V4(n.to_be_bytes())
    }

    #[test]
    fn this_host_has_a_place_also_where_all_others_are_known() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        for n in 0..40 {
            lockout.clear_source(stranger(n), NOW, &rules);
        }
        assert_eq!(lockout.sources.len(), MAX_SOURCES - 1);
        let mut admitted = 0;
        while lockout.admit_backup_code(Source::Local, NOW, &rules).is_ok() {
            lockout.charge_backup_code(Source::Local, NOW, &rules);
            admitted += 1;
            assert!(admitted < 100);
        }
        assert_eq!(admitted, rules.backup_codes_per_hour);
    }

    /// Tries until the source is let through no more; how many were.
    fn try_all(lockout: &mut Lockout, source: Source, now: u64, rules: &LockoutConfig) -> u32 {
        let mut judged = 0;
        while lockout.admit_otp(source, now, rules).is_ok() {
            lockout.charge_otp(source, now, rules);
            judged += 1;
            assert!(judged <= 1_000, "never locked");
        }
        judged
    }

    #[test]
    fn the_fifth_failure_of_a_source_makes_it_wait_and_each_further_one_twice_as_long() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        lockout.clear_source(HOME, NOW, &rules);
        assert_eq!(try_all(&mut lockout, HOME, NOW, &rules), 5);
        let mut now = NOW;
        for expected in [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            let until = now + expected;
            assert_eq!(lockout.admit_otp(HOME, now, &rules), Err(Barred::Until(until)));
            assert_eq!(lockout.admit_otp(HOME, until - 1, &rules), Err(Barred::Until(until)));
            now = until;
            assert_eq!(try_all(&mut lockout, HOME, now, &rules), 1);
        }
    }

    #[test]
    fn a_hundred_strangers_share_the_budget_of_the_user_and_never_lock_a_known_source() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        lockout.clear_source(HOME, NOW, &rules);
        let judged: u32 =
            (0..100).map(|n| try_all(&mut lockout, stranger(n), NOW + 1, &rules)).sum();
        assert_eq!(judged, 10);
        assert_eq!(lockout.admit_otp(HOME, NOW + 1, &rules), Ok(()));
        assert!(lockout.sources.len() <= MAX_SOURCES);
    }

    #[test]
    fn where_sources_are_known_for_shorter_strangers_do_not_make_them_unknown_elsewhere() {
        let rules = LockoutConfig::default();
        let shorter = LockoutConfig { known_source_days: 1, ..rules.clone() };
        let mut lockout = Lockout::default();
        lockout.clear_source(HOME, NOW, &rules);
        let later = NOW + 5 * DAY;
        for n in 0..40 {
            lockout.charge_backup_code(stranger(n), later, &shorter);
        }
        assert!(lockout.is_known(HOME, later, &rules));
        assert!(!lockout.is_known(HOME, later, &shorter));
    }

    #[test]
    fn strangers_have_a_hundred_tries_in_all_even_if_the_owner_gets_in_between() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        lockout.clear_source(HOME, NOW, &rules);
        let mut judged = 0;
        for hour in 0..4 * 24 {
            let now = NOW + hour * HOUR;
            for n in 0..20 {
                judged += try_all(&mut lockout, stranger(n), now, &rules);
            }
            assert_eq!(lockout.admit_otp(HOME, now, &rules), Ok(()));
            lockout.clear_source(HOME, now, &rules);
        }
        assert_eq!(judged, 100);
        let later = NOW + 4 * DAY;
        assert_eq!(lockout.admit_otp(stranger(7), later, &rules), Err(Barred::Disabled));
        assert_eq!(lockout.admit_otp(stranger(7), later + DAY, &rules), Ok(()));
        lockout.clear_user();
        assert_eq!(lockout.admit_otp(stranger(7), later, &rules), Ok(()));
    }

    #[test]
    fn a_wait_noted_by_a_clock_that_ran_ahead_ends_after_the_longest() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        assert_eq!(try_all(&mut lockout, HOME, NOW + 365 * DAY, &rules), 5);
        lockout.failures = rules.per_user;
        lockout.not_before = NOW + 365 * DAY;
        for later in [0, 1_800, 3_599] {
            lockout.shorten_waits(NOW + later, rules.longest_wait);
            let until = Err(Barred::Until(NOW + 3_600));
            assert_eq!(lockout.admit_otp(HOME, NOW + later, &rules), until, "{later}");
        }
        assert_eq!(lockout.admit_otp(HOME, NOW + 3_600, &rules), Ok(()));
    }

    #[test]
    fn a_clock_that_was_behind_for_a_while_forgives_nothing() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout { failures: 98, counted_at: NOW, ..Lockout::default() };
        lockout.charge_otp(stranger(1), NOW - 365 * DAY, &rules);
        assert_eq!(lockout.failures_now(NOW), 99);
        assert_eq!(lockout.failures_now(NOW + DAY), 98);
    }

    #[test]
    fn a_source_is_known_for_thirty_days_after_a_success() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        lockout.clear_source(HOME, NOW, &rules);
        assert!(lockout.is_known(HOME, NOW + 30 * DAY, &rules));
        assert!(!lockout.is_known(HOME, NOW + 30 * DAY + 1, &rules));
        lockout.clear_source(Source::Unknown, NOW, &rules);
        assert!(!lockout.is_known(Source::Unknown, NOW, &rules));
    }

    #[test]
    fn known_sources_are_never_evicted() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        for n in 0..16 {
            lockout.clear_source(stranger(n), NOW, &rules);
        }
        lockout.charge_otp(HOME, NOW, &rules);
        lockout.charge_backup_code(HOME, NOW, &rules);
        assert!((0..16).all(|n| lockout.is_known(stranger(n), NOW, &rules)));
        assert_eq!(lockout.failures, 1);
    }

    #[test]
    fn ten_wrong_backup_codes_an_hour_from_one_source() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout::default();
        for _ in 0..10 {
            assert_eq!(lockout.admit_backup_code(HOME, NOW, &rules), Ok(()));
            lockout.charge_backup_code(HOME, NOW, &rules);
        }
        let until = Err(Barred::Until(NOW + HOUR));
        assert_eq!(lockout.admit_backup_code(HOME, NOW, &rules), until);
        assert_eq!(lockout.admit_backup_code(stranger(1), NOW, &rules), Ok(()));
        assert_eq!(lockout.admit_backup_code(HOME, NOW + HOUR, &rules), Ok(()));
        assert_eq!(lockout.admit_backup_code(HOME, NOW - 1, &rules), Ok(()), "the clock went back");
    }

    #[test]
    fn quiet_days_and_unlock_forget() {
        let rules = LockoutConfig::default();
        let mut lockout = Lockout { failures: 100, counted_at: NOW, ..Lockout::default() };
        assert_eq!(lockout.failures_now(NOW + DAY - 1), 100);
        assert_eq!(lockout.failures_now(NOW + 3 * DAY), 97);
        assert_eq!(lockout.failures_now(NOW + 100 * DAY), 0);
        assert_eq!(lockout.failures_now(NOW - DAY), 100, "the clock went back");
        lockout.clear_source(HOME, NOW, &rules);
        lockout.charge_otp(stranger(1), NOW, &rules);
        lockout.unlock();
        assert_eq!(lockout.failures, 0);
        assert!(lockout.is_known(HOME, NOW, &rules));
    }
}
