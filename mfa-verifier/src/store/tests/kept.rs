//! Dbs that stay open, and others who want them.
//!
//! A second store of the same directory stands for another process: sled's lock and ours belong to
//! open files, and keep two in one process apart as they do two processes.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::{Home, copy_tree};
use crate::store::contract::{alice, number, numbered, save};
use crate::store::lock::CROWD;
use crate::store::{Change, OpenDbs, Owner, Revision, Saved, SledStore, Store, StoreError, update};

/// Dbs that are kept, and given up when others ring.
fn answered() -> Arc<OpenDbs> {
    let dbs = Arc::new(OpenDbs::new().unwrap());
    let answering = Arc::clone(&dbs);
    // It ends with the test's process.
    thread::spawn(move || answering.answer_others());
    dbs
}

fn resident(home: &Home, dbs: &OpenDbs) -> SledStore {
    home.store().sharing(dbs)
}

/// One more than there was.
fn count_up(store: &dyn Store, owner: &Owner) -> u32 {
    try_to_count_up(store, owner).unwrap()
}

/// Who waits too long, on a machine that is busy, is told so and comes again.
pub(super) fn count_up_in_the_end(store: &dyn Store, owner: &Owner) {
    while let Err(why) = try_to_count_up(store, owner) {
        assert!(matches!(why, StoreError::Busy(_)), "{why}");
    }
}

fn try_to_count_up(store: &dyn Store, owner: &Owner) -> Result<u32, StoreError> {
    update(store, owner, |record| {
        let number = record.next_id + 1;
        Change::Save(numbered(number), number)
    })
}

/// The uids of those whose dbs the process has open below this directory.
fn open_dbs_of(home: &Home) -> Vec<String> {
    let uid = |path: PathBuf| {
        let path = path.strip_prefix(home.path().join("users")).ok()?.to_owned();
        path.ends_with("db/db").then(|| path.iter().next().unwrap().to_str().unwrap().to_owned())
    };
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut uids: Vec<_> =
        open.filter_map(|entry| uid(fs::read_link(entry.path()).ok()?)).collect();
    uids.sort();
    uids
}

/// Whether no db is open within ten seconds: one of sled's threads may have it a little longer.
fn is_closed_soon(home: &Home) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if open_dbs_of(home).is_empty() {
            return true;
        }
        thread::yield_now();
    }
    false
}

#[test]
fn a_db_stays_open_from_one_request_to_the_next() {
    let home = Home::with_alice();
    assert_eq!(count_up(&home.store(), &alice()), 6);
    assert!(is_closed_soon(&home));
    let dbs = OpenDbs::new().unwrap();
    for expected in 7..20 {
        assert_eq!(count_up(&resident(&home, &dbs), &alice()), expected);
        assert_eq!(open_dbs_of(&home), ["1000"]);
    }
    drop(dbs);
    assert!(is_closed_soon(&home));
}

#[test]
fn a_db_that_is_kept_is_given_to_who_wants_it_and_had_again() {
    let home = Home::with_alice();
    let dbs = answered();
    for round in 0..50 {
        for store in [resident(&home, &dbs), home.store()] {
            let begun = Instant::now();
            count_up(&store, &alice());
            assert!(begun.elapsed() < Duration::from_secs(1), "{round}: {:?}", begun.elapsed());
        }
    }
    assert_eq!(number(&home.store(), &alice()), (105, Revision(105)));
}

#[test]
fn two_residents_and_others_who_update_at_once_lose_nothing() {
    let home = Home::with_alice();
    let dbs = [answered(), answered()];
    thread::scope(|scope| {
        for worker in 0..8 {
            let (home, dbs) = (&home, &dbs);
            scope.spawn(move || {
                for _ in 0..25 {
                    let store = match worker % 4 {
                        0 => home.store(),
                        n => resident(home, &dbs[n % 2]),
                    };
                    count_up_in_the_end(&store, &alice());
                }
            });
        }
    });
    assert_eq!(number(&home.store(), &alice()), (205, Revision(205)));
}

#[test]
fn where_nobody_answers_a_db_that_is_kept_is_passed_over_and_brought_up_afterwards() {
    let home = Home::with_alice();
    let dbs = OpenDbs::new().unwrap();
    count_up(&resident(&home, &dbs), &alice());
    for expected in [7, 9, 11] {
        let begun = Instant::now();
        let other = home.store();
        assert_eq!(count_up(&other, &alice()), expected);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(other.notices()[0].contains("only the summary was written"));
        let resident = resident(&home, &dbs);
        assert_eq!(count_up(&resident, &alice()), expected + 1);
        assert!(resident.notices()[0].contains("older than the summary"));
    }
    drop(dbs);
    let store = home.store();
    assert_eq!(count_up(&store, &alice()), 13);
    assert_eq!(store.notices(), [""; 0]);
}

#[test]
fn a_user_who_was_removed_and_made_anew_elsewhere_is_the_new_one() {
    let home = Home::with_alice();
    let dbs = answered();
    count_up(&resident(&home, &dbs), &alice());
    let other = home.store();
    other.remove(&alice()).unwrap();
    assert_eq!(number(&resident(&home, &dbs), &alice()), (0, Revision::NONE));
    assert_eq!(save(&other, &alice(), 40, 0), Saved::Saved);
    let resident = resident(&home, &dbs);
    assert_eq!(number(&resident, &alice()), (40, Revision(1)));
    assert_eq!(save(&resident, &alice(), 7, 6), Saved::Conflict);
    assert_eq!(count_up(&resident, &alice()), 41);
    assert_eq!(resident.notices(), [""; 0]);
    assert_eq!(number(&home.store(), &alice()), (41, Revision(2)));
}

