//! The guide's lines for Fedora, RHEL and Arch, typed as they stand: a second factor over ssh, and away
//! with it again.
//!
//! Their package managers are the ones that Debian has, and ask their questions. These stand for something
//! else:
//!
//! - what the packages require of these distributions is said to be there, by their databases;
//! - `authselect` is [`mfa_tests::authselect`];
//! - libpam is Debian's, which looks for the module elsewhere: a link leads to where the packages have it.

use mfa_tests::packages;
use mfa_tests::person::answer_enrolment;
use mfa_tests::readme::{blocks, quoted, roots_lines, type_all};
use mfa_tests::ssh::Ended;
use mfa_tests::{Device, Host, Running, cache};

const PASSWORD: &str = "Password: ";
const CODE: &str = "Verification code: ";
/// Where the packages are, and where everything is typed.
const HERE: &str = "/root/packages";

/// What RHEL 9, the oldest that the package is for, has of what is asked for.
const RHEL: &str = "\
    Name: rhel\nVersion: 9\nRelease: 1\nSummary: Stands for a distribution\nLicense: MIT\nBuildArch: noarch\n\
    Provides: /bin/sh, coreutils, grep, pam, systemd, rtld(GNU_HASH)\n\
    Provides: libpam.so.0()(64bit), libpam.so.0(LIBPAM_1.0)(64bit)\n\
    Provides: libpam.so.0(LIBPAM_EXTENSION_1.0)(64bit)\n\
    Provides: libgcc_s.so.1()(64bit), libgcc_s.so.1(GCC_3.0)(64bit)\n\
    Provides: libgcc_s.so.1(GCC_3.3)(64bit), libgcc_s.so.1(GCC_4.2.0)(64bit)\n\
    %{lua: local parts = {'libc.so.6', 'libdl.so.2', 'libpthread.so.0', 'libm.so.6', 'ld-linux-x86-64.so.2'}\n\
           for _, part in ipairs(parts) do\n\
               print('Provides: ' .. part .. '()(64bit)\\n')\n\
               for _, version in ipairs({'2.2.5', '2.3.2', '2.3.4'}) do\n\
                   print('Provides: ' .. part .. '(GLIBC_' .. version .. ')(64bit)\\n')\n\
               end\n\
               for minor = 3, 34 do\n\
                   print('Provides: ' .. part .. '(GLIBC_2.' .. minor .. ')(64bit)\\n')\n\
               end\n\
           end}\n\
    %description\nNothing.\n%files\n";

/// As authselect's profile `local` gives it.
const SYSTEM_AUTH: &str = "auth required pam_env.so\n\
                           auth sufficient pam_unix.so nodelay {if not \"without-nullok\":nullok}\n\
                           auth required pam_deny.so\n\
                           account required pam_unix.so\n\
                           session required pam_unix.so\n";

/// As openssh of Fedora brings it.
const SSHD_OF_FEDORA: &str = "auth       substack     password-auth\n\
                              auth       include      postlogin\n\
                              account    required     pam_nologin.so\n\
                              account    include      password-auth\n\
                              session    required     pam_loginuid.so\n\
                              session    include      password-auth\n\
                              session    include      postlogin\n";

/// Both distributions call it by this name.
const SSHD_SERVICE: &str = "[Service]\nRuntimeDirectory=sshd\nExecStart=/usr/sbin/sshd -D\nExecReload=/bin/kill -HUP $MAINPID\n";

/// As openssh of Arch brings it, and a short pambase.
const ARCH: [(&str, &str); 3] = [
    (
        "sshd",
        "auth      include   system-remote-login\n\
         account   include   system-remote-login\n\
         session   include   system-remote-login\n",
    ),
    ("system-remote-login", "auth include system-auth\naccount include system-auth\n"),
    (
        "system-auth",
        "auth [success=1 default=bad] pam_unix.so try_first_pass nullok nodelay\n\
         auth requisite pam_deny.so\n\
         auth optional pam_permit.so\n\
         account required pam_unix.so\n",
    ),
];

#[test]
fn the_lines_for_fedora_and_rhel_give_a_second_factor_and_take_it_away() {
    let [dnf, _, example, _, _, selinux, _] = installing();
    let [sed, _, ssh, remove, _] = uninstalling();
    let host = fedora();
    confirm(&host, &dnf);
    let mut phone = enable_and_enrol(&host);
    type_all(&host, HERE, &example);
    at_once(&host, "/etc/pam.d/sshd");
    asks(&host, &mut phone);
    // The policy comes by itself and asks nobody anything here, where no kernel knows it.
    confirm(&host, &selinux);
    asks(&host, &mut phone);

    leaves(&host, &mut phone, [&sed, &ssh, &remove], "/etc/pam.d/sshd");
}

