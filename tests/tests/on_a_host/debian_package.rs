//! The life of the Debian package on a host: installed, enabled, upgraded, removed, installed again, purged.
//!
//! What README.md has typed is typed from there, line by line.

use mfa_tests::debian::{
    PACKAGES, Packages, by_password, by_password_and_code, debian_with_sshd, dpkg,
};
use mfa_tests::readme::{blocks, type_all, typed_by_root};
use mfa_tests::ssh::Ended;
use mfa_tests::{Device, Running};

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";

#[test]
fn on_debian_12_it_comes_is_upgraded_and_goes_and_somebody_can_always_log_in() {
    live_on("bookworm");
}

#[test]
fn on_debian_13_it_comes_is_upgraded_and_goes_and_somebody_can_always_log_in() {
    live_on("trixie");
}

#[test]
fn on_debian_11_it_comes_is_upgraded_and_goes_and_somebody_can_always_log_in() {
    live_on("bullseye");
}

/// What is found in all the stacks that a Debian has; nothing is wrong with them.
#[track_caller]
fn doctor(host: &Running) -> String {
    host.run(&["mfa-setup", "doctor"]).ok()
}

fn live_on(release: &'static str) {
    let packages = Packages::released();
    let next = packages.version("0.2", "echo '# As it is now.' >>etc/pam.d/mfa-setup");
    let host = debian_with_sshd(release, &packages);
    let install = blocks("### The Debian package", "sh");
    let [installed, enabled] = install.as_slice() else { panic!("{install:?}") };

    type_all(&host, PACKAGES, installed);
    by_password(&host).let_in("alice");
    assert_eq!(host.logged_by_now("service=sshd"), [""; 0], "nothing uses the module yet");
    let mut phone = host.enrol("alice").device;
    assert!(doctor(&host).contains("no service asks pam_mfa.so"));
    type_all(&host, PACKAGES, enabled);
    everything_asks(&host, &mut phone);
    let found = doctor(&host);
    assert!(
        found.contains(", sshd, su, su-l, sudo") && found.contains("\n0 problems, "),
        "{found}"
    );
    println!("{release}\n{found}");
    by_password_of_bob(&host).let_in("bob");

    // An upgrade, in the middle of a login.
    host.shell("sed -i 's/^mode = .*/mode = \"required\"/' /etc/pam_mfa/config.toml");
    let mut ssh = host.ssh("alice").open();
    ssh.answer(PASSWORD, "rabbit hole").pty().expect(CODE);
    dpkg(&host, &["-i", &next]).ok();
    ssh.pty().send_line(&phone.code());
    ssh.end().let_in("alice");
    everything_asks(&host, &mut phone);
    assert!(host.read("/etc/pam.d/mfa-setup").contains("As it is now."));
    assert!(host.read("/etc/pam_mfa/config.toml").contains("\nmode = \"required\"\n"));

    // Key and code. The stack is then written by hand.
    host.make_key("alice");
    type_all(&host, "/root", &typed_by_root("### Key and code instead"));
    let by_key_and_code = |code: &str| host.ssh("alice").key().open().answer(CODE, code).end();
    by_key_and_code(&phone.code()).let_in("alice");
    let uninstall = &blocks("## Uninstall", "sh")[0];
    let stopped = host.run(&["sh", "-c", uninstall.lines().next().unwrap()]);
    assert_ne!(stopped.code, Some(0));
    // dpkg has a terminal of apt's.
    let said = "would refuse every login without it: /etc/pam.d/sshd";
    assert!(stopped.stdout.contains(said), "{stopped:?}");
    by_key_and_code(&phone.code()).let_in("alice");
    host.shell("cp /var/backups/pam.d-sshd /etc/pam.d/sshd");
    assert!(sudo(&host, &phone.code()), "the profile is as it was");

    // Removed, and installed again.
    type_all(&host, PACKAGES, uninstall);
    by_password(&host).let_in("alice");
    assert_eq!(host.shell("grep '^[^#]*pam_mfa' /etc/pam.d/* || :"), "");
    dpkg(&host, &["-i", &next]).ok();
    by_password(&host).let_in("alice");
    type_all(&host, PACKAGES, enabled);
    by_password_and_code(&host, &phone.code()).let_in("alice");

    // Purged, with the enrolments kept.
    preseed(&host, "false");
    dpkg(&host, &["--purge", "libpam-mfa"]).ok();
    by_password(&host).let_in("alice");
    assert!(host.path("/etc/pam_mfa/store.key").exists());
    dpkg(&host, &["-i", &next]).ok();
    let code = phone.code();
    let judge = ["mfa-setup", "judge", "--user", "alice", "--json"];
    assert_eq!(host.run_with_input(&judge, &code).json()["outcome"], "granted");
    // And with all that it made.
    preseed(&host, "true");
    dpkg(&host, &["--purge", "libpam-mfa"]).ok();
    by_password(&host).let_in("alice");
    // sshd's settings are the administrator's.
    assert_eq!(left(&host), "/etc/ssh/sshd_config.d/10-pam_mfa.conf\n");
}

/// Who has not enrolled gets in as before.
fn by_password_of_bob(host: &Running) -> Ended {
    host.ssh("bob").open().answer(PASSWORD, "walrus").end()
}

/// sshd and sudo let in by password and code, and by less they do not.
fn everything_asks(host: &Running, phone: &mut Device) {
    by_password_and_code(host, &phone.code()).let_in("alice");
    by_password_and_code(host, &phone.wrong_code()).refused();
    host.ssh("alice").methods("password").open().end().refused();
    assert!(sudo(host, &phone.code()));
}

/// Whether sudo asks alice for password and code, and is content with this one.
fn sudo(host: &Running, code: &str) -> bool {
    let mut sudo =
        host.terminal("setpriv --reuid alice --regid alice --init-groups sudo -k id -un");
    sudo.expect("password for alice: ");
    sudo.send_line("rabbit hole");
    sudo.expect(CODE);
    sudo.send_line(code);
    let (status, shown) = sudo.end();
    status == Some(0) && shown.contains("root")
}

fn preseed(host: &Running, purge: &str) {
    let answer = format!("libpam-mfa libpam-mfa/purge boolean {purge}\n");
    let said = host.run_with_input(&["debconf-set-selections"], &answer);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

/// All files of ours, and what names us in places where others keep it.
fn left(host: &Running) -> String {
    host.shell(
        "find / -xdev \\( -name '*pam[-_]mfa*' -o -name 'mfa-*' \\) \
             -not -path '/root/*' -not -path '/var/log/*' -not -path '/var/backups/*'
         grep -ls mfa /var/lib/pam/* /etc/pam.d/* /var/cache/debconf/*.dat || :",
    )
}
