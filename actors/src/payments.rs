//! Payments over slots: a flow whose journal is the payment, each of whose steps is a command with a key that follows from the flow. The rules of the steps are
//! in `engine::payment`; what is left to do at any moment is what `Payment::work` says, so whoever drives a payment, at once or after a crash, begins with that.
//!
//! Holds are kept for a payment, it is written down, its holds are prolonged, its gateway is told: then it can be paid. Money is journaled before anything else is done with it. Each
//! item then becomes a sale of its hold, or of as many places anew if the hold is gone, or else a refund. While the outcome of a step is unknown it is asked
//! again, never taken back: it might have been written. After a day keys are forgotten; then the slot itself says, by the settlement of its sale, whether the
//! step was taken. Whoever waits for a gateway keeps nobody from the tickets: what is paid is settled apart, and first. A payment that is cancelled
//! or expires is closed at its gateway, and releases no hold: somebody else may keep it.

mod board;

pub use board::{PaymentHead, Payments};

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tornello_engine::account::{ChargeOf, TakeBackReason};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, OrderId, PaymentId, PersonId, QuoteId, SlotId, VoucherId};
use tornello_engine::money::Cents;
use tornello_engine::order;
use tornello_engine::payment::{self, Closing, Command, Extra, Item, Opened, PaidBackBy, Payment, Receipt, Source, Stage, Work};
use tornello_engine::quote::Quote;
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Keeper, Line, Settlement, Slot, total};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher;

use crate::accounts;
use crate::digest::{digest, mark_of};
use crate::failure::Failure;
use crate::journal::{JournalError, StreamId};
use crate::limits::Aside;
use crate::node::Node;
use crate::owner::Answer;
use crate::pauses::{Pauses, RESUME_EVERY_S};
use crate::quotes;
use crate::streams::{read_failed, record_of, visit};

/// How long somebody may pay who has begun, in seconds: the life of a payment token unless its provider says less (SANP, best practice for PSPs).
pub const TOKEN_S: i64 = 1_800;
/// How many payments may be driven at once without waiting for each other by chance.
const LOCKS: usize = 1_024;
/// How many are driven at once without anybody waiting for them; others are left to be resumed.
const DRIVEN: usize = 64;
/// How many are resumed at once.
const RESUMED: usize = 16;
/// How many ids are tried for a new payment.
const SALTS: u8 = 16;
/// How often a driver looks what is left to do before it leaves the rest for later.
const ROUNDS: usize = 6;
/// The longest way that tickets have moved which is followed back.
const MOVES_MAX: usize = 256;

/// Why a gateway did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Whether it was done is not known, or it could not be done now: ask again.
    #[error("the gateway cannot be asked now: {0}")]
    Later(String),
    /// It will never be done.
    #[error("the gateway says no: {0}")]
    Never(Code),
}

/// Where a payer goes back to from Checkout. Coming back proves nothing: only a receipt does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returns {
    /// After a payment.
    pub ok: String,
    /// Who has thought better of it.
    pub cancelled: String,
    /// When something failed.
    pub error: String,
    /// When it is not known yet (version 2 of the carts).
    pub waiting: String,
}

/// Several payments that one payer makes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// What is due, up to five.
    pub payments: Vec<(PaymentId, Opened)>,
    /// Where the payer goes then.
    pub returns: Returns,
}

/// What knows positions at pagoPA. Every call may be repeated: what was done before is done.
pub trait Gateway: Send + Sync + 'static {
    /// Lets a payment be payable. One that is known there already is.
    fn publish<'a>(&'a self, payment: PaymentId, opened: &'a Opened) -> BoxFuture<'a, Result<(), GatewayError>>;
    /// Lets it be payable no more. One that is not known there is not.
    fn withdraw(&self, payment: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>>;
    /// Says that it was paid on another way.
    fn paid_elsewhere<'a>(&'a self, payment: PaymentId, receipt: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>>;
    /// Where to send the payer's browser.
    fn checkout<'a>(&'a self, cart: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>>;
}

