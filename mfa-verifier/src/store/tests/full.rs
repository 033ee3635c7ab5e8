//! A file system that is full, without a reserve for root: a tmpfs has none.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::{env, thread};

use super::kept::count_up_in_the_end;
use super::{Home, truncate};
use crate::record::{self, UserRecord};
use crate::store::contract::{alice, number, numbered, save};
use crate::store::{OpenDbs, Owner, Revision, Saved, Store, StoreError};

/// Bytes that a tmpfs gives out at a time.
const PAGE: usize = 4096;

/// As many free pages as some saves need. A first record needs four.
const PLENTY: usize = 8;

/// Says that this process has a mount namespace of its own.
const APART: &str = "PAM_MFA_TESTS_APART";

/// Runs a test of this module in a process that mounts what it likes: sled's threads see what the whole
/// process sees.
fn apart(test: &str, work: fn()) {
    if env::var_os(APART).is_some() {
        return work();
    }
    let run = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("store::tests::full::{test}")])
        .env(APART, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    print!("{said}");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("1 passed"), "no test has this name");
}

/// A store on a file system of its own, which is small.
struct Small(Home);

impl Small {
    fn new() -> Self {
        let home = Home::bare();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "mode=755,size=4m", "none"])
            .arg(home.directory())
            .status();
        assert!(mounted.unwrap().success());
        home.initialize().unwrap();
        Self(home)
    }

    /// With alice at revision 5 and number 5.
    fn with_alice() -> Self {
        let small = Self::new();
        for n in 0..5 {
            assert_eq!(save(&small.0.store(), &alice(), n + 1, n.into()), Saved::Saved);
        }
        small
    }

    fn filler(&self) -> PathBuf {
        self.0.directory().join("filler")
    }

    /// Leaves so many pages.
    fn fill(&self, but: usize) {
        let mut filler = File::create(self.filler()).unwrap();
        let mut pages = 0;
        let full = loop {
            match filler.write_all(&[1; PAGE]) {
                Ok(()) => pages += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        filler.set_len((PAGE * (pages - but)) as u64).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: one of sled's threads may have a db open a little longer.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.directory()).status();
    }
}

/// Saves the largest record there is as the next revision and number.
fn save_large(store: &dyn Store, revision: u64) {
    let number = u32::try_from(revision).unwrap() + 1;
    let record = UserRecord { next_id: number, ..record::tests::largest() };
    let saved = store.save(&alice(), &record, Revision(revision)).unwrap();
    assert_eq!(saved, Saved::Saved, "{revision}");
}

#[test]
fn with_however_little_room_a_save_is_kept() {
    apart("with_however_little_room_a_save_is_kept", || {
        let mut alone = 0;
        for free in 0..PLENTY {
            let small = Small::with_alice();
            small.fill(free);
            for n in 5..9 {
                let store = small.0.store();
                save_large(&store, n);
                let passed_over =
                    |notice: &String| notice.contains("no room to write its db; only");
                alone += store.notices().iter().filter(|notice| passed_over(notice)).count();
                assert_eq!(save(&small.0.store(), &alice(), 0, n), Saved::Conflict, "{free}");
                assert_eq!(number(&small.0.store(), &alice()).1, Revision(n + 1), "{free}");
            }
            small.empty();
            save_large(&small.0.store(), 9);
            let store = small.0.store();
            assert_eq!(save(&store, &alice(), 0, 9), Saved::Conflict, "{free}");
            save_large(&store, 10);
            assert_eq!(store.notices(), [""; 0], "{free}");
            // As whoever finds no whole summary.
            truncate(&small.0.room().join("summary"), 0);
            assert_eq!(number(&small.0.store(), &alice()), (11, Revision(11)), "{free}");
        }
        println!("{alone} of {} saves without the db", 4 * PLENTY);
        assert!(alone > 0);
    });
}

#[test]
fn dbs_that_are_kept_open_get_over_a_full_disk() {
    apart("dbs_that_are_kept_open_get_over_a_full_disk", || {
        for (free, open_before) in (0..PLENTY).flat_map(|free| [(free, true), (free, false)]) {
            let what = format!("{free} pages left, open before: {open_before}");
            let small = Small::with_alice();
            let dbs = OpenDbs::new().unwrap();
            let store = || small.0.store().sharing(&dbs);
            if open_before {
                save_large(&store(), 5);
            } else {
                save_large(&small.0.store(), 5);
            }
            small.fill(free);
            for n in 6..16 {
                save_large(&store(), n);
                assert_eq!(save(&store(), &alice(), 0, n), Saved::Conflict, "{what}");
                dbs.write();
            }
            small.empty();
            assert_eq!(number(&store(), &alice()), (16, Revision(16)), "{what}");
            save_large(&store(), 16);
            dbs.write();
            let again = store();
            save_large(&again, 17);
            assert_eq!(again.notices(), [""; 0], "{what}");
            drop(dbs);
            assert_eq!(number(&small.0.store(), &alice()), (18, Revision(18)), "{what}");
        }
    });
}

#[test]
fn with_no_room_for_a_first_record_nothing_is_left_of_it() {
    apart("with_no_room_for_a_first_record_nothing_is_left_of_it", || {
        let small = Small::new();
        let bob = Owner { uid: 1001, name: "bob".to_owned() };
        let mut refused = 0;
        for free in 0..PLENTY {
            small.fill(free);
            match small.0.store().save(&bob, &numbered(1), Revision::NONE) {
                Err(StoreError::Io(why)) => {
                    assert_eq!(why.kind(), ErrorKind::StorageFull, "{free}: {why}");
                    refused += 1;
                }
                other => assert_eq!(other.unwrap(), Saved::Saved, "{free}"),
            }
            let entries = fs::read_dir(small.0.path().join("users")).unwrap();
            let left = |name: &str| name.starts_with('.');
            assert!(!entries.flatten().any(|entry| left(entry.file_name().to_str().unwrap())));
            small.0.store().remove(&bob).unwrap();
            small.empty();
        }
        println!("{refused} of {PLENTY} refused");
        assert!(refused > 0 && refused < PLENTY);
    });
}

#[test]
fn while_a_disk_fills_up_and_is_emptied_no_save_of_anybody_is_lost() {
    apart("while_a_disk_fills_up_and_is_emptied_no_save_of_anybody_is_lost", || {
        const EACH: u32 = 60;
        let small = Small::with_alice();
        let dbs = Arc::new(OpenDbs::new().unwrap());
        let answering = Arc::clone(&dbs);
        // It ends with the test's process.
        thread::spawn(move || answering.answer_others());
        thread::scope(|scope| {
            let workers: Vec<_> = [true, true, false, false]
                .map(|resident| {
                    let (small, dbs) = (&small, &dbs);
                    scope.spawn(move || {
                        for _ in 0..EACH {
                            let store = small.0.store();
                            let store = if resident { store.sharing(dbs) } else { store };
                            count_up_in_the_end(&store, &alice());
                        }
                    })
                })
                .into();
            let mut free = 0;
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                small.fill(free % PLENTY);
                free += 7;
                dbs.write();
                small.empty();
            }
        });
        drop(dbs);
        let all = 5 + 4 * EACH;
        assert_eq!(number(&small.0.store(), &alice()), (all, Revision(all.into())));
    });
}
