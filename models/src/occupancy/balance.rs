//! What the last days say of a site's counters: everybody who came in went out, so the sums of a day show by how much the counters of exits count less than those
//! of entries; and the times of both show how long people stay.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::stay::Stay;

/// How many sound days are remembered.
pub const DAYS: usize = 14;
/// As long as fewer are known, nothing is corrected.
const DAYS_MIN: usize = 3;
/// A sound day counted at least so many in and out.
const PEOPLE_MIN: u32 = 20;
/// Entries for one exit on a sound day: beyond this a counter was dead or a door uncounted.
const RATIO: std::ops::RangeInclusive<f64> = 0.6..=1.7;

/// The sums of one day of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Day {
    /// People counted in.
    pub entered: u32,
    /// People counted out.
    pub left: u32,
    /// People let in by gates.
    pub scanned: u32,
    /// The minutes of the day at which people came in, added up over these people.
    pub entered_minutes: u64,
    /// The squares of these minutes, added up likewise.
    pub entered_squares: u64,
    /// The minutes of the day at which people went out, added up over these people.
    pub left_minutes: u64,
    /// The squares of these minutes, added up likewise.
    pub left_squares: u64,
    /// Minutes during which a counter was dead.
    pub dead_minutes: u32,
}

impl Day {
    /// Takes in what was counted in one minute of the day.
    pub fn count(&mut self, minute_of_day: u32, entered: u32, left: u32, scanned: u32) {
        let minute = u64::from(minute_of_day);
        self.entered = self.entered.saturating_add(entered);
        self.left = self.left.saturating_add(left);
        self.scanned = self.scanned.saturating_add(scanned);
        self.entered_minutes += minute * u64::from(entered);
        self.entered_squares += minute * minute * u64::from(entered);
        self.left_minutes += minute * u64::from(left);
        self.left_squares += minute * minute * u64::from(left);
    }

    /// Whether something can be learned from it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let counted = self.entered >= PEOPLE_MIN && self.left >= PEOPLE_MIN;
        counted && self.dead_minutes == 0 && RATIO.contains(&(f64::from(self.entered) / f64::from(self.left)))
    }

    /// Mean and variance of the stay that its times show, in minutes.
    fn stay(&self) -> (f64, f64) {
        let mean = |minutes: u64, people: u32| minutes as f64 / f64::from(people.max(1));
        let (mean_in, mean_out) = (mean(self.entered_minutes, self.entered), mean(self.left_minutes, self.left));
        let variance_in = mean(self.entered_squares, self.entered) - mean_in * mean_in;
        let variance_out = mean(self.left_squares, self.left) - mean_out * mean_out;
        (mean_out - mean_in, variance_out - variance_in)
    }
}

/// The last sound days of a site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    days: VecDeque<Day>,
}

impl Balance {
    /// Takes in a day that is over; one that is not sound teaches nothing.
    pub fn push(&mut self, day: Day) {
        if day.is_sound() {
            self.days.push_back(day);
            while self.days.len() > DAYS {
                self.days.pop_front();
            }
        }
    }

    /// How many sound days are known.
    #[must_use]
    pub fn days(&self) -> usize {
        self.days.len()
    }

    /// Whether enough days are known to correct anything.
    #[must_use]
    pub fn is_calibrated(&self) -> bool {
        self.days.len() >= DAYS_MIN
    }

    fn sum(&self, of: impl Fn(&Day) -> u32) -> f64 {
        self.days.iter().map(|day| f64::from(of(day))).sum()
    }

    /// Entries counted for each exit counted: what one exit stands for.
    #[must_use]
    pub fn exit_ratio(&self) -> f64 {
        if self.is_calibrated() { self.sum(|day| day.entered) / self.sum(|day| day.left) } else { 1.0 }
    }

    /// People scanned by gates for each entry counted; none where gates scan too few to say.
    #[must_use]
    pub fn gate_share(&self) -> Option<f64> {
        let (scanned, entered) = (self.sum(|day| day.scanned), self.sum(|day| day.entered));
        (self.is_calibrated() && scanned >= 0.05 * entered).then(|| scanned / entered)
    }

    /// People who really enter for each entry counted, where a site knows which share of them passes a gate: everybody with a ticket, nobody twice.
    #[must_use]
    pub fn entry_factor(&self, gated: Option<f64>) -> f64 {
        let factor = gated.filter(|gated| (0.05..=1.0).contains(gated)).zip(self.gate_share()).map(|(gated, share)| share / gated);
        factor.map_or(1.0, |factor| factor.clamp(0.8, 1.5))
    }

    /// How long people stay here, from the mean times of entries and exits and their spread: the variance of a sum is the sum of variances.
    #[must_use]
    pub fn stay(&self) -> Stay {
        if !self.is_calibrated() {
            return Stay::default();
        }
        let days = self.days.len() as f64;
        let (mean, variance) = self.days.iter().map(Day::stay).fold((0.0, 0.0), |sum, day| (sum.0 + day.0 / days, sum.1 + day.1 / days));
        // Exits end at closing, entries somewhat before: where that leaves no variance at all, half the mean is what visits usually vary by.
        Stay::new(mean, if variance > 0.0 { variance.sqrt() } else { 0.5 * mean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day on which everybody stays an hour, with so many counted.
    fn day(entered: u32, left: u32, scanned: u32) -> Day {
        let mut day = Day::default();
        day.count(600, entered, 0, scanned);
        day.count(660, 0, left, 0);
        day
    }

    #[test]
    fn a_site_learns_from_sound_days_only() {
        let mut balance = Balance::default();
        balance.push(day(1_000, 900, 500));
        balance.push(day(1_000, 900, 500));
        assert_eq!((balance.exit_ratio(), balance.gate_share(), balance.days()), (1.0, None, 2), "two days are not enough");
        for unsound in [day(0, 0, 0), day(1_000, 10, 0), day(10, 1_000, 900), day(1_000, 200, 0), Day { dead_minutes: 1, ..day(1_000, 950, 0) }] {
            balance.push(unsound);
        }
        assert_eq!(balance.days(), 2);
        balance.push(day(1_000, 900, 500));
        assert!((balance.exit_ratio() - 10.0 / 9.0).abs() < 1e-12);
        assert_eq!(balance.gate_share(), Some(0.5));
        assert_eq!(balance.entry_factor(None), 1.0);
        assert!((balance.entry_factor(Some(0.48)) - 0.5 / 0.48).abs() < 1e-12, "counters miss four in a hundred");
        assert_eq!(balance.entry_factor(Some(f64::NAN)), 1.0);
        assert!((balance.stay().mean_min() - 60.0).abs() < 1e-9);
        for _ in 0..40 {
            balance.push(day(500, 500, 500));
        }
        assert_eq!((balance.days(), balance.exit_ratio()), (DAYS, 1.0), "what is older is forgotten");
    }
}
