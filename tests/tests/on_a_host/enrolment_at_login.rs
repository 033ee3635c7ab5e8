//! First devices that are enrolled at a login, by people at a real ssh client or at the console, with an
//! app that knows only what their terminal shows.

use mfa_tests::pam::Attempt;
use mfa_tests::person::{
    CODE, FIRST_CODE, FIRST_CODE_OR_INVERTED, FIRST_CODE_OR_OTHER, FIRST_CODE_OR_PLAIN, KEPT,
    PASSWORD, key_in, sheet,
};
use mfa_tests::screen::{Screen, Theme};
use mfa_tests::ssh::Session;
use mfa_tests::{Device, Host, Pty, Running, USED};

const ANYBODY: &str = "[policy]\nmode = \"required\"\nenrol_at_login = \"anybody\"\n";
const INVITE: &str = "[policy]\nmode = \"required\"\nenrol_at_login = \"invite\"\n";

const NEEDED: &str = "Nobody gets in here without a second factor,";
const ENROL: &str = "Enrol an authenticator app now? [y/N] ";
const INVITATION: &str = "Invitation code: ";
const WHICH: &str = "Which one, by number or name? ";
const BOTH: &str = "Password and verification code: ";

/// What such a login asks behind the password, in its order.
const QUESTIONS: [&str; 3] = [ENROL, FIRST_CODE_OR_OTHER, KEPT];

/// Alice and bob have passwords, and sshd asks for password and code. Carol is enrolled, so there is a
/// store.
fn host(policy: &str) -> Running {
    started(with_passwords(policy).pam_example("sshd", "sshd"))
}

fn with_passwords(policy: &str) -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("carol", "carpenter")
        .config(policy)
        .sshd_example("pam_mfa-password.conf")
}

fn started(host: Host) -> Running {
    let host = host.start();
    host.enrol("carol");
    host
}

/// Goes to a question behind the password, the app in hand as soon as there is one.
#[track_caller]
fn go_to(tty: &mut Pty, question: &str) -> Option<Device> {
    let mut phone = None;
    for next in QUESTIONS {
        let shown = tty.expect(next);
        if next == FIRST_CODE_OR_OTHER {
            phone = Some(Device::totp(&key_in(&shown)));
        }
        if next == question {
            break;
        }
        match &mut phone {
            None => tty.send_line("y"),
            Some(phone) => tty.send_line(&phone.code()),
        }
    }
    phone
}

/// Answers what is left from the first code on; the backup codes.
#[track_caller]
fn finish(tty: &mut Pty, phone: &mut Device) -> Vec<String> {
    tty.send_line(&phone.code());
    let sheet = sheet(tty);
    tty.send_line(&sheet[0]);
    sheet
}

fn uri(phone_key: &str) -> String {
    format!("otpauth://totp/testhost:alice?secret={phone_key}&issuer=testhost")
}

fn is_enrolled(host: &Running, user: &str) -> bool {
    host.run(&["mfa-setup", "status", "--json", "--user", user]).json()["enrolled"] == true
}

fn log_in(host: &Running, code: &str) -> mfa_tests::ssh::Ended {
    host.ssh("alice").open().answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
}

#[test]
fn who_has_no_device_enrols_over_ssh_by_what_the_screen_shows_and_is_let_in() {
    let host = host(ANYBODY);
    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer(PASSWORD, "rabbit hole");
    let shown = ssh.pty().expect(ENROL);
    assert!(shown.contains(NEEDED), "{shown}");
    ssh.pty().send_line("y");
    let key = key_in(&ssh.pty().expect(FIRST_CODE_OR_OTHER));
    let seen = ssh.pty().text();
    assert!(seen.contains('█'), "{seen}");
    let screen = Screen::new(seen.as_bytes(), 80, 50);
    assert_eq!(screen.picture(Theme::Light).codes(), [uri(&key)], "{}", screen.text());

    let mut phone = Device::totp(&key);
    let first = phone.code();
    ssh.pty().send_line(&phone.wrong_code());
    ssh.pty().expect("That code is not right.");
    ssh.pty().expect(FIRST_CODE_OR_OTHER);
    ssh.pty().send_line(&first);
    let sheet = sheet(ssh.pty());
    // As a person types it who reads it aloud.
    ssh.pty().send_line(&sheet[2].to_uppercase().replace('-', " "));
    ssh.end().let_in("alice");
    let line = host.wait_for_log("outcome=granted user=\"alice\"");
    for wanted in ["rhost=192.0.2.7", "factor=totp", "device=\"phone\"", "reason=enrolled"] {
        assert!(line.contains(wanted), "{wanted} is not in {line}");
    }

    assert!(log_in(&host, &first).refused().contains(USED));
    log_in(&host, &phone.code()).let_in("alice");
    log_in(&host, &sheet[2]).let_in("alice");
    for record in host.log() {
        for secret in [&key, &first, &sheet[0], "rabbit"] {
            assert!(!record.text.contains(secret), "{}", record.text);
        }
    }
}

