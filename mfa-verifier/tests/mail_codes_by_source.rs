//! Codes by mail are counted apart for this host, for known sources and for all others: who fails in one
//! place takes none from another.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use mfa_protocol::message::{Action, LoginRequest, NewDevice, Reply};
use mfa_protocol::{Outcome, Verdict};

use host::mail::{HOME, Person, by_mail, letters, mailbox, mailed, status};
use host::{Host, NOW, code, from};

/// Where nobody got in.
const ELSEWHERE: &str = "198.51.100.1";

/// With these, wrong codes bar no source before they bar codes by mail.
const PATIENT: &str = "[lockout]\nper_source = 100\nper_user = 100";

/// A host where alice's default is a mailbox, and where she is known at home.
fn known_at_home() -> Host {
    let host = by_mail(PATIENT);
    assert_eq!(host.verdict("alice", &code((NOW + 7_200) / 30)), Verdict::Granted);
    host
}

/// Alice's login at this host.
fn here() -> LoginRequest {
    LoginRequest { service: "sudo".to_owned(), rhost: None, ..from("alice", HOME) }
}

fn at(rhost: &str) -> LoginRequest {
    from("alice", rhost)
}

fn try_as<'a>(host: &'a Host, request: &LoginRequest, answers: &[&str]) -> (Outcome, Person<'a>) {
    let mut person = Person::new(host, answers);
    (person.log_in(request), person)
}

/// Five mails, each answered wrong.
fn fail(host: &Host, request: &LoginRequest) {
    for _ in 0..5 {
        assert_eq!(try_as(host, request, &["", "<wrong>"]).0.verdict, Verdict::Denied);
    }
}

/// Whether a code can be had and given.
fn gets_in(host: &Host, request: &LoginRequest) -> bool {
    try_as(host, request, &["", "<mail>"]).0.verdict == Verdict::Granted
}

#[test]
fn who_fails_elsewhere_bars_no_mail_code_where_the_user_is_known() {
    let host = known_at_home();
    fail(&host, &at(ELSEWHERE));
    assert!(!gets_in(&host, &at("203.0.113.9")), "all others are counted together");
    assert!(gets_in(&host, &at(HOME)));
    assert!(gets_in(&host, &here()));
}

#[test]
fn who_fails_where_the_user_is_known_bars_it_there_alone() {
    let host = known_at_home();
    fail(&host, &at(HOME));
    assert!(!gets_in(&host, &at(HOME)));
    assert!(gets_in(&host, &at(ELSEWHERE)));
}

#[test]
fn mails_that_others_ask_for_use_up_none_of_a_known_source() {
    let host = known_at_home();
    // The sixth is not sent.
    try_as(&host, &at(ELSEWHERE), &["", "", "", "", "", ""]);
    assert_eq!(letters(&host), 5);
    for mails in 6..=10 {
        assert!(gets_in(&host, &at(HOME)));
        assert_eq!(letters(&host), mails);
    }
    assert!(!gets_in(&host, &at(HOME)), "five an hour are five there as well");
}

#[test]
fn a_code_sent_to_a_stranger_voids_none_that_a_known_source_was_sent() {
    let host = known_at_home();
    try_as(&host, &at(HOME), &[""]);
    let owners = mailed(&host);
    try_as(&host, &at(ELSEWHERE), &[""]);
    try_as(&host, &here(), &[""]);
    assert_eq!(letters(&host), 3);
    assert_eq!(host.verdict("alice", &owners), Verdict::Granted);
}

#[test]
fn own_programs_bar_no_mail_codes_over_the_network() {
    let host = known_at_home();
    fail(&host, &here());
    assert!(!gets_in(&host, &here()));
    assert!(gets_in(&host, &at(HOME)));
    assert!(gets_in(&host, &at(ELSEWHERE)));
}

#[test]
fn a_resend_resets_no_count_wherever_it_is_asked_for() {
    for request in [here(), at(HOME), at(ELSEWHERE)] {
        let host = known_at_home();
        for failures in 1..=5 {
            let (outcome, _) = try_as(&host, &request, &["", "<wrong>"]);
            assert_eq!((outcome.verdict, letters(&host)), (Verdict::Denied, failures));
        }
        assert!(!gets_in(&host, &request), "{request:?}");
        assert_eq!(letters(&host), 5);
    }
}

#[test]
fn a_verification_of_an_address_outlives_five_wrong_answers_at_logins_over_the_network() {
    let host = known_at_home();
    let add = || {
        let Action::Add(device) = mailbox() else { panic!() };
        Action::Add(Box::new(NewDevice { label: Some("work".to_owned()), ..*device }))
    };
    let mut person = Person::new(&host, &["new@example.org"]);
    assert!(matches!(person.manage(add()), Reply::Failed(_)), "she goes to look for the mail");
    let sent = mailed(&host);
    fail(&host, &at(HOME));
    fail(&host, &at(ELSEWHERE));
    let mut person = Person::new(&host, &["new@example.org", &sent]);
    assert!(matches!(person.manage(add()), Reply::Added(_)), "{:?}", person.told);
    assert_eq!(status(&host).devices.len(), 3);
}

#[test]
fn what_is_said_where_codes_are_barred_is_what_is_said_where_they_are_wrong() {
    let host = known_at_home();
    let see = |rhost: &str| {
        let (outcome, person) = try_as(&host, &at(rhost), &["", "", "000000"]);
        (outcome.verdict == Verdict::Granted, person.asked, person.told)
    };
    let wrong = see(ELSEWHERE);
    assert_eq!(see(HOME), wrong);
    fail_on(&host, HOME);
    fail_on(&host, ELSEWHERE);
    assert_eq!((see(HOME), see(ELSEWHERE)), (wrong.clone(), wrong));
}

fn fail_on(host: &Host, rhost: &str) {
    for _ in 0..5 {
        try_as(host, &at(rhost), &["", "<wrong>"]);
    }
}
