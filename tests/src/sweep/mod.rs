//! Faults at every system call of a verifier: each call in its turn is the last one, and fails. Of the ways
//! in which its function may fail each comes at one of the calls at least.
//!
//! `fault-injector` runs in the host, starts the verifier and traces it ([`trace`]); how a call may
//! fail is in [`calls`]. Here is what is done with that: a login with a fault in it, and those after
//! it, which must find the old record or the new one.
//!
//! A call is told by its function, its number, and whether the thread that talks to the face makes
//! it: threads that meet in locks make no two logins the same call by call. Which there are is learnt
//! from logins without a fault; one that does not come again is counted as such.
//!
//! A login with a backup code is one with a token's code up to the answer, so its calls up to there are
//! left to that one. A spawned verifier for a backup code, and a resident one that was just started,
//! are killed at each of theirs, but their calls do not fail: those of a spawned one for a token's code,
//! and of a resident one with a backup code, do. Of a whole run ([`crate::mode`]) nothing is left out, and each
//! call fails in every way.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache;
use crate::codes::Device;
use crate::host::{Host, Running};
use crate::mode::is_whole;
use crate::pam::{Attempt, Report};
use crate::traced::{MODULE, VERIFIER};
use applicant::Applicant;
use injector::{INJECTOR, Injector};
use orders::{Begins, Fault, Order, Point, Seen, Who};
use tally::Login;

pub use tally::Tally;

pub mod calls;
pub mod orders;
pub mod trace;

mod applicant;
mod injector;
mod tally;

/// Where root's faces look for the resident verifier.
pub const ROOT_SOCKET: &str = "/run/pam_mfa/root.sock";

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it: an update that is lost shows at the next login.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

/// Where the store lies.
const STORE: &str = "/var/lib/pam_mfa";

/// A login in whose way nothing is takes less.
const SOON: Duration = Duration::from_secs(1);

/// How many logins are looked at before the first fault.
const LOOKS: usize = 10;

/// How many logins are tried for a call to which not each of them comes.
const TRIES: usize = 3;

/// Which verifier has the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verifier {
    /// One that was started for the login.
    Spawned,
    /// The resident one, which has the user's db open.
    Warm,
    /// The resident one, which has just been started.
    Fresh,
    /// The resident one, which closes the user's db for a verifier that was started for the login.
    Asked,
}

/// What is given in the login that has a fault in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// A token's code.
    Code,
    /// A backup code.
    BackupCode,
}

/// A host whose verifiers get a fault, one after the other.
#[derive(Debug)]
pub struct Sweep {
    verifier: Verifier,
    given: Given,
    host: Running,
    injector: Injector,
    applicant: Applicant,
    sheet: Sheet,
    calls: BTreeMap<(Who, u64), Calls>,
    tally: Tally,
}

/// The calls of a function that logins without a fault have been seen to make.
#[derive(Debug, Default)]
struct Calls {
    /// How many each made, in order.
    all: Vec<usize>,
    /// The least that one made before the answer was read.
    before_answer: usize,
    /// Which of them have had their faults.
    done: usize,
}

impl Calls {
    /// As many as some login made; as every other one made, where that is a matter of chance.
    fn number(&self, function: u64) -> usize {
        let by_chance = calls::function(function).is_some_and(|function| function.by_chance);
        let at = if by_chance { self.all.len() / 2 } else { self.all.len() - 1 };
        self.all[at]
    }

    fn add(&mut self, all: usize, before_answer: usize) {
        let least = if self.all.is_empty() { before_answer } else { self.before_answer };
        self.before_answer = least.min(before_answer);
        self.all.insert(self.all.partition_point(|known| *known < all), all);
    }
}

