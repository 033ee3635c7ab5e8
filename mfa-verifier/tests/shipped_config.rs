//! `config/config.toml`, which `make install` lays down, and the manual page `pam_mfa.toml(5)`, against
//! what the verifier reads.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use mfa_verifier::config::{Config, Mode};

#[path = "../../tests/src/manual.rs"]
mod manual;

use manual::{insets, plain, under};

const SHIPPED: &str = include_str!("../../config/config.toml");
const README: &str = include_str!("../../README.md");
const MANUAL: &str = include_str!("../../doc/man/pam_mfa.toml.5");

/// The policy in `text`, or what is wrong with it.
fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("config.toml"), text).map_err(|error| error.to_string())
}

/// The built-in policy, but for the one key that the shipped file sets.
fn optional() -> Config {
    let mut config = Config::default();
    config.policy.mode = Mode::Optional;
    config
}

/// The shipped file with every default in force: `# key = value` without its `# `.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    };
    SHIPPED.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn is_key(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

/// The tables of the file; rules are a list of tables.
fn sections() -> BTreeSet<String> {
    let mut sections = keys_of("");
    assert!(sections.remove("rule"), "{sections:?}");
    sections
}

/// What may stand under this header, or at the top of the file: it is in the error for what may not.
fn keys_of(header: &str) -> BTreeSet<String> {
    let error = parse(&format!("{header}no_such_key = 0\n")).unwrap_err();
    let (_, expected) = error.split_once("expected").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_shipped_policy_is_the_built_in_one_made_optional() {
    assert_eq!(parse(SHIPPED).unwrap(), optional());
    assert_eq!(Config::default().policy.mode, Mode::Required);
}

#[test]
fn every_line_that_is_commented_out_shows_a_default() {
    assert_eq!(parse(&uncommented()).unwrap(), optional());
}

#[test]
fn every_key_there_is_is_shown() {
    let shown: toml::Table = uncommented().parse().unwrap();
    let sections = sections();
    assert!(sections.contains("policy"), "{sections:?}");
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), sections);
    for section in sections {
        let keys = shown[&section].as_table().unwrap().keys();
        assert_eq!(keys.cloned().collect::<BTreeSet<_>>(), keys_of(&format!("[{section}]\n")));
    }
}

#[test]
fn every_key_of_a_rule_is_shown() {
    let shown = SHIPPED.split("\n# Rules, ").nth(1).unwrap();
    let shown = shown.to_owned() + &SHIPPED[SHIPPED.find("[policy]").unwrap()..];
    for key in keys_of("[[rule]]\n") {
        let lines: Vec<&str> =
            shown.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
        let begins = format!("{key} = ");
        assert!(lines.iter().any(|line| line.starts_with(&begins)), "{key}");
    }
    // And what is shown is a policy.
    let rule: Vec<&str> = SHIPPED.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let rule = rule[rule.iter().position(|line| *line == "[[rule]]").unwrap()..].join("\n");
    assert_eq!(parse(&rule).unwrap().rules.len(), 1, "{rule}");
}

/// The manual page's keys and defaults, as TOML.
fn manual() -> String {
    let keys = under(MANUAL, ".SH KEYS").lines();
    let keys = keys.filter(|line| line.starts_with(".B ") || line.starts_with(".SS "));
    keys.map(|line| plain(line) + "\n").collect()
}

#[test]
fn the_manual_shows_the_policies_of_the_readme() {
    let policies = README.split("\n### Policies\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let fenced = policies.split("```toml\n").skip(1);
    let shown: Vec<_> = fenced.map(|block| block.split("```").next().unwrap()).collect();
    assert!(shown.len() > 4, "{shown:?}");
    let typed = insets(under(MANUAL, ".SH EXAMPLES"));
    assert_eq!(typed, shown);
    for policy in typed {
        parse(&policy).unwrap();
    }
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let manual = manual();
    assert_eq!(parse(&manual).unwrap(), Config::default(), "{manual}");
    let shown: toml::Table = manual.parse().unwrap();
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), sections());
    for section in sections() {
        let keys = shown[&section].as_table().unwrap().keys();
        assert_eq!(keys.cloned().collect::<BTreeSet<_>>(), keys_of(&format!("[{section}]\n")));
    }
    let rules = under(MANUAL, ".SH RULES");
    for key in keys_of("[[rule]]\n") {
        let named = |line: &str| {
            let mut words = line.split(' ');
            matches!(words.next(), Some(".B" | ".BR")) && words.next() == Some(&key)
        };
        assert!(rules.lines().any(named), "{key}");
    }
}

