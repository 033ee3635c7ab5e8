//! The `auth` lines of a service, read as libpam reads them: to see that what `forward_pass` splits
//! off is judged by a line behind it.
//!
//! Only what is proven counts. Where a file cannot be read, nothing is.

/// As deep as libpam follows files that include files (`PAM_SUBSTACK_MAX_LEVEL`).
const MAX_DEPTH: usize = 16;

/// More files than any stack has. Each of them could include all others.
const MAX_FILES: usize = 100;

/// The longest name of a file in `pam.d` that is looked at.
const MAX_NAME: usize = 64;

/// Modules of libpam that nobody has to satisfy with something that only the user has.
const NO_FIRST_FACTOR: [&str; 7] = [
    "pam_deny.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_group.so",
    "pam_nologin.so",
    "pam_permit.so",
    "pam_warn.so",
];

/// What is wrong with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Password and code are split, and the code is judged by nobody.
    #[error("behind the line with forward_pass there is none that judges the code")]
    NotJudged,
    /// The password is set, which looks like a first factor to the verifier, and judged by nobody.
    #[error("there is a line with forward_pass, and none that judges the password")]
    NoFirstFactor,
}

impl Fault {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotJudged => {
                "add \"auth required pam_mfa.so\" behind the line of the first factor, or take \
                 forward_pass away"
            }
            Self::NoFirstFactor => {
                "add \"auth requisite pam_unix.so use_first_pass\" behind it, or take the line away"
            }
        }
    }
}

/// Why nothing is known of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// No file of that name can be read.
    #[error("its file cannot be read")]
    NoFile,
    /// The stack that runs is another one.
    #[error("no line with forward_pass is in its file")]
    OtherStack,
    /// A file that is included cannot be read.
    #[error("a file that it includes cannot be read")]
    Include,
}

/// What is known of a stack that has a line with `forward_pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Password and code are both judged.
    Sound,
    /// It must not be used.
    Faulty(Fault),
    /// It may be sound or not.
    Unseen(Unseen),
}

/// Looks at the stack of `service`. `load` reads a file: one of `pam.d` by its name, any other by its
/// absolute path.
pub fn look(service: &str, load: &dyn Fn(&str) -> Option<String>) -> Finding {
    let mut stack = Stack { load, files: 0, lines: vec![] };
    if service.starts_with('/') || stack.read(service, 0).is_none() {
        return Finding::Unseen(Unseen::NoFile);
    }
    // The last one: a line that judges has to stand behind each.
    let Some(splits) = stack.lines.iter().rposition(|line| *line == Auth::Splits) else {
        return Finding::Unseen(Unseen::OtherStack);
    };
    let mut behind = stack.lines.iter().skip(splits);
    if !behind.clone().any(|line| *line == Auth::Judges) {
        return if behind.any(|line| *line == Auth::Unreadable) {
            Finding::Unseen(Unseen::Include)
        } else {
            Finding::Faulty(Fault::NotJudged)
        };
    }
    if stack.lines.iter().any(|line| matches!(line, Auth::FirstFactor | Auth::Unreadable)) {
        Finding::Sound
    } else {
        Finding::Faulty(Fault::NoFirstFactor)
    }
}

/// What an `auth` line is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    /// `pam_mfa.so` with `forward_pass`.
    Splits,
    /// `pam_mfa.so` without it.
    Judges,
    /// Another module, which may be a first factor.
    FirstFactor,
    /// Another module, which is none.
    Other,
    /// A file that is included, and is not known.
    Unreadable,
}

struct Stack<'l> {
    load: &'l dyn Fn(&str) -> Option<String>,
    files: usize,
    lines: Vec<Auth>,
}

