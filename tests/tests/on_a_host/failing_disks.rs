//! System calls that fail, and disks that are full: a refusal that says why, and nothing is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mfa_tests::pam::Attempt;
use mfa_tests::traced::{MODULE, SOCKET, Traced, VERIFIER};
use mfa_tests::{Host, Output, Running};

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n\
                      [backup_codes]\ncount = 1\n";

const ADD: [&str; 8] =
    ["mfa-setup", "add", "hotp", "--user", "bob", "--json", "--yes", "--no-confirm"];

/// What a disk can say, each in its turn.
const ERRORS: [&str; 4] = ["ENOSPC", "EIO", "EDQUOT", "EROFS"];

/// Those of them that say that there is no room.
const NO_ROOM: [&str; 2] = ["ENOSPC", "EDQUOT"];

fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("traced", MODULE)
}

/// The functions that write to a disk and the numbers of their calls, from the first call about
/// `decisive` on. Calls that go to a socket are no such.
fn writes(calls: &[String], decisive: &str) -> BTreeMap<String, Vec<usize>> {
    let from = calls.iter().position(|call| call.contains(decisive)).expect("a decisive call");
    let (mut numbers, mut writes) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
    for (at, call) in calls.iter().enumerate() {
        let Some((function, arguments)) = call.split_once('(') else { continue };
        let number = numbers.entry(function.to_owned()).or_default();
        *number += 1;
        let on_disk = match function {
            "write" | "pwrite64" | "fsync" | "fdatasync" => !arguments.contains("<socket:"),
            "rename" | "mkdir" | "unlink" | "ftruncate" => true,
            _ => false,
        };
        if at >= from && on_disk {
            writes.entry(function.to_owned()).or_insert_with(Vec::new).push(*number);
        }
    }
    writes
}

/// A verifier in which that call fails, in every thread.
fn failing(host: &Running, function: &str, when: &str, error: &str) -> Traced {
    Traced::start(host, &["-y", "-e", &format!("inject={function}:error={error}:when={when}")])
}

/// Whether a failed call was none that the record depends on: it came behind the call that made it
/// `durable`, or what it should have synced was synced later.
fn harmless(calls: &[String], durable: Option<usize>) -> bool {
    let failed = calls.iter().position(|call| call.ends_with("(INJECTED)")).expect("a failed call");
    let (function, file) = calls[failed].split_once('<').expect("a descriptor's file");
    let again = format!("<{}>", file.split('>').next().unwrap_or_default());
    let synced_again = |call: &String| {
        call.starts_with("fsync") && call.contains(&again) && call.ends_with(" = 0")
    };
    durable.is_some_and(|durable| durable < failed)
        || function.starts_with("fsync") && calls[failed..].iter().any(synced_again)
}

/// The first call, at or behind `from`, that begins so, names that file and succeeded.
fn succeeded(calls: &[String], from: usize, function: &str, file: &str) -> Option<usize> {
    let found = calls.iter().skip(from).position(|call| {
        call.starts_with(function) && call.contains(file) && call.ends_with(" = 0")
    });
    Some(from + found?)
}

