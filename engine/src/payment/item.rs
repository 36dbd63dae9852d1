//! Rules of what is paid for: how a payment is opened, and how each item ends once, as a sale or as a refund.

use serde::{Deserialize, Serialize};

use super::event::{Event, Fulfilled, RefundOpened, RefundReason, Unfulfilled};
use super::receipt::received;
use super::{Broken, Gateway, HoldId, Opened, Payment, Receipt, Refusal, Source, Stage};
use crate::money::Cents;
use crate::slot::{self, total};
use crate::text::is_line;
use crate::time::Timestamp;

/// The most items, and the most extras, of one payment.
pub const ITEMS_MAX: usize = 64;
/// The longest subject, in characters (SANP 3.12, `paymentDescription`).
pub const SUBJECT_MAX: usize = 140;
/// The highest amount: what a notice can carry (paForNode, 999999999.99 euros).
const AMOUNT_CENTS_MAX: i64 = 99_999_999_999;

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemEnd {
    /// Nothing yet.
    Open,
    /// It was sold.
    Sold {
        /// The sale.
        sale: HoldId,
        /// What of its price was refunded since.
        refunded_cents: Cents,
    },
    /// It was not to be had any more, and is paid back.
    PaidBack {
        /// Why it was not to be had.
        why: slot::Refusal,
    },
}

impl Payment {
    /// A payment over nothing is paid at once: it never has a notice.
    pub(super) fn open(&self, now: Timestamp, opened: &Opened) -> Result<Vec<Event>, Refusal> {
        let extras = extras_cents(opened);
        let items: Cents = opened.items.iter().map(|item| item.amount_cents).sum();
        let bad_item = |(i, item): (usize, &super::Item)| {
            item.lines.is_empty()
                || item.lines.iter().any(|line| line.price_cents < Cents::ZERO || line.count == 0)
                || item.amount_cents != total(&item.lines)
                || opened.items[..i].iter().any(|earlier| earlier.hold == item.hold)
        };
        let bad_extra = |extra: &super::Extra| extra.count == 0 || !(0..=AMOUNT_CENTS_MAX).contains(&extra.price_cents.get());
        let number = opened.items.len() + opened.extras.len();
        if number == 0
            || opened.items.len() > ITEMS_MAX
            || opened.extras.len() > ITEMS_MAX
            || opened.items.iter().enumerate().any(bad_item)
            || opened.extras.iter().any(bad_extra)
            || items.plus(extras) != opened.amount_cents
            || !(0..=AMOUNT_CENTS_MAX).contains(&opened.amount_cents.get())
        {
            return Err(Refusal::BadItems);
        }
        if !is_line(&opened.subject) || opened.subject.chars().count() > SUBJECT_MAX {
            return Err(Refusal::BadSubject);
        }
        if (opened.gateway == Gateway::Free) != opened.amount_cents.is_zero() {
            return Err(Refusal::GatewayMismatch { due_cents: opened.amount_cents });
        }
        if self.opened.is_some() {
            return Err(Refusal::IdTaken);
        }
        if opened.gateway != Gateway::Free {
            return Ok(vec![Event::Opened(opened.clone())]);
        }
        let receipt = Receipt::without_provider("free".to_owned(), Source::Free, Cents::ZERO, now);
        Ok(vec![Event::Opened(opened.clone()), received(opened, receipt, true)])
    }

    /// A sale that a desk made without a payment: its money is in the till, its tickets are out, and a part of it is to go back.
    pub(super) fn take_over(&self, now: Timestamp, opened: &Opened, sale: HoldId, sold_at: Timestamp) -> Result<Vec<Event>, Refusal> {
        let [item] = opened.items.as_slice() else { return Err(Refusal::BadItems) };
        if item.hold != sale || !opened.extras.is_empty() || opened.gateway != Gateway::Desk {
            return Err(Refusal::BadItems);
        }
        let mut events = self.open(now, opened)?;
        let receipt = Receipt::without_provider("sale".to_owned(), Source::Sale { sale }, opened.amount_cents, sold_at);
        let fulfilled = Fulfilled { item: 0, sale, amount_cents: item.amount_cents, extras_cents: Cents::ZERO };
        events.extend([received(opened, receipt, true), Event::Fulfilled(fulfilled)]);
        Ok(events)
    }

    pub(super) fn fulfil(&self, opened: &Opened, number: u16, sale: HoldId) -> Result<Vec<Event>, Refusal> {
        let item = self.open_item(opened, number)?;
        let is_first = !self.items.iter().any(|end| matches!(end, ItemEnd::Sold { .. }));
        let extras_cents = if is_first { extras_cents(opened) } else { Cents::ZERO };
        Ok(vec![Event::Fulfilled(Fulfilled { item: number, sale, amount_cents: item.amount_cents, extras_cents })])
    }

