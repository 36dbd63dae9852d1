//! The books of the simulated payments, kept as a cashier would: one page for each payment (`due`), voucher (`purse`) and order, filled from the journal's
//! records and added up from scratch for each question; slots are kept by `naive`. Every event is held against the rules as it is taken in. They share no code
//! with the engine's payments, vouchers and orders but the words of the events.

pub mod drawer;
pub mod due;
pub mod group;
mod purse;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, Head, StreamId};
use tornello_engine::account;
use tornello_engine::ids::{AccountId, HoldId, KeyId, OrderId, PaymentId, QuoteId, SlotId, TillId, VoucherId};
use tornello_engine::order;
use tornello_engine::payment::{Event, PaidBackBy, Receipt, RefundReason, Source};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Keeper, Line, Settlement};
use tornello_engine::time::Timestamp;

use crate::naive::{Asked, Fate, Naive, moves_add_up};
use crate::rule;
use drawer::Drawer;
use due::{Back, Due, End, Went};
use group::Group;
use purse::Purse;

/// A sale as the books know it.
struct Sale {
    lines: Vec<Line>,
    settlement: Settlement,
}

/// Everything that the journal says, page by page.
#[derive(Default)]
pub struct Books {
    pub payments: BTreeMap<PaymentId, Due>,
    pub slots: BTreeMap<SlotId, Naive>,
    pub vouchers: BTreeMap<VoucherId, Purse>,
    pub orders: BTreeMap<OrderId, Vec<Record<order::Event>>>,
    /// Until when tokens were said to live: what holds are prolonged to.
    pub tokens: BTreeMap<PaymentId, BTreeSet<Timestamp>>,
    pub batches: usize,
    head: Option<Head>,
    sales: BTreeMap<HoldId, Sale>,
    /// What became of each sale that a payment settles.
    items: BTreeMap<HoldId, (PaymentId, u16)>,
    pub groups: BTreeMap<QuoteId, Group>,
    pub drawers: BTreeMap<TillId, Drawer>,
    pub accounts: BTreeMap<AccountId, Vec<Record<account::Event>>>,
    /// What slots said is to be paid back, by sale and record.
    cancelled: BTreeMap<(HoldId, u64), i64>,
}

impl Books {
    /// Reads the batches that are new.
    pub fn step(&mut self, new: &[Batch]) -> Result<(), String> {
        for batch in new {
            let head = self.head.unwrap_or(Head::EMPTY);
            rule((batch.number, batch.previous) == (head.number + 1, head.hash) && batch.at >= head.at, "the chain of batches is broken")?;
            self.head = Some(Head { number: batch.number, hash: batch.hash(), at: batch.at });
            self.batches += 1;
            for frame in frames(&batch.records) {
                let frame = frame.map_err(|error| error.to_string())?;
                let stream = frame.stream;
                let taken = match stream {
                    StreamId::Slot(slot) => self.take_slot(slot, frame.record().map_err(|error| error.to_string())?),
                    StreamId::Payment(payment) => self.take_payment(payment, frame.record().map_err(|error| error.to_string())?),
                    StreamId::Voucher(voucher) => self.vouchers.entry(voucher).or_default().take(frame.record().map_err(|error| error.to_string())?),
                    StreamId::Order(order) => {
                        let record = frame.record().map_err(|error| error.to_string())?;
                        self.is_over(&record).and_then(|()| {
                            let records = self.orders.entry(order).or_default();
                            records.push(record);
                            one_at_a_time(records)
                        })
                    }
                    StreamId::Quote(quote) => {
                        let record = frame.record().map_err(|error| error.to_string())?;
                        self.groups.entry(quote).or_default().take(&record)
                    }
                    StreamId::Till(till) => {
                        let record = frame.record().map_err(|error| error.to_string())?;
                        drawer::take(&mut self.drawers, till, &record)
                    }
                    StreamId::Account(account) => {
                        self.accounts.entry(account).or_default().push(frame.record().map_err(|error| error.to_string())?);
                        Ok(())
                    }
                    _ => Ok(()),
                };
                taken.map_err(|wrong| format!("{stream}: {wrong}"))?;
            }
        }
        Ok(())
    }

    /// What an order is told is over is.
    fn is_over(&self, record: &Record<order::Event>) -> Result<(), String> {
        for event in &record.events {
            if let order::Event::PaymentEnded(ended) = event {
                let is_open = self.payments.get(&ended.payment).is_some_and(Due::is_open);
                rule(!is_open, "an order is told that a payment is over which can still be paid (OR-2)")
                    .map_err(|wrong| format!("{wrong}: {}", ended.payment))?;
            }
        }
        Ok(())
    }

