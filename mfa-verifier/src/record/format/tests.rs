use super::*;
use crate::factor::Method;
use crate::factor::mail_code::tests::pending;
use crate::factor::mail_code::{Logins, MailCodes, Tally};
use crate::mail::Address;
use crate::record::tests::largest;
use crate::record::{
    Alteration, Altered, BackupCode, BackupCodes, Bypass, Device, Invitation, Lockout,
    MovingFactor, Network, Remembered, SourceState, TimeCandidate, Token, Use,
};
use crate::source::{Place, Source};
use mfa_protocol::Secret;
use mfa_protocol::message::{Algorithm, Tie};

const HERE: Source = Source::V4([192, 0, 2, 7]);

/// A record in which everything stands that can.
fn kept() -> UserRecord {
    let since = [
        Altered::BypassMade,
        Altered::BypassRevoked,
        Altered::Disabled,
        Altered::Enabled,
        Altered::Required,
        Altered::NotRequired,
    ];
    let mut record = kept_in_version_1();
    let of_all = record.alterations[0].clone();
    let alterations = since.map(|what| Alteration { what, ..of_all.clone() });
    record.alterations.extend(alterations);
    let bypass = Bypass { salt: [9; 16], hash: [10; 16], made: 7, expires: 128, uses_left: 100 };
    UserRecord { bypass: Some(bypass), required: true, scratch_batch: Some(128), ..record }
}

/// One in which everything stands that could in version 1.
fn kept_in_version_1() -> UserRecord {
    UserRecord {
        devices: devices(),
        next_id: 4,
        default: 1,
        backup_codes: Some(BackupCodes {
            batch: 128,
            salt: [1; 16],
            codes: vec![
                BackupCode { hash: [2; 16], used: Some(Use { at: 6, from: Source::Local }) },
                BackupCode { hash: [3; 16], used: None },
            ],
            made: 9,
        }),
        lockout: Lockout {
            failures: 1,
            counted_at: 2,
            not_before: 3,
            sources: [Source::Local, HERE, Source::V6([9; 8]), Source::Unknown]
                .map(|source| SourceState {
                    source,
                    last_success: Some(4),
                    failures: 5,
                    last_seen: 6,
                    not_before: 7,
                    wrong_codes: 8,
                    codes_since: 9,
                })
                .to_vec(),
        },
        invitation: Some(Invitation { salt: [5; 16], hash: [6; 16], expires: 128 }),
        alterations: [
            Altered::Added,
            Altered::Replaced,
            Altered::Removed,
            Altered::Default,
            Altered::Resynchronised,
            Altered::NewCodes,
            Altered::TokenMade,
            Altered::TokenRevoked,
        ]
        .map(|what| Alteration {
            at: 8,
            again: Some(9),
            what,
            label: "a".to_owned(),
            by_root: true,
        })
        .to_vec(),
        tokens: vec![Token {
            name: "t".to_owned(),
            hash: [7; 20],
            made: 9,
            expires: 128,
            networks: vec![Network::V4([10, 0, 0, 0], 8), Network::V6([0; 16], 64)],
            services: vec!["su".to_owned()],
            last_used: Some(Use { at: 5, from: HERE }),
        }],
        remembered: [
            (Tie::Key, Place::Address([9; 16].into()), Method::Totp),
            (Tie::Source, Place::Address([192, 0, 2, 7].into()), Method::Hotp),
            (Tie::Session, Place::Console, Method::BackupCode),
            (Tie::Session, Place::Local, Method::Token),
            (Tie::Session, Place::Unknown, Method::Email),
        ]
        .map(|(by, from, given)| Remembered {
            number: 1,
            bound_to: [8; 16],
            by,
            service: "su".to_owned(),
            from,
            given,
            since: 5,
            until: 128,
            last_used: Some(6),
        })
        .to_vec(),
        forgotten: 300,
        mail_codes: mail_codes(),
        ..UserRecord::default()
    }
}

/// One of each kind.
fn devices() -> Vec<Device> {
    vec![
        Device {
            id: 1,
            label: "a".to_owned(),
            key: Secret::new(vec![0xaa]),
            algorithm: Algorithm::Sha1,
            digits: 6,
            moving: MovingFactor::Time {
                period: 30,
                last_step: Some(7),
                drift: -1,
                candidate: Some(TimeCandidate { step: 9, offset: -2, seen: 2, since: 8 }),
            },
            added: 9,
            last_used: Some(Use { at: 5, from: HERE }),
            failures: 0,
            disabled: false,
        },
        Device {
            id: 2,
            label: "b".to_owned(),
            key: Secret::new(vec![0xbb]),
            algorithm: Algorithm::Sha256,
            digits: 8,
            moving: MovingFactor::Counter { next: 300, candidate: Some(301) },
            added: 9,
            last_used: None,
            failures: 3,
            disabled: true,
        },
        Device {
            id: 3,
            label: "c".to_owned(),
            key: Secret::new(vec![0xcc]),
            algorithm: Algorithm::Sha512,
            digits: 6,
            moving: MovingFactor::Sent { address: Address::parse("a@example.org").unwrap() },
            added: 9,
            last_used: None,
            failures: 0,
            disabled: false,
        },
    ]
}

