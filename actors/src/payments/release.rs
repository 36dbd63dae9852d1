//! What becomes of a hold beside the payment that it is kept for: nothing while that one may still make a sale of it, and all that may become of any hold when it is over.

use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{HoldId, KeyId};
use tornello_engine::slot::{self, Keeper, Slot};

use super::begin::is_under_way;
use crate::failure::Failure;
use crate::node::Node;
use crate::owner::Answer;

/// Gives a hold back, unless a payment can still be paid for it, or is paid and about to make it a sale.
///
/// # Errors
/// `hold_kept` if there is one: it is to be cancelled first. Else what the slot says to it.
pub async fn release(node: &Node, hold: HoldId, envelope: Envelope, owner: Option<KeyId>) -> Answer<Slot> {
    let kept_for = node.look(hold.slot(), move |slot| slot.hold_of(hold).and_then(|hold| hold.kept_for)).await?;
    let command = match keeper_over(node, hold, kept_for).await? {
        Some(over) => slot::Command::GiveBack { hold, owner, over },
        None => slot::Command::Release { hold, owner },
    };
    node.slot(hold.slot(), envelope, command).await
}

/// Leaves a waiting list. An offer is given back with it, as a hold is by [`release`].
///
/// # Errors
/// `hold_kept` if a payment is under way for the offer. Else what the slot says to it.
pub async fn leave_waiting(node: &Node, entry: HoldId, envelope: Envelope, owner: Option<KeyId>) -> Answer<Slot> {
    // Whose offer it is not is told so by the slot.
    let kept_for = move |slot: &Slot| {
        let offer = slot.standing_of(entry).filter(|standing| matches!(standing, slot::Standing::Offered(_)));
        let hold = offer.and_then(|_| slot.hold_of(entry)).filter(|hold| owner.is_none_or(|owner| owner == hold.who));
        hold.and_then(|hold| hold.kept_for)
    };
    let kept_for = node.look(entry.slot(), kept_for).await?;
    let command = match keeper_over(node, entry, kept_for).await? {
        Some(over) => slot::Command::GiveBack { hold: entry, owner, over },
        None => slot::Command::LeaveWaiting { entry, owner },
    };
    node.slot(entry.slot(), envelope, command).await
}

/// What a hold was kept for, if that is a payment that needs it no more.
async fn keeper_over(node: &Node, hold: HoldId, kept_for: Option<Keeper>) -> Result<Option<Keeper>, Failure<slot::Refusal>> {
    match kept_for {
        Some(Keeper::Payment(payment)) => match is_under_way(node, payment, hold).await {
            Ok(is_needed) => Ok(kept_for.filter(|_| !is_needed)),
            Err(failure) => Err(failure.map(|_| slot::Refusal::HoldKept { payment })),
        },
        Some(Keeper::Quote(_)) | None => Ok(None),
    }
}
