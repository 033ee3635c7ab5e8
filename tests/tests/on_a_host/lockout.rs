//! Wrong codes are counted, whoever gives them and however: per source, per user, never per
//! connection or process. Outsiders do not lock the owner out, and who is locked waits for nothing.

use std::time::{Duration, Instant};

use mfa_tests::clock;
use mfa_tests::pam::{self, Answer, Attempt, Call, Plan, Report};
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n[backup_codes]\ncount = 2\nlow = 0\n";
const STACK: &str = "auth required pam_mfa.so\n";
const CODE: &str = "Verification code: ";
/// What a line in the log of a decision begins with, which is written when all is saved.
const DECIDED: &str = "pam_mfa: outcome=";

/// Some time of the fake clock, at the beginning of a time step.
const START: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

/// A login that takes longer has waited for something. The shortest of lockout's waits is 30 s.
const PROMPT: Duration = Duration::from_secs(5);

fn host() -> Running {
    Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("door", STACK).start()
}

/// A host with a clock that is set; alice has a device since [`START`].
struct Slow {
    host: Running,
    device: Device,
    backup: Vec<String>,
    now: u64,
    compared: usize,
}

impl Slow {
    fn new() -> Self {
        let host =
            Host::new().user("alice", "x").config(REQUIRED).pam("door", &clock::module()).clock();
        let host = host.start();
        host.set_clock(START);
        let alice = host.enrol_by_clock("alice", &["totp"]);
        Self { host, device: alice.device, backup: alice.backup.codes, now: START, compared: 0 }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        self.host.set_clock(self.now);
    }

    fn right_code(&self) -> String {
        self.device.code_at_step(self.now / 30)
    }

    /// Gives a wrong code from each of these; how many were compared.
    fn guess_from(&mut self, sources: &[String]) -> usize {
        let wrong = wrong_codes(&self.device, self.now / 30, sources.len());
        let tries = sources.iter().zip(wrong).map(|(from, code)| try_from(from, code));
        let reports = run_all(&self.host, tries.collect());
        assert!(reports.iter().all(|report| report.code() == "PAM_AUTH_ERR"), "{reports:?}");
        let compared = self.host.logged_by_now("reason=wrong_code").len();
        compared - std::mem::replace(&mut self.compared, compared)
    }

    fn log_in_from(&self, from: &str, code: &str) -> Report {
        try_from(from, code).run(&self.host)
    }
}

#[test]
fn who_has_not_the_first_factor_moves_no_counter_in_10_000_tries() {
    const TRIES: usize = 10_000;
    const EACH: usize = 10;
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .start();
    let mut phone = host.enrol("alice").device;
    let files = files(&host);
    let since = Instant::now();
    // Several each: to look at all that a module could change takes longer than a try.
    let mut session = Attempt::new("sshd", "alice").from("198.51.100.7");
    session.answers = vec!["looking glass".into(); EACH];
    session.calls = vec![Call::authenticate(); EACH];
    for report in run_all(&host, vec![session; TRIES / EACH]) {
        assert_eq!(report.returned, ["PAM_AUTH_ERR"; EACH]);
        assert_eq!(report.asked(), ["Password: "; EACH], "nobody is asked for a code");
    }
    println!("{TRIES} tries without the first factor in {:?}", since.elapsed());
    assert_eq!(host.logged_by_now("outcome=denied"), [""; 0]);
    assert_eq!(failures(&host, "alice"), 0);
    assert_eq!(self::files(&host), files);
    let owner = Attempt::new("sshd", "alice").answer("rabbit hole").answer(phone.code());
    assert_eq!(owner.from("198.51.100.7").run(&host).code(), "PAM_SUCCESS");
}

