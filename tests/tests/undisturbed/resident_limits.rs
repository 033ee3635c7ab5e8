//! The verifier that stays runs out of places, descriptors, threads, memory: logins are served by
//! verifiers of their own or refused, at once, and when there is enough again it serves as before.

use std::time::{Duration, Instant};

use mfa_protocol::{Verdict, frame};
use mfa_tests::pam::Attempt;
use mfa_tests::peer::{hold_many, host_with_peers};
use mfa_tests::resident::{ROOT_SOCKET, Resident};
use mfa_tests::root_face::{Answered, AtPrompt, Door, End};
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::{alone, until};
use mfa_tests::{Device, Host, Running};

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
                      [backup_codes]\ncount = 1\nlow = 0\n";

const SOON: Duration = Duration::from_secs(1);

/// How long a face waits for a verifier, and some more.
const BOUND: Duration = Duration::from_secs(13);

/// Connections that it serves at once.
const MOST: usize = 320;

/// Threads that wait for connections when there are none.
const SPARE: u64 = 4;

/// Descriptors of a db that stays open.
const KEPT: u64 = 2;

const HOME: &str = "192.0.2.7";

fn host() -> Running {
    Host::new()
        .user_without_password("alice")
        .user_without_password("bob")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .start()
}

fn token(host: &Running, user: &str) -> Device {
    host.enrol_with(user, &["hotp"]).device
}

/// A login through libpam, which is over at once: whether its code was not used yet.
#[track_caller]
fn log_in(host: &Running, user: &str, code: &str) -> bool {
    let since = Instant::now();
    let report = Attempt::new("app", user).answer(code).run(host);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    report.accepted()
}

/// So many that wait for their person.
fn at_prompts(door: &Door, count: usize) -> Vec<AtPrompt> {
    (0..count).map(|_| door.log_in("alice", HOME).expect("a prompt")).collect()
}

fn holds(resident: &Resident) -> [u64; 2] {
    [resident.figure("Threads"), resident.descriptors()]
}

/// Waits until it holds no more than it did, but for threads that wait for connections, each with one of
/// its own to the log, and the db of one user more.
#[track_caller]
fn until_given_back(resident: &Resident, [threads, descriptors]: [u64; 2]) {
    until("threads and descriptors are given back", || {
        let now = holds(resident);
        now[0] <= threads + SPARE && now[1] <= descriptors + KEPT + SPARE
    });
}

#[test]
fn one_login_more_than_it_has_places_for_is_served_by_another_verifier_without_delay() {
    let _alone = alone();
    hold_many();
    let host = host();
    let (mut alice, mut bob) = (token(&host, "alice"), token(&host, "bob"));
    let resident = host.reside();
    let door = host.door();
    assert_eq!(door.enter("alice", HOME, &alice.code()), Some(End::Granted));
    let before = holds(&resident);
    let mut waiting = at_prompts(&door, MOST);
    assert!(door.connect().is_none());
    assert!(log_in(&host, "bob", &bob.code()));
    // The same user's db, which it has open.
    assert!(log_in(&host, "alice", &alice.code()));
    let one = waiting.pop().unwrap();
    assert_eq!(one.answer(&alice.code()).end(), End::Granted);
    println!("with {MOST}: {:?}, before: {before:?}", holds(&resident));
    drop(waiting);
    until_given_back(&resident, before);
    assert_eq!(door.enter("bob", HOME, &bob.code()), Some(End::Granted));
}

