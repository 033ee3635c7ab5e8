//! The side that asks: a conversation with a person who is at the other end of a connection.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use zeroize::Zeroize as _;

use crate::conversation::{Answer, Conversation, ConversationError, Prompt, Style};
use crate::frame::{self, FrameError};
use crate::message::{FromFace, ToFace};
use crate::relay::{decode, encode};
use crate::{PERSON_BOUND, VERIFIER_BOUND};

/// How long an exchange may take beyond a person's time before it counts as stuck.
const MARGIN: Duration = Duration::from_secs(5);

/// The conversation at the other end of `stream`.
pub struct Relayed<'a> {
    stream: &'a UnixStream,
    allow: &'a dyn Fn(Duration),
}

impl<'a> Relayed<'a> {
    /// `allow` is told how long what comes next may take, before each question and after it: what a
    /// watchdog must know. After it that is the less the longer the answer may have been lying there:
    /// the face waits since then.
    #[must_use]
    pub fn new(stream: &'a UnixStream, allow: &'a dyn Fn(Duration)) -> Self {
        Self { stream, allow }
    }

    /// The answer, and a moment before which it had not been given.
    fn exchange(&self, prompt: &Prompt) -> Result<(FromFace, Instant), FrameError> {
        let since = Instant::now();
        send(self.stream, &ToFace::Ask(prompt.clone()))?;
        let since = frame::arrival(self.stream, since, PERSON_BOUND)?;
        Ok((decode(&frame::receive(self.stream, VERIFIER_BOUND)?)?, since))
    }
}

impl Conversation for Relayed<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        (self.allow)(PERSON_BOUND + VERIFIER_BOUND + MARGIN);
        let answer = self.exchange(prompt);
        let since = answer.as_ref().map_or_else(|_| Instant::now(), |(_, since)| *since);
        (self.allow)(VERIFIER_BOUND.saturating_sub(since.elapsed()));
        match answer {
            Ok((FromFace::Answer(answer), _)) => Ok(answer),
            Ok((FromFace::GaveUp(gave_up), _)) => Err(gave_up.into()),
            Err(_) => Err(ConversationError::Broken),
        }
    }

    fn tell(&mut self, style: Style, text: &str) {
        let mut message = ToFace::Tell(style, text.to_owned());
        // Nothing depends on it, and a face that is gone is noticed at the next question.
        let _ = send(self.stream, &message);
        if let ToFace::Tell(_, text) = &mut message {
            // It may have been a key.
            text.zeroize();
        }
    }

    fn keep_waiting(&mut self) {
        (self.allow)(VERIFIER_BOUND);
        // As with what is told.
        let _ = send(self.stream, &ToFace::Wait);
    }
}

/// Sends one frame to whoever talks with the person.
pub fn send(stream: &UnixStream, message: &ToFace) -> Result<(), FrameError> {
    frame::transmit(stream, &encode(message)?, VERIFIER_BOUND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::GaveUp;
    use std::cell::RefCell;
    use std::io::{self, Write};

    /// What `ask` makes of what the other side sends, and what it allowed for.
    fn ask(reply: Option<&[u8]>) -> (Result<Answer, ConversationError>, Vec<Duration>) {
        let (stream, face) = UnixStream::pair().unwrap();
        if let Some(reply) = reply {
            frame::transmit(&face, reply, VERIFIER_BOUND).unwrap();
        }
        face.shutdown(std::net::Shutdown::Write).unwrap();
        let allowed = RefCell::new(Vec::new());
        let allow = |bound| allowed.borrow_mut().push(bound);
        let answer = Relayed::new(&stream, &allow).ask(&Prompt::hidden("Password: "));
        let asked: ToFace = decode(&frame::receive(&face, VERIFIER_BOUND).unwrap()).unwrap();
        assert!(matches!(asked, ToFace::Ask(prompt) if prompt == Prompt::hidden("Password: ")));
        (answer, allowed.into_inner())
    }

    #[test]
    fn an_answer_is_passed_on_and_everything_else_is_none() {
        let answer = encode(&FromFace::Answer(Answer::Text("rabbit".into()))).unwrap();
        let (answered, _) = ask(Some(&answer));
        assert!(matches!(answered, Ok(Answer::Text(text)) if text.expose() == b"rabbit"));
        let gave_up = encode(&FromFace::GaveUp(GaveUp::Aborted)).unwrap();
        assert_eq!(ask(Some(&gave_up)).0.unwrap_err(), ConversationError::Aborted);
        assert_eq!(ask(Some(b"\xff\xff")).0.unwrap_err(), ConversationError::Broken);
        assert_eq!(ask(None).0.unwrap_err(), ConversationError::Broken);
    }

    #[test]
    fn an_answer_may_have_been_lying_there_since_before_its_question_was_sent() {
        const FOR_A_WHILE: Duration = Duration::from_millis(50);
        let (stream, face) = UnixStream::pair().unwrap();
        // Who asks stands still in the middle of that: there is no room for the question.
        stream.set_nonblocking(true).unwrap();
        while (&stream).write(&[0; 1024]).is_ok() {}
        let answer = encode(&FromFace::Answer(Answer::Text("rabbit".into()))).unwrap();
        frame::transmit(&face, &answer, VERIFIER_BOUND).unwrap();
        let allowed = RefCell::new(Vec::new());
        let allow = |bound| allowed.borrow_mut().push(bound);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (_silent, other) = UnixStream::pair().unwrap();
                frame::receive(&other, FOR_A_WHILE).unwrap_err();
                io::copy(&mut &face, &mut io::sink()).unwrap();
            });
            let mut relayed = Relayed::new(&stream, &allow);
            let answered = relayed.ask(&Prompt::hidden("Password: "));
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            answered.unwrap();
        });
        let allowed = allowed.into_inner();
        assert!(allowed[1] + FOR_A_WHILE <= VERIFIER_BOUND, "{allowed:?}");
    }

    #[test]
    fn a_person_is_allowed_more_time_than_a_program_and_only_while_asked() {
        let (_, allowed) = ask(None);
        assert!(
            matches!(allowed[..], [asking, after] if asking > PERSON_BOUND && after <= VERIFIER_BOUND
                && after + Duration::from_secs(1) > VERIFIER_BOUND),
            "{allowed:?}"
        );
    }
}
