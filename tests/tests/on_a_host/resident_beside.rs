//! The verifier that stays, beside the process that listens for users, which it starts, and beside
//! verifiers that want dbs which it has open.

use std::time::{Duration, Instant};

use mfa_protocol::Verdict;
use mfa_tests::listener::USER_SOCKET;
use mfa_tests::pam::Attempt;
use mfa_tests::requests::login;
use mfa_tests::resident::{ROOT_SOCKET, Resident};
use mfa_tests::root_face::End;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Running};
use nix::sys::signal::Signal;

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
                      [backup_codes]\ncount = 1\nlow = 0\n";

const BOTH: [&str; 5] = [VERIFIER, "--listen", ROOT_SOCKET, "--listen-users", USER_SOCKET];

const SOON: Duration = Duration::from_secs(1);

const HOME: &str = "192.0.2.7";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .faces()
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .start()
}

fn token(host: &Running) -> Device {
    host.enrol_with("alice", &["hotp"]).device
}

/// The process that listens for users.
fn listener(host: &Running, resident: &Resident) -> Option<u32> {
    let children = host.run(&["pgrep", "-P", &resident.pid().to_string()]).stdout;
    children.lines().next().map(|pid| pid.parse().unwrap())
}

/// Waits until somebody listens for users.
fn until_users_are_served(host: &Running) {
    until("users are served", || host.status_of("alice").code == Some(0));
}

/// Whether the sealing key is in the memory of a process.
fn has_the_key(host: &Running, pid: u32) -> bool {
    const LOOK: &str = r#"my ($pid) = @ARGV;
        open(my $file, "<:raw", "/etc/pam_mfa/store.key") or die "key: $!";
        read($file, my $key, 64) == 32 or die "no key";
        open(my $maps, "<", "/proc/$pid/maps") or die "maps: $!";
        open(my $memory, "<:raw", "/proc/$pid/mem") or die "mem: $!";
        my $found = 0;
        while (<$maps>) {
            my ($from, $to) = /^(\w+)-(\w+) r/ or next;
            my $content = "";
            sysseek($memory, hex $from, 0);
            sysread($memory, $content, hex($to) - hex $from) or next;
            $found++ if index($content, $key) >= 0;
        }
        print $found;"#;
    host.run(&["perl", "-e", LOOK, &pid.to_string()]).ok() != "0"
}

#[test]
fn both_sockets_are_served_by_two_processes_of_which_one_has_never_seen_the_key() {
    let host = host();
    let mut token = token(&host);
    let resident = host.reside_with(&BOTH);
    until_users_are_served(&host);
    let door = host.door();
    assert_eq!(door.enter("alice", HOME, &token.code()), Some(End::Granted));
    let outcome = host.log_in_as("alice", login("alice"), &[&token.code()]);
    assert_eq!(outcome.verdict, Verdict::Granted);
    // At a prompt the record is known already.
    let at_prompt = door.log_in("alice", HOME).expect("a prompt");
    assert!(has_the_key(&host, resident.pid()), "memory is looked at");
    let listener = listener(&host, &resident).expect("a child");
    assert!(!has_the_key(&host, listener));
    drop(at_prompt);
    assert_eq!(resident.stop(), Some(0));
    until("both sockets are gone", || {
        [ROOT_SOCKET, USER_SOCKET].iter().all(|socket| !host.path(socket).exists())
    });
}

#[test]
fn who_listens_for_users_comes_back_when_it_dies_and_goes_when_the_resident_dies() {
    let host = host();
    let mut token = token(&host);
    let resident = host.reside_with(&BOTH);
    until_users_are_served(&host);
    let first = listener(&host, &resident).expect("a child");
    // One that ends as soon as it was started would do so again.
    until("it has run for a while", || {
        let age = host.run(&["ps", "-o", "etimes=", "-p", &first.to_string()]).ok();
        age.trim().parse::<u64>().unwrap() >= 2
    });
    host.run(&["kill", "-KILL", &first.to_string()]).ok();
    until("there is another one", || {
        listener(&host, &resident).is_some_and(|second| second != first)
    });
    until_users_are_served(&host);
    host.wait_for_log("the process that listens for users has ended");
    assert_eq!(host.door().enter("alice", HOME, &token.code()), Some(End::Granted));
    let second = listener(&host, &resident).expect("a child");
    resident.kill();
    until("it has ended", || !host.path(format!("/proc/{second}")).exists());
    assert_ne!(host.status_of("alice").code, Some(0));
    assert!(Attempt::new("app", "alice").answer(token.code()).run(&host).accepted());
}

#[test]
fn verifiers_of_their_own_have_a_db_that_the_resident_holds_within_a_second() {
    let host = host();
    let mut token = token(&host);
    let resident = host.reside_with(&BOTH);
    until_users_are_served(&host);
    let door = host.door();
    for round in 0..10 {
        assert_eq!(door.enter("alice", HOME, &token.code()), Some(End::Granted), "{round}");
        let since = Instant::now();
        let report = Attempt::new("spawn", "alice").answer(token.code()).run(&host);
        assert!(report.accepted(), "{report:?}");
        assert!(since.elapsed() < SOON, "spawned: {:?}", since.elapsed());
        assert_eq!(door.enter("alice", HOME, &token.code()), Some(End::Granted), "{round}");
        let since = Instant::now();
        let outcome = host.log_in_as("alice", login("alice"), &[&token.code()]);
        assert_eq!(outcome.verdict, Verdict::Granted);
        assert!(since.elapsed() < SOON, "the user's own: {:?}", since.elapsed());
    }
    assert_eq!(host.logged_by_now("healed="), [""; 0]);
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn what_another_verifier_resets_or_enrols_the_resident_does_not_bring_back() {
    const SPAWNED: [&str; 2] = ["--verifier", VERIFIER];
    let host = host();
    let resident = host.reside();
    let door = host.door();
    let reset = |by: &[&str]| {
        host.run(&[&["mfa-setup", "reset", "--user", "alice", "--yes"], by].concat()).ok();
    };
    for round in 0..5 {
        let mut old = host.enrol_with("alice", &["hotp", "--label", "old"]).device;
        // Its db stays open.
        assert_eq!(door.enter("alice", HOME, &old.code()), Some(End::Granted), "{round}");
        let at_prompt = door.log_in("alice", HOME).expect("a prompt");
        reset(&SPAWNED);
        // Nobody's code any more, whoever was asked before.
        let denied = End::Refused(Verdict::Denied);
        assert_eq!(at_prompt.answer(&old.code()).end(), denied, "{round}");
        assert_eq!(door.enter("alice", HOME, &old.code()), Some(denied), "{round}");
        let again = [&["hotp", "--label", "new"], &SPAWNED[..]].concat();
        let mut new = host.enrol_with("alice", &again).device;
        assert_eq!(door.enter("alice", HOME, &new.code()), Some(End::Granted), "{round}");
        assert_eq!(door.enter("alice", HOME, &old.code()), Some(denied), "{round}");
        let report = Attempt::new("spawn", "alice").answer(new.code()).run(&host);
        assert!(report.accepted(), "{report:?}");
        let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
        assert_eq!(status["devices"].as_array().unwrap().len(), 1);
        assert_eq!(status["devices"][0]["label"], "new");
        reset(if round % 2 == 0 { &SPAWNED } else { &[] });
    }
    assert_eq!(host.logged_by_now("healed="), [""; 0]);
    assert_eq!(host.logged_by_now("error="), [""; 0]);
    resident.signal(Signal::SIGTERM);
    assert_eq!(resident.wait(), Some(0));
}
