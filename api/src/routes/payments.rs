//! Payments: money that is due for holds, and what came of it. Here is looked up what a payment must be told: what the holds hold, to whom the money is due and
//! until when it can be paid. What becomes of money and places is decided in `engine::payment` and driven in `actors::payments`. `view` is what a payment looks
//! like, `lists` are its lists.

pub mod lists;
mod view;

pub use lists::{TABLE_ROWS_MAX, csv_answer, csv_page, museums, wants_csv};

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::keys::Role;
use tornello_actors::node::Node;
use tornello_actors::payments::{self, Cart, GatewayError, Returns};
use tornello_actors::people::RETENTION_S;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{BadId, Code, HoldId, KeyId, MuseumId, PaymentId, QuoteId, SlotId, VoucherId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Command, Gateway, Opened, Payment, Receipt, Source, Stage, Took};
use tornello_engine::quote;
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::verdict::Window;
use tornello_engine::slot::{self, DeskMethod, Keeper, Slot, total};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher;

use crate::acting::{self, Proof};
use crate::auth::{Caller, Scope};
use crate::pagopa::gateway::Pagopa;
use crate::pagopa::settings::Creditor;
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, PartyForm, envelope, known_before};
use crate::routes::holds::order_of;
use crate::routes::people::{self, ContactForm};
use crate::routes::quotes;
use crate::routes::{created, is_reference, not_rebuilt};
use crate::words::DeskMethodWord;
use view::{PaymentView, ledger_of};

/// What connects this installation to pagoPA, if it is.
pub type Connected = web::ThinData<Option<Arc<Pagopa>>>;

/// The most holds that one request pays for.
const HOLDS_MAX: usize = 8;
/// How long somebody who is led to a payment page has to begin there, in seconds.
const CHECKOUT_START_S: i64 = 20 * 60;
/// How long a notice can be begun to pay, in seconds: wherever the payer likes, but places are kept for two hours at most.
const NOTICE_START_S: i64 = 60 * 60;
/// How long places are kept after the last moment to begin: a payment token's 30 minutes (SANP, best practice for PSPs) and five for the receipt's way.
pub const TOKEN_S: i64 = 35 * 60;
/// A payment that can be begun for less than this is not worth beginning.
const START_S_MIN: i64 = 60;

/// Where the browser goes from a payment page. That it comes back proves nothing: the payment is paid when its state says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnUrlsForm {
    /// When it was paid.
    #[schema(max_length = 2000, examples("https://tickets.example.it/paid"))]
    pub ok: String,
    /// When the payer gave up.
    #[schema(max_length = 2000, examples("https://tickets.example.it/cancelled"))]
    pub cancel: String,
    /// When it failed.
    #[schema(max_length = 2000, examples("https://tickets.example.it/error"))]
    pub error: String,
    /// When it is not known yet; that of `ok` if not said.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub waiting: Option<String>,
}

impl ReturnUrlsForm {
    fn parse(&self) -> Result<Returns, Problem> {
        let good = |name: &str, text: &str| {
            let is_url = reqwest::Url::parse(text).is_ok_and(|url| ["https", "http"].contains(&url.scheme()) && text.chars().count() <= 2_000);
            if is_url {
                Ok(text.to_owned())
            } else {
                Err(Problem::invalid(format!("return_urls.{name}: an address of at most 2000 characters is expected")))
            }
        };
        Ok(Returns {
            ok: good("ok", &self.ok)?,
            cancelled: good("cancel", &self.cancel)?,
            error: good("error", &self.error)?,
            waiting: good("waiting", self.waiting.as_deref().unwrap_or(&self.ok))?,
        })
    }
}

/// Money over a counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeskForm {
    /// Which till.
    #[schema(value_type = String, max_length = 23, examples("till-1"))]
    pub till: Code,
    /// `cash` or `card`.
    #[schema(value_type = DeskMethodWord)]
    pub method: DeskMethod,
    /// Receipt or terminal reference: printable characters, no name of a person.
    #[schema(min_length = 1, max_length = 64, examples("R-2026-000123"))]
    pub reference: String,
}

impl DeskForm {
    fn source(&self) -> Result<Source, Problem> {
        if !is_reference(&self.reference) {
            return Err(Problem::invalid("reference: 1 to 64 printable characters are expected"));
        }
        Ok(Source::Desk { till: self.till, method: self.method, reference: self.reference.clone() })
    }
}

