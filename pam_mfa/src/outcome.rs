//! From the end of a login to PAM's code for it, and to the line in the log.

use mfa_protocol::connect::ConnectError;
use mfa_protocol::relay::RelayError;
use mfa_protocol::{ConversationError, Outcome, Reply, Verdict};
use pam::constants::PamResultCode;

use crate::arguments::Refused;
use crate::ffi::{Level, NotKept};
use crate::stack::Fault;

/// How a line in `pam.d` ends.
#[derive(Debug)]
pub enum End {
    /// A verifier has replied.
    Reply(Reply),
    /// Password and code were split, and nothing was judged: `forward_pass`.
    Forwarded,
}

/// Why no verifier has decided this login.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// The line in `pam.d` is not understood.
    #[error(transparent)]
    Argument(#[from] Refused),
    /// `PAM_USER` is missing, empty, or longer than any name.
    #[error("the host does not say which user logs in")]
    NoUser,
    /// There is no verifier to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The exchange with it, or with the person, broke off.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The stack would not judge what `forward_pass` splits.
    #[error(transparent)]
    Stack(#[from] Fault),
    /// What was split could not be kept for those who judge it.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

impl From<ConversationError> for NoReply {
    fn from(error: ConversationError) -> Self {
        Self::Relay(error.into())
    }
}

impl NoReply {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Argument(refused) => Some(refused.hint().to_owned()),
            Self::Connect(error) => Some(error.hint()),
            Self::Relay(RelayError::Verifier(_)) => {
                Some("look at the verifier's own lines in this log".to_owned())
            }
            Self::Stack(fault) => Some(fault.hint().to_owned()),
            Self::NoUser | Self::Relay(RelayError::Conversation(_)) | Self::NotKept(_) => None,
        }
    }
}

/// The one place where an outcome becomes a PAM code. One line lets somebody in and two pass; all
/// that is not a verdict on this login refuses it.
pub fn code(end: &Result<End, NoReply>) -> PamResultCode {
    match end {
        Ok(End::Reply(Reply::Outcome(Outcome { verdict, .. }))) => match verdict {
            Verdict::Granted => PamResultCode::PAM_SUCCESS,
            Verdict::Exempt => PamResultCode::PAM_IGNORE,
            Verdict::Denied | Verdict::Locked => PamResultCode::PAM_AUTH_ERR,
            Verdict::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
        },
        // It says nothing about the login: the lines behind it do.
        Ok(End::Forwarded) => PamResultCode::PAM_IGNORE,
        Err(NoReply::NoUser | NoReply::Relay(RelayError::Conversation(_))) => {
            PamResultCode::PAM_AUTH_ERR
        }
        Ok(End::Reply(_)) | Err(_) => PamResultCode::PAM_AUTHINFO_UNAVAIL,
    }
}

/// What the log must say about it. A verdict is no complaint: the verifier has logged it.
pub fn complaint(end: &Result<End, NoReply>) -> Option<(Level, String)> {
    let (level, error, hint) = match end {
        Ok(End::Reply(Reply::Outcome(_)) | End::Forwarded) => return None,
        Ok(End::Reply(Reply::Failed(failed))) => {
            (Level::Error, failed.error.clone(), Some(failed.hint.clone()))
        }
        Ok(End::Reply(_)) => {
            (Level::Error, "the verifier replied to something else".to_owned(), None)
        }
        Err(error) => (level(error), error.to_string(), error.hint()),
    };
    let line = match hint {
        Some(hint) => format!("error: {error}; hint: {hint}"),
        None => format!("error: {error}"),
    };
    Some((level, line))
}

/// People hang up and give up; the rest is for an administrator to mend.
fn level(error: &NoReply) -> Level {
    match error {
        NoReply::NoUser | NoReply::Relay(RelayError::Conversation(_)) => Level::Notice,
        _ => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use mfa_protocol::frame::FrameError;
    use mfa_protocol::message::{Failure, FailureKind};

    const SUCCESS: i32 = 0;
    const AUTH_ERR: i32 = 7;
    const AUTHINFO_UNAVAIL: i32 = 9;
    const IGNORE: i32 = 25;

    fn verdict(verdict: Verdict) -> End {
        End::Reply(Reply::Outcome(Outcome { verdict, user: None, factor: None, label: None }))
    }

    fn failed() -> End {
        let kind = FailureKind::Refused;
        End::Reply(Reply::Failed(Failure { kind, error: "no".into(), hint: "ask root".into() }))
    }

    #[test]
    fn each_end_of_a_login_has_its_code_and_its_place_in_the_log() {
        let gave_up = RelayError::Conversation(ConversationError::Aborted);
        let hung_up = RelayError::Verifier(FrameError::HungUp);
        let argument = Arguments::parse(&[c"nonsense"]).unwrap_err();
        let notice = Some(Level::Notice);
        let error = Some(Level::Error);
        for (end, expected, logged) in [
            (Ok(verdict(Verdict::Granted)), SUCCESS, None),
            (Ok(verdict(Verdict::Exempt)), IGNORE, None),
            (Ok(verdict(Verdict::Denied)), AUTH_ERR, None),
            (Ok(verdict(Verdict::Locked)), AUTH_ERR, None),
            (Ok(verdict(Verdict::Unavailable)), AUTHINFO_UNAVAIL, None),
            (Ok(failed()), AUTHINFO_UNAVAIL, error),
            (Ok(End::Reply(Reply::Done { user: "alice".into() })), AUTHINFO_UNAVAIL, error),
            (Ok(End::Forwarded), IGNORE, None),
            (Err(NoReply::NoUser), AUTH_ERR, notice),
            (Err(NoReply::Relay(gave_up)), AUTH_ERR, notice),
            (Err(NoReply::Relay(hung_up)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::Connect(ConnectError::NotRoot)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::Argument(argument)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::Stack(Fault::NotJudged)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::NotKept(NotKept)), AUTHINFO_UNAVAIL, error),
            (Err(ConversationError::NobodyThere.into()), AUTH_ERR, notice),
        ] {
            assert_eq!(code(&end) as i32, expected, "{end:?}");
            assert_eq!(complaint(&end).map(|(level, _)| level), logged, "{end:?}");
        }
    }

    #[test]
    fn a_complaint_says_what_and_what_to_do() {
        let (_, line) = complaint(&Ok(failed())).unwrap();
        assert_eq!(line, "error: no; hint: ask root");
        let (_, line) = complaint(&Err(NoReply::NoUser)).unwrap();
        assert_eq!(line, "error: the host does not say which user logs in");
    }
}
