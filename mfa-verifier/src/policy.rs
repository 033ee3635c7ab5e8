//! What is asked of whom. Pure: configuration and situation go in, a ruling and a requirement come out.
//!
//! A *ruling* is the configuration that holds, with what a rule changes in it; everything behind it
//! takes that for the configuration. It does not depend on what the user has enrolled, so that no
//! record is looked at where none matters. A *requirement* is what is asked under it, where two things
//! are [`Known`] of the user. Only what `mailbox` adds looks at the record itself.

mod mailbox;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::civil::DateTime;
use mfa_protocol::{JUDGE_SERVICE, REAUTH_SERVICE, TEST_SERVICE};

use crate::config::{Config, EnrolAtLogin, Methods, Mode, PolicyConfig, RequiredFrom, Rule};
use crate::record::{Device, UserRecord};
use crate::source::Source;

pub use mailbox::{LENT, from_there, lent};

/// What policy looks at.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// The PAM service.
    pub service: &'a str,
    /// The user's name as the system has it; `None`: there is no such user.
    pub user: Option<&'a str>,
    /// Of the groups that rules name, those that the user is in.
    pub groups: BTreeSet<String>,
    /// Where the login comes from.
    pub source: Source,
    /// The remote host's address, if that is known.
    pub address: Option<IpAddr>,
    /// Whether somebody sits at this machine.
    pub console: bool,
    /// The time, seconds since the Unix epoch.
    pub now: u64,
    /// The same as a clock on the wall has it here; only where [`needs_local_time`].
    pub local: Option<DateTime>,
    /// Whether a first factor has provably been given: sshd names a method that succeeded, or a
    /// module read a password.
    pub first_factor: bool,
    /// The stack's `nullok`.
    pub nullok: bool,
}

impl Situation<'_> {
    /// The remote host's address, or what is known in place of it.
    #[must_use]
    pub fn from_where(&self) -> String {
        self.address.map_or_else(|| self.source.to_string(), |address| address.to_string())
    }
}

/// What a record says of its user, as far as it decides what is asked. By default nothing, as of nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether there is something to give a code of.
    pub has_factor: bool,
    /// Whether root requires a second factor of this user: `optional` counts as `required` then, and neither a
    /// day nor `nullok` changes that. Where nobody's record is looked at, it changes nothing: there everything else
    /// may be broken, and a service may be unable to ask.
    pub required: bool,
}

impl Known {
    /// Of a record, and what policy lends to its user.
    #[must_use]
    pub fn of(record: &UserRecord, lent: Option<&Device>) -> Self {
        Self { has_factor: record.is_enrolled() || lent.is_some(), required: record.required }
    }
}

/// What holds for one login.
#[derive(Debug, Clone)]
pub struct Ruling<'a> {
    /// The configuration, as the rule that holds makes it.
    pub config: Cow<'a, Config>,
    /// The place of that rule in the file; `None`: no rule holds.
    pub rule: Option<usize>,
    /// Why each rule before it does not hold.
    pub passed_over: Vec<Mismatch>,
    /// Whether it comes from outside of `allow_from`; then `config` accepts less.
    pub outside: bool,
}

impl Ruling<'_> {
    /// The rule that holds, with its number in the file, from 1.
    #[must_use]
    pub fn held(&self) -> Option<(usize, &Rule)> {
        let index = self.rule?;
        Some((index + 1, self.config.rules.get(index)?))
    }
}

/// Why a rule does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It is for other users.
    Users,
    /// It is for other groups.
    Groups,
    /// It is for other services.
    Services,
    /// It is for other networks, or the address is not known.
    From,
    /// It is for a console, or for none.
    Console,
    /// It is for other times.
    Time,
}

impl Mismatch {
    /// The key that does not match.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Services => "services",
            Self::From => "from",
            Self::Console => "console",
            Self::Time => "time",
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Exempt(Exemption),
    /// A code; of who has none, too, so that the prompt tells nothing.
    Challenge,
    /// That a first device be enrolled.
    Enrol(EnrolAtLogin),
    /// Nobody gets in by being asked nothing here.
    Deny(Denial),
}

/// Why nothing is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// The policy is off.
    ModeOff,
    /// This service is not asked at all.
    Service,
    /// The address is one that is trusted.
    Trusted,
    /// The user has not enrolled, and need not.
    NotEnrolled,
    /// The user has not enrolled, and need not for so many days yet.
    NotRequiredYet {
        /// Days until then, the one that has begun among them.
        days: u32,
    },
    /// It is the first factor that is asked for, before a change of the own record; the verifier
    /// asks for the second itself.
    ReAuthentication,
}

impl Exemption {
    /// Whether who had a device would be asked for a code.
    #[must_use]
    pub fn is_for_want_of_a_device(self) -> bool {
        matches!(self, Self::NotEnrolled | Self::NotRequiredYet { .. })
    }
}

/// Why somebody is refused without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// An exemption is for users.
    UnknownUser,
    /// sshd has seen no first factor, so the stack may have none: an exemption would let anybody in.
    NoFirstFactor,
}