#[test]
fn one_address_is_locked_after_five_and_has_a_hundred_tries_in_all() {
    let mut slow = Slow::new();
    let attacker = vec!["198.51.100.7".to_owned(); 8];
    assert_eq!(slow.guess_from(&attacker), 5);
    let mut rounds = 1;
    let mut compared = 5;
    // 30 s, doubling, up to one hour: then one try each.
    let mut wait = 30;
    while compared < 100 {
        slow.pass(wait - 1);
        assert_eq!(slow.guess_from(&attacker[..1]), 0, "after {compared}, a second early");
        slow.pass(1);
        assert_eq!(slow.guess_from(&attacker[..2]), 1, "after {compared}");
        compared += 1;
        rounds += 1;
        wait = (wait * 2).min(HOUR);
    }
    // No wait ends that.
    slow.pass(HOUR);
    assert_eq!(slow.guess_from(&attacker), 0);
    let locked = slow.host.logged_by_now("reason=too_many_failures");
    assert_eq!(locked.len(), attacker.len());
    println!("{rounds} rounds of one address: {compared} codes were compared");
    assert_eq!(slow.compared, 100);

    // Not even a right code, but a backup code, and then codes again.
    assert_eq!(slow.log_in_from("198.51.100.7", &slow.right_code()).code(), "PAM_AUTH_ERR");
    let backup = slow.backup.remove(0);
    assert_eq!(slow.log_in_from("203.0.113.1", &backup).code(), "PAM_SUCCESS");
    assert_eq!(slow.log_in_from("203.0.113.1", &slow.right_code()).code(), "PAM_SUCCESS");
}

#[test]
fn a_hundred_addresses_have_a_hundred_tries_in_all_and_never_lock_the_owner_who_logs_in_meanwhile()
{
    let mut slow = Slow::new();
    let home = "203.0.113.1";
    let logins = |slow: &Slow| {
        let owner = slow.log_in_from(home, &slow.right_code());
        assert_eq!(owner.code(), "PAM_SUCCESS", "{:?}", slow.host.log().last());
    };
    logins(&slow);
    slow.pass(30);
    let botnet: Vec<String> = (1..=100).map(|n| format!("198.51.100.{n}")).collect();
    let mut compared = slow.guess_from(&botnet);
    assert_eq!(compared, 10, "the budget of the user");
    logins(&slow);
    let mut rounds = 1;
    let mut addresses = botnet.iter().cycle().cloned();
    while compared < 100 {
        slow.pass(HOUR);
        let some: Vec<String> = addresses.by_ref().take(3).collect();
        let more = slow.guess_from(&some);
        assert!(more <= 1, "{more} in round {rounds}");
        compared += more;
        logins(&slow);
        rounds += 1;
        assert!(rounds < 200, "{compared} compared");
    }
    slow.pass(HOUR);
    assert_eq!(slow.guess_from(&botnet), 0);
    println!("{rounds} rounds of 100 addresses: {compared} codes were compared");
    assert_eq!(slow.compared, 100);
    assert_eq!(slow.host.logged_by_now("reason=too_many_failures").len(), botnet.len());
    logins(&slow);

    // On the road, from where nobody knows her: only a backup code.
    slow.pass(30);
    assert_eq!(slow.log_in_from("192.0.2.9", &slow.right_code()).code(), "PAM_AUTH_ERR");
    let backup = slow.backup.remove(0);
    assert_eq!(slow.log_in_from("192.0.2.9", &backup).code(), "PAM_SUCCESS");
}

