//! Four refusals that nobody must be able to tell apart by the time they take.

use crate::client::Process;
use crate::figures::Figures;
use crate::ground::{Ground, RESIDENT, SPAWNED, name};
use crate::resident::Resident;

/// Who is refused, each with a code that is wrong.
pub const STATES: [&str; 4] = ["enrolled", "not enrolled", "unknown", "locked"];

pub const SERVICES: [(&str, &str); 2] =
    [("pam_mfa spawned", SPAWNED), ("pam_mfa resident", RESIDENT)];

/// So many of each state, as there are decoys.
const USERS: u32 = 16;

/// Users of each state are this far apart.
const APART: u32 = 1_000;

pub fn row(subject: &str, state: &str) -> String {
    format!("{subject} / refused / {state}")
}

/// Measures `repetitions` of each. The host's policy is another one afterwards.
pub fn measure(ground: &mut Ground, figures: &mut Figures, repetitions: u32) {
    // One kind of process has as many wrong codes for a user as it takes to lock.
    assert!(repetitions / USERS < 98);
    for (number, (subject, service)) in (0..).zip(SERVICES) {
        let _resident = (service == RESIDENT).then(|| Resident::start(&ground.host));
        let first = 600_000 + number * 10_000;
        let first_of = |state: usize| first + u32::try_from(state).unwrap() * APART;
        ground.enrol("totp", first_of(0), USERS);
        ground.enrol("totp", first_of(3), USERS);
        let known =
            [0, 1, 3].into_iter().flat_map(|state| first_of(state)..first_of(state) + USERS);
        ground.know(&known.collect::<Vec<_>>());
        limit(ground, 1);
        for uid in first_of(3)..first_of(3) + USERS {
            let wrong = ground.codes.wrong();
            assert!(!ground.login(service, uid, &wrong));
        }
        limit(ground, 100);
        // As those who are locked, these have been here before: what is compared is not a first login.
        for uid in first_of(0)..first_of(0) + USERS {
            let wrong = ground.codes.wrong();
            assert!(!ground.login(service, uid, &wrong));
        }
        for repetition in 0..repetitions {
            for place in 0..STATES.len() {
                // Each in turn comes first.
                let state = (place + repetition as usize) % STATES.len();
                let user = name(first_of(state) + repetition % USERS);
                let wrong = ground.codes.wrong();
                let (took, granted) = ground.client.login(Process::Lasting, service, &user, &wrong);
                assert!(!granted, "{user}");
                figures.add(&row(subject, STATES[state]), took);
            }
        }
    }
}

/// Wrong codes from one source, or of one user, after which there is a wait that does not end here.
fn limit(ground: &Ground, wrong_codes: u32) {
    let policy = format!(
        "[policy]\nmode = \"required\"\n[lockout]\nper_source = {wrong_codes}\n\
         per_user = {wrong_codes}\nfirst_wait = 86400\nlongest_wait = 86400\n"
    );
    ground.host.write("/etc/pam_mfa/config.toml", policy);
}
