//! What is made once and kept outside the tree: the containers' root file systems, the installed
//! release build, the Debian package, directories for one run.
//!
//! All of it lies on a real disk under `/var/cache`, below directories that root alone can write: the
//! module and the verifier refuse anything else, and `tmpfs` forgets what `fsync` is for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Where everything is kept.
const CACHE: &str = "/var/cache/pam_mfa-tests";

/// The source tree.
pub fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The containers' root file system, of the machine's own release of Debian or another: `tests/rootfs`
/// says where, and makes it if need be.
pub fn rootfs(release: Option<&'static str>) -> PathBuf {
    static ROOTS: Mutex<BTreeMap<Option<&str>, Result<PathBuf, String>>> =
        Mutex::new(BTreeMap::new());
    let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let root = roots.entry(release).or_insert_with(|| {
        let mut script = Command::new(tree().join("tests/rootfs"));
        script.args(release);
        said_by(script)
    });
    made(root).to_owned()
}

/// What `make install` laid out: where `tests/run` put it, else a fresh one.
pub fn stage() -> &'static Path {
    static STAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    made(STAGE.get_or_init(|| {
        if let Some(stage) = std::env::var_os("PAM_MFA_STAGE") {
            return Ok(stage.into());
        }
        made_by("stage")
    }))
}

/// The Debian package: where `tests/run` put it, else a fresh one.
pub fn deb() -> &'static Path {
    static DEB: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    made(DEB.get_or_init(|| {
        if let Some(deb) = std::env::var_os("PAM_MFA_DEB") {
            return Ok(deb.into());
        }
        made_by("deb")
    }))
}

/// A virtual machine on which the Debian package is installed: `tests/machine` says where, and makes it if need be.
pub fn machine() -> &'static Path {
    static MACHINE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    made(MACHINE.get_or_init(|| {
        let mut script = Command::new(tree().join("tests/machine"));
        script.arg(deb());
        said_by(script)
    }))
}

/// What a target of the Makefile says that it has made. One at a time.
fn made_by(target: &str) -> Result<PathBuf, String> {
    fs::create_dir_all(CACHE).unwrap();
    let lock = File::create(Path::new(CACHE).join("stage.lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    said_by(make(&[target]))
}

/// `make` in the source tree, as a person calls it. What cargo and another make tell the programs that
/// they start is left out: build scripts that look at it would run anew, and half the build with them.
pub fn make(arguments: &[&str]) -> Command {
    let mut make = Command::new("make");
    make.args(["--silent", "--no-print-directory"]).args(arguments).current_dir(tree()).env_clear();
    let kept =
        ["PATH", "HOME", "CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    for name in kept {
        if let Some(value) = std::env::var_os(name) {
            make.env(name, value);
        }
    }
    make
}

/// One of this package's programs, beside the one that runs.
pub fn program(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let program = directory.join(name);
    assert!(program.exists(), "{} is missing: cargo build -p mfa-tests --bins", program.display());
    program
}

/// An empty directory, removed when dropped.
#[derive(Debug)]
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Makes one. Those of processes that have died are swept away first.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: OnceLock<()> = OnceLock::new();
        let all = Path::new(CACHE).join("tmp");
        fs::create_dir_all(&all).unwrap();
        SWEEP.get_or_init(|| sweep(&all));
        // The scripts remove theirs when they end, however they do.
        let parent = std::env::var_os("PAM_MFA_TMP").map_or(all, PathBuf::from);
        fs::create_dir_all(&parent).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TemporaryDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// Removes what belongs to no living process; a run that was killed could not do it itself.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).unwrap().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse().ok());
        if owner.is_none_or(|pid| kill(Pid::from_raw(pid), None).is_err()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What the last line on standard output of a program names; what it says beside that is shown.
fn said_by(mut command: Command) -> Result<PathBuf, String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    let said = String::from_utf8(output.stdout).unwrap();
    Ok(said.lines().last().unwrap_or_default().into())
}

/// What could not be made is not tried again for each test.
fn made(path: &Result<PathBuf, String>) -> &Path {
    path.as_ref().unwrap_or_else(|error| panic!("{error}"))
}
