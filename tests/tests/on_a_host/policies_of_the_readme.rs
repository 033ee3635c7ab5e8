//! The policies that README.md shows, each typed into a host with a real sshd.

use mfa_tests::readme::README;
use mfa_tests::{Host, Pty, Running, clock};

const POLICY: &str = "/etc/pam_mfa/config.toml";
const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";
const OFFICE: &str = "192.0.2.7";
const HOME: &str = "198.51.100.7";

/// The policy below this line of README.md.
fn policy(introduced_by: &str) -> String {
    let section = README.split("\n### Policies\n").nth(1).unwrap();
    let (_, behind) = section.split_once(introduced_by).unwrap();
    let (_, block) = behind.split_once("```toml\n").unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// Alice is an administrator and bob is not; the robot is there to make backups.
fn host(policy: &str) -> Running {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("robot", "carpenter")
        .config(policy)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    host.shell("usermod -aG sudo alice");
    // The file is one that the verifier can use, and names nobody who is not there but wheel, which
    // Debian does not have.
    let checked = host.run(&["mfa-setup", "check", "--json"]).json();
    let warnings = checked["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().all(|text| text.as_str().unwrap().contains("\"wheel\"")),
        "{warnings:?}"
    );
    host
}

fn password(user: &str) -> &'static str {
    match user {
        "alice" => "rabbit hole",
        "bob" => "walrus",
        _ => "carpenter",
    }
}

/// The user gets in by password alone; why, in the words of the log.
#[track_caller]
fn is_not_asked(host: &Running, user: &str, from: &str, why: &str) -> String {
    let seen = host.log().len();
    let ended = host.ssh(user).from(from).open().answer(PASSWORD, password(user)).end();
    let text = ended.text.clone();
    assert!(!text.contains(CODE), "{text}");
    ended.let_in(user);
    let line = host.wait_for_log_behind(seen, "outcome=");
    assert!(line.contains("outcome=exempt") && line.contains(why), "{line}");
    text
}

/// The user is asked for a code and gets in by this one, or does not; the line in the log.
#[track_caller]
fn is_asked(host: &Running, user: &str, from: &str, code: &str, let_in: bool) -> String {
    let seen = host.log().len();
    let mut ssh = host.ssh(user).from(from).open();
    let ended = ssh.answer(PASSWORD, password(user)).answer(CODE, code).end();
    if let_in {
        ended.let_in(user);
    } else {
        ended.refused();
    }
    host.wait_for_log_behind(seen, "outcome=")
}

#[test]
fn everybody_but_the_backup_robot() {
    let host = host(&policy("Everybody but the backup robot"));
    let mut alice = host.enrol("alice").device;
    is_not_asked(&host, "robot", "192.0.2.44", "reason=mode_off rule=\"backups\"");
    let line = is_asked(&host, "robot", "192.0.2.45", "000000", false);
    assert!(line.contains("reason=not_enrolled"), "{line}");
    is_asked(&host, "bob", "192.0.2.44", "000000", false);
    is_asked(&host, "alice", "192.0.2.44", &alice.code(), true);
}

#[test]
fn only_administrators() {
    let host = host(&policy("Only administrators"));
    is_not_asked(&host, "bob", HOME, "reason=mode_off");
    let line = is_asked(&host, "alice", HOME, "000000", false);
    assert!(line.contains("reason=not_enrolled rule=1"), "{line}");
    let mut alice = host.enrol("alice").device;
    is_asked(&host, "alice", HOME, &alice.code(), true);
    // Also by a primary group, and only for as long as they are.
    host.shell("usermod -g sudo bob; gpasswd -d alice sudo");
    is_asked(&host, "bob", HOME, "000000", false);
    is_not_asked(&host, "alice", HOME, "reason=mode_off");
}

#[test]
fn only_from_outside_the_office() {
    let host = host(&policy("Only from outside the office"));
    let mut alice = host.enrol("alice").device;
    is_not_asked(&host, "alice", OFFICE, "reason=trusted");
    is_not_asked(&host, "bob", OFFICE, "reason=trusted");
    is_not_asked(&host, "bob", "2001:db8:1::7", "reason=trusted");
    is_asked(&host, "bob", "2001:db8:2::7", "000000", false);
    is_asked(&host, "alice", HOME, &alice.code(), true);
}

