//! Codes that are sent by mail.
//!
//! A code is 6 to 8 digits of the system's random. What is kept of it is a salted SHA-256, and not
//! Argon2 as of backup codes: of a million codes any hash is searched through in no time, so what
//! guards this one is that the record is sealed, that it dies within minutes, and that
//! [`MOST_FAILURES`] wrong answers end it. The hash keeps it out of sight where a record is looked at.
//!
//! One code is good at a time: a new one voids the old. Wrong answers are counted apart from the code,
//! so who has a new one sent does not get new tries with it (five an hour, against a million codes).
//! What bars whole sources is `lockout`'s.
//!
//! Times are seconds since the Unix epoch, and values.

use mfa_protocol::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Wrong answers in [`MEMORY`], after which no code is judged or sent.
pub const MOST_FAILURES: u8 = 5;

/// Seconds for which mails and wrong answers are counted.
pub const MEMORY: u64 = 3_600;

/// Seconds for which a code is good that shows whether an address is read: mail may be slow.
pub const ADDRESS_LIFETIME: u64 = 2 * 3_600;

/// Mails with codes that policy may allow in an hour.
pub const MOST_PER_HOUR: u8 = 20;

/// Digits of a code for a login or an address.
pub const LENGTH: u8 = 6;

/// Digits that a code may have.
const DIGITS: std::ops::RangeInclusive<u8> = 6..=8;

