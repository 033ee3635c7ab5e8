//! Services that are started anew, upgraded or killed while people log in and enrol.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};

use mfa_protocol::OLDEST_VERSION;
use mfa_tests::pam::{self, Application, Attempt, exact};
use mfa_tests::person::{self, LABEL};
use mfa_tests::root_face::End;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Person, Pty, Running};

const SERVICE: &str = "mfa-verifier.service";
const USERS_SERVICE: &str = "mfa-verifier-users.service";

/// systemd's own limit, where a unit does not say otherwise: five starts in ten seconds.
const LIMIT: u32 = 5;

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config("[policy]\nmode = \"required\"\n")
        .pam("exact", &exact(""))
        .pam_example("mfa-setup", "mfa-setup")
        .booted()
        .start()
}

fn property(host: &Running, unit: &str, name: &str) -> String {
    let shown = host.run(&["systemctl", "show", "--value", &format!("--property={name}"), unit]);
    shown.ok().trim().to_owned()
}

/// Alice and bob with tokens, and the service running.
fn with_tokens() -> (Running, [Device; 2]) {
    let host = host();
    let tokens = ["alice", "bob"].map(|user| host.enrol_with(user, &["hotp"]).device);
    assert_eq!(property(&host, SERVICE, "ActiveState"), "active");
    (host, tokens)
}

/// A login that is asked for its code.
fn at_prompt(host: &Running, user: &str, code: &str) -> Application {
    let attempt = Attempt::new("exact", user).after_a_key().answer(code).wait_at(0);
    let mut login = pam::start(host, attempt);
    login.wait_for_prompt();
    login
}

#[track_caller]
fn log_in(host: &Running, user: &str, code: &str) {
    let report = Attempt::new("exact", user).after_a_key().answer(code).run(host);
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
}

/// Answers what is left of an enrolment from the name of the device on.
#[track_caller]
fn finish_enrolment(tty: &mut Pty) -> Device {
    tty.send_line("");
    let mut app = person::app(tty);
    tty.send_line(&app.code());
    let sheet = person::sheet(tty);
    tty.send_line(&sheet[0]);
    assert_eq!(person::exit(tty), 0, "{}", tty.text());
    app
}

/// `systemctl`, which waits for what it has systemd do.
fn systemctl(host: &Running, verb: &str, unit: &str) -> Child {
    host.command(&["systemctl", verb, unit]).stdin(Stdio::null()).spawn().unwrap()
}

/// The new version is put in the old one's place as dpkg does it, under another name and renamed. The file
/// is another one; what follows the end of a program is of no account.
fn upgrade(host: &Running, program: &str) {
    host.shell(&format!(
        "cp -p {program} {program}.new; echo >> {program}.new; mv {program}.new {program}"
    ));
}

/// Whether the service's process runs the file that has the verifier's name.
fn runs_what_is_installed(host: &Running) -> bool {
    let running = host.path(format!("/proc/{}/exe", property(host, SERVICE, "MainPID")));
    running.metadata().unwrap().ino() == host.path(VERIFIER).metadata().unwrap().ino()
}

#[test]
fn a_login_at_its_prompt_is_served_to_the_end_by_a_service_that_is_started_anew() {
    let (host, [mut alice, mut bob]) = with_tokens();
    // A package's script may do it to either.
    for unit in [SERVICE, "mfa-verifier.socket"] {
        let pid = property(&host, SERVICE, "MainPID");
        let mut login = at_prompt(&host, "alice", &alice.code());
        let mut restart = systemctl(&host, "restart", unit);
        until("it is to end", || property(&host, SERVICE, "ActiveState") == "deactivating");
        // Nobody accepts connections now.
        log_in(&host, "bob", &bob.code());
        assert_eq!(property(&host, SERVICE, "MainPID"), pid, "it waits for alice");
        login.go();
        assert_eq!(login.finish().code(), "PAM_SUCCESS");
        assert!(restart.wait().unwrap().success());
        let door = host.door();
        assert_eq!(door.enter("alice", "192.0.2.7", &alice.code()), Some(End::Granted));
        assert_eq!(door.enter("bob", "192.0.2.7", &bob.code()), Some(End::Granted));
        assert_ne!(property(&host, SERVICE, "MainPID"), pid);
    }
}

#[test]
fn an_upgrade_under_a_login_and_an_enrolment_holds_from_the_restart_on_and_refuses_nobody() {
    let host = host();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let mut login = at_prompt(&host, "alice", &alice.code());
    let person = Person::new(&host, "bob", "builder");
    let mut enrolling = person.setup_with_password(&[]);
    enrolling.expect(LABEL);
    for program in ["mfa-verifier", "mfa-reauth", "mfa-mail"] {
        upgrade(&host, &format!("/usr/libexec/pam_mfa/{program}"));
    }
    assert!(!runs_what_is_installed(&host));
    let mut restart = systemctl(&host, "try-restart", SERVICE);
    login.go();
    assert_eq!(login.finish().code(), "PAM_SUCCESS");
    assert!(restart.wait().unwrap().success());
    assert!(runs_what_is_installed(&host));
    assert_eq!(host.door().enter("alice", "192.0.2.7", &alice.code()), Some(End::Granted));

    let mut app = finish_enrolment(&mut enrolling);
    log_in(&host, "bob", &app.code());
}

#[test]
fn a_face_that_has_the_module_of_the_version_before_is_served() {
    let (host, [mut alice, mut bob]) = with_tokens();
    let by_the_old_one = |user: &str, code: &str| {
        let face = host.door().connect().expect("a greeting");
        face.log_in_by(OLDEST_VERSION, user, "192.0.2.7").expect("a prompt").answer(code).end()
    };
    let code = alice.code();
    assert_eq!(by_the_old_one("alice", &code), End::Granted);
    assert_eq!(by_the_old_one("alice", &code), End::Used);
    let older = host.door().connect().expect("a greeting");
    assert!(older.log_in_by(OLDEST_VERSION - 1, "bob", "192.0.2.7").is_none());
    assert_eq!(by_the_old_one("bob", &bob.code()), End::Granted);
}

#[test]
fn a_person_who_enrols_goes_on_whatever_becomes_of_what_listens_for_users() {
    let host = host();
    // The second takes the first one's place.
    for (user, password, unit) in
        [("alice", "rabbit hole", "mfa-verifier-user.socket"), ("bob", "builder", USERS_SERVICE)]
    {
        let person = Person::new(&host, user, password);
        host.run(&["systemctl", "start", unit]).ok();
        until("it listens", || person.run(&["mfa-setup", "status"]).code == Some(0));
        let mut enrolling = person.setup_with_password(&[]);
        enrolling.expect(LABEL);
        host.run(&["systemctl", "restart", unit]).ok();
        until("it listens again", || person.run(&["mfa-setup", "status"]).code == Some(0));
        let mut app = finish_enrolment(&mut enrolling);
        log_in(&host, user, &app.code());
    }
}

#[test]
fn what_listens_for_users_comes_back_however_often_it_is_killed() {
    let host = host();
    host.run(&["systemctl", "start", USERS_SERVICE]).ok();
    for _ in 0..=LIMIT {
        let pid = property(&host, USERS_SERVICE, "MainPID");
        host.run(&["systemctl", "kill", "--signal=SIGKILL", USERS_SERVICE]).ok();
        until("it runs again", || {
            let now = property(&host, USERS_SERVICE, "MainPID");
            now != "0" && now != pid
        });
    }
    until("it listens", || host.run_as("alice", &["mfa-setup", "status"]).code == Some(0));
    assert_eq!(host.logged_by_now("start-limit-hit"), [""; 0]);
}
