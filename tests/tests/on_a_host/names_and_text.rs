//! Text from outside: names that lead elsewhere, characters that move a cursor, and secrets, which
//! must not become text anywhere.

use std::collections::BTreeSet;

use mfa_tests::host::PAM_CLIENT;
use mfa_tests::pam::{self, Attempt, Plan, Surroundings, Text, exact};
use mfa_tests::{Host, Running};

const REQUIRED: &str =
    "[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n";
const CODE: &str = "Verification code: ";

/// Everything that can leave its line or turn it around.
const HOSTILE: &str = "a\x1b[31mb\x07\nroot: granted\r\u{202e}c\u{200b}\u{2028}d\u{9b}\"\\";

/// Names that nobody has, some of which lead somewhere.
fn nobodies() -> Vec<Text> {
    let mut names: Vec<Text> = [
        "../x",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "../../../../etc/pam_mfa/x",
        "users/1000",
        "1000",
        "+1000",
        "alice/../alice",
        "alice\n",
        "alice\nroot",
        "alice:x",
        "alice:x:0:0::/:/bin/sh",
        ":",
        " ",
        "alice ",
        " alice",
        "ALICE",
        "alice\t",
        "%s%n%n",
        "$(id)",
        "-a",
        "--user=alice",
        "alice@testhost",
        "al\u{456}ce",
        "a\u{308}lice",
        "\u{202e}ecila",
        HOSTILE,
        "nobody2",
        "4294967295",
        "decoy",
    ]
    .map(Text::from)
    .to_vec();
    names.extend([&b"alice\xff"[..], b"\xff\xfe\xfd", b"\xc0\xaf", b"\x01"].map(Text::from));
    for length in [33, 256, 257, 300, 1024, 1025, 10_000] {
        names.push("a".repeat(length).into());
        names.push("../".repeat(length / 3 + 1).into());
    }
    names
}

