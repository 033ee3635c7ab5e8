//! Records that are damaged: each is whole or refused, and never an older one, and never none.
//!
//! The whole sweep is done on the verifier's own store, as a library; a part of it once more through
//! libpam with what is installed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;
use mfa_tests::Host;
use mfa_tests::USED;
use mfa_tests::cache::TemporaryDirectory;
use mfa_tests::pam::Attempt;
use mfa_verifier::record::{self, Device, Lockout, MovingFactor, SourceState, Use, UserRecord};
use mfa_verifier::source::Source;
use mfa_verifier::store::{OpenDbs, Opened, Owner, Revision, Saved, SledStore, Store, StoreError};

/// The bytes of a summary: two slots.
const SUMMARY: u64 = 8192;

/// A store with alice's record at revision 5.
struct Archive {
    directory: TemporaryDirectory,
}

impl Archive {
    fn new() -> Self {
        let archive = Self { directory: TemporaryDirectory::new() };
        let decoy = UserRecord::default();
        let store = SledStore::initialize(&archive.path(), &archive.key_file(), &decoy).unwrap();
        for n in 0..5 {
            if n == 4 {
                copy_tree(&archive.room().join("db"), &archive.older_db());
            }
            let saved = store.save(&alice(), &record(n + 1), Revision(n.into())).unwrap();
            assert_eq!(saved, Saved::Saved);
        }
        copy_tree(&archive.room(), &archive.saved());
        archive
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("store.key")
    }

    fn room(&self) -> PathBuf {
        self.path().join("users/1000")
    }

    fn saved(&self) -> PathBuf {
        self.directory.path().join("saved")
    }

    /// The db of revision 4: what a careless copy may bring back.
    fn older_db(&self) -> PathBuf {
        self.directory.path().join("older-db")
    }

