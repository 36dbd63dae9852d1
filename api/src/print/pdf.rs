//! Tickets on A4 paper, two to a sheet, to print at home, fold and show where there is no network: Italian first, English below.
//!
//! `arrange` says what stands where, in millimetres, and is all that the layout tests look at; the rest writes it down as PDF/UA-1, so that a screen reader
//! reads it in order and in the right languages. Every text has a box of its own and cannot leave it. Black on white with one dark blue, which prints as
//! black; nothing is said by colour. No date of creation: the same tickets give the same file.

use std::num::NonZeroU16;

use jiff::civil::{Date, Time};
use krilla::Document;
use krilla::color::rgb;
use krilla::configure::{Accessibility, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, BBox, ContentTag, SpanTag, Tag, TagGroup, TagKind, TagTree};
use tornello_engine::money::Cents;

use self::Language::{Any, English, Italian};
use super::qr::{Matrix, Run};
use super::text::Face;
use super::{PrintError, PrintedTicket, TICKETS_MAX};

const PT_PER_MM: f32 = 72.0 / 25.4;
const SHEET_MM: (f32, f32) = (210.0, 297.0);
const HALF_MM: f32 = SHEET_MM.1 / 2.0;
const TICKETS_PER_SHEET: usize = 2;
/// Where the columns begin, and how wide they are. Folded twice, the sheet breaks at 105 mm: the code stays whole.
const LEFT_MM: f32 = 15.0;
const LEFT_WIDTH_MM: f32 = 108.0;
const RIGHT_MM: f32 = 135.0;
const RIGHT_WIDTH_MM: f32 = 60.0;
const FULL_WIDTH_MM: f32 = RIGHT_MM + RIGHT_WIDTH_MM - LEFT_MM;
/// The dark part of the code, without its quiet zone: almost 1 mm a module for a ticket code.
const QR_MM: f32 = 52.0;
const QR_AT_MM: (f32, f32) = (RIGHT_MM + (RIGHT_WIDTH_MM - QR_MM) / 2.0, 36.5);
/// The rule below the heading; the box with what to show: top and height.
const RULE_MM: f32 = 31.0;
const BOX_MM: (f32, f32) = (96.0, 24.0);
const INDENT_MM: f32 = 4.0;
/// From one baseline to the next, in parts of the font size.
const LEADING: f32 = 1.28;

const BLACK: [u8; 3] = [0; 3];
const INK: [u8; 3] = [0x11, 0x18, 0x20];
const MUTED: [u8; 3] = [0x45, 0x4f, 0x5b];
const ACCENT: [u8; 3] = [0x17, 0x32, 0x4d];

const DAYS_IT: [&str; 7] = ["lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica"];
const DAYS_EN: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS_IT: [&str; 12] =
    ["gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"];
const MONTHS_EN: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

const NOTES_IT: &str = "Il codice vale per questo biglietto soltanto: ogni lettura è registrata, e una copia o un secondo uso vengono riconosciuti \
    all'ingresso. Si può stampare in bianco e nero e piegare, o mostrare sullo schermo, anche senza rete.";
const NOTES_EN: &str = "The code is good for this ticket only: every scan is recorded, and a copy or a second use is detected at the entrance. Print it in \
    black and white and fold it, or show it on a screen, even without a network.";

