//! The file of `pam_google_authenticator`: a key, options that begin with a quote, and scratch codes. Pure.
//!
//! What it means is said by its module's FILEFORMAT, and, where that says nothing, by what the module does:
//! <https://github.com/google/google-authenticator-libpam>.

use std::str::SplitAsciiWhitespace;

use mfa_protocol::Secret;
use mfa_protocol::message::ImportLine;
use zeroize::Zeroizing;

use super::{Candidate, Found, device, step_at, text_of};
use crate::config::Config;
use crate::enrol::key::{MIN_KEY, advice};
use crate::factor::codes::is_scratch_code;
use crate::record::{MAX_KEY, MovingFactor};

/// Codes that are right at one moment, where the file says nothing of it.
const USUAL_WINDOW: u32 = 3;

/// How far off a clock may be, in seconds, as a device of ours may.
const FARTHEST: i64 = 12 * 3_600;

/// What can be made of the lines.
pub(super) fn read(lines: &[ImportLine], now: u64, config: &Config) -> Found {
    let mut found = Found::default();
    let Some((first, rest)) = lines.split_first() else { return found };
    let key = text_of(first).ok_or("it is no text").and_then(key);
    let key = key.map_err(|why| found.skip(first.number, why)).ok();
    let mut options = Options::default();
    for line in rest {
        let Some(text) = text_of(line) else {
            found.skip(line.number, "it is no text");
            continue;
        };
        match text.strip_prefix('"') {
            Some(option) => {
                if let Err(why) = options.read(option) {
                    found.skip(line.number, why);
                }
            }
            None if text.is_empty() => {}
            None if !is_scratch_code(text) => {
                found.skip(line.number, "it is neither an option nor a scratch code");
            }
            None if found.codes.iter().any(|(_, code)| code.as_str() == text) => {
                found.skip(line.number, "this scratch code is there twice");
            }
            None => found.codes.push((line.number, Zeroizing::new(text.to_owned()))),
        }
    }
    if let Some(key) = key {
        options.make(key, first.number, now, config, &mut found);
    }
    found
}

/// What the options say, each as it stands there first.
#[derive(Default)]
struct Options {
    seen: Vec<String>,
    by_time: bool,
    counter: Option<u64>,
    /// Where its counter stands cannot be known.
    has_no_counter: bool,
    step_size: Option<u16>,
    /// Its codes cannot be known: the other module refuses it as well.
    has_no_step: bool,
    window: Option<u32>,
    skew: i32,
    /// The drift was just learned: its steps were counted by another one before.
    has_just_learned: bool,
    used: Used,
}

/// The time steps of which codes were accepted.
#[derive(Default)]
enum Used {
    /// Nobody kept account of them.
    #[default]
    Unknown,
    /// The last of them; none where there is none yet.
    Upto(Option<u64>),
}

