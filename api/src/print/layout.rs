//! What stands where on a sheet of A4, in millimetres: boxes of text, blocks in the order in which they are read, shapes behind them. `pdf` writes it down.
//!
//! Every text has a box of its own and cannot leave it. Black on white with one dark blue, which prints as black; nothing is said by colour.

use std::num::NonZeroU16;

use self::Language::{English, Italian};
use super::PrintError;
use super::qr::Matrix;
use super::text::Face;

pub(super) const PT_PER_MM: f32 = 72.0 / 25.4;
pub(super) const SHEET_MM: (f32, f32) = (210.0, 297.0);
/// Where texts begin, and the width that they share.
pub(super) const LEFT_MM: f32 = 15.0;
pub(super) const FULL_WIDTH_MM: f32 = 180.0;
/// From one baseline to the next, in parts of the font size.
const LEADING: f32 = 1.28;
/// From the upper edge of a line to its baseline, in parts of the font size.
pub(super) const RISE: f32 = 0.98;

pub(super) const BLACK: [u8; 3] = [0; 3];
pub(super) const INK: [u8; 3] = [0x11, 0x18, 0x20];
pub(super) const MUTED: [u8; 3] = [0x45, 0x4f, 0x5b];
pub(super) const ACCENT: [u8; 3] = [0x17, 0x32, 0x4d];
pub(super) const TINT: [u8; 3] = [0xec, 0xf0, 0xf4];
pub(super) const WHITE: [u8; 3] = [0xff; 3];
/// Of the thin lines between rows.
pub(super) const HAIR: [u8; 3] = [0xb8, 0xc2, 0xcc];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Italian,
    English,
    /// Names and numbers.
    Any,
}

/// How a text looks. Sizes from the largest; in the smallest it is cut if it still does not fit.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) is_bold: bool,
    pub(super) color: [u8; 3],
    pub(super) sizes_pt: &'static [f32],
}

impl Style {
    pub(super) const NAME: Self = Self { is_bold: true, color: ACCENT, sizes_pt: &[18.0, 15.0, 12.5] };
    pub(super) const TITLE: Self = Self { is_bold: true, color: ACCENT, sizes_pt: &[21.0] };
    pub(super) const SECTION: Self = Self { is_bold: true, color: ACCENT, sizes_pt: &[12.0] };
    pub(super) const ISSUER: Self = Self { is_bold: true, color: INK, sizes_pt: &[12.5, 11.0, 9.5] };
    pub(super) const CLOCK: Self = Self { is_bold: true, color: INK, sizes_pt: &[25.0] };
    pub(super) const AMOUNT: Self = Self { is_bold: true, color: INK, sizes_pt: &[25.0, 20.0, 15.0, 11.0] };
    pub(super) const STRONG: Self = Self { is_bold: true, color: INK, sizes_pt: &[13.0, 10.0, 8.0] };
    pub(super) const VALUE: Self = Self { is_bold: true, color: INK, sizes_pt: &[10.5, 9.0, 8.0] };
    pub(super) const PLAIN: Self = Self { is_bold: false, color: INK, sizes_pt: &[10.5, 9.0, 8.0] };
    pub(super) const SENTENCE: Self = Self { is_bold: false, color: INK, sizes_pt: &[9.5, 8.5, 7.5] };
    pub(super) const BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[9.0, 8.0, 7.5] };
    pub(super) const SENTENCE_BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[8.5, 7.5] };
    pub(super) const LABEL: Self = Self { is_bold: true, color: MUTED, sizes_pt: &[7.5] };
    pub(super) const LABEL_BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[7.5] };
    pub(super) const CELL: Self = Self { is_bold: false, color: INK, sizes_pt: &[9.0, 8.0, 7.5] };
    pub(super) const CELL_STRONG: Self = Self { is_bold: true, color: INK, sizes_pt: &[9.0, 8.0, 7.5] };
    pub(super) const ID: Self = Self { is_bold: false, color: INK, sizes_pt: &[8.5, 7.5] };
    pub(super) const NOTE: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[7.2] };
}

