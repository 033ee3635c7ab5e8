//! One user who connects and connects, on a host where systemd accepts the connections: what others
//! notice of it. Before version 257 it counts connections, and not whose they are.

use std::time::{Duration, Instant};

use mfa_tests::host::as_user;
use mfa_tests::pam::{self, Attempt, Plan, exact};
use mfa_tests::peer::{USER_SOCKET_PROGRAM, hold_many};
use mfa_tests::person::PASSWORD;
use mfa_tests::siege::Siege;
use mfa_tests::waiting::{alone, until};
use mfa_tests::{Device, Host, Running, cache};

/// How many connections she opens, as in `hostile_users.rs`.
const CONNECTIONS: usize = 1000;
/// As the verifier has it.
const PER_USER: usize = mfa_verifier::places::PER_USER as usize;
const SOCKET_UNIT: &str = "mfa-verifier-user.socket";
/// What the kernel counts a process's time in.
const TICK: Duration = Duration::from_millis(10);

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .user_without_password("carol")
        .config("[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n")
        .pam("login", &exact(""))
        .pam_example("mfa-setup", "mfa-setup")
        .bind(cache::program("user-socket"), USER_SOCKET_PROGRAM)
        .booted()
        .start()
}

/// A number that systemd has about the socket.
fn count(host: &Running, name: &str) -> usize {
    let argv = ["systemctl", "show", "--value", &format!("--property={name}"), SOCKET_UNIT];
    host.run(&argv).ok().trim().parse().unwrap()
}

/// How many connections systemd has decided about.
fn decided(host: &Running) -> usize {
    count(host, "NAccepted") + count(host, "NRefused")
}

/// The processor time that systemd has had.
fn time_of_systemd(host: &Running) -> Duration {
    let stat = host.read("/proc/1/stat");
    // utime and stime, counted from the name in parentheses: proc(5).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| TICK * ticks.parse::<u32>().unwrap()).sum()
}

/// How long others waited, and what was told to those who were turned away.
#[derive(Default)]
struct Noticed {
    logins: Vec<Duration>,
    statuses: Vec<Duration>,
    questions: Vec<Duration>,
    turned_away: Vec<String>,
}

impl Noticed {
    /// Logins that root asks for, another user's status, and another user's way to the first question.
    #[track_caller]
    fn look(&mut self, host: &Running, token: &mut Device) {
        let codes = token.codes(4).into_iter();
        let attempts = codes.map(|code| Attempt::new("login", "carol").answer(code)).collect();
        for report in pam::run(host, &Plan { attempts, ..Plan::default() }) {
            assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
            self.logins.push(Duration::from_micros(report.microseconds[0]));
        }
        for _ in 0..2 {
            let start = Instant::now();
            let status = host.run_as("bob", &["mfa-setup", "status", "--json"]);
            match status.code {
                Some(0) => self.statuses.push(start.elapsed()),
                _ => self.turned_away.push(status.stderr),
            }
            let start = Instant::now();
            let mut tty = host.pty(&as_user("bob", &["mfa-setup"]));
            match tty.expect_any(&[PASSWORD, "mfa-setup: hint: "]).0 {
                0 => self.questions.push(start.elapsed()),
                _ => self.turned_away.push(tty.text()),
            }
        }
    }

    fn medians(&self) -> [Option<Duration>; 3] {
        [&self.logins, &self.statuses, &self.questions].map(|times| median(times))
    }

    fn print(&self, when: &str) {
        let [login, status, question] = self.medians();
        let (served, not) = (self.statuses.len() + self.questions.len(), self.turned_away.len());
        println!(
            "{when}: root's login {login:?}, another's status {status:?}, another's first question \
             {question:?}; {served} served, {not} turned away"
        );
    }
}

/// Where nobody was served there is none.
fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[test]
fn a_thousand_connections_held_open_hold_up_nobody_else() {
    const ROUNDS: usize = 4;
    let _alone = alone();
    hold_many();
    let host = host();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    let [mut quiet, mut besieged]: [Noticed; 2] = Default::default();
    let mut settling = Duration::ZERO;
    for _ in 0..ROUNDS {
        quiet.look(&host, &mut token);
        let before = decided(&host);
        let start = Instant::now();
        let mut peer = host.peer("alice");
        let held: Vec<_> = (0..CONNECTIONS).map(|_| peer.connect()).collect();
        until("all are accepted or refused", || decided(&host) >= before + CONNECTIONS);
        until("she has no more than her share", || count(&host, "NConnections") <= PER_USER);
        settling = settling.max(start.elapsed());
        besieged.look(&host, &mut token);
        drop(held);
        until("no verifier is left", || count(&host, "NConnections") == 0);
    }
    quiet.print("without");
    besieged.print("with");
    println!("at most {settling:?} until she had her share alone");
    assert_eq!(besieged.turned_away, [""; 0]);
    for (quiet, besieged) in quiet.medians().into_iter().zip(besieged.medians()) {
        assert!(besieged.unwrap() <= quiet.unwrap() * 2);
    }
    assert!(settling < Duration::from_secs(10), "{settling:?}");
}

