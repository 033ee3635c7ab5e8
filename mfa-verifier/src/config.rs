//! The policy file: one parser for the verifier, `mfa-setup check` and the tests.
//!
//! Every key has a default, so a missing default file is the built-in policy (`required`). A file
//! that was named and is missing, an unknown key, a wrong type, a number out of its range, a file
//! that somebody else than root can write: each is an error that denies.

mod email;
mod fields;
mod hours;
mod names;
mod network;
mod policy;
mod rule;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mfa_protocol::message::Algorithm;
use mfa_protocol::paths;
use mfa_protocol::trusted::{self, Untrusted};
use serde::Deserialize;

pub use email::EmailConfig;
pub use hours::Hours;
pub use names::{Names, Services, service};
pub use network::{Networks, network};
pub use policy::{EnrolAtLogin, Methods, Mode, PolicyConfig, RequiredFrom};
pub use rule::{Matchers, Rule, Rules};

use fields::{absolute, algorithm, issuer, line, within};

/// Bytes of a policy file, far above any that a person wrote.
const MAX_FILE: u64 = 1024 * 1024;

/// Everything that an administrator decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where records are kept.
    pub store: StoreConfig,
    /// Who is asked.
    pub policy: PolicyConfig,
    /// How they are asked.
    pub login: LoginConfig,
    /// What users do with their own records.
    pub self_service: SelfServiceConfig,
    /// Time-based codes.
    pub totp: TotpConfig,
    /// Counter-based codes.
    pub hotp: HotpConfig,
    /// Backup codes.
    pub backup_codes: BackupCodesConfig,
    /// Budgets and waits.
    pub lockout: LockoutConfig,
    /// Codes and notices by mail.
    #[serde(deserialize_with = "email::email")]
    pub email: EmailConfig,
    /// Where a part of this is another one.
    #[serde(rename = "rule")]
    pub rules: Rules,
    /// In what a rule made of the file: the longest wait of the file.
    #[serde(skip)]
    longest_wait_elsewhere: u64,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The store's directory.
    #[serde(deserialize_with = "absolute")]
    pub path: PathBuf,
    /// The sealing key, apart from the store.
    #[serde(deserialize_with = "absolute")]
    pub key_file: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: paths::STORE.into(), key_file: paths::KEY_FILE.into() }
    }
}

/// `[login]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginConfig {
    /// What the person is asked.
    #[serde(deserialize_with = "line")]
    pub prompt: String,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self { prompt: "Verification code: ".to_owned(), echo: false }
    }
}

/// `[self_service]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfServiceConfig {
    /// What users may change of their own records.
    pub allow: Allow,
    /// By what they show who they are.
    pub reauth: Reauth,
}

/// What users may change of their own records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allow {
    /// Nothing.
    None,
    /// Enrol, where nothing is enrolled yet.
    First,
    /// Everything that is not root's.
    #[default]
    All,
}

/// By what users show who they are before a change, beside a code where they are enrolled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reauth {
    /// By what the PAM service `mfa-setup` asks for, or by an invitation.
    #[default]
    Password,
    /// By an invitation alone.
    Invite,
}

/// `[totp]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TotpConfig {
    /// The name of this host in the app; `{hostname}` stands for the host's name.
    #[serde(deserialize_with = "issuer")]
    pub issuer: String,
    /// Hash of new devices.
    #[serde(deserialize_with = "algorithm")]
    pub algorithm: Algorithm,
    /// Digits of new devices.
    #[serde(deserialize_with = "within::<6, 8, _, _>")]
    pub digits: u8,
    /// Seconds of a step of new devices.
    #[serde(deserialize_with = "within::<15, 300, _, _>")]
    pub period: u16,
    /// Steps accepted on either side of the expected one.
    #[serde(deserialize_with = "within::<0, 10, _, _>")]
    pub window: u8,
    /// How far off, in minutes, a device may be to be resynchronised at login; 0: not at all.
    #[serde(deserialize_with = "within::<0, 10, _, _>")]
    pub resync_minutes: u8,
}

impl Default for TotpConfig {
    fn default() -> Self {
        Self {
            issuer: "{hostname}".to_owned(),
            algorithm: Algorithm::Sha1,
            digits: 6,
            period: 30,
            window: 1,
            resync_minutes: 10,
        }
    }
}

/// `[hotp]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotpConfig {
    /// Counters tried beyond the expected one.
    #[serde(deserialize_with = "within::<0, 100, _, _>")]
    pub look_ahead: u16,
    /// Counters tried for two consecutive codes.
    #[serde(deserialize_with = "within::<0, 1000, _, _>")]
    pub resync: u16,
}

impl Default for HotpConfig {
    fn default() -> Self {
        Self { look_ahead: 10, resync: 100 }
    }
}

