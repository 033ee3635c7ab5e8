//! A face of root's that the test itself plays, on the socket of the verifier that stays.
//!
//! It says what `pam_mfa.so` says, but it is no process, so there can be hundreds of them, each
//! stopped where the test wants it. And it never starts a verifier: what it is granted, the resident
//! has granted.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use mfa_protocol::message::{FromFace, LoginRequest, ToFace};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{
    Answer, FACE_BOUND, GREETING_BOUND, PROTOCOL_VERSION, Reply, Request, Verdict, frame,
};
use serde::Serialize;

use crate::USED;
use crate::host::Running;
use crate::resident::ROOT_SOCKET;

/// Where root's faces of one host connect.
#[derive(Debug, Clone)]
pub struct Door(PathBuf);

/// A connection that has been greeted.
#[derive(Debug)]
pub struct RootFace(UnixStream);

/// A login that is asked for its code.
#[derive(Debug)]
pub struct AtPrompt(UnixStream);

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The code was right.
    Granted,
    /// The code had been accepted before.
    Used,
    /// It was refused for another reason.
    Refused(Verdict),
    /// The verifier was gone, or silent for too long.
    Broken,
}

impl Running {
    /// Where root's faces connect.
    pub fn door(&self) -> Door {
        Door(self.path(ROOT_SOCKET))
    }
}

impl Door {
    /// Connects, and waits to be greeted.
    pub fn connect(&self) -> Option<RootFace> {
        let stream = UnixStream::connect(&self.0).ok()?;
        let greeting = hear(&stream, GREETING_BOUND)?;
        matches!(greeting, ToFace::Wait).then_some(RootFace(stream))
    }

    /// Goes to the prompt of `user`'s login from `rhost`.
    pub fn log_in(&self, user: &str, rhost: &str) -> Option<AtPrompt> {
        self.connect()?.log_in(user, rhost)
    }

    /// A whole login; none where nobody serves it.
    pub fn enter(&self, user: &str, rhost: &str, code: &str) -> Option<End> {
        Some(self.log_in(user, rhost)?.answer(code).end())
    }
}

impl RootFace {
    /// Asks for `user`'s login, and waits for the prompt.
    pub fn log_in(self, user: &str, rhost: &str) -> Option<AtPrompt> {
        self.log_in_by(PROTOCOL_VERSION, user, rhost)
    }

    /// The same by another version of the protocol, which has this request in the same bytes
    /// (`mfa-verifier/tests/kept_frames.rs`).
    pub fn log_in_by(self, version: u16, user: &str, rhost: &str) -> Option<AtPrompt> {
        let request = LoginRequest {
            user: user.as_bytes().to_vec(),
            service: "sshd".to_owned(),
            rhost: Some(rhost.to_owned()),
            ssh_auth_info: Some("publickey".to_owned()),
            ..LoginRequest::default()
        };
        let request = encode(&Request::Login(Box::new(request))).unwrap();
        let version = version.to_le_bytes();
        frame::transmit(&self.0, &[&version, &request[..]].concat(), FACE_BOUND).ok()?;
        let asked = hear(&self.0, FACE_BOUND)?;
        matches!(asked, ToFace::Ask(_)).then_some(AtPrompt(self.0))
    }

    /// Says nothing: whether the other side has hung up within that time.
    pub fn is_hung_up_on(&self, patience: Duration) -> bool {
        matches!(frame::receive(&self.0, patience), Err(frame::FrameError::HungUp))
    }
}

impl AtPrompt {
    /// Gives the code. Who drops what this returns hangs up.
    #[must_use = "who hangs up may not be heard"]
    pub fn answer(self, code: &str) -> Answered {
        Answered { sent: say(&self.0, &FromFace::Answer(Answer::Text(code.into()))), face: self.0 }
    }
}

/// A login whose code was given.
#[derive(Debug)]
pub struct Answered {
    face: UnixStream,
    sent: Option<()>,
}

impl Answered {
    /// Waits for the end.
    pub fn end(self) -> End {
        self.reply().unwrap_or(End::Broken)
    }

    fn reply(self) -> Option<End> {
        self.sent?;
        let mut used = false;
        loop {
            match hear(&self.face, FACE_BOUND)? {
                ToFace::Tell(_, text) => used |= text == USED,
                ToFace::Wait => {}
                ToFace::Ask(prompt) => panic!("another question: {prompt:?}"),
                ToFace::Done(reply) => {
                    let Reply::Outcome(outcome) = *reply else { panic!("{reply:?}") };
                    return Some(match outcome.verdict {
                        Verdict::Granted => End::Granted,
                        Verdict::Denied if used => End::Used,
                        other => End::Refused(other),
                    });
                }
            }
        }
    }
}

fn hear(stream: &UnixStream, bound: Duration) -> Option<ToFace> {
    decode(&frame::receive(stream, bound).ok()?).ok()
}

fn say<T: Serialize>(stream: &UnixStream, message: &T) -> Option<()> {
    frame::transmit(stream, &encode(message).unwrap(), FACE_BOUND).ok()
}
