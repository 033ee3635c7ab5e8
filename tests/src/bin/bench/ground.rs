//! The host that is measured on: the peers and this module beside each other, with everybody's state
//! on the machine's disk.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use mfa_tests::{Device, Host, Running, cache};

use crate::client::{self, Client, Process};
use crate::floor;

/// Everybody's key: what differs between users is their state, and one evaluation of `oathtool` is
/// the code of all of them.
const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const KEY_HEX: &str = "3132333435363738393031323334353637383930";

/// Services by their files, and the stack in each. They lie in a directory of their own: for every
/// login libpam also loads what `other` in the same directory names, and Debian's names five modules,
/// which is dearer than any of those measured here. That one is measured too ([`PERMIT_DEBIAN`]).
pub const PERMIT: &str = "/etc/bench.d/permit";
pub const PERMIT_DEBIAN: &str = "/etc/pam.d/permit";
pub const GOOGLE: &str = "/etc/bench.d/google";
pub const GOOGLE_NOSKEWADJ: &str = "/etc/bench.d/google-noskewadj";
pub const OATH: &str = "/etc/bench.d/oath";
pub const OATH_ONE_FILE: &str = "/etc/bench.d/oath-one-file";
pub const SPAWNED: &str = "/etc/bench.d/spawned";
pub const RESIDENT: &str = "/etc/bench.d/resident";
pub const FLOOR: &str = "/etc/bench.d/floor";
/// The service that the verifier never asks for a code, and for which it looks at no record.
pub const EXEMPT: &str = "/etc/bench.d/mfa-setup";

const STACKS: [(&str, &str); 11] = [
    ("/etc/bench.d/other", "# nobody is let in"),
    (PERMIT, "auth required pam_permit.so"),
    (PERMIT_DEBIAN, "auth required pam_permit.so"),
    (GOOGLE, "auth required pam_google_authenticator.so"),
    (
        GOOGLE_NOSKEWADJ,
        "auth required pam_google_authenticator.so noskewadj secret=${HOME}/.noskewadj",
    ),
    (OATH, "auth required pam_oath.so usersfile=/var/lib/oath/${USER}"),
    (OATH_ONE_FILE, "auth required pam_oath.so usersfile=/var/lib/oath/users.oath"),
    // With `verifier=` the module asks no resident one.
    (SPAWNED, "auth required pam_mfa.so verifier=/usr/libexec/pam_mfa/mfa-verifier"),
    (RESIDENT, "auth required pam_mfa.so"),
    (FLOOR, "auth required pam_mfa.so socket=/run/bench-floor.sock"),
    (EXEMPT, "auth required pam_mfa.so"),
];

const POLICY: &str = "[policy]\nmode = \"required\"\n";

/// Where records of users are written and the store itself is measured.
const STORE_PROGRAM: &str = "/usr/local/bin/bench-store";

/// The host, the application in it, and the codes.
pub struct Ground {
    pub host: Running,
    pub client: Client,
    pub codes: Codes,
    passwd: String,
    google_state: String,
}

impl Ground {
    pub fn new() -> Self {
        let host = STACKS
            .iter()
            .fold(Host::new(), |host, (service, stack)| host.file(service, format!("{stack}\n")));
        let host = host
            .config(POLICY)
            .bind(cache::program("bench-client"), client::PATH)
            .bind(cache::program("bench-store"), STORE_PROGRAM)
            .bind(cache::program("bench-floor"), floor::PATH)
            .disk("/var/lib/pam_mfa")
            .disk("/var/lib/oath")
            .disk("/home")
            .start();
        let passwd = host.read("/etc/passwd");
        // What the tool writes whose questions are all answered as it advises.
        host.shell(
            "google-authenticator --quiet --force --time-based --disallow-reuse --rate-limit=3 \
                 --rate-time=30 --window-size=3 --no-confirm --secret=/tmp/state >/dev/null",
        );
        let state = host.read("/tmp/state");
        let (_, rest) = state.split_once('\n').unwrap();
        let google_state = format!("{KEY}\n{rest}");
        let client = Client::start(&host);
        Self { host, client, codes: Codes::new(), passwd, google_state }
    }

