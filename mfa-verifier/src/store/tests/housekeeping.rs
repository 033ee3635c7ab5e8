//! What lies among the files, who waits for whom, and how much disk is taken.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use super::{Home, copy_tree, disk_usage, mode};
use crate::record;
use crate::store::contract::{alice, number, numbered, save};
use crate::store::is_nobodys;
use crate::store::{Change, LOCK_BOUND, Owner, Revision, Saved, Store, StoreError, update};

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
fn leftovers_of_interrupted_work_are_swept() {
    let home = Home::with_alice();
    let users = home.path().join("users");
    for leftover in [".new-1001", ".new-7", ".gone-8"] {
        copy_tree(&home.room(), &users.join(leftover));
    }
    let bob = Owner { uid: 1001, name: "bob".to_owned() };
    assert_eq!(home.store().load(&bob).unwrap().1, Revision::NONE);
    assert_eq!(save(&home.store(), &bob, 1, 0), Saved::Saved);
    let mut names: Vec<_> = fs::read_dir(&users)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.parse().is_ok_and(is_nobodys))
        .collect();
    names.sort();
    assert_eq!(names, ["1000", "1001"]);
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
    assert!(waited >= LOCK_BOUND && waited < 2 * LOCK_BOUND, "{waited:?}");
}

/// A verifier that is frozen with somebody's lock, whom its owner may be.
#[test]
fn a_user_whose_first_record_is_not_made_to_the_end_keeps_nobody_else_waiting() {
    let home = Home::with_alice();
    let user = |uid| Owner { uid, name: format!("user{uid}") };
    let frozen = home.store();
    let _lock = frozen.lock(&user(1001)).unwrap();
    let half_made = home.path().join("users/.new-1001");
    copy_tree(&home.room(), &half_made);
    let begun = Instant::now();
    for uid in 1002..1010 {
        assert_eq!(save(&home.store(), &user(uid), 1, 0), Saved::Saved);
        home.store().remove(&user(uid)).unwrap();
    }
    assert!(begun.elapsed() < LOCK_BOUND, "{:?}", begun.elapsed());
    assert!(half_made.exists(), "it is still being made");
    assert_eq!(save(&frozen, &user(1001), 7, 0), Saved::Saved);
    assert_eq!(number(&home.store(), &user(1001)), (7, Revision(1)));
}

#[test]
fn a_decoy_that_somebody_holds_is_left_for_another_one() {
    let home = Home::new();
    let holder = home.store();
    let all: Vec<_> = Owner::decoys().collect();
    let mut held: Vec<_> = all[..15].iter().map(|decoy| holder.lock(decoy).unwrap()).collect();
    let judge = |decoy: &Owner| {
        update(&home.store(), decoy, |record| {
            let number = record.next_id + 1;
            Change::Save(numbered(number), number)
        })
    };
    let begun = Instant::now();
    for (at, decoy) in all.iter().enumerate() {
        assert_eq!(judge(decoy).unwrap() as usize, at + 1, "each does its work on the last one");
    }
    assert!(begun.elapsed() < LOCK_BOUND, "{:?}", begun.elapsed());
    held.clear();
    assert_eq!(judge(&all[3]).unwrap(), 1);
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
