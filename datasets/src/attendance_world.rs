//! A simulated attendance of a museum before Tornello, so that a demo has something to forecast from at its first start. Invented and seeded: a level that follows
//! from the places, weekdays, a year's season with its peak in spring, holidays and free Sundays, and chance. It is not what any real museum had.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use crate::chance::Chance;

/// Share of a day's places that an ordinary day of an average museum fills.
const FILLED: f64 = 0.38;
/// By how much days differ beside all that: one standard deviation on the scale of logarithms.
const CHANCE_SD: f64 = 0.1;
/// Better and worse weeks: how far each day moves them, and how much of the day before stays.
const WEEKS_SD: f64 = 0.03;
const WEEKS_STAY: f64 = 0.9;
/// By how much a year's level grows.
const GROWTH: f64 = 0.04;

/// What a day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Nobody can come.
    pub closed: bool,
    /// A holiday.
    pub holiday: bool,
    /// Entry is free.
    pub free: bool,
}

/// The visitors of each day from `from` on, of a museum with so many places a day; the same seed gives the same days.
#[must_use]
pub fn days(seed: u64, places: u32, from: Date, count: u32, kind: impl Fn(Date) -> Kind) -> Vec<u32> {
    let mut chance = Chance::new(seed);
    // Museums differ: some are half as full as others.
    let level = FILLED * f64::from(places) * (0.3 * chance.normal()).exp();
    let mut drift = 0.0_f64;
    let day = |ahead: u32| {
        let date = from.saturating_add(i64::from(ahead).days());
        let Kind { closed, holiday, free } = kind(date);
        drift = WEEKS_STAY * drift + WEEKS_SD * chance.normal();
        let luck = (CHANCE_SD * chance.normal()).exp();
        if closed {
            return 0;
        }
        let weekday = match date.weekday() {
            Weekday::Saturday => 1.35,
            Weekday::Sunday => 1.45,
            Weekday::Friday => 1.05,
            Weekday::Monday | Weekday::Tuesday => 0.8,
            Weekday::Wednesday | Weekday::Thursday => 0.9,
        };
        let angle = 2.0 * std::f64::consts::PI * f64::from(date.day_of_year()) / 365.25;
        // Two waves a year, the larger one in April and May, the lesser one in autumn.
        let season = 1.0 + 0.28 * (angle - 2.2).cos() + 0.18 * (2.0 * angle - 4.6).cos();
        let special = if free {
            1.7
        } else if holiday {
            1.4
        } else {
            1.0
        };
        let growth = (1.0 + GROWTH).powf(f64::from(ahead) / 365.25);
        let people = level * weekday * season * special * growth * (drift.exp()) * luck;
        people.round().min(f64::from(places)) as u32
    };
    (0..count).map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_seed_gives_the_same_days_within_the_places() {
        let kind = |date: Date| Kind { closed: date.weekday() == Weekday::Monday, holiday: false, free: false };
        let made = |seed| days(seed, 1_000, date(2024, 1, 1), 730, kind);
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert!(made(1).iter().all(|people| *people <= 1_000));
        assert!(made(1).iter().step_by(7).all(|people| *people == 0), "2024 began on a Monday");
        let sum = |of: &[u32]| of.iter().sum::<u32>();
        let year = made(3);
        assert!(sum(&year[90..150]) > sum(&year[0..60]), "spring has more than winter");
    }
}