/// The tickets as one PDF file, in the order given: at least one, at most [`TICKETS_MAX`].
pub fn tickets_pdf(tickets: &[PrintedTicket]) -> Result<Vec<u8>, PrintError> {
    let first = tickets.first().ok_or(PrintError::Nothing)?;
    if tickets.len() > TICKETS_MAX {
        return Err(PrintError::TooMany { count: tickets.len() });
    }
    let faces = Faces { regular: Face::regular()?, bold: Face::bold()? };
    let configuration = ConfigurationBuilder::new().with_accessibility_validator(Accessibility::UA1).finish();
    let configuration = configuration.map_err(|_| PrintError::unwritable("PDF/UA-1 has no version of PDF"))?;
    let mut document = Document::new_with(krilla::SerializeSettings { configuration, ..Default::default() });
    let mut tree = TagTree::new().with_lang(Some("it".into()));
    let mut outline = Outline::new();
    for (page_index, pair) in tickets.chunks(TICKETS_PER_SHEET).enumerate() {
        let settings = PageSettings::from_wh(SHEET_MM.0 * PT_PER_MM, SHEET_MM.1 * PT_PER_MM);
        let mut page = document.start_page_with(settings.ok_or_else(|| PrintError::unwritable("A4 is no size of paper"))?);
        let mut surface = page.surface();
        for (half, ticket) in pair.iter().enumerate() {
            let top_mm = if half == 0 { 0.0 } else { HALF_MM };
            let mut pen = Pen { surface: &mut surface, faces: &faces, page_index, top_mm };
            tree.push(pen.ticket(ticket)?);
            let at = Point::from_xy(0.0, top_mm * PT_PER_MM);
            outline.push_child(OutlineNode::new(faces.regular.clean(&title(ticket)), XyzDestination::new(page_index, at)));
        }
        if pair.len() == TICKETS_PER_SHEET {
            Pen { surface: &mut surface, faces: &faces, page_index, top_mm: HALF_MM }.cut_here();
        }
        surface.finish();
        page.finish();
    }
    document.set_tag_tree(tree);
    document.set_outline(outline);
    let title = faces.regular.clean(&format!("Biglietti · Tickets: {}", first.museum));
    document.set_metadata(Metadata::new().title(title).language("it".into()).creator("Tornello".into()));
    document.finish().map_err(PrintError::unwritable)
}

struct Faces {
    regular: Face,
    bold: Face,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Italian,
    English,
    /// Names and numbers.
    Any,
}

/// How a text looks. Sizes from the largest; in the smallest it is cut if it still does not fit.
#[derive(Clone, Copy)]
struct Style {
    is_bold: bool,
    color: [u8; 3],
    sizes_pt: &'static [f32],
}

impl Style {
    const NAME: Self = Self { is_bold: true, color: ACCENT, sizes_pt: &[18.0, 15.0, 12.5] };
    const CLOCK: Self = Self { is_bold: true, color: INK, sizes_pt: &[25.0] };
    const STRONG: Self = Self { is_bold: true, color: INK, sizes_pt: &[13.0, 10.0, 8.0] };
    const VALUE: Self = Self { is_bold: true, color: INK, sizes_pt: &[10.5, 9.0, 8.0] };
    const PLAIN: Self = Self { is_bold: false, color: INK, sizes_pt: &[10.5, 9.0, 8.0] };
    const SENTENCE: Self = Self { is_bold: false, color: INK, sizes_pt: &[9.5, 8.5, 7.5] };
    const BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[9.0, 8.0, 7.5] };
    const SENTENCE_BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[8.5, 7.5] };
    const LABEL: Self = Self { is_bold: true, color: MUTED, sizes_pt: &[7.5] };
    const LABEL_BELOW: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[7.5] };
    const ID: Self = Self { is_bold: false, color: INK, sizes_pt: &[8.5, 7.5] };
    const NOTE: Self = Self { is_bold: false, color: MUTED, sizes_pt: &[7.2] };
}

/// The box of a text: its left edge, its width, its first baseline (from the ticket's upper edge), and how many lines it has.
#[derive(Clone, Copy)]
struct Place {
    left_mm: f32,
    width_mm: f32,
    baseline_mm: f32,
    lines_max: usize,
}

impl Place {
    const fn left(baseline_mm: f32) -> Self {
        Self { left_mm: LEFT_MM, width_mm: LEFT_WIDTH_MM, baseline_mm, lines_max: 1 }
    }

    const fn full(baseline_mm: f32, lines_max: usize) -> Self {
        Self { left_mm: LEFT_MM, width_mm: FULL_WIDTH_MM, baseline_mm, lines_max }
    }

    const fn part(self, offset_mm: f32, width_mm: f32) -> Self {
        Self { left_mm: self.left_mm + offset_mm, width_mm, ..self }
    }
}

