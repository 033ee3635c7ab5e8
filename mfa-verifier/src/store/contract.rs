//! What every store must do, whatever it is made of.

use std::sync::Barrier;
use std::time::Instant;

use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;

use super::tests::Home;
use super::{
    Change, Glance, LOCK_BOUND, MemoryStore, OpenDbs, Owner, Revision, Saved, Store, StoreError,
    update,
};
use crate::record::{self, Device, MovingFactor, UserRecord};

/// Each test on each store.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&super::MemoryStore::default()); })*
        }
        mod sled {
            $(#[test] fn $test() { super::$test(&super::Home::new().store()); })*
        }
        mod sled_kept_open {
            $(#[test] fn $test() {
                let home = super::Home::new();
                super::$test(&home.store().sharing(&super::OpenDbs::new().unwrap()));
            })*
        }
    };
}

contract!(
    nobody_has_an_empty_record_of_no_revision,
    what_was_saved_is_loaded,
    a_record_is_created_once,
    a_save_on_an_older_revision_changes_nothing,
    of_two_saves_on_one_revision_one_wins,
    of_two_first_saves_one_wins,
    updates_in_parallel_lose_nothing,
    a_decision_to_keep_changes_nothing,
    what_was_removed_is_gone_and_can_be_made_again,
    users_do_not_see_each_other,
    a_uid_with_another_name_is_refused,
    a_record_beyond_its_bound_is_refused,
    a_lock_may_be_followed_by_load_and_save,
    users_are_listed_until_they_are_removed,
    a_glance_waits_for_nobody,
    a_glance_amid_saves_sees_each_record_whole,
);

pub(super) fn alice() -> Owner {
    Owner { uid: 1000, name: "alice".to_owned() }
}

/// A record that is told from others by `number`.
pub(super) fn numbered(number: u32) -> UserRecord {
    let device = Device {
        id: 0,
        label: "phone".to_owned(),
        key: Secret::new(vec![7; 20]),
        algorithm: Algorithm::Sha1,
        digits: 6,
        moving: MovingFactor::Counter { next: 0, candidate: None },
        added: 1_700_000_000,
        last_used: None,
        failures: 0,
        disabled: false,
    };
    UserRecord { devices: vec![device], next_id: number, ..UserRecord::default() }
}

pub(super) fn number(store: &dyn Store, owner: &Owner) -> (u32, Revision) {
    let (record, revision) = store.load(owner).unwrap();
    (record.next_id, revision)
}

pub(super) fn save(store: &dyn Store, owner: &Owner, number: u32, expected: u64) -> Saved {
    store.save(owner, &numbered(number), Revision(expected)).unwrap()
}

fn nobody_has_an_empty_record_of_no_revision(store: &dyn Store) {
    let (record, revision) = store.load(&alice()).unwrap();
    assert!(!record.is_enrolled());
    assert_eq!(revision, Revision::NONE);
}

fn what_was_saved_is_loaded(store: &dyn Store) {
    for n in 0..5 {
        assert_eq!(save(store, &alice(), n, n.into()), Saved::Saved);
        assert_eq!(number(store, &alice()), (n, Revision(u64::from(n) + 1)));
    }
    assert!(store.load(&alice()).unwrap().0.is_enrolled());
}

fn a_record_is_created_once(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 1, 1), Saved::Conflict);
    assert_eq!(store.load(&alice()).unwrap().1, Revision::NONE);
    assert_eq!(save(store, &alice(), 1, 0), Saved::Saved);
    assert_eq!(save(store, &alice(), 2, 0), Saved::Conflict);
    assert_eq!(number(store, &alice()), (1, Revision(1)));
}

fn a_save_on_an_older_revision_changes_nothing(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 1, 0), Saved::Saved);
    assert_eq!(save(store, &alice(), 2, 1), Saved::Saved);
    for stale in [0, 1, 3] {
        assert_eq!(save(store, &alice(), 9, stale), Saved::Conflict);
    }
    assert_eq!(number(store, &alice()), (2, Revision(2)));
}

fn of_two_saves_on_one_revision_one_wins(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 0, 0), Saved::Saved);
    race(store, 1);
}

fn of_two_first_saves_one_wins(store: &dyn Store) {
    race(store, 0);
}

fn race(store: &dyn Store, from: u64) {
    for revision in from..from + 20 {
        let barrier = Barrier::new(2);
        let racer = |mark| {
            barrier.wait();
            save(store, &alice(), mark, revision)
        };
        let (a, b) = std::thread::scope(|scope| {
            let a = scope.spawn(|| racer(1));
            let b = scope.spawn(|| racer(2));
            (a.join().unwrap(), b.join().unwrap())
        });
        let winner = match (a, b) {
            (Saved::Saved, Saved::Conflict) => 1,
            (Saved::Conflict, Saved::Saved) => 2,
            both => panic!("revision {revision}: {both:?}"),
        };
        assert_eq!(number(store, &alice()), (winner, Revision(revision + 1)));
    }
}

fn updates_in_parallel_lose_nothing(store: &dyn Store) {
    let count_up = || {
        update(store, &alice(), |mut record| {
            record.next_id += 1;
            Change::Save(record, ())
        })
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut waits = 0;
                for _ in 0..50 {
                    // On a slow machine the others may have the lock for longer than one is waited for.
                    while let Err(error) = count_up() {
                        waits += 1;
                        assert!(matches!(error, StoreError::Busy(_)) && waits < 9, "{error}");
                    }
                }
            });
        }
    });
    assert_eq!(number(store, &alice()), (400, Revision(400)));
}

