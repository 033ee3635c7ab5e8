//! A process all of whose system calls are seen, by ptrace(2).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls;
use super::orders::{Fault, Seen, There};

/// The argument with which [`start`] has this program become another one.
const BECOME: &str = "become";

/// The processes that are traced are this one's only children.
pub struct Tracer {
    process: Pid,
    children: SignalFd,
    threads: Vec<Thread>,
    fault: Fault,
    seen: Seen,
    ended: bool,
}

struct Thread {
    id: Pid,
    calls: usize,
    /// What its call returns that is being made.
    returns: Option<Errno>,
}

/// Becomes the program that [`Tracer::start`] was asked for, where it was started for that.
pub fn become_traced() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != BECOME) {
        return Ok(());
    }
    ptrace::traceme()?;
    let program = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    Err(Command::new(program).args(arguments).env_clear().exec())
}

/// A command that becomes traced by who starts it.
pub fn traced(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(BECOME).arg(program).args(arguments);
    command
}

impl Tracer {
    /// Follows a [`traced`] command that this thread has started, from its first call on.
    pub fn follow(child: &Child, fault: Fault) -> io::Result<Self> {
        let process = Pid::from_raw(child.id().try_into().map_err(io::Error::other)?);
        let signals = SigSet::from_iter([Signal::SIGCHLD]);
        signals.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let children = SignalFd::with_flags(&signals, flags)?;
        match waitpid(process, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(process, options)?;
        let (threads, seen) = (vec![], Seen::default());
        let mut tracer = Self { process, children, threads, fault, seen, ended: false };
        tracer.thread(process);
        tracer.go_on(process, None);
        Ok(tracer)
    }

    /// Until it has ended, or is ended because it has not after `patience`.
    pub fn to_its_end(mut self, patience: Duration) -> io::Result<Seen> {
        let deadline = Instant::now() + patience;
        while !self.ended {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) if Instant::now() > deadline => {
                    self.seen.stuck = true;
                    kill(self.process, Signal::SIGKILL)?;
                    self.rest(Duration::from_secs(1))?;
                }
                Ok(WaitStatus::StillAlive) => {
                    self.rest(deadline.saturating_duration_since(Instant::now()))?;
                }
                Ok(status) => self.take(status),
                Err(Errno::ECHILD) => self.ended = true,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.seen.calls = self.threads.iter().map(|thread| thread.calls).collect();
        Ok(self.seen)
    }

    /// Until some child has something to say.
    fn rest(&self, longest: Duration) -> io::Result<()> {
        let mut ready = [PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        let longest = PollTimeout::try_from(longest).map_err(io::Error::other)?;
        match poll(&mut ready, longest) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        while let Ok(Some(_)) = self.children.read_signal() {}
        Ok(())
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(thread) => {
                self.at_call(thread);
                self.go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                if event == Event::PTRACE_EVENT_CLONE as i32
                    && let Ok(new) = ptrace::getevent(thread)
                    && let Ok(new) = i32::try_from(new)
                {
                    self.thread(Pid::from_raw(new));
                }
                self.go_on(thread, None);
            }
            // How a thread begins that is traced.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) => {
                self.thread(thread);
                self.go_on(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => self.go_on(thread, Some(signal)),
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, _, _) => {
                self.ended |= thread == self.process;
            }
            _ => {}
        }
    }

    fn thread(&mut self, id: Pid) -> usize {
        self.threads.iter().position(|thread| thread.id == id).unwrap_or_else(|| {
            self.threads.push(Thread { id, calls: 0, returns: None });
            self.threads.len() - 1
        })
    }

    /// A thread that has been killed meanwhile says so itself.
    fn go_on(&self, thread: Pid, signal: Option<Signal>) {
        let _ = ptrace::syscall(thread, signal);
    }

    /// A thread is about to make a call, or has made it.
    fn at_call(&mut self, id: Pid) {
        let Ok(info) = ptrace::syscall_info(id) else { return };
        let at = self.thread(id);
        let Some(thread) = self.threads.get_mut(at) else { return };
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                let number = thread.calls;
                thread.calls += 1;
                let due = self.fault.thread == at && self.fault.call == number;
                let Ok(entered) = registers::entered(id) else { return };
                match calls::call(entered.number) {
                    None => self.seen.unknown.push(entered.number),
                    Some(call) if due => self.strike(at, &entered, call),
                    Some(_) => {}
                }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                if let Some(errno) = thread.returns.take() {
                    let _ = registers::fail(id, errno);
                }
            }
            _ => {}
        }
    }

    fn strike(&mut self, at: usize, entered: &Entered, call: calls::Call) {
        let Some(thread) = self.threads.get_mut(at) else { return };
        let errno = self.fault.kind.checked_sub(1).map(|error| call.errors.get(error).copied());
        let fault = match errno {
            None => {
                let _ = kill(self.process, Signal::SIGKILL);
                Some("SIGKILL".to_owned())
            }
            Some(None) => None,
            Some(Some(errno)) => {
                thread.returns = Some(errno);
                if !call.done_anyway {
                    let _ = registers::leave_out(thread.id);
                }
                Some(format!("{errno:?}"))
            }
        };
        let (name, kinds) = (call.name.to_owned(), call.errors.len() + 1);
        let about = entered.about(thread.id, call.path);
        self.seen.there = Some(There { name, about, kinds, fault });
    }
}

/// A call that is about to be made.
struct Entered {
    number: u64,
    arguments: [u64; 2],
}

impl Entered {
    /// The file that it is about, if it is about one.
    fn about(&self, thread: Pid, path: Option<usize>) -> String {
        match path.and_then(|at| self.arguments.get(at)) {
            Some(address) => {
                let mut bytes = [0; 256];
                let memory = File::open(format!("/proc/{thread}/mem"));
                let read = memory.and_then(|memory| memory.read_at(&mut bytes, *address));
                let bytes = bytes.get(..read.unwrap_or(0)).unwrap_or_default();
                let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                String::from_utf8_lossy(text).into_owned()
            }
            None => fs::read_link(format!("/proc/{thread}/fd/{}", self.arguments[0]))
                .map_or_else(|_| self.arguments[0].to_string(), |path| path.display().to_string()),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use nix::errno::Errno;
    use nix::sys::ptrace;
    use nix::unistd::Pid;

    use super::Entered;

    pub(super) fn entered(thread: Pid) -> nix::Result<Entered> {
        let registers = ptrace::getregs(thread)?;
        Ok(Entered { number: registers.orig_rax, arguments: [registers.rdi, registers.rsi] })
    }

    /// Has a call that is about to be made not made.
    pub(super) fn leave_out(thread: Pid) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        registers.orig_rax = u64::MAX;
        ptrace::setregs(thread, registers)
    }

    /// Has a call that was made return an error.
    pub(super) fn fail(thread: Pid, errno: Errno) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        registers.rax = i64::from(-(errno as i32)).cast_unsigned();
        ptrace::setregs(thread, registers)
    }
}

/// Elsewhere a call's number lies where nix does not reach: the sweep fails there, and says so.
#[cfg(not(target_arch = "x86_64"))]
mod registers {
    use nix::errno::Errno;
    use nix::unistd::Pid;

    use super::Entered;

    pub(super) fn entered(_: Pid) -> nix::Result<Entered> {
        Err(Errno::ENOTSUP)
    }

    pub(super) fn leave_out(_: Pid) -> nix::Result<()> {
        Err(Errno::ENOTSUP)
    }

    pub(super) fn fail(_: Pid, _: Errno) -> nix::Result<()> {
        Err(Errno::ENOTSUP)
    }
}
