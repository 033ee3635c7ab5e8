//! Judging an attempt. Pure: a record, an attempt and the time go in; a judgement and the record to
//! save come out.

use std::net::IpAddr;

use mfa_protocol::message::DeviceKind;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::factor::mail_code::{self, MailCodes};
use crate::factor::otp::{self, Finding};
use crate::factor::tokens::{self, OutOfScope};
use crate::factor::{Method, codes};
use crate::lockout::Barred;
use crate::record::{Device, MovingFactor, Use, UserRecord};
use crate::source::Source;

/// A code that somebody gave, ready to be compared under the user's lock.
#[derive(Debug)]
pub struct Attempt {
    /// The code.
    pub code: Code,
    /// From where.
    pub source: Source,
}

/// A code, with everything slow done to it.
#[derive(Debug)]
pub enum Code {
    /// Six to eight digits.
    OneTime(Zeroizing<String>),
    /// The hash of a backup code, for the batch whose salt it was made with; `None` where the user
    /// has no batch.
    Backup {
        /// The batch.
        batch: Option<u64>,
        /// Argon2id of the code.
        hash: [u8; 16],
    },
    /// An access token.
    Token(GivenToken),
}

/// An access token that somebody gave, and what its scope is held against.
#[derive(Debug)]
pub struct GivenToken {
    /// Its hash.
    pub hash: tokens::Hash,
    /// The address that it comes from, if it comes from one.
    pub from: Option<IpAddr>,
    /// The PAM service that it was given to.
    pub service: String,
}

/// What an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Right: the user is let in.
    Accepted(Accepted),
    /// Not right, or not to be judged.
    Refused(Refusal),
}

/// How the user got in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// By a device's code.
    Device {
        /// The device's kind.
        kind: DeviceKind,
        /// Its label.
        label: String,
        /// Its drift, where this code taught a new one.
        learned_drift: Option<i32>,
    },
    /// By a backup code.
    BackupCode {
        /// Its number in the batch, from 1.
        number: usize,
    },
    /// By an access token.
    Token {
        /// Its name.
        name: String,
    },
}

impl Accepted {
    /// What was given.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Self::Device { kind, .. } => Method::from(*kind),
            Self::BackupCode { .. } => Method::BackupCode,
            Self::Token { .. } => Method::Token,
        }
    }
}

/// Why an attempt is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Compared, and wrong: charged.
    Wrong,
    /// No device of the user has codes of this length: not charged.
    Misshapen,
    /// It could be a code that is sent, and none that was sent is good any more: not charged.
    NotSent,
    /// From an address at which the user was not seen, only a code that is sent shows who they are:
    /// compared in vain, and not charged.
    NewAddress,
    /// A code that was accepted before, or is older than one that was: not charged.
    Used {
        /// The device it belongs to; `None` for a backup code.
        label: Option<String>,
    },
    /// A right code of a device that was last used at a time that has not come yet: not charged.
    UsedAhead {
        /// The device.
        label: String,
    },
    /// Too many were wrong before: neither compared nor charged.
    Barred(Barred),
    /// The batch of backup codes was replaced while this one was typed: not charged.
    AnotherBatch,
    /// Policy does not accept this factor here: compared in vain, and not charged.
    NotAccepted,
    /// A right access token that is not good here and now. Charged like a wrong one, since it is to
    /// be told from it by the log alone.
    OutOfScope {
        /// Its name.
        name: String,
        /// Why.
        why: OutOfScope,
    },
}

/// Judges `attempt`. The same comparisons are made whatever comes of them, so that the time taken
/// tells nobody whether a user is barred.
#[must_use]
pub fn judge(
    mut record: UserRecord,
    attempt: &Attempt,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    record.lockout.shorten_waits(now, config.longest_wait());
    match &attempt.code {
        Code::OneTime(code) => judge_one_time(record, code, attempt.source, now, config),
        Code::Backup { batch, hash } => {
            judge_backup(record, *batch, hash, attempt.source, now, config)
        }
        Code::Token(given) => judge_token(record, given, attempt.source, now, config),
    }
}

