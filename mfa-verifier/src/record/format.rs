//! From a record to bytes and back.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Alteration, BackupCodes, Device, Invitation, Lockout, Remembered, Token, UserRecord};
use crate::factor::mail_code::MailCodes;

/// The version that is written.
pub const FORMAT: u8 = 4;

/// Bytes of an encoded record: sealed, it must stay below a quarter of sled's segment of 16 KiB.
pub const MAX_ENCODED: usize = 3_900;

/// The fields of version 3.
#[derive(Deserialize)]
struct Version3 {
    devices: Vec<Device>,
    next_id: u32,
    default: u32,
    backup_codes: Option<BackupCodes>,
    lockout: Lockout,
    invitation: Option<Invitation>,
    alterations: Vec<Alteration>,
    tokens: Vec<Token>,
    remembered: Vec<Remembered>,
}

impl From<Version3> for UserRecord {
    fn from(old: Version3) -> Self {
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
            mail_codes: MailCodes::default(),
        }
    }
}

/// The fields of version 2.
#[derive(Deserialize)]
struct Version2 {
    devices: Vec<Device>,
    next_id: u32,
    default: u32,
    backup_codes: Option<BackupCodes>,
    lockout: Lockout,
    invitation: Option<Invitation>,
    alterations: Vec<Alteration>,
}

impl From<Version2> for UserRecord {
    fn from(old: Version2) -> Self {
        Self {
            devices: old.devices,
            next_id: old.next_id,
            default: old.default,
            backup_codes: old.backup_codes,
            lockout: old.lockout,
            invitation: old.invitation,
            alterations: old.alterations,
            ..Self::default()
        }
    }
}

/// The fields of version 1.
#[derive(Deserialize)]
struct Version1 {
    devices: Vec<Device>,
    next_id: u32,
    default: u32,
    backup_codes: Option<BackupCodes>,
    lockout: Lockout,
}

impl From<Version1> for UserRecord {
    fn from(old: Version1) -> Self {
        Self {
            devices: old.devices,
            next_id: old.next_id,
            default: old.default,
            backup_codes: old.backup_codes,
            lockout: old.lockout,
            ..Self::default()
        }
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("the record has format {0}, which is newer than this program")]
    Newer(u8),
    /// Not a record, although the seal was whole.
    #[error("the record cannot be decoded")]
    Malformed,
    /// More than [`MAX_ENCODED`] bytes.
    #[error("the record would grow beyond its bound")]
    TooLarge,
}

impl UserRecord {
    /// The bytes to seal.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let mut bytes = Vec::with_capacity(MAX_ENCODED);
        bytes.push(FORMAT);
        let bytes = postcard::to_extend(self, bytes)
            .map(Zeroizing::new)
            .map_err(|_| RecordError::Malformed)?;
        if bytes.len() > MAX_ENCODED { Err(RecordError::TooLarge) } else { Ok(bytes) }
    }

    /// The record in unsealed bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes {
            [FORMAT, rest @ ..] => decode::<Self>(rest),
            [3, rest @ ..] => decode::<Version3>(rest),
            [2, rest @ ..] => decode::<Version2>(rest),
            [1, rest @ ..] => decode::<Version1>(rest),
            [newer, ..] if *newer > FORMAT => Err(RecordError::Newer(*newer)),
            _ => Err(RecordError::Malformed),
        }
    }
}

