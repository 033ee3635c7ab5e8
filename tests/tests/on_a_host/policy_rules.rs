//! Rules and networks on a host: who is taken for whom and from where, and what nobody may gain by it.

use mfa_tests::pam::{Attempt, IGNORED, Style, exact};
use mfa_tests::{Host, Running, clock};
use serde_json::Value;

const POLICY: &str = "/etc/pam_mfa/config.toml";
const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

/// Exempts in every way that there is.
const EXEMPTING: [&str; 6] = [
    "[policy]\nmode = \"off\"\n",
    "[policy]\ntrusted = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\n",
    "[policy]\nservices = [\"sudo\"]\n",
    "[policy]\nrequired_from = 2999-12-31\n",
    "[[rule]]\nservices = [\"sshd\"]\nmode = \"off\"\n",
    "[[rule]]\nusers = [\"bob\"]\nfrom = [\"127.0.0.1\"]\nmode = \"optional\"\n",
];

/// Alice, who is enrolled, and bob, who is not; the service `sshd` shows what the module returns.
fn door(policy: &str) -> Host {
    let host = Host::new().user("alice", "rabbit hole").user("bob", "walrus").config(policy);
    host.pam("sshd", &exact("")).pam("door", &exact(""))
}

/// The last decision's line.
fn last(host: &Running) -> String {
    host.logged_by_now("outcome=").pop().unwrap()
}

#[test]
fn whoever_is_exempt_gets_in_over_ssh_with_a_first_factor_alone() {
    // A stack without a first factor, and an sshd that asks for none before it.
    let host = Host::new().user("bob", "walrus").pam_example("sshd", "sshd-key").sshd("").start();
    host.make_key("bob");
    for policy in EXEMPTING {
        host.write(POLICY, policy);
        let seen = host.log().len();
        host.ssh("bob").methods("keyboard-interactive").open().end().refused();
        let line = host.wait_for_log_behind(seen, "outcome=denied user=\"bob\"");
        assert!(line.contains("reason=no_first_factor"), "{policy}: {line}");
        // Behind a key the same is an exemption.
        let attempt = Attempt::new("sshd", "bob").from("127.0.0.1").after_a_key();
        assert_eq!(attempt.run(&host).code(), "PAM_SUCCESS", "{policy}");
        assert!(last(&host).contains("outcome=exempt"), "{policy}: {}", last(&host));
    }
}

#[test]
fn what_is_no_address_is_in_no_network_and_nothing_is_asked_of_any_resolver() {
    let trusting = "[policy]\ntrusted = [\"0.0.0.0/0\", \"::/0\"]\n";
    let host = door(trusting).start();
    host.enrol("alice");
    // Names that the host would find an address for.
    host.write("/etc/hosts", "192.0.2.7 office office.example.org\n::1 localhost\n");
    let long = "a".repeat(5_000);
    let not_addresses = [
        "office",
        "office.example.org",
        "localhost",
        "UNKNOWN",
        "",
        " 192.0.2.7",
        "192.0.2.7\n",
        "192.0.2.7%eth0",
        "fe80::1%eth0",
        "192.0.2.07",
        "3221225991",
        "0xc0000207",
        "192.0.2.7/32",
        "[::1]",
        "::1%",
        &long,
    ];
    let allowing = "[policy]\nallow_from = [\"0.0.0.0/0\", \"::/0\"]\n";
    let ruling = "[[rule]]\nfrom = [\"0.0.0.0/0\", \"::/0\"]\nmode = \"off\"\n";
    for rhost in not_addresses {
        for policy in [trusting, ruling] {
            host.write(POLICY, policy);
            let report =
                Attempt::new("sshd", "alice").from(rhost).after_a_key().answer("").run(&host);
            assert_eq!((report.code(), report.asked()), ("PAM_AUTH_ERR", vec![CODE]), "{rhost:?}");
            assert!(last(&host).ends_with("reason=empty"), "{rhost:?}: {}", last(&host));
        }
        host.write(POLICY, allowing);
        let attempt = Attempt::new("sshd", "alice").from(rhost).after_a_key().answer("000000");
        assert_eq!(attempt.run(&host).code(), "PAM_AUTH_ERR");
        assert!(last(&host).ends_with("reason=outside"), "{rhost:?}: {}", last(&host));
    }
    // sshd without a remote host comes from somewhere; every other service from here, which is no
    // network, and not outside.
    host.write(POLICY, allowing);
    Attempt::new("sshd", "alice").after_a_key().answer("000000").run(&host);
    assert!(last(&host).ends_with("reason=outside"), "{}", last(&host));
    Attempt::new("door", "alice").answer("000000").run(&host);
    assert!(last(&host).contains("reason=wrong_code"), "{}", last(&host));
    for rhost in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", "::1"] {
        host.write(POLICY, trusting);
        let report = Attempt::new("sshd", "alice").from(rhost).after_a_key().run(&host);
        assert_eq!(report.code(), IGNORED, "{rhost}");
    }
}

