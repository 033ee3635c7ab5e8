//! The person whom PAM's modules ask.

use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, Secret, Style};

use crate::pam::Message;

/// `PAM_MAX_RESP_SIZE` of Linux-PAM, its zero byte included: modules may rely on it.
const LONGEST: usize = 511;

/// Why a module got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody answered.
    GaveUp(ConversationError),
    /// The answer cannot be given to a module whole.
    Unfit,
}

/// One person at the other end of one conversation.
pub struct Person<'a> {
    conversation: &'a mut dyn Conversation,
    failed: Option<NoAnswer>,
}

impl<'a> Person<'a> {
    pub fn new(conversation: &'a mut dyn Conversation) -> Self {
        Self { conversation, failed: None }
    }

    /// The response to one message; a text has none.
    ///
    /// After the first question without an answer everything is over: the next module in the stack
    /// would ask somebody who has gone.
    pub fn answer(&mut self, message: &Message) -> Result<Option<Secret>, NoAnswer> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        // Without an answer there is none, also where asking for it panics.
        self.failed = Some(NoAnswer::GaveUp(ConversationError::Broken));
        let answer = self.converse(message);
        self.failed = answer.as_ref().err().copied();
        answer
    }

    /// Why there was no answer, where there was none.
    pub fn failed(&self) -> Option<NoAnswer> {
        self.failed
    }

    fn converse(&mut self, message: &Message) -> Result<Option<Secret>, NoAnswer> {
        let prompt = match message {
            Message::Hidden(text) => Prompt::hidden(text),
            Message::Visible(text) => Prompt::visible(text),
            Message::Error(text) => {
                self.conversation.tell(Style::Error, text);
                return Ok(None);
            }
            Message::Info(text) => {
                self.conversation.tell(Style::Info, text);
                return Ok(None);
            }
        };
        match self.conversation.ask(&prompt).map_err(NoAnswer::GaveUp)? {
            // C ends a text at its first zero byte: cut short it would be another answer.
            Answer::Text(text) if text.expose().len() <= LONGEST && !text.expose().contains(&0) => {
                Ok(Some(text))
            }
            Answer::Text(_) | Answer::RepeatsPassword => Err(NoAnswer::Unfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::conversation::Scripted;

    #[test]
    fn prompts_are_asked_and_texts_told_as_they_are() {
        let mut script = Scripted::new(["rabbit hole", "42"]);
        let mut person = Person::new(&mut script);
        let mut answer = |message| person.answer(&message).unwrap();
        let password = answer(Message::Hidden("Password: ".into())).unwrap();
        assert_eq!(password.expose(), b"rabbit hole");
        assert!(answer(Message::Info("Touch the device.".into())).is_none());
        assert!(answer(Message::Error("Not that one.".into())).is_none());
        assert_eq!(answer(Message::Visible("Which? ".into())).unwrap().expose(), b"42");
        assert_eq!(person.failed(), None);
        assert_eq!(script.asked, [Prompt::hidden("Password: "), Prompt::visible("Which? ")]);
        let told = [(Style::Info, "Touch the device."), (Style::Error, "Not that one.")];
        assert_eq!(script.told, told.map(|(style, text)| (style, text.to_owned())));
    }

    #[test]
    fn who_has_gone_is_asked_nothing_more() {
        let mut script = Scripted::default();
        let mut person = Person::new(&mut script);
        for _ in 0..3 {
            let error = person.answer(&Message::Hidden("Password: ".into())).unwrap_err();
            assert_eq!(error, NoAnswer::GaveUp(ConversationError::NobodyThere));
        }
        assert!(person.answer(&Message::Info("Welcome.".into())).is_err());
        assert_eq!((script.asked.len(), script.told.len()), (1, 0));
    }

    #[test]
    fn an_answer_that_c_cannot_hold_whole_is_none() {
        let asked = Message::Hidden("Password: ".into());
        for (answer, fits) in [
            ("x".repeat(511), true),
            ("x".repeat(512), false),
            ("rabbit\0hole".to_owned(), false),
            (String::new(), true),
        ] {
            let mut script = Scripted::new([answer.as_str()]);
            let mut person = Person::new(&mut script);
            assert_eq!(person.answer(&asked).is_ok(), fits, "{}", answer.len());
            assert_eq!(person.failed(), (!fits).then_some(NoAnswer::Unfit));
        }
        let mut script = Scripted::default().then_repeats_password();
        assert_eq!(Person::new(&mut script).answer(&asked).unwrap_err(), NoAnswer::Unfit);
    }
}
