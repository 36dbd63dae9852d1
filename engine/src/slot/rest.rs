//! Rules of rest, against those who keep places from others without buying any. Places that were held over the web in a scarce slot and not bought are not free at once, but
//! at a moment that was drawn by lot. Whoever held them may not hold there again before everybody else might have. So whoever lets places go does not know when an accomplice
//! could have them. Where a slot has places left nobody notices any of it. A museum says how long places rest at most (`rest_max_s`); 0: not at all.
//!
//! What rests counts as taken by the web, for everybody: for other channels, for a visitor at a desk, and for those who wait. Nobody can have it, so nobody has to be told apart.
//! Those who wait are the first to have it once it is free, and nobody loses their turn. What is sold, given back by staff, or an option of a quote never rests.
//!
//! How long it rests is drawn when the places are asked for, and comes with that command, because an expiry has no command and the core draws no lots. It is told to nobody. What is
//! given back of a hold that lives on has a lot of its own. If nothing was drawn the rest is the longest. The moment is in the event, so a replay draws nothing.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::{Event, Freed, RestDrawn, Rested, Settlement, people};
use super::{Command, Hold, Places, REST_MAX_S, Refusal, Slot};
use crate::aggregate::Aggregate;
use crate::channel::Channel;
use crate::envelope::Digest;
use crate::ids::{HoldId, PaymentId};
use crate::time::Timestamp;

/// The most rests that one record ends, so that a record stays small; the shell asks again while more are due.
const FREED_MAX: usize = 256;

impl Slot {
    /// The longest rest, in seconds; 0: places never rest.
    fn rest_max_s(&self) -> u32 {
        self.opening.policy.limits.rest_max_s.min(REST_MAX_S)
    }

    /// Decides what is asked, and adds how long the places are to rest by the lot that was drawn, from a millisecond to the longest, if they are of the web and the slot lets
    /// them rest. What is given back of a hold that lives on rests so long from now.
    pub(super) fn drawn(&self, now: Timestamp, asked: &Command, draw: u32) -> Result<Vec<Event>, Refusal> {
        let mut events = self.decide(now, asked)?;
        let longest_ms = u64::from(self.rest_max_s()) * 1_000;
        if longest_ms > 0 {
            let rest_ms = 1 + ((u64::from(draw) * longest_ms) >> 32) as u32;
            let of_web = |event: &Event| match event {
                Event::Held(held) if held.channel == Channel::Web => Some(held.hold),
                Event::Waited(waited) if waited.channel == Channel::Web => Some(waited.entry),
                _ => None,
            };
            for event in &mut events {
                if let Event::Rested(rested) = event {
                    rested.until = rested.until.min(now.plus_millis(rest_ms));
                }
            }
            let drawn: Vec<Event> = events.iter().filter_map(of_web).map(|hold| Event::RestDrawn(RestDrawn { hold, rest_ms })).collect();
            events.extend(drawn);
        }
        Ok(events)
    }

    /// Whether places that a hold of this channel loses without being bought rest: over the web, while it sells, and if there are few places beside them.
    pub(super) fn lets_rest(&self, now: Timestamp, channel: Channel, places: &Places) -> bool {
        self.rest_max_s() > 0 && channel == Channel::Web && self.on_sale(now, channel).is_ok() && places.is_scarce(channel, now)
    }

    /// Lets all places of a hold that ends rest, for as long as was drawn. Whoever held them waits for as long as any rest may last, which does not tell when these places
    /// are free.
    pub(super) fn rest_of_all(&self, now: Timestamp, id: HoldId, hold: &Hold) -> Event {
        let longest = now.plus_seconds(i64::from(self.rest_max_s()));
        let drawn = hold.rest_ms.map(|rest_ms| now.plus_millis(rest_ms).min(longest));
        let until = drawn.unwrap_or(longest).min(self.sale_ends_at(Channel::Web));
        Event::Rested(Rested { hold: id, places: people(&hold.lines), until, barred_until: Some(longest) })
    }

    /// Some places of a hold that lives on rest the longest, unless there is a lot for them: by what was drawn for the hold it would be known when the others come free. Who
    /// gives them back waits for the longest before they may hold others; what a quote needs no more bars nobody.
    pub(super) fn rest_of_some(&self, now: Timestamp, id: HoldId, places: u32, bars: bool) -> Event {
        let longest = now.plus_seconds(i64::from(self.rest_max_s()));
        Event::Rested(Rested { hold: id, places, until: longest.min(self.sale_ends_at(Channel::Web)), barred_until: bars.then_some(longest) })
    }

