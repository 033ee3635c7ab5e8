//! Where records are kept.
//!
//! The contract is compare-and-swap: [`Store::load`] gives a record and its [`Revision`],
//! [`Store::save`] replaces the record only if that revision still stands, and has made it durable
//! when it returns. That is the replay defence: two logins with one code cannot both save. A lock
//! only keeps them from trying in vain.

#[cfg(test)]
mod contract;
mod db;
mod doorbell;
mod files;
mod lock;
mod marker;
mod memory;
mod open_dbs;
mod room;
mod seal;
mod sled;
mod summary;
#[cfg(test)]
pub(crate) mod tests;

use std::any::Any;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use memory::MemoryStore;
pub use open_dbs::OpenDbs;
pub use seal::{KeyError, SealingKey};

pub use self::sled::{Opened, SledStore};

use crate::record::{RecordError, UserRecord};

/// How many decoys there are. Each user has a lock of their own; with one decoy those who have no
/// record would queue on its lock, and a dozen logins at once told them apart (medians of 60: 23 ms
/// enrolled, 148 ms unknown).
pub const DECOYS: u32 = 16;

/// How long an update waits for the user's lock.
pub const LOCK_BOUND: Duration = Duration::from_secs(5);

/// Whose record it is. A record is bound to both: a uid that is given to another user does not
/// bring the old owner's factors along.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The uid, which names the record's directory.
    pub uid: u32,
    /// The name as the system has it.
    pub name: String,
}

impl Owner {
    /// Whether this is root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The owner of a decoy: a record on which the work is done for users who have none. There are
    /// [`DECOYS`] of them, and any number names one.
    ///
    /// Their uids are the last ones, which no user has: `u32::MAX` is "no uid" in `chown(2)`. Their
    /// name is not a name.
    #[must_use]
    pub fn decoy(number: u32) -> Self {
        Self { uid: u32::MAX - number % DECOYS, name: String::new() }
    }

    /// Who has no record, and no decoy's either: in place of somebody whom the system does not know, so
    /// that as much is looked for.
    #[must_use]
    pub fn stranger() -> Self {
        Self { uid: u32::MAX - DECOYS, name: String::new() }
    }

    /// Whether it is a decoy's.
    #[must_use]
    pub fn is_decoy(&self) -> bool {
        self.uid > u32::MAX - DECOYS
    }

    /// All owners of decoys, this one first.
    fn decoys_from(&self) -> impl Iterator<Item = Self> {
        let first = u32::MAX - self.uid;
        (0..DECOYS).map(move |n| Self::decoy(first + n))
    }

    /// All owners of decoys.
    pub fn decoys() -> impl Iterator<Item = Self> {
        (0..DECOYS).map(Self::decoy)
    }
}

/// A decoy that nobody else in this process works on, as long as there is one: those who have no record
/// wait for each other no more than those who have one. Given back when dropped.
#[derive(Debug)]
pub struct Decoy {
    number: u32,
    /// Its bit in [`TAKEN`]; none where all are taken, and some are shared.
    bit: u32,
}

/// A bit for each decoy that somebody in this process has.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// How many had to share one.
static SHARED: AtomicU32 = AtomicU32::new(0);

impl Decoy {
    /// One that was used not long ago, if there is any: it is read as quickly as the record of somebody
    /// who comes often. Other processes begin with other ones.
    #[must_use]
    pub fn take() -> Self {
        let first = std::process::id();
        for number in (0..DECOYS).map(|n| first.wrapping_add(n) % DECOYS) {
            let bit = 1 << number;
            if TAKEN.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                return Self { number, bit };
            }
        }
        Self { number: SHARED.fetch_add(1, Ordering::Relaxed), bit: 0 }
    }

    /// Whose record it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::decoy(self.number)
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        TAKEN.fetch_and(!self.bit, Ordering::Relaxed);
    }
}

/// Whether a uid is a decoy's or the stranger's, and so nobody's.
#[must_use]
pub fn is_nobodys(uid: u32) -> bool {
    uid >= u32::MAX - DECOYS
}

