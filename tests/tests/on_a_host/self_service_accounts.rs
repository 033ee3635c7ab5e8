//! Self-service with accounts of every kind, under every policy, and in stacks of every kind.

use mfa_tests::cache;
use mfa_tests::clock::{self, VERIFIER};
use mfa_tests::directory::{CAROL, SHORT, UID};
use mfa_tests::person::{self, CODE, LABEL, OWN_CODE, PASSWORD};
use mfa_tests::{Backup, Host, Person, Running, USED};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";
const INVITATION: &str = "Invitation code: ";
const INVITATION_OR_PASSWORD: &str = "Invitation code, or nothing to give the password: ";

/// Logins with a password and a code.
fn with_passwords() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
}

fn alice(host: &Running) -> Person<'_> {
    Person::new(host, "alice", "rabbit hole")
}

fn invite(host: &Running, options: &[&str]) -> String {
    let argv = [&["mfa-setup", "invite", "alice", "--json"], options].concat();
    host.run(&argv).json()["code"].as_str().unwrap().to_owned()
}

/// `mfa-setup` of who is refused after that answer to that question.
#[track_caller]
fn refused(alice: &Person, question: &str, answer: &str, told: &str) {
    let mut tty = alice.setup(&[]);
    tty.expect(question);
    tty.send_line(answer);
    tty.expect(&format!("mfa-setup: error: {told}"));
    tty.expect("mfa-setup: hint: ");
    tty.expect("exit 1, terminal as before");
}

#[test]
fn who_has_no_password_enrols_by_an_invitation() {
    let host = Host::new()
        .user_without_password("alice")
        .config(REQUIRED)
        .pam_example("sshd", "sshd-key")
        .sshd_example("pam_mfa-key.conf")
        .bind(cache::program("verifier-at"), VERIFIER)
        .start();
    let _listener = host.listen_for_users();
    host.make_key("alice");
    let alice = alice(&host);
    // Nothing is known to be the password of an account with `*` for its hash.
    for password in ["", "*", "alice"] {
        refused(&alice, PASSWORD, password, "PAM did not accept the password");
    }
    let mut tty = alice.setup_with_password(&[]);
    tty.expect("ask the administrator for: mfa-setup invite alice");
    assert_eq!(person::exit(&mut tty), 1);

    // Two days ago, for one day.
    let now = host.shell("date +%s").trim().parse::<u64>().unwrap();
    host.set_clock(now - 2 * 86_400);
    let late = invite(&host, &["--verifier", VERIFIER]);
    assert!(host.path(clock::CLOCK).exists());
    refused(&alice, PASSWORD, &late, "PAM did not accept the password");

    let replaced = invite(&host, &[]);
    let invitation = invite(&host, &["--for", "30m"]);
    for wrong in [&replaced, &late, "ABCDE-FGHJK-MNPQR"] {
        refused(&alice, INVITATION_OR_PASSWORD, wrong, "the invitation code is not right");
    }
    refused(&alice, INVITATION_OR_PASSWORD, "123456", "that is no invitation code");
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line("");
    tty.expect(PASSWORD);
    tty.send_line("");
    assert_eq!(person::exit(&mut tty), 1);

    // Who gives up has not used it.
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line(&invitation);
    tty.expect(LABEL);
    tty.send("\x03");
    assert_eq!(person::exit(&mut tty), 130);
    // As it is read aloud.
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line(&invitation.to_uppercase().replace('-', " "));
    let mut enrolled = alice.enrol_at(&mut tty);
    let log_in = |code: &str| {
        host.ssh("alice").key().open().answer(CODE, code).end().let_in("alice");
    };
    log_in(&enrolled.device.code());
    log_in(&enrolled.backup.code());

    refused(&alice, PASSWORD, &invitation, "PAM did not accept the password");
    // A second device takes another one, and a code.
    let invitation = invite(&host, &[]);
    let mut tty = alice.setup(&["add", "totp", "--label", "tablet"]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line(&invitation);
    tty.expect(OWN_CODE);
    tty.send_line(&enrolled.backup.code());
    let mut tablet = person::app(&mut tty);
    tty.send_line(&tablet.code());
    assert_eq!(person::exit(&mut tty), 0);
    log_in(&tablet.code());
}

#[test]
fn where_policy_wants_invitations_a_password_is_not_asked_for() {
    let invite_only = format!("{REQUIRED}[self_service]\nreauth = \"invite\"\n");
    let host = with_passwords().config(&invite_only).start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let uninvited = |command: &[&str]| {
        let mut tty = alice.setup(command);
        tty.expect("mfa-setup: error: this needs an invitation");
        tty.expect("mfa-setup: hint: ask the administrator for: mfa-setup invite alice");
        tty.expect("exit 4, terminal as before");
        assert!(!tty.text().contains(PASSWORD));
    };
    uninvited(&[]);
    let invitation = invite(&host, &[]);
    refused(&alice, INVITATION, "", "that is no invitation code");
    refused(&alice, INVITATION, "rabbit hole", "that is no invitation code");
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION);
    tty.send_line(&invitation);
    let mut enrolled = alice.enrol_at(&mut tty);
    alice.log_in(&enrolled.device.code());
    uninvited(&["codes", "new", "--yes"]);
    uninvited(&["remove", "phone", "--yes"]);

    let invitation = invite(&host, &[]);
    let new_codes = |code: &str| {
        let mut tty = alice.setup(&["codes", "new", "--yes"]);
        tty.expect(INVITATION);
        tty.send_line(&invitation);
        tty.expect(OWN_CODE);
        tty.send_line(code);
        (person::exit(&mut tty), tty.text())
    };
    assert_eq!(new_codes(&enrolled.device.wrong_code()).0, 1);
    let (code, shown) = new_codes(&enrolled.backup.code());
    assert_eq!(code, 0, "{shown}");
    let mut backup = Backup { codes: person::numbered(&shown) };
    alice.log_in(&backup.code());
    uninvited(&["codes", "new", "--yes"]);
}

