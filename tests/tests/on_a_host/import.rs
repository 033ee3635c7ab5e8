//! People who come from google-authenticator and `pam_oath`, and leave again: with the modules themselves, whose
//! files are written by their own programs.

use std::os::unix::fs::MetadataExt;

use mfa_tests::command_line::{REQUIRED, failed, setup};
use mfa_tests::pam::Attempt;
use mfa_tests::readme::{blocks, section, type_all, typed_by_root};
use mfa_tests::{Device, Host, Output, Running};
use serde_json::{Value, json};

/// The key of RFC 4226, appendix D, in hex.
const KEY: &str = "3132333435363738393031323334353637383930";

/// Its codes, from counter 0 on.
const CODES: [&str; 4] = ["755224", "287082", "359152", "969429"];

/// A base32 key of 16 bytes, for who has made a file by hand.
const OTHER_KEY: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEE";

fn host() -> Running {
    let users = ["alice", "bob", "carol", "dave", "eve"];
    let host = users.iter().fold(Host::new(), |host, user| host.user(user, "rabbit"));
    host.config(REQUIRED)
        .pam("code", "auth required pam_mfa.so\n")
        .pam("google", "auth required pam_google_authenticator.so\n")
        .pam("oath", "auth required pam_oath.so usersfile=/etc/users.oath\n")
        .start()
}

/// How a login ends at which the code alone is asked for, by the module of that service.
fn log_in(host: &Running, service: &str, user: &str, code: &str) -> String {
    Attempt::new(service, user).answer(code).run(host).code().to_owned()
}

#[track_caller]
fn lets_in(host: &Running, service: &str, user: &str, code: &str) {
    assert_eq!(log_in(host, service, user, code), "PAM_SUCCESS", "{service}");
}

#[track_caller]
fn refuses(host: &Running, user: &str, code: &str, reason: &str) {
    let seen = host.log().len();
    assert_eq!(log_in(host, "code", user, code), "PAM_AUTH_ERR");
    host.wait_for_log_behind(seen, &format!("reason={reason}"));
}

/// Enrols a user in google-authenticator: the app, and the scratch codes.
fn google(host: &Running, user: &str, options: &[&str]) -> (Device, Vec<String>) {
    let file = format!("/home/{user}/.google_authenticator");
    let secret = format!("--secret={file}");
    let mut argv = vec!["google-authenticator", "--quiet", "--force", "--no-confirm", &secret];
    argv.extend(["--rate-limit=9", "--rate-time=30", "--emergency-codes=5"]);
    argv.extend(options);
    host.run_as(user, &argv).ok();
    let text = host.read(&file);
    let mut lines = text.lines();
    let app = Device::totp(lines.next().unwrap());
    (app, lines.filter(|line| !line.starts_with('"')).map(str::to_owned).collect())
}

const BY_TIME: [&str; 3] = ["--time-based", "--disallow-reuse", "--window-size=3"];

fn import(host: &Running, line: &str) -> Value {
    let answer = setup(host, &format!("import {line} --json")).json();
    let [user] = &answer["users"].as_array().unwrap()[..] else { panic!("{answer}") };
    user.clone()
}

/// The answer of an import with which there was a problem.
#[track_caller]
fn with_problems(output: &Output) -> Vec<Value> {
    assert_eq!(output.code, Some(1), "{output:?}");
    let answer: Value = serde_json::from_str(&output.stdout).unwrap();
    answer["users"].as_array().unwrap().clone()
}

