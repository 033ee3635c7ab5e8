//! One-time codes of devices: TOTP (RFC 6238) and HOTP (RFC 4226).

mod counter;
pub mod far;
#[cfg(test)]
pub(crate) mod tests;
mod time;

use mfa_protocol::message::Algorithm;
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::record::{Device, MovingFactor};

/// What a code is to a device, and what becomes of the device's moving factor.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// The device's code, not used before.
    Right(MovingFactor),
    /// The device's code, and it or a later one was accepted before.
    Used,
    /// The device's code, but one of a time that has not come yet was accepted: the clock ran ahead
    /// and was set back.
    UsedAhead,
    /// Not accepted; this is kept, since it may be the start of a resynchronisation.
    Wrong(MovingFactor),
}

/// Compares a code of the device's length with every step or counter that could matter, without an
/// early end, so that the time taken says nothing.
#[must_use]
pub fn examine(device: &Device, code: &str, now: u64, config: &Config) -> Finding {
    let generator = Generator::of(device);
    match device.moving {
        MovingFactor::Time { period, last_step, drift, candidate } => {
            let clock = time::Clock::new(now, period, drift, config);
            time::examine(&generator, code, &clock, last_step, candidate)
        }
        MovingFactor::Counter { next, candidate } => {
            counter::examine(&generator, code, next, candidate, config)
        }
        // It has no codes of its own.
        MovingFactor::Sent { .. } => Finding::Wrong(device.moving.clone()),
    }
}

/// The step's offset from the expected one at which `code` would be right, within `reach` steps.
/// For an enrolment that goes wrong: it tells how far the device's clock is off.
#[must_use]
pub fn offset_within(device: &Device, code: &str, now: u64, reach: i64) -> Option<i64> {
    let MovingFactor::Time { period, .. } = device.moving else { return None };
    let generator = Generator::of(device);
    let here = to_step(now / u64::from(period.max(1)));
    (-reach..=reach).filter(|offset| generator.matches(code, here + offset)).min_by_key(|o| o.abs())
}

/// Whether `code` is the one of a step or counter.
#[must_use]
pub fn is_code_of(device: &Device, code: &str, step: u64) -> bool {
    Generator::of(device).matches_counter(code, step)
}

/// The code of a step or counter, as the device shows it.
#[must_use]
pub fn code_at(device: &Device, step: u64) -> Zeroizing<String> {
    Zeroizing::new(Generator::of(device).0.generate(step).to_string())
}

/// Codes of one device by step or counter.
struct Generator(Totp);

impl Generator {
    fn of(device: &Device) -> Self {
        let algorithm = match device.algorithm {
            Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
            Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
            Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
        };
        // Imported keys may be shorter than RFC 4226 wants; digits were judged at enrolment, and
        // are bounded here once more because ten would make the crate panic. A duration of one
        // second makes its "time" our step or counter.
        let totp = Builder::new()
            .with_algorithm(algorithm)
            .with_digits(device.digits.clamp(6, 8))
            .with_skew(0)
            .with_step_duration(1)
            .with_secret(device.key.expose().to_vec())
            .build_noncompliant();
        Self(totp)
    }

    fn matches(&self, code: &str, step: i64) -> bool {
        u64::try_from(step).is_ok_and(|step| self.matches_counter(code, step))
    }

    fn matches_counter(&self, code: &str, counter: u64) -> bool {
        // With a skew the crate would add to the counter, and overflow at its end.
        self.0.check(code, counter).is_some()
    }
}

fn to_step(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

fn narrow(steps: i64) -> i32 {
    i32::try_from(steps).unwrap_or(if steps < 0 { i32::MIN } else { i32::MAX })
}
