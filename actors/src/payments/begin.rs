//! Who may begin a payment: its id follows from its key, its holds are kept for it alone, its buyer may have the places, its order has no other one. What is due is read
//! off the holds, and stays as it was then.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Envelope, PartyKind};
use tornello_engine::ids::{HoldId, KeyId, MuseumId, OrderId, PaymentId, PersonId, QuoteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::order;
use tornello_engine::payment::{self, Command, Extra, Item, Opened, Payment, Stage};
use tornello_engine::recall::Recall;
use tornello_engine::slot::{self, Keeper, Line, Slot, total};
use tornello_engine::time::Timestamp;

use super::settle::settlement_of;
use super::{Refusal, SALTS, Step, by, drive, of_payment, of_slot, step};
use crate::digest::digest;
use crate::failure::Failure;
use crate::limits::Aside;
use crate::node::Node;

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// To whom the money is due: the creditor's number in the settings.
    pub creditor: u16,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// The quote that it belongs to.
    pub quote: Option<QuoteId>,
    /// The holds that are paid for, all of one channel.
    pub holds: Vec<HoldId>,
    /// Whose holds they must be.
    pub owner: Option<KeyId>,
    /// Through which channel the places are sold.
    pub channel: Channel,
    /// What else is paid for.
    pub extras: Vec<Extra>,
    /// Who pays, kept apart under this number.
    pub payer: Option<PersonId>,
    /// To which museum the money belongs.
    pub museum: MuseumId,
    /// What the payer reads.
    pub subject: String,
    /// On which way the money is to come.
    pub gateway: payment::Gateway,
    /// From when on it can no longer be started to pay.
    pub due_at: Timestamp,
}

/// Begins a payment and drives it as far as it goes without money. A repeat of the caller's key within a day answers the payment that was begun the first time.
/// How it stands then is to be looked up: it is `created` until its gateway knows it, and `cancelled` if a hold was lost in the same moment.
///
/// Of several that begin for one hold at once, one has it: the holds are kept for the payment before it is written down. If it never is, they end as they would
/// have, and the next payment takes them over.
///
/// # Errors
/// What any of the streams says to it, `hold_kept` if another payment is under way for a hold; nothing is left of the payment then, but that its order may have
/// been placed.
pub async fn begin(node: &Node, envelope: Envelope, request: Request) -> Step<PaymentId> {
    let id = write_down(node, envelope, &request).await?;
    if let Err(failure) = drive(node, id).await {
        tracing::warn!(payment = %id, ?failure, "a payment was begun and will be driven on");
    }
    Ok(id)
}

/// Writes a payment down, unless the same request has done it before; meanwhile nobody else begins to pay for any of its holds.
async fn write_down(node: &Node, envelope: Envelope, request: &Request) -> Step<PaymentId> {
    let _turns = node.paying().beginning(&request.holds).await;
    let free = match request.quote {
        Some(quote) => free_id_of_quote(node, &envelope, request.creditor, quote).await?,
        None => free_id(node, &envelope, request.creditor).await?,
    };
    let Some((id, is_new)) = free else { return Err(Failure::Busy) };
    if !is_new {
        return Ok(id);
    }
    let opened = opened(node, &envelope, request).await?;
    room_for_named(node, &envelope, &opened).await?;
    if let Some(assessment) = &envelope.assessment {
        node.scoring().remember_payment(id, assessment);
    }
    let command = Command::Open { opened: Box::new(opened) };
    rehearse(id, node.now(), &command)?;
    if let Some(order) = request.order {
        let _beginning = node.paying().settling(order.get() as u64).lock().await;
        begin_in(node, order, id, &envelope, request).await?;
        let bound = bind(node, id, &request.holds, &envelope).await;
        if matches!(bound, Err(Failure::Refused(_))) {
            end_in(node, order, id, Stage::Blank).await?;
        }
        bound?;
        node.payment(id, envelope, command).await.map_err(of_payment)?;
    } else {
        bind(node, id, &request.holds, &envelope).await?;
        node.payment(id, envelope, command).await.map_err(of_payment)?;
    }
    Ok(id)
}

