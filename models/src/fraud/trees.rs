//! Probability forest for labelled fraud: smartcore grows regression trees on 0 and 1, and their nodes are laid out flat here.
//!
//! smartcore's own saved trees do not survive its minor versions and predict through a matrix; this layout is ours, walks a row without an allocation and says
//! which columns moved it. What comes of it is read from smartcore's serde form once, right after the fit.

use serde::{Deserialize, Serialize};
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::rows::Rows;
use crate::{ModelError, quantile};

const LEAF: u32 = u32::MAX;
/// Each tree sorts all columns of all rows: from more rows than this it is grown on a part, with all of the rarer kind or at least half as many.
const ROWS_MAX: usize = 100_000;

/// How the forest is grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// How many trees.
    pub trees: usize,
    /// The deepest path.
    pub depth: u16,
    /// The fewest rows of a leaf.
    pub leaf_rows: usize,
    /// Columns tried at each cut; the square root of all if not said.
    pub columns: Option<usize>,
    /// The seed.
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node {
    feature: u32,
    left: u32,
    right: u32,
    /// The share of fraud among the training rows that came here.
    share: f32,
    threshold: f64,
}

/// The fitted forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityForest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    medians: Vec<f64>,
}

/// smartcore's node, as its serde form shows it.
#[derive(Deserialize)]
struct GrownNode {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

#[derive(Deserialize)]
struct GrownTree {
    nodes: Vec<GrownNode>,
}

#[derive(Deserialize)]
struct GrownTrees {
    trees: Option<Vec<GrownTree>>,
}

#[derive(Deserialize)]
struct GrownForest {
    forest_regressor: Option<GrownTrees>,
}

impl ProbabilityForest {
    /// Grows on prepared rows.
    pub fn fit(rows: &Rows, labels: &[bool], recipe: Recipe) -> Result<Self, ModelError> {
        let unfit = || ModelError::Unfit { why: "the forest could not be grown" };
        if rows.len() != labels.len() {
            return Err(ModelError::BadShape { what: "a label for each row" });
        }
        let part = part(labels, ROWS_MAX);
        let grown_on: Vec<f64> = part.rows.iter().flat_map(|&row| rows.row(row).iter().copied()).collect();
        let targets: Vec<f64> = part.rows.iter().map(|&row| f64::from(u8::from(labels[row]))).collect();
        let table = DenseMatrix::new(part.rows.len(), rows.columns(), grown_on, false).map_err(|_| unfit())?;
        let parameters = RandomForestRegressorParameters {
            max_depth: Some(recipe.depth),
            min_samples_leaf: recipe.leaf_rows,
            min_samples_split: 2 * recipe.leaf_rows,
            n_trees: recipe.trees,
            m: Some(recipe.columns.unwrap_or((rows.columns() as f64).sqrt() as usize).clamp(1, rows.columns())),
            keep_samples: false,
            seed: recipe.seed,
        };
        let grown = RandomForestRegressor::fit(&table, &targets, parameters).map_err(|_| unfit())?;
        let flat = serde_json::to_value(&grown).and_then(serde_json::from_value::<GrownForest>).map_err(|_| unfit())?;
        let trees = flat.forest_regressor.and_then(|forest| forest.trees).ok_or_else(unfit)?;
        let medians = (0..rows.columns())
            .map(|column| {
                let mut values = rows.column(column);
                values.sort_by(f64::total_cmp);
                quantile::of_sorted(&values, 0.5)
            })
            .collect();
        let mut forest = Self { nodes: Vec::new(), roots: Vec::new(), medians };
        let share = |grown: f64| part.share_of_all(grown) as f32;
        for tree in trees {
            let base = forest.nodes.len();
            forest.roots.push(base as u32);
            let place = |child: usize| (base + child) as u32;
            forest.nodes.extend(tree.nodes.iter().map(|node| match (node.split_value, node.true_child, node.false_child) {
                (Some(threshold), Some(left), Some(right)) => {
                    Node { feature: node.split_feature as u32, left: place(left), right: place(right), share: share(node.output), threshold }
                }
                _ => Node { feature: LEAF, left: 0, right: 0, share: share(node.output), threshold: 0.0 },
            }));
        }
        if forest.is_sound(rows.columns()) { Ok(forest) } else { Err(unfit()) }
    }

    /// The mean share of fraud over the trees: 0 to 1.
    #[must_use]
    pub fn probability(&self, row: &[f64]) -> f64 {
        self.walk(row, |_, _| {})
    }

    /// The probability, and by how much each column moved it away from the share of fraud in training (Saabas): the parts and that share add up to it.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        parts.iter_mut().for_each(|part| *part = 0.0);
        let trees = self.roots.len() as f64;
        self.walk(row, |feature, change| parts[feature] += change / trees)
    }

