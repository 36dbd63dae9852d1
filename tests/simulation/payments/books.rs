//! The books of the simulated payments, kept as a cashier would: one page for each payment, voucher and order, filled from the journal's records and added up
//! from scratch for each question; slots are kept by `naive`. Every event is held against the rules as it is taken in. They share no code with the engine's
//! payments, vouchers and orders but the words of the events.

pub mod drawer;
pub mod group;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tornello_actors::journal::wire::frames;
use tornello_actors::journal::{Batch, Head, StreamId};
use tornello_engine::account;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::{AccountId, HoldId, KeyId, OrderId, PaymentId, QuoteId, SlotId, TillId, VoucherId};
use tornello_engine::payment::{Closed, Closing, Event, Gateway, Item, Opened, PaidBackBy, Receipt, RefundOpened, RefundReason, Source, TakenBack};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, DeskMethod, Keeper, Line, Settlement};
use tornello_engine::time::Timestamp;
use tornello_engine::{order, voucher};

use crate::naive::{Asked, DAY_S, Fate, Naive, moves_add_up};
use crate::rule;
use drawer::Drawer;
use group::Group;

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Sold(HoldId),
    PaidBack,
}

/// How far money is on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    Open,
    Sent,
    Gone(PaidBackBy),
}

/// Money that goes back.
#[derive(Debug, Clone)]
pub struct Back {
    pub cents: i64,
    pub why: RefundReason,
    pub receipt: usize,
    pub went: Went,
    /// Whether somebody has said that it may go although the payment is contested.
    released: bool,
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
    /// Whether the payer's bank contests it, or was right.
    contested: bool,
    /// Whether they were ever right.
    was_upheld: bool,
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
    fn open(id: PaymentId, record: &Record<Event>) -> Result<Self, String> {
        let Some(Event::Opened(opened)) = record.events.first() else { return Err("a payment begins without being opened".into()) };
        let lines: i64 = opened.items.iter().map(|item| cost(&item.lines)).sum();
        let extras: i64 = extras(opened);
        rule(opened.items.iter().all(|item| cost(&item.lines) == item.amount_cents.get()), "an item costs something else than its lines")?;
        rule(lines + extras == opened.amount_cents.get(), "another sum is due than everything costs")?;
        rule((opened.amount_cents.get() == 0) == (opened.gateway == Gateway::Free), "nothing is due, or something for free")?;
        let envelope = record.envelope.as_ref().ok_or("a payment that nobody asked for")?;
        // One that stands for a sale of a desk is nobody's demand: it is taken over as it was paid.
        let of_desk = matches!(record.events.get(1), Some(Event::Received(received)) if matches!(received.receipt.source, Source::Sale { .. }));
        rule(id.creditor() == if of_desk { 0 } else { super::CREDITOR }, "a payment to another creditor")?;
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
            was_upheld: false,
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
    fn needs(&self, hold: HoldId) -> bool {
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

    fn take(&mut self, record: Record<Event>) -> Result<(), String> {
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
            Event::Received(received) => {
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
            Event::RefundExported(exported) => {
                let to_voucher = self.of_voucher(exported.refund)?.is_some();
                rule(!to_voucher, "a voucher's money goes to the bank")?;
                rule(!self.waits(exported.refund), "what the payer's bank takes back goes to the bank as well")?;
                self.back_of(exported.refund, &[Went::Open], Went::Sent).map(drop)
            }
            Event::RefundConfirmed(confirmed) => {
                let voucher = self.of_voucher(confirmed.refund)?;
                let to_voucher = matches!(confirmed.by, PaidBackBy::Voucher { .. });
                rule(voucher.is_none() || to_voucher, "a voucher's money is paid out beside")?;
                let by_bank = confirmed.by == PaidBackBy::PayersBank;
                rule(to_voucher || by_bank || !self.waits(confirmed.refund), "what the payer's bank takes back is paid out as well")?;
                let from: &[Went] = match confirmed.by {
                    PaidBackBy::Transfer => &[Went::Open, Went::Sent],
                    PaidBackBy::Till { .. } => &[Went::Open],
                    PaidBackBy::PayersBank => {
                        let back = &self.back[confirmed.refund as usize];
                        rule(
                            back.cents + self.settled_of(back.receipt) <= self.taken_of(back.receipt),
                            "a payer's bank paid a refund of what it did not take",
                        )?;
                        &[Went::Open]
                    }
                    PaidBackBy::Voucher { voucher: to } => {
                        rule(voucher == Some(to), "money goes to a voucher that it did not come from")?;
                        &[Went::Open]
                    }
                };
                self.back_of(confirmed.refund, from, Went::Gone(confirmed.by)).map(drop)
            }
            Event::RefundReturned(returned) => {
                let before = self.back_of(returned.refund, &[Went::Sent, Went::Gone(PaidBackBy::Transfer)], Went::Open)?;
                rule(returned.was_paid_back == (before != Went::Sent), "a return is of another state than the refund was in")?;
                self.back[returned.refund as usize].released = false;
                Ok(())
            }
            Event::RefundReleased(released) => {
                rule(self.waits(released.refund), "a refund is let go that waits for nobody")?;
                self.back[released.refund as usize].released = true;
                Ok(())
            }
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
            Event::Disputed(_) => {
                rule(!self.came.is_empty(), "a dispute about nothing")?;
                self.contested = true;
                self.back.iter_mut().for_each(|back| back.released = false);
                Ok(())
            }
            Event::DisputeResolved(resolved) => {
                self.contested = resolved.upheld;
                self.was_upheld |= resolved.upheld;
                if resolved.upheld {
                    self.back.iter_mut().for_each(|back| back.released = false);
                }
                let expected = if resolved.upheld { self.left_to_a_bank() } else { None };
                let follows = match then {
                    [] => None,
                    [Event::TakenBack(taken)] => Some((taken.receipt as usize, taken.amount_cents.get())),
                    _ => return Err("something else follows from the end of a dispute than what was taken back".into()),
                };
                self.is_taking = follows.is_some();
                rule(follows == expected, "the payer's bank takes back something else than what is left of what came from banks")
                    .map_err(|wrong| format!("{wrong}: {expected:?}"))
            }
            Event::TakenBack(taken) => {
                rule(std::mem::take(&mut self.is_taking), "money is taken back that nobody contests, and that no flow names")?;
                let (place, cents) = (taken.receipt as usize, taken.amount_cents.get());
                self.taken.push((place, cents));
                let came = self.came.get(place).map_or(0, |came| came.amount_cents.get());
                let may = self.settled_of(place)..=came;
                rule(may.contains(&self.taken_of(place)), "more is taken back than came, or less than refunds are noted to be paid by (PY-1)")?;
                if cents > 0 {
                    for back in &mut self.back {
                        self.held_back += u64::from(back.released && back.went == Went::Open);
                        back.released = false;
                    }
                }
                Ok(())
            }
            Event::Reported(reported) => {
                let key = (reported.flow.clone(), reported.iur.clone(), reported.index);
                let said = (reported.code, reported.amount_cents.get());
                rule(self.named.insert(key, said) != Some(said), "a flow says once more what it has said")?;
                let taken = match then {
                    [] => None,
                    [Event::TakenBack(taken)] => Some(taken),
                    _ => return Err("something else follows from a flow than what it takes back".into()),
                };
                match self.came.iter().position(|came| came.id == reported.iur) {
                    Some(place) => self.flows_take(place, taken),
                    None => rule(taken.is_none(), "a flow takes back what has not come"),
                }
            }
        }
    }

    /// Which receipt's money a bank takes back that was right, and how much: first of what paid, then of what came beside; of each what is neither paid back nor sent.
    fn left_to_a_bank(&self) -> Option<(usize, i64)> {
        let mut places: Vec<usize> = (0..self.came.len()).collect();
        places.sort_by_key(|place| Some(*place) != self.paid_by);
        let mut left = places.into_iter().map(|place| {
            let came = &self.came[place];
            let by_bank = match &came.source {
                Source::Node | Source::Report => true,
                Source::Desk { method, .. } => *method == DeskMethod::Card,
                _ => false,
            };
            let is_away = |back: &&Back| back.went != Went::Open && back.went != Went::Gone(PaidBackBy::PayersBank);
            let went = self.back.iter().filter(|back| back.receipt == place).filter(is_away).map(|back| back.cents).sum::<i64>();
            (place, if by_bank { came.amount_cents.get() - went - self.taken_of(place) } else { 0 })
        });
        left.find(|(_, cents)| *cents > 0)
    }

    /// The refunds that the payer has from their bank.
    pub fn settled(&self) -> impl Iterator<Item = &Back> {
        self.back.iter().filter(|back| back.went == Went::Gone(PaidBackBy::PayersBank))
    }

    fn settled_of(&self, receipt: usize) -> i64 {
        self.settled().filter(|back| back.receipt == receipt).map(|back| back.cents).sum()
    }

    pub fn taken_of(&self, receipt: usize) -> i64 {
        self.taken.iter().filter(|(of, _)| *of == receipt).map(|(_, cents)| cents).sum()
    }

    /// What flows name as revoked of a receipt by their last words, less what they have as sent beside what came, and no more than came with it: of what went through pagoPA, by its
    /// one transfer.
    fn revoked_of(&self, receipt: usize) -> i64 {
        let came = &self.came[receipt];
        let is_its = |(_, iur, index): &(String, String, u8)| *iur == came.id && *index == 1;
        let said = |revoked: bool| -> i64 {
            let lines = self.named.iter().filter(|(key, (code, _))| is_its(key) && (*code == 3) == revoked);
            lines.map(|(_, (_, cents))| cents).sum()
        };
        let all = came.amount_cents.get();
        if matches!(came.source, Source::Node | Source::Report) { (said(true) - (said(false) - all).max(0)).clamp(0, all) } else { 0 }
    }

    /// Of a receipt is taken back what flows name by their last words, and no less than refunds are noted to be paid by: so what they have taken and name no more is given back.
    /// Where a dispute was ever decided for the payer nothing is given back, and what it took is not taken again.
    fn flows_take(&mut self, receipt: usize, taken: Option<&TakenBack>) -> Result<(), String> {
        let before = self.taken_of(receipt);
        let stays = if self.was_upheld { before } else { self.settled_of(receipt) };
        let expected = self.revoked_of(receipt).max(stays) - before;
        let expected = (expected != 0).then_some((receipt, expected));
        let follows = taken.map(|taken| (taken.receipt as usize, taken.amount_cents.get()));
        self.is_taking = follows.is_some();
        rule(follows == expected, "flows take back, or give back, something else than they name").map_err(|wrong| format!("{wrong}: {expected:?}"))
    }

    fn owe(&mut self, opened: &RefundOpened) -> Result<(), String> {
        rule(opened.refund as usize == self.back.len(), "refunds are not numbered as they come")?;
        rule(opened.amount_cents.get() > 0, "nothing is to go back")?;
        let receipt = opened.receipt as usize;
        let fits = match opened.why {
            RefundReason::AmountTooSmall | RefundReason::Excess | RefundReason::DoublePayment => receipt + 1 == self.came.len(),
            _ => Some(receipt) == self.paid_by,
        };
        rule(fits, "the money of another receipt goes back")?;
        self.back.push(Back { cents: opened.amount_cents.get(), why: opened.why, receipt, went: Went::Open, released: false });
        let of_receipt: i64 = self.back.iter().filter(|back| back.receipt == receipt).map(|back| back.cents).sum();
        rule(of_receipt <= self.came[receipt].amount_cents.get(), "more goes back than has come (PY-4)")?;
        if opened.why == RefundReason::ExtrasCancelled {
            let is_once = self.back.iter().filter(|back| back.why == RefundReason::ExtrasCancelled).count() == 1;
            let were_sold = self.ends.iter().any(|end| matches!(end, Some(End::Sold(_))));
            rule(
                is_once && were_sold && opened.amount_cents.get() == extras(&self.opened),
                "extras go back twice, in part, or without tickets (PY-4)",
            )?;
        }
        if let RefundReason::Cancelled { item, sale, seq } = opened.why {
            let of_item = |back: &&Back| matches!(back.why, RefundReason::Cancelled { item: of, .. } if of == item);
            let of_item: i64 = self.back.iter().filter(of_item).map(|back| back.cents).sum();
            rule(of_item <= self.opened.items[usize::from(item)].amount_cents.get(), "more goes back for tickets than they took (PY-4)")?;
            let same = |back: &&Back| matches!(back.why, RefundReason::Cancelled { sale: of, seq: by, .. } if (of, by) == (sale, seq));
            rule(self.back.iter().filter(same).count() == 1, "a cancellation is paid back twice (PY-4)")?;
        }
        Ok(())
    }

    /// The refunds that wait until somebody says that they may go.
    pub fn waiting(&self) -> impl Iterator<Item = u32> {
        (0..self.back.len() as u32).filter(|number| self.waits(*number))
    }

    fn waits(&self, refund: u32) -> bool {
        let contested = self.contested || self.taken.iter().map(|(_, cents)| cents).sum::<i64>() > 0;
        contested && self.back.get(refund as usize).is_some_and(|back| back.went == Went::Open && !back.released)
    }

    /// The voucher that the money of a refund came from.
    fn of_voucher(&self, refund: u32) -> Result<Option<VoucherId>, String> {
        let back = self.back.get(refund as usize).ok_or("an unknown refund")?;
        Ok(if let Source::Voucher { voucher } = self.came[back.receipt].source { Some(voucher) } else { None })
    }

    fn back_of(&mut self, refund: u32, from: &[Went], to: Went) -> Result<Went, String> {
        let back = self.back.get_mut(refund as usize).ok_or("an unknown refund")?;
        rule(from.contains(&back.went), "a refund goes where it cannot go from where it is").map_err(|wrong| format!("{wrong}: {:?}", back.went))?;
        Ok(std::mem::replace(&mut back.went, to))
    }
}

/// The page of one voucher.
#[derive(Default)]
pub struct Purse {
    pub records: Vec<Record<voucher::Event>>,
    pub left: i64,
    taken: BTreeMap<PaymentId, i64>,
    restored: BTreeMap<(PaymentId, u32), i64>,
}

impl Purse {
    fn take(&mut self, record: Record<voucher::Event>) -> Result<(), String> {
        rule(record.seq == self.records.len() as u64 + 1, "records are not numbered without gaps")?;
        for event in &record.events {
            match event {
                voucher::Event::Issued(issued) => {
                    rule(record.seq == 1, "a voucher is issued twice")?;
                    self.left = issued.amount_cents.get();
                }
                voucher::Event::Redeemed(redeemed) => {
                    rule(self.taken.insert(redeemed.payment, redeemed.amount_cents.get()).is_none(), "a voucher pays twice for the same")?;
                    self.left -= redeemed.amount_cents.get();
                }
                voucher::Event::Restored(restored) => {
                    let new = self.restored.insert((restored.payment, restored.refund), restored.amount_cents.get()).is_none();
                    rule(new, "a voucher takes the same refund back twice")?;
                    self.left += restored.amount_cents.get();
                }
            }
        }
        rule(self.left >= 0, "a voucher is worth less than nothing")?;
        self.records.push(record);
        Ok(())
    }
}

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

impl Due {
    fn at_rest(&self) -> Result<(), String> {
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

fn cost(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.price_cents.get() * i64::from(line.count)).sum()
}

fn extras(opened: &Opened) -> i64 {
    opened.extras.iter().map(|extra| extra.price_cents.get() * i64::from(extra.count)).sum()
}
