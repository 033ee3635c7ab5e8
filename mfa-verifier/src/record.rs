//! What is kept of one user, and its encoding.
//!
//! # The format on disk
//!
//! A record is one byte of format version and then the [`UserRecord`] of that version in
//! [postcard](https://postcard.jamesmunns.com/wire-format), fields in the order in which they stand
//! here. This is version 2; version 1 had no bypass code, no requirement and no scratch codes. [`UserRecord::decode`] says how a
//! later one comes to be. The bytes are sealed before they reach a disk (`store::seal`).
//!
//! Times are seconds since the Unix epoch. A record is bounded: at most [`MAX_DEVICES`] devices,
//! [`MAX_TOKENS`] tokens, [`MAX_REMEMBERED`] remembered logins, [`MAX_SOURCES`] sources,
//! [`MAX_ALTERATIONS`] alterations, ten backup codes; labels, names and keys have limits of their
//! own. Its encoding stays below [`MAX_ENCODED`] bytes, since sled puts larger values into files that
//! it never syncs: `growth` sees to it.

mod format;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use mfa_protocol::Secret;
use mfa_protocol::message::{Algorithm, DeviceKind, Tie};
use serde::{Deserialize, Serialize};

pub use format::{FORMAT, MAX_ENCODED, RecordError};

use crate::factor::Method;
use crate::factor::mail_code::MailCodes;
use crate::mail::Address;
use crate::source::{Place, Source};

/// Devices of one user.
pub const MAX_DEVICES: usize = 8;

/// Backup codes of one user.
pub const MAX_BACKUP_CODES: usize = 10;

/// Sources remembered for one user: sixteen, and this host.
pub const MAX_SOURCES: usize = 17;

/// Alterations that are still to be told.
pub const MAX_ALTERATIONS: usize = 12;

/// Bytes of a label.
pub const MAX_LABEL: usize = 32;

/// Bytes of a device's key: SHA-512's block would allow 128, but no app shows more than 64.
pub const MAX_KEY: usize = 64;

/// Access tokens of one user.
pub const MAX_TOKENS: usize = 8;

/// Networks of one token, and services.
pub const MAX_SCOPES: usize = 2;

/// Bytes of the name of a service that a token is for.
pub const MAX_SERVICE: usize = 32;

/// Remembered logins of one user.
pub const MAX_REMEMBERED: usize = 8;

/// Everything that is known of one user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UserRecord {
    /// The devices, oldest first.
    pub devices: Vec<Device>,
    /// The id that the next device gets; ids are never used twice.
    pub next_id: u32,
    /// The id of the default device.
    pub default: u32,
    /// The batch of backup codes.
    pub backup_codes: Option<BackupCodes>,
    /// Failures and waits.
    pub lockout: Lockout,
    /// What stands in for the password at one change.
    pub invitation: Option<Invitation>,
    /// What was altered and is still to be told, oldest first.
    pub alterations: Vec<Alteration>,
    /// The access tokens, oldest first.
    pub tokens: Vec<Token>,
    /// The logins that are remembered, oldest first.
    pub remembered: Vec<Remembered>,
    /// How often somebody had logins forgotten: a question that stood open then remembers none.
    pub forgotten: u32,
    /// The codes that were sent by mail.
    pub mail_codes: MailCodes,
    /// What stands in for a code while there is no device at hand.
    pub bypass: Option<Bypass>,
    /// Whether a second factor is required of this user, whatever policy says of all.
    pub required: bool,
    /// The batch of backup codes that are another module's scratch codes: of eight digits. One of another
    /// number has codes of ours.
    pub scratch_batch: Option<u64>,
}

/// One enrolled authenticator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Its number, unique in the record.
    pub id: u32,
    /// What the person calls it.
    pub label: String,
    /// The shared key. A device that codes are sent to has a random one, so that it is told from another
    /// of the same number.
    pub key: Secret,
    /// The hash of its HMAC.
    pub algorithm: Algorithm,
    /// Digits of its codes, 6 to 8.
    pub digits: u8,
    /// What moves its codes on.
    pub moving: MovingFactor,
    /// When it was enrolled.
    pub added: u64,
    /// Its last accepted code.
    pub last_used: Option<Use>,
    /// Wrong codes since then.
    pub failures: u32,
    /// Whether its codes are refused.
    pub disabled: bool,
}

