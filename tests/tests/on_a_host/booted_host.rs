//! A host with systemd, and the units that `make install` lays out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_tests::host::{PAM_CLIENT, as_user};
use mfa_tests::pam::{Attempt, Call, Function, Plan, Report, exact};
use mfa_tests::readme::README;
use mfa_tests::{Device, Host, Output, Running, log};

const SOCKET: &str = "/run/pam_mfa/user.sock";
const SOCKET_UNIT: &str = "mfa-verifier-user.socket";
const INSTANCES: &str = "mfa-verifier-user@*.service";
/// As `mfa-verifier-user.socket` has it.
const MAX_CONNECTIONS: usize = 64;
/// As the verifier has it.
const PER_USER: usize = mfa_verifier::places::PER_USER as usize;

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .config("[policy]\nmode = \"required\"\n")
        .pam("exact", &exact(""))
        .booted()
        .start()
}

/// `mfa-setup` of root's, which asks a verifier that systemd starts.
fn through_the_socket(host: &Running, arguments: &[&str]) -> Output {
    host.run(&[&["mfa-setup", "--socket", SOCKET], arguments].concat())
}

fn assert_served(host: &Running) {
    let status = through_the_socket(host, &["status", "--user", "alice", "--json"]).json();
    assert_eq!(status["user"], "alice", "{status}");
}

fn property(host: &Running, unit: &str, name: &str) -> String {
    let shown = host.run(&["systemctl", "show", "--value", &format!("--property={name}"), unit]);
    shown.ok().trim().to_owned()
}

/// The units of the connections that there are, whatever their state.
fn instances(host: &Running) -> Vec<String> {
    let list = ["systemctl", "list-units", "--all", "--plain", "--no-legend", INSTANCES];
    let units = host.run(&list).ok();
    units.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Waits until it is so.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Connections on which nothing is asked for. They are closed when it is dropped.
struct Idle {
    client: Child,
    lifeline: ChildStdin,
}

impl Idle {
    /// Opens them one after the other; returns when the last is.
    fn open(host: &Running, user: &str, count: usize) -> Self {
        let script = "use Socket;
            alarm 60;
            for (1 .. $ARGV[1]) {
                socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die $!;
                connect($socket, sockaddr_un($ARGV[0])) or die $!;
                push @open, $socket;
            }
            alarm 0;
            $| = 1; print qq(open\\n); <STDIN>";
        let count = count.to_string();
        let perl = ["prlimit", "--nofile=4096", "perl", "-e", script, SOCKET, &count];
        let mut command = host.command(&as_user(user, &perl));
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "open\n", "is the socket there?");
        Self { lifeline: client.stdin.take().unwrap(), client }
    }

    fn close(self) {
        let Self { mut client, lifeline } = self;
        drop(lifeline);
        assert!(client.wait().unwrap().success());
    }
}

#[test]
fn systemd_is_up_and_nothing_has_failed() {
    let host = host();
    let state = host.run(&["systemctl", "is-system-running"]).stdout;
    assert_eq!(state, "running\n", "{}", host.run(&["systemctl", "--failed"]).stdout);
    assert_eq!(host.run_as("alice", &["id", "-un"]).ok(), "alice\n");
    assert_eq!(host.run(&["hostname"]).ok(), "testhost\n");
}

#[test]
fn a_booted_host_leaves_the_machine_alone_and_nothing_behind() {
    let host = host();
    let mut sleeper = host.pty(&["sh", "-c", "echo pid $$; exec sleep 1000"]);
    sleeper.expect("pid ");
    let refused = host.run(&["sh", "-c", "echo 0 > /proc/sys/kernel/panic"]);
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    // SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, SYSLOG: what systemd starts has none of them.
    let status = host.read("/proc/1/status");
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    assert_eq!([16, 17, 22, 25, 34].map(|capability| bounding >> capability & 1), [0; 5]);
    drop(host);
    assert_ne!(sleeper.end().0, Some(0), "it was ended with its host");
}

#[test]
fn people_log_in_to_a_booted_host_too() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .pam("sshd", "auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
        .sshd("")
        .booted()
        .start();
    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer("Password: ", "rabbit hole").end().let_in("alice");
    let line = host.wait_for_log("Accepted keyboard-interactive/pam for alice");
    assert!(line.contains("from 192.0.2.7"), "{line}");
    let mut tty = host.terminal("tty");
    tty.expect("/dev/pts/");
    assert_eq!(tty.end().0, Some(0));
}

