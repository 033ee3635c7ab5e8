//! Nothing but a right code or a proven exemption lets anybody in: every error that can be made from
//! outside, under every policy.
//!
//! The application sees the very code that the module returned ([`pam::exact`]). Everybody answers with a *right* code: it is the error that
//! refuses them, and the code is good for a login once the error is mended.

use std::time::Duration;

use mfa_tests::cache;
use mfa_tests::pam::{self, Attempt, IGNORED, Plan, Reaps, Report, Surroundings, exact};
use mfa_tests::{Device, Host, Running};

const MODES: [&str; 3] = ["off", "optional", "required"];
const FAULTY: &str = "/usr/local/bin/faulty-verifier";
const STORE: &str = "/var/lib/pam_mfa";
const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";

/// Alice, who is enrolled, and Bob, who is not; a service for each policy, with and without
/// `nullok`.
fn host() -> (Running, Device) {
    let mut host = Host::new().user("alice", "rabbit hole").user("bob", "walrus");
    for mode in MODES {
        let config = format!("/etc/pam_mfa/{mode}.toml");
        host = host
            .file(&config, policy(mode))
            .pam(mode, &exact(&format!("config={config}")))
            .pam(&format!("{mode}-nullok"), &exact(&format!("config={config} nullok")));
    }
    let host = host.start();
    let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    (host, token)
}

fn policy(mode: &str) -> String {
    // No wait of the lockout: it would refuse for another reason.
    format!("[policy]\nmode = \"{mode}\"\n[lockout]\nper_source = 100\nper_user = 100\n")
}

/// Who tries to get in, and under which policy.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: &'static str,
    nullok: bool,
    user: &'static str,
}

impl Case {
    fn all(users: &[&'static str]) -> Vec<Self> {
        let mut cases = vec![];
        for mode in MODES {
            for nullok in [false, true] {
                cases.extend(users.iter().map(|user| Self { mode, nullok, user }));
            }
        }
        cases
    }

    fn attempt(self, code: &str) -> Attempt {
        let service = if self.nullok { format!("{}-nullok", self.mode) } else { self.mode.into() };
        Attempt::new(&service, self.user).answer(code)
    }

    /// What must come of it where the store cannot be used. With the policy off it is not looked at:
    /// the way out when all else is broken.
    fn without_a_store(self) -> &'static str {
        match (self.mode, self.user) {
            ("off", "carol") => "PAM_AUTH_ERR",
            ("off", _) => IGNORED,
            _ => UNAVAILABLE,
        }
    }
}

fn run_all(host: &Running, attempts: Vec<Attempt>) -> Vec<Report> {
    pam::run(host, &Plan { attempts, ..Plan::default() })
}

#[test]
fn without_any_error_each_policy_lets_in_whom_it_should() {
    let (host, mut token) = host();
    for case in Case::all(&["alice", "bob", "carol"]) {
        let right = match case {
            Case { mode: "off", user: "carol", .. } => "PAM_AUTH_ERR",
            Case { mode: "off", .. } => IGNORED,
            Case { user: "alice", .. } => "PAM_SUCCESS",
            Case { mode: "optional", user: "bob", .. } | Case { nullok: true, user: "bob", .. } => {
                IGNORED
            }
            _ => "PAM_AUTH_ERR",
        };
        let wrong = if right == "PAM_SUCCESS" { "PAM_AUTH_ERR" } else { right };
        assert_eq!(case.attempt(&token.wrong_code()).run(&host).code(), wrong, "{case:?}");
        assert_eq!(case.attempt(&token.code()).run(&host).code(), right, "{case:?}");
    }
}

