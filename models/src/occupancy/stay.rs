//! How long people stay: a log-normal law with the mean and the standard deviation of the site, as a table of survival by the minute.

use serde::{Deserialize, Serialize};

/// Nobody is thought to stay longer, in minutes.
pub const STAY_MIN_MAX: usize = 480;
/// The mean where nothing was learned, in minutes.
const MEAN_MIN: f64 = 90.0;
/// The standard deviation where nothing was learned, in minutes.
const SD_MIN: f64 = 45.0;

/// The law of a visit's length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    mean_min: f64,
    sd_min: f64,
}

impl Default for Stay {
    fn default() -> Self {
        Self { mean_min: MEAN_MIN, sd_min: SD_MIN }
    }
}

impl Stay {
    /// A law with this mean and standard deviation in minutes, each brought into what visits are: 5 to 300 minutes, and 10% to 150% of the mean.
    #[must_use]
    pub fn new(mean_min: f64, sd_min: f64) -> Self {
        let usual = Self::default();
        let mean_min = if mean_min.is_finite() { mean_min.clamp(5.0, 300.0) } else { usual.mean_min };
        let sd_min = if sd_min.is_finite() { sd_min.clamp(0.1 * mean_min, 1.5 * mean_min) } else { 0.5 * mean_min };
        Self { mean_min, sd_min }
    }

    /// The mean, in minutes.
    #[must_use]
    pub const fn mean_min(&self) -> f64 {
        self.mean_min
    }

    /// The standard deviation, in minutes.
    #[must_use]
    pub const fn sd_min(&self) -> f64 {
        self.sd_min
    }

    /// The probability to be still inside after 0, 1, ... [`STAY_MIN_MAX`] minutes.
    #[must_use]
    pub fn survival(&self) -> Vec<f64> {
        let spread = (1.0 + (self.sd_min / self.mean_min).powi(2)).ln();
        let (middle, sigma) = (self.mean_min.ln() - spread / 2.0, spread.sqrt());
        (0..=STAY_MIN_MAX).map(|minute| if minute == 0 { 1.0 } else { upper_tail(((minute as f64).ln() - middle) / sigma) }).collect()
    }
}

/// The probability that a standard normal number is above `z`: the rational approximation 26.2.17 of Abramowitz and Stegun, within 7.5e-8.
#[must_use]
pub fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_is_that_of_the_tables() {
        for (z, expected) in [(0.0, 0.5), (1.0, 0.158_655_25), (1.96, 0.024_997_9), (-1.0, 0.841_344_75), (3.0, 0.001_349_9), (40.0, 0.0)] {
            assert!((upper_tail(z) - expected).abs() < 1e-6, "{z}");
        }
    }

    #[test]
    fn the_table_has_the_mean_that_was_asked_for() {
        let stay = Stay::new(70.0, 30.0);
        let survival = stay.survival();
        // The mean of what is never below zero is the area under its survival.
        let mean: f64 = survival.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
        assert!((mean - 70.0).abs() < 0.5, "{mean}");
        assert!(survival.windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn what_no_visit_is_like_is_brought_back() {
        assert_eq!(Stay::new(f64::NAN, 3.0).mean_min(), MEAN_MIN);
        assert_eq!((Stay::new(1.0, 900.0).mean_min(), Stay::new(1.0, 900.0).sd_min()), (5.0, 7.5));
        assert_eq!(Stay::new(100.0, -1.0).sd_min(), 10.0);
    }
}
