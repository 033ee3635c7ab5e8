use super::*;
use crate::factor::Typed;
use crate::factor::otp::tests::{code, device};
use crate::factor::tokens::tests::token;
use crate::mail::Address;
use crate::record::Token;
use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;

const HOME: Source = Source::V4([192, 0, 2, 1]);
const NOW: u64 = 1_800_000_000;

fn enrolled() -> (UserRecord, Vec<Secret>) {
    let (batch, shown) = codes::new_batch(2, NOW).unwrap();
    let record = UserRecord {
        devices: vec![device(b"0123456789", Algorithm::Sha1, 6)],
        next_id: 2,
        default: 1,
        backup_codes: Some(batch),
        ..UserRecord::default()
    };
    (record, shown)
}

fn one_time(code: &str, source: Source) -> Attempt {
    Attempt { code: Code::OneTime(Zeroizing::new(code.to_owned())), source }
}

fn backup(record: &UserRecord, shown: &Secret, source: Source) -> Attempt {
    let Typed::BackupCode(plain) = Typed::of(shown.expose()) else { panic!() };
    let batch = record.backup_codes.as_ref().unwrap();
    let hash = codes::hash(&plain, &batch.salt).unwrap();
    Attempt { code: Code::Backup { batch: Some(batch.batch), hash }, source }
}

fn current(record: &UserRecord, now: u64) -> String {
    code(&record.devices[0], now / 30)
}

fn wrong(record: &UserRecord, now: u64) -> String {
    let config = Config::default();
    let candidates = (0..1_000_000).map(|n| format!("{n:06}"));
    candidates
        .into_iter()
        .find(|code| {
            otp::offset_within(&record.devices[0], code, now, 45).is_none()
                && matches!(otp::examine(&record.devices[0], code, now, &config), Finding::Wrong(_))
        })
        .unwrap()
}

#[test]
fn a_code_of_a_key_that_is_enrolled_twice_is_accepted_once() {
    let config = Config::default();
    let (mut record, _) = enrolled();
    // To HMAC these are one key, and eight digits end in the six.
    for (id, key, digits) in [(2, &b"0123456789"[..], 6), (3, b"0123456789\0", 8)] {
        record.devices.push(Device { id, ..device(key, Algorithm::Sha1, digits) });
    }
    let [six, eight] = [0, 2].map(|index: usize| code(&record.devices[index], NOW / 30));
    assert!(eight.ends_with(&six));
    for (first, others) in [(&six, [&six, &eight]), (&eight, [&six, &eight])] {
        let (judgement, after) = judge(record.clone(), &one_time(first, HOME), NOW, &config);
        assert!(matches!(judgement, Judgement::Accepted(_)), "{judgement:?}");
        for again in others {
            let (judgement, _) = judge(after.clone(), &one_time(again, HOME), NOW, &config);
            assert!(
                matches!(judgement, Judgement::Refused(Refusal::Used { .. })),
                "{first}, {again}: {judgement:?}"
            );
        }
        // The next one of either is new.
        let next = code(&record.devices[2], NOW / 30 + 1);
        let (judgement, _) = judge(after, &one_time(&next, HOME), NOW + 30, &config);
        assert!(matches!(judgement, Judgement::Accepted(_)), "{judgement:?}");
    }
}

#[test]
fn a_right_code_is_accepted_once_and_its_second_use_costs_nothing() {
    let (record, _) = enrolled();
    let config = Config::default();
    let attempt = one_time(&current(&record, NOW), HOME);
    let (judgement, record) = judge(record, &attempt, NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(Accepted::Device { .. })));
    for _ in 0..20 {
        let (judgement, after) = judge(record.clone(), &attempt, NOW + 1, &config);
        let label = Some("phone".to_owned());
        assert_eq!(judgement, Judgement::Refused(Refusal::Used { label }));
        assert_eq!(after.lockout, record.lockout);
    }
}

#[test]
fn a_backup_code_is_accepted_once_and_clears_what_others_did() {
    let (mut record, shown) = enrolled();
    let config = Config::default();
    record.lockout.failures = 100;
    record.lockout.counted_at = NOW;
    let locked = one_time(&current(&record, NOW), HOME);
    let (judgement, record) = judge(record, &locked, NOW, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::Barred(Barred::Disabled)));
    let attempt = backup(&record, &shown[1], HOME);
    let (judgement, record) = judge(record, &attempt, NOW, &config);
    assert_eq!(judgement, Judgement::Accepted(Accepted::BackupCode { number: 2 }));
    let (judgement, record) = judge(record, &attempt, NOW, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::Used { label: None }));
    assert_eq!(record.backup_codes.as_ref().unwrap().left(), 1);
    let (judgement, _) = judge(record, &locked, NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)));
}

