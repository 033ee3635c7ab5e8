//! A QR code as text for a terminal.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side. The standard asks for four; two are read by every scanner
/// tried, and let a usual URI fit into 41 columns and 21 lines. One does where there is no room for
/// two, as with the same URI in plain ASCII on 80 columns.
const QUIET: [usize; 2] = [2, 1];

/// How a code is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawing {
    /// In half blocks; else with two `#` to a module.
    pub utf8: bool,
    /// The light modules, and the margin, are drawn in place of the dark ones: on a dark ground these are
    /// the light ones then, and a code that is inverted is not read by every app.
    pub inverted: bool,
}

/// The QR code of `text`; `None` where it does not fit into `columns`.
#[must_use]
pub fn draw(text: &str, columns: u16, Drawing { utf8, inverted }: Drawing) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let room = usize::from(columns) / if utf8 { 1 } else { 2 };
    let quiet = QUIET.into_iter().find(|quiet| code.width() + 2 * quiet <= room)?;
    let side = code.width() + 2 * quiet;
    let modules = code.to_colors();
    let drawn = |x: usize, y: usize| -> bool {
        let inside = quiet..quiet + code.width();
        let dark = inside.contains(&x)
            && inside.contains(&y)
            && modules.get((y - quiet) * code.width() + (x - quiet)) == Some(&Color::Dark);
        dark != inverted
    };
    let mut lines = Vec::new();
    if utf8 {
        for y in (0..side).step_by(2) {
            let line = (0..side).map(|x| match (drawn(x, y), drawn(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
            lines.push(line.collect::<String>());
        }
    } else {
        for y in 0..side {
            lines.push((0..side).map(|x| if drawn(x, y) { "##" } else { "  " }).collect());
        }
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: Drawing = Drawing { utf8: true, inverted: false };
    const ASCII: Drawing = Drawing { utf8: false, inverted: false };

    const URI: &str =
        "otpauth://totp/server01:alice?secret=ABCDEFGHIJKLMNOPQRSTUVWXYZ234567&issuer=server01";

    #[test]
    fn a_usual_uri_fits_a_terminal_of_80_by_24() {
        let text = draw(URI, 80, BLOCKS).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= 21, "{}", lines.len());
        let width = lines[0].chars().count();
        assert!(width <= 41, "{text}");
        assert!(lines.iter().all(|line| line.chars().count() == width), "{text}");
    }

    #[test]
    fn plain_ascii_has_two_characters_to_a_module() {
        let blocks = draw(URI, 80, BLOCKS).unwrap().lines().next().unwrap().chars().count();
        let text = draw(URI, 82, ASCII).unwrap();
        assert!(text.is_ascii());
        assert!(text.lines().all(|line| line.len() == 2 * blocks));
        assert_eq!(text.lines().count(), blocks);
    }

    #[test]
    fn the_margin_shrinks_before_the_code_is_left_out() {
        let width = |columns, utf8| -> Option<u16> {
            let text = draw(URI, columns, if utf8 { BLOCKS } else { ASCII })?;
            u16::try_from(text.lines().next()?.chars().count()).ok()
        };
        let full = width(80, true).unwrap();
        assert_eq!(width(full, true), Some(full));
        assert_eq!(width(full - 1, true), Some(full - 2));
        assert_eq!(width(full - 3, true), None);
        assert_eq!(width(2 * full, false), Some(2 * full));
        assert_eq!(width(2 * full - 1, false), Some(2 * full - 4));
        assert_eq!(width(2 * full - 5, false), None);
    }

    #[test]
    fn what_is_inverted_is_drawn_where_the_other_is_blank() {
        let other = |c| match c {
            ' ' => '█',
            '█' => ' ',
            '▀' => '▄',
            '▄' => '▀',
            other => other,
        };
        let inverted = draw(URI, 80, Drawing { inverted: true, ..BLOCKS }).unwrap();
        let expected: String = draw(URI, 80, BLOCKS).unwrap().chars().map(other).collect();
        assert_eq!(inverted, expected);
        let inverted = draw(URI, 82, Drawing { inverted: true, ..ASCII }).unwrap();
        let expected = draw(URI, 82, ASCII).unwrap().replace(' ', "%").replace('#', " ");
        assert_eq!(inverted, expected.replace('%', "#"));
    }
}