/// Keeps all holds for a payment that is about to be written down, or none: not if another one is under way for any of them. The options of a quote are the
/// quote's, which begins one payment after the other. A hold of nobody is from then on of the buyer whom the payment names.
async fn bind(node: &Node, id: PaymentId, holds: &[HoldId], named: &Envelope) -> Step<()> {
    let buyers: Vec<_> = named.parties.iter().filter(|party| party.kind == PartyKind::Buyer).copied().collect();
    let mut free = Vec::with_capacity(holds.len());
    for &hold in holds {
        let seen = node.look(hold.slot(), move |slot| (slot.hold_of(hold).and_then(|hold| hold.kept_for), slot.seq())).await;
        let (kept_for, seq) = seen.map_err(|failure| of_slot(hold, failure))?;
        match kept_for {
            Some(Keeper::Quote(_)) => {}
            Some(Keeper::Payment(payment)) if payment == id => {}
            Some(Keeper::Payment(payment)) if is_under_way(node, payment, hold).await? => {
                return Err(Failure::Refused(Refusal::Slot { hold, why: slot::Refusal::HoldKept { payment } }));
            }
            Some(Keeper::Payment(over)) => free.push((hold, Some(over), seq)),
            None => free.push((hold, None, seq)),
        }
    }
    for (hold, over, seq) in free {
        // The key follows from what the slot was: who binds again after another one had it is not answered with the first time.
        let key = digest(&[b"bind", &hold.get().to_be_bytes(), &id.get().to_be_bytes(), &seq.to_be_bytes()]);
        let envelope = Envelope { parties: buyers.clone(), formerly: named.formerly.clone(), ..by(key) };
        node.slot(hold.slot(), envelope, slot::Command::Bind { hold, payment: id, over }).await.map_err(|failure| of_slot(hold, failure))?;
    }
    Ok(())
}

/// Whether a payment may still make a sale of a hold. One that was never written down may not: its hold was kept for it, and then it went no further.
///
/// # Errors
/// Whatever keeps the payment from being asked.
pub async fn is_under_way(node: &Node, id: PaymentId, hold: HoldId) -> Step<bool> {
    match node.look_payment(id, move |payment| payment.needs(hold)).await {
        Err(Failure::Refused(payment::Refusal::UnknownPayment)) => Ok(false),
        seen => seen.map_err(of_payment),
    }
}

/// Whether an empty payment would open so.
fn rehearse(id: PaymentId, now: Timestamp, command: &Command) -> Step<()> {
    Payment::new(id).decide(now, command).map(drop).map_err(|why| Failure::Refused(Refusal::Payment(why)))
}

/// The id of the payment that this key begins, and whether it is yet to be written. Taken ids are passed over; none: too many are taken.
///
/// # Errors
/// `KeyReused` if the key has begun another payment.
pub async fn free_id(node: &Node, envelope: &Envelope, creditor: u16) -> Step<Option<(PaymentId, bool)>> {
    for salt in 0..SALTS {
        let id = numbered(envelope, creditor, salt);
        let asked = envelope.clone();
        match node.look_payment(id, move |payment| (payment.seq(), payment.recall(&asked))).await {
            Ok((0, _)) | Err(Failure::Refused(payment::Refusal::UnknownPayment)) => return Ok(Some((id, true))),
            Ok((_, Recall::Done { .. })) => return Ok(Some((id, false))),
            Ok((_, Recall::OtherBody)) => return Err(Failure::KeyReused),
            Ok((_, Recall::New)) => {}
            Err(failure) => return Err(of_payment(failure)),
        }
    }
    Ok(None)
}

/// As [`free_id`], for a flow that asks again also when its keys are forgotten: what this quote has under an id that follows from the key is what it began.
async fn free_id_of_quote(node: &Node, envelope: &Envelope, creditor: u16, quote: QuoteId) -> Step<Option<(PaymentId, bool)>> {
    for salt in 0..SALTS {
        let id = numbered(envelope, creditor, salt);
        match node.look_payment(id, move |payment| payment.opened().map(|opened| opened.quote)).await {
            Ok(None) | Err(Failure::Refused(payment::Refusal::UnknownPayment)) => return Ok(Some((id, true))),
            Ok(Some(of)) if of == Some(quote) => return Ok(Some((id, false))),
            Ok(Some(_)) => {}
            Err(failure) => return Err(of_payment(failure)),
        }
    }
    Ok(None)
}

