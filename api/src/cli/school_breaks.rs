//! When schools are closed: what ships of Italy's regions, corrected by a table: `region;from;to` under such a head, days as 2026-12-23, both ends included.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::civil::Date;
use tornello_actors::forecaster::{SchoolBreaks, is_same_region};
use tornello_api::csv::records;
use tornello_datasets::school_breaks::{self, Break};
use tornello_engine::planning::policy::Span;

/// What ships, corrected by a file if there is one; and the regions that the file names, as it writes them.
pub(super) fn known(file: Option<&Path>) -> anyhow::Result<(SchoolBreaks, BTreeSet<String>)> {
    let shipped = shipped()?;
    Ok(match file {
        Some(file) => {
            let (breaks, named) = read(file)?;
            (shipped.corrected_by(breaks), named)
        }
        None => (shipped, BTreeSet::new()),
    })
}

/// Of the regions that a file names, those that no museum has: what is said of them changes no forecast, and mostly they are written otherwise.
pub(super) fn of_no_museum<'a>(named: &'a BTreeSet<String>, regions: &[String]) -> Vec<&'a str> {
    let is_strange = |name: &&str| !regions.iter().any(|region| is_same_region(name, region));
    named.iter().map(String::as_str).filter(is_strange).collect()
}

fn shipped() -> anyhow::Result<SchoolBreaks> {
    let mut breaks = SchoolBreaks::default();
    for Break { region, from, to } in school_breaks::load()? {
        ensure!(breaks.add(&region, Span { from, to }), "{region}: a shipped school break ends before it begins");
    }
    Ok(breaks)
}

fn read(path: &Path) -> anyhow::Result<(SchoolBreaks, BTreeSet<String>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("{} cannot be used", path.display()))
}

