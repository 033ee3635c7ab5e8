//! What a login may cost, and whether it does not cost more.

use crate::client::Process;
use crate::crowds::{self, SESSIONS, USERS};
use crate::figures::Figures;
use crate::footprint::{ARGON2, OPEN, store_row};
use crate::growth;
use crate::logins::{Given, Subject, row};
use crate::refusals;
use crate::run::Run;

/// One bound; `holds` is `None` where it was not measured.
pub struct Bound {
    pub what: String,
    pub measured: String,
    pub holds: Option<bool>,
}

impl Bound {
    fn new(what: impl Into<String>, measured: Option<(String, bool)>) -> Self {
        let (measured, holds) = measured.unzip();
        Self { what: what.into(), measured: measured.unwrap_or_default(), holds }
    }
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
    let ratio = |ours: Option<f64>, theirs: Option<f64>, most: f64| {
        let ratio = ours? / theirs?;
        Some((format!("{ratio:.2}"), ratio <= most))
    };
    let right = median(Warm, Right, Lasting);
    let wrong = median(Warm, Wrong, Lasting);
    let argon2 = figures.median(&store_row(ARGON2));
    let above = |more: Option<f64>, less: Option<f64>, most: Option<f64>| {
        let (above, most) = (more? - less?, most?);
        Some((format!("{above:.0} µs, of {most:.0}"), above <= most))
    };
    let spawned = |store: &str| {
        above(median(Spawned, Right, Lasting), figures.median(&store_row(store)), Some(2_000.0))
    };
    vec![
        Bound::new(
            "right code, resident warm, in process: at most 0.7 of google-authenticator",
            ratio(right, median(Google, Right, Lasting), 0.7),
        ),
        Bound::new(
            "wrong code, resident warm, in process: no dearer than a right one",
            ratio(wrong, right, 1.0),
        ),
        Bound::new(
            "wrong code, resident warm, in process: at most 0.2 of google-authenticator's default",
            ratio(wrong, median(Google, Wrong, Lasting), 0.2),
        ),
        Bound::new(
            "backup code, resident warm, in process: at most one Argon2 above a right code",
            above(median(Warm, Backup, Lasting), right, argon2),
        ),
        Bound::new(
            "right code, resident warm, fresh process: no slower than google-authenticator",
            ratio(median(Warm, Right, Fresh), median(Google, Right, Fresh), 1.0),
        ),
        Bound::new(
            "right code, spawned, in process: at most 2 ms above the store's own open and save in a \
             new process",
            spawned("open and save in a new process"),
        ),
        Bound::new(
            "the same above the store's own open, save and close in a process that did it before",
            spawned("open, save and close"),
        ),
    ]
}

fn of_crowds(figures: &Figures) -> Vec<Bound> {
    let mut bounds = vec![];
    for (subject, _) in crowds::SUBJECTS.into_iter().filter(|(name, _)| name.starts_with("pam_mfa"))
    {
        let let_in = figures.series(&crowds::let_in_row(subject)).map(|series| {
            let least = series.least();
            (format!("{least} in the worst round"), least == u64::from(USERS))
        });
        bounds.push(Bound::new(format!("{USERS} users at once, {subject}: all let in"), let_in));
        let one = figures.series(&crowds::one_code_row(subject)).map(|series| {
            let (least, most) = (series.least(), series.most());
            (format!("{least} to {most}"), (least, most) == (1, 1))
        });
        bounds.push(Bound::new(format!("{SESSIONS} sessions with one code, {subject}: one"), one));
    }
    let round = |subject| figures.median(&crowds::round_row(subject));
    let ratio = round("pam_mfa resident warm").zip(round("google-authenticator"));
    bounds.push(Bound::new(
        format!("{USERS} users at once, resident warm: no slower than google-authenticator"),
        ratio.map(|(ours, theirs)| (format!("{:.2}", ours / theirs), ours <= theirs)),
    ));
    bounds
}

fn of_growth(run: &Run) -> Vec<Bound> {
    let (least, most) = (run.size.enrolled[0], *run.size.enrolled.last().unwrap());
    let of = |subject: &&str| {
        let median = |enrolled| run.figures.median(&growth::row(subject, enrolled));
        let ratio = median(most).zip(median(least)).map(|(many, few)| many / few);
        // Two halves of one row differ by as much.
        let holds = ratio.map(|ratio| (format!("{ratio:.2}"), ratio <= 1.1));
        Bound::new(
            format!("{subject}: at most 1.1 with {most} enrolled of what it is with {least}"),
            holds,
        )
    };
    growth::SUBJECTS.iter().filter(|name| name.starts_with("pam_mfa")).map(of).collect()
}

fn of_refusals(figures: &Figures) -> Vec<Bound> {
    let of = |(subject, _): (&str, &str)| {
        let medians = refusals::STATES.map(|state| figures.median(&refusals::row(subject, state)));
        let medians: Option<Vec<f64>> = medians.into_iter().collect();
        let measured = medians.map(|medians| {
            let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
            let most = medians.iter().copied().fold(0.0, f64::max);
            let apart = (most / least - 1.0) * 100.0;
            (format!("{apart:.1} %"), apart <= 5.0)
        });
        Bound::new(format!("four refusals, {subject}: medians within 5 %"), measured)
    };
    refusals::SERVICES.into_iter().map(of).collect()
}

fn of_footprint(run: &Run) -> Vec<Bound> {
    let kib = |value: u64, most: u64| Some((format!("{value} KiB"), value <= most));
    let footprint = &run.footprint;
    let logins = run.size.logins;
    let memory = footprint.memory.as_ref();
    vec![
        Bound::new("disk for a fresh user: at most 32 KiB", kib(footprint.fresh, 32)),
        Bound::new(
            format!("after {logins} logins, spawned: at most 192 KiB"),
            kib(footprint.after_spawned, 192),
        ),
        Bound::new(
            format!("after {logins} logins, resident: at most 192 KiB"),
            footprint.after_resident.and_then(|value| kib(value, 192)),
        ),
        Bound::new(
            format!("resident with {OPEN} open dbs: at most 64 MB of memory (RSS)"),
            // 64,000,000 bytes.
            memory.and_then(|memory| kib(memory.with_open_dbs.0, 62_500)),
        ),
    ]
}
