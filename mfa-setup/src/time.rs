//! Seconds since the epoch, as people and programs read them. UTC only.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// The last second of the year 9999, the last one that RFC 3339 can write.
const LAST: i64 = 253_402_300_799;

/// Now, in seconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2026-11-22T02:31:28Z`. What lies beyond the year 9999 is shown as its last second.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let (date, time) = parts(seconds);
    format!("{date}T{time}Z")
}

/// `2026-11-22 02:31`, for tables.
#[must_use]
pub fn short(seconds: u64) -> String {
    let (date, time) = parts(seconds);
    format!("{date} {}", time.get(..5).unwrap_or_default())
}

/// `2026-11-22` and `02:31:28`.
fn parts(seconds: u64) -> (String, String) {
    let seconds = i64::try_from(seconds).unwrap_or(LAST).min(LAST);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    (at.date().to_string(), format!("{hour:02}:{minute:02}:{second:02}"))
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
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (1_795_314_688, "2026-11-22T02:31:28Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (20_000_000_000, "2603-10-11T11:33:20Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
        assert_eq!(short(1_795_314_688), "2026-11-22 02:31");
    }
}
