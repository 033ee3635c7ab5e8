//! The module as applications and service files use it: its arguments, its functions, the
//! conversation, the items that a host sets.

use std::collections::BTreeSet;
use std::fmt::Write;

use mfa_tests::USED;
use mfa_tests::cache;
use mfa_tests::clock::next_second;
use mfa_tests::host::{PAM_CLIENT, as_user};
use mfa_tests::log::AUTHPRIV;
use mfa_tests::pam::{
    self, Answer, Attempt, Call, DELETE_CRED, DISALLOW_NULL_AUTHTOK, ESTABLISH_CRED, Function,
    IGNORED, Plan, Report, SILENT, Shown, Style, Text, exact,
};
use mfa_tests::{Device, Host, Pty, Running};

const CODE: &str = "Verification code: ";
const UNAVAILABLE: &str = "PAM_AUTHINFO_UNAVAIL";
const FAULTY: &str = "/usr/local/bin/faulty-verifier";
const DEFAULT_SOCKET: &str = "/run/pam_mfa/root.sock";

fn policy(mode: &str) -> String {
    format!("[policy]\nmode = \"{mode}\"\n[lockout]\nper_source = 100\nper_user = 100\n")
}

/// Alice is enrolled, Bob is not; everybody must give a code.
fn host() -> (Running, Device) {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(&policy("required"))
        .file("/etc/optional.toml", policy("optional"))
        .bind(cache::program("faulty-verifier"), FAULTY)
        .pam("plain", &exact(""))
        .start();
    let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    (host, token)
}

/// A login through a stack with these arguments of the module.
fn with(host: &Running, arguments: &str, user: &str) -> Attempt {
    host.write("/etc/pam.d/arguments", exact(arguments));
    Attempt::new("arguments", user)
}

fn run_all(host: &Running, attempts: Vec<Attempt>) -> Vec<Report> {
    pam::run(host, &Plan { attempts, ..Plan::default() })
}

fn failures(host: &Running, user: &str) -> u64 {
    let status = host.run(&["mfa-setup", "status", "--user", user, "--json"]).json();
    status["lockout"]["failures"].as_u64().unwrap()
}

#[test]
fn each_argument_does_what_it_says() {
    let (host, mut token) = host();
    let no_code = |arguments: &str, user: &str| with(&host, arguments, user).run(&host);

    assert_eq!(no_code("", "bob").code(), "PAM_AUTH_ERR");
    assert_eq!(no_code("config=/etc/optional.toml", "bob").code(), IGNORED);
    assert_eq!(no_code("nullok", "bob").code(), IGNORED);
    host.wait_for_log("nullok=yes");
    host.shell(
        "mkdir /opt/mfa; cp /usr/libexec/pam_mfa/mfa-verifier /opt/mfa/v; ln -s mfa /opt/link",
    );
    for path in ["/opt/mfa/v", "/opt/link/v"] {
        let attempt = with(&host, &format!("verifier={path}"), "alice").answer(token.code());
        assert_eq!(attempt.run(&host).code(), "PAM_SUCCESS", "{path}");
    }
    let both = "config=/nowhere config=/etc/optional.toml";
    assert_eq!(no_code(both, "bob").code(), IGNORED, "the last of two counts");

    // How it asks.
    let long = "x".repeat(512);
    let mut bracketed = |argument: &str, shown: Style, text: &str| {
        let report = with(&host, argument, "alice").answer(token.code()).run(&host);
        assert_eq!(report.code(), "PAM_SUCCESS", "{argument}");
        let asked = Shown { style: shown, text: text.to_owned() };
        assert_eq!(report.shown, [asked], "{argument}");
    };
    bracketed("", Style::Hidden, CODE);
    bracketed("[prompt=Your code, please: ]", Style::Hidden, "Your code, please: ");
    bracketed("[authtok_prompt=OTP: ]", Style::Hidden, "OTP: ");
    bracketed("[prompt=one] prompt=two", Style::Hidden, "two");
    bracketed(&format!("prompt={long}"), Style::Hidden, &long);
    bracketed("echo", Style::Visible, CODE);
    bracketed("echo_verification_code", Style::Visible, CODE);
    bracketed("echo prompt=?", Style::Visible, "?");

    // What it says in the log.
    let debug = || {
        let records = host.log().into_iter();
        records.filter(|record| record.severity == 7 && record.facility == AUTHPRIV).count()
    };
    host.logged_by_now("");
    assert_eq!(debug(), 0, "nothing without debug");
    assert_eq!(no_code("debug", "alice").code(), "PAM_AUTH_ERR");
    assert!(host.logged_by_now("pam_mfa(arguments:auth): user=alice").len() == 1);
    assert!(debug() > 0);
}