#[test]
fn who_comes_from_google_authenticator_goes_on_with_the_same_app_and_scratch_codes() {
    let host = host();
    let (mut app, scratch) = google(&host, "alice", &BY_TIME);
    let used = app.code();
    lets_in(&host, "google", "alice", &used);
    lets_in(&host, "google", "alice", &scratch[0]);

    let label = "google-authenticator";
    assert_eq!(
        import(&host, "google-authenticator --user alice"),
        json!({
            "user": "alice", "uid": 1000, "imported": [{"label": label, "kind": "totp"}], "already": [],
            "backup_codes": 4, "skipped": [], "notes": [], "problem": null,
        })
    );
    refuses(&host, "alice", &used, "already_used");
    refuses(&host, "alice", &scratch[0], "wrong_code");
    lets_in(&host, "code", "alice", &app.code());
    lets_in(&host, "code", "alice", &scratch[1]);
    refuses(&host, "alice", &scratch[1], "already_used");
    let status = setup(&host, "status --user alice --json").json();
    assert_eq!(status["backup_codes_left"], 3);
    let codes = setup(&host, "codes --user alice");
    assert!(codes.stderr.contains("mfa-setup: hint: The backup codes are the scratch codes"));
    setup(&host, "codes new --user alice --yes").ok();
    refuses(&host, "alice", &scratch[2], "misshapen");

    let (key, log) = (app.secret.clone(), host.logged_by_now(""));
    let told = |secret: &str| log.iter().any(|line| line.contains(secret));
    assert!(!told(&key) && !scratch.iter().any(|code| told(code)), "{log:?}");
    assert_eq!(host.logged("action=import outcome=done user=\"alice\"").len(), 1);
}

#[test]
fn the_guide_leads_everybody_over_line_by_line() {
    const GUIDE: &str = "## Coming from google-authenticator or pam_oath";
    let host = host();
    let (mut app, scratch) = google(&host, "alice", &BY_TIME);
    host.shell("ln -s /etc/shadow /home/bob/.google_authenticator");
    host.write("/etc/users.oath", format!("HOTP carol - {KEY}\n"));
    let of_google = &blocks(GUIDE, "console")[0];
    // What is shown of the first line is what there is to be seen.
    let shown: Vec<_> =
        of_google.lines().skip(1).take_while(|line| !line.starts_with("# ")).collect();
    let dry = setup(&host, "import google-authenticator --all --dry-run");
    assert_eq!((dry.stdout.lines().collect::<Vec<_>>(), dry.code), (shown, Some(1)));

    host.shell("rm /home/bob/.google_authenticator");
    type_all(&host, "/", &typed_by_root(GUIDE));
    let stacks: Vec<_> = section(GUIDE)
        .lines()
        .filter_map(|line| line.strip_prefix("    auth ").map(str::to_owned))
        .collect();
    let [of_google, of_oath, ours] = &stacks[..] else { panic!("{stacks:?}") };
    for old in [of_google, of_oath] {
        host.write("/etc/pam.d/door", format!("auth {old}\n"));
        host.shell(&format!("sed -i 's|{old}|{ours}|' /etc/pam.d/door"));
    }
    lets_in(&host, "door", "alice", &app.code());
    lets_in(&host, "door", "alice", &scratch[0]);
    lets_in(&host, "door", "carol", CODES[0]);
    assert_ne!(log_in(&host, "door", "carol", CODES[0]), "PAM_SUCCESS");
}

#[test]
fn counters_of_google_authenticator_go_on_where_they_stood() {
    let host = host();
    google(&host, "alice", &["--counter-based", "--window-size=3"]);
    let path = "/home/alice/.google_authenticator";
    let key = host.read(path).lines().next().unwrap().to_owned();
    let mut token = Device::from_uri(&format!("otpauth://hotp/x?secret={key}&counter=1"));
    let codes = token.codes(3);
    lets_in(&host, "google", "alice", &codes[0]);
    let imported = import(&host, "google-authenticator --user alice --label token");
    assert_eq!(imported["imported"], json!([{"label": "token", "kind": "hotp"}]));
    refuses(&host, "alice", &codes[0], "already_used");
    lets_in(&host, "code", "alice", &codes[1]);
}

