//! Codes by e-mail and the choice of another method, over a real sshd, with a real mail server and a real
//! `sendmail`; and what people see where these fail.

use std::time::Instant;

use mfa_tests::host::Enrolled;
use mfa_tests::mail::{AUTHORITY, SERVER_NAME};
use mfa_tests::pam::Attempt;
use mfa_tests::person::exit;
use mfa_tests::waiting::until;
use mfa_tests::{Host, Running, mode};

const CODE: &str = "Verification code: ";
const WHICH: &str = "Which one, by number or name? ";
const ON_ITS_WAY: &str = "one is on its way";
const UNSENT: &str = "The code could not be sent.";
const ADDRESS: &str = "alice@example.org";

/// Where the tests' own mail programs are.
const PROGRAM: &str = "/usr/local/lib/mail/sendmail";

/// Where what [`KEEPS`] was given is.
const MAILS: &str = "/root/mails";

/// A mail program that keeps each mail.
const KEEPS: &str =
    "#!/bin/sh\nmkdir -p /root/mails; cat > /root/new.$$; mv /root/new.$$ /root/mails/$$\n";

const REST: &str = "auth required pam_permit.so\naccount required pam_permit.so\n\
                    session required pam_permit.so\n";

fn policy(mail: &str) -> String {
    format!("[policy]\nmode = \"required\"\n[email]\nfrom = \"mfa@example.org\"\n{mail}\n")
}

fn by_program() -> String {
    policy(&format!("sendmail = \"{PROGRAM}\"\ntimeout = 2"))
}

/// Alice with a key and an app, and sshd asking for key and code.
fn host(policy: &str) -> (Running, Enrolled) {
    let host = Host::new()
        .mailer()
        .file_with_mode(PROGRAM, KEEPS, 0o755)
        .user("alice", "rabbit hole")
        .config(policy)
        .pam("sshd", &format!("auth required pam_mfa.so\n{REST}"))
        .sshd_example("pam_mfa-key.conf")
        .start();
    host.make_key("alice");
    let enrolled = host.enrol("alice");
    (host, enrolled)
}

/// Adds a mailbox to alice's devices, by the code that `mailed` finds, and makes it the default.
fn add_mailbox(host: &Running, mailed: impl Fn(&Running) -> String) {
    let script = "before=$(stty -g); mfa-setup --user alice add email; code=$?
                  [ \"$(stty -g)\" = \"$before\" ] && as=before || as=\"not before\"
                  echo \"exit $code, terminal as $as\"";
    let mut tty = host.pty(&["sh", "-c", script]);
    tty.expect("E-mail address: ");
    tty.send_line(ADDRESS);
    tty.expect("The code that was sent to alice@example.org: ");
    tty.send_line(&mailed(host));
    assert_eq!(exit(&mut tty), 0, "{}", tty.text());
    host.run(&["mfa-setup", "--user", "alice", "default", "e-mail"]).ok();
}

/// The code in a mail that [`KEEPS`] was given. Notices come by the same way.
fn kept(host: &Running) -> String {
    let mut code = None;
    until("a mail with a code came", || {
        for name in mails(host) {
            let text = host.read(&name);
            host.shell(&format!("rm {name}"));
            let body = text.split("\n\n").nth(1).unwrap();
            if body.as_bytes()[..6].iter().all(u8::is_ascii_digit) {
                code = Some(body[..6].to_owned());
            }
        }
        code.is_some()
    });
    code.unwrap()
}

fn mails(host: &Running) -> Vec<String> {
    if !host.path(MAILS).exists() {
        return Vec::new();
    }
    host.shell(&format!("find {MAILS} -type f")).lines().map(str::to_owned).collect()
}

/// Waits until a verifier that was started for a login has nothing more to send. Nobody waits for it.
fn wait_for_silence(host: &Running) {
    until("nobody sends", || {
        mode::is_resident() || host.run(&["pgrep", "-x", "mfa-verifier"]).stdout.is_empty()
    });
}

/// The code in the last letter that has one, of at least so many letters.
fn received(host: &Running, letters: usize) -> String {
    until("a letter came", || host.received().len() >= letters);
    let received = host.received();
    let bodies = received.iter().rev().map(|letter| letter.body[..6].to_owned());
    bodies.into_iter().find(|code| code.bytes().all(|byte| byte.is_ascii_digit())).unwrap()
}

#[test]
fn a_code_by_mail_lets_in_over_ssh_through_a_server_with_tls_and_through_a_real_sendmail() {
    let smtps = format!(
        "smtp = \"smtps://mfa@{SERVER_NAME}:465\"\npassword_file = \"/etc/pam_mfa/mail.password\"\n\
         ca_file = \"{AUTHORITY}\""
    );
    let (host, _) = host(&policy(&smtps));
    host.make_certificate();
    let _servers = [host.mail_server("tls", 465), host.mail_server("plain", 2525)];
    add_mailbox(&host, |host| received(host, 1));
    // What made it the default was told, too.
    until("a notice came", || host.received().len() == 2);
    let before = 2;
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "");
    ssh.pty().expect(ON_ITS_WAY);
    let code = received(&host, before + 1);
    let letter = host.received().pop().unwrap();
    assert!(letter.encrypted && letter.recipients == [ADDRESS], "{letter:?}");
    for fact in ["alice", "sshd", "127.0.0.1", "5 minutes"] {
        assert!(letter.body.contains(fact), "{}", letter.body);
    }
    ssh.answer(CODE, &code).end().let_in("alice");
    let line = host.wait_for_log("factor=email");
    assert!(line.contains("outcome=granted") && line.contains("device=\"e-mail\""), "{line}");
    host.wait_for_log("action=send_code user=\"alice\" service=sshd rhost=127.0.0.1");

    host.write("/etc/pam_mfa/config.toml", policy(""));
    host.write("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nauth off\ntls off\n");
    let before = host.received().len();
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "");
    let code = received(&host, before + 1);
    ssh.answer(CODE, &code).end().let_in("alice");
    for record in host.log() {
        assert!(!record.text.contains(&code), "{}", record.text);
    }
}

