//! What the verifier has `mfa-mail` do, the program that sends its mail: one message, to one address.
//!
//! It is given one [`Task`] on its standard input. By [`Route::Server`] it says in the end on its standard
//! output what came of it, as a `Result<(), Fault>`. By [`Route::Program`] it becomes that program, whose
//! exit code and standard error say it; where it cannot, it ends with [`UNSENT`] and a [`Fault`] there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::escape::escape_bytes;
use crate::frame::FrameError;
use crate::relay::{decode, encode_after};
use crate::{PROTOCOL_VERSION, Secret};

/// The exit code of a program that was not run.
pub const UNSENT: u8 = 126;

/// Characters that are kept of what a server or a program said.
const LONGEST_LINE: usize = 200;

/// One message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// By which way.
    pub route: Route,
    /// The sender's address.
    pub from: String,
    /// The recipient's.
    pub to: String,
    /// The subject, on one line.
    pub subject: String,
    /// The text, in lines.
    pub body: Secret,
    /// What this host calls itself.
    pub host: String,
    /// When it is written, in seconds since the Unix epoch.
    pub now: u64,
}

/// The way that a message takes.
#[derive(Debug, Serialize, Deserialize)]
pub enum Route {
    /// A local program that takes it as `sendmail` does.
    Program(PathBuf),
    /// A mail server.
    Server(Submission),
}

/// What a mail server is given a message by.
#[derive(Debug, Serialize, Deserialize)]
pub struct Submission {
    /// Which one.
    pub server: Server,
    /// Of its user.
    pub password: Option<Secret>,
    /// Who signs its certificate, as PEM; else it is whom the system trusts.
    pub certificates: Option<Vec<u8>>,
    /// How long each of its replies may take.
    pub bound: Duration,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// How the connection is kept from others.
    pub security: Security,
    /// Who the server is told to be asked by, with a password.
    pub user: Option<String>,
    /// Its name or address, as its certificate has it.
    pub host: String,
    /// Where it listens.
    pub port: u16,
}

/// How a connection to a mail server is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// TLS from the first byte on: `smtps`, RFC 8314.
    Tls,
    /// TLS before anything else is said, or nothing is sent: `smtp+starttls`.
    StartTls,
    /// None, to this host only: `smtp`.
    Plain,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// It could not be made.
    Compose(String),
    /// The program cannot be run.
    Unrunnable(String),
    /// No connection to the server, or none any more.
    Connection(String),
    /// No TLS that can be trusted.
    Tls(String),
    /// The server is slower than its bound.
    TimedOut,
    /// A reply that refuses, RFC 5321 (4.2). Its text is kept where it cannot have a secret in it.
    Refused {
        /// Its code.
        code: u16,
        /// Its first line.
        said: String,
    },
    /// The same, of the recipient.
    Recipient {
        /// Its first line.
        said: String,
    },
    /// The server speaks some other protocol, or lacks what is needed.
    Unfit(String),
}

impl Task {
    /// The bytes for standard input.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, FrameError> {
        encode_after(&PROTOCOL_VERSION.to_le_bytes(), self)
    }

    /// The task in these bytes. Both programs are of one build, so there is one version.
    ///
    /// # Errors
    /// Where they are none, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        match bytes.split_first_chunk() {
            Some((version, rest)) => match u16::from_le_bytes(*version) {
                PROTOCOL_VERSION => decode(rest),
                other => Err(FrameError::Version(other)),
            },
            None => Err(FrameError::Malformed),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The first line that has something on it, fit for a log.
#[must_use]
pub fn first_line(said: &[u8]) -> String {
    let line =
        said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    let line = escape_bytes(line.unwrap_or_default());
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_said_one_escaped_line_is_kept() {
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line(b"\r\n \n"), "");
        assert_eq!(
            first_line(b"\n sendmail: no\x1b[31m \"q\" \xff\r\nmore"),
            "sendmail: no\\u{1b}[31m \\\"q\\\" \\xff"
        );
        let long = first_line(&[b'x'; 4_096]);
        assert_eq!(long.chars().count(), LONGEST_LINE + 1);
    }

    #[test]
    fn a_task_of_this_version_alone_is_read_and_only_whole() {
        let task = Task {
            route: Route::Program("/usr/sbin/sendmail".into()),
            from: "mfa@example.org".to_owned(),
            to: "alice@example.org".to_owned(),
            subject: "Login".to_owned(),
            body: "042195".into(),
            host: "wonder".to_owned(),
            now: 0,
        };
        let bytes = task.encode().unwrap();
        assert_eq!(Task::decode(&bytes).unwrap().to, "alice@example.org");
        let mut other = bytes.to_vec();
        other[0] ^= 1;
        assert!(matches!(Task::decode(&other), Err(FrameError::Version(_))));
        for bytes in [&[][..], &bytes[..bytes.len() - 1], &[&bytes[..], b"\0"].concat()] {
            assert!(matches!(Task::decode(bytes), Err(FrameError::Malformed)));
        }
    }
}
