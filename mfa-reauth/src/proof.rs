//! The proof: every step of PAM's succeeds, and for this user.

use std::ffi::CString;

use mfa_protocol::message::{Failure, ReAuthentication};
use mfa_protocol::{Conversation, REAUTH_SERVICE};

use crate::pam::{self, Step, Transaction};
use crate::person::Person;
use crate::{failure, service};

/// Asks PAM whether `conversation` is with the user of `request`. Everything but a yes is a failure.
pub fn prove(
    request: &ReAuthentication,
    conversation: &mut dyn Conversation,
) -> Result<(), Failure> {
    service::require(service::DIRECTORIES)?;
    let steps: &[Step] =
        if request.first_factor { &[Step::Authenticate, Step::Account] } else { &[Step::Account] };
    let mut person = Person::new(conversation);
    let played = play(&request.user, steps, &mut person);
    // Not even a stack that goes on without an answer proves somebody who gave none.
    person.failed().map_or(played, |failed| Err(failure::of_no_answer(failed)))
}

fn play(user: &str, steps: &[Step], person: &mut Person) -> Result<(), Failure> {
    let unusable = |_| failure::unusable("the user's name cannot be given to PAM");
    // Without a name PAM would ask for one.
    let name = CString::new(user).map_err(unusable)?;
    if user.is_empty() {
        return Err(failure::unusable("there is no user"));
    }
    let service = CString::new(REAUTH_SERVICE).map_err(unusable)?;
    let started = |code| failure::unusable(&format!("PAM cannot be started (error {code})"));
    let mut pam = Transaction::start(&service, &name, person).map_err(started)?;
    for step in steps {
        match pam.take(*step) {
            // A module may set another user, and then it is that one whom it let in.
            pam::SUCCESS if pam.user().as_deref() == Some(name.as_c_str()) => {}
            pam::SUCCESS => return Err(failure::somebody_else()),
            code => return Err(failure::of_code(*step, code, &pam.explanation(code), user)),
        }
    }
    Ok(())
}
