//! What was altered in a record, told to its owner at the next login. Pure.
//!
//! Who altered it with a stolen code must not be able to make that unseen by logging in once with
//! what they put there. So an alteration is told at every login until one with a factor that is older
//! than it, and for a week at the longest.

use std::fmt::Write;

use mfa_protocol::escape::escape;

use crate::audit::timestamp;
use crate::judge::Accepted;
use crate::record::{Alteration, Altered, MAX_ALTERATIONS, UserRecord};

/// Seconds for which an alteration is told where no older factor is used: a week.
const KEPT: u64 = 7 * 86_400;

impl UserRecord {
    /// Notes an alteration. The oldest gives way where there are too many.
    pub fn note(&mut self, alteration: Alteration) {
        let surplus = (self.alterations.len() + 1).saturating_sub(MAX_ALTERATIONS);
        self.alterations.drain(..surplus);
        self.alterations.push(alteration);
    }

    /// What is to be told to who got in by `accepted`; what is settled by that is forgotten.
    pub fn take_news(&mut self, accepted: &Accepted, now: u64) -> Vec<Alteration> {
        let news = self.alterations.clone();
        let since = match accepted {
            Accepted::Device { label, .. } => self.device(label).map(|device| device.added),
            Accepted::BackupCode { .. } => self.backup_codes.as_ref().map(|batch| batch.made),
        };
        self.alterations.retain(|alteration| {
            is_young(alteration, now) && since.is_none_or(|since| since >= alteration.at)
        });
        news
    }

    /// What is to be told to who has no factor any more.
    #[must_use]
    pub fn news(&self, now: u64) -> Vec<Alteration> {
        self.alterations.iter().filter(|alteration| is_young(alteration, now)).cloned().collect()
    }
}

fn is_young(alteration: &Alteration, now: u64) -> bool {
    now.saturating_sub(alteration.at) <= KEPT
}

/// The lines for a person; none where there is nothing to tell.
#[must_use]
pub fn tell(news: &[Alteration]) -> Option<String> {
    if news.is_empty() {
        return None;
    }
    let mut text = String::new();
    for alteration in news {
        let time = timestamp(alteration.at);
        let device = format!("device \"{}\"", escape(&alteration.label));
        let what = match alteration.what {
            Altered::Added => format!("{device} was added"),
            Altered::Replaced => format!("{device} was replaced"),
            Altered::Removed => format!("{device} was removed"),
            Altered::Default => format!("{device} became the default"),
            Altered::Resynchronised => format!("{device} was resynchronised"),
            Altered::NewCodes => "new backup codes were made".to_owned(),
        };
        let by = if alteration.by_root { " by root" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{time}: {what}{by}.");
    }
    text.push_str("If that was not you, tell your administrator.");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::codes;
    use crate::factor::otp::tests::device;
    use mfa_protocol::message::{Algorithm, DeviceKind};

    const NOW: u64 = 1_800_000_000;

    fn added(label: &str, at: u64) -> Alteration {
        Alteration { at, what: Altered::Added, label: label.to_owned(), by_root: false }
    }

    fn by(label: &str) -> Accepted {
        Accepted::Device { kind: DeviceKind::Totp, label: label.to_owned(), learned_drift: None }
    }

    /// A phone that was there before, and a tablet that was added at `NOW`.
    fn record() -> UserRecord {
        let (mut phone, mut tablet) =
            (device(b"1", Algorithm::Sha1, 6), device(b"2", Algorithm::Sha1, 6));
        phone.added = NOW - 100;
        tablet.label = "tablet".to_owned();
        tablet.added = NOW;
        let mut record = UserRecord { devices: vec![phone, tablet], ..UserRecord::default() };
        record.note(added("tablet", NOW));
        record
    }

    #[test]
    fn the_new_device_does_not_make_its_own_addition_unseen() {
        let mut record = record();
        for _ in 0..3 {
            assert_eq!(record.take_news(&by("tablet"), NOW + 60), [added("tablet", NOW)]);
        }
        assert_eq!(record.take_news(&by("phone"), NOW + 90), [added("tablet", NOW)]);
        assert_eq!(record.take_news(&by("phone"), NOW + 120), []);
    }

    #[test]
    fn a_backup_code_of_an_older_batch_settles_it_too() {
        let mut record = record();
        let used = Accepted::BackupCode { number: 1 };
        record.backup_codes = Some(codes::new_batch(1, NOW).unwrap().0);
        assert_eq!(record.take_news(&used, NOW + 60).len(), 1);
        record.backup_codes.as_mut().unwrap().made = NOW - 1;
        assert_eq!(record.take_news(&used, NOW + 60).len(), 1);
        assert_eq!(record.take_news(&used, NOW + 60).len(), 0);
    }

    #[test]
    fn it_is_told_once_however_old_and_no_longer_than_a_week_after_that() {
        let mut record = record();
        assert_eq!(record.take_news(&by("tablet"), NOW + KEPT + 1).len(), 1);
        assert_eq!(record.take_news(&by("tablet"), NOW + KEPT + 2).len(), 0);
    }

    #[test]
    fn the_latest_eight_are_kept() {
        let mut record = UserRecord::default();
        for n in 0..20 {
            record.note(added("x", n));
        }
        let times: Vec<u64> = record.alterations.iter().map(|alteration| alteration.at).collect();
        assert_eq!(times, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn the_words_say_when_what_and_who() {
        assert_eq!(tell(&[]), None);
        let mut codes = added("", 0);
        codes.what = Altered::NewCodes;
        codes.by_root = true;
        let text = tell(&[added("a\nb", 60), codes]).unwrap();
        assert_eq!(
            text,
            "1970-01-01T00:01:00Z: device \"a\\u{a}b\" was added.\n\
             1970-01-01T00:00:00Z: new backup codes were made by root.\n\
             If that was not you, tell your administrator."
        );
    }
}
