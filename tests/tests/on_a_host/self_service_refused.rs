//! What ordinary users cannot do, by `mfa-setup` and past it, and what they cannot see.

use mfa_protocol::message::{Action, FailureKind, LoginRequest, NewDevice, Terminal};
use mfa_protocol::{Reply, Verdict};
use mfa_tests::person::{self, OWN_CODE, PASSWORD};
use mfa_tests::{Device, Host, Output, Person, Pty, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .pam("code", "auth required pam_mfa.so\n")
        .sshd_example("pam_mfa-password.conf")
        .faces()
        .start()
}

fn alice(host: &Running) -> Person<'_> {
    Person::new(host, "alice", "rabbit hole")
}

/// All that anybody can ask for, of a record in which a phone is enrolled.
const COMMANDS: [&[&str]; 13] = [
    &["status"],
    &["status", "--json"],
    &["codes"],
    &["add", "totp"],
    &["add", "totp", "--no-confirm", "--yes", "--json"],
    &["remove", "phone", "--yes"],
    &["default", "phone"],
    &["codes", "new", "--yes"],
    &["test"],
    &["test", "phone", "--resync"],
    &["show-key", "phone"],
    &["unlock"],
    &["reset", "--yes"],
];

/// The same, as a verifier is asked.
fn actions() -> Vec<Action> {
    let label = || "phone".to_owned();
    vec![
        Action::Status,
        Action::Codes,
        Action::Add(Box::new(new_device())),
        Action::Remove { label: label() },
        Action::MakeDefault { label: label() },
        Action::NewCodes,
        Action::Resync { label: label() },
        Action::ShowKey { label: label() },
        Action::Unlock,
        Action::Reset,
        Action::Invite { lifetime: 60 },
        Action::FullStatus,
        Action::MakeBypass { lifetime: 60, uses: 1 },
        Action::RevokeBypass,
        Action::Disable { label: label() },
        Action::Enable { label: label() },
        Action::Require { required: false },
    ]
}

fn new_device() -> NewDevice {
    NewDevice {
        kind: mfa_protocol::message::DeviceKind::Totp,
        label: Some("tablet".to_owned()),
        algorithm: None,
        digits: None,
        period: None,
        counter: None,
        secret: None,
        confirm: true,
        guided: false,
        show: true,
        terminal: Terminal { columns: 80, utf8: true },
    }
}

/// The record as it is, to the byte.
fn record(host: &Running, uid: u32) -> String {
    host.shell(&format!("sha256sum /var/lib/pam_mfa/users/{uid}/summary"))
}

#[track_caller]
fn not_permitted(said: &Output) {
    assert_eq!((said.code, said.stdout.as_str()), (Some(4), ""), "{said:?}");
    assert!(said.stderr.starts_with("mfa-setup: error: "), "{said:?}");
    assert!(said.stderr.contains("mfa-setup: hint: "), "{said:?}");
}

#[test]
fn another_users_record_is_refused_in_the_words_for_a_user_who_does_not_exist() {
    let host = host();
    let _listener = host.listen_for_users();
    let phone = host.enrol("bob").device;
    let before = record(&host, 1001);
    let alice = alice(&host);
    let guided: &[&str] = &[];
    for command in COMMANDS.into_iter().chain([guided, &["judge"]]) {
        let said = ["bob", "nobody-of-that-name", "root"].map(|user| {
            let said = alice.run(&[&["mfa-setup"], command, &["--user", user]].concat());
            not_permitted(&said);
            said
        });
        assert!(said[0] == said[1] && said[1] == said[2], "{command:?}: {said:?}");
    }
    not_permitted(&alice.run(&["mfa-setup", "invite", "bob"]));
    for action in actions() {
        let said = ["bob", "nobody-of-that-name", "root", "", "../0", "1001"].map(|user| {
            // What would be right for bob helps nobody else.
            let answers = ["builder", &phone.code_at_step(phone.step())];
            let heard = host.manage_as("alice", Some(user), action.clone(), &answers);
            assert!(heard.asked.is_empty() && heard.told.is_empty(), "{heard:?}");
            heard.failed()
        });
        assert_eq!(said[0].kind, FailureKind::NotPermitted, "{action:?}");
        assert!(said.iter().all(|failure| *failure == said[0]), "{action:?}: {said:?}");
    }
    assert_eq!(record(&host, 1001), before);
    host.wait_for_log("by_uid=1000 reason=\"another user's record was asked for\"");
}

