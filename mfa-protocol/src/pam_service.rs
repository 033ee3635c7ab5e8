//! The lines of a service in `pam.d`, read as libpam reads them: continued lines, comments, brackets,
//! and the files that are taken in.
//!
//! Whoever looks at a stack wants to prove something of it, so what cannot be read is said to be so,
//! and a file that somebody else than root can write is not read at all.

use std::io::{self, Read};
use std::path::Path;

use crate::trusted::{self, Untrusted};

/// Where libpam looks for a service, in this order.
pub const DIRECTORIES: &[&str] = &["/etc/pam.d", "/usr/lib/pam.d"];

/// The largest file that is read.
const MAX_FILE: u64 = 64 * 1024;

/// As deep as libpam follows files that include files (`PAM_SUBSTACK_MAX_LEVEL`).
const MAX_DEPTH: usize = 16;

/// More files than any stack has. Each of them could include all others.
const MAX_FILES: usize = 100;

/// With so many lines no further file is taken in.
const MAX_LINES: usize = 1000;

/// The longest name of a file in `pam.d` that is looked at.
const MAX_NAME: usize = 64;

/// Modules of libpam that ask for nothing that only the user has: nobody shows by them who they are.
const NO_FACTOR: [&str; 27] = [
    "pam_access.so",
    "pam_cap.so",
    "pam_debug.so",
    "pam_deny.so",
    "pam_echo.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_faillock.so",
    "pam_group.so",
    "pam_issue.so",
    "pam_keyinit.so",
    "pam_listfile.so",
    "pam_localuser.so",
    "pam_loginuid.so",
    "pam_motd.so",
    "pam_nologin.so",
    "pam_permit.so",
    "pam_rootok.so",
    "pam_securetty.so",
    "pam_selinux_permit.so",
    "pam_sepermit.so",
    "pam_shells.so",
    "pam_succeed_if.so",
    "pam_time.so",
    "pam_usertype.so",
    "pam_warn.so",
    "pam_wheel.so",
];

/// Modules that judge a password.
const OF_PASSWORDS: [&str; 8] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_pwdfile.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_unix.so",
    "pam_userdb.so",
    "pam_winbind.so",
];

/// Whether a module judges a password, and not something that may stand in for a code.
#[must_use]
pub fn judges_passwords(module: &str) -> bool {
    OF_PASSWORDS.contains(&module)
}

/// Whether a module may judge something that only the user has. Of one that is not known it is assumed.
#[must_use]
pub fn may_be_a_factor(module: &str) -> bool {
    !NO_FACTOR.contains(&module)
}

/// A line, and how many substacks it is in: what ends a stack ends the innermost one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The file that has it, by its name in `pam.d` or its absolute path.
    pub file: String,
    /// Zero for lines of the service itself and those that it includes.
    pub level: usize,
    /// What it does.
    pub part: Part,
}

impl Line {
    /// What follows when its module has returned that (a word of `pam.conf(5)`); nothing where it calls
    /// none.
    #[must_use]
    pub fn action(&self, returned: &str) -> Option<Action> {
        let Part::Module { control, .. } = &self.part else { return None };
        Some(match control.to_ascii_lowercase().as_str() {
            "required" => named(REQUIRED, returned),
            "requisite" => named(REQUISITE, returned),
            "sufficient" => named(SUFFICIENT, returned),
            "optional" => named(OPTIONAL, returned),
            _ => named(control, returned),
        })
    }
}

/// What the words for a control stand for: `pam.conf(5)`.
const REQUIRED: &str = "success=ok new_authtok_reqd=ok ignore=ignore default=bad";
const REQUISITE: &str = "success=ok new_authtok_reqd=ok ignore=ignore default=die";
const SUFFICIENT: &str = "success=done new_authtok_reqd=done default=ignore";
const OPTIONAL: &str = "success=ok new_authtok_reqd=ok default=ignore";

