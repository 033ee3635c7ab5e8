//! What can happen to files.
//!
//! The directories lie on a real disk, below parents that only root can write.

mod damage;
mod founding;
mod full;
mod housekeeping;
mod kept;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::contract::{alice, number, numbered, save};
use super::{Opened, Revision, Saved, SledStore, Store, StoreError};
use crate::record::UserRecord;

/// A directory of one test, removed when it ends.
pub(crate) struct Home(PathBuf);

impl Home {
    /// Without a store.
    pub(crate) fn bare() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(format!("/var/cache/pam_mfa-tests/unit/{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("these tests run as root");
        Self(path)
    }

    /// With a store.
    pub(super) fn new() -> Self {
        let home = Self::bare();
        home.initialize().unwrap();
        home
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    fn path(&self) -> PathBuf {
        self.0.join("lib/pam_mfa")
    }

    fn key_file(&self) -> PathBuf {
        self.0.join("etc/pam_mfa/store.key")
    }

    fn initialize(&self) -> Result<SledStore, StoreError> {
        SledStore::initialize(&self.path(), &self.key_file(), &UserRecord::default())
    }

    fn open(&self) -> Result<Opened, StoreError> {
        SledStore::open(&self.path(), &self.key_file())
    }

    /// The store as another process would open it. It outlives nothing: the home goes first, but
    /// a store holds no file open.
    pub(super) fn store(&self) -> SledStore {
        match self.open() {
            Ok(Opened::Store(store)) => store,
            Ok(Opened::Fresh) => panic!("fresh"),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Home {
    fn room(&self) -> PathBuf {
        self.path().join("users/1000")
    }

    /// With alice at revision 5 and number 5.
    fn with_alice() -> Self {
        let home = Self::new();
        for n in 0..5 {
            assert_eq!(save(&home.store(), &alice(), n + 1, n.into()), Saved::Saved);
        }
        home
    }

    /// Damages alice's files, and demands that her newest record comes back and can be updated
    /// (true), or that she is refused (false): each time, not only the first.
    fn survives(&self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        let saved = self.0.join("saved");
        if !saved.exists() {
            copy_tree(&self.room(), &saved);
        }
        fs::remove_dir_all(self.room()).unwrap();
        copy_tree(&saved, &self.room());
        damage(&self.room());

        let store = self.store();
        for _ in 0..2 {
            match store.load(&alice()) {
                Ok((record, revision)) => {
                    assert_eq!((record.next_id, revision), (5, Revision(5)), "{what}");
                }
                Err(StoreError::Damaged { uid: 1000, .. }) => return false,
                Err(other) => panic!("{what}: {other}"),
            }
        }
        match store.save(&alice(), &numbered(6), Revision(5)) {
            Ok(saved) => assert_eq!(saved, Saved::Saved, "{what}"),
            Err(StoreError::Damaged { uid: 1000, .. }) => return false,
            Err(other) => panic!("{what}: {other}"),
        }
        let store = self.store();
        assert_eq!(number(&store, &alice()), (6, Revision(6)), "{what}");
        assert_eq!(save(&store, &alice(), 0, 5), Saved::Conflict, "{what}");
        assert_eq!(number(&store, &alice()), (6, Revision(6)), "{what}");
        assert_eq!(store.notices(), [""; 0], "{what}");
        true
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn truncate(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

fn files_of_db(room: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(room.join("db")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// Bytes on disk, as du(1) counts them.
fn disk_usage(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let below = if metadata.is_dir() {
        fs::read_dir(path).unwrap().map(|entry| disk_usage(&entry.unwrap().path())).sum()
    } else {
        0
    };
    metadata.blocks() * 512 + below
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[track_caller]
fn refused<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(error @ StoreError::Damaged { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}
