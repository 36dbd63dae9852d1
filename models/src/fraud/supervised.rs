//! Scores learned from labels: a logistic regression, a probability forest and boosted trees, whose log odds are averaged. Where frauds are few no one of the
//! three is reliably best and their errors differ, so the mean is steadier than any choice between them made on a few dozen frauds.

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::trees::{self, ProbabilityForest};
use crate::ModelError;
use crate::boost::{self, Loss, Table};
use crate::ensemble::Ensemble;
use crate::feature_list::FEATURES_MAX;
use crate::logistic::{Logistic, log_odds};

/// The penalty of the logistic regression: one, as for a prior of standard deviation one on each standardised weight.
const PENALTY: f64 = 1.0;

/// Boosting learns slowly with small trees that see half of the columns, and a leaf needs second derivatives that add up to 5: with 1 a handful of frauds fills
/// leaves of their own.
fn recipe(seed: u64) -> boost::Recipe {
    boost::Recipe { rounds: 200, eta: 0.05, max_leaves: 16, min_child_weight: 5.0, column_share: 0.5, seed, ..boost::Recipe::new(Loss::Log) }
}

/// A share of trees says no more than so much either way: none of 100 trees is not never.
const FOREST_LEAST: f64 = 5e-4;

/// Which of the three are used, and how much each counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Of the logistic regression.
    pub logistic: f64,
    /// Of the forest.
    pub forest: f64,
    /// Of the boosted trees.
    pub boosted: f64,
}

impl Shares {
    /// The mean of all three: what acts.
    pub const BLEND: Self = Self { logistic: 1.0, forest: 1.0, boosted: 1.0 };
    /// The regression alone.
    pub const LOGISTIC: Self = Self { logistic: 1.0, forest: 0.0, boosted: 0.0 };
    /// The forest alone.
    pub const FOREST: Self = Self { logistic: 0.0, forest: 1.0, boosted: 0.0 };
    /// The boosted trees alone.
    pub const BOOSTED: Self = Self { logistic: 0.0, forest: 0.0, boosted: 1.0 };

    fn total(self) -> f64 {
        self.logistic + self.forest + self.boosted
    }
}

/// The three fitted models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Supervised {
    logistic: Logistic,
    forest: ProbabilityForest,
    boosted: Ensemble,
    shares: Shares,
}

impl Supervised {
    /// Fits all three on prepared rows with labels of both kinds.
    pub fn fit(rows: &Rows, labels: &[bool], seed: u64) -> Result<Self, ModelError> {
        let logistic = Logistic::fit(rows, labels, PENALTY)?;
        let forest = ProbabilityForest::fit(rows, labels, trees::Recipe { trees: 150, depth: 12, leaf_rows: 1, columns: None, seed })?;
        let table = Table {
            columns: (0..rows.columns()).map(|column| format!("f{column}")).collect(),
            values: rows.values().iter().map(|&x| x as f32).collect(),
            targets: labels.iter().map(|&label| f32::from(u8::from(label))).collect(),
            ..Table::default()
        };
        let boosted = Ensemble::new(boost::fit(&table.prepare()?, &recipe(seed), &mut |_| {})?)?;
        Ok(Self { logistic, forest, boosted, shares: Shares::BLEND })
    }

    /// The same models with other shares: how one of them would do alone.
    #[must_use]
    pub fn with_shares(&self, shares: Shares) -> Self {
        Self { shares, ..self.clone() }
    }

    /// How many columns a row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.boosted.columns()
    }

    /// The mean log odds.
    #[must_use]
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        let shares = self.shares;
        let mut sum = 0.0;
        if shares.logistic > 0.0 {
            sum += shares.logistic * self.logistic.log_odds(row);
        }
        if shares.forest > 0.0 {
            sum += shares.forest * forest_odds(self.forest.probability(row));
        }
        if shares.boosted > 0.0 {
            sum += shares.boosted * self.boosted_odds(row);
        }
        sum / shares.total()
    }

    /// The mean log odds, and what each column does to them as far as it can be told in microseconds: by the regression and the forest, each scaled to move the
    /// odds as much as its own answer does. What the boosted trees make of a column is for [`Self::examine`].
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        let linear = self.logistic.explain(row, parts);
        let columns = parts.len();
        let mut moved = [0.0; FEATURES_MAX];
        let grown = forest_odds(self.forest.explain(row, &mut moved[..columns]));
        normalise(parts);
        normalise(&mut moved[..columns]);
        for (part, moved) in parts.iter_mut().zip(moved) {
            *part = (*part + moved) / 2.0;
        }
        let shares = self.shares;
        let boosted = if shares.boosted > 0.0 { shares.boosted * self.boosted_odds(row) } else { 0.0 };
        (shares.logistic * linear + shares.forest * grown + boosted) / shares.total()
    }

    /// What each column does to the odds, the boosted trees included: exact SHAP, slow.
    pub fn examine(&self, row: &[f64], parts: &mut [f64]) -> Result<(), ModelError> {
        self.explain(row, parts);
        let mut shap = self.boosted.explain(row)?;
        shap.truncate(parts.len());
        normalise(&mut shap);
        for (part, shap) in parts.iter_mut().zip(shap) {
            *part = (2.0 * *part + shap) / 3.0;
        }
        Ok(())
    }

    /// Whether a value lies above the middle of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        self.forest.is_above(column, x)
    }

    fn boosted_odds(&self, row: &[f64]) -> f64 {
        self.boosted.predict(row).map_or(0.0, log_odds)
    }

    /// How many trees the forest has, and how many nodes. How large boosted trees are their library does not say: that is for whoever takes time and bytes.
    pub(super) const fn size(&self) -> (usize, usize) {
        self.forest.size()
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        self.logistic.is_sound(columns) && self.forest.is_sound(columns) && self.boosted.columns() == columns && self.shares.total() > 0.0
    }
}

fn forest_odds(share: f64) -> f64 {
    log_odds(share.clamp(FOREST_LEAST, 1.0 - FOREST_LEAST))
}

/// Scales parts so that what raises the odds adds up to 1.
fn normalise(parts: &mut [f64]) {
    let total: f64 = parts.iter().filter(|part| **part > 0.0).sum();
    if total > 0.0 {
        parts.iter_mut().for_each(|part| *part /= total);
    }
}
