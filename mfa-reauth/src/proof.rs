//! The proof: every step of PAM's succeeds, and for this user.

use std::ffi::CString;

use mfa_protocol::message::{Failure, ReAuthentication};
use mfa_protocol::{Conversation, REAUTH_SERVICE};

use crate::pam::{self, Code, Step, Transaction};
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
    let played = play(request, steps, &mut person);
    // Not even a stack that goes on without an answer proves somebody who gave none.
    person.failed().map_or(played, |failed| Err(failure::of_no_answer(failed)))
}

fn play(request: &ReAuthentication, steps: &[Step], person: &mut Person) -> Result<(), Failure> {
    let user = request.user.as_str();
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
            code if is_enough(request, *step, code)
                && pam.user().as_deref() == Some(name.as_c_str()) => {}
            code if is_enough(request, *step, code) => return Err(failure::somebody_else()),
            code => return Err(failure::of_code(*step, code, &pam.explanation(code), user)),
        }
    }
    Ok(())
}

/// Whether `step` says yes. A password that must be changed is the right one all the same, and who gets one
/// from an administrator has to log in to change it.
fn is_enough(request: &ReAuthentication, step: Step, code: Code) -> bool {
    let must_be_changed = step == Step::Account && code == pam::NEW_AUTHTOK_REQD;
    code == pam::SUCCESS || must_be_changed && request.at_login
}
