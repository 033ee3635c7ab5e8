use super::*;
use crate::config::Config;
use crate::factor::codes;
use crate::factor::otp::tests::device;
use crate::factor::tokens::tests::token;
use crate::judge::{Attempt, Code, judge};
use crate::record::tests::largest;
use crate::record::{Token, Use};
use mfa_protocol::message::Algorithm;

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;
const KEY: &str = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne\n";

fn policy() -> PolicyConfig {
    PolicyConfig { remember: 12 * HOUR, remember_session: 600, ..PolicyConfig::default() }
}

fn by_key(key: &str) -> LoginRequest {
    LoginRequest {
        service: "sshd".to_owned(),
        rhost: Some("192.0.2.7".to_owned()),
        ssh_auth_info: Some(key.to_owned()),
        ..LoginRequest::default()
    }
}

fn by_password() -> LoginRequest {
    LoginRequest { ssh_auth_info: None, password_given: true, ..by_key(KEY) }
}

fn by_sudo() -> LoginRequest {
    LoginRequest {
        service: "sudo".to_owned(),
        tty: Some("/dev/pts/3".to_owned()),
        ruser: Some("alice".to_owned()),
        password_given: true,
        ..LoginRequest::default()
    }
}

fn session() -> Session {
    Session { boot: "b".to_owned(), audit: 7, terminal: 0x8803, leader: 100, began: 5_000 }
}

fn bond(request: &LoginRequest) -> Option<Bond> {
    Bond::of(&policy(), request, Purpose::Login, Some(session()))
}

fn record() -> UserRecord {
    let mut record = UserRecord {
        devices: vec![device(b"0123456789", Algorithm::Sha1, 6)],
        backup_codes: Some(codes::new_batch(1, NOW).unwrap().0),
        ..UserRecord::default()
    };
    record.devices[0].last_used = Some(Use { at: NOW, from: Source::Local });
    record
}

/// A record that remembers `request`, since [`NOW`].
fn remembering(request: &LoginRequest) -> UserRecord {
    let mut record = record();
    record.remember(&bond(request).unwrap(), Method::Totp, NOW);
    record
}

fn recalls(record: &UserRecord, request: &LoginRequest, now: u64) -> bool {
    bond(request).is_some_and(|bond| record.recall(&bond, now).is_some())
}

#[test]
fn a_login_is_known_by_user_service_source_and_key_together() {
    let record = remembering(&by_key(KEY));
    let same = by_key(KEY);
    assert!(recalls(&record, &same, NOW + 1));
    let other_key = KEY.replace("One", "Two");
    let both = format!("{KEY}{other_key}");
    for (what, other) in [
        ("another key", by_key(&other_key)),
        ("a second key", by_key(&both)),
        ("another type of key", by_key(&KEY.replace("ed25519", "rsa"))),
        ("another address", LoginRequest { rhost: Some("192.0.2.8".into()), ..same.clone() }),
        ("no address", LoginRequest { rhost: None, ..same.clone() }),
        ("a name", LoginRequest { rhost: Some("laptop".into()), ..same.clone() }),
        ("another service", LoginRequest { service: "login".into(), ..same.clone() }),
        ("no key", by_password()),
        ("a claim", by_key("publickey \n")),
    ] {
        assert!(!recalls(&record, &other, NOW + 1), "{what}");
    }
    assert!(!recalls(&self::record(), &same, NOW + 1), "another user");
}

#[test]
fn without_a_key_it_is_policy_that_says_whether() {
    assert_eq!(bond(&by_password()), None);
    let without_key = PolicyConfig { without_key: true, ..policy() };
    let of = |request: &LoginRequest| Bond::of(&without_key, request, Purpose::Login, None);
    assert_eq!(of(&by_password()).unwrap().tie, Tie::Source);
    assert_eq!(of(&by_key(KEY)).unwrap().tie, Tie::Key);
    // A key that only some other service claims is none.
    let other = LoginRequest { service: "xrdp".to_owned(), ..by_key(KEY) };
    assert_eq!(of(&other), None);
    assert_eq!(of(&LoginRequest { password_given: false, ..by_password() }), None);
    // The console, and who knows where.
    for rhost in [None, Some("laptop".to_owned())] {
        assert_eq!(of(&LoginRequest { rhost, ..by_password() }), None);
    }
    let mut record = record();
    record.remember(&of(&by_password()).unwrap(), Method::Totp, NOW);
    assert!(record.recall(&of(&by_password()).unwrap(), NOW).is_some());
    assert!(record.recall(&of(&by_key(KEY)).unwrap(), NOW).is_none());
    assert!(record.remembered[0].standing(&without_key, NOW).is_some());
    assert!(record.remembered[0].standing(&policy(), NOW).is_none());
}

