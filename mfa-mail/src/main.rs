//! `mfa-mail`: one mail, by a mail server or the local `sendmail`.
//!
//! What talks to a network and takes certificates apart has no business beside the sealing key, and what
//! it links none in a program that is started for each login. So the verifier starts this program, which
//! knows one message and where it goes, and kills it at its bound. lettre bounds each read by itself, so
//! a server that drips bytes is never done with; it reads a line to its end before it looks at its
//! length; and the resolver below it waits for as long as /etc/resolv.conf says.
#![forbid(unsafe_code)]

mod compose;
mod sendmail;
mod server;
mod smtp;

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use mfa_protocol::mail::{Route, Task, UNSENT};
use mfa_protocol::relay::encode;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::smtp::Exchange;

/// Bytes of a task: a file of certificates, a message, and some.
const LONGEST_TASK: u64 = 2 * 1024 * 1024;

fn main() -> ExitCode {
    // Its message could quote what it must not.
    std::panic::set_hook(Box::new(|_| {}));
    if std::env::args_os().len() > 1 || std::env::vars_os().next().is_some() {
        return not_for_you();
    }
    let Some(task) = receive() else { return not_for_you() };
    if mfa_sys::process::serve_in_the_foreground(c"mfa-mail", &[0, 1, 2]).is_err() {
        return ExitCode::FAILURE;
    }
    catch_unwind(AssertUnwindSafe(|| carry_out(&task))).unwrap_or(ExitCode::FAILURE)
}

fn not_for_you() -> ExitCode {
    eprintln!("mfa-mail: error: only mfa-verifier starts this, without arguments or environment");
    ExitCode::from(2)
}

fn receive() -> Option<Task> {
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin().take(LONGEST_TASK).read_to_end(&mut bytes).ok()?;
    Task::decode(&bytes).ok()
}

fn carry_out(task: &Task) -> ExitCode {
    let message = compose::message(task);
    match &task.route {
        Route::Program(path) => {
            let fault = match message {
                Ok(message) => sendmail::become_program(path, &task.from, &task.to, &message),
                Err(fault) => fault,
            };
            say(&mut io::stderr(), &fault);
            ExitCode::from(UNSENT)
        }
        Route::Server(by) => {
            let mut exchange = Exchange::default();
            let sent = message.and_then(|message| exchange.send(task, by, &message));
            let said = say(&mut io::stdout(), &sent);
            exchange.take_leave();
            if said { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn say<T: Serialize>(to: &mut impl Write, what: &T) -> bool {
    encode(what).is_ok_and(|bytes| to.write_all(&bytes).and_then(|()| to.flush()).is_ok())
}
