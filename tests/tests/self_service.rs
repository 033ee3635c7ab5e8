//! Ordinary users and their own records, on a host where `mfa-verifier --listen-users` runs.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use mfa_tests::clock::next_second;
use mfa_tests::person::{self, CODE, OWN_CODE, PASSWORD};
use mfa_tests::{Device, Host, Person, Running, USED};

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

/// Enrols, adds a device, loses the phone, makes codes, changes the default, removes a device, brings
/// one back; and logs in after each of these.
fn live(host: &Running, alice: &Person) {
    let enrolled = alice.enrol();
    let (mut lost, mut backup) = (enrolled.device, enrolled.backup);
    // What confirmed the enrolment is used; the first enrolment is no news.
    let its_code = lost.code();
    told(&alice.log_in(&its_code), &[]);

    next_second();
    let mut tty = alice.setup_with_password(&["add", "hotp", "--label", "token"]);
    tty.expect(OWN_CODE);
    tty.send_line(&backup.code());
    let key = person::key_on_screen(&mut tty);
    let mut token = Device::from_uri(&format!("otpauth://hotp/x?secret={key}&counter=0"));
    tty.send_line(&token.code());
    assert!(!tty.expect("exit 0, terminal as before").contains("ackup code"), "{}", tty.text());
    assert_eq!(alice.devices(), ["phone*", "token"]);
    told(&alice.log_in(&token.code()), &["device \"token\" was added."]);
    // Who put it there cannot make that unseen by it; who has what is older can.
    told(&alice.log_in(&backup.code()), &["device \"token\" was added."]);
    told(&alice.log_in(&token.code()), &[]);

    next_second();
    let mut tty = alice.setup_with_password(&[]);
    tty.expect(OWN_CODE);
    tty.send_line(&backup.code());
    tty.expect("A name for the device [phone 2]: ");
    tty.send_line("phone");
    tty.expect("There is a device \"phone\" already. Replace it? [y/N] ");
    tty.send_line("y");
    let mut phone = person::app(&mut tty);
    assert_ne!(phone.secret, lost.secret);
    tty.send_line(&phone.code());
    assert_eq!(person::exit(&mut tty), 0);
    assert_eq!(alice.devices(), ["token", "phone*"]);
    let mut ssh = host.ssh("alice").open();
    let text = ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &its_code).end().refused();
    assert!(!text.contains(USED), "of the lost phone nothing is known: {text}");
    told(&alice.log_in(&phone.code()), &["device \"phone\" was replaced."]);
    told(&alice.log_in(&token.code()), &["device \"phone\" was replaced."]);
    told(&alice.log_in(&token.code()), &[]);

    let mut old = backup;
    let shown = alice.change(&["codes", "new", "--yes"], &token.code());
    let mut short_lived = mfa_tests::Backup { codes: person::numbered(&shown) };
    assert_eq!(short_lived.codes.len(), 10, "{shown}");
    for code in [short_lived.code(), short_lived.code(), token.code()] {
        told(&alice.log_in(&code), &["new backup codes were made."]);
    }
    alice.change(&["codes", "new", "--yes", "--output", "/home/alice/page"], &token.code());
    let page = host.path("/home/alice/page").metadata().unwrap();
    assert_eq!((page.permissions().mode() & 0o7777, page.uid()), (0o600, 1000));
    let mut backup = mfa_tests::Backup { codes: person::numbered(&host.read("/home/alice/page")) };
    for ended in [old.code(), short_lived.code()] {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &ended).end().refused();
    }
    told(&alice.log_in(&backup.code()), &["new backup codes were made."]);
    told(&alice.log_in(&token.code()), &["new backup codes were made."]);

    alice.change(&["default", "token"], &token.code());
    assert_eq!(alice.devices(), ["token*", "phone"]);
    told(&alice.log_in(&token.code()), &["device \"token\" became the default."]);

    // The new phone's clock runs three hours ahead.
    let ahead = phone.step() + 360;
    let row = [0, 1, 2].map(|n| phone.code_at_step(ahead + n));
    next_second();
    alice.resynchronise("phone", &backup.code(), &row);
    told(&alice.log_in(&phone.code_at_step(ahead + 3)), &["device \"phone\" was resynchronised."]);
    told(&alice.log_in(&token.code()), &[]);

    alice.change(&["remove", "phone", "--yes"], &token.code());
    assert_eq!(alice.devices(), ["token*"]);
    told(&alice.log_in(&token.code()), &["device \"phone\" was removed."]);
    let mut ssh = host.ssh("alice").open();
    let gone = phone.code_at_step(ahead + 4);
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &gone).end().refused();
    assert_eq!(alice.status()["backup_codes_left"], 8);
}

/// A login must have told of these alterations, and of no others.
#[track_caller]
fn told(shown: &str, alterations: &[&str]) {
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("Z: ")).collect();
    assert_eq!(lines.len(), alterations.len(), "{shown}");
    for (line, alteration) in lines.iter().zip(alterations) {
        assert!(line.trim_end().ends_with(alteration), "{shown}");
    }
    assert_eq!(shown.contains("If that was not you"), !alterations.is_empty(), "{shown}");
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