fn a_decision_to_keep_changes_nothing(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 1, 0), Saved::Saved);
    let seen = update(store, &alice(), |record| Change::Keep(record.next_id)).unwrap();
    assert_eq!(seen, 1);
    assert_eq!(number(store, &alice()), (1, Revision(1)));
}

fn what_was_removed_is_gone_and_can_be_made_again(store: &dyn Store) {
    store.remove(&alice()).unwrap();
    for n in 0..3 {
        assert_eq!(save(store, &alice(), n, 0), Saved::Saved);
        store.remove(&alice()).unwrap();
        assert_eq!(store.load(&alice()).unwrap().1, Revision::NONE);
        assert_eq!(save(store, &alice(), n, 1), Saved::Conflict);
    }
    let _lock = store.lock(&alice()).unwrap();
    assert_eq!(save(store, &alice(), 7, 0), Saved::Saved);
    store.remove(&alice()).unwrap();
    assert_eq!(save(store, &alice(), 8, 0), Saved::Saved);
    assert_eq!(number(store, &alice()), (8, Revision(1)));
}

fn users_do_not_see_each_other(store: &dyn Store) {
    let names = ["bob", "../alice", ".", "", "a\nb:", &"x".repeat(300)];
    for (uid, name) in (1u32..).zip(names) {
        let owner = Owner { uid, name: name.to_owned() };
        assert_eq!(store.load(&owner).unwrap().1, Revision::NONE);
        assert_eq!(save(store, &owner, uid, 0), Saved::Saved);
    }
    for (uid, name) in (1u32..).zip(names) {
        let owner = Owner { uid, name: name.to_owned() };
        assert_eq!(number(store, &owner), (uid, Revision(1)));
    }
}

fn a_uid_with_another_name_is_refused(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 1, 0), Saved::Saved);
    let heir = Owner { uid: 1000, name: "bob".to_owned() };
    let mut refusals = vec![store.load(&heir).map(drop).unwrap_err()];
    for revision in [0, 1] {
        let saved = store.save(&heir, &numbered(2), Revision(revision));
        refusals.push(saved.map(|saved| panic!("{saved:?}")).unwrap_err());
    }
    for refusal in refusals {
        match refusal {
            StoreError::Damaged { uid: 1000, reason } => {
                assert!(reason.contains("another user name"), "{reason}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(number(store, &alice()), (1, Revision(1)));
    store.remove(&heir).unwrap();
    assert_eq!(save(store, &heir, 3, 0), Saved::Saved);
}

fn a_record_beyond_its_bound_is_refused(store: &dyn Store) {
    let largest = record::tests::largest();
    assert_eq!(store.save(&alice(), &largest, Revision::NONE).unwrap(), Saved::Saved);
    let mut larger = largest;
    while larger.encode().is_ok() {
        larger.devices.extend(larger.devices.clone());
    }
    assert!(matches!(
        store.save(&alice(), &larger, Revision(1)),
        Err(StoreError::Record(record::RecordError::TooLarge))
    ));
    assert_eq!(store.load(&alice()).unwrap().1, Revision(1));
}

fn a_lock_may_be_followed_by_load_and_save(store: &dyn Store) {
    for revision in 0..3 {
        let _lock = store.lock(&alice()).unwrap();
        assert_eq!(store.load(&alice()).unwrap().1, Revision(revision));
        assert_eq!(save(store, &alice(), 1, revision), Saved::Saved);
    }
}

/// The number of the record that a glance sees.
fn glanced(store: &dyn Store, owner: &Owner) -> Option<u32> {
    match store.glance(owner).unwrap() {
        Glance::Record(record) => Some(record.next_id),
        Glance::Nobody => None,
        Glance::Unsure(why) => panic!("{why}"),
    }
}

fn users_are_listed_until_they_are_removed(store: &dyn Store) {
    let bob = Owner { uid: 7, name: "bob".to_owned() };
    assert_eq!((store.uids().unwrap().len(), glanced(store, &alice())), (0, None));
    assert_eq!(save(store, &alice(), 5, 0), Saved::Saved);
    assert_eq!(save(store, &alice(), 6, 1), Saved::Saved);
    assert_eq!(save(store, &bob, 7, 0), Saved::Saved);
    assert_eq!(Vec::from_iter(store.uids().unwrap()), [7, 1000]);
    assert_eq!((glanced(store, &alice()), glanced(store, &bob)), (Some(6), Some(7)));
    let heir = Owner { uid: 1000, name: "bob".to_owned() };
    assert!(!matches!(store.glance(&heir), Ok(Glance::Record(_) | Glance::Nobody)));
    store.remove(&alice()).unwrap();
    assert_eq!(Vec::from_iter(store.uids().unwrap()), [7]);
    assert_eq!(glanced(store, &alice()), None);
}

fn a_glance_waits_for_nobody(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 5, 0), Saved::Saved);
    let _lock = store.lock(&alice()).unwrap();
    let begun = Instant::now();
    let glanced = std::thread::scope(|scope| scope.spawn(|| glanced(store, &alice())).join());
    assert_eq!(glanced.unwrap(), Some(5));
    assert!(begun.elapsed() < LOCK_BOUND / 2, "{:?}", begun.elapsed());
}

fn a_glance_amid_saves_sees_each_record_whole(store: &dyn Store) {
    assert_eq!(save(store, &alice(), 0, 0), Saved::Saved);
    std::thread::scope(|scope| {
        let saves = scope.spawn(|| (1..=200).map(|n| save(store, &alice(), n, n.into())).last());
        let mut last = 0;
        while !saves.is_finished() {
            let seen = glanced(store, &alice()).expect("a record");
            assert!(seen >= last, "{seen} after {last}");
            last = seen;
        }
        assert_eq!(saves.join().unwrap(), Some(Saved::Saved));
    });
}