impl Options {
    fn read(&mut self, option: &str) -> Result<(), &'static str> {
        let mut words = option.split_ascii_whitespace();
        let Some(name) = words.next().filter(|_| option.starts_with(' ')) else {
            return Err("it is no option");
        };
        if self.seen.iter().any(|seen| seen == name) {
            return Err("this option is there twice, and the first counts");
        }
        // Before it is judged: the first counts also where it cannot be understood.
        self.seen.push(name.to_owned());
        match name {
            "TOTP_AUTH" => {
                self.by_time = true;
                Ok(())
            }
            "HOTP_COUNTER" => {
                let counter: Option<u64> = number(&mut words);
                self.has_no_counter = counter.is_none();
                let counter = counter.ok_or("it is no counter")?;
                // Zero is how it says that there is none.
                self.counter = Some(counter).filter(|counter| (1..u64::MAX).contains(counter));
                Ok(())
            }
            "STEP_SIZE" => {
                self.step_size = number(&mut words).filter(|size| (15..=60).contains(size));
                self.has_no_step = self.step_size.is_none();
                self.step_size.map(drop).ok_or("a step has 15 to 60 seconds")
            }
            "WINDOW_SIZE" => {
                self.window = number(&mut words).filter(|size| (1..=100).contains(size));
                self.window.map(drop).ok_or("a window has 1 to 100 codes")
            }
            "TIME_SKEW" => {
                self.skew = number(&mut words).ok_or("it is no number of steps")?;
                Ok(())
            }
            "DISALLOW_REUSE" => {
                self.used = used(words)?;
                Ok(())
            }
            // Of what is tried right now, and from where it was good for a while, nothing is taken over.
            "RATE_LIMIT" => Ok(()),
            "RESETTING_TIME_SKEW" => {
                self.has_just_learned = words.next().is_none();
                Ok(())
            }
            _ if is_last_login(name) => Ok(()),
            _ => Err("this option is not known"),
        }
    }

    fn make(self, key: Secret, line: u32, now: u64, config: &Config, found: &mut Found) {
        if let Some(advice) = advice(&key) {
            found.notes.push(advice);
        }
        let window = self.window.unwrap_or(USUAL_WINDOW);
        if self.has_no_counter {
            return found.skip(line, "where the key's counter stands cannot be known");
        }
        if let Some(next) = self.counter {
            let ahead = config.hotp.look_ahead;
            if window > u32::from(ahead) + 1 {
                found.notes.push(format!(
                    "Its window was {window} codes wide; look_ahead of [hotp] is {ahead}."
                ));
            }
            let moving = MovingFactor::Counter { next, candidate: None };
            let device = device(key, 6, moving);
            return found.candidates.push(Candidate { line, device });
        }
        if !self.by_time {
            return found.skip(
                line,
                "the key is for no codes: neither TOTP_AUTH nor HOTP_COUNTER is there",
            );
        }
        if self.has_no_step {
            return found.skip(line, "the key's codes are of steps that cannot be taken over");
        }
        let period = self.step_size.unwrap_or(30);
        let drift = if i64::from(self.skew).abs() * i64::from(period) <= FARTHEST {
            self.skew
        } else {
            found
                .notes
                .push("Its clock was more than 12 hours off, which is not taken over.".into());
            0
        };
        let ours = config.totp.window;
        if window > 2 * u32::from(ours) + 1 {
            found.notes.push(format!(
                "Its window was {window} codes wide, and is {} now; window of [totp] says so for all.",
                2 * ours + 1
            ));
        }
        // All that could have been accepted by now.
        let reach = (window / 2).max(config.widest_window().into());
        let by_now = Some(step_at(now, period, i64::from(drift) + i64::from(reach)));
        let last_step = match self.used {
            Used::Upto(last) if self.has_just_learned => last.max(by_now),
            Used::Upto(last) => last,
            Used::Unknown => by_now,
        };
        let moving = MovingFactor::Time { period, last_step, drift, candidate: None };
        let device = device(key, 6, moving);
        found.candidates.push(Candidate { line, device });
    }
}

/// The one number behind an option.
fn number<T: std::str::FromStr>(words: &mut SplitAsciiWhitespace) -> Option<T> {
    let number = words.next()?.parse().ok();
    number.filter(|_| words.next().is_none())
}

/// A list of steps. Times are in 32 bits there, and steps are fewer.
fn used(words: SplitAsciiWhitespace) -> Result<Used, &'static str> {
    let mut last = None;
    for word in words {
        let step: u32 = word.parse().map_err(|_| "it is no list of time steps")?;
        last = last.max(Some(u64::from(step)));
    }
    Ok(Used::Upto(last))
}

/// `LAST0` and so on: until when a host is not asked again.
fn is_last_login(name: &str) -> bool {
    name.strip_prefix("LAST").is_some_and(|number| number.parse::<u8>().is_ok())
}

