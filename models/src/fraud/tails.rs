//! Empirical tails: how rare a value is in its column, added up over the columns. Needs no shape of the data, so it does well on few skewed columns; it is blind
//! to values that are usual one by one and strange together.
//!
//! After ECOD (Li and others, 2022), with 4097 quantiles for each column instead of all values, and with an end that is open: counting cannot tell a value just
//! beyond all of training from one ten times as far, and what is sought may well lie out there. Beyond the greatest value the tail goes on as an exponential
//! one, with the mean excess that training has over its 99.9%; the same on the left.
//!
//! What is sought may stand in training too, and many times: it is then common and no tail. But it stands apart, with next to nothing between it and the others,
//! where a tail thins out and never thickens again. So what lies apart on either side of a column does not count for how rare its values are.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use crate::{ModelError, quantile};

/// Values kept for each column: 4096 equal steps.
pub const QUANTILES: usize = 4097;

/// One in so many rungs is also kept beside the others, where a search begins: what is asked now and then is in no cache, and a search through all rungs touches a dozen places.
const STRIDE: usize = 64;
/// How many these are.
const MARKS: usize = QUANTILES.div_ceil(STRIDE);

/// The share of training that an end is measured on.
const END: f64 = 0.001;
/// The rarest that a column can be, in natural logarithms: one column alone must not drown all others.
const RARITY_MAX: f64 = 100.0;

/// What lies apart is looked for beyond the 90% of a column, with the distance over which the tail falls to a third between the median and there as the measure.
const MAIN: f64 = 0.9;
/// It is apart by so many of these distances, and by as far as the shore is from the median: an exponential tail has one in 22,000 of the values beyond the 90%
/// beyond that, and tails that fall slower have more in between.
const APART: f64 = 10.0;
/// And for each value in between there are so many beyond.
const BETWEEN: usize = 10;
/// A single value is not something that stands apart.
const ISLAND_MIN: f64 = 2.0;

/// The quantiles of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    rungs: Vec<f32>,
    /// The share that the least and the greatest value stand for: the tails never say less than that.
    least: f64,
    /// How fast the tail falls beyond the least and beyond the greatest value: the distance over which it falls to a third.
    ends: (f64, f64),
    /// The value that most rungs hold, and how rare it is: most columns are nothing most of the time, and need no search then. Follows from the rest.
    #[serde(skip)]
    usual: Option<(f64, f64)>,
    /// Every 64th rung, the middle one among them: most values are below that one and need to know no more. Follows from the rest.
    #[serde(skip)]
    marks: Option<[f32; MARKS]>,
}

