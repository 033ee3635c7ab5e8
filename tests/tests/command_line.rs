//! `mfa-setup` as scripts and administrators use it: answers, exit codes and errors as interface.md
//! has them, against the installed verifier and its store.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use mfa_tests::pam::Attempt;
use mfa_tests::screen::codes_in;
use mfa_tests::{Device, Host, Output, Running};
use serde_json::{Value, json};

const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
/// A service that asks for a code alone.
const CODE_ALONE: &str = "auth required pam_mfa.so\n";

/// A key that a hardware token came with, of 20 bytes (RFC 4226, appendix D).
const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn host() -> Running {
    let host = Host::new().user("alice", "rabbit hole").user("bob", "walrus").config(REQUIRED);
    host.pam("code", CODE_ALONE).start()
}

// Answers

#[test]
fn the_status_of_who_is_not_enrolled_is_an_answer() {
    let host = host();
    let expected = json!({
        "user": "alice", "uid": 1000, "enrolled": false, "devices": [], "backup_codes_left": 0,
        "lockout": {"failures": 0, "locked_until": null},
    });
    assert_eq!(setup(&host, "status --json --user alice").json(), expected);
    let text = setup(&host, "status --user alice").ok();
    assert!(text.contains("alice (uid 1000)") && text.contains("Enrolled:      no"), "{text}");
    // Without --user it is about who calls.
    assert_eq!(setup(&host, "status --json").json()["uid"], 0);
    // Nothing is made by looking.
    assert!(!host.path("/etc/pam_mfa/store.key").exists());
    assert!(!host.path("/var/lib/pam_mfa").exists());
}

#[test]
fn an_enrolment_and_its_codes_are_answered_in_full_and_later_in_part() {
    let host = host();
    let first = setup(&host, "add totp --user alice --json --yes --no-confirm").json();
    assert_eq!(
        shape(&first),
        json!({
            "user": "text", "uid": "number",
            "device": {"id": "number", "label": "text", "kind": "text"},
            "secret": "text", "uri": "text", "backup_codes": vec!["text"; 10],
        })
    );
    assert_eq!((&first["user"], &first["uid"]), (&json!("alice"), &json!(1000)));
    assert_eq!(first["device"], json!({"id": 1, "label": "phone", "kind": "totp"}));
    let secret = first["secret"].as_str().unwrap();
    assert_eq!(
        first["uri"],
        json!(format!("otpauth://totp/testhost:alice?secret={secret}&issuer=testhost"))
    );
    // The second device, of another kind, has no codes of its own.
    let line = "add hotp --user alice --json --yes --no-confirm --counter 7 --digits 8";
    let second = setup(&host, line).json();
    assert_eq!(keys(&second), keys(&first));
    assert_eq!(second["device"], json!({"id": 2, "label": "token", "kind": "hotp"}));
    assert_eq!(second["backup_codes"], json!([]));
    assert!(second["uri"].as_str().unwrap().ends_with("&digits=8&counter=7"), "{second}");

    let key = setup(&host, "show-key phone --user alice --json").json();
    assert_eq!((&key["secret"], &key["uri"]), (&first["secret"], &first["uri"]));
    let shown = setup(&host, "show-key phone --user alice").ok();
    let unspaced: String = shown.split_whitespace().collect();
    assert!(unspaced.contains(secret) && shown.contains(first["uri"].as_str().unwrap()), "{shown}");

    let new = setup(&host, "codes new --user alice --json --yes").json();
    assert_eq!(shape(&new), json!({"user": "text", "backup_codes": vec!["text"; 10]}));
    let old: Vec<_> = first["backup_codes"].as_array().unwrap().iter().collect();
    let new: Vec<_> = new["backup_codes"].as_array().unwrap().iter().collect();
    assert!(new.iter().all(|code| !old.contains(code)));
    // The new ones hold, the old ones have ended.
    assert_eq!(log_in(&host, old[0].as_str().unwrap()), "PAM_AUTH_ERR");
    assert_eq!(log_in(&host, new[0].as_str().unwrap()), "PAM_SUCCESS");
    let text = setup(&host, "codes new --user alice --yes").ok();
    let codes: Vec<&str> = text.lines().filter(|line| line.matches('-').count() == 2).collect();
    assert_eq!(codes.len(), 10, "{text}");
    assert_eq!(log_in(&host, codes[9].split_whitespace().nth(1).unwrap()), "PAM_SUCCESS");
}

