//! The answers of `import` and `export`.

use std::borrow::Cow;

use mfa_protocol::message::{Exported, ImportedDevice, SkippedLine};
use serde::Serialize;

use crate::import::Report;
use crate::text::shown;

/// Of `import`.
#[derive(Serialize)]
pub struct ImportedAnswer<'a> {
    users: Vec<OfUser<'a>>,
}

#[derive(Serialize)]
struct OfUser<'a> {
    user: Option<&'a str>,
    uid: Option<u32>,
    imported: Vec<Device<'a>>,
    already: &'a [String],
    backup_codes: u32,
    skipped: Vec<Skipped<'a>>,
    notes: &'a [String],
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct Device<'a> {
    label: &'a str,
    kind: &'static str,
}

#[derive(Serialize)]
struct Skipped<'a> {
    line: u32,
    why: &'a str,
}

impl<'a> ImportedAnswer<'a> {
    pub fn new(reports: &'a [Report]) -> Self {
        Self { users: reports.iter().map(OfUser::from).collect() }
    }
}

impl<'a> From<&'a Report> for OfUser<'a> {
    fn from(report: &'a Report) -> Self {
        let Report { user, uid, imported, problem } = report;
        let device =
            |device: &'a ImportedDevice| Device { label: &device.label, kind: device.kind.name() };
        let skipped = |line: &'a SkippedLine| Skipped { line: line.line, why: &line.why };
        Self {
            user: user.as_deref(),
            uid: *uid,
            imported: imported.devices.iter().map(device).collect(),
            already: &imported.known,
            backup_codes: imported.backup_codes,
            skipped: imported.skipped.iter().map(skipped).collect(),
            notes: &imported.notes,
            problem: problem.as_deref(),
        }
    }
}

/// Of `export`.
#[derive(Serialize)]
pub struct ExportedAnswer<'a> {
    user: &'a str,
    uid: u32,
    devices: Vec<ExportedDevice<'a>>,
    left_out: Vec<LeftOut<'a>>,
    backup_codes_left: u32,
}

#[derive(Serialize)]
struct ExportedDevice<'a> {
    label: &'a str,
    kind: &'static str,
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    label: &'a str,
    why: &'a str,
}

impl<'a> From<&'a Exported> for ExportedAnswer<'a> {
    fn from(exported: &'a Exported) -> Self {
        let devices = exported.devices.iter().map(|device| ExportedDevice {
            label: &device.label,
            kind: device.kind.name(),
            text: shown(&device.text),
        });
        let left_out = exported.left_out.iter().map(|(label, why)| LeftOut { label, why });
        Self {
            user: &exported.user,
            uid: exported.uid,
            devices: devices.collect(),
            left_out: left_out.collect(),
            backup_codes_left: exported.backup_codes,
        }
    }
}