/// On which way the money is to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GatewayForm {
    /// A pagoPA notice that the payer takes to any bank, shop or app.
    Notice {},
    /// A pagoPA notice that the browser is led to at once.
    Checkout {
        /// Where the browser goes afterwards.
        return_urls: ReturnUrlsForm,
    },
    /// The whole amount off a voucher.
    Voucher {
        /// Its code.
        #[schema(min_length = 13, max_length = 13)]
        code: String,
    },
    /// Paid at a desk or kiosk, just now.
    Desk(DeskForm),
    /// Nothing is due.
    Free {},
}

/// What to pay for, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentForm {
    /// Holds of one museum, each once.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 8)]
    pub holds: Vec<HoldId>,
    /// On which way the money is to come.
    pub gateway: GatewayForm,
    /// Who pays: to write to, and to pay back to. Kept apart, encrypted, until 90 days after the visit, and as long as money is owed back or the payment is contested.
    #[serde(default)]
    pub payer: Option<ContactForm>,
    /// Who takes part, the buyer first: also the card and device that pay, as the shop's tokens. Absent: those who held the places.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub parties: Vec<PartyForm>,
    /// The order that the payment belongs to, if there is one: 26 characters. One payment of an order is under way at a time.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 26)]
    pub order: Option<String>,
}

/// A way to pay that this installation does not have.
fn gateway_off(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "gateway_off", "money does not come on that way here").detail(detail)
}

/// Nobody takes money through pagoPA for that museum here.
pub fn not_connected() -> Problem {
    gateway_off("This installation is not connected to pagoPA for that museum: pay on another way.")
}

/// A browser cannot be led to pay here.
pub fn no_payment_pages() -> Problem {
    gateway_off("This installation has no payment pages: pay by a notice, at any bank or in an app.")
}

/// Whether a browser can be led to payment pages.
pub fn has_payment_pages(connected: &Connected) -> bool {
    connected.0.as_ref().is_some_and(|pagopa| pagopa.has_checkout())
}

/// The creditor to whom a museum's tickets are paid, if this installation is connected to pagoPA for it.
pub fn creditor_of_museum(connected: &Connected, museum: MuseumId) -> Option<&Creditor> {
    connected.0.as_ref().and_then(|pagopa| pagopa.settings().creditor_of_museum(museum))
}

/// The creditor whose number the id of a payment begins with.
pub fn creditor_of(connected: &Connected, payment: PaymentId) -> Option<Creditor> {
    connected.0.as_ref().and_then(|pagopa| pagopa.settings().creditor(payment.creditor())).cloned()
}

/// A payment that the caller may see, with what it is for.
pub async fn seen<R: Send + 'static>(
    node: &Node,
    caller: &Caller,
    scope: Scope,
    id: PaymentId,
    read: impl Fn(&Payment, &Opened) -> R + Clone + Send + 'static,
) -> Result<R, Problem> {
    caller.may(scope)?;
    let (owner, museums) = (caller.owner(), caller.0.museums.clone());
    let found = node.look_payment(id, move |payment| {
        let opened = payment.opened().filter(|opened| museums.allows(opened.museum))?;
        Some((owner.is_none_or(|owner| owner == opened.who), opened.quote, read(payment, opened)))
    });
    match found.await {
        Ok(Some((true, _, seen))) => Ok(seen),
        // An operator sees what is due for its quotes, whoever has drafted them.
        Ok(Some((false, Some(quote), seen))) if quotes::is_for(node, caller, quote).await? => Ok(seen),
        Ok(_) | Err(Failure::Refused(_)) => Err(Problem::not_found()),
        Err(failure) => Err(failure.into()),
    }
}

/// A payment as it is now, for whoever may see it.
async fn view(node: &Node, caller: &Caller, connected: &Connected, id: PaymentId) -> Result<PaymentView, Problem> {
    let creditor = creditor_of(connected, id);
    let scope = Scope::Book;
    seen(node, caller, scope, id, move |payment, opened| PaymentView::new(payment, opened, creditor.as_ref())).await
}

/// What the holds of a request say together.
struct Held {
    channel: Channel,
    amount_cents: Cents,
    /// The last moment to begin to pay, so that a token's life later the places are still kept.
    start_until: Timestamp,
    /// When the first of them ends by itself.
    expires_at: Timestamp,
    /// When the tickets of the last of the visits let nobody in any more.
    over_at: Timestamp,
}

