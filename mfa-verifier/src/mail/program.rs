//! Running a program within a bound, whatever it does.
//!
//! Nothing here waits for the program beyond that: its input is a file, what it says is read as it
//! comes and mostly thrown away, and one that does not end in time ends with its process group.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Bytes that are kept of what a program says.
const KEPT: usize = 4_096;

/// Bytes that are read of it before the clock is looked at again: a flood must not be followed to
/// its end.
const DRAUGHT: usize = 64 * 1024;

/// How often a program is looked after that says nothing.
const GLANCE: Duration = Duration::from_millis(20);

/// The same where it has closed its output and ends in a moment.
const BLINK: Duration = Duration::from_millis(1);

/// How long a killed program may take to go: one that is stuck in the kernel does not.
const FAREWELL: Duration = Duration::from_millis(100);

/// Which of its outputs is listened to; the other one leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listen {
    Output,
    Error,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    Signal(Signal),
    /// It had to be killed.
    TimedOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => f.write_str(signal.as_str()),
            Self::TimedOut => f.write_str("too slow"),
        }
    }
}

/// What a program left behind.
#[derive(Debug)]
pub(super) struct Left {
    pub end: End,
    /// The first [`KEPT`] bytes of what it said.
    pub said: Vec<u8>,
}

/// Runs a program with `input` as its standard input, without an environment, in `/`, as root and in a
/// process group of its own.
pub(super) fn run(
    mut command: Command,
    listen: Listen,
    input: &[u8],
    bound: Duration,
) -> io::Result<Left> {
    let deadline = Instant::now() + bound;
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    match listen {
        Listen::Output => command.stdout(writer).stderr(Stdio::null()),
        Listen::Error => command.stdout(Stdio::null()).stderr(writer),
    };
    command.stdin(held(input)?).env_clear().current_dir("/").uid(0).gid(0).process_group(0);
    let mut group = Group(Some(command.spawn()?));
    // It holds a copy of the pipe's other end.
    drop(command);
    let mut ear = Ear { reader: Some(reader), said: Vec::new() };
    let end = loop {
        ear.listen()?;
        if let Some(end) = group.end()? {
            break end;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break End::TimedOut;
        }
        ear.wait(left.min(GLANCE))?;
    };
    if end == End::Exit(0) {
        group.let_go();
    }
    drop(group);
    // What it said last; others may hold the pipe for as long as they like.
    ear.listen()?;
    Ok(Left { end, said: ear.said })
}

