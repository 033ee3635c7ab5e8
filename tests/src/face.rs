//! A face of a user's own making: see `src/bin/user-face.rs`.

use mfa_protocol::message::{Action, Failure, LoginRequest};
use mfa_protocol::{Outcome, Reply, Request};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::host::{Host, Running, as_user};
use crate::listener::USER_SOCKET;
use crate::requests::manage;

/// Where the program is found in a host with [`Host::faces`].
const FACE: &str = "/usr/local/bin/user-face";

/// What a verifier said to a face.
#[derive(Debug, Serialize, Deserialize)]
pub struct Heard {
    /// What it asked.
    pub asked: Vec<String>,
    /// What it told.
    pub told: Vec<String>,
    /// Its reply, or why there is none.
    pub reply: Result<Reply, String>,
}

impl Heard {
    /// Why it was not done.
    #[track_caller]
    pub fn failed(self) -> Failure {
        match self.reply {
            Ok(Reply::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// How the login ended.
    #[track_caller]
    pub fn outcome(self) -> Outcome {
        match self.reply {
            Ok(Reply::Outcome(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

impl Host {
    /// Has the program.
    #[must_use]
    pub fn faces(self) -> Self {
        self.bind(cache::program("user-face"), FACE)
    }
}

impl Running {
    /// What the verifier for users says to a program of `caller`'s that asks for that, and answers so.
    #[track_caller]
    pub fn ask_as(&self, caller: &str, request: &Request, answers: &[&str]) -> Heard {
        let input = serde_json::to_string(&(request, answers)).unwrap();
        let said = self.run_with_input(&as_user(caller, &[FACE, USER_SOCKET]), &input).ok();
        serde_json::from_str(&said).unwrap()
    }

    /// The same for a management request about `user`, or the caller.
    #[track_caller]
    pub fn manage_as(
        &self,
        caller: &str,
        user: Option<&str>,
        action: Action,
        answers: &[&str],
    ) -> Heard {
        self.ask_as(caller, &manage(user, action), answers)
    }

    /// The same for a login.
    #[track_caller]
    pub fn log_in_as(&self, caller: &str, request: LoginRequest, answers: &[&str]) -> Outcome {
        self.ask_as(caller, &Request::Login(Box::new(request)), answers).outcome()
    }
}