#[test]
fn failures_at_the_owners_own_address_are_that_addresss_alone() {
    let mut slow = Slow::new();
    let home = "203.0.113.1";
    assert_eq!(slow.log_in_from(home, &slow.right_code()).code(), "PAM_SUCCESS");
    slow.pass(30);
    let room_mate = vec![home.to_owned(); 20];
    assert_eq!(slow.guess_from(&room_mate), 5);
    assert_eq!(slow.log_in_from(home, &slow.right_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(slow.log_in_from("192.0.2.9", &slow.right_code()).code(), "PAM_SUCCESS");
    slow.pass(30);
    assert_eq!(slow.log_in_from(home, &slow.right_code()).code(), "PAM_SUCCESS");
}

#[test]
fn unlock_lets_in_at_once() {
    let mut slow = Slow::new();
    assert_eq!(slow.guess_from(&vec!["198.51.100.7".to_owned(); 8]), 5);
    assert_eq!(slow.log_in_from("198.51.100.7", &slow.right_code()).code(), "PAM_AUTH_ERR");
    let status = slow.host.status_by_clock("alice");
    assert_eq!(status["lockout"]["failures"], 5);
    assert_eq!(status["lockout"]["locked_until"], "2027-01-15T08:00:30Z");
    slow.host.setup_by_clock("alice", &["unlock"]).ok();
    assert_eq!(slow.host.status_by_clock("alice")["lockout"]["failures"], 0);
    assert_eq!(slow.log_in_from("198.51.100.7", &slow.right_code()).code(), "PAM_SUCCESS");
}

#[test]
fn who_is_locked_is_refused_at_once_and_holds_no_slot_of_sshd() {
    const TRIES: usize = 30;
    const SESSIONS: usize = 6;
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("door", STACK)
        .pam_example("sshd", "sshd")
        .sshd("KbdInteractiveAuthentication yes\nMaxStartups 3:100:3\n")
        .start();
    let device = host.enrol("alice").device;
    let wrong = wrong_codes(&device, device.step(), TRIES);
    let tries = wrong.iter().map(|code| try_from("127.0.0.1", code)).collect();
    let reports = run_all(&host, tries);
    assert_eq!(host.logged_by_now("reason=locked").len(), TRIES - 5);
    let took = reports.iter().skip(5).map(|r| Duration::from_micros(r.microseconds[0]));
    let mut took: Vec<_> = took.collect();
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} locked tries: median {median:?}, longest {longest:?}", took.len());
    // A busy machine may be late once, but not with every second one.
    assert!(median < PROMPT / 10 && longest < PROMPT, "{took:?}");

    for code in &wrong[..SESSIONS] {
        let mut ssh = host.ssh("alice").open();
        ssh.answer("Password: ", "rabbit hole").answer(CODE, code);
        let since = Instant::now();
        ssh.end().refused();
        assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());
    }
    println!("{SESSIONS} locked ssh sessions were refused at once");
    assert_eq!(host.logged_by_now("reason=locked").len(), TRIES - 5 + SESSIONS);
    assert_eq!(host.logged_by_now("MaxStartups"), [""; 0]);
}

#[test]
fn many_prompts_in_one_connection_are_counted_for_the_user() {
    const TRIES: usize = 12;
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    let device = host.enrol("alice").device;
    // CVE-2015-5600: one connection asks for the same device over and over.
    let devices = format!("-oKbdInteractiveDevices={}", ["pam"; TRIES].join(","));
    let prompts = format!("-oNumberOfPasswordPrompts={TRIES}");
    let mut ssh = host.ssh("alice").option(&prompts).option(&devices).open();
    let mut asked = 0;
    for code in wrong_codes(&device, device.step(), TRIES) {
        // sshd may end it earlier, by MaxAuthTries.
        if ssh.pty().expect_any(&["Password: ", "denied", "Too many"]).0 != 0 {
            break;
        }
        ssh.pty().send_line("rabbit hole");
        ssh.answer(CODE, &code);
        asked += 1;
    }
    println!("{asked} prompts in one connection");
    assert!(asked > 5, "{asked}");
    drop(ssh);
    assert_eq!(host.logged_by_now("reason=wrong_code").len(), 5);
    assert_eq!(failures(&host, "alice"), 5);
    // A new connection is no new budget.
    let mut ssh = host.ssh("alice").open();
    let code = device.code_at_step(device.step());
    ssh.answer("Password: ", "rabbit hole").answer(CODE, &code).end().refused();
    host.wait_for_log("reason=locked");
}

