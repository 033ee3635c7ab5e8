//! A code is accepted once, whatever the clock does, and codes are those of the RFCs.

use mfa_tests::USED;
use mfa_tests::cache::TemporaryDirectory;
use mfa_tests::clock;
use mfa_tests::pam::{Attempt, Report};
use mfa_tests::{Backup, Device, Host, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n[backup_codes]\ncount = 5\nlow = 0\n";
const USED_AHEAD: &str =
    "This device was last used at a time that has not come yet; use a backup code.";

/// Some time of the fake clock, at the beginning of a time step.
const START: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn a_code_and_the_one_before_it_are_refused_once_it_was_used() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("door", "auth required pam_mfa.so\n")
        .start();
    let device = host.enrol("alice").device;
    let step = device.step();
    let [present, next] = [step, step + 1].map(|step| device.code_at_step(step));
    granted(&log_in(&host, &next));
    for code in [&next, &present, &next] {
        refused(&log_in(&host, code), &[USED]);
    }
    assert_eq!(host.logged_by_now("reason=already_used").len(), 3);
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    assert_eq!(status["lockout"]["failures"], 0);
}

#[test]
fn a_used_code_is_refused_after_the_host_was_started_anew() {
    let disk = TemporaryDirectory::new();
    let policy = format!(
        "{REQUIRED}[store]\npath = \"/srv/state/store\"\nkey_file = \"/srv/state/store.key\"\n"
    );
    let start = || {
        Host::new()
            .user("alice", "rabbit hole")
            .config(&policy)
            .pam("door", "auth required pam_mfa.so\n")
            .bind(disk.path(), "/srv/state")
            .start()
    };
    let host = start();
    let mut alice = host.enrol("alice");
    let (code, backup) = (alice.device.code(), alice.backup.code());
    granted(&log_in(&host, &code));
    granted(&log_in(&host, &backup));
    refused(&log_in(&host, &alice.device.wrong_code()), &[]);
    drop(host);

    let host = start();
    refused(&log_in(&host, &code), &[USED]);
    refused(&log_in(&host, &backup), &[USED]);
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    assert_eq!(status["lockout"]["failures"], 1);
    granted(&log_in(&host, &alice.device.code()));
}

#[test]
fn a_clock_that_goes_back_an_hour_and_forth_again_lets_no_code_in_twice() {
    let mut at = At::new();
    let used = at.code();
    granted(&at.log_in(&used));

    at.set(START - HOUR);
    // An hour ago that was no code of now: wrong, and charged like one.
    refused(&at.log_in(&used), &[]);
    refused(&at.log_in(&at.code()), &[USED_AHEAD]);
    assert_eq!(at.last_reason(), "used_ahead");
    at.a_backup_code_lets_in_once();

    at.set(START + 10);
    refused(&at.log_in(&used), &[USED]);
    at.set(START + 30);
    refused(&at.log_in(&used), &[USED]);
    granted(&at.log_in(&at.code()));
}

#[test]
fn a_device_used_while_the_clock_was_a_day_ahead_waits_until_that_day() {
    let mut at = At::new();
    let first = at.code();
    granted(&at.log_in(&first));
    at.set(START + DAY);
    let ahead = at.code();
    granted(&at.log_in(&ahead));

    for later in [60, 90, HOUR] {
        at.set(START + later);
        refused(&at.log_in(&at.code()), &[USED_AHEAD]);
        assert_eq!(at.last_reason(), "used_ahead");
    }
    // A right code was right: nobody is locked out for it.
    assert_eq!(at.host.status_by_clock("alice")["lockout"]["failures"], 0);
    at.set(START);
    refused(&at.log_in(&first), &[USED_AHEAD]);
    at.a_backup_code_lets_in_once();

    at.set(START + DAY);
    refused(&at.log_in(&ahead), &[USED]);
    at.set(START + DAY + 30);
    granted(&at.log_in(&at.code()));
}

#[test]
fn unlock_ends_the_wait_of_a_device_that_was_used_ahead_of_time() {
    let mut at = At::new();
    let first = at.code();
    granted(&at.log_in(&first));
    at.set(START + DAY);
    granted(&at.log_in(&at.code()));

    at.set(START);
    refused(&at.log_in(&at.code()), &[USED_AHEAD]);
    at.host.setup_by_clock("alice", &["unlock"]).ok();
    // All that could have been used by now stays used: the whole window.
    for step in [-1, 0, 1] {
        refused(&at.log_in(&at.code_in(step)), &[USED]);
    }
    at.set(START + 30);
    refused(&at.log_in(&at.code()), &[USED]);
    refused(&at.log_in(&first), &[USED]);
    granted(&at.log_in(&at.code_in(1)));
    at.set(START + 90);
    granted(&at.log_in(&at.code()));
}

#[test]
fn lockout_waits_neither_end_early_nor_last_for_ever_when_the_clock_moves() {
    let mut at = At::new();
    at.set(START + DAY);
    let wrong = at.device.code_at_step(5);
    for _ in 0..5 {
        refused(&at.log_in(&wrong), &[]);
    }
    refused(&at.log_in(&at.code()), &[]);
    assert_eq!(at.last_reason(), "locked");
    // A day back: the wait is never longer than the longest from now on, and a backup code works.
    at.set(START);
    refused(&at.log_in(&at.code()), &[]);
    assert_eq!(at.last_reason(), "locked");
    assert!(at.host.wait_for_log("reason=locked").contains("not_before=2027-01-15T09:00:00Z"));
    at.a_backup_code_lets_in_once();
    granted(&at.log_in(&at.code()));
}