    /// As another process would open it.
    fn open(&self) -> SledStore {
        match SledStore::open(&self.path(), &self.key_file()) {
            Ok(Opened::Store(store)) => store,
            Ok(Opened::Fresh) => panic!("fresh"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Brings the record back as it was.
    fn restore(&self) {
        fs::remove_dir_all(self.room()).unwrap();
        copy_tree(&self.saved(), &self.room());
    }

    /// Damages the record. True if it is whole all the same, false if it is refused.
    fn survives(&self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        damage(&self.room());
        let store = self.open();
        let whole = is_whole(&store, 5, what);
        assert_eq!(is_whole(&store, 5, what), whole, "{what}: the second time");
        match store.save(&alice(), &record(6), Revision(5)) {
            Ok(Saved::Saved) if whole => assert!(is_whole(&self.open(), 6, what), "{what}"),
            Err(StoreError::Damaged { .. }) if !whole => {}
            other => panic!("{what}: whole {whole}, saving {other:?}"),
        }
        // An older state is not even saved over.
        let older = store.save(&alice(), &record(0), Revision(4));
        assert!(!matches!(older, Ok(Saved::Saved)), "{what}");
        self.restore();
        whole
    }
}

/// Whether the record is the one of that number, or refused as damaged: there is no third answer.
fn is_whole(store: &SledStore, number: u32, what: &str) -> bool {
    match store.load(&alice()) {
        Ok((record, revision)) => {
            assert_eq!((record.next_id, revision.0), (number, number.into()), "{what}");
            true
        }
        Err(StoreError::Damaged { uid: 1000, .. }) => false,
        Err(other) => panic!("{what}: {other}"),
    }
}

fn alice() -> Owner {
    Owner { uid: 1000, name: "alice".to_owned() }
}

/// A record that can be told from others, of an ordinary user's size.
fn record(number: u32) -> UserRecord {
    let device = |id| Device {
        id,
        label: "x".repeat(record::MAX_LABEL),
        key: Secret::new(vec![0xa5; record::MAX_KEY]),
        algorithm: Algorithm::Sha512,
        digits: 8,
        moving: MovingFactor::Counter { next: u64::MAX, candidate: Some(u64::MAX) },
        added: u64::MAX,
        last_used: Some(Use { at: u64::MAX, from: Source::V6([0xff; 8]) }),
        failures: u32::MAX,
        disabled: true,
    };
    let source = |n| SourceState {
        source: Source::V6([n; 8]),
        last_success: Some(u64::MAX),
        failures: u32::MAX,
        last_seen: u64::MAX,
        not_before: u64::MAX,
        wrong_codes: u32::MAX,
        codes_since: u64::MAX,
    };
    UserRecord {
        devices: (0..2).map(device).collect(),
        next_id: number,
        lockout: Lockout { sources: (0..4).map(source).collect(), ..Lockout::default() },
        ..UserRecord::default()
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
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

/// Flips bits of a byte.
fn flip(path: &Path, at: u64, bits: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ bits], at).unwrap();
}

#[test]
fn every_byte_of_a_summary_may_flip() {
    let archive = Archive::new();
    // 8,192 openings of the db would take minutes.
    let dbs = OpenDbs::new().unwrap();
    let store = archive.open().sharing(&dbs);
    let summary = archive.room().join("summary");
    // A slot's first two bytes say how much of it is used, without the six in front.
    let bytes = fs::read(&summary).unwrap();
    let used = |slot: usize| 6 + u64::from(u16::from_le_bytes([bytes[slot], bytes[slot + 1]]));
    let used = used(0) + used(4096);
    let mut healed = 0;
    for at in 0..SUMMARY {
        flip(&summary, at, 1 << (at % 8));
        assert!(is_whole(&store, 5, "a flipped byte"), "byte {at}");
        let notices = store.notices();
        healed += notices.len();
        if !notices.is_empty() {
            assert!(is_whole(&store, 5, "a healed byte"), "byte {at}, the second time");
            assert_eq!(store.notices(), [""; 0], "byte {at}: once was enough");
        }
    }
    drop((store, dbs));
    println!("{SUMMARY} bytes of a summary flipped, {healed} times healed; {used} are in use");
    assert_eq!(healed as u64, used, "each that is in use was noticed");

    let mut whole = 0;
    let points: Vec<u64> = (0..SUMMARY).step_by(173).collect();
    for &at in &points {
        let file = |room: &Path| flip(&room.join("summary"), at, 0xff);
        whole += usize::from(archive.survives(&format!("byte {at}"), file));
    }
    println!("{} of them in a process of their own: {whole} healed", points.len());
    assert_eq!(whole, points.len());
}

#[test]
fn a_summary_may_be_cut_at_any_length_or_be_huge() {
    let archive = Archive::new();
    let dbs = OpenDbs::new().unwrap();
    let store = archive.open().sharing(&dbs);
    let summary = archive.room().join("summary");
    let lengths = (0..=512).chain((512..SUMMARY).step_by(61)).chain(4090..4200);
    let lengths: Vec<u64> = lengths.chain([SUMMARY - 1, SUMMARY + 1, 1 << 30]).collect();
    for &length in &lengths {
        truncate(&summary, length);
        assert!(is_whole(&store, 5, &format!("{length} bytes")), "{length} bytes");
        assert_eq!(store.notices().len(), 1, "{length} bytes");
        assert_eq!(fs::metadata(&summary).unwrap().len(), SUMMARY, "{length} bytes");
    }
    drop((store, dbs));
    println!("a summary cut to {} lengths, each healed", lengths.len());
}

#[test]
fn a_db_may_be_damaged_in_any_way() {
    let archive = Archive::new();
    let mut files: Vec<PathBuf> = vec![];
    for entry in fs::read_dir(archive.room().join("db")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files.push(path.strip_prefix(archive.room()).unwrap().to_owned());
        }
    }
    assert!(files.len() >= 3, "db, conf and a snapshot: {files:?}");
    let mut cases = 0;
    let mut survives = |what: &str, damage: &dyn Fn(&Path)| {
        assert!(archive.survives(what, damage), "{what}");
        cases += 1;
    };
    for file in &files {
        let size = fs::metadata(archive.room().join(file)).unwrap().len();
        let name = file.display();
        // All of a small file, the beginning of a large one, and a sample of the rest.
        let dense = size.min(if size <= 512 { size } else { 128 });
        for at in
            (0..dense).step_by(if size <= 512 { 1 } else { 4 }).chain((dense..size).step_by(307))
        {
            let bits = 1 << (at % 8);
            survives(&format!("{name} byte {at}"), &|room| flip(&room.join(file), at, bits));
        }
        for length in
            (0..dense).step_by(3).chain((dense..size).step_by(509)).chain([size + 1, 1 << 30])
        {
            survives(&format!("{name} of {length} bytes"), &|room| {
                truncate(&room.join(file), length);
            });
        }
    }
    println!("{cases} damages of a db, each healed from the summary");
}

#[test]
fn db_and_summary_damaged_together_are_refused_or_whole() {
    let archive = Archive::new();
    let (mut whole, mut refused) = (0, 0);
    let mut count = |healed: bool| *(if healed { &mut whole } else { &mut refused }) += 1;
    // The newest revision, 5, lies in the second slot.
    for at in (4096..SUMMARY).step_by(151) {
        let lose_db = |room: &Path| {
            flip(&room.join("summary"), at, 0x10);
            fs::remove_dir_all(room.join("db")).unwrap();
        };
        count(archive.survives(&format!("db gone, byte {at}"), lose_db));
    }
    for length in (0..SUMMARY).step_by(251) {
        let empty_db = |room: &Path| {
            truncate(&room.join("summary"), length);
            fs::remove_dir_all(room.join("db")).unwrap();
            fs::create_dir(room.join("db")).unwrap();
        };
        count(archive.survives(&format!("db empty, {length} bytes"), empty_db));
    }
    let bring_back_older_db = |room: &Path| {
        fs::remove_dir_all(room.join("db")).unwrap();
        copy_tree(&archive.older_db(), &room.join("db"));
    };
    assert!(archive.survives("an older db", bring_back_older_db));
    // A slot says at both ends which revision it had; of an ordinary record, 400 bytes are in use.
    for at in (4096..4096 + 400).step_by(7) {
        let older_db = |room: &Path| {
            flip(&room.join("summary"), at, 0x01);
            bring_back_older_db(room);
        };
        let healed = archive.survives(&format!("db older, byte {at}"), older_db);
        assert!(!healed, "db older, byte {at}: nothing holds revision 5");
        count(healed);
    }
    let nothing = |room: &Path| {
        fs::remove_dir_all(room).unwrap();
        fs::create_dir(room).unwrap();
    };
    count(archive.survives("nothing but the directory", nothing));
    println!("db and summary damaged: {refused} refused, {whole} whole");
    assert!(refused > 0);
}

#[test]
fn a_used_code_stays_used_whatever_is_damaged() {
    const ROOM: &str = "/var/lib/pam_mfa/users/1000";
    // Somebody whose record could not be found would be let in here.
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .disk("/kept")
        .config("[policy]\nmode = \"optional\"\n")
        .pam("app", "auth required pam_mfa.so\nauth required pam_permit.so\n")
        .start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let log_in = |user: &str, code: &str| Attempt::new("app", user).answer(code).run(&host);
    assert_eq!(log_in("bob", "").code(), "PAM_SUCCESS", "not enrolled");
    host.shell(&format!("cp -a {ROOM}/db /kept/older"));
    let room = host.path(ROOM);

    let mut damages: Vec<(String, String, String)> = vec![];
    let mut damage = |script: &str, log: &str| {
        damages.push((script.to_owned(), format!("cd {ROOM}; {script}"), log.to_owned()));
    };
    let healed = |file| format!("healed=\"the record of uid 1000: its {file} was ");
    let (from_summary, from_db) = (healed("db"), healed("summary"));
    let (from_summary, from_db) = (from_summary.as_str(), from_db.as_str());
    damage("rm -r db", from_summary);
    damage("rm -r db; mkdir -m 700 db", from_summary);
    damage("rm -r db; cp -a /kept/older db", from_summary);
    damage("truncate -s 0 db/db", from_summary);
    damage("truncate -s 1G db/db", from_summary);
    // sled does without it.
    damage("truncate -s 0 db/conf", "reason=already_used");
    damage("truncate -s 100 db/snap.*", from_summary);
    damage("rm db/db", from_summary);
    damage("rm summary", from_db);
    damage("truncate -s 1G summary", from_db);
    damage("rm summary lock; echo x > lock", from_db);
    for length in [0, 1, 100, 4096, 4200, 8191] {
        damage(&format!("truncate -s {length} summary"), from_db);
    }
    for at in (0..300).step_by(23).chain((4096..4396).step_by(23)) {
        // All bits of the byte, whatever it is: a byte in place of another may be the same one.
        let flip = format!(
            "byte=$(od -An -tu1 -j {at} -N 1 summary); \
             printf \"\\\\$(printf %o $((byte ^ 255)))\" | \
             dd of=summary bs=1 seek={at} conv=notrunc status=none"
        );
        damage(&flip, from_db);
    }
    let refused = "outcome=unavailable";
    damage("rm -r db summary", refused);
    damage("rm -r db summary lock", refused);
    damage("rm -r db; truncate -s 0 summary", refused);
    damage("rm -r db; truncate -s 100 summary", refused);
    damage("rm summary; truncate -s 0 db/db", refused);
    damage("rm summary; truncate -s 1G db/db", refused);

    let (mut healed, mut unavailable) = (0, 0);
    for (what, script, log) in &damages {
        let code = alice.code();
        assert_eq!(log_in("alice", &code).code(), "PAM_SUCCESS", "{what}");
        host.shell(&format!("rm -rf /kept/room; cp -a {ROOM} /kept/room"));
        host.shell(script);
        let logged = host.log().len();
        let again = log_in("alice", &code);
        match again.code() {
            "PAM_AUTH_ERR" => {
                assert_eq!(again.told(), [USED], "{what}");
                healed += 1;
            }
            "PAM_AUTHINFO_UNAVAIL" => {
                let status = host.run(&["mfa-setup", "status", "--user", "alice"]);
                assert_eq!(status.code, Some(3), "{what}: {status:?}");
                assert!(status.stderr.contains("mfa-setup: hint: "), "{what}: {status:?}");
                unavailable += 1;
            }
            code => panic!("{what}: {code}"),
        }
        assert_eq!(log == refused, again.code() == "PAM_AUTHINFO_UNAVAIL", "{what}");
        host.wait_for_log_behind(logged, log);
        if again.code() == "PAM_AUTH_ERR" {
            assert_eq!(log_in("alice", &alice.code()).code(), "PAM_SUCCESS", "{what}");
        } else {
            host.shell(&format!("rm -r {ROOM}; cp -a /kept/room {ROOM}"));
        }
        assert!(room.join("summary").exists());
    }
    println!("{} damages: {healed} healed, {unavailable} refused", damages.len());
}
