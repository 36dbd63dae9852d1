//! Documents that go on over as many sheets as they need: text and tables from top to bottom, a line at the head and at the foot of every sheet.
//!
//! A row of a table and what is put side by side stay together; a paragraph may part between two lines. What heads a table, or the rows that come, is repeated on
//! the next sheet.

use std::num::NonZeroU16;

use super::Letterhead;
use super::layout::Language::{self, Any, English, Italian};
use super::layout::{
    ACCENT, Block, Cell, Column, FULL_WIDTH_MM, Faces, HAIR, LEFT_MM, Line, PT_PER_MM, Part, RISE, Shape, Sheet, Style, TINT, WHITE, leading_mm,
    lower,
};

/// Where the first sheet begins, and the others, below their line at the head.
const FIRST_TOP_MM: f32 = 14.0;
const NEXT_TOP_MM: f32 = 23.0;
const BOTTOM_MM: f32 = 279.0;
const HEAD_MM: f32 = 12.0;
const FOOT_MM: f32 = 283.0;
/// Between the rows of a table and its lines, above and below.
const PAD_MM: f32 = 1.1;
/// Between what stands side by side.
pub(super) const GUTTER_MM: f32 = 6.0;
pub(super) const HALF_WIDTH_MM: f32 = (FULL_WIDTH_MM - GUTTER_MM) / 2.0;
pub(super) const SECOND_MM: f32 = LEFT_MM + HALF_WIDTH_MM + GUTTER_MM;
/// Of the square with the issuer's initials, which stands where a logo would.
const MONOGRAM_MM: f32 = 15.0;

const SECOND_LEVEL: NonZeroU16 = NonZeroU16::MIN.saturating_add(1);

/// A fact with its name in both languages.
pub(super) struct Fact<'a> {
    pub(super) it: &'a str,
    pub(super) en: &'a str,
    pub(super) value: String,
    /// What stands below it, smaller.
    pub(super) below: String,
}

impl<'a> Fact<'a> {
    pub(super) fn new(it: &'a str, en: &'a str, value: impl Into<String>) -> Self {
        Self { it, en, value: value.into(), below: String::new() }
    }

    pub(super) fn below(self, below: impl Into<String>) -> Self {
        Self { below: below.into(), ..self }
    }
}

/// A column of a table.
pub(super) struct Head {
    pub(super) it: &'static str,
    pub(super) en: &'static str,
    pub(super) offset_mm: f32,
    pub(super) width_mm: f32,
    pub(super) is_number: bool,
}

/// A row of a table.
pub(super) enum Row {
    /// Over the whole width, on a tint: what the rows below it have in common. Left and right.
    Strip { left: String, below: String, right: String },
    /// A text in Italian and English, then what stands in the other columns.
    Plain { it: String, en: String, others: Vec<String> },
    /// A sum: what it is, in Italian, and its amount in the last column.
    Sum { it: String, en: String, amount: String },
}

/// A document on its way down the sheets.
pub(super) struct Flow<'a> {
    faces: &'a Faces,
    full: Vec<Part>,
    open: Part,
    /// Where the next thing begins.
    y_mm: f32,
}

impl<'a> Flow<'a> {
    pub(super) fn new(faces: &'a Faces, bookmark: String) -> Self {
        Self { faces, full: Vec::new(), open: Part { begins: Some(bookmark), ..Part::default() }, y_mm: FIRST_TOP_MM }
    }

    pub(super) const fn y_mm(&self) -> f32 {
        self.y_mm
    }

