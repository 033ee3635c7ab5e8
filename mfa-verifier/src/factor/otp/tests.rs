//! RFC 4226, RFC 6238, google-authenticator's table, and what becomes of a device's moving factor.

use super::*;
use mfa_protocol::Secret;

pub(crate) fn device(key: &[u8], algorithm: Algorithm, digits: u8) -> Device {
    Device {
        id: 1,
        label: "phone".to_owned(),
        key: Secret::new(key.to_vec()),
        algorithm,
        digits,
        moving: MovingFactor::Time { period: 30, last_step: None, drift: 0, candidate: None },
        added: 0,
        last_used: None,
        failures: 0,
        disabled: false,
    }
}

pub(crate) fn counter_device(next: u64) -> Device {
    let mut device = device(b"12345678901234567890", Algorithm::Sha1, 6);
    device.moving = MovingFactor::Counter { next, candidate: None };
    device
}

/// The code of a step or counter, as the app would show it.
pub(crate) fn code(device: &Device, step: u64) -> String {
    Generator::of(device).0.generate(step).to_string()
}

#[test]
fn what_makes_the_codes_of_another_device_is_known_as_such() {
    let phone = device(b"1234567890", Algorithm::Sha1, 6);
    let mut padded = device(b"1234567890\0\0", Algorithm::Sha1, 8);
    assert!(phone.makes_codes_of(&phone) && phone.makes_codes_of(&padded));
    assert!(code(&padded, 7).ends_with(&code(&phone, 7)));
    for other in [
        device(b"1234567891", Algorithm::Sha1, 6),
        device(b"1234567890\x01", Algorithm::Sha1, 6),
        device(b"1234567890", Algorithm::Sha256, 6),
    ] {
        assert!(!phone.makes_codes_of(&other) && !other.makes_codes_of(&phone));
        assert_ne!(code(&other, 7), code(&phone, 7));
    }
    // At one moment these two are at steps of different numbers.
    padded.moving = MovingFactor::Time { period: 60, last_step: None, drift: 0, candidate: None };
    assert!(!phone.makes_codes_of(&padded));
    let token = counter_device(0);
    assert!(token.makes_codes_of(&counter_device(9)) && !token.makes_codes_of(&phone));
}

fn exact() -> Config {
    let mut config = Config::default();
    config.totp.window = 0;
    config.totp.resync_minutes = 0;
    config.hotp.look_ahead = 0;
    config.hotp.resync = 0;
    config
}

fn is_right(finding: &Finding) -> bool {
    matches!(finding, Finding::Right(_))
}

/// Gives a code to the device and keeps what becomes of it.
fn give(device: &mut Device, code: &str, now: u64, config: &Config) -> &'static str {
    match examine(device, code, now, config) {
        Finding::Right(moving) => {
            device.moving = moving;
            "right"
        }
        Finding::Wrong(moving) => {
            device.moving = moving;
            "wrong"
        }
        Finding::Used => "used",
        Finding::UsedAhead => "used ahead",
    }
}

#[test]
fn the_values_of_rfc_4226_appendix_d() {
    let expected = [
        "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
        "520489",
    ];
    for (counter, code) in (0u64..).zip(expected) {
        let device = counter_device(counter);
        assert!(is_right(&examine(&device, code, 0, &exact())), "{counter}");
        assert!(!is_right(&examine(&counter_device(counter + 1), code, 0, &exact())));
    }
}

#[test]
fn the_values_of_rfc_6238_appendix_b() {
    let sha1 = b"12345678901234567890".to_vec();
    let sha256 = b"12345678901234567890123456789012".to_vec();
    let sha512 = b"1234567890123456789012345678901234567890123456789012345678901234".to_vec();
    let rows = [
        (59, "94287082", "46119246", "90693936"),
        (1_111_111_109, "07081804", "68084774", "25091201"),
        (1_111_111_111, "14050471", "67062674", "99943326"),
        (1_234_567_890, "89005924", "91819424", "93441116"),
        (2_000_000_000, "69279037", "90698825", "38618901"),
        (20_000_000_000, "65353130", "77737706", "47863826"),
    ];
    for (now, a, b, c) in rows {
        for (key, algorithm, code) in [
            (&sha1, Algorithm::Sha1, a),
            (&sha256, Algorithm::Sha256, b),
            (&sha512, Algorithm::Sha512, c),
        ] {
            let device = device(key, algorithm, 8);
            assert!(is_right(&examine(&device, code, now, &exact())), "{now} {algorithm:?}");
            let late = examine(&device, code, now + 30, &exact());
            assert!(!is_right(&late), "{now} {algorithm:?}");
        }
    }
}

/// google-authenticator-libpam's table: key 2SH3V3GDW7ZNMGYE, step 10000 is 050548.
#[test]
fn the_window_of_google_authenticators_table() {
    let key = base32::decode(base32::Alphabet::Rfc4648 { padding: false }, "2SH3V3GDW7ZNMGYE");
    let device = device(&key.unwrap(), Algorithm::Sha1, 6);
    for (step, expected) in [(9_998, false), (9_999, true), (10_001, true), (10_002, false)] {
        let finding = examine(&device, "050548", step * 30, &Config::default());
        assert_eq!(is_right(&finding), expected, "{step}");
    }
    let mut hotp = device.clone();
    hotp.moving = MovingFactor::Counter { next: 1, candidate: None };
    assert_eq!(give(&mut hotp, "293240", 0, &Config::default()), "right");
    assert_eq!(give(&mut hotp, "932068", 0, &Config::default()), "right");
    assert_eq!(hotp.moving, MovingFactor::Counter { next: 6, candidate: None });
    assert_eq!(give(&mut hotp, "932068", 0, &Config::default()), "used");
    assert_eq!(give(&mut hotp, "293240", 0, &Config::default()), "wrong");
}

