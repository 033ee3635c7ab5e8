//! What came of `import`, user by user.

use mfa_protocol::escape::escape;
use zeroize::Zeroizing;

use super::{line, roomy};
use crate::drawing::printable;
use crate::import::Report;

/// Of `import`. `dry_run`: nothing of it was done.
pub fn imported(reports: &[Report], dry_run: bool) -> Zeroizing<String> {
    let mut out = roomy();
    if reports.is_empty() {
        line(&mut out, format_args!("Nobody has anything that could be taken over."));
    }
    for report in reports {
        user(&mut out, report, dry_run);
    }
    if dry_run {
        line(&mut out, format_args!("Nothing was changed."));
    }
    out
}

fn user(out: &mut String, report: &Report, dry_run: bool) {
    let imported = &report.imported;
    let name = report.user.as_deref().map_or("-".to_owned(), escape);
    let mut what: Vec<String> = imported
        .devices
        .iter()
        .map(|device| format!("{} \"{}\"", device.kind.name(), escape(&device.label)))
        .collect();
    if imported.backup_codes > 0 {
        what.push(format!("{} backup codes", imported.backup_codes));
    }
    if !what.is_empty() {
        let done = if dry_run { "would take over" } else { "took over" };
        line(out, format_args!("{name}: {done} {}", what.join(", ")));
    }
    for label in &imported.known {
        line(out, format_args!("{name}: has that key already, as \"{}\"", escape(label)));
    }
    if let Some(problem) = &report.problem {
        // Names in it have been escaped already.
        let problem = printable(problem).replace('\n', "\\u{a}");
        line(out, format_args!("{name}: problem: {problem}"));
    }
    for skipped in &imported.skipped {
        line(out, format_args!("  line {}: skipped, {}", skipped.line, escape(&skipped.why)));
    }
    for note in &imported.notes {
        line(out, format_args!("  {}", escape(note)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::message::{DeviceKind, Imported, ImportedDevice, SkippedLine};

    #[test]
    fn each_user_has_lines_of_what_came_and_what_did_not() {
        let alice = Imported {
            user: "alice".into(),
            uid: 1000,
            devices: vec![ImportedDevice { label: "oa\nth".into(), kind: DeviceKind::Totp }],
            known: vec!["phone".into()],
            backup_codes: 5,
            skipped: vec![SkippedLine { line: 7, why: "it is no option".into() }],
            notes: vec!["Its window was 17 codes wide.".into()],
            changed: true,
        };
        let reports = [
            Report { user: Some("alice".into()), uid: Some(1000), imported: alice, problem: None },
            Report {
                user: Some("b\x1bob".into()),
                uid: None,
                imported: Imported::default(),
                problem: Some("it is a\nlink; look".into()),
            },
            Report {
                user: None,
                uid: None,
                imported: Imported::default(),
                problem: Some("nobody".into()),
            },
        ];
        let expected = r#"alice: took over totp "oa\u{a}th", 5 backup codes
alice: has that key already, as "phone"
  line 7: skipped, it is no option
  Its window was 17 codes wide.
b\u{1b}ob: problem: it is a\u{a}link; look
-: problem: nobody
"#;
        assert_eq!(imported(&reports, false).as_str(), expected);
        let dry = imported(&reports, true);
        assert!(dry.starts_with("alice: would take over totp"), "{}", *dry);
        assert!(dry.ends_with("\nNothing was changed.\n"), "{}", *dry);
        assert_eq!(
            imported(&[], false).as_str(),
            "Nobody has anything that could be taken over.\n"
        );
    }
}
