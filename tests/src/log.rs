//! What a host's programs wrote to `/dev/log`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The facility `authpriv` of syslog(3).
pub const AUTHPRIV: u32 = 10;

/// One record as it came in: one datagram, whatever is in it, or one entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which part of the system speaks: [`AUTHPRIV`] is 10.
    pub facility: u32,
    /// How bad it is: 3 is an error, 6 is information.
    pub severity: u32,
    /// The program's name and its text, `sshd[12]: …`; line feeds are as they came.
    pub text: String,
    /// The process that sent it, as the kernel has it and the host numbers it; of a datagram alone.
    pub pid: Option<i32>,
}

impl Record {
    /// Reads `<86>Nov 22 02:47:11 sshd[12]: text`, as glibc and the syslog crate write it.
    pub fn parse(datagram: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(datagram);
        let (priority, rest) = whole
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .and_then(|(priority, rest)| Some((priority.parse::<u32>().ok()?, rest)))
            .unwrap_or((0, &whole));
        // "Nov 22 02:47:11 ": 16 characters, where there is a time.
        let text = match rest.get(..16) {
            Some(time) if time.ends_with(' ') && time.matches(':').count() == 2 => &rest[16..],
            _ => rest,
        };
        let text = text.trim_end().to_owned();
        Self { facility: priority / 8, severity: priority % 8, text, pid: None }
    }

    /// Reads what `journalctl --output=json` prints of one entry.
    pub fn of_journal(line: &str) -> Option<Self> {
        let entry: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| match &entry[name] {
            Value::String(text) => Some(text.clone()),
            // What has control characters in it, or is not UTF-8.
            Value::Array(bytes) => {
                let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
                Some(String::from_utf8_lossy(&bytes.collect::<Option<Vec<_>>>()?).into_owned())
            }
            _ => None,
        };
        let number = |name: &str| field(name)?.parse().ok();
        let message = field("MESSAGE")?;
        let text = match (field("SYSLOG_IDENTIFIER"), field("SYSLOG_PID")) {
            (Some(name), Some(pid)) => format!("{name}[{pid}]: {message}"),
            (Some(name), None) => format!("{name}: {message}"),
            (None, _) => message,
        };
        let facility = number("SYSLOG_FACILITY").unwrap_or_default();
        Some(Self { facility, severity: number("PRIORITY")?, text, pid: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_and_time_are_taken_off() {
        let record = Record::parse(b"<86>Nov 22 02:47:11 sshd[12]: Accepted\n");
        assert_eq!((record.facility, record.severity), (AUTHPRIV, 6));
        assert_eq!(record.text, "sshd[12]: Accepted");
    }

    #[test]
    fn an_entry_of_the_journal_reads_like_a_datagram() {
        let entry = r#"{"PRIORITY":"6","SYSLOG_FACILITY":"10","SYSLOG_IDENTIFIER":"sshd",
                        "SYSLOG_PID":"12","MESSAGE":[65,99,27]}"#;
        let datagram = Record::parse(b"<86>sshd[12]: Ac\x1b");
        assert_eq!(Record::of_journal(entry), Some(datagram));
    }
}
