//! What `mfa-setup doctor` asks of the verifier: whether policy, store and PAM's stacks are fit for logins.

mod stacks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::frame::MAX_FRAME;
use mfa_protocol::message::{Asking, Examined, Failure, Finding, Level};
use mfa_protocol::pam_service::{self, Line, Part};
use nix::sys::statvfs::{FsFlags, statvfs};
use postcard::experimental::serialized_size;

use crate::check::{self, stacks as stacks_of_check};
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

/// What a finding about stacks is about.
const PAM_D: &str = "pam.d";

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
    let mut left_out = 0;
    while size(&examined) > MOST_BYTES {
        left_out += 1;
        let mildest = examined.findings.iter().map(|finding| finding.level).min();
        let at = examined.findings.iter().rposition(|finding| Some(finding.level) == mildest);
        match at {
            Some(at) => drop(examined.findings.remove(at)),
            None => examined.asking.truncate(examined.asking.len() / 2),
        }
    }
    if left_out > 0 {
        let found = format!("{left_out} findings more are left out");
        examined.findings.push(Finding::warning("all", found, "mend these, and look again"));
    }
    examined
}

fn of_policy(world: &World) -> Result<Vec<Finding>, Failure> {
    const ABOUT: &str = "policy";
    let path = world.policy_file.display();
    let mut findings = vec![if world.policy_file.exists() {
        Finding::fine(ABOUT, format!("{path} can be used"))
    } else {
        Finding::fine(
            ABOUT,
            format!("{path} is not there: the built-in policy holds, which asks everybody"),
        )
    }];
    if asks_nobody(world.config) {
        findings.push(Finding::warning(
            ABOUT,
            format!("{path} asks nobody for a code: mode is \"off\""),
            "make mode \"optional\" or \"required\" there",
        ));
    }
    if needs_local_time(world.config)
        && let Err(error) = (world.zone)()
    {
        findings.push(Finding::new(
            Level::Problem,
            ABOUT,
            format!("{error}: whoever is asked by a time or a date is refused"),
            "timedatectl set-timezone ZONE",
        ));
    }
    for text in check::of_policy_file(world)? {
        let hint = format!("mend {path}, and see: mfa-setup check");
        findings.push(Finding::warning(ABOUT, text, hint));
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
        vec![Finding::new(Level::Problem, ABOUT, found, failure.hint)]
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
        (Ok(None), _) => {
            Finding::fine(ABOUT, format!("{store} and {key} are made when somebody enrols"))
        }
        (_, 1) => {
            Finding::fine(ABOUT, format!("{store} has the record of 1 user, and {key} opens it"))
        }
        (_, users) => Finding::fine(
            ABOUT,
            format!("{store} has the records of {users} users, and {key} opens it"),
        ),
    }];
    if uids.is_empty() && refuses_who_has_not_enrolled(world.config) {
        findings.push(Finding::warning(
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
            return Some(Finding::warning(ABOUT, found, hint));
        }
    };
    if left.flags().contains(FsFlags::ST_RDONLY) {
        let found =
            format!("nothing can be written below {}: no code is accepted", there.display());
        let hint = "look at what the kernel says (dmesg), and then: mount -o remount,rw";
        return Some(Finding::new(Level::Problem, ABOUT, found, hint));
    }
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
        _ if few_files.is_some() => Level::Problem,
        ..TOO_FULL => Level::Problem,
        TOO_FULL..ALMOST_FULL => Level::Warning,
        _ => return Finding::fine(ABOUT, found),
    };
    Finding::new(
        level,
        ABOUT,
        found,
        format!("make room; df and df -i {store} say how much there is"),
    )
}

/// The services of this host that have to do with codes.
struct Services {
    /// Those that ask for one.
    asking: Vec<Asking>,
    /// Those that name the module, with their lines.
    stacks: BTreeMap<String, Vec<Line>>,
    /// All of them, parts of others among them, of which something cannot be read.
    unreadable: Vec<String>,
    /// Those that ask, with the policy of another file.
    otherwise: Vec<String>,
}