fn numbered(envelope: &Envelope, creditor: u16, salt: u8) -> PaymentId {
    let number = digest(&[b"payment", &envelope.who.get().to_be_bytes(), &envelope.key.0.to_be_bytes(), &[salt]]);
    PaymentId::new(creditor, number.0 as u64)
}

/// What the holds say is due; refuses where a slot would not prolong one.
async fn opened(node: &Node, envelope: &Envelope, request: &Request) -> Step<Opened> {
    let mut items = Vec::with_capacity(request.holds.len());
    for &hold in &request.holds {
        let (owner, channel, until, now) = (request.owner, request.channel, request.due_at, node.now());
        let held = move |slot: &Slot| -> Result<Vec<Line>, slot::Refusal> {
            // Whose hold it is, then whether it lives.
            let found = slot.hold_of(hold).filter(|found| owner.map_or(found.who != KeyId::SYSTEM, |owner| owner == found.who));
            if found.is_none() && slot.hold_of(hold).is_some() {
                return Err(slot::Refusal::UnknownHold);
            }
            // Whether another payment is under way for it is asked when it is kept for this one: here the keeper that it has asks, or any.
            let cause = found.and_then(|found| found.kept_for).unwrap_or(Keeper::Payment(PaymentId::from_raw(0)));
            slot.decide(now, &slot::Command::Prolong { hold, until, cause })?;
            let found = found.ok_or(slot::Refusal::UnknownHold)?;
            if found.channel == channel { Ok(found.lines.clone()) } else { Err(slot::Refusal::SettlementNotAllowed { channel: found.channel }) }
        };
        let lines = node.look(hold.slot(), held).await.map_err(|failure| of_slot(hold, failure))?;
        let lines = lines.map_err(|why| Failure::Refused(Refusal::Slot { hold, why }))?;
        items.push(Item { hold, amount_cents: total(&lines), lines });
    }
    let extras: Cents = request.extras.iter().map(|extra| extra.price_cents.times(u32::from(extra.count))).sum();
    Ok(Opened {
        who: envelope.who,
        order: request.order,
        quote: request.quote,
        channel: request.channel,
        amount_cents: items.iter().map(|item| item.amount_cents).sum::<Cents>().plus(extras),
        items,
        extras: request.extras.clone(),
        payer: request.payer,
        museum: request.museum,
        subject: request.subject.clone(),
        gateway: request.gateway,
        due_at: request.due_at,
    })
}

/// Whether a buyer who is named when the payment begins, and was not when the places were held, may have them, all together and before any is kept: who pays is not to be
/// told afterwards. What is set aside meanwhile is given back at once: each hold that is kept asks for it again, and counts for the buyer from then on.
async fn room_for_named(node: &Node, envelope: &Envelope, opened: &Opened) -> Step<()> {
    if envelope.buyer().is_none() {
        return Ok(());
    }
    let mut asides: Vec<Aside> = Vec::new();
    let mut by_slot: BTreeMap<SlotId, Vec<(HoldId, Envelope, slot::Command)>> = BTreeMap::new();
    for item in opened.items.iter().filter(|item| node.limits_buyers(item.hold.slot())) {
        let (hold, settlement) = (item.hold, settlement_of(PaymentId::from_raw(0), item));
        let command = slot::Command::SellPaid { hold, owner: None, lines: item.lines.clone(), keeper: None, settlement, contact: None };
        // A key that no slot knows: nothing is asked of it but what a new command is asked.
        let key = digest(&[b"named late", &hold.get().to_be_bytes(), &envelope.key.0.to_be_bytes()]);
        let asked = Envelope { key, body: key, assessment: None, ..envelope.clone() };
        by_slot.entry(hold.slot()).or_default().push((hold, asked, command));
    }
    for (slot, asked) in by_slot {
        let Some(&(first, ..)) = asked.first() else { continue };
        let (now, these) = (node.now(), asked.clone());
        let look = move |slot: &Slot| too_many_together(slot, now, &these);
        if let Some((hold, why)) = node.look(slot, look).await.map_err(|failure| of_slot(first, failure))? {
            return Err(Failure::Refused(Refusal::Slot { hold, why }));
        }
        for (hold, asked, _) in &asked {
            // As it is asked when it is kept: by what the buyer has that day, and by their open holds.
            let bind = slot::Command::Bind { hold: *hold, payment: PaymentId::from_raw(0), over: None };
            asides.extend(node.set_aside(slot, asked, &bind).await.map_err(|failure| of_slot(*hold, failure))?);
        }
    }
    Ok(())
}

