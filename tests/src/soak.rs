//! Many sessions for a long time, while the verifier that stays is killed again and again.
//!
//! Each session is a user with a token that counts its codes, and knows which code the record must
//! expect next: with no counter looked ahead, any other is wrong. So an update that was acknowledged
//! and is lost shows at the next login, as does a code that is accepted twice. What was given to a
//! verifier that died before it replied is in doubt, and is given again until it is known.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Display, Formatter};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mfa_protocol::Verdict;

use crate::host::Running;
use crate::log::Record;
use crate::pam::Attempt;
use crate::root_face::{Answered, Door, End};
use crate::{Device, USED};

/// What the host of a soak is told. Nobody may fail more often.
pub const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
     [backup_codes]\ncount = 1\nlow = 0\n\
     [lockout]\nper_source = 100\nper_user = 100\ndisable_after = 100\n";

/// The service by which sessions go through libpam.
pub const SERVICE: &str = "app";

/// Codes that are made at once.
const BATCH: u64 = 500;

/// What sessions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Gives the next code.
    Right,
    /// Gives a code that is none.
    Wrong,
    /// Gives the code again that was accepted last.
    Replayed,
    /// Gives the next code on two connections at once.
    Twice,
    /// Gives the next code and hangs up.
    Cut,
    /// Hangs up at the prompt.
    Left,
    /// Gives a code again of which it is not known what became of it.
    Doubted,
}

impl Act {
    const ALL: [Self; 7] = [
        Self::Right,
        Self::Wrong,
        Self::Replayed,
        Self::Twice,
        Self::Cut,
        Self::Left,
        Self::Doubted,
    ];
}

/// What a session knows.
struct Session<'a> {
    host: &'a Running,
    door: Door,
    user: &'a str,
    token: Device,
    codes: VecDeque<String>,
    last: Option<String>,
    in_doubt: bool,
    /// Failures that were acknowledged since a code was accepted.
    charged: u64,
    dice: Dice,
    tally: Tally,
}

/// How often what ended how.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(Act, &'static str), u64>);

/// Enrols each of these users.
pub fn enrol(host: &Running, users: &[String]) -> Vec<Device> {
    users.iter().map(|user| host.enrol_with(user, &["hotp"]).device).collect()
}

/// Has each of these users log in by their token until `over`, however they can.
pub fn sessions(host: &Running, users: &[String], tokens: &[Device], over: &AtomicBool) -> Tally {
    let run = |((user, token), seed): ((&String, &Device), u64)| {
        let _guard = EndsAll(over);
        let session = Session {
            host,
            door: host.door(),
            user,
            token: token.clone(),
            codes: VecDeque::new(),
            last: None,
            in_doubt: false,
            charged: 0,
            dice: Dice(seed),
            tally: Tally::default(),
        };
        session.run(over)
    };
    thread::scope(|scope| {
        let all = users.iter().zip(tokens).zip(1..);
        let sessions: Vec<_> = all.map(|one| scope.spawn(move || run(one))).collect();
        sessions.into_iter().fold(Tally::default(), |all, one| all.with(one.join().unwrap()))
    })
}

