//! Many at one moment, with the verifier that stays: a code lets one of them in, whoever serves
//! them, and right codes of different users let in all of them.

use std::time::Instant;

use mfa_tests::mode::is_whole;
use mfa_tests::pam::{self, Attempt, Plan, Report};
use mfa_tests::root_face::{Answered, End};
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::{alone, until};
use mfa_tests::{Device, Host, Running, USED};

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
                      [backup_codes]\ncount = 1\nlow = 0\n";

/// Logins at one moment.
const CROWD: usize = 64;

fn host_of(users: &[String], config: &str) -> Running {
    let host = users.iter().fold(Host::new(), |host, user| host.user_without_password(user));
    host.config(config)
        .pam("door", "auth required pam_mfa.so\n")
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .start()
}

fn numbered(users: usize) -> Vec<String> {
    (0..users).map(|number| format!("user{number}")).collect()
}

/// Lets 64 in by one code, so often, by each service in turn.
fn race(services: [&str; 2], rounds: usize) {
    let host = host_of(&["alice".to_owned()], CONFIG);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    let since = Instant::now();
    for (round, code) in token.codes(rounds as u64).into_iter().enumerate() {
        let one = |number| Attempt::new(services[number % 2], "alice").answer(&code).wait_at(0);
        let reports = together(&host, (0..CROWD).map(one).collect());
        assert_eq!(granted(&reports), 1, "round {round}: {reports:?}");
        let refused = reports.iter().filter(|report| report.code() == "PAM_AUTH_ERR");
        assert!(refused.clone().all(|report| report.told() == [USED]), "round {round}");
        assert_eq!(refused.count(), CROWD - 1, "round {round}: {reports:?}");
    }
    println!(
        "{rounds} rounds of {CROWD} logins with one code by {services:?} in {:?}",
        since.elapsed()
    );
    assert_eq!(host.logged_by_now("outcome=granted").len(), rounds);
    assert_eq!(host.logged_by_now("reason=already_used").len(), rounds * (CROWD - 1));
    assert_eq!(host.logged_by_now("healed="), [""; 0]);
    assert_eq!(failures(&host, "alice"), 0);
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn one_of_64_logins_with_one_code_gets_in_through_the_resident_in_each_of_100_rounds() {
    let _alone = alone();
    race(["door", "door"], 100);
}

#[test]
fn one_of_64_gets_in_when_half_of_them_have_verifiers_of_their_own() {
    let _alone = alone();
    race(["door", "spawn"], if is_whole() { 100 } else { 25 });
}

#[test]
fn fifty_users_whose_dbs_are_open_get_in_all_at_once() {
    const ROUNDS: usize = 5;
    let _alone = alone();
    let users = numbered(50);
    let host = host_of(&users, CONFIG);
    let _resident = host.reside();
    // No verifier could be spawned.
    let tokens: Vec<Vec<String>> = users
        .iter()
        .map(|user| host.enrol_with(user, &["hotp"]).device.codes(ROUNDS as u64))
        .collect();
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    for round in 0..ROUNDS {
        let one = |(user, codes): (&String, &Vec<String>)| {
            Attempt::new("door", user).answer(&codes[round]).wait_at(0)
        };
        let crowd = users.iter().zip(&tokens).map(one).collect();
        let since = Instant::now();
        let reports = together(&host, crowd);
        println!("round {round}: {} users in {:?}", users.len(), since.elapsed());
        assert_eq!(granted(&reports), users.len(), "round {round}: {reports:?}");
    }
}

#[test]
fn a_thousand_faces_that_hang_up_after_their_answer_are_charged_and_leave_nothing() {
    // Nobody may fail more often.
    const EACH: usize = 100;
    let _alone = alone();
    let limits = "[lockout]\nper_source = 100\nper_user = 100\ndisable_after = 100\n";
    let users = numbered(10);
    let host = host_of(&users, &format!("{CONFIG}{limits}"));
    let mut tokens: Vec<_> =
        users.iter().map(|user| host.enrol_with(user, &["hotp"]).device).collect();
    let resident = host.reside();
    let door = host.door();
    for (user, token) in users.iter().zip(&mut tokens) {
        // From there they are known.
        assert_eq!(door.enter(user, "192.0.2.7", &token.code()), Some(End::Granted));
    }
    let before = [resident.figure("Threads"), resident.descriptors()];
    let wrong: Vec<String> = tokens.iter().map(Device::wrong_code).collect();
    let answer = |(user, wrong): (&String, &String)| {
        door.log_in(user, "192.0.2.7").expect("a prompt").answer(wrong)
    };
    let since = Instant::now();
    for cut in 0..EACH {
        let logins = users.iter().zip(&wrong);
        if cut % 2 == 0 {
            logins.for_each(|login| drop(answer(login)));
        } else {
            // The first of these are being judged, or have been, when they hang up.
            drop(logins.map(answer).collect::<Vec<Answered>>());
        }
    }
    println!("{} faces hung up in {:?}", users.len() * EACH, since.elapsed());
    let charged = || users.iter().map(|user| failures(&host, user)).sum::<usize>();
    until("all of them are charged", || charged() == users.len() * EACH);
    // Some more threads may wait for connections than before, each with one of its own to the log.
    until("threads and descriptors are as before, but for a few", || {
        resident.figure("Threads") < before[0] + 8 && resident.descriptors() < before[1] + 8
    });
    assert_eq!(host.logged_by_now("reason=wrong_code").len(), users.len() * EACH);
}

fn together(host: &Running, attempts: Vec<Attempt>) -> Vec<Report> {
    pam::run(host, &Plan { race: true, attempts, ..Plan::default() })
}

fn granted(reports: &[Report]) -> usize {
    reports.iter().filter(|report| report.code() == "PAM_SUCCESS").count()
}

fn failures(host: &Running, user: &str) -> usize {
    let status = host.run(&["mfa-setup", "status", "--user", user, "--json"]).json();
    usize::try_from(status["lockout"]["failures"].as_u64().unwrap()).unwrap()
}
