//! The double entry of everything that moves money: for each record of a slot, payment or voucher the lines that it posts, which sum to zero. A projection: it can be
//! made again from the journal at any time, and decides nothing.
//!
//! Money of a payment passes between the two kinds of stream through [`Account::Transit`]: the payment posts what its tickets took to it, the slot what its sale
//! brought; a cancellation goes the other way, tickets that move to another slot take theirs through it too. So does what operators' accounts are charged for
//! tickets, and what is taken back of it; a sale of a desk only what goes back of it, to the payment that is made for its refunds. When every flow has come to its
//! end, nothing is left there.

use serde::{Deserialize, Serialize};

use crate::account;
use crate::ids::{Code, MuseumId, SlotId};
use crate::money::Cents;
use crate::payment::{self, PaidBackBy, Payment, RefundReason, Source};
use crate::record::Record;
use crate::slot::{self, DeskMethod, Settlement, total};
use crate::voucher;

/// Where money is, or what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// With the payment service providers and the treasury: what pagoPA's receipts and reports say was paid, less what was paid back by transfer or taken back by
    /// payers' banks.
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
    /// What vouchers are still worth: put on when they are issued, taken off when they pay.
    Vouchers,
    /// What vouchers were issued for: how that was paid, if it was, is not known here.
    VouchersIssued,
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
    /// What payers' banks took back of payments, over disputes or as flows say: lost, but for what refunds that waited are noted to be paid by.
    TakenBack {
        /// Of which museum.
        museum: MuseumId,
    },
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
                let from = match refund.why {
                    RefundReason::Cancelled { .. } => tickets,
                    RefundReason::ExtrasCancelled => extras,
                    _ => Account::Unallotted,
                };
                posting.post(from, Account::Refunds, refund.amount_cents);
            }
            Event::RefundConfirmed(confirmed) => posting.post(Account::Refunds, went(confirmed.by, opened.museum), of(confirmed.refund)),
            Event::RefundReturned(returned) if returned.was_paid_back => posting.post(Account::Treasury, Account::Refunds, of(returned.refund)),
            Event::TakenBack(taken) => {
                if let Some(receipt) = payment.receipts().get(taken.receipt as usize) {
                    posting.post(Account::TakenBack { museum: opened.museum }, came(&receipt.source), taken.amount_cents);
                }
            }
            Event::RefundReturned(_)
            | Event::Opened(_)
            | Event::Published(_)
            | Event::PublishFailed(_)
            | Event::Activated(_)
            | Event::Unfulfilled(_)
            | Event::RefundExported(_)
            | Event::RefundReleased(_)
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

/// What a record of a slot posts.
#[must_use]
pub fn of_slot(slot: SlotId, record: &Record<slot::Event>) -> Vec<Line> {
    use slot::Event;
    let mut posting = Posting::default();
    let tickets = Account::Tickets { museum: slot.museum() };
    for event in &record.events {
        match event {
            Event::Sold(sold) => posting.post(paid_by(&sold.settlement), tickets, total(&sold.lines)),
            Event::Arrived(arrived) => posting.post(Account::Transit, tickets, total(&arrived.lines)),
            Event::MovedOut(moved) => posting.post(tickets, Account::Transit, moved.carried_cents),
            Event::Cancelled(cancelled) => {
                // Whoever has the money takes it from there: also of a desk, whose refund is a task of a payment.
                posting.post(tickets, Account::Transit, cancelled.refund_cents);
            }
            _ => {}
        }
    }
    posting.0
}

/// What a record of a voucher posts: its issue. What it pays, and what goes back to it, its payments post.
#[must_use]
pub fn of_voucher(record: &Record<voucher::Event>) -> Vec<Line> {
    let mut posting = Posting::default();
    for event in &record.events {
        match event {
            voucher::Event::Issued(issued) => posting.post(Account::VouchersIssued, Account::Vouchers, issued.amount_cents),
            voucher::Event::Redeemed(_) | voucher::Event::Restored(_) => {}
        }
    }
    posting.0
}