#[test]
fn from_outside_words_are_those_for_a_wrong_code() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .config("[policy]\nallow_from = [\"192.0.2.0/24\"]\nhelp = \"Ask the help desk.\"\n")
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    let mut phone = host.enrol("alice").device;
    let shown = |from: &str, code: &str| {
        let mut ssh = host.ssh("alice").from(from).open();
        ssh.answer(PASSWORD, "rabbit hole").answer(CODE, code).end().refused()
    };
    let wrong = shown("192.0.2.7", &phone.wrong_code());
    let code = phone.code();
    assert_eq!(shown("198.51.100.7", &code), wrong);
    host.wait_for_log("reason=outside");
    // It was neither counted nor used up.
    let mut ssh = host.ssh("alice").from("192.0.2.7").open();
    ssh.answer(PASSWORD, "rabbit hole").answer(CODE, &code).end().let_in("alice");
}

#[test]
fn su_and_sudo_have_the_rules_of_whose_code_they_ask_for() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .config(
            "[[rule]]\nname = \"alice's\"\nusers = [\"alice\"]\nmode = \"required\"\n\
             [[rule]]\nname = \"bob's\"\nusers = [\"bob\"]\nmode = \"off\"\n",
        )
        .pam_example("su", "su")
        .pam_example("sudo", "sudo")
        .file_with_mode(
            "/etc/sudoers.d/t",
            "Defaults:bob targetpw\nalice ALL=(ALL) ALL\nbob ALL=(ALL) ALL\n",
            0o440,
        )
        .start();
    let phone = host.enrol("alice").device;
    let ask = |caller: &str, command: &str, password: (&str, &str), is_asked: bool| {
        let seen = host.log().len();
        let run_as = format!("setpriv --reuid {caller} --regid {caller} --init-groups {command}");
        let mut terminal = host.terminal(&run_as);
        terminal.expect(password.0);
        terminal.send_line(password.1);
        if is_asked {
            terminal.expect(CODE);
            terminal.send_line(&phone.wrong_code());
        }
        let line = host.wait_for_log_behind(seen, "pam_mfa: outcome=");
        terminal.send("\x03");
        terminal.end();
        line
    };
    // su: the one who is become.
    let line = ask("alice", "su bob -c 'id -un'", (PASSWORD, "walrus"), false);
    assert!(line.contains("outcome=exempt user=\"bob\""), "{line}");
    assert!(line.ends_with("rule=\"bob's\""), "{line}");
    let line = ask("bob", "su alice -c 'id -un'", (PASSWORD, "rabbit hole"), true);
    assert!(line.contains("user=\"alice\"") && line.ends_with("rule=\"alice's\""), "{line}");
    // sudo: who calls it; the target under targetpw.
    let line = ask("alice", "sudo -k -u bob id -un", ("alice: ", "rabbit hole"), true);
    assert!(line.contains("user=\"alice\"") && line.ends_with("rule=\"alice's\""), "{line}");
    let line = ask("bob", "sudo -k -u alice id -un", ("alice: ", "rabbit hole"), true);
    assert!(line.contains("user=\"alice\"") && line.ends_with("rule=\"alice's\""), "{line}");
    // root is asked by nobody.
    let seen = host.logged_by_now("pam_mfa: outcome=").len();
    assert_eq!(host.run(&["su", "alice", "-c", "id -un"]).ok(), "alice\n");
    assert_eq!(host.logged_by_now("pam_mfa: outcome=").len(), seen);
}

