//! Users of the host who mean no good, at the socket that is there for everybody: what they claim,
//! what they ask for, and what they do to the verifiers that serve them.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mfa_protocol::message::{
    Action, FailureKind, FromFace, LoginRequest, NewDevice, Reply, Request, ToFace, Verdict,
};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{Answer, frame};
use mfa_tests::Running;
use mfa_tests::host::as_user;
use mfa_tests::listener::{PER_USER, USER_SOCKET};
use mfa_tests::pam::{self, Attempt};
use mfa_tests::peer::{Peer, host_with_peers};
use mfa_tests::person::{self, CODE, PASSWORD};
use mfa_tests::requests::{bytes_of, login, manage, new_device};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

#[test]
fn nothing_that_a_user_claims_about_a_login_is_believed() {
    let host = host_with_peers(REQUIRED).start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let claim = |number: u8| LoginRequest {
        service: ["sshd", "sudo", "mfa-setup", "login", "\n\u{1b}[2J"][usize::from(number)]
            .to_owned(),
        rhost: Some(format!("192.0.2.{number}")),
        tty: Some("ssh".to_owned()),
        ruser: Some("root".to_owned()),
        ssh_auth_info: Some("publickey ssh-ed25519 AAAAC3Nza\n".to_owned()),
        password_given: true,
        debug: true,
        ..login("alice")
    };
    for number in 0..5 {
        let request = Request::Login(Box::new(claim(number)));
        let (reply, asked) = peer.ask(&request, &[&token.wrong_code()]);
        assert!(matches!(reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Denied));
        assert_eq!(asked, [CODE]);
    }
    let lines = host.logged_by_now("reason=wrong_code");
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in &lines {
        assert!(line.contains("user=\"alice\" uid=1000 service=unprivileged "), "{line}");
        for claimed in ["192.0.2.", "tty=ssh", "root", "publickey", "sshd", "[2J"] {
            assert!(!line.contains(claimed), "{claimed} in {line}");
        }
    }
    assert!(host.logged_by_now("debug").is_empty());
    // All of it was charged to this host: here she waits, and from where she claimed to be she does not.
    let (reply, _) = peer.ask(&Request::Login(Box::new(claim(0))), &[&token.code()]);
    assert!(
        matches!(&reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Locked),
        "{reply:?}"
    );
    let local = Attempt::new("login", "alice").answer(token.code()).run(&host);
    assert_eq!(local.code(), "PAM_AUTH_ERR");
    host.wait_for_log("outcome=locked user=\"alice\" uid=1000 service=login");
    let remote = Attempt::new("login", "alice").from("192.0.2.1").answer(token.code()).run(&host);
    assert_eq!(remote.code(), "PAM_SUCCESS", "{remote:?}");
}

#[test]
fn every_request_about_somebody_else_is_refused_and_changes_nothing() {
    let host = host_with_peers(REQUIRED).start();
    let mut token = host.enrol_with("bob", &["hotp", "--label", "phone"]).device;
    host.enrol_with("alice", &["hotp", "--label", "phone"]);
    let listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let before = host.store();
    let phone = || "phone".to_owned();
    let roots = || {
        vec![
            Action::ShowKey { label: phone() },
            Action::Unlock,
            Action::Reset,
            Action::Invite { lifetime: 3600 },
            Action::Add(Box::new(new_device(false))),
            Action::Add(Box::new(NewDevice {
                secret: Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into()),
                ..new_device(true)
            })),
        ]
    };
    let mut all = roots();
    all.extend([
        Action::Add(Box::new(new_device(true))),
        Action::Status,
        Action::Remove { label: phone() },
        Action::MakeDefault { label: phone() },
        Action::Codes,
        Action::NewCodes,
        Action::Resync { label: phone() },
    ]);
    let refused = |peer: &mut Peer, request: Request| match peer.ask(&request, &[]) {
        (Reply::Failed(failure), asked) => {
            assert_eq!(
                (failure.kind, &asked[..]),
                (FailureKind::NotPermitted, &[][..]),
                "{request:?}"
            );
            failure
        }
        (other, _) => panic!("{request:?}: {other:?}"),
    };
    for action in &all {
        let of = |user| manage(Some(user), action.clone());
        let failures = ["bob", "root", "nobody-at-all", "../1001", ""]
            .map(|user| refused(&mut peer, of(user)));
        assert!(failures.iter().all(|failure| *failure == failures[0]), "{failures:?}");
    }
    for action in roots() {
        for user in [None, Some("alice")] {
            refused(&mut peer, manage(user, action.clone()));
        }
    }
    // A login as somebody else: nobody is asked anything.
    for user in ["bob", "root", "nobody-at-all", "../1001", ""] {
        let (reply, asked) = peer.ask(&Request::Login(Box::new(login(user))), &["123456"]);
        let denied =
            matches!(&reply, Reply::Outcome(o) if o.verdict == Verdict::Denied && o.user.is_none());
        assert!(denied && asked.is_empty(), "{user}: {reply:?} {asked:?}");
    }
    assert_eq!(host.store(), before);
    assert_eq!(host.logged_by_now("another user's record was asked for").len(), all.len() * 5 + 5);

    // A connection is its maker's, whoever uses it: here the test itself, which is root.
    let (reply, _) = host.peer("bob").ask(&manage(None, Action::Status), &[]);
    assert!(matches!(reply, Reply::Status(status) if status.user == "bob" && status.failures == 0));
    let report = Attempt::new("login", "bob").answer(token.code()).run(&host);
    assert_eq!(report.code(), "PAM_SUCCESS");
    assert_eq!(listener.stop(), Some(0));
}

