//! Why a score is high: the few features that add most to it, by number and direction. Words for them live where people read them.

use serde::{Deserialize, Serialize};

/// How many reasons a score gives.
pub const REASONS: usize = 3;

/// What a reason points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing more to say.
    #[default]
    None,
    /// The feature in this place of the list.
    Feature(u16),
    /// Something fed was missing, not finite or absurd; the first such feature.
    SuspectInput(u16),
}

/// On which side of the usual a feature lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Direction {
    /// Above.
    #[default]
    High,
    /// Below.
    Low,
}

/// One reason.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Reason {
    /// What it points to.
    pub cause: Cause,
    /// On which side of the usual it lies.
    pub direction: Direction,
    /// Its part of everything that raises the score, 0 to 1.
    pub share: f32,
}

/// The features that add most. `parts` are what each column adds to the score, `above` whether its value lies above the usual. No allocation.
#[must_use]
pub fn top(parts: &[f64], above: impl Fn(usize) -> bool) -> [Reason; REASONS] {
    let mut best = [(0.0_f64, usize::MAX); REASONS];
    let mut total = 0.0;
    for (column, &part) in parts.iter().enumerate() {
        // NaN is not above zero, so it is never a reason.
        if part > 0.0 {
            total += part;
            let mut candidate = (part, column);
            for place in &mut best {
                if candidate.0 > place.0 {
                    std::mem::swap(place, &mut candidate);
                }
            }
        }
    }
    best.map(|(part, column)| match u16::try_from(column) {
        Ok(feature) if part > 0.0 => Reason {
            cause: Cause::Feature(feature),
            direction: if above(column) { Direction::High } else { Direction::Low },
            share: (part / total) as f32,
        },
        _ => Reason::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_what_lowers_is_no_reason() {
        let reasons = top(&[1.0, -9.0, 4.0, f64::NAN, 0.0, 3.0, 2.0], |column| column != 5);
        let causes = reasons.map(|reason| (reason.cause, reason.direction));
        assert_eq!(causes, [(Cause::Feature(2), Direction::High), (Cause::Feature(5), Direction::Low), (Cause::Feature(6), Direction::High)]);
        assert!((reasons[0].share - 0.4).abs() < 1e-6);
        assert_eq!(top(&[0.0, -1.0], |_| true), [Reason::default(); REASONS]);
        assert_eq!(top(&[2.0, 2.0], |_| true)[0].cause, Cause::Feature(0), "of equals, the first");
    }
}
