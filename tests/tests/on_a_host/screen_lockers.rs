//! Applications that ask PAM without being root, as screen lockers do: the module reaches a verifier
//! by the socket for users, and what happens there counts as everywhere else.

use mfa_tests::host::as_user;
use mfa_tests::pam::{self, Attempt, IGNORED, Plan, Report, Surroundings, exact};
use mfa_tests::{Host, Pty, Running, USED};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
const PASSWORD: &str = "alice's Password: ";
const CODE: &str = "Verification code: ";
/// vlock lets root unlock, too, and asks for that once the person's own answers were wrong.
const STILL_LOCKED: &str = "root's Password: ";
const VLOCK: &str = "/usr/sbin/vlock-main";
const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";
const ALICE: u32 = 1000;

/// With `locker`, the service of an application that shows what the module itself returns.
fn host(arguments: &str) -> Running {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(REQUIRED)
        .pam(
            "vlock",
            "auth requisite pam_unix.so nodelay\n\
             auth required pam_mfa.so\n\
             account required pam_unix.so\n",
        )
        .pam("locker", &exact(arguments))
        .pam("login", &exact(""))
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    // Debian's is setuid root, which only some of its plugins need. Other lockers are not.
    host.set_mode(VLOCK, 0o755);
    host
}

/// Locks the screen of alice's terminal with vlock(1).
fn lock(host: &Running) -> Pty {
    let mut screen = host.pty(&as_user("alice", &["env", "USER=alice", VLOCK]));
    // It asks when somebody comes back.
    send_line(host, &mut screen, "");
    screen
}

fn answer(host: &Running, screen: &mut Pty, code: &str) {
    screen.expect(PASSWORD);
    send_line(host, screen, "rabbit hole");
    screen.expect(CODE);
    send_line(host, screen, code);
}

/// vlock throws away what was typed before it began to read.
fn send_line(host: &Running, screen: &mut Pty, text: &str) {
    let reads = "pid=$(pgrep -x vlock-main) && grep -q '^State:.S' /proc/$pid/status";
    host.shell(&format!("until {reads}; do :; done"));
    screen.send_line(text);
}

#[track_caller]
fn opens(mut screen: Pty) {
    assert_eq!(screen.end().0, Some(0), "{}", screen.text());
}

/// Lets an application of alice's ask whether `whose` screen may be unlocked.
fn ask(host: &Running, whose: &str, answer: &str) -> Report {
    let plan = Plan {
        surroundings: Surroundings { uid: Some(ALICE), ..Surroundings::default() },
        attempts: vec![Attempt::new("locker", whose).answer(answer)],
        ..Plan::default()
    };
    pam::run(host, &plan).remove(0)
}

fn failures(host: &Running) -> u64 {
    let status = host.run_as("alice", &["mfa-setup", "status", "--json"]).json();
    status["lockout"]["failures"].as_u64().unwrap()
}

#[test]
fn a_locked_screen_opens_with_the_password_and_a_code_that_is_then_used_everywhere() {
    let host = host("");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let code = token.code();
    let mut screen = lock(&host);
    answer(&host, &mut screen, &code);
    opens(screen);
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("user=\"alice\" uid=1000 service=unprivileged rhost=- tty=-"), "{line}");

    let mut ssh = host.ssh("alice").open();
    ssh.answer("Password: ", "rabbit hole").answer(CODE, &code);
    assert!(ssh.end().refused().contains(USED));
    let code = token.code();
    let mut ssh = host.ssh("alice").open();
    ssh.answer("Password: ", "rabbit hole").answer(CODE, &code);
    ssh.end().let_in("alice");
    let mut screen = lock(&host);
    answer(&host, &mut screen, &code);
    assert!(screen.expect(STILL_LOCKED).contains("Authentication failure"));
    assert!(screen.text().contains(USED), "{}", screen.text());
    assert_eq!(failures(&host), 0);
}

