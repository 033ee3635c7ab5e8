//! One login after the other: each module in turn in each repetition, so that whatever else the
//! machine does falls on all alike.

use std::time::Instant;

use mfa_verifier::factor::codes;

use crate::client::Process;
use crate::figures::Figures;
use crate::floor::Floor;
use crate::ground::{
    EXEMPT, FLOOR, GOOGLE, GOOGLE_NOSKEWADJ, Ground, OATH, PERMIT, PERMIT_DEBIAN, RESIDENT,
    SPAWNED, name,
};
use crate::resident::Resident;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Permit,
    Floor,
    Google,
    GoogleNoskewadj,
    Oath,
    Spawned,
    Warm,
    Cold,
}

impl Subject {
    pub const ALL: [Self; 8] = [
        Self::Permit,
        Self::Floor,
        Self::Google,
        Self::GoogleNoskewadj,
        Self::Oath,
        Self::Spawned,
        Self::Warm,
        Self::Cold,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Permit => "pam_permit",
            Self::Floor => "floor",
            Self::Google => "google-authenticator",
            Self::GoogleNoskewadj => "google-authenticator noskewadj",
            Self::Oath => "pam_oath",
            Self::Spawned => "pam_mfa spawned",
            Self::Warm => "pam_mfa resident warm",
            Self::Cold => "pam_mfa resident cold",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Spawned | Self::Warm | Self::Cold)
    }

    fn service(self) -> &'static str {
        match self {
            Self::Permit => PERMIT,
            Self::Floor => FLOOR,
            Self::Google => GOOGLE,
            Self::GoogleNoskewadj => GOOGLE_NOSKEWADJ,
            Self::Oath => OATH,
            Self::Spawned => SPAWNED,
            Self::Warm | Self::Cold => RESIDENT,
        }
    }
}

/// What is given at the prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Right,
    Wrong,
    Backup,
}

impl Given {
    pub const ALL: [Self; 3] = [Self::Right, Self::Wrong, Self::Backup];

    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right code",
            Self::Wrong => "wrong code",
            Self::Backup => "backup code",
        }
    }
}

/// The name of a row.
pub fn row(subject: Subject, given: Given, process: Process) -> String {
    match subject {
        // It asks nothing.
        Subject::Permit => format!("{} / {}", subject.name(), process.name()),
        _ => format!("{} / {} / {}", subject.name(), given.name(), process.name()),
    }
}

/// Rows of parts of a login, in process.
pub const EXEMPTED: &str = "pam_mfa resident / nobody is asked / in process";
pub const WITH_OTHER: &str = "pam_permit with Debian's other / in process";
pub const ASKED: &str = "pam_mfa resident / empty answer / in process";

/// One evaluation by itself, in turn with the logins that need one.
pub const ARGON2: &str = "one Argon2 (a backup code)";

/// The users of one repetition and one kind of process. Each has one code in 30 seconds, and a db is
/// open or not.
struct Cast {
    /// Of the peers, which keep their state apart, and of the spawned verifier.
    shared: u32,
    /// Their db is open.
    warm: u32,
    /// For each answer one.
    cold: u32,
}

/// How many users that is.
const CAST: u32 = 5;

const FIRST: u32 = 100_000;

impl Cast {
    fn of(repetition: u32, process: Process) -> Self {
        let number = repetition * 2 + u32::from(process == Process::Fresh);
        let shared = FIRST + number * CAST;
        Self { shared, warm: shared + 1, cold: shared + 2 }
    }

    fn user(&self, subject: Subject, given: Given) -> u32 {
        match subject {
            Subject::Warm => self.warm,
            Subject::Cold => self.cold + given as u32,
            _ => self.shared,
        }
    }
}

