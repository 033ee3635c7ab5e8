//! Logins over a real sshd with a real ssh client at a terminal, set up as `config/` shows it.
//!
//! The codes come from `oathtool`, fed with the key of the enrolment.

use mfa_tests::USED;
use mfa_tests::log::AUTHPRIV;
use mfa_tests::{Host, Running};

const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
const OFF: &str = "[policy]\nmode = \"off\"\n";

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";
/// The beginning of what is told of an answer that is not of ASCII.
const OTHER_CHARACTERS: &str = "Codes are of 0-9, a-z, spaces and dashes; this answer has";

/// Alice with her password, sshd asking for password and code.
fn with_password(policy: &str) -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .config(policy)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start()
}

/// Alice with her key, sshd asking for key and code.
fn with_key(policy: &str) -> Running {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(policy)
        .pam_example("sshd", "sshd-key")
        .sshd_example("pam_mfa-key.conf")
        .start();
    host.make_key("alice");
    host
}

#[test]
fn a_password_and_a_totp_code_let_in_and_the_code_only_once() {
    let host = with_password(OPTIONAL);
    let mut phone = host.enrol("alice").device;

    let code = phone.code();
    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &code).end().let_in("alice");
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("pam_mfa: outcome=granted"), "{line}");
    let record = host.log().into_iter().find(|record| record.text == line).unwrap();
    assert_eq!(record.facility, AUTHPRIV);
    for wanted in ["user=\"alice\"", "uid=1000", "service=sshd", "rhost=192.0.2.7", "factor=totp"] {
        assert!(line.contains(wanted), "{wanted} is not in {line}");
    }

    let mut ssh = host.ssh("alice").open();
    let shown = ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &code).end().refused();
    assert!(shown.contains(USED), "{shown}");
    host.wait_for_log("outcome=denied user=\"alice\" uid=1000 service=sshd rhost=127.0.0.1");

    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &phone.code()).end().let_in("alice");
    assert!(host.log().iter().all(|record| !record.text.contains(&code)));
}

#[test]
fn a_key_and_a_totp_code_let_in_and_no_password_is_asked() {
    let host = with_key(REQUIRED);
    let mut phone = host.enrol("alice").device;

    let shown = {
        let mut ssh = host.ssh("alice").key().open();
        ssh.pty().expect(CODE);
        ssh.pty().send_line(&phone.code());
        let ended = ssh.end();
        assert_eq!(ended.who.as_deref(), Some("alice"), "{}", ended.text);
        ended.text
    };
    assert!(!shown.contains(PASSWORD), "{shown}");

    // Neither of the two alone.
    host.ssh("alice").key().methods("publickey").open().end().refused();
    let shown = host.ssh("alice").methods("keyboard-interactive").open().end().refused();
    assert!(!shown.contains(CODE), "{shown}");
    let mut wrong = host.ssh("alice").key().open();
    wrong.answer(CODE, &phone.wrong_code()).end().refused();
}

#[test]
fn a_password_and_a_hotp_code_let_in_and_the_code_only_once() {
    let host = with_password(REQUIRED);
    let mut token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    let code = token.code();
    let log_in = |code: &str| {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
    };
    log_in(&code).let_in("alice");
    host.wait_for_log("factor=hotp");
    log_in(&code).refused();
    // The button was pressed twice without a login.
    let _ = (token.code(), token.code());
    log_in(&token.code()).let_in("alice");
}

