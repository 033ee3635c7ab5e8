//! The arguments of the module's line in `pam.d`.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use mfa_protocol::connect::Verifier;

/// The longest prompt: `PAM_MAX_MSG_SIZE`, what hosts must be able to show.
const MAX_PROMPT: usize = 512;

/// Digits of a code where `digits=` does not say how many: what nearly every app shows.
const DIGITS: usize = 6;

type Flag = fn(&mut Arguments);
type Value = fn(&mut Arguments, &[u8]) -> Result<(), Problem>;

/// What is said by a name alone.
const FLAGS: [(&str, Flag); 6] = [
    ("nullok", |line| line.nullok = true),
    ("try_first_pass", |line| line.try_first_pass = true),
    ("forward_pass", |line| line.forward_pass = true),
    ("echo", |line| line.echo = true),
    ("echo_verification_code", |line| line.echo = true),
    ("debug", |line| line.debug = true),
];

/// What is said with a value.
const VALUES: [(&str, Value); 6] = [
    ("config", |line, value| path(value).map(|path| line.verifier.config = Some(path))),
    ("verifier", |line, value| path(value).map(|path| line.verifier.program = Some(path))),
    ("socket", |line, value| path(value).map(|path| line.verifier.socket = Some(path))),
    ("prompt", |line, value| prompt(value).map(|prompt| line.prompt = Some(prompt))),
    ("authtok_prompt", |line, value| prompt(value).map(|prompt| line.prompt = Some(prompt))),
    ("digits", |line, value| digits(value).map(|digits| line.digits = Some(digits))),
];

/// What the line in `pam.d` asks for.
#[derive(Debug, Default)]
pub struct Arguments {
    /// `config=`, `verifier=`, `socket=`.
    pub verifier: Verifier,
    /// `nullok`: `required` counts as `optional` here.
    pub nullok: bool,
    /// `try_first_pass`: judge, or split, the password that was given before asking.
    pub try_first_pass: bool,
    /// `forward_pass`: judge nothing, split password and code.
    forward_pass: bool,
    /// `digits=`: how many a code has that is split off.
    digits: Option<usize>,
    /// `prompt=` or `authtok_prompt=`.
    pub prompt: Option<String>,
    /// `echo` or `echo_verification_code`.
    pub echo: bool,
    /// `debug`.
    pub debug: bool,
}

/// An argument that is not accepted. A line that is half understood protects nothing, so the whole
/// module refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument {argument} {problem}")]
pub struct Refused {
    argument: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("is not known")]
    Unknown,
    #[error("is of use with forward_pass only")]
    Alone,
    #[error("needs an absolute path")]
    NotAbsolute,
    #[error("needs a text of 1 to {MAX_PROMPT} bytes")]
    BadPrompt,
    #[error("needs a number from 6 to 8")]
    BadDigits,
}

impl Refused {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.problem {
            Problem::Unknown => {
                "known are config=PATH verifier=PATH socket=PATH nullok try_first_pass forward_pass \
                 digits=N prompt=TEXT echo debug; one with blanks in it is written in brackets, \
                 [prompt=Your code: ]"
            }
            Problem::Alone => "take it off the line in pam.d, or put it on that with forward_pass",
            Problem::NotAbsolute => "begin the path with a slash",
            Problem::BadPrompt => "shorten it, or leave it out for the configured prompt",
            Problem::BadDigits => "say how many digits the codes of the users' devices have",
        }
    }
}

impl Arguments {
    /// Reads the arguments in order; where one is given twice, the last counts.
    pub fn parse(arguments: &[&CStr]) -> Result<Self, Refused> {
        let refused = |argument: &CStr, problem| Refused {
            argument: String::from_utf8_lossy(argument.to_bytes()).into_owned(),
            problem,
        };
        let mut parsed = Self::default();
        for argument in arguments {
            parsed.read(argument.to_bytes()).map_err(|problem| refused(argument, problem))?;
        }
        let digits = arguments.iter().find(|argument| argument.to_bytes().starts_with(b"digits="));
        match digits {
            Some(digits) if !parsed.forward_pass => Err(refused(digits, Problem::Alone)),
            _ => Ok(parsed),
        }
    }

    /// Under `forward_pass`: how many digits the code has that is split off.
    #[must_use]
    pub fn forwards(&self) -> Option<usize> {
        self.forward_pass.then(|| self.digits.unwrap_or(DIGITS))
    }

    fn read(&mut self, argument: &[u8]) -> Result<(), Problem> {
        match split(argument) {
            (name, None) => find(&FLAGS, name)?(self),
            (name, Some(value)) => find(&VALUES, name)?(self, value)?,
        }
        Ok(())
    }
}

fn find<T: Copy>(known: &[(&str, T)], name: &[u8]) -> Result<T, Problem> {
    let found = known.iter().find(|(known, _)| known.as_bytes() == name);
    found.map(|(_, set)| *set).ok_or(Problem::Unknown)
}

