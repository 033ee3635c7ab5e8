//! `[policy]`

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::fields::{line, span};
use super::names::Services;
use super::network::Networks;
use crate::factor::Method;

const DAY: i64 = 86_400;

/// Seconds for which a login over the network may be remembered at most: two weeks.
pub(super) const LONGEST_REMEMBERED: u64 = 14 * 86_400;

/// The same of `sudo` and `su`: a day.
pub(super) const LONGEST_SESSION: u64 = 86_400;

/// `[policy]`: who is asked, and what is accepted. A rule can set every key of it but `services`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Who must give a second factor.
    pub mode: Mode,
    /// One line for every refusal, whoever it is; empty for none.
    #[serde(deserialize_with = "line")]
    pub help: String,
    /// The PAM services that are asked at all.
    pub services: Services,
    /// When `required` begins; it counts as `optional` until then.
    pub required_from: RequiredFrom,
    /// Networks from which nothing is asked.
    pub trusted: Networks,
    /// Networks outside of which nothing is accepted; none: no such bound.
    pub allow_from: Networks,
    /// Whether backup codes are accepted outside of `allow_from`.
    pub backup_codes_anywhere: bool,
    /// The factors that are accepted.
    pub methods: Methods,
    /// Seconds for which a login may be remembered, if its owner says yes; 0: not at all.
    #[serde(deserialize_with = "span::<LONGEST_REMEMBERED, _>")]
    pub remember: u64,
    /// Whether a login without a public key may be, by its address alone.
    pub without_key: bool,
    /// Seconds for which `sudo` and `su` are remembered in a login session; 0: not at all.
    #[serde(deserialize_with = "span::<LONGEST_SESSION, _>")]
    pub remember_session: u64,
    /// Whether somebody who must give a factor and has none enrols at login.
    pub enrol_at_login: EnrolAtLogin,
    /// The networks from which that may be; none: from everywhere.
    pub enrol_from: Networks,
    /// Whether, from an address at which the user was not seen, only a code that is sent by e-mail lets in.
    pub verify_new_address: bool,
    /// Whether that leaves alone who has enrolled an app or a token.
    pub new_address_exempts_enrolled: bool,
    /// In what policy makes of this for such a login: that it is one.
    #[serde(skip)]
    pub unseen: bool,
}

/// Who must give a second factor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody.
    Off,
    /// Who has enrolled.
    Optional,
    /// Everybody; who has not enrolled is refused.
    #[default]
    Required,
}

/// Whether somebody who must give a factor and has none enrols at login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnrolAtLogin {
    /// Nobody: they are refused.
    #[default]
    Off,
    /// Who has an invitation.
    Invite,
    /// Everybody.
    Anybody,
}

/// The factors that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Methods {
    /// Time-based codes of devices.
    pub totp: bool,
    /// Counter-based codes of devices.
    pub hotp: bool,
    /// Backup codes.
    pub backup_code: bool,
    /// Access tokens.
    pub token: bool,
    /// Codes that are sent by e-mail, where mail is sent at all.
    pub email: bool,
}

impl Methods {
    /// Nothing is accepted.
    pub const NONE: Self =
        Self { totp: false, hotp: false, backup_code: false, token: false, email: false };

    /// Everything is.
    pub const ALL: Self =
        Self { totp: true, hotp: true, backup_code: true, token: true, email: true };

    /// Whether this one is.
    #[must_use]
    pub fn accept(self, method: Method) -> bool {
        match method {
            Method::Totp => self.totp,
            Method::Hotp => self.hotp,
            // A bypass code stands in for a backup code.
            Method::BackupCode | Method::Bypass => self.backup_code,
            Method::Token => self.token,
            Method::Email => self.email,
        }
    }

    /// Their names, as they are configured.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Method::ALL.into_iter().filter(|method| self.accept(*method)).map(Method::name).collect()
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::ALL
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listed = Vec::<Method>::deserialize(deserializer)?;
        if listed.is_empty() {
            return Err(D::Error::custom("a list of no methods lets nobody in"));
        }
        let mut methods = Self::NONE;
        for method in listed {
            match method {
                Method::Totp => methods.totp = true,
                Method::Hotp => methods.hotp = true,
                Method::BackupCode => methods.backup_code = true,
                Method::Token => methods.token = true,
                Method::Email => methods.email = true,
                Method::Bypass => {
                    let error = "bypass codes are accepted where \"backup_code\" is";
                    return Err(D::Error::custom(error));
                }
            }
        }
        Ok(methods)
    }
}

/// When `required` begins: now, if nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequiredFrom {
    written: String,
    begins: Begins,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Begins {
    #[default]
    Now,
    /// With the first minute of a day on this host.
    On(Date),
    /// At this moment.
    At(Timestamp),
}

impl RequiredFrom {
    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether it is a day of this host's, and `days_left` needs its local time.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.begins, Begins::On(_))
    }

    /// The days until then, the one that has begun among them; none where it has come. Without the
    /// local time a day has come.
    #[must_use]
    pub fn days_left(&self, now: u64, local: Option<DateTime>) -> Option<u32> {
        let days = match self.begins {
            Begins::Now => 0,
            Begins::On(date) => match local {
                Some(local) if local.date() < date => i64::from((date - local.date()).get_days()),
                _ => 0,
            },
            Begins::At(at) => {
                let left = at.as_second().saturating_sub_unsigned(now).max(0);
                // Rounded up: an hour is left of a day, too.
                left.saturating_add(DAY - 1) / DAY
            }
        };
        u32::try_from(days).ok().filter(|days| *days > 0)
    }
}

/// A date or a date-time with its offset from UTC; an empty string for now, so that a rule can take
/// back what `[policy]` says.
impl<'de> Deserialize<'de> for RequiredFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Moment(toml::value::Datetime),
            Text(String),
        }
        let wrong = || {
            D::Error::custom(
                "expected a date such as 2026-12-01, or with a time and its offset, \
                 2026-12-01T08:00:00+01:00, without quotes",
            )
        };
        let moment = match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Text(text) if text.is_empty() => return Ok(Self::default()),
            Written::Text(_) => return Err(wrong()),
            Written::Moment(moment) => moment,
        };
        let written = moment.to_string();
        let begins = match (moment.date, moment.time, moment.offset) {
            (Some(_), None, None) => written.parse().map(Begins::On).ok(),
            (Some(_), Some(_), Some(_)) => written.parse().map(Begins::At).ok(),
            _ => None,
        };
        begins.map(|begins| Self { written, begins }).ok_or_else(wrong)
    }
}
