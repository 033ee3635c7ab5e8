//! The real verifier at the end of a socket, spawned or resident. Frames are written and read here byte
//! by byte, by none of the code that faces and verifier share.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code)]

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub const SOON: Duration = Duration::from_secs(5);

/// A host's configuration, and a store that is made when somebody enrols.
pub struct Site {
    directory: PathBuf,
}

impl Site {
    pub fn new(test: &str) -> Self {
        Self::with(test, "")
    }

    /// The same with this policy.
    pub fn with(test: &str, policy: &str) -> Self {
        // Not below a directory that others can write: that would be refused.
        let directory = PathBuf::from("/var/cache/pam_mfa-tests/unit")
            .join(format!("frames-{}-{test}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o755).create(&directory).unwrap();
        let path = directory.display();
        let store = format!("[store]\npath = \"{path}/store\"\nkey_file = \"{path}/store.key\"\n");
        let config = format!("{policy}{store}");
        fs::write(directory.join("config.toml"), config).unwrap();
        Self { directory }
    }

    pub fn config(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// A verifier for one request, as a face starts it.
    pub fn spawn(&self) -> (Verifier, Connection) {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let verifier = self.start(&[], Stdio::from(OwnedFd::from(theirs)));
        (verifier, Connection { stream })
    }

    /// A verifier that stays.
    pub fn reside(&self) -> Verifier {
        let socket = self.socket();
        let verifier = self.start(&["--listen", socket.to_str().unwrap()], Stdio::null());
        let deadline = Instant::now() + SOON;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "nobody listens");
            std::thread::yield_now();
        }
        verifier
    }

    /// A connection to the one that stays, which has greeted whoever connects.
    pub fn greeted(&self) -> Connection {
        let mut connection = Connection { stream: UnixStream::connect(self.socket()).unwrap() };
        assert_eq!(connection.next().as_deref(), Some(&b"\x03"[..]));
        connection
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("root.sock")
    }

    fn start(&self, arguments: &[&str], stdin: Stdio) -> Verifier {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mfa-verifier"));
        command.args(arguments).arg("--config").arg(self.config());
        let (said, theirs) = io::pipe().unwrap();
        command.stdin(stdin).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        Verifier { started: command.spawn().unwrap(), said }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub struct Verifier {
    started: Child,
    /// Its standard output and error, which it keeps as long as it lives.
    said: io::PipeReader,
}

impl Verifier {
    /// Waits until what was started has left another process in its place, or has ended.
    pub fn leaves(&mut self) {
        let deadline = Instant::now() + SOON;
        loop {
            match self.started.try_wait().unwrap() {
                Some(status) => return assert!(status.success(), "{status}"),
                None if Instant::now() < deadline => std::thread::yield_now(),
                None => panic!("it stays a child of who started it"),
            }
        }
    }

    /// Waits for the end of the one in its place, which must come by itself.
    pub fn end(mut self) {
        self.leaves();
        let bound = PollTimeout::try_from(SOON).unwrap();
        let mut said = [PollFd::new(self.said.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut said, bound), Ok(1), "the verifier does not end");
        assert_eq!(io::read_to_string(&self.said).unwrap(), "");
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.started.kill();
        let _ = self.started.wait();
    }
}

pub struct Connection {
    pub stream: UnixStream,
}

impl Connection {
    pub fn send(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        self.stream.write_all(&[&length, payload].concat()).unwrap();
    }

    /// The next frame's payload; nothing where the verifier has hung up.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
            read => read.unwrap(),
        }
        let mut payload = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Some(payload)
    }
}