#[test]
fn a_step_and_all_before_it_are_used_once_it_was_accepted() {
    let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
    let (now, config) = (3_000_000, Config::default());
    let later = code(&phone, now / 30 + 1);
    assert_eq!(give(&mut phone, &later, now, &config), "right");
    assert_eq!(give(&mut phone, &later, now, &config), "used");
    let current = code(&phone, now / 30);
    assert_eq!(give(&mut phone, &current, now, &config), "used");
    // Also those that a device which runs a little ahead shows no more.
    assert_eq!(give(&mut phone, &current, now + 30, &config), "used");
    let before = code(&phone, now / 30 - 1);
    assert_eq!(give(&mut phone, &before, now, &config), "used");
    let next = code(&phone, now / 30 + 2);
    assert_eq!(give(&mut phone, &next, now + 30, &config), "right");
}

#[test]
fn a_slow_clock_is_learned_a_step_at_a_time() {
    let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
    let config = Config::default();
    let mut here = 100_000;
    for behind in [1, 2, 3, 3] {
        here += 10;
        let code = code(&phone, here - behind);
        assert_eq!(give(&mut phone, &code, here * 30, &config), "right", "{behind}");
    }
    assert_eq!(phone.drift(), -3);
}

#[test]
fn three_consecutive_codes_of_one_offset_resynchronise_up_to_ten_minutes() {
    let config = Config::default();
    for (offset, expected) in [(20i64, "right"), (-20, "right"), (21, "wrong"), (-21, "wrong")] {
        let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
        let mut last = "";
        for here in 100_000..100_003u64 {
            assert_ne!(last, "right", "{offset}: too early");
            let code = code(&phone, here.checked_add_signed(offset).unwrap());
            last = give(&mut phone, &code, here * 30, &config);
        }
        assert_eq!(last, expected, "{offset}");
        if expected == "right" {
            assert_eq!(i64::from(phone.drift()), offset);
        }
    }
}

#[test]
fn codes_that_are_not_consecutive_or_come_too_late_do_not_resynchronise() {
    let config = Config::default();
    let mut same = device(b"0123456789", Algorithm::Sha1, 6);
    let stale = code(&same, 100_010);
    for here in [100_000, 100_001, 100_002, 100_003] {
        assert_eq!(give(&mut same, &stale, here * 30, &config), "wrong");
    }
    let mut slow = device(b"0123456789", Algorithm::Sha1, 6);
    for here in [100_000, 100_006, 100_012] {
        let code = code(&slow, here + 10);
        assert_eq!(give(&mut slow, &code, here * 30, &config), "wrong");
    }
    let mut broken = device(b"0123456789", Algorithm::Sha1, 6);
    for (here, right) in [(100_000, true), (100_001, true), (100_002, false), (100_003, true)] {
        let code = if right { code(&broken, here + 10) } else { "000000".to_owned() };
        assert_eq!(give(&mut broken, &code, here * 30, &config), "wrong");
    }
}

#[test]
fn a_clock_that_ran_ahead_and_was_set_back_makes_the_device_wait() {
    let mut phone = device(b"0123456789", Algorithm::Sha1, 6);
    let config = Config::default();
    let tomorrow = code(&phone, 102_880);
    assert_eq!(give(&mut phone, &tomorrow, 102_880 * 30, &config), "right");
    let today = code(&phone, 100_000);
    assert_eq!(give(&mut phone, &today, 100_000 * 30, &config), "used ahead");
    assert_eq!(give(&mut phone, &tomorrow, 102_880 * 30, &config), "used");
    let later = code(&phone, 102_881);
    assert_eq!(give(&mut phone, &later, 102_881 * 30, &config), "right");
}

#[test]
fn two_consecutive_codes_resynchronise_a_counter() {
    let config = Config::default();
    let mut token = counter_device(5);
    let (first, second) = (code(&token, 60), code(&token, 61));
    assert_eq!(give(&mut token, &first, 0, &config), "wrong");
    assert_eq!(give(&mut token, &first, 0, &config), "wrong");
    assert_eq!(give(&mut token, &second, 0, &config), "right");
    assert_eq!(token.moving, MovingFactor::Counter { next: 62, candidate: None });
    let mut far = counter_device(5);
    for counter in [106, 107] {
        let code = code(&far, counter);
        assert_eq!(give(&mut far, &code, 0, &config), "wrong");
    }
}

#[test]
fn the_ends_of_time_and_of_the_counter_do_not_overflow() {
    let phone = device(b"0123456789", Algorithm::Sha1, 6);
    for now in [0, 29, u64::MAX] {
        assert!(!is_right(&examine(&phone, "000000", now, &Config::default())));
    }
    let mut token = counter_device(u64::MAX - 1);
    let (last, none) = (code(&token, u64::MAX - 1), code(&token, u64::MAX));
    assert_eq!(give(&mut token, &last, 0, &Config::default()), "right");
    assert_eq!(give(&mut token, &last, 0, &Config::default()), "used");
    assert_eq!(give(&mut token, &none, 0, &Config::default()), "wrong");
}

#[test]
fn the_offset_of_a_wrong_clock_is_found() {
    let phone = device(b"0123456789", Algorithm::Sha1, 6);
    let early = code(&phone, 100_360);
    assert_eq!(offset_within(&phone, &early, 100_000 * 30, 1_440), Some(360));
    assert_eq!(offset_within(&phone, &early, 100_000 * 30, 359), None);
}
