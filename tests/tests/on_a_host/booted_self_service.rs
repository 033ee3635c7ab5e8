//! Ordinary users and their own records, on a host where systemd starts a verifier for each
//! connection, in its sandbox, or one that starts these itself.

use mfa_tests::life::live;
use mfa_tests::person::{self, CODE, FIRST_CODE_OR_OTHER, PASSWORD};
use mfa_tests::waiting::until;
use mfa_tests::{Device, Host, Person, Running};

const SOCKET: &str = "mfa-verifier-user.socket";
const SERVICE: &str = "mfa-verifier-users.service";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config("[policy]\nmode = \"required\"\nenrol_at_login = \"anybody\"\n")
        .pam_example("sshd", "sshd")
        .pam_example("mfa-setup", "mfa-setup")
        .sshd_example("pam_mfa-password.conf")
        .booted()
        .start()
}

fn alice(host: &Running) -> Person<'_> {
    Person::new(host, "alice", "rabbit hole")
}

/// Each of her requests had a verifier of its own, and none of these failed.
#[track_caller]
fn assert_served_by_systemd(host: &Running) {
    let accepted = ["systemctl", "show", "--value", "--property=NAccepted", SOCKET];
    let accepted: u32 = host.run(&accepted).ok().trim().parse().unwrap();
    assert!(accepted >= 10, "{accepted} connections");
    let failed = host.logged_by_now("mfa-verifier-user@");
    let failed: Vec<_> = failed.iter().filter(|line| line.contains("Failed")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}

#[test]
fn a_person_leads_a_life_with_a_second_factor_under_the_sandbox() {
    let host = host();
    live(&host, &alice(&host));
    assert_served_by_systemd(&host);

    // And whoever has no device enrols at a login, by the verifier that stays.
    let mut ssh = host.ssh("bob").open();
    ssh.answer(PASSWORD, "builder").answer("Enrol an authenticator app now? [y/N] ", "y");
    let shown = ssh.pty().expect(FIRST_CODE_OR_OTHER);
    let mut app = Device::totp(&person::key_in(&shown));
    ssh.pty().send_line(&app.code());
    let sheet = person::sheet(ssh.pty());
    ssh.pty().send_line(&sheet[0]);
    ssh.end().let_in("bob");
    let mut ssh = host.ssh("bob").open();
    ssh.answer(PASSWORD, "builder").answer(CODE, &app.code()).end().let_in("bob");
    let of_service = ["journalctl", "--quiet", "_SYSTEMD_UNIT=mfa-verifier.service"];
    let journal = host.run(&of_service).ok();
    assert!(journal.contains("reason=enrolled"), "{journal}");
}

#[test]
fn a_person_whose_programs_gain_no_privileges_leads_it_where_one_process_starts_the_verifiers() {
    let host = host();
    host.run(&["systemctl", "disable", "--now", SOCKET]).ok();
    host.run(&["systemctl", "enable", "--now", SERVICE]).ok();
    let alice = alice(&host).without_new_privileges();
    let status = alice.run(&["grep", "NoNewPrivs", "/proc/self/status"]).ok();
    assert_eq!(status.split_whitespace().last(), Some("1"));
    until("it listens", || alice.run(&["mfa-setup", "status"]).code == Some(0));
    live(&host, &alice);
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}
