//! What the replay must report, counted a second time: a plain loop over the events with a table of places, no quotas, holds, actors or journal. It shares
//! nothing with the product but the mapping, and is slow and obvious on purpose.

use std::collections::HashMap;

use jiff::civil::Date;
use tornello_models::dwell::DWELL_S;

use crate::replay_mapping::{EventKind, Fate, MUSEUMS, REFUND, Replay, Visit};

/// What happened in one museum. A visit that was refused counts in `asked` and `refused` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Visits that asked for places.
    pub asked: Count,
    /// Those that got them.
    pub sold: Count,
    /// Those refused because the slot had not enough places left for the whole party.
    pub refused: Count,
    /// Those sold and cancelled.
    pub cancelled: Count,
    /// Those sold that neither came nor cancelled.
    pub no_shows: Count,
    /// Those sold that came.
    pub admitted: Count,
    /// What was paid.
    pub paid_cents: i64,
    /// What was paid back.
    pub refunded_cents: i64,
    /// The most people inside at once, by tickets: whoever was admitted stays 90 minutes.
    pub peak_inside: u32,
    /// The most people inside at once, by the door counts: whoever was counted stays 90 minutes.
    pub peak_counted: u32,
}

impl Totals {
    /// What the museum keeps.
    #[must_use]
    pub const fn revenue_cents(&self) -> i64 {
        self.paid_cents - self.refunded_cents
    }
}

/// A number of visits and of the people in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Parties.
    pub visits: u32,
    /// Their people.
    pub people: u32,
}

impl Count {
    fn add(&mut self, visit: &Visit) {
        self.visits += 1;
        self.people += visit.party.people();
    }
}

/// Plays the events on a table of places and counts, one [`Totals`] per museum.
#[must_use]
pub fn recount(replay: &Replay) -> [Totals; MUSEUMS.len()] {
    let mut totals = [Totals::default(); MUSEUMS.len()];
    let mut taken: HashMap<(usize, Date, usize), u32> = HashMap::new();
    let mut sold = vec![false; replay.visits.len()];
    let mut entered = vec![Vec::new(); MUSEUMS.len()];
    let mut counted = vec![Vec::new(); MUSEUMS.len()];
    for event in &replay.events {
        match event.kind {
            EventKind::Book(index) => {
                let visit = &replay.visits[index];
                let total = &mut totals[visit.museum];
                let taken = taken.entry(place(visit)).or_default();
                total.asked.add(visit);
                if *taken + visit.party.people() > MUSEUMS[visit.museum].capacity {
                    total.refused.add(visit);
                    continue;
                }
                *taken += visit.party.people();
                sold[index] = true;
                total.sold.add(visit);
                total.paid_cents += visit.price_cents();
                if visit.fate == Fate::NoShow {
                    total.no_shows.add(visit);
                }
            }
            EventKind::Cancel(index) if sold[index] => {
                let visit = &replay.visits[index];
                *taken.entry(place(visit)).or_default() -= visit.party.people();
                totals[visit.museum].cancelled.add(visit);
                totals[visit.museum].refunded_cents += refund_cents(visit, event.at_s);
            }
            EventKind::Arrive(index) if sold[index] => {
                let visit = &replay.visits[index];
                totals[visit.museum].admitted.add(visit);
                entered[visit.museum].push((event.at_s, visit.party.people()));
            }
            EventKind::Cancel(_) | EventKind::Arrive(_) => {}
            EventKind::DoorCount { museum, entries } => counted[museum].push((event.at_s, entries)),
        }
    }
    for (museum, total) in totals.iter_mut().enumerate() {
        total.peak_inside = peak(&entered[museum]);
        total.peak_counted = peak(&counted[museum]);
    }
    totals
}

fn place(visit: &Visit) -> (usize, Date, usize) {
    (visit.museum, visit.slot.date, visit.slot.index)
}

fn refund_cents(visit: &Visit, at_s: i64) -> i64 {
    match visit.slot.start_s - at_s {
        ahead_s if ahead_s >= REFUND.full_until_s => visit.price_cents(),
        ahead_s if ahead_s >= REFUND.part_until_s => visit.price_cents() * i64::from(REFUND.part_percent) / 100,
        _ => 0,
    }
}

