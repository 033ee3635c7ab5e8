//! The first factor of who changes the own record, as far as the verifier is concerned: another
//! program asks for it.
//!
//! PAM modules are foreign code, so they run in `mfa-reauth`, a process of its own, started anew and
//! not forked: it has nothing of the key or of a record in its memory.

use std::path::Path;
use std::process::Child;

use mfa_protocol::connect::{ConnectError, start};
use mfa_protocol::message::{Failure, FailureKind, ReAuthentication};
use mfa_protocol::relay::{RelayError, relay_within};
use mfa_protocol::trusted::Untrusted;
use mfa_protocol::{Conversation, FIRST_FACTOR_BOUND, Reply, paths};

use crate::failure::{failure, of_conversation};
use crate::store::Owner;

/// How somebody shows to be who they are, before the second factor.
pub trait FirstFactor {
    /// Leads the conversation. `Ok` means that the account may be used, and, if `asked`, that the
    /// first factor was right.
    ///
    /// # Errors
    /// What to tell the person; nothing is proven then.
    fn prove(
        &self,
        owner: &Owner,
        asked: bool,
        conversation: &mut dyn Conversation,
    ) -> Result<(), Failure>;
}

/// The system's PAM, service `mfa-setup`.
#[derive(Debug, Clone, Copy)]
pub struct Pam;

impl FirstFactor for Pam {
    fn prove(
        &self,
        owner: &Owner,
        asked: bool,
        conversation: &mut dyn Conversation,
    ) -> Result<(), Failure> {
        let (stream, child) =
            start(Path::new(paths::REAUTH), "mfa-reauth", []).map_err(|error| unstarted(&error))?;
        let _child = Ended(child);
        let user = owner.name.clone();
        let request = ReAuthentication { user, first_factor: asked, at_login: false };
        match relay_within(FIRST_FACTOR_BOUND, &stream, &request, conversation) {
            Ok(Reply::Done { user }) if user == owner.name => Ok(()),
            Ok(Reply::Failed(failure)) => Err(failure),
            Ok(_) => Err(broken("mfa-reauth replied to something else")),
            Err(RelayError::Conversation(error)) => Err(of_conversation(error)),
            Err(RelayError::Verifier(error)) => Err(broken(&format!("mfa-reauth: {error}"))),
        }
    }
}

fn unstarted(error: &ConnectError) -> Failure {
    let hint = match error {
        ConnectError::Untrusted(Untrusted::Missing(_)) => "install it again, from this version",
        _ => "look at its owner and permissions, and at limits on processes and memory",
    };
    failure(FailureKind::Unusable, format!("{} cannot be started: {error}", paths::REAUTH), hint)
}

fn broken(error: &str) -> Failure {
    let hint = "look at the modules in /etc/pam.d/mfa-setup, and at the system log";
    failure(FailureKind::Unusable, error, hint)
}

/// A process that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody but this process reaps its children, so the pid is still that child's.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