/// Looks at the holds of a request: each is the caller's and lives. For none another payment is under way: so it is now, and that it stays so is seen to when the
/// payment is begun.
async fn look_at(node: &Node, caller: &Caller, id: PaymentId, holds: &[HoldId]) -> Result<Held, Problem> {
    let (owner, now) = (caller.owner(), node.now());
    let look = |hold: HoldId| async move {
        let seen = node.look(hold.slot(), move |slot: &Slot| {
            // What the system holds is kept by quotes, which begin their payments themselves.
            if slot.hold_of(hold).is_some_and(|found| owner.map_or(found.who == KeyId::SYSTEM, |owner| owner != found.who)) {
                return Err(slot::Refusal::UnknownHold);
            }
            slot.held(now, hold, owner)?;
            // The slot itself says best why a hold cannot be paid for: it is asked by whoever keeps it, and nothing is done.
            let cause = slot.hold_of(hold).and_then(|found| found.kept_for).unwrap_or(Keeper::Payment(id));
            slot.decide(now, &slot::Command::Prolong { hold, until: now, cause })?;
            let found = slot.hold_of(hold).cloned().ok_or(slot::Refusal::UnknownHold)?;
            let opening = slot.opening();
            Ok((slot::sale_ends_at(slot.id(), opening.end, &opening.policy, found.channel), Window::of(opening).over_at(), found))
        });
        seen.await?.map_err(|refusal: slot::Refusal| Problem::from(refusal).with("hold", hold))
    };
    let found = try_join_all(holds.iter().map(|hold| look(*hold))).await?;
    for (hold, (.., held)) in holds.iter().zip(&found) {
        if let Some(Keeper::Payment(payment)) = held.kept_for
            && payment != id
            && payments::is_under_way(node, payment, *hold).await?
        {
            return Err(Problem::from(slot::Refusal::HoldKept { payment }).with("hold", hold));
        }
    }
    let channel = found.first().map_or_else(|| caller.channel(), |(.., hold)| hold.channel);
    if found.iter().any(|(.., hold)| hold.channel != channel) {
        return Err(Problem::invalid("holds: all of one channel are expected"));
    }
    let kept_until =
        |(sale_ends_at, _, hold): &(Timestamp, Timestamp, slot::Hold)| hold.held_at.plus_seconds(slot::PAYMENT_KEEPS_S).min(*sale_ends_at);
    Ok(Held {
        channel,
        amount_cents: found.iter().map(|(.., hold)| total(&hold.lines)).sum(),
        start_until: found.iter().map(kept_until).min().unwrap_or(now).plus_seconds(-TOKEN_S),
        expires_at: found.iter().map(|(.., hold)| hold.expires_at).min().unwrap_or(now),
        over_at: found.iter().map(|(_, over_at, _)| *over_at).max().unwrap_or(now),
    })
}

