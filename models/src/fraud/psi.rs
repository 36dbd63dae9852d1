//! Drift: whether what is fed today still looks like training. Population stability index over the bands of training, ten at most, `sum (a - e) ln(a / e)`.
//!
//! The thresholds are those of credit scoring (N. Siddiqi, Credit Risk Scorecards, 2006): a convention, and no test. By chance alone the index of `n` values against `m`
//! of training is about `(bands - 1) (1/n + 1/m)` (B. Yurdakul, Statistical Properties of the Population Stability Index, 2018), so little says nothing.

use serde::{Deserialize, Serialize};

use crate::{ModelError, quantile};

/// The most bands.
pub(super) const BANDS: usize = 10;
/// A band that nothing falls into counts as this share: the logarithm stays finite.
const LEAST: f64 = 1e-4;
/// Above this somebody should look.
const LOOK: f64 = 0.1;
/// Above this the model should be fitted anew.
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
    least: f64,
    greatest: f64,
}

impl Bands {
    /// Deciles of the values of training; NaN are left out. A value that is two deciles or more has a band of its own: most features are nothing most of the time, and
    /// how often they are something is what may change.
    pub fn fit(values: &[f64]) -> Result<Self, ModelError> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&least), Some(&greatest)) = (sorted.first(), sorted.last()) else {
            return Err(ModelError::BadShape { what: "at least one value for bands" });
        };
        let mut borders: Vec<f64> = Vec::new();
        for band in 1..BANDS {
            let decile = quantile::of_sorted(&sorted, band as f64 / BANDS as f64);
            let last = borders.last().copied().unwrap_or(f64::NEG_INFINITY);
            let border = if decile == last { decile.next_up() } else { decile };
            if border > last {
                borders.push(border);
            }
        }
        let expected = shares(&count(&borders, &sorted));
        Ok(Self { borders, expected, least, greatest })
    }

    /// In which band a value falls, from 0; none of what is no number.
    #[must_use]
    pub fn band(&self, x: f64) -> Option<usize> {
        band(&self.borders, x)
    }

    /// Whether a value is less than the least of training or more than the greatest, or no number.
    #[must_use]
    pub fn is_outside(&self, x: f64) -> bool {
        !(self.least..=self.greatest).contains(&x)
    }

    /// The index of later values: 0 for the same shares; nothing is said (0) of no values.
    #[must_use]
    pub fn psi(&self, values: &[f64]) -> f64 {
        self.psi_of(&count(&self.borders, values))
    }

    /// The index of later values of which so many fell into each band: 0 for the same shares; nothing is said (0) of none.
    #[must_use]
    pub fn psi_of(&self, counts: &[u32]) -> f64 {
        if counts.iter().all(|&count| count == 0) {
            return 0.0;
        }
        shares(counts).iter().zip(&self.expected).map(|(&a, &e)| (a.max(LEAST), e.max(LEAST))).map(|(a, e)| (a - e) * (a / e).ln()).sum()
    }

    /// Whether every value has its band: what was decoded from bytes is checked before it is asked.
    pub(super) fn is_sound(&self) -> bool {
        self.borders.len() < BANDS
            && self.expected.len() == self.borders.len() + 1
            && self.borders.iter().all(|border| !border.is_nan())
            && self.borders.is_sorted()
            && self.expected.iter().all(|share| (0.0..=1.0).contains(share))
            && self.least <= self.greatest
    }
}

fn band(borders: &[f64], x: f64) -> Option<usize> {
    (!x.is_nan()).then(|| borders.partition_point(|&border| border <= x))
}

fn count(borders: &[f64], values: &[f64]) -> Vec<u32> {
    let mut counts = vec![0; borders.len() + 1];
    for band in values.iter().filter_map(|&x| band(borders, x)) {
        counts[band] += 1;
    }
    counts
}

fn shares(counts: &[u32]) -> Vec<f64> {
    let total = counts.iter().copied().map(u64::from).sum::<u64>().max(1) as f64;
    counts.iter().map(|&count| f64::from(count) / total).collect()
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
        let bands = Bands { borders: vec![1.0], expected: vec![0.9, 0.1], least: 0.0, greatest: 1.0 };
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
    fn what_is_mostly_nothing_has_a_band_for_nothing_and_one_for_something() {
        // One of twenty is something. Deciles alone would not tell it from the others, however many it became.
        let trained: Vec<f64> = (0..1_000).map(|i| if i % 20 == 0 { 1.0 + f64::from(i) } else { 0.0 }).collect();
        let bands = Bands::fit(&trained).unwrap();
        assert!(bands.psi(&trained).abs() < 1e-12);
        let busier: Vec<f64> = (0..1_000).map(|i| if i % 2 == 0 { 1.0 + f64::from(i) } else { 0.0 }).collect();
        assert_eq!(Drift::of(bands.psi(&busier)), Drift::Retrain);
        // So of what is mostly the greatest.
        let full: Vec<f64> = trained.iter().map(|x| if *x > 0.0 { 0.5 } else { 1.0 }).collect();
        let emptier: Vec<f64> = busier.iter().map(|x| if *x > 0.0 { 0.5 } else { 1.0 }).collect();
        assert_eq!(Drift::of(Bands::fit(&full).unwrap().psi(&emptier)), Drift::Retrain);
    }

    #[test]
    fn what_training_never_reached_is_outside() {
        let bands = Bands::fit(&[1.0, 2.0, 3.0]).unwrap();
        let outside = [0.9, 1.0, 3.0, 3.1, f64::NAN, f64::INFINITY].map(|x| bands.is_outside(x));
        assert_eq!(outside, [true, false, false, true, true, true]);
        assert_eq!([bands.band(-9.0), bands.band(f64::NAN)], [Some(0), None]);
        assert!(bands.is_sound() && bands.band(9.0) < Some(BANDS));
    }

    #[test]
    fn bands_that_do_not_fit_together_are_found() {
        let sound = Bands::fit(&[1.0, 2.0, 3.0]).unwrap();
        for broken in [
            Bands { borders: vec![2.0, 1.0], expected: vec![0.5, 0.5, 0.0], ..sound },
            Bands { borders: vec![f64::NAN], expected: vec![0.5, 0.5], ..sound },
            Bands { borders: vec![1.0], expected: vec![1.0], ..sound },
            Bands { borders: vec![1.0], expected: vec![f64::NAN, 0.5], ..sound },
            Bands { borders: vec![0.0; BANDS], expected: vec![0.0; BANDS + 1], ..sound },
            Bands { least: 4.0, ..sound },
        ] {
            assert!(!broken.is_sound(), "{broken:?}");
        }
    }
}
