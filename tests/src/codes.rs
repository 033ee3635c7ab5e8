//! A person's authenticator and their sheet of backup codes. The codes come from `oathtool`: what
//! is tested must not be what says how it should be.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// An authenticator: an app, or a token with a button.
#[derive(Debug, Clone)]
pub struct Device {
    /// The key in base32.
    pub secret: String,
    /// `sha1`, `sha256`, `sha512`.
    pub algorithm: String,
    /// How many digits a code has.
    pub digits: u32,
    factor: Factor,
}

#[derive(Debug, Clone)]
enum Factor {
    Totp { period: u64, last: Option<u64> },
    Hotp { next: u64 },
}

impl Device {
    /// What an app makes of an `otpauth` URI.
    #[track_caller]
    pub fn from_uri(uri: &str) -> Self {
        let query = uri.split_once('?').map(|(_, query)| query).expect("a query");
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let number = |name: &str, default| value(name).map_or(default, |v| v.parse().unwrap());
        let factor = if uri.starts_with("otpauth://totp/") {
            Factor::Totp { period: number("period", 30), last: None }
        } else {
            assert!(uri.starts_with("otpauth://hotp/"), "{uri}");
            Factor::Hotp { next: number("counter", 0) }
        };
        Self {
            secret: value("secret").expect("a secret"),
            algorithm: value("algorithm").unwrap_or("sha1".to_owned()).to_lowercase(),
            digits: u32::try_from(number("digits", 6)).unwrap(),
            factor,
        }
    }

    /// An app with default settings, of which only the key is known.
    pub fn totp(secret: &str) -> Self {
        Self::from_uri(&format!("otpauth://totp/x?secret={secret}"))
    }

    /// The next code that a verifier with a window of one step accepts: the one shown now, or, where
    /// that has been taken from here already, the next. So no test waits for the clock.
    pub fn code(&mut self) -> String {
        match self.factor {
            Factor::Totp { period, last } => {
                let step = (now() / period).max(last.map_or(0, |last| last + 1));
                self.factor = Factor::Totp { period, last: Some(step) };
                self.code_at_step(step)
            }
            Factor::Hotp { next } => {
                self.factor = Factor::Hotp { next: next + 1 };
                self.code_at_step(next)
            }
        }
    }

    /// The next codes of a token that counts. One process makes them all.
    pub fn codes(&mut self, count: u64) -> Vec<String> {
        let Factor::Hotp { next } = self.factor else { panic!("it does not count") };
        assert_eq!(self.algorithm, "sha1", "oathtool's --hotp has no other");
        self.factor = Factor::Hotp { next: next + count };
        let mut oathtool = Command::new("oathtool");
        oathtool.arg("--hotp").arg(format!("--counter={next}"));
        oathtool.arg(format!("--window={}", count - 1));
        self.said_by(oathtool).lines().map(str::to_owned).collect()
    }

    /// A code of the right length that is none of those near the present.
    pub fn wrong_code(&self) -> String {
        let near = self.near();
        let width = self.digits as usize;
        let mut wrong = (0..).map(|number| format!("{:0width$}", number * 111_111 + 7));
        wrong.find(|code| !near.contains(code)).unwrap()
    }

    /// Codes that are right, or that an enrolment finds right for another time: it looks for a day on
    /// either side for a clock that is wrong.
    fn near(&self) -> HashSet<String> {
        let Factor::Totp { period, .. } = self.factor else {
            let next = self.step();
            return (next..next + 20).map(|counter| self.code_at_step(counter)).collect();
        };
        let day = 24 * 3_600 / period + 4;
        let mut oathtool = Command::new("oathtool");
        oathtool.arg(format!("--totp={}", self.algorithm));
        oathtool.arg(format!("--time-step-size={period}s"));
        oathtool.arg(format!("--now=@{}", now() - day * period));
        oathtool.arg(format!("--window={}", 2 * day));
        self.said_by(oathtool).lines().map(str::to_owned).collect()
    }

    /// The code of one time step or counter.
    pub fn code_at_step(&self, step: u64) -> String {
        let mut oathtool = Command::new("oathtool");
        match self.factor {
            Factor::Totp { period, .. } => oathtool
                .arg(format!("--totp={}", self.algorithm))
                .arg(format!("--time-step-size={period}s"))
                .arg(format!("--now=@{}", step * period)),
            // oathtool's --hotp is SHA-1 only; --totp counts steps from any start.
            Factor::Hotp { .. } if self.algorithm != "sha1" => oathtool
                .arg(format!("--totp={}", self.algorithm))
                .arg("--time-step-size=30s")
                .arg(format!("--now=@{}", step * 30)),
            Factor::Hotp { .. } => oathtool.arg("--hotp").arg(format!("--counter={step}")),
        };
        self.said_by(oathtool)
    }

    fn said_by(&self, mut oathtool: Command) -> String {
        let mut oathtool = oathtool
            .arg(format!("--digits={}", self.digits))
            .args(["--base32", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("oathtool");
        oathtool.stdin.take().unwrap().write_all(self.secret.as_bytes()).unwrap();
        let output = oathtool.wait_with_output().unwrap();
        assert!(output.status.success(), "oathtool: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The time step of now, or the counter of the next code.
    pub fn step(&self) -> u64 {
        match self.factor {
            Factor::Totp { period, .. } => now() / period,
            Factor::Hotp { next } => next,
        }
    }
}

/// A sheet of backup codes, of which the first is torn off each time.
#[derive(Debug, Clone)]
pub struct Backup {
    /// All that are left, in the order of their numbers.
    pub codes: Vec<String>,
}

impl Backup {
    /// From an array of JSON.
    pub fn new(codes: &[Value]) -> Self {
        Self { codes: codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect() }
    }

    /// The next one.
    pub fn code(&mut self) -> String {
        self.codes.remove(0)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B: SHA-1 at 59 s, the key "12345678901234567890".
        let uri = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8";
        assert_eq!(Device::from_uri(uri).code_at_step(1), "94287082");
    }

    #[test]
    fn no_code_comes_twice() {
        let mut device = Device::totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let step = device.step();
        let (first, second) = (device.code(), device.code());
        assert!(device.step() > step || first == device.code_at_step(step));
        assert_ne!(first, second);
        assert!(![first, second].contains(&device.wrong_code()));
    }

    #[test]
    fn a_wrong_code_is_wrong_for_a_day_on_either_side() {
        let device = Device::totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let now = device.step();
        for step in [now - 2_880, now, now + 2_880] {
            assert!(device.near().contains(&device.code_at_step(step)));
        }
        assert!(!device.near().contains(&device.wrong_code()));
    }
}
