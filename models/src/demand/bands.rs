//! What makes bands hold: conformalised quantile regression (Romano, Patterson, Candès 2019). Where the learned quantiles missed on days that they had not seen
//! says how far the band must be moved out, or in, per bucket of horizons.
//!
//! Misses are measured in half-widths of the learned band on their side, so that a band is wide where the model is unsure. One set of misses serves the 80% and the 95% band.

use serde::{Deserialize, Serialize};

use crate::quantile;

/// The last horizon of each bucket but the last, which has all beyond.
const BUCKET_ENDS: [u16; 3] = [1, 7, 14];
/// How many buckets of horizons there are.
pub const BUCKETS: usize = BUCKET_ENDS.len() + 1;

/// The bucket of a horizon.
#[must_use]
pub fn bucket(horizon: u16) -> usize {
    BUCKET_ENDS.iter().position(|end| horizon <= *end).unwrap_or(BUCKET_ENDS.len())
}

/// A forecast of one day in visitors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The median.
    pub median: f64,
    /// The lower end of the 80% band.
    pub low_80: f64,
    /// The upper end of the 80% band.
    pub high_80: f64,
    /// The lower end of the 95% band.
    pub low_95: f64,
    /// The upper end of the 95% band.
    pub high_95: f64,
}

impl Band {
    /// Nobody, for sure.
    pub const CLOSED: Self = Self { median: 0.0, low_80: 0.0, high_80: 0.0, low_95: 0.0, high_95: 0.0 };
}

/// Learned quantiles against what came on a day that they had not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Miss {
    /// How many days ahead it was.
    pub horizon: u16,
    /// The learned quantiles .1, .5, .9, in visitors.
    pub quantiles: [f64; 3],
    /// How many visitors came.
    pub actual: f64,
}

impl Miss {
    /// By how many half-widths what came lies outside the band; below zero inside.
    fn distance(&self) -> f64 {
        let [low, median, high] = self.quantiles;
        ((low - self.actual) / half_width(median, low, median)).max((self.actual - high) / half_width(median, high, median))
    }
}

/// A half-width of the band, never so small that a miss becomes endless.
fn half_width(median: f64, end: f64, scale: f64) -> f64 {
    (median - end).abs().max(0.02 * scale).max(0.5)
}

/// The correction of each bucket of horizons.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Half-widths by which the 80% band is moved out.
    out_80: [f64; BUCKETS],
    /// The same for the 95% band.
    out_95: [f64; BUCKETS],
}

impl Correction {
    /// No correction of the 80% band; the 95% band as wide as for a normal distribution.
    pub const NONE: Self = Self { out_80: [0.0; BUCKETS], out_95: [NORMAL_95; BUCKETS] };

    /// The correction under which the misses would have been covered at these shares (.8 and .95, unless past bands held too much or too little).
    /// A bucket with few misses borrows those of all.
    #[must_use]
    pub fn of(misses: &[Miss], share_80: f64, share_95: f64) -> Self {
        let of_bucket = |wanted: usize, share: f64, none: f64| {
            let mut distances: Vec<f64> = misses.iter().filter(|miss| bucket(miss.horizon) == wanted).map(Miss::distance).collect();
            if distances.len() < MISSES_MIN {
                distances = misses.iter().map(Miss::distance).collect();
            }
            if distances.len() < MISSES_MIN {
                return none;
            }
            // The finite-sample step of conformal prediction: one more than the sample has.
            let count = distances.len() as f64;
            // A band never turns inside out: it keeps at least a tenth of its half-width.
            quantile::of_sample(&mut distances, (share * (count + 1.0) / count).min(1.0)).max(-0.9)
        };
        let out_80 = std::array::from_fn(|place| of_bucket(place, share_80, 0.0));
        let out_95 = std::array::from_fn(|place| of_bucket(place, share_95, NORMAL_95).max(out_80[place]));
        Self { out_80, out_95 }
    }

    /// The band of learned quantiles.
    #[must_use]
    pub fn band(&self, quantiles: [f64; 3], horizon: u16) -> Band {
        let [low, median, high] = quantiles;
        let place = bucket(horizon);
        let (below, above) = (half_width(median, low, median), half_width(median, high, median));
        let low_end = |out: f64| (low - out * below).min(median).max(0.0);
        let high_end = |out: f64| (high + out * above).max(median);
        let (out_80, out_95) = (self.out_80[place], self.out_95[place]);
        Band { median, low_80: low_end(out_80), high_80: high_end(out_80), low_95: low_end(out_95), high_95: high_end(out_95) }
    }
}

