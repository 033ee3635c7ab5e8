//! Bypass codes: what the helpdesk gives to somebody who has neither device nor backup code at hand.
//!
//! A code is 74 bits, as a backup code has them, behind the word `bypass`, so that it is short enough to be read out
//! on the telephone. So it is kept as a backup code is, as Argon2id with a salt of its own; and since the word tells
//! it from a backup code, an attempt costs one evaluation of either, whoever has which.

use mfa_protocol::Secret;
use mfa_protocol::bypass_code;
pub use mfa_protocol::bypass_code::secret_of;
use mfa_protocol::message::BypassStatus;
use subtle::ConstantTimeEq;

use super::codes::{self, CodesError, SingleCode};
use crate::record::Bypass;

/// What is kept of a new code until it is known when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Hashed {
    salt: [u8; 16],
    hash: [u8; 16],
}

/// Why a code that is right does not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It was used as often as it may be.
    Used,
    /// Its time is over. Or it has not come: the clock was set back behind its making.
    Ended,
}

/// A new code: as it is shown, this once, and what is kept of it.
pub fn new_code() -> Result<(Secret, Hashed), CodesError> {
    let SingleCode { plain, salt, hash } = codes::new_code()?;
    Ok((bypass_code::as_shown(&plain), Hashed { salt, hash }))
}

impl Hashed {
    /// What is kept, of a code that is made `now`.
    #[must_use]
    pub fn made(self, now: u64, lifetime: u64, uses: u8) -> Bypass {
        let Self { salt, hash } = self;
        let expires = now.saturating_add(lifetime);
        Bypass { salt, hash, made: now, expires, uses_left: uses }
    }
}

impl Bypass {
    /// Whether this is the hash of it.
    #[must_use]
    pub fn is(&self, hash: &[u8; 16]) -> bool {
        self.hash.ct_eq(hash).into()
    }

    /// Uses it once, and says how often it can still be.
    pub fn spend(&mut self, now: u64) -> Result<u8, Spent> {
        if !self.is_good(now) {
            if now >= self.expires {
                // A clock that is set back does not bring it back.
                self.uses_left = 0;
            }
            return Err(Spent::Ended);
        }
        self.uses_left = self.uses_left.checked_sub(1).ok_or(Spent::Used)?;
        Ok(self.uses_left)
    }

    /// What may be known of it, if it can be used.
    #[must_use]
    pub fn status(&self, now: u64) -> Option<BypassStatus> {
        let is_left = self.uses_left > 0 && self.is_good(now);
        is_left.then(|| BypassStatus { uses_left: self.uses_left.into(), expires: self.expires })
    }

    fn is_good(&self, now: u64) -> bool {
        (self.made..self.expires).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::Typed;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_code_as_it_is_shown_is_known_by_its_hash_however_it_is_typed() {
        let (shown, hashed) = new_code().unwrap();
        let bypass = hashed.made(NOW, 60, 1);
        let text = shown.expose_str().unwrap();
        for answer in [text.to_owned(), text.to_uppercase(), text.replace('-', " ")] {
            let Typed::Bypass(plain) = Typed::of(answer.as_bytes()) else { panic!("{answer}") };
            assert!(bypass.is(&codes::hash(&plain, &bypass.salt).unwrap()), "{answer}");
        }
        let (_, other) = new_code().unwrap();
        assert!(!bypass.is(&other.hash));
        assert_ne!(hashed.salt, other.salt);
    }

    #[test]
    fn a_code_is_used_as_often_as_was_said_and_within_its_time_alone() {
        let (_, hashed) = new_code().unwrap();
        let mut bypass = hashed.made(NOW, 60, 2);
        assert_eq!(bypass.status(NOW), Some(BypassStatus { uses_left: 2, expires: NOW + 60 }));
        for before in [NOW - 1, 0] {
            assert_eq!(bypass.spend(before), Err(Spent::Ended));
            assert_eq!(bypass.status(before), None);
        }
        for after in [NOW + 60, u64::MAX] {
            let mut late = bypass.clone();
            assert_eq!(late.spend(after), Err(Spent::Ended));
            assert_eq!(late.status(after), None);
            // Nor is it good again when the clock is set back.
            assert_eq!(late.spend(NOW + 1), Err(Spent::Used));
        }
        assert_eq!(bypass.spend(NOW), Ok(1));
        assert_eq!(bypass.spend(NOW + 59), Ok(0));
        assert_eq!(bypass.spend(NOW + 59), Err(Spent::Used));
        assert_eq!(bypass.status(NOW + 59), None);
    }
}
