//! Many logins at one moment: a code lets one of them in, and right codes of different users let in
//! all of them.

use std::time::Instant;

use mfa_tests::USED;
use mfa_tests::pam::{self, Attempt, Plan, Report};
use mfa_tests::ssh::Session;
use mfa_tests::{Device, Host, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n[backup_codes]\ncount = 3\nlow = 0\n";
const STACK: &str = "auth required pam_mfa.so\n";

/// Logins at one moment.
const CROWD: usize = 64;

fn host() -> Running {
    Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("door", STACK).start()
}

#[test]
fn one_of_64_logins_with_one_totp_code_gets_in_in_each_of_100_rounds() {
    const ROUNDS: usize = 100;
    let host = host();
    host.enrol("alice");
    let since = Instant::now();
    for round in 0..ROUNDS {
        let code = fresh_device(&host, round).code();
        let reports = together(&host, vec![at_the_door("alice", &code); CROWD]);
        assert_eq!(granted(&reports), 1, "round {round}: {reports:?}");
        let refused = reports.iter().filter(|report| report.code() == "PAM_AUTH_ERR");
        assert!(refused.clone().all(|report| report.told() == [USED]), "round {round}");
        assert_eq!(refused.count(), CROWD - 1, "round {round}: {reports:?}");
    }
    println!("{ROUNDS} rounds of {CROWD} logins with one code in {:?}", since.elapsed());
    assert_eq!(host.logged_by_now("outcome=granted").len(), ROUNDS);
    assert_eq!(host.logged_by_now("reason=already_used").len(), ROUNDS * (CROWD - 1));
    assert_eq!(failures(&host, "alice"), 0);
}

#[test]
fn one_of_20_ssh_sessions_with_one_code_gets_in_in_each_of_5_rounds() {
    const ROUNDS: usize = 5;
    const SESSIONS: usize = 20;
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    host.enrol("alice");
    let since = Instant::now();
    for round in 0..ROUNDS {
        let code = fresh_device(&host, round).code();
        let mut sessions: Vec<Session> = (0..SESSIONS).map(|_| host.ssh("alice").open()).collect();
        for session in &mut sessions {
            session.answer("Password: ", "rabbit hole");
        }
        for session in &mut sessions {
            session.pty().expect("Verification code: ");
        }
        for session in &mut sessions {
            session.pty().send_line(&code);
        }
        let ends: Vec<_> = sessions.iter_mut().map(Session::end).collect();
        let (inside, outside): (Vec<_>, Vec<_>) = ends.into_iter().partition(|e| e.who.is_some());
        assert_eq!((inside.len(), outside.len()), (1, SESSIONS - 1), "round {round}");
        for end in outside {
            assert!(end.refused().contains(USED));
        }
    }
    println!("{ROUNDS} rounds of {SESSIONS} ssh sessions with one code in {:?}", since.elapsed());
    assert_eq!(host.logged_by_now("outcome=granted").len(), ROUNDS);
    assert_eq!(host.logged_by_now("reason=already_used").len(), ROUNDS * (SESSIONS - 1));
}

#[test]
fn one_of_64_logins_with_one_backup_code_gets_in() {
    const ROUNDS: usize = 3;
    let host = host();
    let mut backup = host.enrol("alice").backup;
    let since = Instant::now();
    for round in 0..ROUNDS {
        let reports = together(&host, vec![at_the_door("alice", &backup.code()); CROWD]);
        assert_eq!(granted(&reports), 1, "round {round}: {reports:?}");
        assert_eq!(refused(&reports), CROWD - 1, "round {round}: {reports:?}");
        assert_eq!(backup_codes_left(&host), ROUNDS - round - 1);
    }
    println!("{ROUNDS} rounds of {CROWD} logins with one backup code in {:?}", since.elapsed());
    assert_eq!(host.logged_by_now("outcome=granted").len(), ROUNDS);
    assert_eq!(host.logged_by_now("reason=already_used").len(), ROUNDS * (CROWD - 1));
}

#[test]
fn of_logins_with_a_totp_and_a_backup_code_mixed_one_each_gets_in_and_both_are_used_up() {
    const ROUNDS: usize = 3;
    let host = host();
    let mut backup = host.enrol("alice").backup;
    let since = Instant::now();
    for round in 0..ROUNDS {
        let codes = [fresh_device(&host, round).code(), backup.code()];
        let crowd = (0..CROWD).map(|n| at_the_door("alice", &codes[n % 2])).collect();
        let reports = together(&host, crowd);
        for of in 0..2 {
            let own: Vec<_> = reports.iter().skip(of).step_by(2).cloned().collect();
            assert_eq!(granted(&own), 1, "round {round}: {reports:?}");
            assert_eq!(refused(&own), CROWD / 2 - 1, "round {round}: {reports:?}");
        }
        // What one saved, the other has not overwritten.
        for code in &codes {
            let late = Attempt::new("door", "alice").answer(code).run(&host);
            assert_eq!((late.code(), late.told()), ("PAM_AUTH_ERR", vec![USED]), "round {round}");
        }
        assert_eq!(backup_codes_left(&host), ROUNDS - round - 1);
    }
    println!("{ROUNDS} rounds of {CROWD} logins with two codes mixed in {:?}", since.elapsed());
}

#[test]
fn of_64_wrong_codes_given_together_only_as_many_as_the_limit_are_compared() {
    let host = host();
    let device = host.enrol("alice").device;
    let wrong = wrong_codes(&device, CROWD);
    let since = Instant::now();
    let mut rounds = 0;
    // Limits of a source, of the user; whether each comes from another source; what is compared.
    for (per_source, per_user, scattered, compared) in [
        (1, 10, false, 1),
        (5, 10, false, 5),
        (5, 3, false, 3),
        (5, 10, true, 10),
        (1, 1, true, 1),
        (100, 100, false, CROWD),
    ] {
        let limits = format!("[lockout]\nper_source = {per_source}\nper_user = {per_user}\n");
        host.write("/etc/pam_mfa/config.toml", format!("{REQUIRED}{limits}"));
        let already = host.logged_by_now("reason=wrong_code").len();
        let crowd = wrong.iter().zip(1..).map(|(code, n)| {
            let from = format!("192.0.2.{}", if scattered { n } else { 7 });
            at_the_door("alice", code).from(&from)
        });
        let reports = together(&host, crowd.collect());
        assert_eq!(refused(&reports), CROWD, "{limits}{reports:?}");
        assert_eq!(host.logged_by_now("reason=wrong_code").len() - already, compared, "{limits}");
        assert_eq!(failures(&host, "alice"), compared, "{limits}");
        host.run(&["mfa-setup", "unlock", "--user", "alice", "--yes"]).ok();
        rounds += 1;
    }
    println!("{rounds} rounds of {CROWD} wrong codes in {:?}", since.elapsed());
    let barred = host.logged_by_now("reason=locked").len();
    assert_eq!(barred + host.logged_by_now("reason=wrong_code").len(), rounds * CROWD);
}

#[test]
fn of_64_wrong_backup_codes_given_together_only_as_many_as_the_limit_are_compared() {
    let host = host();
    let mut backup = host.enrol("alice").backup;
    let wrong = (0..CROWD).map(|n| format!("bbbbb-ccccc-{}", letters(n)));
    let since = Instant::now();
    let crowd = wrong.map(|code| at_the_door("alice", &code).from("192.0.2.7")).collect();
    let reports = together(&host, crowd);
    assert_eq!(refused(&reports), CROWD, "{reports:?}");
    println!("1 round of {CROWD} wrong backup codes in {:?}", since.elapsed());
    assert_eq!(host.logged_by_now("reason=wrong_code").len(), 10);
    assert_eq!(host.logged_by_now("reason=locked").len(), CROWD - 10);
    // Who has the sheet and sits elsewhere is not locked out.
    let owner = Attempt::new("door", "alice").answer(backup.code()).from("192.0.2.8");
    assert_eq!(owner.run(&host).code(), "PAM_SUCCESS");
}

#[test]
fn fifty_users_with_right_codes_get_in_all_at_once() {
    const ROUNDS: usize = 3;
    const USERS: usize = 50;
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let host = users.iter().fold(Host::new(), |host, user| host.user_without_password(user));
    let policy = "[policy]\nmode = \"required\"\n[backup_codes]\ncount = 1\nlow = 0\n";
    let host = host.config(policy).pam("door", STACK).start();
    for round in 0..ROUNDS {
        // A new device in each round, since each has one code for now.
        let label = format!("phone{round}");
        let enrol = |user: &String| host.enrol_with(user, &["totp", "--label", &label]).device;
        let crowd = users.iter().map(|user| at_the_door(user, &enrol(user).code())).collect();
        let since = Instant::now();
        let reports = together(&host, crowd);
        println!("round {round}: {USERS} users in {:?}", since.elapsed());
        assert_eq!(granted(&reports), USERS, "round {round}: {reports:?}");
    }
    assert_eq!(host.logged_by_now("outcome=granted").len(), ROUNDS * USERS);
}

/// A login that stops at the prompt until all others are there.
fn at_the_door(user: &str, code: &str) -> Attempt {
    Attempt::new("door", user).answer(code).wait_at(0)
}

fn together(host: &Running, attempts: Vec<Attempt>) -> Vec<Report> {
    pam::run(host, &Plan { race: true, attempts, ..Plan::default() })
}

fn granted(reports: &[Report]) -> usize {
    reports.iter().filter(|report| report.code() == "PAM_SUCCESS").count()
}

fn refused(reports: &[Report]) -> usize {
    reports.iter().filter(|report| report.code() == "PAM_AUTH_ERR").count()
}

/// Alice's device of this round, in place of that of the round before: no code of it was used yet.
fn fresh_device(host: &Running, round: usize) -> Device {
    if let Some(before) = round.checked_sub(1) {
        let label = format!("round {before}");
        host.run(&["mfa-setup", "remove", &label, "--user", "alice", "--yes"]).ok();
    }
    host.enrol_with("alice", &["totp", "--label", &format!("round {round}")]).device
}

/// Different codes of the right length, none of them near the present.
fn wrong_codes(device: &Device, count: usize) -> Vec<String> {
    let now = device.step();
    let near: Vec<String> = (now - 9..now + 10).map(|step| device.code_at_step(step)).collect();
    let all = (0..).map(|n| format!("{:06}", n * 7_919 % 1_000_000));
    all.filter(|code| !near.contains(code)).take(count).collect()
}

/// Five letters of those that backup codes are made of.
fn letters(number: usize) -> String {
    let digit = |power: u32| char::from(b"abcdefgh"[number / 8usize.pow(power) % 8]);
    (0..5).map(digit).collect()
}

fn failures(host: &Running, user: &str) -> usize {
    let status = host.run(&["mfa-setup", "status", "--user", user, "--json"]).json();
    usize::try_from(status["lockout"]["failures"].as_u64().unwrap()).unwrap()
}

fn backup_codes_left(host: &Running) -> usize {
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    usize::try_from(status["backup_codes_left"].as_u64().unwrap()).unwrap()
}
