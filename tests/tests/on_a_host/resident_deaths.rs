//! The verifier that stays is killed, stopped, stuck or asked to go, with people at its prompts.

use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::pam::{self, Application, Attempt, Report};
use mfa_tests::resident::{GREETING, ROOT_SOCKET};
use mfa_tests::root_face::End;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Running};
use nix::sys::signal::Signal;

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
                      [backup_codes]\ncount = 1\nlow = 0\n";

const SOON: Duration = Duration::from_secs(1);

/// How long a user's lock is waited for, and a face waits for a verifier.
/// How long a process is given to close a db that another one wants.
const TO_BE_GIVEN_UP: Duration = Duration::from_secs(1);
const FACE_BOUND: Duration = Duration::from_secs(12);

const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";

fn host(users: &[&str]) -> Running {
    let host = users.iter().fold(Host::new(), |host, user| host.user_without_password(user));
    host.disk("/var/lib/pam_mfa")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .start()
}

fn token(host: &Running, user: &str) -> Device {
    host.enrol_with(user, &["hotp"]).device
}

/// A login that is asked for its code, which it will give.
#[track_caller]
fn at_prompt(host: &Running, user: &str, code: &str) -> Application {
    let mut login = pam::start(host, Attempt::new("app", user).answer(code).wait_at(0));
    login.wait_for_prompt();
    login
}

/// Lets it give its code: what comes of that, and when.
#[track_caller]
fn answered(mut login: Application) -> (Report, Duration) {
    let since = Instant::now();
    login.go();
    (login.finish(), since.elapsed())
}

/// A login that is over at once, one way or the other; whether its code was not used yet.
#[track_caller]
fn log_in(host: &Running, service: &str, user: &str, code: &str) -> bool {
    let since = Instant::now();
    let report = Attempt::new(service, user).answer(code).run(host);
    let took = since.elapsed();
    assert!(took < GREETING + SOON, "{service} {user}: {took:?}");
    report.accepted()
}

fn failures(host: &Running, user: &str) -> u64 {
    let status = host.run(&["mfa-setup", "status", "--user", user, "--json"]).json();
    status["lockout"]["failures"].as_u64().unwrap()
}

#[test]
fn twenty_who_are_at_their_prompts_when_it_is_killed_are_refused_at_once_and_not_charged() {
    let host = host(&["alice", "bob"]);
    let (mut alice, mut bob) = (token(&host, "alice"), token(&host, "bob"));
    let resident = host.reside();
    let given_before = bob.code();
    assert!(log_in(&host, "app", "bob", &given_before));
    let (right, wrong) = (alice.code(), alice.wrong_code());
    let codes = [&right, &wrong];
    let logins: Vec<_> = (0..20).map(|n| at_prompt(&host, "alice", codes[n % 2])).collect();
    resident.kill();
    for login in logins {
        let (report, took) = answered(login);
        assert_eq!(report.code(), UNAVAILABLE, "{report:?}");
        assert!(took < SOON, "{took:?}");
    }
    assert_eq!(failures(&host, "alice"), 0);
    assert_eq!(host.logged_by_now("outcome=granted").len(), 1);
    // Nobody listens any more: these are spawned.
    assert!(!log_in(&host, "app", "bob", &given_before));
    assert!(log_in(&host, "app", "alice", &right));
    let resident = host.reside();
    let door = host.door();
    assert_eq!(door.enter("alice", "192.0.2.7", &right), Some(End::Used));
    assert_eq!(door.enter("alice", "192.0.2.7", &alice.code()), Some(End::Granted));
    assert_eq!(door.enter("bob", "192.0.2.7", &bob.code()), Some(End::Granted));
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn killed_at_any_moment_after_an_answer_it_has_accepted_the_code_once_or_not_at_all() {
    const KILLS: u32 = 40;
    let host = host(&["alice"]);
    let mut token = token(&host, "alice");
    let door = host.door();
    let (mut heard, mut used) = (0, 0);
    for number in 0..KILLS {
        let code = token.code();
        let resident = host.reside();
        let login = door.log_in("alice", "192.0.2.7").expect("a prompt");
        let end = thread::scope(|scope| {
            // It takes a millisecond or some to be started.
            let dying = scope.spawn(|| resident.kill());
            thread::sleep(Duration::from_micros(100) * (number % 20));
            let end = login.answer(&code).end();
            dying.join().unwrap();
            end
        });
        assert!(matches!(end, End::Granted | End::Broken), "kill {number}: {end:?}");
        let accepted_again = log_in(&host, "app", "alice", &code);
        assert!(!(end == End::Granted && accepted_again), "kill {number}: accepted twice");
        heard += u32::from(end == End::Granted);
        used += u32::from(!accepted_again);
    }
    println!("{KILLS} kills: {used} codes were used up, {heard} of them known to their users");
    assert!(0 < used && used < KILLS, "some moments were before the update, some behind it");
    // The line in the log is written behind the update, and may be missing.
    let granted = host.logged_by_now("outcome=granted").len();
    assert!(granted <= KILLS as usize, "{granted}");
}

#[test]
fn stopped_it_refuses_who_is_at_its_prompt_and_keeps_nobody_else_out() {
    let host = host(&["alice", "bob", "carol"]);
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|user| token(&host, user));
    let resident = host.reside();
    assert!(log_in(&host, "app", "bob", &bob.code()));
    let code_of_alice = alice.code();
    let login_of_alice = at_prompt(&host, "alice", &code_of_alice);
    resident.signal(Signal::SIGSTOP);
    let code_of_bob = bob.code();
    thread::scope(|scope| {
        let refused = scope.spawn(|| {
            let (report, took) = answered(login_of_alice);
            assert_eq!(report.code(), UNAVAILABLE, "{report:?}");
            assert!(took < FACE_BOUND + SOON, "{took:?}");
        });
        // His db cannot be had, and the summary alone is written.
        for accepted in [true, false] {
            let since = Instant::now();
            let report = Attempt::new("app", "bob").answer(&code_of_bob).run(&host);
            assert_eq!(report.accepted(), accepted, "{report:?}");
            assert!(since.elapsed() < GREETING + TO_BE_GIVEN_UP + SOON, "{:?}", since.elapsed());
        }
        // Nobody has hers.
        assert!(log_in(&host, "app", "carol", &carol.code()));
        refused.join().unwrap();
    });
    resident.signal(Signal::SIGCONT);
    // It now reads an answer whose face is gone.
    host.wait_for_log("nothing was judged");
    assert!(log_in(&host, "app", "alice", &code_of_alice), "the code was used up");
    assert!(log_in(&host, "app", "alice", &alice.code()));
    assert!(!log_in(&host, "app", "bob", &code_of_bob), "accepted twice");
    for service in ["spawn", "app"] {
        assert!(log_in(&host, service, "bob", &bob.code()));
    }
    let healed = host.logged_by_now("healed=");
    let expected = ["only the summary was written", "older than the summary"];
    assert!(healed.iter().all(|line| expected.iter().any(|e| line.contains(e))), "{healed:#?}");
}

