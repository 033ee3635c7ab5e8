//! Who may change a user's record: one thread of one process.
//!
//! The lock is an `flock` on the permanent file `users/<uid>/lock`, or, while the user has no
//! directory, on `users/` itself: then it keeps everybody from making one. `flock` belongs to an
//! open file, so two threads of one process exclude each other as two processes do. The thread
//! that has a lock may take it again.
//!
//! The kernel releases it when its process dies, so nothing stale remains. A holder that is
//! stopped makes others wait for [`LOCK_BOUND`].

use std::collections::HashMap;
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use super::db::Db;
use super::files::{self, Access, FileError, Patience};
use super::{LOCK_BOUND, StoreError};

/// What a thread has of a user while it holds the lock. Fields are dropped in this order: the db
/// is closed before the lock is released.
pub(super) struct Tenure {
    /// The user's db, once it had to be opened.
    pub(super) db: Option<Db>,
    pub(super) lock: Lock,
    /// Until when it may wait for the db.
    until: Instant,
}

/// A lock that is held until this is dropped.
pub(super) struct Lock {
    _flock: Flock<File>,
    /// Whether it is that of the directory of users.
    pub(super) of_all: bool,
}

impl Tenure {
    /// At least a second from now, so that what follows a long decision is not refused at once.
    pub(super) fn until(&self) -> Instant {
        self.until.max(Instant::now() + Duration::from_secs(1))
    }
}

/// The locks that this process holds, by uid.
#[derive(Default)]
pub(super) struct Tenures(Mutex<HashMap<u32, Entry>>);

struct Entry {
    thread: ThreadId,
    depth: usize,
    tenure: Arc<Mutex<Tenure>>,
}

/// The lock of one user. It stays in its thread.
pub(super) struct Held {
    all: Arc<Tenures>,
    uid: u32,
    tenure: Arc<Mutex<Tenure>>,
    not_send: PhantomData<*const ()>,
}

impl Tenures {
    /// Waits for the user's lock, at most [`LOCK_BOUND`].
    ///
    /// `attempt` takes it, or says that somebody has it.
    pub(super) fn hold(
        self: &Arc<Self>,
        uid: u32,
        attempt: impl Fn() -> Result<Option<Lock>, StoreError>,
    ) -> Result<Held, StoreError> {
        let until = Instant::now() + LOCK_BOUND;
        let mut patience = Patience::new(Duration::from_millis(1), until);
        loop {
            if let Some(tenure) = self.enter(uid, until, &attempt)? {
                return Ok(Held { all: Arc::clone(self), uid, tenure, not_send: PhantomData });
            }
            if !patience.wait() {
                return Err(StoreError::Busy(uid));
            }
        }
    }

    fn enter(
        &self,
        uid: u32,
        until: Instant,
        attempt: impl Fn() -> Result<Option<Lock>, StoreError>,
    ) -> Result<Option<Arc<Mutex<Tenure>>>, StoreError> {
        let mut entries = whole(&self.0);
        if let Some(entry) = entries.get_mut(&uid) {
            if entry.thread != thread::current().id() {
                return Ok(None);
            }
            entry.depth += 1;
            return Ok(Some(Arc::clone(&entry.tenure)));
        }
        let Some(lock) = attempt()? else { return Ok(None) };
        let tenure = Arc::new(Mutex::new(Tenure { db: None, lock, until }));
        let entry = Entry { thread: thread::current().id(), depth: 1, tenure: Arc::clone(&tenure) };
        entries.insert(uid, entry);
        Ok(Some(tenure))
    }

    /// The entry, once nobody holds it.
    fn leave(&self, uid: u32) -> Option<Entry> {
        let mut entries = whole(&self.0);
        let entry = entries.get_mut(&uid)?;
        entry.depth -= 1;
        if entry.depth == 0 { entries.remove(&uid) } else { None }
    }
}

impl Held {
    /// What comes with the lock.
    pub(super) fn tenure(&self) -> MutexGuard<'_, Tenure> {
        whole(&self.tenure)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The db closes with a sync: not while all other users' locks wait for the map.
        drop(self.all.leave(self.uid));
    }
}

/// Only the thread in question uses a tenure, and a panic in it leaves nothing half done.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the file at `path`, made where it is missing. `None` while somebody has it, and also if
/// its directory went away meanwhile.
pub(super) fn try_user(path: &Path) -> Result<Option<Lock>, FileError> {
    let file = match files::open(path, Access::Create) {
        Err(error) if error.is_missing() => return Ok(None),
        file => file?,
    };
    let opened = file.metadata().map_err(|source| FileError::io(path, source))?;
    let Some(lock) = files::try_lock(path, file)? else { return Ok(None) };
    // Whoever had it before may have removed the user: then this file is nobody's lock any more.
    let still = files::lookup(path)?
        .is_some_and(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino()));
    Ok(still.then_some(Lock { _flock: lock, of_all: false }))
}

/// Locks the directory of users.
pub(super) fn try_users(path: &Path) -> Result<Option<Lock>, FileError> {
    let directory = File::open(path).map_err(|source| FileError::io(path, source))?;
    Ok(files::try_lock(path, directory)?.map(|lock| Lock { _flock: lock, of_all: true }))
}
