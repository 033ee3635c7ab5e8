//! Opening what only root may have written: the policy, the sealing key, the verifier.
//!
//! What is checked is what was opened. The name is resolved through directories and links that root
//! alone can change, so nobody else can put something in its place between two looks, or later
//! (CVE-2024-47191).

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;

/// As many links as the kernel follows: `path_resolution(7)`.
const MOST_LINKS: usize = 40;

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
        problem: Problem,
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

/// What is wrong with a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Somebody else could change it.
    #[error("is not owned by root")]
    NotRoots,
    /// Somebody else can change it.
    #[error("can be written by others than root")]
    Writable,
    /// Another name for it may be in a place that others can write.
    #[error("has more than one hard link")]
    HardLinks,
    /// It stands for another file.
    #[error("is a symbolic link")]
    Link,
    /// It leads from link to link.
    #[error("leads through too many symbolic links")]
    TooManyLinks,
    /// A directory, a FIFO, a device.
    #[error("is not a regular file")]
    NoFile,
    /// Something that files cannot be in.
    #[error("is not a directory")]
    NoDirectory,
    /// It depends on where one stands.
    #[error("is not the absolute path of a file")]
    Relative,
    /// A program that nobody may run.
    #[error("is not executable")]
    NotExecutable,
}

impl Untrusted {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(path) => format!("create {} or name another file", path.display()),
            Self::Unsafe { path, problem } => {
                let path = path.display();
                match problem {
                    Problem::NotRoots => format!("give it to root: chown root:root {path}"),
                    Problem::Writable => {
                        format!("make it root's alone to write: chmod go-w {path}")
                    }
                    Problem::HardLinks => {
                        format!("remove its other names: find / -xdev -samefile {path}")
                    }
                    Problem::Link | Problem::TooManyLinks => {
                        "put the file itself there, or name the place that the link leads to"
                            .to_owned()
                    }
                    Problem::NoFile | Problem::NoDirectory => {
                        format!("look what is there: ls -ld {path}")
                    }
                    Problem::Relative => "name it by its whole path, from / on".to_owned(),
                    Problem::NotExecutable => format!("let root run it: chmod 755 {path}"),
                }
            }
            Self::Io { .. } => "look at the file system and its permissions".to_owned(),
        }
    }
}

/// Opens a regular file that root owns, that nobody else can write, that has one name only and is
/// no symbolic link, in a [`trusted_directory`].
pub fn open_file(path: &Path) -> Result<File, Untrusted> {
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if path.is_absolute() => (parent, name),
        _ => return Err(unsafe_path(path, Problem::Relative)),
    };
    let path = trusted_directory(parent)?.join(name);
    let (file, metadata) = open_plain(&path)?;
    if metadata.nlink() > 1 {
        return Err(unsafe_path(&path, Problem::HardLinks));
    }
    Ok(file)
}

/// Opens a program like [`open_file`]; it may be a symbolic link, if that is root's.
pub fn open_program(path: &Path) -> Result<File, Untrusted> {
    let (path, _) = resolve(path)?;
    let (file, metadata) = open_plain(&path)?;
    if metadata.mode() & 0o111 == 0 {
        return Err(unsafe_path(&path, Problem::NotExecutable));
    }
    Ok(file)
}

/// Opens a file like [`open_program`] that nobody needs to be able to run.
pub fn open_linked(path: &Path) -> Result<File, Untrusted> {
    Ok(open_plain(&resolve(path)?.0)?.0)
}

/// Resolves a directory and demands that it, all above it and all that the path leads through are
/// root's and nobody else's to write.
pub fn trusted_directory(path: &Path) -> Result<PathBuf, Untrusted> {
    let (path, metadata) = resolve(path)?;
    demand_directory(&path, metadata)?;
    Ok(path)
}

/// Follows an absolute path to what it leads to, whose metadata it may have looked up. Each link on the
/// way is root's, in a directory that is root's alone to write: who owns a link decides where it leads.
fn resolve(path: &Path) -> Result<(PathBuf, Option<Metadata>), Untrusted> {
    if !path.is_absolute() {
        return Err(unsafe_path(path, Problem::Relative));
    }
    let mut here = PathBuf::from("/");
    let mut looked_up = None;
    let mut names = steps(path);
    let mut links = 0;
    while let Some(name) = names.pop() {
        demand_directory(&here, looked_up.take())?;
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(name);
        let metadata = fs::symlink_metadata(&next).map_err(|source| io_error(&next, source))?;
        if !metadata.is_symlink() {
            here = next;
            looked_up = Some(metadata);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(unsafe_path(path, Problem::TooManyLinks));
        }
        demand_owner(&next, &metadata)?;
        let target = fs::read_link(&next).map_err(|source| io_error(&next, source))?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        names.extend(steps(&target));
    }
    Ok((here, looked_up))
}

/// The names in a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let name = |part: Component| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

