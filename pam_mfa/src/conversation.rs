//! The conversation with the person, through the function that the host gave to libpam.

use std::borrow::Cow;

use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, PromptKind, Secret, Style};
use pam::constants::{
    PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_SILENT, PAM_TEXT_INFO, PamFlag,
    PamMessageStyle, PamResultCode,
};
use pam::conv::Conv;
use pam::module::PamHandle;

use crate::context::{self, MAX_TEXT};
use crate::ffi::{self, Level};
use crate::{first_factor, outcome};

/// PAM's way of asking and telling.
pub struct PamConversation<'a> {
    pamh: &'a PamHandle,
    silent: bool,
}

impl<'a> PamConversation<'a> {
    /// Under `PAM_SILENT` it only asks.
    pub fn new(pamh: &'a PamHandle, flags: PamFlag) -> Self {
        Self { pamh, silent: flags & PAM_SILENT != 0 }
    }

    /// Asks a question whose answer is not shown while it is typed.
    pub fn ask_hidden(&self, text: &str) -> Result<Secret, ConversationError> {
        self.send(PAM_PROMPT_ECHO_OFF, text)
    }

    /// Whatever goes wrong, it is not.
    fn first_factor_is_right(&self, user: &str) -> bool {
        let Some(given) = context::password(self.pamh) else { return false };
        first_factor::is_right(user, given).unwrap_or_else(|error| {
            if let Some((level, line)) = outcome::complaint(&Err(error)) {
                ffi::log(self.pamh, level, &line);
            }
            false
        })
    }

    fn send(&self, style: PamMessageStyle, text: &str) -> Result<Secret, ConversationError> {
        let typed = self
            .host()
            .ok_or(ConversationError::NobodyThere)?
            .send(style, &c_text(text))
            .map_err(|code| failure(&code))?
            .ok_or(ConversationError::NobodyThere)?;
        if typed.len() > MAX_TEXT {
            // Cut short it would be another answer, and an empty one may mean something.
            ffi::log(self.pamh, Level::Notice, "an answer is too long and was not passed on");
            return Err(ConversationError::Broken);
        }
        Ok(Secret::new(typed.as_bytes().to_vec()))
    }

    /// Fetched for each message: the host may replace it in between.
    fn host(&self) -> Option<Conv<'_>> {
        self.pamh.get_item().ok().flatten()
    }
}

impl Conversation for PamConversation<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        if prompt.kind == PromptKind::FirstFactor {
            let right = self.first_factor_is_right(&prompt.text);
            return Ok(Answer::Text(if right { "y" } else { "n" }.into()));
        }
        let style = if prompt.kind.is_shown() { PAM_PROMPT_ECHO_ON } else { PAM_PROMPT_ECHO_OFF };
        let typed = match self.send(style, &prompt.text) {
            // A client that can answer one question only has had the one that matters.
            Err(ConversationError::Broken | ConversationError::NobodyThere)
                if prompt.kind == PromptKind::YesNo =>
            {
                Secret::default()
            }
            typed => typed?,
        };
        Ok(answer(typed, context::password(self.pamh).as_ref()))
    }

    fn tell(&mut self, style: Style, text: &str) {
        if self.silent {
            return;
        }
        let style = match style {
            Style::Info | Style::Qr => PAM_TEXT_INFO,
            Style::Error => PAM_ERROR_MSG,
        };
        if let Some(host) = self.host() {
            // Some hosts answer a text with nothing at all, which is reported as an error.
            let _ = host.send(style, &c_text(text));
        }
    }
}

/// sshd's password method answers every hidden prompt with the password. That it was given once
/// more is all that anybody else learns.
fn answer(typed: Secret, password: Option<&Secret>) -> Answer {
    match password {
        Some(password) if same(typed.expose(), password.expose()) => Answer::RepeatsPassword,
        _ => Answer::Text(typed),
    }
}

/// A conversation of which the first answer may be known: the code that a line with `forward_pass`
/// has split off. Everything else is between the verifier and the person.
pub struct Forwarded<C> {
    code: Option<Secret>,
    /// What the host was given when the code was split off, and may give once more.
    typed: Option<Secret>,
    person: C,
}

impl<C: Conversation> Forwarded<C> {
    /// `password` is what the code was split off from.
    pub fn new(code: Option<Secret>, password: Option<Secret>, person: C) -> Self {
        let typed = code.as_ref().map(|code| {
            let password = password.unwrap_or_default();
            // Room for all of it: a vector that grows leaves pieces of secrets in freed memory.
            let mut typed = Vec::with_capacity(password.expose().len() + code.expose().len());
            typed.extend_from_slice(password.expose());
            typed.extend_from_slice(code.expose());
            Secret::new(typed)
        });
        Self { code, typed, person }
    }
}