/// What libpam does when a module has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The next line, as if this one were not there.
    Ignore,
    /// The next line; the stack succeeds if nothing else fails.
    Ok,
    /// The same, but it ends the stack, or the substack that the line is in, where nothing has failed.
    Done,
    /// The next line; the stack will fail.
    Bad,
    /// The same, but it ends the stack, or the substack that the line is in.
    Die,
    /// The next line, as if the stack, or the substack, began there.
    Reset,
    /// Not the next line but the one behind so many.
    Jump(usize),
}

/// The last action named for `returned`, or else the first one named for all that is not named. What is
/// named nowhere fails.
fn named(control: &str, returned: &str) -> Action {
    let mut own = None;
    let mut default = None;
    let mut rest = control;
    while let Some((name, behind)) = rest.split_once('=') {
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
        let (action, next) = behind.split_at(end);
        match name.trim() {
            name if name == returned => own = Some(action),
            "default" => default = default.or(Some(action)),
            _ => {}
        }
        rest = next;
    }
    match own.or(default).unwrap_or_default() {
        "ignore" => Action::Ignore,
        "ok" => Action::Ok,
        "done" => Action::Done,
        "die" => Action::Die,
        "reset" => Action::Reset,
        number => number.parse().map_or(Action::Bad, Action::Jump),
    }
}

/// What a line does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It calls a module.
    Module {
        /// `required`, or what stands in the brackets.
        control: String,
        /// The name of its file, without the directory.
        name: String,
        /// What it is given.
        arguments: Vec<String>,
    },
    /// The lines behind it, as far as they are a level deeper, are a substack.
    Substack,
    /// It takes in a file that cannot be read.
    Unreadable,
}

/// The lines of one `kind` (`auth`, `account`, …) in the order in which libpam goes through them, with
/// those of the files that are taken in; none if the service has no file. `load` reads a file: one of
/// `pam.d` by its name, any other by its absolute path.
pub fn read(service: &str, kind: &str, load: &dyn Fn(&str) -> Option<String>) -> Option<Vec<Line>> {
    let mut reader = Reader { kind, load, files: 0, lines: vec![] };
    if service.starts_with('/') {
        return None;
    }
    reader.file(service, 0, 0)?;
    Some(reader.lines)
}

/// Reads the first file of this name in `directories`, or the one at an absolute path.
pub fn load(directories: &[&str], name: &str) -> Result<String, Untrusted> {
    let mut missing = Untrusted::Missing(name.into());
    for directory in directories {
        // An absolute name stands for itself.
        match load_file(&Path::new(directory).join(name)) {
            Err(error @ Untrusted::Missing(_)) => missing = error,
            read => return read,
        }
    }
    Err(missing)
}

fn load_file(path: &Path) -> Result<String, Untrusted> {
    let file = trusted::open_linked(path)?;
    let mut bytes = Vec::new();
    let read = match file.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MAX_FILE => Err(io::ErrorKind::FileTooLarge.into()),
        read => read,
    };
    read.map_err(|source| Untrusted::Io { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Reader<'r> {
    kind: &'r str,
    load: &'r dyn Fn(&str) -> Option<String>,
    files: usize,
    lines: Vec<Line>,
}

/// Where a line stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    file: &'p str,
    depth: usize,
    level: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: &str, depth: usize, level: usize) -> Option<()> {
        self.files += 1;
        let too_many = self.files > MAX_FILES || self.lines.len() > MAX_LINES;
        if depth >= MAX_DEPTH || too_many || !is_file_name(file) {
            return None;
        }
        for line in lines(&(self.load)(file)?) {
            self.line(&line, Place { file, depth, level });
        }
        Some(())
    }

    fn line(&mut self, line: &str, place: Place) {
        let mut words = words(line).into_iter();
        let kind = words.next().unwrap_or_default();
        if kind.eq_ignore_ascii_case("@include") {
            return self.take_in(words.next(), place);
        }
        if !kind.strip_prefix('-').unwrap_or(&kind).eq_ignore_ascii_case(self.kind) {
            return;
        }
        let control = words.next().unwrap_or_default();
        if control.eq_ignore_ascii_case("include") {
            return self.take_in(words.next(), place);
        }
        if control.eq_ignore_ascii_case("substack") {
            self.push(place, Part::Substack);
            return self.take_in(words.next(), Place { level: place.level + 1, ..place });
        }
        // libpam refuses at a line without a module.
        let Some(path) = words.next() else { return };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        self.push(place, Part::Module { control, name, arguments: words.collect() });
    }

    fn take_in(&mut self, name: Option<String>, place: Place) {
        if name.and_then(|name| self.file(&name, place.depth + 1, place.level)).is_none() {
            self.push(place, Part::Unreadable);
        }
    }

    fn push(&mut self, Place { file, level, .. }: Place, part: Part) {
        self.lines.push(Line { file: file.to_owned(), level, part });
    }
}