#[test]
fn another_method_is_chosen_by_its_number_or_name_and_the_prompt_names_it() {
    let (host, mut enrolled) = host(&by_program());
    add_mailbox(&host, kept);
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "?");
    let list = ssh.pty().expect(WHICH);
    assert!(list.contains("1  phone (app)") && list.contains("2  e-mail (e-mail;"), "{list}");
    ssh.pty().send_line("phone");
    ssh.answer("Code of \"phone\": ", &enrolled.device.code()).end().let_in("alice");
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "?").answer(WHICH, "2");
    ssh.pty().expect(ON_ITS_WAY);
    let code = kept(&host);
    ssh.answer("Code sent to \"e-mail\": ", &code).end().let_in("alice");
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "?").answer(WHICH, "3");
    ssh.answer("Backup code: ", &enrolled.backup.code()).end().let_in("alice");
    let status = host.run(&["mfa-setup", "--user", "alice", "status", "--json"]).json();
    assert_eq!(status["lockout"]["failures"], 0);
    assert_eq!(status["devices"][1]["kind"], "email");
    assert_eq!(status["devices"][1]["default"], true);
}

#[test]
fn a_mailer_that_hangs_fails_floods_or_is_missing_is_told_and_logged_and_the_app_lets_in() {
    for (fault, said) in [
        ("sleep 1000", "did not take the mail within 2 s"),
        ("echo no queue >&2; exit 75", "failed: exit code 75: no queue"),
        ("yes flood >&2", "did not take the mail within 2 s"),
        ("", "does not exist"),
    ] {
        let (host, mut enrolled) = host(&by_program());
        add_mailbox(&host, kept);
        // What tells of the mailbox is still to be taken.
        host.wait_for_log("action=send_notice");
        if fault.is_empty() {
            host.shell(&format!("rm {PROGRAM}"));
        } else {
            host.write(PROGRAM, format!("#!/bin/sh\n{fault}\n"));
            host.set_mode(PROGRAM, 0o755);
        }
        let seen = host.log().len();
        let mut ssh = host.ssh("alice").key().open();
        ssh.answer(CODE, "");
        ssh.pty().expect(ON_ITS_WAY);
        let line = host.wait_for_log_behind(seen, "outcome=failed");
        assert!(line.contains("action=send_code") && line.contains(said), "{line}");
        assert!(line.contains("hint="), "{line}");
        ssh.answer(CODE, "?");
        ssh.pty().expect(UNSENT);
        ssh.answer(WHICH, "phone");
        ssh.answer("Code of \"phone\": ", &enrolled.device.code()).end().let_in("alice");

        let begun = Instant::now();
        let mut ssh = host.ssh("alice").key().open();
        ssh.answer(CODE, "");
        ssh.pty().expect(ON_ITS_WAY);
        ssh.answer(CODE, "000000").end().refused();
        assert!(begun.elapsed().as_secs() < 10, "{fault}: {:?}", begun.elapsed());
        until("all processes are gone", || {
            host.run(&["pgrep", "-x", "sleep|yes|mfa-mail"]).stdout.is_empty()
        });
    }
}

#[test]
fn unknown_unenrolled_enrolled_and_locked_users_see_the_same_when_they_ask_for_mail_or_for_a_list()
{
    let host = Host::new()
        .mailer()
        .file_with_mode(PROGRAM, KEEPS, 0o755)
        .user("alice", "rabbit hole")
        .user("bob", "rabbit hole")
        .config(&by_program())
        .pam("asks", "auth required pam_mfa.so\n")
        .start();
    host.enrol("alice");
    let see = |user: &str| {
        let attempt = Attempt::new("asks", user).answer("").answer("?").answer("1");
        let report = attempt.answer("000000").run(&host);
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{user}");
        assert_eq!(report.asked(), [CODE, CODE, WHICH, "Code of \"phone\": "], "{user}");
        report.shown
    };
    let seen = see("nobody-there");
    assert_eq!(see("bob"), seen);
    assert_eq!(see("alice"), seen);
    for _ in 0..5 {
        see("alice");
    }
    host.wait_for_log("reason=locked");
    assert_eq!(see("alice"), seen);
    wait_for_silence(&host);
    assert!(mails(&host).is_empty(), "nobody's default is a mailbox");
}

