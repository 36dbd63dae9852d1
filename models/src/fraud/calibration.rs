//! From a score to a probability that means what it says: isotonic regression by pooling adjacent violators, on labelled rows that the model was not fitted on.
//! It never falls where the score rises, and keeps the sum: over the rows that it was fitted on, the probabilities add up to the positive rows.
//!
//! linfa-linear's isotonic regression was tried and is not used: it keeps only the right end of each pooled block and draws straight lines between them, so
//! every row inside a block gets less than the block's share and sums come out too low, which is the very thing that calibration is for.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::discrimination::outcomes;

/// A non-decreasing piecewise linear curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    scores: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Isotonic {
    /// Fits on finite scores and their labels; the order of the rows changes nothing.
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self, ModelError> {
        Self::fit_weighted(scores, labels, None)
    }

    /// As [`Self::fit`], of rows that stand for several each, as these weights say: what is drawn rarely is as frequent in the probabilities as it is outside.
    pub fn fit_weighted(scores: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Result<Self, ModelError> {
        if scores.len() != labels.len() || scores.is_empty() || scores.iter().any(|score| !score.is_finite()) {
            return Err(ModelError::BadShape { what: "finite scores with a label each" });
        }
        if weights.is_some_and(|weights| weights.len() != scores.len() || weights.iter().any(|weight| !weight.is_finite() || *weight <= 0.0)) {
            return Err(ModelError::BadShape { what: "a finite weight above zero for each score" });
        }
        let mut rows = outcomes(scores, labels, weights);
        rows.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mut blocks: Vec<Block> = Vec::new();
        for group in rows.chunk_by(|a, b| a.score == b.score) {
            let (mut positives, mut rows) = (0.0, 0.0);
            for row in group {
                positives += if row.positive { row.weight } else { 0.0 };
                rows += row.weight;
            }
            let mut block = Block { from: group[0].score, to: group[0].score, positives, rows };
            while let Some(last) = blocks.pop_if(|last| last.share() >= block.share()) {
                block = Block { from: last.from, to: block.to, positives: last.positives + block.positives, rows: last.rows + block.rows };
            }
            blocks.push(block);
        }
        let mut fitted = Self { scores: Vec::new(), probabilities: Vec::new() };
        for block in &blocks {
            fitted.scores.push(block.from);
            fitted.probabilities.push(block.share());
            if block.to > block.from {
                fitted.scores.push(block.to);
                fitted.probabilities.push(block.share());
            }
        }
        Ok(fitted)
    }

    /// The probability of a score; beyond the scores of training that of the nearest.
    #[must_use]
    pub fn probability(&self, score: f64) -> f64 {
        let above = self.scores.partition_point(|&knot| knot <= score);
        let Some(below) = above.checked_sub(1) else { return self.probabilities[0] };
        if above == self.scores.len() {
            return self.probabilities[below];
        }
        let part = (score - self.scores[below]) / (self.scores[above] - self.scores[below]);
        self.probabilities[below] + part * (self.probabilities[above] - self.probabilities[below])
    }

    pub(crate) fn is_sound(&self) -> bool {
        !self.scores.is_empty() && self.scores.len() == self.probabilities.len() && self.scores.is_sorted() && self.probabilities.is_sorted()
    }
}

/// Rows of neighbouring scores that share one probability.
struct Block {
    from: f64,
    to: f64,
    positives: f64,
    rows: f64,
}

impl Block {
    fn share(&self) -> f64 {
        self.positives / self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn violators_are_pooled() {
        let fitted = Isotonic::fit(&[0.1, 0.2, 0.3, 0.4, 0.5], &[false, true, false, true, true]).unwrap();
        for (score, p) in [(0.0, 0.0), (0.1, 0.0), (0.15, 0.25), (0.2, 0.5), (0.25, 0.5), (0.3, 0.5), (0.35, 0.75), (0.4, 1.0), (9.0, 1.0)] {
            assert!((fitted.probability(score) - p).abs() < 1e-9, "{score}: {} for {p}", fitted.probability(score));
        }
    }

    #[test]
    fn a_score_that_says_nothing_is_one_flat_line() {
        let fitted = Isotonic::fit(&[0.9, 0.8, 0.1, 0.2], &[false, false, true, false]).unwrap();
        assert!((fitted.probability(0.0) - 0.25).abs() < 1e-12 && (fitted.probability(1.0) - 0.25).abs() < 1e-12);
        assert!(Isotonic::fit(&[f64::NAN], &[true]).is_err());
        assert!(Isotonic::fit(&[], &[]).is_err());
    }

    #[test]
    fn rows_that_stand_for_several_count_as_often() {
        let (scores, labels) = ([0.1, 0.2, 0.2, 0.3, 0.3], [false, false, true, true, false]);
        let fitted = Isotonic::fit_weighted(&scores, &labels, Some(&[10.0, 10.0, 1.0, 1.0, 10.0])).unwrap();
        for (score, p) in [(0.1, 0.0), (0.2, 1.0 / 11.0), (0.3, 1.0 / 11.0)] {
            assert!((fitted.probability(score) - p).abs() < 1e-12, "{score}: {} for {p}", fitted.probability(score));
        }
        assert_eq!(Isotonic::fit_weighted(&scores, &labels, Some(&[1.0; 5])).unwrap(), Isotonic::fit(&scores, &labels).unwrap());
        for weights in [&[1.0; 4][..], &[1.0, 1.0, 0.0, 1.0, 1.0], &[1.0, 1.0, f64::NAN, 1.0, 1.0]] {
            assert!(Isotonic::fit_weighted(&scores, &labels, Some(weights)).is_err(), "{weights:?}");
        }
    }

    proptest! {
        #[test]
        fn never_falls_and_stays_a_probability(rows in proptest::collection::vec((0_u16..40, any::<bool>()), 1..120)) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 40.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let fitted = Isotonic::fit(&scores, &labels).unwrap();
            prop_assert!(fitted.is_sound());
            let curve: Vec<f64> = (-5..50).map(|step| fitted.probability(f64::from(step) / 40.0)).collect();
            prop_assert!(curve.is_sorted());
            prop_assert!(curve.iter().all(|p| (0.0..=1.0).contains(p)));
            let sum: f64 = scores.iter().map(|&score| fitted.probability(score)).sum();
            let positives = labels.iter().filter(|&&label| label).count() as f64;
            prop_assert!((sum - positives).abs() < 1e-6, "{} for {}", sum, positives);
        }
    }
}
