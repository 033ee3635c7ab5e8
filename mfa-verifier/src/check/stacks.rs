//! The stacks that ask `pam_mfa.so`: whether who has the first factor wrong gets as far as that.
//!
//! Only what is proven is said. A file that cannot be read may end a stack, and then nothing is.

use std::collections::BTreeMap;

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::pam_service::{self, Action, Line, Part};

use crate::config::{Config, EnrolAtLogin, PolicyConfig};
use crate::stack::{Place, Role, after, role};
use crate::world::World;

/// Services that are named in one warning.
const MOST_SERVICES: usize = 4;

/// Stacks in which an enrolment at login shows who has not enrolled, or comes to nothing. Of sshd it is known
/// by what it says itself that nobody enrols without a first factor.
pub(super) fn warnings(world: &World) -> Vec<String> {
    let pam = world.pam_services;
    let policy_file = world.policy_file.display().to_string();
    let place = |file: &str| pam.place(file).unwrap_or_else(|| file.into()).display().to_string();
    let mut warnings = Vec::new();
    // One line may be in many stacks.
    let mut behind: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let services = pam.names().into_iter().map(|service| {
        let lines = pam_service::read(&service, "auth", &|name| pam.read(name)).unwrap_or_default();
        (service, lines)
    });
    let services: BTreeMap<_, _> = services.collect();
    // What another one takes in is a part of that.
    let is_part = |name: &str| {
        let mut others = services.iter().filter(|(service, _)| *service != name);
        others.any(|(_, lines)| lines.iter().any(|line| line.file == name))
    };
    for (service, lines) in &services {
        if !enrols(world.config, service) {
            continue;
        }
        match before(lines, &policy_file) {
            Before::Ends => {}
            Before::Nothing if service == "sshd" || is_part(service) => {}
            Before::Nothing => warnings.push(format!(
                "{}: nobody is asked for a first factor before pam_mfa.so: enrol_at_login \"anybody\" enrols \
                 nobody there, and \"invite\" shows everybody who has not enrolled; put \"auth requisite \
                 pam_unix.so\" before it",
                place(service)
            )),
            Before::GoesOn(line) => {
                behind.entry((place(&line.file), advice(line))).or_default().push(service.clone());
            }
        }
    }
    warnings.extend(behind.into_iter().map(|((file, advice), services)| {
        let services: Vec<_> = services.iter().map(String::as_str).take(MOST_SERVICES).collect();
        format!(
            "{file}: who gives a wrong password is let pass to pam_mfa.so ({}), where enrol_at_login shows by \
             the time it takes who has not enrolled, and pam_faillock counts that password twice: {advice}",
            services.join(", ")
        )
    }));
    warnings
}

/// The line by which who gives a wrong password gets as far as the question for a code, and what to write there.
pub(crate) fn lets_pass<'a>(lines: &'a [Line], file: &str) -> Option<(&'a Line, String)> {
    match before(lines, file) {
        Before::GoesOn(line) => Some((line, advice(line))),
        Before::Ends | Before::Nothing => None,
    }
}

/// Whether somebody may enrol at a login of this service.
pub(crate) fn enrols(config: &Config, service: &str) -> bool {
    let enrols = |policy: &PolicyConfig| policy.enrol_at_login != EnrolAtLogin::Off;
    let rules = config.rules.iter();
    let mut rules = rules.filter(|rule| {
        rule.matches.services.as_ref().is_none_or(|services| services.include(service))
    });
    service != REAUTH_SERVICE
        && config.policy.services.include(service)
        && (enrols(&config.policy)
            || rules.any(|rule| enrols(&rule.applied_to_policy(&config.policy))))
}

/// What to write in place of a line that lets a wrong password pass.
fn advice(line: &Line) -> String {
    let Part::Module { control, name, .. } = &line.part else { return String::new() };
    if line.level > 0 {
        return "a substack ends nothing but itself: write its lines in its place, \"auth requisite \
                pam_deny.so\" behind the last that judges a password, and let a right one jump over that"
            .to_owned();
    }
    if control.eq_ignore_ascii_case("required") {
        return format!("make \"required {name}\" a \"requisite\"");
    }
    let control = if control.contains('=') { format!("[{control}]") } else { control.clone() };
    format!(
        "behind \"{control} {name}\" put \"auth requisite pam_deny.so\", and let a right password jump over \
         it, as Debian's common-auth does"
    )
}

/// What is before the line of `pam_mfa.so` that judges a code.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Before<'a> {
    /// Who has the first factor wrong does not get there, as far as is known; or there is no such line.
    Ends,
    /// They get there past this line, which refused them.
    GoesOn(&'a Line),
    /// Nobody is asked for a first factor.
    Nothing,
}

