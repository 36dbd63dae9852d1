//! When schools are closed in Italy, region by region, as far as it was found out; `data/school_breaks/README.md` says from where, how surely, and what is left out.

use std::io::Read;

use jiff::civil::Date;

use crate::LoadError;
use crate::rows;

const FILE: &str = "school_breaks/breaks.csv";
const EMBEDDED: &[u8] = include_bytes!("../data/school_breaks/breaks.csv");

/// Some days in a row on which the schools of a region are closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The region, as `data/museums.csv` spells it; of Trento and Bolzano the province.
    pub region: String,
    /// The first day.
    pub from: Date,
    /// The last day, not before the first.
    pub to: Date,
}

/// The breaks that the product ships: those of a region together, in order, none meeting another.
pub fn load() -> Result<Vec<Break>, LoadError> {
    read(EMBEDDED)
}

/// Reads breaks from text with the columns of `data/school_breaks/breaks.csv`.
pub fn read(text: impl Read) -> Result<Vec<Break>, LoadError> {
    let mut breaks: Vec<Break> = Vec::new();
    rows::read(FILE, text, &["region", "from", "to"], |row| {
        let (region, from, to) = (row.text(0), row.date(1)?, row.date(2)?);
        if region.is_empty() {
            return Err(row.wrong(0, "is empty"));
        }
        if to < from {
            return Err(row.wrong(2, format!("{to} is before {from}")));
        }
        match breaks.last().filter(|last| last.region == region) {
            Some(last) if from <= last.to => return Err(row.wrong(1, format!("{from} is not after {}, where the break before it ends", last.to))),
            None if breaks.iter().any(|other| other.region == region) => {
                return Err(row.wrong(0, format!("{region} stands apart from its other rows")));
            }
            _ => {}
        }
        breaks.push(Break { region: region.to_owned(), from, to });
        Ok(())
    })?;
    Ok(breaks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;

    use super::*;
    use crate::museums;

    /// The regions of Italy; for Trentino-Alto Adige, its two provinces.
    const REGIONS: [&str; 21] = [
        "Abruzzo",
        "Basilicata",
        "Calabria",
        "Campania",
        "Emilia-Romagna",
        "Friuli-Venezia Giulia",
        "Lazio",
        "Liguria",
        "Lombardia",
        "Marche",
        "Molise",
        "Piemonte",
        "Provincia autonoma di Bolzano",
        "Provincia autonoma di Trento",
        "Puglia",
        "Sardegna",
        "Sicilia",
        "Toscana",
        "Umbria",
        "Valle d'Aosta",
        "Veneto",
    ];

    #[test]
    fn the_shipped_table_has_every_region_as_the_museums_spell_it() {
        let breaks = load().expect("the shipped table");
        assert_eq!(breaks.len(), 225);
        let regions: BTreeSet<&str> = breaks.iter().map(|row| row.region.as_str()).collect();
        assert_eq!(regions.iter().copied().collect::<Vec<_>>(), REGIONS);
        for museum in museums::load().expect("the shipped museums") {
            assert!(regions.contains(museum.region.as_str()), "{} is in {}", museum.slug, museum.region);
        }
        let (first, last) = (date(2024, 9, 1), date(2027, 8, 31));
        assert!(breaks.iter().all(|row| row.from >= first && row.to <= last), "three school years");
    }

    #[test]
    fn every_region_has_both_years_that_are_over() {
        let breaks = load().expect("the shipped table");
        for (region, day) in REGIONS
            .iter()
            .flat_map(|region| ["2024-12-24", "2025-04-18", "2025-08-01", "2025-12-24", "2026-04-03", "2026-08-01"].map(|day| (region, day)))
        {
            let day: Date = day.parse().expect("a day");
            assert!(breaks.iter().any(|row| row.region == *region && (row.from..=row.to).contains(&day)), "{region} on {day}");
        }
    }

    #[test]
    fn a_row_that_makes_no_sense_is_named() {
        for (rows, told) in [
            (",2026-12-23,2027-01-06\n", "line 2, column region: is empty"),
            ("Lazio,2026-12-23,2026-12-22\n", "line 2, column to: 2026-12-22 is before 2026-12-23"),
            ("Lazio,23/12/2026,2026-12-22\n", "line 2, column from"),
            ("Lazio,2026-12-23,2027-01-06\nLazio,2027-01-06,2027-01-07\n", "line 3, column from: 2027-01-06 is not after 2027-01-06"),
            ("Lazio,2026-12-23,2027-01-06\nUmbria,2026-12-23,2027-01-06\nLazio,2027-03-25,2027-03-30\n", "line 4, column region: Lazio stands apart"),
        ] {
            let error = read(format!("region,from,to\n{rows}").as_bytes()).expect_err(rows).to_string();
            assert!(error.contains(told), "{rows}: {error}");
        }
    }
}
