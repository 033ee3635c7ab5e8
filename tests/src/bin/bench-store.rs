//! The store without logins around it, inside of a host: writes the records of any number of users,
//! and says what the store's own work costs. `bench` runs it.
//!
//! - `bench-store enrol totp|hotp KEY FIRST COUNT`: records of users `u<uid>` with that key, in hex.
//!   Prints their backup codes, which are the same for all: ten evaluations of Argon2 for each user
//!   would be a quarter of a second.
//! - `bench-store cost UID ROUNDS`: prints what each step costs in nanoseconds, `NAME VALUE` a line.
//! - `bench-store once UID`: the same of one opening and saving in a process that is new.
#![forbid(unsafe_code)]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;
use mfa_protocol::paths::{KEY_FILE, STORE};
use mfa_verifier::config::Config;
use mfa_verifier::factor::codes;
use mfa_verifier::judge::{Attempt, Code, judge};
use mfa_verifier::record::{Device, MovingFactor, UserRecord};
use mfa_verifier::source::Source;
use mfa_verifier::store::{Change, Opened, Owner, Revision, Saved, SledStore, Store, update};
use mfa_verifier::world::decoy;

/// How many users are enrolled in one directory before these are moved to where all are: the store
/// looks through that directory at each enrolment for what an interrupted one left.
const SHARD: u32 = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u32>().unwrap();
    match words[..] {
        ["enrol", kind, key, first, count] => enrol(kind, key, number(first), number(count)),
        ["cost", uid, rounds] => cost(&owner(number(uid)), number(rounds)),
        ["once", uid] => once(&owner(number(uid))),
        _ => panic!("not a task: {words:?}"),
    }
}

fn owner(uid: u32) -> Owner {
    Owner { uid, name: format!("u{uid}") }
}

fn enrol(kind: &str, key: &str, first: u32, count: u32) {
    let (record, codes) = record(kind, key);
    SledStore::initialize(
        Path::new(STORE),
        Path::new(KEY_FILE),
        &decoy(&Config::default()).unwrap(),
    )
    .unwrap();
    let shards = Mutex::new((first..first + count).step_by(SHARD as usize));
    let workers = thread::available_parallelism().unwrap();
    thread::scope(|scope| {
        for _ in 0..workers.get() {
            scope.spawn(|| {
                loop {
                    let Some(start) = shards.lock().unwrap().next() else { return };
                    enrol_shard(&record, start..(start + SHARD).min(first + count));
                }
            });
        }
    });
    for code in codes {
        println!("{code}");
    }
}

/// Writes records in a store of their own, which has key, marker and decoys of the host's.
fn enrol_shard(record: &UserRecord, uids: Range<u32>) {
    let shard = Path::new(STORE).join(format!("shard-{}", uids.start));
    fs::create_dir(&shard).unwrap();
    copy(&Path::new(STORE).join("format"), &shard);
    fs::create_dir(shard.join("users")).unwrap();
    // One is what makes it a store.
    copy(&user_directory(Owner::decoy(0).uid), &shard.join("users"));
    let store = open(&shard);
    for uid in uids.clone() {
        let saved = store.save(&owner(uid), record, Revision::NONE).unwrap();
        assert_eq!(saved, Saved::Saved);
    }
    drop(store);
    for uid in uids {
        fs::rename(shard.join("users").join(uid.to_string()), user_directory(uid)).unwrap();
    }
    fs::remove_dir_all(&shard).unwrap();
}

fn copy(from: &Path, into: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(into).status().unwrap().success());
}

fn user_directory(uid: u32) -> PathBuf {
    Path::new(STORE).join("users").join(uid.to_string())
}

fn open(path: &Path) -> SledStore {
    match SledStore::open(path, Path::new(KEY_FILE)).unwrap() {
        Opened::Store(store) => store,
        Opened::Fresh => panic!("there is no store"),
    }
}

/// A record as `mfa-setup add` makes it, and the backup codes as they are shown.
fn record(kind: &str, key: &str) -> (UserRecord, Vec<String>) {
    let moving = match kind {
        "totp" => MovingFactor::Time { period: 30, last_step: None, drift: 0, candidate: None },
        "hotp" => MovingFactor::Counter { next: 0, candidate: None },
        other => panic!("no device is called {other}"),
    };
    let key = (0..key.len()).step_by(2).map(|at| u8::from_str_radix(&key[at..at + 2], 16).unwrap());
    let device = Device {
        id: 1,
        label: "phone".to_owned(),
        key: Secret::new(key.collect()),
        algorithm: Algorithm::Sha1,
        digits: 6,
        moving,
        added: now(),
        last_used: None,
        failures: 0,
        disabled: false,
    };
    let (batch, shown) = codes::new_batch(10, now()).unwrap();
    let record = UserRecord {
        devices: vec![device],
        next_id: 2,
        default: 1,
        backup_codes: Some(batch),
        ..UserRecord::default()
    };
    (record, shown.iter().map(|code| code.expose_str().unwrap().to_owned()).collect())
}

fn cost(owner: &Owner, rounds: u32) {
    let config = Config::default();
    let store = open(Path::new(STORE));
    for _ in 0..rounds {
        timed("load", || store.load(owner).unwrap());
        timed("open, save and close", || save(&store, owner));
        {
            let _lock = store.lock(owner).unwrap();
            // Opens the db, which stays open with the lock.
            save(&store, owner);
            timed("save", || save(&store, owner));
        }
        let attempt =
            Attempt { code: Code::OneTime("000000".to_owned().into()), source: Source::Local };
        let (record, _) = store.load(owner).unwrap();
        timed("judge", || judge(record, &attempt, now(), &config));
    }
}

fn once(owner: &Owner) {
    timed("open and save in a new process", || {
        let store = open(Path::new(STORE));
        let lock = store.lock(owner).unwrap();
        save(&store, owner);
        // As the verifier, it ends without closing.
        std::mem::forget((store, lock));
    });
    std::process::exit(0);
}

/// What a login does to the record, without its decision.
fn save(store: &SledStore, owner: &Owner) {
    update(store, owner, |mut record| {
        record.lockout.counted_at = now();
        Change::Save(record, ())
    })
    .unwrap();
}

fn timed<T>(name: &str, act: impl FnOnce() -> T) {
    let since = Instant::now();
    let made = act();
    let took = since.elapsed();
    drop(made);
    println!("{name}\t{}", took.as_nanos());
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
