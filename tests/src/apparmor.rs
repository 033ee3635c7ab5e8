//! What an `AppArmor` profile allows, and what programs did that it must allow.
//!
//! The kernel of the machine need not have `AppArmor`: the profile's text is read, as `apparmor_parser` puts
//! it together, and compared with what `strace` saw. A profile's rules about files are all that
//! is looked at: who is compared is not confined by anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

/// The options of `strace` by which [`done`] can read what it writes.
pub const SEEN: [&str; 8] = [
    "-f",
    "-qq",
    "-y",
    "-s",
    "4096",
    "-e",
    "signal=none",
    "--trace=%file,mmap,bind,connect,flock,fcntl",
];

/// The rules about files of one profile.
#[derive(Debug)]
pub struct Profile(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    patterns: Vec<Vec<char>>,
    permissions: String,
}

/// Something that was done to a file, by the letter that apparmor.d(5) has for it: `r`, `w`, `k` (locks
/// it), `l` (links it), `m` (maps it to be executed), `x`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// What it was done to. A directory's name ends with a slash.
    pub path: String,
    /// What was done.
    pub permission: char,
}

impl Profile {
    /// Reads a file with one profile in it.
    #[track_caller]
    pub fn read(file: &Path) -> Self {
        let output =
            Command::new("apparmor_parser").arg("--preprocess").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::parse(&String::from_utf8(output.stdout).unwrap())
    }

    /// Reads what has nothing more to include.
    pub fn parse(text: &str) -> Self {
        let lines = || text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let mut variables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in lines().filter(|line| line.starts_with("@{")) {
            if let Some((name, values)) = line.split_once('=') {
                let name = name.trim_end_matches('+').trim();
                variables.entry(name).or_default().extend(values.split_whitespace());
            }
        }
        let rules = lines().filter_map(|line| {
            let line = line.strip_prefix("owner ").unwrap_or(line);
            let (path, permissions) = line.strip_suffix(',')?.rsplit_once(char::is_whitespace)?;
            let is_path = path.starts_with('/') || path.starts_with("@{");
            // A rule that denies something begins with that word.
            is_path.then(|| Rule {
                patterns: expanded(path.trim(), &variables),
                permissions: permissions.to_owned(),
            })
        });
        Self(rules.collect())
    }

    /// Whether some rule allows it.
    pub fn allows(&self, act: &Act) -> bool {
        let path: Vec<char> = act.path.chars().collect();
        self.0.iter().any(|rule| {
            rule.permissions.contains(act.permission)
                && rule.patterns.iter().any(|pattern| matches(pattern, &path, '\0'))
        })
    }
}

/// The pattern for each combination of its variables' values.
fn expanded(pattern: &str, variables: &BTreeMap<&str, Vec<&str>>) -> Vec<Vec<char>> {
    let name = pattern.find("@{").and_then(|at| {
        let end = at + pattern.get(at..)?.find('}')?;
        pattern.get(at..=end)
    });
    let Some(name) = name else {
        // A variable that is a directory ends with a slash, and one follows it.
        return vec![pattern.replace("//", "/").chars().collect()];
    };
    let values = variables.get(name).into_iter().flatten();
    values.flat_map(|value| expanded(&pattern.replacen(name, value, 1), variables)).collect()
}

/// As apparmor.d(5) has globs; `before` is what stands before the path.
fn matches(pattern: &[char], path: &[char], before: char) -> bool {
    let ends_component = |rest: &[char]| matches!(rest.first(), None | Some('/'));
    match pattern {
        [] => path.is_empty(),
        ['{', rest @ ..] => {
            let (alternatives, rest) = alternatives(rest);
            let whole = |alternative: &[char]| [alternative, rest].concat();
            alternatives.into_iter().any(|one| matches(&whole(one), path, before))
        }
        ['*', '*', rest @ ..] => {
            // A name stands behind a slash, or it is none.
            let least = usize::from(before == '/' && rest.is_empty());
            (least..=path.len()).any(|length| {
                let (taken, left) = path.split_at(length);
                matches(rest, left, taken.last().copied().unwrap_or(before))
            })
        }
        ['*', rest @ ..] => {
            let least = usize::from(before == '/' && ends_component(rest));
            let most = path.iter().position(|c| *c == '/').unwrap_or(path.len());
            (least..=most).any(|length| {
                let (taken, left) = path.split_at(length);
                matches(rest, left, taken.last().copied().unwrap_or(before))
            })
        }
        ['[', rest @ ..] => {
            let (Some(end), [first, left @ ..]) = (rest.iter().position(|c| *c == ']'), path)
            else {
                return false;
            };
            let (class, rest) = (&rest[..end], &rest[end + 1..]);
            in_class(class, *first) && matches(rest, left, *first)
        }
        ['?', rest @ ..] => match path {
            [first, left @ ..] if *first != '/' => matches(rest, left, *first),
            _ => false,
        },
        [wanted, rest @ ..] => match path {
            [first, left @ ..] if first == wanted => matches(rest, left, *first),
            _ => false,
        },
    }
}

