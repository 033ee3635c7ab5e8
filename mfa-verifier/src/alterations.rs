//! What was altered in a record, told to its owner at the next login (and by mail: `notices`). Pure.
//!
//! Who altered it with a stolen code must not be able to make that unseen with what they put there.
//! So nothing is settled but by a login with a factor that is older than the oldest alteration of
//! all, and the oldest are the ones that are kept where there are too many. Without such a login
//! each is told for two weeks, and once at any rate to who still has a factor.

use std::fmt::Write;

use mfa_protocol::escape::escape;

use crate::audit::timestamp;
use crate::judge::Accepted;
use crate::record::{Alteration, Altered, MAX_ALTERATIONS, UserRecord};

/// Seconds for which an alteration is told where no older factor is used: two weeks.
const KEPT: u64 = 14 * 86_400;

impl UserRecord {
    /// Notes an alteration. Where there are too many, the latest gives way.
    pub fn note(&mut self, alteration: Alteration) {
        let same = |noted: &&mut Alteration| {
            (noted.what, &noted.label, noted.by_root)
                == (alteration.what, &alteration.label, alteration.by_root)
        };
        if let Some(noted) = self.alterations.iter_mut().find(same) {
            noted.again = Some(alteration.at);
            return;
        }
        self.alterations.truncate(MAX_ALTERATIONS - 1);
        self.alterations.push(alteration);
    }

    /// What is to be told to who got in by `accepted`; what is settled by that is forgotten.
    pub fn take_news(&mut self, accepted: &Accepted, now: u64) -> Vec<Alteration> {
        let news = self.alterations.clone();
        let since = match accepted {
            Accepted::Device { label, .. } => self.device(label).map(|device| device.added),
            Accepted::BackupCode { .. } => self.backup_codes.as_ref().map(|batch| batch.made),
            // Who talked the helpdesk into one must not make it unseen by it; and what a script is told nobody
            // has read.
            Accepted::Bypass { .. } | Accepted::Token { .. } => None,
        };
        let oldest = news.iter().map(|alteration| alteration.at).min();
        if since.zip(oldest).is_some_and(|(since, oldest)| since < oldest) {
            self.alterations.clear();
        }
        // Somebody who got in by a bypass code has not shown to be the owner, who may be away for longer.
        if !matches!(accepted, Accepted::Bypass { .. }) {
            self.alterations.retain(|alteration| is_young(alteration, now));
        }
        news
    }

    /// What is to be told to who has no factor any more.
    #[must_use]
    pub fn news(&self, now: u64) -> Vec<Alteration> {
        self.alterations.iter().filter(|alteration| is_young(alteration, now)).cloned().collect()
    }
}

fn is_young(alteration: &Alteration, now: u64) -> bool {
    now.saturating_sub(alteration.again.unwrap_or(alteration.at)) <= KEPT
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
        let what = what_was(alteration.what, &alteration.label);
        let by = if alteration.by_root { " by root" } else { "" };
        let again = alteration.again.map(timestamp);
        let again = again.map_or(String::new(), |time| format!(", and again, last at {time}"));
        // Writing to a String does not fail.
        let _ = writeln!(text, "{time}: {what}{by}{again}.");
    }
    text.push_str("If that was not you, tell your administrator.");
    Some(text)
}

/// One alteration in words.
#[must_use]
pub fn what_was(altered: Altered, label: &str) -> String {
    let label = escape(label);
    let device = format!("device \"{label}\"");
    let token = format!("access token \"{label}\"");
    match altered {
        Altered::Added => format!("{device} was added"),
        Altered::Replaced => format!("{device} was replaced"),
        Altered::Removed => format!("{device} was removed"),
        Altered::Default => format!("{device} became the default"),
        Altered::Resynchronised => format!("{device} was resynchronised"),
        Altered::NewCodes => "new backup codes were made".to_owned(),
        Altered::TokenMade => format!("{token} was made"),
        Altered::TokenRevoked => format!("{token} was revoked"),
        Altered::BypassMade => "a bypass code was made".to_owned(),
        Altered::BypassRevoked => "the bypass code was revoked".to_owned(),
        Altered::Disabled => format!("{device} was disabled"),
        Altered::Enabled => format!("{device} was enabled again"),
        Altered::Required => "a second factor was made a requirement".to_owned(),
        Altered::NotRequired => "the requirement of a second factor was taken back".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::codes;
    use crate::factor::otp::tests::device;
    use mfa_protocol::message::{Algorithm, DeviceKind};

    const NOW: u64 = 1_800_000_000;

    fn added(label: &str, at: u64) -> Alteration {
        Alteration {
            at,
            again: None,
            what: Altered::Added,
            label: label.to_owned(),
            by_root: false,
        }
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
    fn a_bypass_code_settles_nothing() {
        let mut record = record();
        let made = Alteration { what: Altered::BypassMade, by_root: true, ..added("", NOW - 50) };
        record.note(made);
        for later in [60, 61, KEPT + 60, KEPT + 61] {
            let news = record.take_news(&Accepted::Bypass { uses_left: 0 }, NOW + later);
            assert_eq!(news.len(), 2, "{later} s later");
        }
        assert_eq!(record.take_news(&by("phone"), NOW + 90).len(), 2);
        assert_eq!(record.alterations, []);
    }

    #[test]
    fn it_is_told_once_however_old_and_no_longer_than_two_weeks_after_that() {
        let mut record = record();
        assert_eq!(record.take_news(&by("tablet"), NOW + KEPT + 1).len(), 1);
        assert_eq!(record.take_news(&by("tablet"), NOW + KEPT + 2).len(), 0);
    }

    #[test]
    fn what_the_new_device_alters_later_does_not_hide_that_it_was_added() {
        let mut record = record();
        for n in 1..20 {
            let other = Alteration { what: Altered::Default, ..added(&n.to_string(), NOW + n) };
            record.note(other);
        }
        let news = record.take_news(&by("tablet"), NOW + 60);
        assert_eq!(news.len(), MAX_ALTERATIONS);
        assert_eq!((&news[0], news[11].label.as_str()), (&added("tablet", NOW), "19"));
        assert_eq!(record.alterations, news);
        // Of what was altered a codes' batch that is made in between is no older witness.
        record.backup_codes = Some(codes::new_batch(1, NOW + 5).unwrap().0);
        record.take_news(&Accepted::BackupCode { number: 1 }, NOW + 90);
        assert_eq!(record.alterations, news);
    }

    #[test]
    fn what_is_done_once_more_is_told_with_both_times_and_as_long_as_the_later_one() {
        let mut record = record();
        let later = NOW + KEPT;
        record.note(added("tablet", later));
        let news = record.take_news(&by("tablet"), later + KEPT);
        assert_eq!(news, [Alteration { again: Some(later), ..added("tablet", NOW) }]);
        assert_eq!(record.alterations, news);
        let text = tell(&[Alteration { again: Some(60), ..added("x", 0) }]).unwrap();
        assert!(text.contains("was added, and again, last at 1970-01-01T00:01:00Z.\n"), "{text}");
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
