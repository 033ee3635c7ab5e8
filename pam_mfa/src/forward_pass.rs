//! The line with `forward_pass`: one question for password and code, and nothing judged. A later
//! line, behind the first factor, judges the code; so nobody tries codes without the password.

use std::io::Read;
use std::path::Path;

use mfa_protocol::Secret;
use mfa_protocol::trusted::{self, Untrusted};
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

/// Where libpam looks for a service, in this order.
const SERVICES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];

/// The largest file of a stack that is read.
const MAX_FILE: u64 = 64 * 1024;

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

/// A stack in which nobody judges the code would let everybody in who has the password.
fn look_at_stack(pamh: &PamHandle) -> Result<(), NoReply> {
    let service = context::service(pamh);
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

/// Reads a file of a stack that nobody but root can have written.
fn load(name: &str) -> Option<String> {
    if name.starts_with('/') {
        return read(Path::new(name)).ok()?;
    }
    for directory in SERVICES {
        match read(&Path::new(directory).join(name)) {
            Err(Untrusted::Missing(_)) => {}
            read => return read.ok()?,
        }
    }
    None
}

fn read(path: &Path) -> Result<Option<String>, Untrusted> {
    let file = trusted::open_linked(path)?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    let whole = read.is_ok() && bytes.len() as u64 <= MAX_FILE;
    Ok(whole.then(|| String::from_utf8_lossy(&bytes).into_owned()))
}
