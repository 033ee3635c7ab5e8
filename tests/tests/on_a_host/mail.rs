//! Codes by mail: through a real mail server and a real `sendmail`, and what comes of it where these
//! hang, fail, flood or are not what they should be. A mailer has its bound and no more.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use mfa_tests::mail::{AUTHORITY, CODE, OTHER_NAME, PASSWORD, SERVER_NAME, Sent};
use mfa_tests::waiting::until;
use mfa_tests::{Host, Running, cache};

const TO: &str = "alice@example.org";
const PASSWORD_FILE: &str = "password_file = \"/etc/pam_mfa/mail.password\"";

/// Where the tests' own mail programs are.
const PROGRAM: &str = "/usr/local/lib/mail/sendmail";

/// What a bound of two seconds may come to, with processes to start and to end on a busy machine.
const IN_TIME: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);

fn server(scheme: &str, name: &str, port: u16) -> String {
    format!("smtp = \"{scheme}://mfa@{name}:{port}\"\n{PASSWORD_FILE}\nca_file = \"{AUTHORITY}\"")
}

fn plain(port: u16) -> String {
    format!("smtp = \"smtp://localhost:{port}\"")
}

#[track_caller]
fn refused(sent: &Sent, with: &str) -> String {
    let (error, hint) = sent.error.as_ref().expect("it was sent");
    assert!(error.contains(with), "{error:?} without {with:?}");
    assert!(!hint.is_empty());
    for text in [error, hint] {
        assert!(!text.contains(CODE) && !text.contains(PASSWORD), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    error.clone()
}

#[test]
fn a_letter_arrives_through_every_kind_of_server_whole_and_says_what_it_should() {
    let host = Host::new().mailer().start();
    host.make_certificate();
    let _servers = [
        host.mail_server("tls", 465),
        host.mail_server("starttls", 587),
        host.mail_server("plain", 25),
    ];
    for (email, encrypted, user) in [
        (server("smtps", SERVER_NAME, 465), true, "mfa"),
        (server("smtp+starttls", SERVER_NAME, 587), true, "mfa"),
        (plain(25), false, ""),
    ] {
        let sent = host.send_mail(&email, TO);
        assert_eq!(sent.error, None, "{email}");
        let received = host.received().pop().unwrap();
        assert_eq!((received.encrypted, received.user.as_str()), (encrypted, user), "{email}");
        assert_eq!(received.sender, "mfa@example.org");
        assert_eq!(received.recipients, [TO]);
        assert!(received.ascii);
        assert_eq!(received.header("from"), "mfa@example.org");
        assert_eq!(received.header("to"), TO);
        assert_eq!(received.header("subject"), "Login to büro.example.org");
        assert_eq!(received.header("date"), "Sun, 22 Nov 2026 13:03:43 +0000");
        assert_eq!(received.header("auto-submitted"), "auto-generated");
        assert!(received.header("message-id").starts_with('<'));
        assert!(received.body.starts_with(CODE), "{}", received.body);
        for fact in ["büro.example.org", "alice", "sshd", "192.0.2.7", "5 minutes"] {
            assert!(received.body.contains(fact), "{fact}: {}", received.body);
        }
    }
    // Without ca_file it is whom the host trusts.
    host.shell(&format!(
        "mkdir -p /etc/ssl/certs; cp {AUTHORITY} /etc/ssl/certs/ca-certificates.crt"
    ));
    let trusting = server("smtps", SERVER_NAME, 465).replace(AUTHORITY, "");
    assert_eq!(host.send_mail(&trusting, TO).error, None);
    assert_eq!(host.received().len(), 4);
}

#[test]
fn nothing_is_sent_to_a_server_that_cannot_show_who_it_is() {
    let host = Host::new().mailer().start();
    host.make_certificate();
    let _servers = [
        host.mail_server("tls", 465),
        host.mail_server("starttls", 587),
        host.mail_server("forgetful", 2525),
        host.mail_server("babbling", 2526),
    ];
    for (scheme, port) in [("smtps", 465), ("smtp+starttls", 587)] {
        let other_name = host.send_mail(&server(scheme, OTHER_NAME, port), TO);
        refused(&other_name, "no TLS with the mail server other.example.org");
        let system = server(scheme, SERVER_NAME, port).replace(AUTHORITY, "");
        refused(&host.send_mail(&system, TO), "no TLS with the mail server mail.example.org");
    }
    let forgetful = host.send_mail(&server("smtp+starttls", SERVER_NAME, 2525), TO);
    refused(&forgetful, "no TLS with the mail server mail.example.org:2525: it offers no STARTTLS");
    refused(&host.send_mail(&server("smtps", SERVER_NAME, 2525), TO), "no TLS with");
    refused(&host.send_mail(&plain(2526), TO), "of no use: it does not speak SMTP");
    refused(&host.send_mail(&plain(2527), TO), "cannot be reached: ");
    assert!(host.received().is_empty());
}

#[test]
fn what_somebody_between_says_before_tls_begins_is_no_reply_of_the_server() {
    let host = Host::new().mailer().start();
    host.make_certificate();
    let _servers = [host.mail_server("injecting", 2525), host.mail_server("anticipating", 2526)];
    let sent = |port| host.send_mail(&server("smtp+starttls", SERVER_NAME, port), TO);
    refused(&sent(2525), "no TLS with the mail server mail.example.org:2525: something was said");
    refused(&sent(2526), "of no use: it does not ask for the message");
}

#[test]
fn a_refusal_is_told_by_what_it_is_about_and_quotes_no_secret() {
    let host = Host::new().mailer().start();
    host.make_certificate();
    let _servers = [
        host.mail_server("tls", 465),
        host.mail_server("refusing", 2525),
        host.mail_server("quoting", 2526),
        host.mail_server("echoing", 2527),
    ];
    let email = server("smtps", SERVER_NAME, 465);
    let echoed = host.send_mail(&server("smtps", SERVER_NAME, 2527), TO);
    assert!(refused(&echoed, "refused: 535").ends_with("535"), "{echoed:?}");
    host.write("/etc/pam_mfa/mail.password", "wrong horse\n");
    let error = refused(&host.send_mail(&email, TO), "refused: 535");
    assert!(!error.contains("horse"), "{error}");
    let said = "alice@example.org was not taken as a recipient: 5.1.1 no such user here";
    assert_eq!(refused(&host.send_mail(&plain(2525), TO), said), said);
    let error = refused(&host.send_mail(&plain(2526), TO), "refused: 554");
    assert!(error.ends_with("554"), "{error}");
    let password = "/etc/pam_mfa/mail.password";
    host.set_mode(password, 0o640);
    refused(&host.send_mail(&email, TO), "can be read by others than root");
    host.set_mode(password, 0o602);
    refused(&host.send_mail(&email, TO), "can be written by others");
    host.set_mode(password, 0o600);
    host.write(password, "\n");
    refused(&host.send_mail(&email, TO), "has no password on its first line");
    host.shell(&format!("rm {password}"));
    refused(&host.send_mail(&email, TO), "does not exist");
    host.write(password, PASSWORD);
    host.set_mode(password, 0o600);
    host.write(AUTHORITY, "nothing\n");
    refused(&host.send_mail(&email, TO), "has no certificate in it");
    assert!(host.received().is_empty());
}

#[test]
fn a_server_that_hangs_anywhere_is_given_up_at_the_bound() {
    let host = Host::new().mailer().start();
    let kinds = ["full", "silent", "dripping", "flooding", "deaf"];
    let _servers: Vec<_> =
        kinds.iter().zip(2525..).map(|(kind, port)| host.mail_server(kind, port)).collect();
    let _names = host.mail_server("nameless", 53);
    host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    let unnamed = "smtp = \"smtps://mail.nowhere.example\"".to_owned();
    let emails = (2525..).take(kinds.len()).map(plain).chain([unnamed]);
    let running: Vec<_> = emails
        .enumerate()
        .map(|(number, email)| {
            let config = format!("/etc/pam_mfa/mail-{number}.toml");
            let mut command = host.mail_command(&config, &format!("{email}\ntimeout = 2"), TO);
            (email, command.stdout(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (email, process) in running {
        let output = process.wait_with_output().unwrap();
        let sent: Sent = serde_json::from_slice(&output.stdout).unwrap();
        // A flood is too much before it takes too long.
        let is_flood = email == plain(2528);
        refused(
            &sent,
            if is_flood { "broke off: SIGABRT" } else { "did not take the mail within 2 s" },
        );
        assert!(sent.took < IN_TIME.end, "{email}: {sent:?}");
        assert!(is_flood || sent.took >= IN_TIME.start, "{email}: {sent:?}");
    }
    until("all processes are gone", || {
        host.run(&["pgrep", "-x", "send-mail|mfa-mail"]).stdout.is_empty()
    });
}

#[test]
fn a_mail_that_is_under_way_ends_with_the_verifier_that_bounds_it() {
    let host = with_program("exec sleep 1000");
    let _server = host.mail_server("dripping", 2525);
    for (email, waits) in
        [(plain(2525), "mfa-mail"), (format!("sendmail = \"{PROGRAM}\""), "sleep")]
    {
        let mut command = host.mail_command("/etc/pam_mfa/mail.toml", &email, TO);
        let mut sending = command.stdout(Stdio::null()).spawn().unwrap();
        let is_waiting = || host.run(&["pgrep", "-x", waits]).code == Some(0);
        until("the mail is under way", is_waiting);
        host.shell("kill -KILL $(pgrep -x send-mail)");
        sending.wait().unwrap();
        until("nobody waits any more", || !is_waiting());
    }
}

#[test]
fn a_mail_that_the_server_has_is_sent_however_it_takes_leave() {
    let host = Host::new().mailer().start();
    let _server = host.mail_server("lingering", 2525);
    let sent = host.send_mail(&format!("{}\ntimeout = 8", plain(2525)), TO);
    assert_eq!(sent.error, None);
    assert!(sent.took < Duration::from_secs(4), "{sent:?}");
}

#[test]
fn a_real_sendmail_takes_the_letter() {
    let host = Host::new().mailer().start();
    let _server = host.mail_server("plain", 2525);
    host.write("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nauth off\ntls off\n");
    assert_eq!(host.send_mail("", TO).error, None);
    let received = host.received().pop().unwrap();
    assert_eq!(received.recipients, [TO]);
    assert_eq!(received.sender, "mfa@example.org");
    assert_eq!(received.header("subject"), "Login to büro.example.org");
    assert!(received.body.starts_with(CODE), "{received:?}");
    let _refusing = host.mail_server("refusing", 2526);
    host.write("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2526\nauth off\ntls off\n");
    refused(&host.send_mail("", TO), "/usr/sbin/sendmail failed: exit code ");
}

/// A host with this script as its mail program.
fn with_program(script: &str) -> Running {
    Host::new().mailer().file_with_mode(PROGRAM, format!("#!/bin/sh\n{script}\n"), 0o755).start()
}

fn send_by_program(host: &Running) -> Sent {
    host.send_mail(&format!("sendmail = \"{PROGRAM}\"\ntimeout = 2"), TO)
}

#[test]
fn a_mail_program_is_told_two_addresses_and_nothing_else() {
    let host = with_program(
        "{ pwd; printf '%s\\n' \"$@\"; /usr/bin/env; } > /root/told; cat > /root/mail",
    );
    assert_eq!(send_by_program(&host).error, None);
    let told = host.read("/root/told");
    // The last is the shell's own.
    let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("_=")).collect();
    assert_eq!(told, ["/", "-i", "-f", "mfa@example.org", "--", TO, "PWD=/"]);
    let mail = host.read("/root/mail");
    assert!(mail.contains(&format!("\n\n{CODE} is the code")) && !mail.contains('\r'), "{mail:?}");
}

#[test]
fn a_mail_program_that_hangs_is_ended_with_all_that_it_started() {
    for script in
        ["sleep 1000 & sleep 1000", "exec 0<&- 1>&- 2>&-; sleep 1000; true", "kill -STOP $$"]
    {
        let host = with_program(script);
        let sent = send_by_program(&host);
        refused(&sent, &format!("{PROGRAM} did not take the mail within 2 s"));
        assert!(IN_TIME.contains(&sent.took), "{script}: {sent:?}");
        until("all processes are gone", || {
            host.run(&["pgrep", "-x", "sleep|sendmail"]).stdout.is_empty()
        });
    }
}

#[test]
fn a_mail_program_that_fails_is_quoted_with_one_escaped_line() {
    let host =
        with_program("echo; echo \"sendmail: \\033[31mno queue\\007\" >&2; echo more >&2; exit 75");
    let error = refused(&send_by_program(&host), "failed: exit code 75: ");
    assert!(error.ends_with("exit code 75: sendmail: \\u{1b}[31mno queue\\u{7}"), "{error}");
    // EX_NOUSER of sysexits.h.
    let host = with_program("echo 'no such user' >&2; exit 67");
    let error = refused(&send_by_program(&host), "not taken as a recipient");
    assert_eq!(error, "alice@example.org was not taken as a recipient: no such user");
    let host = with_program("cat >&2; exit 1");
    refused(&send_by_program(&host), "failed: exit code 1");
    let host = with_program(&format!("echo 'bad: {CODE}' >&2; exit 1"));
    let error = refused(&send_by_program(&host), "failed: exit code 1");
    assert!(error.ends_with("exit code 1"), "{error}");
    let host = with_program("kill -SEGV $$");
    refused(&send_by_program(&host), "failed: SIGSEGV");
}

#[test]
fn a_mail_program_that_floods_its_standard_error_fills_nothing() {
    let host = with_program("yes flood >&2");
    let sent = send_by_program(&host);
    refused(&sent, "did not take the mail within 2 s");
    assert!(IN_TIME.contains(&sent.took), "{sent:?}");
    let host = with_program("head -c 100000000 /dev/zero >&2; exit 1");
    let error = refused(&send_by_program(&host), "failed: exit code 1: ");
    assert!(error.len() < 500, "{} bytes", error.len());
}

#[test]
fn a_mail_program_that_is_not_roots_alone_is_not_run() {
    let host = with_program("touch /root/run");
    host.shell(&format!("chmod 775 {PROGRAM}"));
    refused(&send_by_program(&host), "can be written by others than root");
    host.shell(&format!("chmod 755 {PROGRAM}; chown nobody {PROGRAM}"));
    refused(&send_by_program(&host), "is not owned by root");
    host.shell(&format!("chown root {PROGRAM}; chmod 777 /usr/local/lib/mail"));
    refused(&send_by_program(&host), "can be written by others than root");
    host.shell(&format!("chmod 755 /usr/local/lib/mail; chmod 644 {PROGRAM}"));
    refused(&send_by_program(&host), "is not executable");
    host.shell(&format!("rm {PROGRAM}; ln -s /usr/bin/true {PROGRAM}"));
    assert_eq!(send_by_program(&host).error, None, "a link of root's");
    host.shell(&format!("rm {PROGRAM}"));
    refused(&send_by_program(&host), "does not exist");
    host.write(PROGRAM, "#!/no/such/interpreter\n");
    host.set_mode(PROGRAM, 0o755);
    refused(&send_by_program(&host), "cannot be run");
    assert!(!host.path("/root/run").exists());
}

#[test]
fn what_sends_the_mail_is_roots_alone_or_nothing_is_sent() {
    const SENDS: &str = "/usr/libexec/pam_mfa/mfa-mail";
    let host = Host::new().mailer().start();
    let _server = host.mail_server("plain", 2525);
    for email in [plain(2525), "sendmail = \"/usr/bin/true\"".to_owned()] {
        host.set_mode(SENDS, 0o775);
        refused(
            &host.send_mail(&email, TO),
            "mail cannot be sent: /usr/libexec/pam_mfa/mfa-mail can",
        );
        host.set_mode(SENDS, 0o755);
        assert_eq!(host.send_mail(&email, TO).error, None);
    }
    host.shell(&format!("rm {SENDS}"));
    let sent = host.send_mail(&plain(2525), TO);
    assert!(refused(&sent, "mail cannot be sent: ").ends_with("mfa-mail does not exist"));
    assert_eq!(sent.error.unwrap().1, "install it again, from this version");
}

/// The unit of the verifier that stays, with the mailer in its place.
fn unit_with_the_mailer(config: &str) -> String {
    let packaged = |name: &str| {
        fs::read_to_string(cache::tree().join("packaging/systemd").join(name)).unwrap()
    };
    let unit = packaged("mfa-verifier.service").replace("@SANDBOX@", &packaged("sandbox.conf"));
    let kept = |line: &&str| {
        !["Requires", "After", "Type=", "Exec", "Watchdog", "Restart", "Also"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines: Vec<&str> = unit.lines().filter(kept).collect();
    lines
        .join("\n")
        .replace("@STORE@", "/var/lib/pam_mfa")
        .replace("@CONFIG_DIRECTORY@", "/etc/pam_mfa")
        .replace(
            "[Service]",
            &format!(
                "[Service]\nType=oneshot\nStandardOutput=file:/var/lib/pam_mfa/said\n\
                 ExecStart=/usr/local/bin/send-mail {config} {TO}"
            ),
        )
}

#[test]
fn in_the_sandbox_of_the_verifiers_unit_mail_goes_as_well() {
    let config = "/etc/pam_mfa/mail.toml";
    let host = Host::new()
        .mailer()
        .file("/etc/systemd/system/send-mail.service", unit_with_the_mailer(config))
        .file("/var/lib/pam_mfa/said", "")
        .booted()
        .start();
    host.make_certificate();
    let _servers = [host.mail_server("tls", 465), host.mail_server("plain", 2525)];
    host.write("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nauth off\ntls off\n");
    for email in [server("smtps", SERVER_NAME, 465), String::new()] {
        host.write(config, format!("[email]\nfrom = \"mfa@example.org\"\n{email}\n"));
        let started = host.run(&["systemctl", "start", "send-mail.service"]);
        let journal = host.run(&["journalctl", "-u", "send-mail.service", "--no-pager"]).stdout;
        assert_eq!(started.code, Some(0), "{journal}");
        let sent: Sent = serde_json::from_str(&host.read("/var/lib/pam_mfa/said")).unwrap();
        assert_eq!(sent.error, None, "{email}");
        host.write("/var/lib/pam_mfa/said", "");
    }
    assert_eq!(host.received().len(), 2);
}
