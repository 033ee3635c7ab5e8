//! `[[rule]]`: for whom, where and when a part of the policy is another one.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::fields::{some_line, some_span, some_within};
use super::hours::Hours;
use super::names::{Name, Names, Services};
use super::network::Networks;
use super::policy::{
    EnrolAtLogin, LONGEST_REMEMBERED, LONGEST_SESSION, Methods, Mode, RequiredFrom,
};
use super::{Config, LockoutConfig, PolicyConfig};

/// The rules, in their order; the first that matches holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Arc<[Rule]>);

/// For whom, where and when what holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What the log calls it.
    pub name: Option<String>,
    /// What must be so. All of it.
    pub matches: Matchers,
    /// What then holds in place of what the file says elsewhere.
    pub sets: Overrides,
    /// Its line in the file.
    pub line: usize,
    /// Where it begins in the file, in bytes.
    offset: usize,
}

/// What a rule looks at; what is not there does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matchers {
    /// Who logs in.
    pub users: Option<Names>,
    /// In which groups they are; one is enough.
    pub groups: Option<Names>,
    /// By which PAM service.
    pub services: Option<Services>,
    /// From which networks. Who has no address is in none.
    pub from: Option<Networks>,
    /// Whether at a terminal or display of this machine.
    pub console: Option<bool>,
    /// At what times of the week.
    pub time: Option<Hours>,
}

/// What a rule sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    mode: Option<Mode>,
    help: Option<String>,
    required_from: Option<RequiredFrom>,
    trusted: Option<Networks>,
    allow_from: Option<Networks>,
    backup_codes_anywhere: Option<bool>,
    methods: Option<Methods>,
    remember: Option<u64>,
    without_key: Option<bool>,
    remember_session: Option<u64>,
    enrol_at_login: Option<EnrolAtLogin>,
    enrol_from: Option<Networks>,
    verify_new_address: Option<bool>,
    new_address_exempts_enrolled: Option<bool>,
    window: Option<u8>,
    lockout: LockoutOverrides,
}

/// `lockout = {…}` of a rule: any keys of `[lockout]`, within the same bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LockoutOverrides {
    #[serde(deserialize_with = "some_within::<1, 100, _, _>")]
    per_source: Option<u32>,
    #[serde(deserialize_with = "some_within::<1, 100, _, _>")]
    per_user: Option<u32>,
    #[serde(deserialize_with = "some_within::<1, 86_400, _, _>")]
    first_wait: Option<u64>,
    #[serde(deserialize_with = "some_within::<1, 86_400, _, _>")]
    longest_wait: Option<u64>,
    #[serde(deserialize_with = "some_within::<1, 100, _, _>")]
    disable_after: Option<u32>,
    #[serde(deserialize_with = "some_within::<1, 100, _, _>")]
    backup_codes_per_hour: Option<u32>,
    #[serde(deserialize_with = "some_within::<1, 365, _, _>")]
    known_source_days: Option<u32>,
}

impl Matchers {
    /// Whether all that `other` matches is matched by these, as far as that shows in how they are
    /// written.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        fn covers<T>(these: Option<&T>, other: Option<&T>, cover: fn(&T, &T) -> bool) -> bool {
            these.is_none_or(|these| other.is_some_and(|other| cover(these, other)))
        }
        covers(self.users.as_ref(), other.users.as_ref(), Names::cover)
            && covers(self.groups.as_ref(), other.groups.as_ref(), Names::cover)
            && covers(self.services.as_ref(), other.services.as_ref(), |one, two| one == two)
            && covers(self.from.as_ref(), other.from.as_ref(), Networks::cover)
            && covers(self.console.as_ref(), other.console.as_ref(), |one, two| one == two)
            && covers(self.time.as_ref(), other.time.as_ref(), |one, two| one == two)
    }
}

impl Rule {
    /// `config` where this rule holds.
    #[must_use]
    pub fn applied_to(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.longest_wait_elsewhere = config.longest_wait();
        self.sets.apply(&mut config.policy);
        replace(&mut config.totp.window, self.sets.window);
        self.sets.lockout.apply(&mut config.lockout);
        config
    }

    /// `[policy]` where this rule holds.
    #[must_use]
    pub fn applied_to_policy(&self, policy: &PolicyConfig) -> PolicyConfig {
        let mut policy = policy.clone();
        self.sets.apply(&mut policy);
        policy
    }

    /// The mode that it sets.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.sets.mode
    }

    /// The day or moment that it sets for `required`.
    #[must_use]
    pub fn required_from(&self) -> Option<&RequiredFrom> {
        self.sets.required_from.as_ref()
    }

    /// The window that it sets.
    #[must_use]
    pub fn window(&self) -> Option<u8> {
        self.sets.window
    }

    /// The longest wait that it sets.
    #[must_use]
    pub fn longest_wait(&self) -> Option<u64> {
        self.sets.lockout.longest_wait
    }

    /// Whether it looks at who somebody is.
    #[must_use]
    pub fn is_about_people(&self) -> bool {
        self.matches.users.is_some() || self.matches.groups.is_some()
    }
}

