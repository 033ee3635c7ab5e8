//! What `mfa-setup` refuses or cannot do: each time an exit code, an error and a hint, as interface.md
//! has them, and nothing that has changed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use mfa_tests::Running;
use mfa_tests::command_line::{KEY, REQUIRED, failed, host, log_in, setup, setup_with, words};
use serde_json::json;

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
        (words("add sms"), "invalid value 'sms'"),
        (words("add email"), "no mail is sent from this host"),
        (words("add email --digits 8"), "an e-mail device has nothing but a label and an address"),
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
        ("GEZDGNBVGY3TQOI", "the key has fewer than 10 bytes"),
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
        "users",
        "show alice",
        "bypass alice",
        "bypass alice --revoke",
        "disable phone",
        "enable phone",
        "require alice --off",
        "import google-authenticator",
        "import pam_oath",
        "export",
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

/// Every file of the store, with its size and the time of its last change.
fn store(host: &Running) -> String {
    host.shell("find /var/lib/pam_mfa /etc/pam_mfa -type f -printf '%p %s %T@\\n' | sort")
}
