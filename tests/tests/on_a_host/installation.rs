//! What `make install` lays out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use mfa_tests::cache::{self, TemporaryDirectory, stage};
use mfa_tests::{Host, Running};

fn module(host: &Running) -> String {
    host.shell("echo /usr/lib/*/security/pam_mfa.so").trim().to_owned()
}

#[test]
fn files_have_the_owners_and_modes_that_they_must_have() {
    let host = Host::new().start();
    let module = module(&host);
    for (path, mode) in [
        (module.as_str(), 0o644),
        ("/usr/libexec/pam_mfa/mfa-verifier", 0o755),
        ("/usr/libexec/pam_mfa/mfa-reauth", 0o755),
        ("/usr/libexec/pam_mfa/mfa-mail", 0o755),
        ("/usr/libexec/pam_mfa", 0o755),
        ("/usr/share/man/man1/mfa-setup.1", 0o644),
        ("/usr/share/man/man5/pam_mfa.toml.5", 0o644),
        ("/usr/share/man/man8/mfa-verifier.8", 0o644),
        ("/usr/share/man/man8/pam_mfa.8", 0o644),
        ("/usr/share/bash-completion/completions/mfa-setup", 0o644),
        ("/usr/share/zsh/vendor-completions/_mfa-setup", 0o644),
        ("/usr/share/fish/vendor_completions.d/mfa-setup.fish", 0o644),
        ("/etc/pam.d/mfa-setup", 0o644),
        ("/usr/lib/systemd/system/mfa-verifier-user.socket", 0o644),
        ("/usr/lib/systemd/system/mfa-verifier-user@.service", 0o644),
        ("/usr/lib/systemd/system/mfa-verifier-users.service", 0o644),
        ("/usr/bin/mfa-setup", 0o755),
        ("/etc/pam_mfa/config.toml", 0o644),
        ("/etc/pam_mfa", 0o755),
        ("/usr/share/doc/pam_mfa/examples/pam.d/sshd", 0o644),
    ] {
        let metadata = fs::metadata(host.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{path}");
    }
    // Neither is made before somebody enrols.
    assert!(!host.path("/etc/pam_mfa/store.key").exists());
    assert!(!host.path("/var/lib/pam_mfa").exists());
}

#[test]
fn the_module_exports_nothing_but_what_pam_calls() {
    let mut exported = lines("nm", &["--dynamic", "--defined-only", "--format=just-symbols"]);
    exported.sort();
    assert_eq!(
        exported,
        [
            "pam_sm_acct_mgmt",
            "pam_sm_authenticate",
            "pam_sm_chauthtok",
            "pam_sm_close_session",
            "pam_sm_open_session",
            "pam_sm_setcred",
        ]
    );
}

#[test]
fn the_module_links_nothing_but_libpam_libc_libgcc_and_the_loader() {
    for line in lines("readelf", &["--dynamic"]).iter().filter(|line| line.contains("(NEEDED)")) {
        let library = line.split(['[', ']']).nth(1).unwrap();
        // Before 2.34 (Debian 11) glibc was three libraries.
        let libc = ["libc.so.6", "libpthread.so.0", "libdl.so.2"];
        let allowed = ["libpam.so.0", "libgcc_s.so.1"].iter().chain(&libc);
        assert!(
            allowed.clone().any(|it| *it == library) || library.starts_with("ld-linux"),
            "{library}"
        );
    }
}

#[test]
fn the_module_is_small() {
    let directory = TemporaryDirectory::new();
    let stripped = directory.path().join("pam_mfa.so");
    let status =
        Command::new("strip").arg("-o").arg(&stripped).arg(module_file()).status().unwrap();
    assert!(status.success());
    let size = fs::metadata(&stripped).unwrap().len();
    println!("pam_mfa.so has {} KiB", size / 1024);
    assert!(size <= 600 * 1024, "{size} bytes");
}

/// So that two builds of a commit have the same bytes (`packaging/reproducible` compares them), and nobody
/// learns from a package whose home it was built in.
#[test]
fn no_program_tells_where_it_was_built() {
    let home = std::env::var("HOME").unwrap();
    let programs = ["mfa-verifier", "mfa-reauth", "mfa-mail"];
    let mut files: Vec<_> =
        programs.iter().map(|name| stage().join("usr/libexec/pam_mfa").join(name)).collect();
    files.extend([stage().join("usr/bin/mfa-setup"), module_file()]);
    for file in files {
        let program = fs::read(&file).unwrap();
        let says = |text: &str| program.windows(text.len()).any(|part| part == text.as_bytes());
        let crates = format!("{home}/.");
        for place in [crates.as_str(), cache::tree().to_str().unwrap()] {
            assert!(!says(place), "{place} is in {}", file.display());
        }
        assert!(says("/cargo/registry/"), "{}: the search finds nothing", file.display());
    }
}

#[test]
fn a_policy_that_is_there_stays() {
    let host = Host::new().config("[policy]\nmode = \"required\"\n").start();
    assert_eq!(host.read("/etc/pam_mfa/config.toml"), "[policy]\nmode = \"required\"\n");
    let directory = TemporaryDirectory::new();
    let root = directory.path().display().to_string();
    let make = |target: &str| {
        let mut make = cache::make(&[target, &format!("DESTDIR={root}")]);
        assert!(make.status().unwrap().success());
    };
    make("install");
    let policy = directory.path().join("etc/pam_mfa/config.toml");
    fs::write(&policy, "# mine\n").unwrap();
    make("install");
    assert_eq!(fs::read_to_string(&policy).unwrap(), "# mine\n");
    make("uninstall");
    assert_eq!(fs::read_to_string(&policy).unwrap(), "# mine\n");
    let left = Command::new("find").arg(directory.path()).args(["-type", "f"]).output().unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap().trim(), policy.display().to_string());
}

fn module_file() -> std::path::PathBuf {
    let architectures = fs::read_dir(stage().join("usr/lib")).unwrap().flatten();
    let mut modules = architectures.map(|entry| entry.path().join("security/pam_mfa.so"));
    modules.find(|path| path.exists()).expect("the module")
}

fn lines(program: &str, options: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(options).arg(module_file()).output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
