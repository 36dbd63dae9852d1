//! People in the area around a museum, from what the microcells of each operator see. Numbers of phones only: which phones they are never comes here.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tornello_engine::ids::Code;
use tornello_engine::time::{MICROS_PER_S, Timestamp};
pub use tornello_models::presence::SUPPRESSED_BELOW;
use tornello_models::presence::{self, Conversion, Operator, Present};

use super::Rejected;

/// What a cell said longer ago does not count any more, in seconds.
const OLD_S: i64 = 1_800;
/// Over how long admissions are held against people present, in seconds.
const WINDOW_S: i64 = 3_600;
/// How often admissions are noted, in seconds: a little less than the minute after which that is done, which is never quite one.
const NOTED_EVERY_S: i64 = 50;
/// How far back at least it is known how many had been let in, for what is said of an hour, in seconds: by so much the oldest moment that is noted may be younger.
const KNOWN_S: i64 = WINDOW_S - 120;
/// The most cells times operators of one museum.
const CELLS_MAX: usize = 512;

/// What a cell saw of one operator's phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub devices: u32,
    /// The operator's share of the market, in thousandths, and its standard deviation.
    pub share_permille: u16,
    /// See `share_permille`.
    pub share_sd_permille: u16,
}

/// People around a museum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    /// When the newest cell spoke.
    pub at: Timestamp,
    /// How many; none: too few to tell.
    pub present: Option<Present>,
    /// Those let in within an hour for each person present; none: too few to tell, or not known of the whole hour.
    pub conversion: Option<Conversion>,
}

/// What all cells of a museum said last.
#[derive(Debug, Default)]
pub(super) struct Cells {
    seen: HashMap<(Code, Code), Seen>,
    /// How many gates had let in, at some moments of the last hour.
    admitted: VecDeque<(Timestamp, u32)>,
}

impl Cells {
    pub(super) fn take(&mut self, cell: (Code, Code), seen: Seen) -> Result<(), Rejected> {
        if self.seen.get(&cell).is_some_and(|last| seen.at <= last.at) {
            return Err(Rejected::OutOfOrder);
        }
        self.seen.retain(|_, last| is_fresh(last.at, seen.at));
        if !self.seen.contains_key(&cell) && self.seen.len() >= CELLS_MAX {
            return Err(Rejected::TooManySensors);
        }
        self.seen.insert(cell, seen);
        Ok(())
    }

    /// Notes how many people gates have let in today so far: once a minute, whether anybody asks or not.
    pub(super) fn note(&mut self, now: Timestamp, scanned: u32) {
        while self.admitted.front().is_some_and(|(at, count)| now.micros_since(*at) > WINDOW_S * MICROS_PER_S || *count > scanned) {
            self.admitted.pop_front();
        }
        if self.admitted.back().is_none_or(|(at, _)| now.micros_since(*at) >= NOTED_EVERY_S * MICROS_PER_S) {
            self.admitted.push_back((now, scanned));
        }
    }

    /// Whether any cell has spoken lately.
    pub(super) fn speak(&self, now: Timestamp) -> bool {
        self.seen.values().any(|seen| is_fresh(seen.at, now))
    }

    /// People present now, `scanned` people having been let in by gates today so far.
    pub(super) fn at(&self, now: Timestamp, scanned: u32) -> Option<Around> {
        let within = |(at, count): &&(Timestamp, u32)| now.micros_since(*at) <= WINDOW_S * MICROS_PER_S && *count <= scanned;
        // After a start, or where no cell had spoken for long, they are known of a shorter time; but before the first of a day nobody was let in.
        let is_known = |(at, count): &&(Timestamp, u32)| *count == 0 || now.micros_since(*at) >= KNOWN_S * MICROS_PER_S;
        let before = self.admitted.iter().find(within).filter(is_known).map_or(scanned, |(_, count)| *count);
        let fresh = || self.seen.iter().filter(|(_, seen)| is_fresh(seen.at, now));
        let at = fresh().map(|(_, seen)| seen.at).max()?;
        // Cells of one operator add up; its share is that of the cell that spoke last.
        let mut operators: BTreeMap<Code, (u32, Seen)> = BTreeMap::new();
        for ((_, operator), seen) in fresh() {
            let entry = operators.entry(*operator).or_insert((0, *seen));
            entry.0 = entry.0.saturating_add(seen.devices);
            if (seen.at, seen.share_permille) > (entry.1.at, entry.1.share_permille) {
                entry.1 = *seen;
            }
        }
        let permille = |value: u16| f64::from(value) / 1_000.0;
        let operators: Vec<Operator> = operators
            .into_values()
            .map(|(devices, seen)| Operator { devices, share: permille(seen.share_permille), share_sd: permille(seen.share_sd_permille) })
            .collect();
        let present = presence::present(&operators);
        let conversion = present.and_then(|present| presence::conversion(scanned.saturating_sub(before), &present));
        Some(Around { at, present, conversion })
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.micros_since(at) < OLD_S * MICROS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000 + s)
    }

    fn seen(s: i64, devices: u32) -> Seen {
        Seen { at: at(s), devices, share_permille: 300, share_sd_permille: 10 }
    }

    fn cell(cell: &str, operator: &str) -> (Code, Code) {
        (cell.parse().unwrap(), operator.parse().unwrap())
    }

    #[test]
    fn cells_add_up_by_operator_and_small_counts_are_not_told() {
        let mut cells = Cells::default();
        assert_eq!(cells.at(at(0), 0), None);
        cells.take(cell("north", "alfa"), seen(0, 9)).unwrap();
        let few = cells.at(at(1), 0).unwrap();
        assert_eq!((few.present, few.conversion), (None, None), "nine phones are about persons");
        cells.take(cell("south", "alfa"), seen(1, 291)).unwrap();
        let present = cells.at(at(2), 0).unwrap().present.unwrap();
        assert!((present.people - 1_000.0).abs() < 1e-9 && present.operators == 1);
        assert_eq!(cells.take(cell("south", "alfa"), seen(1, 5)), Err(Rejected::OutOfOrder));
        cells.note(at(2), 0);
        // Who asks, and how often, changes nothing.
        for s in 3..900 {
            let _ = cells.at(at(s), 399);
        }
        cells.note(at(900), 399);
        let later = cells.at(at(1_000), 400).unwrap().conversion.unwrap();
        assert!((later.share - 0.4).abs() < 1e-9);
        assert_eq!(cells.at(at(1_700), 3).unwrap().conversion, None, "a new day counts anew");
        assert_eq!(cells.at(at(4_000), 400), None, "what was said half an hour ago is not now");
    }

    #[test]
    fn who_was_let_in_within_the_hour_is_told_when_it_is_known_of_the_whole_hour() {
        let mut cells = Cells::default();
        cells.take(cell("north", "alfa"), seen(0, 300)).unwrap();
        let told = |cells: &Cells, s: i64, scanned| {
            let around = cells.at(at(s), scanned).unwrap();
            around.conversion.map(|conversion| (conversion.share * 1_000.0).round())
        };
        // As after a start at noon: 300 had been let in by then, and four are each minute.
        for minute in 0..=59 {
            cells.note(at(60 * minute), 300 + 4 * minute as u32);
            if minute == 20 {
                cells.take(cell("north", "alfa"), seen(60 * minute, 300)).unwrap();
                assert_eq!(told(&cells, 60 * minute, 380), None, "eighty in twenty minutes are not those of an hour");
            }
        }
        cells.take(cell("north", "alfa"), seen(3_540, 300)).unwrap();
        assert_eq!(told(&cells, 3_540, 536), Some(236.0));
    }
}