#[test]
fn what_programs_log_is_found_in_the_journal() {
    let host = host();
    host.run(&["logger", "--priority=authpriv.notice", "--tag=someone", "--id=7", "hello"]).ok();
    assert_eq!(host.logged_by_now("hello"), ["someone[7]: hello"]);
    let record = host.log().into_iter().find(|record| record.text.contains("hello")).unwrap();
    assert_eq!((record.facility, record.severity), (log::AUTHPRIV, 5));
}

#[test]
fn the_socket_listens_after_boot_for_everybody() {
    let host = host();
    assert_eq!(property(&host, SOCKET_UNIT, "ActiveState"), "active");
    let socket = fs::symlink_metadata(host.path(SOCKET)).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o7777), (0, 0, 0o666));
    let directory = fs::symlink_metadata(host.path("/run/pam_mfa")).unwrap();
    assert_eq!((directory.uid(), directory.gid(), directory.mode() & 0o7777), (0, 0, 0o755));

    host.run(&["systemctl", "stop", SOCKET_UNIT]).ok();
    assert!(!host.path(SOCKET).exists(), "it stays behind");
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let host = host();
    let services =
        ["mfa-verifier-user@0.service", "mfa-verifier-users.service", "mfa-verifier.service"];
    let sockets = [SOCKET_UNIT, "mfa-verifier.socket"];
    let verify = ["systemd-analyze", "verify", "--man=no"];
    let verified = host.run(&[&verify[..], &services, &sockets].concat());
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
}

/// README.md's sentence about the units' exposure: the name of each, and its figure.
fn figures_of_the_readme() -> Vec<(String, f32)> {
    let mut sentence = README.split("`systemd-analyze security` gives").nth(1).unwrap();
    sentence = sentence.split("\n\n").next().unwrap();
    let (mut names, mut figures) = (Vec::new(), Vec::new());
    for word in sentence.split_whitespace() {
        let word = word.trim_end_matches(['.', ',', ':']);
        if let Some(name) = word.strip_prefix('`').and_then(|name| name.strip_suffix(".service`")) {
            names.push(name.to_owned());
        } else if let Ok(figure) = word.parse() {
            figures.extend(names.drain(..).map(|name| (name, figure)));
        }
    }
    figures
}

#[test]
fn the_units_are_exposed_as_little_as_the_readme_says() {
    let host = host();
    let figures = figures_of_the_readme();
    assert_eq!(figures.len(), 3, "{figures:?}");
    for (name, figure) in figures {
        let unit = if name.ends_with('@') { format!("{name}0.service") } else { name };
        let said = host.run(&["systemd-analyze", "security", "--no-pager", &unit]).ok();
        let last = said.trim().lines().last().unwrap();
        let measured: f32 = last.split(&[':', ' ']).find_map(|word| word.parse().ok()).unwrap();
        assert!((measured - figure).abs() < 0.05, "{last}, and not {figure}");
        assert!(measured <= 2.5, "{last}");
    }
}

#[test]
fn a_verifier_cannot_write_but_where_it_must() {
    let host = host();
    let idle = Idle::open(&host, "root", 1);
    eventually("a verifier", || instances(&host).len() == 1);
    let pid = property(&host, &instances(&host)[0], "MainPID");
    let status = || host.read(format!("/proc/{pid}/status"));
    eventually("it is more than forked", || status().starts_with("Name:\tmfa-verifier\n"));
    let status = status();
    for wanted in ["NoNewPrivs:\t1", "Seccomp:\t2", "Uid:\t0\t0\t0\t0"] {
        assert!(status.contains(wanted), "{wanted} is not in {status}");
    }
    let can_write = |path: &str| {
        host.run(&["nsenter", "--mount", "--target", &pid, "touch", path]).code == Some(0)
    };
    for path in ["/etc/pam_mfa/x", "/var/lib/pam_mfa/x", "/run/pam_mfa/x", "/run/faillock/x"] {
        assert!(can_write(path), "{path}");
    }
    for path in ["/etc/x", "/usr/x", "/var/lib/x", "/run/x", "/home/alice/x", "/root/x"] {
        assert!(!can_write(path), "{path}");
    }
    idle.close();
}

