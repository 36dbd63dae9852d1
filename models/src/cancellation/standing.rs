//! What a booking's chance to be lost is worth later on: who has not given a place back by the evening before is likelier to come than on the day of booking.
//!
//! The model says at booking how likely a booking is to be lost in the end. Of bookings that still stand so many days before the visit, past ones show how many
//! were lost after that, against what the model had said of them: that ratio is the factor.

use serde::{Deserialize, Serialize};

/// Days before the visit at which past bookings are looked at, and from which on a factor holds.
const DAYS_LEFT: [f64; 8] = [0.0, 0.5, 1.0, 3.0, 7.0, 14.0, 28.0, 60.0];
/// The factor of 1 weighs as much as so many bookings that were lost.
const DOUBT: f64 = 10.0;
/// A factor is never larger: who still stands may be a little likelier to be lost than all were, as late bookings differ.
const FACTOR_MAX: f64 = 3.0;

/// A past booking: what was said of it, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    /// The probability that it is lost, as said when it was made.
    pub chance: f64,
    /// How many days before the visit it was made.
    pub lead_days: f64,
    /// Whether it was lost.
    pub lost: bool,
    /// How many days before the visit it was given back; none: nobody came, or somebody did.
    pub given_back_days: Option<f64>,
}

/// The factors by days left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing([f64; DAYS_LEFT.len()]);

impl Default for Standing {
    /// Nothing is known: what was said at booking holds.
    fn default() -> Self {
        Self([1.0; DAYS_LEFT.len()])
    }
}

impl Standing {
    /// Learned of past bookings that the model had not seen.
    #[must_use]
    pub fn of(fates: &[Fate]) -> Self {
        Self(DAYS_LEFT.map(|left| {
            let stands = |fate: &&Fate| fate.lead_days >= left && fate.given_back_days.is_none_or(|days| days < left);
            let (lost, said) =
                fates.iter().filter(stands).fold((0.0, 0.0), |(lost, said), fate| (lost + f64::from(u8::from(fate.lost)), said + fate.chance));
            ((lost + DOUBT) / (said + DOUBT)).min(FACTOR_MAX)
        }))
    }

    /// The probability that a booking which still stands so many days before the visit is lost.
    #[must_use]
    pub fn chance(&self, at_booking: f64, days_left: f64) -> f64 {
        let place = DAYS_LEFT.iter().rposition(|left| *left <= days_left).unwrap_or(0);
        (self.0[place] * at_booking).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a hundred bookings made ten days before, twenty are given back five days before, and four stay away.
    fn fates() -> Vec<Fate> {
        let fate = |number: u32| Fate { chance: 0.24, lead_days: 10.0, lost: number % 100 < 24, given_back_days: (number % 100 < 20).then_some(5.0) };
        (0..2_000).map(fate).collect()
    }

    #[test]
    fn who_has_not_given_back_by_the_evening_before_is_likelier_to_come() {
        let standing = Standing::of(&fates());
        assert!((standing.chance(0.24, 8.0) - 0.24).abs() < 0.01, "nobody has given back yet");
        assert!((standing.chance(0.24, 1.5) - 0.05).abs() < 0.01, "four of the eighty that still stand: {}", standing.chance(0.24, 1.5));
        assert!(standing.chance(0.48, 1.5) > 1.9 * standing.chance(0.24, 1.5));
    }

    #[test]
    fn without_a_past_what_was_said_holds() {
        assert_eq!(Standing::of(&[]), Standing::default());
        assert_eq!([Standing::default().chance(0.3, 12.0), Standing::default().chance(7.0, -1.0)], [0.3, 1.0]);
    }
}
