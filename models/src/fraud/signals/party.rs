//! What is known of one party: decayed counts of what it did, sketches of whom it was seen with, when it was first and last seen. Fixed size, updated in O(1). Of slots
//! and museums less is known (`place.rs`).

use serde::{Deserialize, Serialize};

use super::sketch::Sketch;
use super::{Role, SignalEvent, SignalKind};
use crate::fraud::decay::{SPANS, Span, Tally, factors};

/// What is counted of a party. Numbers are part of saved states: whoever changes them raises the form in which these are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counted {
    /// Holds, and places on waiting lists.
    Holds = 0,
    /// Sales.
    Sales = 1,
    /// Sales that were holds before, as far as these are none of [`Self::Waits`].
    Bought = 2,
    /// Holds that nobody bought.
    Expired = 3,
    /// Holds given back.
    Released = 4,
    /// Payments begun.
    Begun = 5,
    /// Payments that came to nothing.
    Failed = 6,
    /// People whose tickets the visitor gave back.
    Refunds = 7,
    /// People whose tickets the seller took back.
    Voids = 8,
    /// Voids shortly before the desk's cash was counted.
    LateVoids = 9,
    /// Tickets shown again, or shown when they were not good any more.
    Twice = 10,
    /// Tickets shown again at a gate too far away.
    Apart = 11,
    /// Commands that rules refused.
    Blocked = 12,
    /// People in sales.
    People = 13,
    /// Of them those below the full price.
    Cheap = 14,
    /// What sales cost, in cents.
    Cents = 15,
    /// Cash counted that is not what should be there, in cents either way.
    Gap = 16,
    /// People beyond [`FAMILY`] in holds and in sales without one.
    Large = 17,
    /// Of the holds those that are none which somebody may buy or leave: places on waiting lists, and what tickets take that come from another slot.
    Waits = 18,
}

const COUNTS: usize = 19;
/// As many people as a family is: who buys for more of them again and again does not buy for a family.
pub(super) const FAMILY: u32 = 4;

/// Of what different ones are counted. Numbers are part of saved states, and each [`Window`] counts the first of these only: what is asked over the shortest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Distinct {
    /// Slots.
    Slots = 0,
    /// Museums.
    Museums = 1,
    /// Cards.
    Cards = 2,
    /// Buyers: over an hour and more.
    Buyers = 3,
    /// Devices: over a day.
    Devices = 4,
}

