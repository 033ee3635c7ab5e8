//! A verifier under `strace`: its system calls are seen, and the one that a test names fails, or is
//! the last one.
//!
//! The installed verifier is started by the test, under `strace`, for one connection to [`SOCKET`].
//! A stack with [`MODULE`] and `mfa-setup --socket` [`SOCKET`] come there.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::host::Running;

/// Where the verifier listens.
pub const SOCKET: &str = "/run/traced/socket";

/// A line of a stack whose module goes there.
pub const MODULE: &str = "auth required pam_mfa.so socket=/run/traced/socket\n";

/// The installed verifier.
pub const VERIFIER: &str = "/usr/libexec/pam_mfa/mfa-verifier";

/// Where `strace` writes while it runs.
pub const TRACE: &str = "/run/traced/trace";

/// How long a face may take to come, in milliseconds.
const PATIENCE: u16 = 30_000;

/// A verifier that waits for its face, or serves it.
#[derive(Debug)]
pub struct Traced {
    verifier: JoinHandle<()>,
    trace: PathBuf,
}

impl Traced {
    /// Waits for a face with `strace -f` and these options: `["-e",
    /// "inject=fdatasync:error=EIO:when=1"]`. Calls are counted for each thread.
    pub fn start(host: &Running, options: &[&str]) -> Self {
        let socket = host.path(SOCKET);
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command =
            host.command(&[&["strace", "-f", "-qq", "-o", TRACE], options, &[VERIFIER]].concat());
        let verifier = thread::spawn(move || serve(&listener, &mut command));
        Self { verifier, trace: host.path(TRACE) }
    }

    /// Waits until the verifier has ended. Returns what `strace` saw of the thread that talks to the
    /// face: one call each, with its result.
    #[track_caller]
    pub fn end(self) -> Vec<String> {
        self.verifier.join().expect("a face");
        calls_of_main_thread(&fs::read_to_string(&self.trace).unwrap())
    }
}

fn serve(listener: &UnixListener, command: &mut Command) {
    let mut waited_for = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waited_for, PollTimeout::from(PATIENCE)), Ok(1), "nobody came");
    let (stream, _) = listener.accept().unwrap();
    command.stdin(Stdio::from(OwnedFd::from(stream))).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().unwrap();
    // Their end of the connection: with a copy open here, the face would not see it closed.
    command.stdin(Stdio::null());
    strace.wait().unwrap();
}

fn calls_of_main_thread(trace: &str) -> Vec<String> {
    let main = trace.split_whitespace().next().unwrap_or_default();
    let mut calls: Vec<String> = vec![];
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        if thread != main {
            continue;
        }
        // A call during which another thread was seen stands there in two halves.
        match (calls.last_mut(), call.split_once(" resumed>")) {
            (Some(begun), Some((_, rest))) => {
                assert!(begun.ends_with("<unfinished ...>"), "{begun} / {call}");
                *begun = begun.replace("<unfinished ...>", rest);
            }
            _ => calls.push(call.trim_start().to_owned()),
        }
    }
    calls
}
