//! Four refusals that nobody must be able to tell apart by the time they take: each of three in turn with
//! that of somebody who has enrolled.
//!
//! Two at a time, as somebody would who compares names: a file that is written at every other login is
//! dearer to sync than one that was not for a while (12 µs on ext4 with a journal), and both who have not
//! enrolled and who are unknown have the same decoy's written.

use crate::client::Process;
use crate::figures::Figures;
use crate::ground::{Ground, RESIDENT, SPAWNED, name};
use crate::resident::Resident;

/// Who is refused with a code that is wrong, as anybody is who has enrolled.
pub const STATES: [&str; 3] = ["not enrolled", UNKNOWN, "locked"];

const UNKNOWN: &str = "unknown";

pub const SERVICES: [(&str, &str); 2] =
    [("pam_mfa spawned", SPAWNED), ("pam_mfa resident", RESIDENT)];

/// So many of each state, one after the other: one kind of process has as many wrong codes for a user as
/// it takes to lock.
const USERS: u32 = 48;

/// Users of each state are this far apart.
const APART: u32 = 1_000;

/// The row of such a refusal.
pub fn row(subject: &str, state: &str) -> String {
    format!("{subject} / refused / {state}")
}

/// The row of the refusals of those who have enrolled, in turn with those of that state.
pub fn enrolled_row(subject: &str, beside: &str) -> String {
    format!("{subject} / refused / enrolled beside {beside}")
}

/// Measures `repetitions` of each. The host's policy is another one afterwards.
pub fn measure(ground: &mut Ground, figures: &mut Figures, repetitions: u32) {
    let each = repetitions.div_ceil(USERS);
    assert!(u32::try_from(STATES.len()).unwrap() * each < 98);
    for (number, (subject, service)) in (0..).zip(SERVICES) {
        let _resident = (service == RESIDENT).then(|| Resident::start(&ground.host));
        let enrolled = 600_000 + number * 10_000;
        let first_of = |state: usize| enrolled + (1 + u32::try_from(state).unwrap()) * APART;
        let locked = first_of(2);
        ground.enrol("totp", enrolled, USERS);
        ground.enrol("totp", locked, USERS);
        let known = [enrolled, locked].into_iter();
        ground.know(&known.flat_map(|first| first..first + USERS).collect::<Vec<_>>());
        limit(ground, 1);
        for uid in locked..locked + USERS {
            let wrong = ground.codes.wrong();
            assert!(!ground.login(service, uid, &wrong));
        }
        limit(ground, 100);
        // As those who are locked, these have been here before: what is compared is not a first login.
        for uid in enrolled..enrolled + USERS {
            let wrong = ground.codes.wrong();
            assert!(!ground.login(service, uid, &wrong));
        }
        for (state, what) in STATES.into_iter().enumerate() {
            let rows = [enrolled_row(subject, what), row(subject, what)];
            let first_of = [enrolled, first_of(state)];
            for repetition in 0..repetitions {
                let uids = first_of.map(|first| first + repetition / each);
                if repetition % each == 0 {
                    // No more lines than those: who is unknown has all of them read.
                    ground.know(&uids[..=usize::from(what != UNKNOWN)]);
                }
                // Each in turn comes first.
                for place in [repetition % 2, 1 - repetition % 2].map(|place| place as usize) {
                    let user = name(uids[place]);
                    let wrong = ground.codes.wrong();
                    let (took, granted) =
                        ground.client.login(Process::Lasting, service, &user, &wrong);
                    assert!(!granted, "{user}");
                    figures.add(&rows[place], took);
                }
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
