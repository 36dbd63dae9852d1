//! Logistic regression on standardised columns: linfa fits it, its weights are kept in the units of the data.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fraud::rows::Rows;

const ITERATIONS: u64 = 100;
/// The descent ends when the gradient of the summed loss is below this for each row: weights are then known to the third digit, which is more than the data says.
const GRADIENT_PER_ROW: f64 = 1e-5;

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
        let mut means = vec![0.0; columns];
        for row in rows.iter() {
            for (mean, x) in means.iter_mut().zip(row) {
                *mean += x / count;
            }
        }
        let mut scales = vec![0.0; columns];
        for row in rows.iter() {
            for ((scale, x), mean) in scales.iter_mut().zip(row).zip(&means) {
                *scale += (x - mean).powi(2) / count;
            }
        }
        // A constant column has weight 0 whatever it is divided by.
        scales.iter_mut().for_each(|scale| *scale = if *scale > 1e-18 { scale.sqrt() } else { f64::INFINITY });
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
        x >= self.means[column]
    }

    pub(crate) fn is_sound(&self, columns: usize) -> bool {
        self.means.len() == columns && self.weights.len() == columns
    }
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
    fn one_kind_alone_cannot_be_fitted() {
        let (rows, _) = planted(0.5);
        assert!(Logistic::fit(&rows, &vec![false; rows.len()], 1.0).is_err());
        assert!(Logistic::fit(&rows, &[true], 1.0).is_err());
    }
}
