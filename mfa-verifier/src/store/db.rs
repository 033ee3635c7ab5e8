//! One user's sled database: a single value under a single key.
//!
//! sled 0.34.7 is held with tongs. Measured of it, and what is done about it here:
//!
//! - A crash while it opens can leave `snap.*.generating`, after which every open says
//!   "corruption": such files are deleted first. Hence no db may be opened without the user's lock.
//! - Its own lock is exclusive, is not waited for, and may linger for a moment after a drop: the
//!   opening is tried again until the caller's deadline.
//! - On damaged files it returns errors of many kinds, and also panics. All of that is
//!   [`DbError::Damaged`], apart from what the system refuses (a full disk, no more descriptors),
//!   which says nothing about the db.
//! - On a full file system (tmpfs, 0 to 8 pages left) opening, writing and flushing each fail with the
//!   system's error; a copy of that is what every later call of the same db says, in words of its own
//!   but of the same kind. Such a db is closed, and its lock is free again. No half-written one was ever
//!   opened with a value that had not been put; without one it is made anew from the summary.
//! - `flush` is `sync_file_range`, which does not sync metadata or the disk's own cache. What is
//!   durable is the summary. It takes 80 to 110 µs, most of it for waking all seven of sled's threads in
//!   turn: so a process that stays writes its dbs after it has answered.
//! - When the first db of a process is opened, it makes seven threads inside of a lock that they and
//!   whoever opens all spin on. Where one of them gets the opener's processor, it spins there for as long
//!   as it may have it, some milliseconds: so the opener is not to be interrupted then. Measured on
//!   two cores, busy otherwise, opening and saving in a new process: a median of 3.5 ms in place of 7.6,
//!   and 6.4 in place of 17.3 in nine of ten cases.
//! - A value beyond a quarter of the segment becomes a file of its own in `blobs/`, never synced.
//!   Sealed, the largest record has 3,973 bytes, and 16 KiB / 4 leaves room for sled's framing.
//! - Modes and caches, 20,000 updates of 3,975 bytes (ext4, 2026-11): `LowSpace` takes at most
//!   176 KiB of disk, `HighThroughput` 192 KiB, with no difference in time; a cache of 64 KiB is
//!   as fast as one of 1 MiB. After 1,000 updates: 172 KiB in one process, 100 KiB with an open for
//!   each. So `LowSpace`, 64 KiB.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mfa_sys::uninterrupted;

use super::files::{self, FileError, Patience};

/// Bytes of a segment. Fixed for the life of a db.
const SEGMENT: usize = 16 * 1024;

/// Bytes of sled's page cache.
const CACHE: u64 = 64 * 1024;

/// No file of a db gets anywhere near this. sled reads some of them into memory whole.
const LONGEST_FILE: u64 = 1024 * 1024;

/// The one key.
const KEY: &[u8] = b"record";

/// Why a db did not do what it should.
#[derive(Debug)]
pub(super) enum DbError {
    /// Its files are not a db.
    Damaged(String),
    /// Another process has it open.
    Held,
    /// The system refused, or something foreign is among its files.
    File(FileError),
}

impl From<FileError> for DbError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// An open db.
pub(super) struct Db {
    /// Always there, until it is dropped.
    sled: Option<sled::Db>,
    path: PathBuf,
    /// Device and inode of its file.
    identity: Option<(u64, u64)>,
    /// Whether the value is in the file.
    written: bool,
}

/// A db that another thread may go on using, or close.
pub(super) struct Handle {
    sled: sled::Db,
    path: PathBuf,
}

impl Handle {
    /// Writes the value. It survives this process when this returns, but not a power cut.
    pub(super) fn write(self) -> Result<(), DbError> {
        let Self { sled, path } = self;
        // With what it drops: the last one closes the db, which may have been given up meanwhile.
        guarded(&path, move || sled.flush()).map(drop)
    }
}

impl Db {
    /// Opens the db in this directory or, where there is none, makes it. As long as another process
    /// has it open, `ring` is called now and then.
    pub(super) fn open(path: &Path, until: Instant, ring: impl Fn()) -> Result<Self, DbError> {
        if files::directory(path)?.is_none() {
            files::make_directory(path, files::DIRECTORY)?;
        }
        inspect(path)?;
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .segment_size(SEGMENT)
            .cache_capacity(CACHE)
            .flush_every_ms(None);
        let mut patience = Patience::new(Duration::from_micros(200), until);
        loop {
            match guarded(path, || open(&config)) {
                Err(DbError::Held) if Instant::now() < until => {
                    ring();
                    patience.wait();
                }
                opened => {
                    let sled = Some(opened?);
                    let mut db =
                        Self { sled, path: path.to_owned(), identity: None, written: true };
                    close_to_others(path)?;
                    db.identity = file_of(path)?;
                    return Ok(db);
                }
            }
        }
    }

