//! A face of root's with a watch: it reaches the verifier as `pam_mfa.so` does, without libpam around
//! it, whose own time would hide the verifier's.
//!
//! `timed-face` reads from standard input pairs of a [`Request`] and an answer in JSON, and prints a
//! list of [`Timed`].
#![forbid(unsafe_code)]

use std::io;
use std::time::Instant;

use mfa_protocol::connect::Verifier;
use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, Request, Style};
use mfa_tests::timed::Timed;

fn main() -> io::Result<()> {
    let requests: Vec<(Request, String)> = serde_json::from_reader(io::stdin())?;
    let timed: Vec<Timed> =
        requests.iter().map(|(request, answer)| time(request, answer)).collect();
    println!("{}", serde_json::to_string(&timed)?);
    Ok(())
}

fn time(request: &Request, answer: &str) -> Timed {
    let begun = Instant::now();
    let mut person = Person { answer, asked: begun, answered: begun };
    let connection = Verifier::default().connect(request).unwrap();
    let reply = connection.relay(request, &mut person).unwrap();
    let ended = Instant::now();
    Timed { to_prompt: person.asked - begun, to_reply: ended - person.answered, reply }
}

struct Person<'a> {
    answer: &'a str,
    asked: Instant,
    answered: Instant,
}

impl Conversation for Person<'_> {
    fn ask(&mut self, _: &Prompt) -> Result<Answer, ConversationError> {
        self.asked = Instant::now();
        let answer = Answer::Text(self.answer.into());
        self.answered = Instant::now();
        Ok(answer)
    }

    fn tell(&mut self, _: Style, _: &str) {}
}
