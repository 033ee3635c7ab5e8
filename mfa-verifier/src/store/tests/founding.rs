//! Key, marker and directory: both halves of a store, or none.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{Home, mode, truncate};
use crate::record::UserRecord;
use crate::store::contract::{alice, number, numbered, save};
use crate::store::{Opened, Owner, Revision, Saved, SledStore, Store, StoreError};

#[track_caller]
fn unusable(opened: Result<Opened, StoreError>) -> String {
    match opened {
        Err(StoreError::Unusable { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opens"),
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
    assert_eq!(store.load(&Owner::decoy(15)).unwrap().1, Revision(1));

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
    let cases: [(&str, Break, &str); 13] = [
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
        (
            "users not mounted",
            |h| {
                fs::remove_dir_all(h.path().join("users")).unwrap();
                fs::create_dir(h.path().join("users")).unwrap();
            },
            "not the one that was made",
        ),
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
fn a_key_inside_of_the_store_is_refused() {
    let home = Home::bare();
    let key_file = home.path().join("store.key");
    let made = SledStore::initialize(&home.path(), &key_file, &UserRecord::default());
    assert!(unusable(made.map(Opened::Store)).contains("lies inside"));
    assert!(unusable(SledStore::open(&home.path(), &key_file)).contains("lies inside"));
    assert!(!home.path().exists());
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
    assert_eq!(home.store().load(&Owner::decoy(15)).unwrap().1, Revision(1));

    fs::rename(&marker, &new_marker).unwrap();
    fs::rename(home.key_file(), home.key_file().with_extension("key.new")).unwrap();
    fs::create_dir(home.path().join("users/.new-4294967295")).unwrap();
    assert!(matches!(home.open(), Ok(Opened::Fresh)));
    home.initialize().unwrap();
    assert_ne!(fs::read(home.key_file()).unwrap(), key);
    assert_eq!(home.store().load(&Owner::decoy(15)).unwrap().1, Revision(1));
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
    assert_eq!(home.store().load(&Owner::decoy(15)).unwrap().1, Revision(1));
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