fn judge_one_time(
    mut record: UserRecord,
    code: &str,
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let admitted = record.lockout.admit_otp(source, now, &config.lockout);
    let mut findings = examine_all(&record, code, now, config);
    let sent = examine_sent(&record, code, now);
    findings.extend(sent.findings);
    let refused = |refusal, record| (Judgement::Refused(refusal), record);
    let compared = !findings.is_empty();
    findings
        .retain(|(index, _)| record.devices.get(*index).is_some_and(|d| is_accepted(d, config)));
    if compared && findings.is_empty() {
        let refusal = if config.policy.unseen { Refusal::NewAddress } else { Refusal::NotAccepted };
        return refused(refusal, record);
    }
    if let Err(barred) = admitted {
        return refused(Refusal::Barred(barred), record);
    }
    if findings.is_empty() {
        return refused(sent.refusal, record);
    }
    let right = findings.iter().find_map(|(index, finding)| match finding {
        Finding::Right(moving) => Some((*index, moving.clone())),
        _ => None,
    });
    if let Some((index, moving)) = right {
        if record.devices.get(index).is_some_and(|device| device.address().is_some()) {
            record.mail_codes = sent.codes;
        }
        return accept_device(record, index, moving, source, now, config);
    }
    let label = |index: usize| record.devices.get(index).map(|device| device.label.clone());
    for (index, finding) in &findings {
        match finding {
            Finding::Used => return refused(Refusal::Used { label: label(*index) }, record),
            Finding::UsedAhead => {
                let label = label(*index).unwrap_or_default();
                return refused(Refusal::UsedAhead { label }, record);
            }
            Finding::Right(_) | Finding::Wrong(_) => {}
        }
    }
    if config.policy.methods.email {
        record.mail_codes = sent.codes;
    }
    refused(Refusal::Wrong, charge_devices(record, findings, source, now, config))
}

/// What the code is to the devices that codes are sent to.
struct Sent {
    findings: Vec<(usize, Finding)>,
    /// The codes that were sent, after this one was held against them.
    codes: MailCodes,
    /// Why it is refused where nothing was found for any device.
    refusal: Refusal,
}

/// Holds the code against the one that was sent last, whichever device it was for.
fn examine_sent(record: &UserRecord, code: &str, now: u64) -> Sent {
    let mut codes = record.mail_codes.clone();
    let addressed: Vec<_> = of_length(record, code)
        .filter_map(|(index, device)| Some((index, device, device.address()?)))
        .collect();
    let uses: Vec<_> =
        addressed.iter().map(|(_, _, address)| mail_code::Use::Login(address.as_str())).collect();
    let found = codes.judge(code, &uses, now);
    let refusal = match found {
        _ if addressed.is_empty() => Refusal::Misshapen,
        mail_code::Finding::Barred(until) => Refusal::Barred(Barred::Until(until)),
        _ => Refusal::NotSent,
    };
    let findings = addressed.into_iter().enumerate().filter_map(|(place, (index, device, _))| {
        let moving = device.moving.clone();
        match found {
            mail_code::Finding::Right(right) if right == place => {
                Some((index, Finding::Right(moving)))
            }
            mail_code::Finding::Wrong => Some((index, Finding::Wrong(moving))),
            _ => None,
        }
    });
    Sent { findings: findings.collect(), codes, refusal }
}

