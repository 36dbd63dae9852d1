//! The page of one payment: what is due, what came for it, and what each item became. The money that goes back is in `refund`, what payers' banks take back in
//! `dispute`.

mod dispute;
mod refund;

use std::collections::{BTreeMap, BTreeSet};

use tornello_engine::envelope::Digest;
use tornello_engine::ids::{HoldId, KeyId, PaymentId};
use tornello_engine::payment::{Closed, Closing, Event, Gateway, Item, Opened, Receipt, Received, RefundReason, Source};
use tornello_engine::record::Record;
use tornello_engine::slot::Line;
use tornello_engine::time::Timestamp;

use crate::naive::DAY_S;
use crate::payments::CREDITOR;
use crate::rule;
pub use refund::{Back, Went};

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Sold(HoldId),
    PaidBack,
}

/// How a payment ended without money, if it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Failed,
    Cancelled,
    Expired,
}

/// The page of one payment.
pub struct Due {
    pub opened: Opened,
    pub key: (KeyId, Digest),
    pub records: Vec<Record<Event>>,
    pub came: Vec<Receipt>,
    pub paid_by: Option<usize>,
    pub over: Option<Over>,
    pub published: bool,
    pub active_until: Timestamp,
    pub ends: Vec<Option<End>>,
    pub back: Vec<Back>,
    pub closed: Option<Closed>,
    /// Whether the payer's bank contests it.
    contested: bool,
    /// Whether it was right the last time, and about which receipt, if that was noted.
    right_about: Option<Option<usize>>,
    /// Of which receipts they took when they were right.
    upheld: BTreeSet<usize>,
    /// Whether they were once right, and of which receipt they took was not noted.
    is_any_upheld: bool,
    /// What payers' banks took back: of which receipt, how much; below zero where a flow gives back what it took.
    pub taken: Vec<(usize, i64)>,
    /// Whether the record goes on to take something back.
    is_taking: bool,
    /// The last word of each line of a flow, by flow, receipt and transfer: its code and how much.
    pub named: BTreeMap<(String, String, u8), (u8, i64)>,
    /// How many refunds that were let go wait again because a flow takes money back.
    pub held_back: u64,
    keys: BTreeMap<(KeyId, Digest), Timestamp>,
}

/// Where the money of a payment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub came: i64,
    pub waits: i64,
    pub tickets: i64,
    pub extras: i64,
    pub owed: i64,
    pub gone: i64,
}

impl Due {
    pub fn open(id: PaymentId, record: &Record<Event>) -> Result<Self, String> {
        let Some(Event::Opened(opened)) = record.events.first() else { return Err("a payment begins without being opened".into()) };
        let lines: i64 = opened.items.iter().map(|item| cost(&item.lines)).sum();
        let extras: i64 = extras(opened);
        rule(opened.items.iter().all(|item| cost(&item.lines) == item.amount_cents.get()), "an item costs something else than its lines")?;
        rule(lines + extras == opened.amount_cents.get(), "another sum is due than everything costs")?;
        rule((opened.amount_cents.get() == 0) == (opened.gateway == Gateway::Free), "nothing is due, or something for free")?;
        let envelope = record.envelope.as_ref().ok_or("a payment that nobody asked for")?;
        // One that stands for a sale of a desk is nobody's demand: it is taken over as it was paid.
        let of_desk = matches!(record.events.get(1), Some(Event::Received(received)) if matches!(received.receipt.source, Source::Sale { .. }));
        rule(id.creditor() == if of_desk { 0 } else { CREDITOR }, "a payment to another creditor")?;
        rule(of_desk || envelope.who == opened.who, "a payment of somebody else")?;
        Ok(Self {
            opened: opened.clone(),
            key: (envelope.who, envelope.key),
            records: Vec::new(),
            came: Vec::new(),
            paid_by: None,
            over: None,
            published: false,
            active_until: Timestamp::MIN,
            ends: vec![None; opened.items.len()],
            back: Vec::new(),
            closed: None,
            contested: false,
            right_about: None,
            upheld: BTreeSet::new(),
            is_any_upheld: false,
            taken: Vec::new(),
            is_taking: false,
            named: BTreeMap::new(),
            held_back: 0,
            keys: BTreeMap::new(),
        })
    }

