//! What a clock on the wall shows on this host.
//!
//! Read from the host's zone file, whatever the environment says (`TZ`), and without the C library,
//! whose idea of it is one for all threads.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The host's zone, tzfile(5).
const ZONE: &str = "/etc/localtime";

/// Bytes of a zone file, of which the largest have some 4,000.
const MAX_FILE: u64 = 64 * 1024;

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

/// The zone is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("the time zone cannot be read from {ZONE}: {0}")]
pub struct ZoneError(String);

impl Zone {
    /// That of this host; UTC where none is set, localtime(5).
    pub fn of_this_host() -> Result<Self, ZoneError> {
        let mut file = Vec::new();
        match File::open(ZONE).and_then(|zone| zone.take(MAX_FILE).read_to_end(&mut file)) {
            Ok(_) => Self::of_file(&file),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(TimeZone::UTC)),
            Err(error) => Err(error.into()),
        }
    }

    fn of_file(file: &[u8]) -> Result<Self, ZoneError> {
        TimeZone::tzif("Local", file).map(Self).map_err(|error| ZoneError(error.to_string()))
    }

    /// By a rule of POSIX: `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn of_rule(rule: &str) -> Result<Self, ZoneError> {
        TimeZone::posix(rule).map(Self).map_err(|error| ZoneError(error.to_string()))
    }

    /// The local time at `now`, seconds since the Unix epoch.
    #[must_use]
    pub fn local(&self, now: u64) -> DateTime {
        let since = SignedDuration::from_secs(i64::try_from(now).unwrap_or(i64::MAX));
        self.0.to_datetime(Timestamp::from_duration(since).unwrap_or(Timestamp::MAX))
    }

    /// The moment that somebody means: with an offset from UTC (`2026-12-01T08:00:00Z`), or as the
    /// clock shows it here (`2026-12-01 08:00`, `2026-12-01`).
    #[must_use]
    pub fn moment(&self, written: &str) -> Option<u64> {
        let moment = written.parse::<Timestamp>().ok().or_else(|| {
            let local = written.parse::<DateTime>().ok()?;
            self.0.to_timestamp(local).ok()
        });
        moment.and_then(|moment| u64::try_from(moment.as_second()).ok())
    }
}

impl From<io::Error> for ZoneError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winter_and_summer_have_their_times() {
        let berlin = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // date -u -d @1795314688; the summer's last second is at 01:00 UTC of 25 October 2026.
        for (seconds, expected) in [
            (1_795_314_688, "2026-11-22T03:31:28"),
            (1_792_889_999, "2026-10-25T02:59:59"),
            (1_792_890_000, "2026-10-25T02:00:00"),
            (0, "1970-01-01T01:00:00"),
        ] {
            assert_eq!(berlin.local(seconds), expected.parse().unwrap(), "{seconds}");
        }
        assert_eq!(berlin.local(u64::MAX).year(), 9999);
    }

    #[test]
    fn a_moment_is_said_with_its_offset_or_as_the_clock_shows_it() {
        let berlin = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (written, expected) in [
            ("2026-11-22T02:31:28Z", Some(1_795_314_688)),
            ("2026-11-22T03:31:28+01:00", Some(1_795_314_688)),
            ("2026-11-22 03:31:28", Some(1_795_314_688)),
            ("2026-11-22T03:31", Some(1_795_314_660)),
            ("2026-11-22", Some(1_795_302_000)),
            ("tomorrow", None),
            ("1969-12-31", None),
            ("", None),
        ] {
            assert_eq!(berlin.moment(written), expected, "{written}");
        }
    }

    #[test]
    fn a_file_that_is_no_zone_is_an_error() {
        assert!(Zone::of_file(b"no zone").is_err());
        assert!(Zone::of_file(b"").is_err());
    }
}
