//! The life of `mfa-verifier --listen-users`: its socket and the directory of it, how it ends, and
//! what it does when it lacks descriptors or has more callers than it can accept.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;

use mfa_tests::listener::USER_SOCKET;
use mfa_tests::peer::{hold_many, host_with_peers};
use mfa_tests::person::PASSWORD;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Person, Running};

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

#[test]
fn the_socket_is_for_everybody_and_its_directory_is_roots_whatever_the_umask() {
    for umask in ["0", "0777"] {
        let script = format!("#!/bin/sh\numask {umask}\nexec {VERIFIER} \"$@\"\n");
        let host = host_with_peers(REQUIRED).file_with_mode("/with-umask", script, 0o755).start();
        let listener = host.listen_with("/with-umask");
        let mode = |path: &str| {
            let metadata = fs::symlink_metadata(host.path(path)).unwrap();
            (metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        assert_eq!(mode(USER_SOCKET), (0o666, 0, 0), "umask {umask}");
        assert_eq!(mode("/run/pam_mfa"), (0o755, 0, 0), "umask {umask}");
        host.status_of("bob").ok();
        assert_eq!(mode("/run/pam_mfa/users.lock"), (0o600, 0, 0), "umask {umask}");
        assert_eq!(host.shell("ls -A /run/pam_mfa"), "user.sock\nusers.lock\n");
        assert_eq!(listener.stop(), Some(0));
        assert!(!host.path(USER_SOCKET).exists());
    }
}

#[test]
fn what_stands_in_the_sockets_place_is_replaced_and_not_followed() {
    let host = host_with_peers(REQUIRED).start();
    host.listen_for_users().stop();
    for (what, planting) in [
        ("a socket of one that was killed", ""),
        ("a link", "ln -s /etc/hostname /run/pam_mfa/user.sock"),
        ("a link to nothing", "ln -s /etc/made /run/pam_mfa/user.sock"),
        ("a FIFO", "mkfifo /run/pam_mfa/user.sock"),
        ("a file", "echo x > /run/pam_mfa/user.sock"),
    ] {
        if planting.is_empty() {
            // Dropped: it ends by SIGKILL.
            drop(host.listen_for_users());
            assert!(host.path(USER_SOCKET).exists());
            let refused = host.status_of("bob");
            assert_eq!(refused.code, Some(3), "{refused:?}");
            assert!(refused.stderr.contains("--listen-users"), "{refused:?}");
        } else {
            host.shell(planting);
        }
        let before = host.read("/etc/hostname");
        let listener = host.listen_for_users();
        until(what, || host.status_of("bob").code == Some(0));
        assert_eq!(host.read("/etc/hostname"), before, "{what}");
        assert!(!host.path("/etc/made").exists(), "{what}");
        // While it listens, nobody else does.
        let second = host.run(&["timeout", "10", VERIFIER, "--listen-users", USER_SOCKET]);
        assert_eq!(second.code, Some(3), "{what}: {second:?}");
        assert!(second.stderr.contains("is listened on already"), "{second:?}");
        host.status_of("bob").ok();
        assert_eq!(listener.stop(), Some(0), "{what}");
        assert!(fs::symlink_metadata(host.path(USER_SOCKET)).is_err(), "{what}");
    }
}

#[test]
fn nobody_listens_where_somebody_else_could_take_the_sockets_place() {
    let host = host_with_peers(REQUIRED).start();
    for (planting, directory) in [
        ("install -d -m 777 /run/open", "/run/open"),
        ("install -d -m 1777 /run/sticky", "/run/sticky"),
        ("install -d -m 775 -g alice /run/groups", "/run/groups"),
        ("install -d -o alice /run/hers", "/run/hers"),
        (
            "install -d -o alice /run/hers/below; install -d /run/hers/below/roots",
            "/run/hers/below/roots",
        ),
        ("install -d -m 755 /run/target; ln -s /run/target /home/alice/link", "/home/alice/link"),
        ("true", "/run/nowhere/at/all"),
    ] {
        host.shell(planting);
        let socket = format!("{directory}/user.sock");
        let refused = host.run(&["timeout", "10", VERIFIER, "--listen-users", &socket]);
        assert_eq!(refused.code, Some(3), "{directory}: {refused:?}");
        assert!(
            refused.stderr.contains("error: ") && refused.stderr.contains("hint: "),
            "{refused:?}"
        );
        assert!(!host.path(&socket).exists(), "{directory}");
    }
    let refused = host.run_as("alice", &[VERIFIER, "--listen-users", "/home/alice/user.sock"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
}

#[test]
fn a_listener_that_is_ended_lets_those_finish_whom_it_serves() {
    let host = host_with_peers(REQUIRED).start();
    let bob = Person::new(&host, "bob", "builder");
    for how in ["TERM", "INT", "KILL"] {
        let listener = host.listen_for_users();
        let mut tty = bob.setup(&[]);
        tty.expect(PASSWORD);
        if how == "TERM" {
            assert_eq!(listener.stop(), Some(0));
        } else {
            host.run(&["kill", &format!("-{how}"), &listener.pid().to_string()]).ok();
        }
        let gone = || !host.path(USER_SOCKET).exists();
        if how != "KILL" {
            until("the socket is gone", gone);
        }
        tty.send_line(&bob.password);
        bob.enrol_at(&mut tty);
        host.run(&["mfa-setup", "reset", "--user", "bob", "--yes"]).ok();
    }
}

#[test]
fn a_listener_that_lacks_descriptors_goes_on_when_it_has_them_again() {
    let host = host_with_peers(REQUIRED).start();
    let listener = host.listen_for_users();
    host.status_of("bob").ok();
    until("all verifiers are gone", || listener.verifiers().is_empty());
    let before = listener.descriptors();
    let least = least_limit(&host, listener.pid());
    let allow = |files| limit_descriptors(&host, listener.pid(), files);
    // Not even the connection can be accepted: it waits.
    allow(least);
    thread::scope(|scope| {
        let bob = scope.spawn(|| host.status_of("bob"));
        until("bob asks", || bob.is_finished() || is_asking(&host));
        allow(1024);
        bob.join().unwrap().ok();
    });
    // It can, and no verifier can be started for it: that is said.
    let mut seen = vec![];
    for files in least + 1..least + 10 {
        allow(files);
        let output = host.status_of("bob");
        assert!(matches!(output.code, Some(0 | 3)), "{files}: {output:?}");
        seen.push(output.code.unwrap());
    }
    assert!(seen.contains(&0) && seen.contains(&3), "{seen:?}");
    allow(1024);
    host.status_of("bob").ok();
    until("all verifiers are gone", || listener.verifiers().is_empty());
    assert_eq!(listener.descriptors(), before);
    assert_eq!(listener.stop(), Some(0));
}

#[test]
fn who_comes_to_a_full_queue_waits_for_a_moment_and_is_served() {
    hold_many();
    let host = host_with_peers(REQUIRED).start();
    let listener = host.listen_for_users();
    // It accepts nobody meanwhile, as on a machine that is busy for a moment.
    limit_descriptors(&host, listener.pid(), least_limit(&host, listener.pid()));
    let mut peer = host.peer("alice");
    let mut held = vec![];
    let full = loop {
        match peer.try_connect() {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 10_000, "the queue has no end");
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    println!("the queue holds {}", held.len());
    thread::scope(|scope| {
        let bob = scope.spawn(|| host.status_of("bob"));
        until("bob asks", || bob.is_finished() || is_asking(&host));
        limit_descriptors(&host, listener.pid(), 1024);
        bob.join().unwrap().ok();
    });
}

fn is_asking(host: &Running) -> bool {
    host.run(&["pgrep", "-x", "mfa-setup"]).code == Some(0)
}

/// The limit under which nothing more can be opened.
fn least_limit(host: &Running, pid: u32) -> usize {
    let open = |number: &usize| host.path(format!("/proc/{pid}/fd/{number}")).symlink_metadata();
    (0..4096).find(|number| open(number).is_err()).unwrap()
}

fn limit_descriptors(host: &Running, pid: u32, files: usize) {
    let files = format!("--nofile={files}:4096");
    host.run(&["prlimit", "--pid", &pid.to_string(), &files]).ok();
}
