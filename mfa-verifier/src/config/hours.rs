//! Times of the week, as an administrator writes them: `Mon-Fri 08:00-18:00`, local time.

use jiff::civil::{DateTime, Weekday};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::fields::parsed;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// Any of these spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<Span>);

impl Hours {
    /// Whether `local` is in one of them.
    #[must_use]
    pub fn contain(&self, local: DateTime) -> bool {
        self.0.iter().any(|span| span.contains(local))
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spans = Vec::<Span>::deserialize(deserializer)?;
        if spans.is_empty() {
            return Err(D::Error::custom("a list of no times matches never"));
        }
        Ok(Self(spans))
    }
}

/// Minutes of the day, from one to before another, on some days of the week. Where the end is not
/// later than the beginning it is the next day's, and the day is that of the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Monday is bit 0.
    days: u8,
    from: u16,
    to: u16,
}

impl Span {
    fn contains(self, local: DateTime) -> bool {
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = self.begins_on(local.weekday());
        if self.from < self.to {
            today && (self.from..self.to).contains(&minute)
        } else {
            let yesterday = self.begins_on(local.weekday().previous());
            today && minute >= self.from || yesterday && minute < self.to
        }
    }

    fn begins_on(self, day: Weekday) -> bool {
        self.days & 1 << day.to_monday_zero_offset() != 0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, |text| {
            span(text).ok_or_else(|| {
                format!(
                    "{text:?} is no time such as \"Mon-Fri 08:00-18:00\", \"Sat,Sun\" or \
                     \"22:00-06:00\""
                )
            })
        })
    }
}

fn span(text: &str) -> Option<Span> {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let every_day = 0b111_1111;
    let (days, hours) = match second {
        Some(hours) => (days(first)?, Some(hours)),
        None if first.contains(':') => (every_day, Some(first)),
        None => (days(first)?, None),
    };
    let Some(hours) = hours else { return Some(Span { days, from: 0, to: MINUTES_OF_DAY }) };
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    // Nothing, or a whole day: nobody can tell which was meant.
    (from != to && from != MINUTES_OF_DAY).then_some(Span { days, from, to })
}

/// `Mon`, `Mon-Fri`, `Mon,Wed-Fri`, as bits.
fn days(text: &str) -> Option<u8> {
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (day(first)?, day(last)?);
        bits |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            bits |= 1 << day;
        }
    }
    Some(bits)
}

fn day(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| text.eq_ignore_ascii_case(day))
}

/// `HH:MM`, to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        let fits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| fits)
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= MINUTES_OF_DAY).then_some(of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_a_span_from_its_first_minute_to_before_its_last() {
        // 2026-11-23 is a Monday.
        let rows = [
            ("Mon-Fri 08:00-18:00", "2026-11-23T08:00:00", true),
            ("Mon-Fri 08:00-18:00", "2026-11-23T07:59:59", false),
            ("Mon-Fri 08:00-18:00", "2026-11-27T17:59:59", true),
            ("Mon-Fri 08:00-18:00", "2026-11-27T18:00:00", false),
            ("Mon-Fri 08:00-18:00", "2026-11-28T12:00:00", false),
            ("08:00-18:00", "2026-11-28T12:00:00", true),
            ("Sat,Sun", "2026-11-28T00:00:00", true),
            ("Sat,Sun", "2026-11-29T23:59:59", true),
            ("Sat,Sun", "2026-11-30T00:00:00", false),
            ("mon,WED-Fri 00:00-24:00", "2026-11-24T12:00:00", false),
            ("mon,WED-Fri 00:00-24:00", "2026-11-25T12:00:00", true),
            // Friday's night ends on Saturday; Monday's begins on Monday.
            ("Mon-Fri 22:00-06:00", "2026-11-28T05:59:00", true),
            ("Mon-Fri 22:00-06:00", "2026-11-28T06:00:00", false),
            ("Mon-Fri 22:00-06:00", "2026-11-23T05:59:00", false),
            ("Mon-Fri 22:00-06:00", "2026-11-23T22:00:00", true),
            ("Sun 22:00-06:00", "2026-11-23T05:00:00", true),
            // A week that goes around.
            ("Sat-Mon", "2026-11-23T05:00:00", true),
            ("Sat-Mon", "2026-11-24T05:00:00", false),
        ];
        for (written, local, expected) in rows {
            let hours = Hours(vec![span(written).unwrap()]);
            assert_eq!(hours.contain(local.parse().unwrap()), expected, "{local} in {written:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for written in [
            "",
            "Monday",
            "Mon-",
            "Mon..Fri 08:00-18:00",
            "Mon-Fri 8:00-18:00",
            "Mon-Fri 08:00",
            "Mon-Fri 08:00-24:01",
            "Mon-Fri 08:60-18:00",
            "Mon-Fri 08:00-08:00",
            "24:00-06:00",
            "08:00-18:00 Mon",
            "Mon 08:00-18:00 UTC",
            "+8:00-18:00",
        ] {
            assert_eq!(span(written), None, "{written:?}");
        }
    }
}
