//! What a login may cost, and whether it does not cost more.

use crate::client::Process;
use crate::crowds::{self, SESSIONS, USERS};
use crate::figures::Figures;
use crate::footprint::{OPEN, store_row};
use crate::growth;
use crate::logins::{ARGON2, Given, Subject, row};
use crate::refusals;
use crate::run::Run;

/// One bound.
pub struct Bound {
    pub what: String,
    pub measured: String,
    pub holds: bool,
}

fn bound(what: impl Into<String>, (measured, holds): (String, bool)) -> Bound {
    Bound { what: what.into(), measured, holds }
}

/// `value` is no more than `most` times `other`.
fn ratio(value: f64, other: f64, most: f64) -> (String, bool) {
    let ratio = value / other;
    (format!("{ratio:.2}"), ratio <= most)
}

/// `more` is no more than `most` above `less`; microseconds.
fn above(more: f64, less: f64, most: f64) -> (String, bool) {
    (format!("{:.0} µs above {less:.0}", more - less), more - less <= most)
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
    let median = |subject, given, process| figures.median(&row(subject, given, process));
    let right = median(Warm, Right, Lasting);
    let wrong = median(Warm, Wrong, Lasting);
    let spawned = median(Spawned, Right, Lasting);
    let argon2 = figures.median(ARGON2);
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
                "backup code, resident warm, in process: at most one Argon2 ({argon2:.0} µs) above a \
                 right code"
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
            above(spawned, figures.median(&store_row("open and save in a new process")), 2_000.0),
        ),
        bound(
            "the same above the store's own open, save and close in a process that did it before",
            above(spawned, figures.median(&store_row("open, save and close")), 2_000.0),
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
            (format!("{least} in the worst round"), least == u64::from(USERS)),
        ));
        let one = figures.of(&crowds::one_code_row(subject));
        let (least, most) = (one.least(), one.most());
        bounds.push(bound(
            format!("{SESSIONS} sessions with one code, {subject}: one let in"),
            (format!("{least} to {most}"), (least, most) == (1, 1)),
        ));
    }
    let round = |subject| figures.median(&crowds::round_row(subject));
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
        let median = |enrolled| run.figures.median(&growth::row(subject, enrolled));
        let what =
            format!("{subject}, {most} users enrolled: at most 1.1 of what it is with {least}");
        // Medians of one and the same thing lie so far apart in one run.
        bound(what, ratio(median(most), median(least), 1.1))
    };
    ours.map(of).collect()
}

fn of_refusals(figures: &Figures) -> Vec<Bound> {
    let of = |(subject, _): (&str, &str)| {
        let medians = refusals::STATES.map(|state| figures.median(&refusals::row(subject, state)));
        let least = medians.into_iter().fold(f64::INFINITY, f64::min);
        let most = medians.into_iter().fold(0.0, f64::max);
        let apart = (most / least - 1.0) * 100.0;
        let what = format!("four refusals, {subject}: medians within 5 %");
        bound(what, (format!("{apart:.1} %"), apart <= 5.0))
    };
    refusals::SERVICES.into_iter().map(of).collect()
}

fn of_footprint(run: &Run) -> Vec<Bound> {
    let kib = |value: u64, most: u64| (format!("{value} KiB"), value <= most);
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
