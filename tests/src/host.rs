//! A host to log in to.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::booted;
use crate::cache::{self, TemporaryDirectory};
use crate::clock;
use crate::codes::{Backup, Device};
use crate::container::{HOSTNAME, Layout};
use crate::log::Record;
use crate::mode::{self, Standing};
use crate::pty::Pty;
use crate::ssh::Ssh;
use crate::traced::VERIFIER;

/// How long a program may run that a test waits for.
const PATIENCE: &str = "180";

/// How long systemd may take to boot. It takes a second or two.
const BOOT: Duration = Duration::from_secs(60);

/// Debian's common-auth, but that `pam_unix` does not delay.
const COMMON_AUTH: &str = "auth [success=1 default=ignore] pam_unix.so nullok nodelay\n\
                           auth requisite pam_deny.so\n\
                           auth required pam_permit.so\n";

/// Where the program behind [`crate::pam`] is found in every host.
pub const PAM_CLIENT: &str = "/usr/local/bin/pam-client";

/// A host that is being described; [`Host::start`] makes it.
///
/// ```no_run
/// # use mfa_tests::Host;
/// let host = Host::new()
///     .user("alice", "rabbit hole")
///     .config("[policy]\nmode = \"required\"\n")
///     .pam("sshd", "auth requisite pam_unix.so nodelay\nauth required pam_mfa.so\n…")
///     .sshd("")
///     .start();
/// let phone = host.enrol("alice").device;
/// ```
#[derive(Debug, Default)]
pub struct Host {
    users: Vec<(String, Option<String>)>,
    files: Vec<(PathBuf, Vec<u8>, u32)>,
    binds: Vec<(PathBuf, PathBuf)>,
    disks: Vec<PathBuf>,
    sshd: Option<String>,
    release: Option<&'static str>,
    bare: bool,
    booted: bool,
    clock: bool,
}

impl Host {
    /// Nobody but root, no policy file, no sshd; Debian's own PAM services.
    pub fn new() -> Self {
        Self::default()
    }

