//! The resident verifier, as a supervisor starts it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use mfa_tests::Running;
use mfa_tests::resident::ROOT_SOCKET;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use nix::fcntl::{Flock, FlockArg};

use crate::ground::Ground;

/// It runs until this is dropped.
pub struct Resident {
    /// A shell that ends it when its standard input ends.
    keeper: Child,
    memory: PathBuf,
}

impl Resident {
    pub fn start(host: &Running) -> Self {
        let script = format!(
            "mkdir -p -m 755 /run/pam_mfa; {VERIFIER} --listen {ROOT_SOCKET} & echo $!; read end;
             kill -TERM $!; wait; rm -f {ROOT_SOCKET}"
        );
        let mut command = host.command(&["sh", "-c", &script]);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        until("somebody listens", || host.path(ROOT_SOCKET).exists());
        let memory = host.path(format!("/proc/{}/smaps_rollup", pid.trim()));
        Self { keeper, memory }
    }

    /// Its memory in KiB: all of it that lies in memory, and its share of that.
    pub fn memory(&self) -> (u64, u64) {
        let rollup = fs::read_to_string(&self.memory).unwrap();
        let of = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (of("Rss:"), of("Pss:"))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Has the resident verifier give a user's db up, as another process that wants it does, and waits
/// until it has.
pub fn close_db(ground: &Ground, uid: u32) {
    let directory = ground.directory_of(uid);
    drop(File::open(directory.join("lock")).unwrap());
    until("the db is given up", || {
        // sled's own lock.
        let db = File::open(directory.join("db/db")).unwrap();
        Flock::lock(db, FlockArg::LockExclusiveNonblock).is_ok()
    });
}
