//! Why something was not done: an error, a hint, an exit code.

use std::io::{self, Write};

use mfa_protocol::connect::ConnectError;
use mfa_protocol::frame::FrameError;
use mfa_protocol::message::{Failure, FailureKind};
use mfa_protocol::trusted::Untrusted;

use nix::unistd::geteuid;

use crate::drawing::printable;

/// Done, or the code was accepted.
pub const DONE: u8 = 0;
/// Refused.
pub const REFUSED: u8 = 1;
/// Wrong usage or input.
pub const USAGE: u8 = 2;
/// Configuration, key, store, verifier or disk unusable.
pub const UNUSABLE: u8 = 3;
/// Not permitted.
pub const NOT_PERMITTED: u8 = 4;
/// The person gave up.
pub const INTERRUPTED: u8 = 130;

/// Why something was not done. Both texts are lower-case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The exit code.
    pub exit: u8,
    /// What happened.
    pub error: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Problem {
    /// Wrong usage or input.
    pub fn usage(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: USAGE, error: error.into(), hint: hint.into() }
    }

    /// Something that the answer depends on cannot be used.
    pub fn unusable(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: UNUSABLE, error: error.into(), hint: hint.into() }
    }

    /// Somebody else may do that.
    pub fn not_permitted(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: NOT_PERMITTED, error: error.into(), hint: hint.into() }
    }

    /// The person gave up at a question.
    pub fn interrupted() -> Self {
        Self { exit: INTERRUPTED, error: "interrupted".to_owned(), hint: String::new() }
    }

    /// The person answered no.
    pub fn declined() -> Self {
        let error = "nothing was changed".to_owned();
        Self { exit: REFUSED, error, hint: String::new() }
    }

    /// The verifier replied to something else.
    pub fn unexpected_reply() -> Self {
        FrameError::Malformed.into()
    }

    /// The same problem where `done` has been done already, and `then` is what remains to do.
    #[must_use]
    pub fn after(self, done: &str, then: &str) -> Self {
        Self {
            error: format!("{done}, but {}", self.error),
            hint: format!("{}\n{then}", self.hint),
            ..self
        }
    }

    /// Writes it to standard error and returns the exit code.
    pub fn report(&self) -> u8 {
        say_error(&self.error);
        say_hint(&self.hint);
        self.exit
    }
}

/// Writes `mfa-setup: error: …` to standard error.
pub fn say_error(text: &str) {
    say("error", text);
}

/// Writes `mfa-setup: hint: …` to standard error.
pub fn say_hint(text: &str) {
    say("hint", text);
}

fn say(kind: &str, text: &str) {
    let mut stderr = io::stderr().lock();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // Where standard error is gone, the exit code has to say it.
        let _ = writeln!(stderr, "mfa-setup: {kind}: {}", printable(line).as_str());
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::Refused => REFUSED,
            FailureKind::Usage => USAGE,
            FailureKind::Unusable => UNUSABLE,
            FailureKind::NotPermitted => NOT_PERMITTED,
            FailureKind::Interrupted => INTERRUPTED,
        };
        Self { exit, error: failure.error, hint: failure.hint }
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::NotRoot => NOT_PERMITTED,
            _ => UNUSABLE,
        };
        let hint = match &error {
            ConnectError::Untrusted(Untrusted::Missing(_)) => {
                "install mfa-verifier, or name it with --verifier".to_owned()
            }
            other => other.hint(),
        };
        Self { exit, error: error.to_string(), hint }
    }
}

impl From<FrameError> for Problem {
    fn from(error: FrameError) -> Self {
        let hint = match error {
            FrameError::Version(_) => "install mfa-setup and mfa-verifier of one version",
            _ if geteuid().is_root() => "look for lines of pam_mfa in the system log",
            _ => {
                "it may have been done or not, see: mfa-setup status; the administrator finds more in \
                  the system log"
            }
        };
        Self::unusable(format!("the verifier cannot be used: {error}"), hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let exits = [
            (FailureKind::Refused, 1),
            (FailureKind::Usage, 2),
            (FailureKind::Unusable, 3),
            (FailureKind::NotPermitted, 4),
            (FailureKind::Interrupted, 130),
        ];
        for (kind, exit) in exits {
            let failure = Failure { kind, error: "e".into(), hint: "h".into() };
            assert_eq!(Problem::from(failure).exit, exit);
        }
        assert_eq!(Problem::from(ConnectError::NotRoot).exit, 4);
        assert_eq!(Problem::from(FrameError::HungUp).exit, 3);
    }

    #[test]
    fn a_missing_verifier_is_hinted_at_in_the_words_of_this_command() {
        let missing = ConnectError::Untrusted(Untrusted::Missing("/x".into()));
        assert!(Problem::from(missing).hint.contains("--verifier"));
    }
}