    pub fn is_paid(&self) -> bool {
        self.paid_by.is_some()
    }

    pub fn is_open(&self) -> bool {
        self.over.is_none() && !self.is_paid()
    }

    /// Whether a hold may still become tickets of it. What was over once needs none any more: money that comes all the same has what is left.
    pub fn needs(&self, hold: HoldId) -> bool {
        let is_left = |(item, end): (&Item, &Option<End>)| item.hold == hold && end.is_none();
        self.over.is_none() && self.opened.items.iter().zip(&self.ends).any(is_left)
    }

    /// The refunds that somebody has to see to.
    pub fn tasks(&self) -> impl Iterator<Item = (u32, &Back)> {
        (0..).zip(&self.back).filter(|(_, back)| back.went == Went::Open || back.went == Went::Sent)
    }

    /// Everything added up anew: of what came, what the tickets keep, what the extras keep, what is to go back, what has gone; the rest waits.
    pub fn sums(&self) -> Result<Sums, String> {
        let came = self.came.iter().map(|receipt| receipt.amount_cents.get()).sum();
        let (mut sums, extras) = (Sums { came, ..Sums::default() }, extras(&self.opened));
        for back in &self.back {
            *(if matches!(back.went, Went::Gone(_)) { &mut sums.gone } else { &mut sums.owed }) += back.cents;
        }
        let mut unallotted = 0;
        if self.is_paid() {
            for (item, end) in self.opened.items.iter().zip(&self.ends) {
                match end {
                    None => unallotted += item.amount_cents.get(),
                    Some(End::Sold(_)) => sums.tickets += item.amount_cents.get(),
                    Some(End::PaidBack) => {}
                }
            }
            let of_tickets = |back: &&Back| matches!(back.why, RefundReason::Cancelled { .. });
            sums.tickets -= self.back.iter().filter(of_tickets).map(|back| back.cents).sum::<i64>();
            if self.opened.items.is_empty() || self.ends.iter().any(|end| matches!(end, Some(End::Sold(_)))) {
                let of_extras = |back: &&Back| back.why == RefundReason::ExtrasCancelled;
                sums.extras = extras - self.back.iter().filter(of_extras).map(|back| back.cents).sum::<i64>();
            } else if self.ends.iter().any(Option::is_none) {
                unallotted += extras;
            }
        }
        sums.waits = sums.came - sums.tickets - sums.extras - sums.owed - sums.gone;
        rule(sums.waits == unallotted && sums.tickets >= 0, "a cent is in no place, or in two (PY-1)")
            .map_err(|wrong| format!("{wrong}: {sums:?}"))?;
        Ok(sums)
    }

    pub fn take(&mut self, record: Record<Event>) -> Result<(), String> {
        rule(record.seq == self.records.len() as u64 + 1, "records are not numbered without gaps")?;
        rule(self.records.last().is_none_or(|last| last.at <= record.at), "time goes backwards within a payment (PY-5)")?;
        match &record.envelope {
            None => rule(matches!(record.events[..], [Event::Expired(_)]), "something without a caller that is not an expiry")?,
            Some(envelope) => {
                let before = self.keys.insert((envelope.who, envelope.key), record.at);
                rule(before.is_none_or(|before| record.at.micros_since(before) > DAY_S * 1_000_000), "a key was carried out twice")?;
            }
        }
        for (place, event) in record.events.iter().enumerate() {
            self.happen(record.at, record.seq == 1 && place == 0, event, &record.events[place + 1..])
                .map_err(|wrong| format!("{wrong}: {event:?}"))?;
        }
        rule(!self.is_taking, "money is to be taken back, and is not")?;
        self.records.push(record);
        self.sums().map(drop)
    }

