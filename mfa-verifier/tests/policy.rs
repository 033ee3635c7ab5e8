//! What comes of policies in the pipeline: with a store in memory, a scripted person, and a clock of its
//! own. Which rule holds is `policy`'s own table.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;

use mfa_protocol::conversation::{Scripted, Style};
use mfa_protocol::message::{Action, Explained, FailureKind, ManageRequest, Reply, Supposed};
use mfa_protocol::{Secret, Verdict};
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::manage::manage;
use mfa_verifier::record::UserRecord;
use mfa_verifier::store::{Store, StoreError};
use mfa_verifier::world::{Archive, World};

use host::{Host, alice, code, current, from, nobody};

/// Monday, 18 January 2027, 09:00 in Berlin.
const MONDAY: u64 = 1_800_259_200;

/// A host with alice's phone, and this policy.
fn host(policy: &str) -> (Host, Vec<String>) {
    let (mut host, codes) = Host::with_alice(Mode::Required);
    host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
    (host, codes)
}

fn failures(host: &Host) -> u32 {
    match host.manage(Action::Status, &mut nobody()) {
        Reply::Status(status) => status.failures,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_log_names_the_rule_that_held() {
    let (host, _) = host(
        "[[rule]]\nname = \"night \\\"shift\\\"\"\nusers = [\"alice\"]\nfrom = [\"192.0.2.0/24\"]\nmode = \"off\"\n\
         [[rule]]\ngroups = [\"wheel\"]\nwindow = 0\n",
    );
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut nobody()).verdict, Verdict::Exempt);
    let line = host.last_line();
    assert!(line.ends_with("reason=mode_off rule=\"night \\\"shift\\\"\""), "{line}");
    assert_eq!(host.verdict("bob", "000000"), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=not_enrolled"), "{}", host.last_line());
    let elsewhere = from("alice", "198.51.100.7");
    assert_eq!(host.login(&elsewhere, &mut Scripted::new([current()])).verdict, Verdict::Granted);
    assert!(host.last_line().ends_with("reason=accepted rule=2"), "{}", host.last_line());
}

#[test]
fn exemptions_say_why() {
    for (policy, user, reason) in [
        ("trusted = [\"192.0.2.0/24\"]", "alice", "trusted"),
        ("services = [\"!sshd\"]", "alice", "service_not_asked"),
        ("mode = \"off\"", "alice", "mode_off"),
        ("mode = \"optional\"", "bob", "not_enrolled"),
        ("required_from = 2027-02-01", "bob", "not_required_yet"),
    ] {
        let (host, _) = host(&format!("[policy]\n{policy}\n"));
        let mut request = from(user, "192.0.2.7");
        assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Exempt, "{policy}");
        let line = host.last_line();
        assert!(line.ends_with(&format!("reason={reason}")), "{line}");
        // Whoever is let in unasked, sshd must have seen a first factor.
        request.password_given = false;
        assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Denied, "{policy}");
        assert!(host.last_line().ends_with("reason=no_first_factor"), "{}", host.last_line());
    }
}

#[test]
fn where_nobody_is_asked_the_store_is_not_looked_at() {
    for policy in [
        "[policy]\ntrusted = [\"192.0.2.0/24\"]\n",
        "[policy]\nservices = [\"sudo\"]\n",
        "[[rule]]\nusers = [\"alice\"]\nmode = \"off\"\n",
    ] {
        let (mut host, _) = host(policy);
        host.store = None;
        assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut nobody()).verdict, Verdict::Exempt);
    }
}

