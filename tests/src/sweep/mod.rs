//! Faults at every system call of a verifier: each call in its turn is the last one, and fails in each
//! way in which it may.
//!
//! `fault-injector` runs in the host, starts the verifier and traces it ([`trace`]); what may become
//! of which call is in [`calls`]. Here is what is done with that: a login with a fault in it, and the
//! ones after it, which must find the old record or the new one.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use mfa_protocol::FACE_BOUND;

use crate::cache;
use crate::codes::Device;
use crate::host::{Host, Running};
use crate::pam::{Attempt, Report};
use crate::traced::MODULE;
use applicant::Applicant;
use orders::{Fault, Order, Point, Seen, Who};

pub mod calls;
pub mod orders;
pub mod trace;

mod applicant;

const INJECTOR: &str = "/usr/local/bin/fault-injector";

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it: an update that is lost shows at the next login.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

/// Where the store lies.
const STORE: &str = "/var/lib/pam_mfa";

/// A login in whose way nothing is takes less.
const SOON: Duration = Duration::from_secs(1);

/// How many logins are looked at before the first fault.
const LOOKS: usize = 10;

/// How often a call is waited for that some logins come to and others do not.
const TRIES: usize = 3;

/// Where root's faces look for the resident verifier.
pub const ROOT_SOCKET: &str = "/run/pam_mfa/root.sock";

/// A line of a stack whose module starts a verifier in any case.
const SPAWNED: &str = "auth required pam_mfa.so verifier=/usr/libexec/pam_mfa/mfa-verifier\n";

/// Which verifier has the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verifier {
    /// One that was started for the login.
    Spawned,
    /// The resident one, which has the user's db open.
    Warm,
    /// The resident one, which has not.
    Cold,
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
    /// How many calls a login has been seen to make of each function: at least before the answer was
    /// read, at most in all.
    calls: BTreeMap<(Who, u64), [usize; 2]>,
    tally: Tally,
}

