//! Logistic regression with a penalty on the weights of standardised columns; weights are kept in the units of the data.
//!
//! Two ways to the same minimum: linfa's descent ([`Logistic::fit`]) for a few dense columns, and Newton's method on what is not zero
//! ([`Logistic::fit_sparse`]) for many columns of which a row fills few: one-hot words.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fraud::covariance::cholesky;
use crate::fraud::rows::Rows;

const ITERATIONS: u64 = 100;
/// The descent ends when the gradient of the summed loss is below this for each row: weights are then known to the third digit, which is more than the data says.
const GRADIENT_PER_ROW: f64 = 1e-5;
/// A standard deviation of no more than this part of the mean is none: of equal numbers it is what the rounding of their mean leaves.
const ROUNDING: f64 = 1e-9;
/// As if no mean were smaller than this.
const MEAN_LEAST: f64 = 1e-3;
/// The penalty that holds a constant column at zero.
const HELD: f64 = 1e12;
const NEWTON_STEPS: usize = 30;
/// Newton's method ends when a step promises less than this of the summed loss.
const NEWTON_GAIN: f64 = 1e-6;

/// A fitted regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    means: Vec<f64>,
    /// Weights of the columns as they come, not standardised.
    weights: Vec<f64>,
    /// The log odds of a row at the mean of every column.
    base: f64,
}

impl Logistic {
    /// Fits on prepared rows with labels of both kinds. `penalty` is the weight of the squared norm of the standardised weights against the summed log loss.
    pub fn fit(rows: &Rows, labels: &[bool], penalty: f64) -> Result<Self, ModelError> {
        if rows.len() != labels.len() {
            return Err(ModelError::BadShape { what: "a label for each row" });
        }
        let count = rows.len() as f64;
        let columns = rows.columns();
        let (means, mut scales) = spread(rows);
        // A constant column has weight 0 whatever it is divided by.
        scales.iter_mut().for_each(|scale| *scale = if *scale > 0.0 { *scale } else { f64::INFINITY });
        let standardised = Array2::from_shape_fn((rows.len(), columns), |(row, column)| (rows.row(row)[column] - means[column]) / scales[column]);
        let data = Dataset::new(standardised, Array1::from_iter(labels.iter().copied()));
        let fitted = LogisticRegression::default()
            .alpha(penalty)
            .max_iterations(ITERATIONS)
            .gradient_tolerance(GRADIENT_PER_ROW * count)
            .fit(&data)
            .map_err(|_| ModelError::Unfit { why: "the logistic regression found no solution (are there labels of both kinds?)" })?;
        // linfa calls the larger class positive.
        let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
        let weights = fitted.params().iter().zip(&scales).map(|(weight, scale)| sign * weight / scale).collect();
        Ok(Self { means, weights, base: sign * fitted.intercept() })
    }

