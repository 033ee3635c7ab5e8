//! Many logins at one moment.

use crate::figures::Figures;
use crate::ground::{GOOGLE, Ground, OATH_ONE_FILE, RESIDENT, SPAWNED, name};
use crate::resident::Resident;

/// Different users who log in at once.
pub const USERS: u32 = 50;

/// Logins at once with one code.
pub const SESSIONS: usize = 64;

/// Who is measured: the row's name, its service.
pub const SUBJECTS: [(&str, &str); 5] = [
    ("google-authenticator", GOOGLE),
    // One file for all, as its manual has it.
    ("pam_oath", OATH_ONE_FILE),
    ("pam_mfa spawned", SPAWNED),
    ("pam_mfa resident warm", RESIDENT),
    ("pam_mfa resident cold", RESIDENT),
];

/// Users of a round: those of the peers and of the spawned verifier, those whose db is open, those
/// whose db is not.
const CAST: u32 = 3 * USERS;

const FIRST: u32 = 200_000;

pub fn round_row(subject: &str) -> String {
    format!("{subject} / {USERS} users at once / the round")
}

/// In this row a number is how many were let in.
pub fn let_in_row(subject: &str) -> String {
    format!("{subject} / {USERS} users at once / let in")
}

/// In this row too.
pub fn one_code_row(subject: &str) -> String {
    format!("{subject} / {SESSIONS} sessions with one code / let in")
}

/// Measures `rounds` of each.
pub fn measure(ground: &mut Ground, figures: &mut Figures, rounds: u32) {
    ground.enrol("totp", FIRST, rounds * CAST);
    let _resident = Resident::start(&ground.host);
    for round in 0..rounds {
        let first = FIRST + round * CAST;
        (first..first + USERS).for_each(|uid| ground.enrol_with_peers(uid));
        ground.enrol_in_one_file("HOTP/T30/6", first..first + USERS);
        ground.know(&(first..first + CAST).collect::<Vec<_>>());
        for (subject, service) in SUBJECTS {
            let first = first + place(subject) * USERS;
            warm_up(ground, subject, first..first + USERS);
            let code = ground.codes.right();
            let people: Vec<_> = (first..first + USERS).map(|u| (name(u), code.clone())).collect();
            let (took, let_in) = ground.client.crowd(service, &people);
            figures.add(&round_row(subject), took);
            figures.add_number(&let_in_row(subject), let_in as u64);
        }
    }
}

/// The same with one code of one user.
pub fn measure_one_code(ground: &mut Ground, figures: &mut Figures, rounds: u32) {
    const FIRST: u32 = 300_000;
    ground.enrol("totp", FIRST, rounds * 3);
    let _resident = Resident::start(&ground.host);
    for round in 0..rounds {
        let first = FIRST + round * 3;
        ground.enrol_with_peers(first);
        ground.enrol_in_one_file("HOTP/T30/6", first..=first);
        ground.know(&[first, first + 1, first + 2]);
        for (subject, service) in SUBJECTS {
            let uid = first + place(subject);
            warm_up(ground, subject, uid..uid + 1);
            let person = (name(uid), ground.codes.right());
            let (_, let_in) = ground.client.crowd(service, &vec![person; SESSIONS]);
            figures.add_number(&one_code_row(subject), let_in as u64);
        }
    }
}

/// Which of the three casts is a subject's.
fn place(subject: &str) -> u32 {
    match subject {
        "pam_mfa resident warm" => 1,
        "pam_mfa resident cold" => 2,
        _ => 0,
    }
}

fn warm_up(ground: &mut Ground, subject: &str, uids: std::ops::Range<u32>) {
    if subject == "pam_mfa resident warm" {
        let wrong = ground.codes.wrong();
        for uid in uids {
            assert!(!ground.login(RESIDENT, uid, &wrong));
        }
    }
}
