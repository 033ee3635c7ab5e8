//! The answers for people.

pub mod helpdesk;
mod import;

use std::borrow::Cow;
use std::fmt::Write;

use mfa_protocol::Secret;
use mfa_protocol::escape::escape;
use mfa_protocol::message::{
    Added, CodeStatus, DeviceKind, DeviceStatus, Failure, FullStatus, Initialised, Key,
    ListedDevice, ListedUser, MadeToken, Outcome, RememberedLogin, Standing, Status, TokenStatus,
};
use zeroize::Zeroizing;

use self::helpdesk::bypass;
pub use self::import::imported;
use crate::drawing::printable;
use crate::time::short;

/// A text that is wiped, with room enough that it is not copied while it grows.
pub fn roomy() -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(8 * 1024))
}

/// A secret that the verifier means to be seen: text, without a copy.
pub fn shown(secret: &Secret) -> Cow<'_, str> {
    String::from_utf8_lossy(secret.expose())
}

/// Codes, one on each line, numbered from 1.
pub fn numbered(out: &mut String, codes: &[Secret]) {
    for (number, code) in (1..).zip(codes) {
        line(out, format_args!("{number:4}  {}", shown(code)));
    }
}

/// Of `init`.
pub fn initialised(it: &Initialised) -> Zeroizing<String> {
    let (store, key_file) = (escape(&it.store), escape(&it.key_file));
    Zeroizing::new(if it.made {
        format!("Made the store {store} and its key {key_file}.\n")
    } else {
        format!("The store {store} and its key {key_file} are there already.\n")
    })
}

/// Of `add`. `key_shown`: the conversation has shown the key already.
pub fn added(added: &Added, key_shown: bool) -> Zeroizing<String> {
    let mut out = roomy();
    let (label, user) = (escape(&added.label), escape(&added.user));
    line(&mut out, format_args!("Added the {} device \"{label}\" of {user}.", added.kind.name()));
    if !key_shown && added.kind != DeviceKind::Email {
        key_and_uri(&mut out, &added.secret, &added.uri);
    }
    if !added.codes_shown && !added.backup_codes.is_empty() {
        out.push('\n');
        codes_to_keep(&mut out, &user, &added.backup_codes);
    }
    out
}

/// Of `show-key`.
pub fn key(key: &Key) -> Zeroizing<String> {
    let mut out = roomy();
    line(&mut out, format_args!("Device \"{}\" of {}", escape(&key.label), escape(&key.user)));
    key_and_uri(&mut out, &key.secret, &key.uri);
    out
}

fn key_and_uri(out: &mut String, secret: &Secret, uri: &Secret) {
    out.push_str("Key:");
    for (index, character) in shown(secret).chars().enumerate() {
        if index % 4 == 0 {
            out.push(' ');
        }
        out.push(character);
    }
    out.push('\n');
    line(out, format_args!("URI: {}", shown(uri)));
}

/// Of `codes new`.
pub fn new_codes(user: &str, codes: &[Secret]) -> Zeroizing<String> {
    let mut out = roomy();
    codes_to_keep(&mut out, &escape(user), codes);
    out
}

fn codes_to_keep(out: &mut String, user: &str, codes: &[Secret]) {
    line(out, format_args!("Backup codes of {user}, each good once, shown only now:"));
    out.push('\n');
    numbered(out, codes);
}

/// Of `codes`.
pub fn codes(user: &str, codes: &[CodeStatus]) -> Zeroizing<String> {
    let mut out = roomy();
    let user = escape(user);
    if codes.is_empty() {
        line(&mut out, format_args!("{user} has no backup codes."));
        return out;
    }
    let left = codes.iter().filter(|code| code.used_at.is_none()).count();
    line(&mut out, format_args!("Backup codes of {user}: {left} of {} left.", codes.len()));
    out.push('\n');
    for code in codes {
        match code.used_at {
            None => line(&mut out, format_args!("{:4}  left", code.number)),
            Some(at) => {
                let from = code.used_from.as_deref().map_or("unknown".into(), escape);
                line(
                    &mut out,
                    format_args!("{:4}  used {} UTC from {from}", code.number, short(at)),
                );
            }
        }
    }
    out
}

