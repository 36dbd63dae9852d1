//! The Italian calendar: public holidays, working days, the school breaks of all regions, and what the clock on the wall in Rome says.
//!
//! This is the only place where civil time and instants meet; it uses the time zone data compiled into the program, never the system's, so that every
//! machine agrees. `plan` makes slots with it, `tariff` free days; the models are given its answers as plain inputs.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::OnceLock;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A national public holiday. Sundays (Easter among them) are holidays too, but not named ones: see [`is_working_day`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holiday {
    /// 1 January.
    NewYear,
    /// 6 January.
    Epiphany,
    /// The day after Easter.
    EasterMonday,
    /// 25 April.
    Liberation,
    /// 1 May.
    Labour,
    /// 2 June.
    Republic,
    /// 15 August.
    Assumption,
    /// 4 October, since 2026.
    Francis,
    /// 1 November.
    AllSaints,
    /// 8 December.
    ImmaculateConception,
    /// 25 December.
    Christmas,
    /// 26 December.
    Stephen,
}

impl Holiday {
    /// The Italian name.
    #[must_use]
    pub const fn name_it(self) -> &'static str {
        match self {
            Self::NewYear => "Capodanno",
            Self::Epiphany => "Epifania",
            Self::EasterMonday => "Lunedì dell'Angelo",
            Self::Liberation => "Festa della Liberazione",
            Self::Labour => "Festa del Lavoro",
            Self::Republic => "Festa della Repubblica",
            Self::Assumption => "Assunzione (Ferragosto)",
            Self::Francis => "San Francesco d'Assisi",
            Self::AllSaints => "Ognissanti",
            Self::ImmaculateConception => "Immacolata Concezione",
            Self::Christmas => "Natale",
            Self::Stephen => "Santo Stefano",
        }
    }

    /// The English name.
    #[must_use]
    pub const fn name_en(self) -> &'static str {
        match self {
            Self::NewYear => "New Year's Day",
            Self::Epiphany => "Epiphany",
            Self::EasterMonday => "Easter Monday",
            Self::Liberation => "Liberation Day",
            Self::Labour => "Labour Day",
            Self::Republic => "Republic Day",
            Self::Assumption => "Assumption Day",
            Self::Francis => "Saint Francis of Assisi",
            Self::AllSaints => "All Saints' Day",
            Self::ImmaculateConception => "Immaculate Conception",
            Self::Christmas => "Christmas Day",
            Self::Stephen => "Saint Stephen's Day",
        }
    }
}

/// The national holiday that falls on `date`, Sunday or not: law 260/1949 as changed by law 54/1977, DPR 792/1985 (Epiphany), law 336/2000 (2 June) and law
/// 151/2025 (4 October, from 2026). Right for dates from 2001 on; the holidays of earlier laws are not told.
#[must_use]
pub fn holiday(date: Date) -> Option<Holiday> {
    let fixed = match (date.month(), date.day()) {
        (1, 1) => Holiday::NewYear,
        (1, 6) => Holiday::Epiphany,
        (4, 25) => Holiday::Liberation,
        (5, 1) => Holiday::Labour,
        (6, 2) => Holiday::Republic,
        (8, 15) => Holiday::Assumption,
        (10, 4) if date.year() >= 2026 => Holiday::Francis,
        (11, 1) => Holiday::AllSaints,
        (12, 8) => Holiday::ImmaculateConception,
        (12, 25) => Holiday::Christmas,
        (12, 26) => Holiday::Stephen,
        _ => return date.yesterday().is_ok_and(is_easter).then_some(Holiday::EasterMonday),
    };
    Some(fixed)
}