fn decode<'a, T: Deserialize<'a> + Into<UserRecord>>(
    bytes: &'a [u8],
) -> Result<UserRecord, RecordError> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((record, [])) => Ok(record.into()),
        _ => Err(RecordError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::Method;
    use crate::record::tests::largest;
    use crate::record::{Altered, Invitation, Network, Remembered, Token, Use};
    use crate::source::Source;
    use mfa_protocol::message::Tie;

    #[test]
    fn the_largest_record_stays_within_its_bound() {
        let bytes = largest().encode().unwrap();
        println!("largest record: {} bytes", bytes.len());
        assert!(UserRecord::decode(&bytes).is_ok());
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let record = largest();
        let again = UserRecord::decode(&record.encode().unwrap()).unwrap();
        assert_eq!(again.encode().unwrap(), record.encode().unwrap());
        assert_eq!(again.lockout, record.lockout);
    }

    #[test]
    fn a_record_of_version_1_is_read_and_has_nothing_to_tell() {
        // What version 1 wrote: a device "a" with a key of one byte, no codes, no failures.
        let device = [1, 1, b'a', 1, 0xaa, 0, 6, 0, 30, 1, 7, 0, 0, 9, 0, 0, 0];
        let version_1 = [&[1, 1][..], &device[..], &[2, 1, 0, 0, 0, 0, 0]].concat();
        let record = UserRecord::decode(&version_1).unwrap();
        assert_eq!((record.devices.len(), record.next_id, record.default), (1, 2, 1));
        assert_eq!((record.devices[0].label.as_str(), record.devices[0].added), ("a", 9));
        assert_eq!((record.invitation, record.alterations), (None, vec![]));
    }

    #[test]
    fn a_record_of_version_2_is_read_and_has_neither_tokens_nor_remembered_logins() {
        // What version 2 wrote: the same device, an invitation, a label "a" that was removed by root.
        let device = [1, 1, b'a', 1, 0xaa, 0, 6, 0, 30, 1, 7, 0, 0, 9, 0, 0, 0];
        let invitation = [&[1][..], &[5; 16], &[6; 16], &[0x80, 1]].concat();
        let alteration = [1, 8, 1, 9, 2, 1, b'a', 1];
        let version_2 =
            [&[2, 1][..], &device[..], &[2, 1, 0, 0, 0, 0, 0], &invitation, &alteration].concat();
        let record = UserRecord::decode(&version_2).unwrap();
        assert_eq!((record.devices[0].label.as_str(), record.devices[0].added), ("a", 9));
        let invitation = Invitation { salt: [5; 16], hash: [6; 16], expires: 128 };
        assert_eq!(record.invitation, Some(invitation));
        let removed = Alteration {
            at: 8,
            again: Some(9),
            what: Altered::Removed,
            label: "a".to_owned(),
            by_root: true,
        };
        assert_eq!(record.alterations, [removed]);
        assert_eq!((record.tokens, record.remembered), (vec![], vec![]));
    }

    #[test]
    fn a_record_of_version_3_is_read_with_all_that_came_with_it_and_knows_of_no_mail() {
        let alterations = [2, 8, 0, 6, 1, b't', 0, 9, 0, 7, 1, b't', 1];
        let here = [1, 192, 0, 2, 7];
        let networks = [&[2, 0, 10, 0, 0, 0, 8, 1][..], &[0; 16], &[64]].concat();
        let token =
            [&[1, b't'][..], &[7; 20], &[9, 0x80, 1], &networks, &[1, 2, b's', b'u', 1, 5], &here]
                .concat();
        let su = [2, b's', b'u'];
        let remembered = [
            &[4, 1][..],
            &[[8; 16].as_slice(), &[0], &su, &[2], &[9; 8], &[0, 5, 0x80, 1, 0]].concat(),
            &[2],
            &[[8; 16].as_slice(), &[1], &su, &here, &[1, 5, 0x80, 1, 1, 6]].concat(),
            &[3],
            &[[8; 16].as_slice(), &[2], &su, &[0, 2, 5, 0x80, 1, 0]].concat(),
            // Nobody is remembered so, but the numbers mean this.
            &[4],
            &[[8; 16].as_slice(), &[2], &su, &[3, 3, 5, 0x80, 1, 0]].concat(),
        ]
        .concat();
        let version_3 =
            [&[3, 0, 2, 0, 0, 0, 0, 0, 0, 0][..], &alterations, &[1], &token, &remembered].concat();

        let record = UserRecord::decode(&version_3).unwrap();
        let altered: Vec<_> = record.alterations.iter().map(|noted| noted.what).collect();
        assert_eq!(altered, [Altered::TokenMade, Altered::TokenRevoked]);
        let here = Source::V4([192, 0, 2, 7]);
        let token = Token {
            name: "t".to_owned(),
            hash: [7; 20],
            made: 9,
            expires: 128,
            networks: vec![Network::V4([10, 0, 0, 0], 8), Network::V6([0; 16], 64)],
            services: vec!["su".to_owned()],
            last_used: Some(Use { at: 5, from: here }),
        };
        assert_eq!(record.tokens, [token]);
        let login = |number, by, from, given, last_used| Remembered {
            number,
            bound_to: [8; 16],
            by,
            service: "su".to_owned(),
            from,
            given,
            since: 5,
            until: 128,
            last_used,
        };
        let expected = [
            login(1, Tie::Key, Source::V6([9; 8]), Method::Totp, None),
            login(2, Tie::Source, here, Method::Hotp, Some(6)),
            login(3, Tie::Session, Source::Local, Method::BackupCode, None),
            login(4, Tie::Session, Source::Unknown, Method::Token, None),
        ];
        assert_eq!(record.remembered, expected);
        assert_eq!(record.mail_codes, MailCodes::default());
        // What version 4 writes: the same, and codes by mail, of which there are none.
        let version_4 = [&[4], &version_3[1..], &[0; 13]].concat();
        assert_eq!(*record.encode().unwrap(), version_4);
    }

    #[test]
    fn a_newer_format_and_garbage_are_refused() {
        assert_eq!(UserRecord::decode(&[5, 0]).unwrap_err(), RecordError::Newer(5));
        let cut = [&[1, 0xff, 0xff][..], &[2], &[2, 0xff, 0xff], &[3], &[3, 0xff, 0xff], &[4]];
        for garbage in [&[][..], &[0], &[1]].into_iter().chain(cut) {
            assert_eq!(UserRecord::decode(garbage).unwrap_err(), RecordError::Malformed);
        }
        let mut trailing = UserRecord::default().encode().unwrap().to_vec();
        trailing.push(0);
        assert_eq!(UserRecord::decode(&trailing).unwrap_err(), RecordError::Malformed);
    }
}
