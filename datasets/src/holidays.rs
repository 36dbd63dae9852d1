//! Public holidays of some regions, 2004 to 2028: AU-VIC, US-DC, PT, GB-ENG, IT. The live product knows Italy's by its own calendar.

use std::collections::BTreeSet;
use std::io::Read;

use jiff::civil::Date;

use crate::LoadError;
use crate::rows;

const FILE: &str = "holidays/holidays.csv";
const EMBEDDED: &[u8] = include_bytes!("../data/holidays/holidays.csv");

/// The holidays of one region, with the years for which the table has any: of other years nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holidays {
    days: BTreeSet<Date>,
}

impl Holidays {
    /// Whether a day is a holiday.
    #[must_use]
    pub fn contains(&self, day: Date) -> bool {
        self.days.contains(&day)
    }

    /// The years for which there are holidays.
    #[must_use]
    pub fn years(&self) -> BTreeSet<i16> {
        self.days.iter().map(|day| day.year()).collect()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Date> {
        self.days.iter().copied()
    }
}

/// The regions of the shipped table, as `AU-VIC` or, for a whole country, `IT`.
pub fn regions() -> Result<BTreeSet<String>, LoadError> {
    let mut regions = BTreeSet::new();
    read(EMBEDDED, |region, _| {
        regions.insert(region);
    })?;
    Ok(regions)
}

/// The holidays of a region of the shipped table; none for a region that it lacks.
pub fn of(region: &str) -> Result<Holidays, LoadError> {
    let mut days = BTreeSet::new();
    read(EMBEDDED, |found, day| {
        if found == region {
            days.insert(day);
        }
    })?;
    Ok(Holidays { days })
}

fn read(text: impl Read, mut each: impl FnMut(String, Date)) -> Result<(), LoadError> {
    rows::read(FILE, text, &["country", "subdivision", "date"], |row| {
        let (country, subdivision) = (row.text(0), row.text(1));
        let region = if subdivision.is_empty() { country.to_owned() } else { format!("{country}-{subdivision}") };
        each(region, row.date(2)?);
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_shipped_table_knows_its_regions() {
        let regions = regions().expect("the shipped table");
        assert!(["AU-VIC", "GB-ENG", "IT", "PT", "US-DC"].iter().all(|region| regions.contains(*region)), "{regions:?}");
        let victoria = of("AU-VIC").expect("the shipped table");
        assert!(victoria.contains(date(2013, 4, 25)) && !victoria.contains(date(2013, 4, 24)));
        // Whoever brings counts of other years than those that ship has their holidays too.
        for region in regions {
            assert!(of(&region).expect("the shipped table").years().into_iter().eq(2004_i16..=2028), "{region}");
        }
        assert!(victoria.contains(date(2018, 11, 6)) && of("IT").expect("the shipped table").contains(date(2019, 4, 22)));
        assert!(of("IT").expect("the shipped table").contains(date(2026, 10, 4)));
        assert_eq!(of("XX").expect("the shipped table"), Holidays::default());
    }
}