/// Of `status`.
pub fn status(all: &FullStatus) -> Zeroizing<String> {
    let mut out = roomy();
    let status = &all.status;
    let enrolled = if status.devices.is_empty() { "no" } else { "yes" };
    line(&mut out, format_args!("User:          {} (uid {})", escape(&status.user), status.uid));
    line(&mut out, format_args!("Enrolled:      {enrolled}"));
    line(&mut out, format_args!("Backup codes:  {} left", status.backup_codes_left));
    line(&mut out, format_args!("Lockout:       {}", lockout(status)));
    if let Some(code) = all.bypass {
        line(&mut out, format_args!("Bypass code:   {}", bypass(code)));
    }
    if all.required {
        line(
            &mut out,
            format_args!("Required:      of this user, also where policy makes it optional"),
        );
    }
    if !status.devices.is_empty() {
        out.push('\n');
        out.push_str(&devices(&status.devices));
    }
    out
}

fn lockout(status: &Status) -> String {
    let failures = match status.failures {
        0 => "no failures".to_owned(),
        1 => "1 failure".to_owned(),
        more => format!("{more} failures"),
    };
    match status.locked_until {
        None => failures,
        Some(until) => format!("{failures}, locked until {} UTC", short(until)),
    }
}

const COLUMNS: [&str; 8] =
    ["LABEL", "KIND", "ADDED", "LAST USED (UTC)", "FROM", "DRIFT", "FAILURES", ""];

fn devices(devices: &[DeviceStatus]) -> String {
    table(COLUMNS, devices.iter().map(device))
}

/// Rows under their columns' names.
pub fn table<const N: usize>(
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(columns.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(&mut out, format_args!("{}", cells.join("  ").trim_end()));
    }
    out
}

fn device(device: &DeviceStatus) -> [String; 8] {
    let notes: Vec<&str> = [(device.default, "default"), (device.disabled, "disabled")]
        .into_iter()
        .filter_map(|(holds, note)| holds.then_some(note))
        .collect();
    [
        escape(&device.label),
        device.kind.name().to_owned(),
        short(device.added),
        device.last_used.map_or("never".to_owned(), short),
        device.last_from.as_deref().map_or("-".to_owned(), escape),
        if device.drift == 0 { "0".to_owned() } else { format!("{:+}", device.drift) },
        device.failures.to_string(),
        notes.join(", "),
    ]
}

/// Of `users`.
pub fn users(users: &[ListedUser]) -> Zeroizing<String> {
    if users.is_empty() {
        return Zeroizing::new("Nobody is enrolled.\n".to_owned());
    }
    let columns = [
        "USER",
        "UID",
        "DEVICES",
        "CODES",
        "TOKENS",
        "LAST USED (UTC)",
        "FROM",
        "FAILURES",
        "LOCKED UNTIL",
        "",
    ];
    Zeroizing::new(table(columns, users.iter().map(user)))
}

fn user(listed: &ListedUser) -> [String; 10] {
    let name = listed.user.as_deref().map_or("-".to_owned(), escape);
    let uid = listed.uid.to_string();
    match &listed.standing {
        Ok(known) => [
            name,
            uid,
            kinds(&known.devices),
            known.backup_codes_left.to_string(),
            known.tokens.to_string(),
            known.last_used.map_or("never".to_owned(), short),
            known.last_from.as_deref().map_or("-".to_owned(), escape),
            known.failures.to_string(),
            known.locked_until.map_or("-".to_owned(), short),
            notes(known),
        ],
        Err(failure) => {
            let unknown = || "?".to_owned();
            // Names in it have been escaped already.
            let why = printable(&problem(failure)).replace('\n', "\\u{a}");
            let [devices, codes, tokens, used, from, failures, locked] =
                [(); 7].map(|()| unknown());
            [name, uid, devices, codes, tokens, used, from, failures, locked, why]
        }
    }
}

/// What root has set, and the helpdesk has given.
fn notes(known: &Standing) -> String {
    let code = known.bypass.map(|code| format!("bypass code {}", bypass(code)));
    let required = known.required.then(|| "required".to_owned());
    required.into_iter().chain(code).collect::<Vec<_>>().join(", ")
}