/// A login whose verifier stands still, for longer than the face waits, when it has just said something for
/// the nth time: what it then hears has been lying there.
#[track_caller]
fn still_after_it_spoke(times: u32, service: &str) {
    let host = host(&["alice"]);
    host.write(
        "/etc/pam.d/first",
        "auth optional pam_unix.so\nauth required pam_mfa.so try_first_pass\n",
    );
    let mut alice = token(&host, "alice");
    let resident = host.reside();
    let still = format!("inject=sendto:delay_exit=14000000:when={times}");
    let tampering = resident.tampered_with(&["-e", &still]);
    let code = alice.code();
    let report = Attempt::new(service, "alice").answer(&code).run(&host);
    assert_eq!(report.code(), UNAVAILABLE, "{report:?}");
    host.wait_for_log("nothing was judged");
    drop(tampering);
    assert!(log_in(&host, "app", "alice", &code), "the code was used up");
}

#[test]
fn stopped_when_it_has_just_asked_it_judges_no_answer_that_nobody_waits_for() {
    // It greets, and asks.
    still_after_it_spoke(2, "app");
}

#[test]
fn stopped_when_it_has_just_greeted_it_judges_no_code_that_nobody_waits_for() {
    still_after_it_spoke(1, "first");
}

#[test]
fn one_that_is_stuck_with_a_user_s_lock_ends_itself_and_others_serve_that_user() {
    let host = host(&["alice", "bob"]);
    let (mut alice, mut bob) = (token(&host, "alice"), token(&host, "bob"));
    let resident = host.reside();
    // A disk that takes a minute for alice's record.
    let summary = "/var/lib/pam_mfa/users/1000/summary";
    let stuck = ["-P", summary, "-e", "inject=fdatasync:delay_enter=60000000"];
    let tampering = resident.tampered_with(&stuck);
    let code = alice.code();
    let since = Instant::now();
    thread::scope(|scope| {
        let refused = scope.spawn(|| Attempt::new("app", "alice").answer(&code).run(&host));
        // She alone waits.
        assert!(log_in(&host, "app", "bob", &bob.code()));
        let report = refused.join().unwrap();
        assert_eq!(report.code(), UNAVAILABLE, "{report:?}");
    });
    assert!(since.elapsed() < FACE_BOUND + SOON, "{:?}", since.elapsed());
    host.wait_for_log("a user's lock was held for too long");
    println!("it ended after {:?}", since.elapsed());
    // Who is killed under strace is dead when strace has seen it.
    drop(tampering);
    assert_eq!(resident.wait(), None);
    // Written, but not synced: the code is good once or not at all.
    log_in(&host, "app", "alice", &code);
    assert!(log_in(&host, "app", "alice", &alice.code()));
    let _resident = host.reside();
    assert_eq!(host.door().enter("alice", "192.0.2.7", &alice.code()), Some(End::Granted));
}

#[test]
fn asked_to_go_it_serves_who_answers_in_time_takes_nobody_new_and_refuses_the_rest() {
    let host = host(&["alice", "bob", "carol"]);
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|user| token(&host, user));
    let resident = host.reside();
    let code_of_bob = bob.code();
    let (in_time, too_late) =
        (at_prompt(&host, "alice", &alice.code()), at_prompt(&host, "bob", &code_of_bob));
    let since = Instant::now();
    resident.signal(Signal::SIGTERM);
    until("its socket is gone", || !host.path(ROOT_SOCKET).exists());
    assert!(host.door().connect().is_none());
    // Spawned.
    assert!(log_in(&host, "app", "carol", &carol.code()));
    assert_eq!(answered(in_time).0.code(), "PAM_SUCCESS");
    assert_eq!(resident.wait(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(11), "{:?}", since.elapsed());
    let (report, took) = answered(too_late);
    assert_eq!(report.code(), UNAVAILABLE, "{report:?}");
    assert!(took < SOON, "{took:?}");
    assert_eq!(failures(&host, "bob"), 0);
    assert!(log_in(&host, "app", "bob", &code_of_bob));
    assert!(log_in(&host, "app", "alice", &alice.code()));
}