/// Over how long different ones are counted: this window and the one before, so that it is once to twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Ten minutes.
    TenMinutes,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Window {
    const ALL: [Self; 3] = [Self::TenMinutes, Self::Hour, Self::Day];

    const fn length_us(self) -> i64 {
        match self {
            Self::TenMinutes => 600_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// What is known of one party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartyState {
    first_us: i64,
    last_us: i64,
    counts: [Tally; COUNTS],
    ten_minutes: [Sketch; 3],
    hour: [Sketch; 4],
    day: [Sketch; 5],
}

impl PartyState {
    /// Of a party that is seen for the first time.
    #[must_use]
    pub fn new(at_us: i64) -> Self {
        Self {
            first_us: at_us,
            last_us: at_us,
            counts: [Tally::default(); COUNTS],
            ten_minutes: [Sketch::default(); 3],
            hour: [Sketch::default(); 4],
            day: [Sketch::default(); 5],
        }
    }

    /// When it was first seen, in UTC microseconds.
    #[must_use]
    pub const fn first_us(&self) -> i64 {
        self.first_us
    }

    /// When it was last seen, in UTC microseconds.
    #[must_use]
    pub const fn last_us(&self) -> i64 {
        self.last_us
    }

    /// What is counted, as of `at_us`.
    #[must_use]
    pub const fn count(&self, what: Counted, span: Span, factors: &[f32; SPANS]) -> f32 {
        self.counts[what as usize].over(span) * factors[span as usize]
    }

    /// How many different ones it was seen with in a window and the one before, as of `at_us`.
    #[must_use]
    pub fn distinct(&self, what: Distinct, window: Window, at_us: i64) -> f32 {
        self.sketch(what, window).map_or(0.0, |sketch| sketch.count(windows(self.last_us, at_us, window)))
    }

    /// How many different ones but this one it was seen with in a window and the one before, as of `at_us`.
    #[must_use]
    pub fn distinct_others(&self, what: Distinct, id: u128, window: Window, at_us: i64) -> f32 {
        self.sketch(what, window).map_or(0.0, |sketch| sketch.count_others(windows(self.last_us, at_us, window), id))
    }

    fn sketch(&self, what: Distinct, window: Window) -> Option<&Sketch> {
        let sketch = match window {
            Window::TenMinutes => self.ten_minutes.get(what as usize),
            Window::Hour => self.hour.get(what as usize),
            Window::Day => self.day.get(what as usize),
        };
        debug_assert!(sketch.is_some(), "{what:?} are not counted over {window:?}");
        sketch
    }

    /// The sketches of a window, in the order of [`Distinct`].
    const fn sketches(&mut self, window: Window) -> &mut [Sketch] {
        match window {
            Window::TenMinutes => &mut self.ten_minutes,
            Window::Hour => &mut self.hour,
            Window::Day => &mut self.day,
        }
    }

    /// Takes an event in, in which this party takes part as `role`. `generation` says under which of its pseudonyms, from 0 for the newest: others are noted under
    /// theirs of the same key, so that nobody is taken for two.
    pub fn take(&mut self, event: &SignalEvent, role: Role, generation: usize) {
        let at_us = event.at_us.max(self.last_us);
        let factors = factors(at_us.saturating_sub(self.last_us));
        self.counts.iter_mut().for_each(|tally| tally.fade(&factors));
        for window in Window::ALL {
            let gone = windows(self.last_us, at_us, window);
            self.sketches(window).iter_mut().for_each(|sketch| sketch.turn(gone));
        }
        self.last_us = at_us;
        self.count_in(event, role);
        if matches!(
            event.kind,
            SignalKind::Held | SignalKind::Sold { .. } | SignalKind::Waited | SignalKind::PaymentBegun | SignalKind::PaymentFailed
        ) {
            self.see(event, generation);
        }
    }

    fn count_in(&mut self, event: &SignalEvent, role: Role) {
        if let Some(what) = one_of(event) {
            self.add(what, 1.0);
        }
        if is_no_hold(event) {
            self.add(Counted::Waits, 1.0);
        }
        let people = event.people as f32;
        match event.kind {
            SignalKind::Held | SignalKind::Waited => self.add(Counted::Large, event.people.saturating_sub(FAMILY) as f32),
            SignalKind::Sold { held } => {
                self.add(Counted::Sales, 1.0);
                self.add(Counted::People, people);
                self.add(Counted::Cheap, event.cheap as f32);
                self.add(Counted::Cents, event.cents as f32);
                if !held {
                    self.add(Counted::Large, event.people.saturating_sub(FAMILY) as f32);
                }
            }
            SignalKind::Released => self.add(Counted::Released, 1.0),
            SignalKind::Refunded => self.add(Counted::Refunds, people),
            // It says nothing of a buyer that the museum took tickets back, but something of who did it.
            SignalKind::Voided if matches!(role, Role::Operator | Role::Kiosk) => self.add(Counted::Voids, people),
            SignalKind::AdmittedTwice { apart } => {
                self.add(Counted::Twice, 1.0);
                self.add(Counted::Apart, if apart { 1.0 } else { 0.0 });
            }
            SignalKind::Conflict => self.add(Counted::Twice, 1.0),
            SignalKind::TillClosed { difference_cents } => {
                self.add(Counted::Gap, difference_cents.unsigned_abs() as f32);
                let late = self.counts[Counted::Voids as usize].over(Span::TenMinutes);
                self.add(Counted::LateVoids, late);
            }
            SignalKind::Blocked => self.add(Counted::Blocked, 1.0),
            SignalKind::Withdrawn { since_us, apart } => {
                let left = factors(self.last_us.saturating_sub(since_us));
                self.counts[Counted::Twice as usize].take_back(&left);
                if apart {
                    self.counts[Counted::Apart as usize].take_back(&left);
                }
            }
            SignalKind::Expired | SignalKind::PaymentBegun | SignalKind::PaymentFailed | SignalKind::Voided | SignalKind::Admitted => {}
        }
    }

    fn add(&mut self, what: Counted, x: f32) {
        self.counts[what as usize].add(x);
    }

    fn see(&mut self, event: &SignalEvent, generation: usize) {
        let mut note = |what: Distinct, id: u128| {
            for window in Window::ALL {
                if let Some(sketch) = self.sketches(window).get_mut(what as usize) {
                    sketch.see(id);
                }
            }
        };
        if event.slot != 0 {
            note(Distinct::Slots, u128::from(event.slot));
        }
        note(Distinct::Museums, u128::from(event.museum) + 1);
        for (role, what) in [(Role::Card, Distinct::Cards), (Role::Device, Distinct::Devices), (Role::Buyer, Distinct::Buyers)] {
            if let Some(id) = event.beside(role, generation) {
                note(what, id);
            }
        }
    }
}

/// What an event is one of for everybody for whom it counts, whoever they are.
pub(super) const fn one_of(event: &SignalEvent) -> Option<Counted> {
    match event.kind {
        SignalKind::Held | SignalKind::Waited => Some(Counted::Holds),
        // What was waited for was never a hold that is not bought: bought, it would make up for one that is.
        SignalKind::Sold { held: true } if !event.no_hold => Some(Counted::Bought),
        SignalKind::Expired => Some(Counted::Expired),
        SignalKind::PaymentBegun => Some(Counted::Begun),
        SignalKind::PaymentFailed => Some(Counted::Failed),
        _ => None,
    }
}

/// Whether an event is one of [`Counted::Holds`] and of [`Counted::Waits`] as well.
pub(super) const fn is_no_hold(event: &SignalEvent) -> bool {
    match event.kind {
        SignalKind::Waited => true,
        SignalKind::Held => event.no_hold,
        _ => false,
    }
}

/// How many windows lie between the one of `from_us` and that of `to_us`; never negative.
const fn windows(from_us: i64, to_us: i64, window: Window) -> i64 {
    let length_us = window.length_us();
    let windows = to_us.div_euclid(length_us) - from_us.div_euclid(length_us);
    if windows < 0 { 0 } else { windows }
}
