//! What `mfa-setup doctor` is told by the verifier.

use serde::{Deserialize, Serialize};

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// The services whose stacks ask for a code, and are not left out by policy.
    pub asking: Vec<Asking>,
}

/// A service that asks for a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// Its name.
    pub service: String,
    /// Whether the code comes with the password, in one answer.
    pub forward_pass: bool,
    /// Whether a code is enough for the stack, so that the first factor has to be somebody else's business.
    pub code_alone: bool,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about, in a word or two.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where there is nothing to do.
    pub hint: String,
}

impl Finding {
    /// A finding of that level.
    pub fn new(
        level: Level,
        about: &str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { level, about: about.to_owned(), found: found.into(), hint: hint.into() }
    }

    /// What is as it should be.
    pub fn fine(about: &str, found: impl Into<String>) -> Self {
        Self::new(Level::Fine, about, found, "")
    }

    /// What may be meant so.
    pub fn warning(about: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Level::Warning, about, found, hint)
    }

    /// What has to be mended.
    pub fn problem(about: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Level::Problem, about, found, hint)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It may be meant so.
    Warning,
    /// Somebody gets in who should not, or does not who should, or soon will.
    Problem,
}

impl Level {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}