/// Looks at the `auth` lines of a service, with that policy `file`.
fn before<'a>(lines: &'a [Line], file: &str) -> Before<'a> {
    let Some(judge) = lines.iter().position(|line| role(line, file) == Role::Judges) else {
        return Before::Ends;
    };
    let (before, _) = lines.split_at(judge);
    if !before.iter().any(|line| matches!(role(line, file), Role::Factor | Role::Unknown)) {
        return Before::Nothing;
    }
    passed(lines, judge, file).map_or(Before::Ends, Before::GoesOn)
}

/// Goes through the lines with every factor wrong, by each way that
/// other modules leave open. The line that let them pass, if they get as far as `judge`.
fn passed<'a>(lines: &'a [Line], judge: usize, file: &str) -> Option<&'a Line> {
    // Behind the last one it is known that none was right.
    let mut before = lines.iter().take(judge);
    let last = before.rposition(|line| role(line, file) == Role::Factor);
    let mut seen = Vec::new();
    // With each place the first factor that the stack did not leave to others.
    let mut left = vec![(Place::START, None)];
    while let Some((place, refused)) = left.pop() {
        if place.at == judge {
            return lines.get(refused.or(last)?);
        }
        let Some(line) = lines.get(place.at) else { continue };
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let returns: &[&str] = match role(line, file) {
            Role::Factor => &["auth_err"],
            Role::Other(returns) => returns,
            Role::Skipped => {
                left.push((place.next(), refused));
                continue;
            }
            Role::Judges | Role::Unknown => continue,
        };
        for returned in returns {
            if let Some(next) = after(lines, place, returned) {
                let is_bad = line.action(returned) == Some(Action::Bad);
                let is_refused = role(line, file) == Role::Factor && is_bad;
                let first = refused.or(is_refused.then_some(place.at));
                left.push((next, first));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "/etc/pam_mfa/config.toml";
    const JUDGES: &str = "auth required pam_mfa.so\n";
    const UNIX: &str = "auth required pam_unix.so\n";

    /// What is before the line that judges in these files, of which the first is the service's: `ends`,
    /// `nothing`, or the line that lets pass.
    fn found(files: &[(&str, &str)]) -> String {
        let load = |name: &str| {
            let file = files.iter().find(|file| file.0 == name)?;
            Some(file.1.to_owned())
        };
        let lines = pam_service::read(files[0].0, "auth", &load).unwrap();
        match before(&lines, POLICY) {
            Before::Ends => "ends".to_owned(),
            Before::Nothing => "nothing".to_owned(),
            Before::GoesOn(line) => match &line.part {
                Part::Module { control, name, .. } => format!("{} {control} {name}", line.file),
                part => panic!("{part:?}"),
            },
        }
    }

    fn found_in(stack: &str) -> String {
        found(&[("sshd", stack)])
    }

    #[test]
    fn the_stacks_that_are_shipped_end_at_a_wrong_password() {
        let debian = "auth [success=1 default=ignore] pam_unix.so nullok\n\
                      auth requisite pam_deny.so\nauth required pam_permit.so\n";
        let sssd = "auth [success=2 default=ignore] pam_unix.so nullok\n\
                    auth [success=1 default=ignore] pam_sss.so use_first_pass\n\
                    auth requisite pam_deny.so\nauth required pam_permit.so\n\
                    auth optional pam_cap.so\n";
        for (name, example) in [
            ("sshd", include_str!("../../../config/pam.d/sshd")),
            ("sshd-forward-pass", include_str!("../../../config/pam.d/sshd-forward-pass")),
            ("login", include_str!("../../../config/pam.d/login")),
            ("su", include_str!("../../../config/pam.d/su")),
            ("sudo", include_str!("../../../config/pam.d/sudo")),
        ] {
            for common in [debian, sssd] {
                assert_eq!(found(&[(name, example), ("common-auth", common)]), "ends", "{name}");
            }
        }
        // sshd has asked for the key.
        let key = include_str!("../../../config/pam.d/sshd-key");
        assert_eq!(found(&[("sshd", key)]), "nothing");
    }

    #[test]
    fn a_stack_that_goes_on_is_found_and_so_is_the_line_that_it_goes_on_at() {
        for (before, expected) in [
            (UNIX, "sshd required pam_unix.so"),
            (
                "auth sufficient pam_fprintd.so\nauth required pam_unix.so\n",
                "sshd required pam_unix.so",
            ),
            (
                "auth [success=ok default=ignore] pam_unix.so\n",
                "sshd success=ok default=ignore pam_unix.so",
            ),
            ("auth optional pam_unix.so\n", "sshd optional pam_unix.so"),
            (
                "auth required pam_faillock.so preauth\nauth required pam_unix.so\n",
                "sshd required pam_unix.so",
            ),
            (
                "auth requisite pam_faillock.so preauth\nauth sufficient pam_unix.so\n\
              auth required pam_faillock.so authfail\n",
                "sshd sufficient pam_unix.so",
            ),
            // Who is in the group needs no password; who is not has it right or not.
            (
                "auth [success=1 default=ignore] pam_succeed_if.so user ingroup x\nauth required pam_sss.so\n",
                "sshd required pam_sss.so",
            ),
            // It jumps over what would have ended it.
            (
                "auth [auth_err=1 success=2 default=die] pam_unix.so\nauth requisite pam_deny.so\n",
                "sshd auth_err=1 success=2 default=die pam_unix.so",
            ),
            (
                "auth required pam_unix.so\nauth sufficient pam_permit.so\n",
                "sshd required pam_unix.so",
            ),
            (
                "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
                "sshd sufficient pam_unix.so",
            ),
            // Behind the first, pam_deny.so would refuse whom the second knows.
            (
                "auth sufficient pam_unix.so\nauth sufficient pam_sss.so use_first_pass\n\
                 auth required pam_deny.so\n",
                "sshd sufficient pam_sss.so",
            ),
        ] {
            assert_eq!(found_in(&[before, JUDGES].concat()), expected, "{before}");
        }
        for taken_in in ["@include common", "auth include /etc/more", "auth substack common"] {
            let stack = format!("{taken_in}\n{JUDGES}");
            let files = [("sshd", &*stack), ("common", UNIX), ("/etc/more", "@include common\n")];
            assert_eq!(found(&files), "common required pam_unix.so", "{taken_in}");
        }
    }

    #[test]
    fn a_stack_that_ends_is_found_to_end() {
        for before in [
            "auth requisite pam_unix.so\n",
            "auth [success=ok default=die] pam_unix.so\n",
            "auth required pam_faillock.so preauth\nauth [success=1 default=bad] pam_unix.so\n\
             auth [default=die] pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\n",
            "auth sufficient pam_rootok.so\nauth requisite pam_unix.so\n",
            "auth optional pam_faildelay.so\nauth requisite pam_nologin.so\nauth requisite pam_unix.so\n",
            "auth required pam_unix.so\nauth requisite pam_deny.so\n",
            "auth [default=2] pam_unix.so\nauth required pam_permit.so\nauth required pam_permit.so\n\
             auth requisite pam_deny.so\n",
            // It says yes to everybody: whoever gets there has not been asked.
            "auth sufficient pam_permit.so\nauth required pam_unix.so\n",
            // Perhaps it ends there.
            "auth required pam_unix.so\n@include missing\n",
        ] {
            assert_eq!(found_in(&[before, JUDGES].concat()), "ends", "{before}");
        }
        // Nothing is judged here.
        assert_eq!(found_in(UNIX), "ends");
        assert_eq!(found_in(&[UNIX, "auth required pam_mfa.so forward_pass\n"].concat()), "ends");
    }

    /// `pam.conf(5)`: `done` and `die` in a substack end the substack, and a jump counts it as one line.
    #[test]
    fn a_substack_ends_itself_alone() {
        let fedora = "auth required pam_env.so\nauth sufficient pam_unix.so nullok\n\
                      auth required pam_deny.so\n";
        let stack = ["auth substack password-auth\n", JUDGES].concat();
        let files = |common| found(&[("sshd", &stack), ("password-auth", common)]);
        assert_eq!(files(fedora), "password-auth sufficient pam_unix.so");
        assert_eq!(files("auth requisite pam_unix.so\n"), "password-auth requisite pam_unix.so");
        let over = |jump: &str| {
            let first = format!("auth [default={jump}] pam_unix.so\nauth substack common\n");
            let end = "auth requisite pam_deny.so\n";
            let common = "auth required pam_permit.so\nauth required pam_permit.so\n";
            found(&[("sshd", &[&first, end, JUDGES].concat()), ("common", common)])
        };
        assert_eq!(over("1"), "ends");
        assert_eq!(over("2"), "sshd default=2 pam_unix.so");
        // Beyond the end of a substack there is nothing to jump to.
        let common = "auth [default=3] pam_unix.so\nauth required pam_permit.so\n";
        let stack = ["auth substack common\nauth requisite pam_deny.so\n", JUDGES].concat();
        assert_eq!(found(&[("sshd", &stack), ("common", common)]), "ends");
    }

    #[test]
    fn what_is_before_no_line_of_this_policy_is_none_of_its_business() {
        let other = "auth required pam_mfa.so config=/etc/other.toml\n";
        assert_eq!(found_in(&[UNIX, other].concat()), "ends");
        let named = format!("{UNIX}auth required pam_mfa.so config={POLICY}\n");
        assert_eq!(found_in(&named), "sshd required pam_unix.so");
        for before in ["", "auth required pam_permit.so\n", "account required pam_unix.so\n"] {
            assert_eq!(found_in(&[before, JUDGES, UNIX].concat()), "nothing", "{before}");
        }
    }
}
