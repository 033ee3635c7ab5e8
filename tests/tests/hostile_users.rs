//! Users of the host who mean no good, at the socket that is there for everybody: what they send,
//! how much of it, what they claim, and what they do to the verifiers that serve them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mfa_protocol::PROTOCOL_VERSION;
use mfa_protocol::message::{
    Action, DeviceKind, FailureKind, LoginRequest, ManageRequest, NewDevice, Reply, Request,
    Terminal, Verdict,
};
use mfa_protocol::relay::encode;
use mfa_tests::cache;
use mfa_tests::host::{Output, as_user};
use mfa_tests::listener::USER_SOCKET;
use mfa_tests::pam::{self, Attempt, Plan, exact};
use mfa_tests::peer::{Peer, USER_SOCKET_PROGRAM, hold_many};
use mfa_tests::{Device, Host, Pty, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
const GENEROUS: &str =
    "[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n";
const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";
const VERIFIER: &str = "/usr/libexec/pam_mfa/mfa-verifier";
const TOO_MANY: &str = "too many";

/// Verifiers of users at once, of all and of one: `MaxConnections` and what systemd cannot count.
const MOST: usize = 64;
const PER_USER: usize = 8;

/// How many connections attackers open here.
const CONNECTIONS: usize = 1000;

fn described(config: &str) -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(config)
        .pam("login", &exact(""))
        // With a common-auth in which pam_unix delays nothing.
        .pam_example("sshd", "sshd")
        .bind(cache::program("user-socket"), USER_SOCKET_PROGRAM)
}

/// Held by tests that measure times, or take all that the machine has.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for something that another process does.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The process numbers of all verifiers but the one that listens.
fn verifiers(host: &Running, listener: u32) -> Vec<String> {
    let all = host.run(&["pgrep", "-x", "mfa-verifier"]).stdout;
    let listener = listener.to_string();
    all.lines().filter(|pid| **pid != listener).map(str::to_owned).collect()
}

fn descriptors(host: &Running, pid: u32) -> usize {
    fs::read_dir(host.path(format!("/proc/{pid}/fd"))).unwrap().count()
}

fn status_of(host: &Running, user: &str) -> Output {
    host.run_as(user, &["mfa-setup", "status", "--json"])
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length, payload].concat()
}

fn bytes_of(request: &Request) -> Vec<u8> {
    framed(&[&PROTOCOL_VERSION.to_le_bytes(), encode(request).unwrap().as_slice()].concat())
}

fn login(user: &str) -> LoginRequest {
    LoginRequest { user: user.as_bytes().to_vec(), ..LoginRequest::default() }
}

fn manage(user: Option<&str>, action: Action) -> Request {
    let user = user.map(|user| user.as_bytes().to_vec());
    Request::Manage(ManageRequest { user, action })
}

fn new_device(confirm: bool) -> NewDevice {
    NewDevice {
        kind: DeviceKind::Totp,
        label: Some("phone".to_owned()),
        algorithm: None,
        digits: None,
        period: None,
        counter: None,
        secret: None,
        confirm,
        guided: false,
        show: false,
        terminal: Terminal { columns: 80, utf8: true },
    }
}

/// Whose records there are, and all that changes when one is written. Logins of those
/// who have none work on decoys, whose uids are the last.
fn store(host: &Running) -> String {
    host.shell(
        "cd /var/lib/pam_mfa; ls users
         find . -not -path './users/42949672*' -printf '%p %y %m %s %T@\\n' | sort",
    )
}

/// Many connections of one user, each held in one of the ways in which a connection can be held.
struct Siege {
    over: Arc<AtomicBool>,
    keeper: JoinHandle<usize>,
}

impl Siege {
    fn lay(mut peer: Peer) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let held: Vec<_> = (0..CONNECTIONS).map(|number| hold(&mut peer, number)).collect();
        let told = Arc::clone(&over);
        let keeper = thread::spawn(move || keep(peer, held, &told));
        Self { over, keeper }
    }

    /// Ends it: how many connections were made.
    fn lift(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.keeper.join().unwrap()
    }
}

fn hold(peer: &mut Peer, number: usize) -> UnixStream {
    let mut stream = peer.connect();
    let request = bytes_of(&Request::Login(Box::new(login("alice"))));
    let oversized = (64 * 1024 + 1u32).to_le_bytes();
    // Who is turned away meanwhile has nobody to send to.
    let _ = match number % 8 {
        0 => Ok(()),
        1 => stream.write_all(&[9, 0]),
        2 => stream.write_all(&request[..request.len() - 1]),
        3 => stream.shutdown(Shutdown::Write),
        4 => stream.write_all(&[0xff; 4096]),
        5 => stream.write_all(&oversized),
        // Waits at the prompt, for as long as a person may take.
        6 => stream.write_all(&request),
        // The rest of it is sent now and then.
        _ => stream.write_all(&request[..1]),
    };
    stream.set_nonblocking(true).unwrap();
    stream
}

