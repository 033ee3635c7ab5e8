//! The answers for programs: one object each, as scripts rely on them.

pub mod helpdesk;
mod import;

use std::borrow::Cow;

use mfa_protocol::Secret;
use mfa_protocol::message::{
    Added, Checked, CodeStatus, DeviceStatus, Explained, ExplainedRule, FullStatus, Initialised,
    Key, ListedDevice, ListedUser, MadeToken, Outcome, RememberedLogin, TokenStatus,
};
use serde::Serialize;
use zeroize::Zeroizing;

use self::helpdesk::Bypass;
pub use self::import::{ExportedAnswer, ImportedAnswer};
use crate::text::{self, shown};
use crate::time::rfc3339;

/// `answer` as one line.
pub fn line(answer: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *line, answer)?;
    line.push(b'\n');
    Ok(line)
}

/// Of `add`.
#[derive(Serialize)]
pub struct AddedAnswer<'a> {
    user: &'a str,
    uid: u32,
    device: Device<'a>,
    secret: Cow<'a, str>,
    uri: Cow<'a, str>,
    backup_codes: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Device<'a> {
    id: u32,
    label: &'a str,
    kind: &'static str,
}

impl<'a> From<&'a Added> for AddedAnswer<'a> {
    fn from(added: &'a Added) -> Self {
        Self {
            user: &added.user,
            uid: added.uid,
            device: Device { id: added.id, label: &added.label, kind: added.kind.name() },
            secret: shown(&added.secret),
            uri: shown(&added.uri),
            backup_codes: added.backup_codes.iter().map(shown).collect(),
        }
    }
}

/// Of `init`.
#[derive(Serialize)]
pub struct InitialisedAnswer<'a> {
    store: &'a str,
    key_file: &'a str,
    made: bool,
}

impl<'a> From<&'a Initialised> for InitialisedAnswer<'a> {
    fn from(it: &'a Initialised) -> Self {
        Self { store: &it.store, key_file: &it.key_file, made: it.made }
    }
}

/// Of `show-key`.
#[derive(Serialize)]
pub struct KeyAnswer<'a> {
    user: &'a str,
    label: &'a str,
    secret: Cow<'a, str>,
    uri: Cow<'a, str>,
}

impl<'a> From<&'a Key> for KeyAnswer<'a> {
    fn from(key: &'a Key) -> Self {
        Self {
            user: &key.user,
            label: &key.label,
            secret: shown(&key.secret),
            uri: shown(&key.uri),
        }
    }
}

/// Of `codes new`.
#[derive(Serialize)]
pub struct NewCodesAnswer<'a> {
    user: &'a str,
    backup_codes: Vec<Cow<'a, str>>,
}

impl<'a> NewCodesAnswer<'a> {
    pub fn new(user: &'a str, codes: &'a [Secret]) -> Self {
        Self { user, backup_codes: codes.iter().map(shown).collect() }
    }
}

/// Of `invite`.
#[derive(Serialize)]
pub struct InvitedAnswer<'a> {
    user: &'a str,
    code: Cow<'a, str>,
    expires: String,
}

impl<'a> InvitedAnswer<'a> {
    pub fn new(user: &'a str, code: &'a Secret, expires: u64) -> Self {
        Self { user, code: shown(code), expires: rfc3339(expires) }
    }
}

/// Of `codes`.
#[derive(Serialize)]
pub struct CodesAnswer<'a> {
    user: &'a str,
    codes: Vec<Code<'a>>,
}

#[derive(Serialize)]
struct Code<'a> {
    number: u32,
    used_at: Option<String>,
    used_from: Option<&'a str>,
}

impl<'a> CodesAnswer<'a> {
    pub fn new(user: &'a str, codes: &'a [CodeStatus]) -> Self {
        let codes = codes.iter().map(|code| Code {
            number: code.number,
            used_at: code.used_at.map(rfc3339),
            used_from: code.used_from.as_deref(),
        });
        Self { user, codes: codes.collect() }
    }
}

/// Of `token new`.
#[derive(Serialize)]
pub struct MadeTokenAnswer<'a> {
    user: &'a str,
    token: Cow<'a, str>,
    name: &'a str,
    expires: String,
    from: &'a [String],
    services: &'a [String],
}