/// What holds for one login.
#[must_use]
pub fn ruling<'a>(config: &'a Config, situation: &Situation) -> Ruling<'a> {
    let (rule, passed_over) = if is_asked(&config.policy, situation.service) {
        holding(config, situation)
    } else {
        (None, Vec::new())
    };
    let mut config = match rule.and_then(|index| config.rules.get(index)) {
        Some(rule) => Cow::Owned(rule.applied_to(config)),
        None => Cow::Borrowed(config),
    };
    let outside = is_outside(&config.policy, situation);
    if outside {
        let policy = &mut config.to_mut().policy;
        let anywhere = policy.backup_codes_anywhere && policy.methods.backup_code;
        policy.methods = Methods { backup_code: anywhere, ..Methods::NONE };
        // What is remembered would not have let in here.
        (policy.remember, policy.remember_session) = (0, 0);
    }
    Ruling { config, rule, passed_over, outside }
}

/// The first rule that matches, and why those before it do not.
fn holding(config: &Config, situation: &Situation) -> (Option<usize>, Vec<Mismatch>) {
    let mut passed_over = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        match mismatch(rule, situation) {
            None if holds(config, rule, situation) => return (Some(index), passed_over),
            None => passed_over.push(about(rule)),
            Some(why) => passed_over.push(why),
        }
    }
    (None, passed_over)
}

/// Whether a rule holds that matches. Nobody knows in which lists somebody would be whom the system
/// does not know; so that they are told apart neither from those who are asked nor from those of them
/// who have not enrolled, every list names them by which they are asked, and no other.
fn holds(config: &Config, rule: &Rule, situation: &Situation) -> bool {
    if situation.user.is_some() || !rule.is_about_people() {
        return true;
    }
    // What most exempting rules say; a copy of the policy for each of a thousand would take its time.
    if rule.mode().unwrap_or(config.policy.mode) == Mode::Off {
        return false;
    }
    let policy = rule.applied_to_policy(&config.policy);
    requirement(&policy, situation, Known::default()) == Requirement::Challenge
}

/// By what a rule that asks nothing is passed over for a user whom the system does not know.
fn about(rule: &Rule) -> Mismatch {
    if rule.matches.users.is_some() { Mismatch::Users } else { Mismatch::Groups }
}

/// Why `rule` does not match, if it does not. Of a user whom the system does not know, nothing is said
/// by name or group.
fn mismatch(rule: &Rule, situation: &Situation) -> Option<Mismatch> {
    let wanted = &rule.matches;
    let fails = |matches: Option<bool>| matches == Some(false);
    let services = wanted.services.as_ref().map(|them| them.include(situation.service));
    if fails(services) {
        return Some(Mismatch::Services);
    }
    let users = wanted.users.as_ref().zip(situation.user);
    if fails(users.map(|(users, user)| users.iter().any(|name| name == user))) {
        return Some(Mismatch::Users);
    }
    let within = |address: Option<IpAddr>| {
        wanted.from.as_ref().map(|from| address.is_some_and(|address| from.contain(address)))
    };
    if fails(within(situation.address)) {
        return Some(Mismatch::From);
    }
    if fails(wanted.console.map(|console| console == situation.console)) {
        return Some(Mismatch::Console);
    }
    let hours = wanted.time.as_ref();
    if fails(hours.map(|hours| situation.local.is_some_and(|local| hours.contain(local)))) {
        return Some(Mismatch::Time);
    }
    // At the end: a system may have to ask a directory for them.
    let groups = wanted.groups.as_ref().filter(|_| situation.user.is_some());
    if fails(groups.map(|them| them.iter().any(|name| situation.groups.contains(name)))) {
        return Some(Mismatch::Groups);
    }
    None
}

/// The groups of which it matters whether the user is in them, where everything else is known of the
/// situation.
///
/// None behind a rule that holds and asks nothing: whoever mends a directory has to get in without it.
/// Where somebody is asked they are looked up behind the rule that holds, too, or the time taken would
/// tell who is named before.
#[must_use]
pub fn groups_that_matter<'a>(config: &'a Config, situation: &Situation) -> BTreeSet<&'a str> {
    let mut groups = BTreeSet::new();
    if !is_asked(&config.policy, situation.service) {
        return groups;
    }
    for rule in config.rules.iter() {
        match (mismatch(rule, situation), &rule.matches.groups) {
            (None, None) if asks_nothing(config, rule, situation) => break,
            (None | Some(Mismatch::Groups), Some(named)) => groups.extend(named.iter()),
            _ => {}
        }
    }
    groups
}

fn asks_nothing(config: &Config, rule: &Rule, situation: &Situation) -> bool {
    holds(config, rule, situation)
        && !looks_at_records(&rule.applied_to_policy(&config.policy), situation)
}

/// Whether it decides in which further groups the user may be, where `situation` does not know all. It does
/// for whom the system does not know, as for those of whom it says no group.
#[must_use]
pub fn hinges_on_groups(config: &Config, situation: &Situation) -> bool {
    situation.user.is_none() || ruling(config, situation).passed_over.contains(&Mismatch::Groups)
}

