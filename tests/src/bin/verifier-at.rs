//! A verifier with another clock, started in place of the installed one through `verifier=`: see
//! [`mfa_tests::clock`]. All else of it is the library that the installed one is made of.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use mfa_protocol::VERIFIER_BOUND;
use mfa_tests::clock::CLOCK;
use mfa_verifier::audit::Syslog;
use mfa_verifier::process::{Watchdog, belong_to_itself};
use mfa_verifier::reauth::Pam;
use mfa_verifier::serve::Service;
use mfa_verifier::users::System;

fn main() {
    assert_eq!(std::env::args().count(), 1, "it has no arguments");
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    belong_to_itself(&[0, 1, 2, stream.as_raw_fd()]).unwrap();
    let watchdog = Watchdog::start(VERIFIER_BOUND).unwrap();
    let log = Syslog::connect();
    let service = Service {
        config: None,
        users: &System,
        now: &now,
        first_factor: &Pam,
        log: &log,
        watchdog,
    };
    service.serve(&stream);
    std::process::exit(0)
}

/// A clock that cannot be read makes the request fail.
fn now() -> u64 {
    fs::read_to_string(CLOCK).unwrap().parse().unwrap()
}
