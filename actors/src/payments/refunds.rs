//! The refunds that slots owe a word of, handed over to whoever has the money: a payment, one that is made for what a desk sold, an account. The quote of the tickets is told
//! with them.

use tornello_engine::account::{ChargeOf, TakeBackReason};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{Code, HoldId, PaymentId, QuoteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Command, Item, Opened, Payment, Source};
use tornello_engine::quote::Quote;
use tornello_engine::slot::{self, Settlement, Slot, total};

use super::settle::settle;
use super::{Refusal, SALTS, Step, by, of_payment, of_slot, step};
use crate::accounts;
use crate::digest::digest;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::moves;
use crate::node::Node;
use crate::quotes;
use crate::streams::{read_failed, record_of};

/// Tells whoever has the money of the refunds that a slot owes a word of: payments, those that are made for sales of desks, accounts. Answers how many it could not
/// tell now.
pub(super) async fn hand_over(node: &Node, slot: SlotId) -> usize {
    let owed = match node.look(slot, |slot| slot.owed().collect::<Vec<_>>()).await {
        Ok(owed) => owed,
        Err(failure) => {
            tracing::warn!(%slot, %failure, "the refunds that a slot owes cannot be seen now");
            return 1;
        }
    };
    let mut left = 0;
    for (sale, seq, amount_cents) in owed {
        if let Err(failure) = hand_one_over(node, sale, seq, amount_cents).await {
            // Who has the money, or the quote of the tickets, may only be busy: it is asked again.
            if failure.is_retryable() {
                tracing::warn!(%sale, seq, %amount_cents, ?failure, "a refund is handed over later");
            } else {
                tracing::error!(%sale, seq, %amount_cents, ?failure, "a refund cannot be handed over");
            }
            left += 1;
        }
    }
    left
}

async fn hand_one_over(node: &Node, sale: HoldId, seq: u64, amount_cents: Cents) -> Step<()> {
    let (origin, settlement) = origin_of(node, sale).await?;
    let cancelled = TakeBackReason::Cancelled { sale, seq };
    match settlement.clone() {
        Some(Settlement::Payment { id }) => refund(node, id, origin, (sale, seq), amount_cents).await?,
        Some(Settlement::Desk { .. }) => {
            let id = payment_of_desk(node, origin).await?;
            refund(node, id, origin, (sale, seq), amount_cents).await?;
        }
        Some(Settlement::OnAccount { account }) => take_back(node, account, ChargeOf::Sale { sale: origin }, cancelled, amount_cents).await?,
        Some(Settlement::Quoted { account, quote }) => {
            let of =
                node.look_quote(quote, Quote::charge).await.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::UnknownSale)))?;
            take_back(node, account, of, cancelled, amount_cents).await?;
        }
        Some(Settlement::Free | Settlement::Moved { .. }) | None => {}
    }
    if let Some(quote) = quote_of(node, settlement.as_ref()).await? {
        let cancelled = cancelled_by(node, sale.slot(), seq).await?;
        // None: another cause is named of what was cancelled before.
        let told = if cancelled.tickets.is_empty() {
            quotes::cause_corrected(node, quote).await
        } else {
            quotes::tickets_cancelled(node, quote, cancelled.cause).await
        };
        told.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::UnknownSale)))?;
    }
    let key = digest(&[b"handed over", &sale.get().to_be_bytes(), &seq.to_be_bytes()]);
    match node.slot(sale.slot(), by(key), slot::Command::HandedOver { sale, seq }).await {
        Ok(_) | Err(Failure::Refused(slot::Refusal::NotOwed)) => Ok(()),
        Err(failure) => Err(of_slot(sale, failure)),
    }
}

/// The quote that a sale was made for, if it was for one.
async fn quote_of(node: &Node, settlement: Option<&Settlement>) -> Step<Option<QuoteId>> {
    match settlement {
        Some(Settlement::Quoted { quote, .. }) => Ok(Some(*quote)),
        Some(Settlement::Payment { id }) => {
            node.look_payment(*id, |payment| payment.opened().and_then(|opened| opened.quote)).await.map_err(of_payment)
        }
        _ => Ok(None),
    }
}

