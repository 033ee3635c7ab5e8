//! What stands where a file of ours should be: something foreign, something of another host, or
//! nothing; and a lock that somebody holds.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::USED;
use mfa_tests::mode;
use mfa_tests::pam::{Attempt, Report};
use mfa_tests::traced::{MODULE, TRACE, Traced, VERIFIER};
use mfa_tests::{Host, Running};

/// Somebody whose record could not be found would be let in.
const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

/// The stack grants what the module ignores.
const STACK: &str = "auth required pam_mfa.so\nauth required pam_permit.so\n";

const STORE: &str = "/var/lib/pam_mfa";
const KEY: &str = "/etc/pam_mfa/store.key";
/// Where the verifier is installed.
const LIBEXEC: &str = "/usr/libexec/pam_mfa";

/// A login is refused or done in this time, unless it waits for a lock.
const SOON: Duration = Duration::from_secs(3);

fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("mallory", "x")
        .disk(STORE)
        .config(OPTIONAL)
        .pam("app", STACK)
        .pam("traced", MODULE)
}

fn log_in(host: &Running, user: &str, code: &str) -> Report {
    let report = Attempt::new("app", user).answer(code).run(host);
    assert_eq!(report.died, None, "{report:?}");
    report
}

/// All below the directories of key and store, with their contents' sums.
fn everything(host: &Running) -> String {
    host.shell(
        "cd /; for directory in etc/pam_mfa var/lib/pam_mfa; do
             find $directory -printf '%p %y %m %u %l\\n' | sort
             find $directory -type f -size -100k -exec sha256sum {} + | sort
         done",
    )
}

#[test]
fn a_store_or_key_that_is_missing_or_of_another_host_refuses_everybody_and_stays_as_it_is() {
    let other = host().start();
    other.enrol("alice");
    let others_key = std::fs::read(other.path(KEY)).unwrap();
    drop(other);

    let cases = [
        ("the key is missing", format!("rm {KEY}")),
        ("the marker is missing", format!("rm {STORE}/format")),
        ("the store is missing", format!("rm -r {STORE}/format {STORE}/users")),
        ("the store is not mounted", format!("mount -t tmpfs -o mode=755 none {STORE}")),
        ("the users are missing", format!("rm -r {STORE}/users")),
        ("the users are not mounted", format!("mount -t tmpfs -o mode=700 none {STORE}/users")),
        ("key and marker are missing", format!("rm {KEY} {STORE}/format")),
        ("the key is another host's", format!("cp /root/others.key {KEY}; chmod 600 {KEY}")),
        ("the key is short", format!("truncate -s 31 {KEY}")),
        ("the key is empty", format!("truncate -s 0 {KEY}")),
        ("the key can be read by others", format!("chmod 644 {KEY}")),
        ("the marker is damaged", format!("truncate -s 30 {STORE}/format")),
        ("the marker is of a newer program", format!("sed -i 's/store 1/store 2/' {STORE}/format")),
    ];
    let mut logins = 0;
    let host = host().start();
    let code = host.enrol_with("alice", &["hotp"]).device.code();
    host.write("/root/others.key", others_key);
    host.shell(&format!("cp -a {STORE} /root/store; cp -a {KEY} /root/key"));
    for (what, script) in &cases {
        host.shell(script);
        let before = everything(&host);
        let logged = host.log().len();
        for policy in [OPTIONAL, REQUIRED] {
            host.write("/etc/pam_mfa/config.toml", policy);
            for user in ["alice", "bob", "nobody-of-that-name"] {
                let report = log_in(&host, user, &code);
                // Bob is not enrolled, but that cannot be told any more.
                assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL", "{what}, {user}, {policy}");
                host.wait_for_log_behind(logged, "outcome=unavailable");
                logins += 1;
            }
        }
        host.write("/etc/pam_mfa/config.toml", OPTIONAL);
        let lines = host.logged_by_now("outcome=unavailable");
        assert!(lines.iter().all(|line| line.contains("error=\"")), "{what}: {lines:#?}");
        for command in [&["status"][..], &["add", "totp", "--no-confirm", "--json"], &["reset"]] {
            let arguments = ["mfa-setup", "--user", "alice", "--yes"];
            let output = host.run(&[&arguments, command].concat());
            assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""), "{what}: {output:?}");
            assert!(output.stderr.contains("mfa-setup: hint: "), "{what}: {}", output.stderr);
        }
        assert_eq!(everything(&host), before, "{what}: something was made or changed");
        host.shell(&format!(
            "umount {STORE}/users {STORE} 2>/dev/null || true
             rm -rf {STORE}/format {STORE}/users {KEY}; cp -a /root/store/. {STORE}; cp -a /root/key {KEY}"
        ));
    }
    println!("{} cases, {logins} logins, none let in", cases.len());
    assert_eq!(log_in(&host, "alice", &code).code(), "PAM_SUCCESS", "as it was, it works");
}

