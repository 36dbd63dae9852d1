//! What a buyer has of a museum over all its slots: no more than anybody may, and whoever is refused for that has it.

use std::collections::BTreeSet;

use tornello_actors::failure::Failure;
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope, PartyKind};
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Event, Line, Refusal};
use tornello_engine::time::Timestamp;

use super::super::naive::Naive;
use super::super::rule;
use super::{Auditor, Outcome, Sending};

impl Auditor {
    /// A buyer gets no more for one day of a museum, over all its slots, than anybody may have.
    pub(super) fn day_allows(&self, slot: SlotId, record: &Record<Event>, named: &[Digest]) -> Result<(), String> {
        let Some(naive) = self.slots.get(&slot) else { return Ok(()) };
        let Some(max) = naive.opening.policy.limits.day_max else { return Ok(()) };
        for event in &record.events {
            if matches!(event, Event::Arrived(arrived) if is_same_day(arrived.from.slot(), slot)) {
                continue;
            }
            let Some((buyers, more)) = naive.asks_of_day(event, named) else { continue };
            let has = self.has_of_day(slot, &buyers);
            rule(has + more <= u32::from(max), "a buyer has more of a day than anybody may").map_err(|wrong| format!("{wrong}: {has} and {more}"))?;
        }
        Ok(())
    }

    /// A buyer opens no more holds at a museum than anybody may have open.
    pub(super) fn museum_allows(&self, slot: SlotId, record: &Record<Event>, named: &[Digest]) -> Result<(), String> {
        let Some(naive) = self.slots.get(&slot) else { return Ok(()) };
        let Some(max) = naive.opening.policy.limits.holds_max else { return Ok(()) };
        if named.is_empty() || !record.events.iter().any(Naive::opens) {
            return Ok(());
        }
        // Sooner or later a node forgets days that are over: whatever was held for them has run out here, though nobody may have written that down yet.
        let today = calendar::local_day(self.head.map_or(record.at, |head| head.at.max(record.at)));
        let of_museum = |other: SlotId| other.museum() == slot.museum() && calendar::local_day(other.start()) >= today;
        let open = self.open_among(of_museum, named);
        rule(open < u32::from(max), "a buyer has more holds open at a museum than anybody may").map_err(|wrong| format!("{wrong}: {open}"))
    }

    /// What a buyer has of a museum's day, over all its slots.
    pub fn has_of_day(&self, slot: SlotId, buyers: &[Digest]) -> u32 {
        let of_day = || self.slots.iter().filter(|(other, _)| is_same_day(**other, slot)).map(|(_, naive)| naive);
        buyers.iter().flat_map(|buyer| of_day().map(|naive| naive.people_of_day(*buyer))).sum()
    }

    /// How many holds of a buyer are open at a museum, over all its slots.
    pub fn open_at(&self, museum: MuseumId, buyers: &[Digest]) -> u32 {
        self.open_among(|slot| slot.museum() == museum, buyers)
    }

    fn open_among(&self, counts: impl Fn(SlotId) -> bool, buyers: &[Digest]) -> u32 {
        let counted = || self.slots.iter().filter(|(slot, _)| counts(**slot)).map(|(_, naive)| naive);
        buyers.iter().flat_map(|buyer| counted().map(|naive| naive.open_of(*buyer))).sum()
    }

    /// What is counted of a buyer on the day of a slot, and how many holds of theirs are open: at its museum, or in the slot, which counts those of all channels.
    pub fn counted_of(&self, slot: SlotId, buyers: &[Digest]) -> (u32, u32) {
        let here = self.slots.get(&slot).map_or((0, 0), |naive| naive.all_of(buyers));
        (self.has_of_day(slot, buyers), here.1.max(self.open_at(slot.museum(), buyers)))
    }