/// Codes that have not been used.
#[derive(Debug)]
struct Sheet {
    device: Device,
    codes: VecDeque<String>,
    backup: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    /// Logins with a fault in them that was to be.
    logins: usize,
    killed: usize,
    failed: usize,
    granted: usize,
    refused_before: usize,
    refused_after: usize,
    /// Calls that did not come again.
    absent: Vec<Point>,
    /// Errors for calls that did not come again.
    missed: usize,
    /// Resident verifiers that have ended though they were not killed.
    ended: Vec<String>,
    /// Answers that took longer than a second.
    slow: Vec<(String, Duration)>,
    violations: Vec<String>,
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
            .pam("spawned", SPAWNED)
            .pam("traced", MODULE)
            .start();
        let sheet = Sheet::enrol(&host);
        let (injector, applicant) = (Injector::start(&host), Applicant::start(&host));
        let (calls, tally) = (BTreeMap::new(), Tally::default());
        Self { verifier, given, host, injector, applicant, sheet, calls, tally }
    }

    /// Kills at every call, has every call fail, and says how often that was.
    #[track_caller]
    pub fn every_call(mut self) {
        let since = Instant::now();
        for _ in 0..LOOKS {
            self.login(None);
        }
        // Which calls there are is what is seen of logins without a fault, also of those to come.
        let mut done = BTreeMap::new();
        while let Some(at) = self.next(&mut done) {
            self.call(at);
        }
        self.applicant.end();
        println!(
            "{:?}, {:?}, in {:.0?}: {}",
            self.verifier,
            self.given,
            since.elapsed(),
            self.tally
        );
        let calls: usize = self.calls.values().map(|[_, calls]| calls).sum();
        println!("  {calls} calls: {}", list(&self.calls));
        let Tally { violations, refused_before, refused_after, granted, .. } = self.tally;
        assert!(violations.is_empty(), "{violations:#?}");
        assert!(refused_before > 0 && refused_after > 0 && granted > 0);
    }

    /// The next call that was seen and had no faults yet.
    fn next(&self, done: &mut BTreeMap<(Who, u64), usize>) -> Option<Point> {
        self.calls.iter().find_map(|((who, function), [_, calls])| {
            let done = done.entry((*who, *function)).or_default();
            let call = *done;
            *done += usize::from(call < *calls);
            (call < *calls).then_some(Point { who: *who, function: *function, call })
        })
    }

    /// Every fault of one call.
    fn call(&mut self, at: Point) {
        let Some(known) = calls::function(at.function) else {
            let what = format!("how does function {} fail?", at.function);
            return self.tally.violations.push(what);
        };
        if !self.comes(Fault { at, error: None }) {
            return self.tally.absent.push(at);
        }
        let [before_answer, _] = self.calls[&(at.who, at.function)];
        if self.given == Given::BackupCode && at.call < before_answer && !whole() {
            return;
        }
        for error in 0..known.errors.len() {
            let came = self.comes(Fault { at, error: Some(error) });
            self.tally.missed += usize::from(!came);
        }
    }

    /// Makes that fault, unless login after login does not come to that call.
    fn comes(&mut self, fault: Fault) -> bool {
        (0..TRIES).any(|_| self.login(Some(fault)))
    }

    /// A login with that fault, and those after it. Whether the call came there.
    fn login(&mut self, fault: Option<Fault>) -> bool {
        self.tally.logins += 1;
        let code = self.sheet.code(&self.host, self.given);
        let next = self.sheet.code(&self.host, Given::Code);
        let ([first, second, third], seen) = match self.verifier {
            Verifier::Spawned => self.spawned(fault, &code, &next),
            Verifier::Warm | Verifier::Cold => self.resident(fault, &code, &next),
        };
        if seen.about.is_none() {
            self.count(&seen);
        }
        let about = seen.about.clone().unwrap_or_default();
        let what = fault.map_or("no fault".to_owned(), |fault| format!("{fault}, {about}"));
        let mut logins =
            Logins { violations: vec![], first: &first, second: &second, third: &third };
        let faulty = seen.about.is_some();
        let [granted, again] = logins.judge(faulty);
        let mut violations = logins.violations;
        if seen.stuck {
            violations.push("the verifier did not end".to_owned());
        }
        for path in leftovers(&self.host.path(STORE)) {
            violations.push(format!("{} is left", path.display()));
        }
        let killed = faulty && fault.is_some_and(|fault| fault.error.is_none());
        if self.verifier != Verifier::Spawned && seen.ended && !killed {
            self.tally.ended.push(what.clone());
        }
        if faulty {
            *match killed {
                true => &mut self.tally.killed,
                false => &mut self.tally.failed,
            } += 1;
            *match (granted, again) {
                (true, _) => &mut self.tally.granted,
                (false, true) => &mut self.tally.refused_before,
                (false, false) => &mut self.tally.refused_after,
            } += 1;
        }
        if took(&first) > SOON {
            self.tally.slow.push((what.clone(), took(&first)));
        }
        if !violations.is_empty() {
            let told =
                [&first, &second, &third].map(|report| (report.code().to_owned(), took(report)));
            eprintln!("{what}: {violations:?} {told:?}");
            self.tally.violations.push(format!("{what}: {violations:?}"));
            assert!(self.tally.violations.len() < 50, "{:#?}", self.tally.violations);
            self.host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
            self.sheet = Sheet::enrol(&self.host);
        }
        faulty
    }

    fn count(&mut self, seen: &Seen) {
        for (function, calls) in &seen.calls {
            let before = seen.before_answer.get(function).copied().unwrap_or_default();
            for (who, numbers) in
                [Who::Serving, Who::Others].into_iter().zip(iter::zip(before, *calls))
            {
                let [least_before, most] =
                    self.calls.entry((who, *function)).or_insert([usize::MAX, 0]);
                *least_before = numbers.0.min(*least_before);
                *most = numbers.1.max(*most);
            }
        }
    }

    fn spawned(&mut self, fault: Option<Fault>, code: &str, next: &str) -> ([Report; 3], Seen) {
        self.injector.order(Order::Serve(fault));
        let logins = [attempt("traced", code), attempt("app", code), attempt("app", next)];
        let reports = self.applicant.ask(logins);
        (reports, self.injector.heard())
    }

    /// Of the logins behind the one with the fault, one has a verifier of its own: for that the
    /// resident one closes the db. A killed one is started anew before them every other time.
    fn resident(&mut self, fault: Option<Fault>, code: &str, next: &str) -> ([Report; 3], Seen) {
        let started: bool = self.injector.ask(Order::Listen);
        let warm = self.verifier == Verifier::Warm;
        if warm && (started || self.tally.logins == 1) {
            let code = self.sheet.code(&self.host, Given::Code);
            let [report] = self.applicant.ask([attempt("app", &code)]);
            assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
        }
        assert!(self.injector.ask::<bool>(Order::Arm(fault)));
        let [first] = self.applicant.ask([attempt("app", code)]);
        let at_once = self.tally.logins % 2 == 0;
        let seen = (!at_once).then(|| {
            let seen = self.injector.ask(Order::Disarm);
            self.injector.ask::<bool>(Order::Listen);
            seen
        });
        let services = if warm { ["spawned", "app"] } else { ["app", "spawned"] };
        let logins = [attempt(services[0], code), attempt(services[1], next)];
        let [second, third] = self.applicant.ask(logins);
        let seen = seen.unwrap_or_else(|| self.injector.ask(Order::Disarm));
        ([first, second, third], seen)
    }
}

