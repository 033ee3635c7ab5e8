//! Opening what another module keeps, some of it where users can put anything.
//!
//! What is in a place of a user's is opened as that user, who then leads root nowhere. In any case it is a plain
//! file with one name, of that user or, where root names it, of root, that nobody else can write. Keys that others can
//! read are a copy in others' hands: root alone may take them all the same, by naming the file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use mfa_protocol::trusted::{open_file, trusted_directory};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups, setegid, seteuid, setgroups,
};
use zeroize::Zeroizing;

use crate::input;
use crate::problem::{Problem, UNUSABLE, say_error};
use crate::session::printed;

/// Bytes of one user's file: a key, a dozen options, ten codes.
const LARGEST_OF_ONE: u64 = 16 * 1024;

/// Bytes of a file of all users: some 100 for a line, and 100,000 of them.
const LARGEST_OF_ALL: u64 = 16 * 1024 * 1024;

/// The content of a file, which is wiped.
type Content = Zeroizing<Vec<u8>>;

/// What root is told of a file that is taken all the same.
type Note = Option<String>;

/// A file in a place of the user's; none where there is none.
pub fn of_user(path: &Path, user: &User) -> Result<Option<Content>, Problem> {
    let owners = Owners { user: user.uid, is_named: false };
    match as_user(user, || open(path)) {
        Ok(file) => {
            read(path, file, Some(&owners), LARGEST_OF_ONE).map(|(content, _)| Some(content))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(cannot_open(path, &error)),
    }
}

/// A file that root has named, wherever it is: where the user cannot open it, it is where root alone
/// says what is there.
pub fn named(path: &Path, user: &User) -> Result<(Content, Note), Problem> {
    let owners = Owners { user: user.uid, is_named: true };
    let file = match as_user(user, || open(path)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let path = in_roots_place(path)?;
            open(&path)
        }
        opened => opened,
    };
    let file = file.map_err(|error| cannot_open(path, &error))?;
    read(path, file, Some(&owners), LARGEST_OF_ONE)
}

/// A file that is root's alone to write, as is all that leads to it.
pub fn of_root(path: &Path) -> Result<(Content, Note), Problem> {
    let absolute = absolute(path)?;
    let file = open_file(&absolute)
        .map_err(|untrusted| Problem::usage(untrusted.to_string(), untrusted.hint()))?;
    read(path, file, None, LARGEST_OF_ALL)
}

/// There is no such file.
pub fn missing(path: &Path) -> Problem {
    let error = format!("there is no {}", printed(path.as_os_str()));
    Problem::usage(error, "name the file, and its user by --user")
}

fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path).map_err(|error| cannot_open(path, &error))
}

fn in_roots_place(path: &Path) -> Result<PathBuf, Problem> {
    let absolute = absolute(path)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(missing(path));
    };
    let parent = trusted_directory(parent)
        .map_err(|untrusted| Problem::usage(untrusted.to_string(), untrusted.hint()))?;
    Ok(parent.join(name))
}

/// Opens neither what a link leads to, nor a FIFO for as long as nobody writes into it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// Whose a file may be.
struct Owners {
    user: Uid,
    /// Root has named it: it may be root's, and others may read it.
    is_named: bool,
}

