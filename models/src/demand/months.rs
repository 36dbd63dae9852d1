//! Forecasts for plan and budget, month by month: the mean of three plain methods that err in different ways. Series of months are too short for trees.
//!
//! Days of a month do not err by themselves: a bad spring is bad on all of its days. So a month's band is not made of those of its days; it is how far whole months
//! were off when they were forecast as long before, with the correlation of their days in it. Of several months together the widest honest answer is told: as if
//! they all erred to the same side.

use serde::{Deserialize, Serialize};

use super::floors;

const SEASON: usize = 12;
/// Years whose median month is taken: one year with a closed wing or a famous exhibition does not decide.
const YEARS: usize = 3;
/// The first step of each bucket of errors, in months ahead.
const BUCKETS: [usize; 4] = [1, 2, 4, 7];
/// Past origins at which errors are taken: older ones tell of other times.
const ORIGINS: usize = 48;
/// Months without which nothing is forecast in hindsight.
const BEFORE: usize = 12;
/// The standard deviation of a month's logarithm where nobody knows better, by bucket, and as how many errors that counts: what the museums of P2 show, rounded up.
const UNKNOWN: [f64; BUCKETS.len()] = [0.20, 0.25, 0.30, 0.35];
const UNKNOWN_WEIGHS: f64 = 6.0;
/// One month that was three times what was expected tells nothing of the others.
const LOG_MAX: f64 = 1.1;
const Z_80: f64 = 1.281_552;
const Z_95: f64 = 1.959_964;

/// The mean of Theta, damped seasonal Holt-Winters and the median of the same month of three years, 1 to `steps` months ahead. NaN in the series is a month without a figure.
#[must_use]
pub fn forecast(series: &[f64], steps: usize) -> Vec<f64> {
    let parts = members(series, steps);
    (0..steps).map(|step| parts.iter().map(|part| part[step]).sum::<f64>() / parts.len() as f64).collect()
}

/// The methods whose mean is taken.
#[must_use]
pub fn members(series: &[f64], steps: usize) -> [Vec<f64>; 3] {
    [floors::theta(series, SEASON, steps), floors::holt_winters(series, SEASON, steps), floors::seasonal_median(series, SEASON, YEARS, steps)]
}

/// How far months are off when they are forecast so long before: the standard deviation of the logarithm of what came over what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread([f64; BUCKETS.len()]);

/// A sum of visitors with its bands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The middle, in visitors, as the bands are.
    pub mid: f64,
    /// Eight of ten times it is from here to there.
    pub band_80: (f64, f64),
    /// Nineteen of twenty times.
    pub band_95: (f64, f64),
}

impl Expected {
    /// Both together, as if they erred to the same side.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
        Self { mid: self.mid + other.mid, band_80: add(self.band_80, other.band_80), band_95: add(self.band_95, other.band_95) }
    }

    /// With so many who have come already, and are sure.
    #[must_use]
    pub fn and_came(self, came: f64) -> Self {
        self.and(Self { mid: came, band_80: (came, came), band_95: (came, came) })
    }
}

impl Spread {
    /// Learned of a series: at each of its last months it is forecast from what was known then. Few errors lean on what is usual elsewhere, and what is farther
    /// ahead is never surer than what is nearer.
    #[must_use]
    pub fn of(series: &[f64]) -> Self {
        let (mut squares, mut counts) = ([0.0; BUCKETS.len()], [0.0; BUCKETS.len()]);
        for known in BEFORE.max(series.len().saturating_sub(ORIGINS))..series.len() {
            let said = forecast(&series[..known], SEASON.min(series.len() - known));
            for (step, (said, came)) in said.iter().zip(&series[known..]).enumerate() {
                if *said > 0.0 && *came > 0.0 {
                    let place = bucket(step + 1);
                    squares[place] += (came / said).ln().clamp(-LOG_MAX, LOG_MAX).powi(2);
                    counts[place] += 1.0;
                }
            }
        }
        let mut least = 0.0_f64;
        Self(std::array::from_fn(|place| {
            let variance = (squares[place] + UNKNOWN_WEIGHS * UNKNOWN[place].powi(2)) / (counts[place] + UNKNOWN_WEIGHS);
            least = least.max(variance.sqrt());
            least
        }))
    }

    /// The bands of a month of which so much is expected, so many months ahead.
    #[must_use]
    pub fn around(&self, mid: f64, ahead: usize) -> Expected {
        let sd = self.0[bucket(ahead)];
        let ends = |z: f64| (mid * (-z * sd).exp(), mid * (z * sd).exp());
        Expected { mid, band_80: ends(Z_80), band_95: ends(Z_95) }
    }
}

fn bucket(ahead: usize) -> usize {
    BUCKETS.iter().rposition(|first| *first <= ahead).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    #[test]
    fn what_comes_after_the_origin_is_not_in_the_series() {
        let series: Vec<f64> = (0..60).map(|month| 100.0 + f64::from(month % 12)).collect();
        let forecast = forecast(&series, 12);
        assert!(forecast.iter().enumerate().all(|(step, value)| (value - 100.0 - step as f64).abs() < 1.0), "{forecast:?}");
    }

    /// Months that are good or bad as a whole, each a little like the one before: bands learned of four years hold the fifth.
    #[test]
    fn bands_hold_months_whose_days_err_together() {
        let mut chance = Chance::new(5);
        let (mut held, mut of) = (0.0, 0.0);
        for _ in 0..60 {
            let mut luck = 0.0;
            let month = |month: u32| {
                luck = 0.6 * luck + 0.15 * chance.normal();
                (1_000.0 + 300.0 * (f64::from(month % 12) / 12.0 * std::f64::consts::TAU).sin()) * f64::exp(luck)
            };
            let series: Vec<f64> = (0..60).map(month).collect();
            let (past, to_come) = series.split_at(48);
            let spread = Spread::of(past);
            for (ahead, (said, came)) in forecast(past, 12).into_iter().zip(to_come).enumerate() {
                let Expected { band_80, band_95, .. } = spread.around(said, ahead + 1);
                assert!(band_95.0 <= band_80.0 && band_80.0 <= said && said <= band_80.1 && band_80.1 <= band_95.1);
                held += f64::from(u8::from((band_80.0..=band_80.1).contains(came)));
                of += 1.0;
            }
        }
        assert!((0.74..0.9).contains(&(held / of)), "{}", held / of);
    }

    #[test]
    fn little_is_known_of_a_museum_without_years_and_farther_is_never_surer() {
        for series in [vec![], vec![100.0; 3], vec![f64::NAN; 30], vec![0.0; 30], vec![100.0; 60]] {
            let spread = Spread::of(&series);
            assert!(spread.0.is_sorted() && spread.0[0] > 0.0, "{spread:?}");
        }
        assert!(Spread::of(&[]).0.iter().zip(UNKNOWN).all(|(sd, unknown)| (sd - unknown).abs() < 1e-12));
        assert!(Spread::of(&[100.0; 60]).0[0] < 0.1);
    }

    #[test]
    fn months_together_are_no_surer_than_each() {
        let month = Spread::of(&[]).around(100.0, 3);
        let both = month.and(month).and_came(50.0);
        assert_eq!((both.mid, both.band_80.1 - both.mid), (250.0, 2.0 * (month.band_80.1 - month.mid)));
    }
}
