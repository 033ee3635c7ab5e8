//! The login pipeline with a store in memory, a scripted person and a clock of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod host;

use std::collections::BTreeSet;

use mfa_protocol::conversation::{
    Answer, Conversation, ConversationError, Prompt, PromptKind, Scripted, Style,
};
use mfa_protocol::message::{
    Action, Algorithm, DeviceKind, Failure, FailureKind, LoginRequest, NewDevice, Reply,
};
use mfa_protocol::{Secret, Verdict};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::Mode;
use mfa_verifier::login::login;
use mfa_verifier::record::UserRecord;
use mfa_verifier::store::{Glance, Owner, Revision, Saved, Store, StoreError};
use mfa_verifier::world::{Archive, World};
use std::time::Duration;

use host::{Host, KEY, NOW, code, current, device, from, nobody};

#[test]
fn a_right_code_is_granted_and_the_second_time_refused_with_a_word() {
    let (host, _) = Host::with_alice(Mode::Required);
    let outcome = host.login(&from("alice", "192.0.2.7"), &mut Scripted::new([current()]));
    assert_eq!(outcome.verdict, Verdict::Granted);
    assert_eq!(outcome.factor.as_deref(), Some("totp"));
    assert_eq!(outcome.label.as_deref(), Some("phone"));
    assert_eq!(
        host.last_line(),
        "outcome=granted user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7 tty=ssh \
         factor=totp device=\"phone\" reason=accepted"
    );
    let mut again = Scripted::new([current()]);
    let outcome = host.login(&from("alice", "192.0.2.7"), &mut again);
    assert_eq!(outcome.verdict, Verdict::Denied);
    let used = "This code was already used; wait for the next one.".to_owned();
    assert_eq!(again.told, [(Style::Error, used)]);
    assert!(host.last_line().ends_with("reason=already_used"), "{}", host.last_line());
}

#[test]
fn unknown_unenrolled_enrolled_and_locked_users_see_the_same() {
    let (mut host, _) = Host::with_alice(Mode::Required);
    host.config.policy.help = "Ask the helpdesk.".to_owned();
    let mut seen = Vec::new();
    for (user, reason) in
        [("nobody", "unknown_user"), ("bob", "not_enrolled"), ("alice", "wrong_code")]
    {
        let mut script = Scripted::new(["000000"]);
        let outcome = host.login(&from(user, "192.0.2.7"), &mut script);
        assert_eq!(outcome.verdict, Verdict::Denied);
        assert!(host.last_line().contains(&format!("reason={reason}")), "{}", host.last_line());
        seen.push((script.asked, script.told));
    }
    for _ in 0..4 {
        host.verdict("alice", "000000");
    }
    let mut script = Scripted::new(["000000"]);
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut script).verdict, Verdict::Locked);
    assert!(host.last_line().contains("not_before=2027-01-15T08:00:30Z"), "{}", host.last_line());
    seen.push((script.asked, script.told));
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

#[test]
fn nothing_is_saved_for_somebody_who_is_unknown_or_not_enrolled() {
    let (host, _) = Host::with_alice(Mode::Required);
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    for _ in 0..20 {
        assert_ne!(host.verdict("bob", "123456"), Verdict::Granted);
        assert_ne!(host.verdict("nobody", "ABCDE-FGHJK-23456"), Verdict::Granted);
    }
    let (record, revision) = host.store.as_ref().unwrap().load(&bob).unwrap();
    assert_eq!(revision.0, 0);
    assert!(record.lockout.sources.is_empty());
}

#[test]
fn answers_that_are_no_code_are_refused_and_not_charged() {
    let (host, _) = Host::with_alice(Mode::Required);
    for answer in ["", " - ", "hunter2", "12345", "123456789", "１２３４５６", "?"] {
        assert_eq!(host.verdict("alice", answer), Verdict::Denied, "{answer:?}");
    }
    let mut repeats = Scripted::default().then_repeats_password();
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut repeats).verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=repeats_password"), "{}", host.last_line());
    let Reply::Status(status) = host.manage(Action::Status, &mut nobody()) else { panic!() };
    assert_eq!(status.failures, 0);
    assert_eq!(host.verdict("alice", &current()), Verdict::Granted);
}

