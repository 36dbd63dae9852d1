//! Simulated attendance of museums that do not exist, seeded: for the benchmark of the forecaster, for tests with a known truth, and for the demo's first days.
//!
//! Nothing here was measured anywhere. What is assumed: a season with one or two peaks, a weekend that draws more, holidays and free days that draw more still,
//! a slow drift of the level, weeks that are better or worse as a whole, and daily noise of about a tenth beyond that of counting.

use tornello_models::demand::{Calendar, Day, DayFlags, Site};

/// A stream of chance that a seed decides (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Even between two numbers.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (a, b) = (self.between(f64::MIN_POSITIVE, 1.0), self.between(0.0, std::f64::consts::TAU));
        (-2.0 * a.ln()).sqrt() * b.cos()
    }
}

/// What one museum's attendance is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct World {
    /// Visitors of a usual day.
    pub mean: f64,
    /// How much more the best month draws than the mean, as a share of it.
    pub season: f64,
    /// What a Saturday or Sunday draws, in usual days.
    pub weekend: f64,
    /// What a holiday draws, in usual days.
    pub holiday: f64,
    /// What a free day draws, in usual days.
    pub free: f64,
    /// The standard deviation of a day's noise, as a share.
    pub noise: f64,
}

impl World {
    /// A museum of its own for a seed, with so many visitors on a usual day.
    #[must_use]
    pub fn of(seed: u64, mean: f64) -> Self {
        let mut chance = Chance(seed ^ 0x5eed_0001);
        Self {
            mean,
            season: chance.between(0.1, 0.6),
            weekend: chance.between(1.1, 1.9),
            holiday: chance.between(1.1, 2.0),
            free: chance.between(1.2, 1.8),
            noise: chance.between(0.06, 0.16),
        }
    }
}

/// Attendance of some days from the first; zero on those that the calendar closes. The same seed draws the same days.
#[must_use]
pub fn attendance(seed: u64, world: &World, calendar: &Calendar, first: Day, days: usize) -> Vec<f32> {
    let mut chance = Chance(seed);
    let peak = chance.between(0.25, 0.75);
    let drift = chance.between(-0.08, 0.12) / 365.0;
    let mut week = 0.0;
    let day = |place: usize| {
        let day = first.plus(place as i32);
        let flags = calendar.flags(day);
        // Good and bad weeks hang together: half of each is that of the week before.
        if day.weekday() == 0 || place == 0 {
            week = 0.5 * week + 0.06 * chance.normal();
        }
        let angle = (f64::from(day.share_of_year()) - peak) * std::f64::consts::TAU;
        let season = 1.0 + world.season * angle.cos() + 0.25 * world.season * (2.0 * angle).cos();
        let weekday = if day.weekday() >= 5 { world.weekend } else { 1.0 };
        let draws = [(flags.holiday, world.holiday), (flags.free, world.free), (flags.bridge, 1.25), (flags.school_break, 1.15), (flags.event, 1.2)];
        // A holiday on a Sunday does not draw twice: the strongest reason to come counts.
        let draw = draws.iter().filter(|(holds, _)| *holds).map(|(_, draw)| *draw).fold(weekday, f64::max);
        let expected = (world.mean * season * draw * (1.0 + drift * place as f64) * (week + world.noise * chance.normal()).exp()).max(0.0);
        let counted = expected + expected.sqrt() * chance.normal();
        if flags.closed { 0.0 } else { counted.max(0.0).round() as f32 }
    };
    (0..days).map(day).collect()
}

/// So many sites with a history that ends on the day `last`: sizes from 40 to 4,000 visitors a day, most of them closed on Mondays, in regions of about twenty.
#[must_use]
pub fn sites(seed: u64, count: u32, last: Day, days: usize, holiday: impl Fn(Day) -> bool) -> Vec<Site> {
    let first = last.plus(1 - days as i32);
    let site = |code: u32| {
        let own = Chance(seed ^ (u64::from(code) << 32)).next();
        let mut chance = Chance(own);
        let mean = chance.between(40.0_f64.ln(), 4_000.0_f64.ln()).exp();
        let closes_mondays = chance.between(0.0, 1.0) < 0.7;
        let calendar = Calendar::of(first.plus(-370), last.plus(370), |day| {
            let (_, _, day_of_month) = day.date();
            let holiday = holiday(day);
            let free = day.weekday() == 6 && day_of_month <= 7;
            DayFlags { closed: closes_mondays && day.weekday() == 0 && !holiday, holiday, free, ..DayFlags::default() }
        });
        let attendance = attendance(own, &World::of(own, mean), &calendar, first, days);
        Site { name: format!("simulated {code}"), region: format!("region {}", code / 20), code, first, attendance, calendar, books: Vec::new() }
    };
    (0..count).map(site).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_world_and_closed_days_are_empty() {
        let draw = |seed| sites(seed, 3, Day::of(2025, 12, 31), 800, |day| day.date().1 == 5 && day.date().2 == 1);
        let found = draw(7);
        assert_eq!(found, draw(7));
        assert_ne!(found, draw(8));
        for site in &found {
            let mean = site.attendance.iter().sum::<f32>() / 800.0;
            assert!((20.0..8_000.0).contains(&mean), "{mean}");
            for (place, visitors) in site.attendance.iter().enumerate() {
                assert!(*visitors == 0.0 || !site.calendar.flags(site.first.plus(place as i32)).closed);
            }
        }
    }
}
