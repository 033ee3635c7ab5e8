//! How a process that keeps dbs open learns that another one wants a db.
//!
//! sled's lock is exclusive for as long as a db is open, and says to nobody that it is waited for. So
//! who finds a db open [rings](ring): opens the user's `lock` file, which is there for that already,
//! and which the other process watches (`IN_OPEN`, inotify(7)). That takes no socket, whose place
//! both would have to know, and no word that could be misunderstood: a db that is closed for nothing
//! costs its user's next login an opening.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::files::{self, Access};
use super::lock::Tenures;

/// Hears of files that are opened.
pub(super) struct Doorbell {
    inotify: Inotify,
    doors: Mutex<HashMap<WatchDescriptor, Door>>,
}

type Door = (Weak<Tenures>, u32);

/// A file that is watched until this is dropped.
pub(super) struct Watch {
    doorbell: Arc<Doorbell>,
    descriptor: WatchDescriptor,
}

impl Doorbell {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        Ok(Self { inotify, doors: Mutex::default() })
    }

    /// Watches the lock at `path`; none where the system has no more to give.
    pub(super) fn watch(
        self: &Arc<Self>,
        path: &Path,
        tenures: &Arc<Tenures>,
        uid: u32,
    ) -> Option<Watch> {
        // IN_ATTRIB: a file that is removed by hand can be opened by nobody any more.
        let flags =
            AddWatchFlags::IN_OPEN | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DONT_FOLLOW;
        // With the doors held: what is heard at once must find its door.
        let mut doors = self.doors();
        let descriptor = self.inotify.add_watch(path, flags).ok()?;
        doors.insert(descriptor, (Arc::downgrade(tenures), uid));
        Some(Watch { doorbell: Arc::clone(self), descriptor })
    }

    /// Answers whoever rings, until nothing can be heard any more.
    pub(super) fn answer(&self) -> io::Error {
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(errno) => return errno.into(),
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    // Some were not heard.
                    let all: Vec<Door> = self.doors().values().cloned().collect();
                    all.into_iter().for_each(open);
                } else if let Some(door) = { self.doors().get(&event.wd).cloned() } {
                    open(door);
                }
            }
        }
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<WatchDescriptor, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open((tenures, uid): Door) {
    if let Some(tenures) = tenures.upgrade() {
        tenures.give_up(uid);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.doorbell.doors().remove(&self.descriptor);
        // Fails where the file is gone, and the watch with it.
        let _ = self.doorbell.inotify.rm_watch(self.descriptor);
    }
}

/// Tells whoever has the db open that it is wanted.
pub(super) fn ring(lock: &Path) {
    // Whoever removed the user meanwhile wants the db closed as well.
    drop(files::open(lock, Access::Read));
}
