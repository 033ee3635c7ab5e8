//! What is wrong with a stack that asks `pam_mfa.so`: who gets in by it without a right code, and who does
//! not get in at all.
//!
//! Only what is proven is said. A stack is gone through once for each thing that may happen at it, by every
//! way that modules leave open of which nothing is known; behind a file that cannot be read it is left. What a module
//! that asks for no factor decides (`pam_succeed_if`, `pam_access`, `pam_rootok`) is an administrator's exception, and
//! ways over lines that it opens are left out; one that can return one thing alone decides nothing.

use std::collections::HashSet;
use std::slice;

use mfa_protocol::pam_service::{Action, Line, Part, judges_passwords, may_be_a_factor};

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
    /// Who gets past this line is not asked for a code.
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
struct Event {
    /// What a module returns that judges a password.
    password: &'static [&'static str],
    /// What one returns that judges another factor, before a code was judged.
    factor: &'static [&'static str],
    /// The same behind that: who has it right may be meant to need no code.
    factor_behind: &'static [&'static str],
    /// What the line that judges returns.
    judge: &'static str,
}

const RIGHT: &[&str] = &["success"];
const WRONG: &[&str] = &["auth_err", "user_unknown"];
const EITHER: &[&str] = &["success", "auth_err", "user_unknown"];

/// Arguments with which a module passes over whom it does not know.
const PASSING_OVER: [&str; 4] =
    ["minimum_uid=", "ignore_unknown_user", "ignore_authinfo_unavail", "nouserok"];

/// Somewhere on the way through a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    place: Place,
    /// The last line that judged a code.
    judged: Option<usize>,
    /// The last line that led past the next one that judges.
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
    let stack = Stack::of(lines, file);
    let line = |at: Option<usize>| at.and_then(|at| lines.get(at));
    let anyhow = |judge| Event { password: EITHER, factor: EITHER, factor_behind: WRONG, judge };
    let judged_and_let_in = |event| {
        let ways = stack.ways(event).0.into_iter();
        ways.filter(Way::lets_in).find_map(|way| line(way.judged))
    };
    if let Some(judge) = judged_and_let_in(anyhow("auth_err")) {
        faults.push(Fault::WrongCodeLetsIn(judge));
    } else if let Some(judge) = judged_and_let_in(anyhow("authinfo_unavail")) {
        faults.push(Fault::UnjudgedLetsIn(judge));
    }
    for way in stack.ways(anyhow("auth_err")).0 {
        if let (true, None, Some(over)) = (way.lets_in(), way.judged, line(way.passed_by))
            && !faults.contains(&Fault::PassesBy(over))
        {
            faults.push(Fault::PassesBy(over));
        }
    }
    if let Some(judge) = code_alone(lines, file) {
        faults.push(Fault::CodeAlone(judge));
    }
    let nobody = |judge| {
        let all_right = Event { password: RIGHT, factor: EITHER, factor_behind: EITHER, judge };
        let (ways, known) = stack.ways(all_right);
        known && !ways.is_empty() && !ways.iter().any(Way::lets_in)
    };
    if nobody("success") {
        faults.push(Fault::NobodyGetsIn);
    } else if nobody("ignore") {
        faults.push(Fault::ExemptRefused);
    }
    faults
}

/// The line that judges the code, where that alone lets in.
pub(super) fn code_alone<'a>(lines: &'a [Line], file: &str) -> Option<&'a Line> {
    let event = Event { password: WRONG, factor: WRONG, factor_behind: WRONG, judge: "success" };
    let mut ways = Stack::of(lines, file).ways(event).0.into_iter();
    ways.find(|way| way.lets_in() && way.judged.is_some()).and_then(|way| lines.get(way.judged?))
}

/// Whether it asks for something else than a code.
pub(super) fn has_first_factor(lines: &[Line], file: &str) -> bool {
    lines.iter().any(|line| role(line, file) == Role::Factor)
}

/// Whether it judges a code.
pub(super) fn is_judge(line: &Line, file: &str) -> bool {
    role(line, file) == Role::Judges
}

/// Whether it cuts a code off the password, for a later line to judge.
pub(super) fn splits(line: &Line) -> bool {
    is_module(line, |name, arguments| {
        name == "pam_mfa.so" && arguments.iter().any(|argument| argument == "forward_pass")
    })
}

/// Whether it judges another factor than a password.
pub(super) fn is_factor_beside(line: &Line) -> bool {
    is_module(line, |name, _| may_be_a_factor(name)) && !is_of_passwords(line)
}

/// Whether it judges a password.
fn is_of_passwords(line: &Line) -> bool {
    is_module(line, |name, _| judges_passwords(name))
}

/// Whether it may say nothing of somebody.
fn passes_over(line: &Line) -> bool {
    is_module(line, |_, arguments| {
        let begins =
            |argument: &String| PASSING_OVER.iter().any(|begin| argument.starts_with(begin));
        arguments.iter().any(begins)
    })
}

fn is_module(line: &Line, is: impl Fn(&str, &[String]) -> bool) -> bool {
    matches!(&line.part, Part::Module { name, arguments, .. } if is(name, arguments))
}