impl Ladder {
    /// The quantiles of these values; NaN are left out.
    pub fn fit(values: impl IntoIterator<Item = f64>) -> Result<Self, ModelError> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|x| !x.is_nan()).collect();
        if sorted.is_empty() {
            return Err(ModelError::BadShape { what: "at least one value for quantiles" });
        }
        sorted.sort_by(f64::total_cmp);
        let rungs = (0..QUANTILES).map(|step| quantile::of_sorted(&sorted, step as f64 / (QUANTILES - 1) as f64) as f32).collect();
        let mirrored: Vec<f64> = sorted.iter().rev().map(|x| -x).collect();
        let mut ladder = Self { rungs, least: 1.0 / (sorted.len() + 1) as f64, ends: (end(&mirrored), end(&sorted)), usual: None, marks: None };
        ladder.settle();
        Ok(ladder)
    }

    /// Finds the usual value and the marks: what is read from bytes does not carry them.
    pub(super) fn settle(&mut self) {
        (self.usual, self.marks) = (None, None);
        if self.rungs.len() == QUANTILES {
            self.marks = Some(std::array::from_fn(|mark| self.rungs[mark * STRIDE]));
        }
        let most = self.rungs.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
        self.usual = most.map(|run| f64::from(run[0])).map(|value| (value, self.rarity(value)));
    }

    /// How rare a value is: `max(-log left tail, -log right tail)`, and beyond training how far beyond.
    #[must_use]
    pub fn rarity(&self, x: f64) -> f64 {
        if let Some((usual, rarity)) = self.usual
            && usual == x
        {
            return rarity;
        }
        let (left, right) = self.tails(x);
        let (lowest, highest) = (f64::from(self.rungs[0]), f64::from(self.rungs[QUANTILES - 1]));
        let beyond = if x > highest {
            (x - highest) / self.ends.1
        } else if x < lowest {
            (lowest - x) / self.ends.0
        } else {
            0.0
        };
        (beyond - left.min(right).ln()).min(RARITY_MAX)
    }

    /// How rare it is to be so high: as [`Self::rarity`], of the right tail alone. What at least half of training is, is not rare.
    #[must_use]
    pub fn rarity_above(&self, x: f64) -> f64 {
        // Most columns are nothing most of the time: no search then.
        if x as f32 <= self.middle() {
            return 0.0;
        }
        let below = self.count_while(|rung| rung < x as f32);
        let right = ((QUANTILES - below) as f64 / QUANTILES as f64).max(self.least);
        let highest = f64::from(self.rungs[QUANTILES - 1]);
        let beyond = if x > highest { (x - highest) / self.ends.1 } else { 0.0 };
        (beyond - right.ln()).min(RARITY_MAX)
    }

    /// The shares of training at or below, and at or above, a value; never less than one row more would be.
    #[must_use]
    pub fn tails(&self, x: f64) -> (f64, f64) {
        let x = x as f32;
        let below = self.count_while(|rung| rung < x);
        // Few values are equal to a rung.
        let is_rung = self.rungs.get(below).is_some_and(|&rung| rung <= x);
        let not_above = if is_rung { below + self.rungs[below..].partition_point(|&rung| rung <= x) } else { below };
        let share = |rungs: usize| (rungs as f64 / QUANTILES as f64).max(self.least);
        (share(not_above), share(QUANTILES - below))
    }

    /// Whether a value lies in the upper half.
    #[must_use]
    pub fn is_above(&self, x: f64) -> bool {
        // Only beside equal ones it takes a search to say so.
        match (x as f32).partial_cmp(&self.middle()) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Less) => false,
            _ => {
                let (left, right) = self.tails(x);
                right <= left
            }
        }
    }

    fn middle(&self) -> f32 {
        self.marks.as_ref().map_or_else(|| self.rungs[QUANTILES / 2], |marks| marks[QUANTILES / 2 / STRIDE])
    }

    /// How many rungs there are, from the least, of which that is true; it is true of none after the first of which it is not.
    fn count_while(&self, is_so: impl Fn(f32) -> bool) -> usize {
        let Some(marks) = &self.marks else { return self.rungs.partition_point(|&rung| is_so(rung)) };
        let Some(last) = marks.partition_point(|&mark| is_so(mark)).checked_sub(1) else { return 0 };
        let from = last * STRIDE;
        from + self.rungs[from..QUANTILES.min(from + STRIDE)].partition_point(|&rung| is_so(rung))
    }

    /// The share of training below a value, between the rungs in proportion: 0 to 1.
    #[must_use]
    pub fn place(&self, x: f64) -> f64 {
        let steps = (QUANTILES - 1) as f64;
        let above = self.count_while(|rung| f64::from(rung) <= x);
        match above {
            0 => 0.0,
            QUANTILES => 1.0,
            _ => {
                let (low, high) = (f64::from(self.rungs[above - 1]), f64::from(self.rungs[above]));
                ((above - 1) as f64 + (x - low) / (high - low)) / steps
            }
        }
    }

    /// The value below which a share of training lies.
    #[must_use]
    pub fn value(&self, share: f64) -> f64 {
        f64::from(self.rungs[(share.clamp(0.0, 1.0) * (QUANTILES - 1) as f64).round() as usize])
    }

    /// Whether it has all its rungs, in order: what was decoded from bytes is checked before it is asked.
    pub(super) fn is_sound(&self) -> bool {
        self.rungs.len() == QUANTILES && self.rungs.is_sorted() && self.least > 0.0 && self.ends.0 > 0.0 && self.ends.1 > 0.0
    }
}

/// A ladder for each column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tails {
    ladders: Vec<Ladder>,
}

impl Tails {
    /// Fits on prepared rows.
    pub fn fit(rows: &Rows) -> Result<Self, ModelError> {
        Ok(Self { ladders: (0..rows.columns()).map(|column| Ladder::fit(without_islands(rows.column(column)))).collect::<Result<_, _>>()? })
    }

    /// The sum over the columns of how rare each value is.
    #[must_use]
    pub fn score(&self, row: &[f64]) -> f64 {
        self.ladders.iter().zip(row).map(|(ladder, &x)| ladder.rarity(x)).sum()
    }

