//! The verifier that stays: who is served by it, and who when it cannot.

use std::time::{Duration, Instant};

use mfa_tests::pam::Attempt;
use mfa_tests::resident::GREETING;
use mfa_tests::traced::VERIFIER;
use mfa_tests::{Host, Running};
use nix::sys::signal::Signal;

/// With no counter looked ahead, a token's code is right only if the record holds exactly the
/// counter before it.
const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

fn host() -> Running {
    Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .disk("/var/lib/pam_mfa")
        .config(CONFIG)
        .pam("app", "auth required pam_mfa.so\n")
        .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
        .start()
}

/// A login; how long it took.
#[track_caller]
fn log_in(host: &Running, service: &str, code: &str) -> Duration {
    let begun = Instant::now();
    let report = Attempt::new(service, "alice").answer(code).run(host);
    assert!(report.accepted(), "{service}: {report:?}");
    begun.elapsed()
}

#[test]
fn a_face_of_root_is_served_by_the_resident() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    // Nothing else could be started.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    log_in(&host, "app", &token.code());
    log_in(&host, "app", &token.code());
    host.run(&["mfa-setup", "status", "--user", "alice"]).ok();
    assert_eq!(resident.stop(), Some(0));
}

#[test]
fn spawned_and_resident_log_in_the_same_user_in_turn() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let _resident = host.reside();
    for _ in 0..20 {
        for service in ["app", "spawn"] {
            let took = log_in(&host, service, &token.code());
            assert!(took < Duration::from_secs(1), "{service}: {took:?}");
        }
    }
    assert_eq!(host.logged("healed="), [""; 0]);
}

#[test]
fn a_resident_that_is_stopped_costs_a_login_the_wait_for_its_greeting() {
    let host = host();
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    let resident = host.reside();
    resident.signal(Signal::SIGSTOP);
    let took = log_in(&host, "app", &token.code());
    assert!((GREETING..GREETING + Duration::from_secs(1)).contains(&took), "{took:?}");
    resident.signal(Signal::SIGCONT);
    let took = log_in(&host, "app", &token.code());
    assert!(took < Duration::from_secs(1), "{took:?}");
}
