//! Reaching a verifier: the resident one on its socket, or one started for this request.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::iter;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::geteuid;
use serde::Serialize;

use crate::conversation::{Answer, Conversation, ConversationError, Prompt, Style};
use crate::frame;
use crate::message::{Reply, Request, ToFace};
use crate::relay::{RelayError, decode, follow, relay_within, say};
use crate::trusted::{self, Untrusted};
use crate::{FACE_BOUND, GREETING_BOUND, paths};

/// The argument with which `mfa-reauth` is started by a face, whose child it is not to remain.
pub const LEAVE: &str = "--leave";

/// How long a process that was started may take to leave, before it is left to itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait where too many connections wait to be accepted: a user may fill the queue of the
/// socket that is there for all of them.
const QUEUE: Duration = Duration::from_secs(5);

/// How often it is looked after meanwhile.
const GLANCE: Duration = Duration::from_micros(200);

/// Which verifier to use. Defaults are the compiled-in paths.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    /// `verifier=PATH`: the program to start.
    pub program: Option<PathBuf>,
    /// `config=PATH`: its policy file.
    pub config: Option<PathBuf>,
    /// `socket=PATH`: where a resident one listens.
    pub socket: Option<PathBuf>,
}

/// Why no verifier could be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The caller is not root, and named a verifier of its own.
    #[error("only root can start a verifier with another program or configuration")]
    NotRoot,
    /// The caller is not root, and nothing listens for ordinary users.
    #[error("the verifier for users, {}, cannot be reached: {reason}", paths::USER_SOCKET)]
    NoUserSocket {
        /// What the system says.
        reason: String,
    },
    /// The program is not one that may be started.
    #[error("the verifier is not usable: {0}")]
    Untrusted(#[from] Untrusted),
    /// A socket or a process could not be made.
    #[error("the verifier cannot be started: {0}")]
    Io(#[from] io::Error),
    /// The socket that was asked for cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotRoot => {
                "run this as root, or leave the program and the configuration out".to_owned()
            }
            Self::NoUserSocket { .. } => "the administrator starts it with \
                 `systemctl enable --now mfa-verifier-users.service`, or with \
                 `mfa-verifier --listen-users` where there is no systemd"
                .to_owned(),
            Self::Untrusted(untrusted) => match untrusted {
                Untrusted::Missing(_) => {
                    "install mfa-verifier, or name it with verifier=".to_owned()
                }
                other => other.hint(),
            },
            Self::Io(_) => "look at limits on processes, memory and open files, and at whether \
                            /proc is mounted"
                .to_owned(),
            Self::Socket { .. } => "start the verifier that listens there".to_owned(),
        }
    }
}

/// A connection to a verifier. Dropping it hangs up; a spawned verifier then ends by itself.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    started: Started,
    /// Whether the request is on its way.
    sent: bool,
}

/// The process that was started for a connection, until it is known to be gone. It has another one serve
/// in its place (`mfa_sys::process::leave_the_parent`), which is nobody's child.
#[derive(Debug)]
struct Started(Option<Child>);

impl Started {
    /// Whether there is no such process any more.
    ///
    /// An error is ECHILD: the host has reaped it already, or ignores SIGCHLD. It is asked about no more
    /// then, since another child of the host's may have its number by now.
    fn is_gone(&mut self) -> bool {
        if let Some(child) = &mut self.0
            && !matches!(child.try_wait(), Ok(None))
        {
            self.0 = None;
        }
        self.0.is_none()
    }
}

/// A conversation while which no zombie stands there for as long as a person thinks.
struct Reaping<'a> {
    started: &'a mut Started,
    conversation: &'a mut dyn Conversation,
}

