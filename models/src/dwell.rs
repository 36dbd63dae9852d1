//! People inside, from entries alone: whoever came in stays exactly the dwell time. Where a door counts only entries this is all that can be said, until
//! the occupancy model learns how long people really stay.
//!
//! A count is dated with the instant at which it is known (the end of its interval) and counts from then, for `dwell_s` seconds, the last one excluded. The
//! uncertainty is that of a Poisson count: one standard deviation is the square root of the people inside, rounded up.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// The dwell time where nothing better is known: 90 minutes.
pub const DWELL_S: i64 = 90 * 60;
/// The longest dwell time accepted: a day. It also bounds the memory of [`Entries`], to one count per second.
pub const DWELL_S_MAX: i64 = 86_400;

/// How long each visitor stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Dwell {
    dwell_s: i64,
}

impl Dwell {
    /// A stay of so many seconds, from 1 to [`DWELL_S_MAX`].
    pub const fn new(dwell_s: i64) -> Result<Self, ModelError> {
        if dwell_s < 1 || dwell_s > DWELL_S_MAX { Err(ModelError::BadDwell { dwell_s }) } else { Ok(Self { dwell_s }) }
    }

    /// The stay in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.dwell_s
    }
}

impl Default for Dwell {
    fn default() -> Self {
        Self { dwell_s: DWELL_S }
    }
}

impl TryFrom<i64> for Dwell {
    type Error = ModelError;
    fn try_from(dwell_s: i64) -> Result<Self, ModelError> {
        Self::new(dwell_s)
    }
}

impl From<Dwell> for i64 {
    fn from(dwell: Dwell) -> Self {
        dwell.dwell_s
    }
}

/// An estimate of the people inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inside {
    /// The expected number of people.
    pub people: u32,
    /// One standard deviation of it, rounded up.
    pub sd: u32,
}

impl Inside {
    /// So many people, with the uncertainty of a Poisson count.
    #[must_use]
    pub const fn counted(people: u32) -> Self {
        let root = people.isqrt();
        Self { people, sd: if root * root == people { root } else { root + 1 } }
    }
}

/// The estimator: takes counts in the order of time and forgets those older than the dwell time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries {
    dwell: Dwell,
    recent: VecDeque<(i64, u32)>,
    people: u64,
    last_s: Option<i64>,
}

impl Entries {
    /// An empty building whose visitors stay for `dwell`.
    #[must_use]
    pub const fn new(dwell: Dwell) -> Self {
        Self { dwell, recent: VecDeque::new(), people: 0, last_s: None }
    }

    /// Takes the people counted up to `at_s` (seconds, any epoch) since the last count, and says who is inside then. A count for an instant already taken,
    /// or before it, is refused and changes nothing; people who come in through several doors at one instant are one count.
    pub fn push(&mut self, at_s: i64, entries: u32) -> Result<Inside, ModelError> {
        match self.last_s {
            Some(last_s) if at_s == last_s => return Err(ModelError::Repeated { at_s }),
            Some(last_s) if at_s < last_s => return Err(ModelError::TimeWentBack { last_s, at_s }),
            _ => self.last_s = Some(at_s),
        }
        while let Some(&(entered_s, left)) = self.recent.front()
            && !self.still_inside(entered_s, at_s)
        {
            self.recent.pop_front();
            self.people -= u64::from(left);
        }
        if entries > 0 {
            self.recent.push_back((at_s, entries));
            self.people += u64::from(entries);
        }
        Ok(estimate(self.people))
    }

    /// Takes more people in who came in at the instant of the last count, as where that is a second and they were told one by one.
    pub fn add(&mut self, entries: u32) {
        let Some(last_s) = self.last_s.filter(|_| entries > 0) else { return };
        match self.recent.back_mut() {
            Some((entered_s, count)) if *entered_s == last_s => {
                let before = *count;
                *count = before.saturating_add(entries);
                self.people += u64::from(*count - before);
            }
            _ => {
                self.recent.push_back((last_s, entries));
                self.people += u64::from(entries);
            }
        }
    }

    /// Who is inside at `at_s`, if nobody came in after the last count. Refused for an instant before the last count, whose answer is no longer known.
    pub fn inside(&self, at_s: i64) -> Result<Inside, ModelError> {
        match self.last_s {
            Some(last_s) if at_s < last_s => Err(ModelError::TimeWentBack { last_s, at_s }),
            _ => Ok(estimate(
                self.recent.iter().filter(|(entered_s, _)| self.still_inside(*entered_s, at_s)).map(|(_, entries)| u64::from(*entries)).sum(),
            )),
        }
    }

