//! The process behind the row `floor`: `bench-floor`, which only reads, writes and answers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use mfa_tests::Running;

/// Where the program is found in the host, and where it listens.
pub const PATH: &str = "/usr/local/bin/bench-floor";
pub const SOCKET: &str = "/run/bench-floor.sock";

/// On the disk on which records lie.
const FILE: &str = "/var/lib/pam_mfa/bench-floor";

/// It runs until this is dropped.
pub struct Floor(Child);

impl Floor {
    pub fn start(host: &Running) -> Self {
        let mut command = host.command(&[PATH, SOCKET, FILE]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        Self(child)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
