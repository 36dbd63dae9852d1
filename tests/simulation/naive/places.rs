//! The places of a slot: how many there are for a channel, who has taken them, and which of them rest after somebody held them and did not buy.

use std::collections::{BTreeMap, BTreeSet};

use tornello_engine::channel::Channel;
use tornello_engine::ids::{HoldId, PaymentId};
use tornello_engine::record::Record;
use tornello_engine::slot::{BeyondSet, Event, Freed, Line, Observed, Quota, RestDrawn, Rested, Settlement, Sold};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Naive, people};

/// Places that were held and not bought, and that nobody has yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) hold: HoldId,
    pub(super) until: Timestamp,
    pub(super) places: u32,
    pub(super) payment: Option<PaymentId>,
}

impl Naive {
    /// How many places a channel may still take.
    pub fn room(&self, at: Timestamp, channel: Channel) -> u32 {
        if self.closed.is_some() {
            return 0;
        }
        let taken = |channel| i64::from(self.taken_by(channel));
        let cap = self.in_force(at);
        let beyond = self.beyond.unwrap_or(0);
        let left = |places: u32| {
            let mut room = i64::from(cap.unwrap_or(u32::MAX).min(places)) - Channel::ALL.into_iter().map(taken).sum::<i64>();
            for other in Channel::ALL.into_iter().filter(|other| *other != channel) {
                room -= (i64::from(self.reserved(at, other)) - taken(other)).max(0);
            }
            room
        };
        let mut room = left(self.capacity + beyond);
        if matches!(channel, Channel::Group | Channel::Reseller) && beyond > 0 {
            // What is sold beyond the places is for the public; what was reserved for a channel it has all the same.
            room = room.min(left(self.capacity).max(i64::from(self.reserved(at, channel)) - taken(channel)));
        }
        if let Some(limit) = self.before_release(at, channel).and_then(|quota| quota.limit) {
            room = room.min(i64::from(limit) - taken(channel));
        }
        room.max(0) as u32
    }

    /// The room of a channel that sells.
    pub(super) fn free(&self, at: Timestamp, channel: Channel) -> u32 {
        if self.on_sale(at, channel).is_ok() { self.room(at, channel) } else { 0 }
    }

    pub(super) fn has_room(&self, at: Timestamp, id: HoldId, channel: Channel, lines: &[Line]) -> Result<(), String> {
        self.is_new(id, lines)?;
        let room = self.room(at, channel);
        rule(people(lines) <= room, "more places are taken than there are (SL-1)").map_err(|wrong| format!("{wrong}, {room} were left"))
    }

    pub fn held_by(&self, channel: Channel) -> u32 {
        self.live().filter(|(_, hold)| hold.channel == channel).map(|(_, hold)| people(&hold.lines)).sum()
    }

    pub fn sold_by(&self, channel: Channel) -> u32 {
        let sales = self.sales.values().filter(|sale| sale.channel == channel);
        sales.flat_map(|sale| &sale.tickets).filter(|ticket| !ticket.cancelled && !self.has_moved(ticket)).count() as u32
    }

    pub(super) fn taken_by(&self, channel: Channel) -> u32 {
        self.held_by(channel) + self.sold_by(channel) + if channel == Channel::Web { self.resting() } else { 0 }
    }

    fn before_release(&self, at: Timestamp, channel: Channel) -> Option<Quota> {
        let quota = self.quotas[channel.index()];
        (at < self.opening.slot.start().plus_seconds(-i64::from(quota.release_s))).then_some(quota)
    }

    /// How many places are reserved for a channel still, whether it has taken them or not.
    pub(super) fn reserved(&self, at: Timestamp, channel: Channel) -> u32 {
        self.before_release(at, channel).map_or(0, |quota| quota.reserved)
    }

    /// The most places that a channel would have if nobody had taken any, just before its sales end.
    pub(super) fn most(&self, channel: Channel) -> u32 {
        let last = Timestamp::from_micros(self.sale_end(channel).as_micros() - 1);
        let for_others: u32 = Channel::ALL.into_iter().filter(|other| *other != channel).map(|other| self.reserved(last, other)).sum();
        let limit = self.before_release(last, channel).and_then(|quota| quota.limit);
        self.capacity.saturating_sub(for_others).min(limit.unwrap_or(u32::MAX))
    }

    /// The most places that may be taken by the last reading.
    pub fn in_force(&self, now: Timestamp) -> Option<u32> {
        self.reading.as_ref().filter(|reading| now < reading.event.until)?.event.sellable
    }

    /// How many places may be taken by a reading: those let in, and the room that those leave who will still be inside.
    pub(super) fn cap(&self, at: Timestamp, observed: &Observed) -> Option<u32> {
        let dwell_s = i64::from(self.opening.policy.dwell_s);
        let wait_us = self.opening.slot.start().micros_since(at).max(0);
        let ceiling = i64::from(observed.ceiling?);
        if at >= self.opening.end || (wait_us > 0 && wait_us >= dwell_s * 1_000_000) {
            return None;
        }
        let upper = i64::from(observed.inside + 2 * observed.sd);
        let staying = if wait_us == 0 { upper } else { (upper * (dwell_s * 1_000_000 - wait_us) + dwell_s * 1_000_000 - 1) / (dwell_s * 1_000_000) };
        Some((i64::from(self.admitted()) + (ceiling - staying).max(0)) as u32)
    }

