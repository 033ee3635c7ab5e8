//! Frames: a length (4 bytes, little endian, at most [`MAX_FRAME`]) and that many bytes.
//!
//! Each call has one deadline for the whole frame, so a peer that sends a byte now and then is no
//! slower to be given up than one that sends nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use zeroize::Zeroizing;

/// How long [`arrival`] waits at a time: it is as exact as two of these are long.
const GLANCE: Duration = Duration::from_millis(500);

/// The largest payload of a frame.
pub const MAX_FRAME: usize = 64 * 1024;

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer closed its end, in the middle of a frame or between two.
    #[error("the other side hung up")]
    HungUp,
    /// The deadline passed first.
    #[error("the other side did not answer in time")]
    TimedOut,
    /// The announced length is zero or more than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is out of bounds")]
    OutOfBounds(usize),
    /// The payload is not what this side of the exchange expects.
    #[error("a frame is malformed or out of order")]
    Malformed,
    /// The peer speaks a version that this build does not.
    #[error("protocol version {0} is not spoken here")]
    Version(u16),
    /// Anything else that the socket said.
    #[error("the socket failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::HungUp,
            _ => Self::Io(error),
        }
    }
}

/// Waits for the first byte of a frame, or for the peer to hang up, before `bound` has passed. Returns
/// a moment before which it had not come, if it had not come before `since`.
///
/// That moment is at most a second old, unless this process stood still since then: the byte may have
/// come at any time meanwhile, and who sent it may have stopped waiting.
pub fn arrival(
    stream: &UnixStream,
    since: Instant,
    bound: Duration,
) -> Result<Instant, FrameError> {
    let deadline = Instant::now() + bound;
    watch(since, deadline, Instant::now, |until| wait(stream, PollFlags::POLLIN, until))
}

/// `look` says whether it has come, which it may have waited for until then. It has not come before a
/// look that did not find it began; that the look is over says nothing, since this process may stand
/// still before the next one.
fn watch(
    mut since: Instant,
    deadline: Instant,
    now: impl Fn() -> Instant,
    look: impl Fn(Instant) -> Result<bool, FrameError>,
) -> Result<Instant, FrameError> {
    loop {
        let begun = now();
        if look(deadline.min(begun + GLANCE))? {
            return Ok(since);
        }
        since = begun;
        if deadline <= now() {
            return Err(FrameError::TimedOut);
        }
    }
}

/// Waits until the stream is ready, also to say that it has failed, or until then.
fn wait(stream: &UnixStream, ready: PollFlags, until: Instant) -> Result<bool, FrameError> {
    let left = until.saturating_duration_since(Instant::now());
    // Rounded up, so that it does not return just before that.
    let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
    match poll(&mut [PollFd::new(stream.as_fd(), ready)], timeout.unwrap_or(PollTimeout::MAX)) {
        Err(Errno::EINTR) => Ok(false),
        ready => Ok(ready.map_err(io::Error::from)? > 0),
    }
}

/// Receives one payload before `bound` has passed. It is wiped when dropped, since it may hold what a person typed.
pub fn receive(stream: &UnixStream, bound: Duration) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let deadline = Instant::now() + bound;
    let mut header = [0u8; 4];
    read_exact(stream, &mut header, deadline)?;
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_FRAME {
        return Err(FrameError::OutOfBounds(length));
    }
    let mut payload = Zeroizing::new(vec![0u8; length]);
    read_exact(stream, &mut payload, deadline)?;
    Ok(payload)
}

