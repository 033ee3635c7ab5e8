//! README.md, typed into a fresh Debian: its commands give a second factor over ssh, and a way back
//! for who is locked out.
//!
//! The blocks are read from README.md and typed line by line. These stand for something else:
//!
//! - `apt-get`: a container has no network. `make` and `gcc` are the machine's own, shown inside;
//!   their packages must be what the line names.
//! - the build in `make install`: the container has no Rust. What the machine built is shown inside,
//!   and `make` then installs that, as it does under `sudo` without cargo.
//! - `ssh alice@server`: the tests' ssh client, on the host itself, which knows the host's key.
//! - `pam_unix` is told not to delay refusals by two seconds.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mfa_tests::readme::{blocks, quoted, roots_lines, section, typed_by_root};
use mfa_tests::ssh::Ended;
use mfa_tests::traced::VERIFIER;
use mfa_tests::{Device, Host, Person, Running, cache, readme};

/// The directory of README.md in the container.
const HERE: &str = "/root/pam_mfa";

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

#[test]
fn install_gives_a_second_factor_over_ssh_and_changes_nothing_before() {
    let mut host = fresh();
    let install = blocks("### From source", "sh");
    let [build, ask_over_ssh] = install.as_slice() else { panic!("{install:?}") };
    type_build(&host, build);
    host.follow_the_mode(VERIFIER);
    // Nothing uses the module yet.
    by_password(&host).let_in("alice");
    assert_eq!(host.logged_by_now("pam_mfa"), [""; 0]);

    let (mut phone, backup) = enrol(&host);
    type_all(&host, ask_over_ssh);
    log_in(&host, &phone.code()).let_in("alice");
    log_in(&host, &phone.wrong_code()).refused();
    log_in(&host, &backup).let_in("alice");
    // The password alone does no more, nor a key alone.
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, "").end().refused();
    host.ssh("alice").methods("password").open().end().refused();
    host.make_key("alice");
    host.ssh("alice").key().methods("publickey").open().end().refused();
    // Who has not enrolled gets in as before.
    host.ssh("bob").open().answer(PASSWORD, "walrus").end().let_in("bob");
}

#[test]
fn with_the_users_socket_users_enrol_themselves() {
    let host = debian().booted().start();
    type_build(&host, &blocks("### From source", "sh")[0]);
    let alice = Person::new(&host, "alice", "rabbit hole");
    assert_eq!(alice.run(&["mfa-setup", "status"]).code, Some(3));
    let install = blocks("### From source", "console");
    let enable = install.iter().find(|block| block.contains("systemctl enable")).unwrap();
    type_all(&host, &roots_lines(enable));
    let deadline = Instant::now() + Duration::from_secs(10);
    while alice.run(&["mfa-setup", "status"]).code != Some(0) {
        assert!(Instant::now() < deadline, "nobody listens");
    }
    let mut phone = alice.enrol().device;
    assert_eq!(host.run(&["systemctl", "is-active", "mfa-verifier.service"]).stdout, "inactive\n");
    let judged = |code: &str| {
        let line = ["mfa-setup", "judge", "--user", "alice"];
        host.run_with_input(&line, code).code
    };
    assert_eq!(judged(&phone.code()), Some(0));
    assert_eq!(judged(&phone.wrong_code()), Some(1));
    let is_active = || host.run(&["systemctl", "is-active", "mfa-verifier.service"]).stdout;
    assert_eq!(is_active(), "active\n");
    // One that is stuck, and an upgrade: whoever comes next has another.
    for line in ["systemctl kill", "systemctl try-restart"].map(quoted) {
        host.shell(&line);
        assert_eq!(judged(&phone.wrong_code()), Some(1), "{line}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_active() != "active\n" {
            assert!(Instant::now() < deadline, "{line}: {}", is_active());
        }
    }
    // The socket, in place of the process that listens.
    type_all(&host, &typed_by_root("## The users' socket"));
    assert_eq!(alice.run(&["mfa-setup", "status"]).code, Some(0));
    // And where there is no systemd.
    host.shell("systemctl stop mfa-verifier-user.socket");
    let without = section("## The users' socket");
    let line = without.lines().find_map(|line| line.strip_prefix("    ")).unwrap();
    let mut listener = host.pty(&line.split(' ').collect::<Vec<_>>());
    let deadline = Instant::now() + Duration::from_secs(10);
    while alice.run(&["mfa-setup", "status"]).code != Some(0) {
        assert!(Instant::now() < deadline, "{}", listener.text());
    }
    listener.send("\x03");
    listener.end();
    assert_eq!(alice.run(&["mfa-setup", "status"]).code, Some(3));
    // Both, by one line.
    host.shell("systemctl stop mfa-verifier.socket mfa-verifier.service");
    let without = section("## The resident verifier");
    let line = without.lines().find_map(|line| line.strip_prefix("    ")).unwrap();
    let mut resident = host.pty(&line.split(' ').collect::<Vec<_>>());
    let deadline = Instant::now() + Duration::from_secs(10);
    while alice.run(&["mfa-setup", "status"]).code != Some(0) {
        assert!(Instant::now() < deadline, "{}", resident.text());
    }
    host.shell("mv /usr/libexec/pam_mfa/mfa-verifier /root/away");
    assert_eq!(judged(&phone.wrong_code()), Some(1), "no other could be started");
    host.shell("mv /root/away /usr/libexec/pam_mfa/mfa-verifier");
    resident.send("\x03");
    resident.end();
    let deadline = Instant::now() + Duration::from_secs(12);
    while alice.run(&["mfa-setup", "status"]).code != Some(3) {
        assert!(Instant::now() < deadline, "both have ended");
    }
    // And away again: nothing of it is left.
    let uninstall = roots_lines(&blocks("## Uninstall", "console")[0]);
    type_all(&host, &uninstall);
    type_all(&host, blocks("## Uninstall", "sh")[1].lines().last().unwrap());
    let left = host.shell("ls /usr/lib/systemd/system /etc/pam.d /etc/systemd/system/*.wants");
    assert!(!left.contains("mfa"), "{left}");
}

