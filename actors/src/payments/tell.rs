//! What a payment's gateway is to hear: that it can be paid, once its places are kept so long, and that it can be paid no more. A voucher is such a gateway: it pays as soon
//! as it hears.

use std::sync::Arc;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{HoldId, PaymentId, SlotId, VoucherId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Closing, Command, Opened, Payment, Receipt, Source, Stage};
use tornello_engine::slot::{self, Keeper, Slot};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher;

use super::{Gateway, GatewayError, Refusal, Step, by, left_of, note, of_payment, of_slot, step};
use crate::digest::{digest, mark_of};
use crate::failure::Failure;
use crate::node::Node;

/// Tells the gateway what it is to hear; answers whether that was nothing.
pub(super) async fn tell(node: &Node, id: PaymentId) -> Step<bool> {
    let _telling = node.paying().telling(id.get()).lock().await;
    let Some((opened, stage, work)) = left_of(node, id).await? else { return Ok(true) };
    if work.publish {
        publish(node, id, &opened).await?;
    }
    if let Some(closing) = work.close {
        close(node, id, &opened, closing).await?;
    }
    if stage == Stage::Pending && opened.gateway.is_position() {
        tell_closed(node, id, &opened).await?;
    }
    Ok(!work.publish && work.close.is_none())
}

/// Whether one of these slots is closed: nobody is asked for money for places there, as it would go back.
#[must_use]
pub fn is_for_closed(node: &Node, slots: &[SlotId]) -> bool {
    slots.iter().any(|slot| node.board().head(*slot).is_some_and(|head| head.places.closed.is_some()))
}

/// The positions of which the gateway has yet to hear that a slot is closed, or that all are open again. What has ended has no need of it.
pub(super) fn unheard(node: &Node) -> Vec<PaymentId> {
    if node.gateway().is_none() {
        return Vec::new();
    }
    let mut heard = node.paying().closed.lock();
    heard.retain(|id| node.payments().is_position(*id));
    node.payments().positions(|id, slots| is_for_closed(node, slots) != heard.contains(&id))
}

/// Tells the gateway that what a position is for is closed, or open again, unless it has heard that.
async fn tell_closed(node: &Node, id: PaymentId, opened: &Opened) -> Step<()> {
    let slots: Vec<SlotId> = opened.items.iter().map(|item| item.hold.slot()).collect();
    let is_closed = is_for_closed(node, &slots);
    if node.paying().closed.lock().contains(&id) == is_closed {
        return Ok(());
    }
    // From then on nobody begins to pay it anywhere.
    if node.now() < opened.due_at
        && let Err(GatewayError::Later(why)) = gateway(node)?.stand_in(id, opened, !is_closed).await
    {
        return Err(Failure::Gateway(why));
    }
    let mut heard = node.paying().closed.lock();
    if is_closed {
        heard.insert(id);
    } else {
        heard.remove(&id);
    }
    Ok(())
}