#[test]
fn a_client_in_the_c_locale_shows_the_key_and_a_picture_in_plain_ascii_for_who_asks() {
    let host = host(ANYBODY);
    let mut ssh = host.ssh("alice").locale("C").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(ENROL, "y");
    let garbled = ssh.pty().expect(FIRST_CODE_OR_OTHER);
    assert!(garbled.contains("\\342\\226"), "{garbled}");
    let key = key_in(&garbled);
    ssh.pty().send_line("a");
    for (question, theme) in [(FIRST_CODE_OR_INVERTED, Theme::Light), (FIRST_CODE, Theme::Dark)] {
        let plain = ssh.pty().expect(question);
        assert!(plain.is_ascii() && plain.contains("##"), "{plain}");
        assert_eq!(key_in(&plain), key);
        let screen = Screen::new(plain.as_bytes(), 80, 60);
        let codes = screen.picture(theme).coarser(8).codes();
        assert_eq!(codes, [uri(&key)], "{}", screen.text());
        if question != FIRST_CODE {
            ssh.pty().send_line("i");
        }
    }
    finish(ssh.pty(), &mut Device::totp(&key));
    ssh.end().let_in("alice");
}

#[test]
fn on_a_dark_ground_the_picture_is_inverted_for_who_asks() {
    let host = host(ANYBODY);
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(ENROL, "y");
    let key = key_in(&ssh.pty().expect(FIRST_CODE_OR_OTHER));
    ssh.pty().send_line("i");
    let inverted = ssh.pty().expect(FIRST_CODE_OR_PLAIN);
    let screen = Screen::new(inverted.as_bytes(), 80, 50);
    assert_eq!(screen.picture(Theme::Dark).codes(), [uri(&key)], "{}", screen.text());
    finish(ssh.pty(), &mut Device::totp(&key));
    ssh.end().let_in("alice");
}

#[test]
fn who_has_to_change_the_password_enrols_and_then_changes_it() {
    let host = host(ANYBODY);
    host.shell("chage -d 0 alice");
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole");
    let mut phone = go_to(ssh.pty(), FIRST_CODE_OR_OTHER).unwrap();
    finish(ssh.pty(), &mut phone);
    ssh.answer("Current password: ", "rabbit hole");
    ssh.answer("New password: ", "looking-glass-7").answer("new password: ", "looking-glass-7");
    ssh.end().let_in("alice");
    assert!(is_enrolled(&host, "alice"));
    // Who may not use the account at all enrols nothing in it.
    host.shell("chage -E 0 bob");
    let mut ssh = host.ssh("bob").open();
    ssh.answer(PASSWORD, "walrus").answer(CODE, "000000").end().refused();
    assert!(!is_enrolled(&host, "bob"));
}

#[test]
fn a_stack_that_asks_for_the_code_first_shows_nobody_who_has_not_enrolled() {
    let stack = "auth required pam_mfa.so\nauth required pam_unix.so nodelay\n";
    let host = started(with_passwords(ANYBODY).pam("door", stack));
    let seen = |user: &str| {
        let attempt = Attempt::new("door", user).answer("000000").answer("looking glass");
        let report = attempt.run(&host);
        assert_eq!(report.code(), "PAM_AUTH_ERR");
        report.asked().join("|")
    };
    assert_eq!(seen("alice"), seen("carol"));
    assert_eq!(seen("alice"), [CODE, PASSWORD].join("|"));
    let said = host.run(&["mfa-setup", "check"]).ok();
    assert!(said.contains("/etc/pam.d/door: nobody is asked for a first factor"), "{said}");
}

#[test]
fn who_has_no_device_enrols_at_the_console() {
    let host = started(with_passwords(ANYBODY).pam_example("login", "login"));
    let mut login = host.terminal("/bin/login alice");
    login.expect(PASSWORD);
    login.send_line("rabbit hole");
    let mut phone = go_to(&mut login, FIRST_CODE_OR_OTHER).unwrap();
    let screen = Screen::new(login.text().as_bytes(), 80, 50);
    let codes = screen.picture(Theme::Light).codes();
    assert_eq!(codes.len(), 1, "{}", screen.text());
    finish(&mut login, &mut phone);
    login.expect("$ ");
    login.send_line("id -un; exit");
    login.expect("alice");
    login.end();
    let line = host.wait_for_log("outcome=granted user=\"alice\"");
    assert!(line.contains("service=login") && line.contains("reason=enrolled"), "{line}");

    let mut login = host.terminal("/bin/login alice");
    login.expect(PASSWORD);
    login.send_line("rabbit hole");
    login.expect(CODE);
    login.send_line(&phone.code());
    login.expect("$ ");
}