/// `[backup_codes]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupCodesConfig {
    /// Codes in a batch.
    #[serde(deserialize_with = "within::<1, 10, _, _>")]
    pub count: u8,
    /// At so many left, or fewer, every login says so.
    #[serde(deserialize_with = "within::<0, 10, _, _>")]
    pub low: u8,
}

impl Default for BackupCodesConfig {
    fn default() -> Self {
        Self { count: 10, low: 3 }
    }
}

/// `[lockout]`: zero is refused everywhere, it never means "unlimited".
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LockoutConfig {
    /// Wrong codes in a row from one source, after which it waits.
    #[serde(deserialize_with = "within::<1, 100, _, _>")]
    pub per_source: u32,
    /// Wrong codes from all sources that are not known, after which those wait.
    #[serde(deserialize_with = "within::<1, 100, _, _>")]
    pub per_user: u32,
    /// Seconds of the first wait; each further one is twice as long.
    #[serde(deserialize_with = "within::<1, 86_400, _, _>")]
    pub first_wait: u64,
    /// Seconds of the longest wait.
    #[serde(deserialize_with = "within::<1, 86_400, _, _>")]
    pub longest_wait: u64,
    /// Wrong codes after which one-time codes are refused from all but known sources. NIST
    /// SP 800-63B (5.2.2) wants at most 100.
    #[serde(deserialize_with = "within::<1, 100, _, _>")]
    pub disable_after: u32,
    /// Wrong backup codes in an hour from one source.
    #[serde(deserialize_with = "within::<1, 100, _, _>")]
    pub backup_codes_per_hour: u32,
    /// Days for which a source stays known after the user got in from it.
    #[serde(deserialize_with = "within::<1, 365, _, _>")]
    pub known_source_days: u32,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self {
            per_source: 5,
            per_user: 10,
            first_wait: 30,
            longest_wait: 3600,
            disable_after: 100,
            backup_codes_per_hour: 10,
            known_source_days: 30,
        }
    }
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file may not or cannot be read.
    #[error(transparent)]
    File(#[from] Untrusted),
    /// The file says something that is no policy. One line: `FILE:LINE:COLUMN: what`.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

impl ConfigError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::File(untrusted) => untrusted.hint(),
            Self::Content { path, .. } => {
                format!(
                    "correct {}; every key and its default is in the config.toml of the documentation",
                    path.display()
                )
            }
        }
    }
}

/// The policy file that was named, or the default one, which may be missing.
#[derive(Debug, Default)]
pub struct ConfigFile {
    named: Option<PathBuf>,
    /// What was last read, and what it says: a text that stays the same is not parsed again.
    last: Mutex<Option<(String, Arc<Config>)>>,
}

impl ConfigFile {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        Self { named, last: Mutex::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.named.as_deref().unwrap_or(Path::new(paths::CONFIG))
    }

    /// What it says now.
    pub fn load(&self) -> Result<Arc<Config>, ConfigError> {
        let path = self.path();
        let text = match read(path) {
            Err(ConfigError::File(Untrusted::Missing(_))) if self.named.is_none() => {
                return Ok(Arc::default());
            }
            text => text?,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = last.as_ref().filter(|(known, _)| *known == text) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(Config::parse(path, &text)?);
        *last = Some((text, Arc::clone(&config)));
        Ok(config)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = trusted::open_file(path)?.take(MAX_FILE + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 <= MAX_FILE => Ok(text),
        Ok(_) => Err(content(path, 1, 1, "the file is larger than 1 MiB")),
        Err(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            Err(content(path, 1, 1, "the file is not UTF-8"))
        }
        Err(source) => Err(Untrusted::Io { path: path.to_owned(), source }.into()),
    }
}

impl Config {
    /// The policy in `text`; `path` only names it in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |offset, message: &str| {
            let (line, column) = position(text, offset);
            content(path, line, column, message)
        };
        let mut config: Self = toml::from_str(text)
            .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
        config.rules.settle(text).map_err(|(offset, message)| wrong(offset, message))?;
        Ok(config)
    }

    /// The longest wait that an attempt can have been given, whichever rule held for it.
    #[must_use]
    pub fn longest_wait(&self) -> u64 {
        let here = self.lockout.longest_wait.max(self.longest_wait_elsewhere);
        self.rules.iter().filter_map(Rule::longest_wait).fold(here, u64::max)
    }

    /// The widest window by which a code can have been accepted, whichever rule held for it.
    #[must_use]
    pub fn widest_window(&self) -> u8 {
        self.rules.iter().filter_map(Rule::window).fold(self.totp.window, u8::max)
    }
}

fn content(path: &Path, line: usize, column: usize, message: &str) -> ConfigError {
    let message = message.replace('\n', "; ");
    ConfigError::Content { path: path.to_owned(), line, column, message }
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
