//! Rules of money that the payer's bank takes back: a dispute that is decided for the payer takes what came with one receipt, as far as it has not gone back on another way.
//! A reporting flow that names a receipt as revoked takes what it says, whatever has gone back. Where they are of one receipt the two are about the same money: what one has taken the
//! other does not take again.
//!
//! What is taken back stands beside what the money is for: the tickets still stand, and a refund that waits is still owed, until somebody notes that the payer has it from their bank.

use serde::{Deserialize, Serialize};

use super::event::{DisputeResolved, Disputed, Event, Receipt, Reported, Source, TakenBack};
use super::{Broken, Code, Payment, RefundState, Refusal, Stage, is_of_same, refer};
use crate::money::Cents;
use crate::slot::DeskMethod;

/// What is known of what the payer's bank took back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Took {
    /// With which receipt that money came; none: with the one that paid, or else the first of which something is left.
    pub receipt: Option<String>,
    /// How much; none: what of that receipt has neither gone back nor is on its way.
    pub amount_cents: Option<Cents>,
}

impl Payment {
    pub(super) fn contest(&self, reason: Code, reference: &str) -> Result<Vec<Event>, Refusal> {
        refer(reference)?;
        if self.receipts.is_empty() {
            return Err(Refusal::NotPaid);
        }
        if self.is_disputed() { Err(Refusal::DisputeOpen) } else { Ok(vec![Event::Disputed(Disputed { reason, reference: reference.to_owned() })]) }
    }

    /// Nothing is taken back where the bank was wrong, nor where no bank had a part: of cash, vouchers, and what a desk took without a payment.
    pub(super) fn resolve_dispute(&self, upheld: bool, took: &Took) -> Result<Vec<Event>, Refusal> {
        let taken = if upheld { self.takes_back(took)? } else { None };
        if !self.is_disputed() {
            return Err(Refusal::NoDispute);
        }
        let resolved = Event::DisputeResolved(DisputeResolved { upheld });
        Ok([resolved].into_iter().chain(taken.map(Event::TakenBack)).collect())
    }

    fn takes_back(&self, took: &Took) -> Result<Option<TakenBack>, Refusal> {
        let receipt = match &took.receipt {
            Some(id) => {
                let found = (0..).zip(&self.receipts).find(|(_, receipt)| receipt.id == *id);
                let (place, receipt) = found.ok_or(Refusal::UnknownReceipt)?;
                if !is_of_bank(receipt) {
                    return Err(Refusal::SourceNotAllowed);
                }
                Some(place)
            }
            None => self.contested_receipt(),
        };
        let Some(receipt) = receipt else {
            return if took.amount_cents.is_none_or(Cents::is_zero) { Ok(None) } else { Err(Refusal::TakenTooLarge { left_cents: Cents::ZERO }) };
        };
        let amount_cents = took.amount_cents.unwrap_or_else(|| self.left_of(receipt));
        let left_cents = self.came_with(receipt).minus(self.taken_of(receipt));
        if amount_cents < Cents::ZERO || amount_cents > left_cents {
            return Err(Refusal::TakenTooLarge { left_cents });
        }
        // That it took nothing is noted where somebody says so, or which receipt it was about: else it is not known.
        let is_said = took.amount_cents.is_some() || took.receipt.is_some();
        Ok((!amount_cents.is_zero() || is_said).then_some(TakenBack { receipt, amount_cents }))
    }

    /// What a flow takes back that names a receipt as revoked, and is not known to be taken back; below zero where it is issued anew and takes less than it did, or has sent once
    /// more what another took. Of a receipt that has not come nothing can be taken yet.
    pub(super) fn revoked_by(&self, reported: &Reported) -> Option<TakenBack> {
        let (receipt, came) = (0..).zip(&self.receipts).find(|(_, receipt)| receipt.id == reported.iur)?;
        let others = self.reports.iter().filter(|known| !is_of_same(known, reported));
        let (before, now, taken) = (revoked(came, self.reports.iter()), revoked(came, others.chain([reported])), self.taken_of(receipt));
        let amount_cents = if now < before {
            // What a dispute took beside stays so, also when another one has begun, and what refunds are noted to be paid by.
            let less = before.minus(now).min(taken.minus(now)).min(taken.minus(self.settled_of(receipt))).max(Cents::ZERO);
            if self.is_any_upheld || self.upheld.contains(&receipt) { Cents::ZERO } else { Cents::ZERO.minus(less) }
        } else if reported.is_revoked() || now > before {
            now.minus(taken).max(Cents::ZERO)
        } else {
            Cents::ZERO
        };
        (!amount_cents.is_zero()).then_some(TakenBack { receipt, amount_cents })
    }

    /// Notes of which receipt's money a dispute took, if a record decides one for the payer: what it took follows there.
    pub(super) fn upheld_by(&mut self, events: &[Event]) {
        if !events.iter().any(|event| matches!(event, Event::DisputeResolved(resolved) if resolved.upheld)) {
            return;
        }
        let taken = events.iter().find_map(|event| if let Event::TakenBack(taken) = event { Some(taken.receipt) } else { None });
        self.upheld.extend(taken);
        self.is_any_upheld |= taken.is_none();
        self.last_upheld = taken;
    }