/// The subject of a payment: what is visited and when the first visit begins, and nothing of persons.
fn subject(node: &Node, museum: MuseumId, holds: &[HoldId]) -> String {
    let name = node.museums().get(museum).and_then(|known| known.museum.profile().map(|profile| profile.name.clone())).unwrap_or_default();
    let starts = holds.iter().map(|hold| hold.slot().start()).min();
    let day = starts.map(|at| tornello_engine::calendar::local_day(at).to_string()).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(110).collect();
    format!("Biglietti {name} {day}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pay for holds.
///
/// All of them together, at the prices at which they are held. Of several payments that are asked for at once for the same hold one is begun, and the others are
/// `hold_kept`. The places are kept while the payment can be made, for two hours at most after they were taken. A
/// payment over nothing and one at a desk are paid at once; a notice is payable as soon as it is `pending`. Once paid, every hold becomes a sale of the same id by
/// itself; if its places are gone by then and cannot be had again, the money goes back. A repeat is answered with the payment as it was begun, whatever has become of it since:
/// `GET` says that.
#[utoipa::path(
    tag = "Payments", operation_id = "create_payment", security(("key" = ["book"])),
    request_body(content = PaymentForm, example = json!({"holds": ["000a000102r4e0000000000000"], "gateway": {"notice": {}}})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 201, description = "The money is due", body = PaymentView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/payments")]
pub async fn create(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    form: Json<PaymentForm>,
    proof: Proof,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let form = form.into_inner();
    let repeated = |i: usize, hold: &HoldId| form.holds[..i].contains(hold);
    if !(1..=HOLDS_MAX).contains(&form.holds.len()) || form.holds.iter().enumerate().any(|(i, hold)| repeated(i, hold)) {
        return Err(Problem::invalid("holds: 1 to 8 are expected, each once"));
    }
    let museum = form.holds[0].slot().museum();
    if form.holds.iter().any(|hold| hold.slot().museum() != museum) {
        return Err(Problem::invalid("holds: all of one museum are expected"));
    }
    caller.may_at(Scope::Book, museum)?;
    let order = order_of(form.order.as_deref())?;
    let taken = if let GatewayForm::Desk(form) = &form.gateway { Some(form.source()?) } else { None };
    let mut envelope = envelope(&node, &caller, &key, &["pay"], &form, &form.parties, order)?;
    let slots: Vec<SlotId> = form.holds.iter().map(|hold| hold.slot()).collect();
    known_before(&node, &slots, &form.parties, &mut envelope);
    let creditor = creditor_of_museum(&connected, museum).map_or(0, |creditor| creditor.number);
    let Some((id, is_new)) = payments::free_id(&node, &envelope, creditor).await? else { return Err(Problem::unavailable("no id was free")) };
    let node = node.into_inner();
    if is_new && let Err(problem) = begin(&node, &connected, &caller, (id, creditor, museum), envelope.clone(), (&form, &proof)).await {
        // The same request may have come twice at once: then the other one has begun it, and both are answered with it.
        if payments::free_id(&node, &envelope, creditor).await? != Some((id, false)) {
            return Err(problem);
        }
    }
    if let Some(source) = taken {
        receive_at_desk(&node, id, source).await?;
    }
    payments::drive(&node, id).await.or_else(under_way)?;
    let mut view = if is_new { view(&node, &caller, &connected, id).await? } else { as_begun(&node, &connected, id).await? };
    let now = node.now();
    if let GatewayForm::Checkout { return_urls } = &form.gateway
        && view.state == "pending"
        && node.look_payment(id, move |payment| payment.payable(now).is_ok()).await?
        && closed(&node, &form.holds).await?.is_none()
    {
        view.checkout_url = Some(page_for(&node, &connected, &[id], return_urls).await?.0);
    }
    created(format!("/v1/payments/{id}"), &view)
}

/// A payment as it was begun: a repeat is answered with that, and `GET` says what has become of it.
async fn as_begun(node: &Node, connected: &Connected, id: PaymentId) -> Result<PaymentView, Problem> {
    as_it_was(connected, &node.payment_as_begun(id).await?)
}

/// A payment as it was at some time, for whoever may see it.
fn as_it_was(connected: &Connected, payment: &Payment) -> Result<PaymentView, Problem> {
    let opened = payment.opened().ok_or_else(not_rebuilt)?;
    Ok(PaymentView::new(payment, opened, creditor_of(connected, payment.id()).as_ref()))
}

/// By which record of a payment a request was done before, if it was: a repeat is answered with the payment right after that, and `GET` says what has become of it.
pub async fn done_before(node: &Node, id: PaymentId, asked: &Envelope) -> Result<Option<u64>, Problem> {
    let asked = asked.clone();
    match node.look_payment(id, move |payment| payment.recall(&asked)).await? {
        Recall::Done { seq } => Ok(Some(seq)),
        Recall::New => Ok(None),
        Recall::OtherBody => Err(Failure::<payment::Refusal>::KeyReused.into()),
    }
}

/// What of a payment's records is part of what was asked for by the one before them.
type GoesOn = fn(&Payment, &Record<payment::Event>) -> bool;

/// Nothing: the record is all.
const ALONE: GoesOn = |_, _| false;

/// What a gateway hears of a payment's end, and what a voucher had paid just before. What a desk takes in is asked for by somebody else.
const ENDS: GoesOn =
    |payment, record| payment.goes_on(record) && payment.opened().is_some_and(|opened| !matches!(opened.gateway, Gateway::Desk | Gateway::Free));

/// Answers with a payment as it is, or, where the request was done before, as that left it.
async fn answer(
    node: &Node,
    caller: &Caller,
    connected: &Connected,
    id: PaymentId,
    (done, goes_on): (Option<u64>, GoesOn),
) -> Result<HttpResponse, Problem> {
    let view = match done {
        None => view(node, caller, connected, id).await?,
        Some(seq) => as_it_was(connected, &node.payment_after(id, seq, goes_on).await?)?,
    };
    Ok(HttpResponse::Ok().json(view))
}

/// A payment that cannot be driven on now stands as it is, and is driven on by itself: that is no failure of what was asked.
fn under_way(failure: Failure<payments::Refusal>) -> Result<(), Problem> {
    if failure.is_retryable() { Ok(()) } else { Err(failure.into()) }
}

/// Begins a payment that was not asked for before.
async fn begin(
    node: &Arc<Node>,
    connected: &Connected,
    caller: &Caller,
    (id, creditor, museum): (PaymentId, u16, MuseumId),
    mut envelope: Envelope,
    (form, proof): (&PaymentForm, &Proof),
) -> Result<(), Problem> {
    let gateway = gateway_of(node, connected, caller, museum, &form.gateway).await?;
    let (held, now) = (look_at(node, caller, id, &form.holds).await?, node.now());
    if (gateway == Gateway::Free) != held.amount_cents.is_zero() {
        return Err(payment::Refusal::GatewayMismatch { due_cents: held.amount_cents }.into());
    }
    if let Gateway::Voucher { voucher } = gateway {
        redeemable(node, voucher, museum, held.amount_cents).await?;
    }
    let due = acting::Due { holds: &form.holds, channel: held.channel, museum, amount_cents: held.amount_cents, at_desk: caller.is_desk() };
    acting::weigh_payment(node, &mut envelope, due, proof).await?;
    let envelope = &envelope;
    let start_s = if gateway == Gateway::Notice { NOTICE_START_S } else { CHECKOUT_START_S };
    // Who has little time left may still begin at once: money that comes late is taken, and places are looked for again.
    let position_due_at = now.plus_seconds(start_s).min(held.start_until).max(now.plus_seconds(START_S_MIN));
    let until = held.over_at.plus_seconds(RETENTION_S);
    let _turn = people::turn(node, museum, envelope, form.payer.is_some()).await?;
    let payer = people::keep_for(node, museum, envelope, form.payer.as_ref(), until, async || Ok(false)).await?;
    let request = payments::Request {
        creditor,
        order: envelope.order,
        quote: None,
        holds: form.holds.clone(),
        owner: caller.owner(),
        channel: held.channel,
        extras: Vec::new(),
        payer,
        museum,
        subject: subject(node, museum, &form.holds),
        gateway,
        due_at: if gateway.is_position() { position_due_at } else { held.expires_at },
    };
    match payments::begin(node, envelope.clone(), request).await {
        Ok(_) => Ok(()),
        Err(failure) => {
            if matches!(failure, Failure::Refused(_) | Failure::KeyReused) {
                people::drop_unsold(node, payer).await?;
            }
            Err(failure.into())
        }
    }
}

/// The gateway that a request names, if it is here and the caller may use it.
async fn gateway_of(node: &Node, connected: &Connected, caller: &Caller, museum: MuseumId, form: &GatewayForm) -> Result<Gateway, Problem> {
    let position = |gateway: Gateway| creditor_of_museum(connected, museum).map(|_| gateway).ok_or_else(not_connected);
    match form {
        GatewayForm::Notice {} => position(Gateway::Notice),
        GatewayForm::Checkout { return_urls } => {
            return_urls.parse()?;
            if !has_payment_pages(connected) {
                return Err(no_payment_pages());
            }
            position(Gateway::Checkout)
        }
        GatewayForm::Voucher { code } => {
            let voucher = voucher_of(code)?;
            node.look_voucher(voucher, |_| ()).await?;
            Ok(Gateway::Voucher { voucher })
        }
        GatewayForm::Desk(_) if caller.0.role == Role::Kiosk => Ok(Gateway::Desk),
        GatewayForm::Desk(_) => {
            caller.may_at(Scope::Desk, museum)?;
            Ok(Gateway::Desk)
        }
        GatewayForm::Free {} => Ok(Gateway::Free),
    }
}

/// The voucher of a code.
pub fn voucher_of(code: &str) -> Result<VoucherId, Problem> {
    code.trim().to_ascii_lowercase().parse().map_err(|_: BadId| Problem::from(voucher::Refusal::UnknownVoucher))
}

/// Whether a voucher would pay now: a payment that it will not pay is not begun.
async fn redeemable(node: &Node, id: VoucherId, museum: MuseumId, amount_cents: Cents) -> Result<(), Problem> {
    let (now, payment) = (node.now(), PaymentId::from_raw(0));
    let redeem = move |found: &voucher::Voucher| found.decide(now, &voucher::Command::Redeem { payment, museum, amount_cents }).map(drop);
    node.look_voucher(id, redeem).await?.map_err(Problem::from)
}

/// The id of a desk's receipt follows from what the desk says, so that saying it twice takes it once. None of what no desk has taken in.
fn desk_receipt(id: PaymentId, source: &Source) -> Option<String> {
    let Source::Desk { till, reference, .. } = source else { return None };
    let key = digest(&[b"desk", &id.get().to_be_bytes(), till.as_str().as_bytes(), reference.as_bytes()]);
    Some(format!("d{:032x}", { key.0 }))
}

/// Takes the whole amount in at a desk.
async fn receive_at_desk(node: &Arc<Node>, id: PaymentId, source: Source) -> Result<(), Problem> {
    let amount_cents = node.look_payment(id, |payment| payment.opened().map_or(Cents::ZERO, |opened| opened.amount_cents)).await?;
    let Some(receipt) = desk_receipt(id, &source) else { return Ok(()) };
    let receipt = Receipt::without_provider(receipt, source, amount_cents, node.now());
    match payments::receive(node, id, receipt).await {
        Ok(()) | Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::ReceiptDuplicate))) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Why nobody is asked for money for some holds, if that is so: the slot of one is closed, and what comes for it goes back.
pub async fn closed(node: &Node, holds: &[HoldId]) -> Result<Option<Problem>, Problem> {
    for hold in holds {
        if let Some(reason) = node.look(hold.slot(), |slot: &Slot| slot.places().closed).await? {
            return Ok(Some(Problem::from(slot::Refusal::SlotClosed { reason }).with("hold", hold)));
        }
    }
    Ok(None)
}

/// Asserts that a quote would keep the money of a payment: what comes for one that is paid on another way, or was revised since, goes back.
async fn keeps_money(node: &Node, quote: QuoteId, id: PaymentId) -> Result<(), Problem> {
    match node.look_quote(quote, move |quote| quote.welcomes(id)).await? {
        Ok(()) => Ok(()),
        Err(quote::Refusal::NotExpected) => Err(payment::Refusal::AlreadyPaid.into()),
        Err(why) => Err(why.into()),
    }
}

/// Leaves notices at the payment pages as one cart; answers where the browser has to go, and what is due for each.
pub async fn page_for(
    node: &Node,
    connected: &Connected,
    ids: &[PaymentId],
    form: &ReturnUrlsForm,
) -> Result<(String, Vec<(PaymentId, Cents)>), Problem> {
    let (returns, now) = (form.parse()?, node.now());
    let gateway = node.gateway().filter(|_| has_payment_pages(connected));
    let gateway = gateway.ok_or_else(no_payment_pages)?;
    let mut payments = Vec::with_capacity(ids.len());
    for &id in ids {
        let look = move |payment: &Payment| payment.payable(now).map(|_| payment.opened().cloned());
        let of_it = |problem: Problem| problem.with("payment", id);
        let opened = node.look_payment(id, look).await.map_err(|failure| of_it(failure.into()))?.map_err(|refusal| of_it(refusal.into()))?;
        let opened = opened.filter(|opened| opened.gateway.is_position());
        let opened = opened.ok_or_else(|| of_it(gateway_off("This payment has no notice.")))?;
        let holds: Vec<HoldId> = opened.items.iter().map(|item| item.hold).collect();
        if let Some(problem) = closed(node, &holds).await? {
            return Err(of_it(problem));
        }
        payments.push((id, opened));
    }
    let due = payments.iter().map(|(id, opened)| (*id, opened.amount_cents)).collect();
    match gateway.checkout(&Cart { payments, returns }).await {
        Ok(url) => Ok((url, due)),
        Err(GatewayError::Later(why)) => {
            tracing::warn!(why, payments = ?ids, "the payment pages do not answer");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_unavailable", "the payment gateway cannot be asked now")
                .detail("The payment stands: ask again, or pay its notice on another way.")
                .retry_after(5))
        }
        Err(GatewayError::Never(why)) => Err(Problem::new(StatusCode::CONFLICT, "checkout_refused", "the payment pages do not take this notice")
            .detail("`reason` says why. Pay the notice on another way, or cancel the payment.")
            .with("reason", why)),
    }
}

/// Read a payment.
///
/// As it is now: what is due, what came, what became of the places and what goes back; with desk rights also who pays.
#[utoipa::path(
    tag = "Payments", operation_id = "get_payment", security(("key" = ["book"])),
    params(("payment" = String, Path, description = "The payment")),
    responses((status = 200, description = "The payment", body = PaymentView), crate::openapi::Problems),
)]
#[get("/payments/{payment}")]
pub async fn get(node: web::Data<Node>, connected: Connected, caller: Caller, payment: web::Path<PaymentId>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let id = payment.into_inner();
    let creditor = creditor_of(&connected, id);
    let look = move |payment: &Payment, opened: &Opened| (PaymentView::new(payment, opened, creditor.as_ref()), opened.payer);
    let (mut view, payer) = seen(&node, &caller, Scope::Book, id, look).await?;
    // No sale names them where nothing was bought: whoever owes them money, or is asked to erase them, has this alone.
    if let Some(person) = payer.filter(|_| caller.is_desk()) {
        view.payer = people::known(&node, person).await?;
    }
    if caller.may(Scope::Settle).is_ok() {
        view.ledger = Some(ledger_of(&node, id).await?);
    }
    Ok(HttpResponse::Ok().json(view))
}