#[test]
fn the_lines_for_authselect_give_a_second_factor_and_take_it_away() {
    let [dnf, _, _, authselect, _, _, _] = installing();
    let [_, local, ssh, remove, _] = uninstalling();
    let host = fedora();
    confirm(&host, &dnf);
    let mut phone = enable_and_enrol(&host);
    type_all(&host, HERE, &authselect);
    at_once(&host, "/etc/authselect/password-auth");
    asks(&host, &mut phone);
    // "Leave /etc/pam.d/sshd as it is."
    assert_eq!(host.read("/etc/pam.d/sshd"), SSHD_OF_FEDORA);

    // Locked out.
    type_all(&host, HERE, &quoted("authselect disable-feature"));
    at_once(&host, "/etc/authselect/password-auth");
    by_password(&host).let_in("alice");
    host.shell("authselect enable-feature with-mfa");
    at_once(&host, "/etc/authselect/password-auth");
    asks(&host, &mut phone);

    leaves(&host, &mut phone, [&local, &ssh, &remove], "authselect select");
}

#[test]
fn the_lines_for_arch_give_a_second_factor_and_take_it_away() {
    let [_, pacman, _, _, arch, _, _] = installing();
    let [sed, _, ssh, _, remove] = uninstalling();
    let mut host = host()
        .bind(packages::arch().parent().unwrap(), HERE)
        .file("/etc/pacman.conf", packages::PACMAN_CONF)
        .file_with_mode("/usr/lib/security/.keep", "", 0o644)
        .file("/var/lib/pacman/local/ALPM_DB_VERSION", "9\n");
    for (service, stack) in ARCH {
        host = host.pam(service, stack);
    }
    for package in ["gcc-libs", "glibc", "pam"] {
        let desc = format!("%NAME%\n{package}\n\n%VERSION%\n1-1\n\n");
        let at = format!("/var/lib/pacman/local/{package}-1-1");
        host = host.file(&format!("{at}/desc"), desc).file(&format!("{at}/files"), "");
    }
    let host = start(host, "/usr/lib/security");
    by_password(&host).let_in("alice");
    confirm(&host, &pacman);
    let mut phone = enable_and_enrol(&host);
    type_all(&host, HERE, &arch);
    asks(&host, &mut phone);

    leaves(&host, &mut phone, [&sed, &ssh, &remove], "/etc/pam.d/sshd");
}

/// What root types to install: by dnf, by pacman, the example, authselect, Arch's line; the policy for
/// `SELinux`, and how it is tried, which takes a kernel that has one.
#[track_caller]
fn installing() -> [String; 7] {
    typed("## Fedora, RHEL and Arch")
}

/// What root types to uninstall: `pam.d`, authselect, sshd, by dnf, by pacman.
#[track_caller]
fn uninstalling() -> [String; 5] {
    typed("## Uninstall on Fedora, RHEL and Arch")
}

#[track_caller]
fn typed<const BLOCKS: usize>(heading: &str) -> [String; BLOCKS] {
    let blocks = blocks(heading, "console");
    let by_root = blocks.iter().filter(|block| block.starts_with("# "));
    let typed: Vec<_> = by_root.map(|block| roots_lines(block)).collect();
    typed.try_into().unwrap_or_else(|typed| panic!("{heading}: {typed:#?}"))
}