#[test]
fn it_is_off_where_policy_does_not_speak_of_it_and_for_who_cannot_be_asked() {
    let off = PolicyConfig::default();
    for request in [by_key(KEY), by_password(), by_sudo()] {
        assert_eq!(Bond::of(&off, &request, Purpose::Login, Some(session())), None);
    }
    assert_eq!(Bond::of(&policy(), &by_key(KEY), Purpose::Unseen, None), None);
    // sudo forbids its modules to say anything, and nothing is asked there.
    assert!(Bond::of(&policy(), &by_sudo(), Purpose::Unseen, Some(session())).is_some());
}

#[test]
fn sudo_is_known_by_the_session_its_terminal_and_the_caller() {
    let record = remembering(&by_sudo());
    assert!(recalls(&record, &by_sudo(), NOW + 599));
    assert!(!recalls(&record, &by_sudo(), NOW + 600));
    let others = [
        Session { boot: "c".to_owned(), ..session() },
        Session { audit: 8, ..session() },
        Session { terminal: 0x8804, ..session() },
        Session { leader: 101, ..session() },
        // Another process of the same number.
        Session { began: 5_001, ..session() },
    ];
    for other in others {
        let shown = format!("{other:?}");
        let bond = Bond::of(&policy(), &by_sudo(), Purpose::Login, Some(other)).unwrap();
        assert!(record.recall(&bond, NOW).is_none(), "{shown}");
    }
    for other in [
        LoginRequest { service: "su".to_owned(), ..by_sudo() },
        LoginRequest { tty: Some("/dev/pts/4".to_owned()), ..by_sudo() },
        LoginRequest { ruser: Some("bob".to_owned()), ..by_sudo() },
    ] {
        assert!(!recalls(&record, &other, NOW), "{other:?}");
    }
    assert_eq!(Bond::of(&policy(), &by_sudo(), Purpose::Login, None), None);
    let judge = LoginRequest { tty: None, ruser: None, ..by_sudo() };
    assert_eq!(bond(&judge), None);
    assert_eq!(bond(&LoginRequest { service: "login".to_owned(), ..by_sudo() }), None);
}

#[test]
fn it_ends_when_it_was_said_to_or_sooner_where_policy_says_less_by_then() {
    let record = remembering(&by_key(KEY));
    let recalls = |lifetime, now| {
        let policy = PolicyConfig { remember: lifetime, ..policy() };
        Bond::of(&policy, &by_key(KEY), Purpose::Login, None)
            .is_some_and(|bond| record.recall(&bond, now).is_some())
    };
    let end = NOW + 12 * HOUR;
    assert!(recalls(12 * HOUR, end - 1) && !recalls(12 * HOUR, end));
    assert!(recalls(HOUR, NOW + HOUR - 1) && !recalls(HOUR, NOW + HOUR));
    assert!(!recalls(24 * HOUR, end));
    assert!(!recalls(0, NOW));
}

