//! Keys as people and apps exchange them: base32 and `otpauth:` URIs.

use std::fmt::Write;

use base32::Alphabet::Rfc4648;
use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;
use zeroize::Zeroizing;

use crate::record::{Device, MAX_KEY, MovingFactor};

/// The fewest bytes of a key that exists already: those of google-authenticator had 80 bits for years, and many
/// tokens have no more.
pub const MIN_KEY: usize = 10;

/// What RFC 4226 (4, R6) asks for, 128 bits. Who brings a shorter key is told.
const ASKED_FOR: usize = 16;

/// Why text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing in it.
    #[error("the key is empty")]
    Empty,
    /// A character outside of base32, or bits left over.
    #[error("the key is not base32")]
    NotBase32,
    /// Fewer than [`MIN_KEY`] bytes.
    #[error("the key has fewer than {MIN_KEY} bytes")]
    TooShort,
    /// More than [`MAX_KEY`] bytes.
    #[error("the key has more than {MAX_KEY} bytes")]
    TooLong,
}

/// The key in `text`: base32 (RFC 4648), in which spaces, dashes, letter case and padding do not
/// matter, and everything else does.
pub fn parse(text: &str) -> Result<Secret, KeyError> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    plain.extend(
        text.trim()
            .trim_end_matches('=')
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase()),
    );
    if plain.is_empty() {
        return Err(KeyError::Empty);
    }
    let key = base32::decode(Rfc4648 { padding: false }, &plain).ok_or(KeyError::NotBase32)?;
    let key = Secret::new(key);
    // The crate passes over bits that are left over, and takes "A" for an empty key.
    if *encode(&key) != *plain {
        return Err(KeyError::NotBase32);
    }
    match key.expose().len() {
        0..MIN_KEY => Err(KeyError::TooShort),
        MIN_KEY..=MAX_KEY => Ok(key),
        _ => Err(KeyError::TooLong),
    }
}

/// What somebody is told who brings a key that is shorter than it should be.
#[must_use]
pub fn advice(key: &Secret) -> Option<String> {
    let bytes = key.expose().len();
    (bytes < ASKED_FOR).then(|| {
        format!(
            "This key has {} bits, where RFC 4226 asks for {} at least: better let a key be made here.",
            bytes * 8,
            ASKED_FOR * 8
        )
    })
}

/// Base32 in capital letters, without padding.
#[must_use]
pub fn encode(key: &Secret) -> Zeroizing<String> {
    Zeroizing::new(base32::encode(Rfc4648 { padding: false }, key.expose()))
}

/// The key in groups of four, for typing.
#[must_use]
pub fn grouped(key: &Secret) -> Zeroizing<String> {
    let plain = encode(key);
    let mut text = Zeroizing::new(String::with_capacity(plain.len() * 5 / 4 + 1));
    for (index, c) in plain.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push(' ');
        }
        text.push(c);
    }
    text
}

/// The `otpauth:` URI of a device (github.com/google/google-authenticator, wiki "Key Uri Format").
/// What every app takes for granted is left out: a shorter URI is a smaller QR code.
#[must_use]
pub fn uri(device: &Device, issuer: &str, user: &str) -> Zeroizing<String> {
    let mut uri = Zeroizing::new(String::with_capacity(512));
    let issuer = percent_encoded(issuer);
    let kind = device.kind().name();
    // Writing to a String does not fail.
    let _ = write!(uri, "otpauth://{kind}/{issuer}:{}?secret=", percent_encoded(user));
    uri.push_str(&encode(&device.key));
    let _ = write!(uri, "&issuer={issuer}");
    match device.algorithm {
        Algorithm::Sha1 => {}
        Algorithm::Sha256 => uri.push_str("&algorithm=SHA256"),
        Algorithm::Sha512 => uri.push_str("&algorithm=SHA512"),
    }
    if device.digits != 6 {
        let _ = write!(uri, "&digits={}", device.digits);
    }
    match device.moving {
        MovingFactor::Time { period: 30, .. } | MovingFactor::Sent { .. } => {}
        MovingFactor::Time { period, .. } => {
            let _ = write!(uri, "&period={period}");
        }
        MovingFactor::Counter { next, .. } => {
            let _ = write!(uri, "&counter={next}");
        }
    }
    uri
}

/// RFC 3986: all but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::otp::tests::device;

    #[test]
    fn keys_are_read_as_people_write_them_and_nothing_else_is() {
        let key = parse("gezd gnbv-GY3T QOJQ gezd gnbv gy3t qojq").unwrap();
        assert_eq!(key.expose(), b"12345678901234567890");
        assert_eq!(parse("GEZDGNBVGY3TQOJQGEZDGNBVGY======").unwrap().expose().len(), 16);
        let rows = [
            ("", KeyError::Empty),
            ("  ", KeyError::Empty),
            ("====", KeyError::Empty),
            ("A", KeyError::NotBase32),
            ("GEZDGNBVGY3TQOJQGEZDGNBVGZ", KeyError::NotBase32),
            ("GEZDGNBVGY3TQOJ1GEZDGNBVGY3TQOJQ", KeyError::NotBase32),
            ("GEZD=GNBVGY3TQOJQGEZDGNBVGY3TQOJQ", KeyError::NotBase32),
            ("ÄEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", KeyError::NotBase32),
            ("GEZDGNBVGY3TQOI", KeyError::TooShort),
        ];
        for (text, error) in rows {
            assert_eq!(parse(text).unwrap_err(), error, "{text:?}");
        }
        assert_eq!(parse(&"A".repeat(8 * 14)).unwrap_err(), KeyError::TooLong);
    }

    #[test]
    fn who_brings_a_key_of_fewer_than_128_bits_is_told() {
        let advised = |text: &str| advice(&parse(text).unwrap());
        assert!(advised("GEZDGNBVGY3TQOJQ").unwrap().starts_with("This key has 80 bits, "));
        assert!(
            advised("GEZDGNBVGY3TQOJQGEZDGNBV").unwrap().starts_with("This key has 120 bits, ")
        );
        assert_eq!(advised("GEZDGNBVGY3TQOJQGEZDGNBVGY"), None);
    }

    #[test]
    fn a_uri_names_only_what_is_unusual() {
        let mut phone = device(b"12345678901234567890", Algorithm::Sha1, 6);
        assert_eq!(
            *uri(&phone, "my host", "a@b:c"),
            "otpauth://totp/my%20host:a%40b%3Ac?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=my%20host"
        );
        phone.algorithm = Algorithm::Sha512;
        phone.digits = 8;
        phone.moving =
            MovingFactor::Time { period: 60, last_step: None, drift: 0, candidate: None };
        assert!(uri(&phone, "h", "u").ends_with("&algorithm=SHA512&digits=8&period=60"));
        phone.moving = MovingFactor::Counter { next: 7, candidate: None };
        let text = uri(&phone, "h", "u");
        assert!(text.starts_with("otpauth://hotp/h:u?"), "{}", *text);
        assert!(text.ends_with("&digits=8&counter=7"), "{}", *text);
    }

    #[test]
    fn a_key_is_typed_in_groups_of_four() {
        let key = Secret::new(b"1234567890123456".to_vec());
        assert_eq!(*grouped(&key), "GEZD GNBV GY3T QOJQ GEZD GNBV GY");
    }
}
