//! An application that asks PAM whenever it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::host::{PAM_CLIENT, Running};
use crate::pam::{Attempt, Plan, Report};

/// The application, for as long as it lives.
#[derive(Debug)]
pub(super) struct Applicant {
    process: Child,
    keyboard: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Applicant {
    pub(super) fn start(host: &Running) -> Self {
        let mut command = host.command(&[PAM_CLIENT]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let keyboard = process.stdin.take().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { process, keyboard, said }
    }

    /// Has it make an attempt.
    pub(super) fn ask(&mut self, attempt: Attempt) -> Report {
        let plan = Plan { attempts: vec![attempt], ..Plan::default() };
        writeln!(self.keyboard, "{}", serde_json::to_string(&plan).unwrap()).unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Ends it.
    pub(super) fn end(self) {
        let Self { mut process, keyboard, .. } = self;
        drop(keyboard);
        assert!(process.wait().unwrap().success());
    }
}