#[test]
fn failures_at_a_locked_screen_count_for_everything_else_on_this_host() {
    let host = host("");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let mut screen = lock(&host);
    answer(&host, &mut screen, &token.wrong_code());
    screen.expect(STILL_LOCKED);
    assert_eq!(failures(&host), 1);
    for number in 2..=4 {
        assert_eq!(ask(&host, "alice", &token.wrong_code()).code(), "PAM_AUTH_ERR");
        assert_eq!(failures(&host), number);
    }
    // The fifth is root's to count, and it is the same budget: [lockout] per_source = 5.
    let by_root = |code: &str| Attempt::new("login", "alice").answer(code).run(&host);
    assert_eq!(by_root(&token.wrong_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(failures(&host), 5);
    let code = token.code();
    assert_eq!(by_root(&code).code(), "PAM_AUTH_ERR");
    assert_eq!(ask(&host, "alice", &code).code(), "PAM_AUTH_ERR");
    assert_eq!(host.logged_by_now("outcome=locked user=\"alice\"").len(), 2);
    // It is this host that waits.
    let remote = Attempt::new("login", "alice").from("192.0.2.7").answer(&code).run(&host);
    assert_eq!(remote.code(), "PAM_SUCCESS", "{remote:?}");
    host.run(&["mfa-setup", "unlock", "--user", "alice"]).ok();
    assert_eq!(ask(&host, "alice", &token.code()).code(), "PAM_SUCCESS");
}

#[test]
fn a_locker_asks_about_nobody_but_the_one_who_runs_it() {
    let host = host("");
    let mut of_bob = host.enrol_with("bob", &["hotp"]).device;
    host.enrol_with("alice", &["hotp"]);
    host.enrol_with("root", &["hotp"]);
    let _listener = host.listen_for_users();
    for whose in ["bob", "root", "nobody-at-all"] {
        let report = ask(&host, whose, &of_bob.code());
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{whose}: {report:?}");
        assert!(report.asked().is_empty() && report.told().is_empty(), "{whose}: {report:?}");
    }
    let refused = host.logged_by_now("by_uid=1000 reason=\"another user's record was asked for\"");
    assert_eq!(refused.len(), 3, "{refused:?}");
    // As vlock does after the person's own answers were wrong.
    let mut screen = lock(&host);
    answer(&host, &mut screen, "000000");
    screen.expect(STILL_LOCKED);
    send_line(&host, &mut screen, "whatever");
    // unix_chkpwd(8) does not ask for others either.
    screen.expect("cannot retrieve authentication info");
    assert!(host.logged_by_now("service=vlock").is_empty());
    let status = host.run(&["mfa-setup", "status", "--user", "root", "--json"]).json();
    assert_eq!(status["lockout"]["failures"], 0, "{status}");
}

#[test]
fn nullok_holds_for_who_has_not_enrolled_and_for_nobody_else() {
    let host = host("nullok");
    let _listener = host.listen_for_users();
    assert_eq!(ask(&host, "alice", "123456").code(), IGNORED);
    // Another locker, without it.
    let mut screen = lock(&host);
    answer(&host, &mut screen, "123456");
    screen.expect(STILL_LOCKED);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    assert_eq!(ask(&host, "alice", &token.wrong_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(ask(&host, "alice", &token.code()).code(), "PAM_SUCCESS");
}

#[test]
fn without_a_listener_a_locker_is_refused_and_the_log_says_what_is_missing() {
    let host = host("");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let code = token.code();
    let report = ask(&host, "alice", &code);
    assert_eq!(report.code(), UNAVAILABLE);
    assert!(report.asked().is_empty(), "{report:?}");
    let line = host.wait_for_log("/run/pam_mfa/user.sock");
    for said in ["cannot be reached", "hint: ", "mfa-verifier-users.service", "--listen-users"] {
        assert!(line.contains(said), "{said} is not in {line}");
    }
    // A locker that is setuid root needs none, and one that is not gets it when somebody listens.
    host.set_mode(VLOCK, 0o4755);
    let mut screen = lock(&host);
    answer(&host, &mut screen, &code);
    opens(screen);
    host.wait_for_log("outcome=granted user=\"alice\" uid=1000 service=vlock");
    let _listener = host.listen_for_users();
    assert_eq!(ask(&host, "alice", &token.code()).code(), "PAM_SUCCESS");
}
