//! What is known of somebody or something for whom events count: of a party its [`PartyState`], of a slot or museum its [`PlaceState`].
//!
//! The state of a party is most of a kilobyte, and whoever assesses a command reads several at once. So it is shared: a reader takes a pointer, and an event that comes
//! later makes another state beside it and never touches the one that somebody may be reading. Nobody waits, nothing is read while it changes, and what was before a
//! batch is kept without being copied.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::party::{Counted, PartyState};
use super::place::PlaceState;
use super::{Role, SignalEvent};
use crate::fraud::decay::{SPANS, Span, factors};

/// What is known of one for whom events count. A copy is a pointer, or next to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Of who takes part.
    Party(#[serde(serialize_with = "write_shared", deserialize_with = "read_shared")] Arc<PartyState>),
    /// Of a slot or museum.
    Place(PlaceState),
}

impl State {
    /// Of one that is seen for the first time, as `role`.
    #[must_use]
    pub fn new(role: Role, at_us: i64) -> Self {
        if matches!(role, Role::Slot | Role::Museum) { Self::Place(PlaceState::new(at_us)) } else { Self::Party(Arc::new(PartyState::new(at_us))) }
    }

    /// When it was last seen, in UTC microseconds.
    #[must_use]
    pub fn last_us(&self) -> i64 {
        match self {
            Self::Party(state) => state.last_us(),
            Self::Place(state) => state.last_us(),
        }
    }

    /// By what its counts shrink until `at_us`: for [`State::count`].
    #[must_use]
    pub fn factors_to(&self, at_us: i64) -> [f32; SPANS] {
        factors(at_us.saturating_sub(self.last_us()))
    }

    /// What is counted, as of the time to which `factors` shrink it.
    #[must_use]
    pub fn count(&self, what: Counted, span: Span, factors: &[f32; SPANS]) -> f32 {
        match self {
            Self::Party(state) => state.count(what, span, factors),
            Self::Place(state) => state.count(what, span, factors),
        }
    }

    /// Takes an event in, in which this one takes part as `role` under which of its pseudonyms, as [`PartyState::take`] has it. Who reads what was known before goes on
    /// reading that.
    pub fn take(&mut self, event: &SignalEvent, role: Role, generation: usize) {
        match self {
            Self::Party(state) => Arc::make_mut(state).take(event, role, generation),
            Self::Place(state) => state.take(event),
        }
    }
}

/// As if nobody shared it: saved states are for whoever starts again.
fn write_shared<S: Serializer>(state: &Arc<PartyState>, serializer: S) -> Result<S::Ok, S::Error> {
    PartyState::serialize(state, serializer)
}

fn read_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<PartyState>, D::Error> {
    PartyState::deserialize(deserializer).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::super::{Outlet, SignalKind};
    use super::*;

    #[test]
    fn whoever_reads_goes_on_reading_what_was_known_when_they_began() {
        let event = |at_us: i64| SignalEvent::new(at_us, SignalKind::Held, Outlet::Web, 1);
        for role in [Role::Buyer, Role::Slot, Role::Museum] {
            let mut state = State::new(role, 0);
            state.take(&event(1), role, 0);
            let read = state.clone();
            state.take(&event(1), role, 0);
            let holds = |state: &State| state.count(Counted::Holds, Span::Day, &[1.0; SPANS]);
            assert!((holds(&read) - 1.0).abs() < 1e-6 && (holds(&state) - 2.0).abs() < 1e-6, "{role:?}");
            let saved = postcard::to_allocvec(&state).expect("saved");
            assert_eq!(postcard::from_bytes::<State>(&saved), Ok(state), "{role:?}");
        }
    }

    #[test]
    fn one_that_nobody_else_reads_is_changed_where_it_is() {
        let mut state = State::new(Role::Device, 0);
        let place = |state: &State| match state {
            State::Party(shared) => Arc::as_ptr(shared),
            State::Place(_) => std::ptr::null(),
        };
        let before = place(&state);
        state.take(&SignalEvent::new(1, SignalKind::Held, Outlet::Web, 1), Role::Device, 0);
        assert!(!before.is_null() && place(&state) == before);
    }

    #[test]
    fn a_copy_is_next_to_nothing() {
        assert!(size_of::<State>() <= 64, "{}", size_of::<State>());
    }
}
