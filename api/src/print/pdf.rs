//! Sheets written down as PDF/UA-1, so that a screen reader reads them in order and in the right languages. No date of creation: the same sheets give the same
//! file.

use std::num::NonZeroU32;

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
use krilla::tagging::{Artifact, ArtifactType, BBox, ContentTag, SpanTag, TableHeaderScope, Tag, TagGroup, TagKind, TagTree};

use super::PrintError;
use super::layout::{BLACK, Block, Cell, Faces, Language, Line, MUTED, PT_PER_MM, Part, SHEET_MM, Shape, Sheet};
use super::qr::{Matrix, Run};

/// The sheets as one file; `title` is what a window that shows it is called.
pub(super) fn write(title: &str, faces: &Faces, sheets: &[Sheet]) -> Result<Vec<u8>, PrintError> {
    let configuration = ConfigurationBuilder::new().with_accessibility_validator(Accessibility::UA1).finish();
    let configuration = configuration.map_err(|_| PrintError::unwritable("PDF/UA-1 has no version of PDF"))?;
    let mut document = Document::new_with(krilla::SerializeSettings { configuration, ..Default::default() });
    let mut tree = TagTree::new().with_lang(Some("it".into()));
    let mut outline = Outline::new();
    let mut section = Section::new();
    for (page_index, sheet) in sheets.iter().enumerate() {
        let settings = PageSettings::from_wh(SHEET_MM.0 * PT_PER_MM, SHEET_MM.1 * PT_PER_MM);
        let mut page = document.start_page_with(settings.ok_or_else(|| PrintError::unwritable("A4 is no size of paper"))?);
        let mut surface = page.surface();
        let mut pen = Pen { surface: &mut surface, faces, page_index, top_mm: 0.0 };
        for Part { begins, top_mm, blocks, shapes } in &sheet.parts {
            pen.top_mm = *top_mm;
            if let Some(bookmark) = begins {
                tree_push(&mut tree, std::mem::replace(&mut section, Section::new()));
                let at = Point::from_xy(0.0, top_mm * PT_PER_MM);
                outline.push_child(OutlineNode::new(faces.regular.clean(bookmark), XyzDestination::new(page_index, at)));
            }
            shapes.iter().for_each(|shape| pen.shape(shape));
            for block in blocks {
                pen.block(block, &mut section);
            }
        }
        pen.top_mm = 0.0;
        sheet.shapes.iter().for_each(|shape| pen.shape(shape));
        surface.finish();
        page.finish();
    }
    tree_push(&mut tree, section);
    document.set_tag_tree(tree);
    document.set_outline(outline);
    document.set_metadata(Metadata::new().title(faces.regular.clean(title)).language("it".into()).creator("Tornello".into()));
    document.finish().map_err(PrintError::unwritable)
}

/// What is read under one bookmark.
struct Section {
    group: TagGroup,
    is_empty: bool,
    /// The table whose rows are coming.
    table: Option<TagGroup>,
}

impl Section {
    fn new() -> Self {
        Self { group: TagGroup::new(Tag::Section), is_empty: true, table: None }
    }

    fn push(&mut self, group: TagGroup) {
        self.is_empty = false;
        self.end_table();
        self.group.push(group);
    }

    fn push_row(&mut self, row: TagGroup) {
        self.is_empty = false;
        self.table.get_or_insert_with(|| TagGroup::new(Tag::Table)).push(row);
    }

    fn end_table(&mut self) {
        if let Some(table) = self.table.take() {
            self.group.push(table);
        }
    }
}

fn tree_push(tree: &mut TagTree, mut section: Section) {
    section.end_table();
    if !section.is_empty {
        tree.push(section.group);
    }
}

/// Draws on one part of a sheet.
struct Pen<'a, 'page> {
    surface: &'a mut Surface<'page>,
    faces: &'a Faces,
    page_index: usize,
    top_mm: f32,
}