/// A record whose second device has codes sent to it, and a code that was sent at `NOW`.
fn with_mailbox() -> (UserRecord, String) {
    let (mut record, _) = enrolled();
    let address = Address::parse("alice@example.org").unwrap();
    record.devices.push(Device {
        id: 2,
        label: "e-mail".to_owned(),
        moving: MovingFactor::Sent { address },
        ..device(b"0", Algorithm::Sha1, 6)
    });
    let sent = send(&mut record, NOW);
    (record, sent)
}

fn send(record: &mut UserRecord, now: u64) -> String {
    let new = mail_code::NewCode::new(6, mail_code::Use::Login("alice@example.org")).unwrap();
    let from = Sources::of(HOME, &record.lockout, now, &Config::default().lockout);
    record.mail_codes.note_sent(&new, 300, from, 10, now).unwrap();
    new.code.expose_str().unwrap().to_owned()
}

#[test]
fn a_code_that_was_sent_lets_in_once_and_is_the_mailboxes() {
    let (record, sent) = with_mailbox();
    let config = Config::default();
    let (judgement, record) = judge(record, &one_time(&sent, HOME), NOW + 1, &config);
    let accepted = Accepted::Device {
        kind: DeviceKind::Email,
        label: "e-mail".to_owned(),
        learned_drift: None,
    };
    assert_eq!(judgement, Judgement::Accepted(accepted));
    assert_eq!(record.devices[1].last_used.map(|used| used.at), Some(NOW + 1));
    let (judgement, _) = judge(record.clone(), &one_time(&sent, HOME), NOW + 2, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::Wrong), "the app's, and wrong");
    // Without another device nothing is compared with it any more, and nothing charged.
    let mut alone = record;
    alone.devices.remove(0);
    let (judgement, after) = judge(alone.clone(), &one_time(&sent, HOME), NOW + 2, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::NotSent));
    assert_eq!(after.lockout, alone.lockout);
}

#[test]
fn the_apps_code_is_no_wrong_answer_to_a_code_that_was_sent() {
    let (mut record, _) = with_mailbox();
    let config = Config::default();
    record.lockout.clear_source(HOME, NOW, &config.lockout);
    let sent = send(&mut record, NOW);
    let app = current(&record, NOW);
    let (judgement, record) = judge(record, &one_time(&app, HOME), NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)));
    for _ in 0..9 {
        let (judgement, after) = judge(record.clone(), &one_time(&app, HOME), NOW, &config);
        assert!(matches!(judgement, Judgement::Refused(Refusal::Used { .. })));
        assert_eq!(after.mail_codes, record.mail_codes);
    }
    let (judgement, _) = judge(record, &one_time(&sent, HOME), NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)));
}

#[test]
fn a_wrong_answer_to_a_code_that_was_sent_is_charged_and_sending_anew_takes_nothing_off() {
    let (mut record, mut sent) = with_mailbox();
    record.devices.remove(0);
    let mut config = Config::default();
    config.lockout.per_source = 100;
    config.lockout.per_user = 100;
    for failures in 1..=mail_code::MOST_FAILURES {
        let number: u32 = sent.parse().unwrap();
        let wrong = format!("{:06}", (number + 1) % 1_000_000);
        let (judgement, after) = judge(record, &one_time(&wrong, HOME), NOW, &config);
        assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
        assert_eq!(after.lockout.failures, u32::from(failures));
        assert_eq!(after.mail_codes.others.tally.failures, failures);
        assert_eq!(after.devices[0].failures, u32::from(failures));
        record = after;
        if failures < mail_code::MOST_FAILURES {
            sent = send(&mut record, NOW);
        }
    }
    let (judgement, after) = judge(record, &one_time(&sent, HOME), NOW, &config);
    let barred = Refusal::Barred(Barred::Until(NOW + 3_600));
    assert_eq!(judgement, Judgement::Refused(barred));
    assert_eq!(after.lockout.failures, u32::from(mail_code::MOST_FAILURES));
}

#[test]
fn where_no_mail_is_accepted_a_code_that_was_sent_is_neither_right_nor_wrong() {
    let (record, sent) = with_mailbox();
    let mut config = Config::default();
    config.policy.methods.email = false;
    let (judgement, after) = judge(record.clone(), &one_time(&sent, HOME), NOW, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::Wrong), "the app's");
    assert_eq!(after.mail_codes, record.mail_codes);
    let mut alone = record;
    alone.devices.remove(0);
    let (judgement, after) = judge(alone.clone(), &one_time(&sent, HOME), NOW, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::NotAccepted));
    assert_eq!((after.lockout, after.mail_codes), (alone.lockout, alone.mail_codes));
}

