//! A payment: one amount that is due for some holds, and all money that came for it. What gateways know of money stands in this stream and in no other; what
//! became of the places stands in the slots. The flow *paid, so sell, else pay back* is journaled here and driven by the shell.
//!
//! The contract of every [`Aggregate`]. Money is taken in whatever the payment has become meanwhile: a receipt is never refused for the payment's state. The
//! first one over at least what is due pays it; the rest of the money goes back as refund tasks. The invariants:
//!
//! - PY-1: every cent received is in exactly one of: not yet allotted, tickets, extras, a refund that is owed, paid back. What the payer's bank took back is counted
//!   beside that: of each receipt once at most, and of none that no bank had a part in.
//! - PY-2: a receipt is taken once, and one of them at most pays.
//! - PY-3: an item ends once: as a sale or as a refund, never both, and not before the payment is paid.
//! - PY-4: what is refunded for a sale is never more than what it took of the payment, nor all refunds together more than was received; extras go back once.
//! - PY-5: the time of a record never goes backwards within a payment.
//! - PY-6: replay equals live: the records of a payment, applied in order, give the same state to the byte.
//!
//! The rules are in `receipt` (money that comes), `item` (what it is for), `refund` (money that goes back) and `dispute` (money that the payer's bank takes back).

mod command;
mod dispute;
mod event;
mod item;
mod receipt;
mod refund;
mod refusal;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use dispute::Took;
pub use event::*;
pub use item::ItemEnd;
pub use refund::{Refund, RefundState};
pub use refusal::Refusal;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::ids::{Code, HoldId, KeyId, PaymentId, VoucherId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::text::is_line;
use crate::time::Timestamp;

/// The longest life of a payment token that counts, in seconds: four times the 30 minutes that pagoPA names (SANP, best practice for PSPs).
pub const TOKEN_S_MAX: i64 = 7_200;
/// Who begins to pay again within so many seconds has as much time as before: that is not written down.
pub const ACTIVE_AGAIN_S: i64 = 60;
/// The longest reference that is kept, in characters.
pub const REFERENCE_MAX: usize = 200;

/// How a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing was written yet.
    Blank,
    /// Written down, not known to the gateway yet.
    Created,
    /// It can be paid.
    Pending,
    /// What was due has come.
    Paid {
        /// When we took it in.
        at: Timestamp,
        /// The receipt that paid, by its place.
        receipt: u32,
    },
    /// The gateway would not have it.
    Failed {
        /// Why, in one word.
        code: Code,
    },
    /// Its time was over.
    Expired {
        /// When that was noted.
        at: Timestamp,
    },
    /// It was not to be paid any more.
    Cancelled {
        /// When.
        at: Timestamp,
        /// Why, in one word.
        cause: Code,
    },
}

impl Stage {
    /// The name used in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blank => "unknown",
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Paid { .. } => "paid",
            Self::Failed { .. } => "failed",
            Self::Expired { .. } => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether money is still waited for.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Created | Self::Pending)
    }
}

/// Where the money is that has come (PY-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Money {
    /// All that came.
    pub received: Cents,
    /// What of it is not allotted yet.
    pub unallotted: Cents,
    /// What tickets took and keep.
    pub tickets: Cents,
    /// What extras took.
    pub extras: Cents,
    /// What is to go back.
    pub owed: Cents,
    /// What has gone back.
    pub paid_back: Cents,
}

impl Money {
    /// Whether it adds up, and nothing is below zero.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let parts = [self.unallotted, self.tickets, self.extras, self.owed, self.paid_back];
        parts.iter().all(|part| *part >= Cents::ZERO) && parts.into_iter().sum::<Cents>() == self.received
    }
}

/// A dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Since when.
    pub since: Timestamp,
    /// Why, in one word.
    pub reason: Code,
    /// The case, as the other side knows it.
    pub reference: String,
    /// Whether the payer was found to be right; none: it is open.
    pub upheld: Option<bool>,
}

