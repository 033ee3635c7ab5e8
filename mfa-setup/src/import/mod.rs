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
use crate::problem::{DONE, Problem, REFUSED};
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
        let (reports, how) = match import {
            cli::Import::GoogleAuthenticator { all: true, how, .. } => {
                (self.import_homes(how)?, how)
            }
            cli::Import::GoogleAuthenticator { file, how, .. } => {
                (vec![self.import_file(file.as_deref(), how)?], how)
            }
            cli::Import::PamOath { file, without_pin, how, .. } => {
                let path = file.as_deref().unwrap_or(Path::new(USERS_OATH));
                (self.import_users_file(path, *without_pin, how)?, how)
            }
        };
        self.answer(&ImportedAnswer::new(&reports), || text::imported(&reports, how.dry_run))?;
        let all = reports.iter().all(|report| report.problem.is_none());
        Ok(if all { DONE } else { REFUSED })
    }

    /// The file of one user. What keeps it from being read is an error of the whole.
    fn import_file(&mut self, path: Option<&Path>, how: &ImportHow) -> Result<Report, Problem> {
        let name = self.user()?;
        let user = known(&name)?;
        let found = if let Some(path) = path {
            file::named(path, &user)?
        } else {
            let path = in_home(&user);
            file::of_user(&path, &user, true)?.ok_or_else(|| file::missing(&path))?
        };
        let request = request(Origin::GoogleAuthenticator, lines(&found), how, false);
        self.take_over(&name, &request)
    }

    /// The files in all homes. Who has none is not named; what is wrong with one ends nothing.
    fn import_homes(&mut self, how: &ImportHow) -> Result<Vec<Report>, Problem> {
        let mut reports = Vec::new();
        for user in everybody()? {
            let name = OsStr::new(&user.name);
            // Homes are shared, as / is: what is root's there is not everybody's.
            let report = match file::of_user(&in_home(&user), &user, false) {
                Ok(None) => continue,
                Ok(Some(found)) => {
                    let lines = lines(&found);
                    self.take_over(name, &request(Origin::GoogleAuthenticator, lines, how, false))
                }
                Err(problem) => Err(problem),
            };
            reports.push(report.unwrap_or_else(|problem| Report::of_problem(name, &problem)));
        }
        Ok(reports)
    }

    /// One user's lines of a file of all, or everybody's.
    fn import_users_file(
        &mut self,
        path: &Path,
        without_pin: bool,
        how: &ImportHow,
    ) -> Result<Vec<Report>, Problem> {
        let found = file::of_root(path)?;
        let (mut people, nameless) = by_user(&found);
        if let Some(name) = self.global.user.clone() {
            let lines = people.remove(name.as_os_str()).ok_or_else(|| {
                let (path, name) = (printed(path.as_os_str()), printed(&name));
                Problem::usage(
                    format!("{path} has no line of {name}"),
                    "look at the spelling, or leave --user out for all in it",
                )
            })?;
            let request = request(Origin::PamOath, lines, how, without_pin);
            return Ok(vec![self.take_over(&name, &request)?]);
        }
        let mut reports: Vec<Report> = people
            .into_iter()
            .map(|(name, lines)| {
                let request = request(Origin::PamOath, lines, how, without_pin);
                self.take_over(&name, &request)
                    .unwrap_or_else(|problem| Report::of_problem(&name, &problem))
            })
            .collect();
        if !nameless.is_empty() {
            let skipped = nameless
                .into_iter()
                .map(|line| SkippedLine { line, why: "the line is cut".into() });
            let imported = Imported { skipped: skipped.collect(), ..Imported::default() };
            reports.push(Report {
                user: None,
                uid: None,
                imported,
                problem: Some("these lines name nobody".into()),
            });
        }
        Ok(reports)
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

fn request(origin: Origin, lines: Vec<ImportLine>, how: &ImportHow, without_pin: bool) -> Import {
    Import { origin, lines, label: how.label.clone(), without_pin, dry_run: how.dry_run }
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
    let (mut everybody, mut names) = (Vec::new(), BTreeSet::new());
    for line in content.split(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let user = known(OsStr::from_bytes(name)).ok().filter(|user| user.dir.is_absolute());
        everybody.extend(user.filter(|user| names.insert(user.name.clone())));
    }
    Ok(everybody)
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
    fn everybody_is_who_the_system_knows_each_once() {
        let everybody = everybody().unwrap();
        assert_eq!(everybody.iter().filter(|user| user.uid.is_root()).count(), 1);
    }
}