    /// The score, and each column's term of it.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        for ((part, ladder), &x) in parts.iter_mut().zip(&self.ladders).zip(row) {
            *part = ladder.rarity(x);
        }
        parts[..self.ladders.len()].iter().sum()
    }

    /// Whether a value lies in the upper half of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        self.ladders[column].is_above(x)
    }

    /// Once after it was read from bytes.
    pub(super) fn settle(&mut self) {
        self.ladders.iter_mut().for_each(Ladder::settle);
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        self.ladders.len() == columns && self.ladders.iter().all(Ladder::is_sound)
    }
}

/// The values without those that stand apart to the right or to the left of the others.
fn without_islands(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    for _ in 0..2 {
        values.truncate(mainland(&values));
        // The other side, and the second time back again.
        values.reverse();
        values.iter_mut().for_each(|x| *x = -*x);
    }
    values
}

/// How many sorted values, from the least, are left without those that stand apart to the right. Fewer than what an end is measured on may stand wherever they do.
fn mainland(sorted: &[f64]) -> usize {
    let count = sorted.len();
    let (middle, far) = (quantile::of_sorted(sorted, 0.5), quantile::of_sorted(sorted, MAIN));
    let scale = (far - middle) / (0.5 / (1.0 - MAIN)).ln();
    if scale.is_nan() || scale <= 1e-9 * (1.0 + middle.abs()) {
        return count;
    }
    let least = (END * count as f64).max(ISLAND_MIN);
    let mut beyond = 0;
    for (place, shore) in sorted.iter().enumerate().skip((MAIN * (count - 1) as f64) as usize) {
        let across = (APART * scale).max(shore - middle);
        while beyond < count && sorted[beyond] <= shore + across {
            beyond += 1;
        }
        let (between, island) = (beyond.saturating_sub(place + 1), count - beyond);
        if (island as f64) < least {
            return count;
        }
        if BETWEEN * between <= island {
            return place + 1;
        }
    }
    count
}