/// What moves codes on: the moving factor of RFC 4226, a counter, or the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovingFactor {
    /// RFC 6238.
    Time {
        /// Seconds of a step, 15 to 300.
        period: u16,
        /// The last accepted step: this one and all before it are used.
        last_step: Option<u64>,
        /// The learned offset of the device's clock, in steps.
        drift: i32,
        /// A run of codes that would be right at another offset.
        candidate: Option<TimeCandidate>,
    },
    /// RFC 4226.
    Counter {
        /// The counter of the next code: all before it are used.
        next: u64,
        /// The counter after a code that was right beyond the look-ahead.
        candidate: Option<u64>,
    },
    /// None, since each code is drawn when it is sent.
    Sent {
        /// Where to. It was verified.
        address: Address,
    },
}

/// Consecutive codes of one offset, seen outside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeCandidate {
    /// The step of the last of them.
    pub step: u64,
    /// How many steps it was off; no more than one apart from the offset of the one before.
    pub offset: i32,
    /// How many there were.
    pub seen: u8,
    /// When the first was given.
    pub since: u64,
}

/// When and from where something was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When.
    pub at: u64,
    /// From where.
    pub from: Source,
}

/// A batch of backup codes: one salt, one Argon2 evaluation for an attempt, whatever the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCodes {
    /// Random; an attempt that was hashed for another batch is not compared with this one.
    pub batch: u64,
    /// The salt of all hashes of the batch.
    pub salt: [u8; 16],
    /// The codes in the order of their numbers, from 1.
    pub codes: Vec<BackupCode>,
    /// When the batch was made.
    pub made: u64,
}

impl BackupCodes {
    /// How many are not used yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.codes.iter().filter(|code| code.used.is_none()).count()
    }
}

/// One backup code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCode {
    /// Argon2id of the code.
    pub hash: [u8; 16],
    /// Its one use.
    pub used: Option<Use>,
}

/// Failures and waits of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockout {
    /// Wrong one-time codes from sources that were not known, less what time took off.
    pub failures: u32,
    /// When the last of them came, or when time last took some off.
    pub counted_at: u64,
    /// No code from a source that is not known is judged before this.
    pub not_before: u64,
    /// The sources seen, at most [`MAX_SOURCES`].
    pub sources: Vec<SourceState>,
}

/// What is known of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Which.
    pub source: Source,
    /// When the user last got in from it.
    pub last_success: Option<u64>,
    /// Wrong one-time codes in a row.
    pub failures: u32,
    /// When it was last heard of.
    pub last_seen: u64,
    /// No one-time code from it is judged before this.
    pub not_before: u64,
    /// Wrong backup codes in the hour that began at `codes_since`.
    pub wrong_codes: u32,
    /// When that hour began.
    pub codes_since: u64,
}

/// A one-time code from root, for who has no password that could be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The salt of the hash; random, so that it tells one invitation from another.
    pub salt: [u8; 16],
    /// Argon2id of the code.
    pub hash: [u8; 16],
    /// When it ends.
    pub expires: u64,
}

/// A code from the helpdesk, for who has neither device nor backup code at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// The salt of the hash; random, so that it tells one code from another.
    pub salt: [u8; 16],
    /// Argon2id of what is behind the prefix.
    pub hash: [u8; 16],
    /// When it was made.
    pub made: u64,
    /// When it ends.
    pub expires: u64,
    /// How often it can still be used. One that cannot any more is kept, so that it is known again.
    pub uses_left: u8,
}

/// Something that was altered, for the owner to learn of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    /// When.
    pub at: u64,
    /// When it was done once more, last.
    pub again: Option<u64>,
    /// What.
    pub what: Altered,
    /// The device's label; empty where it is about backup codes.
    pub label: String,
    /// Whether root did it, and not the owner.
    pub by_root: bool,
}