#[test]
fn what_is_roots_users_cannot_do_to_their_own_records() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let mut backup = alice.enrol().backup;
    host.write("/home/alice/key", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    let before = record(&host, 1000);
    let commands: [&[&str]; 13] = [
        &["bypass", "alice"],
        &["bypass", "alice", "--revoke"],
        &["disable", "phone"],
        &["enable", "phone"],
        &["require", "alice", "--off"],
        &["show-key", "phone"],
        &["unlock"],
        &["reset", "--yes"],
        &["invite", "alice"],
        &["judge", "--user", "alice"],
        &["add", "totp", "--label", "x", "--secret-file", "/home/alice/key"],
        &["add", "totp", "--label", "x", "--no-confirm", "--yes"],
        &["status", "--verifier", "/usr/libexec/pam_mfa/mfa-verifier"],
    ];
    for command in commands {
        not_permitted(&alice.run(&[&["mfa-setup"], command].concat()));
    }
    not_permitted(&alice.run(&["mfa-setup", "status", "--config", "/etc/pam_mfa/config.toml"]));
    let key = Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into());
    for action in [
        Action::ShowKey { label: "phone".to_owned() },
        Action::Unlock,
        Action::Reset,
        Action::Invite { lifetime: 3_600 },
        Action::Add(Box::new(NewDevice { secret: key, ..new_device() })),
        Action::Add(Box::new(NewDevice { confirm: false, ..new_device() })),
    ] {
        let code = backup.codes[0].clone();
        let heard = host.manage_as("alice", None, action.clone(), &["rabbit hole", &code]);
        assert!(heard.asked.is_empty(), "{action:?}: {heard:?}");
        assert_eq!(heard.failed().kind, FailureKind::NotPermitted, "{action:?}");
    }
    assert_eq!(record(&host, 1000), before);
    alice.log_in(&backup.code());
}

#[test]
fn a_face_of_the_users_own_gets_no_farther_than_mfa_setup() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let enrolled = alice.enrol();
    let (phone, backup) = (enrolled.device, enrolled.backup);
    let before = record(&host, 1000);
    let ask = |action: &Action, answers: &[&str]| {
        host.manage_as("alice", Some("alice"), action.clone(), answers)
    };
    let changes: Vec<Action> = actions().into_iter().filter(is_change_of_the_own).collect();
    assert_eq!(changes.len(), 5);
    for action in &changes {
        let second = match action {
            Action::Resync { .. } => person::BACKUP_CODE,
            _ => OWN_CODE,
        };
        // A wrong password, and then whatever else is right.
        let heard = ask(action, &["builder", &backup.codes[0]]);
        assert_eq!(heard.asked, [PASSWORD], "{action:?}");
        assert_eq!(heard.failed().kind, FailureKind::Refused);
        // No answers, an empty one, no shape of a code's.
        for answers in [&[][..], &["rabbit hole"], &["rabbit hole", ""], &["rabbit hole", "\0"]] {
            let heard = ask(action, answers);
            assert_eq!(heard.asked, [PASSWORD, second][..2.min(answers.len() + 1)], "{action:?}");
            assert!(!matches!(heard.reply, Ok(Reply::Done { .. })), "{heard:?}");
        }
    }
    assert_eq!(record(&host, 1000), before);
    // Neither is there a way around the first code of a new device, nor around keeping the codes.
    let wrong = phone.wrong_code();
    let add = Action::Add(Box::new(NewDevice { show: false, ..new_device() }));
    let answers = ["rabbit hole", &backup.codes[0], &wrong, &wrong, &wrong, &wrong, &wrong];
    let failure = ask(&add, &answers).failed();
    assert_eq!(failure.error, "no right code was given");
    assert_eq!(alice.devices(), ["phone*"]);
    alice.log_in(&backup.codes[1]);
}

