//! What a login costs where more and more users are enrolled.
//!
//! Tokens that count, since the same few users log in again and again.

use std::collections::HashMap;
use std::time::Instant;

use crate::client::Process;
use crate::figures::Figures;
use crate::ground::{Ground, OATH_ONE_FILE, RESIDENT, name};
use crate::resident::{Resident, close_db};

/// Who is measured.
pub const SUBJECTS: [&str; 3] =
    ["pam_oath, one file", "pam_mfa resident warm", "pam_mfa resident cold"];

const FIRST: u32 = 1_000_000;

/// How many of the users log in; they lie evenly among all.
const ACTIVE: u32 = 8;

pub fn row(subject: &str, enrolled: u32) -> String {
    format!("{subject} / right code / {enrolled} enrolled")
}

/// Measures `repetitions` of each at each number of users; how long it took to write a record.
pub fn measure(
    ground: &mut Ground,
    figures: &mut Figures,
    sizes: &[u32],
    repetitions: u32,
) -> Vec<(u32, f64)> {
    let mut enrolled = 0;
    let mut counters = Counters::default();
    let mut rates = vec![];
    for &size in sizes {
        let since = Instant::now();
        ground.enrol("hotp", FIRST + enrolled, size - enrolled);
        rates.push((size, since.elapsed().as_secs_f64() * 1e6 / f64::from(size - enrolled)));
        enrolled = size;
        let uids: Vec<u32> = (0..ACTIVE).map(|n| FIRST + n * (size / ACTIVE)).collect();
        ground.know(&uids);
        ground.enrol_in_one_file("HOTP", FIRST..FIRST + size);
        // The file is new, and with it pam_oath's counters.
        let mut of_oath = Counters::default();
        let _resident = Resident::start(&ground.host);
        let mut login = |ground: &mut Ground, subject, service, counters: &mut Counters, uid| {
            let code = ground.codes.counted(counters.next(uid)).to_owned();
            let (took, granted) = ground.client.login(Process::Lasting, service, &name(uid), &code);
            let name = row(subject, size);
            assert!(granted, "{name}, user {uid}");
            figures.add(&name, took);
        };
        let in_turn = || uids.iter().cycle().take(repetitions as usize);
        // What was written for so many users is not to be paid for by the logins.
        nix::unistd::sync();
        for uid in in_turn() {
            close_db(ground, *uid);
            login(ground, SUBJECTS[2], RESIDENT, &mut counters, *uid);
            login(ground, SUBJECTS[1], RESIDENT, &mut counters, *uid);
        }
        // By itself: it writes its whole file anew each time, which the next login would find on its
        // way to the disk.
        for uid in in_turn() {
            login(ground, SUBJECTS[0], OATH_ONE_FILE, &mut of_oath, *uid);
        }
    }
    rates
}

/// What each user's token counts.
#[derive(Default)]
struct Counters(HashMap<u32, usize>);

impl Counters {
    fn next(&mut self, uid: u32) -> usize {
        let counter = self.0.entry(uid).or_default();
        *counter += 1;
        *counter - 1
    }
}
