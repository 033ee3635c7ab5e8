//! Devices and codes that another module keeps, taken over into a record: root's `mfa-setup import`.
//!
//! A code that the other module accepted stays used, and where it keeps no account of that all count as used
//! that it can have accepted by now, at each import anew. Scratch codes become the backup codes of somebody who has none,
//! once, and with a new device only. They are weaker than ours: see [`crate::factor::codes::is_scratch_code`].

mod google_authenticator;
mod pam_oath;

use std::str;

use mfa_protocol::Secret;
use mfa_protocol::message::{
    Algorithm, Failure, Import, ImportLine, Imported, ImportedDevice, Origin, Packed, Reply,
    SkippedLine,
};
use zeroize::Zeroizing;

use crate::change::load;
use crate::enrol::{free_label_of, judge_text};
use crate::factor::codes;
use crate::failure::{of_codes, of_frame, of_store, usage};
use crate::record::{
    Altered, BackupCode, BackupCodes, Device, MAX_BACKUP_CODES, MAX_DEVICES, MovingFactor,
    UserRecord,
};
use crate::self_service::Authority;
use crate::store::{self, Change, Owner};
use crate::world::World;

/// Lines of one user. The reply names those that are skipped, and has to fit into a frame.
const MAX_LINES: usize = 256;

/// Takes over what stands in the lines, or says what would be.
pub(crate) fn import(
    world: &World,
    owner: &Owner,
    asked: &Packed<Import>,
) -> Result<Reply, Failure> {
    let asked = asked.open().map_err(|error| of_frame(&error))?;
    let imported = take_over(world, owner, &asked)?;
    Packed::new(&imported).map(Reply::Imported).map_err(|error| of_frame(&error))
}

fn take_over(world: &World, owner: &Owner, asked: &Import) -> Result<Imported, Failure> {
    if let Some(label) = &asked.label {
        judge_text(label, "label")?;
    }
    if asked.lines.len() > MAX_LINES {
        let error = format!("there are more than {MAX_LINES} lines");
        return Err(usage(error, "name a file of the module that is named"));
    }
    let found = read(world, asked);
    let record = load(world, owner)?;
    if asked.dry_run || found.candidates.is_empty() {
        let entry = Entry { asked, found: &found, batch: None };
        return entry.enter(record, owner, world).map(|(_, imported)| imported);
    }
    // Ten Argon2 evaluations: before the lock.
    let may_come = record.backup_codes.is_none() && record.scratch_batch.is_none();
    let batch = if may_come && !found.codes.is_empty() {
        let plain: Vec<&str> = found.codes().map(|(_, code)| code.as_str()).collect();
        let batch = codes::batch_of(&plain, (world.now)());
        Some(batch.map_err(|error| of_codes(&error))?)
    } else {
        None
    };
    let entry = Entry { asked, found: &found, batch };
    store::update(world.store_to_enrol_in()?, owner, |record| {
        match entry.enter(record, owner, world) {
            Ok((Some(record), imported)) => Change::Save(record, Ok(imported)),
            Ok((None, imported)) => Change::Keep(Ok(imported)),
            Err(failure) => Change::Keep(Err(failure)),
        }
    })
    .map_err(|error| of_store(&error))?
}

fn read(world: &World, asked: &Import) -> Found {
    let (now, config) = ((world.now)(), world.config);
    match asked.origin {
        Origin::GoogleAuthenticator => google_authenticator::read(&asked.lines, now, config),
        Origin::PamOath => {
            let zone = (world.zone)().ok();
            pam_oath::read(&asked.lines, asked.without_pin, zone.as_ref(), now, config)
        }
    }
}

/// What was found in the lines.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    /// Scratch codes, each with the number of its line.
    codes: Vec<(u32, Zeroizing<String>)>,
    skipped: Vec<SkippedLine>,
    notes: Vec<String>,
}

impl Found {
    fn skip(&mut self, line: u32, why: &str) {
        self.skipped.push(SkippedLine { line, why: why.to_owned() });
    }

    /// The codes that there is room for.
    fn codes(&self) -> impl Iterator<Item = &(u32, Zeroizing<String>)> {
        self.codes.iter().take(MAX_BACKUP_CODES)
    }
}

/// A device that can be taken over, without a label and a number.
struct Candidate {
    line: u32,
    device: Device,
}

/// What is to be entered into a record.
struct Entry<'a> {
    asked: &'a Import,
    found: &'a Found,
    /// The scratch codes, hashed, where they may be wanted.
    batch: Option<BackupCodes>,
}