impl Sweep {
    /// A host with a user who has a token and backup codes.
    pub fn start(verifier: Verifier, given: Given) -> Self {
        let host = Host::new()
            .user("alice", "rabbit hole")
            .disk(STORE)
            .config(CONFIG)
            .bind(cache::program("fault-injector"), INJECTOR)
            .pam("app", "auth required pam_mfa.so\n")
            // It is started in any case.
            .pam("spawned", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
            .pam("traced", MODULE)
            .start();
        let sheet = Sheet::enrol(&host);
        let (injector, applicant) = (Injector::start(&host), Applicant::start(&host));
        let (calls, tally) = (BTreeMap::new(), Tally::default());
        Self { verifier, given, host, injector, applicant, sheet, calls, tally }
    }

    /// Kills at every call, has every call fail, and says how often that was.
    #[track_caller]
    pub fn every_call(mut self) -> Tally {
        let since = Instant::now();
        for _ in 0..LOOKS {
            self.login(None);
        }
        while let Some(at) = self.next() {
            self.call(at);
        }
        self.applicant.end();
        let (verifier, given) = (self.verifier, self.given);
        let calls: usize = self.calls.values().map(|calls| calls.done).sum();
        println!("{verifier:?}, {given:?}: {calls} calls, {:.0?}\n{}", since.elapsed(), self.tally);
        assert!(self.tally.violations.is_empty(), "{:#?}", self.tally.violations);
        self.tally
    }

    /// The next call that was seen and has had no faults.
    fn next(&mut self) -> Option<Point> {
        let left = |(_, function): &(Who, u64), calls: &Calls| calls.done < calls.number(*function);
        let ((who, function), calls) = self.calls.iter_mut().find(|(of, calls)| left(of, calls))?;
        let call = calls.done;
        calls.done += 1;
        Some(Point { who: *who, function: *function, call })
    }

    /// Every fault of one call.
    fn call(&mut self, at: Point) {
        let Some(function) = calls::function(at.function) else {
            let what = format!("how does function {} fail?", at.function);
            return self.tally.violations.push(what);
        };
        let calls = &self.calls[&(at.who, at.function)];
        let (number, before_answer) = (calls.number(at.function), at.call < calls.before_answer);
        if self.given == Given::BackupCode && before_answer && !is_whole() {
            return;
        }
        let fault = |error| Fault { at, error };
        if !self.comes(fault(None)) {
            return self.tally.absent.push(fault(None).to_string());
        }
        let repeats = self.verifier == Verifier::Fresh
            || (self.verifier, self.given) == (Verifier::Spawned, Given::BackupCode);
        if repeats && !is_whole() {
            return;
        }
        let errors = function.errors.len();
        let is_this_ones = |error: &usize| shares(at.call, number, *error, errors);
        for error in (0..errors).filter(|error| is_whole() || is_this_ones(error)).map(Some) {
            if !self.comes(fault(error)) {
                self.tally.absent.push(fault(error).to_string());
            }
        }
    }

    /// Makes that fault, unless login after login does not come to that call. What was slow is tried
    /// again: the machine may have been.
    fn comes(&mut self, fault: Fault) -> bool {
        for _ in 0..TRIES {
            let login = self.login(Some(fault));
            if login.faulty && !login.slow {
                return true;
            }
            if login.faulty && self.slow_again(fault) {
                self.tally.violations.push(format!("{fault}: the next login takes a second"));
                return true;
            }
        }
        false
    }

    fn slow_again(&mut self, fault: Fault) -> bool {
        (0..TRIES).all(|_| self.login(Some(fault)).slow)
    }

    /// A login with that fault, and those after it.
    fn login(&mut self, fault: Option<Fault>) -> Login {
        self.prepare();
        self.tally.logins += 1;
        let code = self.sheet.code(&self.host, self.given);
        let (reports, seen) = match self.verifier {
            Verifier::Spawned => self.spawned(fault, &code),
            // For the second the first's db is closed.
            Verifier::Warm => self.resident(fault, &code, ["app", "spawned", "app"]),
            Verifier::Fresh => self.resident(fault, &code, ["app", "app", "spawned"]),
            Verifier::Asked => self.resident(fault, &code, ["spawned", "app", "app"]),
        };
        if seen.about.is_none() {
            self.count(&seen);
        }
        let mut login = Login::judge(fault, &seen, &reports);
        for path in leftovers(&self.host.path(STORE)) {
            login.violations.push(format!("{} is left", path.display()));
        }
        if !login.violations.is_empty() {
            self.host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
            self.sheet = Sheet::enrol(&self.host);
        }
        self.tally.add(&login);
        login
    }

    /// One verifier has the fault, others serve what comes after.
    fn spawned(&mut self, fault: Option<Fault>, code: &str) -> (Vec<Report>, Seen) {
        self.injector.order(Order::Serve(fault));
        let first = self.applicant.ask(attempt("traced", code));
        let second = self.applicant.ask(attempt("app", code));
        let works = second.code() == "PAM_SUCCESS";
        let third = (!works).then(|| self.next_code("app"));
        let reports = [first, second].into_iter().chain(third).collect();
        (reports, self.injector.heard())
    }

    /// The same resident verifier has the fault and serves what comes after, if it can. If it cannot
    /// it is started anew before that, every other time.
    fn resident(
        &mut self,
        fault: Option<Fault>,
        code: &str,
        services: [&str; 3],
    ) -> (Vec<Report>, Seen) {
        let begins = match self.verifier {
            Verifier::Asked => Begins::Reading,
            _ => Begins::Accepting,
        };
        self.injector.ask::<()>(Order::Arm(begins, fault));
        let [first, second, third] = services;
        let first = self.applicant.ask(attempt(first, code));
        let anew = self.tally.logins.is_multiple_of(2);
        // A death belongs to this login, or the next one would be refused for it.
        let deadly = fault.is_some_and(|fault| fault.error.is_none());
        let seen = (anew || deadly).then(|| self.injector.ask(Order::Disarm));
        if anew {
            self.injector.ask::<bool>(Order::Listen);
        }
        let second = self.applicant.ask(attempt(second, code));
        let third = self.next_code(third);
        let seen = seen.unwrap_or_else(|| self.injector.ask(Order::Disarm));
        (vec![first, second, third], seen)
    }

    /// Has the resident verifier run that is wanted, with the db open that it should have.
    fn prepare(&mut self) {
        match self.verifier {
            Verifier::Spawned => {}
            Verifier::Fresh => {
                self.injector.ask::<()>(Order::End);
                self.injector.ask::<bool>(Order::Listen);
            }
            Verifier::Warm | Verifier::Asked => {
                if self.injector.ask(Order::Listen) {
                    let report = self.next_code("app");
                    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
                }
            }
        }
    }

    fn next_code(&mut self, service: &str) -> Report {
        let code = self.sheet.code(&self.host, Given::Code);
        self.applicant.ask(attempt(service, &code))
    }

    fn count(&mut self, seen: &Seen) {
        for (function, calls) in &seen.calls {
            let before = seen.before_answer.get(function).copied().unwrap_or_default();
            let numbers = iter::zip(before, *calls);
            for (who, (before, all)) in iter::zip([Who::Serving, Who::Others], numbers) {
                self.calls.entry((who, *function)).or_default().add(all, before);
            }
        }
    }
}

/// Whether a call, one of `calls`, fails in that way, one of `errors`: each does in one at least, and each way
/// comes at one at least.
fn shares(call: usize, calls: usize, error: usize, errors: usize) -> bool {
    let turns = calls.min(errors);
    call % turns == error % turns
}

fn attempt(service: &str, code: &str) -> Attempt {
    Attempt::new(service, "alice").answer(code)
}

fn took(report: &Report) -> Duration {
    Duration::from_micros(report.microseconds.iter().sum())
}

/// Codes that have not been used.
#[derive(Debug)]
struct Sheet {
    device: Device,
    codes: VecDeque<String>,
    backup: Vec<String>,
}

impl Sheet {
    fn enrol(host: &Running) -> Self {
        let enrolled = host.enrol_with("alice", &["hotp"]);
        Self { device: enrolled.device, codes: [].into(), backup: enrolled.backup.codes }
    }

