//! What `mfa-setup check` and `explain` ask, and what they are answered.

use serde::{Deserialize, Serialize};

/// A login that is only supposed, behind a first factor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supposed {
    /// `PAM_SERVICE`.
    pub service: String,
    /// `PAM_RHOST`.
    pub rhost: Option<String>,
    /// `PAM_TTY`.
    pub tty: Option<String>,
    /// When, as a person writes it: with an offset from UTC, or in local time. `None`: now.
    pub at: Option<String>,
}

/// A policy file that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Where it is.
    pub path: String,
    /// Whether it is there; where the default one is not, the built-in policy holds.
    pub exists: bool,
    /// How many rules it has.
    pub rules: u32,
    /// What may not be meant so, a line each.
    pub warnings: Vec<String>,
}

/// What policy asks of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Who.
    pub user: String,
    /// Their uid.
    pub uid: u32,
    /// Whether they have enrolled; `None` where it does not matter, and nothing was looked up.
    pub enrolled: Option<bool>,
    /// By which PAM service.
    pub service: String,
    /// From where: an address, `local` or `unknown`.
    pub source: String,
    /// Whether at a terminal or display of this machine.
    pub console: bool,
    /// When.
    pub at: u64,
    /// The same in local time, where it matters.
    pub local: Option<String>,
    /// The rules that were looked at, in order. Only the last can hold.
    pub rules: Vec<ExplainedRule>,
    /// How many rules before those are not shown.
    pub rules_left_out: u32,
    /// `exempt`, `challenge`, `enrol` or `deny`.
    pub requirement: String,
    /// Why somebody is exempt or denied, in the words of the log.
    pub reason: Option<String>,
    /// What somebody is told who is let in without a code.
    pub notice: Option<String>,
    /// What is asked.
    pub prompt: Option<String>,
    /// The factors that are accepted.
    pub methods: Vec<String>,
    /// Whether it is from outside of `allow_from`.
    pub outside: bool,
    /// Seconds for which it may then be remembered; 0: it is not.
    pub remember: u64,
    /// Whether a second factor is required of this user, whatever policy says of all; `None` where it does not
    /// matter, and nothing was looked up.
    pub required: Option<bool>,
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRule {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Its name.
    pub name: Option<String>,
    /// Its line in the file.
    pub line: u32,
    /// The key by which it does not match; `None`: it holds.
    pub mismatch: Option<String>,
}
