//! Scores learned from labels: a logistic regression, a probability forest and boosted trees, whose log odds are averaged. Where frauds are few no one of the
//! three is reliably best and their errors differ, so the mean is steadier than any choice between them made on a few dozen frauds.
//!
//! They do not count alike. Trees say no more than their leaves have seen, but a straight line goes on without end: an honest buyer far out along it gets odds of
//! millions to one, outvotes all trees, and stands above every fraud. So the line counts least. That is what cross-validation says inside the half of the payments that
//! P5 trains on. It would rather have no line at all, but this rests on a handful of honest rows, and a line is what still tells frauds that go further than any
//! in training: it keeps a seventh.

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::trees::{self, ProbabilityForest};
use crate::ModelError;
use crate::boost::{self, Average, Loss, Table};
use crate::ensemble::Ensemble;
use crate::feature_list::FEATURES_MAX;
use crate::logistic::{Logistic, log_odds};

/// The penalty of the logistic regression: one, as for a prior of standard deviation one on each standardised weight.
const PENALTY: f64 = 1.0;

/// Boosting learns slowly with small trees that see half of the columns, and a leaf needs second derivatives that add up to 2: with 10 a hundred frauds are too few
/// for most cuts, and 5 is near that.
fn recipe(seed: u64) -> boost::Recipe {
    boost::Recipe { rounds: 200, eta: 0.05, max_leaves: 16, min_child_weight: 2.0, column_share: 0.5, seed, ..boost::Recipe::new(Loss::Log) }
}

/// As many ensembles are boosted, each with draws of its own, and averaged: which rows and columns a tree saw decides less.
const DRAWS: u64 = 2;

/// The forest tries one in so many columns at each cut, as is usual for shares: of the square root of all, too few cuts see one that tells frauds.
const COLUMNS_TRIED: usize = 3;

/// A share of trees says no more than so much either way: none of 100 trees is not never.
const FOREST_LEAST: f64 = 5e-4;