#[test]
fn while_a_source_waits_nothing_is_compared_or_counted() {
    let (mut record, _) = enrolled();
    let config = Config::default();
    let bad = one_time(&wrong(&record, NOW), HOME);
    for _ in 0..5 {
        let (judgement, after) = judge(record, &bad, NOW, &config);
        assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
        record = after;
    }
    let right = one_time(&current(&record, NOW), HOME);
    for attempt in [&bad, &right] {
        let (judgement, after) = judge(record.clone(), attempt, NOW + 29, &config);
        let barred = Barred::Until(NOW + 30);
        assert_eq!(judgement, Judgement::Refused(Refusal::Barred(barred)));
        assert_eq!(after.lockout, record.lockout);
        assert_eq!(after.devices[0].moving, record.devices[0].moving);
    }
    let right = one_time(&current(&record, NOW + 30), HOME);
    let (judgement, after) = judge(record, &right, NOW + 30, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)));
    assert_eq!(after.lockout.sources[0].failures, 0);
}

#[test]
fn a_wait_from_a_clock_that_ran_ahead_is_over_an_hour_after_the_first_try() {
    let (mut record, _) = enrolled();
    record.lockout.not_before = NOW + 86_400;
    let config = Config::default();
    for (later, admitted) in [(0, false), (1_800, false), (3_600, true)] {
        let now = NOW + later;
        let attempt = one_time(&current(&record, now), HOME);
        let (judgement, after) = judge(record, &attempt, now, &config);
        assert_eq!(matches!(judgement, Judgement::Accepted(_)), admitted, "{later}");
        record = after;
    }
}

#[test]
fn a_code_of_a_length_that_no_device_has_is_not_charged() {
    let (record, _) = enrolled();
    let attempt = one_time("12345678", HOME);
    let (judgement, after) = judge(record.clone(), &attempt, NOW, &Config::default());
    assert_eq!(judgement, Judgement::Refused(Refusal::Misshapen));
    assert_eq!(after.lockout, record.lockout);
}

#[test]
fn a_code_of_a_disabled_device_is_refused_right_or_wrong_and_neither_used_nor_charged() {
    let (mut record, _) = enrolled();
    record.devices[0].disabled = true;
    let config = Config::default();
    let right = current(&record, NOW);
    for code in [&right, &wrong(&record, NOW)] {
        let (judgement, after) = judge(record.clone(), &one_time(code, HOME), NOW, &config);
        assert_eq!(judgement, Judgement::Refused(Refusal::Disabled));
        assert_eq!(after.encode(), record.encode());
    }
    record.devices[0].disabled = false;
    let (judgement, _) = judge(record, &one_time(&right, HOME), NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)), "{judgement:?}");
}

#[test]
fn beside_a_disabled_device_the_others_are_judged_as_ever() {
    let (mut record, _) = enrolled();
    let tablet =
        Device { id: 2, label: "tablet".to_owned(), ..device(b"9876543210", Algorithm::Sha1, 6) };
    record.devices[0].disabled = true;
    record.devices.push(tablet);
    let config = Config::default();
    let lost = one_time(&current(&record, NOW), HOME);
    let (judgement, after) = judge(record, &lost, NOW, &config);
    assert_eq!(judgement, Judgement::Refused(Refusal::Wrong), "the tablet's, and wrong");
    assert_eq!((after.lockout.failures, after.devices[0].failures), (1, 0));
    let tablet = one_time(&code(&after.devices[1], NOW / 30), HOME);
    let (judgement, _) = judge(after, &tablet, NOW, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)), "{judgement:?}");
}

#[test]
fn a_code_that_was_sent_to_a_disabled_mailbox_is_refused() {
    let (mut record, sent) = with_mailbox();
    record.devices.remove(0);
    record.devices[0].disabled = true;
    let (judgement, after) = judge(record.clone(), &one_time(&sent, HOME), NOW, &Config::default());
    assert_eq!(judgement, Judgement::Refused(Refusal::Disabled));
    assert_eq!(after.lockout, record.lockout);
}

#[test]
fn the_code_of_any_device_is_accepted_and_marks_that_one() {
    let (mut record, _) = enrolled();
    let mut second = device(b"abcdefghij", Algorithm::Sha1, 6);
    second.label = "tablet".to_owned();
    record.devices.push(second);
    let attempt = one_time(&code(&record.devices[1], NOW / 30), HOME);
    let (judgement, after) = judge(record, &attempt, NOW, &Config::default());
    let Judgement::Accepted(Accepted::Device { label, .. }) = judgement else { panic!() };
    assert_eq!(label, "tablet");
    assert!(after.devices[0].last_used.is_none());
    assert!(after.devices[1].last_used.is_some());
}