fn is_change_of_the_own(action: &Action) -> bool {
    use Action::{Add, MakeDefault, NewCodes, Remove, Resync};
    matches!(action, Add(_) | MakeDefault { .. } | NewCodes | Remove { .. } | Resync { .. })
}

#[test]
fn a_permission_ends_with_the_factor_that_it_was_given_for() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let root = |command: &[&str]| {
        host.run(&[&["mfa-setup"], command, &["--user", "alice", "--yes", "--json"]].concat())
            .json()
    };
    let token = || host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    // Somebody has learned the password and one code, and takes the time to be asked for a first code
    // while the owner has everything taken back.
    let waiting = |own: &str| {
        let mut tty = alice.setup_with_password(&["add", "totp", "--label", "not mine"]);
        tty.expect(OWN_CODE);
        tty.send_line(own);
        let device = person::app(&mut tty);
        (tty, device)
    };
    let refused = |(mut tty, mut device): (Pty, Device), told: &str| {
        tty.send_line(&device.code());
        tty.expect(&format!("mfa-setup: error: {told}"));
        assert_eq!(person::exit(&mut tty), 1);
    };
    let replaced = "what you gave to show who you are was used or replaced meanwhile";

    host.enrol("alice");
    let pending = waiting(&token().code());
    root(&["reset"]);
    refused(pending, "the enrolment was changed by somebody else meanwhile");

    host.enrol("alice");
    let pending = waiting(&token().code());
    root(&["reset"]);
    let mut backup = host.enrol("alice").backup;
    refused(pending, replaced);
    assert_eq!(alice.devices(), ["phone*"]);

    // The device is gone whose code it was, or is disabled, or the batch of codes is gone.
    let pending = waiting(&token().code());
    root(&["remove", "token"]);
    refused(pending, replaced);
    let pending = waiting(&token().code());
    root(&["disable", "token"]);
    refused(pending, replaced);
    root(&["remove", "token"]);
    let pending = waiting(&backup.code());
    root(&["codes", "new"]);
    refused(pending, replaced);
    assert_eq!(alice.devices(), ["phone*"]);
}

#[test]
fn nothing_that_a_users_face_claims_about_a_login_is_believed() {
    let host = host();
    let _listener = host.listen_for_users();
    let phone = host.enrol("alice").device;
    let bobs = host.enrol("bob").device;
    let claim = |user: &str| LoginRequest {
        user: user.as_bytes().to_vec(),
        service: "mfa-setup".to_owned(),
        rhost: Some("192.0.2.7".to_owned()),
        tty: Some("tty1".to_owned()),
        ruser: Some("root".to_owned()),
        ssh_auth_info: Some("publickey ssh-ed25519 AAAA".to_owned()),
        password_given: true,
        ..LoginRequest::default()
    };
    let before = record(&host, 1001);
    for user in ["bob", "nobody-of-that-name", "root"] {
        let outcome = host.log_in_as("alice", claim(user), &[&bobs.code_at_step(bobs.step())]);
        assert_eq!((outcome.verdict, outcome.user), (Verdict::Denied, None), "{user}");
    }
    assert_eq!(record(&host, 1001), before);
    // In the service of re-authentication nothing is asked; this is not that.
    let heard = host.log_in_as("alice", claim("alice"), &[&phone.wrong_code()]);
    assert_eq!(heard.verdict, Verdict::Denied);
    let line = host.wait_for_log("outcome=denied user=\"alice\" uid=1000");
    assert!(line.contains(" service=unprivileged rhost=- tty=- "), "{line}");
    let right = phone.code_at_step(phone.step());
    assert_eq!(host.log_in_as("alice", claim("alice"), &[&right]).verdict, Verdict::Granted);
}