/// A stack, and what each of its lines is.
struct Stack<'a> {
    lines: &'a [Line],
    roles: Vec<Role>,
}

impl<'a> Stack<'a> {
    fn of(lines: &'a [Line], file: &str) -> Self {
        Self { lines, roles: lines.iter().map(|line| role(line, file)).collect() }
    }

    /// All ways to the end, and whether it is known of all of them where they lead.
    fn ways(&self, event: Event) -> (Vec<Way>, bool) {
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
            let (Some(line), Some(role)) = (self.lines.get(at), self.roles.get(at)) else {
                ends.push(way);
                continue;
            };
            match role {
                Role::Skipped => left.push(Way { place: way.place.next(), ..way }),
                Role::Unknown => known = false,
                _ => left.extend(self.behind(way, line, *role, event)),
            }
        }
        (ends, known)
    }

    /// The ways that go on behind a line.
    fn behind(&self, way: Way, line: &Line, role: Role, event: Event) -> Vec<Way> {
        let at = way.place.at;
        let returns: &[&str] = match role {
            Role::Judges => slice::from_ref(&event.judge),
            Role::Other(returns) => returns,
            _ if is_of_passwords(line) => event.password,
            _ if way.judged.is_some() => event.factor_behind,
            _ => event.factor,
        };
        let decides = matches!(role, Role::Other(_)) && returns.len() > 1;
        let judged = if role == Role::Judges { Some(at) } else { way.judged };
        let behind = self.roles.iter().skip(at + 1);
        let next_judge = behind.into_iter().position(|role| *role == Role::Judges);
        let passes_over = role == Role::Factor && passes_over(line) && returns != RIGHT;
        let returns = returns.iter().chain(passes_over.then_some(&"ignore"));
        let ways = returns.filter_map(|returned| {
            let leads_over = matches!(line.action(returned)?, Action::Done | Action::Jump(_));
            if leads_over && decides {
                return None;
            }
            let place = after(self.lines, way.place, returned)?;
            let over = leads_over && next_judge.is_some_and(|judge| place.at > at + 1 + judge);
            Some(Way { place, judged, passed_by: if over { Some(at) } else { way.passed_by } })
        });
        ways.collect()
    }
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
    fn the_stacks_of_distributions_have_no_fault_with_the_line_where_it_belongs() {
        let faillock = "auth required pam_faillock.so preauth\n\
                        auth [success=1 default=ignore] pam_unix.so nullok\n\
                        auth [default=die] pam_faillock.so authfail\n\
                        auth required pam_faillock.so authsucc\n\
                        auth required pam_permit.so\n";
        assert_eq!(found_in(&format!("{faillock}{JUDGES}")), [""; 0]);
        // Arch's system-auth, and its sshd.
        let arch = "auth required pam_faillock.so preauth\n\
                    -auth [success=2 default=ignore] pam_systemd_home.so\n\
                    auth [success=1 default=bad] pam_unix.so try_first_pass nullok\n\
                    auth [default=die] pam_faillock.so authfail\n\
                    auth optional pam_permit.so\n\
                    auth required pam_env.so\n\
                    auth required pam_faillock.so authsucc\n";
        let files = [
            ("sshd", "auth include system-remote-login\nauth required pam_mfa.so\n"),
            ("system-remote-login", "auth include system-login\n"),
            (
                "system-login",
                "auth required pam_shells.so\nauth requisite pam_nologin.so\nauth include system-auth\n",
            ),
            ("system-auth", arch),
        ];
        assert_eq!(found(&files), [""; 0]);
        // authselect's sssd, with the feature for pam_mfa, whose line stands where a success ends.
        let sssd = "auth required pam_env.so\n\
                    auth required pam_faildelay.so delay=2000000\n\
                    auth required pam_faillock.so preauth silent\n\
                    auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n\
                    auth [default=1 ignore=ignore success=ok] pam_localuser.so\n\
                    auth [success=2 default=ignore] pam_unix.so nullok\n\
                    auth [success=1 default=ignore] pam_sss.so forward_pass\n\
                    auth requisite pam_deny.so\n\
                    auth required pam_mfa.so\n\
                    auth required pam_permit.so\n";
        let files = [
            ("sshd", "auth substack password-auth\nauth include postlogin\n"),
            ("password-auth", sssd),
            ("postlogin", ""),
        ];
        assert_eq!(found(&files), [""; 0]);
        let gdm = "auth [success=done ignore=ignore default=bad] pam_selinux_permit.so\n\
                   auth substack password-auth\nauth optional pam_gnome_keyring.so\n";
        assert_eq!(found(&[("gdm-password", gdm), ("password-auth", sssd)]), [""; 0]);
    }

    #[test]
    fn whoever_gets_past_the_line_is_found() {
        let sufficient = format!("auth sufficient pam_unix.so\n{JUDGES}");
        assert_eq!(found_in(&sufficient)[0], "passes by app: sufficient pam_unix.so");
        // Where the file is taken in as a substack, it ends that alone.
        let taken_in = |how: &str| {
            let stack = format!("auth {how} password-auth\n{JUDGES}");
            found(&[("sshd", &stack), ("password-auth", FEDORA)])
        };
        assert_eq!(taken_in("include")[0], "passes by password-auth: sufficient pam_unix.so");
        assert_eq!(taken_in("substack"), [""; 0]);
        for (stack, line) in [
            (
                "auth [success=2 default=die] pam_unix.so\nauth optional pam_warn.so\n",
                "success=2 default=die pam_unix.so",
            ),
            // As pam_faillock(8) has it.
            (
                "auth required pam_faillock.so preauth\nauth [success=1 default=ignore] pam_unix.so\n\
                 auth [default=die] pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\n\
                 auth requisite pam_deny.so\nauth required pam_permit.so\n",
                "sufficient pam_faillock.so",
            ),
            (
                "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n\
                 auth sufficient pam_permit.so\n",
                "sufficient pam_permit.so",
            ),
            // A wrong password does.
            ("auth [success=ok default=1] pam_unix.so\n", "success=ok default=1 pam_unix.so"),
        ] {
            let stack = format!("{stack}{JUDGES}auth required pam_permit.so\n");
            assert!(
                found_in(&stack).contains(&format!("passes by app: {line}")),
                "{:?}",
                found_in(&stack)
            );
        }
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
            let wrong = format!("wrong app: {control} pam_mfa.so");
            assert_eq!(found_in(&stack), slice::from_ref(&wrong));
            // Another way in front of it hides nothing.
            let behind_a_finger = format!("auth sufficient pam_fprintd.so\n{stack}");
            assert!(found_in(&behind_a_finger).contains(&wrong));
        }
        let stack =
            format!("{DEBIAN}auth [success=ok authinfo_unavail=ignore default=die] pam_mfa.so\n");
        let unjudged = "unjudged app: success=ok authinfo_unavail=ignore default=die pam_mfa.so";
        assert!(found_in(&stack).contains(&unjudged.to_owned()), "{:?}", found_in(&stack));
        for control in ["required", "requisite", "[success=ok ignore=ignore default=die]"] {
            assert_eq!(found_in(&format!("{DEBIAN}auth {control} pam_mfa.so\n")), [""; 0]);
        }
        // What the stack agrees to is what it ends with.
        let agreed = format!("{DEBIAN}auth [ignore=ignore default=ok] pam_mfa.so\n");
        assert_eq!(found_in(&agreed), [""; 0]);
        // A code, or a key.
        let or_key =
            "auth requisite pam_unix.so\nauth sufficient pam_mfa.so\nauth required pam_u2f.so\n";
        assert_eq!(found_in(or_key), [""; 0]);
        let or_password = format!("auth sufficient pam_mfa.so\n{DEBIAN}");
        assert_eq!(found_in(&or_password)[0], "wrong app: sufficient pam_mfa.so");
    }

    #[test]
    fn a_code_without_a_first_factor_is_found() {
        let stack = format!("auth sufficient pam_mfa.so\n{DEBIAN}");
        assert!(found_in(&stack).contains(&"alone app: sufficient pam_mfa.so".to_owned()));
        for before in
            ["", "auth optional pam_unix.so\n", "auth required pam_krb5.so minimum_uid=1000\n"]
        {
            let stack = format!("{before}{JUDGES}auth required pam_permit.so\n");
            assert_eq!(found_in(&stack), ["alone app: required pam_mfa.so"], "{before}");
        }
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
        // Root alone gets in.
        let but_root = format!("auth sufficient pam_rootok.so\n{nobody}");
        assert!(found_in(&but_root).contains(&"nobody".to_owned()), "{:?}", found_in(&but_root));
        for only in ["", "auth required pam_env.so\n", "auth requisite pam_nologin.so\n"] {
            let stack = format!("{only}{JUDGES}");
            assert_eq!(found_in(&stack), ["alone app: required pam_mfa.so", "exempt"], "{only}");
        }
        // As a primary module of pam-auth-update would stand there; and what is agreed to is what it ends with.
        let primary = format!(
            "{DEBIAN}auth [success=1 default=ignore] pam_mfa.so\n\
                               auth requisite pam_deny.so\nauth required pam_permit.so\n"
        );
        assert_eq!(found_in(&primary), ["exempt"]);
        let agreed = format!("{DEBIAN}auth [success=ok ignore=ok default=die] pam_mfa.so\n");
        assert_eq!(found_in(&agreed), ["exempt"]);
        // A ban of an administrator's own.
        let ban = format!(
            "auth [success=die default=ignore] pam_exec.so /usr/local/bin/is-banned\n{DEBIAN}{JUDGES}"
        );
        assert_eq!(found_in(&ban), [""; 0]);
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
        // There are too many ways through it, and one of them would be found in a shorter one.
        let doors = |number| {
            let door = "auth [success=1 default=ignore] pam_unix.so\nauth optional pam_warn.so\n";
            format!("{}auth sufficient pam_unix.so\n{JUDGES}", door.repeat(number))
        };
        assert_eq!(found_in(&doors(10))[0], "passes by app: sufficient pam_unix.so");
        let begun = std::time::Instant::now();
        found_in(&doors(499));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
