//! What becomes of a hold beside the payment that it is kept for: nothing while that one may still make a sale of it, and all that may become of any hold when it is over.

use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, PersonId};
use tornello_engine::slot::{self, Event, Keeper, Line, Settlement, Slot, people};

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
        Some(over) => slot::Command::GiveBack { hold, owner, over: Keeper::Payment(over) },
        None => slot::Command::Release { hold, owner },
    };
    node.slot(hold.slot(), envelope, command).await
}

/// Gives some places of a hold back, as [`release`] gives back all: so many people of each category are kept. The others rest by the lot that is drawn, where places rest. What
/// was remembered of the hold is forgotten meanwhile: whoever buys it before this is answered asks the slot, also if whoever asked has gone away. Answers with what was kept.
///
/// # Errors
/// `hold_kept` if a payment can still be paid for it, or is paid. Else what the slot says to it.
pub async fn shrink(
    node: &Node,
    hold: HoldId,
    envelope: Envelope,
    (counts, draw): (Vec<(Code, u16)>, u32),
    owner: Option<KeyId>,
) -> Result<Option<Vec<Line>>, Failure<slot::Refusal>> {
    keep_fewer(node, hold, (envelope, draw), |over| slot::Command::Shrink { hold, counts, owner, over }).await
}

/// Lets a party that waits, or has an offer, be smaller: it keeps its turn, and of an offer fewer places, as by [`shrink`].
///
/// # Errors
/// `hold_kept` if a payment for its offer can still be paid, or is paid. Else what the slot says to it.
pub async fn wait_for_fewer(
    node: &Node,
    entry: HoldId,
    envelope: Envelope,
    (counts, draw): (Vec<(Code, u16)>, u32),
    owner: Option<KeyId>,
) -> Result<Option<Vec<Line>>, Failure<slot::Refusal>> {
    keep_fewer(node, entry, (envelope, draw), |over| slot::Command::WaitForFewer { entry, counts, owner, over }).await
}

/// Gives the command by which a hold or an entry becomes smaller, with the payment that kept it and needs it no more.
async fn keep_fewer(
    node: &Node,
    hold: HoldId,
    (envelope, draw): (Envelope, u32),
    command: impl FnOnce(Option<PaymentId>) -> slot::Command,
) -> Result<Option<Vec<Line>>, Failure<slot::Refusal>> {
    // Whoever begins to pay for it reads what is due, and then has it kept: in between it stays as it is.
    let _turn = node.paying().beginning(&[hold]).await;
    let kept_for = node.look(hold.slot(), move |slot| slot.hold_of(hold).and_then(|hold| hold.kept_for)).await?;
    let over = needed_no_more(node, hold, kept_for).await?;
    let known = node.scoring().forget(hold);
    let answer = node.slot(hold.slot(), envelope, command(over).drawn(draw)).await;
    let amended = |event| if let Event::Amended(amended) = event { Some(amended.lines) } else { None };
    let kept = answer.map(|record| record.events.into_iter().find_map(amended));
    if let (Some(known), Ok(_) | Err(Failure::Refused(_) | Failure::KeyReused)) = (known, &kept) {
        // What is repeated says nothing new, where fewer still are kept by now.
        let fewer = kept.iter().flatten().find(|kept| people(kept) < people(&known.lines));
        node.scoring().remember(hold, known.channel, fewer.unwrap_or(&known.lines), known.parties.clone());
    }
    kept
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
        Some(over) => slot::Command::GiveBack { hold: entry, owner, over: Keeper::Payment(over) },
        None => slot::Command::LeaveWaiting { entry, owner },
    };
    node.slot(entry.slot(), envelope, command).await
}

/// How a hold is sold on another way than by the payment that it may be kept for: at a desk, on an account, for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    hold: HoldId,
    owner: Option<KeyId>,
    /// The payment that kept it and needs it no more, and what is held.
    over: Option<(PaymentId, Vec<Line>)>,
}

impl Confirmation {
    /// Of a hold that nobody has looked at. What a payment keeps is not sold by it.
    #[must_use]
    pub const fn new(hold: HoldId, owner: Option<KeyId>) -> Self {
        Self { hold, owner, over: None }
    }

    /// Looks whether a payment that keeps the hold needs it no more; answers whether it is that which the command says from now on. To be asked when the slot has refused
    /// with `hold_kept`, or before anything is done that a refusal would have to undo: of nearly all holds that are confirmed there is no payment.
    ///
    /// # Errors
    /// Whatever keeps the slot or the payment from being asked.
    pub async fn look(&mut self, node: &Node) -> Result<bool, Failure<slot::Refusal>> {
        let (hold, owner) = (self.hold, self.owner);
        // Whose hold it is not is told so by the slot.
        let held = move |slot: &Slot| {
            let found = slot.hold_of(hold).filter(|found| owner.is_none_or(|owner| owner == found.who))?;
            Some((found.kept_for, found.lines.clone()))
        };
        let (kept_for, lines) = node.look(hold.slot(), held).await?.unwrap_or_default();
        self.over = keeper_over(node, hold, kept_for).await?.map(|payment| (payment, lines));
        Ok(self.over.is_some())
    }

    /// The command to the slot.
    #[must_use]
    pub fn command(&self, settlement: &Settlement, contact: Option<PersonId>) -> slot::Command {
        let (hold, owner, settlement) = (self.hold, self.owner, settlement.clone());
        match &self.over {
            Some((payment, lines)) => slot::Command::SellPaid { hold, owner, lines: lines.clone(), keeper: Some(*payment), settlement, contact },
            None => slot::Command::Sell { hold, owner, settlement, contact },
        }
    }
}

/// The payment that a hold was kept for, if it needs it no more. One that is just about to be written down is waited for.
async fn keeper_over(node: &Node, hold: HoldId, kept_for: Option<Keeper>) -> Result<Option<PaymentId>, Failure<slot::Refusal>> {
    let Some(Keeper::Payment(_)) = kept_for else { return Ok(None) };
    let _turn = node.paying().beginning(&[hold]).await;
    needed_no_more(node, hold, kept_for).await
}

/// As [`keeper_over`], for one whose turn it is: nobody else begins to pay for the hold.
async fn needed_no_more(node: &Node, hold: HoldId, kept_for: Option<Keeper>) -> Result<Option<PaymentId>, Failure<slot::Refusal>> {
    let Some(Keeper::Payment(payment)) = kept_for else { return Ok(None) };
    match is_under_way(node, payment, hold).await {
        Ok(is_needed) => Ok((!is_needed).then_some(payment)),
        Err(failure) => Err(failure.map(|_| slot::Refusal::HoldKept { payment })),
    }
}