/// Who says no in a flow over several kinds of stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The payment.
    Payment(payment::Refusal),
    /// The slot of a hold.
    Slot {
        /// Which hold.
        hold: HoldId,
        /// Why.
        why: slot::Refusal,
    },
    /// The order.
    Order(order::Refusal),
    /// The voucher.
    Voucher(voucher::Refusal),
}

/// What a step of a payment's flow answers.
pub type Step<T> = Result<T, Failure<Refusal>>;

/// Sees to it that one caller begins to pay for a hold, settles a payment, or begins one of an order, and one tells its gateway, at a time. They do not wait for each
/// other, but that who begins to pay for holds may wait for an order.
#[derive(Debug)]
pub struct Paying {
    beginning: [Mutex<()>; LOCKS],
    settling: [Mutex<()>; LOCKS],
    telling: [Mutex<()>; LOCKS],
    driven: Arc<Semaphore>,
}

impl Default for Paying {
    fn default() -> Self {
        let locks = || std::array::from_fn(|_| Mutex::default());
        Self { beginning: locks(), settling: locks(), telling: locks(), driven: Arc::new(Semaphore::new(DRIVEN)) }
    }
}

impl Paying {
    /// Waits until nobody else begins to pay for any of these holds. Everybody waits in the same order, so that nobody waits for ever.
    async fn beginning(&self, holds: &[HoldId]) -> Vec<MutexGuard<'_, ()>> {
        let mut places: Vec<usize> = holds.iter().map(|hold| Self::place(hold.get() as u64)).collect();
        places.sort_unstable();
        places.dedup();
        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            turns.push(self.beginning[place].lock().await);
        }
        turns
    }

    fn settling(&self, key: u64) -> &Mutex<()> {
        &self.settling[Self::place(key)]
    }

    fn telling(&self, key: u64) -> &Mutex<()> {
        &self.telling[Self::place(key)]
    }

    const fn place(key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % LOCKS
    }
}

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
    let _aside = room_for_named(node, &envelope, &opened).await?;
    if let Some(assessment) = &envelope.assessment {
        node.scoring().remember_payment(id, assessment);
    }
    let command = Command::Open { opened: Box::new(opened) };
    rehearse(id, node.now(), &command)?;
    if let Some(order) = request.order {
        let _beginning = node.paying().settling(order.get() as u64).lock().await;
        begin_in(node, order, id, &envelope, request).await?;
        let bound = bind(node, id, &request.holds).await;
        if matches!(bound, Err(Failure::Refused(_))) {
            end_in(node, order, id, Stage::Blank).await?;
        }
        bound?;
        node.payment(id, envelope, command).await.map_err(of_payment)?;
    } else {
        bind(node, id, &request.holds).await?;
        node.payment(id, envelope, command).await.map_err(of_payment)?;
    }
    Ok(id)
}