#[test]
fn many_logins_in_one_process_and_many_devices_of_one_user_share_one_budget() {
    const TRIES: usize = 20;
    let host = host();
    let first = host.enrol("alice").device;
    let mut devices = vec![first];
    for n in 2..=8 {
        devices.push(host.enrol_with("alice", &["totp", "--label", &format!("d{n}")]).device);
    }
    let right: Vec<String> = devices.iter().map(|d| d.code_at_step(d.step())).collect();
    let wrong = wrong_codes(&devices[0], devices[0].step(), TRIES + 8);
    let wrong = wrong.iter().filter(|code| !right.contains(code)).take(TRIES);
    let calls = vec![Call::authenticate(); TRIES];
    let one = wrong.fold(Attempt::new("door", "alice"), Attempt::answer).from("192.0.2.7");
    let report = one.calls(calls).run(&host);
    assert_eq!(report.returned, ["PAM_AUTH_ERR"; TRIES]);
    println!("{TRIES} times pam_authenticate in one process, 8 devices");
    assert_eq!(host.logged_by_now("reason=wrong_code").len(), 5);
    assert_eq!(failures(&host, "alice"), 5);
}

#[test]
fn a_connection_that_is_cut_after_the_answer_leaves_its_attempt_charged() {
    const CUTS: usize = 100;
    let limits = "[lockout]\nper_source = 100\nper_user = 100\ndisable_after = 100\n";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(&format!("{REQUIRED}{limits}"))
        .pam("door", STACK)
        .start();
    let mut device = host.enrol("alice").device;
    // Two addresses from which she got in: each has 100 tries.
    for home in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(try_from(home, device.code()).run(&host).code(), "PAM_SUCCESS");
    }
    let wrong = wrong_codes(&device, device.step(), CUTS);
    let cut = |(number, code): (usize, &String)| {
        // From before the verifier has read the answer until after it has said what it thinks.
        let life = u64::try_from(number % 20).unwrap() * 500;
        let home = format!("203.0.113.{}", 1 + number % 2);
        let dies = Answer::SayAndDie(code.as_str().into(), life);
        Attempt::new("door", "alice").answer(dies).from(home).in_child()
    };
    let since = Instant::now();
    let before = host.logged_by_now(DECIDED).len();
    let reports = run_all(&host, wrong.iter().enumerate().map(cut).collect());
    let died = reports.iter().filter(|report| report.died.is_some()).count();
    wait_for_decisions(&host, before + CUTS);
    let charged = host.logged_by_now("reason=wrong_code").len();
    let unheard = host.logged_by_now("reason=no_answer").len();
    println!(
        "{CUTS} cuts, {died} in time, {charged} charged, {unheard} unheard: {:?}",
        since.elapsed()
    );
    assert!(died > 0 && charged > 0);
    assert_eq!(charged + unheard, CUTS);
    assert_eq!(failures(&host, "alice"), charged);

    // No lock is stuck.
    let since = Instant::now();
    device = host.enrol_with("alice", &["totp", "--label", "new"]).device;
    assert_eq!(try_from("203.0.113.1", device.code()).run(&host).code(), "PAM_SUCCESS");
    assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());
}

#[test]
fn a_right_code_whose_connection_is_cut_is_used_up_if_it_was_heard() {
    const CUTS: u64 = 20;
    let host = host();
    host.enrol("alice");
    let mut heard = 0;
    for number in 0..CUTS {
        let label = format!("n{number}");
        let code = host.enrol_with("alice", &["totp", "--label", &label]).device.code();
        let dies = Answer::SayAndDie(code.as_str().into(), number * 200);
        let before = host.logged_by_now(DECIDED).len();
        Attempt::new("door", "alice").answer(dies).in_child().run(&host);
        let used = wait_for_decisions(&host, before + 1).contains("outcome=granted");
        let again = Attempt::new("door", "alice").answer(&code).run(&host);
        let expected = if used { "PAM_AUTH_ERR" } else { "PAM_SUCCESS" };
        assert_eq!(again.code(), expected, "cut {number}: {again:?}");
        heard += u64::from(used);
        host.run(&["mfa-setup", "remove", &label, "--user", "alice", "--yes"]).ok();
    }
    println!("{CUTS} cuts after a right code, {heard} heard");
    assert!(heard > 0);
}

