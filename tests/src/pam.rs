//! Applications that ask PAM, without sshd around them: what `pam-client` does, said as a value.
//!
//! `pam-client` is a program of this package that links libpam. It reads one [`Plan`], a line of
//! JSON, on its standard input, carries it out against the *installed* module in a [`Host`], and
//! prints a [`Report`] for each attempt, one a line.
//!
//! - [`Attempt`]: one `pam_start … pam_end`: who, the answers, the calls. Several in a plan come one
//!   after the other in one process; those marked [`Attempt::in_child`] in a forked one.
//! - [`Plan::race`]: each attempt is a process of its own; each goes to the prompt that
//!   [`Attempt::wait_at`] names and waits there until all have come to theirs; then all are let go
//!   at the same moment (by closing one pipe).
//! - [`Plan::threads`]: the attempts run side by side in threads of one process.
//! - [`Surroundings`]: what kind of process the application is: its umask, limits, signals, …
//! - A single attempt with `wait_at` outside a race can be stopped at its prompt: [`start`], then
//!   [`Application::wait_for_prompt`], [`Application::go`], [`Application::finish`].
//!
//! `PAM_AUTHTOK` cannot be set by an application; libpam allows that to modules alone. So a stack
//! that is to have one begins with a first factor, `auth requisite pam_unix.so nodelay`, or, if a
//! wrong password shall go on to the module, `auth optional pam_unix.so nodelay`; its prompt
//! `Password: ` takes the first answer.
//!
//! [`Host`]: crate::Host

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::host::{PAM_CLIENT, Running, finish};
use crate::waiting;

/// A stack in which the application sees the very code that the module returns for a login. What
/// libpam makes of `PAM_IGNORE` is [`IGNORED`].
pub fn exact(arguments: &str) -> String {
    format!(
        "auth [success=done ignore=ignore default=die] pam_mfa.so {arguments}\n\
         auth [default=die] pam_debug.so auth=cred_expired\n"
    )
}

/// What comes of `PAM_IGNORE` in [`exact`], and of nothing else.
pub const IGNORED: &str = "PAM_CRED_EXPIRED";

/// What the application does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// What kind of process it is.
    pub surroundings: Surroundings,
    /// Whether the attempts are processes that meet at their prompts.
    pub race: bool,
    /// Whether the attempts run side by side in threads.
    pub threads: bool,
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

/// One `pam_start … pam_end`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// The directory of service files.
    pub confdir: String,
    /// `PAM_SERVICE`, the name of the file.
    pub service: String,
    /// `PAM_USER`; `None` is NULL.
    pub user: Option<Text>,
    /// `PAM_RHOST`.
    pub rhost: Option<Text>,
    /// `PAM_TTY`.
    pub tty: Option<Text>,
    /// `PAM_RUSER`.
    pub ruser: Option<Text>,
    /// The PAM environment, `NAME=value` each; sshd puts `SSH_AUTH_INFO_0=…` there.
    pub environment: Vec<String>,
    /// The answers to the prompts in turn. A prompt behind the last one is not answered
    /// (`PAM_CONV_ERR`).
    pub answers: Vec<Answer>,
    /// Whether `pam_conv` has no function at all.
    pub no_conversation: bool,
    /// Before which prompt to wait (0 is the first).
    pub wait_at: Option<usize>,
    /// What is called.
    pub calls: Vec<Call>,
    /// Whether all of it happens in a forked process.
    pub in_child: bool,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            confdir: "/etc/pam.d".to_owned(),
            service: String::new(),
            user: None,
            rhost: None,
            tty: None,
            ruser: None,
            environment: vec![],
            answers: vec![],
            no_conversation: false,
            wait_at: None,
            calls: vec![Call::authenticate()],
            in_child: false,
        }
    }
}

impl Attempt {
    /// `user` asks `service` to be let in.
    pub fn new(service: &str, user: impl Into<Text>) -> Self {
        Self { service: service.to_owned(), user: Some(user.into()), ..Self::default() }
    }

    /// Gives one more answer.
    #[must_use]
    pub fn answer(mut self, answer: impl Into<Answer>) -> Self {
        self.answers.push(answer.into());
        self
    }

    /// Comes from there.
    #[must_use]
    pub fn from(mut self, rhost: impl Into<Text>) -> Self {
        self.rhost = Some(rhost.into());
        self
    }

    /// As behind sshd when a key was the first factor.
    #[must_use]
    pub fn after_a_key(mut self) -> Self {
        self.environment.push("SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAAC3Nza\n".to_owned());
        self
    }

