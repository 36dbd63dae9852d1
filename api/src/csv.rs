//! Tables as comma-separated values (RFC 4180): written row by row for downloads, read from what banks export.
//!
//! A cell that a spreadsheet would take for a formula is written with an apostrophe in front, so that a name which somebody typed into a form computes nothing
//! on a clerk's machine. Numbers and days are cells of their own kinds and stay as they are. So do, for programs, texts that look like numbers, as the 18 digits of a
//! notice; whoever opens the table in a spreadsheet, which would keep 15 of them, asks for these as texts ([`CsvForm::with_texts`]).

use std::fmt::Write as _;

use jiff::civil::Date;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use crate::routes::local;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CsvForm {
    /// What stands between cells, and how amounts are written.
    pub separator: Separator,
    /// Whether a byte order mark tells spreadsheets that this is UTF-8.
    pub byte_order_mark: bool,
    /// Whether texts that a spreadsheet would take for a number or a day are formulas that say them, as `="302000000000000057"`: it shows each sign of these, and no leading
    /// zero is lost. A program reads the formula.
    pub as_texts: bool,
}

impl CsvForm {
    /// What a spreadsheet set to Italian opens without asking.
    pub const ITALIAN: Self = Self { separator: Separator::Semicolon, byte_order_mark: true, as_texts: false };

    /// The same, with or without formulas that say what would be taken for a number.
    #[must_use]
    pub const fn with_texts(self, as_texts: bool) -> Self {
        Self { as_texts, ..self }
    }
}

/// What stands between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Separator {
    /// A comma, as in RFC 4180; amounts with a point.
    #[default]
    Comma,
    /// A semicolon; amounts with a comma.
    Semicolon,
}

impl Separator {
    const fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Semicolon => ';',
        }
    }
}

/// What stands in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvCell<'a> {
    /// A text from anywhere.
    Text(&'a str),
    /// A whole number.
    Count(i64),
    /// An amount in euros, with two decimals.
    Euros(Cents),
    /// A day, as `2026-11-23`.
    Day(Date),
    /// An instant, as the clocks in Rome show it and with its offset, in whole seconds: RFC 3339, and a clerk reads the hour that visitors read.
    Instant(Timestamp),
    /// Nothing.
    Empty,
}

/// Writes a table of `N` columns. What has been written is taken away in pieces, so that a table of any length needs little memory.
#[derive(Debug)]
pub struct CsvWriter<const N: usize> {
    form: CsvForm,
    written: String,
}

impl<const N: usize> CsvWriter<N> {
    /// Begins with the line of names.
    #[must_use]
    pub fn new(form: CsvForm, heads: [&str; N]) -> Self {
        let written = if form.byte_order_mark { "\u{feff}".to_owned() } else { String::new() };
        let mut writer = Self { form, written };
        writer.row(heads.map(CsvCell::Text));
        writer
    }