/// Whether the local time decides, where `situation` does not know it.
#[must_use]
pub fn hinges_on_local_time(config: &Config, situation: &Situation) -> bool {
    let ruling = ruling(config, situation);
    let policy = &ruling.config.policy;
    let by_date = policy.mode == Mode::Required && policy.required_from.is_local();
    by_date && looks_at_records(policy, situation) || ruling.passed_over.contains(&Mismatch::Time)
}

/// Whether anything may depend on the time of day or on a date here.
#[must_use]
pub fn needs_local_time(config: &Config) -> bool {
    config.policy.required_from.is_local()
        || config.rules.iter().any(|rule| {
            rule.matches.time.is_some() || rule.required_from().is_some_and(RequiredFrom::is_local)
        })
}

/// The requirement for one login, where `policy` is that of its [`ruling`].
#[must_use]
pub fn requirement(policy: &PolicyConfig, situation: &Situation, known: Known) -> Requirement {
    if situation.service == REAUTH_SERVICE {
        return exempt(Exemption::ReAuthentication, situation);
    }
    if !is_asked(policy, situation.service) {
        return exempt(Exemption::Service, situation);
    }
    if is_trusted(policy, situation) {
        return exempt(Exemption::Trusted, situation);
    }
    let days = days_left(policy, situation).filter(|_| !known.required);
    // Who comes from outside is not let in by having nothing to give.
    let unenrolled = situation.user.is_some() && !known.has_factor;
    let unasked = unenrolled && !is_outside(policy, situation);
    match effective_mode(policy, situation, known) {
        Mode::Off => exempt(Exemption::ModeOff, situation),
        Mode::Optional if unasked => exempt(
            days.map_or(Exemption::NotEnrolled, |days| Exemption::NotRequiredYet { days }),
            situation,
        ),
        Mode::Required if unasked && may_enrol(policy, situation) => {
            Requirement::Enrol(policy.enrol_at_login)
        }
        Mode::Optional | Mode::Required => Requirement::Challenge,
    }
}

/// Whether anything depends on who has enrolled.
#[must_use]
pub fn looks_at_records(policy: &PolicyConfig, situation: &Situation) -> bool {
    situation.service != REAUTH_SERVICE
        && is_asked(policy, situation.service)
        && !is_trusted(policy, situation)
        && policy.mode != Mode::Off
}

/// Whether a service is asked at all. Where somebody changes the own record, or a code is tried and
/// nobody logs in, it is none that need be named: every code would be right there.
fn is_asked(policy: &PolicyConfig, service: &str) -> bool {
    [REAUTH_SERVICE, JUDGE_SERVICE, TEST_SERVICE].contains(&service)
        || policy.services.include(service)
}

fn is_trusted(policy: &PolicyConfig, situation: &Situation) -> bool {
    situation.address.is_some_and(|address| policy.trusted.contain(address))
}

/// Whether a login comes from where `allow_from` accepts nothing. This host itself is no network, so
/// a console, `su` and `sudo` are never outside; a remote host without an address always is.
fn is_outside(policy: &PolicyConfig, situation: &Situation) -> bool {
    !policy.allow_from.is_empty()
        && situation.source != Source::Local
        && !situation.address.is_some_and(|address| policy.allow_from.contain(address))
}

/// Enrolment lets in without a second factor, as an exemption does, so sshd has to have seen a first; and
/// so have others, or everybody who asks would be shown who has not enrolled. There an invitation does in
/// its place. What is enrolled is an app, which has to be accepted where it lets in.
fn may_enrol(policy: &PolicyConfig, situation: &Situation) -> bool {
    let from = &policy.enrol_from;
    let invited = policy.enrol_at_login == EnrolAtLogin::Invite && situation.service != "sshd";
    policy.enrol_at_login != EnrolAtLogin::Off
        && policy.methods.totp
        && (situation.first_factor || invited)
        && (from.is_empty() || situation.address.is_some_and(|address| from.contain(address)))
}

/// The days until `required` begins; `None` where it has, is not asked for, or will not count.
fn days_left(policy: &PolicyConfig, situation: &Situation) -> Option<u32> {
    let days = policy.required_from.days_left(situation.now, situation.local);
    days.filter(|_| policy.mode == Mode::Required && !situation.nullok)
}

/// `required` is `optional` until it begins, and in a stack with `nullok`; of who is required to by name,
/// neither is.
fn effective_mode(policy: &PolicyConfig, situation: &Situation, known: Known) -> Mode {
    match policy.mode {
        Mode::Optional | Mode::Required if known.required => Mode::Required,
        Mode::Required if situation.nullok || days_left(policy, situation).is_some() => {
            Mode::Optional
        }
        mode => mode,
    }
}

fn exempt(exemption: Exemption, situation: &Situation) -> Requirement {
    if situation.user.is_none() {
        Requirement::Deny(Denial::UnknownUser)
    } else if situation.service == "sshd" && !situation.first_factor {
        Requirement::Deny(Denial::NoFirstFactor)
    } else {
        Requirement::Exempt(exemption)
    }
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests;