#[test]
fn out_of_descriptors_it_hangs_up_at_once_until_it_has_some() {
    let _alone = alone();
    let host = host();
    let (mut alice, mut bob) = (token(&host, "alice"), token(&host, "bob"));
    let resident = host.reside();
    let door = host.door();
    assert_eq!(door.enter("alice", HOME, &alice.code()), Some(End::Granted));
    let before = holds(&resident);
    let [first, second] = [(); 2].map(|()| door.log_in("bob", HOME).expect("a prompt"));
    let code = bob.code();
    let with_both = resident.descriptors();
    resident.limit(&format!("--nofile={}:1024", resident.first_free_descriptor()));
    // Policy cannot be read.
    assert_eq!(first.answer(&code).end(), End::Refused(Verdict::Unavailable));
    until("it has hung up", || resident.descriptors() < with_both);
    // What that has given back is not to be had, either.
    resident.limit(&format!("--nofile={}:1024", resident.first_free_descriptor()));
    let (since, worked) = (Instant::now(), resident.worked());
    for _ in 0..20 {
        assert!(log_in(&host, "alice", &alice.code()));
    }
    let (elapsed, worked) = (since.elapsed(), resident.worked().saturating_sub(worked));
    println!("20 served by others; it worked for {worked:?} of {elapsed:?}");
    assert!(worked < elapsed / 10, "{worked:?} of {elapsed:?}");
    resident.limit("--nofile=1024:1024");
    assert_eq!(second.answer(&code).end(), End::Granted);
    // One that had none a moment ago may hang up once more.
    let enters = |user: &str, code: &str| {
        let mut end = None;
        until("it serves again", || {
            end = door.enter(user, HOME, code);
            end.is_some()
        });
        end
    };
    assert_eq!(enters("bob", &code), Some(End::Used));
    assert_eq!(enters("alice", &alice.code()), Some(End::Granted));
    until_given_back(&resident, before);
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn out_of_threads_it_serves_with_those_it_has_and_hangs_up_on_the_rest() {
    let _alone = alone();
    let host = host();
    let (mut alice, mut bob) = (token(&host, "alice"), token(&host, "bob"));
    let resident = host.reside();
    let door = host.door();
    assert_eq!(door.enter("alice", HOME, &alice.code()), Some(End::Granted));
    let before = holds(&resident);
    // Some threads wait for connections, as after a crowd.
    drop(at_prompts(&door, 8));
    let mut waiting = vec![door.log_in("bob", HOME).expect("a prompt")];
    let lack = resident.tampered_with(&["-e", "inject=clone,clone3:error=EAGAIN"]);
    while let Some(login) = door.log_in("alice", HOME) {
        waiting.push(login);
        assert!(waiting.len() <= MOST, "threads are made");
    }
    println!("{} are served without another thread", waiting.len());
    let mut codes = [bob.code(), alice.code()];
    // sled makes threads for a db that is opened, and for a flush that others have no time for.
    let since = Instant::now();
    let answered: Vec<_> =
        waiting.into_iter().enumerate().map(|(n, login)| login.answer(&codes[n.min(1)])).collect();
    let ends: Vec<End> = answered.into_iter().map(Answered::end).collect();
    println!("{ends:?} in {:?}", since.elapsed());
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    drop(lack);
    let resident = living(&host, resident);
    for ((user, code), ends) in ["bob", "alice"].iter().zip(&codes).zip([&ends[..1], &ends[1..]]) {
        assert_accepted_once(&host, user, code, ends);
    }
    codes = [bob.code(), alice.code()];
    assert_eq!(door.enter("bob", HOME, &codes[0]), Some(End::Granted));
    assert_eq!(door.enter("alice", HOME, &codes[1]), Some(End::Granted));
    until_given_back(&resident, before);
}

#[test]
fn out_of_memory_it_refuses_or_ends_and_others_serve() {
    let _alone = alone();
    let host = host();
    let (mut alice, enrolled) = (token(&host, "alice"), host.enrol_with("bob", &["hotp"]));
    let (mut bob, mut backup) = (enrolled.device, enrolled.backup);
    let resident = host.reside();
    let door = host.door();
    assert_eq!(door.enter("alice", HOME, &alice.code()), Some(End::Granted));
    let mut waiting = at_prompts(&door, 10);
    let hashed = door.log_in("bob", HOME).expect("a prompt");
    // What it has, and nothing beyond.
    resident.limit(&format!("--as={}:unlimited", resident.figure("VmSize") << 10));
    let since = Instant::now();
    while let Some(login) = door.log_in("alice", HOME) {
        waiting.push(login);
        assert!(waiting.len() <= MOST, "there is memory for threads");
    }
    println!("{} are served without more memory", waiting.len());
    let code = alice.code();
    let ends: Vec<End> = waiting.into_iter().map(|login| login.answer(&code).end()).collect();
    // A backup code's hash takes 19 MiB.
    let backup_code = backup.code();
    let end = hashed.answer(&backup_code).end();
    println!("{ends:?}, {end:?} in {:?}", since.elapsed());
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    for _ in 0..5 {
        assert!(log_in(&host, "bob", &bob.code()));
    }
    let resident = living(&host, resident);
    resident.limit("--as=unlimited:unlimited");
    assert_accepted_once(&host, "alice", &code, &ends);
    assert_accepted_once(&host, "bob", &backup_code, &[end]);
    assert_eq!(door.enter("alice", HOME, &alice.code()), Some(End::Granted));
    assert_eq!(door.enter("bob", HOME, &bob.code()), Some(End::Granted));
    assert_eq!(resident.stop(), Some(0));
}

/// It, or where it has ended another one in its place.
fn living<'a>(host: &'a Running, resident: Resident<'a>) -> Resident<'a> {
    if resident.is_running() {
        return resident;
    }
    println!("it has ended");
    drop(resident);
    host.reside()
}

/// Gives a code again of which some logins ended so.
#[track_caller]
fn assert_accepted_once(host: &Running, user: &str, code: &str, ends: &[End]) {
    let granted = ends.iter().filter(|end| **end == End::Granted).count();
    let again = log_in(host, user, code);
    assert!(granted + usize::from(again) <= 1, "{user}: {ends:?}, then {again}");
}

#[test]
fn who_is_not_root_is_hung_up_on_and_never_greeted() {
    let _alone = alone();
    let host = host_with_peers(CONFIG).start();
    let mut alice = token(&host, "alice");
    let _resident = host.reside();
    let mut peer = host.peer_on("alice", ROOT_SOCKET);
    assert_eq!(peer.try_connect().unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    // As if somebody had given it away.
    host.set_mode(ROOT_SOCKET, 0o666);
    for _ in 0..10 {
        let heard = frame::receive(&peer.connect(), SOON);
        assert!(matches!(heard, Err(frame::FrameError::HungUp)), "{heard:?}");
    }
    assert_eq!(host.door().enter("alice", HOME, &alice.code()), Some(End::Granted));
}

#[test]
fn faces_that_say_nothing_are_given_up_after_ten_seconds_and_delay_nobody() {
    let _alone = alone();
    let host = host();
    let mut alice = token(&host, "alice");
    let resident = host.reside();
    let door = host.door();
    let since = Instant::now();
    let silent: Vec<_> = (0..MOST - 8).map(|_| door.connect().expect("a greeting")).collect();
    let mut slowest = Duration::ZERO;
    for code in alice.codes(50) {
        let login = Instant::now();
        assert_eq!(door.enter("alice", HOME, &code), Some(End::Granted));
        slowest = slowest.max(login.elapsed());
    }
    println!("slowest of 50 beside {} that say nothing: {slowest:?}", silent.len());
    assert!(slowest < SOON, "{slowest:?}");
    for face in &silent {
        assert!(face.is_hung_up_on(Duration::from_secs(11)));
    }
    let took = since.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert_eq!(host.logged_by_now("request=refused").len(), silent.len());
    assert_eq!(resident.stop(), Some(0));
    assert!(!host.path(ROOT_SOCKET).exists() && host.path(VERIFIER).exists());
}
