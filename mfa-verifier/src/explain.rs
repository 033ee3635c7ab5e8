//! `mfa-setup explain`: what policy would ask of somebody, found by what decides a login.

use mfa_protocol::message::{
    Explained, ExplainedRule, Failure, FailureKind, LoginRequest, Supposed,
};

use crate::config::{Config, Methods};
use crate::decision::Decision;
use crate::failure::{failure, of_situation, of_store, usage};
use crate::policy::{self, Exemption, Requirement, Ruling};
use crate::remember::lifetime;
use crate::situation::situation;
use crate::store::Owner;
use crate::words::{grace, prompt};
use crate::world::World;

/// Rules that fit into an answer.
const MAX_RULES: usize = 400;

/// Characters of a name of a rule.
const LONGEST_NAME: usize = 64;

/// What would be asked of `owner`, who has given a first factor.
pub(crate) fn explain(
    world: &World,
    owner: &Owner,
    supposed: &Supposed,
) -> Result<Explained, Failure> {
    let now = match &supposed.at {
        None => (world.now)(),
        Some(written) => {
            let zone = (world.zone)().map_err(|error| of_situation(&error.into()))?;
            zone.moment(written).ok_or_else(|| {
                usage(
                    format!("\"{}\" is no time", mfa_protocol::escape::escape(written)),
                    "write it as 2026-12-01, \"2026-12-01 08:00\" or 2026-12-01T08:00:00Z",
                )
            })?
        }
    };
    let now = || now;
    let world = &World { now: &now, ..*world };
    // As the module would send it. libpam makes the letters of a service's name small.
    let request = LoginRequest {
        user: owner.name.clone().into_bytes(),
        service: supposed.service.to_ascii_lowercase(),
        rhost: supposed.rhost.clone(),
        tty: supposed.tty.clone(),
        password_given: true,
        ..LoginRequest::default()
    };
    let situation =
        situation(world, &request, Some(owner)).map_err(|error| of_situation(&error))?;
    let ruling = policy::ruling(world.config, &situation);
    let policy = &ruling.config.policy;
    let looked_at = policy::looks_at_records(policy, &situation);
    // A store that no login can use is not completed for being asked about.
    let opened = if looked_at { world.archive.open() } else { Ok(None) };
    let opened = opened.map_err(|error| of_store(&error))?;
    // A fresh host has nobody, and lends nothing.
    let record = opened.map(|store| store.load(owner)).transpose();
    let record = record.map_err(|error| of_store(&error))?;
    let record = record.map(|(record, _)| record).unwrap_or_default();
    let lends = || policy::lent(&ruling.config, &situation, &owner.name, &record);
    let lent = opened.and_then(|_| lends());
    let known = policy::Known::of(&record, lent.as_ref());
    let there = policy::from_there(&ruling.config, &situation, &record, lent.as_ref());
    let requirement = policy::requirement(&there.policy, &situation, known);
    let for_want_of_a_device = matches!(
        requirement,
        Requirement::Exempt(exemption) if exemption.is_for_want_of_a_device()
    );
    if opened.is_none() && for_want_of_a_device && lends().is_some() {
        return Err(failure(
            FailureKind::Unusable,
            "there is no store yet, in which a code by mail could be noted: logins are refused",
            "make it with: mfa-setup init",
        ));
    }
    let (name, reason) = match requirement {
        Requirement::Exempt(exemption) => ("exempt", Some(Decision::Exempt(exemption))),
        Requirement::Deny(denial) => ("deny", Some(Decision::Denied(denial))),
        Requirement::Challenge => ("challenge", None),
        Requirement::Enrol(_) => ("enrol", None),
    };
    let notice = match requirement {
        Requirement::Exempt(Exemption::NotRequiredYet { days }) => {
            Some(grace(&policy.required_from, days))
        }
        _ => None,
    };
    let asks = requirement == Requirement::Challenge;
    let methods = if asks && known.has_factor {
        right(&there, lent.is_some() && !record.is_enrolled())
    } else {
        Methods::NONE
    };
    let shown = World { config: &ruling.config, ..*world };
    let (rules, rules_left_out) = rules(&ruling);
    Ok(Explained {
        user: owner.name.clone(),
        uid: owner.uid,
        enrolled: looked_at.then(|| record.is_enrolled()),
        service: request.service.clone(),
        source: situation.from_where(),
        console: situation.console,
        at: situation.now,
        local: situation.local.map(|local| local.strftime("%a %F %H:%M:%S").to_string()),
        rules,
        rules_left_out,
        requirement: name.to_owned(),
        reason: reason.map(|decision| decision.reason().word().to_owned()),
        notice,
        prompt: asks.then(|| prompt(&shown, &request).text),
        methods: methods.names().into_iter().map(str::to_owned).collect(),
        outside: ruling.outside,
        remember: if asks && known.has_factor {
            lifetime(policy, &request.service, situation.source)
        } else {
            0
        },
        required: looked_at.then_some(record.required),
    })
}

/// What policy accepts, of what there can be on this host: where all that somebody has is lent, that is a
/// code that is sent.
fn right(config: &Config, lent_alone: bool) -> Methods {
    let methods = config.policy.methods;
    let email = methods.email && config.email.from.is_some();
    if lent_alone { Methods { email, ..Methods::NONE } } else { Methods { email, ..methods } }
}

/// The rules up to the one that holds, and how many before them are too many for an answer.
fn rules(ruling: &Ruling) -> (Vec<ExplainedRule>, u32) {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let why = ruling.passed_over.iter().map(|why| Some(why.key().to_owned()));
    let looked_at = ruling.passed_over.len() + usize::from(ruling.rule.is_some());
    let left_out = looked_at.saturating_sub(MAX_RULES);
    let rules = ruling.config.rules.iter().zip(why.chain([None])).zip(1..).take(looked_at);
    let shown = rules.skip(left_out).map(|((rule, mismatch), number)| ExplainedRule {
        number,
        name: rule.name.as_ref().map(|name| name.chars().take(LONGEST_NAME).collect()),
        line: narrow(rule.line),
        mismatch,
    });
    (shown.collect(), narrow(left_out))
}