#[test]
fn connections_without_end_hold_up_no_login_and_nobody_when_they_are_over() {
    const CHURN: Duration = Duration::from_secs(10);
    let _alone = alone();
    let host = host();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    let [mut quiet, mut meanwhile, mut afterwards]: [Noticed; 3] = Default::default();
    for _ in 0..4 {
        quiet.look(&host, &mut token);
    }
    let before = (decided(&host), count(&host, "NRefused"), time_of_systemd(&host));
    let start = Instant::now();
    let churn = host.churn("alice");
    while start.elapsed() < CHURN {
        meanwhile.look(&host, &mut token);
    }
    let (took, systemd) = (start.elapsed(), time_of_systemd(&host).saturating_sub(before.2));
    let lull = Instant::now();
    let made = churn.wait_with_output().unwrap().stdout;
    let made: usize = String::from_utf8(made).unwrap().trim().parse().unwrap();
    until("all are accepted or refused", || decided(&host) >= before.0 + made);
    until("no verifier is left", || count(&host, "NConnections") == 0);
    let over = lull.elapsed();
    for _ in 0..4 {
        afterwards.look(&host, &mut token);
    }
    let refused = count(&host, "NRefused") - before.1;
    println!("{made} connections in {took:?}, {refused} refused; {over:?} until all was quiet");
    println!("systemd had {systemd:?} of processor time");
    quiet.print("before");
    meanwhile.print("meanwhile");
    afterwards.print("afterwards");
    assert!(made > 500, "{made} connections");
    assert!(median(&meanwhile.logins).unwrap() < Duration::from_millis(500));
    // She takes every place that becomes free, so others may be turned away meanwhile. They are told.
    for told in &meanwhile.turned_away {
        assert!(told.contains("mfa-setup: error: the verifier "), "{told}");
    }
    assert_eq!(afterwards.turned_away, [""; 0]);
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}

#[test]
fn where_one_process_listens_one_users_connections_without_end_turn_nobody_else_away() {
    const CHURN: Duration = Duration::from_secs(10);
    let _alone = alone();
    let host = host();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    host.shell(&format!("systemctl disable --now {SOCKET_UNIT}"));
    host.shell("systemctl enable --now mfa-verifier-users.service");
    until("it listens", || host.run_as("bob", &["mfa-setup", "status"]).code == Some(0));
    let [mut quiet, mut meanwhile]: [Noticed; 2] = Default::default();
    for _ in 0..4 {
        quiet.look(&host, &mut token);
    }
    let start = Instant::now();
    let churn = host.churn("alice");
    while start.elapsed() < CHURN {
        meanwhile.look(&host, &mut token);
    }
    let made = String::from_utf8(churn.wait_with_output().unwrap().stdout).unwrap();
    println!("{} connections in {:?}", made.trim(), start.elapsed());
    quiet.print("before");
    meanwhile.print("meanwhile");
    assert_eq!(meanwhile.turned_away, [""; 0]);
    // Away again, and nothing is left that others would have to move aside.
    host.shell("systemctl disable --now mfa-verifier-users.service");
    assert!(!host.path("/run/pam_mfa/user.sock").exists());
}

#[test]
fn what_is_slow_half_open_or_garbage_holds_up_no_login_and_nobody_when_it_is_over() {
    let _alone = alone();
    hold_many();
    let host = host();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    let [mut quiet, mut besieged, mut afterwards]: [Noticed; 3] = Default::default();
    for _ in 0..4 {
        quiet.look(&host, &mut token);
        let siege = Siege::lay(host.peer("alice"), CONNECTIONS);
        let (start, before) = (Instant::now(), time_of_systemd(&host));
        besieged.look(&host, &mut token);
        let (took, systemd) = (start.elapsed(), time_of_systemd(&host).saturating_sub(before));
        let made = siege.lift();
        println!("{made} connections in {took:?}, systemd had {systemd:?} of processor time");
        assert!(made >= CONNECTIONS);
        until("no verifier is left", || count(&host, "NConnections") == 0);
        afterwards.look(&host, &mut token);
    }
    quiet.print("before");
    besieged.print("meanwhile");
    afterwards.print("afterwards");
    assert!(median(&besieged.logins).unwrap() < Duration::from_millis(500));
    for told in &besieged.turned_away {
        assert!(told.contains("mfa-setup: error: the verifier "), "{told}");
    }
    assert_eq!(afterwards.turned_away, [""; 0]);
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}
