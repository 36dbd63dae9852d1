//! The payments that somebody has still to do something about: a payer, the clock, the driver, an operator. Those that are finished are found in the journal
//! when they are asked for, so memory holds as many as are under way. All of it can be rebuilt from the journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{MuseumId, PaymentId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{Event, Payment, Stage};
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use crate::deadlines::{Deadlines, First};
use crate::journal::StreamId;
use crate::journal::writer::Lease;
use crate::owner::Tell;

/// What is published of a payment: its state right after the last record on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentHead {
    /// Number of the record.
    pub seq: u64,
    /// Its time.
    pub at: Timestamp,
    /// To which museum the money belongs; none before anything was written.
    pub museum: Option<MuseumId>,
    /// How it stands.
    pub stage: Stage,
    /// How much is due.
    pub amount_cents: Cents,
    /// When it expires, if money is still waited for.
    pub wake_at: Option<Timestamp>,
    /// Whether its driver has something to do.
    pub has_work: bool,
    /// Whether some of that waits for the gateway that knows positions.
    pub awaits_gateway: bool,
    /// Whether all that is paid has become tickets or refunds, and vouchers have what goes back to them.
    pub is_settled: bool,
    /// How many refunds are owed.
    pub owed: u32,
    /// Whether a dispute is open.
    pub is_disputed: bool,
}

impl PaymentHead {
    /// The head of a payment as it is.
    #[must_use]
    pub fn of(payment: &Payment) -> Self {
        let (opened, work) = (payment.opened(), payment.work());
        let is_position = opened.is_some_and(|opened| opened.gateway.is_position());
        Self {
            seq: payment.seq(),
            at: payment.last_at(),
            museum: opened.map(|opened| opened.museum),
            stage: payment.stage(),
            amount_cents: opened.map_or(Cents::ZERO, |opened| opened.amount_cents),
            wake_at: payment.wake_at(),
            has_work: !work.is_done(),
            awaits_gateway: is_position && (work.publish || work.close.is_some()),
            is_settled: work.is_settled(),
            owed: payment.owed(),
            is_disputed: payment.is_disputed(),
        }
    }

    /// Whether nobody has anything to do about it any more.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.wake_at.is_none() && !self.has_work && self.owed == 0 && !self.is_disputed
    }
}

#[derive(Debug, Default)]
struct Known {
    heads: HashMap<PaymentId, PaymentHead>,
    deadlines: Deadlines<PaymentId>,
    working: BTreeSet<PaymentId>,
    /// The positions that can be paid, each with the slots of what it is for.
    positions: BTreeMap<PaymentId, Arc<[SlotId]>>,
}

/// The slots of what a payment is for, while it is a position that can be paid.
fn slots_of(payment: &Payment) -> Arc<[SlotId]> {
    let opened = payment.opened().filter(|opened| opened.gateway.is_position() && payment.stage() == Stage::Pending);
    opened.map(|opened| opened.items.iter().map(|item| item.hold.slot()).collect()).unwrap_or_default()
}

/// The heads of all payments that are not finished.
#[derive(Debug, Default)]
pub struct Payments {
    known: Mutex<Known>,
    sooner: Notify,
}

impl Payments {
    /// Publishes a payment as it is.
    pub fn put(&self, payment: &Payment) {
        self.publish(payment.id(), PaymentHead::of(payment), slots_of(payment));
    }

    /// Publishes a payment's new head, and the slots of a position. Called in the order of commits; a head that is older than the known one changes nothing.
    fn publish(&self, payment: PaymentId, head: PaymentHead, slots: Arc<[SlotId]>) {
        let mut known = self.known.lock();
        if known.heads.get(&payment).is_some_and(|before| before.seq > head.seq) {
            return;
        }
        let before = if head.is_finished() { known.heads.remove(&payment) } else { known.heads.insert(payment, head) };
        if head.has_work {
            known.working.insert(payment);
        } else {
            known.working.remove(&payment);
        }
        if slots.is_empty() {
            known.positions.remove(&payment);
        } else {
            known.positions.insert(payment, slots);
        }
        if known.deadlines.replace(payment, before.and_then(|before| before.wake_at), head.wake_at) != First::Same {
            self.sooner.notify_one();
        }
    }

    /// The head of a payment, if it is not finished.
    #[must_use]
    pub fn head(&self, payment: PaymentId) -> Option<PaymentHead> {
        self.known.lock().heads.get(&payment).copied()
    }

