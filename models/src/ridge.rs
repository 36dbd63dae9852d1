//! Weighted ridge regression: least squares with a penalty on large weights, solved by Cholesky. Columns are centred and scaled to one standard deviation first,
//! so that the penalty treats all alike; the intercept is free of it.

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A fitted regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ridge {
    intercept: f64,
    weights: Vec<f64>,
}

impl Ridge {
    /// Fits rows of `columns` values each to their targets; rows of higher weight count more. `penalty` is in rows: it weighs like so many of them.
    pub fn fit(rows: &[f64], columns: usize, targets: &[f64], row_weights: &[f64], penalty: f64) -> Result<Self, ModelError> {
        if columns == 0 || targets.is_empty() || rows.len() != columns * targets.len() || row_weights.len() != targets.len() {
            return Err(ModelError::BadInput { problem: format!("{} values are not {} rows of {columns} columns", rows.len(), targets.len()) });
        }
        if !rows.iter().chain(targets).chain(row_weights).all(|value| value.is_finite()) {
            return Err(ModelError::BadInput { problem: "a value that is no number cannot be learned from".to_owned() });
        }
        let total: f64 = row_weights.iter().sum();
        if total <= 0.0 || row_weights.iter().any(|weight| *weight < 0.0) {
            return Err(ModelError::BadInput { problem: "weights must not be negative, and one must be above zero".to_owned() });
        }
        // Weights are scaled to a mean of one, so that the penalty means the same for all.
        let shares: Vec<f64> = row_weights.iter().map(|weight| weight * targets.len() as f64 / total).collect();
        let count = targets.len() as f64;
        let mean_of = |value: &dyn Fn(usize) -> f64| shares.iter().enumerate().map(|(row, share)| share * value(row)).sum::<f64>() / count;
        let means: Vec<f64> = (0..columns).map(|column| mean_of(&|row| rows[row * columns + column])).collect();
        let scales: Vec<f64> = (0..columns)
            .map(|column| {
                let sd = mean_of(&|row| (rows[row * columns + column] - means[column]).powi(2)).sqrt();
                // A column that never changes tells nothing: it stays at its mean and gets no weight.
                if sd > 1e-9 * means[column].abs().max(1e-3) { sd } else { f64::INFINITY }
            })
            .collect();
        let target_mean = mean_of(&|row| targets[row]);
        let mut normal = vec![0.0; columns * columns];
        let mut right = vec![0.0; columns];
        let mut scaled = vec![0.0; columns];
        for (row, share) in shares.iter().enumerate() {
            let values = rows[row * columns..].iter().zip(means.iter().zip(&scales));
            scaled.iter_mut().zip(values).for_each(|(scaled, (value, (mean, scale)))| *scaled = (value - mean) / scale);
            for (a, value) in scaled.iter().enumerate() {
                right[a] += share * value * (targets[row] - target_mean);
                let line = &mut normal[a * columns..=a * columns + a];
                line.iter_mut().zip(&scaled).for_each(|(sum, other)| *sum += share * value * other);
            }
        }
        (0..columns).for_each(|column| normal[column * columns + column] += penalty.max(1e-9));
        let solved = solve(&mut normal, &right)?;
        let weights: Vec<f64> = solved.iter().zip(&scales).map(|(weight, scale)| weight / scale).collect();
        let intercept = target_mean - weights.iter().zip(&means).map(|(weight, mean)| weight * mean).sum::<f64>();
        Ok(Self { intercept, weights })
    }

    /// The answer to a row.
    #[must_use]
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.intercept + self.weights.iter().zip(row).map(|(weight, value)| weight * value).sum::<f64>()
    }
}

/// Solves a symmetric positive definite system by Cholesky; only the lower half of the matrix is read, and it is overwritten.
pub fn solve(matrix: &mut [f64], right: &[f64]) -> Result<Vec<f64>, ModelError> {
    let n = right.len();
    for a in 0..n {
        for b in 0..=a {
            let sum: f64 = (0..b).map(|c| matrix[a * n + c] * matrix[b * n + c]).sum();
            let rest = matrix[a * n + b] - sum;
            if a == b {
                if rest.is_nan() || rest <= 0.0 {
                    return Err(ModelError::BadInput { problem: "the equations have no single solution".to_owned() });
                }
                matrix[a * n + a] = rest.sqrt();
            } else {
                matrix[a * n + b] = rest / matrix[b * n + b];
            }
        }
    }
    let mut solution = right.to_vec();
    for a in 0..n {
        let sum: f64 = (0..a).map(|c| matrix[a * n + c] * solution[c]).sum();
        solution[a] = (solution[a] - sum) / matrix[a * n + a];
    }
    for a in (0..n).rev() {
        let sum: f64 = (a + 1..n).map(|c| matrix[c * n + a] * solution[c]).sum();
        solution[a] = (solution[a] - sum) / matrix[a * n + a];
    }
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_a_penalty_flattens_it() {
        let rows: Vec<f64> = (0..20).flat_map(|x| [f64::from(x), 7.0]).collect();
        let targets: Vec<f64> = (0..20).map(|x| 3.0 + 2.0 * f64::from(x)).collect();
        let weights = vec![1.0; 20];
        let line = Ridge::fit(&rows, 2, &targets, &weights, 0.0).expect("a line");
        assert!((line.predict(&[100.0, 7.0]) - 203.0).abs() < 1e-5);
        // With a penalty of as many rows as there are, the slope is halved around the mean.
        let flat = Ridge::fit(&rows, 2, &targets, &weights, 20.0).expect("a line");
        assert!((flat.predict(&[9.5, 7.0]) - 22.0).abs() < 1e-9 && (flat.predict(&[10.5, 7.0]) - 23.0).abs() < 1e-9);
    }

    #[test]
    fn heavy_rows_pull_and_bad_input_is_refused() {
        let level = Ridge::fit(&[0.0, 0.0], 1, &[1.0, 4.0], &[2.0, 1.0], 1.0).expect("a mean");
        assert!((level.predict(&[0.0]) - 2.0).abs() < 1e-12);
        assert!(Ridge::fit(&[], 1, &[], &[], 1.0).is_err());
        assert!(Ridge::fit(&[f64::NAN], 1, &[1.0], &[1.0], 1.0).is_err());
        assert!(Ridge::fit(&[1.0], 1, &[1.0], &[0.0], 1.0).is_err());
        assert!(solve(&mut [1.0, 0.0, 2.0, 1.0], &[1.0, 1.0]).is_err());
    }
}
