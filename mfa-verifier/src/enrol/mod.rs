//! A new device, from its key to its record. Nothing is saved before a code of it was right.

mod first_code;
pub mod key;
mod mailbox;
mod qr;

use std::fmt::Write;

use mfa_protocol::escape::{escape, is_unsafe};
use mfa_protocol::message::{Added, Algorithm, DeviceKind, Failure, FailureKind, NewDevice};
use mfa_protocol::{Conversation, Prompt, Secret, Style};

use zeroize::{Zeroize, Zeroizing};

use self::first_code::View;
use self::qr::Drawing;
use crate::access_tokens::no_room;
use crate::factor::Typed;
use crate::factor::codes;
use crate::factor::mail_code::LENGTH;
use crate::failure::{failure, of_codes, of_conversation, of_store, usage};
use crate::record::{
    Altered, BackupCodes, Device, MAX_DEVICES, MAX_LABEL, MovingFactor, Use, UserRecord,
};
use crate::self_service::Authority;
use crate::source::Source;
use crate::store::{self, Change, Owner};
use crate::world::{World, key_length};

/// Wrong first codes, and wrong backup codes at the end, before an enrolment is given up.
const TRIES: usize = 5;

/// A device that can be enrolled, in the record as it was looked at.
pub(crate) struct Prepared<'a> {
    wanted: &'a NewDevice,
    record: &'a UserRecord,
    /// Its label is empty where the person is to choose one.
    device: Device,
    /// From where somebody logs in by this.
    login_from: Option<Source>,
}

impl Prepared<'_> {
    /// Its first code is to let somebody in who logs in from there. What their terminal can show is
    /// only guessed.
    pub(crate) fn at_login(self, from: Source) -> Self {
        Self { login_from: Some(from), ..self }
    }
}

/// Judges what was asked for before anybody is asked anything, and makes the device of it.
pub(crate) fn prepare<'a>(
    world: &World,
    record: &'a UserRecord,
    wanted: &'a NewDevice,
) -> Result<Prepared<'a>, Failure> {
    if !wanted.guided {
        refuse_full(record)?;
    }
    let label = match &wanted.label {
        Some(label) => {
            judge_label(record, label)?;
            label.clone()
        }
        None if wanted.guided => String::new(),
        None => free_label(record, wanted.kind),
    };
    Ok(Prepared { wanted, record, device: new_device(world, wanted, &label)?, login_from: None })
}

/// Enrols a device that was [`prepare`]d for `owner`.
///
/// In this order, so that giving up at any question leaves no trace: key and QR code are shown, a
/// first code must be right, backup codes are shown and one of them is typed, and only then
/// everything is saved at once.
pub(crate) fn add(
    world: &World,
    owner: &Owner,
    prepared: Prepared<'_>,
    authority: &Authority,
    conversation: &mut dyn Conversation,
) -> Result<Added, Failure> {
    let Prepared { wanted, record, mut device, login_from } = prepared;
    if wanted.guided {
        introduce(owner, conversation);
    }
    let mut replaces = None;
    if device.label.is_empty() {
        (device.label, replaces) = choose_label(record, wanted.kind, conversation)?;
    }
    let (secret, uri) = if device.kind() == DeviceKind::Email {
        device.moving = mailbox::verified(world, owner, conversation)?;
        (Zeroizing::default(), Zeroizing::default())
    } else {
        let issuer = world.config.totp.issuer.replace("{hostname}", world.hostname);
        let uri = key::uri(&device, &issuer, &owner.name);
        if wanted.secret.is_some() {
            advise_on_key(record, &device, conversation);
        }
        let view = View { device: &device, uri: &uri, columns: wanted.terminal.columns };
        let drawing = Drawing { utf8: wanted.terminal.utf8, inverted: false };
        // Without a first code nobody would notice; what brings its key along makes such codes already.
        if wanted.show || wanted.secret.is_none() {
            view.warn(conversation);
        }
        let drawn = wanted.show && view.show(drawing, conversation);
        if wanted.confirm {
            let uncertain = drawn && login_from.is_some();
            device.moving = view.confirm(world, uncertain.then_some(drawing), conversation)?;
        }
        (key::encode(&device.key), uri)
    };
    let first = !record.is_enrolled();
    let (batch, backup_codes) = if first {
        let count = world.config.backup_codes.count;
        let (batch, shown) = codes::new_batch(count, (world.now)()).map_err(|e| of_codes(&e))?;
        (Some(batch), shown)
    } else {
        (None, Vec::new())
    };
    let codes_shown = first && wanted.show && wanted.confirm;
    if let (true, Some(batch)) = (codes_shown, &batch) {
        hand_over(batch, &backup_codes, conversation)?;
    }
    let enrolment = Enrolment { device, replaces, batch, login_from };
    let device = enrolment.save(world, owner, authority)?;
    Ok(Added {
        user: owner.name.clone(),
        uid: owner.uid,
        id: device.id,
        label: device.label.clone(),
        kind: device.kind(),
        secret: Secret::from(secret.as_str()),
        uri: Secret::from(uri.as_str()),
        backup_codes,
        codes_shown,
    })
}

