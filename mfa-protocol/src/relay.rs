//! The faces' side: one request, a conversation relayed, one reply.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::conversation::{Conversation, ConversationError};
use crate::frame::{self, FrameError};
use crate::message::{FromFace, Reply, ToFace};
use crate::{FACE_BOUND, PERSON_BOUND, PROTOCOL_VERSION};

/// How often the conversation is let know that it is still waited: less than half of what a face
/// waits.
const GLANCE: Duration = Duration::from_secs(5);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The exchange with the verifier failed.
    #[error("the verifier cannot be used: {0}")]
    Verifier(#[from] FrameError),
    /// There was no answer to a question.
    #[error(transparent)]
    Conversation(#[from] ConversationError),
}

/// Sends `request` over `stream` and relays the conversation until the verifier replies.
///
/// Waits at most [`FACE_BOUND`] for each frame; only `conversation` may take longer. The stream is
/// of no further use afterwards.
pub fn relay<T: Serialize>(
    stream: &UnixStream,
    request: &T,
    conversation: &mut dyn Conversation,
) -> Result<Reply, RelayError> {
    relay_within(FACE_BOUND, stream, request, conversation)
}

/// The same with another bound for each frame.
pub fn relay_within<T: Serialize>(
    bound: Duration,
    stream: &UnixStream,
    request: &T,
    conversation: &mut dyn Conversation,
) -> Result<Reply, RelayError> {
    match say(stream, request, bound) {
        // Who refuses everybody may have done so before it was asked, and have said why.
        Ok(()) | Err(FrameError::HungUp) => follow(bound, stream, conversation),
        Err(error) => Err(error.into()),
    }
}

/// Sends the request alone; the rest is [`follow`].
pub(crate) fn say<T: Serialize>(
    stream: &UnixStream,
    request: &T,
    bound: Duration,
) -> Result<(), FrameError> {
    let request = encode_after(&PROTOCOL_VERSION.to_le_bytes(), request)?;
    frame::transmit(stream, &request, bound)
}

/// Relays the conversation about a request that is on its way.
pub(crate) fn follow(
    bound: Duration,
    stream: &UnixStream,
    conversation: &mut dyn Conversation,
) -> Result<Reply, RelayError> {
    let mut end = Instant::now() + PERSON_BOUND;
    loop {
        let left = wait(stream, bound, conversation)?;
        match decode(&frame::receive(stream, left)?)? {
            ToFace::Ask(prompt) => match conversation.ask(&prompt) {
                Ok(answer) => {
                    send(stream, &FromFace::Answer(answer), bound)?;
                    end = Instant::now() + PERSON_BOUND;
                }
                Err(error) => {
                    // The verifier must learn that nobody answers, or it would wait for a person;
                    // if it is gone already, that is what was wanted.
                    let _ = send(stream, &FromFace::GaveUp(error.into()), bound);
                    return Err(error.into());
                }
            },
            // However often it is asked for.
            ToFace::Wait if Instant::now() > end => return Err(FrameError::TimedOut.into()),
            ToFace::Wait => conversation.keep_waiting(),
            ToFace::Tell(style, text) => conversation.tell(style, &Zeroizing::new(text)),
            ToFace::Done(reply) => return Ok(*reply),
        }
    }
}

/// Waits until there is something to read, and lets the conversation know now and then. What is left
/// of `bound` then.
fn wait(
    stream: &UnixStream,
    bound: Duration,
    conversation: &mut dyn Conversation,
) -> Result<Duration, FrameError> {
    let deadline = Instant::now() + bound;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FrameError::TimedOut);
        }
        let nap = PollTimeout::try_from(left.min(GLANCE)).unwrap_or(PollTimeout::ZERO);
        let mut ready = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, nap) {
            Ok(0) => conversation.keep_waiting(),
            Ok(_) => return Ok(left),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}

fn send<T: Serialize>(stream: &UnixStream, message: &T, bound: Duration) -> Result<(), FrameError> {
    frame::transmit(stream, &encode(message)?, bound)
}

/// Encodes a message into bytes that are wiped when dropped.
pub fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    encode_after(&[], message)
}

pub(crate) fn encode_after<T: Serialize>(
    prefix: &[u8],
    message: &T,
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let encode = || -> postcard::Result<Vec<u8>> {
        // Room for all of it: a vector that grows leaves pieces of secrets in freed memory.
        let size = postcard::experimental::serialized_size(message)?;
        let mut payload = Vec::with_capacity(prefix.len() + size);
        payload.extend_from_slice(prefix);
        postcard::to_extend(message, payload)
    };
    encode().map(Zeroizing::new).map_err(|_| FrameError::Malformed)
}

