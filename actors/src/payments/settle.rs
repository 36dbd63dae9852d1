//! What is paid becomes tickets: each item a sale of its hold, or of as many places anew if the hold is gone, or else a refund; and what vouchers take goes back to them.
//! No gateway is asked here.

use std::borrow::Cow;
use std::ops::ControlFlow;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{HoldId, KeyId, PaymentId, SlotId, VoucherId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Command, Item, Opened, PaidBackBy};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Keeper, Settlement, Slot};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher;

use super::begin::{end_in, is_under_way, limits_places};
use super::{ROUNDS, Refusal, SALTS, Step, left_of, note, of_slot, step};
use crate::digest::{digest, mark_of};
use crate::failure::Failure;
use crate::history::end_due;
use crate::journal::{JournalError, StreamId};
use crate::node::Node;
use crate::pauses::go_on;
use crate::quotes;
use crate::streams::{read_failed, record_of, visit};

/// Makes tickets, or refunds, of all that is paid, and puts back what vouchers take; asks no gateway.
pub(super) async fn settle(node: &Node, id: PaymentId) -> Step<()> {
    let _settling = node.paying().settling(id.get()).lock().await;
    for _ in 0..ROUNDS {
        let Some((opened, stage, work)) = left_of(node, id).await? else { return Ok(()) };
        if let Some(order) = opened.order.filter(|_| !stage.is_open()) {
            end_in(node, order, id, stage).await?;
        }
        if work.is_settled() {
            return Ok(());
        }
        // A quote is asked before its tickets are made: it may be paid already, or be of something else by now.
        let takes = match opened.quote.filter(|_| !work.items.is_empty()) {
            Some(quote) => {
                quotes::takes_money(node, quote, id).await.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::NotPaid)))?
            }
            None => true,
        };
        let mut left = Ok(());
        for item in work.items {
            let ended = if takes {
                fulfil(node, id, &opened, item).await
            } else {
                let command = Command::Forgo { item, why: slot::Refusal::HoldReleased };
                note(node, id, step(id, "forgo", u64::from(item)), command).await
            };
            left = go_on(node, left, ended)?;
        }
        for (refund, voucher, amount_cents) in work.vouchers {
            left = go_on(node, left, restore(node, id, refund, voucher, amount_cents).await)?;
        }
        left?;
    }
    Err(Failure::Busy)
}

/// Makes a sale of an item, or a refund.
async fn fulfil(node: &Node, id: PaymentId, opened: &Opened, number: u16) -> Step<()> {
    let Some(item) = opened.items.get(usize::from(number)) else { return Ok(()) };
    let command = match sell(node, id, opened, number, item).await? {
        Ok(sale) => Command::Fulfil { item: number, sale },
        Err(why) => Command::Forgo { item: number, why },
    };
    let name = if matches!(command, Command::Fulfil { .. }) { "fulfil" } else { "forgo" };
    note(node, id, step(id, name, u64::from(number)), command).await
}

