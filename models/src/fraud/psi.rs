//! Drift: whether what is fed today still looks like training. Population stability index over ten bands of training, `sum (a - e) ln(a / e)`.

use serde::{Deserialize, Serialize};

use super::rows::quantile;
use crate::ModelError;

const BANDS: usize = 10;
/// A band that nothing falls into counts as this share: the logarithm stays finite.
const LEAST: f64 = 1e-4;
/// From here somebody should look.
const LOOK: f64 = 0.1;
/// From here the model should be fitted anew.
const RETRAIN: f64 = 0.25;

/// What an index asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Nothing.
    Stable,
    /// A look.
    Look,
    /// A new fit.
    Retrain,
}

impl Drift {
    /// What this index asks for.
    #[must_use]
    pub fn of(psi: f64) -> Self {
        if psi > RETRAIN {
            Self::Retrain
        } else if psi > LOOK {
            Self::Look
        } else {
            Self::Stable
        }
    }
}

/// The bands of training and how much of it fell into each: not a tenth where many values are equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    /// Inner borders, a value on a border belongs to the band above.
    borders: Vec<f64>,
    expected: Vec<f64>,
}

impl Bands {
    /// Deciles of the values of training; NaN are left out.
    pub fn fit(values: &[f64]) -> Result<Self, ModelError> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
        if sorted.is_empty() {
            return Err(ModelError::BadShape { what: "at least one value for bands" });
        }
        sorted.sort_by(f64::total_cmp);
        let mut borders: Vec<f64> = (1..BANDS).map(|band| quantile(&sorted, band as f64 / BANDS as f64)).collect();
        borders.dedup();
        let expected = shares(&count(&borders, &sorted));
        Ok(Self { borders, expected })
    }

    /// The index of later values: 0 for the same shares; nothing is said (0) of no values.
    #[must_use]
    pub fn psi(&self, values: &[f64]) -> f64 {
        let counts = count(&self.borders, values);
        if counts.iter().all(|&count| count == 0) {
            return 0.0;
        }
        shares(&counts).iter().zip(&self.expected).map(|(&a, &e)| (a.max(LEAST), e.max(LEAST))).map(|(a, e)| (a - e) * (a / e).ln()).sum()
    }
}

fn count(borders: &[f64], values: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; borders.len() + 1];
    for &x in values.iter().filter(|x| !x.is_nan()) {
        counts[borders.partition_point(|&border| border <= x)] += 1;
    }
    counts
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().map(|&count| count as f64 / total).collect()
}

/// The share of values that training never saw, for categories. `known` must be sorted.
#[must_use]
pub fn unseen_share(known: &[u64], values: &[u64]) -> f64 {
    let unseen = values.iter().filter(|value| known.binary_search(value).is_err()).count();
    if values.is_empty() { 0.0 } else { unseen as f64 / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_zero_and_a_shift_is_not() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let bands = Bands::fit(&values).unwrap();
        assert!(bands.psi(&values).abs() < 1e-12);
        let shifted: Vec<f64> = values.iter().map(|x| x + 400.0).collect();
        assert_eq!(Drift::of(bands.psi(&shifted)), Drift::Retrain);
        assert_eq!(Drift::of(bands.psi(&values)), Drift::Stable);
        assert!(bands.psi(&[]).abs() < 1e-12);
    }

    #[test]
    fn by_hand_for_two_bands() {
        // Nine of ten are 0 and one is 1: every decile but the last is 0, so there is the border 0 and, at .9, one between.
        let bands = Bands { borders: vec![1.0], expected: vec![0.9, 0.1] };
        let psi = bands.psi(&[0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!((psi - (-0.1 * (0.8_f64 / 0.9).ln() + 0.1 * 2_f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn constant_columns_and_nan_are_no_trouble() {
        let bands = Bands::fit(&[5.0; 30]).unwrap();
        assert!(bands.psi(&[5.0, f64::NAN, 5.0]).abs() < 1e-12);
        assert!(bands.psi(&[f64::NEG_INFINITY, 4.0]) > RETRAIN);
        assert!(Bands::fit(&[f64::NAN]).is_err());
    }

    #[test]
    fn unseen_categories_are_counted() {
        assert!((unseen_share(&[1, 5, 9], &[1, 2, 9, 10]) - 0.5).abs() < 1e-12);
        assert!(unseen_share(&[1], &[]).abs() < 1e-12);
    }
}
