//! What `mfa-setup doctor` asks of the verifier: whether policy, store and PAM's stacks are fit for logins.

mod stacks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::frame::MAX_FRAME;
use mfa_protocol::message::{Asking, Examined, Failure, Finding, Level};
use mfa_protocol::pam_service::{self, Line, Part};
use nix::sys::statvfs::statvfs;
use postcard::experimental::serialized_size;

use crate::check;
use crate::config::{Config, EnrolAtLogin, Mode};
use crate::failure::of_store;
use crate::policy::needs_local_time;
use crate::world::World;
use stacks::Fault;

/// Bytes of an answer: what goes around it in a frame fits into the rest.
const MOST_BYTES: usize = MAX_FRAME - 1024;

/// Bytes for the store, below which somebody will soon be refused, and below which it is time to look. A user
/// takes at most 192 KiB.
const TOO_FULL: u64 = 16 << 20;
const ALMOST_FULL: u64 = 256 << 20;

/// The same for files: a user has some ten.
const TOO_FEW_FILES: u64 = 100;

/// Services that are named in one finding.
const MOST_SERVICES: usize = 4;

/// Modules that judge a password: who has it right is to be asked for a code. Of others it may be meant that
/// they stand in for one.
const OF_PASSWORDS: [&str; 7] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_unix.so",
    "pam_userdb.so",
    "pam_winbind.so",
];

/// The policy file has been read, or nobody would be here.
pub(crate) fn examine(world: &World) -> Result<Examined, Failure> {
    let mut findings = of_policy(world)?;
    findings.extend(of_store_and_key(world));
    findings.extend(of_space(&world.config.store.path));
    let services = Services::of(world);
    findings.extend(services.findings(world));
    Ok(bounded(Examined { findings, asking: services.asking }))
}