/// What a gateway may tell a payer: this can be paid now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payable {
    /// How much.
    pub amount_cents: Cents,
    /// From when on it can no longer be started.
    pub due_at: Timestamp,
}

/// What is left to do of a payment by itself, without an operator: what its driver goes through, at once or after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// The gateway is to know it.
    pub publish: bool,
    /// The gateway is to hear that it can be paid there no more.
    pub close: Option<Closing>,
    /// Items that are paid and neither sold nor paid back.
    pub items: Vec<u16>,
    /// Refunds that vouchers take back, but for those that wait for somebody's word.
    pub vouchers: Vec<(u32, VoucherId, Cents)>,
}

impl Work {
    /// Whether nothing is left.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        !self.publish && self.close.is_none() && self.is_settled()
    }

    /// Whether nothing is left but what a gateway is to hear.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.items.is_empty() && self.vouchers.is_empty()
    }
}

/// How much of what paid has gone or is to go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refunded {
    /// Nothing.
    None,
    /// Some of it.
    Part,
    /// All.
    Whole,
}

/// A payment. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    id: PaymentId,
    opened: Option<Opened>,
    opened_at: Timestamp,
    stage: Stage,
    /// Until when the last token lives.
    active_until: Option<Timestamp>,
    /// Whether the gateway was told of the payment's end.
    closed: Option<Closed>,
    money: Money,
    receipts: Vec<Receipt>,
    receipt_ids: BTreeSet<String>,
    /// What became of each item.
    items: Vec<ItemEnd>,
    /// How many items wait to be sold or paid back.
    waiting: u16,
    refunds: Vec<Refund>,
    /// How many refunds are owed.
    owed: u32,
    dispute: Option<Dispute>,
    reports: Vec<Reported>,
    past: Past,
    /// Whether a record was earlier than the one before (PY-5).
    went_back: bool,
    /// What payers' banks took back. It stands last, and not at all if they took nothing: so states of before it was noted are the same bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken_back: Vec<TakenBack>,
    /// Of which receipts' money disputes took that were decided for the payer, also if another one has begun since. It follows from the events and is no part of what is hashed,
    /// which stays the same for payments of before.
    #[serde(skip)]
    upheld: BTreeSet<u32>,
    /// Whether there was one of which nobody noted what it took: it may have been about any of them. As little hashed.
    #[serde(skip)]
    is_any_upheld: bool,
    /// Of which receipt's money the last one took that was decided for the payer; none: nobody noted it. As little hashed.
    #[serde(skip)]
    last_upheld: Option<u32>,
}

