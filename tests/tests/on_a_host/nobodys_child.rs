//! What serves a program that asks PAM is not its child: whatever child that waits for, it finds its own, and
//! no time tells what is done after the answer.

use std::io::Write;
use std::process::{Command, Stdio};

use mfa_tests::cache::program;
use mfa_tests::host::PAM_CLIENT;
use mfa_tests::pam::{self, Attempt, Plan, Reaps, Surroundings, exact};
use mfa_tests::person::{FIRST_CODE_OR_OTHER, PASSWORD, key_in, sheet};
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Running};
use serde_json::{Value, json};

const REAUTH: &str = "/usr/libexec/pam_mfa/mfa-reauth";
const CLIENT: &str = "/usr/local/bin/reauth-client";

/// A mail program that takes as long as a test wants.
const SENDMAIL: &str = "/usr/local/lib/mail/sendmail";
const WAITS: &str = "#!/bin/sh\ncat > /dev/null\nread through < /run/through\n";

fn with_mail(policy: &str) -> Host {
    let email = format!(
        "[email]\nfrom = \"mfa@example.org\"\nsendmail = \"{SENDMAIL}\"\n\
         address = \"{{user}}@example.org\"\n"
    );
    Host::new()
        .user("alice", PASSWORD_OF_ALICE)
        .user("carol", "carpenter")
        .file_with_mode(SENDMAIL, WAITS, 0o755)
        .config(&format!("[policy]\nmode = \"required\"\n{policy}\n{email}"))
}

const PASSWORD_OF_ALICE: &str = "rabbit hole";

/// Mail waits there. Carol is enrolled, so there is a store, and nobody runs who wrote to her.
fn started(host: Host) -> Running {
    let host = host.start();
    host.shell("mkfifo /run/through");
    host.enrol("carol");
    let_mail_through(&host);
    host
}

/// Lets one letter through, and waits until whoever has sent it has ended.
fn let_mail_through(host: &Running) {
    host.shell("timeout 10 sh -c 'echo > /run/through'");
    until("the verifier ended", || !runs(host, "mfa-verifier"));
}

fn runs(host: &Running, name: &str) -> bool {
    host.run(&["pgrep", "-x", name]).code == Some(0)
}

/// What waits for its end or runs as the child of the one program of that name.
fn children_of(host: &Running, name: &str) -> String {
    host.shell(&format!("cat /proc/$(pgrep -x {name})/task/*/children"))
}

#[test]
fn a_host_has_no_child_while_it_asks_nor_while_a_letter_is_on_its_way() {
    let host = started(with_mail("").pam("door", &exact("")));
    let attempt = Attempt::new("door", "alice").answer("").answer("000000").wait_at(1);
    let mut door = pam::start(&host, attempt);
    door.wait_for_prompt();
    assert_eq!(children_of(&host, "pam-client"), "");
    door.go();
    let report = door.finish();
    assert_eq!(report.code(), "PAM_AUTH_ERR");
    assert!(runs(&host, "mfa-verifier"), "the letter is on its way");
    assert!(report.changed.is_empty(), "{:?}", report.changed);
    let_mail_through(&host);
    host.wait_for_log("action=send_code user=\"alice\"");
}

#[test]
fn the_shell_of_login_outlives_the_verifier_that_writes_to_who_has_just_enrolled() {
    let policy = "enrol_at_login = \"anybody\"\nmethods = [\"totp\"]";
    let host = started(with_mail(policy).pam_example("login", "login"));
    let mut login = host.terminal("/bin/login alice");
    login.expect(PASSWORD);
    login.send_line(PASSWORD_OF_ALICE);
    login.expect("Enrol an authenticator app now? [y/N] ");
    login.send_line("y");
    let mut phone = Device::totp(&key_in(&login.expect(FIRST_CODE_OR_OTHER)));
    login.send_line(&phone.code());
    let sheet = sheet(&mut login);
    login.send_line(&sheet[0]);
    login.expect("$ ");
    assert!(runs(&host, "mfa-verifier"), "the letter is on its way");
    let_mail_through(&host);
    login.send_line("echo still $(id -un); exit");
    login.expect("still alice");
    login.end();
}

