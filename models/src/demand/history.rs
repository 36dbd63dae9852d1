//! What a forecast is made from: a site's attendance day by day, its calendar, and what is on the books. All of it as known at the origin, the last day that is
//! over when the forecast is made.
//!
//! The calendar comes in as plain flags, for past and future days alike: who knows the holidays of a country, its school terms and a museum's plan says them here.

use serde::{Deserialize, Serialize};

use super::day::Day;

/// What is known beforehand of one day at one site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayFlags {
    /// Closed as planned: nobody comes.
    pub closed: bool,
    /// A public holiday, the patron saint's day among them.
    pub holiday: bool,
    /// A working day between a holiday and the weekend.
    pub bridge: bool,
    /// Entry is free (in Italy, the first Sunday of the month).
    pub free: bool,
    /// Schools have holidays.
    pub school_break: bool,
    /// An exhibition or a special opening.
    pub event: bool,
}

/// The days that a site's calendar says something of; other days are ordinary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    first: Day,
    days: Vec<DayFlags>,
}

impl Calendar {
    /// A calendar from one day on.
    #[must_use]
    pub const fn new(first: Day, days: Vec<DayFlags>) -> Self {
        Self { first, days }
    }

    /// The calendar of some days, first to last, with bridges where they follow from the holidays: a Monday before a holiday, a Friday after one.
    #[must_use]
    pub fn of(first: Day, last: Day, flags: impl Fn(Day) -> DayFlags) -> Self {
        let day = |number| {
            let day = Day(number);
            let own = flags(day);
            let free_day = |near: Day| flags(near).holiday;
            let bridge = !own.holiday && ((day.weekday() == 0 && free_day(day.plus(1))) || (day.weekday() == 4 && free_day(day.plus(-1))));
            DayFlags { bridge: own.bridge || bridge, ..own }
        };
        Self { first, days: (first.0..=last.0).map(day).collect() }
    }

    /// What is known of a day.
    #[must_use]
    pub fn flags(&self, day: Day) -> DayFlags {
        usize::try_from(day.since(self.first)).ok().and_then(|place| self.days.get(place)).copied().unwrap_or_default()
    }
}

/// How many days before a visit the books are looked at, at most.
pub const LEADS: [u16; 9] = [1, 2, 3, 7, 14, 21, 28, 42, 60];

/// Places booked for a day and not given back, as seen from each of [`LEADS`] days before; NaN where that day has not come yet or nobody looked.
pub type Booked = [f32; LEADS.len()];

/// A site: its attendance so far, its calendar, its books.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Its name, only for reports.
    pub name: String,
    /// The region that it adds up to, only for reports and totals.
    pub region: String,
    /// A number of its own, the same at every fit and forecast.
    pub code: u32,
    /// The day of the first attendance below.
    pub first: Day,
    /// Visitors of each day from the first; NaN where nobody counted. Days on which the site was closed need no figure.
    pub attendance: Vec<f32>,
    /// What is known of its days, past and to come.
    pub calendar: Calendar,
    /// What was on the books for each day from the first, and on beyond the last attendance; empty where there are none.
    pub books: Vec<Booked>,
}

impl Site {
    /// The last day with attendance.
    #[must_use]
    pub fn last(&self) -> Day {
        self.first.plus(self.attendance.len() as i32 - 1)
    }

    /// Visitors of a day; NaN where unknown.
    #[must_use]
    pub fn visitors(&self, day: Day) -> f32 {
        usize::try_from(day.since(self.first)).ok().and_then(|place| self.attendance.get(place)).copied().unwrap_or(f32::NAN)
    }

    /// What was booked for a day as seen at an origin that lies `horizon` days before it: the newest look at the books that is not after the origin.
    #[must_use]
    pub fn booked(&self, day: Day, horizon: u16) -> f32 {
        let Some(looks) = usize::try_from(day.since(self.first)).ok().and_then(|place| self.books.get(place)) else { return f32::NAN };
        LEADS.iter().position(|lead| *lead >= horizon).map_or(f32::NAN, |place| looks[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_follow_from_holidays() {
        // 2025-12-08 is a Monday, 2025-12-25 a Thursday.
        let (first, last) = (Day::of(2025, 12, 1), Day::of(2025, 12, 31));
        let holidays = [Day::of(2025, 12, 8), Day::of(2025, 12, 25)];
        let calendar = Calendar::of(first, last, |day| DayFlags { holiday: holidays.contains(&day), ..DayFlags::default() });
        let bridges: Vec<Day> = (first.0..=last.0).map(Day).filter(|day| calendar.flags(*day).bridge).collect();
        assert_eq!(bridges, [Day::of(2025, 12, 26)]);
        assert_eq!(calendar.flags(Day::of(2026, 12, 25)), DayFlags::default());
    }

    #[test]
    fn books_are_never_read_after_the_origin() {
        let looks: Booked = [90.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0, 10.0];
        let site = Site {
            name: String::new(),
            region: String::new(),
            code: 0,
            first: Day(0),
            attendance: vec![],
            calendar: Calendar::new(Day(0), vec![]),
            books: vec![looks],
        };
        // Five days ahead nobody has seen what was booked three days ahead: the look of seven days ahead is the newest.
        assert_eq!([1, 3, 5, 7, 60].map(|horizon| site.booked(Day(0), horizon)), [90.0, 70.0, 60.0, 60.0, 10.0]);
        assert!(site.booked(Day(0), 61).is_nan() && site.booked(Day(1), 1).is_nan());
    }
}