    /// An ordinary user with a password; the first has uid 1000.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), Some(password.to_owned())));
        self
    }

    /// An ordinary user whom no password lets in.
    #[must_use]
    pub fn user_without_password(mut self, name: &str) -> Self {
        self.users.push((name.to_owned(), None));
        self
    }

    /// The policy, `/etc/pam_mfa/config.toml`, in place of the one that `make install` puts there.
    #[must_use]
    pub fn config(self, toml: &str) -> Self {
        self.file("/etc/pam_mfa/config.toml", toml)
    }

    /// A service file in `/etc/pam.d` as `config/pam.d/` shows it to administrators. A refusal comes
    /// at once: Debian's common-auth lets `pam_unix` delay it by two seconds.
    #[must_use]
    pub fn pam_example(self, service: &str, example: &str) -> Self {
        let stack = fs::read_to_string(cache::tree().join("config/pam.d").join(example)).unwrap();
        self.pam(service, &stack).pam("common-auth", COMMON_AUTH)
    }

    /// sshd, set up by one of the examples in `config/sshd_config.d/`.
    #[must_use]
    pub fn sshd_example(self, example: &str) -> Self {
        let path = cache::tree().join("config/sshd_config.d").join(example);
        self.sshd(&fs::read_to_string(path).unwrap())
    }

    /// A service file in `/etc/pam.d`.
    #[must_use]
    pub fn pam(self, service: &str, stack: &str) -> Self {
        self.file(&format!("/etc/pam.d/{service}"), stack)
    }

    /// A file of root's, mode 0644.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(path, content, 0o644)
    }

    /// A file of root's.
    #[must_use]
    pub fn file_with_mode(mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        self.files.push((path.into(), content.as_ref().to_vec(), mode));
        self
    }

    /// Shows a file or directory of the machine inside, at `path`: a test's own program, say.
    #[must_use]
    pub fn bind(mut self, machine: impl Into<PathBuf>, path: &str) -> Self {
        self.binds.push((machine.into(), path.into()));
        self
    }

    /// Puts an empty directory of the machine's disk at `path`, mode 0755, without an overlay
    /// between, for tests of what is durable and when.
    #[must_use]
    pub fn disk(mut self, path: &str) -> Self {
        self.disks.push(path.into());
        self
    }

    /// A Debian of this release in place of the machine's: `bookworm`, `trixie`, `bullseye`. What is
    /// built on the machine need not run there, so it is [`Self::bare`].
    #[must_use]
    pub fn release(mut self, release: &'static str) -> Self {
        self.release = Some(release);
        self.bare()
    }

    /// Nothing of `pam_mfa` is installed yet.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Boots systemd in it, with `pam_mfa`'s sockets enabled.
    #[must_use]
    pub fn booted(mut self) -> Self {
        self.booted = true;
        self
    }

    /// Has the verifier whose clock is set by [`Running::set_clock`].
    #[must_use]
    pub fn clock(mut self) -> Self {
        self.clock = true;
        self.bind(cache::program("verifier-at"), clock::VERIFIER)
    }

    /// Runs sshd on port 22 of the host, with these lines before the usual ones: the first of two
    /// counts.
    #[must_use]
    pub fn sshd(mut self, lines: &str) -> Self {
        self.sshd = Some(lines.to_owned());
        self
    }

    /// Makes it. It is gone when what this returns is dropped.
    pub fn start(self) -> Running {
        let directory = TemporaryDirectory::new();
        for name in ["upper", "work", "root"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut binds = self.binds;
        binds.push((cache::program("pam-client"), PAM_CLIENT.into()));
        for (number, path) in self.disks.into_iter().enumerate() {
            let disk = directory.path().join(format!("disk-{number}"));
            fs::create_dir(&disk).unwrap();
            binds.push((disk, path));
        }
        let up = self.booted.then(|| {
            let path = directory.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            binds.push((path, booted::NOTIFY.into()));
            socket
        });
        let log = directory.path().join("log");
        let stage = (!self.bare).then(|| cache::stage().to_owned());
        let layout = Layout {
            lower: stage.into_iter().chain([cache::rootfs(self.release)]).collect(),
            directory: directory.path().to_owned(),
            log: log.clone(),
            binds,
            boot: self.booted,
        };
        let mut host = Running::new(&layout, directory);
        host.write("/etc/hosts", format!("127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n"));
        host.write("/etc/hostname", format!("{HOSTNAME}\n"));
        host.add_users(&self.users);
        for (path, content, mode) in &self.files {
            host.write(path, content);
            host.set_mode(path, *mode);
        }
        if let Some(up) = up {
            host.boot(&up);
        }
        // systemd starts one where it boots.
        if !self.bare && !self.booted {
            host.follow_the_mode(if self.clock { clock::VERIFIER } else { VERIFIER });
        }
        if let Some(lines) = self.sshd {
            host.start_sshd(&lines);
        }
        host
    }
}

/// A host that runs.
#[derive(Debug)]
pub struct Running {
    init: Child,
    lifeline: Option<ChildStdin>,
    // Holds the other end of its standard output open.
    _said: BufReader<ChildStdout>,
    pid: u32,
    directory: TemporaryDirectory,
    booted: bool,
    resident: Option<Standing>,
}

impl Running {
    fn new(layout: &Layout, directory: TemporaryDirectory) -> Self {
        let mut init = Command::new(cache::program("container-init"))
            .arg("outside")
            .arg(serde_json::to_string(layout).unwrap())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lifeline = init.stdin.take();
        let mut said = BufReader::new(init.stdout.take().unwrap());
        // One line each from the process outside and the one inside, whichever comes first.
        let mut lines = [const { String::new() }; 2];
        for line in &mut lines {
            said.read_line(line).unwrap();
        }
        let pid = lines.iter().find_map(|line| line.trim().strip_prefix("pid ")?.parse().ok());
        let pid = pid.filter(|_| lines.iter().any(|line| line == "ready\n"));
        let pid = pid.expect("the container did not start (are you root?)");
        Self { init, lifeline, _said: said, pid, directory, booted: false, resident: None }
    }