#[test]
fn who_comes_from_pam_oath_goes_on_with_the_same_app_and_token() {
    let host = host();
    let pad = |n: u32| format!("{KEY}{n:02}");
    host.write(
        "/etc/users.oath",
        format!(
            "# people\nHOTP/T30/6\talice\t-\t{KEY}\nHOTP bob - {KEY}\nHOTP\tcarol\t1234\t{}\n\
             HOTP nobody-of-that-name - {}\nHOTP/T45 dave - {}\n",
            pad(1),
            pad(2),
            pad(3)
        ),
    );
    host.set_mode("/etc/users.oath", 0o600);
    let mut app = Device::totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    let used = app.code();
    host.shell("grep -v -e carol -e nobody -e T45 /etc/users.oath > /root/all; cp /etc/users.oath /root/whole; cat /root/all > /etc/users.oath");
    lets_in(&host, "oath", "alice", &used);
    lets_in(&host, "oath", "bob", CODES[0]);
    lets_in(&host, "oath", "bob", CODES[1]);
    host.shell("grep -e carol -e nobody -e T45 /root/whole >> /etc/users.oath");

    let output = setup(&host, "import pam_oath --json");
    let users = with_problems(&output);
    let names: Vec<_> = users.iter().map(|user| user["user"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "carol", "dave", "nobody-of-that-name"]);
    assert_eq!(users[0]["imported"], json!([{"label": "oath", "kind": "totp"}]));
    assert_eq!(users[1]["imported"], json!([{"label": "oath", "kind": "hotp"}]));
    for (user, line) in [(&users[2], 4), (&users[3], 6)] {
        assert_eq!(user["problem"], "no key in it can be taken over");
        assert_eq!(user["skipped"][0]["line"], line, "{user}");
    }
    assert!(users[4]["problem"].as_str().unwrap().starts_with("there is no user"));
    assert!(!output.stdout.contains("1234") && !output.stdout.contains("3132"));

    refuses(&host, "alice", &used, "already_used");
    lets_in(&host, "code", "alice", &app.code());
    refuses(&host, "bob", CODES[0], "wrong_code");
    refuses(&host, "bob", CODES[1], "already_used");
    lets_in(&host, "code", "bob", CODES[2]);
    // Who is asked for a password anyway may leave the PIN.
    let carol = import(&host, "pam_oath --user carol --without-pin");
    assert_eq!(carol["imported"][0]["kind"], "hotp");
    failed(&setup(&host, "import pam_oath --user eve"), 2, "/etc/users.oath has no line of eve");
}

#[test]
fn a_second_import_changes_nothing_and_a_dry_run_nothing_at_all() {
    let host = host();
    let (mut app, _) = google(&host, "alice", &BY_TIME);
    let line = "google-authenticator --user alice";
    let dry = import(&host, &format!("{line} --dry-run"));
    assert!(
        !host.path("/var/lib/pam_mfa").exists() && !host.path("/etc/pam_mfa/store.key").exists()
    );
    assert_eq!(import(&host, line), dry);
    lets_in(&host, "code", "alice", &app.code());
    // Each save writes it.
    let saved = || host.shell("stat -c %y /var/lib/pam_mfa/users/1000/summary");
    let status = || setup(&host, "status --user alice --json").json();
    let before = (saved(), status());
    let again = import(&host, line);
    assert_eq!(again["imported"], json!([]));
    assert_eq!(
        (&again["already"], &again["problem"]),
        (&json!(["google-authenticator"]), &Value::Null)
    );
    let text = setup(&host, &format!("import {line} --dry-run")).ok();
    assert!(
        text.starts_with("alice: has that key already, as \"google-authenticator\"\n"),
        "{text}"
    );
    assert_eq!((saved(), status()), before);
    assert_eq!(host.logged_by_now("action=import").len(), 1);
}