/// What can be wrong with key and store: what it is, whom it concerns, how it comes about, how it is
/// mended.
const STORE_FAULTS: &[(&str, &[&str], &str, &str)] = &[
    ("key missing", ALL, "rm $K", KEY_BACK),
    ("key empty", ALL, ": > $K", KEY_BACK),
    ("key too short", ALL, "truncate -s 31 $K", KEY_BACK),
    ("key too long", ALL, "echo >> $K", KEY_BACK),
    ("key of another host", ALL, "head -c 32 /dev/urandom > $K", KEY_BACK),
    ("key foreign-owned", ALL, "chown bob $K", KEY_BACK),
    ("key readable by others", ALL, "chmod 644 $K", KEY_BACK),
    ("key writable by others", ALL, "chmod 622 $K", KEY_BACK),
    ("key a link", ALL, "ln -sf /backup/key $K", KEY_BACK),
    ("key a second name", ALL, "ln $K /etc/pam_mfa/other", "rm /etc/pam_mfa/other"),
    ("key a pipe that nobody writes to", ALL, "rm $K; mkfifo $K", KEY_BACK),
    ("key a directory", ALL, "rm $K; mkdir $K", "rmdir $K; cp -a /backup/key $K"),
    ("store missing", ALL, "rm -r $S", STORE_BACK),
    ("store not mounted", ALL, "rm -r $S; mkdir -m 700 $S", STORE_BACK),
    ("store a file", ALL, "rm -r $S; : > $S", STORE_BACK),
    ("store foreign-owned", ALL, "chown bob $S", STORE_BACK),
    ("store writable by others", ALL, "chmod 777 $S", STORE_BACK),
    ("store without its marker", ALL, "rm $S/format", STORE_BACK),
    ("store of a newer program", ALL, "echo pam_mfa store 2 > $S/format", STORE_BACK),
    ("store of another key", ALL, "sed -i 's/^key .*/key 0123456789abcdef/' $S/format", STORE_BACK),
    ("store without its users", ALL, "rm -r $S/users", STORE_BACK),
    ("record damaged", ALICE, "find $S/users/1000 -type f -size +0 -exec shred {} +", STORE_BACK),
    ("record empty", ALICE, "find $S/users/1000 -type f -exec truncate -s 0 {} +", STORE_BACK),
    (
        "record gone from its directory",
        ALICE,
        "rm -r $S/users/1000/db $S/users/1000/summary",
        STORE_BACK,
    ),
    ("record foreign-owned", ALICE, "chown -R bob $S/users/1000", STORE_BACK),
    ("record behind a link", ALICE, "mv $S/users/1000 /r; ln -s /r $S/users/1000", STORE_BACK),
    ("record of somebody else", BOB, "cp -a $S/users/1000 $S/users/1001", STORE_BACK),
    (
        "decoys' records damaged",
        NOBODY,
        "find $S/users/42949672[89]* -type f -exec shred {} +",
        STORE_BACK,
    ),
];
const ALL: &[&str] = &["alice", "bob", "carol"];
const ALICE: &[&str] = &["alice"];
const BOB: &[&str] = &["bob"];
const NOBODY: &[&str] = &["carol"];
const KEY_BACK: &str = "rm -f $K; cp -a /backup/key $K";
const STORE_BACK: &str = "rm -rf $S /r; cp -a /backup/store $S";

#[test]
fn with_a_fault_of_key_or_store_nobody_gets_in_unless_the_policy_is_off() {
    let (host, mut token) = host();
    let names = "K=/etc/pam_mfa/store.key; S=/var/lib/pam_mfa";
    host.shell(&format!("{names}; mkdir /backup; cp -a $K /backup/key; cp -a $S /backup/store"));
    let code = token.code();
    let mut attempts = 0;
    for (fault, users, come_about, mend) in STORE_FAULTS {
        host.shell(&format!("{names}; {come_about}"));
        // What sled keeps inside a db is its own.
        let listing = "cd /; find etc/pam_mfa var/lib/pam_mfa -not -path '*/db/*' | sort";
        let before = host.shell(listing);
        let cases = Case::all(users);
        let reports = run_all(&host, cases.iter().map(|case| case.attempt(&code)).collect());
        for (case, report) in cases.iter().zip(&reports) {
            assert_eq!(report.code(), case.without_a_store(), "{fault}: {case:?} {report:?}");
            assert!(report.changed.is_empty(), "{fault}: {:?}", report.changed);
        }
        assert_eq!(host.shell(listing), before, "{fault}: a login made or removed something");
        attempts += reports.len();
        host.shell(&format!("{names}; {mend}"));
    }
    let refused = host.logged_by_now("outcome=unavailable");
    assert_eq!(refused.len(), attempts * 2 / 3, "two of the three policies look at the store");
    assert!(refused.iter().all(|line| line.contains(" error=\"")), "{refused:#?}");
    // The code was right all the time, and is so still.
    assert_eq!(
        Attempt::new("required", "alice").answer(code.as_str()).run(&host).code(),
        "PAM_SUCCESS"
    );
    println!("{} faults of key and store, {attempts} logins", STORE_FAULTS.len());
}

