//! Robust covariance: how far a row lies from the bulk of training, along directions in which the bulk itself does not vary.
//!
//! C-steps (Rousseeuw and Van Driessen, 1999) from a robust start: the bulk is the 90% of rows that lie nearest; mean and covariance of the bulk give new
//! distances, 15 times over. The score of a row is its squared Mahalanobis distance. Strong on many smooth columns; poor on few skewed ones. Where the bulk obeys
//! equations, how large it is decides everything: [`super::relations`] sees to that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::preparation::Suspects;
use super::rows::Rows;
use crate::feature_list::FEATURES_MAX;
use crate::logistic::solve;
use crate::{ModelError, quantile};

/// The share of rows that is the bulk. Half of them ruined it on real payments: their ordinary spread is wider than that.
const BULK: f64 = 0.9;
const STEPS: usize = 15;
/// This share of what a column varies is added to each variance, so that neither a constant column nor two that say the same, in cents, in bytes or in millions, can
/// make the covariance singular.
const RIDGE: f64 = 1e-6;
/// A standard deviation of this part of the mean is no more than what rounding makes.
const ROUNDING: f64 = 1e-9;
/// A median absolute deviation times this is the standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.4826;

/// Mean of the bulk and the Cholesky factor of its covariance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustCovariance {
    mean: Vec<f64>,
    /// Lower triangle, row after row: 1, 2, 3, ... values.
    factor: Vec<f64>,
}

impl RobustCovariance {
    /// Fits on prepared rows (all finite). The order of rows of equal distance is their order in the table.
    pub fn fit(rows: &Rows) -> Result<Self, ModelError> {
        if rows.len() <= rows.columns() || rows.columns() > FEATURES_MAX {
            return Err(ModelError::BadShape { what: "more rows than columns for a covariance, and at most 128 columns" });
        }
        let bulk = ((BULK * rows.len() as f64).ceil() as usize).clamp(rows.columns() + 1, rows.len());
        // One is little of a variance only where that is large: of a column in small units it would be all.
        let all = Spread::of(rows, &(0..rows.len()).collect::<Vec<_>>());
        let usual = |column: usize| if all.varies(column, &all) { all.variance(column).min(1.0) } else { 1.0 };
        let held = |spread: &Spread| (0..rows.columns()).map(|column| spread.variance(column).max(usual(column))).collect::<Vec<f64>>();
        Ok(Self::concentrate(rows, bulk, starting_distances(rows), held)?.0)
    }

    /// The C-steps with a bulk of so many rows, from these distances. `held` says of a bulk by what part of which variances it is held up. Answers with the last
    /// bulk beside its model.
    pub(super) fn concentrate(
        rows: &Rows,
        bulk: usize,
        mut distances: Vec<f64>,
        held: impl Fn(&Spread) -> Vec<f64>,
    ) -> Result<(Self, Spread), ModelError> {
        let mut fitted = None;
        for _ in 0..STEPS {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
            order.truncate(bulk);
            let spread = Spread::of(rows, &order);
            let next = Self::from_spread(&spread, &held(&spread))?;
            for (distance, row) in distances.iter_mut().zip(rows.iter()) {
                *distance = next.distance(row);
            }
            fitted = Some((next, spread));
        }
        fitted.ok_or(ModelError::Unfit { why: "no step was taken" })
    }

    /// The model of a bulk; [`RIDGE`] of each of these variances is added to its own.
    fn from_spread(spread: &Spread, held: &[f64]) -> Result<Self, ModelError> {
        let mut triangle = spread.covariance.clone();
        for (i, held) in held.iter().enumerate() {
            triangle[i * (i + 1) / 2 + i] += RIDGE * held;
        }
        Ok(Self { mean: spread.mean.clone(), factor: cholesky(triangle, held.len())? })
    }

    /// The squared Mahalanobis distance of a prepared row.
    #[must_use]
    pub fn distance(&self, row: &[f64]) -> f64 {
        let mut solved = [0.0; FEATURES_MAX];
        self.solve(row, &mut solved);
        solved[..self.mean.len()].iter().map(|y| y * y).sum()
    }