/// The box of a text: its left edge, its width, its first baseline (from the upper edge of the part of the sheet), and how many lines it has.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) left_mm: f32,
    pub(super) width_mm: f32,
    pub(super) baseline_mm: f32,
    pub(super) lines_max: usize,
}

impl Place {
    pub(super) const fn full(baseline_mm: f32, lines_max: usize) -> Self {
        Self { left_mm: LEFT_MM, width_mm: FULL_WIDTH_MM, baseline_mm, lines_max }
    }

    pub(super) const fn part(self, offset_mm: f32, width_mm: f32) -> Self {
        Self { left_mm: self.left_mm + offset_mm, width_mm, ..self }
    }
}

/// One line of text where it stands.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) language: Language,
    pub(super) is_bold: bool,
    pub(super) color: [u8; 3],
    pub(super) size_pt: f32,
    pub(super) left_mm: f32,
    pub(super) width_mm: f32,
    pub(super) baseline_mm: f32,
}

/// What a screen reader takes as one thing.
pub(super) enum Block {
    /// A heading, and what it is called in a list of headings.
    Heading { level: NonZeroU16, title: String, lines: Vec<Line> },
    /// A text.
    Paragraph(Vec<Line>),
    /// A QR code: its dark part, without the quiet zone, and what is read in its place.
    Code { left_mm: f32, top_mm: f32, side_mm: f32, matrix: Matrix, alt: String },
    /// A row of a table; rows that follow each other, also over pages, are one table.
    Row(Vec<Cell>),
    /// Not read: page numbers, and what is repeated from the page before.
    Aside(Vec<Line>),
}

/// A cell of a row.
pub(super) struct Cell {
    pub(super) lines: Vec<Line>,
    /// Whether it heads its column.
    pub(super) is_head: bool,
    /// How many columns it takes.
    pub(super) span: u32,
}

/// What stands behind the texts and is not read.
pub(super) enum Shape {
    /// A filled rectangle: a rule, if it is low.
    Fill { left_mm: f32, top_mm: f32, width_mm: f32, height_mm: f32, color: [u8; 3] },
    /// A thin frame.
    Frame { left_mm: f32, top_mm: f32, width_mm: f32, height_mm: f32 },
    /// A dashed line across the sheet.
    Dashes { top_mm: f32 },
}

/// A part of a sheet that has its own upper edge.
#[derive(Default)]
pub(super) struct Part {
    /// What a list of bookmarks calls the section that begins here; none if the section before goes on.
    pub(super) begins: Option<String>,
    pub(super) top_mm: f32,
    pub(super) blocks: Vec<Block>,
    pub(super) shapes: Vec<Shape>,
}

/// One sheet.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) parts: Vec<Part>,
    /// What belongs to none of the parts.
    pub(super) shapes: Vec<Shape>,
}

/// The two weights of the typeface.
pub(super) struct Faces {
    pub(super) regular: Face,
    pub(super) bold: Face,
}

impl Faces {
    pub(super) fn load() -> Result<Self, PrintError> {
        Ok(Self { regular: Face::regular()?, bold: Face::bold()? })
    }

    pub(super) const fn face(&self, is_bold: bool) -> &Face {
        if is_bold { &self.bold } else { &self.regular }
    }

    /// The lines of a text in its box.
    pub(super) fn set(&self, language: Language, style: Style, place: Place, text: &str) -> Vec<Line> {
        let Style { is_bold, color, sizes_pt } = style;
        let Place { left_mm, width_mm, baseline_mm, lines_max } = place;
        let face = self.face(is_bold);
        let fitted = face.fit(text, sizes_pt, width_mm * PT_PER_MM, lines_max);
        let size_pt = fitted.size_pt;
        let line = |(i, text): (usize, String)| {
            let width_mm = face.width_pt(&text, size_pt) / PT_PER_MM;
            let baseline_mm = baseline_mm + i as f32 * leading_mm(size_pt);
            Line { text, language, is_bold, color, size_pt, left_mm, width_mm, baseline_mm }
        };
        fitted.lines.into_iter().enumerate().map(line).collect()
    }

