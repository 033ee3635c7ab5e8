//! A verifier with another clock, started in place of the installed one through `verifier=`: see
//! [`mfa_tests::clock`]. All else of it is the library that the installed one is made of.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mfa_protocol::VERIFIER_BOUND;
use mfa_tests::clock::CLOCK;
use mfa_verifier::audit::Syslog;
use mfa_verifier::config::ConfigFile;
use mfa_verifier::process::{Watchdog, belong_to_itself, serve_in_the_foreground};
use mfa_verifier::reauth::Pam;
use mfa_verifier::resident::{Place, reside};
use mfa_verifier::serve::Service;
use mfa_verifier::store::OpenDbs;
use mfa_verifier::users::System;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve_one(),
        ["--listen", socket] => stay(Path::new(socket)),
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

fn serve_one() {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    belong_to_itself(&[0, 1, 2, stream.as_raw_fd()]).unwrap();
    let watchdog = Watchdog::start(VERIFIER_BOUND).unwrap();
    serve_on(&stream, Instant::now(), &ConfigFile::default(), None, &|bound| watchdog.allow(bound));
    std::process::exit(0)
}

fn stay(socket: &Path) {
    serve_in_the_foreground(&[0, 1, 2]).unwrap();
    let open_dbs: &OpenDbs = Box::leak(Box::new(OpenDbs::new().unwrap()));
    let config = ConfigFile::default();
    let place = Place::Named { root: socket, users: None };
    reside(place, None, open_dbs, move |stream, since| {
        serve_on(stream, since, &config, Some(open_dbs), &|_| {});
    })
    .unwrap();
}

fn serve_on(
    stream: &UnixStream,
    since: Instant,
    config: &ConfigFile,
    open_dbs: Option<&OpenDbs>,
    allow: &dyn Fn(Duration),
) {
    let log = Syslog::connect();
    Service { config, open_dbs, users: &System, now: &now, first_factor: &Pam, log: &log, allow }
        .serve(stream, since);
}

/// A clock that cannot be read makes the request fail.
fn now() -> u64 {
    fs::read_to_string(CLOCK).unwrap().parse().unwrap()
}