#[test]
fn links_fifos_and_what_is_anothers_are_refused_and_end_nothing_of_all() {
    let host = host();
    let (mut app, _) = google(&host, "alice", &BY_TIME);
    google(&host, "dave", &BY_TIME);
    host.shell(
        "ln -s /home/alice/.google_authenticator /home/bob/.google_authenticator
         mkfifo /home/carol/.google_authenticator
         chown carol /home/carol/.google_authenticator
         chown alice /home/dave/.google_authenticator
         printf 'no key here!\\n\" TOTP_AUTH\\n12345678\\n' > /home/eve/.google_authenticator
         chown eve /home/eve/.google_authenticator; chmod 600 /home/eve/.google_authenticator",
    );
    for (user, error) in [
        ("bob", "is a symbolic link"),
        ("carol", "is not a regular file"),
        ("dave", "cannot be read"),
    ] {
        let output = setup(&host, &format!("import google-authenticator --user {user}"));
        failed(&output, 2, &format!("/home/{user}/.google_authenticator {error}"));
    }
    host.shell("chmod 644 /home/dave/.google_authenticator");
    let line = "import google-authenticator --user dave";
    failed(&setup(&host, line), 2, "belongs to somebody else");
    failed(&setup(&host, "import google-authenticator --user nobody-there"), 2, "no user");
    failed(
        &setup(&host, "import google-authenticator"),
        2,
        "there is no /root/.google_authenticator",
    );

    let users = with_problems(&setup(&host, "import google-authenticator --all --json"));
    let names: Vec<_> = users.iter().map(|user| user["user"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "carol", "dave", "eve"]);
    assert_eq!(users[0]["problem"], Value::Null);
    assert!(users[1..].iter().all(|user| user["problem"].is_string()), "{users:?}");
    assert_eq!(users[4]["skipped"], json!([{"line": 1, "why": "the key is not base32"}]));
    lets_in(&host, "code", "alice", &app.code());
    let listed = setup(&host, "users --json").json();
    assert_eq!(listed["users"].as_array().unwrap().len(), 1);

    // What a user leads root to is read with the user's rights, or not at all.
    host.shell(
        "install -d -m 700 /root/keys; cp /home/alice/.google_authenticator /root/keys/eve
         chmod 600 /root/keys/eve; ln -s /root/keys /home/eve/keys",
    );
    let by_link = setup(&host, "import google-authenticator /home/eve/keys/eve --user eve");
    failed(&by_link, 2, "");
    assert_eq!(setup(&host, "status --user eve --json").json()["enrolled"], false);
    let by_path = import(&host, "google-authenticator /root/keys/eve --user eve");
    assert_eq!(by_path["imported"].as_array().unwrap().len(), 1);
    host.shell("chown alice /etc/users.oath 2>/dev/null || install -o alice -m 600 /dev/null /etc/users.oath");
    failed(&setup(&host, "import pam_oath"), 2, "/etc/users.oath");
}

#[test]
fn root_alone_may_import_and_export() {
    let host = host();
    google(&host, "alice", &BY_TIME);
    let _listener = host.listen_for_users();
    for line in [
        &["mfa-setup", "import", "google-authenticator"][..],
        &["mfa-setup", "import", "google-authenticator", "--all"],
        &["mfa-setup", "import", "pam_oath"],
        &["mfa-setup", "export"],
    ] {
        failed(&host.run_as("alice", line), 4, "only root can do that");
    }
}

#[test]
fn who_leaves_again_takes_along_keys_and_what_was_used() {
    let host = host();
    host.write("/root/file", format!("{OTHER_KEY}\n\" TOTP_AUTH\n\" DISALLOW_REUSE\n"));
    host.set_mode("/root/file", 0o600);
    import(&host, "google-authenticator /root/file --user alice --label phone");
    let mut app = Device::totp(OTHER_KEY);
    let used = app.code();
    lets_in(&host, "code", "alice", &used);

    let uri = setup(&host, "export --user alice").ok();
    assert!(uri.starts_with("otpauth://totp/") && uri.lines().count() == 1, "{uri}");
    assert_eq!(Device::from_uri(uri.trim()).code_at_step(7), app.code_at_step(7));
    let answer = setup(&host, "export --user alice --json").json();
    assert_eq!(
        answer,
        json!({
            "user": "alice", "uid": 1000, "devices": [{"label": "phone", "kind": "totp", "text": uri}],
            "left_out": [], "backup_codes_left": 0,
        })
    );

    // The other modules themselves know then what was used, and go on behind it.
    let file = "/home/alice/.google_authenticator";
    setup(&host, &format!("export --user alice --format google-authenticator --output {file}"))
        .ok();
    let metadata = host.path(file).metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 0));
    host.shell(&format!("chown alice:alice {file}"));
    setup(&host, "export --user alice --format pam_oath --output /etc/users.oath --yes").ok();
    let next = app.code();
    for module in ["google", "oath"] {
        assert_ne!(log_in(&host, module, "alice", &used), "PAM_SUCCESS", "{module}");
        lets_in(&host, module, "alice", &next);
    }
    // A file that is there is not replaced without asking.
    let again = setup(&host, "export --user alice --output /etc/users.oath");
    assert_ne!(again.code, Some(0));
    assert!(host.read("/etc/users.oath").starts_with("HOTP/T30/6\talice\t-\t"));
    assert_eq!(host.logged("action=export outcome=done").len(), 4);

    let bob = host.enrol("bob");
    drop(bob);
    let output = setup(&host, "export --user bob");
    assert!(output.stderr.contains("10 backup codes are left out"), "{output:?}");
    failed(&setup(&host, "export --user carol"), 2, "carol is not enrolled");
}