/// A new batch of codes shown to a person, who shows that they are kept by typing one of them. The
/// one that is typed is not used up.
fn hand_over(
    batch: &BackupCodes,
    shown: &[Secret],
    conversation: &mut dyn Conversation,
) -> Result<(), Failure> {
    conversation.tell(
        Style::Info,
        "Backup codes. Each lets you in once when the device is not at hand.\n\
         Keep them where the device is not; they are not shown again:\n",
    );
    let mut list = String::with_capacity(shown.len() * 32);
    for (index, code) in shown.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = writeln!(list, "  {:>2}  {}", index + 1, code.expose_str().unwrap_or_default());
    }
    conversation.tell(Style::Info, &list);
    list.zeroize();
    for _ in 0..TRIES {
        let prompt = Prompt::visible("Type one of these codes, to show that you have kept them: ");
        let answer = conversation.ask(&prompt).map_err(of_conversation)?.into_text();
        if let Typed::BackupCode(plain) = Typed::of(answer.expose()) {
            let hash = codes::hash(&plain, &batch.salt).map_err(|error| of_codes(&error))?;
            if codes::position(batch, &hash).is_some() {
                return Ok(());
            }
        }
        conversation.tell(Style::Error, "That is none of the codes above.");
    }
    Err(failure(FailureKind::Refused, "none of the codes was typed", "nothing was changed"))
}

fn refuse_full(record: &UserRecord) -> Result<(), Failure> {
    if record.devices.len() < MAX_DEVICES {
        return Ok(());
    }
    Err(usage(
        format!("{MAX_DEVICES} devices are enrolled, which is the most there can be"),
        "remove one first: mfa-setup remove LABEL",
    ))
}

fn introduce(owner: &Owner, conversation: &mut dyn Conversation) {
    let text = format!(
        "A second factor for {}: an authenticator app on a phone,\n\
         which shows a code that changes every half minute.\n\
         Nothing is saved before the end; Ctrl-C leaves everything as it was.\n",
        escape(&owner.name)
    );
    conversation.tell(Style::Info, &text);
}

/// Asks for a label. That of a device that is there means, if the person says so, that the new one
/// takes its place: then its id comes along.
fn choose_label(
    record: &UserRecord,
    kind: DeviceKind,
    conversation: &mut dyn Conversation,
) -> Result<(String, Option<u32>), Failure> {
    let proposal = free_label(record, kind);
    let mut last = failure(FailureKind::Refused, "no name was chosen", "nothing was changed");
    for _ in 0..TRIES {
        let prompt = Prompt::visible(format!("A name for the device [{proposal}]: "));
        let answer = conversation.ask(&prompt).map_err(of_conversation)?.into_text();
        let typed = answer.expose_str().map_or("\u{fffd}", str::trim);
        let label = if typed.is_empty() { proposal.clone() } else { typed.to_owned() };
        if let Some(there) = record.device(&label) {
            let question =
                format!("There is a device \"{}\" already. Replace it? [y/N] ", escape(&label));
            if conversation.ask(&Prompt::yes_no(question)).map_err(of_conversation)?.is_yes() {
                return Ok((label, Some(there.id)));
            }
            continue;
        }
        match refuse_full(record).and(judge_label(record, &label)) {
            Ok(()) => return Ok((label, None)),
            // The code that was given for this is used up already, so a slip does not end it.
            Err(failure) => {
                let text = format!("{}: {}.", failure.error, failure.hint);
                conversation.tell(Style::Error, &text);
                last = failure;
            }
        }
    }
    Err(last)
}

