//! `import`: reads the files of other modules, and has the verifier take over what stands in them.
//!
//! What is in a line is for the verifier to know. Here it is found out whose line it is.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use mfa_protocol::message::{Action, Import, ImportLine, Imported, Origin, Packed, SkippedLine};
use mfa_protocol::{Reply, Secret};
use nix::unistd::User;

use crate::cli::{self, ImportHow};
use crate::json::ImportedAnswer;
use crate::problem::{DONE, Problem, REFUSED, USAGE, say_hint};
use crate::session::{Session, printed};
use crate::text;

/// Where the users of this host are, passwd(5).
const USERS: &str = "/etc/passwd";

/// What the other module calls its file in a home.
const IN_HOME: &str = ".google_authenticator";

/// Where the other module's documentation has its file.
const USERS_OATH: &str = "/etc/users.oath";

/// Bytes of one user that fit into a request, with what is around them.
const MOST_OF_ONE: usize = 48 * 1024;

/// What came of one user.
pub struct Report {
    /// The name as it was asked about; none of lines that name nobody.
    pub user: Option<String>,
    /// The uid, where there is such a user.
    pub uid: Option<u32>,
    /// What was taken over, or would be.
    pub imported: Imported,
    /// Why nothing was.
    pub problem: Option<String>,
}

