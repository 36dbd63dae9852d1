//! The tickets of a quote that was paid without a payment, and what becomes of all tickets and money when a quote is called off, or its tickets are cancelled beside it.

use tornello_engine::account::TakeBackReason;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::payment;
use tornello_engine::quote::{self, About, Command, Part, Quote, Stage};
use tornello_engine::slot::{self, Settlement, Slot, total};

use super::options::release;
use super::{Refusal, SALTS, Step, as_drafter, for_system, note, of_payments, of_slot, step};
use crate::accounts;
use crate::digest::digest;
use crate::failure::Failure;
use crate::node::Node;
use crate::pauses::go_on;
use crate::payments;

/// Makes tickets of what is paid without a payment. What an account was charged for places that are gone is taken back.
pub(super) async fn issue(node: &Node, quote: &Quote) -> Step<()> {
    let (Some(about), Some(offer)) = (quote.about(), quote.offer()) else { return Ok(()) };
    // Once something was taken back it is settled which parts are missing: what is free again by now nobody would pay for.
    let is_settled = is_taken_back(node, quote, about).await?;
    let (mut sales, mut missing, mut lost_cents) = (Vec::new(), Vec::new(), Cents::ZERO);
    let mut left = Ok(());
    for (number, part) in (0_u16..).zip(&offer.parts) {
        let option = quote.options_in_force().and_then(|options| options.holds.get(usize::from(number)).copied());
        let sold = if is_settled {
            sold_before(node, quote, about, part, (number, option)).await
        } else {
            sell(node, quote, about, part, (number, option)).await
        };
        let sold = match sold {
            Ok(sold) => sold,
            Err(failure) => {
                left = go_on(node, left, Err(failure))?;
                continue;
            }
        };
        if let Some(sale) = sold {
            sales.push(sale);
            if let Some(option) = option.filter(|option| *option != sale) {
                release(node, quote.id(), option).await?;
            }
        } else {
            missing.push(number);
            lost_cents = lost_cents.plus(total(&part.lines));
            if let Some(option) = option {
                release(node, quote.id(), option).await?;
            }
        }
    }
    left?;
    let lost = if sales.is_empty() { (offer.total_cents, offer.beside_tickets()) } else { (lost_cents, Cents::ZERO) };
    if let Some(account) = about.account.filter(|_| !lost.0.is_zero()) {
        let taken = accounts::take_back(node, account, quote.charge(), TakeBackReason::NotDelivered, lost).await;
        taken.map_err(|failure| failure.map(Refusal::Account))?;
    }
    note(node, quote.id(), step(quote.id(), "ticketed", 0), Command::MarkTicketed { sales, missing }).await
}

/// Cancels what stands of the tickets of a quote that was called off, wherever they have moved, and has the fee and the extras paid back, or taken off its account.
/// What the tickets cost, their slots hand over to whoever has the money.
pub(super) async fn unwind(node: &Node, quote: &Quote) -> Step<()> {
    let (Stage::CalledOff { sales, .. }, Some(about), Some(offer)) = (quote.stage(), quote.about(), quote.offer()) else { return Ok(()) };
    let (mut sales, mut at, mut left) = (sales.clone(), 0, Ok(()));
    while let Some(&sale) = sales.get(at) {
        let command = slot::Command::Cancel { sale, owner: None, tickets: Vec::new(), cause: slot::CancelCause::Museum };
        let moved = match node.slot(sale.slot(), for_system(quote.id(), "call off", sale), command).await {
            // Where it will stand is known in a moment.
            Err(Failure::Refused(slot::Refusal::TicketMoving)) => Err(Failure::Busy),
            // Nothing of it can move any more: those that have are all.
            Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => arrivals(node, sale).await,
            Err(failure) => Err(of_slot(sale.slot(), failure)),
        };
        match moved {
            Ok(arrived) => sales.extend(arrived),
            Err(failure) => left = go_on(node, left, Err(failure))?,
        }
        at += 1;
    }
    left?;
    let (beside, id) = (offer.beside_tickets(), quote.id());
    match (quote.paid(), about.account) {
        _ if beside.is_zero() => {}
        (Some(quote::Paid { payment: Some(payment) }), _) => {
            match node.payment(*payment, step(id, "extras", payment.get()), payment::Command::RefundExtras).await {
                Ok(_) | Err(Failure::Refused(_)) => {}
                Err(failure) => return Err(of_payments(failure.map(payments::Refusal::Payment))),
            }
        }
        (Some(quote::Paid { payment: None }), Some(account)) => {
            let taken = accounts::take_back(node, account, quote.charge(), TakeBackReason::CalledOff, (beside, beside)).await;
            taken.map_err(|failure| failure.map(Refusal::Account))?;
        }
        (Some(quote::Paid { payment: None }) | None, _) => {}
    }
    note(node, id, step(id, "unwound", 0), Command::NoteUnwound).await
}