/// One line of text where it stands.
#[derive(Debug)]
struct Line {
    text: String,
    language: Language,
    is_bold: bool,
    color: [u8; 3],
    size_pt: f32,
    left_mm: f32,
    width_mm: f32,
    baseline_mm: f32,
}

/// What a screen reader takes as one thing.
#[derive(Debug)]
enum Block {
    Heading(Vec<Line>),
    Paragraph(Vec<Line>),
    Code,
}

#[cfg(test)]
impl Block {
    fn lines(&self) -> &[Line] {
        match self {
            Self::Heading(lines) | Self::Paragraph(lines) => lines,
            Self::Code => &[],
        }
    }
}

impl Faces {
    const fn face(&self, is_bold: bool) -> &Face {
        if is_bold { &self.bold } else { &self.regular }
    }

    /// The lines of a text in its box.
    fn set(&self, language: Language, style: Style, place: Place, text: &str) -> Vec<Line> {
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
    fn set_right(&self, language: Language, style: Style, place: Place, text: &str) -> Vec<Line> {
        let mut lines = self.set(language, style, place, text);
        lines.iter_mut().for_each(|line| line.left_mm = place.left_mm + place.width_mm - line.width_mm);
        lines
    }

    /// The small words above a value, in both languages on one line.
    fn label(&self, place: Place, it: &str, en: &str) -> Vec<Line> {
        let mut lines = self.set(Italian, Style::LABEL, place, it);
        let used_mm = used_mm(&lines, place) + 1.2;
        lines.extend(self.set(English, Style::LABEL_BELOW, place.part(used_mm, place.width_mm - used_mm), en));
        lines
    }
}

/// What stands on a ticket, in the order in which it is read.
fn arrange(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let mut blocks = heading(ticket, faces);
    blocks.extend(visit(ticket, faces));
    blocks.push(Block::Code);
    blocks.extend(entrance(ticket, faces));
    blocks
}

/// Above the rule: whose ticket it is, and which of how many.
fn heading(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let place = Place { width_mm: 122.0, lines_max: 2, ..Place::left(20.0) };
    let mut museum = faces.set(Any, Style::NAME, place, &ticket.museum);
    if museum.len() > 1 {
        museum.iter_mut().for_each(|line| line.baseline_mm -= 5.0);
    }
    let city_mm = museum.last().map_or(place.baseline_mm, |line| line.baseline_mm) + 5.3;
    let city = faces.set(Any, Style::PLAIN, Place { baseline_mm: city_mm, lines_max: 1, ..place }, &ticket.city);
    let corner = |baseline_mm| Place::full(baseline_mm, 1).part(125.0, FULL_WIDTH_MM - 125.0);
    let (number, count) = (ticket.number, ticket.count);
    let number_it = faces.set_right(Italian, Style::STRONG, corner(20.0), &format!("Biglietto {number} di {count}"));
    let number_en = faces.set_right(English, Style::BELOW, corner(25.5), &format!("Ticket {number} of {count}"));
    vec![Block::Heading(museum), Block::Paragraph(city), paragraph([number_it, number_en])]
}

/// Left of the code: when, where, for whom, for how much.
fn visit(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let window = format!("{}–{}", clock(ticket.enter_from), clock(ticket.enter_until));
    let mut blocks = vec![
        paragraph([
            faces.label(Place::left(37.5), "Giorno", "Date"),
            faces.set(Italian, Style::STRONG, Place::left(43.5), &day_it(ticket.day)),
            faces.set(English, Style::BELOW, Place::left(48.0), &day_en(ticket.day)),
        ]),
        paragraph([faces.label(Place::left(55.0), "Orario di ingresso", "Entry time"), faces.set(Any, Style::CLOCK, Place::left(64.5), &window)]),
    ];
    let holder = |baseline_mm, lines_max| Place { lines_max, ..Place::left(baseline_mm) }.part(60.0, LEFT_WIDTH_MM - 60.0);
    let name = faces.set(Any, Style::VALUE, holder(60.0, 2), &ticket.holder);
    if !name.is_empty() {
        blocks.push(paragraph([faces.label(holder(55.0, 1), "Nominativo", "Name"), name]));
    }
    // Without a route the category moves up.
    let mut top_mm = 72.0;
    let route = faces.set(Any, Style::VALUE, Place::left(top_mm + 4.7), &ticket.route);
    if !route.is_empty() {
        blocks.push(paragraph([faces.label(Place::left(top_mm), "Percorso", "Route"), route]));
        top_mm += 11.0;
    }
    let category = |below_mm| Place::left(top_mm + below_mm).part(0.0, 72.0);
    blocks.push(paragraph([
        faces.label(category(0.0), "Categoria", "Category"),
        faces.set(Italian, Style::VALUE, category(4.7), &ticket.category_it),
        faces.set(English, Style::BELOW, category(9.0), &ticket.category_en),
    ]));
    let price = |below_mm| Place::left(top_mm + below_mm).part(76.0, LEFT_WIDTH_MM - 76.0);
    let (price_it, price_en) = if ticket.price.is_zero() { ("gratuito".to_owned(), "free") } else { (euros(ticket.price), "") };
    blocks.push(paragraph([
        faces.label(price(0.0), "Prezzo", "Price"),
        faces.set(Italian, Style::VALUE, price(4.7), &price_it),
        faces.set(English, Style::BELOW, price(9.0), price_en),
    ]));
    blocks
}

/// In the box and below it: what to show besides the code, what to quote, what the code is good for.
fn entrance(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let inside = |baseline_mm| Place::full(baseline_mm, 2).part(INDENT_MM, FULL_WIDTH_MM - 2.0 * INDENT_MM);
    let first_mm = BOX_MM.0 + 9.5;
    let sentences = |it: &str, en: &str| {
        let it = faces.set(Italian, Style::SENTENCE, inside(first_mm), it);
        let next_mm = it.last().map_or(first_mm, |line| line.baseline_mm + leading_mm(line.size_pt));
        (it, faces.set(English, Style::SENTENCE_BELOW, inside(next_mm), en))
    };
    let (mut it, mut en) = sentences(&ticket.show_it, &ticket.show_en);
    if it.is_empty() && en.is_empty() {
        (it, en) = sentences("Basta questo codice.", "This code is all you need.");
    }
    let mut blocks = vec![paragraph([faces.label(inside(BOX_MM.0 + 4.8), "Da mostrare all'ingresso", "To show at the entrance"), it, en])];
    for (offset_mm, it, en, id) in [(0.0, "Riferimento", "Reference", &ticket.reference), (92.0, "Biglietto", "Ticket", &ticket.ticket)] {
        let place = Place::full(126.0, 1).part(offset_mm, FULL_WIDTH_MM - 92.0);
        let label = faces.label(place, it, en);
        let used_mm = used_mm(&label, place) + 2.0;
        let id = faces.set(Any, Style::ID, place.part(used_mm, place.width_mm - used_mm), id);
        if !id.is_empty() {
            blocks.push(paragraph([label, id]));
        }
    }
    blocks.push(paragraph([faces.set(Italian, Style::NOTE, Place::full(132.0, 2), NOTES_IT)]));
    blocks.push(paragraph([faces.set(English, Style::NOTE, Place::full(138.7, 2), NOTES_EN)]));
    blocks
}

fn paragraph<const N: usize>(parts: [Vec<Line>; N]) -> Block {
    Block::Paragraph(parts.into_iter().flatten().collect())
}

/// From one baseline to the next.
fn leading_mm(size_pt: f32) -> f32 {
    size_pt * LEADING / PT_PER_MM
}

/// How much of the width of their box the lines take.
fn used_mm(lines: &[Line], place: Place) -> f32 {
    lines.iter().map(|line| line.left_mm + line.width_mm - place.left_mm).fold(0.0, f32::max)
}

/// Draws on one half of a sheet.
struct Pen<'a, 'page> {
    surface: &'a mut Surface<'page>,
    faces: &'a Faces,
    page_index: usize,
    top_mm: f32,
}

impl Pen<'_, '_> {
    fn ticket(&mut self, ticket: &PrintedTicket) -> Result<TagGroup, PrintError> {
        let matrix = Matrix::of(&ticket.code)?;
        self.rules();
        let mut section = TagGroup::new(Tag::Section);
        for block in arrange(ticket, self.faces) {
            let group = match block {
                Block::Heading(lines) => {
                    let heading = Tag::Hn(NonZeroU16::MIN, Some(self.faces.regular.clean(&title(ticket))));
                    self.text(heading, &lines)
                }
                Block::Paragraph(lines) => self.text(Tag::P, &lines),
                Block::Code => self.code(&matrix, ticket),
            };
            section.push(group);
        }
        Ok(section)
    }

