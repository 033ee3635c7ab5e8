//! The verifier that stays: who is served by it, and who when it cannot.

use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use mfa_protocol::Verdict;
use mfa_tests::pam::Attempt;
use mfa_tests::resident::{GREETING, ROOT_SOCKET};
use mfa_tests::root_face::End;
use mfa_tests::traced::VERIFIER;
use mfa_tests::{Host, Running};
use nix::sys::signal::Signal;

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

const HOME: &str = "192.0.2.7";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .start()
}

/// A login; how long it took.
#[track_caller]
fn log_in(host: &Running, service: &str, code: &str) -> Duration {
    let begun = Instant::now();
    let report = Attempt::new(service, "alice").answer(code).run(host);
    assert!(report.accepted(), "{service}: {report:?}");
    begun.elapsed()
}

#[test]
fn a_face_of_root_is_served_by_the_resident() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    // Nothing else could be started.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    log_in(&host, "app", &token.code());
    log_in(&host, "app", &token.code());
    host.run(&["mfa-setup", "status", "--user", "alice"]).ok();
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn spawned_and_resident_log_in_the_same_user_in_turn() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _resident = host.reside();
    for _ in 0..20 {
        for service in ["app", "spawn"] {
            let took = log_in(&host, service, &token.code());
            assert!(took < Duration::from_secs(1), "{service}: {took:?}");
        }
    }
    assert_eq!(host.logged_by_now("healed="), [""; 0]);
}

#[test]
fn a_resident_that_is_stopped_costs_a_login_the_wait_for_its_greeting() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    resident.signal(Signal::SIGSTOP);
    let took = log_in(&host, "app", &token.code());
    assert!((GREETING..GREETING + Duration::from_secs(1)).contains(&took), "{took:?}");
    resident.signal(Signal::SIGCONT);
    let took = log_in(&host, "app", &token.code());
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// What a face tells one who listens on the resident's socket, is root, and says nothing.
fn told_to_nobody(host: &Running, act: impl FnOnce()) -> Vec<u8> {
    let socket = host.path(ROOT_SOCKET);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let mut told = Vec::new();
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut face, _) = listener.accept().unwrap();
            face.read_to_end(&mut told).unwrap();
        });
        act();
        reading.join().unwrap();
    });
    fs::remove_file(socket).unwrap();
    told
}

#[test]
fn who_does_not_greet_hears_of_no_request_that_would_change_something_by_itself() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let first = "auth optional pam_unix.so\nauth required pam_mfa.so try_first_pass\n";
    host.write("/etc/pam.d/first", first);
    let asked = told_to_nobody(&host, || _ = log_in(&host, "app", &token.code()));
    assert!(!asked.is_empty(), "it would ask first");
    let brings_a_code = told_to_nobody(&host, || {
        let report = Attempt::new("first", "alice").answer(token.code()).run(&host);
        assert!(report.accepted(), "{report:?}");
    });
    assert_eq!(brings_a_code, b"");
    let manages = told_to_nobody(&host, || {
        host.run(&["mfa-setup", "unlock", "--user", "alice"]).ok();
    });
    assert_eq!(manages, b"");
}

#[test]
fn a_log_daemon_that_is_started_anew_hears_of_the_next_login() {
    const DAEMON: &str = "/run/daemon";
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell(&format!("mv /dev/log /dev/log.away && ln -s {DAEMON} /dev/log"));
    let resident = host.reside();
    for _ in 0..3 {
        let daemon = UnixDatagram::bind(host.path(DAEMON)).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        log_in(&host, "app", &token.code());
        let next = || {
            let mut line = [0; 1024];
            let length = daemon.recv(&mut line).expect("a line of the verifier's");
            String::from_utf8_lossy(&line[..length]).into_owned()
        };
        // The application writes some of its own.
        while !next().contains("outcome=granted") {}
        drop(daemon);
        fs::remove_file(host.path(DAEMON)).unwrap();
    }
    // Without one logins go on.
    log_in(&host, "app", &token.code());
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn a_log_daemon_in_place_of_one_that_is_stuck_hears_of_every_login() {
    const DAEMON: &str = "/run/daemon";
    // More than there are threads that wait for connections.
    const LOGINS: u64 = 10;
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell(&format!("mv /dev/log /dev/log.away && ln -s {DAEMON} /dev/log"));
    let resident = host.reside();
    let door = host.door();
    let stuck = UnixDatagram::bind(host.path(DAEMON)).unwrap();
    let crowd = UnixDatagram::unbound().unwrap();
    crowd.set_nonblocking(true).unwrap();
    while crowd.send_to(b"<86>it is full", host.path(DAEMON)).is_ok() {}
    for code in token.codes(LOGINS) {
        assert_eq!(door.enter("alice", HOME, &code), Some(End::Granted));
    }
    fs::remove_file(host.path(DAEMON)).unwrap();
    let daemon = UnixDatagram::bind(host.path(DAEMON)).unwrap();
    daemon.set_nonblocking(true).unwrap();
    for (number, code) in token.codes(LOGINS).iter().enumerate() {
        assert_eq!(door.enter("alice", HOME, code), Some(End::Granted));
        let mut line = [0; 1024];
        let length = daemon.recv(&mut line).unwrap_or_else(|_| panic!("login {number}: no line"));
        let line = String::from_utf8_lossy(&line[..length]);
        assert!(line.contains("outcome=granted"), "login {number}: {line}");
    }
    drop(stuck);
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn a_log_daemon_that_takes_connections_and_reads_nothing_holds_no_login_up() {
    const DAEMON: &str = "/run/daemon";
    // Each of the threads that wait for connections has to fill one: with some 300 lines.
    const LOGINS: usize = 2500;
    let host = host();
    host.enrol_with("alice", &["hotp"]);
    host.shell(&format!("mv /dev/log /dev/log.away && ln -s {DAEMON} /dev/log"));
    let _daemon = UnixListener::bind(host.path(DAEMON)).unwrap();
    let resident = host.reside();
    let door = host.door();
    for number in 0..LOGINS {
        let begun = Instant::now();
        let end = door.enter("alice", HOME, "no code");
        assert_eq!(end, Some(End::Refused(Verdict::Denied)), "login {number}");
        assert!(begun.elapsed() < Duration::from_secs(2), "login {number}: {:?}", begun.elapsed());
    }
    assert_eq!(resident.stop(), Some(0));
}