    /// Whether it is still the one in its directory, and both are root's own.
    pub(super) fn is_in_place(&self) -> bool {
        matches!(files::directory(&self.path), Ok(Some(_)))
            && self.identity.is_some()
            && matches!(file_of(&self.path), Ok(file) if file == self.identity)
    }

    /// The value.
    pub(super) fn get(&self) -> Result<Option<Vec<u8>>, DbError> {
        let value = guarded(&self.path, || self.sled()?.get(KEY))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Replaces the value for whoever asks this process for it. It is written by [`Handle::write`], or
    /// when the db closes.
    pub(super) fn put(&mut self, value: &[u8]) -> Result<(), DbError> {
        guarded(&self.path, || self.sled()?.insert(KEY, value))?;
        self.written = false;
        Ok(())
    }

    /// What writes it, if there is something to write.
    pub(super) fn unwritten(&mut self) -> Option<Handle> {
        if std::mem::replace(&mut self.written, true) {
            return None;
        }
        let sled = self.sled.clone()?;
        Some(Handle { sled, path: self.path.clone() })
    }

    fn sled(&self) -> sled::Result<&sled::Db> {
        self.sled.as_ref().ok_or_else(|| sled::Error::ReportableBug("closed".to_owned()))
    }
}

fn open(config: &sled::Config) -> sled::Result<sled::Db> {
    static HAS_THREADS: AtomicBool = AtomicBool::new(false);
    static FIRST: Mutex<()> = Mutex::new(());
    if HAS_THREADS.load(Ordering::Relaxed) {
        return config.open();
    }
    // Two that are not interrupted could spin on what a third one is to finish and gets no processor for.
    let _alone = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if HAS_THREADS.load(Ordering::Relaxed) {
        return config.open();
    }
    let opened = uninterrupted(|| config.open())?;
    HAS_THREADS.store(true, Ordering::Relaxed);
    Ok(opened)
}

impl Drop for Db {
    fn drop(&mut self) {
        let sled = self.sled.take();
        // sled syncs when it is dropped and panics if it cannot. What had to be safe is safe.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(sled)));
    }
}

/// Device and inode of a db's file, which must be root's own.
fn file_of(path: &Path) -> Result<Option<(u64, u64)>, FileError> {
    let path = path.join("db");
    let Some(file) = files::lookup(&path)? else { return Ok(None) };
    files::own_file(&path, &file)?;
    Ok(Some((file.dev(), file.ino())))
}

/// Whether there are files of a db: sled would make a missing one anew without a word.
pub(super) fn exists(path: &Path) -> Result<bool, FileError> {
    Ok(files::directory(path)?.is_some() && files::lookup(&path.join("db"))?.is_some())
}

/// Refuses what sled would follow, wait for or choke on, and sweeps what an interrupted opening
/// left.
fn inspect(path: &Path) -> Result<(), DbError> {
    for entry in files::entries(path)? {
        let Some(metadata) = files::lookup(&entry)? else { continue };
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name == "blobs" {
            files::directory(&entry)?;
            continue;
        }
        files::own_file(&entry, &metadata)?;
        if name.starts_with("snap.") && name.ends_with(".generating") {
            files::remove_tree(&entry)?;
        } else if metadata.len() > LONGEST_FILE {
            return Err(DbError::Damaged(format!("{name} has {} bytes", metadata.len())));
        }
    }
    Ok(())
}

/// sled makes its files with the process's umask.
fn close_to_others(path: &Path) -> Result<(), FileError> {
    for entry in files::entries(path)? {
        let Some(metadata) = files::lookup(&entry)? else { continue };
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o700;
            fs::set_permissions(&entry, fs::Permissions::from_mode(mode))
                .map_err(|source| FileError::io(&entry, source))?;
        }
    }
    Ok(())
}

fn guarded<T>(path: &Path, act: impl FnOnce() -> sled::Result<T>) -> Result<T, DbError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(io_error(path, error)),
        Ok(Err(error)) => Err(DbError::Damaged(error.to_string())),
        Err(_) => Err(DbError::Damaged("sled panicked".to_owned())),
    }
}

fn io_error(path: &Path, error: io::Error) -> DbError {
    match error.kind() {
        ErrorKind::Other if error.to_string().starts_with("could not acquire lock") => {
            DbError::Held
        }
        // The kinds that sled makes up itself, and those that come of offsets it has read.
        ErrorKind::Other | ErrorKind::UnexpectedEof | ErrorKind::InvalidData
            if error.raw_os_error().is_none() =>
        {
            DbError::Damaged(error.to_string())
        }
        ErrorKind::InvalidInput | ErrorKind::NotFound => DbError::Damaged(error.to_string()),
        _ => DbError::File(FileError::io(path, error)),
    }
}
