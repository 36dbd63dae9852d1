//! Isolation forest (Liu, Ting and Zhou, 2008): a row that random cuts soon leave alone is strange. Flat nodes, a seed, and the credit of each cut beside it.
//!
//! The nodes of all trees stand in one array, children side by side, so a row walks 300 trees in a few microseconds and without an allocation.

use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::rows::Rows;
use crate::ModelError;

const TREES: usize = 300;
const SAMPLE: usize = 256;
const DEPTH: u32 = 8;
const EULER: f64 = 0.577_215_664_901_532_9;
const LEAF: u32 = u32::MAX;

/// A cut, or the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node {
    /// The column cut, or [`LEAF`].
    feature: u32,
    /// Below it to the left; at a leaf the length of the path.
    threshold: f32,
    /// The left child; the right one follows it.
    left: u32,
    /// What the cut above adds to its column's part of the reasons, if the row comes here.
    credit: f32,
}

/// The fitted forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    medians: Vec<f32>,
    /// The mean path length of an unsuccessful search in a tree of the sample's size.
    usual_path: f64,
}

impl IsolationForest {
    /// Grows 300 trees on samples of 256 prepared rows.
    pub fn fit(rows: &Rows, seed: u64) -> Result<Self, ModelError> {
        Self::grow(rows, seed, TREES)
    }

    fn grow(rows: &Rows, seed: u64, trees: usize) -> Result<Self, ModelError> {
        if rows.len() < 2 {
            return Err(ModelError::BadShape { what: "at least two rows for a forest" });
        }
        let mut chance = Chance::new(seed);
        let sample = SAMPLE.min(rows.len());
        let medians = (0..rows.columns())
            .map(|column| {
                let mut values = rows.column(column);
                values.sort_by(f64::total_cmp);
                values[values.len() / 2] as f32
            })
            .collect();
        let mut forest = Self { nodes: Vec::new(), roots: Vec::new(), medians, usual_path: usual_path(sample) };
        for _ in 0..trees {
            let mut chosen = chance.choose(sample, rows.len());
            forest.roots.push(forest.nodes.len() as u32);
            forest.nodes.push(Node { feature: LEAF, threshold: 0.0, left: 0, credit: 0.0 });
            let root = forest.nodes.len() - 1;
            forest.cut(rows, &mut chosen, root, 0, &mut chance);
        }
        Ok(forest)
    }

