//! Payments over slots: a flow whose journal is the payment, each of whose steps is a command with a key that follows from the flow. The rules of the steps are
//! in `engine::payment`; what is left to do at any moment is what `Payment::work` says, so whoever drives a payment, at once or after a crash, begins with that.
//!
//! Holds are kept for a payment, it is written down, its holds are prolonged, its gateway is told: then it can be paid. Money is journaled before anything else is done with it. Each
//! item then becomes a sale of its hold, or of as many places anew if the hold is gone, or else a refund. While the outcome of a step is unknown it is asked
//! again, never taken back: it might have been written. After a day keys are forgotten; then the slot itself says, by the settlement of its sale, whether the
//! step was taken. Whoever waits for a gateway keeps nobody from the tickets: what is paid is settled apart, and first. A payment that is cancelled
//! or expires is closed at its gateway, and releases no hold: somebody else may keep it.
//!
//! Here is what drives a payment; beside it who may begin one (`begin`), how what is paid becomes tickets (`settle`), what gateways hear (`tell`), what else becomes of holds
//! (`release`), the refunds of slots (`refunds`), and what goes on after a crash (`resume`).

mod begin;
mod board;
mod refunds;
mod release;
mod resume;
mod settle;
mod tell;

pub use begin::{Request, begin, free_id, is_under_way};
pub use board::{PaymentHead, Payments};
pub use release::{Confirmation, leave_waiting, release, shrink, wait_for_fewer};
pub(crate) use resume::keep_paying;
pub use resume::resume;
pub use settle::gone;
pub use tell::is_for_closed;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId};
use tornello_engine::order;
use tornello_engine::payment::{self, Command, Opened, Payment, Receipt, Stage, Work};
use tornello_engine::slot::{self, Keeper};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher;

use self::settle::settle;
use self::tell::{prolong, tell};
use crate::digest::digest;
use crate::failure::Failure;
use crate::node::Node;

/// How long somebody may pay who has begun, in seconds: the life of a payment token unless its provider says less (SANP, best practice for PSPs).
pub const TOKEN_S: i64 = 1_800;
/// How many payments may be driven at once without waiting for each other by chance.
const LOCKS: usize = 1_024;
/// How many are driven at once without anybody waiting for them; others are left to be resumed.
const DRIVEN: usize = 64;
/// How many ids are tried for a new payment.
const SALTS: u8 = 16;
/// How often a driver looks what is left to do before it leaves the rest for later.
const ROUNDS: usize = 6;

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
    /// Lets it be paid, or not, while our station cannot be asked: then nobody there knows that a slot is closed.
    fn stand_in<'a>(&'a self, _payment: PaymentId, _opened: &'a Opened, _may: bool) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
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
    /// The positions whose gateway has heard that what they are for is closed. After a start it hears that anew.
    closed: parking_lot::Mutex<BTreeSet<PaymentId>>,
}

impl Default for Paying {
    fn default() -> Self {
        let locks = || std::array::from_fn(|_| Mutex::default());
        let (driven, closed) = (Arc::new(Semaphore::new(DRIVEN)), parking_lot::Mutex::default());
        Self { beginning: locks(), settling: locks(), telling: locks(), driven, closed }
    }
}

impl Paying {
    /// Waits until nobody else begins to pay for any of these holds. Everybody waits in the same order, so that nobody waits for ever.
    pub(crate) async fn beginning(&self, holds: &[HoldId]) -> Vec<MutexGuard<'_, ()>> {
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

/// Drives a payment as far as it goes by itself, from wherever it stands. What is paid for comes before what a gateway has to hear; but where no tickets can be made now the gateway
/// hears it all the same: what a desk was paid for must not be paid again by its notice meanwhile.
///
/// # Errors
/// Whatever keeps a step from being taken or its outcome from being known. Nothing is lost: the payment stands where it stood, or some steps further.
pub async fn drive(node: &Node, id: PaymentId) -> Step<()> {
    for _ in 0..ROUNDS {
        let settled = settle(node, id).await;
        let is_told = tell(node, id).await?;
        settled?;
        if is_told {
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

/// Writes a fact in a payment. One that it refuses came too late: what is to be done then is looked up anew.
async fn note(node: &Node, id: PaymentId, envelope: Envelope, command: Command) -> Step<()> {
    match node.payment(id, envelope, command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(of_payment(failure)),
    }
}

/// The envelope of a step: its key follows from the flow, so that a step is taken once however often it is asked.
fn step(id: PaymentId, name: &str, number: u64) -> Envelope {
    by(digest(&[b"payment step", &id.get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]))
}

const fn by(key: Digest) -> Envelope {
    Envelope::by_system(key)
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
