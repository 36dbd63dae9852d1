//! The money of a payment that goes back: refunds from the moment at which they are owed until they have gone.

use tornello_engine::ids::VoucherId;
use tornello_engine::payment::{PaidBackBy, RefundConfirmed, RefundExported, RefundOpened, RefundReason, RefundReleased, RefundReturned, Source};

use super::{Due, End, extras};
use crate::rule;

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
    pub(super) released: bool,
}

impl Due {
    pub(super) fn owe(&mut self, opened: &RefundOpened) -> Result<(), String> {
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

    pub(super) fn export(&mut self, exported: &RefundExported) -> Result<(), String> {
        let to_voucher = self.of_voucher(exported.refund)?.is_some();
        rule(!to_voucher, "a voucher's money goes to the bank")?;
        rule(!self.waits(exported.refund), "what the payer's bank takes back goes to the bank as well")?;
        self.back_of(exported.refund, &[Went::Open], Went::Sent).map(drop)
    }

    pub(super) fn confirm(&mut self, confirmed: &RefundConfirmed) -> Result<(), String> {
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

    pub(super) fn come_back(&mut self, returned: &RefundReturned) -> Result<(), String> {
        let before = self.back_of(returned.refund, &[Went::Sent, Went::Gone(PaidBackBy::Transfer)], Went::Open)?;
        rule(returned.was_paid_back == (before != Went::Sent), "a return is of another state than the refund was in")?;
        self.back[returned.refund as usize].released = false;
        Ok(())
    }

    pub(super) fn release(&mut self, released: &RefundReleased) -> Result<(), String> {
        rule(self.waits(released.refund), "a refund is let go that waits for nobody")?;
        self.back[released.refund as usize].released = true;
        Ok(())
    }

    /// The refunds that wait until somebody says that they may go.
    pub fn waiting(&self) -> impl Iterator<Item = u32> {
        (0..self.back.len() as u32).filter(|number| self.waits(*number))
    }

    /// Whether a refund waits: while the bank contests the payment; then because it was right about the money that goes back, or was ever right about some that nobody named, or took of it before.
    pub(super) fn waits(&self, refund: u32) -> bool {
        let Some(back) = self.back.get(refund as usize) else { return false };
        let was_right = self.right_about.is_some_and(|about| self.is_any_upheld || about == Some(back.receipt));
        let may_be_taken = self.contested || was_right || self.taken_of(back.receipt) > 0;
        may_be_taken && back.went == Went::Open && !back.released
    }

    /// The voucher that the money of a refund came from.
    pub(super) fn of_voucher(&self, refund: u32) -> Result<Option<VoucherId>, String> {
        let back = self.back.get(refund as usize).ok_or("an unknown refund")?;
        Ok(if let Source::Voucher { voucher } = self.came[back.receipt].source { Some(voucher) } else { None })
    }

    pub(super) fn back_of(&mut self, refund: u32, from: &[Went], to: Went) -> Result<Went, String> {
        let back = self.back.get_mut(refund as usize).ok_or("an unknown refund")?;
        rule(from.contains(&back.went), "a refund goes where it cannot go from where it is").map_err(|wrong| format!("{wrong}: {:?}", back.went))?;
        Ok(std::mem::replace(&mut back.went, to))
    }
}
