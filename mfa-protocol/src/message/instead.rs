//! What is given or kept in place of a code: access tokens and remembered logins.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// An access token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// `--expires`: seconds for which it is good.
    pub lifetime: u64,
    /// `--from`: the networks from where; none: from anywhere.
    pub networks: Vec<String>,
    /// `--service`: the PAM services; none: any.
    pub services: Vec<String>,
}

/// An access token was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MadeToken {
    /// Whose.
    pub user: String,
    /// The token itself, shown this once.
    pub secret: Secret,
    /// What is known of it.
    pub token: TokenStatus,
}

/// What is known of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made: u64,
    /// When it ends.
    pub expires: u64,
    /// The networks that it may come from; none: from anywhere.
    pub networks: Vec<String>,
    /// The PAM services that it may be given to; none: any.
    pub services: Vec<String>,
    /// When it was last used.
    pub last_used: Option<u64>,
    /// From where: `local`, `unknown` or an address.
    pub last_from: Option<String>,
}

/// What is known of a remembered login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedLogin {
    /// Its number, by which it can be forgotten.
    pub number: u32,
    /// The PAM service.
    pub service: String,
    /// From where: `local` or an address.
    pub from: String,
    /// By what it is known again, beside these.
    pub by: Tie,
    /// When its code was given.
    pub since: u64,
    /// When it ends.
    pub until: u64,
    /// When it last stood in for a code.
    pub last_used: Option<u64>,
}

/// By what a remembered login is known again, beside user, service and source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tie {
    /// The public key that passed as the first factor.
    Key,
    /// Nothing else.
    Source,
    /// The login session and its terminal.
    Session,
}

impl Tie {
    /// The name in JSON and for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Source => "address",
            Self::Session => "session",
        }
    }
}