#[test]
fn a_name_that_is_nobody_s_is_refused_and_leaves_nothing_anywhere() {
    let mut host = Host::new().user("alice", "rabbit hole").config(REQUIRED);
    for mode in ["off", "optional", "required"] {
        let config = format!("/etc/{mode}.toml");
        host = host
            .file(&config, format!("[policy]\nmode = \"{mode}\"\n"))
            .pam(mode, &exact(&format!("config={config} debug")));
    }
    let host = host.start();
    let mut token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    let code = token.code();
    // Everything on the disk, but what the decoys' records are made of.
    let everything = "find / -xdev -not -path '/var/lib/pam_mfa/users/42949672[89]*' \
                      -printf '%p %s %m %U %T@ %C@\\n' | sort";
    let before = host.shell(everything);
    let names = nobodies();
    for mode in ["off", "optional", "required"] {
        let attempts =
            names.iter().map(|name| Attempt::new(mode, name.clone()).answer(code.as_str()));
        let plan = Plan { attempts: attempts.collect(), ..Plan::default() };
        for (name, report) in names.iter().zip(pam::run(&host, &plan)) {
            assert_eq!(report.code(), "PAM_AUTH_ERR", "{mode} {name:?} {report:?}");
        }
    }
    let after = host.shell(everything);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (was, is) = (lines(&before), lines(&after));
    assert_eq!(was.symmetric_difference(&is).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(before.contains("/var/lib/pam_mfa/users/1000/summary "), "the store is looked at");
    for record in host.log() {
        if record.text.contains("pam_mfa") {
            one_plain_line(&record.text);
        }
    }
    assert_eq!(Attempt::new("required", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
    println!("{} names under 3 policies", names.len());

    for name in ["../x", ".", "alice\nroot", "alice:x", HOSTILE, &"a".repeat(300)] {
        for command in [&["status"][..], &["add", "totp", "--no-confirm"], &["reset", "--yes"]] {
            let argv = [&["mfa-setup"], command, &["--user", name]].concat();
            let output = host.run(&argv);
            assert_eq!(output.code, Some(2), "{argv:?} {output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            output.stderr.lines().for_each(one_plain_line);
            assert!(output.stderr.starts_with("mfa-setup: error: "), "{output:?}");
        }
    }
}

#[test]
fn a_uid_that_was_given_to_somebody_else_brings_no_factor_along() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .file("/etc/optional.toml", "[policy]\nmode = \"optional\"\n")
        .pam("required", &exact(""))
        .pam("optional", &exact("config=/etc/optional.toml"))
        .start();
    let mut old = host.enrol_with("alice", &["hotp"]).device;
    let rename = |from: &str, to: &str| {
        host.shell(&format!("sed -i 's/^{from}:/{to}:/' /etc/passwd /etc/shadow"))
    };
    rename("alice", "mallory");

    let code = old.code();
    for service in ["required", "optional"] {
        let report = Attempt::new(service, "mallory").answer(code.as_str()).run(&host);
        assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL", "{service}: {report:?}");
        assert_eq!(
            Attempt::new(service, "alice").answer(code.as_str()).run(&host).code(),
            "PAM_AUTH_ERR"
        );
    }
    let line = host.wait_for_log("user=\"mallory\"");
    assert!(line.contains("the record of uid 1000 is not usable"), "{line}");
    let status = host.run(&["mfa-setup", "status", "--user", "mallory"]);
    assert_eq!(status.code, Some(3), "{status:?}");

    // Back to its owner, and it is good again.
    rename("mallory", "alice");
    assert_eq!(Attempt::new("required", "alice").answer(code).run(&host).code(), "PAM_SUCCESS");
    rename("alice", "mallory");
    host.run(&["mfa-setup", "reset", "--user", "mallory", "--yes"]).ok();
    let mut new = host.enrol_with("mallory", &["hotp"]).device;
    assert_eq!(
        Attempt::new("required", "mallory").answer(old.code()).run(&host).code(),
        "PAM_AUTH_ERR"
    );
    assert_eq!(
        Attempt::new("required", "mallory").answer(new.code()).run(&host).code(),
        "PAM_SUCCESS"
    );
}

#[test]
fn hostile_text_stays_on_its_line_in_the_log() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("plain", &exact(""))
        .pam("debug", &exact("debug nullok"))
        .pam("broken", &exact(&format!("[nonsense{}]", HOSTILE.replace(['\n', '\r'], " "))))
        .start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let texts: [Text; 4] =
        [HOSTILE.into(), b"\xff\xfe\n\x1b".as_slice().into(), "x".repeat(1100).into(), "\n".into()];
    let mut attempts = vec![];
    for text in &texts {
        for service in ["plain", "debug", "broken"] {
            for user in [text, &"alice".into()] {
                let mut attempt = Attempt::new(service, user.clone()).answer(token.wrong_code());
                attempt.rhost = Some(text.clone());
                attempt.tty = Some(text.clone());
                attempt.ruser = Some(text.clone());
                attempts.push(attempt);
            }
        }
    }
    let count = attempts.len();
    for report in pam::run(&host, &Plan { attempts, ..Plan::default() }) {
        assert!(["PAM_AUTH_ERR", "PAM_AUTHINFO_UNAVAIL"].contains(&report.code()), "{report:?}");
    }
    let lines = host.logged_by_now("pam_mfa");
    let decisions = lines.iter().filter(|line| line.contains("outcome=denied"));
    assert!(decisions.count() >= count / 2, "each decision has its line");
    for line in &lines {
        one_plain_line(line);
        assert!(line.len() < 8192, "{line}");
    }
    // What the interface promises: quoted and escaped, and still told apart.
    let escaped = r#"a\u{1b}[31mb\u{7}\u{a}root: granted\u{d}\u{202e}c\u{200b}\u{2028}d\u{9b}\"\\"#;
    for key in ["user", "rhost", "tty"] {
        let wanted = format!("{key}=\"{escaped}\"");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "{wanted} in {lines:#?}");
    }
    // A line cannot be made to look like another decision.
    assert!(lines.iter().all(|line| !line.contains("outcome=granted")), "{lines:#?}");
    let mut attempt = Attempt::new("plain", "alice").answer(token.code());
    attempt.tty = Some("x outcome=denied reason=\"wrong_code\"".into());
    assert_eq!(attempt.run(&host).code(), "PAM_SUCCESS");
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains(r#"tty="x outcome=denied reason=\"wrong_code\"""#), "{line}");
    println!("{count} logins with hostile text");
}

#[test]
fn hostile_text_is_refused_as_a_label_and_escaped_in_what_is_shown() {
    let host =
        Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("plain", &exact("")).start();
    for label in ["a\x1b[31mb", "a\nb", "a\tb", "a\u{202e}b", "a\u{200b}b", "a\u{9b}b", "\u{feff}"]
    {
        let add = [
            "mfa-setup",
            "add",
            "hotp",
            "--label",
            label,
            "--user",
            "alice",
            "--no-confirm",
            "--yes",
        ];
        let output = host.run(&add);
        assert_eq!(output.code, Some(2), "{label:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(output.stderr.contains("mfa-setup: hint: "), "{output:?}");
        output.stderr.lines().for_each(one_plain_line);
    }
    let status = host.run(&["mfa-setup", "status", "--user", "alice", "--json"]).json();
    assert_eq!(status["enrolled"], false);

    // A name that turns the line around, and that the user database does have.
    let name = "eve\u{202e}liame";
    host.shell(&format!("echo '{name}:x:2000:2000::/:/bin/sh' >> /etc/passwd"));
    let mut token = host.enrol_with(name, &["hotp", "--label", "Ünïcode \" \\ phone"]).device;
    let mut attempt = Attempt::new("plain", name).answer(token.code());
    attempt.rhost = Some("\u{202e}\x1b]0;owned\x07\n".into());
    assert_eq!(attempt.run(&host).code(), "PAM_SUCCESS");
    one_plain_line(&host.wait_for_log("outcome=granted"));
    let mut terminal = host.pty(&["mfa-setup", "status", "--user", name]);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let piped = host.run(&["mfa-setup", "status", "--user", name]).ok();
    for text in [&shown, &piped] {
        assert!(text.contains(r"eve\u{202e}liame (uid 2000)"), "{text}");
        assert!(text.contains(r#"Ünïcode \" \\ phone"#), "{text}");
        text.lines().map(|line| line.trim_end_matches('\r')).for_each(one_plain_line);
    }
    let rows = piped.lines().filter(|line| line.contains("hotp"));
    assert_eq!(rows.count(), 1, "{piped}");
}

/// Printable, and of one line: no control characters, none that change the direction of text or
/// cannot be seen. Said with other words than the product says it.
#[track_caller]
fn one_plain_line(line: &str) {
    let hidden = ['\u{200b}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{feff}'];
    let turning = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    let bad: Vec<char> = hidden.into_iter().chain(turning).collect();
    assert!(!line.contains(|c: char| c.is_control() || bad.contains(&c)), "{line:?}");
}

/// Every process's argument list and environment, and every line of the log.
fn all_that_others_can_see(host: &Running) -> String {
    host.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
        + &host.logged_by_now("").join("\n")
}

#[test]
fn no_secret_is_in_a_log_an_argument_list_or_an_environment() {
    let first = "auth optional pam_unix.so nodelay\n";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("debug", &format!("{first}{}", exact("debug")))
        .pam("first", &format!("{first}{}", exact("debug try_first_pass")))
        .start();
    let enrolled = host.enrol("alice");
    let (mut phone, mut backup) = (enrolled.device, enrolled.backup);
    let key = phone.secret.clone();
    let mut secrets = vec![key.clone(), "rabbit hole".to_owned(), "looking glass".to_owned()];

    let (right, wrong) = (phone.code(), phone.wrong_code());
    let (sheet, torn) = (backup.code(), backup.code());
    let not_on_it = "zzzzz-zzzzz-zzzzz".replace('z', "k");
    let rows = [
        (right.as_str(), "PAM_SUCCESS"),
        (&right, "PAM_AUTH_ERR"),
        (&wrong, "PAM_AUTH_ERR"),
        (&sheet, "PAM_SUCCESS"),
        (&sheet, "PAM_AUTH_ERR"),
        (&not_on_it, "PAM_AUTH_ERR"),
        ("not a code at all", "PAM_AUTH_ERR"),
        ("rabbit hole", "PAM_AUTH_ERR"),
    ];
    for (answer, expected) in rows {
        secrets.push(answer.to_owned());
        let attempt = Attempt::new("debug", "alice").answer("rabbit hole").answer(answer);
        let mut at_prompt = pam::start(&host, attempt.wait_at(1));
        at_prompt.wait_for_prompt();
        let seen = all_that_others_can_see(&host);
        assert!(seen.contains("mfa-verifier\n"), "the verifier runs, and is seen");
        none_of(&secrets, &seen);
        at_prompt.go();
        assert_eq!(at_prompt.finish().code(), expected, "{answer}");
    }
    // The code in place of the password, and a wrong password in place of the code.
    let code = phone.code();
    secrets.push(code.clone());
    let first =
        |password: &str| Attempt::new("first", "alice").answer(password).answer(torn.as_str());
    assert_eq!(first(&code).run(&host).code(), "PAM_SUCCESS");
    assert_eq!(first("looking glass").run(&host).code(), "PAM_SUCCESS");
    secrets.push(torn.clone());

    // The commands that show secrets show them to who asked, and to nobody else.
    let shown = host.run(&["mfa-setup", "show-key", "phone", "--user", "alice"]).ok();
    assert!(shown.replace(' ', "").contains(&key), "{shown}");
    let codes =
        host.run(&["mfa-setup", "codes", "new", "--user", "alice", "--json", "--yes"]).json();
    secrets.extend(
        codes["backup_codes"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()),
    );
    let judged =
        host.run_with_input(&["mfa-setup", "judge", "--user", "alice"], &format!("{wrong}\n"));
    assert_eq!(judged.code, Some(1), "{judged:?}");

    let seen = all_that_others_can_see(&host);
    assert!(seen.contains("pam_mfa(debug:auth): user=alice"), "debug says something: {seen}");
    none_of(&secrets, &seen);
    println!("{} secrets looked for in {} bytes", secrets.len(), seen.len());
}

#[track_caller]
fn none_of(secrets: &[String], seen: &str) {
    let plain = seen.to_lowercase().replace('-', "");
    for secret in secrets {
        let looked_for = secret.to_lowercase().replace('-', "");
        assert!(!plain.contains(&looked_for), "{secret:?} can be seen: {seen}");
    }
}

#[test]
fn a_verifier_dumps_no_core_and_shows_its_memory_to_nobody() {
    let mut host =
        Host::new().user("alice", "rabbit hole").config(REQUIRED).pam("plain", &exact("")).start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    // Root without the capabilities that show every process: then it depends on the other one alone.
    let fewer = "-sys_ptrace,-perfmon,-sys_admin";
    let weak = ["setpriv", "--bounding-set", fewer, "--inh-caps", fewer, "--"];
    let plan = Plan {
        surroundings: Surroundings {
            limits: vec![("core".to_owned(), u64::MAX)],
            ..Surroundings::default()
        },
        attempts: vec![Attempt::new("plain", "alice").answer(token.code()).wait_at(0)],
        ..Plan::default()
    };
    let mut application =
        pam::start_command(host.command(&[&weak[..], &[PAM_CLIENT]].concat()), &plan);
    application.wait_for_prompt();
    let may_look_at = |name: &str| {
        let environment = host.shell(&format!("echo -n /proc/$(pgrep -x {name})/environ"));
        host.run(&[&weak[..], &["cat", &environment]].concat()).code == Some(0)
    };
    assert!(may_look_at("pam-client"));
    assert!(!may_look_at("mfa-verifier"));
    let limit = |name: &str| host.shell(&format!("grep core /proc/$(pgrep -x {name})/limits"));
    assert!(limit("pam-client").contains("unlimited"));
    let words = limit("mfa-verifier");
    assert_eq!(words.split_whitespace().collect::<Vec<_>>()[4..], ["0", "0", "bytes"], "{words}");

    host.shell("pkill -SEGV -x mfa-verifier");
    host.leave_the_mode();
    application.go();
    let report = application.finish();
    assert_eq!(report.code(), "PAM_AUTHINFO_UNAVAIL", "{report:?}");
    assert!(report.changed.is_empty(), "{report:?}");
}

#[test]
fn the_host_s_memory_holds_no_code_afterwards() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(REQUIRED)
        .pam_example("su", "su")
        .start();
    let code = host.enrol("alice").backup.code();
    // su stays for as long as what it has started, in the process that asked PAM.
    let mut su = host.terminal(
        "setpriv --reuid bob --regid bob --init-groups env MARK=white-queen su alice -c 'echo in; sleep 1000'",
    );
    su.expect("Password: ");
    su.send_line("rabbit hole");
    su.expect(CODE);
    su.send_line(&code);
    su.expect("in\r\n");
    let look = r#"my ($pid, @wanted) = @ARGV;
        open(my $maps, "<", "/proc/$pid/maps") or die "maps: $!";
        open(my $memory, "<:raw", "/proc/$pid/mem") or die "mem: $!";
        my $bytes = 0;
        while (<$maps>) {
            my ($from, $to) = /^(\w+)-(\w+) r/ or next;
            my $content = "";
            sysseek($memory, hex $from, 0);
            sysread($memory, $content, hex($to) - hex $from) or next;
            $bytes += length $content;
            for my $text (@wanted) { print "found $text\n" if index($content, $text) >= 0 }
        }
        print "$bytes bytes\n";"#;
    let pid = host.shell("pgrep -x su");
    let plain = code.replace('-', "");
    let found = host.run(&["perl", "-e", look, pid.trim(), "MARK=white-queen", &code, &plain]).ok();
    println!("su's memory: {}", found.lines().last().unwrap());
    assert!(found.contains("found MARK=white-queen"), "the memory is looked at: {found}");
    assert!(!found.contains(&code) && !found.contains(&plain), "{found}");
    // The code itself was right, and is used up.
    assert!(host.wait_for_log("outcome=granted").contains("factor=backup_code"));
}
