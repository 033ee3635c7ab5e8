//! README.md as the tests have it: its sections, the blocks in them, and somebody who types what they say.

use std::thread;
use std::time::{Duration, Instant};

use crate::host::{Output, Running};

/// The text.
pub const README: &str = include_str!("../../README.md");

/// Types a block of commands in a directory of the host, one a line, each of which must succeed.
pub fn type_all(host: &Running, directory: &str, block: &str) {
    for line in block.lines() {
        let restarts = listening(host);
        let typed = format!("cd {directory} && {line}");
        let Output { code, stdout, stderr } = host.run(&["bash", "-c", &typed]);
        assert_eq!(code, Some(0), "{line}\n{stdout}{stderr}");
        if ["service ssh reload", "systemctl reload sshd"].contains(&line) {
            // It does not wait for sshd, as a person at a keyboard does without knowing.
            let deadline = Instant::now() + Duration::from_secs(10);
            while listening(host) == restarts {
                assert!(Instant::now() < deadline, "sshd does not come back");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// How often sshd has begun to listen.
fn listening(host: &Running) -> usize {
    host.logged("Server listening on :: port 22").len()
}

/// Blocks of a language in a section, subsections with it.
pub fn blocks(heading: &str, language: &str) -> Vec<String> {
    let section = section(heading);
    let begin = format!("\n```{language}\n");
    let blocks = section.split(begin.as_str()).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// The text from a heading to the next one that is no deeper, without comments.
pub fn section(heading: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start_matches('#').len();
    let (mut section, mut in_block, mut in_comment) = (String::new(), false, false);
    for line in README.lines().skip_while(|line| *line != heading) {
        in_block ^= line.starts_with("```");
        in_comment |= line == "<!--";
        let is_heading = line.starts_with('#') && !in_block && !in_comment;
        if is_heading && !section.is_empty() && depth(line) <= depth(heading) {
            break;
        }
        if !in_comment {
            section += line;
            section += "\n";
        }
        in_comment &= line != "-->";
    }
    assert!(!section.is_empty(), "README.md has no {heading:?}");
    section
}

/// The command within the text that begins like this.
pub fn quoted(command: &str) -> String {
    let (_, rest) = README.split_once(&format!("`{command}")).expect(command);
    format!("{command}{}", rest.split('`').next().unwrap())
}

/// What root types in the terminal blocks of a section.
pub fn typed_by_root(heading: &str) -> String {
    roots_lines(&blocks(heading, "console").join("\n"))
}

/// What root types in a terminal block.
pub fn roots_lines(block: &str) -> String {
    let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    assert!(!lines.is_empty(), "{block}");
    lines.join("\n")
}
