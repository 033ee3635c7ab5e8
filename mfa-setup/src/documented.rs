//! The manual page mfa-setup(1), against the command line and its answers.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory};

use crate::cli::{self, Cli};
use crate::manual::{entries, headings, insets, tags, under};
use crate::problem::{DONE, INTERRUPTED, NOT_PERMITTED, REFUSED, UNUSABLE, USAGE};

const MANUAL: &str = include_str!("../../doc/man/mfa-setup.1");

/// A command as the page has it: `token new NAME`, and each of its own options with its default.
#[derive(Debug, PartialEq, Eq)]
struct Documented {
    heading: String,
    options: BTreeSet<(String, Option<String>)>,
}

/// What is known here of all commands that do something.
fn commands(command: &Command, path: &[&str]) -> Vec<(bool, Documented)> {
    let mut found = Vec::new();
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        let path = [path, &[child.get_name()]].concat();
        if !child.is_subcommand_required_set() {
            let roots = child.get_about().is_some_and(|about| about.to_string().contains("(root"));
            let words = path.iter().map(|word| (*word).to_owned());
            let heading: Vec<_> = words.chain(child.get_positionals().map(shown)).collect();
            let heading = heading.join(" ");
            let options = child.get_arguments().filter(|arg| !arg.is_positional());
            let own = options.filter(|arg| !arg.is_global_set() && arg.get_id() != "help");
            let options = own.map(|arg| (shown(arg), default(arg))).collect();
            found.push((roots, Documented { heading, options }));
        }
        found.extend(commands(child, &path));
    }
    found
}

/// An argument as the page has it: `--digits N`, `totp|hotp`, `[LABEL]`.
fn shown(argument: &Arg) -> String {
    let values = argument.get_possible_values();
    let value = if !argument.get_action().takes_values() {
        String::new()
    } else if values.is_empty() {
        argument.get_value_names().unwrap_or_default().join(" ")
    } else {
        values.iter().map(PossibleValue::get_name).collect::<Vec<_>>().join("|")
    };
    match argument.get_long() {
        Some(long) => format!("--{long} {value}").trim_end().to_owned(),
        None if argument.is_required_set() => value,
        None => format!("[{value}]"),
    }
}

fn default(argument: &Arg) -> Option<String> {
    if !argument.get_action().takes_values() {
        return None;
    }
    argument.get_default_values().first().map(|value| value.to_str().unwrap().to_owned())
}

/// What the page says of the options under a heading.
fn documented((heading, text): (String, &str)) -> Documented {
    let default = |said: &str| {
        let (_, behind) = said.split_once("The default is ")?;
        Some(behind.trim_end_matches('.').to_owned())
    };
    let options = entries(text).into_iter().map(|(tag, said)| (tag, default(&said))).collect();
    Documented { heading, options }
}

/// Without `help`, which has every command once more, and is said beside `--help`.
fn cli() -> Command {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    cli
}

#[test]
fn every_command_is_documented_with_its_options_values_and_defaults_and_no_other() {
    let known = commands(&cli(), &[]);
    assert!(known.len() > 18, "{known:?}");
    for (section, of_root) in [(".SH COMMANDS", false), (".SH COMMANDS OF ROOT", true)] {
        let mut page: Vec<_> =
            headings(under(MANUAL, section), ".SS").into_iter().map(documented).collect();
        let known = known.iter().filter(|(roots, _)| *roots == of_root);
        for (_, command) in known {
            let place = page.iter().position(|documented| documented.heading == command.heading);
            let place = place.unwrap_or_else(|| panic!("{section} has no {}", command.heading));
            assert_eq!(page.remove(place), *command);
        }
        assert!(page.is_empty(), "{section} has what there is not: {page:?}");
    }
}

#[test]
fn every_global_option_is_documented_and_no_other() {
    let cli = cli();
    let known = cli.get_arguments().flat_map(|argument| {
        let short = argument.get_short().map(|short| format!("-{short}"));
        short.into_iter().chain([shown(argument)])
    });
    let page = tags(under(MANUAL, ".SH GLOBAL OPTIONS"));
    assert_eq!(page.iter().cloned().collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn nowhere_is_a_command_shown_with_an_option_that_there_is_not() {
    fn longs(command: &Command, known: &mut BTreeSet<String>) {
        let own = command.get_arguments().filter_map(Arg::get_long);
        known.extend(own.map(|long| format!("--{long}")));
        command.get_subcommands().for_each(|child| longs(child, known));
    }
    let mut known = BTreeSet::new();
    longs(&cli(), &mut known);
    let mut seen = 0;
    for text in [
        MANUAL,
        include_str!("../../doc/man/mfa-verifier.8"),
        include_str!("../../doc/man/pam_mfa.8"),
        include_str!("../../doc/man/pam_mfa.toml.5"),
        include_str!("../../README.md"),
        include_str!("../../doc/guide/install.md"),
        include_str!("../../doc/guide/log.md"),
        include_str!("../../doc/guide/policy.md"),
        include_str!("../../doc/guide/users.md"),
    ] {
        let text = text.replace("\\-", "-");
        for (at, name) in text.match_indices("mfa-setup ") {
            let line = text[at + name.len()..].split(['`', '\n']).next().unwrap();
            let words = line.split(|c: char| !c.is_ascii_lowercase() && c != '-');
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(known.contains(option), "{option}: {name}{line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn what_is_shown_as_an_example_is_understood() {
    let typed = insets(under(MANUAL, ".SH EXAMPLES")).concat();
    assert!(typed.lines().count() > 5, "{typed}");
    for line in typed.lines() {
        assert!(cli::parse(line.split(' ').map(OsString::from)).is_ok(), "{line}");
    }
}

#[test]
fn every_exit_code_is_documented_and_no_other() {
    let codes = [DONE, REFUSED, USAGE, UNUSABLE, NOT_PERMITTED, INTERRUPTED];
    assert_eq!(tags(under(MANUAL, ".SH EXIT STATUS")), codes.map(|code| code.to_string()));
}

#[test]
fn every_command_that_answers_has_its_json_documented() {
    let answers: BTreeSet<_> = tags(under(MANUAL, ".SH JSON")).into_iter().collect();
    let commands = commands(&cli(), &[]).into_iter().map(|(_, command)| command.heading);
    let names = commands.map(|heading| {
        let is_name = |word: &&str| {
            word.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte))
        };
        heading.split(' ').take_while(is_name).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(answers, names.collect());
}
