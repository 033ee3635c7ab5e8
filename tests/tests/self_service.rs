//! Ordinary users and their own records, on a host where `mfa-verifier --listen-users` runs.

use mfa_tests::{Device, Host, Pty, Running};

const PASSWORD: &str = "Password: ";
const LABEL: &str = "A name for the device [phone]: ";
const FIRST_CODE: &str = "The code that it shows now: ";
const KEPT: &str = "Type one of these codes, to show that you have kept them: ";

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start()
}

/// A terminal of `user`'s, without the privileges of root.
fn terminal(host: &Running, user: &str, argv: &[&str]) -> Pty {
    host.pty(&mfa_tests::host::as_user(user, argv))
}

#[test]
fn a_person_enrols_and_logs_in() {
    let host = host();
    let _listener = host.listen_for_users();
    let mut tty = terminal(&host, "alice", &["mfa-setup"]);
    tty.expect(PASSWORD);
    tty.send_line("rabbit hole");
    tty.expect(LABEL);
    tty.send_line("");
    tty.expect("Or type this key into it: ");
    let key = tty.expect("\r\n");
    let mut phone = Device::totp(&key.replace(' ', ""));
    tty.expect(FIRST_CODE);
    tty.send_line(&phone.code());
    tty.expect("   1  ");
    let kept = tty.expect("\r\n");
    tty.expect(KEPT);
    tty.send_line(&kept);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer("Verification code: ", &phone.code());
    ssh.end().let_in("alice");
}