/// What can be planted where `$P` is; `$T` is a target elsewhere that must stay as it is.
const SYMBOLIC_LINK: (&str, &str) = ("a symbolic link", "mv $P $T; ln -s $T $P");
const HARD_LINK: (&str, &str) = ("a hard link", "ln $P $P.too");
const FIFO: (&str, &str) = ("a FIFO", "rm -r $P; mkfifo -m 600 $P");
const DEVICE: (&str, &str) = ("a device", "rm -r $P; mknod -m 600 $P c 1 5");
const SOCKET: (&str, &str) = (
    "a socket",
    "rm -r $P; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => shift, Listen => 1)' $P",
);
const DIRECTORY: (&str, &str) = ("a directory", "rm $P; mkdir -m 700 $P");
const FILE: (&str, &str) = ("a file", "rm -r $P; touch $P; chmod 600 $P");
const FOREIGN_OWNER: (&str, &str) = ("somebody else's", "chown mallory $P");
const WRITABLE_FOR_ALL: (&str, &str) = ("writable for all", "chmod o+w $P");
const WRITABLE_FOR_GROUP: (&str, &str) = ("writable for a group", "chgrp mallory $P; chmod g+w $P");

#[test]
fn what_somebody_planted_is_refused_at_once_and_stays_untouched() {
    let host = host().disk("/kept").start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let used = alice.code();
    assert_eq!(log_in(&host, "alice", &used).code(), "PAM_SUCCESS");
    let code = alice.code();
    host.shell(&format!(
        "mkdir -m 755 /kept/elsewhere; cp -a --parents {STORE} /etc/pam_mfa \
         /usr/libexec/pam_mfa /kept"
    ));

    let files = [SYMBOLIC_LINK, HARD_LINK, FIFO, DEVICE, SOCKET, DIRECTORY, FOREIGN_OWNER];
    let guarded = [&files[..], &[WRITABLE_FOR_ALL, WRITABLE_FOR_GROUP]].concat();
    let owned = [FOREIGN_OWNER, WRITABLE_FOR_ALL, WRITABLE_FOR_GROUP];
    let directories = [&[SYMBOLIC_LINK, FIFO, DEVICE, FILE][..], &owned].concat();
    let verifier = [&[FIFO, DEVICE, SOCKET, DIRECTORY][..], &owned].concat();
    let room = format!("{STORE}/users/1000");
    let places = [
        (format!("{room}/summary"), &files[..]),
        (format!("{room}/lock"), &files),
        (format!("{room}/db/db"), &files),
        (format!("{room}/db/conf"), &files),
        (format!("{room}/db"), &directories),
        (room.clone(), &directories),
        (format!("{STORE}/users"), &directories),
        (format!("{STORE}/format"), &guarded),
        (STORE.to_owned(), &owned),
        ("/var/lib".to_owned(), &owned),
        (KEY.to_owned(), &guarded),
        ("/etc/pam_mfa/config.toml".to_owned(), &guarded),
        ("/etc/pam_mfa".to_owned(), &owned),
        ("/etc".to_owned(), &owned),
        (VERIFIER.to_owned(), &verifier),
        (LIBEXEC.to_owned(), &owned),
    ];
    // What is looked at when a db is opened or a verifier started; a resident has done so before.
    let once = [format!("{room}/db/conf"), VERIFIER.to_owned(), LIBEXEC.to_owned()];
    let (mut cases, mut slowest) = (0, Duration::ZERO);
    for (place, things) in &places {
        if mode::is_resident() && once.contains(place) {
            continue;
        }
        for (what, script) in *things {
            let what = format!("{place} is {what}");
            host.shell(&format!("P={place}; T=/kept/elsewhere/target; {script}"));
            let target = || {
                host.shell(
                    "cd /kept/elsewhere; find . -printf '%p %y %m %u %n %T@\\n'; \
                                        find . -type f -exec sha256sum {} +",
                )
            };
            let before = target();

            let (logged, since) = (host.log().len(), Instant::now());
            let report = log_in(&host, "alice", &code);
            let judged = host.run_with_input(&["mfa-setup", "judge", "--user", "alice"], &code);
            slowest = slowest.max(since.elapsed());
            assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL", "{what}");
            assert_eq!(judged.code, Some(3), "{what}: {judged:?}");
            assert!(judged.stderr.contains("mfa-setup: hint: "), "{what}: {judged:?}");
            // The module speaks where no verifier can.
            host.wait_for_log_behind(logged, "error");
            assert_eq!(target(), before, "{what}: the target was touched");
            cases += 1;

            host.shell(&format!(
                "rm -rf {STORE}/* {STORE}/.[!.]* /kept/elsewhere/*
                 rm -rf /etc/pam_mfa /usr/libexec/pam_mfa
                 chown root:root {STORE} /var/lib /etc; chmod 755 {STORE} /var/lib /etc
                 cp -a /kept{STORE}/. {STORE}; cp -a /kept/etc/pam_mfa /etc
                 cp -a /kept/usr/libexec/pam_mfa /usr/libexec"
            ));
            let works = log_in(&host, "alice", &used);
            assert_eq!((works.code(), works.told()), ("PAM_AUTH_ERR", vec![USED]), "after {what}");
        }
    }
    println!("{cases} planted things, all refused, the slowest two attempts in {slowest:.1?}");
    assert!(slowest < 2 * SOON, "{slowest:?}");
    assert_eq!(log_in(&host, "alice", &code).code(), "PAM_SUCCESS", "as it was, it works");
}

