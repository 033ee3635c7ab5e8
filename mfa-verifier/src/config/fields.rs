//! How single values are read: each with its bounds, so that a mistake is named with its place.

use std::fmt;
use std::path::PathBuf;

use mfa_protocol::escape::is_unsafe;
use mfa_protocol::message::Algorithm;
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

pub(super) fn within<'de, const LOW: u64, const HIGH: u64, T, D>(
    deserializer: D,
) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    let number = i64::deserialize(deserializer)?;
    u64::try_from(number)
        .ok()
        .filter(|n| (LOW..=HIGH).contains(n))
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| {
            let expected = format!("a number from {LOW} to {HIGH}");
            D::Error::invalid_value(Unexpected::Signed(number), &expected.as_str())
        })
}

/// Seconds of a time such as "12h"; "0" is none.
pub(super) fn span<'de, const LONGEST: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "0" {
        return Ok(0);
    }
    let seconds = humantime::parse_duration(&text).map_or(0, |time| time.as_secs());
    if (60..=LONGEST).contains(&seconds) {
        return Ok(seconds);
    }
    let days = LONGEST / 86_400;
    let expected = format!("\"0\", or a time from \"1m\" to \"{days}d\" such as \"12h\"");
    Err(D::Error::invalid_value(Unexpected::Str(&text), &expected.as_str()))
}

pub(super) fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = line(deserializer)?;
    let path = PathBuf::from(&text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(D::Error::invalid_value(Unexpected::Str(&text), &"an absolute path"))
    }
}

pub(super) fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.chars().any(is_unsafe) {
        return Err(D::Error::custom("control and invisible characters are not allowed here"));
    }
    Ok(text)
}

pub(super) fn issuer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = line(deserializer)?;
    let rest = text.replace("{hostname}", "");
    if text.is_empty() || rest.contains(['{', '}', ':']) {
        let expected = "a name without colon, in which {hostname} may stand";
        return Err(D::Error::invalid_value(Unexpected::Str(&text), &expected));
    }
    Ok(text)
}

pub(super) fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "sha1" => Ok(Algorithm::Sha1),
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        other => Err(D::Error::unknown_variant(other, &["sha1", "sha256", "sha512"])),
    }
}

/// [`within`], for a key that need not be there.
pub(super) fn some_within<'de, const LOW: u64, const HIGH: u64, T, D>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    within::<LOW, HIGH, T, D>(deserializer).map(Some)
}

/// [`span`], for a key that need not be there.
pub(super) fn some_span<'de, const LONGEST: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    span::<LONGEST, D>(deserializer).map(Some)
}

/// [`line()`], for a key that need not be there.
pub(super) fn some_line<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    line(deserializer).map(Some)
}

/// A name in a list: something, on one line, without blanks around it.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(is_unsafe)
}

/// A text of which `parse` makes a value. A mistake in a list is so named with its own place: the
/// parser of TOML knows it of what fails while it reads the text, and not of what fails afterwards.
pub(super) fn parsed<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<T>(fn(&str) -> Result<T, String>);

    impl<T> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            self.0(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(parse))
}
