//! The first factor, judged anew where the verifier wants to know more than that the stack got so far.
//!
//! Many stacks go on after a wrong password, and refuse in the end. That will do for a login, but a
//! device that was enrolled on the way would stay. `mfa-reauth` asks PAM's service `mfa-setup`, as
//! before every change of a record. The person is asked for nothing: a question would show a stranger
//! who is asked this.

use mfa_protocol::connect::reauthentication;
use mfa_protocol::message::ReAuthentication;
use mfa_protocol::{
    Answer, Conversation, ConversationError, FIRST_FACTOR_BOUND, Prompt, PromptKind, Reply, Secret,
    Style,
};

use crate::outcome::NoReply;

/// Whether PAM accepts the password that the host was `given`.
pub fn is_right(user: &str, given: Secret) -> Result<bool, NoReply> {
    let user = user.to_owned();
    let request = ReAuthentication { user, first_factor: true, at_login: true };
    let mut password = PasswordAlone(Some(given));
    let reply = reauthentication()?.relay_within(FIRST_FACTOR_BOUND, &request, &mut password)?;
    Ok(matches!(reply, Reply::Done { user } if user == request.user))
}

/// Answers one hidden question, and has nobody for others, or for what is told.
struct PasswordAlone(Option<Secret>);

impl Conversation for PasswordAlone {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        let password = self.0.take_if(|_| prompt.kind == PromptKind::Hidden);
        password.map(Answer::Text).ok_or(ConversationError::NobodyThere)
    }

    fn tell(&mut self, _: Style, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_answers_one_hidden_question_and_no_other() {
        let mut password = PasswordAlone(Some(Secret::from("rabbit hole")));
        assert!(password.ask(&Prompt::visible("Name: ")).is_err());
        assert!(password.ask(&Prompt::yes_no("Sure? ")).is_err());
        let answer = password.ask(&Prompt::hidden("Password: ")).unwrap().into_text();
        assert_eq!(answer.expose(), b"rabbit hole");
        assert!(password.ask(&Prompt::hidden("Another one: ")).is_err());
    }
}
