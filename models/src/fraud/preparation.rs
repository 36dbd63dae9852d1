//! From what is fed to what a model sees: missing and absurd values become the median of training and are flagged, then logarithm and clipping where a model
//! asks for them. It never fails: whatever bits come in, finite numbers go out, and what was replaced is said.

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use crate::feature_list::FEATURES_MAX;
use crate::{ModelError, quantile};

/// A value beyond this, either way, is no measurement of anything in a sale (10^12 euro, 30,000 years in seconds).
pub const ABSURD: f64 = 1e12;

/// What is done with a column before a model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Treatment {
    /// `sign(x) log(1+|x|)`: for raw counts, amounts and times.
    pub logarithm: bool,
    /// Clip at the 0.1% and 99.9% of training: for signals whose far tail is noise. Not for data whose tail is the signal.
    pub clip: bool,
}

/// What was learned of the columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    logarithm: bool,
    medians: Vec<f64>,
    lows: Vec<f64>,
    highs: Vec<f64>,
}

/// Which columns of a row were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspects(u128);

impl Suspects {
    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether this column was.
    #[must_use]
    pub const fn contains(self, column: usize) -> bool {
        column < FEATURES_MAX && (self.0 >> column) & 1 == 1
    }

    /// Their places, in order.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..FEATURES_MAX).filter(move |&column| self.contains(column))
    }

    /// The first of them.
    #[must_use]
    pub const fn first(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
    }
}

impl Preparation {
    /// Learns medians and limits; a column without one sound value has the median 0.
    pub fn fit(rows: &Rows, treatment: Treatment) -> Result<Self, ModelError> {
        if rows.is_empty() || rows.columns() > FEATURES_MAX {
            return Err(ModelError::BadShape { what: "at least one row, of at most 128 columns" });
        }
        let mut fitted = Self { logarithm: treatment.logarithm, medians: Vec::new(), lows: Vec::new(), highs: Vec::new() };
        for column in 0..rows.columns() {
            let mut sound: Vec<f64> = rows.iter().map(|row| row[column]).filter(|&x| is_sound(x)).map(|x| fitted.bend(x)).collect();
            sound.sort_by(f64::total_cmp);
            let median = quantile::of_sorted(&sound, 0.5);
            fitted.medians.push(if median.is_nan() { 0.0 } else { median });
            let clipped = treatment.clip && !sound.is_empty();
            fitted.lows.push(if clipped { quantile::of_sorted(&sound, 0.001) } else { f64::NEG_INFINITY });
            fitted.highs.push(if clipped { quantile::of_sorted(&sound, 0.999) } else { f64::INFINITY });
        }
        Ok(fitted)
    }

    /// How many columns a row must have.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.medians.len()
    }

    /// Prepares one row into `out`. A row that is too short is filled with medians and flagged; what is too much is left out.
    pub fn prepare(&self, row: impl Iterator<Item = f64>, out: &mut [f64]) -> Suspects {
        let mut suspects = Suspects::default();
        let fed = row.map(Some).chain(std::iter::repeat(None));
        for (column, (x, slot)) in fed.zip(out.iter_mut()).enumerate().take(self.medians.len()) {
            *slot = match x {
                Some(x) if is_sound(x) => self.bend(x).clamp(self.lows[column], self.highs[column]),
                _ => {
                    suspects.0 |= 1 << column;
                    self.medians[column]
                }
            };
        }
        suspects
    }

    /// Prepares a whole table.
    pub fn prepare_all(&self, rows: &Rows) -> Result<Rows, ModelError> {
        if rows.columns() != self.columns() {
            return Err(ModelError::OtherFeatures);
        }
        let mut values = vec![0.0; rows.values().len()];
        for (row, out) in rows.iter().zip(values.chunks_exact_mut(self.columns())) {
            self.prepare(row.iter().copied(), out);
        }
        Rows::new(rows.columns(), values)
    }

    pub(super) fn is_sound(&self) -> bool {
        let columns = self.columns();
        let ordered = self.lows.iter().zip(&self.highs).all(|(low, high)| low <= high);
        self.lows.len() == columns && self.highs.len() == columns && ordered && self.medians.iter().all(|median| median.is_finite())
    }

    fn bend(&self, x: f64) -> f64 {
        if self.logarithm { x.signum() * x.abs().ln_1p() } else { x }
    }
}

fn is_sound(x: f64) -> bool {
    x.abs() <= ABSURD
}

/// A column takes part in whether a row is whole if one of so many of its values is there: first of as many columns as can be, and where that leaves too few rows of those alone
/// of which most is there.
const THERE: [usize; 2] = [10, 2];

/// Rows that are left out are of another kind where of some column more than one in so many of their values, and a few beside, lie beyond nearly all of those of whole rows.
const BEYOND: usize = 20;
const BEYOND_FEW: usize = 5;

/// The rows of which nothing would be replaced, but for columns of which hardly anything is there: how columns hang together is learned of these, as what is replaced hangs together
/// with nothing. None where all rows are such, or too few are; nor where those that are left out are of another kind, as cash where only of cards something is known: whoever had
/// learned of one kind alone would find every row of the other one strange.
pub(super) fn whole(rows: &Rows) -> Option<Vec<usize>> {
    let (count, columns) = (rows.len(), rows.columns());
    let there: Vec<usize> = (0..columns).map(|column| rows.iter().filter(|row| is_sound(row[column])).count()).collect();
    THERE.into_iter().find_map(|part| {
        let is_whole = |row: &[f64]| row.iter().zip(&there).all(|(x, there)| part * there < count || is_sound(*x));
        let (whole, others): (Vec<usize>, Vec<usize>) = (0..count).partition(|&row| is_whole(rows.row(row)));
        let enough = whole.len() >= 2 * columns && (2 * whole.len() >= count || whole.len() >= 10 * columns);
        (enough && !others.is_empty() && are_of_a_kind(rows, &whole, &others)).then_some(whole)
    })
}

