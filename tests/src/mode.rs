//! What holds for all tests of a run.
//!
//! With `PAM_MFA_TESTS_WHOLE=1` in the environment nothing is left out: where a run makes faults at every so
//! many-th place, that one does at each.
//!
//! Root's faces are served by verifiers that they start, or, with `PAM_MFA_TESTS_MODE=resident` in the
//! environment, by one that is resident in each host.
//!
//! A face that is not served by the resident starts a verifier of its own and logs in all the same,
//! so a test that passes has not shown by whom. `Standing::look_back` does: of every decision in the
//! log the kernel knows which process wrote it.

use std::env::{self, VarError};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;

use mfa_protocol::REAUTH_SERVICE;
use mfa_verifier::confine::SERVICE;

use crate::host::Running;
use crate::log::Record;
use crate::resident::ROOT_SOCKET;
use crate::waiting::until;

/// The services of logins that faces of users ask for, who have verifiers of their own: a screen is
/// unlocked, the own record is changed.
const OF_USERS: [&str; 2] = [SERVICE, REAUTH_SERVICE];

/// Whether nothing is left out.
pub fn is_whole() -> bool {
    static WHOLE: OnceLock<bool> = OnceLock::new();
    *WHOLE.get_or_init(|| match env::var("PAM_MFA_TESTS_WHOLE").as_deref() {
        Err(VarError::NotPresent) => false,
        Ok("1") => true,
        other => panic!("PAM_MFA_TESTS_WHOLE is {other:?}"),
    })
}

/// Whether each host has a resident verifier.
pub fn is_resident() -> bool {
    static RESIDENT: OnceLock<bool> = OnceLock::new();
    *RESIDENT.get_or_init(|| match env::var("PAM_MFA_TESTS_MODE").as_deref() {
        Err(VarError::NotPresent) => false,
        Ok("resident") => true,
        other => panic!("PAM_MFA_TESTS_MODE is {other:?}"),
    })
}

/// The resident verifier of a host, for as long as the host is there.
#[derive(Debug)]
pub(crate) struct Standing {
    process: Child,
    /// Its process number inside.
    pid: i32,
}

impl Standing {
    /// Starts this program, and waits until it can be connected to.
    pub(crate) fn start(host: &Running, program: &str) -> Self {
        let script = format!("echo $$; exec {program} --listen {ROOT_SOCKET}");
        let mut command = host.command(&["sh", "-c", &script]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        until("the resident verifier listens", || host.path(ROOT_SOCKET).exists());
        Self { process, pid: line.trim().parse().unwrap() }
    }

    /// Ends it, and looks back at nothing.
    pub(crate) fn end(mut self, host: &Running) {
        host.run(&["kill", "-KILL", &self.pid.to_string()]);
        self.process.wait().unwrap();
    }

    /// It must have lived all the time, and have made the decisions, but for those of faces that are not
    /// root's and of stacks that name another verifier. Of many at once one in ten may be another's: on a
    /// busy machine not everybody is greeted within a second.
    pub(crate) fn look_back(&mut self, host: &Running) {
        assert_eq!(self.process.try_wait().unwrap(), None, "the resident verifier has ended");
        let (own, others): (Vec<_>, Vec<_>) = host
            .log()
            .into_iter()
            .filter(|record| {
                decided_for(record).is_some_and(|service| {
                    !OF_USERS.contains(&service) && !names_a_verifier(host, service)
                })
            })
            .partition(|record| record.pid == Some(self.pid));
        assert!(others.len() * 9 <= own.len(), "not the resident verifier: {others:#?}");
    }
}

/// Whether the stack of that service has its own way to a verifier.
fn names_a_verifier(host: &Running, service: &str) -> bool {
    let path = host.path(Path::new("/etc/pam.d").join(service));
    // Tests put all kinds of things there, some of which are read for ever.
    let plain = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let stack = if plain { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    ["verifier=", "config=", "socket="].iter().any(|argument| stack.contains(argument))
}

/// The service of the login that a line in the log tells the outcome of.
fn decided_for(record: &Record) -> Option<&str> {
    let fields = record.text.strip_prefix("pam_mfa: outcome=")?;
    // What stands before it are words of the verifier's and a quoted name.
    let service = fields.split(" service=").nth(1)?;
    service.split(' ').next()
}
