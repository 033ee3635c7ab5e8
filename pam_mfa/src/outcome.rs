//! From the end of a login to PAM's code for it, and to the line in the log.

use mfa_protocol::connect::ConnectError;
use mfa_protocol::relay::RelayError;
use mfa_protocol::{Outcome, Reply, Verdict};
use pam::constants::PamResultCode;

use crate::arguments::Refused;
use crate::ffi::Level;

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
}

impl NoReply {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Argument(refused) => Some(refused.hint().to_owned()),
            Self::Connect(error) => Some(error.hint()),
            Self::Relay(RelayError::Verifier(_)) => {
                Some("look at the verifier's own lines in this log".to_owned())
            }
            Self::NoUser | Self::Relay(RelayError::Conversation(_)) => None,
        }
    }
}

/// The one place where an outcome becomes a PAM code. Two lines let somebody in or pass; all that
/// is not a verdict on this login refuses it.
pub fn code(reply: &Result<Reply, NoReply>) -> PamResultCode {
    match reply {
        Ok(Reply::Outcome(Outcome { verdict, .. })) => match verdict {
            Verdict::Granted => PamResultCode::PAM_SUCCESS,
            Verdict::Exempt => PamResultCode::PAM_IGNORE,
            Verdict::Denied | Verdict::Locked => PamResultCode::PAM_AUTH_ERR,
            Verdict::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
        },
        Err(NoReply::NoUser | NoReply::Relay(RelayError::Conversation(_))) => {
            PamResultCode::PAM_AUTH_ERR
        }
        Ok(_) | Err(NoReply::Argument(_) | NoReply::Connect(_) | NoReply::Relay(_)) => {
            PamResultCode::PAM_AUTHINFO_UNAVAIL
        }
    }
}

/// What the log must say about it. A verdict is no complaint: the verifier has logged it.
pub fn complaint(reply: &Result<Reply, NoReply>) -> Option<(Level, String)> {
    let (level, error, hint) = match reply {
        Ok(Reply::Outcome(_)) => return None,
        Ok(Reply::Failed(failed)) => {
            (Level::Error, failed.error.clone(), Some(failed.hint.clone()))
        }
        Ok(_) => (Level::Error, "the verifier replied to something else".to_owned(), None),
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
        NoReply::Argument(_) | NoReply::Connect(_) | NoReply::Relay(_) => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use mfa_protocol::ConversationError;
    use mfa_protocol::frame::FrameError;
    use mfa_protocol::message::{Failure, FailureKind};

    const SUCCESS: i32 = 0;
    const AUTH_ERR: i32 = 7;
    const AUTHINFO_UNAVAIL: i32 = 9;
    const IGNORE: i32 = 25;

    fn verdict(verdict: Verdict) -> Reply {
        Reply::Outcome(Outcome { verdict, user: None, factor: None, label: None })
    }

    fn failed() -> Reply {
        let kind = FailureKind::Refused;
        Reply::Failed(Failure { kind, error: "no".into(), hint: "ask root".into() })
    }

    #[test]
    fn each_end_of_a_login_has_its_code_and_its_place_in_the_log() {
        let gave_up = RelayError::Conversation(ConversationError::Aborted);
        let hung_up = RelayError::Verifier(FrameError::HungUp);
        let argument = Arguments::parse(&[c"nonsense"]).unwrap_err();
        let notice = Some(Level::Notice);
        let error = Some(Level::Error);
        for (reply, expected, logged) in [
            (Ok(verdict(Verdict::Granted)), SUCCESS, None),
            (Ok(verdict(Verdict::Exempt)), IGNORE, None),
            (Ok(verdict(Verdict::Denied)), AUTH_ERR, None),
            (Ok(verdict(Verdict::Locked)), AUTH_ERR, None),
            (Ok(verdict(Verdict::Unavailable)), AUTHINFO_UNAVAIL, None),
            (Ok(failed()), AUTHINFO_UNAVAIL, error),
            (Ok(Reply::Done { user: "alice".into() }), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::NoUser), AUTH_ERR, notice),
            (Err(NoReply::Relay(gave_up)), AUTH_ERR, notice),
            (Err(NoReply::Relay(hung_up)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::Connect(ConnectError::NotRoot)), AUTHINFO_UNAVAIL, error),
            (Err(NoReply::Argument(argument)), AUTHINFO_UNAVAIL, error),
        ] {
            assert_eq!(code(&reply) as i32, expected, "{reply:?}");
            assert_eq!(complaint(&reply).map(|(level, _)| level), logged, "{reply:?}");
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
