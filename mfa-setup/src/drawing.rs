//! Text made fit for a terminal: nothing in it but what was meant to be seen.

use std::fmt::Write;

use mfa_protocol::escape::is_unsafe;
use zeroize::Zeroizing;

/// Black on white whatever the theme: with a dark one a code drawn in the terminal's own colours
/// is inverted, and many readers do not read that.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const ON_BLACK: &str = "\x1b[48;5;16m";
const ON_WHITE: &str = "\x1b[48;5;231m";
const RESET: &str = "\x1b[0m";

/// `text` with everything escaped that could leave its place on a terminal, newlines excepted.
///
/// Unlike [`mfa_protocol::escape::escape`] it leaves quotes alone: this is for whole texts, in
/// which names have been quoted and escaped already.
#[must_use]
pub fn printable(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    for c in text.chars() {
        if c != '\n' && is_unsafe(c) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Draws a QR code given as half blocks, or as `#` and blanks: `None` if it is anything else.
#[must_use]
pub fn qr(text: &str, colours: bool) -> Option<Zeroizing<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let in_ascii = lines.iter().all(|line| line.chars().all(|c| matches!(c, '#' | ' ')));
    let in_blocks = lines.iter().all(|line| line.chars().all(|c| "▀▄█ ".contains(c)));
    if !in_ascii && !in_blocks {
        return None;
    }
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let mut out = Zeroizing::new(String::with_capacity(lines.len() * (width * 12 + 32)));
    for line in lines {
        // Blanks at the end are light modules, and part of the code's margin.
        let padding = width - line.chars().count();
        let line = line.chars().chain(std::iter::repeat_n(' ', padding));
        match (colours, in_ascii) {
            (false, _) => out.extend(line),
            (true, true) => shade(&mut out, line),
            (true, false) => {
                out.push_str(BLACK_ON_WHITE);
                out.extend(line);
                out.push_str(RESET);
            }
        }
        out.push('\n');
    }
    Some(out)
}

/// Blanks on black where `line` has `#`, on white elsewhere: no glyph, so no gaps between lines.
fn shade(out: &mut String, line: impl Iterator<Item = char>) {
    let mut current = None;
    for c in line {
        let dark = c == '#';
        if current != Some(dark) {
            out.push_str(if dark { ON_BLACK } else { ON_WHITE });
            current = Some(dark);
        }
        out.push(' ');
    }
    out.push_str(RESET);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_passes_and_newlines_and_quotes_do() {
        let text = printable("a \"b\"\n\x1b]0;x\x07\r\u{202e}\u{9b}");
        assert_eq!(text.as_str(), "a \"b\"\n\\u{1b}]0;x\\u{7}\\u{d}\\u{202e}\\u{9b}");
    }

    #[test]
    fn half_blocks_are_black_on_white_and_every_line_is_of_one_width() {
        let drawn = qr("█▀ \n▄", true).unwrap();
        assert_eq!(
            drawn.as_str(),
            "\x1b[38;5;16;48;5;231m█▀ \x1b[0m\n\x1b[38;5;16;48;5;231m▄  \x1b[0m\n"
        );
        assert_eq!(qr("█▀ \n▄", false).unwrap().as_str(), "█▀ \n▄  \n");
    }

    #[test]
    fn ascii_is_drawn_by_the_background_alone() {
        let drawn = qr("##  ##", true).unwrap();
        assert_eq!(drawn.as_str(), "\x1b[48;5;16m  \x1b[48;5;231m  \x1b[48;5;16m  \x1b[0m\n");
        assert_eq!(qr("##  ", false).unwrap().as_str(), "##  \n");
    }

    #[test]
    fn what_is_not_a_code_is_not_drawn() {
        assert!(qr("#\x1b[2J", true).is_none());
        assert!(qr("#▀", true).is_none());
        assert!(qr("hello", false).is_none());
    }
}
