//! The store of one host: for each user a sled db, and beside it the summary.
//!
//! ```text
//! format                  the marker (store::marker)
//! users/<uid>/lock        locked while the record changes (store::lock)
//! users/<uid>/db/         the sealed record in sled (store::db)
//! users/<uid>/summary     the sealed record, twice (store::summary)
//! users/.new-<uid>/       a user's directory that is being made
//! users/.gone-<uid>/      one that is being removed
//! newcomers               its byte <uid> is locked while a directory is made, or removed (store::lock)
//! ```
//!
//! A user's directory is made aside and renamed, so where there is one, a record was in it: if none
//! can be read, that is damage, and never "not enrolled". Nobody has a record whose directory is
//! missing from a `users/` that is still the one that was opened, and in which a decoy has one.
//!
//! # Which copy is synced
//!
//! A save writes sled, flushes it, writes the summary and syncs the summary; the answer comes after
//! that. A process that keeps its dbs open leaves the flush to a thread of its own, which does it within
//! two seconds, and when the db closes. One that is killed before that leaves a db that is older than the
//! summary, from which the next opening makes it anew. Where such a process is stopped and keeps a db
//! open, others do with the summary, which holds all that was ever answered. So does everybody whose
//! file system is full: sled needs new blocks even to open a db, the summary none. Measured on ext4 (600 updates each, interleaved, medians, November 2026, a virtual
//! disk whose flush is cheap), a record of 300 / 3,975 bytes:
//!
//! | | µs |
//! |---|---|
//! | sled insert and flush | 39 / 42 |
//! | and the summary written, nothing synced | 40 / 43 |
//! | and `fsync` of the db | 51 / 58 |
//! | and `fdatasync` of the summary | 67 / 74 |
//! | and both | 80 / 86 |
//!
//! Syncing the db would be cheaper by 16 µs, since `flush` has already pushed its data out; both
//! are one flush of the disk, which is what costs on real disks. It is the summary that is synced,
//! because a load believes the summary alone: after a power cut a synced db beside an older summary
//! would let a login be decided on a record from before the last acknowledged save.
//!
//! # What it costs
//!
//! Same disk, small records: a load takes 6 µs, of somebody who has no record 1 µs; an update with
//! the db open 0.1 ms; an update that opens and closes the db 0.8 ms; a first save 1 ms; a process
//! that opens the store, updates once and ends 7 ms. 64 such processes for one user take 0.3 s.
//! 2,000 processes killed at random moments lost none of 50,648 acknowledged updates, and the next
//! update took at most 62 ms.

mod newcomer;

use std::any::Any;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, Access, FileError};
use super::lock::{self, Held, Tenure, Tenures};
use super::marker::{Found, Site};
use super::room::{NoValue, PassedOver, Room, Written};
use super::seal::{NotAuthentic, SealingKey, Unsealed};
use super::summary::{self, Summary};
use super::{Glance, LOCK_BOUND, OpenDbs, Owner, Revision, Saved, Store, StoreError, is_nobodys};
use crate::record::UserRecord;

/// How often a glance looks at a summary that may be being written, and how long it pauses in between:
/// one write takes some microseconds.
const GLANCES: usize = 3;
const PAUSE: Duration = Duration::from_millis(1);

/// Notices kept until somebody asks for them.
const MAX_NOTICES: usize = 64;

/// What was found where a store should be.
pub enum Opened {
    /// Neither key nor store: nobody on this host is enrolled, and nobody can be before
    /// [`SledStore::initialize`].
    Fresh,
    /// The store.
    Store(SledStore),
}

/// Records of users in sled, one db for each uid.
pub struct SledStore {
    key: SealingKey,
    path: PathBuf,
    users: PathBuf,
    /// Device and inode of `users`, which tell that it is still the one that was opened.
    identity: (u64, u64),
    tenures: Arc<Tenures>,
    notices: Mutex<Vec<String>>,
}

impl SledStore {
    /// Opens the store at `path`, whose key is in `key_file`. Makes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where key or store is missing, damaged, readable by others than
    /// root, or of another host; the reason says what to do.
    pub fn open(path: &Path, key_file: &Path) -> Result<Opened, StoreError> {
        let site = Site::new(path, key_file);
        match site.survey()? {
            Found::Nothing => Ok(Opened::Fresh),
            Found::Store(key) => Self::with_key(&site, path, key)?.furnished().map(Opened::Store),
            Found::Unfinished => Err(site.unusable(
                "making it was interrupted; run mfa-setup as root to complete it".to_owned(),
            )),
        }
    }