/// Keeps all holds for a payment that is about to be written down, or none: not if another one is under way for any of them. The options of a quote are the
/// quote's, which begins one payment after the other.
async fn bind(node: &Node, id: PaymentId, holds: &[HoldId]) -> Step<()> {
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
        node.slot(hold.slot(), by(key), slot::Command::Bind { hold, payment: id, over }).await.map_err(|failure| of_slot(hold, failure))?;
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

/// Whether a buyer who is named when the payment begins, and was not when the places were held, may have them: who pays is not to be told afterwards. They count for
/// the buyer when they are sold, and are set aside until the payment has begun.
async fn room_for_named(node: &Node, envelope: &Envelope, opened: &Opened) -> Step<Vec<Aside>> {
    let mut asides = Vec::new();
    if envelope.buyer().is_none() {
        return Ok(asides);
    }
    let mut by_slot: BTreeMap<SlotId, Vec<(HoldId, Envelope, slot::Command)>> = BTreeMap::new();
    for item in opened.items.iter().filter(|item| limits_buyers(node, item.hold.slot())) {
        let (hold, settlement) = (item.hold, settlement_of(PaymentId::from_raw(0), item));
        let command = slot::Command::SellPaid { hold, owner: None, lines: item.lines.clone(), settlement, contact: None };
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
        for (hold, asked, command) in &asked {
            asides.extend(node.set_aside(slot, asked, command).await.map_err(|failure| of_slot(*hold, failure))?);
        }
    }
    Ok(asides)
}

/// The first of some holds of a slot that would be too many for the buyer who is named, if those before it were sold; and why.
fn too_many_together(slot: &Slot, now: Timestamp, asked: &[(HoldId, Envelope, slot::Command)]) -> Option<(HoldId, slot::Refusal)> {
    let mut slot = slot.clone();
    for (hold, envelope, command) in asked {
        match slot.decide_for(now, envelope, command) {
            Ok(events) => {
                let record = slot.record(now, Some(envelope.clone()), events);
                slot.apply(&record);
            }
            Err(why @ slot::Refusal::TooManyForBuyer { .. }) => return Some((*hold, why)),
            Err(_) => {}
        }
    }
    None
}

/// Whether a slot limits how many places a buyer has in it, or on its day.
fn limits_buyers(node: &Node, slot: SlotId) -> bool {
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
async fn end_in(node: &Node, id: OrderId, payment: PaymentId, stage: Stage) -> Step<()> {
    let paid = matches!(stage, Stage::Paid { .. });
    let command = order::Command::EndPayment { payment, paid };
    let name = if paid { "order-paid" } else { "order-end" };
    match node.order(id, step(payment, name, node.now().as_micros() as u64), command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(failure.map(Refusal::Order)),
    }
}

/// Takes money in and answers when it is on the disk; tickets are made of it by themselves. The same receipt again is refused with `receipt_duplicate`.
///
/// # Errors
/// What the payment says to it. Unless that is a refusal, whoever sent the receipt is to send it again.
pub async fn receive(node: &Arc<Node>, id: PaymentId, receipt: Receipt) -> Step<()> {
    let token = receipt.id.clone();
    if node.look_payment(id, move |payment| payment.has_receipt(&token)).await.map_err(of_payment)? {
        return Err(Failure::Refused(Refusal::Payment(payment::Refusal::ReceiptDuplicate)));
    }
    let key = step(id, "receipt", digest(&[receipt.id.as_bytes()]).0 as u64);
    node.payment(id, key, Command::Receive { receipt }).await.map_err(of_payment)?;
    drive_alone(node, id);
    Ok(())
}

/// Notes that somebody begins to pay, and keeps the places as long as they may take; as far as the slots allow. Nothing is written for whoever begins again at
/// once: the node asks as often as somebody shows it the notice.
///
/// # Errors
/// What the payment says to it: whether it is payable at all.
pub async fn activate(node: &Node, id: PaymentId, until: Timestamp) -> Step<()> {
    let now = node.now();
    let look = move |payment: &Payment| payment.activates(now, until).map(|anew| (anew, payment.opened().map(|opened| opened.items.clone())));
    let looked = node.look_payment(id, look).await.map_err(of_payment)?;
    let (anew, items) = looked.map_err(|why| Failure::Refused(Refusal::Payment(why)))?;
    // Those who ask in the same moment have not seen each other: one of a minute is written.
    let minute = until.as_micros().div_euclid(60_000_000);
    if anew {
        node.payment(id, step(id, "activate", minute.cast_unsigned()), Command::Activate { until }).await.map_err(of_payment)?;
    }
    for item in items.unwrap_or_default() {
        let (hold, cause) = (item.hold, Keeper::Payment(id));
        if node.look(hold.slot(), move |slot| slot.is_kept(now, hold, until, cause)).await.unwrap_or(false) {
            continue;
        }
        if let Err(failure) = prolong(node, id, hold, until, minute).await {
            tracing::warn!(payment = %id, %hold, ?failure, "a hold is not prolonged for somebody who pays");
        }
    }
    Ok(())
}

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

/// Cancels a payment that waits for money, and closes it at its gateway. No hold is released.
///
/// # Errors
/// What the payment says to it.
pub async fn cancel(node: &Node, id: PaymentId, envelope: Envelope, owner: Option<KeyId>, cause: Code) -> Step<()> {
    node.payment(id, envelope, Command::Cancel { owner, cause }).await.map_err(of_payment)?;
    if let Err(failure) = drive(node, id).await {
        tracing::warn!(payment = %id, ?failure, "a payment was cancelled and will be closed at its gateway");
    }
    Ok(())
}

/// Drives a payment while its caller goes on. If too many are driven so already, it is left to be resumed.
fn drive_alone(node: &Arc<Node>, id: PaymentId) {
    let Ok(turn) = Arc::clone(&node.paying().driven).try_acquire_owned() else { return };
    let node = Arc::clone(node);
    tokio::spawn(async move {
        if let Err(failure) = drive(&node, id).await {
            tracing::warn!(payment = %id, ?failure, "a payment is not settled yet and will be resumed");
        }
        drop(turn);
    });
}

/// Drives a payment as far as it goes by itself, from wherever it stands. What is paid for comes before what a gateway has to hear.
///
/// # Errors
/// Whatever keeps a step from being taken or its outcome from being known. Nothing is lost: the payment stands where it stood, or some steps further.
pub async fn drive(node: &Node, id: PaymentId) -> Step<()> {
    for _ in 0..ROUNDS {
        settle(node, id).await?;
        if tell(node, id).await? {
            return Ok(());
        }
    }
    Err(Failure::Busy)
}

/// As [`drive`], but what the gateway of a position is to hear is left for later.
async fn drive_without_gateway(node: &Node, id: PaymentId) -> Step<()> {
    let is_position = |payment: &Payment| payment.opened().is_some_and(|opened| opened.gateway.is_position());
    if node.look_payment(id, is_position).await.map_err(of_payment)? { settle(node, id).await } else { drive(node, id).await }
}

/// What a payment is, how it stands and what is left to do.
async fn left_of(node: &Node, id: PaymentId) -> Step<Option<(Opened, Stage, Work)>> {
    node.look_payment(id, |payment| Some((payment.opened()?.clone(), payment.stage(), payment.work()))).await.map_err(of_payment)
}

/// Makes tickets, or refunds, of all that is paid, and puts back what vouchers take; asks no gateway.
async fn settle(node: &Node, id: PaymentId) -> Step<()> {
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
        for item in work.items {
            if takes {
                fulfil(node, id, &opened, item).await?;
            } else {
                let command = Command::Forgo { item, why: slot::Refusal::HoldReleased };
                note(node, id, step(id, "forgo", u64::from(item)), command).await?;
            }
        }
        for (refund, voucher, amount_cents) in work.vouchers {
            restore(node, id, refund, voucher, amount_cents).await?;
        }
    }
    Err(Failure::Busy)
}

/// Tells the gateway what it is to hear; answers whether that was nothing.
async fn tell(node: &Node, id: PaymentId) -> Step<bool> {
    let _telling = node.paying().telling(id.get()).lock().await;
    let Some((opened, _, work)) = left_of(node, id).await? else { return Ok(true) };
    if work.publish {
        publish(node, id, &opened).await?;
    }
    if let Some(closing) = work.close {
        close(node, id, &opened, closing).await?;
    }
    Ok(!work.publish && work.close.is_none())
}

/// Writes a fact in a payment. One that it refuses came too late: what is to be done then is looked up anew.
async fn note(node: &Node, id: PaymentId, envelope: Envelope, command: Command) -> Step<()> {
    match node.payment(id, envelope, command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(of_payment(failure)),
    }
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
async fn prolong(node: &Node, id: PaymentId, hold: HoldId, until: Timestamp, turn: i64) -> Step<()> {
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
    let receipt = Receipt {
        id: mark_of(voucher),
        source: Source::Voucher { voucher },
        amount_cents,
        paid_at: node.now(),
        psp: String::new(),
        channel: String::new(),
        method: String::new(),
        stand_in: false,
        fee_cents: None,
    };
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
    let assessment = assessment_of(node, id).await;
    let as_buyer = |name: &str, number: u64, parties: &[Party]| {
        let (who, order, assessment, parties) = (opened.who, opened.order, assessment.clone(), parties.to_vec());
        Envelope { who, order, assessment, parties, ..step(id, name, number) }
    };
    // What was sold anew before stays so, whatever has become of the hold since.
    let (hold, of_it) = (item.hold, settlement.clone());
    // The options of a quote are the system's.
    let owner = opened.quote.map(|_| KeyId::SYSTEM);
    let look = move |slot: &Slot| {
        let is_it = |sale: &HoldId| slot.sale_of(*sale).is_some_and(|sale| sale.settlement == of_it);
        let sold = (0..SALTS).map(|salt| anew(id, number, slot.id(), salt)).find(is_it);
        (sold, slot.hold_of(hold).is_some_and(|hold| hold.buyer.is_none()))
    };
    let (sold, is_unnamed) = match node.look(slot, look).await {
        Err(Failure::UnknownSlot(_)) => return Ok(Err(slot::Refusal::UnknownSlot)),
        other => other.map_err(|failure| of_slot(hold, failure))?,
    };
    if let Some(sale) = sold {
        return Ok(Ok(sale));
    }
    // Who was named when the payment began buys a hold that nobody was named for; any other is of whoever held it.
    let named = if limits_buyers(node, slot) && is_unnamed { named_in(node, id).await? } else { Vec::new() };
    let command = slot::Command::SellPaid { hold, owner, lines: item.lines.clone(), settlement: settlement.clone(), contact };
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
    // Places that are sold anew are bought by whoever held them, or late money would buy what the buyer may not have.
    let named = match node.day_limits().buyer_of(hold) {
        Some(pseudonym) => vec![Party { kind: PartyKind::Buyer, pseudonym }],
        None if limits_buyers(node, slot) => {
            let holder = held_by(node, hold).await?;
            if holder.is_empty() { named_in(node, id).await? } else { holder }
        }
        None => Vec::new(),
    };
    for salt in 0..SALTS {
        let sale = anew(id, number, slot, salt);
        let (lines, channel) = (item.lines.clone(), opened.channel);
        let key = step(id, "sell-anew", u64::from(number) << 8 | u64::from(salt)).key;
        let command = slot::Command::SellDirect { sale, channel, lines, settlement: settlement.clone(), contact };
        match node.slot(slot, as_buyer("sell-anew", u64::from(number) << 8 | u64::from(salt), &named), command).await {
            Ok(_) => return Ok(Ok(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_settled(node, sale, &settlement, key).await? => return Ok(Ok(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) => {}
            Err(Failure::Refused(why)) => return Ok(Err(why)),
            Err(failure) => return Err(of_slot(sale, failure)),
        }
    }
    Ok(Err(slot::Refusal::IdTaken))
}

const fn settlement_of(id: PaymentId, item: &Item) -> Settlement {
    if item.amount_cents.is_zero() { Settlement::Free } else { Settlement::Payment { id } }
}

/// What was said of the payment when it began, for its sales: after a restart it is read where it was written.
async fn assessment_of(node: &Node, id: PaymentId) -> Option<Box<Assessment>> {
    if let Some(known) = node.scoring().of_payment(id) {
        return Some(known);
    }
    first_envelope(node, id).await.ok()??.assessment
}

/// Who was named as the buyer when a payment began, by each pseudonym.
async fn named_in(node: &Node, id: PaymentId) -> Step<Vec<Party>> {
    let first = first_envelope(node, id).await.map_err(|error| read_failed(&error))?;
    let parties = first.map(|envelope| envelope.parties).unwrap_or_default();
    Ok(parties.into_iter().filter(|party| party.kind == PartyKind::Buyer).collect())
}

/// Who was named as the buyer when places were held or waited for, by each pseudonym, from the record itself: of a hold that is gone nobody else may know.
async fn held_by(node: &Node, hold: HoldId) -> Step<Vec<Party>> {
    let takes = |event: &slot::Event| match event {
        slot::Event::Held(held) => held.hold == hold,
        slot::Event::Waited(waited) => waited.entry == hold,
        _ => false,
    };
    let mut found = Vec::new();
    let look = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
        if !record.events.iter().any(takes) {
            return Ok(ControlFlow::Continue(()));
        }
        found = record.envelope.map(|envelope| envelope.parties).unwrap_or_default();
        Ok(ControlFlow::Break(()))
    };
    visit(node.journal().as_ref(), StreamId::Slot(hold.slot()), 0, look).await.map_err(|error| read_failed(&error))?;
    found.retain(|party| party.kind == PartyKind::Buyer);
    Ok(found)
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

/// Tells whoever has the money of the refunds that a slot owes a word of: payments, those that are made for sales of desks, accounts. Answers how many it could not
/// tell now.
async fn hand_over(node: &Node, slot: SlotId) -> usize {
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
            tracing::error!(%sale, seq, %amount_cents, ?failure, "a refund cannot be handed over now");
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
        let cause = cause_of(node, sale.slot(), seq).await?;
        quotes::tickets_cancelled(node, quote, cause).await.map_err(|failure| failure.map(|_| Refusal::Payment(payment::Refusal::UnknownSale)))?;
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

/// Why a record of a slot cancelled tickets, from the record itself.
async fn cause_of(node: &Node, slot: SlotId, seq: u64) -> Step<slot::CancelCause> {
    let stream = StreamId::Slot(slot);
    let record = record_of::<slot::Event>(node.journal().as_ref(), stream, seq).await.map_err(|error| read_failed(&error))?;
    let cause = |event: &slot::Event| if let slot::Event::Cancelled(cancelled) = event { Some(cancelled.cause) } else { None };
    let found = record.and_then(|record| record.events.iter().find_map(cause));
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
    let mut origin = sale;
    for _ in 0..MOVES_MAX {
        let settlement = move |slot: &Slot| slot.sale_of(origin).map(|sale| sale.settlement.clone());
        match node.look(origin.slot(), settlement).await.map_err(|failure| of_slot(sale, failure))? {
            Some(Settlement::Moved { from }) => origin = from,
            settlement => return Ok((origin, settlement)),
        }
    }
    Err(Failure::OutOfOrder(format!("the tickets of {sale} have moved more than {MOVES_MAX} times")))
}

/// Hands over what slots owe and drives every payment that has something to do; answers how many could not be brought to an end now.
pub async fn resume(node: &Node) -> usize {
    resume_settling(node, &mut Pauses::default(), &mut Pauses::default()).await;
    let handed = hand_over_each(node, node.board().owing()).await;
    let driven = resume_each(node.payments().working(), |id| drive(node, id)).await;
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
        let mut due = pauses.due(node.payments().telling(), node.now());
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

/// The envelope of a step: its key follows from the flow, so that a step is taken once however often it is asked.
fn step(id: PaymentId, name: &str, number: u64) -> Envelope {
    by(digest(&[b"payment step", &id.get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]))
}

const fn by(key: Digest) -> Envelope {
    Envelope { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

fn of_payment(failure: Failure<payment::Refusal>) -> Failure<Refusal> {
    failure.map(Refusal::Payment)
}

fn of_slot(hold: HoldId, failure: Failure<slot::Refusal>) -> Failure<Refusal> {
    match failure {
        Failure::UnknownSlot(_) => Failure::Refused(Refusal::Slot { hold, why: slot::Refusal::UnknownSlot }),
        other => other.map(|why| Refusal::Slot { hold, why }),
    }
}
