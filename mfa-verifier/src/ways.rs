//! The ways in which somebody can give a code, as an answer of `?` lists them. Pure.

use std::fmt::Write;

use mfa_protocol::escape::escape;

use crate::config::Methods;
use crate::factor::Method;
use crate::record::{Device, UserRecord};

/// What the device of a decoy is called, which has no label: what an app is called if nobody says
/// otherwise.
const USUAL_LABEL: &str = "phone";

/// All of one user's, in the order in which they are numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ways(Vec<Way>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// A device's codes.
    Device {
        /// Its number in the record.
        id: u32,
        label: String,
        method: Method,
    },
    /// A backup code.
    BackupCode,
}

impl Ways {
    /// Those of a record that policy accepts. Whether any backup codes are left is not told.
    pub(crate) fn of(record: &UserRecord, methods: Methods) -> Self {
        let accepted = |device: &&Device| !device.disabled && methods.accept(device.kind().into());
        let devices = record.devices.iter().filter(accepted).map(|device| Way::Device {
            id: device.id,
            label: if device.label.is_empty() { USUAL_LABEL } else { &device.label }.to_owned(),
            method: device.kind().into(),
        });
        let codes = record.backup_codes.is_some() && methods.backup_code;
        Self(devices.chain(codes.then_some(Way::BackupCode)).collect())
    }

    /// The lines for a person.
    pub(crate) fn list(&self) -> String {
        let mut text = "A code can be given by:".to_owned();
        for (way, number) in self.0.iter().zip(1..) {
            // Writing to a String does not fail.
            let _ = write!(text, "\n  {number}  {}", way.description());
        }
        text
    }

    /// The one that was meant: by its number, or by a device's label to the letter.
    pub(crate) fn choose(&self, answer: &str) -> Option<&Way> {
        let by_label = |way: &&Way| matches!(way, Way::Device { label, .. } if label == answer);
        let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        number.and_then(|index| self.0.get(index)).or_else(|| self.0.iter().find(by_label))
    }

    /// The one that is the person's default, or the first where that one is not accepted.
    pub(crate) fn default(&self, record: &UserRecord) -> Option<&Way> {
        let default = |way: &&Way| matches!(way, Way::Device { id, .. } if *id == record.default);
        self.0.iter().find(default).or_else(|| self.0.first())
    }
}

impl Way {
    fn description(&self) -> String {
        let Self::Device { label, method, .. } = self else {
            return "one of the backup codes".to_owned();
        };
        let label = escape(label);
        match method {
            Method::Email => format!("{label} (e-mail; a code is sent)"),
            Method::Hotp => format!("{label} (token)"),
            _ => format!("{label} (app)"),
        }
    }

    /// What is asked once it was chosen.
    pub(crate) fn prompt(&self) -> String {
        match self {
            Self::Device { label, method: Method::Email, .. } => {
                format!("Code sent to \"{}\": ", escape(label))
            }
            Self::Device { label, .. } => format!("Code of \"{}\": ", escape(label)),
            Self::BackupCode => "Backup code: ".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::factor::codes;
    use crate::factor::otp::tests::{counter_device, device};
    use crate::world::decoy;
    use mfa_protocol::message::Algorithm;

    /// An app, a token, a device that is disabled, and backup codes.
    fn record() -> UserRecord {
        let mut token = counter_device(0);
        (token.id, token.label) = (2, "yellow\u{202e}token".to_owned());
        let mut lost = device(b"x", Algorithm::Sha1, 6);
        (lost.id, lost.label, lost.disabled) = (3, "lost".to_owned(), true);
        UserRecord {
            devices: vec![device(b"0123456789", Algorithm::Sha1, 6), token, lost],
            default: 2,
            backup_codes: Some(codes::new_batch(1, 0).unwrap().0),
            ..UserRecord::default()
        }
    }

    #[test]
    fn devices_are_listed_with_numbers_and_escaped_labels_and_the_codes_come_last() {
        assert_eq!(
            Ways::of(&record(), Methods::ALL).list(),
            "A code can be given by:\n\
             \x20 1  phone (app)\n\
             \x20 2  yellow\\u{202e}token (token)\n\
             \x20 3  one of the backup codes"
        );
    }

    #[test]
    fn what_policy_does_not_accept_is_not_listed_and_does_not_shift_the_default() {
        let record = record();
        let methods = Methods { totp: true, backup_code: true, ..Methods::NONE };
        let ways = Ways::of(&record, methods);
        assert_eq!(
            ways.list(),
            "A code can be given by:\n  1  phone (app)\n  2  one of the backup codes"
        );
        assert_eq!(ways.default(&record).unwrap().prompt(), "Code of \"phone\": ");
        let all = Ways::of(&record, Methods::ALL);
        assert_eq!(all.default(&record).unwrap().prompt(), "Code of \"yellow\\u{202e}token\": ");
    }

    #[test]
    fn a_way_is_chosen_by_its_number_or_by_the_devices_label() {
        let ways = Ways::of(&record(), Methods::ALL);
        for (answer, prompt) in [
            ("1", Some("Code of \"phone\": ")),
            ("phone", Some("Code of \"phone\": ")),
            ("3", Some("Backup code: ")),
            ("0", None),
            ("4", None),
            ("-1", None),
            ("Phone", None),
            ("lost", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(ways.choose(answer).map(Way::prompt).as_deref(), prompt, "{answer:?}");
        }
    }

    #[test]
    fn a_decoy_is_listed_as_somebody_who_gave_no_label_would_be() {
        let ways = Ways::of(&decoy(&Config::default()).unwrap(), Methods::ALL);
        assert_eq!(
            ways.list(),
            "A code can be given by:\n  1  phone (app)\n  2  one of the backup codes"
        );
    }
}