/// What a record of an operator's account posts. `account` is as it was after that record, or later. Charges of before it was noted what of them were tickets
/// count as such.
#[must_use]
pub fn of_account(account: &account::Account, record: &Record<account::Event>) -> Vec<Line> {
    use account::Event;
    let mut posting = Posting::default();
    let Some(opened) = account.opened() else { return posting.0 };
    let receivable = Account::Receivable { account: opened.code };
    let museum = |of| account.charge_of(&of).and_then(|charge| charge.museum);
    for event in &record.events {
        match event {
            Event::Charged(charged) => {
                posting.post(receivable, Account::Transit, charged.amount_cents.minus(charged.extras_cents));
                if let Some(museum) = charged.museum {
                    posting.post(receivable, Account::Extras { museum }, charged.extras_cents);
                }
            }
            Event::TakenBack(taken) => {
                posting.post(Account::Transit, receivable, taken.amount_cents.minus(taken.extras_cents));
                if let Some(museum) = museum(taken.of) {
                    posting.post(Account::Extras { museum }, receivable, taken.extras_cents);
                }
            }
            Event::Settled(settled) => match settled.by {
                account::PaidBy::BankTransfer { .. } => posting.post(Account::Treasury, receivable, settled.amount_cents),
                account::PaidBy::Payment { .. } => posting.post(Account::Transit, receivable, settled.amount_cents),
            },
            Event::Opened(_)
            | Event::InstitutionSet(_)
            | Event::AgreementsSet(_)
            | Event::LimitSet(_)
            | Event::Suspended(_)
            | Event::Resumed(_)
            | Event::Delivered(_) => {}
        }
    }
    posting.0
}

fn came(source: &Source) -> Account {
    match source {
        Source::Node | Source::Report | Source::Free => Account::Treasury,
        Source::Desk { till, method, .. } => Account::Till { till: *till, method: (*method).into() },
        Source::Voucher { .. } => Account::Vouchers,
        // The slot has posted what its till took.
        Source::Sale { .. } => Account::Transit,
    }
}

fn went(by: PaidBackBy, museum: MuseumId) -> Account {
    match by {
        PaidBackBy::Transfer => Account::Treasury,
        PaidBackBy::Till { till, method } => Account::Till { till, method: method.into() },
        PaidBackBy::Voucher { .. } => Account::Vouchers,
        PaidBackBy::PayersBank => Account::TakenBack { museum },
    }
}

