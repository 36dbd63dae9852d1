//! Text that fits its box: which glyphs, how wide, where to break, what to cut.
//!
//! Set in Noto Sans (SIL Open Font License, from the `notosans` crate): Latin, Greek and Cyrillic from left to right, one glyph per character. Texts come
//! from outside and may hold anything: [`clean`] leaves only what this font can show, so the document never refuses a name.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::MetadataProvider as _;
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;

use super::PrintError;

/// How much of one text is looked at: far more than any box holds, and a long paragraph.
const CHARACTERS_MAX: usize = 2_000;
const ELLIPSIS: char = '…';
const NO_GLYPH: char = '?';

/// One weight of the typeface, with its measures.
pub(super) struct Face {
    pub(super) font: Font,
    charmap: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
    units_per_em: f32,
}

/// A text broken into lines of at most the width asked for.
pub(super) struct Fitted {
    pub(super) size_pt: f32,
    pub(super) lines: Vec<String>,
    is_cut: bool,
}

impl Face {
    pub(super) fn regular() -> Result<Self, PrintError> {
        Self::new(notosans::REGULAR_TTF)
    }

    pub(super) fn bold() -> Result<Self, PrintError> {
        Self::new(notosans::BOLD_TTF)
    }

    fn new(bytes: &'static [u8]) -> Result<Self, PrintError> {
        let reader = skrifa::FontRef::new(bytes).map_err(PrintError::unwritable)?;
        let font = Font::new(bytes.into(), 0).ok_or_else(|| PrintError::unwritable("the font is unreadable"))?;
        let units_per_em = font.units_per_em();
        Ok(Self { font, charmap: reader.charmap(), metrics: reader.glyph_metrics(Size::unscaled(), LocationRef::default()), units_per_em })
    }

    /// The width of a text set in one line.
    pub(super) fn width_pt(&self, text: &str, size_pt: f32) -> f32 {
        text.chars().map(|character| self.advance(character)).sum::<f32>() * size_pt
    }

    /// The glyphs of a cleaned text, side by side.
    pub(super) fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        text.char_indices()
            .map(|(at, character)| KrillaGlyph {
                glyph_id: GlyphId::new(self.charmap.map(character).map_or(0, |glyph| glyph.to_u32())),
                text_range: at..at + character.len_utf8(),
                x_advance: self.advance(character),
                x_offset: 0.0,
                y_offset: 0.0,
                y_advance: 0.0,
                location: None,
            })
            .collect()
    }

    /// What can be shown of a text from outside: white space becomes single spaces, characters that only steer (controls, directions, joiners) go, and those
    /// without a glyph become a question mark.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = String::new();
        for character in text.chars().take(CHARACTERS_MAX) {
            if character.is_whitespace() || character.is_control() {
                if !clean.ends_with([' ']) && !clean.is_empty() {
                    clean.push(' ');
                }
            } else if !only_steers(character) {
                clean.push(if self.shows(character) { character } else { NO_GLYPH });
            }
        }
        clean.truncate(clean.trim_end().len());
        clean
    }

    /// The text in the largest of `sizes_pt` in which it fits `lines_max` lines, else cut with an ellipsis in the last of them.
    pub(super) fn fit(&self, text: &str, sizes_pt: &[f32], width_pt: f32, lines_max: usize) -> Fitted {
        let text = self.clean(text);
        let mut fitted = Fitted { size_pt: 0.0, lines: Vec::new(), is_cut: true };
        for &size_pt in sizes_pt {
            fitted = self.wrap(&text, size_pt, width_pt, lines_max);
            if !fitted.is_cut {
                break;
            }
        }
        fitted
    }

    fn wrap(&self, text: &str, size_pt: f32, width_pt: f32, lines_max: usize) -> Fitted {
        let mut lines = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && lines.len() < lines_max {
            let room = self.room(rest, size_pt, width_pt);
            let is_last = lines.len() + 1 == lines_max;
            if is_last && room < rest.len() {
                let room = self.room(rest, size_pt, width_pt - self.width_pt("…", size_pt));
                let mut line = rest[..room].trim_end().to_owned();
                line.push(ELLIPSIS);
                lines.push(line);
                return Fitted { size_pt, lines, is_cut: true };
            }
            // Break before the last word that does not fit; a word longer than a line is broken anywhere.
            let fits_whole = room == rest.len() || rest[room..].starts_with(' ');
            let end = if fits_whole { room } else { rest[..room].rfind(' ').filter(|&at| at > 0).unwrap_or(room) };
            lines.push(rest[..end].trim_end().to_owned());
            rest = rest[end..].trim_start();
        }
        Fitted { size_pt, lines, is_cut: false }
    }

    /// How many bytes of a text fit into one line: at least its first character, so that breaking always ends.
    fn room(&self, text: &str, size_pt: f32, width_pt: f32) -> usize {
        let mut width = 0.0;
        for (at, character) in text.char_indices() {
            width += self.advance(character) * size_pt;
            if width > width_pt && at > 0 {
                return at;
            }
        }
        text.len()
    }

    /// In parts of the font size.
    fn advance(&self, character: char) -> f32 {
        let glyph = self.charmap.map(character).unwrap_or_default();
        self.metrics.advance_width(glyph).unwrap_or_default() / self.units_per_em
    }

    fn shows(&self, character: char) -> bool {
        let is_private = matches!(character, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
        !is_private && self.charmap.map(character).is_some_and(|glyph| glyph.to_u32() != 0)
    }
}

