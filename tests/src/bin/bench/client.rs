//! The application in the host that asks PAM: `bench-client`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use mfa_tests::Running;

/// Where the program is found in the host.
pub const PATH: &str = "/usr/local/bin/bench-client";

/// What PAM returns that lets in.
const PAM_SUCCESS: i32 = 0;

/// What kind of process asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// One that has asked before: a display manager, a daemon that does not fork.
    Lasting,
    /// One that is started for this login.
    Fresh,
}

impl Process {
    pub const ALL: [Self; 2] = [Self::Lasting, Self::Fresh];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lasting => "in process",
            Self::Fresh => "fresh process",
        }
    }
}

/// The application, which ends with this.
pub struct Client {
    child: Child,
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    pub fn start(host: &Running) -> Self {
        let mut command = host.command(&[PATH]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let tasks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, tasks, answers }
    }

    /// One login: how long it took, and whether it was let in.
    pub fn login(
        &mut self,
        process: Process,
        service: &str,
        user: &str,
        answer: &str,
    ) -> (Duration, bool) {
        let kind = match process {
            Process::Lasting => "call",
            Process::Fresh => "process",
        };
        let (took, codes) = self.ask(&[kind, service, user, answer]);
        (took, codes[0] == PAM_SUCCESS)
    }

    /// Logins of all these users at one moment: until the last was over, and how many were let in.
    pub fn crowd(&mut self, service: &str, people: &[(String, String)]) -> (Duration, usize) {
        let words = people.iter().flat_map(|(user, answer)| [user.as_str(), answer]);
        let (took, codes) =
            self.ask(&["crowd", service].into_iter().chain(words).collect::<Vec<_>>());
        assert_eq!(codes.len(), people.len());
        (took, codes.iter().filter(|code| **code == PAM_SUCCESS).count())
    }

    fn ask(&mut self, words: &[&str]) -> (Duration, Vec<i32>) {
        writeln!(self.tasks, "{}", words.join("\t")).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace();
        let nanoseconds = numbers.next().expect("an answer").parse().unwrap();
        let codes: Vec<i32> = numbers.map(|code| code.parse().unwrap()).collect();
        assert!(codes.iter().all(|code| *code >= 0), "a process died: {words:?}");
        (Duration::from_nanos(nanoseconds), codes)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
