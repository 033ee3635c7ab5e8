//! The first factor, judged anew where the verifier wants to know more than that the stack got so far.
//!
//! Many stacks go on after a wrong password, and refuse in the end. That will do for a login, but a
//! device that was enrolled on the way would stay. `mfa-reauth` asks PAM's service `mfa-setup`, as
//! before every change of a record; what the host was given is not asked for again.

use mfa_protocol::connect::reauthentication;
use mfa_protocol::message::ReAuthentication;
use mfa_protocol::{
    Answer, Conversation, ConversationError, Prompt, PromptKind, Reply, Secret, Style,
};

use crate::outcome::NoReply;

/// Whether PAM accepts the password that was `given`, or else the one that the person is asked for.
pub fn is_right(
    user: &str,
    given: Option<Secret>,
    ask: &dyn Fn(&str) -> Result<Secret, ConversationError>,
) -> Result<bool, NoReply> {
    let request = ReAuthentication { user: user.to_owned(), first_factor: true };
    let mut password = PasswordAlone { given, ask, answered: false };
    let reply = reauthentication()?.relay(&request, &mut password)?;
    Ok(matches!(reply, Reply::Done { user: proven } if proven == user))
}

/// Answers one hidden question, and has nobody for others. Nothing is told: it would tell a stranger
/// who is asked this.
struct PasswordAlone<'a> {
    given: Option<Secret>,
    ask: &'a dyn Fn(&str) -> Result<Secret, ConversationError>,
    answered: bool,
}

impl Conversation for PasswordAlone<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        if self.answered || prompt.kind != PromptKind::Hidden {
            return Err(ConversationError::NobodyThere);
        }
        self.answered = true;
        let password = match self.given.take() {
            Some(given) => given,
            None => (self.ask)(&prompt.text)?,
        };
        Ok(Answer::Text(password))
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(_: &str) -> Result<Secret, ConversationError> {
        Err(ConversationError::NobodyThere)
    }

    fn text(answer: Result<Answer, ConversationError>) -> Vec<u8> {
        answer.unwrap().into_text().expose().to_vec()
    }

    #[test]
    fn a_password_that_was_given_is_not_asked_for_and_answers_one_question() {
        let given = Some(Secret::from("rabbit hole"));
        let mut password = PasswordAlone { given, ask: &nobody, answered: false };
        assert_eq!(text(password.ask(&Prompt::hidden("Password: "))), b"rabbit hole");
        assert!(password.ask(&Prompt::hidden("Another one: ")).is_err());
    }

    #[test]
    fn who_gave_none_is_asked_for_a_password_and_nothing_else() {
        let ask = |text: &str| Ok(Secret::from(text));
        let mut password = PasswordAlone { given: None, ask: &ask, answered: false };
        assert!(password.ask(&Prompt::visible("Name: ")).is_err());
        assert!(password.ask(&Prompt::yes_no("Sure? ")).is_err());
        assert_eq!(text(password.ask(&Prompt::hidden("Password: "))), b"Password: ");
        assert!(password.ask(&Prompt::hidden("Password: ")).is_err());
    }
}
