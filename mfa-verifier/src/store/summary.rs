//! The summary: a user's record once more, beside the db, in a file that is written in place.
//!
//! # The format
//!
//! Two slots of 4,096 bytes. Revision *n* lies in slot *n* mod 2, so a write never touches the
//! newest copy. A slot is, little-endian: the sealed record's length (u16); the first four bytes
//! of the SHA-256 of that length and the record's header; the sealed record (`store::seal`); zeros
//! to the end. A slot of zeros only is empty.
//!
//! The hash guards against nobody: it tells whether the revision that a damaged slot claims is the
//! one that was written.
//!
//! # When it can be believed alone
//!
//! [`Summary::settled`]: two authentic slots of consecutive revisions, or revision 1 beside an
//! empty slot. A save syncs the summary before it answers, so such a summary holds the newest state
//! that anybody was told of. In every other case the db has to be asked,
//! under the lock.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::{self, Access, FileError};
use super::seal::{self, Header, NotAuthentic, SealingKey, Unsealed};
use super::{Owner, Revision};
use crate::record;

/// Bytes of a slot.
const SLOT: usize = 4096;

/// Bytes of the whole file.
pub(super) const SIZE: usize = 2 * SLOT;

/// Bytes in a slot before the sealed record.
const PREFIX: usize = 2 + 4;

/// Where what a slot claims stands once more.
const CLAIM_AGAIN: usize = SLOT - PREFIX - seal::HEADER;

const _: () = assert!(PREFIX + record::MAX_ENCODED + seal::OVERHEAD <= CLAIM_AGAIN);

/// What a summary holds for one owner.
pub(super) struct Summary {
    slots: [Slot; 2],
    /// Whether the file is there and has its size.
    whole_file: bool,
}

enum Slot {
    Empty,
    Authentic(Unsealed),
    Damaged {
        /// The revision that was written there, if that much can be made out.
        claim: Option<Revision>,
        why: NotAuthentic,
    },
}

impl Summary {
    /// Reads without a lock: while another process writes, a slot may look damaged. A file that
    /// is missing is two empty slots.
    pub(super) fn read(path: &Path, key: &SealingKey, owner: &Owner) -> Result<Self, FileError> {
        Self::of(open(path, Access::Read)?.as_ref(), path, key, owner)
    }

    /// The same of a file that is open, or missing.
    pub(super) fn of(
        file: Option<&File>,
        path: &Path,
        key: &SealingKey,
        owner: &Owner,
    ) -> Result<Self, FileError> {
        let Some(file) = file else {
            return Ok(Self { slots: [Slot::Empty, Slot::Empty], whole_file: false });
        };
        let mut bytes = [0; SIZE + 1];
        // Of a regular file less than was asked for is all that there is: read(2).
        let length = loop {
            match file.read_at(&mut bytes, 0) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|source| FileError::io(path, source))?,
            }
        };
        let bytes = bytes.get(..length).unwrap_or_default();
        let slot = |index: usize| {
            let bytes = bytes.get(index * SLOT..).unwrap_or_default();
            Slot::parse(bytes.get(..SLOT).unwrap_or(bytes), index, key, owner)
        };
        Ok(Self { slots: [slot(0), slot(1)], whole_file: length == SIZE })
    }

    /// The newest copy, if the summary alone shows that there is no newer one.
    pub(super) fn settled(&self) -> Option<&Unsealed> {
        self.newest().filter(|copy| self.is_right(copy.revision))
    }

    /// The newest authentic copy.
    pub(super) fn newest(&self) -> Option<&Unsealed> {
        let copies = self.slots.iter().filter_map(|slot| match slot {
            Slot::Authentic(copy) => Some(copy),
            _ => None,
        });
        copies.max_by_key(|copy| copy.revision)
    }

    /// Whether it says all that it should when `newest` is the newest revision.
    pub(super) fn is_right(&self, newest: Revision) -> bool {
        self.whole_file && self.slots.iter().enumerate().all(|(at, slot)| slot.is_right(at, newest))
    }

    /// What is wrong with one that is not right.
    pub(super) fn fault(&self) -> &'static str {
        if !self.whole_file {
            "was gone or cut"
        } else if self.slots.iter().any(|slot| matches!(slot, Slot::Damaged { .. })) {
            "was damaged"
        } else {
            "was older than the db"
        }
    }

    /// Whether a slot may have held a newer revision than `newest`, the newest authentic copy.
    ///
    /// A slot that says which revision it had is taken at its word. One that does not, or that is
    /// gone, is harmless only beside a db that has `newest`: two things must have failed at once
    /// to make that wrong.
    pub(super) fn may_have_had_newer(&self, newest: Revision, db_has_newest: bool) -> bool {
        self.slots.iter().enumerate().any(|(at, slot)| match slot {
            Slot::Authentic(_) => false,
            Slot::Damaged { claim: Some(claim), .. } => *claim > newest,
            Slot::Damaged { claim: None, .. } => !db_has_newest,
            Slot::Empty => !db_has_newest && expected_in(at, newest).is_some(),
        })
    }

    /// The best reason why a slot is not authentic.
    pub(super) fn why_not(&self) -> Option<NotAuthentic> {
        let reasons = self.slots.iter().filter_map(|slot| match slot {
            Slot::Damaged { why, .. } => Some(*why),
            _ => None,
        });
        reasons.max()
    }

    /// Why no slot is the owner's, where that is not for a write that is under way.
    pub(super) fn is_of_others(&self) -> Option<NotAuthentic> {
        let why = self.why_not().filter(|_| self.newest().is_none());
        why.filter(|why| !matches!(why, NotAuthentic::Malformed | NotAuthentic::Broken))
    }

    /// Writes what is not right, durably, where `copy` is the newest. A slot that is right is not
    /// touched: it may be the only copy.
    ///
    /// Where the revision before it is lost, its slot gets the newest record too: two whole slots
    /// are what the next reader can believe without opening the db.
    pub(super) fn heal(
        &self,
        path: &Path,
        key: &SealingKey,
        owner: &Owner,
        copy: &Unsealed,
    ) -> Result<(), FileError> {
        let file = files::open(path, Access::Create)?;
        let write = || {
            for (at, slot) in self.slots.iter().enumerate() {
                if slot.is_right(at, copy.revision) {
                    continue;
                }
                match expected_in(at, copy.revision) {
                    Some(revision) => put(&file, &key.seal(owner, revision, &copy.plain)?, at)?,
                    None => file.write_all_at(&[0; SLOT], offset(at))?,
                }
            }
            file.set_len(SIZE as u64)?;
            file.sync_all()
        };
        write().map_err(|source| FileError::io(path, source))
    }
}