    /// The places that have rested, earliest first.
    pub(super) fn wake_rested(&self, now: Timestamp) -> Vec<Event> {
        self.ledger.rests.due(now).take(FREED_MAX).map(Event::Freed).collect()
    }

    /// As much of what rests of the holds that were kept for the payment whose money a sale is made of as the party needs: it was for that money, however late it comes.
    /// What rests of a hold of just this party goes before the others: each sale of a payment is to find what its own hold had, and frees nothing that another one needs.
    pub(super) fn rests_for(&self, channel: Channel, settlement: &Settlement, party: u32) -> (Vec<Freed>, u32) {
        let Settlement::Payment { id } = settlement else { return (Vec::new(), 0) };
        if channel != Channel::Web {
            return (Vec::new(), 0);
        }
        if let Some((own, places)) = self.ledger.rests.of_payment(*id).find(|(_, places)| *places == party) {
            return (vec![own], places);
        }
        let (mut freed, mut found) = (Vec::new(), 0);
        for (own, places) in self.ledger.rests.of_payment(*id) {
            if found < party {
                freed.push(own);
                found += places;
            }
        }
        (freed, found)
    }
}

/// Places that rest, and whoever let go of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rests {
    /// By when they come free, and which hold had them.
    resting: BTreeMap<(Timestamp, HoldId), Resting>,
    /// Until when whom may not hold again. It follows from `bars`.
    barred: BTreeMap<Digest, Timestamp>,
    /// The same in the order in which it was noted, which is that of the times: each rest of a slot bars for as long.
    bars: VecDeque<(Timestamp, Digest)>,
}

/// Places that rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Resting {
    places: u32,
    /// The payment that kept them, if one did.
    payment: Option<PaymentId>,
}

impl Rests {
    /// Notes what rests, and who is barred for it; forgets who is so no more.
    pub(super) fn rest(&mut self, rested: &Rested, payment: Option<PaymentId>, parties: [Option<Digest>; 2], at: Timestamp) {
        let resting = self.resting.entry((rested.until, rested.hold)).or_insert(Resting { places: 0, payment });
        resting.places += rested.places;
        while let Some((until, party)) = self.bars.front().copied().filter(|(until, _)| *until <= at) {
            self.bars.pop_front();
            if self.barred.get(&party) == Some(&until) {
                self.barred.remove(&party);
            }
        }
        let Some(until) = rested.barred_until else { return };
        for party in parties.into_iter().flatten() {
            self.bars.push_back((until, party));
            self.barred.insert(party, until);
        }
    }

    /// Forgets what rests no more; answers how many places that is.
    pub(super) fn free(&mut self, freed: &Freed) -> u32 {
        self.resting.remove(&(freed.until, freed.hold)).map_or(0, |resting| resting.places)
    }

    /// When places next come free, if any rest.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.resting.first_key_value().map(|(&(until, _), _)| until)
    }

    fn due(&self, now: Timestamp) -> impl Iterator<Item = Freed> {
        self.resting.keys().take_while(move |(until, _)| *until <= now).map(|&(until, hold)| Freed { hold, until })
    }

    fn of_payment(&self, payment: PaymentId) -> impl Iterator<Item = (Freed, u32)> {
        let is_its = move |resting: &Resting| resting.payment == Some(payment);
        self.resting.iter().filter(move |(_, resting)| is_its(resting)).map(|(&(until, hold), resting)| (Freed { hold, until }, resting.places))
    }

    /// Until when somebody may not hold again, if they let places go of which that is known.
    pub(super) fn barred_until(&self, party: Digest) -> Option<Timestamp> {
        self.barred.get(&party).copied()
    }

    /// How many places rest, counted anew.
    pub(super) fn places(&self) -> u32 {
        self.resting.values().map(|resting| resting.places).sum()
    }
}

/// The written form of [`Rests`], without what follows from the rest.
#[derive(Serialize, Deserialize)]
struct Written {
    resting: Vec<((Timestamp, HoldId), Resting)>,
    bars: Vec<(Timestamp, Digest)>,
}

impl Serialize for Rests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let resting = self.resting.iter().map(|(key, resting)| (*key, *resting)).collect();
        Written { resting, bars: self.bars.iter().copied().collect() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { resting, bars } = Written::deserialize(deserializer)?;
        // Who is noted twice is barred until the later time.
        let barred = bars.iter().map(|(until, party)| (*party, *until)).collect();
        Ok(Self { resting: resting.into_iter().collect(), barred, bars: bars.into() })
    }
}
