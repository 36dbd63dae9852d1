//! What was left under way, by a crash or by somebody who does not answer, goes on from where it stands: at once and then again and again, each less often while it does not
//! help.

use futures_util::StreamExt;
use tornello_engine::ids::{PaymentId, SlotId};

use super::refunds::hand_over;
use super::tell::unheard;
use super::{Step, drive, drive_without_gateway};
use crate::node::Node;
use crate::pauses::{Pauses, RESUME_EVERY_S};

/// How many are resumed at once.
const RESUMED: usize = 16;

/// Hands over what slots owe and drives every payment that has something to do; answers how many could not be brought to an end now.
pub async fn resume(node: &Node) -> usize {
    resume_settling(node, &mut Pauses::default(), &mut Pauses::default()).await;
    let handed = hand_over_each(node, node.board().owing()).await;
    let driven = resume_each(with_unheard(node, node.payments().working()), |id| drive(node, id)).await;
    handed.iter().filter(|(_, is_done)| !is_done).count() + driven.iter().filter(|(_, is_done)| !is_done).count()
}

/// Hands over what some slots owe, of several at once; answers for each whether nothing is left.
async fn hand_over_each(node: &Node, slots: Vec<SlotId>) -> Vec<(SlotId, bool)> {
    let handed = futures_util::stream::iter(slots).map(|slot| async move { (slot, hand_over(node, slot).await == 0) });
    handed.buffer_unordered(RESUMED).collect().await
}

/// Resumes what was left under way, at once and then again and again; each payment, and each slot that owes something, less often while it does not help. Runs
/// until dropped.
pub(crate) async fn keep_paying(node: &Node) {
    tokio::join!(keep_settling(node), keep_telling(node));
}

/// Sees to all that needs no gateway: nobody waits for tickets because a gateway does not answer.
async fn keep_settling(node: &Node) {
    let (mut payments, mut slots) = (Pauses::default(), Pauses::default());
    loop {
        resume_settling(node, &mut payments, &mut slots).await;
        node.clock().sleep_until(node.now().plus_seconds(RESUME_EVERY_S)).await;
    }
}

async fn resume_settling(node: &Node, payments: &mut Pauses<PaymentId>, slots: &mut Pauses<SlotId>) {
    let due = payments.due(node.payments().settling(), node.now());
    for (id, is_done) in resume_each(due, |id| drive_without_gateway(node, id)).await {
        payments.note(id, node.now(), is_done);
    }
    let due = slots.due(node.board().owing(), node.now());
    for (slot, is_done) in hand_over_each(node, due).await {
        slots.note(slot, node.now(), is_done);
    }
}

/// Sees to what gateways are to hear, those that have failed least first: a pass takes no longer than one call.
async fn keep_telling(node: &Node) {
    let mut pauses = Pauses::default();
    loop {
        let mut due = pauses.due(with_unheard(node, node.payments().telling()), node.now());
        let is_last = due.len() <= RESUMED;
        due.truncate(RESUMED);
        for (id, is_done) in resume_each(due, |id| drive(node, id)).await {
            pauses.note(id, node.now(), is_done);
        }
        if is_last {
            node.clock().sleep_until(node.now().plus_seconds(RESUME_EVERY_S)).await;
        }
    }
}

/// Some payments, and those that have nothing else to do whose gateway has yet to hear that a slot is closed, or open again.
fn with_unheard(node: &Node, mut payments: Vec<PaymentId>) -> Vec<PaymentId> {
    payments.extend(unheard(node));
    payments.sort_unstable();
    payments.dedup();
    payments
}

/// Drives some payments, several at once; answers for each whether that came to its end.
async fn resume_each<F: Future<Output = Step<()>>>(payments: Vec<PaymentId>, drive: impl Fn(PaymentId) -> F) -> Vec<(PaymentId, bool)> {
    let drive = &drive;
    let driven = futures_util::stream::iter(payments).map(|id| async move {
        let driven = drive(id).await;
        if let Err(failure) = &driven {
            tracing::warn!(payment = %id, ?failure, "a payment cannot be resumed now");
        }
        (id, driven.is_ok())
    });
    driven.buffer_unordered(RESUMED).collect().await
}
