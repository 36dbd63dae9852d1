//! When schools are closed: what was told of regions, for all museums of a region at once, what a museum's own policy names, and what is usual in Italy where neither says
//! anything of a break.

use std::collections::HashMap;

use jiff::civil::Date;
use tornello_engine::calendar;
use tornello_engine::planning::policy::Span;

/// The regions of Italy, and the provinces that have school calendars of their own.
pub const REGIONS_OF_ITALY: [&str; 22] = [
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
    "Trentino-Alto Adige",
    "Umbria",
    "Valle d'Aosta",
    "Veneto",
];

/// By whose word schools are closed on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchoolBreak {
    /// A calendar of the region says so, or the museum's policy.
    Told,
    /// It is usual in all of Italy, and nobody has said when this break is here.
    Assumed,
}

impl SchoolBreak {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Assumed => "assumed",
        }
    }
}

/// The breaks that were told, of all regions. Regions are told apart by their letters and digits, whatever the case and whatever stands between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchoolBreaks(HashMap<String, Vec<Span>>);

impl SchoolBreaks {
    /// Adds a span of a region; answers false, and adds nothing, where it ends before it begins.
    pub fn add(&mut self, region: &str, span: Span) -> bool {
        let sound = span.from <= span.to;
        if sound {
            self.0.entry(key(region)).or_default().push(span);
        }
        sound
    }

    /// These with others that know better: where one of theirs meets one of these in the same region, theirs holds instead of it; the rest is added.
    #[must_use]
    pub fn corrected_by(mut self, others: Self) -> Self {
        for (region, theirs) in others.0 {
            let ours = self.0.entry(region).or_default();
            ours.retain(|own| !theirs.iter().any(|other| other.from <= own.to && own.from <= other.to));
            ours.extend(theirs);
        }
        self
    }

    /// Those of one region.
    #[must_use]
    pub fn of(&self, region: &str) -> RegionBreaks<'_> {
        let region = key(region);
        RegionBreaks {
            told: self.0.get(&region).map(Vec::as_slice).unwrap_or_default(),
            italian: REGIONS_OF_ITALY.iter().any(|italian| key(italian) == region),
        }
    }
}

/// The breaks of one region; by default of none, where nothing is known and nothing assumed.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegionBreaks<'a> {
    told: &'a [Span],
    italian: bool,
}

impl RegionBreaks<'_> {
    /// By whose word schools are closed on a day, for a museum whose policy names breaks of its `own`; none: they are open, as far as anybody has said. Of a usual break
    /// that what was told meets anywhere, only that is believed.
    #[must_use]
    pub fn on(self, own: &[Span], date: Date) -> Option<SchoolBreak> {
        let told = || self.told.iter().chain(own);
        if told().any(|span| span.holds(date)) {
            return Some(SchoolBreak::Told);
        }
        let usual = calendar::usual_school_break(date).filter(|_| self.italian)?;
        let meets = |span: &Span| span.from <= *usual.end() && *usual.start() <= span.to;
        (!told().any(meets)).then_some(SchoolBreak::Assumed)
    }
}

