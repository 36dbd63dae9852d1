//! What has happened, as the journal says.

use super::*;

/// How often each thing happened.
#[derive(Debug, Default, Clone)]
pub struct Counts(BTreeMap<&'static str, u64>);

/// What must happen in a hundred seeds.
const MUST: [&str; 66] = [
    "amended behind its back",
    "answers lost outside",
    "batches",
    "begun",
    "caller gone",
    "cancelled",
    "tickets cancelled",
    "contested again",
    "expired and paid",
    "crash",
    "crash in an append",
    "desk",
    "disputed",
    "taken back by a bank",
    "paid back by a bank",
    "double payment",
    "duplicate",
    "excess",
    "expired",
    "extras",
    "extras back",
    "executed after a stand-in",
    "failed at the gateway",
    "faults",
    "free",
    "get",
    "get refused",
    "given back by a flow",
    "holds",
    "late receipt",
    "moved",
    "of an order",
    "paid",
    "paid after the end",
    "paid back by till",
    "paid back by transfer",
    "paid back of a desk",
    "paid back to a voucher",
    "payee",
    "quiet",
    "quotes",
    "quotes called off",
    "quotes over",
    "quotes paid by a payment",
    "quotes paid without",
    "quotes revised",
    "quotes with tickets",
    "receipt by a report",
    "refund asked for again",
    "repeated begin",
    "restarts",
    "returned",
    "revoked before it came",
    "sold anew",
    "sold on account",
    "stand-in",
    "taken back by a flow",
    "tills closed",
    "tills opened",
    "tills opened again",
    "too small",
    "two items",
    "unfulfilled",
    "verify",
    "voucher pays",
    "waits again by a flow",
];

impl Counts {
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn seldom(&self) -> Vec<(&'static str, u64)> {
        MUST.iter().map(|what| (*what, self.0.get(what).copied().unwrap_or(0))).collect()
    }

    pub(super) fn count(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

impl World {
    /// Counts what has happened, as the journal says.
    pub fn count_events(&mut self) {
        use tornello_engine::payment::{Event, RefundReason};
        let counts = &mut self.counts;
        let mut orders = BTreeSet::new();
        for due in self.books.payments.values() {
            counts.count("begun", 1);
            counts.count("two items", u64::from(due.opened.items.len() > 1));
            counts.count("extras", u64::from(!due.opened.extras.is_empty()));
            counts.count("free", u64::from(due.opened.gateway == Gateway::Free));
            counts.count("of an order", u64::from(due.opened.order.is_some_and(|order| orders.insert(order))));
            counts.count("expired and paid", u64::from(due.over == Some(Over::Expired) && due.is_paid()));
            let mut over = false;
            counts.count("waits again by a flow", due.held_back);
            for (record, event) in due.records.iter().flat_map(|record| record.events.iter().map(move |event| (record, event))) {
                match event {
                    Event::PublishFailed(_) => counts.count("failed at the gateway", 1),
                    Event::Received(received) => {
                        counts.count("paid", u64::from(received.pays));
                        counts.count("paid after the end", u64::from(received.pays && over));
                        counts.count("stand-in", u64::from(received.receipt.stand_in));
                        counts.count("receipt by a report", u64::from(received.receipt.source == Source::Report));
                        counts.count("desk", u64::from(matches!(received.receipt.source, Source::Desk { .. })));
                        counts.count("voucher pays", u64::from(matches!(received.receipt.source, Source::Voucher { .. })));
                    }
                    Event::Fulfilled(fulfilled) => {
                        counts.count("sold anew", u64::from(due.opened.items[usize::from(fulfilled.item)].hold != fulfilled.sale));
                    }
                    Event::Unfulfilled(_) => counts.count("unfulfilled", 1),
                    Event::RefundOpened(opened) => match opened.why {
                        RefundReason::AmountTooSmall => counts.count("too small", 1),
                        RefundReason::Excess => counts.count("excess", 1),
                        RefundReason::DoublePayment => counts.count("double payment", 1),
                        RefundReason::Extras => counts.count("extras back", 1),
                        RefundReason::ExtrasCancelled => counts.count("extras called off", 1),
                        RefundReason::Cancelled { .. } => {
                            counts.count("tickets cancelled", 1);
                        }
                        RefundReason::Unfulfilled { .. } => {}
                    },
                    Event::RefundConfirmed(_) if due.came.iter().any(|came| matches!(came.source, Source::Sale { .. })) => {
                        counts.count("paid back of a desk", 1);
                    }
                    Event::RefundConfirmed(confirmed) => match confirmed.by {
                        PaidBackBy::Transfer => counts.count("paid back by transfer", 1),
                        PaidBackBy::Till { .. } => counts.count("paid back by till", 1),
                        PaidBackBy::Voucher { .. } => counts.count("paid back to a voucher", 1),
                        PaidBackBy::PayersBank => counts.count("paid back by a bank", 1),
                    },
                    Event::RefundReturned(_) => counts.count("returned", 1),
                    Event::PayeeSet(_) => counts.count("payee", 1),
                    Event::Cancelled(_) => {
                        over = true;
                        counts.count("cancelled", 1);
                    }
                    Event::Expired(_) => {
                        over = true;
                        counts.count("expired", 1);
                    }
                    Event::Disputed(_) => counts.count("disputed", 1),
                    Event::TakenBack(taken) => {
                        let what = match &record.events[0] {
                            Event::Reported(_) if taken.amount_cents < Cents::ZERO => "given back by a flow",
                            Event::Reported(_) => "taken back by a flow",
                            Event::Received(_) => "revoked before it came",
                            _ => "taken back by a bank",
                        };
                        counts.count(what, 1);
                    }
                    Event::Reported(reported) => {
                        let stood_in = due.named.iter().any(|((_, iur, _), (code, _))| (iur, *code) == (&reported.iur, 8));
                        counts.count("executed after a stand-in", u64::from(reported.code == 0 && stood_in));
                    }
                    Event::RefundReleased(_) => counts.count("released", 1),
                    _ => {}
                }
            }
        }
        for naive in self.books.slots.values() {
            counts.count("holds", naive.holds.len() as u64);
            counts.count("hold released", naive.holds.values().filter(|hold| hold.fate == Fate::Released).count() as u64);
            let amended =
                naive.records.iter().flat_map(|record| &record.events).filter(|event| matches!(event, tornello_engine::slot::Event::Amended(_)));
            counts.count("amended behind its back", amended.count() as u64);
        }
        counts.count("tills opened", self.books.drawers.len() as u64);
        counts.count("tills closed", self.books.drawers.values().filter(|drawer| !drawer.is_open).count() as u64);
        counts.count("answers lost outside", self.outside.counts().1);
    }
}