    fn text(&mut self, tag: impl Into<TagKind>, lines: &[Line]) -> TagGroup {
        let mut group = TagGroup::new(tag);
        for line in lines {
            let lang = match line.language {
                Italian => Some("it"),
                English => Some("en"),
                Any => None,
            };
            group.push(self.surface.start_tagged(ContentTag::Span(SpanTag::empty().with_lang(lang))));
            self.line(line);
            self.surface.end_tagged();
        }
        group
    }

    fn line(&mut self, line: &Line) {
        let face = self.faces.face(line.is_bold);
        // The space, which nobody sees, keeps lines apart where the text is copied or read aloud.
        let text = format!("{} ", line.text);
        self.surface.set_stroke(None);
        self.surface.set_fill(Some(fill(line.color)));
        let start = self.point(line.left_mm, line.baseline_mm);
        self.surface.draw_glyphs(start, &face.glyphs(&text), face.font.clone(), &text, line.size_pt, false);
    }

    fn code(&mut self, matrix: &Matrix, ticket: &PrintedTicket) -> TagGroup {
        let module_mm = QR_MM / matrix.size as f32;
        let mut path = PathBuilder::new();
        for Run { x, y, length } in matrix.runs() {
            let (left_mm, top_mm) = (QR_AT_MM.0 + x as f32 * module_mm, QR_AT_MM.1 + y as f32 * module_mm);
            self.rect(&mut path, left_mm, top_mm, length as f32 * module_mm, module_mm);
        }
        let at = self.point(QR_AT_MM.0, QR_AT_MM.1);
        let bounds = Rect::from_xywh(at.x, at.y, QR_MM * PT_PER_MM, QR_MM * PT_PER_MM).map(|rect| BBox::new(self.page_index, rect));
        let alt = format!("Codice QR, QR code: {}", self.faces.regular.clean(&ticket.ticket));
        let mut group = TagGroup::new(Tag::Figure(Some(alt)).with_bbox(bounds));
        group.push(self.surface.start_tagged(ContentTag::Other));
        self.paint(Some(fill(BLACK)), None, path);
        self.surface.end_tagged();
        group
    }