fn read(
    path: &Path,
    mut file: File,
    owners: Option<&Owners>,
    largest: u64,
) -> Result<(Content, Note), Problem> {
    let name = printed(path.as_os_str());
    let found = file.metadata().map_err(|error| cannot_open(path, &error))?;
    let look = format!("look what is there: ls -ld {name}");
    let refused = |what: &str| Err(Problem::usage(format!("{name} {what}"), look.clone()));
    if !found.is_file() {
        return refused("is not a regular file");
    }
    if let Some(owners) = owners {
        let is_roots = found.uid() == 0 && owners.is_named;
        if found.uid() != owners.user.as_raw() && !is_roots {
            return refused("belongs to somebody else");
        }
        if found.nlink() > 1 {
            return refused("has another name, which is a hard link");
        }
        if found.mode() & 0o022 != 0 {
            return refused("can be written by others, who may have put their own key there");
        }
        if found.mode() & 0o077 != 0 && !owners.is_named {
            return Err(Problem::usage(
                format!("{name} can be read by others, who may have its key"),
                "have the user make a new key; or name the file, and its user by --user",
            ));
        }
    }
    let size = found.len();
    if size > largest {
        return refused(&format!("has more than {largest} bytes"));
    }
    let bound = usize::try_from(size).unwrap_or(usize::MAX - 1);
    let content = input::whole(&mut file, bound).map_err(|error| cannot_open(path, &error))?;
    if content.len() > bound {
        return refused("grew while it was read");
    }
    let note = (found.mode() & 0o077 != 0)
        .then(|| format!("{name} can be read by others, who may have its keys"));
    Ok((content, note))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn cannot_open(path: &Path, error: &io::Error) -> Problem {
    let name = printed(path.as_os_str());
    if is_missing(error) {
        return missing(path);
    }
    let why = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => "is a symbolic link".to_owned(),
        Some(Errno::ENXIO) => "is not a regular file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Problem::usage(format!("{name} {why}"), format!("look what is there: ls -ld {name}"))
}

/// Does something with the rights of a user, where it is another.
fn as_user<T>(user: &User, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if user.uid == geteuid() {
        return act();
    }
    let _root = Guise::put_on(user)?;
    act()
}

/// Whoever has put it on is root again when it is dropped. The real uid stays root's, so that the user can
/// neither signal this process nor look into it.
struct Guise {
    gid: Gid,
    groups: Vec<Gid>,
}

impl Guise {
    fn put_on(user: &User) -> nix::Result<Self> {
        let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
        let groups = getgrouplist(&name, user.gid)?;
        // From here on, a return is root's again.
        let guise = Self { gid: getegid(), groups: getgroups()? };
        setgroups(&groups)?;
        setegid(user.gid)?;
        seteuid(user.uid)?;
        Ok(guise)
    }
}

impl Drop for Guise {
    fn drop(&mut self) {
        let again = seteuid(Uid::from_raw(0))
            .and_then(|()| setegid(self.gid))
            .and_then(|()| setgroups(&self.groups));
        if again.is_err() {
            // What comes next would be done as somebody else than was asked.
            say_error("root's rights cannot be taken back");
            process::exit(UNUSABLE.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::{chown, mkfifo};
    use std::env;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    /// A directory of daemon's for each test, gone at its end. These tests run as root.
    struct Home(PathBuf, User);

    /// Runs a test in a process of its own: whoever takes on a user's rights does so for all threads, and other
    /// tests run in some of them.
    fn apart(test: &str, body: impl FnOnce()) {
        const APART: &str = "MFA_SETUP_TEST_APART";
        if env::var_os(APART).is_some() {
            return body();
        }
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let mut command = Command::new(env::current_exe().unwrap());
        let output =
            command.args(["--exact", &name, "--nocapture"]).env(APART, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(" 1 passed;"), "{said}{errors}");
    }

    impl Home {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("mfa-import-{name}-{}", process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            let user = User::from_name("daemon").unwrap().unwrap();
            chown(&path, Some(user.uid), Some(user.gid)).unwrap();
            Self(path, user)
        }

        fn file(&self, name: &str, owner: Uid, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "KEY\n").unwrap();
            chown(&path, Some(owner), None).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
            let read = of_user(path, &self.1).map_err(|problem| problem.error)?;
            Ok(read.map(|content| content.to_vec()))
        }

        fn refused(&self, path: &Path) -> String {
            self.read(path).unwrap_err()
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_users_own_file_is_read_and_one_that_is_not_there_is_none() {
        apart("a_users_own_file_is_read_and_one_that_is_not_there_is_none", || {
            let home = Home::new("own");
            let own = home.file("own", home.1.uid, 0o400);
            assert_eq!(home.read(&own), Ok(Some(b"KEY\n".to_vec())));
            assert_eq!(home.read(&home.0.join("missing")), Ok(None));
            assert_eq!(home.read(&own.join("below")), Ok(None));
            assert!(geteuid().is_root() && getegid().as_raw() == 0);
        });
    }

    #[test]
    fn links_and_what_is_no_file_are_refused_and_wait_for_nobody() {
        apart("links_and_what_is_no_file_are_refused_and_wait_for_nobody", || {
            let home = Home::new("odd");
            let own = home.file("own", home.1.uid, 0o600);
            let at = |name: &str| home.0.join(name);
            symlink(&own, at("link")).unwrap();
            symlink(at("nowhere"), at("dangling")).unwrap();
            fs::hard_link(&own, at("hard")).unwrap();
            mkfifo(&at("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
            fs::create_dir(at("directory")).unwrap();
            let _socket = UnixListener::bind(at("socket")).unwrap();
            for name in ["fifo", "directory", "socket"] {
                chown(&at(name), Some(home.1.uid), None).unwrap();
            }
            for (name, why) in [
                ("link", "is a symbolic link"),
                ("dangling", "is a symbolic link"),
                ("hard", "has another name"),
                ("fifo", "is not a regular file"),
                ("directory", "is not a regular file"),
                ("socket", "is not a regular file"),
            ] {
                let error = home.refused(&at(name));
                assert!(error.contains(why), "{name}: {error}");
            }
        });
    }

    #[test]
    fn what_is_anothers_or_anybodys_or_too_large_is_refused() {
        apart("what_is_anothers_or_anybodys_or_too_large_is_refused", || {
            let home = Home::new("foreign");
            let other = home.file("other", Uid::from_raw(2), 0o644);
            assert!(home.refused(&other).contains("belongs to somebody else"));
            let roots = home.file("roots", Uid::from_raw(0), 0o644);
            assert!(home.refused(&roots).contains("belongs to somebody else"));
            let (_, note) = named(&roots, &home.1).unwrap();
            assert!(note.is_some_and(|note| note.contains("can be read by others")));
            for mode in [0o640, 0o604, 0o610] {
                let open = home.file("open", home.1.uid, mode);
                assert!(home.refused(&open).contains("can be read by others"), "{mode:o}");
                assert!(named(&open, &home.1).unwrap().1.is_some(), "{mode:o}");
            }
            // With root's rights it could be read.
            let secret = home.file("secret", Uid::from_raw(0), 0o600);
            assert!(home.refused(&secret).contains("cannot be read"));
            let writable = home.file("writable", home.1.uid, 0o620);
            assert!(home.refused(&writable).contains("can be written by others"));
            let large = home.file("large", home.1.uid, 0o600);
            fs::write(&large, vec![b'A'; 16 * 1024 + 1]).unwrap();
            assert!(home.refused(&large).contains("has more than 16384 bytes"));
        });
    }

    #[test]
    fn a_named_file_is_the_users_or_in_a_place_of_roots_and_no_link_leads_elsewhere() {
        apart(
            "a_named_file_is_the_users_or_in_a_place_of_roots_and_no_link_leads_elsewhere",
            || {
                let home = Home::new("named");
                let own = home.file("own", home.1.uid, 0o600);
                let (content, note) = named(&own, &home.1).unwrap();
                assert_eq!((content.as_slice(), note), (&b"KEY\n"[..], None));
                // What the user cannot read is in a place of the user's, who may have put it there.
                let secret = home.file("secret", Uid::from_raw(0), 0o600);
                assert!(named(&secret, &home.1).is_err());
                assert!(named(&home.0.join("missing"), &home.1).is_err());
                symlink(&own, home.0.join("link")).unwrap();
                assert!(named(&home.0.join("link"), &home.1).is_err());
            },
        );
    }

    #[test]
    fn of_roots_own_a_file_is_read_that_root_alone_can_write() {
        apart("of_roots_own_a_file_is_read_that_root_alone_can_write", || {
            // All that leads there is root's, as it is not below /tmp.
            let place = PathBuf::from(format!("/var/lib/mfa-import-{}", process::id()));
            fs::create_dir(&place).unwrap();
            let path = place.join("users.oath");
            fs::write(&path, "KEY\n").unwrap();
            let with = |mode| {
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                let read = of_root(&path).map_err(|problem| problem.error);
                read.map(|(content, note)| (content.to_vec(), note.is_some()))
            };
            let (closed, open, writable) = (with(0o600), with(0o644), with(0o620));
            let daemon = User::from_name("daemon").unwrap().unwrap();
            chown(&path, Some(daemon.uid), None).unwrap();
            let foreign = with(0o600);
            fs::remove_dir_all(&place).unwrap();
            assert_eq!(closed, Ok((b"KEY\n".to_vec(), false)));
            assert_eq!(open, Ok((b"KEY\n".to_vec(), true)));
            assert!(writable.is_err() && foreign.is_err());
        });
    }
}
