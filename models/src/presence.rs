//! People present in an area, from how many phones of each operator its cells see, and the share of visitors who come in. Each operator's count is divided by its
//! share of the market; what the operators say is weighted by how sure it is. Counts of people only: nothing here could hold a device.

use serde::{Deserialize, Serialize};

/// Counts below this are not used and results below it not told: they would be about persons.
pub const SUPPRESSED_BELOW: f64 = 15.0;
/// The two-sided 95% quantile of the normal law.
const Z_95: f64 = 1.959_964;

/// What one operator's cells count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// Phones seen.
    pub devices: u32,
    /// The operator's share of the market here, above 0, at most 1.
    pub share: f64,
    /// One standard deviation of that share.
    pub share_sd: f64,
}

impl Operator {
    /// The people that its count stands for, and the variance of that: a binomial count, and a share that is itself only known so well.
    fn stands_for(&self) -> Option<(f64, f64)> {
        let (devices, share) = (f64::from(self.devices), self.share);
        if devices < SUPPRESSED_BELOW || !(share > 0.0 && share <= 1.0) || !(self.share_sd >= 0.0 && self.share_sd.is_finite()) {
            return None;
        }
        let squared = share * share;
        let variance = devices * (1.0 - share) / squared + (devices * self.share_sd / squared).powi(2);
        Some((devices / share, variance.max(1.0)))
    }
}

/// People present.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// How many.
    pub people: f64,
    /// One standard deviation.
    pub sd: f64,
    /// How many operators that rests on.
    pub operators: u32,
}

/// People present by all operators whose counts may be used: the mean weighted by the inverse of the variances. None where no count is large enough.
#[must_use]
pub fn present(operators: &[Operator]) -> Option<Present> {
    let mut sums = (0.0, 0.0, 0);
    for (people, variance) in operators.iter().filter_map(Operator::stands_for) {
        sums = (sums.0 + people / variance, sums.1 + 1.0 / variance, sums.2 + 1);
    }
    let (weighted, weights, operators) = sums;
    let people = weighted / weights;
    (operators > 0 && people >= SUPPRESSED_BELOW).then(|| Present { people, sd: (1.0 / weights).sqrt(), operators })
}

/// Which share of those present came in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// The share.
    pub share: f64,
    /// The ends of its 95% interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// People let in for each person present, with a 95% interval on the scale of logarithms: the relative variance of a ratio is the sum of both relative variances.
/// None where fewer were let in than may be told.
#[must_use]
pub fn conversion(admitted: u32, present: &Present) -> Option<Conversion> {
    let admitted = f64::from(admitted);
    if admitted < SUPPRESSED_BELOW || present.people <= 0.0 {
        return None;
    }
    let share = admitted / present.people;
    let spread = Z_95 * (1.0 / admitted + (present.sd / present.people).powi(2)).sqrt();
    Some(Conversion { share: share.min(1.0), low: (share * (-spread).exp()).min(1.0), high: (share * spread.exp()).min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(devices: u32, share: f64, share_sd: f64) -> Operator {
        Operator { devices, share, share_sd }
    }

    #[test]
    fn the_surer_operator_weighs_more() {
        let alone = present(&[operator(300, 0.3, 0.01)]).unwrap();
        assert!((alone.people - 1_000.0).abs() < 1e-9);
        // 300 * .7 / .09 + (300 * .01 / .09)^2 = 2333.3 + 1111.1
        assert!((alone.sd - 3_444.44_f64.sqrt()).abs() < 0.01, "{}", alone.sd);
        let both = present(&[operator(300, 0.3, 0.01), operator(100, 0.2, 0.05)]).unwrap();
        assert!(both.people > 900.0 && both.people < 1_000.0 && both.sd < alone.sd, "{both:?}");
        assert_eq!(both.operators, 2);
    }

    #[test]
    fn small_counts_are_not_told_nor_used() {
        assert_eq!(present(&[operator(14, 0.3, 0.01)]), None);
        assert_eq!(present(&[operator(14, 0.3, 0.01), operator(300, 0.3, 0.01)]).map(|present| present.operators), Some(1));
        assert!(present(&[operator(15, 1.0, 0.0)]).is_some());
        for absurd in [operator(500, 0.0, 0.1), operator(500, 1.1, 0.1), operator(500, 0.3, f64::NAN), operator(500, f64::NAN, 0.1)] {
            assert_eq!(present(&[absurd]), None, "{absurd:?}");
        }
        assert_eq!(present(&[]), None);
        let there = Present { people: 1_000.0, sd: 50.0, operators: 2 };
        assert_eq!(conversion(14, &there), None);
    }

    #[test]
    fn the_interval_holds_both_uncertainties() {
        let there = Present { people: 1_000.0, sd: 50.0, operators: 2 };
        let Conversion { share, low, high } = conversion(400, &there).unwrap();
        assert_eq!(share, 0.4);
        assert!(low > 0.34 && low < 0.36 && high > 0.45 && high < 0.47, "{low} {high}");
        assert_eq!(conversion(5_000, &there).map(|all| all.share), Some(1.0), "more than all cannot come in");
    }
}