#[test]
fn it_stands_in_for_what_policy_accepts_and_for_nothing_else() {
    let mut record = remembering(&by_key(KEY));
    let accepting = |methods| PolicyConfig { methods, ..policy() };
    for (given, methods, stands) in [
        (Method::Totp, Methods { totp: true, ..Methods::NONE }, true),
        (Method::Totp, Methods { totp: false, ..Methods::ALL }, false),
        (Method::BackupCode, Methods { totp: true, ..Methods::NONE }, false),
        (Method::BackupCode, Methods { totp: false, ..Methods::ALL }, true),
    ] {
        record.remember(&bond(&by_key(KEY)).unwrap(), given, NOW);
        let policy = accepting(methods);
        let bond = Bond::of(&policy, &by_key(KEY), Purpose::Login, None).unwrap();
        assert_eq!(record.recall(&bond, NOW).is_some(), stands, "{given:?} {methods:?}");
        let listed = record.remembered[0].standing(&policy, NOW);
        assert_eq!(listed.is_some(), stands, "{given:?} {methods:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_prolongs_nothing() {
    let mut record = remembering(&by_key(KEY));
    assert!(!recalls(&record, &by_key(KEY), NOW - 1));
    // It has been used since, or a code was tried, or given elsewhere.
    let used = Use { at: NOW + 5 * HOUR, from: Source::Local };
    record.remembered[0].last_used = Some(used.at);
    let mut by_token = remembering(&by_key(KEY));
    by_token.tokens.push(token([0; 20]));
    by_token.remember(&bond(&by_key(KEY)).unwrap(), Method::Totp, NOW);
    by_token.tokens[0].last_used = Some(used);
    let mut by_device = remembering(&by_key(KEY));
    by_device.devices[0].last_used = Some(used);
    let mut by_code = remembering(&by_key(KEY));
    by_code.backup_codes.as_mut().unwrap().codes[0].used = Some(used);
    let mut by_failure = remembering(&by_key(KEY));
    let rules = crate::config::LockoutConfig::default();
    by_failure.lockout.charge_otp(Source::Local, used.at, &rules);
    for record in [record, by_token, by_device, by_code, by_failure] {
        assert!(recalls(&record, &by_key(KEY), used.at));
        assert!(!recalls(&record, &by_key(KEY), used.at - 1));
    }
}

/// The record after a wrong code at this console.
fn after_a_wrong_code(record: UserRecord, now: u64) -> UserRecord {
    let code = Code::OneTime("000000".to_owned().into());
    judge(record, &Attempt { code, source: Source::Local }, now, &Config::default()).1
}

#[test]
fn what_is_noted_after_the_clock_was_set_back_does_not_hide_that_it_was() {
    let mut record = after_a_wrong_code(remembering(&by_key(KEY)), NOW + 13 * HOUR);
    assert!(!recalls(&record, &by_key(KEY), NOW + HOUR));
    // The first is not judged: who was wrong in the future waits for an hour.
    for later in [HOUR, 2 * HOUR] {
        record = after_a_wrong_code(record, NOW + later);
        assert!(!recalls(&record, &by_key(KEY), NOW + later));
    }
    // Where it goes on as it should, a wrong code ends nothing.
    let record = after_a_wrong_code(remembering(&by_key(KEY)), NOW + HOUR);
    assert!(recalls(&record, &by_key(KEY), NOW + HOUR));
}

#[test]
fn what_was_remembered_while_the_clock_ran_ahead_is_not_good_when_that_time_comes() {
    let (ahead, mut record) = (NOW + 365 * 86_400, record());
    record.remember(&bond(&by_key(KEY)).unwrap(), Method::Totp, ahead);
    let record = after_a_wrong_code(record, NOW);
    assert!(!recalls(&record, &by_key(KEY), ahead + 1));
}

#[test]
fn a_record_that_is_full_remembers_nothing_and_says_so() {
    let mut full = largest();
    while full.encode().is_ok() {
        let service = "x".repeat(MAX_SERVICE);
        full.tokens.push(Token { services: vec![service; 2], ..token([0xff; 20]) });
    }
    full.fit();
    let without_key = PolicyConfig { without_key: true, ..policy() };
    let request = LoginRequest {
        service: "x".repeat(MAX_SERVICE),
        rhost: Some("2001:db8::7".to_owned()),
        ..by_password()
    };
    let bond = Bond::of(&without_key, &request, Purpose::Login, None).unwrap();
    assert_eq!(full.remember(&bond, Method::Totp, NOW), None);
    let end = Some(NOW + 12 * HOUR);
    assert_eq!(record().remember(&bond, Method::Totp, NOW), end);
}

#[test]
fn every_change_of_a_factor_ends_it() {
    type Change = fn(&mut UserRecord);
    let changes: [(&str, Change); 6] = [
        ("a device more", |record| {
            record.devices.push(device(b"abcdefghij", Algorithm::Sha1, 6));
        }),
        ("another key", |record| {
            record.devices[0].key = mfa_protocol::Secret::from("another");
        }),
        ("a device disabled", |record| record.devices[0].disabled = true),
        ("new codes", |record| {
            record.backup_codes = Some(codes::new_batch(1, NOW).unwrap().0);
        }),
        ("no codes", |record| record.backup_codes = None),
        ("a token", |record| record.tokens.push(token([0; 20]))),
    ];
    for (what, change) in changes {
        let mut record = remembering(&by_key(KEY));
        change(&mut record);
        assert!(!recalls(&record, &by_key(KEY), NOW), "{what}");
    }
    // What a login itself changes does not.
    let mut record = remembering(&by_key(KEY));
    record.devices[0].failures = 3;
    record.devices[0].last_used = None;
    assert!(recalls(&record, &by_key(KEY), NOW));
}

#[test]
fn at_most_eight_are_kept_and_one_that_is_given_anew_takes_its_own_place() {
    let mut record = record();
    let from = |n: u64| LoginRequest { rhost: Some(format!("192.0.2.{n}")), ..by_key(KEY) };
    for n in 1..=9 {
        record.remember(&bond(&from(n)).unwrap(), Method::Totp, NOW + n);
    }
    let numbers = |record: &UserRecord| {
        record.remembered.iter().map(|login| login.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&record), [2, 3, 4, 5, 6, 7, 8, 9]);
    record.remember(&bond(&from(5)).unwrap(), Method::Totp, NOW + 10);
    assert_eq!(numbers(&record), [2, 3, 4, 6, 7, 8, 9, 10]);
    // Those that have ended go first.
    record.remember(&bond(&from(1)).unwrap(), Method::Totp, NOW + 5 + 12 * HOUR);
    assert_eq!(numbers(&record), [6, 7, 8, 9, 10, 11]);
}

#[test]
fn the_question_says_for_how_long() {
    for (seconds, words) in [
        (12 * HOUR, "12 hours"),
        (86_400, "1 day"),
        (14 * 86_400, "14 days"),
        (36 * HOUR, "36 hours"),
        (5_400, "90 minutes"),
        (61, "61 seconds"),
    ] {
        let policy = PolicyConfig { remember: seconds, ..policy() };
        let bond = Bond::of(&policy, &by_key(KEY), Purpose::Login, None).unwrap();
        assert_eq!(bond.question(), Some(format!("Remember this login for {words}? [y/N] ")));
    }
    assert_eq!(bond(&by_sudo()).unwrap().question(), None);
}
