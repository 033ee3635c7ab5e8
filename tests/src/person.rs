//! An ordinary user at `mfa-setup`, who knows the own password and what the screen shows.

use crate::codes::{Backup, Device};
use crate::host::{Enrolled, Output, Running};
use crate::pty::Pty;

/// What `pam_unix` asks.
pub const PASSWORD: &str = "Password: ";
/// What the module asks at a login.
pub const CODE: &str = "Verification code: ";
/// What is asked of who changes something.
pub const OWN_CODE: &str = "A code of a device that is enrolled, or a backup code: ";
/// What is asked of who brings back a device.
pub const BACKUP_CODE: &str = "A backup code: ";
/// What a guided enrolment of a first device asks, in this order.
pub const LABEL: &str = "A name for the device [phone]: ";
/// See [`LABEL`].
pub const FIRST_CODE: &str = "The code that it shows now: ";
/// The same at a login, where nobody knows what the terminal shows.
pub const FIRST_CODE_OR_OTHER: &str =
    "The code that it shows now, or a for plain ASCII, i to invert the picture: ";
/// The same behind a picture in plain ASCII.
pub const FIRST_CODE_OR_INVERTED: &str = "The code that it shows now, or i to invert the picture: ";
/// The same behind one that is inverted.
pub const FIRST_CODE_OR_PLAIN: &str = "The code that it shows now, or a for plain ASCII: ";
/// See [`LABEL`].
pub const KEPT: &str = "Type one of these codes, to show that you have kept them: ";

/// Who it is, and how their programs run: as theirs, without the privileges of root.
#[derive(Debug)]
pub struct Person<'a> {
    host: &'a Running,
    /// The name that they log in by.
    pub name: String,
    /// The password.
    pub password: String,
    prefix: Vec<String>,
}

impl<'a> Person<'a> {
    /// A user of the host's own database, whose group has the same name.
    pub fn new(host: &'a Running, name: &str, password: &str) -> Self {
        Self::by_ids(host, name, password, name, name)
    }

    /// Somebody whose uid and gid are said, by name or by number.
    pub fn by_ids(host: &'a Running, name: &str, password: &str, uid: &str, gid: &str) -> Self {
        let prefix = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups"];
        let prefix = prefix.map(str::to_owned).to_vec();
        Self { host, name: name.to_owned(), password: password.to_owned(), prefix }
    }

    /// Nothing that they start gains a privilege, as in many containers and browsers' sandboxes.
    #[must_use]
    pub fn without_new_privileges(mut self) -> Self {
        self.prefix.push("--no-new-privs".to_owned());
        self
    }

    /// A program of theirs.
    pub fn argv(&self, argv: &[&str]) -> Vec<String> {
        let argv = argv.iter().copied().map(str::to_owned);
        self.prefix.iter().cloned().chain(["--".to_owned()]).chain(argv).collect()
    }

