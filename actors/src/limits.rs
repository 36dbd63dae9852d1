//! What one buyer has at one museum on one day, over all slots: counted in the order of commits, with what is just being asked set aside, so that two who ask at once cannot
//! both have the last of it. The rule and the count are in `engine::limit`.
//!
//! After a start the count is read back from the lists as soon as they have caught up; until then, for moments, what was sold before is not counted.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::SlotId;
use tornello_engine::limit::{BuyerDay, DayCounts, may_have};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Event, Limits, Refusal, people};

use crate::node::Node;

#[derive(Debug, Default)]
struct Known {
    counts: DayCounts,
    aside: HashMap<BuyerDay, u32>,
}

/// What buyers have by day, and what is set aside.
#[derive(Debug, Default)]
pub struct DayLimits(Mutex<Known>);

/// So many people of a buyer, set aside until the slot has said yes or no.
#[derive(Debug)]
pub struct Aside(Arc<DayLimits>, BuyerDay, u32);

impl Drop for Aside {
    fn drop(&mut self) {
        let mut known = self.0.0.lock();
        if let Some(aside) = known.aside.get_mut(&self.1) {
            *aside = aside.saturating_sub(self.2);
            if *aside == 0 {
                known.aside.remove(&self.1);
            }
        }
    }
}

/// For how many more people a command asks, and through which channel.
fn asks(command: &Command) -> Option<(Channel, u32)> {
    match command {
        Command::Hold { channel, lines, .. }
        | Command::HoldFor { channel, lines, .. }
        | Command::SellDirect { channel, lines, .. }
        | Command::Wait { channel, lines, .. } => Some((*channel, people(lines))),
        _ => None,
    }
}

impl DayLimits {
    /// Sets aside what a command asks for its buyer; none where nothing is limited.
    ///
    /// # Errors
    /// `too_many_for_day`.
    pub fn set_aside(self: &Arc<Self>, slot: SlotId, limits: &Limits, envelope: &Envelope, command: &Command) -> Result<Option<Aside>, Refusal> {
        if limits.day_max.is_none() {
            return Ok(None);
        }
        let (Some(buyer), Some((channel, more))) = (envelope.buyer(), asks(command)) else { return Ok(None) };
        let mut known = self.0.lock();
        // Under whichever pseudonym it is counted, it is the same buyer's.
        let of = |buyer| known.counts.has(&buyer).saturating_add(known.aside.get(&buyer).copied().unwrap_or(0));
        let has = envelope.buyers().map(|buyer| of(BuyerDay::of(slot, buyer))).fold(0, u32::saturating_add);
        let buyer = BuyerDay::of(slot, buyer);
        may_have(limits, channel, has, more)?;
        *known.aside.entry(buyer).or_insert(0) += more;
        Ok(Some(Aside(Arc::clone(self), buyer, more)))
    }

    /// Takes in what was written of a slot. Called in the order of commits.
    pub fn take(&self, slot: SlotId, limits: &Limits, record: &Record<Event>) {
        if limits.day_max.is_some() {
            self.0.lock().counts.take(slot, record);
        }
    }
}

/// Reads back what buyers have, once the lists show everything that was written before the start. Ends when it has.
pub(crate) async fn read_back(node: &Node) {
    let Some(files) = node.files() else { return };
    files.views.reach(node.started().head.number).await;
    let today = calendar::local_day(node.now());
    match files.views.buyers_from(calendar::instant(today.at(0, 0, 0, 0))).await {
        Ok(rows) => {
            let mut known = node.day_limits().0.lock();
            for (hold, buyer, people) in rows {
                known.counts.seed(hold, BuyerDay::of(hold.slot(), buyer), people);
            }
        }
        Err(error) => tracing::error!(%error, "what buyers have by day cannot be read back: it is counted from now on"),
    }
}

/// Forgets days that are over.
pub(crate) fn forget(node: &Node) {
    node.day_limits().0.lock().counts.forget(calendar::local_day(node.now()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::envelope::{Digest, Party, PartyKind};
    use tornello_engine::ids::{HoldId, KeyId, MuseumId, RouteId};
    use tornello_engine::money::Cents;
    use tornello_engine::slot::Line;
    use tornello_engine::tariff::Proof;
    use tornello_engine::time::Timestamp;

    #[test]
    fn two_who_ask_at_once_cannot_both_have_the_last() {
        let slot = |hour: i64| SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800 + hour * 3_600));
        let days = Arc::new(DayLimits::default());
        let limits = Limits { day_max: Some(4), ..Limits::NONE };
        let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(7) }];
        let envelope = Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None };
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
        let third = days.set_aside(slot(3), &limits, &envelope, &hold(3, 2)).unwrap();
        assert!(third.is_some() && days.set_aside(slot(3), &limits, &envelope, &hold(3, 1)).is_err());
    }
}