/// The devices that have codes of this length, by their places.
fn of_length<'a>(
    record: &'a UserRecord,
    code: &str,
) -> impl Iterator<Item = (usize, &'a Device)> + use<'a> {
    let length = code.len();
    let devices = record.devices.iter().enumerate();
    devices.filter(move |(_, device)| !device.disabled && usize::from(device.digits) == length)
}

/// What the code is to each device that makes codes of its length, by the device's place; also to those
/// that are not accepted, so that this takes as long.
fn examine_all(
    record: &UserRecord,
    code: &str,
    now: u64,
    config: &Config,
) -> Vec<(usize, Finding)> {
    of_length(record, code)
        .filter(|(_, device)| device.address().is_none())
        .map(|(index, device)| (index, otp::examine(device, code, now, config)))
        .collect()
}

fn is_accepted(device: &Device, config: &Config) -> bool {
    config.policy.methods.accept(device.kind().into())
}

fn accept_device(
    mut record: UserRecord,
    index: usize,
    moving: MovingFactor,
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let Some(device) = record.devices.get_mut(index) else {
        return (Judgement::Refused(Refusal::Misshapen), record);
    };
    let before = device.drift();
    device.moving = moving;
    device.last_used = Some(Use { at: now, from: source });
    device.failures = 0;
    let accepted = Accepted::Device {
        kind: device.kind(),
        label: device.label.clone(),
        learned_drift: Some(device.drift()).filter(|drift| *drift != before),
    };
    record.lockout.clear_source(source, now, &config.lockout);
    (Judgement::Accepted(accepted), record)
}

fn charge_devices(
    mut record: UserRecord,
    findings: Vec<(usize, Finding)>,
    source: Source,
    now: u64,
    config: &Config,
) -> UserRecord {
    for (index, finding) in findings {
        if let (Some(device), Finding::Wrong(moving)) = (record.devices.get_mut(index), finding) {
            device.moving = moving;
            device.failures = device.failures.saturating_add(1);
        }
    }
    record.lockout.charge_otp(source, now, &config.lockout);
    record
}

fn judge_backup(
    mut record: UserRecord,
    batch: Option<u64>,
    hash: &[u8; 16],
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let rules = &config.lockout;
    let admitted = record.lockout.admit_backup_code(source, now, rules);
    let found = record.backup_codes.as_ref().and_then(|codes| codes::position(codes, hash));
    let refused = |refusal, record| (Judgement::Refused(refusal), record);
    if !config.policy.methods.accept(Method::BackupCode) {
        return refused(Refusal::NotAccepted, record);
    }
    if let Err(barred) = admitted {
        return refused(Refusal::Barred(barred), record);
    }
    if record.backup_codes.as_ref().map(|codes| codes.batch) != batch {
        return refused(Refusal::AnotherBatch, record);
    }
    let codes = record.backup_codes.iter_mut().flat_map(|codes| &mut codes.codes);
    match found.and_then(|index| codes.enumerate().nth(index)) {
        None => {
            record.lockout.charge_backup_code(source, now, rules);
            refused(Refusal::Wrong, record)
        }
        Some((_, code)) if code.used.is_some() => refused(Refusal::Used { label: None }, record),
        Some((index, code)) => {
            code.used = Some(Use { at: now, from: source });
            record.lockout.clear_user();
            record.lockout.clear_source(source, now, rules);
            (Judgement::Accepted(Accepted::BackupCode { number: index + 1 }), record)
        }
    }
}

/// A token has the budget of backup codes. A right one takes off no failure and makes no source known:
/// who has stolen a token for one service must not gain tries at the codes for others by it.
fn judge_token(
    mut record: UserRecord,
    given: &GivenToken,
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let rules = &config.lockout;
    let admitted = record.lockout.admit_backup_code(source, now, rules);
    let found = tokens::position(&record.tokens, &given.hash);
    if !config.policy.methods.accept(Method::Token) {
        return (Judgement::Refused(Refusal::NotAccepted), record);
    }
    if let Err(barred) = admitted {
        return (Judgement::Refused(Refusal::Barred(barred)), record);
    }
    let refusal = match found.and_then(|index| record.tokens.get_mut(index)) {
        None => Refusal::Wrong,
        Some(token) => match token.admit(now, given.from, &given.service) {
            Ok(()) => {
                token.last_used = Some(Use { at: now, from: source });
                let name = token.name.clone();
                return (Judgement::Accepted(Accepted::Token { name }), record);
            }
            Err(why) => Refusal::OutOfScope { name: token.name.clone(), why },
        },
    };
    record.lockout.charge_backup_code(source, now, rules);
    (Judgement::Refused(refusal), record)
}

#[cfg(test)]
mod tests {
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
                    && matches!(
                        otp::examine(&record.devices[0], code, now, &config),
                        Finding::Wrong(_)
                    )
            })
            .unwrap()
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
        record.mail_codes.note_sent(&new, 300, 20, now).unwrap();
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
        let (record, sent) = with_mailbox();
        let config = Config::default();
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
            assert_eq!(after.mail_codes.failures, failures);
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
    fn a_disabled_device_is_no_device() {
        let (mut record, _) = enrolled();
        record.devices[0].disabled = true;
        let attempt = one_time(&current(&record, NOW), HOME);
        let (judgement, _) = judge(record, &attempt, NOW, &Config::default());
        assert_eq!(judgement, Judgement::Refused(Refusal::Misshapen));
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
        let given =
            GivenToken { hash, from: Some(IpAddr::from(octets)), service: service.to_owned() };
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
}