    /// A column that begins at the upper edge of whatever it will be put on.
    pub(super) const fn column(&self, left_mm: f32, width_mm: f32) -> Column<'a> {
        Column::new(self.faces, left_mm, width_mm, 0.0)
    }

    /// Goes on to the next sheet if there is no room for so much; whether it did.
    pub(super) fn keep(&mut self, height_mm: f32) -> bool {
        let is_full = self.y_mm + height_mm > BOTTOM_MM;
        if is_full {
            self.full.push(std::mem::take(&mut self.open));
            self.y_mm = NEXT_TOP_MM;
        }
        is_full
    }

    pub(super) fn skip(&mut self, height_mm: f32) {
        self.y_mm += height_mm;
    }

    pub(super) fn block(&mut self, block: Block) {
        self.open.blocks.push(block);
    }

    pub(super) fn shape(&mut self, shape: Shape) {
        self.open.shapes.push(shape);
    }

    /// Columns side by side, each read as a paragraph.
    pub(super) fn beside(&mut self, columns: Vec<Column<'_>>) {
        let height_mm = columns.iter().map(|column| column.below_mm).fold(0.0, f32::max);
        self.keep(height_mm);
        for mut column in columns {
            lower(&mut column.lines, self.y_mm);
            if !column.lines.is_empty() {
                self.open.blocks.push(Block::Paragraph(column.lines));
            }
        }
        self.y_mm += height_mm;
    }

    /// A text over the whole width, of any length.
    pub(super) fn say(&mut self, language: Language, style: Style, text: &str) {
        let column = self.column(LEFT_MM, FULL_WIDTH_MM).say(language, style, usize::MAX, text);
        let mut taken: Vec<Line> = Vec::new();
        let (mut first_mm, mut base_mm) = (0.0, self.y_mm);
        for mut line in column.lines {
            let height_mm = leading_mm(line.size_pt);
            if self.y_mm + height_mm > BOTTOM_MM && !taken.is_empty() {
                self.open.blocks.push(Block::Paragraph(std::mem::take(&mut taken)));
            }
            if self.keep(height_mm) {
                (first_mm, base_mm) = (line.baseline_mm - RISE * line.size_pt / PT_PER_MM, self.y_mm);
            }
            line.baseline_mm += base_mm - first_mm;
            taken.push(line);
            self.y_mm += height_mm;
        }
        if !taken.is_empty() {
            self.open.blocks.push(Block::Paragraph(taken));
        }
    }

    /// Who issues the document: initials where a logo would stand, name, office, address, fiscal code, contact; a rule below.
    pub(super) fn letterhead(&mut self, issuer: &Letterhead) {
        let initials = initials(&issuer.name);
        let mut offset_mm = 0.0;
        if !initials.is_empty() {
            let style = Style { is_bold: true, color: WHITE, sizes_pt: &[20.0] };
            let (left_mm, top_mm) = (LEFT_MM, self.y_mm);
            self.shape(Shape::Fill { left_mm, top_mm, width_mm: MONOGRAM_MM, height_mm: MONOGRAM_MM, color: ACCENT });
            let mut lines = self.column(left_mm, MONOGRAM_MM).gap(3.0).say(Any, style, 1, &initials).lines;
            lower(&mut lines, top_mm);
            lines.iter_mut().for_each(|line| line.left_mm += (MONOGRAM_MM - line.width_mm) / 2.0);
            self.block(Block::Aside(lines));
            offset_mm = MONOGRAM_MM + 4.0;
        }
        let code = if issuer.fiscal_code.trim().is_empty() { String::new() } else { format!("Codice fiscale {}", issuer.fiscal_code) };
        let who = self.column(LEFT_MM + offset_mm, 112.0 - offset_mm).say(Any, Style::ISSUER, 2, &issuer.name);
        let who = who.say(Any, Style::CELL, 2, &issuer.office);
        let where_ = self.column(LEFT_MM + 118.0, FULL_WIDTH_MM - 118.0).at_right();
        let where_ = where_.say(Any, Style::ID, 2, &issuer.address).say(Italian, Style::ID, 1, &code).say(Any, Style::ID, 2, &issuer.contact);
        let top_mm = self.y_mm;
        self.beside(vec![who, where_]);
        self.y_mm = self.y_mm.max(top_mm + MONOGRAM_MM) + 3.0;
        self.shape(Shape::Fill { left_mm: LEFT_MM, top_mm: self.y_mm, width_mm: FULL_WIDTH_MM, height_mm: 0.5, color: ACCENT });
        self.skip(5.0);
    }

    /// What the document is, and at the right what tells it from others.
    pub(super) fn title(&mut self, it: &str, en: &str, marks: &[String]) {
        let mut lines = self.column(LEFT_MM, 108.0).say(Italian, Style::TITLE, 1, it).say(English, Style::PLAIN, 1, en);
        lower(&mut lines.lines, self.y_mm);
        let mut right = self.column(LEFT_MM + 112.0, FULL_WIDTH_MM - 112.0).at_right().gap(1.5);
        for (at, mark) in marks.iter().enumerate() {
            right = right.say(Italian, if at == 0 { Style::VALUE } else { Style::CELL }, 1, mark);
        }
        lower(&mut right.lines, self.y_mm);
        self.y_mm += lines.below_mm.max(right.below_mm) + 4.0;
        self.block(Block::Heading { level: NonZeroU16::MIN, title: it.to_owned(), lines: lines.lines });
        if !right.lines.is_empty() {
            self.block(Block::Paragraph(right.lines));
        }
    }

    /// What the next texts are about; stays with as much of them as is said.
    pub(super) fn heading(&mut self, it: &str, en: &str, with_mm: f32) {
        self.skip(3.5);
        let label = self.column(LEFT_MM, FULL_WIDTH_MM).say(Italian, Style::SECTION, 1, it);
        let used_mm = label.lines.last().map_or(0.0, |line| line.width_mm) + 2.0;
        let baseline_mm = label.lines.last().map_or(0.0, |line| line.baseline_mm);
        let mut lines = label.lines;
        let mut beside = self.column(LEFT_MM + used_mm, FULL_WIDTH_MM - used_mm).say(English, Style::BELOW, 1, en).lines;
        beside.iter_mut().for_each(|line| line.baseline_mm = baseline_mm);
        lines.extend(beside);
        self.keep(label.below_mm + 1.5 + with_mm);
        lower(&mut lines, self.y_mm);
        self.block(Block::Heading { level: SECOND_LEVEL, title: it.to_owned(), lines });
        self.y_mm += label.below_mm + 1.5;
    }

    /// Facts in two columns, row by row; those without a value are left out.
    pub(super) fn facts(&mut self, facts: &[Fact<'_>]) {
        let told: Vec<&Fact<'_>> = facts.iter().filter(|fact| !self.faces.regular.clean(&fact.value).is_empty()).collect();
        for pair in told.chunks(2) {
            let columns = pair.iter().zip([LEFT_MM, SECOND_MM]).map(|(fact, left_mm)| {
                let column = self.column(left_mm, HALF_WIDTH_MM).label(fact.it, fact.en).say(Any, Style::VALUE, 3, &fact.value);
                column.say(Any, Style::BELOW, 2, &fact.below).gap(2.4)
            });
            let columns = columns.collect();
            self.beside(columns);
        }
    }

    /// A table: its heads, then its rows. A strip stays with the row below it.
    pub(super) fn table(&mut self, heads: &[Head], rows: &[Row]) {
        let built: Vec<(Vec<Cell>, f32)> = rows.iter().map(|row| self.row_of(heads, row)).collect();
        let heights: Vec<f32> = built.iter().map(|(_, height_mm)| *height_mm).collect();
        let (cells, height_mm) = self.head_of(heads);
        self.keep(height_mm + heights.iter().take(2).sum::<f32>());
        self.row(cells, height_mm, true);
        let mut strip = None;
        for ((row, (cells, height_mm)), at) in rows.iter().zip(built).zip(1..) {
            let with_mm = if matches!(row, Row::Strip { .. }) { heights.get(at).copied().unwrap_or_default() } else { 0.0 };
            if self.keep(height_mm + with_mm) {
                let head = self.head_of(heads);
                self.again(head, ACCENT);
                if let (Row::Plain { .. }, Some(strip)) = (row, strip) {
                    let (cells, height_mm) = self.row_of(heads, strip);
                    self.tint(height_mm);
                    self.again((cells, height_mm), HAIR);
                }
            }
            match row {
                Row::Plain { .. } => {}
                Row::Strip { .. } => {
                    strip = Some(row);
                    self.tint(height_mm);
                }
                Row::Sum { .. } => self.tint(height_mm),
            }
            self.row(cells, height_mm, false);
        }
    }

    /// A row once more, on the next sheet: it is seen and not read.
    fn again(&mut self, (cells, height_mm): (Vec<Cell>, f32), color: [u8; 3]) {
        let mut lines: Vec<Line> = cells.into_iter().flat_map(|cell| cell.lines).collect();
        lower(&mut lines, self.y_mm);
        self.block(Block::Aside(lines));
        self.y_mm += height_mm;
        self.line_below(if color == ACCENT { 0.4 } else { 0.15 }, color);
    }

    fn tint(&mut self, height_mm: f32) {
        let (top_mm, height_mm) = (self.y_mm + 0.25, height_mm - 0.5);
        self.shape(Shape::Fill { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm, color: TINT });
    }

    fn row(&mut self, mut cells: Vec<Cell>, height_mm: f32, is_head: bool) {
        cells.iter_mut().for_each(|cell| lower(&mut cell.lines, self.y_mm));
        self.block(Block::Row(cells));
        self.y_mm += height_mm;
        if is_head { self.line_below(0.4, ACCENT) } else { self.line_below(0.15, HAIR) }
    }

    fn line_below(&mut self, height_mm: f32, color: [u8; 3]) {
        let top_mm = self.y_mm - height_mm / 2.0;
        self.shape(Shape::Fill { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm, color });
    }

    /// The cells with the names of the columns, and how high they are.
    fn head_of(&self, heads: &[Head]) -> (Vec<Cell>, f32) {
        let columns = heads.iter().map(|head| {
            let column = self.cell(head);
            column.say(Italian, Style::LABEL, 1, head.it).say(English, Style::LABEL_BELOW, 1, head.en)
        });
        cells(columns.map(|column| (column, true, 1)))
    }

    /// The cells of a row, and how high it is.
    fn row_of(&self, heads: &[Head], row: &Row) -> (Vec<Cell>, f32) {
        let columns = heads.len() as u32;
        match row {
            Row::Strip { left, below, right } => {
                let mut left = self.column(LEFT_MM + 2.0, 116.0).gap(PAD_MM).say(Italian, Style::CELL_STRONG, 2, left);
                left = left.say(English, Style::LABEL_BELOW, 1, below);
                let right = self.column(LEFT_MM + 120.0, FULL_WIDTH_MM - 122.0).at_right().gap(PAD_MM).say(Any, Style::CELL, 2, right);
                cells([(left, true, columns.saturating_sub(1).max(1)), (right, true, 1)].into_iter())
            }
            Row::Plain { it, en, others } => {
                let texts = others.iter().map(|text| (&**text, "")).collect::<Vec<_>>();
                let texts = [(&**it, &**en)].into_iter().chain(texts);
                cells(heads.iter().zip(texts).map(|(head, (it, en))| {
                    let language = if head.is_number { Any } else { Italian };
                    (self.cell(head).say(language, Style::CELL, 3, it).say(English, Style::LABEL_BELOW, 2, en), false, 1)
                }))
            }
            Row::Sum { it, en, amount } => {
                let what = self.column(LEFT_MM + 2.0, 130.0).gap(PAD_MM).say(Italian, Style::VALUE, 1, it).say(English, Style::LABEL_BELOW, 1, en);
                let amount = self.column(LEFT_MM + 134.0, FULL_WIDTH_MM - 136.0).at_right().gap(PAD_MM).say(Any, Style::STRONG, 1, amount);
                cells([(what, false, columns.saturating_sub(1).max(1)), (amount, false, 1)].into_iter())
            }
        }
    }

    fn cell(&self, head: &Head) -> Column<'a> {
        let column = self.column(LEFT_MM + head.offset_mm, head.width_mm).gap(PAD_MM);
        if head.is_number { column.at_right() } else { column }
    }

    /// The sheets with their lines at the head and at the foot: what the document is, and which sheet of how many.
    pub(super) fn sheets(mut self, running: &str) -> Vec<Sheet> {
        self.full.push(std::mem::take(&mut self.open));
        let (faces, count) = (self.faces, self.full.len());
        let mut sheets = Vec::with_capacity(count);
        for (at, mut part) in self.full.into_iter().enumerate() {
            let (number, top_mm) = (at + 1, FOOT_MM);
            let page = Column::new(faces, LEFT_MM + 110.0, FULL_WIDTH_MM - 110.0, top_mm).at_right();
            let page = page.say(Italian, Style::NOTE, 1, &format!("pagina {number} di {count} · page {number} of {count}"));
            let mut lines = Column::new(faces, LEFT_MM, 108.0, top_mm).say(Any, Style::NOTE, 1, running).lines;
            lines.extend(page.lines);
            part.shapes.push(Shape::Fill { left_mm: LEFT_MM, top_mm: top_mm - 1.5, width_mm: FULL_WIDTH_MM, height_mm: 0.15, color: HAIR });
            if at > 0 {
                lines.extend(Column::new(faces, LEFT_MM, FULL_WIDTH_MM, HEAD_MM).say(Any, Style::LABEL, 1, running).lines);
                let top_mm = HEAD_MM + 5.0;
                part.shapes.push(Shape::Fill { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm: 0.3, color: ACCENT });
            }
            part.blocks.push(Block::Aside(lines));
            sheets.push(Sheet { parts: vec![part], shapes: Vec::new() });
        }
        sheets
    }
}

/// Closes columns into cells, all as high as the highest.
fn cells<'a>(columns: impl Iterator<Item = (Column<'a>, bool, u32)>) -> (Vec<Cell>, f32) {
    let mut height_mm = 0.0_f32;
    let cells = columns.map(|(column, is_head, span)| {
        height_mm = height_mm.max(column.below_mm + PAD_MM);
        Cell { lines: column.lines, is_head, span }
    });
    let cells = cells.collect();
    (cells, height_mm)
}

/// The first letters of the first two words of a name that are written large.
fn initials(name: &str) -> String {
    name.split_whitespace().filter_map(|word| word.chars().next()).filter(|letter| letter.is_uppercase()).take(2).collect()
}