#[test]
fn codes_of_unusual_devices_let_in_however_they_are_typed_and_digits_of_another_width_do_not() {
    let host = with_password(REQUIRED);
    let dressed =
        |kind, label| [kind, "--label", label, "--algorithm", "sha512", "--digits", "8"].to_vec();
    let slow = [dressed("totp", "slow"), vec!["--period", "60"]].concat();
    let mut slow = host.enrol_with("alice", &slow).device;
    let mut token = host.enrol_with("alice", &dressed("hotp", "token")).device;
    let mut plain = host.enrol_with("alice", &["totp", "--label", "plain"]).device;
    let log_in = |code: &str| {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
    };
    for device in [&mut slow, &mut token, &mut plain] {
        let half = usize::try_from(device.digits / 2).unwrap();
        let code = device.code();
        let before = failures(&host);
        // What an input method for Chinese or Japanese writes of the same keys, and Arabic digits.
        for zero in ['\u{ff10}', '\u{660}'] {
            let wide = |digit| char::from_u32(u32::from(zero) + u32::from(digit) - u32::from('0'));
            let typed: String = code.chars().map(|digit| wide(digit).unwrap()).collect();
            let shown = log_in(&typed).refused();
            assert!(shown.contains(OTHER_CHARACTERS), "{shown}");
        }
        host.wait_for_log("reason=not_ascii");
        assert_eq!(failures(&host), before);
        let (left, right) = code.split_at(half);
        log_in(&format!("{left} {right}")).let_in("alice");
        assert!(log_in(&format!(" {left}-{right} ")).refused().contains(USED));
        let code = device.code();
        log_in(&format!("-{}", code.split("").collect::<Vec<_>>().join(" - "))).let_in("alice");
        let wrong = device.wrong_code();
        let (left, right) = wrong.split_at(half);
        let shown = log_in(&format!("{left} {right}")).refused();
        assert!(!shown.contains(OTHER_CHARACTERS), "{shown}");
        assert_eq!(failures(&host), 1);
    }
}

#[test]
fn a_backup_code_lets_in_once_however_it_is_typed() {
    let host = with_password(REQUIRED);
    let mut backup = host.enrol("alice").backup;
    assert_eq!(backup.codes.len(), 10);
    let log_in = |code: &str| {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
    };
    let code = backup.code();
    log_in(&code).let_in("alice");
    host.wait_for_log("factor=backup_code");
    log_in(&code).refused();
    let typed_otherwise = backup.code().to_uppercase().replace(['-', ' '], "  ");
    log_in(&typed_otherwise).let_in("alice");
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    assert_eq!(status["backup_codes_left"], 8);
}

#[test]
fn a_wrong_code_is_refused_and_counted() {
    let host = with_password(REQUIRED);
    let mut phone = host.enrol("alice").device;
    let mut ssh = host.ssh("alice").open();
    let shown =
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &phone.wrong_code()).end().refused();
    assert!(!shown.contains(USED), "{shown}");
    host.wait_for_log("reason=wrong_code");
    assert_eq!(failures(&host), 1);
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &phone.code()).end().let_in("alice");
}

#[test]
fn a_code_is_not_shown_while_it_is_typed_unless_that_is_wished() {
    let host =
        with_password("[policy]\nmode = \"required\"\n[login]\necho = true\nprompt = \"Code? \"\n");
    let mut phone = host.enrol("alice").device;
    let code = phone.code();
    let mut ssh = host.ssh("alice").open();
    let ended = ssh.answer(PASSWORD, "rabbit hole").answer("Code? ", &code).end();
    assert!(ended.text.contains(&code) && !ended.text.contains("rabbit"), "{}", ended.text);
    ended.let_in("alice");

    host.write("/etc/pam_mfa/config.toml", REQUIRED);
    let code = phone.code();
    let mut ssh = host.ssh("alice").open();
    let ended = ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &code).end();
    assert!(!ended.text.contains(&code), "{}", ended.text);
    ended.let_in("alice");
}

#[test]
fn who_is_not_enrolled_gets_in_where_that_is_optional() {
    let host = with_password(OPTIONAL);
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").end().let_in("alice");
    host.wait_for_log("outcome=exempt user=\"alice\"");
    host.ssh("alice").open().answer(PASSWORD, "looking glass").end().refused();
}

#[test]
fn who_is_not_enrolled_is_refused_where_that_is_required_in_the_words_for_a_wrong_code() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config("[policy]\nmode = \"required\"\nhelp = \"Ask the help desk.\"\n")
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    let phone = host.enrol("alice").device;
    let refused = |user: &str, password: &str| {
        let mut ssh = host.ssh(user).open();
        let ssh = ssh.answer(PASSWORD, password).answer(CODE, &phone.wrong_code());
        ssh.end().refused().replace(user, "somebody")
    };
    let enrolled = refused("alice", "rabbit hole");
    assert!(enrolled.contains("Ask the help desk."), "{enrolled}");
    assert_eq!(refused("bob", "walrus"), enrolled);
}

