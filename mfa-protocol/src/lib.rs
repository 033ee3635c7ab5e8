//! What the faces and the verifier say to each other.
//!
//! A *face* (`pam_mfa.so`, `mfa-setup`) sends one [`Request`] and then only relays a
//! [`Conversation`]: the verifier says what to ask or to tell, the face asks or tells it, until a
//! [`Reply`] ends the exchange. Frames are bounded ([`frame`]), versioned ([`PROTOCOL_VERSION`])
//! and under a deadline whenever nobody is being waited for.
//!
//! This crate is linked into sshd and display managers, so it stays small: no cryptography, no
//! store, no policy.
#![forbid(unsafe_code)]

pub mod backup_code;
pub mod bypass_code;
pub mod connect;
pub mod conversation;
pub mod escape;
pub mod frame;
pub mod mail;
pub mod message;
pub mod pam_service;
pub mod paths;
pub mod relay;
pub mod relayed;
mod secret;
pub mod trusted;

use std::time::Duration;

pub use conversation::{Answer, Conversation, ConversationError, Prompt, PromptKind, Style};
pub use message::{Outcome, Reply, Request, Verdict};
pub use secret::Secret;

/// The version this build speaks. A request carries it in its first two bytes, before anything
/// whose layout depends on it.
///
/// A resident verifier goes on after an upgrade until it is started anew, and then speaks an older
/// version than the faces. So a greeting belongs to a version: with the next one it changes, a face
/// takes an older one for none, and starts a verifier of its own.
pub const PROTOCOL_VERSION: u16 = 3;

/// The oldest version that the verifier of this build still serves.
pub const OLDEST_VERSION: u16 = 2;

/// How long a verifier may take for anything but a person.
pub const VERIFIER_BOUND: Duration = Duration::from_secs(10);

/// How long a face waits for the next frame when nobody is typing: the verifier's own bound and
/// some margin, so that a verifier that gives up can still say so.
pub const FACE_BOUND: Duration = Duration::from_secs(12);

/// How long `mfa-reauth` may take for anything but a person: PAM's modules may wait for somebody who is to
/// touch a reader or to confirm on a phone, of which PAM says nothing.
pub const FIRST_FACTOR_BOUND: Duration = Duration::from_secs(60);

/// The PAM service by which a person proves to be themselves before changing the own record. In it
/// `pam_mfa.so` asks nothing, or nobody could ever enrol.
pub const REAUTH_SERVICE: &str = "mfa-setup";

/// What `mfa-setup judge` names for a service, if nothing else is said.
pub const JUDGE_SERVICE: &str = "judge";

/// What `mfa-setup test` names for a service.
pub const TEST_SERVICE: &str = "test";

/// How long a face waits for a resident verifier to greet it, before it starts one of its own.
pub const GREETING_BOUND: Duration = Duration::from_secs(1);

/// How long a person may take to answer one prompt.
pub const PERSON_BOUND: Duration = Duration::from_secs(300);