impl Session<'_> {
    fn run(mut self, over: &AtomicBool) -> Tally {
        while !over.load(Ordering::Relaxed) {
            if self.codes.len() < 2 {
                self.codes.extend(self.token.codes(BATCH));
            }
            let act = self.next_act();
            self.act(act);
        }
        // What was acknowledged is there, whoever looks.
        if self.in_doubt {
            self.act(Act::Doubted);
        }
        if let (false, Some(last)) = (self.in_doubt, self.last.clone()) {
            assert_eq!(self.through_libpam(&last), End::Used, "{}", self.user);
        }
        self.tally
    }

    fn next_act(&mut self) -> Act {
        if self.in_doubt {
            return Act::Doubted;
        }
        // One in a million is the same as the one before it: given again, it is no replay.
        let is_one = |code: Option<&String>| code == self.codes.front();
        if is_one(self.last.as_ref()) || is_one(self.codes.get(1)) {
            return Act::Right;
        }
        match self.dice.roll(100) {
            0..15 => Act::Wrong,
            15..28 if self.last.is_some() => Act::Replayed,
            28..36 => Act::Twice,
            36..45 => Act::Cut,
            45..50 => Act::Left,
            _ => Act::Right,
        }
    }

    fn act(&mut self, act: Act) {
        let next = self.codes[0].clone();
        match act {
            Act::Right => {
                let end = self.log_in(&next);
                self.assert_one_of(act, end, &[End::Granted]);
                self.moves_on_if(end);
                self.tally.add(act, Some(end));
            }
            Act::Doubted => {
                let end = self.log_in(&next);
                self.assert_one_of(act, end, &[End::Granted, End::Used]);
                self.moves_on_if(end);
                self.tally.add(act, Some(end));
            }
            Act::Wrong => {
                let mut wrong = ["000000", "111111", "222222"].into_iter();
                let is_none = |code: &&str| *code != next && self.last.as_deref() != Some(*code);
                let end = self.log_in(wrong.find(is_none).unwrap());
                self.assert_one_of(act, end, &[End::Refused(Verdict::Denied)]);
                self.tally.add(act, Some(end));
                self.charged += u64::from(end == End::Refused(Verdict::Denied));
                if self.dice.roll(30) == 0 {
                    self.assert_charged();
                }
            }
            Act::Replayed => {
                let end = self.log_in(&self.last.clone().unwrap());
                self.assert_one_of(act, end, &[End::Used]);
                self.tally.add(act, Some(end));
            }
            Act::Twice => self.give_twice(&next),
            Act::Cut => {
                let login = self.door.log_in(self.user, "192.0.2.7");
                self.in_doubt = login.is_some();
                drop(login.map(|login| login.answer(&next)));
                self.tally.add(act, None);
            }
            Act::Left => {
                drop(self.door.log_in(self.user, "192.0.2.7"));
                self.tally.add(act, None);
            }
        }
    }

    fn give_twice(&mut self, code: &str) {
        let logins = [(); 2].map(|()| self.door.log_in(self.user, "192.0.2.7"));
        let answered = logins.map(|login| login.map(|login| login.answer(code)));
        let ends: Vec<End> = answered.into_iter().flatten().map(Answered::end).collect();
        let count = |wanted| ends.iter().filter(|end| **end == wanted).count();
        assert!(count(End::Granted) <= 1, "{}: {ends:?}", self.user);
        for end in &ends {
            self.assert_one_of(Act::Twice, *end, &[End::Granted, End::Used]);
            self.tally.add(Act::Twice, Some(*end));
        }
        // Whoever was told that it was used: the other one has used it.
        let known = ends.iter().find(|end| matches!(end, End::Granted | End::Used));
        self.in_doubt = known.is_none() && !ends.is_empty();
        if let Some(end) = known {
            self.moves_on_if(*end);
        }
    }

    /// Through the resident, or, now and then and where it is not there, as libpam's caller.
    fn log_in(&mut self, code: &str) -> End {
        if self.dice.roll(20) == 0 {
            return self.through_libpam(code);
        }
        match self.door.log_in(self.user, "192.0.2.7") {
            Some(login) => login.answer(code).end(),
            None => self.through_libpam(code),
        }
    }

    fn through_libpam(&self, code: &str) -> End {
        let login = Attempt::new(SERVICE, self.user).from("192.0.2.7").answer(code);
        let report = login.run(self.host);
        match report.code() {
            "PAM_SUCCESS" => End::Granted,
            "PAM_AUTH_ERR" if report.told().contains(&USED) => End::Used,
            "PAM_AUTH_ERR" => End::Refused(Verdict::Denied),
            "PAM_AUTHINFO_UNAVAIL" => End::Broken,
            other => panic!("{}: {other}", self.user),
        }
    }

    /// Those that were acknowledged are in the record.
    fn assert_charged(&self) {
        let status = ["mfa-setup", "status", "--user", self.user, "--json"];
        let status = self.host.run(&status);
        // The resident may have died over it.
        if status.code == Some(0) {
            let failures = status.json()["lockout"]["failures"].as_u64().unwrap();
            assert!(failures >= self.charged, "{}: {failures} of {}", self.user, self.charged);
        }
    }

    /// A right code that was accepted, or is known to have been, is followed by the next one.
    fn moves_on_if(&mut self, end: End) {
        let accepted = matches!(end, End::Granted | End::Used);
        self.in_doubt = !accepted;
        if accepted {
            self.last = self.codes.pop_front();
            self.charged = 0;
        }
    }

    /// A verifier that dies, or has just died, may end any login.
    fn assert_one_of(&self, act: Act, end: End, expected: &[End]) {
        let unavailable = [End::Broken, End::Refused(Verdict::Unavailable)];
        assert!(
            expected.contains(&end) || unavailable.contains(&end),
            "{}, {act:?}: {end:?} (accepted last: {:?}, next: {:?})",
            self.user,
            self.last,
            self.codes.front()
        );
    }
}

