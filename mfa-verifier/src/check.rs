//! `mfa-setup check`: what in a policy file that can be read may not be meant so.

pub(crate) mod stacks;

use std::collections::BTreeSet;
use std::io;

use mfa_protocol::mail::Security;
use mfa_protocol::message::{Checked, Failure};
use mfa_protocol::{JUDGE_SERVICE, REAUTH_SERVICE, TEST_SERVICE};

use crate::config::{Config, EnrolAtLogin, Mode, Names, Networks, PolicyConfig, Rule, Services};
use crate::confine;
use crate::failure::of_users;
use crate::pam_services::PamServices;
use crate::policy::needs_local_time;
use crate::users::Users;
use crate::world::World;

/// Rules against which those behind them are held.
const MAX_COVERING: usize = 1_000;

/// Ports from this one on need no privilege, ip(7).
const FIRST_PORT_OF_USERS: u16 = 1_024;

/// Warnings that fit into an answer, and characters of each.
const MAX_WARNINGS: usize = 100;
const LONGEST_WARNING: usize = 400;

/// Names that stand for a service in a policy, and have no file.
const WITHOUT_FILE: [&str; 4] = [confine::SERVICE, JUDGE_SERVICE, REAUTH_SERVICE, TEST_SERVICE];

/// Commands that ask another service where they begin a login shell.
const LOGIN_SHELLS: [(&str, &str, &str); 2] =
    [("sudo", "sudo -i", "sudo-i"), ("su", "su -", "su-l")];

/// The policy file has been read, or nobody would be here.
pub(crate) fn check(world: &World) -> Result<Checked, Failure> {
    let mut warnings = of_host(world);
    warnings.extend(of_policy_file(world)?);
    warnings.truncate(MAX_WARNINGS);
    Ok(Checked {
        path: world.policy_file.display().to_string(),
        exists: world.policy_file.exists(),
        rules: u32::try_from(world.config.rules.len()).unwrap_or(u32::MAX),
        warnings,
    })
}

/// The same without what a login needs beside the file; as many as fit into an answer.
pub(crate) fn of_policy_file(world: &World) -> Result<Vec<String>, Failure> {
    let mut warnings = of_policy(world.config);
    warnings.extend(of_enrolment(world.config));
    warnings.extend(of_rules(world.config));
    warnings.extend(of_services(world.config, world.pam_services));
    warnings.extend(stacks::warnings(world));
    warnings.extend(of_mail(world.config));
    warnings.extend(of_names(world.config, world.users).map_err(|error| of_users(&error))?);
    warnings.truncate(MAX_WARNINGS);
    let short = |text: &String| text.chars().take(LONGEST_WARNING).collect();
    Ok(warnings.iter().map(short).collect())
}

/// What a login needs of this host beside the file, and would be refused for.
fn of_host(world: &World) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(error) = world.archive.open() {
        warnings.push(format!("{error}: whoever is asked is refused"));
    }
    if needs_local_time(world.config)
        && let Err(error) = (world.zone)()
    {
        warnings.push(format!("{error}: whoever is asked by a time or a date is refused"));
    }
    warnings
}

fn of_policy(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    let anywhere = |is_so: fn(&PolicyConfig) -> bool| is_anywhere(config, is_so);
    let mut warnings = Vec::new();
    if let Some(everything) = policy.trusted.everything() {
        warnings.push(format!("[policy] trusted has {everything}: nobody from there is asked"));
    }
    if policy.backup_codes_anywhere && !anywhere(|policy| !policy.allow_from.is_empty()) {
        warnings.push("[policy] backup_codes_anywhere does nothing without allow_from".to_owned());
    }
    let accepts = |policy: &PolicyConfig| policy.methods.backup_code;
    if policy.backup_codes_anywhere && !anywhere(accepts) {
        warnings.push(
            "[policy] backup_codes_anywhere does nothing: methods has no backup_code".to_owned(),
        );
    }
    let is_dated = !policy.required_from.written().is_empty();
    if is_dated && !anywhere(|policy| policy.mode == Mode::Required) {
        warnings
            .push("[policy] required_from does nothing but where mode is \"required\"".to_owned());
    }
    if policy.without_key && !anywhere(|policy| policy.remember > 0) {
        warnings.push("[policy] without_key does nothing without remember".to_owned());
    }
    if policy.new_address_exempts_enrolled && !anywhere(|policy| policy.verify_new_address) {
        warnings.push(
            "[policy] new_address_exempts_enrolled does nothing without verify_new_address"
                .to_owned(),
        );
    }
    if anywhere(|policy| policy.verify_new_address) && config.email.from.is_none() {
        warnings.push(
            "verify_new_address without from in [email]: from a new address only backup codes and \
             tokens let in"
                .to_owned(),
        );
    }
    if !policy.allow_from.is_empty() && !anywhere(|policy| policy.mode != Mode::Off) {
        warnings.push("[policy] allow_from does nothing where mode is \"off\"".to_owned());
    }
    warnings
}