    fn happen(&mut self, at: Timestamp, first: bool, event: &Event, then: &[Event]) -> Result<(), String> {
        match event {
            Event::Opened(_) => rule(first, "a payment is opened twice"),
            Event::Published(_) => {
                rule(self.is_open(), "what is over is published")?;
                self.published = true;
                Ok(())
            }
            Event::PublishFailed(_) => {
                rule(self.is_open() && !self.published, "what is published, or over, fails")?;
                self.over = Some(Over::Failed);
                Ok(())
            }
            Event::Activated(activated) => {
                rule(self.is_open() && self.published && at < self.opened.due_at, "somebody begins to pay what cannot be paid")?;
                rule(
                    activated.until >= self.active_until && activated.until.micros_since(at) <= 7_200 * 1_000_000,
                    "a token lives too long, or shorter",
                )?;
                self.active_until = activated.until;
                Ok(())
            }
            Event::Received(received) => self.receive(received, then),
            Event::Fulfilled(fulfilled) => {
                rule(self.is_paid(), "tickets for what is not paid (PY-3)")?;
                let end = self.ends.get_mut(usize::from(fulfilled.item)).ok_or("an unknown item is sold")?;
                rule(end.is_none(), "an item ends twice (PY-3)")?;
                *end = Some(End::Sold(fulfilled.sale));
                let item = &self.opened.items[usize::from(fulfilled.item)];
                rule(item.amount_cents == fulfilled.amount_cents, "tickets take another sum than they cost")?;
                rule(item.hold.slot() == fulfilled.sale.slot(), "tickets of another slot than was paid for")
            }
            Event::Unfulfilled(unfulfilled) => {
                rule(self.is_paid(), "what is not paid is paid back (PY-3)")?;
                let end = self.ends.get_mut(usize::from(unfulfilled.item)).ok_or("an unknown item is paid back")?;
                rule(end.is_none(), "an item ends twice (PY-3)")?;
                *end = Some(End::PaidBack);
                let none_sold = self.ends.iter().all(|end| *end == Some(End::PaidBack));
                let mut expected =
                    vec![(self.opened.items[usize::from(unfulfilled.item)].amount_cents.get(), RefundReason::Unfulfilled { item: unfulfilled.item })];
                expected.extend(none_sold.then(|| (extras(&self.opened), RefundReason::Extras)));
                expected.retain(|(cents, _)| *cents > 0);
                let follows = then
                    .iter()
                    .map(|event| if let Event::RefundOpened(opened) = event { Some((opened.amount_cents.get(), opened.why)) } else { None });
                rule(follows.eq(expected.into_iter().map(Some)), "an item that is not to be had is not paid back, or not just that")
            }
            Event::RefundOpened(opened) => self.owe(opened),
            Event::RefundExported(exported) => self.export(exported),
            Event::RefundConfirmed(confirmed) => self.confirm(confirmed),
            Event::RefundReturned(returned) => self.come_back(returned),
            Event::RefundReleased(released) => self.release(released),
            Event::PayeeSet(set) => self.back_of(set.refund, &[Went::Open], Went::Open).map(drop),
            Event::Cancelled(_) => {
                rule(self.is_open() || (self.over == Some(Over::Failed) && !self.is_paid()), "what is over is cancelled")?;
                self.over = Some(Over::Cancelled);
                Ok(())
            }
            Event::Expired(_) => {
                rule(self.is_open(), "what is over expires")?;
                rule(at >= self.opened.due_at.max(self.active_until), "a payment expires while it can be paid")?;
                self.over = Some(Over::Expired);
                Ok(())
            }
            Event::Closed(closed) => {
                rule(self.closed.is_none() && !self.is_open(), "a payment is closed twice, or while it is open")?;
                let elsewhere = self.paid_by.is_some_and(|place| matches!(self.came[place].source, Source::Desk { .. }));
                let is_position = matches!(self.opened.gateway, Gateway::Notice | Gateway::Checkout);
                let by_desk = if elsewhere && is_position { Closing::PaidElsewhere } else { Closing::Withdrawn };
                rule(closed.closing == by_desk, "the gateway is told something else of the end")?;
                self.closed = Some(closed.clone());
                Ok(())
            }
            Event::Disputed(_) => self.contest(),
            Event::DisputeResolved(resolved) => self.resolve(resolved.upheld, then),
            Event::TakenBack(taken) => self.take_back(taken),
            Event::Reported(reported) => self.report(reported, then),
        }
    }