    /// Waits before that prompt.
    #[must_use]
    pub fn wait_at(mut self, prompt: usize) -> Self {
        self.wait_at = Some(prompt);
        self
    }

    /// Makes these calls instead of `pam_authenticate` alone.
    #[must_use]
    pub fn calls(mut self, calls: impl IntoIterator<Item = Call>) -> Self {
        self.calls = calls.into_iter().collect();
        self
    }

    /// Runs in a forked process.
    #[must_use]
    pub fn in_child(mut self) -> Self {
        self.in_child = true;
        self
    }

    /// Runs it alone.
    #[track_caller]
    pub fn run(self, host: &Running) -> Report {
        run(host, &Plan { attempts: vec![self], ..Plan::default() }).remove(0)
    }
}

/// A string that need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// Text.
    Utf8(String),
    /// Bytes, none of them zero.
    Bytes(Vec<u8>),
}

impl Text {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Utf8(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Utf8(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Utf8(text)
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::Utf8(text.clone())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// What the conversation function does at one prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Answers.
    Say(Text),
    /// Succeeds with a response that is NULL.
    Null,
    /// Fails with this code.
    Fail(i32),
    /// Answers, and ends the process (`_exit`) so many microseconds later: a connection that is cut.
    SayAndDie(Text, u64),
}

impl<T: Into<Text>> From<T> for Answer {
    fn from(text: T) -> Self {
        Self::Say(text.into())
    }
}

/// One call of libpam.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// What is called.
    pub function: Function,
    /// `PAM_SILENT`, `PAM_DISALLOW_NULL_AUTHTOK`, `PAM_ESTABLISH_CRED`, …
    #[serde(default)]
    pub flags: i32,
    /// Whether a forked process calls it.
    #[serde(default)]
    pub in_child: bool,
}

/// A function of libpam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// `pam_authenticate`.
    Authenticate,
    /// `pam_setcred`.
    Setcred,
    /// `pam_acct_mgmt`.
    AcctMgmt,
    /// `pam_open_session`.
    OpenSession,
    /// `pam_close_session`.
    CloseSession,
    /// `pam_chauthtok`.
    Chauthtok,
    /// `pam_set_item` of a text item: its number (`PAM_USER` is 2) and value.
    SetItem(i32, Option<Text>),
}

/// `PAM_SILENT`.
pub const SILENT: i32 = 0x8000;
/// `PAM_DISALLOW_NULL_AUTHTOK`.
pub const DISALLOW_NULL_AUTHTOK: i32 = 0x0001;
/// `PAM_ESTABLISH_CRED`.
pub const ESTABLISH_CRED: i32 = 0x0002;
/// `PAM_DELETE_CRED`.
pub const DELETE_CRED: i32 = 0x0004;

impl Call {
    /// A call without flags.
    pub fn new(function: Function) -> Self {
        Self { function, flags: 0, in_child: false }
    }

    /// `pam_authenticate` without flags.
    pub fn authenticate() -> Self {
        Self::new(Function::Authenticate)
    }

    /// With these flags.
    #[must_use]
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }

    /// In a forked process.
    #[must_use]
    pub fn in_child(mut self) -> Self {
        self.in_child = true;
        self
    }
}

/// What kind of process the application is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// Its umask.
    pub umask: Option<u32>,
    /// Descriptors that are closed.
    pub closed: Vec<i32>,
    /// Whether its working directory has been removed.
    pub deleted_directory: bool,
    /// Whether it can gain no privileges any more.
    pub no_new_privs: bool,
    /// Limits, soft and hard: a name as in `prlimit --help` (`nofile`, `fsize`, `nproc`, `as`,
    /// `core`), a value.
    pub limits: Vec<(String, u64)>,
    /// Signals that are ignored, by number.
    pub ignored: Vec<i32>,
    /// Signals that are blocked.
    pub blocked: Vec<i32>,
    /// Which children it reaps that it does not wait for.
    pub reaps: Reaps,
    /// The real uid, where it is another than the effective one: who called su.
    pub real_uid: Option<u32>,
    /// The real, effective and saved uid: an application without privileges.
    pub uid: Option<u32>,
}

/// Whose end an application takes note of, by a handler of SIGCHLD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reaps {
    /// Nobody's: there is no such handler.
    #[default]
    Nobody,
    /// Every child's.
    Children,
    /// Also theirs whom its children leave behind (`PR_SET_CHILD_SUBREAPER`). It ends after all of them.
    Orphans,
}

