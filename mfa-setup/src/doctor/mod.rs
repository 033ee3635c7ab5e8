//! `doctor`: what is wrong with this host, and what to type.
//!
//! Policy, store and PAM's stacks are looked at by a verifier that is started for it, outside of any sandbox;
//! what is not its business is looked at here: the clock, whether somebody listens, sshd's settings. Then a
//! code that is none is judged the way logins are.

mod answer;
mod sshd;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mfa_protocol::connect::Verifier;
use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::{Action, Asking, Examined, Finding, Level, ManageRequest};
use mfa_protocol::{JUDGE_SERVICE, Outcome, Reply, Request, Verdict, paths};

use crate::judgement;
use crate::problem::{DONE, Problem, REFUSED};
use crate::session::Session;

/// Where distributions have sshd, which wants to be called by its whole path.
const SSHD: [&str; 4] =
    ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"];

/// An answer that is no code of any kind: it is refused, and counts nowhere.
const NO_CODE: &str = "no code";

impl Session<'_> {
    /// `doctor`: 0 where nothing is bad, 1 where something is.
    pub fn doctor(&mut self) -> Result<u8, Problem> {
        let mut findings = vec![];
        let asking = match self.examined() {
            Ok(examined) => {
                findings.extend(examined.findings);
                examined.asking
            }
            Err(problem) => {
                findings.push(bad("verifier", problem.error, problem.hint));
                vec![]
            }
        };
        findings.push(self.judgement());
        if !self.is_private() {
            findings.extend(listeners());
        }
        findings.push(clock());
        findings.extend(of_sshd(&asking));
        self.answer(&answer::Answer::new(&findings), || answer::text(&findings))?;
        let is_bad = findings.iter().any(|finding| finding.level == Level::Bad);
        Ok(if is_bad { REFUSED } else { DONE })
    }

    /// What the verifier found.
    fn examined(&mut self) -> Result<Examined, Problem> {
        let request = Request::Manage(ManageRequest { user: None, action: Action::Examine });
        // In a sandbox not all of the system can be seen.
        let started =
            Verifier { program: Some(PathBuf::from(paths::VERIFIER)), ..Verifier::default() };
        let mut nobody = Scripted::new([""; 0]);
        let reply = if self.is_private() {
            self.converse_with(&request, &mut nobody)
        } else {
            crate::session::exchange(&started, &request, &mut nobody)
        };
        match reply? {
            Ok(Reply::Examined(examined)) => Ok(examined),
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// A judgement, by the verifier that serves root's logins.
    fn judgement(&self) -> Finding {
        const ABOUT: &str = "judgement";
        let request = judgement::login("root".as_ref(), JUDGE_SERVICE, None, None);
        let begun = Instant::now();
        match self.converse_with(&request, &mut Scripted::new([NO_CODE])) {
            Ok(Ok(Reply::Outcome(Outcome { verdict: Verdict::Unavailable, .. }))) => bad(
                ABOUT,
                "a login could not be judged",
                "look for lines of pam_mfa in the system log",
            ),
            // Whoever is asked a second time was not let in by the first answer.
            Ok(_) => {
                let took = begun.elapsed().as_millis();
                good(ABOUT, format!("a code that is none was judged within {} ms", took + 1))
            }
            Err(problem) => bad(ABOUT, problem.error, problem.hint),
        }
    }
}

fn finding(
    level: Level,
    about: &str,
    found: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding { level, about: about.to_owned(), found: found.into(), hint: hint.into() }
}

fn good(about: &str, found: impl Into<String>) -> Finding {
    finding(Level::Good, about, found, "")
}

fn doubtful(about: &str, found: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(Level::Doubtful, about, found, hint)
}

fn bad(about: &str, found: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(Level::Bad, about, found, hint)
}

/// Whether somebody listens for root's logins, and for users.
fn listeners() -> [Finding; 2] {
    let root = match UnixStream::connect(paths::ROOT_SOCKET) {
        Ok(_) => good("listeners", format!("a verifier serves logins on {}", paths::ROOT_SOCKET)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            good("listeners", "each login starts a verifier of its own; one that stays is quicker")
        }
        Err(error) => doubtful(
            "listeners",
            format!("{}: {error}; each login starts a verifier of its own", paths::ROOT_SOCKET),
            "systemctl restart mfa-verifier.socket",
        ),
    };
    let users = match UnixStream::connect(paths::USER_SOCKET) {
        Ok(_) => good("listeners", format!("a verifier serves users on {}", paths::USER_SOCKET)),
        Err(error) => doubtful(
            "listeners",
            format!(
                "{}: {error}; who is not root can neither enrol nor unlock a screen",
                paths::USER_SOCKET
            ),
            "systemctl enable --now mfa-verifier-users.service",
        ),
    };
    [root, users]
}

/// Whether codes of apps will go on being right.
fn clock() -> Finding {
    const ABOUT: &str = "clock";
    match mfa_sys::clock::is_kept_right() {
        Ok(true) => good(ABOUT, "it is synchronised"),
        Ok(false) => doubtful(
            ABOUT,
            "nobody keeps it right, and codes of apps are wrong once it is a minute off",
            "timedatectl set-ntp true, or install chrony; in a container look at its host",
        ),
        Err(error) => doubtful(ABOUT, format!("it cannot be asked about: {error}"), "timedatectl"),
    }
}

fn of_sshd(asking: &[Asking]) -> Vec<Finding> {
    const ABOUT: &str = "sshd";
    let Some(asked) = asking.iter().find(|asking| asking.service == "sshd") else { return vec![] };
    let Some(program) = SSHD.into_iter().find(|path| Path::new(path).exists()) else {
        return vec![];
    };
    let settings = match Command::new(program).arg("-T").env_clear().output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let said = said.trim().lines().last().unwrap_or("no word why").to_owned();
            let hint = format!("mend it before sshd is started again: {program} -t");
            return vec![bad(ABOUT, format!("its settings cannot be read: {said}"), hint)];
        }
        Err(error) => {
            return vec![doubtful(ABOUT, format!("{program} cannot be started: {error}"), "")];
        }
    };
    let faults = sshd::faults(&settings, asked.forward_pass);
    if faults.is_empty() {
        return vec![good(ABOUT, "every way in asks PAM; blocks of Match are not looked at")];
    }
    let faults = faults.into_iter();
    faults.map(|fault| finding(fault.level(), ABOUT, fault.found(), fault.hint())).collect()
}