impl Entry<'_> {
    /// The record with all of it, where that changes anything, and what there is to tell.
    fn enter(
        &self,
        mut record: UserRecord,
        owner: &Owner,
        world: &World,
    ) -> Result<(Option<UserRecord>, Imported), Failure> {
        let now = (world.now)();
        let was_enrolled = record.is_enrolled();
        let mut told = Imported {
            user: owner.name.clone(),
            uid: owner.uid,
            skipped: self.found.skipped.clone(),
            notes: self.found.notes.clone(),
            ..Imported::default()
        };
        let mut changed = false;
        for candidate in &self.found.candidates {
            let twin = record.devices.iter_mut().find(|one| one.makes_codes_of(&candidate.device));
            if let Some(twin) = twin {
                if !told.devices.iter().any(|device| device.label == twin.label)
                    && !told.known.contains(&twin.label)
                {
                    told.known.push(twin.label.clone());
                }
                // Only forward, and by what can have been used meanwhile as well.
                let before = twin.moving.clone();
                twin.pass_over_codes_of(std::slice::from_ref(&candidate.device));
                changed |= twin.moving != before;
                continue;
            }
            // The device may have been taken out, for it was lost, or the file may be a stranger's.
            if was_enrolled && self.asked.only_newcomers {
                let why = "is enrolled already; name the user by --user to add this key".to_owned();
                told.skipped.push(SkippedLine { line: candidate.line, why });
                continue;
            }
            match self.add(&mut record, &candidate.device, now) {
                Ok(device) => {
                    changed = true;
                    told.devices.push(device);
                }
                Err(why) => told.skipped.push(SkippedLine { line: candidate.line, why }),
            }
        }
        let has_new_codes = self.take_codes(&mut record, &mut told, now);
        // With the first device nothing is altered that somebody could miss.
        if was_enrolled {
            let added = told.devices.iter().map(|device| (Altered::Added, device.label.as_str()));
            let codes = has_new_codes.then_some((Altered::NewCodes, ""));
            for (what, label) in added.chain(codes) {
                Authority::Root.exercise(&mut record, what, label, now)?;
            }
        }
        told.skipped.sort_by_key(|skipped| skipped.line);
        told.changed = changed || has_new_codes;
        Ok((told.changed.then_some(record), told))
    }

    /// Adds a device, or says why there is no room for it.
    fn add(
        &self,
        record: &mut UserRecord,
        device: &Device,
        now: u64,
    ) -> Result<ImportedDevice, String> {
        if record.devices.len() >= MAX_DEVICES {
            return Err(format!("there are {MAX_DEVICES} devices, which is the most there can be"));
        }
        let label = free_label_of(record, self.asked.label.as_deref().unwrap_or(self.base()));
        judge_text(&label, "label").map_err(|failure| failure.error)?;
        let device = Device {
            id: record.next_id.max(1),
            label: label.clone(),
            added: now,
            ..device.clone()
        };
        let kind = device.kind();
        let before = (record.next_id, record.default);
        if record.devices.is_empty() {
            record.default = device.id;
        }
        record.next_id = device.id.saturating_add(1);
        record.devices.push(device);
        if record.has_room() {
            return Ok(ImportedDevice { label, kind });
        }
        record.devices.pop();
        (record.next_id, record.default) = before;
        Err("the record has no room for another device".to_owned())
    }

    fn base(&self) -> &'static str {
        match self.asked.origin {
            Origin::GoogleAuthenticator => "google-authenticator",
            Origin::PamOath => "oath",
        }
    }

    /// Makes backup codes of the scratch codes of a device that this import adds, where there are none. Whether there
    /// are some now. With a key that is known they may have been thrown away with good reason; without a device they would
    /// let in who counts as not enrolled.
    fn take_codes(&self, record: &mut UserRecord, told: &mut Imported, now: u64) -> bool {
        if self.found.codes.is_empty() || told.devices.is_empty() {
            return false;
        }
        if record.backup_codes.is_some() {
            told.notes.push(
                "The backup codes that there are stay, and scratch codes do not come.".to_owned(),
            );
            return false;
        }
        // Which of them were used is not known any more.
        if record.scratch_batch.is_some() {
            told.notes.push(
                "Scratch codes came once before, and do not come again: mfa-setup codes new makes others."
                    .to_owned(),
            );
            return false;
        }
        let Some(batch) = self.batch.clone().or_else(|| self.stand_in()) else {
            // There were others when it was begun.
            return false;
        };
        for (line, _) in self.found.codes.iter().skip(MAX_BACKUP_CODES) {
            let why = format!("there are more than {MAX_BACKUP_CODES} scratch codes");
            told.skipped.push(SkippedLine { line: *line, why });
        }
        record.scratch_batch = Some(batch.batch);
        // They are not older than what is told of them, or they would make it unseen.
        record.backup_codes = Some(BackupCodes { made: now, ..batch });
        if !record.has_room() {
            (record.backup_codes, record.scratch_batch) = (None, None);
            told.notes.push("The record has no room for the scratch codes.".to_owned());
            return false;
        }
        told.backup_codes = u32::try_from(self.found.codes().count()).unwrap_or(u32::MAX);
        true
    }

    /// What takes as much room as the codes in a dry run, for which nothing is hashed.
    fn stand_in(&self) -> Option<BackupCodes> {
        let code = |_: &_| BackupCode { hash: [0; 16], used: None };
        let codes = || self.found.codes().map(code).collect();
        let stand_in = || BackupCodes { batch: u64::MAX, salt: [0; 16], codes: codes(), made: 0 };
        self.asked.dry_run.then(stand_in)
    }
}

/// What stands in a line, without blanks at its ends.
fn text_of(line: &ImportLine) -> Option<&str> {
    str::from_utf8(line.text.expose()).ok().map(str::trim_ascii)
}

/// A device of another module's: both know SHA-1 alone.
fn device(key: Secret, digits: u8, moving: MovingFactor) -> Device {
    Device {
        id: 0,
        label: String::new(),
        key,
        algorithm: Algorithm::Sha1,
        digits,
        moving,
        added: 0,
        last_used: None,
        failures: 0,
        disabled: false,
    }
}

/// So many steps behind that of a time.
fn step_at(time: u64, period: u16, offset: i64) -> u64 {
    (time / u64::from(period.max(1))).saturating_add_signed(offset)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The lines of a file, as `mfa-setup` sends them.
    pub(super) fn lines(file: &[u8]) -> Vec<ImportLine> {
        let line =
            |(text, number): (&[u8], u32)| ImportLine { number, text: Secret::new(text.to_vec()) };
        file.split(|byte| *byte == b'\n').zip(1..).map(line).collect()
    }

    pub(super) fn skipped(found: &Found) -> Vec<u32> {
        found.skipped.iter().map(|skipped| skipped.line).collect()
    }
}
