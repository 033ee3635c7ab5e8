//! Talking with the person who logs in or enrols.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{OLDEST_VERSION, Secret};

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What the person sees, as it stands there, with its colon and space.
    pub text: String,
    /// How the answer is given.
    pub kind: PromptKind,
}

impl Prompt {
    /// A question whose answer must not be seen.
    pub fn hidden(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: PromptKind::Hidden }
    }

    /// A question whose answer may be seen.
    pub fn visible(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: PromptKind::Visible }
    }

    /// Whether the first factor of `user` is right.
    pub fn first_factor(user: impl Into<String>) -> Self {
        Self { text: user.into(), kind: PromptKind::FirstFactor }
    }

    /// A question answered by yes or no; `--yes` answers it.
    pub fn yes_no(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: PromptKind::YesNo }
    }
}

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromptKind {
    /// Not shown while it is typed.
    Hidden,
    /// Shown while it is typed.
    Visible,
    /// `y` or `n`, shown.
    YesNo,
    /// Since version 3, and of faces that are root: whether the password that the host was given is that
    /// of the user of that name. The face has it judged anew ([`crate::connect::reauthentication`]), and
    /// answers by yes or no in the person's place.
    FirstFactor,
}

impl PromptKind {
    /// The version of the protocol that it came with: older faces break off at it.
    #[must_use]
    pub fn since(self) -> u16 {
        match self {
            Self::Hidden | Self::Visible | Self::YesNo => OLDEST_VERSION,
            Self::FirstFactor => 3,
        }
    }

    /// Whether the answer may be seen while it is typed.
    #[must_use]
    pub fn is_shown(self) -> bool {
        match self {
            Self::Hidden | Self::FirstFactor => false,
            Self::Visible | Self::YesNo => true,
        }
    }
}

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// Something to read.
    Info,
    /// Something that went wrong.
    Error,
    /// A QR code as lines of block characters (or `#` and blanks, two to a module), drawn where
    /// its modules are *dark*. A face that knows colours draws black on white.
    Qr,
}

/// An answer to a [`Prompt`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// What was typed, without its line end.
    Text(Secret),
    /// The host gave the first factor's password once more, as sshd's password method does at
    /// every hidden prompt. The password itself is not passed on.
    RepeatsPassword,
}

impl Answer {
    /// What was typed; a password that is repeated is an answer to no question.
    #[must_use]
    pub fn into_text(self) -> Secret {
        match self {
            Self::Text(text) => text,
            Self::RepeatsPassword => Secret::default(),
        }
    }

    /// Whether it says yes.
    #[must_use]
    pub fn is_yes(self) -> bool {
        let text = self.into_text();
        let text = text.expose().trim_ascii();
        text.eq_ignore_ascii_case(b"y") || text.eq_ignore_ascii_case(b"yes")
    }
}

/// Why there is no answer. The request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversationError {
    /// The person gave up (Ctrl-C, end of file, a closed window).
    #[error("interrupted")]
    Aborted,
    /// There is nobody to ask: no terminal, no conversation function, a host that does not answer.
    #[error("a question was to be asked, and there is nobody to answer it")]
    NobodyThere,
    /// The connection to the person's side broke.
    #[error("the conversation broke off")]
    Broken,
}

/// How the verifier reaches a person. PAM, a terminal and a script are faces' conversations; the
/// verifier's own sends each call to the face as a frame.
pub trait Conversation {
    /// Asks one question and waits for its answer.
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError>;

    /// Tells something. What cannot be told is not an error: the login does not depend on it.
    fn tell(&mut self, style: Style, text: &str);

    /// Is called now and then while something else is waited for, so that who is at the other end
    /// of a connection does not give it up.
    fn keep_waiting(&mut self) {}
}

/// A conversation whose answers are known beforehand: `mfa-setup judge`, and tests.
#[derive(Debug, Default)]
pub struct Scripted {
    answers: VecDeque<Answer>,
    /// Everything that was asked, in order.
    pub asked: Vec<Prompt>,
    /// Everything that was told, in order.
    pub told: Vec<(Style, String)>,
}

impl Scripted {
    /// A script that gives `answers` in turn and then has nobody to ask.
    pub fn new<T: Into<Secret>>(answers: impl IntoIterator<Item = T>) -> Self {
        let answers = answers.into_iter().map(|answer| Answer::Text(answer.into())).collect();
        Self { answers, ..Self::default() }
    }

    /// Adds the answer of a host that repeats the password.
    #[must_use]
    pub fn then_repeats_password(mut self) -> Self {
        self.answers.push_back(Answer::RepeatsPassword);
        self
    }
}

impl Conversation for Scripted {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.asked.push(prompt.clone());
        self.answers.pop_front().ok_or(ConversationError::NobodyThere)
    }

    fn tell(&mut self, style: Style, text: &str) {
        self.told.push((style, text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in
            [("y", true), ("Yes ", true), ("", false), ("n", false), ("yesterday", false)]
        {
            assert_eq!(Answer::Text(answer.into()).is_yes(), expected, "{answer}");
        }
        assert!(!Answer::RepeatsPassword.is_yes());
    }
}
