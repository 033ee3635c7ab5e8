//! What is wrong with a stack that asks `pam_mfa.so`: who gets in by it without a right code, and who does
//! not get in at all.
//!
//! Only what is proven is said. A stack is gone through once for each thing that may happen at it, by every
//! way that modules leave open of which nothing is known; behind a file that cannot be read it is left.

use std::collections::HashSet;
use std::slice;

use mfa_protocol::pam_service::{Action, Line, Part};

use crate::stack::{Impression, Place, Role, after, role};

/// Places of one stack that are looked at; some hundred times what any has.
const MOST_PLACES: usize = 20_000;

/// What is wrong with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// The code is cut off the password, and no line judges it: the module refuses that.
    NothingJudges(&'a Line),
    /// A wrong code keeps nobody out.
    WrongCodeLetsIn(&'a Line),
    /// A code that cannot be judged keeps nobody out.
    UnjudgedLetsIn(&'a Line),
    /// Who has this first factor right is not asked for a code.
    PassesBy(&'a Line),
    /// Who has a code needs no first factor.
    CodeAlone(&'a Line),
    /// Who has everything right is refused.
    NobodyGetsIn,
    /// Whom policy asks for nothing is refused.
    ExemptRefused,
}

/// What happens at a stack.
#[derive(Debug, Clone, Copy)]
struct Supposed {
    /// What first factors may return.
    factors: &'static [&'static str],
    /// What the line that judges returns.
    judge: &'static str,
    /// Whether another module may lead over lines, or end the stack: an administrator's exception.
    exceptions: bool,
}

const RIGHT: &[&str] = &["success"];
const WRONG: &[&str] = &["auth_err"];
const EITHER: &[&str] = &["success", "auth_err"];

/// A way through a stack to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    place: Place,
    /// The last line that judged a code.
    judged: Option<usize>,
    /// The first factor that led past the next line that judges.
    passed_by: Option<usize>,
}

impl Way {
    fn lets_in(&self) -> bool {
        self.place.impression == Impression::Positive
    }
}

/// Looks at the `auth` lines of a service, with that policy `file`.
pub(super) fn faults<'a>(lines: &'a [Line], file: &str) -> Vec<Fault<'a>> {
    let last = lines.iter().rposition(|line| is_judge(line, file));
    if let Some(at) = lines.iter().rposition(splits)
        && last.is_none_or(|last| last < at)
    {
        return lines.get(at).map(Fault::NothingJudges).into_iter().collect();
    }
    if last.is_none() {
        return vec![];
    }
    let mut faults = vec![];
    let ways = |supposed| ways(lines, file, supposed);
    let line = |at: Option<usize>| at.and_then(|at| lines.get(at));

    let supposed = |factors, judge| Supposed { factors, judge, exceptions: true };
    let let_in =
        |supposed| ways(supposed).0.into_iter().find(|way| way.lets_in() && way.judged.is_some());
    if let Some(judge) = let_in(supposed(RIGHT, "auth_err")).and_then(|way| line(way.judged)) {
        faults.push(Fault::WrongCodeLetsIn(judge));
    } else if let Some(judge) =
        let_in(supposed(RIGHT, "authinfo_unavail")).and_then(|way| line(way.judged))
    {
        faults.push(Fault::UnjudgedLetsIn(judge));
    }
    for way in ways(supposed(EITHER, "auth_err")).0 {
        if let (true, None, Some(factor)) = (way.lets_in(), way.judged, line(way.passed_by))
            && !faults.contains(&Fault::PassesBy(factor))
        {
            faults.push(Fault::PassesBy(factor));
        }
    }
    if lines.iter().any(|line| role(line, file) == Role::Factor) {
        let alone = Supposed { exceptions: false, ..supposed(WRONG, "success") };
        if let Some(judge) = let_in(alone).and_then(|way| line(way.judged)) {
            faults.push(Fault::CodeAlone(judge));
        }
    }
    let nobody = |judge| {
        let (ways, known) = ways(Supposed { factors: RIGHT, judge, exceptions: true });
        known && !ways.iter().any(Way::lets_in)
    };
    if nobody("success") {
        faults.push(Fault::NobodyGetsIn);
    } else if nobody("ignore") {
        faults.push(Fault::ExemptRefused);
    }
    faults
}

/// Whether it judges a code.
pub(super) fn is_judge(line: &Line, file: &str) -> bool {
    role(line, file) == Role::Judges
}

/// Whether it cuts a code off the password, for a later line to judge.
pub(super) fn splits(line: &Line) -> bool {
    matches!(&line.part, Part::Module { name, arguments, .. }
        if name == "pam_mfa.so" && arguments.iter().any(|argument| argument == "forward_pass"))
}