#[test]
fn nobody_who_answers_is_a_refusal_and_costs_nothing() {
    let (host, _) = Host::with_alice(Mode::Required);
    let outcome = host.login(&from("alice", "192.0.2.7"), &mut nobody());
    assert_eq!(outcome.verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=no_answer"), "{}", host.last_line());
}

#[test]
fn an_answer_that_is_late_is_not_judged_and_its_code_stays_good() {
    let (host, _) = Host::with_alice(Mode::Required);
    host.late.set(true);
    assert_eq!(host.verdict("alice", &current()), Verdict::Unavailable);
    assert!(host.last_line().contains("reason=unavailable"), "{}", host.last_line());
    host.late.set(false);
    assert_eq!(host.verdict("alice", &current()), Verdict::Granted);
}

#[test]
fn an_exemption_for_sshd_needs_the_proof_of_a_first_factor() {
    let host = Host::new(Mode::Optional);
    let mut request = from("bob", "192.0.2.7");
    assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Exempt);
    request.password_given = false;
    assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Denied);
    assert!(host.last_line().ends_with("reason=no_first_factor"), "{}", host.last_line());
    request.ssh_auth_info = Some("publickey ssh-ed25519 AAAA\n".to_owned());
    assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Exempt);
    request.service = "other".to_owned();
    assert_eq!(host.login(&request, &mut nobody()).verdict, Verdict::Exempt);
}

#[test]
fn a_policy_that_is_off_asks_nothing_and_needs_no_store() {
    let mut host = Host::new(Mode::Off);
    host.store = None;
    assert_eq!(host.login(&from("alice", "192.0.2.7"), &mut nobody()).verdict, Verdict::Exempt);
    assert_eq!(host.login(&from("nobody", "192.0.2.7"), &mut nobody()).verdict, Verdict::Denied);
}

#[test]
fn a_fresh_host_that_requires_asks_everybody_and_lets_nobody_in() {
    let mut host = Host::new(Mode::Required);
    host.store = None;
    for user in ["alice", "nobody"] {
        let mut script = Scripted::new(["123456"]);
        assert_eq!(host.login(&from(user, "192.0.2.7"), &mut script).verdict, Verdict::Denied);
        assert_eq!(script.asked.len(), 1);
    }
}

#[test]
fn a_backup_code_works_once_and_few_left_are_announced() {
    let (host, codes) = Host::with_alice(Mode::Required);
    assert_eq!(codes.len(), 10);
    for (index, code) in codes.iter().enumerate().take(7) {
        let mut script = Scripted::new([code.to_uppercase()]);
        let outcome = host.login(&from("alice", "192.0.2.7"), &mut script);
        assert_eq!(outcome.verdict, Verdict::Granted, "{index}");
        assert_eq!(outcome.factor.as_deref(), Some("backup_code"));
        assert_eq!(script.told.len(), usize::from(index == 6), "{index}");
        assert_eq!(host.verdict("alice", code), Verdict::Denied);
    }
    let mut script = Scripted::new([current()]);
    host.login(&from("alice", "192.0.2.7"), &mut script);
    assert!(script.told[0].1.starts_with("3 backup codes are left"), "{:?}", script.told);
}

#[test]
fn under_try_first_pass_a_password_that_is_a_code_is_judged_and_any_other_is_not() {
    let (host, _) = Host::with_alice(Mode::Required);
    let mut request = from("alice", "192.0.2.7");
    request.password = Some(Secret::from(current()));
    let mut script = nobody();
    assert_eq!(host.login(&request, &mut script).verdict, Verdict::Granted);
    assert!(script.asked.is_empty());
    request.password = Some(Secret::from("hunter2"));
    let mut script = Scripted::new([code(NOW / 30 + 1)]);
    assert_eq!(host.login(&request, &mut script).verdict, Verdict::Granted);
    assert_eq!(script.asked.len(), 1);
}

#[test]
fn the_prompt_is_the_stacks_or_the_configured_one_and_hidden_unless_echo_is_asked_for() {
    let (host, _) = Host::with_alice(Mode::Required);
    let mut request = from("alice", "192.0.2.7");
    let ask = |request: &LoginRequest| {
        let mut script = Scripted::new(["000000"]);
        host.login(request, &mut script);
        script.asked.remove(0)
    };
    assert_eq!(ask(&request).text, "Verification code: ");
    assert_eq!(ask(&request).kind, PromptKind::Hidden);
    request.prompt = Some("Token? ".to_owned());
    request.echo = true;
    assert_eq!(ask(&request).text, "Token? ");
    assert_eq!(ask(&request).kind, PromptKind::Visible);
}