/// Sends one payload before `bound` has passed.
pub fn transmit(stream: &UnixStream, payload: &[u8], bound: Duration) -> Result<(), FrameError> {
    let length = payload.len();
    let header = match u32::try_from(length) {
        Ok(announced) if length > 0 && length <= MAX_FRAME => announced.to_le_bytes(),
        _ => return Err(FrameError::OutOfBounds(length)),
    };
    let deadline = Instant::now() + bound;
    // One write for header and payload: one wake-up of the peer.
    let mut frame = Zeroizing::new(Vec::with_capacity(header.len() + length));
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    let mut rest = frame.as_slice();
    // MSG_NOSIGNAL: a verifier that died must not kill sshd with SIGPIPE.
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    while !rest.is_empty() {
        let sent = attempt(stream, PollFlags::POLLOUT, deadline, || {
            send(stream.as_raw_fd(), rest, flags)
        })?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

fn read_exact(
    stream: &UnixStream,
    mut buffer: &mut [u8],
    deadline: Instant,
) -> Result<(), FrameError> {
    while !buffer.is_empty() {
        let count = attempt(stream, PollFlags::POLLIN, deadline, || {
            recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)
        })?;
        if count == 0 {
            return Err(FrameError::HungUp);
        }
        buffer = buffer.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}

/// Tries it, and waits for the stream when there is nothing to be done with it: in that order, since
/// most that is waited for has come by then.
fn attempt(
    stream: &UnixStream,
    ready: PollFlags,
    deadline: Instant,
    mut act: impl FnMut() -> nix::Result<usize>,
) -> Result<usize, FrameError> {
    loop {
        if deadline <= Instant::now() {
            return Err(FrameError::TimedOut);
        }
        match act() {
            Ok(count) => return Ok(count),
            Err(Errno::EAGAIN) => _ = wait(stream, ready, deadline)?,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    use nix::sys::socket::{setsockopt, sockopt};

    const SOON: Duration = Duration::from_millis(50);

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    #[test]
    fn a_payload_arrives_as_it_was_sent() {
        let (a, b) = pair();
        transmit(&a, b"hello", SOON).unwrap();
        assert_eq!(receive(&b, SOON).unwrap().as_slice(), b"hello");
    }

    #[test]
    fn a_long_payload_arrives_whole_in_pieces() {
        const LONG_ENOUGH: Duration = Duration::from_secs(30);
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_FRAME).collect();
        let (a, b) = pair();
        // Room for a few bytes at a time, so that each side often has to wait for the other.
        setsockopt(&a, sockopt::SndBuf, &0).unwrap();
        let received = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| receive(&b, LONG_ENOUGH));
            transmit(&a, &payload, LONG_ENOUGH).unwrap();
            receiving.join().unwrap()
        });
        assert!(*received.unwrap() == payload);
    }

    #[test]
    fn lengths_of_zero_and_beyond_the_bound_are_refused_unread() {
        for length in [0u32, 65_537, u32::MAX] {
            let (mut a, b) = pair();
            a.write_all(&length.to_le_bytes()).unwrap();
            assert!(matches!(receive(&b, SOON), Err(FrameError::OutOfBounds(_))), "{length}");
        }
        let (a, _b) = pair();
        assert!(matches!(transmit(&a, &[], SOON), Err(FrameError::OutOfBounds(0))));
        let oversized = vec![0; MAX_FRAME + 1];
        assert!(matches!(transmit(&a, &oversized, SOON), Err(FrameError::OutOfBounds(_))));
    }

    #[test]
    fn silence_and_half_a_frame_end_at_the_deadline() {
        let (mut a, b) = pair();
        assert!(matches!(receive(&b, SOON), Err(FrameError::TimedOut)));
        a.write_all(&[9, 0, 0, 0, 1, 2]).unwrap();
        assert!(matches!(receive(&b, SOON), Err(FrameError::TimedOut)));
    }

    #[test]
    fn what_has_come_or_never_will_is_noticed_and_silence_ends_at_the_deadline() {
        let (mut a, b) = pair();
        let before = Instant::now();
        assert!(matches!(arrival(&b, before, SOON), Err(FrameError::TimedOut)));
        assert!(before.elapsed() >= SOON);
        a.write_all(&[9]).unwrap();
        assert_eq!(arrival(&b, before, SOON).unwrap(), before);
        let (a, b) = pair();
        drop(a);
        assert!(arrival(&b, before, SOON).is_ok());
    }

    #[test]
    fn what_came_while_this_process_stood_still_between_two_looks_may_be_as_old_as_the_first() {
        let asked = Instant::now();
        let (clock, looks) = (Cell::new(asked), Cell::new(0));
        let look = |until| {
            looks.set(looks.get() + 1);
            // The third one finds it. Before that the process is stopped for a minute.
            let stopped = if looks.get() == 2 { Duration::from_secs(60) } else { Duration::ZERO };
            clock.set(until + stopped);
            Ok(looks.get() == 3)
        };
        let deadline = asked + Duration::from_secs(300);
        let since = watch(asked, deadline, || clock.get(), look).unwrap();
        assert_eq!(since, asked + GLANCE);
    }

    #[test]
    fn a_peer_that_hangs_up_is_an_error_and_no_signal() {
        let (a, b) = pair();
        drop(b);
        assert!(matches!(transmit(&a, b"x", SOON), Err(FrameError::HungUp)));
        assert!(matches!(receive(&a, SOON), Err(FrameError::HungUp)));
    }
}
