//! Relations: what nearly all rows of training obey exactly, and how strange it is to break one.
//!
//! Columns often hang together by an equation: a total and its parts, or principal components of a quantity that hardly ever changes. Where the bulk obeys one, the
//! covariance of the bulk is singular, and whoever breaks it lies millions of times farther out than whoever is only far. So the bulk decides: with too small a
//! share for it, equations hold in it that every tenth honest row breaks; with too large a one it has what is sought in it, and nothing holds. No share is right
//! for all data, but which relations hold in which share can be seen without a label. The largest share of which the bulk obeys what not all rows do is where it
//! starts: what is broken most rarely is broken most strangely. The next smaller shares are asked too, and the score is the geometric mean of the distances: who
//! breaks the one relation and is usual otherwise comes after who breaks many. How far out a row is along an equation says little, as that is measured by the
//! rounding of the file, and in a geometric mean it counts for little.
//!
//! Where nothing holds exactly there is nothing to see, and [`super::covariance`] does with one share.

use serde::{Deserialize, Serialize};

use super::covariance::{RobustCovariance, Spread, starting_distances};
use super::preparation::Suspects;
use super::rows::Rows;
use super::select::{Shape, Unsupervised};
use crate::ModelError;
use crate::feature_list::FEATURES_MAX;

/// The shares of rows that are tried as the bulk. Below three in five it would be the bulk no more.
const SHARES: [f64; 9] = [0.99, 0.975, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6];
/// As many of them are asked, from the first that has a relation.
const LEVELS: usize = 5;
/// A combination of standardised columns whose variance is less than this is an equation: rounding to two decimals still leaves it one.
const EXACT: f64 = 1e-4;
/// A bulk of fewer rows than this for each column obeys equations by chance.
const ROWS_PER_COLUMN: usize = 2;
/// More rows than this say no more of a covariance: of a larger table every n-th row is taken.
const ROWS_MAX: usize = 50_000;

/// The covariance of some bulks, the largest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relations {
    levels: Vec<RobustCovariance>,
}

impl Relations {
    /// Fits on prepared rows (all finite). None where the rows have no shape for a covariance, and where no bulk obeys an equation that some rows break.
    pub fn fit(rows: &Rows) -> Result<Option<Self>, ModelError> {
        if rows.len() <= rows.columns() || rows.columns() > FEATURES_MAX || Shape::of(rows).scorer() != Unsupervised::RobustCovariance {
            return Ok(None);
        }
        let sampled = (rows.len() > ROWS_MAX).then(|| rows.select(&(0..ROWS_MAX).map(|place| place * rows.len() / ROWS_MAX).collect::<Vec<_>>()));
        let rows = sampled.as_ref().unwrap_or(rows);
        let start = starting_distances(rows);
        let all = Spread::of(rows, &(0..rows.len()).collect::<Vec<_>>());
        let mut fitted = Vec::new();
        for share in SHARES {
            let bulk = (share * rows.len() as f64).ceil() as usize;
            if bulk < ROWS_PER_COLUMN * rows.columns() {
                break;
            }
            let (level, spread) = RobustCovariance::concentrate(rows, bulk, start.clone(), |spread| spread.relative(&all))?;
            fitted.push((level, equations(&spread, &all)));
        }
        // What holds in a bulk holds in every smaller one; where fewer hold in a smaller one, a bulk was caught in some corner.
        let (always, mut held) = (equations(&all, &all), usize::MAX);
        let mut first = None;
        for (place, (_, equations)) in fitted.iter().enumerate().rev() {
            held = held.min(*equations);
            if held > always {
                first = Some(place);
            }
        }
        Ok(first.map(|first| Self { levels: fitted.into_iter().skip(first).take(LEVELS).map(|(level, _)| level).collect() }))
    }

