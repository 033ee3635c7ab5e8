//! Verifiers that are killed: the record from before or the one from after, never a third, and
//! never a second acceptance.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::host::PAM_CLIENT;
use mfa_tests::mode::is_whole;
use mfa_tests::pam::{Attempt, Plan, Reaps, Report, Surroundings};
use mfa_tests::traced::{MODULE, SOCKET, Traced};
use mfa_tests::{Device, Host, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it: an update that is lost shows at the next login.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("traced", MODULE)
}

#[test]
fn a_thousand_kills_at_random_moments_lose_no_acknowledged_update() {
    const KILLS: usize = 1000;
    let host = host().start();
    let devices = ["alice", "bob"].map(|user| (user, host.enrol_with(user, &["hotp"]).device));
    let mut all = Tally::default();
    thread::scope(|scope| {
        let killers = devices.map(|(user, device)| {
            let host = &host;
            scope.spawn(move || kill_at_random(host, user, device, KILLS / 2))
        });
        for killer in killers {
            all += killer.join().unwrap();
        }
    });
    let Tally { kills, before, after, answered, acknowledged } = all;
    let healed = host.logged_by_now("healed=").len();
    println!(
        "{kills} kills: {before} left the old record, {after} the new one, {answered} came with \
         the answer; {acknowledged} acknowledged updates, none lost; {healed} times healed"
    );
    assert!(kills >= KILLS && before > 0 && after > 0, "{all:?}");
    assert_eq!(host.logged_by_now("outcome=unavailable"), [""; 0]);
}

/// What came of the kills.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// Verifiers that were alive and then killed.
    kills: usize,
    /// … without a trace of the login.
    before: usize,
    /// … whose login was saved, although nobody was told.
    after: usize,
    /// … that had answered.
    answered: usize,
    /// Logins that were answered with an acceptance.
    acknowledged: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.kills += more.kills;
        self.before += more.before;
        self.after += more.after;
        self.answered += more.answered;
        self.acknowledged += more.acknowledged;
    }
}

/// Each code of the device is given twice; the verifier that judges it first is killed.
fn kill_at_random(host: &Running, user: &str, mut device: Device, kills: usize) -> Tally {
    let mut tally = Tally::default();
    // How long a login takes to its prompt, and from there to its end.
    let mut usual = [Duration::from_millis(10); 2];
    while tally.kills < kills {
        let codes = device.codes(100);
        let mut application = Application::start(host, user, &codes);
        for _ in &codes {
            if tally.kills >= kills {
                break;
            }
            // One in four dies before it asks: it is opening what the one before left behind.
            let phase = usize::from(random() > 0.25);
            let moment = usual[phase].mul_f64(random() * 1.1);
            let (killed, first) = application.killed_login(phase, moment);
            // One that was killed gave no answer, or its only one.
            let unanswered = killed && first.code() == "PAM_AUTHINFO_UNAVAIL";
            let first = !unanswered && first.accepted();
            assert!(first || unanswered, "{user}: a fresh code was used before");
            let (times, second) = application.login();
            let second = second.accepted();
            assert!(!(first && second), "{user}: accepted twice");
            tally.acknowledged += usize::from(first || second);
            if killed {
                tally.kills += 1;
                tally.before += usize::from(second);
                tally.after += usize::from(!first && !second);
                tally.answered += usize::from(first);
            }
            for (usual, time) in usual.iter_mut().zip(times) {
                *usual = (*usual * 7 + time) / 8;
            }
        }
        application.end();
    }
    tally
}

/// A number from 0 to 1, from the only source of chance that the standard library has.
fn random() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap()) / f64::from(u32::MAX)
}

