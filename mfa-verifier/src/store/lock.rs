//! Who may change a user's record: one thread of one process. And whose dbs stay open meanwhile.
//!
//! The lock is an `flock` on the permanent file `users/<uid>/lock`, or, while the user has no
//! directory, one on the byte `<uid>` of the file `newcomers`: then it keeps others from making one. Either
//! belongs to an open file, so two threads of one process exclude each other as two processes do. The
//! thread that has a lock may take it again.
//!
//! The kernel releases it when its process dies, so nothing stale remains. A holder that is
//! stopped makes others wait for [`LOCK_BOUND`] who want the same user's, and nobody else: there is no
//! lock of all users, which somebody could have held who freezes their own control group.
//!
//! A resident verifier keeps a db open when it lets go of the lock, so many at most, and closes it as soon as another process wants it (`store::doorbell`).

use std::collections::HashMap;
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use super::db::Db;
use super::doorbell::{Doorbell, Watch};
use super::files::{self, Access, FileError, Patience};
use super::room::PassedOver;
use super::seal::Unsealed;
use super::{LOCK_BOUND, Owner, StoreError};

/// How many dbs more than there is room for may stay open until the next [`Tenures::write`].
pub(super) const CROWD: usize = 32;

/// What a thread has of a user while it holds the lock. Fields are dropped in this order: the db
/// is closed before the lock is released.
pub(super) struct Tenure {
    watch: Option<Watch>,
    /// The user's db, once it had to be opened.
    pub(super) db: Option<Db>,
    /// Why it is neither read nor written until the lock is released.
    pub(super) passed_over: Option<PassedOver>,
    /// The summary, once it was looked at.
    pub(super) summary: Option<File>,
    /// What the copies hold, once they were looked at: nobody else writes meanwhile.
    pub(super) newest: Option<(Owner, Unsealed)>,
    pub(super) lock: Lock,
    /// Until when it may wait for the db.
    until: Instant,
}

/// A lock that is held until this is dropped.
pub(super) enum Lock {
    /// Of a user who has a directory: the file in it, and where that is.
    User(Flock<File>, PathBuf),
    /// Of one who has none.
    Newcomer { _file: File },
}

impl Lock {
    /// Whether it is of a user who had no directory when it was taken.
    pub(super) fn is_of_newcomer(&self) -> bool {
        matches!(self, Self::Newcomer { .. })
    }
}

impl Tenure {
    /// Does with the summary alone from here on. Whoever opens the db next brings it up to that first.
    ///
    /// It is closed: sled does not recover from an error of the system while it is open.
    pub(super) fn pass_over_db(&mut self, why: PassedOver) {
        self.db = None;
        self.passed_over = Some(why);
    }

    /// Lets go of all that is in the user's directory, but for the lock.
    pub(super) fn forget(&mut self) {
        self.db = None;
        self.summary = None;
        self.newest = None;
    }

