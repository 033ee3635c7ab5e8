//! How long a verifier takes for its part of a login: see `src/bin/timed-face.rs`.

use std::time::Duration;

use mfa_protocol::{Reply, Request};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::host::{Host, Running};

/// Where the program is found in a host with [`Host::timed_face`].
const FACE: &str = "/usr/local/bin/timed-face";

/// One request, as its face saw it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Timed {
    /// From the attempt to connect to the last question.
    pub to_prompt: Duration,
    /// From the answer to that to the reply.
    pub to_reply: Duration,
    /// The reply.
    pub reply: Reply,
}

impl Host {
    /// Has the program.
    #[must_use]
    pub fn timed_face(self) -> Self {
        self.bind(cache::program("timed-face"), FACE)
    }
}

impl Running {
    /// Has one process of root's make these requests, each on a connection of its own, and answer
    /// what is asked by the lines beside it, in turn.
    pub fn time(&self, requests: &[(Request, &str)]) -> Vec<Timed> {
        let said = self.run_with_input(&[FACE], &serde_json::to_string(requests).unwrap()).ok();
        serde_json::from_str(&said).unwrap()
    }
}
