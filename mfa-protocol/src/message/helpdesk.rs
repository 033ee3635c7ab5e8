//! What a helpdesk does for others, and what is said of it.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::Secret;

/// A bypass code was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MadeBypass {
    /// For whom.
    pub user: String,
    /// The code, shown this once.
    pub code: Secret,
    /// What is known of it.
    pub bypass: BypassStatus,
}

/// What is known of a bypass code that can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassStatus {
    /// How often.
    pub uses_left: u32,
    /// Until when.
    pub expires: u64,
}

/// All that is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullStatus {
    /// What faces before version 3 know of, too.
    pub status: Status,
    /// The bypass code, if there is one that can be used.
    pub bypass: Option<BypassStatus>,
    /// Whether a second factor is required of this user, whatever policy says of all.
    pub required: bool,
}
