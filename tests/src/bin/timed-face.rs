//! A face of root's with a watch: it reaches the verifier as `pam_mfa.so` does, without libpam around
//! it, whose own time would hide the verifier's.
//!
//! `timed-face` reads from standard input pairs of a [`Request`] and its answers in JSON, a line each, and
//! prints a list of [`Timed`]. What is asked behind the last answer is answered by it once more.
#![forbid(unsafe_code)]

use std::io;
use std::str::Split;
use std::time::Instant;

use mfa_protocol::connect::Verifier;
use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, Request, Style};
use mfa_tests::timed::Timed;

fn main() -> io::Result<()> {
    let requests: Vec<(Request, String)> = serde_json::from_reader(io::stdin())?;
    let timed: Vec<Timed> =
        requests.iter().map(|(request, answers)| time(request, answers)).collect();
    println!("{}", serde_json::to_string(&timed)?);
    Ok(())
}

fn time(request: &Request, answers: &str) -> Timed {
    let begun = Instant::now();
    let mut person =
        Person { answers: answers.split('\n'), answer: "", asked: begun, answered: begun };
    let connection = Verifier::default().connect(request).unwrap();
    let reply = connection.relay(request, &mut person).unwrap();
    let ended = Instant::now();
    Timed { to_prompt: person.asked - begun, to_reply: ended - person.answered, reply }
}

struct Person<'a> {
    answers: Split<'a, char>,
    answer: &'a str,
    asked: Instant,
    answered: Instant,
}

impl Conversation for Person<'_> {
    fn ask(&mut self, _: &Prompt) -> Result<Answer, ConversationError> {
        self.asked = Instant::now();
        self.answer = self.answers.next().unwrap_or(self.answer);
        let answer = Answer::Text(self.answer.into());
        self.answered = Instant::now();
        Ok(answer)
    }

    fn tell(&mut self, _: Style, _: &str) {}
}