impl Aggregate for Payment {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    /// Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = self.at_least(now);
        if let Command::Open { opened } = command {
            return self.open(now, opened);
        }
        if let Command::TakeOver { opened, sale, sold_at } = command {
            return self.take_over(now, opened, *sale, *sold_at);
        }
        let Some(opened) = &self.opened else { return Err(Refusal::UnknownPayment) };
        match command {
            Command::Open { .. } | Command::TakeOver { .. } => Err(Refusal::IdTaken),
            Command::Publish => self.publish(),
            Command::FailPublish { code } => self.fail_publish(*code),
            Command::Activate { until } => self.activate(now, *until),
            Command::Receive { receipt } => self.receive(opened, receipt),
            Command::Fulfil { item, sale } => self.fulfil(opened, *item, *sale),
            Command::Forgo { item, why } => self.forgo(opened, *item, why),
            Command::Refund { origin, sale, seq, amount_cents } => self.refund(*origin, (*sale, *seq), *amount_cents),
            Command::RefundExtras => self.refund_extras(),
            Command::ExportRefund { refund, batch } => self.export_refund(*refund, *batch),
            Command::ConfirmRefund { refund, by, reference, executed_on } => self.confirm_refund(*refund, *by, reference, *executed_on),
            Command::ReturnRefund { refund, why } => self.return_refund(*refund, *why),
            Command::ReleaseRefund { refund } => self.release_refund(*refund),
            Command::SetPayee { refund, person } => self.set_payee(*refund, *person),
            Command::Cancel { owner, cause } => self.cancel(opened, *owner, *cause),
            Command::Close { closing, refused } => self.close(opened, *closing, *refused),
            Command::Dispute { reason, reference } => self.contest(*reason, reference),
            Command::ResolveDispute { upheld, took } => self.resolve_dispute(*upheld, took),
            Command::Report { reported } => self.report(reported),
        }
    }

    fn due(&self, now: Timestamp) -> Vec<Event> {
        let is_due = self.wake_at().is_some_and(|at| at <= self.at_least(now));
        is_due.then_some(Event::Expired(Expired {})).into_iter().collect()
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.went_back |= record.at < self.past.last_at();
        self.past.take(record);
        for event in &record.events {
            self.apply_event(record.at, event);
        }
        self.upheld_by(&record.events);
    }

    /// PY-1 to PY-3 by the counters, and PY-5.
    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        if !self.money.is_sound() {
            return broken("PY-1", "the parts of the money are not what was received");
        }
        if self.receipts.len() != self.receipt_ids.len() {
            return broken("PY-2", "a receipt was taken twice");
        }
        if self.waiting > 0 && !matches!(self.stage, Stage::Paid { .. }) {
            return broken("PY-3", "items wait for tickets, and nothing is paid");
        }
        if self.went_back {
            return broken("PY-5", "a record is earlier than the one before");
        }
        Ok(())
    }

    /// When it expires: when it can no longer be started to pay, and later if somebody is paying then.
    fn wake_at(&self) -> Option<Timestamp> {
        let opened = self.opened.as_ref().filter(|_| self.stage.is_open())?;
        Some(self.active_until.map_or(opened.due_at, |until| until.max(opened.due_at)))
    }
}

impl Payment {
    /// The payment with this id, of which nothing is known yet.
    #[must_use]
    pub fn new(id: PaymentId) -> Self {
        Self {
            id,
            opened: None,
            opened_at: Timestamp::MIN,
            stage: Stage::Blank,
            active_until: None,
            closed: None,
            money: Money::default(),
            receipts: Vec::new(),
            receipt_ids: BTreeSet::new(),
            items: Vec::new(),
            waiting: 0,
            refunds: Vec::new(),
            owed: 0,
            dispute: None,
            reports: Vec::new(),
            past: Past::default(),
            went_back: false,
            taken_back: Vec::new(),
            upheld: BTreeSet::new(),
            is_any_upheld: false,
            last_upheld: None,
        }
    }