#[test]
fn what_was_used_when_and_from_where_is_in_codes_and_status() {
    let host = host();
    let mut enrolled = host.enrol("alice");
    let codes = setup(&host, "codes --user alice --json").json();
    let unused: Vec<_> =
        (1..=10).map(|n| json!({"number": n, "used_at": null, "used_from": null})).collect();
    assert_eq!(codes, json!({"user": "alice", "codes": unused}));

    let before = now(&host);
    let attempt = || Attempt::new("code", "alice").from("192.0.2.7");
    let backup = enrolled.backup.code();
    assert_eq!(attempt().answer(&backup).run(&host).code(), "PAM_SUCCESS");
    assert_eq!(attempt().answer(enrolled.device.code()).run(&host).code(), "PAM_SUCCESS");
    let codes = setup(&host, "codes --user alice --json").json();
    let first = &codes["codes"][0];
    assert_eq!(shape(first), json!({"number": "number", "used_at": "time", "used_from": "text"}));
    assert_eq!(first["used_from"], "192.0.2.7");
    assert!((before.as_str()..=&now(&host)).contains(&first["used_at"].as_str().unwrap()));
    let text = setup(&host, "codes --user alice").ok();
    assert!(text.contains("9 of 10 left") && text.contains("from 192.0.2.7"), "{text}");

    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(
        shape(&status),
        json!({
            "user": "text", "uid": "number", "enrolled": "boolean",
            "devices": [{
                "id": "number", "label": "text", "kind": "text", "default": "boolean",
                "added": "time", "last_used": "time", "last_from": "text", "drift": "number",
                "failures": "number", "disabled": "boolean",
            }],
            "backup_codes_left": "number",
            "lockout": {"failures": "number", "locked_until": "null"},
        })
    );
    let phone = &status["devices"][0];
    assert_eq!((&phone["default"], &phone["disabled"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&phone["last_from"], &status["backup_codes_left"]),
        (&json!("192.0.2.7"), &json!(9))
    );
    assert!((before.as_str()..=&now(&host)).contains(&phone["last_used"].as_str().unwrap()));
    let table = setup(&host, "status --user alice").ok();
    for wanted in ["phone", "totp", "192.0.2.7", "default", "9 left", "no failures"] {
        assert!(table.contains(wanted), "{wanted} is not in\n{table}");
    }
}

#[test]
fn a_judgement_is_that_of_a_login_and_counts_like_one() {
    let host = host();
    let mut enrolled = host.enrol("alice");
    let judge = |options: &str, code: &str| {
        let line = format!("judge --json --user alice {options}");
        let output = setup_with(&host, &line, &format!("{code}\n"));
        (output.code, output.stdout.parse::<Value>().unwrap(), output.stderr)
    };
    let outcome = |outcome: &str, factor: Value, label: Value| json!({"user": "alice", "outcome": outcome, "factor": factor, "label": label});
    let code = enrolled.device.code();
    let granted = outcome("granted", json!("totp"), json!("phone"));
    assert_eq!(judge("", &code), (Some(0), granted, String::new()));
    // Judged is used.
    let (exit, answer, said) = judge("", &code);
    assert_eq!((exit, &answer["outcome"]), (Some(1), &json!("denied")), "{answer}");
    assert_eq!(keys(&answer), ["factor", "label", "outcome", "user"]);
    assert_eq!(said, "mfa-setup: error: This code was already used; wait for the next one.\n");
    assert_eq!(log_in(&host, &code), "PAM_AUTH_ERR");
    let (exit, answer, _) = judge("", &enrolled.backup.code());
    let backup = outcome("granted", json!("backup_code"), Value::Null);
    assert_eq!((exit, answer), (Some(0), backup));

    // Five wrong ones from an address, and it waits: also for right ones, and there alone.
    let wrong = enrolled.device.wrong_code();
    let from = "--service sshd --from 192.0.2.7";
    for _ in 0..5 {
        assert_eq!(judge(from, &wrong).1["outcome"], "denied");
    }
    let before = now(&host);
    let next = enrolled.device.code();
    let (exit, answer, _) = judge(from, &next);
    assert_eq!((exit, &answer["outcome"]), (Some(1), &json!("locked")), "{answer}");
    host.wait_for_log("outcome=locked user=\"alice\" uid=1000 service=sshd rhost=192.0.2.7");
    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(shape(&status["lockout"]), json!({"failures": "number", "locked_until": "time"}));
    assert_eq!(status["lockout"]["failures"], 5);
    assert!(status["lockout"]["locked_until"].as_str().unwrap() > before.as_str());
    let text = setup(&host, "status --user alice").ok();
    assert!(text.contains("5 failures, locked until "), "{text}");

    // `unlock` ends the wait.
    let done = json!({"user": "alice", "done": true});
    assert_eq!(setup(&host, "unlock --user alice --json").json(), done);
    let lockout = &setup(&host, "status --user alice --json").json()["lockout"];
    assert_eq!(*lockout, json!({"failures": 0, "locked_until": null}));
    // The code that came during the wait was not looked at, and is still good.
    assert_eq!(judge(from, &next).0, Some(0));

    // Who need not give a code, and what cannot be judged.
    host.write("/etc/pam_mfa/config.toml", OPTIONAL);
    let exempt = setup_with(&host, "judge --user bob --json", "123456\n");
    let expected = json!({"user": "bob", "outcome": "exempt", "factor": null, "label": null});
    assert_eq!(exempt.json(), expected);
    host.write("/etc/pam_mfa/config.toml", "[policy]\nmode = \"mandatory\"\n");
    let (exit, answer, said) = judge("", "123456");
    assert_eq!((exit, answer), (Some(3), outcome("unavailable", Value::Null, Value::Null)));
    assert!(said.contains("mfa-setup: error: ") && said.contains("mfa-setup: hint: "), "{said}");
    let output = setup_with(&host, "judge --user alice", "123456\n");
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), "alice: unavailable\n"));
}