/// How many there are of each kind: `totp`, `2 totp, hotp`.
fn kinds(devices: &[ListedDevice]) -> String {
    let mut kinds: Vec<((DeviceKind, bool), usize)> = Vec::new();
    for device in devices {
        let kind = (device.kind, device.disabled);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, number)) => *number += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|((kind, disabled), number)| {
            let number = if number == 1 { String::new() } else { format!("{number} ") };
            format!("{number}{}{}", kind.name(), if disabled { " (disabled)" } else { "" })
        })
        .collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
}

/// Why something is not known, and what to do, in one line.
pub fn problem(failure: &Failure) -> String {
    format!("{}; {}", failure.error, failure.hint)
}

/// Of `token new`.
pub fn token_made(made: &MadeToken) -> Zeroizing<String> {
    let mut out = roomy();
    let (user, token) = (escape(&made.user), &made.token);
    let (name, until) = (escape(&token.name), short(token.expires));
    line(&mut out, format_args!("Access token \"{name}\" of {user}, good until {until} UTC"));
    let (from, services) = scope(token);
    line(&mut out, format_args!("from {from}, for {services}. It is shown only now:\n"));
    line(&mut out, format_args!("  {}", shown(&made.secret)));
    out
}

/// Of `token list`.
pub fn tokens(user: &str, tokens: &[TokenStatus]) -> Zeroizing<String> {
    let user = escape(user);
    if tokens.is_empty() {
        return Zeroizing::new(format!("{user} has no access tokens.\n"));
    }
    let columns = ["NAME", "EXPIRES (UTC)", "FROM", "FOR", "LAST USED (UTC)", "LAST FROM"];
    Zeroizing::new(table(
        columns,
        tokens.iter().map(|token| {
            let (from, services) = scope(token);
            [
                escape(&token.name),
                short(token.expires),
                from,
                services,
                token.last_used.map_or("never".to_owned(), short),
                token.last_from.as_deref().map_or("-".to_owned(), escape),
            ]
        }),
    ))
}

/// Of `remembered`.
pub fn remembered(user: &str, logins: &[RememberedLogin]) -> Zeroizing<String> {
    if logins.is_empty() {
        return Zeroizing::new(format!("No login of {} is remembered.\n", escape(user)));
    }
    let columns = ["NUMBER", "SERVICE", "FROM", "BY", "SINCE (UTC)", "UNTIL", "LAST USED"];
    let row = |login: &RememberedLogin| {
        [
            login.number.to_string(),
            escape(&login.service),
            escape(&login.from),
            login.by.name().to_owned(),
            short(login.since),
            short(login.until),
            login.last_used.map_or("never".to_owned(), short),
        ]
    };
    Zeroizing::new(table(columns, logins.iter().map(row)))
}

/// From where, and for which services.
fn scope(token: &TokenStatus) -> (String, String) {
    let list = |items: &[String], all: &str| {
        if items.is_empty() { all.to_owned() } else { escape(&items.join(", ")) }
    };
    (list(&token.networks, "anywhere"), list(&token.services, "any service"))
}

/// Of `invite`.
pub fn invited(user: &str, code: &Secret, expires: u64) -> Zeroizing<String> {
    let mut out = roomy();
    let (user, until) = (escape(user), short(expires));
    line(&mut out, format_args!("{user} can change the own second factor once, with this code,"));
    line(&mut out, format_args!("until {until} UTC:\n\n  {}", shown(code)));
    out
}

