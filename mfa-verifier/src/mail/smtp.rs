//! A mail server, asked by SMTP through lettre.
//!
//! The exchange is another process's: this program once more, started anew ([`ARGUMENT`]). lettre
//! bounds each read by itself, so a server that drips bytes is never done with; it reads a line to its
//! end before it looks at its length; and the resolver below it waits for as long as
//! /etc/resolv.conf says. A process is killed at its bound and is given no more memory than it needs.
//! What talks to a network and takes certificates apart has, besides, no business beside the key.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use mfa_protocol::Secret;
use mfa_protocol::trusted;
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::address::Address;
use super::letter::Letter;
use super::program::{End, Listen, run};
use super::server::{Security, Server};
use super::{MailError, first_line};
use crate::config::EmailConfig;

/// What this program is started with to carry out one exchange.
pub const ARGUMENT: &str = "--send-mail";

/// Bytes of a password.
const LONGEST_PASSWORD: u64 = 1_024;

/// Bytes of a file of certificates: all that browsers trust are a quarter of that.
const LONGEST_CA_FILE: u64 = 1024 * 1024;

/// Bytes of a task: the two above, a message, and some.
const LONGEST_TASK: u64 = 2 * 1024 * 1024;

/// What the exchange may take of memory for its data. With all of Debian's certificates it is one
/// mebibyte.
const MEMORY: u64 = 32 * 1024 * 1024;

/// How long to wait for a server's farewell, when the mail is its own already.
const FAREWELL: Duration = Duration::from_millis(500);

/// All that the other process needs to know.
#[derive(Serialize, Deserialize)]
struct Task {
    server: Server,
    password: Option<Secret>,
    /// PEM; without it the system's own are trusted.
    certificates: Option<Vec<u8>>,
    /// What this host calls itself.
    host: String,
    from: Address,
    to: Address,
    message: Secret,
    bound: Duration,
}

/// Why the server does not have the mail.
#[derive(Debug, Serialize, Deserialize)]
enum Fault {
    /// No connection, or none any more.
    Connection(String),
    /// No TLS that can be trusted.
    Tls(String),
    /// The server is slower than its bound.
    TimedOut,
    /// A reply that refuses. Its text is kept where it cannot have a secret in it.
    Refused { code: u16, said: String },
    /// The same, of the recipient.
    Recipient { said: String },
    /// The server speaks some other protocol, or lacks what is needed.
    Unfit(String),
}

/// Has the server take a message.
pub(super) fn send(
    server: &Server,
    config: &EmailConfig,
    from: &Address,
    letter: &Letter,
    message: &[u8],
    bound: Duration,
) -> Result<(), MailError> {
    let task = Task {
        server: server.clone(),
        password: config.password_file.as_deref().map(read_password).transpose()?,
        certificates: config.ca_file.as_deref().map(read_certificates).transpose()?,
        host: letter.host().to_owned(),
        from: from.clone(),
        to: letter.to().clone(),
        message: Secret::new(message.to_vec()),
        bound,
    };
    let task = postcard::to_stdvec(&task).map_err(|error| MailError::compose(&error))?;
    let task = Zeroizing::new(task);
    // Of the same version as this one, also when another was installed in its place.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("mfa-mail").arg(ARGUMENT);
    let left = run(command, Listen::Output, &task, bound).map_err(MailError::Io)?;
    let verdict = postcard::from_bytes::<Result<(), Fault>>(&left.said).ok();
    match (verdict, left.end) {
        (Some(Ok(())), _) => Ok(()),
        (Some(Err(fault)), _) => Err(fault.of(server, letter.to(), bound)),
        (None, End::TimedOut) => Err(Fault::TimedOut.of(server, letter.to(), bound)),
        (None, end) => Err(MailError::Ended { server: server.to_string(), how: end.to_string() }),
    }
}

impl Fault {
    fn of(self, server: &Server, to: &Address, bound: Duration) -> MailError {
        let server = server.to_string();
        match self {
            Self::Connection(why) => MailError::Connection { server, why },
            Self::Tls(why) => MailError::Tls { server, why },
            Self::TimedOut => MailError::TimedOut { who: server, bound },
            Self::Refused { code, said } => MailError::Refused { server, code, said },
            Self::Recipient { said } => MailError::Recipient { to: to.clone(), said },
            Self::Unfit(why) => MailError::Unfit { server, why },
        }
    }
}

/// The first line of a file that only root can read.
fn read_password(path: &Path) -> Result<Secret, MailError> {
    let file = trusted::open_file(path).map_err(MailError::File)?;
    let failed = |source| MailError::Unreadable { path: path.to_owned(), source };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(MailError::Exposed(path.to_owned()));
    }
    let text = read(&file, LONGEST_PASSWORD).map_err(failed)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_text = std::str::from_utf8(line).is_ok_and(|line| !line.contains(char::is_control));
    if line.is_empty() || !is_text {
        return Err(MailError::NoPassword(path.to_owned()));
    }
    Ok(Secret::new(line.to_vec()))
}

fn read_certificates(path: &Path) -> Result<Vec<u8>, MailError> {
    let file = trusted::open_linked(path).map_err(MailError::File)?;
    let failed = |source| MailError::Unreadable { path: path.to_owned(), source };
    let certificates = read(&file, LONGEST_CA_FILE).map_err(failed)?.to_vec();
    // Taken apart where it does no harm, by the process that uses it.
    if certificates.windows(BEGIN.len()).any(|window| window == BEGIN) {
        Ok(certificates)
    } else {
        Err(MailError::NoCertificates(path.to_owned()))
    }
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn read(file: &File, longest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::other(format!("it is larger than {longest} bytes")));
    }
    Ok(bytes)
}

