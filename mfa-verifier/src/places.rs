//! Places for verifiers of users who are not root: so many for each, whoever started them.
//!
//! A place is a byte in a file of root's, locked while the verifier lives (`F_OFD_SETLK`, fcntl(2)):
//! nothing is left behind, and a lock costs no wait. systemd counts connections for each user only
//! since version 257, and one user's thousand connections must not keep others out.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mfa_protocol::paths;
use mfa_protocol::trusted::trusted_directory;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

/// Verifiers that one user may have at once.
pub const PER_USER: u32 = 8;

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub struct Place {
    _file: File,
}

impl Place {
    /// Takes a place of `uid`, if there is one.
    ///
    /// # Errors
    /// Where the file with the places cannot be used.
    pub fn take(uid: u32) -> io::Result<Option<Self>> {
        Self::take_in(&file_of_places(), uid)
    }

    fn take_in(path: &Path, uid: u32) -> io::Result<Option<Self>> {
        let file = open(path)?;
        for place in 0..PER_USER {
            let start = i64::from(uid) * i64::from(PER_USER) + i64::from(place);
            if lock(&file, start)? {
                return Ok(Some(Self { _file: file }));
            }
        }
        Ok(None)
    }
}

fn file_of_places() -> PathBuf {
    Path::new(paths::USER_SOCKET).with_file_name("users.lock")
}

/// The directory of sockets and places, made where it is missing: everybody looks into it, and root
/// alone writes.
pub(crate) fn run_directory(path: &Path) -> io::Result<PathBuf> {
    match fs::create_dir(path) {
        // Whatever the umask is.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    trusted_directory(path).map_err(io::Error::other)
}

fn open(path: &Path) -> io::Result<File> {
    let parent = run_directory(path.parent().unwrap_or(Path::new("/")))?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
        .open(parent.join(path.file_name().unwrap_or_default()))
}

fn lock(file: &File, start: i64) -> nix::Result<bool> {
    // The constants are small, and have another type than the fields that they are for.
    let short = |constant| libc::c_short::try_from(constant).map_err(|_| Errno::EINVAL);
    let range = libc::flock {
        l_type: short(libc::F_WRLCK)?,
        l_whence: short(libc::SEEK_SET)?,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Home;

    #[test]
    fn a_user_has_eight_places_and_takes_nobody_elses() {
        let home = Home::bare();
        let path = home.directory().join("run/users.lock");
        let take = |uid| Place::take_in(&path, uid).unwrap();
        let taken: Vec<_> = (0..PER_USER).map(|_| take(1000).unwrap()).collect();
        assert!(take(1000).is_none());
        assert!(take(1001).is_some() && take(999).is_some() && take(u32::MAX).is_some());
        drop(taken);
        assert!(take(1000).is_some());
    }
}
