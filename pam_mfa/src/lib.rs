//! `pam_mfa.so`: the face of the second factor towards sshd, sudo, login and everything else that
//! asks PAM.
//!
//! It gathers who logs in from where (`context`), reaches a verifier, relays the conversation
//! that the verifier leads (`conversation`), and maps its one outcome to one PAM code
//! (`outcome`). It holds no secret, no policy and no state between two calls, so that its host
//! may fork, run threads, or call in another process than before; but for the code that one line
//! of a stack splits off for another (`forward_pass`), which the host's handle keeps.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod arguments;
mod context;
mod conversation;
mod ffi;
mod first_factor;
mod forward_pass;
#[cfg(test)]
#[path = "../../tests/src/manual.rs"]
mod manual;
mod outcome;
mod panics;
mod split;
mod stack;

use std::ffi::CStr;

use mfa_protocol::{Reply, Request};
use pam::constants::PamResultCode::{self, PAM_IGNORE, PAM_SUCCESS};
use pam::constants::{PAM_SILENT, PamFlag};
use pam::module::{PamHandle, PamHooks};

use arguments::Arguments;
use conversation::{Forwarded, PamConversation};
use ffi::Level;
use outcome::{End, NoReply};

struct Module;

/// The six exported functions. In a module of their own, since the macro documents none of them.
mod entry {
    use super::Module;
    pam::pam_hooks!(Module);
}

// The module does its work in sm_authenticate. What the others return is constant: a host may call
// them twice, in another process, or without a login before.
impl PamHooks for Module {
    fn sm_authenticate(pamh: &mut PamHandle, args: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        panics::refuse(
            pamh,
            |pamh| authenticate(pamh, &args, flags),
            |pamh, line| ffi::log(pamh, Level::Critical, line),
        )
    }

    // Not PAM_IGNORE: libpam answers a stack in which nobody said yes with PAM_PERM_DENIED.
    fn sm_setcred(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PAM_SUCCESS
    }

    fn acct_mgmt(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PAM_IGNORE
    }

    fn sm_open_session(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PAM_IGNORE
    }

    fn sm_close_session(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PAM_IGNORE
    }

    fn sm_chauthtok(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PAM_IGNORE
    }
}

fn authenticate(pamh: &mut PamHandle, args: &[&CStr], flags: PamFlag) -> PamResultCode {
    let end = work(pamh, args, flags);
    if let Some((level, line)) = outcome::complaint(&end) {
        ffi::log(pamh, level, &line);
    }
    outcome::code(&end)
}

fn work(pamh: &mut PamHandle, args: &[&CStr], flags: PamFlag) -> Result<End, NoReply> {
    let arguments = Arguments::parse(args)?;
    match arguments.forwards() {
        Some(digits) => {
            forward_pass::split_answer(pamh, &arguments, digits, flags)?;
            Ok(End::Forwarded)
        }
        None => login(pamh, &arguments, flags).map(End::Reply),
    }
}

fn login(pamh: &mut PamHandle, arguments: &Arguments, flags: PamFlag) -> Result<Reply, NoReply> {
    // Taken whatever comes of this login: it is no answer to a later one.
    let code = ffi::take_code(pamh);
    let request = context::gather(pamh, arguments)?;
    if arguments.debug {
        ffi::log(pamh, Level::Debug, &context::describe(&request));
    }
    let person = PamConversation::new(pamh, flags);
    let mut conversation = Forwarded::new(code, context::password(pamh), person);
    let request = Box::new(request);
    let request =
        if flags & PAM_SILENT == 0 { Request::Login(request) } else { Request::Unseen(request) };
    let reply = arguments.verifier.connect(&request)?.relay(&request, &mut conversation)?;
    if let (true, Reply::Outcome(outcome)) = (arguments.debug, &reply) {
        ffi::log(pamh, Level::Debug, &format!("outcome={}", outcome.verdict.name()));
    }
    Ok(reply)
}
