//! Reads when schools are closed from a table: `region;from;to` under such a head, days as 2026-12-23, both ends included.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::civil::Date;
use tornello_actors::forecaster::SchoolBreaks;
use tornello_api::csv::records;
use tornello_engine::planning::policy::Span;

/// Reads a file.
pub(super) fn read(path: &Path) -> anyhow::Result<SchoolBreaks> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("{} cannot be used", path.display()))
}

fn parse(text: &str) -> anyhow::Result<SchoolBreaks> {
    let mut breaks = SchoolBreaks::default();
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
    }
    Ok(breaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_table_is_read_and_what_is_wrong_is_told_with_its_line() {
        let breaks = parse("\u{feff}region;from;to\r\nLazio;2026-12-23;2027-01-06\r\nlazio;2027-03-25;2027-03-30\r\n").unwrap();
        let held = |region: &str, day| breaks.hold(region, day);
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
}
