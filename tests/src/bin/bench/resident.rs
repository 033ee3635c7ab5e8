//! The resident verifier, as a supervisor starts it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::Running;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::ground::Ground;

const PROGRAM: &str = "/usr/libexec/pam_mfa/mfa-verifier";
const SOCKET: &str = "/run/pam_mfa/root.sock";

/// How long it may take to start, or to give a db up.
const PATIENCE: Duration = Duration::from_secs(5);

/// It runs until this is dropped.
pub struct Resident {
    process: Child,
    /// Its process number inside.
    pid: u32,
    status: std::path::PathBuf,
}

impl Resident {
    /// Starts it; `None` if this verifier cannot be resident.
    pub fn start(host: &Running) -> Option<Self> {
        let script =
            format!("mkdir -p -m 755 /run/pam_mfa; echo $$; exec {PROGRAM} --listen {SOCKET}");
        let mut command = host.command(&["sh", "-c", &script]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !host.path(SOCKET).exists() {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "nobody listens on {SOCKET}");
            thread::sleep(Duration::from_millis(1));
        }
        let status = host.path(format!("/proc/{pid}/smaps_rollup"));
        Some(Self { process, pid, status })
    }

    /// Its memory in KiB: all of it that lies in memory, and its share of that.
    pub fn memory(&self) -> (u64, u64) {
        let rollup = fs::read_to_string(&self.status).unwrap();
        let of = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (of("Rss:"), of("Pss:"))
    }

    /// Its process number inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has the resident verifier give a user's db up, as another process that wants it does, and waits
/// until it has.
pub fn close_db(ground: &Ground, uid: u32) {
    let directory = ground.directory_of(uid);
    drop(File::open(directory.join("lock")).unwrap());
    let deadline = Instant::now() + PATIENCE;
    loop {
        // sled's own lock.
        let db = File::open(directory.join("db/db")).unwrap();
        match Flock::lock(db, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return,
            Err((_, Errno::EWOULDBLOCK)) => {}
            Err((_, errno)) => panic!("{errno}"),
        }
        assert!(Instant::now() < deadline, "the db of {uid} is not given up");
        thread::sleep(Duration::from_micros(100));
    }
}