    fn take_slot(&mut self, id: SlotId, record: Record<slot::Event>) -> Result<(), String> {
        if let Entry::Vacant(new) = self.slots.entry(id) {
            new.insert(Naive::open(id, &record)?);
        }
        let mut asked = Asked::default();
        for event in &record.events {
            match event {
                slot::Event::Prolonged(prolonged) => {
                    let naive = &self.slots[&id];
                    let payment = match prolonged.cause {
                        Keeper::Payment(payment) => payment,
                        Keeper::Quote(quote) => {
                            let until = self.groups.get(&quote).and_then(|group| group.keeps_until(prolonged.hold));
                            asked.until = Some((until.ok_or("places are kept for a quote that did not ask for it")?, prolonged.cause));
                            continue;
                        }
                    };
                    let before = naive.holds.get(&prolonged.hold).and_then(|hold| hold.paying).filter(|before| *before != payment);
                    let is_under_way = before.and_then(|before| self.payments.get(&before)).is_some_and(|due| due.needs(prolonged.hold));
                    rule(!is_under_way, "a hold is kept for a payment while another one is under way for it")?;
                    let Some(due) = self.payments.get(&payment) else {
                        // One that is about to be written down: until then the hold lives as long as it would have.
                        (asked.until, asked.over) = (Some((record.at, prolonged.cause)), before);
                        continue;
                    };
                    rule(due.opened.items.iter().any(|item| item.hold == prolonged.hold), "a hold is prolonged for a payment of others")?;
                    let until = self.tokens.get(&payment).into_iter().flatten().copied().chain([due.opened.due_at]);
                    let fits = until
                        .map(|until| (until, prolonged.cause))
                        .find(|until| naive.prolonged(prolonged.hold, *until) == Some(prolonged.expires_at));
                    asked.until = Some(fits.ok_or("a hold is prolonged until a time that nobody named")?);
                }
                slot::Event::Sold(sold) => {
                    if let Settlement::Payment { id: payment } = sold.settlement {
                        let due = self.payments.get(&payment).ok_or("tickets of a payment that is not written down")?;
                        rule(due.is_paid(), "tickets for what is not paid")?;
                    }
                    let kept_for = self.slots.get(&id).and_then(|naive| naive.holds.get(&sold.sale)).and_then(|hold| hold.paying);
                    if let Some(keeper) = kept_for.filter(|_| sold.held) {
                        // A sale for nothing does not say which payment it is of.
                        let is_its = |due: &Due| match sold.settlement {
                            Settlement::Payment { id } => id == keeper,
                            Settlement::Free => due.is_paid(),
                            _ => false,
                        };
                        let is_awaited = self.payments.get(&keeper).is_some_and(|due| due.needs(sold.sale) && !is_its(due));
                        rule(!is_awaited, "a hold is sold to others while a payment is under way for it (SL-12)")?;
                        asked.over = Some(keeper);
                    }
                    self.sales.insert(sold.sale, Sale { lines: sold.lines.clone(), settlement: sold.settlement.clone() });
                }
                slot::Event::Arrived(arrived) => {
                    let departs = self.slots.get(&arrived.from.slot()).and_then(|naive| naive.departs(arrived.sale));
                    rule(departs.is_some_and(|departs| departs.from == arrived.from), "tickets arrive that did not leave")?;
                    let settlement = Settlement::Moved { from: arrived.from };
                    self.sales.insert(arrived.sale, Sale { lines: arrived.lines.clone(), settlement });
                }
                slot::Event::MovedOut(moved) => rule(self.sales.contains_key(&moved.arrival), "tickets are gone that have not arrived")?,
                slot::Event::MoveUndone(undone) => rule(!self.sales.contains_key(&undone.arrival), "tickets stand again that have arrived")?,
                slot::Event::Cancelled(cancelled) if cancelled.refund_cents.get() > 0 => {
                    self.cancelled.insert((cancelled.sale, record.seq), cancelled.refund_cents.get());
                }
                slot::Event::HandedOver(handed) => {
                    // Its payment knows of it before the slot forgets; an account is held against the double entry.
                    let knows =
                        |back: &Back| matches!(back.why, RefundReason::Cancelled { sale, seq, .. } if (sale, seq) == (handed.sale, handed.seq));
                    let payment = self.paid_by(handed.sale).and_then(|(payment, _)| self.payments.get(&payment));
                    let is_known = self.is_on_account(handed.sale) || payment.is_some_and(|due| due.back.iter().any(knows));
                    rule(is_known, "a slot forgets a refund of which the payment knows nothing")?;
                }
                slot::Event::Released(released) => {
                    let kept_for = self.slots.get(&id).and_then(|naive| naive.holds.get(&released.hold)).and_then(|hold| hold.paying);
                    let is_needed =
                        kept_for.and_then(|payment| self.payments.get(&payment)).is_some_and(|due| due.is_open() || due.needs(released.hold));
                    rule(!is_needed, "a hold is given back for which a payment can still be paid, or is, and makes no tickets yet (SL-12)")?;
                }
                _ => {}
            }
        }
        self.slots.get_mut(&id).ok_or("a slot is nowhere")?.take(record, asked)
    }

