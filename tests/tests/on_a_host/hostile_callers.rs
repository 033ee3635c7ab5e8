//! Who starts a login need not mean well: their environment, limits, signals and descriptors, and
//! what they do to the verifier meanwhile. And the other way round: what a login leaves behind in
//! the process that asked.

use std::process::Command;

use mfa_tests::cache;
use mfa_tests::host::PAM_CLIENT;
use mfa_tests::mode;
use mfa_tests::pam::{self, Attempt, Call, Plan, Reaps, Report, Surroundings, exact};
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Running};

const REQUIRED: &str =
    "[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n";
const CODE: &str = "Verification code: ";
const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";

fn host() -> (Running, Device) {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(REQUIRED)
        .pam("login", &exact(""))
        .start();
    let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    (host, token)
}

#[test]
fn the_environment_of_the_caller_reaches_neither_verifier_nor_command() {
    let (host, mut token) = host();
    // What would let everybody in, if anything looked for it there.
    let off = "[policy]\nmode = \"off\"\n";
    for name in ["config.toml", "pam_mfa/config.toml", ".config/pam_mfa/config.toml"] {
        host.write(format!("/evil/{name}"), off);
    }
    let mut hostile: Vec<String> = [
        // Each process that heeds it leaves a file.
        "LD_DEBUG=files",
        "LD_DEBUG_OUTPUT=/evil/heeded",
        "LD_BIND_NOW=1",
        "LANG=../evil",
        "RUST_LOG=trace",
        "RUST_BACKTRACE=full",
        "PAM_MFA_CONFIG=/evil/config.toml",
        "MFA_CONFIG=/evil/config.toml",
        "TZ=/evil/config.toml",
        "MALLOC_TRACE=/evil/trace",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in [
        "HOME",
        "PATH",
        "TMPDIR",
        "TMP",
        "TEMP",
        "GCONV_PATH",
        "LOCPATH",
        "PAM_MFA_STORE",
        "XDG_CONFIG_HOME",
        "XDG_CONFIG_DIRS",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        hostile.push(format!("{name}=/evil"));
    }
    let with_it = |argv: &[&str]| {
        let variables = hostile.iter().map(String::as_str);
        host.command(
            &["env"].into_iter().chain(variables).chain(argv.iter().copied()).collect::<Vec<_>>(),
        )
    };
    let attempts = vec![
        Attempt::new("login", "bob").answer("123456"),
        Attempt::new("login", "alice").answer(token.wrong_code()),
        Attempt::new("login", "alice").answer(token.code()),
    ];
    let reports = pam::run_command(&with_it(&[PAM_CLIENT]), &Plan { attempts, ..Plan::default() });
    assert_eq!(codes(&reports), ["PAM_AUTH_ERR", "PAM_AUTH_ERR", "PAM_SUCCESS"]);
    let files = host.shell("cd /evil; find . -type f | sort");
    let heeded = files.lines().filter(|file| file.starts_with("./heeded"));
    assert_eq!(heeded.count(), 1, "the application heeds it, and it alone: {files}");
    assert_eq!(files.lines().count(), 4, "{files}");
    assert!(host.logged_by_now("outcome=exempt").is_empty());

    // The command is started by the person's own shell; what it starts is not.
    host.shell("rm /evil/heeded*");
    let output = with_it(&["/usr/bin/mfa-setup", "status", "--user", "alice"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let heeded = host.shell("cd /evil; ls heeded* | wc -l");
    assert_eq!(heeded.trim(), "1", "mfa-setup heeds it, the verifier does not");
}

fn codes(reports: &[Report]) -> Vec<&str> {
    reports.iter().map(Report::code).collect()
}

/// What kinds of process ask. Where it says so, the login must go through on every host; elsewhere
/// on those where the verifier may raise its limits again.
fn surroundings() -> Vec<(&'static str, bool, Surroundings)> {
    let plain = Surroundings::default;
    let limit =
        |name: &str, value| Surroundings { limits: vec![(name.to_owned(), value)], ..plain() };
    // All but SIGKILL and SIGSTOP.
    let signals: Vec<i32> = (1..32).filter(|number| ![9, 19].contains(number)).collect();
    vec![
        ("an ordinary one", true, plain()),
        ("umask 0", true, Surroundings { umask: Some(0), ..plain() }),
        ("umask 0777", true, Surroundings { umask: Some(0o777), ..plain() }),
        ("no standard input", true, Surroundings { closed: vec![0], ..plain() }),
        ("no standard output", true, Surroundings { closed: vec![1], ..plain() }),
        ("no standard error", true, Surroundings { closed: vec![2], ..plain() }),
        ("no standard descriptors", true, Surroundings { closed: vec![0, 1, 2], ..plain() }),
        ("no directory", true, Surroundings { deleted_directory: true, ..plain() }),
        ("no new privileges", true, Surroundings { no_new_privs: true, ..plain() }),
        ("another real uid", true, Surroundings { real_uid: Some(1000), ..plain() }),
        ("every signal ignored", true, Surroundings { ignored: signals.clone(), ..plain() }),
        ("every signal blocked", true, Surroundings { blocked: signals.clone(), ..plain() }),
        ("children reaped", true, Surroundings { reaps: Reaps::Children, ..plain() }),
        ("children ignored", true, Surroundings { ignored: vec![17], ..plain() }),
        ("16 files", true, limit("nofile", 16)),
        ("core dumps", true, limit("core", u64::MAX)),
        ("no core dumps", true, limit("core", 0)),
        ("an hour of time", true, limit("cpu", 3600)),
        ("files of no byte", false, limit("fsize", 0)),
        ("files of 4 KiB", false, limit("fsize", 4096)),
        ("one process", false, limit("nproc", 1)),
        ("no process", false, limit("nproc", 0)),
        ("64 MiB of addresses", false, limit("as", 64 << 20)),
        ("16 MiB of data", false, limit("data", 16 << 20)),
        ("256 KiB of stack", false, limit("stack", 256 << 10)),
        (
            "all of it",
            false,
            Surroundings {
                umask: Some(0),
                closed: vec![0, 1, 2],
                deleted_directory: true,
                no_new_privs: true,
                ignored: signals,
                real_uid: Some(1000),
                limits: [("nofile", 16), ("fsize", 0), ("nproc", 0), ("as", 64 << 20)]
                    .map(|(name, value)| (name.to_owned(), value))
                    .to_vec(),
                ..plain()
            },
        ),
    ]
}

#[test]
fn a_strange_process_is_served_or_refused_cleanly_and_damages_nothing() {
    let (host, mut token) = host();
    let capable =
        host.shell("setpriv --dump | grep '^Capability bounding'").contains("sys_resource");
    let modes = "find /var/lib/pam_mfa -printf '%m %U %p\\n' | grep -v '/db/' | sort";
    let before = host.shell(modes);
    let mut counts = [0, 0];
    for (name, anywhere, surroundings) in surroundings() {
        let attempts = [token.wrong_code(), token.code()]
            .map(|code| Attempt::new("login", "alice").answer(code))
            .to_vec();
        let plan = Plan { surroundings, attempts, ..Plan::default() };
        let reports = pam::run(&host, &plan);
        for report in &reports {
            assert!(report.changed.is_empty(), "{name}: {:?}", report.changed);
        }
        match codes(&reports)[..] {
            ["PAM_AUTH_ERR", "PAM_SUCCESS"] => counts[0] += 1,
            [UNAVAILABLE, UNAVAILABLE] if !anywhere && !capable => {
                let said = host.logged_by_now("error").pop().expect("it is said why");
                println!("refused: {name}: {said}");
                counts[1] += 1;
            }
            _ => panic!("{name}: {reports:?}"),
        }
        let next = Attempt::new("login", "alice").answer(token.code()).run(&host);
        assert_eq!(next.code(), "PAM_SUCCESS", "after {name}");
        assert_eq!(host.shell(modes), before, "after {name}");
    }
    println!(
        "{} kinds of process served, {} refused (CAP_SYS_RESOURCE: {capable})",
        counts[0], counts[1]
    );
}

#[test]
fn a_process_without_time_at_real_time_priority_is_served() {
    let (host, mut token) = host();
    let limits = vec![("rttime".to_owned(), 0)];
    // Whoever is past that limit is killed at the next tick of the clock, which not each of them meets.
    let attempts = token.codes(40).into_iter();
    let plan = Plan {
        surroundings: Surroundings { limits, ..Surroundings::default() },
        attempts: attempts.map(|code| Attempt::new("login", "alice").answer(code)).collect(),
        ..Plan::default()
    };
    assert_eq!(codes(&pam::run(&host, &plan)), ["PAM_SUCCESS"; 40]);
}

#[test]
fn a_process_that_has_too_few_descriptors_or_no_privileges_is_refused_cleanly() {
    let (host, mut token) = host();
    let code = token.code();
    // From what the application itself needs up to enough for the module.
    let mut seen = vec![];
    for files in 8..=20 {
        let limits = vec![("nofile".to_owned(), files)];
        let plan = Plan {
            surroundings: Surroundings { limits, ..Surroundings::default() },
            attempts: vec![Attempt::new("login", "alice").answer(token.wrong_code())],
            ..Plan::default()
        };
        let report = pam::run(&host, &plan).remove(0);
        assert!(!["PAM_SUCCESS", "died"].contains(&report.code()), "{files}: {report:?}");
        assert!(report.changed.is_empty(), "{files}: {:?}", report.changed);
        seen.push(report.code().to_owned());
    }
    assert!(
        seen.contains(&UNAVAILABLE.to_owned()) && seen.contains(&"PAM_AUTH_ERR".to_owned()),
        "{seen:?}"
    );

    let plan = Plan {
        surroundings: Surroundings { uid: Some(1000), ..Surroundings::default() },
        attempts: vec![Attempt::new("login", "alice").answer(code.as_str())],
        ..Plan::default()
    };
    assert_eq!(pam::run(&host, &plan)[0].code(), UNAVAILABLE);
    host.wait_for_log("the verifier for users, /run/pam_mfa/user.sock, cannot be reached");
    assert_eq!(Attempt::new("login", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
}

#[test]
fn an_empty_argument_list_does_no_harm() {
    const LAUNCHER: &str = "/usr/local/bin/without-argv";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("login", &exact(""))
        .bind(cache::program("without-argv"), LAUNCHER)
        .start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let attempts = vec![Attempt::new("login", "alice").answer(token.code())];
    let plan = Plan { attempts, ..Plan::default() };
    let reports = pam::run_command(&host.command(&[LAUNCHER, PAM_CLIENT]), &plan);
    assert_eq!(codes(&reports), ["PAM_SUCCESS"]);

    // No connection on descriptor 0, no terminal: said, and nothing done.
    let verifier = host.run(&[LAUNCHER, "/usr/libexec/pam_mfa/mfa-verifier"]);
    assert_eq!(verifier.code, Some(2), "{verifier:?}");
    assert!(verifier.stderr.contains("descriptor 0 is not a socket"), "{verifier:?}");
    let setup = host.run(&[LAUNCHER, "/usr/bin/mfa-setup"]);
    assert_eq!(setup.code, Some(2), "{setup:?}");
    assert!(setup.stdout.is_empty() && setup.stderr.contains("there is no terminal"), "{setup:?}");
}

#[test]
fn files_are_root_s_alone_whatever_the_umask() {
    let host =
        Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("login", &exact("")).start();
    let add = "umask 0; mfa-setup add hotp --user alice --yes --no-confirm --json";
    let answer = host.run(&["sh", "-c", add]).json();
    let mut token = Device::from_uri(answer["uri"].as_str().unwrap());
    let plan = Plan {
        surroundings: Surroundings { umask: Some(0), ..Surroundings::default() },
        attempts: (0..3).map(|_| Attempt::new("login", "alice").answer(token.code())).collect(),
        ..Plan::default()
    };
    assert_eq!(codes(&pam::run(&host, &plan)), ["PAM_SUCCESS"; 3]);
    let all = host.shell("find /var/lib/pam_mfa /etc/pam_mfa/store.key -printf '%y%m:%U:%G %p\\n'");
    for line in all.lines() {
        assert!(["d700:0:0", "f600:0:0"].contains(&line.split(' ').next().unwrap()), "{line}");
    }
    assert!(all.lines().count() > 10, "{all}");
}

#[test]
fn a_thousand_logins_in_one_process_leak_nothing() {
    const LOGINS: usize = 1000;
    let (host, token) = host();
    let first = token.step();
    let command = Command::new("oathtool")
        .args([
            "--hotp",
            "--base32",
            &format!("--window={}", LOGINS - 1),
            &format!("--counter={first}"),
        ])
        .arg(&token.secret)
        .output()
        .unwrap();
    let codes = String::from_utf8(command.stdout).unwrap();
    let attempts: Vec<_> =
        codes.lines().map(|code| Attempt::new("login", "alice").answer(code)).collect();
    assert_eq!(attempts.len(), LOGINS);
    let reports = pam::run(&host, &Plan { attempts, ..Plan::default() });
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(report.code(), "PAM_SUCCESS", "login {number}: {report:?}");
        // Descriptors, children, threads, …
        assert!(report.changed.is_empty(), "login {number}: {:?}", report.changed);
    }
    let held = |number: usize| reports[number].resident_kib;
    println!("{LOGINS} logins; KiB held after 100: {}, after all: {}", held(99), held(LOGINS - 1));
    assert!(held(LOGINS - 1) <= held(99) + 128, "less than 150 bytes a login");
    let mut times: Vec<_> = reports.iter().map(|report| report.microseconds[0]).collect();
    times.sort_unstable();
    println!("median {} µs, slowest {} µs", times[LOGINS / 2], times[LOGINS - 1]);
    if !mode::is_resident() {
        until("none is left", || host.run(&["pgrep", "-x", "mfa-verifier"]).stdout.is_empty());
    }
}

#[test]
fn sixteen_threads_log_in_side_by_side() {
    let users: Vec<String> = (0..16).map(|number| format!("user{number}")).collect();
    let mut host = Host::new().config(REQUIRED).pam("login", &exact(""));
    for user in &users {
        host = host.user_without_password(user);
    }
    let host = host.start();
    let mut attempts = vec![];
    for (number, user) in users.iter().enumerate() {
        let mut phone = host.enrol(user).device;
        let code = if number % 4 == 3 { phone.wrong_code() } else { phone.code() };
        attempts.push(Attempt::new("login", user).answer(code));
    }
    let reports = pam::run(&host, &Plan { threads: true, attempts, ..Plan::default() });
    for (number, report) in reports.iter().enumerate() {
        let expected = if number % 4 == 3 { "PAM_AUTH_ERR" } else { "PAM_SUCCESS" };
        assert_eq!(report.code(), expected, "{number}: {report:?}");
        assert!(report.changed.is_empty(), "{:?}", report.changed);
    }
}

#[test]
fn a_process_that_forks_between_two_logins_logs_in_on_both_sides() {
    let (host, mut token) = host();
    let log_in = |code: String| Attempt::new("login", "alice").answer(code);
    let attempts = vec![
        log_in(token.code()),
        log_in(token.code()).in_child(),
        log_in(token.code()),
        log_in(token.code()).in_child(),
    ];
    let reports = pam::run(&host, &Plan { attempts, ..Plan::default() });
    assert_eq!(codes(&reports), ["PAM_SUCCESS"; 4]);
    assert!(reports.iter().all(|report| report.changed.is_empty()), "{reports:?}");

    // With one handle. The forked process answers with the second code; so does then its parent, who
    // knows nothing of it.
    let calls = [
        Call::authenticate(),
        Call::authenticate().in_child(),
        Call::authenticate(),
        Call::authenticate(),
    ];
    let attempt = Attempt {
        answers: (0..3).map(|_| token.code().into()).collect(),
        ..Attempt::new("login", "alice")
    };
    let report = attempt.calls(calls).run(&host);
    let expected = ["PAM_SUCCESS", "PAM_SUCCESS", "PAM_AUTH_ERR", "PAM_SUCCESS"];
    assert_eq!(report.returned, expected, "{report:?}");
    assert!(report.changed.is_empty(), "{:?}", report.changed);
}

#[test]
fn the_caller_of_su_has_no_hold_on_the_verifier() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(REQUIRED)
        .pam_example("su", "su")
        .file_with_mode(
            "/hostile",
            "#!/bin/sh\ntrap '' HUP INT QUIT TERM USR1 CHLD\numask 0\ncd /home/alice\n\
             ulimit -S -f 0; ulimit -S -n 64; ulimit -S -c unlimited\n\
             exec 7</etc/hostname 8>/home/alice/kept\nexport LD_DEBUG=files\n\
             exec su bob -c 'id -un'\n",
            0o755,
        )
        .start();
    let mut token = host.enrol_with("bob", &["hotp"]).device;
    let mut su =
        host.terminal("setpriv --reuid alice --regid alice --init-groups /bin/bash /hostile");
    su.expect("Password: ");
    su.send_line("walrus");
    su.expect(CODE);

    let pid = host.shell("pgrep -x mfa-verifier").trim().to_owned();
    let proc = |what: &str| format!("/proc/{pid}/{what}");
    let status = host.read(proc("status"));
    for line in
        ["Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Umask:\t0077", "SigBlk:\t0000000000000000"]
    {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    // SIGPIPE and SIGXFSZ: to write in vain is an error, not an end.
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff;
    assert_eq!(ignored, 1 << (13 - 1) | 1 << (25 - 1), "{ignored:x}");
    let ids = host.shell(&format!("ps -o pid=,sid=,pgid=,tty= -p {pid}"));
    assert_eq!(ids.split_whitespace().collect::<Vec<_>>(), [&pid, &pid, &pid, "?"]);
    assert_eq!(host.shell(&format!("readlink {}", proc("cwd"))), "/\n");
    assert_eq!(host.read(proc("environ")), "");
    assert_eq!(host.read(proc("cmdline")), "mfa-verifier\0");
    let limits = host.read(proc("limits"));
    for limit in ["Max file size", "Max open files", "Max core file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        let soft = line[limit.len()..].split_whitespace().next().unwrap();
        let expected = match limit {
            "Max file size" => "unlimited",
            "Max open files" => "4096",
            _ => "0",
        };
        assert_eq!(soft, expected, "{line}");
    }
    let descriptors =
        host.shell(&format!("cd {}; for n in *; do echo $n $(readlink $n); done", proc("fd")));
    let mut descriptors = descriptors.lines();
    assert!(descriptors.next().unwrap().starts_with("0 socket:"));
    assert_eq!(
        [descriptors.next(), descriptors.next()],
        [Some("1 /dev/null"), Some("2 /dev/null")]
    );
    for own in descriptors {
        let target = own.split(' ').nth(1).unwrap();
        assert!(target.starts_with("socket:") || target.starts_with("/var/lib/pam_mfa"), "{own}");
    }

    host.denies_any_hold_on(&pid, "alice");

    // su has alice's real uid, and is hers to stop; the verifier goes on.
    su.send("\x1a");
    let su_pid = host.shell("pgrep -x su").trim().to_owned();
    host.run_as("alice", &["kill", "-STOP", &su_pid]).ok();
    host.shell(&format!("until grep -q '^State:.T' /proc/{su_pid}/status; do :; done"));
    let state = host.read(proc("status"));
    assert!(state.contains("State:\tS"), "{state}");
    host.run_as("alice", &["kill", "-CONT", &su_pid]).ok();
    su.send_line(&token.code());
    let (code, shown) = su.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("bob"), "{shown}");
    host.wait_for_log("outcome=granted user=\"bob\"");
}

#[test]
fn a_caller_of_su_who_goes_away_takes_the_verifier_along_and_leaves_no_lock() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(REQUIRED)
        .pam_example("su", "su")
        .pam("login", &exact(""))
        .start();
    let mut token = host.enrol_with("bob", &["hotp"]).device;
    for way in ["INT", "KILL", "HUP"] {
        let mut su =
            host.terminal("setpriv --reuid alice --regid alice --init-groups su bob -c id");
        su.expect("Password: ");
        su.send_line("walrus");
        su.expect(CODE);
        host.shell(&format!("pkill -{way} -x su"));
        su.end();
        host.shell("until ! pgrep -x mfa-verifier; do :; done");
        assert_eq!(
            Attempt::new("login", "bob").answer(token.code()).run(&host).code(),
            "PAM_SUCCESS"
        );
    }
}