#[test]
fn a_login_whose_disk_fails_is_refused_and_the_record_stays_whole() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let log_in = |service: &str, code: &str| Attempt::new(service, "alice").answer(code).run(&host);
    // Twice, so that there is an old snapshot to be removed.
    assert!(log_in("app", &alice.code()).accepted());
    let code = alice.code();
    let whole = Traced::start(&host, &["-y"]);
    assert!(log_in("traced", &code).accepted());
    // From some point on; that one call fails is in `a_fault_at_every_call`. The last one is of sled's threads.
    let functions = writes(&whole.end(), &code).into_keys().chain(["sync_file_range".to_owned()]);
    let points: Vec<_> = functions.map(|function| (function, "1+")).collect();

    let (mut refused, mut saved) = (0, 0);
    let mut granted = BTreeMap::<String, usize>::new();
    for (function, when) in &points {
        for error in ERRORS {
            let what = format!("{function} {when} {error}");
            let code = alice.code();
            let traced = failing(&host, function, when, error);
            let first = log_in("traced", &code);
            let calls = traced.end();
            assert_eq!((first.died.as_deref(), &first.changed), (None, &[].into()), "{what}");
            if first.code() == "PAM_SUCCESS" {
                let durable = succeeded(&calls, 0, "fdatasync", "/users/1000/summary>");
                let tidying = function == "unlink";
                // What has no room is passed over, but for the summary.
                let passed_over = NO_ROOM.contains(&error) && durable.is_some();
                assert!(tidying || passed_over || harmless(&calls, durable), "{what}: {calls:#?}");
                *granted.entry(format!("{function} {when}")).or_default() += 1;
                assert!(!log_in("app", &code).accepted(), "{what}: accepted twice");
            } else {
                assert_eq!(first.code(), "PAM_AUTHINFO_UNAVAIL", "{what}: {first:?}");
                refused += 1;
                // The next verifier finds the old record or the new one.
                saved += usize::from(!log_in("app", &code).accepted());
            }
        }
    }
    println!(
        "{} failing calls: {refused} logins refused, {saved} of them had been saved; granted, \
         because what failed came behind the sync, was tidying, or had no room for what can be passed \
         over: {granted:?}",
        points.len() * ERRORS.len()
    );
    assert!(refused > 0);
    let unavailable = host.logged_by_now("outcome=unavailable");
    assert!(unavailable.iter().all(|line| line.contains("error=\"")), "{unavailable:#?}");
}

/// Says what is wrong and what to do, and gives no answer.
#[track_caller]
fn refused(output: &Output) {
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{output:?}");
    let lines: Vec<_> = output.stderr.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("mfa-setup: error: ")), "{output:?}");
    assert!(lines.iter().any(|line| line.starts_with("mfa-setup: hint: ")), "{output:?}");
}

fn enrolled(host: &Running, user: &str) -> bool {
    host.run(&["mfa-setup", "status", "--user", user, "--json"]).json()["enrolled"] == true
}

fn enrol_and_log_in(host: &Running, user: &str) {
    let code = host.enrol_with(user, &["hotp"]).device.code();
    assert!(Attempt::new("app", user).answer(code).run(host).accepted());
}

#[test]
fn an_enrolment_whose_disk_fails_is_refused_and_leaves_nothing_or_a_whole_record() {
    let host = host().start();
    let add_traced = [&ADD[..], &["--socket", SOCKET]].concat();
    let reset = || drop(host.run(&["mfa-setup", "reset", "--user", "bob", "--yes"]).ok());
    let make_anew = || drop(host.shell("rm -rf /etc/pam_mfa/store.key* /var/lib/pam_mfa/*"));

    for (what, founds) in [("the enrolment that makes the store", true), ("an enrolment", false)] {
        make_anew();
        if !founds {
            host.enrol("alice");
        }
        let whole = Traced::start(&host, &["-y"]);
        host.run(&add_traced).ok();
        let first_file = if founds { "store.key.new" } else { ".new-1001" };
        let points = writes(&whole.end(), first_file);
        // Every fifth of its kind where sixteen decoys are made in the same way.
        let each = if founds { 5 } else { 1 };
        let points =
            points.iter().flat_map(|(f, all)| all.iter().step_by(each).map(move |n| (f, n)));
        let (mut done, mut whole, mut nothing) = (BTreeMap::<String, usize>::new(), 0, 0);
        for ((function, number), error) in points.zip(ERRORS.iter().cycle()) {
            if founds {
                make_anew();
            } else {
                reset();
            }
            let traced = failing(&host, function, &number.to_string(), error);
            let output = host.run(&add_traced);
            let calls = traced.end();
            let what = format!("{function} {number} {error}");
            if output.code == Some(0) {
                let named = succeeded(&calls, 0, "rename", "/users/1001\"");
                let durable = succeeded(&calls, named.unwrap(), "fsync", "/users>");
                assert!(harmless(&calls, durable), "{what}: {calls:#?}");
                *done.entry(format!("{function} {number}")).or_default() += 1;
                assert!(enrolled(&host, "bob"), "{what}");
                continue;
            }
            refused(&output);
            if enrolled(&host, "bob") {
                whole += 1;
                reset();
            } else {
                nothing += 1;
            }
            enrol_and_log_in(&host, "bob");
            let left = host.shell("ls -A /var/lib/pam_mfa/users | grep '^[.]' || true");
            assert_eq!(left, "", "{what}");
        }
        println!(
            "{what}: {} calls failed and it was refused; {nothing} left nothing, {whole} a whole \
             record; it was done all the same where what failed came later: {done:?}",
            nothing + whole
        );
        assert!(nothing > 0);
    }
}

