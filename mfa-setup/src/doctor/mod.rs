//! `doctor`: what is wrong with this host, and what to type.
//!
//! Policy, store and PAM's stacks are looked at by a verifier that is started for it, outside of any sandbox;
//! what is not its business is looked at here: the clock, whether somebody listens, sshd's settings. Then a
//! code that is none is judged the way logins are.

mod answer;
mod sshd;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mfa_protocol::connect::Verifier;
use mfa_protocol::conversation::Scripted;
use mfa_protocol::message::{Action, Asking, Examined, Finding, Level, ManageRequest};
use mfa_protocol::{JUDGE_SERVICE, Outcome, Reply, Request, Verdict, paths, trusted};

use crate::judgement;
use crate::problem::{DONE, Problem, REFUSED};
use crate::session::{self, Session};

/// Where distributions have sshd, which wants to be called by its whole path.
const SSHD: [&str; 4] =
    ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"];

/// The PAM service that sshd asks, unless it is told otherwise.
const SSHD_SERVICE: &str = "sshd";

/// Seconds for its settings.
const SSHD_BOUND: &str = "10";

/// What it says where it has never been started since the host was.
const NOT_STARTED: [&str; 2] = ["privilege separation directory", "no hostkeys available"];

/// What to do where the programs do not understand each other.
const VERSIONS: &str = "install mfa-setup and mfa-verifier of one version";

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
            Err(error) => {
                findings.push(Finding::problem("verifier", error.error, error.hint));
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
        let is_bad = findings.iter().any(|finding| finding.level == Level::Problem);
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
            session::exchange(&started, &request, &mut nobody)
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
        let verdict = match self.converse_with(&request, &mut Scripted::new([NO_CODE])) {
            Ok(Ok(Reply::Outcome(Outcome { verdict, .. }))) => verdict,
            // Whoever is asked once more was not let in by the first answer.
            Ok(Err(_)) => Verdict::Denied,
            Ok(Ok(_)) => {
                return Finding::problem(ABOUT, "the verifier answered something else", VERSIONS);
            }
            Err(error) => return Finding::problem(ABOUT, error.error, error.hint),
        };
        let took = begun.elapsed().as_millis() + 1;
        match verdict {
            Verdict::Denied | Verdict::Locked => {
                Finding::fine(ABOUT, format!("a code that is none was refused within {took} ms"))
            }
            Verdict::Exempt => Finding::fine(
                ABOUT,
                format!("policy asks root for nothing, which took {took} ms; no code was judged"),
            ),
            Verdict::Granted => Finding::problem(
                ABOUT,
                "what is no code was accepted",
                "report this: see SECURITY.md",
            ),
            Verdict::Unavailable => Finding::problem(
                ABOUT,
                "a login could not be judged",
                "look for lines of pam_mfa in the system log",
            ),
        }
    }

    /// Whether somebody serves those who come to a socket.
    fn is_served(socket: &str) -> Result<(), Problem> {
        let there = Verifier { socket: Some(socket.into()), ..Verifier::default() };
        let request = Request::Manage(ManageRequest { user: None, action: Action::Status });
        match session::exchange(&there, &request, &mut Scripted::new([""; 0]))? {
            Ok(Reply::Status(_)) => Ok(()),
            _ => Err(Problem::unexpected_reply()),
        }
    }
}

/// Whether root's logins are served by a verifier that stays, and users at all.
fn listeners() -> [Finding; 2] {
    const ABOUT: &str = "listeners";
    let is_there = |socket| Path::new(socket).exists();
    let root = match Session::is_served(paths::ROOT_SOCKET) {
        Ok(()) => {
            Finding::fine(ABOUT, format!("a verifier serves logins on {}", paths::ROOT_SOCKET))
        }
        Err(_) if !is_there(paths::ROOT_SOCKET) => Finding::fine(
            ABOUT,
            "each login starts a verifier of its own; one that stays is quicker",
        ),
        Err(error) => Finding::warning(
            ABOUT,
            format!("{}; each login starts a verifier of its own", error.error),
            "systemctl restart mfa-verifier.socket",
        ),
    };
    let users = match Session::is_served(paths::USER_SOCKET) {
        Ok(()) => {
            Finding::fine(ABOUT, format!("a verifier serves users on {}", paths::USER_SOCKET))
        }
        Err(_) if !is_there(paths::USER_SOCKET) => Finding::warning(
            ABOUT,
            "nobody serves users: root enrols them, and what they run themselves, as screen lockers are, is \
             refused",
            "systemctl enable --now mfa-verifier-users.service",
        ),
        Err(error) => Finding::warning(ABOUT, error.error, error.hint),
    };
    [root, users]
}

/// Whether codes of apps will go on being right.
fn clock() -> Finding {
    const ABOUT: &str = "clock";
    match mfa_sys::clock::is_kept_right() {
        Ok(true) => Finding::fine(ABOUT, "it is synchronised"),
        Ok(false) => Finding::warning(
            ABOUT,
            "the kernel is not told that anybody keeps it right, and codes of apps are wrong once it is a minute off",
            "timedatectl set-ntp true, or install chrony; in a container look at its host",
        ),
        Err(error) => {
            Finding::warning(ABOUT, format!("it cannot be asked about: {error}"), "timedatectl")
        }
    }
}

/// What sshd's settings make of the stack that it asks.
fn of_sshd(asking: &[Asking]) -> Vec<Finding> {
    const ABOUT: &str = "sshd";
    if !asking.iter().any(|asking| asking.service == SSHD_SERVICE) {
        return vec![];
    }
    // A program that somebody else can have put there is none of ours to run.
    let is_roots = |path: &&str| trusted::open_program(Path::new(path)).is_ok();
    let Some(program) = SSHD.into_iter().find(is_roots) else { return vec![] };
    let settings = match settings(program) {
        Ok(settings) => settings,
        Err(finding) => return vec![finding],
    };
    let service = sshd::service(&settings).unwrap_or(SSHD_SERVICE);
    let Some(asked) = asking.iter().find(|asking| asking.service == service) else {
        let found = format!("it asks the PAM service \"{service}\", which asks for no code");
        return vec![Finding::warning(ABOUT, found, "look at PAMServiceName in sshd_config(5)")];
    };
    let faults = sshd::faults(&settings, asked);
    if faults.is_empty() {
        let found =
            "every way in asks PAM, but for what Match says: sshd -T -C user=NAME,addr=ADDRESS";
        return vec![Finding::fine(ABOUT, found)];
    }
    let faults = faults.into_iter();
    faults.map(|fault| Finding::new(fault.level(), ABOUT, fault.found(), fault.hint())).collect()
}

/// What `sshd -T` prints, which may ask name servers; or why it prints nothing.
fn settings(program: &str) -> Result<String, Finding> {
    const ABOUT: &str = "sshd";
    let mut bounded = Command::new("/usr/bin/timeout");
    bounded.args([SSHD_BOUND, program, "-T"]).env_clear();
    let output = bounded.output().map_err(|error| {
        Finding::warning(
            ABOUT,
            format!("its settings cannot be read: {error}"),
            format!("{program} -T"),
        )
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = said.trim().lines().last().unwrap_or("it does not say why").to_owned();
    let found = format!("its settings cannot be read: {said}");
    Err(if NOT_STARTED.iter().any(|words| said.contains(words)) {
        Finding::warning(ABOUT, found, "start it, and look again")
    } else {
        Finding::problem(
            ABOUT,
            found,
            format!("mend that before sshd is started again: {program} -t"),
        )
    })
}