#[test]
fn who_came_with_a_key_is_asked_for_no_password() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("carol", "carpenter")
        .config(ANYBODY)
        .pam_example("sshd", "sshd-key")
        .sshd_example("pam_mfa-key.conf");
    let host = started(host);
    host.make_key("alice");
    let mut ssh = host.ssh("alice").key().open();
    let mut phone = go_to(ssh.pty(), FIRST_CODE_OR_OTHER).unwrap();
    finish(ssh.pty(), &mut phone);
    let ended = ssh.end();
    assert!(!ended.text.contains(PASSWORD), "{}", ended.text);
    ended.let_in("alice");
}

#[test]
fn an_enrolment_that_is_broken_off_at_any_question_changes_nothing() {
    let host = host(ANYBODY);
    let before = host.store();
    for question in QUESTIONS {
        let seen = host.log().len();
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole");
        go_to(ssh.pty(), question);
        ssh.pty().send("\x03");
        host.wait_for_log_behind(seen, "outcome=denied user=\"alice\"");
        assert_eq!(host.store(), before, "{question}");
    }
    for (question, answers) in [(ENROL, 1), (FIRST_CODE_OR_OTHER, 5), (KEPT, 5)] {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole");
        go_to(ssh.pty(), question);
        for left in (0..answers).rev() {
            ssh.pty().send_line("no");
            if left > 0 {
                ssh.pty().expect(question);
            }
        }
        ssh.end().refused();
        assert_eq!(host.store(), before, "{question}");
    }
    assert!(!is_enrolled(&host, "alice"));
}

#[test]
fn an_invitation_opens_the_enrolment_and_who_has_none_sees_what_a_wrong_one_shows() {
    let host = host(INVITE);
    let invitation = host.run(&["mfa-setup", "invite", "alice", "--json"]).json()["code"]
        .as_str()
        .unwrap()
        .to_owned();
    let begin = |user: &str, password: &str, code: &str| -> Session {
        let mut ssh = host.ssh(user).open();
        ssh.answer(PASSWORD, password).answer(ENROL, "y").answer(INVITATION, code);
        ssh
    };
    let refused = |user: &str, password: &str| {
        let wrong = "ABCDE-FGHJK-MNPQR";
        let shown = begin(user, password, wrong).end().refused();
        assert!(shown.contains("Nothing was enrolled: the invitation code is not right."));
        assert!(!shown.contains(wrong), "{shown}");
        shown.replace(user, "somebody")
    };
    assert_eq!(refused("alice", "rabbit hole"), refused("bob", "walrus"));
    let mut ssh = begin("alice", "rabbit hole", &invitation);
    let mut phone = Device::totp(&key_in(&ssh.pty().expect(FIRST_CODE_OR_OTHER)));
    finish(ssh.pty(), &mut phone);
    ssh.end().let_in("alice");
    assert!(is_enrolled(&host, "alice") && !is_enrolled(&host, "bob"));
}

#[test]
fn elsewhere_and_for_others_it_is_a_login_like_any_other() {
    let policy = format!("{ANYBODY}enrol_from = [\"192.0.2.0/24\"]\n");
    let host = host(&policy);
    let said = host.run(&["mfa-setup", "check"]).ok();
    assert!(!said.contains("warning"), "{said}");
    host.ssh("alice")
        .from("198.51.100.7")
        .open()
        .answer(PASSWORD, "rabbit hole")
        .answer(CODE, "000000");
    // Enrolled.
    let mut ssh = host.ssh("carol").from("192.0.2.7").open();
    let shown = ssh.answer(PASSWORD, "carpenter").answer(CODE, "000000").end().refused();
    assert!(!shown.contains(NEEDED), "{shown}");
    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer(PASSWORD, "rabbit hole").pty().expect(ENROL);
}