/// Enrols at the door, whose stack goes on behind a wrong password, as far as a module that hangs where
/// that is judged once more.
#[test]
fn what_judges_a_first_factor_is_nobodys_child_and_ends_with_who_asked() {
    let policy = "[policy]\nmode = \"required\"\nenrol_at_login = \"anybody\"\n";
    let host = Host::new()
        .user("alice", PASSWORD_OF_ALICE)
        .user("carol", "carpenter")
        .config(policy)
        .file_with_mode("/usr/local/bin/hang", "#!/bin/sh\nread x < /run/hanging\n", 0o755)
        .pam("door", &format!("auth required pam_unix.so nodelay\n{}", exact("")))
        .pam(
            "mfa-setup",
            "auth requisite pam_unix.so nodelay\nauth required pam_exec.so /usr/local/bin/hang\n\
             account required pam_permit.so\n",
        )
        .start();
    host.shell("mkfifo /run/hanging");
    host.enrol("carol");
    let plan = Plan {
        attempts: vec![Attempt::new("door", "alice").answer(PASSWORD_OF_ALICE)],
        ..Plan::default()
    };
    let mut door = host.command(&[PAM_CLIENT]);
    let mut door = door.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(door.stdin.as_mut().unwrap(), "{}", serde_json::to_string(&plan).unwrap()).unwrap();
    until("the module hangs", || runs(&host, "hang"));
    assert!(runs(&host, "mfa-reauth"));
    assert_eq!(children_of(&host, "pam-client"), "");
    host.shell("kill -KILL $(pgrep -x pam-client)");
    door.wait().unwrap();
    until("it ended", || !runs(&host, "mfa-reauth"));
    assert!(runs(&host, "hang"), "it did not end by itself");
}

/// `mfa-reauth` or a verifier, started by root's client.
fn client(host: &Running, command: &[&str]) -> Value {
    let plan =
        json!({ "user": "alice", "command": command, "answers": [{ "text": PASSWORD_OF_ALICE }] });
    let said = host.run_with_input(&[CLIENT], &format!("{plan}\n")).ok();
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

#[test]
fn where_no_process_can_be_made_nobody_is_served() {
    let host = Host::new()
        .user("alice", PASSWORD_OF_ALICE)
        .bind(program("reauth-client"), CLIENT)
        .pam_example("mfa-setup", "mfa-setup")
        .start();
    // The one that traces is a process apart: the program remains the client's child.
    let without = |traced: &[&str]| {
        // Threads are made by clone3.
        let calls = "--inject=fork,vfork,clone:error=EAGAIN";
        client(&host, &[&["/usr/bin/strace", "-D", "-qq", "-o/dev/null", calls], traced].concat())
    };
    assert_eq!(client(&host, &[REAUTH, "--leave"])["done"], "alice");
    let report = without(&[REAUTH, "--leave"]);
    assert_eq!((&report["done"], &report["failed"][0]), (&Value::Null, &json!("Unusable")));
    assert!(report["failed"][1].as_str().unwrap().contains("no process can be made"), "{report}");
    // It does so before it reads anything.
    let report = without(&[VERIFIER]);
    assert_eq!((&report["exit"], &report["asked"]), (&json!(3), &json!([])), "{report}");
    host.wait_for_log("request=unserved error=\"no process can be made: ");
    assert_eq!(client(&host, &[VERIFIER])["exit"], 0);
}

/// A login in an application of that kind.
#[track_caller]
fn assert_let_in(token: &mut Device, command: &Command, wanted: Surroundings) {
    let attempts = vec![Attempt::new("door", "alice").answer(token.code())];
    let plan = Plan { attempts, surroundings: wanted, ..Plan::default() };
    let report = pam::run_command(command, &plan).remove(0);
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
}

#[test]
fn a_host_that_adopts_orphans_or_whose_children_are_in_a_namespace_of_their_own_is_served() {
    let host = Host::new()
        .user("alice", PASSWORD_OF_ALICE)
        .config("[policy]\nmode = \"required\"\n")
        .pam("door", &exact(""))
        .start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let adopts = Surroundings { reaps: Reaps::Orphans, ..Surroundings::default() };
    assert_let_in(&mut token, &host.command(&[PAM_CLIENT]), adopts);
    // There, what is started first is process 1, with which all others end.
    let apart = host.command(&["unshare", "--pid", PAM_CLIENT]);
    assert_let_in(&mut token, &apart, Surroundings::default());
    // And here the host is, to which whatever left it would come back without its knowing.
    let first = host.command(&["unshare", "--pid", "--fork", PAM_CLIENT]);
    assert_let_in(&mut token, &first, Surroundings::default());
}
