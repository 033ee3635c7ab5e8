//! The conversation with the person, through the function that the host gave to libpam.

use std::borrow::Cow;

use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, PromptKind, Secret, Style};
use pam::constants::{
    PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_SILENT, PAM_TEXT_INFO, PamFlag,
    PamResultCode,
};
use pam::conv::Conv;
use pam::module::PamHandle;

use crate::context::{self, MAX_TEXT};
use crate::ffi::{self, Level};

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

    /// Fetched for each message: the host may replace it in between.
    fn host(&self) -> Option<Conv<'_>> {
        self.pamh.get_item().ok().flatten()
    }
}

impl Conversation for PamConversation<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        let style = match prompt.kind {
            PromptKind::Hidden => PAM_PROMPT_ECHO_OFF,
            PromptKind::Visible | PromptKind::YesNo => PAM_PROMPT_ECHO_ON,
        };
        let typed = self
            .host()
            .ok_or(ConversationError::NobodyThere)?
            .send(style, &c_text(&prompt.text))
            .map_err(|code| failure(&code))?
            .ok_or(ConversationError::NobodyThere)?;
        if typed.len() > MAX_TEXT {
            // Cut short it would be another answer, and an empty one may mean something.
            ffi::log(self.pamh, Level::Notice, "an answer is too long and was not passed on");
            return Err(ConversationError::Broken);
        }
        Ok(answer(typed.as_bytes(), context::password(self.pamh).as_ref()))
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
fn answer(typed: &[u8], password: Option<&Secret>) -> Answer {
    match password {
        Some(password) if same(typed, password.expose()) => Answer::RepeatsPassword,
        _ => Answer::Text(Secret::new(typed.to_vec())),
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

    #[test]
    fn an_answer_that_repeats_the_password_does_not_hold_it() {
        let password = Secret::from("correct horse");
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