#[test]
fn the_verifier_that_serves_a_user_is_out_of_the_users_reach() {
    let host = host();
    let listener = host.listen_for_users();
    let alice = alice(&host);
    let mut tty = alice.setup(&[]);
    tty.expect(PASSWORD);
    let verifier = listener.serving();
    let reauth = host.run(&["pgrep", "-x", "mfa-reauth"]).ok();
    for pid in [verifier.to_string(), reauth.trim().to_owned(), listener.pid().to_string()] {
        let status = host.read(format!("/proc/{pid}/status"));
        assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "{status}");
        for file in ["mem", "environ", "maps", "fd/0", "syscall", "stack"] {
            let said = alice.run(&["head", "-c1", &format!("/proc/{pid}/{file}")]);
            assert_eq!(said.code, Some(1), "{file}: {said:?}");
        }
        let traced = alice.run(&["strace", "-qq", "-o", "/dev/null", "-p", &pid]);
        assert!(traced.stderr.contains("Operation not permitted"), "{traced:?}");
        for signal in ["STOP", "TERM", "KILL", "0"] {
            let said = alice.run(&["sh", "-c", &format!("kill -{signal} {pid}")]);
            assert!(said.stderr.contains("not permitted"), "{said:?}");
        }
    }
    tty.send_line("rabbit hole");
    alice.enrol_at(&mut tty);
}

#[test]
fn no_secret_is_in_a_log_an_argument_list_or_an_environment() {
    let stack = "auth requisite pam_unix.so nodelay\nauth required pam_mfa.so debug\n";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("code", "auth required pam_mfa.so debug\n")
        .pam_example("sshd", "sshd")
        .pam(
            "sshd",
            &format!("{stack}account required pam_permit.so\nsession required pam_permit.so\n"),
        )
        .sshd_example("pam_mfa-password.conf")
        .start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let invitation = host.run(&["mfa-setup", "invite", "alice", "--json"]).json();
    let invitation = invitation["code"].as_str().unwrap().to_owned();
    // All that was typed or shown so far is looked for wherever somebody waits.
    let mut secrets = vec!["rabbit hole".to_owned(), invitation.clone()];
    let look = |secrets: &[String]| {
        let seen = host.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'");
        assert!(seen.contains("mfa-setup") && seen.contains("mfa-verifier"));
        for secret in secrets {
            assert!(!seen.contains(secret.as_str()), "{secret}: {seen}");
        }
    };
    let mut tty = alice.setup(&[]);
    tty.expect("Invitation code, or nothing to give the password: ");
    look(&secrets);
    tty.send_line(&invitation);
    tty.expect(person::LABEL);
    look(&secrets);
    tty.send_line("");
    let mut phone = person::app(&mut tty);
    secrets.push(phone.secret.clone());
    look(&secrets);
    secrets.push(phone.code());
    tty.send_line(secrets.last().unwrap());
    let codes = person::sheet(&mut tty);
    secrets.extend(codes.iter().cloned());
    look(&secrets);
    tty.send_line(&codes[0]);
    assert_eq!(person::exit(&mut tty), 0);

    let mut tty = alice.setup(&["codes", "new", "--yes"]);
    tty.expect(PASSWORD);
    look(&secrets);
    tty.send_line("wrong password");
    assert_eq!(person::exit(&mut tty), 1);
    let mut tty = alice.setup_with_password(&["codes", "new", "--yes"]);
    tty.expect(OWN_CODE);
    look(&secrets);
    tty.send_line(&codes[1]);
    let shown = tty.expect("exit 0, terminal as before");
    secrets.extend(person::numbered(&shown));
    secrets.extend([phone.wrong_code(), phone.code(), "wrong password".to_owned()]);
    let [.., wrong, right, _] = &secrets[..] else { unreachable!() };
    let mut tty = alice.setup_with_password(&["default", "phone"]);
    tty.expect(OWN_CODE);
    tty.send_line(wrong);
    assert_eq!(person::exit(&mut tty), 1);
    alice.log_in(right);
    assert!(secrets.len() > 22);

    let log = host.logged_by_now("");
    assert!(log.iter().any(|line| line.contains("debug=")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("action=new_codes outcome=done")), "{log:#?}");
    for secret in &secrets {
        let plain: String = secret.chars().filter(|c| *c != '-').collect();
        for line in &log {
            assert!(!line.contains(secret.as_str()) && !line.contains(&plain), "{secret}: {line}");
        }
    }
}
