//! What is known of one slot or museum: decayed counts of what all who want it do there, as far as anybody is told of what others do. Every event is of one or two of these,
//! and all who ask at once read the same ones: that is why they are so small that a copy costs nothing.

use serde::{Deserialize, Serialize};

use super::SignalEvent;
use super::party::{Counted, is_no_hold, one_of};
use crate::fraud::decay::{COUNT_MAX, SPANS, Span, factor};

/// Over which half-lives.
const KEPT: [Span; 2] = [Span::Hour, Span::Day];
/// How many things are counted: the ones that [`place_of`] knows.
const COUNTS: usize = 6;

/// What is known of one slot or museum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlaceState {
    last_us: i64,
    counts: [[f32; KEPT.len()]; COUNTS],
}

/// Where a count stands; none: it is not kept.
const fn place_of(what: Counted) -> Option<usize> {
    match what {
        Counted::Holds => Some(0),
        Counted::Bought => Some(1),
        Counted::Expired => Some(2),
        Counted::Begun => Some(3),
        Counted::Failed => Some(4),
        Counted::Waits => Some(5),
        _ => None,
    }
}

impl PlaceState {
    /// Of a place in which something happens for the first time.
    #[must_use]
    pub const fn new(at_us: i64) -> Self {
        Self { last_us: at_us, counts: [[0.0; KEPT.len()]; COUNTS] }
    }

    /// When something last happened there, in UTC microseconds.
    #[must_use]
    pub const fn last_us(&self) -> i64 {
        self.last_us
    }

    /// What is counted, as of the time to which `factors` shrink it; 0 for what is not kept of places.
    #[must_use]
    pub fn count(&self, what: Counted, span: Span, factors: &[f32; SPANS]) -> f32 {
        let kept = place_of(what).zip(KEPT.iter().position(|kept| *kept == span));
        debug_assert!(kept.is_some(), "of a place {what:?} over {span:?} is not kept");
        kept.map_or(0.0, |(place, kept)| self.counts[place][kept] * factors[span as usize])
    }

    /// Takes an event in that happened there.
    pub fn take(&mut self, event: &SignalEvent) {
        let at_us = event.at_us.max(self.last_us);
        let gone_us = at_us.saturating_sub(self.last_us);
        let factors = KEPT.map(|span| factor(gone_us, span));
        for counts in &mut self.counts {
            counts.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
        self.last_us = at_us;
        self.count_in(event);
    }

    fn count_in(&mut self, event: &SignalEvent) {
        let waits = is_no_hold(event).then_some(Counted::Waits);
        for place in [one_of(event), waits].into_iter().flatten().filter_map(place_of) {
            self.counts[place].iter_mut().for_each(|value| *value = (*value + 1.0).min(COUNT_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outlet, PartyState, Role, SignalKind};
    use super::*;
    use crate::fraud::decay::factors;

    #[test]
    fn of_a_place_is_counted_what_would_be_counted_of_a_party_to_the_last_bit() {
        let (mut place, mut party) = (PlaceState::new(1_000), PartyState::new(1_000));
        let kinds = [
            SignalKind::Held,
            SignalKind::Waited,
            SignalKind::Sold { held: true },
            SignalKind::Sold { held: false },
            SignalKind::Expired,
            SignalKind::Released,
            SignalKind::PaymentBegun,
            SignalKind::PaymentFailed,
            SignalKind::Refunded,
            SignalKind::Admitted,
        ];
        let mut at_us = 1_000;
        for i in 0..400_i64 {
            // Now and then one comes that is older than the one before.
            at_us += (i * 7_919) % 1_013 * 1_000_000 - 3_000_000;
            let event = SignalEvent { people: 3, no_hold: i % 3 == 0, ..SignalEvent::new(at_us, kinds[i as usize % kinds.len()], Outlet::Web, 1) };
            place.take(&event);
            party.take(&event, Role::Slot, 0);
        }
        assert_eq!(place.last_us(), party.last_us());
        let factors = factors(1_234_567_890);
        for what in [Counted::Holds, Counted::Bought, Counted::Expired, Counted::Begun, Counted::Failed, Counted::Waits] {
            for span in KEPT {
                let (there, of_party) = (place.count(what, span, &factors), party.count(what, span, &factors));
                assert!(there > 0.0 && there.to_bits() == of_party.to_bits(), "{what:?} over {span:?}: {there} and {of_party}");
            }
        }
    }

    #[test]
    fn a_place_is_a_cache_line_at_most() {
        assert!(size_of::<PlaceState>() <= 64, "{}", size_of::<PlaceState>());
    }
}
