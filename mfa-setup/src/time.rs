//! Seconds since the epoch, as people and programs read them. UTC only.

use std::time::{SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, the last one that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

/// Now, in seconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2026-11-22T02:31:28Z`. What lies beyond the year 9999 is shown as its last second.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let Parts { year, month, day, hour, minute, second } = Parts::of(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-11-22 02:31`, for tables.
#[must_use]
pub fn short(seconds: u64) -> String {
    let Parts { year, month, day, hour, minute, .. } = Parts::of(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

struct Parts {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Parts {
    fn of(seconds: u64) -> Self {
        let seconds = seconds.min(LAST);
        let (year, month, day) = civil(seconds / DAY);
        let rest = seconds % DAY;
        Self { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Counts from 0000-03-01 in eras of 400 years, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is 0 here; 153 days are five months of 31, 30, 31, 30, 31.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year_later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + year_later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (1_795_314_688, "2026-11-22T02:31:28Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (20_000_000_000, "2603-10-11T11:33:20Z"),
            (LAST, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
        assert_eq!(short(1_795_314_688), "2026-11-22 02:31");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..146_097 {
            let after = civil(day);
            let next_day = after == (before.0, before.1, before.2 + 1);
            let next_month = after == (before.0, before.1 + 1, 1) && before.2 >= 28;
            let next_year = after == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31);
            assert!(next_day || next_month || next_year, "{before:?} {after:?}");
            before = after;
        }
        assert_eq!(before, (2369, 12, 31));
    }
}