#[test]
fn key_and_code_instead_asks_for_both() {
    let mut host = installed();
    let mut phone = host.enrol("alice").device;
    host.make_key("alice");
    type_all(&host, &typed_by_root("### Key and code instead"));
    let mut ssh = host.ssh("alice").key().open();
    let ended = ssh.answer(CODE, &phone.code()).end();
    assert!(!ended.text.contains(PASSWORD), "{}", ended.text);
    ended.let_in("alice");
    host.ssh("alice").key().open().answer(CODE, &phone.wrong_code()).end().refused();
    host.ssh("alice").key().methods("publickey").open().end().refused();
    let shown = host.ssh("alice").methods("keyboard-interactive").open().end().refused();
    assert!(!shown.contains(CODE), "{shown}");

    // The way back, for when the verifier is gone: it refuses more than it should, and says so.
    break_program(&mut host);
    host.ssh("alice").key().open().end().refused();
    let out_of_pam = &blocks("## Locked out?", "sh")[3];
    type_all(&host, out_of_pam);
    host.ssh("alice").key().open().end().let_in("alice");
    by_password(&host).refused();
    let console = blocks("## Locked out?", "console");
    type_all(&host, &roots_lines(&console[0]));
    by_password(&host).let_in("alice");
}

#[test]
fn locked_out_for_wrong_codes_or_a_lost_device_has_a_way_back() {
    let host = installed();
    let locked_out = blocks("## Locked out?", "sh");
    let [unlock, reset, ..] = locked_out.as_slice() else { panic!("{locked_out:?}") };
    let (mut phone, backup) = enrol(&host);
    let judged = |code: &str| {
        let line = ["mfa-setup", "judge", "--user", "alice", "--from", "127.0.0.1"];
        host.run_with_input(&line, code)
    };
    for _ in 0..5 {
        assert_eq!(judged(&phone.wrong_code()).code, Some(1));
    }
    let code = phone.code();
    log_in(&host, &code).refused();
    host.wait_for_log("outcome=locked user=\"alice\"");
    // "First let them use a backup code."
    log_in(&host, &backup).let_in("alice");
    for _ in 0..5 {
        assert_eq!(judged(&phone.wrong_code()).code, Some(1));
    }
    log_in(&host, &code).refused();
    type_all(&host, unlock);
    log_in(&host, &code).let_in("alice");

    // Device and codes are gone.
    type_all(&host, reset);
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").end().let_in("alice");
    host.shell("sed -i 's/^mode = .*/mode = \"required\"/' /etc/pam_mfa/config.toml");
    log_in(&host, &code).refused();
    let mut phone = enrol(&host).0;
    log_in(&host, &phone.code()).let_in("alice");
}

