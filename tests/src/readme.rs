//! README.md and its guides as the tests have them: its sections, the blocks in them, and somebody who types what they say.

use std::thread;
use std::time::{Duration, Instant};

use crate::host::{Output, Running};

/// The text, and that of the guides that it leads to. No two sections have one heading.
pub const README: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../doc/guide/install.md"),
    include_str!("../../doc/guide/users.md"),
    include_str!("../../doc/guide/verifier.md"),
    include_str!("../../doc/guide/policy.md"),
    include_str!("../../doc/guide/log.md"),
);

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
    // It may go on in the next line.
    format!("{command}{}", rest.split('`').next().unwrap()).replace('\n', " ")
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::cache::tree;

    const TEXTS: [&str; 9] = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "doc/guide/install.md",
        "doc/guide/users.md",
        "doc/guide/verifier.md",
        "doc/guide/policy.md",
        "doc/guide/log.md",
    ];

    #[test]
    fn each_link_leads_to_a_file_and_to_a_heading_in_it() {
        let mut seen = 0;
        for text in TEXTS {
            let path = tree().join(text);
            for link in links(&fs::read_to_string(&path).unwrap()) {
                if link.starts_with("https://") {
                    continue;
                }
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let target = if file.is_empty() { path.clone() } else { beside(&path, file) };
                assert!(target.exists(), "{text}: {link}");
                let heads = anchors(&target);
                assert!(anchor.is_empty() || heads.contains(anchor), "{text}: {link}: {heads:?}");
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn each_guide_is_compared_with_what_is_typed() {
        for guide in fs::read_dir(tree().join("doc/guide")).unwrap().flatten() {
            let text = fs::read_to_string(guide.path()).unwrap();
            assert!(super::README.contains(&text), "{guide:?}");
            let name = format!("doc/guide/{}", guide.file_name().to_str().unwrap());
            assert!(TEXTS.contains(&name.as_str()), "{name}");
        }
    }

    fn links(text: &str) -> Vec<String> {
        let ends = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        ends.map(str::to_owned).collect()
    }

    fn beside(path: &Path, link: &str) -> PathBuf {
        path.parent().unwrap().join(link)
    }

    /// As GitHub and GitLab make them of headings.
    fn anchors(path: &Path) -> BTreeSet<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut in_block = false;
        let headings = text.lines().filter(|line| {
            in_block ^= line.trim_start().starts_with("```");
            line.starts_with('#') && !in_block
        });
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
        };
        headings.map(anchor).collect()
    }
}
