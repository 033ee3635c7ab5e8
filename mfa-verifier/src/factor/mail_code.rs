//! Codes that are sent by mail.
//!
//! A code is 6 to 8 digits of the system's random. What is kept of it is a salted SHA-256, and not
//! Argon2 as of backup codes: of a million codes any hash is searched through in no time, so what
//! guards this one is that the record is sealed, that it dies within minutes, and that
//! [`MOST_FAILURES`] wrong answers end it. The hash keeps it out of sight where a record is looked at.
//!
//! What is sent and what is wrong is counted apart for three kinds of [`Sources`]: who has the first factor and
//! fails elsewhere takes neither codes nor mails from where the user is known. In each, one code is good at a
//! time, and a new one voids the old. Wrong answers are counted apart from the code, so who has a new one
//! sent does not get new tries with it. An answer is held against the code of its own sources alone, so it has
//! one chance in a million however many codes there are, and there are [`MOST_FAILURES`] in an hour from one
//! kind of sources, three times as many from all. What bars a single source is `lockout`'s.
//!
//! Times are seconds since the Unix epoch, and values.

use mfa_protocol::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::config::LockoutConfig;
use crate::record::Lockout;
use crate::source::Source;

/// Wrong answers in [`MEMORY`], after which no code is judged or sent.
pub const MOST_FAILURES: u8 = 5;

/// Seconds for which mails and wrong answers are counted.
pub const MEMORY: u64 = 3_600;

/// Seconds for which a code is good that shows whether an address is read: mail may be slow.
pub const ADDRESS_LIFETIME: u64 = 2 * 3_600;

/// Mails with codes that policy may allow in an hour from one kind of [`Sources`].
pub const MOST_PER_HOUR: u8 = 10;

/// Digits of a code for a login or an address.
pub const LENGTH: u8 = 6;

/// Digits that a code may have.
const DIGITS: std::ops::RangeInclusive<u8> = 6..=8;

/// What is known of the codes that were mailed to one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailCodes {
    /// The one that shows that an address is read. Apart from those that let in: who is verifying an address
    /// may leave, log in and come back. It is asked for and given by the user's own programs, and its mails
    /// and wrong answers are counted with those.
    pub address: Option<Pending>,
    /// Of logins at this host.
    pub local: Logins,
    /// Of logins from known sources.
    pub known: Logins,
    /// Of logins from any other.
    pub others: Logins,
}

/// What is known of the codes that logins from some sources asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// The one that lets in.
    pub code: Option<Pending>,
    /// What was sent, and what was wrong.
    pub tally: Tally,
}

/// Mails and wrong answers that are counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// When mails with codes were sent, oldest first, as far back as [`MEMORY`].
    pub sent: Vec<u64>,
    /// Wrong answers since the last right one, or since they were forgotten.
    pub failures: u8,
    /// When the last of them was given.
    pub failed: u64,
}

/// The sources whose mails and wrong answers are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// This host, on which anything that runs as the user can ask for codes and try some.
    Local,
    /// Those from which the user got in lately.
    Known,
    /// All others.
    Others,
}

impl Sources {
    /// Those that `source` is counted with, as the record is at this moment.
    #[must_use]
    pub fn of(source: Source, lockout: &Lockout, now: u64, rules: &LockoutConfig) -> Self {
        if source == Source::Local {
            Self::Local
        } else if lockout.is_known(source, now, rules) {
            Self::Known
        } else {
            Self::Others
        }
    }
}

/// A code that was sent and not given yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    salt: [u8; 16],
    hash: [u8; 16],
    made: u64,
    lifetime: u64,
}

/// For what a code is good: the hash of the code for one thing is wrong for any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use<'a> {
    /// A login, by a code sent to this address.
    Login(&'a str),
    /// The confirmation of this address.
    Address(&'a str),
}

/// A new code, before anybody has it.
#[derive(Debug)]
pub struct NewCode {
    /// The digits, for the mail.
    pub code: Secret,
    /// Whether it is to show that an address is read.
    confirms: bool,
    salt: [u8; 16],
    hash: [u8; 16],
}

/// Why no mail is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// As many as policy allows were sent; the next one may go at this time.
    TooMany(u64),
    /// Too many wrong answers; none is judged before this time.
    Barred(u64),
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The code, for the one of this place. It is good no more.
    Right(usize),
    /// Not the code; counted.
    Wrong,
    /// There is no code that could be given: none was sent, it was used, or its time is over. Not counted.
    None,
    /// Too many wrong answers; none is judged before this time.
    Barred(u64),
}

impl NewCode {
    /// Makes one.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn new(digits: u8, good_for: Use) -> Result<Self, getrandom::Error> {
        let code = draw(digits, getrandom::u32)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let hash = hash(&salt, good_for, code.expose());
        Ok(Self { code, confirms: matches!(good_for, Use::Address(_)), salt, hash })
    }
}

impl MailCodes {
    /// Notes that this code is about to be sent, and forgets the one before. It is noted before the mail
    /// goes, and a mail that fails counts: else a mailer that fails late could be made to send without
    /// end. The result is to be saved, whatever it is: what a clock that ran ahead has noted is set right.
    ///
    /// # Errors
    /// Why it must not be sent, and until when; nothing is noted of the code then.
    pub fn note_sent(
        &mut self,
        code: &NewCode,
        lifetime: u64,
        from: Sources,
        per_hour: u8,
        now: u64,
    ) -> Result<(), NotSent> {
        let (pending, tally) = self.place(code.confirms, from);
        tally.admit(per_hour, now)?;
        tally.sent.push(now);
        *pending = Some(Pending { salt: code.salt, hash: code.hash, made: now, lifetime });
        Ok(())
    }

