//! A letter on its way: what `mfa-mail` is told, and what it says came of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mfa_protocol::mail::{Fault, Route, Server, Submission, Task, UNSENT, first_line};
use mfa_protocol::relay::decode;
use mfa_protocol::trusted;
use mfa_protocol::{Secret, paths};
use mfa_sys::end_with_us;
use zeroize::Zeroizing;

use super::MailError;
use super::address::Address;
use super::letter::Letter;
use super::program::{End, Left, Listen, run};
use crate::config::EmailConfig;

/// Bytes of a password.
const LONGEST_PASSWORD: u64 = 1_024;

/// Bytes of a file of certificates: all that browsers trust are a quarter of that.
const LONGEST_CA_FILE: u64 = 1024 * 1024;

/// What sysexits.h has a mailer say of a recipient that it does not know, or of its host.
const NO_RECIPIENT: [i32; 2] = [67, 68];

/// Has a mail server take the letter.
pub(super) fn by_server(
    server: &Server,
    config: &EmailConfig,
    from: &Address,
    letter: &Letter,
    bound: Duration,
) -> Result<(), MailError> {
    let route = Route::Server(Submission {
        server: server.clone(),
        password: config.password_file.as_deref().map(read_password).transpose()?,
        certificates: config.ca_file.as_deref().map(read_certificates).transpose()?,
        bound,
    });
    let left = start(&letter.task(from, route), Listen::Output, bound)?;
    let told = |fault: Fault| about_server(fault, server, letter.to(), bound);
    match (decode::<Result<(), Fault>>(&left.said), left.end) {
        (Ok(sent), _) => sent.map_err(told),
        (Err(_), End::TimedOut) => Err(told(Fault::TimedOut)),
        (Err(_), end) => Err(MailError::Ended { server: server.to_string(), how: end.to_string() }),
    }
}

/// Hands the letter to a local program.
pub(super) fn by_program(
    path: &Path,
    from: &Address,
    letter: &Letter,
    bound: Duration,
) -> Result<(), MailError> {
    // It is opened again by who becomes it; that it cannot be is to be told as what it is.
    trusted::open_program(path).map_err(MailError::Program)?;
    let route = Route::Program(path.to_owned());
    let Left { end, said } = start(&letter.task(from, route), Listen::Error, bound)?;
    let unsent = (end == End::Exit(UNSENT.into())).then(|| decode::<Fault>(&said));
    match (unsent, end) {
        (Some(Ok(Fault::Unrunnable(why))), _) => {
            Err(MailError::Unrunnable { path: path.to_owned(), why })
        }
        (Some(Ok(Fault::Compose(why))), _) => Err(MailError::Compose(why)),
        (_, End::Exit(0)) => Ok(()),
        (_, End::TimedOut) => Err(MailError::TimedOut { who: path.display().to_string(), bound }),
        (_, End::Exit(code)) if NO_RECIPIENT.contains(&code) => {
            Err(MailError::Recipient { to: letter.to().clone(), said: first_line(&said) })
        }
        (_, end) => {
            let (path, how) = (path.to_owned(), end.to_string());
            Err(MailError::Failed { path, how, said: first_line(&said) })
        }
    }
}

fn start(task: &Task, listen: Listen, bound: Duration) -> Result<Left, MailError> {
    let program = trusted::open_program(Path::new(paths::MAIL)).map_err(MailError::Uninstalled)?;
    let task = task.encode().map_err(|error| MailError::Compose(error.to_string()))?;
    // What was opened is what runs.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0("mfa-mail");
    // Whoever is bounded by nobody any more could wait for ever, with a code in hand.
    end_with_us(&mut command);
    run(command, listen, &task, bound).map_err(MailError::Io)
}

fn about_server(fault: Fault, server: &Server, to: &Address, bound: Duration) -> MailError {
    let server = server.to_string();
    match fault {
        Fault::Connection(why) => MailError::Connection { server, why },
        Fault::Tls(why) => MailError::Tls { server, why },
        Fault::TimedOut => MailError::TimedOut { who: server, bound },
        Fault::Refused { code, said } => MailError::Refused { server, code, said },
        Fault::Recipient { said } => MailError::Recipient { to: to.clone(), said },
        Fault::Unfit(why) => MailError::Unfit { server, why },
        Fault::Compose(why) | Fault::Unrunnable(why) => MailError::Compose(why),
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