#[test]
fn a_password_in_place_of_a_code_is_refused_and_never_counted_logged_or_stored() {
    const TRIES: usize = 12;
    // What sshd sends for root without PermitRootLogin and for users that do not exist.
    const JUNK: &str = "\u{8}\n\r\u{7f}INCORRECT";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        // A wrong password goes on to the module, too.
        .pam("loose", "auth optional pam_unix.so nodelay\nauth required pam_mfa.so\n")
        .pam_example("sshd", "sshd")
        .sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitRootLogin no\n")
        .start();
    let mut device = host.enrol("alice").device;
    let before = files(&host);
    for (user, password) in
        [("alice", "rabbit hole"), ("alice", JUNK), ("root", JUNK), ("nobody-at-all", JUNK)]
    {
        let repeats = Attempt::new("loose", user).answer(password).answer(password);
        let repeats = repeats.from("192.0.2.7");
        for report in run_all(&host, vec![repeats; TRIES]) {
            assert_eq!(report.code(), "PAM_AUTH_ERR", "{user}");
            assert_eq!(report.asked(), ["Password: ", CODE], "{user}");
        }
    }
    let lines = host.logged_by_now("outcome=denied");
    assert_eq!(lines.len(), 4 * TRIES);
    assert!(lines.iter().all(|line| line.contains("reason=repeats_password")), "{lines:?}");

    // The same with sshd's own password method, which ends in the module for alice alone.
    for (user, password) in [("alice", "rabbit hole"), ("root", "walrus"), ("carol", "walrus")] {
        let prompts = format!("-oNumberOfPasswordPrompts={}", TRIES / 2);
        let mut ssh = host.ssh(user).methods("password").option(&prompts).open();
        for _ in 0..TRIES / 2 {
            ssh.answer("password: ", password);
        }
        ssh.end().refused();
    }
    println!("{} passwords in place of a code", 4 * TRIES + 3 * TRIES / 2);
    assert_eq!(host.logged_by_now("reason=repeats_password").len(), 4 * TRIES + TRIES / 2);
    assert_eq!(failures(&host, "alice"), 0);
    assert_eq!(files(&host), before);
    for record in host.log() {
        for secret in ["rabbit hole", "walrus", "INCORRECT"] {
            assert!(!record.text.contains(secret), "{}", record.text);
        }
    }
    let owner = Attempt::new("loose", "alice").answer("rabbit hole").answer(device.code());
    assert_eq!(owner.from("192.0.2.7").run(&host).code(), "PAM_SUCCESS");
}

fn try_from(from: &str, code: impl Into<Answer>) -> Attempt {
    Attempt::new("door", "alice").answer(code).from(from)
}

/// One after the other, in one process.
fn run_all(host: &Running, attempts: Vec<Attempt>) -> Vec<Report> {
    pam::run(host, &Plan { attempts, ..Plan::default() })
}

/// Different codes of the right length that are wrong from that step on for a minute.
fn wrong_codes(device: &Device, step: u64, count: usize) -> Vec<String> {
    let near: Vec<String> = (step - 1..step + 4).map(|step| device.code_at_step(step)).collect();
    let all = (0..).map(|n| format!("{:06}", n * 7_919 % 1_000_000));
    all.filter(|code| !near.contains(code)).take(count).collect()
}

fn failures(host: &Running, user: &str) -> usize {
    let status = host.run(&["mfa-setup", "status", "--user", user, "--json"]).json();
    usize::try_from(status["lockout"]["failures"].as_u64().unwrap()).unwrap()
}

/// The store's files, by name.
fn files(host: &Running) -> String {
    host.shell("find /var/lib/pam_mfa | sort")
}

/// Waits until so many logins are decided, also those whose callers have died; the last of them.
fn wait_for_decisions(host: &Running, count: usize) -> String {
    until("all are decided", || host.logged(DECIDED).len() >= count);
    let mut decided = host.logged_by_now(DECIDED);
    assert_eq!(decided.len(), count);
    decided.remove(count - 1)
}
