//! The `auth` lines of a service: to see that what `forward_pass` splits off is judged by a line behind
//! it, and that nobody passes by that line.
//!
//! Only what is proven counts. Where a file cannot be read, nothing is; and where a jump leads, is not
//! looked at.

use mfa_protocol::pam_service::{self, Action, Line, Part};

/// As which `pam_mfa.so` refuses: `outcome::code`.
const REFUSALS: [&str; 2] = ["auth_err", "authinfo_unavail"];

/// What is wrong with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Password and code are split, and the code is judged by nobody.
    #[error("behind the line with forward_pass there is none that judges the code")]
    NotJudged,
    /// Who has the password does not get as far as the line that judges the code.
    #[error("before the line that judges the code, another one ends the stack")]
    Skipped,
    /// It makes no difference how the code is judged.
    #[error("the stack goes on when the line that judges the code refuses")]
    NotCounted,
    /// The password is set, which looks like a first factor to the verifier, and judged by nobody.
    #[error("there is a line with forward_pass, and none that judges the password")]
    NoFirstFactor,
}

impl Fault {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotJudged => {
                "add \"auth required pam_mfa.so\" behind the line of the first factor, or take \
                 forward_pass away"
            }
            Self::Skipped => {
                "behind the line with forward_pass, make \"sufficient\" a \"requisite\", and \
                 \"success=done\" a \"success=ok\"; or take the file that has it in as a substack"
            }
            Self::NotCounted => "make that line \"auth required pam_mfa.so\"",
            Self::NoFirstFactor => {
                "add \"auth requisite pam_unix.so use_first_pass\" behind it, or take the line away"
            }
        }
    }
}

/// Why nothing is known of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// No file of that name can be read.
    #[error("its file cannot be read")]
    NoFile,
    /// The stack that runs is another one.
    #[error("no line with forward_pass is in its file")]
    OtherStack,
    /// A file that is included cannot be read.
    #[error("a file that it includes cannot be read")]
    Include,
}

/// What is known of a stack that has a line with `forward_pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Password and code are both judged.
    Sound,
    /// It must not be used.
    Faulty(Fault),
    /// It may be sound or not.
    Unseen(Unseen),
}

/// Looks at the stack of `service`. `load` reads a file: one of `pam.d` by its name, any other by its
/// absolute path.
pub fn look(service: &str, load: &dyn Fn(&str) -> Option<String>) -> Finding {
    let Some(lines) = pam_service::read(service, "auth", load) else {
        return Finding::Unseen(Unseen::NoFile);
    };
    let roles: Vec<_> = lines.iter().map(role).collect();
    if !roles.contains(&Role::Splits) {
        return Finding::Unseen(Unseen::OtherStack);
    }
    match judged(&lines) {
        Finding::Sound if roles.iter().any(|role| matches!(role, Role::Factor | Role::Unknown)) => {
            Finding::Sound
        }
        Finding::Sound => Finding::Faulty(Fault::NoFirstFactor),
        finding => finding,
    }
}

/// Whether a line judges what those before it split, and counts.
fn judged(lines: &[Line]) -> Finding {
    // What is wrong as long as a code waits to be judged.
    let mut waiting = None;
    // The level of a line that may have ended the stack, or the substack, while it waited.
    let mut ended: Option<usize> = None;
    let mut unknown = false;
    let mut rest = lines.iter();
    while let Some(line) = rest.next() {
        ended = ended.filter(|level| line.level >= *level);
        let role = role(line);
        if role == Role::Splits {
            waiting = Some(Fault::NotJudged);
            unknown = false;
        }
        if waiting.is_none() {
            continue;
        }
        match role {
            Role::Judges if ended.is_some() => waiting = Some(Fault::Skipped),
            Role::Judges if !counts(line, rest.as_slice()) => waiting = Some(Fault::NotCounted),
            Role::Judges => waiting = None,
            Role::Unknown => unknown |= ended.is_none(),
            Role::Factor | Role::None if line.action("success") == Some(Action::Done) => {
                ended = ended.or(Some(line.level));
            }
            Role::Splits | Role::Factor | Role::None => {}
        }
    }
    match waiting {
        None => Finding::Sound,
        Some(_) if unknown => Finding::Unseen(Unseen::Include),
        Some(fault) => Finding::Faulty(fault),
    }
}

/// Whether the stack can fail because `judge` refuses, with `behind` after it.
fn counts(judge: &Line, behind: &[Line]) -> bool {
    if REFUSALS.iter().all(|refusal| judge.action(refusal) != Some(Action::Ignore)) {
        return true;
    }
    // A right code may end the stack, or jump over lines that refuse everybody else.
    matches!(judge.action("success"), Some(Action::Done | Action::Jump(_)))
        && behind.iter().any(refuses_without_code)
}

