//! What `mfa-setup import` and `export` ask, and what they are answered: one user at a time.

use serde::{Deserialize, Serialize};

use super::DeviceKind;
use crate::Secret;

/// What another module keeps of a user, to be taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Import {
    /// Which module's it is.
    pub origin: Origin,
    /// The lines that are the user's, without their ends, in the order in which they stand.
    pub lines: Vec<ImportLine>,
    /// `--label`.
    pub label: Option<String>,
    /// `--without-pin`: a key is taken also where the other module asked for a PIN with its codes.
    pub without_pin: bool,
    /// `--dry-run`: say what would come of it, and change nothing.
    pub dry_run: bool,
    /// Nobody asked about this user by name: who is enrolled already gets no further key.
    pub only_newcomers: bool,
}

/// A module whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// `pam_google_authenticator`: a file for each user.
    GoogleAuthenticator,
    /// `pam_oath`: a file with a line for each device.
    PamOath,
}

/// A line of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportLine {
    /// Its number, from 1.
    pub number: u32,
    /// What stands in it, be it no text.
    pub text: Secret,
}

/// What was taken over, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Whose.
    pub user: String,
    /// Their uid.
    pub uid: u32,
    /// The new devices.
    pub devices: Vec<ImportedDevice>,
    /// The labels of devices that have such a key already, and stay.
    pub known: Vec<String>,
    /// How many backup codes came along.
    pub backup_codes: u32,
    /// The lines of which nothing was taken over though they seem to mean something.
    pub skipped: Vec<SkippedLine>,
    /// What is different from now on.
    pub notes: Vec<String>,
    /// Whether the record is another now, be it that a device only moved on; or would be.
    pub changed: bool,
}

/// A device that was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedDevice {
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: DeviceKind,
}

/// A line of which nothing was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedLine {
    /// Its number.
    pub line: u32,
    /// Why, without anything that stands in it.
    pub why: String,
}

/// The form in which devices are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportFormat {
    /// `otpauth://` URIs, which apps and other modules read.
    Uri,
    /// The file of `pam_google_authenticator`.
    GoogleAuthenticator,
    /// Lines of the file of `pam_oath`.
    PamOath,
}

/// The devices of a user, keys and all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exported {
    /// Whose.
    pub user: String,
    /// Their uid.
    pub uid: u32,
    /// Each that the form has room for.
    pub devices: Vec<ExportedDevice>,
    /// What stays behind: its label, and why.
    pub left_out: Vec<(String, String)>,
    /// Backup codes that stay behind, since only their hashes are kept.
    pub backup_codes: u32,
}

/// A device in the form that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportedDevice {
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Whole lines.
    pub text: Secret,
}