    /// Starts this program as a resident verifier if the [`mode`] has one. A host that was
    /// [`Host::bare`] does so once it is installed.
    pub fn follow_the_mode(&mut self, program: &str) {
        if mode::is_resident() {
            self.resident = Some(Standing::start(self, program));
        }
    }

    /// Ends the resident verifier, if there is one and it has not ended yet.
    pub fn leave_the_mode(&mut self) {
        if let Some(resident) = self.resident.take() {
            resident.end(self);
        }
    }

    /// Lets systemd start, and waits until it says on `up` that it has.
    fn boot(&mut self, up: &UnixDatagram) {
        self.shell(
            "for unit in /usr/lib/systemd/system/mfa-*.socket; do
                 [ ! -e \"$unit\" ] || systemctl --quiet enable \"${unit##*/}\"
             done",
        );
        self.lifeline.as_mut().unwrap().write_all(b"\n").unwrap();
        self.booted = true;
        let deadline = Instant::now() + BOOT;
        up.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut datagram = [0; 4096];
        loop {
            let length = up.recv(&mut datagram).unwrap_or(0);
            if datagram[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return;
            }
            if let Some(status) = self.init.try_wait().unwrap() {
                panic!("systemd did not start: {status}");
            }
            if Instant::now() > deadline {
                let jobs = self.run(&["systemctl", "list-jobs"]);
                panic!("systemd is not up within {BOOT:?}: {}{}", jobs.stdout, jobs.stderr);
            }
        }
    }

    /// A program inside, as root, in `/`, with a clean environment.
    pub fn command<S: AsRef<str>>(&self, argv: &[S]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--target"])
            .arg(self.pid.to_string())
            .arg("--")
            .args(argv.iter().map(AsRef::as_ref))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm");
        command
    }

    /// Runs a program inside, as root, to its end.
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Output {
        self.run_with_input(argv, "")
    }

    /// Runs a program inside, as root, to its end, with this on its standard input.
    pub fn run_with_input<S: AsRef<str>>(&self, argv: &[S], input: &str) -> Output {
        finish(&self.command(argv), input)
    }

    /// Runs a program inside, as `user` and without the privileges of root, to its end.
    pub fn run_as<S: AsRef<str>>(&self, user: &str, argv: &[S]) -> Output {
        self.run(&as_user(user, argv))
    }

    /// Runs a shell script inside, as root; it must succeed.
    pub fn shell(&self, script: &str) -> String {
        self.run(&["/bin/sh", "-euc", script]).ok()
    }

    /// Whose records there are, and all that changes when one is written. Logins of those
    /// who have none work on decoys, whose uids are the last.
    pub fn store(&self) -> String {
        self.shell(
            "cd /var/lib/pam_mfa; ls users
             find . -not -path './users/42949672*' -printf '%p %y %m %s %T@\\n' | sort",
        )
    }

    /// Starts a program on a terminal. The terminal is one of the machine's, so the program can use
    /// it and `/dev/tty`, but finds no name for it.
    pub fn pty<S: AsRef<str>>(&self, argv: &[S]) -> Pty {
        Pty::spawn(&self.command(argv))
    }

    /// Starts a command line on a terminal of the host's own, which has a name there, as login(1)
    /// and sudo want it.
    pub fn terminal(&self, command_line: &str) -> Pty {
        self.pty(&["script", "--quiet", "--return", "--command", command_line, "/dev/null"])
    }

    /// An ssh client, on the host itself.
    pub fn ssh(&self, user: &str) -> Ssh<'_> {
        Ssh::new(self, user)
    }