/// Measures `repetitions` of each row.
pub fn measure(ground: &mut Ground, figures: &mut Figures, repetitions: u32) {
    let backup = ground.enrol("totp", FIRST, repetitions * 2 * CAST);
    for repetition in 0..repetitions {
        for process in Process::ALL {
            ground.enrol_with_peers(Cast::of(repetition, process).shared);
        }
    }
    let _resident = Resident::start(&ground.host);
    let _floor = Floor::start(&ground.host);
    // Not counted: what is loaded and made on first use is of no login's cost.
    ground.client.login(Process::Lasting, PERMIT, "root", "");

    for repetition in 0..repetitions {
        let casts = appear(ground, repetition);
        let (took, granted) = ground.client.login(Process::Lasting, PERMIT_DEBIAN, "root", "");
        assert!(granted);
        figures.add(WITH_OTHER, took);
        // Nobody is let in: nobody is asked, which alone is no reason to, and nothing is answered.
        let mut parts = [(EXEMPTED, EXEMPT), (ASKED, RESIDENT)];
        parts.rotate_left(repetition as usize % 2);
        for (row, service) in parts {
            let user = name(casts[0].warm);
            let (took, granted) = ground.client.login(Process::Lasting, service, &user, "");
            assert!(!granted);
            figures.add(row, took);
        }
        for (process, cast) in Process::ALL.into_iter().zip(&casts) {
            in_turn(ground, figures, repetition, process, cast, Given::Right, "");
            in_turn(ground, figures, repetition, process, cast, Given::Wrong, "");
        }
    }
    // Afterwards: Argon2 goes through 19 MiB of memory, and whatever comes next finds no cache.
    for repetition in 0..repetitions {
        let casts = appear(ground, repetition);
        for (process, cast) in Process::ALL.into_iter().zip(&casts) {
            in_turn(ground, figures, repetition, process, cast, Given::Backup, &backup[0]);
        }
    }
}

/// Lets the system know the users of a repetition, and the dbs of some of them be open.
fn appear(ground: &mut Ground, repetition: u32) -> [Cast; 2] {
    let first = Cast::of(repetition, Process::Lasting).shared;
    ground.know(&(first..first + 2 * CAST).collect::<Vec<_>>());
    let casts = Process::ALL.map(|process| Cast::of(repetition, process));
    for cast in &casts {
        let wrong = ground.codes.wrong();
        assert!(!ground.login(RESIDENT, cast.warm, &wrong));
    }
    casts
}

/// One login of each subject. Each comes first as often as any other, and after any other as often: what
/// one leaves to be done behind it, such as a write or a process that ends, falls on all alike.
fn in_turn(
    ground: &mut Ground,
    figures: &mut Figures,
    repetition: u32,
    process: Process,
    cast: &Cast,
    given: Given,
    backup: &str,
) {
    let (count, turn) = (Subject::ALL.len(), repetition as usize);
    for place in 0..count {
        // 0 7 1 6 2 5 3 4: each step is of another length (E. J. Williams 1949, for an even number).
        let zigzag = if place % 2 == 0 { place / 2 } else { count - 1 - place / 2 };
        let subject = Subject::ALL[(turn + zigzag) % count];
        let answer = match (given, subject) {
            (Given::Right, _) => ground.codes.right(),
            (Given::Backup, Subject::Permit) => {
                let since = Instant::now();
                codes::hash("abcdefghjkmnpqr", &[7; 16]).unwrap();
                figures.add(ARGON2, since.elapsed());
                continue;
            }
            (_, Subject::Permit | Subject::Floor) | (Given::Backup, Subject::Oath) => continue,
            (Given::Wrong, _) => ground.codes.wrong(),
            (Given::Backup, ours) if ours.is_ours() => backup.to_owned(),
            (Given::Backup, _) => ground.scratch_code(),
        };
        let user = name(cast.user(subject, given));
        let (took, granted) = ground.client.login(process, subject.service(), &user, &answer);
        let name = row(subject, given, process);
        assert_eq!(granted, given != Given::Wrong, "{name}, repetition {repetition}");
        figures.add(&name, took);
    }
}