#[test]
fn no_claim_exempts_from_what_policy_asks() {
    for (mode, enrolled, expected) in [
        ("required", false, Verdict::Denied),
        ("required", true, Verdict::Denied),
        ("optional", true, Verdict::Denied),
        // What root lets everybody do here.
        ("optional", false, Verdict::Exempt),
        ("off", true, Verdict::Exempt),
    ] {
        let host = host_with_peers(&format!("[policy]\nmode = \"{mode}\"\n")).start();
        if enrolled {
            host.enrol_with("alice", &["hotp"]);
        } else {
            host.enrol_with("bob", &["hotp"]);
        }
        let _listener = host.listen_for_users();
        let mut peer = host.peer("alice");
        for service in ["mfa-setup", "unprivileged", "", "sshd", "cron"] {
            let request = LoginRequest {
                service: service.to_owned(),
                password_given: true,
                ..login("alice")
            };
            let (reply, asked) = peer.ask(&Request::Login(Box::new(request)), &["123456"]);
            let Reply::Outcome(outcome) = reply else { panic!("{reply:?}") };
            assert_eq!(outcome.verdict, expected, "{mode}, enrolled: {enrolled}, {service}");
            assert_eq!(asked.len(), usize::from(expected == Verdict::Denied), "{mode} {service}");
        }
    }
}

#[test]
fn the_user_who_is_served_has_no_hold_on_the_verifier() {
    let host = host_with_peers(REQUIRED).start();
    let listener = host.listen_for_users();
    // Whatever is hers when she asks: limits, priority, ignored signals, umask, environment.
    let script = "trap '' HUP INT QUIT TERM USR1 CHLD; umask 0; cd /home/alice
                  renice -n 19 $$ >/dev/null; ulimit -S -f 0; ulimit -S -c unlimited
                  export LD_DEBUG_OUTPUT=/home/alice/heeded; exec 7</etc/passwd; exec mfa-setup";
    let mut tty = host.pty(&as_user("alice", &["sh", "-c", script]));
    tty.expect(PASSWORD);
    let all = listener.verifiers();
    let [verifier] = &all[..] else { panic!("{all:?}") };
    let reauth = host.shell("pgrep -x mfa-reauth").trim().to_owned();
    for (pid, name) in [(verifier, "mfa-verifier"), (&reauth, "mfa-reauth")] {
        let proc = |what: &str| format!("/proc/{pid}/{what}");
        let status = host.read(proc("status"));
        for line in
            ["Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Umask:\t0077", "SigBlk:\t0000000000000000"]
        {
            assert!(status.contains(line), "{name}: {line} is not in {status}");
        }
        assert_eq!(host.shell(&format!("ps -o ni= -p {pid}")).trim(), "0", "{name}");
        assert_eq!(host.read(proc("environ")), "", "{name}");
        assert_eq!(host.shell(&format!("readlink {}", proc("cwd"))), "/\n", "{name}");
        let limits = host.read(proc("limits"));
        let unlimited = limits.lines().find(|line| line.starts_with("Max file size")).unwrap();
        assert!(unlimited.contains("unlimited"), "{name}: {unlimited}");
        host.denies_any_hold_on(pid, "alice");
    }
    for argv in [
        &["cat", "/run/pam_mfa/users.lock"][..],
        &["flock", "/run/pam_mfa/users.lock", "true"],
        &["flock", "/run/pam_mfa/made", "true"],
        &["rm", "-f", USER_SOCKET],
    ] {
        host.denies("alice", argv);
    }
    tty.send_line("rabbit hole");
    person::answer_enrolment(&mut tty);
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
}