/// The most people at once: at each entry, all who entered less than the dwell time ago.
fn peak(entries: &[(i64, u32)]) -> u32 {
    let inside = |last: usize| entries[..=last].iter().rev().take_while(|(at_s, _)| entries[last].0 - at_s < DWELL_S).map(|(_, people)| people).sum();
    (0..entries.len()).map(inside).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use tornello_models::dwell::Entries;

    use super::*;
    use crate::replay_mapping::{Calendar, Channel, Party, Settlement};

    const HOUR: i64 = 3_600;

    /// A visit to museum 0 on one day: its slot, adults, children, how long before the start it asks, and what becomes of it after that start.
    type Line = (usize, u32, u32, i64, fn(i64) -> Fate);

    fn replay(lines: &[Line]) -> Replay {
        let calendar = Calendar::new().unwrap();
        let mut replay = Replay::default();
        for (row, &(slot, full, under_18, before_s, fate)) in (1..).zip(lines) {
            let slot = calendar.slot(0, date(2016, 5, 3), slot).unwrap();
            let (asked_at_s, fate) = (slot.start_s - before_s, fate(slot.start_s));
            let (party, channel, settlement) = (Party { full, under_18 }, Channel::BoxOffice, Settlement::Desk);
            replay.push(Visit { row, museum: 0, asked_at_s, slot, party, channel, settlement, fate });
        }
        replay.events.sort_unstable();
        replay
    }

    #[test]
    fn a_small_day_by_hand() {
        let [total, ..] = recount(&replay(&[
            (0, 10, 2, 100 * HOUR, |start| Fate::Cancelled { at_s: start - 30 * HOUR }),
            (0, 4, 0, 90 * HOUR, |start| Fate::Kept { arrive_at_s: start + 60 }),
            (0, 5, 0, 20 * HOUR, |start| Fate::Kept { arrive_at_s: start + 120 }),
            (0, 6, 4, 10 * HOUR, |_| Fate::NoShow),
            (1, 3, 0, 50 * HOUR, |start| Fate::Kept { arrive_at_s: start }),
            (1, 2, 0, 60 * HOUR, |start| Fate::Cancelled { at_s: start - 49 * HOUR }),
            (1, 1, 0, 9 * HOUR, |start| Fate::Cancelled { at_s: start - HOUR }),
        ]));
        let price = MUSEUMS[0].full_price_cents;
        assert_eq!(MUSEUMS[0].capacity, 15, "12 + 4 do not fit; after the cancellation 5 + 10 just do");
        assert_eq!(total.asked, Count { visits: 7, people: 37 });
        assert_eq!(total.refused, Count { visits: 1, people: 4 });
        assert_eq!(total.sold, Count { visits: 6, people: 33 });
        assert_eq!(total.cancelled, Count { visits: 3, people: 15 });
        assert_eq!(total.no_shows, Count { visits: 1, people: 10 });
        assert_eq!(total.admitted, Count { visits: 2, people: 8 });
        assert_eq!(total.paid_cents, (10 + 5 + 6 + 3 + 2 + 1) * price);
        assert_eq!(total.refunded_cents, 5 * price + 2 * price, "half of ten, all of two, nothing of one");
        assert_eq!(total.peak_inside, 5);
    }

    #[test]
    fn the_shipped_replay_refuses_between_5_and_15_percent() {
        let replay = Replay::load().unwrap();
        let totals = recount(&replay);
        assert_eq!(totals.map(|t| (t.asked.visits, t.refused.visits)), [(20_170, 1_569), (11_929, 988), (7_948, 679)], "as datasets/README.md says");
        for (museum, total) in MUSEUMS.iter().zip(totals) {
            let refused = f64::from(total.refused.visits) / f64::from(total.asked.visits);
            assert!((0.05..=0.15).contains(&refused), "{}: {refused}", museum.slug);
            assert_eq!(total.asked.visits, total.sold.visits + total.refused.visits);
            assert_eq!(total.sold.people, total.cancelled.people + total.no_shows.people + total.admitted.people);
            assert!(0 < total.refunded_cents && total.refunded_cents < total.paid_cents);
        }
    }

    #[test]
    fn the_naive_peak_is_that_of_the_dwell_model() {
        let replay = Replay::load().unwrap();
        let mut entries = Entries::default();
        let counts = replay.events.iter().filter_map(|event| match event.kind {
            EventKind::DoorCount { entries, .. } => Some((event.at_s, entries)),
            _ => None,
        });
        let modelled = counts.map(|(at_s, count)| entries.push(at_s, count).unwrap().people).max();
        assert_eq!(modelled, Some(recount(&replay)[0].peak_counted));
    }
}