    /// Where two tickets part.
    fn cut_here(&mut self) {
        let dash = StrokeDash { array: vec![1.5 * PT_PER_MM; 2], offset: 0.0 };
        let stroke = Stroke { paint: rgb(MUTED).into(), width: 0.2 * PT_PER_MM, dash: Some(dash), ..Stroke::default() };
        let mut path = PathBuilder::new();
        for (x_mm, is_start) in [(0.0, true), (SHEET_MM.0, false)] {
            let Point { x, y } = self.point(x_mm, 0.0);
            if is_start { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        self.surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Page)));
        self.paint(None, Some(stroke), path);
        self.surface.end_tagged();
    }

    /// The rule below the heading and the frame of the box.
    fn rules(&mut self) {
        let mut rule = PathBuilder::new();
        self.rect(&mut rule, LEFT_MM, RULE_MM, FULL_WIDTH_MM, 0.5);
        let mut frame = PathBuilder::new();
        self.rect(&mut frame, LEFT_MM, BOX_MM.0, FULL_WIDTH_MM, BOX_MM.1);
        let stroke = Stroke { paint: rgb(MUTED).into(), width: 0.3 * PT_PER_MM, ..Stroke::default() };
        self.surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)));
        self.paint(Some(fill(ACCENT)), None, rule);
        self.paint(None, Some(stroke), frame);
        self.surface.end_tagged();
    }

    fn paint(&mut self, fill: Option<Fill>, stroke: Option<Stroke>, path: PathBuilder) {
        self.surface.set_fill(fill);
        self.surface.set_stroke(stroke);
        if let Some(path) = path.finish() {
            self.surface.draw_path(&path);
        }
    }

    fn rect(&self, path: &mut PathBuilder, left_mm: f32, top_mm: f32, width_mm: f32, height_mm: f32) {
        let Point { x, y } = self.point(left_mm, top_mm);
        if let Some(rect) = Rect::from_xywh(x, y, width_mm * PT_PER_MM, height_mm * PT_PER_MM) {
            path.push_rect(rect);
        }
    }

    fn point(&self, x_mm: f32, y_mm: f32) -> Point {
        Point::from_xy(x_mm * PT_PER_MM, (self.top_mm + y_mm) * PT_PER_MM)
    }
}