#[test]
fn with_a_policy_file_that_is_none_nobody_gets_in() {
    let (host, mut token) = host();
    let code = token.code();
    host.write("/etc/pam.d/broken", exact("config=/c/p"));
    host.write("/etc/pam.d/broken-nullok", exact("config=/c/p nullok"));
    host.shell("mkdir /c");
    // What is wrong; how it comes about, in /c, where `m` is a good policy file; what the log says.
    let faults = [
        ("a value misspelt", "sed 's/mode = \"/&x/' m > p", "/c/p:2:"),
        ("a value of the wrong type", "sed 's/mode = .*/mode = true/' m > p", "/c/p:2:"),
        ("a key that is not known", "(cat m; echo per_sauce = 5) > p", "/c/p:6:"),
        ("a table that is not known", "(cat m; echo '[polizy]') > p", "/c/p:6:"),
        ("a key twice", "(cat m; echo per_user = 5) > p", "/c/p:6:"),
        ("a number out of range", "(cat m; echo disable_after = 0) > p", "/c/p:6:"),
        ("a path that is relative", "(cat m; echo '[store]'; echo 'path = \"x\"') > p", "/c/p:7:"),
        ("a line cut short", "(cat m; echo 'first_wait = ') > p", "/c/p:6:"),
        ("not UTF-8", "(cat m; printf '# \\377\\n') > p", "/c/p:1:1: the file is not UTF-8"),
        ("a zero byte", "(cat m; printf 'x\\0') > p", "/c/p:6:"),
        (
            "larger than a person writes",
            "(cat m; yes '#' | head -c 1100000) > p",
            "larger than 1 MiB",
        ),
        ("missing though it is named", ":", "/c/p does not exist"),
        ("foreign-owned", "cp m p; chown bob p", "is not owned by root"),
        ("writable by its group", "cp m p; chmod 664 p", "can be written by others"),
        ("writable by others", "cp m p; chmod 646 p", "can be written by others"),
        ("with a second name", "cp m p; ln p /other", "more than one hard link"),
        ("a link", "ln -s m p", "is a symbolic link"),
        ("a pipe that nobody writes to", "mkfifo p", "is not a regular file"),
        ("a device", "ln -s /dev/zero p", "is a symbolic link"),
        ("a directory", "mkdir p", "/c/p"),
        ("in a directory that others can write", "cp m p; chmod 777 .", "can be written by others"),
        ("in a directory of somebody else", "cp m p; chown bob .", "is not owned by root"),
    ];
    let mut count = 0;
    for mode in MODES {
        for (fault, come_about, logged) in faults {
            host.write("/m", policy(mode));
            host.shell(&format!("cd /c; mv /m m; {come_about}"));
            let mut attempts = vec![];
            for service in ["broken", "broken-nullok"] {
                attempts.extend(
                    ["alice", "bob"].map(|u| Attempt::new(service, u).answer(code.as_str())),
                );
            }
            let seen = host.logged_by_now("").len();
            for report in run_all(&host, attempts) {
                assert_eq!(report.code(), UNAVAILABLE, "{fault}: {mode}");
                assert!(report.asked().is_empty(), "{fault}: {:?}", report.shown);
                count += 1;
            }
            let lines = host.logged_by_now("").split_off(seen);
            let said = lines.iter().filter(|line| line.contains(logged));
            assert_eq!(said.count(), 4, "{fault}: {lines:#?}");
            host.shell("rm -rf /c /other; mkdir /c");
        }
    }
    println!(
        "{} faults of the policy file under {} policies, {count} logins",
        faults.len(),
        MODES.len()
    );
    assert_eq!(
        Attempt::new("required", "alice").answer(code.as_str()).run(&host).code(),
        "PAM_SUCCESS"
    );
}

#[test]
fn without_the_default_policy_file_everybody_must_give_a_code_and_with_a_bad_one_nobody_gets_in() {
    let (host, mut token) = host();
    host.write("/etc/pam.d/default", exact(""));
    let file = "/etc/pam_mfa/config.toml";
    let log_in = |user: &str, code: &str| {
        Attempt::new("default", user).answer(code).run(&host).code().to_owned()
    };
    assert_eq!(log_in("bob", "123456"), IGNORED, "the shipped file says optional");
    host.shell(&format!("rm {file}"));
    assert_eq!(log_in("bob", "123456"), "PAM_AUTH_ERR");
    assert_eq!(log_in("alice", &token.code()), "PAM_SUCCESS");
    host.write(file, "mode = optional");
    assert_eq!(log_in("bob", "123456"), UNAVAILABLE);
    assert_eq!(log_in("alice", &token.code()), UNAVAILABLE);
    // A link that leads nowhere is not a missing file.
    host.shell(&format!("rm {file}; ln -s /nowhere {file}"));
    assert_eq!(log_in("bob", "123456"), UNAVAILABLE);
}