impl Services {
    fn of(world: &World) -> Self {
        let pam = world.pam_services;
        let file = world.policy_file.display().to_string();
        let mut stacks: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        let mut unreadable = vec![];
        for service in pam.names().into_iter().filter(|name| !is_kept_copy(name)) {
            match pam_service::read(&service, "auth", &|name| pam.read(name)) {
                Some(lines) => drop(stacks.insert(service, lines)),
                None => unreadable.push(service),
            }
        }
        let is_ours = |line: &Line| stacks::is_judge(line, &file) || stacks::splits(line);
        let is_named =
            |line: &Line| matches!(&line.part, Part::Module { name, .. } if name == "pam_mfa.so");
        let is_asked = |service: &String| {
            service != REAUTH_SERVICE
                && !is_part(service)
                && world.config.policy.services.include(service)
        };
        let otherwise = stacks
            .iter()
            .filter(|(service, lines)| {
                is_asked(service) && lines.iter().any(is_named) && !lines.iter().any(is_ours)
            })
            .map(|(service, _)| service.clone())
            .collect();
        stacks.retain(|service, lines| is_asked(service) && lines.iter().any(is_ours));
        let taking_in = stacks
            .iter()
            .filter(|(_, lines)| lines.iter().any(|line| line.part == Part::Unreadable));
        unreadable.extend(taking_in.map(|(service, _)| service.clone()));
        let asking = stacks
            .iter()
            .filter(|(_, lines)| lines.iter().any(|line| stacks::is_judge(line, &file)))
            .map(|(service, lines)| Asking {
                service: service.clone(),
                forward_pass: lines.iter().any(stacks::splits),
                code_alone: stacks::code_alone(lines, &file).is_some(),
            });
        Self { asking: asking.collect(), stacks, unreadable, otherwise }
    }

    fn findings(&self, world: &World) -> Vec<Finding> {
        let mut findings = vec![self.asked()];
        let places = |names: &[String]| {
            let place =
                |name: &String| world.pam_services.place(name).unwrap_or_else(|| name.into());
            let places: Vec<_> =
                names.iter().map(|name| place(name).display().to_string()).collect();
            places.join(", ")
        };
        if !self.otherwise.is_empty() {
            findings.push(Finding::warning(
                PAM_D,
                format!("these ask with the policy of another file: {}", self.otherwise.join(", ")),
                "mfa-setup doctor --config FILE, with the one of config= there",
            ));
        }
        if !self.unreadable.is_empty() {
            findings.push(Finding::warning(
                PAM_D,
                format!("not looked at, since they, or what they take in, are missing or not root's alone to write: {}",
                    places(&self.unreadable)),
                "ls -lL, and for a file that others can write: chmod go-w FILE",
            ));
        }
        for named in world.config.policy.services.named() {
            let is_there = world.pam_services.place(named).is_some();
            if is_there
                && !self.stacks.contains_key(named)
                && !self.unreadable.iter().any(|it| it == named)
            {
                findings.push(Finding::warning(
                    PAM_D,
                    format!("policy names \"{named}\", whose stack has no pam_mfa.so"),
                    "see STACKS in pam_mfa(8) for the line that it needs",
                ));
            }
        }
        findings.extend(self.faults(world));
        findings
    }

    fn asked(&self) -> Finding {
        if self.stacks.is_empty() {
            return Finding::warning(
                PAM_D,
                "no service asks pam_mfa.so, so nobody is asked for a code",
                "on Debian: pam-auth-update --enable mfa; on Fedora: authselect select PROFILE with-mfa; \
                 else the line of STACKS in pam_mfa(8)",
            );
        }
        let names: Vec<_> = self.asking.iter().map(|asking| asking.service.as_str()).collect();
        Finding::fine(PAM_D, format!("these ask for a code: {}", names.join(", ")))
    }

    /// What is wrong with their stacks, each line once, though it may be in many.
    fn faults(&self, world: &World) -> Vec<Finding> {
        let file = world.policy_file.display().to_string();
        let place = |name: &str| {
            let place = world.pam_services.place(name).unwrap_or_else(|| name.into());
            place.display().to_string()
        };
        let mut found: BTreeMap<(Reverse<Level>, String, String), Vec<&str>> = BTreeMap::new();
        for (service, lines) in &self.stacks {
            let mut find = |(level, text, hint): (Level, String, String)| {
                found.entry((Reverse(level), text, hint)).or_default().push(service);
            };
            let has_factor = stacks::has_first_factor(lines, &file);
            for fault in stacks::faults(lines, &file) {
                // sshd asks for keys itself, before PAM is asked for anything: its settings say whether it does.
                if service != "sshd" || !matches!(fault, Fault::CodeAlone(_)) {
                    find(say(fault, service, has_factor, &place));
                }
            }
            // Where policy enrols at login a check warns of it already.
            if let Some((line, advice)) = stacks_of_check::lets_pass(lines, &file)
                && !stacks_of_check::enrols(world.config, service)
            {
                let text = format!(
                    "{}: who gives a wrong password is let pass to the question for a code, and can use up \
                     the owner's tries",
                    place(&line.file)
                );
                find((Level::Warning, text, advice));
            }
        }
        let findings = found.into_iter().map(|((Reverse(level), text, hint), services)| {
            let count = services.len();
            let shown: Vec<_> = services.into_iter().take(MOST_SERVICES).collect();
            let more = if count > shown.len() { ", …" } else { "" };
            Finding::new(level, PAM_D, format!("{text} ({}{more})", shown.join(", ")), hint)
        });
        findings.collect()
    }
}