    fn receive(&mut self, received: &Received, then: &[Event]) -> Result<(), String> {
        let (receipt, due) = (&received.receipt, self.opened.amount_cents.get());
        rule(self.came.iter().all(|known| known.id != receipt.id), "a receipt is taken twice (PY-2)")?;
        let came = receipt.amount_cents.get();
        let may = match receipt.source {
            Source::Node | Source::Report => matches!(self.opened.gateway, Gateway::Notice | Gateway::Checkout),
            Source::Desk { .. } => true,
            Source::Voucher { voucher } => self.opened.gateway == Gateway::Voucher { voucher },
            Source::Free => self.opened.gateway == Gateway::Free,
            Source::Sale { sale } => self.opened.gateway == Gateway::Desk && self.opened.items.iter().map(|item| item.hold).eq([sale]),
        };
        rule(may && (came > 0 || receipt.source == Source::Free), "money comes on a way on which it cannot")?;
        let expected = match (self.is_paid(), came - due) {
            (true, _) => Some((came, RefundReason::DoublePayment)),
            (false, less) if less < 0 => Some((came, RefundReason::AmountTooSmall)),
            (false, 0) => None,
            (false, more) => Some((more, RefundReason::Excess)),
        };
        rule(received.pays == (!self.is_paid() && came >= due), "a receipt pays that does not, or does not though it does")?;
        let (then, taken) = match then {
            [then @ .., Event::TakenBack(taken)] => (then, Some(taken)),
            then => (then, None),
        };
        let follows = match then {
            [] => None,
            [Event::RefundOpened(opened)] => Some((opened.amount_cents.get(), opened.why)),
            [Event::Fulfilled(_)] if matches!(receipt.source, Source::Sale { .. }) => None,
            _ => return Err("something else follows from a receipt than a refund".into()),
        };
        rule(follows == expected, "another refund is opened than money came too much").map_err(|wrong| format!("{wrong}: {expected:?}"))?;
        if received.pays {
            self.paid_by = Some(self.came.len());
        }
        self.came.push(receipt.clone());
        self.flows_take(self.came.len() - 1, taken)
    }

    pub fn at_rest(&self) -> Result<(), String> {
        let sums = self.sums()?;
        rule(sums.waits == 0, "money waits that nobody does anything about").map_err(|wrong| format!("{wrong}: {sums:?}"))?;
        if self.is_paid() {
            rule(self.ends.iter().all(Option::is_some), "something is paid, and is neither tickets nor a refund")?;
        }
        rule(!self.is_open() || self.published, "a payment is begun, and nobody lets it be paid")?;
        let comes = |number: u32, back: &Back| back.went == Went::Open && !self.waits(number) && matches!(self.of_voucher(number), Ok(Some(_)));
        let to_voucher = (0..).zip(&self.back).any(|(number, back)| comes(number, back));
        rule(!to_voucher, "a voucher has not got its money back")
    }

    /// Whether the gateway is to know nothing of it that could be paid.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.over, Some(Over::Cancelled | Over::Expired)) && !self.is_paid()
    }
}

fn cost(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.price_cents.get() * i64::from(line.count)).sum()
}

fn extras(opened: &Opened) -> i64 {
    opened.extras.iter().map(|extra| extra.price_cents.get() * i64::from(extra.count)).sum()
}
