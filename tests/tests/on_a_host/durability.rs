//! What was answered is on the disk, and was there before the answer.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use mfa_tests::USED;
use mfa_tests::pam::{self, Attempt, Plan, Report};
use mfa_tests::traced::{MODULE, SOCKET, Traced};
use mfa_tests::{Host, Running};
use serde_json::Value;

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

/// The calls that tell in which order something is written, synced and said.
const CALLS: [&str; 3] = [
    "-y",
    "-e",
    "trace=recvfrom,recvmsg,read,sendto,sendmsg,write,writev,pwrite64,fdatasync,fsync,rename",
];

fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .config(REQUIRED)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("traced", MODULE)
}

fn log_in(host: &Running, code: &str) -> Report {
    Attempt::new("app", "alice").answer(code).run(host)
}

/// The first call, at or behind `from`, of one of these functions, about that file and with that
/// result.
#[track_caller]
fn find(calls: &[String], from: usize, functions: &[&str], file: &str, result: &str) -> usize {
    let found = calls.iter().skip(from).position(|call| {
        let function = call.split('(').next().unwrap_or_default();
        functions.contains(&function) && call.contains(file) && call.ends_with(result)
    });
    from + found.unwrap_or_else(|| panic!("no {functions:?} {file} behind {from}: {calls:#?}"))
}

/// The first word to anybody, at or behind `from`: to the face or to the log.
#[track_caller]
fn first_word(calls: &[String], from: usize) -> usize {
    find(calls, from, &["sendto", "sendmsg", "write", "writev"], "<socket:", "")
}

#[test]
fn every_judgement_is_synced_before_anything_is_answered_or_logged() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]);
    let right = alice.device.code();
    let backup = alice.backup.code();
    let bobs = host.enrol("bob").backup.code();
    let cases = [
        ("a right code", right.clone(), "PAM_SUCCESS", "accepted"),
        ("the same again", right, "PAM_AUTH_ERR", "already_used"),
        ("a wrong code", alice.device.wrong_code(), "PAM_AUTH_ERR", "wrong_code"),
        ("a backup code", backup.clone(), "PAM_SUCCESS", "accepted"),
        ("the same backup code", backup, "PAM_AUTH_ERR", "already_used"),
        ("a wrong backup code", bobs, "PAM_AUTH_ERR", "wrong_code"),
    ];
    for (what, code, expected, reason) in &cases {
        let traced = Traced::start(&host, &CALLS);
        let logged = host.log().len();
        let report = Attempt::new("traced", "alice").answer(code.as_str()).run(&host);
        assert_eq!(report.code(), *expected, "{what}");
        let calls = traced.end();
        host.wait_for_log_behind(logged, &format!("reason={reason}"));

        let asked = find(&calls, 0, &["sendto"], "Verification code: ", "");
        let answered = find(&calls, asked, &["recvfrom", "recvmsg", "read"], code, "");
        let summary = "/users/1000/summary>";
        let written = find(&calls, answered, &["pwrite64"], summary, "= 4096");
        let synced = find(&calls, written, &["fdatasync"], summary, "= 0");
        assert!(synced < first_word(&calls, answered), "{what}: {calls:#?}");
        let again = calls.iter().skip(synced).find(|call| call.starts_with("pwrite64"));
        assert_eq!(again, None, "{what}: written behind the sync");
    }
    println!("{} judgements, each synced before the first word", cases.len());
}

#[test]
fn an_enrolment_is_synced_with_its_directories_before_it_is_answered() {
    let host = host().start();
    let add = |kind| ["add", kind, "--json", "--no-confirm"];
    // The first of all makes key and store.
    let calls = traced_setup(&host, "alice", &add("totp"));
    let mut behind = 0;
    for (named, directory) in [
        ("/etc/pam_mfa/store.key\"", "</etc/pam_mfa>"),
        ("/var/lib/pam_mfa/format\"", "</var/lib/pam_mfa>"),
        ("/var/lib/pam_mfa/users/1000\"", "</var/lib/pam_mfa/users>"),
    ] {
        let named = find(&calls, behind, &["rename"], named, "= 0");
        behind = find(&calls, named, &["fsync"], directory, "= 0");
    }
    assert!(behind < first_word(&calls, 0), "{calls:#?}");

    let calls = traced_setup(&host, "bob", &add("hotp"));
    let aside = "/var/lib/pam_mfa/users/.new-1001";
    let named = calls.iter().position(|call| call.starts_with("rename(\"/var/lib/pam_mfa/users/"));
    let named = named.expect("a directory that is made aside and then named");
    assert!(calls[named].contains(aside) && calls[named].ends_with("/users/1001\") = 0"));
    let mut synced = 0;
    for path in below(&host.path("/var/lib/pam_mfa/users/1001")) {
        // In the end: what comes before is sled's own.
        let path = format!("<{aside}{path}>");
        let last = calls[..named].iter().rposition(|call| {
            call.contains(&path) && (call.starts_with("fsync") || call.starts_with("pwrite64"))
        });
        let last = last.unwrap_or_else(|| panic!("{path} is not synced: {calls:#?}"));
        assert!(calls[last].starts_with("fsync") && calls[last].ends_with(" = 0"), "{path}");
        synced += 1;
    }
    let users = find(&calls, named, &["fsync"], "</var/lib/pam_mfa/users>", "= 0");
    assert!(users < first_word(&calls, 0), "{calls:#?}");
    println!("an enrolment: {synced} files and directories, each synced before the first word");

    let more = add("totp");
    let changes: [&[&str]; 6] = [
        &more,
        &["default", "phone"],
        &["codes", "new"],
        &["unlock"],
        &["remove", "token"],
        &["reset"],
    ];
    for change in changes {
        let calls = traced_setup(&host, "bob", change);
        let synced = if change == ["reset"] {
            let gone = find(&calls, 0, &["rename"], "/users/.gone-1001", "= 0");
            find(&calls, gone, &["fsync"], "</var/lib/pam_mfa/users>", "= 0")
        } else {
            let written = find(&calls, 0, &["pwrite64"], "/users/1001/summary>", "= 4096");
            find(&calls, written, &["fdatasync"], "/users/1001/summary>", "= 0")
        };
        assert!(synced < first_word(&calls, 0), "{change:?}: {calls:#?}");
    }
    println!("{} changes, each synced before the first word", changes.len());
}