/// Which state of a record. Each save makes the next one; zero is a record that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Of a record that does not exist.
    pub const NONE: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What came of [`Store::save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// The record is durable.
    Saved,
    /// Another one was saved since it was loaded; nothing was changed.
    Conflict,
}

/// What [`Store::glance`] sees.
#[expect(clippy::large_enum_variant, reason = "it lives from a `return` to a `match`")]
pub enum Glance {
    /// The owner has none.
    Nobody,
    /// The record as it stands.
    Record(UserRecord),
    /// Whether it is whole only [`Store::load`] can tell. It says why.
    Unsure(String),
}

/// Why the store cannot answer. A login then is refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is not usable at all.
    #[error("the store at {} is not usable: {reason}", path.display())]
    Unusable {
        /// Its directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The record exists and no copy of it is whole, or it belongs to somebody else.
    #[error("the record of uid {uid} is not usable: {reason}")]
    Damaged {
        /// Whose.
        uid: u32,
        /// Why.
        reason: String,
    },
    /// Somebody held the user's lock for too long.
    #[error("the record of uid {0} is locked by another process")]
    Busy(u32),
    /// The record cannot be encoded or decoded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The system refused.
    #[error("the store failed: {0}")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// Whether it is for want of room: the file system is full, or a quota is used up.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        matches!(self, Self::Io(why)
            if matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    }
}

/// Records of users.
pub trait Store: Send + Sync {
    /// Keeps others on this host from updating the owner's record while the result lives.
    ///
    /// # Errors
    /// [`StoreError::Busy`] after [`LOCK_BOUND`].
    fn lock(&self, owner: &Owner) -> Result<Box<dyn Any>, StoreError> {
        self.lock_within(owner, LOCK_BOUND)
    }

    /// The same with another bound; [`Duration::ZERO`] does not wait.
    fn lock_within(&self, owner: &Owner, bound: Duration) -> Result<Box<dyn Any>, StoreError>;

    /// The owner's record as it stands, with its revision; [`Revision::NONE`] and an empty record
    /// where the owner provably has none. Never an older state than one that was acknowledged.
    fn load(&self, owner: &Owner) -> Result<(UserRecord, Revision), StoreError>;

    /// Replaces the record that was loaded as `expected`. Durable when it returns
    /// [`Saved::Saved`], which goes for a record that is new, too.
    fn save(
        &self,
        owner: &Owner,
        record: &UserRecord,
        expected: Revision,
    ) -> Result<Saved, StoreError>;

    /// Forgets all about the uid, whatever is there, whole or not. Durable when it returns.
    fn remove(&self, owner: &Owner) -> Result<(), StoreError>;

    /// The uids of all who have a record, be it whole or not.
    fn uids(&self) -> Result<BTreeSet<u32>, StoreError>;

    /// The owner's record, for a list of many: nobody is waited for, nobody's login has to wait, and
    /// nothing is mended.
    fn glance(&self, owner: &Owner) -> Result<Glance, StoreError>;

    /// What had to be mended since this was last asked, for the log.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What [`update`]'s caller decides.
#[expect(clippy::large_enum_variant, reason = "it lives from a `return` to a `match`")]
pub enum Change<T> {
    /// Save this record, and then the answer is `T`.
    Save(UserRecord, T),
    /// The record stays as it is.
    Keep(T),
}

/// Loads, decides and saves under the owner's lock. The answer is given only after the record is
/// durable. Of decoys it may be another one's record.
pub fn update<T>(
    store: &dyn Store,
    owner: &Owner,
    mut decide: impl FnMut(UserRecord) -> Change<T>,
) -> Result<T, StoreError> {
    let (owner, _lock) = locked(store, owner)?;
    loop {
        let (record, revision) = store.load(&owner)?;
        match decide(record) {
            Change::Keep(answer) => return Ok(answer),
            Change::Save(record, answer) => match store.save(&owner, &record, revision)? {
                Saved::Saved => return Ok(answer),
                Saved::Conflict => {}
            },
        }
    }
}

/// The owner with the lock; of decoys the next one whose lock is free.
///
/// A decoy's is nobody's: who has it need not be waited for. Somebody who is not enrolled may have a
/// verifier hold one for as long as they like, by freezing the control group that it runs in. The
/// next one is as much work; to see that one is held is an `flock` that fails.
fn locked(store: &dyn Store, owner: &Owner) -> Result<(Owner, Box<dyn Any>), StoreError> {
    if owner.is_decoy() {
        for decoy in owner.decoys_from() {
            match store.lock_within(&decoy, Duration::ZERO) {
                Err(StoreError::Busy(_)) => {}
                lock => return Ok((decoy, lock?)),
            }
        }
    }
    Ok((owner.clone(), store.lock(owner)?))
}

#[cfg(test)]
mod decoys {
    use super::*;

    #[test]
    fn two_at_once_have_two_decoys_and_more_than_there_are_share_some() {
        let first = Decoy::take();
        let second = Decoy::take();
        assert_ne!(first.owner(), second.owner());
        assert!(first.owner().is_decoy() && is_nobodys(first.owner().uid));
        let all: Vec<Decoy> = (0..2 * DECOYS).map(|_| Decoy::take()).collect();
        assert!(all.iter().all(|decoy| decoy.owner().is_decoy()));
        drop((first, second, all));
        assert!(!Owner::stranger().is_decoy() && is_nobodys(Owner::stranger().uid));
    }
}
