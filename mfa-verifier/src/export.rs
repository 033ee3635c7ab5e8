//! All devices of a user with their keys, for leaving again: root's `mfa-setup export`.
//!
//! What other modules read keeps their own account of what was used, so that a code that was accepted here is
//! not good there.

use std::fmt::Write;

use mfa_protocol::Secret;
use mfa_protocol::message::{
    Algorithm, ExportFormat, Exported, ExportedDevice, Failure, Packed, Reply,
};
use zeroize::Zeroizing;

use crate::change::load;
use crate::enrol::key;
use crate::factor::otp;
use crate::failure::{not_enrolled, of_frame};
use crate::local_time::Zone;
use crate::record::{BackupCodes, Device, MovingFactor};
use crate::store::Owner;
use crate::world::World;

/// Steps that google-authenticator is told were used. It judges each by itself, where here all are used up to
/// one; these are more than its usual window has.
const LISTED_STEPS: u64 = 4;

/// All that the form has room for.
pub(crate) fn export(world: &World, owner: &Owner, format: ExportFormat) -> Result<Reply, Failure> {
    let exported = exported(world, owner, format)?;
    Packed::new(&exported).map(Reply::Exported).map_err(|error| of_frame(&error))
}

fn exported(world: &World, owner: &Owner, format: ExportFormat) -> Result<Exported, Failure> {
    let record = load(world, owner)?;
    if !record.is_enrolled() {
        return Err(not_enrolled(owner));
    }
    let issuer = world.config.totp.issuer.replace("{hostname}", world.hostname);
    let zone = (world.zone)().ok();
    let mut exported = Exported {
        user: owner.name.clone(),
        uid: owner.uid,
        devices: Vec::new(),
        left_out: Vec::new(),
        backup_codes: record
            .backup_codes
            .as_ref()
            .map_or(0, |codes| u32::try_from(BackupCodes::left(codes)).unwrap_or(u32::MAX)),
    };
    // The default comes first: where there is room for one, it is that.
    let mut devices: Vec<&Device> = record.devices.iter().collect();
    devices.sort_by_key(|device| device.id != record.default);
    for device in devices {
        let text = match format {
            _ if device.address().is_some() => Err("it has no key: codes are sent to it"),
            ExportFormat::Uri => {
                let mut uri = key::uri(device, &issuer, &owner.name);
                uri.push('\n');
                Ok(uri)
            }
            ExportFormat::GoogleAuthenticator if !exported.devices.is_empty() => {
                Err("that module has one key for a user")
            }
            ExportFormat::GoogleAuthenticator => google_authenticator(device),
            ExportFormat::PamOath => pam_oath(device, &owner.name, zone.as_ref()),
        };
        let label = device.label.clone();
        match text {
            Ok(text) => exported.devices.push(ExportedDevice {
                label,
                kind: device.kind(),
                text: Secret::from(text.as_str()),
            }),
            Err(why) => exported.left_out.push((label, why.to_owned())),
        }
    }
    Ok(exported)
}

fn google_authenticator(device: &Device) -> Result<Zeroizing<String>, &'static str> {
    if device.algorithm != Algorithm::Sha1 || device.digits != 6 {
        return Err("that module knows SHA-1 and six digits only");
    }
    let mut text = roomy();
    text.push_str(&key::encode(&device.key));
    // Without this line that module lets anybody guess as often as they like.
    text.push_str("\n\" RATE_LIMIT 3 30\n");
    // Writing to a String does not fail.
    match device.moving {
        MovingFactor::Time { period, last_step, drift, .. } => {
            if period > 60 {
                return Err("that module knows steps of up to 60 seconds only");
            }
            if period != 30 {
                let _ = writeln!(text, "\" STEP_SIZE {period}");
            }
            if drift != 0 {
                let _ = writeln!(text, "\" TIME_SKEW {drift}");
            }
            text.push_str("\" DISALLOW_REUSE");
            let used = last_step.map(|last| last.saturating_sub(LISTED_STEPS - 1)..=last);
            for step in used.into_iter().flatten() {
                let _ = write!(text, " {step}");
            }
            text.push_str("\n\" TOTP_AUTH\n");
        }
        MovingFactor::Counter { next, .. } => {
            // It takes zero for no counter at all.
            let _ = writeln!(text, "\" HOTP_COUNTER {}", next.max(1));
        }
        MovingFactor::Sent { .. } => return Err("it has no key"),
    }
    Ok(text)
}

