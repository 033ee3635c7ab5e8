//! Founding a store, and telling a store from its absence.
//!
//! A host has neither key nor store, or both. The *marker*, the file `format`, says that a
//! directory is a store, of which version, and of which key:
//!
//! ```text
//! pam_mfa store 1
//! key 0123456789abcdef
//! ```
//!
//! # Founding
//!
//! Under a lock on the store's directory:
//!
//! 1. the key as `<key file>.new`, synced;
//! 2. `users/` with the decoys' records;
//! 3. the marker as `format.new`, synced;
//! 4. `<key file>.new` becomes the key, its directory is synced;
//! 5. `format.new` becomes the marker, the directory is synced.
//!
//! Until step 4 there is neither key nor marker, and whatever was left is swept by the next try.
//! Between 4 and 5 there is a key without a marker, but with a `format.new` that names this key:
//! the next founding does step 5. No other half of a store is ever completed or replaced, since
//! its other half may be on a disk that is not mounted.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mfa_protocol::trusted;
use nix::fcntl::Flock;

use super::files::{self, FileError, Patience};
use super::seal::SealingKey;
use super::{LOCK_BOUND, StoreError, is_nobodys};

/// Mode of the directories above key and store, where they have to be made.
const PARENT: u32 = 0o755;

/// Key and directory of a store, as far as they are there.
pub(super) struct Site<'a> {
    path: &'a Path,
    key_file: &'a Path,
}

/// What there is of a store.
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A key and a store of that key.
    Store(SealingKey),
    /// A key and a store whose marker still has its temporary name.
    Unfinished,
}

impl<'a> Site<'a> {
    pub(super) fn new(path: &'a Path, key_file: &'a Path) -> Self {
        Self { path, key_file }
    }

    /// The store's directory of users.
    pub(super) fn users(&self) -> PathBuf {
        self.path.join("users")
    }

    fn marker(&self) -> PathBuf {
        self.path.join("format")
    }

    fn new_marker(&self) -> PathBuf {
        self.path.join("format.new")
    }

    fn new_key(&self) -> PathBuf {
        let mut name = self.key_file.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        self.key_file.with_file_name(name)
    }

    /// Looks what is there.
    pub(super) fn survey(&self) -> Result<Found, StoreError> {
        self.keep_apart()?;
        let has_key = self.has(self.key_file)?;
        let has_marker = self.has(&self.marker())?;
        let key_file = self.key_file.display();
        match (has_key, has_marker) {
            (false, false) if self.has_records()? => Err(self.unusable(format!(
                "it has records of users, but its marker and its key {key_file} are gone; put \
                 both back from a backup, or remove the store to start anew"
            ))),
            (false, false) => Ok(Found::Nothing),
            (false, true) => Err(self.unusable(format!(
                "its sealing key {key_file} is missing; put it back from a backup of this host, \
                 or remove the store to start anew"
            ))),
            (true, false) => {
                let key = self.load_key()?;
                match self.marked_key(&self.new_marker())? {
                    Some(id) if id == key.id().to_string() => Ok(Found::Unfinished),
                    _ => Err(self.unusable(format!(
                        "there is a sealing key {key_file}, but no store; mount it, put it back \
                         from a backup, or remove the key to start anew"
                    ))),
                }
            }
            (true, true) => {
                let key = self.load_key()?;
                match self.marked_key(&self.marker())? {
                    Some(id) if id == key.id().to_string() => Ok(Found::Store(key)),
                    Some(id) => Err(self.unusable(format!(
                        "it belongs to another key ({id}) than {key_file} ({}): store or key are \
                         of another host; put the right one back",
                        key.id()
                    ))),
                    None => Err(self.unusable("its marker vanished".to_owned())),
                }
            }
        }
    }

    /// A key inside of the store would be lost and found with it: one disk that is not mounted would
    /// look like a fresh host, and a copy of the store would open itself.
    fn keep_apart(&self) -> Result<(), StoreError> {
        if self.key_file.starts_with(self.path) {
            return Err(self.unusable(format!(
                "its sealing key {} lies inside of it; name another place as store.key_file",
                self.key_file.display()
            )));
        }
        Ok(())
    }

    fn has(&self, path: &Path) -> Result<bool, StoreError> {
        let found = files::lookup(path).map_err(|error| self.unusable(error.to_string()))?;
        Ok(found.is_some())
    }

