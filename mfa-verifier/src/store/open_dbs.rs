//! The dbs that a resident verifier keeps open from one request to the next.
//!
//! Everything else about a store is looked at anew for each request (key, marker, directories), so
//! that a store which is unmounted, exchanged or given to another key is noticed at the next login.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::doorbell::Doorbell;
use super::lock::Tenures;

/// Dbs that are kept open for the next login of their users.
const ROOM: usize = 256;

/// Open dbs, of whatever stores the policy file names in turn.
pub struct OpenDbs {
    room: usize,
    doorbell: Arc<Doorbell>,
    stores: Mutex<Vec<(Users, Arc<Tenures>)>>,
}

/// Device and inode of a store's directory of users.
type Users = (u64, u64);

impl OpenDbs {
    /// None yet.
    ///
    /// # Errors
    /// Where the system has no inotify(7) to give: then no db can be kept.
    pub fn new() -> io::Result<Self> {
        Self::with_room(ROOM)
    }

    /// The same, for so many users.
    pub(super) fn with_room(room: usize) -> io::Result<Self> {
        Ok(Self { room, doorbell: Arc::new(Doorbell::new()?), stores: Mutex::default() })
    }

    /// Closes each db that another process wants, for as long as that can be heard. Without it
    /// running, such a process waits in vain.
    pub fn answer_others(&self) -> io::Error {
        self.doorbell.answer()
    }

    /// How long some user's lock has been held by this process: not for long, or somebody is stuck.
    #[must_use]
    pub fn longest_held(&self) -> Duration {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().map(|(_, tenures)| tenures.longest()).max().unwrap_or_default()
    }

    /// Writes what sled only has in memory yet. It is the second copy of records of which the first is
    /// durable already, so nobody waits for it.
    pub fn write(&self) {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = stores.iter().map(|(_, tenures)| Arc::clone(tenures)).collect();
        drop(stores);
        for tenures in all {
            tenures.write();
        }
    }

    /// Those of the store with this directory of users.
    pub(super) fn below(&self, users: Users) -> Arc<Tenures> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tenures)) = stores.iter().find(|(identity, _)| *identity == users) {
            return Arc::clone(tenures);
        }
        // The policy names another store now; requests that are under way end with theirs.
        let idle = |(_, tenures): &mut (_, Arc<Tenures>)| Arc::strong_count(tenures) == 1;
        let closing: Vec<_> = stores.extract_if(.., idle).collect();
        let tenures = Arc::new(Tenures::keeping(self.room, Arc::clone(&self.doorbell)));
        stores.push((users, Arc::clone(&tenures)));
        drop(stores);
        drop(closing);
        tenures
    }
}
