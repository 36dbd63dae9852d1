//! Tables as comma-separated text, read column by column: what is missing or wrong is named by file, line and column.
//!
//! It knows the text and not what the columns mean; the loaders say that. A column that nobody asked for is passed over.

use std::io::Read;
use std::str::FromStr;

use csv::StringRecord;
use jiff::civil::Date;

use crate::LoadError;

/// What programs write where they have no value.
const MISSING: [&str; 5] = ["", "nan", "na", "n/a", "null"];

/// Whether a field has no value: it is empty, or says so.
pub(crate) fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// One row: the values of the columns that were asked for, in the order in which they were asked for.
pub struct Row<'a> {
    file: &'a str,
    columns: &'a [&'static str],
    places: &'a [usize],
    fields: &'a StringRecord,
    /// The line of the file, from 1; the header is the first.
    pub line: u64,
}

impl<'a> Row<'a> {
    /// The text of a column, without the spaces around it.
    #[must_use]
    pub fn text(&self, column: usize) -> &'a str {
        self.fields.get(self.places[column]).unwrap_or_default().trim()
    }

    /// The value of a column; `kind` says in an error what was expected ("a whole number").
    pub fn value<T: FromStr>(&self, column: usize, kind: &str) -> Result<T, LoadError> {
        let text = self.text(column);
        text.parse().map_err(|_| self.wrong(column, format!("{text:?} is not {kind}")))
    }

    /// The value of a column, or none where it is empty.
    pub fn optional<T: FromStr>(&self, column: usize, kind: &str) -> Result<Option<T>, LoadError> {
        if self.text(column).is_empty() { Ok(None) } else { self.value(column, kind).map(Some) }
    }

    /// A finite number.
    pub fn number(&self, column: usize) -> Result<f64, LoadError> {
        let number: f64 = self.value(column, "a number")?;
        if number.is_finite() { Ok(number) } else { Err(self.wrong(column, format!("{number} is not finite"))) }
    }

    /// A finite number that is not below zero.
    pub fn count(&self, column: usize) -> Result<f64, LoadError> {
        let number = self.number(column)?;
        if number >= 0.0 { Ok(number) } else { Err(self.wrong(column, format!("{number} is below zero"))) }
    }

    /// A finite number, or none where it is missing.
    pub fn number_if_any(&self, column: usize) -> Result<Option<f64>, LoadError> {
        if is_missing(self.text(column)) { Ok(None) } else { self.number(column).map(Some) }
    }

    /// A finite number that is not below zero, or none where it is missing.
    pub fn count_if_any(&self, column: usize) -> Result<Option<f64>, LoadError> {
        if is_missing(self.text(column)) { Ok(None) } else { self.count(column).map(Some) }
    }

    /// A civil date, as 2014-06-30.
    pub fn date(&self, column: usize) -> Result<Date, LoadError> {
        self.value(column, "a date")
    }

    /// The error that names this row and a column.
    #[must_use]
    pub fn wrong(&self, column: usize, problem: impl Into<String>) -> LoadError {
        LoadError::Value { file: self.file.to_owned(), line: self.line, column: self.columns[column].to_owned(), problem: problem.into() }
    }
}

/// Reads a table with a header, row by row; answers how many rows there were. The first error ends it, and so does a table without rows.
pub fn read(
    file: &str,
    text: impl Read,
    columns: &[&'static str],
    mut each: impl FnMut(&Row<'_>) -> Result<(), LoadError>,
) -> Result<u64, LoadError> {
    let mut reader = csv::Reader::from_reader(text);
    let malformed = |line: u64, source: csv::Error| LoadError::Malformed { file: file.to_owned(), line, source };
    let header = reader.headers().map_err(|source| malformed(1, source))?.clone();
    let place = |column: &&'static str| {
        let missing = || LoadError::MissingColumn { file: file.to_owned(), column };
        header.iter().position(|name| name.trim().trim_start_matches('\u{feff}') == *column).ok_or_else(missing)
    };
    let places = columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let mut fields = StringRecord::new();
    let mut rows = 0;
    loop {
        let line = reader.position().line();
        if !reader.read_record(&mut fields).map_err(|source| malformed(line, source))? {
            break;
        }
        let line = fields.position().map_or(line, csv::Position::line);
        each(&Row { file, columns, places: &places, fields: &fields, line })?;
        rows += 1;
    }
    if rows == 0 { Err(LoadError::Empty { file: file.to_owned() }) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(text: &str) -> Result<f64, LoadError> {
        let mut sum = 0.0;
        read("t.csv", text.as_bytes(), &["day", "people"], |row| {
            row.date(0)?;
            sum += row.count(1)?;
            Ok(())
        })?;
        Ok(sum)
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(sum("\u{feff}people,other,day\n3,x,2026-01-01\n 4 ,y,2026-01-02\n").expect("two rows"), 7.0);
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        for (text, problem) in [
            ("day,other\n2026-01-01,3\n", "t.csv, line 1: there is no column people"),
            ("day,people\n", "t.csv: there is no row below the header"),
            ("day,people\n2026-01-01,3\n2026-01-02,many\n", "t.csv, line 3, column people: \"many\" is not a number"),
            ("day,people\n2026-02-30,3\n", "t.csv, line 2, column day: \"2026-02-30\" is not a date"),
            ("day,people\n2026-01-01,-1\n", "t.csv, line 2, column people: -1 is below zero"),
            ("day,people\n2026-01-01,NaN\n", "t.csv, line 2, column people: NaN is not finite"),
            ("day,people\n2026-01-01,3\n2026-01-02\n", "t.csv, line 3: not a row of the table"),
        ] {
            assert_eq!(sum(text).expect_err(text).to_string(), problem);
        }
    }
}