    /// Whether there are records of others than decoys, which an interrupted founding leaves.
    fn has_records(&self) -> Result<bool, StoreError> {
        let users = self.users();
        if !self.has(&users)? {
            return Ok(false);
        }
        let entries = files::entries(&users).map_err(|error| self.unusable(error.to_string()))?;
        Ok(entries.iter().any(|entry| {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && !name.parse().is_ok_and(is_nobodys)
        }))
    }

    fn load_key(&self) -> Result<SealingKey, StoreError> {
        SealingKey::load(self.key_file)
            .map_err(|error| self.unusable(format!("{error}; {}", error.hint())))
    }

    /// The key id in a marker; `None` where there is no such file.
    fn marked_key(&self, marker: &Path) -> Result<Option<String>, StoreError> {
        if !self.has(marker)? {
            return Ok(None);
        }
        let mut text = String::new();
        let read = trusted::open_file(marker)
            .map_err(|error| self.unusable(format!("{error}; {}", error.hint())))?
            .take(256)
            .read_to_string(&mut text);
        let id = text
            .strip_prefix("pam_mfa store 1\nkey ")
            .and_then(|rest| rest.strip_suffix('\n'))
            .filter(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (read, id) {
            (Ok(_), Some(id)) => Ok(Some(id.to_owned())),
            (Ok(_), None) if marker == self.new_marker() => Ok(None),
            (Ok(_), None) => Err(self.unusable(format!(
                "its marker {} is damaged or of a newer program; put it back from a backup",
                marker.display()
            ))),
            (Err(error), _) => Err(self.unusable(format!("{}: {error}", marker.display()))),
        }
    }

    pub(super) fn unusable(&self, reason: String) -> StoreError {
        StoreError::Unusable { path: self.path.to_owned(), reason }
    }

    /// Makes the directories of key and store, and keeps other founders out while the result
    /// lives.
    pub(super) fn occupy(&self) -> Result<Flock<File>, StoreError> {
        let key_directory = self.key_file.parent().unwrap_or(Path::new("/"));
        self.make(key_directory, PARENT)?;
        self.make(self.path, files::DIRECTORY)?;
        for directory in [key_directory, self.path] {
            trusted::trusted_directory(directory)
                .map_err(|error| self.unusable(format!("{error}; {}", error.hint())))?;
        }
        let mut patience = Patience::new(Duration::from_millis(1), Instant::now() + LOCK_BOUND);
        loop {
            let directory = File::open(self.path)?;
            match files::try_lock(self.path, directory).map_err(|e| self.unusable(e.to_string()))? {
                Some(lock) => return Ok(lock),
                None if patience.wait() => {}
                None => {
                    return Err(self.unusable("another process is making it; try again".to_owned()));
                }
            }
        }
    }

    /// Makes a directory and those above it, as far as they are missing, in trusted ones only.
    fn make(&self, path: &Path, mode: u32) -> Result<(), StoreError> {
        if self.has(path)? {
            return Ok(());
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make(parent, PARENT)?;
        trusted::trusted_directory(parent)
            .map_err(|error| self.unusable(format!("{error}; {}", error.hint())))?;
        match files::make_directory(path, mode) {
            Err(FileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => result.map_err(|error| self.unusable(error.to_string()))?,
        }
        files::sync_directory(parent).map_err(|error| self.unusable(error.to_string()))
    }

    /// Steps 1 to 5, where there was nothing. `furnish` is step 2's record.
    pub(super) fn found(
        &self,
        furnish: impl FnOnce(SealingKey) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let key = SealingKey::generate().map_err(|error| self.unusable(error.to_string()))?;
        let marker = format!("pam_mfa store 1\nkey {}\n", key.id());
        let lay = || {
            for leftover in [self.new_key(), self.new_marker(), self.users()] {
                files::remove_tree(&leftover)?;
            }
            write_synced(&self.new_key(), key.expose())?;
            files::make_directory(&self.users(), files::DIRECTORY)
        };
        lay().map_err(|error| self.unusable(error.to_string()))?;
        furnish(key)?;
        let finish = || {
            write_synced(&self.new_marker(), marker.as_bytes())?;
            files::sync_directory(self.path)?;
            files::rename(&self.new_key(), self.key_file)?;
            files::sync_directory(self.key_file.parent().unwrap_or(Path::new("/")))
        };
        finish().map_err(|error| self.unusable(error.to_string()))?;
        self.mark()
    }

    /// Step 5.
    pub(super) fn mark(&self) -> Result<(), StoreError> {
        files::rename(&self.new_marker(), &self.marker())
            .and_then(|()| files::sync_directory(self.path))
            .map_err(|error| self.unusable(error.to_string()))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = files::create_new(path)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| FileError::io(path, source))
}
