//! What the units' sandboxes leave possible: every way in and every mail, with the programs as systemd
//! runs them.

use std::collections::BTreeSet;

use mfa_tests::log::{AUTHPRIV, Record};
use mfa_tests::mail::{AUTHORITY, SERVER_NAME};
use mfa_tests::person::{OWN_CODE, exit};
use mfa_tests::readme::README;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Host, Person, Pty, Running};

const CODE: &str = "Verification code: ";
const ADDRESS: &str = "alice@example.org";
const REMEMBERED: &str = "remember = \"12h\"\nremember_session = \"10m\"\n";
const REST: &str = "auth required pam_permit.so\naccount required pam_permit.so\n\
                    session required pam_permit.so\n";

/// Mail through a server with TLS.
fn by_server() -> String {
    format!(
        "smtp = \"smtps://mfa@{SERVER_NAME}:465\"\npassword_file = \"/etc/pam_mfa/mail.password\"\n\
         ca_file = \"{AUTHORITY}\"\n"
    )
}

/// Mail through `sendmail`, which is msmtp.
const BY_PROGRAM: &str = "";

fn write_policy(host: &Running, policy: &str, email: &str) {
    host.write(
        "/etc/pam_mfa/config.toml",
        format!(
            "[policy]\nmode = \"required\"\n{policy}[email]\nfrom = \"mfa@example.org\"\n{email}"
        ),
    );
}

fn host() -> Host {
    Host::new()
        .mailer()
        .user("alice", "rabbit hole")
        .config("[policy]\nmode = \"required\"\n")
        .pam("sshd", &format!("auth required pam_mfa.so\n{REST}"))
        .pam("sudo", &format!("auth required pam_mfa.so\n{REST}"))
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        .file("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nauth off\ntls off\n")
        .sshd_example("pam_mfa-key.conf")
        .booted()
}

/// The code in the last letter that has one, of at least so many letters.
#[track_caller]
fn code_in_letter(host: &Running, letters: usize) -> String {
    until("a letter came", || host.received().len() >= letters);
    let received = host.received();
    let mut bodies = received.iter().rev().map(|letter| letter.body[..6].to_owned());
    bodies.find(|code| code.bytes().all(|byte| byte.is_ascii_digit())).unwrap()
}

/// Answers what `mfa-setup add email` asks for last, with the code that comes after so many letters.
#[track_caller]
fn give_mailbox(host: &Running, tty: &mut Pty, before: usize) {
    tty.expect("E-mail address: ");
    tty.send_line(ADDRESS);
    tty.expect(&format!("The code that was sent to {ADDRESS}: "));
    tty.send_line(&code_in_letter(host, before + 1));
}

/// What `pam_mfa` wrote from within that unit.
fn journal_of(host: &Running, unit: &str) -> Vec<Record> {
    let unit = format!("_SYSTEMD_UNIT={unit}");
    let identifier = "SYSLOG_IDENTIFIER=pam_mfa";
    let journal = host.run(&["journalctl", "--quiet", "--output=json", &unit, identifier]).ok();
    journal.lines().filter_map(Record::of_journal).collect()
}

#[test]
fn every_factor_lets_in_through_the_service_whose_lines_are_in_the_journal() {
    let host = host().start();
    host.make_key("alice");
    host.make_certificate();
    let _servers = [host.mail_server("tls", 465), host.mail_server("plain", 2525)];
    let mut enrolled = host.enrol("alice");
    let mut token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    let made = ["mfa-setup", "--user", "alice", "token", "new", "backup", "--json"];
    let made = host.run(&made).json();
    // From now on a login that the service did not serve would be refused.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));

    let log_in = |code: &str| {
        host.ssh("alice").key().open().answer(CODE, code).end().let_in("alice");
    };
    log_in(&enrolled.device.code());
    log_in(&token.code());
    log_in(&enrolled.backup.code());
    log_in(made["token"].as_str().unwrap());
    host.ssh("alice").key().open().answer(CODE, &token.wrong_code()).end().refused();

    write_policy(&host, "", &by_server());
    let mut tty = host.pty(&["mfa-setup", "--user", "alice", "add", "email"]);
    give_mailbox(&host, &mut tty, 0);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    host.run(&["mfa-setup", "--user", "alice", "default", "e-mail"]).ok();
    until("a notice came", || host.received().len() == 2);
    for email in [&by_server(), BY_PROGRAM] {
        write_policy(&host, "", email);
        let before = host.received().len();
        let mut ssh = host.ssh("alice").key().open();
        ssh.answer(CODE, "");
        let code = code_in_letter(&host, before + 1);
        assert_eq!(host.received().pop().unwrap().encrypted, !email.is_empty());
        ssh.answer(CODE, &code).end().let_in("alice");
    }

    write_policy(&host, REMEMBERED, BY_PROGRAM);
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, &token.code()).answer("Remember this login for 12 hours? [y/N] ", "y");
    ssh.end().let_in("alice");
    let unasked = host.ssh("alice").key().open().end();
    assert!(!unasked.text.contains(CODE), "{}", unasked.text);
    unasked.let_in("alice");
    let mut sudo = host.terminal(
        "echo 1000 > /proc/self/loginuid
         as='setpriv --reuid alice --regid alice --init-groups'
         $as sudo -k echo done once; $as sudo -k echo done twice",
    );
    sudo.expect(CODE);
    sudo.send_line(&token.code());
    sudo.expect("done once");
    let second = sudo.expect("done twice");
    assert!(!second.contains(CODE), "{second}");

    let count = |outcome: &str| {
        let decided = journal_of(&host, "mfa-verifier.service");
        decided.iter().filter(|record| record.text.contains(outcome)).count()
    };
    until("all decisions are in the journal", || count("outcome=granted") == 10);
    assert_eq!(count("outcome=denied"), 1);
    let decided = journal_of(&host, "mfa-verifier.service");
    let granted = decided.iter().filter(|record| record.text.contains("outcome=granted"));
    let factor =
        |record: &Record| record.text.split("factor=").nth(1)?.split(' ').next()?.to_owned().into();
    let factors: BTreeSet<String> = granted.filter_map(factor).collect();
    let all = ["-", "backup_code", "email", "hotp", "token", "totp"];
    assert_eq!(factors, all.map(str::to_owned).into(), "{decided:#?}");
    for record in &decided {
        assert_eq!(record.facility, AUTHPRIV, "{record:?}");
        assert!(record.text.starts_with("pam_mfa: "), "{record:?}");
        assert!([5, 6].contains(&record.severity), "{record:?}");
    }
}

