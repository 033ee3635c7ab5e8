//! What pam-auth-update makes of the package's profile: the code is asked for after a right password, and nobody
//! skips it.

use mfa_tests::debian::{Packages, debian_with_sshd, install};
use mfa_tests::pam::{Attempt, Report};
use mfa_tests::{Device, Running};

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

/// The profiles that the host has beside `unix`.
const OTHERS: &str = "capability krb5 systemd";

#[test]
fn the_code_is_asked_for_after_a_right_password_and_nobody_skips_it() {
    let packages = Packages::new();
    let host = debian_with_sshd("bookworm", &packages);
    install(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell("sed -i 's/^mode = .*/mode = \"required\"/' /etc/pam_mfa/config.toml");
    // With the password of bob.
    host.shell("useradd -p \"$(getent shadow bob | cut -d: -f2)\" carol; passwd -q -l carol");
    host.enrol("carol");
    for (others, first) in [
        (format!("pam-auth-update --enable mfa {OTHERS}"), "pam_krb5.so"),
        (format!("pam-auth-update --remove {OTHERS}"), "pam_unix.so"),
    ] {
        host.shell(&others);
        let stack = host.shell("sed '/^auth/!d' /etc/pam.d/common-auth");
        assert!(stack.lines().next().unwrap().contains(first), "{stack}");
        assert_eq!(stack.contains("pam_cap.so"), first == "pam_krb5.so", "{stack}");
        for service in ["sudo", "sshd"] {
            judge_all(&host, service, &mut token);
        }
        over_ssh(&host, &mut token);
    }
}

fn judge_all(host: &Running, service: &str, token: &mut Device) {
    let login = |user: &str, password: &str, code: &str| {
        let attempt = Attempt::new(service, user).answer(password).answer(code);
        attempt.from("192.0.2.7").run(host)
    };
    let asks_for_both = |report: &Report| report.asked() == [PASSWORD, CODE];
    let asks_for_the_password = |report: &Report| report.asked() == [PASSWORD];

    let right = login("alice", "rabbit hole", &token.code());
    assert_eq!(right.code(), "PAM_SUCCESS");
    assert!(asks_for_both(&right), "{right:?}");
    let wrong = login("alice", "rabbit hole", &token.wrong_code());
    assert_eq!(wrong.code(), "PAM_AUTH_ERR");
    let none = login("alice", "rabbit hole", "");
    assert_eq!(none.code(), "PAM_AUTH_ERR");
    let hung_up = Attempt::new(service, "alice").answer("rabbit hole").run(host);
    assert_ne!(hung_up.code(), "PAM_SUCCESS");
    let unenrolled = login("bob", "walrus", &token.code());
    assert_eq!(unenrolled.code(), "PAM_AUTH_ERR");
    for asked in [wrong, none, hung_up, unenrolled] {
        assert!(asks_for_both(&asked), "{asked:?}");
    }
    // A wrong password, an account that is locked, one that is not there: a right code does not help, and is
    // not used up.
    let code = token.code();
    for (user, password) in
        [("alice", "looking glass"), ("carol", "walrus"), ("nobody-here", "rabbit hole")]
    {
        let refused = login(user, password, &code);
        assert_ne!(refused.code(), "PAM_SUCCESS", "{user}");
        assert!(asks_for_the_password(&refused), "{refused:?}");
    }
    assert_eq!(login("alice", "rabbit hole", &code).code(), "PAM_SUCCESS");
}

/// With the settings that the package ships, and with Debian's own.
fn over_ssh(host: &Running, token: &mut Device) {
    let own = "/etc/ssh/sshd_config.d/10-pam_mfa.conf";
    let reload = |script: &str| {
        let seen = host.log().len();
        host.shell(&format!("{script}; service ssh reload"));
        host.wait_for_log_behind(seen, "Server listening on :: port 22");
    };
    reload(&format!(
        "cp /usr/share/doc/libpam-mfa/examples/sshd_config.d/pam_mfa-password.conf {own}"
    ));
    let log_in = |user: &str, password: &str| {
        let mut ssh = host.ssh(user).open();
        ssh.answer(PASSWORD, password);
        ssh
    };
    log_in("alice", "rabbit hole").answer(CODE, &token.code()).end().let_in("alice");
    log_in("alice", "rabbit hole").answer(CODE, &token.wrong_code()).end().refused();
    for (user, password) in
        [("alice", "looking glass"), ("carol", "walrus"), ("nobody-here", "rabbit hole")]
    {
        let shown = log_in(user, password).end().refused();
        assert!(!shown.contains(CODE), "{user}: {shown}");
    }
    // One question only: nobody gets in by it, with the password, the code or both.
    reload(&format!("rm {own}"));
    for answer in ["rabbit hole".to_owned(), format!("rabbit hole{}", token.code())] {
        let mut ssh = host.ssh("alice").open();
        ssh.answer("assword: ", &answer).end().refused();
    }
}
