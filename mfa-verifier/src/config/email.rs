//! Codes and notices by mail.

use std::path::PathBuf;

use mfa_protocol::mail::Server;
use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::fields::{absolute, line, within};
use crate::mail::address::{Address, Template};
use crate::mail::server;

/// `[email]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    /// Whom mail comes from; without it none is sent.
    #[serde(deserialize_with = "unless_empty")]
    pub from: Option<Address>,
    /// The program that takes it where no server is named.
    #[serde(deserialize_with = "absolute")]
    pub sendmail: PathBuf,
    /// The server that takes it.
    #[serde(deserialize_with = "server_unless_empty")]
    pub smtp: Option<Server>,
    /// The file with the password for that server's user.
    #[serde(deserialize_with = "absolute_unless_empty")]
    pub password_file: Option<PathBuf>,
    /// Who signs that server's certificate, where it is none of those that the system trusts.
    #[serde(deserialize_with = "absolute_unless_empty")]
    pub ca_file: Option<PathBuf>,
    /// Seconds that a mailer has in all. With what else a verifier does it stays within
    /// [`mfa_protocol::VERIFIER_BOUND`].
    #[serde(deserialize_with = "within::<1, 8, _, _>")]
    pub timeout: u64,
    /// Minutes for which a code is good. NIST SP 800-63B (5.1.3.2) wants at most 10.
    #[serde(deserialize_with = "within::<1, 10, _, _>")]
    pub code_lifetime: u8,
    /// Mails with codes that a user gets in an hour from each kind of
    /// [`Sources`](crate::factor::mail_code::Sources), at most
    /// [`MOST_PER_HOUR`](crate::factor::mail_code::MOST_PER_HOUR).
    #[serde(deserialize_with = "within::<1, 10, _, _>")]
    pub per_hour: u8,
    /// The addresses of those who have not enrolled.
    #[serde(deserialize_with = "unless_empty")]
    pub address: Option<Template>,
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            from: None,
            sendmail: "/usr/sbin/sendmail".into(),
            smtp: None,
            password_file: None,
            ca_file: None,
            timeout: 8,
            code_lifetime: 5,
            per_hour: 5,
            address: None,
        }
    }
}

fn absolute_unless_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let text = line(deserializer)?;
    if text.is_empty() { Ok(None) } else { absolute(text.into_deserializer()).map(Some) }
}

/// The text is not quoted: where a password was put into it, that would show it.
fn server_unless_empty<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Server>, D::Error> {
    let text = line(d)?;
    if text.is_empty() {
        Ok(None)
    } else {
        server::parse(&text).map(Some).map_err(D::Error::custom)
    }
}

fn unless_empty<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<String, Error = String>,
    D: Deserializer<'de>,
{
    let text = line(deserializer)?;
    if text.is_empty() { Ok(None) } else { T::try_from(text).map(Some).map_err(D::Error::custom) }
}

/// What a key alone cannot show to be wrong.
pub(super) fn email<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EmailConfig, D::Error> {
    let config = EmailConfig::deserialize(deserializer)?;
    let has_user = config.smtp.as_ref().is_some_and(|server| server.user.is_some());
    if has_user != config.password_file.is_some() {
        return Err(D::Error::custom(
            "password_file belongs to a user in smtp, and the other way round",
        ));
    }
    if config.from.is_none() && config != EmailConfig::default() {
        return Err(D::Error::custom("without from no mail is sent"));
    }
    Ok(config)
}