/// The sale of an item: its hold, or as many places anew at the frozen prices; or why there are none.
async fn sell(node: &Node, id: PaymentId, opened: &Opened, number: u16, item: &Item) -> Step<Result<HoldId, slot::Refusal>> {
    let slot = item.hold.slot();
    let settlement = settlement_of(id, item);
    let contact = opened.payer;
    // A sale without a hold is of whoever asked for the payment, and of its order.
    let assessment = assessment_of(node, id).await?;
    let as_buyer = |name: &str, number: u64, parties: &[Party]| {
        let (who, order, assessment, parties) = (opened.who, opened.order, assessment.clone(), parties.to_vec());
        Envelope { who, order, assessment, parties, ..step(id, name, number) }
    };
    let of_quote = match opened.quote {
        Some(quote) => quotes::parties_of(node, quote).await.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::NotPaid)))?,
        None => Vec::new(),
    };
    // What was sold anew before stays so, whatever has become of the hold since.
    let (hold, of_it) = (item.hold, settlement.clone());
    // The options of a quote are the system's.
    let owner = opened.quote.map(|_| KeyId::SYSTEM);
    let look = move |slot: &Slot| {
        let is_it = |sale: &HoldId| slot.sale_of(*sale).is_some_and(|sale| sale.settlement == of_it);
        let sold = (0..SALTS).map(|salt| anew(id, number, slot.id(), salt)).find(is_it);
        let held = slot.hold_of(hold);
        (sold, held.is_some_and(|hold| hold.buyer.is_none()), held.and_then(|hold| hold.kept_for))
    };
    let (sold, is_unnamed, kept_for) = match node.look(slot, look).await {
        Err(Failure::UnknownSlot(_)) => return Ok(Err(slot::Refusal::UnknownSlot)),
        other => other.map_err(|failure| of_slot(hold, failure))?,
    };
    if let Some(sale) = sold {
        return Ok(Ok(sale));
    }
    // Who was named when the payment began buys a hold that nobody was named for; any other is of whoever held it.
    let mut named = if limits_places(node, slot) && is_unnamed { named_in(node, id).await? } else { Vec::new() };
    named.extend(&of_quote);
    // What another payment is under way for by now is left to that one, however late this one's money is.
    let keeper = match kept_for {
        Some(Keeper::Payment(other)) if other != id => (!is_under_way(node, other, hold).await?).then_some(other),
        _ => Some(id),
    };
    let command = slot::Command::SellPaid { hold, owner, lines: item.lines.clone(), keeper, settlement: settlement.clone(), contact };
    match node.slot(slot, as_buyer("sell", u64::from(number), &named), command).await {
        Ok(_) => return Ok(Ok(hold)),
        Err(Failure::Refused(slot::Refusal::HoldSold)) => {
            // By this step, a day ago; or by somebody else who has paid for the same hold.
            let is_ours = is_settled(node, hold, &settlement, step(id, "sell", u64::from(number)).key).await?;
            return Ok(if is_ours { Ok(hold) } else { Err(slot::Refusal::HoldSold) });
        }
        Err(Failure::Refused(_)) => {}
        Err(failure) => return Err(of_slot(hold, failure)),
    }
    // Places that are sold anew are bought by whoever held them, or late money would buy what the buyer may not have. A look that was asked for when they were held is due as
    // if they still were.
    let taken = taken_of(node, hold).await?;
    let is_paid = matches!(settlement, Settlement::Payment { .. });
    let of_hold = taken.said.filter(|held| is_paid && assessment.as_ref().is_none_or(|paid| held.outcome > paid.outcome));
    let mut named = match node.day_limits().buyer_of(hold) {
        Some(pseudonym) => vec![Party { kind: PartyKind::Buyer, pseudonym }],
        // Where somebody must be named, whoever held it was, by a device at least.
        None => {
            let mut holder = taken.parties;
            let is_asked = limits_places(node, slot) || node.board().head(slot).is_some_and(|head| head.policy.limits.buyer_required);
            if is_asked && !holder.iter().any(|party| party.kind == PartyKind::Buyer) {
                holder.extend(named_in(node, id).await?);
            }
            holder
        }
    };
    // Nothing else says of a sale without its hold whose card paid for it, or from which device.
    let of_payment = first_envelope(node, id).await.map_err(|error| read_failed(&error))?.map(|first| first.parties).unwrap_or_default();
    let others: Vec<Party> = of_payment.into_iter().filter(|party| party.kind != PartyKind::Buyer && !named.contains(party)).collect();
    named.extend(others.into_iter().chain(of_quote));
    for salt in 0..SALTS {
        let sale = anew(id, number, slot, salt);
        let (lines, channel) = (item.lines.clone(), opened.channel);
        let key = step(id, "sell-anew", u64::from(number) << 8 | u64::from(salt)).key;
        let command = slot::Command::SellDirect { sale, channel, lines, settlement: settlement.clone(), contact };
        let mut buying = as_buyer("sell-anew", u64::from(number) << 8 | u64::from(salt), &named);
        if of_hold.is_some() {
            buying.assessment.clone_from(&of_hold);
        }
        match node.slot(slot, buying, command).await {
            Ok(_) => return Ok(Ok(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_settled(node, sale, &settlement, key).await? => return Ok(Ok(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) => {}
            Err(Failure::Refused(why)) => return Ok(Err(why)),
            Err(failure) => return Err(of_slot(sale, failure)),
        }
    }
    Ok(Err(slot::Refusal::IdTaken))
}

/// Why what a payment is for is not to be had any more, if that is so now: the first of its holds that is gone, and as many places with it. What is still held is not asked about,
/// whoever keeps it. Nothing is done by this: for money that comes all the same places are looked for as ever.
///
/// # Errors
/// Whatever keeps the payment, or the slot of one of its holds, from being asked.
pub async fn gone(node: &Node, id: PaymentId) -> Step<Option<(HoldId, slot::Refusal)>> {
    let Some((opened, ..)) = left_of(node, id).await? else { return Ok(None) };
    let now = node.now();
    for (number, item) in (0_u16..).zip(&opened.items) {
        let (hold, lines, channel) = (item.hold, item.lines.clone(), opened.channel);
        let (sale, settlement) = (anew(id, number, hold.slot(), 0), settlement_of(id, item));
        let command = slot::Command::SellDirect { sale, channel, lines, settlement, contact: None };
        let why = node.look(hold.slot(), move |slot| why_gone(slot, now, hold, &command)).await.map_err(|failure| of_slot(hold, failure))?;
        if let Some(why) = why {
            return Ok(Some((hold, why)));
        }
    }
    Ok(None)
}

/// Why a hold and as many places, which the command asks for, are gone.
fn why_gone(slot: &Slot, now: Timestamp, hold: HoldId, command: &slot::Command) -> Option<slot::Refusal> {
    match slot.held(now, hold, None) {
        Ok(_) => return None,
        Err(why @ slot::Refusal::HoldSold) => return Some(why),
        Err(_) => {}
    }
    // What is due is ended before anything is sold.
    let mut slot = Cow::Borrowed(slot);
    if slot.wake_at().is_some_and(|at| at <= now) {
        end_due(slot.to_mut(), now);
    }
    let is_of_places =
        |why: &slot::Refusal| matches!(why, slot::Refusal::NotEnoughPlaces { .. } | slot::Refusal::SaleOver { .. } | slot::Refusal::SlotOver { .. });
    slot.decide(now, command).err().filter(is_of_places)
}

pub(super) const fn settlement_of(id: PaymentId, item: &Item) -> Settlement {
    if item.amount_cents.is_zero() { Settlement::Free } else { Settlement::Payment { id } }
}

/// What was said of the payment when it began, for its sales: after a restart it is read where it was written. While that cannot be read nothing is sold: a sale that is to
/// be reviewed would be made without.
async fn assessment_of(node: &Node, id: PaymentId) -> Step<Option<Box<Assessment>>> {
    if let Some(known) = node.scoring().of_payment(id) {
        return Ok(Some(known));
    }
    let first = first_envelope(node, id).await.map_err(|error| read_failed(&error))?;
    Ok(first.and_then(|envelope| envelope.assessment))
}

/// Who was named as the buyer when a payment began, by each pseudonym.
async fn named_in(node: &Node, id: PaymentId) -> Step<Vec<Party>> {
    let first = first_envelope(node, id).await.map_err(|error| read_failed(&error))?;
    let parties = first.map(|envelope| envelope.parties).unwrap_or_default();
    Ok(parties.into_iter().filter(|party| party.kind == PartyKind::Buyer).collect())
}

/// What is known of places from when they were held or waited for.
#[derive(Debug, Default)]
struct Taken {
    /// Who was named as the buyer, by each pseudonym, and the devices.
    parties: Vec<Party>,
    /// What was said of it.
    said: Option<Box<Assessment>>,
}

/// What is known of places from the record by which they were held or waited for: of a hold that is gone nobody else may know.
async fn taken_of(node: &Node, hold: HoldId) -> Step<Taken> {
    let takes = |event: &slot::Event| match event {
        slot::Event::Held(held) => held.hold == hold,
        slot::Event::Waited(waited) => waited.entry == hold,
        _ => false,
    };
    let mut taken = Taken::default();
    let look = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
        if !record.events.iter().any(takes) {
            return Ok(ControlFlow::Continue(()));
        }
        taken = record.envelope.map(|envelope| Taken { parties: envelope.parties, said: envelope.assessment }).unwrap_or_default();
        Ok(ControlFlow::Break(()))
    };
    visit(node.journal().as_ref(), StreamId::Slot(hold.slot()), 0, look).await.map_err(|error| read_failed(&error))?;
    taken.parties.retain(|party| matches!(party.kind, PartyKind::Buyer | PartyKind::Device));
    Ok(taken)
}

/// The envelope of the command that began a payment.
async fn first_envelope(node: &Node, id: PaymentId) -> Result<Option<Envelope>, JournalError> {
    let first = record_of::<payment::Event>(node.journal().as_ref(), StreamId::Payment(id), 1).await?;
    Ok(first.and_then(|first| first.envelope))
}

/// The sale that an item becomes whose hold is gone.
fn anew(id: PaymentId, number: u16, slot: SlotId, salt: u8) -> HoldId {
    let random = digest(&[b"sale", &id.get().to_be_bytes(), &number.to_be_bytes(), &[salt]]);
    HoldId::new(slot, random.0 as u64)
}

/// Whether a sale was made by the step with that key, which the slot may not recall any more. One for nothing does not say which payment it is of: then the
/// journal does.
async fn is_settled(node: &Node, sale: HoldId, settlement: &Settlement, key: Digest) -> Step<bool> {
    let of_it = settlement.clone();
    let is_it = move |slot: &Slot| slot.sale_of(sale).is_some_and(|found| found.settlement == of_it);
    let found = node.look(sale.slot(), is_it).await.map_err(|failure| of_slot(sale, failure))?;
    if !found || *settlement != Settlement::Free {
        return Ok(found);
    }
    let stream = StreamId::Slot(sale.slot());
    let sells = |event: &slot::Event| matches!(event, slot::Event::Sold(sold) if sold.sale == sale);
    let mut is_ours = false;
    let look = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
        is_ours = record.envelope.as_ref().is_some_and(|envelope| envelope.key == key) && record.events.iter().any(sells);
        Ok(if is_ours { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    visit(node.journal().as_ref(), stream, 0, look).await.map_err(|error| read_failed(&error))?;
    Ok(is_ours)
}

/// Puts a refund back on the voucher that its money came from.
async fn restore(node: &Node, id: PaymentId, refund: u32, voucher: VoucherId, amount_cents: Cents) -> Step<()> {
    let command = voucher::Command::Restore { payment: id, refund, amount_cents };
    match node.voucher(voucher, step(id, "restore", u64::from(refund)), command).await {
        Ok(_) | Err(Failure::Refused(voucher::Refusal::AlreadyRestored)) => {}
        Err(failure) => return Err(failure.map(Refusal::Voucher)),
    }
    let (by, reference, executed_on) = (PaidBackBy::Voucher { voucher }, mark_of(voucher), calendar::local_day(node.now()));
    note(node, id, step(id, "restored", u64::from(refund)), Command::ConfirmRefund { refund, by, reference, executed_on }).await
}