/// Cancel a payment.
///
/// While it is not paid. The places stay held until their own end. Money that comes nevertheless is taken: it pays what is still to be had, or goes back.
#[utoipa::path(
    tag = "Payments", operation_id = "cancel_payment", security(("key" = ["book"])),
    params(("payment" = String, Path, description = "The payment"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is not to be paid any more", body = PaymentView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/payments/{payment}/cancel")]
pub async fn cancel(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    payment: web::Path<PaymentId>,
) -> Result<HttpResponse, Problem> {
    const CAUSE: &str = "requested";
    let id = payment.into_inner();
    seen(&node, &caller, Scope::Book, id, |_, _| ()).await?;
    let envelope = envelope(&node, &caller, &key, &["cancel payment", &id.to_string()], &(), &[], None)?;
    let cause = CAUSE.parse().map_err(|_| Problem::invalid("cause"))?;
    let done = done_before(&node, id, &envelope).await?;
    payments::cancel(&node, id, envelope, caller.owner(), cause).await?;
    answer(&node, &caller, &connected, id, (done, ENDS)).await
}

/// Lead a payer to a payment page.
///
/// For a payment that has a notice and can be paid, for places of which no slot is closed (`slot_closed`). Each call makes a new link to the same notice. Several at once: `POST /v1/carts`.
#[utoipa::path(
    tag = "Payments", operation_id = "open_checkout", security(("key" = ["book"])),
    request_body(content = ReturnUrlsForm, example = json!({"ok": "https://tickets.example.it/paid", "cancel": "https://tickets.example.it/cancelled", "error": "https://tickets.example.it/error"})),
    params(("payment" = String, Path, description = "The payment"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "Where to send the browser: `checkout_url`", body = PaymentView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/payments/{payment}/checkout")]
pub async fn checkout(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    _key: IdempotencyKey,
    payment: web::Path<PaymentId>,
    form: Json<ReturnUrlsForm>,
) -> Result<HttpResponse, Problem> {
    let id = payment.into_inner();
    let mut view = view(&node, &caller, &connected, id).await?;
    view.checkout_url = Some(page_for(&node, &connected, &[id], &form).await?.0);
    Ok(HttpResponse::Ok().json(view))
}

/// Take a payment in at a desk.
///
/// The whole amount, whatever way it was begun on: a notice is closed at pagoPA as paid elsewhere. One that is paid already is not taken a second time,
/// nor one for places of a slot that is closed (`slot_closed`), or that others have by now (`not_enough_places`, `hold_sold`), or for which it is too late (`sale_over`, `slot_over`), or
/// for a quote that is paid on another way or was revised since (`already_paid`, `other_revision`): that money would go back. What a desk has said before, the same till and reference,
/// is the same money under any key, and answered as it was then.
#[utoipa::path(
    tag = "Payments", operation_id = "pay_at_desk", security(("key" = ["desk"])),
    request_body(content = DeskForm, example = json!({"till": "till-1", "method": "card", "reference": "R-2026-000123"})),
    params(("payment" = String, Path, description = "The payment"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is paid", body = PaymentView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/payments/{payment}/desk")]
pub async fn pay_at_desk(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    _key: IdempotencyKey,
    payment: web::Path<PaymentId>,
    form: Json<DeskForm>,
) -> Result<HttpResponse, Problem> {
    let (id, source) = (payment.into_inner(), form.source()?);
    let known = source.clone();
    let look = move |payment: &Payment, opened: &Opened| {
        if payment.receipts().iter().any(|receipt| receipt.source == known) {
            return Ok((Vec::new(), None));
        }
        match payment.stage() {
            Stage::Paid { .. } => Err(payment::Refusal::AlreadyPaid),
            _ => Ok((opened.items.iter().map(|item| item.hold).collect::<Vec<HoldId>>(), opened.quote)),
        }
    };
    // A desk that repeats itself is answered again; one that would take money for what is paid, or cannot be had, is stopped before it does.
    let (due_for, of_quote) = seen(&node, &caller, Scope::Desk, id, look).await??;
    if let Some(problem) = closed(&node, &due_for).await? {
        return Err(problem);
    }
    if let Some(quote) = of_quote {
        keeps_money(&node, quote, id).await?;
    }
    if !due_for.is_empty()
        && let Some((hold, why)) = payments::gone(&node, id).await?
    {
        return Err(Problem::from(why).with("hold", hold));
    }
    let node = node.into_inner();
    let receipt = desk_receipt(id, &source).ok_or_else(not_rebuilt)?;
    let of_it = receipt.clone();
    let is_known = node.look_payment(id, move |payment| payment.has_receipt(&of_it)).await?;
    receive_at_desk(&node, id, source).await?;
    payments::drive(&node, id).await.or_else(under_way)?;
    if is_known {
        return Ok(HttpResponse::Ok().json(as_it_was(&connected, &node.payment_as_received(id, &receipt).await?)?));
    }
    Ok(HttpResponse::Ok().json(view(&node, &caller, &connected, id).await?))
}

/// A dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisputeForm {
    /// Why, in one word.
    #[schema(value_type = String, max_length = 23, examples("not_recognised"))]
    pub reason: Code,
    /// The case, as the other side knows it: no name of a person.
    #[schema(min_length = 1, max_length = 200, examples("CASE-17"))]
    pub reference: String,
}

/// How a dispute ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisputeEndForm {
    /// Whether the payer was found to be right: their bank has taken money back.
    pub upheld: bool,
    /// With which receipt that money came; without it, with the one that paid, or else the first of which something is left. Cash, vouchers and what a desk took without a payment have
    /// no bank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 35, examples("token-1"))]
    pub receipt: Option<String>,
    /// How much it has taken, in euro cents, 0 if nothing; without it, what of that receipt has neither gone back nor is on its way to the payer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub taken_back_cents: Option<i64>,
}