#[test]
fn pam_modules_work_in_the_sandbox() {
    let stack = "auth required pam_faillock.so preauth deny=3 nodelay\n\
                 auth [success=1 default=bad] pam_unix.so nodelay\n\
                 auth [default=die] pam_faillock.so authfail deny=3 nodelay\n\
                 auth sufficient pam_faillock.so authsucc deny=3 nodelay\n\
                 account required pam_unix.so\n";
    // In the verifier's place an application that asks PAM.
    let drop_in = format!("[Service]\nExecStart=\nExecStart={PAM_CLIENT}\nStandardOutput=socket\n");
    let host = Host::new()
        .user("alice", "rabbit hole")
        .pam("mfa-setup", stack)
        .file("/etc/systemd/system/mfa-verifier-user@.service.d/test.conf", drop_in)
        .booted()
        .start();
    let ask = |password: &str| {
        let account = Call::new(Function::AcctMgmt);
        let attempt = Attempt::new("mfa-setup", "alice").answer(password);
        let plan = Plan {
            attempts: vec![attempt.calls([Call::authenticate(), account])],
            ..Plan::default()
        };
        // From within: where systemd 257 finds no number of the peer's process, the socket fails.
        let script = "use Socket;
            alarm 30;
            socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die $!;
            connect($socket, sockaddr_un($ARGV[0])) or die $!;
            syswrite $socket, <STDIN>; shutdown $socket, 1; print <$socket>";
        let plan = serde_json::to_string(&plan).unwrap();
        let report = host.run_with_input(&["perl", "-e", script, SOCKET], &format!("{plan}\n"));
        let report = report.ok();
        let report: Report =
            serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {report:?}"));
        report.returned
    };
    assert_eq!(ask("rabbit hole"), ["PAM_SUCCESS", "PAM_SUCCESS"]);
    for _ in 0..3 {
        assert_eq!(ask("looking glass")[0], "PAM_AUTH_ERR");
    }
    assert_eq!(fs::metadata(host.path("/run/faillock/alice")).unwrap().uid(), 1000);
    assert_ne!(ask("rabbit hole")[0], "PAM_SUCCESS", "locked");
    host.wait_for_log("Consecutive login failures for user alice account temporarily locked");
}

#[test]
fn root_enrols_through_the_socket_and_the_code_lets_in() {
    let host = host();
    assert_served(&host);
    assert!(!host.path("/etc/pam_mfa/store.key").exists(), "looking makes nothing");

    let added = ["add", "totp", "--user", "alice", "--no-confirm", "--json", "--yes"];
    let added = through_the_socket(&host, &added).json();
    let key = fs::metadata(host.path("/etc/pam_mfa/store.key")).unwrap();
    assert_eq!((key.uid(), key.mode() & 0o7777), (0, 0o600));
    let store = fs::metadata(host.path("/var/lib/pam_mfa")).unwrap();
    assert_eq!((store.uid(), store.mode() & 0o7777), (0, 0o700));

    let mut device = Device::from_uri(added["uri"].as_str().unwrap());
    let code = device.code();
    let login = |code: &str| Attempt::new("exact", "alice").after_a_key().answer(code).run(&host);
    assert_eq!(login(&code).code(), "PAM_SUCCESS");
    assert_eq!(login(&code).code(), "PAM_AUTH_ERR", "it was used");
    assert_served(&host);
}

#[test]
fn a_decision_behind_the_socket_is_in_the_journal_and_so_is_who_asked() {
    let host = host();
    let device = host.enrol("alice").device;
    let judge = ["mfa-setup", "--socket", SOCKET, "judge", "--user", "alice"];
    assert_eq!(host.run_with_input(&judge, &device.wrong_code()).code, Some(1));
    let line = host.wait_for_log("outcome=denied");
    assert!(line.contains("user=\"alice\""), "{line}");
    let record = host.log().into_iter().find(|record| record.text == line).unwrap();
    assert_eq!(record.facility, log::AUTHPRIV);

    host.run_as("alice", &["mfa-setup", "status"]).ok();
    host.wait_for_log("/UID 1000)");
}

#[test]
fn a_verifier_ends_when_its_peer_hangs_up() {
    let host = host();
    let idle = Idle::open(&host, "root", 3);
    eventually("three verifiers", || instances(&host).len() == 3);
    idle.close();
    eventually("no verifier", || instances(&host).is_empty());
    assert_eq!(property(&host, SOCKET_UNIT, "ActiveState"), "active");
}

#[test]
fn a_verifier_that_is_killed_harms_no_other() {
    let host = host();
    let idle = Idle::open(&host, "root", 2);
    eventually("two verifiers", || instances(&host).len() == 2);
    let killed = instances(&host).remove(0);
    host.run(&["systemctl", "kill", "--signal=SIGKILL", &killed]).ok();
    eventually("one verifier", || instances(&host).len() == 1);
    assert_eq!(property(&host, SOCKET_UNIT, "ActiveState"), "active");
    assert_served(&host);
    idle.close();
    eventually("nothing left of it", || instances(&host).is_empty());
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}

