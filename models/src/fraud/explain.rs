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

/// The most groups that columns can be put in.
pub const GROUPS_MAX: usize = 32;

/// The features that add most. `parts` are what each column adds to the score, `above` whether its value lies above the usual; `groups` says of each column which
/// behaviour it speaks of, 0: of none; empty: nothing is known of that, and each column is for itself. No allocation.
///
/// With groups each reason is of another behaviour: columns that say the same add up before they are compared, and the one of them that adds most speaks for all. What
/// somebody does more than others comes first. What they do less, and circumstances as the hour or the size of a party, may make a score higher, but explain to
/// nobody what is wrong: they are named after the others, if there is room.
#[must_use]
pub fn top(parts: &[f64], groups: &[u8], above: impl Fn(usize) -> bool) -> [Reason; REASONS] {
    if groups.is_empty() {
        return named(parts.iter().copied().enumerate().map(|(column, part)| (part, column)), parts, above);
    }
    let none = (0.0_f64, 0.0_f64, usize::MAX);
    let (mut much, mut rest) = ([none; GROUPS_MAX], [none; GROUPS_MAX]);
    for ((column, &part), &group) in parts.iter().enumerate().zip(groups) {
        if !part.is_finite() || part == 0.0 {
            continue;
        }
        let group = usize::from(group) % GROUPS_MAX;
        let (sum, most, speaker) = if group > 0 && above(column) { &mut much[group] } else { &mut rest[group] };
        *sum += part;
        if part > *most {
            (*most, *speaker) = (part, column);
        }
    }
    // What a group adds up to counts, with what speaks against: a column that cancels another one of its group leaves no reason.
    let spoken = |groups: [(f64, f64, usize); GROUPS_MAX]| {
        groups.into_iter().filter(|(.., speaker)| *speaker != usize::MAX).map(|(sum, _, speaker)| (sum, speaker))
    };
    let mut reasons = named(spoken(much), parts, &above);
    // A behaviour that is named for what somebody does more is not named again for what they do less.
    for (less, (sum, ..)) in rest.iter_mut().zip(much) {
        if sum > 0.0 {
            *less = none;
        }
    }
    let places = reasons.iter_mut().filter(|reason| reason.cause == Cause::None);
    for (place, reason) in places.zip(named(spoken(rest), parts, &above)) {
        *place = reason;
    }
    reasons
}

/// The largest three, of which only what is above zero is a reason.
fn named(candidates: impl Iterator<Item = (f64, usize)>, parts: &[f64], above: impl Fn(usize) -> bool) -> [Reason; REASONS] {
    let mut best = [(0.0_f64, usize::MAX); REASONS];
    for mut candidate in candidates {
        // NaN is not above zero, so it is never a reason.
        if candidate.0 > 0.0 {
            for place in &mut best {
                if candidate.0 > place.0 {
                    std::mem::swap(place, &mut candidate);
                }
            }
        }
    }
    let total: f64 = parts.iter().filter(|part| **part > 0.0).sum();
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
        let reasons = top(&[1.0, -9.0, 4.0, f64::NAN, 0.0, 3.0, 2.0], &[], |column| column != 5);
        let causes = reasons.map(|reason| (reason.cause, reason.direction));
        assert_eq!(causes, [(Cause::Feature(2), Direction::High), (Cause::Feature(5), Direction::Low), (Cause::Feature(6), Direction::High)]);
        assert!((reasons[0].share - 0.4).abs() < 1e-6);
        assert_eq!(top(&[0.0, -1.0], &[], |_| true), [Reason::default(); REASONS]);
        assert_eq!(top(&[2.0, 2.0], &[], |_| true)[0].cause, Cause::Feature(0), "of equals, the first");
    }

    #[test]
    fn columns_of_a_group_add_up_and_one_speaks_for_them() {
        // Three that say the same weigh more than one that is larger than each of them; what cancels is no reason.
        let reasons = top(&[2.0, 2.5, 2.0, 4.0, 9.0, -9.5, f64::NAN], &[1, 1, 1, 2, 3, 3, 2], |_| true);
        assert_eq!(reasons.map(|reason| reason.cause), [Cause::Feature(1), Cause::Feature(3), Cause::None]);
        assert!((reasons[0].share - 6.5 / 19.5).abs() < 1e-6, "{reasons:?}");
    }

    #[test]
    fn a_behaviour_is_named_once_whichever_side_its_columns_lie_on() {
        // The first behaviour adds by what is more and by what is less; the second only by what is less.
        let parts = [3.0, 2.0, 1.0, 0.5];
        let reasons = top(&parts, &[1, 1, 2, 0], |column| column == 0);
        let causes = reasons.map(|reason| (reason.cause, reason.direction));
        assert_eq!(causes, [(Cause::Feature(0), Direction::High), (Cause::Feature(2), Direction::Low), (Cause::Feature(3), Direction::Low)]);
        // What is more cancels out and leaves no reason: what is less speaks for the behaviour then.
        let cancelled = top(&[3.0, -4.0, 2.0], &[1, 1, 1], |column| column < 2);
        assert_eq!(cancelled.map(|reason| reason.cause), [Cause::Feature(2), Cause::None, Cause::None]);
    }

    #[test]
    fn circumstances_and_what_is_less_than_usual_come_last() {
        let parts = [9.0, 0.5, 7.0, 0.25];
        let reasons = top(&parts, &[0, 1, 2, 3], |column| column != 2);
        assert_eq!(reasons.map(|reason| reason.cause), [Cause::Feature(1), Cause::Feature(3), Cause::Feature(0)]);
        let few = top(&parts, &[0, 0, 2, 3], |column| column != 2);
        let causes = few.map(|reason| (reason.cause, reason.direction));
        assert_eq!(causes, [(Cause::Feature(3), Direction::High), (Cause::Feature(0), Direction::High), (Cause::Feature(2), Direction::Low)]);
    }
}
