//! `check` and `explain`: what policy says, and of whom it asks what.

use std::fmt::Write;
use std::time::Duration;

use mfa_protocol::Reply;
use mfa_protocol::escape::escape;
use mfa_protocol::message::{Action, Checked, Explained, ExplainedRule, Supposed};
use zeroize::Zeroizing;

use crate::drawing::printable;
use crate::problem::{DONE, Problem};
use crate::session::Session;
use crate::time::short;
use crate::{cli, json};

impl Session<'_> {
    /// `check`. A policy that cannot be read is an error of the verifier's, with its place.
    pub fn check(&mut self) -> Result<u8, Problem> {
        match self.manage_for(None, Action::Check, "use a terminal")? {
            Reply::Checked(checked) => {
                self.answer(&json::CheckedAnswer::from(&checked), || summary(&checked))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `explain`.
    pub fn explain(&mut self, explain: &cli::Explain) -> Result<u8, Problem> {
        let supposed = Supposed {
            service: explain.service.clone(),
            rhost: explain.from.clone(),
            tty: explain.tty.clone(),
            at: explain.at.clone(),
        };
        let action = Action::Explain(Box::new(supposed));
        match self.manage_for(Some(&explain.name), action, "use a terminal")? {
            Reply::Explained(explained) => {
                let answer = json::ExplainedAnswer::from(&*explained);
                self.answer(&answer, || explanation(&explained))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }
}

fn summary(checked: &Checked) -> Zeroizing<String> {
    let path = escape(&checked.path);
    let mut text = if checked.exists {
        let rules = match checked.rules {
            0 => "no rules".to_owned(),
            1 => "1 rule".to_owned(),
            n => format!("{n} rules"),
        };
        format!("{path} can be used: {rules}.\n")
    } else {
        format!("{path} is not there: the built-in policy holds, which asks everybody.\n")
    };
    for warning in &checked.warnings {
        let _ = writeln!(text, "warning: {}", printable(warning).as_str());
    }
    Zeroizing::new(text)
}

fn explanation(it: &Explained) -> Zeroizing<String> {
    let mut out = String::new();
    let from = match it.source.as_str() {
        "local" if it.console => "this host, at its console".to_owned(),
        "local" => "this host".to_owned(),
        "unknown" => "a remote host whose address is not known".to_owned(),
        address => address.to_owned(),
    };
    let mut row = |name: &str, text: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{name:<10} {text}");
    };
    row("User:", &format!("{} (uid {})", escape(&it.user), it.uid));
    row("Service:", &escape(&it.service));
    row("From:", &escape(&from));
    let at = format!("{} UTC", short(it.at));
    row("Time:", &it.local.as_ref().map_or(at.clone(), |local| format!("{local} here, {at}")));
    if it.rules_left_out > 0 {
        row("Rules:", &format!("1 to {} do not match", it.rules_left_out));
    }
    for rule in &it.rules {
        row(&format!("Rule {}:", rule.number), &of_rule(rule, it));
    }
    if it.rules.last().is_none_or(|rule| rule.mismatch.is_some()) {
        row("Policy:", "no rule holds, so it is [policy] alone");
    }
    if it.required == Some(true) {
        row(
            "Required:",
            "of this user by name: mode counts as \"required\", and nullok for nothing",
        );
    }
    row("Asked:", &asked(it));
    if it.remember > 0 {
        let time = humantime::format_duration(Duration::from_secs(it.remember));
        row("Then:", &format!("it may be remembered for up to {time}"));
    }
    if let Some(notice) = &it.notice {
        row("Told:", &escape(notice));
    }
    Zeroizing::new(out)
}

fn of_rule(rule: &ExplainedRule, it: &Explained) -> String {
    let name = rule.name.as_ref().map_or(String::new(), |name| format!("\"{}\", ", escape(name)));
    let user = escape(&it.user);
    let why = match rule.mismatch.as_deref() {
        None => "holds".to_owned(),
        Some("users") => format!("no: {user} is not among its users"),
        Some("groups") => format!("no: {user} is in none of its groups"),
        Some("services") => format!("no: {} is not among its services", escape(&it.service)),
        Some("from") => match it.source.as_str() {
            "local" => "no: it is for networks, and this host is none".to_owned(),
            "unknown" => "no: it is for networks, and the address is not known".to_owned(),
            address => format!("no: {} is in none of its networks", escape(address)),
        },
        Some("console") if it.console => "no: it is not for a console".to_owned(),
        Some("console") => "no: it is for a console".to_owned(),
        Some("time") => "no: it is for other times".to_owned(),
        Some(other) => format!("no: {}", escape(other)),
    };
    format!("{name}line {}: {why}", rule.line)
}

fn asked(it: &Explained) -> String {
    let reason = || escape(it.reason.as_deref().unwrap_or_default());
    match it.requirement.as_str() {
        "exempt" => format!("nothing (exempt, reason={})", reason()),
        "deny" => format!("nothing, and refused (reason={})", reason()),
        "enrol" => "to enrol".to_owned(),
        _ => {
            let prompt = escape(it.prompt.as_deref().unwrap_or_default());
            let methods = it.methods.join(", ");
            let accepted = match (it.enrolled, it.methods.is_empty()) {
                (Some(false), true) => "nothing is right, for nothing is enrolled".to_owned(),
                (_, true) => "nothing is right".to_owned(),
                _ => format!("right are {methods}"),
            };
            let outside = if it.outside { "; it is outside of allow_from" } else { "" };
            format!("\"{prompt}\": {accepted}{outside}")
        }
    }
}
