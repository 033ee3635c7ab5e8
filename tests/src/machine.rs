//! A virtual machine with a kernel of its own, for what no container has: a kernel that confines programs.
//!
//! It is emulated, so it asks nothing of the machine that runs the tests but time, for most things ten times what a
//! container takes. Its network is a namespace of its own with nothing in it but the port of its sshd. What is
//! written to its disk is forgotten with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cache::{self, TemporaryDirectory};
use crate::host::{Output, finish};
use crate::pty::Pty;
use crate::waiting::until_within;

/// How long may take what takes a second elsewhere.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to boot. It takes half a minute where nothing else runs.
const BOOT: Duration = Duration::from_secs(400);

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    /// qemu, whose terminal is the machine's.
    console: Pty,
    /// What root's commands go through.
    root: Child,
    files: &'static Path,
    directory: TemporaryDirectory,
}

impl Machine {
    /// Boots one whose kernel is told this.
    pub fn boot(kernel: &str) -> Self {
        let files = cache::machine();
        let directory = TemporaryDirectory::new();
        let start = "ip link set lo up; exec qemu-system-x86_64 \"$@\"";
        // It ends with the test, however that ends.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-euc", start, "sh"])
            .args([
                "-machine",
                "q35",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max,avx2=off",
                "-smp",
                "2",
            ])
            .args(["-m", "1024", "-nodefaults", "-no-reboot", "-display", "none"])
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .arg("-kernel")
            .arg(files.join("vmlinuz"))
            .arg("-append")
            .arg(format!("root=/dev/nvme0n1 rw console=ttyS0 quiet {kernel}"))
            .arg("-drive")
            .arg(format!(
                "id=disk,if=none,format=raw,snapshot=on,cache=unsafe,file={}",
                files.join("disk").display()
            ))
            .args(["-device", "nvme,drive=disk,serial=1", "-netdev"])
            .arg("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:22-10.0.2.15:22")
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", directory.path());
        let mut console = Pty::spawn(&qemu).patient(BOOT);
        console.expect("server login: ");
        let console = console.patient(PATIENCE);
        let mut root = by_key(&console, files, directory.path());
        root.args(["-M", "-N", "-l", "root", "127.0.0.1"]);
        let null = Stdio::null;
        let root = root.stdin(null()).stdout(null()).stderr(null()).spawn().unwrap();
        let machine = Self { console, root, files, directory };
        let mut check = machine.client();
        check.args(["-O", "check", "127.0.0.1"]).stdout(null()).stderr(null());
        until_within(PATIENCE, "root got in", || check.status().unwrap().success());
        machine
    }

    /// The terminal of the machine itself, on which somebody can log in.
    pub fn console(&mut self) -> &mut Pty {
        &mut self.console
    }

    /// A shell script inside, as root, to its end.
    pub fn run(&self, script: &str) -> Output {
        self.run_with_input(script, "")
    }

    /// The same with this on its standard input.
    pub fn run_with_input(&self, script: &str, input: &str) -> Output {
        let mut command = self.client();
        command.args(["-T", "-l", "root", "127.0.0.1"]).arg(script);
        finish(&command, input)
    }

    /// A shell script inside, as root; it must succeed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        self.run(&format!("set -eu\n{script}")).ok()
    }

    /// A shell script on a terminal of its own, as root.
    pub fn terminal(&self, script: &str) -> Pty {
        let mut command = self.client();
        command.args(["-tt", "-l", "root", "127.0.0.1"]).arg(script);
        Pty::spawn(&command).patient(PATIENCE)
    }

    /// Somebody logs in over ssh, with these options, and runs a command on a terminal.
    pub fn ssh(&self, user: &str, options: &[&str], command: &str) -> Pty {
        let mut ssh = ssh(&self.console);
        ssh.args(options).args(["-oIdentityFile=none", "-oNumberOfPasswordPrompts=1"]);
        ssh.args(["-tt", "-l", user, "127.0.0.1"]).arg(command);
        Pty::spawn(&ssh).patient(PATIENCE)
    }

    /// What the kernel has refused, in the words of its audit log. Among it all that happened before this is called.
    pub fn denials(&self) -> Vec<String> {
        let log = self.shell(
            "auditctl -m mark-$$
             until grep -q mark-$$ /var/log/audit/audit.log; do sleep 0.1; done
             cat /var/log/audit/audit.log*",
        );
        let refusals = ["avc:  denied", "apparmor=\"DENIED\"", "type=SELINUX_ERR"];
        let refused = log.lines().filter(|line| refusals.iter().any(|text| line.contains(text)));
        refused.map(str::to_owned).collect()
    }

    /// The lines of the journal that have this in them.
    pub fn logged(&self, text: &str) -> Vec<String> {
        let journal = self.shell("journalctl --quiet --sync; journalctl --quiet --output=cat");
        journal.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// What the mail servers took so far.
    pub fn letters(&self) -> Vec<Value> {
        let letters = self.shell("cat /root/received 2>/dev/null || true");
        letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn client(&self) -> Command {
        by_key(&self.console, self.files, self.directory.path())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let refused = self.denials();
            let ours: Vec<_> = refused.iter().filter(|line| line.contains("mfa")).collect();
            eprintln!("what was refused: {ours:#?}");
            eprintln!(
                "the log:\n{}",
                self.run("journalctl --quiet -t pam_mfa -t sshd -t sudo").stdout
            );
        }
        let _ = self.root.kill();
        let _ = self.root.wait();
    }
}

/// What root's commands are brought by.
fn by_key(console: &Pty, files: &Path, directory: &Path) -> Command {
    let mut ssh = ssh(console);
    ssh.arg(format!("-oControlPath={}", directory.join("root").display()));
    ssh.arg(format!("-oIdentityFile={}", files.join("key").display()));
    ssh
}

/// ssh, in the network of the machine on this console.
fn ssh(console: &Pty) -> Command {
    let mut ssh = Command::new("nsenter");
    ssh.args(["--net", "--target", &console.pid().to_string(), "ssh", "-F/dev/null"])
        .args(["-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=no"])
        .args(["-oUserKnownHostsFile=/dev/null"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("TERM", "xterm");
    ssh
}
