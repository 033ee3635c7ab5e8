//! The `AppArmor` profile, compared with what the programs do. Nothing here confines them: a kernel that
//! does is in `tests/tests/confined`.

use std::path::PathBuf;
use std::process::Command;

use mfa_tests::apparmor::{Act, Profile, SEEN, done};
use mfa_tests::listener::USER_SOCKET;
use mfa_tests::mail::{AUTHORITY, SERVER_NAME};
use mfa_tests::pam::{Attempt, exact};
use mfa_tests::person::{PASSWORD, exit};
use mfa_tests::resident::ROOT_SOCKET;
use mfa_tests::traced::{TRACE, VERIFIER};
use mfa_tests::waiting::until;
use mfa_tests::{Host, Person, Running, cache};

const CODE: &str = "Verification code: ";
const ADDRESS: &str = "alice@example.org";

/// A stack of Debian's own modules that keep files.
const MFA_SETUP: &str = "auth required pam_env.so\n\
                         auth required pam_faillock.so preauth nodelay\n\
                         auth [success=1 default=bad] pam_unix.so nodelay\n\
                         auth [default=die] pam_faillock.so authfail nodelay\n\
                         auth sufficient pam_faillock.so authsucc nodelay\n\
                         account required pam_nologin.so\n\
                         account required pam_access.so\n\
                         account required pam_unix.so\n";

fn profile() -> PathBuf {
    cache::stage().join("usr/share/doc/pam_mfa/examples/apparmor.d/pam_mfa")
}

fn policy(email: &str) -> String {
    format!(
        "[policy]\nmode = \"required\"\nremember_session = \"10m\"\n\
         [[rule]]\ngroups = [\"sudo\"]\nservices = [\"nothing\"]\nmode = \"off\"\n\
         [email]\nfrom = \"mfa@example.org\"\n{email}"
    )
}

#[test]
fn the_parser_takes_the_profile_and_warns_of_nothing() {
    let mut parser = Command::new("apparmor_parser");
    parser.args(["--skip-kernel-load", "--skip-cache", "--warn=all"]);
    // Of a kernel that has all that the parser knows of.
    parser.arg("--features-file=/etc/apparmor.d/abi/3.0").arg(profile());
    let output = parser.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.to_lowercase().contains("warning"), "{said}");
}

/// The code in the last letter that has one, of at least so many letters.
#[track_caller]
fn code_in_letter(host: &Running, letters: usize) -> String {
    until("a letter came", || host.received().len() >= letters);
    let received = host.received();
    let mut bodies = received.iter().rev().map(|letter| letter.body[..6].to_owned());
    bodies.find(|code| code.bytes().all(|byte| byte.is_ascii_digit())).unwrap()
}