fn demand_directory(path: &Path, looked_up: Option<Metadata>) -> Result<(), Untrusted> {
    let metadata = match looked_up {
        Some(metadata) => metadata,
        None => fs::symlink_metadata(path).map_err(|source| io_error(path, source))?,
    };
    if !metadata.is_dir() {
        return Err(unsafe_path(path, Problem::NoDirectory));
    }
    refuse_foreign(path, &metadata)
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
        return Err(unsafe_path(path, Problem::NoFile));
    }
    refuse_foreign(path, &metadata)?;
    Ok((file, metadata))
}

fn refuse_foreign(path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
    demand_owner(path, metadata)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(unsafe_path(path, Problem::Writable));
    }
    Ok(())
}

fn demand_owner(path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
    if metadata.uid() == 0 { Ok(()) } else { Err(unsafe_path(path, Problem::NotRoots)) }
}

fn unsafe_path(path: &Path, problem: Problem) -> Untrusted {
    Untrusted::Unsafe { path: path.to_owned(), problem }
}

fn io_error(path: &Path, source: io::Error) -> Untrusted {
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => Untrusted::Missing(path.to_owned()),
        (_, Some(nix::libc::ELOOP)) => unsafe_path(path, Problem::Link),
        (_, Some(nix::libc::ENXIO)) => unsafe_path(path, Problem::NoFile),
        _ => Untrusted::Io { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    const NOBODY: Option<u32> = Some(65_534);

    /// A directory of root's below directories of root's.
    struct Home(PathBuf);

    impl Home {
        fn new(name: &str) -> Self {
            let path =
                format!("/var/cache/pam_mfa-tests/unit/trusted-{name}-{}", std::process::id());
            fs::create_dir_all(&path).expect("these tests run as root");
            let home = Self(path.into());
            fs::create_dir(home.at("etc")).unwrap();
            fs::write(home.at("etc/file"), "x").unwrap();
            fs::create_dir(home.at("foreign")).unwrap();
            lchown(home.at("foreign"), NOBODY, NOBODY).unwrap();
            home
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn problem<T>(opened: Result<T, Untrusted>) -> String {
        opened.err().expect("it opens").to_string()
    }

    #[test]
    fn links_of_root_are_followed_and_a_link_of_somebody_else_is_not() {
        let home = Home::new("links");
        symlink("etc", home.at("link")).unwrap();
        symlink("../link/../etc", home.at("etc/around")).unwrap();
        for path in ["etc/file", "link/file", "etc/around/file", "foreign/../etc/./file"] {
            let opened = open_file(&home.at(path));
            assert_eq!(opened.is_ok(), !path.starts_with("foreign"), "{path}");
        }
        symlink(home.at("etc"), home.at("foreign/link")).unwrap();
        assert!(problem(open_file(&home.at("foreign/link/file"))).contains("not owned by root"));
        symlink(home.at("foreign/link"), home.at("through")).unwrap();
        assert!(problem(open_file(&home.at("through/file"))).contains("not owned by root"));
        symlink("etc", home.at("given")).unwrap();
        lchown(home.at("given"), NOBODY, NOBODY).unwrap();
        assert!(problem(trusted_directory(&home.at("given"))).contains("not owned by root"));
        symlink("loop", home.at("loop")).unwrap();
        assert!(problem(trusted_directory(&home.at("loop"))).contains("too many"));
    }

    #[test]
    fn a_program_may_be_a_link_and_a_file_may_not() {
        let home = Home::new("program");
        fs::set_permissions(home.at("etc/file"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("etc/file", home.at("program")).unwrap();
        assert!(open_program(&home.at("program")).is_ok());
        assert!(problem(open_file(&home.at("program"))).contains("symbolic link"));
        assert!(open_linked(&home.at("program")).is_ok());
        assert!(problem(open_program(&home.at("etc"))).contains("not a regular file"));
        assert!(problem(open_program(Path::new("etc/file"))).contains("is not the absolute path"));
        assert!(matches!(open_program(&home.at("none")), Err(Untrusted::Missing(_))));
        assert!(matches!(open_file(&home.at("none/file")), Err(Untrusted::Missing(_))));
        assert!(problem(open_file(&home.at("etc/file/x"))).contains("not a directory"));
    }

    #[test]
    fn what_others_own_or_write_or_name_twice_is_refused() {
        let home = Home::new("foreign");
        fs::write(home.at("foreign/file"), "x").unwrap();
        assert!(problem(open_file(&home.at("foreign/file"))).contains("not owned by root"));
        fs::hard_link(home.at("etc/file"), home.at("etc/twice")).unwrap();
        assert!(problem(open_file(&home.at("etc/file"))).contains("hard link"));
        fs::remove_file(home.at("etc/twice")).unwrap();
        for mode in [0o620, 0o602] {
            fs::set_permissions(home.at("etc/file"), fs::Permissions::from_mode(mode)).unwrap();
            assert!(problem(open_file(&home.at("etc/file"))).contains("written by others"));
        }
    }
}
