//! What a login may cost, and whether it does not cost more.

use crate::client::Process;
use crate::crowds::{self, SESSIONS, USERS};
use crate::figures::{Estimate, Figures};
use crate::footprint::{OPEN, store_row};
use crate::growth;
use crate::logins::{ARGON2, Given, Subject, row};
use crate::refusals;
use crate::run::Run;

/// One bound.
pub struct Bound {
    pub what: String,
    pub measured: String,
    pub verdict: Verdict,
}

/// What came of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// The medians miss it, by less than they are known to.
    Unclear,
    Fails,
}

impl Verdict {
    /// `value` is no more than `most`, and at the least `low`.
    fn of(value: f64, low: f64, most: f64) -> Self {
        match (value <= most, low <= most) {
            (true, _) => Self::Holds,
            (false, true) => Self::Unclear,
            (false, false) => Self::Fails,
        }
    }

    fn exactly(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

fn bound(what: impl Into<String>, (measured, verdict): (String, Verdict)) -> Bound {
    Bound { what: what.into(), measured, verdict }
}

/// `value` is no more than `most` times `other`.
fn ratio(value: Estimate, other: Estimate, most: f64) -> (String, Verdict) {
    let ratio = value.median / other.median;
    let (low, high) = (value.low / other.high, value.high / other.low);
    (format!("{ratio:.2} ({low:.2} to {high:.2})"), Verdict::of(ratio, low, most))
}

/// `more` is no more than `most` above `less`; microseconds.
fn above(more: Estimate, less: Estimate, most: Estimate) -> (String, Verdict) {
    let difference = more.median - less.median;
    let (low, high) = (more.low - less.high, more.high - less.low);
    let excess = Verdict::of(difference - most.median, low - most.high, 0.0);
    (format!("{difference:.0} µs ({low:.0} to {high:.0}) above {:.0}", less.median), excess)
}

/// What is not measured, but demanded.
fn exact(value: f64) -> Estimate {
    Estimate { median: value, low: value, high: value }
}

/// All of them.
pub fn judge(run: &Run) -> Vec<Bound> {
    let mut bounds = of_logins(&run.figures);
    bounds.extend(of_crowds(&run.figures));
    bounds.extend(of_growth(run));
    bounds.extend(of_refusals(&run.figures));
    bounds.extend(of_footprint(run));
    bounds
}

fn of_logins(figures: &Figures) -> Vec<Bound> {
    use Given::{Backup, Right, Wrong};
    use Process::{Fresh, Lasting};
    use Subject::{Google, Spawned, Warm};
    let median = |subject, given, process| figures.estimate(&row(subject, given, process));
    let right = median(Warm, Right, Lasting);
    let wrong = median(Warm, Wrong, Lasting);
    let spawned = median(Spawned, Right, Lasting);
    let argon2 = figures.estimate(ARGON2);
    vec![
        bound(
            "right code, resident warm, in process: at most 0.7 of google-authenticator, aim 0.5",
            ratio(right, median(Google, Right, Lasting), 0.7),
        ),
        bound(
            "wrong code, resident warm, in process: no dearer than a right one",
            ratio(wrong, right, 1.0),
        ),
        bound(
            "wrong code, resident warm, in process: at most 0.2 of google-authenticator's default",
            ratio(wrong, median(Google, Wrong, Lasting), 0.2),
        ),
        bound(
            format!(
                "backup code, resident warm, in process: at most one Argon2 ({:.0} µs) above a \
                 right code",
                argon2.median
            ),
            above(median(Warm, Backup, Lasting), right, argon2),
        ),
        bound(
            "right code, resident warm, fresh process: no slower than google-authenticator",
            ratio(median(Warm, Right, Fresh), median(Google, Right, Fresh), 1.0),
        ),
        bound(
            "right code, spawned, in process: at most 2 ms above the store's own open and save in a \
             new process",
            above(
                spawned,
                figures.estimate(&store_row("open and save in a new process")),
                exact(2_000.0),
            ),
        ),
        bound(
            "the same above the store's own open, save and close in a process that did it before",
            above(spawned, figures.estimate(&store_row("open, save and close")), exact(2_000.0)),
        ),
    ]
}

fn of_crowds(figures: &Figures) -> Vec<Bound> {
    let mut bounds = vec![];
    let ours = crowds::SUBJECTS.into_iter().filter(|(subject, _)| subject.starts_with("pam_mfa"));
    for (subject, _) in ours {
        let least = figures.of(&crowds::let_in_row(subject)).least();
        bounds.push(bound(
            format!("{USERS} users at once, {subject}: all let in"),
            (format!("{least} in the worst round"), Verdict::exactly(least == u64::from(USERS))),
        ));
        let one = figures.of(&crowds::one_code_row(subject));
        let (least, most) = (one.least(), one.most());
        bounds.push(bound(
            format!("{SESSIONS} sessions with one code, {subject}: one let in"),
            (format!("{least} to {most}"), Verdict::exactly((least, most) == (1, 1))),
        ));
    }
    let round = |subject| figures.estimate(&crowds::round_row(subject));
    bounds.push(bound(
        format!("{USERS} users at once, resident warm: no slower than google-authenticator"),
        ratio(round("pam_mfa resident warm"), round("google-authenticator"), 1.0),
    ));
    bounds
}

fn of_growth(run: &Run) -> Vec<Bound> {
    let (least, most) = (run.size.enrolled[0], *run.size.enrolled.last().unwrap());
    let ours = growth::SUBJECTS.iter().filter(|subject| subject.starts_with("pam_mfa"));
    let of = |subject: &&str| {
        let median = |enrolled| run.figures.estimate(&growth::row(subject, enrolled));
        let what =
            format!("{subject}, {most} users enrolled: at most 1.1 of what it is with {least}");
        // Medians of one and the same thing lie so far apart in one run.
        bound(what, ratio(median(most), median(least), 1.1))
    };
    ours.map(of).collect()
}

fn of_refusals(figures: &Figures) -> Vec<Bound> {
    let of = |(subject, _): (&str, &str)| {
        refusals::STATES.map(|state| {
            let mut two = [refusals::row(subject, state), refusals::enrolled_row(subject, state)]
                .map(|row| figures.estimate(&row));
            two.sort_by(|a, b| a.median.total_cmp(&b.median));
            let what =
                format!("refused, {subject}, enrolled beside {state}: the dearer at most 1.05");
            bound(what, ratio(two[1], two[0], 1.05))
        })
    };
    refusals::SERVICES.into_iter().flat_map(of).collect()
}

fn of_footprint(run: &Run) -> Vec<Bound> {
    let kib = |value: u64, most: u64| (format!("{value} KiB"), Verdict::exactly(value <= most));
    let footprint = &run.footprint;
    let logins = run.size.logins;
    vec![
        bound("disk for a fresh user: at most 32 KiB", kib(footprint.fresh, 32)),
        bound(
            format!("disk after {logins} logins, spawned: at most 192 KiB"),
            kib(footprint.after_spawned, 192),
        ),
        bound(
            format!("disk after {logins} logins, resident: at most 192 KiB"),
            kib(footprint.after_resident, 192),
        ),
        bound(
            format!("resident with {OPEN} open dbs: at most 64 MB of memory (RSS)"),
            // 64,000,000 bytes.
            kib(footprint.with_open_dbs.0, 62_500),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_missed_by_less_than_is_known_is_neither_kept_nor_missed() {
        let about = |median, off| Estimate { median, low: median - off, high: median + off };
        let verdict = |value, other| ratio(value, other, 1.0).1;
        assert_eq!(verdict(about(99.0, 9.0), about(100.0, 9.0)), Verdict::Holds);
        assert_eq!(verdict(about(102.0, 1.5), about(100.0, 1.5)), Verdict::Unclear);
        assert_eq!(verdict(about(104.0, 1.5), about(100.0, 1.5)), Verdict::Fails);
        let verdict = |more, most| above(more, exact(10.0), most).1;
        assert_eq!(verdict(exact(30.0), exact(20.0)), Verdict::Holds);
        assert_eq!(verdict(exact(31.0), about(20.0, 2.0)), Verdict::Unclear);
        assert_eq!(verdict(exact(33.0), about(20.0, 2.0)), Verdict::Fails);
    }
}
