//! `make soak`: for an hour, or as many seconds as `SOAK_SECONDS` says.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::resident::Resident;
use mfa_tests::root_face::End;
use mfa_tests::soak::{Act, CONFIG, Dice, Log, SERVICE, enrol, pass, sessions};
use mfa_tests::waiting::until;
use mfa_tests::{Host, Running};

/// People who log in at once.
const SESSIONS: usize = 50;

/// KiB by which the resident may grow while nothing but logins goes on: sled fills its caches.
const GROWTH: u64 = 4 * 1024;

/// The same in the second half of many logins of one user. Measured: 2,300 in the first 50,000, and 340 in
/// the next 50,000.
const GROWTH_LATER: u64 = 1024;

fn host(users: &[String]) -> Running {
    let host = users.iter().fold(Host::new(), |host, user| host.user_without_password(user));
    let stack = "auth required pam_mfa.so\n";
    host.disk("/var/lib/pam_mfa").config(CONFIG).pam(SERVICE, stack).start()
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// What the resident has.
#[derive(Debug, Clone, Copy)]
struct Held {
    kib: u64,
    threads: u64,
    descriptors: u64,
}

fn held(resident: &Resident) -> Held {
    Held {
        kib: resident.figure("VmRSS"),
        threads: resident.figure("Threads"),
        descriptors: resident.descriptors(),
    }
}

#[test]
fn fifty_sessions_lose_nothing_while_the_resident_is_killed_every_few_seconds() {
    let time = Duration::from_secs(number("SOAK_SECONDS", 35));
    let users: Vec<String> = (0..SESSIONS).map(|number| format!("user{number}")).collect();
    let host = host(&users);
    let tokens = enrol(&host, &users);
    let over = AtomicBool::new(false);
    let mut kills = 0;
    let (tally, log, warm, most, left) = thread::scope(|scope| {
        let log = scope.spawn(|| Log::read(&host, &over));
        let sessions = scope.spawn(|| sessions(&host, &users, &tokens, &over));
        let begun = Instant::now();
        let mut dice = Dice(0);
        // The last one stays, to see what it holds after a while.
        while begun.elapsed() < time * 2 / 3 && !over.load(Ordering::Relaxed) {
            let resident = host.reside();
            pass(Duration::from_millis(500 + dice.roll(4_000)), &over);
            resident.kill();
            kills += 1;
        }
        let resident = host.reside();
        pass(time / 12, &over);
        let warm = held(&resident);
        let mut most = warm;
        while begun.elapsed() < time && !over.load(Ordering::Relaxed) {
            pass(Duration::from_millis(500), &over);
            let now = held(&resident);
            most = Held {
                kib: most.kib.max(now.kib),
                threads: most.threads.max(now.threads),
                descriptors: most.descriptors.max(now.descriptors),
            };
        }
        over.store(true, Ordering::Relaxed);
        let tally = sessions.join().unwrap();
        until("nobody is served any more", || resident.figure("Threads") < 24);
        let left = held(&resident);
        assert_eq!(resident.stop(), Some(0));
        (tally, log.join().unwrap(), warm, most, left)
    });
    println!("{SESSIONS} sessions for {time:?}, the resident killed {kills} times\n{tally}");
    println!("the last resident, warm: {warm:?}\nat most: {most:?}\nat the end: {left:?}");
    println!("logged: {} granted, {} records mended", log.granted, log.healed);
    let errors: Vec<_> = log.errors.iter().collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(kills > 2 && tally.done(Act::Doubted) > 0, "something was in doubt");
    assert!(tally.ended("broken") * 10 < tally.all(), "most logins are served");
    assert!(most.kib < warm.kib + GROWTH, "{warm:?}, then {most:?}");
    assert!(left.descriptors <= warm.descriptors, "{warm:?}, then {left:?}");
}

#[test]
fn thousands_of_logins_leave_nothing_in_the_resident() {
    const BATCH: u64 = 500;
    let logins = number("SOAK_LOGINS", 5_000);
    let users = ["alice".to_owned()];
    let host = host(&users);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    let door = host.door();
    let mut figures = vec![];
    let since = Instant::now();
    for _ in 0..logins.div_ceil(BATCH) {
        for code in token.codes(BATCH) {
            assert_eq!(door.enter("alice", "192.0.2.7", &code), Some(End::Granted));
        }
        figures.push(held(&resident));
    }
    let (first, last) = (figures[0], figures[figures.len() - 1]);
    println!(
        "{logins} logins in {:?}; after {BATCH}: {first:?}, after all: {last:?}",
        since.elapsed()
    );
    assert!(last.kib < first.kib + GROWTH, "{figures:?}");
    assert!(last.kib < figures[figures.len() / 2].kib + GROWTH_LATER, "{figures:?}");
    assert!(last.threads <= first.threads + 4, "{figures:?}");
    // Of as many threads each has one to the log.
    assert!(last.descriptors <= first.descriptors + 4, "{figures:?}");
    assert_eq!(resident.stop(), Some(0));
}