    /// Opens the store; where there is neither key nor store, makes both, with `decoy` as the
    /// record of each of [`Owner::decoys`]. Completes what an interrupted call left. Never called by a
    /// login.
    ///
    /// # Errors
    /// As [`SledStore::open`]: what is there is never replaced.
    pub fn initialize(
        path: &Path,
        key_file: &Path,
        decoy: &UserRecord,
    ) -> Result<Self, StoreError> {
        let site = Site::new(path, key_file);
        // Once before anything is made, so that an unmounted store stays as it is.
        site.survey()?;
        let _lock = site.occupy()?;
        match site.survey()? {
            Found::Store(_) => {}
            Found::Unfinished => site.mark()?,
            Found::Nothing => site.found(|key| {
                let store = Self::with_key(&site, path, key)?;
                Owner::decoys()
                    .try_for_each(|owner| store.save(&owner, decoy, Revision::NONE).map(drop))
            })?,
        }
        match Self::open(path, key_file)? {
            Opened::Store(store) => Ok(store),
            Opened::Fresh => Err(site.unusable("it vanished while it was made".to_owned())),
        }
    }

    fn with_key(site: &Site<'_>, path: &Path, key: SealingKey) -> Result<Self, StoreError> {
        let users = site.users();
        let metadata = files::directory(&users)
            .map_err(|error| site.unusable(error.to_string()))?
            .ok_or_else(|| {
                site.unusable(format!(
                    "its directory {} is missing; put it back from a backup",
                    users.display()
                ))
            })?;
        Ok(Self {
            key,
            path: path.to_owned(),
            users,
            identity: (metadata.dev(), metadata.ino()),
            tenures: Arc::default(),
            notices: Mutex::default(),
        })
    }

    /// Works with the dbs that this process keeps open between its requests.
    #[must_use]
    pub fn sharing(self, dbs: &OpenDbs) -> Self {
        Self { tenures: dbs.below(self.identity), ..self }
    }

    /// Demands a decoy's directory, which is in `users/` before there is a marker. In another
    /// `users/`, such as the empty one below a disk that is not mounted, nobody would be enrolled.
    fn furnished(self) -> Result<Self, StoreError> {
        match self.room(Owner::decoy(0).uid)? {
            Some(_) => Ok(self),
            None => Err(self.unusable(
                "its directory of users is not the one that was made with it; mount it, or put it \
                 back from a backup",
            )),
        }
    }