    /// The distance, and what each column adds to it: `(x-m)_j (S^-1 (x-m))_j`. The parts add up to the distance; a negative one says that the column makes the
    /// others less strange.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        let columns = self.mean.len();
        let mut solved = [0.0; FEATURES_MAX];
        self.solve(row, &mut solved);
        let distance = solved[..columns].iter().map(|y| y * y).sum();
        // Back substitution with the transposed factor turns L^-1 (x-m) into S^-1 (x-m).
        for i in (0..columns).rev() {
            let line = &self.factor[i * (i + 1) / 2..][..=i];
            solved[i] /= line[i];
            let yi = solved[i];
            for (y, l) in solved[..i].iter_mut().zip(line) {
                *y -= l * yi;
            }
        }
        for (j, part) in parts.iter_mut().enumerate().take(columns) {
            *part = (row[j] - self.mean[j]) * solved[j];
        }
        distance
    }

    /// The squared distance of a prepared row by what is there of it, and for each missing value what one adds on average: so it compares with that of others. By what is there
    /// alone, whoever has little to be judged by would be among the least strange, whatever that little says.
    #[must_use]
    pub fn distance_without(&self, row: &[f64], missing: Suspects) -> f64 {
        self.distance(&self.filled(row, missing)) + f64::from(missing.count())
    }

    /// The same distance, and what each column that is there adds to it.
    pub fn explain_without(&self, row: &[f64], missing: Suspects, parts: &mut [f64]) -> f64 {
        self.explain(&self.filled(row, missing), parts) + f64::from(missing.count())
    }

    /// A prepared row in which each missing value stands where the others would have it, so that the distance is that of what is there. Any other value, as the median, would
    /// break whatever its column is tied to.
    fn filled<'a>(&self, row: &'a [f64], missing: Suspects) -> Cow<'a, [f64]> {
        if missing.count() == 0 {
            return Cow::Borrowed(row);
        }
        let columns = self.mean.len();
        let places: Vec<usize> = missing.places().take_while(|&column| column < columns).collect();
        let mut solved = [0.0; FEATURES_MAX];
        self.forward(|i| if missing.contains(i) { 0.0 } else { row[i] - self.mean[i] }, &mut solved);
        let there = solved[..columns].to_vec();
        // What a step in each of them does to that. The least that is left is where it is at right angles to all of these.
        let steps: Vec<Vec<f64>> = places
            .iter()
            .map(|&column| {
                self.forward(|i| if i == column { 1.0 } else { 0.0 }, &mut solved);
                solved[..columns].to_vec()
            })
            .collect();
        let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        let products = steps.iter().enumerate().flat_map(|(i, step)| steps[..=i].iter().map(move |other| dot(step, other))).collect();
        let right: Vec<f64> = steps.iter().map(|step| -dot(step, &there)).collect();
        let lengths = cholesky(products, places.len()).map_or_else(|_| vec![0.0; places.len()], |factor| solve(&factor, &right));
        let mut filled = row.to_vec();
        for (column, length) in places.into_iter().zip(lengths) {
            filled[column] = self.mean[column] + length;
        }
        Cow::Owned(filled)
    }

    /// Whether a value lies above the mean of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        x > self.mean[column]
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        self.mean.len() == columns && self.factor.len() == columns * (columns + 1) / 2
    }

    /// L^-1 (x - m).
    fn solve(&self, row: &[f64], solved: &mut [f64; FEATURES_MAX]) {
        self.forward(|i| row[i] - self.mean[i], solved);
    }

    /// L^-1 d by forward substitution.
    fn forward(&self, d: impl Fn(usize) -> f64, solved: &mut [f64; FEATURES_MAX]) {
        let mut rest = self.factor.as_slice();
        for i in 0..self.mean.len() {
            let (line, after) = rest.split_at(i + 1);
            let (known, unknown) = solved.split_at_mut(i);
            let dot: f64 = line[..i].iter().zip(known.iter()).map(|(l, y)| l * y).sum();
            unknown[0] = (d(i) - dot) / line[i];
            rest = after;
        }
    }
}

/// Mean and covariance of some rows.
pub(super) struct Spread {
    pub(super) mean: Vec<f64>,
    /// Lower triangle, row after row.
    pub(super) covariance: Vec<f64>,
}