/// What `mfa-setup` has the verifier do.
#[track_caller]
fn traced_setup(host: &Running, user: &str, arguments: &[&str]) -> Vec<String> {
    let traced = Traced::start(host, &CALLS);
    let options = ["--user", user, "--socket", SOCKET, "--yes"];
    host.run(&[&["mfa-setup"], arguments, &options].concat()).ok();
    traced.end()
}

/// The names of all that is in a directory, with a slash before each; the directory itself is "".
fn below(directory: &Path) -> Vec<String> {
    let mut all = vec![String::new()];
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = format!("/{}", entry.file_name().display());
        if entry.path().is_dir() {
            all.extend(below(&entry.path()).into_iter().map(|path| format!("{name}{path}")));
        } else {
            all.push(name);
        }
    }
    all
}

/// The file that is a disk, and where it is mounted.
const IMAGE: &str = "/disk/image";
const MOUNTED: &str = "/srv";

#[test]
fn what_was_answered_survives_a_power_cut() {
    let host = host()
        .disk("/disk")
        .config(&format!("{REQUIRED}[store]\npath = \"{MOUNTED}/pam_mfa\"\n"))
        .start();
    host.make_disk(IMAGE, 16);
    host.mount_disk(IMAGE, MOUNTED);
    let mut alice = host.enrol_with("alice", &["hotp"]);
    host.enrol("bob");
    host.shell("sync");

    let cuts = Cell::new(0);
    // A new file each time: one that is overwritten is synced by ext4, to be kind.
    let file = || format!("{MOUNTED}/not-synced-{}", cuts.get());
    let cut = || {
        host.cut_power(IMAGE, MOUNTED);
        let lost = fs::read(host.path(file())).unwrap_or_default();
        cuts.set(cuts.get() + 1);
        assert!(lost.is_empty(), "the power was not cut: what nobody synced is there");
    };
    let not_synced = || host.write(file(), "x".repeat(4096));

    for code in alice.device.codes(14) {
        not_synced();
        assert_eq!(log_in(&host, &code).code(), "PAM_SUCCESS");
        cut();
        let again = log_in(&host, &code);
        assert_eq!((again.code(), again.told()), ("PAM_AUTH_ERR", vec![USED]));
    }
    for code in alice.backup.codes.drain(..4) {
        not_synced();
        assert_eq!(log_in(&host, &code).code(), "PAM_SUCCESS");
        cut();
        let again = log_in(&host, &code);
        assert_eq!((again.code(), again.told()[0]), ("PAM_AUTH_ERR", USED));
    }
    let wrong = alice.device.wrong_code();
    for failures in 1..=4 {
        not_synced();
        assert_eq!(log_in(&host, &wrong).code(), "PAM_AUTH_ERR");
        cut();
        assert_eq!(device(&host, "alice")["failures"], failures);
    }
    for _ in 0..4 {
        not_synced();
        assert_eq!(setup(&host, "bob", &["reset"])["done"], true);
        cut();
        assert_eq!(setup(&host, "bob", &["status"])["enrolled"], false);

        not_synced();
        let mut bob = host.enrol_with("bob", &["hotp"]);
        cut();
        let code = bob.device.code();
        let report = Attempt::new("app", "bob").answer(code).run(&host);
        assert_eq!(report.code(), "PAM_SUCCESS");
    }
    assert_eq!(log_in(&host, &alice.device.code()).code(), "PAM_SUCCESS");
    println!("{} power cuts", cuts.get());
    assert_eq!(host.logged_by_now("outcome=unavailable"), [""; 0]);
}

fn setup(host: &Running, user: &str, arguments: &[&str]) -> Value {
    host.run(&[&["mfa-setup", "--json", "--yes", "--user", user], arguments].concat()).json()
}

fn device(host: &Running, user: &str) -> Value {
    setup(host, user, &["status"])["devices"][0].clone()
}

#[test]
fn a_thousand_logins_of_one_user_take_little_disk() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]);
    let disk_usage = || -> u64 {
        let said = host.run(&["du", "-sk", "/var/lib/pam_mfa/users/1000"]).ok();
        said.split_whitespace().next().unwrap().parse().unwrap()
    };
    let fresh = disk_usage();
    assert!(fresh <= 32, "{fresh} KiB");
    let (mut logins, mut most) = (0, fresh);
    for _ in 0..20 {
        let attempts = alice.device.codes(50).into_iter();
        let attempts = attempts.map(|code| Attempt::new("app", "alice").answer(code)).collect();
        for report in pam::run(&host, &Plan { attempts, ..Plan::default() }) {
            assert_eq!(report.code(), "PAM_SUCCESS");
            logins += 1;
        }
        most = most.max(disk_usage());
        let blobs = fs::read_dir(host.path("/var/lib/pam_mfa/users/1000/db/blobs")).unwrap();
        assert_eq!(blobs.count(), 0, "sled never syncs blobs");
    }
    println!("fresh {fresh} KiB, at most {most} KiB in {logins} logins");
    assert!(most <= 192, "{most} KiB");
}