/// Whether `date` is Easter Sunday of the Gregorian calendar (the anonymous computus, published in Nature, 1876).
#[must_use]
pub fn is_easter(date: Date) -> bool {
    let year = i32::from(date.year());
    let (golden, century, of_century) = (year.rem_euclid(19), year.div_euclid(100), year.rem_euclid(100));
    let correction = (century - (century + 8).div_euclid(25) + 1).div_euclid(3);
    let epact = (19 * golden + century - century.div_euclid(4) - correction + 15).rem_euclid(30);
    let to_sunday = (32 + 2 * century.rem_euclid(4) + 2 * (of_century / 4) - epact - of_century % 4).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday).div_euclid(451);
    let day_of_march = epact + to_sunday - 7 * late + 22;
    let (month, day) = if day_of_march > 31 { (4, day_of_march - 31) } else { (3, day_of_march) };
    (i32::from(date.month()), i32::from(date.day())) == (month, day)
}

/// Whether `date` is the first Sunday of its month: free entry to all state museums (DM 507/1997, art. 4, c. 2).
#[must_use]
pub fn first_sunday_of_month(date: Date) -> bool {
    date.weekday() == Weekday::Sunday && date.day() <= 7
}

/// The school break that all regions have and that holds `date`, from its first day to its last: July and August, 24 December to Epiphany, the Thursday before Easter to
/// the Tuesday after it. Only the first is law (lessons are given from 1 September to 30 June: D.lgs. 297/1994, art. 74). The others are custom: each region decides
/// (D.lgs. 112/1998, art. 138), and all calendars of 2024 to 2027 that ship have these days, but that a few end Easter on Monday and Trento once began it on Friday.
/// Regions have more days, and say so in spring for the year that begins in September; this is for where nobody has told them.
#[must_use]
pub fn usual_school_break(date: Date) -> Option<RangeInclusive<Date>> {
    // Beyond the ends of the calendar there is no such day: the one that was asked for stands for it.
    let on = |year: i16, month: i8, day: i8| Date::new(year, month, day).unwrap_or(date);
    let year = date.year();
    match (date.month(), date.day()) {
        (7 | 8, _) => Some(on(year, 7, 1)..=on(year, 8, 31)),
        (12, 24..) => Some(on(year, 12, 24)..=on(year + 1, 1, 6)),
        (1, ..=6) => Some(on(year - 1, 12, 24)..=on(year, 1, 6)),
        _ => {
            let easter = (-2..=3_i32).map(|days| date.saturating_add(days.days())).find(|day| is_easter(*day))?;
            Some(easter.saturating_sub(3.days())..=easter.saturating_add(2.days()))
        }
    }
}

/// A day of any year, as the feast of a town's patron saint. In text `06-29`, month first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MonthDay {
    month: i8,
    day: i8,
}

/// Numbers or text that are no day of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a day of a year: month and day as 06-29 are expected")]
pub struct BadMonthDay;

impl MonthDay {
    /// The day `day` (from 1) of month `month` (1 to 12); 29 February is one.
    pub fn new(month: i8, day: i8) -> Result<Self, BadMonthDay> {
        Date::new(2024, month, day).map(|_| Self { month, day }).map_err(|_| BadMonthDay)
    }

    /// Whether `date` is this day of its year.
    #[must_use]
    pub fn falls_on(self, date: Date) -> bool {
        (date.month(), date.day()) == (self.month, self.day)
    }
}

impl FromStr for MonthDay {
    type Err = BadMonthDay;
    fn from_str(text: &str) -> Result<Self, BadMonthDay> {
        let [b0 @ b'0'..=b'9', b1 @ b'0'..=b'9', b'-', b3 @ b'0'..=b'9', b4 @ b'0'..=b'9'] = text.as_bytes() else { return Err(BadMonthDay) };
        let number = |tens: u8, ones: u8| ((tens - b'0') * 10 + (ones - b'0')) as i8;
        Self::new(number(*b0, *b1), number(*b3, *b4))
    }
}

impl TryFrom<String> for MonthDay {
    type Error = BadMonthDay;
    fn try_from(text: String) -> Result<Self, BadMonthDay> {
        text.parse()
    }
}