/// Everything, from the making of key and store on.
fn use_it(host: &Running) {
    let mut enrolled = host.enrol("alice");
    let mut token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    let log_in = |code: &str| {
        let attempt = Attempt::new("exact", "alice").after_a_key().from("192.0.2.7");
        attempt.answer(code).run(host)
    };
    assert_eq!(log_in(&enrolled.device.code()).code(), "PAM_SUCCESS");
    assert_eq!(log_in(&enrolled.device.wrong_code()).code(), "PAM_AUTH_ERR");
    assert_eq!(log_in(&enrolled.backup.code()).code(), "PAM_SUCCESS");
    let mut sudo = host.terminal(
        "echo 1000 > /proc/self/loginuid
         setpriv --reuid alice --regid alice --init-groups sudo -k echo done once",
    );
    sudo.expect(CODE);
    sudo.send_line(&token.code());
    sudo.expect("done once");

    let alice = Person::new(host, "alice", "rabbit hole");
    let mut tty = alice.setup(&["codes", "new", "--yes"]);
    tty.expect(PASSWORD);
    tty.send_line("looking glass");
    assert_eq!(exit(&mut tty), 1, "{}", tty.text());
    alice.change(&["codes", "new", "--yes"], &token.code());

    let by_server = format!(
        "smtp = \"smtps://mfa@{SERVER_NAME}:465\"\n\
         password_file = \"/etc/pam_mfa/mail.password\"\nca_file = \"/etc/pam_mfa/authority.pem\"\n"
    );
    let certified = format!(
        "smtp = \"smtps://mfa@{SERVER_NAME}:465\"\n\
         password_file = \"/etc/pam_mfa/mail.password\"\n"
    );
    host.shell(&format!("cp {AUTHORITY} /etc/pam_mfa/authority.pem"));
    for email in [by_server, certified, String::new()] {
        host.write("/etc/pam_mfa/config.toml", policy(&email));
        let before = host.received().len();
        let mut tty = host.pty(&["mfa-setup", "--user", "alice", "add", "email"]);
        tty.expect("E-mail address: ");
        tty.send_line(ADDRESS);
        match tty.expect_any(&["The code that was sent", "hint: "]).0 {
            0 => {
                tty.send_line(&code_in_letter(host, before + 1));
                assert_eq!(tty.end().0, Some(0), "{}", tty.text());
            }
            _ => assert!(email.contains("smtps") && !email.contains("ca_file"), "{}", tty.text()),
        }
        host.run(&["mfa-setup", "--user", "alice", "unlock"]).ok();
    }
    host.run(&["mfa-setup", "check"]);
    host.run(&["mfa-setup", "explain", "alice", "--service", "sshd"]).ok();
    host.run(&["mfa-setup", "users"]);
    host.run(&["mfa-setup", "reset", "--user", "alice", "--yes"]).ok();
}

#[test]
fn the_profile_allows_all_that_the_programs_do() {
    let host = Host::new()
        .mailer()
        .user("alice", "rabbit hole")
        .config(&policy(""))
        .pam("exact", &exact(""))
        .pam("mfa-setup", MFA_SETUP)
        .pam("sudo", "auth required pam_mfa.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        .file("/etc/msmtprc", "account default\nhost 127.0.0.1\nport 2525\nauth off\ntls off\n")
        .start();
    host.make_certificate();
    let _servers = [host.mail_server("tls", 465), host.mail_server("plain", 2525)];
    host.shell("mkdir -p /run/traced");
    let verifier = [VERIFIER, "--listen", ROOT_SOCKET, "--listen-users", USER_SOCKET];
    let strace = [&["strace", "-o", TRACE], &SEEN[..], &verifier].concat();
    let resident = host.reside_with(&strace);
    use_it(&host);
    // strace keeps SIGTERM for what it has started.
    host.shell(&format!("kill -TERM $(pgrep -P {})", resident.pid()));
    resident.wait();

    let profile = Profile::read(&profile());
    let done = done(&host.read(TRACE), |path| host.path(path).is_dir());
    for (path, permission) in [
        // One of each program's, so that nothing is compared with nothing.
        ("/etc/pam_mfa/store.key", 'w'),
        ("/usr/libexec/pam_mfa/mfa-reauth", 'x'),
        ("/run/faillock/alice", 'w'),
        ("/usr/bin/msmtp", 'x'),
    ] {
        assert!(done.iter().any(|act| act.path == path && act.permission == permission), "{path}");
    }
    let missing: Vec<_> = done.iter().filter(|act| !profile.allows(act)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_profile_allows_nothing_that_is_others() {
    let profile = Profile::read(&profile());
    for (permission, path) in [
        ('w', "/etc/passwd"),
        ('w', "/etc/shadow"),
        ('w', "/etc/pam.d/sshd"),
        ('w', "/usr/libexec/pam_mfa/mfa-verifier"),
        ('w', "/usr/lib/x86_64-linux-gnu/security/pam_unix.so"),
        ('w', "/home/alice/.ssh/authorized_keys"),
        ('r', "/home/alice/.ssh/id_ed25519"),
        ('r', "/root/.ssh/id_ed25519"),
        ('r', "/proc/1/environ"),
        ('r', "/var/spool/cron/crontabs/root"),
        ('x', "/usr/bin/dash"),
        ('x', "/usr/bin/su"),
    ] {
        assert!(!profile.allows(&Act { path: path.to_owned(), permission }), "{permission} {path}");
    }
}