    /// What was done to the db, unless there was no room for it: then it is passed over.
    pub(super) fn with_room<T>(
        &mut self,
        done: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match done {
            Err(error) if error.is_no_room() => {
                self.pass_over_db(PassedOver::NoRoom);
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// At least a second from now, so that what follows a long decision is not refused at once.
    pub(super) fn until(&self) -> Instant {
        self.until.max(Instant::now() + Duration::from_secs(1))
    }
}

/// The locks that this process holds and the dbs that it keeps, by uid.
#[derive(Default)]
pub(super) struct Tenures {
    entries: Mutex<Entries>,
    /// How many dbs are kept.
    room: usize,
    /// What tells that another process wants one; without it none is kept.
    doorbell: Option<Arc<Doorbell>>,
}

#[derive(Default)]
struct Entries {
    held: HashMap<u32, Holder>,
    kept: HashMap<u32, Kept>,
    /// Counts what was kept, to tell which was used last.
    turn: u64,
    /// Since when dbs are written or closed of which nobody holds the lock.
    at_work: Vec<Instant>,
}

struct Holder {
    thread: ThreadId,
    depth: usize,
    since: Instant,
    /// None while the lock is being taken.
    tenure: Option<Arc<Mutex<Tenure>>>,
    /// Whether another process waits for the db.
    wanted: bool,
}

/// A db that is open while nobody holds its user's lock. It is not watched for any more when it
/// closes: who opens it next, and can only do so afterwards, has a watch of the same file.
struct Kept {
    watch: Watch,
    db: Db,
    lock: File,
    turn: u64,
}

/// The lock of one user. It stays in its thread.
pub(super) struct Held {
    // Before what lets go of it: the tenure is then nobody's any more.
    tenure: Arc<Mutex<Tenure>>,
    _leave: Leave,
    not_send: PhantomData<*const ()>,
}

struct Leave {
    all: Arc<Tenures>,
    uid: u32,
}

impl Tenures {
    /// Keeps that many dbs open, each until somebody is at its door.
    pub(super) fn keeping(room: usize, doorbell: Arc<Doorbell>) -> Self {
        Self { entries: Mutex::default(), room, doorbell: Some(doorbell) }
    }

    /// Waits for the user's lock, no longer than that.
    ///
    /// `attempt` takes it, by the file that was kept if there is one, or says that somebody has it.
    pub(super) fn hold(
        self: &Arc<Self>,
        uid: u32,
        within: Duration,
        attempt: impl Fn(Option<File>) -> Result<Option<Lock>, StoreError>,
    ) -> Result<Held, StoreError> {
        let now = Instant::now();
        let until = now + LOCK_BOUND;
        let mut patience = Patience::new(Duration::from_millis(1), now + within);
        loop {
            if let Some(tenure) = self.enter(uid, until, &attempt)? {
                let leave = Leave { all: Arc::clone(self), uid };
                return Ok(Held { tenure, _leave: leave, not_send: PhantomData });
            }
            if !patience.wait() {
                return Err(StoreError::Busy(uid));
            }
        }
    }

    /// The user's lock, if it is this thread that has it.
    pub(super) fn held_here(self: &Arc<Self>, uid: u32) -> Option<Held> {
        let mut entries = whole(&self.entries);
        let holder = entries.held.get_mut(&uid);
        let holder = holder.filter(|holder| holder.thread == thread::current().id())?;
        let tenure = holder.tenure.clone()?;
        holder.depth += 1;
        let leave = Leave { all: Arc::clone(self), uid };
        Some(Held { tenure, _leave: leave, not_send: PhantomData })
    }

    /// How long a lock has been held, or a db been written or closed, that takes the longest.
    pub(super) fn longest(&self) -> Duration {
        let entries = whole(&self.entries);
        let held = entries.held.values().map(|holder| &holder.since);
        held.chain(&entries.at_work).map(Instant::elapsed).max().unwrap_or_default()
    }

    /// Whether dbs are written later, by [`Tenures::write`].
    pub(super) fn writes_behind(&self) -> bool {
        self.doorbell.is_some()
    }

    /// Writes the dbs that are kept, one after the other: a handle keeps a db from being closed.
    pub(super) fn write(&self) {
        let uids: Vec<u32> = whole(&self.entries).kept.keys().copied().collect();
        for uid in uids {
            let kept = whole(&self.entries).kept.get_mut(&uid).map(|kept| kept.db.unwritten());
            let Some(handle) = kept.flatten() else { continue };
            let written = self.at_work(|| handle.write());
            if written.is_err() {
                // sled does not recover from that while it is open.
                self.give_up(uid);
            }
        }
        // One after the other: each closes with a sync.
        while let Some(beyond) = self.beyond_its_room() {
            self.close(Some(beyond));
        }
    }

    fn beyond_its_room(&self) -> Option<Kept> {
        whole(&self.entries).oldest_beyond(self.room)
    }

    /// Does what may be stuck in a disk without anybody's lock: what is stuck there keeps the db from
    /// every other process, too.
    fn at_work<T>(&self, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        whole(&self.entries).at_work.push(since);
        let done = work();
        let mut entries = whole(&self.entries);
        if let Some(at) = entries.at_work.iter().position(|other| *other == since) {
            entries.at_work.swap_remove(at);
        }
        done
    }

    /// Closes the user's db, now or as soon as the thread that is at it lets go of it.
    pub(super) fn give_up(&self, uid: u32) {
        let mut entries = whole(&self.entries);
        if let Some(holder) = entries.held.get_mut(&uid) {
            holder.wanted = true;
        }
        let kept = entries.kept.remove(&uid);
        // The db closes with a sync: not while all other users' locks wait for the map.
        drop(entries);
        self.close(kept);
    }

    fn enter(
        &self,
        uid: u32,
        until: Instant,
        attempt: impl Fn(Option<File>) -> Result<Option<Lock>, StoreError>,
    ) -> Result<Option<Arc<Mutex<Tenure>>>, StoreError> {
        let kept = {
            let mut entries = whole(&self.entries);
            let thread = thread::current().id();
            if let Some(holder) = entries.held.get_mut(&uid) {
                if holder.thread != thread {
                    return Ok(None);
                }
                holder.depth += 1;
                return Ok(holder.tenure.clone());
            }
            let since = Instant::now();
            let holder = Holder { thread, depth: 1, since, tenure: None, wanted: false };
            entries.held.insert(uid, holder);
            entries.kept.remove(&uid)
        };
        let tenure = take(kept, until, attempt);
        let mut entries = whole(&self.entries);
        match (tenure, entries.held.get_mut(&uid)) {
            (Ok(Some(tenure)), Some(holder)) => {
                Ok(Some(Arc::clone(holder.tenure.insert(Arc::new(Mutex::new(tenure))))))
            }
            (tenure, _) => {
                entries.held.remove(&uid);
                drop(entries);
                tenure.map(|_| None)
            }
        }
    }

    /// Lets go of the user, whose db is kept where that is possible.
    fn leave(self: &Arc<Self>, uid: u32) {
        let tenure = {
            let mut entries = whole(&self.entries);
            let Some(holder) = entries.held.get_mut(&uid) else { return };
            holder.depth -= 1;
            if holder.depth > 0 {
                return;
            }
            // The holder stays until it is known what becomes of the db.
            holder.tenure.take()
        };
        let kept = tenure.and_then(Arc::into_inner).and_then(|tenure| self.keep(uid, tenure));
        let mut entries = whole(&self.entries);
        let wanted = entries.held.remove(&uid).is_none_or(|holder| holder.wanted);
        let closing = match kept {
            Some(kept) if !wanted => {
                entries.keep(uid, kept);
                // Nobody's login waits for another user's db to be closed, unless too many come at once.
                entries.oldest_beyond(self.room + CROWD)
            }
            kept => kept,
        };
        drop(entries);
        self.close(closing);
    }

    fn close(&self, kept: Option<Kept>) {
        if kept.is_some() {
            self.at_work(|| drop(kept));
        }
    }

    /// Releases the lock and leaves the db open. The watch is set before that: who has the lock next,
    /// and finds the db open, rings.
    fn keep(self: &Arc<Self>, uid: u32, tenure: Mutex<Tenure>) -> Option<Kept> {
        let tenure = tenure.into_inner().unwrap_or_else(PoisonError::into_inner);
        let doorbell = self.doorbell.as_ref()?;
        let Tenure { watch, db, lock, .. } = tenure;
        // In this order, should one of them be missing: the db is closed before the lock is released.
        let (lock, db) = (lock, db?);
        let Lock::User(flock, path) = lock else { return None };
        let watch = match watch {
            Some(watch) => watch,
            None => doorbell.watch(&path, self, uid)?,
        };
        let lock = flock.unlock().ok()?;
        Some(Kept { watch, db, lock, turn: 0 })
    }
}

impl Entries {
    fn keep(&mut self, uid: u32, kept: Kept) {
        self.turn += 1;
        self.kept.insert(uid, Kept { turn: self.turn, ..kept });
    }

    /// Takes out the one that was used longest ago, if there are more than that.
    fn oldest_beyond(&mut self, room: usize) -> Option<Kept> {
        if self.kept.len() <= room {
            return None;
        }
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.turn).map(|(uid, _)| *uid)?;
        self.kept.remove(&oldest)
    }
}

/// Takes the lock; the db that was kept comes with it, unless another process has the lock or has
/// exchanged something since. Then it is closed.
fn take(
    kept: Option<Kept>,
    until: Instant,
    attempt: impl Fn(Option<File>) -> Result<Option<Lock>, StoreError>,
) -> Result<Option<Tenure>, StoreError> {
    let (open, lock) = match kept {
        Some(Kept { watch, db, lock, .. }) => (Some((watch, db)), Some(lock)),
        None => (None, None),
    };
    let Some(lock) = attempt(lock)? else { return Ok(None) };
    let (watch, db) = open.filter(|(_, db)| !lock.is_of_newcomer() && db.is_in_place()).unzip();
    Ok(Some(Tenure { watch, db, passed_over: None, summary: None, newest: None, lock, until }))
}

impl Held {
    /// What comes with the lock.
    pub(super) fn tenure(&self) -> MutexGuard<'_, Tenure> {
        whole(&self.tenure)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.all.leave(self.uid);
    }
}

/// Only the thread in question uses a tenure, and a panic in it leaves nothing half done.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the file at `path`, made where it is missing, by `kept` if that is it. `None` while somebody
/// has it, and also if its directory went away meanwhile.
pub(super) fn try_user(path: &Path, kept: Option<File>) -> Result<Option<Lock>, FileError> {
    let file = match kept.map_or_else(|| files::open(path, Access::Create), Ok) {
        Err(error) if error.is_missing() => return Ok(None),
        file => file?,
    };
    let opened = file.metadata().map_err(|source| FileError::io(path, source))?;
    let Some(flock) = files::try_lock(path, file)? else { return Ok(None) };
    // Whoever had it before may have removed the user: then this file is nobody's lock any more.
    let now =
        files::lookup(path)?.filter(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino()));
    let Some(now) = now else { return Ok(None) };
    // One that was kept is looked at as closely as one that is opened.
    files::own_file(path, &now)?;
    Ok(Some(Lock::User(flock, path.to_owned())))
}

/// Locks a user's byte of the file at `path`, made where it is missing. It stays empty: what is locked
/// need not be there.
pub(super) fn try_newcomer(path: &Path, uid: u32) -> Result<Option<Lock>, FileError> {
    let file = files::open(path, Access::Create)?;
    let locked = files::try_lock_byte(path, &file, uid)?;
    Ok(locked.then_some(Lock::Newcomer { _file: file }))
}