/// What was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Altered {
    /// A device was added.
    Added,
    /// A device took the place of another under the same label.
    Replaced,
    /// A device was removed.
    Removed,
    /// A device became the default.
    Default,
    /// A device's clock or counter was brought back.
    Resynchronised,
    /// There are new backup codes.
    NewCodes,
    /// An access token was made.
    TokenMade,
    /// An access token was revoked.
    TokenRevoked,
    /// A bypass code was made.
    BypassMade,
    /// It was revoked.
    BypassRevoked,
    /// A device was disabled.
    Disabled,
    /// A device was enabled again.
    Enabled,
    /// A second factor became required of this user.
    Required,
    /// That was taken back.
    NotRequired,
}

/// What a script gives in place of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What the person calls it.
    pub name: String,
    /// The first 160 bits of SHA-256 of it: it has no more itself.
    pub hash: [u8; 20],
    /// When it was made.
    pub made: u64,
    /// When it ends.
    pub expires: u64,
    /// From where it may be given; none: from anywhere. At most [`MAX_SCOPES`].
    pub networks: Vec<Network>,
    /// To which PAM services; none: to any. At most [`MAX_SCOPES`].
    pub services: Vec<String>,
    /// Its last use.
    pub last_used: Option<Use>,
}

/// A network: an address in which the bits behind the prefix are zero, and the prefix's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// IPv4.
    V4([u8; 4], u8),
    /// IPv6.
    V6([u8; 16], u8),
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.net().is_some_and(|net| net.contains(&address.to_canonical()))
    }

    /// None where the prefix is longer than an address, which no record of ours has.
    fn net(self) -> Option<IpNet> {
        let (address, prefix) = match self {
            Self::V4(octets, prefix) => (IpAddr::from(octets), prefix),
            Self::V6(octets, prefix) => (IpAddr::from(octets), prefix),
        };
        IpNet::new(address, prefix).ok()
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Self {
        match net.trunc() {
            IpNet::V4(net) => Self::V4(net.addr().octets(), net.prefix_len()),
            IpNet::V6(net) => Self::V6(net.addr().octets(), net.prefix_len()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net() {
            Some(net) => write!(f, "{net}"),
            None => f.write_str("unknown"),
        }
    }
}

/// A login that need not be given a code for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its number, by which it can be forgotten.
    pub number: u32,
    /// What it is bound to, hashed; see [`crate::remember`].
    pub bound_to: [u8; 16],
    /// By what it is known, for the list.
    pub by: Tie,
    /// The PAM service, for the list.
    pub service: String,
    /// From where, for the list, which asks what policy says of a login from there.
    pub from: Place,
    /// What was given.
    pub given: Method,
    /// When.
    pub since: u64,
    /// When it ends at the latest.
    pub until: u64,
    /// When it last stood in for a code.
    pub last_used: Option<u64>,
}

impl UserRecord {
    /// Whether the user has a second factor.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Takes for used, of every device, what was used of these: a key may be enrolled twice, and each of its codes
    /// is accepted once all the same.
    pub fn pass_over_codes_of(&mut self, used: &[Device]) {
        self.devices.iter_mut().for_each(|device| device.pass_over_codes_of(used));
    }

    /// Whether logins have noted anything, as they do of who is lent a device, too.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        self.lockout != Lockout::default()
            || self.mail_codes != MailCodes::default()
            || !self.remembered.is_empty()
    }

    /// Whether the backup codes are the scratch codes of another module.
    #[must_use]
    pub fn has_scratch_codes(&self) -> bool {
        let batch = self.backup_codes.as_ref().map(|codes| codes.batch);
        batch.is_some() && batch == self.scratch_batch
    }

    /// The device of this label. Labels are compared to the letter.
    #[must_use]
    pub fn device(&self, label: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.label == label)
    }
}

