//! `mfa-verifier`: one connection on descriptor 0; root's faces, from one process; or a process for
//! each connection of a user.
#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../../tests/src/manual.rs"]
mod manual;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mfa_protocol::VERIFIER_BOUND;
use mfa_sys::process::{is_from_parent, leave_the_parent};
use mfa_verifier::audit::{Line, Log, Severity, Syslog};
use mfa_verifier::config::ConfigFile;
use mfa_verifier::listen::listen_for_users;
use mfa_verifier::mail::all_are_through;
use mfa_verifier::process::{Watchdog, belong_to_itself, serve_in_the_foreground};
use mfa_verifier::reauth::Pam;
use mfa_verifier::resident::{Place, reside};
use mfa_verifier::serve::Service;
use mfa_verifier::store::OpenDbs;
use mfa_verifier::users::System;

const USAGE: &str = "\
usage: mfa-verifier [--config PATH]
       mfa-verifier --listen SOCKET [--listen-users SOCKET] [--config PATH]
       mfa-verifier --listen-users SOCKET [--config PATH]

Serves one request on descriptor 0, a socket; pam_mfa.so, mfa-setup and systemd start it so.
With --listen, or on a socket that systemd listens on (LISTEN_FDS), it stays and serves root's
faces. With --listen-users a verifier is started for each connection of users who are not root.
Both stay in the foreground and end by SIGTERM.
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
        Arguments::Serve { config } => {
            return match mfa_sys::passed_listener() {
                Ok(Some(listener)) => stay(Place::Passed(listener), config.as_deref()),
                Ok(None) => serve(config),
                Err(error) => failed(&error.to_string()),
            };
        }
        Arguments::Stay { root, users, config } => {
            let place = Place::Named { root: &root, users: users.as_deref() };
            return stay(place, config.as_deref());
        }
        Arguments::Listen { users, config } => return listen(&users, config.as_deref()),
    }
    ExitCode::SUCCESS
}

fn failed(error: &str) -> ExitCode {
    eprintln!("mfa-verifier: error: {error}");
    ExitCode::from(3)
}

/// The same where nobody reads what is said: a face has /dev/null there.
fn unable(error: &str) -> ExitCode {
    let line = Line::new().value("request", Some("unserved")).quoted("error", error);
    let hint = "look at limits on processes and memory, and at whether /proc is mounted";
    Syslog::connect().write(Severity::Error, &line.quoted("hint", hint).finish());
    failed(error)
}

fn listen(users: &Path, config: Option<&Path>) -> ExitCode {
    match listen_for_users(users, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_listen(&format!("{}: {error}", users.display())),
    }
}

fn cannot_listen(error: &str) -> ExitCode {
    let code = failed(error);
    eprintln!("mfa-verifier: hint: run it as root, alone, with a directory of root's");
    code
}

/// Serves all of root's faces.
fn stay(place: Place, config: Option<&Path>) -> ExitCode {
    let passed = match &place {
        Place::Passed(listener) => listener.as_raw_fd(),
        Place::Named { .. } => 0,
    };
    if let Err(message) = serve_in_the_foreground(&[0, 1, 2, passed]) {
        return failed(&message);
    }
    mfa_sys::settle_malloc();
    silence_panics();
    let open_dbs: &OpenDbs = match OpenDbs::new() {
        // They stay for as long as the process does.
        Ok(open_dbs) => Box::leak(Box::new(open_dbs)),
        Err(error) => return failed(&format!("inotify is not to be had: {error}")),
    };
    let file = ConfigFile::new(config.map(Path::to_owned));
    let resided = reside(place, config, open_dbs, move |stream, since| {
        serve_on(stream, since, &file, Some(open_dbs), &|_| {});
    });
    match resided {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cannot_listen(&error.to_string()),
    }
}

/// Serves the request on descriptor 0.
fn serve(config: Option<PathBuf>) -> ExitCode {
    let since = Instant::now();
    let stream = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(descriptor) => UnixStream::from(descriptor),
        Err(error) => return failed(&format!("descriptor 0 is not usable: {error}")),
    };
    if stream.peer_addr().is_err() {
        eprint!("mfa-verifier: error: descriptor 0 is not a socket\n{USAGE}");
        return ExitCode::from(2);
    }
    // What systemd or a listener has started is counted, and ended, by its number.
    if matches!(is_from_parent(&stream), Ok(true))
        && let Err(error) = leave_the_parent()
    {
        // Not served by the face's child: whoever can use up processes could choose that then. And the
        // store could not make its threads either.
        return unable(&format!("no process can be made: {error}"));
    }
    if let Err(message) = belong_to_itself(&[0, 1, 2, stream.as_raw_fd()]) {
        return unable(&message);
    }
    let watchdog = match Watchdog::start(VERIFIER_BOUND) {
        Ok(watchdog) => watchdog,
        Err(error) => return unable(&format!("no thread can be made: {error}")),
    };
    silence_panics();
    serve_on(&stream, since, &ConfigFile::new(config), None, &|bound| watchdog.allow(bound));
    watchdog.allow(2 * VERIFIER_BOUND);
    all_are_through(VERIFIER_BOUND);
    // What was answered is durable. Taking the database down in order would be for nothing.
    std::process::exit(0)
}