    /// Cuts the rows of a node, or ends the path there.
    fn cut(&mut self, rows: &Rows, chosen: &mut [usize], node: usize, depth: u32, chance: &mut Chance) {
        self.nodes[node].threshold = (f64::from(depth) + usual_path(chosen.len())) as f32;
        if depth == DEPTH || chosen.len() < 2 {
            return;
        }
        // A column in which these rows do not differ cannot cut them: others are tried before giving up.
        let columns = rows.columns();
        let first = chance.below(columns);
        let range = |column: usize, chosen: &[usize]| {
            chosen.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &row| {
                let x = rows.row(row)[column] as f32;
                (low.min(x), high.max(x))
            })
        };
        let found =
            (0..columns).map(|step| (first + step) % columns).map(|column| (column, range(column, chosen))).find(|(_, (low, high))| high > low);
        let Some((column, (low, high))) = found else { return };
        let mut threshold = (f64::from(low) + chance.unit() * (f64::from(high) - f64::from(low))) as f32;
        if threshold <= low {
            threshold = low.next_up();
        }
        let mut below = 0;
        for place in 0..chosen.len() {
            if (rows.row(chosen[place])[column] as f32) < threshold {
                chosen.swap(place, below);
                below += 1;
            }
        }
        let left = self.nodes.len();
        let parent = chosen.len() as f64;
        let credit = |child: usize| ((parent / child.max(1) as f64).log2() - 1.0).max(0.0) / f64::from(depth + 1);
        for child in [below, chosen.len() - below] {
            self.nodes.push(Node { feature: LEAF, threshold: 0.0, left: 0, credit: credit(child) as f32 });
        }
        self.nodes[node] = Node { feature: column as u32, threshold, left: left as u32, credit: self.nodes[node].credit };
        let (low_rows, high_rows) = chosen.split_at_mut(below);
        self.cut(rows, low_rows, left, depth + 1, chance);
        self.cut(rows, high_rows, left + 1, depth + 1, chance);
    }

    /// The score of a prepared row, `2^(-E[path] / c(256))`: about a half for usual rows, towards 1 for strange ones.
    #[must_use]
    pub fn score(&self, row: &[f64]) -> f64 {
        self.walk(row, |_, _| {})
    }

    /// The score, and what each column adds: a cut at depth t is credited with `max(0, log2(rows above / rows below) - 1) / (t + 1)`. The parts add up to 1, or
    /// are all zero.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        parts.iter_mut().for_each(|part| *part = 0.0);
        let score = self.walk(row, |feature, credit| parts[feature] += f64::from(credit));
        let total: f64 = parts.iter().sum();
        if total > 0.0 {
            parts.iter_mut().for_each(|part| *part /= total);
        }
        score
    }

    /// Whether a value lies above the median of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        x > f64::from(self.medians[column])
    }

    fn walk(&self, row: &[f64], mut passed: impl FnMut(usize, f32)) -> f64 {
        let mut paths = 0.0;
        for &root in &self.roots {
            let mut node = &self.nodes[root as usize];
            while node.feature != LEAF {
                let feature = node.feature as usize;
                let right = (row[feature] as f32) >= node.threshold;
                node = &self.nodes[node.left as usize + usize::from(right)];
                passed(feature, node.credit);
            }
            paths += f64::from(node.threshold);
        }
        (-paths / self.roots.len() as f64 / self.usual_path).exp2()
    }

    /// Whether every index points into the forest and only onwards: what was decoded from bytes is checked before it walks.
    /// How many trees, and how many nodes in all of them.
    pub(super) const fn size(&self) -> (usize, usize) {
        (self.roots.len(), self.nodes.len())
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        let count = self.nodes.len();
        !self.roots.is_empty()
            && self.medians.len() == columns
            && self.roots.iter().all(|&root| (root as usize) < count)
            && self.nodes.iter().enumerate().all(|(place, node)| {
                node.feature == LEAF || ((node.feature as usize) < columns && node.left as usize > place && (node.left as usize) < count - 1)
            })
    }
}

/// The mean depth of an unsuccessful search among so many rows: what a path that ends early would still have had to go.
fn usual_path(rows: usize) -> f64 {
    let n = rows as f64;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => 2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud() -> Rows {
        let mut chance = Chance::new(5);
        Rows::new(3, (0..3_000).map(|_| chance.normal()).collect()).unwrap()
    }

    #[test]
    fn what_is_far_is_strange_and_says_in_which_column() {
        let forest = IsolationForest::fit(&cloud(), 1).unwrap();
        let (usual, strange) = (forest.score(&[0.0, 0.1, 0.0]), forest.score(&[0.0, 7.0, 0.0]));
        assert!(usual < 0.5 && strange > 0.55, "{usual} {strange}");
        let mut parts = [0.0; 3];
        assert!((forest.explain(&[0.0, 7.0, 0.0], &mut parts) - strange).abs() < 1e-12);
        assert!(parts[1] > 0.6 && (parts.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{parts:?}");
        assert!(forest.is_above(1, 7.0) && !forest.is_above(1, -7.0));
    }

    #[test]
    fn a_seed_is_a_forest() {
        assert_eq!(IsolationForest::fit(&cloud(), 1).unwrap(), IsolationForest::fit(&cloud(), 1).unwrap());
        assert_ne!(IsolationForest::fit(&cloud(), 1).unwrap(), IsolationForest::fit(&cloud(), 2).unwrap());
    }

    #[test]
    fn the_usual_path_is_that_of_the_paper() {
        assert!((usual_path(256) - 10.244_770_9).abs() < 1e-6, "{}", usual_path(256));
        assert!(usual_path(1).abs() < 1e-12);
    }

    #[test]
    fn rows_all_alike_are_one_leaf() {
        let forest = IsolationForest::fit(&Rows::new(2, vec![1.0; 400]).unwrap(), 1).unwrap();
        assert_eq!(forest.nodes.len(), TREES);
        assert!(forest.score(&[5.0, 5.0]).is_finite());
        assert!(forest.is_sound(2) && !forest.is_sound(3));
    }
}