    /// The same, at the right edge of the box.
    pub(super) fn set_right(&self, language: Language, style: Style, place: Place, text: &str) -> Vec<Line> {
        let mut lines = self.set(language, style, place, text);
        lines.iter_mut().for_each(|line| line.left_mm = place.left_mm + place.width_mm - line.width_mm);
        lines
    }

    /// The small words above a value, in both languages on one line.
    pub(super) fn label(&self, place: Place, it: &str, en: &str) -> Vec<Line> {
        let mut lines = self.set(Italian, Style::LABEL, place, it);
        let used_mm = used_mm(&lines, place) + 1.2;
        lines.extend(self.set(English, Style::LABEL_BELOW, place.part(used_mm, place.width_mm - used_mm), en));
        lines
    }
}

/// Texts one below the other in one column, each as high as it comes out.
pub(super) struct Column<'a> {
    faces: &'a Faces,
    left_mm: f32,
    width_mm: f32,
    /// Where the next text begins.
    pub(super) below_mm: f32,
    pub(super) lines: Vec<Line>,
    at_right: bool,
}

impl<'a> Column<'a> {
    pub(super) const fn new(faces: &'a Faces, left_mm: f32, width_mm: f32, top_mm: f32) -> Self {
        Self { faces, left_mm, width_mm, below_mm: top_mm, lines: Vec::new(), at_right: false }
    }

    /// The same, its texts at its right edge.
    pub(super) fn at_right(self) -> Self {
        Self { at_right: true, ..self }
    }

    /// A text of at most so many lines; an empty one takes no room.
    pub(super) fn say(mut self, language: Language, style: Style, lines_max: usize, text: &str) -> Self {
        let place = Place { left_mm: self.left_mm, width_mm: self.width_mm, baseline_mm: self.below_mm, lines_max };
        let set = if self.at_right { Faces::set_right } else { Faces::set };
        let mut lines = set(self.faces, language, style, place, text);
        if let Some(size_pt) = lines.first().map(|line| line.size_pt) {
            lower(&mut lines, RISE * size_pt / PT_PER_MM);
            self.below_mm += lines.len() as f32 * leading_mm(size_pt);
        }
        self.lines.extend(lines);
        self
    }

    /// A label, as [`Faces::label`].
    pub(super) fn label(mut self, it: &str, en: &str) -> Self {
        let size_pt = Style::LABEL.sizes_pt[0];
        let place = Place { left_mm: self.left_mm, width_mm: self.width_mm, baseline_mm: self.below_mm + RISE * size_pt / PT_PER_MM, lines_max: 1 };
        self.lines.extend(self.faces.label(place, it, en));
        self.below_mm += leading_mm(size_pt) + 0.4;
        self
    }

    /// Nothing, so high.
    pub(super) fn gap(mut self, height_mm: f32) -> Self {
        self.below_mm += height_mm;
        self
    }
}

pub(super) fn paragraph<const N: usize>(parts: [Vec<Line>; N]) -> Block {
    Block::Paragraph(parts.into_iter().flatten().collect())
}

/// From one baseline to the next.
pub(super) fn leading_mm(size_pt: f32) -> f32 {
    size_pt * LEADING / PT_PER_MM
}

/// How much of the width of their box the lines take.
pub(super) fn used_mm(lines: &[Line], place: Place) -> f32 {
    lines.iter().map(|line| line.left_mm + line.width_mm - place.left_mm).fold(0.0, f32::max)
}