#[test]
fn users_get_their_codes_by_mail_from_either_unit_that_serves_them() {
    let host = host().pam_example("mfa-setup", "mfa-setup").start();
    host.make_certificate();
    let _servers = [host.mail_server("tls", 465), host.mail_server("plain", 2525)];
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let alice = Person::new(&host, "alice", "rabbit hole");
    for (unit, label) in
        [("mfa-verifier-user.socket", "first"), ("mfa-verifier-users.service", "second")]
    {
        // Each conflicts with the other.
        host.shell(&format!("systemctl start {unit}"));
        until("it listens", || alice.run(&["mfa-setup", "status"]).code == Some(0));
        for (email, label) in
            [(&*by_server(), label.to_owned()), (BY_PROGRAM, format!("{label} too"))]
        {
            write_policy(&host, "", email);
            let before = host.received().len();
            let mut tty = alice.setup_with_password(&["add", "email", "--label", &label]);
            tty.expect(OWN_CODE);
            tty.send_line(&token.code());
            give_mailbox(&host, &mut tty, before);
            assert_eq!(exit(&mut tty), 0, "{}", tty.text());
        }
    }
    assert_eq!(alice.devices().len(), 5);
}

/// As Postfix has it: a program that root may run and that gets into the queue by its group.
const WITH_A_QUEUE: &str = "groupadd --system queue; useradd --system --gid queue queue
     mkdir /usr/local/lib/mail; install -d -o queue -g queue -m 1730 /var/spool/queue
     cp /bin/dd /usr/local/lib/mail/drop
     chgrp queue /usr/local/lib/mail/drop; chmod 2755 /usr/local/lib/mail/drop
     printf '#!/bin/sh\\nexec /usr/local/lib/mail/drop of=/var/spool/queue/$$\\n' \
         > /usr/local/lib/mail/sendmail
     chmod 755 /usr/local/lib/mail/sendmail";

#[test]
fn a_mail_program_gets_into_a_queue_of_its_own_where_drop_ins_of_the_readme_let_it() {
    let host = host().pam_example("mfa-setup", "mfa-setup").start();
    host.shell(WITH_A_QUEUE);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    write_policy(&host, "", "sendmail = \"/usr/local/lib/mail/sendmail\"\n");
    let queued = || host.shell("find /var/spool/queue -type f").lines().count();
    let add = || {
        let mut tty = host.pty(&["mfa-setup", "--user", "alice", "add", "email"]);
        tty.expect("E-mail address: ");
        tty.send_line(ADDRESS);
        tty
    };
    add().expect("without privileges of its own, under systemd");
    assert_eq!(queued(), 0);
    let drop_in = |unit: &str, lines: &str| {
        host.write(format!("/etc/systemd/system/{unit}.d/mail.conf"), lines);
    };
    drop_in("mfa-verifier.service", &drop_in_of_the_readme());
    drop_in("mfa-verifier-user@.service", "[Service]\nReadWritePaths=/var/spool/queue\n");
    host.shell("systemctl daemon-reload; systemctl restart mfa-verifier.service");
    add().expect("The code that was sent to");
    assert_eq!(queued(), 1);

    let alice = Person::new(&host, "alice", "rabbit hole");
    let mut tty = alice.setup_with_password(&["add", "email"]);
    tty.expect(OWN_CODE);
    tty.send_line(&token.code());
    tty.expect("E-mail address: ");
    tty.send_line(ADDRESS);
    tty.expect("Enter alone to have another one sent.");
    tty.send_line("");
    until("it is queued", || queued() == 2);
}

/// What README.md says to write where the mail program has a queue.
fn drop_in_of_the_readme() -> String {
    let behind = README.split("systemctl edit mfa-verifier.service").nth(1).unwrap();
    let lines = behind.lines().skip_while(|line| !line.starts_with("    ["));
    lines.take_while(|line| line.starts_with("    ")).flat_map(|line| [line, "\n"]).collect()
}