impl Spread {
    /// Of the rows of these numbers.
    pub(super) fn of(rows: &Rows, chosen: &[usize]) -> Self {
        let columns = rows.columns();
        let count = chosen.len() as f64;
        let mut mean = vec![0.0; columns];
        for &row in chosen {
            for (sum, x) in mean.iter_mut().zip(rows.row(row)) {
                *sum += x;
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut covariance = vec![0.0; columns * (columns + 1) / 2];
        let mut centred = vec![0.0; columns];
        for &row in chosen {
            for ((slot, x), m) in centred.iter_mut().zip(rows.row(row)).zip(&mean) {
                *slot = x - m;
            }
            let mut rest = covariance.as_mut_slice();
            for i in 0..columns {
                let (line, after) = rest.split_at_mut(i + 1);
                let xi = centred[i];
                for (sum, xj) in line.iter_mut().zip(&centred) {
                    *sum += xi * xj;
                }
                rest = after;
            }
        }
        covariance.iter_mut().for_each(|sum| *sum /= count - 1.0);
        Self { mean, covariance }
    }

    /// The variance of a column.
    pub(super) fn variance(&self, column: usize) -> f64 {
        self.covariance[column * (column + 1) / 2 + column]
    }

    /// Whether a column varies among these rows by more than the rounding of its mean, or of its spread among all rows.
    pub(super) fn varies(&self, column: usize, all: &Self) -> bool {
        self.variance(column).sqrt() > ROUNDING * self.mean[column].abs() + ROUNDING * ROUNDING * all.variance(column).sqrt()
    }

    /// The variances by which these rows are held up in whatever unit a column is measured: their own; of a column that does not vary among them that of all rows,
    /// and one of a column that never does.
    pub(super) fn relative(&self, all: &Self) -> Vec<f64> {
        let of = |column: usize| match (self.varies(column, all), all.varies(column, all)) {
            (true, _) => self.variance(column),
            (false, true) => all.variance(column),
            (false, false) => 1.0,
        };
        (0..self.mean.len()).map(of).collect()
    }
}

/// The sum of squared robust z-scores. A column of which more than half is one value has no deviation to measure by: its standard deviation stands in, and a
/// constant one says nothing.
pub(super) fn starting_distances(rows: &Rows) -> Vec<f64> {
    let mut distances = vec![0.0; rows.len()];
    for column in 0..rows.columns() {
        let values = rows.column(column);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let median = quantile::of_sorted(&sorted, 0.5);
        let mut deviations: Vec<f64> = values.iter().map(|x| (x - median).abs()).collect();
        deviations.sort_by(f64::total_cmp);
        let mut scale = MAD_TO_SD * quantile::of_sorted(&deviations, 0.5);
        if scale <= 0.0 {
            scale = (deviations.iter().map(|d| d * d).sum::<f64>() / deviations.len() as f64).sqrt();
        }
        if scale > 0.0 {
            for (distance, x) in distances.iter_mut().zip(&values) {
                *distance += ((x - median) / scale).powi(2);
            }
        }
    }
    distances
}

/// The lower factor of a positive definite matrix given and returned as its lower triangle.
pub(crate) fn cholesky(mut a: Vec<f64>, size: usize) -> Result<Vec<f64>, ModelError> {
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    for i in 0..size {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[at(i, k)] * a[at(j, k)]).sum();
            let rest = a[at(i, j)] - dot;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return Err(ModelError::Unfit { why: "a matrix is not positive definite" });
                }
                a[at(i, i)] = rest.sqrt();
            } else {
                a[at(i, j)] = rest / a[at(j, j)];
            }
        }
    }
    Ok(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;
    use crate::fraud::preparation::{Preparation, Treatment};

    #[test]
    fn a_known_factor_and_its_distance() {
        // S = [[4, 2], [2, 5]] has the factor [[2, 0], [1, 2]]; S^-1 = [[5, -2], [-2, 4]] / 16.
        let model = RobustCovariance { mean: vec![1.0, 1.0], factor: cholesky(vec![4.0, 2.0, 5.0], 2).unwrap() };
        assert_eq!(model.factor, [2.0, 1.0, 2.0]);
        let mut parts = [0.0; 2];
        let distance = model.explain(&[3.0, 0.0], &mut parts);
        // x - m = (2, -1): S^-1 (x-m) = (12, -8) / 16; the parts are 2 * .75 and -1 * -.5.
        assert!((distance - 2.0).abs() < 1e-12 && (model.distance(&[3.0, 0.0]) - distance).abs() < 1e-12);
        assert!((parts[0] - 1.5).abs() < 1e-12 && (parts[1] - 0.5).abs() < 1e-12, "{parts:?}");
    }

    #[test]
    fn of_what_is_missing_nothing_is_held_against_a_row() {
        // As above; a third column is tied to nothing.
        let factor = cholesky(vec![4.0, 2.0, 5.0, 0.0, 0.0, 9.0], 3).unwrap();
        let model = RobustCovariance { mean: vec![1.0, 1.0, 1.0], factor };
        let preparation = Preparation::fit(&Rows::new(3, vec![50.0; 3]).unwrap(), Treatment::default()).unwrap();
        let mut prepared = [0.0; 3];
        let mut filled = |row: [f64; 3]| {
            let missing = preparation.prepare(row.into_iter(), &mut prepared);
            model.filled(&prepared, missing).into_owned()
        };
        let (there, nan) = ([3.0, 0.0, 7.0], f64::NAN);
        assert_eq!(filled(there), there);
        // With the first known the second is expected at 1 + 2 * 2/4, and what is left is 2^2 / 4 + 6^2 / 9.
        let one = filled([3.0, nan, 7.0]);
        assert!((one[1] - 2.0).abs() < 1e-12 && (model.distance(&one) - 5.0).abs() < 1e-12, "{one:?}");
        let two = filled([nan, nan, 7.0]);
        assert!((two[0] - 1.0).abs() < 1e-12 && (two[1] - 1.0).abs() < 1e-12 && (model.distance(&two) - 4.0).abs() < 1e-12, "{two:?}");
        let mut parts = [0.0; 3];
        model.explain(&one, &mut parts);
        assert!(parts[1].abs() < 1e-12 && (parts[0] - 1.0).abs() < 1e-12, "{parts:?}");
        assert!(model.distance(&filled([nan; 3])).abs() < 1e-12);
        // Nor is it held in favour of one: each that is missing counts as one does on average.
        let missing = preparation.prepare([3.0, nan, nan].into_iter(), &mut prepared);
        assert!((model.distance_without(&prepared, missing) - 3.0).abs() < 1e-12 && missing.count() == 2);
        assert!((model.explain_without(&prepared, missing, &mut parts) - 3.0).abs() < 1e-12 && (parts[0] - 1.0).abs() < 1e-12, "{parts:?}");
    }

    #[test]
    fn columns_that_say_the_same_on_a_large_scale_are_fitted() {
        let mut chance = Chance::new(5);
        let values = (0..500).flat_map(|_| {
            [1.0, 100.0, 1e7 / 3.0].map(|scale| scale * 1e9).map({
                let x = chance.normal();
                move |scale| scale * x
            })
        });
        let model = RobustCovariance::fit(&Rows::new(3, values.collect()).unwrap()).unwrap();
        assert!(model.distance(&[1e9, 1e11, 1e16 / 3.0]).is_finite());
    }

    /// A millionth was added to each variance, which was all there was of a column of rates: whoever stood out in it alone was as usual as anyone.
    #[test]
    fn the_unit_of_a_column_does_not_decide_whether_it_counts() {
        let in_unit = |unit: f64| {
            let mut chance = Chance::new(9);
            let values = (0..2_000).flat_map(|_| {
                let x = chance.normal();
                [x, unit * (0.5 * x + chance.normal())]
            });
            RobustCovariance::fit(&Rows::new(2, values.collect()).unwrap()).unwrap().distance(&[0.0, 8.0 * unit])
        };
        let plain = in_unit(1.0);
        assert!(plain > 50.0, "{plain}");
        for unit in [1e-9, 1e-5, 1e-3, 1e4] {
            let other = in_unit(unit);
            assert!((other / plain - 1.0).abs() < 1e-3, "in {unit}: {other} for {plain}");
        }
    }

    #[test]
    fn a_tenth_of_outliers_does_not_move_the_bulk() {
        let mut chance = Chance::new(3);
        let mut values = Vec::new();
        for i in 0..2_000 {
            let x = chance.normal();
            let shift = if i % 11 == 0 { 50.0 } else { 0.0 };
            values.extend([x + shift, 0.9 * x + 0.3 * chance.normal() - shift]);
        }
        let model = RobustCovariance::fit(&Rows::new(2, values).unwrap()).unwrap();
        assert!(model.mean.iter().all(|m| m.abs() < 0.1), "{:?}", model.mean);
        let (along, across) = (model.distance(&[2.0, 1.8]), model.distance(&[2.0, -1.8]));
        assert!(across > 5.0 * along, "what breaks the correlation is stranger: {across} against {along}");
    }

    #[test]
    fn a_constant_column_and_too_few_rows() {
        let rows = Rows::new(2, (0..50).flat_map(|i| [f64::from(i), 7.0]).collect()).unwrap();
        let model = RobustCovariance::fit(&rows).unwrap();
        assert!(model.distance(&[25.0, 8.0]) > 1e5, "what never varied has varied");
        assert!(RobustCovariance::fit(&rows.slice(0, 2)).is_err());
    }
}
