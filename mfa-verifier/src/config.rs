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
            verify_new_address = false
            new_address_exempts_enrolled = false
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
            [email]
            from = ""
            sendmail = "/usr/sbin/sendmail"
            smtp = ""
            password_file = ""
            ca_file = ""
            timeout = 8
            code_lifetime = 5
            per_hour = 5
            address = ""
        "#;
        assert_eq!(parse(written).unwrap(), Config::default());
    }

    #[test]
    fn a_mistake_in_a_rule_is_named_with_its_place() {
        // Each in the second rule, whose header is line 5.
        let rows = [
            ("user = [\"bob\"]", ":6:1: ", "unknown field `user`"),
            ("name = \"\"", ":6:8: ", "no name"),
            ("users = []", ":6:9: ", "nobody"),
            ("users = [\"a\\n\"]", ":6:10: ", "no name"),
            ("groups = \"wheel\"", ":6:10: ", "invalid type"),
            ("services = []", ":6:12: ", "matches nothing"),
            ("from = []", ":6:8: ", "matches nothing"),
            ("from = [\"0.0.0.0/33\"]", ":6:9: ", "no network"),
            ("console = \"yes\"", ":6:11: ", "invalid type"),
            ("time = []", ":6:8: ", "never"),
            ("time = [\"Mon-Fri\", \"8-18\"]", ":6:20: ", "no time such as"),
            ("mode = \"of\"", ":6:8: ", "unknown variant `of`"),
            ("help = \"a\\tb\"", ":6:8: ", "control"),
            ("required_from = \"soon\"", ":6:17: ", "a date such as"),
            ("trusted = [\"1.2.3.4/8\"]", ":6:12: ", "bits set"),
            ("allow_from = [7]", ":6:15: ", "invalid type"),
            ("backup_codes_anywhere = \"\"", ":6:25: ", "invalid type"),
            ("methods = [\"totp\", \"sms\"]", ":6:20: ", "unknown variant `sms`"),
            ("window = 11", ":6:10: ", "a number from 0 to 10"),
            ("lockout = { per_source = 0 }", ":6:26: ", "a number from 1 to 100"),
            ("lockout = { per_users = 1 }", ":6:13: ", "unknown field `per_users`"),
            ("users = [\"bob\"]", ":5:1: ", "sets nothing"),
            ("", ":5:1: ", "sets nothing"),
            (
                "mode = \"off\"\n[[rule]]\nusers = [\"x\"]\nmode = \"off\"",
                ":5:1: ",
                "only the last",
            ),
        ];
        let first = "[[rule]]\nusers = [\"alice\"]\nmode = \"off\"\n\n[[rule]]\n";
        for (text, place, message) in rows {
            let error = parse(&format!("{first}{text}\n")).unwrap_err();
            assert!(error.contains(place), "{text:?}: {error}");
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn every_key_of_a_rule_is_accepted_and_the_last_may_be_for_everybody() {
        let text = r#"
            [[rule]]
            name = "all of it"
            users = ["alice", "müller"]
            groups = ["wheel"]
            services = ["sshd", "SUDO"]
            from = ["192.0.2.0/24", "2001:db8::/32"]
            console = false
            time = ["Mon-Fri 08:00-18:00"]
            mode = "optional"
            help = "Ask Bob."
            required_from = 2026-12-01
            trusted = ["192.0.2.7"]
            allow_from = ["192.0.2.0/24"]
            backup_codes_anywhere = true
            methods = ["hotp", "backup_code"]
            remember = "12h"
            without_key = true
            remember_session = "10m"
            verify_new_address = true
            new_address_exempts_enrolled = true
            window = 0
            lockout = { per_source = 1, per_user = 2, first_wait = 3, longest_wait = 4, disable_after = 5, backup_codes_per_hour = 6, known_source_days = 7 }
            [[rule]]
            required_from = 2026-12-01T00:00:00Z
        "#;
        let config = parse(text).unwrap();
        assert_eq!(config.rules.len(), 2);
        assert_eq!((config.rules[0].line, config.rules[1].line), (2, 24));
        let changed = config.rules[0].applied_to(&config);
        let lockout = LockoutConfig {
            per_source: 1,
            per_user: 2,
            first_wait: 3,
            longest_wait: 4,
            disable_after: 5,
            backup_codes_per_hour: 6,
            known_source_days: 7,
        };
        assert_eq!(changed.lockout, lockout);
        assert_eq!((changed.policy.mode, changed.totp.window), (Mode::Optional, 0));
        assert_eq!(changed.policy.methods.names(), ["hotp", "backup_code"]);
        assert!(changed.policy.backup_codes_anywhere);
        let remembering = &changed.policy;
        assert_eq!((remembering.remember, remembering.remember_session), (43_200, 600));
        assert!(remembering.without_key);
        assert!(remembering.verify_new_address && remembering.new_address_exempts_enrolled);
        let from = changed.policy.required_from;
        assert_eq!(from.written(), "2026-12-01");
        assert!(from.is_local());
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
            ("[email]\nfrom = \"mfa\"", ":2:8: ", "exactly one @"),
            ("[email]\nfrom = \"a@b\\nBcc: c@d\"", ":2:8: ", "control"),
            ("[email]\nsmtp = \"smtp://mail\"", ":2:8: ", "for this host"),
            ("[email]\nsendmail = \"sendmail\"", ":2:12: ", "an absolute path"),
            ("[email]\nca_file = \"ca.pem\"", ":2:11: ", "an absolute path"),
            ("[email]\ntimeout = 9", ":2:11: ", "a number from 1 to 8"),
            ("[email]\ncode_lifetime = 0", ":2:17: ", "a number from 1 to 10"),
            ("[email]\nper_hour = 21", ":2:12: ", "a number from 1 to 20"),
            ("[email]\naddress = \"all@b\"", ":2:11: ", "{user} must stand in it"),
            ("[email]\naddress = \"{user}@b\"", ":1:", "without from"),
            ("[email]\nfrom = \"a@b\"\nsmtp = \"smtps://u@h\"", ":1:", "password_file belongs"),
            ("[email]\nfrom = \"a@b\"\npassword_file = \"/p\"", ":1:", "password_file belongs"),
            ("[policy]\nservices = [\"ss/hd\"]", ":2:13: ", "no name of a PAM service"),
            ("[policy]\nservices = \"sshd\"", ":2:12: ", "invalid type"),
            ("[policy]\nrequired_from = \"2026-12-01\"", ":2:17: ", "without quotes"),
            ("[policy]\nrequired_from = 2026-12-01T08:00:00", ":2:17: ", "its offset"),
            ("[policy]\nrequired_from = 08:00:00", ":2:17: ", "a date such as"),
            ("[policy]\ntrusted = [\"10.0.0.0/8\", \"10.0.0.1/8\"]", ":2:26: ", "10.0.0.0/8"),
            ("[policy]\ntrusted = \"10.0.0.0/8\"", ":2:11: ", "invalid type"),
            ("[policy]\nallow_from = [\"office\"]", ":2:15: ", "no network"),
            ("[policy]\nallow_from = [\"fe80::1%eth0\"]", ":2:15: ", "scope"),
            ("[policy]\nbackup_codes_anywhere = 1", ":2:25: ", "invalid type"),
            ("[policy]\nmethods = []", ":2:11: ", "nobody"),
            ("[policy]\nmethods = [\"sms\"]", ":2:12: ", "unknown variant `sms`"),
            ("[policy]\nenrol_at_login = \"invite\"", ":2:1: ", "unknown field"),
            ("[policy]\nenrol_from = []", ":2:1: ", "unknown field"),
        ];
        for (text, place, message) in rows {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("/etc/pam_mfa/config.toml"), "{error}");
            assert!(error.contains(place), "{text:?}: {error}");
            assert!(error.contains(message), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_password_that_was_put_into_the_policy_is_not_quoted() {
        let error = parse("[email]\nsmtp = \"smtps://me:secret@mail\"").unwrap_err();
        assert!(error.contains("password_file") && !error.contains("secret"), "{error}");
    }
}
