//! The Debian package when it does not go as it should: in every order, with steps that fail, with stacks that
//! somebody has changed. A login is possible after each, and asks for a code where it did before.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mfa_tests::debian::{PACKAGE, Packages, debian, dpkg, install};
use mfa_tests::pam::Attempt;
use mfa_tests::{Device, Running};

const CODE: &str = "Verification code: ";
const ENABLE: &str = "pam-auth-update --enable mfa";
/// Debian 11 knows no `--disable`.
const DISABLE: &str = "pam-auth-update --remove mfa";
const REMOVE: &str = "dpkg -r libpam-mfa";

#[test]
fn in_whatever_order_it_is_enabled_disabled_and_removed_a_login_is_possible() {
    let packages = Packages::new();
    let host = debian("bookworm", &packages);
    install(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    for order in [
        [ENABLE, DISABLE, REMOVE],
        [ENABLE, REMOVE, DISABLE],
        [DISABLE, ENABLE, REMOVE],
        [DISABLE, REMOVE, ENABLE],
        [REMOVE, ENABLE, DISABLE],
        [REMOVE, DISABLE, ENABLE],
    ] {
        let (mut is_installed, mut is_enabled) = (true, false);
        for step in order {
            host.shell(step);
            is_installed &= step != REMOVE;
            is_enabled = is_installed && (step == ENABLE || (step != DISABLE && is_enabled));
            assert!(lets_in(&host, &mut token, is_enabled), "{step} of {order:?}");
        }
        // Which enables nothing.
        install(&host);
    }
    assert!(lets_in(&host, &mut token, false));
}

#[test]
fn a_step_that_fails_leaves_the_second_factor_and_a_way_in() {
    let packages = Packages::new();
    let script = |script: &str| format!("printf '#!/bin/sh\\nexit 1\\n' >DEBIAN/{script}");
    let before = packages.version("0.2", &format!("{}; chmod 755 DEBIAN/*", script("preinst")));
    let behind = packages.version("0.3", &script("postinst"));
    // Another package in its place, whose installation comes to nothing; one that it gets along with no more.
    let instead = packages.version(
        "0.4",
        "sed -i 's/^Package: .*/Package: other\\nConflicts: libpam-mfa\\nReplaces: libpam-mfa/' \
             DEBIAN/control
         rm -r etc usr lib DEBIAN/conffiles DEBIAN/p*
         printf '#!/bin/sh\\nexit 1\\n' >DEBIAN/preinst; chmod 755 DEBIAN/preinst",
    );
    let beside = packages.version(
        "0.5",
        "sed -i 's/^Package: .*/Package: other\\nBreaks: libpam-mfa/' DEBIAN/control
         rm -r etc usr lib DEBIAN/conffiles DEBIAN/p*",
    );
    let foreign = packages.version(
        "0.6",
        "sed -i 's/^Architecture: .*/Architecture: i386/; /^Pre-Depends/d' DEBIAN/control",
    );
    let host = debian("bookworm", &packages);
    install(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell(ENABLE);
    host.shell("dpkg --add-architecture i386");
    let prerm = "/var/lib/dpkg/info/libpam-mfa.prerm";
    let own = host.read(prerm);
    let failing = "#!/bin/sh\nexit 1\n";

    for (what, prerm_s, arguments, succeeds) in [
        ("a new version that fails before it is unpacked", own.as_str(), ["-i", &before], false),
        ("one that cannot be configured", &own, ["-i", &behind], false),
        ("one of another architecture", &own, ["-i", &foreign], false),
        ("an old one that will not go", failing, ["-i", PACKAGE], true),
        ("a removal that fails", failing, ["-r", "libpam-mfa"], false),
        ("another that does not come after all", &own, ["-i", &instead], false),
        ("another with which it is not configured", &own, ["-Bi", &beside], false),
    ] {
        host.write(prerm, prerm_s);
        let said = dpkg(&host, &arguments);
        assert_eq!(said.code == Some(0), succeeds, "{what}: {}", said.stderr);
        assert!(lets_in(&host, &mut token, true), "{what}: {}", said.stderr);
        host.write(prerm, &own);
    }
    assert!(status(&host).ends_with(" half-configured\n"), "{}", status(&host));
    host.shell("dpkg -r other; dpkg --configure libpam-mfa");
    assert!(status(&host).ends_with(" installed\n"));
    assert!(lets_in(&host, &mut token, true));
}

#[test]
fn what_was_unpacked_and_never_configured_goes_with_its_profile_and_a_purge_comes_to_an_end() {
    let packages = Packages::new();
    let newer = packages.version("0.2", "");
    let host = debian("bookworm", &packages);
    install(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell(ENABLE);
    dpkg(&host, &["--unpack", &newer]).ok();
    assert!(lets_in(&host, &mut token, true));
    dpkg(&host, &["-r", "libpam-mfa"]).ok();
    assert!(lets_in(&host, &mut token, false));
    assert_eq!(host.shell("grep -l pam_mfa /etc/pam.d/common-* || :"), "");
    // A directory that another file system lies on cannot be removed, and need not be.
    host.shell("mount -t tmpfs tmpfs /var/lib/pam_mfa");
    let purged = dpkg(&host, &["-P", "libpam-mfa"]);
    assert_eq!(purged.code, Some(0), "{}", purged.stderr);
    assert!(purged.stderr.contains("warning: not all of"), "{}", purged.stderr);
}

#[test]
fn lines_that_were_written_by_hand_stop_the_removal_with_what_to_type() {
    let packages = Packages::new();
    let host = debian("bookworm", &packages);
    install(&host);
    let mut token = host.enrol_with("alice", &["hotp"]).device;
    host.shell(ENABLE);
    let line = "auth required pam_mfa.so";
    for (file, script) in [
        ("su", format!("echo '{line}' >>/etc/pam.d/su")),
        ("common-auth", format!("echo '{line}' >>/etc/pam.d/common-auth")),
        ("other", format!("printf 'auth required \\\\\\n  {line}\\n' >>/etc/pam.d/other")),
        // Between the two blocks that are pam-auth-update's, and in one, upon which it changes nothing any more.
        ("common-auth", format!("sed -i '/pam_permit/a {line}' /etc/pam.d/common-auth")),
        ("common-auth", format!("sed -i '/^# and here/a {line}' /etc/pam.d/common-auth")),
    ] {
        host.shell("rm -rf /root/pam.d; cp -a /etc/pam.d /root/pam.d");
        host.shell(&script);
        let common_auth = inode(&host);
        let said = dpkg(&host, &["-r", "libpam-mfa"]);
        assert_ne!(said.code, Some(0), "{script}");
        // The profile is not taken out and put back, which would let in by the password alone meanwhile.
        assert_eq!(inode(&host), common_auth, "{script}");
        let names = format!("without it: /etc/pam.d/{file}\n");
        assert!(said.stderr.contains(&names), "{script}: {}", said.stderr);
        assert!(status(&host).ends_with(" installed\n"), "{script}");
        // The hint, typed. What pam-auth-update wrote is taken out as well where both are in one file.
        let hint = said.stderr.lines().find_map(|line| line.split_once(" first: ")).unwrap().1;
        host.shell(hint);
        assert!(!host.read(format!("/etc/pam.d/{file}")).contains(line));
        host.shell("rm -r /etc/pam.d; cp -a /root/pam.d /etc/pam.d");
        assert!(lets_in(&host, &mut token, true), "{script}");
    }
    // What is no service's, or no line, is no reason.
    host.shell(&format!(
        "echo '#{line}' >>/etc/pam.d/su; echo '{line}' >/etc/pam.d/su~
         echo '{line}' >/etc/pam.d/su.dpkg-old"
    ));
    dpkg(&host, &["-r", "libpam-mfa"]).ok();
    assert!(lets_in(&host, &mut token, false));
}

/// Whether alice gets in by her password, and a code where that is asked for; a wrong one must not do.
fn lets_in(host: &Running, token: &mut Device, asks: bool) -> bool {
    let login = |code: &str| {
        let report = Attempt::new("sudo", "alice").answer("rabbit hole").answer(code).run(host);
        assert_eq!(report.asked().contains(&CODE), asks, "{report:?}");
        report.code() == "PAM_SUCCESS"
    };
    if !asks {
        return login("");
    }
    assert!(!login(&token.wrong_code()));
    login(&token.code())
}

/// Another one whenever pam-auth-update has written the file.
fn inode(host: &Running) -> u64 {
    fs::metadata(host.path("/etc/pam.d/common-auth")).unwrap().ino()
}

fn status(host: &Running) -> String {
    host.shell("dpkg-query -Wf '${Status}\\n' libpam-mfa")
}