#[test]
fn where_nobody_gets_in_asking_nobody_lets_in_whatever_is_broken() {
    let host = installed();
    let mut phone = host.enrol("alice").device;
    let ask_nobody = &blocks("## Locked out?", "sh")[2];
    let password_alone = || host.ssh("alice").open().answer(PASSWORD, "rabbit hole").end();
    for damage in [
        "echo 'moed = \"off\"' >>/etc/pam_mfa/config.toml",
        "chmod 666 /etc/pam_mfa/config.toml",
        "mv /etc/pam_mfa/store.key /root/store.key",
        "mv /var/lib/pam_mfa /root/store",
        "for file in $(find /var/lib/pam_mfa/users/1000 -type f); do echo x >$file; done",
        "chown -R bob /var/lib/pam_mfa",
    ] {
        host.shell(
            "mkdir -p /root/etc /root/lib
             cp -a /etc/pam_mfa/. /root/etc; cp -a /var/lib/pam_mfa/. /root/lib",
        );
        host.shell(damage);
        password_alone().refused();
        type_all(&host, ask_nobody);
        password_alone().let_in("alice");
        // "To go back, `mv` it to its name again"; and what was broken is mended.
        host.shell(
            "mv /etc/pam_mfa/config.toml.before /etc/pam_mfa/config.toml
             rm -rf /etc/pam_mfa /var/lib/pam_mfa
             mv /root/etc /etc/pam_mfa; mv /root/lib /var/lib/pam_mfa",
        );
    }
    log_in(&host, &phone.code()).let_in("alice");
}

#[test]
fn where_the_module_or_the_verifier_cannot_be_run_pam_does_without() {
    for damage in [break_program as fn(&mut Running), break_module, break_module_s_line] {
        let mut host = installed();
        host.enrol("alice");
        damage(&mut host);
        host.ssh("alice").open().answer(PASSWORD, "rabbit hole").end().refused();
        type_all(&host, &blocks("## Locked out?", "sh")[3]);
        by_password(&host).let_in("alice");
        assert!(!host.shell("/usr/sbin/sshd -T").contains("\nauthenticationmethods keyboard"));
    }
}

#[test]
fn uninstalled_everybody_logs_in_as_before() {
    let uninstall = &blocks("## Uninstall", "sh")[1];
    let host = installed();
    type_all(&host, &typed_by_root("### Key and code instead"));
    type_all(&host, uninstall);
    assert!(
        section("## Uninstall")
            .contains("copy `/var/backups/pam.d-sshd` back to `/etc/pam.d/sshd`")
    );
    host.shell("cp /var/backups/pam.d-sshd /etc/pam.d/sshd");
    by_password(&host).let_in("alice");

    let host = installed();
    let mut phone = host.enrol("alice").device;
    log_in(&host, &phone.code()).let_in("alice");
    type_all(&host, uninstall);
    by_password(&host).let_in("alice");
    let left = host.shell(
        "find / -xdev \\( -name '*pam_mfa*' -o -name 'mfa-*' \\) -not -path '/root/*' | sort",
    );
    // What is the administrator's and the users', and what the tests put there.
    assert_eq!(left, "/etc/pam_mfa\n/var/lib/pam_mfa\n");
}

/// A Debian of its own with alice and bob, on which nothing of `pam_mfa` is installed, and its sshd
/// as Debian has set it up.
/// A Debian with this directory on it, and nothing installed.
fn debian() -> Host {
    let built = built();
    Host::new()
        .bare()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .bind(cache::tree().join("Makefile"), &format!("{HERE}/Makefile"))
        .bind(cache::tree().join("config"), &format!("{HERE}/config"))
        .bind(cache::tree().join("packaging"), &format!("{HERE}/packaging"))
        .bind(cache::tree().join("doc"), &format!("{HERE}/doc"))
        .bind(built, &format!("{HERE}/target/release"))
        .bind(fs::canonicalize("/usr/bin/make").unwrap(), "/usr/bin/make")
        .bind(fs::canonicalize("/usr/bin/gcc").unwrap(), "/usr/bin/gcc")
}

