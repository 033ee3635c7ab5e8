//! The line with `forward_pass`: one question for password and code, and nothing judged. A later
//! line, behind the first factor, judges the code; so nobody tries codes without the password.

use mfa_protocol::{Secret, pam_service};
use pam::constants::PamFlag;
use pam::module::PamHandle;

use crate::arguments::Arguments;
use crate::context;
use crate::conversation::PamConversation;
use crate::ffi::{self, Level};
use crate::outcome::NoReply;
use crate::split::split;
use crate::stack::{self, Finding};

/// What is asked where the line says nothing else.
const PROMPT: &str = "Password and verification code: ";

/// Asks once, sets the password for the first factor, and keeps the code for the line behind it.
pub fn split_answer(
    pamh: &mut PamHandle,
    arguments: &Arguments,
    digits: usize,
    flags: PamFlag,
) -> Result<(), NoReply> {
    // Of an earlier login with this handle, which came to an end before it was judged.
    drop(ffi::take_code(pamh));
    look_at_stack(pamh)?;
    // login(1) leaves it to the first module to ask who it is.
    context::user(pamh)?;
    let given = context::password(pamh).filter(|_| arguments.try_first_pass);
    let typed = if let Some(given) = given {
        given
    } else {
        let prompt = arguments.prompt.as_deref().unwrap_or(PROMPT);
        PamConversation::new(pamh, flags).ask_hidden(prompt)?
    };
    let (password, code) = split(typed.expose(), digits);
    ffi::set_password(pamh, password)?;
    if let Some(code) = code {
        ffi::keep_code(pamh, Secret::new(code.to_vec()))?;
    }
    if arguments.debug {
        ffi::log(pamh, Level::Debug, &format!("forward_pass code_given={}", code.is_some()));
    }
    Ok(())
}

/// A stack in which a line that judges the code is missing or passed by would let everybody in who has
/// the password.
fn look_at_stack(pamh: &PamHandle) -> Result<(), NoReply> {
    let service = context::service(pamh);
    let load = |name: &str| pam_service::load(pam_service::DIRECTORIES, name).ok();
    match stack::look(&service, &load) {
        Finding::Sound => Ok(()),
        Finding::Faulty(fault) => Err(fault.into()),
        Finding::Unseen(unseen) => {
            let line = format!(
                "warning: the stack of service {service} is not known: {unseen}; hint: see to it that \
                 a line of pam_mfa.so without forward_pass stands behind that with it"
            );
            ffi::log(pamh, Level::Warning, &line);
            Ok(())
        }
    }
}
