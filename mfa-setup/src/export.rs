//! `export`: all devices of a user with their keys.

use std::path::Path;

use mfa_protocol::Reply;
use mfa_protocol::message::{Action, Exported};
use zeroize::Zeroizing;

use crate::cli;
use crate::json::ExportedAnswer;
use crate::problem::{DONE, Problem, say_hint};
use crate::session::{Session, printed};
use crate::text::{roomy, shown};

impl Session<'_> {
    /// `export`.
    pub fn export(&mut self, export: &cli::Export) -> Result<u8, Problem> {
        let path = Some(export.output.as_path()).filter(|path| *path != Path::new("-"));
        let file = path.map(|path| self.create(path)).transpose()?;
        let action = Action::Export { format: export.format.into() };
        let Reply::Exported(exported) = self.manage(action, "use a terminal")? else {
            return Err(Problem::unexpected_reply());
        };
        let exported = exported.open()?;
        if exported.devices.is_empty() {
            return Err(Problem::usage(
                "no device can be exported in this form",
                left_out(&exported),
            ));
        }
        if let Some(file) = file {
            file.finish(whole(&exported).as_bytes())?;
        }
        self.answer(&ExportedAnswer::from(&exported), || match path {
            Some(path) => {
                let (user, path) = (printed(exported.user.as_ref()), printed(path.as_os_str()));
                Zeroizing::new(format!("The devices of {user} are in {path}.\n"))
            }
            None => whole(&exported),
        })?;
        if !self.global.json {
            say_hint(&left_out(&exported));
        }
        Ok(DONE)
    }
}

/// What stands in the file.
fn whole(exported: &Exported) -> Zeroizing<String> {
    let mut text = roomy();
    for device in &exported.devices {
        text.push_str(&shown(&device.text));
    }
    text
}

/// What stays behind, a line for each.
fn left_out(exported: &Exported) -> String {
    let mut lines: Vec<String> = exported
        .left_out
        .iter()
        .map(|(label, why)| format!("device \"{}\" is left out: {why}", printed(label.as_ref())))
        .collect();
    if exported.backup_codes > 0 {
        let codes = exported.backup_codes;
        lines.push(format!("{codes} backup codes are left out: only their hashes are kept"));
    }
    lines.join("\n")
}