    /// Writes a file of root's, mode 0644, with the directories that it needs.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }

    /// Changes a file's mode.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Reads a text file.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The machine's name for a file of the host. Symbolic links on the way are followed as the host
    /// would; the last component may be one.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        let reversed = |path: &Path| path.iter().rev().map(OsStr::to_owned).collect::<Vec<_>>();
        let mut ahead = reversed(path.as_ref());
        let mut inside = PathBuf::from("/");
        while let Some(name) = ahead.pop() {
            // "/" starts anew, ".." goes up, also from a link's target.
            match name.as_bytes() {
                b".." => drop(inside.pop()),
                _ => inside.push(name),
            }
            let here = root.join(inside.strip_prefix("/").unwrap());
            if let (false, Ok(target)) = (ahead.is_empty(), fs::read_link(here)) {
                inside.pop();
                ahead.extend(reversed(&target));
            }
        }
        root.join(inside.strip_prefix("/").unwrap())
    }

    /// All that was written to `/dev/log` so far. In a booted host it is the journal, with what
    /// systemd itself says.
    pub fn log(&self) -> Vec<Record> {
        if self.booted {
            let journal = self.run(&["journalctl", "--quiet", "--output=json"]).stdout;
            return journal.lines().filter_map(Record::of_journal).collect();
        }
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        // What stands behind the last line feed is still being written.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines in the log that have `text` in them.
    pub fn logged(&self, text: &str) -> Vec<String> {
        let with_it = self.log().into_iter().filter(|record| record.text.contains(text));
        with_it.map(|record| record.text).collect()
    }

    /// Waits until a line with `text` in it is in the log, and returns it.
    pub fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_log_behind(0, text)
    }

    /// Waits until a line with `text` in it is in the log behind the first `seen`, and returns it.
    pub fn wait_for_log_behind(&self, seen: usize, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let lines = self.log().into_iter().skip(seen);
            if let Some(record) = lines.rev().find(|record| record.text.contains(text)) {
                return record.text;
            }
            assert!(Instant::now() < deadline, "no line with {text:?} in {:#?}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The lines that have `text` in them, among them all that were written before this is called.
    pub fn logged_by_now(&self, text: &str) -> Vec<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // The log is a queue: what comes out behind the mark was put in behind it.
        let mark = format!("mark {}.", NUMBER.fetch_add(1, Ordering::Relaxed));
        let log = UnixDatagram::unbound().unwrap();
        let dev_log = self.path(if self.booted { booted::DEV_LOG } else { "/dev/log" });
        log.send_to(format!("<14>{mark}").as_bytes(), dev_log).unwrap();
        self.wait_for_log(&mark);
        self.logged(text)
    }

    /// Enrols a TOTP device with all defaults, as a provisioning script does: nobody has used its
    /// codes yet.
    pub fn enrol(&self, user: &str) -> Enrolled {
        self.enrol_with(user, &["totp"])
    }

    /// Enrols a device: `["hotp", "--label", "token"]`.
    pub fn enrol_with(&self, user: &str, arguments: &[&str]) -> Enrolled {
        let mut argv = vec!["mfa-setup", "add"];
        argv.extend(arguments);
        argv.extend(["--user", user, "--json", "--yes", "--no-confirm"]);
        let answer = self.run(&argv).ok();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        Enrolled {
            device: Device::from_uri(answer["uri"].as_str().unwrap()),
            backup: Backup::new(answer["backup_codes"].as_array().unwrap()),
        }
    }

    /// Makes a key pair that lets `user` in, and returns the name of the private half.
    pub fn make_key(&self, user: &str) -> String {
        self.shell(&format!(
            "umask 077
             mkdir -p /root/.ssh
             ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_{user}
             install -d -o {user} -g {user} -m 700 /home/{user}/.ssh
             install -o {user} -g {user} -m 600 /root/.ssh/id_{user}.pub \
                 /home/{user}/.ssh/authorized_keys"
        ));
        format!("/root/.ssh/id_{user}")
    }

    fn start_sshd(&self, lines: &str) {
        // Many at once, and slow ones, are not dropped.
        let usual = "UsePAM yes\n\
                     KbdInteractiveAuthentication yes\n\
                     PasswordAuthentication no\n\
                     MaxStartups 1000\n\
                     LoginGraceTime 600\n\
                     MaxAuthTries 20\n\
                     PrintMotd no\n";
        self.write("/etc/ssh/sshd_config", format!("{lines}\n{usual}"));
        let key = self.read("/etc/ssh/ssh_host_ed25519_key.pub");
        self.write("/etc/ssh/ssh_known_hosts", format!("* {key}"));
        fs::create_dir_all(self.path("/run/sshd")).unwrap();
        self.run(&["/usr/sbin/sshd"]).ok();
    }

    fn add_users(&self, users: &[(String, Option<String>)]) {
        let (mut passwd, mut shadow, mut group) =
            (self.read("/etc/passwd"), self.read("/etc/shadow"), self.read("/etc/group"));
        for ((name, password), id) in users.iter().zip(1000..) {
            let hash = password.as_deref().map_or("*".to_owned(), hash);
            writeln!(passwd, "{name}:x:{id}:{id}::/home/{name}:/bin/bash").unwrap();
            writeln!(shadow, "{name}:{hash}:20000:0:99999:7:::").unwrap();
            writeln!(group, "{name}:x:{id}:").unwrap();
            let home = self.path(format!("/home/{name}"));
            fs::create_dir(&home).unwrap();
            chown(&home, Some(id), Some(id)).unwrap();
        }
        self.write("/etc/passwd", passwd);
        self.write("/etc/shadow", shadow);
        self.write("/etc/group", group);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the host's log:");
            for record in self.log() {
                eprintln!("  {}", record.text);
            }
        } else if let Some(mut resident) = self.resident.take() {
            resident.look_back(self);
        }
        drop(self.lifeline.take());
        let _ = self.init.wait();
    }
}