/// The other process: a task on standard input, the verdict on standard output.
#[must_use]
pub fn carry_out() -> ExitCode {
    let bounded = mfa_sys::process::serve_in_the_foreground(c"mfa-mail", &[0, 1, 2]).is_ok()
        && setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY).is_ok();
    let mut task = Zeroizing::new(Vec::new());
    let given = io::stdin().take(LONGEST_TASK).read_to_end(&mut task).is_ok();
    let task = postcard::from_bytes::<Task>(&task);
    let (true, true, Ok(task)) = (bounded, given, task) else {
        eprintln!("mfa-verifier: error: {ARGUMENT} is for a verifier that sends a mail");
        return ExitCode::from(2);
    };
    let mut connection = None;
    let verdict = exchange(&task, &mut connection);
    let written = postcard::to_stdvec(&verdict).is_ok_and(|verdict| {
        let mut output = io::stdout();
        output.write_all(&verdict).and_then(|()| output.flush()).is_ok()
    });
    if let Some(mut connection) = connection {
        // Politeness, and bounded: all is said and done.
        let _ = connection.set_timeout(Some(FAREWELL));
        let _ = connection.command(Quit);
    }
    if written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Up to the server's word that it has the mail.
fn exchange(task: &Task, keep: &mut Option<SmtpConnection>) -> Result<(), Fault> {
    let tls = match task.server.security {
        Security::Plain => None,
        Security::Tls | Security::StartTls => Some(trust(task)?),
    };
    let at_once = tls.as_ref().filter(|_| task.server.security == Security::Tls);
    let hello = ClientId::Domain(task.host.clone());
    let fault = |error: &smtp::Error| Fault::told(error, task.server.security);
    let connected = SmtpConnection::connect(&task.server, Some(task.bound), &hello, at_once, None);
    let connection = keep.insert(connected.map_err(|error| fault(&error))?);
    if let (Security::StartTls, Some(tls)) = (task.server.security, &tls) {
        if !connection.can_starttls() {
            return Err(Fault::Tls("it offers no STARTTLS".to_owned()));
        }
        connection.starttls(tls, &hello).map_err(|error| fault(&error))?;
    }
    // Once more, whatever came before: nothing is said in plain but to this host.
    if task.server.security != Security::Plain && !connection.is_encrypted() {
        return Err(Fault::Tls("the connection is not encrypted".to_owned()));
    }
    if let (Some(user), Some(password)) = (&task.server.user, &task.password) {
        log_in(connection, user, password).map_err(|error| fault(&error).without_text())?;
    }
    let address = |address: &Address| {
        address.as_str().parse::<lettre::Address>().map_err(|error| Fault::Unfit(error.to_string()))
    };
    let (from, to) = (address(&task.from)?, address(&task.to)?);
    connection.command(Mail::new(Some(from), Vec::new())).map_err(|error| fault(&error))?;
    connection
        .command(Rcpt::new(to, Vec::new()))
        .map_err(|error| fault(&error).about_the_recipient())?;
    connection.command(Data).map_err(|error| fault(&error))?;
    connection.message(task.message.expose()).map_err(|error| fault(&error).without_text())?;
    Ok(())
}

/// RFC 4616, or what came before it: both say the password, and only through TLS.
fn log_in(
    connection: &mut SmtpConnection,
    user: &str,
    password: &Secret,
) -> Result<(), smtp::Error> {
    let password = password.expose_str().unwrap_or_default().to_owned();
    let credentials = Credentials::new(user.to_owned(), password);
    connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map(drop)
}

/// By whom the server's certificate has to be signed.
fn trust(task: &Task) -> Result<TlsParameters, Fault> {
    let refused = |error: smtp::Error| Fault::Tls(innermost(&error));
    let mut builder = TlsParameters::builder(task.server.host.clone());
    if let Some(pem) = &task.certificates {
        let certificates = Certificate::from_pem(pem).map_err(refused)?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build().map_err(refused)
}

impl Fault {
    /// What lettre's error comes to.
    fn told(error: &smtp::Error, security: Security) -> Self {
        if let Some(code) = error.status() {
            let said = std::error::Error::source(error).map(ToString::to_string);
            let said = first_line(said.unwrap_or_default().as_bytes());
            return Self::Refused { code: code.into(), said };
        }
        match io_kind(error) {
            Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Self::TimedOut,
            // As rustls wraps its own; of a handshake they come with the first byte that is read.
            Some(io::ErrorKind::InvalidData) if security != Security::Plain => {
                Self::Tls(innermost(error))
            }
            Some(io::ErrorKind::InvalidData) => Self::Unfit("it does not speak SMTP".to_owned()),
            _ if error.is_tls() => Self::Tls(innermost(error)),
            None if error.is_response() => Self::Unfit("it does not speak SMTP".to_owned()),
            None if error.is_client() => Self::Unfit(innermost(error)),
            Some(_) | None => Self::Connection(innermost(error)),
        }
    }

    /// A server may quote what it refuses, and that was a password or a code.
    fn without_text(self) -> Self {
        match self {
            Self::Refused { code, .. } => Self::Refused { code, said: String::new() },
            other => other,
        }
    }

    fn about_the_recipient(self) -> Self {
        match self {
            // 4xx: not now, whoever it is.
            Self::Refused { code: 500.., said } => Self::Recipient { said },
            other => other,
        }
    }
}

fn io_kind(error: &smtp::Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

fn innermost(error: &smtp::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    first_line(inner.to_string().as_bytes())
}