impl Device {
    /// TOTP, HOTP or e-mail.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        match self.moving {
            MovingFactor::Time { .. } => DeviceKind::Totp,
            MovingFactor::Counter { .. } => DeviceKind::Hotp,
            MovingFactor::Sent { .. } => DeviceKind::Email,
        }
    }

    /// The learned offset in steps; only a clock has one.
    #[must_use]
    pub fn drift(&self) -> i32 {
        match self.moving {
            MovingFactor::Time { drift, .. } => drift,
            MovingFactor::Counter { .. } | MovingFactor::Sent { .. } => 0,
        }
    }

    /// Whether it makes the codes of another, be they shorter: a code that was accepted of the one would be new to
    /// the other. Zeros at a key's end tell no keys apart, since HMAC fills up with them (RFC 2104).
    #[must_use]
    pub fn makes_codes_of(&self, other: &Self) -> bool {
        fn key(device: &Device) -> &[u8] {
            let bytes = device.key.expose();
            let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.get(..length).unwrap_or_default()
        }
        let same_moving_factor = match (&self.moving, &other.moving) {
            (MovingFactor::Time { period: a, .. }, MovingFactor::Time { period: b, .. }) => a == b,
            (MovingFactor::Counter { .. }, MovingFactor::Counter { .. }) => true,
            _ => false,
        };
        same_moving_factor && self.algorithm == other.algorithm && key(self) == key(other)
    }

    /// Takes for used what was used of such devices as make its codes.
    pub fn pass_over_codes_of(&mut self, others: &[Self]) {
        for other in others {
            if !self.makes_codes_of(other) {
                continue;
            }
            match (&mut self.moving, &other.moving) {
                (
                    MovingFactor::Time { last_step, .. },
                    MovingFactor::Time { last_step: used, .. },
                ) => *last_step = (*last_step).max(*used),
                (
                    MovingFactor::Counter { next, .. },
                    MovingFactor::Counter { next: unused, .. },
                ) => *next = (*next).max(*unused),
                _ => {}
            }
        }
    }

    /// Where its codes are sent, if they are.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match &self.moving {
            MovingFactor::Sent { address } => Some(address),
            MovingFactor::Time { .. } | MovingFactor::Counter { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with everything at its limit.
    pub(crate) fn largest() -> UserRecord {
        let used = Some(Use { at: u64::from(u32::MAX), from: Source::V6([0xff; 8]) });
        let device = |id| Device {
            id,
            label: "x".repeat(MAX_LABEL),
            key: Secret::new(vec![0xff; MAX_KEY]),
            algorithm: Algorithm::Sha512,
            digits: 8,
            moving: MovingFactor::Time {
                period: 300,
                last_step: Some(u64::from(u32::MAX)),
                // Twelve hours of the shortest step.
                drift: -2_880,
                candidate: Some(TimeCandidate {
                    step: u64::from(u32::MAX),
                    offset: -2_880,
                    seen: 2,
                    since: u64::from(u32::MAX),
                }),
            },
            added: u64::from(u32::MAX),
            last_used: used,
            failures: u32::MAX,
            disabled: true,
        };
        let source = |n| SourceState {
            source: Source::V6([n; 8]),
            last_success: Some(u64::from(u32::MAX)),
            failures: u32::MAX,
            last_seen: u64::from(u32::MAX),
            not_before: u64::from(u32::MAX),
            wrong_codes: u32::MAX,
            codes_since: u64::from(u32::MAX),
        };
        UserRecord {
            devices: (0..8).map(device).collect(),
            next_id: u32::MAX,
            default: 7,
            backup_codes: Some(BackupCodes {
                batch: u64::MAX,
                salt: [0xff; 16],
                codes: vec![BackupCode { hash: [0xff; 16], used }; 10],
                made: u64::from(u32::MAX),
            }),
            lockout: Lockout {
                failures: u32::MAX,
                counted_at: u64::from(u32::MAX),
                not_before: u64::from(u32::MAX),
                sources: (0..17).map(source).collect(),
            },
            invitation: Some(Invitation {
                salt: [0xff; 16],
                hash: [0xff; 16],
                expires: u64::from(u32::MAX),
            }),
            alterations: vec![
                Alteration {
                    at: u64::from(u32::MAX),
                    again: Some(u64::from(u32::MAX)),
                    what: Altered::NewCodes,
                    label: "x".repeat(MAX_LABEL),
                    by_root: true,
                };
                MAX_ALTERATIONS
            ],
            // What is kept while there is room. See `growth`, and its tests.
            tokens: Vec::new(),
            remembered: Vec::new(),
            forgotten: u32::MAX,
            mail_codes: MailCodes::longest(),
            bypass: Some(Bypass {
                salt: [0xff; 16],
                hash: [0xff; 16],
                made: u64::from(u32::MAX),
                expires: u64::from(u32::MAX),
                uses_left: u8::MAX,
            }),
            required: true,
            scratch_batch: Some(u64::MAX),
        }
    }
}