    fn notice(&self, uid: u32, what: &str) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() < MAX_NOTICES {
            notices.push(format!("the record of uid {uid}: {what}"));
        }
    }

    /// The user's directory; `None` where the user has none.
    fn room(&self, uid: u32) -> Result<Option<Room>, StoreError> {
        let path = self.users.join(uid.to_string());
        let found = files::directory(&path).map_err(|error| error.of(uid))?;
        // Looked at second: if it was exchanged in between, the answer above may be wrong.
        let users = files::directory(&self.users)
            .map_err(|error| self.unusable(&error.to_string()))?
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if users != Some(self.identity) {
            return Err(self.unusable("its directory of users was exchanged, removed or unmounted"));
        }
        Ok(found.map(|_| Room { uid, path }))
    }

    fn unusable(&self, reason: &str) -> StoreError {
        StoreError::Unusable { path: self.path.clone(), reason: reason.to_owned() }
    }

    fn hold(&self, uid: u32) -> Result<Held, StoreError> {
        self.hold_within(uid, LOCK_BOUND)
    }

    fn hold_within(&self, uid: u32, bound: Duration) -> Result<Held, StoreError> {
        self.tenures.hold(uid, bound, |kept| {
            if let Some(room) = self.room(uid)? {
                return lock::try_user(&room.lock(), kept).map_err(|error| error.of(uid));
            }
            let lock = self.try_newcomer(uid)?;
            // The user may have got a directory just before the lock was had.
            Ok(lock.filter(|_| matches!(self.room(uid), Ok(None))))
        })
    }

    /// The newest state of a record, with db and summary brought up to it. Needs the user's lock.
    fn newest(
        &self,
        owner: &Owner,
        room: &Room,
        tenure: &mut Tenure,
    ) -> Result<Unsealed, StoreError> {
        match &tenure.newest {
            Some((whose, newest)) if whose == owner => Ok(newest.clone()),
            _ => {
                let newest = self.reconcile(owner, room, tenure)?;
                tenure.newest = Some((owner.clone(), newest.clone()));
                Ok(newest)
            }
        }
    }

    fn reconcile(
        &self,
        owner: &Owner,
        room: &Room,
        tenure: &mut Tenure,
    ) -> Result<Unsealed, StoreError> {
        let uid = owner.uid;
        let path = room.summary();
        let summary = summary::open(&path, Access::Write).and_then(|file| {
            tenure.summary = file;
            Summary::of(tenure.summary.as_ref(), &path, &self.key, owner)
        });
        let summary = summary.map_err(|error| error.of(uid))?;
        let in_db = match room.read(tenure) {
            Ok(in_db) => in_db.map(|value| self.key.unseal(owner, &value)),
            Err(error) => {
                // What is settled needs no db.
                let (Some(why), Some(newest)) = (PassedOver::because_of(&error), summary.settled())
                else {
                    return Err(error);
                };
                tenure.pass_over_db(why);
                return Ok(newest.clone());
            }
        };
        let db_copy = in_db.as_ref().ok().and_then(|copy| copy.as_ref().ok());
        // Of two of one revision the last, the summary's: it is what somebody was told of. The other is
        // of a save whose summary could not be written, before one that passed the db over.
        let newest = [db_copy, summary.newest()].into_iter().flatten().max_by_key(|c| c.revision);
        let Some(newest) = newest else {
            let why = in_db.ok().and_then(Result::err).max(summary.why_not());
            return Err(room.damaged(&why.unwrap_or(NotAuthentic::Broken)));
        };
        let db_has_newest = db_copy.is_some_and(|copy| copy == newest);
        if summary.may_have_had_newer(newest.revision, db_has_newest) {
            return Err(room.damaged(&"its newest copy is damaged, and older ones do not count"));
        }
        if !db_has_newest {
            let sealed = self.key.seal(owner, newest.revision, &newest.plain)?;
            let remade = room.remake(tenure, &sealed);
            if tenure.with_room(remade)?.is_some() {
                let what = what_was_wrong(&in_db);
                self.notice(uid, &format!("its db {what} and was made anew from the summary"));
            }
        }
        if !summary.is_right(newest.revision) {
            tenure.summary = None;
            summary
                .heal(&path, &self.key, owner, newest)
                .and_then(|()| files::sync_directory(&room.path))
                .map_err(|error| error.of(uid))?;
            self.notice(uid, &format!("its summary {} and was written anew", summary.fault()));
        }
        Ok(newest.clone())
    }

    /// Brings the db to this value, in its file unless that is done later.
    fn write_db(&self, room: &Room, tenure: &mut Tenure, sealed: &[u8]) -> Result<(), StoreError> {
        if room.write(tenure, sealed)? == Written::Remade {
            self.notice(room.uid, "its db could not be written and was made anew");
        }
        if self.tenures.writes_behind() { Ok(()) } else { room.settle(tenure) }
    }
}

impl Store for SledStore {
    fn lock_within(&self, owner: &Owner, bound: Duration) -> Result<Box<dyn Any>, StoreError> {
        Ok(Box::new(self.hold_within(owner.uid, bound)?))
    }

    fn load(&self, owner: &Owner) -> Result<(UserRecord, Revision), StoreError> {
        let nobody = (UserRecord::default(), Revision::NONE);
        let held = self.tenures.held_here(owner.uid);
        let room = if held.is_none() && owner.is_decoy() {
            // Read right after it was found that somebody has no room, which looks at the same: a user
            // who has one is not to be quicker by that.
            Some(Room { uid: owner.uid, path: self.users.join(owner.uid.to_string()) })
        } else {
            self.room(owner.uid)?
        };
        let Some(room) = room else { return Ok(nobody) };
        if let Some(held) = held {
            let newest = self.newest(owner, &room, &mut held.tenure())?;
            return Ok((UserRecord::decode(&newest.plain)?, newest.revision));
        }
        // Without the lock. The second try is for a write that the first one ran into.
        for _ in 0..2 {
            let summary = Summary::read(&room.summary(), &self.key, owner)
                .map_err(|error| error.of(owner.uid))?;
            if let Some(newest) = summary.settled() {
                return Ok((UserRecord::decode(&newest.plain)?, newest.revision));
            }
        }
        let held = self.hold(owner.uid)?;
        let Some(room) = self.room(owner.uid)? else { return Ok(nobody) };
        let newest = self.newest(owner, &room, &mut held.tenure())?;
        Ok((UserRecord::decode(&newest.plain)?, newest.revision))
    }

