//! The Debian package: others made of it, and hosts to install them on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::cache::{self, TemporaryDirectory};
use crate::host::{Host, Output, Running};
use crate::ssh::Ended;

/// Where the packages lie in the hosts.
pub const PACKAGES: &str = "/root/packages";

/// The package of this tree, as README.md calls it.
pub const PACKAGE: &str = "/root/packages/libpam-mfa_0.1.0_amd64.deb";

/// A directory with the package, and with others made of it.
#[derive(Debug)]
pub struct Packages(TemporaryDirectory);

impl Packages {
    /// The package, as it is.
    pub fn released() -> Self {
        let directory = TemporaryDirectory::new();
        let deb = cache::deb();
        fs::copy(deb, directory.path().join(deb.file_name().unwrap())).unwrap();
        Self(directory)
    }

    /// The same files, not compressed: it is unpacked often, and that takes half of the time.
    pub fn new() -> Self {
        let packages = Self(TemporaryDirectory::new());
        packages.make(PACKAGE.rsplit('/').next().unwrap(), "");
        packages
    }

    /// Adds another version, changed by a shell script that runs in its files, with the package's own
    /// scripts in `DEBIAN`. Its name in the hosts.
    pub fn version(&self, version: &str, script: &str) -> String {
        let name = format!("libpam-mfa_{version}.deb");
        let change =
            format!("sed -i 's/^Version: .*/Version: {version}/' DEBIAN/control\n{script}");
        self.make(&name, &change);
        format!("{PACKAGES}/{name}")
    }

    fn make(&self, name: &str, change: &str) {
        static FILES: OnceLock<TemporaryDirectory> = OnceLock::new();
        let files = FILES.get_or_init(|| {
            let files = TemporaryDirectory::new();
            let status =
                Command::new("dpkg-deb").arg("-R").arg(cache::deb()).arg(files.path()).status();
            assert!(status.unwrap().success(), "dpkg-deb");
            files
        });
        let copy = TemporaryDirectory::new();
        let script = format!("cp -a \"$0/.\" .\n{change}\ndpkg-deb -Znone -b . \"$1\" >/dev/null");
        let status = Command::new("sh")
            .args(["-euc", &script])
            .args([files.path(), &self.path().join(name)])
            .current_dir(copy.path())
            .status()
            .unwrap();
        assert!(status.success(), "{name}");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Default for Packages {
    fn default() -> Self {
        Self::new()
    }
}

/// A Debian of this release as its installer leaves it, with alice, who may use sudo, and bob. Nothing of
/// `pam_mfa` is installed.
pub fn bare(release: &'static str, packages: &Packages) -> Host {
    Host::new()
        .release(release)
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .file_with_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) ALL\n", 0o440)
        // Nothing of it has to outlive a power cut, and syncing every file costs more than all else.
        .file("/etc/dpkg/dpkg.cfg.d/tests", "force-unsafe-io\n")
        .bind(packages.path(), PACKAGES)
}

/// The same as it runs. debconf asks nobody, and `pam_unix` does not delay a refusal.
pub fn debian(release: &'static str, packages: &Packages) -> Running {
    let host = bare(release, packages).start();
    settle(&host);
    host
}

/// Sets debconf and `pam_unix` up for tests.
pub fn settle(host: &Running) {
    host.shell(
        "echo debconf debconf/frontend select Noninteractive | debconf-set-selections
         sed -i 's/pam_unix.so nullok/& nodelay/' /usr/share/pam-configs/unix
         pam-auth-update --package",
    );
}

/// The same with Debian's own sshd, as it is set up there.
pub fn debian_with_sshd(release: &'static str, packages: &Packages) -> Running {
    let host = debian(release, packages);
    let key = host.read("/etc/ssh/ssh_host_ed25519_key.pub");
    host.write("/etc/ssh/ssh_known_hosts", format!("* {key}"));
    host.shell("service ssh start");
    host.wait_for_log("Server listening on :: port 22");
    host
}

/// What dpkg makes of this.
pub fn dpkg(host: &Running, arguments: &[&str]) -> Output {
    let mut argv = vec!["dpkg"];
    argv.extend(arguments);
    host.run(&argv)
}

/// Installs the package of this tree.
pub fn install(host: &Running) {
    dpkg(host, &["-i", PACKAGE]).ok();
}

/// What sshd makes of alice's password alone, by whichever method it asks.
pub fn by_password(host: &Running) -> Ended {
    let mut ssh = host.ssh("alice").open();
    ssh.answer("assword: ", "rabbit hole").end()
}

/// What sshd makes of alice's password and this code.
pub fn by_password_and_code(host: &Running, code: &str) -> Ended {
    let mut ssh = host.ssh("alice").open();
    ssh.answer("Password: ", "rabbit hole").answer("Verification code: ", code).end()
}
