//! What `mfa-setup` is told when something was not done.

use std::io;

use mfa_protocol::escape::escape;
use mfa_protocol::frame::FrameError;
use mfa_protocol::message::{Failure, FailureKind, Reply, Request};
use mfa_protocol::{ConversationError, Outcome, Verdict};

use crate::factor::codes::CodesError;
use crate::record::RecordError;
use crate::situation::SituationError;
use crate::store::{Owner, StoreError};

/// An error and what to do about it.
#[must_use]
pub fn failure(kind: FailureKind, error: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { kind, error: error.into(), hint: hint.into() }
}

/// Wrong usage or input.
#[must_use]
pub fn usage(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    failure(FailureKind::Usage, error, hint)
}

/// The reply to a request that nothing could be made of.
#[must_use]
pub fn unusable(request: &Request, error: &str, hint: &str) -> Reply {
    match request {
        Request::Login(_) | Request::Unseen(_) => Reply::Outcome(Outcome {
            verdict: Verdict::Unavailable,
            user: None,
            factor: None,
            label: None,
        }),
        Request::Manage(_) => Reply::Failed(failure(FailureKind::Unusable, error, hint)),
    }
}

/// Nothing is enrolled that could be altered.
#[must_use]
pub fn not_enrolled(owner: &Owner) -> Failure {
    usage(
        format!("{} is not enrolled", escape(&owner.name)),
        "enrol first: mfa-setup, or as root for another user: mfa-setup --user NAME",
    )
}

/// The store's errors, with what to do about each.
#[must_use]
pub fn of_store(error: &StoreError) -> Failure {
    let hint = match error {
        StoreError::Unusable { .. } => {
            "bring back the key and the store that belong together, from a backup if need be"
        }
        StoreError::Damaged { .. } => {
            "bring the store back from a backup, or start anew with: mfa-setup reset --user NAME"
        }
        StoreError::Busy(_) => "try again; if it stays so, look for a verifier that is stuck",
        StoreError::Record(RecordError::Newer(_)) => "install the newer version again",
        StoreError::Record(RecordError::TooLarge) => "remove a device that is no longer used",
        StoreError::Record(RecordError::Malformed) => {
            "start anew with: mfa-setup reset --user NAME"
        }
        StoreError::Io(_) => "look at free space (df), quotas and the permissions of the store",
    };
    failure(FailureKind::Unusable, error.to_string(), hint)
}

/// The system does not say who is who.
#[must_use]
pub(crate) fn of_users(error: &io::Error) -> Failure {
    failure(
        FailureKind::Unusable,
        format!("the user database fails: {error}"),
        "look at nsswitch.conf and the services that it names",
    )
}

/// The system does not say what policy has to know.
#[must_use]
pub(crate) fn of_situation(error: &SituationError) -> Failure {
    let hint = "every login that needs it is refused; mend it";
    failure(FailureKind::Unusable, error.to_string(), hint)
}

/// Codes or keys could not be made.
#[must_use]
pub fn of_codes(error: &CodesError) -> Failure {
    failure(FailureKind::Unusable, error.to_string(), "look at free memory and try again")
}

/// A part of a request cannot be read, or one of a reply not be made.
#[must_use]
pub(crate) fn of_frame(error: &FrameError) -> Failure {
    let hint = "install mfa-setup and mfa-verifier from one version";
    failure(FailureKind::Unusable, error.to_string(), hint)
}

/// Nobody answered.
#[must_use]
pub fn of_conversation(error: ConversationError) -> Failure {
    let (kind, hint) = match error {
        ConversationError::Aborted => (FailureKind::Interrupted, "nothing was changed"),
        ConversationError::NobodyThere => (FailureKind::Usage, "run this on a terminal"),
        ConversationError::Broken => (FailureKind::Refused, "nothing was changed"),
    };
    failure(kind, error.to_string(), hint)
}
