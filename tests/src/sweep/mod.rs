//! Faults at every system call of a verifier: each call in its turn is the last one, and fails in each
//! way in which it may.
//!
//! `fault-injector` runs in the host, starts the verifier and traces it ([`trace`]); what may become
//! of which call is in [`calls`]. Here is what is done with that: a login with a fault in it, and the
//! ones after it, which must find the old record or the new one.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
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
use orders::{Fault, Order, Seen};

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

/// How often a call is waited for that some logins come to and others do not.
const TRIES: usize = 3;

/// So many numbers behind the last call that came, there is none any more.
const BEYOND: usize = 3;

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
    given: Given,
    host: Running,
    injector: Injector,
    applicant: Applicant,
    sheet: Sheet,
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
    /// Calls that were reached, in each thread.
    calls: Vec<usize>,
    /// Faults that were made, by kind.
    faults: BTreeMap<String, usize>,
    /// Calls, by name.
    names: BTreeMap<String, usize>,
    granted: usize,
    refused_before: usize,
    refused_after: usize,
    /// Faults for calls to which the login did not come that time.
    absent: usize,
    /// Answers that took longer than a second.
    slow: Vec<(String, Duration)>,
    violations: Vec<String>,
}

impl Sweep {
    /// A host with a user who has a token and backup codes.
    pub fn start(given: Given) -> Self {
        let host = Host::new()
            .user("alice", "rabbit hole")
            .disk(STORE)
            .config(CONFIG)
            .bind(cache::program("fault-injector"), INJECTOR)
            .pam("app", "auth required pam_mfa.so\n")
            .pam("traced", MODULE)
            .start();
        let sheet = Sheet::enrol(&host);
        let (injector, applicant) = (Injector::start(&host), Applicant::start(&host));
        Self { given, host, injector, applicant, sheet, tally: Tally::default() }
    }

    /// Kills and fails every call of every thread, and says how often that was.
    #[track_caller]
    pub fn every_call(mut self, what: &str) {
        let since = Instant::now();
        let mut thread = 0;
        while self.thread(thread) {
            thread += 1;
        }
        self.applicant.end();
        println!("{what}, in {:.0?}: {}", since.elapsed(), self.tally);
        let Tally { violations, refused_before, refused_after, granted, .. } = self.tally;
        assert!(violations.is_empty(), "{violations:#?}");
        assert!(refused_before > 0 && refused_after > 0 && granted > 0);
    }

    /// Every call of one thread; false if there is no such thread.
    fn thread(&mut self, thread: usize) -> bool {
        let (mut call, mut last) = (0, None);
        while last.map_or(0, |last| last + 1) + BEYOND > call {
            if self.call(thread, call) {
                last = Some(call);
            }
            call += 1;
        }
        let calls = last.map_or(0, |last| last + 1);
        self.tally.calls.push(calls);
        calls > 0
    }

    /// Every fault of one call; false if none came there.
    fn call(&mut self, thread: usize, call: usize) -> bool {
        let mut kind = 0;
        let mut kinds = 1;
        let mut came = false;
        while kind < kinds {
            for _ in 0..TRIES {
                let seen = self.login(Fault { thread, call, kind });
                if let Some(there) = seen.there {
                    kinds = there.kinds;
                    if !came {
                        *self.tally.names.entry(there.name).or_default() += 1;
                    }
                    came = true;
                    break;
                }
                self.tally.absent += 1;
            }
            kind += 1;
        }
        came
    }

    /// A login with that fault, and those after it.
    fn login(&mut self, fault: Fault) -> Seen {
        let code = self.sheet.code(&self.host, self.given);
        let next = self.sheet.code(&self.host, Given::Code);
        self.injector.order(Order::Serve(fault));
        let [first] = self.applicant.ask([attempt("traced", &code)]);
        let [second, third] = self.applicant.ask([attempt("app", &code), attempt("app", &next)]);
        let seen: Seen = self.injector.heard();
        let mut logins = Logins { violations: vec![], first: &first, second: &second, third: &third };
        let what = match &seen.there {
            Some(there) => format!("{fault:?} {there}"),
            None => format!("{fault:?} nothing"),
        };
        let faulty = seen.there.as_ref().and_then(|there| there.fault.as_deref());
        if let Some(kind) = faulty {
            *self.tally.faults.entry(kind.to_owned()).or_default() += 1;
        }
        let [granted, again] = logins.judge(faulty.is_some());
        if !seen.unknown.is_empty() {
            logins.violations.push(format!("unknown calls {:?}", seen.unknown));
        }
        if seen.stuck {
            logins.violations.push("the verifier did not end".to_owned());
        }
        logins.violations.extend(leftovers(&self.host.path(STORE)).iter().map(|path| format!("{path:?} is left")));
        if faulty.is_some() {
            *match (granted, again) {
                (true, _) => &mut self.tally.granted,
                (false, true) => &mut self.tally.refused_before,
                (false, false) => &mut self.tally.refused_after,
            } += 1;
        }
        let took = Duration::from_micros(first.microseconds.iter().sum());
        if took > SOON {
            self.tally.slow.push((what.clone(), took));
        }
        if !logins.violations.is_empty() {
            let reports = [&first, &second, &third];
            eprintln!("{what}: {:?} {reports:?}", logins.violations);
            self.tally.violations.push(format!("{what}: {:?}", logins.violations));
            assert!(self.tally.violations.len() < 50, "{:#?}", self.tally.violations);
            self.host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
            self.sheet = Sheet::enrol(&self.host);
        }
        seen
    }
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
        let refused = ["PAM_AUTHINFO_UNAVAIL", "PAM_AUTH_ERR"].contains(&first.code()) && !used(first);
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
        let Self { calls, faults, granted, refused_before, refused_after, .. } = self;
        let total: usize = faults.values().sum();
        let kills = faults.get("SIGKILL").copied().unwrap_or(0);
        let each: usize = calls.iter().sum();
        writeln!(to, "{total} faults at {each} calls ({calls:?} a thread): {kills} kills, {} errors", total - kills)?;
        writeln!(
            to,
            "  {granted} granted, {refused_before} refused with the old record, {refused_after} with the new one"
        )?;
        writeln!(to, "  kinds: {faults:?}")?;
        writeln!(to, "  calls: {:?}", self.names)?;
        writeln!(to, "  {} times no call came there", self.absent)?;
        write!(to, "  {} answers took more than a second: {:?}", self.slow.len(), self.slow)
    }
}