fn rgb([red, green, blue]: [u8; 3]) -> rgb::Color {
    rgb::Color::new(red, green, blue)
}

fn fill(color: [u8; 3]) -> Fill {
    Fill { paint: rgb(color).into(), ..Fill::default() }
}

/// What a list of bookmarks calls the ticket.
fn title(ticket: &PrintedTicket) -> String {
    format!("{}: biglietto {} di {}", ticket.museum, ticket.number, ticket.count)
}

fn day_it(day: Date) -> String {
    let (weekday, month) = (DAYS_IT[weekday(day)], MONTHS_IT[month(day)]);
    format!("{weekday} {} {month} {}", ordinal_it(day.day()), day.year())
}

fn day_en(day: Date) -> String {
    format!("{} {} {} {}", DAYS_EN[weekday(day)], day.day(), MONTHS_EN[month(day)], day.year())
}

/// Italian counts the first of a month, and only the first, with an ordinal.
fn ordinal_it(day: i8) -> String {
    if day == 1 { "1º".into() } else { day.to_string() }
}

fn weekday(day: Date) -> usize {
    day.weekday().to_monday_zero_offset().unsigned_abs().into()
}

fn month(day: Date) -> usize {
    usize::from(day.month().unsigned_abs()) - 1
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

fn euros(price: Cents) -> String {
    format!("{price} €").replace('.', ",")
}

#[cfg(test)]
mod tests {
    use super::super::qr::QUIET_ZONE;
    use super::*;
    use jiff::civil::{date, time};
    use tornello_engine::tariff::Proof;

    fn a_ticket(number: u32, proof: Proof) -> PrintedTicket {
        PrintedTicket {
            museum: "Museo archeologico nazionale e teatro romano di Spoleto".into(),
            city: "Spoleto (PG)".into(),
            route: "Museo e teatro romano".into(),
            day: date(2026, 6, 10),
            enter_from: time(8, 45, 0, 0),
            enter_until: time(9, 45, 0, 0),
            category_it: "Agevolato 18–25 anni".into(),
            category_en: "Reduced, aged 18 to 25".into(),
            price: Cents::new(200),
            holder: "Maria Antonietta Zanichelli de' Pazzi".into(),
            show_it: proof.show_it().into(),
            show_en: proof.show_en().into(),
            reference: "000g00g1rksp84hmasw9nf000c".into(),
            ticket: "000g00g1rksp84hmasw9nf0003".into(),
            number,
            count: 4,
            code: crate::print::qr::tests::a_code(),
        }
    }

    /// Every text as bad as it gets: `worst` as the text of each field.
    fn a_ticket_of(worst: &str) -> PrintedTicket {
        let [museum, city, route, category_it, category_en, holder, show_it, show_en, reference, ticket] = std::array::from_fn(|_| worst.to_owned());
        let (price, number, count, code) = (Cents::new(i64::MIN), u32::MAX, u32::MAX, crate::print::qr::tests::a_code());
        let (enter_from, enter_until) = (Time::MIN, Time::MAX);
        PrintedTicket {
            museum,
            city,
            route,
            day: Date::MIN,
            enter_from,
            enter_until,
            category_it,
            category_en,
            price,
            holder,
            show_it,
            show_en,
            reference,
            ticket,
            number,
            count,
            code,
        }
    }

    fn tickets_to_try() -> Vec<PrintedTicket> {
        let proofs = Proof::ALL.into_iter().map(|proof| a_ticket(1, proof));
        let museums = ["Galleria degli Uffizi", "", "Complesso monumentale di Santa Maria della Pilotta e Teatro Farnese di Parma (Italia)"];
        let museums = museums.map(|museum| PrintedTicket {
            museum: museum.into(),
            route: String::new(),
            holder: String::new(),
            price: Cents::ZERO,
            ..a_ticket(2, Proof::None)
        });
        let hostile = [
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
        proofs.chain(museums).chain(hostile.map(a_ticket_of)).collect()
    }

    /// Left, top, right and bottom of a line with its tallest letters, accents aside.
    fn ink(line: &Line) -> [f32; 4] {
        let em_mm = line.size_pt / PT_PER_MM;
        [line.left_mm, line.baseline_mm - 0.72 * em_mm, line.left_mm + line.width_mm, line.baseline_mm + 0.24 * em_mm]
    }

    fn overlap(a: [f32; 4], b: [f32; 4]) -> bool {
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    #[test]
    fn no_text_overlaps_another_or_the_code_or_leaves_its_half() {
        let faces = Faces { regular: Face::regular().unwrap(), bold: Face::bold().unwrap() };
        let quiet_mm = QR_MM / 53.0 * QUIET_ZONE as f32;
        let code = [QR_AT_MM.0 - quiet_mm, QR_AT_MM.1 - quiet_mm, QR_AT_MM.0 + QR_MM + quiet_mm, QR_AT_MM.1 + QR_MM + quiet_mm];
        let edge = |top_mm: f32| [LEFT_MM, top_mm, LEFT_MM + FULL_WIDTH_MM, top_mm];
        let obstacles = [code, edge(RULE_MM), edge(RULE_MM + 0.5), edge(BOX_MM.0), edge(BOX_MM.0 + BOX_MM.1)];
        for ticket in tickets_to_try() {
            let blocks = arrange(&ticket, &faces);
            let lines: Vec<&Line> = blocks.iter().flat_map(Block::lines).collect();
            for (i, line) in lines.iter().enumerate() {
                let [left, top, right, bottom] = ink(line);
                assert!(left >= LEFT_MM && right <= LEFT_MM + FULL_WIDTH_MM + 0.01 && top >= 8.0 && bottom <= HALF_MM - 5.0, "{line:?}");
                assert!(!obstacles.iter().any(|obstacle| overlap(ink(line), *obstacle)), "{line:?}");
                assert!(!line.text.trim().is_empty(), "{line:?}");
                for other in &lines[i + 1..] {
                    assert!(!overlap(ink(line), ink(other)), "{line:?} over {other:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_that_we_say_is_cut() {
        let faces = Faces { regular: Face::regular().unwrap(), bold: Face::bold().unwrap() };
        for ticket in Proof::ALL.into_iter().map(|proof| a_ticket(1, proof)) {
            let blocks = arrange(&ticket, &faces);
            let text = blocks.iter().flat_map(Block::lines).map(|line| &*line.text).collect::<Vec<_>>().join(" ");
            for said in [&ticket.museum, &ticket.route, &ticket.category_it, &ticket.show_it, &ticket.show_en, &ticket.reference, &ticket.ticket] {
                assert!(text.contains(&**said), "{said} in {text}");
            }
            assert!(
                text.contains("Zanichelli de' Pazzi")
                    && text.contains("08:45–09:45")
                    && text.contains("mercoledì 10 giugno 2026")
                    && text.contains("Wednesday 10 June 2026")
            );
            assert!(text.contains(NOTES_IT) && text.contains(NOTES_EN) && text.contains("2,00 €") && !text.contains('…'), "{text}");
            assert_eq!(text.contains("Basta questo codice."), ticket.show_it.is_empty());
        }
    }

    #[test]
    fn any_text_can_be_printed() {
        let tickets = tickets_to_try();
        for some in tickets.chunks(TICKETS_MAX) {
            assert_eq!(pages(&tickets_pdf(some).unwrap()), some.len().div_ceil(2));
        }
        // Every character there is, 450 at a time.
        let all: Vec<char> = ('\0'..='\u{ffff}').chain('\u{1f300}'..='\u{1faff}').chain('\u{e0000}'..='\u{e01ff}').collect();
        let texts = all.chunks(3 * 150).map(|some| {
            let [a, b, c] = [0, 150, 300].map(|from| some.iter().skip(from).take(150).collect::<String>());
            PrintedTicket { show_it: a, show_en: b, museum: c, ..a_ticket(1, Proof::None) }
        });
        let tickets: Vec<_> = texts.collect();
        for some in tickets.chunks(TICKETS_MAX) {
            tickets_pdf(some).unwrap();
        }
    }

    #[test]
    fn the_same_tickets_give_the_same_file() {
        let tickets = [a_ticket(1, Proof::Age), a_ticket(2, Proof::EuAge18To25), a_ticket(3, Proof::None)];
        let file = tickets_pdf(&tickets).unwrap();
        assert_eq!(file, tickets_pdf(&tickets).unwrap());
        assert!(!contains(&file, b"CreationDate") && !contains(&file, b"CreateDate"));
        assert_ne!(file, tickets_pdf(&tickets[..2]).unwrap());
    }

    #[test]
    fn the_file_is_an_accessible_pdf_with_its_fonts() {
        let file = tickets_pdf(&[a_ticket(1, Proof::Age), a_ticket(2, Proof::Age), a_ticket(3, Proof::Age)]).unwrap();
        assert!(file.starts_with(b"%PDF-1.7") && file.trim_ascii_end().ends_with(b"%%EOF"));
        assert_eq!(pages(&file), 2);
        for part in [&b"pdfuaid:part"[..], b"/StructTreeRoot", b"/Lang", b"/Outlines", b"/FontFile2", b"NotoSans-Bold", b"/Figure"] {
            assert!(contains(&file, part), "{}", String::from_utf8_lossy(part));
        }
        let tail = String::from_utf8_lossy(&file[file.len() - 64..]).into_owned();
        let xref: usize = tail.split("startxref").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(file[xref..].starts_with(b"xref"));
    }

    #[test]
    fn files_have_1_to_60_tickets_and_every_code_is_one() {
        let many = vec![a_ticket(1, Proof::None); TICKETS_MAX + 1];
        assert_eq!(pages(&tickets_pdf(&many[1..]).unwrap()), TICKETS_MAX / 2);
        assert_eq!(tickets_pdf(&many), Err(PrintError::TooMany { count: 61 }));
        assert_eq!(tickets_pdf(&[]), Err(PrintError::Nothing));
        let bad = PrintedTicket { code: "no code".into(), ..a_ticket(2, Proof::None) };
        assert_eq!(tickets_pdf(&[a_ticket(1, Proof::None), bad]), Err(PrintError::NotACode));
    }

    #[test]
    fn days_and_prices_are_written_as_people_write_them() {
        assert_eq!((day_it(date(2026, 11, 1)), day_en(date(2026, 11, 1))), ("domenica 1º novembre 2026".into(), "Sunday 1 November 2026".into()));
        assert_eq!((day_it(date(2027, 3, 8)), day_en(date(2027, 3, 8))), ("lunedì 8 marzo 2027".into(), "Monday 8 March 2027".into()));
        assert_eq!((clock(time(9, 5, 0, 0)), euros(Cents::new(1_650))), ("09:05".into(), "16,50 €".into()));
    }

    fn contains(file: &[u8], part: &[u8]) -> bool {
        file.windows(part.len()).any(|window| window == part)
    }

    fn pages(file: &[u8]) -> usize {
        let is_page =
            |window: &[u8]| window.starts_with(b"/Type/Page") && window[10] != b's' || window.starts_with(b"/Type /Page") && window[11] != b's';
        file.windows(12).filter(|window| is_page(window)).count()
    }
}