    /// The geometric mean of the squared Mahalanobis distances of a prepared row, each with as much added as is usual, so that none counts for being near. What is missing
    /// counts as on average.
    #[must_use]
    pub fn distance(&self, row: &[f64], missing: Suspects) -> f64 {
        let usual = row.len() as f64;
        self.mean(self.levels.iter().map(|level| level.distance_without(row, missing)), usual)
    }

    /// The distance, and what each column adds to it: the parts of each bulk's distance, in proportion to how much it moves the mean. They add up to the distance where
    /// nothing is missing.
    pub fn explain(&self, row: &[f64], missing: Suspects, parts: &mut [f64]) -> f64 {
        let columns = parts.len().min(FEATURES_MAX);
        let usual = row.len() as f64;
        parts.fill(0.0);
        let mut own = [0.0; FEATURES_MAX];
        let mut told = 0.0;
        let distance = {
            let distances = self.levels.iter().map(|level| {
                let distance = level.explain_without(row, missing, &mut own[..columns]);
                for (part, own) in parts.iter_mut().zip(&own) {
                    *part += own / (distance + usual);
                }
                told += distance / (distance + usual);
                distance
            });
            self.mean(distances, usual)
        };
        if told > 0.0 {
            parts.iter_mut().for_each(|part| *part *= distance / told);
        }
        distance
    }

    /// Whether a value lies above the mean of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        self.levels.first().is_some_and(|level| level.is_above(column, x))
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        (1..=LEVELS).contains(&self.levels.len()) && self.levels.iter().all(|level| level.is_sound(columns))
    }

    fn mean(&self, distances: impl Iterator<Item = f64>, usual: f64) -> f64 {
        let sum: f64 = distances.map(|distance| (distance + usual).ln()).sum();
        ((sum / self.levels.len() as f64).exp() - usual).max(0.0)
    }
}