    /// Lets the system know these users, and no others beside its own: a long `/etc/passwd` costs
    /// every module and is none's fault.
    pub fn know(&self, uids: &[u32]) {
        let mut passwd = self.passwd.clone();
        for uid in uids {
            writeln!(passwd, "u{uid}:x:{uid}:{uid}::/home/u{uid}:/bin/sh").unwrap();
        }
        self.host.write("/etc/passwd.new", passwd);
        fs::rename(self.host.path("/etc/passwd.new"), self.host.path("/etc/passwd")).unwrap();
    }

    /// Writes the records of so many users from `first` on: their backup codes.
    pub fn enrol(&self, kind: &str, first: u32, count: u32) -> Vec<String> {
        let (first, count) = (first.to_string(), count.to_string());
        let argv = [STORE_PROGRAM, "enrol", kind, KEY_HEX, &first, &count];
        let output = self.host.command(&argv).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Runs the program that measures the store: names and nanoseconds.
    pub fn store(&self, arguments: &[&str]) -> Vec<(String, u64)> {
        let said = self.host.run(&[&[STORE_PROGRAM], arguments].concat()).ok();
        let pairs = said.lines().map(|line| line.split_once('\t').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    }

    /// Gives a user what the peers keep of one.
    pub fn enrol_with_peers(&self, uid: u32) {
        let home = self.host.path(format!("/home/u{uid}"));
        fs::create_dir(&home).unwrap();
        for name in [".google_authenticator", ".noskewadj"] {
            fs::write(home.join(name), &self.google_state).unwrap();
            fs::set_permissions(home.join(name), Permissions::from_mode(0o400)).unwrap();
            chown(home.join(name), Some(uid), Some(uid)).unwrap();
        }
        chown(&home, Some(uid), Some(uid)).unwrap();
        self.write_oath(&format!("u{uid}"), &format!("HOTP/T30/6\tu{uid}\t-\t{KEY_HEX}\n"));
    }

    /// Gives `pam_oath` one file of these users.
    pub fn enrol_in_one_file(&self, kind: &str, uids: impl Iterator<Item = u32>) {
        let mut lines = String::new();
        for uid in uids {
            writeln!(lines, "{kind}\tu{uid}\t-\t{KEY_HEX}").unwrap();
        }
        self.write_oath("users.oath", &lines);
    }

    fn write_oath(&self, name: &str, lines: &str) {
        let path = self.host.path(format!("/var/lib/oath/{name}"));
        fs::write(&path, lines).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// A scratch code of the file that every user has from the start.
    pub fn scratch_code(&self) -> String {
        self.google_state.lines().last().unwrap().to_owned()
    }

    /// What lies in the store for one user.
    pub fn directory_of(&self, uid: u32) -> PathBuf {
        self.host.path(format!("/var/lib/pam_mfa/users/{uid}"))
    }

    /// A login of which only the outcome counts.
    pub fn login(&mut self, service: &str, uid: u32, answer: &str) -> bool {
        self.client.login(Process::Lasting, service, &name(uid), answer).1
    }
}

/// A user's name.
pub fn name(uid: u32) -> String {
    format!("u{uid}")
}

/// The codes that everybody's authenticator shows.
pub struct Codes {
    device: Device,
    /// Of this time step.
    step: u64,
    right: String,
    wrong: String,
    counted: Vec<String>,
}

impl Codes {
    fn new() -> Self {
        let device = Device::totp(KEY);
        let counted = Device::from_uri(&format!("otpauth://hotp/x?secret={KEY}&counter=0"));
        let counted = counted.clone().codes(4_000);
        Self { device, step: 0, right: String::new(), wrong: String::new(), counted }
    }

    /// The code of now.
    pub fn right(&mut self) -> String {
        self.look();
        self.right.clone()
    }

    /// One that is not near now.
    pub fn wrong(&mut self) -> String {
        self.look();
        self.wrong.clone()
    }

    /// The code of a counter.
    pub fn counted(&self, counter: usize) -> &str {
        &self.counted[counter]
    }

    fn look(&mut self) {
        let step = self.device.step();
        if step != self.step {
            self.step = step;
            self.right = self.device.code_at_step(step);
            self.wrong = self.device.wrong_code();
        }
    }
}
