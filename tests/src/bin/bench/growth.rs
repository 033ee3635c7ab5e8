//! What a login costs where more and more users are enrolled.
//!
//! Tokens that count, since the same few users log in again and again.

use std::collections::HashMap;
use std::time::Instant;

use nix::unistd::sync;

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

/// A host with so many users.
struct Crowd {
    size: u32,
    ground: Ground,
    /// Those who log in.
    active: Vec<u32>,
    counters: Counters,
}

/// Measures `repetitions` of each at each number of users; how long it took to write a record.
///
/// There is a host for each number, and they have their turns: what the machine does meanwhile is in all of
/// them.
pub fn measure(figures: &mut Figures, sizes: &[u32], repetitions: u32) -> Vec<(u32, f64)> {
    let mut rates = vec![];
    let mut crowds: Vec<Crowd> = vec![];
    for &size in sizes {
        let ground = Ground::new();
        let since = Instant::now();
        ground.enrol("hotp", FIRST, size);
        rates.push((size, since.elapsed().as_secs_f64() * 1e6 / f64::from(size)));
        let active: Vec<u32> = (0..ACTIVE).map(|n| FIRST + n * (size / ACTIVE)).collect();
        ground.know(&active);
        ground.enrol_in_one_file("HOTP", FIRST..FIRST + size);
        crowds.push(Crowd { size, ground, active, counters: Counters::default() });
    }
    let residents: Vec<_> =
        crowds.iter().map(|crowd| Resident::start(&crowd.ground.host)).collect();
    // What was written for so many users is not to be paid for by the logins.
    sync();
    let places: Vec<_> = (0..ACTIVE as usize).cycle().take(repetitions as usize).collect();
    for (turn, place) in places.iter().enumerate() {
        let mut order: Vec<&mut Crowd> = crowds.iter_mut().collect();
        order.rotate_left(turn % sizes.len());
        if turn / sizes.len() % 2 == 1 {
            order.reverse();
        }
        for crowd in order {
            close_db(&crowd.ground, crowd.active[*place]);
            crowd.log_in(figures, SUBJECTS[2], RESIDENT, *place);
            crowd.log_in(figures, SUBJECTS[1], RESIDENT, *place);
        }
    }
    drop(residents);
    for crowd in &mut crowds {
        // The file is new, and with it pam_oath's counters.
        crowd.counters = Counters::default();
        // By itself: it writes its whole file anew each time, which the next login would find on its
        // way to the disk.
        for place in &places {
            crowd.log_in(figures, SUBJECTS[0], OATH_ONE_FILE, *place);
        }
    }
    rates
}

impl Crowd {
    fn log_in(&mut self, figures: &mut Figures, subject: &str, service: &str, place: usize) {
        let uid = self.active[place];
        let code = self.ground.codes.counted(self.counters.next(uid)).to_owned();
        let user = name(uid);
        let (took, granted) = self.ground.client.login(Process::Lasting, service, &user, &code);
        let row = row(subject, self.size);
        assert!(granted, "{row}, user {uid}");
        figures.add(&row, took);
    }
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
