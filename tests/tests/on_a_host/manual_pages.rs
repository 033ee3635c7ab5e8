//! The manual pages as `make install` lays them out: what two formatters make of them, and whether they
//! name each other. What they say is compared with each program where that is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mfa_tests::cache::stage;
use mfa_tests::manual::{insets, plain, under};
use mfa_tests::readme::README;

fn installed() -> Vec<PathBuf> {
    let pages =
        ["man1/mfa-setup.1", "man5/pam_mfa.toml.5", "man8/mfa-verifier.8", "man8/pam_mfa.8"];
    pages.iter().map(|page| stage().join("usr/share/man").join(page)).collect()
}

/// Each page's name as others have it, `mfa-setup(1)`, and its text.
fn pages() -> Vec<(String, String)> {
    let page = |path: PathBuf| {
        let (name, section) = (path.file_stem().unwrap(), path.extension().unwrap());
        let name = format!("{}({})", name.display(), section.display());
        (name, fs::read_to_string(path).unwrap())
    };
    installed().into_iter().map(page).collect()
}

#[test]
fn neither_mandoc_nor_groff_warns_of_a_page() {
    for page in installed() {
        let mandoc = ["mandoc", "-Tlint", "-Wwarning"];
        let groff = ["man", "--warnings", "-EUTF-8", "-Tutf8", "-Z", "-l"];
        for line in [&mandoc[..], &groff] {
            let mut formatter = Command::new(line[0]);
            let output = formatter.args(&line[1..]).arg(&page).env("LC_ALL", "C").output().unwrap();
            // The first complains on standard output, where the second has the page.
            let said = if line == mandoc { output.stdout } else { output.stderr };
            assert!(output.status.success() && said.is_empty(), "{}", said.escape_ascii());
        }
    }
}

#[test]
fn each_page_names_the_others_and_is_of_this_version() {
    let pages = pages();
    let names: BTreeSet<_> = pages.iter().map(|(name, _)| name.clone()).collect();
    for (name, page) in &pages {
        let seen: Vec<_> = under(page, ".SH SEE ALSO").lines().map(plain).collect();
        let seen = seen.iter().map(|line| line.trim_end_matches(',').to_owned());
        let missing: Vec<_> = names.difference(&seen.collect()).cloned().collect();
        assert!(missing.iter().eq([name]), "{name}: {missing:?}");
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(title.contains(concat!("\"pam_mfa ", env!("CARGO_PKG_VERSION"), "\"")), "{title}");
    }
    assert!(names.iter().all(|name| README.contains(name.as_str())), "{names:?}");
}

#[test]
fn what_is_typed_is_written_with_a_minus_and_no_hyphen() {
    // Where a formatter makes a hyphen of it, a line that is copied from the page is none that works.
    for (name, page) in pages() {
        for line in page.lines().filter(|line| !line.starts_with(".\\\"")) {
            assert!(!line.contains("mfa-") && !line.contains("--"), "{name}: {line}");
        }
        let blocks = page.split(".nf\n").skip(1).map(|block| block.split(".fi").next().unwrap());
        for block in blocks {
            assert!(
                !block.replace("\\-", "").contains(['-', '\'', '^', '`', '~']),
                "{name}: {block}"
            );
        }
        assert!(!insets(&page).is_empty(), "{name}");
    }
}
