//! Ordinary users and their own records, on a host where `mfa-verifier --listen-users` runs.

use mfa_tests::life::{live, told};
use mfa_tests::person::{self, CODE, OWN_CODE, PASSWORD};
use mfa_tests::{Host, Person, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

fn host_with(config: &str) -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "builder")
        .config(&format!("{REQUIRED}{config}"))
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start()
}

fn host() -> Running {
    host_with("")
}

fn alice(host: &Running) -> Person<'_> {
    Person::new(host, "alice", "rabbit hole")
}

#[test]
fn a_person_leads_a_life_with_a_second_factor() {
    let host = host();
    let _listener = host.listen_for_users();
    live(&host, &alice(&host));
}

#[test]
fn a_person_whose_programs_gain_no_privileges_leads_it_too() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host).without_new_privileges();
    let status = alice.run(&["grep", "NoNewPrivs", "/proc/self/status"]).ok();
    assert_eq!(status.split_whitespace().last(), Some("1"));
    live(&host, &alice);
}

#[test]
fn a_clock_that_lags_three_hours_is_brought_back() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    // Nobody has used a code of it yet, so none that it shows is older than one that was accepted.
    let enrolled = host.enrol("alice");
    let (watch, mut backup) = (enrolled.device, enrolled.backup);
    let late = watch.step() - 360;
    let row = [0, 1, 2].map(|n| watch.code_at_step(late + n));
    let refused = |answer: &str| {
        let mut tty = alice.setup_with_password(&["test", "phone", "--resync"]);
        tty.expect(person::BACKUP_CODE);
        tty.send_line(answer);
        let shown = tty.expect("exit 1, terminal as before");
        assert!(shown.contains("mfa-setup: error: "), "{shown}");
    };
    // A code of a device, the row itself, a backup code that is none.
    for answer in [&watch.code_at_step(watch.step()), &row[0], "", "ABCDE-FGHJK-MNPQR"] {
        refused(answer);
    }
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &row[0]).end().refused();
    alice.resynchronise("phone", &backup.code(), &row);
    alice.log_in(&watch.code_at_step(late + 3));
    for used in row {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &used).end().refused();
    }
}

#[test]
fn a_change_needs_the_password_and_a_code_that_is_good() {
    let host = host();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let enrolled = alice.enrol();
    let (mut phone, mut backup) = (enrolled.device, enrolled.backup);
    let [used, first] = [backup.code(), phone.code()];
    alice.log_in(&used);
    alice.log_in(&first);
    let before = alice.status();
    let commands: [&[&str]; 5] = [
        &[],
        &["add", "totp", "--label", "tablet"],
        &["codes", "new", "--yes"],
        &["default", "phone"],
        &["remove", "phone", "--yes"],
    ];
    for command in commands {
        for wrong in ["", "builder"] {
            let mut tty = alice.setup(command);
            tty.expect(PASSWORD);
            tty.send_line(wrong);
            tty.expect("mfa-setup: error: PAM did not accept the password");
            tty.expect("mfa-setup: hint: ");
            tty.expect("exit 1, terminal as before");
        }
        let mut tty = alice.setup_with_password(command);
        tty.expect(OWN_CODE);
        tty.send_line(&used);
        tty.expect("mfa-setup: error: ");
        tty.expect("exit 1, terminal as before");
    }
    for (answer, told) in [
        ("", "that is no code of what is enrolled"),
        ("rabbit hole", "that is no code of what is enrolled"),
        (&phone.wrong_code(), "the code is not right"),
        (&first, "this code was already used"),
    ] {
        let mut tty = alice.setup_with_password(&["remove", "phone", "--yes"]);
        tty.expect(OWN_CODE);
        tty.send_line(answer);
        let shown = tty.expect("exit 1, terminal as before");
        assert!(shown.contains(&format!("mfa-setup: error: {told}")), "{answer:?}: {shown}");
    }
    let after = alice.status();
    assert_eq!(after["devices"][0]["id"], before["devices"][0]["id"]);
    assert_eq!(after["devices"].as_array().unwrap().len(), 1);
    assert_eq!(after["backup_codes_left"], before["backup_codes_left"]);
    told(&alice.log_in(&backup.code()), &[]);
}