impl Stack<'_> {
    fn read(&mut self, name: &str, depth: usize) -> Option<()> {
        self.files += 1;
        if depth >= MAX_DEPTH || self.files > MAX_FILES || !is_file_name(name) {
            return None;
        }
        for line in lines(&(self.load)(name)?) {
            self.read_line(&line, depth);
        }
        Some(())
    }

    fn read_line(&mut self, line: &str, depth: usize) {
        let mut words = words(line).into_iter();
        let kind = words.next().unwrap_or_default();
        if kind.eq_ignore_ascii_case("@include") {
            return self.include(words.next(), depth);
        }
        if !kind.strip_prefix('-').unwrap_or(&kind).eq_ignore_ascii_case("auth") {
            return;
        }
        let control = words.next().unwrap_or_default();
        if ["include", "substack"].iter().any(|word| control.eq_ignore_ascii_case(word)) {
            return self.include(words.next(), depth);
        }
        let Some(module) = words.next() else { return };
        let module = module.rsplit('/').next().unwrap_or_default();
        self.lines.push(match module {
            "pam_mfa.so" if words.any(|argument| argument == "forward_pass") => Auth::Splits,
            "pam_mfa.so" => Auth::Judges,
            _ if NO_FIRST_FACTOR.contains(&module) => Auth::Other,
            _ => Auth::FirstFactor,
        });
    }

    fn include(&mut self, name: Option<String>, depth: usize) {
        if name.and_then(|name| self.read(&name, depth + 1)).is_none() {
            self.lines.push(Auth::Unreadable);
        }
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

    const SPLITS: &str = "auth required pam_mfa.so forward_pass\n";
    const UNIX: &str = "auth requisite pam_unix.so use_first_pass\n";
    const JUDGES: &str = "auth required pam_mfa.so\n";

    const SOUND: Finding = Finding::Sound;
    const NOT_JUDGED: Finding = Finding::Faulty(Fault::NotJudged);
    const UNPROVEN: Finding = Finding::Faulty(Fault::NoFirstFactor);

    /// The finding on these files, of which the first is the service's.
    fn of(files: &[(&str, &str)]) -> Finding {
        look(files[0].0, &|name| {
            let file = files.iter().find(|file| file.0 == name)?;
            Some(file.1.to_owned())
        })
    }

    fn of_one(file: &str) -> Finding {
        of(&[("sshd", file)])
    }

    #[test]
    fn a_line_that_judges_has_to_stand_behind_the_one_that_splits() {
        assert_eq!(of_one(&[SPLITS, UNIX, JUDGES].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, UNIX].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[JUDGES, SPLITS, UNIX].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[SPLITS, UNIX, JUDGES, SPLITS].concat()), NOT_JUDGED);
        assert_eq!(of_one(&[SPLITS, UNIX, SPLITS, JUDGES].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, SPLITS].concat()), NOT_JUDGED);
        assert_eq!(of_one(SPLITS), NOT_JUDGED);
    }

    #[test]
    fn a_line_is_understood_however_it_is_written() {
        for line in [
            "auth required pam_mfa.so",
            "-auth required pam_mfa.so",
            "AUTH\t Required\tpam_mfa.so  debug",
            "auth [success=1 default=bad] /usr/lib64/security/pam_mfa.so",
            "auth required /lib/security/$ISA/pam_mfa.so",
            "auth [success=ok \\] default=die]pam_mfa.so",
            "auth required pam_mfa.so [prompt=x forward_pass: ]",
            "auth required pam_mfa.so # forward_pass",
            "auth required pam_mfa.so debug#forward_pass \\",
            "  auth \\\n required\\\n\n# between\n  pam_mfa.so",
            "auth required pam_mfa.so FORWARD_PASS",
        ] {
            assert_eq!(of_one(&[SPLITS, UNIX, line, "\n"].concat()), SOUND, "{line}");
            assert_eq!(of_one(&[SPLITS, UNIX, line].concat()), SOUND, "{line}");
        }
        for line in [
            "",
            "# auth required pam_mfa.so",
            "account required pam_mfa.so",
            "session required pam_mfa.so",
            "auth required pam_mfa",
            "auth required pam_mfa.so.bak",
            "auth required pam_mfa.so\r",
            "auth required xpam_mfa.so",
            "auth required pam_unix.so pam_mfa.so",
            "auth required",
            "auth",
            "[",
            "auth [required pam_mfa.so",
            "account required \\\nauth required pam_mfa.so",
            "auth required pam_mfa.so [forward_pass]",
            "auth required pam_mfa.so debug \\\n forward_pass",
        ] {
            assert_eq!(of_one(&[SPLITS, UNIX, line, "\n"].concat()), NOT_JUDGED, "{line}");
        }
    }

    #[test]
    fn files_that_are_included_are_part_of_the_stack() {
        for include in [
            "@include common\n",
            "auth include common\n",
            "auth substack common\n",
            "-auth Include common\n",
        ] {
            let files =
                |common| of(&[("sshd", &[SPLITS, UNIX, include].concat()), ("common", common)]);
            assert_eq!(files(JUDGES), SOUND, "{include}");
            assert_eq!(files(UNIX), NOT_JUDGED, "{include}");
            let splits = of(&[("sshd", &[include, UNIX].concat()), ("common", SPLITS)]);
            assert_eq!(splits, NOT_JUDGED, "{include}");
        }
        let by_path = [SPLITS, UNIX, "auth include /etc/more\n"].concat();
        assert_eq!(of(&[("sshd", &by_path), ("/etc/more", JUDGES)]), SOUND);
        let of_account = [SPLITS, UNIX, "account include common\n"].concat();
        assert_eq!(of(&[("sshd", &of_account), ("common", JUDGES)]), NOT_JUDGED);
    }

    #[test]
    fn without_a_first_factor_the_password_proves_nothing() {
        let permit = "auth required pam_permit.so\n";
        assert_eq!(of_one(&[SPLITS, JUDGES, permit].concat()), UNPROVEN);
        assert_eq!(of_one(&[SPLITS, JUDGES].concat()), UNPROVEN);
        assert_eq!(of_one(&[SPLITS, "account required pam_unix.so\n", JUDGES].concat()), UNPROVEN);
        assert_eq!(of_one(&[SPLITS, JUDGES, "auth required pam_foreign.so\n"].concat()), SOUND);
        assert_eq!(of_one(&[SPLITS, "@include missing\n", JUDGES].concat()), SOUND);
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        let unseen = |files: &[(&str, &str)], why| assert_eq!(of(files), Finding::Unseen(why));
        unseen(&[("sshd", &[UNIX, JUDGES].concat())], Unseen::OtherStack);
        unseen(&[("sshd", "")], Unseen::OtherStack);
        unseen(&[("sshd", &[SPLITS, UNIX, "@include missing\n"].concat())], Unseen::Include);
        unseen(&[("sshd", &[SPLITS, UNIX, "@include\n"].concat())], Unseen::Include);
        unseen(
            &[("sshd", &[SPLITS, UNIX, "@include ../x\n"].concat()), ("../x", "")],
            Unseen::Include,
        );
        // What is before the line that splits is not behind it.
        assert_eq!(of_one(&["@include missing\n", SPLITS, UNIX].concat()), NOT_JUDGED);

        let long = "x".repeat(MAX_NAME + 1);
        for service in
            ["", "/sshd", "../sshd", "a/b", ".sshd", "ss hd", "sshd\n", "sshd\u{e4}", &long]
        {
            let file = [SPLITS, UNIX].concat();
            assert_eq!(of(&[(service, &file)]), Finding::Unseen(Unseen::NoFile), "{service:?}");
        }
    }

    #[test]
    fn files_that_include_themselves_come_to_an_end() {
        let circle = [SPLITS, "@include sshd\n@include sshd\n"].concat();
        let loads = Cell::new(0);
        let finding = look("sshd", &|_| {
            loads.set(loads.get() + 1);
            Some(circle.clone())
        });
        assert_eq!(finding, Finding::Unseen(Unseen::Include));
        assert!(loads.get() <= MAX_FILES, "{}", loads.get());
    }
}