/// Decodes a message that fills the whole payload.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Answer, Prompt, Scripted, Style};
    use crate::message::{LoginRequest, Request};
    use crate::{Outcome, Verdict};

    const SOON: Duration = Duration::from_secs(2);

    fn login() -> Request {
        Request::Login(Box::new(LoginRequest { user: b"alice".to_vec(), ..Default::default() }))
    }

    fn denied() -> ToFace {
        ToFace::Done(Box::new(Reply::Outcome(Outcome {
            verdict: Verdict::Denied,
            user: None,
            factor: None,
            label: None,
        })))
    }

    /// A verifier that sends `frames` and returns what it was answered.
    fn verifier(stream: UnixStream, frames: Vec<ToFace>) -> std::thread::JoinHandle<Vec<FromFace>> {
        std::thread::spawn(move || {
            frame::receive(&stream, SOON).unwrap();
            let mut answers = Vec::new();
            for message in frames {
                frame::transmit(&stream, &encode(&message).unwrap(), SOON).unwrap();
                if matches!(message, ToFace::Ask(_)) {
                    answers.push(decode(&frame::receive(&stream, SOON).unwrap()).unwrap());
                }
            }
            answers
        })
    }

    #[test]
    fn questions_are_asked_texts_are_told_and_the_reply_ends_it() {
        let (face, other) = UnixStream::pair().unwrap();
        let verifier = verifier(
            other,
            vec![
                ToFace::Tell(Style::Info, "hello".into()),
                ToFace::Ask(Prompt::hidden("Code: ")),
                denied(),
            ],
        );
        let mut script = Scripted::new(["123456"]);
        let reply = relay(&face, &login(), &mut script).unwrap();
        assert!(matches!(reply, Reply::Outcome(Outcome { verdict: Verdict::Denied, .. })));
        assert_eq!(script.asked, [Prompt::hidden("Code: ")]);
        assert_eq!(script.told, [(Style::Info, "hello".to_owned())]);
        let answers = verifier.join().unwrap();
        let [FromFace::Answer(Answer::Text(code))] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert_eq!(code.expose(), b"123456");
    }

    #[test]
    fn a_conversation_that_fails_is_told_to_the_verifier_and_is_no_reply() {
        let (face, other) = UnixStream::pair().unwrap();
        let verifier = verifier(other, vec![ToFace::Ask(Prompt::hidden("Code: "))]);
        let error = relay(&face, &login(), &mut Scripted::default()).unwrap_err();
        assert!(matches!(error, RelayError::Conversation(ConversationError::NobodyThere)));
        assert!(matches!(verifier.join().unwrap().as_slice(), [FromFace::GaveUp(_)]));
    }

    #[test]
    fn garbage_and_trailing_bytes_are_refused() {
        for garbage in [vec![0xff], vec![0x01, 0x00, 0x01, b'x', 0x00]] {
            let (face, other) = UnixStream::pair().unwrap();
            let peer = std::thread::spawn(move || {
                frame::receive(&other, SOON).unwrap();
                frame::transmit(&other, &garbage, SOON).unwrap();
                other
            });
            let error = relay(&face, &login(), &mut Scripted::default()).unwrap_err();
            assert!(matches!(error, RelayError::Verifier(FrameError::Malformed)), "{error}");
            drop(peer.join());
        }
    }

    #[test]
    fn an_encoded_secret_was_never_moved_to_make_room() {
        let answer = FromFace::Answer(Answer::Text("x".repeat(1000).into()));
        let payload = encode(&answer).unwrap();
        assert_eq!(payload.capacity(), payload.len());
    }

    #[test]
    fn what_was_said_before_the_request_came_is_heard() {
        let (face, other) = UnixStream::pair().unwrap();
        frame::transmit(&other, &encode(&denied()).unwrap(), SOON).unwrap();
        drop(other);
        let reply = relay(&face, &login(), &mut Scripted::default()).unwrap();
        assert!(matches!(reply, Reply::Outcome(_)));
    }

    #[test]
    fn who_asks_to_be_waited_for_is_waited_for() {
        let (face, other) = UnixStream::pair().unwrap();
        let verifier = verifier(other, vec![ToFace::Wait, ToFace::Wait, denied()]);
        let reply = relay(&face, &login(), &mut Scripted::default()).unwrap();
        assert!(matches!(reply, Reply::Outcome(_)));
        verifier.join().unwrap();
    }

    #[test]
    fn a_silent_program_is_waited_for_as_long_as_was_said() {
        let (face, _other) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        let bound = Duration::from_millis(50);
        let error = relay_within(bound, &face, &login(), &mut Scripted::default()).unwrap_err();
        assert!(matches!(error, RelayError::Verifier(FrameError::TimedOut)), "{error}");
        assert!((bound..FACE_BOUND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_verifier_that_dies_is_an_error() {
        let (face, other) = UnixStream::pair().unwrap();
        drop(other);
        let error = relay(&face, &login(), &mut Scripted::default()).unwrap_err();
        assert!(matches!(error, RelayError::Verifier(FrameError::HungUp)), "{error}");
    }
}
