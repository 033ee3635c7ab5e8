//! What is answered.

use std::fmt::Write;

use mfa_protocol::message::{Finding, Level};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::drawing::printable;

/// For programs.
#[derive(Serialize)]
pub struct Answer<'a> {
    findings: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    level: &'static str,
    about: &'a str,
    found: &'a str,
    hint: Option<&'a str>,
}

impl<'a> Answer<'a> {
    pub fn new(findings: &'a [Finding]) -> Self {
        let one = |Finding { level, about, found, hint }: &'a Finding| One {
            level: level.name(),
            about,
            found,
            hint: Some(hint.as_str()).filter(|hint| !hint.is_empty()),
        };
        Self { findings: findings.iter().map(one).collect() }
    }
}

/// For people: what is as it should be in a line each, what is not with what to do below it, and how much
/// there is of it at the end, where it is seen.
pub fn text(findings: &[Finding]) -> Zeroizing<String> {
    let mut out = String::new();
    for Finding { level, about, found, hint } in findings {
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{:<8} {:<10} {}",
            level.name(),
            printable(about).as_str(),
            printable(found).as_str()
        );
        if !hint.is_empty() {
            let _ = writeln!(out, "{:20}hint: {}", "", printable(hint).as_str());
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.level == wanted).count();
    let told = |number, what| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let _ = writeln!(
        out,
        "\n{}, {}",
        told(count(Level::Problem), "problem"),
        told(count(Level::Warning), "warning")
    );
    Zeroizing::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 2] {
        let finding = |level, about: &str, found: &str, hint: &str| Finding {
            level,
            about: about.to_owned(),
            found: found.to_owned(),
            hint: hint.to_owned(),
        };
        [
            finding(Level::Fine, "policy", "/etc/p can be used", ""),
            finding(Level::Problem, "pam.d", "nobody gets in \u{1b}[2J", "mend it"),
        ]
    }

    #[test]
    fn each_finding_is_a_line_and_what_to_do_stands_below_it() {
        assert_eq!(
            *text(&findings()),
            "ok       policy     /etc/p can be used\n\
             problem  pam.d      nobody gets in \\u{1b}[2J\n\
             \x20                   hint: mend it\n\
             \n1 problem, 0 warnings\n"
        );
    }

    #[test]
    fn programs_get_null_where_there_is_nothing_to_do() {
        let json = serde_json::to_value(Answer::new(&findings())).unwrap();
        assert_eq!(json["findings"][0]["hint"], serde_json::Value::Null);
        assert_eq!(json["findings"][1]["level"], "problem");
    }
}