    /// Whether it was given a part of the room by a reading that was measured then, and has heard none since.
    pub fn has_share_of(&self, measured_at: Timestamp) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.event.measured_at == measured_at && reading.event.share.is_some())
    }

    /// How many places are taken.
    pub fn taken(&self) -> u32 {
        Channel::ALL.into_iter().map(|channel| self.taken_by(channel)).sum()
    }

    /// How many people may still come in by this slot: as many as its places in force let, or are taken, less those let in. While it is closed nobody buys what is held there.
    pub fn may_come(&self, now: Timestamp) -> u32 {
        let most = if now < self.opening.end { self.in_force(now).unwrap_or(self.capacity + self.beyond.unwrap_or(0)) } else { 0 };
        most.saturating_sub(self.admitted()).max(self.promised())
    }

    /// How many people who have been promised a place have not come in.
    pub fn promised(&self) -> u32 {
        let sold = Channel::ALL.into_iter().map(|channel| self.sold_by(channel)).sum::<u32>();
        let promised = if self.closed.is_some() { sold } else { self.taken() };
        promised.saturating_sub(self.admitted())
    }

    /// How many places rest, without those of a hold that is just about to lose them.
    pub fn resting(&self) -> u32 {
        let about_to_rest = self.about_to_rest.map_or(0, |(_, places)| places);
        self.rests.iter().map(|rest| rest.places).sum::<u32>() - about_to_rest
    }

    /// When places next come free, if any rest.
    pub fn next_freed(&self) -> Option<Timestamp> {
        self.rests.iter().map(|rest| rest.until).min()
    }

    /// Whether what is let go in this channel rests: over the web, while it sells, where less than a fifth of all that it might have is left, which is what is kept for no other.
    fn rests_at(&self, at: Timestamp, channel: Channel) -> bool {
        let limit = self.before_release(at, channel).and_then(|quota| quota.limit);
        let others = Channel::ALL.into_iter().filter(|other| *other != channel);
        let for_others: u32 = others.map(|other| self.reserved(at, other)).sum();
        let sellable = self.in_force(at).unwrap_or(u32::MAX).min(self.capacity + self.beyond.unwrap_or(0));
        let all = sellable.saturating_sub(for_others).min(limit.unwrap_or(u32::MAX));
        let applies = self.opening.policy.limits.rest_max_s > 0 && channel == Channel::Web && self.on_sale(at, channel).is_ok();
        applies && u64::from(self.room(at, channel)) * 5 < u64::from(all)
    }

    /// A hold loses so many places; none: by staff, or none are lost. They rest if they have to, and only then.
    pub(super) fn lets_go(&mut self, at: Timestamp, hold: HoldId, channel: Channel, places: Option<u32>) -> Result<(), String> {
        // As it was just before: what is about to rest is still held.
        let must = places.filter(|_| self.rests_at(at, channel)).map(|places| (hold, places));
        rule(self.about_to_rest.take() == must, "other places rest than have to").map_err(|wrong| format!("{wrong}: {must:?}"))
    }

    /// It is drawn how long places rest, once, before anybody lets them go.
    pub(super) fn rest_drawn(&mut self, drawn: &RestDrawn) -> Result<(), String> {
        let longest_ms = self.opening.policy.limits.rest_max_s * 1_000;
        rule((1..=longest_ms).contains(&drawn.rest_ms), "places are to rest longer than they may, or not at all")?;
        let of_hold = self.holds.get_mut(&drawn.hold).map(|hold| (hold.channel, &mut hold.rest_ms));
        let of_entry = self.entries.iter_mut().find(|entry| entry.id == drawn.hold).map(|entry| (entry.channel, &mut entry.rest_ms));
        let (channel, rest_ms) = of_hold.or(of_entry).ok_or("it is drawn how long nothing rests")?;
        rule(channel == Channel::Web && rest_ms.is_none(), "it is drawn twice how long places rest, or for a channel whose places do not")?;
        *rest_ms = Some(drawn.rest_ms);
        Ok(())
    }

    /// Places are to rest that the record goes on to take from their hold.
    pub(super) fn rested(&mut self, at: Timestamp, rested: &Rested, gives_back: bool) -> Result<(), String> {
        let hold = self.holds.get(&rested.hold).ok_or("places of no hold rest")?;
        let (longest, payment, parties) = (at.plus_seconds(self.opening.policy.limits.rest_max_s.into()), hold.paying, Vec::from_iter(hold.buyer));
        // What is given back of a hold that lives on has no lot here, and tells nothing of that of the hold.
        let ends = rested.barred_until.is_some() && !gives_back;
        let drawn = hold.rest_ms.filter(|_| ends).map(|ms| Timestamp::from_micros(at.as_micros() + i64::from(ms) * 1_000));
        let until = drawn.unwrap_or(longest).min(self.sale_end(Channel::Web));
        rule(rested.until == until && until > at, "places rest for another time than was drawn")?;
        rule(!gives_back || rested.barred_until.is_some(), "whoever gives some places of a hold back may hold others at once")?;
        rule(rested.barred_until.is_none_or(|until| until == longest), "whoever let places go is barred for another time than the longest rest")?;
        rule(self.rests_at(at, hold.channel), "places rest in a slot that has enough of them, or has no such rule")?;
        self.about_to_rest = Some((rested.hold, rested.places));
        self.barred.extend(rested.barred_until.into_iter().flat_map(|until| parties.iter().map(move |party| (*party, until))));
        self.rests.push(Rest { hold: rested.hold, until, places: rested.places, payment });
        Ok(())
    }

    /// How many places that rested a sale of late money goes on to free: those of a hold of just that party; or else, the earliest first, no more holds' than it needs. What
    /// rests of the payment's other holds its other sales are to find.
    pub(super) fn frees(&self, record: &Record<Event>, sold: &Sold) -> Result<u32, String> {
        let party = people(&sold.lines);
        let is_its = |rest: &&Rest| sold.channel == Channel::Web && rest.payment.is_some_and(|id| sold.settlement == Settlement::Payment { id });
        // What a hold lost in one instant, more than once, comes free together.
        let mut own: BTreeMap<(Timestamp, HoldId), u32> = BTreeMap::new();
        for rest in self.rests.iter().filter(is_its) {
            *own.entry((rest.until, rest.hold)).or_default() += rest.places;
        }
        let of_event = |event: &Event| if let Event::Freed(freed) = event { Some((freed.until, freed.hold)) } else { None };
        let freed: BTreeSet<(Timestamp, HoldId)> = record.events.iter().filter_map(of_event).collect();
        rule(freed.iter().all(|key| own.contains_key(key)), "places come free for money that they did not rest for")?;
        let taken: Vec<u32> = own.iter().filter(|(key, _)| freed.contains(key)).map(|(_, places)| *places).collect();
        let of_just_this_party = own.values().any(|places| *places == party);
        let fits = if of_just_this_party {
            taken == [party]
        } else {
            let (mut found, mut needed) = (0, Vec::new());
            for (key, places) in &own {
                if found < party {
                    needed.push(*key);
                    found += places;
                }
            }
            freed.iter().copied().eq(needed)
        };
        rule(fits, "other places come free than late money needs (SL-12)").map_err(|wrong| format!("{wrong}: {taken:?} of {own:?} for {party}"))?;
        Ok(taken.iter().sum())
    }

    /// Places come free that rested: when their time is over, or because what kept them is paid all the same.
    pub(super) fn freed(&mut self, record: &Record<Event>, freed: &Freed) -> Result<(), String> {
        let is_it = |rest: &Rest| (rest.hold, rest.until) == (freed.hold, freed.until);
        let rest = self.rests.iter().find(|rest| is_it(rest)).ok_or("places come free that did not rest")?;
        let sold_to = record.events.iter().find_map(|event| match event {
            Event::Sold(sold) => Some(&sold.settlement),
            _ => None,
        });
        let is_paid = rest.payment.is_some_and(|id| sold_to == Some(&Settlement::Payment { id }));
        rule(is_paid || (rest.until <= record.at && record.envelope.is_none()), "places come free before their time")?;
        self.rests.retain(|rest| !is_it(rest));
        Ok(())
    }

    /// So many places are sold beyond the own; `asked`: how many were asked for, and the most people that may be sold to.
    pub(super) fn sell_beyond(&mut self, at: Timestamp, set: &BeyondSet, asked: Option<(u32, Option<u32>)>) -> Result<(), String> {
        let before = self.beyond.ok_or("something is sold beyond places that staff set by hand")?;
        let (asked, ceiling) = asked.ok_or("something is sold beyond the places, and nobody knows why")?;
        rule(at < self.opening.end, "something is sold beyond the places of a slot that is over")?;
        // What is taken, or kept for a channel, beyond the places stays for sale; else it is what was asked for, as far as there is room.
        let promised = Channel::ALL.into_iter().map(|channel| self.taken_by(channel).max(self.reserved(at, channel))).sum::<u32>();
        let all = self.capacity + set.beyond;
        let may = set.beyond <= asked && (set.beyond == 0 || ceiling.is_none_or(|ceiling| all <= ceiling));
        rule(may || (set.beyond <= before && all <= promised), "more is sold beyond the places than was asked for, or than there is room for")?;
        rule(set.beyond >= asked || ceiling.is_some_and(|ceiling| all >= ceiling), "less is sold beyond the places than was asked for")?;
        rule(set.beyond >= before || all >= promised, "what was sold beyond the places is there no more (SL-1)")?;
        rule(set.beyond != before, "what stands is set once more")?;
        self.beyond = Some(set.beyond);
        Ok(())
    }
}