/// Whether more than the password may be needed to get past this line.
fn refuses_without_code(line: &Line) -> bool {
    match &line.part {
        Part::Module { name, .. } => {
            let asks_more =
                name == "pam_deny.so" || role(line) == Role::Factor && name != "pam_unix.so";
            asks_more && line.action("auth_err") != Some(Action::Ignore)
        }
        Part::Substack | Part::Unreadable => false,
    }
}

/// What an `auth` line is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// `pam_mfa.so` with `forward_pass`.
    Splits,
    /// `pam_mfa.so` without it.
    Judges,
    /// Another module, which may be a factor.
    Factor,
    /// Another module, which is none; or no module.
    None,
    /// A file that is taken in, and is not known.
    Unknown,
}

fn role(line: &Line) -> Role {
    match &line.part {
        Part::Module { name, arguments, .. } => match name.as_str() {
            "pam_mfa.so" if arguments.iter().any(|argument| argument == "forward_pass") => {
                Role::Splits
            }
            "pam_mfa.so" => Role::Judges,
            name if pam_service::may_be_a_factor(name) => Role::Factor,
            _ => Role::None,
        },
        Part::Substack => Role::None,
        Part::Unreadable => Role::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLITS: &str = "auth required pam_mfa.so forward_pass\n";
    const UNIX: &str = "auth requisite pam_unix.so use_first_pass\n";
    const JUDGES: &str = "auth required pam_mfa.so\n";

    const SOUND: Finding = Finding::Sound;
    const NOT_JUDGED: Finding = Finding::Faulty(Fault::NotJudged);
    const SKIPPED: Finding = Finding::Faulty(Fault::Skipped);
    const NOT_COUNTED: Finding = Finding::Faulty(Fault::NotCounted);
    const UNKNOWN: Finding = Finding::Unseen(Unseen::Include);
    const UNPROVEN: Finding = Finding::Faulty(Fault::NoFirstFactor);

    /// The finding on these files, of which the first is the service's.
    fn of(files: &[(&str, &str)]) -> Finding {
        look(files[0].0, &|name| {
            let file = files.iter().find(|file| file.0 == name)?;
            Some(file.1.to_owned())
        })
    }

    fn of_one(file: &str) -> Finding {
        of(&[("sshd", file)])
    }

    #[test]
    fn a_line_that_judges_has_to_stand_behind_the_one_that_splits() {
        assert_eq!(of_one(&[SPLITS, UNIX, JUDGES].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, UNIX].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[JUDGES, SPLITS, UNIX].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[SPLITS, UNIX, JUDGES, SPLITS].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[SPLITS, UNIX, SPLITS, JUDGES].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, SPLITS].concat()), NOT_JUDGED);
        assert_eq!(of_one(SPLITS), NOT_JUDGED);
    }

    #[test]
    fn only_an_auth_line_of_pam_mfa_without_forward_pass_judges() {
        for line in [
            "auth required pam_mfa.so",
            "-AUTH Required /usr/lib64/security/pam_mfa.so debug",
            "auth required pam_mfa.so [prompt=x forward_pass: ]",
            "auth required pam_mfa.so FORWARD_PASS # forward_pass",
        ] {
            assert_eq!(of_one(&[SPLITS, UNIX, line, "\n"].concat()), SOUND, "{line}");
        }
        for line in [
            "",
            "# auth required pam_mfa.so",
            "account required pam_mfa.so",
            "auth required pam_mfa",
            "auth required pam_mfa.so.bak",
            "auth required pam_mfa.so\r",
            "auth required xpam_mfa.so",
            "auth required pam_unix.so pam_mfa.so",
            "auth required",
            "auth [required pam_mfa.so",
            "auth required pam_mfa.so [forward_pass]",
            "auth required pam_mfa.so debug \\\n forward_pass",
        ] {
            assert_eq!(of_one(&[SPLITS, UNIX, line, "\n"].concat()), NOT_JUDGED, "{line}");
        }
    }

    #[test]
    fn a_right_password_must_not_end_the_stack_before_the_code_is_judged() {
        let sufficient = "auth sufficient pam_unix.so use_first_pass\n";
        for line in [
            sufficient,
            "-auth Sufficient pam_sss.so\n",
            "auth [sufficient] pam_unix.so\n",
            "auth [success=done new_authtok_reqd=done default=ignore] pam_unix.so\n",
            "auth [success = done default=die] pam_unix.so\n",
            "auth [success=ok success=done] pam_unix.so\n",
            "auth [default=done] pam_unix.so\n",
            "auth sufficient pam_rootok.so\n",
            "auth sufficient pam_permit.so\n",
        ] {
            assert_eq!(of_one(&[SPLITS, line, UNIX, JUDGES].concat()), SKIPPED, "{line}");
            assert_eq!(of_one(&[SPLITS, line, SPLITS, UNIX, JUDGES].concat()), SKIPPED, "{line}");
            assert_eq!(of_one(&[line, SPLITS, UNIX, JUDGES].concat()), SOUND, "{line}");
            assert_eq!(of_one(&[SPLITS, UNIX, JUDGES, line].concat()), SOUND, "{line}");
            assert_eq!(of_one(&[SPLITS, line].concat()), NOT_JUDGED, "{line}");
        }
        for line in [
            "auth optional pam_unix.so\n",
            "auth [success=1 default=ignore] pam_unix.so\n",
            "auth [success=ok default=done] pam_unix.so\n",
            "auth [default=ignore default=done] pam_unix.so\n",
            "auth [success=done success=ok] pam_unix.so\n",
            "auth sufficient\n",
            "account sufficient pam_unix.so\n",
        ] {
            assert_eq!(of_one(&[SPLITS, line, UNIX, JUDGES].concat()), SOUND, "{line}");
        }
    }

    /// `pam.conf(5)`: in a substack, `done` and `die` do not skip what is behind it.
    #[test]
    fn what_ends_a_substack_ends_no_more() {
        const SUFFICIENT: &str = "auth sufficient pam_unix.so use_first_pass\n";
        let around = |line: &str, common: &str, behind: &str| {
            of(&[("sshd", &[SPLITS, line, behind].concat()), ("common", common)])
        };
        let inner = [SUFFICIENT, JUDGES].concat();
        for line in ["@include common\n", "auth include common\n"] {
            assert_eq!(around(line, SUFFICIENT, JUDGES), SKIPPED, "{line}");
            assert_eq!(around(line, &inner, ""), SKIPPED, "{line}");
        }
        let substack = "auth substack common\n";
        assert_eq!(around(substack, SUFFICIENT, JUDGES), SOUND);
        assert_eq!(around(substack, &inner, ""), SKIPPED);
        assert_eq!(around(substack, &inner, JUDGES), SOUND);
        let two = [substack, "auth substack /judges\n"].concat();
        let files =
            [("sshd", &[SPLITS, &two].concat()[..]), ("common", SUFFICIENT), ("/judges", JUDGES)];
        assert_eq!(of(&files), SOUND);
        let ended = [SUFFICIENT, substack, JUDGES].concat();
        assert_eq!(around("", SUFFICIENT, &ended), SKIPPED);
        // What it ends is over with all the substacks in it.
        let nested =
            [("sshd", &[SPLITS, SUFFICIENT, substack][..].concat()[..]), ("common", JUDGES)];
        assert_eq!(of(&nested), SKIPPED);
    }

    #[test]
    fn a_refused_code_must_make_the_stack_fail() {
        let judged = |control: &str, behind: &str| {
            of_one(&format!("{SPLITS}{UNIX}auth {control} pam_mfa.so\n{behind}"))
        };
        let permit = "auth required pam_permit.so\n";
        for control in [
            "required",
            "requisite",
            "Requisite",
            "[success=ok default=die]",
            "[success=ok ignore=ignore default=bad]",
            "[default=ignore auth_err=die authinfo_unavail=die]",
            "[success=ok]",
            "[success=1 default=2]",
        ] {
            assert_eq!(judged(control, permit), SOUND, "{control}");
        }
        for control in [
            "optional",
            "Optional",
            "[success=ok default=ignore]",
            "[success=ok auth_err=die default=ignore]",
            "[success=ok authinfo_unavail=ignore default=die]",
            "[success=ok auth_err = ignore]",
            "[default=ignore default=die]",
        ] {
            assert_eq!(judged(control, permit), NOT_COUNTED, "{control}");
            assert_eq!(judged(control, "auth requisite pam_u2f.so\n"), NOT_COUNTED, "{control}");
            assert_eq!(judged(control, JUDGES), SOUND, "{control}");
        }
        // Fine where only who has the right code passes by what refuses everybody else.
        for control in ["sufficient", "[success=done default=ignore]", "[success=1 default=ignore]"]
        {
            let deny = "auth requisite pam_deny.so\n";
            assert_eq!(judged(control, &[deny, permit].concat()), SOUND, "{control}");
            assert_eq!(judged(control, "auth required pam_u2f.so\n"), SOUND, "{control}");
            for behind in ["", permit, UNIX, "auth optional pam_u2f.so\n"] {
                assert_eq!(judged(control, behind), NOT_COUNTED, "{control} {behind}");
            }
            assert_eq!(judged(control, "@include missing\n"), UNKNOWN, "{control}");
        }
    }

    #[test]
    fn the_usual_stacks_are_sound() {
        // Debian's common-auth, alone and with sssd and what pam-auth-update adds.
        let debian = "auth [success=1 default=ignore] pam_unix.so nullok\n\
                      auth requisite pam_deny.so\nauth required pam_permit.so\n";
        let sssd = "auth [success=2 default=ignore] pam_unix.so nullok\n\
                    auth [success=1 default=ignore] pam_sss.so use_first_pass\n\
                    auth requisite pam_deny.so\nauth required pam_permit.so\n\
                    auth optional pam_cap.so\n";
        for common in [debian, sssd] {
            let stack = [SPLITS, "@include common-auth\n", JUDGES].concat();
            assert_eq!(of(&[("sshd", &stack), ("common-auth", common)]), SOUND, "{common}");
        }
        // Fedora's sshd takes password-auth in as a substack; what includes it ends there.
        let fedora = "auth required pam_env.so\nauth sufficient pam_unix.so nullok\n\
                      auth required pam_deny.so\n";
        for (control, expected) in [("substack", SOUND), ("include", SKIPPED)] {
            let stack = format!("{SPLITS}auth {control} password-auth\n{JUDGES}");
            assert_eq!(of(&[("sshd", &stack), ("password-auth", fedora)]), expected, "{control}");
        }
        let example = include_str!("../../config/pam.d/sshd-forward-pass");
        let permit = "auth required pam_permit.so\n";
        assert_eq!(
            look("sshd", &|name| Some(if name == "sshd" { example } else { permit }.into())),
            SOUND
        );
    }

    #[test]
    fn files_that_are_included_are_part_of_the_stack() {
        for include in [
            "@include common\n",
            "auth include common\n",
            "auth substack common\n",
            "-auth Include common\n",
        ] {
            let files =
                |common| of(&[("sshd", &[SPLITS, UNIX, include].concat()), ("common", common)]);
            assert_eq!(files(JUDGES), SOUND, "{include}");
            assert_eq!(files(UNIX), NOT_JUDGED, "{include}");
            let splits = of(&[("sshd", &[include, UNIX].concat()), ("common", SPLITS)]);
            assert_eq!(splits, NOT_JUDGED, "{include}");
        }
        let by_path = [SPLITS, UNIX, "auth include /etc/more\n"].concat();
        assert_eq!(of(&[("sshd", &by_path), ("/etc/more", JUDGES)]), SOUND);
        let of_account = [SPLITS, UNIX, "account include common\n"].concat();
        assert_eq!(of(&[("sshd", &of_account), ("common", JUDGES)]), NOT_JUDGED);
    }

    #[test]
    fn without_a_first_factor_the_password_proves_nothing() {
        let permit = "auth required pam_permit.so\n";
        assert_eq!(of_one(&[SPLITS, JUDGES, permit].concat()), UNPROVEN);
        assert_eq!(of_one(&[SPLITS, JUDGES].concat()), UNPROVEN);
        for gate in ["pam_faillock.so preauth", "pam_succeed_if.so uid >= 1000", "pam_access.so"] {
            let gate = format!("auth required {gate}\n");
            assert_eq!(of_one(&[SPLITS, &gate, JUDGES].concat()), UNPROVEN, "{gate}");
        }
        assert_eq!(of_one(&[SPLITS, "account required pam_unix.so\n", JUDGES].concat()), UNPROVEN);
        assert_eq!(of_one(&[SPLITS, JUDGES, "auth required pam_foreign.so\n"].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, "@include missing\n", JUDGES].concat()), SOUND);
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        let unseen = |files: &[(&str, &str)], why| assert_eq!(of(files), Finding::Unseen(why));
        unseen(&[("sshd", &[UNIX, JUDGES].concat())], Unseen::OtherStack);
        unseen(&[("sshd", "")], Unseen::OtherStack);
        unseen(&[("sshd", &[SPLITS, UNIX, "@include missing\n"].concat())], Unseen::Include);
        unseen(&[("sshd", &[SPLITS, UNIX, "@include\n"].concat())], Unseen::Include);
        unseen(
            &[("sshd", &[SPLITS, UNIX, "@include ../x\n"].concat()), ("../x", "")],
            Unseen::Include,
        );
        // What is before the line that splits is not behind it.
        assert_eq!(of_one(&["@include missing\n", SPLITS, UNIX].concat()), NOT_JUDGED);
        let twice = [SPLITS, "@include missing\n", SPLITS, UNIX].concat();
        assert_eq!(of_one(&twice), NOT_JUDGED);
        // Nor is what is behind the end of a stack.
        let sufficient = "auth sufficient pam_unix.so\n";
        assert_eq!(of_one(&[SPLITS, sufficient, "@include missing\n"].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[SPLITS, "@include missing\n", sufficient, JUDGES].concat()), UNKNOWN);

        assert_eq!(of(&[("../sshd", SPLITS)]), Finding::Unseen(Unseen::NoFile));
        assert_eq!(look("sshd", &|_| None), Finding::Unseen(Unseen::NoFile));
    }
}
