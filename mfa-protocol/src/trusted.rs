//! Opening what only root may have written: the policy, the sealing key, the verifier.
//!
//! What is checked is what was opened. The name is resolved through directories that root alone can
//! change, so nobody else can put something in its place between two looks (CVE-2024-47191).

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// It, or a directory above it, is not root's alone to change, or not a plain file.
    #[error("{} {problem}", path.display())]
    Unsafe {
        /// The file, or the directory above it that is at fault.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The system refused.
    #[error("{} cannot be opened: {source}", path.display())]
    Io {
        /// The file, or a directory above it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Untrusted {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(path) => format!("create {} or name another file", path.display()),
            Self::Unsafe { path, .. } => {
                let path = path.display();
                format!("make it root's alone to change: chown root:root {path}; chmod go-w {path}")
            }
            Self::Io { .. } => "look at the file system and its permissions".to_owned(),
        }
    }
}

/// Opens a regular file that root owns, that nobody else can write, that has one name only and is
/// no symbolic link, in directories of which the same holds.
pub fn open_file(path: &Path) -> Result<File, Untrusted> {
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if path.is_absolute() => (parent, name),
        _ => return Err(unsafe_path(path, "is not the absolute path of a file")),
    };
    let path = trusted_directory(parent)?.join(name);
    let (file, metadata) = open_plain(&path)?;
    if metadata.nlink() > 1 {
        return Err(unsafe_path(&path, "has more than one hard link"));
    }
    Ok(file)
}

/// Opens a program like [`open_file`]; its path may lead through symbolic links, as long as every
/// directory that it leads through in the end is root's.
pub fn open_program(path: &Path) -> Result<File, Untrusted> {
    if !path.is_absolute() {
        return Err(unsafe_path(path, "is not an absolute path"));
    }
    let path = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
    trusted_directory(path.parent().unwrap_or(Path::new("/")))?;
    let (file, metadata) = open_plain(&path)?;
    if metadata.mode() & 0o111 == 0 {
        return Err(unsafe_path(&path, "is not executable"));
    }
    Ok(file)
}

/// Resolves a directory and demands that it and all above it are root's and nobody else's to write.
pub fn trusted_directory(path: &Path) -> Result<PathBuf, Untrusted> {
    let path = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
    for directory in path.ancestors() {
        let metadata = fs::symlink_metadata(directory).map_err(|e| io_error(directory, e))?;
        if !metadata.is_dir() {
            return Err(unsafe_path(directory, "is not a directory"));
        }
        refuse_foreign(directory, &metadata)?;
    }
    Ok(path)
}

fn open_plain(path: &Path) -> Result<(File, Metadata), Untrusted> {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|source| io_error(path, source))?;
    let metadata = file.metadata().map_err(|source| io_error(path, source))?;
    if !metadata.is_file() {
        return Err(unsafe_path(path, "is not a regular file"));
    }
    refuse_foreign(path, &metadata)?;
    Ok((file, metadata))
}

fn refuse_foreign(path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
    if metadata.uid() != 0 {
        return Err(unsafe_path(path, "is not owned by root"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(unsafe_path(path, "can be written by others than root"));
    }
    Ok(())
}

fn unsafe_path(path: &Path, problem: &'static str) -> Untrusted {
    Untrusted::Unsafe { path: path.to_owned(), problem }
}

fn io_error(path: &Path, source: io::Error) -> Untrusted {
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => Untrusted::Missing(path.to_owned()),
        (_, Some(nix::libc::ELOOP)) => unsafe_path(path, "is a symbolic link"),
        (_, Some(nix::libc::ENXIO)) => unsafe_path(path, "is not a regular file"),
        _ => Untrusted::Io { path: path.to_owned(), source },
    }
}