#[test]
fn a_test_asks_at_the_terminal_and_answers_on_standard_output() {
    let host = host();
    let mut phone = host.enrol("alice").device;
    let test = |options: &str, code: &str| {
        let script = format!("mfa-setup test --user alice {options} >/out 2>/err; echo exit $?");
        let mut tty = host.pty(&["sh", "-c", &script]);
        tty.expect("Verification code: ");
        tty.send_line(code);
        let shown = tty.expect("exit ");
        assert!(!shown.contains(code), "a hidden answer is shown: {shown}");
        let (_, exit) = tty.end();
        (exit.trim().to_owned(), host.read("/out"), host.read("/err"), shown)
    };
    let code = phone.code();
    let (exit, answer, errors, _) = test("--json", &code);
    let expected =
        json!({"user": "alice", "outcome": "granted", "factor": "totp", "label": "phone"});
    assert_eq!((exit.as_str(), errors.as_str()), ("0", ""));
    assert_eq!(answer.parse::<Value>().unwrap(), expected);
    let (exit, answer, _, shown) = test("", &code);
    assert_eq!(exit, "1");
    assert!(answer.starts_with("alice: denied") && answer.lines().count() == 1, "{answer}");
    assert!(shown.contains("This code was already used; wait for the next one."), "{shown}");
    let (exit, answer, ..) = test("", &phone.code());
    assert_eq!((exit.as_str(), answer.as_str()), ("0", "alice: granted (totp, \"phone\")\n"));
    assert_eq!(test("", &phone.wrong_code()).0, "1");
    assert_eq!(setup(&host, "status --user alice --json").json()["lockout"]["failures"], 1);
}

#[test]
fn what_is_only_done_says_so_and_is_in_the_log_with_who_did_it() {
    let host = host();
    host.enrol("alice");
    host.enrol_with("alice", &["totp", "--label", "tablet"]);
    let done = json!({"user": "alice", "done": true});
    let changes = [
        ("default tablet", "default"),
        ("unlock", "unlock"),
        ("remove phone --yes", "remove"),
        ("reset --yes", "reset"),
    ];
    for (line, action) in changes {
        assert_eq!(setup(&host, &format!("{line} --user alice --json")).json(), done, "{line}");
        let line = host.wait_for_log(&format!("action={action} outcome=done"));
        assert!(line.contains("user=\"alice\" uid=1000 by=\"root\" by_uid=0"), "{line}");
    }
    assert_eq!(setup(&host, "status --user alice --json").json()["enrolled"], false);
    let enrolled = host.enrol("alice");
    assert_eq!(setup(&host, "default phone --user alice").ok(), "alice: done\n");
    setup(&host, "show-key phone --user alice").ok();
    host.wait_for_log("action=show_key outcome=done");
    // A failure is written down too, and no secret is, ever.
    assert_eq!(setup(&host, "show-key tablet --user alice").code, Some(2));
    host.wait_for_log("action=show_key outcome=failed");
    for record in host.log() {
        assert!(!record.text.contains(&enrolled.device.secret), "{}", record.text);
        assert!(!enrolled.backup.codes.iter().any(|code| record.text.contains(code)));
    }
    assert_eq!(setup(&host, "reset --yes --user alice").ok(), "alice: done\n");
}

#[test]
fn standard_output_carries_only_the_answer_also_of_a_guided_enrolment() {
    let host = host();
    for (options, user) in [("", "alice"), ("--json", "bob")] {
        let script = format!("mfa-setup {options} --user {user} >/out 2>/err; echo exit $?");
        let mut tty = host.pty(&["sh", "-c", &script]);
        tty.expect("A name for the device [phone]: ");
        tty.send_line("");
        tty.expect("key into it: ");
        let key = tty.expect("The code that it shows now: ");
        let key: String = key.split_whitespace().collect();
        tty.send_line(&Device::totp(&key).code());
        tty.expect("   1  ");
        let code = tty.expect("\r\n");
        tty.expect("kept them: ");
        tty.send_line(&code);
        tty.expect("exit 0");
        assert_eq!(host.read("/err"), "");
        let answer = host.read("/out");
        if options.is_empty() {
            assert_eq!(answer, "Added the totp device \"phone\" of alice.\n");
        } else {
            let answer: Value = answer.parse().unwrap();
            assert_eq!(
                (&answer["secret"], &answer["backup_codes"][0]),
                (&json!(key), &json!(code))
            );
        }
    }
}

#[test]
fn under_sudo_it_is_roots_own_record_and_a_hint_says_so() {
    let host = host();
    let as_sudo = |line: &str| {
        let argv = ["env", "SUDO_USER=alice", "setsid", "--wait", "mfa-setup"];
        let words: Vec<&str> = line.split_whitespace().collect();
        host.run(&[&argv[..], &words].concat())
    };
    let own = as_sudo("status --json");
    assert_eq!(own.clone().json()["user"], "root");
    assert!(own.stderr.starts_with("mfa-setup: hint: "), "{}", own.stderr);
    assert!(own.stderr.contains("--user NAME"), "{}", own.stderr);
    assert_eq!(as_sudo("status --user alice").stderr, "");
}

