//! What one buyer has at one museum on one day, and which of their holds are open there, over all slots: counted in the order of commits, with what is just being asked set
//! aside, so that two who ask at once cannot both have the last of it. The rules and the counts are in `engine::limit`.
//!
//! A start counts from the journal, while it checks it, before anything is sold: the same fold over the same records says the same as before. Of slots that began before
//! yesterday nothing is read, nor of those that limit neither, so that nobody waits for it who has no use for it. What a buyer had at some moment is in `then`.

pub mod then;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::Mutex;
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, MuseumId, SlotId};
use tornello_engine::limit::{BuyerAt, BuyerDay, DayCounts, OpenHolds, may_have, may_hold};
use tornello_engine::museum;
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Event, Limits, Refusal, Slot};
use tornello_engine::time::Timestamp;

use crate::node::Node;

#[derive(Debug, Default)]
struct Known {
    counts: DayCounts,
    /// People of a buyer on a day, set aside.
    aside: HashMap<BuyerDay, u32>,
    open: OpenHolds,
    /// Holds of a buyer at a museum, set aside.
    opening: HashMap<BuyerAt, u32>,
    /// The day before which all were forgotten last.
    forgot_before: Option<Date>,
}

impl Known {
    /// For whom a command asks for people on the day of its slot, and for how many, if there is room for them; none where nothing is limited.
    fn room_on_day(&self, slot: SlotId, limits: &Limits, envelope: &Envelope, command: &Command) -> Result<Option<(BuyerDay, u32)>, Refusal> {
        if limits.day_max.is_none() {
            return Ok(None);
        }
        let Some((buyers, more)) = self.counts.asked(envelope, command) else { return Ok(None) };
        let Some(first) = buyers.first().map(|buyer| BuyerDay::of(slot, *buyer)) else { return Ok(None) };
        // Under whichever pseudonym it is counted, it is the same buyer's.
        let of = |buyer| {
            let day = BuyerDay { buyer, ..first };
            self.counts.has(&day).saturating_add(self.aside.get(&day).copied().unwrap_or(0))
        };
        let has = buyers.into_iter().map(of).fold(0, u32::saturating_add);
        may_have(limits, has, more)?;
        Ok(Some((first, more)))
    }

    /// For whom a command asks for one more open hold, if there is room for it; none where nothing is limited.
    fn room_for_hold(&self, slot: SlotId, limits: &Limits, envelope: &Envelope, command: &Command) -> Result<Option<BuyerAt>, Refusal> {
        if limits.holds_max.is_none() {
            return Ok(None);
        }
        let buyers = self.open.asked(envelope, command);
        let Some(first) = buyers.first().map(|buyer| BuyerAt::of(slot, *buyer)) else { return Ok(None) };
        let of = |buyer| {
            let at = BuyerAt { buyer, ..first };
            self.open.has(&at).saturating_add(self.opening.get(&at).copied().unwrap_or(0))
        };
        may_hold(limits, buyers.into_iter().map(of).fold(0, u32::saturating_add))?;
        Ok(Some(first))
    }
}

/// What buyers have by day, which holds of theirs are open, and what is set aside.
#[derive(Debug, Default)]
pub struct DayLimits(Mutex<Known>);

/// What is set aside of a buyer until the slot has said yes or no: so many people on a day, and a hold.
#[derive(Debug)]
pub struct Aside {
    limits: Arc<DayLimits>,
    people: Option<(BuyerDay, u32)>,
    hold: Option<BuyerAt>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut known = self.limits.0.lock();
        if let Some((day, people)) = self.people {
            give_back(&mut known.aside, day, people);
        }
        if let Some(at) = self.hold {
            give_back(&mut known.opening, at, 1);
        }
    }
}

fn give_back<K: Eq + Hash>(aside: &mut HashMap<K, u32>, key: K, count: u32) {
    let Entry::Occupied(mut entry) = aside.entry(key) else { return };
    let left = entry.get().saturating_sub(count);
    if left == 0 {
        entry.remove();
    } else {
        entry.insert(left);
    }
}

impl DayLimits {
    /// Sets aside what a command asks for its buyer; none where nothing is limited.
    ///
    /// # Errors
    /// `too_many_for_day`, `too_many_open_holds`.
    pub fn set_aside(self: &Arc<Self>, slot: SlotId, limits: &Limits, envelope: &Envelope, command: &Command) -> Result<Option<Aside>, Refusal> {
        if !limits_over_slots(limits) {
            return Ok(None);
        }
        let mut known = self.0.lock();
        let people = known.room_on_day(slot, limits, envelope, command)?;
        let hold = known.room_for_hold(slot, limits, envelope, command)?;
        if let Some((day, more)) = people {
            *known.aside.entry(day).or_insert(0) += more;
        }
        if let Some(at) = hold {
            *known.opening.entry(at).or_insert(0) += 1;
        }
        Ok((people.is_some() || hold.is_some()).then(|| Aside { limits: Arc::clone(self), people, hold }))
    }

