//! Ordinary users and their own records, on a host where systemd starts a verifier for each
//! connection, in its sandbox.

use mfa_tests::life::live;
use mfa_tests::{Host, Person, Running};

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .config("[policy]\nmode = \"required\"\n")
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
    let accepted =
        ["systemctl", "show", "--value", "--property=NAccepted", "mfa-verifier-user.socket"];
    let accepted: u32 = host.run(&accepted).ok().trim().parse().unwrap();
    assert!(accepted >= 10, "{accepted} connections");
    let failed = host.logged("mfa-verifier-user@");
    let failed: Vec<_> = failed.iter().filter(|line| line.contains("Failed")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(host.run(&["systemctl", "is-system-running"]).stdout, "running\n");
}

#[test]
fn a_person_leads_a_life_with_a_second_factor_under_the_sandbox() {
    let host = host();
    live(&host, &alice(&host));
    assert_served_by_systemd(&host);
}

#[test]
fn a_person_whose_programs_gain_no_privileges_leads_it_there_too() {
    let host = host();
    let alice = alice(&host).without_new_privileges();
    let status = alice.run(&["grep", "NoNewPrivs", "/proc/self/status"]).ok();
    assert_eq!(status.split_whitespace().last(), Some("1"));
    live(&host, &alice);
    assert_served_by_systemd(&host);
}