/// Characters without a picture of their own: soft hyphen, joiners, directions, variation selectors, tags, byte order mark, non-characters.
fn only_steers(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The characters of a name that a ticket cannot show, each once: all but ASCII, the letters of Latin, Greek and Cyrillic, and the marks that go with them. A clerk
/// compares the name with a document, and every passport has it in such letters.
#[must_use]
pub fn unprintable(name: &str) -> String {
    let mut found = String::new();
    for character in name.chars() {
        if !is_of_names(character) && !found.contains(character) {
            found.push(character);
        }
    }
    found
}

fn is_of_names(character: char) -> bool {
    let is_letter = matches!(character, '\u{c0}'..='\u{2af}' | '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{481}' | '\u{48a}'..='\u{527}')
        || matches!(character, '\u{1e00}'..='\u{1e9b}' | '\u{1e9e}' | '\u{1ea0}'..='\u{1ef9}' | '\u{1f00}'..='\u{1ffc}');
    // Apostrophes as people type them, a dash, the point within Catalan names, accents that stand apart or below.
    let is_mark = matches!(character, '\u{aa}' | '\u{b4}' | '\u{b7}' | '\u{ba}' | '\u{2b9}'..='\u{2bf}' | '\u{2013}' | '\u{2018}' | '\u{2019}')
        || matches!(character, '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}');
    matches!(character, ' '..='~') || is_mark || is_letter && character.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_have_can_be_shown() {
        for face in [Face::regular().unwrap(), Face::bold().unwrap()] {
            for character in ('!'..='\u{ffff}').filter(|character| is_of_names(*character)) {
                assert!(face.shows(character) && !only_steers(character), "{character:?}");
            }
        }
        for name in
            ["Maria", "D’Annunzio", "O'Neill-Ñandú", "Ярослав", "Νίκος", "Əliyev", "Nguyễn Thị", "Ål", "Jose\u{301}", "Ko\u{2bb}olau", "IIIª B"]
        {
            assert_eq!(unprintable(name), "", "{name}");
        }
        for (name, found) in
            [("王小明", "王小明"), ("علي", "علي"), ("Ada 🎟 🎟", "🎟"), ("Ada\u{202e}", "\u{202e}"), ("Ñ한Ñ", "한"), ("×", "×"), ("\u{34f}", "\u{34f}")]
        {
            assert_eq!(unprintable(name), found, "{name}");
        }
    }

    #[test]
    fn italian_and_its_neighbours_have_glyphs() {
        for face in [Face::regular().unwrap(), Face::bold().unwrap()] {
            let text = "àèéìòùÀÈÉÌÒÙ €–—’“”«»°ªº·… ÄÖÜäöüß çñ šžć ľť ĦħĠ Ελλάδα Київ";
            assert_eq!(face.clean(text), text);
        }
    }

    #[test]
    fn texts_from_outside_are_made_showable() {
        let face = Face::regular().unwrap();
        for (from_outside, shown) in [
            ("", ""),
            (" \t\n ", ""),
            ("  a\r\n\tb  ", "a b"),
            ("a\0\u{1b}b", "a b"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("\u{202e}evil\u{202c}", "evil"),
            ("שלום", "????"),
            ("🎟\u{fe0f} ticket", "? ticket"),
            ("\u{f8ff}", "?"),
            ("cite\u{300}", "cite\u{300}"),
        ] {
            assert_eq!(face.clean(from_outside), shown, "{from_outside:?}");
        }
        assert_eq!(face.clean(&"a".repeat(10_000)).len(), CHARACTERS_MAX);
    }

    #[test]
    fn lines_are_never_wider_than_their_box() {
        let face = Face::regular().unwrap();
        let texts = [
            "",
            "a",
            "due parole",
            "Gallerie degli Uffizi e Corridoio Vasariano",
            "Donaudampfschifffahrtsgesellschaft und mehr",
            "è è è è è è è",
            &"W".repeat(400),
        ];
        for text in texts {
            for width in [30.0, 80.0, 200.0, 1000.0] {
                for lines_max in 1..4 {
                    let fitted = face.fit(text, &[14.0, 9.0], width, lines_max);
                    assert!(fitted.lines.len() <= lines_max);
                    for line in &fitted.lines {
                        assert!(face.width_pt(line, fitted.size_pt) <= width, "{line} in {width}");
                        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
                    }
                    let joined = fitted.lines.join(" ");
                    assert_eq!(fitted.is_cut, joined.ends_with(ELLIPSIS), "{joined}");
                    if !fitted.is_cut {
                        assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_size_that_fits_is_taken() {
        let face = Face::regular().unwrap();
        assert_eq!(face.fit("Museo", &[14.0, 9.0], 100.0, 1).size_pt, 14.0);
        assert_eq!(face.fit("Museo archeologico", &[14.0, 9.0], 100.0, 1).size_pt, 9.0);
        assert_eq!(face.fit("Museo archeologico", &[14.0, 9.0], 100.0, 2).lines, ["Museo", "archeologico"]);
    }
}