/// Which of the three are used, and how much each counts: weights of their log odds, of which only the proportions matter.
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
    /// All three, the regression the least: what acts.
    pub const BLEND: Self = Self { logistic: 1.0, forest: 2.0, boosted: 4.0 };
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
        let tried = Some(rows.columns().div_ceil(COLUMNS_TRIED));
        let forest = ProbabilityForest::fit(rows, labels, trees::Recipe { trees: 150, depth: 12, leaf_rows: 1, columns: tried, seed })?;
        let table = Table {
            columns: (0..rows.columns()).map(|column| format!("f{column}")).collect(),
            values: rows.values().iter().map(|&x| x as f32).collect(),
            targets: labels.iter().map(|&label| f32::from(u8::from(label))).collect(),
            ..Table::default()
        };
        let table = table.prepare()?;
        let drawn = (0..DRAWS).map(|draw| boost::fit(&table, &recipe(seed.wrapping_add(draw)), &mut |_| {})).collect::<Result<Vec<_>, _>>()?;
        let boosted = Ensemble::new(Box::new(Average::new(drawn)?))?;
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

    /// The mean log odds, by shares.
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

    /// The mean log odds, and what each column does to them as far as it can be told in microseconds: of trees what it moves on the row's way through them. Each of the
    /// three is scaled to add up to its share.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        let shares = self.shares;
        let (mut moved, mut boosted) = ([0.0; FEATURES_MAX], 0.0);
        let moved = &mut moved[..parts.len()];
        if shares.boosted > 0.0 {
            boosted = shares.boosted * self.boosted_odds(row);
            // As in the score: trees that do not answer say nothing.
            let _ = self.boosted.explain_path(row, moved);
        }
        let (linear, grown) = self.tell(row, moved, parts);
        (shares.logistic * linear + shares.forest * grown + boosted) / shares.total()
    }

    /// What each column does to the odds: as [`Self::explain`], but of the boosted trees exactly (SHAP), which is slow.
    pub fn examine(&self, row: &[f64], parts: &mut [f64]) -> Result<(), ModelError> {
        let mut shap = self.boosted.explain(row)?;
        shap.truncate(parts.len());
        self.tell(row, &mut shap, parts);
        Ok(())
    }

    /// Writes what each column does, with what it does to the boosted trees; the odds of the regression and of the forest.
    fn tell(&self, row: &[f64], boosted: &mut [f64], parts: &mut [f64]) -> (f64, f64) {
        let (shares, mut moved) = (self.shares, [0.0; FEATURES_MAX]);
        let moved = &mut moved[..parts.len()];
        let linear = self.logistic.explain(row, parts);
        let grown = forest_odds(self.forest.explain(row, moved));
        normalise(parts);
        normalise(moved);
        normalise(boosted);
        for ((part, moved), boosted) in parts.iter_mut().zip(moved).zip(boosted) {
            *part = (shares.logistic * *part + shares.forest * *moved + shares.boosted * *boosted) / shares.total();
        }
        (linear, grown)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    const COLUMNS: usize = 6;

    /// One in twenty is fraud, by one column.
    fn fitted(seed: u64) -> (Rows, Supervised) {
        let mut chance = Chance::new(8);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for row in 0..2_000 {
            labels.push(row % 20 == 3);
            values.extend((0..COLUMNS).map(|column| chance.normal() + if row % 20 == 3 && column == 2 { 4.0 } else { 0.0 }));
        }
        let rows = Rows::new(COLUMNS, values).unwrap();
        let model = Supervised::fit(&rows, &labels, seed).unwrap();
        (rows, model)
    }

    #[test]
    fn the_line_counts_least_and_a_model_keeps_the_shares_it_was_sealed_with() {
        let (_, model) = fitted(1);
        let alike = Shares { logistic: 1.0, forest: 1.0, boosted: 1.0 };
        let before: Supervised = postcard::from_bytes(&postcard::to_allocvec(&model.with_shares(alike)).unwrap()).unwrap();
        // Far out along the line, and as usual in all else.
        let far = [0.0, 40.0, 60.0, 0.0, 0.0, 0.0];
        let [line, forest, boosted] = [Shares::LOGISTIC, Shares::FOREST, Shares::BOOSTED].map(|shares| model.with_shares(shares).log_odds(&far));
        assert!(line > 20.0 && forest < 8.0 && boosted < 8.0, "{line}, {forest}, {boosted}");
        assert!((model.log_odds(&far) - (line + 2.0 * forest + 4.0 * boosted) / 7.0).abs() < 1e-9);
        assert!((before.log_odds(&far) - (line + forest + boosted) / 3.0).abs() < 1e-9);
    }

    #[test]
    fn two_draws_answer_as_one_and_a_seed_decides_both() {
        let (rows, model) = fitted(1);
        assert_eq!(model, fitted(1).1);
        assert_ne!(model.boosted, fitted(2).1.boosted);
        let read: Supervised = postcard::from_bytes(&postcard::to_allocvec(&model).unwrap()).unwrap();
        assert!(read.is_sound(COLUMNS) && read == model);
        for shares in [Shares::BLEND, Shares::LOGISTIC, Shares::FOREST, Shares::BOOSTED] {
            let (one, mut parts) = (read.with_shares(shares), [0.0; COLUMNS]);
            for row in rows.iter().take(40) {
                assert!((one.explain(row, &mut parts) - model.with_shares(shares).log_odds(row)).abs() < 1e-9, "{shares:?}");
            }
            let fraud = [0.0, 0.0, 5.0, 0.0, 0.0, 0.0];
            one.explain(&fraud, &mut parts);
            assert!((0..COLUMNS).all(|column| parts[column] <= parts[2]), "{shares:?}: {parts:?}");
            one.examine(&fraud, &mut parts).unwrap();
            assert!((0..COLUMNS).all(|column| parts[column] <= parts[2]), "{shares:?}: {parts:?}");
        }
    }
}