impl<'a> From<&'a MadeToken> for MadeTokenAnswer<'a> {
    fn from(made: &'a MadeToken) -> Self {
        Self {
            user: &made.user,
            token: shown(&made.secret),
            name: &made.token.name,
            expires: rfc3339(made.token.expires),
            from: &made.token.networks,
            services: &made.token.services,
        }
    }
}

/// Of `token list`.
#[derive(Serialize)]
pub struct TokensAnswer<'a> {
    user: &'a str,
    tokens: Vec<Token<'a>>,
}

#[derive(Serialize)]
struct Token<'a> {
    name: &'a str,
    made: String,
    expires: String,
    from: &'a [String],
    services: &'a [String],
    last_used: Option<String>,
    last_from: Option<&'a str>,
}

impl<'a> TokensAnswer<'a> {
    pub fn new(user: &'a str, tokens: &'a [TokenStatus]) -> Self {
        let tokens = tokens.iter().map(|token| Token {
            name: &token.name,
            made: rfc3339(token.made),
            expires: rfc3339(token.expires),
            from: &token.networks,
            services: &token.services,
            last_used: token.last_used.map(rfc3339),
            last_from: token.last_from.as_deref(),
        });
        Self { user, tokens: tokens.collect() }
    }
}

/// Of `remembered`.
#[derive(Serialize)]
pub struct RememberedAnswer<'a> {
    user: &'a str,
    remembered: Vec<Login<'a>>,
}

#[derive(Serialize)]
struct Login<'a> {
    number: u32,
    service: &'a str,
    from: &'a str,
    by: &'static str,
    since: String,
    until: String,
    last_used: Option<String>,
}

impl<'a> RememberedAnswer<'a> {
    pub fn new(user: &'a str, logins: &'a [RememberedLogin]) -> Self {
        let logins = logins.iter().map(|login| Login {
            number: login.number,
            service: &login.service,
            from: &login.from,
            by: login.by.name(),
            since: rfc3339(login.since),
            until: rfc3339(login.until),
            last_used: login.last_used.map(rfc3339),
        });
        Self { user, remembered: logins.collect() }
    }
}

/// Of `status`.
#[derive(Serialize)]
pub struct StatusAnswer<'a> {
    user: &'a str,
    uid: u32,
    enrolled: bool,
    devices: Vec<EnrolledDevice<'a>>,
    backup_codes_left: u32,
    lockout: Lockout,
    bypass: Option<Bypass>,
    required: bool,
}

#[derive(Serialize)]
struct EnrolledDevice<'a> {
    id: u32,
    label: &'a str,
    kind: &'static str,
    default: bool,
    added: String,
    last_used: Option<String>,
    last_from: Option<&'a str>,
    drift: i32,
    failures: u32,
    disabled: bool,
}

#[derive(Serialize)]
struct Lockout {
    failures: u32,
    locked_until: Option<String>,
}

impl<'a> From<&'a FullStatus> for StatusAnswer<'a> {
    fn from(all: &'a FullStatus) -> Self {
        let FullStatus { status, bypass, required } = all;
        Self {
            user: &status.user,
            uid: status.uid,
            enrolled: !status.devices.is_empty(),
            devices: status.devices.iter().map(EnrolledDevice::from).collect(),
            backup_codes_left: status.backup_codes_left,
            lockout: Lockout {
                failures: status.failures,
                locked_until: status.locked_until.map(rfc3339),
            },
            bypass: bypass.map(Bypass::from),
            required: *required,
        }
    }
}

impl<'a> From<&'a DeviceStatus> for EnrolledDevice<'a> {
    fn from(device: &'a DeviceStatus) -> Self {
        Self {
            id: device.id,
            label: &device.label,
            kind: device.kind.name(),
            default: device.default,
            added: rfc3339(device.added),
            last_used: device.last_used.map(rfc3339),
            last_from: device.last_from.as_deref(),
            drift: device.drift,
            failures: device.failures,
            disabled: device.disabled,
        }
    }
}

/// Of `users`.
#[derive(Serialize)]
pub struct UsersAnswer<'a> {
    users: Vec<Listed<'a>>,
}

/// What is not known, since there is a problem, is null: it is not for a script to take that for nothing.
#[derive(Serialize)]
struct Listed<'a> {
    user: Option<&'a str>,
    uid: u32,
    devices: Option<Vec<UsersDevice<'a>>>,
    backup_codes_left: Option<u32>,
    tokens: Option<u32>,
    last_used: Option<String>,
    last_from: Option<&'a str>,
    lockout: Option<Lockout>,
    bypass: Option<Bypass>,
    required: Option<bool>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct UsersDevice<'a> {
    label: &'a str,
    kind: &'static str,
    default: bool,
    disabled: bool,
    last_used: Option<String>,
}