/// What came of an attempt.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What each call returned: `PAM_SUCCESS`, `PAM_AUTH_ERR`, …
    pub returned: Vec<String>,
    /// How long each took.
    pub microseconds: Vec<u64>,
    /// What the conversation was given, in order.
    pub shown: Vec<Shown>,
    /// `PAM_USER` at the end.
    pub user: Option<String>,
    /// The PAM environment at the end.
    pub environment: Vec<String>,
    /// What is not as it was before `pam_start`: what, before, after.
    pub changed: BTreeMap<String, (String, String)>,
    /// How much memory the process held at the end.
    pub resident_kib: u64,
    /// How the process ended, where it did before the attempt was over.
    pub died: Option<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its style.
    pub style: Style,
    /// Its text.
    pub text: String,
}

/// The styles of `pam_conv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// A question whose answer is not seen.
    Hidden,
    /// A question whose answer is seen.
    Visible,
    /// An error.
    Error,
    /// Something to read.
    Info,
    /// None that PAM knows.
    Unknown,
}

impl Report {
    /// What the only call, or the last, returned; `died` where it did not return.
    pub fn code(&self) -> &str {
        match &self.died {
            Some(_) => "died",
            None => self.returned.last().map_or("nothing", String::as_str),
        }
    }

    /// Whether a code was accepted; if it was not, it must have been accepted before.
    #[track_caller]
    pub fn accepted(&self) -> bool {
        match self.code() {
            "PAM_SUCCESS" => true,
            "PAM_AUTH_ERR" if self.told().contains(&crate::USED) => false,
            _ => panic!("neither accepted nor used: {self:?}"),
        }
    }

    /// The questions.
    pub fn asked(&self) -> Vec<&str> {
        self.of(&[Style::Hidden, Style::Visible])
    }

    /// The texts and errors.
    pub fn told(&self) -> Vec<&str> {
        self.of(&[Style::Error, Style::Info])
    }

    fn of(&self, styles: &[Style]) -> Vec<&str> {
        let of = self.shown.iter().filter(|shown| styles.contains(&shown.style));
        of.map(|shown| shown.text.as_str()).collect()
    }
}

/// Carries out a plan: a report for each attempt, in their order.
#[track_caller]
pub fn run(host: &Running, plan: &Plan) -> Vec<Report> {
    run_command(&host.command(&[PAM_CLIENT]), plan)
}

/// Carries out a plan with an application that is started in a special way
/// (`host.command(&["env", "LD_PRELOAD=…", PAM_CLIENT])`).
#[track_caller]
pub fn run_command(command: &Command, plan: &Plan) -> Vec<Report> {
    let _crowd = plan.race.then(waiting::crowd);
    let output = finish(command, &format!("{}\n", serde_json::to_string(plan).unwrap()));
    let reports: Vec<Report> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(reports.len(), plan.attempts.len(), "pam-client: {output:?}");
    reports
}

/// Starts an application with one attempt that waits at a prompt.
pub fn start(host: &Running, attempt: Attempt) -> Application {
    start_command(host.command(&[PAM_CLIENT]), &Plan { attempts: vec![attempt], ..Plan::default() })
}

/// Starts an application in a special way, with a plan of one attempt that waits at a prompt.
pub fn start_command(mut command: Command, plan: &Plan) -> Application {
    assert_eq!(plan.attempts.len(), 1, "only one report is read");
    assert!(plan.attempts[0].wait_at.is_some(), "there is a prompt to wait at");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    writeln!(keyboard, "{}", serde_json::to_string(plan).unwrap()).unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    Application { child, keyboard, said }
}

/// An application that runs.
#[derive(Debug)]
pub struct Application {
    child: Child,
    keyboard: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Application {
    /// Waits until it is at its prompt.
    #[track_caller]
    pub fn wait_for_prompt(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "at the prompt");
    }

    /// Lets it answer.
    pub fn go(&mut self) {
        writeln!(self.keyboard, "go").unwrap();
    }

    /// Ends it where it stands: at its prompt, without an answer.
    pub fn cut(mut self) {
        drop(self.keyboard);
        self.child.wait().unwrap();
    }

    /// Waits for its report.
    #[track_caller]
    pub fn finish(mut self) -> Report {
        drop(self.keyboard);
        let mut line = String::new();
        self.said.read_to_string(&mut line).unwrap();
        self.child.wait().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}