impl From<MonthDay> for String {
    fn from(day: MonthDay) -> Self {
        day.to_string()
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

/// Whether banks and offices work on `date`: Monday to Friday, no national holiday, not the patron's day of the place. Deadlines that count working days
/// (pay three working days before the visit) use this; leaving Saturday out makes them earlier, never too late.
#[must_use]
pub fn is_working_day(date: Date, patron: Option<MonthDay>) -> bool {
    let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    !weekend && holiday(date).is_none() && !patron.is_some_and(|patron| patron.falls_on(date))
}

/// The time zone of everything that a visitor sees: Europe/Rome, from the data compiled into the program.
///
/// # Panics
/// If the compiled data has no Europe/Rome, which the tests of this file rule out.
#[must_use]
pub fn rome() -> &'static TimeZone {
    static ROME: OnceLock<TimeZone> = OnceLock::new();
    ROME.get_or_init(|| TimeZoneDatabase::bundled().get("Europe/Rome").expect("the time zones compiled in contain Europe/Rome"))
}

/// The date in Rome at `instant`.
#[must_use]
pub fn local_day(instant: Timestamp) -> Date {
    local(instant).date()
}

/// The last day in Rome that has any time before `end`, and until which time of it; none: until it is over. What ends at midnight ends with the day before: nobody is told
/// the day that begins then, on which it is too late from its first moment on.
#[must_use]
pub fn last_day(end: Timestamp) -> (Date, Option<Time>) {
    let shown = local(end);
    match shown.date().yesterday() {
        Ok(before) if shown.time() == Time::midnight() => (before, None),
        _ => (shown.date(), Some(shown.time())),
    }
}

/// What calendar and clock in Rome show at `instant`.
#[must_use]
pub fn local(instant: Timestamp) -> DateTime {
    rome().to_datetime(instant.to_jiff())
}

/// The first instant at which clocks in Rome show `civil` or later: what they show twice, when summer time ends, means the first time; what they never show,
/// when it begins, means the moment at which they leap over it. So later civil times never give earlier instants, and what does not overlap on the wall does
/// not overlap in truth. Civil times at the very ends of jiff's calendar are clamped.
#[must_use]
pub fn instant(civil: DateTime) -> Timestamp {
    let ambiguous = rome().to_ambiguous_timestamp(civil);
    let instant = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil),
        AmbiguousOffset::Gap { after, .. } => {
            after.to_timestamp(civil).map(|early| rome().following(early).next().map_or(early, |transition| transition.timestamp()))
        }
    };
    let clamped = || if civil.year() > 0 { jiff::Timestamp::MAX } else { jiff::Timestamp::MIN };
    Timestamp::from_jiff(instant.unwrap_or_else(|_| clamped()))
}