#[test]
fn a_verifier_that_gets_no_memory_descriptors_or_threads_refuses_in_time() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    // Past the program's start, which a dynamic linker would not survive.
    let failures = [
        ("mmap", "30+", "ENOMEM"),
        ("brk", "2+", "ENOMEM"),
        ("openat", "5+", "EMFILE"),
        ("openat", "12", "ENFILE"),
        ("openat", "14", "EMFILE"),
        ("openat", "16+", "EMFILE"),
        ("clone3", "1", "EAGAIN"),
        ("clone3", "2+", "EAGAIN"),
        ("flock", "1+", "ENOLCK"),
        ("getrandom", "1+", "ENOSYS"),
        ("recvfrom", "3+", "ECONNRESET"),
    ];
    let (mut refused, mut granted, mut slowest) = (0, vec![], Duration::ZERO);
    for (function, when, error) in failures {
        let what = format!("{function} {when} {error}");
        let code = alice.code();
        let traced = failing(&host, function, when, error);
        let since = Instant::now();
        let first = Attempt::new("traced", "alice").answer(code.as_str()).run(&host);
        slowest = slowest.max(since.elapsed());
        let calls = traced.end();
        assert_eq!((first.died.as_deref(), &first.changed), (None, &[].into()), "{what}");
        assert!(calls.iter().any(|call| call.contains("(INJECTED)")), "{what} did not happen");
        let second = Attempt::new("app", "alice").answer(code).run(&host).accepted();
        match first.code() {
            "PAM_SUCCESS" => {
                assert!(!second, "{what}: accepted twice");
                granted.push(what);
            }
            // A connection that breaks is nobody's answer.
            "PAM_AUTHINFO_UNAVAIL" | "PAM_AUTH_ERR" => refused += 1,
            code => panic!("{what}: {code}"),
        }
    }
    println!("{refused} refused, the slowest after {slowest:.1?}; done without: {granted:?}");
    // Nothing but a person may take longer than ten seconds.
    assert!(refused > 0 && slowest < Duration::from_secs(12), "{slowest:?}");
}

#[test]
fn a_full_disk_refuses_with_a_hint_and_loses_nothing() {
    const IMAGE: &str = "/disk/image";
    const ROUNDS: usize = 5;
    let config = format!("{CONFIG}[store]\npath = \"/srv/pam_mfa\"\n");
    let host = host().disk("/disk").config(&config).start();
    host.make_disk(IMAGE, 8);
    host.mount_disk(IMAGE, "/srv");
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let log_in = |code: &str| Attempt::new("app", "alice").answer(code).run(&host);

    let mut outcomes = BTreeMap::<String, usize>::new();
    for _ in 0..ROUNDS {
        // What ext4 held back for metadata is free once it is synced.
        host.shell(
            "for n in 1 2 3; do
                 dd if=/dev/zero bs=1k status=none >> /srv/filler 2>/dev/null || sync
             done",
        );
        let output = host.run(&ADD);
        refused(&output);
        assert!(output.stderr.contains("No space left on device"), "{}", output.stderr);
        assert!(output.stderr.contains("hint: look at free space"), "{}", output.stderr);
        assert!(!enrolled(&host, "bob"));
        let code = alice.code();
        let first = log_in(&code);
        *outcomes.entry(first.code().to_owned()).or_default() += 1;
        let first = first.code() != "PAM_AUTHINFO_UNAVAIL" && first.accepted();
        host.shell("rm /srv/filler");
        let second = log_in(&code).accepted();
        assert!(!(first && second), "accepted twice");
        enrol_and_log_in(&host, "bob");
        host.run(&["mfa-setup", "reset", "--user", "bob", "--yes"]).ok();
    }
    println!("{ROUNDS} times a full disk: enrolments refused, logins {outcomes:?}");
}