#[test]
fn who_is_exempt_gets_in_with_a_key() {
    for policy in [OFF, OPTIONAL] {
        let host = with_key(policy);
        let ended = host.ssh("alice").key().open().end();
        assert!(!ended.text.contains(CODE), "{}", ended.text);
        ended.let_in("alice");
        host.wait_for_log("outcome=exempt user=\"alice\"");
    }
}

#[test]
fn nobody_gets_in_without_any_first_factor() {
    // A stack without a first factor, and an sshd that asks for none before it: a mistake that
    // must not open the door. Enrolled or not, exempt or not.
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(OPTIONAL)
        .pam_example("sshd", "sshd-key")
        .sshd("")
        .start();
    let phone = host.enrol("alice").device;
    host.ssh("bob").open().end().refused();
    let line = host.wait_for_log("user=\"bob\"");
    assert!(line.contains("outcome=denied"), "{line}");
    host.ssh("alice").open().answer(CODE, &phone.wrong_code()).end().refused();

    host.write("/etc/pam_mfa/config.toml", OFF);
    host.ssh("alice").open().end().refused();
    host.ssh("bob").open().end().refused();
    host.ssh("nobody").open().end().refused();
}

#[test]
fn the_password_method_of_sshd_is_refused_and_neither_counted_nor_logged() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(OPTIONAL)
        .pam_example("sshd", "sshd")
        .sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n")
        .start();
    host.enrol("alice");
    let before = files(&host);
    let log_in = |user: &str, password: &str| {
        let mut ssh = host.ssh(user).methods("password").open();
        ssh.answer("password: ", password).end()
    };
    log_in("alice", "rabbit hole").refused();
    let line = host.wait_for_log("outcome=denied user=\"alice\"");
    assert!(line.contains("reason=repeats_password"), "{line}");
    assert_eq!(failures(&host), 0);
    // Nothing is asked of who is not enrolled, so there is nothing to answer wrongly.
    log_in("bob", "walrus").let_in("bob");

    // sshd sends a password of its own making for who may not get in, or does not exist.
    log_in("alice", "looking glass").refused();
    log_in("root", "looking glass").refused();
    log_in("carol", "looking glass").refused();
    assert_eq!(failures(&host), 0);
    assert_eq!(files(&host), before);
    for record in host.log() {
        for secret in ["rabbit hole", "looking glass", "walrus"] {
            assert!(!record.text.contains(secret), "{}", record.text);
        }
    }
}

#[test]
fn who_does_not_exist_leaves_no_trace_but_in_the_log() {
    // Here the module is asked also when the password was wrong.
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("sshd", "auth required pam_unix.so nodelay\nauth required pam_mfa.so\n")
        .sshd("PasswordAuthentication yes\nPermitRootLogin no\n")
        .start();
    let phone = host.enrol("alice").device;
    let before = files(&host);
    for user in ["root", "carol", "alice"] {
        // For root and carol sshd puts a password of its own making in the place of the right one.
        let mut ssh = host.ssh(user).methods("password").open();
        ssh.answer("password: ", "looking glass").end().refused();
        let line = host.wait_for_log(&format!("user=\"{user}\""));
        assert!(line.contains("outcome=denied"), "{line}");
    }
    for user in ["root", "carol"] {
        let mut ssh = host.ssh(user).methods("keyboard-interactive").open();
        ssh.answer(PASSWORD, "looking glass").answer(CODE, &phone.wrong_code()).end().refused();
    }
    assert_eq!(files(&host), before);
    assert_eq!(failures(&host), 0);
}

/// How many failures of alice's count.
fn failures(host: &Running) -> u64 {
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    status["lockout"]["failures"].as_u64().unwrap()
}

/// The store's files.
fn files(host: &Running) -> String {
    host.shell("find /var/lib/pam_mfa | sort")
}