    /// What the item cost goes back, and with the last of them the extras, if none became tickets.
    pub(super) fn forgo(&self, opened: &Opened, number: u16, why: &slot::Refusal) -> Result<Vec<Event>, Refusal> {
        let item = self.open_item(opened, number)?;
        let Stage::Paid { receipt, .. } = self.stage else { return Err(Refusal::NotPaid) };
        let is_last = self.waiting == 1 && !self.items.iter().any(|end| matches!(end, ItemEnd::Sold { .. }));
        let extras = if is_last { extras_cents(opened) } else { Cents::ZERO };
        let back = [(item.amount_cents, RefundReason::Unfulfilled { item: number }), (extras, RefundReason::Extras)];
        let mut events = vec![Event::Unfulfilled(Unfulfilled { item: number, why: why.clone() })];
        let owed = back.into_iter().filter(|(amount, _)| !amount.is_zero());
        let opened = |(refund, (amount_cents, why))| Event::RefundOpened(RefundOpened { refund, amount_cents, why, receipt });
        events.extend((self.refunds.len() as u32..).zip(owed).map(opened));
        Ok(events)
    }

    fn open_item<'a>(&self, opened: &'a Opened, number: u16) -> Result<&'a super::Item, Refusal> {
        let item = opened.items.get(usize::from(number)).ok_or(Refusal::UnknownItem)?;
        match self.items.get(usize::from(number)) {
            Some(ItemEnd::Open) if matches!(self.stage, Stage::Paid { .. }) => Ok(item),
            Some(ItemEnd::Open) | None => Err(Refusal::NotPaid),
            Some(_) => Err(Refusal::ItemEnded),
        }
    }

    pub(super) fn fulfilled(&mut self, fulfilled: &Fulfilled) {
        let Some(end @ ItemEnd::Open) = self.items.get_mut(usize::from(fulfilled.item)) else { return };
        *end = ItemEnd::Sold { sale: fulfilled.sale, refunded_cents: Cents::ZERO };
        self.waiting -= 1;
        let money = &mut self.money;
        money.unallotted = money.unallotted.minus(fulfilled.amount_cents).minus(fulfilled.extras_cents);
        money.tickets = money.tickets.plus(fulfilled.amount_cents);
        money.extras = money.extras.plus(fulfilled.extras_cents);
    }

    pub(super) fn unfulfilled(&mut self, unfulfilled: &Unfulfilled) {
        let Some(end @ ItemEnd::Open) = self.items.get_mut(usize::from(unfulfilled.item)) else { return };
        *end = ItemEnd::PaidBack { why: unfulfilled.why.clone() };
        self.waiting -= 1;
    }

    pub(super) fn recount_items(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        let Some(opened) = &self.opened else { return Ok(()) };
        let is_paid = matches!(self.stage, Stage::Paid { .. });
        let open = self.items.iter().filter(|end| matches!(end, ItemEnd::Open)).count();
        if usize::from(self.waiting) != if is_paid { open } else { 0 } || (!is_paid && open != self.items.len()) {
            return broken("PY-3", "the items that wait are not counted, or ended before anything was paid");
        }
        let (mut tickets, mut waiting, mut any_sold) = (Cents::ZERO, Cents::ZERO, false);
        for (number, (item, end)) in (0_u16..).zip(opened.items.iter().zip(&self.items)) {
            let back = |why: &dyn Fn(RefundReason) -> bool| -> Cents {
                self.refunds.iter().filter(|refund| why(refund.why)).map(|refund| refund.amount_cents).sum()
            };
            let forgone = back(&|why| why == RefundReason::Unfulfilled { item: number });
            let cancelled = back(&|why| matches!(why, RefundReason::Cancelled { item, .. } if item == number));
            match end {
                ItemEnd::Open => waiting = waiting.plus(item.amount_cents),
                ItemEnd::Sold { refunded_cents, .. } => {
                    any_sold = true;
                    tickets = tickets.plus(item.amount_cents).minus(*refunded_cents);
                    if *refunded_cents != cancelled || cancelled > item.amount_cents {
                        return broken("PY-4", "more was refunded for a sale than it took");
                    }
                }
                ItemEnd::PaidBack { .. } if forgone != item.amount_cents => return broken("PY-3", "an item that was not to be had is not paid back"),
                ItemEnd::PaidBack { .. } => {}
            }
            let expected = if matches!(end, ItemEnd::PaidBack { .. }) { item.amount_cents } else { Cents::ZERO };
            if forgone != expected {
                return broken("PY-3", "an item has ended twice");
            }
        }
        let (earned, extras) = (any_sold || (is_paid && opened.items.is_empty()), extras_cents(opened));
        let called_off: Vec<Cents> =
            self.refunds.iter().filter(|refund| refund.why == RefundReason::ExtrasCancelled).map(|refund| refund.amount_cents).collect();
        if called_off.len() > 1 || called_off.iter().any(|cents| *cents != extras) {
            return broken("PY-4", "extras are paid back twice, or in part");
        }
        let kept = if earned { extras.minus(called_off.into_iter().sum()) } else { Cents::ZERO };
        let extras_wait = if is_paid && !earned && open > 0 { extras } else { Cents::ZERO };
        let unallotted = if is_paid { waiting.plus(extras_wait) } else { Cents::ZERO };
        if self.money.tickets != tickets || self.money.extras != kept || self.money.unallotted != unallotted {
            return broken("PY-1", "what tickets and extras took is not what is counted");
        }
        Ok(())
    }
}

/// What the extras cost together.
fn extras_cents(opened: &Opened) -> Cents {
    opened.extras.iter().map(|extra| extra.price_cents.times(u32::from(extra.count))).sum()
}