#[test]
fn an_enrolment_is_saved_only_after_its_first_code_and_a_kept_backup_code() {
    let host = Host::new(Mode::Required);
    let guided = NewDevice { label: None, confirm: true, guided: true, show: true, ..device() };
    let add = |answers: &[&str]| {
        let mut script = Scripted::new(answers.iter().copied());
        let reply = host.manage(Action::Add(Box::new(guided.clone())), &mut script);
        (reply, script)
    };
    let wrong = ["", "000000", "12345", "111111", "222222", "333333"];
    let (reply, script) = add(&wrong);
    let Reply::Failed(Failure { kind: FailureKind::Refused, .. }) = reply else { panic!() };
    let told: String = script.told.iter().map(|(_, text)| text.as_str()).collect();
    assert!(!told.contains(&current()), "the right code was told");
    assert!(told.contains("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"), "{told}");
    // Every earlier end leaves no trace.
    for answers in [&[][..], &["laptop"], &["laptop", &current()]] {
        let (reply, _) = add(answers);
        assert!(matches!(reply, Reply::Failed(_)));
        let Reply::Status(status) = host.manage(Action::Status, &mut nobody()) else { panic!() };
        assert!(status.devices.is_empty());
    }
    let hour_ahead = code(NOW / 30 + 120);
    let (_, script) = add(&["laptop", &hour_ahead]);
    let told: String = script.told.iter().map(|(_, text)| text.as_str()).collect();
    assert!(told.contains("about 1 h 0 min ahead of"), "{told}");
}

#[test]
fn the_code_that_confirmed_an_enrolment_is_used() {
    let host = Host::new(Mode::Required);
    let confirmed = NewDevice { confirm: true, ..device() };
    let mut script = Scripted::new([current()]);
    let reply = host.manage(Action::Add(Box::new(confirmed)), &mut script);
    assert!(matches!(reply, Reply::Added(_)), "{reply:?}");
    assert_eq!(host.verdict("alice", &current()), Verdict::Denied);
    assert!(host.last_line().ends_with("reason=already_used"));
}

#[test]
fn settings_that_many_apps_pass_over_are_warned_of_also_where_nobody_confirms() {
    let usual = || NewDevice { secret: None, ..device() };
    let sha512 = Some(Algorithm::Sha512);
    for (wanted, times) in [
        (usual(), 0),
        (NewDevice { algorithm: sha512, ..usual() }, 1),
        (NewDevice { digits: Some(8), ..usual() }, 1),
        (NewDevice { period: Some(60), ..usual() }, 1),
        (NewDevice { algorithm: sha512, show: true, ..usual() }, 1),
        // What has a key already has its settings, too.
        (NewDevice { algorithm: sha512, ..device() }, 0),
        (NewDevice { algorithm: sha512, show: true, ..device() }, 1),
    ] {
        let host = Host::new(Mode::Required);
        let mut script = nobody();
        let description = format!("{wanted:?}");
        let reply = host.manage(Action::Add(Box::new(wanted)), &mut script);
        assert!(matches!(reply, Reply::Added(_)), "{reply:?}");
        let told = script.told.iter().filter(|(_, text)| text.starts_with("Many apps"));
        assert_eq!(told.count(), times, "{description}");
    }
}

#[test]
fn a_code_that_was_used_names_its_device_also_where_others_have_codes_of_that_length() {
    let (host, _) = Host::with_alice(Mode::Required);
    let label = Some("token".to_owned());
    let token = NewDevice { kind: DeviceKind::Hotp, label, ..device() };
    assert!(matches!(host.manage(Action::Add(Box::new(token)), &mut nobody()), Reply::Added(_)));
    // RFC 4226, appendix D.
    for (code, factor, device) in
        [("755224", "hotp", "token"), (current().as_str(), "totp", "phone")]
    {
        assert_eq!(host.verdict("alice", code), Verdict::Granted);
        let again = host.login(&from("alice", "192.0.2.7"), &mut Scripted::new([code.to_owned()]));
        assert_eq!(again.factor.as_deref(), Some(factor));
        assert_eq!(again.label.as_deref(), Some(device));
        let line = host.last_line();
        let expected = format!("factor={factor} device=\"{device}\" reason=already_used");
        assert!(line.ends_with(&expected), "{line}");
    }
    // What may be either's is nobody's.
    host.verdict("alice", "000000");
    assert!(host.last_line().ends_with("factor=otp reason=wrong_code"), "{}", host.last_line());
}

