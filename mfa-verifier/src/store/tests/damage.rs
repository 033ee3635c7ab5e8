//! What faults of a disk do to the copies of a record.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Home, copy_tree, files_of_db, flip, refused, truncate};
use crate::store::contract::{alice, number, numbered, save};
use crate::store::{Glance, Owner, Revision, Saved, Store, StoreError, summary};

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

/// A save whose db was written and whose summary could not be is one that nobody was told of. Another one
/// can follow that has no use of the db.
#[test]
fn a_db_of_a_save_that_was_given_up_yields_to_the_summary() {
    let home = Home::with_alice();
    let [before, given_up] = ["before", "given_up"].map(|name| home.0.join(name));
    copy_tree(&home.room(), &before);
    assert_eq!(save(&home.store(), &alice(), 60, 5), Saved::Saved);
    copy_tree(&home.room().join("db"), &given_up);
    fs::remove_dir_all(home.room()).unwrap();
    copy_tree(&before, &home.room());
    assert_eq!(save(&home.store(), &alice(), 6, 5), Saved::Saved);
    fs::remove_dir_all(home.room().join("db")).unwrap();
    copy_tree(&given_up, &home.room().join("db"));
    for notices in [1, 0] {
        let store = home.store();
        let _lock = store.lock(&alice()).unwrap();
        assert_eq!(number(&store, &alice()), (6, Revision(6)));
        assert_eq!(store.notices().len(), notices);
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
    let summary = home.room().join("summary");
    // Revision 6 lies in slot 0. Which one it is stands in the first 63 bytes, and in the last.
    for at in [100, 0, 10, 62] {
        flip(&summary, at);
        refused(home.store().load(&alice()));
        refused(home.store().save(&alice(), &numbered(0), Revision(5)));
        flip(&summary, at);
    }
    flip(&summary, 100);
    flip(&summary, 4095);
    refused(home.store().load(&alice()));
    fs::remove_dir_all(home.room().join("db")).unwrap();
    refused(home.store().load(&alice()));
    flip(&summary, 10);
    refused(home.store().load(&alice()));
}

#[test]
fn a_write_that_a_power_cut_tore_never_happened() {
    let home = Home::with_alice();
    let large = |number| {
        let mut record = numbered(number);
        let first = record.devices[0].clone();
        record.devices.extend((1..8).map(|id| {
            let mut device = first.clone();
            (device.id, device.label) = (id, format!("a phone with a long name {id}"));
            device
        }));
        record
    };
    for n in 5..8 {
        let saved = home.store().save(&alice(), &large(n + 1), Revision(n.into())).unwrap();
        assert_eq!(saved, Saved::Saved);
    }
    let (room, before) = (home.room(), home.0.join("before"));
    copy_tree(&room, &before);
    assert_eq!(home.store().save(&alice(), &large(9), Revision(8)).unwrap(), Saved::Saved);
    let [old, new] = [&before, &room].map(|room| fs::read(room.join("summary")).unwrap());
    let slot = 4096..8192;
    assert!(new[slot.clone()][512..600].iter().any(|byte| *byte != 0), "more than a sector");
    // Revision 9 lies in slot 1, in place of 7; each 512 bytes of it are on the disk or are not.
    for at in (512..4096).step_by(512) {
        for new_first in [true, false] {
            let mut torn = old.clone();
            let part = if new_first { 0..at } else { at..4096 };
            torn[slot.clone()][part.clone()].copy_from_slice(&new[slot.clone()][part]);
            fs::remove_dir_all(&room).unwrap();
            copy_tree(&before, &room);
            fs::write(room.join("summary"), torn).unwrap();
            let (number, revision) = number(&home.store(), &alice());
            let whole = number == 9 && revision == Revision(9);
            let older = number == 8 && revision == Revision(8);
            assert!(whole || older, "torn at {at}, {new_first}: {number} {revision:?}");
            let saved = home.store().save(&alice(), &large(20), revision).unwrap();
            assert_eq!(saved, Saved::Saved, "torn at {at}, {new_first}");
        }
    }
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
    // A db that was damaged has another snapshot afterwards.
    let files: Vec<_> = files_of_db(&home.room())
        .into_iter()
        .map(|file| (fs::metadata(&file).unwrap().len(), file))
        .collect();
    assert!(files.len() >= 3, "db, conf and a snapshot");
    for (length, file) in files {
        let name = Path::new("db").join(file.file_name().unwrap());
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
fn a_record_in_the_place_of_another_is_refused() {
    let home = Home::with_alice();
    copy_tree(&home.room(), &home.path().join("users/1001"));
    let other = Owner { uid: 1001, name: "alice".to_owned() };
    assert!(refused(home.store().load(&other)).contains("uid 1000"));
    refused(home.store().save(&other, &numbered(0), Revision(5)));
    assert_eq!(number(&home.store(), &alice()), (5, Revision(5)));
}

/// Everything below a directory: names, and what the files hold.
fn content(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            all.extend(content(&entry));
        } else {
            all.push((entry.clone(), fs::read(&entry).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_glance_sees_the_summary_alone_and_leaves_everything_as_it_is() {
    let home = Home::with_alice();
    let summary = home.room().join("summary");
    let glance = |owner: &Owner| {
        let before = content(&home.path());
        let seen = home.store().glance(owner);
        assert!(content(&home.path()) == before, "it was mended");
        seen
    };
    let unsure = |owner: &Owner| match glance(owner) {
        Ok(Glance::Unsure(why)) => why,
        Ok(_) => panic!("it is sure"),
        Err(error) => panic!("{error}"),
    };
    fs::rename(home.room().join("db"), home.0.join("db")).unwrap();
    assert!(matches!(glance(&alice()), Ok(Glance::Record(record)) if record.next_id == 5));
    let heir = Owner { uid: 1000, name: "bob".to_owned() };
    assert!(unsure(&heir).starts_with("it belongs to another user name"));

    let whole = fs::read(&summary).unwrap();
    // Revision 5 lies in slot 1, 4 in slot 0: one that is not whole is enough.
    for at in [100, 4096 + 100] {
        flip(&summary, at);
        assert_eq!(unsure(&alice()), "its summary was damaged");
        flip(&summary, at);
    }
    truncate(&summary, 5000);
    assert_eq!(unsure(&alice()), "its summary was gone or cut");
    fs::remove_file(&summary).unwrap();
    assert_eq!(unsure(&alice()), "its summary was gone or cut");
    let other = Home::with_alice();
    fs::copy(other.room().join("summary"), &summary).unwrap();
    assert!(unsure(&alice()).starts_with("it was sealed with another key ("));
    fs::remove_file(&summary).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &summary).unwrap();
    assert!(refused(home.store().glance(&alice())).contains("is a symbolic link"));
    fs::remove_file(&summary).unwrap();
    fs::write(&summary, whole).unwrap();
    assert!(matches!(glance(&alice()), Ok(Glance::Record(_))));
}

#[test]
fn what_is_no_directory_of_a_user_is_not_listed_and_a_list_is_never_of_another_directory() {
    let home = Home::with_alice();
    let users = home.path().join("users");
    for name in [".new-7", ".gone-8", "007", "x", "-1", "4294967296"] {
        fs::create_dir(users.join(name)).unwrap();
    }
    let store = home.store();
    assert_eq!(Vec::from_iter(store.uids().unwrap()), [1000]);
    fs::rename(&users, home.0.join("users")).unwrap();
    assert!(matches!(store.uids(), Err(StoreError::Unusable { .. })));
    fs::create_dir(&users).unwrap();
    assert!(matches!(store.uids(), Err(StoreError::Unusable { .. })));
}
