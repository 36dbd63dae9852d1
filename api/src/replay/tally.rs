//! Counts what the actors answered: the replay's own side of the comparison with the recount. Figures of what was done are taken from the events that came
//! back from the journal, never from what was asked.

use std::collections::{BTreeMap, VecDeque};

use tornello_datasets::recount::{Count, Totals};
use tornello_datasets::replay_mapping::{MUSEUMS, Replay, Visit};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Event, Policy, Refusal};
use tornello_engine::time::Timestamp;

/// How many museums are counted.
pub const COUNT: usize = MUSEUMS.len();

/// What is known of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// It has not asked, or has no answer yet.
    #[default]
    Unknown,
    /// It got no places.
    Refused,
    /// It has its tickets.
    Sold,
    /// It cancelled.
    Cancelled,
    /// So many of its people were let in.
    Admitted(u32),
}

/// The counts so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// By museum of the replay.
    pub totals: [Totals; COUNT],
    /// Visits refused, by museum and the refusal's code.
    pub refused_by: [BTreeMap<&'static str, u32>; COUNT],
    /// Cancellations and admissions of sold visits that were refused, by code. There should be none.
    pub unexpected: BTreeMap<&'static str, u32>,
    fates: Vec<Fate>,
    /// When those came in who are still inside, by museum.
    inside: [VecDeque<Timestamp>; COUNT],
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(replay: &Replay) -> Self {
        Self { fates: vec![Fate::Unknown; replay.visits.len()], ..Self::default() }
    }

    /// What is known of a visit.
    #[must_use]
    pub fn fate(&self, visit: usize) -> Fate {
        self.fates[visit]
    }

    pub(super) fn asked(&mut self, visit: &Visit) {
        add(&mut self.totals[visit.museum].asked, 1, visit.party.people());
    }

    pub(super) fn refused(&mut self, index: usize, visit: &Visit, refusal: &Refusal) {
        self.fates[index] = Fate::Refused;
        add(&mut self.totals[visit.museum].refused, 1, visit.party.people());
        *self.refused_by[visit.museum].entry(refusal.code()).or_default() += 1;
    }

    pub(super) fn unexpected(&mut self, refusal: &Refusal) {
        *self.unexpected.entry(refusal.code()).or_default() += 1;
    }

    /// Takes in what a command became.
    pub(super) fn done(&mut self, index: usize, museum: usize, record: &Record<Event>) {
        for event in &record.events {
            let total = &mut self.totals[museum];
            match event {
                Event::Sold(sold) => {
                    self.fates[index] = Fate::Sold;
                    add(&mut total.sold, 1, slot::people(&sold.lines));
                    total.paid_cents += slot::total(&sold.lines).get();
                }
                Event::Cancelled(cancelled) => {
                    self.fates[index] = Fate::Cancelled;
                    add(&mut total.cancelled, 1, cancelled.tickets.len() as u32);
                    total.refunded_cents += cancelled.refund_cents.get();
                }
                Event::Admitted(_) => {
                    let before = if let Fate::Admitted(people) = self.fates[index] { people } else { 0 };
                    self.fates[index] = Fate::Admitted(before + 1);
                    add(&mut total.admitted, u32::from(before == 0), 1);
                    total.peak_inside = total.peak_inside.max(came_in(&mut self.inside[museum], record.at));
                }
                _ => {}
            }
        }
    }

    pub(super) fn counted(&mut self, museum: usize, people: u32) {
        let total = &mut self.totals[museum];
        total.peak_counted = total.peak_counted.max(people);
    }

    /// Counts those who have tickets and neither cancelled nor came.
    pub(super) fn finish(&mut self, replay: &Replay) {
        for (visit, fate) in replay.visits.iter().zip(&self.fates) {
            if *fate == Fate::Sold {
                add(&mut self.totals[visit.museum].no_shows, 1, visit.party.people());
            }
        }
    }
}

fn add(count: &mut Count, visits: u32, people: u32) {
    count.visits += visits;
    count.people += people;
}

/// Who is inside when one more comes in, if everybody stays for the dwell time of the policy.
fn came_in(inside: &mut VecDeque<Timestamp>, at: Timestamp) -> u32 {
    let gone = at.plus_seconds(-i64::from(Policy::default().dwell_s));
    while inside.front().is_some_and(|since| *since <= gone) {
        inside.pop_front();
    }
    inside.push_back(at);
    inside.len() as u32
}