impl Slot {
    fn parse(bytes: &[u8], index: usize, key: &SealingKey, owner: &Owner) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Empty;
        }
        let (sealed, front) = claimed(bytes);
        let (_, end) = claimed(bytes.get(CLAIM_AGAIN..).unwrap_or_default());
        let of_this_slot = |claim: &Revision| slot_of(*claim) == index;
        let (front, end) = (front.filter(of_this_slot), end.filter(of_this_slot));
        // Where both ends speak and disagree, the write was cut: nobody was told of the newer one.
        let claim = front.zip(end).map(|(front, end)| front.min(end)).or(front).or(end);
        match key.unseal(owner, sealed) {
            Ok(copy) if front == Some(copy.revision) => Self::Authentic(copy),
            Ok(_) => Self::Damaged { claim, why: NotAuthentic::Broken },
            Err(why) => Self::Damaged { claim, why },
        }
    }

    fn is_right(&self, index: usize, newest: Revision) -> bool {
        match self {
            Self::Empty => expected_in(index, newest).is_none(),
            Self::Authentic(copy) => expected_in(index, newest) == Some(copy.revision),
            Self::Damaged { .. } => false,
        }
    }
}

/// A slot's sealed record, and the revision that it claims, if the hash vouches for that.
fn claimed(slot: &[u8]) -> (&[u8], Option<Revision>) {
    let Some((length, rest)) = slot.split_first_chunk::<2>() else { return (&[], None) };
    let Some((hash, sealed)) = rest.split_first_chunk::<4>() else { return (&[], None) };
    let sealed = sealed.get(..usize::from(u16::from_le_bytes(*length))).unwrap_or(sealed);
    let claim = match Header::decode(sealed) {
        Ok(header) if *hash == head_hash(*length, sealed) => Some(header.revision),
        _ => None,
    };
    (sealed, claim)
}

fn head_hash(length: [u8; 2], sealed: &[u8]) -> [u8; 4] {
    let header = sealed.get(..seal::HEADER).unwrap_or(sealed);
    let hash: [u8; 32] = Sha256::new().chain_update(length).chain_update(header).finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// The slot of a revision.
fn slot_of(revision: Revision) -> usize {
    usize::from(revision.0 % 2 == 1)
}

/// The revision that a slot holds when `newest` is the newest; none, if it is to be empty.
fn expected_in(slot: usize, newest: Revision) -> Option<Revision> {
    let before = Revision(newest.0.saturating_sub(1));
    let expected = if slot_of(newest) == slot { newest } else { before };
    (expected != Revision::NONE).then_some(expected)
}

fn offset(slot: usize) -> u64 {
    if slot == 0 { 0 } else { SLOT as u64 }
}

/// Makes the summary of a record's first revision, which [`write`](fn@write) never has to extend.
pub(super) fn create(path: &Path, sealed: &[u8]) -> Result<(), FileError> {
    let file = files::create_new(path)?;
    file.write_all_at(&[0; SIZE], 0)
        .and_then(|()| put(&file, sealed, slot_of(Revision(1))))
        .and_then(|()| file.sync_all())
        .map_err(|source| FileError::io(path, source))
}

/// Opens a summary, if there is one.
pub(super) fn open(path: &Path, access: Access) -> Result<Option<File>, FileError> {
    match files::open(path, access) {
        Err(error) if error.is_missing() => Ok(None),
        file => file.map(Some),
    }
}

/// Writes a sealed record into the slot of its revision and makes it durable.
pub(super) fn write(
    file: &File,
    path: &Path,
    revision: Revision,
    sealed: &[u8],
) -> Result<(), FileError> {
    put(file, sealed, slot_of(revision))
        .and_then(|()| file.sync_data())
        .map_err(|source| FileError::io(path, source))
}

/// One whole slot in one call, in place.
fn put(file: &File, sealed: &[u8], slot: usize) -> io::Result<()> {
    let length = u16::try_from(sealed.len()).map_err(io::Error::other)?.to_le_bytes();
    let header = sealed.get(..seal::HEADER).unwrap_or(sealed);
    let hash = head_hash(length, sealed);
    let mut bytes = [&length[..], &hash, sealed].concat();
    if bytes.len() > CLAIM_AGAIN {
        return Err(io::Error::other("the sealed record does not fit its slot"));
    }
    bytes.resize(CLAIM_AGAIN, 0);
    bytes.extend([&length[..], &hash, header].concat());
    file.write_all_at(&bytes, offset(slot))
}
