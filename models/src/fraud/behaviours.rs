//! Behaviours: how rarely somebody goes so far in one kind of behaviour. Needs no labels, but says beforehand which columns speak of the same behaviour.
//!
//! Fraud goes far in one or two behaviours (holds that are not bought, payments that fail, tickets given back) and is ordinary in all others, so a sum over all columns
//! drowns it: who is a little unusual everywhere, as a tourist at night, adds up to as much. Here the right tails of the columns of a behaviour are added up first;
//! how rare that sum is in training says how rare the behaviour is, whether it has three columns or twelve that all say the same; and a row is as strange as its
//! strangest behaviours, by a mean of high power. Behaviours in which many honest people go far, as how much is bought, count for less. Only much of something counts: to hold, fail or return less than others is no sign of fraud. Columns of group 0 are
//! circumstances, as the hour or the number of people: who comes at night is no suspect for that alone, so they are not added up.

use serde::{Deserialize, Serialize};

use super::explain::GROUPS_MAX;
use super::rows::Rows;
use super::tails::Ladder;
use crate::ModelError;

/// The power of the mean over behaviours: with one it would be a sum, with many the greatest alone. Two behaviours that are as rare as each other count for a fifth more
/// than one.
const POWER: i32 = 4;

/// A ladder for each column, and one for each behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Behaviours {
    /// Of each column: its behaviour; 0: none.
    groups: Vec<u8>,
    columns: Vec<Ladder>,
    /// Of each behaviour, from 1.
    behaviours: Vec<Ladder>,
    /// What the rarity of each behaviour is multiplied by.
    weights: Vec<f64>,
}

/// What is known of columns before any row is seen.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Of each column which behaviour it speaks of, from 1 to [`GROUPS_MAX`] - 1; 0: none.
    pub groups: &'a [u8],
    /// Of each behaviour, from 1, how much its rarity counts, 0 to 1: less where many honest people go far.
    pub weights: &'a [f64],
}

impl Behaviours {
    /// Fits on prepared rows.
    pub fn fit(rows: &Rows, plan: Plan<'_>) -> Result<Self, ModelError> {
        let Plan { groups, weights } = plan;
        let most = groups.iter().copied().max().unwrap_or(0);
        let weighed = weights.len() >= usize::from(most) && weights.iter().all(|weight| (0.0..=1.0).contains(weight));
        if groups.len() != rows.columns() || most == 0 || usize::from(most) >= GROUPS_MAX || !weighed {
            return Err(ModelError::BadShape {
                what: "a behaviour, or none, for each column, and a weight from 0 to 1 for each of at most 31 behaviours",
            });
        }
        let columns = (0..rows.columns()).map(|column| Ladder::fit(rows.column(column))).collect::<Result<_, _>>()?;
        let mut fitted = Self { groups: groups.to_vec(), columns, behaviours: Vec::new(), weights: weights[..usize::from(most)].to_vec() };
        let sums: Vec<[f64; GROUPS_MAX]> = rows.iter().map(|row| fitted.sums(row, |_, _| {})).collect();
        fitted.behaviours = (1..=usize::from(most)).map(|group| Ladder::fit(sums.iter().map(|sums| sums[group]))).collect::<Result<_, _>>()?;
        Ok(fitted)
    }

    /// How strange a row is, in natural logarithms of rarity.
    #[must_use]
    pub fn score(&self, row: &[f64]) -> f64 {
        let sums = self.sums(row, |_, _| {});
        self.rarities(&sums).iter().sum::<f64>().powf(1.0 / f64::from(POWER))
    }

    /// The score, and what each column adds to it: of its behaviour's part as much as it is of the behaviour's sum. The parts add up to the score.
    pub fn explain(&self, row: &[f64], parts: &mut [f64]) -> f64 {
        let sums = self.sums(row, |column, rarity| parts[column] = rarity);
        let powers = self.rarities(&sums);
        let total: f64 = powers.iter().sum();
        let score = total.powf(1.0 / f64::from(POWER));
        for (part, &group) in parts.iter_mut().zip(&self.groups) {
            let group = usize::from(group);
            let of = if group == 0 { 0.0 } else { sums[group] * total };
            *part = if of > 0.0 { *part / of * powers[group] * score } else { 0.0 };
        }
        score
    }

    /// Of each behaviour how rare its columns are together.
    fn sums(&self, row: &[f64], mut note: impl FnMut(usize, f64)) -> [f64; GROUPS_MAX] {
        let mut sums = [0.0; GROUPS_MAX];
        for (column, ((ladder, &group), &x)) in self.columns.iter().zip(&self.groups).zip(row).enumerate() {
            if group > 0 {
                let rarity = ladder.rarity_above(x);
                sums[usize::from(group)] += rarity;
                note(column, rarity);
            }
        }
        sums
    }