/// What is known of the codes that were mailed to one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailCodes {
    /// The one that lets in.
    pub login: Option<Pending>,
    /// The one that shows that an address is read. Apart from the other: who is verifying an address may
    /// leave, log in and come back.
    pub address: Option<Pending>,
    /// When mails with codes were sent, oldest first, as far back as [`MEMORY`].
    pub sent: Vec<u64>,
    /// Wrong answers since the last right one, or since they were forgotten.
    pub failures: u8,
    /// When the last of them was given.
    pub failed: u64,
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
    /// Whether a mail may go now. What this notes about the clock is to be saved, whatever the answer.
    ///
    /// # Errors
    /// Why not, and until when.
    pub fn may_send(&mut self, per_hour: u8, now: u64) -> Result<(), NotSent> {
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

    /// Notes that this code is about to be sent, and forgets the one before. It is noted before the mail
    /// goes, and a mail that fails counts: else a mailer that fails late could be made to send without
    /// end.
    ///
    /// # Errors
    /// As [`Self::may_send`]; nothing is noted of the code then.
    pub fn note_sent(
        &mut self,
        code: &NewCode,
        lifetime: u64,
        per_hour: u8,
        now: u64,
    ) -> Result<(), NotSent> {
        self.may_send(per_hour, now)?;
        self.sent.push(now);
        *self.place(code.confirms) =
            Some(Pending { salt: code.salt, hash: code.hash, made: now, lifetime });
        Ok(())
    }

    /// Judges an answer, digits only, that may be the code for any of these, which are all of one kind.
    /// The result is to be saved, whatever the finding.
    pub fn judge(&mut self, answer: &str, good_for: &[Use], now: u64) -> Finding {
        self.forget(now);
        if let Some(until) = self.barred_until() {
            return Finding::Barred(until);
        }
        let confirms = matches!(good_for, [Use::Address(_), ..]);
        let pending = self.place(confirms);
        let Some(sent) = pending.as_ref().filter(|sent| sent.is_good(now) && !good_for.is_empty())
        else {
            return Finding::None;
        };
        let is_for = |one: &Use| hash(&sent.salt, *one, answer.as_bytes()).ct_eq(&sent.hash);
        let found: Vec<_> = good_for.iter().map(is_for).collect();
        if let Some(index) = found.into_iter().position(bool::from) {
            *pending = None;
            self.failures = 0;
            return Finding::Right(index);
        }
        self.failures = self.failures.saturating_add(1);
        self.failed = now;
        if self.failures >= MOST_FAILURES {
            (self.login, self.address) = (None, None);
        }
        Finding::Wrong
    }

    /// Whether a code waits to be given that shows that an address is read.
    #[must_use]
    pub fn confirms(&self, now: u64) -> bool {
        self.barred_until().is_none_or(|until| until <= now)
            && self.address.as_ref().is_some_and(|sent| sent.is_good(now))
    }

    /// With everything in it that can be, as long as it can be.
    pub(crate) fn longest() -> Self {
        let time = u64::from(u32::MAX);
        let sent = Pending { salt: [0xff; 16], hash: [0xff; 16], made: time, lifetime: 7_200 };
        Self {
            login: Some(sent.clone()),
            address: Some(sent),
            sent: vec![time; MOST_PER_HOUR.into()],
            failures: u8::MAX,
            failed: time,
        }
    }

    fn place(&mut self, confirms: bool) -> &mut Option<Pending> {
        if confirms { &mut self.address } else { &mut self.login }
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
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::convert::Infallible;

    const NOW: u64 = 1_800_000_000;
    const LOGIN: Use = Use::Login("alice@example.org");
    const LIFETIME: u64 = 300;

    fn new_code() -> NewCode {
        NewCode::new(6, LOGIN).unwrap()
    }

    fn text(code: &NewCode) -> String {
        code.code.expose_str().unwrap().to_owned()
    }

    fn wrong(code: &NewCode) -> String {
        let number: u32 = text(code).parse().unwrap();
        format!("{:06}", (number + 1) % 1_000_000)
    }

    /// With a code that was sent just now.
    fn sent() -> (MailCodes, NewCode) {
        let (mut codes, code) = (MailCodes::default(), new_code());
        codes.note_sent(&code, LIFETIME, 5, NOW).unwrap();
        (codes, code)
    }

    #[test]
    fn a_code_is_right_once() {
        let (mut codes, code) = sent();
        assert_eq!(codes.judge(&wrong(&code), &[LOGIN], NOW), Finding::Wrong);
        assert_eq!(codes.judge(&text(&code), &[LOGIN], NOW), Finding::Right(0));
        assert_eq!(codes.judge(&text(&code), &[LOGIN], NOW), Finding::None);
        assert_eq!(codes.failures, 0);
    }

    #[test]
    fn a_code_dies_after_its_lifetime_and_is_not_good_before_it_was_made() {
        for (now, expected) in [
            (NOW - 1, Finding::None),
            (NOW, Finding::Right(0)),
            (NOW + LIFETIME - 1, Finding::Right(0)),
            (NOW + LIFETIME, Finding::None),
            (u64::MAX, Finding::None),
            (0, Finding::None),
        ] {
            let (mut codes, code) = sent();
            assert_eq!(codes.judge(&text(&code), &[LOGIN], now), expected, "{now}");
        }
    }

    #[test]
    fn a_new_code_voids_the_old_one() {
        let (mut codes, old) = sent();
        let mut new = new_code();
        while text(&new) == text(&old) {
            new = new_code();
        }
        codes.note_sent(&new, LIFETIME, 5, NOW + 1).unwrap();
        assert_eq!(codes.judge(&text(&old), &[LOGIN], NOW + 1), Finding::Wrong);
        assert_eq!(codes.judge(&text(&new), &[LOGIN], NOW + 1), Finding::Right(0));
    }

    #[test]
    fn a_resend_does_not_reset_the_failure_count() {
        let (mut codes, mut code) = sent();
        for failures in 1..=MOST_FAILURES {
            assert_eq!(codes.judge(&wrong(&code), &[LOGIN], NOW), Finding::Wrong);
            assert_eq!(codes.failures, failures);
            code = new_code();
            let resent = codes.note_sent(&code, LIFETIME, 20, NOW);
            if failures < MOST_FAILURES {
                assert_eq!(resent, Ok(()));
            } else {
                assert_eq!(resent, Err(NotSent::Barred(NOW + MEMORY)));
            }
        }
        assert_eq!(codes.login, None);
    }

    #[test]
    fn five_wrong_answers_bar_the_right_one_and_every_mail_for_an_hour() {
        let (mut codes, code) = sent();
        for _ in 0..5 {
            codes.judge(&wrong(&code), &[LOGIN], NOW);
        }
        let until = NOW + 3_600;
        assert_eq!(codes.judge(&text(&code), &[LOGIN], NOW), Finding::Barred(until));
        assert_eq!(codes.may_send(5, until - 1), Err(NotSent::Barred(until)));
        let code = new_code();
        assert_eq!(codes.note_sent(&code, LIFETIME, 5, until), Ok(()));
        assert_eq!(codes.judge(&wrong(&code), &[LOGIN], until), Finding::Wrong);
        assert_eq!(codes.failures, 1);
        assert_eq!(codes.judge(&text(&code), &[LOGIN], until), Finding::Right(0));
    }

    #[test]
    fn what_is_not_judged_is_not_counted() {
        let mut codes = MailCodes::default();
        for _ in 0..9 {
            assert_eq!(codes.judge("000000", &[LOGIN], NOW), Finding::None);
        }
        assert_eq!(codes, MailCodes::default());
        let (mut codes, code) = sent();
        for _ in 0..9 {
            assert_eq!(codes.judge(&wrong(&code), &[LOGIN], NOW + LIFETIME), Finding::None);
        }
        assert_eq!(codes.failures, 0);
    }

    #[test]
    fn so_many_mails_go_in_an_hour_and_not_one_more() {
        let mut codes = MailCodes::default();
        for sent in 0..5 {
            assert_eq!(codes.note_sent(&new_code(), LIFETIME, 5, NOW + sent), Ok(()));
        }
        let before = codes.clone();
        let full = Err(NotSent::TooMany(NOW + 3_600));
        assert_eq!(codes.note_sent(&new_code(), LIFETIME, 5, NOW + 3_599), full);
        assert_eq!(codes, before);
        // Policy was made stricter meanwhile: three of five must be forgotten.
        assert_eq!(codes.may_send(3, NOW + 4), Err(NotSent::TooMany(NOW + 2 + 3_600)));
        assert_eq!(codes.note_sent(&new_code(), LIFETIME, 5, NOW + 3_600), Ok(()));
        assert_eq!(codes.sent.len(), 5);
    }

    #[test]
    fn a_clock_that_ran_ahead_bars_for_an_hour_and_not_for_ever() {
        let ahead = NOW + 365 * 86_400;
        let mut full = MailCodes::default();
        for _ in 0..5 {
            full.note_sent(&new_code(), LIFETIME, 5, ahead).unwrap();
        }
        let mut barred = MailCodes { failures: 5, failed: ahead, ..MailCodes::default() };
        for now in [NOW, NOW + 3_599] {
            assert_eq!(full.may_send(5, now), Err(NotSent::TooMany(NOW + 3_600)));
            assert_eq!(barred.may_send(5, now), Err(NotSent::Barred(NOW + 3_600)));
        }
        assert_eq!(full.may_send(5, NOW + 3_600), Ok(()));
        assert_eq!(barred.may_send(5, NOW + 3_600), Ok(()));
    }

    #[test]
    fn a_code_for_one_thing_is_wrong_for_another() {
        let (mut codes, code) = sent();
        let other = Use::Login("eve@example.org");
        assert_eq!(codes.judge(&text(&code), &[other], NOW), Finding::Wrong);
        // Neither is it one that is missing, nor one in the other's place.
        let (mut codes, code) = sent();
        let other = Use::Address("alice@example.org");
        assert_eq!(codes.judge(&text(&code), &[other], NOW), Finding::None);
        codes.address = codes.login.take();
        assert_eq!(codes.judge(&text(&code), &[other], NOW), Finding::Wrong);
    }

    #[test]
    fn a_code_is_told_from_the_others_that_it_could_be() {
        let (mut codes, code) = sent();
        let uses = [Use::Login("eve@example.org"), LOGIN];
        assert_eq!(codes.judge(&text(&code), &uses, NOW), Finding::Right(1));
        let (mut codes, code) = sent();
        assert_eq!(codes.judge(&text(&code), &[], NOW), Finding::None);
        assert_eq!(codes.failures, 0);
    }

    #[test]
    fn a_login_meanwhile_leaves_the_verification_of_an_address_as_it_was() {
        const ADDRESS: Use = Use::Address("new@example.org");
        let (mut codes, _) = sent();
        let confirming = NewCode::new(6, ADDRESS).unwrap();
        codes.note_sent(&confirming, ADDRESS_LIFETIME, 5, NOW).unwrap();
        let login = new_code();
        codes.note_sent(&login, LIFETIME, 5, NOW + 60).unwrap();
        assert_eq!(codes.judge(&text(&login), &[LOGIN], NOW + 90), Finding::Right(0));
        assert!(
            codes.confirms(NOW + ADDRESS_LIFETIME - 1) && !codes.confirms(NOW + ADDRESS_LIFETIME)
        );
        let late = NOW + ADDRESS_LIFETIME - 1;
        assert_eq!(codes.judge(&text(&confirming), &[ADDRESS], late), Finding::Right(0));
        assert!(!codes.confirms(late));
    }

    #[test]
    fn numbers_that_would_make_some_codes_more_likely_are_drawn_again() {
        // 2³² = 4294 × 10⁶ + 967296 = 42 × 10⁸ + 94967296.
        for (digits, unfair, last) in [(6, 4_294_000_000, "999999"), (8, 4_200_000_000, "99999999")]
        {
            let numbers = [unfair, u32::MAX, unfair - 1];
            let next = Cell::new(0);
            let random = || Ok::<_, Infallible>(numbers[next.replace(next.get() + 1)]);
            let code = draw(digits, random).unwrap();
            assert_eq!((code.expose_str(), next.get()), (Some(last), 3));
        }
    }

    #[test]
    fn a_code_has_as_many_digits_as_it_should() {
        let zero = || Ok::<_, Infallible>(7);
        for (digits, expected) in
            [(6, "000007"), (7, "0000007"), (8, "00000007"), (0, "000007"), (9, "00000007")]
        {
            assert_eq!(draw(digits, zero).unwrap().expose_str(), Some(expected));
        }
    }

    #[test]
    fn every_first_digit_comes_about_equally_often() {
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            counts[usize::from(new_code().code.expose()[0] - b'0')] += 1;
        }
        // 1,000 expected for each, standard deviation 30: eight of them.
        assert!(counts.iter().all(|count| (760..1_240).contains(count)), "{counts:?}");
    }

    #[test]
    fn nothing_of_a_code_is_in_what_is_kept() {
        let (codes, code) = sent();
        let kept = format!("{codes:?}{code:?}");
        assert!(!kept.contains(&text(&code)), "{kept}");
        let encoded = postcard::to_stdvec(&codes).unwrap();
        assert!(!encoded.windows(6).any(|window| window == code.code.expose()));
        // A record is bounded, and there are five of these times at most by default.
        assert!(encoded.len() < 80, "{}", encoded.len());
        let longest = postcard::to_stdvec(&MailCodes::longest()).unwrap();
        assert!(longest.len() < 200, "{}", longest.len());
        assert_eq!(postcard::from_bytes::<MailCodes>(&encoded).unwrap(), codes);
    }
}