#[test]
fn a_db_that_was_taken_away_while_it_was_kept_is_made_anew() {
    let home = Home::with_alice();
    let dbs = OpenDbs::new().unwrap();
    count_up(&resident(&home, &dbs), &alice());
    fs::rename(home.room().join("db"), home.directory().join("away")).unwrap();
    let resident = resident(&home, &dbs);
    assert_eq!(count_up(&resident, &alice()), 7);
    assert!(resident.notices()[0].contains("its db was gone"), "{:?}", resident.notices());
    assert_eq!(number(&home.store(), &alice()), (7, Revision(7)));
}

#[test]
fn what_was_planted_while_a_db_was_kept_is_refused() {
    for name in ["lock", "db/db"] {
        let home = Home::with_alice();
        let dbs = OpenDbs::new().unwrap();
        assert_eq!(count_up(&resident(&home, &dbs), &alice()), 6);
        let elsewhere = home.directory().join("elsewhere");
        fs::hard_link(home.room().join(name), &elsewhere).unwrap();
        let refused = update(&resident(&home, &dbs), &alice(), |record| Change::Save(record, ()));
        assert!(matches!(refused, Err(StoreError::Damaged { uid: 1000, .. })), "{refused:?}");
        fs::remove_file(&elsewhere).unwrap();
        assert_eq!(count_up(&resident(&home, &dbs), &alice()), 7);
    }
}

/// sled has few threads for all dbs of a process: none of them may wait for another.
#[test]
fn the_dbs_of_fifty_users_are_written_at_once() {
    const USERS: u32 = 50;
    const ROUNDS: u32 = 20;
    let home = Home::new();
    let dbs = OpenDbs::new().unwrap();
    let (store, together) = (resident(&home, &dbs), Barrier::new(USERS as usize));
    let begun = Instant::now();
    let one = |uid| {
        let owner = Owner { uid, name: format!("user{uid}") };
        let round = |_| {
            // The db is open by the second round.
            together.wait();
            try_to_count_up(&store, &owner)
        };
        // Each takes part in all rounds: who stayed away would be waited for without end.
        (0..ROUNDS).map(round).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let users: Vec<_> = (1..=USERS).map(|uid| scope.spawn(move || one(uid))).collect();
        for user in users {
            let counted: Vec<_> = user.join().unwrap().into_iter().map(Result::unwrap).collect();
            assert!(counted.is_sorted_by(|one, next| one + 1 == *next), "{counted:?}");
        }
    });
    println!("{USERS} users, {ROUNDS} updates each: {:?}", begun.elapsed());
}

#[test]
fn a_db_that_is_kept_is_written_when_it_is_told_to_be() {
    let home = Home::with_alice();
    let dbs = OpenDbs::new().unwrap();
    // What somebody finds who opens the files as a process leaves them that is killed now.
    let left = || {
        let other = Home::new();
        fs::copy(home.key_file(), other.key_file()).unwrap();
        fs::copy(home.path().join("format"), other.path().join("format")).unwrap();
        fs::remove_dir_all(other.path().join("users")).unwrap();
        copy_tree(&home.path().join("users"), &other.path().join("users"));
        let store = other.store();
        let number = count_up(&store, &alice());
        (number, store.notices().len())
    };
    for expected in 6..9 {
        assert_eq!(count_up(&resident(&home, &dbs), &alice()), expected);
        assert_eq!(left(), (expected + 1, 1), "it is not behind");
        dbs.write();
        assert_eq!(left(), (expected + 1, 0), "it is behind");
    }
}

#[test]
fn the_dbs_of_the_last_users_stay_open_and_no_more() {
    let home = Home::new();
    let dbs = OpenDbs::with_room(3).unwrap();
    let log_in = |uid| {
        count_up(&resident(&home, &dbs), &Owner { uid, name: format!("user{uid}") });
    };
    // The first save is made aside, and its db is closed; the second one leaves it open.
    for uid in [1, 2, 3, 4, 5, 1, 2, 3, 4, 3, 5] {
        log_in(uid);
    }
    // No login closes the db of another user.
    assert_eq!(open_dbs_of(&home), ["1", "2", "3", "4", "5"]);
    dbs.write();
    assert_eq!(open_dbs_of(&home), ["3", "4", "5"]);
    log_in(1);
    dbs.write();
    assert_eq!(open_dbs_of(&home), ["1", "3", "5"]);
}

#[test]
fn a_crowd_that_nobody_closes_dbs_behind_closes_them_itself() {
    let home = Home::new();
    let dbs = OpenDbs::with_room(3).unwrap();
    for uid in 1..=50 {
        let owner = Owner { uid, name: format!("user{uid}") };
        count_up(&resident(&home, &dbs), &owner);
        count_up(&resident(&home, &dbs), &owner);
    }
    assert_eq!(open_dbs_of(&home).len(), 3 + CROWD);
}

#[test]
fn a_lock_that_is_held_long_is_seen() {
    let home = Home::with_alice();
    let dbs = OpenDbs::new().unwrap();
    let store = resident(&home, &dbs);
    assert_eq!(dbs.longest_held(), Duration::ZERO);
    let held = store.lock(&alice()).unwrap();
    assert!(dbs.longest_held() > Duration::ZERO);
    let first = dbs.longest_held();
    assert!(dbs.longest_held() > first);
    drop(held);
    assert_eq!(dbs.longest_held(), Duration::ZERO);
}