#[test]
fn a_verifier_that_cannot_be_trusted_or_started_lets_nobody_in_and_the_host_lives() {
    let (host, mut token) = host();
    let code = token.code();
    // What is wrong; how it comes about, where `v` is a copy of the real one; what the log says.
    let faults = [
        ("missing", "rm v", "does not exist"),
        ("not executable", "chmod 644 v", "is not executable"),
        ("foreign-owned", "chown bob v", "is not owned by root"),
        ("writable by its group", "chmod 775 v", "can be written by others"),
        ("writable by others", "chmod 757 v", "can be written by others"),
        ("a directory", "rm v; mkdir v", "v "),
        ("a pipe", "rm v; mkfifo -m 755 v", "is not a regular file"),
        ("a link that leads to itself", "rm v; ln -s v v", "v "),
        (
            "a link to a foreign one",
            "cp v /home/bob/v; ln -sf /home/bob/v v",
            "is not owned by root",
        ),
        ("in a directory that others can write", "chmod 777 /opt/v", "can be written by others"),
        ("in a directory of somebody else", "chown bob /opt/v", "is not owned by root"),
        ("below a directory of somebody else", "chown bob /opt", "is not owned by root"),
        ("no program", "echo nothing > v", "error: "),
        ("a script", "printf '#!/bin/sh\\nexit 0\\n' > v", "error: the verifier cannot be used"),
        ("a script without its interpreter", "printf '#!/nowhere\\n' > v", "error: "),
        ("half a program", "truncate -s 4096 v", "error: "),
    ];
    // A host that ignores or reaps its children leaves std without the child that it expects: it
    // panics there, and that must stay inside.
    let hosts = [
        Surroundings::default(),
        Surroundings { ignored: vec![17], ..Surroundings::default() },
        Surroundings { reaps: Reaps::Children, ..Surroundings::default() },
    ];
    for mode in MODES {
        let arguments = format!("config=/etc/pam_mfa/{mode}.toml verifier=/opt/v/v");
        host.write(format!("/etc/pam.d/v-{mode}"), exact(&arguments));
        host.write(format!("/etc/pam.d/v-{mode}-nullok"), exact(&format!("{arguments} nullok")));
    }
    let attempts: Vec<_> = Case::all(&["alice", "bob"])
        .into_iter()
        .map(|case| {
            let mut attempt = case.attempt(&code);
            attempt.service.insert_str(0, "v-");
            attempt
        })
        .collect();
    let mut count = 0;
    for (fault, come_about, logged) in faults {
        host.shell(&format!(
            "mkdir -p /opt/v; cp /usr/libexec/pam_mfa/mfa-verifier /opt/v/v; cd /opt/v; {come_about}"
        ));
        for surroundings in &hosts {
            let seen = host.logged_by_now("").len();
            let plan = Plan {
                surroundings: surroundings.clone(),
                attempts: attempts.clone(),
                ..Plan::default()
            };
            for report in pam::run(&host, &plan) {
                assert_eq!(report.code(), UNAVAILABLE, "{fault} {surroundings:?}: {report:?}");
                assert!(
                    report.changed.is_empty(),
                    "{fault} {surroundings:?}: {:?}",
                    report.changed
                );
                count += 1;
            }
            let lines = host.logged_by_now("").split_off(seen);
            let said = lines.iter().filter(|line| line.contains(logged));
            assert_eq!(said.count(), attempts.len(), "{fault}: {lines:#?}");
        }
        host.shell("chown root /opt; rm -rf /opt/v /home/bob/v");
    }
    println!(
        "{} faults of the verifier's file in {} kinds of host, {count} logins",
        faults.len(),
        hosts.len()
    );
    assert_eq!(
        Attempt::new("required", "alice").answer(code.as_str()).run(&host).code(),
        "PAM_SUCCESS"
    );
}

/// A service for a fault of the verifier.
fn with_fault(host: &Running, fault: &str, arguments: &str) -> Attempt {
    host.write(
        format!("/etc/pam.d/{fault}"),
        exact(&format!("verifier={FAULTY} config=/faults/{fault} {arguments}")),
    );
    Attempt::new(fault, "alice").answer("123456").answer("123456")
}

fn faulty() -> Host {
    Host::new().user("alice", "rabbit hole").bind(cache::program("faulty-verifier"), FAULTY)
}