fn serve_on(
    stream: &UnixStream,
    since: Instant,
    config: &ConfigFile,
    open_dbs: Option<&OpenDbs>,
    allow: &dyn Fn(Duration),
) {
    thread_local! {
        static LOG: Syslog = Syslog::connect();
    }
    LOG.with(|log| {
        let (users, first_factor) = (&System, &Pam);
        Service { config, open_dbs, users, now: &now, first_factor, log, allow }
            .serve(stream, since);
    });
}

/// A panic is answered by a refusal; its message could quote what it must not.
fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Seconds since the Unix epoch; a clock before it is taken for it, and then every code is wrong.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

enum Arguments {
    Help,
    Version,
    Serve { config: Option<PathBuf> },
    Stay { root: PathBuf, users: Option<PathBuf>, config: Option<PathBuf> },
    Listen { users: PathBuf, config: Option<PathBuf> },
}

/// What is shown, and nothing else done.
const HELP: [&str; 2] = ["--help", "-h"];
const VERSION: [&str; 2] = ["--version", "-V"];
/// What names a path.
const PATHS: [&str; 3] = ["--config", "--listen", "--listen-users"];

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut paths = [const { None }; PATHS.len()];
    while let Some(argument) = arguments.next() {
        let is_one_of = |names: &[&str]| names.iter().any(|name| argument == *name);
        if is_one_of(&HELP) {
            return Ok(Arguments::Help);
        }
        if is_one_of(&VERSION) {
            return Ok(Arguments::Version);
        }
        let named = PATHS.iter().zip(&mut paths).find(|(name, _)| argument == **name);
        let Some((_, place)) = named else {
            let shown = mfa_protocol::escape::escape(&argument.to_string_lossy());
            return Err(format!("unknown argument \"{shown}\""));
        };
        let path = arguments.next().map(PathBuf::from).filter(|path| path.is_absolute());
        *place = Some(
            path.ok_or_else(|| format!("{} needs an absolute path", argument.to_string_lossy()))?,
        );
    }
    let [config, root, users] = paths;
    Ok(match (root, users) {
        (Some(root), users) => Arguments::Stay { root, users, config },
        (None, Some(users)) => Arguments::Listen { users, config },
        (None, None) => Arguments::Serve { config },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::{insets, tags, under};
    use std::collections::BTreeSet;

    const MANUAL: &str = include_str!("../../doc/man/mfa-verifier.8");

    fn parsed(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().skip(1).map(OsString::from))
    }

    #[test]
    fn the_manual_has_every_option_and_no_other() {
        let tags = tags(under(MANUAL, ".SH OPTIONS"));
        let options = tags.iter().map(|tag| tag.split(' ').next().unwrap());
        let known = [&HELP[..], &VERSION, &PATHS].concat();
        assert_eq!(options.collect::<BTreeSet<_>>(), known.into_iter().collect());
    }

    #[test]
    fn each_path_has_its_own_place_and_is_shown_in_the_usage() {
        assert!(matches!(parsed("mfa-verifier"), Ok(Arguments::Serve { config: None })));
        let Ok(Arguments::Serve { config: Some(config) }) = parsed("mfa-verifier --config /c")
        else {
            panic!()
        };
        assert_eq!(config, Path::new("/c"));
        let all = "mfa-verifier --listen-users /u --config /c --listen /r";
        let Ok(Arguments::Stay { root, users: Some(users), config: Some(config) }) = parsed(all)
        else {
            panic!()
        };
        assert_eq!([root, users, config], ["/r", "/u", "/c"].map(PathBuf::from));
        let Ok(Arguments::Listen { users, config: None }) =
            parsed("mfa-verifier --listen-users /u")
        else {
            panic!()
        };
        assert_eq!(users, Path::new("/u"));
        for option in PATHS {
            assert!(USAGE.contains(&format!("{option} ")), "{option}");
            for line in [format!("mfa-verifier {option}"), format!("mfa-verifier {option} c")] {
                assert!(parsed(&line).is_err_and(|error| error.contains("absolute")), "{line}");
            }
        }
        assert!(parsed("mfa-verifier --listens /r").is_err());
    }

    #[test]
    fn what_the_manual_has_typed_without_systemd_is_understood() {
        let [typed] = &insets(under(MANUAL, ".SH UNITS"))[..] else { panic!() };
        assert!(matches!(parsed(typed), Ok(Arguments::Stay { users: Some(_), .. })));
        assert!(
            include_str!("../../doc/guide/verifier.md").contains(&format!("\n\n    {typed}\n"))
        );
    }
}
