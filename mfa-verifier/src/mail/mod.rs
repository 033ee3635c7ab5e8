//! Mail: one short message to one address, within a bound.
//!
//! NIST SP 800-63B (5.1.3.1) does not take e-mail for an out-of-band factor: who has the mailbox has the
//! code, and a mailbox is often behind nothing but a password. So all of this is off until the policy
//! names a sender.
//!
//! Another program sends it, `mfa-mail`. That takes up to its bound, several seconds: nobody calls a mailer
//! with a user's lock in hand. A login does not wait for it either: who is sent a code must not be told
//! from who is not by the time that it takes, so it is posted, and what became of it is learnt later.

pub mod address;
mod delivery;
pub mod letter;
mod post;
mod program;
pub mod server;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mfa_protocol::trusted::Untrusted;

pub use self::address::Address;
pub use self::letter::{Letter, Occasion};
pub use self::post::{Posted, all_are_through};
use crate::audit::Line;
use crate::config::EmailConfig;

/// Sends letters.
pub trait Mailer {
    /// Sends one. With `Ok` somebody else is answerable for it: a mail server, or the local queue.
    ///
    /// # Errors
    /// Why it was not sent. Where the mailer was too slow it may have been sent nevertheless.
    fn send(&self, letter: &Letter) -> Result<(), MailError>;

    /// Has one sent while the caller goes on. What becomes of it is added to `line`, which is written to
    /// the log. Without a letter nothing is sent, and it takes the caller as long.
    fn post(&self, letter: Option<Letter>, line: Line) -> Posted;
}

/// The mailer that the policy names.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'a>(pub &'a EmailConfig);