impl Session<'_> {
    /// `import`.
    pub fn import(&mut self, import: &cli::Import) -> Result<u8, Problem> {
        let mut came = Came::default();
        let how = match import {
            cli::Import::GoogleAuthenticator { all: true, how, .. } => {
                self.import_homes(how, &mut came)?;
                how
            }
            cli::Import::GoogleAuthenticator { file, how, .. } => {
                self.import_file(file.as_deref(), how, &mut came)?;
                how
            }
            cli::Import::PamOath { file, without_pin, how, .. } => {
                let path = file.as_deref().unwrap_or(Path::new(USERS_OATH));
                self.import_users_file(path, *without_pin, how, &mut came)?;
                how
            }
        };
        let Came { reports, hints, to_remove, ended } = came;
        self.answer(&ImportedAnswer::new(&reports), || text::imported(&reports, how.dry_run))?;
        if !self.global.json {
            for hint in &hints {
                say_hint(hint);
            }
            if !how.dry_run && !to_remove.is_empty() {
                let files: Vec<_> =
                    to_remove.iter().map(|path| printed(path.as_os_str())).collect();
                say_hint(&format!(
                    "when all is well, remove what has the keys: {}",
                    files.join(" ")
                ));
            }
        }
        if let Some(problem) = ended {
            return Err(problem);
        }
        let all = reports.iter().all(|report| report.problem.is_none());
        Ok(if all { DONE } else { REFUSED })
    }

    /// The file of one user. What keeps it from being read is an error of the whole.
    fn import_file(
        &mut self,
        path: Option<&Path>,
        how: &ImportHow,
        came: &mut Came,
    ) -> Result<(), Problem> {
        let name = self.user()?;
        let user = known(&name)?;
        let (path, found) = if let Some(path) = path {
            let (found, note) = file::named(path, &user)?;
            came.hints.extend(note);
            (path.to_owned(), found)
        } else {
            let path = in_home(&user);
            let found = file::of_user(&path, &user)?.ok_or_else(|| file::missing(&path))?;
            (path, found)
        };
        let request = request(Origin::GoogleAuthenticator, lines(&found), how);
        came.reports.push(self.take_over(&name, &request)?);
        came.to_remove.push(path);
        Ok(())
    }

    /// The files in all homes. Who has none is not named; what is wrong with one ends nothing.
    fn import_homes(&mut self, how: &ImportHow, came: &mut Came) -> Result<(), Problem> {
        for user in everybody()? {
            let name = OsStr::new(&user.name);
            // Homes are shared, as / is: what is root's there is not everybody's.
            let path = in_home(&user);
            let report = match file::of_user(&path, &user) {
                Ok(None) => continue,
                Ok(Some(found)) => {
                    let asked = request(Origin::GoogleAuthenticator, lines(&found), how);
                    self.take_over(name, &Import { only_newcomers: true, ..asked })
                }
                Err(problem) => Err(problem),
            };
            if report.as_ref().is_ok_and(|report| report.problem.is_none()) {
                came.to_remove.push(path);
            }
            if !came.goes_on(name, report) {
                break;
            }
        }
        Ok(())
    }

    /// One user's lines of a file of all, or everybody's.
    fn import_users_file(
        &mut self,
        path: &Path,
        without_pin: bool,
        how: &ImportHow,
        came: &mut Came,
    ) -> Result<(), Problem> {
        let (found, note) = file::of_root(path)?;
        came.hints.extend(note);
        came.to_remove.push(path.to_owned());
        let (mut people, nameless) = by_user(&found);
        if let Some(name) = self.global.user.clone() {
            let lines = people.remove(name.as_os_str()).ok_or_else(|| {
                let (path, name) = (printed(path.as_os_str()), printed(&name));
                Problem::usage(
                    format!("{path} has no line of {name}"),
                    "look at the spelling, or leave --user out for all in it",
                )
            })?;
            let asked = Import { without_pin, ..request(Origin::PamOath, lines, how) };
            came.reports.push(self.take_over(&name, &asked)?);
            return Ok(());
        }
        for (name, lines) in people {
            let asked = Import { without_pin, ..request(Origin::PamOath, lines, how) };
            let report = self.take_over(&name, &asked);
            if !came.goes_on(&name, report) {
                break;
            }
        }
        if !nameless.is_empty() {
            let skipped = nameless
                .into_iter()
                .map(|line| SkippedLine { line, why: "the line is cut".into() });
            let imported = Imported { skipped: skipped.collect(), ..Imported::default() };
            came.reports.push(Report {
                user: None,
                uid: None,
                imported,
                problem: Some("these lines name nobody".into()),
            });
        }
        Ok(())
    }

    fn take_over(&mut self, name: &OsStr, request: &Import) -> Result<Report, Problem> {
        let size: usize = request.lines.iter().map(|line| line.text.expose().len() + 8).sum();
        if size > MOST_OF_ONE {
            return Err(Problem::usage(
                "there is too much in it for one user",
                "look into the file",
            ));
        }
        let action = Action::Import(Packed::new(request)?);
        match self.manage_for(Some(name), action, "use a terminal")? {
            Reply::Imported(imported) => {
                let imported = imported.open()?;
                let none = imported.devices.is_empty() && imported.known.is_empty();
                let problem = none.then(|| "no key in it can be taken over".to_owned());
                Ok(Report {
                    user: Some(imported.user.clone()),
                    uid: Some(imported.uid),
                    imported,
                    problem,
                })
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }
}

/// What came of all that was asked.
#[derive(Default)]
struct Came {
    reports: Vec<Report>,
    hints: Vec<String>,
    /// The files of which keys were taken over.
    to_remove: Vec<PathBuf>,
    /// Why it did not go on.
    ended: Option<Problem>,
}

impl Came {
    /// Whether it goes on with the next: what is no fault of one user's is one with all of them.
    fn goes_on(&mut self, name: &OsStr, report: Result<Report, Problem>) -> bool {
        match report {
            Ok(report) => self.reports.push(report),
            Err(problem) if matches!(problem.exit, USAGE | REFUSED) => {
                self.reports.push(Report::of_problem(name, &problem));
            }
            Err(problem) => self.ended = Some(problem),
        }
        self.ended.is_none()
    }
}

impl Report {
    fn of_problem(name: &OsStr, problem: &Problem) -> Self {
        let Problem { error, hint, .. } = problem;
        let text = if hint.is_empty() { error.clone() } else { format!("{error}; {hint}") };
        Self {
            user: Some(name.to_string_lossy().into_owned()),
            uid: known(name).ok().map(|user| user.uid.as_raw()),
            imported: Imported::default(),
            problem: Some(text),
        }
    }
}

fn request(origin: Origin, lines: Vec<ImportLine>, how: &ImportHow) -> Import {
    Import {
        origin,
        lines,
        label: how.label.clone(),
        without_pin: false,
        dry_run: how.dry_run,
        only_newcomers: false,
    }
}

fn known(name: &OsStr) -> Result<User, Problem> {
    let user = name.to_str().and_then(|name| User::from_name(name).ok().flatten());
    user.ok_or_else(|| {
        let error = format!("there is no user \"{}\"", printed(name));
        Problem::usage(error, "look at the spelling, or at: getent passwd")
    })
}

fn in_home(user: &User) -> PathBuf {
    user.dir.join(IN_HOME)
}

/// The users of the file, as the system knows them, each once.
fn everybody() -> Result<Vec<User>, Problem> {
    let content = fs::read(USERS).map_err(|error| {
        Problem::unusable(format!("{USERS} cannot be read: {error}"), "name users by --user")
    })?;
    let users = names_in(&content).into_iter().filter_map(|name| known(name).ok());
    Ok(users.filter(|user| user.dir.is_absolute()).collect())
}

/// The names in passwd(5), in their order, each once.
fn names_in(content: &[u8]) -> Vec<&OsStr> {
    let lines = content.split(|byte| *byte == b'\n');
    let names = lines.filter_map(|line| line.split(|byte| *byte == b':').next());
    let mut seen = BTreeSet::new();
    names.filter(|name| !name.is_empty() && seen.insert(*name)).map(OsStr::from_bytes).collect()
}

/// The lines of a file, all of them.
fn lines(content: &[u8]) -> Vec<ImportLine> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.split(|byte| *byte == b'\n').zip(1..).map(line).collect()
}