    fn code(&mut self, host: &Running, given: Given) -> String {
        match given {
            Given::Code => {
                if self.codes.is_empty() {
                    self.codes = self.device.codes(500).into();
                }
                self.codes.pop_front().unwrap()
            }
            Given::BackupCode => {
                if self.backup.is_empty() {
                    let new = ["mfa-setup", "codes", "new", "--user", "alice", "--json", "--yes"];
                    let answer = host.run(&new).json();
                    let codes = answer["backup_codes"].as_array().unwrap();
                    self.backup = crate::Backup::new(codes).codes;
                }
                self.backup.pop().unwrap()
            }
        }
    }
}

/// What interrupted openings, makings and removals leave.
fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let ends = [".new", ".generating"].iter().any(|end| name.ends_with(end));
        if ends || [".new-", ".gone-"].iter().any(|start| name.starts_with(start)) {
            found.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(leftovers(&path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn each_call_fails_and_each_way_comes() {
        for (calls, errors) in [(1, 1), (1, 11), (3, 11), (11, 11), (40, 11), (40, 1)] {
            let fails = |call| (0..errors).any(|error| shares(call, calls, error, errors));
            let comes = |error| (0..calls).any(|call| shares(call, calls, error, errors));
            assert!(
                (0..calls).all(fails) && (0..errors).all(comes),
                "{calls} calls, {errors} ways"
            );
        }
    }
}