impl Mailer for Configured<'_> {
    fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let Self(config) = self;
        let from = config.from.as_ref().ok_or(MailError::Off)?;
        let bound = Duration::from_secs(config.timeout);
        let sent = match &config.smtp {
            Some(server) => delivery::by_server(server, config, from, letter, bound),
            None => delivery::by_program(&config.sendmail, from, letter, bound),
        };
        sent.map_err(|error| error.without(letter))
    }

    fn post(&self, letter: Option<Letter>, line: Line) -> Posted {
        post::post(self.0.clone(), letter, line)
    }
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The policy names no sender.
    #[error("no mail is sent from this host")]
    Off,
    /// `mfa-mail` is not there, or not root's alone.
    #[error("mail cannot be sent: {0}")]
    Uninstalled(Untrusted),
    /// The `sendmail` command is not there, or not root's alone.
    #[error("the mail program cannot be used: {0}")]
    Program(Untrusted),
    /// It is there, and the system does not run it.
    #[error("{} cannot be run: {why}", path.display())]
    Unrunnable {
        /// The program.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It ran and says that it failed.
    #[error("{} failed: {how}{}", path.display(), quoted(said))]
    Failed {
        /// The program.
        path: PathBuf,
        /// Exit code or signal.
        how: String,
        /// The first line of its standard error.
        said: String,
    },
    /// The server said no.
    #[error("the mail server {server} refused: {code}{}", quoted(said))]
    Refused {
        /// Which one.
        server: String,
        /// Its reply code, RFC 5321 (4.2).
        code: u16,
        /// The first line of its reply, but to what was secret.
        said: String,
    },
    /// The server, or the mail program, will not have this recipient.
    #[error("{to} was not taken as a recipient{}", quoted(said))]
    Recipient {
        /// Who.
        to: Address,
        /// The first line of what was said to it.
        said: String,
    },
    /// No connection that can be trusted to be the server's.
    #[error("no TLS with the mail server {server}: {why}")]
    Tls {
        /// Which one.
        server: String,
        /// What the handshake ended with.
        why: String,
    },
    /// No connection.
    #[error("the mail server {server} cannot be reached: {why}")]
    Connection {
        /// Which one.
        server: String,
        /// What the system says.
        why: String,
    },
    /// Something listens there with which no mail can be sent.
    #[error("the mail server {server} is of no use: {why}")]
    Unfit {
        /// Which one.
        server: String,
        /// What it lacks.
        why: String,
    },
    /// It took longer than it may.
    #[error("{who} did not take the mail within {} s", bound.as_secs())]
    TimedOut {
        /// The server or the program.
        who: String,
        /// How long it had.
        bound: Duration,
    },
    /// The process that talks to the server died.
    #[error("the exchange with the mail server {server} broke off: {how}")]
    Ended {
        /// Which one.
        server: String,
        /// Its end.
        how: String,
    },
    /// A file that the policy names is not there, or not root's alone to write.
    #[error(transparent)]
    File(Untrusted),
    /// The file with the password is others' to read.
    #[error("{} can be read by others than root", .0.display())]
    Exposed(PathBuf),
    /// There is no password in it.
    #[error("{} has no password on its first line", .0.display())]
    NoPassword(PathBuf),
    /// There is no certificate in it.
    #[error("{} has no certificate in it", .0.display())]
    NoCertificates(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The message could not be made.
    #[error("the mail cannot be written: {0}")]
    Compose(String),
    /// The system refused.
    #[error("no process can be made for the mail: {0}")]
    Io(io::Error),
}

impl MailError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Off => "name a sender: from, in the section [email] of the policy".to_owned(),
            Self::Uninstalled(Untrusted::Missing(_)) => {
                "install it again, from this version".to_owned()
            }
            Self::Program(Untrusted::Missing(_)) => {
                "install a mail program, or name a mail server: smtp, in the section [email]"
                    .to_owned()
            }
            Self::Uninstalled(untrusted) | Self::Program(untrusted) | Self::File(untrusted) => {
                untrusted.hint()
            }
            Self::Unrunnable { path, .. } => {
                format!("look whether {} runs by hand, and at limits on processes", path.display())
            }
            Self::Failed { path, .. } => format!(
                "look at its own log, and whether {} can do its work as the verifier runs it: without \
                 privileges of its own, under systemd",
                path.display()
            ),
            Self::Refused { code: 530 | 534 | 535 | 538, .. } => {
                "look at the user's name in smtp and at the password in password_file".to_owned()
            }
            Self::Refused { code: 400..=499, .. } => {
                "try again; if it stays so, look at the server's log".to_owned()
            }
            Self::Refused { .. } => {
                "look at the server's log, and whether it takes mail from the sender in from"
                    .to_owned()
            }
            Self::Recipient { .. } => "look whether there is such a mailbox".to_owned(),
            Self::Tls { .. } => {
                "compare the server's name and port with its certificate, and ca_file with \
                                 who signed it: openssl s_client -connect HOST:PORT"
                    .to_owned()
            }
            Self::Connection { .. } => {
                "look at the name and port in smtp, and whether this host reaches them".to_owned()
            }
            Self::Unfit { .. } => {
                "look at the port in smtp: smtps is usually on 465, smtp+starttls on 587".to_owned()
            }
            Self::TimedOut { .. } => {
                "a local queue takes mail at once: sendmail, or smtp://localhost".to_owned()
            }
            Self::Ended { .. } | Self::Io(_) => {
                "look at limits on memory and processes, and at whether /proc is mounted".to_owned()
            }
            Self::Exposed(path) => format!("chmod 600 {}", path.display()),
            Self::NoPassword(path) => {
                format!("write the password into {}, as its only line", path.display())
            }
            Self::NoCertificates(path) => {
                format!("put the certificate of who signs into {}, as PEM", path.display())
            }
            Self::Unreadable { .. } => "look at the file system and its permissions".to_owned(),
            Self::Compose(_) => {
                "look at from, in the section [email], and at free memory".to_owned()
            }
        }
    }

    /// The error without what a mailer quoted, where it has quoted the letter's code.
    fn without(mut self, letter: &Letter) -> Self {
        if let Self::Failed { said, .. } | Self::Refused { said, .. } | Self::Recipient { said, .. } =
            &mut self
            && letter.is_told_by(said)
        {
            said.clear();
        }
        self
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        let at = Occasion { host: "h", user: "alice", service: "sshd", source: "local", now: 0 };
        Letter::login_code(
            &Address::parse("alice@example.org").unwrap(),
            &"042195".into(),
            300,
            &at,
        )
    }

    #[test]
    fn without_a_sender_nothing_is_sent() {
        let error = Configured(&EmailConfig::default()).send(&letter()).unwrap_err();
        assert!(matches!(error, MailError::Off));
    }

    #[test]
    fn a_mailer_that_quotes_the_code_is_not_quoted() {
        let path = PathBuf::from("/usr/sbin/sendmail");
        let failed = |said: &str| {
            let (how, said) = ("exit code 1".to_owned(), said.to_owned());
            MailError::Failed { path: path.clone(), how, said }.without(&letter()).to_string()
        };
        assert_eq!(failed("disk full"), "/usr/sbin/sendmail failed: exit code 1: disk full");
        assert_eq!(failed("bad: 042195 is the"), "/usr/sbin/sendmail failed: exit code 1");
    }
}