#[test]
fn an_account_that_may_not_be_used_may_not_be_enrolled() {
    let host = with_passwords().start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let by_password = |told: &str| refused(&alice, PASSWORD, "rabbit hole", told);

    host.shell("usermod -L alice");
    by_password("PAM did not accept the password");
    host.shell("usermod -U alice; chage -E 0 alice");
    by_password("PAM does not let this account be used");
    let invitation = invite(&host, &[]);
    let told = "PAM does not let this account be used";
    refused(&alice, INVITATION_OR_PASSWORD, &invitation, told);
    host.shell("chage -E -1 -d 0 alice");
    let told = "the password must be changed first";
    refused(&alice, INVITATION_OR_PASSWORD, &invitation, told);
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line("");
    tty.expect(PASSWORD);
    tty.send_line("rabbit hole");
    tty.expect(&format!("mfa-setup: error: {told}"));
    tty.expect("mfa-setup: hint: change it with: passwd");
    assert_eq!(person::exit(&mut tty), 1);
    assert_eq!(alice.status()["enrolled"], false);

    host.shell("chage -d 20000 alice");
    let mut tty = alice.setup(&[]);
    tty.expect(INVITATION_OR_PASSWORD);
    tty.send_line("");
    tty.expect(PASSWORD);
    tty.send_line("rabbit hole");
    let mut enrolled = alice.enrol_at(&mut tty);
    alice.log_in(&enrolled.device.code());
}