/// Whether other rows have about the values that whole ones have, column by column, as far as anything is there.
fn are_of_a_kind(rows: &Rows, whole: &[usize], others: &[usize]) -> bool {
    let sound_of = |chosen: &[usize], column: usize| -> Vec<f64> {
        let mut sound: Vec<f64> = chosen.iter().map(|&row| rows.row(row)[column]).filter(|&x| is_sound(x)).collect();
        sound.sort_by(f64::total_cmp);
        sound
    };
    (0..rows.columns()).all(|column| {
        let (usual, others) = (sound_of(whole, column), sound_of(others, column));
        let (low, high) = (quantile::of_sorted(&usual, 0.01), quantile::of_sorted(&usual, 0.99));
        // Where whole rows have nothing nothing lies within.
        let within = others.iter().filter(|x| (low..=high).contains(*x)).count();
        others.len() - within <= BEYOND_FEW + others.len() / BEYOND
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(treatment: Treatment) -> Preparation {
        Preparation::fit(&Rows::new(2, (0..2001).flat_map(|i| [f64::from(i), f64::from(i % 3)]).collect()).unwrap(), treatment).unwrap()
    }

    #[test]
    fn what_cannot_be_is_the_median_and_flagged() {
        let preparation = fitted(Treatment::default());
        for (fed, out, suspects) in [
            (vec![5.0, 1.0], [5.0, 1.0], 0),
            (vec![f64::NAN, 1.0], [1000.0, 1.0], 1),
            (vec![f64::INFINITY, f64::NEG_INFINITY], [1000.0, 1.0], 2),
            (vec![1e30, -1e13], [1000.0, 1.0], 2),
            (vec![7.0], [7.0, 1.0], 1),
            (vec![], [1000.0, 1.0], 2),
            (vec![1.0, 2.0, f64::NAN], [1.0, 2.0], 0),
        ] {
            let mut prepared = [0.0; 2];
            let flagged = preparation.prepare(fed.iter().copied(), &mut prepared);
            assert_eq!((prepared, flagged.count()), (out, suspects), "{fed:?}");
        }
    }

    #[test]
    fn logarithm_and_clipping_are_those_of_training() {
        let preparation = fitted(Treatment { logarithm: true, clip: true });
        let mut out = [0.0; 2];
        preparation.prepare([1e9, -5.0].into_iter(), &mut out);
        assert!((out[0] - 1998_f64.ln_1p()).abs() < 1e-3, "{}", out[0]);
        assert!(out[1].abs() < 1e-12, "below the least of training");
    }

    #[test]
    fn whole_rows_are_those_of_which_nothing_is_replaced() {
        // One in four rows lacks the first column, nine in ten lack the last.
        let table = |count: u32| {
            let value = |row: u32, column: u32| match column {
                0 if row % 4 == 1 => f64::NAN,
                2 if row % 10 != 3 => 1e13,
                _ => f64::from(row + column),
            };
            Rows::new(3, (0..count).flat_map(|row| (0..3).map(move |column| value(row, column))).collect()).unwrap()
        };
        assert_eq!(whole(&table(12)), Some(vec![0, 2, 3, 4, 6, 7, 8, 10, 11]));
        assert_eq!(whole(&table(5)), None, "too few to tell anything of");
        // What is there of one row in three counts as long as enough rows are left, and else what is there of most does.
        let thirds = |columns: u32| {
            let value = |row: u32, column: u32| if column < columns && row % 3 != column % 3 { f64::NAN } else { f64::from(row) };
            Rows::new(4, (0..240).flat_map(|row| (0..4).map(move |column| value(row, column))).collect()).unwrap()
        };
        assert_eq!(whole(&thirds(1)), Some((0..240).step_by(3).collect()));
        assert_eq!(whole(&thirds(3)), None, "none has all three, and of the fourth nothing is missing");
        assert_eq!(whole(&Rows::new(2, vec![1.0; 80]).unwrap()), None, "all are");
        // The first column is there or not by what the second says, or by lot.
        let kinds = |by_kind: bool| {
            let value = |row: u32| [if row % 4 == 1 { f64::NAN } else { f64::from(row) }, f64::from(u8::from(by_kind && row % 4 == 1))];
            Rows::new(2, (0..80).flat_map(value).collect()).unwrap()
        };
        assert_eq!(whole(&kinds(false)).map(|whole| whole.len()), Some(60));
        assert_eq!(whole(&kinds(true)), None, "of the other kind nothing would be known");
        let suspects = fitted(Treatment::default()).prepare([f64::NAN].into_iter(), &mut [0.0; 2]);
        assert_eq!(suspects.places().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_column_of_nothing_is_zero() {
        let preparation = Preparation::fit(&Rows::new(1, vec![f64::NAN; 3]).unwrap(), Treatment { logarithm: false, clip: true }).unwrap();
        let mut out = [9.0];
        assert_eq!(preparation.prepare([f64::NAN].into_iter(), &mut out).count(), 1);
        assert!(out[0].abs() < 1e-12);
    }
}