    /// Fits as [`Self::fit`] does, for rows that are mostly zeros.
    pub fn fit_sparse(rows: &Rows, labels: &[bool], penalty: f64) -> Result<Self, ModelError> {
        if rows.len() != labels.len() || labels.iter().all(|&label| label) || !labels.contains(&true) {
            return Err(ModelError::BadShape { what: "a label for each row, of both kinds" });
        }
        let columns = rows.columns();
        let (means, scales) = spread(rows);
        // The last weight is the intercept, which no penalty holds. A constant column is held so hard that it stays where it is, at zero.
        let penalties: Vec<f64> = scales.iter().map(|scale| if *scale > 0.0 { penalty * scale * scale } else { HELD }).chain([0.0]).collect();
        let filled: Vec<Vec<(usize, f64)>> =
            rows.iter().map(|row| row.iter().copied().enumerate().filter(|(_, x)| *x != 0.0).chain([(columns, 1.0)]).collect()).collect();
        let loss = |weights: &[f64]| {
            let held: f64 = penalties.iter().zip(weights).map(|(penalty, w)| 0.5 * penalty * w * w).sum();
            let of = |(row, &label): (&Vec<(usize, f64)>, &bool)| {
                let odds = dot(row, weights);
                let against = if label { -odds } else { odds };
                // log(1 + e^x) without an overflow.
                against.max(0.0) + (-against.abs()).exp().ln_1p()
            };
            held + filled.iter().zip(labels).map(of).sum::<f64>()
        };
        let mut weights = vec![0.0; columns + 1];
        let mut now = loss(&weights);
        for _ in 0..NEWTON_STEPS {
            let mut slope: Vec<f64> = penalties.iter().zip(&weights).map(|(penalty, w)| penalty * w).collect();
            let mut curve = vec![0.0; (columns + 1) * (columns + 2) / 2];
            for (row, &label) in filled.iter().zip(labels) {
                let p = probability(dot(row, &weights));
                let error = p - f64::from(u8::from(label));
                for (place, &(i, x)) in row.iter().enumerate() {
                    slope[i] += error * x;
                    let bent = p * (1.0 - p) * x;
                    for &(j, other) in &row[..=place] {
                        curve[i * (i + 1) / 2 + j] += bent * other;
                    }
                }
            }
            for (i, penalty) in penalties.iter().enumerate() {
                curve[i * (i + 1) / 2 + i] += penalty + 1e-9;
            }
            let step = solve(&cholesky(curve, columns + 1)?, &slope);
            let gain: f64 = step.iter().zip(&slope).map(|(step, slope)| step * slope).sum();
            if gain < NEWTON_GAIN {
                break;
            }
            // Half a step, and half of that, until the loss falls: far from the minimum Newton's method may jump over it.
            let tried = (0..20).map(|halving| 0.5_f64.powi(halving)).find_map(|part| {
                let next: Vec<f64> = weights.iter().zip(&step).map(|(w, step)| w - part * step).collect();
                let then = loss(&next);
                (then < now).then_some((next, then))
            });
            let Some((next, then)) = tried else { break };
            (weights, now) = (next, then);
        }
        let intercept = weights.pop().unwrap_or_default();
        let base = intercept + weights.iter().zip(&means).map(|(w, mean)| w * mean).sum::<f64>();
        Ok(Self { means, weights, base })
    }

    /// The log odds of a prepared row.
    #[must_use]
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        self.base + self.weights.iter().zip(row).zip(&self.means).map(|((w, x), m)| w * (x - m)).sum::<f64>()
    }

    /// The log odds, and what each column adds to those of the mean row: `w_j (x_j - mean_j)`.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        for (((part, w), x), m) in parts.iter_mut().zip(&self.weights).zip(row).zip(&self.means) {
            *part = w * (x - m);
        }
        self.base + parts[..self.weights.len()].iter().sum::<f64>()
    }

    /// Whether a value lies above the mean of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        x > self.means[column]
    }

    pub(crate) fn is_sound(&self, columns: usize) -> bool {
        self.means.len() == columns && self.weights.len() == columns
    }
}

/// The mean and the standard deviation of each column; that of a constant column is 0.
fn spread(rows: &Rows) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() as f64;
    let mut means = vec![0.0; rows.columns()];
    for row in rows.iter() {
        for (mean, x) in means.iter_mut().zip(row) {
            *mean += x / count;
        }
    }
    let mut scales = vec![0.0; rows.columns()];
    for row in rows.iter() {
        for ((scale, x), mean) in scales.iter_mut().zip(row).zip(&means) {
            *scale += (x - mean).powi(2) / count;
        }
    }
    for (scale, mean) in scales.iter_mut().zip(&means) {
        let deviation = scale.sqrt();
        *scale = if deviation > ROUNDING * mean.abs().max(MEAN_LEAST) { deviation } else { 0.0 };
    }
    (means, scales)
}

fn dot(row: &[(usize, f64)], weights: &[f64]) -> f64 {
    row.iter().map(|&(column, x)| x * weights[column]).sum()
}

/// The solution of a system of which the lower triangle of the Cholesky factor is given.
pub(crate) fn solve(factor: &[f64], right: &[f64]) -> Vec<f64> {
    let line = |i: usize| &factor[i * (i + 1) / 2..][..=i];
    let mut solved = right.to_vec();
    for i in 0..right.len() {
        let known: f64 = line(i)[..i].iter().zip(&solved).map(|(l, y)| l * y).sum();
        solved[i] = (solved[i] - known) / line(i)[i];
    }
    for i in (0..right.len()).rev() {
        solved[i] /= line(i)[i];
        let here = solved[i];
        for (y, l) in solved[..i].iter_mut().zip(line(i)) {
            *y -= l * here;
        }
    }
    solved
}