/// What a record of a slot cancelled, and why, from the record itself.
async fn cancelled_by(node: &Node, slot: SlotId, seq: u64) -> Step<slot::Cancelled> {
    let stream = StreamId::Slot(slot);
    let record = record_of::<slot::Event>(node.journal().as_ref(), stream, seq).await.map_err(|error| read_failed(&error))?;
    let cancelled = |event: slot::Event| if let slot::Event::Cancelled(cancelled) = event { Some(cancelled) } else { None };
    let found = record.and_then(|record| record.events.into_iter().find_map(cancelled));
    found.ok_or_else(|| Failure::OutOfOrder(format!("record {seq} of {slot} cancels nothing")))
}

/// Opens a refund task of a payment for tickets that were cancelled, once.
async fn refund(node: &Node, id: PaymentId, origin: HoldId, (sale, seq): (HoldId, u64), amount_cents: Cents) -> Step<()> {
    let refund = || {
        let key = digest(&[b"refund", &sale.get().to_be_bytes(), &seq.to_be_bytes()]);
        node.payment(id, by(key), Command::Refund { origin, sale, seq, amount_cents })
    };
    let told = match refund().await {
        // The sale was made and the payment does not know it yet.
        Err(Failure::Refused(payment::Refusal::UnknownSale)) => {
            settle(node, id).await?;
            refund().await
        }
        other => other,
    };
    match told {
        Ok(_) | Err(Failure::Refused(payment::Refusal::RefundKnown { .. })) => Ok(()),
        Err(failure) => Err(of_payment(failure)),
    }
}

async fn take_back(node: &Node, account: Code, of: ChargeOf, why: TakeBackReason, amount_cents: Cents) -> Step<()> {
    let taken = accounts::take_back(node, account, of, why, (amount_cents, Cents::ZERO)).await;
    taken.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::UnknownSale)))
}

/// The payment that stands for a sale of a desk: it is made when the first of its tickets is cancelled, so that what goes back is a task like any other.
async fn payment_of_desk(node: &Node, sale: HoldId) -> Step<PaymentId> {
    for salt in 0..SALTS {
        let number = digest(&[b"desk sale", &sale.get().to_be_bytes(), &[salt]]);
        let id = PaymentId::new(0, number.0 as u64);
        let stands_for = |payment: &Payment| match payment.receipts().first().map(|receipt| &receipt.source) {
            Some(Source::Sale { sale }) => (payment.seq(), Some(*sale)),
            _ => (payment.seq(), None),
        };
        match node.look_payment(id, stands_for).await {
            Ok((0, _)) | Err(Failure::Refused(payment::Refusal::UnknownPayment)) => {
                take_over(node, id, sale).await?;
                return Ok(id);
            }
            Ok((_, of)) if of == Some(sale) => return Ok(id),
            Ok(_) => {}
            Err(failure) => return Err(of_payment(failure)),
        }
    }
    Err(Failure::Busy)
}

async fn take_over(node: &Node, id: PaymentId, sale: HoldId) -> Step<()> {
    let made = move |slot: &Slot| slot.sale_of(sale).cloned();
    let made = node.look(sale.slot(), made).await.map_err(|failure| of_slot(sale, failure))?;
    let made = made.ok_or(Failure::Refused(Refusal::Slot { hold: sale, why: slot::Refusal::UnknownSale }))?;
    let amount_cents = total(&made.lines);
    let opened = Opened {
        who: made.who,
        order: made.order,
        quote: None,
        channel: made.channel,
        items: vec![Item { hold: sale, lines: made.lines, amount_cents }],
        extras: Vec::new(),
        amount_cents,
        payer: made.contact,
        museum: sale.slot().museum(),
        subject: format!("Biglietti {sale}"),
        gateway: payment::Gateway::Desk,
        due_at: made.sold_at,
    };
    let command = Command::TakeOver { opened: Box::new(opened), sale, sold_at: made.sold_at };
    node.payment(id, step(id, "take-over", 0), command).await.map(drop).map_err(of_payment)
}

/// The sale that tickets were bought as, that one or the one that they have come from by moves, and how it was paid.
async fn origin_of(node: &Node, sale: HoldId) -> Step<(HoldId, Option<Settlement>)> {
    let trail = moves::trail_back(node, sale).await.map_err(|failure| of_slot(sale, failure))?;
    let origin = trail.last().copied().unwrap_or(sale);
    let settlement = move |slot: &Slot| slot.sale_of(origin).map(|sale| sale.settlement.clone());
    let settlement = node.look(origin.slot(), settlement).await.map_err(|failure| of_slot(sale, failure))?;
    Ok((origin, settlement))
}
