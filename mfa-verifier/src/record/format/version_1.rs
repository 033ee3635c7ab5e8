//! The record as it was before bypass codes and requirements of single users.

use serde::Deserialize;

use crate::factor::mail_code::MailCodes;
use crate::record::{
    Alteration, BackupCodes, Device, Invitation, Lockout, Remembered, Token, UserRecord,
};

/// Its fields, in their order.
#[derive(Deserialize)]
pub(super) struct Version1 {
    devices: Vec<Device>,
    next_id: u32,
    default: u32,
    backup_codes: Option<BackupCodes>,
    lockout: Lockout,
    invitation: Option<Invitation>,
    alterations: Vec<Alteration>,
    tokens: Vec<Token>,
    remembered: Vec<Remembered>,
    forgotten: u32,
    mail_codes: MailCodes,
}

impl From<Version1> for UserRecord {
    fn from(old: Version1) -> Self {
        Self {
            devices: old.devices,
            next_id: old.next_id,
            default: old.default,
            backup_codes: old.backup_codes,
            lockout: old.lockout,
            invitation: old.invitation,
            alterations: old.alterations,
            tokens: old.tokens,
            remembered: old.remembered,
            forgotten: old.forgotten,
            mail_codes: old.mail_codes,
            bypass: None,
            scratch_batch: None,
            required: false,
        }
    }
}
