//! How many of those who booked will come: the mean, the variance, and the whole distribution where a decision needs its tail.
//!
//! Parties come or stay away whole. They are not independent (rain, a strike), so the variance is that of independent parties times a factor phi of at least 1,
//! fitted on past slots. In the distribution the same factor is a shock that moves the log odds of all parties together.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::logistic::{log_odds, probability};

/// A party that has booked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// How many people.
    pub people: u32,
    /// The probability that it does not come: it cancels, or stays away.
    pub lost: f64,
}

/// What is expected of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shows {
    /// People who will come.
    pub mean: f64,
    /// The variance of that number.
    pub variance: f64,
}

impl Shows {
    /// Of these parties, with this factor on the variance.
    #[must_use]
    pub fn of(parties: &[Party], phi: f64) -> Self {
        let independent = |party: &Party| f64::from(party.people).powi(2) * party.lost * (1.0 - party.lost);
        Self {
            mean: parties.iter().map(|party| f64::from(party.people) * (1.0 - party.lost)).sum(),
            variance: phi.max(1.0) * parties.iter().map(independent).sum::<f64>(),
        }
    }
}

/// Fits phi on past slots: what was expected with a factor of 1, and how many came. The mean squared error over the mean variance; never below 1, and 1 while
/// there are fewer than 30 slots to learn from.
#[must_use]
pub fn fit_phi(slots: &[(Shows, f64)]) -> f64 {
    if slots.len() < 30 {
        return 1.0;
    }
    let errors: f64 = slots.iter().map(|(expected, came)| (came - expected.mean).powi(2)).sum();
    let variances: f64 = slots.iter().map(|(expected, _)| expected.variance).sum();
    if variances > 0.0 { (errors / variances).max(1.0) } else { 1.0 }
}

/// Nodes and weights of a seven-point Gauss-Hermite rule for the standard normal distribution.
const SHOCKS: [(f64, f64); 7] = [
    (-3.750_439_717_725_742, 5.482_688_559_722_184e-4),
    (-2.366_759_410_734_541, 3.075_712_396_758_649e-2),
    (-1.154_405_394_739_968, 2.401_231_786_050_127e-1),
    (0.0, 4.571_428_571_428_574e-1),
    (1.154_405_394_739_968, 2.401_231_786_050_127e-1),
    (2.366_759_410_734_541, 3.075_712_396_758_649e-2),
    (3.750_439_717_725_742, 5.482_688_559_722_184e-4),
];

/// The distribution of how many come: element n is the probability of exactly n people. Refused when there are more people than can be added up.
pub fn distribution(parties: &[Party], phi: f64) -> Result<Vec<f64>, ModelError> {
    let people: u64 = parties.iter().map(|party| u64::from(party.people)).sum();
    if people > PEOPLE_MAX || parties.iter().any(|party| !(0.0..=1.0).contains(&party.lost)) {
        return Err(ModelError::BadShape { what: "probabilities, of parties of at most 20,000 people together" });
    }
    let spread = shock(parties, phi);
    let shocks: &[(f64, f64)] = if spread > 0.0 { &SHOCKS } else { &[(0.0, 1.0)] };
    let mut mixed = vec![0.0; people as usize + 1];
    for (shock, weight) in shocks {
        let mut alone = vec![0.0; people as usize + 1];
        alone[0] = 1.0;
        let mut most = 0;
        for party in parties {
            let (size, lost) = (party.people as usize, moved(party.lost, spread * shock));
            for n in (0..=most).rev() {
                let here = alone[n];
                alone[n] = here * lost;
                alone[n + size] += here * (1.0 - lost);
            }
            // A party of nobody adds to where it took from: the two shares are one again.
            most += size;
        }
        for (sum, p) in mixed.iter_mut().zip(alone) {
            *sum += weight * p;
        }
    }
    Ok(mixed)
}

/// The most people of a slot that [`distribution`] adds up.
const PEOPLE_MAX: u64 = 20_000;

/// The standard deviation of the common shock that raises the variance by phi: to first order each log odds moved by z moves the mean by `z sum n p (1-p)`.
fn shock(parties: &[Party], phi: f64) -> f64 {
    let part = |power: i32| -> f64 { parties.iter().map(|party| f64::from(party.people).powi(power) * party.lost * (1.0 - party.lost)).sum() };
    let slope = part(1);
    if phi > 1.0 && slope > 0.0 { ((phi - 1.0) * part(2)).sqrt() / slope } else { 0.0 }
}

fn moved(lost: f64, by: f64) -> f64 {
    if by == 0.0 || lost <= 0.0 || lost >= 1.0 { lost } else { probability(log_odds(lost) + by) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(distribution: &[f64]) -> (f64, f64) {
        let mean: f64 = distribution.iter().enumerate().map(|(n, p)| n as f64 * p).sum();
        (mean, distribution.iter().enumerate().map(|(n, p)| (n as f64 - mean).powi(2) * p).sum())
    }

    #[test]
    fn two_parties_by_hand() {
        let parties = [Party { people: 2, lost: 0.5 }, Party { people: 1, lost: 0.25 }];
        let distribution = distribution(&parties, 1.0).unwrap();
        for (p, expected) in distribution.iter().zip([0.125, 0.375, 0.125, 0.375]) {
            assert!((p - expected).abs() < 1e-12);
        }
        let shows = Shows::of(&parties, 1.0);
        let (mean, variance) = moments(&distribution);
        assert!((shows.mean - mean).abs() < 1e-12 && (shows.variance - variance).abs() < 1e-12);
    }

    #[test]
    fn phi_widens_the_distribution_as_it_says() {
        let parties = vec![Party { people: 2, lost: 0.25 }; 60];
        let (narrow, wide) = (moments(&distribution(&parties, 1.0).unwrap()), moments(&distribution(&parties, 2.0).unwrap()));
        assert!((wide.1 / narrow.1 - 2.0).abs() < 0.1, "{}", wide.1 / narrow.1);
        assert!((wide.0 - narrow.0).abs() < 1.0);
        let all: f64 = distribution(&parties, 2.0).unwrap().iter().sum();
        assert!((all - 1.0).abs() < 1e-9);
    }

    #[test]
    fn certainty_nobody_and_too_many() {
        assert_eq!(distribution(&[], 3.0).unwrap(), [1.0]);
        assert_eq!(distribution(&[Party { people: 1, lost: 0.0 }, Party { people: 1, lost: 1.0 }], 3.0).unwrap(), [0.0, 1.0, 0.0]);
        let nobody = distribution(&[Party { people: 0, lost: 0.3 }, Party { people: 1, lost: 0.5 }], 1.0).unwrap();
        assert!((nobody[0] - 0.5).abs() < 1e-12 && (nobody[1] - 0.5).abs() < 1e-12, "{nobody:?}");
        assert!(distribution(&[Party { people: u32::MAX, lost: 0.5 }], 1.0).is_err());
        assert!(distribution(&[Party { people: 1, lost: f64::NAN }], 1.0).is_err());
    }

    #[test]
    fn phi_is_fitted_on_enough_slots_only() {
        let slot = |error: f64| (Shows { mean: 50.0, variance: 4.0 }, 50.0 + error);
        assert!((fit_phi(&vec![slot(4.0); 40]) - 4.0).abs() < 1e-12);
        assert!((fit_phi(&vec![slot(0.0); 40]) - 1.0).abs() < 1e-12);
        assert!((fit_phi(&vec![slot(9.0); 29]) - 1.0).abs() < 1e-12);
    }
}
