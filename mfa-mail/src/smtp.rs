//! A mail server, asked by SMTP through lettre.

use std::io;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use mfa_protocol::Secret;
use mfa_protocol::mail::{Fault, Security, Submission, Task, first_line};
use nix::sys::resource::{Resource, setrlimit};

use crate::server::addresses;

/// What the exchange may take of memory for its data. With all of Debian's certificates it is one
/// mebibyte.
const MEMORY: u64 = 32 * 1024 * 1024;

/// The reply to DATA, RFC 5321 (4.3.2).
const GO_AHEAD: u16 = 354;

/// How long something is listened for that is there already, if at all.
const MOMENT: Duration = Duration::from_millis(1);

/// How long to wait for a server's farewell, when the mail is its own already.
const FAREWELL: Duration = Duration::from_millis(500);

/// The exchange with one server.
#[derive(Default)]
pub struct Exchange {
    connection: Option<SmtpConnection>,
}

impl Exchange {
    /// Up to the server's word that it has the mail.
    pub fn send(&mut self, task: &Task, by: &Submission, message: &[u8]) -> Result<(), Fault> {
        let server = &by.server;
        setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)
            .map_err(|errno| Fault::Connection(errno.to_string()))?;
        let security = server.security;
        let tls = match security {
            Security::Plain => None,
            Security::Tls | Security::StartTls => Some(trust(by)?),
        };
        let at_once = tls.as_ref().filter(|_| security == Security::Tls);
        let hello = ClientId::Domain(task.host.clone());
        let fault = |error: &Error| told(error, security);
        let addresses = addresses(server).map_err(|error| Fault::Connection(escaped(&error)))?;
        let connected =
            SmtpConnection::connect(&addresses[..], Some(by.bound), &hello, at_once, None);
        let connection = self.connection.insert(connected.map_err(|error| fault(&error))?);
        if let (Security::StartTls, Some(tls)) = (security, &tls) {
            if !connection.can_starttls() {
                return Err(Fault::Tls("it offers no STARTTLS".to_owned()));
            }
            connection.starttls(tls, &hello).map_err(|error| fault(&error))?;
            demand_silence(connection, by.bound)?;
        }
        // Once more, whatever came before: nothing is said in plain but to this host.
        if security != Security::Plain && !connection.is_encrypted() {
            return Err(Fault::Tls("the connection is not encrypted".to_owned()));
        }
        if let (Some(user), Some(password)) = (&server.user, &by.password) {
            log_in(connection, user, password).map_err(|error| without_text(fault(&error)))?;
        }
        let address = |address: &str| {
            address.parse::<lettre::Address>().map_err(|error| Fault::Unfit(escaped(&error)))
        };
        let (from, to) = (address(&task.from)?, address(&task.to)?);
        connection.command(Mail::new(Some(from), Vec::new())).map_err(|error| fault(&error))?;
        connection
            .command(Rcpt::new(to, Vec::new()))
            .map_err(|error| about_the_recipient(fault(&error)))?;
        let go_ahead = connection.command(Data).map_err(|error| fault(&error))?;
        // Any other reply is the one to another command: see `demand_silence`.
        if !go_ahead.has_code(GO_AHEAD) {
            return Err(Fault::Unfit("it does not ask for the message".to_owned()));
        }
        connection.message(message).map_err(|error| without_text(fault(&error)))?;
        Ok(())
    }

    /// Politeness, and bounded: all is said and done.
    pub fn take_leave(self) {
        if let Some(mut connection) = self.connection {
            let _ = connection.set_timeout(Some(FAREWELL));
            let _ = connection.command(Quit);
        }
    }
}

/// Refuses a server that has said more than was asked when TLS began.
///
/// lettre keeps what came in one breath with the plain reply to STARTTLS, and takes it for replies to what is
/// said through TLS. Whoever stands between could so have a mail look sent that the server refused. Of
/// several such replies the second is there by now; of a single one the server's own come one command
/// late, and the one to DATA is another than it must be.
fn demand_silence(connection: &mut SmtpConnection, bound: Duration) -> Result<(), Fault> {
    let failed = |error: io::Error| Fault::Connection(escaped(&error));
    connection.set_timeout(Some(MOMENT)).map_err(failed)?;
    let said = connection.read_response();
    connection.set_timeout(Some(bound)).map_err(failed)?;
    match said.err().as_ref().and_then(io_kind) {
        Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        _ => Err(Fault::Tls("something was said before it that is no part of it".to_owned())),
    }
}

/// RFC 4616, or what came before it: both say the password, and only through TLS.
fn log_in(connection: &mut SmtpConnection, user: &str, password: &Secret) -> Result<(), Error> {
    let password = password.expose_str().unwrap_or_default().to_owned();
    let credentials = Credentials::new(user.to_owned(), password);
    connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map(drop)
}

/// By whom the server's certificate has to be signed.
fn trust(by: &Submission) -> Result<TlsParameters, Fault> {
    let refused = |error: Error| Fault::Tls(innermost(&error));
    let mut builder = TlsParameters::builder(by.server.host.clone());
    if let Some(pem) = &by.certificates {
        let certificates = Certificate::from_pem(pem).map_err(refused)?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build().map_err(refused)
}

/// What lettre's error comes to.
fn told(error: &Error, security: Security) -> Fault {
    if let Some(code) = error.status() {
        let said = std::error::Error::source(error).map(ToString::to_string);
        let said = first_line(said.unwrap_or_default().as_bytes());
        return Fault::Refused { code: code.into(), said };
    }
    match io_kind(error) {
        Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Fault::TimedOut,
        // As rustls wraps its own; of a handshake they come with the first byte that is read.
        Some(io::ErrorKind::InvalidData) if security != Security::Plain => {
            Fault::Tls(innermost(error))
        }
        Some(io::ErrorKind::InvalidData) => Fault::Unfit("it does not speak SMTP".to_owned()),
        _ if error.is_tls() => Fault::Tls(innermost(error)),
        None if error.is_response() => Fault::Unfit("it does not speak SMTP".to_owned()),
        None if error.is_client() => Fault::Unfit(innermost(error)),
        Some(_) | None => Fault::Connection(innermost(error)),
    }
}

/// A server may quote what it refuses, and that was a password or a code.
fn without_text(fault: Fault) -> Fault {
    match fault {
        Fault::Refused { code, .. } => Fault::Refused { code, said: String::new() },
        other => other,
    }
}

fn about_the_recipient(fault: Fault) -> Fault {
    match fault {
        // 4xx: not now, whoever it is.
        Fault::Refused { code: 500.., said } => Fault::Recipient { said },
        other => other,
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

fn innermost(error: &Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    escaped(inner)
}

fn escaped(error: &dyn std::error::Error) -> String {
    first_line(error.to_string().as_bytes())
}