#[test]
fn from_outside_right_wrong_and_nobodys_codes_are_refused_alike_and_none_is_counted() {
    let (host, codes) = host("[policy]\nallow_from = [\"192.0.2.0/24\"]\nhelp = \"Ask Bob.\"\n");
    let mut seen = Vec::new();
    for (user, answer, reason) in [
        ("alice", current(), "outside"),
        ("alice", "000000".to_owned(), "outside"),
        ("alice", codes[0].clone(), "outside"),
        ("alice", "abcde-fghjk-23456".to_owned(), "outside"),
        ("bob", "000000".to_owned(), "not_enrolled"),
        ("nobody", "000000".to_owned(), "unknown_user"),
    ] {
        for rhost in ["198.51.100.7", "home.example.org", "192.0.2.7%eth0"] {
            let mut script = Scripted::new([answer.as_str()]);
            let outcome = host.login(&from(user, rhost), &mut script);
            assert_eq!(outcome.verdict, Verdict::Denied, "{user} {rhost}");
            let reason = format!("reason={reason}");
            assert!(host.last_line().ends_with(&reason), "{}", host.last_line());
            seen.push((script.asked, script.told));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_eq!(seen[0].1, [(Style::Error, "Ask Bob.".to_owned())]);
    assert_eq!(failures(&host), 0);
    // Not used up, either.
    assert_eq!(host.verdict("alice", &current()), Verdict::Granted);
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Granted);
}

#[test]
fn from_outside_backup_codes_alone_are_judged_where_they_are_right_anywhere() {
    let policy = "[policy]\nallow_from = [\"192.0.2.0/24\"]\nbackup_codes_anywhere = true\n";
    let (host, codes) = host(policy);
    let outside = from("alice", "198.51.100.7");
    let give = |answer: &str| host.login(&outside, &mut Scripted::new([answer])).verdict;
    assert_eq!(give(&current()), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=outside"), "{}", host.last_line());
    assert_eq!(give("abcde-fghjk-23456"), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=wrong_code"), "{}", host.last_line());
    assert_eq!(give(&codes[3]), Verdict::Granted);
    assert_eq!(give(&codes[3]), Verdict::Denied);
}

#[test]
fn a_method_that_is_not_accepted_neither_lets_in_nor_counts() {
    let (host, codes) = host("[policy]\nmethods = [\"totp\"]\n");
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=method"), "{}", host.last_line());
    assert_eq!(host.verdict("alice", &current()), Verdict::Granted);
    let (host, codes) = self::host("[policy]\nmethods = [\"hotp\", \"backup_code\"]\n");
    for answer in [current(), "000000".to_owned()] {
        assert_eq!(host.verdict("alice", &answer), Verdict::Denied);
        assert!(host.last_line().ends_with("reason=method"), "{}", host.last_line());
    }
    assert_eq!(failures(&host), 0);
    assert_eq!(host.verdict("alice", &codes[0]), Verdict::Granted);
}

#[test]
fn a_method_that_lets_nobody_in_leads_to_no_device_that_does() {
    // In a rule, and although the service is not among those that are asked.
    let policy =
        "[policy]\nservices = [\"sshd\"]\n[[rule]]\nusers = [\"alice\"]\nmethods = [\"totp\"]\n";
    let (host, codes) = host(policy);
    *host.caller.borrow_mut() = alice();
    let mut script = Scripted::new(["password", codes[0].as_str()]);
    let reply = host.manage(Action::NewCodes, &mut script);
    let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.error.contains("does not accept"), "{failure:?}");
    let mut script = Scripted::new(["password".to_owned(), current()]);
    assert!(matches!(host.manage(Action::NewCodes, &mut script), Reply::NewCodes { .. }));
}

#[test]
fn each_rule_counts_against_its_own_limits_and_none_shortens_the_others_waits() {
    let (host, _) = host(
        "[[rule]]\nservices = [\"sudo\"]\nlockout = { per_source = 2, first_wait = 1, longest_wait = 1 }\n",
    );
    let mut sudo = from("alice", "192.0.2.7");
    sudo.service = "sudo".to_owned();
    for _ in 0..5 {
        assert_eq!(host.verdict("alice", "000000"), Verdict::Denied);
    }
    assert_eq!(host.verdict("alice", &current()), Verdict::Locked);
    let until = host.last_line();
    assert!(until.contains("not_before=2027-01-15T08:00:30Z"), "{until}");
    let locked = host.login(&sudo, &mut Scripted::new(["000000"])).verdict;
    assert_eq!(locked, Verdict::Locked);
    // Half a minute stays half a minute.
    host.now.set(host.now.get() + 29);
    assert_eq!(host.verdict("alice", &current()), Verdict::Locked);
}

#[test]
fn until_a_second_factor_is_required_each_login_counts_the_days() {
    let (host, _) = host("[policy]\nrequired_from = 2027-01-18\n");
    let told = |user: &str, now: u64| {
        host.now.set(now);
        let mut script = Scripted::new(["000000"]);
        let verdict = host.login(&from(user, "192.0.2.7"), &mut script).verdict;
        (verdict, script.told)
    };
    let notice = |left: &str| {
        format!(
            "From 2027-01-18 on nobody gets in here without a second factor; {left} left. \
             Enrol with: mfa-setup"
        )
    };
    // The day begins at 23:00 UTC of the day before.
    let midnight = MONDAY - 9 * 3_600;
    for (seconds, left) in [(1, "1 day is"), (86_400, "1 day is"), (86_401, "2 days are")] {
        let (verdict, told) = told("bob", midnight - seconds);
        assert_eq!(verdict, Verdict::Exempt);
        assert_eq!(told, [(Style::Info, notice(left))], "{seconds}");
    }
    assert_eq!(told("bob", midnight), (Verdict::Denied, vec![]));
    assert_eq!(told("alice", midnight - 1).1, [], "who is enrolled is told nothing");
}

#[test]
fn nobody_is_told_apart_from_those_who_are_asked_by_a_list() {
    // Groups are looked up of whom the host does not know, too, and change nothing.
    let policy = "[policy]\nmode = \"off\"\n[[rule]]\ngroups = [\"wheel\"]\nmode = \"required\"\nhelp = \"Ask.\"\n";
    let (mut host, _) = host(policy);
    host.store = Host::new(Mode::Required).store;
    let mut seen = Vec::new();
    for (user, reason) in [("alice", "not_enrolled"), ("nobody", "unknown_user")] {
        let mut script = Scripted::new(["000000"]);
        assert_eq!(host.login(&from(user, "192.0.2.7"), &mut script).verdict, Verdict::Denied);
        let line = host.last_line();
        assert!(line.ends_with(&format!("reason={reason} rule=1")), "{line}");
        seen.push((script.asked, script.told));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(host.login(&from("bob", "192.0.2.7"), &mut nobody()).verdict, Verdict::Exempt);
}

#[test]
fn what_the_host_does_not_say_refuses_those_for_whom_it_decides_and_nobody_else() {
    let (alice, bob, nobody) = ("alice", "bob", "nobody");
    let bobs = "[[rule]]\nusers = [\"bob\"]\nwindow = 0\n";
    let by_group = "[[rule]]\ngroups = [\"wheel\"]\nmode = \"off\"\n";
    let asking = "[policy]\nmode = \"off\"\n[[rule]]\ngroups = [\"wheel\"]\nmode = \"required\"\n";
    let by_time = "[[rule]]\ntime = [\"22:00-06:00\"]\nmode = \"off\"\n";
    let only = "[policy]\nservices = [\"sudo\"]\n";
    let (unavailable, denied, exempt) = (Verdict::Unavailable, Verdict::Denied, Verdict::Exempt);
    let rows = [
        (by_group.to_owned(), alice, unavailable),
        (by_group.to_owned(), bob, unavailable),
        (by_group.to_owned(), nobody, unavailable),
        (asking.to_owned(), bob, unavailable),
        (asking.to_owned(), nobody, unavailable),
        (by_time.to_owned(), alice, unavailable),
        (by_time.to_owned(), nobody, unavailable),
        // What holds before it.
        (format!("{bobs}{by_group}{by_time}"), bob, denied),
        (format!("{bobs}{by_time}{by_group}"), bob, denied),
        (format!("{by_group}{bobs}"), bob, unavailable),
        (format!("{by_time}{bobs}"), bob, unavailable),
        // Nobody is asked, or not by this service.
        (format!("{only}{by_group}{by_time}"), alice, exempt),
        ("[policy]\nmode = \"off\"\nrequired_from = 2027-01-01\n".to_owned(), alice, exempt),
        ("[policy]\nrequired_from = 2027-01-01\n".to_owned(), bob, unavailable),
        ("[policy]\nrequired_from = 2027-01-01T00:00:00Z\n".to_owned(), bob, denied),
        (
            "[policy]\nrequired_from = 2027-01-01\ntrusted = [\"192.0.2.7\"]\n".to_owned(),
            bob,
            exempt,
        ),
    ];
    for (policy, user, expected) in rows {
        let (host, _) = host(&policy);
        host.silent.set(true);
        assert_eq!(host.verdict(user, "000000"), expected, "{user}: {policy}");
        if expected == unavailable {
            let line = host.last_line();
            let said = line.contains("the directory is down") || line.contains("time zone");
            assert!(said, "{line}");
        }
    }
}

#[test]
fn under_try_first_pass_what_is_not_accepted_is_asked_for_again() {
    let (host, codes) = host("[policy]\nmethods = [\"totp\"]\n");
    let mut request = from("alice", "192.0.2.7");
    request.password = Some(Secret::from(codes[0].as_str()));
    let mut script = Scripted::new([current()]);
    assert_eq!(host.login(&request, &mut script).verdict, Verdict::Granted);
    assert_eq!(script.asked.len(), 1);
}

fn explain(host: &Host, supposed: Supposed) -> Explained {
    match host.manage(Action::Explain(Box::new(supposed)), &mut nobody()) {
        Reply::Explained(explained) => *explained,
        other => panic!("{other:?}"),
    }
}

const EXPLAINED: &str = r#"
[policy]
trusted = ["203.0.113.0/24"]
[[rule]]
name = "night"
time = ["22:00-06:00"]
mode = "off"
[[rule]]
groups = ["wheel"]
from = ["192.0.2.0/24"]
methods = ["totp"]
remember = "12h"
"#;

#[test]
fn an_explanation_is_what_a_login_does() {
    let (host, _) = host(EXPLAINED);
    let from = |rhost: &str, at: &str| {
        let (rhost, at) = (Some(rhost.to_owned()), Some(at.to_owned()));
        explain(&host, Supposed { service: "SSHD".to_owned(), rhost, tty: None, at })
    };
    let night = from("192.0.2.7", "2027-01-18 22:00");
    assert_eq!((night.requirement.as_str(), night.reason.as_deref()), ("exempt", Some("mode_off")));
    assert_eq!((night.enrolled, night.service.as_str()), (None, "sshd"));
    assert_eq!(night.local.as_deref(), Some("Mon 2027-01-18 22:00:00"));
    let [rule] = night.rules.as_slice() else { panic!("{night:?}") };
    assert_eq!((rule.number, rule.line, rule.name.as_deref()), (1, 4, Some("night")));
    assert_eq!(rule.mismatch, None);

    let day = from("192.0.2.7", "2027-01-18T08:00:00Z");
    assert_eq!((day.requirement.as_str(), day.enrolled), ("challenge", Some(true)));
    assert_eq!(
        (day.prompt.as_deref(), day.methods.as_slice()),
        (Some("Verification code: "), &["totp".to_owned()][..])
    );
    let mismatches: Vec<_> = day.rules.iter().map(|rule| rule.mismatch.as_deref()).collect();
    assert_eq!(mismatches, [Some("time"), None]);
    assert_eq!(day.at, MONDAY);

    let trusted = from("203.0.113.9", "2027-01-18 12:00");
    assert_eq!(trusted.reason.as_deref(), Some("trusted"));
    let mismatches: Vec<_> = trusted.rules.iter().map(|rule| rule.mismatch.as_deref()).collect();
    assert_eq!(mismatches, [Some("time"), Some("from")]);
    assert_eq!((night.remember, day.remember, trusted.remember), (0, 43_200, 0));
    // Nothing of it is in the log, or changed anything.
    assert!(host.lines.borrow().iter().all(|line| line.contains("action=add")));
}

#[test]
fn an_explanation_says_what_is_right_of_somebody_who_has_enrolled_nothing() {
    const MAIL: &str = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    const ENROLS: &str = "[policy]\nenrol_at_login = \"anybody\"\n";
    const VERIFIES: &str = "[policy]\nenrol_at_login = \"anybody\"\nverify_new_address = true\n";
    for (policy, requirement, right) in [
        ("", "challenge", &[][..]),
        (ENROLS, "enrol", &[]),
        (VERIFIES, "challenge", &[]),
        (MAIL, "challenge", &["email"]),
        (&*format!("{ENROLS}{MAIL}"), "challenge", &["email"]),
    ] {
        let mut host = Host::new(Mode::Required);
        host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
        let supposed = || Supposed {
            service: "sshd".to_owned(),
            rhost: Some("192.0.2.7".to_owned()),
            ..Supposed::default()
        };
        let explained = explain(&host, supposed());
        assert_eq!(explained.requirement, requirement, "{policy}");
        assert_eq!(explained.methods, right, "{policy}");
        assert_eq!(explained.enrolled, Some(false), "{policy}");
        // A mailbox is lent to nobody where no code could be noted.
        host.store = None;
        let fresh = explain(&host, supposed());
        assert_eq!((fresh.methods.len(), fresh.enrolled), (0, Some(false)), "{policy}");
    }
}

#[test]
fn an_explanation_is_roots_and_needs_a_time_that_is_one() {
    let (host, _) = host(EXPLAINED);
    let at = |at: &str| {
        let supposed = Supposed { at: Some(at.to_owned()), ..Supposed::default() };
        match host.manage(Action::Explain(Box::new(supposed)), &mut nobody()) {
            Reply::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at("noon"), FailureKind::Usage);
    *host.caller.borrow_mut() = alice();
    assert_eq!(at("2027-01-18"), FailureKind::NotPermitted);
    let Reply::Failed(failure) = host.manage(Action::Check, &mut nobody()) else { panic!() };
    assert_eq!(failure.kind, FailureKind::NotPermitted);
}

#[test]
fn an_explanation_of_thousands_of_rules_fits_into_an_answer() {
    let rule =
        "[[rule]]\nname = \"a name of some length for a rule\"\nusers = [\"x\"]\nmode = \"off\"\n";
    let (host, _) = host(&rule.repeat(5_000));
    let explained = explain(&host, Supposed { service: "sshd".to_owned(), ..Supposed::default() });
    assert_eq!((explained.rules.len(), explained.rules_left_out), (400, 4_600));
    assert_eq!(explained.rules[399].number, 5_000);
    let bytes = mfa_protocol::relay::encode(&explained).unwrap();
    assert!(bytes.len() < 60 * 1024, "{}", bytes.len());
}

fn warnings(policy: &str) -> Vec<String> {
    let (host, _) = host(policy);
    match host.manage(Action::Check, &mut nobody()) {
        Reply::Checked(checked) => checked.warnings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_check_warns_of_what_may_not_be_meant_so() {
    let rows = [
        (
            "[[rule]]\nusers = [\"alice\", \"carol\"]\nmode = \"off\"\n",
            "line 1: rule 1: there is no user \"carol\"",
        ),
        (
            "[[rule]]\nname = \"x\"\ngroups = [\"wheel\", \"whele\"]\nmode = \"off\"\n",
            "line 1: rule \"x\": there is no group \"whele\"",
        ),
        (
            "[policy]\ntrusted = [\"0.0.0.0/0\"]\n",
            "[policy] trusted has 0.0.0.0/0: nobody from there is asked",
        ),
        ("[policy]\nbackup_codes_anywhere = true\n", "does nothing without allow_from"),
        (
            "[policy]\nallow_from = [\"::1\"]\nbackup_codes_anywhere = true\nmethods = [\"totp\"]\n",
            "methods has no backup_code",
        ),
        (
            "[policy]\nmode = \"optional\"\nrequired_from = 2027-01-01\n",
            "required_from does nothing",
        ),
        ("[policy]\nwithout_key = true\n", "does nothing without remember"),
        ("[policy]\nmode = \"off\"\nallow_from = [\"::1\"]\n", "allow_from does nothing"),
        ("[policy]\nverify_new_address = true\n", "only backup codes and tokens let in"),
        (
            "[policy]\nnew_address_exempts_enrolled = true\n",
            "does nothing without verify_new_address",
        ),
        (
            "[policy]\nmode = \"optional\"\nenrol_at_login = \"invite\"\n",
            "enrol_at_login does nothing but",
        ),
        ("[policy]\nmethods = [\"hotp\"]\nenrol_at_login = \"anybody\"\n", "methods has no totp"),
        ("[policy]\nenrol_from = [\"::1\"]\n", "enrol_from does nothing without"),
        (
            "[policy]\nenrol_at_login = \"invite\"\n[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n",
            "does nothing for whom address in [email] gives a mailbox",
        ),
        (
            "[policy]\nenrol_at_login = \"invite\"\nverify_new_address = true\n[email]\nfrom = \"mfa@example.org\"\n",
            "does nothing from a new address",
        ),
        (
            "[policy]\nmode = \"off\"\n[[rule]]\nfrom = [\"192.0.2.0/24\"]\nmode = \"required\"\n",
            "while [policy] asks nobody: who comes from an address that is not known is asked by [policy] alone",
        ),
        (
            "[policy]\nmode = \"optional\"\n[[rule]]\nfrom = [\"192.0.2.0/24\"]\nmode = \"required\"\n",
            "while [policy] asks those who have enrolled: who comes from an address",
        ),
        ("[[rule]]\nfrom = [\"::/0\"]\nmode = \"off\"\n", "matches every address of a kind"),
        ("[[rule]]\nusers = [\"alice\"]\ntrusted = [\"::/0\"]\n", "rule 1: trusted has ::/0"),
        (
            "[policy]\nmode = \"optional\"\n[[rule]]\ngroups = [\"wheel\"]\nrequired_from = 2027-01-01\n",
            "line 3: rule 1: required_from does nothing",
        ),
        (
            "[[rule]]\nusers = [\"bob\"]\nmode = \"off\"\nallow_from = [\"::1\"]\n",
            "line 1: rule 1: allow_from does nothing",
        ),
        (
            "[[rule]]\nusers = [\"alice@example.org\"]\nmode = \"off\"\n",
            "user \"alice@example.org\" is \"alice\" to this host",
        ),
        (
            "[policy]\nservices = [\"ssh\", \"unprivileged\", \"!dovecot\"]\n",
            "[policy] services: there is no PAM service \"ssh\"",
        ),
        (
            "[[rule]]\nservices = [\"sshd\", \"sshd-key\"]\nmode = \"off\"\n",
            "line 1: rule 1: there is no PAM service \"sshd-key\"",
        ),
        (
            "[[rule]]\nservices = [\"sudo\"]\nmode = \"required\"\n",
            "line 1: rule 1: \"sudo\" is not `sudo -i`, which is the service \"sudo-i\"",
        ),
        (
            "[[rule]]\nservices = [\"sshd\"]\nmode = \"optional\"\n\
             [[rule]]\nservices = [\"sshd\"]\ngroups = [\"wheel\"]\nmode = \"required\"\n",
            "line 4: rule 2 never holds: whatever matches it matches the one before it, line 1: rule 1",
        ),
        (
            "[[rule]]\nname = \"x\"\nusers = [\"alice\", \"bob\"]\nfrom = [\"::/1\", \"10.0.0.0/8\"]\nmode = \"off\"\n\
             [[rule]]\nusers = [\"bob\"]\nfrom = [\"10.1.0.0/16\", \"10.2.0.0/16\"]\nwindow = 0\n",
            "line 6: rule 2 never holds",
        ),
        (
            "[email]\nfrom = \"mfa@example.org\"\nsmtp = \"smtp://localhost:1024\"\n",
            "where every user of this host can listen",
        ),
    ];
    for (policy, expected) in rows {
        let warnings = warnings(policy);
        assert_eq!(warnings.len(), 1, "{policy}: {warnings:?}");
        assert!(warnings[0].contains(expected), "{policy}: {warnings:?}");
    }
}

#[test]
fn a_check_has_nothing_to_say_of_what_is_all_right() {
    for all_right in [
        EXPLAINED,
        "[policy]\nbackup_codes_anywhere = true\n[[rule]]\nservices = [\"sshd\"]\nallow_from = [\"::1\"]\n",
        "[policy]\nwithout_key = true\n[[rule]]\nusers = [\"alice\"]\nremember = \"1h\"\n",
        "[policy]\nenrol_from = [\"::1\"]\n[[rule]]\nservices = [\"sshd\"]\nenrol_at_login = \"anybody\"\n",
        "[policy]\nenrol_at_login = \"anybody\"\nverify_new_address = true\nnew_address_exempts_enrolled = true\n\
         [email]\nfrom = \"mfa@example.org\"\n",
        "[policy]\nmode = \"off\"\nrequired_from = 2027-01-01\nallow_from = [\"::1\"]\n\
         backup_codes_anywhere = true\nmethods = [\"totp\"]\n\
         [[rule]]\ngroups = [\"wheel\"]\nmode = \"required\"\nmethods = [\"totp\", \"backup_code\"]\n",
        "[policy]\nservices = [\"sshd\", \"sudo\", \"sudo-i\"]\n",
        "[[rule]]\nservices = [\"!sudo\"]\nmode = \"off\"\n",
        // Each holds for somebody, at some time.
        "[[rule]]\nservices = [\"sshd\"]\ngroups = [\"wheel\"]\nmode = \"off\"\n\
         [[rule]]\nservices = [\"sshd\"]\nconsole = true\nmode = \"off\"\n\
         [[rule]]\nservices = [\"sshd\"]\nfrom = [\"10.0.0.0/8\"]\nmode = \"off\"\n\
         [[rule]]\nservices = [\"sshd\"]\nfrom = [\"10.1.0.0/16\", \"11.0.0.0/8\"]\nmode = \"off\"\n\
         [[rule]]\nusers = [\"bob\"]\ntime = [\"Sat\"]\nmode = \"off\"\n\
         [[rule]]\nusers = [\"bob\"]\ntime = [\"Sun\"]\nmode = \"off\"\n\
         [[rule]]\nusers = [\"alice\", \"bob\"]\nmode = \"off\"\n",
        "[email]\nfrom = \"mfa@example.org\"\nsmtp = \"smtp://localhost:1023\"\n",
        "[email]\nfrom = \"mfa@example.org\"\nsmtp = \"smtps://localhost:1024\"\n",
    ] {
        assert_eq!(warnings(all_right), Vec::<String>::new());
    }
    assert_eq!(warnings(""), Vec::<String>::new());
}

const ENROLS: &str = "[policy]\nenrol_at_login = \"anybody\"\n";

/// What a check says of that policy on a host with these services.
fn warnings_of(policy: &str, pam_d: &[(&str, &str)]) -> Vec<String> {
    let (host, _) = host(policy);
    let files = pam_d.iter().map(|(name, stack)| ((*name).to_owned(), (*stack).to_owned()));
    host.pam_d.borrow_mut().extend(files);
    match host.manage(Action::Check, &mut nobody()) {
        Reply::Checked(checked) => checked.warnings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_check_warns_of_a_stack_that_shows_who_enrols_at_login_and_says_what_to_write() {
    const REQUIRED: &str = "auth required pam_unix.so\n";
    const JUDGES: &str = "auth required pam_mfa.so\n";
    let required = [REQUIRED, JUDGES].concat();
    let common = ["@include common-auth\n", JUDGES].concat();
    let substack = ["auth substack common-auth\n", JUDGES].concat();
    let open = "auth sufficient pam_unix.so\nauth required pam_deny.so\n";
    let several = "auth sufficient pam_unix.so\nauth sufficient pam_sss.so use_first_pass\n\
                   auth required pam_deny.so\n";
    for (pam_d, file, advice) in [
        (&[("sshd", &*required)][..], "sshd", "make \"required pam_unix.so\" a \"requisite\""),
        (
            &[("common-auth", REQUIRED), ("sshd", &*common), ("login", &*common)],
            "common-auth",
            "(login, sshd)",
        ),
        (
            &[("common-auth", open), ("sshd", &*common)],
            "common-auth",
            "behind \"sufficient pam_unix.so\" put \"auth requisite pam_deny.so\"",
        ),
        (
            &[("common-auth", open), ("sshd", &*substack)],
            "common-auth",
            "\"auth requisite pam_deny.so\" behind the last that judges a password",
        ),
        (
            &[("common-auth", several), ("sshd", &*common)],
            "common-auth",
            "behind \"sufficient pam_sss.so\" put \"auth requisite pam_deny.so\"",
        ),
        (&[("login", JUDGES)], "login", "put \"auth requisite pam_unix.so\" before it"),
    ] {
        let warnings = warnings_of(ENROLS, pam_d);
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(warning.starts_with(&format!("/etc/pam.d/{file}: ")), "{warning}");
        assert!(warning.contains(advice) && warning.len() < 400, "{warning}");
    }
}

#[test]
fn a_check_says_nothing_of_stacks_in_which_nobody_enrols_at_login() {
    let stack = "auth required pam_unix.so\nauth required pam_mfa.so\n";
    let services = "services = [\"!sshd\"]\n";
    let for_login = "[[rule]]\nservices = [\"login\"]\nenrol_at_login = \"anybody\"\n";
    for policy in ["", &format!("{ENROLS}{services}"), for_login] {
        let warnings = warnings_of(policy, &[("sshd", stack), ("login", "")]);
        assert_eq!(warnings, Vec::<String>::new(), "{policy}");
    }
    let for_sshd = for_login.replace("login\"]", "sshd\"]");
    assert_eq!(warnings_of(&for_sshd, &[("sshd", stack)]).len(), 1);
    // A file that is there to be taken in is no service.
    let part = [
        ("mfa", "auth required pam_mfa.so\n"),
        ("login", "auth requisite pam_unix.so\n@include mfa\n"),
    ];
    assert_eq!(warnings_of(ENROLS, &part), Vec::<String>::new());
    // sshd names what it has seen; in mfa-setup nobody is asked.
    for service in ["sshd", "mfa-setup"] {
        assert_eq!(warnings_of(ENROLS, &[(service, "auth required pam_mfa.so\n")]).len(), 0);
    }
}

/// Half of a store: a login is refused for it.
struct Half;

impl Archive for Half {
    fn open(&self) -> Result<Option<&dyn Store>, StoreError> {
        Err(StoreError::Unusable {
            path: "/srv/mfa".into(),
            reason: "the key is missing".to_owned(),
        })
    }

    fn open_or_initialise(&self, _: &UserRecord) -> Result<&dyn Store, StoreError> {
        panic!("looking makes none")
    }
}

#[test]
fn a_check_and_an_explanation_know_what_a_login_will_be_refused_for() {
    let (host, _) = host("[[rule]]\ntime = [\"22:00-06:00\"]\nmode = \"off\"\n");
    host.silent.set(true);
    let manage = |action| {
        let request = ManageRequest { user: Some(b"alice".to_vec()), action };
        host.world(|world| manage(&World { archive: &Half, ..*world }, &request, &mut nobody()))
    };
    let Reply::Checked(checked) = manage(Action::Check) else { panic!() };
    let [store, zone] = checked.warnings.as_slice() else { panic!("{:?}", checked.warnings) };
    assert!(store.contains("the key is missing: whoever is asked is refused"), "{store}");
    assert!(zone.contains("the time zone cannot be read from /etc/localtime"), "{zone}");
    let explain = || {
        let supposed = Supposed { service: "sshd".to_owned(), ..Supposed::default() };
        match manage(Action::Explain(Box::new(supposed))) {
            Reply::Failed(failure) => (failure.kind, failure.error),
            other => panic!("{other:?}"),
        }
    };
    let (kind, error) = explain();
    assert!(error.contains("time zone"), "{error}");
    assert_eq!(kind, FailureKind::Unusable);
    host.silent.set(false);
    let (kind, error) = explain();
    assert!(error.contains("the key is missing"), "{error}");
    assert_eq!(kind, FailureKind::Unusable);
}

#[test]
fn an_unlock_reckons_with_the_widest_window_of_all_rules() {
    let (host, _) = host("[[rule]]\nservices = [\"sudo\"]\nwindow = 5\n");
    let mut sudo = from("alice", "192.0.2.7");
    sudo.service = "sudo".to_owned();
    let ahead = code(host.now.get() / 30 + 5);
    assert_eq!(host.login(&sudo, &mut Scripted::new([ahead.as_str()])).verdict, Verdict::Granted);
    host.manage(Action::Unlock, &mut nobody());
    assert_eq!(host.login(&sudo, &mut Scripted::new([ahead.as_str()])).verdict, Verdict::Denied);
    assert!(host.last_line().contains("reason=already_used"), "{}", host.last_line());
}
