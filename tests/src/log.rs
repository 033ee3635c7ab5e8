//! What a host's programs wrote to `/dev/log`.

use serde::{Deserialize, Serialize};

/// The facility `authpriv` of syslog(3).
pub const AUTHPRIV: u32 = 10;

/// One record as it came in: one datagram, whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which part of the system speaks: [`AUTHPRIV`] is 10.
    pub facility: u32,
    /// How bad it is: 3 is an error, 6 is information.
    pub severity: u32,
    /// The program's name and its text, `sshd[12]: …`; line feeds are as they came.
    pub text: String,
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
        Self { facility: priority / 8, severity: priority % 8, text: text.trim_end().to_owned() }
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
}
