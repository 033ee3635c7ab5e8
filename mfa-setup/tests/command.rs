//! The command as it is run, against a verifier that says what the test says.
//!
//! `--socket` is believed only where root listens, so these tests run as root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use mfa_protocol::frame::{receive, transmit};
use mfa_protocol::message::{
    Action, Added, Checked, DeviceKind, Explained, ExplainedRule, Failure, FailureKind, FromFace,
    FullStatus, GaveUp, ListedUser, LoginRequest, ManageRequest, Standing, Status, Supposed,
    ToFace, UserList,
};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{Answer, Outcome, Prompt, Reply, Request, Style, Verdict};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::geteuid;

const SOON: Duration = Duration::from_secs(10);

/// A place of its own for each test, with a verifier's socket in it.
struct Place {
    path: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        assert!(geteuid().is_root(), "these tests run as root");
        let path = std::env::temp_dir().join(format!("mfa-setup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A verifier for one connection, which sends `messages` and returns what it was told.
    fn verifier(&self, messages: Vec<ToFace>) -> JoinHandle<(Request, Vec<FromFace>)> {
        let listener = UnixListener::bind(self.file("socket")).unwrap();
        std::thread::spawn(move || serve(&listener, messages))
    }

    /// A verifier for as many connections as it has replies, which returns what it was asked.
    fn verifier_of(&self, replies: Vec<Reply>) -> JoinHandle<Vec<Request>> {
        let listener = UnixListener::bind(self.file("socket")).unwrap();
        let one = move |reply| serve(&listener, vec![done(reply)]).0;
        std::thread::spawn(move || replies.into_iter().map(one).collect())
    }

    /// The command in a session without a terminal.
    fn command(&self, line: &str) -> Command {
        self.in_a_session("--wait", line)
    }

    fn in_a_session(&self, option: &str, line: &str) -> Command {
        let mut command = Command::new("setsid");
        command.arg(option).arg(env!("CARGO_BIN_EXE_mfa-setup"));
        command.arg("--socket").arg(self.file("socket")).args(line.split_whitespace());
        command.current_dir(&self.path).env_remove("SUDO_USER").stdin(Stdio::null());
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran::new(&self.command(line).output().unwrap())
    }

    fn run_with_input(&self, line: &str, input: &[u8]) -> Ran {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::new(&child.wait_with_output().unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn serve(listener: &UnixListener, messages: Vec<ToFace>) -> (Request, Vec<FromFace>) {
    let (stream, _) = listener.accept().unwrap();
    let request = receive(&stream, SOON).unwrap();
    let request = decode(&request[2..]).unwrap();
    (request, converse(&stream, messages))
}

fn converse(stream: &UnixStream, messages: Vec<ToFace>) -> Vec<FromFace> {
    let mut answers = Vec::new();
    for message in messages {
        transmit(stream, &encode(&message).unwrap(), SOON).unwrap();
        if matches!(message, ToFace::Ask(_)) {
            let answer = decode(&receive(stream, SOON).unwrap()).unwrap();
            let gave_up = matches!(answer, FromFace::GaveUp(_));
            answers.push(answer);
            if gave_up {
                break;
            }
        }
    }
    answers
}

#[derive(Debug)]
struct Ran {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn new(output: &Output) -> Self {
        Self {
            exit: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

fn done(reply: Reply) -> ToFace {
    ToFace::Done(Box::new(reply))
}

fn outcome(verdict: Verdict) -> ToFace {
    let factor = (verdict == Verdict::Granted).then(|| "totp".to_owned());
    let label = (verdict == Verdict::Granted).then(|| "phone".to_owned());
    done(Reply::Outcome(Outcome { verdict, user: Some("alice".into()), factor, label }))
}

fn added() -> ToFace {
    done(Reply::Added(Added {
        user: "alice".into(),
        uid: 1000,
        id: 1,
        label: "phone".into(),
        kind: DeviceKind::Totp,
        secret: "JBSWY3DPEHPK3PXP".into(),
        uri: "otpauth://totp/host:alice?secret=JBSWY3DPEHPK3PXP&issuer=host".into(),
        backup_codes: vec!["aaaa-bbbb".into(), "cccc-dddd".into()],
        codes_shown: false,
    }))
}

fn refused() -> ToFace {
    done(Reply::Failed(Failure {
        kind: FailureKind::Refused,
        error: "wrong\x1b[2J".into(),
        hint: "try again".into(),
    }))
}

fn new_codes() -> ToFace {
    let backup_codes = vec!["aaaa-bbbb".into(), "cccc-dddd".into()];
    done(Reply::NewCodes { user: "alice".into(), backup_codes })
}

fn done_for_alice() -> ToFace {
    done(Reply::Done { user: "alice".into() })
}

fn managed(request: Request) -> ManageRequest {
    match request {
        Request::Manage(request) => request,
        Request::Login(_) | Request::Unseen(_) => panic!("{request:?}"),
    }
}

fn logged_in(request: Request) -> LoginRequest {
    match request {
        // A trial: nobody counts on what is told.
        Request::Unseen(request) => *request,
        Request::Login(_) | Request::Manage(_) => panic!("{request:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_status_is_one_object_and_nothing_else() {
    let place = Place::new("status");
    let verifier = place.verifier(vec![
        ToFace::Tell(Style::Info, "by the way\x07".into()),
        done(Reply::FullStatus(Box::new(FullStatus {
            status: Status {
                user: "alice".into(),
                uid: 1000,
                devices: Vec::new(),
                backup_codes_left: 0,
                failures: 0,
                locked_until: None,
            },
            bypass: None,
            required: false,
        }))),
    ]);
    let ran = place.run("status --json --user alice");
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        "{\"user\":\"alice\",\"uid\":1000,\"enrolled\":false,\"devices\":[],\
         \"backup_codes_left\":0,\"lockout\":{\"failures\":0,\"locked_until\":null},\
         \"bypass\":null,\"required\":false}\n"
    );
    assert_eq!(ran.stderr, "mfa-setup: hint: by the way\\u{7}\n");
    let request = managed(verifier.join().unwrap().0);
    assert_eq!(request.user.as_deref(), Some(&b"alice"[..]));
    assert!(matches!(request.action, Action::FullStatus));
}

fn page(uids: &[u32], next: Option<u32>) -> Reply {
    let standing = Standing {
        devices: Vec::new(),
        backup_codes_left: 0,
        tokens: 0,
        last_used: None,
        last_from: None,
        failures: 0,
        locked_until: None,
        bypass: None,
        required: false,
    };
    let user = |uid: &u32| ListedUser {
        uid: *uid,
        user: Some(format!("u{uid}")),
        standing: Ok(standing.clone()),
    };
    Reply::Users(UserList { users: uids.iter().map(user).collect(), next })
}

#[test]
fn users_are_asked_for_until_the_last_page_and_shown_together() {
    let place = Place::new("users");
    let pages = vec![page(&[1, 2], Some(2)), page(&[], Some(7)), page(&[9], None)];
    let verifier = place.verifier_of(pages);
    let ran = place.run("users");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let names = ran.stdout.lines().filter_map(|line| line.split_whitespace().next());
    assert_eq!(names.collect::<Vec<_>>(), ["USER", "u1", "u2", "u9"]);
    let asked = verifier.join().unwrap().into_iter().map(|request| match managed(request) {
        ManageRequest { user: None, action: Action::Users { after } } => after,
        other => panic!("{other:?}"),
    });
    assert_eq!(asked.collect::<Vec<_>>(), [None, Some(2), Some(7)]);
}

#[test]
fn pages_that_lead_back_or_fail_are_an_error_and_no_part_of_a_list() {
    let failure = Failure {
        kind: FailureKind::Unusable,
        error: "the store is gone".into(),
        hint: "look".into(),
    };
    for (name, last, error) in [
        ("users-again", page(&[2], Some(2)), "malformed or out of order"),
        ("users-back", page(&[1], Some(1)), "malformed or out of order"),
        ("users-gone", Reply::Failed(failure), "the store is gone"),
    ] {
        let place = Place::new(name);
        let verifier = place.verifier_of(vec![page(&[1, 2], Some(2)), last]);
        let ran = place.run("users --json");
        assert_eq!((ran.exit, ran.stdout.as_str()), (3, ""), "{name}");
        assert!(ran.stderr.contains(error), "{}", ran.stderr);
        verifier.join().unwrap();
    }
}

#[test]
fn a_check_is_a_line_and_its_warnings_or_one_object() {
    let checked = |warnings: &[&str]| {
        done(Reply::Checked(Checked {
            path: "/etc/pam_mfa/config.toml".to_owned(),
            exists: true,
            rules: 1,
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
        }))
    };
    let place = Place::new("check");
    let verifier = place.verifier(vec![checked(&["rule \"x\": there is no user \"\u{1b}\""])]);
    let ran = place.run("check");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        ran.stdout,
        "/etc/pam_mfa/config.toml can be used: 1 rule.\n\
         warning: rule \"x\": there is no user \"\\u{1b}\"\n"
    );
    assert!(matches!(managed(verifier.join().unwrap().0).action, Action::Check));

    let place = Place::new("check-json");
    let verifier = place.verifier(vec![checked(&[])]);
    let ran = place.run("check --json");
    assert_eq!(
        ran.stdout,
        "{\"path\":\"/etc/pam_mfa/config.toml\",\"exists\":true,\"rules\":1,\"warnings\":[]}\n"
    );
    verifier.join().unwrap();
}

fn explained() -> Explained {
    let rule = |number: u32, name: Option<&str>, mismatch: Option<&str>| ExplainedRule {
        number,
        name: name.map(str::to_owned),
        line: 10 * number,
        mismatch: mismatch.map(str::to_owned),
    };
    let robot = rule(1, Some("robot"), Some("users"));
    Explained {
        user: "alice".to_owned(),
        uid: 1000,
        enrolled: Some(true),
        service: "sshd".to_owned(),
        source: "198.51.100.7".to_owned(),
        console: false,
        at: 1_795_314_688,
        local: Some("Sun 2026-11-22 03:31:28".to_owned()),
        rules: vec![robot, rule(2, None, Some("from")), rule(3, None, None)],
        rules_left_out: 0,
        requirement: "challenge".to_owned(),
        reason: None,
        notice: None,
        prompt: Some("Verification code: ".to_owned()),
        methods: vec!["backup_code".to_owned()],
        outside: true,
        remember: 43_200,
        required: Some(false),
    }
}

#[test]
fn an_explanation_is_a_table_or_one_object() {
    let place = Place::new("explain");
    let verifier = place.verifier(vec![done(Reply::Explained(Box::new(explained())))]);
    let ran =
        place.run("explain alice --service sshd --from 198.51.100.7 --tty ssh --at 2026-11-22");
    assert_eq!(
        ran.stdout,
        "User:      alice (uid 1000)\n\
         Service:   sshd\n\
         From:      198.51.100.7\n\
         Time:      Sun 2026-11-22 03:31:28 here, 2026-11-22 02:31 UTC\n\
         Rule 1:    \"robot\", line 10: no: alice is not among its users\n\
         Rule 2:    line 20: no: 198.51.100.7 is in none of its networks\n\
         Rule 3:    line 30: holds\n\
         Asked:     \"Verification code: \": right are backup_code; it is outside of allow_from\n\
         Then:      it may be remembered for up to 12h\n"
    );
    let request = managed(verifier.join().unwrap().0);
    assert_eq!(request.user.as_deref(), Some(&b"alice"[..]));
    let Action::Explain(supposed) = request.action else { panic!("{request:?}") };
    let expected = Supposed {
        service: "sshd".to_owned(),
        rhost: Some("198.51.100.7".to_owned()),
        tty: Some("ssh".to_owned()),
        at: Some("2026-11-22".to_owned()),
    };
    assert_eq!(*supposed, expected);

    let place = Place::new("explain-json");
    let verifier = place.verifier(vec![done(Reply::Explained(Box::new(explained())))]);
    let ran = place.run("explain alice --service sshd --json");
    assert_eq!(
        ran.stdout,
        "{\"user\":\"alice\",\"uid\":1000,\"enrolled\":true,\"service\":\"sshd\",\
         \"source\":\"198.51.100.7\",\"console\":false,\"at\":\"2026-11-22T02:31:28Z\",\
         \"local\":\"Sun 2026-11-22 03:31:28\",\"rule\":{\"number\":3,\"name\":null,\"line\":30},\
         \"passed_over\":[{\"number\":1,\"name\":\"robot\",\"line\":10,\"mismatch\":\"users\"},\
         {\"number\":2,\"name\":null,\"line\":20,\"mismatch\":\"from\"}],\
         \"requirement\":\"challenge\",\"reason\":null,\"notice\":null,\
         \"prompt\":\"Verification code: \",\"methods\":[\"backup_code\"],\"outside\":true,\
         \"remember\":43200,\"required\":false}\n"
    );
    verifier.join().unwrap();
}

#[test]
fn a_failure_is_two_lines_and_an_exit_code() {
    let place = Place::new("failure");
    let verifier = place.verifier(vec![refused()]);
    let ran = place.run("default phone --json");
    assert_eq!((ran.exit, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.stderr, "mfa-setup: error: wrong\\u{1b}[2J\nmfa-setup: hint: try again\n");
    let request = managed(verifier.join().unwrap().0);
    assert_eq!(request.user, None);
}

#[test]
fn nobody_at_the_socket_and_wrong_usage_have_their_exit_codes() {
    let place = Place::new("exits");
    for (line, exit) in [
        ("status", 3),
        ("--frobnicate", 2),
        ("judge", 2),
        ("add totp --qr picture.jpg", 2),
        ("add totp --secret-file missing", 2),
        ("--version", 0),
        ("help add", 0),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.exit, exit, "{line}: {ran:?}");
        assert_eq!(exit != 0, ran.stderr.starts_with("mfa-setup: error: "), "{line}: {ran:?}");
        assert_eq!(exit == 0, !ran.stdout.is_empty(), "{line}: {ran:?}");
    }
}

#[test]
fn judge_gives_the_code_of_standard_input_once() {
    let place = Place::new("judge");
    for (verdict, exit) in [
        (Verdict::Granted, 0),
        (Verdict::Exempt, 0),
        (Verdict::Denied, 1),
        (Verdict::Locked, 1),
        (Verdict::Unavailable, 3),
    ] {
        let _ = fs::remove_file(place.file("socket"));
        let verifier =
            place.verifier(vec![ToFace::Ask(Prompt::hidden("Code: ")), outcome(verdict)]);
        let line = "judge --json --user alice --service SSHD --from 192.0.2.7";
        let ran = place.run_with_input(line, b"123456\n");
        assert_eq!(ran.exit, exit, "{ran:?}");
        assert!(ran.stdout.contains(&format!("\"outcome\":\"{}\"", verdict.name())), "{ran:?}");
        assert_eq!(exit == 3, ran.stderr.contains("mfa-setup: error: "), "{ran:?}");

        let (request, answers) = verifier.join().unwrap();
        let request = logged_in(request);
        assert_eq!((request.user.as_slice(), request.service.as_str()), (&b"alice"[..], "sshd"));
        assert_eq!(request.rhost.as_deref(), Some("192.0.2.7"));
        assert!(request.password_given);
        let [FromFace::Answer(Answer::Text(code))] = answers.as_slice() else { panic!() };
        assert_eq!(code.expose(), b"123456");
    }
}

#[test]
fn judge_is_refused_where_one_code_is_not_enough() {
    let place = Place::new("judge-twice");
    let ask = || ToFace::Ask(Prompt::hidden("Code: "));
    let verifier = place.verifier(vec![ask(), ask(), outcome(Verdict::Granted)]);
    let ran = place.run_with_input("judge --json --user alice", b"123456");
    assert_eq!(ran.exit, 1, "{ran:?}");
    assert!(ran.stdout.contains("\"outcome\":\"denied\""), "{ran:?}");
    let answers = verifier.join().unwrap().1;
    assert!(matches!(answers.as_slice(), [_, FromFace::GaveUp(GaveUp::NobodyThere)]));
}

#[test]
fn judge_needs_a_code_of_a_sensible_length() {
    let place = Place::new("judge-input");
    for input in [&b""[..], &[b'1'; 2000]] {
        let ran = place.run_with_input("judge --user alice", input);
        assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "{ran:?}");
    }
}

#[test]
fn without_a_terminal_nothing_is_asked_and_nothing_done() {
    let place = Place::new("nobody");
    for line in ["remove phone", "reset", "codes new"] {
        let ran = place.run(line);
        assert_eq!(ran.exit, 2, "{ran:?}");
        assert!(ran.stderr.contains("hint: use a terminal"), "{ran:?}");
    }
    let verifier = place.verifier(vec![ToFace::Ask(Prompt::hidden("Code: ")), added()]);
    let ran = place.run("add totp --qr picture.svg");
    assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("--no-confirm"), "{ran:?}");
    assert!(!place.file("picture.svg").exists());
    let answers = verifier.join().unwrap().1;
    assert!(matches!(answers.as_slice(), [FromFace::GaveUp(GaveUp::NobodyThere)]));
}

#[test]
fn yes_answers_questions_of_yes_or_no_here_and_there() {
    let place = Place::new("yes");
    let verifier = place.verifier(vec![ToFace::Ask(Prompt::yes_no("Sure? ")), done_for_alice()]);
    let ran = place.run("remove phone --yes --json");
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "{\"user\":\"alice\",\"done\":true}\n"));
    let (request, answers) = verifier.join().unwrap();
    let Action::Remove { label } = managed(request).action else { panic!() };
    assert_eq!(label, "phone");
    let [FromFace::Answer(Answer::Text(yes))] = answers.as_slice() else { panic!() };
    assert_eq!(yes.expose(), b"y");
}

#[test]
fn provisioning_asks_nothing_and_leaves_a_private_picture() {
    let place = Place::new("provision");
    let verifier = place.verifier(vec![added()]);
    let line = "add totp --user alice --json --yes --no-confirm --qr picture.png --secret-file -";
    let ran = place.run_with_input(line, b"jbsw y3dp\n");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("\"secret\":\"JBSWY3DPEHPK3PXP\""), "{ran:?}");
    assert_eq!(mode(&place.file("picture.png")), 0o600);
    assert!(fs::read(place.file("picture.png")).unwrap().starts_with(b"\x89PNG"));

    let Action::Add(device) = managed(verifier.join().unwrap().0).action else { panic!() };
    assert_eq!((device.confirm, device.show, device.guided), (false, false, false));
    assert_eq!(device.secret.unwrap().expose(), b"jbsw y3dp");
}

#[test]
fn a_refused_enrolment_leaves_no_picture_and_the_old_one() {
    let place = Place::new("refused");
    let verifier = place.verifier(vec![refused()]);
    assert_eq!(place.run("add totp --no-confirm --yes --qr new.svg").exit, 1);
    verifier.join().unwrap();
    assert!(!place.file("new.svg").exists());

    fs::write(place.file("old.svg"), "old").unwrap();
    fs::remove_file(place.file("socket")).unwrap();
    let verifier = place.verifier(vec![refused()]);
    assert_eq!(place.run("add totp --no-confirm --yes --qr old.svg").exit, 1);
    verifier.join().unwrap();
    assert_eq!(fs::read(place.file("old.svg")).unwrap(), b"old");

    // Not to be replaced without being asked, and there is nobody to ask.
    assert_eq!(place.run("add totp --no-confirm --qr old.svg").exit, 2);
}

#[test]
fn new_codes_are_a_private_page_or_the_answer() {
    let place = Place::new("codes");
    let verifier = place.verifier(vec![new_codes()]);
    let ran = place.run("codes new --yes --output page.txt");
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(ran.stdout, "The backup codes of alice are in page.txt.\n");
    let page = fs::read_to_string(place.file("page.txt")).unwrap();
    assert!(page.contains("   1  aaaa-bbbb\n   2  cccc-dddd\n"), "{page}");
    assert_eq!(mode(&place.file("page.txt")), 0o600);
    verifier.join().unwrap();

    fs::remove_file(place.file("socket")).unwrap();
    let verifier = place.verifier(vec![new_codes()]);
    let ran = place.run("codes new --yes");
    assert!(ran.stdout.contains("   2  cccc-dddd\n"), "{ran:?}");
    verifier.join().unwrap();
}

#[test]
fn an_answer_that_cannot_be_written_is_said() {
    let place = Place::new("full");
    let verifier = place.verifier(vec![new_codes()]);
    let full = File::create("/dev/full").unwrap();
    let ran = Ran::new(&place.command("codes new --yes").stdout(full).output().unwrap());
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert!(ran.stderr.contains("the old codes have ended, but the answer"), "{ran:?}");
    verifier.join().unwrap();
}

#[test]
fn a_disk_without_room_is_found_out_before_anything_changes() {
    let place = Place::new("room");
    // No verifier listens: had it been asked, the exit code would be the same but not the words.
    let mut command = Command::new("prlimit");
    let setsid = place.command("codes new --yes --output page.txt");
    command.arg("--fsize=4096").arg(setsid.get_program()).args(setsid.get_args());
    let ran = Ran::new(&command.current_dir(&place.path).output().unwrap());
    assert_eq!(ran.exit, 3, "{ran:?}");
    assert!(ran.stderr.contains("page.txt cannot be created: File too large"), "{ran:?}");
    assert!(!place.file("page.txt").exists());
}

#[test]
fn who_is_not_root_is_told_so() {
    let place = Place::new("not-root");
    let copy = place.file("mfa-setup");
    fs::copy(env!("CARGO_BIN_EXE_mfa-setup"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).arg("reset");
    let ran = Ran::new(&command.output().unwrap());
    assert_eq!((ran.exit, ran.stdout.as_str()), (4, ""), "{ran:?}");
    assert!(ran.stderr.contains("mfa-setup: hint: run this as root"), "{ran:?}");
}

/// The command at a terminal; the person types `keys` at each of `prompts` in turn.
fn at_a_terminal(place: &Place, line: &str, dialogue: &[(&str, &[u8])]) -> (Ran, String) {
    let pty = openpty(None, None).unwrap();
    let (mut person, slave) = (File::from(pty.master), File::from(pty.slave));
    let mut command = place.in_a_session("--ctty", line);
    command.stdin(slave.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Its copy of the terminal.
    drop(command);

    let mut seen = String::new();
    let mut from = 0;
    let mut bytes = [0u8; 4096];
    for (prompt, keys) in dialogue {
        while !seen.get(from..).unwrap_or_default().contains(prompt) {
            let count = person.read(&mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        from = seen.len();
        person.write_all(keys).unwrap();
    }
    let ran = Ran::new(&child.wait_with_output().unwrap());
    let flags = tcgetattr(&slave).unwrap().local_flags;
    assert!(flags.contains(LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::ICANON));
    // What else there was to see, and then the end.
    (&slave).write_all(b"END").unwrap();
    while !seen.ends_with("END") {
        let count = person.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    (ran, seen)
}

#[test]
fn the_conversation_is_on_the_terminal_and_the_answer_is_not() {
    let place = Place::new("terminal");
    let verifier = place.verifier(vec![
        ToFace::Tell(Style::Info, "Scan this:".into()),
        ToFace::Tell(Style::Qr, "█▀▄".into()),
        ToFace::Ask(Prompt::visible("Label: ")),
        ToFace::Ask(Prompt::hidden("Code: ")),
        added(),
    ]);
    let dialogue = [("Label: ", &b"phone\n"[..]), ("Code: ", b"123456\n")];
    let (ran, seen) = at_a_terminal(&place, "--json", &dialogue);
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("{\"user\":\"alice\"") && ran.stdout.ends_with("}\n"));
    assert!(seen.contains("Scan this:\r\n\x1b[38;5;16;48;5;231m█▀▄\x1b[0m\r\n"), "{seen:?}");
    assert!(seen.contains("phone") && !seen.contains("123456"), "{seen:?}");

    let (request, answers) = verifier.join().unwrap();
    let Action::Add(device) = managed(request).action else { panic!() };
    assert_eq!((device.guided, device.confirm, device.show), (true, true, true));
    assert!(device.terminal.utf8);
    assert_eq!(answers.len(), 2);
}

#[test]
fn an_interrupt_at_a_question_gives_up_and_leaves_nothing() {
    let place = Place::new("interrupt");
    let verifier = place.verifier(vec![ToFace::Ask(Prompt::hidden("Code: ")), added()]);
    let (ran, seen) = at_a_terminal(&place, "add totp --qr picture.png", &[("Code: ", b"12\x03")]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (130, ""), "{ran:?}");
    assert_eq!(ran.stderr, "mfa-setup: error: interrupted\n");
    assert!(!seen.contains("12"), "{seen:?}");
    assert!(!place.file("picture.png").exists());
    let answers = verifier.join().unwrap().1;
    assert!(matches!(answers.as_slice(), [FromFace::GaveUp(GaveUp::Aborted)]));
}

#[test]
fn no_is_no_and_yes_is_yes() {
    let place = Place::new("no");
    let question = "Remove device \"phone\" of alice? [y/N] ";
    let line = "remove phone --user alice";
    let (ran, _) = at_a_terminal(&place, line, &[(question, b"\n")]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.stderr, "mfa-setup: error: nothing was changed\n");

    let verifier = place.verifier(vec![done_for_alice()]);
    let (ran, _) = at_a_terminal(&place, line, &[(question, b"y\n")]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "alice: done\n"), "{ran:?}");
    verifier.join().unwrap();
}

#[test]
fn a_test_is_a_login_at_the_terminal() {
    let place = Place::new("test");
    let verifier =
        place.verifier(vec![ToFace::Ask(Prompt::hidden("Code: ")), outcome(Verdict::Granted)]);
    let (ran, _) = at_a_terminal(&place, "test --user alice", &[("Code: ", b"123456\n")]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "alice: granted (totp, \"phone\")\n"));
    let request = logged_in(verifier.join().unwrap().0);
    assert_eq!(request.service, "test");
    assert!(request.tty.is_some_and(|tty| tty.starts_with("/dev/pts/")));
}
