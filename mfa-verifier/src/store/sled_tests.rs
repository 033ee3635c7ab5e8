//! What can happen to files.
//!
//! The directories lie on a real disk, below parents that only root can write.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::contract::{alice, number, numbered, save};
use super::{Opened, Owner, Revision, Saved, SledStore, Store, StoreError, summary};
use crate::record::{self, UserRecord};

/// A directory of one test, removed when it ends.
pub(super) struct Home(PathBuf);

impl Home {
    /// Without a store.
    pub(super) fn bare() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(format!("/var/cache/pam_mfa-tests/unit/{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("these tests run as root");
        Self(path)
    }

    /// With a store.
    pub(super) fn new() -> Self {
        let home = Self::bare();
        home.initialize().unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.0.join("lib/pam_mfa")
    }

    fn key_file(&self) -> PathBuf {
        self.0.join("etc/pam_mfa/store.key")
    }

    fn initialize(&self) -> Result<SledStore, StoreError> {
        SledStore::initialize(&self.path(), &self.key_file(), &UserRecord::default())
    }

    fn open(&self) -> Result<Opened, StoreError> {
        SledStore::open(&self.path(), &self.key_file())
    }

    /// The store as another process would open it. It outlives nothing: the home goes first, but
    /// a store holds no file open.
    pub(super) fn store(&self) -> SledStore {
        match self.open() {
            Ok(Opened::Store(store)) => store,
            Ok(Opened::Fresh) => panic!("fresh"),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Home {
    fn room(&self) -> PathBuf {
        self.path().join("users/1000")
    }

    /// With alice at revision 5 and number 5.
    fn with_alice() -> Self {
        let home = Self::new();
        for n in 0..5 {
            assert_eq!(save(&home.store(), &alice(), n + 1, n.into()), Saved::Saved);
        }
        home
    }

    /// Damages alice's files, and demands that her newest record comes back and can be updated
    /// (true), or that she is refused (false): each time, not only the first.
    fn survives(&self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        let saved = self.0.join("saved");
        if !saved.exists() {
            copy_tree(&self.room(), &saved);
        }
        fs::remove_dir_all(self.room()).unwrap();
        copy_tree(&saved, &self.room());
        damage(&self.room());

        let store = self.store();
        for _ in 0..2 {
            match store.load(&alice()) {
                Ok((record, revision)) => {
                    assert_eq!((record.next_id, revision), (5, Revision(5)), "{what}");
                }
                Err(StoreError::Damaged { uid: 1000, .. }) => return false,
                Err(other) => panic!("{what}: {other}"),
            }
        }
        match store.save(&alice(), &numbered(6), Revision(5)) {
            Ok(saved) => assert_eq!(saved, Saved::Saved, "{what}"),
            Err(StoreError::Damaged { uid: 1000, .. }) => return false,
            Err(other) => panic!("{what}: {other}"),
        }
        let store = self.store();
        assert_eq!(number(&store, &alice()), (6, Revision(6)), "{what}");
        assert_eq!(save(&store, &alice(), 0, 5), Saved::Conflict, "{what}");
        assert_eq!(number(&store, &alice()), (6, Revision(6)), "{what}");
        assert_eq!(store.notices(), [""; 0], "{what}");
        true
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn truncate(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

fn files_of_db(room: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(room.join("db")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// Bytes on disk, as du(1) counts them.
fn disk_usage(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let below = if metadata.is_dir() {
        fs::read_dir(path).unwrap().map(|entry| disk_usage(&entry.unwrap().path())).sum()
    } else {
        0
    };
    metadata.blocks() * 512 + below
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[track_caller]
fn unusable(opened: Result<Opened, StoreError>) -> String {
    match opened {
        Err(StoreError::Unusable { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opens"),
    }
}

#[track_caller]
fn refused<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(error @ StoreError::Damaged { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn a_fresh_host_has_nothing_and_opening_makes_nothing() {
    let home = Home::bare();
    assert!(matches!(home.open(), Ok(Opened::Fresh)));
    assert!(!home.path().exists() && !home.key_file().exists());
}

#[test]
fn a_new_store_is_roots_alone_and_stays_what_it_is() {
    let home = Home::new();
    let key = fs::read(home.key_file()).unwrap();
    assert_eq!(key.len(), 32);
    let marker = fs::read_to_string(home.path().join("format")).unwrap();
    assert!(marker.starts_with("pam_mfa store 1\nkey "), "{marker}");
    let store = home.store();
    assert_eq!(save(&store, &alice(), 1, 0), Saved::Saved);
    assert_eq!(store.load(&Owner::decoy()).unwrap().1, Revision(1));

    home.initialize().unwrap();
    assert_eq!(fs::read(home.key_file()).unwrap(), key);
    assert_eq!(number(&home.store(), &alice()), (1, Revision(1)));

    let mut pending = vec![home.path()];
    while let Some(path) = pending.pop() {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(mode(&home.key_file()), 0o600);
    assert_eq!(mode(home.key_file().parent().unwrap()), 0o755);
}

#[test]
fn half_a_store_is_refused_and_left_alone() {
    type Break = fn(&Home);
    let cases: [(&str, Break, &str); 12] = [
        ("key gone", |h| fs::remove_file(h.key_file()).unwrap(), "is missing"),
        ("marker gone", |h| fs::remove_file(h.path().join("format")).unwrap(), "no store"),
        ("store gone", |h| fs::remove_dir_all(h.path()).unwrap(), "no store"),
        (
            "store not mounted",
            |h| {
                fs::remove_dir_all(h.path()).unwrap();
                fs::create_dir(h.path()).unwrap();
            },
            "no store",
        ),
        (
            "key and marker gone",
            |h| {
                fs::remove_file(h.key_file()).unwrap();
                fs::remove_file(h.path().join("format")).unwrap();
            },
            "has records",
        ),
        ("users gone", |h| fs::remove_dir_all(h.path().join("users")).unwrap(), "is missing"),
        ("another host's key", |h| fs::write(h.key_file(), [7; 32]).unwrap(), "another key"),
        ("short key", |h| truncate(&h.key_file(), 31), "32 bytes"),
        ("long key", |h| truncate(&h.key_file(), 33), "32 bytes"),
        (
            "readable key",
            |h| fs::set_permissions(h.key_file(), Permissions::from_mode(0o640)).unwrap(),
            "can be read",
        ),
        (
            "linked key",
            |h| {
                fs::rename(h.key_file(), h.0.join("key")).unwrap();
                symlink(h.0.join("key"), h.key_file()).unwrap();
            },
            "symbolic link",
        ),
        ("marker cut", |h| truncate(&h.path().join("format"), 30), "damaged"),
    ];
    for (what, damage, expected) in cases {
        let home = Home::with_alice();
        let store = home.store();
        damage(&home);
        let reason = unusable(home.open());
        assert!(reason.contains(expected), "{what}: {reason}");
        let again = unusable(home.initialize().map(Opened::Store));
        assert_eq!(reason, again, "{what}");
        drop(store);
    }
}

#[test]
fn an_interrupted_founding_is_completed_or_begun_anew() {
    let home = Home::new();
    let key = fs::read(home.key_file()).unwrap();
    let (marker, new_marker) = (home.path().join("format"), home.path().join("format.new"));
    fs::rename(&marker, &new_marker).unwrap();
    assert!(unusable(home.open()).contains("interrupted"));
    home.initialize().unwrap();
    assert_eq!(fs::read(home.key_file()).unwrap(), key);
    assert_eq!(home.store().load(&Owner::decoy()).unwrap().1, Revision(1));

    fs::rename(&marker, &new_marker).unwrap();
    fs::rename(home.key_file(), home.key_file().with_extension("key.new")).unwrap();
    fs::create_dir(home.path().join("users/.new-4294967295")).unwrap();
    assert!(matches!(home.open(), Ok(Opened::Fresh)));
    home.initialize().unwrap();
    assert_ne!(fs::read(home.key_file()).unwrap(), key);
    assert_eq!(home.store().load(&Owner::decoy()).unwrap().1, Revision(1));
    assert!(!new_marker.exists() && !home.key_file().with_extension("key.new").exists());
}

#[test]
fn founders_in_parallel_make_one_store() {
    let home = Home::bare();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| home.initialize().unwrap());
        }
    });
    assert_eq!(home.store().load(&Owner::decoy()).unwrap().1, Revision(1));
}

#[test]
fn a_store_that_is_exchanged_while_it_is_open_is_refused() {
    let home = Home::with_alice();
    let store = home.store();
    fs::rename(home.path().join("users"), home.path().join("aside")).unwrap();
    for restore in [false, true] {
        if restore {
            fs::create_dir(home.path().join("users")).unwrap();
        }
        assert!(matches!(store.load(&alice()), Err(StoreError::Unusable { .. })));
        assert!(matches!(
            store.save(&alice(), &numbered(1), Revision::NONE),
            Err(StoreError::Unusable { .. })
        ));
        assert!(matches!(store.remove(&alice()), Err(StoreError::Unusable { .. })));
    }
}

#[test]
fn a_lost_or_older_db_is_healed_from_the_summary() {
    let home = Home::with_alice();
    copy_tree(&home.room().join("db"), &home.0.join("older"));
    assert_eq!(save(&home.store(), &alice(), 6, 5), Saved::Saved);
    for what in ["gone", "empty", "older"] {
        fs::remove_dir_all(home.room().join("db")).unwrap();
        match what {
            "empty" => fs::create_dir(home.room().join("db")).unwrap(),
            "older" => copy_tree(&home.0.join("older"), &home.room().join("db")),
            _ => {}
        }
        let store = home.store();
        assert_eq!(save(&store, &alice(), 0, 5), Saved::Conflict, "{what}");
        assert_eq!(store.notices().len(), 1, "{what}");
        assert_eq!(number(&store, &alice()), (6, Revision(6)), "{what}");
        assert_eq!(save(&store, &alice(), 0, 5), Saved::Conflict, "{what}");
        assert!(store.notices().is_empty(), "{what}");
    }
}

#[test]
fn a_lost_summary_is_healed_from_the_db() {
    let home = Home::with_alice();
    assert!(home.survives("gone", |room| fs::remove_file(room.join("summary")).unwrap()));
    assert!(home.survives("huge", |room| truncate(&room.join("summary"), 1 << 40)));
    let size = summary::SIZE as u64;
    for length in [0, 1, 6, 100, 4095, 4096, 4097, 4102, 4400, 5000, size - 1] {
        let cut = |room: &Path| truncate(&room.join("summary"), length);
        assert!(home.survives(&format!("cut to {length}"), cut));
    }
}

#[test]
fn without_db_and_summary_the_user_is_refused_and_can_be_removed() {
    let home = Home::with_alice();
    let lose = |room: &Path| {
        fs::remove_dir_all(room.join("db")).unwrap();
        fs::remove_file(room.join("summary")).unwrap();
    };
    assert!(!home.survives("both gone", lose));
    refused(home.store().save(&alice(), &numbered(1), Revision::NONE));
    home.store().remove(&alice()).unwrap();
    assert_eq!(save(&home.store(), &alice(), 1, 0), Saved::Saved);
}

#[test]
fn a_torn_summary_that_was_newest_is_refused() {
    let home = Home::with_alice();
    copy_tree(&home.room().join("db"), &home.0.join("older"));
    assert_eq!(save(&home.store(), &alice(), 6, 5), Saved::Saved);
    fs::remove_dir_all(home.room().join("db")).unwrap();
    copy_tree(&home.0.join("older"), &home.room().join("db"));
    // Revision 6 lies in slot 0; behind its header, and then in it.
    flip(&home.room().join("summary"), 100);
    refused(home.store().load(&alice()));
    refused(home.store().save(&alice(), &numbered(0), Revision(5)));
    fs::remove_dir_all(home.room().join("db")).unwrap();
    refused(home.store().load(&alice()));
    flip(&home.room().join("summary"), 10);
    refused(home.store().load(&alice()));
}

#[test]
fn each_byte_of_a_summary_may_flip() {
    let home = Home::with_alice();
    let dense = (0..400).chain(4096..4496);
    let sparse = (400..summary::SIZE as u64).step_by(97);
    for at in dense.step_by(3).chain(sparse) {
        let healed = home.survives(&format!("byte {at}"), |room| flip(&room.join("summary"), at));
        assert!(healed, "byte {at}");
    }
}

#[test]
fn bytes_of_a_db_may_flip_and_its_files_may_be_cut() {
    let home = Home::with_alice();
    let files = files_of_db(&home.room());
    assert!(files.len() >= 3, "db, conf and a snapshot");
    for file in files {
        let name = Path::new("db").join(file.file_name().unwrap());
        let length = fs::metadata(&file).unwrap().len();
        for at in (0..length.min(2000)).step_by(61).chain((2000..length).step_by(997)) {
            let what = format!("{} byte {at}", name.display());
            assert!(home.survives(&what, |room| flip(&room.join(&name), at)), "{what}");
        }
        for length in [0, 1, 8, 20, 40, 100, 500, 4096, length.saturating_sub(1), 1 << 40] {
            let what = format!("{} cut to {length}", name.display());
            assert!(home.survives(&what, |room| truncate(&room.join(&name), length)), "{what}");
        }
        let what = format!("{} gone", name.display());
        assert!(home.survives(&what, |room| fs::remove_file(room.join(&name)).unwrap()), "{what}");
    }
    let planted = |room: &Path| fs::write(room.join("db/snap.FFFF.generating"), "x").unwrap();
    assert!(home.survives("an interrupted snapshot", planted));
}

#[test]
fn what_was_planted_among_the_files_is_refused_and_not_touched() {
    let home = Home::with_alice();
    let target = home.0.join("target");
    for place in ["lock", "summary", "db", "db/db", "db/conf", "db/blobs", ""] {
        for kind in ["symlink", "dangling", "fifo", "hard link", "socket", "foreign", "directory"] {
            let whole_directory = ["db", "db/blobs", ""].contains(&place);
            if whole_directory && ["hard link", "directory"].contains(&kind) {
                continue;
            }
            let what = format!("{kind} at users/1000/{place}");
            fs::write(&target, "untouched").unwrap();
            fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
            let begun = Instant::now();
            let survived = home.survives(&what, |room| {
                let place = if place.is_empty() { room.to_owned() } else { room.join(place) };
                if kind == "foreign" {
                    std::os::unix::fs::chown(&place, Some(65534), None).unwrap();
                    return;
                }
                fs::remove_dir_all(&place).or_else(|_| fs::remove_file(&place)).unwrap();
                match kind {
                    "symlink" => symlink(&target, &place).unwrap(),
                    "dangling" => symlink(target.with_extension("new"), &place).unwrap(),
                    "hard link" => fs::hard_link(&target, &place).unwrap(),
                    "fifo" => {
                        nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU).unwrap();
                    }
                    "socket" => {
                        drop(std::os::unix::net::UnixListener::bind(&place).unwrap());
                    }
                    _ => fs::create_dir(&place).unwrap(),
                }
            });
            assert!(!survived, "{what}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{what}");
            assert_eq!(fs::read_to_string(&target).unwrap(), "untouched", "{what}");
            assert_eq!(mode(&target), 0o640, "{what}");
            assert!(!target.with_extension("new").exists(), "{what}");

            home.store().remove(&alice()).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), "untouched", "{what}");
            assert_eq!(save(&home.store(), &alice(), 1, 0), Saved::Saved, "{what}");
        }
    }
}

#[test]
fn a_record_in_the_place_of_another_is_refused() {
    let home = Home::with_alice();
    copy_tree(&home.room(), &home.path().join("users/1001"));
    let other = Owner { uid: 1001, name: "alice".to_owned() };
    assert!(refused(home.store().load(&other)).contains("uid 1000"));
    refused(home.store().save(&other, &numbered(0), Revision(5)));
    assert_eq!(number(&home.store(), &alice()), (5, Revision(5)));
}

#[test]
fn leftovers_of_interrupted_work_are_swept() {
    let home = Home::with_alice();
    let users = home.path().join("users");
    for leftover in [".new-1001", ".new-7", ".gone-8"] {
        copy_tree(&home.room(), &users.join(leftover));
    }
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    assert_eq!(home.store().load(&bob).unwrap().1, Revision::NONE);
    assert_eq!(save(&home.store(), &bob, 1, 0), Saved::Saved);
    let mut names: Vec<_> =
        fs::read_dir(&users).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1000", "1001", "4294967295"]);
}

#[test]
fn a_lock_that_is_not_released_is_waited_for_within_bounds() {
    let home = Home::with_alice();
    let (store, other) = (home.store(), home.store());
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    let _locks = (other.lock(&alice()).unwrap(), other.lock(&bob).unwrap());
    assert_eq!(number(&store, &alice()), (5, Revision(5)));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for owner in [alice(), bob] {
            let store = &store;
            scope.spawn(move || {
                let waited = store.save(&owner, &numbered(1), Revision(5));
                assert!(matches!(waited, Err(StoreError::Busy(uid)) if uid == owner.uid));
            });
        }
        scope.spawn(|| assert!(matches!(store.remove(&alice()), Err(StoreError::Busy(1000)))));
    });
    let waited = begun.elapsed();
    assert!(waited >= super::LOCK_BOUND && waited < 2 * super::LOCK_BOUND, "{waited:?}");
}

#[test]
fn the_disk_that_a_user_takes_is_bounded_and_no_blob_is_made() {
    let largest = record::tests::largest();
    for (what, hold) in [("in one tenure", true), ("one opening each", false)] {
        let home = Home::new();
        let store = home.store();
        assert_eq!(save(&store, &alice(), 1, 0), Saved::Saved);
        let fresh = disk_usage(&home.room());
        let lock = hold.then(|| store.lock(&alice()).unwrap());
        for revision in 1..=1000 {
            assert_eq!(store.save(&alice(), &largest, Revision(revision)).unwrap(), Saved::Saved);
            let blobs = fs::read_dir(home.room().join("db/blobs")).unwrap().count();
            assert_eq!(blobs, 0, "{what}, revision {revision}");
        }
        drop(lock);
        let after = disk_usage(&home.room());
        println!("{what}: fresh {} KiB, after 1,000 saves {} KiB", fresh / 1024, after / 1024);
        assert!(fresh <= 32 * 1024, "{what}: {fresh} bytes");
        assert!(after <= 192 * 1024, "{what}: {after} bytes");
    }
}
