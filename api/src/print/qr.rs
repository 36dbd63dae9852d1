//! Texts as QR codes: ticket codes as SVG for pages and as PNG for mails and wallets, these and payment notices as runs of modules for `pdf`.
//!
//! Tickets in the alphanumeric mode (what their codes are made for) at level Q: a quarter of the codewords may be lost to a fold or a bad printer. Notices as
//! pagoPA asks: version 4 at level M. Every image carries its own quiet zone. A page that shows one gives it its label: the image has none.

use std::fmt::Write as _;

use fast_qr::qr::{QRBuilder, QRCode};
use fast_qr::{ECL, Mode, Version};

use super::PrintError;

/// The longest text that is drawn: what fits version 10 at level Q. Longer ones would have modules too small to scan in the size that we print.
pub const CODE_LENGTH_MAX: usize = 221;
/// The white frame that readers need, in modules (ISO/IEC 18004, 9.1).
pub(super) const QUIET_ZONE: usize = 4;

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
const MODULE_PX_MAX: u32 = 32;

/// The code as an SVG image that scales to any size, black on white.
pub fn qr_svg(code: &str) -> Result<String, PrintError> {
    let matrix = Matrix::of(code)?;
    let side = matrix.size + 2 * QUIET_ZONE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\""
    );
    for Run { x, y, length } in matrix.runs() {
        write!(svg, "M{} {}h{length}v1h-{length}z", x + QUIET_ZONE, y + QUIET_ZONE).map_err(PrintError::unwritable)?;
    }
    svg.push_str("\"/></svg>");
    Ok(svg)
}

/// The code as a PNG image, one bit per pixel, each module `module_px` pixels wide (1 to 32; other values are taken as the nearest of these).
pub fn qr_png(code: &str, module_px: u32) -> Result<Vec<u8>, PrintError> {
    let matrix = Matrix::of(code)?;
    let scale = module_px.clamp(1, MODULE_PX_MAX) as usize;
    let side = (matrix.size + 2 * QUIET_ZONE) * scale;
    let row_bytes = side.div_ceil(8);
    let mut pixels = vec![0xff_u8; row_bytes * side];
    for Run { x, y, length } in matrix.runs() {
        let (from, until) = ((x + QUIET_ZONE) * scale, (x + length + QUIET_ZONE) * scale);
        for row in pixels.chunks_mut(row_bytes).skip((y + QUIET_ZONE) * scale).take(scale) {
            for pixel in from..until {
                row[pixel / 8] &= !(0x80 >> (pixel % 8));
            }
        }
    }
    let side = u32::try_from(side).map_err(PrintError::unwritable)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(PrintError::unwritable)?;
    writer.write_image_data(&pixels).map_err(PrintError::unwritable)?;
    writer.finish().map_err(PrintError::unwritable)?;
    Ok(file)
}

/// Which modules are dark, without the quiet zone.
pub(super) struct Matrix {
    pub(super) size: usize,
    dark: Vec<bool>,
}

/// Dark modules side by side in one row.
pub(super) struct Run {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) length: usize,
}

impl Matrix {
    /// The matrix of a code's text.
    pub(super) fn of(code: &str) -> Result<Self, PrintError> {
        let drawable = (1..=CODE_LENGTH_MAX).contains(&code.len()) && code.bytes().all(|byte| ALPHABET.contains(&byte));
        if !drawable {
            return Err(PrintError::NotACode);
        }
        Ok(Self::from(QRBuilder::new(code).mode(Mode::Alphanumeric).ecl(ECL::Q).build().map_err(PrintError::unwritable)?))
    }

    /// The matrix of a notice's text, of which version 4 holds 62 bytes at level M: more than the longest one has.
    pub(super) fn of_notice(text: &str) -> Result<Self, PrintError> {
        Ok(Self::from(QRBuilder::new(text).mode(Mode::Byte).ecl(ECL::M).version(Version::V04).build().map_err(PrintError::unwritable)?))
    }

    /// The dark modules, row by row.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.dark.chunks(self.size).enumerate().flat_map(|(y, row)| {
            let mut x = 0;
            row.chunk_by(|left, right| left == right).filter_map(move |run| {
                let from = x;
                x += run.len();
                run[0].then_some(Run { x: from, y, length: run.len() })
            })
        })
    }
}