/// What stands between braces of which the first is gone, and what behind them.
fn alternatives(pattern: &[char]) -> (Vec<&[char]>, &[char]) {
    let (mut depth, mut begun, mut all) = (0, 0, Vec::new());
    for (at, c) in pattern.iter().enumerate() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                all.push(&pattern[begun..at]);
                begun = at + 1;
                if *c == '}' {
                    return (all, &pattern[begun..]);
                }
            }
            _ => {}
        }
    }
    panic!("a brace is open in {}", pattern.iter().collect::<String>());
}

fn in_class(class: &[char], c: char) -> bool {
    match class {
        ['^', class @ ..] => !in_class(class, c),
        [first, '-', last, rest @ ..] => (*first..=*last).contains(&c) || in_class(rest, c),
        [one, rest @ ..] => *one == c || in_class(rest, c),
        [] => false,
    }
}

/// What `strace` with the options [`SEEN`] saw done, also in vain: what is not there may be there
/// tomorrow, and is no error, as it would be if it could not be looked at.
pub fn done(trace: &str, is_directory: impl Fn(&str) -> bool) -> BTreeSet<Act> {
    let mut programs = HashMap::new();
    let acts = calls(trace).into_iter().flat_map(|call| acts_of(&call, &mut programs));
    let acts = acts.map(|mut act| {
        if !act.path.ends_with('/') && is_directory(&act.path) {
            act.path.push('/');
        }
        act
    });
    acts.collect()
}

