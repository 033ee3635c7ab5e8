//! What a test and the `fault-injector` in its host say to each other: a line of JSON each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the test wants.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Order {
    /// Start a verifier for the next connection to [`crate::traced::SOCKET`], and follow it to its
    /// end. Answered by a [`Seen`] then.
    Serve(Fault),
}

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In which thread, in the order of their beginnings.
    pub thread: usize,
    /// At which of its calls.
    pub call: usize,
    /// 0 kills the process instead of that call; others are the call's own errors, from 1.
    pub kind: usize,
}

/// What was seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// How many calls each thread has made.
    pub calls: Vec<usize>,
    /// The call that the fault was for; none, if no call came there.
    pub there: Option<There>,
    /// Calls of which it is not known how they fail.
    pub unknown: Vec<u64>,
    /// Whether the process had to be ended.
    pub stuck: bool,
}

/// A call that the fault was for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct There {
    /// The call's name.
    pub name: String,
    /// What it was about.
    pub about: String,
    /// How many kinds of faults there are for it.
    pub kinds: usize,
    /// The fault: `SIGKILL`, or an error; none, if there are not so many kinds.
    pub fault: Option<String>,
}

impl fmt::Display for There {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}({}) {}", self.name, self.about, self.fault.as_deref().unwrap_or("made"))
    }
}