#[test]
fn an_argument_that_is_not_understood_refuses_everybody_and_is_named_in_the_log() {
    let (host, mut token) = host();
    let code = token.code();
    let too_long = format!("prompt={}", "x".repeat(513));
    let refused = [
        "no_such",
        "nulok",
        "NULLOK",
        "nullok=1",
        "debug=",
        "echo=no",
        "config",
        "config=",
        "verifier=",
        "config=relative.toml",
        "verifier=../v",
        "verifier=v",
        "socket=run/s",
        "socket=@s",
        "socket=",
        "prompt=",
        "prompt",
        "authtok_prompt=",
        "try_first_pass=yes",
        "use_first_pass",
        "digits=6",
        "forward_pass=",
        "alwaysok",
        "user=root",
        "=",
        "-",
        "[nullok ]",
        "[ nullok]",
        "[nullok debug]",
        &too_long,
    ];
    for argument in refused {
        // Among others that are good, and would let bob in.
        let line = format!("nullok {argument} config=/etc/optional.toml");
        let attempts = ["alice", "bob"].map(|user| with(&host, &line, user).answer(code.as_str()));
        let seen = host.logged_by_now("").len();
        for report in run_all(&host, attempts.to_vec()) {
            assert_eq!(report.code(), UNAVAILABLE, "{argument}");
            assert!(report.shown.is_empty(), "{argument}: {:?}", report.shown);
        }
        let lines = host.logged_by_now("").split_off(seen);
        let named = format!(
            "pam_mfa(arguments:auth): error: argument {}",
            argument.trim_matches(['[', ']'])
        );
        let naming = lines.iter().filter(|line| line.contains(&named) && line.contains("; hint: "));
        assert_eq!(naming.count(), 2, "{argument}: {lines:#?}");
    }
    assert_eq!(Attempt::new("plain", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
    println!("{} arguments refused", refused.len());
}

#[test]
fn try_first_pass_judges_what_was_given_before_it_asks() {
    let (host, mut token) = host();
    let stack = |arguments| format!("auth optional pam_unix.so nodelay\n{}", exact(arguments));
    host.write("/etc/pam.d/first", stack("try_first_pass"));
    host.write("/etc/pam.d/asks", stack(""));
    let log_in = |service: &str, answers: [&str; 2]| {
        let attempt = Attempt::new(service, "alice").answer(answers[0]).answer(answers[1]);
        let report = attempt.run(&host);
        (report.code().to_owned(), report.asked().len())
    };
    let success = |asked| ("PAM_SUCCESS".to_owned(), asked);
    let refused = |asked| ("PAM_AUTH_ERR".to_owned(), asked);

    assert_eq!(log_in("first", [&token.code(), ""]), success(1));
    assert_eq!(log_in("first", ["rabbit hole", &token.code()]), success(2));
    assert_eq!(failures(&host, "alice"), 0, "a password is no code");
    let wrong = token.wrong_code();
    assert_eq!(log_in("first", [&wrong, &token.code()]), success(2));
    assert_eq!(log_in("first", [&wrong, &wrong]), refused(2));
    assert!(failures(&host, "alice") > 0, "a wrong code in place of the password is one");
    // What was given before is not looked at without it; and once more, it is the host's repetition.
    let code = token.code();
    assert_eq!(log_in("asks", [&code, &code]), refused(2));
    assert_eq!(log_in("asks", ["rabbit hole", "rabbit hole"]), refused(2));
    host.wait_for_log("reason=repeats_password");
    assert_eq!(log_in("asks", ["rabbit hole", &code]), success(2));
}

/// Somebody who listens on a socket and answers as it is told; they are gone when this is dropped.
fn listen(host: &Running, user: &str, socket: &str, fault: &str) -> Pty {
    let mut listener = host.pty(&as_user(user, &[FAULTY, "listen", socket, fault]));
    listener.expect("listening");
    listener
}

fn nobody_listens(host: &Running) {
    // In brackets, so that the shell does not find itself.
    host.shell("until ! pgrep -f '[f]aulty-verifier listen' > /dev/null; do :; done");
}

#[test]
fn a_socket_that_is_named_is_the_only_way_and_must_be_root_s() {
    let (host, mut token) = host();
    let code = token.code();
    let log_in = |socket: &str| {
        let report =
            with(&host, &format!("socket={socket}"), "alice").answer(code.as_str()).run(&host);
        assert!(report.changed.is_empty(), "{socket}: {:?}", report.changed);
        (report.code().to_owned(), report.asked().len())
    };
    let said_in_the_log = |text: &str| {
        host.wait_for_log(&format!("cannot be used: {text}"));
    };
    for (verdict, expected) in [
        ("granted", "PAM_SUCCESS"),
        ("exempt", IGNORED),
        ("denied", "PAM_AUTH_ERR"),
        ("garbage", UNAVAILABLE),
        ("nothing", UNAVAILABLE),
    ] {
        let socket = format!("/run/{verdict}.sock");
        let listener = listen(&host, "root", &socket, verdict);
        assert_eq!(log_in(&socket), (expected.to_owned(), 0), "{verdict}");
        drop(listener);
    }
    // An application without privileges may use one that lets it.
    let all = listen(&host, "root", "/run/all.sock", "granted");
    let plan = Plan {
        surroundings: pam::Surroundings { uid: Some(1000), ..Default::default() },
        attempts: vec![with(&host, "socket=/run/all.sock", "alice")],
        ..Plan::default()
    };
    assert_eq!(pam::run(&host, &plan)[0].code(), "PAM_SUCCESS");

    let unavailable = (UNAVAILABLE.to_owned(), 0);
    let alice = listen(&host, "alice", "/home/alice/s", "granted");
    assert_eq!(log_in("/home/alice/s"), unavailable);
    said_in_the_log("uid 1000 listens there, not root");
    assert_eq!(log_in("/run/nobody.sock"), unavailable);
    said_in_the_log("ENOENT");
    host.write("/run/file.sock", "");
    assert_eq!(log_in("/run/file.sock"), unavailable);
    drop((all, alice));
    drop(listen(&host, "root", "/run/gone.sock", "granted"));
    nobody_listens(&host);
    assert_eq!(log_in("/run/gone.sock"), unavailable);
    assert_eq!(log_in(&format!("/run/{}", "x".repeat(200))), unavailable);

    assert_eq!(
        Attempt::new("plain", "alice").answer(code.as_str()).run(&host).code(),
        "PAM_SUCCESS"
    );
}

#[test]
fn the_default_socket_is_used_where_root_listens_and_never_for_a_private_configuration() {
    let (host, mut token) = host();
    host.shell("mkdir -p /run/pam_mfa; cp /etc/pam_mfa/config.toml /etc/private.toml");
    let private = "config=/etc/private.toml";
    let log_in = |arguments: &str, code: &str| {
        let report = with(&host, arguments, "alice").answer(code).run(&host);
        (report.code().to_owned(), report.asked().len())
    };
    let spawned = |code| (String::from(code), 1);
    let wrong = token.wrong_code();

    let root = listen(&host, "root", DEFAULT_SOCKET, "granted");
    assert_eq!(log_in("", &wrong), ("PAM_SUCCESS".to_owned(), 0), "who listens there decides");
    assert_eq!(log_in(private, &wrong), spawned("PAM_AUTH_ERR"));
    let program = "verifier=/usr/libexec/pam_mfa/mfa-verifier";
    assert_eq!(log_in(program, &wrong), spawned("PAM_AUTH_ERR"));
    assert_eq!(log_in(private, &token.code()), spawned("PAM_SUCCESS"));
    drop(root);

    // Nobody listens any more: one is started.
    nobody_listens(&host);
    assert_eq!(log_in("", &wrong), spawned("PAM_AUTH_ERR"));
    assert_eq!(log_in("", &token.code()), spawned("PAM_SUCCESS"));
    // Somebody else listens: they are not asked.
    host.shell("chown alice /run/pam_mfa; rm /run/pam_mfa/*");
    let _alice = listen(&host, "alice", DEFAULT_SOCKET, "granted");
    assert_eq!(log_in("", &wrong), spawned("PAM_AUTH_ERR"));
    assert_eq!(log_in("", &token.code()), spawned("PAM_SUCCESS"));
}

#[test]
fn many_prompts_in_one_connection_count_for_the_user() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config("[policy]\nmode = \"required\"\n[lockout]\nper_source = 5\nper_user = 10\n")
        .pam_example("sshd", "sshd-key")
        .sshd_example("pam_mfa-key.conf")
        .pam("plain", &exact(""))
        .start();
    host.make_key("alice");
    let mut token = host.enrol_with("alice", &["hotp"]).device;

    // One pam_start, many pam_authenticate; then another one.
    let mut attempt = Attempt::new("plain", "alice").from("192.0.2.7");
    attempt.answers = vec![token.wrong_code().into(); 12];
    attempt.answers.push(token.code().into());
    attempt.calls = vec![Call::authenticate(); 13];
    let report = attempt.run(&host);
    assert_eq!(report.returned, ["PAM_AUTH_ERR"; 13]);
    assert_eq!(failures(&host, "alice"), 5, "five were judged");
    assert_eq!(host.logged_by_now("outcome=locked").len(), 8);
    let next = Attempt::new("plain", "alice").from("192.0.2.7").answer(token.code());
    assert_eq!(next.run(&host).code(), "PAM_AUTH_ERR", "another connection changes nothing");
    host.run(&["mfa-setup", "unlock", "--user", "alice"]).ok();

    // sshd lets a client ask for as many rounds of questions as it likes (CVE-2015-5600).
    let devices = vec!["pam"; 100].join(",");
    let mut argv: Vec<String> = [
        "ssh",
        "-F/dev/null",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oNumberOfPasswordPrompts=100",
        "-oIdentityFile=/root/.ssh/id_alice",
        "-oPreferredAuthentications=publickey,keyboard-interactive",
        "-lalice",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.extend([
        format!("-oKbdInteractiveDevices={devices}"),
        "127.0.0.1".to_owned(),
        "id".to_owned(),
    ]);
    let mut ssh = host.pty(&argv);
    let mut prompts = 0;
    // As long as the server asks; what it says in the end depends on which of the two gives up.
    while ssh.expect_any(&[CODE, "Permission denied (", "Too many authentication failures"]).0 == 0
    {
        prompts += 1;
        ssh.send_line(&token.wrong_code());
    }
    assert_ne!(ssh.end().0, Some(0));
    assert!(prompts > 5, "{prompts}");
    assert_eq!(failures(&host, "alice"), 5, "five of {prompts} were judged");
    println!("{prompts} prompts in one connection over ssh, 5 judged");
}

#[test]
fn the_functions_beside_authenticate_are_stateless_and_reset_nothing() {
    let (host, mut token) = host();
    let debug = "pam_debug.so acct=acct_expired open_session=session_err close_session=cred_err \
                 prechauthtok=authtok_err";
    let mut stack = exact("");
    for kind in ["account", "session", "password"] {
        writeln!(stack, "{kind} [success=done ignore=ignore default=die] pam_mfa.so").unwrap();
        writeln!(stack, "{kind} [default=die] {debug}").unwrap();
    }
    host.write("/etc/pam.d/all", stack);
    let wrong = Attempt::new("all", "alice").answer(token.wrong_code());
    assert!(run_all(&host, vec![wrong; 4]).iter().all(|report| report.code() == "PAM_AUTH_ERR"));
    assert_eq!(failures(&host, "alice"), 4);
    // Without the dbs, which a resident verifier may write later.
    let store = "find /var/lib/pam_mfa -type f ! -path '*/db/*' -exec sha256sum {} + | sort";
    let (before, lines) = (host.shell(store), host.logged_by_now("pam_mfa").len());

    let setcred = |flags| Call::new(Function::Setcred).flags(flags);
    let calls = || {
        [
            setcred(ESTABLISH_CRED),
            setcred(ESTABLISH_CRED | SILENT),
            setcred(0x8),
            setcred(0x10),
            Call::new(Function::AcctMgmt),
            Call::new(Function::AcctMgmt).flags(DISALLOW_NULL_AUTHTOK),
            Call::new(Function::OpenSession),
            Call::new(Function::CloseSession),
            Call::new(Function::Chauthtok),
            setcred(DELETE_CRED),
        ]
    };
    // What pam_debug says stands for PAM_IGNORE.
    let expected = [
        "PAM_SUCCESS",
        "PAM_SUCCESS",
        "PAM_SUCCESS",
        "PAM_SUCCESS",
        "PAM_ACCT_EXPIRED",
        "PAM_ACCT_EXPIRED",
        "PAM_SESSION_ERR",
        "PAM_CRED_ERR",
        "PAM_AUTHTOK_ERR",
        "PAM_SUCCESS",
    ];
    // Without a login before, for whomever; and each of them in a process of its own.
    for user in ["alice", "bob", "carol"] {
        let report = Attempt::new("all", user).calls(calls()).run(&host);
        assert_eq!(report.returned, expected, "{user}");
        assert!(report.asked().is_empty() && report.changed.is_empty(), "{report:?}");
        let report = Attempt::new("all", user).calls(calls().map(Call::in_child)).run(&host);
        assert_eq!(report.returned, expected, "{user}");
    }
    assert_eq!(host.shell(store), before);
    assert_eq!(host.logged_by_now("pam_mfa").len(), lines, "no verifier was asked");
    assert_eq!(failures(&host, "alice"), 4);

    // After a login, as sshd does it: setcred in one process, and in another once more.
    let mut all =
        vec![Call::authenticate(), setcred(ESTABLISH_CRED).in_child(), setcred(ESTABLISH_CRED)];
    all.push(setcred(DELETE_CRED).in_child());
    let report = Attempt::new("all", "alice").answer(token.code()).calls(all.clone()).run(&host);
    assert_eq!(report.returned, ["PAM_SUCCESS"; 4]);
    // And after a refusal: it lets nobody in, since the login itself has failed.
    let report = Attempt::new("all", "alice").answer(token.wrong_code()).calls(all).run(&host);
    assert_eq!(report.returned[0], "PAM_AUTH_ERR");
}

#[test]
fn a_conversation_that_fails_is_a_refusal_and_not_charged() {
    let (host, mut token) = host();
    let code = token.code();
    // What a code looks like to a person, or nearly.
    let full_width: String = code
        .bytes()
        .map(|digit| char::from_u32(0xff10 + u32::from(digit - b'0')).unwrap())
        .collect();
    let arabic: String = code
        .bytes()
        .map(|digit| char::from_u32(0x660 + u32::from(digit - b'0')).unwrap())
        .collect();
    let mut answers: Vec<Answer> = vec![
        Answer::Null,
        // PAM_SUCCESS without any responses.
        Answer::Fail(0),
        "".into(),
        "     ".into(),
        "---".into(),
        full_width.into(),
        arabic.into(),
        format!("{code}\n").into(),
        format!("\n{code}").into(),
        format!("{code}\r").into(),
        format!("{code}\t").into(),
        format!("\x1b[A{code}").into(),
        format!("{code}\x7f").into(),
        format!("{code}\u{200b}").into(),
        format!("\u{feff}{code}").into(),
        format!("{}\u{2010}{}", &code[..3], &code[3..]).into(),
        format!("{code}{code}").into(),
        format!("{code};{code}").into(),
        format!("+{code}").into(),
        format!("0x{code}").into(),
        (&code[..5]).into(),
        "' or 1=1 --".into(),
        "%s%n%s%n".into(),
        Text::Bytes([code.as_bytes(), b"\xff"].concat()).into(),
        Text::Bytes(vec![0xff; 6]).into(),
    ];
    for length in [63, 64, 65, 511, 512, 513, 1023, 1024, 1025, 4096, 100_000] {
        answers.push("1".repeat(length).into());
        answers.push(format!("{code}{}", " ".repeat(length)).into());
    }
    // PAM_BUF_ERR, PAM_CONV_ERR, PAM_ABORT, PAM_CONV_AGAIN, … and one that does not exist.
    answers.extend([4, 5, 6, 7, 9, 10, 19, 25, 26, 30, 31, 99, -1].map(Answer::Fail));
    // Blanks behind a code do not matter as long as it is an answer of sensible length.
    let right = |answer: &Answer| match answer {
        Answer::Say(text) => {
            text.bytes().len() < 64 + 6
                && text.bytes().trim_ascii_end() == code.as_bytes()
                && text.bytes().ends_with(b" ")
        }
        _ => false,
    };
    answers.retain(|answer| !right(answer));
    let attempts: Vec<_> = answers
        .iter()
        .map(|answer| Attempt::new("plain", "alice").answer(answer.clone()))
        .collect();
    for (answer, report) in answers.iter().zip(run_all(&host, attempts)) {
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{answer:?}");
        assert_eq!(report.asked(), [CODE], "{answer:?}");
        assert!(report.changed.is_empty(), "{answer:?}: {:?}", report.changed);
    }
    let silent = Attempt { no_conversation: true, ..Attempt::new("plain", "alice") };
    assert_eq!(silent.run(&host).code(), "PAM_AUTH_ERR");
    println!("{} answers that are none", answers.len() + 1);

    assert_eq!(failures(&host, "alice"), 0);
    assert_eq!(Attempt::new("plain", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
}

#[test]
fn the_user_is_who_the_host_says_at_that_moment() {
    let (host, mut token) = host();
    let mut other = host.enrol_with("bob", &["hotp"]).device;
    let set_user = |user: Option<&str>| Call::new(Function::SetItem(2, user.map(Text::from)));

    // Nobody yet: the module asks, as every other would.
    let nobody = || Attempt { user: None, ..Attempt::new("plain", "") };
    let report = nobody().answer("alice").answer(token.code()).run(&host);
    assert_eq!(report.code(), "PAM_SUCCESS");
    assert_eq!((report.asked().len(), report.asked()[1]), (2, CODE));
    assert_eq!(report.user.as_deref(), Some("alice"));
    for answer in [Answer::Null, Answer::Fail(19), Answer::Fail(26), "".into()] {
        let report = nobody().answer(answer.clone()).answer(token.wrong_code()).run(&host);
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{answer:?}");
        assert!(!report.asked().contains(&CODE), "{answer:?}");
    }
    assert_eq!(Attempt::new("plain", "").answer(token.code()).run(&host).code(), "PAM_AUTH_ERR");

    // Changed before, and between two logins: alice's code is not bob's, nor the other way round.
    let attempt = |answers: [String; 2]| {
        let [one, two] = answers;
        let calls = [Call::authenticate(), set_user(Some("bob")), Call::authenticate()];
        Attempt::new("plain", "alice").answer(one).answer(two).calls(calls)
    };
    let report = attempt([token.code(), token.code()]).run(&host);
    assert_eq!(report.returned, ["PAM_SUCCESS", "PAM_SUCCESS", "PAM_AUTH_ERR"]);
    assert!(host.wait_for_log("reason=wrong_code").contains("user=\"bob\""));
    let report = attempt([token.code(), other.code()]).run(&host);
    assert_eq!(report.returned, ["PAM_SUCCESS"; 3]);
    assert_eq!(report.user.as_deref(), Some("bob"));
    let charged = (failures(&host, "alice"), failures(&host, "bob"));
    assert_eq!(charged, (0, 1), "the code of another is charged to whom it was tried on");
}

#[test]
fn a_remote_host_is_an_address_or_unknown_and_never_looked_up() {
    let (host, mut token) = host();
    host.write("/etc/pam.d/sshd", exact(""));
    host.write("/etc/hosts", "127.0.0.1 localhost evil.example\n192.0.2.99 friend.example\n");
    let long = "1".repeat(5000);
    let rows: [(&str, Option<Text>, &str); 26] = [
        ("plain", None, "local"),
        ("sshd", None, "unknown"),
        ("sshd", Some("".into()), "unknown"),
        ("sshd", Some("192.0.2.7".into()), "192.0.2.7"),
        ("plain", Some("192.0.2.7".into()), "192.0.2.7"),
        ("plain", Some("2001:db8:1:2:3:4:5:6".into()), "2001:db8:1:2::/64"),
        ("plain", Some("::ffff:192.0.2.7".into()), "192.0.2.7"),
        ("plain", Some("localhost".into()), "unknown"),
        ("plain", Some("testhost".into()), "unknown"),
        ("plain", Some("evil.example".into()), "unknown"),
        ("plain", Some("friend.example".into()), "unknown"),
        ("plain", Some("fe80::1%lo".into()), "unknown"),
        ("plain", Some("fe80::1%1".into()), "unknown"),
        ("plain", Some("[2001:db8::1]".into()), "unknown"),
        ("plain", Some("192.0.2.7:22".into()), "unknown"),
        ("plain", Some("192.0.2.7/32".into()), "unknown"),
        ("plain", Some(" 192.0.2.7".into()), "unknown"),
        ("plain", Some("192.0.2.7\n".into()), "unknown"),
        ("plain", Some("192.0.2".into()), "unknown"),
        ("plain", Some("192.0.2.007".into()), "unknown"),
        ("plain", Some("3221225991".into()), "unknown"),
        ("plain", Some("0xc0000207".into()), "unknown"),
        ("plain", Some("local".into()), "unknown"),
        ("plain", Some("unknown".into()), "unknown"),
        ("plain", Some(Text::Bytes(b"192.0.2.7\xff".to_vec())), "unknown"),
        ("plain", Some(long.into()), "unknown"),
    ];
    for (service, rhost, expected) in &rows {
        let attempt = Attempt { rhost: rhost.clone(), ..Attempt::new(service, "alice") };
        assert_eq!(attempt.answer(token.code()).run(&host).code(), "PAM_SUCCESS", "{rhost:?}");
        let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
        assert_eq!(status["devices"][0]["last_from"], *expected, "{service} {rhost:?}");
    }

    // No name is asked of anybody.
    let names = [
        "evil.example",
        "friend.example",
        "ns.evil.example",
        "xn--nxasmq6b",
        "192.0.2.7",
        "fe80::1%lo",
    ];
    let attempts = names.map(|name| Attempt::new("sshd", "alice").from(name).answer(token.code()));
    let traced = |argv: &[&str]| {
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/trace",
            "-e",
            "trace=socket,connect,sendto,sendmmsg,open,openat",
        ];
        host.command(&[&strace[..], argv].concat())
    };
    let plan = Plan { attempts: attempts.to_vec(), ..Plan::default() };
    for report in pam::run_command(&traced(&[PAM_CLIENT]), &plan) {
        assert_eq!(report.code(), "PAM_SUCCESS");
    }
    let asks = |trace: &str| -> BTreeSet<&str> {
        let signs = ["AF_INET", "htons(53)", "/etc/hosts", "resolv.conf", "resolve/io.systemd"];
        signs.into_iter().filter(|sign| trace.contains(sign)).collect()
    };
    let trace = without_audit(&host.read("/trace"));
    assert!(trace.contains("/var/lib/pam_mfa/users/"), "the verifier is traced");
    assert_eq!(asks(&trace), BTreeSet::new());
    let _ = traced(&["getent", "hosts", "evil.nowhere"]).output().unwrap();
    let control = host.read("/trace");
    assert!(
        asks(&control).contains("htons(53)") && asks(&control).contains("/etc/hosts"),
        "{control}"
    );
    println!("{} remote hosts, {} of them traced", rows.len() + names.len(), names.len());
}

/// A trace without what libpam does after its modules have answered: it reports to the kernel's
/// audit, and libaudit does look the remote host up.
fn without_audit(trace: &str) -> String {
    let mut auditing = None;
    let mut kept = String::new();
    for line in trace.lines() {
        let pid = line.split(' ').next();
        if line.contains("NETLINK_AUDIT") {
            auditing = pid;
        } else if line.contains("pam_mfa/root.sock") {
            auditing = None;
        }
        if auditing.is_none() || auditing != pid {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

#[test]
fn silent_is_silent_and_disallow_null_authtok_means_something_else() {
    let (host, mut token) = host();
    host.write("/etc/help.toml", "[policy]\nmode = \"required\"\nhelp = \"Ask the help desk.\"\n");
    host.write("/etc/pam.d/help", exact("config=/etc/help.toml"));
    host.write("/etc/pam.d/optional", exact("config=/etc/optional.toml"));
    let code = token.code();
    let log_in = |service: &str, user: &str, flags: i32| {
        let call = Call::authenticate().flags(flags);
        Attempt::new(service, user).answer(code.as_str()).calls([call]).run(&host)
    };
    assert_eq!(log_in("help", "alice", SILENT).code(), "PAM_SUCCESS");
    let (loud, silent) = (log_in("help", "alice", 0), log_in("help", "alice", SILENT));
    assert_eq!(loud.told(), [USED, "Ask the help desk."]);
    assert_eq!(silent.told(), Vec::<&str>::new());
    assert_eq!((loud.code(), silent.code()), ("PAM_AUTH_ERR", "PAM_AUTH_ERR"));
    assert_eq!(silent.asked(), [CODE], "a question is no message");

    for flags in [0, DISALLOW_NULL_AUTHTOK, DISALLOW_NULL_AUTHTOK | SILENT] {
        for (service, user, expected, asked) in [
            ("optional", "bob", IGNORED, 0),
            ("plain", "bob", "PAM_AUTH_ERR", 1),
            ("optional", "alice", "PAM_AUTH_ERR", 1),
        ] {
            let report = log_in(service, user, flags);
            assert_eq!(report.code(), expected, "{service} {user} {flags:x}");
            assert_eq!(report.asked().len(), asked, "{service} {user} {flags:x}");
        }
        let call = Call::authenticate().flags(flags);
        let report =
            Attempt::new("optional", "alice").answer(token.code()).calls([call]).run(&host);
        assert_eq!(report.code(), "PAM_SUCCESS", "{flags:x}");
    }
}

/// sudo asks in silence; what nobody saw is told once more.
#[test]
fn what_was_altered_is_told_until_somebody_could_see_it() {
    let (host, mut token) = host();
    // The alteration is later than the factor.
    next_second();
    host.enrol_with("alice", &["totp", "--label", "tablet"]);
    let mut told = |flags| {
        let call = Call::authenticate().flags(flags);
        let report = Attempt::new("plain", "alice").answer(token.code()).calls([call]).run(&host);
        assert_eq!(report.code(), "PAM_SUCCESS");
        report.told().join("\n")
    };
    assert_eq!(told(SILENT), "");
    let added = "device \"tablet\" was added by root.";
    let text = told(0);
    assert!(text.contains(added), "{text}");
    assert_eq!(told(0), "");
}

#[test]
fn su_and_sudo_charge_whose_password_they_ask() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(&policy("required"))
        .pam_example("sudo", "sudo")
        .pam_example("su", "su")
        .file_with_mode("/etc/sudoers.d/t", "Defaults:alice targetpw\nalice ALL=(ALL) ALL\n", 0o440)
        .start();
    let mut token = host.enrol_with("bob", &["hotp"]).device;
    let mut ask = |command: &str, question: &str| {
        let mut terminal = host.terminal(command);
        terminal.expect(question);
        terminal.send_line("walrus");
        terminal.expect(CODE);
        terminal.send_line(&token.code());
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(0), "{command}: {shown}");
        assert!(shown.contains("bob"), "{command}: {shown}");
        host.logged_by_now("outcome=granted").pop().unwrap()
    };
    // With targetpw it is the one that is become.
    let line = ask(
        "setpriv --reuid alice --regid alice --init-groups sudo -k -u bob id -un",
        "password for bob: ",
    );
    assert!(line.contains("user=\"bob\"") && line.contains("service=sudo"), "{line}");

    // Root too, where the stack does not spare it.
    host.shell("sed -i /pam_rootok/d /etc/pam.d/su");
    let line = ask("su bob -c 'id -un'", "Password: ");
    assert!(line.contains("user=\"bob\"") && line.contains("service=su"), "{line}");
}