/// The calls, each in one piece.
fn calls(trace: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some((first, _)) = call.split_once(" <unfinished ...>") {
            begun.insert(thread, first);
        } else if let Some((_, second)) = call.split_once(" resumed>") {
            calls.extend(begun.remove(thread).map(|first| format!("{first}{second}")));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// `programs` are the files that may be programs, by the number by which these are started.
fn acts_of(call: &str, programs: &mut HashMap<String, String>) -> Vec<Act> {
    let Some((name, rest)) = call.split_once('(') else { return Vec::new() };
    let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Vec::new() };
    let failed = result.starts_with('-');
    let names = named(arguments);
    let act = |path: &str, permission| Act { path: path.to_owned(), permission };
    let on = |paths: &[String], permissions: &str| {
        let paths = paths.iter().filter(|path| path.starts_with('/'));
        paths.flat_map(|path| permissions.chars().map(move |p| act(path, p))).collect()
    };
    match name {
        "open" | "openat" | "creat" => {
            let opened = result.split_once('<').filter(|_| !failed);
            let opened = opened.map(|(number, rest)| (number, rest.split('>').next().unwrap()));
            if let Some((number, path)) = opened {
                // As `mfa_protocol::trusted` opens what it does not know yet.
                if arguments.contains("O_NONBLOCK") {
                    programs.insert(number.to_owned(), path.to_owned());
                }
            }
            let mut path = opened.map_or(names[0].clone(), |(_, path)| path.to_owned());
            if arguments.contains("O_PATH") {
                return Vec::new();
            }
            if arguments.contains("O_DIRECTORY") && !path.ends_with('/') {
                path.push('/');
            }
            let has = |flag| arguments.contains(flag);
            let permissions =
                match (has("O_WRONLY") || name == "creat", has("O_RDWR"), has("O_CREAT")) {
                    (true, ..) => "w",
                    (_, false, false) => "r",
                    _ => "rw",
                };
            on(&[path], permissions)
        }
        "mkdir" | "mkdirat" | "rmdir" => on(&[format!("{}/", names[0])], "w"),
        "rename" | "renameat" | "renameat2" => {
            [on(&names[..1], "rw"), on(&names[1..], "w")].concat()
        }
        "link" | "linkat" => on(&names, "rl"),
        "unlink" | "unlinkat" | "symlink" | "symlinkat" | "truncate" | "chmod" | "fchmodat"
        | "chown" | "fchownat" | "utimensat" | "mknodat" => on(&names[..1], "w"),
        "execve" if !failed => {
            let path = match names[0].strip_prefix("/proc/self/fd/") {
                Some(number) => programs[number].clone(),
                None => names[0].clone(),
            };
            // The kernel maps it by itself.
            on(&[path], "rmx")
        }
        "mmap" if arguments.contains("PROT_EXEC") => on(&opened(arguments), "m"),
        "bind" | "connect" => {
            let path =
                arguments.split("sun_path=\"").nth(1).and_then(|rest| rest.split('"').next());
            on(&path.map(str::to_owned).into_iter().collect::<Vec<_>>(), "w")
        }
        "flock" => on(&opened(arguments), "k"),
        "fcntl" if arguments.contains("SETLK") => on(&opened(arguments), "k"),
        _ => Vec::new(),
    }
}

/// The file that the first descriptor among the arguments is.
fn opened(arguments: &str) -> Vec<String> {
    let path = arguments.split('<').nth(1).and_then(|rest| rest.split('>').next());
    path.map(str::to_owned).into_iter().collect()
}

/// The files that stand there by name, each below the directory that stands before it.
fn named(arguments: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut parts = arguments.split('"');
    while let (Some(before), Some(name)) = (parts.next(), parts.next()) {
        let directory = before.rsplit_once('<').and_then(|(_, rest)| rest.split('>').next());
        names.push(match directory {
            Some(directory) if !name.starts_with('/') => {
                format!("{directory}/{name}").replace("//", "/")
            }
            _ => name.to_owned(),
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, path: &str) -> bool {
        let variables = "@{HOMEDIRS}=/home/\n@{HOME}=@{HOMEDIRS}/*/ /root/\n";
        let act = Act { path: path.to_owned(), permission: 'r' };
        Profile::parse(&format!("{variables}  {rule} r,\n")).allows(&act)
    }

    #[test]
    fn globs_match_as_the_manual_has_it() {
        // apparmor.d(5), "Globbing (AARE)".
        for (rule, matched, others) in [
            ("/dir/file", &["/dir/file"][..], &["/dir/file2", "/dir/"][..]),
            ("/dir/*", &["/dir/a", "/dir/.a"], &["/dir/", "/dir/a/b", "/dir/a/"]),
            ("/dir/a*", &["/dir/a", "/dir/abc"], &["/dir/b", "/dir/a/b"]),
            ("/dir/*/", &["/dir/a/"], &["/dir/a", "/dir//", "/dir/a/b/"]),
            ("/dir/**", &["/dir/a", "/dir/a/", "/dir/a/b"], &["/dir/"]),
            ("/dir/**/", &["/dir/a/", "/dir/a/b/"], &["/dir/a"]),
            ("/dir/?", &["/dir/a"], &["/dir/", "/dir/ab", "/dir//"]),
            ("/dir/[a-c]x", &["/dir/bx"], &["/dir/dx"]),
            ("/dir/[^a]", &["/dir/b"], &["/dir/a"]),
            ("/{usr/,}lib/{a,b{c,d}}", &["/lib/a", "/usr/lib/bd"], &["/usr/lib/b"]),
            ("@{HOME}/x", &["/home/alice/x", "/root/x"], &["/home/x", "/x"]),
        ] {
            for path in matched {
                assert!(allows(rule, path), "{rule} {path}");
            }
            for path in others {
                assert!(!allows(rule, path), "{rule} {path}");
            }
        }
    }

    #[test]
    fn what_was_done_is_read_from_calls_in_halves_too() {
        let trace = "7 openat(AT_FDCWD</>, \"/bin/x\", O_RDONLY|O_NONBLOCK) = 3</usr/bin/x>\n\
                     7 openat(AT_FDCWD</>, \"/etc\", O_RDONLY|O_CLOEXEC) = 3</etc>\n\
                     7 openat(5</var/lib/x>, \"lock\", O_RDWR|O_CREAT, 0600 <unfinished ...>\n\
                     8 execve(\"/proc/self/fd/3\", [\"x\"], 0x7ffd /* 0 vars */) = 0\n\
                     7 <... openat resumed>) = -1 ENOENT (No such file or directory)\n\
                     7 flock(6</var/lib/x/lock>, LOCK_EX) = 0\n\
                     7 connect(4<socket:[1]>, {sa_family=AF_UNIX, sun_path=\"/dev/log\"}, 110) = 0\n";
        let done: Vec<(String, char)> = done(trace, |path| path == "/etc")
            .into_iter()
            .map(|act| (act.path, act.permission))
            .collect();
        let expected = [
            ("/dev/log", 'w'),
            ("/etc/", 'r'),
            ("/usr/bin/x", 'm'),
            ("/usr/bin/x", 'r'),
            ("/usr/bin/x", 'x'),
            ("/var/lib/x/lock", 'k'),
            ("/var/lib/x/lock", 'r'),
            ("/var/lib/x/lock", 'w'),
        ];
        assert_eq!(done, expected.map(|(path, permission)| (path.to_owned(), permission)));
    }
}