#[test]
fn a_code_hashed_for_another_batch_is_refused_and_not_charged() {
    let (record, _) = enrolled();
    for batch in [None, Some(7)] {
        let attempt = Attempt { code: Code::Backup { batch, hash: [0; 16] }, source: HOME };
        let (judgement, after) = judge(record.clone(), &attempt, NOW, &Config::default());
        assert_eq!(judgement, Judgement::Refused(Refusal::AnotherBatch));
        assert_eq!(after.lockout, record.lockout);
    }
}

/// A record with a token for sshd from [`HOME`], and the attempt that gives it.
fn with_token(service: &str, source: Source) -> (UserRecord, Attempt) {
    let (mut record, _) = enrolled();
    let here: ipnet::IpNet = "192.0.2.0/24".parse().unwrap();
    record.tokens.push(Token {
        networks: vec![here.into()],
        services: vec!["sshd".to_owned()],
        ..token([7; 20])
    });
    (record, give([7; 20], service, source))
}

fn give(hash: tokens::Hash, service: &str, source: Source) -> Attempt {
    let Source::V4(octets) = source else { panic!() };
    let given = GivenToken { hash, from: Some(IpAddr::from(octets)), service: service.to_owned() };
    Attempt { code: Code::Token(given), source }
}

#[test]
fn a_token_is_accepted_again_and_again_and_notes_its_last_use_alone() {
    let (mut record, attempt) = with_token("sshd", HOME);
    record.lockout.charge_otp(HOME, NOW, &Config::default().lockout);
    let before = record.lockout.clone();
    for later in 0..3 {
        let (judgement, after) = judge(record, &attempt, NOW + later, &Config::default());
        let name = "backup".to_owned();
        assert_eq!(judgement, Judgement::Accepted(Accepted::Token { name }));
        assert_eq!(after.tokens[0].last_used, Some(Use { at: NOW + later, from: HOME }));
        // Neither failures nor known sources.
        assert_eq!(after.lockout, before);
        record = after;
    }
}

#[test]
fn a_token_out_of_its_scope_is_refused_and_charged_like_a_wrong_one() {
    let elsewhere = Source::V4([198, 51, 100, 7]);
    let (record, _) = with_token("sshd", HOME);
    let out = |why| Refusal::OutOfScope { name: "backup".to_owned(), why };
    for (hash, service, source, now, expected) in [
        ([8; 20], "sshd", HOME, NOW, Refusal::Wrong),
        ([7; 20], "sudo", HOME, NOW, out(OutOfScope::Service)),
        ([7; 20], "sshd", elsewhere, NOW, out(OutOfScope::Source)),
        ([7; 20], "sshd", HOME, NOW + 86_400, out(OutOfScope::Expired)),
    ] {
        let attempt = give(hash, service, source);
        let (judgement, after) = judge(record.clone(), &attempt, now, &Config::default());
        assert_eq!(judgement, Judgement::Refused(expected.clone()));
        assert_eq!(after.lockout.sources[0].wrong_codes, 1, "{expected:?}");
        assert_eq!(after.lockout.failures, 0, "{expected:?}");
        assert_eq!(after.tokens, record.tokens);
    }
}

#[test]
fn tokens_have_the_budget_of_backup_codes_and_leave_devices_alone() {
    let (mut record, right) = with_token("sshd", HOME);
    let config = Config::default();
    for n in 0..10 {
        let (judgement, after) = judge(record, &give([n + 10; 20], "sshd", HOME), NOW, &config);
        assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
        record = after;
    }
    let (judgement, record) = judge(record, &right, NOW + 3_599, &config);
    let barred = Barred::Until(NOW + 3_600);
    assert_eq!(judgement, Judgement::Refused(Refusal::Barred(barred)));
    let (judgement, _) = judge(record.clone(), &right, NOW + 3_600, &config);
    assert!(matches!(judgement, Judgement::Accepted(_)));
    let code = one_time(&current(&record, NOW), HOME);
    assert!(matches!(judge(record, &code, NOW, &config).0, Judgement::Accepted(_)));
}

#[test]
fn somebody_without_codes_is_charged_for_a_guess_as_for_a_wrong_one() {
    let (mut record, _) = enrolled();
    record.backup_codes = None;
    let attempt = Attempt { code: Code::Backup { batch: None, hash: [0; 16] }, source: HOME };
    let (judgement, after) = judge(record, &attempt, NOW, &Config::default());
    assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
    assert_eq!(after.lockout.sources[0].wrong_codes, 1);
}