/// Moves lines down.
pub(super) fn lower(lines: &mut [Line], by_mm: f32) {
    lines.iter_mut().for_each(|line| line.baseline_mm += by_mm);
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::qr::QUIET_ZONE;
    use super::*;

    impl Block {
        /// All its lines, also those that are not read.
        pub(in crate::print) fn lines(&self) -> Vec<&Line> {
            match self {
                Self::Heading { lines, .. } | Self::Paragraph(lines) | Self::Aside(lines) => lines.iter().collect(),
                Self::Row(cells) => cells.iter().flat_map(|cell| &cell.lines).collect(),
                Self::Code { .. } => Vec::new(),
            }
        }
    }

    /// Texts from outside that have broken layouts before.
    pub(in crate::print) fn hostile() -> Vec<String> {
        let texts: [&str; 10] = [
            "",
            " \t\r\n\u{85}\u{2029} ",
            "\0\u{1}\u{7f}\u{9b}",
            &"W".repeat(3_000),
            &"Ùg ".repeat(1_000),
            "متحف مصر שלום \u{202e}nwod edispu\u{2066}",
            "🎟\u{fe0f}👩\u{200d}🚀🇮🇹",
            &format!("a{}", "\u{301}".repeat(600)),
            "(\\)<>[]{}/% endstream endobj",
            "\u{feff}\u{fffe}\u{ffff}\u{e000}\u{10ffff}",
        ];
        texts.map(str::to_owned).to_vec()
    }

    /// Left, top, right and bottom of a line with its tallest letters, accents aside.
    fn ink(line: &Line) -> [f32; 4] {
        let em_mm = line.size_pt / PT_PER_MM;
        [line.left_mm, line.baseline_mm - 0.72 * em_mm, line.left_mm + line.width_mm, line.baseline_mm + 0.24 * em_mm]
    }

    fn overlap(a: [f32; 4], b: [f32; 4]) -> bool {
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    /// The code of a block with its quiet zone.
    fn code(block: &Block) -> Option<[f32; 4]> {
        let Block::Code { left_mm, top_mm, side_mm, matrix, .. } = block else { return None };
        let quiet_mm = side_mm / matrix.size as f32 * QUIET_ZONE as f32;
        Some([left_mm - quiet_mm, top_mm - quiet_mm, left_mm + side_mm + quiet_mm, top_mm + side_mm + quiet_mm])
    }

    /// The edges of a shape that a text must not cross; what is filled with a tint, or with a colour for white letters, may have texts on it.
    fn edges(shape: &Shape) -> Vec<[f32; 4]> {
        match *shape {
            Shape::Fill { left_mm, top_mm, width_mm, height_mm, .. } | Shape::Frame { left_mm, top_mm, width_mm, height_mm } => {
                [top_mm, top_mm + height_mm].map(|edge_mm| [left_mm, edge_mm, left_mm + width_mm, edge_mm]).to_vec()
            }
            Shape::Dashes { top_mm } => vec![[0.0, top_mm, SHEET_MM.0, top_mm]],
        }
    }

    /// No text overlaps another, or a code, or a rule or frame, or leaves the margins of its part, of which the height is given.
    pub(in crate::print) fn assert_sound(part: &Part, height_mm: f32) {
        let lines: Vec<&Line> = part.blocks.iter().flat_map(Block::lines).collect();
        let obstacles: Vec<[f32; 4]> = part.blocks.iter().filter_map(code).chain(part.shapes.iter().flat_map(edges)).collect();
        for (i, line) in lines.iter().enumerate() {
            let [left, top, right, bottom] = ink(line);
            assert!(left >= LEFT_MM && right <= LEFT_MM + FULL_WIDTH_MM + 0.01 && top >= 8.0 && bottom <= height_mm - 5.0, "{line:?}");
            for obstacle in &obstacles {
                assert!(!overlap(ink(line), *obstacle), "{line:?} over {obstacle:?}");
            }
            assert!(!line.text.trim().is_empty(), "{line:?}");
            for other in &lines[i + 1..] {
                assert!(!overlap(ink(line), ink(other)), "{line:?} over {other:?}");
            }
        }
    }

    /// All that is said, in order.
    pub(in crate::print) fn text_of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> String {
        blocks.into_iter().flat_map(Block::lines).map(|line| &*line.text).collect::<Vec<_>>().join(" ")
    }
}
