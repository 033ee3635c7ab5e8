//! A socket to listen on, with a name that it gets when it is ready and loses when that ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::places::run_directory;

/// A socket that is listened on until this is dropped.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Bound {
    /// Makes the socket, in a directory that root alone can write. It gets its name when it can be
    /// connected to, in place of one that nobody listens on any more.
    ///
    /// # Errors
    /// Where somebody listens there already, too.
    pub fn new(path: &Path, mode: u32) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other(format!("{} is no path of a socket", path.display())));
        };
        let parent = run_directory(parent)?;
        let path = parent.join(name);
        if is_listened_on(&path)? {
            return Err(io::Error::other(format!("{} is listened on already", path.display())));
        }
        let unready = parent.join(format!(".{}.{}", name.display(), std::process::id()));
        let listener = UnixListener::bind(&unready)?;
        let ready = fs::set_permissions(&unready, Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&unready, &path));
        if let Err(error) = ready {
            let _ = fs::remove_file(&unready);
            return Err(error);
        }
        let identity = identity(&path);
        Ok(Self { listener, path, identity })
    }

    /// What connections are accepted from.
    #[must_use]
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // A socket that nobody listens on would only be in the way; another's may be there by now.
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether somebody listens there, who may be too busy to answer.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What says nothing about the next connection: it was given up, or there is a lack that passes.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    let lacks = [Errno::ECONNABORTED, Errno::EINTR, Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM];
    lacks.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}
