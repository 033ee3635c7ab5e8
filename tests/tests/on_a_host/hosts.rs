//! The ground that the other tests stand on, tested itself: hosts boot, people log in to them, and
//! the application that asks PAM reports what happened.

use mfa_tests::pam::{
    self, Answer, Attempt, Call, DISALLOW_NULL_AUTHTOK, Function, Plan, SILENT, Style, Surroundings,
};
use mfa_tests::{Host, log};

/// sshd with passwords alone, as Debian has it.
const PASSWORD: &str = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n\
                        session required pam_unix.so\n";

#[test]
fn a_password_lets_in_over_ssh_and_a_wrong_one_does_not() {
    let host = Host::new().user("alice", "rabbit hole").pam("sshd", PASSWORD).sshd("").start();

    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer("Password: ", "rabbit hole").end().let_in("alice");
    let line = host.wait_for_log("Accepted keyboard-interactive/pam for alice");
    assert!(line.contains("from 192.0.2.7"), "{line}");
    assert!(host.log().iter().any(|r| r.text == line && r.facility == log::AUTHPRIV - 6), "auth");

    let mut ssh = host.ssh("alice").open();
    let shown = ssh.answer("Password: ", "looking glass").end().refused();
    assert!(!shown.contains("looking glass"), "the terminal shows what is hidden: {shown}");
}

#[test]
fn a_key_lets_in_over_ssh_also_over_ipv6() {
    let host = Host::new().user("alice", "rabbit hole").pam("sshd", PASSWORD).sshd("").start();
    host.make_key("alice");
    host.ssh("alice").key().from("2001:db8::7").open().end().let_in("alice");
    host.wait_for_log("Accepted publickey for alice from 2001:db8::7");
}

#[test]
fn hosts_are_apart_from_each_other_and_from_the_machine() {
    let (one, other) = (Host::new().user("alice", "x").start(), Host::new().start());
    one.write("/etc/mark", "one");
    assert!(!other.path("/etc/mark").exists());
    assert_eq!(one.run(&["id", "-un", "1000"]).ok(), "alice\n");
    assert_ne!(other.run(&["id", "-un", "1000"]).code, Some(0));
    assert_eq!(one.run(&["hostname"]).ok(), "testhost\n");
    assert_eq!(one.run_as("alice", &["id", "-un"]).ok(), "alice\n");
    assert_eq!(
        one.shell("ls /sys/class 2>/dev/null | wc -l; ls /work /home/nobody 2>&1 | wc -l")
            .lines()
            .next(),
        Some("0")
    );
}

#[test]
fn a_host_leaves_nothing_behind() {
    let host = Host::new().start();
    let mut sleeper = host.pty(&["sh", "-c", "echo pid $$; exec sleep 1000"]);
    sleeper.expect("pid ");
    drop(host);
    let (code, _) = sleeper.end();
    assert_ne!(code, Some(0), "it was ended with its host");
}

#[test]
fn a_terminal_of_the_host_has_a_name_there() {
    let host = Host::new().start();
    let mut tty = host.terminal("tty; read -r word; echo \"said $word\"; exit 3");
    tty.expect("/dev/pts/");
    tty.send_line("hello");
    tty.expect("said hello");
    assert_eq!(tty.end().0, Some(3));
}

#[test]
fn the_application_reports_what_libpam_returned() {
    let host = Host::new()
        .pam("permit", "auth required pam_permit.so\naccount required pam_permit.so\n")
        .pam("deny", "auth required pam_deny.so\n")
        .start();
    let permitted = Attempt::new("permit", "root").run(&host);
    assert_eq!(permitted.code(), "PAM_SUCCESS");
    assert_eq!(permitted.user.as_deref(), Some("root"));
    assert!(permitted.changed.is_empty(), "{:?}", permitted.changed);
    assert_eq!(Attempt::new("deny", "root").run(&host).code(), "PAM_AUTH_ERR");

    let calls = [
        Call::authenticate().flags(SILENT | DISALLOW_NULL_AUTHTOK),
        Call::new(Function::SetItem(2, Some("alice".into()))),
        Call::new(Function::AcctMgmt).in_child(),
    ];
    let report = Attempt::new("permit", "root").calls(calls).run(&host);
    assert_eq!(report.returned, ["PAM_SUCCESS"; 3]);
    assert_eq!(report.user.as_deref(), Some("alice"));
}