#[test]
fn what_a_verifier_says_wrongly_is_never_a_success() {
    let host = faulty().start();
    let rows = [
        // Said rightly.
        ("granted", "PAM_SUCCESS"),
        ("exempt", IGNORED),
        ("denied", "PAM_AUTH_ERR"),
        ("locked", "PAM_AUTH_ERR"),
        ("unavailable", UNAVAILABLE),
        ("granted-in-pieces", "PAM_SUCCESS"),
        ("granted-and-stays", "PAM_SUCCESS"),
        // The reply ends the exchange: what follows it is not read.
        ("granted-then-garbage", "PAM_SUCCESS"),
        ("prompt-with-every-character", "PAM_AUTH_ERR"),
        // And wrongly.
        ("nothing", UNAVAILABLE),
        ("length-zero", UNAVAILABLE),
        ("length-above-the-bound", UNAVAILABLE),
        ("length-huge", UNAVAILABLE),
        ("half-a-header", UNAVAILABLE),
        ("garbage", UNAVAILABLE),
        ("granted-without-a-header", UNAVAILABLE),
        ("granted-half-sent", UNAVAILABLE),
        ("granted-cut-short", UNAVAILABLE),
        ("granted-with-a-byte-too-many", UNAVAILABLE),
        ("verdict-that-is-none", UNAVAILABLE),
        ("reply-that-is-none", UNAVAILABLE),
        ("message-that-is-none", UNAVAILABLE),
        ("text-that-is-not-utf8", UNAVAILABLE),
        ("the-request-again", UNAVAILABLE),
        ("a-face-s-message", UNAVAILABLE),
        ("a-face-s-answer", UNAVAILABLE),
        ("garbage-at-the-prompt", UNAVAILABLE),
        ("reply-done", UNAVAILABLE),
        ("reply-codes", UNAVAILABLE),
        ("reply-new-codes", UNAVAILABLE),
        ("reply-key", UNAVAILABLE),
        ("reply-added", UNAVAILABLE),
        ("reply-status", UNAVAILABLE),
        ("reply-failed", UNAVAILABLE),
        ("ends", UNAVAILABLE),
        ("dies", UNAVAILABLE),
        ("dies-at-the-prompt", UNAVAILABLE),
        ("dies-after-the-answer", UNAVAILABLE),
        ("hangs-up-and-stays", UNAVAILABLE),
        ("no-such-fault", UNAVAILABLE),
    ];
    for arguments in ["", "nullok"] {
        let attempts = rows.iter().map(|(fault, _)| with_fault(&host, fault, arguments)).collect();
        for ((fault, expected), report) in rows.iter().zip(run_all(&host, attempts)) {
            assert_eq!(report.code(), *expected, "{fault}: {report:?}");
            let stays = ["children", "zombies"];
            let changed = report.changed.keys().filter(|what| {
                // The one that stays is left behind on purpose.
                !(fault.ends_with("stays") && stays.contains(&what.as_str()))
            });
            assert_eq!(changed.count(), 0, "{fault}: {:?}", report.changed);
        }
    }
    for line in host.logged_by_now("pam_mfa(reply-failed:auth)") {
        assert!(line.contains("error: something\\u{a}failed; hint: mend \\u{1b}[31mit"), "{line}");
    }
    println!("{} ways to answer, twice each", rows.len());
}

#[test]
fn who_never_answers_is_given_up_within_fifteen_seconds_and_the_lock_s_holder_within_ten() {
    let (bystander, mut token) = host();
    // The two hosts wait at the same time.
    let silent = ["hangs", "hangs-after-the-answer", "drips", "stops"];
    let waiting = std::thread::spawn(move || {
        let host = faulty().start();
        let attempts = silent.map(|fault| with_fault(&host, fault, "")).to_vec();
        pam::run(&host, &Plan { race: true, attempts, ..Plan::default() })
    });

    let code = token.code();
    let mut holder = bystander.pty(&[
        "flock",
        &format!("{STORE}/users/1000/lock"),
        "sh",
        "-c",
        "echo has it; exec sleep 1000",
    ]);
    holder.expect("has it");
    let cases: Vec<_> = Case::all(&["alice"]).into_iter().filter(|c| c.mode != "off").collect();
    let attempts = cases.iter().map(|case| case.attempt(&code)).collect();
    let reports = pam::run(&bystander, &Plan { race: true, attempts, ..Plan::default() });
    for (case, report) in cases.iter().zip(&reports) {
        assert_eq!(report.code(), UNAVAILABLE, "{case:?}");
        let took = Duration::from_micros(report.microseconds[0]);
        assert!(took < Duration::from_secs(10), "{case:?}: {took:?}");
        println!("lock held: {case:?} given up after {took:?}");
    }
    assert_eq!(bystander.logged_by_now("locked by another process").len(), cases.len());
    drop(holder);
    bystander.shell("for i in $(seq 500); do pgrep -x sleep || exit 0; sleep 0.01; done; exit 1");
    assert_eq!(cases[0].attempt(&code).run(&bystander).code(), "PAM_SUCCESS", "the lock is free");

    for (fault, report) in silent.iter().zip(waiting.join().unwrap()) {
        assert_eq!(report.code(), UNAVAILABLE, "{fault}");
        let took = Duration::from_micros(report.microseconds[0]);
        assert!(took < Duration::from_secs(15), "{fault}: {took:?}");
        println!("{fault}: given up after {took:?}");
    }
}

