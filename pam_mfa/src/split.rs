//! A password and a code that were typed in one go.

use mfa_protocol::{backup_code, bypass_code};

/// Splits what was typed into a password and the code at its end: a bypass code or a backup code in the
/// form in which it is shown, else the last `digits` digits. With no such end all of it is the password.
///
/// A backup code without its dashes is not looked for: the last letters of many a password could
/// be one.
pub fn split(typed: &[u8], digits: usize) -> (&[u8], Option<&[u8]>) {
    let end_of = |length| typed.split_at_checked(typed.len().checked_sub(length)?);
    // It ends like a backup code.
    let bypass_code =
        || end_of(bypass_code::SHOWN_LENGTH).filter(|(_, code)| bypass_code::is_as_shown(code));
    let backup_code =
        || end_of(backup_code::SHOWN_LENGTH).filter(|(_, code)| backup_code::is_as_shown(code));
    let one_time = || end_of(digits).filter(|(_, code)| code.iter().all(u8::is_ascii_digit));
    match bypass_code().or_else(backup_code).or_else(one_time) {
        Some((password, code)) => (password, Some(code)),
        None => (typed, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_code_and_the_rest_is_the_password() {
        for (typed, digits, password, code) in [
            ("rabbit hole123456", 6, "rabbit hole", Some("123456")),
            ("rabbit hole 123456", 6, "rabbit hole ", Some("123456")),
            ("x12345678", 6, "x12", Some("345678")),
            ("x12345678", 7, "x1", Some("2345678")),
            ("x12345678", 8, "x", Some("12345678")),
            ("123456", 6, "", Some("123456")),
            ("123456123456", 6, "123456", Some("123456")),
            // No code.
            ("rabbit hole", 6, "rabbit hole", None),
            ("rabbit12345", 6, "rabbit12345", None),
            ("rabbit1234567", 8, "rabbit1234567", None),
            ("123456rabbit", 6, "123456rabbit", None),
            ("rabbit123 456", 6, "rabbit123 456", None),
            ("rabbit123456\n", 6, "rabbit123456\n", None),
            ("rabbit１２３４５６", 6, "rabbit１２３４５６", None),
            ("12345", 6, "12345", None),
            ("", 6, "", None),
            // Backup codes.
            ("rabbit holexndhn-he5hr-3a4qg", 6, "rabbit hole", Some("xndhn-he5hr-3a4qg")),
            ("xXNDHN-HE5HR-3A4QG", 6, "x", Some("XNDHN-HE5HR-3A4QG")),
            ("x22222-22222-22222", 6, "x", Some("22222-22222-22222")),
            ("xndhn-he5hr-3a4qg", 6, "", Some("xndhn-he5hr-3a4qg")),
            ("x-22222-22222-222222", 6, "x-22222-22222-", Some("222222")),
            // Bypass codes.
            ("xbypass-xndhn-he5hr-3a4qg", 6, "x", Some("bypass-xndhn-he5hr-3a4qg")),
            ("xByPass-xndhn-he5hr-3a4qg", 6, "x", Some("ByPass-xndhn-he5hr-3a4qg")),
            ("bypass-xndhn-he5hr-3a4qg", 6, "", Some("bypass-xndhn-he5hr-3a4qg")),
            ("surpass-xndhn-he5hr-3a4qg", 6, "surpass-", Some("xndhn-he5hr-3a4qg")),
            // Not as it is shown: a password may well end like this.
            ("xndhnhe5hr3a4qg", 6, "xndhnhe5hr3a4qg", None),
            ("rabbit xndhn he5hr 3a4qg", 6, "rabbit xndhn he5hr 3a4qg", None),
            ("rabbitxndhn-he5hr-3a4ql", 6, "rabbitxndhn-he5hr-3a4ql", None),
        ] {
            let split = split(typed.as_bytes(), digits);
            assert_eq!(split, (password.as_bytes(), code.map(str::as_bytes)), "{typed:?} {digits}");
        }
        assert_eq!(split(b"\xff\xfe123456", 6), (&b"\xff\xfe"[..], Some(&b"123456"[..])));
    }
}
