//! `test` and `judge`: a code is judged as a login would.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::LoginRequest;
use mfa_protocol::{Outcome, Reply, Request, Style, TEST_SERVICE, Verdict};

use crate::problem::{DONE, Problem, REFUSED, UNUSABLE, say_error, say_hint};
use crate::session::{Session, printed};
use crate::terminal::{self, unanswered};
use crate::{cli, input, json, text};

impl Session<'_> {
    /// `test`: the person is asked on the terminal.
    pub fn test(&mut self) -> Result<u8, Problem> {
        let user = self.user()?;
        let request = login(&user, TEST_SERVICE, None, terminal::name());
        let hint = "use a terminal, or mfa-setup judge, which reads the code from standard input";
        let reply = self.converse(&request)?.map_err(|error| unanswered(error, hint))?;
        self.outcome(&user, reply)
    }

    /// `judge`: the code is on standard input.
    pub fn judge(&mut self, judge: &cli::Judge) -> Result<u8, Problem> {
        let user = self.user()?;
        let mut script = Scripted::new([input::code()?]);
        let request = login(&user, &judge.service, judge.from.map(|from| from.to_string()), None);
        let reply = self.converse_with(&request, &mut script)?;
        for (style, told) in &script.told {
            match style {
                Style::Info => say_hint(told),
                Style::Error => say_error(told),
                Style::Qr => {}
            }
        }
        // One code was given, and it was not enough.
        let reply = reply.unwrap_or(Reply::Outcome(Outcome {
            verdict: Verdict::Denied,
            user: None,
            factor: None,
            label: None,
        }));
        self.outcome(&user, reply)
    }

    fn outcome(&self, user: &OsStr, reply: Reply) -> Result<u8, Problem> {
        let Reply::Outcome(outcome) = reply else { return Err(Problem::unexpected_reply()) };
        let asked = printed(user);
        self.answer(&json::OutcomeAnswer::new(&asked, &outcome), || {
            text::outcome(&user.to_string_lossy(), &outcome)
        })?;
        Ok(match outcome.verdict {
            Verdict::Granted | Verdict::Exempt => DONE,
            Verdict::Denied | Verdict::Locked => REFUSED,
            Verdict::Unavailable => {
                say_error("the code could not be judged");
                say_hint("look for lines of pam_mfa in the system log");
                UNUSABLE
            }
        })
    }
}

pub(crate) fn login(
    user: &OsStr,
    service: &str,
    rhost: Option<String>,
    tty: Option<String>,
) -> Request {
    Request::Unseen(Box::new(LoginRequest {
        user: user.as_bytes().to_vec(),
        service: service.to_owned(),
        rhost,
        tty,
        // Root vouches for the first factor; of anybody else the verifier believes nothing.
        password_given: true,
        ..LoginRequest::default()
    }))
}