/// Of `test` and `judge`; `asked` is the name that was asked about.
pub fn outcome(asked: &str, outcome: &Outcome) -> Zeroizing<String> {
    let mut out = roomy();
    let user = escape(outcome.user.as_deref().unwrap_or(asked));
    let _ = write!(out, "{user}: {}", outcome.verdict.name());
    match (outcome.factor.as_deref().map(escape), outcome.label.as_deref().map(escape)) {
        (Some(factor), Some(label)) => line(&mut out, format_args!(" ({factor}, \"{label}\")")),
        (Some(factor), None) => line(&mut out, format_args!(" ({factor})")),
        _ => out.push('\n'),
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::Verdict;
    use mfa_protocol::message::BypassStatus;

    fn device(label: &str) -> DeviceStatus {
        DeviceStatus {
            id: 1,
            label: label.into(),
            kind: DeviceKind::Totp,
            default: false,
            added: 1_795_314_688,
            last_used: None,
            last_from: None,
            drift: 0,
            failures: 0,
            disabled: false,
        }
    }

    #[test]
    fn a_status_is_a_table_in_which_nothing_leaves_its_cell() {
        let phone = DeviceStatus {
            default: true,
            last_used: Some(1_795_314_700),
            last_from: Some("192.0.2.7".into()),
            drift: 1,
            ..device("phone")
        };
        let token = DeviceStatus {
            kind: DeviceKind::Hotp,
            failures: 2,
            disabled: true,
            ..device("to\x1b[2J\nken")
        };
        let all = Status {
            user: "alice".into(),
            uid: 1000,
            devices: vec![phone, token],
            backup_codes_left: 8,
            failures: 3,
            locked_until: Some(1_795_314_718),
        };
        let bypass = Some(BypassStatus { uses_left: 2, expires: 1_795_314_718 });
        let all = FullStatus { status: all, bypass, required: true };
        let expected = r"User:          alice (uid 1000)
Enrolled:      yes
Backup codes:  8 left
Lockout:       3 failures, locked until 2026-11-22 02:31 UTC
Bypass code:   good 2 times until 2026-11-22 02:31 UTC
Required:      of this user, also where policy makes it optional

LABEL                KIND  ADDED             LAST USED (UTC)   FROM       DRIFT  FAILURES
phone                totp  2026-11-22 02:31  2026-11-22 02:31  192.0.2.7  +1     0         default
to\u{1b}[2J\u{a}ken  hotp  2026-11-22 02:31  never             -          0      2         disabled
";
        assert_eq!(status(&all).as_str(), expected);
    }

    #[test]
    fn a_status_without_devices_is_short() {
        let none = Status {
            user: "bob".into(),
            uid: 1001,
            devices: Vec::new(),
            backup_codes_left: 0,
            failures: 0,
            locked_until: None,
        };
        let none = FullStatus { status: none, bypass: None, required: false };
        assert!(
            status(&none).ends_with(
                "Enrolled:      no\nBackup codes:  0 left\nLockout:       no failures\n"
            )
        );
    }

    #[test]
    fn an_enrolment_shows_what_the_conversation_has_not() {
        let mut new = Added {
            user: "alice".into(),
            uid: 1000,
            id: 1,
            label: "phone".into(),
            kind: DeviceKind::Totp,
            secret: "JBSWY3DPEH".into(),
            uri: "otpauth://totp/x".into(),
            backup_codes: vec!["aaaa-bbbb".into()],
            codes_shown: false,
        };
        assert_eq!(
            added(&new, false).as_str(),
            "Added the totp device \"phone\" of alice.\nKey: JBSW Y3DP EH\nURI: otpauth://totp/x\n\n\
             Backup codes of alice, each good once, shown only now:\n\n   1  aaaa-bbbb\n"
        );
        new.codes_shown = true;
        assert_eq!(added(&new, true).as_str(), "Added the totp device \"phone\" of alice.\n");
    }

    #[test]
    fn users_are_a_table_with_a_line_for_each_also_where_nothing_is_known() {
        let device = |kind, disabled| ListedDevice {
            label: "x".into(),
            kind,
            default: false,
            disabled,
            last_used: None,
        };
        let of_alice = Standing {
            devices: vec![
                device(DeviceKind::Totp, false),
                device(DeviceKind::Hotp, true),
                device(DeviceKind::Totp, false),
            ],
            backup_codes_left: 10,
            tokens: 1,
            last_used: Some(1_795_314_700),
            last_from: Some("192.0.2.7".into()),
            failures: 12,
            locked_until: Some(1_795_314_718),
            bypass: Some(BypassStatus { uses_left: 1, expires: 1_795_314_718 }),
            required: true,
        };
        let of_nobody = Standing {
            devices: Vec::new(),
            backup_codes_left: 0,
            tokens: 0,
            last_used: None,
            last_from: None,
            failures: 0,
            locked_until: None,
            bypass: None,
            required: false,
        };
        let failure = Failure {
            kind: mfa_protocol::message::FailureKind::Unusable,
            error: "its summary was\nda\x1bmaged".into(),
            hint: "look".into(),
        };
        let listed = |uid, user: Option<&str>, standing| ListedUser {
            uid,
            user: user.map(str::to_owned),
            standing,
        };
        let all = [
            listed(1000, Some("al\x1bice"), Ok(of_alice)),
            listed(1001, Some("bob"), Ok(of_nobody)),
            listed(70_000, None, Err(failure)),
        ];
        let expected = r"USER         UID    DEVICES                  CODES  TOKENS  LAST USED (UTC)   FROM       FAILURES  LOCKED UNTIL
al\u{1b}ice  1000   2 totp, hotp (disabled)  10     1       2026-11-22 02:31  192.0.2.7  12        2026-11-22 02:31  required, bypass code good once until 2026-11-22 02:31 UTC
bob          1001   none                     0      0       never             -          0         -
-            70000  ?                        ?      ?       ?                 ?          ?         ?                 its summary was\u{a}da\u{1b}maged; look
";
        assert_eq!(users(&all).as_str(), expected);
        assert_eq!(users(&[]).as_str(), "Nobody is enrolled.\n");
    }

    #[test]
    fn codes_say_when_and_from_where_they_were_used() {
        let all = [
            CodeStatus { number: 1, used_at: Some(0), used_from: Some("local".into()) },
            CodeStatus { number: 2, used_at: None, used_from: None },
        ];
        assert_eq!(
            codes("alice", &all).as_str(),
            "Backup codes of alice: 1 of 2 left.\n\n   1  used 1970-01-01 00:00 UTC from local\n   2  left\n"
        );
        assert_eq!(codes("alice", &[]).as_str(), "alice has no backup codes.\n");
    }

    #[test]
    fn tokens_are_a_table_and_a_new_one_is_shown_with_its_scope() {
        let token = TokenStatus {
            name: "back\nup".into(),
            made: 0,
            expires: 1_795_314_688,
            networks: vec!["10.0.0.0/8".into(), "2001:db8::/32".into()],
            services: vec!["sshd".into()],
            last_used: Some(60),
            last_from: Some("10.0.0.7".into()),
        };
        let other = TokenStatus {
            name: "x".into(),
            networks: Vec::new(),
            services: Vec::new(),
            last_used: None,
            last_from: None,
            ..token.clone()
        };
        let expected = r"NAME         EXPIRES (UTC)     FROM                       FOR          LAST USED (UTC)   LAST FROM
back\u{a}up  2026-11-22 02:31  10.0.0.0/8, 2001:db8::/32  sshd         1970-01-01 00:01  10.0.0.7
x            2026-11-22 02:31  anywhere                   any service  never             -
";
        assert_eq!(tokens("alice", &[token, other.clone()]).as_str(), expected);
        assert_eq!(tokens("alice", &[]).as_str(), "alice has no access tokens.\n");
        let made = MadeToken { user: "alice".into(), secret: "mfatok-a".into(), token: other };
        assert_eq!(
            token_made(&made).as_str(),
            "Access token \"x\" of alice, good until 2026-11-22 02:31 UTC\n\
             from anywhere, for any service. It is shown only now:\n\n  mfatok-a\n"
        );
    }

    #[test]
    fn remembered_logins_are_a_table() {
        let login = RememberedLogin {
            number: 3,
            service: "ss\nhd".into(),
            from: "192.0.2.7".into(),
            by: mfa_protocol::message::Tie::Key,
            since: 0,
            until: 60,
            last_used: None,
        };
        let expected = r"NUMBER  SERVICE    FROM       BY   SINCE (UTC)       UNTIL             LAST USED
3       ss\u{a}hd  192.0.2.7  key  1970-01-01 00:00  1970-01-01 00:01  never
";
        assert_eq!(remembered("alice", &[login]).as_str(), expected);
        assert_eq!(remembered("alice", &[]).as_str(), "No login of alice is remembered.\n");
    }

    #[test]
    fn an_outcome_names_the_factor() {
        let mut granted = Outcome {
            verdict: Verdict::Granted,
            user: Some("alice".into()),
            factor: Some("totp".into()),
            label: Some("phone".into()),
        };
        assert_eq!(outcome("x", &granted).as_str(), "alice: granted (totp, \"phone\")\n");
        granted.label = None;
        assert_eq!(outcome("x", &granted).as_str(), "alice: granted (totp)\n");
        let denied = Outcome { verdict: Verdict::Denied, user: None, factor: None, label: None };
        assert_eq!(outcome("a\nb", &denied).as_str(), "a\\u{a}b: denied\n");
    }
}
