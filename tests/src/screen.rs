//! What a terminal shows, as a picture: a QR code in it is then read by a program that knows nothing
//! of how it was drawn.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;

use vt100::{Cell, Color, Parser};

use crate::cache::TemporaryDirectory;

/// A character on the screen, in pixels, as on the text consoles of old.
const CELL: (usize, usize) = (8, 16);

const BLACK: u8 = 0;
const WHITE: u8 = 255;

/// `#` as the VGA font has it, a row of pixels to a byte.
const HASH: [u8; CELL.1] =
    [0, 0, 0x6c, 0x6c, 0x6c, 0xfe, 0x6c, 0x6c, 0x6c, 0xfe, 0x6c, 0x6c, 0x6c, 0, 0, 0];

/// What a terminal emulator has made of what came to it.
pub struct Screen(Parser);

/// What a terminal is like where a program has not said a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Black on white.
    Light,
    /// White on black.
    Dark,
}

impl Screen {
    /// A terminal of that size, to which `bytes` have come.
    pub fn new(bytes: &[u8], columns: u16, lines: u16) -> Self {
        let size = |n| NonZero::new(n).expect("a terminal has a size");
        let mut parser = Parser::new(size(lines), size(columns), 0);
        parser.process(bytes);
        Self(parser)
    }

    /// The text that can be seen now: what was scrolled away is not in it.
    pub fn text(&self) -> String {
        self.0.screen().contents()
    }

    /// What can be seen now, as a photograph of it.
    pub fn picture(&self, theme: Theme) -> Picture {
        let screen = self.0.screen();
        let (lines, columns) = screen.size();
        let (lines, columns) = (lines.get(), columns.get());
        let width = usize::from(columns) * CELL.0;
        let mut pixels = Vec::with_capacity(width * usize::from(lines) * CELL.1);
        for line in 0..lines {
            for y in 0..CELL.1 {
                for column in 0..columns {
                    let cell = screen.cell(line, column).unwrap();
                    let (ink, paper) = colours(cell, theme);
                    let drawn = |x| if is_inked(cell.contents(), x, y) { ink } else { paper };
                    pixels.extend((0..CELL.0).map(drawn));
                }
            }
        }
        Picture { width, pixels }
    }
}

fn colours(cell: &Cell, theme: Theme) -> (u8, u8) {
    let (ink, paper) = match theme {
        Theme::Light => (BLACK, WHITE),
        Theme::Dark => (WHITE, BLACK),
    };
    let (ink, paper) = (shade(cell.fgcolor(), ink), shade(cell.bgcolor(), paper));
    if cell.inverse() { (paper, ink) } else { (ink, paper) }
}

fn shade(colour: Color, default: u8) -> u8 {
    match colour {
        Color::Default => default,
        // The two ends of the cube of 256 colours, which no theme changes.
        Color::Idx(16) => BLACK,
        Color::Idx(231) => WHITE,
        other => panic!("how {other:?} looks depends on the terminal"),
    }
}

fn is_inked(character: &str, x: usize, y: usize) -> bool {
    match character {
        "" | " " => false,
        "█" => true,
        "▀" => y < CELL.1 / 2,
        "▄" => y >= CELL.1 / 2,
        "#" => HASH[y] >> (CELL.0 - 1 - x) & 1 == 1,
        // Text, which is none of the code's: some ink.
        _ => (3..12).contains(&y) && (1..7).contains(&x) && (x + y).is_multiple_of(3),
    }
}

/// A photograph of a screen, in shades of grey.
#[derive(Debug)]
pub struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// The same, taken by a camera that sees every `n`-th line only: what is between is averaged.
    #[must_use]
    pub fn coarser(&self, n: usize) -> Self {
        let (width, height) = (self.width / n, self.pixels.len() / self.width / n);
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let block = (0..n * n).map(|i| {
                    usize::from(self.pixels[(y * n + i / n) * self.width + x * n + i % n])
                });
                pixels.push(u8::try_from(block.sum::<usize>() / (n * n)).unwrap());
            }
        }
        Self { width, pixels }
    }

    /// Writes it as a file that everybody's image viewer shows (PGM).
    pub fn save(&self, path: &Path) {
        let head = format!("P5\n{} {}\n255\n", self.width, self.pixels.len() / self.width);
        let mut file = head.into_bytes();
        file.extend(&self.pixels);
        fs::write(path, file).unwrap();
    }

    /// What the QR codes in it say.
    pub fn codes(&self) -> Vec<String> {
        let directory = TemporaryDirectory::new();
        let path = directory.path().join("screen.pgm");
        self.save(&path);
        codes_in(&path)
    }
}

/// What the QR codes in a picture say, as `zbarimg` reads them.
pub fn codes_in(picture: &Path) -> Vec<String> {
    let mut zbarimg = Command::new("zbarimg");
    zbarimg.args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(picture);
    let output = zbarimg.output().expect("zbarimg");
    // 4: there is none.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}
