//! The files of the store: root's own, opened without following links, with modes that no umask
//! changes.
//!
//! Paths are resolved once, through directories that root alone can write
//! ([`mfa_protocol::trusted`]), so what is looked at and what is opened cannot be exchanged in
//! between by anybody but root.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::libc;

use super::StoreError;

/// Mode of the store's files.
const FILE: u32 = 0o600;

/// Mode of the store's directories.
pub(super) const DIRECTORY: u32 = 0o700;

/// Why a file of the store is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Something is there that the store did not put there.
    #[error("{} {problem}", path.display())]
    Foreign { path: PathBuf, problem: &'static str },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl FileError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn foreign(path: &Path, problem: &'static str) -> Self {
        Self::Foreign { path: path.to_owned(), problem }
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }

    /// As the error of this user's record.
    pub(super) fn of(self, uid: u32) -> StoreError {
        match self {
            Self::Foreign { .. } => StoreError::Damaged { uid, reason: self.to_string() },
            Self::Io { ref source, .. } => {
                StoreError::Io(io::Error::new(source.kind(), self.to_string()))
            }
        }
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To read it.
    Read,
    /// To read and write it.
    Write,
    /// To read and write it, and it is made where it is missing.
    Create,
}

/// Opens a file of the store.
pub(super) fn open(path: &Path, access: Access) -> Result<File, FileError> {
    // O_NONBLOCK: opening a FIFO or a device must not wait.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(access != Access::Read)
        .create(access == Access::Create)
        .truncate(false)
        .mode(FILE)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|source| match source.raw_os_error() {
            Some(libc::ELOOP) => FileError::foreign(path, "is a symbolic link"),
            Some(libc::ENXIO | libc::EISDIR | libc::ENODEV) => {
                FileError::foreign(path, "is not a regular file")
            }
            _ => FileError::io(path, source),
        })?;
    let metadata = file.metadata().map_err(|source| FileError::io(path, source))?;
    own_file(path, &metadata)?;
    if access != Access::Read && metadata.mode() & 0o7777 != FILE {
        file.set_permissions(Permissions::from_mode(FILE))
            .map_err(|source| FileError::io(path, source))?;
    }
    Ok(file)
}

/// Makes a file that was not there.
pub(super) fn create_new(path: &Path) -> Result<File, FileError> {
    let make = || {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(FILE).open(path)?;
        file.set_permissions(Permissions::from_mode(FILE))?;
        Ok(file)
    };
    make().map_err(|source| FileError::io(path, source))
}

/// A regular file with one name, root's own.
pub(super) fn own_file(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if !metadata.is_file() {
        return Err(FileError::foreign(path, "is not a regular file"));
    }
    if metadata.nlink() != 1 {
        return Err(FileError::foreign(path, "has more than one hard link"));
    }
    own(path, metadata)
}

/// The metadata of a directory of root's own; `None` where nothing is.
pub(super) fn directory(path: &Path) -> Result<Option<Metadata>, FileError> {
    let Some(metadata) = lookup(path)? else { return Ok(None) };
    if !metadata.is_dir() {
        return Err(FileError::foreign(path, "is not a directory"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(FileError::foreign(path, "can be written by others than root"));
    }
    own(path, &metadata)?;
    Ok(Some(metadata))
}

fn own(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if metadata.uid() == 0 { Ok(()) } else { Err(FileError::foreign(path, "is not owned by root")) }
}

/// What is at the path itself, links not followed; `None` where nothing is.
pub(super) fn lookup(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::io(path, source)),
    }
}

/// Makes a directory that was not there.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|source| FileError::io(path, source))
}

/// Makes what was created, renamed or removed in the directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| FileError::io(path, source))
}

/// Makes all below the path and itself durable.
pub(super) fn sync_tree(path: &Path) -> Result<(), FileError> {
    for entry in entries(path)? {
        if lookup(&entry)?.is_some_and(|metadata| metadata.is_dir()) {
            sync_tree(&entry)?;
        } else {
            File::open(&entry)
                .and_then(|file| file.sync_all())
                .map_err(|source| FileError::io(&entry, source))?;
        }
    }
    sync_directory(path)
}

/// The paths in a directory.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|source| FileError::io(path, source))
}

/// Removes whatever is there, with all below it. A link is removed, not followed.
pub(super) fn remove_tree(path: &Path) -> Result<(), FileError> {
    let removed = match lookup(path)? {
        None => return Ok(()),
        Some(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io(path, error)),
        _ => Ok(()),
    }
}

/// Renames.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|source| FileError::io(from, source))
}

/// Locks an open file or directory against everybody else, unless somebody has it.
pub(super) fn try_lock(path: &Path, file: File) -> Result<Option<Flock<File>>, FileError> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        // EINTR cannot happen to a call that does not wait, but costs nothing to try again.
        Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
        Err((_, errno)) => Err(FileError::io(path, errno.into())),
    }
}

/// Locks one byte of an open file against everybody else, until the file is closed, unless somebody has it.
/// False then.
///
/// Of the open file, as `flock` is: a lock of the process would go with the first of its descriptors of
/// that file, and keep no threads apart.
pub(super) fn try_lock_byte(path: &Path, file: &File, byte: u32) -> Result<bool, FileError> {
    #[expect(clippy::cast_possible_truncation, reason = "constants of a few bits")]
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte.into(),
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(false),
        Err(errno) => Err(FileError::io(path, errno.into())),
    }
}

/// Waits in growing steps, up to a point in time.
///
/// Polling, because `flock` with a deadline would need a signal or a thread: a lock is held for
/// some milliseconds, and with 64 waiting a pause of 10 ms is one try each 0.2 ms.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    const LONGEST: Duration = Duration::from_millis(10);

    /// From `first` on, for as long as `until`.
    pub(super) fn new(first: Duration, until: Instant) -> Self {
        Self { until, pause: first }
    }

    /// Pauses; false once the time is over.
    pub(super) fn wait(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Self::LONGEST);
        true
    }
}