    /// Somebody who asked while nothing else was on its way is refused for what buyers have only if they have it.
    pub fn is_limited(&self, sending: usize) -> Result<(), String> {
        let sending = &self.sendings[sending];
        let Sending { slot, envelope, command, outcome, .. } = sending;
        // Whoever amends a hold may not be its buyer.
        let (Outcome::Answered(Err(Failure::Refused(refusal))), false) = (outcome, matches!(command, Command::Amend { .. })) else { return Ok(()) };
        let buyers = buyers_of(envelope);
        let here = self.slots.get(slot).map_or((0, 0), |naive| naive.all_of(&buyers));
        let is_so = match refusal {
            Refusal::TooManyForDay { has, .. } => is_over(*slot, sending.at) || *has == self.has_of_day(*slot, &buyers),
            Refusal::TooManyForBuyer { has, .. } => *has == here.0,
            Refusal::HoldRenewed { again_at, .. } => {
                self.slots.get(slot).and_then(|naive| naive.barred_until(&buyers)).is_some_and(|until| until == *again_at && sending.at < until)
            }
            Refusal::TooManyOpenHolds { max } => self.counted_of(*slot, &buyers).1 >= u32::from(*max),
            _ => true,
        };
        rule(is_so, "a buyer is refused for more than they have").map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?}"))
    }

    /// Somebody asked alone while the journal did not write: refused for no less than they have on the disk, whoever has read that; and if all that is there was read before, for
    /// that and for what may be written, at most.
    pub fn is_limited_though_unsure(&self, sending: usize, before: (u32, u32), is_read: bool) -> Result<(), String> {
        let Sending { slot, envelope, command, at, outcome } = &self.sendings[sending];
        let Outcome::Answered(Err(Failure::Refused(refusal))) = outcome else { return Ok(()) };
        let buyers = buyers_of(envelope);
        let after = self.counted_of(*slot, &buyers);
        let may_be =
            self.sendings[self.known_from.min(sending)..sending].iter().filter(|sent| sent.slot.museum() == slot.museum() && sent.outcome.is_open());
        let may_be = may_be.filter(|sent| buyers_of(&sent.envelope).iter().any(|buyer| buyers.contains(buyer))).map(|sent| asks(&sent.command));
        let (people, holds) = may_be.fold((0, 0), |sum, asked| (sum.0 + asked.0, sum.1 + asked.1));
        let is_so = match refusal {
            Refusal::TooManyForDay { .. } if is_over(*slot, *at) => true,
            Refusal::TooManyForDay { has, .. } => {
                let (least, most) = (before.0.min(after.0), before.0.max(after.0) + people);
                *has >= least && (!is_read || *has <= most)
            }
            Refusal::TooManyOpenHolds { max } => !is_read || before.1.max(after.1) + holds >= u32::from(*max),
            _ => true,
        };
        rule(is_so, "a buyer is refused for more than they have, or may have, or for less than they have")
            .map_err(|wrong| format!("{wrong}: {command:?} is answered {refusal:?}: {before:?}, {after:?}, and {people} in {holds}"))
    }
}

/// By which pseudonyms the one who asks is known.
pub(super) fn buyers_of(envelope: &Envelope) -> Vec<Digest> {
    let named = envelope.parties.iter().filter(|party| party.kind == PartyKind::Buyer).map(|party| party.pseudonym);
    BTreeSet::from_iter(named.chain(envelope.formerly.iter().copied())).into_iter().collect()
}

fn is_same_day(slot: SlotId, other: SlotId) -> bool {
    other.museum() == slot.museum() && calendar::local_day(other.start()) == calendar::local_day(slot.start())
}

/// Whether the day of a slot is over: then a node may have forgotten what buyers have of it.
fn is_over(slot: SlotId, at: Timestamp) -> bool {
    calendar::local_day(slot.start()) < calendar::local_day(at)
}

/// For how many people a command asks, and how many holds it opens.
fn asks(command: &Command) -> (u32, u32) {
    let people = |lines: &[Line]| lines.iter().map(|line| u32::from(line.count)).sum::<u32>();
    match command {
        Command::Hold { lines, .. } | Command::HoldFor { lines, .. } | Command::Wait { lines, .. } => (people(lines), 1),
        Command::SellDirect { lines, .. } => (people(lines), 0),
        _ => (0, 0),
    }
}
