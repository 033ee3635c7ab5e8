//! A QR code as text for a terminal.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side. The standard asks for four; two are read by every scanner
/// tried, and let a usual URI fit into 41 columns and 21 lines.
const QUIET: usize = 2;

/// The QR code of `text` in half blocks, or with two `#` to a dark module; `None` where it does not
/// fit into `columns`.
#[must_use]
pub fn draw(text: &str, columns: u16, utf8: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width() + 2 * QUIET;
    let width = if utf8 { side } else { 2 * side };
    if width > usize::from(columns) {
        return None;
    }
    let modules = code.to_colors();
    let dark = |x: usize, y: usize| -> bool {
        let inside = QUIET..QUIET + code.width();
        inside.contains(&x)
            && inside.contains(&y)
            && modules.get((y - QUIET) * code.width() + (x - QUIET)) == Some(&Color::Dark)
    };
    let mut lines = Vec::new();
    if utf8 {
        for y in (0..side).step_by(2) {
            let line = (0..side).map(|x| match (dark(x, y), dark(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
            lines.push(line.collect::<String>());
        }
    } else {
        for y in 0..side {
            lines.push((0..side).map(|x| if dark(x, y) { "##" } else { "  " }).collect());
        }
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str =
        "otpauth://totp/server01:alice?secret=ABCDEFGHIJKLMNOPQRSTUVWXYZ234567&issuer=server01";

    #[test]
    fn a_usual_uri_fits_a_terminal_of_80_by_24() {
        let text = draw(URI, 80, true).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= 21, "{}", lines.len());
        let width = lines[0].chars().count();
        assert!(width <= 41, "{text}");
        assert!(lines.iter().all(|line| line.chars().count() == width), "{text}");
    }

    #[test]
    fn plain_ascii_has_two_characters_to_a_module() {
        let blocks = draw(URI, 80, true).unwrap().lines().next().unwrap().chars().count();
        let text = draw(URI, 82, false).unwrap();
        assert!(text.is_ascii());
        assert!(text.lines().all(|line| line.len() == 2 * blocks));
        assert_eq!(text.lines().count(), blocks);
    }

    #[test]
    fn what_does_not_fit_is_not_drawn() {
        let width = draw(URI, 80, true).unwrap().lines().next().unwrap().chars().count();
        let width = u16::try_from(width).unwrap();
        assert_eq!(draw(URI, width - 1, true), None);
        assert_eq!(draw(URI, 2 * width - 1, false), None);
        assert!(draw(URI, 2 * width, false).is_some());
    }
}
