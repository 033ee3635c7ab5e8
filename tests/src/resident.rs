//! A host whose root faces are served by one process that stays: `mfa-verifier --listen`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Running;
use crate::traced::VERIFIER;
use crate::waiting::until;

/// Where faces of root look for a verifier.
pub const ROOT_SOCKET: &str = "/run/pam_mfa/root.sock";

/// How long a face waits to be greeted, before it starts a verifier of its own.
pub const GREETING: Duration = Duration::from_secs(1);

/// The verifier that stays.
#[derive(Debug)]
pub struct Resident<'a> {
    host: &'a Running,
    process: Child,
    /// Its process number inside.
    pid: u32,
}

impl Running {
    /// Starts the installed verifier that stays, in the foreground, as a supervisor does.
    #[track_caller]
    pub fn reside(&self) -> Resident<'_> {
        self.reside_with(&[VERIFIER, "--listen", ROOT_SOCKET])
    }

    /// Starts another command line as that verifier.
    #[track_caller]
    pub fn reside_with(&self, argv: &[&str]) -> Resident<'_> {
        let socket = || fs::metadata(self.path(ROOT_SOCKET)).ok().map(|socket| socket.ino());
        // One may be there that the resident before has left.
        let before = socket();
        let script = [&["sh", "-c", "echo $$; exec \"$@\"", "sh"], argv].concat();
        let mut process = self.command(&script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        let mut resident = Resident { host: self, process, pid };
        until("the resident verifier listens", || {
            assert!(resident.process.try_wait().unwrap().is_none(), "it has ended");
            let now = socket();
            now.is_some() && now != before
        });
        resident
    }
}

impl Resident<'_> {
    /// Its process number inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let signal = signal.as_str().trim_start_matches("SIG");
        self.host.run(&["kill", "-s", signal, &self.pid.to_string()]).ok();
        self.let_nsenter_go_on();
    }

    /// Waits for its end: its exit code, or none where a signal ended it.
    pub fn wait(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// It stops when what it has started is stopped, and sees nothing more.
    fn let_nsenter_go_on(&self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGCONT).unwrap();
    }

    /// Ends it as a supervisor does: its exit code.
    #[track_caller]
    pub fn stop(self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Kills it.
    #[track_caller]
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait(), None);
    }
}

impl Drop for Resident<'_> {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.host.run(&["kill", "-KILL", &self.pid.to_string()]);
            self.let_nsenter_go_on();
            let _ = self.process.wait();
        }
    }
}