/// An application with many logins, one after the other, that waits at each prompt.
struct Application {
    child: Child,
    pid: Pid,
    keyboard: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Application {
    fn start(host: &Running, user: &str, codes: &[String]) -> Self {
        let attempt = |code: &String| Attempt::new("app", user).answer(code.as_str()).wait_at(0);
        let attempts = codes.iter().flat_map(|code| [attempt(code), attempt(code)]).collect();
        // It is found by whose child it becomes.
        let surroundings = Surroundings { reaps: Reaps::Orphans, ..Surroundings::default() };
        let plan = Plan { attempts, surroundings, ..Plan::default() };
        let mut command = host.command(&[PAM_CLIENT]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut keyboard = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let nsenter = Pid::from_raw(child.id().try_into().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        let pid = loop {
            if let [pid] = children(nsenter)[..] {
                break pid;
            }
            assert!(Instant::now() < deadline, "nsenter has no child");
            thread::yield_now();
        };
        writeln!(keyboard, "{}", serde_json::to_string(&plan).unwrap()).unwrap();
        Self { child, pid, keyboard, said }
    }

    /// A login, and how long it took to its prompt and from there.
    fn login(&mut self) -> ([Duration; 2], Report) {
        let (started, line) = (Instant::now(), self.line());
        assert_eq!(line, "at the prompt\n");
        let (answered, ()) = (Instant::now(), self.go());
        let report = self.report();
        ([answered - started, answered.elapsed()], report)
    }

    /// A login whose verifier is killed some time after it was started (0) or answered (1), if it
    /// still runs then.
    fn killed_login(&mut self, phase: usize, moment: Duration) -> (bool, Report) {
        if phase == 0 {
            thread::sleep(moment);
            let killed = self.kill(&children(self.pid));
            let line = self.line();
            if line != "at the prompt\n" {
                return (killed, serde_json::from_str(&line).unwrap());
            }
            self.go();
            return (killed, self.report());
        }
        assert_eq!(self.line(), "at the prompt\n");
        let verifier = children(self.pid);
        self.go();
        thread::sleep(moment);
        let killed = self.kill(&verifier);
        (killed, self.report())
    }

    /// Kills the verifier, which may be one process still, or have left it; false if it was dead.
    fn kill(&self, verifier: &[Pid]) -> bool {
        let runs = |pid: &Pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let (state, parent) = (rest.next(), rest.next());
            state.is_some_and(|state| state != "Z") && parent == Some(&self.pid.to_string())
        };
        let killed =
            verifier.iter().filter(|pid| runs(pid) && kill(**pid, Signal::SIGKILL).is_ok());
        killed.count() > 0
    }

    fn go(&mut self) {
        writeln!(self.keyboard, "go").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }

    fn report(&mut self) -> Report {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn end(mut self) {
        drop(self.keyboard);
        self.child.wait().unwrap();
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    list.unwrap_or_default().split_whitespace().map(|p| Pid::from_raw(p.parse().unwrap())).collect()
}

/// A system call of the thread that talks to the face: which function, and its how manieth call.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    function: String,
    number: usize,
}

impl Point {
    /// A verifier that is killed when it is about to make that call.
    fn kill(&self, host: &Running) -> Traced {
        let Self { function, number } = self;
        Traced::start(host, &["-e", &format!("inject={function}:signal=SIGKILL:when={number}")])
    }
}

/// Where to kill: at some of the calls before the first about `decisive`, and at some more from
/// there on.
fn sample(calls: &[String], decisive: &str, before: usize, behind: usize) -> Vec<Point> {
    let from = calls.iter().position(|call| call.contains(decisive)).expect("a decisive call");
    let step = |calls, points| std::cmp::max(calls / std::cmp::max(points, 1), 1);
    // The first call is the start of the program.
    let first = (1..from).step_by(step(from, before)).take(before);
    let then = (from..calls.len()).step_by(step(calls.len() - from, behind));
    let function = |at: usize| calls[at].split('(').next().unwrap_or_default();
    let points = first.chain(then).filter(|at| calls[*at].contains('(')).map(|at| Point {
        function: function(at).to_owned(),
        number: (0..=at).filter(|earlier| function(*earlier) == function(at)).count(),
    });
    points.collect()
}

/// No interrupted opening, making or removing is left.
fn leftovers(host: &Running) -> Vec<String> {
    let found = host.shell(
        "find /var/lib/pam_mfa /etc/pam_mfa -name '.new-*' -o -name '.gone-*' -o -name '*.new' \
         -o -name '*.generating'",
    );
    found.lines().map(str::to_owned).collect()
}

/// A login with nobody in its way, which takes less than a second whatever happened before.
#[track_caller]
fn log_in(host: &Running, user: &str, code: &str) -> Report {
    let report = Attempt::new("app", user).answer(code).run(host);
    assert!(report.microseconds[0] < 1_000_000, "{report:?}");
    report
}

#[test]
fn an_enrolment_that_is_killed_at_a_system_call_is_whole_or_is_not() {
    // One code in a batch: its hash is what takes the time of an enrolment.
    let config = format!("{CONFIG}[backup_codes]\ncount = 1\n");
    let host = host().config(&config).start();
    let add = ["mfa-setup", "add", "hotp", "--user", "bob", "--json", "--yes", "--no-confirm"];
    let add_traced = [&add[..], &["--socket", SOCKET]].concat();
    let mfa_setup =
        |command| host.run(&["mfa-setup", command, "--user", "bob", "--json", "--yes"]).json();
    let make_anew = || {
        host.shell("rm -rf /etc/pam_mfa/store.key* /var/lib/pam_mfa/*");
    };

    for (what, founds) in [("the enrolment that makes the store", true), ("an enrolment", false)] {
        make_anew();
        if !founds {
            host.enrol("alice");
        }
        let whole = Traced::start(&host, &[]);
        host.run(&add_traced).ok();
        let calls = whole.end();
        let first_file = if founds { "store.key.new" } else { ".new-1001" };
        let points = sample(&calls, first_file, 5, if is_whole() { 40 } else { 20 });
        let [mut before, mut after, mut answered] = [0; 3];
        for point in &points {
            if founds {
                make_anew();
            } else {
                mfa_setup("reset");
            }
            let killed = point.kill(&host);
            let output = host.run(&add_traced);
            killed.end();
            let enrolled = mfa_setup("status")["enrolled"] == true;
            match (output.code, enrolled) {
                (Some(0), true) => answered += 1,
                (Some(3), true) => after += 1,
                (Some(3), false) => before += 1,
                _ => panic!("killed at {point:?}: enrolled {enrolled}, {output:?}"),
            }
            if output.code != Some(0) {
                assert_eq!(output.stdout, "", "an answer that was not given");
                assert!(output.stderr.contains("mfa-setup: hint: "), "{}", output.stderr);
                if enrolled {
                    mfa_setup("reset");
                }
                let code = host.enrol_with("bob", &["hotp"]).device.code();
                assert!(log_in(&host, "bob", &code).accepted());
            }
            assert_eq!(leftovers(&host), [""; 0], "killed at {point:?}");
        }
        println!(
            "{what} killed at {} of {} calls: {before} left nothing, {after} a whole record, \
             {answered} came with the answer",
            points.len(),
            calls.len()
        );
        assert!(before > 0);
    }
}
