//! Door counts of the CalIt2 building: people who entered, by half hour, eight weeks without a gap. Entries only: nobody is seen leaving.

use jiff::civil::DateTime;
use serde::Deserialize;

use crate::LoadError;

const FILE: &str = "building_counts_calit2/inflow_30min.csv";
const EMBEDDED: &str = include_str!("../data/building_counts_calit2/inflow_30min.csv");

/// Minutes of one count.
pub const INTERVAL_MINUTES: i64 = 30;

/// People who entered in one half hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct HalfHour {
    /// When it began, local time.
    #[serde(rename = "timestamp")]
    pub start: DateTime,
    /// How many people came in.
    #[serde(rename = "people_in")]
    pub entries: u32,
}

/// The counts that the product ships, in the order of time.
pub fn load() -> Result<Vec<HalfHour>, LoadError> {
    read(EMBEDDED)
}

/// Reads counts from text with the columns `timestamp,people_in`; each row must start when the one before it ended.
pub fn read(text: &str) -> Result<Vec<HalfHour>, LoadError> {
    let mut counts: Vec<HalfHour> = Vec::new();
    for (row, parsed) in (1..).zip(csv::Reader::from_reader(text.as_bytes()).deserialize::<HalfHour>()) {
        let count = parsed.map_err(|source| LoadError::Unreadable { file: FILE.to_owned(), row, source })?;
        if let Some(previous) = counts.last()
            && previous.start.duration_until(count.start).as_secs() != INTERVAL_MINUTES * 60
        {
            return Err(LoadError::invalid(FILE, row, "timestamp", format!("{} does not follow {} by half an hour", count.start, previous.start)));
        }
        counts.push(count);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_shipped_counts_are_eight_whole_weeks() {
        let counts = load().unwrap();
        assert_eq!(counts.len(), 8 * 7 * 48);
        assert_eq!(counts[0].start, date(2005, 7, 24).at(0, 0, 0, 0));
        assert_eq!(counts.last().unwrap().start, date(2005, 9, 17).at(23, 30, 0, 0));
        assert_eq!(counts.iter().map(|c| c.entries).sum::<u32>(), 9_350);
        assert_eq!(counts.iter().map(|c| c.entries).max(), Some(61));
    }

    #[test]
    fn a_gap_a_repetition_and_a_word_are_errors_of_their_row() {
        for (text, expected) in [
            ("2005-07-24 00:00:00,1\n2005-07-24 01:00:00,2\n", "row 2: timestamp 2005-07-24T01:00:00 does not follow"),
            ("2005-07-24 00:00:00,1\n2005-07-24 00:00:00,1\n", "row 2: timestamp"),
            ("2005-07-24 00:00:00,-1\n", "row 1: not readable"),
            ("today,1\n", "row 1: not readable"),
        ] {
            let error = read(&format!("timestamp,people_in\n{text}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