/// The first of some holds of a slot that would be too many for the buyer who is named, if those before it were sold; and why.
fn too_many_together(slot: &Slot, now: Timestamp, asked: &[(HoldId, Envelope, slot::Command)]) -> Option<(HoldId, slot::Refusal)> {
    // Nearly all pay for one hold of a slot: then nothing is sold before it, and the slot, which may have thousands of sales, need not be copied.
    let mut slot = Cow::Borrowed(slot);
    for (place, (hold, envelope, command)) in (1..).zip(asked) {
        let mut command = command.clone();
        // Whether another payment is under way for it is asked when it is kept for this one.
        if let (slot::Command::SellPaid { keeper, .. }, Some(Keeper::Payment(kept_for))) =
            (&mut command, slot.hold_of(*hold).and_then(|found| found.kept_for))
        {
            *keeper = Some(kept_for);
        }
        match slot.decide_for(now, envelope, &command) {
            Ok(events) if place < asked.len() => {
                let record = slot.record(now, Some(envelope.clone()), events);
                slot.to_mut().apply(&record);
            }
            Ok(_) => {}
            Err(why @ slot::Refusal::TooManyForBuyer { .. }) => return Some((*hold, why)),
            Err(_) => {}
        }
    }
    None
}

/// Whether a slot limits how many places a buyer has in it, or on its day; how many open holds makes no difference to who has paid.
pub(super) fn limits_places(node: &Node, slot: SlotId) -> bool {
    let limits = |policy: slot::Policy| policy.limits.tickets_max.is_some() || policy.limits.day_max.is_some();
    node.board().head(slot).is_some_and(|head| limits(head.policy))
}

/// Writes in the order that a payment is under way. If the order still has another one that has ended meanwhile, or was never written, that is noted first.
async fn begin_in(node: &Node, id: OrderId, payment: PaymentId, envelope: &Envelope, request: &Request) -> Step<()> {
    let (items, contact) = (request.holds.clone(), request.payer);
    let command = order::Command::BeginPayment { who: envelope.who, payment, items, contact };
    for _ in 0..2 {
        match node.order(id, step(payment, "order", node.now().as_micros() as u64), command.clone()).await {
            Ok(_) => return Ok(()),
            Err(Failure::Refused(order::Refusal::PaymentUnderWay { payment: other })) => match node.look_payment(other, Payment::stage).await {
                Ok(stage) if stage.is_open() => return Err(Failure::Refused(Refusal::Order(order::Refusal::PaymentUnderWay { payment: other }))),
                Ok(stage) => end_in(node, id, other, stage).await?,
                Err(Failure::Refused(payment::Refusal::UnknownPayment)) => end_in(node, id, other, Stage::Blank).await?,
                Err(failure) => return Err(of_payment(failure)),
            },
            Err(failure) => return Err(failure.map(Refusal::Order)),
        }
    }
    Err(Failure::Busy)
}

/// Notes in the order how a payment ended. Each time is asked anew: one that was never written down may have begun again since it ended.
pub(super) async fn end_in(node: &Node, id: OrderId, payment: PaymentId, stage: Stage) -> Step<()> {
    let paid = matches!(stage, Stage::Paid { .. });
    let command = order::Command::EndPayment { payment, paid };
    let name = if paid { "order-paid" } else { "order-end" };
    match node.order(id, step(payment, name, node.now().as_micros() as u64), command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(failure.map(Refusal::Order)),
    }
}
