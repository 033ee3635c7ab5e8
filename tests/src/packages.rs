//! Packages for other distributions than the machine's, each made once.
//! Their package managers are in every host.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use crate::cache::{self, TemporaryDirectory};
use crate::readme::README;

/// Of a pacman that knows no key by which signatures could be looked at, and no package of Debian's.
pub const PACMAN_CONF: &str =
    "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n";

/// The package for Fedora: `PAM_MFA_RPM`, else a fresh one.
pub fn rpm() -> &'static Path {
    static RPM: OnceLock<Package> = OnceLock::new();
    RPM.get_or_init(|| given("PAM_MFA_RPM").unwrap_or_else(|| rpm_with(""))).path()
}

/// A later release of the same, with `pam_mfa-selinux` beside it.
pub fn later_rpm() -> &'static Path {
    static LATER: OnceLock<Package> = OnceLock::new();
    LATER.get_or_init(|| rpm_with("--define 'dist .later' --with selinux")).path()
}

/// `pam_mfa-selinux` of that release.
pub fn selinux_rpm() -> PathBuf {
    let beside = later_rpm().display().to_string();
    beside.replace("x86_64", "noarch").replace("/pam_mfa-0", "/pam_mfa-selinux-0").into()
}

/// The package for Arch: `PAM_MFA_ARCH`, else a fresh one.
pub fn arch() -> &'static Path {
    static ARCH: OnceLock<Package> = OnceLock::new();
    ARCH.get_or_init(|| {
        given("PAM_MFA_ARCH").unwrap_or_else(|| {
            let directory = TemporaryDirectory::new();
            let path =
                made(&["arch", &format!("ARCH_DIRECTORY={}/arch", directory.path().display())]);
            Package::Made(path, directory)
        })
    })
    .path()
}

/// The command that begins like this and that README.md has root type, on a line of its own.
#[track_caller]
pub fn typed_by_root(command: &str) -> String {
    let mut lines = README.lines().filter_map(|line| line.trim_start().strip_prefix("# "));
    lines.find(|line| line.starts_with(command)).unwrap_or_else(|| panic!("{command}")).to_owned()
}

#[derive(Debug)]
enum Package {
    Given(PathBuf),
    Made(PathBuf, #[expect(dead_code, reason = "keeps it")] TemporaryDirectory),
}

impl Package {
    fn path(&self) -> &Path {
        let (Self::Given(path) | Self::Made(path, _)) = self;
        path
    }
}

fn given(variable: &str) -> Option<Package> {
    std::env::var_os(variable).map(|path| Package::Given(path.into()))
}

fn rpm_with(flags: &str) -> Package {
    let directory = TemporaryDirectory::new();
    let topdir = format!("RPM_TOPDIR={}/topdir", directory.path().display());
    // How small a package is matters to nobody here.
    let flags = format!("RPM_FLAGS={flags} --define '_binary_payload w1.gzdio'");
    let path = made(&["rpm", &topdir, &flags]);
    Package::Made(path, directory)
}

/// What the last line names that `make` prints.
fn made(arguments: &[&str]) -> PathBuf {
    let mut make = cache::make(arguments);
    let output = make.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{make:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().into()
}