impl<'a> UsersAnswer<'a> {
    pub fn new(users: &'a [ListedUser]) -> Self {
        Self { users: users.iter().map(Listed::from).collect() }
    }
}

impl<'a> From<&'a ListedUser> for Listed<'a> {
    fn from(listed: &'a ListedUser) -> Self {
        let known = listed.standing.as_ref().ok();
        let lockout = known.map(|known| Lockout {
            failures: known.failures,
            locked_until: known.locked_until.map(rfc3339),
        });
        Self {
            user: listed.user.as_deref(),
            uid: listed.uid,
            devices: known.map(|known| known.devices.iter().map(UsersDevice::from).collect()),
            backup_codes_left: known.map(|known| known.backup_codes_left),
            tokens: known.map(|known| known.tokens),
            last_used: known.and_then(|known| known.last_used).map(rfc3339),
            last_from: known.and_then(|known| known.last_from.as_deref()),
            lockout,
            bypass: known.and_then(|known| known.bypass).map(Bypass::from),
            required: known.map(|known| known.required),
            problem: listed.standing.as_ref().err().map(text::problem),
        }
    }
}

impl<'a> From<&'a ListedDevice> for UsersDevice<'a> {
    fn from(device: &'a ListedDevice) -> Self {
        Self {
            label: &device.label,
            kind: device.kind.name(),
            default: device.default,
            disabled: device.disabled,
            last_used: device.last_used.map(rfc3339),
        }
    }
}

/// Of `test` and `judge`.
#[derive(Serialize)]
pub struct OutcomeAnswer<'a> {
    user: &'a str,
    outcome: &'static str,
    factor: Option<&'a str>,
    label: Option<&'a str>,
}

impl<'a> OutcomeAnswer<'a> {
    /// `asked` is the name that was asked about, for who is nobody's user.
    pub fn new(asked: &'a str, outcome: &'a Outcome) -> Self {
        Self {
            user: outcome.user.as_deref().unwrap_or(asked),
            outcome: outcome.verdict.name(),
            factor: outcome.factor.as_deref(),
            label: outcome.label.as_deref(),
        }
    }
}

/// Of `remove`, `default`, `token revoke`, `forget`, `unlock`, `reset`, `bypass --revoke`, `disable`, `enable` and
/// `require`.
#[derive(Serialize)]
pub struct DoneAnswer<'a> {
    user: &'a str,
    done: bool,
}

impl<'a> DoneAnswer<'a> {
    pub fn new(user: &'a str) -> Self {
        Self { user, done: true }
    }
}

/// Of `check`.
#[derive(Serialize)]
pub struct CheckedAnswer<'a> {
    path: &'a str,
    exists: bool,
    rules: u32,
    warnings: &'a [String],
}

impl<'a> From<&'a Checked> for CheckedAnswer<'a> {
    fn from(checked: &'a Checked) -> Self {
        let Checked { path, exists, rules, warnings } = checked;
        Self { path, exists: *exists, rules: *rules, warnings }
    }
}

/// Of `explain`.
#[derive(Serialize)]
pub struct ExplainedAnswer<'a> {
    user: &'a str,
    uid: u32,
    enrolled: Option<bool>,
    service: &'a str,
    source: &'a str,
    console: bool,
    at: String,
    local: Option<&'a str>,
    rule: Option<HeldRule<'a>>,
    passed_over: Vec<PassedOver<'a>>,
    requirement: &'a str,
    reason: Option<&'a str>,
    notice: Option<&'a str>,
    prompt: Option<&'a str>,
    methods: &'a [String],
    outside: bool,
    remember: u64,
    required: Option<bool>,
}

#[derive(Serialize)]
struct HeldRule<'a> {
    number: u32,
    name: Option<&'a str>,
    line: u32,
}

#[derive(Serialize)]
struct PassedOver<'a> {
    #[serde(flatten)]
    rule: HeldRule<'a>,
    /// The key that does not match.
    mismatch: &'a str,
}

impl<'a> From<&'a ExplainedRule> for HeldRule<'a> {
    fn from(rule: &'a ExplainedRule) -> Self {
        Self { number: rule.number, name: rule.name.as_deref(), line: rule.line }
    }
}

