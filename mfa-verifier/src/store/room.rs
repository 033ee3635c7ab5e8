//! One user's directory, and the db in it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::StoreError;
use super::db::{self, Db, DbError, Handle};
use super::doorbell::ring;
use super::lock::{self, Lock, Tenure};
use super::{files, summary};

/// The directory of one user.
pub(super) struct Room {
    pub(super) uid: u32,
    pub(super) path: PathBuf,
}

/// Why the db has no value to offer.
pub(super) enum NoValue {
    /// It is not there, or empty.
    Missing,
    /// It cannot be read.
    Damaged(String),
}

/// Why a db is neither read nor written. The summary needs neither the db nor room: it is written in
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassedOver {
    /// A process has it open that does not give it up: one that is stopped, or stuck.
    Elsewhere,
    /// The file system is full, or a quota is used up. sled needs new blocks even to open a db.
    NoRoom,
}

impl PassedOver {
    /// Whether this error of [`Room::read`] is such a reason.
    pub(super) fn because_of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Busy(_) => Some(Self::Elsewhere),
            error if error.is_no_room() => Some(Self::NoRoom),
            _ => None,
        }
    }
}

impl Display for PassedOver {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Elsewhere => "its db is open in a process that is stopped or stuck",
            Self::NoRoom => "there is no room to write its db",
        })
    }
}

/// How long another process is given to close a db. One that is well does so within milliseconds.
const TO_BE_GIVEN_UP: Duration = Duration::from_secs(1);

/// What [`Room::write`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Replace the value.
    InPlace,
    /// Make the db anew.
    Remade,
}

impl Room {
    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.path.join("summary")
    }

    fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// The db's value. The db stays open in the tenure.
    pub(super) fn read(&self, tenure: &mut Tenure) -> Result<Result<Vec<u8>, NoValue>, StoreError> {
        match self.value(tenure) {
            Ok(Some(value)) => Ok(Ok(value)),
            Ok(None) => Ok(Err(NoValue::Missing)),
            Err(DbError::Damaged(how)) => {
                tenure.db = None;
                Ok(Err(NoValue::Damaged(how)))
            }
            Err(error) => {
                tenure.db = None;
                Err(self.failed(error))
            }
        }
    }

    fn value(&self, tenure: &mut Tenure) -> Result<Option<Vec<u8>>, DbError> {
        if let Some(db) = &tenure.db {
            return db.get();
        }
        if !db::exists(&self.db())? {
            return Ok(None);
        }
        let until = Instant::now() + TO_BE_GIVEN_UP;
        let db = Db::open(&self.db(), until, || ring(&self.lock()))?;
        tenure.db.insert(db).get()
    }

    /// Makes this the value of the open db, or of a new one if it fails.
    pub(super) fn write(&self, tenure: &mut Tenure, sealed: &[u8]) -> Result<Written, StoreError> {
        match tenure.db.as_mut().map(|db| db.put(sealed)) {
            Some(Ok(())) => Ok(Written::InPlace),
            None | Some(Err(DbError::Damaged(_))) => {
                self.remake(tenure, sealed).map(|()| Written::Remade)
            }
            Some(Err(error)) => {
                tenure.db = None;
                Err(self.failed(error))
            }
        }
    }

    /// Waits until the value of the open db is in its file.
    pub(super) fn settle(&self, tenure: &mut Tenure) -> Result<(), StoreError> {
        let Some(handle) = tenure.db.as_mut().and_then(Db::unwritten) else { return Ok(()) };
        handle.write().map_err(|error| {
            tenure.db = None;
            self.failed(error)
        })
    }

    /// Makes the directory with all that is in it, for a record's first revision. Gives its lock.
    pub(super) fn furnish(&self, tenure: &mut Tenure, sealed: &[u8]) -> Result<Lock, StoreError> {
        let lay = || {
            files::make_directory(&self.path, files::DIRECTORY)?;
            summary::create(&self.summary(), sealed)?;
            lock::try_user(&self.lock(), None)
        };
        let lock = lay().map_err(|error| error.of(self.uid))?.ok_or(StoreError::Busy(self.uid))?;
        self.remake(tenure, sealed)?;
        Ok(lock)
    }

    /// Replaces the db by a new one with this value.
    ///
    /// That goes for a db that opens and lacks the value, too: measured, one whose segment has a
    /// damaged header takes an update, flushes it, and has lost it at the next opening.
    pub(super) fn remake(&self, tenure: &mut Tenure, sealed: &[u8]) -> Result<(), StoreError> {
        tenure.db = None;
        let remake = || {
            files::remove_tree(&self.db())?;
            let mut db = Db::open(&self.db(), tenure.until(), || ring(&self.lock()))?;
            db.put(sealed)?;
            db.unwritten().map_or(Ok(()), Handle::write)?;
            Ok(db)
        };
        tenure.db = Some(remake().map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn failed(&self, error: DbError) -> StoreError {
        match error {
            DbError::Damaged(how) => self.damaged(&format!("its db cannot be made anew: {how}")),
            DbError::Held => StoreError::Busy(self.uid),
            DbError::File(error) => error.of(self.uid),
        }
    }

    pub(super) fn damaged(&self, reason: &dyn Display) -> StoreError {
        StoreError::Damaged { uid: self.uid, reason: reason.to_string() }
    }
}
