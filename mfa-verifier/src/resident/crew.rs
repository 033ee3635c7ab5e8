//! The threads of the resident verifier.
//!
//! Each waits for a connection itself, so that none has to be handed over, and there is always one
//! more that waits. Where there cannot be, a connection is closed at once: its face starts a verifier
//! of its own.
//!
//! They wait by epoll(7) and not in accept(2), since that wakes who has waited longest, on a processor
//! that has been idle as long: epoll wakes who came last.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mfa_protocol::message::ToFace;
use mfa_protocol::relayed::send;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{getsockopt, sockopt};

/// Connections at once. Most wait for people: hundreds may, and cost next to nothing.
pub const MOST: usize = 320;

/// Threads that wait for connections when there are none.
const SPARE: usize = 4;

/// Bytes of a thread's stack, of which it gets only what it uses. Debug builds of sled use most.
const STACK: usize = 1024 * 1024;

/// How long to wait before the next try where no connection can be had.
const PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that a login is sure to find, or it is not greeted: it needs some ten, most of them
/// for its user's db.
const ROOM: u64 = 32;

/// What is done with a connection that was greeted, and not before that moment.
type Serve = Box<dyn Fn(&UnixStream, Instant) + Send + Sync>;

/// Those who serve connections.
pub struct Crew {
    listener: UnixListener,
    /// Wakes one thread when there is a connection, and then nobody until that has taken it.
    arrivals: Epoll,
    serve: Serve,
    duties: Mutex<Duties>,
    /// Told when nobody is served any more.
    at_rest: Condvar,
    /// A descriptor to give up, so that a connection can be taken and closed when there is none left.
    reserve: Mutex<Option<File>>,
}

#[derive(Default)]
struct Duties {
    serving: usize,
    waiting: usize,
    ending: bool,
}

impl Crew {
    /// Begins to serve connections, by `serve`.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub fn begin(listener: UnixListener, serve: Serve) -> io::Result<&'static Self> {
        listener.set_nonblocking(true)?;
        let arrivals = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        arrivals.add(&listener, next_connection())?;
        let crew: &'static Self = Box::leak(Box::new(Self {
            listener,
            arrivals,
            serve,
            duties: Mutex::default(),
            at_rest: Condvar::new(),
            reserve: Mutex::new(reserve()),
        }));
        crew.hire(&mut crew.duties())?;
        Ok(crew)
    }

    /// Takes no more connections, and waits for those that are served, but no longer than `patience`.
    pub fn end(&self, patience: Duration) {
        let mut duties = self.duties();
        duties.ending = true;
        let served = self.at_rest.wait_timeout_while(duties, patience, |left| left.serving > 0);
        drop(served.unwrap_or_else(PoisonError::into_inner));
    }

    fn hire(&'static self, duties: &mut Duties) -> io::Result<()> {
        let thread = thread::Builder::new().name("connection".to_owned()).stack_size(STACK);
        thread.spawn(|| self.work())?;
        duties.waiting += 1;
        Ok(())
    }

    fn work(&'static self) {
        loop {
            match self.next() {
                Ok(stream) if self.take_on() => {
                    self.attend(&stream);
                    // Before anybody waits for the end: who was served sees it at once.
                    drop(stream);
                    if !self.done() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) if is_out_of_descriptors(&error) => {}
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits for the next connection.
    fn next(&self) -> io::Result<UnixStream> {
        self.arrivals.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        let accepted = self.listener.accept();
        if accepted.as_ref().is_err_and(is_out_of_descriptors) {
            self.turn_away();
        }
        // Nobody would be woken any more.
        while self.arrivals.modify(&self.listener, &mut next_connection()).is_err() {
            thread::sleep(PAUSE);
        }
        accepted.map(|(stream, _)| stream)
    }

    fn attend(&self, stream: &UnixStream) {
        let since = Instant::now();
        let root = getsockopt(stream, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == 0);
        if root && has_room(stream) && send(stream, &ToFace::Wait).is_ok() {
            // What is served catches its own panics, and answers them; here it is only counted right.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.serve)(stream, since)));
        }
    }

    /// Whether the connection can be served: another thread must wait for the next one.
    fn take_on(&'static self) -> bool {
        let mut duties = self.duties();
        let full = duties.ending || duties.serving >= MOST;
        if full || duties.waiting == 1 && self.hire(&mut duties).is_err() {
            return false;
        }
        duties.waiting -= 1;
        duties.serving += 1;
        true
    }

    /// Whether this thread is to wait for another connection.
    fn done(&self) -> bool {
        let mut duties = self.duties();
        duties.serving -= 1;
        if duties.serving == 0 {
            self.at_rest.notify_all();
        }
        let wanted = duties.waiting < SPARE;
        duties.waiting += usize::from(wanted);
        wanted
    }

    /// Takes the next connection, for which there is no descriptor, and closes it.
    fn turn_away(&self) {
        let mut held = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        if held.take().is_none() {
            thread::sleep(PAUSE);
        }
        drop(self.listener.accept());
        *held = reserve();
    }

    fn duties(&self) -> MutexGuard<'_, Duties> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there are descriptors for more than the connection itself, which has the lowest that was
/// free.
fn has_room(stream: &UnixStream) -> bool {
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or(u64::MAX);
    getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(most, _)| number.saturating_add(ROOM) < most)
}

/// That there is a connection, once.
fn next_connection() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, 0)
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE].iter().any(|lack| error.raw_os_error() == Some(*lack as i32))
}