#[test]
fn the_window_has_exact_edges() {
    // The code of each step around the present, at the first and last second of a step.
    let mut rows = 0;
    for second in [0, 29] {
        for (offset, lets_in) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let mut at = At::new();
            at.set(START + second);
            let report = at.log_in(&at.code_in(offset));
            assert_eq!(report.code() == "PAM_SUCCESS", lets_in, "{offset} steps, second {second}");
            rows += 1;
        }
    }
    println!("{rows} codes at the edges of the window");
}

#[test]
fn the_vectors_of_rfc_6238_let_in_with_all_digests_and_beyond_2038() {
    let seed = "1234567890".repeat(7);
    // Appendix B. The keys are as long as the digest (erratum 2866).
    let times = [59, 1_111_111_109, 1_111_111_111, 1_234_567_890, 2_000_000_000, 20_000_000_000];
    for (algorithm, length, codes) in [
        ("sha1", 20, ["94287082", "07081804", "14050471", "89005924", "69279037", "65353130"]),
        ("sha256", 32, ["46119246", "68084774", "67062674", "91819424", "90698825", "77737706"]),
        ("sha512", 64, ["90693936", "25091201", "99943326", "93441116", "38618901", "47863826"]),
    ] {
        let host = host_at(times[0]);
        let key = base32(&host, &seed[..length]);
        enrol_key(&host, &["totp", "--algorithm", algorithm, "--digits", "8"], &key);
        for (time, code) in times.into_iter().zip(codes) {
            host.set_clock(time);
            granted(&log_in(&host, code));
            refused(&log_in(&host, code), &[USED]);
        }
    }
}

#[test]
fn the_vectors_of_rfc_4226_let_in_once_each() {
    let host = host_at(START);
    let key = base32(&host, "12345678901234567890");
    enrol_key(&host, &["hotp"], &key);
    // Appendix D.
    let codes = [
        "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
        "520489",
    ];
    for code in codes {
        granted(&log_in(&host, code));
        refused(&log_in(&host, code), &[USED]);
    }
}

/// A host with a clock that is set, and alice, who enrolled long before [`START`].
struct At {
    host: Running,
    device: Device,
    backup: Backup,
    now: u64,
}

impl At {
    fn new() -> Self {
        let host = host_at(START - 30 * DAY);
        let alice = host.enrol_by_clock("alice", &["totp"]);
        host.set_clock(START);
        Self { host, device: alice.device, backup: alice.backup, now: START }
    }

    fn set(&mut self, seconds: u64) {
        self.now = seconds;
        self.host.set_clock(seconds);
    }

    /// The code that her app shows.
    fn code(&self) -> String {
        self.code_in(0)
    }

    /// The code that it shows in so many steps.
    fn code_in(&self, steps: i64) -> String {
        self.device.code_at_step((self.now / 30).checked_add_signed(steps).unwrap())
    }

    fn log_in(&self, code: &str) -> Report {
        log_in(&self.host, code)
    }

    fn a_backup_code_lets_in_once(&mut self) {
        let code = self.backup.code();
        granted(&self.log_in(&code));
        refused(&self.log_in(&code), &[USED]);
    }

    fn last_reason(&self) -> String {
        let lines = self.host.logged_by_now("reason=");
        let reason = lines.last().unwrap().split("reason=").nth(1).unwrap();
        reason.split(' ').next().unwrap().to_owned()
    }
}

/// Its own test has this key, of 80 bits as it made them, and this code for step 10000.
#[test]
fn a_key_of_google_authenticator_is_taken_over_and_its_window_is_the_same() {
    for (step, code) in [
        (9998, "PAM_AUTH_ERR"),
        (9999, "PAM_SUCCESS"),
        (10_001, "PAM_SUCCESS"),
        (10_002, "PAM_AUTH_ERR"),
    ] {
        let host = host_at(step * 30);
        enrol_key(&host, &["totp"], "2SH3V3GDW7ZNMGYE");
        assert_eq!(log_in(&host, "050548").code(), code, "{step}");
    }
    let host = host_at(300_000);
    host.write("/root/key", "2SH3V3GDW7ZNMGYE\n");
    let added = host
        .setup_by_clock("alice", &["add", "totp", "--secret-file", "/root/key", "--no-confirm"]);
    assert!(added.stderr.contains("This key has 80 bits, "), "{added:?}");
}

fn host_at(seconds: u64) -> Running {
    let host = Host::new()
        .user("alice", "x")
        .config(REQUIRED)
        .pam("door", &clock::module())
        .clock()
        .start();
    host.set_clock(seconds);
    host
}

fn enrol_key(host: &Running, arguments: &[&str], key: &str) -> Device {
    host.write("/root/key", format!("{key}\n"));
    host.enrol_by_clock("alice", &[arguments, &["--secret-file", "/root/key"]].concat()).device
}

fn base32(host: &Running, key: &str) -> String {
    host.run_with_input(&["base32", "--wrap=0"], key).ok().trim_end_matches('=').to_owned()
}

fn log_in(host: &Running, code: &str) -> Report {
    Attempt::new("door", "alice").answer(code).run(host)
}

#[track_caller]
fn granted(report: &Report) {
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
}

/// Refused, and told exactly this.
#[track_caller]
fn refused(report: &Report, told: &[&str]) {
    assert_eq!((report.code(), &report.told()[..]), ("PAM_AUTH_ERR", told), "{report:?}");
}