impl Conversation for Reaping<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.started.is_gone();
        self.conversation.ask(prompt)
    }

    fn tell(&mut self, style: Style, text: &str) {
        self.conversation.tell(style, text);
    }

    fn keep_waiting(&mut self) {
        self.started.is_gone();
        self.conversation.keep_waiting();
    }
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Self { stream, started: Started(None), sent: false }
    }

    fn to_started((stream, child): (UnixStream, Child)) -> Self {
        Self { stream, started: Started(Some(child)), sent: false }
    }

    /// Relays the conversation about the request that this connection was made for, as
    /// [`crate::relay::relay`] does.
    ///
    /// # Errors
    /// As there.
    pub fn relay<T: Serialize>(
        self,
        request: &T,
        conversation: &mut dyn Conversation,
    ) -> Result<Reply, RelayError> {
        self.relay_within(FACE_BOUND, request, conversation)
    }

    /// The same with another bound for each frame.
    ///
    /// # Errors
    /// As there.
    pub fn relay_within<T: Serialize>(
        mut self,
        bound: Duration,
        request: &T,
        conversation: &mut dyn Conversation,
    ) -> Result<Reply, RelayError> {
        let conversation = &mut Reaping { started: &mut self.started, conversation };
        if self.sent {
            follow(bound, &self.stream, conversation)
        } else {
            relay_within(bound, &self.stream, request, conversation)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closed it is only when whoever the host has forked meanwhile closes it, too.
        let _ = self.stream.shutdown(Shutdown::Both);
        // What serves has long left. One that is stopped or stuck before that, or another program, which
        // does not leave, is left behind: the host's login matters more than a zombie. Ending it by pid
        // is out: a host that reaps all children may have given the pid away. For the same reason this
        // never blocks in waitpid.
        let deadline = Instant::now() + FAREWELL;
        while !self.started.is_gone() && Instant::now() < deadline {
            thread::sleep(GLANCE);
        }
    }
}

impl Verifier {
    /// Connects to the resident verifier for this request, or starts one; who is not root can do neither,
    /// and is served by one that listens for users.
    ///
    /// The default sockets are passed over where the program or its configuration was named: a
    /// private configuration is private. A socket that was named is the only way that is tried.
    pub fn connect(&self, request: &Request) -> Result<Connection, ConnectError> {
        let _held = hold_stdio();
        if let Some(path) = &self.socket {
            return dial(path, Duration::ZERO)
                .map(Connection::new)
                .map_err(|reason| ConnectError::Socket { path: path.clone(), reason });
        }
        let private = self.program.is_some() || self.config.is_some();
        if !geteuid().is_root() {
            return if private {
                Err(ConnectError::NotRoot)
            } else {
                dial(Path::new(paths::USER_SOCKET), QUEUE)
                    .map(Connection::new)
                    .map_err(|reason| ConnectError::NoUserSocket { reason })
            };
        }
        if !private {
            // Nobody listens, or nobody is free: a verifier of our own does as well. What changes
            // something by itself has not been said yet, so nothing is done twice.
            if let Ok(stream) = dial(Path::new(paths::ROOT_SOCKET), Duration::ZERO) {
                let sent = request.begins_with_a_question();
                // A request of which a part alone was sent cannot be sent again.
                if (!sent || is_said(&stream, request)) && is_greeted(&stream) {
                    return Ok(Connection { stream, started: Started(None), sent });
                }
            }
        }
        self.spawn()
    }

    fn spawn(&self) -> Result<Connection, ConnectError> {
        let program = self.program.as_deref().unwrap_or(Path::new(paths::VERIFIER));
        let arguments = self.config.iter().flat_map(|path| [OsStr::new("--config"), path.as_ref()]);
        Ok(Connection::to_started(start(program, "mfa-verifier", arguments)?))
    }
}

/// Starts `mfa-reauth`, which is to be asked a [`crate::message::ReAuthentication`].
///
/// # Errors
/// If it cannot be started.
pub fn reauthentication() -> Result<Connection, ConnectError> {
    let _held = hold_stdio();
    let started = start(Path::new(paths::REAUTH), "mfa-reauth", [OsStr::new(LEAVE)])?;
    Ok(Connection::to_started(started))
}

