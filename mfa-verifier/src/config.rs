//! The policy file: one parser for the verifier, `mfa-setup check` and the tests.
//!
//! Every key has a default, so a missing default file is the built-in policy (`required`). A file
//! that was named and is missing, an unknown key, a wrong type, a number out of its range, a file
//! that somebody else than root can write: each is an error that denies.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mfa_protocol::escape::is_unsafe;
use mfa_protocol::message::Algorithm;
use mfa_protocol::paths;
use mfa_protocol::trusted::{self, Untrusted};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

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

/// `[policy]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Who must give a second factor.
    pub mode: Mode,
    /// One line for every refusal, whoever it is; empty for none.
    #[serde(deserialize_with = "line")]
    pub help: String,
    /// Seconds for which a login may be remembered, if its owner says yes; 0: not at all.
    #[serde(deserialize_with = "span::<{ 14 * 86_400 }, _>")]
    pub remember: u64,
    /// Whether a login without a public key may be, by its address alone.
    pub without_key: bool,
    /// Seconds for which `sudo` and `su` are remembered in a login session; 0: not at all.
    #[serde(deserialize_with = "span::<86_400, _>")]
    pub remember_session: u64,
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

    /// What it says now.
    pub fn load(&self) -> Result<Arc<Config>, ConfigError> {
        let path = self.named.as_deref().unwrap_or(Path::new(paths::CONFIG));
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
        toml::from_str(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            content(path, line, column, error.message())
        })
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

fn within<'de, const LOW: u64, const HIGH: u64, T, D>(deserializer: D) -> Result<T, D::Error>
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
fn span<'de, const LONGEST: u64, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
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

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = line(deserializer)?;
    let path = PathBuf::from(&text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(D::Error::invalid_value(Unexpected::Str(&text), &"an absolute path"))
    }
}

fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.chars().any(is_unsafe) {
        return Err(D::Error::custom("control and invisible characters are not allowed here"));
    }
    Ok(text)
}

fn issuer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = line(deserializer)?;
    let rest = text.replace("{hostname}", "");
    if text.is_empty() || rest.contains(['{', '}', ':']) {
        let expected = "a name without colon, in which {hostname} may stand";
        return Err(D::Error::invalid_value(Unexpected::Str(&text), &expected));
    }
    Ok(text)
}

fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "sha1" => Ok(Algorithm::Sha1),
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        other => Err(D::Error::unknown_variant(other, &["sha1", "sha256", "sha512"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/pam_mfa/config.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_is_the_built_in_policy_and_it_requires() {
        let config = parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.policy.mode, Mode::Required);
    }

    #[test]
    fn the_defaults_are_those_of_the_interface() {
        let written = r#"
            [store]
            path = "/var/lib/pam_mfa"
            key_file = "/etc/pam_mfa/store.key"
            [policy]
            mode = "required"
            help = ""
            remember = "0"
            without_key = false
            remember_session = "0"
            [login]
            prompt = "Verification code: "
            echo = false
            [totp]
            issuer = "{hostname}"
            algorithm = "sha1"
            digits = 6
            period = 30
            window = 1
            resync_minutes = 10
            [hotp]
            look_ahead = 10
            resync = 100
            [backup_codes]
            count = 10
            low = 3
            [lockout]
            per_source = 5
            per_user = 10
            first_wait = 30
            longest_wait = 3600
            disable_after = 100
            backup_codes_per_hour = 10
            known_source_days = 30
        "#;
        assert_eq!(parse(written).unwrap(), Config::default());
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, seconds) in
            [("0", 0), ("1m", 60), ("90m", 5_400), ("12h", 43_200), ("14d", 1_209_600)]
        {
            let config = parse(&format!("[policy]\nremember = \"{text}\"")).unwrap();
            assert_eq!(config.policy.remember, seconds, "{text}");
        }
        let session = parse("[policy]\nremember_session = \"24h\"").unwrap();
        assert_eq!(session.policy.remember_session, 86_400);
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let rows = [
            ("[policy]\nmod = \"off\"", ":2:1: ", "unknown field `mod`"),
            ("[policy]\nmode = \"of\"", ":2:8: ", "unknown variant `of`"),
            ("[polcy]\n", ":1:2: ", "unknown field `polcy`"),
            ("[totp]\ndigits = 5", ":2:10: ", "a number from 6 to 8"),
            ("[totp]\ndigits = \"6\"", ":2:10: ", "invalid type"),
            ("[totp]\nperiod = 301", ":2:10: ", "a number from 15 to 300"),
            ("[lockout]\nper_source = 0", ":2:14: ", "a number from 1 to 100"),
            ("[lockout]\nper_user = -1", ":2:12: ", "a number from 1 to 100"),
            ("[store]\npath = \"var\"", ":2:8: ", "an absolute path"),
            ("[totp]\nissuer = \"a:b\"", ":2:10: ", "without colon"),
            ("[totp]\nissuer = \"{host}\"", ":2:10: ", "{hostname}"),
            ("[policy]\nhelp = \"a\\nb\"", ":2:8: ", "control"),
            ("[policy]\nremember = \"15d\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
            ("[policy]\nremember = \"59s\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
            ("[policy]\nremember = \"ever\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
            ("[policy]\nremember = 12", ":2:12: ", "invalid type"),
            ("[policy]\nwithout_key = \"yes\"", ":2:15: ", "invalid type"),
            ("[policy]\nremember_session = \"25h\"", ":2:20: ", "a time from \"1m\" to \"1d\""),
            ("[totp]\nalgorithm = \"md5\"", ":2:13: ", "unknown variant `md5`"),
            ("[policy\n", ":1:8: ", ""),
        ];
        for (text, place, message) in rows {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("/etc/pam_mfa/config.toml"), "{error}");
            assert!(error.contains(place), "{text:?}: {error}");
            assert!(error.contains(message), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
