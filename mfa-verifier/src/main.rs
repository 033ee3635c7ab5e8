//! `mfa-verifier`: one connection on descriptor 0, or a process for each connection of a user.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use mfa_protocol::VERIFIER_BOUND;
use mfa_verifier::audit::Syslog;
use mfa_verifier::listen::listen_for_users;
use mfa_verifier::process::{Watchdog, belong_to_itself};
use mfa_verifier::reauth::Pam;
use mfa_verifier::serve::Service;
use mfa_verifier::users::System;

const USAGE: &str = "\
usage: mfa-verifier [--config PATH]
       mfa-verifier --listen-users SOCKET [--config PATH]

Serves one request on descriptor 0, a socket; pam_mfa.so, mfa-setup and systemd start it so.
With --listen-users it listens for users who are not root, in the foreground, and starts a
verifier for each of their connections.
";

fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprint!("mfa-verifier: error: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match arguments {
        Arguments::Help => print!("{USAGE}"),
        Arguments::Version => println!("mfa-verifier {}", env!("CARGO_PKG_VERSION")),
        Arguments::Serve { config } => return serve(config.as_deref()),
        Arguments::Listen { users, config } => return listen(&users, config.as_deref()),
    }
    ExitCode::SUCCESS
}

fn listen(users: &Path, config: Option<&Path>) -> ExitCode {
    match listen_for_users(users, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mfa-verifier: error: {}: {error}", users.display());
            eprintln!("mfa-verifier: hint: run it as root, alone, with a directory of root's");
            ExitCode::from(3)
        }
    }
}

fn serve(config: Option<&Path>) -> ExitCode {
    let failed = |message: String| {
        eprintln!("mfa-verifier: error: {message}");
        ExitCode::from(3)
    };
    let stream = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(descriptor) => UnixStream::from(descriptor),
        Err(error) => return failed(format!("descriptor 0 is not usable: {error}")),
    };
    if stream.peer_addr().is_err() {
        eprint!("mfa-verifier: error: descriptor 0 is not a socket\n{USAGE}");
        return ExitCode::from(2);
    }
    let keep = [0, 1, 2, std::os::fd::AsRawFd::as_raw_fd(&stream)];
    if let Err(message) = belong_to_itself(&keep) {
        return failed(message);
    }
    let watchdog = match Watchdog::start(VERIFIER_BOUND) {
        Ok(watchdog) => watchdog,
        Err(error) => return failed(format!("no thread can be made: {error}")),
    };
    // A panic is answered by a refusal; its message could quote what it must not.
    std::panic::set_hook(Box::new(|_| {}));
    let log = Syslog::connect();
    let service =
        Service { config, users: &System, now: &now, first_factor: &Pam, log: &log, watchdog };
    service.serve(&stream);
    // What was answered is durable. Taking the database down in order would only make the face wait.
    std::process::exit(0)
}

/// Seconds since the Unix epoch; a clock before it is taken for it, and then every code is wrong.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

enum Arguments {
    Help,
    Version,
    Serve { config: Option<PathBuf> },
    Listen { users: PathBuf, config: Option<PathBuf> },
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let (mut config, mut users) = (None, None);
    while let Some(argument) = arguments.next() {
        let place = match argument.to_str() {
            Some("--help" | "-h") => return Ok(Arguments::Help),
            Some("--version" | "-V") => return Ok(Arguments::Version),
            Some("--config") => &mut config,
            Some("--listen-users") => &mut users,
            _ => {
                let shown = mfa_protocol::escape::escape(&argument.to_string_lossy());
                return Err(format!("unknown argument \"{shown}\""));
            }
        };
        let path = arguments.next().map(PathBuf::from).filter(|path| path.is_absolute());
        *place = Some(
            path.ok_or_else(|| format!("{} needs an absolute path", argument.to_string_lossy()))?,
        );
    }
    Ok(match users {
        Some(users) => Arguments::Listen { users, config },
        None => Arguments::Serve { config },
    })
}