    /// Runs a program of theirs to its end, without a terminal.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.host.run(&self.argv(argv))
    }

    /// `mfa-setup` on a terminal. How it ended is told: see [`exit`].
    pub fn setup(&self, arguments: &[&str]) -> Pty {
        let script = "before=$(stty -g); mfa-setup \"$@\"; code=$?
                      [ \"$(stty -g)\" = \"$before\" ] && as=before || as=\"not before\"
                      echo \"exit $code, terminal as $as\"";
        self.host.pty(&self.argv(&[&["sh", "-c", script, "sh"], arguments].concat()))
    }

    /// The same, with the password given.
    #[track_caller]
    pub fn setup_with_password(&self, arguments: &[&str]) -> Pty {
        let mut tty = self.setup(arguments);
        tty.expect(PASSWORD);
        tty.send_line(&self.password);
        tty
    }

    /// Enrols a phone as the first device, guided.
    #[track_caller]
    pub fn enrol(&self) -> Enrolled {
        let mut tty = self.setup_with_password(&[]);
        self.enrol_at(&mut tty)
    }

    /// The same, where the first factor has been given.
    #[track_caller]
    pub fn enrol_at(&self, tty: &mut Pty) -> Enrolled {
        let enrolled = answer_enrolment(tty);
        assert_eq!(exit(tty), 0, "{}", tty.text());
        enrolled
    }

    /// Brings back a device whose clock or counter is far off: a backup code, and three codes in a row.
    #[track_caller]
    pub fn resynchronise(&self, label: &str, backup_code: &str, row: &[String; 3]) {
        let mut tty = self.setup_with_password(&["test", label, "--resync"]);
        tty.expect(BACKUP_CODE);
        tty.send_line(backup_code);
        for (question, code) in
            [FIRST_CODE, "The one after it: ", "And the one after that: "].iter().zip(row)
        {
            tty.expect(question);
            tty.send_line(code);
        }
        assert_eq!(exit(&mut tty), 0, "{}", tty.text());
    }

    /// A change that needs nothing but password and code; what was shown of it.
    #[track_caller]
    pub fn change(&self, arguments: &[&str], code: &str) -> String {
        let mut tty = self.setup_with_password(arguments);
        tty.expect(OWN_CODE);
        tty.send_line(code);
        let shown = tty.expect("exit ");
        assert_eq!(tty.expect(","), "0", "{}", tty.text());
        tty.expect("terminal as before");
        shown
    }

    /// Logs in over ssh, with the password and that code. What was told beside the questions.
    #[track_caller]
    pub fn log_in(&self, code: &str) -> String {
        let mut ssh = self.host.ssh(&self.name).open();
        let ended = ssh.answer(PASSWORD, &self.password).answer(CODE, code).end();
        let told = ended.text.split(CODE).nth(1).unwrap_or_default().to_owned();
        ended.let_in(&self.name);
        told
    }

    /// What `mfa-setup status` says to them.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        self.run(&["mfa-setup", "status", "--json"]).json()
    }

    /// The labels of their devices, the default marked by a star.
    #[track_caller]
    pub fn devices(&self) -> Vec<String> {
        labels(&self.status())
    }

    /// The same, as root sees them, whether anybody listens for users or not.
    #[track_caller]
    pub fn devices_as_root(&self) -> Vec<String> {
        let argv = ["mfa-setup", "status", "--json", "--user", &self.name];
        labels(&self.host.run(&argv).json())
    }
}

fn labels(status: &serde_json::Value) -> Vec<String> {
    let label = |device: &serde_json::Value| {
        let star = if device["default"] == true { "*" } else { "" };
        format!("{}{star}", device["label"].as_str().unwrap())
    };
    status["devices"].as_array().unwrap().iter().map(label).collect()
}

/// Answers all that the guided enrolment of a first device asks once the first factor was given.
#[track_caller]
pub fn answer_enrolment(tty: &mut Pty) -> Enrolled {
    tty.expect(LABEL);
    tty.send_line("");
    let mut device = app(tty);
    tty.send_line(&device.code());
    let codes = sheet(tty);
    tty.send_line(&codes[0]);
    Enrolled { device, backup: Backup { codes } }
}

/// The exit code of a command line that tells it as [`Person::setup`] does. The terminal must be as it
/// was.
#[track_caller]
pub fn exit(tty: &mut Pty) -> i32 {
    tty.expect("exit ");
    let code = tty.expect(",").parse().unwrap();
    tty.expect("terminal as before");
    code
}

/// An app into which the key on the screen is typed.
#[track_caller]
pub fn app(tty: &mut Pty) -> Device {
    Device::totp(&key_on_screen(tty))
}

/// The key that is shown before the first code is asked for.
#[track_caller]
pub fn key_on_screen(tty: &mut Pty) -> String {
    key_in(&tty.expect(FIRST_CODE))
}

/// The key in what was shown.
#[track_caller]
pub fn key_in(shown: &str) -> String {
    let behind = |words: &str| shown.split(words).nth(1);
    let key = behind("key into it:").or_else(|| behind("key into the app:")).expect("a key");
    let key = key.split(FIRST_CODE).next().unwrap();
    key.split_whitespace().collect()
}

/// The backup codes on the screen, in the order of their numbers.
#[track_caller]
pub fn sheet(tty: &mut Pty) -> Vec<String> {
    let shown = tty.expect(KEPT);
    let codes = numbered(&shown);
    assert_eq!(codes.len(), 10, "{shown}");
    codes
}

/// The lines of a numbered list, in the order of their numbers.
pub fn numbered(shown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in shown.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|word| word == (lines.len() + 1).to_string()) {
            lines.push(words.next().expect("a code").to_owned());
        }
    }
    lines
}
