//! Which scorer acts. With enough labels the labels say; without them the shape of the data does, by a rule that is written down here and looks at no label.
//!
//! Why the rule is what it is: a covariance describes a cloud. Where many columns are smooth and hang together, a row that breaks their ties stands out although
//! each of its values is usual, and only the covariance sees that. Where columns are few, pile up on single values or have one long tail, there is no cloud: the
//! covariance is that of the tail, the tail is what is sought, and counting how rare a value is needs no shape. Between the two (many columns, no cloud) neither
//! assumption holds and the isolation forest, which makes none, acts.

use serde::{Deserialize, Serialize};

use super::preparation::ABSURD;
use super::rows::Rows;
use crate::discrimination::{aucpr, outcomes};
use crate::fraud::promotion::LABELS_MIN;
use crate::quantile;

/// The unsupervised scorers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupervised {
    /// [`super::covariance`].
    RobustCovariance,
    /// [`super::isolation`].
    IsolationForest,
    /// [`super::tails`].
    Tails,
}

impl Unsupervised {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RobustCovariance, Self::IsolationForest, Self::Tails];

    /// Its name in cards and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RobustCovariance => "robust_covariance",
            Self::IsolationForest => "isolation_forest",
            Self::Tails => "tails",
        }
    }
}

/// Fewer columns than this are few.
const MANY: usize = 10;
/// A column with this share on one value piles up.
const PILE: f64 = 0.10;
/// A column whose tails differ by more than this part of their sum leans: `((q98 - q50) - (q50 - q02)) / (q98 - q02)`.
const LEAN: f64 = 0.5;

/// What the choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// How many columns.
    pub columns: usize,
    /// How many of them are smooth: no pile on one value and no leaning to one side.
    pub smooth: usize,
}

impl Shape {
    /// Looks at rows, best as they are fed: where a value is missing, or cannot be, the column has one less. Prepared, such values are one on which it would seem to pile up.
    #[must_use]
    pub fn of(rows: &Rows) -> Self {
        let smooth = (0..rows.columns())
            .filter(|&column| {
                let mut values = rows.column(column);
                values.retain(|x| x.abs() <= ABSURD);
                values.sort_by(f64::total_cmp);
                is_smooth(&values)
            })
            .count();
        Self { columns: rows.columns(), smooth }
    }

    /// The scorer for data of this shape, without labels.
    #[must_use]
    pub const fn scorer(self) -> Unsupervised {
        if self.columns < MANY {
            Unsupervised::Tails
        } else if 2 * self.smooth >= self.columns {
            Unsupervised::RobustCovariance
        } else {
            Unsupervised::IsolationForest
        }
    }
}

fn is_smooth(sorted: &[f64]) -> bool {
    let longest = sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or(0);
    let (low, middle, high) = (quantile::of_sorted(sorted, 0.02), quantile::of_sorted(sorted, 0.5), quantile::of_sorted(sorted, 0.98));
    (longest as f64) < PILE * sorted.len() as f64 && ((high - middle) - (middle - low)).abs() <= LEAN * (high - low)
}

/// The best by labels, if there are enough: the scores of each scorer on the same labelled rows. Ties go to the first; `None` says that labels cannot decide.
#[must_use]
pub fn by_labels(candidates: &[(Unsupervised, Vec<f64>)], labels: &[bool]) -> Option<Unsupervised> {
    if labels.iter().filter(|&&label| label).count() < LABELS_MIN || labels.iter().all(|&label| label) {
        return None;
    }
    let mut best: Option<(f64, Unsupervised)> = None;
    for (scorer, scores) in candidates {
        let area = aucpr(&outcomes(scores, labels, None));
        if best.is_none_or(|(highest, _)| area > highest) {
            best = Some((area, *scorer));
        }
    }
    best.map(|(_, scorer)| scorer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    fn shape(columns: usize, value: impl Fn(&mut Chance) -> f64) -> Shape {
        let mut chance = Chance::new(1);
        Shape::of(&Rows::new(columns, (0..columns * 2_000).map(|_| value(&mut chance)).collect()).unwrap())
    }

    #[test]
    fn the_rule_by_shape() {
        assert_eq!(shape(20, Chance::normal).scorer(), Unsupervised::RobustCovariance);
        assert_eq!(shape(3, |chance| (3.0 * chance.normal()).exp()).scorer(), Unsupervised::Tails);
        assert_eq!(shape(20, |chance| (3.0 * chance.normal()).exp()), Shape { columns: 20, smooth: 0 });
        assert_eq!(shape(20, |chance| if chance.unit() < 0.8 { 0.0 } else { chance.unit() }).scorer(), Unsupervised::IsolationForest);
    }

    #[test]
    fn what_is_missing_is_no_pile() {
        let value = |chance: &mut Chance| if chance.unit() < 0.3 { f64::NAN } else { chance.normal() };
        assert_eq!(shape(20, value), Shape { columns: 20, smooth: 20 });
        assert_eq!(shape(20, |chance| if chance.unit() < 0.3 { 1e13 } else { chance.normal() }).smooth, 20);
        assert_eq!(shape(3, |_| f64::NAN), Shape { columns: 3, smooth: 0 }, "of a column of nothing nothing is known");
    }

    #[test]
    fn labels_decide_when_there_are_enough() {
        let labels: Vec<bool> = (0..1000).map(|i| i % 10 == 0).collect();
        let good: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        let candidates = [(Unsupervised::RobustCovariance, vec![0.0; 1000]), (Unsupervised::Tails, good)];
        assert_eq!(by_labels(&candidates, &labels), Some(Unsupervised::Tails));
        let few: Vec<bool> = (0..1000).map(|i| i < 49).collect();
        assert_eq!(by_labels(&candidates, &few), None);
    }
}