/// A Fedora, as far as its package manager and PAM's files go.
fn fedora() -> Running {
    let mut host = host()
        .bind(packages::later_rpm(), &format!("{HERE}/pam_mfa-0.1.0-1.x86_64.rpm"))
        .bind(packages::selinux_rpm(), &format!("{HERE}/pam_mfa-selinux-0.1.0-1.noarch.rpm"))
        .bind(cache::program("authselect"), "/usr/bin/authselect")
        .file("/root/rhel.spec", RHEL)
        .file("/etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
        .pam("sshd", SSHD_OF_FEDORA);
    for (file, template) in
        [("system-auth", SYSTEM_AUTH), ("password-auth", SYSTEM_AUTH), ("postlogin", "")]
    {
        host = host.file(&format!("/usr/share/authselect/default/local/{file}"), template);
    }
    let host = start(host, "/usr/lib64/security");
    host.shell(
        "authselect select local --force
         rpmbuild --quiet -bb /root/rhel.spec
         rpm --install /root/rpmbuild/RPMS/noarch/rhel-9-1.noarch.rpm",
    );
    by_password(&host).let_in("alice");
    host
}

fn host() -> Host {
    Host::new().bare().booted().user("alice", "rabbit hole")
}

/// Starts it, with Debian's sshd as it is set up there, and libpam finding the module in `directory`.
fn start(host: Host, directory: &str) -> Running {
    let host = host.start();
    // Debian's other name for its own.
    host.shell("rm -f /etc/systemd/system/sshd.service");
    host.write("/etc/systemd/system/sshd.service", SSHD_SERVICE);
    host.shell(&format!(
        "ln -s {directory}/pam_mfa.so \"$(echo /usr/lib/*-linux-gnu/security)\"
         mkdir -p /run/faillock
         systemctl daemon-reload
         systemctl start sshd"
    ));
    let key = host.read("/etc/ssh/ssh_host_ed25519_key.pub");
    host.write("/etc/ssh/ssh_known_hosts", format!("* {key}"));
    host.wait_for_log("Server listening on :: port 22");
    host
}

/// Types a line whose program asks whether to go on, and says yes.
#[track_caller]
fn confirm(host: &Running, line: &str) {
    let mut tty = host.pty(&["bash", "-c", &format!("cd {HERE} && {line}")]);
    tty.expect_any(&["[y/N]: ", "[Y/n] "]);
    tty.insist("y");
    let (code, _) = tty.end();
    assert_eq!(code, Some(0), "{line}: {}", tty.text());
}

/// The same, where a script of the package stops it and says why.
#[track_caller]
fn refuses(host: &Running, line: &str, why: &str) {
    let mut tty = host.pty(&["bash", "-c", line]);
    tty.expect_any(&["[y/N]: ", "[Y/n] "]);
    tty.insist("y");
    let (code, _) = tty.end();
    assert_ne!(code, Some(0), "{line}: {}", tty.text());
    assert!(tty.text().contains(why), "{line}: {}", tty.text());
}

/// "Enabling the units, enrolling and sshd's settings go as from source, with `systemctl reload sshd`".
fn enable_and_enrol(host: &Running) -> Device {
    let [enable, enrol] = typed("### From source");
    type_all(host, HERE, &enable);
    let mut tty = host.pty(&enrol.split(' ').collect::<Vec<_>>());
    let phone = answer_enrolment(&mut tty).device;
    assert_eq!(tty.end().0, Some(0), "{}", tty.text());
    let settings = &blocks("### From source", "sh")[1];
    let (sed, settings) = settings.split_once('\n').unwrap();
    assert!(sed.ends_with(" /etc/pam.d/sshd"), "{sed}");
    type_all(host, HERE, &settings.replace("service ssh reload", "systemctl reload sshd"));
    phone
}

/// A right password and a right code let in, once, and nothing less.
#[track_caller]
fn asks(host: &Running, phone: &mut Device) {
    let log_in = |code: &str| {
        host.ssh("alice").open().answer(PASSWORD, "rabbit hole").answer(CODE, code).end()
    };
    let code = phone.code();
    log_in(&phone.wrong_code()).refused();
    log_in(&code).let_in("alice");
    log_in(&code).refused();
    let shown = host.ssh("alice").open().answer(PASSWORD, "walrus").end().refused();
    assert!(!shown.contains(CODE), "{shown}");
}

/// It is not removed while it is asked, which is what its script says; and then it is, by these lines.
#[track_caller]
fn leaves(host: &Running, phone: &mut Device, lines: [&str; 3], why: &str) {
    let [out_of_pam, sshd, remove] = lines;
    refuses(host, remove, why);
    asks(host, phone);
    type_all(host, HERE, out_of_pam);
    type_all(host, HERE, sshd);
    confirm(host, remove);
    is_gone(host);
}

/// Everybody logs in as before, and nothing looks for what was removed.
#[track_caller]
fn is_gone(host: &Running) {
    by_password(host).let_in("alice");
    let left = host.shell(
        "systemctl daemon-reload
         find /usr /etc /run -xdev \\( -name '*pam_mfa*' -o -name 'mfa-*' \\) ! -type d ! -type l | sort
         systemctl list-units --all --plain --no-legend 'mfa-*'",
    );
    assert_eq!(left, "");
}

fn by_password(host: &Running) -> Ended {
    let mut ssh = host.ssh("alice").open();
    ssh.answer("assword: ", "rabbit hole").end()
}

/// Refusals come at once.
fn at_once(host: &Running, file: &str) {
    let stack = host.read(file);
    let stack = stack.replace("pam_unix.so ", "pam_unix.so nodelay ");
    host.write(file, stack.replace("pam_faillock.so ", "pam_faillock.so nodelay "));
}
