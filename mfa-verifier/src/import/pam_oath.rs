//! Lines of the file of `pam_oath`: `HOTP/T30/6 user pin key [position code time]`. Pure.
//!
//! What they mean is what liboath does: <https://www.nongnu.org/oath-toolkit/>. Behind the key it writes of
//! the last code that it accepted: the counter, or how many steps off the clock it was; the code; and when,
//! as the clock on the wall had it.

use mfa_protocol::Secret;
use mfa_protocol::message::ImportLine;
use zeroize::Zeroizing;

use super::{Candidate, Found, device, step_at, text_of};
use crate::config::Config;
use crate::enrol::key::{MIN_KEY, advice};
use crate::factor::otp;
use crate::local_time::Zone;
use crate::record::{Device, MAX_KEY, MovingFactor};

/// Seconds by which a time is meant later that comes twice, in the night in which summer ends.
const TWICE: u64 = 3_600;

/// What can be made of one user's lines. Without a zone nothing is known of when codes were used.
pub(super) fn read(
    lines: &[ImportLine],
    without_pin: bool,
    zone: Option<&Zone>,
    now: u64,
    config: &Config,
) -> Found {
    let mut found = Found::default();
    for line in lines {
        let read = text_of(line)
            .ok_or("it is no text")
            .and_then(|text| device_in(text, without_pin, zone, now, config));
        match read {
            Ok(Some(device)) => {
                if let Some(advice) = advice(&device.key) {
                    found.notes.push(format!("Line {}: {advice}", line.number));
                }
                found.candidates.push(Candidate { line: line.number, device });
            }
            Ok(None) => {}
            Err(why) => found.skip(line.number, why),
        }
    }
    found
}

/// The device of a line; none where the line says nothing.
fn device_in(
    line: &str,
    without_pin: bool,
    zone: Option<&Zone>,
    now: u64,
    config: &Config,
) -> Result<Option<Device>, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let Some(kind) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(None) };
    let (period, digits) = kind_of(kind).ok_or("its first word is no kind of codes")?;
    let (Some(_), Some(pin), Some(hex)) = (words.next(), words.next(), words.next()) else {
        return Err("the line is cut");
    };
    if !matches!(pin, "-" | "+") && !without_pin {
        return Err(
            "it asks for a PIN with its codes, which there is not here; --without-pin takes the key all the same",
        );
    }
    let key = key(hex)?;
    let last = match (words.next(), words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some(position), Some(code), Some(time), None) => Some(Last { position, code, time }),
        _ => return Err("what was last used is cut, or followed by more"),
    };
    let Some(period) = period else {
        let next = last.map_or(Ok(0), |last| last.next_counter(&key, digits))?;
        let moving = MovingFactor::Counter { next, candidate: None };
        return Ok(Some(device(key, digits, moving)));
    };
    let at = |last_step, drift| MovingFactor::Time { period, last_step, drift, candidate: None };
    let mut device = device(key, digits, at(None, 0));
    let Some(last) = last else { return Ok(Some(device)) };
    let position: i32 = last.position.parse().map_err(|_| "its position is no number")?;
    let window = config.widest_window();
    // What an app shows late is no drift.
    let is_off = position.unsigned_abs() > u32::from(config.totp.window)
        && u64::from(position.unsigned_abs()) * u64::from(period) <= 12 * 3_600;
    let drift = if is_off { position } else { 0 };
    let step = zone.and_then(|zone| last.step(&device, position, zone));
    let used = step.unwrap_or_else(|| step_at(now, period, i64::from(drift) + i64::from(window)));
    device.moving = at(Some(used), drift);
    Ok(Some(device))
}

/// Seconds of a step, where the codes are of times, and digits.
fn kind_of(word: &str) -> Option<(Option<u16>, u8)> {
    let mut parts = word.split('/');
    let (Some("HOTP"), moving, digits, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let period = match moving {
        None | Some("E") => None,
        Some("T30") => Some(30),
        Some("T60") => Some(60),
        Some(_) => return None,
    };
    let digits = match digits {
        None | Some("6") => 6,
        Some("7") => 7,
        Some("8") => 8,
        Some(_) => return None,
    };
    Some((period, digits))
}

/// What is known of the last code that was accepted.
struct Last<'a> {
    position: &'a str,
    code: &'a str,
    time: &'a str,
}

