//! What a test and the `fault-injector` in its host say to each other: a line of JSON each.

use std::collections::BTreeMap;
use std::fmt;

use nix::libc;
use serde::{Deserialize, Serialize};

use super::calls;

/// What the test wants.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Order {
    /// Start a verifier for the next connection to [`crate::traced::SOCKET`], and follow it to its
    /// end. Answered by [`Seen`] then.
    Serve(Option<Fault>),
    /// Start the resident verifier, if it does not run. Answered by whether it did not.
    Listen,
    /// Have no resident verifier run. Answered by nothing.
    End,
    /// Have the fault in what the resident verifier does next. Answered by nothing.
    Arm(Begins, Option<Fault>),
    /// Answered by [`Seen`] once the resident verifier is done with that.
    Disarm,
}

/// With which call of a thread begins what is looked at. It is over when the thread makes such a call
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begins {
    /// With a connection, for which epoll waits.
    Accepting,
    /// With what it reads: of a db that another process wants.
    Reading,
}

impl Begins {
    /// Whether this function is meant.
    pub fn with(self, function: u64) -> bool {
        match self {
            Self::Accepting => calls::EPOLL_WAIT.contains(&function.cast_signed()),
            Self::Reading => function.cast_signed() == libc::SYS_read,
        }
    }
}

/// Whose calls are counted together. Which of sled's threads takes which work is a matter of chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Who {
    /// The thread that talks to the face.
    Serving,
    /// All others of the process.
    Others,
}

/// A call: the how manieth of that function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Who makes it.
    pub who: Who,
    /// The function's number.
    pub function: u64,
    /// The call's number, from 0.
    pub call: usize,
}

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// At which call.
    pub at: Point,
    /// Which of the function's errors; none kills the process instead of the call.
    pub error: Option<usize>,
}

/// What was seen of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// How many calls there were of each function.
    pub calls: BTreeMap<u64, [usize; 2]>,
    /// How many of them came before the last message of the face's was read, which is its answer.
    pub before_answer: BTreeMap<u64, [usize; 2]>,
    /// What the call was about at which the fault was made; none, if it did not come.
    pub about: Option<String>,
    /// Whether the process had to be ended.
    pub stuck: bool,
    /// Whether the resident verifier has ended.
    pub ended: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { who, function, call } = self.at;
        let function = calls::function(function).map_or("?", |function| function.name);
        write!(to, "{} at {function} {} ({who:?})", calls::name_of(*self), call + 1)
    }
}