fn of_enrolment(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    let anywhere = |is_so: fn(&PolicyConfig) -> bool| is_anywhere(config, is_so);
    let mut warnings = Vec::new();
    let enrols = policy.enrol_at_login != EnrolAtLogin::Off;
    if enrols && !anywhere(|policy| policy.mode == Mode::Required) {
        warnings
            .push("[policy] enrol_at_login does nothing but where mode is \"required\"".to_owned());
    }
    if enrols && !policy.methods.totp {
        warnings.push("[policy] enrol_at_login does nothing: methods has no totp".to_owned());
    }
    if enrols && policy.methods.email && config.email.address.is_some() {
        warnings.push(
            "[policy] enrol_at_login does nothing for whom address in [email] gives a mailbox: a \
             code is sent there in its place"
                .to_owned(),
        );
    }
    if enrols && policy.verify_new_address && !policy.new_address_exempts_enrolled {
        warnings.push(
            "[policy] enrol_at_login does nothing from a new address, where verify_new_address \
             accepts no app; see new_address_exempts_enrolled"
                .to_owned(),
        );
    }
    if !policy.enrol_from.is_empty()
        && !anywhere(|policy| policy.enrol_at_login != EnrolAtLogin::Off)
    {
        warnings.push("[policy] enrol_from does nothing without enrol_at_login".to_owned());
    }
    warnings
}

/// Whether it is so in the policy itself or in a rule: what one key needs of another may stand there.
fn is_anywhere(config: &Config, is_so: fn(&PolicyConfig) -> bool) -> bool {
    let policy = &config.policy;
    is_so(policy) || config.rules.iter().any(|rule| is_so(&rule.applied_to_policy(policy)))
}

fn of_rules(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (rule, number) in config.rules.iter().zip(1..) {
        let mut before = config.rules.iter().zip(1..number).take(MAX_COVERING);
        if let Some((first, its)) = before.find(|(first, _)| first.matches.cover(&rule.matches)) {
            warnings.push(format!(
                "{} never holds: whatever matches it matches the one before it, {}",
                called(rule, number),
                called(first, its)
            ));
        }
        let policy = rule.applied_to_policy(&config.policy);
        let everything =
            policy.trusted.everything().filter(|_| policy.trusted != config.policy.trusted);
        if let Some(everything) = everything {
            warnings.push(format!("{}: trusted has {everything}", called(rule, number)));
        }
        let begins = rule.required_from().is_some_and(|from| !from.written().is_empty());
        if begins && policy.mode != Mode::Required {
            warnings.push(format!(
                "{}: required_from does nothing but where mode is \"required\"",
                called(rule, number)
            ));
        }
        let is_bounded =
            !policy.allow_from.is_empty() && policy.allow_from != config.policy.allow_from;
        if is_bounded && policy.mode == Mode::Off {
            warnings.push(format!(
                "{}: allow_from does nothing where mode is \"off\"",
                called(rule, number)
            ));
        }
        let asks = policy.mode == Mode::Required;
        let otherwise = match config.policy.mode {
            Mode::Off => Some("nobody"),
            Mode::Optional => Some("those who have enrolled"),
            Mode::Required => None,
        };
        if let (true, Some(asked), Some(_)) = (asks, otherwise, &rule.matches.from) {
            warnings.push(format!(
                "{} asks by networks while [policy] asks {asked}: who comes from an address that is \
                 not known is asked by [policy] alone; let [policy] ask everybody, and make the \
                 networks that are asked less the exception",
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

/// Services that PAM does not know (`ssh`, where `sshd` was meant, asks nobody), or that are half of what
/// was meant. One that is left out and not there changes nothing.
fn of_services(config: &Config, pam: &dyn PamServices) -> Vec<String> {
    let mut warnings = Vec::new();
    let has_service = |name: &str| pam.place(name).is_some();
    let mut warn = |services: &Services, whose: &str| {
        let named: Vec<&str> = services.named().collect();
        for name in named.iter().filter(|name| !WITHOUT_FILE.contains(name) && !has_service(name)) {
            warnings.push(format!("{whose}: there is no PAM service \"{name}\""));
        }
        for (name, command, other) in LOGIN_SHELLS {
            if named.contains(&name) && !services.include(other) && has_service(other) {
                warnings.push(format!(
                    "{whose}: \"{name}\" is not `{command}`, which is the service \"{other}\""
                ));
            }
        }
    };
    warn(&config.policy.services, "[policy] services");
    for (rule, number) in config.rules.iter().zip(1..) {
        if let Some(services) = &rule.matches.services {
            warn(services, &called(rule, number));
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

/// Users and groups that the system does not know, or by another name. At a login they are no error:
/// somebody may have been removed.
fn of_names(config: &Config, users: &dyn Users) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut seen = BTreeSet::new();
    for (rule, number) in config.rules.iter().zip(1..) {
        for name in rule.matches.users.iter().flat_map(Names::iter) {
            if !seen.insert(("user", name)) {
                continue;
            }
            match users.by_name(name.as_bytes())? {
                None => {
                    warnings.push(format!("{}: there is no user \"{name}\"", called(rule, number)));
                }
                Some(owner) if owner.name != name => warnings.push(format!(
                    "{}: user \"{name}\" is \"{}\" to this host, and a rule needs that name",
                    called(rule, number),
                    owner.name
                )),
                Some(_) => {}
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