// Provisioning

#[test]
fn a_key_that_exists_already_is_taken_over_with_its_settings() {
    let host = host();
    let add = |line: &str, input: &str| {
        let line = format!("add {line} --user alice --json --yes --no-confirm");
        setup_with(&host, &line, input).json()
    };
    // As people and vendors write keys.
    let spaced = "gezd gnbv gy3t qojq-gezd gnbv gy3t qojq\r\n";
    host.write("/root/key", format!("{KEY}\n"));
    for (line, input) in [
        ("totp --label a --secret-file -", spaced),
        ("totp --label b --secret-file /root/key --algorithm sha256 --digits 8 --period 60", ""),
        ("hotp --label c --secret-file - --algorithm sha512 --counter 5 --digits 7", KEY),
    ] {
        let added = add(line, input);
        assert_eq!(added["secret"], KEY, "{line}");
        let mut device = Device::from_uri(added["uri"].as_str().unwrap());
        let code = device.code();
        assert_eq!(code.len(), device.digits as usize);
        assert_eq!(log_in(&host, &code), "PAM_SUCCESS", "{line}");
    }
    // A first code can be asked for all the same, and then the app must be right.
    let mut tty = host.pty(&[
        "mfa-setup",
        "add",
        "totp",
        "--label",
        "d",
        "--secret-file",
        "/root/key",
        "--user",
        "alice",
    ]);
    tty.expect("The code that it shows now: ");
    let mut device = Device::totp(KEY);
    // Its present code was used with device "a", which is another device.
    tty.send_line(&device.code());
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
}

#[test]
fn a_picture_of_the_code_is_private_and_says_the_uri() {
    let host = host();
    for (user, name, is_svg) in
        [("alice", "/root/alice.png", false), ("bob", "/root/bob.svg", true)]
    {
        // Even where the umask would let everybody read it.
        let line = format!(
            "umask 0; mfa-setup add totp --user {user} --json --yes --no-confirm --qr {name}"
        );
        let added: Value = host.shell(&line).parse().unwrap();
        let metadata = host.path(name).metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 0));
        let mut picture = host.path(name);
        if is_svg {
            let png = host.path("/root/bob.png");
            let rsvg = std::process::Command::new("rsvg-convert")
                .args([picture.as_os_str(), OsStr::new("-o"), png.as_os_str()])
                .status();
            assert!(rsvg.expect("rsvg-convert").success());
            picture = png;
        }
        assert_eq!(codes_in(&picture), [added["uri"].as_str().unwrap()], "{name}");
    }
}