/// Starts a program of root's, which nobody else can have changed, on one end of a socket pair. It
/// has an empty environment, `/` as its directory, uid and gid 0, the socket as descriptor 0 and
/// `/dev/null` as 1 and 2.
pub fn start<'a>(
    program: &Path,
    name: &str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<(UnixStream, Child), ConnectError> {
    let program = trusted::open_program(program)?;
    let (ours, theirs) = UnixStream::pair()?;
    // What was checked is what runs: the opened file, not its name.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        // Real and saved ids as well, before anything of the program runs: the caller of su or sudo
        // must not be able to send it a signal.
        .uid(0)
        .gid(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Where the program cannot be run and the host ignores or reaps its children, std finds no
    // child to wait for and panics.
    let child = panic::catch_unwind(AssertUnwindSafe(|| command.spawn()))
        .unwrap_or_else(|_| Err(io::Error::other("the program cannot be run")))?;
    // `command` holds a copy of their end; with it open a dead program would go unnoticed.
    drop(command);
    Ok((ours, child))
}

/// Connects, and only to a socket behind which root listens. Waits for no more than `patience`, and
/// only where the queue of connections is full.
fn dial(path: &Path, patience: Duration) -> Result<UnixStream, String> {
    let dial = || -> nix::Result<(OwnedFd, u32)> {
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let address = UnixAddr::new(path)?;
        let deadline = Instant::now() + patience;
        loop {
            // Zero would be for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            let left = TimeVal::microseconds(i64::try_from(left.as_micros()).unwrap_or(0).max(1));
            setsockopt(&fd, sockopt::SendTimeout, &left)?;
            match connect(fd.as_raw_fd(), &address) {
                // The host has signals of its own.
                Err(Errno::EINTR) if Instant::now() < deadline => {}
                connected => break connected?,
            }
        }
        let peer = getsockopt(&fd, sockopt::PeerCredentials)?;
        Ok((fd, peer.uid()))
    };
    let (fd, uid) = dial().map_err(|errno| match errno {
        Errno::EAGAIN => "too many others wait to be served there".to_owned(),
        other => other.to_string(),
    })?;
    if uid != 0 {
        return Err(format!("uid {uid} listens there, not root"));
    }
    Ok(UnixStream::from(fd))
}

/// Sends the request to whoever is there. A peer that does not read is given up as soon as one that does
/// not greet: there is room for all but the longest requests anyway.
fn is_said(stream: &UnixStream, request: &Request) -> bool {
    say(stream, request, GREETING_BOUND).is_ok()
}

/// Whether somebody is there to serve the connection.
fn is_greeted(stream: &UnixStream) -> bool {
    let greeting = frame::receive(stream, GREETING_BOUND).and_then(|payload| decode(&payload));
    matches!(greeting, Ok(ToFace::Wait))
}

/// Holds those of the descriptors 0–2 that the host has closed. Nothing that is opened meanwhile
/// gets their numbers: the host's own prompts would go into the socket, and the child's standard
/// descriptors would replace what was still needed.
fn hold_stdio() -> Vec<File> {
    // Ends with the first that is above them, or that cannot be opened; that is noticed later.
    iter::from_fn(|| File::open("/dev/null").ok().filter(|file| file.as_raw_fd() <= 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::LoginRequest;

    #[test]
    fn a_request_that_nobody_reads_is_waited_for_no_longer_than_a_greeting() {
        let long = LoginRequest { prompt: Some("x".repeat(60_000)), ..LoginRequest::default() };
        let long = Request::Login(Box::new(long));
        let (face, _verifier) = UnixStream::pair().unwrap();
        assert!(is_said(&face, &long));
        let (face, _verifier) = UnixStream::pair().unwrap();
        setsockopt(&face, sockopt::SndBuf, &0).unwrap();
        let begun = Instant::now();
        assert!(!is_said(&face, &long));
        assert!(begun.elapsed() < 2 * GREETING_BOUND, "{:?}", begun.elapsed());
    }
}
