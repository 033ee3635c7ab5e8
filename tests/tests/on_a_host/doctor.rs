//! `mfa-setup doctor`: what is wrong with a host is found, and what it says to type mends it.

use mfa_tests::command_line::{REQUIRED, failed, setup};
use mfa_tests::pam::Attempt;
use mfa_tests::{Host, Running};
use serde_json::Value;

const CODE: &str = "Verification code: ";

/// All that PAM asks for on a Debian, and sshd as the package's example has it.
fn host() -> Host {
    Host::new()
        .user("alice", "rabbit hole")
        .config(REQUIRED)
        .pam_example("sshd", "sshd")
        .pam_example("sudo", "sudo")
        .sshd_example("pam_mfa-password.conf")
}

/// What was found about that, each with its level.
fn about(host: &Running, what: &str) -> Vec<(String, String, String)> {
    let output = setup(host, "doctor --json");
    let answer: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let findings = answer["findings"].as_array().unwrap();
    let problems = findings.iter().any(|finding| finding["level"] == "problem");
    assert_eq!(output.code, Some(i32::from(problems)), "{output:?}");
    let of = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let wanted = findings.iter().filter(|finding| finding["about"] == what);
    wanted
        .map(|finding| (of(finding, "level"), of(finding, "found"), of(finding, "hint")))
        .collect()
}

/// The one thing that is not as it should be.
#[track_caller]
fn fault(host: &Running, what: &str, level: &str, found: &str) -> String {
    let all = about(host, what);
    let faults: Vec<_> = all.iter().filter(|finding| finding.0 != "ok").collect();
    let [(its, text, hint)] = faults.as_slice() else { panic!("{what}: {all:#?}") };
    assert_eq!(its, level, "{text}");
    assert!(text.contains(found), "{text}");
    assert!(!hint.is_empty(), "{text}");
    hint.clone()
}

#[track_caller]
fn is_fine(host: &Running, what: &str) {
    let all = about(host, what);
    assert!(!all.is_empty() && all.iter().all(|finding| finding.0 == "ok"), "{what}: {all:#?}");
}

#[test]
fn on_a_host_that_is_set_up_nothing_is_bad_and_nothing_changes() {
    let host = host().start();
    let mut phone = host.enrol("alice").device;
    let before = host.shell("find /etc /var/lib/pam_mfa -printf '%p %s %T@ %C@\\n' | sort");
    for what in ["policy", "store", "space", "pam.d", "judgement", "sshd"] {
        is_fine(&host, what);
    }
    let [(_, asked, _)] = about(&host, "pam.d").try_into().unwrap();
    assert_eq!(asked, "these ask for a code: sshd, sudo");
    let after = host.shell("find /etc /var/lib/pam_mfa -printf '%p %s %T@ %C@\\n' | sort");
    assert_eq!(after, before);
    let code = phone.code();
    host.ssh("alice")
        .open()
        .answer("Password: ", "rabbit hole")
        .answer(CODE, &code)
        .end()
        .let_in("alice");

    let text = setup(&host, "doctor").stdout;
    assert!(
        text.starts_with("ok       policy     /etc/pam_mfa/config.toml can be used\n"),
        "{text}"
    );
    assert!(text.contains("\n0 problems, "), "{text}");
}

#[test]
fn who_is_kept_out_soon_is_warned_of() {
    let host = host().start();
    // Neither store nor key, and everybody is asked.
    let hint = fault(&host, "store", "warning", "nobody has enrolled, and policy requires it");
    assert!(hint.contains("mfa-setup --user"), "{hint}");
    host.enrol("alice");
    is_fine(&host, "store");
    host.shell("mv /etc/pam_mfa/store.key /root/");
    fault(&host, "store", "problem", "whoever is asked is refused");
    fault(&host, "judgement", "problem", "could not be judged");
    host.shell("mv /root/store.key /etc/pam_mfa/; chmod 666 /etc/pam_mfa/config.toml");
    let hint = fault(&host, "verifier", "problem", "/etc/pam_mfa/config.toml");
    assert!(hint.contains("chmod"), "{hint}");
    host.shell("chmod 644 /etc/pam_mfa/config.toml");
    is_fine(&host, "judgement");
    // Of users nobody is there to serve them.
    let hint = fault(&host, "listeners", "warning", "nobody serves users");
    assert_eq!(hint, "systemctl enable --now mfa-verifier-users.service");
}

