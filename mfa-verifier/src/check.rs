//! `mfa-setup check`: what in a policy file that can be read may not be meant so.

use std::collections::BTreeSet;
use std::io;

use mfa_protocol::mail::Security;
use mfa_protocol::message::{Checked, Failure, FailureKind};

use crate::config::{Config, Mode, Names, Networks, PolicyConfig, Rule};
use crate::failure::failure;
use crate::users::Users;
use crate::world::World;

/// Ports from this one on need no privilege, ip(7).
const FIRST_PORT_OF_USERS: u16 = 1_024;

/// Warnings that fit into an answer, and characters of each.
const MAX_WARNINGS: usize = 100;
const LONGEST_WARNING: usize = 400;

/// The policy file has been read, or nobody would be here.
pub(crate) fn check(world: &World) -> Result<Checked, Failure> {
    let unusable = |error: io::Error| {
        failure(
            FailureKind::Unusable,
            format!("the user database fails: {error}"),
            "look at nsswitch.conf and the services that it names",
        )
    };
    let mut warnings = of_policy(world.config);
    warnings.extend(of_rules(world.config));
    warnings.extend(of_mail(world.config));
    warnings.extend(of_names(world.config, world.users).map_err(unusable)?);
    warnings.truncate(MAX_WARNINGS);
    Ok(Checked {
        path: world.policy_file.display().to_string(),
        exists: world.policy_file.exists(),
        rules: u32::try_from(world.config.rules.len()).unwrap_or(u32::MAX),
        warnings: warnings
            .iter()
            .map(|text| text.chars().take(LONGEST_WARNING).collect())
            .collect(),
    })
}

fn of_policy(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    // What one key needs of another may stand in a rule.
    let anywhere = |is_so: fn(&PolicyConfig) -> bool| {
        is_so(policy) || config.rules.iter().any(|rule| is_so(&rule.applied_to_policy(policy)))
    };
    let mut warnings = Vec::new();
    if let Some(everything) = policy.trusted.everything() {
        warnings.push(format!("[policy] trusted has {everything}: nobody from there is asked"));
    }
    if policy.backup_codes_anywhere && !anywhere(|policy| !policy.allow_from.is_empty()) {
        warnings.push("[policy] backup_codes_anywhere does nothing without allow_from".to_owned());
    }
    if policy.backup_codes_anywhere && !policy.methods.backup_code {
        warnings.push(
            "[policy] backup_codes_anywhere does nothing: methods has no backup_code".to_owned(),
        );
    }
    if !policy.required_from.written().is_empty() && policy.mode != Mode::Required {
        warnings
            .push("[policy] required_from does nothing but where mode is \"required\"".to_owned());
    }
    if policy.without_key && !anywhere(|policy| policy.remember > 0) {
        warnings.push("[policy] without_key does nothing without remember".to_owned());
    }
    if !policy.allow_from.is_empty() && policy.mode == Mode::Off {
        warnings.push("[policy] allow_from does nothing where mode is \"off\"".to_owned());
    }
    warnings
}

fn of_rules(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (rule, number) in config.rules.iter().zip(1..) {
        let policy = rule.applied_to_policy(&config.policy);
        let everything =
            policy.trusted.everything().filter(|_| policy.trusted != config.policy.trusted);
        if let Some(everything) = everything {
            warnings.push(format!("{}: trusted has {everything}", called(rule, number)));
        }
        let asks = policy.mode == Mode::Required;
        if asks && config.policy.mode == Mode::Off && rule.matches.from.is_some() {
            warnings.push(format!(
                "{} asks by networks while [policy] asks nobody: who comes from an address that is \
                 not known is not asked; let [policy] ask, and make the networks that are not asked \
                 the exception",
                called(rule, number)
            ));
        }
        if rule.matches.from.as_ref().and_then(Networks::everything).is_some() && !asks {
            warnings.push(format!(
                "{} matches every address of a kind, and does not ask everybody",
                called(rule, number)
            ));
        }
    }
    warnings
}

/// A server that shows by nothing who it is but by its port, which is anybody's while it is down.
fn of_mail(config: &Config) -> Option<String> {
    let server = config.email.smtp.as_ref()?;
    let is_anybodys = server.security == Security::Plain && server.port >= FIRST_PORT_OF_USERS;
    is_anybodys.then(|| {
        format!(
            "[email] smtp is {server}, a port where every user of this host can listen while the mail server \
             is down, and get the codes of others: use one below {FIRST_PORT_OF_USERS}, or smtps://"
        )
    })
}

/// Users and groups that the system does not know. At a login they are no error: somebody may have been
/// removed.
fn of_names(config: &Config, users: &dyn Users) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut seen = BTreeSet::new();
    for (rule, number) in config.rules.iter().zip(1..) {
        for name in rule.matches.users.iter().flat_map(Names::iter) {
            if seen.insert(("user", name)) && users.by_name(name.as_bytes())?.is_none() {
                warnings.push(format!("{}: there is no user \"{name}\"", called(rule, number)));
            }
        }
        for name in rule.matches.groups.iter().flat_map(Names::iter) {
            if seen.insert(("group", name)) && !users.has_group(name)? {
                warnings.push(format!("{}: there is no group \"{name}\"", called(rule, number)));
            }
        }
    }
    Ok(warnings)
}

fn called(rule: &Rule, number: u32) -> String {
    let line = rule.line;
    match &rule.name {
        Some(name) => format!("line {line}: rule \"{name}\""),
        None => format!("line {line}: rule {number}"),
    }
}
