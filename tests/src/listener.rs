//! A host whose users are served without systemd: `mfa-verifier --listen-users`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::host::{Output, Running};
use crate::traced::VERIFIER;
use crate::waiting::until;

/// Where faces of users who are not root look for a verifier.
pub const USER_SOCKET: &str = "/run/pam_mfa/user.sock";

/// How many verifiers serve one user at once.
pub const PER_USER: usize = 8;

/// The verifier that listens for users.
#[derive(Debug)]
pub struct Listener<'a> {
    host: &'a Running,
    process: Child,
    /// Its process number inside.
    pid: u32,
}

impl Running {
    /// Starts the installed verifier that listens for users, in the foreground, as a supervisor does.
    #[track_caller]
    pub fn listen_for_users(&self) -> Listener<'_> {
        self.listen_with(VERIFIER)
    }

    /// Starts another program as that verifier.
    #[track_caller]
    pub fn listen_with(&self, program: &str) -> Listener<'_> {
        let script = format!("echo $$; exec {program} --listen-users {USER_SOCKET}");
        let mut command = self.command(&["sh", "-c", &script]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listener = Listener { host: self, process, pid: line.trim().parse().unwrap() };
        until("somebody listens for users", || self.path(USER_SOCKET).exists());
        listener
    }

    /// `mfa-setup status` as `user` runs it.
    pub fn status_of(&self, user: &str) -> Output {
        self.run_as(user, &["mfa-setup", "status", "--json"])
    }
}

impl Listener<'_> {
    /// Its process number inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process number inside of the one verifier that serves a user now.
    #[track_caller]
    pub fn serving(&self) -> u32 {
        let children = self.host.run(&["pgrep", "-P", &self.pid.to_string()]).ok();
        let children: Vec<&str> = children.split_whitespace().collect();
        let [only] = children[..] else { panic!("{} verifiers serve", children.len()) };
        only.parse().unwrap()
    }

    /// The process numbers inside of all verifiers but this one.
    pub fn verifiers(&self) -> Vec<String> {
        let all = self.host.run(&["pgrep", "-x", "mfa-verifier"]).stdout;
        let own = self.pid.to_string();
        all.lines().filter(|pid| **pid != own).map(str::to_owned).collect()
    }

    /// How many descriptors it has.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.host.path(format!("/proc/{}/fd", self.pid))).unwrap().count()
    }

    /// Ends it as a supervisor does: its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.host.run(&["kill", "-TERM", &self.pid.to_string()]).ok();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.host.run(&["kill", "-KILL", &self.pid.to_string()]);
            let _ = self.process.wait();
        }
    }
}