impl Last<'_> {
    /// The counter behind that of the last code. It is the one that stands there, which liboath passes over by the
    /// code beside it; where that is the code before, it is one that is not used yet.
    fn next_counter(&self, key: &Secret, digits: u8) -> Result<u64, &'static str> {
        let counter: u64 = self.position.parse().map_err(|_| "its counter is no number")?;
        let moving = MovingFactor::Counter { next: counter, candidate: None };
        let device = device(key.clone(), digits, moving);
        let is_of = |counter| otp::is_code_of(&device, self.code, counter);
        match counter.checked_sub(1) {
            Some(before) if is_of(before) && !is_of(counter) => Ok(counter),
            _ if counter < u64::MAX - 1 => Ok(counter + 1),
            _ => Err("its counter is at its end"),
        }
    }

    /// The step of the last code, where the code is that of the step.
    fn step(&self, device: &Device, position: i32, zone: &Zone) -> Option<u64> {
        let MovingFactor::Time { period, .. } = device.moving else { return None };
        let at = zone.moment(self.time.strip_suffix('L')?)?;
        let step = |at| step_at(at, period, position.into());
        let steps = [step(at.saturating_add(TWICE)), step(at)];
        steps
            .into_iter()
            .find(|step| u32::try_from(*step).is_ok() && otp::is_code_of(device, self.code, *step))
    }
}