#[test]
fn a_policy_that_asks_nobody_or_names_what_does_not_ask_is_found() {
    let host = host().start();
    host.enrol("alice");
    host.write("/etc/pam_mfa/config.toml", "[policy]\nmode = \"off\"\n");
    fault(&host, "policy", "warning", "asks nobody for a code");
    host.write("/etc/pam_mfa/config.toml", "[policy]\nservices = [\"sshd\", \"login\"]\n");
    fault(&host, "pam.d", "warning", "policy names \"login\", whose stack has no pam_mfa.so");
}

#[test]
fn stacks_that_let_in_without_a_code_are_found_and_do_let_in() {
    let host = host().start();
    host.enrol("alice");
    let by_password =
        || Attempt::new("app", "alice").answer("rabbit hole").answer("000000").run(&host);
    for (stack, found, lets_in) in [
        (
            "auth sufficient pam_unix.so nodelay\nauth required pam_mfa.so\nauth required pam_permit.so\n",
            "who gets past \"sufficient pam_unix.so\" is never asked for a code",
            true,
        ),
        (
            "auth required pam_unix.so nodelay\nauth sufficient pam_mfa.so\n",
            "a wrong code keeps nobody out at \"sufficient pam_mfa.so\"",
            true,
        ),
        (
            "auth [success=2 default=ignore] pam_unix.so nodelay\nauth requisite pam_deny.so\n\
             auth required pam_mfa.so\nauth required pam_permit.so\n",
            "who gets past \"[success=2 default=ignore] pam_unix.so\" is never asked for a code",
            true,
        ),
        (
            "auth required pam_mfa.so forward_pass\nauth requisite pam_unix.so nodelay\n",
            "no line judges the code",
            false,
        ),
        (
            "auth requisite pam_unix.so nodelay\nauth required pam_mfa.so\nauth required pam_deny.so\n",
            "nobody gets in",
            false,
        ),
        (
            "auth requisite pam_unix.so nodelay\nauth required pam_mfa.so\nauth required pam_permit.so\n",
            "",
            false,
        ),
    ] {
        host.write("/etc/pam.d/app", stack);
        if found.is_empty() {
            is_fine(&host, "pam.d");
        } else {
            let all = about(&host, "pam.d");
            let is_it = |finding: &(String, String, String)| {
                finding.0 == "problem" && finding.1.contains(found) && finding.1.ends_with("(app)")
            };
            assert!(all.iter().any(is_it), "{stack}: {all:#?}");
        }
        assert_eq!(by_password().code() == "PAM_SUCCESS", lets_in, "{stack}");
    }
}

#[test]
fn what_cannot_be_looked_at_or_asks_otherwise_is_named_and_copies_are_passed_over() {
    let host = host().start();
    host.enrol("alice");
    host.shell("chmod 664 /etc/pam.d/sudo");
    let hint = fault(&host, "pam.d", "warning", "not looked at");
    assert!(hint.contains("chmod go-w"), "{hint}");
    host.shell("chmod 644 /etc/pam.d/sudo");
    // What others take in is no service, and an old copy of one is none.
    let bad = "auth sufficient pam_unix.so nodelay\nauth required pam_mfa.so\nauth required pam_permit.so\n";
    for copy in ["sshd.dpkg-old", "sshd.rpmsave", "sshd~", "common-auth.pam-old"] {
        host.write(format!("/etc/pam.d/{copy}"), bad);
    }
    is_fine(&host, "pam.d");
    host.write(
        "/etc/pam.d/app",
        "auth requisite pam_unix.so\nauth required pam_mfa.so config=/etc/other.toml\n",
    );
    let hint = fault(&host, "pam.d", "warning", "these ask with the policy of another file: app");
    assert!(hint.contains("--config"), "{hint}");
    // A wrong password gets as far as the code.
    host.write("/etc/pam.d/app", "auth required pam_unix.so\nauth required pam_mfa.so\n");
    let hint = fault(&host, "pam.d", "warning", "can use up the owner's tries (app)");
    assert!(hint.contains("requisite"), "{hint}");
}