fn mail_codes() -> MailCodes {
    MailCodes {
        address: Some(pending([1; 16], [2; 16], 5, 7_200)),
        local: Logins {
            code: Some(pending([3; 16], [4; 16], 6, 128)),
            tally: Tally { sent: vec![5, 6], failures: 1, failed: 7 },
        },
        known: Logins { code: None, tally: Tally { sent: vec![8], failures: 2, failed: 9 } },
        others: Logins { code: None, tally: Tally { sent: vec![], failures: 3, failed: 10 } },
    }
}

/// What version 1 wrote of [`kept_in_version_1`].
fn version_1() -> Vec<u8> {
    [&[1][..], &fields(8)].concat()
}

/// What version 2 writes of [`kept`].
fn version_2() -> Vec<u8> {
    let bypass = [&[1][..], &[9; 16], &[10; 16], &[7, 0x80, 1, 100]].concat();
    [&[2][..], &fields(14), &bypass, &[1], &[1, 0x80, 1]].concat()
}

/// The fields of version 1 with so many alterations, by hand: see postcard's specification. A number of 128 and
/// more takes further bytes, one that may be negative is doubled, and 2n - 1 where it is -n.
fn fields(alterations: u8) -> Vec<u8> {
    let here = [1, 192, 0, 2, 7];
    let devices = [
        &[3][..],
        &[1, 1, b'a', 1, 0xaa, 0, 6, 0, 30, 1, 7, 1, 1, 9, 3, 2, 8, 9, 1, 5],
        &here,
        &[0, 0],
        &[2, 1, b'b', 1, 0xbb, 1, 8, 1, 0xac, 2, 1, 0xad, 2, 9, 0, 3, 1],
        &[3, 1, b'c', 1, 0xcc, 2, 6, 2, 13],
        b"a@example.org",
        &[9, 0, 0, 0],
    ]
    .concat();
    let backup_codes =
        [&[1, 0x80, 1][..], &[1; 16], &[2], &[2; 16], &[1, 6, 0], &[3; 16], &[0], &[9]].concat();
    let seen = [1, 4, 5, 6, 7, 8, 9];
    let lockout = [
        &[1, 2, 3, 4][..],
        &[0],
        &seen,
        &here,
        &seen,
        &[2, 9, 9, 9, 9, 9, 9, 9, 9],
        &seen,
        &[3],
        &seen,
    ]
    .concat();
    let invitation = [&[1][..], &[5; 16], &[6; 16], &[0x80, 1]].concat();
    let altered = (0..alterations).flat_map(|what| [8, 1, 9, what, 1, b'a', 1]);
    let altered = altered.collect::<Vec<u8>>();
    let token = [
        &[1, 1, b't'][..],
        &[7; 20],
        &[9, 0x80, 1],
        &[2, 0, 10, 0, 0, 0, 8, 1],
        &[0; 16],
        &[64],
        &[1, 2, b's', b'u'],
        &[1, 5],
        &here,
    ]
    .concat();
    let login = |by: u8, from: &[u8], given: u8| {
        let bound = [&[1][..], &[8; 16], &[by, 2, b's', b'u'], from].concat();
        [&bound[..], &[given, 5, 0x80, 1, 1, 6]].concat()
    };
    let remembered = [
        vec![5],
        login(0, &[&[2, 1][..], &[9; 16]].concat(), 0),
        login(1, &[2, 0, 192, 0, 2, 7], 1),
        login(2, &[0], 2),
        login(2, &[1], 3),
        login(2, &[3], 4),
    ]
    .concat();
    let mail_codes = [
        &[1][..],
        &[1; 16],
        &[2; 16],
        &[5, 0xa0, 0x38],
        &[1],
        &[3; 16],
        &[4; 16],
        &[6, 0x80, 1, 2, 5, 6, 1, 7],
        &[0, 1, 8, 2, 9],
        &[0, 0, 3, 10],
    ]
    .concat();
    [
        &devices,
        &[4, 1][..],
        &backup_codes,
        &lockout,
        &invitation,
        &[alterations],
        &altered,
        &token,
        &remembered,
        &[0xac, 2],
        &mail_codes,
    ]
    .concat()
}

#[test]
fn what_version_1_wrote_is_read_for_ever() {
    let read = UserRecord::decode(&version_1()).unwrap();
    assert_eq!(read.encode(), kept_in_version_1().encode());
    assert_eq!((read.bypass, read.required), (None, false));
}

#[test]
fn version_2_is_what_is_written_and_read() {
    assert_eq!(*kept().encode().unwrap(), version_2());
    let read = UserRecord::decode(&version_2()).unwrap();
    assert_eq!(read.encode(), kept().encode());
}

#[test]
fn of_a_record_that_was_cut_or_grew_nothing_is_read() {
    for whole in [version_1(), version_2()] {
        for length in 0..whole.len() {
            let cut = UserRecord::decode(&whole[..length]);
            assert_eq!(cut.unwrap_err(), RecordError::Malformed, "{length} bytes");
        }
        let more = UserRecord::decode(&[&whole[..], &[0]].concat());
        assert_eq!(more.unwrap_err(), RecordError::Malformed);
    }
}

#[test]
fn a_newer_version_is_refused_as_such_and_no_version_is_0() {
    let mut record = version_2();
    for newer in [FORMAT + 1, u8::MAX] {
        record[0] = newer;
        assert_eq!(UserRecord::decode(&record).unwrap_err(), RecordError::Newer(newer));
    }
    record[0] = 0;
    assert_eq!(UserRecord::decode(&record).unwrap_err(), RecordError::Malformed);
}

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
