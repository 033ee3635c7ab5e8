//! What a person does with a second factor from the first enrolment on, whoever serves it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::clock::next_second;
use crate::person::{self, CODE, OWN_CODE, PASSWORD};
use crate::{Backup, Device, Person, Running, USED};

/// Enrols, adds a device, loses the phone, makes codes, changes the default, brings back a device,
/// removes one; and logs in over ssh after each of these. alice has uid 1000 and the password
/// `rabbit hole`.
pub fn live(host: &Running, alice: &Person) {
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
    let mut short_lived = Backup { codes: person::numbered(&shown) };
    assert_eq!(short_lived.codes.len(), 10, "{shown}");
    for code in [short_lived.code(), short_lived.code(), token.code()] {
        told(&alice.log_in(&code), &["new backup codes were made."]);
    }
    alice.change(&["codes", "new", "--yes", "--output", "/home/alice/page"], &token.code());
    let page = host.path("/home/alice/page").metadata().unwrap();
    assert_eq!((page.permissions().mode() & 0o7777, page.uid()), (0o600, 1000));
    let mut backup = Backup { codes: person::numbered(&host.read("/home/alice/page")) };
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
pub fn told(shown: &str, alterations: &[&str]) {
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("Z: ")).collect();
    assert_eq!(lines.len(), alterations.len(), "{shown}");
    for (line, alteration) in lines.iter().zip(alterations) {
        assert!(line.trim_end().ends_with(alteration), "{shown}");
    }
    assert_eq!(shown.contains("If that was not you"), !alterations.is_empty(), "{shown}");
}
