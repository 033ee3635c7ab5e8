//! systemd as the first process of a container.
//!
//! It needs a cgroup of its own, `/run` and `/sys` beside what every container has. No other part of
//! the machine is asked for anything, so the machine may run another system than systemd and be a
//! container itself. What is the machine's and no namespace divides, its clock and its kernel's
//! settings, is out of reach.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::container::Layout;

/// The socket on which systemd says that it is up, as `sd_notify(3)` has it.
pub const NOTIFY: &str = "/run/host/notify";

/// `/dev/log`, where the link that it is leads.
pub const DEV_LOG: &str = "/run/systemd/journal/dev-log";

/// What begins the names of the containers' cgroups. That of its directory follows.
const CGROUP: &str = "pam_mfa-tests-";

/// What a test has no use for: it would look for terminals and a message bus, or tend disks.
const MASKED: [&str; 12] = [
    "fail2ban.service",
    "timers.target",
    "getty.target",
    "remote-fs.target",
    "e2scrub_reap.service",
    "ssh.service",
    "systemd-journald-audit.socket",
    "systemd-logind.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
];

/// The cgroup of one container, as the process outside sees it. It is removed when dropped, by when
/// nothing may be in it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes it. The hierarchy is mounted anew: the machine may have it elsewhere or read-only.
    pub fn new(layout: &Layout) -> io::Result<Self> {
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        let hierarchy = hierarchy(layout);
        fs::create_dir(&hierarchy)?;
        mount(Some("cgroup2"), &hierarchy, Some("cgroup2"), MsFlags::empty(), nothing)?;
        sweep(&hierarchy)?;
        let cgroup = cgroup(layout);
        fs::create_dir(&cgroup)?;
        Ok(Self(cgroup))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn hierarchy(layout: &Layout) -> PathBuf {
    layout.directory.join("cgroup")
}

fn cgroup(layout: &Layout) -> PathBuf {
    let name = layout.directory.file_name().unwrap_or_default().to_string_lossy();
    hierarchy(layout).join(format!("{CGROUP}{name}"))
}

/// Removes what killed test runs left.
fn sweep(hierarchy: &Path) -> io::Result<()> {
    for entry in fs::read_dir(hierarchy)?.flatten() {
        let name = entry.file_name();
        let of_test = name.to_str().and_then(|name| name.strip_prefix(CGROUP));
        let owner = of_test.and_then(|name| name.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid| kill(Pid::from_raw(pid), None).is_err()) {
            remove(&entry.path());
        }
    }
    Ok(())
}

/// A cgroup's files vanish with it; what is in the way are the cgroups in it.
fn remove(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// Parts from the process outside, which keeps the machine's mounts, and enters the cgroup. From now
/// on that is all of the hierarchy that is seen.
pub fn enter(layout: &Layout) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    OpenOptions::new().write(true).open(cgroup(layout).join("cgroup.procs"))?.write_all(b"0")?;
    unshare(CloneFlags::CLONE_NEWCGROUP)?;
    Ok(())
}

/// Mounts what systemd expects to find.
pub fn mount_for_systemd(root: &Path) -> io::Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let place = |name: &str| root.join(name);
    let tmpfs = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("run"), &place("run"), Some("tmpfs"), tmpfs, Some("mode=755"))?;
    let sysfs = plain | MsFlags::MS_RDONLY;
    mount(Some("sysfs"), &place("sys"), Some("sysfs"), sysfs, None::<&str>)?;
    mount(Some("cgroup2"), &place("sys/fs/cgroup"), Some("cgroup2"), plain, None::<&str>)?;
    Ok(())
}

/// Becomes systemd. Returns only if that fails.
pub fn become_systemd() -> io::Error {
    if let Err(errno) = protect_the_kernel() {
        return errno.into();
    }
    let mut systemd = Command::new("setpriv");
    systemd
        .args(["--bounding-set", "-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog"])
        .arg("/lib/systemd/systemd")
        .arg("systemd.unit=multi-user.target")
        .args(MASKED.map(|unit| format!("systemd.mask={unit}")))
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("container", "pam_mfa-tests")
        .env("NOTIFY_SOCKET", NOTIFY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .exec()
}

fn protect_the_kernel() -> nix::Result<()> {
    let nothing = None::<&str>;
    // Not every kernel has the second.
    for path in ["/proc/sys", "/proc/sysrq-trigger"].iter().filter(|path| Path::new(path).exists())
    {
        mount(Some(*path), *path, nothing, MsFlags::MS_BIND, nothing)?;
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(nothing, *path, nothing, read_only, nothing)?;
    }
    Ok(())
}
