//! Rules of money that goes back: open, sent to the bank, paid back; or returned by the bank, and open again.
//!
//! While the payer's bank contests a payment, and once it was found to be right, it takes the money back by itself: a refund beside that would pay twice. So it waits until
//! somebody says that it may go, or until the bank was found to be wrong and has taken nothing back over an earlier dispute, or as a flow says. Nobody knows which receipt a
//! dispute is about while it is open; once it is known of which the bank took, refunds of that one wait, and those of others go. What they let go and nobody
//! has sent yet waits again when a dispute begins, or is decided for the payer, or a flow takes money back, after they said so: that they could not know.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::event::{
    Event, PaidBackBy, PayeeSet, RefundConfirmed, RefundExported, RefundOpened, RefundReason, RefundReleased, RefundReturned, Source,
};
use super::{Broken, Code, HoldId, ItemEnd, Payment, Refusal, VoucherId, refer};
use crate::ids::PersonId;
use crate::money::Cents;
use crate::time::Timestamp;

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its number in the payment, from 0.
    pub number: u32,
    /// How much.
    pub amount_cents: Cents,
    /// Why.
    pub why: RefundReason,
    /// Of which receipt's money, by its place among all that came, from 0.
    pub receipt: u32,
    /// Since when.
    pub opened_at: Timestamp,
    /// Whom it goes to, kept apart under this number.
    pub payee: Option<PersonId>,
    /// How far it is.
    pub state: RefundState,
    /// Why it came back last, in one word.
    pub returned: Option<Code>,
}

/// How far a refund is. Variants are numbered in snapshots: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// Somebody has to see to it.
    Open,
    /// It went out to the bank.
    Exported {
        /// With which file.
        batch: Code,
    },
    /// The money has gone back.
    PaidBack {
        /// On which way.
        by: PaidBackBy,
        /// The bank's or desk's reference.
        reference: String,
        /// On which day.
        executed_on: Date,
    },
    /// Somebody has to see to it, and has said that it may go although the payment is contested.
    Released,
}

impl RefundState {
    /// Whether the money is still here.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        matches!(self, Self::Open | Self::Exported { .. } | Self::Released)
    }

    /// Whether the payer's bank took the money back, so that nobody here has to send it.
    #[must_use]
    pub const fn is_by_payers_bank(&self) -> bool {
        matches!(self, Self::PaidBack { by: PaidBackBy::PayersBank, .. })
    }

    /// Whether nobody has sent it yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open | Self::Released)
    }
}

impl Payment {
    /// What a slot owes for cancelled tickets. However often it is asked, also after the keys are forgotten, it is one refund.
    pub(super) fn refund(&self, origin: HoldId, (sale, seq): (HoldId, u64), amount_cents: Cents) -> Result<Vec<Event>, Refusal> {
        let known = |refund: &&Refund| matches!(refund.why, RefundReason::Cancelled { sale: of, seq: by, .. } if (of, by) == (sale, seq));
        if let Some(refund) = self.refunds.iter().find(known) {
            return Err(Refusal::RefundKnown { refund: refund.number });
        }
        let sold = (0_u16..).zip(&self.items).find_map(|(item, end)| match end {
            ItemEnd::Sold { sale, refunded_cents } if *sale == origin => Some((item, *refunded_cents)),
            _ => None,
        });
        let (Some((item, refunded_cents)), Some(opened)) = (sold, &self.opened) else { return Err(Refusal::UnknownSale) };
        let left_cents = opened.items.get(usize::from(item)).map_or(Cents::ZERO, |item| item.amount_cents.minus(refunded_cents));
        if amount_cents > left_cents || amount_cents <= Cents::ZERO {
            return Err(Refusal::RefundTooLarge { left_cents });
        }
        let super::Stage::Paid { receipt, .. } = self.stage else { return Err(Refusal::NotPaid) };
        let why = RefundReason::Cancelled { item, sale, seq };
        Ok(vec![Event::RefundOpened(RefundOpened { refund: self.refunds.len() as u32, amount_cents, why, receipt })])
    }

    /// What the extras took, when they are called off with the tickets that they went with: once, however often it is asked.
    pub(super) fn refund_extras(&self) -> Result<Vec<Event>, Refusal> {
        if let Some(refund) = self.refunds.iter().find(|refund| refund.why == RefundReason::ExtrasCancelled) {
            return Err(Refusal::RefundKnown { refund: refund.number });
        }
        let super::Stage::Paid { receipt, .. } = self.stage else { return Err(Refusal::NotPaid) };
        let amount_cents = self.money.extras;
        if amount_cents.is_zero() {
            return Err(Refusal::RefundTooLarge { left_cents: Cents::ZERO });
        }
        let why = RefundReason::ExtrasCancelled;
        Ok(vec![Event::RefundOpened(RefundOpened { refund: self.refunds.len() as u32, amount_cents, why, receipt })])
    }