#[test]
fn a_group_of_very_many_keeps_nobody_out() {
    let policy = "[policy]\nmode = \"off\"\n[[rule]]\ngroups = [\"everybody\"]\nmode = \"required\"\n\
                  [[rule]]\ngroups = [\"behind\"]\nmode = \"required\"\n";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("carol", "looking glass")
        .config(policy)
        .pam("door", &exact(""))
        .start();
    // More than fit into a mebibyte, and whoever looks for the group behind reads over them.
    let members: Vec<_> = (0..200_000).map(|number| format!("student{number}")).collect();
    let members = members.join(",");
    let groups = host.read("/etc/group");
    host.write(
        "/etc/group",
        format!("{groups}everybody:x:7000:{members},alice\nbehind:x:7001:bob\n"),
    );
    for (user, expected) in [("alice", "PAM_AUTH_ERR"), ("bob", "PAM_AUTH_ERR"), ("carol", IGNORED)]
    {
        let report = Attempt::new("door", user).answer("").run(&host);
        assert_eq!(report.code(), expected, "{user}: {}", last(&host));
    }
    let checked = host.run(&["mfa-setup", "check"]).ok();
    assert!(!checked.contains("warning"), "{checked}");
}

#[test]
fn a_console_is_a_terminal_of_this_machine() {
    let host = door("[[rule]]\nconsole = true\nmode = \"off\"\n").start();
    let attempt = |tty: Option<&str>, rhost: Option<&str>| {
        let tty = tty.map(Into::into);
        let attempt =
            Attempt { tty, rhost: rhost.map(Into::into), ..Attempt::new("door", "alice") };
        attempt.run(&host).code().to_owned()
    };
    for tty in ["tty1", "/dev/tty1", ":0", "/dev/console"] {
        assert_eq!(attempt(Some(tty), None), IGNORED, "{tty}");
        assert_ne!(attempt(Some(tty), Some("192.0.2.7")), IGNORED, "{tty} from elsewhere");
        assert_ne!(attempt(Some(tty), Some("localhost")), IGNORED, "{tty} from elsewhere");
    }
    for tty in [None, Some("/dev/pts/0"), Some("ssh"), Some("localhost:10.0"), Some("")] {
        assert_ne!(attempt(tty, None), IGNORED, "{tty:?}");
    }
}

#[test]
fn a_user_s_own_program_is_in_no_network_and_at_no_console() {
    // Whatever it claims on the users' socket: its service is "unprivileged", its source this host.
    let policy = "[[rule]]\nservices = [\"sshd\"]\nmode = \"off\"\n\
                  [[rule]]\nfrom = [\"0.0.0.0/0\"]\nmode = \"off\"\n\
                  [[rule]]\nconsole = true\nmode = \"off\"\n\
                  [[rule]]\nservices = [\"unprivileged\"]\nwindow = 2\n";
    let host = door(policy).start();
    let explained = ["mfa-setup", "explain", "alice", "--service", "unprivileged", "--json"];
    let explained = host.run(&explained).json();
    assert_eq!(
        (&explained["rule"]["number"], &explained["requirement"]),
        (&4.into(), &"challenge".into())
    );
}

#[test]
fn an_explanation_says_what_then_happens() {
    let policy = "[policy]\ntrusted = [\"203.0.113.0/24\"]\n\
                  [[rule]]\nname = \"bob\"\nusers = [\"bob\"]\nservices = [\"door\"]\nmode = \"optional\"\n\
                  [[rule]]\ngroups = [\"games\"]\nmode = \"off\"\n\
                  [[rule]]\nfrom = [\"198.51.100.0/24\"]\nmethods = [\"backup_code\"]\n";
    let host = door(policy).user("carol", "snark").start();
    host.shell("usermod -aG games carol");
    host.enrol("alice");
    for (user, from) in [
        ("alice", Some("192.0.2.7")),
        ("alice", Some("198.51.100.7")),
        ("alice", Some("203.0.113.7")),
        ("alice", Some("office.example.org")),
        ("alice", None),
        ("bob", Some("192.0.2.7")),
        ("bob", None),
        ("carol", None),
        ("carol", Some("203.0.113.7")),
    ] {
        let mut argv = vec!["mfa-setup", "explain", user, "--service", "door", "--json"];
        argv.extend(from.iter().flat_map(|from| ["--from", from]));
        let explained = host.run(&argv).json();
        let attempt = Attempt { rhost: from.map(Into::into), ..Attempt::new("door", user) };
        let report = attempt.answer("").run(&host);
        let line = last(&host);
        let asked = explained["requirement"] == "challenge";
        assert_eq!(asked, report.asked() == [CODE], "{explained} {line}");
        if !asked {
            let reason = format!("reason={}", explained["reason"].as_str().unwrap());
            assert!(line.contains(&reason), "{explained} {line}");
        }
        let rule = &explained["rule"];
        let named = match (&rule["name"], &rule["number"]) {
            (Value::String(name), _) => format!(" rule=\"{name}\""),
            (_, Value::Number(number)) => format!(" rule={number}"),
            _ => String::new(),
        };
        assert!(line.ends_with(&named) && named.is_empty() != line.contains("rule="), "{line}");
    }
}