/// Whether two names are of one region, however they are written.
#[must_use]
pub fn is_same_region(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

/// What regions are told apart by: `Valle d'Aosta` and `VALLE D’AOSTA` are one.
fn key(region: &str) -> String {
    region.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn span(from: &str, to: &str) -> Span {
        Span { from: day(from), to: day(to) }
    }

    fn told(rows: &[(&str, &str, &str)]) -> SchoolBreaks {
        let mut breaks = SchoolBreaks::default();
        assert!(rows.iter().all(|(region, from, to)| breaks.add(region, span(from, to))));
        breaks
    }

    #[test]
    fn a_break_is_told_or_assumed_or_there_is_none() {
        // Liguria ended Easter of 2026 on Monday; nobody has said anything of 2027.
        let breaks = told(&[("Liguria", "2026-04-02", "2026-04-06"), ("Liguria", "2026-06-01", "2026-06-01"), ("Kent", "2027-02-15", "2027-02-19")]);
        let (is_told, is_assumed) = (Some(SchoolBreak::Told), Some(SchoolBreak::Assumed));
        for (region, on, expected) in [
            ("Liguria", "2026-04-02", is_told),
            ("Liguria", "2026-04-06", is_told),
            ("Liguria", "2026-04-07", None),
            ("Liguria", "2026-06-01", is_told),
            ("Liguria", "2026-06-02", None),
            ("Liguria", "2027-03-25", is_assumed),
            ("Liguria", "2027-03-30", is_assumed),
            ("Liguria", "2027-03-31", None),
            ("Liguria", "2025-12-24", is_assumed),
            ("Umbria", "2026-04-07", is_assumed),
            ("Umbria", "2027-07-01", is_assumed),
            ("Umbria", "2027-06-30", None),
            ("Trentino-Alto Adige", "2027-01-06", is_assumed),
            ("Kent", "2027-02-15", is_told),
            ("Kent", "2027-07-01", None),
            ("Victoria", "2026-12-26", None),
            ("", "2026-12-26", None),
        ] {
            assert_eq!(breaks.of(region).on(&[], day(on)), expected, "{region} on {on}");
        }
        assert_eq!(RegionBreaks::default().on(&[], day("2026-12-26")), None);
        assert!(!told(&[]).add("Lazio", span("2026-12-23", "2026-12-22")), "it ends before it begins");
    }

    #[test]
    fn what_a_museum_says_counts_like_what_its_region_says() {
        let breaks = told(&[("Lazio", "2026-12-23", "2027-01-06")]);
        let own = [span("2027-02-08", "2027-02-10"), span("2027-03-25", "2027-03-29")];
        let on = |date: &str| breaks.of("Lazio").on(&own, day(date));
        assert_eq!(["2026-12-23", "2027-02-09", "2027-03-29"].map(on), [Some(SchoolBreak::Told); 3]);
        assert_eq!((on("2027-03-30"), on("2027-07-01")), (None, Some(SchoolBreak::Assumed)));
    }

    #[test]
    fn who_knows_better_replaces_what_it_meets_and_adds_the_rest() {
        let shipped = [("Lazio", "2026-12-23", "2027-01-06"), ("Lazio", "2027-03-25", "2027-03-30"), ("Umbria", "2026-12-23", "2027-01-06")];
        let file = [("LAZIO", "2026-12-21", "2026-12-31"), ("Lazio", "2027-01-02", "2027-01-05"), ("Marche", "2026-11-02", "2026-11-02")];
        let breaks = told(&shipped).corrected_by(told(&file));
        let closed = |region: &str, date: &str| breaks.of(region).on(&[], day(date)) == Some(SchoolBreak::Told);
        assert!(["2026-12-21", "2027-01-05", "2027-03-30"].iter().all(|date| closed("Lazio", date)));
        assert!(
            !closed("Lazio", "2027-01-01") && breaks.of("Lazio").on(&[], day("2027-01-06")).is_none(),
            "nothing is assumed of a break that was told"
        );
        assert!(closed("Umbria", "2027-01-06") && closed("Marche", "2026-11-02"));
    }

    #[test]
    fn regions_are_told_apart_by_their_letters() {
        let breaks = told(&[("Valle d'Aosta", "2027-01-30", "2027-01-31"), ("Friuli-Venezia Giulia", "2027-02-08", "2027-02-10")]);
        let on = |region: &str, date: &str| breaks.of(region).on(&[], day(date));
        assert!(["VALLE D\u{2019}AOSTA", " valle d'aosta "].iter().all(|region| on(region, "2027-01-30") == Some(SchoolBreak::Told)));
        assert_eq!(on("Friuli Venezia Giulia", "2027-02-09"), Some(SchoolBreak::Told));
        assert_eq!(on("Valle d'Aosta", "2027-02-09"), None);
    }
}