/// Header, key, a value that is taken, one that is not.
const KEYS: &[[&str; 4]] = &[
    ["[store]", "path", "\"/srv/mfa\"", "\"srv/mfa\""],
    ["[store]", "key_file", "\"/srv/key\"", "7"],
    ["[policy]", "mode", "\"off\"", "\"on\""],
    ["[policy]", "help", "\"Ask Bob.\"", "\"a\\nb\""],
    ["[policy]", "services", "[\"sshd\", \"!cron\"]", "[\"\"]"],
    ["[policy]", "required_from", "2026-12-01", "2026-13-01"],
    ["[policy]", "trusted", "[\"10.0.0.0/8\"]", "[\"10.0.0.1/8\"]"],
    ["[policy]", "allow_from", "[\"::1\"]", "[\"localhost\"]"],
    ["[policy]", "backup_codes_anywhere", "true", "\"true\""],
    ["[policy]", "methods", "[\"totp\"]", "[]"],
    ["[policy]", "remember", "\"14d\"", "\"15d\""],
    ["[policy]", "without_key", "true", "\"yes\""],
    ["[policy]", "remember_session", "\"1d\"", "\"30s\""],
    ["[policy]", "enrol_at_login", "\"invite\"", "\"all\""],
    ["[policy]", "enrol_from", "[\"10.0.0.0/8\"]", "\"10.0.0.0/8\""],
    ["[policy]", "verify_new_address", "true", "\"yes\""],
    ["[policy]", "new_address_exempts_enrolled", "true", "1"],
    ["[login]", "prompt", "\"Code? \"", "\"\\u001b\""],
    ["[login]", "echo", "true", "1"],
    ["[self_service]", "allow", "\"first\"", "\"some\""],
    ["[self_service]", "reauth", "\"invite\"", "\"none\""],
    ["[totp]", "issuer", "\"a {hostname}\"", "\"a:b\""],
    ["[totp]", "algorithm", "\"sha512\"", "\"sha384\""],
    ["[totp]", "digits", "8", "9"],
    ["[totp]", "period", "300", "14"],
    ["[totp]", "window", "0", "11"],
    ["[totp]", "resync_minutes", "0", "11"],
    ["[hotp]", "look_ahead", "0", "101"],
    ["[hotp]", "resync", "1000", "1001"],
    ["[backup_codes]", "count", "1", "0"],
    ["[backup_codes]", "low", "0", "11"],
    ["[lockout]", "per_source", "100", "0"],
    ["[lockout]", "per_user", "1", "101"],
    ["[lockout]", "first_wait", "86400", "0"],
    ["[lockout]", "longest_wait", "1", "86401"],
    ["[lockout]", "disable_after", "100", "101"],
    ["[lockout]", "backup_codes_per_hour", "1", "0"],
    ["[lockout]", "known_source_days", "365", "366"],
    ["[email]", "from", "\"mfa@example.org\"", "\"mfa\""],
    ["[email]", "sendmail", "\"/opt/bin/sendmail\"", "\"sendmail\""],
    ["[email]", "smtp", "\"smtps://mail.example.org\"", "\"smtp://mail.example.org\""],
    ["[email]", "password_file", "\"/etc/mail.password\"", "\"mail.password\""],
    ["[email]", "ca_file", "\"/etc/ssl/ca.pem\"", "\"ca.pem\""],
    ["[email]", "timeout", "1", "9"],
    ["[email]", "code_lifetime", "10", "0"],
    ["[email]", "per_hour", "10", "11"],
    ["[email]", "address", "\"{user}@example.org\"", "\"all@example.org\""],
    ["[[rule]]", "name", "\"night shift\"", "\" \""],
    ["[[rule]]", "users", "[\"alice\"]", "\"alice\""],
    ["[[rule]]", "groups", "[\"wheel\"]", "[]"],
    ["[[rule]]", "services", "[\"!sshd\"]", "[\"a b\"]"],
    ["[[rule]]", "from", "[\"2001:db8::/32\"]", "[\"fe80::1%eth0\"]"],
    ["[[rule]]", "console", "false", "0"],
    ["[[rule]]", "time", "[\"Sat,Sun\"]", "[\"Someday\"]"],
    ["[[rule]]", "mode", "\"required\"", "true"],
    ["[[rule]]", "help", "\"\"", "[]"],
    ["[[rule]]", "required_from", "\"\"", "\"2026-12-01\""],
    ["[[rule]]", "trusted", "[]", "[\"0.0.0.0/33\"]"],
    ["[[rule]]", "allow_from", "[]", "\"::1\""],
    ["[[rule]]", "backup_codes_anywhere", "false", "0"],
    ["[[rule]]", "methods", "[\"backup_code\", \"email\"]", "[\"sms\"]"],
    ["[[rule]]", "remember", "\"0\"", "12"],
    ["[[rule]]", "without_key", "false", "0"],
    ["[[rule]]", "remember_session", "\"1m\"", "\"25h\""],
    ["[[rule]]", "enrol_at_login", "\"anybody\"", "true"],
    ["[[rule]]", "enrol_from", "[]", "[\"office\"]"],
    ["[[rule]]", "verify_new_address", "true", "0"],
    ["[[rule]]", "new_address_exempts_enrolled", "false", "\"\""],
    ["[[rule]]", "window", "10", "-1"],
    ["[[rule]]", "lockout", "{ per_user = 100 }", "{ per_user = 0 }"],
];

