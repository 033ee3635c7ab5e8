//! Users who have no directory yet, and those who are to have none any more.
//!
//! Each has a lock of their own (`store::lock`): whoever stops with one, while sled makes its threads or the
//! disk syncs, keeps others waiting who log in as the same user, and nobody else.

use std::time::{Duration, Instant};

use super::super::files::{self, FileError, Patience};
use super::super::lock::{self, Lock, Tenure};
use super::super::room::Room;
use super::super::{Owner, Revision, StoreError};
use super::SledStore;
use crate::record::UserRecord;

impl SledStore {
    /// The lock of a user who has no directory, unless somebody has it.
    pub(super) fn try_newcomer(&self, uid: u32) -> Result<Option<Lock>, StoreError> {
        lock::try_newcomer(&self.path.join("newcomers"), uid).map_err(|error| error.of(uid))
    }

    /// The same, waited for. It may be while holding the lock in the user's directory, never the other way.
    pub(super) fn wait_for_newcomer(&self, uid: u32, until: Instant) -> Result<Lock, StoreError> {
        let mut patience = Patience::new(Duration::from_millis(1), until);
        loop {
            match self.try_newcomer(uid)? {
                Some(lock) => return Ok(lock),
                None if patience.wait() => {}
                None => return Err(StoreError::Busy(uid)),
            }
        }
    }

    /// Makes the lock that of a user who has no directory.
    pub(super) fn lock_as_newcomer(&self, uid: u32, tenure: &mut Tenure) -> Result<(), StoreError> {
        if !tenure.lock.is_of_newcomer() {
            let lock = self.wait_for_newcomer(uid, tenure.until())?;
            tenure.forget();
            tenure.lock = lock;
        }
        Ok(())
    }

    /// Saves a record's first revision, in a directory that is made aside. Needs the lock of a user who
    /// has none.
    pub(super) fn create(
        &self,
        owner: &Owner,
        record: &UserRecord,
        tenure: &mut Tenure,
    ) -> Result<(), StoreError> {
        let uid = owner.uid;
        let sealed = self.key.seal(owner, Revision(1), &record.encode()?)?;
        self.sweep(uid)?;
        let aside = Room { uid, path: self.users.join(format!(".new-{uid}")) };
        let made = aside.furnish(tenure, &sealed);
        // sled remembers its path: it must be closed before that changes.
        tenure.db = None;
        let named = made.and_then(|lock| {
            files::sync_tree(&aside.path)
                .and_then(|()| files::rename(&aside.path, &self.users.join(uid.to_string())))
                .and_then(|()| files::sync_directory(&self.users))
                .map_err(|error| error.of(uid))?;
            Ok(lock)
        });
        if named.is_err() {
            // Where it is for want of room, it is not to take what there is.
            let _ = files::remove_tree(&aside.path);
        }
        tenure.lock = named?;
        Ok(())
    }

    /// Removes what interrupted creations and removals left: those of this user, whose lock is held, and
    /// of all whose lock nobody has.
    fn sweep(&self, own: u32) -> Result<(), StoreError> {
        let of_own = |error: FileError| error.of(own);
        for entry in files::entries(&self.users).map_err(of_own)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            let Some(whose) = name.strip_prefix(".new-").or(name.strip_prefix(".gone-")) else {
                continue;
            };
            let at_work = match whose.parse() {
                Ok(uid) if uid != own => match self.try_newcomer(uid)? {
                    None => continue,
                    lock => lock,
                },
                _ => None,
            };
            files::remove_tree(&entry).map_err(of_own)?;
            drop(at_work);
        }
        Ok(())
    }
}
