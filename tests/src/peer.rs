//! Connections that speak for one of the host's users, held by the test itself.
//!
//! Who is at the other end of a connection is who made it. So a process of the user's makes it and
//! gives it away, and the test can do with it whatever a program of that user's could.

use std::io::{self, BufRead, BufReader, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Stdio};

use mfa_protocol::conversation::Scripted;
use mfa_protocol::relay::relay;
use mfa_protocol::{Reply, Request};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::cache;
use crate::host::{Host, Running, as_user};
use crate::listener::USER_SOCKET;
use crate::pam::exact;

/// Where `user-socket` is found in a host of [`host_with_peers`].
pub const USER_SOCKET_PROGRAM: &str = "/usr/local/bin/user-socket";

/// A policy under which wrong codes lock nobody out so soon.
pub const GENEROUS: &str =
    "[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n";

/// A host of alice and bob, in whose name [`Running::peer`] makes connections.
pub fn host_with_peers(config: &str) -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(config)
        .pam("login", &exact(""))
        // With a common-auth in which pam_unix delays nothing.
        .pam_example("sshd", "sshd")
        .bind(cache::program("user-socket"), USER_SOCKET_PROGRAM)
}

/// A user's process that makes connections.
#[derive(Debug)]
pub struct Peer {
    control: UnixStream,
    process: Child,
}

impl Running {
    /// A process of `user`'s, a name or a number, that connects to the socket for users.
    #[track_caller]
    pub fn peer(&self, user: &str) -> Peer {
        self.peer_on(user, USER_SOCKET)
    }

    /// A process of `user`'s that connects and hangs up again, until the input of what this returns
    /// is closed; its output is how often.
    #[track_caller]
    pub fn churn(&self, user: &str) -> Child {
        let mut command =
            self.command(&as_user(user, &[USER_SOCKET_PROGRAM, "churn", USER_SOCKET]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// The same as [`Running::peer`] for another socket.
    #[track_caller]
    pub fn peer_on(&self, user: &str, socket: &str) -> Peer {
        let (control, other) = UnixStream::pair().unwrap();
        // Not of the groups of a user that the system may not know.
        let setpriv = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"];
        let argv = [&setpriv[..], &[USER_SOCKET_PROGRAM, "connect", socket]].concat();
        let mut command = self.command(&argv);
        let process = command.stdin(Stdio::from(OwnedFd::from(other))).spawn().unwrap();
        Peer { control, process }
    }
}

impl Peer {
    /// Makes a connection.
    #[track_caller]
    pub fn connect(&mut self) -> UnixStream {
        self.try_connect().unwrap()
    }

    /// Tries to make a connection, as the faces do: without waiting.
    pub fn try_connect(&mut self) -> io::Result<UnixStream> {
        self.control.write_all(b".")?;
        let mut errno = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut messages = RecvAncillaryBuffer::new(&mut space);
        let mut text = [IoSliceMut::new(&mut errno)];
        recvmsg(&self.control, &mut text, &mut messages, RecvFlags::CMSG_CLOEXEC)?;
        let given = messages.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let stream = given.map(UnixStream::from);
        let stream =
            stream.ok_or_else(|| io::Error::from_raw_os_error(i32::from_le_bytes(errno)))?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Asks for something on a connection of its own: the reply, and the texts of what was asked.
    #[track_caller]
    pub fn ask(&mut self, request: &Request, answers: &[&str]) -> (Reply, Vec<String>) {
        let mut script = Scripted::new(answers.iter().copied());
        let reply = relay(&self.connect(), request, &mut script).unwrap();
        (reply, script.asked.into_iter().map(|prompt| prompt.text).collect())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Lets the test's own process have as many connections open at once as it may.
pub fn hold_many() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// A program that runs in the host on each connection to a socket, one after the other.
#[derive(Debug)]
pub struct Served {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    /// Runs `program` as root, on descriptor 0, for connections to `socket`.
    #[track_caller]
    pub fn serve(&self, socket: &str, program: &str) -> Served {
        let mut command = self.command(&[USER_SOCKET_PROGRAM, "serve", socket, program]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut served = Served { process, said };
        assert_eq!(served.next_status(), "listening");
        served
    }
}

impl Served {
    /// How the program of the next connection ended.
    #[track_caller]
    pub fn next_status(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
