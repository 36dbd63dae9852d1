//! Why a data file cannot be used. Every error names the file and the row, counted from 1 below the header.

/// A file that cannot be read, or a row that is not what its columns promise.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("opening {file}")]
    Open {
        /// Which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row that cannot be read: a missing column, a word that is not a number, a broken archive.
    #[error("{file}, row {row}: not readable")]
    Unreadable {
        /// Which file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// What the reader said.
        source: csv::Error,
    },
    /// A row that was read and whose values cannot be.
    #[error("{file}, row {row}: {column} {problem}")]
    Invalid {
        /// Which file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file without one of the columns that are needed.
    #[error("{file}, line 1: there is no column {column}")]
    MissingColumn {
        /// Which file.
        file: String,
        /// Which column.
        column: &'static str,
    },
    /// A line that is not a row of the table: too few fields, no text, a broken archive.
    #[error("{file}, line {line}: not a row of the table")]
    Malformed {
        /// Which file.
        file: String,
        /// The line, from 1; the header is the first.
        line: u64,
        /// What the reader said.
        source: csv::Error,
    },
    /// A value that is not what its column promises.
    #[error("{file}, line {line}, column {column}: {problem}")]
    Value {
        /// Which file.
        file: String,
        /// The line, from 1; the header is the first.
        line: u64,
        /// Which column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A table without a single row.
    #[error("{file}: there is no row below the header")]
    Empty {
        /// Which file.
        file: String,
    },
    /// A civil date that the time zone cannot place, or no time zone at all.
    #[error("placing {what} in {zone}")]
    CivilTime {
        /// What was to be placed.
        what: String,
        /// The time zone.
        zone: &'static str,
        /// What the calendar said.
        source: jiff::Error,
    },
}

impl LoadError {
    pub(crate) fn invalid(file: &str, row: u64, column: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { file: file.to_owned(), row, column, problem: problem.into() }
    }
}
