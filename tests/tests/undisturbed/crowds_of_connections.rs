//! Many connections to the socket for users, by one user or by many: floods, idle ones, endless new
//! ones. Whoever makes them takes a place from nobody else.

use std::fs;
use std::time::{Duration, Instant};

use mfa_tests::host::as_user;
use mfa_tests::listener::PER_USER;
use mfa_tests::pam::{self, Attempt, Plan};
use mfa_tests::peer::{GENEROUS, hold_many, host_with_peers};
use mfa_tests::person::PASSWORD;
use mfa_tests::siege::Siege;
use mfa_tests::waiting::{alone, until};
use mfa_tests::{Person, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
const TOO_MANY: &str = "too many";

/// Verifiers of users at once, of all of them: `MaxConnections`.
const MOST: usize = 64;

/// How many connections attackers open here.
const CONNECTIONS: usize = 1000;

#[test]
fn a_thousand_connections_of_one_user_hold_up_nobody_else() {
    const ROUNDS: usize = 5;
    let _alone = alone();
    hold_many();
    let host = host_with_peers(GENEROUS).user_without_password("carol").start();
    let mut token = host.enrol_with("carol", &["hotp"]).device;
    let listener = host.listen_for_users();
    let before = listener.descriptors();

    let mut measure = |times: &mut [Vec<Duration>; 3]| {
        let codes = token.codes(6).into_iter();
        let attempts = codes.map(|code| Attempt::new("login", "carol").answer(code)).collect();
        for report in pam::run(&host, &Plan { attempts, ..Plan::default() }) {
            assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
            times[0].push(Duration::from_micros(report.microseconds[0]));
        }
        for _ in 0..3 {
            let start = Instant::now();
            host.status_of("bob").ok();
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
        let siege = Siege::lay(host.peer("alice"), CONNECTIONS);
        let mut look = || {
            let left = listener.verifiers();
            most = most.max(left.len());
            memory = memory.max(kib_of(&host, &left));
            left.len() == PER_USER
        };
        until("her places are taken", &mut look);
        measure(&mut times[1]);
        until("her places alone are taken", &mut look);
        let mut own = host.status_of("alice");
        until("she is refused herself", || {
            own = host.status_of("alice");
            own.code != Some(0)
        });
        assert_eq!(own.code, Some(1), "{own:?}");
        assert!(own.stderr.contains(TOO_MANY) && own.stderr.contains("hint: "), "{own:?}");
        let made = siege.lift();
        assert!(made >= CONNECTIONS);
        until("all verifiers are gone", || listener.verifiers().is_empty());
    }
    host.status_of("alice").ok();
    assert_eq!(listener.descriptors(), before, "descriptors of the listener");
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
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
    let mut host = host_with_peers(REQUIRED);
    // Where few places are left, a user gets fewer.
    for number in 0..14 {
        host = host.user_without_password(&format!("user{number}"));
    }
    let host = host.start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let listener = host.listen_for_users();
    let mut held = vec![];
    for number in 0..14 {
        let mut peer = host.peer(&format!("user{number}"));
        held.extend((0..20).map(|_| peer.connect()));
    }
    until("the places are taken", || listener.verifiers().len() == MOST);
    let refused = host.status_of("bob");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(TOO_MANY), "{refused:?}");
    let report = Attempt::new("login", "alice").answer(token.code()).run(&host);
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
    host.run(&["mfa-setup", "status", "--user", "alice"]).ok();
    assert_eq!(listener.verifiers().len(), MOST);
    drop(held);
    until("all verifiers are gone", || listener.verifiers().is_empty());
    host.status_of("bob").ok();
}

#[test]
fn uids_that_nobody_has_take_no_place_of_those_who_are_somebody() {
    let _alone = alone();
    hold_many();
    let host = host_with_peers(REQUIRED).start();
    let listener = host.listen_for_users();
    // Those of /etc/subuid, say, of which an ordinary user has 65,536.
    let mut held = vec![];
    for uid in 200_000..200_012 {
        let mut peer = host.peer(&uid.to_string());
        held.extend((0..PER_USER).map(|_| peer.connect()));
    }
    // The last of them was accepted before bob.
    host.status_of("bob").ok();
    until("all verifiers are gone", || listener.verifiers().is_empty());
    drop(held);
}

#[test]
fn a_user_who_connects_without_end_does_not_keep_another_from_enrolling() {
    let _alone = alone();
    let host = host_with_peers(GENEROUS).start();
    let listener = host.listen_for_users();
    let churn = host.churn("alice");
    host.wait_for_log("request=refused by_uid=1000");
    let start = Instant::now();
    let mut times = vec![];
    for _ in 0..7 {
        let start = Instant::now();
        host.status_of("bob").ok();
        times.push(start.elapsed());
    }
    Person::new(&host, "bob", "builder").enrol();
    let took = start.elapsed();
    let made = churn.wait_with_output().unwrap().stdout;
    let made: usize = String::from_utf8(made).unwrap().trim().parse().unwrap();
    let status = median(times);
    println!("{made} connections in {took:?}, another's status: median {status:?}");
    // A full queue is waited for that long.
    assert!(made > 1000 && status < Duration::from_secs(5), "{made} in {took:?}, {status:?}");
    // What of hers waits to be accepted still is refused before.
    until("she is served herself", || host.status_of("alice").code == Some(0));
    until("all verifiers are gone", || listener.verifiers().is_empty());
    assert_eq!(listener.stop(), Some(0));
}