#[test]
fn people_enrol_themselves_under_the_sandbox() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "looking glass")
        .config("[policy]\nmode = \"required\"\n")
        .pam("exact", &exact(""))
        .pam_example("mfa-setup", "mfa-setup")
        .booted()
        .start();
    let with = ["mfa-setup"];
    let without = ["setpriv", "--no-new-privs", "mfa-setup"];
    for (user, password, argv) in
        [("alice", "rabbit hole", &with[..]), ("bob", "looking glass", &without[..])]
    {
        let mut tty = host.pty(&as_user(user, argv));
        tty.expect("Password: ");
        tty.send_line("wrong");
        assert_eq!(tty.end().0, Some(1), "{}", tty.text());
        let failure = format!("user={user}");
        let line = host.wait_for_log(&failure);
        assert!(line.contains("pam_unix(mfa-setup:auth): authentication failure"), "{line}");

        let mut tty = host.pty(&as_user(user, argv));
        tty.expect("Password: ");
        tty.send_line(password);
        tty.expect("A name for the device [phone]: ");
        tty.send_line("");
        let shown = tty.expect("The code that it shows now: ");
        let mut device = Device::totp(&key_in(&shown));
        tty.send_line(&device.code());
        let shown = tty.expect("Type one of these codes, to show that you have kept them: ");
        // Argon2 has run for each of the codes.
        let verifier = instances(&host).remove(0);
        let status = host.read(format!("/proc/{}/status", property(&host, &verifier, "MainPID")));
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let bound: u64 = property(&host, &verifier, "MemoryMax").parse().unwrap();
        println!("{} MiB of memory at most", peak / 1024);
        assert!(peak * 1024 < bound / 4 * 3, "{peak} KiB");
        tty.send_line(&first_backup_code(&shown));
        assert_eq!(tty.end().0, Some(0), "{}", tty.text());

        let login = Attempt::new("exact", user).after_a_key().answer(device.code()).run(&host);
        assert_eq!(login.code(), "PAM_SUCCESS");
        let status = host.run_as(user, &[argv, &["status", "--json"]].concat()).json();
        assert_eq!(status["backup_codes_left"], 10, "{status}");
    }
}

/// The key that stands on the screen behind the words that introduce it.
fn key_in(shown: &str) -> String {
    let behind = |words: &str| shown.split(words).nth(1);
    let key = behind("key into it:").or_else(|| behind("key into the app:")).expect("a key");
    key.split_whitespace().collect()
}

fn first_backup_code(shown: &str) -> String {
    let first = shown.lines().find_map(|line| line.trim().strip_prefix("1 ")).expect("a sheet");
    first.trim().to_owned()
}

#[test]
fn one_users_thousand_connections_stop_neither_the_socket_nor_others() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "looking glass")
        .config("[policy]\nmode = \"required\"\n")
        .booted()
        .start();
    let count = |name| property(&host, SOCKET_UNIT, name).parse::<usize>().unwrap();
    let began = Instant::now();
    let idle = Idle::open(&host, "alice", 1000);
    let mut most = 0;
    eventually("all are accepted or refused", || {
        most = most.max(instances(&host).len());
        count("NAccepted") + count("NRefused") >= 1000
    });
    println!("{:?}, at most {most} verifiers beside each other", began.elapsed());
    assert!(most <= MAX_CONNECTIONS, "{most} verifiers");
    assert_eq!(property(&host, SOCKET_UNIT, "ActiveState"), "active");
    // They are open still, but for those that systemd closed.
    eventually("alice has no more than her share", || instances(&host).len() <= PER_USER);
    assert_served(&host);
    host.run_as("bob", &["mfa-setup", "status", "--json"]).json();

    idle.close();
    eventually("no verifier", || instances(&host).is_empty());
    host.run_as("alice", &["mfa-setup", "status", "--json"]).json();
}

#[test]
fn roots_thousand_connections_do_not_stop_the_socket() {
    let host = host();
    let count = |name| property(&host, SOCKET_UNIT, name).parse::<usize>().unwrap();
    let idle = Idle::open(&host, "root", 1000);
    let mut most = 0;
    eventually("all are accepted or refused", || {
        most = most.max(instances(&host).len());
        count("NAccepted") + count("NRefused") >= 1000
    });
    assert!(most <= MAX_CONNECTIONS, "{most} verifiers");
    assert_eq!(property(&host, SOCKET_UNIT, "ActiveState"), "active");
    idle.close();
    eventually("no verifier", || instances(&host).is_empty());
    assert_served(&host);
}