/// Note that a payment is contested.
#[utoipa::path(
    tag = "Payments", operation_id = "dispute_payment", security(("key" = ["settle"])),
    request_body(content = DisputeForm, example = json!({"reason": "not_recognised", "reference": "CASE-17"})),
    params(("payment" = String, Path, description = "The payment"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is noted", body = PaymentView), crate::openapi::Problems),
)]
#[post("/payments/{payment}/disputes")]
pub async fn dispute(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    payment: web::Path<PaymentId>,
    form: Json<DisputeForm>,
) -> Result<HttpResponse, Problem> {
    let id = payment.into_inner();
    seen(&node, &caller, Scope::Settle, id, |_, _| ()).await?;
    let envelope = envelope(&node, &caller, &key, &["dispute", &id.to_string()], &*form, &[], None)?;
    let DisputeForm { reason, reference } = form.into_inner();
    let done = done_before(&node, id, &envelope).await?;
    node.payment(id, envelope, Command::Dispute { reason, reference }).await?;
    answer(&node, &caller, &connected, id, (done, ALONE)).await
}

/// Note how a dispute ended.
///
/// Where the payer was right, what their bank took back is posted, and stands beside what came (`taken_back_cents`). Refunds that wait still do.
#[utoipa::path(
    tag = "Payments", operation_id = "resolve_dispute", security(("key" = ["settle"])),
    request_body(content = DisputeEndForm, example = json!({"upheld": true, "taken_back_cents": 2_400})),
    params(("payment" = String, Path, description = "The payment"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is noted", body = PaymentView), crate::openapi::Problems),
)]
#[post("/payments/{payment}/disputes/resolve")]
pub async fn resolve(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    payment: web::Path<PaymentId>,
    form: Json<DisputeEndForm>,
) -> Result<HttpResponse, Problem> {
    let id = payment.into_inner();
    seen(&node, &caller, Scope::Settle, id, |_, _| ()).await?;
    if !form.upheld && (form.receipt.is_some() || form.taken_back_cents.is_some()) {
        return Err(Problem::invalid("receipt and taken_back_cents are of a dispute that was decided for the payer: `upheld` is true then"));
    }
    if form.taken_back_cents.is_some_and(|cents| cents < 0) {
        return Err(Problem::invalid("taken_back_cents: 0 at least is expected"));
    }
    let envelope = envelope(&node, &caller, &key, &["resolve dispute", &id.to_string()], &*form, &[], None)?;
    let DisputeEndForm { upheld, receipt, taken_back_cents } = form.into_inner();
    let took = Took { receipt, amount_cents: taken_back_cents.map(Cents::new) };
    let done = done_before(&node, id, &envelope).await?;
    node.payment(id, envelope, Command::ResolveDispute { upheld, took }).await?;
    answer(&node, &caller, &connected, id, (done, ALONE)).await
}