/// Base32 as that module reads it: blanks and dashes are passed over, 0, 1 and 8 are the letters that
/// they look like, and bits that are left over are dropped.
fn key(text: &str) -> Result<Secret, &'static str> {
    // At its full length from the start, so that nothing is copied while it grows.
    let mut key = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut buffer, mut bits) = (Zeroizing::new(0u32), 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte.to_ascii_uppercase() {
            b' ' | b'\t' | b'-' => continue,
            b'0' => b'O' - b'A',
            b'1' => b'L' - b'A',
            b'8' => b'B' - b'A',
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return Err("the key is not base32"),
        };
        *buffer = (*buffer << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            key.push(u8::try_from(*buffer >> bits & 0xff).unwrap_or_default());
        }
    }
    match key.len() {
        0 => Err("there is no key"),
        1..MIN_KEY => Err("the key has fewer than 10 bytes"),
        MIN_KEY..=MAX_KEY => Ok(Secret::new(std::mem::take(&mut *key))),
        _ => Err("the key has more than 64 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::{lines, skipped};
    use mfa_protocol::message::Algorithm;

    /// 1800000000 / 30.
    const STEP: u64 = 60_000_000;
    const NOW: u64 = STEP * 30 + 7;

    fn found(file: &str) -> Found {
        read(&lines(file.as_bytes()), NOW, &Config::default())
    }

    fn moving(file: &str) -> MovingFactor {
        let found = found(file);
        assert_eq!(found.candidates.len(), 1, "{:?}", found.skipped);
        found.candidates[0].device.moving.clone()
    }

    fn by_time(last_step: Option<u64>, drift: i32, period: u16) -> MovingFactor {
        MovingFactor::Time { period, last_step, drift, candidate: None }
    }

    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn what_its_own_program_writes_is_taken_over() {
        let file = format!(
            "{KEY}\n\" RATE_LIMIT 3 30 1799999990\n\" WINDOW_SIZE 3\n\
             \" DISALLOW_REUSE 59999998 60000000 59999999\n\" TOTP_AUTH\n\
             87654321\n10000000\n99999999\n"
        );
        let found = found(&file);
        let [Candidate { line: 1, device }] = &found.candidates[..] else { panic!() };
        assert_eq!(device.key.expose(), b"12345678901234567890");
        assert_eq!((device.algorithm, device.digits), (Algorithm::Sha1, 6));
        assert_eq!(device.moving, by_time(Some(STEP), 0, 30));
        let codes: Vec<_> = found.codes.iter().map(|(line, code)| (*line, code.as_str())).collect();
        assert_eq!(codes, [(6, "87654321"), (7, "10000000"), (8, "99999999")]);
        assert!(found.skipped.is_empty() && found.notes.is_empty());
    }

    #[test]
    fn step_drift_and_counter_are_taken_over() {
        let file = |options: &str| format!("{KEY}\n{options}");
        assert_eq!(
            moving(&file("\" TOTP_AUTH\n\" STEP_SIZE 60\n\" TIME_SKEW -4\n\" DISALLOW_REUSE\n")),
            by_time(None, -4, 60)
        );
        // A counter is what counts, also where both are there; 0 is none.
        let counter = MovingFactor::Counter { next: 7, candidate: None };
        assert_eq!(moving(&file("\" TOTP_AUTH\n\" HOTP_COUNTER 7")), counter);
        assert_eq!(
            moving(&file("\" HOTP_COUNTER 0\n\" TOTP_AUTH\n\" DISALLOW_REUSE 5\n")),
            by_time(Some(5), 0, 30)
        );
    }

    #[test]
    fn where_nobody_kept_account_all_that_can_have_been_accepted_by_now_counts_as_used() {
        let file = |options: &str| format!("{KEY}\n\" TOTP_AUTH\n{options}");
        assert_eq!(moving(&file("")), by_time(Some(STEP + 1), 0, 30));
        assert_eq!(moving(&file("\" WINDOW_SIZE 17\n")), by_time(Some(STEP + 8), 0, 30));
        assert_eq!(moving(&file("\" TIME_SKEW 3\n")), by_time(Some(STEP + 4), 3, 30));
        let unreadable = found(&file("\" DISALLOW_REUSE 7 x\n"));
        assert_eq!(unreadable.candidates[0].device.moving, by_time(Some(STEP + 1), 0, 30));
        assert_eq!(skipped(&unreadable), [3]);
    }

    #[test]
    fn a_wider_window_and_a_short_key_are_told() {
        let notes = |options: &str| found(&format!("{KEY}\n{options}")).notes;
        assert_eq!(notes("\" TOTP_AUTH\n\" WINDOW_SIZE 3\n"), [""; 0]);
        assert!(notes("\" TOTP_AUTH\n\" WINDOW_SIZE 17\n")[0].contains("17 codes wide, and is 3"));
        assert_eq!(notes("\" HOTP_COUNTER 1\n\" WINDOW_SIZE 11\n"), [""; 0]);
        assert!(notes("\" HOTP_COUNTER 1\n\" WINDOW_SIZE 12\n")[0].contains("look_ahead"));
        let short = found("2SH3V3GDW7ZNMGYE\n\" TOTP_AUTH\n");
        assert!(short.notes[0].starts_with("This key has 80 bits, "));
        let far = found(&format!("{KEY}\n\" TOTP_AUTH\n\" TIME_SKEW 1441\n"));
        assert!(far.notes[0].contains("more than 12 hours off"));
        assert_eq!(far.candidates[0].device.drift(), 0);
    }

    #[test]
    fn line_ends_and_blanks_do_not_matter() {
        let unix = format!("{KEY}\n\" TOTP_AUTH\n\" DISALLOW_REUSE 9\n12345678\n");
        for file in [
            unix.replace('\n', "\r\n"),
            unix.trim_end().to_owned(),
            unix.replace('\n', " \n\n"),
            format!("gezd gnbv-{}", &unix[8..]),
        ] {
            let found = found(&file);
            assert!(found.skipped.is_empty(), "{file:?}: {:?}", found.skipped);
            assert_eq!(found.candidates[0].device.key.expose(), b"12345678901234567890");
            assert_eq!(found.candidates[0].device.moving, by_time(Some(9), 0, 30));
            assert_eq!(found.codes.len(), 1);
        }
    }

    #[test]
    fn a_key_is_read_as_that_module_reads_it() {
        assert_eq!(key("2SH3V3GDW7ZNMGYE").unwrap().expose().len(), 10);
        // "O", "L", "B" as somebody may have typed them, and two bits that are left over.
        let (typed, meant) = ("01801801801801801801801801", "OLBOLBOLBOLBOLBOLBOLBOLBOL");
        assert_eq!(key(typed).unwrap().expose(), key(meant).unwrap().expose());
        assert_eq!(key(typed).unwrap().expose().len(), 16);
        for (text, why) in [
            ("", "there is no key"),
            ("====", "there is no key"),
            ("GEZDGNBVGY3TQOI", "fewer than"),
            ("GEZDGNBVGY3TQOJ9", "not base32"),
            ("GEZD=GNBVGY3TQOJQ", "not base32"),
            (&"A".repeat(8 * 14), "more than"),
        ] {
            assert!(key(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line_and_the_rest_is_taken() {
        let file = format!(
            "{KEY}\n\" TOTP_AUTH\nTOTP_AUTH\n1234567\n123456789\n01234567\n12345678\n12345678\n\
             \" NO_SUCH 1\n\"RATE_LIMIT 3 30\n\" TOTP_AUTH\n\" WINDOW_SIZE 0\n\" TIME_SKEW x\n\
             \" LAST0 192.0.2.7 1800000000\n\" DISALLOW_REUSE 4294967296\n\u{ff11}2345678\n"
        );
        let found = found(&file);
        assert_eq!(skipped(&found), [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16]);
        assert_eq!((found.candidates.len(), found.codes.len()), (1, 1));
        assert!(found.skipped.iter().all(|skipped| !skipped.why.contains("4567")));
    }

    #[test]
    fn a_file_without_codes_or_steps_or_key_gives_no_device() {
        for (file, line) in [
            (format!("{KEY}\n12345678\n"), 1),
            (format!("{KEY}\n\" TOTP_AUTH\n\" STEP_SIZE 10\n"), 3),
            ("not a key!\n\" TOTP_AUTH\n".to_owned(), 1),
            ("\n\" TOTP_AUTH\n".to_owned(), 1),
        ] {
            let found = found(&file);
            assert!(found.candidates.is_empty(), "{file}");
            assert!(skipped(&found).contains(&line), "{file}: {:?}", found.skipped);
        }
        assert!(read(&[], NOW, &Config::default()).candidates.is_empty());
    }

    #[test]
    fn hostile_bytes_are_skipped() {
        let mut file = format!("{KEY}\n\" TOTP_AUTH\n").into_bytes();
        file.extend(b"\xff\xfe\n\0\0\0\n\" DISALLOW_REUSE \x1b[2J\n\" \n\"\n");
        let found = read(&lines(&file), NOW, &Config::default());
        assert_eq!(skipped(&found), [3, 4, 5, 6, 7]);
        assert_eq!(found.candidates.len(), 1);
        let noise: Vec<u8> = (0..=255).cycle().take(16_384).collect();
        assert!(read(&lines(&noise), NOW, &Config::default()).candidates.is_empty());
        // Behind a right key as well, which stays the only one.
        let file = [format!("{KEY}\n\" TOTP_AUTH\n").as_bytes(), &noise].concat();
        let found = read(&lines(&file), NOW, &Config::default());
        assert_eq!((found.candidates.len(), found.codes.len()), (1, 0));
        assert!(found.skipped.len() >= 64, "{}", found.skipped.len());
    }

    #[test]
    fn a_counter_that_cannot_be_understood_is_none_of_another_and_no_clock() {
        for counter in ["-1", "99999999999999999999", "", "1 2"] {
            let found = found(&format!(
                "{KEY}\n\" HOTP_COUNTER {counter}\n\" HOTP_COUNTER 7\n\" TOTP_AUTH\n"
            ));
            assert!(found.candidates.is_empty(), "{counter}");
            assert_eq!(skipped(&found), [2, 3, 1], "{counter}");
        }
    }

    #[test]
    fn of_an_option_that_is_there_twice_the_first_counts_be_it_malformed() {
        let file = format!("{KEY}\n\" TOTP_AUTH\n\" DISALLOW_REUSE x\n\" DISALLOW_REUSE 7\n");
        assert_eq!(moving(&file), by_time(Some(STEP + 1), 0, 30));
        let file = format!("{KEY}\n\" TOTP_AUTH\n\" STEP_SIZE 5\n\" STEP_SIZE 60\n");
        assert!(found(&file).candidates.is_empty());
    }

    #[test]
    fn where_the_drift_was_just_learned_the_listed_steps_do_not_say_all() {
        let file = |options: &str| {
            moving(&format!("{KEY}\n\" TOTP_AUTH\n\" TIME_SKEW 3\n\" DISALLOW_REUSE 7\n{options}"))
        };
        assert_eq!(file("\" RESETTING_TIME_SKEW\n"), by_time(Some(STEP + 4), 3, 30));
        // It is learning, and judges by the drift that stands there.
        assert_eq!(file("\" RESETTING_TIME_SKEW 60000000+3\n"), by_time(Some(7), 3, 30));
        let later = format!(
            "{KEY}\n\" TOTP_AUTH\n\" DISALLOW_REUSE {}\n\" RESETTING_TIME_SKEW\n",
            STEP + 9
        );
        assert_eq!(moving(&later), by_time(Some(STEP + 9), 0, 30));
    }
}
