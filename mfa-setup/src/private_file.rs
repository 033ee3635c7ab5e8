//! A file with secrets, which only its owner may read.
//!
//! It is opened, and its space reserved, before the verifier changes anything: a disk that is full
//! is then found out while nothing has happened. What is not finished is taken away again.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, posix_fallocate, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

use crate::problem::Problem;

/// More than a page or a picture takes.
const RESERVED: i64 = 128 * 1024;

/// A file that is being made.
#[derive(Debug)]
pub struct PrivateFile {
    path: PathBuf,
    /// Everything is done relative to this: whatever happens to the path meanwhile, only this
    /// directory is written to.
    directory: OwnedFd,
    /// What it is called in the end.
    name: OsString,
    /// What it is called until then, where it replaces another file.
    temporary: Option<OsString>,
    file: File,
    finished: bool,
}

impl PrivateFile {
    /// Makes the file. Where there is one already, `may_replace` decides with a question; the old
    /// one stays until [`PrivateFile::finish`].
    pub fn create(
        path: &Path,
        may_replace: impl FnOnce(&Path) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        let cannot = |errno| cannot_create(path, errno);
        let name = path.file_name().ok_or(Errno::EISDIR).map_err(cannot)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory =
            open(parent.unwrap_or(Path::new(".")), flags, Mode::empty()).map_err(cannot)?;
        let (file, temporary) = match create_new(&directory, name) {
            Ok(file) => (file, None),
            Err(Errno::EEXIST) => {
                demand_regular(&directory, name, path)?;
                may_replace(path)?;
                let (file, temporary) = create_temporary(&directory, name).map_err(cannot)?;
                (file, Some(temporary))
            }
            Err(errno) => return Err(cannot(errno)),
        };
        let (name, path) = (name.to_owned(), path.to_owned());
        // From here on, a return takes the file away again.
        let made = Self { path, directory, name, temporary, file, finished: false };
        made.reserve().map_err(|errno| cannot_create(&made.path, errno))?;
        Ok(made)
    }

    /// Writes `content` durably and gives the file its name.
    pub fn finish(mut self, content: &[u8]) -> Result<(), Problem> {
        self.write(content).map_err(|error| {
            let error = format!("{} cannot be written: {error}", self.path.display());
            Problem::unusable(error, "look at the file system and its free space")
        })?;
        self.finished = true;
        Ok(())
    }

    fn reserve(&self) -> Result<(), Errno> {
        // The umask may have taken more away than it should.
        let mode = self.file.set_permissions(Permissions::from_mode(0o600));
        mode.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
        match posix_fallocate(&self.file, 0, RESERVED) {
            // Some file systems cannot promise space.
            Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => Ok(()),
            reserved => reserved,
        }
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        self.file.set_len(u64::try_from(content.len()).unwrap_or(u64::MAX))?;
        self.file.sync_all()?;
        if let Some(temporary) = &self.temporary {
            renameat(
                &self.directory,
                temporary.as_os_str(),
                &self.directory,
                self.name.as_os_str(),
            )?;
        }
        Ok(fsync(&self.directory)?)
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.finished {
            let name = self.temporary.as_ref().unwrap_or(&self.name);
            // It is empty or a part; that it stays where even this fails is a blemish only.
            let _ = unlinkat(&self.directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn create_new(directory: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
}

fn create_temporary(directory: &OwnedFd, name: &OsStr) -> Result<(File, OsString), Errno> {
    let mut last = Errno::EEXIST;
    for attempt in 0..100 {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}", std::process::id()));
        match create_new(directory, &temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(errno) => last = errno,
        }
        if last != Errno::EEXIST {
            break;
        }
    }
    Err(last)
}

fn demand_regular(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), Problem> {
    let found = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(|errno| cannot_create(path, errno))?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG {
        return Ok(());
    }
    let error = format!("{} exists and is not a regular file", path.display());
    Err(Problem::usage(error, "name another file"))
}

fn cannot_create(path: &Path, errno: Errno) -> Problem {
    let error = format!("{} cannot be created: {}", path.display(), errno.desc());
    match errno {
        Errno::ENOSPC
        | Errno::EDQUOT
        | Errno::EROFS
        | Errno::EIO
        | Errno::EFBIG
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOMEM => Problem::unusable(error, "look at the file system and its free space"),
        _ => Problem::usage(error, "name a file in a directory that can be written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    /// A directory of its own for each test, gone at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("mfa-setup-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn never(_: &Path) -> Result<(), Problem> {
        panic!("nothing is to be replaced");
    }

    #[test]
    fn a_new_file_is_private_and_exactly_its_content() {
        let directory = Directory::new("new");
        let path = directory.0.join("page");
        PrivateFile::create(&path, never).unwrap().finish(b"secret").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(directory.names(), ["page"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let directory = Directory::new("dropped");
        drop(PrivateFile::create(&directory.0.join("page"), never).unwrap());
        assert!(directory.names().is_empty());
    }

    #[test]
    fn an_existing_file_stays_unless_its_replacement_is_finished() {
        let directory = Directory::new("replace");
        let path = directory.0.join("page");
        fs::write(&path, "old").unwrap();

        let declined = PrivateFile::create(&path, |_| Err(Problem::declined()));
        assert_eq!(declined.unwrap_err().exit, 1);
        drop(PrivateFile::create(&path, |_| Ok(())).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");

        PrivateFile::create(&path, |_| Ok(())).unwrap().finish(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(directory.names(), ["page"]);
    }

    #[test]
    fn links_directories_and_missing_directories_are_refused() {
        let directory = Directory::new("odd");
        let target = directory.0.join("target");
        fs::write(&target, "target").unwrap();
        symlink(&target, directory.0.join("link")).unwrap();
        symlink(directory.0.join("nowhere"), directory.0.join("dangling")).unwrap();
        fs::create_dir(directory.0.join("directory")).unwrap();
        for name in ["link", "dangling", "directory", "missing/page", "..", "target/page"] {
            let refused = PrivateFile::create(&directory.0.join(name), never);
            assert_eq!(refused.unwrap_err().exit, 2, "{name}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"target");
        assert_eq!(directory.names(), ["dangling", "directory", "link", "target"]);
    }
}