/// `name=value`, or a name alone.
fn split(argument: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = argument.splitn(2, |&byte| byte == b'=');
    (parts.next().unwrap_or_default(), parts.next())
}

fn path(value: &[u8]) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(OsStr::from_bytes(value));
    if path.is_absolute() { Ok(path) } else { Err(Problem::NotAbsolute) }
}

fn prompt(value: &[u8]) -> Result<String, Problem> {
    match value.len() {
        1..=MAX_PROMPT => Ok(String::from_utf8_lossy(value).into_owned()),
        _ => Err(Problem::BadPrompt),
    }
}

fn digits(value: &[u8]) -> Result<usize, Problem> {
    match value {
        b"6" => Ok(6),
        b"7" => Ok(7),
        b"8" => Ok(8),
        _ => Err(Problem::BadDigits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::{insets, plain, tags, under};
    use std::collections::BTreeSet;
    use std::ffi::CString;
    use std::path::Path;

    const MANUAL: &str = include_str!("../../doc/man/pam_mfa.8");
    const README: &str = include_str!("../../README.md");
    const GUIDE: &str = include_str!("../../doc/guide/install.md");

    /// Every argument, that with a value up to the `=`.
    fn known() -> BTreeSet<String> {
        let values = VALUES.iter().map(|(name, _)| format!("{name}="));
        FLAGS.iter().map(|(name, _)| (*name).to_owned()).chain(values).collect()
    }

    /// Without the value's name.
    fn name(shown: &str) -> String {
        let end = shown.find('=').map_or(shown.len(), |sign| sign + 1);
        shown[..end].to_owned()
    }

    #[test]
    fn manual_and_readme_have_every_argument_and_no_other() {
        let manual: Vec<_> =
            tags(under(MANUAL, ".SH ARGUMENTS")).iter().map(|tag| name(tag)).collect();
        assert_eq!(manual.len(), known().len(), "{manual:?}");
        assert_eq!(BTreeSet::from_iter(manual), known());
        let table = GUIDE.split("\n## Arguments of the module\n").nth(1).unwrap();
        let rows =
            table.split("\n#").next().unwrap().lines().filter(|line| line.starts_with("| `"));
        let guide =
            rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
        assert_eq!(guide.map(name).collect::<BTreeSet<_>>(), known());
    }

    #[test]
    fn what_is_shown_in_short_is_every_argument_by_its_first_name() {
        let aliases = ["authtok_prompt=", "echo_verification_code"];
        let mut short = known();
        short.retain(|name| !aliases.contains(&name.as_str()));
        let words = |text: &str| -> BTreeSet<String> {
            let words = text.split(['[', ']', ' ', '\n']).filter(|word| !word.is_empty());
            words.skip_while(|word| *word != "pam_mfa.so").skip(1).map(name).collect()
        };
        let synopsis: Vec<_> = under(MANUAL, ".SH SYNOPSIS").lines().map(plain).collect();
        // A line that ends in \c goes on with the next.
        assert_eq!(words(&synopsis.join(" ").replace("= ", "=")), short);
        let guide = GUIDE.split("\n    auth required pam_mfa.so [").nth(1).unwrap();
        let guide = guide.split("\n\n").next().unwrap();
        assert_eq!(words(&format!("pam_mfa.so {guide}")), short);
        let hint = Refused { argument: String::new(), problem: Problem::Unknown }.hint();
        let hint = hint.strip_prefix("known are ").unwrap().split(';').next().unwrap();
        assert_eq!(words(&format!("pam_mfa.so {hint}")), short);
    }

    #[test]
    fn the_manual_shows_stacks_that_are_shipped() {
        let shipped = [
            include_str!("../../config/pam.d/sshd"),
            include_str!("../../config/pam.d/sshd-key"),
            include_str!("../../config/pam.d/sshd-forward-pass"),
        ];
        let auth = |line: &&str| line.starts_with("auth ") || line.contains("common-auth");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        let shipped = shipped.map(|file| {
            file.lines().filter(|line| !line.starts_with('#')).filter(auth).map(words).collect()
        });
        let stacks = [under(MANUAL, ".SH STACKS"), under(MANUAL, ".SH ONE QUESTION FOR BOTH")];
        assert_eq!(stacks.map(insets).concat(), shipped.map(|lines: String| lines));
    }

    #[test]
    fn the_ways_out_in_the_manual_are_those_of_the_readme() {
        let readme =
            README.split("\n## Locked out?\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let typed: Vec<_> = readme
            .split("```sh\n")
            .skip(1)
            .map(|block| block.split("```").next().unwrap())
            .collect();
        assert_eq!(insets(under(MANUAL, ".SH LOCKED OUT")), typed);
    }

    fn parse(line: &[&str]) -> Result<Arguments, Refused> {
        let owned: Vec<_> = line.iter().map(|argument| CString::new(*argument).unwrap()).collect();
        Arguments::parse(&owned.iter().map(CString::as_c_str).collect::<Vec<_>>())
    }

    #[test]
    fn an_empty_line_asks_for_nothing() {
        let arguments = parse(&[]).unwrap();
        let Verifier { program, config, socket } = &arguments.verifier;
        assert!(program.is_none() && config.is_none() && socket.is_none());
        assert!(arguments.prompt.is_none());
        let Arguments { nullok, try_first_pass, echo, debug, .. } = arguments;
        assert_eq!([nullok, try_first_pass, echo, debug], [false; 4]);
    }

    #[test]
    fn each_argument_sets_its_own_field() {
        let arguments = parse(&[
            "config=/etc/a.toml",
            "verifier=/opt/v",
            "socket=/run/s",
            "prompt=Your code = ",
        ])
        .unwrap();
        assert_eq!(arguments.verifier.config.as_deref(), Some(Path::new("/etc/a.toml")));
        assert_eq!(arguments.verifier.program.as_deref(), Some(Path::new("/opt/v")));
        assert_eq!(arguments.verifier.socket.as_deref(), Some(Path::new("/run/s")));
        assert_eq!(arguments.prompt.as_deref(), Some("Your code = "));

        assert_eq!(parse(&["authtok_prompt=OTP: "]).unwrap().prompt.as_deref(), Some("OTP: "));
        for (flag, expected) in [
            ("nullok", [true, false, false, false]),
            ("try_first_pass", [false, true, false, false]),
            ("echo", [false, false, true, false]),
            ("echo_verification_code", [false, false, true, false]),
            ("debug", [false, false, false, true]),
        ] {
            let Arguments { nullok, try_first_pass, echo, debug, .. } = parse(&[flag]).unwrap();
            assert_eq!([nullok, try_first_pass, echo, debug], expected, "{flag}");
        }
    }

    #[test]
    fn forward_pass_splits_off_six_digits_or_as_many_as_are_said() {
        let forwards = |line: &[&str]| parse(line).unwrap().forwards();
        assert_eq!(forwards(&[]), None);
        assert_eq!(forwards(&["forward_pass"]), Some(6));
        for (digits, expected) in [("digits=6", 6), ("digits=7", 7), ("digits=8", 8)] {
            assert_eq!(forwards(&["forward_pass", digits]), Some(expected));
            assert_eq!(forwards(&[digits, "forward_pass"]), Some(expected));
        }
        assert_eq!(forwards(&["forward_pass", "digits=6", "digits=8"]), Some(8));
        assert_eq!(
            parse(&["forward_pass", "digits=9"]).unwrap_err(),
            Refused { argument: "digits=9".to_owned(), problem: Problem::BadDigits }
        );
    }

    #[test]
    fn the_last_of_two_counts() {
        let arguments = parse(&["config=/a", "config=/b"]).unwrap();
        assert_eq!(arguments.verifier.config.as_deref(), Some(Path::new("/b")));
    }

    #[test]
    fn whatever_is_not_understood_is_refused() {
        let long = format!("prompt={}", "x".repeat(MAX_PROMPT + 1));
        for (argument, problem) in [
            ("", Problem::Unknown),
            ("=", Problem::Unknown),
            ("use_first_pass", Problem::Unknown),
            ("NULLOK", Problem::Unknown),
            ("nullok=yes", Problem::Unknown),
            ("debug=", Problem::Unknown),
            ("config", Problem::Unknown),
            ("code:", Problem::Unknown),
            ("forward_pass=", Problem::Unknown),
            ("digits", Problem::Unknown),
            ("digits=6", Problem::Alone),
            ("digits=5", Problem::BadDigits),
            ("digits=9", Problem::BadDigits),
            ("digits=06", Problem::BadDigits),
            ("digits=", Problem::BadDigits),
            ("config=", Problem::NotAbsolute),
            ("config=relative.toml", Problem::NotAbsolute),
            ("verifier=../v", Problem::NotAbsolute),
            ("socket=@abstract", Problem::NotAbsolute),
            ("prompt=", Problem::BadPrompt),
            (&long, Problem::BadPrompt),
        ] {
            let refused = parse(&["nullok", argument, "debug"]).unwrap_err();
            assert_eq!(refused, Refused { argument: argument.to_owned(), problem });
            assert!(!refused.hint().is_empty());
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_get_through_as_something_else() {
        let refused = Arguments::parse(&[c"nullok\xff"]).unwrap_err();
        assert_eq!(refused.problem, Problem::Unknown);
        let arguments = Arguments::parse(&[c"config=/a\xff"]).unwrap();
        assert_eq!(arguments.verifier.config.unwrap().as_os_str().as_bytes(), b"/a\xff");
    }
}