/// A process inside that holds alice's lock, and is stopped.
struct StoppedHolder(Child);

impl StoppedHolder {
    fn start(host: &Running) -> Self {
        let lock = format!("{STORE}/users/1000/lock");
        let mut command = host.command(&["flock", &lock, "sh", "-c", "echo $$; kill -STOP $$"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut pid).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        wait_until("it is stopped", || host.read(&stat).contains(") T "));
        Self(child)
    }

    /// Ends it.
    fn end(mut self, host: &Running) {
        host.shell("pkill -KILL -x flock; kill -KILL $(pgrep -x sh -r T)");
        self.0.wait().unwrap();
    }
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How long something took.
fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let since = Instant::now();
    let result = act();
    (since.elapsed(), result)
}

/// The bound of a lock is five seconds; more is the program's start and the machine's load.
#[track_caller]
fn waited_for_the_lock(time: Duration) {
    assert!(time >= Duration::from_secs(5) && time < Duration::from_secs(9), "{time:?}");
}

#[test]
fn a_lock_that_a_stopped_process_holds_is_waited_for_five_seconds_and_then_refuses() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let bob = host.enrol_with("bob", &["hotp"]).device.code();
    let code = alice.code();
    let holder = StoppedHolder::start(&host);
    let setup = |command: &[&str], input: &str| {
        let all = [&["mfa-setup", "--user", "alice", "--yes"], command].concat();
        host.run_with_input(&all, input)
    };
    thread::scope(|scope| {
        let login = scope.spawn(|| timed(|| log_in(&host, "alice", &code)));
        let judge = scope.spawn(|| timed(|| setup(&["judge"], &code)));
        let add = scope.spawn(|| timed(|| setup(&["add", "totp", "--json", "--no-confirm"], "")));
        let reset = scope.spawn(|| timed(|| setup(&["reset"], "")));
        // Neither others nor those who only look have to wait.
        let (time, report) = timed(|| log_in(&host, "bob", &bob));
        assert_eq!(report.code(), "PAM_SUCCESS");
        assert!(time < SOON, "{time:?}");
        let (time, status) = timed(|| setup(&["status", "--json"], ""));
        assert_eq!(status.json()["enrolled"], true);
        assert!(time < SOON, "{time:?}");

        let (time, report) = login.join().unwrap();
        waited_for_the_lock(time);
        assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL");
        for (what, waiting) in [("judge", judge), ("add", add), ("reset", reset)] {
            let (time, output) = waiting.join().unwrap();
            waited_for_the_lock(time);
            assert_eq!(output.code, Some(3), "{what}: {output:?}");
            assert!(output.stderr.contains("mfa-setup: hint: "), "{what}: {output:?}");
        }
    });
    let line = host.wait_for_log("outcome=unavailable user=\"alice\"");
    assert!(line.contains("locked by another process"), "{line}");