    /// Whether anything of a slot with these limits is counted.
    #[must_use]
    pub const fn concerns(limits: &Limits) -> bool {
        limits_over_slots(limits)
    }

    /// Takes in what was written of a slot, once. Called in the order of commits.
    pub fn take(&self, limits: &Limits, record: &Record<Event>) {
        self.count(limits, |counts| counts.take(record), |open| open.take(record));
    }

    /// Counts a slot anew that was read back from the disk: something was written of it that nobody was told of.
    pub fn put(&self, slot: &Slot) {
        self.count(&slot.opening().policy.limits, |counts| counts.put(slot), |open| open.put(slot));
    }

    fn count(&self, limits: &Limits, people: impl FnOnce(&mut DayCounts), holds: impl FnOnce(&mut OpenHolds)) {
        if !limits_over_slots(limits) {
            return;
        }
        let mut known = self.0.lock();
        if limits.day_max.is_some() {
            people(&mut known.counts);
        }
        if limits.holds_max.is_some() {
            holds(&mut known.open);
        }
    }

    /// Whose a hold is, or was that a payment kept, where the day of a buyer is limited.
    #[must_use]
    pub fn buyer_of(&self, hold: HoldId) -> Option<Digest> {
        self.0.lock().counts.buyer_of(hold)
    }

    /// Takes over what a start has read back.
    pub fn restore(&self, past: Past) {
        let mut known = self.0.lock();
        (known.counts, known.open) = (past.counts, past.open);
    }

    /// What is counted now, to compare.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> DayCounts {
        self.0.lock().counts.clone()
    }

    /// What is open now, to compare.
    #[cfg(test)]
    pub(crate) fn open_holds(&self) -> OpenHolds {
        self.0.lock().open.clone()
    }
}

/// Whether a slot limits what a buyer has over several slots.
const fn limits_over_slots(limits: &Limits) -> bool {
    limits.day_max.is_some() || limits.holds_max.is_some()
}

/// What buyers have, as a start reads it back from the journal.
#[derive(Debug, Default)]
pub struct Past {
    /// The beginning of the first day that still counts.
    from: Timestamp,
    /// The slots that limit what a buyer has over several slots, as they were opened last.
    limited: HashMap<SlotId, Limits>,
    /// The days that took place after all: slots of theirs may have been opened anew.
    taken_up: HashSet<(MuseumId, Date)>,
    counts: DayCounts,
    open: OpenHolds,
}

impl Past {
    /// From the day before an instant on.
    #[must_use]
    pub fn since(now: Timestamp) -> Self {
        let from = calendar::instant(first_day(now).at(0, 0, 0, 0));
        Self { from, ..Self::default() }
    }

    /// Takes in what a museum says of its days.
    pub fn hear(&mut self, museum: MuseumId, record: &Record<museum::Event>) {
        for event in &record.events {
            if let museum::Event::DayTakenUp(up) = event {
                self.taken_up.insert((museum, up.date));
            }
        }
    }

    /// Whether the record of that number of a slot is to be taken in: the first says whether the others are, unless the slot may have been opened anew.
    #[must_use]
    pub fn wants(&self, slot: SlotId, seq: u64) -> bool {
        let may_be_anew = || !self.taken_up.is_empty() && self.taken_up.contains(&(slot.museum(), calendar::local_day(slot.start())));
        slot.start() >= self.from && (seq == 1 || self.limited.contains_key(&slot) || may_be_anew())
    }

    /// Takes in a record of a slot that is wanted, in the order of the journal.
    pub fn take(&mut self, slot: SlotId, record: &Record<Event>) {
        if let Some(Event::Opened(opened)) = record.events.first() {
            self.limited.remove(&slot);
            if limits_over_slots(&opened.opening.policy.limits) {
                self.limited.insert(slot, opened.opening.policy.limits);
            }
        }
        let Some(limits) = self.limited.get(&slot) else { return };
        if limits.day_max.is_some() {
            self.counts.take(record);
        }
        if limits.holds_max.is_some() {
            self.open.take(record);
        }
    }
}

/// The first day that still counts at an instant: a slot that begins in the evening is sold at kiosks until it ends, after midnight.
fn first_day(now: Timestamp) -> Date {
    let today = calendar::local_day(now);
    today.yesterday().unwrap_or(today)
}