/// All ways to the end of the stack, and whether all of it is known that they lead through.
fn ways(lines: &[Line], file: &str, supposed: Supposed) -> (Vec<Way>, bool) {
    let (mut ends, mut seen, mut known) = (vec![], HashSet::new(), true);
    let mut left = vec![Way { place: Place::START, judged: None, passed_by: None }];
    while let Some(way) = left.pop() {
        if seen.len() > MOST_PLACES {
            return (vec![], false);
        }
        if !seen.insert(way) {
            continue;
        }
        let at = way.place.at;
        let Some(line) = lines.get(at) else {
            ends.push(way);
            continue;
        };
        let its_role = role(line, file);
        let returns: &[&str] = match its_role {
            Role::Factor => supposed.factors,
            Role::Judges => slice::from_ref(&supposed.judge),
            Role::Other(returns) => returns,
            Role::Skipped => {
                left.push(Way { place: way.place.next(), ..way });
                continue;
            }
            Role::Unknown => {
                known = false;
                continue;
            }
        };
        let judged = if its_role == Role::Judges { Some(at) } else { way.judged };
        for returned in returns {
            let Some(action) = line.action(returned) else { continue };
            let leads_over = matches!(action, Action::Done | Action::Jump(_));
            if leads_over && matches!(its_role, Role::Other(_)) && !supposed.exceptions {
                continue;
            }
            let place = after(lines, way.place, action);
            let next_judge = lines.iter().skip(at + 1).position(|line| is_judge(line, file));
            let over = leads_over
                && its_role == Role::Factor
                && *returned == "success"
                && next_judge.is_some_and(|judge| place.at > at + 1 + judge);
            let passed_by = way.passed_by.or(over.then_some(at));
            left.push(Way { place, judged, passed_by });
        }
    }
    (ends, known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::pam_service::read;

    const POLICY: &str = "/etc/pam_mfa/config.toml";
    const JUDGES: &str = "auth required pam_mfa.so\n";
    const DEBIAN: &str = "auth [success=1 default=ignore] pam_unix.so nullok\n\
                          auth requisite pam_deny.so\n\
                          auth required pam_permit.so\n";
    const FEDORA: &str = "auth required pam_env.so\n\
                          auth sufficient pam_unix.so nullok\n\
                          auth required pam_deny.so\n";

    /// The faults of the first of these files, in words that are short.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let load = |name: &str| {
            let file = files.iter().find(|file| file.0 == name)?;
            Some(file.1.to_owned())
        };
        let lines = read(files[0].0, "auth", &load).unwrap();
        let named = |what: &str, line: &Line| match &line.part {
            Part::Module { control, name, .. } => format!("{what} {}: {control} {name}", line.file),
            part => panic!("{part:?}"),
        };
        let named = |fault| match fault {
            Fault::NothingJudges(line) => named("nothing judges", line),
            Fault::WrongCodeLetsIn(line) => named("wrong", line),
            Fault::UnjudgedLetsIn(line) => named("unjudged", line),
            Fault::PassesBy(line) => named("passes by", line),
            Fault::CodeAlone(line) => named("alone", line),
            Fault::NobodyGetsIn => "nobody".to_owned(),
            Fault::ExemptRefused => "exempt".to_owned(),
        };
        faults(&lines, POLICY).into_iter().map(named).collect()
    }

    fn found_in(stack: &str) -> Vec<String> {
        found(&[("app", stack)])
    }

    #[test]
    fn the_stacks_that_are_shipped_have_no_fault() {
        let sssd = "auth [success=2 default=ignore] pam_unix.so nullok\n\
                    auth [success=1 default=ignore] pam_sss.so use_first_pass\n\
                    auth requisite pam_deny.so\nauth required pam_permit.so\n\
                    auth optional pam_cap.so\n";
        for (name, example) in [
            ("sshd", include_str!("../../../config/pam.d/sshd")),
            ("sshd-forward-pass", include_str!("../../../config/pam.d/sshd-forward-pass")),
            ("sshd-key", include_str!("../../../config/pam.d/sshd-key")),
            ("login", include_str!("../../../config/pam.d/login")),
            ("su", include_str!("../../../config/pam.d/su")),
            ("sudo", include_str!("../../../config/pam.d/sudo")),
        ] {
            for common in [DEBIAN, sssd] {
                let files = [(name, example), ("common-auth", common)];
                assert_eq!(found(&files), [""; 0], "{name}");
            }
        }
        // Debian's, as pam-auth-update writes it with the profile.
        let common = format!("{DEBIAN}auth required pam_mfa.so\nauth optional pam_cap.so\n");
        assert_eq!(
            found(&[("login", "@include common-auth\n"), ("common-auth", &common)]),
            [""; 0]
        );
        for (name, example) in [
            ("sshd", include_str!("../../../config/pam.d-fedora/sshd")),
            ("sudo", include_str!("../../../config/pam.d-fedora/sudo")),
        ] {
            let files = [
                (name, example),
                ("password-auth", FEDORA),
                ("system-auth", FEDORA),
                ("postlogin", ""),
            ];
            assert_eq!(found(&files), [""; 0], "{name} of Fedora");
        }
    }

    #[test]
    fn a_password_that_ends_the_stack_passes_the_code_by() {
        let sufficient = format!("auth sufficient pam_unix.so\n{JUDGES}");
        assert_eq!(found_in(&sufficient)[0], "passes by app: sufficient pam_unix.so");
        // Where the file is taken in as a substack, it ends that alone.
        let taken_in = |how: &str| {
            let stack = format!("auth {how} password-auth\n{JUDGES}");
            found(&[("sshd", &stack), ("password-auth", FEDORA)])
        };
        assert_eq!(taken_in("include")[0], "passes by password-auth: sufficient pam_unix.so");
        assert_eq!(taken_in("substack"), [""; 0]);
        let jumps = format!(
            "auth [success=2 default=die] pam_unix.so\nauth optional pam_warn.so\n{JUDGES}auth required pam_permit.so\n"
        );
        assert_eq!(found_in(&jumps), ["passes by app: success=2 default=die pam_unix.so"]);
        let finger = format!("auth sufficient pam_fprintd.so\n{DEBIAN}{JUDGES}");
        assert_eq!(found_in(&finger), ["passes by app: sufficient pam_fprintd.so"]);
        // An administrator's own exceptions are meant so.
        for exception in [
            "auth sufficient pam_rootok.so\n",
            "auth [success=done default=ignore] pam_succeed_if.so quiet user ingroup robots\n",
            "auth [success=4 default=ignore] pam_access.so\n",
        ] {
            let stack = format!("{exception}{DEBIAN}{JUDGES}auth required pam_permit.so\n");
            assert_eq!(found_in(&stack), [""; 0], "{exception}");
        }
    }

    #[test]
    fn a_code_that_need_not_be_right_is_none() {
        for control in ["optional", "sufficient", "[success=ok default=ignore]"] {
            let stack = format!("{DEBIAN}auth {control} pam_mfa.so\n");
            let control = control.trim_matches(['[', ']']);
            assert_eq!(found_in(&stack), [format!("wrong app: {control} pam_mfa.so")]);
        }
        let stack =
            format!("{DEBIAN}auth [success=ok authinfo_unavail=ignore default=die] pam_mfa.so\n");
        assert!(found_in(&stack).contains(
            &"unjudged app: success=ok authinfo_unavail=ignore default=die pam_mfa.so".to_owned()
        ));
        for control in ["required", "requisite", "[success=ok ignore=ignore default=die]"] {
            assert_eq!(found_in(&format!("{DEBIAN}auth {control} pam_mfa.so\n")), [""; 0]);
        }
    }

    #[test]
    fn a_code_in_place_of_the_password_is_found() {
        let stack = format!("auth sufficient pam_mfa.so\n{DEBIAN}");
        assert!(found_in(&stack).contains(&"alone app: sufficient pam_mfa.so".to_owned()));
        let ignored = format!("auth optional pam_unix.so\n{JUDGES}");
        assert_eq!(found_in(&ignored), ["alone app: required pam_mfa.so"]);
        // Who may come without a password is for an administrator to say.
        let exempted = format!(
            "auth [success=3 default=ignore] pam_succeed_if.so uid >= 2000\n{DEBIAN}{JUDGES}"
        );
        assert_eq!(found_in(&exempted), [""; 0]);
    }

    #[test]
    fn a_stack_that_lets_nobody_in_or_nobody_who_is_exempt_is_found() {
        let nobody = format!(
            "auth [success=1 default=ignore] pam_unix.so\n{JUDGES}auth requisite pam_deny.so\n"
        );
        assert!(found_in(&nobody).contains(&"nobody".to_owned()), "{:?}", found_in(&nobody));
        assert_eq!(found_in(JUDGES), ["exempt"]);
        assert_eq!(found_in(&format!("{JUDGES}auth required pam_permit.so\n")), [""; 0]);
        // As a primary module of pam-auth-update would stand there.
        let primary = format!(
            "{DEBIAN}auth [success=1 default=ignore] pam_mfa.so\n\
                               auth requisite pam_deny.so\nauth required pam_permit.so\n"
        );
        assert_eq!(found_in(&primary), ["exempt"]);
    }

    #[test]
    fn a_code_that_comes_with_the_password_is_judged_by_a_later_line() {
        let splits = "auth required pam_mfa.so forward_pass\n";
        let stack = |behind: &str| format!("{splits}{DEBIAN}{behind}");
        assert_eq!(found_in(&stack("")), ["nothing judges app: required pam_mfa.so"]);
        assert_eq!(found_in(&stack(JUDGES)), [""; 0]);
        assert_eq!(
            found_in(&format!("{JUDGES}{splits}{DEBIAN}")),
            ["nothing judges app: required pam_mfa.so"]
        );
    }

    #[test]
    fn what_is_not_known_proves_nothing() {
        assert_eq!(found_in(&format!("@include missing\n{JUDGES}")), [""; 0]);
        assert_eq!(found_in("auth optional pam_mfa.so config=/etc/other.toml\n"), [""; 0]);
        // A stack of which there are too many ways.
        let doors = "auth [success=1 default=ignore] pam_access.so\nauth optional pam_unix.so\n"
            .repeat(400);
        found_in(&format!("{doors}{JUDGES}"));
    }
}