fn key(hex: &str) -> Result<Secret, &'static str> {
    const WHY: &str = "the key is not hexadecimal";
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return Err(WHY) };
    // At its full length from the start, so that nothing is copied while it grows.
    let mut key = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        key.push(digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).ok_or(WHY)?);
    }
    match key.len() {
        0..MIN_KEY => Err("the key has fewer than 10 bytes"),
        MIN_KEY..=MAX_KEY => Ok(Secret::new(std::mem::take(&mut *key))),
        _ => Err("the key has more than 64 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::{lines, skipped};

    /// The key of RFC 4226, "12345678901234567890".
    const KEY: &str = "3132333435363738393031323334353637383930";

    const NOW: u64 = 1_800_000_000;

    fn found(file: &str) -> Found {
        let berlin = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        read(&lines(file.as_bytes()), false, Some(&berlin), NOW, &Config::default())
    }

    fn moving(file: &str) -> MovingFactor {
        let found = found(file);
        assert_eq!(found.candidates.len(), 1, "{:?}", found.skipped);
        found.candidates[0].device.moving.clone()
    }

    fn counter(next: u64) -> MovingFactor {
        MovingFactor::Counter { next, candidate: None }
    }

    fn by_time(period: u16, last_step: Option<u64>, drift: i32) -> MovingFactor {
        MovingFactor::Time { period, last_step, drift, candidate: None }
    }

    #[test]
    fn each_kind_of_codes_is_known() {
        for (kind, period, digits) in [
            ("HOTP", None, 6),
            ("HOTP/E", None, 6),
            ("HOTP/E/6", None, 6),
            ("HOTP/E/7", None, 7),
            ("HOTP/E/8", None, 8),
            ("HOTP/T30", Some(30), 6),
            ("HOTP/T30/7", Some(30), 7),
            ("HOTP/T60/8", Some(60), 8),
        ] {
            let found = found(&format!("{kind}\talice\t-\t{KEY}\n"));
            let device = &found.candidates[0].device;
            assert_eq!(device.key.expose(), b"12345678901234567890");
            assert_eq!(device.digits, digits, "{kind}");
            let expected = period.map_or(counter(0), |period| by_time(period, None, 0));
            assert_eq!(device.moving, expected, "{kind}");
        }
        for kind in ["TOTP", "hotp", "HOTP/", "HOTP/T30/", "HOTP/T45", "HOTP/E/5", "HOTP/E/6/7"] {
            assert_eq!(skipped(&found(&format!("{kind} alice - {KEY}"))), [1], "{kind}");
        }
    }

    #[test]
    fn of_a_counter_all_up_to_the_last_code_are_used() {
        // RFC 4226, appendix D: counters 0, 1 and 2.
        let line = |log: &str| format!("HOTP alice - {KEY} {log}\n");
        let time = "2027-01-15T09:00:00L";
        assert_eq!(moving(&line(&format!("0 755224 {time}"))), counter(1));
        assert_eq!(moving(&line(&format!("2 359152 {time}"))), counter(3));
        // Beside the next one.
        assert_eq!(moving(&line(&format!("2 287082 {time}"))), counter(2));
        // Beside what is none of both.
        assert_eq!(moving(&line(&format!("7 000000 {time}"))), counter(8));
        let end = found(&line(&format!("18446744073709551615 000000 {time}")));
        assert_eq!(skipped(&end), [1]);
    }

    #[test]
    fn of_a_clock_the_step_of_the_last_code_is_used_and_confirmed_by_the_code() {
        // RFC 6238, appendix B, of 8 digits: 94287082 at 59 s, 07081804 at 1111111109 s (18 March 2005 01:58:29 UTC).
        let line = |log: &str| format!("HOTP/T30/8 alice + {KEY} {log}\n");
        let step = 1_111_111_109 / 30;
        let sure = |step, drift| by_time(30, Some(step), drift);
        assert_eq!(moving(&line("0 07081804 2005-03-18T02:58:29L")), sure(step, 0));
        // Given half a minute late, or ahead.
        assert_eq!(moving(&line("-1 07081804 2005-03-18T02:58:59L")), sure(step, 0));
        assert_eq!(moving(&line("1 07081804 2005-03-18T02:57:59L")), sure(step, 0));
        // So far off that a window of one step would not let it in.
        assert_eq!(moving(&line("5 07081804 2005-03-18T02:55:59L")), sure(step, 5));
        // A zone two hours off, another code, no zone, no time: all that may have been used by now is.
        let unsure = by_time(30, Some(NOW / 30 + 1), 0);
        for log in ["0 07081804 2005-03-18T00:58:29L", "0 07081805 2005-03-18T02:58:29L"] {
            assert_eq!(moving(&line(log)), unsure, "{log}");
        }
        assert_eq!(moving(&line("0 07081804 x")), unsure);
        let nowhere = read(
            &lines(line("0 07081804 2005-03-18T02:58:29L").as_bytes()),
            false,
            None,
            NOW,
            &Config::default(),
        );
        assert_eq!(nowhere.candidates[0].device.moving, unsure);
    }

    #[test]
    fn a_time_that_comes_twice_is_the_one_of_the_code() {
        // 25 October 2026, 02:30 in Berlin: 00:30 UTC, and an hour later.
        let key = key(KEY).unwrap();
        let phone = device(key, 6, by_time(30, None, 0));
        for at in [1_792_888_200, 1_792_891_800] {
            let code = otp::code_at(&phone, at / 30);
            let line = format!("HOTP/T30 alice - {KEY} 0 {} 2026-10-25T02:30:00L", *code);
            assert_eq!(moving(&line), by_time(30, Some(at / 30), 0), "{at}");
        }
    }

    #[test]
    fn a_pin_keeps_the_line_out_unless_told_otherwise() {
        let file = format!("HOTP alice 1234 {KEY}\nHOTP alice + {KEY}\n");
        let with = found(&file);
        assert_eq!((skipped(&with), with.candidates.len()), (vec![1], 1));
        assert!(with.skipped[0].why.contains("PIN") && !with.skipped[0].why.contains("1234"));
        let without = read(&lines(file.as_bytes()), true, None, NOW, &Config::default());
        assert_eq!(without.candidates.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line_and_the_rest_is_taken() {
        let file = format!(
            "# comment\r\n\r\nHOTP\nHOTP alice\nHOTP alice -\nHOTP alice - 31\nHOTP alice - {KEY}3\n\
             HOTP alice - {}\nHOTP alice - {KEY} 5\nHOTP alice - {KEY} 5 755224\n\
             HOTP alice - {KEY} x 755224 2027-01-15T09:00:00L\nHOTP alice - {KEY} 5 755224 x x\n\
             HOTP/T30 alice - {KEY} 1.5 755224 x\n\u{ff28}OTP alice - {KEY}\nHOTP alice - {KEY}",
            "31".repeat(65)
        );
        let found = found(&file);
        assert_eq!(skipped(&found), (3..=14).collect::<Vec<u32>>());
        assert_eq!(found.candidates.len(), 1);
        assert_eq!(found.candidates[0].line, 15);
        assert!(found.skipped.iter().all(|skipped| !skipped.why.contains("3132")));
        let noise: Vec<u8> = (0..=255).cycle().take(16_384).collect();
        let noise = read(&lines(&noise), true, None, NOW, &Config::default());
        assert!(noise.candidates.is_empty());
    }
}
