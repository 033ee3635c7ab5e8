//! `make demo`: a second factor from its enrolment to a login, on a host in a container, as the
//! person at the terminal sees it.
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, IsTerminal};

use mfa_tests::{Device, Host, Pty, Running};

const PASSWORD: &str = "rabbit hole";
const CODE: &str = "Verification code: ";

fn main() {
    title("A host with sshd, its users and pam_mfa starts in a container");
    let host = Host::new()
        .user("alice", PASSWORD)
        .pam_example("sshd", "sshd")
        .sshd_example("pam_mfa-password.conf")
        .start();
    say("/etc/pam.d/sshd asks for the password, then for the code:\n");
    say("    @include common-auth");
    say("    auth       required     pam_mfa.so");

    title("Before: alice has a password and nothing else");
    log_in(&host, None, "logged in as alice");

    title("Alice enrols the authenticator app on her phone");
    let (mut phone, backup) = enrol(&host);

    title("Now her password alone does not do");
    let code = phone.code();
    say(&format!("The first code counts as used; the next one in her app is {code}.\n"));
    log_in(&host, Some(&code), "logged in as alice");

    title("Somebody saw that code over her shoulder, and has her password too");
    log_in(&host, Some(&code), "This code was already used");

    title("Her phone is at home: a backup code, once");
    log_in(&host, Some(&backup), "logged in as alice");
    log_in(&host, Some(&backup), "Permission denied");

    title("What the log of the host says of it");
    for line in host.logged("outcome=") {
        say(&line);
    }

    title("The container is taken down; nothing is left of it");
}

/// `mfa-setup`, and a person with a phone in front of it.
fn enrol(host: &Running) -> (Device, String) {
    say("root@testhost:~# mfa-setup add totp --user alice\n");
    let term = if is_in_colour() { "TERM=xterm" } else { "TERM=dumb" };
    let mut terminal = host.pty(&["env", term, "mfa-setup", "add", "totp", "--user", "alice"]);
    let shown = terminal.expect("The code that it shows now: ");
    let mut ends = shown.lines().rev().filter_map(|line| line.rsplit(": ").next());
    let key = ends.find(|end| is_key(end)).expect("the key, in groups for typing");
    let mut phone = Device::totp(&key.split_whitespace().collect::<String>());
    terminal.send_line(&phone.code());
    let sheet = terminal.expect("Type one of these codes");
    let backup = sheet.lines().find_map(|line| line.trim().strip_prefix("1  "));
    let backup = backup.expect("a first backup code").trim().to_owned();
    terminal.expect(": ");
    terminal.send_line(&backup);
    end(&mut terminal, "");
    (phone, backup)
}

/// Whether this is a key in base32, in groups.
fn is_key(text: &str) -> bool {
    let base32 = |c: char| matches!(c, 'A'..='Z' | '2'..='7' | ' ');
    text.trim().len() >= 16 && text.trim().chars().all(base32)
}

/// A login over ssh, which must come to show `ending`.
fn log_in(host: &Running, code: Option<&str>, ending: &str) {
    say("alice@laptop:~$ ssh testhost\n");
    let mut ssh = host.ssh("alice").open();
    ssh.answer("Password: ", PASSWORD);
    if let Some(code) = code {
        ssh.answer(CODE, code);
    }
    end(ssh.pty(), ending);
}

/// Waits for the end and shows what was on the screen.
fn end(terminal: &mut Pty, ending: &str) {
    terminal.end();
    let screen = terminal.text();
    for line in screen.lines() {
        say(line.trim_end_matches('\r'));
    }
    say("");
    assert!(screen.contains(ending), "\"{ending}\" was to be shown");
}

fn title(text: &str) {
    let (bold, plain) = if is_in_colour() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}{text}{plain}\n");
}

/// Whether this goes to a terminal, of a kind that knows colours.
fn is_in_colour() -> bool {
    let knows = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    knows && io::stdout().is_terminal()
}

fn say(text: &str) {
    for line in text.split('\n') {
        println!("  {line}");
    }
}