fn parse(text: &str) -> anyhow::Result<(SchoolBreaks, BTreeSet<String>)> {
    let (mut breaks, mut named) = (SchoolBreaks::default(), BTreeSet::new());
    let mut rows = records(text.trim_start_matches('\u{feff}'), ';');
    let head = rows.next().transpose().map_err(|(line, fault)| anyhow!("line {line}: {fault}"))?;
    ensure!(head.is_some_and(|head| head.cells == ["region", "from", "to"]), "the first line is to be region;from;to");
    for row in rows {
        let row = row.map_err(|(line, fault)| anyhow!("line {line}: {fault}"))?;
        let line = row.line;
        let [region, from, to] = row.cells.as_slice() else { bail!("line {line}: three cells are expected") };
        let day = |text: &str| text.trim().parse::<Date>().map_err(|_| anyhow!("line {line}: {text}: a day as 2026-12-23 is expected"));
        let span = Span { from: day(from)?, to: day(to)? };
        ensure!(!region.trim().is_empty(), "line {line}: a region is expected");
        ensure!(breaks.add(region, span), "line {line}: the span ends before it begins");
        named.insert(region.trim().to_owned());
    }
    Ok((breaks, named))
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;
    use tornello_actors::forecaster::SchoolBreak;
    use tornello_datasets::museums;
    use tornello_engine::calendar::usual_school_break;

    use super::*;

    fn on(breaks: &SchoolBreaks, region: &str, day: &str) -> Option<SchoolBreak> {
        breaks.of(region).on(&[], day.parse().unwrap())
    }

    #[test]
    fn a_table_is_read_and_what_is_wrong_is_told_with_its_line() {
        let (breaks, named) = parse("\u{feff}region;from;to\r\nLazio;2026-12-23;2027-01-06\r\nlazio;2027-03-25;2027-03-30\r\n").unwrap();
        assert_eq!(named.iter().collect::<Vec<_>>(), ["Lazio", "lazio"]);
        let held = |region: &str, day: Date| breaks.of(region).on(&[], day) == Some(SchoolBreak::Told);
        assert!(held("Lazio", date(2026, 12, 23)) && held("LAZIO ", date(2027, 1, 6)) && held("Lazio", date(2027, 3, 26)));
        assert!(!held("Lazio", date(2027, 1, 7)) && !held("Umbria", date(2026, 12, 24)));
        for (bad, told) in [
            ("", "the first line"),
            ("region;to;from\n", "the first line"),
            ("region;from;to\nLazio;2026-12-23\n", "line 2"),
            ("region;from;to\nLazio;23/12/2026;2027-01-06\n", "line 2: 23/12/2026"),
            ("region;from;to\n;2026-12-23;2027-01-06\n", "line 2: a region"),
            ("region;from;to\nLazio;2026-12-23;2026-12-22\n", "line 2: the span ends"),
        ] {
            let error = format!("{:#}", parse(bad).unwrap_err());
            assert!(error.contains(told), "{bad}: {error}");
        }
    }

    #[test]
    fn what_ships_tells_of_italy_and_of_nowhere_else() {
        let (breaks, named) = known(None).unwrap();
        assert!(named.is_empty(), "a file is what names regions that may be none: {named:?}");
        let (told, assumed) = (Some(SchoolBreak::Told), Some(SchoolBreak::Assumed));
        for museum in museums::load().unwrap() {
            let on = |day: &str| on(&breaks, &museum.region, day);
            assert_eq!(["2024-12-24", "2025-04-18", "2025-12-24", "2026-04-03", "2026-07-15"].map(on), [told; 5], "{}", museum.slug);
            assert_eq!((on("2027-12-24"), on("2028-07-15")), (assumed, assumed), "{}", museum.slug);
            assert_eq!(["2026-11-18", "2028-05-10"].map(on), [None; 2], "{}", museum.slug);
        }
        for (region, day, expected) in [
            ("Lazio", "2026-12-23", told),
            ("Lazio", "2027-01-07", None),
            ("Campania", "2026-12-23", None),
            ("Campania", "2026-12-24", assumed),
            ("Campania", "2027-07-01", assumed),
            ("Toscana", "2026-12-24", told),
            ("Veneto", "2025-04-22", None),
            ("Veneto", "2027-03-30", assumed),
            ("Trentino-Alto Adige", "2026-12-24", assumed),
        ] {
            assert_eq!(on(&breaks, region, day), expected, "{region} on {day}");
        }
        // The sites of the data that forecasts are judged on, and a museum that does not say where it is.
        for elsewhere in ["AU-VIC", "GB-ENG", "Victoria", "England", "PT", "north", ""] {
            let closed = date(2024, 1, 1).series(1.day()).take(1_500).find(|day| breaks.of(elsewhere).on(&[], *day).is_some());
            assert_eq!(closed, None, "{elsewhere}");
        }
    }

    /// What is assumed where nobody knows is what all regions have that are known, but for how some end Easter, and Trento once began it.
    #[test]
    fn what_is_assumed_holds_wherever_it_is_known_but_at_the_edges_of_easter() {
        let breaks = school_breaks::load().unwrap();
        let mut compared = 0;
        for Break { region, from, to } in &breaks {
            // The usual break in its midst, if it is one of these.
            let middle = from.saturating_add(((*to - *from).get_days() / 2).days());
            let Some(usual) = usual_school_break(middle) else { continue };
            compared += 1;
            let missing: Vec<Date> =
                usual.start().series(1.day()).take_while(|day| day <= usual.end()).filter(|day| !(from..=to).contains(&day)).collect();
            let at_easter = missing.iter().all(|day| *day == *usual.start() || *day == *usual.end()) && (3..=4).contains(&middle.month());
            assert!(missing.is_empty() || (missing.len() == 1 && at_easter), "{region} from {from}: {missing:?}");
        }
        assert!(compared > 3 * 2 * 21, "{compared}");
    }

    #[test]
    fn a_file_corrects_what_it_meets_and_leaves_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("breaks.csv");
        std::fs::write(&path, "region;from;to\nLazio;2026-12-24;2027-01-05\nCampania;2026-12-22;2027-01-07\nKent;2027-02-15;2027-02-19\n").unwrap();
        let (breaks, named) = known(Some(&path)).unwrap();
        // Regions are told apart by their letters, whatever the case and whatever stands between them.
        let museums = |regions: &[&str]| regions.iter().map(|region| (*region).to_owned()).collect::<Vec<_>>();
        for (regions, expected) in [
            (&["LAZIO", "Campania "][..], vec!["Kent"]),
            (&["Kent", "Lazio", "Campania", "Toscana"][..], vec![]),
            (&[][..], vec!["Campania", "Kent", "Lazio"]),
        ] {
            assert_eq!(of_no_museum(&named, &museums(regions)), expected, "{regions:?}");
        }
        let told = Some(SchoolBreak::Told);
        for (region, day, expected) in [
            ("Lazio", "2026-12-23", None),
            ("Lazio", "2026-12-24", told),
            ("Lazio", "2027-03-25", told),
            ("Campania", "2026-12-22", told),
            ("Campania", "2025-12-23", told),
            ("Toscana", "2026-12-24", told),
            ("Kent", "2027-02-16", told),
        ] {
            assert_eq!(on(&breaks, region, day), expected, "{region} on {day}");
        }
        let error = format!("{:#}", known(Some(&folder.path().join("none.csv"))).unwrap_err());
        assert!(error.starts_with("reading "), "{error}");
    }
}
