//! How a container is laid out, and its first process.
//!
//! `container-init` is started twice: as itself it makes the namespaces, then it starts itself anew
//! as the first process in them, which lays the overlay, moves into it, listens on `/dev/log`, reaps
//! what is orphaned, and ends when its standard input does. The test holds the other end of that, so
//! whatever becomes of the test, its container ends with it, and the kernel ends all that runs inside.
//!
//! In a host that is *booted* the first process becomes systemd once the test has written what systemd
//! is to find. The end of the test is then noticed by the process outside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt,
};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{chdir, pivot_root, sethostname};
use serde::{Deserialize, Serialize};

use crate::booted::{self, Cgroup};
use crate::log::Record;

/// The name of every container.
pub const HOSTNAME: &str = "testhost";

/// What a container is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layout {
    /// Read-only layers, the uppermost first.
    pub lower: Vec<PathBuf>,
    /// Holds `upper`, `work` and `root`.
    pub directory: PathBuf,
    /// Where each record of `/dev/log` goes, as a line of JSON.
    pub log: PathBuf,
    /// What else of the machine is seen, and where.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Whether systemd runs in it.
    pub boot: bool,
}

/// The first process outside: prints the pid of the one inside, and waits for it.
pub fn outside(layout: &str) -> io::Result<()> {
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )?;
    let described: Layout = serde_json::from_str(layout)?;
    let _cgroup = if described.boot { Some(Cgroup::new(&described)?) } else { None };
    let children = SignalFd::new(&blocked(Signal::SIGCHLD)?)?;
    let mut inside = Command::new("/proc/self/exe").args(["inside", layout]).spawn()?;
    println!("pid {}", inside.id());
    if described.boot {
        return end_with_the_test(&mut inside, &children);
    }
    let status = inside.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}

/// systemd does not know of the test. Neither does this process have threads: in the new pid namespace
/// they would be the first process's.
fn end_with_the_test(inside: &mut Child, children: &SignalFd) -> io::Result<()> {
    let stdin = io::stdin();
    // Not read: what is written to standard input is meant for the process inside.
    let test_ended = PollFd::new(stdin.as_fd(), PollFlags::empty());
    let child_ended = PollFd::new(children.as_fd(), PollFlags::POLLIN);
    let mut either = [test_ended, child_ended];
    while poll(&mut either, PollTimeout::NONE) == Err(Errno::EINTR) {}
    inside.kill()?;
    inside.wait()?;
    Ok(())
}

/// The first process inside: prints `ready` when the container is.
pub fn inside(layout: &str) -> io::Result<()> {
    let layout: Layout = serde_json::from_str(layout)?;
    umask(Mode::empty());
    if layout.boot {
        return boot(&layout);
    }
    let children = blocked(Signal::SIGCHLD)?;
    let log = OpenOptions::new().create(true).append(true).open(&layout.log)?;
    lay_out(&layout)?;
    listen(log)?;
    bring_up_network()?;
    umask(Mode::from_bits_truncate(0o022));
    thread::spawn(|| {
        // Nothing is ever written to it: this is the end of the test, or of the whole run.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    println!("ready");
    io::stdout().flush()?;
    loop {
        children.wait()?;
        reap();
    }
}

/// Prints `ready` when files can be written, becomes systemd when it is told to.
fn boot(layout: &Layout) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    booted::enter(layout)?;
    lay_out(layout)?;
    bring_up_network()?;
    umask(Mode::from_bits_truncate(0o022));
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_exact(&mut [0])?;
    Err(booted::become_systemd())
}

fn blocked(signal: Signal) -> io::Result<SigSet> {
    let signals = SigSet::from_iter([signal]);
    signals.thread_block()?;
    Ok(signals)
}

fn reap() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            _ => {}
        }
    }
}

fn lay_out(layout: &Layout) -> io::Result<()> {
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    let root = layout.directory.join("root");
    let lower: Vec<_> = layout.lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={d}/upper,workdir={d}/work",
        lower.join(":"),
        d = layout.directory.display()
    );
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &root.join("proc"), Some("proc"), plain, nothing)?;
    devices(&root.join("dev"))?;
    if layout.boot {
        booted::mount_for_systemd(&root)?;
    }
    for (source, target) in &layout.binds {
        let target = root.join(target.strip_prefix("/").unwrap_or(target));
        if source.is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            fs::create_dir_all(target.parent().unwrap_or(&root))?;
            File::create(&target)?;
        }
        mount(Some(source), &target, nothing, MsFlags::MS_BIND, nothing)?;
    }
    sethostname(HOSTNAME)?;
    // The old root is laid over the new one, and taken off again.
    chdir(&root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    Ok(())
}

fn devices(dev: &Path) -> io::Result<()> {
    mount(Some("dev"), dev, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))?;
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&dev.join(name), SFlag::S_IFCHR, mode, makedev(major, minor))?;
    }
    fs::create_dir(dev.join("pts"))?;
    let options = Some("newinstance,ptmxmode=0666,mode=620,gid=5");
    mount(Some("devpts"), &dev.join("pts"), Some("devpts"), MsFlags::MS_NOSUID, options)?;
    fs::create_dir(dev.join("shm"))?;
    fs::set_permissions(dev.join("shm"), fs::Permissions::from_mode(0o1777))?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

/// A `/dev/log` that somebody reads: without one, glibc writes each line to the console instead.
fn listen(mut log: File) -> io::Result<()> {
    // As systemd has it. The kernel's own 10 are full when many log in together, and a line is lost.
    fs::write("/proc/sys/net/unix/max_dgram_qlen", "512")?;
    let socket = UnixDatagram::bind("/dev/log")?;
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666))?;
    setsockopt(&socket, sockopt::PassCred, &true)?;
    thread::spawn(move || {
        let mut datagram = vec![0; 64 * 1024];
        while let Ok((length, pid)) = receive(&socket, &mut datagram) {
            let record = Record { pid, ..Record::parse(&datagram[..length]) };
            if let Ok(line) = serde_json::to_string(&record) {
                let _ = writeln!(log, "{line}");
            }
        }
    });
    Ok(())
}

/// The length of the next datagram, and which process sent it.
fn receive(socket: &UnixDatagram, datagram: &mut [u8]) -> nix::Result<(usize, Option<i32>)> {
    let mut space = cmsg_space!(UnixCredentials);
    let mut buffers = [IoSliceMut::new(datagram)];
    let fd = socket.as_raw_fd();
    let received = recvmsg::<()>(fd, &mut buffers, Some(&mut space), MsgFlags::empty())?;
    let pid = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
        _ => None,
    });
    Ok((received.bytes, pid))
}

/// Loopback, and the documentation networks on it, so that a client can come from any address in
/// them (`ssh -b 192.0.2.7`).
fn bring_up_network() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")?;
    let mut ip = Command::new("/sbin/ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let mut commands = ip.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    commands.write_all(
        b"link set lo up\n\
          route add local 192.0.2.0/24 dev lo\n\
          route add local 198.51.100.0/24 dev lo\n\
          route add local 203.0.113.0/24 dev lo\n\
          route add local 2001:db8::/32 dev lo\n",
    )?;
    drop(commands);
    if ip.wait()?.success() { Ok(()) } else { Err(io::Error::other("ip failed")) }
}