/// The mean excess of sorted values over their 99.9%. Never less than an exponential tail from the median to there would have, so that a few equal values at
/// the end are no cliff, and never quite zero.
fn end(sorted: &[f64]) -> f64 {
    let (middle, from) = (quantile::of_sorted(sorted, 0.5), quantile::of_sorted(sorted, 1.0 - END));
    let beyond = &sorted[sorted.partition_point(|&x| x <= from)..];
    let excess = beyond.iter().map(|x| x - from).sum::<f64>() / beyond.len().max(1) as f64;
    let least = 1e-6 * (1.0 + middle.abs());
    let end = excess.max((from - middle) / (0.5 / END).ln()).max(least);
    if end.is_finite() { end } else { f64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_an_even_column() {
        let ladder = Ladder::fit((0..=4096).map(f64::from)).unwrap();
        let steps = QUANTILES as f64;
        assert_eq!(ladder.tails(0.0), (1.0 / steps, 1.0));
        assert_eq!(ladder.tails(2048.0), (2049.0 / steps, 2049.0 / steps));
        assert_eq!(ladder.tails(9e9).1, 1.0 / 4098.0, "beyond all: as rare as one row more");
        assert!((ladder.place(1024.5) - 1024.5 / 4096.0).abs() < 1e-9);
        assert_eq!((ladder.place(-1.0), ladder.place(1e12)), (0.0, 1.0));
        assert!((ladder.value(0.25) - 1024.0).abs() < 1e-9);
    }

    #[test]
    fn a_value_that_is_common_is_no_tail() {
        // Nine of ten are zero: zero is at or above everything, so neither tail is rare.
        let ladder = Ladder::fit((0..1000).map(|i| if i < 900 { 0.0 } else { f64::from(i) })).unwrap();
        let (left, right) = ladder.tails(0.0);
        assert!(left > 0.89 && (right - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_usual_value_is_as_rare_as_a_search_says_also_after_it_was_read_back() {
        let ladder = Ladder::fit((0..1000).map(|i| if i < 900 { 0.0 } else { f64::from(i) })).unwrap();
        let (left, right) = ladder.tails(0.0);
        assert_eq!(ladder.usual, Some((0.0, -left.min(right).ln())));
        let mut again: Ladder = postcard::from_bytes(&postcard::to_allocvec(&ladder).unwrap()).unwrap();
        assert!(again.usual.is_none() && again.rarity(0.0) == ladder.rarity(0.0) && again.rarity_above(950.0) == ladder.rarity_above(950.0));
        again.settle();
        assert_eq!(again, ladder);
    }

    /// Where a search begins is beside the point: it finds what counting finds, at every rung and between.
    #[test]
    fn a_search_from_a_mark_finds_what_counting_finds() {
        let columns: [Vec<f64>; 3] = [(0..=4096).map(f64::from).collect(), (0..1000).map(|i| f64::from(i / 300)).collect(), vec![7.0; 50]];
        for column in columns {
            let ladder = Ladder::fit(column).unwrap();
            let around = |rung: &f32| [f64::from(*rung) - 0.5, f64::from(*rung), f64::from(*rung) + 0.5];
            for x in ladder.rungs.iter().flat_map(around).chain([f64::NEG_INFINITY, f64::INFINITY, f64::NAN]) {
                let rungs = |is_so: &dyn Fn(f32) -> bool| ladder.rungs.iter().filter(|rung| is_so(**rung)).count();
                let (below, not_above) = (rungs(&|rung| rung < x as f32), rungs(&|rung| rung <= x as f32));
                assert_eq!([ladder.count_while(|rung| rung < x as f32), ladder.count_while(|rung| rung <= x as f32)], [below, not_above], "{x}");
                let (left, right) = ladder.tails(x);
                assert_eq!(ladder.is_above(x), right <= left, "{x}");
            }
        }
    }

    #[test]
    fn further_out_is_rarer_and_no_column_is_beyond_measure() {
        let ladder = Ladder::fit((0..100_000).map(|i| -(1.0 - (f64::from(i) + 0.5) / 100_000.0).ln())).unwrap();
        // Of an exponential column the end falls by e in one.
        assert!((ladder.ends.1 - 1.0).abs() < 0.1, "{:?}", ladder.ends);
        let rarities = [0.7, 5.0, 11.0, 14.0, 20.0, 40.0].map(|x| ladder.rarity(x));
        assert!(rarities.windows(2).all(|pair| pair[0] < pair[1]), "{rarities:?}");
        assert!((ladder.rarity(30.0) - ladder.rarity(20.0) - 10.0).abs() < 1.1);
        assert!((ladder.rarity(1e12) - RARITY_MAX).abs() < 1e-9);
        let constant = Ladder::fit([5.0; 50]).unwrap();
        assert!(constant.rarity(5.0) < 0.1 && constant.rarity(6.0) > 50.0 && constant.rarity(-1e12) <= RARITY_MAX);
    }

    /// What is sought in training is common there, and was taken for usual: the more of it training had, the less of it was found.
    #[test]
    fn what_stands_apart_in_training_is_no_tail_of_it() {
        use crate::fraud::chance::Chance;

        let column = |islanders: usize, at: f64| {
            let mut chance = Chance::new(8);
            let values = (0..20_000).map(|i| if i < islanders { at + 0.1 * chance.unit() } else { -chance.unit().max(1e-12).ln() });
            Tails::fit(&Rows::new(1, values.collect()).unwrap()).unwrap()
        };
        for (islanders, at) in [(100, 60.0), (1_000, 60.0), (100, -60.0), (1_000, -60.0)] {
            let tails = column(islanders, at);
            assert!(tails.score(&[at]) > tails.score(&[8.0]) + 20.0, "{islanders} at {at}: {}, {}", tails.score(&[at]), tails.score(&[8.0]));
        }
        // What hangs together with the others is one of them, and so is a value that stands alone.
        for (values, kept) in [
            ((0..5_000).map(|i| f64::from(i % 100)).collect::<Vec<_>>(), 5_000),
            ((1..5_000).map(|i| 5_000.0 / f64::from(i)).collect(), 4_999),
            ((0..500).map(|i| if i == 0 { 9e9 } else { f64::from(i) }).collect(), 500),
            ((0..500).map(|i| if i < 490 { 3.0 } else { f64::from(i) }).collect(), 500),
            (Vec::new(), 0),
        ] {
            assert_eq!(without_islands(values).len(), kept);
        }
    }

    #[test]
    fn the_terms_add_up_and_name_the_strange_column() {
        let rows = Rows::new(2, (0..5000).flat_map(|i| [f64::from(i), f64::from(i % 100)]).collect()).unwrap();
        let tails = Tails::fit(&rows).unwrap();
        let mut parts = [0.0; 2];
        let score = tails.explain(&[2500.0, 400.0], &mut parts);
        assert!((score - parts[0] - parts[1]).abs() < 1e-12 && (score - tails.score(&[2500.0, 400.0])).abs() < 1e-12);
        assert!(parts[1] > 5.0 * parts[0], "{parts:?}");
        assert!(tails.is_above(1, 400.0) && !tails.is_above(0, 3.0));
    }
}
