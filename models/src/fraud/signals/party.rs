//! What is known of one party: decayed counts of what it did, sketches of whom it was seen with, when it was first and last seen. Fixed size, updated in O(1).

use serde::{Deserialize, Serialize};

use super::sketch::Sketch;
use super::{Role, SignalEvent, SignalKind};
use crate::fraud::decay::{Span, Tally, factors};

/// What is counted of a party. Numbers are part of saved states: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counted {
    /// Holds, and places on waiting lists.
    Holds = 0,
    /// Sales.
    Sales = 1,
    /// Sales that were holds before.
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
    /// People in holds.
    PeopleHeld = 13,
    /// People in sales.
    People = 14,
    /// Of them those below the full price.
    Cheap = 15,
    /// What sales cost, in cents.
    Cents = 16,
    /// Cash counted that is not what should be there, in cents either way.
    Gap = 17,
    /// People beyond [`FAMILY`] in holds and in sales without one.
    Large = 18,
}

const COUNTS: usize = 19;
/// As many people as a family is: who buys for more of them again and again does not buy for a family.
pub(super) const FAMILY: u32 = 4;

/// Of what different ones are counted. Numbers are part of saved states: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Distinct {
    /// Slots.
    Slots = 0,
    /// Museums.
    Museums = 1,
    /// Cards.
    Cards = 2,
    /// Devices.
    Devices = 3,
    /// Buyers.
    Buyers = 4,
    /// Networks.
    Networks = 5,
}

const SETS: usize = 6;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;

/// What is known of one party.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartyState {
    first_us: i64,
    last_us: i64,
    counts: [Tally; COUNTS],
    hour: [Sketch; SETS],
    day: [Sketch; SETS],
}

impl PartyState {
    /// Of a party that is seen for the first time.
    #[must_use]
    pub fn new(at_us: i64) -> Self {
        Self { first_us: at_us, last_us: at_us, counts: [Tally::default(); COUNTS], hour: [Sketch::default(); SETS], day: [Sketch::default(); SETS] }
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
    pub fn count(&self, what: Counted, span: Span, factors: &[f32; 5]) -> f32 {
        self.counts[what as usize].over(span) * factors[span as usize]
    }

    /// By what its counts shrink until `at_us`: for [`PartyState::count`].
    #[must_use]
    pub fn factors_to(&self, at_us: i64) -> [f32; 5] {
        factors(at_us.saturating_sub(self.last_us))
    }

    /// How many different ones it was seen with in the last one to two hours, as of `at_us`.
    #[must_use]
    pub fn distinct_hour(&self, what: Distinct, at_us: i64) -> f32 {
        self.hour[what as usize].count(windows(self.last_us, at_us, HOUR_US))
    }

    /// How many different ones it was seen with in the last one to two days, as of `at_us`.
    #[must_use]
    pub fn distinct_day(&self, what: Distinct, at_us: i64) -> f32 {
        self.day[what as usize].count(windows(self.last_us, at_us, DAY_US))
    }

    /// How many different ones but this one it was seen with in the last one to two days, as of `at_us`.
    #[must_use]
    pub fn others_day(&self, what: Distinct, id: u128, at_us: i64) -> f32 {
        self.day[what as usize].count_others(windows(self.last_us, at_us, DAY_US), id)
    }

    /// Takes an event in, in which this party takes part as `role`. `generation` says under which of its pseudonyms, from 0 for the newest: others are noted under
    /// theirs of the same key, so that nobody is taken for two.
    pub fn take(&mut self, event: &SignalEvent, role: Role, generation: usize) {
        let at_us = event.at_us.max(self.last_us);
        let factors = factors(at_us - self.last_us);
        self.counts.iter_mut().for_each(|tally| tally.fade(&factors));
        let (hours, days) = (windows(self.last_us, at_us, HOUR_US), windows(self.last_us, at_us, DAY_US));
        self.hour.iter_mut().for_each(|sketch| sketch.turn(hours));
        self.day.iter_mut().for_each(|sketch| sketch.turn(days));
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
        let people = event.people as f32;
        match event.kind {
            SignalKind::Held | SignalKind::Waited => {
                self.add(Counted::Holds, 1.0);
                self.add(Counted::PeopleHeld, people);
                self.add(Counted::Large, event.people.saturating_sub(FAMILY) as f32);
            }
            SignalKind::Sold { held } => {
                self.add(Counted::Sales, 1.0);
                self.add(Counted::Bought, if held { 1.0 } else { 0.0 });
                self.add(Counted::People, people);
                self.add(Counted::Cheap, event.cheap as f32);
                self.add(Counted::Cents, event.cents as f32);
                if !held {
                    self.add(Counted::Large, event.people.saturating_sub(FAMILY) as f32);
                }
            }
            SignalKind::Expired => self.add(Counted::Expired, 1.0),
            SignalKind::Released => self.add(Counted::Released, 1.0),
            SignalKind::PaymentBegun => self.add(Counted::Begun, 1.0),
            SignalKind::PaymentFailed => self.add(Counted::Failed, 1.0),
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
            SignalKind::Voided | SignalKind::Admitted => {}
        }
    }

    fn add(&mut self, what: Counted, x: f32) {
        self.counts[what as usize].add(x);
    }

    fn see(&mut self, event: &SignalEvent, generation: usize) {
        let mut note = |what: Distinct, id: u128| {
            self.hour[what as usize].see(id);
            self.day[what as usize].see(id);
        };
        if event.slot != 0 {
            note(Distinct::Slots, u128::from(event.slot));
        }
        note(Distinct::Museums, u128::from(event.museum) + 1);
        for (role, what) in
            [(Role::Card, Distinct::Cards), (Role::Device, Distinct::Devices), (Role::Buyer, Distinct::Buyers), (Role::Network, Distinct::Networks)]
        {
            if let Some(id) = event.of_role(role).take(generation + 1).last() {
                note(what, id);
            }
        }
    }
}

/// How many windows of `length_us` lie between the window of `from_us` and that of `to_us`; never negative.
const fn windows(from_us: i64, to_us: i64, length_us: i64) -> i64 {
    let windows = to_us.div_euclid(length_us) - from_us.div_euclid(length_us);
    if windows < 0 { 0 } else { windows }
}
