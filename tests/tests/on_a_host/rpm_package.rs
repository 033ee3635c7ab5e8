//! The package for Fedora and RHEL, on what there is of them here: their package manager.
//!
//! A host is a Debian all the same. What the package needs of Fedora is written into it, `system-auth` for
//! one, and a line of `pam.d` names the module by its path, since Debian's libpam looks elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use mfa_tests::cache::{self, TemporaryDirectory};
use mfa_tests::packages;
use mfa_tests::pam::{Attempt, Report};
use mfa_tests::{Host, Output, Running};

const SPEC: &str = include_str!("../../../packaging/rpm/pam_mfa.spec");
/// The package in a host, and the one that it is upgraded to.
const THIS: &str = "/root/this.rpm";
const LATER: &str = "/root/later.rpm";
const SELINUX: &str = "/root/selinux.rpm";
const MODULE: &str = "/usr/lib64/security/pam_mfa.so";

/// Stands in for a program of Fedora's: notes how it was called.
const TELLS: &str = "#!/bin/sh\necho \"${0##*/} $*\" >> /root/called\n";

/// As authselect writes it without any feature.
const SYSTEM_AUTH: &str = "auth required pam_env.so\n\
                           auth sufficient pam_unix.so nodelay\n\
                           auth required pam_deny.so\n\
                           account required pam_unix.so\n\
                           session required pam_unix.so\n";