/// Forgets days of which no slot runs any more.
pub(crate) fn forget(node: &Node) {
    let first = first_day(node.now());
    let mut known = node.day_limits().0.lock();
    // All that is counted is gone through, and the journal's writer waits for that: once a day.
    if known.forgot_before.replace(first) != Some(first) {
        known.counts.forget(first);
        known.open.forget(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::channel::Channel;
    use tornello_engine::envelope::{Party, PartyKind};
    use tornello_engine::ids::{KeyId, RouteId};
    use tornello_engine::money::Cents;
    use tornello_engine::slot::{Held, Line, Opened, Opening, Policy};
    use tornello_engine::tariff::Proof;

    #[test]
    fn two_who_ask_at_once_cannot_both_have_the_last() {
        let slot = |hour: i64| SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800 + hour * 3_600));
        let days = Arc::new(DayLimits::default());
        let limits = Limits { day_max: Some(4), ..Limits::NONE };
        let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(7) }];
        let envelope = Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None, formerly: Vec::new() };
        let lines = |count| vec![Line { category: "full".parse().unwrap(), count, price_cents: Cents::ZERO, proof: Proof::None }];
        let hold = |hour, count| Command::Hold { hold: HoldId::new(slot(hour), 1), channel: Channel::Web, lines: lines(count) };
        let first = days.set_aside(slot(1), &limits, &envelope, &hold(1, 3)).unwrap();
        let refused = days.set_aside(slot(2), &limits, &envelope, &hold(2, 2));
        assert_eq!(refused.err(), Some(Refusal::TooManyForDay { max: 4, has: 3 }));
        drop(first);
        let again = days.set_aside(slot(2), &limits, &envelope, &hold(2, 2)).unwrap();
        assert!(again.is_some() && days.set_aside(slot(2), &Limits::NONE, &envelope, &hold(2, 9)).unwrap().is_none());
        // A new month: the same buyer by a new pseudonym, with the old one beside it.
        let both = [8, 7].map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(n) }).to_vec();
        let envelope = Envelope { parties: both, ..envelope };
        let refused = days.set_aside(slot(3), &limits, &envelope, &hold(3, 3));
        assert_eq!(refused.err(), Some(Refusal::TooManyForDay { max: 4, has: 2 }));
        // Later in the month the old one is only looked up.
        let alone = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(8) }];
        let later = Envelope { parties: alone.clone(), formerly: vec![Digest(6), Digest(7)], ..envelope.clone() };
        assert_eq!(days.set_aside(slot(3), &limits, &later, &hold(3, 3)).err(), Some(Refusal::TooManyForDay { max: 4, has: 2 }));
        let stranger = Envelope { parties: alone, ..envelope.clone() };
        assert!(days.set_aside(slot(3), &limits, &stranger, &hold(3, 3)).is_ok_and(|aside| aside.is_some()), "whom nothing links to it");
        let third = days.set_aside(slot(3), &limits, &envelope, &hold(3, 2)).unwrap();
        assert!(third.is_some() && days.set_aside(slot(3), &limits, &envelope, &hold(3, 1)).is_err());
    }

    #[test]
    fn two_who_ask_at_once_cannot_both_open_the_last_hold() {
        let slot = |hour: i64| SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800 + hour * 3_600));
        let days = Arc::new(DayLimits::default());
        let limits = Limits { holds_max: Some(2), ..Limits::NONE };
        let of = |pseudonyms: &[u128]| {
            let parties = pseudonyms.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
            Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None, formerly: Vec::new() }
        };
        let lines = || vec![Line { category: "full".parse().unwrap(), count: 1, price_cents: Cents::ZERO, proof: Proof::None }];
        let hold = |hour| Command::Hold { hold: HoldId::new(slot(hour), 1), channel: Channel::Web, lines: lines() };
        let held = |hour| Event::Held(Held { hold: HoldId::new(slot(hour), 1), channel: Channel::Web, lines: lines(), expires_at: Timestamp::MAX });
        let record = |envelope, event| Record { seq: 1, at: Timestamp::from_seconds(0), envelope: Some(envelope), events: vec![event] };
        days.take(&limits, &record(of(&[7]), held(1)));
        let asked = |hour, envelope: &Envelope| days.set_aside(slot(hour), &limits, envelope, &hold(hour));
        let second = asked(2, &of(&[7])).unwrap();
        assert!(second.is_some());
        // Of another day, and by this month's pseudonym beside that of the month before: it is the same buyer.
        for envelope in [of(&[7]), of(&[8, 7]), Envelope { formerly: vec![Digest(7)], ..of(&[8]) }] {
            assert_eq!(asked(30, &envelope).err(), Some(Refusal::TooManyOpenHolds { max: 2 }));
        }
        assert!(asked(30, &of(&[9])).unwrap().is_some() && asked(30, &of(&[])).unwrap().is_none(), "others, and who is not named");
        drop(second);
        assert!(asked(30, &of(&[7])).unwrap().is_some());
        days.take(&limits, &record(of(&[7]), held(2)));
        assert_eq!(asked(30, &of(&[7])).err(), Some(Refusal::TooManyOpenHolds { max: 2 }));
        assert_eq!(days.open_holds().has(&BuyerAt::of(slot(30), Digest(7))), 2);
    }

    #[test]
    fn a_start_reads_back_the_records_of_limited_days_to_come() {
        let slot = |hour: i64| SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800 + hour * 3_600));
        let record = |slot: SlotId, seq: u64, day_max| {
            let policy = Policy { limits: Limits { day_max, ..Limits::NONE }, ..Policy::default() };
            let end = slot.start().plus_seconds(3_600);
            let opening = Opening { slot, revision: 1, end, capacity: 20, quotas: Default::default(), policy };
            let (hold, expires_at) = (HoldId::new(slot, seq), Timestamp::MAX);
            let lines = vec![Line { category: "full".parse().unwrap(), count: 2, price_cents: Cents::ZERO, proof: Proof::None }];
            let held = Event::Held(Held { hold, channel: Channel::Web, lines, expires_at });
            let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(7) }];
            let envelope = Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None, formerly: Vec::new() };
            let events = if seq == 1 { vec![Event::Opened(Opened { opening }), held] } else { vec![held] };
            Record { seq, at: Timestamp::from_seconds(0), envelope: Some(envelope), events }
        };
        // A day later: what began the evening before may still be on sale.
        let (mut past, live) = (Past::since(slot(48).start()), DayLimits::default());
        for (hour, day_max) in [(0, Some(9)), (24, Some(9)), (25, None)] {
            for seq in 1..=3 {
                let (slot, record) = (slot(hour), record(slot(hour), seq, day_max));
                live.take(&Limits { day_max, ..Limits::NONE }, &record);
                let is_wanted = hour == 24 || (hour == 25 && seq == 1);
                assert_eq!(past.wants(slot, seq), is_wanted, "hour {hour}, record {seq}");
                if is_wanted {
                    past.take(slot, &record);
                }
            }
        }
        let started = DayLimits::default();
        started.restore(past);
        assert_eq!(started.counts().has(&BuyerDay::of(slot(24), Digest(7))), 6);
        live.0.lock().counts.forget(calendar::local_day(slot(24).start()));
        assert_eq!(started.counts(), live.counts());
    }

    #[test]
    fn a_start_reads_back_what_buyers_have_of_a_slot_that_was_opened_anew_with_its_day() {
        let slot = SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800));
        let date = calendar::local_day(slot.start());
        let limits = |day_max| Limits { day_max, ..Limits::NONE };
        let opened = |day_max| {
            let (end, policy) = (slot.start().plus_seconds(3_600), Policy { limits: limits(day_max), ..Policy::default() });
            Event::Opened(Opened { opening: Opening { slot, revision: 1, end, capacity: 20, quotas: Default::default(), policy } })
        };
        let held = |seq: u64| {
            let lines = vec![Line { category: "full".parse().unwrap(), count: 2, price_cents: Cents::ZERO, proof: Proof::None }];
            Event::Held(Held { hold: HoldId::new(slot, seq), channel: Channel::Web, lines, expires_at: Timestamp::MAX })
        };
        let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(7) }];
        let envelope = Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None, formerly: Vec::new() };
        let record = |seq: u64, event| Record { seq, at: Timestamp::from_seconds(0), envelope: Some(envelope.clone()), events: vec![event] };
        let up = museum::Event::DayTakenUp(museum::DayTakenUp { date, reason: "strike".parse().unwrap() });
        let taken_up = Record { seq: 1, at: Timestamp::from_seconds(0), envelope: None, events: vec![up] };
        for (before, then, has) in [(None, Some(9), 2), (Some(9), None, 0)] {
            let mut past = Past::since(slot.start());
            past.take(slot, &record(1, opened(before)));
            past.hear(MuseumId(1), &taken_up);
            for record in [record(2, opened(then)), record(3, held(3))] {
                assert!(past.wants(slot, record.seq), "limited before by {before:?}, and {then:?} from then on: record {}", record.seq);
                past.take(slot, &record);
            }
            let started = DayLimits::default();
            started.restore(past);
            assert_eq!(started.counts().has(&BuyerDay::of(slot, Digest(7))), has, "limited before by {before:?}, and {then:?} from then on");
        }
    }
}
