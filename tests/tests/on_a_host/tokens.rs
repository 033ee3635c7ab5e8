//! Access tokens, given by scripts that log in over a real sshd with nobody at hand.

use mfa_tests::clock;
use mfa_tests::{Host, Output, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

/// Some time that the verifier's clock shows.
const NOW: u64 = 1_800_000_000;

/// Alice with her key, sshd asking for key and code, by a clock of its own.
fn host() -> Running {
    let rest = "auth required pam_permit.so\naccount required pam_permit.so\n\
                session required pam_permit.so\n";
    let host = Host::new()
        .clock()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam("sshd", &format!("{}{rest}", clock::module()))
        .sshd_example("pam_mfa-key.conf")
        // What ssh runs in place of asking a person.
        .file_with_mode("/usr/local/bin/give-token", "#!/bin/sh\ncat /root/token\n", 0o700)
        .start();
    host.make_key("alice");
    host.set_clock(NOW);
    host.enrol_by_clock("alice", &["totp"]);
    host
}

/// Makes a token, and leaves it where the script finds it.
fn make(host: &Running, options: &[&str]) -> String {
    let argv = [&["token", "new", "backup", "--json"], options].concat();
    let made = host.setup_by_clock("alice", &argv).json();
    let token = made["token"].as_str().unwrap();
    host.write("/root/token", token);
    token.to_owned()
}

fn revoke(host: &Running) {
    host.setup_by_clock("alice", &["token", "revoke", "backup"]).ok();
}

/// A script without a terminal logs in.
fn log_in(host: &Running, from: &str) -> Output {
    let bind = format!("-oBindAddress={from}");
    let mut argv =
        vec!["env", "SSH_ASKPASS=/usr/local/bin/give-token", "SSH_ASKPASS_REQUIRE=force"];
    argv.extend(["setsid", "--wait", "ssh", "-F/dev/null", "-oUserKnownHostsFile=/dev/null"]);
    argv.extend(["-oNumberOfPasswordPrompts=1", "-oIdentitiesOnly=yes"]);
    argv.extend(["-oIdentityFile=/root/.ssh/id_alice", &bind, "-lalice", "127.0.0.1", "id -un"]);
    host.run(&argv)
}

#[track_caller]
fn let_in(host: &Running, from: &str) {
    let output = log_in(host, from);
    assert_eq!(output.stdout, "alice\n", "{}", output.stderr);
}

#[track_caller]
fn refused(host: &Running, from: &str, reason: &str) -> String {
    let seen = host.log().len();
    let output = log_in(host, from);
    assert_eq!((output.code, output.stdout.as_str()), (Some(255), ""), "{}", output.stderr);
    host.wait_for_log_behind(seen, &format!("reason={reason}"));
    output.stderr
}

#[test]
fn a_script_logs_in_by_a_token_within_its_scope_and_not_outside_of_it() {
    let host = host();
    let token = make(&host, &["--from", "192.0.2.0/24", "--service", "sshd"]);
    for _ in 0..2 {
        let_in(&host, "192.0.2.7");
    }
    let line = host.wait_for_log("outcome=granted");
    assert!(line.contains("factor=token device=\"backup\" reason=accepted"), "{line}");
    let listed = host.setup_by_clock("alice", &["token", "list", "--json"]).json();
    assert_eq!(listed["tokens"][0]["last_from"], "192.0.2.7");
    assert_eq!(listed["tokens"][0]["last_used"], "2027-01-15T08:00:00Z");
    assert_eq!(listed["tokens"][0]["expires"], "2027-04-15T08:00:00Z");

    let elsewhere = refused(&host, "198.51.100.7", "token_source");
    revoke(&host);
    assert_eq!(refused(&host, "198.51.100.7", "wrong_code"), elsewhere);
    refused(&host, "192.0.2.7", "wrong_code");

    make(&host, &["--service", "login"]);
    assert_eq!(refused(&host, "198.51.100.7", "token_service"), elsewhere);
    revoke(&host);
    make(&host, &["--expires", "90d"]);
    host.set_clock(NOW + 90 * 86_400 - 1);
    let_in(&host, "203.0.113.7");
    host.set_clock(NOW + 90 * 86_400);
    refused(&host, "203.0.113.7", "token_expired");

    for record in host.log() {
        assert!(!record.text.contains(&token), "{}", record.text);
    }
}

#[test]
fn a_token_is_shown_once_and_by_nothing_else() {
    let host = host();
    let argv = ["token", "new", "nightly backup", "--from", "10.0.0.0/8", "--from", "::1"];
    let shown = host.setup_by_clock("alice", &argv).ok();
    assert!(shown.contains("Access token \"nightly backup\" of alice, good until"), "{shown}");
    assert!(shown.contains("from 10.0.0.0/8, ::1/128, for any service."), "{shown}");
    let token = shown.split_whitespace().last().unwrap();
    assert!(token.starts_with("mfatok-"), "{shown}");
    let listed = host.setup_by_clock("alice", &["token", "list"]).ok();
    assert!(listed.contains("nightly backup  2027-04-15 08:00  10.0.0.0/8, ::1/128"), "{listed}");
    assert!(!listed.contains("mfatok"), "{listed}");

    let again = host.setup_by_clock("alice", &argv);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("there is a token \"nightly backup\" already"), "{again:?}");
    let unknown = host.setup_by_clock("alice", &["token", "revoke", "other"]);
    assert_eq!(unknown.code, Some(2));
    for (options, error) in [
        (["--from", "10.0.0.0/33"], "\"10.0.0.0/33\" is no network"),
        (["--from", "10.1.2.3/8"], "the network is 10.0.0.0/8"),
        (["--service", "a/b"], "\"a/b\" is no name of a PAM service"),
        (["--expires", "2y"], "that is no time for a token"),
    ] {
        let output = host.setup_by_clock("alice", &[&["token", "new", "x"], &options[..]].concat());
        assert_eq!(output.code, Some(2), "{options:?}");
        assert!(output.stderr.contains(error), "{}", output.stderr);
    }
}