fn line((text, number): (&[u8], u32)) -> ImportLine {
    ImportLine { number, text: Secret::new(text.to_vec()) }
}

/// Whose the lines of a file are by the second word of each; and the lines that have none, but for those
/// that say nothing.
fn by_user(content: &[u8]) -> (BTreeMap<OsString, Vec<ImportLine>>, Vec<u32>) {
    let mut people: BTreeMap<OsString, Vec<ImportLine>> = BTreeMap::new();
    let mut nameless = Vec::new();
    for (text, number) in content.split(|byte| *byte == b'\n').zip(1..) {
        let mut words = text.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (None, _) => {}
            (Some(first), _) if first.starts_with(b"#") => {}
            (Some(_), None) => nameless.push(number),
            (Some(_), Some(name)) => {
                let of_user = people.entry(OsString::from_vec(name.to_vec())).or_default();
                of_user.push(line((text, number)));
            }
        }
    }
    (people, nameless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one_and_a_last_line_end_makes_no_line() {
        let numbered = |content: &[u8]| {
            let lines = lines(content).into_iter();
            lines.map(|line| (line.number, line.text.expose().to_vec())).collect::<Vec<_>>()
        };
        let expected = [(1, b"a".to_vec()), (2, vec![]), (3, b"b\r".to_vec())];
        assert_eq!(numbered(b"a\n\nb\r\n"), expected);
        assert_eq!(numbered(b"a\n\nb\r"), expected);
        assert_eq!(numbered(b""), [(1, vec![])]);
    }

    #[test]
    fn a_line_is_whose_name_is_its_second_word() {
        let file = b"# alice\nHOTP alice - 31\r\n\n \t\nHOTP\r\nHOTP\tbob\t-\nHOTP  alice\nx \xff\nHOTP al";
        let (people, nameless) = by_user(file);
        let of = |name: &[u8]| -> Vec<u32> {
            people[OsStr::from_bytes(name)].iter().map(|line| line.number).collect()
        };
        assert_eq!(
            (of(b"alice"), of(b"bob"), of(b"al"), of(b"\xff")),
            (vec![2, 7], vec![6], vec![9], vec![8])
        );
        assert_eq!((people.len(), nameless), (4, vec![5]));
    }

    #[test]
    fn everybody_is_named_once_and_empty_lines_name_nobody() {
        let file = b"root:x:0:0:root:/root:/bin/sh\n\n:x:1\nalice:x\nroot:x:0\n+\n\xff:x\n";
        let names = [&b"root"[..], b"alice", b"+", b"\xff"].map(OsStr::from_bytes);
        assert_eq!(names_in(file), names);
    }

    #[test]
    fn a_fault_of_one_user_is_reported_and_one_of_all_ends_it() {
        let mut came = Came::default();
        let name = OsStr::new("nobody-of-that-name");
        assert!(came.goes_on(name, Err(Problem::usage("e", "h"))));
        assert!(came.goes_on(name, Err(Problem::declined())));
        assert!(!came.goes_on(name, Err(Problem::unusable("e", "h"))));
        assert_eq!((came.reports.len(), came.ended.map(|problem| problem.exit)), (2, Some(3)));
    }
}