    /// Rebuilds a payment from all its records.
    #[must_use]
    pub fn replay<'a>(id: PaymentId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    fn apply_event(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Opened(opened) => {
                self.items = vec![ItemEnd::Open; opened.items.len()];
                (self.opened, self.opened_at, self.stage) = (Some(opened.clone()), at, Stage::Created);
            }
            Event::Published(_) => self.stage = Stage::Pending,
            Event::PublishFailed(failed) => self.stage = Stage::Failed { code: failed.code },
            Event::Activated(activated) => self.active_until = Some(activated.until),
            Event::Received(received) => self.received(at, received),
            Event::Fulfilled(fulfilled) => self.fulfilled(fulfilled),
            Event::Unfulfilled(unfulfilled) => self.unfulfilled(unfulfilled),
            Event::RefundOpened(opened) => self.refund_opened(at, opened),
            Event::RefundExported(exported) => self.refund_exported(exported),
            Event::RefundConfirmed(confirmed) => self.refund_confirmed(confirmed),
            Event::RefundReturned(returned) => self.refund_returned(returned),
            Event::RefundReleased(released) => self.refund_released(released),
            Event::PayeeSet(set) => self.payee_set(set),
            Event::Cancelled(cancelled) => self.stage = Stage::Cancelled { at, cause: cancelled.cause },
            Event::Expired(_) => self.stage = Stage::Expired { at },
            Event::Closed(closed) => self.closed = Some(closed.clone()),
            Event::Disputed(disputed) => {
                let Disputed { reason, reference } = disputed.clone();
                self.dispute = Some(Dispute { since: at, reason, reference, upheld: None });
                self.hold_back_released();
            }
            Event::DisputeResolved(resolved) => {
                if let Some(dispute) = &mut self.dispute {
                    dispute.upheld = Some(resolved.upheld);
                }
                if resolved.upheld {
                    self.hold_back_released();
                }
            }
            Event::TakenBack(taken) => {
                self.taken_back.push(*taken);
                if taken.amount_cents > Cents::ZERO {
                    self.hold_back_released();
                }
            }
            Event::Reported(reported) => {
                self.reports.retain(|known| !is_of_same(known, reported));
                self.reports.push(reported.clone());
            }
        }
    }

    /// Published twice is published: the driver asks again after a crash.
    fn publish(&self) -> Result<Vec<Event>, Refusal> {
        if self.stage.is_open() { Ok(vec![Event::Published(Published {})]) } else { Err(self.ended()) }
    }

    fn fail_publish(&self, code: Code) -> Result<Vec<Event>, Refusal> {
        if self.stage == Stage::Created { Ok(vec![Event::PublishFailed(PublishFailed { code })]) } else { Err(self.ended()) }
    }

    fn activate(&self, now: Timestamp, until: Timestamp) -> Result<Vec<Event>, Refusal> {
        self.payable(now)?;
        let until = until.min(now.plus_seconds(TOKEN_S_MAX)).max(self.active_until.unwrap_or(now));
        Ok(vec![Event::Activated(Activated { until })])
    }

    fn cancel(&self, opened: &Opened, owner: Option<KeyId>, cause: Code) -> Result<Vec<Event>, Refusal> {
        if owner.is_some_and(|owner| owner != opened.who) {
            return Err(Refusal::UnknownPayment);
        }
        match self.stage {
            Stage::Created | Stage::Pending | Stage::Failed { .. } => Ok(vec![Event::Cancelled(Cancelled { cause })]),
            _ => Err(self.ended()),
        }
    }

    fn close(&self, opened: &Opened, closing: Closing, refused: Option<Code>) -> Result<Vec<Event>, Refusal> {
        if self.closing(opened) == Some(closing) { Ok(vec![Event::Closed(Closed { closing, refused })]) } else { Err(Refusal::NotClosing) }
    }

    /// A flow may be issued again with other figures: the last word counts. What it takes back is posted in the same record.
    fn report(&self, reported: &Reported) -> Result<Vec<Event>, Refusal> {
        refer(&reported.flow)?;
        refer(&reported.iur)?;
        if self.reports.contains(reported) {
            return Err(Refusal::ReportKnown);
        }
        let taken = self.revoked_by(reported).map(Event::TakenBack);
        Ok([Event::Reported(reported.clone())].into_iter().chain(taken).collect())
    }

    /// Why something cannot be done that needs a payment which waits for money.
    fn ended(&self) -> Refusal {
        match self.stage {
            Stage::Paid { .. } => Refusal::AlreadyPaid,
            Stage::Cancelled { .. } => Refusal::PaymentCancelled,
            Stage::Expired { .. } => {
                Refusal::PaymentExpired { due_at: self.opened.as_ref().map_or_else(|| self.past.last_at(), |opened| opened.due_at) }
            }
            Stage::Failed { code } => Refusal::PaymentFailed { reason: code },
            Stage::Created => Refusal::NotPublished,
            Stage::Pending => Refusal::NotPaid,
            Stage::Blank => Refusal::UnknownPayment,
        }
    }

    /// Whether somebody may begin to pay now, or why not: what the station says to verify and get.
    ///
    /// # Errors
    /// The refusal that says what the payment has become.
    pub fn payable(&self, now: Timestamp) -> Result<Payable, Refusal> {
        let Some(opened) = &self.opened else { return Err(Refusal::UnknownPayment) };
        let Opened { amount_cents, due_at, .. } = *opened;
        match self.stage {
            Stage::Created => Err(Refusal::NotPublished),
            Stage::Pending if self.at_least(now) >= due_at => Err(Refusal::PaymentExpired { due_at }),
            Stage::Pending => Ok(Payable { amount_cents, due_at }),
            _ => Err(self.ended()),
        }
    }

    /// Whether somebody who begins to pay now, and may take until then, is to be noted: not if the last one may take as long, but for [`ACTIVE_AGAIN_S`]. Anybody
    /// may ask for that as often as they like, and the journal is not to grow with it.
    ///
    /// # Errors
    /// As [`Self::payable`].
    pub fn activates(&self, now: Timestamp, until: Timestamp) -> Result<bool, Refusal> {
        self.payable(now)?;
        let until = until.min(self.at_least(now).plus_seconds(TOKEN_S_MAX));
        Ok(self.active_until.is_none_or(|active| active < until.plus_seconds(-ACTIVE_AGAIN_S)))
    }

    /// What is left to do by itself.
    #[must_use]
    pub fn work(&self) -> Work {
        let Some(opened) = &self.opened else { return Work::default() };
        let open = |(item, end): (u16, &ItemEnd)| matches!(end, ItemEnd::Open).then_some(item);
        let items = if self.waiting > 0 { (0..).zip(&self.items).filter_map(open).collect() } else { Vec::new() };
        let goes = |refund: &&Refund| !self.is_contested(refund);
        let vouchers =
            if self.owed > 0 { self.refunds.iter().filter(goes).filter_map(|refund| self.to_voucher(refund)).collect() } else { Vec::new() };
        Work { publish: self.stage == Stage::Created, close: self.closing(opened), items, vouchers }
    }

    /// Whether a record still comes of the request that began the payment, or of the desk that took it in, and of nobody who has done something since: its gateway knows it, or hears
    /// how it ended, and what the request itself pays has become tickets, or goes back.
    #[must_use]
    pub fn goes_on(&self, record: &Record<Event>) -> bool {
        let Some(gateway) = self.opened.as_ref().map(|opened| opened.gateway) else { return false };
        let pays = |source: &Source| {
            matches!(
                (gateway, source),
                (Gateway::Desk, Source::Desk { .. }) | (Gateway::Voucher { .. }, Source::Voucher { .. }) | (Gateway::Free, Source::Free)
            )
        };
        record.events.iter().all(|event| match event {
            Event::Published(_) | Event::PublishFailed(_) | Event::Closed(_) | Event::Fulfilled(_) | Event::Unfulfilled(_) => true,
            Event::Received(received) => pays(&received.receipt.source),
            Event::RefundOpened(opened) => matches!(opened.why, RefundReason::Unfulfilled { .. } | RefundReason::Extras),
            Event::RefundConfirmed(confirmed) => matches!(confirmed.by, PaidBackBy::Voucher { .. }),
            _ => false,
        })
    }

    /// Whether a hold may still become a sale by it: money is waited for, or has come and the tickets are not made yet.
    #[must_use]
    pub fn needs(&self, hold: HoldId) -> bool {
        let mut items = self.opened.iter().flat_map(|opened| &opened.items).zip(&self.items);
        (self.stage.is_open() || self.waiting > 0) && items.any(|(item, end)| item.hold == hold && matches!(end, ItemEnd::Open))
    }

    /// What the gateway is still to be told. What it told us itself it knows.
    fn closing(&self, opened: &Opened) -> Option<Closing> {
        let by_voucher = matches!(opened.gateway, Gateway::Voucher { .. });
        match self.stage {
            _ if self.closed.is_some() => None,
            // A voucher may have been redeemed just before: its driver looks, and takes the money in.
            Stage::Cancelled { .. } | Stage::Expired { .. } => (opened.gateway.is_position() || by_voucher).then_some(Closing::Withdrawn),
            Stage::Paid { receipt, .. } => match self.receipts.get(receipt as usize).map(|receipt| &receipt.source) {
                Some(Source::Desk { .. }) if opened.gateway.is_position() => Some(Closing::PaidElsewhere),
                Some(Source::Desk { .. }) if by_voucher => Some(Closing::Withdrawn),
                _ => None,
            },
            Stage::Blank | Stage::Created | Stage::Pending | Stage::Failed { .. } => None,
        }
    }

    /// Whether all that a full walk can see holds (PY-1 to PY-5): for tests and after a replay.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let broken = |invariant, what| Err(Broken { invariant, what });
        let of =
            |owed: bool| -> Cents { self.refunds.iter().filter(|refund| refund.state.is_owed() == owed).map(|refund| refund.amount_cents).sum() };
        let received: Cents = self.receipts.iter().map(|receipt| receipt.amount_cents).sum();
        if (received, of(true), of(false)) != (self.money.received, self.money.owed, self.money.paid_back) {
            return broken("PY-1", "receipts and refunds are not what is counted");
        }
        if self.owed as usize != self.refunds.iter().filter(|refund| refund.state.is_owed()).count() {
            return broken("PY-1", "the refunds that are owed are not counted");
        }
        if self.receipts.iter().any(|receipt| !self.receipt_ids.contains(&receipt.id)) {
            return broken("PY-2", "a receipt is not known by its id");
        }
        self.recount_items()?;
        self.recount_taken()?;
        self.recount_refunds()
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// What is due and for what; none before it is opened.
    #[must_use]
    pub const fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// When it was opened.
    #[must_use]
    pub const fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// How it stands.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Until when the last token lives; none: nobody has begun to pay.
    #[must_use]
    pub const fn active_until(&self) -> Option<Timestamp> {
        self.active_until
    }

    /// What the gateway was told of its end.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Where the money is.
    #[must_use]
    pub const fn money(&self) -> &Money {
        &self.money
    }

    /// All receipts, in the order in which they came.
    #[must_use]
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Whether a receipt of that id was taken in.
    #[must_use]
    pub fn has_receipt(&self, id: &str) -> bool {
        self.receipt_ids.contains(id)
    }

    /// What became of each item.
    #[must_use]
    pub fn items(&self) -> &[ItemEnd] {
        &self.items
    }

    /// All refunds, by number.
    #[must_use]
    pub fn refunds(&self) -> &[Refund] {
        &self.refunds
    }

    /// How many refunds are owed: tasks for an operator, or on their way.
    #[must_use]
    pub const fn owed(&self) -> u32 {
        self.owed
    }

    /// Whether a dispute is open.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        self.dispute.as_ref().is_some_and(|dispute| dispute.upheld.is_none())
    }

    /// The last dispute.
    #[must_use]
    pub const fn dispute(&self) -> Option<&Dispute> {
        self.dispute.as_ref()
    }

    /// What reporting flows say of it.
    #[must_use]
    pub fn reports(&self) -> &[Reported] {
        &self.reports
    }

    /// How much of what paid has gone or is to go back. Money that came too much or twice does not count.
    #[must_use]
    pub fn refunded(&self) -> Refunded {
        let counts = |refund: &&Refund| {
            matches!(
                refund.why,
                RefundReason::Unfulfilled { .. } | RefundReason::Extras | RefundReason::Cancelled { .. } | RefundReason::ExtrasCancelled
            )
        };
        let back: Cents = self.refunds.iter().filter(counts).map(|refund| refund.amount_cents).sum();
        let due = self.opened.as_ref().map_or(Cents::ZERO, |opened| opened.amount_cents);
        if back.is_zero() {
            Refunded::None
        } else if back < due {
            Refunded::Part
        } else {
            Refunded::Whole
        }
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }

    fn at_least(&self, now: Timestamp) -> Timestamp {
        self.past.at_least(now)
    }
}

/// Whether two reports are of the same transfer in the same flow.
fn is_of_same(one: &Reported, other: &Reported) -> bool {
    (&one.flow, &one.iur, one.index) == (&other.flow, &other.iur, other.index)
}

/// Whether a reference can be kept.
fn refer(reference: &str) -> Result<(), Refusal> {
    if is_line(reference) && reference.chars().count() <= REFERENCE_MAX { Ok(()) } else { Err(Refusal::BadReference) }
}
