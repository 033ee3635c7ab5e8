//! Lists of names: of users and groups, and of PAM services.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::fields::{is_name, parsed};

/// Users or groups; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// They, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether all others are among them.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|name| self.0.contains(name))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Name>::deserialize(deserializer)?;
        if names.is_empty() {
            return Err(D::Error::custom("a list of no names matches nobody"));
        }
        Ok(Self(names.into_iter().map(|Name(name)| name).collect()))
    }
}

/// PAM services: those that are named, without those that have a `!` before their names. Where only
/// such are named it is all others, and all where none is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services(Arc<[String]>);

impl Services {
    /// Whether `service` is one of them. libpam makes the letters of its name small.
    #[must_use]
    pub fn include(&self, service: &str) -> bool {
        let (mut named, mut by_name) = (false, false);
        for written in self.0.iter() {
            match written.strip_prefix('!') {
                Some(name) if name == service => return false,
                Some(_) => {}
                None => {
                    by_name = true;
                    named |= written == service;
                }
            }
        }
        named || !by_name
    }

    /// Those that are named and not left out.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|name| !name.starts_with('!'))
    }

    /// Whether none is named: all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Service>::deserialize(deserializer)?;
        Ok(Self(names.into_iter().map(|Service(name)| name).collect()))
    }
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, |text| {
            if is_name(text) {
                Ok(Self(text.to_owned()))
            } else {
                Err(format!("{text:?} is no name"))
            }
        })
    }
}

struct Service(String);

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, |text| {
            Ok(Self(match text.strip_prefix('!') {
                Some(name) => format!("!{}", service(name)?),
                None => service(text)?,
            }))
        })
    }
}

/// The name of a PAM service, in small letters, as libpam has it.
///
/// # Errors
/// That it is none.
pub fn service(text: &str) -> Result<String, String> {
    if is_name(text) && !text.contains(['/', '!', ' ']) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is no name of a PAM service"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_those_that_are_named_or_all_but_those_that_are_left_out() {
        let rows: [(&[&str], &str, bool); 10] = [
            (&[], "sshd", true),
            (&["sshd"], "sshd", true),
            (&["sshd"], "sudo", false),
            (&["sshd", "sudo"], "sudo", true),
            (&["!dovecot"], "sshd", true),
            (&["!dovecot"], "dovecot", false),
            (&["!dovecot", "!cron"], "cron", false),
            (&["sshd", "!dovecot"], "sudo", false),
            (&["sshd", "!dovecot"], "sshd", true),
            (&["sshd", "!sshd"], "sshd", false),
        ];
        for (written, service, expected) in rows {
            let services = Services(written.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(services.include(service), expected, "{service} in {written:?}");
        }
    }
}
