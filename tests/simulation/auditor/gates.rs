//! What gates are told: of what nobody knows whether it was done, what is not written yet, and why somebody may not pass. Whoever stands at a gate hears what is so, also while the
//! journal does not write.

use std::collections::{BTreeMap, BTreeSet};

use tornello_actors::failure::Failure;
use tornello_actors::node::Passage;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{KeyId, SlotId, TicketId};
use tornello_engine::slot::{Direction, Refusal};
use tornello_engine::time::Timestamp;

use super::super::naive::Naive;
use super::super::rule;
use super::{Auditor, Outcome};

/// How the journal was when a gate asked, and until it was answered.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Whether it wrote: then what was asked was on its way.
    pub wrote: bool,
    /// Whether it failed meanwhile, or stalled, or could not be read.
    pub failed: bool,
    /// Whether it writes now.
    pub writes: bool,
}

/// Tickets of which nobody knows whether they were let in or out.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Until the journal writes, with the requests that were on their way: if that is one alone, it may be told.
    open: BTreeMap<TicketId, BTreeSet<(KeyId, Digest)>>,
    /// As far as the node may not have found out yet.
    unfound: BTreeSet<TicketId>,
}

impl Auditor {
    /// A gate was answered: nobody knows what becomes of it only where it was on its way as the journal failed, or another one with its ticket was before; and nothing else keeps it
    /// from hearing what is so.
    pub(super) fn gate_was_answered(
        &mut self,
        asked: (KeyId, Digest),
        ticket: TicketId,
        failure: Option<&Failure<Refusal>>,
        asking: Asking,
    ) -> Result<(), String> {
        if asking.writes {
            self.doubts.open.clear();
        }
        match failure {
            Some(Failure::OutcomeUnknown) => {
                let was_on_its_way = asking.wrote && asking.failed;
                let wrong = "a gate hears that nobody knows what became of a ticket with which nothing was on its way";
                rule(was_on_its_way || self.doubts.unfound.contains(&ticket), wrong)?;
                self.doubts.unfound.insert(ticket);
                if asking.wrote && !asking.writes {
                    self.doubts.open.entry(ticket).or_default().insert(asked);
                }
                Ok(())
            }
            Some(Failure::Busy | Failure::Journal(_)) => rule(asking.failed, "a gate is closed though the journal can be read"),
            _ => Ok(()),
        }
    }

    /// Whoever asked for something waits for no answer, and the journal fails with it: nobody knows what became of that.
    pub fn goes_away(&mut self, sending: usize, ticket: TicketId) {
        let Envelope { who, key, .. } = self.sendings[sending].envelope;
        self.doubts.unfound.insert(ticket);
        self.doubts.open.entry(ticket).or_default().insert((who, key));
    }

    /// Whether nobody knows what became of another request with a ticket than this one: then this one may not be told to pass.
    pub(super) fn is_in_doubt(&self, ticket: TicketId, asked: (KeyId, Digest)) -> bool {
        self.doubts.open.get(&ticket).is_some_and(|open| open.iter().any(|other| *other != asked))
    }

    /// The one request of which nobody knew whether it was done has passed, written or not.
    pub(super) fn is_told_after_all(&mut self, ticket: TicketId) {
        self.doubts.open.remove(&ticket);
    }

    /// The slots with tickets of which nobody knows whether they were let in or out.
    pub fn doubted(&self) -> BTreeSet<SlotId> {
        self.doubts.open.keys().map(|ticket| ticket.slot()).collect()
    }

    /// Of no ticket of a slot anybody doubts any more whether it was let in or out: what was on its way is on the disk, or never will be.
    pub fn is_known(&mut self, slot: SlotId) {
        self.doubts.open.retain(|ticket, _| ticket.slot() != slot);
    }

    /// The node doubts nothing any more.
    pub fn nobody_doubts(&mut self) {
        self.doubts = Doubts::default();
    }

    /// A slot with all that its gates were told on top, and of when the last of that is.
    pub(super) fn as_told(&self, slot: SlotId) -> Option<(Naive, Timestamp)> {
        let naive = self.slots.get(&slot)?;
        let (mut then, mut last) = (naive.clone(), naive.now(Timestamp::MIN));
        for told in self.told.get(&slot).into_iter().flatten().filter(|told| !told.is_written(naive)) {
            // What can be no more is no part of it either. All else is, as what it comes to by now: somebody may have asked the slot itself meanwhile.
            let mut with = then.clone();
            if with.await_scan(told.record.at, told.scan(), told.passage.issue).is_ok() {
                (then, last) = (with, last.max(told.record.at));
            }
        }
        Some((then, last))
    }

    /// Whoever is refused at a gate, while nothing was on its way, may not pass, for just that reason; whether all is written or not.
    pub fn may_not_pass(&self, sending: usize, passage: Passage, now: Timestamp, writes: bool) -> Result<(), String> {
        let Passage { ticket, issue, direction, .. } = passage;
        let Outcome::Answered(Err(Failure::Refused(refusal))) = &self.sendings[sending].outcome else { return Ok(()) };
        let Some((mut then, last)) = self.as_told(ticket.slot()) else { return Ok(()) };
        let at = last.max(now);
        let against = then.against_passing((direction, ticket), at, issue);
        let wrong = |wrong: &str| format!("{wrong}: {passage:?} is answered {refusal:?}, and not {against:?}");
        if let Refusal::Wait { inside, ceiling } = *refusal {
            rule(against.is_none() && direction == Direction::In, "somebody is to wait who may not come in at all").map_err(|told| wrong(&told))?;
            return self.is_full(&then, at, now, passage, (inside, ceiling)).map_err(|told| wrong(&told));
        }
        // Among all that is known of its ticket in one instant what is not written may come to something else.
        let is_online = writes && self.told.get(&ticket.slot()).is_none_or(Vec::is_empty);
        let among_all = || if is_online { Ok(true) } else { then.clone().await_scan(at, passage.scan(at), issue) };
        let is_so = match against {
            Some(against) => against == refusal.code(),
            None => among_all() != Ok(true) && matches!(refusal, Refusal::TicketInside { .. } | Refusal::NotInside),
        };
        rule(is_so, "somebody is kept out, or in, for no reason or another one").map_err(|told| wrong(&told))
    }

    /// Whoever has to wait does so because the slot knows that the building is full, or all slots together do: by as many people as are said to be inside.
    fn is_full(&self, then: &Naive, at: Timestamp, now: Timestamp, passage: Passage, (inside, ceiling): (u32, u32)) -> Result<(), String> {
        let slot = passage.ticket.slot();
        let own = then.people_upper(at);
        if inside >= ceiling && own == Some((inside, ceiling)) {
            return Ok(());
        }
        let others = self.doubts.unfound.iter().filter(|ticket| ticket.slot().museum() == slot.museum() && **ticket != passage.ticket).count();
        let stale_after_s = then.opening.policy.stale_after_s.into();
        self.building_is_full((slot.museum(), stale_after_s), now, (inside, ceiling), others)
            .map_err(|wrong| format!("{wrong}, and {own:?} by the slot"))
    }
}
