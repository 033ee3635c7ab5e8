//! The resident verifier as systemd runs it.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use mfa_tests::pam::{Attempt, exact};
use mfa_tests::resident::ROOT_SOCKET;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::until;
use mfa_tests::{Host, Running};

const SERVICE: &str = "mfa-verifier.service";

fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .config("[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n")
        .pam("exact", &exact(""))
        .booted()
}

fn property(host: &Running, name: &str) -> String {
    let shown = host.run(&["systemctl", "show", "--value", &format!("--property={name}"), SERVICE]);
    shown.ok().trim().to_owned()
}

#[track_caller]
fn log_in(host: &Running, code: &str) {
    let report = Attempt::new("exact", "alice").after_a_key().answer(code).run(host);
    assert_eq!(report.code(), "PAM_SUCCESS", "{report:?}");
}

#[test]
fn the_first_request_of_root_starts_it_and_later_ones_find_it() {
    let host = host().start();
    let socket = host.path(ROOT_SOCKET).symlink_metadata().unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.uid(), socket.mode() & 0o777), (0, 0o600));
    assert_eq!(property(&host, "ActiveState"), "inactive");
    // On a fresh host, so that it makes store and key, in its sandbox.
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    assert_eq!(property(&host, "ActiveState"), "active");
    let pid = property(&host, "MainPID");
    // No face can start another one.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    log_in(&host, &token.code());
    log_in(&host, &token.code());
    assert_eq!(property(&host, "MainPID"), pid);
    let state = host.run(&["systemctl", "is-system-running"]).stdout;
    assert_eq!(state, "running\n", "{}", host.run(&["systemctl", "--failed"]).stdout);
}

#[test]
fn it_has_no_capability_and_cannot_write_but_where_it_must() {
    let host = host().start();
    host.enrol("alice");
    let pid = property(&host, "MainPID");
    let status = host.read(format!("/proc/{pid}/status"));
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let as_it = ["nsenter", "--mount", "--target", &pid, "setpriv", "--bounding-set", "-all"];
    let inside =
        |script: &str| host.run(&[&as_it[..], &["sh", "-c", script]].concat()).code == Some(0);
    for (path, writable) in [
        ("/var/lib/pam_mfa", true),
        ("/etc/pam_mfa", true),
        ("/etc", false),
        ("/usr", false),
        ("/home/alice", false),
    ] {
        assert_eq!(inside(&format!("touch {path}/probe && rm {path}/probe")), writable, "{path}");
    }
}

#[test]
fn it_serves_a_store_wherever_the_policy_puts_it() {
    let host = host().config(
        "[store]\npath = \"/srv/factors/store\"\nkey_file = \"/srv/keys/factors.key\"\n\
         [policy]\nmode = \"required\"\n",
    );
    let host = host.start();
    let mut phone = host.enrol("alice").device;
    log_in(&host, &phone.code());
    assert_eq!(property(&host, "ActiveState"), "active");
    assert_eq!(host.logged_by_now("outcome=unavailable"), [""; 0]);
}

#[test]
fn one_that_was_killed_is_started_again_and_nothing_is_lost() {
    let host = host().start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    // More often than systemd by itself would put up with.
    for _ in 0..8 {
        let pid = property(&host, "MainPID");
        log_in(&host, &token.code());
        host.run(&["systemctl", "kill", "--signal=SIGKILL", SERVICE]).ok();
        // By a verifier of its own, or by the next resident.
        log_in(&host, &token.code());
        until("it runs again", || {
            let now = property(&host, "MainPID");
            now != "0" && now != pid && property(&host, "ActiveState") == "active"
        });
    }
    assert_eq!(host.run(&["systemctl", "is-active", "mfa-verifier.socket"]).stdout, "active\n");
}

#[test]
fn one_that_no_longer_looks_is_ended_by_systemd() {
    let host = host()
        .file(
            "/etc/systemd/system/mfa-verifier.service.d/watchdog.conf",
            "[Service]\nWatchdogSec=3s\n",
        )
        .start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let pid = property(&host, "MainPID");
    host.run(&["kill", "-STOP", &pid]).ok();
    log_in(&host, &token.code());
    until("another one runs", || ![&pid, "0"].contains(&property(&host, "MainPID").as_str()));
    host.wait_for_log("mfa-verifier.service: Watchdog timeout");
    log_in(&host, &token.code());
    assert!(property(&host, "NRestarts").parse::<u32>().unwrap() > 0);
}

#[test]
fn it_ends_when_it_is_told_to_and_comes_back_with_the_next_request() {
    let host = host().start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.run(&["systemctl", "stop", SERVICE]).ok();
    assert_eq!(property(&host, "Result"), "success");
    log_in(&host, &token.code());
    assert_eq!(property(&host, "ActiveState"), "active");
    host.run(&["systemctl", "stop", "mfa-verifier.socket", SERVICE]).ok();
    assert!(!host.path(ROOT_SOCKET).exists());
    log_in(&host, &token.code());
    assert_eq!(property(&host, "ActiveState"), "inactive");
}

#[test]
fn one_that_cannot_start_keeps_nobody_out_and_is_tried_again() {
    let host = host()
        .file(
            "/etc/systemd/system/mfa-verifier.service.d/broken.conf",
            "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n",
        )
        .start();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    // More often than systemd by itself would try.
    until("it was tried", || property(&host, "NRestarts").parse::<u32>().unwrap() > 10);
    log_in(&host, &token.code());
    assert_eq!(host.run(&["systemctl", "is-active", "mfa-verifier.socket"]).stdout, "active\n");
    host.shell("rm -r /etc/systemd/system/mfa-verifier.service.d; systemctl daemon-reload");
    until("it runs", || property(&host, "SubState") == "running");
    log_in(&host, &token.code());
}