impl From<QRCode> for Matrix {
    fn from(qr: QRCode) -> Self {
        let dark = (0..qr.size).flat_map(|y| qr[y].iter().map(|module| module.value())).collect();
        Self { size: qr.size, dark }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tornello_engine::ticket::TEXT_LENGTH;

    /// As long as a ticket code, and with all of its alphabet.
    pub(in crate::print) fn a_code() -> String {
        "TN1.".chars().chain("0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().cycle().skip(3)).take(TEXT_LENGTH).collect()
    }

    /// What a reader sees in a picture: side in pixels, and how bright each is.
    fn scan(side: usize, brightness: impl FnMut(usize, usize) -> u8) -> (rqrr::MetaData, String) {
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, brightness);
        let grids = picture.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap()
    }

    /// What a reader sees in a matrix of which each module is 4 pixels wide: version and level of the code, and its text.
    pub(in crate::print) fn read(matrix: &Matrix) -> (usize, u16, String) {
        let side = matrix.size + 2 * QUIET_ZONE;
        let mut dark = vec![false; side * side];
        for Run { x, y, length } in matrix.runs() {
            dark[(y + QUIET_ZONE) * side + x + QUIET_ZONE..][..length].fill(true);
        }
        let (meta, text) = scan(side * 4, |x, y| if dark[y / 4 * side + x / 4] { 0 } else { 255 });
        (meta.version.0, meta.ecc_level, text)
    }

    #[test]
    fn a_reader_reads_the_png_back() {
        for (code, module_px) in [(a_code(), 1), (a_code(), 4), (a_code(), 0), ("A".into(), 8), ("9".repeat(CODE_LENGTH_MAX), 3)] {
            let file = qr_png(&code, module_px).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.color_type, info.bit_depth), (info.height, png::ColorType::Grayscale, png::BitDepth::One));
            let (side, scale) = (info.width as usize, module_px.max(1) as usize);
            let pixel = |x: usize, y: usize| pixels[y * info.line_size + x / 8] >> (7 - x % 8) & 1;
            let quiet = QUIET_ZONE * scale;
            for along in 0..side {
                for inside in 0..quiet {
                    assert_eq!((pixel(along, inside), pixel(inside, along), pixel(along, side - 1 - inside)), (1, 1, 1), "quiet zone");
                }
            }
            // A reader needs a few pixels per module; a picture of fewer is shown enlarged.
            let zoom = 4_usize.div_ceil(scale);
            let (meta, text) = scan(side * zoom, |x, y| pixel(x / zoom, y / zoom) * 255);
            // 3 is level Q in the format information of ISO/IEC 18004.
            assert_eq!((text, meta.ecc_level), (code, 3));
        }
    }

    #[test]
    fn the_svg_has_the_same_modules() {
        let (svg, matrix) = (qr_svg(&a_code()).unwrap(), Matrix::of(&a_code()).unwrap());
        let path = svg.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        let side = matrix.size + 2 * QUIET_ZONE;
        assert!(svg.contains(&format!("viewBox=\"0 0 {side} {side}\"")));
        let mut dark = vec![false; side * side];
        for run in path.split_terminator('z') {
            let (at, run) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = run.split_once('v').unwrap().0.parse().unwrap();
            dark[y * side + x..][..length].fill(true);
        }
        let (_, text) = scan(side * 4, |x, y| if dark[y / 4 * side + x / 4] { 0 } else { 255 });
        assert_eq!(text, a_code());
    }

    #[test]
    fn a_ticket_code_takes_53_modules() {
        assert_eq!(Matrix::of(&a_code()).unwrap().size, 53);
        assert_eq!(Matrix::of(&"Z".repeat(CODE_LENGTH_MAX)).unwrap().size, 57);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "tn1.0", "È", "A\n", "\0", "A_B", &"A".repeat(CODE_LENGTH_MAX + 1), "🎟"] {
            assert_eq!(qr_svg(text), Err(PrintError::NotACode), "{text}");
            assert_eq!(qr_png(text, 4), Err(PrintError::NotACode), "{text}");
        }
    }
}
