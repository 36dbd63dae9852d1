//! The double entry of everything that moves money: for each record of a slot or payment the lines that it posts, which sum to zero. A projection: it can be
//! made again from the journal at any time, and decides nothing.
//!
//! Money of a payment passes between the two kinds of stream through [`Account::Transit`]: the payment posts what its tickets took to it, the slot what its sale
//! brought; a cancellation goes the other way, tickets that move to another slot take theirs through it too. When every flow has come to its end, what is left
//! there is what was paid back for tickets that moved and had been paid on another way than by a payment.

use serde::{Deserialize, Serialize};

use crate::ids::{Code, HoldId, MuseumId};
use crate::money::Cents;
use crate::payment::{self, PaidBackBy, Payment, RefundReason, Source};
use crate::record::Record;
use crate::slot::{self, DeskMethod, Settlement, Slot, total};

/// Where money is, or what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// With the payment service providers and the treasury: what pagoPA's receipts and reports say was paid, less what was paid back by transfer.
    Treasury,
    /// In a till, or on its card terminal.
    Till {
        /// Which.
        till: Code,
        /// Cash or card.
        method: TillMethod,
    },
    /// To be invoiced.
    Receivable {
        /// To which account.
        account: Code,
    },
    /// What vouchers are still worth: taken off when they pay.
    Vouchers,
    /// Received by payments and not allotted yet.
    Unallotted,
    /// On its way between a payment and a slot, or between slots.
    Transit,
    /// What tickets cost.
    Tickets {
        /// Of which museum.
        museum: MuseumId,
    },
    /// What extras cost.
    Extras {
        /// Of which museum.
        museum: MuseumId,
    },
    /// What is to be paid back.
    Refunds,
}

/// Cash or card, in the order of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TillMethod {
    /// Notes and coins.
    Cash,
    /// A card on the desk's terminal.
    Card,
}

impl From<DeskMethod> for TillMethod {
    fn from(method: DeskMethod) -> Self {
        match method {
            DeskMethod::Cash => Self::Cash,
            DeskMethod::Card => Self::Card,
        }
    }
}

/// One line: debits are above zero, credits below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// Which account.
    pub account: Account,
    /// By how much.
    pub amount_cents: Cents,
}

/// Lines, always two at a time.
#[derive(Debug, Default)]
struct Posting(Vec<Line>);

impl Posting {
    fn post(&mut self, debit: Account, credit: Account, amount_cents: Cents) {
        if !amount_cents.is_zero() && debit != credit {
            let back = Cents::ZERO.minus(amount_cents);
            self.0.extend([Line { account: debit, amount_cents }, Line { account: credit, amount_cents: back }]);
        }
    }
}

/// What a record of a payment posts. `payment` is as it was after that record, or later.
#[must_use]
pub fn of_payment(payment: &Payment, record: &Record<payment::Event>) -> Vec<Line> {
    use payment::Event;
    let mut posting = Posting::default();
    let Some(opened) = payment.opened() else { return posting.0 };
    let (tickets, extras) = (Account::Transit, Account::Extras { museum: opened.museum });
    let of = |refund: u32| payment.refunds().get(refund as usize).map_or(Cents::ZERO, |refund| refund.amount_cents);
    for event in &record.events {
        match event {
            Event::Received(received) => {
                posting.post(came(&received.receipt.source), Account::Unallotted, received.receipt.amount_cents);
                posting.post(Account::Unallotted, extras, received.extras_cents);
            }
            Event::Fulfilled(fulfilled) => {
                posting.post(Account::Unallotted, tickets, fulfilled.amount_cents);
                posting.post(Account::Unallotted, extras, fulfilled.extras_cents);
            }
            Event::RefundOpened(refund) => {
                let from = if matches!(refund.why, RefundReason::Cancelled { .. }) { tickets } else { Account::Unallotted };
                posting.post(from, Account::Refunds, refund.amount_cents);
            }
            Event::RefundConfirmed(confirmed) => posting.post(Account::Refunds, went(confirmed.by), of(confirmed.refund)),
            Event::RefundReturned(returned) if returned.was_paid_back => posting.post(Account::Treasury, Account::Refunds, of(returned.refund)),
            Event::RefundReturned(_)
            | Event::Opened(_)
            | Event::Published(_)
            | Event::PublishFailed(_)
            | Event::Activated(_)
            | Event::Unfulfilled(_)
            | Event::RefundExported(_)
            | Event::PayeeSet(_)
            | Event::Cancelled(_)
            | Event::Expired(_)
            | Event::Closed(_)
            | Event::Disputed(_)
            | Event::DisputeResolved(_)
            | Event::Reported(_) => {}
        }
    }
    posting.0
}

/// What a record of a slot posts. `slot` is as it was after that record, or later.
#[must_use]
pub fn of_slot(slot: &Slot, record: &Record<slot::Event>) -> Vec<Line> {
    use slot::Event;
    let mut posting = Posting::default();
    let tickets = Account::Tickets { museum: slot.id().museum() };
    let settlement = |sale: HoldId| slot.sale_of(sale).map_or(Account::Transit, |sale| paid_by(&sale.settlement));
    for event in &record.events {
        match event {
            Event::Sold(sold) => posting.post(paid_by(&sold.settlement), tickets, total(&sold.lines)),
            Event::Arrived(arrived) => posting.post(Account::Transit, tickets, total(&arrived.lines)),
            Event::MovedOut(moved) => posting.post(tickets, Account::Transit, moved.carried_cents),
            Event::Cancelled(cancelled) => {
                let to = match settlement(cancelled.sale) {
                    // A desk pays it back by hand, when somebody comes for it.
                    Account::Till { .. } => Account::Refunds,
                    other => other,
                };
                posting.post(tickets, to, cancelled.refund_cents);
            }
            _ => {}
        }
    }
    posting.0
}

fn came(source: &Source) -> Account {
    match source {
        Source::Node | Source::Report | Source::Free => Account::Treasury,
        Source::Desk { till, method, .. } => Account::Till { till: *till, method: (*method).into() },
        Source::Voucher { .. } => Account::Vouchers,
    }
}

fn went(by: PaidBackBy) -> Account {
    match by {
        PaidBackBy::Transfer => Account::Treasury,
        PaidBackBy::Till { till, method } => Account::Till { till, method: method.into() },
        PaidBackBy::Voucher { .. } => Account::Vouchers,
    }
}

fn paid_by(settlement: &Settlement) -> Account {
    match settlement {
        Settlement::Desk { till, method, .. } => Account::Till { till: *till, method: (*method).into() },
        Settlement::OnAccount { account } => Account::Receivable { account: *account },
        Settlement::Free | Settlement::Moved { .. } => Account::Transit,
    }
}
