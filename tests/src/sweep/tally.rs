//! What came of the faults.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mfa_protocol::FACE_BOUND;

use super::orders::{Fault, Seen};
use super::{SOON, calls, took};
use crate::pam::Report;

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Logins that were to have a fault, and those that were only looked at.
    pub logins: usize,
    /// Faults that were made, by their kind.
    pub faults: BTreeMap<String, usize>,
    /// After how many of them the login was granted all the same.
    pub granted: usize,
    /// After how many of them it was refused, and the record is the one from before.
    pub refused_before: usize,
    /// After how many of them it was refused, and the record is the new one.
    pub refused_after: usize,
    /// Faults for calls that did not come again.
    pub absent: Vec<String>,
    /// Faults after which the answer took more than a second.
    pub slow: Vec<(String, Duration)>,
    /// What must not be.
    pub violations: Vec<String>,
}

/// What came of one.
#[derive(Debug)]
pub(super) struct Login {
    fault: Option<Fault>,
    what: String,
    /// Whether the fault was made.
    pub(super) faulty: bool,
    end: End,
    took: Duration,
    /// Whether a login after it was slow.
    pub(super) slow: bool,
    pub(super) violations: Vec<String>,
}

/// How a login with a fault ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Granted,
    /// Refused, and the record is as it was.
    Before,
    /// Refused, and the record is the new one.
    After,
}

impl Login {
    /// Judges the login with the fault, the one with the same code, and the one with the next.
    pub(super) fn judge(fault: Option<Fault>, seen: &Seen, reports: &[Report]) -> Self {
        let (first, after) = reports.split_first().unwrap();
        let (second, third) = after.split_first().unwrap();
        let granted = |report: &Report| report.code() == "PAM_SUCCESS";
        let used = |report: &Report| report.told().contains(&crate::USED);
        let faulty = seen.about.is_some();
        let refused = ["PAM_AUTHINFO_UNAVAIL", "PAM_AUTH_ERR"].contains(&first.code());
        let right = [
            (granted(first) || faulty && refused && !used(first), "a fresh code was not granted"),
            (first.died.is_none() && first.changed.is_empty(), "the application has changed"),
            (took(first) < FACE_BOUND + SOON, "the answer took too long"),
            (!(granted(first) && granted(second)), "accepted twice"),
            (granted(second) || used(second), "neither the old record nor the new one"),
            (granted(second) || !third.is_empty(), "nobody looked whether the next code works"),
            (third.iter().all(granted), "the next code was not granted"),
            (!seen.stuck, "the verifier did not end"),
        ];
        let wrong = right.iter().filter(|(is, _)| !is).map(|(_, what)| (*what).to_owned());
        let mut violations: Vec<_> = wrong.collect();
        if !violations.is_empty() {
            violations.push(format!("{reports:?}"));
        }
        let about = seen.about.as_deref().unwrap_or("not made");
        Self {
            fault,
            what: fault.map_or("no fault".to_owned(), |fault| format!("{fault}, {about}")),
            faulty,
            end: match (granted(first), granted(second)) {
                (true, _) => End::Granted,
                (false, true) => End::Before,
                (false, false) => End::After,
            },
            took: took(first),
            slow: after.iter().any(|report| took(report) > SOON),
            violations,
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, login: &Login) {
        if let Some(fault) = login.fault.filter(|_| login.faulty) {
            *self.faults.entry(calls::name_of(fault)).or_default() += 1;
            *match login.end {
                End::Granted => &mut self.granted,
                End::Before => &mut self.refused_before,
                End::After => &mut self.refused_after,
            } += 1;
        }
        if login.took > SOON {
            self.slow.push((login.what.clone(), login.took));
        }
        if !login.violations.is_empty() {
            self.violations.push(format!("{}: {}", login.what, login.violations.join("; ")));
            assert!(self.violations.len() < 20, "{:#?}", self.violations);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, granted, refused_before, refused_after, absent, slow, .. } = self;
        let kinds: Vec<_> =
            faults.iter().map(|(kind, number)| format!("{kind} {number}")).collect();
        let all: usize = faults.values().sum();
        writeln!(to, "  {all} faults in {} logins: {}", self.logins, kinds.join(", "))?;
        writeln!(
            to,
            "  {granted} granted; {refused_before} refused and the old record left, \
             {refused_after} the new one"
        )?;
        write!(to, "  {} for calls that did not come again: {}", absent.len(), absent.join(", "))?;
        for (what, took) in slow {
            write!(to, "\n  {what}: answered after {took:.1?}")?;
        }
        Ok(())
    }
}