impl<C: Conversation> Conversation for Forwarded<C> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        // The code waits for the first question to the person.
        if prompt.kind == PromptKind::FirstFactor {
            return self.person.ask(prompt);
        }
        match self.code.take() {
            // A code is no answer to yes or no.
            Some(code) if prompt.kind != PromptKind::YesNo => Ok(Answer::Text(code)),
            _ => match self.person.ask(prompt)? {
                Answer::Text(typed) => Ok(answer(typed, self.typed.as_ref())),
                Answer::RepeatsPassword => Ok(Answer::RepeatsPassword),
            },
        }
    }

    fn tell(&mut self, style: Style, text: &str) {
        self.person.tell(style, text);
    }
}

/// Compares without stopping at the first difference.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn failure(code: &PamResultCode) -> ConversationError {
    match code {
        PamResultCode::PAM_ABORT => ConversationError::Aborted,
        _ => ConversationError::Broken,
    }
}

/// A text as C can hold it: a zero byte would end it early.
fn c_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::conversation::Scripted;

    #[test]
    fn an_answer_that_repeats_the_password_does_not_hold_it() {
        let password = Secret::from("correct horse");
        let answer = |typed: &[u8], password| super::answer(Secret::new(typed.to_vec()), password);
        assert!(matches!(answer(b"correct horse", Some(&password)), Answer::RepeatsPassword));
        for (typed, password) in [
            (&b"123456"[..], Some(&password)),
            (b"correct hors", Some(&password)),
            (b"correct horse ", Some(&password)),
            (b"", Some(&password)),
            (b"correct horse", None),
            (b"\xff\xfe", None),
        ] {
            let Answer::Text(text) = answer(typed, password) else {
                panic!("{typed:?} does not repeat the password");
            };
            assert_eq!(text.expose(), typed);
        }
    }

    fn text(answer: Result<Answer, ConversationError>) -> Secret {
        match answer {
            Ok(Answer::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_code_that_was_split_off_answers_the_first_question_and_no_other() {
        let person = Scripted::new(["654321"]);
        let (code, password) = (Some(Secret::from("123456")), Some(Secret::from("123456")));
        let mut forwarded = Forwarded::new(code, password, person);
        // Also where it is the same as the password: nobody has repeated anything.
        assert_eq!(text(forwarded.ask(&Prompt::visible("Code: "))).expose(), b"123456");
        assert!(forwarded.person.asked.is_empty());
        assert_eq!(text(forwarded.ask(&Prompt::hidden("Next: "))).expose(), b"654321");
        forwarded.tell(Style::Error, "no");
        assert_eq!(forwarded.person.asked, [Prompt::hidden("Next: ")]);
        assert_eq!(forwarded.person.told, [(Style::Error, "no".to_owned())]);
        assert!(forwarded.ask(&Prompt::hidden("Next: ")).is_err());
    }

    #[test]
    fn a_code_that_was_split_off_says_neither_yes_nor_no() {
        let code = Some(Secret::from("123456"));
        let mut forwarded = Forwarded::new(code, None, Scripted::new(["y", "654321"]));
        assert_eq!(text(forwarded.ask(&Prompt::yes_no("Sure? "))).expose(), b"y");
        assert_eq!(text(forwarded.ask(&Prompt::hidden("Code: "))).expose(), b"654321");
    }

    #[test]
    fn a_code_that_was_split_off_waits_while_the_first_factor_is_judged() {
        let [code, password] = ["123456", "rabbit"].map(|text| Some(Secret::from(text)));
        let mut forwarded = Forwarded::new(code, password, Scripted::new(["y"]));
        assert_eq!(text(forwarded.ask(&Prompt::first_factor("alice"))).expose(), b"y");
        assert_eq!(text(forwarded.ask(&Prompt::hidden("Code: "))).expose(), b"123456");
    }

    #[test]
    fn a_host_that_gives_password_and_code_once_more_repeats_them() {
        let asked_again = |code: Option<&str>, password: Option<&str>, typed: &str| {
            let [code, password] = [code, password].map(|text| text.map(Secret::from));
            let first = code.is_some().then_some("");
            let person = Scripted::new([typed]);
            let mut forwarded = Forwarded::new(code, password, person);
            first.map(|_| forwarded.ask(&Prompt::hidden("Code: ")));
            matches!(forwarded.ask(&Prompt::hidden("Code: ")), Ok(Answer::RepeatsPassword))
        };
        assert!(asked_again(Some("123456"), Some("rabbit"), "rabbit123456"));
        assert!(asked_again(Some("123456"), None, "123456"));
        assert!(!asked_again(Some("123456"), Some("rabbit"), "654321"));
        assert!(!asked_again(Some("123456"), Some("rabbit"), ""));
        assert!(!asked_again(None, Some("rabbit"), "123456"));
        assert!(!asked_again(None, None, ""));
    }

    #[test]
    fn a_zero_byte_does_not_cut_a_text() {
        assert_eq!(c_text("plain"), "plain");
        assert_eq!(c_text("a\0b\0"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn giving_up_is_told_from_breaking_off() {
        assert_eq!(failure(&PamResultCode::PAM_ABORT), ConversationError::Aborted);
        assert_eq!(failure(&PamResultCode::PAM_CONV_ERR), ConversationError::Broken);
        assert_eq!(failure(&PamResultCode::PAM_BUF_ERR), ConversationError::Broken);
    }
}