/// A byte now and then for those that are slow, and a new connection for some that have ended.
fn keep(mut peer: Peer, mut held: Vec<UnixStream>, over: &AtomicBool) -> usize {
    let (mut made, mut turn) = (held.len(), 0);
    while !over.load(Ordering::Relaxed) {
        let mut anew = 0;
        for (number, stream) in held.iter_mut().enumerate() {
            if number % 8 == 7 {
                let _ = stream.write(&[0]);
            }
            let ended = match stream.read(&mut [0; 1024]) {
                Ok(length) => length == 0,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            // Each in its turn, or the places would go to those alone that end at once.
            let next = (number + CONNECTIONS - turn) % CONNECTIONS < 50;
            if ended && next {
                *stream = hold(&mut peer, number);
                anew += 1;
            }
        }
        made += anew;
        turn = (turn + 50) % CONNECTIONS;
        thread::sleep(Duration::from_millis(100));
    }
    made
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_thousand_connections_of_one_user_hold_up_nobody_else() {
    const ROUNDS: usize = 10;
    let _alone = alone();
    hold_many();
    let host = described(GENEROUS).user_without_password("carol").start();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    let listener = host.listen_for_users();
    let before = descriptors(&host, listener.pid());

    let mut measure = |times: &mut [Vec<Duration>; 3]| {
        let codes = token.codes(6).into_iter();
        let attempts = codes.map(|code| Attempt::new("login", "carol").answer(code)).collect();
        for report in pam::run(&host, &Plan { attempts, ..Plan::default() }) {
            assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
            times[0].push(Duration::from_micros(report.microseconds[0]));
        }
        for _ in 0..3 {
            let start = Instant::now();
            status_of(&host, "bob").ok();
            times[1].push(start.elapsed());
            let start = Instant::now();
            let mut tty = host.pty(&as_user("bob", &["mfa-setup"]));
            tty.expect(PASSWORD);
            times[2].push(start.elapsed());
        }
    };
    let mut times: [[Vec<Duration>; 3]; 2] = Default::default();
    let (mut most, mut memory) = (0, 0);
    for _ in 0..ROUNDS {
        measure(&mut times[0]);
        let siege = Siege::lay(host.peer("alice"));
        let mut look = || {
            let left = verifiers(&host, listener.pid());
            most = most.max(left.len());
            memory = memory.max(kib_of(&host, &left));
            left.len() == PER_USER
        };
        until("her places are taken", &mut look);
        measure(&mut times[1]);
        until("her places alone are taken", &mut look);
        let mut own = status_of(&host, "alice");
        until("she is refused herself", || {
            own = status_of(&host, "alice");
            own.code != Some(0)
        });
        assert_eq!(own.code, Some(1), "{own:?}");
        assert!(own.stderr.contains(TOO_MANY) && own.stderr.contains("hint: "), "{own:?}");
        let made = siege.lift();
        assert!(made >= CONNECTIONS);
        until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    }
    status_of(&host, "alice").ok();
    assert_eq!(descriptors(&host, listener.pid()), before, "descriptors of the listener");
    for (number, what) in
        ["root's login", "another's status", "another's first question"].into_iter().enumerate()
    {
        let [quiet, besieged] = [0, 1].map(|which| median(times[which][number].clone()));
        println!("{what}: median {quiet:?} without, {besieged:?} with {CONNECTIONS} connections");
        assert!(besieged <= quiet * 2, "{what}: {quiet:?}, {besieged:?}");
    }
    println!("at most {most} verifiers, {memory} KiB of their own");
    // One more for bob, who may just have hung up, and mfa-reauth is no verifier.
    assert!(most <= PER_USER + 2 && memory < 64 * 1024, "{most} verifiers, {memory} KiB");
    assert_eq!(listener.stop(), Some(0));
}

/// The memory that these processes have, each part of what they share counted once.
fn kib_of(host: &Running, pids: &[String]) -> u64 {
    let rollup = |pid: &String| {
        // One that has ended has none.
        let path = host.path(format!("/proc/{pid}/smaps_rollup"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        pss.and_then(|pss| pss.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    pids.iter().map(rollup).sum()
}

#[test]
fn there_are_never_more_verifiers_than_sixty_four_and_root_needs_none_of_them() {
    let _alone = alone();
    hold_many();
    let mut host = described(REQUIRED);
    for number in 0..9 {
        host = host.user_without_password(&format!("user{number}"));
    }
    let host = host.start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let listener = host.listen_for_users();
    let mut held = vec![];
    for number in 0..9 {
        let mut peer = host.peer(&format!("user{number}"));
        held.extend((0..20).map(|_| peer.connect()));
    }
    until("the places are taken", || verifiers(&host, listener.pid()).len() == MOST);
    let refused = status_of(&host, "bob");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(TOO_MANY), "{refused:?}");
    let report = Attempt::new("login", "alice").answer(token.code()).run(&host);
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
    host.run(&["mfa-setup", "status", "--user", "alice"]).ok();
    assert_eq!(verifiers(&host, listener.pid()).len(), MOST);
    drop(held);
    until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    status_of(&host, "bob").ok();
}

#[test]
fn uids_that_nobody_has_take_no_place_of_those_who_are_somebody() {
    hold_many();
    let host = described(REQUIRED).start();
    let listener = host.listen_for_users();
    // Those of /etc/subuid, say, of which an ordinary user has 65,536.
    let mut held = vec![];
    for uid in 200_000..200_012 {
        let mut peer = host.peer(&uid.to_string());
        held.extend((0..PER_USER).map(|_| peer.connect()));
    }
    // The last of them was accepted before bob.
    status_of(&host, "bob").ok();
    until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    drop(held);
}

#[test]
fn garbage_is_refused_with_one_short_line_each() {
    let _alone = alone();
    let host = described(REQUIRED).start();
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let start = Instant::now();
    for number in 0..CONNECTIONS {
        let mut stream = peer.connect();
        let garbage: Vec<u8> =
            (0..300).map(|at| u8::try_from((at * 7 + number) % 256).unwrap()).collect();
        let _ = stream.write_all(if number % 2 == 0 { &[0xff; 64] } else { &garbage });
        let _ = stream.shutdown(Shutdown::Write);
        // Until it is refused.
        let _ = stream.read_to_end(&mut vec![]);
    }
    let took = start.elapsed();
    let lines = host.logged_by_now("mfa");
    let longest = lines.iter().map(String::len).max().unwrap();
    println!("{CONNECTIONS} in {took:?}: {} lines of at most {longest} bytes", lines.len());
    assert!((1..=CONNECTIONS).contains(&lines.len()));
    assert!(longest < 200, "{lines:?}");
    for line in &lines {
        assert!(line.contains("request=refused by_uid=1000 reason=\""), "{line}");
    }
}

#[test]
fn a_user_who_connects_without_end_does_not_keep_another_from_enrolling() {
    let _alone = alone();
    let host = described(GENEROUS).start();
    let listener = host.listen_for_users();
    let churn = host.churn("alice");
    host.wait_for_log("request=refused by_uid=1000");
    let start = Instant::now();
    let mut times = vec![];
    for _ in 0..20 {
        let start = Instant::now();
        status_of(&host, "bob").ok();
        times.push(start.elapsed());
    }
    enrol(&host, "bob", "builder");
    let took = start.elapsed();
    let made = churn.wait_with_output().unwrap().stdout;
    let made: usize = String::from_utf8(made).unwrap().trim().parse().unwrap();
    println!("{made} connections in {took:?}, another's status: median {:?}", median(times));
    assert!(made > 1000 && took < Duration::from_secs(20), "{made} in {took:?}");
    // What of hers waits to be accepted still is refused before.
    until("she is served herself", || status_of(&host, "alice").code == Some(0));
    until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    assert_eq!(listener.stop(), Some(0));
}

/// Leads a person through the guided enrolment.
#[track_caller]
fn enrol(host: &Running, user: &str, password: &str) {
    let mut tty = host.pty(&as_user(user, &["mfa-setup"]));
    tty.expect(PASSWORD);
    tty.send_line(password);
    finish_enrolment(&mut tty);
}

#[track_caller]
fn finish_enrolment(tty: &mut Pty) {
    tty.expect("A name for the device [phone]: ");
    tty.send_line("");
    tty.expect("Or type this key into it: ");
    let key = tty.expect("\r\n");
    tty.expect("The code that it shows now: ");
    tty.send_line(&Device::totp(&key.replace(' ', "")).code());
    tty.expect("   1  ");
    let kept = tty.expect("\r\n");
    tty.expect("Type one of these codes, to show that you have kept them: ");
    tty.send_line(&kept);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
}

#[test]
fn who_comes_to_a_full_queue_waits_for_a_moment_and_is_served() {
    hold_many();
    let host = described(REQUIRED).start();
    let listener = host.listen_for_users();
    // It accepts nobody meanwhile, as on a machine that is busy for a moment.
    limit_descriptors(&host, listener.pid(), least_limit(&host, listener.pid()));
    let mut peer = host.peer("alice");
    let mut held = vec![];
    let full = loop {
        match peer.try_connect() {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 10_000, "the queue has no end");
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    println!("the queue holds {}", held.len());
    thread::scope(|scope| {
        let bob = scope.spawn(|| status_of(&host, "bob"));
        until("bob asks", || bob.is_finished() || is_asking(&host));
        limit_descriptors(&host, listener.pid(), 1024);
        bob.join().unwrap().ok();
    });
}

fn is_asking(host: &Running) -> bool {
    host.run(&["pgrep", "-x", "mfa-setup"]).code == Some(0)
}

/// The limit under which nothing more can be opened.
fn least_limit(host: &Running, pid: u32) -> usize {
    let open = |number: &usize| host.path(format!("/proc/{pid}/fd/{number}")).symlink_metadata();
    (0..4096).find(|number| open(number).is_err()).unwrap()
}

fn limit_descriptors(host: &Running, pid: u32, files: usize) {
    let files = format!("--nofile={files}:4096");
    host.run(&["prlimit", "--pid", &pid.to_string(), &files]).ok();
}

#[test]
fn nothing_that_a_user_claims_about_a_login_is_believed() {
    let host = described(REQUIRED).start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let claim = |number: u8| LoginRequest {
        service: ["sshd", "sudo", "mfa-setup", "login", "\n\u{1b}[2J"][usize::from(number)]
            .to_owned(),
        rhost: Some(format!("192.0.2.{number}")),
        tty: Some("ssh".to_owned()),
        ruser: Some("root".to_owned()),
        ssh_auth_info: Some("publickey ssh-ed25519 AAAAC3Nza\n".to_owned()),
        password_given: true,
        debug: true,
        ..login("alice")
    };
    for number in 0..5 {
        let request = Request::Login(Box::new(claim(number)));
        let (reply, asked) = peer.ask(&request, &[&token.wrong_code()]);
        assert!(matches!(reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Denied));
        assert_eq!(asked, [CODE]);
    }
    let lines = host.logged_by_now("reason=wrong_code");
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in &lines {
        assert!(line.contains("user=\"alice\" uid=1000 service=unprivileged "), "{line}");
        for claimed in ["192.0.2.", "tty=ssh", "root", "publickey", "sshd", "[2J"] {
            assert!(!line.contains(claimed), "{claimed} in {line}");
        }
    }
    assert!(host.logged("debug").is_empty());
    // All of it was charged to this host: here she waits, and from where she claimed to be she does not.
    let (reply, _) = peer.ask(&Request::Login(Box::new(claim(0))), &[&token.code()]);
    assert!(
        matches!(&reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Locked),
        "{reply:?}"
    );
    let local = Attempt::new("login", "alice").answer(token.code()).run(&host);
    assert_eq!(local.code(), "PAM_AUTH_ERR");
    host.wait_for_log("outcome=locked user=\"alice\" uid=1000 service=login");
    let remote = Attempt::new("login", "alice").from("192.0.2.1").answer(token.code()).run(&host);
    assert_eq!(remote.code(), "PAM_SUCCESS", "{remote:?}");
}

#[test]
fn every_request_about_somebody_else_is_refused_and_changes_nothing() {
    let host = described(REQUIRED).start();
    let mut token = host.enrol_with("bob", &["hotp", "--label", "phone"]).device;
    host.enrol_with("alice", &["hotp", "--label", "phone"]);
    let listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let before = store(&host);
    let phone = || "phone".to_owned();
    let roots = || {
        vec![
            Action::ShowKey { label: phone() },
            Action::Unlock,
            Action::Reset,
            Action::Invite { lifetime: 3600 },
            Action::Add(Box::new(new_device(false))),
            Action::Add(Box::new(NewDevice {
                secret: Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into()),
                ..new_device(true)
            })),
        ]
    };
    let mut all = roots();
    all.extend([
        Action::Add(Box::new(new_device(true))),
        Action::Status,
        Action::Remove { label: phone() },
        Action::MakeDefault { label: phone() },
        Action::Codes,
        Action::NewCodes,
        Action::Resync { label: phone() },
    ]);
    let refused = |peer: &mut Peer, request: Request| match peer.ask(&request, &[]) {
        (Reply::Failed(failure), asked) => {
            assert_eq!(
                (failure.kind, &asked[..]),
                (FailureKind::NotPermitted, &[][..]),
                "{request:?}"
            );
            failure
        }
        (other, _) => panic!("{request:?}: {other:?}"),
    };
    for action in &all {
        let of = |user| manage(Some(user), action.clone());
        let failures = ["bob", "root", "nobody-at-all", "../1001", ""]
            .map(|user| refused(&mut peer, of(user)));
        assert!(failures.iter().all(|failure| *failure == failures[0]), "{failures:?}");
    }
    for action in roots() {
        for user in [None, Some("alice")] {
            refused(&mut peer, manage(user, action.clone()));
        }
    }
    // A login as somebody else: nobody is asked anything.
    for user in ["bob", "root", "nobody-at-all", "../1001", ""] {
        let (reply, asked) = peer.ask(&Request::Login(Box::new(login(user))), &["123456"]);
        let denied =
            matches!(&reply, Reply::Outcome(o) if o.verdict == Verdict::Denied && o.user.is_none());
        assert!(denied && asked.is_empty(), "{user}: {reply:?} {asked:?}");
    }
    assert_eq!(store(&host), before);
    assert_eq!(host.logged_by_now("another user's record was asked for").len(), all.len() * 5 + 5);

    // A connection is its maker's, whoever uses it: here the test itself, which is root.
    let (reply, _) = host.peer("bob").ask(&manage(None, Action::Status), &[]);
    assert!(matches!(reply, Reply::Status(status) if status.user == "bob" && status.failures == 0));
    let report = Attempt::new("login", "bob").answer(token.code()).run(&host);
    assert_eq!(report.code(), "PAM_SUCCESS");
    assert_eq!(listener.stop(), Some(0));
}

#[test]
fn no_claim_exempts_from_what_policy_asks() {
    for (mode, enrolled, expected) in [
        ("required", false, Verdict::Denied),
        ("required", true, Verdict::Denied),
        ("optional", true, Verdict::Denied),
        // What root lets everybody do here.
        ("optional", false, Verdict::Exempt),
        ("off", true, Verdict::Exempt),
    ] {
        let host = described(&format!("[policy]\nmode = \"{mode}\"\n")).start();
        if enrolled {
            host.enrol_with("alice", &["hotp"]);
        } else {
            host.enrol_with("bob", &["hotp"]);
        }
        let _listener = host.listen_for_users();
        let mut peer = host.peer("alice");
        for service in ["mfa-setup", "unprivileged", "", "sshd", "cron"] {
            let request = LoginRequest {
                service: service.to_owned(),
                password_given: true,
                ..login("alice")
            };
            let (reply, asked) = peer.ask(&Request::Login(Box::new(request)), &["123456"]);
            let Reply::Outcome(outcome) = reply else { panic!("{reply:?}") };
            assert_eq!(outcome.verdict, expected, "{mode}, enrolled: {enrolled}, {service}");
            assert_eq!(asked.len(), usize::from(expected == Verdict::Denied), "{mode} {service}");
        }
    }
}

#[test]
fn the_user_who_is_served_has_no_hold_on_the_verifier() {
    let host = described(REQUIRED).start();
    let listener = host.listen_for_users();
    // Whatever is hers when she asks: limits, priority, ignored signals, umask, environment.
    let script = "trap '' HUP INT QUIT TERM USR1 CHLD; umask 0; cd /home/alice
                  renice -n 19 $$ >/dev/null; ulimit -S -f 0; ulimit -S -c unlimited
                  export LD_DEBUG_OUTPUT=/home/alice/heeded; exec 7</etc/passwd; exec mfa-setup";
    let mut tty = host.pty(&as_user("alice", &["sh", "-c", script]));
    tty.expect(PASSWORD);
    let all = verifiers(&host, listener.pid());
    let [verifier] = &all[..] else { panic!("{all:?}") };
    let reauth = host.shell("pgrep -x mfa-reauth").trim().to_owned();
    for (pid, name) in [(verifier, "mfa-verifier"), (&reauth, "mfa-reauth")] {
        let proc = |what: &str| format!("/proc/{pid}/{what}");
        let status = host.read(proc("status"));
        for line in
            ["Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Umask:\t0077", "SigBlk:\t0000000000000000"]
        {
            assert!(status.contains(line), "{name}: {line} is not in {status}");
        }
        assert_eq!(host.shell(&format!("ps -o ni= -p {pid}")).trim(), "0", "{name}");
        assert_eq!(host.read(proc("environ")), "", "{name}");
        assert_eq!(host.shell(&format!("readlink {}", proc("cwd"))), "/\n", "{name}");
        let limits = host.read(proc("limits"));
        let unlimited = limits.lines().find(|line| line.starts_with("Max file size")).unwrap();
        assert!(unlimited.contains("unlimited"), "{name}: {unlimited}");
        let signals = ["0", "STOP", "TSTP", "CONT", "TERM", "KILL", "INT", "HUP", "QUIT", "SEGV"];
        let signals =
            signals.map(|signal| vec!["kill".to_owned(), format!("-{signal}"), pid.clone()]);
        let others = [
            vec!["prlimit", "--pid", pid, "--fsize=0"],
            vec!["renice", "-n", "19", "-p", pid],
            vec!["strace", "-p", pid],
            vec!["cat", "/proc/PID/environ"],
            vec!["cat", "/proc/PID/maps"],
            vec!["cat", "/proc/PID/syscall"],
            vec!["ls", "/proc/PID/fd/"],
            vec!["sh", "-c", "echo 1000 > /proc/PID/oom_score_adj"],
            vec!["nsenter", "--target", pid, "--mount", "true"],
            vec!["cat", "/run/pam_mfa/users.lock"],
            vec!["flock", "/run/pam_mfa/users.lock", "true"],
            vec!["flock", "/run/pam_mfa/made", "true"],
            vec!["rm", "-f", USER_SOCKET],
        ];
        let others = others.map(|argv| argv.into_iter().map(|a| a.replace("PID", pid)).collect());
        let tries: Vec<Vec<String>> = signals.into_iter().chain(others).collect();
        for argv in &tries {
            let output = host.run_as("alice", argv);
            assert_ne!(output.code, Some(0), "{argv:?}");
            let denied =
                ["not permitted", "ermission denied"].iter().any(|no| output.stderr.contains(no));
            assert!(denied, "{argv:?}: {output:?}");
        }
    }
    tty.send_line("rabbit hole");
    finish_enrolment(&mut tty);
}

#[test]
fn root_of_a_users_own_namespace_is_not_root() {
    let host = described(REQUIRED).start();
    host.enrol_with("alice", &["hotp", "--label", "phone"]);
    host.enrol_with("bob", &["hotp", "--label", "phone"]);
    let _listener = host.listen_for_users();
    let before = store(&host);
    let as_its_root = |argv: &[&str]| {
        host.run_as("alice", &[&["unshare", "--user", "--map-root-user", "--"], argv].concat())
    };
    assert_eq!(as_its_root(&["id", "-u"]).ok(), "0\n");
    for argv in [
        &["mfa-setup", "status", "--user", "bob"][..],
        &["mfa-setup", "show-key", "phone", "--user", "alice"],
        &["mfa-setup", "reset", "--user", "bob", "--yes"],
        &["mfa-setup", "status", "--user", "bob", "--socket", USER_SOCKET],
        &["mfa-setup", "show-key", "phone", "--socket", USER_SOCKET],
    ] {
        let output = as_its_root(argv);
        assert!(
            matches!(output.code, Some(3 | 4)) && output.stdout.is_empty(),
            "{argv:?}: {output:?}"
        );
    }
    assert_eq!(store(&host), before);
}

#[test]
fn the_socket_is_for_everybody_and_its_directory_is_roots_whatever_the_umask() {
    for umask in ["0", "0777"] {
        let script = format!("#!/bin/sh\numask {umask}\nexec {VERIFIER} \"$@\"\n");
        let host = described(REQUIRED).file_with_mode("/with-umask", script, 0o755).start();
        let listener = host.listen_with("/with-umask");
        let mode = |path: &str| {
            let metadata = fs::symlink_metadata(host.path(path)).unwrap();
            (metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        assert_eq!(mode(USER_SOCKET), (0o666, 0, 0), "umask {umask}");
        assert_eq!(mode("/run/pam_mfa"), (0o755, 0, 0), "umask {umask}");
        status_of(&host, "bob").ok();
        assert_eq!(mode("/run/pam_mfa/users.lock"), (0o600, 0, 0), "umask {umask}");
        assert_eq!(host.shell("ls -A /run/pam_mfa"), "user.sock\nusers.lock\n");
        assert_eq!(listener.stop(), Some(0));
        assert!(!host.path(USER_SOCKET).exists());
    }
}

#[test]
fn what_stands_in_the_sockets_place_is_replaced_and_not_followed() {
    let host = described(REQUIRED).start();
    host.listen_for_users().stop();
    for (what, planting) in [
        ("a socket of one that was killed", ""),
        ("a link", "ln -s /etc/hostname /run/pam_mfa/user.sock"),
        ("a link to nothing", "ln -s /etc/made /run/pam_mfa/user.sock"),
        ("a FIFO", "mkfifo /run/pam_mfa/user.sock"),
        ("a file", "echo x > /run/pam_mfa/user.sock"),
    ] {
        if planting.is_empty() {
            // Dropped: it ends by SIGKILL.
            drop(host.listen_for_users());
            assert!(host.path(USER_SOCKET).exists());
            let refused = status_of(&host, "bob");
            assert_eq!(refused.code, Some(3), "{refused:?}");
            assert!(refused.stderr.contains("--listen-users"), "{refused:?}");
        } else {
            host.shell(planting);
        }
        let before = host.read("/etc/hostname");
        let listener = host.listen_for_users();
        until(what, || status_of(&host, "bob").code == Some(0));
        assert_eq!(host.read("/etc/hostname"), before, "{what}");
        assert!(!host.path("/etc/made").exists(), "{what}");
        // While it listens, nobody else does.
        let second = host.run(&["timeout", "10", VERIFIER, "--listen-users", USER_SOCKET]);
        assert_eq!(second.code, Some(3), "{what}: {second:?}");
        assert!(second.stderr.contains("is listened on already"), "{second:?}");
        status_of(&host, "bob").ok();
        assert_eq!(listener.stop(), Some(0), "{what}");
        assert!(fs::symlink_metadata(host.path(USER_SOCKET)).is_err(), "{what}");
    }
}

#[test]
fn nobody_listens_where_somebody_else_could_take_the_sockets_place() {
    let host = described(REQUIRED).start();
    for (planting, directory) in [
        ("install -d -m 777 /run/open", "/run/open"),
        ("install -d -m 1777 /run/sticky", "/run/sticky"),
        ("install -d -m 775 -g alice /run/groups", "/run/groups"),
        ("install -d -o alice /run/hers", "/run/hers"),
        (
            "install -d -o alice /run/hers/below; install -d /run/hers/below/roots",
            "/run/hers/below/roots",
        ),
        ("install -d -m 755 /run/target; ln -s /run/target /home/alice/link", "/home/alice/link"),
        ("true", "/run/nowhere/at/all"),
    ] {
        host.shell(planting);
        let socket = format!("{directory}/user.sock");
        let refused = host.run(&["timeout", "10", VERIFIER, "--listen-users", &socket]);
        assert_eq!(refused.code, Some(3), "{directory}: {refused:?}");
        assert!(
            refused.stderr.contains("error: ") && refused.stderr.contains("hint: "),
            "{refused:?}"
        );
        assert!(!host.path(&socket).exists(), "{directory}");
    }
    let refused = host.run_as("alice", &[VERIFIER, "--listen-users", "/home/alice/user.sock"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
}

#[test]
fn a_listener_that_is_ended_lets_those_finish_whom_it_serves() {
    let host = described(REQUIRED).start();
    for how in ["TERM", "INT", "KILL"] {
        let listener = host.listen_for_users();
        let mut tty = host.pty(&as_user("bob", &["mfa-setup"]));
        tty.expect(PASSWORD);
        if how == "TERM" {
            assert_eq!(listener.stop(), Some(0));
        } else {
            host.run(&["kill", &format!("-{how}"), &listener.pid().to_string()]).ok();
        }
        let gone = || !host.path(USER_SOCKET).exists();
        if how != "KILL" {
            until("the socket is gone", gone);
        }
        tty.send_line("builder");
        finish_enrolment(&mut tty);
        host.run(&["mfa-setup", "reset", "--user", "bob", "--yes"]).ok();
    }
}

#[test]
fn a_listener_that_lacks_descriptors_goes_on_when_it_has_them_again() {
    let host = described(REQUIRED).start();
    let listener = host.listen_for_users();
    status_of(&host, "bob").ok();
    until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    let before = descriptors(&host, listener.pid());
    let least = least_limit(&host, listener.pid());
    let allow = |files| limit_descriptors(&host, listener.pid(), files);
    // Not even the connection can be accepted: it waits.
    allow(least);
    thread::scope(|scope| {
        let bob = scope.spawn(|| status_of(&host, "bob"));
        until("bob asks", || bob.is_finished() || is_asking(&host));
        allow(1024);
        bob.join().unwrap().ok();
    });
    // It can, and no verifier can be started for it: that is said.
    let mut seen = vec![];
    for files in least + 1..least + 10 {
        allow(files);
        let output = status_of(&host, "bob");
        assert!(matches!(output.code, Some(0 | 3)), "{files}: {output:?}");
        seen.push(output.code.unwrap());
    }
    assert!(seen.contains(&0) && seen.contains(&3), "{seen:?}");
    allow(1024);
    status_of(&host, "bob").ok();
    until("all verifiers are gone", || verifiers(&host, listener.pid()).is_empty());
    assert_eq!(descriptors(&host, listener.pid()), before);
    assert_eq!(listener.stop(), Some(0));
}

#[test]
fn spawned_verifiers_and_those_of_the_socket_share_one_budget() {
    const OF_ROOT: usize = 12;
    let host = described(REQUIRED).start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let wrong = token.wrong_code();
    race(&host, &mut peer, OF_ROOT, &wrong);
    let compared = host.logged_by_now("reason=wrong_code");
    // [lockout] per_source = 5
    assert_eq!(compared.len(), 5, "{compared:#?}");
    assert_eq!(host.logged("outcome=locked").len(), OF_ROOT + PER_USER - 5);
    let status = status_of(&host, "alice").json();
    assert_eq!(status["lockout"]["failures"], 5, "{status}");
    host.run(&["mfa-setup", "unlock", "--user", "alice"]).ok();

    for _ in 0..5 {
        let code = token.code();
        assert_eq!(race(&host, &mut peer, 4, &code), 1, "one code lets in once");
    }
}

/// Lets a code be given at as many prompts at once as one user may have, and at more of root's:
/// how often it was right.
fn race(host: &Running, peer: &mut Peer, of_root: usize, code: &str) -> usize {
    use mfa_protocol::message::{FromFace, ToFace};
    use mfa_protocol::relay::decode;
    use mfa_protocol::{Answer, frame};
    let bound = Duration::from_secs(12);
    let mut applications: Vec<_> = (0..of_root)
        .map(|_| pam::start(host, Attempt::new("login", "alice").answer(code).wait_at(0)))
        .collect();
    let streams: Vec<_> = (0..PER_USER)
        .map(|_| {
            let mut stream = peer.connect();
            stream.write_all(&bytes_of(&Request::Login(Box::new(login("alice"))))).unwrap();
            stream
        })
        .collect();
    for application in &mut applications {
        application.wait_for_prompt();
    }
    for stream in &streams {
        let asked = decode(&frame::receive(stream, bound).unwrap()).unwrap();
        assert!(matches!(asked, ToFace::Ask(_)), "{asked:?}");
    }
    let answer = encode(&FromFace::Answer(Answer::Text(code.into()))).unwrap();
    for at in 0..of_root.max(PER_USER) {
        if let Some(application) = applications.get_mut(at) {
            application.go();
        }
        if let Some(stream) = streams.get(at) {
            frame::transmit(stream, &answer, bound).unwrap();
        }
    }
    let granted = |stream: &UnixStream| {
        loop {
            match decode(&frame::receive(stream, bound).unwrap()).unwrap() {
                ToFace::Done(reply) => {
                    return matches!(*reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Granted);
                }
                ToFace::Tell(..) | ToFace::Wait => {}
                ToFace::Ask(prompt) => panic!("{prompt:?}"),
            }
        }
    };
    let of_user = streams.iter().filter(|stream| granted(stream)).count();
    let reports = applications.into_iter().map(pam::Application::finish);
    of_user + reports.filter(|report| report.code() == "PAM_SUCCESS").count()
}

/// Numbers that look like chance and are the same each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// A request as it should be, or not quite, or not at all.
fn mutated(requests: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = requests[chance.below(requests.len())].clone();
    match chance.below(8) {
        0 => bytes = (0..chance.below(200)).map(|_| chance.byte()).collect(),
        1 => bytes.truncate(chance.below(bytes.len())),
        // The header is right, the rest is chance.
        2 => {
            let payload: Vec<u8> = (0..=chance.below(100)).map(|_| chance.byte()).collect();
            bytes = framed(&[&[2, 0], &payload[..]].concat());
        }
        kind => {
            for _ in 0..kind.saturating_sub(4) {
                let length = bytes.len();
                let at =
                    if kind == 7 { chance.below(length) } else { 6 + chance.below(length - 6) };
                match chance.below(3) {
                    0 => bytes[at] ^= 1 << chance.below(8),
                    1 => bytes[at] = chance.byte(),
                    _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5)],
                }
            }
        }
    }
    // What comes behind is taken for answers.
    for _ in 0..chance.below(4) {
        let length = 1 + chance.below(40);
        let mut answer: Vec<u8> = (0..length).map(|_| chance.byte()).collect();
        if chance.below(2) == 0 {
            // The shape of a text.
            answer.splice(.., [0, 0, 6].into_iter().chain(*b"123456"));
        }
        bytes.extend(framed(&answer));
    }
    bytes
}

#[test]
fn no_bytes_crash_a_verifier_or_make_it_store_anything() {
    const SOCKET: &str = "/run/fuzz.sock";
    const TRIES: usize = 2500;
    let _alone = alone();
    let host = described(GENEROUS).start();
    host.enrol_with("bob", &["hotp"]);
    let mut served = host.serve(SOCKET, VERIFIER);
    let mut peer = host.peer_on("alice", SOCKET);
    let requests = [
        Request::Login(Box::new(LoginRequest {
            service: "sudo".to_owned(),
            rhost: Some("192.0.2.7".to_owned()),
            password: Some("123456".into()),
            prompt: Some("Code: ".to_owned()),
            ..login("alice")
        })),
        manage(None, Action::Status),
        manage(Some("alice"), Action::Codes),
        manage(None, Action::Add(Box::new(new_device(true)))),
        manage(None, Action::Remove { label: "phone".to_owned() }),
        manage(None, Action::NewCodes),
        manage(None, Action::Resync { label: "phone".to_owned() }),
        manage(Some("bob"), Action::Reset),
        manage(None, Action::Invite { lifetime: 60 }),
    ];
    let requests = requests.map(|request| bytes_of(&request));
    let before = store(&host);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (start, mut slowest, mut replies) = (Instant::now(), Duration::ZERO, 0);
    for number in 0..TRIES {
        let bytes = mutated(&requests, &mut chance);
        let mut stream = peer.connect();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let start = Instant::now();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = vec![];
        // An end in the middle of what was sent is an end, too.
        if let Err(error) = stream.read_to_end(&mut said) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{number}: {bytes:?}");
        }
        replies += usize::from(!said.is_empty());
        assert_eq!(served.next_status(), "exit status: 0", "{number}: {bytes:?}");
        slowest = slowest.max(start.elapsed());
    }
    println!("{TRIES} in {:?}, the slowest {slowest:?}, {replies} with a reply", start.elapsed());
    assert!(replies > TRIES / 10, "only {replies} were understood at all");
    assert!(host.logged_by_now("panicked").is_empty());
    assert_eq!(store(&host), before);
    // Whoever says nothing is given up as well.
    let idle = peer.connect();
    assert_eq!(served.next_status(), "exit status: 0");
    host.wait_for_log("by_uid=1000 reason=\"the other side did not answer in time\"");
    drop(idle);
}