fn pam_oath(
    device: &Device,
    user: &str,
    zone: Option<&Zone>,
) -> Result<Zeroizing<String>, &'static str> {
    if device.algorithm != Algorithm::Sha1 {
        return Err("that module knows SHA-1 only");
    }
    // It reads into 32 bytes.
    if device.key.expose().len() > 32 {
        return Err("that module knows keys of up to 32 bytes only");
    }
    let kind = match device.moving {
        MovingFactor::Time { period: 30, .. } => "T30",
        MovingFactor::Time { period: 60, .. } => "T60",
        MovingFactor::Counter { .. } => "E",
        MovingFactor::Time { .. } => {
            return Err("that module knows steps of 30 and 60 seconds only");
        }
        MovingFactor::Sent { .. } => return Err("it has no key"),
    };
    let mut text = roomy();
    // Writing to a String does not fail.
    let _ = write!(text, "HOTP/{kind}/{}\t{user}\t-\t", device.digits);
    for byte in device.key.expose() {
        let _ = write!(text, "{byte:02x}");
    }
    let last = match device.moving {
        MovingFactor::Time { period, last_step: Some(step), .. } => {
            Some((0, step, step.saturating_mul(period.into())))
        }
        // It is told the last counter that was used, and the code by which it passes over that.
        MovingFactor::Counter { next: next @ 1.., .. } => Some((next - 1, next - 1, 0)),
        _ => None,
    };
    if let Some((position, step, at)) = last {
        let zone = zone.ok_or("the time zone of this host cannot be read")?;
        let (code, at) = (otp::code_at(device, step), zone.local(at));
        let at = at.strftime("%Y-%m-%dT%H:%M:%SL");
        let _ = write!(text, "\t{position}\t{}\t{at}", *code);
    }
    text.push('\n');
    Ok(text)
}

/// Room enough that nothing is copied while it grows.
fn roomy() -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::otp::tests::{counter_device, device};

    fn phone() -> Device {
        device(b"12345678901234567890", Algorithm::Sha1, 6)
    }

    fn by_time(period: u16, last_step: Option<u64>, drift: i32) -> Device {
        Device {
            moving: MovingFactor::Time { period, last_step, drift, candidate: None },
            ..phone()
        }
    }

    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    const HEX: &str = "3132333435363738393031323334353637383930";

    #[test]
    fn a_file_of_google_authenticator_has_key_options_and_what_was_used() {
        for (device, options) in [
            (phone(), "\" DISALLOW_REUSE\n\" TOTP_AUTH\n"),
            (by_time(30, Some(9), 0), "\" DISALLOW_REUSE 6 7 8 9\n\" TOTP_AUTH\n"),
            (
                by_time(60, Some(1), -3),
                "\" STEP_SIZE 60\n\" TIME_SKEW -3\n\" DISALLOW_REUSE 0 1\n\" TOTP_AUTH\n",
            ),
            (counter_device(0), "\" HOTP_COUNTER 1\n"),
            (counter_device(7), "\" HOTP_COUNTER 7\n"),
        ] {
            let text = google_authenticator(&device).unwrap();
            assert_eq!(*text, format!("{KEY}\n\" RATE_LIMIT 3 30\n{options}"));
        }
        let sha256 = device(b"12345678901234567890", Algorithm::Sha256, 6);
        let eight = Device { digits: 8, ..phone() };
        for other in [sha256, eight, by_time(90, None, 0)] {
            assert!(google_authenticator(&other).is_err());
        }
    }

    #[test]
    fn a_line_of_pam_oath_has_kind_key_and_what_was_used() {
        let berlin = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // RFC 6238, appendix B, and RFC 4226, appendix D.
        for (device, line) in [
            (phone(), format!("HOTP/T30/6\talice\t-\t{HEX}\n")),
            (
                Device { digits: 8, ..by_time(30, Some(37_037_036), 0) },
                format!("HOTP/T30/8\talice\t-\t{HEX}\t0\t07081804\t2005-03-18T02:58:00L\n"),
            ),
            (counter_device(0), format!("HOTP/E/6\talice\t-\t{HEX}\n")),
            (
                counter_device(3),
                format!("HOTP/E/6\talice\t-\t{HEX}\t2\t359152\t1970-01-01T01:00:00L\n"),
            ),
        ] {
            assert_eq!(*pam_oath(&device, "alice", Some(&berlin)).unwrap(), line);
        }
        assert!(pam_oath(&by_time(45, None, 0), "alice", Some(&berlin)).is_err());
        assert!(pam_oath(&counter_device(3), "alice", None).is_err());
        let long = device(&[7; 33], Algorithm::Sha1, 6);
        assert!(pam_oath(&long, "alice", Some(&berlin)).is_err());
    }
}
