//! What root does for somebody else: bypass codes, devices that are disabled, a second factor that is required of one
//! user, and a reset.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::path::Path;
use std::thread;

use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::{
    Action, BypassStatus, Explained, Failure, FailureKind, FullStatus, LoginRequest, MadeBypass,
    NewDevice, Reply, Supposed,
};
use mfa_protocol::{Secret, Verdict};
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::factor::{Typed, codes};
use mfa_verifier::judge::{Accepted, Attempt, Code, Judgement, judge};
use mfa_verifier::record::UserRecord;
use mfa_verifier::source::Source;
use mfa_verifier::store::{self, Change, MemoryStore, Owner, Revision, Store};

use host::{Host, KEY, NOW, alice, current, device, from, nobody};

const HOUR: u64 = 3_600;

fn make(host: &Host, lifetime: u64, uses: u32) -> Reply {
    host.manage(Action::MakeBypass { lifetime, uses }, &mut nobody())
}

/// A bypass code for alice, for an hour.
fn bypass(host: &Host, uses: u32) -> String {
    let reply = make(host, HOUR, uses);
    let Reply::BypassMade(made) = reply else { panic!("{reply:?}") };
    let MadeBypass { user, code, bypass } = *made;
    assert_eq!(user, "alice");
    assert_eq!(bypass, BypassStatus { uses_left: uses, expires: host.now.get() + HOUR });
    code.expose_str().unwrap().to_owned()
}

#[track_caller]
fn done(host: &Host, action: Action) {
    let reply = host.manage(action, &mut nobody());
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
}