#[test]
fn an_existing_file_is_not_replaced_without_a_yes() {
    let host = host();
    host.enrol("alice");
    let before = setup(&host, "status --user alice --json").json();
    let codes = setup(&host, "codes --user alice --json").json();
    for (line, file) in [
        ("add totp --label second --no-confirm --qr /root/old.png --user alice", "/root/old.png"),
        ("add totp --label second --no-confirm --qr /root/old.svg --user alice", "/root/old.svg"),
        ("codes new --output /root/page --user alice", "/root/page"),
    ] {
        host.write(file, "mine\n");
        let link = file.replace("/root/", "/root/link-");
        host.shell(&format!("ln -s {file} {link}"));
        let files = host.shell("ls -A /root");
        // Nobody to ask; somebody who says no.
        failed(&setup(&host, line), 2, "a question was to be asked, and there is no terminal");
        let argv: Vec<&str> = ["mfa-setup"].into_iter().chain(line.split(' ')).collect();
        let mut tty = host.pty(&argv);
        if line.starts_with("codes") {
            tty.expect("The old ones end. [y/N] ");
            tty.send_line("y");
        }
        tty.expect(&format!("{file} exists. Replace it? [y/N] "));
        tty.send_line("");
        assert_eq!(tty.end().0, Some(1), "{}", tty.text());
        // What is no plain file is not replaced at all.
        let through = line.replace(file, &link);
        failed(&setup(&host, &format!("{through} --yes")), 2, "is not a regular file");
        assert_eq!(host.read(file), "mine\n", "{line}");
        assert_eq!(host.shell("ls -A /root"), files, "nothing half-made is left");
    }
    assert_eq!(setup(&host, "status --user alice --json").json(), before);
    assert_eq!(setup(&host, "codes --user alice --json").json(), codes);

    // A yes beforehand.
    setup(&host, "codes new --output /root/page --yes --user alice").ok();
    assert_eq!(host.path("/root/page").metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(host.read("/root/page").contains("Backup codes of alice on testhost"));
}

#[test]
fn a_page_of_new_codes_can_be_printed_and_its_codes_are_good() {
    let host = host();
    host.enrol("alice");
    let output = setup(&host, "codes new --output /root/page.txt --yes --user alice");
    assert_eq!(output.clone().ok(), "The backup codes of alice are in /root/page.txt.\n");
    assert_eq!(output.stderr, "");
    assert_eq!(host.path("/root/page.txt").metadata().unwrap().mode() & 0o7777, 0o600);
    let page = host.read("/root/page.txt");
    assert!(page.is_ascii() && page.lines().all(|line| line.len() <= 90), "{page}");
    for number in 1..=10 {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let row = page.lines().map(words).find(|row| row.first() == Some(&number.to_string()));
        let row = row.unwrap_or_else(|| panic!("no number {number} in {page}"));
        assert_eq!(log_in(&host, &row[1]), "PAM_SUCCESS", "number {number}");
    }
    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(status["backup_codes_left"], 0);
}

// Errors

#[test]
fn bad_input_is_named_with_a_hint_and_changes_nothing() {
    let host = host();
    host.enrol("alice");
    let before = (setup(&host, "status --user alice --json").json(), store(&host));
    let add = "add totp --yes --no-confirm --label new";
    let long = "x".repeat(10_000);
    for (arguments, error) in [
        (words("status --user nosuch"), "there is no user \"nosuch\""),
        (vec!["status", "--user", "../x"], "there is no user \"../x\""),
        (vec!["status", "--user", "a\nb"], "there is no user \"a\\u{a}b\""),
        (vec!["status", "--user", ""], "there is no user \"\""),
        (words("remove nosuch --yes"), "there is no device \"nosuch\""),
        (words("default nosuch"), "there is no device \"nosuch\""),
        (words("show-key nosuch"), "there is no device \"nosuch\""),
        (vec!["default", "a\x1b[2Jb"], "there is no device \"a\\u{1b}[2Jb\""),
        (words("add totp --yes --no-confirm --label phone"), "there is a device \"phone\" already"),
        (
            vec!["add", "totp", "--no-confirm", "--label", "a\x1b[2Jb"],
            "\"a\\u{1b}[2Jb\" is no label",
        ),
        (vec!["add", "totp", "--no-confirm", "--label", "a\nb"], "\"a\\u{a}b\" is no label"),
        (vec!["add", "totp", "--no-confirm", "--label", "a\u{202e}b"], "is no label"),
        (vec!["add", "totp", "--no-confirm", "--label", ""], "\"\" is no label"),
        (vec!["add", "totp", "--no-confirm", "--label", &long], "is no label"),
        ([words(add), words("--digits 5")].concat(), "5 is no number of digits"),
        ([words(add), words("--digits 9")].concat(), "9 is no number of digits"),
        ([words(add), words("--digits 256")].concat(), "256"),
        ([words(add), words("--period 14")].concat(), "14 is no period"),
        ([words(add), words("--period 301")].concat(), "301 is no period"),
        ([words(add), words("--counter 1")].concat(), "--counter is for hotp"),
        ([words(add), words("--algorithm md5")].concat(), "invalid value 'md5'"),
        ([words(add), words("--qr /root/code.gif")].concat(), "/root/code.gif is neither"),
        (
            [words(add), words("--qr /nosuch/code.png")].concat(),
            "/nosuch/code.png cannot be created",
        ),
        ([words(add), words("--secret-file /nosuch")].concat(), "/nosuch cannot be read"),
        (words("add email"), "invalid value 'email'"),
        (words("stauts"), "unrecognized subcommand 'stauts'"),
        (words("judge"), "judge needs --user"),
        (words("remove"), "the following required arguments were not provided: <LABEL>"),
    ] {
        let mut argv = vec!["setsid", "--wait", "mfa-setup"];
        argv.extend(&arguments);
        if !arguments.contains(&"--user") && arguments != ["judge"] {
            argv.extend(["--user", "alice"]);
        }
        failed(&host.run(&argv), 2, error);
    }
    let add = format!("{add} --user alice --secret-file -");
    for (key, error) in [
        ("not base32!", "the key is not base32"),
        ("GEZDGNBVGY3TQOJ1GEZDGNBVGY3TQOJ8", "the key is not base32"),
        ("GEZDGNBVGY3TQOJQ", "the key has fewer than 16 bytes"),
        (&"A".repeat(200), "the key has more than"),
        ("", "there is no key in standard input"),
        (&format!("{KEY}\n{KEY}"), "standard input has more than one line"),
        ("\u{ff21}", "the key is not base32"),
    ] {
        failed(&setup_with(&host, &add, key), 2, error);
    }
    for (code, error) in [("", "there is no code on standard input"), (&long, "is longer than")] {
        failed(&setup_with(&host, "judge --user alice", code), 2, error);
    }
    // Nobody is there to be asked.
    for line in [
        "--user alice",
        "add totp --user alice",
        "add totp --yes --user alice",
        "remove phone --user alice",
        "reset --user alice",
        "codes new --user alice",
        "test --user alice",
    ] {
        failed(&setup(&host, line), 2, "a question was to be asked, and there is no");
    }
    assert_eq!((setup(&host, "status --user alice --json").json(), store(&host)), before);
    assert!(!host.path("/root/code.gif").exists());

    // Of who is not enrolled there is nothing to change.
    for line in ["remove phone --yes", "default phone", "codes new --yes", "unlock"] {
        failed(&setup(&host, &format!("{line} --user bob")), 2, "bob is not enrolled");
    }
}

#[test]
fn there_are_at_most_eight_devices() {
    let host = host();
    for _ in 0..8 {
        host.enrol("alice");
    }
    let labels = |host: &Running| {
        let status = setup(host, "status --user alice --json").json();
        let devices = status["devices"].as_array().unwrap();
        devices.iter().map(|device| device["label"].clone()).collect::<Vec<_>>()
    };
    let all = labels(&host);
    let numbered = (2..=8).map(|n| json!(format!("phone {n}")));
    assert_eq!(all, [json!("phone")].into_iter().chain(numbered).collect::<Vec<_>>());
    let ninth = setup(&host, "add totp --user alice --yes --no-confirm");
    failed(&ninth, 2, "8 devices are enrolled, which is the most there can be");
    assert_eq!(labels(&host), all);
    setup(&host, "remove phone --yes --user alice").ok();
    host.enrol("alice");
}

#[test]
fn who_is_not_root_is_told_so() {
    let host = host();
    host.enrol("alice");
    let run = |line: &str, exit: i32, told: &str| {
        let mut argv = vec!["setsid", "--wait", "mfa-setup"];
        argv.extend(words(line));
        failed(&host.run_as("alice", &argv), exit, told);
    };
    for line in ["status --user bob", "status --user nobody-of-that-name", "codes new --user root"]
    {
        run(line, 4, "another user's record is root's");
    }
    for line in [
        "show-key phone",
        "unlock",
        "reset --yes",
        "invite alice",
        "judge --user alice",
        "add totp --no-confirm",
        "add totp --secret-file -",
    ] {
        run(line, 4, "only root can do that");
    }
    for line in [
        "status --verifier /usr/libexec/pam_mfa/mfa-verifier",
        "status --config /etc/pam_mfa/config.toml",
    ] {
        run(line, 4, "only root can start a verifier");
    }
    // What is the own is nobody else's business, but here nobody listens for users.
    for line in ["status", "add totp", "codes", "codes new --yes", "remove phone --yes", "test"] {
        run(line, 3, "/run/pam_mfa/user.sock, cannot be reached");
    }
    // The verifier itself is no way around that.
    let verifier = "/usr/libexec/pam_mfa/mfa-verifier";
    let direct = host.run_as("alice", &[verifier]);
    assert_ne!(direct.code, Some(0), "{direct:?}");
}

#[test]
fn a_policy_that_is_none_is_named_with_its_place() {
    let host = host();
    host.enrol("alice");
    for (policy, place) in [
        ("[policy]\nmoed = \"required\"\n", "/etc/pam_mfa/config.toml:2:1: "),
        ("[policy]\nmode = \"mandatory\"\n", "/etc/pam_mfa/config.toml:2:8: "),
        ("[totp]\n\n  digits = 5\n", "/etc/pam_mfa/config.toml:3:12: "),
        ("[policy\n", "/etc/pam_mfa/config.toml:1:"),
        ("[lockout]\nper_source = 0\n", "/etc/pam_mfa/config.toml:2:14: "),
    ] {
        host.write("/etc/pam_mfa/config.toml", policy);
        failed(&setup(&host, "status --user alice"), 3, place);
        failed(&setup(&host, "add totp --yes --no-confirm --user alice"), 3, place);
    }
    host.write("/etc/pam_mfa/config.toml", REQUIRED);
    host.write("/etc/other.toml", "[policy]\nmode = \"of\"\n");
    failed(&setup(&host, "status --config /etc/other.toml"), 3, "/etc/other.toml:2:8: ");
    failed(
        &setup(&host, "status --config /etc/missing.toml"),
        3,
        "/etc/missing.toml does not exist",
    );
    host.shell("chown alice /etc/pam_mfa/config.toml");
    failed(&setup(&host, "status"), 3, "/etc/pam_mfa/config.toml is not owned by root");
    host.shell("chown root /etc/pam_mfa/config.toml; chmod 666 /etc/pam_mfa/config.toml");
    failed(&setup(&host, "status"), 3, "/etc/pam_mfa/config.toml can be written by others");
    host.set_mode("/etc/pam_mfa/config.toml", 0o644);
    // Nothing of it was lost on the way.
    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(status["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_or_store_that_cannot_be_used_is_an_error_and_never_nobody_enrolled() {
    let host = host();
    let mut phone = host.enrol("alice").device;
    for (damage, repair, error) in [
        (
            "mv /etc/pam_mfa/store.key /root/k",
            "mv /root/k /etc/pam_mfa/store.key",
            "store.key is missing",
        ),
        (
            "chown alice /etc/pam_mfa/store.key",
            "chown root /etc/pam_mfa/store.key",
            "is not owned by root",
        ),
        ("chmod 666 /etc/pam_mfa/store.key", "chmod 600 /etc/pam_mfa/store.key", "others"),
        ("chmod 644 /etc/pam_mfa/store.key", "chmod 600 /etc/pam_mfa/store.key", "store.key"),
        ("mv /var/lib/pam_mfa /root/s", "mv /root/s /var/lib/pam_mfa", "no store"),
        ("chown alice /var/lib/pam_mfa", "chown root /var/lib/pam_mfa", "is not owned by root"),
        (
            "cp -p /etc/pam_mfa/store.key /root/k; head -c 32 /dev/urandom >/etc/pam_mfa/store.key",
            "cat /root/k >/etc/pam_mfa/store.key",
            "another key",
        ),
        (
            "truncate -s 31 /etc/pam_mfa/store.key",
            "cat /root/k >/etc/pam_mfa/store.key",
            "store.key",
        ),
    ] {
        host.shell(damage);
        for line in [
            "status --user alice",
            "add totp --yes --no-confirm --user bob",
            "reset --yes --user bob",
        ] {
            failed(&setup(&host, line), 3, error);
        }
        host.shell(repair);
    }
    assert_eq!(log_in(&host, &phone.code()), "PAM_SUCCESS");
    assert_eq!(setup(&host, "status --user bob --json").json()["enrolled"], false);
}

#[test]
fn a_verifier_that_is_missing_or_not_roots_is_not_run() {
    let host = host();
    let installed = "/usr/libexec/pam_mfa/mfa-verifier";
    host.shell(&format!(
        "install -d /opt/v; cp {installed} /opt/v/other; chown alice /opt/v/other
         cp {installed} /opt/v/plain; chmod 644 /opt/v/plain
         echo '#!/bin/sh' >/opt/v/silent; chmod 755 /opt/v/silent
         install -d -o alice /opt/a; cp {installed} /opt/a/verifier"
    ));
    for (line, error) in [
        ("status --verifier /opt/v/missing", "/opt/v/missing does not exist"),
        ("status --verifier /opt/v/other", "/opt/v/other is not owned by root"),
        ("status --verifier /opt/v/plain", "/opt/v/plain is not executable"),
        ("status --verifier /opt/v", "/opt/v is not a regular file"),
        ("status --verifier /opt/a/verifier", "/opt/a is not owned by root"),
        ("status --verifier /opt/v/silent", "the verifier cannot be used"),
        ("status --socket /run/missing", "/run/missing cannot be used"),
    ] {
        failed(&setup(&host, line), 3, error);
    }
    host.shell(&format!("mv {installed} {installed}.away"));
    let missing = setup(&host, "status");
    failed(&missing, 3, &format!("{installed} does not exist"));
    assert!(missing.stderr.contains("hint: install mfa-verifier"), "{}", missing.stderr);
    // A relative name is one from here.
    let there = "cd /usr/libexec/pam_mfa && mfa-setup status --json --verifier mfa-verifier.away";
    assert!(host.shell(there).contains("\"user\":\"root\""));
}

#[test]
fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let host = host();
    // A file system of its own for what grows, and little room in it.
    host.shell(
        "mkdir /small /var/lib/pam_mfa; chmod 700 /var/lib/pam_mfa
         mount -t tmpfs -o size=4m,mode=700 tmpfs /var/lib/pam_mfa
         mount -t tmpfs -o size=64k tmpfs /small",
    );
    let mut enrolled = host.enrol("alice");
    let before = setup(&host, "status --user alice --json").json();
    host.shell("dd if=/dev/zero of=/var/lib/pam_mfa/fill bs=4k 2>/dev/null || true");
    for line in
        ["add totp --yes --no-confirm --user bob", "add totp --yes --no-confirm --user root --json"]
    {
        failed(&setup(&host, line), 3, "No space left on device");
    }
    assert_eq!(setup(&host, "status --user bob --json").json()["enrolled"], false);
    host.shell("rm /var/lib/pam_mfa/fill");
    assert_eq!(setup(&host, "status --user alice --json").json(), before);
    assert_eq!(log_in(&host, &enrolled.device.code()), "PAM_SUCCESS");
    host.enrol("bob");

    // A page or picture without room is found out before anything ends.
    let before = setup(&host, "status --user alice --json").json();
    for line in [
        "codes new --yes --output /small/page --user alice",
        "add totp --yes --no-confirm --label new --qr /small/code.png --user alice",
    ] {
        failed(&setup(&host, line), 3, "cannot be created: No space left on device");
    }
    assert_eq!(host.shell("ls -A /small"), "");
    assert_eq!(setup(&host, "status --user alice --json").json(), before);
    assert_eq!(log_in(&host, &enrolled.backup.code()), "PAM_SUCCESS");

    // An answer that nobody gets says what was done.
    let line = "mfa-setup add totp --label new --yes --no-confirm --json --user alice >/dev/full";
    let lost = host.run(&["setsid", "--wait", "sh", "-c", line]);
    failed(&lost, 3, "device \"new\" is added, but the answer cannot be written");
}

// The rest of the line

#[test]
fn every_command_has_its_help() {
    let host = host();
    let commands = [
        ("", "--config --verifier --socket --user --json --yes"),
        ("add", "--label --algorithm --digits --period --counter --qr --secret-file --no-confirm"),
        ("status", ""),
        ("remove", "<LABEL>"),
        ("default", "<LABEL>"),
        ("codes", "new"),
        ("codes new", "--output"),
        ("test", ""),
        ("show-key", "<LABEL>"),
        ("unlock", ""),
        ("reset", ""),
        ("judge", "--service --from"),
    ];
    for (command, options) in commands {
        for asked in
            [format!("{command} --help"), format!("{command} -h"), format!("help {command}")]
        {
            let help = setup(&host, &asked);
            assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{asked}: {help:?}");
            for wanted in
                ["Usage: mfa-setup", "--json"].into_iter().chain(options.split_whitespace())
            {
                assert!(
                    help.stdout.contains(wanted),
                    "{asked}: {wanted} is not in\n{}",
                    help.stdout
                );
            }
        }
    }
    let whole = setup(&host, "--help").ok();
    for (command, _) in commands {
        assert!(whole.contains(command.split(' ').next().unwrap()), "{command}");
    }
    assert!(setup(&host, "--version").ok().starts_with("mfa-setup "));
}

#[test]
fn no_argument_makes_it_panic() {
    let host = host();
    host.enrol("alice");
    let before = store(&host);
    let long = "x".repeat(10_000);
    let odd: [&[u8]; 6] =
        [b"", b"\xff\xfe", b"\x1b[2J", b"--", "\u{202e}".as_bytes(), long.as_bytes()];
    let mut times = 0;
    for fixed in [
        &[][..],
        &["status"],
        &["status", "--user"],
        &["add"],
        &["add", "totp", "--no-confirm", "--user", "alice", "--label"],
        &["add", "totp", "--no-confirm", "--qr"],
        &["add", "totp", "--no-confirm", "--secret-file"],
        &["add", "totp", "--no-confirm", "--digits"],
        &["remove", "--yes", "--user", "alice"],
        &["default", "--user", "alice"],
        &["show-key", "--user", "alice"],
        &["codes", "new", "--user", "alice", "--output"],
        &["judge", "--user"],
        &["judge", "--user", "alice", "--from"],
        &["judge", "--user", "alice", "--service"],
        &["status", "--config"],
        &["status", "--verifier"],
        &["status", "--socket"],
    ] {
        for odd in odd {
            let mut command = host.command(&["setsid", "--wait", "mfa-setup"]);
            command.args(fixed).arg(OsStr::from_bytes(odd)).stdin(Stdio::null());
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            let what = format!("{fixed:?} {:?}: {stderr}", String::from_utf8_lossy(odd));
            assert!(
                !stderr.contains("panicked") && !stderr.contains(['\x1b', '\u{202e}']),
                "{what}"
            );
            if (fixed, odd) == (&["status"], b"--") {
                assert_eq!(output.status.code(), Some(0), "{what}");
            } else {
                assert!(matches!(output.status.code(), Some(2..=3)), "{what}");
                assert!(stderr.starts_with("mfa-setup: error: "), "{what}");
                assert!(output.stdout.is_empty(), "{what}");
            }
            times += 1;
        }
    }
    let nameless = "exec -a '' mfa-setup status --json --user alice";
    assert_eq!(host.run(&["bash", "-c", nameless]).json()["enrolled"], true);
    assert_eq!(store(&host), before);
    println!("{times} command lines");
}

/// `mfa-setup` in a session without a terminal.
fn setup(host: &Running, line: &str) -> Output {
    setup_with(host, line, "")
}

/// The same with something on standard input.
fn setup_with(host: &Running, line: &str, input: &str) -> Output {
    let mut argv = vec!["setsid", "--wait", "mfa-setup"];
    argv.extend(words(line));
    host.run_with_input(&argv, input)
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// An error of this exit code and text, with a hint, and nothing on standard output.
#[track_caller]
fn failed(output: &Output, exit: i32, error: &str) {
    let Output { code, stdout, stderr } = output;
    assert_eq!((*code, stdout.as_str()), (Some(exit), ""), "{stderr}");
    let (errors, hints): (Vec<&str>, Vec<&str>) =
        stderr.lines().partition(|line| line.starts_with("mfa-setup: error: "));
    assert!(errors.iter().any(|line| line.contains(error)), "{error:?} is not in\n{stderr}");
    assert!(!hints.is_empty(), "no hint in\n{stderr}");
    assert!(hints.iter().all(|line| line.starts_with("mfa-setup: hint: ")), "{stderr}");
}

fn log_in(host: &Running, code: &str) -> String {
    Attempt::new("code", "alice").answer(code).run(host).code().to_owned()
}

/// What a value is made of, in place of its contents.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(number) if number.is_i64() => "number".into(),
        Value::Number(_) => "no integer".into(),
        Value::String(text) if is_time(text) => "time".into(),
        Value::String(_) => "text".into(),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::Object(pairs) => {
            pairs.iter().map(|(key, value)| (key.clone(), shape(value))).collect()
        }
    }
}

/// RFC 3339 in UTC: `2026-11-22T02:31:28Z`.
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:ddZ";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

/// The names in an object, sorted.
fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

/// Now, as coreutils write it.
fn now(host: &Running) -> String {
    host.shell("date -u +%FT%TZ").trim().to_owned()
}

/// Every file of the store, with its size and the time of its last change.
fn store(host: &Running) -> String {
    host.shell("find /var/lib/pam_mfa /etc/pam_mfa -type f -printf '%p %s %T@\\n' | sort")
}