    /// What of the money of a receipt, by its place, has gone back from here, which what the payer's bank took back has not; and what is still to.
    #[must_use]
    pub fn back_of(&self, receipt: u32) -> (Cents, Cents) {
        let sum = |owed: bool| -> Cents {
            let counts = |refund: &&Refund| refund.receipt == receipt && refund.state.is_owed() == owed && !refund.state.is_by_payers_bank();
            self.refunds.iter().filter(counts).map(|refund| refund.amount_cents).sum()
        };
        (sum(false), sum(true))
    }

    /// Whether a refund that would be open waits for somebody's word, or for the end of a dispute that the bank loses: while one is open, and once a bank was right about its receipt,
    /// or about one that nobody noted, or has taken of the money of its receipt over an earlier dispute or as a flow says.
    #[must_use]
    pub fn is_contested(&self, refund: &Refund) -> bool {
        let by_dispute = self.dispute().is_some_and(|dispute| match dispute.upheld {
            None => true,
            // One of which nobody noted what it took stands behind all that were decided since.
            Some(true) => self.is_any_upheld || self.last_upheld == Some(refund.receipt),
            Some(false) => false,
        });
        refund.state == RefundState::Open && (by_dispute || !self.taken_of(refund.receipt).is_zero())
    }

    pub(super) fn release_refund(&self, number: u32) -> Result<Vec<Event>, Refusal> {
        self.open_refund(number)?;
        if self.is_contested(self.refund_of(number)?) {
            Ok(vec![Event::RefundReleased(RefundReleased { refund: number })])
        } else {
            Err(Refusal::RefundNotContested)
        }
    }

    pub(super) fn export_refund(&self, number: u32, batch: Code) -> Result<Vec<Event>, Refusal> {
        self.open_refund(number)?;
        if self.to_voucher(self.refund_of(number)?).is_some() {
            return Err(Refusal::SourceNotAllowed);
        }
        if self.is_contested(self.refund_of(number)?) {
            return Err(Refusal::RefundContested);
        }
        Ok(vec![Event::RefundExported(RefundExported { refund: number, batch })])
    }

    /// A till or a voucher pays an open refund at once; the bank confirms one that was sent, or one that somebody paid by hand. What came from a voucher goes
    /// back to it and nowhere else: it may have gone already, though that is not written here yet. What the payer's bank took back stands for refunds of that receipt, each whole.
    pub(super) fn confirm_refund(&self, number: u32, by: PaidBackBy, reference: &str, executed_on: Date) -> Result<Vec<Event>, Refusal> {
        refer(reference)?;
        let refund = self.refund_of(number)?;
        let fits = match by {
            PaidBackBy::Transfer => refund.state.is_owed(),
            PaidBackBy::Till { .. } | PaidBackBy::PayersBank => refund.state.is_open(),
            PaidBackBy::Voucher { voucher } => self.to_voucher(refund).is_some_and(|(_, of, _)| of == voucher),
        };
        if !fits {
            return Err(Refusal::RefundNotOpen);
        }
        let by_voucher = matches!(by, PaidBackBy::Voucher { .. });
        if !by_voucher && self.to_voucher(refund).is_some() {
            return Err(Refusal::SourceNotAllowed);
        }
        if by == PaidBackBy::PayersBank {
            let left_cents = self.taken_of(refund.receipt).minus(self.settled_of(refund.receipt));
            if refund.amount_cents > left_cents {
                return Err(Refusal::TakenTooLarge { left_cents });
            }
        } else if !by_voucher && self.is_contested(refund) {
            return Err(Refusal::RefundContested);
        }
        Ok(vec![Event::RefundConfirmed(RefundConfirmed { refund: number, by, reference: reference.to_owned(), executed_on })])
    }

    pub(super) fn return_refund(&self, number: u32, why: Code) -> Result<Vec<Event>, Refusal> {
        let was_paid_back = match self.refund_of(number)?.state {
            RefundState::Exported { .. } => false,
            RefundState::PaidBack { by: PaidBackBy::Transfer, .. } => true,
            RefundState::Open | RefundState::Released | RefundState::PaidBack { .. } => return Err(Refusal::RefundNotSent),
        };
        Ok(vec![Event::RefundReturned(RefundReturned { refund: number, why, was_paid_back })])
    }

    pub(super) fn set_payee(&self, number: u32, person: PersonId) -> Result<Vec<Event>, Refusal> {
        self.open_refund(number)?;
        Ok(vec![Event::PayeeSet(PayeeSet { refund: number, person })])
    }

