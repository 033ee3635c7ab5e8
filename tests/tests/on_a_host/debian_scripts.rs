//! What the Debian package's scripts say of sshd, do with systemd's units, and look like to Debian's own judges.

use std::fs;
use std::path::Path;
use std::process::Command;

use mfa_tests::cache;
use mfa_tests::debian::{PACKAGE, Packages, bare, debian, dpkg, install, settle};
use mfa_tests::pam::Attempt;
use mfa_tests::readme::{self, typed_by_root};

#[test]
fn what_sshd_cannot_ask_is_said_where_it_would_refuse_who_has_enrolled_and_nowhere_else() {
    let packages = Packages::new();
    let host = debian("bookworm", &packages);
    let own = "/etc/ssh/sshd_config.d/10-pam_mfa.conf";
    // As it comes.
    let mut terminal = host.pty(&[
        "env",
        "DEBIAN_FRONTEND=readline",
        "DEBIAN_PRIORITY=high",
        "dpkg",
        "-i",
        PACKAGE,
    ]);
    terminal.expect("sshd cannot ask for a code yet");
    terminal.expect(own);
    terminal.send_line("");
    assert_eq!(terminal.end().0, Some(0), "{}", terminal.text());
    assert!(
        terminal
            .text()
            .contains("by its KbdInteractiveAuthentication sshd can ask one question only")
    );
    // An upgrade tells it to those alone whom it is about, and asks nobody.
    let configured = || {
        let argv = ["/var/lib/dpkg/info/libpam-mfa.postinst", "configure", "0.0.9"];
        let said = host.run(&argv);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let warnings = said.stderr.lines().filter(|line| line.contains("warning: "));
        warnings.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(configured(), "");
    // Enabled in the dialog, which names the same setting.
    let mut dialog = host.pty(&["env", "DEBIAN_FRONTEND=readline", "pam-auth-update"]);
    dialog.expect("1. Second factor after the password (sshd: KbdInteractiveAuthentication yes)");
    dialog.expect("PAM profiles to enable: ");
    dialog.send_line("1 2 3");
    assert_eq!(dialog.end().0, Some(0), "{}", dialog.text());
    assert!(host.read("/etc/pam.d/common-auth").contains("pam_mfa.so"));
    let shipped =
        host.read("/usr/share/doc/libpam-mfa/examples/sshd_config.d/pam_mfa-password.conf");
    for (settings, said) in [
        ("", "KbdInteractiveAuthentication"),
        (shipped.as_str(), ""),
        (
            "KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,password\n",
            "AuthenticationMethods",
        ),
        ("AuthenticationMethods publickey\n", "a key alone"),
        ("PasswordAuthentication no\n", "a key alone"),
        ("KbdInteractiveAuthentication yes\n", "a key alone"),
        (
            "KbdInteractiveAuthentication yes\n\
             AuthenticationMethods publickey,keyboard-interactive password,keyboard-interactive\n",
            "",
        ),
        ("UsePAM no\n", ""),
        ("Nonsense yes\n", "cannot be read"),
    ] {
        host.write(own, settings);
        let warned = configured();
        assert_eq!(warned.is_empty(), said.is_empty(), "{settings}: {warned}");
        assert!(warned.contains(said), "{settings}: {warned}");
    }
    host.shell("mv /usr/sbin/sshd /root/sshd");
    assert_eq!(configured(), "", "there is no sshd");
}

#[test]
fn with_systemd_sockets_outlive_an_upgrade_and_nothing_outlives_a_removal() {
    let packages = Packages::new();
    let newer = packages.version("0.2", "");
    let host = bare("bookworm", &packages).booted().start();
    settle(&host);
    install(&host);
    let is = |what: &str, unit: &str| host.run(&["systemctl", what, unit]).stdout;
    for (unit, enabled, active) in [
        ("mfa-verifier.socket", "enabled\n", "active\n"),
        ("mfa-verifier-users.service", "enabled\n", "active\n"),
        ("mfa-verifier-user.socket", "disabled\n", "inactive\n"),
    ] {
        assert_eq!(is("is-enabled", unit), enabled, "{unit}");
        assert_eq!(is("is-active", unit), active, "{unit}");
    }
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell("pam-auth-update --enable mfa");
    let mut log_in = || {
        let login = Attempt::new("sudo", "alice").answer("rabbit hole").answer(token.code());
        assert_eq!(login.run(&host).code(), "PAM_SUCCESS");
    };
    let value = |property: &str, unit: &str| {
        host.shell(&format!("systemctl show --value --property={property} {unit}"))
    };
    log_in();
    assert_eq!(is("is-active", "mfa-verifier.service"), "active\n");
    let resident = value("MainPID", "mfa-verifier.service");
    let invocations = || {
        ["mfa-verifier.socket", "mfa-verifier-users.service"]
            .map(|unit| value("InvocationID", unit))
    };
    let before = invocations();

    dpkg(&host, &["-i", &newer]).ok();
    assert_eq!(invocations(), before, "both are as they were");
    assert_ne!(value("MainPID", "mfa-verifier.service"), resident);
    assert_eq!(is("is-active", "mfa-verifier.service"), "active\n");
    log_in();

    // The users' other socket, which stays as well, and goes as well.
    readme::type_all(&host, "/root", &typed_by_root("## The users' socket"));
    install(&host);
    for (unit, active) in
        [("mfa-verifier-users.service", "inactive\n"), ("mfa-verifier-user.socket", "active\n")]
    {
        assert_eq!(is("is-active", unit), active, "{unit}");
    }
    dpkg(&host, &["-r", "libpam-mfa"]).ok();
    let without = Attempt::new("sudo", "alice").answer("rabbit hole").run(&host);
    assert_eq!(without.code(), "PAM_SUCCESS");
    let runs = host.shell("systemctl list-units --plain --no-legend --state=active 'mfa-*'");
    assert_eq!(runs, "");
    assert_eq!(host.shell("ls /run/pam_mfa 2>/dev/null || :"), "");
    dpkg(&host, &["-P", "libpam-mfa"]).ok();
    assert_eq!(host.shell("find /etc /var -name '*mfa*' -not -path '/var/log/*'"), "");
}

#[test]
fn debian_s_own_judges_find_nothing() {
    let lintian = "--allow-root --display-info --pedantic --fail-on error,warning,info,pedantic";
    clean(Command::new("lintian").args(lintian.split(' ')).arg(cache::deb()));
    let debian = cache::tree().join("packaging/debian");
    let scripts = ["preinst", "postinst", "prerm", "postrm"];
    let scripts = scripts.map(|script| debian.join(format!("libpam-mfa.{script}")));
    clean(Command::new("shellcheck").args(["--shell=sh", "--exclude=SC1091"]).args(scripts));
    // What calls itself the version of the programs is.
    let changelog = fs::read_to_string(debian.join("changelog")).unwrap();
    assert!(changelog.starts_with(&format!("pam-mfa ({}) ", env!("CARGO_PKG_VERSION"))));
    assert!(Path::new(PACKAGE).file_name() == cache::deb().file_name());
}

fn clean(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "");
}
