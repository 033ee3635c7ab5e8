//! Judging an attempt. Pure: a record, an attempt and the time go in; a judgement and the record to
//! save come out.

mod bypass;

use std::net::IpAddr;

use mfa_protocol::message::DeviceKind;
use zeroize::Zeroizing;

use self::bypass::judge_bypass;
use crate::config::Config;
use crate::factor::mail_code::{self, MailCodes, Sources};
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
    /// The hash of a bypass code, and the salt that it was made with; `None` where the user has none.
    Bypass {
        /// The salt, which tells for which code it was hashed.
        salt: Option<[u8; 16]>,
        /// Argon2id of what is behind the prefix.
        hash: [u8; 16],
    },
    /// Eight digits of somebody whose backup codes are another module's scratch codes: they can be one
    /// of those, or the code of a device.
    OneTimeOrBackup {
        /// What was typed.
        code: Zeroizing<String>,
        /// As of [`Self::Backup`].
        batch: Option<u64>,
        /// Argon2id of it.
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
    /// By a bypass code.
    Bypass {
        /// How often it can still be used.
        uses_left: u8,
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
            Self::Bypass { .. } => Method::Bypass,
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
        /// The device it belongs to; `None` for a backup code or a bypass code.
        label: Option<String>,
    },
    /// A right code of a device that was last used at a time that has not come yet: not charged.
    UsedAhead {
        /// The device.
        label: String,
    },
    /// Too many were wrong before: neither compared nor charged.
    Barred(Barred),
    /// The batch of backup codes, or the bypass code, was replaced while this one was typed: not charged.
    AnotherBatch,
    /// It could only be of a device that is disabled: compared in vain, and not charged.
    Disabled,
    /// A right bypass code whose time is over. Charged like a wrong one, since it is to be told from it by
    /// the log alone.
    BypassEnded,
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
    record.distrust_clock(now);
    match &attempt.code {
        Code::OneTime(code) => judge_one_time(record, code, attempt.source, now, config),
        Code::Backup { batch, hash } => {
            judge_backup(record, *batch, hash, attempt.source, now, config)
        }
        Code::Bypass { salt, hash } => {
            judge_bypass(record, *salt, hash, attempt.source, now, config)
        }
        Code::OneTimeOrBackup { code, batch, hash } => {
            judge_either(&record, code, *batch, hash, attempt.source, now, config)
        }
        Code::Token(given) => judge_token(record, given, attempt.source, now, config),
    }
}

/// Each by its own rules. What is right as the one is not charged as the other; what is wrong as both is charged
/// as both, since both were tried, and once for the one answer that it is.
fn judge_either(
    record: &UserRecord,
    code: &str,
    batch: Option<u64>,
    hash: &[u8; 16],
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    use Judgement::{Accepted, Refused};
    let as_one_time = judge_one_time(record.clone(), code, source, now, config);
    let as_backup = judge_backup(record.clone(), batch, hash, source, now, config);
    match (&as_one_time.0, &as_backup.0) {
        (Accepted(_) | Refused(Refusal::Used { .. } | Refusal::UsedAhead { .. }), _) => as_one_time,
        (_, Accepted(_) | Refused(Refusal::Used { .. })) => as_backup,
        (Refused(Refusal::Wrong), Refused(refusal)) => {
            let is_wrong = *refusal == Refusal::Wrong;
            let (judgement, mut record) = as_one_time;
            if is_wrong {
                record.lockout.charge_backup_code(source, now, &config.lockout);
            }
            (judgement, record)
        }
        _ => as_backup,
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
    let from = Sources::of(source, &record.lockout, now, &config.lockout);
    let sent = examine_sent(&record, code, from, now);
    findings.extend(sent.findings);
    let refused = |refusal, record| (Judgement::Refused(refusal), record);
    // Where a mailbox is left it says why nothing is right.
    let is_mailbox = |device: &Device| device.address().is_some() && is_accepted(device, config);
    let mailbox_is_left = of_length(&record, code).any(|(_, device)| is_mailbox(device));
    let in_vain = refusal_of_all(&record, &findings, config)
        .filter(|refusal| *refusal != Refusal::Disabled || !mailbox_is_left);
    findings
        .retain(|(index, _)| record.devices.get(*index).is_some_and(|d| is_accepted(d, config)));
    if let (Some(refusal), true) = (in_vain, findings.is_empty()) {
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

/// Holds the code against the one that such sources were sent last, whichever device it was for.
fn examine_sent(record: &UserRecord, code: &str, from: Sources, now: u64) -> Sent {
    let mut codes = record.mail_codes.clone();
    let addressed: Vec<_> = of_length(record, code)
        .filter_map(|(index, device)| Some((index, device, device.address()?)))
        .collect();
    let uses: Vec<_> =
        addressed.iter().map(|(_, _, address)| mail_code::Use::Login(address.as_str())).collect();
    let found = codes.judge(code, &uses, from, now);
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

/// Why a code is refused that was held against devices, where none of them may let in.
fn refusal_of_all(
    record: &UserRecord,
    findings: &[(usize, Finding)],
    config: &Config,
) -> Option<Refusal> {
    let mut devices =
        findings.iter().filter_map(|(index, _)| record.devices.get(*index)).peekable();
    devices.peek()?;
    Some(if devices.all(|device| device.disabled) {
        Refusal::Disabled
    } else if config.policy.unseen {
        Refusal::NewAddress
    } else {
        Refusal::NotAccepted
    })
}

/// The devices that have codes of this length, by their places; also those that are disabled, so that nobody
/// can tell by the time who has one.
fn of_length<'a>(
    record: &'a UserRecord,
    code: &str,
) -> impl Iterator<Item = (usize, &'a Device)> + use<'a> {
    let length = code.len();
    let devices = record.devices.iter().enumerate();
    devices.filter(move |(_, device)| usize::from(device.digits) == length)
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
    !device.disabled && config.policy.methods.accept(device.kind().into())
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
    let used = [device.clone()];
    record.pass_over_codes_of(&used);
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

/// Scratch codes of another module are short enough to be guessed from many addresses, so the limits of devices'
/// codes hold for them as well, and with those a total.
fn judge_backup(
    mut record: UserRecord,
    batch: Option<u64>,
    hash: &[u8; 16],
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let rules = &config.lockout;
    let are_short = record.has_scratch_codes();
    let admitted = record.lockout.admit_backup_code(source, now, rules).and_then(|()| {
        if are_short { record.lockout.admit_otp(source, now, rules) } else { Ok(()) }
    });
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
            if are_short {
                record.lockout.charge_otp(source, now, rules);
            }
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
mod tests;
