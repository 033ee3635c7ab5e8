//! The command line of `pam_mfa`: enrols second factors and manages them.
//!
//! A *face*, like the module: it turns a command into one request, relays the verifier's
//! conversation on the terminal, and prints the reply. It decides nothing, holds no privilege of
//! its own and reads no configuration.
//!
//! From the command line downward: [`cli`] (what may be said) → [`run`] (which command) →
//! [`enrol`], [`manage`], [`helpdesk`], [`import`], [`export`], [`judgement`], [`policy`], [`doctor`] (what is asked of the
//! verifier) → [`terminal`] (the conversation) → [`text`] or [`json`] (the answer).
#![forbid(unsafe_code)]

mod cli;
#[cfg(test)]
mod completions;
mod doctor;
#[cfg(test)]
mod documented;
mod drawing;
mod enrol;
mod export;
mod helpdesk;
mod import;
mod input;
mod json;
mod judgement;
mod manage;
#[cfg(test)]
#[path = "../../tests/src/manual.rs"]
mod manual;
mod page;
mod picture;
mod policy;
mod private_file;
mod problem;
mod run;
mod session;
mod terminal;
mod text;
mod time;

use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    keep_secrets_in();
    let exit = match cli::parse(std::env::args_os()) {
        Ok(cli) => run::run(&cli).unwrap_or_else(|problem| problem.report()),
        Err(cli::Stop::Shown) => problem::DONE,
        Err(cli::Stop::Wrong(problem)) => problem.report(),
    };
    ExitCode::from(exit)
}

/// Keys and codes pass through here: no core dump and no debugger of the same user may see them.
fn keep_secrets_in() {
    // Neither call can fail with these arguments, and neither is what protects the store.
    let _ = prctl::set_dumpable(false);
    // A file size limit is then an error that can be reported, not a death.
    let mut file_size = SigSet::empty();
    file_size.add(Signal::SIGXFSZ);
    let _ = file_size.thread_block();
}