/// A file in memory. A pipe would have to be written to, and who does not read could hold that up.
fn held(input: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("mail", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// The reading end of a pipe, until it is at its end.
struct Ear {
    reader: Option<PipeReader>,
    said: Vec<u8>,
}

impl Ear {
    /// Takes in what is there, keeps the beginning and forgets the rest.
    fn listen(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let mut buffer = [0; 4_096];
        let mut taken = 0;
        while taken < DRAUGHT {
            match reader.read(&mut buffer) {
                Ok(0) => {
                    self.reader = None;
                    return Ok(());
                }
                Ok(length) => {
                    taken += length;
                    let room = KEPT.saturating_sub(self.said.len());
                    self.said.extend(buffer.iter().take(length.min(room)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Until something is said, or no longer than this.
    fn wait(&self, patience: Duration) -> io::Result<()> {
        let Some(reader) = &self.reader else {
            thread::sleep(patience.min(BLINK));
            return Ok(());
        };
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(error) if error != nix::errno::Errno::EINTR => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// A process and its group, which do not outlive this, if they are not let go.
struct Group(Option<Child>);

impl Group {
    /// How the process ended, if it has. It is not reaped by that: until it is, nobody else can have its
    /// number, nor its group's.
    fn end(&mut self) -> io::Result<Option<End>> {
        let Some(pid) = self.pid() else { return Ok(None) };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(match waitid(Id::Pid(pid), flags)? {
            WaitStatus::Exited(_, code) => Some(End::Exit(code)),
            WaitStatus::Signaled(_, signal, _) => Some(End::Signal(signal)),
            _ => None,
        })
    }

    /// Reaps the process, which has ended well, and leaves its group to itself: Exim, sendmail and dma end
    /// when they have a message in their queue, and deliver it in the background.
    fn let_go(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.wait();
        }
    }

    fn pid(&self) -> Option<Pid> {
        let child = self.0.as_ref()?;
        i32::try_from(child.id()).ok().map(Pid::from_raw)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let Some(mut child) = self.0.take() else { return };
        let deadline = Instant::now() + FAREWELL;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // Stuck in the kernel: a write to a file server that is gone, say.
                let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || child.wait());
                return;
            }
            thread::sleep(BLINK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str, listen: Listen, input: &str, bound: Duration) -> Left {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, listen, input.as_bytes(), bound).unwrap()
    }

    #[test]
    fn a_program_gets_its_input_and_nothing_of_the_environment() {
        let left = shell("cat; env | grep -v ^PWD=; pwd; echo no >&2", Listen::Output, "x\n", LONG);
        assert_eq!(left.end, End::Exit(0));
        assert_eq!(String::from_utf8(left.said).unwrap().replace("_=/usr/bin/env\n", ""), "x\n/\n");
        let left = shell("echo no; echo bad >&2; exit 75", Listen::Error, "", LONG);
        assert_eq!((left.end, &left.said[..]), (End::Exit(75), &b"bad\n"[..]));
        let left = shell("kill -TERM $$", Listen::Error, "", LONG);
        assert_eq!(left.end, End::Signal(Signal::SIGTERM));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let bound = Duration::from_millis(200);
        for script in ["echo $$ >&2; sleep 1000", "exec 2>&-; sleep 1000; true", "kill -STOP $$"] {
            let begun = Instant::now();
            let left = shell(script, Listen::Error, "", bound);
            assert_eq!(left.end, End::TimedOut, "{script}");
            assert!(begun.elapsed() < bound + LONG / 10, "{script}");
            if let Ok(group) = String::from_utf8_lossy(&left.said).trim().parse() {
                // A zombie that nobody has reaped yet may be left of the child's child.
                let state = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat"));
                assert!(state(group).is_err());
            }
        }
    }

    #[test]
    fn a_flood_is_cut_off_and_neither_kept_nor_followed() {
        let bound = Duration::from_millis(300);
        let left = shell("yes flood >&2", Listen::Error, "", bound);
        assert_eq!((left.end, left.said.len()), (End::TimedOut, KEPT));
        let left = shell("head -c 10000000 /dev/zero >&2; exit 3", Listen::Error, "", LONG);
        assert_eq!((left.end, left.said.len()), (End::Exit(3), KEPT));
    }

    #[test]
    fn a_daemon_that_is_left_behind_with_the_pipe_is_not_waited_for() {
        let begun = Instant::now();
        let left = shell("echo said >&2; setsid sleep 5 & exit 0", Listen::Error, "", LONG);
        assert_eq!((left.end, &left.said[..]), (End::Exit(0), &b"said\n"[..]));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn what_a_program_that_ended_well_has_left_to_do_in_the_background_is_done() {
        let place = format!("/var/cache/pam_mfa-tests/unit/program-{}", std::process::id());
        std::fs::create_dir_all(&place).unwrap();
        // It waits there until somebody reads.
        let script = format!("mkfifo {place}/fifo; echo delivered > {place}/fifo & exit 0");
        let left = shell(&script, Listen::Error, "", LONG);
        assert_eq!(left.end, End::Exit(0));
        let mut reader = fifo(&format!("{place}/fifo"));
        let ready = &mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(ready, PollTimeout::from(10_000_u16)).unwrap(), 1, "it was ended");
        let mut said = [0; 32];
        let length = reader.read(&mut said).unwrap();
        assert_eq!(said[..length], *b"delivered\n");
        std::fs::remove_dir_all(place).unwrap();
    }

    /// A FIFO, opened without waiting for who writes.
    fn fifo(path: &str) -> File {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlag::O_NONBLOCK.bits();
        std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap()
    }

    #[test]
    fn an_input_that_is_not_read_holds_nothing_up() {
        let left = shell("exit 0", Listen::Error, &"x".repeat(1 << 20), LONG);
        assert_eq!(left.end, End::Exit(0));
    }
}