/// A tmpfs has no reserve for root, as XFS and btrfs have none: once it is full, nobody gets another block.
fn without_any_room(services: [&str; 2], resident: bool) {
    const FROM: &str = "192.0.2.7";
    const STRANGER: &str = "198.51.100.7";
    let config = format!(
        "{CONFIG}[lockout]\nper_source = 3\nfirst_wait = 3600\n[store]\npath = \"/srv/pam_mfa\"\n"
    );
    let host = host()
        .config(&config)
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .pam("first", "auth required pam_mfa.so\nauth required pam_permit.so\n")
        .start();
    host.shell("mkdir -p /srv && mount -t tmpfs -o mode=755,size=4m none /srv");
    let enrolled = host.enrol_with("alice", &["hotp"]);
    let (mut token, mut backup) = (enrolled.device, enrolled.backup);
    let backup = backup.code();
    let _resident = resident.then(|| host.reside());
    let log_in = |service: &str, from: &str, code: &str| {
        Attempt::new(service, "alice").from(from).answer(code).run(&host).code().to_owned()
    };
    host.shell("dd if=/dev/zero of=/srv/filler bs=4k 2> /dev/null || true");
    refused(&host.run(&ADD));

    let mut used = vec![backup.clone()];
    assert_eq!(log_in(services[0], FROM, &backup), "PAM_SUCCESS");
    for service in services.into_iter().cycle().take(6) {
        let code = token.code();
        assert_eq!(log_in(service, FROM, &code), "PAM_SUCCESS", "{service}");
        used.push(code);
    }
    for (service, code) in services.into_iter().cycle().zip(&used) {
        assert_eq!(log_in(service, FROM, code), "PAM_AUTH_ERR", "{service}: accepted twice");
        let right = token.code();
        assert_eq!(log_in(service, FROM, &right), "PAM_SUCCESS", "{service}");
    }
    // Each counts, whichever verifier judges it.
    for service in services.into_iter().cycle().take(3) {
        assert_eq!(log_in(service, STRANGER, &token.wrong_code()), "PAM_AUTH_ERR", "{service}");
    }
    let after = token.code();
    let locked = log_in(services[0], STRANGER, &after);
    assert_ne!(locked, "PAM_SUCCESS");
    host.wait_for_log("there is no room to write its db; only the summary was written");
    // A file of the policy that is somewhere else than the store.
    host.write("/etc/pam_mfa/config.toml", config.replace("\"required\"", "\"off\""));
    assert!(Attempt::new("first", "alice").run(&host).accepted());
    host.write("/etc/pam_mfa/config.toml", &config);

    host.shell("rm /srv/filler");
    assert_eq!(log_in(services[0], STRANGER, &after), locked, "the wait was forgotten");
    assert_eq!(log_in(services[0], FROM, &after), "PAM_SUCCESS");
    assert_eq!(log_in(services[1], FROM, &after), "PAM_AUTH_ERR", "accepted twice");
    host.wait_for_log("older than the summary");
    assert_eq!(log_in(services[0], FROM, &backup), "PAM_AUTH_ERR", "accepted twice");
    enrol_and_log_in(&host, "bob");
}

#[test]
fn on_a_disk_that_is_full_for_root_too_spawned_verifiers_let_in_and_count_on() {
    without_any_room(["spawn", "app"], false);
}

#[test]
fn on_a_disk_that_is_full_for_root_too_a_resident_lets_in_and_counts_on_beside_others() {
    without_any_room(["app", "spawn"], true);
}