#[test]
fn a_user_of_a_directory_has_one_factor_under_both_names() {
    let host = with_passwords().directory("looking glass").start();
    host.shell(&format!("install -d -o {UID} -g {UID} /home/carol"));
    assert!(host.run(&["getent", "passwd", SHORT]).ok().starts_with(CAROL));
    let _listener = host.listen_for_users();
    let carol = Person::by_ids(&host, CAROL, "looking glass", UID, UID);
    let mut enrolled = carol.enrol();
    for name in [CAROL, SHORT] {
        let status = carol.run(&["mfa-setup", "status", "--json", "--user", name]).json();
        assert_eq!((&status["user"], &status["uid"]), (&CAROL.into(), &5000.into()));
    }
    let log_in = |name: &str, code: &str| {
        let mut ssh = host.ssh(name).open();
        ssh.answer(PASSWORD, "looking glass").answer(CODE, code).end()
    };
    let code = enrolled.device.code();
    log_in(SHORT, &code).let_in(CAROL);
    // It is one record: what was used by the one name is used by the other.
    for name in [CAROL, SHORT] {
        assert!(log_in(name, &code).refused().contains(USED));
    }
    let code = enrolled.backup.code();
    log_in(CAROL, &code).let_in(CAROL);
    log_in(SHORT, &code).refused();
    log_in(SHORT, &enrolled.backup.code()).let_in(CAROL);
    carol.change(&["remove", "phone", "--yes"], &enrolled.backup.code());
    assert_eq!(carol.status()["enrolled"], false);
    // The other way round: root says the short name.
    let enrolled = host.enrol(SHORT);
    log_in(CAROL, &enrolled.device.clone().code()).let_in(CAROL);
    assert_eq!(carol.devices(), ["phone*"]);
}

#[test]
fn with_the_module_in_common_auth_a_person_enrols_without_a_code_and_logs_in_with_one() {
    let common_auth = "auth [success=1 default=ignore] pam_unix.so nodelay\n\
                       auth requisite pam_deny.so\n\
                       auth required pam_permit.so\n\
                       auth required pam_mfa.so\n";
    let stack = "@include common-auth\n@include common-account\n@include common-session\n";
    let host = with_passwords().pam("sshd", stack).pam("common-auth", common_auth).start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let mut enrolled = alice.enrol();
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &enrolled.device.wrong_code());
    ssh.end().refused();
    alice.log_in(&enrolled.device.code());
    // Who is enrolled is asked for a code once: by the verifier, and not by the module as well.
    let mut tty = alice.setup_with_password(&["codes", "new", "--yes"]);
    tty.expect(OWN_CODE);
    tty.send_line(&enrolled.backup.code());
    let shown = tty.expect("exit 0, terminal as before");
    assert!(!tty.text().contains(CODE), "{}", tty.text());
    alice.log_in(&Backup { codes: person::numbered(&shown) }.code());
    host.wait_for_log("outcome=exempt user=\"alice\" uid=1000 service=mfa-setup");
}

/// A reader of fingers says what to do, asks nothing, and waits longer than a face does for a verifier
/// that says nothing.
#[test]
fn a_module_that_waits_for_a_person_without_a_question_is_waited_for() {
    let stack = "auth optional pam_echo.so Touch the reader\n\
                 auth required pam_exec.so quiet /bin/sleep 13\n\
                 auth requisite pam_unix.so nodelay\n\
                 account required pam_unix.so\n";
    let host = with_passwords().pam("mfa-setup", stack).start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let mut tty = alice.setup(&[]);
    tty.expect("Touch the reader");
    tty.expect(PASSWORD);
    tty.send_line("rabbit hole");
    tty.expect(LABEL);
}