impl Pen<'_, '_> {
    fn block(&mut self, block: &Block, section: &mut Section) {
        match block {
            Block::Heading { level, title, lines } => {
                let heading = Tag::Hn(*level, Some(self.faces.regular.clean(title)));
                let group = self.text(heading, lines);
                section.push(group);
            }
            Block::Paragraph(lines) => {
                let group = self.text(Tag::P, lines);
                section.push(group);
            }
            Block::Code { left_mm, top_mm, side_mm, matrix, alt } => {
                let group = self.code((*left_mm, *top_mm), *side_mm, matrix, alt);
                section.push(group);
            }
            Block::Row(cells) => {
                let mut row = TagGroup::new(Tag::TR);
                for Cell { lines, is_head, span } in cells {
                    let span = NonZeroU32::new(*span).filter(|span| span.get() > 1);
                    let tag: TagKind =
                        if *is_head { Tag::TH(TableHeaderScope::Column).with_col_span(span).into() } else { Tag::TD.with_col_span(span).into() };
                    row.push(self.text(tag, lines));
                }
                section.push_row(row);
            }
            Block::Aside(lines) => {
                self.surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::PaginationOther)));
                lines.iter().for_each(|line| self.line(line));
                self.surface.end_tagged();
            }
        }
    }

    fn text(&mut self, tag: impl Into<TagKind>, lines: &[Line]) -> TagGroup {
        let mut group = TagGroup::new(tag);
        for line in lines {
            let lang = match line.language {
                Language::Italian => Some("it"),
                Language::English => Some("en"),
                Language::Any => None,
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

    fn code(&mut self, (left_mm, top_mm): (f32, f32), side_mm: f32, matrix: &Matrix, alt: &str) -> TagGroup {
        let module_mm = side_mm / matrix.size as f32;
        let mut path = PathBuilder::new();
        for Run { x, y, length } in matrix.runs() {
            let (left_mm, top_mm) = (left_mm + x as f32 * module_mm, top_mm + y as f32 * module_mm);
            self.rect(&mut path, left_mm, top_mm, length as f32 * module_mm, module_mm);
        }
        let at = self.point(left_mm, top_mm);
        let bounds = Rect::from_xywh(at.x, at.y, side_mm * PT_PER_MM, side_mm * PT_PER_MM).map(|rect| BBox::new(self.page_index, rect));
        let mut group = TagGroup::new(Tag::Figure(Some(self.faces.regular.clean(alt))).with_bbox(bounds));
        group.push(self.surface.start_tagged(ContentTag::Other));
        self.paint(Some(fill(BLACK)), None, path);
        self.surface.end_tagged();
        group
    }

    fn shape(&mut self, shape: &Shape) {
        let mut path = PathBuilder::new();
        let mut kind = ArtifactType::Layout;
        let (fill, stroke) = match *shape {
            Shape::Fill { left_mm, top_mm, width_mm, height_mm, color } => {
                self.rect(&mut path, left_mm, top_mm, width_mm, height_mm);
                (Some(fill(color)), None)
            }
            Shape::Frame { left_mm, top_mm, width_mm, height_mm } => {
                self.rect(&mut path, left_mm, top_mm, width_mm, height_mm);
                (None, Some(Stroke { paint: rgb(MUTED).into(), width: 0.3 * PT_PER_MM, ..Stroke::default() }))
            }
            Shape::Dashes { top_mm } => {
                kind = ArtifactType::Page;
                let (from, to) = (self.point(0.0, top_mm), self.point(SHEET_MM.0, top_mm));
                path.move_to(from.x, from.y);
                path.line_to(to.x, to.y);
                let dash = StrokeDash { array: vec![1.5 * PT_PER_MM; 2], offset: 0.0 };
                (None, Some(Stroke { paint: rgb(MUTED).into(), width: 0.2 * PT_PER_MM, dash: Some(dash), ..Stroke::default() }))
            }
        };
        self.surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(kind)));
        self.paint(fill, stroke, path);
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

#[cfg(test)]
pub(super) mod tests {
    /// Whether a file has these bytes somewhere.
    pub(in crate::print) fn contains(file: &[u8], part: &[u8]) -> bool {
        file.windows(part.len()).any(|window| window == part)
    }

    /// How many pages a file has.
    pub(in crate::print) fn pages(file: &[u8]) -> usize {
        let is_page =
            |window: &[u8]| window.starts_with(b"/Type/Page") && window[10] != b's' || window.starts_with(b"/Type /Page") && window[11] != b's';
        file.windows(12).filter(|window| is_page(window)).count()
    }
}