    fn take_payment(&mut self, id: PaymentId, record: Record<Event>) -> Result<(), String> {
        if let Entry::Vacant(new) = self.payments.entry(id) {
            new.insert(Due::open(id, &record)?);
        }
        for event in &record.events {
            match event {
                Event::Opened(opened) if opened.quote.is_none() => {
                    for hold in opened.items.iter().map(|item| item.hold) {
                        let held = self.slots.get(&hold.slot()).and_then(|naive| naive.holds.get(&hold)).filter(|held| held.fate == Fate::Live);
                        rule(held.is_none_or(|held| held.paying == Some(id)), "a payment begins for a hold that is not kept for it")?;
                    }
                }
                Event::Fulfilled(fulfilled) => {
                    let due = &self.payments[&id];
                    let item = due.opened.items.get(usize::from(fulfilled.item)).ok_or("an unknown item is sold")?;
                    let sale = self.sales.get(&fulfilled.sale).ok_or("a payment has tickets that were not sold")?;
                    let settles = match sale.settlement {
                        Settlement::Desk { .. } => due.came.is_empty() && id.creditor() == 0,
                        Settlement::Payment { id: by } => by == id,
                        Settlement::Free => item.amount_cents.is_zero(),
                        _ => false,
                    };
                    rule(settles && sale.lines == item.lines, "a payment has tickets that are not its own, or not what was paid for")?;
                    rule(self.items.insert(fulfilled.sale, (id, fulfilled.item)).is_none(), "two items have the same tickets")?;
                }
                Event::RefundOpened(opened) => {
                    if let RefundReason::Cancelled { sale, seq, item } = opened.why {
                        let of = self.cancelled.get(&(sale, seq));
                        rule(of == Some(&opened.amount_cents.get()), "another sum is to go back than the slot says, or nobody cancelled anything")?;
                        let origin = self.paid_by(sale).ok_or("tickets of nobody's payment are paid back")?;
                        rule(origin.0 == id && self.items.get(&origin.1) == Some(&(id, item)), "tickets of another payment or item are paid back")?;
                    }
                }
                _ => {}
            }
        }
        self.payments.get_mut(&id).ok_or("a payment is nowhere")?.take(record)
    }

    /// The payment that the tickets of a sale were paid by, or that stands for what a desk took, and the sale that they were bought as.
    pub fn paid_by(&self, sale: HoldId) -> Option<(PaymentId, HoldId)> {
        match self.sales.get(&sale)?.settlement {
            Settlement::Desk { .. } => self.items.get(&sale).map(|(payment, _)| (*payment, sale)),
            Settlement::Payment { id } => Some((id, sale)),
            Settlement::Moved { from } => self.paid_by(from),
            _ => None,
        }
    }

    /// Whether the tickets of a sale were bought on an account.
    fn is_on_account(&self, sale: HoldId) -> bool {
        match self.sales.get(&sale).map(|sale| &sale.settlement) {
            Some(Settlement::Moved { from }) => self.is_on_account(*from),
            Some(settlement) => matches!(settlement, Settlement::OnAccount { .. } | Settlement::Quoted { .. }),
            None => false,
        }
    }

    /// How many sales an account was charged for.
    pub fn sold_on_account(&self) -> u64 {
        self.sales.values().filter(|sale| matches!(sale.settlement, Settlement::OnAccount { .. })).count() as u64
    }

    /// A visit is paid once, its tickets are of what paid, and nothing is kept that nobody wants.
    fn groups_at_rest(&self) -> Result<(), String> {
        for (id, group) in &self.groups {
            rule(group.state != group::State::Paid, "a quote is paid, and has neither tickets nor an end")
                .map_err(|wrong| format!("{wrong}: {id}"))?;
            rule(!group.unwinds, "a quote is called off, and nobody has done what that asks for").map_err(|wrong| format!("{wrong}: {id}"))?;
        }
        for (id, due) in &self.payments {
            let Some(quote) = due.opened.quote.filter(|_| due.is_paid()) else { continue };
            let is_its = self.groups.get(&quote).is_some_and(|group| group.paid == Some(Some(*id)));
            let has_tickets = due.ends.iter().any(|end| matches!(end, Some(End::Sold(_))));
            rule(is_its || !has_tickets, "money has bought tickets for a quote that another one has paid")
                .map_err(|wrong| format!("{wrong}: {id}"))?;
        }
        let wanted: BTreeSet<HoldId> = self.groups.values().flat_map(Group::options).copied().collect();
        for (slot, naive) in &self.slots {
            let kept = naive.holds.iter().filter(|(_, hold)| hold.who == KeyId::SYSTEM && hold.fate == Fate::Live);
            for (hold, _) in kept {
                rule(wanted.contains(hold), "places are kept for nobody (QU-2)").map_err(|wrong| format!("{wrong}: {hold} in {slot}"))?;
            }
        }
        Ok(())
    }