impl Overrides {
    fn apply(&self, policy: &mut PolicyConfig) {
        replace(&mut policy.mode, self.mode);
        replace(&mut policy.help, self.help.clone());
        replace(&mut policy.required_from, self.required_from.clone());
        replace(&mut policy.trusted, self.trusted.clone());
        replace(&mut policy.allow_from, self.allow_from.clone());
        replace(&mut policy.backup_codes_anywhere, self.backup_codes_anywhere);
        replace(&mut policy.methods, self.methods);
        replace(&mut policy.remember, self.remember);
        replace(&mut policy.without_key, self.without_key);
        replace(&mut policy.remember_session, self.remember_session);
        replace(&mut policy.enrol_at_login, self.enrol_at_login);
        replace(&mut policy.enrol_from, self.enrol_from.clone());
        replace(&mut policy.verify_new_address, self.verify_new_address);
        replace(&mut policy.new_address_exempts_enrolled, self.new_address_exempts_enrolled);
    }
}

impl LockoutOverrides {
    fn apply(&self, lockout: &mut LockoutConfig) {
        replace(&mut lockout.per_source, self.per_source);
        replace(&mut lockout.per_user, self.per_user);
        replace(&mut lockout.first_wait, self.first_wait);
        replace(&mut lockout.longest_wait, self.longest_wait);
        replace(&mut lockout.disable_after, self.disable_after);
        replace(&mut lockout.backup_codes_per_hour, self.backup_codes_per_hour);
        replace(&mut lockout.known_source_days, self.known_source_days);
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

impl Rules {
    /// Notes each rule's line in `text`, and finds what is wrong with a rule as a whole: where, in
    /// bytes, and what.
    pub(super) fn settle(&mut self, text: &str) -> Result<(), (usize, &'static str)> {
        let last = self.0.len();
        // Nobody else has them yet.
        let rules = Arc::get_mut(&mut self.0).into_iter().flatten();
        let (mut line, mut seen) = (1, 0);
        for (rule, number) in rules.zip(1..) {
            let between = text.get(seen..rule.offset).unwrap_or_default();
            line += between.matches('\n').count();
            seen = rule.offset.max(seen);
            rule.line = line;
            if rule.matches == Matchers::default() && number != last {
                return Err((
                    rule.offset,
                    "this rule says for whom it is by no key, so none behind it is ever reached; \
                     only the last may match everybody",
                ));
            }
            if rule.sets == Overrides::default() {
                return Err((rule.offset, "this rule sets nothing; give it a mode, for example"));
            }
        }
        Ok(())
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<Spanned<Written>>::deserialize(deserializer)?;
        Ok(Self(written.into_iter().map(Rule::from).collect()))
    }
}

/// A rule as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<Name>,
    users: Option<Names>,
    groups: Option<Names>,
    #[serde(default, deserialize_with = "some_services")]
    services: Option<Services>,
    #[serde(default, deserialize_with = "some_networks")]
    from: Option<Networks>,
    console: Option<bool>,
    time: Option<Hours>,
    mode: Option<Mode>,
    #[serde(default, deserialize_with = "some_line")]
    help: Option<String>,
    required_from: Option<RequiredFrom>,
    trusted: Option<Networks>,
    allow_from: Option<Networks>,
    backup_codes_anywhere: Option<bool>,
    methods: Option<Methods>,
    #[serde(default, deserialize_with = "some_span::<LONGEST_REMEMBERED, _>")]
    remember: Option<u64>,
    without_key: Option<bool>,
    #[serde(default, deserialize_with = "some_span::<LONGEST_SESSION, _>")]
    remember_session: Option<u64>,
    enrol_at_login: Option<EnrolAtLogin>,
    enrol_from: Option<Networks>,
    verify_new_address: Option<bool>,
    new_address_exempts_enrolled: Option<bool>,
    #[serde(default, deserialize_with = "some_within::<0, 10, _, _>")]
    window: Option<u8>,
    #[serde(default)]
    lockout: LockoutOverrides,
}

/// Services that a rule is for. In `[policy]` an empty list is every service; here nobody could tell.
fn some_services<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Services>, D::Error> {
    let services = Services::deserialize(d)?;
    if services.is_empty() {
        return Err(serde::de::Error::custom("a list of no services matches nothing"));
    }
    Ok(Some(services))
}

fn some_networks<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Networks>, D::Error> {
    let networks = Networks::deserialize(d)?;
    if networks.is_empty() {
        return Err(serde::de::Error::custom("a list of no networks matches nothing"));
    }
    Ok(Some(networks))
}

impl From<Spanned<Written>> for Rule {
    fn from(spanned: Spanned<Written>) -> Self {
        let offset = spanned.span().start;
        let rule = spanned.into_inner();
        Self {
            name: rule.name.map(|name| name.to_string()),
            matches: Matchers {
                users: rule.users,
                groups: rule.groups,
                services: rule.services,
                from: rule.from,
                console: rule.console,
                time: rule.time,
            },
            sets: Overrides {
                mode: rule.mode,
                help: rule.help,
                required_from: rule.required_from,
                trusted: rule.trusted,
                allow_from: rule.allow_from,
                backup_codes_anywhere: rule.backup_codes_anywhere,
                methods: rule.methods,
                remember: rule.remember,
                without_key: rule.without_key,
                remember_session: rule.remember_session,
                enrol_at_login: rule.enrol_at_login,
                enrol_from: rule.enrol_from,
                verify_new_address: rule.verify_new_address,
                new_address_exempts_enrolled: rule.new_address_exempts_enrolled,
                window: rule.window,
                lockout: rule.lockout,
            },
            line: 0,
            offset,
        }
    }
}
