//! Where an attempt comes from: a place, of which policy may say much, and the source that it is charged to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// From where somebody comes, as finely as policy tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// This host, at a terminal or display of it.
    Console,
    /// This host.
    Local,
    /// An address of a remote host.
    Address(IpAddr),
    /// A remote host that gave none.
    Unknown,
}

impl Place {
    /// That of a login by `service`, whose `PAM_RHOST` is `rhost` and whose `PAM_TTY` is `tty`.
    ///
    /// No rhost means a local login, but not for sshd, whose logins all come from somewhere.
    #[must_use]
    pub fn of(service: &str, rhost: Option<&str>, tty: Option<&str>) -> Self {
        match rhost {
            None if service == "sshd" => Self::Unknown,
            None if tty.is_some_and(is_console) => Self::Console,
            None => Self::Local,
            Some(text) => address(text).map_or(Self::Unknown, Self::Address),
        }
    }

    /// What an attempt from there is charged to.
    #[must_use]
    pub fn source(self) -> Source {
        match self {
            Self::Console | Self::Local => Source::Local,
            Self::Address(address) => address.into(),
            Self::Unknown => Source::Unknown,
        }
    }

    /// The remote host's address, if that is known.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Console | Self::Local | Self::Unknown => None,
        }
    }
}

/// The origin that an attempt is charged to.
///
/// An IPv6 host may choose among 2⁶⁴ addresses, so its /64 is one source. Whatever is not an
/// address is `Unknown`: a name is never resolved, since who controls it controls the answer
/// (CVE-2024-10963).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// This host: a console, `su`, `sudo`, a screen locker.
    Local,
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first eight bytes of an IPv6 address.
    V6([u8; 8]),
    /// A remote host that gave no address. It has a budget like any source, and never becomes a
    /// known one: anybody may be behind it.
    Unknown,
}

impl Source {
    /// Whether successes from here can make it a source that others cannot lock out.
    #[must_use]
    pub fn can_be_known(self) -> bool {
        self != Self::Unknown
    }
}

/// Whether `tty` is a terminal or display of this machine: a virtual or serial console, or a local X
/// display. A pseudo-terminal is none: whoever is at its other end may be anywhere.
#[must_use]
pub fn is_console(tty: &str) -> bool {
    let tty = tty.strip_prefix("/dev/").unwrap_or(tty);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(display) = tty.strip_prefix(':') {
        let (display, screen) = display.split_once('.').unwrap_or((display, "0"));
        return is_number(display) && is_number(screen);
    }
    let device = tty.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = device.len() < tty.len();
    tty == "console" || numbered && matches!(device, "tty" | "ttyS" | "ttyAMA" | "ttyUSB" | "hvc")
}

/// An address without a scope; an IPv4 address inside IPv6 is that IPv4 address. One with a scope is
/// none: `fe80::1%eth0` is another host than `fe80::1%eth1`, and on its link everybody chooses the own
/// one, so no policy should rest on it.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let bytes = v6.octets();
                Self::V6(bytes.first_chunk().copied().unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Local => f.write_str("local"),
            Self::V4(octets) => write!(f, "{}", Ipv4Addr::from(octets)),
            Self::V6(network) => write!(f, "{}/64", first_of(network)),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

fn first_of(network: [u8; 8]) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(u64::from_be_bytes(network)) << 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sources_and_everything_else_is_unknown() {
        let rows = [
            (Some("192.0.2.7"), "192.0.2.7"),
            (Some("::ffff:192.0.2.7"), "192.0.2.7"),
            (Some("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
            (Some("2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64"),
            (Some("fe80::1%eth0"), "unknown"),
            (Some("localhost"), "unknown"),
            (Some("192.0.2.7 "), "unknown"),
            (Some("192.0.2.07"), "unknown"),
            (Some(""), "unknown"),
            (None, "unknown"),
        ];
        for (rhost, expected) in rows {
            let source = Place::of("sshd", rhost, None).source();
            assert_eq!(source.to_string(), expected, "{rhost:?}");
        }
    }

    #[test]
    fn terminals_and_displays_of_this_machine_are_consoles() {
        for tty in ["tty1", "/dev/tty12", "ttyS0", "hvc0", "console", "/dev/console", ":0", ":0.0"]
        {
            assert!(is_console(tty), "{tty}");
        }
        for tty in [
            "",
            "ssh",
            "tty",
            "pts/0",
            "/dev/pts/3",
            "ttyp0",
            "localhost:10.0",
            "host:0",
            ":",
            ":0.",
            ":0:1",
            "/dev/dev/tty1",
            "tty1x",
            "cron",
        ] {
            assert!(!is_console(tty), "{tty}");
        }
    }

    #[test]
    fn without_a_remote_host_only_sshd_is_not_local() {
        for (service, rhost, tty, expected) in [
            ("login", None, Some("/dev/tty1"), Place::Console),
            ("sudo", None, Some("/dev/pts/3"), Place::Local),
            ("sudo", None, None, Place::Local),
            ("sshd", None, Some("tty1"), Place::Unknown),
            ("sudo", Some("myhost"), Some("tty1"), Place::Unknown),
        ] {
            assert_eq!(Place::of(service, rhost, tty), expected, "{service} {rhost:?} {tty:?}");
        }
        assert_eq!(Place::Console.source(), Source::Local);
    }
}