    /// The sales of payments, also those whose tickets have moved.
    pub fn of_payments(&self) -> Vec<HoldId> {
        self.sales.keys().copied().filter(|sale| self.paid_by(*sale).is_some()).collect()
    }

    /// Those of them whose tickets came from another slot.
    pub fn of_moves(&self) -> Vec<HoldId> {
        let has_come = |sale: &HoldId| self.sales.get(sale).is_some_and(|sale| matches!(sale.settlement, Settlement::Moved { .. }));
        self.of_payments().into_iter().filter(has_come).collect()
    }

    /// When nobody has anything to do any more: everything paid is tickets or a refund, nobody has tickets without a payment, and what slots and vouchers say is
    /// what payments say.
    pub fn at_rest(&self) -> Result<(), String> {
        for (id, due) in &self.payments {
            due.at_rest().map_err(|wrong| format!("payment {id}: {wrong}"))?;
            for (number, back) in due.back.iter().enumerate() {
                if let Went::Gone(PaidBackBy::Voucher { voucher }) = back.went {
                    let restored = self.vouchers.get(&voucher).and_then(|purse| purse.restored.get(&(*id, number as u32)));
                    rule(restored == Some(&back.cents), "a refund went to a voucher that does not have it")?;
                }
            }
        }
        for (sale, of) in &self.sales {
            if let Settlement::Payment { id } = of.settlement {
                let item = self.items.get(sale).is_some_and(|(by, _)| *by == id);
                rule(item, "somebody has tickets of a payment that knows nothing of them").map_err(|wrong| format!("{wrong}: {sale} of {id}"))?;
            }
        }
        for ((sale, seq), cents) in &self.cancelled {
            if self.is_on_account(*sale) {
                continue;
            }
            let (payment, _) = self.paid_by(*sale).ok_or("cancelled tickets of a desk are not paid back")?;
            let same = |back: &&Back| matches!(back.why, RefundReason::Cancelled { sale: of, seq: by, .. } if (of, by) == (*sale, *seq));
            let known: Vec<i64> = self.payments[&payment].back.iter().filter(same).map(|back| back.cents).collect();
            rule(known == [*cents], "cancelled tickets are not paid back").map_err(|wrong| format!("{wrong}: {sale}, record {seq}, {cents}"))?;
        }
        self.groups_at_rest()?;
        for naive in self.slots.values() {
            rule(naive.owed.is_empty(), "a slot owes a payment a word (SL-10)")?;
        }
        rule(moves_add_up(&self.slots)? == 0, "a move is under way")?;
        for (id, purse) in &self.vouchers {
            for (payment, cents) in &purse.taken {
                let has = |receipt: &Receipt| receipt.source == Source::Voucher { voucher: *id } && receipt.amount_cents.get() == *cents;
                let known = self.payments.get(payment).is_some_and(|due| due.came.iter().any(has));
                rule(known, "a voucher has paid for what knows nothing of it").map_err(|wrong| format!("{wrong}: {payment}"))?;
            }
            for ((payment, refund), cents) in &purse.restored {
                let back = self.payments.get(payment).and_then(|due| due.back.get(*refund as usize));
                let fits = back.is_some_and(|back| back.cents == *cents && back.went == Went::Gone(PaidBackBy::Voucher { voucher: *id }));
                rule(fits, "a voucher took something back that no refund gave")?;
            }
        }
        Ok(())
    }
}

/// One payment at most is under way for an order.
fn one_at_a_time(records: &[Record<order::Event>]) -> Result<(), String> {
    let mut under_way = BTreeSet::new();
    for event in records.iter().flat_map(|record| &record.events) {
        match event {
            order::Event::PaymentBegun(begun) => {
                under_way.insert(begun.payment);
                rule(under_way.len() == 1, "two payments are under way for an order (OR-1)")?;
            }
            order::Event::PaymentEnded(ended) => {
                under_way.remove(&ended.payment);
            }
            order::Event::Placed(_) => {}
        }
    }
    Ok(())
}
