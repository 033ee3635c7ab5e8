//! A QR code as a picture, for an administrator to hand over.

use std::ffi::OsStr;
use std::path::Path;

use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Pixels to a module.
const SCALE: usize = 8;
/// Light modules around the code; readers need four.
const QUIET: usize = 4;

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Png,
    Svg,
}

impl Format {
    /// The format that the name of a file asks for.
    pub fn of(path: &Path) -> Result<Self, Problem> {
        let extension = path.extension().map(OsStr::to_ascii_lowercase);
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => Err(Problem::usage(
                format!("{} is neither a .png nor a .svg file", path.display()),
                "name the picture FILE.png or FILE.svg",
            )),
        }
    }

    /// The picture of `text`.
    pub fn draw(self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(cannot)?;
        match self {
            Self::Png => png(&code).map_err(cannot),
            Self::Svg => Ok(Zeroizing::new(svg(&code).into_bytes())),
        }
    }
}

fn svg(code: &QrCode) -> String {
    code.render::<svg::Color>().quiet_zone(true).build()
}

fn png(code: &QrCode) -> Result<Zeroizing<Vec<u8>>, png::EncodingError> {
    let side = (code.width() + 2 * QUIET) * SCALE;
    let mut pixels = Zeroizing::new(Vec::with_capacity(side * side));
    let dark = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < code.width() && y < code.width() => code[(x, y)] == Color::Dark,
        _ => false,
    };
    for y in 0..side {
        pixels.extend((0..side).map(|x| if dark(x / SCALE, y / SCALE) { 0 } else { u8::MAX }));
    }
    let mut file = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut *file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

fn cannot(error: impl std::fmt::Display) -> Problem {
    Problem::unusable(format!("the QR code cannot be drawn: {error}"), "use a shorter label")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &[u8] =
        b"otpauth://totp/host:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=host";

    #[test]
    fn the_name_says_the_format() {
        assert_eq!(Format::of(Path::new("a/b.png")).unwrap(), Format::Png);
        assert_eq!(Format::of(Path::new("b.SVG")).unwrap(), Format::Svg);
        for name in ["b", "b.jpg", ".png", "png", "b.png.txt"] {
            assert_eq!(Format::of(Path::new(name)).unwrap_err().exit, 2, "{name}");
        }
    }

    #[test]
    fn a_png_shows_the_code_in_black_on_white_with_a_margin() {
        let file = Format::Png.draw(URI).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file[..])).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth),
            (png::ColorType::Grayscale, png::BitDepth::Eight)
        );

        let code = QrCode::with_error_correction_level(URI, EcLevel::M).unwrap();
        let side = (code.width() + 2 * QUIET) * SCALE;
        assert_eq!((info.width as usize, info.height as usize), (side, side));
        let pixel = |x: usize, y: usize| pixels[y * side + x];
        assert!((0..side).all(|x| pixel(x, QUIET * SCALE - 1) == 255));
        assert!((0..side).all(|y| pixel(side - QUIET * SCALE, y) == 255));
        for (x, y) in [(0, 0), (6, 6), (7, 7), (code.width() - 1, 0), (10, 20)] {
            let expected = if code[(x, y)] == Color::Dark { 0 } else { 255 };
            assert_eq!(pixel((x + QUIET) * SCALE + 3, (y + QUIET) * SCALE + 3), expected);
        }
    }

    #[test]
    fn an_svg_is_one() {
        let file = Format::Svg.draw(URI).unwrap();
        let text = std::str::from_utf8(&file).unwrap();
        assert!(text.starts_with("<?xml") && text.ends_with("</svg>"));
        // A module is 8 wide by default, and the margin is four of them.
        assert!(text.contains("M32 32h"), "{text}");
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        assert!(Format::Svg.draw(&[b'x'; 5000]).is_err());
    }
}