fn paid_by(settlement: &Settlement) -> Account {
    match settlement {
        Settlement::Desk { till, method, .. } => Account::Till { till: *till, method: (*method).into() },
        Settlement::Free | Settlement::Moved { .. } | Settlement::Payment { .. } | Settlement::OnAccount { .. } | Settlement::Quoted { .. } => {
            Account::Transit
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::Aggregate;
    use crate::channel::Channel;
    use crate::ids::{HoldId, PaymentId, RouteId, VoucherId};
    use crate::slot::{CancelCause, Command, Opening, Policy, Refusal, Slot};
    use crate::tariff::Proof;
    use crate::time::Timestamp;
    use crate::voucher::Voucher;

    fn start() -> Timestamp {
        Timestamp::from_seconds(1_780_000_020)
    }

    fn slot() -> Slot {
        let slot = SlotId::new(MuseumId(1), RouteId(1), start());
        let policy = Policy::default();
        Slot::planned(Opening { slot, revision: 1, end: start().plus_seconds(3_600), capacity: 40, quotas: Default::default(), policy })
    }

    fn settlement(kind: u8) -> Settlement {
        let [till, account] = ["desk-1", "tours"].map(|text| text.parse().unwrap());
        match kind {
            0 => Settlement::Desk { till, method: DeskMethod::Cash, reference: "R".to_owned() },
            1 => Settlement::OnAccount { account },
            _ => Settlement::Payment { id: PaymentId::new(1, 1) },
        }
    }

    fn step(slot: &mut Slot, command: &Command) -> Result<Vec<Line>, Refusal> {
        let now = start().plus_seconds(-3_600);
        let record = slot.record(now, None, slot.decide(now, command)?);
        slot.apply(&record);
        Ok(of_slot(slot.id(), &record))
    }

    #[test]
    fn a_voucher_is_owed_from_its_issue_on() {
        let mut voucher = Voucher::new(VoucherId(1));
        let issue = voucher::Command::Issue { amount_cents: Cents::new(5_000), valid_until: start(), museum: None };
        let redeem = voucher::Command::Redeem { payment: PaymentId::new(1, 1), museum: MuseumId(1), amount_cents: Cents::new(1_200) };
        let restore = voucher::Command::Restore { payment: PaymentId::new(1, 1), refund: 0, amount_cents: Cents::new(1_200) };
        for (command, expected) in [(issue, vec![5_000, -5_000]), (redeem, vec![]), (restore, vec![])] {
            let now = start().plus_seconds(-3_600);
            let record = voucher.record(now, None, voucher.decide(now, &command).unwrap());
            voucher.apply(&record);
            let lines = of_voucher(&record);
            assert_eq!(lines.iter().map(|line| line.amount_cents.get()).collect::<Vec<_>>(), expected, "{command:?}");
            assert_eq!(lines.iter().map(|line| line.amount_cents).sum::<Cents>(), Cents::ZERO);
            assert!(lines.last().is_none_or(|line| line.account == Account::Vouchers));
        }
    }

    proptest! {
        /// Whatever is sold, cancelled and moved, each record sums to zero, and tickets are worth what the slot says that it has taken and not paid back.
        #[test]
        fn every_record_of_a_slot_sums_to_zero(steps in prop::collection::vec((1_u64..6, 1_u16..4, 0_u8..3, 0_u8..4), 0..40)) {
            let mut slot = slot();
            let mut balances: BTreeMap<Account, i64> = BTreeMap::new();
            for (n, count, kind, what) in steps {
                let (sale, full) = (HoldId::new(slot.id(), n), "full".parse().unwrap());
                let there = HoldId::new(SlotId::new(MuseumId(1), RouteId(1), start().plus_seconds(3_600)), n + u64::from(count) * 10);
                let channel = if kind == 1 { Channel::Group } else { Channel::BoxOffice };
                let lines = vec![slot::Line { category: full, count, price_cents: Cents::new(1_201), proof: Proof::None }];
                let commands = match what {
                    0 => vec![Command::SellDirect { sale, channel, lines, settlement: settlement(kind), contact: None }],
                    1 => vec![Command::Cancel { sale, owner: None, tickets: vec![count - 1], cause: CancelCause::Museum }],
                    2 => vec![
                        Command::BeginMove { sale, owner: None, tickets: vec![0], arrival: there, via: channel, prices: vec![(full, Cents::new(1_201))] },
                        Command::FinishMove { arrival: there },
                    ],
                    _ => {
                        let arrived = slot::Arrived {
                            sale, from: there, who: crate::ids::KeyId(1), order: None, channel, lines, contact: None, holders: Vec::new(), refund_percent: 100,
                            buyer: None,
                        };
                        vec![Command::Arrive { arrived: Box::new(arrived), via: channel, asks_review: false, review_until: None, named: false }]
                    }
                };
                for command in commands {
                    let Ok(lines) = step(&mut slot, &command) else { continue };
                    prop_assert_eq!(lines.iter().map(|line| line.amount_cents).sum::<Cents>(), Cents::ZERO);
                    lines.iter().for_each(|line| *balances.entry(line.account).or_default() += line.amount_cents.get());
                }
            }
            let (taken, back) = slot.money();
            let tickets = balances.get(&Account::Tickets { museum: MuseumId(1) }).copied().unwrap_or(0);
            prop_assert_eq!(-tickets, taken.minus(back).get());
        }
    }
}