/// What came of an enrolment.
#[derive(Debug)]
pub struct Enrolled {
    /// The authenticator, as a person's app has it.
    pub device: Device,
    /// The backup codes, if these were made.
    pub backup: Backup,
}

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Its standard output, where it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard output as JSON, where it succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        let stdout = self.ok();
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?}"))
    }
}

/// What runs `argv` as `user` without asking PAM.
pub fn as_user<S: AsRef<str>>(user: &str, argv: &[S]) -> Vec<String> {
    let user = user.to_owned();
    let setpriv = ["setpriv", "--reuid", &user, "--regid", &user, "--init-groups", "--"];
    setpriv.into_iter().chain(argv.iter().map(AsRef::as_ref)).map(str::to_owned).collect()
}

/// Runs a command to its end, which must come within [`PATIENCE`].
pub(crate) fn finish(command: &Command, input: &str) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.args(["--foreground", "--kill-after=1", PATIENCE]).arg(command.get_program());
    bounded.args(command.get_args()).env_clear();
    bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = bounded
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_bytes().to_vec();
    // A program that reads nothing of it is no fault of the test.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        text
    });
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let status = child.wait().unwrap();
    writer.join().unwrap();
    assert_ne!(status.code(), Some(124), "{command:?} did not end");
    Output {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&errors.join().unwrap()).into_owned(),
    }
}

/// A password's hash, cheap enough for hundreds of logins.
pub(crate) fn hash(password: &str) -> String {
    let perl = Command::new("perl")
        .args(["-e", "print crypt($ARGV[0], q($5$rounds=1000$pamMfaTests$))", password])
        .output()
        .unwrap();
    assert!(perl.status.success());
    String::from_utf8(perl.stdout).unwrap()
}