#[test]
fn times_are_those_of_the_host_s_zone_whatever_the_environment_says() {
    let host = door("[[rule]]\ntime = [\"22:00-06:00\"]\nmode = \"off\"\n").start();
    let asked = |at: &str| {
        let argv = [
            "env",
            "TZ=Pacific/Kiritimati",
            "mfa-setup",
            "explain",
            "alice",
            "--service",
            "door",
            "--json",
            "--at",
            at,
        ];
        host.run(&argv).json()["requirement"].as_str().unwrap().to_owned()
    };
    host.shell("rm -f /etc/localtime");
    assert_eq!(asked("2026-07-01T20:30:00Z"), "challenge", "UTC where no zone is set");
    host.write("/etc/localtime", clock::zone_file("CET-1CEST,M3.5.0,M10.5.0/3"));
    assert_eq!(asked("2026-07-01T20:30:00Z"), "exempt", "22:30 in summer");
    assert_eq!(asked("2026-12-01T20:30:00Z"), "challenge", "21:30 in winter");
    assert_eq!(asked("2026-12-01 22:00"), "exempt");
    // What cannot be known is refused.
    host.write("/etc/localtime", "no zone");
    let output = host.run(&["mfa-setup", "explain", "alice", "--service", "door"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert_eq!(Attempt::new("door", "alice").answer("").run(&host).code(), "PAM_AUTHINFO_UNAVAIL");
    assert!(
        last(&host).contains("the time zone cannot be read from /etc/localtime"),
        "{}",
        last(&host)
    );
}

#[test]
fn a_check_reads_what_a_login_reads() {
    let host = door("[policy]\nmode = \"required\"\ntrusted = [\"192.0.2.7/24\"]\n").start();
    let output = host.run(&["mfa-setup", "check"]);
    assert_eq!(output.code, Some(3));
    assert!(output.stdout.is_empty());
    let place = "mfa-setup: error: /etc/pam_mfa/config.toml:3:12: ";
    assert!(output.stderr.starts_with(place), "{}", output.stderr);
    assert!(output.stderr.contains("the network is 192.0.2.0/24"), "{}", output.stderr);
    assert_eq!(Attempt::new("door", "alice").answer("").run(&host).code(), "PAM_AUTHINFO_UNAVAIL");
    assert!(last(&host).contains("config.toml:3:12: "), "{}", last(&host));

    host.write("/root/new.toml", "[[rule]]\nusers = [\"carol\"]\nmode = \"off\"\n");
    let output = host.run(&["mfa-setup", "check", "--config", "/root/new.toml"]).ok();
    let expected = "/root/new.toml can be used: 1 rule.\nwarning: line 1: rule 1: there is no user \"carol\"\n";
    assert_eq!(output, expected);
    let output = host.run(&["mfa-setup", "check", "--config", "/root/missing.toml"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    host.shell(&format!("rm {POLICY}"));
    let checked = host.run(&["mfa-setup", "check", "--json"]).json();
    assert_eq!((&checked["exists"], &checked["path"]), (&false.into(), &POLICY.into()));
    let output = host.run_as("alice", &["mfa-setup", "check"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let output = host.run_as("alice", &["mfa-setup", "explain", "bob", "--service", "sshd"]);
    assert_eq!(output.code, Some(4), "{output:?}");
}

#[test]
fn who_is_not_enrolled_yet_is_told_how_long_it_takes() {
    let host = door("[policy]\nrequired_from = 2999-12-31T08:00:00+01:00\n").start();
    let report = Attempt::new("door", "bob").run(&host);
    assert_eq!(report.code(), IGNORED);
    // What follows is `exact`'s own.
    let shown = &report.shown[0];
    assert_eq!(shown.style, Style::Info);
    assert!(shown.text.starts_with("From 2999-12-31T08:00:00+01:00 on "), "{}", shown.text);
    assert!(shown.text.ends_with(" days are left. Enrol with: mfa-setup"), "{}", shown.text);
    assert!(last(&host).contains("reason=not_required_yet"), "{}", last(&host));
}