#[test]
fn settings_of_sshd_that_do_not_fit_are_found_and_what_it_says_mends_them() {
    let host = host().start();
    host.enrol("alice");
    let write = |lines: &str| host.write("/etc/ssh/sshd_config", lines);
    write("UsePAM no\n");
    fault(&host, "sshd", "problem", "it asks PAM nothing");
    // Debian's own.
    write("UsePAM yes\nKbdInteractiveAuthentication no\nPubkeyAuthentication no\n");
    let hint =
        fault(&host, "sshd", "problem", "whoever has enrolled and types a password is refused");
    assert!(hint.contains("sshd_config.d"), "{hint}");
    write("UsePAM yes\nKbdInteractiveAuthentication yes\n");
    let hint = fault(&host, "sshd", "warning", "no code is, of who comes by: publickey");
    assert!(hint.contains("pam_mfa-password.conf") && hint.contains("pam_mfa-key.conf"), "{hint}");
    let examples = "/usr/share/doc/pam_mfa/examples";
    host.shell(&format!("cp {examples}/sshd_config.d/pam_mfa-password.conf /etc/ssh/sshd_config"));
    is_fine(&host, "sshd");
    // The stack for keys, where no key is asked for.
    host.shell(&format!("cp {examples}/pam.d/sshd-key /etc/pam.d/sshd"));
    fault(&host, "sshd", "problem", "needs a code and nothing else");
    host.shell(&format!("cp {examples}/sshd_config.d/pam_mfa-key.conf /etc/ssh/sshd_config"));
    is_fine(&host, "sshd");
    write("UsePAM perhaps\n");
    fault(&host, "sshd", "problem", "its settings cannot be read: ");
    // A service that does not ask is nobody's business.
    host.write("/etc/pam.d/sshd", "@include common-auth\n");
    assert_eq!(about(&host, "sshd"), []);
}

#[test]
fn a_store_that_fills_up_is_found_before_anybody_is_refused() {
    let host = host().start();
    host.enrol("alice");
    let fill = |size: &str| {
        host.shell(&format!(
            "mkdir -p /srv/mfa && mount -t tmpfs -o size={size} tmpfs /srv/mfa && chmod 700 /srv/mfa"
        ));
        host.write(
            "/etc/pam_mfa/config.toml",
            format!("{REQUIRED}[store]\npath = \"/srv/mfa/store\"\n"),
        );
    };
    fill("8m");
    fault(&host, "space", "problem", "8 MiB are free below /srv/mfa/store");
    fill("100m");
    fault(&host, "space", "warning", "100 MiB are free");
    fill("2g");
    is_fine(&host, "space");
    host.shell("mount -o remount,ro /srv/mfa");
    fault(&host, "space", "problem", "nothing can be written below /srv/mfa");
}

#[test]
fn root_alone_may_ask_and_a_policy_that_is_tried_is_looked_at_by_a_verifier_of_its_own() {
    let host = host().start();
    host.enrol("alice");
    let refused = host.run_as("alice", &["mfa-setup", "doctor"]);
    failed(&refused, 4, "only root can do that");
    failed(&setup(&host, "doctor --user alice"), 2, "doctor is for no user");
    host.write("/root/new.toml", "[policy]\nmode = \"off\"\n");
    let output = setup(&host, "doctor --json --config /root/new.toml");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("/root/new.toml asks nobody"), "{output:?}");
    assert!(!output.stdout.contains("listeners"), "{output:?}");
    // What was asked is no login of anybody's that counts.
    assert_eq!(setup(&host, "users --json").json()["users"].as_array().unwrap().len(), 1);
}