fn judge_label(record: &UserRecord, label: &str) -> Result<(), Failure> {
    judge_text(label, "label")?;
    if record.device(label).is_some() {
        return Err(usage(
            format!("there is a device \"{}\" already", escape(label)),
            "choose another label with --label, or remove that device first",
        ));
    }
    Ok(())
}

/// What is odd in a key that somebody brings along.
fn advise_on_key(record: &UserRecord, device: &Device, conversation: &mut dyn Conversation) {
    if let Some(advice) = key::advice(&device.key) {
        conversation.tell(Style::Info, &advice);
    }
    if let Some(twin) = record.devices.iter().find(|other| other.makes_codes_of(device)) {
        let text = format!(
            "The device \"{}\" has this key already: each code is accepted once, of the one or the other, and \
             who removes one of the two leaves the other.",
            escape(&twin.label)
        );
        conversation.tell(Style::Info, &text);
    }
}

/// Whether something may be called so in a record; `what` says what is to be called so.
pub(crate) fn judge_text(text: &str, what: &str) -> Result<(), Failure> {
    let refused = |hint: String| Err(usage(format!("\"{}\" is no {what}", escape(text)), hint));
    if text.is_empty() || text.len() > MAX_LABEL || text.trim() != text {
        return refused(format!("a {what} has 1 to {MAX_LABEL} bytes and no blank at either end"));
    }
    if text.chars().any(|c| is_unsafe(c) || c == '\u{fffd}') {
        return refused("control and invisible characters are not allowed in it".to_owned());
    }
    Ok(())
}

/// The label that is proposed for a device.
pub(crate) fn free_label(record: &UserRecord, kind: DeviceKind) -> String {
    let base = match kind {
        DeviceKind::Totp => "phone",
        DeviceKind::Hotp => "token",
        DeviceKind::Email => "e-mail",
    };
    free_label_of(record, base)
}

/// This label, with a number behind it where it is taken.
pub(crate) fn free_label_of(record: &UserRecord, base: &str) -> String {
    let numbered = (2..).map(|n| format!("{base} {n}"));
    std::iter::once(base.to_owned())
        .chain(numbered)
        .find(|label| record.device(label).is_none())
        .unwrap_or_default()
}

fn new_device(world: &World, wanted: &NewDevice, label: &str) -> Result<Device, Failure> {
    let defaults = &world.config.totp;
    let algorithm = wanted.algorithm.unwrap_or(match wanted.kind {
        DeviceKind::Totp => defaults.algorithm,
        DeviceKind::Hotp | DeviceKind::Email => Algorithm::Sha1,
    });
    let digits = wanted.digits.unwrap_or(match wanted.kind {
        DeviceKind::Totp => defaults.digits,
        DeviceKind::Hotp => 6,
        DeviceKind::Email => LENGTH,
    });
    if !(6..=8).contains(&digits) {
        return Err(usage(format!("{digits} is no number of digits"), "choose 6, 7 or 8"));
    }
    let moving = match (wanted.kind, wanted.period, wanted.counter) {
        (DeviceKind::Totp, period, None) => {
            let period = period.unwrap_or(defaults.period);
            if !(15..=300).contains(&period) {
                return Err(usage(format!("{period} is no period"), "choose 15 to 300 seconds"));
            }
            MovingFactor::Time { period, last_step: None, drift: 0, candidate: None }
        }
        // It has no next one, so its code could never be marked as used.
        (DeviceKind::Hotp, None, Some(counter @ u64::MAX)) => {
            return Err(usage(format!("{counter} is no counter"), "choose a smaller one"));
        }
        (DeviceKind::Hotp, None, counter) => {
            MovingFactor::Counter { next: counter.unwrap_or(0), candidate: None }
        }
        // Until the person has named an address.
        (DeviceKind::Email, None, None) if is_plain(wanted) => {
            MovingFactor::Sent { address: mailbox::sender(world)?.clone() }
        }
        (DeviceKind::Email, _, _) => {
            return Err(usage(
                "an e-mail device has nothing but a label and an address, which is always verified",
                "leave the other options out",
            ));
        }
        (DeviceKind::Totp, _, Some(_)) => {
            return Err(usage("a TOTP device has no counter", "leave --counter out"));
        }
        (DeviceKind::Hotp, Some(_), _) => {
            return Err(usage("a HOTP device has no period", "leave --period out"));
        }
    };
    Ok(Device {
        id: 0,
        label: label.to_owned(),
        key: device_key(wanted, algorithm)?,
        algorithm,
        digits,
        moving,
        added: (world.now)(),
        last_used: None,
        failures: 0,
        disabled: false,
    })
}