#[test]
fn it_lays_out_what_make_install_does_and_its_digests_hold() {
    let root = TemporaryDirectory::new();
    // Scripts want a shell; those are run in the test below.
    rpm(root.path(), &["--install", "--noscripts", packages::rpm().to_str().unwrap()]).ok();
    let verified = rpm(root.path(), &["--verify", "--nodeps", "--noscripts", "pam_mfa"]);
    assert_eq!((verified.code, verified.stdout.as_str()), (Some(0), ""), "{verified:?}");
    fs::write(root.path().join("usr/bin/mfa-setup"), "another").unwrap();
    let changed = rpm(root.path(), &["--verify", "--nodeps", "--noscripts", "pam_mfa"]);
    assert!(changed.stdout.starts_with("S.5....T.    /usr/bin/mfa-setup\n"), "{changed:?}");

    let files = |root: &Path| {
        let find = ["/usr", "/etc"].map(|part| root.join(&part[1..]).display().to_string());
        let mut command = Command::new("find");
        command.args(find).args(["-type", "f", "-printf", "%H/%P %m %U:%G\n"]);
        let found = String::from_utf8(command.output().unwrap().stdout).unwrap();
        found.lines().map(|line| line.replace(root.to_str().unwrap(), "")).collect::<BTreeSet<_>>()
    };
    let packaged = files(root.path());
    let placed = |line: String| {
        let line = match line.split_once("/security/") {
            Some((_, module)) => format!("/usr/lib64/security/{module}"),
            None => line,
        };
        // Debian's zsh looks elsewhere for what packages bring; and manual pages are compressed.
        let line = line.replace("/zsh/vendor-completions/", "/zsh/site-functions/");
        if line.starts_with("/usr/share/man/") { line.replacen(' ', ".gz ", 1) } else { line }
    };
    for file in files(cache::stage()).into_iter().map(placed) {
        assert!(packaged.contains(&file), "{file} is not in {packaged:#?}");
    }
    // Modes of their own have the key, which no package has, and the store.
    assert!(packaged.iter().all(|line| line.ends_with(" 644 0:0") || line.ends_with(" 755 0:0")));
    assert!(!packaged.iter().any(|line| line.contains("store.key")), "{packaged:#?}");
    let listed = rpm(root.path(), &["--query", "--list", "--verbose", "pam_mfa"]).ok();
    assert!(listed.lines().any(|line| {
        line.starts_with("drwx------ ")
            && line.contains(" root ")
            && line.ends_with("/var/lib/pam_mfa")
    }));
    let kept = rpm(root.path(), &["--query", "--configfiles", "pam_mfa"]).ok();
    assert_eq!(kept, "/etc/pam.d/mfa-setup\n/etc/pam_mfa/config.toml\n");
    assert_eq!(
        rpm(root.path(), &["--query", "--queryformat", "%{VERSION}", "pam_mfa"]).ok(),
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn rpmlint_and_shellcheck_have_nothing_to_say() {
    let packaging = cache::tree().join("packaging/rpm");
    let output = Command::new("rpmlint")
        .arg("--rpmlintrc")
        .arg(packaging.join("pam_mfa.rpmlintrc"))
        .args([packages::rpm(), &packaging.join("pam_mfa.spec")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("1 packages and 1 specfiles checked; 0 errors, 0 warnings"), "{said}");
    let of_the_policy = packages::selinux_rpm();
    for (script, package) in [
        ("POSTIN", packages::rpm()),
        ("PREUN", packages::rpm()),
        ("POSTUN", packages::rpm()),
        ("POSTTRANS", packages::rpm()),
        ("PREUN", &of_the_policy),
        ("POSTUN", &of_the_policy),
    ] {
        let mut query = Command::new("rpm");
        query.args([
            "--query",
            "--package",
            "--queryformat",
            &format!("#!/bin/sh\n%{{{script}}}\n"),
        ]);
        let text = query.arg(package).output().unwrap().stdout;
        let directory = TemporaryDirectory::new();
        let file = directory.path().join(script);
        fs::write(&file, text).unwrap();
        let output = Command::new("shellcheck").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    // Each filter says why.
    let filters = fs::read_to_string(packaging.join("pam_mfa.rpmlintrc")).unwrap();
    assert!(SPEC.contains(&format!("Version:        {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(!filters.contains("\n\naddFilter"), "{filters}");
}

/// Who takes what is built has to keep to what the crates that are linked in ask for.
#[test]
fn the_packages_name_each_licence_that_may_be_linked_in() {
    let words = |text: &str| {
        let named = text.split(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c));
        named
            .filter(|word| !word.is_empty() && !["OR", "AND"].contains(word))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let after = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        words(line.unwrap_or_else(|| panic!("{key}")))
    };
    let allowed = fs::read_to_string(cache::tree().join("deny.toml")).unwrap();
    let allowed = after(&allowed, "allow = ");
    assert!(allowed.contains("Apache-2.0"), "{allowed:?}");
    assert_eq!(after(SPEC, "License: "), allowed);
    let pkgbuild = fs::read_to_string(cache::tree().join("packaging/arch/PKGBUILD")).unwrap();
    assert_eq!(after(&pkgbuild, "license="), allowed);
}

#[test]
fn it_comes_asks_for_codes_is_upgraded_and_leaves_when_no_line_is_left() {
    let host = Host::new()
        .bare()
        .booted()
        .bind(packages::rpm(), THIS)
        .bind(packages::later_rpm(), LATER)
        .bind(packages::selinux_rpm(), SELINUX)
        .file_with_mode("/usr/sbin/restorecon", TELLS, 0o755)
        .file_with_mode("/usr/bin/authselect", TELLS, 0o755)
        .user("alice", "rabbit hole")
        .pam("system-auth", SYSTEM_AUTH)
        .pam("password-auth", SYSTEM_AUTH)
        .pam("postlogin", "")
        .start();
    install(&host, "--install", THIS).ok();
    // The key and the store, and no login is another one yet.
    let key = fs::metadata(host.path("/etc/pam_mfa/store.key")).unwrap();
    assert_eq!((key.mode() & 0o7777, key.uid()), (0o600, 0));
    assert_eq!(fs::metadata(host.path("/var/lib/pam_mfa")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(inside(&host, &["--verify", "--nodeps", "pam_mfa"]).ok(), "");
    // What the script made has the labels of its place; no profile of ours is selected.
    assert_eq!(called(&host), "restorecon -R /etc/pam_mfa /var/lib/pam_mfa\n");
    use_example(&host);
    // Debian's preset is to enable what comes; Fedora's is not.
    // Of what serves users there can be one.
    let units = "mfa-verifier.socket mfa-verifier-users.service mfa-verifier-user.socket";
    let enabled = host.shell(&format!("systemctl is-enabled {units}"));
    assert_eq!(enabled, "enabled\nenabled\ndisabled\n");
    host.shell("systemctl daemon-reload; systemctl start mfa-verifier.socket");
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    assert_eq!(log_in(&host, "000000").code(), "PAM_AUTH_ERR");

    host.shell("sed -i 's/^mode = .*/mode = \"required\"/' /etc/pam_mfa/config.toml");
    let before = host.shell("systemctl show --value --property=MainPID mfa-verifier.service");
    host.write("/etc/authselect/authselect.conf", "pam_mfa\nwith-mfa\n");
    install(&host, "--upgrade", LATER).ok();
    let again = "restorecon -R /etc/pam_mfa /var/lib/pam_mfa\nauthselect apply-changes\n";
    assert_eq!(called(&host), again);
    host.write("/etc/authselect/authselect.conf", "sssd\nwith-mfa\n");
    inside(&host, &["--install", "--nodeps", "--noscripts", SELINUX]).ok();
    assert!(host.read("/etc/pam_mfa/config.toml").contains("mode = \"required\""));
    assert_eq!(host.shell("ls /etc/pam_mfa"), "config.toml\nstore.key\n");
    assert_ne!(
        host.shell("systemctl show --value --property=MainPID mfa-verifier.service"),
        before,
        "what was started before the upgrade still runs"
    );
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");

    let stopped = erase(&host);
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.stderr.contains("/etc/pam.d/sshd"), "{stopped:?}");
    // The one would not do without the other.
    let both = "pam_mfa\npam_mfa-selinux\n";
    assert_eq!(host.shell("rpm --dbpath /var/lib/rpm -qa --qf '%{NAME}\\n' | sort"), both);
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    // As the hint says.
    let hint = stopped.stderr.lines().find_map(|line| line.strip_prefix("hint: sed"));
    let hint = hint.unwrap().split(',').next().unwrap();
    host.shell(&format!("sed{}", hint.replace("FILE", "/etc/pam.d/sshd")));
    host.write("/etc/authselect/authselect.conf", "pam_mfa\nwith-mfa\n");
    let stopped = erase(&host);
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    assert!(stopped.stderr.contains("authselect select"), "{stopped:?}");
    host.write("/etc/authselect/authselect.conf", "sssd\nwith-mfa\n");
    // libpam reads none of these for a service.
    for kept in ["sshd.rpmsave", "sshd.rpmnew", "sshd.bak", "sshd~"] {
        host.write(format!("/etc/pam.d/{kept}"), "auth required pam_mfa.so\n");
    }
    erase(&host).ok();
    assert_eq!(by_password(&host).code(), "PAM_SUCCESS");
    let left = host.shell(
        "systemctl daemon-reload
         find / -xdev \\( -name '*pam_mfa*' -o -name 'mfa-*' \\) | sort; ls /etc/pam_mfa
         systemctl list-units --all --plain --no-legend 'mfa-*'",
    );
    assert_eq!(left, "/etc/pam_mfa\n/var/lib/pam_mfa\nconfig.toml.rpmsave\nstore.key\n");

    // Who was enrolled is.
    install(&host, "--install", THIS).ok();
    use_example(&host);
    assert_eq!(log_in(&host, &token.code()).code(), "PAM_SUCCESS");
    let report = by_password(&host);
    assert_eq!(
        (report.code(), report.asked().last()),
        ("PAM_AUTH_ERR", Some(&"Verification code: "))
    );
}

fn rpm(root: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("rpm")
        .arg("--root")
        .arg(root)
        .args(["--dbpath", "/var/lib/rpm"])
        .args(["--nodeps"].iter().filter(|_| arguments[0] == "--install"))
        .args(arguments)
        .output()
        .unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What is required are packages, and Debian's are none.
fn install(host: &Running, how: &str, package: &str) -> Output {
    inside(host, &[how, "--nodeps", package])
}

fn erase(host: &Running) -> Output {
    inside(host, &["--erase", "pam_mfa", "pam_mfa-selinux"])
}

/// Which of Fedora's programs were called since this was last asked.
fn called(host: &Running) -> String {
    host.shell("cat /root/called; rm /root/called")
}

fn inside(host: &Running, arguments: &[&str]) -> Output {
    host.run(&[&["rpm", "--dbpath", "/var/lib/rpm"], arguments].concat())
}

/// Types what README.md says for sshd.
fn use_example(host: &Running) {
    host.shell(&packages::typed_by_root(
        "install -m 644 /usr/share/doc/pam_mfa/examples/pam.d/sshd /",
    ));
    let stack = host.read("/etc/pam.d/sshd").replace(" pam_mfa.so", &format!(" {MODULE}"));
    host.write("/etc/pam.d/sshd", stack.replace("pam_unix.so", "pam_unix.so nodelay"));
}

fn log_in(host: &Running, code: &str) -> Report {
    Attempt::new("sshd", "alice").answer("rabbit hole").answer(code).run(host)
}

fn by_password(host: &Running) -> Report {
    Attempt::new("sshd", "alice").answer("rabbit hole").run(host)
}
