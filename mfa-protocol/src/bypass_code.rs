//! The shape of a bypass code: a backup code behind a word that says what it is. The verifier makes such codes and
//! reads them, and the module knows one at the end of what was typed.

use crate::{Secret, backup_code};

/// What every bypass code begins with.
pub const PREFIX: &str = "bypass";

/// Characters of a code as it is shown, with its dashes.
pub const SHOWN_LENGTH: usize = PREFIX.len() + 1 + backup_code::SHOWN_LENGTH;

/// What is behind the prefix, if `plain` (small letters, no dashes) can be a bypass code.
#[must_use]
pub fn secret_of(plain: &str) -> Option<&str> {
    plain.strip_prefix(PREFIX).filter(|rest| backup_code::has_shape(rest))
}

/// Whether `text` can be a bypass code in the very form in which it is shown, but for the case of its letters.
#[must_use]
pub fn is_as_shown(text: &[u8]) -> bool {
    let Some((prefix, rest)) = text.split_at_checked(PREFIX.len()) else { return false };
    prefix.eq_ignore_ascii_case(PREFIX.as_bytes())
        && rest
            .split_first()
            .is_some_and(|(dash, code)| *dash == b'-' && backup_code::is_as_shown(code))
}

/// A code as it is shown, `bypass-xxxxx-xxxxx-xxxxx`, of what is behind the prefix.
#[must_use]
pub fn as_shown(secret: &str) -> Secret {
    let mut shown = Vec::with_capacity(SHOWN_LENGTH);
    shown.extend_from_slice(PREFIX.as_bytes());
    shown.push(b'-');
    shown.extend_from_slice(backup_code::as_shown(secret).expose());
    Secret::new(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_as_it_is_shown_is_known_and_nothing_else_is() {
        let shown = as_shown("xndhnhe5hr3a4qg");
        assert_eq!(shown.expose_str(), Some("bypass-xndhn-he5hr-3a4qg"));
        assert_eq!(shown.expose().len(), SHOWN_LENGTH);
        for (text, expected) in [
            ("bypass-xndhn-he5hr-3a4qg", true),
            ("BYPASS-XNDHN-he5hr-3A4QG", true),
            ("bypassxndhn-he5hr-3a4qg", false),
            ("bypass xndhn-he5hr-3a4qg", false),
            ("bypast-xndhn-he5hr-3a4qg", false),
            ("bypass-xndhn-he5hr-3a4ql", false),
            ("bypass-xndhn-he5hr-3a4qgg", false),
            ("xndhn-he5hr-3a4qg", false),
            ("bypass", false),
            ("", false),
        ] {
            assert_eq!(is_as_shown(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn no_backup_code_is_one_and_none_is_a_backup_code() {
        assert_eq!(secret_of("bypassxndhnhe5hr3a4qg"), Some("xndhnhe5hr3a4qg"));
        for other in ["bypassbypassbyp", "xndhnhe5hr3a4qg", "bypassxndhnhe5hr3a4q", "bypass", ""] {
            assert_eq!(secret_of(other), None, "{other}");
        }
        assert!(!backup_code::has_shape("bypassxndhnhe5hr3a4qg"));
    }
}
