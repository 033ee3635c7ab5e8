//! A store in memory, for the pure tests.

use std::any::Any;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Glance, Owner, Revision, Saved, Store, StoreError, is_nobodys};
use crate::record::{RecordError, UserRecord};

/// Records that live as long as the process. They are kept encoded, so that a test sees the limits
/// of the encoding too.
#[derive(Default)]
pub struct MemoryStore {
    records: Mutex<HashMap<u32, Kept>>,
    locks: Arc<Locks>,
}

struct Kept {
    name: String,
    bytes: Zeroizing<Vec<u8>>,
    revision: Revision,
}

#[derive(Default)]
struct Locks {
    held: Mutex<HashSet<u32>>,
    released: Condvar,
}

struct Held {
    locks: Arc<Locks>,
    uid: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        whole(&self.locks.held).remove(&self.uid);
        self.locks.released.notify_all();
    }
}

impl MemoryStore {
    /// A store of decoys alone, for a host that has no store yet.
    ///
    /// # Errors
    /// [`RecordError`] where the record cannot be encoded.
    pub fn of_decoys(record: &UserRecord) -> Result<Self, RecordError> {
        let bytes = record.encode()?;
        let revision = Revision::NONE.next();
        let kept =
            |owner: Owner| (owner.uid, Kept { name: owner.name, bytes: bytes.clone(), revision });
        let records = Mutex::new(Owner::decoys().map(kept).collect());
        Ok(Self { records, ..Self::default() })
    }
}

impl Store for MemoryStore {
    fn lock_within(&self, owner: &Owner, bound: Duration) -> Result<Box<dyn Any>, StoreError> {
        let uid = owner.uid;
        let (mut held, waited) = self
            .locks
            .released
            .wait_timeout_while(whole(&self.locks.held), bound, |held| held.contains(&uid))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Busy(uid));
        }
        held.insert(uid);
        Ok(Box::new(Held { locks: Arc::clone(&self.locks), uid }))
    }

    fn load(&self, owner: &Owner) -> Result<(UserRecord, Revision), StoreError> {
        match whole(&self.records).get(&owner.uid) {
            None => Ok((UserRecord::default(), Revision::NONE)),
            Some(kept) => {
                kept.demand(owner)?;
                Ok((UserRecord::decode(&kept.bytes)?, kept.revision))
            }
        }
    }

    fn save(
        &self,
        owner: &Owner,
        record: &UserRecord,
        expected: Revision,
    ) -> Result<Saved, StoreError> {
        let bytes = record.encode()?;
        let mut records = whole(&self.records);
        let kept = records.get(&owner.uid);
        kept.map_or(Ok(()), |kept| kept.demand(owner))?;
        if kept.map_or(Revision::NONE, |kept| kept.revision) != expected {
            return Ok(Saved::Conflict);
        }
        let kept = Kept { name: owner.name.clone(), bytes, revision: expected.next() };
        records.insert(owner.uid, kept);
        Ok(Saved::Saved)
    }

    fn remove(&self, owner: &Owner) -> Result<(), StoreError> {
        whole(&self.records).remove(&owner.uid);
        Ok(())
    }

    fn uids(&self) -> Result<BTreeSet<u32>, StoreError> {
        Ok(whole(&self.records).keys().copied().filter(|uid| !is_nobodys(*uid)).collect())
    }

    fn glance(&self, owner: &Owner) -> Result<Glance, StoreError> {
        Ok(match self.load(owner)? {
            (_, Revision::NONE) => Glance::Nobody,
            (record, _) => Glance::Record(record),
        })
    }
}

impl Kept {
    fn demand(&self, owner: &Owner) -> Result<(), StoreError> {
        if self.name == owner.name {
            return Ok(());
        }
        let reason = "it belongs to another user name".to_owned();
        Err(StoreError::Damaged { uid: owner.uid, reason })
    }
}

/// Each change here is one insertion or removal: a panic elsewhere leaves nothing half done.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