    fn refund_of(&self, number: u32) -> Result<&Refund, Refusal> {
        self.refunds.get(number as usize).ok_or(Refusal::UnknownRefund)
    }

    fn open_refund(&self, number: u32) -> Result<(), Refusal> {
        if self.refund_of(number)?.state.is_open() { Ok(()) } else { Err(Refusal::RefundNotOpen) }
    }

    /// The voucher that an open refund's money came from, and goes back to.
    pub(super) fn to_voucher(&self, refund: &Refund) -> Option<(u32, VoucherId, Cents)> {
        let receipt = self.receipts.get(refund.receipt as usize).filter(|_| refund.state.is_open())?;
        if let Source::Voucher { voucher } = receipt.source { Some((refund.number, voucher, refund.amount_cents)) } else { None }
    }

    pub(super) fn refund_opened(&mut self, at: Timestamp, opened: &RefundOpened) {
        let RefundOpened { refund: number, amount_cents, why, receipt } = *opened;
        let from = match why {
            RefundReason::Cancelled { item, .. } => {
                if let Some(ItemEnd::Sold { refunded_cents, .. }) = self.items.get_mut(usize::from(item)) {
                    *refunded_cents = refunded_cents.plus(amount_cents);
                }
                &mut self.money.tickets
            }
            RefundReason::ExtrasCancelled => &mut self.money.extras,
            _ => &mut self.money.unallotted,
        };
        *from = from.minus(amount_cents);
        self.money.owed = self.money.owed.plus(amount_cents);
        self.owed += 1;
        self.refunds.push(Refund { number, amount_cents, why, receipt, opened_at: at, payee: None, state: RefundState::Open, returned: None });
    }

    pub(super) fn refund_exported(&mut self, exported: &RefundExported) {
        if let Some(refund) = self.refunds.get_mut(exported.refund as usize) {
            refund.state = RefundState::Exported { batch: exported.batch };
        }
    }

    pub(super) fn refund_confirmed(&mut self, confirmed: &RefundConfirmed) {
        let Some(refund) = self.refunds.get_mut(confirmed.refund as usize).filter(|refund| refund.state.is_owed()) else { return };
        let RefundConfirmed { by, reference, executed_on, .. } = confirmed.clone();
        refund.state = RefundState::PaidBack { by, reference, executed_on };
        self.owed -= 1;
        self.money.owed = self.money.owed.minus(refund.amount_cents);
        self.money.paid_back = self.money.paid_back.plus(refund.amount_cents);
    }

    pub(super) fn refund_returned(&mut self, returned: &RefundReturned) {
        let Some(refund) = self.refunds.get_mut(returned.refund as usize) else { return };
        (refund.state, refund.returned) = (RefundState::Open, Some(returned.why));
        if returned.was_paid_back {
            self.owed += 1;
            self.money.owed = self.money.owed.plus(refund.amount_cents);
            self.money.paid_back = self.money.paid_back.minus(refund.amount_cents);
        }
    }

    pub(super) fn refund_released(&mut self, released: &RefundReleased) {
        if let Some(refund) = self.refunds.get_mut(released.refund as usize) {
            refund.state = RefundState::Released;
        }
    }

    pub(super) fn hold_back_released(&mut self) {
        for refund in self.refunds.iter_mut().filter(|refund| refund.state == RefundState::Released) {
            refund.state = RefundState::Open;
        }
    }

    pub(super) fn payee_set(&mut self, set: &PayeeSet) {
        if let Some(refund) = self.refunds.get_mut(set.refund as usize) {
            refund.payee = Some(set.person);
        }
    }

    pub(super) fn recount_refunds(&self) -> Result<(), Broken> {
        let all: Cents = self.refunds.iter().map(|refund| refund.amount_cents).sum();
        let of_receipt =
            |place: usize| -> Cents { self.refunds.iter().filter(|refund| refund.receipt as usize == place).map(|refund| refund.amount_cents).sum() };
        if all > self.money.received || self.receipts.iter().enumerate().any(|(place, receipt)| of_receipt(place) > receipt.amount_cents) {
            return Err(Broken { invariant: "PY-4", what: "more goes back than has come" });
        }
        let mut of: Vec<_> = self
            .refunds
            .iter()
            .filter_map(|refund| if let RefundReason::Cancelled { sale, seq, .. } = refund.why { Some((sale, seq)) } else { None })
            .collect();
        of.sort_unstable();
        if of.windows(2).any(|pair| pair[0] == pair[1]) {
            Err(Broken { invariant: "PY-4", what: "a cancellation is refunded twice" })
        } else {
            Ok(())
        }
    }
}
