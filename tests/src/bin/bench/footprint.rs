//! What is taken of disk and memory, and what the store itself costs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::figures::Figures;
use crate::ground::{Ground, RESIDENT, SPAWNED, name};
use crate::resident::Resident;

/// How many logins the disk is looked at after.
pub const LOGINS: usize = 1_000;

/// Dbs that the resident verifier keeps open.
pub const OPEN: u32 = 256;

/// The store's own work, as `bench-store` names it.
pub const STORE_ROWS: [&str; 5] =
    ["load", "judge", "save", "open, save and close", "open and save in a new process"];

/// KiB.
pub struct Footprint {
    pub fresh: u64,
    pub after_spawned: u64,
    pub after_resident: u64,
    /// Memory of the resident verifier, RSS and PSS.
    pub at_start: (u64, u64),
    pub with_open_dbs: (u64, u64),
}

/// Measures disk and memory; `logins` instead of [`LOGINS`] in a quick run.
pub fn measure(ground: &mut Ground, logins: usize) -> Footprint {
    const FIRST: u32 = 400_000;
    ground.enrol("hotp", FIRST, OPEN + 2);
    let fresh = disk(&ground.directory_of(FIRST));
    let many = |ground: &mut Ground, service, uid| {
        ground.know(&[uid]);
        for counter in 0..logins {
            let code = ground.codes.counted(counter).to_owned();
            assert!(ground.login(service, uid, &code), "{} {counter}", name(uid));
        }
        disk(&ground.directory_of(uid))
    };
    let after_spawned = many(ground, SPAWNED, FIRST);
    let resident = Resident::start(&ground.host);
    let after_resident = many(ground, RESIDENT, FIRST + 1);
    drop(resident);
    let resident = Resident::start(&ground.host);
    let at_start = resident.memory();
    for uid in FIRST + 2..FIRST + 2 + OPEN {
        ground.know(&[uid]);
        let code = ground.codes.counted(0).to_owned();
        assert!(ground.login(RESIDENT, uid, &code));
    }
    let with_open_dbs = resident.memory();
    Footprint { fresh, after_spawned, after_resident, at_start, with_open_dbs }
}

/// Measures the store in a process of its own, without a login.
pub fn measure_store(ground: &mut Ground, figures: &mut Figures, repetitions: u32) {
    const UID: u32 = 500_000;
    ground.enrol("totp", UID, 1);
    let uid = UID.to_string();
    let mut values = ground.store(&["cost", &uid, &repetitions.to_string()]);
    for _ in 0..repetitions {
        values.extend(ground.store(&["once", &uid]));
    }
    for (name, nanoseconds) in values {
        figures.add_number(&store_row(&name), nanoseconds);
    }
}

pub fn store_row(name: &str) -> String {
    format!("the store alone / {name}")
}

/// KiB that a directory takes with all in it.
fn disk(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let below: u64 = if metadata.is_dir() {
        fs::read_dir(path).unwrap().map(|entry| disk(&entry.unwrap().path())).sum()
    } else {
        0
    };
    metadata.blocks() / 2 + below
}
