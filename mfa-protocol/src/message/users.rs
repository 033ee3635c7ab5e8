//! What `mfa-setup users` is answered, page by page: thousands do not fit into one frame.

use serde::{Deserialize, Serialize};

use super::{BypassStatus, DeviceKind, Failure};

/// Some of those who have a record, in the order of their uids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    /// As many as fit.
    pub users: Vec<ListedUser>,
    /// The uid behind which the next page begins; `None` where there is none.
    pub next: Option<u32>,
}

/// Somebody who has a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedUser {
    /// The uid that the record is kept under.
    pub uid: u32,
    /// The name; `None` where no user has this uid.
    pub user: Option<String>,
    /// What the record says, or why that is not known.
    pub standing: Result<Standing, Failure>,
}

/// What is known of a user, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The devices; none means not enrolled.
    pub devices: Vec<ListedDevice>,
    /// Backup codes left.
    pub backup_codes_left: u32,
    /// Access tokens, also such as have expired.
    pub tokens: u32,
    /// When the user last got in by a factor.
    pub last_used: Option<u64>,
    /// From where: `local`, `unknown` or an address.
    pub last_from: Option<String>,
    /// Wrong codes that are still counted.
    pub failures: u32,
    /// Until when codes from some source are not judged.
    pub locked_until: Option<u64>,
    /// The bypass code, if there is one that can be used.
    pub bypass: Option<BypassStatus>,
    /// Whether a second factor is required of this user, whatever policy says of all.
    pub required: bool,
}

/// A device, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDevice {
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Whether it is the default.
    pub default: bool,
    /// Whether its codes are refused.
    pub disabled: bool,
    /// When it was last used.
    pub last_used: Option<u64>,
}