#[test]
fn root_of_a_users_own_namespace_is_not_root() {
    let host = host_with_peers(REQUIRED).start();
    host.enrol_with("alice", &["hotp", "--label", "phone"]);
    host.enrol_with("bob", &["hotp", "--label", "phone"]);
    let _listener = host.listen_for_users();
    let before = host.store();
    let as_its_root = |argv: &[&str]| {
        host.run_as("alice", &[&["unshare", "--user", "--map-root-user", "--"], argv].concat())
    };
    assert_eq!(as_its_root(&["id", "-u"]).ok(), "0\n");
    for argv in [
        &["mfa-setup", "status", "--user", "bob"][..],
        &["mfa-setup", "show-key", "phone", "--user", "alice"],
        &["mfa-setup", "reset", "--user", "bob", "--yes"],
        &["mfa-setup", "status", "--user", "bob", "--socket", USER_SOCKET],
        &["mfa-setup", "show-key", "phone", "--socket", USER_SOCKET],
    ] {
        let output = as_its_root(argv);
        assert!(
            matches!(output.code, Some(3 | 4)) && output.stdout.is_empty(),
            "{argv:?}: {output:?}"
        );
    }
    assert_eq!(host.store(), before);
}

#[test]
fn spawned_verifiers_and_those_of_the_socket_share_one_budget() {
    const OF_ROOT: usize = 12;
    let host = host_with_peers(REQUIRED).start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let wrong = token.wrong_code();
    race(&host, &mut peer, OF_ROOT, &wrong);
    let compared = host.logged_by_now("reason=wrong_code");
    // [lockout] per_source = 5
    assert_eq!(compared.len(), 5, "{compared:#?}");
    assert_eq!(host.logged_by_now("outcome=locked").len(), OF_ROOT + PER_USER - 5);
    let status = host.status_of("alice").json();
    assert_eq!(status["lockout"]["failures"], 5, "{status}");
    host.run(&["mfa-setup", "unlock", "--user", "alice"]).ok();

    for _ in 0..5 {
        let code = token.code();
        assert_eq!(race(&host, &mut peer, 4, &code), 1, "one code lets in once");
    }
}

/// Lets a code be given at as many prompts at once as one user may have, and at more of root's:
/// how often it was right.
fn race(host: &Running, peer: &mut Peer, of_root: usize, code: &str) -> usize {
    let bound = Duration::from_secs(12);
    let mut applications: Vec<_> = (0..of_root)
        .map(|_| pam::start(host, Attempt::new("login", "alice").answer(code).wait_at(0)))
        .collect();
    let streams: Vec<_> = (0..PER_USER)
        .map(|_| {
            let mut stream = peer.connect();
            stream.write_all(&bytes_of(&Request::Login(Box::new(login("alice"))))).unwrap();
            stream
        })
        .collect();
    for application in &mut applications {
        application.wait_for_prompt();
    }
    for stream in &streams {
        let asked = decode(&frame::receive(stream, bound).unwrap()).unwrap();
        assert!(matches!(asked, ToFace::Ask(_)), "{asked:?}");
    }
    let answer = encode(&FromFace::Answer(Answer::Text(code.into()))).unwrap();
    for at in 0..of_root.max(PER_USER) {
        if let Some(application) = applications.get_mut(at) {
            application.go();
        }
        if let Some(stream) = streams.get(at) {
            frame::transmit(stream, &answer, bound).unwrap();
        }
    }
    let granted = |stream: &UnixStream| {
        loop {
            match decode(&frame::receive(stream, bound).unwrap()).unwrap() {
                ToFace::Done(reply) => {
                    return matches!(*reply, Reply::Outcome(outcome) if outcome.verdict == Verdict::Granted);
                }
                ToFace::Tell(..) | ToFace::Wait => {}
                ToFace::Ask(prompt) => panic!("{prompt:?}"),
            }
        }
    };
    let of_user = streams.iter().filter(|stream| granted(stream)).count();
    let reports = applications.into_iter().map(pam::Application::finish);
    of_user + reports.filter(|report| report.code() == "PAM_SUCCESS").count()
}