#[test]
fn everybody_from_a_day_on() {
    let policy = policy("Everybody from a day on");
    let stack = format!(
        "auth requisite pam_unix.so nodelay\n{}account required pam_permit.so\n\
         session required pam_permit.so\n",
        clock::module()
    );
    let host = Host::new()
        .user("bob", "walrus")
        .config(&policy)
        .pam("sshd", &stack)
        .sshd_example("pam_mfa-password.conf")
        .clock()
        .start();
    // No zone is set, so it is that of UTC. date -u -d 2026-12-01 +%s
    let begins = 1_796_083_200;
    for (seconds, told) in [(1, "1 day is left"), (3 * 86_400, "3 days are left")] {
        host.set_clock(begins - seconds);
        let shown = is_not_asked(&host, "bob", HOME, "reason=not_required_yet");
        assert!(shown.contains("From 2026-12-01 on") && shown.contains(told), "{shown}");
        assert!(shown.contains("mfa-setup"), "{shown}");
    }
    host.set_clock(begins);
    let line = is_asked(&host, "bob", HOME, "000000", false);
    assert!(line.contains("reason=not_enrolled"), "{line}");
}

#[test]
fn administrators_from_the_office_or_by_a_backup_code() {
    let host = host(&policy("Administrators from the office network alone"));
    let mut alice = host.enrol("alice");
    is_not_asked(&host, "bob", HOME, "reason=not_enrolled");
    is_asked(&host, "alice", OFFICE, &alice.device.code(), true);
    let line = is_asked(&host, "alice", HOME, &alice.device.code(), false);
    assert!(line.contains("reason=outside rule=1"), "{line}");
    let line = is_asked(&host, "alice", HOME, &alice.device.wrong_code(), false);
    assert!(line.contains("reason=outside rule=1"), "{line}");
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    assert_eq!(status["lockout"]["failures"], 0);
    is_asked(&host, "alice", HOME, &alice.backup.code(), true);
    // A policy that is shown is one for sshd: sudo is as it was.
    let explained =
        ["mfa-setup", "explain", "alice", "--service", "sudo", "--tty", "pts/0", "--json"];
    assert_eq!(host.run(&explained).json()["rule"], serde_json::Value::Null);
}

#[test]
fn sudo_asks_once_in_ten_minutes() {
    let sudo = format!(
        "auth requisite pam_unix.so nodelay\n{}account required pam_permit.so\n\
         session required pam_permit.so\n",
        clock::module()
    );
    let host = Host::new()
        .clock()
        .user("alice", "rabbit hole")
        .config(&policy("is not asked by it again for ten minutes"))
        .pam("sudo", &sudo)
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        .start();
    let now = 1_800_000_000;
    host.set_clock(now);
    let phone = host.enrol_by_clock("alice", &["totp"]).device;
    // As pam_loginuid begins a session.
    let mut terminal = host.terminal(
        "echo 1000 > /proc/self/loginuid
         for time in first second third; do
             setpriv --reuid alice --regid alice --init-groups sudo -k echo \"the $time\"
             # sudo throws away what was typed when it ends.
             echo \"$time is over\"
             read line
         done",
    );
    let give_password = |terminal: &mut Pty| {
        terminal.expect("password for alice: ");
        terminal.send_line("rabbit hole");
    };
    give_password(&mut terminal);
    terminal.expect(CODE);
    terminal.send_line(&phone.code_at_step(now / 30));
    terminal.expect("the first");
    terminal.expect("first is over");
    host.set_clock(now + 599);
    terminal.send_line("");
    give_password(&mut terminal);
    terminal.expect("the second");
    let line = host.wait_for_log("reason=remembered");
    assert!(line.contains("service=sudo") && line.ends_with("rule=1"), "{line}");
    let listed = host.setup_by_clock("alice", &["remembered", "--json"]).json();
    assert_eq!(listed["remembered"][0]["until"], "2027-01-15T08:10:00Z");
    host.set_clock(now + 600);
    terminal.expect("second is over");
    terminal.send_line("");
    give_password(&mut terminal);
    terminal.expect(CODE);
}

#[test]
fn a_new_policy_can_be_tried_before_it_holds() {
    let host = host("[policy]\nmode = \"off\"\n");
    host.write("/root/new.toml", policy("Only from outside the office"));
    for line in README.lines().filter(|line| line.trim_start().starts_with("mfa-setup ")) {
        if line.contains("--config /root/new.toml") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let said = host.run(&words).ok();
            let expected = if words[1] == "check" { "can be used: no rules" } else { "to enrol" };
            let asked = said.contains("nothing is right, for nothing is enrolled");
            assert!(said.contains(expected) || asked, "{line}: {said}");
        }
    }
    assert!(!host.read(POLICY).contains("trusted"));
}