fn fresh() -> Running {
    let host = debian().start();
    host.shell("sed -i 's/pam_unix.so nullok/& nodelay/' /etc/pam.d/common-auth");
    let key = host.read("/etc/ssh/ssh_host_ed25519_key.pub");
    host.write("/etc/ssh/ssh_known_hosts", format!("* {key}"));
    host.shell("service ssh start");
    host.wait_for_log("Server listening on :: port 22");
    host
}

/// The same with the whole of "Install" behind it, but that nobody has enrolled.
fn installed() -> Running {
    let mut host = fresh();
    let install = blocks("### From source", "sh");
    type_build(&host, &install[0]);
    host.follow_the_mode(VERIFIER);
    type_all(&host, &install[1]);
    host
}

/// Where `make` built what the stage is made of: `target/release`.
fn built() -> PathBuf {
    // Whoever was first has built it.
    let _ = cache::stage();
    // target/debug/deps/on_a_host-…
    let program = std::env::current_exe().unwrap();
    let built = program.ancestors().nth(3).unwrap().join("release");
    assert!(built.join("pam_mfa.paths").exists(), "{}: make first", built.display());
    built
}

fn type_all(host: &Running, block: &str) {
    readme::type_all(host, HERE, block);
}

/// The block that builds and installs. What asks the network is compared instead of typed.
fn type_build(host: &Running, block: &str) {
    let lines: Vec<&str> = block.lines().collect();
    let apt_get = ["apt-get update", "apt-get install -y gcc make libpam0g-dev"];
    assert_eq!(lines[..2], apt_get);
    assert_eq!(lines[2..], ["make install"]);
    type_all(host, lines[2]);
    for file in ["/usr/bin/mfa-setup", "/usr/libexec/pam_mfa/mfa-verifier"] {
        assert!(host.path(file).exists(), "{file}");
    }
}

/// Alice's enrolment, as "Install" has it typed and "Enrol" shows it: her app, and the first of her
/// backup codes.
fn enrol(host: &Running) -> (Device, String) {
    let command = "mfa-setup --user alice";
    assert!(section("### From source").contains(&format!("\n# {command}\n")));
    let mut tty = host.pty(&command.split(' ').collect::<Vec<_>>());
    tty.expect("A name for the device [phone]: ");
    tty.send_line("");
    tty.expect("key into it: ");
    let key = tty.expect("The code that it shows now: ");
    let mut phone = Device::totp(&key.split_whitespace().collect::<String>());
    tty.send_line(&phone.code());
    tty.expect("   1  ");
    let backup = tty.expect("\r\n");
    tty.expect("kept them: ");
    tty.send_line(&backup);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    let shown = &blocks("## Enrol", "text")[0];
    for line in shown.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')) {
        // What stands behind a colon is another one each time.
        let words = line.rsplit_once(": ").map_or(line, |(words, _)| words);
        assert!(tty.text().contains(words), "README shows {line:?}, the terminal\n{}", tty.text());
    }
    (phone, backup)
}

fn log_in(host: &Running, code: &str) -> Ended {
    host.ssh("alice").open().answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
}

/// With the method `password` of sshd, which is how Debian has it.
fn by_password(host: &Running) -> Ended {
    let mut ssh = host.ssh("alice").methods("password").open();
    ssh.answer("'s password: ", "rabbit hole").end()
}

fn break_program(host: &mut Running) {
    host.leave_the_mode();
    host.shell("rm /usr/libexec/pam_mfa/mfa-verifier");
}

fn break_module(host: &mut Running) {
    host.shell("rm /usr/lib/*/security/pam_mfa.so");
}

fn break_module_s_line(host: &mut Running) {
    host.shell("sed -i 's/pam_mfa.so.*/& nonsense/' /etc/pam.d/sshd");
}