/// A name must not lead out of `pam.d`, but an administrator may have written an absolute path.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    name.starts_with('/')
        || (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// The lines of a file, those that are continued put together, without comments.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in text.split('\n') {
        let part = part.trim_start_matches(BLANK);
        let (part, comment) = match part.split_once('#') {
            Some((part, _)) => (part, true),
            None => (part, false),
        };
        // Lines of nothing else do not end one that is continued.
        if part.is_empty() {
            continue;
        }
        match part.trim_end_matches(BLANK).strip_suffix('\\') {
            Some(part) if !comment => {
                line.push_str(part);
                line.push(' ');
            }
            _ => {
                line.push_str(part);
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    lines
}

/// The words of a line. What is in brackets is one, `\]` in it is no end.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(BLANK);
    while !rest.is_empty() {
        let (word, behind) = if let Some(inside) = rest.strip_prefix('[') {
            bracketed(inside)
        } else {
            let (word, behind) = rest.split_at(rest.find(BLANK).unwrap_or(rest.len()));
            (word.to_owned(), behind)
        };
        words.push(word);
        rest = behind.trim_start_matches(BLANK);
    }
    words
}

fn bracketed(inside: &str) -> (String, &str) {
    let mut word = String::new();
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            ']' if escaped => {
                word.pop();
                word.push(']');
            }
            ']' => return (word, inside.get(at + 1..).unwrap_or_default()),
            _ => word.push(c),
        }
        escaped = c == '\\';
    }
    (word, "")
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// The `auth` lines of these files, of which the first is the service's: `level module(control)`.
    fn read_all(files: &[(&str, &str)]) -> Option<Vec<String>> {
        let load = |name: &str| {
            let file = files.iter().find(|file| file.0 == name)?;
            Some(file.1.to_owned())
        };
        let lines = read(files[0].0, "auth", &load)?;
        let show = |line: Line| match line.part {
            Part::Module { control, name, arguments } => {
                [vec![format!("{} {name}({control})", line.level)], arguments].concat().join(" ")
            }
            part => format!("{} {part:?}", line.level),
        };
        Some(lines.into_iter().map(show).collect())
    }

    fn read_one(file: &str) -> Vec<String> {
        read_all(&[("sshd", file)]).unwrap()
    }

    #[test]
    fn a_line_is_understood_however_it_is_written() {
        for (file, expected) in [
            ("auth required pam_x.so", "0 pam_x.so(required)"),
            ("-auth required pam_x.so", "0 pam_x.so(required)"),
            ("AUTH\t Required\tpam_x.so  debug", "0 pam_x.so(Required) debug"),
            ("auth [a=1 default=bad] /usr/lib64/security/pam_x.so", "0 pam_x.so(a=1 default=bad)"),
            ("auth required /lib/security/$ISA/pam_x.so", "0 pam_x.so(required)"),
            (r"auth [a=ok \] b=die]pam_x.so", "0 pam_x.so(a=ok ] b=die)"),
            ("auth required pam_x.so [prompt=a b: ] c", "0 pam_x.so(required) prompt=a b:  c"),
            ("auth required pam_x.so # debug", "0 pam_x.so(required)"),
            ("auth required pam_x.so debug#more \\", "0 pam_x.so(required) debug"),
            ("  auth \\\n required\\\n\n# between\n  pam_x.so", "0 pam_x.so(required)"),
            ("auth required pam_x.so \\\n debug", "0 pam_x.so(required) debug"),
            ("auth required pam_x.so\r", "0 pam_x.so\r(required)"),
            ("auth [required pam_x.so\nauth required pam_y.so", "0 pam_y.so(required)"),
        ] {
            assert_eq!(read_one(file), [expected], "{file}");
        }
        for file in [
            "",
            "\n \n",
            "# auth required pam_x.so",
            "account required pam_x.so",
            "account required \\\nauth required pam_x.so",
            "auth required",
            "auth",
            "[",
        ] {
            assert!(read_one(file).is_empty(), "{file}");
        }
    }

    /// `pam.conf(5)`, section on the complicated syntax.
    #[test]
    fn a_line_does_what_its_control_says_of_what_its_module_returned() {
        use Action::{Bad, Die, Done, Ignore, Jump, Ok, Reset};
        for (control, expected) in [
            ("required", [Ok, Ignore, Bad, Ok]),
            ("Requisite", [Ok, Ignore, Die, Ok]),
            ("sufficient", [Done, Ignore, Ignore, Done]),
            ("[optional]", [Ok, Ignore, Ignore, Ok]),
            ("[success=1 default=ignore]", [Jump(1), Ignore, Ignore, Ignore]),
            ("[success = ok auth_err = die default=reset]", [Ok, Reset, Die, Reset]),
            ("[default=done default=die ignore=ok ignore=bad]", [Done, Bad, Done, Done]),
            ("[success=ok]", [Ok, Bad, Bad, Bad]),
            ("[success=okay default=12]", [Bad, Jump(12), Jump(12), Jump(12)]),
            ("requiered", [Bad, Bad, Bad, Bad]),
        ] {
            let line = format!("auth {control} pam_x.so\nauth substack common");
            let lines = read("sshd", "auth", &|_| Some(line.clone())).unwrap();
            let actions = ["success", "ignore", "auth_err", "new_authtok_reqd"]
                .map(|returned| lines[0].action(returned).unwrap());
            assert_eq!(actions, expected, "{control}");
            assert_eq!(lines[1].action("success"), None);
        }
    }

    #[test]
    fn a_line_says_which_file_has_it() {
        let lines = read("sshd", "auth", &|name| {
            Some(match name {
                "sshd" => "auth required pam_x.so\n@include common\n@include missing\n".to_owned(),
                "common" => "auth required pam_x.so\nauth substack /etc/more\n".to_owned(),
                "/etc/more" => "auth required pam_x.so\n".to_owned(),
                _ => return None,
            })
        });
        let files: Vec<_> = lines.unwrap().into_iter().map(|line| line.file).collect();
        assert_eq!(files, ["sshd", "common", "common", "/etc/more", "sshd"]);
    }

    #[test]
    fn files_that_are_taken_in_are_part_of_the_stack() {
        let common = ("common", "auth required pam_x.so\naccount required pam_y.so\n");
        let x = "0 pam_x.so(required)";
        let inner = ["0 Substack", "1 pam_x.so(required)"];
        for (line, expected) in [
            ("@include common", &[x][..]),
            ("auth include common", &[x]),
            ("-auth Include common", &[x]),
            ("auth substack common", &inner),
            ("account include common", &[]),
            ("@include missing", &["0 Unreadable"]),
            ("@include", &["0 Unreadable"]),
            ("auth include ../common", &["0 Unreadable"]),
            ("auth substack missing", &["0 Substack", "1 Unreadable"]),
        ] {
            assert_eq!(read_all(&[("sshd", line), common]).unwrap(), expected, "{line}");
        }
        let by_path = ("/etc/more", "auth required pam_x.so");
        assert_eq!(read_all(&[("sshd", "auth include /etc/more"), by_path]).unwrap(), [x]);
        // As in libpam, what a substack includes is in the substack.
        let nested = [("sshd", "auth substack a"), ("a", "@include common"), common];
        assert_eq!(read_all(&nested).unwrap(), inner);
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_directory() {
        let long = "x".repeat(MAX_NAME + 1);
        for service in
            ["", "/sshd", "../sshd", "a/b", ".sshd", "ss hd", "sshd\n", "sshd\u{e4}", &long]
        {
            assert_eq!(read_all(&[(service, "auth required pam_x.so")]), None, "{service:?}");
        }
    }

    #[test]
    fn files_that_include_themselves_come_to_an_end() {
        let loads = Cell::new(0);
        let lines = read("sshd", "auth", &|_| {
            loads.set(loads.get() + 1);
            Some("@include sshd\nauth substack sshd\n".to_owned())
        });
        assert!(lines.unwrap().iter().any(|line| line.part == Part::Unreadable));
        assert!((MAX_DEPTH..=MAX_FILES).contains(&loads.get()), "{}", loads.get());
    }

    #[test]
    fn a_stack_has_an_end_however_often_a_file_is_taken_in() {
        let main = "@include long\n".repeat(3);
        let long = "auth required pam_x.so\n".repeat(MAX_LINES);
        let lines = read_all(&[("sshd", &main), ("long", &long)]).unwrap();
        assert_eq!(lines.len(), 2 * MAX_LINES + 1);
        assert_eq!(lines.last().unwrap(), "0 Unreadable");
    }

    #[test]
    fn the_first_file_is_read_that_nobody_but_root_can_have_written() {
        let home = format!("/var/cache/pam_mfa-tests/unit/pam_service-{}", std::process::id());
        let [ours, vendors] = ["etc", "usr"].map(|name| format!("{home}/{name}"));
        let both = [ours.as_str(), vendors.as_str()];
        fs::create_dir_all(&ours).expect("these tests run as root");
        fs::create_dir_all(&vendors).unwrap();
        let missing = load(&both, "sshd");
        fs::write(format!("{vendors}/sshd"), "vendor's").unwrap();
        let second = load(&both, "sshd");
        fs::write(format!("{ours}/target"), "ours").unwrap();
        symlink("target", format!("{ours}/sshd")).unwrap();
        let first = load(&both, "sshd");
        let by_path = load(&both, &format!("{vendors}/sshd"));
        fs::set_permissions(format!("{ours}/target"), fs::Permissions::from_mode(0o664)).unwrap();
        let foreign = load(&both, "sshd");
        let limit = usize::try_from(MAX_FILE).unwrap();
        fs::write(format!("{vendors}/large"), " ".repeat(limit)).unwrap();
        fs::write(format!("{vendors}/larger"), " ".repeat(limit + 1)).unwrap();
        let [large, larger] = ["large", "larger"].map(|name| load(&both, name));
        fs::remove_dir_all(&home).unwrap();

        assert!(matches!(missing, Err(Untrusted::Missing(_))), "{missing:?}");
        assert_eq!(second.unwrap(), "vendor's");
        assert_eq!(first.unwrap(), "ours");
        assert_eq!(by_path.unwrap(), "vendor's");
        // The other file is not the one that libpam would take.
        assert!(matches!(foreign, Err(Untrusted::Unsafe { .. })), "{foreign:?}");
        assert_eq!(large.unwrap().len(), limit);
        assert!(larger.unwrap_err().to_string().contains("too large"));
    }
}
