//! `config/config.toml`, which `make install` lays down, against what the verifier reads.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use mfa_verifier::config::{Config, Mode};

const SHIPPED: &str = include_str!("../../config/config.toml");

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

/// What may stand in `[section]`, or at the top of the file: it is in the error for what may not.
fn keys_of(section: &str) -> BTreeSet<String> {
    let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
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
    let sections = keys_of("");
    assert!(sections.contains("policy"), "{sections:?}");
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), sections);
    for section in sections {
        let keys = shown[&section].as_table().unwrap().keys();
        assert_eq!(keys.cloned().collect::<BTreeSet<_>>(), keys_of(&section), "[{section}]");
    }
}