#[test]
fn policy_says_what_users_may_change_themselves() {
    let host = with_passwords().start();
    let _listener = host.listen_for_users();
    let alice = alice(&host);
    let allow = |what: &str| {
        let policy = format!("{REQUIRED}[self_service]\nallow = \"{what}\"\n");
        host.write("/etc/pam_mfa/config.toml", policy);
    };
    let not_permitted = |command: &[&str], told: &str| {
        let mut tty = alice.setup(command);
        tty.expect(&format!("mfa-setup: error: {told}"));
        tty.expect("mfa-setup: hint: ask the administrator");
        tty.expect("exit 4, terminal as before");
        assert!(!tty.text().contains(PASSWORD), "{}", tty.text());
    };
    let changes: [&[&str]; 6] = [
        &[],
        &["add", "hotp"],
        &["codes", "new", "--yes"],
        &["default", "phone"],
        &["remove", "phone", "--yes"],
        &["test", "phone", "--resync"],
    ];
    allow("none");
    for change in &changes {
        not_permitted(change, "users do not change their own second factors on this host");
    }
    assert_eq!(alice.status()["enrolled"], false);
    allow("first");
    let mut enrolled = alice.enrol();
    alice.log_in(&enrolled.device.code());
    for change in &changes {
        not_permitted(change, "users do not change what they have enrolled on this host");
    }
    assert_eq!(alice.devices(), ["phone*"]);
    allow("none");
    for change in &changes {
        not_permitted(change, "users do not change their own second factors on this host");
    }
    // To look is allowed, and so is to try a code.
    assert_eq!(alice.status()["backup_codes_left"], 10);
    assert!(alice.run(&["mfa-setup", "codes"]).ok().contains("10 of 10 left"));
    let mut tty = alice.setup(&["test"]);
    tty.expect(CODE);
    tty.send_line(&enrolled.backup.code());
    assert_eq!(person::exit(&mut tty), 0);
    allow("all");
    alice.change(&["remove", "phone", "--yes"], &enrolled.backup.code());
    assert_eq!(alice.status()["enrolled"], false);
    allow("some");
    let said = alice.run(&["mfa-setup", "status"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("config.toml"), "{said:?}");
}

#[test]
fn without_a_verifier_for_users_the_person_learns_what_is_missing() {
    let host = with_passwords()
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(root) NOPASSWD: ALL\n", 0o440)
        .start();
    let alice = alice(&host);
    let missing = |why: &str| {
        let said = alice.run(&["mfa-setup", "status"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said:?}");
        let error = "mfa-setup: error: the verifier for users, /run/pam_mfa/user.sock, \
                     cannot be reached: ";
        assert!(said.stderr.starts_with(&format!("{error}{why}")), "{said:?}");
        assert!(said.stderr.contains("systemctl enable --now mfa-verifier-users.service"));
        assert!(said.stderr.contains("mfa-verifier --listen-users"), "{said:?}");
    };
    missing("ENOENT");
    let mut tty = alice.setup(&[]);
    tty.expect("mfa-setup: error: the verifier for users");
    tty.expect("exit 3, terminal as before");
    let listener = host.listen_for_users();
    assert_eq!(alice.status()["enrolled"], false);
    assert_eq!(listener.stop(), Some(0));
    missing("ENOENT");
    // What a user puts there is not root's.
    host.shell("install -d -o alice /run/pam_mfa");
    let planted =
        "my $s = IO::Socket::UNIX->new(Local => q(/run/pam_mfa/user.sock), Listen => 9) or die;
                   $| = 1; print qq(listening\\n); sleep";
    let mut planted = host.pty(&alice.argv(&["perl", "-MIO::Socket::UNIX", "-e", planted]));
    planted.expect("listening");
    missing("uid 1000 listens there, not root");

    let said = alice.run(&["sudo", "-n", "mfa-setup", "status"]);
    let hint = "this is root's own enrolment; use --user NAME for another user";
    assert!(said.stderr.contains(hint), "{said:?}");
    assert!(said.ok().contains("root (uid 0)"));
    // This is about nobody's record.
    let said = alice.run(&["sudo", "-n", "mfa-setup", "check"]);
    assert!(!said.stderr.contains(hint), "{said:?}");
    said.ok();
}

#[test]
fn without_a_name_or_the_pam_service_nobody_is_served_and_both_are_named() {
    let host = with_passwords().start();
    let _listener = host.listen_for_users();
    let nameless = Person::by_ids(&host, "", "", "4321", "4321");
    let said = nameless.run(&["mfa-setup", "status"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said:?}");
    assert!(said.stderr.contains("mfa-setup: error: the caller's uid has no name"), "{said:?}");
    assert!(said.stderr.contains("mfa-setup: hint: look at: getent passwd"), "{said:?}");

    host.shell("rm /etc/pam.d/mfa-setup");
    // On some hosts `other` permits everything.
    host.write("/etc/pam.d/other", "auth required pam_permit.so\naccount required pam_permit.so\n");
    let mut tty = alice(&host).setup(&[]);
    tty.expect("mfa-setup: error: the PAM service mfa-setup is missing");
    tty.expect("mfa-setup: hint: ");
    assert_eq!(person::exit(&mut tty), 3);
    assert!(!tty.text().contains(LABEL));
}