    fn still_inside(&self, entered_s: i64, at_s: i64) -> bool {
        at_s.saturating_sub(entered_s) < self.dwell.dwell_s
    }
}

fn estimate(people: u64) -> Inside {
    Inside::counted(u32::try_from(people).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_HOUR: i64 = 1_800;

    fn people(entries: &mut Entries, counts: &[(i64, u32)]) -> Vec<u32> {
        counts.iter().map(|&(at, n)| entries.push(at, n).unwrap().people).collect()
    }

    #[test]
    fn everyone_stays_exactly_the_dwell_time() {
        let counts: Vec<(i64, u32)> = [10, 20, 30, 40, 0, 0, 0].iter().enumerate().map(|(i, &n)| (i as i64 * HALF_HOUR, n)).collect();
        assert_eq!(people(&mut Entries::default(), &counts), [10, 30, 60, 90, 70, 40, 0], "three half hours of 90 minutes are inside at once");

        let mut entries = Entries::default();
        entries.push(100, 7).unwrap();
        assert_eq!(entries.inside(100 + DWELL_S - 1).unwrap().people, 7);
        assert_eq!(entries.inside(100 + DWELL_S).unwrap().people, 0, "the last second is excluded");
        assert_eq!(entries.push(100 + DWELL_S, 0).unwrap().people, 0, "asking and counting agree");
    }

    #[test]
    fn the_uncertainty_is_poisson_rounded_up() {
        for (people, sd) in [(0, 0), (1, 1), (2, 2), (4, 2), (5, 3), (99, 10), (100, 10), (101, 11), (u32::MAX, 65_536)] {
            assert_eq!(Inside::counted(people), Inside { people, sd }, "{people} people");
        }
    }

    #[test]
    fn a_repeated_or_older_count_is_refused_and_changes_nothing() {
        let mut entries = Entries::default();
        entries.push(1_000, 5).unwrap();
        let before = entries.clone();
        assert_eq!(entries.push(1_000, 5), Err(ModelError::Repeated { at_s: 1_000 }));
        assert_eq!(entries.push(999, 5), Err(ModelError::TimeWentBack { last_s: 1_000, at_s: 999 }));
        assert_eq!(entries.inside(999), Err(ModelError::TimeWentBack { last_s: 1_000, at_s: 999 }));
        assert_eq!(entries, before);
        assert_eq!(entries.push(1_001, 1).unwrap().people, 6, "and the next good count is taken");
        let mut empty = Entries::default();
        empty.push(50, 0).unwrap();
        assert_eq!(empty.push(50, 3), Err(ModelError::Repeated { at_s: 50 }), "an empty count is a count");
    }

    #[test]
    fn more_who_came_in_at_the_instant_of_the_last_count_are_one_count_with_it() {
        let mut entries = Entries::default();
        entries.add(3);
        assert_eq!(entries, Entries::default(), "there is no last count yet");
        entries.push(100, 0).unwrap();
        for _ in 0..3 {
            entries.add(2);
        }
        assert_eq!((entries.inside(100).unwrap().people, entries.recent.len()), (6, 1));
        assert_eq!(entries.push(100 + DWELL_S, 1).unwrap().people, 1, "they leave together");
        entries.add(u32::MAX);
        assert_eq!(entries.inside(100 + DWELL_S).unwrap().people, u32::MAX);
        assert_eq!(entries.push(100 + 2 * DWELL_S, 0).unwrap().people, 0, "and what was not taken leaves nobody short");
    }

    #[test]
    fn memory_is_bounded_by_the_dwell_time() {
        let mut entries = Entries::new(Dwell::new(60).unwrap());
        let inside: Vec<u32> = (0..10_000).map(|at| entries.push(at, 1).unwrap().people).collect();
        assert_eq!(inside.last(), Some(&60));
        assert_eq!(entries.recent.len(), 60);
    }

    #[test]
    fn extremes_neither_overflow_nor_wrap() {
        let mut entries = Entries::default();
        assert_eq!(people(&mut entries, &[(i64::MIN, u32::MAX), (i64::MIN + 1, u32::MAX)]), [u32::MAX, u32::MAX]);
        assert_eq!(entries.push(i64::MAX, 2).unwrap(), Inside { people: 2, sd: 2 });
    }

    #[test]
    fn a_dwell_time_is_between_a_second_and_a_day() {
        for dwell_s in [i64::MIN, -1, 0, DWELL_S_MAX + 1] {
            assert_eq!(Dwell::new(dwell_s), Err(ModelError::BadDwell { dwell_s }));
        }
        assert_eq!(Dwell::new(DWELL_S_MAX).map(Dwell::seconds), Ok(86_400));
        assert_eq!(Dwell::default().seconds(), 5_400);
    }
}