/// Whether a file is there to be taken in by others, and is no service: Debian's, Fedora's, Arch's.
fn is_part(name: &str) -> bool {
    name.starts_with("common-")
        || name.ends_with("-auth")
        || [
            "postlogin",
            "system-login",
            "system-local-login",
            "system-remote-login",
            "system-services",
        ]
        .contains(&name)
}

/// Whether a file is an old or a new copy that a package manager, an editor or `pam-auth-update` has left.
fn is_kept_copy(name: &str) -> bool {
    const ENDS: [&str; 9] = [
        "~", ".bak", ".orig", ".pacnew", ".pacsave", ".pam-old", ".rpmnew", ".rpmorig", ".rpmsave",
    ];
    ENDS.iter().any(|end| name.ends_with(end)) || name.contains(".dpkg-") || name.contains(".ucf-")
}

/// How bad a fault of a service's stack is, what it is, and what to do.
fn say(
    fault: Fault,
    service: &str,
    has_factor: bool,
    place: &dyn Fn(&str) -> String,
) -> (Level, String, String) {
    const REQUIRED: &str = "make its control \"required\", and keep its arguments";
    const EXAMPLES: &str = "compare it with the examples pam.d beside pam_mfa's documentation, and keep a shell of \
                            root's open until a login works";
    let at = |line: &Line, what: &str| format!("{}: {what}", place(&line.file));
    let whole = |what: &str| format!("{}: {what}", place(service));
    match fault {
        Fault::NothingJudges(line) => (
            Level::Problem,
            at(
                line,
                "everybody is refused, since no line judges the code that forward_pass takes off the password",
            ),
            "put \"auth required pam_mfa.so\" behind the line that judges the password".to_owned(),
        ),
        Fault::WrongCodeLetsIn(line) => (
            Level::Problem,
            at(line, &format!("a wrong code keeps nobody out at {}", written(line))),
            REQUIRED.to_owned(),
        ),
        Fault::UnjudgedLetsIn(line) => (
            Level::Problem,
            at(line, &format!("where no code can be judged, {} lets everybody in", written(line))),
            REQUIRED.to_owned(),
        ),
        Fault::PassesBy(line) => {
            // Another factor may be meant to stand in for the code.
            let stands_in = stacks::is_factor_beside(line);
            let level = if stands_in { Level::Warning } else { Level::Problem };
            let what = format!("who gets past {} is never asked for a code", written(line));
            (level, at(line, &what), EXAMPLES.to_owned())
        }
        Fault::CodeAlone(line) => (
            // Where nothing else is asked for at all it may be meant so.
            if has_factor { Level::Problem } else { Level::Warning },
            at(line, &format!("a code alone lets in at {}, without a first factor", written(line))),
            "have a line before it judge the password, as \"requisite\"".to_owned(),
        ),
        Fault::NobodyGetsIn => (
            Level::Problem,
            whole("nobody gets in, not with everything right"),
            EXAMPLES.to_owned(),
        ),
        Fault::ExemptRefused => (
            Level::Warning,
            whole("whom policy asks for nothing is refused, since nothing else there says yes"),
            "put \"auth required pam_permit.so\" behind pam_mfa.so, and have that be \"required\""
                .to_owned(),
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
        assert_eq!(level(0, None), Level::Problem);
        assert_eq!(level(TOO_FULL - 1, Some(1_000)), Level::Problem);
        assert_eq!(level(TOO_FULL, Some(1_000)), Level::Warning);
        assert_eq!(level(ALMOST_FULL, Some(TOO_FEW_FILES)), Level::Fine);
        assert_eq!(level(u64::MAX, Some(TOO_FEW_FILES - 1)), Level::Problem);
        assert_eq!(level(u64::MAX, None), Level::Fine);
    }

    #[test]
    fn what_does_not_fit_into_an_answer_is_left_out_and_the_worst_last() {
        let long = "x".repeat(1_000);
        let mut findings: Vec<_> = (0..100).map(|_| Finding::fine("a", &long)).collect();
        findings.insert(50, Finding::new(Level::Problem, "b", &long, &long));
        let asking =
            vec![Asking { service: "sshd".to_owned(), forward_pass: false, code_alone: false }];
        let bounded = bounded(Examined { findings, asking });
        assert!(bounded.findings.len() > 50 && bounded.findings.len() < 70);
        assert!(bounded.findings.iter().any(|finding| finding.level == Level::Problem));
        assert_eq!(bounded.asking.len(), 1);
        // No service has such a name, but the loop ends.
        let asking =
            vec![Asking { service: "x".repeat(100_000), forward_pass: false, code_alone: false }];
        assert_eq!(super::bounded(Examined { findings: vec![], asking }).asking, []);
    }
}
