//! What `mfa-reauth`, as `make install` lays it out, makes of what real PAM modules say.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::cache::program;
use mfa_tests::host::as_user;
use mfa_tests::{Host, Output, Running};
use serde_json::{Value, json};

const CLIENT: &str = "/usr/local/bin/reauth-client";
const REAUTH: &str = "/usr/libexec/pam_mfa/mfa-reauth";
const PASSWORD: &str = "rabbit hole";

/// Alice has a password, and the service is the one that is installed.
fn alice() -> Host {
    host().pam_example("mfa-setup", "mfa-setup")
}

fn host() -> Host {
    Host::new().bind(program("reauth-client"), CLIENT).user("alice", PASSWORD)
}

/// `mfa-reauth` for alice, who gives these answers.
fn answers(texts: &[&str]) -> Value {
    let answers: Vec<_> = texts.iter().map(|text| json!({ "text": text })).collect();
    json!({ "user": "alice", "answers": answers })
}

/// The report of the client.
#[track_caller]
fn run(host: &Running, plan: &Value) -> Value {
    report(host.run_with_input(&[CLIENT], &format!("{plan}\n")))
}

#[track_caller]
fn report(output: Output) -> Value {
    let said = output.ok();
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[track_caller]
fn assert_done(report: &Value) {
    assert_eq!(report["done"], "alice", "{report}");
    assert_eq!(report["failed"], Value::Null, "{report}");
    assert_eq!(report["exit"], 0, "{report}");
}

/// It failed, in this way and with these words in error or hint.
#[track_caller]
fn assert_failed(report: &Value, kind: &str, words: &str) {
    assert_eq!(report["done"], Value::Null, "{report}");
    assert_eq!(report["failed"][0], kind, "{report}");
    let said = format!("{} {}", report["failed"][1], report["failed"][2]);
    assert!(said.contains(words), "{words:?} is not in {report}");
}

/// A client that runs, and what it started.
struct Started {
    client: Child,
    said: BufReader<std::process::ChildStdout>,
    /// `/proc/PID` of `mfa-reauth`.
    process: PathBuf,
}

impl Started {
    fn new(host: &Running, plan: &Value) -> Self {
        let mut command = host.command(&[CLIENT]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(client.stdin.as_mut().unwrap(), "{plan}").unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap());
        let mut pid = String::new();
        said.read_line(&mut pid).unwrap();
        let pid = pid.trim().strip_prefix("pid ").expect("a pid");
        let process = host.path(format!("/proc/{pid}"));
        Self { client, said, process }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Kills the client, not the `nsenter` before it.
    fn kill_client(&mut self, host: &Running) {
        let status = fs::read_to_string(self.process.join("status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        host.shell(&format!("kill -KILL {parent}"));
        self.client.wait().unwrap();
    }

    #[track_caller]
    fn wait_for_the_end(&self) {
        wait_until("mfa-reauth ended", || !self.process.join("status").exists());
    }
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_right_password_proves_and_a_wrong_one_does_not() {
    let host = alice().start();
    let right = run(&host, &answers(&[PASSWORD]));
    assert_done(&right);
    assert_eq!(right["asked"], json!([["hidden", "Password: "]]));
    for wrong in ["white rabbit", "", " rabbit hole", "x"] {
        let wrong = run(&host, &answers(&[wrong]));
        assert_failed(&wrong, "Refused", "mfa-setup invite alice");
    }
    let unknown = run(&host, &json!({ "user": "nobody-here", "answers": [{ "text": PASSWORD }] }));
    assert_failed(&unknown, "Refused", "mfa-setup invite nobody-here");
    for name in ["", "alice\0"] {
        let nobody = run(&host, &json!({ "user": name, "answers": [{ "text": PASSWORD }] }));
        assert_failed(&nobody, "Unusable", "");
        assert_eq!(nobody["asked"], json!([]), "{name:?}");
    }
    // pam_unix says who failed, and who asked.
    let failed = host.logged_by_now("authentication failure");
    assert!(failed.iter().any(|line| line.contains("ruser=alice")), "{failed:?}");
}

#[test]
fn an_answer_that_a_module_would_get_in_pieces_does_not_reach_it() {
    let host = alice().start();
    for unfit in [format!("{PASSWORD}\0x"), "x".repeat(512)] {
        assert_failed(&run(&host, &answers(&[&unfit])), "Refused", "too long");
    }
    assert!(host.logged_by_now("authentication failure").is_empty(), "pam_unix judged nothing");
}

#[test]
fn an_account_that_may_not_be_used_is_refused_whatever_its_password() {
    let strict = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n";
    for (change, words, strict_words) in [
        ("usermod -L alice", "mfa-setup invite alice", "mfa-setup invite alice"),
        ("chage -E 0 alice", "ask the administrator", "the account has expired"),
        ("chage -d 0 alice", "passwd", "passwd"),
        ("chage -d 1 -M 1 -I 1 alice", "ask the administrator", "the password has expired"),
    ] {
        let host = alice().start();
        host.shell(change);
        let report = run(&host, &answers(&[PASSWORD]));
        assert_failed(&report, "Refused", words);
        host.write("/etc/pam.d/mfa-setup", strict);
        assert_failed(&run(&host, &answers(&[PASSWORD])), "Refused", strict_words);
        // The account is asked about also where the first factor is not.
        let without = json!({ "user": "alice", "first_factor": false });
        let report = run(&host, &without);
        if change.starts_with("chage") {
            assert_failed(&report, "Refused", strict_words);
        } else {
            assert_done(&report);
        }
        assert_eq!(report["asked"], json!([]), "{report}");
    }
}

#[test]
fn at_a_login_a_password_that_must_be_changed_proves_its_owner_and_an_old_one_does_not() {
    let at_login = |typed: &str| {
        let answers = json!([{ "text": typed }]);
        json!({ "user": "alice", "answers": answers, "at_login": true })
    };
    let host = alice().start();
    host.shell("chage -d 0 alice");
    assert_done(&run(&host, &at_login(PASSWORD)));
    assert_failed(&run(&host, &at_login("white rabbit")), "Refused", "mfa-setup invite alice");
    for change in ["chage -d 1 -M 1 -I 1 alice", "chage -E 0 alice"] {
        host.shell(change);
        assert_failed(&run(&host, &at_login(PASSWORD)), "Refused", "ask the administrator");
    }
}

#[test]
fn an_account_without_a_password_proves_nothing_by_one_and_may_still_be_used() {
    let host = alice().start();
    // Key-only, as useradd leaves it.
    host.shell("usermod -p '*' alice");
    assert_failed(&run(&host, &answers(&[PASSWORD])), "Refused", "mfa-setup invite alice");
    let without = run(&host, &json!({ "user": "alice", "first_factor": false }));
    assert_done(&without);
    assert_eq!(without["asked"], json!([]));
}

#[test]
fn an_empty_password_proves_nobody_even_where_others_accept_it() {
    // pam_example's common-auth says nullok, as Debian's does.
    let host = alice().start();
    host.shell("passwd -q -d alice");
    for typed in ["", PASSWORD] {
        assert_failed(&run(&host, &answers(&[typed])), "Refused", "mfa-setup invite alice");
    }
    // It is the flag that does it: others get in.
    let others = mfa_tests::pam::Attempt::new("mfa-setup", "alice").answer("").run(&host);
    assert_eq!(others.code(), "PAM_SUCCESS");
}

#[test]
fn all_questions_and_texts_of_a_stack_reach_the_person_in_their_kind() {
    let host = host()
        .file("/etc/welcome", "Welcome, %u.\n")
        .pam(
            "mfa-setup",
            "auth optional pam_echo.so file=/etc/welcome\n\
             auth requisite pam_unix.so nodelay\n\
             auth optional pam_google_authenticator.so user=root secret=/nowhere echo_verification_code\n\
             account required pam_unix.so\n",
        )
        .start();
    let report = run(&host, &answers(&[PASSWORD, "123456"]));
    assert_done(&report);
    assert_eq!(
        report["asked"],
        json!([["hidden", "Password: "], ["visible", "Verification code: "]])
    );
    assert_eq!(report["told"][0][0], "info", "{report}");
    assert!(report["told"][0][1].as_str().unwrap().contains("Welcome, alice."), "{report}");
}

#[test]
fn who_gives_up_at_any_question_is_interrupted_and_asked_nothing_more() {
    // A stack that goes on without an answer, and ends well.
    let host = host()
        .pam(
            "mfa-setup",
            "auth optional pam_unix.so nodelay\n\
             auth optional pam_google_authenticator.so user=root secret=/nowhere\n\
             auth required pam_permit.so\n\
             account required pam_permit.so\n",
        )
        .start();
    assert_done(&run(&host, &answers(&["wrong", "123456"])));
    for given in [&[][..], &["wrong"]] {
        let report = run(&host, &answers(given));
        assert_failed(&report, "Interrupted", "nothing was changed");
        assert_eq!(report["asked"].as_array().unwrap().len(), given.len() + 1, "{report}");
    }
}

#[test]
fn a_module_that_lets_somebody_else_in_proves_nobody() {
    let stack = |guests: &str| {
        format!("auth required pam_ftp.so ignore users={guests}\naccount required pam_permit.so\n")
    };
    let host = host().user("bob", PASSWORD).pam("mfa-setup", &stack("alice")).start();
    // By pam_ftp(8) the user becomes the first of these.
    assert_done(&run(&host, &answers(&["x"])));
    host.write("/etc/pam.d/mfa-setup", stack("bob,alice"));
    assert_failed(&run(&host, &answers(&["x"])), "Refused", "another user");
}

#[test]
fn without_a_service_of_its_own_nothing_is_proven_though_others_permit_everything() {
    let host = host()
        .pam("other", "auth required pam_permit.so\naccount required pam_permit.so\n")
        .pam("only-account", "account required pam_permit.so\n")
        .start();
    let path = "/etc/pam.d/mfa-setup";
    host.shell("mv /etc/pam.d/mfa-setup /root/");
    for (stack, words) in [
        (None, "/etc/pam.d/mfa-setup"),
        (Some(""), "no line of type auth"),
        (Some("# auth required pam_unix.so\n"), "no line of type auth"),
        (Some("account required pam_permit.so\n"), "no line of type auth"),
        (Some("auth required pam_permit.so\n"), "no line of type account"),
        (Some("@include nowhere\n"), "no line of type auth"),
        (Some("@include mfa-setup\n"), "no line of type auth"),
        // In a file without lines of the type libpam finds none either, and takes those of "other".
        (
            Some("auth include only-account\naccount required pam_permit.so\n"),
            "no line of type auth",
        ),
        (
            Some("auth required pam_nowhere.so\naccount required pam_permit.so\n"),
            "/etc/pam.d/mfa-setup",
        ),
    ] {
        if let Some(stack) = stack {
            host.write(path, stack);
        }
        for first_factor in [true, false] {
            let plan = json!({ "user": "alice", "first_factor": first_factor });
            let report = run(&host, &plan);
            // A module that is missing from auth is none of account's.
            if !first_factor && stack.is_some_and(|stack| stack.contains("pam_nowhere")) {
                continue;
            }
            assert_failed(&report, "Unusable", words);
            assert_eq!(report["asked"], json!([]), "{stack:?}");
        }
    }
    host.shell(&format!("cp /root/mfa-setup {path}; chmod 666 {path}"));
    assert_failed(&run(&host, &answers(&[PASSWORD])), "Unusable", "written by others than root");
    // A distribution may have the file elsewhere.
    host.shell(&format!("rm {path}; mkdir -p /usr/lib/pam.d; mv /root/mfa-setup /usr/lib/pam.d/"));
    assert_done(&run(&host, &answers(&[PASSWORD])));
}

/// A stack whose first module never comes back, and says so in `/run/hanging`.
fn hanging() -> Running {
    let host = host()
        .file_with_mode(
            "/usr/local/bin/hang",
            "#!/bin/sh\necho hanging > /run/hanging\nexec sleep 600\n",
            0o755,
        )
        .pam(
            "mfa-setup",
            "auth required pam_exec.so /usr/local/bin/hang\naccount required pam_permit.so\n",
        );
    host.start()
}

#[test]
fn a_module_that_hangs_ends_with_whoever_waited_no_longer() {
    let host = hanging();
    let plan = json!({ "user": "alice", "bound": { "secs": 1, "nanos": 0 } });
    let mut started = Started::new(&host, &plan);
    let report: Value = serde_json::from_str(&started.line()).unwrap();
    assert!(report["broke"].as_str().unwrap().contains("in time"), "{report}");
    started.wait_for_the_end();
    assert!(started.client.wait().unwrap().success());
}

#[test]
fn a_module_that_hangs_does_not_outlive_a_verifier_that_is_killed() {
    let host = hanging();
    let mut started = Started::new(&host, &json!({ "user": "alice" }));
    wait_until("the module hangs", || host.path("/run/hanging").exists());
    started.kill_client(&host);
    started.wait_for_the_end();
}

#[test]
fn one_that_has_left_ends_as_soon_as_who_started_it_hangs_up() {
    let host = hanging();
    let command = [REAUTH, "--leave"];
    let bound = json!({ "secs": 1, "nanos": 0 });
    let plan = json!({ "user": "alice", "command": command, "bound": bound });
    let mut started = Started::new(&host, &plan);
    wait_until("the module hangs", || host.path("/run/hanging").exists());
    let runs = || host.run(&["pgrep", "-x", "mfa-reauth"]).code == Some(0);
    assert!(runs());
    let report: Value = serde_json::from_str(&started.line()).unwrap();
    assert!(report["broke"].as_str().unwrap().contains("in time"), "{report}");
    wait_until("mfa-reauth ended", || !runs());
    assert!(started.client.wait().unwrap().success());
}

#[test]
fn at_a_question_it_ends_with_the_connection_and_with_the_verifier() {
    let host = alice().start();
    let report = run(&host, &json!({ "user": "alice", "answers": ["hang_up"] }));
    assert_eq!((&report["exit"], &report["done"]), (&json!(1), &Value::Null), "{report}");
    let mut started =
        Started::new(&host, &json!({ "user": "alice", "answers": [{ "wait": PASSWORD }] }));
    assert_eq!(started.line(), "at the prompt");
    started.kill_client(&host);
    started.wait_for_the_end();
}

#[test]
fn it_belongs_to_itself_and_shows_no_secret() {
    let host = host()
        .pam(
            "mfa-setup",
            "auth requisite pam_unix.so nodelay debug audit\n\
             auth optional pam_google_authenticator.so user=root secret=/nowhere debug\n\
             account required pam_unix.so\n",
        )
        .start();
    let plan =
        json!({ "user": "alice", "answers": [{ "text": PASSWORD }, { "wait": "loose lips" }] });
    let mut started = Started::new(&host, &plan);
    assert_eq!(started.line(), "at the prompt");
    let read = |name: &str| fs::read(started.process.join(name)).unwrap();
    assert_eq!(read("cmdline"), format!("{REAUTH}\0").into_bytes());
    assert_eq!(String::from_utf8(read("environ")).unwrap(), "");
    assert_eq!(read("comm"), b"mfa-reauth\n");
    let limits = String::from_utf8(read("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let status = String::from_utf8(read("status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(field("NSsid:"), field("NSpid:"), "a session of its own");
    assert_eq!(field("Umask:"), "0077");
    // What modules start does not inherit the connection: 0 is not it.
    let target = |fd: u32| fs::read_link(started.process.join(format!("fd/{fd}"))).unwrap();
    for fd in 0..3 {
        assert_eq!(target(fd), PathBuf::from("/dev/null"), "{fd}");
    }
    writeln!(started.client.stdin.as_mut().unwrap(), "go").unwrap();
    let report: Value = serde_json::from_str(&started.line()).unwrap();
    assert_done(&report);
    started.client.wait().unwrap();
    run(&host, &answers(&["mad hatter"]));
    assert!(!host.logged_by_now("pam_unix").is_empty());
    for record in host.log() {
        for secret in [PASSWORD, "loose lips", "mad hatter"] {
            assert!(!record.text.contains(secret), "{record:?}");
        }
    }
}

#[test]
fn it_answers_nobody_but_root_s_process_that_started_it() {
    let host = alice().start();
    for reauth in [&[REAUTH][..], &[REAUTH, "--leave"]] {
        let plan = |command: &[&str]| json!({ "user": "alice", "command": command, "answers": [{ "text": PASSWORD }] });
        assert_eq!(run(&host, &plan(reauth))["done"], "alice");
        // By somebody in between.
        let command = [&["/usr/bin/setsid", "--fork", "--wait"], reauth].concat();
        let report_between = run(&host, &plan(&command));
        assert_failed(&report_between, "NotPermitted", "only the program of root that started it");
        assert_eq!(report_between["asked"], json!([]));
        // By a user.
        let client = as_user("alice", &[CLIENT]);
        let output = host.run_with_input(&client, &format!("{}\n", plan(reauth)));
        assert_failed(&report(output), "NotPermitted", "only the program of root that started it");
    }
    // With something that it has no use for.
    let unfit: [&[&str]; 3] =
        [&["/usr/bin/env", "LANG=C", REAUTH], &[REAUTH, "--help"], &[REAUTH, "--leave", "--leave"]];
    for command in unfit {
        let plan =
            json!({ "user": "alice", "command": command, "answers": [{ "text": PASSWORD }] });
        let report = run(&host, &plan);
        assert_eq!((&report["exit"], &report["done"]), (&json!(2), &Value::Null), "{report}");
    }
}

#[test]
fn it_is_laid_out_beside_the_verifier_and_its_service_is_the_administrator_s() {
    let host = Host::new().start();
    for (path, mode) in [(REAUTH, 0o755), ("/etc/pam.d/mfa-setup", 0o644)] {
        let metadata = fs::metadata(host.path(path)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (mode, 0), "{path}");
    }
    let directory = mfa_tests::cache::TemporaryDirectory::new();
    let make = |target: &str| {
        let destination = format!("DESTDIR={}", directory.path().display());
        assert!(mfa_tests::cache::make(&[target, &destination]).status().unwrap().success());
    };
    let service = directory.path().join("etc/pam.d/mfa-setup");
    make("install");
    assert!(service.exists());
    make("uninstall");
    assert!(!service.exists(), "nobody has changed it");
    make("install");
    fs::write(&service, "# mine\n").unwrap();
    make("install");
    make("uninstall");
    assert_eq!(fs::read_to_string(&service).unwrap(), "# mine\n");
}