/// Whether nothing is to be left out.
fn whole() -> bool {
    env::var_os("PAM_MFA_TEST_WHOLE").is_some()
}

fn list(calls: &BTreeMap<(Who, u64), [usize; 2]>) -> String {
    let named =
        calls.iter().filter(|(_, [_, calls])| *calls > 0).map(|((who, function), [_, calls])| {
            format!("{calls} {} ({who:?})", calls::function(*function).map_or("?", |f| f.name))
        });
    named.collect::<Vec<_>>().join(", ")
}

fn attempt(service: &str, code: &str) -> Attempt {
    Attempt::new(service, "alice").answer(code)
}

/// The logins about a fault.
struct Logins<'a> {
    violations: Vec<String>,
    first: &'a Report,
    second: &'a Report,
    third: &'a Report,
}

impl Logins<'_> {
    /// Whether the code was granted in the login that had the fault, and in the one after it.
    fn judge(&mut self, faulty: bool) -> [bool; 2] {
        let Self { violations, first, second, third } = self;
        let mut must = |is: bool, what: &str| {
            if !is {
                violations.push(what.to_owned());
            }
        };
        let used = |report: &Report| report.told().contains(&crate::USED);
        let granted = first.code() == "PAM_SUCCESS";
        let again = second.code() == "PAM_SUCCESS";
        let refused =
            ["PAM_AUTHINFO_UNAVAIL", "PAM_AUTH_ERR"].contains(&first.code()) && !used(first);
        must(granted || faulty && refused, "a fresh code");
        must(first.died.is_none() && first.changed.is_empty(), "the application");
        must(took(first) < FACE_BOUND + SOON, "the bound");
        must(!(granted && again), "accepted twice");
        must(again || used(second), "neither accepted nor used");
        must(third.code() == "PAM_SUCCESS", "the next code");
        must(took(second) < SOON && took(third) < SOON, "a second");
        [granted, again]
    }
}

fn took(report: &Report) -> Duration {
    Duration::from_micros(report.microseconds.iter().sum())
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
        let swept = [".new", ".generating"].iter().any(|end| name.ends_with(end));
        if swept || [".new-", ".gone-"].iter().any(|start| name.starts_with(start)) {
            found.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// The program in the host.
#[derive(Debug)]
struct Injector {
    process: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Injector {
    fn start(host: &Running) -> Self {
        let mut command = host.command(&[INJECTOR]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut injector = Self { process, orders, said };
        assert_eq!(injector.heard::<String>(), "listening");
        injector
    }

    fn ask<T: serde::de::DeserializeOwned>(&mut self, order: Order) -> T {
        self.order(order);
        self.heard()
    }

    fn order(&mut self, order: Order) {
        writeln!(self.orders, "{}", serde_json::to_string(&order).unwrap()).unwrap();
    }

    fn heard<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, killed, failed, granted, refused_before, refused_after, .. } = self;
        writeln!(
            to,
            "{logins} logins; {killed} killed at a call, {failed} with a call that failed:"
        )?;
        writeln!(
            to,
            "  {granted} granted, {refused_before} refused with the old record, {refused_after} with the new one"
        )?;
        writeln!(
            to,
            "  {} calls did not come again: {:?}; {} errors",
            self.absent.len(),
            self.absent,
            self.missed
        )?;
        writeln!(to, "  {} residents ended: {:?}", self.ended.len(), self.ended)?;
        write!(to, "  {} answers took more than a second: {:?}", self.slow.len(), self.slow)
    }
}