/// As much of it as fits into an answer, the worst first to stay.
fn bounded(mut examined: Examined) -> Examined {
    let size = |examined: &Examined| serialized_size(examined).unwrap_or(usize::MAX);
    while size(&examined) > MOST_BYTES {
        let mildest = examined.findings.iter().map(|finding| finding.level).min();
        let at = examined.findings.iter().rposition(|finding| Some(finding.level) == mildest);
        match at {
            Some(at) => drop(examined.findings.remove(at)),
            None => examined.asking.truncate(examined.asking.len() / 2),
        }
    }
    examined
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

fn of_policy(world: &World) -> Result<Vec<Finding>, Failure> {
    const ABOUT: &str = "policy";
    let path = world.policy_file.display();
    let mut findings = vec![if world.policy_file.exists() {
        good(ABOUT, format!("{path} can be used"))
    } else {
        good(ABOUT, format!("{path} is not there: the built-in policy holds, which asks everybody"))
    }];
    if asks_nobody(world.config) {
        findings.push(finding(
            Level::Doubtful,
            ABOUT,
            format!("{path} asks nobody for a code: mode is \"off\""),
            "make mode \"optional\" or \"required\" there",
        ));
    }
    if needs_local_time(world.config)
        && let Err(error) = (world.zone)()
    {
        findings.push(finding(
            Level::Bad,
            ABOUT,
            format!("{error}: whoever is asked by a time or a date is refused"),
            "timedatectl set-timezone ZONE",
        ));
    }
    for warning in check::of_policy_file(world)? {
        let hint = format!("mend {path}, and see: mfa-setup check");
        findings.push(finding(Level::Doubtful, ABOUT, warning, hint));
    }
    Ok(findings)
}

/// Whether there is nobody whom policy or a rule asks.
fn asks_nobody(config: &Config) -> bool {
    let rules = config.rules.iter().map(|rule| rule.applied_to_policy(&config.policy).mode);
    config.policy.mode == Mode::Off && rules.into_iter().all(|mode| mode == Mode::Off)
}

/// Whether somebody who has not enrolled is refused.
fn refuses_who_has_not_enrolled(config: &Config) -> bool {
    let policy = &config.policy;
    policy.mode == Mode::Required
        && policy.enrol_at_login == EnrolAtLogin::Off
        && policy.required_from.written().is_empty()
        && config.email.address.is_none()
}

fn of_store_and_key(world: &World) -> Vec<Finding> {
    const ABOUT: &str = "store";
    let (store, key) = (world.config.store.path.display(), world.config.store.key_file.display());
    let unusable = |failure: Failure| {
        let found = format!("{}: whoever is asked is refused", failure.error);
        vec![finding(Level::Bad, ABOUT, found, failure.hint)]
    };
    let uids = match world.archive.open() {
        Err(error) => return unusable(of_store(&error)),
        Ok(None) => BTreeSet::new(),
        Ok(Some(opened)) => match opened.uids() {
            Err(error) => return unusable(of_store(&error)),
            Ok(uids) => uids,
        },
    };
    let mut findings = vec![match (world.archive.open(), uids.len()) {
        (Ok(None), _) => good(ABOUT, format!("{store} and {key} are made when somebody enrols")),
        (_, 1) => good(ABOUT, format!("{store} has the record of 1 user, and {key} opens it")),
        (_, users) => {
            good(ABOUT, format!("{store} has the records of {users} users, and {key} opens it"))
        }
    }];
    if uids.is_empty() && refuses_who_has_not_enrolled(world.config) {
        findings.push(finding(
            Level::Doubtful,
            ABOUT,
            "nobody has enrolled, and policy requires it: whoever is asked is refused",
            "mfa-setup --user NAME, before you log out",
        ));
    }
    findings
}

fn of_space(store: &Path) -> Option<Finding> {
    const ABOUT: &str = "space";
    // Where it is not there yet, it will be made in the nearest directory that is.
    let there = store.ancestors().find(|path| path.exists())?;
    let left = match statvfs(there) {
        Ok(left) => left,
        Err(error) => {
            let found = format!("free space below {} is not known: {error}", there.display());
            let hint = format!("df {}", there.display());
            return Some(finding(Level::Doubtful, ABOUT, found, hint));
        }
    };
    let bytes = left.blocks_available().saturating_mul(left.fragment_size());
    // Some file systems have no number of files.
    let files = Some(left.files_available()).filter(|_| left.files() > 0);
    Some(space(&store.display().to_string(), bytes, files))
}

fn space(store: &str, bytes: u64, files: Option<u64>) -> Finding {
    const ABOUT: &str = "space";
    let mebibytes = bytes >> 20;
    let few_files = files.filter(|files| *files < TOO_FEW_FILES);
    let found = match few_files {
        Some(files) => format!("{files} more files can be made below {store}"),
        None => format!("{mebibytes} MiB are free below {store}"),
    };
    let level = match bytes {
        _ if few_files.is_some() => Level::Bad,
        ..TOO_FULL => Level::Bad,
        TOO_FULL..ALMOST_FULL => Level::Doubtful,
        _ => return good(ABOUT, found),
    };
    finding(level, ABOUT, found, format!("make room; df and df -i {store} say how much there is"))
}

/// The services of this host that have to do with codes.
struct Services {
    asking: Vec<Asking>,
    stacks: BTreeMap<String, Vec<Line>>,
}

impl Services {
    fn of(world: &World) -> Self {
        let pam = world.pam_services;
        let file = world.policy_file.display().to_string();
        let mut stacks: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for service in pam.names() {
            let lines = pam_service::read(&service, "auth", &|name| pam.read(name));
            stacks.insert(service, lines.unwrap_or_default());
        }
        // What another one takes in is a part of that, but su of su-l and sudo of sudo-i, which are services.
        let taken_in: BTreeSet<String> = stacks
            .iter()
            .flat_map(|(service, lines)| lines.iter().map(move |line| (service, &line.file)))
            .filter(|(service, file)| !service.starts_with(file.as_str()))
            .map(|(_, file)| file.clone())
            .collect();
        stacks.retain(|service, lines| {
            let ours = |line: &Line| stacks::is_judge(line, &file) || stacks::splits(line);
            service != REAUTH_SERVICE
                && !taken_in.contains(service)
                && world.config.policy.services.include(service)
                && lines.iter().any(ours)
        });
        let asking = stacks
            .iter()
            .filter(|(_, lines)| lines.iter().any(|line| stacks::is_judge(line, &file)))
            .map(|(service, lines)| Asking {
                service: service.clone(),
                forward_pass: lines.iter().any(stacks::splits),
            });
        Self { asking: asking.collect(), stacks }
    }

    fn findings(&self, world: &World) -> Vec<Finding> {
        const ABOUT: &str = "pam.d";
        let file = world.policy_file.display().to_string();
        let mut findings = vec![];
        if self.stacks.is_empty() {
            findings.push(finding(
                Level::Doubtful,
                ABOUT,
                "no service asks pam_mfa.so, so nobody is asked for a code",
                "see STACKS in pam_mfa(8) for the line that a service needs",
            ));
        } else {
            let names: Vec<_> = self.asking.iter().map(|asking| asking.service.as_str()).collect();
            findings.push(good(ABOUT, format!("these ask for a code: {}", names.join(", "))));
        }
        for named in world.config.policy.services.named() {
            let is_there = world.pam_services.place(named).is_some();
            if is_there && !self.stacks.contains_key(named) {
                findings.push(finding(
                    Level::Doubtful,
                    ABOUT,
                    format!("policy names \"{named}\", whose stack has no pam_mfa.so"),
                    "see STACKS in pam_mfa(8) for the line that it needs",
                ));
            }
        }
        // One line may be in many stacks.
        let mut found: BTreeMap<(Level, String, String), Vec<&str>> = BTreeMap::new();
        for (service, lines) in &self.stacks {
            for fault in stacks::faults(lines, &file) {
                // sshd asks for keys itself, before PAM is asked for anything.
                if service == "sshd" && matches!(fault, Fault::CodeAlone(_)) {
                    continue;
                }
                let (level, text, hint) = say(fault, service, &|name| {
                    let place = world.pam_services.place(name).unwrap_or_else(|| name.into());
                    place.display().to_string()
                });
                found.entry((level, text, hint)).or_default().push(service);
            }
        }
        findings.extend(found.into_iter().rev().map(|((level, text, hint), services)| {
            let count = services.len();
            let shown: Vec<_> = services.into_iter().take(MOST_SERVICES).collect();
            let more = if count > shown.len() { ", …" } else { "" };
            finding(level, ABOUT, format!("{text} ({}{more})", shown.join(", ")), hint)
        }));
        findings
    }
}

/// How bad a fault of a service's stack is, what it is, and what to do.
fn say(fault: Fault, service: &str, place: &dyn Fn(&str) -> String) -> (Level, String, String) {
    const REQUIRED: &str = "write \"auth required pam_mfa.so\" in its place";
    let at = |line: &Line, what: &str| format!("{}: {what}", place(&line.file));
    let whole = |what: &str| format!("{}: {what}", place(service));
    match fault {
        Fault::NothingJudges(line) => (
            Level::Bad,
            at(line, "everybody is refused, since no line judges the code that forward_pass takes off the password"),
            "put \"auth required pam_mfa.so\" behind the line that judges the password".to_owned(),
        ),
        Fault::WrongCodeLetsIn(line) => (
            Level::Bad,
            at(line, &format!("a wrong code keeps nobody out at {}", written(line))),
            REQUIRED.to_owned(),
        ),
        Fault::UnjudgedLetsIn(line) => (
            Level::Bad,
            at(line, &format!("where no code can be judged, {} lets everybody in", written(line))),
            REQUIRED.to_owned(),
        ),
        Fault::PassesBy(line) => {
            let is_password = matches!(&line.part, Part::Module { name, .. }
                if OF_PASSWORDS.contains(&name.as_str()));
            let level = if is_password { Level::Bad } else { Level::Doubtful };
            let what =
                format!("who is let pass by {} is never asked for a code", written(line));
            let hint = "put pam_mfa.so where that line leads; a file in which \"sufficient\" ends the \
                        stack is taken in by \"substack\"";
            (level, at(line, &what), hint.to_owned())
        }
        Fault::CodeAlone(line) => (
            Level::Bad,
            at(line, &format!("a code alone lets in at {}, without the first factor", written(line))),
            format!("{REQUIRED}, behind the line that judges the password"),
        ),
        Fault::NobodyGetsIn => (
            Level::Bad,
            whole("nobody gets in, not with everything right"),
            "compare it with the examples beside pam_mfa's documentation, and keep a session open until \
             a login works"
                .to_owned(),
        ),
        Fault::ExemptRefused => (
            Level::Doubtful,
            whole("whom policy asks for nothing is refused, since nothing else there says yes"),
            "put \"auth required pam_permit.so\" behind pam_mfa.so".to_owned(),
        ),
    }
}

/// A line as it may be written.
fn written(line: &Line) -> String {
    let Part::Module { control, name, .. } = &line.part else { return String::new() };
    let control = if control.contains('=') { format!("[{control}]") } else { control.clone() };
    format!("\"{control} {name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(bytes: u64, files: Option<u64>) -> Level {
        space("/srv", bytes, files).level
    }

    #[test]
    fn room_for_records_is_bytes_and_files() {
        assert_eq!(level(0, None), Level::Bad);
        assert_eq!(level(TOO_FULL - 1, Some(1_000)), Level::Bad);
        assert_eq!(level(TOO_FULL, Some(1_000)), Level::Doubtful);
        assert_eq!(level(ALMOST_FULL, Some(TOO_FEW_FILES)), Level::Good);
        assert_eq!(level(u64::MAX, Some(TOO_FEW_FILES - 1)), Level::Bad);
        assert_eq!(level(u64::MAX, None), Level::Good);
    }

    #[test]
    fn what_does_not_fit_into_an_answer_is_left_out_and_the_worst_last() {
        let long = "x".repeat(1_000);
        let mut findings: Vec<_> = (0..100).map(|_| good("a", &long)).collect();
        findings.insert(50, finding(Level::Bad, "b", &long, &long));
        let asking = vec![Asking { service: "sshd".to_owned(), forward_pass: false }];
        let bounded = bounded(Examined { findings, asking });
        assert!(bounded.findings.len() > 50 && bounded.findings.len() < 70);
        assert!(bounded.findings.iter().any(|finding| finding.level == Level::Bad));
        assert_eq!(bounded.asking.len(), 1);
        // No service has such a name, but the loop ends.
        let asking = vec![Asking { service: "x".repeat(100_000), forward_pass: false }];
        assert_eq!(super::bounded(Examined { findings: vec![], asking }).asking, []);
    }
}