    /// One more row.
    pub fn row(&mut self, cells: [CsvCell<'_>; N]) {
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                self.written.push(self.form.separator.character());
            }
            self.cell(cell);
        }
        self.written.push_str("\r\n");
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.written.len()
    }

    /// What was written since it was last taken.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written).into_bytes()
    }

    fn cell(&mut self, cell: CsvCell<'_>) {
        // Writing to a string cannot fail.
        let _ = match cell {
            CsvCell::Text(text) => {
                self.text(text);
                Ok(())
            }
            CsvCell::Count(count) => write!(self.written, "{count}"),
            CsvCell::Euros(amount) if self.form.separator == Separator::Semicolon => {
                self.written.push_str(&amount.to_string().replace('.', ","));
                Ok(())
            }
            CsvCell::Euros(amount) => write!(self.written, "{amount}"),
            CsvCell::Day(day) => write!(self.written, "{day}"),
            CsvCell::Instant(at) => {
                self.written.push_str(&local(at));
                Ok(())
            }
            CsvCell::Empty => Ok(()),
        };
    }

    fn text(&mut self, text: &str) {
        if self.form.as_texts && is_misread(text) {
            // Twice in quotes: in those of the formula, and in those of the cell.
            self.written.push_str("\"=\"\"");
            self.written.push_str(&text.replace('"', "\"\"\"\""));
            self.written.push_str("\"\"\"");
            return;
        }
        // Separators of the other kind are quoted too: not every spreadsheet splits where we think.
        let is_quoted = text.contains(['"', ',', ';', '\t', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
        if is_quoted {
            self.written.push('"');
        }
        if is_formula(text) {
            self.written.push('\'');
        }
        for character in text.chars() {
            match character {
                '"' => self.written.push_str("\"\""),
                '\t' | '\r' | '\n' => self.written.push(character),
                character if character.is_control() => self.written.push(' '),
                character => self.written.push(character),
            }
        }
        if is_quoted {
            self.written.push('"');
        }
    }
}

/// Whether a spreadsheet might compute a text: it begins, blanks aside, with a sign that starts a formula, or with a tab or line break that hides one.
fn is_formula(text: &str) -> bool {
    let first = text.trim_start_matches(|c: char| c == ' ' || c == '\u{a0}' || (c.is_control() && !matches!(c, '\t' | '\r' | '\n'))).chars().next();
    first.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}'))
}

/// The longest text that a formula of a spreadsheet may hold, in characters.
const FORMULA_TEXT_MAX: usize = 255;

/// Whether a spreadsheet might take a text for a number, a day or an hour: it begins with a digit, as `302000000000000057`, `00123`, `1e5` and `3-4` do.
fn is_misread(text: &str) -> bool {
    text.trim_start().starts_with(|first: char| first.is_ascii_digit())
        && !text.contains(char::is_control)
        && text.chars().count() <= FORMULA_TEXT_MAX
}

/// A line of a table; a cell in quotes may make it several lines of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvRecord {
    /// The line of the file on which it begins, from 1.
    pub line: u32,
    /// Its cells.
    pub cells: Vec<String>,
}

/// What is wrong with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsvFault {
    /// A row with more or fewer cells than the first.
    #[error("{expected} cells are expected, {found} are there")]
    Cells {
        /// How many the first row has.
        expected: usize,
        /// How many this one has.
        found: usize,
    },
    /// A cell whose quotes do not end.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A quote in the middle of a cell.
    #[error("a quote stands inside a cell; it must be doubled, and the cell in quotes")]
    StrayQuote,
}

/// Reads a table record by record; empty lines are passed over. After an error nothing more comes.
pub fn records(text: &str, separator: char) -> impl Iterator<Item = Result<CsvRecord, (u32, CsvFault)>> + '_ {
    let (mut rest, mut line, mut expected) = (text, 1_u32, None);
    std::iter::from_fn(move || {
        while let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            rest = after;
            line += 1;
        }
        if rest.is_empty() {
            return None;
        }
        let begun = line;
        let found = record(&mut rest, &mut line, separator).and_then(|cells| {
            let expected = *expected.get_or_insert(cells.len());
            if cells.len() == expected { Ok(cells) } else { Err(CsvFault::Cells { expected, found: cells.len() }) }
        });
        Some(found.map(|cells| CsvRecord { line: begun, cells }).map_err(|fault| {
            rest = "";
            (begun, fault)
        }))
    })
}

