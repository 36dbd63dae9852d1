//! Visits to English museums, month by month: what forecasts for plan and budget are judged on.
//!
//! A 0 is a closed month, a month without a figure one of which nothing is known. A `group` is a total over its sites, or a museum of one site: never add the two.

use std::collections::BTreeMap;
use std::io::Read;

use crate::LoadError;
use crate::rows::{self, Row};

/// The name of the shipped file.
pub const FILE: &str = "museum_visits_uk/visits_monthly.csv";
/// The shipped file: museums sponsored by the British government, 2004-04 to 2023-06.
pub const EMBEDDED: &[u8] = include_bytes!("../data/museum_visits_uk/visits_monthly.csv");

/// A month of the civil calendar, as months since year 0: `12 * year + month - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(pub i32);

impl Month {
    /// The month of a year, from 1 to 12.
    #[must_use]
    pub const fn new(year: i32, month: i32) -> Self {
        Self(12 * year + month - 1)
    }
}

impl std::str::FromStr for Month {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (year, month) = text.split_once('-').ok_or(())?;
        let (year, month): (i32, i32) = (year.parse().map_err(|_| ())?, month.parse().map_err(|_| ())?);
        if (0..=9999).contains(&year) && (1..=12).contains(&month) { Ok(Self::new(year, month)) } else { Err(()) }
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// The visits of one site, or of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Museum {
    /// Its id in the file.
    pub id: String,
    /// Whether it is a group.
    pub group: bool,
    /// Visits of each month that the file has.
    pub months: BTreeMap<Month, f64>,
}

/// All museums of a file by id, and how many rows there were.
pub fn monthly(file: &str, text: impl Read) -> Result<(Vec<Museum>, u64), LoadError> {
    let mut museums: BTreeMap<(String, bool), BTreeMap<Month, f64>> = BTreeMap::new();
    let each = |row: &Row<'_>| {
        let id = row.text(0);
        let group = match row.text(1) {
            "site" => false,
            "group" => true,
            other => return Err(row.wrong(1, format!("{other:?} is neither site nor group"))),
        };
        let month: Month = row.value(2, "a month")?;
        let Some(visits) = row.count_if_any(3)? else { return Ok(()) };
        if museums.entry((id.to_owned(), group)).or_default().insert(month, visits).is_some() {
            return Err(row.wrong(2, format!("{month} of {id} is there twice")));
        }
        Ok(())
    };
    let rows = rows::read(file, text, &["site_id", "level", "month", "visits"], each)?;
    Ok((museums.into_iter().map(|((id, group), months)| Museum { id, group, months }).collect(), rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_what_its_readme_says() {
        let (museums, rows) = monthly(FILE, EMBEDDED).expect("the shipped file");
        assert_eq!(rows, 5_999);
        let months = museums.iter().flat_map(|museum| museum.months.keys().copied());
        let ends = (months.clone().min().map(|m| m.to_string()), months.max().map(|m| m.to_string()));
        assert_eq!(ends, (Some("2004-04".to_owned()), Some("2023-06".to_owned())));
    }

    #[test]
    fn a_month_without_a_figure_is_left_out() {
        let (museums, _) = monthly("t.csv", "site_id,level,month,visits\na,site,2020-01,\na,site,2020-02,6\n".as_bytes()).expect("two rows");
        assert_eq!(museums[0].months, BTreeMap::from([(Month::new(2020, 2), 6.0)]));
    }

    #[test]
    fn a_month_is_named_once() {
        let twice = "site_id,level,month,visits\na,site,2020-01,5\na,site,2020-01,6\n";
        assert_eq!(monthly("t.csv", twice.as_bytes()).expect_err("twice").to_string(), "t.csv, line 3, column month: 2020-01 of a is there twice");
        assert!(monthly("t.csv", "site_id,level,month,visits\na,site,2020-13,5\n".as_bytes()).is_err());
        assert!(monthly("t.csv", "site_id,level,month,visits\na,region,2020-12,5\n".as_bytes()).is_err());
    }
}
