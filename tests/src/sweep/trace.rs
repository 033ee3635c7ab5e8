//! A process all of whose system calls are seen, by ptrace(2).

use std::fs::{self, File};
use std::io;
use std::iter;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls;
use super::orders::{Begins, Fault, Point, Seen, Who};

/// The argument with which [`traced`] has this program become another one.
const BECOME: &str = "become";

/// A process, the only child of this one.
pub struct Tracer {
    process: Pid,
    children: SignalFd,
    threads: Vec<Thread>,
    /// Who talks to the face.
    serving: Serving,
    fault: Option<Fault>,
    /// Whether nothing is to be seen behind the fault.
    only_that: bool,
    killed: bool,
    seen: Seen,
}

/// The thread that talks to a face.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serving {
    /// Nobody is to be looked at.
    Nobody,
    /// Whoever makes such a call next.
    WhoBegins(Begins),
    /// That one, up to the next such call.
    Thread(Pid, Option<Begins>),
    /// It has done so.
    Done,
}

struct Thread {
    id: Pid,
    /// The function that it has called.
    function: u64,
    /// What that returns, whatever came of it.
    returns: Option<Errno>,
}

/// Becomes the program that [`traced`] names, where this program was started for that.
pub fn become_traced() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != BECOME) {
        return Ok(());
    }
    ptrace::traceme()?;
    let program = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    Err(Command::new(program).args(arguments).env_clear().exec())
}

/// A command whose process is traced by the thread that starts it.
pub fn traced(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(BECOME).arg(program).args(arguments);
    command
}

impl Tracer {
    /// Follows a [`traced`] command from its first call on.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGCHLD]);
        signals.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let children = SignalFd::with_flags(&signals, flags)?;
        let process = Pid::from_raw(command.spawn()?.id().try_into().map_err(io::Error::other)?);
        // The program's own copies of what the process was given: with one of them open, a face
        // would not see its connection closed.
        drop(command);
        match waitpid(process, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(process, options)?;
        ptrace::syscall(process, None)?;
        let (threads, serving, seen) = (vec![], Serving::Nobody, Seen::default());
        Ok(Self {
            process,
            children,
            threads,
            serving,
            fault: None,
            only_that: false,
            killed: false,
            seen,
        })
    }

    /// Has the fault among the calls that come now, those of the first thread being the serving one's.
    pub fn arm(&mut self, fault: Option<Fault>) {
        self.serving = Serving::Thread(self.process, None);
        (self.fault, self.only_that) = (fault, true);
    }

    /// Has the fault among the calls that come once some thread begins.
    pub fn arm_for(&mut self, begins: Begins, fault: Option<Fault>) {
        (self.serving, self.fault, self.seen) =
            (Serving::WhoBegins(begins), fault, Seen::default());
    }