    /// What flows that came before a receipt take back of it.
    pub(super) fn revoked_before(&self, receipt: &Receipt) -> Option<TakenBack> {
        let amount_cents = revoked(receipt, self.reports.iter());
        (!amount_cents.is_zero()).then_some(TakenBack { receipt: self.receipts.len() as u32, amount_cents })
    }

    /// The receipt that a dispute is about if nobody says so, by its place: of those that a bank had a part in the one that paid, unless nothing is left of it.
    fn contested_receipt(&self) -> Option<u32> {
        let paid = if let Stage::Paid { receipt, .. } = self.stage { Some(receipt) } else { None };
        let all = 0..self.receipts.len() as u32;
        let of_banks = |place: &u32| self.receipts.get(*place as usize).is_some_and(is_of_bank);
        let places: Vec<u32> = paid.into_iter().chain(all.filter(|place| Some(*place) != paid)).filter(of_banks).collect();
        places.iter().copied().find(|place| self.left_of(*place) > Cents::ZERO).or_else(|| places.first().copied())
    }

    fn came_with(&self, receipt: u32) -> Cents {
        self.receipts.get(receipt as usize).map_or(Cents::ZERO, |receipt| receipt.amount_cents)
    }

    /// What of the money of a receipt has not gone back, is not on its way, and was not taken back.
    fn left_of(&self, receipt: u32) -> Cents {
        let went = |state: &RefundState| !state.is_open() && !state.is_by_payers_bank();
        let gone: Cents = self.refunds.iter().filter(|back| back.receipt == receipt && went(&back.state)).map(|back| back.amount_cents).sum();
        self.came_with(receipt).minus(gone).minus(self.taken_of(receipt)).max(Cents::ZERO)
    }

    /// What payers' banks took back of the money of a receipt, by its place.
    #[must_use]
    pub fn taken_of(&self, receipt: u32) -> Cents {
        self.taken_back.iter().filter(|taken| taken.receipt == receipt).map(|taken| taken.amount_cents).sum()
    }

    /// What refunds of the money of a receipt stand for of what the payer's bank took of it.
    pub(super) fn settled_of(&self, receipt: u32) -> Cents {
        let settled = self.refunds.iter().filter(|refund| refund.receipt == receipt && refund.state.is_by_payers_bank());
        settled.map(|refund| refund.amount_cents).sum()
    }

    /// What payers' banks took back of all that came. Of disputes that ended before that was noted it is not known.
    #[must_use]
    pub fn taken_back(&self) -> Cents {
        self.taken_back.iter().map(|taken| taken.amount_cents).sum()
    }

    /// Whether a receipt proves no more that the money is there: the payer's bank took of it, or a dispute was decided for the payer and nobody noted what was taken. Where no
    /// bank had a part none takes anything back, whatever was contested beside it.
    #[must_use]
    pub fn is_charged_back(&self, receipt: u32) -> bool {
        let upheld = self.dispute().is_some_and(|dispute| dispute.upheld == Some(true));
        let of_bank = self.receipts.get(receipt as usize).is_some_and(is_of_bank);
        !self.taken_of(receipt).is_zero() || (upheld && of_bank && self.taken_back.is_empty())
    }

    pub(super) fn recount_taken(&self) -> Result<(), Broken> {
        let fits = |taken: &TakenBack| {
            let of_bank = self.receipts.get(taken.receipt as usize).is_some_and(is_of_bank);
            of_bank && (Cents::ZERO..=self.came_with(taken.receipt)).contains(&self.taken_of(taken.receipt))
        };
        let settled = (0..self.receipts.len() as u32).all(|receipt| self.settled_of(receipt) <= self.taken_of(receipt));
        if settled && self.taken_back.iter().all(fits) {
            Ok(())
        } else {
            Err(Broken { invariant: "PY-1", what: "a payer's bank took back what did not come from one, or paid a refund back that it did not" })
        }
    }
}

/// What reports name as revoked of a receipt, and no more than came with it. Of what they have as sent once more than it came, as after a stand-in, that takes nothing: it was the
/// sender's.
fn revoked<'a>(receipt: &Receipt, reports: impl Iterator<Item = &'a Reported>) -> Cents {
    if !matches!(receipt.source, Source::Node | Source::Report) {
        return Cents::ZERO;
    }
    let (mut sent, mut revoked) = (Cents::ZERO, Cents::ZERO);
    for known in reports.filter(|known| known.iur == receipt.id && known.index == 1) {
        let sum = if known.is_revoked() { &mut revoked } else { &mut sent };
        *sum = sum.plus(known.amount_cents);
    }
    let sent_again = sent.minus(receipt.amount_cents).max(Cents::ZERO);
    revoked.minus(sent_again).max(Cents::ZERO).min(receipt.amount_cents)
}

/// Whether a bank had a part in it that can take it back.
const fn is_of_bank(receipt: &Receipt) -> bool {
    match receipt.source {
        Source::Node | Source::Report | Source::Desk { method: DeskMethod::Card, .. } => true,
        Source::Desk { method: DeskMethod::Cash, .. } | Source::Voucher { .. } | Source::Free | Source::Sale { .. } => false,
    }
}