#[test]
fn bad_input_is_named_with_what_to_do_and_changes_nothing() {
    let (host, _) = Host::with_alice(Mode::Required);
    let new = || NewDevice { label: Some("second".to_owned()), ..device() };
    let label = |label: &str| NewDevice { label: Some(label.to_owned()), ..device() };
    let token = NewDevice { kind: DeviceKind::Hotp, counter: Some(u64::MAX), ..new() };
    let rows = [
        (NewDevice { digits: Some(5), ..new() }, "5 is no number of digits"),
        (NewDevice { period: Some(14), ..new() }, "14 is no period"),
        (NewDevice { counter: Some(1), ..new() }, "a TOTP device has no counter"),
        (token, "18446744073709551615 is no counter"),
        (NewDevice { secret: Some(Secret::from("no base32!")), ..new() }, "not base32"),
        (NewDevice { secret: Some(Secret::from("GEZDGNBVGY3TQOI")), ..new() }, "fewer than 10"),
        (label("phone"), "there is a device \"phone\" already"),
        (label("a\u{1b}b"), "\"a\\u{1b}b\" is no label"),
        (label("\u{202e}x"), "is no label"),
        (label(""), "is no label"),
        (label(" x"), "is no label"),
        (label(&"x".repeat(33)), "is no label"),
    ];
    for (wanted, expected) in rows {
        let reply = host.manage(Action::Add(Box::new(wanted)), &mut nobody());
        let Reply::Failed(failure) = reply else { panic!("{expected}") };
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.error.contains(expected), "{failure:?}");
        assert!(!failure.hint.is_empty());
    }
    let Reply::Status(status) = host.manage(Action::Status, &mut nobody()) else { panic!() };
    assert_eq!(status.devices.len(), 1);
}

#[test]
fn management_writes_down_who_did_it() {
    let (host, _) = Host::with_alice(Mode::Required);
    host.manage(Action::ShowKey { label: "phone".to_owned() }, &mut nobody());
    assert_eq!(
        host.last_line(),
        "action=show_key outcome=done user=\"alice\" uid=1000 by=\"root\" by_uid=0 device=\"phone\""
    );
    let all = host.lines.borrow().join("\n");
    assert!(!all.contains(KEY));
}

#[test]
fn a_store_that_fails_is_no_success_whatever_the_policy() {
    struct Broken;
    impl Store for Broken {
        fn lock_within(
            &self,
            owner: &Owner,
            _: Duration,
        ) -> Result<Box<dyn std::any::Any>, StoreError> {
            Err(StoreError::Busy(owner.uid))
        }
        fn load(&self, owner: &Owner) -> Result<(UserRecord, Revision), StoreError> {
            Err(StoreError::Damaged { uid: owner.uid, reason: "test".to_owned() })
        }
        fn save(
            &self,
            owner: &Owner,
            _record: &UserRecord,
            _expected: Revision,
        ) -> Result<Saved, StoreError> {
            Err(StoreError::Busy(owner.uid))
        }
        fn remove(&self, owner: &Owner) -> Result<(), StoreError> {
            Err(StoreError::Busy(owner.uid))
        }
        fn uids(&self) -> Result<BTreeSet<u32>, StoreError> {
            Ok(BTreeSet::from([1000]))
        }
        fn glance(&self, owner: &Owner) -> Result<Glance, StoreError> {
            self.load(owner).map(|(record, _)| Glance::Record(record))
        }
    }
    struct BrokenArchive;
    impl Archive for BrokenArchive {
        fn open(&self) -> Result<Option<&dyn Store>, StoreError> {
            Ok(Some(&Broken))
        }
        fn open_or_initialise(&self, _decoy: &UserRecord) -> Result<&dyn Store, StoreError> {
            Ok(&Broken)
        }
    }
    for mode in [Mode::Optional, Mode::Required] {
        for nullok in [false, true] {
            let host = Host::new(mode);
            let request = LoginRequest { nullok, ..from("alice", "192.0.2.7") };
            let outcome = host.world(|world| {
                let world = World { archive: &BrokenArchive, ..*world };
                login(&world, &request, Purpose::Login, &mut Scripted::new([current()]))
            });
            assert_eq!(outcome.verdict, Verdict::Unavailable, "{mode:?}");
        }
    }
}

/// Takes everything from alice while she is asked.
struct ResetMeanwhile<'a>(&'a Host);

impl Conversation for ResetMeanwhile<'_> {
    fn ask(&mut self, _prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.0.manage(Action::Reset, &mut nobody());
        Ok(Answer::Text(Secret::from(current())))
    }

    fn tell(&mut self, _style: Style, _text: &str) {}
}

#[test]
fn a_reset_while_a_code_is_typed_refuses_it_and_leaves_no_record() {
    let (host, _) = Host::with_alice(Mode::Required);
    let request = from("alice", "192.0.2.7");
    let outcome =
        host.world(|world| login(world, &request, Purpose::Login, &mut ResetMeanwhile(&host)));
    assert_eq!(outcome.verdict, Verdict::Denied);
    let alice = Owner { uid: 1000, name: "alice".to_owned() };
    assert_eq!(host.store.as_ref().unwrap().load(&alice).unwrap().1, Revision::NONE);
}
