//! Starts `mfa-reauth` as the verifier does, and leads the conversation by a script.
//!
//! Reads one [`Plan`], a line of JSON, on its standard input; prints the pid of what it started, a
//! line at each question that it waits before (until a line comes in), and in the end a [`Report`].
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use mfa_protocol::message::{Failure, ReAuthentication, Reply, ToFace};
use mfa_protocol::relay::{RelayError, decode, relay_within};
use mfa_protocol::{
    Answer, Conversation, ConversationError, Prompt, PromptKind, Style, frame, paths,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(default)]
struct Plan {
    /// What is run.
    command: Vec<String>,
    user: String,
    first_factor: bool,
    at_login: bool,
    answers: Vec<Say>,
    /// How long each frame may take.
    bound: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            command: vec![paths::REAUTH.to_owned()],
            user: String::new(),
            first_factor: true,
            at_login: false,
            answers: vec![],
            bound: Duration::from_secs(60),
        }
    }
}

/// What is done at a question.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Say {
    /// Answers.
    Text(String),
    /// Waits for a line on standard input, then answers.
    Wait(String),
    /// Closes the connection and lives on.
    HangUp,
}

/// What came of it.
#[derive(Default, Serialize)]
struct Report {
    /// The questions: `hidden` or `visible`, and the text.
    asked: Vec<(&'static str, String)>,
    /// The texts: `info` or `error`, and the text.
    told: Vec<(&'static str, String)>,
    /// The user who was proven.
    done: Option<String>,
    /// Kind, error and hint of a failure.
    failed: Option<(String, String, String)>,
    /// What went wrong with the exchange.
    broke: Option<String>,
    /// The exit code, where the program was waited for.
    exit: Option<i32>,
}

fn main() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&plan.command[0]);
    command.args(&plan.command[1..]).env_clear().current_dir("/");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    drop(command);
    say(&format!("pid {}", child.id()));

    let Plan { user, first_factor, at_login, .. } = plan;
    let request = ReAuthentication { user, first_factor, at_login };
    let mut script = Script {
        answers: plan.answers.into_iter(),
        connection: ours.try_clone()?,
        report: Report::default(),
    };
    let result = relay_within(plan.bound, &ours, &request, &mut script);
    let mut report = script.report;
    match result {
        Ok(reply) => report.reply(reply),
        Err(error) => {
            report.broke = Some(error.to_string());
            // It was told that nobody answers, and may still say what it makes of that.
            if let RelayError::Conversation(_) = error
                && let Ok(frame) = frame::receive(&ours, plan.bound)
                && let Ok(ToFace::Done(reply)) = decode(&frame)
            {
                report.reply(*reply);
            }
        }
    }
    // What hangs is left to itself, as by a verifier that was killed.
    if !matches!(report.broke.as_deref(), Some(error) if error.contains("in time")) {
        report.exit = child.wait()?.code();
    }
    say(&serde_json::to_string(&report)?);
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    io::stdout().flush().expect("standard output");
}

impl Report {
    fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Done { user } => self.done = Some(user),
            Reply::Failed(Failure { kind, error, hint }) => {
                self.failed = Some((format!("{kind:?}"), error, hint));
            }
            other => self.broke = Some(format!("{other:?}")),
        }
    }
}

struct Script {
    answers: std::vec::IntoIter<Say>,
    connection: UnixStream,
    report: Report,
}

impl Conversation for Script {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        let kind = match prompt.kind {
            PromptKind::Hidden => "hidden",
            PromptKind::Visible => "visible",
            PromptKind::YesNo => "yes or no",
            PromptKind::FirstFactor => "first factor",
        };
        self.report.asked.push((kind, prompt.text.clone()));
        match self.answers.next().ok_or(ConversationError::Aborted)? {
            Say::Text(text) => Ok(Answer::Text(text.into())),
            Say::Wait(text) => {
                say("at the prompt");
                let go = io::stdin().read_line(&mut String::new());
                go.map(|_| Answer::Text(text.into())).map_err(|_| ConversationError::Broken)
            }
            Say::HangUp => {
                self.connection.shutdown(Shutdown::Both).expect("a connection");
                Err(ConversationError::Broken)
            }
        }
    }

    fn tell(&mut self, style: Style, text: &str) {
        let style = match style {
            Style::Info => "info",
            Style::Error => "error",
            Style::Qr => "qr",
        };
        self.report.told.push((style, text.to_owned()));
    }
}
