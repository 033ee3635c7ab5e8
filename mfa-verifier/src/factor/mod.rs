//! What can be given: one-time codes of devices, codes that are sent by mail, backup codes, bypass codes and
//! access tokens.

pub mod bypass;
pub mod codes;
pub mod mail_code;
pub mod otp;
pub mod tokens;
mod turnstile;

use mfa_protocol::message::DeviceKind;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes of an answer that can still be a code, with all its spaces and dashes.
const LONGEST_ANSWER: usize = 64;

/// A way to give a second factor, as policy and log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A device's time-based code.
    Totp,
    /// A device's counter-based code.
    Hotp,
    /// A backup code.
    BackupCode,
    /// An access token.
    Token,
    /// A code that was sent by e-mail.
    Email,
    /// A bypass code. Policy accepts it where it accepts backup codes, and has no name for it.
    Bypass,
}

impl Method {
    /// All that policy names.
    pub const ALL: [Self; 5] = [Self::Totp, Self::Hotp, Self::Email, Self::BackupCode, Self::Token];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Hotp => "hotp",
            Self::BackupCode => "backup_code",
            Self::Token => "token",
            Self::Email => "email",
            Self::Bypass => "bypass",
        }
    }
}

impl From<DeviceKind> for Method {
    fn from(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Totp => Self::Totp,
            DeviceKind::Hotp => Self::Hotp,
            DeviceKind::Email => Self::Email,
        }
    }
}

/// What an answer is by its shape alone, before anything of the user is looked at.
#[derive(Debug)]
pub enum Typed {
    /// Six to eight digits: a device's code, or one that was sent.
    OneTimeCode(Zeroizing<String>),
    /// A backup code, in small letters and without its dashes.
    BackupCode(Zeroizing<String>),
    /// What is behind the prefix of a bypass code, likewise.
    Bypass(Zeroizing<String>),
    /// An access token, in small letters and without its dashes.
    Token(Zeroizing<String>),
    /// Nothing, or separators only.
    Empty,
    /// It has characters that no code has, which may look like those of one: digits of full width, say.
    NotAscii,
    /// Something that is no code.
    Misshapen,
}

impl Typed {
    /// Spaces, dashes and the case of letters never matter. Digits are ASCII digits: others look
    /// alike and are not what an app shows.
    #[must_use]
    pub fn of(answer: &[u8]) -> Self {
        if answer.len() > LONGEST_ANSWER {
            return Self::Misshapen;
        }
        let mut plain = Zeroizing::new(String::with_capacity(LONGEST_ANSWER));
        for byte in answer {
            match byte {
                b' ' | b'-' => {}
                byte if byte.is_ascii() => plain.push(char::from(byte.to_ascii_lowercase())),
                _ => return Self::NotAscii,
            }
        }
        if plain.is_empty() {
            Self::Empty
        } else if (6..=8).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_digit()) {
            Self::OneTimeCode(plain)
        } else if codes::has_shape(&plain) {
            Self::BackupCode(plain)
        } else if let Some(secret) = bypass::secret_of(&plain) {
            Self::Bypass(Zeroizing::new(secret.to_owned()))
        } else if tokens::has_shape(&plain) {
            Self::Token(plain)
        } else {
            Self::Misshapen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_an_answer_tells_the_factor() {
        let otp = |answer: &str| matches!(Typed::of(answer.as_bytes()), Typed::OneTimeCode(_));
        for code in ["123456", " 123 456 ", "123-456", "1234567", "12345678"] {
            assert!(otp(code), "{code:?}");
        }
        for other in ["12345", "123456789", "12345a", "123456\n", "+123456", "0x1234", "1234.56"] {
            assert!(matches!(Typed::of(other.as_bytes()), Typed::Misshapen), "{other:?}");
        }
        for other in ["１２３４５６", "٣٤٥٦٧٨", "123‐456", "123\u{a0}456", "１"] {
            assert!(matches!(Typed::of(other.as_bytes()), Typed::NotAscii), "{other:?}");
        }
        assert!(matches!(Typed::of(b""), Typed::Empty));
        assert!(matches!(Typed::of(b" - "), Typed::Empty));
        assert!(matches!(Typed::of(b"ABCDE-fghjk-23456"), Typed::BackupCode(_)));
        assert!(matches!(Typed::of(b"abcde fghjk 23456"), Typed::BackupCode(_)));
        assert!(matches!(Typed::of(b"abcde-fghjk-2345l"), Typed::Misshapen));
        assert!(matches!(Typed::of(b"Bypass ABCDE-fghjk-23456"), Typed::Bypass(_)));
        assert!(matches!(Typed::of(b"bypass-abcde-fghjk-2345l"), Typed::Misshapen));
        assert!(matches!(Typed::of(b"bypass"), Typed::Misshapen));
        let token = b"MFATOK-abcdefgh-ijklmnop-qrstuvwx-yz234567";
        assert!(matches!(Typed::of(token), Typed::Token(_)));
        assert!(matches!(Typed::of(&token[..41]), Typed::Misshapen));
        assert!(matches!(Typed::of(b"\xff\xfe"), Typed::NotAscii));
        assert!(matches!(Typed::of(&[b'1'; 65]), Typed::Misshapen));
    }
}