#[test]
fn every_key_takes_what_it_should_and_refuses_what_it_should_not() {
    let mut seen = BTreeSet::new();
    for &[header, key, taken, refused] in KEYS {
        // A rule must be for something and set something; mail has a sender, and a password a user.
        let rest = match (header, key) {
            ("[[rule]]", "mode") => "console = true\n",
            ("[[rule]]", _) => "mode = \"off\"\n",
            ("[email]", "from") => "",
            ("[email]", "password_file") => {
                "from = \"mfa@example.org\"\nsmtp = \"smtps://mfa@mail.example.org\"\n"
            }
            ("[email]", _) => "from = \"mfa@example.org\"\n",
            _ => "",
        };
        parse(&format!("{header}\n{rest}{key} = {taken}\n")).unwrap();
        parse(&format!("{header}\n{rest}{key} = {refused}\n")).unwrap_err();
        if header == "[lockout]" {
            let rule = |value: &str| {
                parse(&format!("[[rule]]\nconsole = true\nlockout = {{ {key} = {value} }}\n"))
            };
            rule(taken).unwrap();
            rule(refused).unwrap_err();
        }
        assert!(seen.insert((header.to_owned(), key.to_owned())), "{header} {key}");
    }
    let headers = sections().into_iter().map(|name| format!("[{name}]"));
    let all = headers.chain(["[[rule]]".to_owned()]).flat_map(|header| {
        let keys = keys_of(&format!("{header}\n"));
        keys.into_iter().map(move |key| (header.clone(), key))
    });
    assert_eq!(all.collect::<BTreeSet<_>>(), seen);
}

/// The least and the most that a number may be, as the error for another says; none where the key takes
/// none.
fn bounds(section: &str, key: &str) -> Option<(i64, i64)> {
    let error = parse(&format!("[{section}]\n{key} = -1\n")).unwrap_err();
    let (_, bounds) = error.split_once("a number from ")?;
    let mut numbers = bounds.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    numbers.next().zip(numbers.next())
}

/// Whether these bounds stand in the text, and not longer ones.
fn says(text: &str, (low, high): (i64, i64)) -> bool {
    let bounds = format!("{low} to {high}");
    text.split(&bounds).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// What the manual page has about a key.
fn entry(section: &str, key: &str) -> &'static str {
    let section = under(MANUAL, &format!(".SS [{section}]"));
    let entry = section.split(&format!("\n.B {key} = ")).nth(1).unwrap();
    entry.split("\n.TP\n").next().unwrap()
}

#[test]
fn the_bounds_of_every_number_are_those_that_are_shown() {
    let mut numbers = 0;
    for section in sections() {
        let shown = SHIPPED.split(&format!("\n[{section}]\n")).nth(1).unwrap();
        let shown = shown.split("\n[").next().unwrap().replace("\n# ", " ");
        for key in keys_of(&format!("[{section}]\n")) {
            let Some((low, high)) = bounds(&section, &key) else { continue };
            numbers += 1;
            let from = if section == "email" { "from = \"mfa@example.org\"\n" } else { "" };
            for (value, taken) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
                let read = parse(&format!("[{section}]\n{from}{key} = {value}\n"));
                assert_eq!(read.is_ok(), taken, "[{section}] {key} = {value}");
            }
            assert!(says(entry(&section, &key), (low, high)), "{key}: {low} to {high}");
            assert!(says(&shown, (low, high)), "[{section}] {key}: {low} to {high}");
        }
    }
    assert!(numbers >= 18, "{numbers}");
}