#[track_caller]
fn failed(reply: Reply) -> Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn status(host: &Host) -> FullStatus {
    match host.manage(Action::FullStatus, &mut nobody()) {
        Reply::FullStatus(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// What comes of a login of alice's, and what she is told.
fn log_in(host: &Host, answer: &str) -> (Verdict, Vec<String>) {
    let mut script = Scripted::new([answer]);
    let outcome = host.login(&from("alice", "192.0.2.7"), &mut script);
    (outcome.verdict, script.told.into_iter().map(|(_, text)| text).collect())
}

fn disable(host: &Host) -> u32 {
    match host.manage(Action::Disable { label: "phone".to_owned() }, &mut nobody()) {
        Reply::Disabled { user, enabled } if user == "alice" => enabled,
        other => panic!("{other:?}"),
    }
}

fn enable(host: &Host) {
    done(host, Action::Enable { label: "phone".to_owned() });
}

fn require(host: &Host, required: bool) {
    done(host, Action::Require { required });
}

#[track_caller]
fn last_ends(host: &Host, end: &str) {
    let line = host.last_line();
    assert!(line.ends_with(end), "{line}");
}

#[test]
fn a_bypass_code_lets_in_as_often_as_was_said_and_its_owner_is_told() {
    let (host, _) = Host::with_alice(Mode::Required);
    let code = bypass(&host, 2);
    assert_eq!(
        host.last_line(),
        "action=bypass outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0 left=2 \
         until=2027-01-15T09:00:00Z"
    );
    for uses_left in [1, 0] {
        let (verdict, told) = log_in(&host, &code.to_uppercase().replace('-', " "));
        assert_eq!(verdict, Verdict::Granted);
        assert!(told[0].contains("a bypass code was made by root."), "{told:?}");
        assert_eq!(
            host.last_line(),
            format!(
                "outcome=granted user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 tty=ssh \
                 factor=bypass reason=accepted left={uses_left}"
            )
        );
        let expected = (uses_left > 0).then_some(BypassStatus { uses_left, expires: NOW + HOUR });
        assert_eq!(status(&host).bypass, expected);
    }
    let used = log_in(&host, &code);
    let words = "This code was already used; wait for the next one.";
    assert_eq!(used, (Verdict::Denied, vec![words.to_owned()]));
    last_ends(&host, "factor=bypass reason=already_used");
}

#[test]
fn who_gives_a_wrong_or_late_one_is_told_no_more_than_of_any_wrong_code() {
    let (host, _) = Host::with_alice(Mode::Required);
    let code = bypass(&host, 1);
    let wrong = log_in(&host, "bypass-kkkkk-kkkkk-kkkkk");
    assert_eq!(wrong, (Verdict::Denied, vec![]));
    last_ends(&host, "factor=bypass reason=wrong_code");
    host.now.set(NOW + HOUR);
    assert_eq!(log_in(&host, &code), wrong);
    last_ends(&host, "factor=bypass reason=bypass_expired");
    assert_eq!(status(&host).bypass, None);
    // Its word is part of it, or it is a backup code.
    host.now.set(NOW);
    assert_eq!(log_in(&host, code.strip_prefix("bypass-").unwrap()), wrong);
    last_ends(&host, "factor=backup_code reason=wrong_code");
    // Nobody learns whether somebody has one, or is there at all.
    for user in ["bob", "nobody"] {
        let mut script = Scripted::new([code.as_str()]);
        let outcome = host.login(&from(user, "192.0.2.7"), &mut script);
        assert_eq!((outcome.verdict, script.told), (Verdict::Denied, vec![]));
    }
    // A clock that is set back does not bring back the one that came late.
    assert_eq!(log_in(&host, &code).0, Verdict::Denied);
    last_ends(&host, "factor=bypass reason=already_used");
}

#[test]
fn of_64_logins_with_one_bypass_code_as_many_get_in_as_it_has_uses() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    for uses in [1, 3] {
        let shown = bypass(&host, uses);
        let store: MemoryStore = host.store.take().unwrap();
        let (record, _) = store.load(&alice()).unwrap();
        let salt = record.bypass.map(|bypass| bypass.salt);
        let Typed::Bypass(plain) = Typed::of(shown.as_bytes()) else { panic!() };
        let hash = codes::hash(&plain, &salt.unwrap()).unwrap();
        let config = Config::default();
        let one = || {
            let attempt = Attempt { code: Code::Bypass { salt, hash }, source: Source::Local };
            store::update(&store, &alice(), |record| {
                let (judgement, record) = judge(record, &attempt, NOW, &config);
                Change::Save(record, judgement)
            })
        };
        let judged: Vec<Judgement> = thread::scope(|scope| {
            let logins: Vec<_> = (0..64).map(|_| scope.spawn(one)).collect();
            logins.into_iter().map(|login| login.join().unwrap().unwrap()).collect()
        });
        let accepted = judged.iter().filter_map(|judgement| match judgement {
            Judgement::Accepted(Accepted::Bypass { uses_left }) => Some(u32::from(*uses_left)),
            _ => None,
        });
        let mut accepted: Vec<u32> = accepted.collect();
        accepted.sort_unstable();
        assert!(accepted.into_iter().eq(0..uses), "{judged:?}");
        host.store = Some(store);
    }
}

#[test]
fn there_is_one_at_a_time_and_revoking_resetting_and_removing_the_last_device_end_it() {
    let (host, _) = Host::with_alice(Mode::Required);
    let first = bypass(&host, 5);
    let second = bypass(&host, 5);
    assert_eq!(log_in(&host, &first).0, Verdict::Denied);
    assert_eq!(log_in(&host, &second).0, Verdict::Granted);
    done(&host, Action::RevokeBypass);
    assert!(host.last_line().starts_with("action=revoke_bypass outcome=done user=\"alice\""));
    assert_eq!(log_in(&host, &second).0, Verdict::Denied);
    assert_eq!(status(&host).bypass, None);
    let none = failed(host.manage(Action::RevokeBypass, &mut nobody()));
    assert_eq!((none.kind, none.error.as_str()), (FailureKind::Usage, "alice has no bypass code"));

    for ending in [Action::Reset, Action::Remove { label: "phone".to_owned() }] {
        let code = bypass(&host, 5);
        done(&host, ending);
        done_adding(&host);
        assert_eq!(log_in(&host, &code).0, Verdict::Denied);
    }
}

fn done_adding(host: &Host) {
    let reply = host.manage(Action::Add(Box::new(device())), &mut nobody());
    assert!(matches!(reply, Reply::Added(_)), "{reply:?}");
}

#[test]
fn what_cannot_be_a_bypass_code_is_refused() {
    let (host, _) = Host::with_alice(Mode::Required);
    for (lifetime, uses, error) in [
        (0, 1, "that is no time for a bypass code"),
        (31 * 86_400 + 1, 1, "that is no time for a bypass code"),
        (HOUR, 0, "a bypass code is good for 1 to 100 logins"),
        (HOUR, 101, "a bypass code is good for 1 to 100 logins"),
        (HOUR, 257, "a bypass code is good for 1 to 100 logins"),
    ] {
        let failure = failed(make(&host, lifetime, uses));
        assert_eq!((failure.kind, failure.error.as_str()), (FailureKind::Usage, error));
    }
    assert_eq!(status(&host).bypass, None);
    for (lifetime, uses) in [(1, 1), (31 * 86_400, 100)] {
        assert!(matches!(make(&host, lifetime, uses), Reply::BypassMade(_)));
    }
    done(&host, Action::Reset);
    let failure = failed(make(&host, HOUR, 1));
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.error.starts_with("alice is not enrolled"), "{failure:?}");
    assert!(failure.hint.ends_with("mfa-setup invite alice"), "{failure:?}");
}

#[test]
fn who_lost_the_phone_logs_in_and_enrols_another_by_one_code_with_two_uses() {
    let (host, _) = Host::with_alice(Mode::Required);
    assert_eq!(disable(&host), 0);
    let code = bypass(&host, 2);
    assert_eq!(log_in(&host, &code).0, Verdict::Granted);
    host.caller.replace(alice());
    let tablet =
        NewDevice { label: Some("tablet".to_owned()), secret: None, confirm: true, ..device() };
    // The password, the code, and what would be the app's.
    let mut script = Scripted::new(["rabbit hole", &code, "000000"]);
    let reply = host.manage(Action::Add(Box::new(tablet.clone())), &mut script);
    let asked: Vec<_> = script.asked.iter().map(|prompt| prompt.text.as_str()).collect();
    assert_eq!(
        asked[..2],
        ["Password: ", "A code of a device that is enrolled, or a backup code: "]
    );
    assert!(asked[2].starts_with("The code that it shows now"), "{asked:?}: {reply:?}");
    // It is used up.
    let mut script = Scripted::new(["rabbit hole", &code]);
    let again = failed(host.manage(Action::Add(Box::new(tablet)), &mut script));
    assert_eq!(again.error, "this code was already used");
}

#[test]
fn no_login_by_a_bypass_code_is_remembered() {
    let (mut host, mut backup) = Host::with_alice(Mode::Required);
    let policy = "[policy]\nremember = \"12h\"\nwithout_key = true\n";
    host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
    let code = bypass(&host, 1);
    let asked = |answer: &str| {
        let mut script = Scripted::new([answer, "y"]);
        let outcome = host.login(&from("alice", "192.0.2.7"), &mut script);
        assert_eq!(outcome.verdict, Verdict::Granted, "{}", host.last_line());
        script.asked.len()
    };
    assert_eq!(asked(&code), 1);
    assert_eq!(asked(&backup.remove(0)), 2);
    assert_eq!(remembered(&host), 1);
    // Another one ends what is remembered, and so does a device that is disabled.
    bypass(&host, 1);
    assert_eq!(remembered(&host), 0);
    assert_eq!(asked(&backup.remove(0)), 2);
    disable(&host);
    assert_eq!(remembered(&host), 0);
}

fn remembered(host: &Host) -> usize {
    host.store.as_ref().unwrap().load(&alice()).unwrap().0.remembered.len()
}

#[test]
fn a_disabled_device_is_refused_in_the_words_for_a_wrong_code_until_it_is_enabled() {
    for mode in [Mode::Required, Mode::Optional] {
        let (host, backup) = Host::with_alice(mode);
        let wrong = log_in(&host, "000000");
        assert_eq!(wrong.0, Verdict::Denied);
        assert_eq!(disable(&host), 0);
        assert!(host.last_line().starts_with("action=disable outcome=done user=\"alice\""));
        // Who has no other is not taken for somebody who has not enrolled.
        for answer in [current(), "000000".to_owned()] {
            assert_eq!(log_in(&host, &answer), wrong);
            last_ends(&host, "factor=totp device=\"phone\" reason=device_disabled");
        }
        assert_eq!(status(&host).status.failures, 1);
        assert_eq!(log_in(&host, &backup[0]).0, Verdict::Granted);
        enable(&host);
        let (verdict, told) = log_in(&host, &current());
        assert_eq!(verdict, Verdict::Granted);
        assert!(told[0].contains("device \"phone\" was disabled by root.\n"), "{told:?}");
        assert!(told[0].contains("device \"phone\" was enabled again by root.\n"), "{told:?}");
        let unknown = host.manage(Action::Disable { label: "x".to_owned() }, &mut nobody());
        assert_eq!(failed(unknown).error, "there is no device \"x\"");
    }
}

/// A request by a stack that lets in who has not enrolled.
fn nullok() -> LoginRequest {
    LoginRequest { nullok: true, ..from("alice", "192.0.2.7") }
}

fn explain(host: &Host) -> Explained {
    let supposed = Supposed { service: "sshd".to_owned(), ..Supposed::default() };
    match host.manage(Action::Explain(Box::new(supposed)), &mut nobody()) {
        Reply::Explained(explained) => *explained,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_whom_it_is_required_is_refused_without_a_device_whatever_is_said_of_all() {
    let host = Host::new(Mode::Optional);
    let outcome = |request: &LoginRequest| {
        let mut script = Scripted::new(["000000"]);
        let outcome = host.login(request, &mut script);
        (outcome.verdict, script.asked.len())
    };
    let plain = from("alice", "192.0.2.7");
    assert_eq!(outcome(&plain), (Verdict::Exempt, 0));
    assert_eq!(explain(&host).required, Some(false));
    require(&host, true);
    assert_eq!(
        host.last_line(),
        "action=require outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0"
    );
    assert!(status(&host).required && status(&host).status.devices.is_empty());
    for request in [&plain, &nullok()] {
        assert_eq!(outcome(request), (Verdict::Denied, 1));
        assert!(host.last_line().contains("reason=not_enrolled"), "{}", host.last_line());
    }
    let explained = explain(&host);
    assert_eq!((explained.required, explained.enrolled), (Some(true), Some(false)));
    assert_eq!(explained.requirement, "challenge");
    // Nobody else is concerned.
    assert_eq!(outcome(&from("bob", "192.0.2.7")), (Verdict::Exempt, 0));

    // A reset is no way around it.
    done_adding(&host);
    done(&host, Action::Reset);
    assert!(status(&host).required && status(&host).status.devices.is_empty());
    assert_eq!(outcome(&nullok()), (Verdict::Denied, 1));

    require(&host, false);
    assert!(host.last_line().starts_with("action=require_off outcome=done"));
    assert_eq!(outcome(&plain), (Verdict::Exempt, 0));
    assert!(!status(&host).required);
}

#[test]
fn where_nobodys_record_is_looked_at_nothing_is_required_of_anybody() {
    let mut host = Host::new(Mode::Optional);
    require(&host, true);
    for policy in [
        "mode = \"off\"",
        "mode = \"optional\"\ntrusted = [\"192.0.2.0/24\"]",
        "mode = \"optional\"\nservices = [\"!sshd\"]",
    ] {
        let policy = format!("[policy]\n{policy}\n");
        host.config = Config::parse(Path::new("config.toml"), &policy).unwrap();
        let store = host.store.take();
        assert_eq!(host.verdict("alice", "000000"), Verdict::Exempt, "{policy}");
        host.store = store;
    }
}

#[test]
fn to_take_back_what_was_never_required_makes_no_record() {
    let host = Host::new(Mode::Optional);
    require(&host, false);
    assert_eq!(host.store.as_ref().unwrap().load(&alice()).unwrap().1, Revision::NONE);
    assert_eq!(host.letters.borrow().len(), 0);
}

#[test]
fn a_reset_of_a_record_that_cannot_be_read_says_what_nobody_knows() {
    let (host, _) = Host::with_alice(Mode::Required);
    let mut script = nobody();
    host.manage(Action::Reset, &mut script);
    assert!(script.told.is_empty(), "{:?}", script.told);
    // Of somebody else who had that uid.
    let other = Owner { uid: 1000, name: "mallory".to_owned() };
    let store = host.store.as_ref().unwrap();
    let _ = store.save(&other, &UserRecord::default(), Revision::NONE).unwrap();
    let reply = host.manage(Action::Reset, &mut script);
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    let [(_, told)] = &script.told[..] else { panic!("{:?}", script.told) };
    assert!(told.ends_with("mfa-setup require alice"), "{told}");
}

#[test]
fn each_of_it_is_roots_and_written_down() {
    let (host, _) = Host::with_alice(Mode::Required);
    host.caller.replace(alice());
    let label = || "phone".to_owned();
    for (action, name) in [
        (Action::MakeBypass { lifetime: HOUR, uses: 1 }, "bypass"),
        (Action::RevokeBypass, "revoke_bypass"),
        (Action::Disable { label: label() }, "disable"),
        (Action::Enable { label: label() }, "enable"),
        (Action::Require { required: true }, "require"),
        (Action::Require { required: false }, "require_off"),
    ] {
        let failure = failed(host.manage(action, &mut nobody()));
        assert_eq!(failure.kind, FailureKind::NotPermitted);
        let line = host.last_line();
        assert!(line.starts_with(&format!("action={name} outcome=failed")), "{line}");
        assert!(line.contains("by=\"alice\" by_uid=1000"), "{line}");
    }
}

#[test]
fn what_the_helpdesk_did_is_told_by_mail() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    let policy = "[email]\nfrom = \"mfa@example.org\"\naddress = \"{user}@example.org\"\n";
    host.config = Config::parse(Path::new("config.toml"), policy).unwrap();
    bypass(&host, 1);
    done(&host, Action::RevokeBypass);
    // What holds already is no news.
    for _ in 0..2 {
        disable(&host);
    }
    for _ in 0..2 {
        enable(&host);
    }
    for required in [true, true, false, false] {
        require(&host, required);
    }
    let letters = host.letters.borrow();
    for (letter, said) in letters.iter().zip([
        "a bypass code was made by root",
        "the bypass code was revoked by root",
        "device \"phone\" was disabled by root",
        "device \"phone\" was enabled again by root",
        "a second factor was made a requirement by root",
        "the requirement of a second factor was taken back by root",
    ]) {
        assert_eq!(letter.0, "alice@example.org");
        assert!(letter.1.contains(said), "{said}: {}", letter.1);
        assert!(!letter.1.contains("bypass-"), "{}", letter.1);
    }
    assert_eq!(letters.len(), 6);
}

#[test]
fn outside_of_allow_from_a_bypass_code_is_what_a_backup_code_is() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    let code = bypass(&host, 2);
    let bound = "[policy]\nallow_from = [\"198.51.100.0/24\"]\n";
    for (policy, verdict) in [
        (bound.to_owned(), Verdict::Denied),
        ("[policy]\nmethods = [\"totp\"]\n".to_owned(), Verdict::Denied),
        (format!("{bound}backup_codes_anywhere = true\n"), Verdict::Granted),
        ("[policy]\nmethods = [\"totp\", \"backup_code\"]\n".to_owned(), Verdict::Granted),
    ] {
        host.config = Config::parse(Path::new("config.toml"), &policy).unwrap();
        assert_eq!(host.verdict("alice", &code), verdict, "{policy}: {}", host.last_line());
    }
    let named = "[policy]\nmethods = [\"bypass\"]\n";
    let error = Config::parse(Path::new("config.toml"), named).unwrap_err().to_string();
    assert!(error.contains("bypass codes are accepted where \"backup_code\" is"), "{error}");
}

#[test]
fn a_key_that_is_disabled_under_one_name_is_under_another() {
    let (host, _) = Host::with_alice(Mode::Required);
    let twin =
        NewDevice { label: Some("tablet".to_owned()), secret: Some(Secret::from(KEY)), ..device() };
    let reply = host.manage(Action::Add(Box::new(twin)), &mut nobody());
    assert!(matches!(reply, Reply::Added(_)), "{reply:?}");
    assert_eq!(disable(&host), 0);
    assert_eq!(log_in(&host, &current()).0, Verdict::Denied);
    last_ends(&host, "reason=device_disabled");
    enable(&host);
    assert_eq!(log_in(&host, &current()).0, Verdict::Granted);
    assert_eq!(log_in(&host, &current()).0, Verdict::Denied, "accepted once all the same");
}
