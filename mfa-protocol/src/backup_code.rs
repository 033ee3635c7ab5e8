//! The shape of a backup code: the verifier makes such codes and reads them, and the module knows
//! one at the end of what was typed.

use crate::Secret;

/// The characters of a code: 31, without look-alikes (no 0, 1, i, l, o).
pub const ALPHABET: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// Characters of a code, without its dashes.
pub const LENGTH: usize = 15;

/// Characters of a group.
const GROUP: usize = 5;

/// Characters of a code as it is shown, with its dashes.
pub const SHOWN_LENGTH: usize = LENGTH + LENGTH / GROUP - 1;

/// Whether `plain` (small letters, no dashes) can be a backup code.
#[must_use]
pub fn has_shape(plain: &str) -> bool {
    plain.len() == LENGTH && plain.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Whether `text` can be a backup code in the very form in which it is shown, but for the case of
/// its letters.
#[must_use]
pub fn is_as_shown(text: &[u8]) -> bool {
    let fits = |(index, byte): (usize, &u8)| {
        if index % (GROUP + 1) == GROUP {
            *byte == b'-'
        } else {
            ALPHABET.contains(&byte.to_ascii_lowercase())
        }
    };
    text.len() == SHOWN_LENGTH && text.iter().enumerate().all(fits)
}

/// A plain code as it is shown: `xxxxx-xxxxx-xxxxx`.
#[must_use]
pub fn as_shown(plain: &str) -> Secret {
    let mut shown = Vec::with_capacity(SHOWN_LENGTH);
    for (index, byte) in plain.bytes().enumerate() {
        if index > 0 && index % GROUP == 0 {
            shown.push(b'-');
        }
        shown.push(byte);
    }
    Secret::new(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_as_it_is_shown_is_known_and_nothing_else_is() {
        assert!(is_as_shown(as_shown("xndhnhe5hr3a4qg").expose()));
        for (text, expected) in [
            ("xndhn-he5hr-3a4qg", true),
            ("XNDHN-he5hr-3A4QG", true),
            ("xndhn he5hr 3a4qg", false),
            ("xndhnhe5hr3a4qg", false),
            ("xndhnhe5hr3a4qgab", false),
            ("xndh-nhe5hr-3a4qg", false),
            ("xndhn-he5hr-3a4ql", false),
            ("xndhn-he5hr-3a4q0", false),
            ("xndhn-he5hr-3a4q", false),
            ("xndhn-he5hr-3a4qgg", false),
            ("", false),
        ] {
            assert_eq!(is_as_shown(text.as_bytes()), expected, "{text}");
        }
    }
}
