//! Whether one party more may be sold than there are places for, because some will not come. By default never: where a capacity is fire safety nobody may be
//! turned away at the door, and nobody may be let in.
//!
//! Two conditions, both needed. The museum's limit: the probability that anybody is turned away stays at or below what it allows. The newsvendor: an empty
//! place costs more, weighed by the probability that it stays empty, than a visitor turned away.

use serde::{Deserialize, Serialize};

use super::shows::{Party, distribution};
use crate::ModelError;

/// What a museum allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overbooking {
    /// Never more than the places.
    Never,
    /// Some, within limits.
    Within {
        /// The highest probability of turning anybody away, 0 to 1.
        turn_away_max: f64,
        /// The most people sold beyond the places, whatever the model says.
        people_max: u32,
        /// What an empty place costs, in cents.
        empty_cents: u32,
        /// What a visitor turned away costs, in cents.
        turned_away_cents: u32,
    },
}

/// What was decided for one party more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it may be sold.
    pub accepted: bool,
    /// The probability that somebody is turned away if it is.
    pub turn_away: f64,
}

/// Decides whether `next` may be sold on top of `parties` for `places` places.
pub fn decide(policy: Overbooking, places: u32, parties: &[Party], next: Party, phi: f64) -> Result<Decision, ModelError> {
    let sold: u64 = parties.iter().chain([&next]).map(|party| u64::from(party.people)).sum();
    if sold <= u64::from(places) {
        return Ok(Decision { accepted: true, turn_away: 0.0 });
    }
    let with: Vec<Party> = parties.iter().copied().chain([next]).collect();
    let places = places as usize;
    let turn_away = distribution(&with, phi)?.iter().skip(places + 1).sum::<f64>().min(1.0);
    let Overbooking::Within { turn_away_max, people_max, empty_cents, turned_away_cents } = policy else {
        return Ok(Decision { accepted: false, turn_away });
    };
    let room_before = distribution(parties, phi)?.iter().take(places.saturating_sub(next.people.max(1) as usize) + 1).sum::<f64>().min(1.0);
    let worthwhile = f64::from(empty_cents) * room_before > f64::from(turned_away_cents) * (1.0 - room_before);
    let beyond = sold - places as u64;
    // Written so that a limit that is no number allows nothing.
    let accepted = turn_away <= turn_away_max && beyond <= u64::from(people_max) && worthwhile;
    Ok(Decision { accepted, turn_away })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    const ONE: Party = Party { people: 1, lost: 0.2 };

    fn within(turn_away_max: f64) -> Overbooking {
        Overbooking::Within { turn_away_max, people_max: 30, empty_cents: 1_200, turned_away_cents: 5_000 }
    }

    #[test]
    fn by_default_the_places_are_the_end() {
        let full = vec![ONE; 10];
        assert!(decide(Overbooking::Never, 10, &full[..9], ONE, 1.0).unwrap().accepted);
        assert!(!decide(Overbooking::Never, 10, &full, ONE, 1.0).unwrap().accepted);
        assert!(!decide(within(f64::NAN), 10, &full, ONE, 1.0).unwrap().accepted);
        assert!(!decide(within(0.0), 10, &full, ONE, 1.0).unwrap().accepted);
    }

    #[test]
    fn each_limit_binds() {
        let full = vec![ONE; 100];
        let decision = decide(within(0.05), 100, &full, ONE, 1.0).unwrap();
        assert!(decision.accepted && decision.turn_away < 1e-6);
        let none = Overbooking::Within { turn_away_max: 0.05, people_max: 0, empty_cents: 1_200, turned_away_cents: 5_000 };
        assert!(!decide(none, 100, &full, ONE, 1.0).unwrap().accepted);
        let worthless = Overbooking::Within { turn_away_max: 0.05, people_max: 30, empty_cents: 0, turned_away_cents: 5_000 };
        assert!(!decide(worthless, 100, &full, ONE, 1.0).unwrap().accepted);
    }

    /// Sells until the rule says no, then lets the parties come, with a shock of their own kind (a day on which everybody is likelier to stay away or to come).
    #[test]
    fn nobody_is_turned_away_more_often_than_the_museum_allows() {
        let mut chance = Chance::new(17);
        let (places, limit) = (80, 0.05);
        let phi = 1.5;
        let mut parties: Vec<Party> = Vec::new();
        loop {
            let next = Party { people: 1 + chance.below(3) as u32, lost: 0.05 + 0.3 * chance.unit() };
            if !decide(within(limit), places, &parties, next, phi).unwrap().accepted {
                break;
            }
            parties.push(next);
        }
        let sold: u32 = parties.iter().map(|party| party.people).sum();
        assert!(sold > places, "the rule uses what it is allowed");
        let turned_away = (0..4_000)
            .filter(|_| {
                // A shock of the log odds that gives half as much variance again.
                let shock = 0.27 * chance.normal();
                let comes =
                    |party: &Party, chance: &mut Chance| chance.unit() >= crate::logistic::probability(crate::logistic::log_odds(party.lost) + shock);
                let came: u32 = parties.iter().map(|party| if comes(party, &mut chance) { party.people } else { 0 }).sum();
                came > places
            })
            .count();
        assert!((turned_away as f64) / 4_000.0 <= limit + 0.01, "{turned_away} of 4,000");
    }
}