    fn save(
        &self,
        owner: &Owner,
        record: &UserRecord,
        expected: Revision,
    ) -> Result<Saved, StoreError> {
        let uid = owner.uid;
        let encoded = record.encode()?;
        let held = self.hold(uid)?;
        let tenure = &mut *held.tenure();
        let Some(room) = self.room(uid)? else {
            self.lock_as_newcomer(uid, tenure)?;
            if expected != Revision::NONE {
                return Ok(Saved::Conflict);
            }
            if self.room(uid)?.is_some() {
                // Removed and made anew before that lock was had, which is the wrong one now.
                return Err(StoreError::Busy(uid));
            }
            return self.create(owner, record, tenure).map(|()| Saved::Saved);
        };
        if self.newest(owner, &room, tenure)?.revision != expected {
            return Ok(Saved::Conflict);
        }
        let revision = expected.next();
        let sealed = self.key.seal(owner, revision, &encoded)?;
        // From here on it may be either.
        tenure.newest = None;
        if tenure.passed_over.is_none() {
            let written = self.write_db(&room, tenure, &sealed);
            tenure.with_room(written)?;
        }
        let path = room.summary();
        let file = match tenure.summary.take() {
            None => files::open(&path, Access::Write),
            Some(file) => Ok(file),
        };
        file.and_then(|file| {
            let file = tenure.summary.insert(file);
            summary::write(file, &path, revision, &sealed)
        })
        .map_err(|error| error.of(uid))?;
        if let Some(why) = tenure.passed_over {
            self.notice(uid, &format!("{why}; only the summary was written"));
        }
        tenure.newest = Some((owner.clone(), Unsealed { revision, plain: encoded }));
        Ok(Saved::Saved)
    }

    fn uids(&self) -> Result<BTreeSet<u32>, StoreError> {
        let entries =
            files::entries(&self.users).map_err(|error| self.unusable(&error.to_string()))?;
        // Looked at second, as there: the empty one below a disk that is not mounted is no list of nobody.
        self.room(Owner::decoy(0).uid)?;
        let uid = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            // What is written otherwise is no directory of ours.
            name.parse().ok().filter(|uid: &u32| uid.to_string() == name)
        };
        Ok(entries.iter().filter_map(uid).filter(|uid| !is_nobodys(*uid)).collect())
    }

    fn glance(&self, owner: &Owner) -> Result<Glance, StoreError> {
        let mut why = String::new();
        for again in 0..GLANCES {
            if again > 0 {
                thread::sleep(PAUSE);
            }
            let Some(room) = self.room(owner.uid)? else { return Ok(Glance::Nobody) };
            let summary = Summary::read(&room.summary(), &self.key, owner)
                .map_err(|error| error.of(owner.uid))?;
            if let Some(newest) = summary.settled() {
                return Ok(Glance::Record(UserRecord::decode(&newest.plain)?));
            }
            if let Some(whose) = summary.is_of_others() {
                return Ok(Glance::Unsure(whose.to_string()));
            }
            why = format!("its summary {}", summary.fault());
        }
        Ok(Glance::Unsure(why))
    }

    fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remove(&self, owner: &Owner) -> Result<(), StoreError> {
        let uid = owner.uid;
        let held = match self.hold(uid) {
            Ok(held) => Some(held),
            Err(error @ (StoreError::Busy(_) | StoreError::Unusable { .. })) => return Err(error),
            // What stands in place of the lock or the directory can be no obstacle to removing it.
            Err(_) => None,
        };
        let mut tenure = held.as_ref().map(Held::tenure);
        let newcomer = match &tenure {
            Some(tenure) if tenure.lock.is_of_newcomer() => None,
            _ => Some(self.wait_for_newcomer(uid, Instant::now() + LOCK_BOUND)?),
        };
        if let Some(tenure) = &mut tenure {
            tenure.forget();
        }
        let path = self.users.join(uid.to_string());
        let gone = self.users.join(format!(".gone-{uid}"));
        let remove = || {
            files::remove_tree(&gone)?;
            if files::lookup(&path)?.is_none() {
                return Ok(());
            }
            files::rename(&path, &gone)?;
            files::sync_directory(&self.users)?;
            files::remove_tree(&gone)?;
            files::sync_directory(&self.users)
        };
        remove().map_err(|error: FileError| error.of(uid))?;
        if let (Some(tenure), Some(newcomer)) = (&mut tenure, newcomer) {
            tenure.lock = newcomer;
        }
        Ok(())
    }
}

/// What is wrong with a db that has not the newest value.
fn what_was_wrong(in_db: &Result<Result<Unsealed, NotAuthentic>, NoValue>) -> String {
    match in_db {
        Err(NoValue::Missing) => "was gone".to_owned(),
        Err(NoValue::Damaged(how)) => format!("was damaged ({how})"),
        Ok(Err(_)) => "was damaged (its value is not authentic)".to_owned(),
        Ok(Ok(_)) => "was older than the summary".to_owned(),
    }
}