    /// Whether a value lies above the median of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        x > self.medians[column]
    }

    fn walk(&self, row: &[f64], mut passed: impl FnMut(usize, f64)) -> f64 {
        let mut sum = 0.0;
        for &root in &self.roots {
            let mut node = &self.nodes[root as usize];
            while node.feature != LEAF {
                let feature = node.feature as usize;
                let next = &self.nodes[if row[feature] <= node.threshold { node.left } else { node.right } as usize];
                passed(feature, f64::from(next.share) - f64::from(node.share));
                node = next;
            }
            sum += f64::from(node.share);
        }
        sum / self.roots.len() as f64
    }

    /// How many trees, and how many nodes in all of them.
    pub(super) const fn size(&self) -> (usize, usize) {
        (self.roots.len(), self.nodes.len())
    }

    /// Whether every index points into the forest and only onwards.
    pub(super) fn is_sound(&self, columns: usize) -> bool {
        let count = self.nodes.len();
        let onwards = |place: usize, child: u32| (child as usize) > place && (child as usize) < count;
        !self.roots.is_empty()
            && self.medians.len() == columns
            && self.roots.iter().all(|&root| (root as usize) < count)
            && self.nodes.iter().enumerate().all(|(place, node)| {
                node.feature == LEAF || ((node.feature as usize) < columns && onwards(place, node.left) && onwards(place, node.right))
            })
    }
}

/// The rows that a forest is grown on.
struct Part {
    rows: Vec<usize>,
    /// How many frauds there are for each here, and the same of all others.
    stands_for: (f64, f64),
}

impl Part {
    /// From a share of fraud among these rows to that among all.
    fn share_of_all(&self, share: f64) -> f64 {
        if self.stands_for == (1.0, 1.0) {
            return share;
        }
        let (frauds, others) = (share * self.stands_for.0, (1.0 - share) * self.stands_for.1);
        if frauds + others > 0.0 { frauds / (frauds + others) } else { share }
    }
}

/// All rows or, of more than `most`, so many: as many of the rarer kind as there are, up to a half, evenly over the table.
fn part(labels: &[bool], most: usize) -> Part {
    if labels.len() <= most {
        return Part { rows: (0..labels.len()).collect(), stands_for: (1.0, 1.0) };
    }
    let (frauds, others): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&row| labels[row]);
    let half = most / 2;
    let kept = frauds.len().min(half.max(most.saturating_sub(others.len())));
    let every = |all: &[usize], count: usize| (0..count).map(|place| all[place * all.len() / count]).collect::<Vec<_>>();
    let (some, rest) = (every(&frauds, kept), every(&others, (most - kept).min(others.len())));
    let stands_for = (frauds.len() as f64 / some.len().max(1) as f64, others.len() as f64 / rest.len().max(1) as f64);
    let mut rows = [some, rest].concat();
    rows.sort_unstable();
    Part { rows, stands_for }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    const RECIPE: Recipe = Recipe { trees: 20, depth: 8, leaf_rows: 2, columns: None, seed: 4 };

    fn planted() -> (Rows, Vec<bool>) {
        let mut chance = Chance::new(2);
        let values: Vec<f64> = (0..3_000).map(|_| chance.normal()).collect();
        let labels = values.chunks(3).map(|row| row[1] > 1.0).collect();
        (Rows::new(3, values).unwrap(), labels)
    }

    #[test]
    fn the_flat_forest_predicts_as_smartcore_does() {
        let (rows, labels) = planted();
        let flat = ProbabilityForest::fit(&rows, &labels, RECIPE).unwrap();
        let table = DenseMatrix::new(rows.len(), 3, rows.values().to_vec(), false).unwrap();
        let targets: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        let parameters = RandomForestRegressorParameters {
            max_depth: Some(8),
            min_samples_leaf: 2,
            min_samples_split: 4,
            n_trees: 20,
            m: Some(1),
            keep_samples: false,
            seed: 4,
        };
        let theirs = RandomForestRegressor::fit(&table, &targets, parameters).unwrap().predict(&table).unwrap();
        for (row, expected) in rows.iter().zip(theirs) {
            assert!((flat.probability(row) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn of_a_large_table_a_part_is_taken_that_stands_for_all() {
        let labels: Vec<bool> = (0..10_000).map(|row| row % 100 == 3).collect();
        let all = part(&labels, 10_000);
        assert_eq!((all.rows.len(), all.share_of_all(0.25)), (10_000, 0.25));
        for (labels, frauds, others) in [
            (labels.clone(), 100, 900),
            (labels.iter().map(|label| !label).collect(), 900, 100),
            ((0..10_000).map(|row| row % 2 == 0).collect(), 500, 500),
            (vec![true; 10_000], 1_000, 0),
        ] {
            let part = part(&labels, 1_000);
            let taken = part.rows.iter().filter(|&&row| labels[row]).count();
            assert_eq!((taken, part.rows.len() - taken), (frauds, others));
            assert!(part.rows.windows(2).all(|pair| pair[0] < pair[1]), "no row twice");
            let share = labels.iter().filter(|&&label| label).count() as f64 / 10_000.0;
            assert!((part.share_of_all(frauds as f64 / 1_000.0) - share).abs() < 1e-12, "{share}");
        }
    }

    #[test]
    fn the_column_that_decides_is_named_and_parts_add_up() {
        let (rows, labels) = planted();
        let forest = ProbabilityForest::fit(&rows, &labels, RECIPE).unwrap();
        let mut parts = [0.0; 3];
        let p = forest.explain(&[0.0, 2.0, 0.0], &mut parts);
        assert!(p > 0.8 && parts[1] > parts[0].abs() + parts[2].abs(), "{p} {parts:?}");
        let base: f64 = forest.roots.iter().map(|&root| f64::from(forest.nodes[root as usize].share)).sum::<f64>() / 20.0;
        assert!((base + parts.iter().sum::<f64>() - p).abs() < 1e-6);
        assert_eq!(forest, ProbabilityForest::fit(&rows, &labels, RECIPE).unwrap(), "a seed is a forest");
    }
}