/// Keeps the places until the payment can no longer be started, then tells its gateway. If a hold is lost before, the payment is cancelled.
async fn publish(node: &Node, id: PaymentId, opened: &Opened) -> Step<()> {
    for item in &opened.items {
        let (hold, until, cause, now) = (item.hold, opened.due_at, Keeper::Payment(id), node.now());
        if node.look(hold.slot(), move |slot| lives_so_long(slot, now, hold, until, cause)).await.unwrap_or(false) {
            continue;
        }
        // Done twice it is done once, so each time is asked anew: the hold may have ended since.
        match prolong(node, id, item.hold, opened.due_at, node.now().as_micros()).await {
            Ok(()) => {}
            Err(Failure::Refused(Refusal::Slot { why, .. })) => {
                let Ok(cause) = why.code().parse() else { return Err(Failure::OutcomeUnknown) };
                return note(node, id, step(id, "cancel", 0), Command::Cancel { owner: None, cause }).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    let told = match opened.gateway {
        payment::Gateway::Desk | payment::Gateway::Free => Ok(()),
        payment::Gateway::Voucher { voucher } => return redeem(node, id, opened, voucher).await,
        payment::Gateway::Notice | payment::Gateway::Checkout => gateway(node)?.publish(id, opened).await,
    };
    match told {
        Ok(()) => note(node, id, step(id, "publish", 0), Command::Publish).await,
        Err(GatewayError::Never(code)) => note(node, id, step(id, "publish-failed", 0), Command::FailPublish { code }).await,
        Err(GatewayError::Later(why)) => Err(Failure::Gateway(why)),
    }
}

/// Whether a hold is kept for this cause already, as long as it could be: then keeping it changes nothing.
fn lives_so_long(slot: &Slot, now: Timestamp, hold: HoldId, until: Timestamp, cause: Keeper) -> bool {
    let Some(expires_at) = slot.hold_of(hold).filter(|found| found.kept_for == Some(cause)).map(|found| found.expires_at) else { return false };
    let is_same = |event: &slot::Event| matches!(event, slot::Event::Prolonged(prolonged) if prolonged.expires_at == expires_at);
    slot.decide(now, &slot::Command::Prolong { hold, until, cause }).is_ok_and(|events| events.iter().all(is_same))
}

/// Keeps places longer; `turn` is which time of asking this is.
pub(super) async fn prolong(node: &Node, id: PaymentId, hold: HoldId, until: Timestamp, turn: i64) -> Step<()> {
    let asked = [id.get(), turn.cast_unsigned()].map(u64::to_be_bytes).concat();
    let key = digest(&[b"prolong", &hold.get().to_be_bytes(), &asked]);
    match node.slot(hold.slot(), by(key), slot::Command::Prolong { hold, until, cause: Keeper::Payment(id) }).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(of_slot(hold, failure)),
    }
}

/// Takes the payment off its voucher, and the money in.
async fn redeem(node: &Node, id: PaymentId, opened: &Opened, voucher: VoucherId) -> Step<()> {
    let command = voucher::Command::Redeem { payment: id, museum: opened.museum, amount_cents: opened.amount_cents };
    match node.voucher(voucher, step(id, "redeem", 0), command).await {
        Ok(_) | Err(Failure::Refused(voucher::Refusal::AlreadyRedeemed)) => from_voucher(node, id, voucher, opened.amount_cents).await,
        Err(Failure::Refused(why)) => {
            let Ok(code) = why.code().parse() else { return Err(Failure::OutcomeUnknown) };
            note(node, id, step(id, "publish-failed", 0), Command::FailPublish { code }).await
        }
        Err(failure) => Err(failure.map(Refusal::Voucher)),
    }
}

async fn from_voucher(node: &Node, id: PaymentId, voucher: VoucherId, amount_cents: Cents) -> Step<()> {
    let receipt = Receipt::without_provider(mark_of(voucher), Source::Voucher { voucher }, amount_cents, node.now());
    note(node, id, step(id, "voucher", 0), Command::Receive { receipt }).await
}

/// Tells the gateway that the payment can be paid there no more. A voucher that was redeemed before the end could be noted has paid.
async fn close(node: &Node, id: PaymentId, opened: &Opened, closing: Closing) -> Step<()> {
    let told = match (opened.gateway, closing) {
        (payment::Gateway::Voucher { voucher }, _) => {
            match node.look_voucher(voucher, move |voucher| voucher.redeemed_by(id)).await {
                Ok(Some(amount_cents)) => from_voucher(node, id, voucher, amount_cents).await?,
                Ok(None) | Err(Failure::Refused(voucher::Refusal::UnknownVoucher)) => {}
                Err(failure) => return Err(failure.map(Refusal::Voucher)),
            }
            Ok(())
        }
        (_, Closing::Withdrawn) => gateway(node)?.withdraw(id).await,
        (_, Closing::PaidElsewhere) => {
            let paying = |payment: &Payment| match payment.stage() {
                Stage::Paid { receipt, .. } => payment.receipts().get(receipt as usize).cloned(),
                _ => None,
            };
            match node.look_payment(id, paying).await.map_err(of_payment)? {
                Some(receipt) => gateway(node)?.paid_elsewhere(id, &receipt).await,
                None => return Ok(()),
            }
        }
    };
    let refused = match told {
        Ok(()) => None,
        Err(GatewayError::Never(code)) => Some(code),
        Err(GatewayError::Later(why)) => return Err(Failure::Gateway(why)),
    };
    let key = if closing == Closing::Withdrawn { "withdrawn" } else { "paid-elsewhere" };
    note(node, id, step(id, key, 0), Command::Close { closing, refused }).await
}

fn gateway(node: &Node) -> Step<&Arc<dyn Gateway>> {
    node.gateway().ok_or_else(|| Failure::Gateway("none is connected".to_owned()))
}