#[test]
fn the_application_answers_as_it_is_told() {
    let host = Host::new().user("alice", "rabbit hole").pam("ask", PASSWORD).start();
    let attempt = || Attempt::new("ask", "alice");
    let right = attempt().answer("rabbit hole").run(&host);
    assert_eq!(right.code(), "PAM_SUCCESS");
    assert_eq!(right.asked(), ["Password: "]);
    assert_eq!(right.shown[0].style, Style::Hidden);
    let wrong = attempt().answer("looking glass").from("192.0.2.7").run(&host);
    assert_eq!(wrong.code(), "PAM_AUTH_ERR");
    host.wait_for_log("rhost=192.0.2.7");
    assert_ne!(attempt().answer(Answer::Null).run(&host).code(), "PAM_SUCCESS");
    assert_ne!(attempt().answer(Answer::Fail(26)).run(&host).code(), "PAM_SUCCESS");
    assert_ne!(attempt().run(&host).code(), "PAM_SUCCESS");
    host.write(
        "/etc/pam.d/slow",
        format!("{PASSWORD}auth required pam_exec.so /usr/bin/sleep 60\n"),
    );
    let dies = Answer::SayAndDie("rabbit hole".into(), 1000);
    let dead = Attempt::new("slow", "alice").answer(dies).in_child().run(&host);
    assert_eq!(dead.code(), "died");
}

#[test]
fn sixty_four_applications_wait_at_their_prompts_together() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        // Writes a line before and after the question; all of the first must come first.
        .pam(
            "ask",
            "auth required pam_exec.so quiet /usr/bin/mark asks\nauth required pam_unix.so nodelay\n\
                     auth required pam_exec.so quiet /usr/bin/mark answered\n",
        )
        .file_with_mode("/usr/bin/mark", "#!/bin/sh\necho \"$1\" >> /marks\n", 0o755)
        .start();
    let one = Attempt::new("ask", "alice").answer("rabbit hole").wait_at(0);
    let reports = pam::run(&host, &Plan { race: true, attempts: vec![one; 64], ..Plan::default() });
    assert!(reports.iter().all(|report| report.code() == "PAM_SUCCESS"), "{reports:?}");
    let marks = host.read("/marks");
    assert_eq!(marks, "asks\n".repeat(64) + &"answered\n".repeat(64));
}

#[test]
fn an_application_waits_at_its_prompt_until_it_is_let_go() {
    let host = Host::new().user("alice", "rabbit hole").pam("ask", PASSWORD).start();
    let mut waiting =
        pam::start(&host, Attempt::new("ask", "alice").answer("rabbit hole").wait_at(0));
    waiting.wait_for_prompt();
    waiting.go();
    assert_eq!(waiting.finish().code(), "PAM_SUCCESS");

    let mut cut = pam::start(&host, Attempt::new("ask", "alice").wait_at(0));
    cut.wait_for_prompt();
    cut.cut();
}

#[test]
fn the_application_sees_what_a_module_changes() {
    // pam_umask changes the umask of the application, which is its purpose.
    let host = Host::new()
        .pam("umask", "auth required pam_permit.so\nsession required pam_umask.so umask=077\n")
        .start();
    let session = Call::new(Function::OpenSession);
    let report = Attempt::new("umask", "root").calls([Call::authenticate(), session]).run(&host);
    let changed: Vec<_> = report.changed.keys().collect();
    assert_eq!(changed, ["umask"], "{:?}", report.changed);
}

#[test]
fn the_surroundings_are_as_they_were_wished_for() {
    let host = Host::new()
        .pam("permit", "auth required pam_permit.so\n")
        .pam("look", "auth optional pam_exec.so quiet seteuid /usr/bin/look\nauth required pam_permit.so\n")
        .file_with_mode("/usr/bin/look", "#!/bin/sh\nexec >/look 2>&1\ngrep -E 'Umask|SigIgn|NoNew|Uid' /proc/$PPID/status\n\
                                      ls -l /proc/$PPID/cwd; ls /proc/$PPID/fd; grep 'open files' /proc/$PPID/limits\n", 0o755)
        .start();
    let plan = Plan {
        surroundings: Surroundings {
            umask: Some(0o7),
            closed: vec![0, 1, 2],
            deleted_directory: true,
            no_new_privs: true,
            limits: vec![("nofile".to_owned(), 100)],
            ignored: vec![10],
            real_uid: Some(1000),
            ..Surroundings::default()
        },
        attempts: vec![Attempt::new("permit", "root"), Attempt::new("permit", "root").in_child()],
        ..Plan::default()
    };
    let reports = pam::run(&host, &plan);
    assert!(reports.iter().all(|report| report.code() == "PAM_SUCCESS"), "{reports:?}");
    let look = Plan { attempts: vec![Attempt::new("look", "root")], ..plan };
    pam::run(&host, &look);
    let seen = host.read("/look");
    for wanted in ["Umask:\t0007", "NoNewPrivs:\t1", "Uid:\t1000\t0\t0", "(deleted)", "100 "] {
        assert!(seen.contains(wanted), "{wanted} is not in {seen}");
    }
}

#[test]
fn threads_ask_side_by_side() {
    let host = Host::new().pam("permit", "auth required pam_permit.so\n").start();
    let attempts = vec![Attempt::new("permit", "root"); 16];
    let reports = pam::run(&host, &Plan { threads: true, attempts, ..Plan::default() });
    assert!(
        reports.iter().all(|report| report.code() == "PAM_SUCCESS" && report.changed.is_empty())
    );
}
