//! What is written to the log: one line for a decision, `key=value`, facility authpriv.
//!
//! Text from outside is escaped and bounded, and a code, a key or a password has no way in: events
//! are made of the fields below.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use mfa_protocol::escape::{escape, escape_bytes};
use syslog::{Facility, LogFormat, Logger, LoggerBackend};

/// How long a line may wait for a syslog daemon that does not read, before it is given up.
const PATIENCE: Duration = Duration::from_millis(250);

/// Characters of a value from outside.
const LONGEST_VALUE: usize = 128;

/// How grave a line is, syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something that an administrator must mend.
    Error,
    /// A refusal.
    Notice,
    /// Anything else.
    Info,
    /// Under `debug` only.
    Debug,
}

/// Where lines go.
pub trait Log {
    /// Writes one line. A log that cannot be written does not stop a login.
    fn write(&self, severity: Severity, line: &str);
}

/// A line in the making.
#[derive(Debug, Default)]
pub struct Line(String);

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that is quoted, whatever it is.
    #[must_use]
    pub fn quoted(self, key: &str, value: &str) -> Self {
        let value = format!("\"{}\"", shorten(&escape(value)));
        self.push(key, &value)
    }

    /// [`Line::quoted`] for bytes.
    #[must_use]
    pub fn quoted_bytes(self, key: &str, value: &[u8]) -> Self {
        let value = format!("\"{}\"", shorten(&escape_bytes(value)));
        self.push(key, &value)
    }

    /// Adds a value, quoted only if it needs to be; `-` if there is none.
    #[must_use]
    pub fn value(self, key: &str, value: Option<&str>) -> Self {
        match value {
            None => self.push(key, "-"),
            Some(value) if is_plain(value) => self.push(key, value),
            Some(value) => self.quoted(key, value),
        }
    }

    /// The line.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn push(mut self, key: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(value);
        self
    }
}

/// RFC 3339, UTC.
#[must_use]
pub fn timestamp(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

fn is_plain(value: &str) -> bool {
    // "-" alone stands for nothing.
    !value.is_empty()
        && value != "-"
        && value.len() <= LONGEST_VALUE
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@%+-".contains(&b))
}

fn shorten(escaped: &str) -> String {
    match escaped.char_indices().nth(LONGEST_VALUE) {
        None => escaped.to_owned(),
        Some((end, _)) => format!("{}…", escaped.get(..end).unwrap_or_default()),
    }
}

/// The system's log.
pub struct Syslog(RefCell<Option<Connected>>);

type Connected = Logger<LoggerBackend, Named>;

/// `pam_mfa: LINE`, without a process number: a line is the same whichever verifier wrote it. The time
/// is left to the daemon, as RFC 3164 (4.3.2) provides for; the crate's own would be UTC unsaid.
#[derive(Debug, Clone, Copy)]
struct Named;

impl LogFormat<&str> for Named {
    fn format<W: Write>(
        &self,
        writer: &mut W,
        severity: syslog::Severity,
        line: &str,
    ) -> syslog::Result<()> {
        let priority = Facility::LOG_AUTHPRIV as u8 | severity as u8;
        // One write, since each is a datagram.
        Ok(writer.write_all(format!("<{priority}>pam_mfa: {line}").as_bytes())?)
    }
}

impl Syslog {
    /// Connects to the syslog daemon; without one, lines are lost and logins go on.
    #[must_use]
    pub fn connect() -> Self {
        Self(RefCell::new(connect()))
    }
}

fn connect() -> Option<Connected> {
    let logger = syslog::unix(Named).ok()?;
    // Fails only for a duration of zero.
    let _ = match &logger.backend {
        LoggerBackend::Unix(socket) => socket.set_write_timeout(Some(PATIENCE)),
        LoggerBackend::UnixStream(socket) => socket.get_ref().set_write_timeout(Some(PATIENCE)),
        LoggerBackend::Udp(..) | LoggerBackend::Tcp(_) => Ok(()),
    };
    Some(logger)
}

impl Log for Syslog {
    fn write(&self, severity: Severity, line: &str) {
        // Only what has just served is kept: another daemon may stand in the place of one that is stuck.
        let mut kept = self.0.borrow_mut();
        *kept = match kept.take().map(|logger| send(logger, severity, line)) {
            Some(Ok(logger)) => Some(logger),
            // One that does not read is not asked twice.
            Some(Err(syslog::Error::Io(error))) if error.kind() == ErrorKind::WouldBlock => None,
            // The daemon may have been started anew since. Where the log is not to be had, there is nobody
            // to tell.
            Some(Err(_)) | None => connect().and_then(|logger| send(logger, severity, line).ok()),
        };
    }
}

/// Sends a line. The connection comes back if it is good for another one.
fn send(mut logger: Connected, severity: Severity, line: &str) -> syslog::Result<Connected> {
    match severity {
        Severity::Error => logger.err(line),
        Severity::Notice => logger.notice(line),
        Severity::Info => logger.info(line),
        Severity::Debug => logger.debug(line),
    }?;
    Ok(logger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_line_of_keys_and_escaped_values() {
        let line = Line::new()
            .value("outcome", Some("denied"))
            .quoted_bytes("user", b"a\nb\"\xff")
            .value("service", Some("sshd"))
            .value("rhost", Some("192.0.2.7"))
            .value("tty", Some("x y\u{1b}"))
            .value("factor", None)
            .quoted("device", "phone")
            .finish();
        assert_eq!(
            line,
            "outcome=denied user=\"a\\u{a}b\\\"\\xff\" service=sshd rhost=192.0.2.7 \
             tty=\"x y\\u{1b}\" factor=- device=\"phone\""
        );
    }

    #[test]
    fn values_from_outside_are_bounded() {
        let line = Line::new().quoted("user", &"x".repeat(10_000)).finish();
        assert!(line.len() < 150, "{}", line.len());
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(4_102_444_800), "2100-01-01T00:00:00Z");
    }
}
