//! What the person is told when PAM did not say that it is them.

use mfa_protocol::ConversationError;
use mfa_protocol::escape::escape;
use mfa_protocol::frame::FrameError;
use mfa_protocol::message::{Failure, FailureKind};

use crate::pam::{self, Code, Step};
use crate::person::NoAnswer;

/// PAM, its service or this program cannot be used.
pub fn unusable(error: &str) -> Failure {
    Failure {
        kind: FailureKind::Unusable,
        error: error.to_owned(),
        hint: "look at /etc/pam.d/mfa-setup, and at the log's last lines".to_owned(),
    }
}

/// The request cannot be read.
pub fn of_frame(error: &FrameError) -> Failure {
    Failure {
        hint: "install all of pam_mfa anew, from one build".to_owned(),
        ..unusable(&error.to_string())
    }
}

/// The person gave no answer that can be passed on, whatever PAM made of that.
pub fn of_no_answer(error: NoAnswer) -> Failure {
    match error {
        NoAnswer::GaveUp(error) => interrupted(error),
        NoAnswer::Unfit => refused("an answer is too long, or has a zero byte in it", "try again"),
    }
}

fn interrupted(error: ConversationError) -> Failure {
    Failure {
        kind: FailureKind::Interrupted,
        error: error.to_string(),
        hint: "nothing was changed".to_owned(),
    }
}

/// What `step` returned, where that is not success; `said` is libpam's own text for it.
pub fn of_code(step: Step, code: Code, said: &str, user: &str) -> Failure {
    match (step, code) {
        (_, pam::NEW_AUTHTOK_REQD) => {
            refused("the password must be changed first", "change it with: passwd")
        }
        (_, pam::ACCT_EXPIRED) => refused("the account has expired", ASK),
        (_, pam::AUTHTOK_EXPIRED) => refused("the password has expired", ASK),
        (
            Step::Authenticate,
            pam::AUTH_ERR | pam::MAXTRIES | pam::USER_UNKNOWN | pam::PERM_DENIED,
        ) => refused(
            "PAM did not accept the password",
            &format!(
                "try again; an account without a password needs an invitation, \
                 ask the administrator for: mfa-setup invite {}",
                escape(user)
            ),
        ),
        // Debian's common-account says so of an account that has expired.
        (Step::Account, pam::AUTH_ERR | pam::USER_UNKNOWN | pam::PERM_DENIED) => {
            refused("PAM does not let this account be used", ASK)
        }
        _ => unusable(&format!("PAM cannot be used: {}", escape(said))),
    }
}

/// A module let somebody else in.
pub fn somebody_else() -> Failure {
    refused("PAM answered for another user", ASK)
}

const ASK: &str = "ask the administrator";

fn refused(error: &str, hint: &str) -> Failure {
    Failure { kind: FailureKind::Refused, error: error.to_owned(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureKind::{Interrupted, Refused, Unusable};

    /// The numbers are those of Linux-PAM's `_pam_types.h`; a `None` hint is that of `unusable`.
    #[test]
    fn every_code_but_success_is_a_failure_that_says_what_to_do() {
        let invite = Some("mfa-setup invite alice");
        let rows = [
            (Step::Authenticate, 6, Refused, invite),
            (Step::Authenticate, 7, Refused, invite),
            (Step::Authenticate, 10, Refused, invite),
            (Step::Authenticate, 11, Refused, invite),
            (Step::Account, 6, Refused, Some("administrator")),
            (Step::Account, 7, Refused, Some("administrator")),
            (Step::Account, 10, Refused, Some("administrator")),
            (Step::Account, 12, Refused, Some("passwd")),
            (Step::Account, 13, Refused, Some("administrator")),
            (Step::Account, 27, Refused, Some("administrator")),
            (Step::Authenticate, 12, Refused, Some("passwd")),
            (Step::Authenticate, 9, Unusable, None),
            (Step::Authenticate, 19, Unusable, None),
            (Step::Authenticate, 25, Unusable, None),
            (Step::Account, 11, Unusable, None),
            (Step::Account, 26, Unusable, None),
            (Step::Account, 28, Unusable, None),
            (Step::Account, -1, Unusable, None),
            (Step::Account, 4711, Unusable, None),
        ];
        for (step, code, kind, hint) in rows {
            let failure = of_code(step, code, "Module is unknown", "alice");
            assert_eq!(failure.kind, kind, "{step:?} {code}");
            let hint = hint.unwrap_or("/etc/pam.d/mfa-setup");
            assert!(failure.hint.contains(hint), "{step:?} {code}: {}", failure.hint);
            assert_eq!(failure.error.contains("Module is unknown"), kind == Unusable, "{code}");
        }
    }

    #[test]
    fn who_gives_up_is_interrupted_and_no_fault_of_pam_s() {
        for error in
            [ConversationError::Aborted, ConversationError::NobodyThere, ConversationError::Broken]
        {
            assert_eq!(of_no_answer(NoAnswer::GaveUp(error)).kind, Interrupted);
        }
        assert_eq!(of_no_answer(NoAnswer::Unfit).kind, Refused);
    }
}
