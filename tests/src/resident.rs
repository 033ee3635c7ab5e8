//! A host whose root faces are served by one process that stays: `mfa-verifier --listen`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Running;
use crate::traced::VERIFIER;
use crate::waiting::until;

/// Where faces of root look for a verifier.
pub const ROOT_SOCKET: &str = "/run/pam_mfa/root.sock";

/// How long a face waits to be greeted, before it starts a verifier of its own.
pub const GREETING: Duration = Duration::from_secs(1);

/// How long `strace` is waited for.
const LETTING_GO: Duration = Duration::from_secs(2);

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
        let (process, pid) = start(self, argv);
        let mut resident = Resident { host: self, process, pid };
        until("the resident verifier listens", || {
            assert!(resident.process.try_wait().unwrap().is_none(), "it has ended");
            let now = socket();
            now.is_some() && now != before
        });
        resident
    }
}

impl<'a> Resident<'a> {
    /// Its process number inside.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let name = signal.as_str().trim_start_matches("SIG");
        self.host.run(&["kill", "-s", name, &self.pid.to_string()]).ok();
        if signal == Signal::SIGSTOP {
            until("all of its threads are stopped", || {
                self.tasks().iter().all(|status| status.contains("\nState:\tT"))
            });
        } else {
            self.let_nsenter_go_on();
        }
    }

    /// The `status` of each of its threads.
    fn tasks(&self) -> Vec<String> {
        let tasks = fs::read_dir(self.host.path(format!("/proc/{}/task", self.pid))).unwrap();
        let statuses = tasks.flatten().map(|task| fs::read_to_string(task.path().join("status")));
        // A thread may end meanwhile.
        statuses.filter_map(Result::ok).collect()
    }

    /// Waits for its end: its exit code, or none where a signal ended it.
    #[track_caller]
    pub fn wait(mut self) -> Option<i32> {
        let mut status = None;
        until("the resident verifier ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.host.path(format!("/proc/{}", self.pid)).exists()
    }

    /// What the system keeps of it under `name`: `Threads`, or KiB as `VmRSS` and `VmSize`.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let status = self.host.read(format!("/proc/{}/status", self.pid));
        let figure = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        figure.and_then(|figure| figure.split_whitespace().next()?.parse().ok()).unwrap()
    }

    /// How long it has had a processor.
    #[track_caller]
    pub fn worked(&self) -> Duration {
        let stat = self.host.read(format!("/proc/{}/stat", self.pid));
        // Its name, the second field, may have anything in it.
        let fields = stat.rsplit(") ").next().unwrap().split(' ');
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // A hundred a second, as the kernel tells them.
        Duration::from_millis(ticks * 10)
    }

    /// How many descriptors it has.
    #[track_caller]
    pub fn descriptors(&self) -> u64 {
        self.numbers().len().try_into().unwrap()
    }

    /// The lowest number that none of its descriptors has.
    #[track_caller]
    pub fn first_free_descriptor(&self) -> u64 {
        let numbers = self.numbers();
        (0..).find(|number| !numbers.contains(number)).unwrap()
    }

    fn numbers(&self) -> Vec<u64> {
        let all = fs::read_dir(self.host.path(format!("/proc/{}/fd", self.pid))).unwrap();
        all.map(|one| one.unwrap().file_name().into_string().unwrap().parse().unwrap()).collect()
    }

    /// Gives it another limit, by an option of prlimit(1): `--nofile=20:`.
    #[track_caller]
    pub fn limit(&self, option: &str) {
        self.host.run(&["prlimit", "--pid", &self.pid.to_string(), option]).ok();
    }

    /// Has `strace` inject something into its system calls, in all of its threads, until what this
    /// returns is dropped. Calls are counted for each thread.
    #[track_caller]
    pub fn tampered_with(&self, options: &[&str]) -> Tampering<'a> {
        let pid = self.pid.to_string();
        let strace = [&["strace", "-f", "-qq", "-o", "/dev/null", "-p", &pid], options].concat();
        let (process, pid) = start(self.host, &strace);
        until("strace has all of its threads", || {
            self.tasks().iter().all(|status| !status.contains("\nTracerPid:\t0\n"))
        });
        Tampering { host: self.host, process, pid }
    }

    /// It stops when what it has started is stopped, and sees nothing more; when it goes on, so does
    /// what it has started.
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

/// `strace`, attached to it.
#[derive(Debug)]
pub struct Tampering<'a> {
    host: &'a Running,
    process: Child,
    pid: u32,
}

impl Drop for Tampering<'_> {
    fn drop(&mut self) {
        // It lets go of a process in order, but not while it delays a thread that has been killed.
        for signal in ["-TERM", "-KILL"] {
            self.host.run(&["kill", signal, &self.pid.to_string()]);
            let deadline = Instant::now() + LETTING_GO;
            while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Starts a program inside: what leads there, and its process number inside.
#[track_caller]
fn start(host: &Running, argv: &[&str]) -> (Child, u32) {
    let script = [&["sh", "-c", "echo $$; exec \"$@\"", "sh"], argv].concat();
    let mut process = host.command(&script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = line.trim().parse().unwrap();
    (process, pid)
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