/// The sales in other slots to which tickets of one have moved.
pub(super) async fn arrivals(node: &Node, sale: HoldId) -> Step<Vec<HoldId>> {
    let moved = |found: &slot::Sale| found.moves.iter().filter(|moved| moved.is_done()).map(|moved| moved.begun.arrival).collect::<Vec<_>>();
    let look = move |slot: &Slot| slot.sale_of(sale).map(moved).unwrap_or_default();
    match node.look(sale.slot(), look).await {
        Err(Failure::UnknownSlot(_)) => Ok(Vec::new()),
        seen => seen.map_err(|failure| of_slot(sale.slot(), failure)),
    }
}

/// Whether the account has got back what it was charged for places that are gone.
async fn is_taken_back(node: &Node, quote: &Quote, about: &About) -> Step<bool> {
    let (Some(account), of) = (about.account, quote.charge()) else { return Ok(false) };
    match node.look_account(account, move |account| account.was_taken_back(of, TakeBackReason::NotDelivered)).await {
        Ok(is_it) => Ok(is_it),
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(failure.map(Refusal::Account)),
    }
}

/// How a part is settled that is paid without a payment.
fn settlement_of(quote: &Quote, about: &About, part: &Part) -> Settlement {
    match about.account {
        Some(account) if !total(&part.lines).is_zero() => Settlement::Quoted { account, quote: quote.id() },
        _ => Settlement::Free,
    }
}

/// The sale that a part becomes whose option is gone.
fn anew(quote: &Quote, number: u16, slot: SlotId, salt: u8) -> HoldId {
    let random = digest(&[b"quoted", &quote.id().get().to_be_bytes(), &number.to_be_bytes(), &[salt]]);
    HoldId::new(slot, random.0 as u64)
}

/// The sale that a part has become, if it has: nothing is sold.
async fn sold_before(node: &Node, quote: &Quote, about: &About, part: &Part, (number, option): (u16, Option<HoldId>)) -> Step<Option<HoldId>> {
    let (slot, settlement) = (part.slot, settlement_of(quote, about, part));
    let sales: Vec<HoldId> = option.into_iter().chain((0..SALTS).map(|salt| anew(quote, number, slot, salt))).collect();
    let look = move |slot: &Slot| sales.iter().copied().find(|sale| slot.sale_of(*sale).is_some_and(|found| found.settlement == settlement));
    match node.look(slot, look).await {
        Err(Failure::UnknownSlot(_)) => Ok(None),
        found => found.map_err(|failure| of_slot(slot, failure)),
    }
}

/// The sale of a part: its option, or as many places anew at the same prices; none if there are none.
async fn sell(node: &Node, quote: &Quote, about: &About, part: &Part, (number, option): (u16, Option<HoldId>)) -> Step<Option<HoldId>> {
    let (slot, contact, settlement) = (part.slot, about.contact, settlement_of(quote, about, part));
    if let Some(hold) = option {
        let (owner, lines) = (Some(KeyId::SYSTEM), part.lines.clone());
        let command = slot::Command::SellPaid { hold, owner, lines, keeper: None, settlement: settlement.clone(), contact };
        match node.slot(slot, as_drafter(quote, "sell", hold.get()), command).await {
            Ok(_) => return Ok(Some(hold)),
            Err(Failure::Refused(slot::Refusal::HoldSold)) => return Ok(is_sold(node, hold, &settlement).await?.then_some(hold)),
            Err(Failure::Refused(_)) => {}
            Err(Failure::UnknownSlot(_)) => return Ok(None),
            Err(failure) => return Err(of_slot(slot, failure)),
        }
    }
    for salt in 0..SALTS {
        let sale = anew(quote, number, slot, salt);
        let (lines, channel) = (part.lines.clone(), Channel::Group);
        let command = slot::Command::SellDirect { sale, channel, lines, settlement: settlement.clone(), contact };
        match node.slot(slot, as_drafter(quote, "sell anew", sale.get()), command).await {
            Ok(_) => return Ok(Some(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_sold(node, sale, &settlement).await? => return Ok(Some(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) => {}
            Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => return Ok(None),
            Err(failure) => return Err(of_slot(slot, failure)),
        }
    }
    Ok(None)
}

async fn is_sold(node: &Node, sale: HoldId, settlement: &Settlement) -> Step<bool> {
    let settlement = settlement.clone();
    let is_it = move |slot: &Slot| slot.sale_of(sale).is_some_and(|found| found.settlement == settlement);
    node.look(sale.slot(), is_it).await.map_err(|failure| of_slot(sale.slot(), failure))
}