/// Whether nothing was asked for that a device to which codes are sent does not have.
fn is_plain(wanted: &NewDevice) -> bool {
    wanted.algorithm.is_none()
        && wanted.digits.is_none()
        && wanted.secret.is_none()
        && wanted.confirm
}

fn device_key(wanted: &NewDevice, algorithm: Algorithm) -> Result<Secret, Failure> {
    if let Some(given) = &wanted.secret {
        return given.expose_str().ok_or(key::KeyError::NotBase32).and_then(key::parse).map_err(
            |error| {
                let hint = match error {
                    key::KeyError::TooShort | key::KeyError::TooLong => {
                        "give another key, or let one be made"
                    }
                    _ => "give one line of base32: letters A to Z and digits 2 to 7",
                };
                usage(error.to_string(), hint)
            },
        );
    }
    let mut bytes = vec![0u8; key_length(algorithm)];
    getrandom::fill(&mut bytes).map_err(|error| of_codes(&error.into()))?;
    Ok(Secret::new(bytes))
}

/// What is to be saved at the end.
struct Enrolment {
    device: Device,
    /// The device whose place it takes.
    replaces: Option<u32>,
    /// With the first device come backup codes.
    batch: Option<BackupCodes>,
    /// From where its first code lets somebody in.
    login_from: Option<Source>,
}

impl Enrolment {
    /// Saves it all at once. What was judged before the person typed is judged again, since another
    /// change may have ended meanwhile.
    fn save(&self, world: &World, owner: &Owner, authority: &Authority) -> Result<Device, Failure> {
        store::update(world.store_to_enrol_in()?, owner, |mut record| {
            let now = (world.now)();
            match self.enter(&mut record, authority, now) {
                Ok(device) => {
                    if let Some(source) = self.login_from {
                        record.lockout.clear_source(source, now, &world.config.lockout);
                    }
                    Change::Save(record, Ok(device))
                }
                Err(failure) => Change::Keep(Err(failure)),
            }
        })
        .map_err(|error| of_store(&error))?
    }

    fn enter(
        &self,
        record: &mut UserRecord,
        authority: &Authority,
        now: u64,
    ) -> Result<Device, Failure> {
        if record.is_enrolled() != self.batch.is_none() {
            return Err(failure(
                FailureKind::Refused,
                "the enrolment was changed by somebody else meanwhile",
                "nothing was changed; look at it with: mfa-setup status",
            ));
        }
        let label = &self.device.label;
        match (&self.batch, self.replaces) {
            // With the first device nothing is altered that somebody could miss.
            (Some(_), _) => authority.spend(record, now),
            (None, None) => authority.exercise(record, Altered::Added, label, now),
            (None, Some(_)) => authority.exercise(record, Altered::Replaced, label, now),
        }?;
        let twins = record.devices.clone();
        record.devices.retain(|other| Some(other.id) != self.replaces);
        refuse_full(record)?;
        judge_label(record, label)?;
        let mut device = Device {
            id: record.next_id.max(1),
            added: now,
            last_used: self.login_from.map(|from| Use { at: now, from }),
            ..self.device.clone()
        };
        device.pass_over_codes_of(&twins);
        record.next_id = device.id.saturating_add(1);
        if self.batch.is_some() || self.replaces == Some(record.default) {
            record.default = device.id;
        }
        if self.batch.is_some() {
            record.backup_codes.clone_from(&self.batch);
        }
        record.devices.push(device.clone());
        if record.has_room() { Ok(device) } else { Err(no_room()) }
    }
}
