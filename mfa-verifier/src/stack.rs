//! The `auth` lines of a service, gone through as libpam goes through them (`pam_dispatch.c`).

use mfa_protocol::pam_service::{self, Action, Line, Part};

/// What an `auth` line is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `pam_mfa.so`, where it judges a code.
    Judges,
    /// A module that judges something else that somebody gives.
    Factor,
    /// A module that returns one of these.
    Other(&'static [&'static str]),
    /// No module: a substack begins.
    Skipped,
    /// A file that is taken in, and is not known.
    Unknown,
}

/// What a line is to us. The line that judges may name the policy `file` or none; one that names another is
/// not for this one to say.
pub(crate) fn role(line: &Line, file: &str) -> Role {
    let Part::Module { name, arguments, .. } = &line.part else {
        return if line.part == Part::Unreadable { Role::Unknown } else { Role::Skipped };
    };
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    let mut configs = arguments.iter().filter_map(|argument| argument.strip_prefix("config="));
    match name.as_str() {
        "pam_mfa.so" if has("forward_pass") => Role::Other(&["ignore"]),
        "pam_mfa.so" if configs.all(|config| config == file) => Role::Judges,
        "pam_deny.so" => Role::Other(&["auth_err"]),
        // There it counts what the lines before it have refused.
        "pam_faillock.so" if has("authfail") => Role::Other(&["auth_err"]),
        "pam_faillock.so" | "pam_permit.so" => Role::Other(&["success"]),
        "pam_env.so" | "pam_faildelay.so" | "pam_group.so" | "pam_issue.so" | "pam_warn.so" => {
            Role::Other(&["ignore"])
        }
        "pam_selinux_permit.so" | "pam_sepermit.so" => {
            Role::Other(&["success", "ignore", "auth_err"])
        }
        "pam_nologin.so" if !has("successok") => Role::Other(&["ignore", "auth_err"]),
        name if pam_service::may_be_a_factor(name) => Role::Factor,
        _ => Role::Other(&["success", "auth_err"]),
    }
}

/// What a stack has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Impression {
    /// Nothing yet: it would fail.
    None,
    /// It would succeed.
    Positive,
    /// It will fail.
    Negative,
}

/// Somewhere in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The line that is next.
    pub(crate) at: usize,
    /// What the stack has come to so far.
    pub(crate) impression: Impression,
}

impl Place {
    /// Before the first line.
    pub(crate) const START: Self = Self { at: 0, impression: Impression::None };

    /// The next line, as if the one here were not there.
    pub(crate) fn next(self) -> Self {
        Self { at: self.at + 1, ..self }
    }
}

/// Where a stack goes on when the module of the line there has returned that; nowhere where the line calls none.
pub(crate) fn after(lines: &[Line], place: Place, returned: &str) -> Option<Place> {
    let action = lines.get(place.at)?.action(returned)?;
    // What a stack agrees to that is no success is what it ends with, and no later line mends that.
    Some(go_on(
        lines,
        place,
        match action {
            Action::Ok if returned != "success" => Action::Bad,
            Action::Done if returned != "success" => Action::Die,
            action => action,
        },
    ))
}

fn go_on(lines: &[Line], place: Place, action: Action) -> Place {
    use Impression::{Negative, None, Positive};
    let level = lines.get(place.at).map_or(0, |line| line.level);
    let next = place.next();
    // What ends a substack ends no more.
    let outside = || {
        let within = lines.iter().skip(next.at).take_while(|line| line.level >= level).count();
        Place { at: next.at + within, ..place }
    };
    let agreed = if place.impression == None { Positive } else { place.impression };
    match action {
        Action::Done if agreed == Positive => Place { impression: agreed, ..outside() },
        Action::Ok => Place { impression: agreed, ..next },
        Action::Ignore | Action::Done => next,
        Action::Bad => Place { impression: Negative, ..next },
        Action::Die => Place { impression: Negative, ..outside() },
        Action::Reset => Place { impression: None, ..next },
        Action::Jump(count) => {
            let mut at = next.at;
            for _ in 0..count {
                // A substack is one line; and no jump leads out of one.
                let Some(line) = lines.get(at).filter(|line| line.level >= level) else {
                    return Place { at, impression: Negative };
                };
                let inner = lines.iter().skip(at + 1);
                at += 1 + inner.take_while(|other| other.level > line.level).count();
            }
            Place { at, ..place }
        }
    }
}