/// How many equations some rows obey: how many eigenvalues of their correlations are below [`EXACT`]. Once that is taken off the diagonal, as many as there are
/// negative pivots (Sylvester). A column that does not vary among them takes no part.
fn equations(spread: &Spread, all: &Spread) -> usize {
    let size = spread.mean.len();
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    let scales: Vec<f64> = (0..size).map(|i| if spread.varies(i, all) { spread.covariance[at(i, i)].sqrt() } else { f64::INFINITY }).collect();
    let mut a = spread.covariance.clone();
    for i in 0..size {
        for j in 0..i {
            a[at(i, j)] /= scales[i] * scales[j];
        }
        a[at(i, i)] = 1.0 - EXACT;
    }
    let mut pivots: Vec<f64> = Vec::with_capacity(size);
    for i in 0..size {
        for j in 0..i {
            let dot: f64 = (0..j).map(|k| a[at(i, k)] * a[at(j, k)] / pivots[k]).sum();
            a[at(i, j)] -= dot;
        }
        let dot: f64 = (0..i).map(|k| a[at(i, k)].powi(2) / pivots[k]).sum();
        let pivot: f64 = a[at(i, i)] - dot;
        pivots.push(if pivot.abs() < 1e-30 { -1e-30 } else { pivot });
    }
    pivots.iter().filter(|pivot| **pivot < 0.0).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discrimination::{aucpr, outcomes};
    use crate::fraud::chance::Chance;

    const COLUMNS: usize = 12;

    /// Rows of which the last two columns follow from the others: one but for `broken` of them, which are what is sought, the other but for six in a hundred, which
    /// are honest and break it farther. `unit` is what one column is measured in.
    fn rows(seed: u64, count: usize, broken: f64, unit: f64) -> (Rows, Vec<bool>) {
        let mut chance = Chance::new(seed);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut row: Vec<f64> = (0..COLUMNS - 2).map(|_| chance.normal()).collect();
            let (sought, honest) = (chance.unit() < broken, chance.unit() < 0.06);
            row.push(0.5 * row[0] - 0.7 * row[3] + 0.3 * row[5] + if sought { 1.0 + chance.unit() } else { 0.0 });
            row.push(0.4 * row[1] + 0.6 * row[2] - 0.2 * row[7] + if honest { 5.0 + chance.unit() } else { 0.0 });
            row[3] *= unit;
            values.extend(row);
            labels.push(sought);
        }
        (Rows::new(COLUMNS, values).unwrap(), labels)
    }

    fn area(trained: &Rows, judged: &(Rows, Vec<bool>)) -> f64 {
        let relations = Relations::fit(trained).unwrap().expect("a relation holds");
        let scores: Vec<f64> = judged.0.iter().map(|row| relations.distance(row, Suspects::default())).collect();
        aucpr(&outcomes(&scores, &judged.1, None))
    }

    #[test]
    fn what_is_broken_most_rarely_is_strangest_however_many_break_it_and_in_whatever_unit() {
        for broken in [0.002, 0.005, 0.01] {
            for unit in [1.0, 1e-3, 1e4] {
                let (trained, judged) = (rows(10, 4_000, broken, unit).0, rows(11, 4_000, broken, unit));
                let found = area(&trained, &judged);
                assert!(found > 0.95, "{broken} of rows, in {unit}: {found}");
                let one = RobustCovariance::fit(&trained).unwrap();
                let alone = aucpr(&outcomes(&judged.0.iter().map(|row| one.distance(row)).collect::<Vec<_>>(), &judged.1, None));
                assert!(alone < 0.6, "nine in ten obey both, and the honest are farther out: {alone}");
            }
        }
    }

    #[test]
    fn a_relation_is_told_from_its_absence() {
        let mut chance = Chance::new(3);
        let free = Rows::new(COLUMNS, (0..COLUMNS * 1_000).map(|_| chance.normal()).collect()).unwrap();
        assert_eq!(Relations::fit(&free).unwrap(), None, "nothing holds");
        // A column that says what another says, in each row: no row breaks that.
        let twice = (0..1_000).flat_map(|place| {
            let row = free.row(place);
            row[..COLUMNS - 1].iter().copied().chain([2.0 * row[0]]).collect::<Vec<_>>()
        });
        assert_eq!(Relations::fit(&Rows::new(COLUMNS, twice.collect()).unwrap()).unwrap(), None, "nobody breaks it");
        assert_eq!(Relations::fit(&free.slice(0, COLUMNS)).unwrap(), None, "too few rows");
        let skewed = Rows::new(COLUMNS, free.values().iter().map(|x| (3.0 * x).exp()).collect()).unwrap();
        assert_eq!(Relations::fit(&skewed).unwrap(), None, "no cloud");
    }

    #[test]
    fn parts_add_up_and_name_who_broke_it() {
        let relations = Relations::fit(&rows(1, 4_000, 0.005, 1.0).0).unwrap().expect("a relation holds");
        assert!(relations.is_sound(COLUMNS) && !relations.is_sound(COLUMNS + 1));
        let mut row = [0.1; COLUMNS];
        (row[COLUMNS - 2], row[COLUMNS - 1]) = (0.01 + 1.5, 0.08);
        let mut parts = [0.0; COLUMNS];
        let distance = relations.explain(&row, Suspects::default(), &mut parts);
        assert!((distance - relations.distance(&row, Suspects::default())).abs() < 1e-9 * distance);
        assert!((parts.iter().sum::<f64>() - distance).abs() < 1e-6 * distance, "{parts:?}");
        let most = (0..COLUMNS).max_by(|&a, &b| parts[a].total_cmp(&parts[b]));
        assert_eq!(most, Some(COLUMNS - 2), "{parts:?}");
        assert!(relations.is_above(COLUMNS - 2, 1.5) && !relations.is_above(COLUMNS - 2, -1.5));
    }

    #[test]
    fn a_large_table_is_sampled() {
        let (large, _) = rows(4, 60_000, 0.005, 1.0);
        assert!(area(&large, &rows(5, 4_000, 0.005, 1.0)) > 0.95);
    }
}