/// The cells up to the end of the record.
fn record(rest: &mut &str, line: &mut u32, separator: char) -> Result<Vec<String>, CsvFault> {
    let mut cells = Vec::new();
    loop {
        let cell;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = in_quotes(quoted)?;
            *line += text.matches('\n').count() as u32;
            (cell, *rest) = (text, after);
        } else {
            let end = rest.find([separator, '\n']).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            let text = if after.starts_with('\n') || after.is_empty() { text.strip_suffix('\r').unwrap_or(text) } else { text };
            if text.contains('"') {
                return Err(CsvFault::StrayQuote);
            }
            (cell, *rest) = (text.to_owned(), after);
        }
        cells.push(cell);
        if let Some(after) = rest.strip_prefix(separator) {
            *rest = after;
            continue;
        }
        *rest = rest.strip_prefix('\r').filter(|after| after.starts_with('\n')).unwrap_or(rest);
        match rest.strip_prefix('\n') {
            Some(after) => {
                *rest = after;
                *line += 1;
                return Ok(cells);
            }
            None if rest.is_empty() => return Ok(cells),
            None => return Err(CsvFault::StrayQuote),
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn in_quotes(quoted: &str) -> Result<(String, &str), CsvFault> {
    let (mut text, mut rest) = (String::new(), quoted);
    loop {
        let (before, after) = rest.split_once('"').ok_or(CsvFault::OpenQuote)?;
        text.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                text.push('"');
                rest = after;
            }
            None => return Ok((text, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn table(form: CsvForm, name: &str) -> String {
        let mut writer = CsvWriter::new(form, ["group", "people", "due", "by"]);
        writer.row([CsvCell::Text(name), CsvCell::Count(-3), CsvCell::Euros(Cents::new(-123_450)), CsvCell::Day(date(2027, 3, 8))]);
        String::from_utf8(writer.take()).unwrap()
    }

    #[test]
    fn both_forms_are_what_their_readers_expect() {
        assert_eq!(table(CsvForm::default(), "3ª B"), "group,people,due,by\r\n3ª B,-3,-1234.50,2027-03-08\r\n");
        assert_eq!(table(CsvForm::ITALIAN, "3ª B"), "\u{feff}group;people;due;by\r\n3ª B;-3;-1234,50;2027-03-08\r\n");
        let mut writer = CsvWriter::new(CsvForm::default(), ["at", "none"]);
        writer.row([CsvCell::Instant(Timestamp::from_seconds(1_800_000_000)), CsvCell::Empty]);
        assert!(writer.waiting() > 10);
        assert_eq!(String::from_utf8(writer.take()).unwrap(), "at,none\r\n2027-01-15T09:00:00+01:00,\r\n");
        assert_eq!((writer.waiting(), writer.take()), (0, Vec::new()));
    }

    /// The hour of Rome, in summer too, and both hours of the night in which clocks go back; read again it is the same instant, to the second.
    #[test]
    fn instants_are_told_by_the_clocks_of_rome() {
        for (at, told) in [
            ("2026-07-01T07:00:00Z", "2026-07-01T09:00:00+02:00"),
            ("2026-10-25T00:30:00Z", "2026-10-25T02:30:00+02:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02:30:00+01:00"),
            ("2026-12-31T23:30:00.25Z", "2027-01-01T00:30:00+01:00"),
        ] {
            let instant: Timestamp = at.parse().unwrap();
            let mut writer = CsvWriter::new(CsvForm::ITALIAN, ["at"]);
            writer.row([CsvCell::Instant(instant)]);
            let table = String::from_utf8(writer.take()).unwrap();
            assert_eq!(table, format!("\u{feff}at\r\n{told}\r\n"));
            assert_eq!(told.parse::<Timestamp>().unwrap().as_seconds(), instant.as_seconds());
        }
    }

    #[test]
    fn no_text_computes_anything() {
        for text in [
            "=1+1",
            "+39 06 1234567",
            "-2+3",
            "@SUM(A1)",
            " =1",
            "\t=1",
            "\r=1",
            "\n=1",
            "\u{a0}=1",
            "\u{1}=1",
            "\u{ff1d}1",
            "=cmd|' /C calc'!A0",
            "=HYPERLINK(\"http://x\";\"y\")",
        ] {
            for form in [CsvForm::default(), CsvForm::ITALIAN] {
                let table = table(form, text);
                let row = table.split_once("by\r\n").unwrap().1;
                assert!(row.starts_with('\'') || row.starts_with("\"'"), "{row}");
            }
        }
        for text in ["a=1", "1-2", "Rossi", "", "'=1", "(+39)"] {
            assert!(!table(CsvForm::default(), text).contains("'=") || text.starts_with('\''), "{text}");
        }
    }

    /// A spreadsheet keeps 15 digits of a number, and no leading zero; whoever opens the table in one is told all of them.
    #[test]
    fn texts_that_look_like_numbers_are_told_to_spreadsheets_as_texts() {
        let row = |form: CsvForm, text: &str| table(form, text).split_once("by\r\n").unwrap().1.strip_suffix("\r\n").unwrap().to_owned();
        for (text, told) in [
            ("302000000000000057", r#""=""302000000000000057""";-3;-1234,50;2027-03-08"#),
            ("01234567890", r#""=""01234567890""";-3;-1234,50;2027-03-08"#),
            (" 1e5", r#""="" 1e5""";-3;-1234,50;2027-03-08"#),
            ("3-4", r#""=""3-4""";-3;-1234,50;2027-03-08"#),
            (r#"3 "A";"#, r#""=""3 """"A"""";""";-3;-1234,50;2027-03-08"#),
            ("R-1", "R-1;-3;-1234,50;2027-03-08"),
            ("=1", "'=1;-3;-1234,50;2027-03-08"),
            ("", ";-3;-1234,50;2027-03-08"),
        ] {
            let form = CsvForm::ITALIAN.with_texts(true);
            assert_eq!(row(form, text), told);
            let text_of = |form: CsvForm| records(&row(form, text), ';').next().unwrap().unwrap().cells.remove(0);
            // For programs nothing is added.
            assert!(text.starts_with('=') || text_of(CsvForm::ITALIAN) == text, "{text}");
            let formula = format!("=\"{}\"", text.replace('"', "\"\""));
            assert!(!told.starts_with("\"=") || text_of(form) == formula, "{text}");
        }
        let (long, lines) = ("1".repeat(256), "1\n2");
        assert_eq!(row(CsvForm::ITALIAN.with_texts(true), &long), row(CsvForm::ITALIAN, &long));
        assert_eq!(row(CsvForm::ITALIAN.with_texts(true), lines), row(CsvForm::ITALIAN, lines));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["", "a", " a ", "a,b", "a;b", "a\"b", "\"", "\"\"", "a\nb", "a\r\nb", "Scuola \"Dante\", sez. A;\n2º piano", "è 日本"] {
            for form in [CsvForm::default(), CsvForm { byte_order_mark: false, ..CsvForm::ITALIAN }] {
                let table = table(form, text);
                let read: Vec<CsvRecord> = records(&table, form.separator.character()).collect::<Result<_, _>>().unwrap();
                assert_eq!((read.len(), read[1].line, &*read[1].cells[0]), (2, 2, text), "{table}");
            }
        }
    }

    #[test]
    fn faults_have_their_lines() {
        let read = |text| records(text, ',').collect::<Result<Vec<_>, _>>().map(|records| records.len());
        for (text, expected) in [
            ("", Ok(0)),
            ("a,b", Ok(1)),
            ("a,b\n1,2\r\n\n\n3,4\n", Ok(3)),
            ("a,b\n1\n", Err((2, CsvFault::Cells { expected: 2, found: 1 }))),
            ("a,b\n\"1\n\n\",2\n1,2,3\n", Err((5, CsvFault::Cells { expected: 2, found: 3 }))),
            ("a,b\n1,\"2\n", Err((2, CsvFault::OpenQuote))),
            ("a,b\n1,2\"\n", Err((2, CsvFault::StrayQuote))),
            ("a,b\n1,\"2\"3\n", Err((2, CsvFault::StrayQuote))),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