impl Tally {
    fn add(&mut self, act: Act, end: Option<End>) {
        let end = match end {
            Some(End::Granted) => "granted",
            Some(End::Used) => "used",
            Some(End::Refused(Verdict::Denied)) => "denied",
            Some(End::Refused(_) | End::Broken) => "broken",
            None => "cut",
        };
        *self.0.entry((act, end)).or_default() += 1;
    }

    fn with(mut self, other: Self) -> Self {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
        self
    }

    /// How many ended so.
    pub fn ended(&self, end: &str) -> u64 {
        self.0.iter().filter(|((_, of), _)| *of == end).map(|(_, count)| count).sum()
    }

    /// How often that was done.
    pub fn done(&self, act: Act) -> u64 {
        self.0.iter().filter(|((of, _), _)| *of == act).map(|(_, count)| count).sum()
    }

    /// All that was done.
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        const ENDS: [&str; 5] = ["granted", "used", "denied", "broken", "cut"];
        write!(f, "{:10}", "")?;
        ENDS.iter().try_for_each(|end| write!(f, "{end:>10}"))?;
        for act in Act::ALL {
            write!(f, "\n{:10}", format!("{act:?}").to_lowercase())?;
            for end in ENDS {
                write!(f, "{:>10}", self.0.get(&(act, end)).unwrap_or(&0))?;
            }
        }
        Ok(())
    }
}

/// Reads `/dev/log` in the place of the host, which keeps every line: there will be millions.
#[derive(Debug, Default)]
pub struct Log {
    /// Logins that were let in.
    pub granted: u64,
    /// Records that had to be mended.
    pub healed: u64,
    /// The last errors that are no login's.
    pub errors: VecDeque<String>,
}

impl Log {
    /// Reads until `over`, and what is there by then.
    pub fn read(host: &Running, over: &AtomicBool) -> Self {
        let path = host.path("/dev/log");
        fs::remove_file(&path).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (mut log, mut datagram) = (Self::default(), vec![0; 64 * 1024]);
        loop {
            match socket.recv(&mut datagram) {
                Ok(length) => log.add(Record::parse(&datagram[..length]).text),
                Err(_) if over.load(Ordering::Relaxed) => return log,
                Err(_) => {}
            }
        }
    }

    fn add(&mut self, line: String) {
        self.granted += u64::from(line.contains("outcome=granted"));
        self.healed += u64::from(line.contains("healed="));
        if line.contains("error=") && !line.contains("outcome=") {
            self.errors.truncate(19);
            self.errors.push_front(line);
        }
    }
}

/// Ends all sessions when one has failed.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Numbers that come the same way each time (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Waits for `time`, or until `over`.
pub fn pass(time: Duration, over: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
}
