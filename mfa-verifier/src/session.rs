//! The login session that a process runs in, as the kernel has it.

use std::fmt;
use std::fs;

/// What the kernel has for "none" in `/proc/PID/sessionid`.
const NO_SESSION: u32 = u32::MAX;

/// A login session and a terminal in it.
///
/// A window that is closed gives its terminal's number to the next one, and a process its own: the
/// moment at which the session's leader began tells them apart, and the boot those of before and
/// after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The boot, `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The audit session, which `pam_loginuid` begins; processes cannot leave it.
    pub audit: u32,
    /// The controlling terminal's device number.
    pub terminal: u32,
    /// The leader of the terminal's session: the shell in it.
    pub leader: u32,
    /// When that began, in clock ticks since the boot.
    pub began: u64,
}

impl Session {
    /// Of this process, which is the peer of a connection. None where it is in no login session, or has
    /// no terminal.
    ///
    /// The face may have died, and another process have its number; then nobody is there to answer, or
    /// to hear the outcome.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let audit =
            fs::read_to_string(format!("/proc/{pid}/sessionid")).ok()?.trim().parse().ok()?;
        let process = Stat::of(u32::try_from(pid).ok()?)?;
        let leader = Stat::of(process.session)?;
        if audit == NO_SESSION || process.terminal == 0 || leader.session != process.session {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let (terminal, leader, began) = (process.terminal, process.session, leader.began);
        Some(Self { boot, audit, terminal, leader, began })
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, audit, terminal, leader, began } = self;
        write!(f, "{boot} {audit} {terminal} {leader} {began}")
    }
}

/// What `/proc/PID/stat` says of a process, proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    session: u32,
    terminal: u32,
    began: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The second field is the program's name in brackets, which may have any byte in it.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        // From the third field on.
        let mut fields = rest.split_ascii_whitespace();
        let session = fields.nth(3)?.parse().ok()?;
        let terminal: i32 = fields.next()?.parse().ok()?;
        let began = fields.nth(14)?.parse().ok()?;
        Some(Self { session, terminal: terminal.cast_unsigned(), began })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_proc_5_whatever_the_program_is_called() {
        // pid (comm) state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime
        // stime cutime cstime priority nice num_threads itrealvalue starttime vsize …
        let line =
            b"12 (a) 1 2\xff (x) S 11 12 10 34819 12 4 1 2 3 4 5 6 7 8 20 0 1 0 987654 21 22\n";
        assert_eq!(Stat::parse(line), Some(Stat { session: 10, terminal: 34_819, began: 987_654 }));
        for other in [&b""[..], b"12 (a", b"12 (a) S 11 12 10", b"12 (a) S 11 12 x 0 1"] {
            assert_eq!(Stat::parse(other), None);
        }
    }

    #[test]
    fn a_process_without_a_terminal_or_that_is_gone_is_in_no_session() {
        let mut child = std::process::Command::new("setsid").args(["-f", "true"]).spawn().unwrap();
        let pid = child.id().cast_signed();
        child.wait().unwrap();
        assert_eq!(Session::of(pid), None);
        assert_eq!(Session::of(0), None);
        assert_eq!(Session::of(-1), None);
        // The kernel's own threads have no terminal.
        assert_eq!(Session::of(2), None);
    }

    #[test]
    fn the_own_process_is_read_as_the_kernel_writes_it() {
        let own = Stat::of(std::process::id()).unwrap();
        let session = nix::unistd::getsid(None).unwrap();
        assert_eq!(own.session, session.as_raw().cast_unsigned());
        assert!(own.began > 0);
    }
}