    /// All that are not finished, in no order.
    #[must_use]
    pub fn heads(&self) -> Vec<(PaymentId, PaymentHead)> {
        self.known.lock().heads.iter().map(|(payment, head)| (*payment, *head)).collect()
    }

    /// Those whose driver has something to do.
    #[must_use]
    pub fn working(&self) -> Vec<PaymentId> {
        self.known.lock().working.iter().copied().collect()
    }

    /// Those of them that can go on without the gateway that knows positions.
    #[must_use]
    pub fn settling(&self) -> Vec<PaymentId> {
        self.working_that(|head| !head.awaits_gateway || !head.is_settled)
    }

    /// Those of them that wait for it; some may be among the others too.
    #[must_use]
    pub fn telling(&self) -> Vec<PaymentId> {
        self.working_that(|head| head.awaits_gateway)
    }

    /// The positions that can be paid of which that is so, and of the slots of what they are for.
    #[must_use]
    pub fn positions(&self, is_so: impl Fn(PaymentId, &[SlotId]) -> bool) -> Vec<PaymentId> {
        self.known.lock().positions.iter().filter(|(payment, slots)| is_so(**payment, slots)).map(|(payment, _)| *payment).collect()
    }

    /// Whether it is a position that can be paid.
    #[must_use]
    pub fn is_position(&self, payment: PaymentId) -> bool {
        self.known.lock().positions.contains_key(&payment)
    }

    fn working_that(&self, is_such: impl Fn(&PaymentHead) -> bool) -> Vec<PaymentId> {
        let known = self.known.lock();
        known.working.iter().copied().filter(|payment| known.heads.get(payment).is_some_and(&is_such)).collect()
    }

    /// The next deadline of any payment.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.known.lock().deadlines.first()
    }

    /// The payments whose deadline has come, earliest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<PaymentId> {
        self.known.lock().deadlines.due(now)
    }

    /// Ends when the next deadline has changed.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }
}

impl Tell<Payment> for Payments {
    type View = (PaymentHead, Arc<[SlotId]>);

    fn view(&self, state: &Payment) -> Self::View {
        (PaymentHead::of(state), slots_of(state))
    }

    fn committed(&self, stream: &Lease, _: &Record<Event>, (head, slots): Self::View, _: u64) {
        if let StreamId::Payment(payment) = stream.stream {
            self.publish(payment, head, slots);
        }
    }

    fn rebuilt(&self, _: &Lease, state: &Payment) {
        self.put(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64, wake_s: Option<i64>, has_work: bool) -> PaymentHead {
        let wake_at = wake_s.map(Timestamp::from_seconds);
        let (at, stage) = (Timestamp::MIN, Stage::Pending);
        let (amount_cents, awaits_gateway, is_settled) = (Cents::ZERO, false, true);
        PaymentHead { seq, at, museum: None, stage, amount_cents, wake_at, has_work, awaits_gateway, is_settled, owed: 0, is_disputed: false }
    }

    #[test]
    fn who_is_finished_leaves_and_deadlines_and_work_follow_the_heads() {
        let (board, [one, two]) = (Payments::default(), [1, 2].map(PaymentId::from_raw));
        board.publish(one, head(1, Some(50), true), Arc::default());
        board.publish(two, head(1, Some(30), false), Arc::default());
        assert_eq!((board.next_wake(), board.working()), (Some(Timestamp::from_seconds(30)), vec![one]));
        assert_eq!(board.due(Timestamp::from_seconds(49)), [two]);
        board.publish(two, PaymentHead { awaits_gateway: true, ..head(1, Some(30), true) }, Arc::default());
        assert_eq!((board.settling(), board.telling(), board.working()), (vec![one], vec![two], vec![one, two]));
        board.publish(two, PaymentHead { awaits_gateway: true, is_settled: false, ..head(1, Some(30), true) }, Arc::default());
        assert_eq!((board.settling(), board.telling()), (vec![one, two], vec![two]), "neither waits for the other");
        board.publish(two, head(2, None, false), Arc::default());
        board.publish(one, head(0, None, false), Arc::default());
        assert_eq!((board.heads().len(), board.head(two), board.next_wake()), (1, None, Some(Timestamp::from_seconds(50))));
        board.publish(one, PaymentHead { owed: 1, ..head(2, None, false) }, Arc::default());
        assert_eq!((board.working(), board.due(Timestamp::MAX), board.heads().len()), (vec![], vec![], 1), "an operator has to pay back");
    }
}