/// Whether the clocks in Rome show that time at all: in the night in which they are put forward an hour is left out.
#[must_use]
pub fn exists(civil: DateTime) -> bool {
    !matches!(rome().to_ambiguous_timestamp(civil).offset(), AmbiguousOffset::Gap { .. })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
        from.series(1.day()).take_while(move |&day| day <= to)
    }

    /// The outside table lists Easter itself and National Unity Day (4 November, kept on the month's first Sunday since law 54/1977): both are always
    /// Sundays, days of rest without being holidays of law 260/1949. It has no moved ("observed") days: Italy moves none.
    #[test]
    fn holidays_agree_with_an_outside_table() {
        let mut expected = BTreeSet::new();
        for row in include_str!("testdata/holidays_it.csv").lines().skip(1) {
            let mut fields = row.splitn(4, ',').skip(2);
            let (day, names): (Date, _) = (fields.next().unwrap().parse().unwrap(), fields.next().unwrap());
            assert!(!names.contains("observed"), "{row}");
            for name in names.split("; ") {
                match name {
                    "Easter Sunday" => assert!(is_easter(day), "{row}"),
                    "National Unity Day" => assert!(first_sunday_of_month(day), "{row}"),
                    _ => assert!(expected.insert(day), "{row}"),
                }
            }
        }
        let ours: BTreeSet<Date> = days(date(2023, 1, 1), date(2028, 12, 31)).filter(|&day| holiday(day).is_some()).collect();
        assert_eq!(ours, expected);
        assert_eq!(expected.len(), 11 * 6 + 3);
    }

    #[test]
    fn what_ends_at_midnight_in_rome_ends_with_the_day_before() {
        // Midnight in winter and in summer, a moment to each side of it, and the night in which an hour comes twice.
        for (end, day, until) in [
            ("2026-12-10T23:00:00Z", date(2026, 12, 10), None),
            ("2026-12-10T22:59:59.999999Z", date(2026, 12, 10), Some("23:59:59.999999")),
            ("2026-12-10T23:00:00.000001Z", date(2026, 12, 11), Some("00:00:00.000001")),
            ("2026-12-10T23:30:00Z", date(2026, 12, 11), Some("00:30:00")),
            ("2027-06-30T22:00:00Z", date(2027, 6, 30), None),
            ("2026-10-25T01:30:00Z", date(2026, 10, 25), Some("02:30:00")),
        ] {
            let until = until.map(|time: &str| time.parse::<Time>().unwrap());
            assert_eq!(last_day(end.parse().unwrap()), (day, until), "{end}");
        }
    }

    #[test]
    fn saint_francis_is_a_holiday_from_2026() {
        assert_eq!(holiday(date(2025, 10, 4)), None);
        assert_eq!(holiday(date(2026, 10, 4)), Some(Holiday::Francis));
        assert!(is_working_day(date(2024, 10, 4), None));
        assert!(!is_working_day(date(2027, 10, 4), None));
    }

    #[test]
    fn easter_mondays_and_first_sundays() {
        for day in ["2024-04-01", "2025-04-21", "2026-04-06", "2027-03-29", "2028-04-17", "2029-04-02", "2030-04-22"] {
            assert_eq!(holiday(day.parse().unwrap()), Some(Holiday::EasterMonday), "{day}");
        }
        // The earliest and latest Easters there are, and those for which simpler rules fail.
        for day in ["1818-03-22", "2285-03-22", "1943-04-25", "2038-04-25", "1954-04-18", "1981-04-19", "2049-04-18", "2076-04-19"] {
            assert!(is_easter(day.parse().unwrap()), "{day}");
        }
        let expected = [
            "2026-01-04 2026-02-01 2026-03-01 2026-04-05 2026-05-03 2026-06-07 2026-07-05 2026-08-02 2026-09-06 2026-10-04 2026-11-01 2026-12-06",
            "2027-01-03 2027-02-07 2027-03-07 2027-04-04 2027-05-02 2027-06-06 2027-07-04 2027-08-01 2027-09-05 2027-10-03 2027-11-07 2027-12-05",
        ];
        let ours: Vec<String> =
            days(date(2026, 1, 1), date(2027, 12, 31)).filter(|&day| first_sunday_of_month(day)).map(|day| day.to_string()).collect();
        assert_eq!(ours.join(" "), expected.join(" "));
    }

    #[test]
    fn schools_of_all_regions_pause_in_summer_at_christmas_and_around_easter() {
        let easter_2027 = Some(("2027-03-25", "2027-03-30"));
        let cases = [
            ("2027-06-30", None),
            ("2027-07-01", Some(("2027-07-01", "2027-08-31"))),
            ("2027-08-31", Some(("2027-07-01", "2027-08-31"))),
            ("2027-09-01", None),
            ("2026-12-23", None),
            ("2026-12-24", Some(("2026-12-24", "2027-01-06"))),
            ("2027-01-06", Some(("2026-12-24", "2027-01-06"))),
            ("2027-01-07", None),
            ("2027-03-24", None),
            ("2027-03-25", easter_2027),
            ("2027-03-28", easter_2027),
            ("2027-03-30", easter_2027),
            ("2027-03-31", None),
            ("2026-04-07", Some(("2026-04-02", "2026-04-07"))),
            ("2026-11-02", None),
        ];
        for (day, expected) in cases {
            let found = usual_school_break(day.parse().unwrap());
            let expected = expected.map(|(from, to)| from.parse::<Date>().unwrap()..=to.parse::<Date>().unwrap());
            assert_eq!(found, expected, "{day}");
        }
        let of_year = days(date(2028, 1, 1), date(2028, 12, 31)).filter(|day| usual_school_break(*day).is_some_and(|span| span.contains(day)));
        assert_eq!(of_year.count(), 62 + 8 + 6 + 6);
    }

    #[test]
    fn offices_rest_on_weekends_holidays_and_the_patrons_day() {
        let ambrose = MonthDay::new(12, 7).ok();
        let cases = [
            ("2026-12-04", ambrose, true),
            ("2026-12-05", ambrose, false),
            ("2026-12-06", ambrose, false),
            ("2026-12-07", ambrose, false),
            ("2026-12-07", None, true),
            ("2026-12-08", None, false),
            ("2026-04-06", None, false),
        ];
        for (day, patron, expected) in cases {
            assert_eq!(is_working_day(day.parse().unwrap(), patron), expected, "{day}");
        }
    }

    #[test]
    fn a_day_of_the_year_is_read_and_written() {
        for good in ["06-29", "12-07", "02-29", "01-01"] {
            assert_eq!(good.parse::<MonthDay>().map(|day| day.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "6-29", "02-30", "13-01", "00-10", "06-00", "06/29", "06-291", "é6-2", "99-99", "+1-01"] {
            assert_eq!(bad.parse::<MonthDay>(), Err(BadMonthDay), "{bad}");
        }
        let day = MonthDay::new(6, 29).unwrap();
        let bytes = postcard::to_allocvec(&day).unwrap();
        assert_eq!(postcard::from_bytes::<MonthDay>(&bytes), Ok(day));
    }

    #[test]
    fn clocks_that_leap_or_repeat_give_the_first_instant() {
        let cases = [
            ("2026-03-29T01:59", "2026-03-29T00:59:00Z"),
            ("2026-03-29T02:00", "2026-03-29T01:00:00Z"),
            ("2026-03-29T02:59", "2026-03-29T01:00:00Z"),
            ("2026-03-29T03:00", "2026-03-29T01:00:00Z"),
            ("2026-10-25T01:59", "2026-10-24T23:59:00Z"),
            ("2026-10-25T02:00", "2026-10-25T00:00:00Z"),
            ("2026-10-25T02:59", "2026-10-25T00:59:00Z"),
            ("2026-10-25T03:00", "2026-10-25T02:00:00Z"),
            ("2026-07-01T09:00", "2026-07-01T07:00:00Z"),
            // Far beyond the listed changes, by rule.
            ("2090-03-26T02:30", "2090-03-26T01:00:00Z"),
        ];
        for (civil, expected) in cases {
            assert_eq!(instant(civil.parse().unwrap()).to_string(), expected, "{civil}");
        }
        assert_eq!(local_day("2026-07-01T22:30:00Z".parse().unwrap()), date(2026, 7, 2));
        assert_eq!(local_day("2026-12-31T22:59:59.999999Z".parse().unwrap()), date(2026, 12, 31));
    }

    #[test]
    fn the_ends_of_the_calendar_do_not_panic() {
        for civil in [DateTime::MIN, DateTime::MAX] {
            let _ = instant(civil);
            let _ = (holiday(civil.date()), is_working_day(civil.date(), None), is_easter(civil.date()), usual_school_break(civil.date()));
        }
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let _ = local_day(at);
        }
    }

    proptest! {
            /// Later on the wall is never earlier in truth, around both changes of 2026 and anywhere else; and what is shown is what was meant.
            #[test]
            fn civil_time_is_monotone(start in prop_oneof![Just("2026-03-28T20:00"), Just("2026-10-24T20:00"), Just("2027-06-01T00:00")],
                                      a in 0_i64..1_000, b in 0_i64..1_000) {
                let start: DateTime = start.parse().unwrap();
                let (early, late) = (start + a.min(b).minutes(), start + a.max(b).minutes());
                prop_assert!(instant(early) <= instant(late));
                let shown = local(instant(early));
    prop_assert!(shown == early || (shown == early.date().at(3, 0, 0, 0) && early.hour() == 2), "{} is shown as {}", early, shown);
            }
        }
}