/// The probability of these log odds.
#[must_use]
pub fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The log odds of a probability, kept away from 0 and 1 by a millionth of a millionth.
#[must_use]
pub fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(1e-12, 1.0 - 1e-12);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    fn planted(share: f64) -> (Rows, Vec<bool>) {
        let mut chance = Chance::new(11);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..4_000 {
            let (x, y) = (chance.normal(), 100.0 + 10.0 * chance.normal());
            labels.push(chance.unit() < probability(log_odds(share) + 1.5 * x - 0.05 * (y - 100.0)));
            values.extend([x, y, 3.0]);
        }
        (Rows::new(3, values).unwrap(), labels)
    }

    #[test]
    fn weights_are_found_whichever_kind_is_rarer() {
        for share in [0.1, 0.9] {
            let (rows, labels) = planted(share);
            let fitted = Logistic::fit(&rows, &labels, 1.0).unwrap();
            assert!((fitted.weights[0] - 1.5).abs() < 0.2, "{share}: {:?}", fitted.weights);
            assert!((fitted.weights[1] + 0.05).abs() < 0.02 && fitted.weights[2].abs() < 1e-9, "{share}: {:?}", fitted.weights);
            let mut parts = [0.0; 3];
            let odds = fitted.explain(&[3.0, 100.0, 3.0], &mut parts);
            assert!((odds - fitted.log_odds(&[3.0, 100.0, 3.0])).abs() < 1e-12);
            assert!(parts[0] > 3.0 && parts[1].abs() < 0.1 && fitted.is_above(0, 3.0));
        }
    }

    #[test]
    fn both_ways_lead_to_the_same_weights() {
        for share in [0.02, 0.5, 0.9] {
            let (rows, labels) = planted(share);
            let (descent, newton) = (Logistic::fit(&rows, &labels, 3.0).unwrap(), Logistic::fit_sparse(&rows, &labels, 3.0).unwrap());
            for row in rows.iter().take(50) {
                assert!((descent.log_odds(row) - newton.log_odds(row)).abs() < 0.02, "{} {}", descent.log_odds(row), newton.log_odds(row));
            }
            assert!(newton.weights[2].abs() < 1e-6, "a constant column says nothing");
        }
    }

    /// The mean of so many equal dates is off by a millionth of a day: that was taken for their deviation, and the next day was thousands of it away.
    #[test]
    fn a_column_that_never_changed_says_nothing_when_it_does() {
        let (rows, labels) = planted(0.1);
        let dated = |date: f64| Rows::new(3, rows.iter().flat_map(|row| [row[0], row[1], date]).collect()).unwrap();
        let fitted = Logistic::fit(&dated(20_130_901.0), &labels, 1.0).unwrap();
        let (that_day, the_next) = (fitted.log_odds(&[1.0, 100.0, 20_130_901.0]), fitted.log_odds(&[1.0, 100.0, 20_130_902.0]));
        assert!((that_day - the_next).abs() < 1e-6, "{that_day} {the_next}");
    }

    #[test]
    fn words_that_tell_all_keep_finite_weights() {
        let rows = Rows::new(2, (0..200).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect()).unwrap();
        let labels: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        let fitted = Logistic::fit_sparse(&rows, &labels, 1.0).unwrap();
        let (yes, no) = (probability(fitted.log_odds(&[1.0, 0.0])), probability(fitted.log_odds(&[0.0, 1.0])));
        assert!(yes > 0.95 && no < 0.05 && fitted.weights.iter().all(|w| w.abs() < 50.0), "{yes} {no} {fitted:?}");
    }

    #[test]
    fn one_kind_alone_cannot_be_fitted() {
        let (rows, _) = planted(0.5);
        assert!(Logistic::fit(&rows, &vec![false; rows.len()], 1.0).is_err());
        assert!(Logistic::fit(&rows, &[true], 1.0).is_err());
        assert!(Logistic::fit_sparse(&rows, &vec![true; rows.len()], 1.0).is_err());
    }
}