#[test]
fn a_wrong_password_does_not_enrol_where_the_stack_goes_on_behind_it() {
    let stack = "auth required pam_unix.so nodelay\nauth required pam_mfa.so\n\
                 account required pam_permit.so\nsession required pam_permit.so\n";
    let host = started(with_passwords(ANYBODY).pam("sshd", stack));
    let said = host.run(&["mfa-setup", "check"]).ok();
    let warning = "warning: /etc/pam.d/sshd: who gives a wrong password is let pass to pam_mfa.so";
    assert!(said.contains(warning) && said.contains("a \"requisite\""), "{said}");
    let before = host.store();
    let shown = {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "looking glass").answer(CODE, "000000").end().refused()
    };
    assert!(!shown.contains(NEEDED), "{shown}");
    // Nor does a list tell who has enrolled nothing. (Who is unknown sees none: sshd passes on a junk
    // answer in place of theirs.)
    let list = |user: &str| {
        let mut ssh = host.ssh(user).open();
        ssh.answer(PASSWORD, "looking glass").answer(CODE, "?");
        let shown = ssh.pty().expect(WHICH);
        ssh.pty().send_line("phone");
        ssh.answer("Code of \"phone\": ", "000000").end().refused();
        shown.replace(user, "somebody")
    };
    let of_alice = list("alice");
    assert!(of_alice.contains("1  phone (app)"), "{of_alice}");
    assert_eq!(host.store(), before);
    assert_eq!(of_alice, list("carol"));
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole");
    let mut phone = go_to(ssh.pty(), FIRST_CODE_OR_OTHER).unwrap();
    finish(ssh.pty(), &mut phone);
    ssh.end().let_in("alice");
}

#[test]
fn a_code_that_came_with_the_password_answers_none_of_its_questions() {
    let host = started(with_passwords(ANYBODY).pam_example("sshd", "sshd-forward-pass"));
    for typed in ["rabbit hole", "rabbit hole123456"] {
        let mut ssh = host.ssh("alice").methods("keyboard-interactive").open();
        ssh.answer(BOTH, typed);
        let shown = ssh.pty().expect(ENROL);
        assert!(shown.contains(NEEDED), "{shown}");
        ssh.pty().send_line("n");
        ssh.end().refused();
        assert!(!is_enrolled(&host, "alice"));
    }
    let mut ssh = host.ssh("alice").methods("keyboard-interactive").open();
    ssh.answer(BOTH, "rabbit hole");
    let mut phone = go_to(ssh.pty(), FIRST_CODE_OR_OTHER).unwrap();
    finish(ssh.pty(), &mut phone);
    ssh.end().let_in("alice");
}

#[test]
fn a_client_that_can_only_give_a_password_is_refused_and_nothing_changes() {
    let stack = with_passwords(ANYBODY).pam_example("sshd", "sshd").sshd(
        "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAuthenticationMethods any\n",
    );
    let host = started(stack);
    let before = host.store();
    let mut ssh = host.ssh("alice").methods("password").open();
    ssh.answer("password: ", "rabbit hole").end().refused();
    let line = host.wait_for_log("outcome=denied user=\"alice\"");
    assert!(line.contains("reason=declined"), "{line}");
    assert_eq!(host.store(), before);
}

#[test]
fn of_two_enrolments_at_once_one_wins_and_the_other_is_told() {
    let host = host(ANYBODY);
    let mut people = [(); 2].map(|()| {
        let mut ssh = host.ssh("alice").open();
        ssh.answer(PASSWORD, "rabbit hole");
        let mut phone = go_to(ssh.pty(), FIRST_CODE_OR_OTHER).unwrap();
        ssh.pty().send_line(&phone.code());
        let sheet = sheet(ssh.pty());
        (ssh, phone, sheet)
    });
    for (ssh, _, sheet) in &mut people {
        ssh.pty().send_line(&sheet[0]);
    }
    let ends = people.each_mut().map(|(ssh, ..)| ssh.end());
    let won: Vec<bool> = ends.iter().map(|ended| ended.who.is_some()).collect();
    assert!(won == [true, false] || won == [false, true], "{ends:?}");
    let lost = usize::from(won[0]);
    let told = "Nothing was enrolled: the enrolment was changed by somebody else meanwhile.";
    assert!(ends[lost].text.contains(told), "{}", ends[lost].text);
    log_in(&host, &people[lost].2[1]).refused();
    log_in(&host, &people[1 - lost].2[1]).let_in("alice");
}

#[test]
fn a_login_makes_no_store() {
    let host = with_passwords(ANYBODY).pam_example("sshd", "sshd").start();
    host.ssh("alice").open().answer(PASSWORD, "rabbit hole").end().refused();
    let line = host.wait_for_log("outcome=unavailable user=\"alice\"");
    assert!(line.contains("there is no store yet: mfa-setup init makes it"), "{line}");
    assert!(!host.path("/var/lib/pam_mfa/users").exists());
}
