//! `packaging/completions`: written by `make completions`, and compared with the command line here.
//!
//! What labels, tokens and users there are is not completed: root alone may know.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::cli::Cli;

/// Each file, under the name by which its shell finds it.
const FILES: [(&str, Shell); 3] =
    [("mfa-setup", Shell::Bash), ("_mfa-setup", Shell::Zsh), ("mfa-setup.fish", Shell::Fish)];

/// In the environment of this test: writes the files anew.
const WRITE: &str = "PAM_MFA_WRITE_COMPLETIONS";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/completions").join(name)
}

/// The command line, of which files alone are completed beside what it knows by itself. Without `help`, which
/// has every command once more: the files would be twice as long.
fn completed(command: clap::Command) -> clap::Command {
    let hint = |argument: clap::Arg| {
        let hint = match argument.get_value_hint() {
            ValueHint::AnyPath => ValueHint::FilePath,
            _ => ValueHint::Other,
        };
        if argument.get_action().takes_values() { argument.value_hint(hint) } else { argument }
    };
    command.mut_args(hint).mut_subcommands(completed).disable_help_subcommand(true)
}

fn generated(shell: Shell) -> String {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut completed(Cli::command()), "mfa-setup", &mut written);
    // For bash clap_complete has two spellings of a name with a hyphen, and no command is found then:
    // https://github.com/clap-rs/clap/issues/6421
    String::from_utf8(written).unwrap().replace("mfa__subcmd__setup", "mfa__setup")
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    for (name, shell) in FILES {
        let (file, generated) = (file(name), generated(shell));
        if env::var_os(WRITE).is_some() {
            fs::write(&file, &generated).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == generated, "{name} is of another command line: make completions");
    }
}

/// What `script` prints in a shell that nobody has configured, in a directory with a file `policy.toml`.
fn said(shell: &str, options: &[&str], script: &str) -> Vec<String> {
    let directory = env::temp_dir().join(format!("mfa-completions-{shell}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("policy.toml"), "").unwrap();
    let output = Command::new(shell)
        .args(options)
        .args(["-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &directory)
        .current_dir(&directory)
        .output();
    fs::remove_dir_all(&directory).unwrap();
    let output = output.unwrap_or_else(|error| panic!("{shell}: {error}"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What bash offers for the last word of `line`.
fn bash(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    // As the shell calls what `complete -F` names. Outside of it nobody has use for compopt.
    let script = format!(
        "source {}; compopt() {{ :; }}; COMP_WORDS=({line} ''); COMP_CWORD={}\n\
         function=$(complete -p mfa-setup); function=${{function##*-F }}\n\
         ${{function%% *}} mfa-setup '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file("mfa-setup").display(),
        words.len() - 1,
    );
    said("bash", &["--noprofile", "--norc"], &script)
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    for (line, offered) in [
        ("mfa-setup co", &["codes"][..]),
        ("mfa-setup re", &["remove", "remembered", "reset", "require"]),
        ("mfa-setup codes n", &["new"]),
        ("mfa-setup token re", &["revoke"]),
        ("mfa-setup add ho", &["hotp"]),
        ("mfa-setup add totp --al", &["--algorithm"]),
        ("mfa-setup add totp --algorithm sha", &["sha1", "sha256", "sha512"]),
        ("mfa-setup --json status --us", &["--user"]),
        ("mfa-setup check --config pol", &["policy.toml"]),
        ("mfa-setup codes new --output pol", &["policy.toml"]),
        // What a label or a user is, is left as it was typed.
        ("mfa-setup status --user pol", &["pol"]),
        ("mfa-setup add totp --label pol", &["pol"]),
        ("mfa-setup remove pol", &[""]),
    ] {
        assert_eq!(bash(line), offered, "{line}");
    }
}

#[test]
fn fish_completes_commands_options_values_and_files() {
    for (line, offered) in [
        ("mfa-setup co", &["codes"][..]),
        ("mfa-setup codes n", &["new"]),
        ("mfa-setup add totp --algorithm sha", &["sha1", "sha256", "sha512"]),
        ("mfa-setup check --config pol", &["policy.toml"]),
        ("mfa-setup status --user pol", &[]),
    ] {
        let script = format!("source {}; complete -C '{line}'", file("mfa-setup.fish").display());
        let said = said("fish", &["--no-config"], &script);
        // Behind a tab it says what each is for.
        let words: Vec<_> = said.iter().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, offered, "{line}");
    }
}

#[test]
fn zsh_can_read_its_own() {
    let output = Command::new("zsh").args(["-f", "-n"]).arg(file("_mfa-setup")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
