//! Rules of money that comes. The first receipt over at least what is due pays, whatever the payment has become meanwhile; all other money goes back.

use super::event::{Event, Received, RefundOpened, RefundReason, Source};
use super::{Gateway, Opened, Payment, Receipt, Refusal, Stage};
use crate::money::Cents;
use crate::time::Timestamp;

/// The longest id of a receipt, in characters (paSendRT, `receiptId`).
pub const RECEIPT_ID_MAX: usize = 35;
/// The longest other text of a receipt, in bytes: 70 characters (paSendRT, `PSPCompanyName`).
const RECEIPT_TEXT_MAX: usize = 280;

impl Payment {
    pub(super) fn receive(&self, opened: &Opened, receipt: &Receipt) -> Result<Vec<Event>, Refusal> {
        let texts = [&receipt.psp, &receipt.channel, &receipt.method];
        let id_is_sound = (1..=RECEIPT_ID_MAX).contains(&receipt.id.chars().count()) && receipt.id.len() <= RECEIPT_TEXT_MAX;
        if !id_is_sound || receipt.amount_cents <= Cents::ZERO || texts.iter().any(|text| text.len() > RECEIPT_TEXT_MAX) {
            return Err(Refusal::BadReceipt);
        }
        if let Source::Desk { reference, .. } = &receipt.source {
            super::refer(reference)?;
        }
        if self.has_receipt(&receipt.id) {
            return Err(Refusal::ReceiptDuplicate);
        }
        let allowed = match receipt.source {
            Source::Node | Source::Report => opened.gateway.is_position(),
            Source::Desk { .. } => true,
            Source::Voucher { voucher } => opened.gateway == Gateway::Voucher { voucher },
            Source::Free | Source::Sale { .. } => false,
        };
        if !allowed {
            return Err(Refusal::SourceNotAllowed);
        }
        let (came, due) = (receipt.amount_cents, opened.amount_cents);
        let back = if matches!(self.stage, Stage::Paid { .. }) {
            Some((came, RefundReason::DoublePayment))
        } else if came < due {
            Some((came, RefundReason::AmountTooSmall))
        } else {
            (came > due).then(|| (came.minus(due), RefundReason::Excess))
        };
        let pays = !matches!(back, Some((_, RefundReason::DoublePayment | RefundReason::AmountTooSmall)));
        let mut events = vec![received(opened, receipt.clone(), pays)];
        events.extend(back.map(|(amount_cents, why)| {
            let (refund, receipt) = (self.refunds.len() as u32, self.receipts.len() as u32);
            Event::RefundOpened(RefundOpened { refund, amount_cents, why, receipt })
        }));
        events.extend(self.revoked_before(receipt).map(Event::TakenBack));
        Ok(events)
    }

    pub(super) fn received(&mut self, at: Timestamp, received: &Received) {
        let amount = received.receipt.amount_cents;
        self.money.received = self.money.received.plus(amount);
        self.money.unallotted = self.money.unallotted.plus(amount).minus(received.extras_cents);
        self.money.extras = self.money.extras.plus(received.extras_cents);
        if received.pays {
            self.stage = Stage::Paid { at, receipt: self.receipts.len() as u32 };
            self.waiting = self.items.len() as u16;
        }
        self.receipt_ids.insert(received.receipt.id.clone());
        self.receipts.push(received.receipt.clone());
    }
}

/// What happens when money comes. Extras wait for the tickets that they go with; where nothing but extras is paid for, they are earned at once.
pub(super) fn received(opened: &Opened, receipt: Receipt, pays: bool) -> Event {
    let extras_cents = if pays && opened.items.is_empty() { opened.amount_cents } else { Cents::ZERO };
    Event::Received(Received { receipt, pays, extras_cents })
}