    holder.end(&host);
    let (time, report) = timed(|| log_in(&host, "alice", &code));
    assert_eq!(report.code(), "PAM_SUCCESS", "the code that was refused is not used");
    assert!(time < SOON, "{time:?}");
}

#[test]
fn a_verifier_that_is_stopped_while_it_saves_holds_up_others_only_as_long_as_a_lock_is_waited_for()
{
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let (first, second) = (alice.code(), alice.code());
    let traced = Traced::start(&host, &["-e", "inject=fdatasync:signal=SIGSTOP:when=1"]);
    thread::scope(|scope| {
        let stopped =
            scope.spawn(|| Attempt::new("traced", "alice").answer(first.as_str()).run(&host));
        wait_until("the verifier is stopped", || {
            host.path(TRACE).exists() && host.read(TRACE).contains("--- stopped by SIGSTOP ---")
        });
        let pid = host.shell("pgrep -x mfa-verifier -P $(pgrep -x strace)").trim().to_owned();

        let (time, report) = timed(|| log_in(&host, "alice", &second));
        waited_for_the_lock(time);
        assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL");
        host.run(&["kill", "-CONT", &pid]).ok();
        assert_eq!(stopped.join().unwrap().code(), "PAM_SUCCESS");
    });
    traced.end();
    assert_eq!(log_in(&host, "alice", &first).told(), [USED]);
    assert_eq!(log_in(&host, "alice", &second).code(), "PAM_SUCCESS");
}

#[test]
fn what_an_interrupted_process_left_behind_is_in_nobodys_way() {
    let host = host().start();
    let mut alice = host.enrol_with("alice", &["hotp"]).device;
    let room = format!("{STORE}/users/1000");
    let leftovers = [
        format!("echo 12345 > {room}/lock"),
        format!("rm {room}/lock"),
        format!("echo half > {room}/db/snap.00000000000001B8.generating"),
        format!(
            "mkdir -m 700 {STORE}/users/.new-1000; echo half > {STORE}/users/.new-1000/summary"
        ),
        format!("cp -a {room} {STORE}/users/.gone-1000"),
        format!(
            "mkdir -p {STORE}/users/.new-1001/db/blobs; cp {room}/summary {STORE}/users/.new-1001"
        ),
        format!("echo half > {STORE}/format.new"),
        format!("head -c 32 /dev/urandom > {KEY}.new; chmod 600 {KEY}.new"),
    ];
    for script in &leftovers {
        host.shell(script);
        let (time, report) = timed(|| log_in(&host, "alice", &alice.code()));
        assert_eq!(report.code(), "PAM_SUCCESS", "{script}");
        assert!(time < Duration::from_secs(1), "{script}: {time:?}");
    }
    // All of them together are in no enrolment's way either, which sweeps what is in its own.
    let bob = host.enrol_with("bob", &["hotp"]).device.code();
    assert_eq!(log_in(&host, "bob", &bob).code(), "PAM_SUCCESS");
    let left = host.shell(&format!("find {STORE} -name '.*' -o -name '*.generating'"));
    assert_eq!(left, "");
    println!("{} leftovers, each in nobody's way", leftovers.len());
}
