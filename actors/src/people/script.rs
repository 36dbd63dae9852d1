//! In which alphabet a name is written. Letters of two alphabets can look the same (`a` is Latin, `а` Cyrillic, `α` Greek): a name that mixes them can be another
//! name than the one that whoever looks at it reads. Nothing here knows whose name it is.
//!
//! Scripts are told by blocks and ranges of the Unicode Character Database (Blocks.txt, Scripts.txt, <https://www.unicode.org/Public/UCD/latest/ucd/>); that one
//! word is of one script is what "Single Script" of UTS #39, section 5.2, asks (<https://www.unicode.org/reports/tr39/>).

use std::fmt;

/// An alphabet of Europe, or any other script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Latin,
    Greek,
    Cyrillic,
    Other,
}

impl Script {
    /// The script of a letter; none of what belongs to every script: spaces, digits, signs, accents that stand apart, and the letters that are apostrophes.
    fn of(character: char) -> Option<Self> {
        match character {
            '\u{2b9}'..='\u{2df}' | '\u{2e5}'..='\u{36f}' => None,
            letter if !letter.is_alphabetic() => None,
            'A'..='Z' | 'a'..='z' | 'ª' | 'º' | 'À'..='\u{2b8}' | '\u{2e0}'..='\u{2e4}' | '\u{1e00}'..='\u{1eff}' => Some(Self::Latin),
            '\u{2c60}'..='\u{2c7f}' | '\u{a722}'..='\u{a7ff}' | '\u{fb00}'..='\u{fb06}' | '\u{ff21}'..='\u{ff5a}' => Some(Self::Latin),
            'µ' | '\u{370}'..='\u{3e1}' | '\u{3f0}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some(Self::Greek),
            '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' => Some(Self::Cyrillic),
            _ => Some(Self::Other),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Latin => "Latin",
            Self::Greek => "Greek",
            Self::Cyrillic => "Cyrillic",
            Self::Other => "of another script",
        })
    }
}

/// The first letter of a text that is of another script than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixedScripts {
    letter: char,
    script: Script,
    before: Script,
}

impl MixedScripts {
    /// None of a text whose letters are all of one script.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut letters = text.chars().filter_map(|letter| Some((letter, Script::of(letter)?)));
        let (_, before) = letters.next()?;
        letters.find(|(_, script)| *script != before).map(|(letter, script)| Self { letter, script, before })
    }

    /// As [`MixedScripts::of`], of the first word that mixes scripts: two words of a name may be of two, one word is of one. Words are what spaces part, so that
    /// apostrophes, hyphens and accents that stand apart belong to them.
    #[must_use]
    pub fn in_a_word(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::of)
    }
}

impl fmt::Display for MixedScripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { letter, script, before } = self;
        write!(f, "`{letter}` is {script} where those before it are {before}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name in each official language of the European Union, with letters that only it has, and names in other alphabets of Europe and beyond.
    const OF_ONE_SCRIPT: [&str; 33] = [
        "Първан Йоакимов-Щъркелов",
        "Željko Đurđević Šćepan",
        "Bedřich Říha z Ďáblic",
        "Søren Ærøskøbing Ålborg",
        "IJsbrand van ’t Hoff, café Noë",
        "Zoë O'Neill-Smith, Jr.",
        "Õnne Šmidt Žürii Ääsmäe",
        "Åke Järvenpää Öhman",
        "Élise Cœur d’Açaí Lÿs",
        "Jörg Weiß & Söhne",
        "Γεώργιος Παπαδόπουλος-Άννινος ΐΰϊϋ",
        "Győző Űrhegyi Ákos",
        "Pádraig Ó hÉalaithe Ḃriain",
        "Niccolò D'Acquì",
        "Ģirts Ķēniņš Ļaudona",
        "Žydrūnas Šiaučiūnas Ėglė Ąžuolas",
        "Ġorġ Ħaż-Żebbuġ Ċikku",
        "Łucja Żółć-Gęślą Jaźń",
        "João Conceição Avô",
        "Ștefan Țîrlea Băsescu Âa",
        "Ľubomír Ŕíbezľ Ĺadový Ôsmy",
        "Črtomir Žagar Šuštar",
        "Íñigo Muñoz Güell i Col·lell",
        "Åsa Öström Ängel",
        "Лесь Курбас-Єщенко Ґалаґан Їжак",
        "Ђорђе Љубишић Њагул Џамић",
        "Nguyễn Thị Ơn",
        "Jose\u{301} Ñandu\u{301}",
        "Ko\u{2bb}olau M\u{2bc}Bow",
        "李雷",
        "محمد علي",
        "B & B 24 – (IIIª)",
        "",
    ];

    #[test]
    fn names_of_one_script_are_told_from_those_that_mix() {
        for name in OF_ONE_SCRIPT {
            assert_eq!(MixedScripts::of(name), None, "{name}");
        }
        for (name, letter, script, before) in [
            // The first is Cyrillic, or Greek, and looks like a Latin one.
            ("Mаria Rossi", 'а', Script::Cyrillic, Script::Latin),
            ("Мaria Rossi", 'a', Script::Latin, Script::Cyrillic),
            ("Maria Rοssi", 'ο', Script::Greek, Script::Latin),
            ("Αnna Verdi", 'n', Script::Latin, Script::Greek),
            ("Anna Vеrdi", 'е', Script::Cyrillic, Script::Latin),
            ("Аΐ", 'ΐ', Script::Greek, Script::Cyrillic),
            ("Ugo ѕ", 'ѕ', Script::Cyrillic, Script::Latin),
            ("Ugo ἀ", 'ἀ', Script::Greek, Script::Latin),
            ("Ada 名", '名', Script::Other, Script::Latin),
            ("名 A", 'A', Script::Latin, Script::Other),
        ] {
            assert_eq!(MixedScripts::of(name), Some(MixedScripts { letter, script, before }), "{name}");
        }
        let mixed = MixedScripts::of("Mаria").map(|mixed| mixed.to_string());
        assert_eq!(mixed.as_deref(), Some("`а` is Cyrillic where those before it are Latin"));
    }

    #[test]
    fn a_word_is_of_one_script_and_two_words_may_be_of_two() {
        for name in OF_ONE_SCRIPT.into_iter().chain(["Мария Rossi", "Rossi Μαρία", "D'Angelo Дмитрий", "Anna-Lisa Ο\u{301}λγα"])
        {
            assert_eq!(MixedScripts::in_a_word(name), None, "{name}");
        }
        for (name, letter) in
            [("Mаrio", 'а'), ("Anna Vеrdi", 'е'), ("Мария Rоssi", 'о'), ("D'Аngelo", 'А'), ("Anna-Мария", 'М'), ("Jose\u{301}\u{3bf}", 'ο')]
        {
            assert_eq!(MixedScripts::in_a_word(name).map(|mixed| mixed.letter), Some(letter), "{name}");
        }
    }
}
