//! From the day to its slots: what share of a day comes in each slot, by weekday, season and holiday. Shares of the open slots add up to one, so slots add up to
//! the day by construction.
//!
//! Counts are shrunk from the narrow group to the wide: a slot's share on holiday Sundays in summer leans on that of the weekday, and that on the slot's share of all.

use serde::{Deserialize, Serialize};

use super::day::Day;
use super::history::DayFlags;

/// Visitors that count as much as what the wider group says.
const SHRINK: f64 = 200.0;
/// Weekdays, four seasons, holiday or not.
const GROUPS: usize = 7 * 4 * 2;

/// The shares of one site's slots of a day, by their place in the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotShares {
    slots: usize,
    /// Visitors by group and slot.
    counts: Vec<f64>,
}

impl SlotShares {
    /// Nothing seen yet, for a day of so many slots: all are alike.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { slots, counts: vec![0.0; GROUPS * slots] }
    }

    /// How many slots a day has.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// Takes in what came in each slot of a day that is over; slots beyond those of the plan, and what is no count, are passed over.
    pub fn take(&mut self, day: Day, flags: DayFlags, visitors: &[f64]) {
        let start = group(day, flags) * self.slots;
        for (count, visitors) in self.counts[start..start + self.slots].iter_mut().zip(visitors) {
            if visitors.is_finite() && *visitors >= 0.0 {
                *count += visitors;
            }
        }
    }

    /// The share of each slot of a day, over those that are open; zero for the others. All zero where none is open.
    #[must_use]
    pub fn shares(&self, day: Day, flags: DayFlags, open: &[bool]) -> Vec<f64> {
        let wanted = group(day, flags);
        let sum = |of_group: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let groups = (0..GROUPS).filter(|group| of_group(*group));
            groups.fold(vec![0.0; self.slots], |mut sums, group| {
                sums.iter_mut().zip(&self.counts[group * self.slots..]).for_each(|(sum, count)| *sum += count);
                sums
            })
        };
        let shrunk = |counts: Vec<f64>, wider: &[f64]| -> Vec<f64> {
            let total: f64 = counts.iter().sum();
            counts.iter().zip(wider).map(|(count, share)| (count + SHRINK * share) / (total + SHRINK)).collect()
        };
        let flat = vec![1.0 / self.slots.max(1) as f64; self.slots];
        let all = shrunk(sum(&|_| true), &flat);
        let weekday = shrunk(sum(&|group| group / 8 == wanted / 8), &all);
        let own = shrunk(sum(&|group| group == wanted), &weekday);
        let is_open = |slot: usize| open.get(slot).copied().unwrap_or(false);
        let total: f64 = own.iter().enumerate().filter(|(slot, _)| is_open(*slot)).map(|(_, share)| share).sum();
        own.iter().enumerate().map(|(slot, share)| if is_open(slot) && total > 0.0 { share / total } else { 0.0 }).collect()
    }
}

fn group(day: Day, flags: DayFlags) -> usize {
    let (_, month, _) = day.date();
    let season = usize::from(month % 12 / 3);
    usize::from(day.weekday()) * 8 + season * 2 + usize::from(flags.holiday)
}

/// A day's visitors on its slots, no slot beyond its capacity: what one cannot take goes to the others by their shares. What none can take is the second answer;
/// the slots and it add up to the day.
#[must_use]
pub fn within_capacity(visitors: f64, shares: &[f64], capacities: &[f64]) -> (Vec<f64>, f64) {
    let mut taken = vec![0.0; shares.len()];
    let mut rest = visitors.max(0.0);
    // Each pass fills at least one slot, or is the last.
    for _ in 0..=shares.len() {
        let room = |slot: usize, taken: &[f64]| (capacities[slot] - taken[slot]).max(0.0);
        let total: f64 = (0..shares.len()).filter(|slot| room(*slot, &taken) > 0.0).map(|slot| shares[slot]).sum();
        if rest <= 0.0 || total <= 0.0 {
            break;
        }
        let to_place = rest;
        for (slot, share) in shares.iter().enumerate() {
            let more = (to_place * share / total).min(room(slot, &taken));
            taken[slot] += more;
            rest -= more;
        }
        if rest < 1e-9 * to_place {
            rest = 0.0;
        }
    }
    (taken, rest.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_slots_add_up_to_one_and_follow_what_was_seen() {
        let mut shares = SlotShares::new(3);
        let day = Day::of(2026, 7, 4);
        assert_eq!(shares.shares(day, DayFlags::default(), &[true, true, true]), [1.0 / 3.0; 3]);
        for week in 0..50 {
            shares.take(day.plus(7 * week), DayFlags::default(), &[100.0, 300.0, f64::NAN]);
        }
        let seen = shares.shares(day, DayFlags::default(), &[true, true, true]);
        assert!((seen.iter().sum::<f64>() - 1.0).abs() < 1e-12 && (seen[1] - 0.75).abs() < 0.02 && seen[2] < 0.02, "{seen:?}");
        // A weekday that was never seen leans on the others; a closed slot gets nothing.
        let other = shares.shares(day.plus(1), DayFlags::default(), &[true, false, true]);
        assert!((other.iter().sum::<f64>() - 1.0).abs() < 1e-12 && other[1] == 0.0 && other[0] > 0.8, "{other:?}");
        assert_eq!(shares.shares(day, DayFlags::default(), &[false; 3]), [0.0; 3]);
    }

    #[test]
    fn no_slot_is_filled_beyond_its_capacity() {
        let (taken, rest) = within_capacity(100.0, &[0.5, 0.3, 0.2], &[20.0, 100.0, 100.0]);
        assert!(
            (taken[0] - 20.0).abs() < 1e-9 && (taken[1] - 48.0).abs() < 1e-9 && (taken[2] - 32.0).abs() < 1e-9 && rest == 0.0,
            "{taken:?} {rest}"
        );
        let (taken, rest) = within_capacity(100.0, &[0.5, 0.5], &[20.0, 30.0]);
        assert_eq!((taken, rest), (vec![20.0, 30.0], 50.0));
        assert_eq!(within_capacity(10.0, &[0.0, 0.0], &[5.0, 5.0]), (vec![0.0, 0.0], 10.0));
    }
}