impl<'a> From<&'a Explained> for ExplainedAnswer<'a> {
    fn from(it: &'a Explained) -> Self {
        let passed_over = it.rules.iter().filter_map(|rule| {
            let mismatch = rule.mismatch.as_deref()?;
            Some(PassedOver { rule: rule.into(), mismatch })
        });
        Self {
            user: &it.user,
            uid: it.uid,
            enrolled: it.enrolled,
            service: &it.service,
            source: &it.source,
            console: it.console,
            at: rfc3339(it.at),
            local: it.local.as_deref(),
            rule: it.rules.last().filter(|rule| rule.mismatch.is_none()).map(HeldRule::from),
            passed_over: passed_over.collect(),
            requirement: &it.requirement,
            reason: it.reason.as_deref(),
            notice: it.notice.as_deref(),
            prompt: it.prompt.as_deref(),
            methods: &it.methods,
            outside: it.outside,
            remember: it.remember,
            required: it.required,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manual::{entries, under};
    use mfa_protocol::Verdict;
    use mfa_protocol::message::{
        BypassStatus, DeviceKind, Failure, FailureKind, Standing, Status, Tie,
    };
    use serde_json::Value;
    use std::collections::BTreeSet;

    const MANUAL: &str = include_str!("../../doc/man/mfa-setup.1");

    /// The answer of `command`, whose keys are those that the manual page has.
    pub(crate) fn written(command: &str, answer: &impl Serialize) -> String {
        let written = String::from_utf8(line(answer).unwrap().to_vec()).unwrap();
        let entries = entries(under(MANUAL, ".SH JSON"));
        let of_command = |tag: &str| tag.split(", ").any(|name| name == command);
        let entry = entries.iter().find(|(tag, _)| of_command(tag));
        let (_, said) = entry.unwrap_or_else(|| panic!("{command} is not in the manual"));
        let documented: BTreeSet<_> = said.split('"').skip(1).step_by(2).collect();
        let value: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(keys(&value), documented.into_iter().map(str::to_owned).collect(), "{command}");
        written
    }

    fn keys(value: &Value) -> BTreeSet<String> {
        match value {
            Value::Object(object) => {
                let below = object.values().flat_map(keys);
                object.keys().cloned().chain(below).collect()
            }
            Value::Array(items) => items.iter().flat_map(keys).collect(),
            _ => BTreeSet::new(),
        }
    }

    #[test]
    fn a_status_is_written_as_the_interface_says() {
        let status = Status {
            user: "alice".into(),
            uid: 1000,
            devices: vec![DeviceStatus {
                id: 1,
                label: "phone".into(),
                kind: DeviceKind::Totp,
                default: true,
                added: 1_795_314_688,
                last_used: None,
                last_from: None,
                drift: -1,
                failures: 0,
                disabled: false,
            }],
            backup_codes_left: 10,
            failures: 3,
            locked_until: Some(0),
        };
        let bypass = Some(BypassStatus { uses_left: 2, expires: 60 });
        let status = FullStatus { status, bypass, required: true };
        assert_eq!(
            written("status", &StatusAnswer::from(&status)),
            "{\"user\":\"alice\",\"uid\":1000,\"enrolled\":true,\"devices\":[{\"id\":1,\
             \"label\":\"phone\",\"kind\":\"totp\",\"default\":true,\
             \"added\":\"2026-11-22T02:31:28Z\",\"last_used\":null,\"last_from\":null,\
             \"drift\":-1,\"failures\":0,\"disabled\":false}],\"backup_codes_left\":10,\
             \"lockout\":{\"failures\":3,\"locked_until\":\"1970-01-01T00:00:00Z\"},\
             \"bypass\":{\"uses_left\":2,\"expires\":\"1970-01-01T00:01:00Z\"},\"required\":true}\n"
        );
    }

    #[test]
    fn of_users_what_is_not_known_is_null_and_why() {
        let phone = ListedDevice {
            label: "pho\nne".into(),
            kind: DeviceKind::Totp,
            default: true,
            disabled: false,
            last_used: Some(0),
        };
        let standing = Standing {
            devices: vec![phone],
            backup_codes_left: 9,
            tokens: 2,
            last_used: Some(60),
            last_from: Some("local".into()),
            failures: 3,
            locked_until: Some(1_795_314_688),
            bypass: Some(BypassStatus { uses_left: 1, expires: 60 }),
            required: true,
        };
        let failure =
            Failure { kind: FailureKind::Unusable, error: "no".into(), hint: "look".into() };
        let users = [
            ListedUser { uid: 1000, user: Some("alice".into()), standing: Ok(standing) },
            ListedUser { uid: 1001, user: None, standing: Err(failure) },
        ];
        assert_eq!(
            written("users", &UsersAnswer::new(&users)),
            "{\"users\":[{\"user\":\"alice\",\"uid\":1000,\"devices\":[{\"label\":\"pho\\nne\",\
             \"kind\":\"totp\",\"default\":true,\"disabled\":false,\
             \"last_used\":\"1970-01-01T00:00:00Z\"}],\"backup_codes_left\":9,\"tokens\":2,\
             \"last_used\":\"1970-01-01T00:01:00Z\",\"last_from\":\"local\",\
             \"lockout\":{\"failures\":3,\"locked_until\":\"2026-11-22T02:31:28Z\"},\
             \"bypass\":{\"uses_left\":1,\"expires\":\"1970-01-01T00:01:00Z\"},\"required\":true,\
             \"problem\":null},{\"user\":null,\"uid\":1001,\"devices\":null,\
             \"backup_codes_left\":null,\"tokens\":null,\"last_used\":null,\"last_from\":null,\
             \"lockout\":null,\"bypass\":null,\"required\":null,\"problem\":\"no; look\"}]}\n"
        );
        let nobody = String::from_utf8(line(&UsersAnswer::new(&[])).unwrap().to_vec()).unwrap();
        assert_eq!(nobody, "{\"users\":[]}\n");
    }

    #[test]
    fn an_enrolment_carries_key_uri_and_codes() {
        let added = Added {
            user: "alice".into(),
            uid: 1000,
            id: 2,
            label: "to\nken".into(),
            kind: DeviceKind::Hotp,
            secret: "JBSW".into(),
            uri: "otpauth://hotp/x".into(),
            backup_codes: vec!["aaaa-bbbb".into()],
            codes_shown: false,
        };
        assert_eq!(
            written("add", &AddedAnswer::from(&added)),
            "{\"user\":\"alice\",\"uid\":1000,\"device\":{\"id\":2,\"label\":\"to\\nken\",\
             \"kind\":\"hotp\"},\"secret\":\"JBSW\",\"uri\":\"otpauth://hotp/x\",\
             \"backup_codes\":[\"aaaa-bbbb\"]}\n"
        );
    }

    #[test]
    fn a_token_is_written_with_its_scope_and_lists_never_show_it() {
        let token = TokenStatus {
            name: "backup".into(),
            made: 0,
            expires: 1_795_314_688,
            networks: vec!["10.0.0.0/8".into()],
            services: Vec::new(),
            last_used: Some(60),
            last_from: Some("10.0.0.7".into()),
        };
        let made = MadeToken { user: "alice".into(), secret: "mfatok-a".into(), token };
        assert_eq!(
            written("token new", &MadeTokenAnswer::from(&made)),
            "{\"user\":\"alice\",\"token\":\"mfatok-a\",\"name\":\"backup\",\
             \"expires\":\"2026-11-22T02:31:28Z\",\"from\":[\"10.0.0.0/8\"],\"services\":[]}\n"
        );
        assert_eq!(
            written("token list", &TokensAnswer::new("alice", &[made.token])),
            "{\"user\":\"alice\",\"tokens\":[{\"name\":\"backup\",\
             \"made\":\"1970-01-01T00:00:00Z\",\"expires\":\"2026-11-22T02:31:28Z\",\
             \"from\":[\"10.0.0.0/8\"],\"services\":[],\
             \"last_used\":\"1970-01-01T00:01:00Z\",\"last_from\":\"10.0.0.7\"}]}\n"
        );
    }

    #[test]
    fn remembered_logins_say_by_what_they_are_known() {
        let login = RememberedLogin {
            number: 3,
            service: "sshd".into(),
            from: "192.0.2.7".into(),
            by: Tie::Key,
            since: 0,
            until: 60,
            last_used: None,
        };
        assert_eq!(
            written("remembered", &RememberedAnswer::new("alice", &[login])),
            "{\"user\":\"alice\",\"remembered\":[{\"number\":3,\"service\":\"sshd\",\
             \"from\":\"192.0.2.7\",\"by\":\"key\",\"since\":\"1970-01-01T00:00:00Z\",\
             \"until\":\"1970-01-01T00:01:00Z\",\"last_used\":null}]}\n"
        );
        let names = [Tie::Key, Tie::Source, Tie::Session].map(Tie::name);
        assert_eq!(names, ["key", "address", "session"]);
    }

    #[test]
    fn the_small_answers() {
        let outcome = Outcome { verdict: Verdict::Denied, user: None, factor: None, label: None };
        assert_eq!(
            written("judge", &OutcomeAnswer::new("nobody", &outcome)),
            "{\"user\":\"nobody\",\"outcome\":\"denied\",\"factor\":null,\"label\":null}\n"
        );
        assert_eq!(
            written("reset", &DoneAnswer::new("alice")),
            "{\"user\":\"alice\",\"done\":true}\n"
        );
        let codes = [CodeStatus { number: 1, used_at: Some(0), used_from: Some("local".into()) }];
        assert_eq!(
            written("codes", &CodesAnswer::new("alice", &codes)),
            "{\"user\":\"alice\",\"codes\":[{\"number\":1,\"used_at\":\"1970-01-01T00:00:00Z\",\
             \"used_from\":\"local\"}]}\n"
        );
        assert_eq!(
            written("codes new", &NewCodesAnswer::new("alice", &["aaaa".into()])),
            "{\"user\":\"alice\",\"backup_codes\":[\"aaaa\"]}\n"
        );
    }

    #[test]
    fn what_root_alone_asks_for() {
        let key = Key {
            user: "alice".into(),
            label: "phone".into(),
            secret: "JBSW".into(),
            uri: "otpauth://totp/x".into(),
        };
        assert_eq!(
            written("show-key", &KeyAnswer::from(&key)),
            "{\"user\":\"alice\",\"label\":\"phone\",\"secret\":\"JBSW\",\
             \"uri\":\"otpauth://totp/x\"}\n"
        );
        assert_eq!(
            written("invite", &InvitedAnswer::new("alice", &"aaaa".into(), 0)),
            "{\"user\":\"alice\",\"code\":\"aaaa\",\"expires\":\"1970-01-01T00:00:00Z\"}\n"
        );
        let it = Initialised { store: "/s".into(), key_file: "/k".into(), made: true };
        assert_eq!(
            written("init", &InitialisedAnswer::from(&it)),
            "{\"store\":\"/s\",\"key_file\":\"/k\",\"made\":true}\n"
        );
        let warnings = vec!["odd".to_owned()];
        let checked = Checked { path: "/p".into(), exists: true, rules: 2, warnings };
        assert_eq!(
            written("check", &CheckedAnswer::from(&checked)),
            "{\"path\":\"/p\",\"exists\":true,\"rules\":2,\"warnings\":[\"odd\"]}\n"
        );
    }

    #[test]
    fn an_explanation_has_the_rule_that_holds_and_those_before_it() {
        let rule = |number, mismatch: Option<&str>| ExplainedRule {
            number,
            name: None,
            line: 7,
            mismatch: mismatch.map(str::to_owned),
        };
        let it = Explained {
            user: "alice".into(),
            uid: 1000,
            enrolled: Some(true),
            service: "sshd".into(),
            source: "192.0.2.7".into(),
            console: false,
            at: 0,
            local: None,
            rules: vec![rule(1, Some("from")), rule(2, None)],
            rules_left_out: 0,
            requirement: "challenge".into(),
            reason: None,
            notice: None,
            prompt: Some("Code: ".into()),
            methods: vec!["totp".into()],
            outside: false,
            remember: 60,
            required: Some(true),
        };
        assert_eq!(
            written("explain", &ExplainedAnswer::from(&it)),
            "{\"user\":\"alice\",\"uid\":1000,\"enrolled\":true,\"service\":\"sshd\",\
             \"source\":\"192.0.2.7\",\"console\":false,\"at\":\"1970-01-01T00:00:00Z\",\
             \"local\":null,\"rule\":{\"number\":2,\"name\":null,\"line\":7},\
             \"passed_over\":[{\"number\":1,\"name\":null,\"line\":7,\"mismatch\":\"from\"}],\
             \"requirement\":\"challenge\",\"reason\":null,\"notice\":null,\
             \"prompt\":\"Code: \",\"methods\":[\"totp\"],\"outside\":false,\"remember\":60,\
             \"required\":true}\n"
        );
    }
}
