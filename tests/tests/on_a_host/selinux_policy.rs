//! The policy in `packaging/selinux`: that it compiles, and labels what `make install` lays out. What it
//! allows and what not, a kernel says that has one: `tests/tests/confined`.

use std::fs;
use std::path::Path;
use std::process::Command;

use mfa_tests::cache::{self, TemporaryDirectory};
use mfa_tests::packages;

#[test]
fn it_compiles_with_the_headers_of_the_reference_policy() {
    let directory = TemporaryDirectory::new();
    let out = format!("OUT={}", directory.path().display());
    let mut make = cache::make(&["-C", "packaging/selinux", &out]);
    let output = make.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let package = fs::read(directory.path().join("pam_mfa.pp")).unwrap();
    let has = |text: &str| package.windows(text.len()).any(|window| window == text.as_bytes());
    for name in ["mfa_verifier_t", "mfa_reauth_t", "mfa_mail_t", "mfa_key_t", "mfa_store_t"] {
        assert!(has(name), "{name}");
    }
    // Where sshd asks PAM: openssh 9.8 gave that to a program of its own, and Fedora 42 a domain to this.
    for domain in ["sshd_t", "sshd_session_t"] {
        assert!(has(domain), "{domain}");
    }
    for role in ["staff_r", "sysadm_r", "unconfined_r", "user_r"] {
        assert!(has(role), "{role}");
    }
    // A package of its own has it, for Fedora's `semodule`: nobody gets that unasked, and nobody one that
    // is older or newer than the programs.
    let query = |what: &str, package: &Path| {
        let output = Command::new("rpm").args(["--query", what, "--package"]).arg(package).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let listed = query("--list", &packages::selinux_rpm());
    assert!(listed.contains("/usr/share/selinux/packages/pam_mfa.pp\n"), "{listed}");
    let release = concat!(env!("CARGO_PKG_VERSION"), "-1.later");
    let wanted = query("--requires", packages::later_rpm());
    let of_one_version = format!("(pam_mfa-selinux = {release} if pam_mfa-selinux)\n");
    assert!(wanted.contains(&of_one_version), "{wanted}");
    assert_eq!(query("--suggests", packages::later_rpm()), "pam_mfa-selinux\n");
    assert_eq!(query("--recommends", packages::later_rpm()), "");
}

#[test]
fn each_program_unit_and_file_has_its_type() {
    let contexts = fs::read_to_string(cache::tree().join("packaging/selinux/pam_mfa.fc")).unwrap();
    let context_of = |path: &str| {
        // The last one that matches counts where one is as long as the other; matchpathcon(8) has the
        // longest stem first, and here no two have stems of one length.
        let mut matching: Vec<_> = contexts
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .filter(|(pattern, _)| matches(pattern, path))
            .collect();
        matching.sort_by_key(|(pattern, _)| pattern.len());
        let (_, context) = matching.last().unwrap_or_else(|| panic!("{path} has no type"));
        context.split(':').nth(2).unwrap().split(',').next().unwrap().to_owned()
    };
    for program in ["verifier", "reauth", "mail"] {
        let path = format!("/usr/libexec/pam_mfa/mfa-{program}");
        assert!(cache::stage().join(&path[1..]).exists());
        assert_eq!(context_of(&path), format!("mfa_{program}_exec_t"));
    }
    for unit in fs::read_dir(cache::stage().join("usr/lib/systemd/system")).unwrap().flatten() {
        let path = format!("/usr/lib/systemd/system/{}", unit.file_name().to_str().unwrap());
        assert_eq!(context_of(&path), "mfa_unit_t", "{path}");
    }
    for (path, label) in [
        ("/etc/pam_mfa", "mfa_conf_t"),
        ("/etc/pam_mfa/config.toml", "mfa_conf_t"),
        ("/etc/pam_mfa/store.key", "mfa_key_t"),
        ("/var/lib/pam_mfa", "mfa_store_t"),
        ("/var/lib/pam_mfa/users/1000/summary", "mfa_store_t"),
        ("/run/pam_mfa/root.sock", "mfa_runtime_t"),
        ("/run/pam_mfa/user.sock", "mfa_user_runtime_t"),
    ] {
        assert_eq!(context_of(path), label, "{path}");
    }
}

/// Whether a pattern of `pam_mfa.fc` is for a path, as far as there are any in that file.
fn matches(pattern: &str, path: &str) -> bool {
    let literal = |text: &str| text.replace("\\.", ".");
    if let Some(directory) = pattern.strip_suffix("(/.*)?") {
        path.strip_prefix(&literal(directory))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    } else if let Some(beginning) = pattern.strip_suffix(".*") {
        path.starts_with(&literal(beginning))
    } else {
        path == literal(pattern)
    }
}
