//! Short texts in the two languages of every visitor-facing page: names of routes and of ticket categories.

use serde::{Deserialize, Serialize};

/// The longest text of one language, in characters.
pub const TEXT_MAX: usize = 200;

/// A short text in Italian and English, shown as it stands: plain text, no markup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// In Italian.
    pub it: String,
    /// In English.
    pub en: String,
}

impl Text {
    /// A text from its two versions.
    #[must_use]
    pub fn new(it: &str, en: &str) -> Self {
        Self { it: it.to_owned(), en: en.to_owned() }
    }

    /// Whether both versions can be shown: see [`is_line`].
    #[must_use]
    pub fn is_sound(&self) -> bool {
        is_line(&self.it) && is_line(&self.en)
    }
}

/// Whether `text` can be shown in one line: not blank, no control or direction-changing characters, at most [`TEXT_MAX`] characters.
#[must_use]
pub fn is_line(text: &str) -> bool {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.trim().is_empty() && text.chars().count() <= TEXT_MAX && !text.contains(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_shown() {
        for (text, expected) in [
            ("Percorso notturno", true),
            ("Città e caffè", true),
            ("", false),
            (" \u{a0} ", false),
            ("a\nb", false),
            ("a\u{202e}b", false),
            ("a\u{0}", false),
            (&"x".repeat(200), true),
            (&"x".repeat(201), false),
            (&"🏛".repeat(200), true),
            (&"🏛".repeat(201), false),
        ] {
            assert_eq!(is_line(text), expected, "{text:?}");
        }
        assert!(!Text::new("Intero", "").is_sound());
    }
}