    /// What was seen since then.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        self.seen.ended
    }

    /// Whether it has ended, or is done with that among which the fault was meant.
    pub fn is_done(&self) -> bool {
        self.has_ended() || self.serving == Serving::Done && !self.killed
    }

    /// Lets it run to its end, and brings that about if it does not come in time.
    pub fn run_to_its_end(&mut self, patience: Duration) -> io::Result<()> {
        let (over, watched) = mpsc::channel::<()>();
        let process = self.process;
        let watchdog = thread::spawn(move || {
            let stuck = watched.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            stuck && kill(process, Signal::SIGKILL).is_ok()
        });
        while !self.has_ended() {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Err(Errno::ECHILD) => self.seen.ended = true,
                status => self.take(status?),
            }
        }
        drop(over);
        self.seen.stuck = watchdog.join().map_err(|_| io::ErrorKind::Other)?;
        Ok(())
    }

    /// Lets it run until it has ended, or is as wanted, or `input` can be read.
    pub fn run_until(
        &mut self,
        deadline: Option<Instant>,
        input: Option<BorrowedFd>,
        wanted: impl Fn(&Self) -> bool,
    ) -> io::Result<()> {
        while !self.has_ended() && !wanted(self) {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) => {
                    let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
                    if left == Some(Duration::ZERO) || self.rest(left, input)? {
                        return Ok(());
                    }
                }
                Err(Errno::ECHILD) => self.seen.ended = true,
                status => self.take(status?),
            }
        }
        Ok(())
    }

    /// Ends it.
    pub fn end(&mut self) -> io::Result<()> {
        self.seen.stuck = true;
        let _ = kill(self.process, Signal::SIGKILL);
        self.run_until(None, None, |_| false)
    }

    /// Until a child has something to say. Whether the input has, and no child.
    fn rest(&self, longest: Option<Duration>, input: Option<BorrowedFd>) -> io::Result<bool> {
        let sources = iter::once(self.children.as_fd()).chain(input);
        let mut ready: Vec<_> = sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // Rounded down: the last fraction is spent in asking.
        let longest = longest.map_or(Ok(PollTimeout::NONE), PollTimeout::try_from);
        match poll(&mut ready, longest.map_err(io::Error::other)?) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        while let Ok(Some(_)) = self.children.read_signal() {}
        let ready: Vec<_> = ready.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        Ok(ready == [false, true])
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(thread) => {
                self.at_call(thread);
                self.go_on(thread, None);
            }
            // It has begun a thread. A thread that is traced begins with a stop.
            WaitStatus::PtraceEvent(thread, ..) | WaitStatus::Stopped(thread, Signal::SIGSTOP) => {
                self.go_on(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => self.go_on(thread, Some(signal)),
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, _, _) => {
                self.threads.retain(|known| known.id != thread);
                self.seen.ended |= thread == self.process;
                let served =
                    matches!(self.serving, Serving::Thread(serving, _) if serving == thread);
                if self.has_ended() || served {
                    self.serving = Serving::Done;
                }
            }
            _ => {}
        }
    }

    /// Up to its next call, unless no more need be seen. A thread that was killed meanwhile says so
    /// itself.
    fn go_on(&self, thread: Pid, signal: Option<Signal>) {
        let returns =
            || self.threads.iter().any(|known| known.id == thread && known.returns.is_some());
        let _ = if self.seen.about.is_some() && self.only_that && !returns() {
            ptrace::cont(thread, signal)
        } else {
            ptrace::syscall(thread, signal)
        };
    }

    /// A thread is about to make a call, or has made it.
    fn at_call(&mut self, id: Pid) {
        let Ok(info) = ptrace::syscall_info(id) else { return };
        let known = self.threads.iter().position(|thread| thread.id == id);
        let at = known.unwrap_or(self.threads.len());
        if known.is_none() {
            self.threads.push(Thread { id, function: 0, returns: None });
        }
        let Some(thread) = self.threads.get_mut(at) else { return };
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                let Ok(mut registers) = Registers::of(id) else { return };
                thread.function = registers.function();
                if let Serving::Thread(serving, Some(begins)) = self.serving
                    && serving == id
                    && begins.with(thread.function)
                {
                    self.serving = Serving::Done;
                }
                if let Some(error) = self.enter(id, &registers) {
                    let Some(thread) = self.threads.get_mut(at) else { return };
                    thread.returns = Some(error);
                    if calls::function(thread.function).is_some_and(|call| !call.done_anyway) {
                        registers.leave_out();
                        let _ = registers.put(id);
                    }
                }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                let begins = match self.serving {
                    Serving::WhoBegins(begins) => Some(begins).filter(|b| b.with(thread.function)),
                    _ => None,
                };
                if begins.is_none() && thread.returns.is_none() {
                    return;
                }
                let Ok(mut registers) = Registers::of(id) else { return };
                if let Some(errno) = thread.returns.take() {
                    registers.fail(errno);
                    let _ = registers.put(id);
                } else if !registers.failed() {
                    self.serving = Serving::Thread(id, begins);
                }
            }
            _ => {}
        }
    }

    /// Counts a call. The error that it is to return, if it is the one for that.
    fn enter(&mut self, thread: Pid, registers: &Registers) -> Option<Errno> {
        let who = match self.serving {
            Serving::Nobody | Serving::WhoBegins(_) | Serving::Done => return None,
            Serving::Thread(serving, _) if serving == thread => Who::Serving,
            Serving::Thread(..) => Who::Others,
        };
        let function = registers.function();
        if who == Who::Serving && function == libc::SYS_recvfrom.cast_unsigned() {
            self.seen.before_answer.clone_from(&self.seen.calls);
        }
        let count = &mut self.seen.calls.entry(function).or_default()[who as usize];
        let at = Point { who, function, call: *count };
        *count += 1;
        let fault = self.fault.take_if(|fault| fault.at == at)?;
        let call = calls::function(function)?;
        self.seen.about = Some(registers.about(thread, call.path));
        let Some(error) = fault.error else {
            self.killed = kill(self.process, Signal::SIGKILL).is_ok();
            return None;
        };
        call.errors.get(error).copied()
    }
}

impl Registers {
    /// The file that a call is about, or its first argument.
    fn about(&self, thread: Pid, path: Option<usize>) -> String {
        let arguments = self.arguments();
        let Some(address) = path.and_then(|at| arguments.get(at)) else {
            let [first, _] = arguments;
            return fs::read_link(format!("/proc/{thread}/fd/{first}"))
                .map_or_else(|_| format!("{first:#x}"), |path| path.display().to_string());
        };
        let mut bytes = [0; 256];
        let memory = File::open(format!("/proc/{thread}/mem"));
        let read = memory.and_then(|memory| memory.read_at(&mut bytes, *address)).unwrap_or(0);
        let bytes = bytes.get(..read).unwrap_or_default();
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

#[cfg(target_arch = "x86_64")]
struct Registers(libc::user_regs_struct);

#[cfg(target_arch = "x86_64")]
impl Registers {
    fn of(thread: Pid) -> nix::Result<Self> {
        ptrace::getregs(thread).map(Self)
    }

    fn put(self, thread: Pid) -> nix::Result<()> {
        ptrace::setregs(thread, self.0)
    }

    fn function(&self) -> u64 {
        calls::called(self.0.orig_rax, self.0.rsi)
    }

    fn arguments(&self) -> [u64; 2] {
        [self.0.rdi, self.0.rsi]
    }

    /// The call is not made.
    fn leave_out(&mut self) {
        self.0.orig_rax = u64::MAX;
    }

    /// What was called has failed.
    fn failed(&self) -> bool {
        self.0.rax.cast_signed() < 0
    }

    /// What was called returns an error.
    fn fail(&mut self, errno: Errno) {
        self.0.rax = i64::from(-(errno as i32)).cast_unsigned();
    }
}

/// Elsewhere a call's number lies where nix does not reach: no call is ever seen, and the sweep fails.
#[cfg(not(target_arch = "x86_64"))]
struct Registers;

#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    fn of(_: Pid) -> nix::Result<Self> {
        Err(Errno::ENOTSUP)
    }

    fn put(self, _: Pid) -> nix::Result<()> {
        Err(Errno::ENOTSUP)
    }

    fn function(&self) -> u64 {
        u64::MAX
    }

    fn arguments(&self) -> [u64; 2] {
        [0; 2]
    }

    fn leave_out(&mut self) {}

    fn failed(&self) -> bool {
        true
    }

    fn fail(&mut self, _: Errno) {}
}