    /// Takes back a code that was noted and could not be sent. That there was a mail to send stays counted.
    pub fn take_back(&mut self, code: &NewCode, from: Sources) {
        let (pending, _) = self.place(code.confirms, from);
        if pending.as_ref().is_some_and(|noted| noted.hash == code.hash) {
            *pending = None;
        }
    }

    /// Judges an answer, digits only, that may be the code for any of these, which are all of one kind.
    /// The result is to be saved, whatever the finding.
    pub fn judge(&mut self, answer: &str, good_for: &[Use], from: Sources, now: u64) -> Finding {
        let confirms = matches!(good_for, [Use::Address(_), ..]);
        let (pending, tally) = self.place(confirms, from);
        tally.forget(now);
        if let Some(until) = tally.barred_until() {
            return Finding::Barred(until);
        }
        let Some(sent) = pending.as_ref().filter(|sent| sent.is_good(now) && !good_for.is_empty())
        else {
            return Finding::None;
        };
        let is_for = |one: &Use| hash(&sent.salt, *one, answer.as_bytes()).ct_eq(&sent.hash);
        let found: Vec<_> = good_for.iter().map(is_for).collect();
        if let Some(index) = found.into_iter().position(bool::from) {
            *pending = None;
            tally.failures = 0;
            return Finding::Right(index);
        }
        tally.failures = tally.failures.saturating_add(1);
        tally.failed = now;
        if tally.failures >= MOST_FAILURES {
            *pending = None;
        }
        Finding::Wrong
    }

    /// Whether a code waits to be given that shows that an address is read.
    #[must_use]
    pub fn confirms(&self, now: u64) -> bool {
        self.local.tally.barred_until().is_none_or(|until| until <= now)
            && self.address.as_ref().is_some_and(|sent| sent.is_good(now))
    }

    /// With everything in it that can be, as long as it can be.
    pub(crate) fn longest() -> Self {
        let time = u64::from(u32::MAX);
        let sent = Pending { salt: [0xff; 16], hash: [0xff; 16], made: time, lifetime: 7_200 };
        let tally =
            Tally { sent: vec![time; MOST_PER_HOUR.into()], failures: u8::MAX, failed: time };
        let logins = Logins { code: Some(sent.clone()), tally };
        Self { address: Some(sent), local: logins.clone(), known: logins.clone(), others: logins }
    }

    /// Where such a code is kept, and what it is counted in.
    fn place(&mut self, confirms: bool, from: Sources) -> (&mut Option<Pending>, &mut Tally) {
        if confirms {
            return (&mut self.address, &mut self.local.tally);
        }
        let Logins { code, tally } = match from {
            Sources::Local => &mut self.local,
            Sources::Known => &mut self.known,
            Sources::Others => &mut self.others,
        };
        (code, tally)
    }
}

impl Tally {
    /// Whether a mail may go now.
    fn admit(&mut self, per_hour: u8, now: u64) -> Result<(), NotSent> {
        self.forget(now);
        if let Some(until) = self.barred_until() {
            return Err(NotSent::Barred(until));
        }
        // The one that must be forgotten for there to be room.
        match self.sent.len().checked_sub(per_hour.into()).and_then(|over| self.sent.get(over)) {
            Some(oldest) => Err(NotSent::TooMany(oldest.saturating_add(MEMORY))),
            None => Ok(()),
        }
    }

    /// Forgets what is older than [`MEMORY`]. What a clock that ran ahead has noted is taken to be of
    /// now: it counts for an hour, and not until that time comes.
    fn forget(&mut self, now: u64) {
        let counts = |then: u64| now.saturating_sub(then) < MEMORY;
        self.sent.iter_mut().for_each(|sent| *sent = (*sent).min(now));
        self.sent.retain(|sent| counts(*sent));
        self.failed = self.failed.min(now);
        if !counts(self.failed) {
            self.failures = 0;
        }
    }

    fn barred_until(&self) -> Option<u64> {
        (self.failures >= MOST_FAILURES).then(|| self.failed.saturating_add(MEMORY))
    }
}

impl Pending {
    /// A code of a time that has not come yet is as old as one can be: nobody knows its age.
    fn is_good(&self, now: u64) -> bool {
        now.checked_sub(self.made).is_some_and(|age| age < self.lifetime)
    }
}

/// Digits, each number as likely as any other.
fn draw<E>(digits: u8, random: impl Fn() -> Result<u32, E>) -> Result<Secret, E> {
    let digits = digits.clamp(*DIGITS.start(), *DIGITS.end());
    let codes = 10_u32.pow(digits.into());
    // The numbers above the last whole multiple would make the first codes more likely.
    let fair = u32::MAX - u32::MAX % codes;
    loop {
        let number = random()?;
        if number < fair {
            let code = format!("{:0width$}", number % codes, width = usize::from(digits));
            return Ok(code.into());
        }
    }
}

fn hash(salt: &[u8; 16], good_for: Use, code: &[u8]) -> [u8; 16] {
    let (kind, address) = match good_for {
        Use::Login(address) => (b"login\0".as_slice(), address),
        Use::Address(address) => (b"address\0".as_slice(), address),
    };
    let mut hash = Sha256::new();
    hash.update(b"pam_mfa mail code\0");
    hash.update(salt);
    hash.update(kind);
    // No address has a zero byte in it.
    hash.update(address);
    hash.update(b"\0");
    hash.update(code);
    let hash: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
