//! The answers of `mfa-setup` to scripts and administrators: texts, JSON and exit codes as interface.md
//! has them, against the installed verifier and its store.

use std::fs;

use mfa_tests::command_line::{failed, host, log_in, setup, setup_with};
use mfa_tests::pam::Attempt;
use mfa_tests::{Device, Running};
use serde_json::{Value, json};

const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";

#[test]
fn the_status_of_who_is_not_enrolled_is_an_answer() {
    let host = host();
    let expected = json!({
        "user": "alice", "uid": 1000, "enrolled": false, "devices": [], "backup_codes_left": 0,
        "lockout": {"failures": 0, "locked_until": null}, "bypass": null, "required": false,
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
fn the_store_is_made_by_root_once_and_what_is_there_is_never_replaced() {
    let host = host();
    let (store, key) = ("/var/lib/pam_mfa", "/etc/pam_mfa/store.key");
    failed(&host.run_as("alice", &["mfa-setup", "init"]), 4, "only root can do that");
    assert!(!host.path(key).exists() && !host.path(store).exists());
    let made = json!({"store": store, "key_file": key, "made": true});
    assert_eq!(setup(&host, "init --json").json(), made);
    assert_eq!(host.logged_by_now("action=init outcome=done").len(), 1);
    // Nobody is enrolled by that, and a login stays what it was.
    assert_eq!(setup(&host, "status --json --user alice").json()["enrolled"], false);
    assert_eq!(log_in(&host, "123456"), "PAM_AUTH_ERR");

    let kept = fs::read(host.path(key)).unwrap();
    host.enrol("alice");
    let text = setup(&host, "init").ok();
    assert_eq!(text, format!("The store {store} and its key {key} are there already.\n"));
    assert_eq!(fs::read(host.path(key)).unwrap(), kept);
    assert_eq!(setup(&host, "status --json --user alice").json()["enrolled"], true);

    // One without the other is another host's, or not mounted.
    host.shell("mv /etc/pam_mfa/store.key /root/");
    failed(&setup(&host, "init"), 3, "its sealing key /etc/pam_mfa/store.key is missing");
    host.shell("mv /root/store.key /etc/pam_mfa/; mv /var/lib/pam_mfa /var/lib/away");
    failed(&setup(&host, "init"), 3, "but no store");
    assert!(!host.path(store).exists());
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
            "bypass": "null", "required": "boolean",
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
        ("enable phone", "enable"),
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
        ("token", "new list revoke"),
        ("token new", "<NAME> --expires --from --service"),
        ("token list", ""),
        ("token revoke", "<NAME>"),
        ("remembered", ""),
        ("forget", "--all"),
        ("test", ""),
        ("show-key", "<LABEL>"),
        ("unlock", ""),
        ("reset", ""),
        ("judge", "--service --from"),
        ("users", ""),
        ("show", "<NAME>"),
        ("bypass", "<NAME> --for --uses --revoke"),
        ("disable", "<LABEL>"),
        ("enable", "<LABEL>"),
        ("require", "<NAME> --off"),
        ("import", "google-authenticator pam_oath"),
        ("import google-authenticator", "[FILE] --all --label --dry-run"),
        ("import pam_oath", "[FILE] --all --without-pin --label --dry-run"),
        ("export", "--format --output"),
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