#[test]
fn a_panic_of_the_verifier_is_a_refusal_and_says_nothing_of_what_it_had_in_hand() {
    let (host, mut token) = {
        let host =
            faulty().config("[policy]\nmode = \"required\"\n").pam("required", &exact("")).start();
        let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
        (host, token)
    };
    let code = token.code();
    for fault in ["clock-panics", "users-panic", "log-panics"] {
        let report = with_fault(&host, fault, "").run(&host);
        assert_eq!(report.code(), UNAVAILABLE, "{fault}: {report:?}");
        assert!(report.changed.is_empty(), "{fault}: {:?}", report.changed);
    }
    assert_eq!(host.logged_by_now("the verifier panicked").len(), 2, "the third has no log");
    for record in host.log() {
        assert!(
            !record.text.contains("rabbit hole") && !record.text.contains("123456"),
            "{record:?}"
        );
    }
    assert_eq!(
        Attempt::new("required", "alice").answer(code.as_str()).run(&host).code(),
        "PAM_SUCCESS"
    );
}

#[test]
fn for_sshd_nobody_is_exempt_without_proof_of_a_first_factor() {
    let (host, mut token) = host();
    // The service's name is the file's: one directory of services for each policy.
    let proof = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAAC3Nza\n";
    let rows: [(&[&str], bool); 7] = [
        (&[], false),
        (&["SSH_AUTH_INFO_0="], false),
        (&["SSH_AUTH_INFO_0= \n"], false),
        (&["SSH_AUTH_INFO_1=publickey", "SSH_CONNECTION=192.0.2.7"], false),
        (&["ssh_auth_info_0=publickey"], false),
        (&[proof], true),
        (&["SSH_AUTH_INFO_0=password\n"], true),
    ];
    for (mode, nullok) in [("off", ""), ("optional", ""), ("required", "nullok")] {
        let line = exact(&format!("config=/etc/pam_mfa/{mode}.toml {nullok}"));
        host.write(format!("/etc/{mode}/sshd"), &line);
        host.write(
            format!("/etc/{mode}-password/sshd"),
            format!("auth optional pam_unix.so nodelay\n{line}"),
        );
        let bob = |directory: &str| {
            let mut attempt = Attempt::new("sshd", "bob").from("192.0.2.7");
            attempt.confdir = format!("/etc/{directory}");
            attempt
        };
        for (environment, proves) in rows {
            let mut attempt = bob(mode);
            attempt.environment = environment.iter().map(|&pair| pair.to_owned()).collect();
            let expected = if proves { IGNORED } else { "PAM_AUTH_ERR" };
            assert_eq!(attempt.run(&host).code(), expected, "{mode} {environment:?}");
        }
        // The environment of the process is not that of PAM: whoever starts su sets it.
        let mut command = host.command(&[mfa_tests::host::PAM_CLIENT]);
        command.env("SSH_AUTH_INFO_0", proof);
        let plan = Plan { attempts: vec![bob(mode)], ..Plan::default() };
        assert_eq!(pam::run_command(&command, &plan)[0].code(), "PAM_AUTH_ERR", "{mode}");
        // A password that a module has read.
        let attempt = bob(&format!("{mode}-password")).answer("walrus");
        assert_eq!(attempt.run(&host).code(), IGNORED, "{mode}");
    }
    // Who is enrolled needs no proof: the code is one.
    let mut alice = Attempt::new("sshd", "alice").answer(token.code());
    alice.confdir = "/etc/optional".to_owned();
    assert_eq!(alice.run(&host).code(), "PAM_SUCCESS");
}