    /// Of each behaviour how rare it is to go so far, to the power.
    fn rarities(&self, sums: &[f64; GROUPS_MAX]) -> [f64; GROUPS_MAX] {
        let mut powers = [0.0; GROUPS_MAX];
        for (((power, sum), ladder), weight) in powers.iter_mut().zip(sums).skip(1).zip(&self.behaviours).zip(&self.weights) {
            *power = (weight * ladder.rarity_above(*sum)).powi(POWER);
        }
        powers
    }

    /// Whether a value lies in the upper half of its column.
    #[must_use]
    pub fn is_above(&self, column: usize, x: f64) -> bool {
        self.columns[column].is_above(x)
    }

    /// Once after it was read from bytes.
    pub(super) fn settle(&mut self) {
        self.columns.iter_mut().chain(&mut self.behaviours).for_each(Ladder::settle);
    }

    pub(super) fn is_sound(&self, columns: usize) -> bool {
        let most = self.groups.iter().copied().max().unwrap_or(0);
        self.columns.len() == columns
            && self.groups.len() == columns
            && most > 0
            && usize::from(most) < GROUPS_MAX
            && self.behaviours.len() == usize::from(most)
            && self.weights.len() == usize::from(most)
            && self.weights.iter().all(|weight| (0.0..=1.0).contains(weight))
            && self.columns.iter().chain(&self.behaviours).all(Ladder::is_sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    /// One circumstance, a behaviour of three columns that say the same, and one of a single column: mostly zero, as counts are.
    fn rows(seed: u64, count: usize) -> Rows {
        let mut chance = Chance::new(seed);
        let values = (0..count).flat_map(|_| {
            let much = if chance.unit() < 0.7 { 0.0 } else { chance.normal().abs() };
            let other = if chance.unit() < 0.7 { 0.0 } else { chance.normal().abs() };
            [chance.normal(), much, 1.1 * much, 0.9 * much, other]
        });
        Rows::new(5, values.collect()).unwrap()
    }

    const PLAN: Plan<'static> = Plan { groups: &[0, 1, 1, 1, 2], weights: &[1.0, 1.0] };

    #[test]
    fn one_behaviour_counts_as_much_with_three_columns_as_with_one() {
        let fitted = Behaviours::fit(&rows(1, 20_000), PLAN).unwrap();
        let (three, one) = (fitted.score(&[0.0, 2.0, 2.2, 1.8, 0.0]), fitted.score(&[0.0, 0.0, 0.0, 0.0, 2.0]));
        assert!((three - one).abs() < 0.6 && three > 3.0, "{three} {one}");
        let both = fitted.score(&[0.0, 2.0, 2.2, 1.8, 2.0]);
        assert!(both > 1.1 * three && both < 1.3 * three, "{both} of {three}");
    }

    #[test]
    fn circumstances_and_little_of_anything_are_no_signs() {
        let fitted = Behaviours::fit(&rows(2, 20_000), PLAN).unwrap();
        assert!(fitted.score(&[50.0, 0.0, 0.0, 0.0, 0.0]).abs() < 1e-12);
        assert!(fitted.score(&[0.0, -9.0, -9.0, -9.0, -9.0]).abs() < 1e-12);
    }

    #[test]
    fn the_parts_add_up_and_further_out_is_stranger() {
        let fitted = Behaviours::fit(&rows(3, 5_000), PLAN).unwrap();
        let row = [3.0, 4.0, 4.4, 3.6, 1.0];
        let mut parts = [0.0; 5];
        let score = fitted.explain(&row, &mut parts);
        assert!((score - fitted.score(&row)).abs() < 1e-9 && (score - parts.iter().sum::<f64>()).abs() < 1e-9, "{score} {parts:?}");
        assert!(parts[0].abs() < 1e-12 && parts[1] + parts[2] + parts[3] > 10.0 * parts[4], "{parts:?}");
        assert!(fitted.score(&[0.0, 40.0, 44.0, 36.0, 0.0]) > score + 5.0, "beyond training it goes on");
    }

    #[test]
    fn behaviours_that_do_not_fit_the_columns_are_refused() {
        let rows = rows(4, 100);
        for groups in [&[0_u8, 1, 1, 1][..], &[0; 5], &[0, 1, 1, 1, 32]] {
            assert!(Behaviours::fit(&rows, Plan { groups, ..PLAN }).is_err(), "{groups:?}");
        }
        for weights in [&[1.0][..], &[1.0, -0.1], &[1.0, f64::NAN]] {
            assert!(Behaviours::fit(&rows, Plan { weights, ..PLAN }).is_err(), "{weights:?}");
        }
        let mut fitted = Behaviours::fit(&rows, PLAN).unwrap();
        assert!(fitted.is_sound(5) && !fitted.is_sound(4));
        fitted.groups[2] = 9;
        assert!(!fitted.is_sound(5), "a behaviour without a ladder");
    }
}