#[test]
fn sshds_password_method_which_answers_with_the_password_sends_no_mail() {
    let host = Host::new()
        .mailer()
        .file_with_mode(PROGRAM, KEEPS, 0o755)
        .user("alice", "rabbit hole")
        .user("bob", "rabbit hole")
        .config(&policy(&format!("sendmail = \"{PROGRAM}\"\naddress = \"{{user}}@example.org\"")))
        .pam(
            "sshd",
            &format!("auth requisite pam_unix.so nodelay\nauth required pam_mfa.so\n{REST}"),
        )
        .sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication no\n")
        .start();
    // The store is there, and alice is asked by mail.
    host.enrol("bob");
    let mut ssh = host.ssh("alice").methods("password").open();
    ssh.answer("password: ", "rabbit hole").end().refused();
    host.wait_for_log("reason=repeats_password");
    wait_for_silence(&host);
    assert!(host.logged_by_now("action=send_code").is_empty());
    for mail in mails(&host) {
        assert!(!host.read(&mail).contains("is the code"), "{mail}");
    }
}

#[test]
fn who_has_not_enrolled_is_let_in_by_mail_from_the_first_day() {
    let mail = format!("sendmail = \"{PROGRAM}\"\naddress = \"{{user}}@example.org\"");
    let host = Host::new()
        .mailer()
        .file_with_mode(PROGRAM, KEEPS, 0o755)
        .user("alice", "rabbit hole")
        .user("bob", "rabbit hole")
        .config(&policy(&mail).replace("[email]", "enrol_at_login = \"anybody\"\n[email]"))
        .pam("sshd", &format!("auth required pam_mfa.so\n{REST}"))
        .sshd_example("pam_mfa-key.conf")
        .start();
    // The store is there. Who is lent a mailbox has something to give a code of.
    host.enrol("bob");
    host.make_key("alice");
    let explained =
        host.run(&["mfa-setup", "explain", "alice", "--service", "sshd", "--json"]).json();
    assert_eq!(explained["requirement"], "challenge");
    assert_eq!(explained["methods"], serde_json::json!(["email"]));
    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "");
    let code = kept(&host);
    ssh.answer(CODE, &code).end().let_in("alice");
    host.ssh("alice").key().open().answer(CODE, &code).end().refused();
    host.wait_for_log("reason=not_sent");
    let mut device = host.enrol("alice").device;
    host.ssh("alice").key().open().answer(CODE, &device.code()).end().let_in("alice");
}

#[test]
fn from_a_new_address_a_code_by_mail_is_needed_and_from_then_on_the_app_is_enough() {
    let rule = "verify_new_address = true\n[email]";
    let (host, mut enrolled) = host(&by_program().replace("[email]", rule));
    add_mailbox(&host, kept);
    let mut ssh = host.ssh("alice").key().from("192.0.2.7").open();
    ssh.answer(CODE, &enrolled.device.code()).end().refused();
    host.wait_for_log("reason=new_address");
    let mut ssh = host.ssh("alice").key().from("192.0.2.7").open();
    ssh.answer(CODE, "?").answer(WHICH, "e-mail");
    let code = kept(&host);
    ssh.answer("Code sent to \"e-mail\": ", &code).end().let_in("alice");
    let mut ssh = host.ssh("alice").key().from("192.0.2.7").open();
    ssh.answer(CODE, &enrolled.device.code()).end().let_in("alice");
}

#[test]
fn who_fails_elsewhere_keeps_nobody_from_codes_by_mail_where_they_are_known() {
    let patient = "[lockout]\nper_source = 100\nper_user = 100\n";
    let (host, mut enrolled) = host(&format!("{}{patient}", by_program()));
    add_mailbox(&host, kept);
    host.ssh("alice").key().open().answer(CODE, &enrolled.device.code()).end().let_in("alice");
    for _ in 0..5 {
        let mut ssh = host.ssh("alice").key().from("192.0.2.7").open();
        ssh.answer(CODE, "");
        let code: u32 = kept(&host).parse().unwrap();
        ssh.answer(CODE, &format!("{:06}", (code + 1) % 1_000_000)).end().refused();
    }
    let mut ssh = host.ssh("alice").key().from("192.0.2.7").open();
    ssh.answer(CODE, "");
    ssh.pty().expect(ON_ITS_WAY);
    let line = host.wait_for_log("outcome=refused reason=locked");
    assert!(line.contains("action=send_code") && line.contains("rhost=192.0.2.7"), "{line}");
    ssh.answer(CODE, "000000").end().refused();

    let mut ssh = host.ssh("alice").key().open();
    ssh.answer(CODE, "");
    let code = kept(&host);
    ssh.answer(CODE, &code).end().let_in("alice");
}
