//! The package for Arch, on what there is of it here: its package manager. See `rpm_package`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use mfa_tests::cache::{self, TemporaryDirectory};
use mfa_tests::packages;
use mfa_tests::pam::{Attempt, Report};
use mfa_tests::{Host, Output, Running};

const MODULE: &str = "/usr/lib/security/pam_mfa.so";

/// Stands in for the service manager: notes how it was called.
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$*\" >> /root/called\n";

/// The package in a host.
const PACKAGE: &str = "/root/pam.pkg.tar.zst";

/// As openssh of Arch brings it.
const SSHD: &str = "#%PAM-1.0\n\
                    auth      include   system-remote-login\n\
                    account   include   system-remote-login\n\
                    password  include   system-remote-login\n\
                    session   include   system-remote-login\n";

/// A short `system-auth`, which ends at a wrong password as Arch's does.
const SYSTEM_AUTH: &str = "auth requisite pam_unix.so nodelay\naccount required pam_unix.so\n";

#[test]
fn it_lays_out_what_make_install_does() {
    let root = TemporaryDirectory::new();
    let at_root = root.path().to_str().unwrap();
    for directory in ["root", "var/lib/pacman"] {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    fs::write(root.path().join("root/pacman.conf"), packages::PACMAN_CONF).unwrap();
    let package = packages::arch().to_str().unwrap();
    // The empty root has nothing that could run a script; that is done in the test below.
    pacman(at_root, &["--upgrade", "--noscriptlet", "--nodeps", "--nodeps", package]);
    // Looks at digests, owners and modes.
    let checked = pacman(at_root, &["--query", "--check", "--check", "pam_mfa"]);
    assert!(checked.contains(" 0 altered files"), "{checked}");
    let listed = pacman(at_root, &["--query", "--list", "--quiet", "pam_mfa"]);
    let listed: BTreeSet<_> = listed.lines().map(|line| line.replacen(at_root, "", 1)).collect();
    let mut find = Command::new("find");
    find.arg(cache::stage()).args(["-type", "f", "-printf", "/%P\n"]);
    let staged = String::from_utf8(find.output().unwrap().stdout).unwrap();
    for file in staged.lines() {
        let packaged = match file.split_once("/security/") {
            Some((_, module)) => format!("/usr/lib/security/{module}"),
            None if file.starts_with("/usr/share/man/") => format!("{file}.gz"),
            // Debian's zsh looks elsewhere for what packages bring.
            None => file.replace("/zsh/vendor-completions/", "/zsh/site-functions/"),
        };
        assert!(listed.contains(&packaged), "{packaged} is not in {listed:#?}");
        let metadata = fs::metadata(root.path().join(&packaged[1..])).unwrap();
        let expected = fs::metadata(cache::stage().join(&file[1..])).unwrap();
        assert_eq!(metadata.mode(), expected.mode(), "{packaged}");
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{packaged}");
    }
    assert!(!listed.iter().any(|file| file.contains("store.key") || file.starts_with("/var")));
    let told = pacman(at_root, &["--query", "--info", "--info", "pam_mfa"]);
    for backup in ["/etc/pam_mfa/config.toml", "/etc/pam.d/mfa-setup"] {
        assert!(told.contains(backup), "{told}");
    }
    assert!(told.contains(&format!(": {}-1\n", env!("CARGO_PKG_VERSION"))), "{told}");
}

#[test]
fn its_scripts_are_clean() {
    let arch = cache::tree().join("packaging/arch");
    for script in ["PKGBUILD", "pam_mfa.install", "pam_mfa-remove"] {
        let mut shellcheck = Command::new("shellcheck");
        if script == "PKGBUILD" {
            shellcheck.arg("--shell=bash");
        }
        let output = shellcheck.arg(arch.join(script)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn it_comes_asks_for_codes_is_upgraded_and_leaves_when_no_line_is_left() {
    let host = Host::new()
        .bare()
        .bind(packages::arch(), PACKAGE)
        .user("alice", "rabbit hole")
        .file("/root/pacman.conf", packages::PACMAN_CONF)
        .file_with_mode("/usr/bin/systemctl", SYSTEMCTL, 0o755)
        .pam("system-auth", SYSTEM_AUTH)
        .pam("system-remote-login", "auth include system-auth\naccount include system-auth\n")
        .start();
    host.shell("mkdir -p /var/lib/pacman");
    install(&host);
    let key = fs::metadata(host.path("/etc/pam_mfa/store.key")).unwrap();
    assert_eq!((key.mode() & 0o7777, key.uid()), (0o600, 0));
    use_module(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    assert_eq!(by_password(&host).code(), "PAM_AUTH_ERR");

    host.shell("sed -i 's/^mode = .*/mode = \"required\"/' /etc/pam_mfa/config.toml");
    host.shell("mkdir -p /run/systemd/system");
    install(&host);
    host.shell("rmdir /run/systemd/system");
    // What is started again is started by the units that came.
    let restart = "try-restart mfa-verifier.service mfa-verifier-users.service";
    assert_eq!(host.read("/root/called"), format!("daemon-reload\n{restart}\n"));
    assert!(host.read("/etc/pam_mfa/config.toml").contains("mode = \"required\""));
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");

    let stopped = remove(&host);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let said = stopped.stdout + &stopped.stderr;
    assert!(said.contains("/etc/pam.d/sshd"), "{said}");
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: ")).expect("a hint");
    host.shell(&hint.split(',').next().unwrap().replace("FILE", "/etc/pam.d/sshd"));
    assert_eq!(host.read("/etc/pam.d/sshd"), SSHD);
    // libpam reads none of these for a service.
    for kept in ["sshd.pacsave", "sshd.pacnew", "sshd.bak", "sshd~"] {
        host.write(format!("/etc/pam.d/{kept}"), "auth required pam_mfa.so\n");
    }
    remove(&host).ok();
    assert_eq!(by_password(&host).code(), "PAM_SUCCESS");
    let left = host
        .shell("find / -xdev \\( -name '*pam_mfa*' -o -name 'mfa-*' \\) | sort; ls /etc/pam_mfa");
    assert_eq!(left, "/etc/pam_mfa\n/var/lib/pam_mfa\nconfig.toml.pacsave\nstore.key\n");

    // Who was enrolled is.
    install(&host);
    use_module(&host);
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    assert_eq!(by_password(&host).code(), "PAM_AUTH_ERR");
    host.shell(&packages::typed_by_root("sed -i '/^[^#].*pam_mfa\\.so/d' /etc/pam.d/sshd"));
    remove(&host).ok();
}

fn pacman(root: &str, arguments: &[&str]) -> String {
    let output = Command::new("pacman")
        .args(["--root", root, "--config", &format!("{root}/root/pacman.conf"), "--noconfirm"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is there already is upgraded.
fn install(host: &Running) {
    inside(host, &["--upgrade", "--nodeps", "--nodeps", PACKAGE]).ok();
}

fn remove(host: &Running) -> Output {
    inside(host, &["--remove", "pam_mfa"])
}

fn inside(host: &Running, arguments: &[&str]) -> Output {
    let pacman = ["pacman", "--config", "/root/pacman.conf", "--noconfirm"];
    host.run(&[&pacman[..], arguments].concat())
}

/// Types what README.md says for sshd.
fn use_module(host: &Running) {
    host.write("/etc/pam.d/sshd", SSHD);
    host.shell(&packages::typed_by_root("sed -i '/^auth *include *system-remote-login"));
    let stack = host.read("/etc/pam.d/sshd");
    host.write("/etc/pam.d/sshd", stack.replace(" pam_mfa.so", &format!(" {MODULE}")));
}

fn log_in(host: &Running, code: &str) -> Report {
    Attempt::new("sshd", "alice").answer("rabbit hole").answer(code).run(host)
}

fn by_password(host: &Running) -> Report {
    Attempt::new("sshd", "alice").answer("rabbit hole").run(host)
}