/// The share that the next fit's 80% band is to hold on held-out days, from how often the bands that were served held since the last fit: adaptive conformal
/// inference (Gibbs, Candès 2021). Held-out days are forecast by trees that are older than those that serve, so their bands tend to be a little too wide;
/// what was served says by how much. Little evidence moves it little.
#[must_use]
pub fn next_share(share_80: f64, held: u64, of: u64) -> f64 {
    let evidence = of as f64 / (of as f64 + SERVED_MIN);
    let coverage = if of == 0 { 0.8 } else { held as f64 / of as f64 };
    (share_80 + evidence * (0.8 - coverage)).clamp(0.65, 0.9)
}

/// Served days that halve the doubt in them.
const SERVED_MIN: f64 = 100.0;
/// Misses without which a bucket has no say of its own.
const MISSES_MIN: usize = 50;
/// From the 80% to the 95% band of a normal distribution, in half-widths of the former: 1.960 / 1.282 - 1.
const NORMAL_95: f64 = 0.529;

#[cfg(test)]
mod tests {
    use super::*;

    /// Misses of a model whose band is half as wide as it should be: what comes is even over 0 to 200, the band claims 60 to 140.
    fn misses(horizon: u16) -> Vec<Miss> {
        (0..=400).map(|step| Miss { horizon, quantiles: [60.0, 100.0, 140.0], actual: f64::from(step) / 2.0 }).collect()
    }

    #[test]
    fn a_band_that_was_too_narrow_is_widened_until_it_holds() {
        let correction = Correction::of(&misses(7), 0.8, 0.95);
        let band = correction.band([60.0, 100.0, 140.0], 7);
        assert!((band.low_80 - 20.0).abs() < 1.0 && (band.high_80 - 180.0).abs() < 1.0, "{band:?}");
        assert!((band.low_95 - 5.0).abs() < 1.0 && (band.high_95 - 195.0).abs() < 1.0, "{band:?}");
        let held = misses(7).iter().filter(|miss| (band.low_80..=band.high_80).contains(&miss.actual)).count();
        assert!((0.79..=0.82).contains(&(held as f64 / 401.0)));
    }

    #[test]
    fn bands_stay_in_order_and_above_zero() {
        let wide: Vec<Miss> = (0..100).map(|step| Miss { horizon: 1, quantiles: [5.0, 50.0, 95.0], actual: 50.0 + f64::from(step % 3) }).collect();
        for correction in [Correction::of(&wide, 0.8, 0.95), Correction::of(&misses(1), 0.8, 0.95), Correction::NONE] {
            for quantiles in [[0.0, 0.0, 0.0], [0.0, 1.0, 300.0], [90.0, 100.0, 110.0]] {
                let band = correction.band(quantiles, 1);
                let ends = [0.0, band.low_95, band.low_80, band.median, band.high_80, band.high_95];
                assert!(ends.is_sorted(), "{band:?}");
            }
        }
    }

    #[test]
    fn bands_that_held_too_often_are_drawn_in_and_slowly() {
        assert_eq!(next_share(0.8, 0, 0), 0.8);
        assert!((next_share(0.8, 360, 400) - 0.72).abs() < 1e-9 && (next_share(0.8, 280, 400) - 0.88).abs() < 1e-9);
        assert!(next_share(0.8, 4, 4) > 0.79);
        assert_eq!((next_share(0.66, 400, 400), next_share(0.88, 0, 400)), (0.65, 0.9));
    }

    #[test]
    fn a_bucket_without_misses_borrows() {
        let correction = Correction::of(&misses(7), 0.8, 0.95);
        assert_eq!(correction.out_80[0], correction.out_80[1]);
        assert_eq!(Correction::of(&misses(7)[..10], 0.8, 0.95), Correction::NONE);
        assert_eq!([1, 2, 7, 8, 14, 15, 60].map(bucket), [0, 1, 1, 2, 2, 3, 3]);
    }
}
