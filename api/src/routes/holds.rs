//! Holds: places kept for a while, then sold or given back.
//!
//! While one waits for its slot its future stands in memory, and is moved before that: what only few go through is boxed.

use std::pin::pin;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use tornello_actors::accounts;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::{SignalKind, Taking};
use tornello_actors::node::Node;
use tornello_actors::payments::{self, Confirmation};
use tornello_actors::rooms;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{BadId, Code, HoldId, KeyId, OrderId, PersonId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum::Museum;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Command, Event, Line, Settlement, Slot, people as people_of, total};
use tornello_engine::time::Timestamp;
use tornello_engine::{calendar, tariff};

use crate::acting::{self, Asked, Proof};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, PartyForm, draw, envelope, known_before, random};
use crate::routes::people::{self, ContactForm, HolderForm};
use crate::routes::sales::{self, SaleView, SettlementForm};
use crate::routes::waiting_rooms::{self, Admission};
use crate::routes::{alternatives, created, not_rebuilt};
use crate::words::ChannelWord;

/// How many people of one category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineForm {
    /// A category of the museum's tariff.
    #[schema(value_type = String, max_length = 23, examples("full"))]
    pub category: Code,
    /// How many people.
    #[schema(minimum = 1, maximum = 1000)]
    pub count: u16,
}

/// Places asked for, to hold or to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldForm {
    /// Categories and counts, each category once.
    #[schema(min_items = 1, max_items = 16)]
    pub lines: Vec<LineForm>,
    /// Who takes part, the buyer first.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub parties: Vec<PartyForm>,
    /// The order that the hold, or the entry, belongs to, if there is one: 26 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 26)]
    pub order: Option<String>,
}

/// How many people of one category, at which price.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LineView {
    /// The category.
    #[schema(value_type = String)]
    category: Code,
    /// How many people.
    count: u16,
    /// For each of them, in euro cents.
    price_cents: i64,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        Self { category: line.category, count: line.count, price_cents: line.price_cents.get() }
    }
}

/// Places kept.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HoldView {
    /// Its id.
    #[schema(value_type = String)]
    hold: HoldId,
    /// The slot.
    #[schema(value_type = String)]
    slot: SlotId,
    /// The channel that asked.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// What is held.
    lines: Vec<LineView>,
    /// For how many people.
    people: u32,
    /// What is due, in euro cents.
    total_cents: i64,
    /// When the hold ends by itself (RFC 3339, UTC).
    expires_at: String,
}

impl HoldView {
    /// A hold as callers see it.
    pub fn new(hold: HoldId, channel: Channel, lines: &[Line], expires_at: Timestamp) -> Self {
        Self {
            hold,
            slot: hold.slot(),
            channel,
            lines: lines.iter().map(LineView::from).collect(),
            people: people_of(lines),
            total_cents: total(lines).get(),
            expires_at: expires_at.to_string(),
        }
    }
}

/// A hold's new end.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ExtendedView {
    /// Its id.
    hold: String,
    /// When the hold ends by itself now (RFC 3339, UTC).
    expires_at: String,
}

/// Prices of lines by the tariff of the slot's day; for an operator, by what was agreed with its account. A request that was done before needs none: it is answered from
/// what was written then, whatever the tariff has become.
pub async fn priced(node: &Node, slot: SlotId, caller: &Caller, lines: &[LineForm], envelope: &Envelope) -> Result<Vec<Line>, Problem> {
    match by_tariff(node, slot, caller.channel(), lines) {
        Ok(lines) => match caller.account_of_operator() {
            Some(account) => Box::pin(agreed(node, slot, account, lines)).await,
            None => Ok(lines),
        },
        Err(problem) => {
            if node.knows(slot, envelope).await? {
                Ok(Vec::new())
            } else {
                Err(problem)
            }
        }
    }
}

/// Prices of lines by the tariff of the slot's day, as it is today.
pub fn by_tariff(node: &Node, slot: SlotId, channel: Channel, lines: &[LineForm]) -> Result<Vec<Line>, Problem> {
    let known = node.museums().get(slot.museum()).ok_or_else(Problem::not_found)?;
    by_tariff_of(&known.museum, slot, channel, lines)
}

/// Lines at the prices that the museum's tariff, as it is known to `museum`, says for the slot's day.
pub fn by_tariff_of(museum: &Museum, slot: SlotId, channel: Channel, lines: &[LineForm]) -> Result<Vec<Line>, Problem> {
    let line = |form: &LineForm| {
        let (price_cents, proof) = price_of(museum, slot, channel, form.category)?;
        Ok(Line { category: form.category, count: form.count, price_cents, proof })
    };
    lines.iter().map(line).collect()
}

/// What one ticket of a category costs in a slot, and what the gate has to look at, by the museum's tariff as it is known to `museum`.
pub fn price_of(museum: &Museum, slot: SlotId, channel: Channel, category: Code) -> Result<(Cents, tariff::Proof), Problem> {
    let date = calendar::local_day(slot.start());
    let (_, tariff) = museum.tariff_on(date).ok_or_else(|| Problem::invalid("this museum has no tariff for that day"))?;
    let price = tariff.quote(date, channel, category).map_err(|error| Problem::from(error).with("category", category))?;
    Ok((price.total(), price.proof))
}

/// Prices of lines as they were agreed with an account, if it is open; those of the tariff where nothing was.
pub async fn agreed(node: &Node, slot: SlotId, account: Code, lines: Vec<Line>) -> Result<Vec<Line>, Problem> {
    let (museum, day, by_tariff) = (slot.museum(), calendar::local_day(slot.start()), lines.clone());
    match node.look_account(account, move |account| account.priced(museum, day, &by_tariff)).await {
        Ok(lines) => Ok(lines),
        Err(Failure::Refused(_)) => Ok(lines),
        Err(failure) => Err(failure.into()),
    }
}

/// The order that a request names.
pub fn order_of(order: Option<&str>) -> Result<Option<OrderId>, Problem> {
    order.map(str::parse).transpose().map_err(|error: BadId| Problem::invalid(format!("order: {error}")))
}

/// What a slot has answered to whoever asked it for places.
pub struct Placed {
    /// What was written for it, now or when it was asked for the first time.
    pub record: Record<Event>,
    /// The id under which it was asked for now.
    pub id: HoldId,
    /// Who takes part, as the counters know them.
    pub parties: Vec<Taking>,
}

/// Asks a slot for places, to hold or to wait for: with what the waiting room gave, at their prices, and assessed. The command is made of the new id, the channel and the lines; `what`
/// names the operation.
pub async fn place(
    node: &Node,
    slot: SlotId,
    (caller, key): (&Caller, &IdempotencyKey),
    form: &HoldForm,
    (admission, proof): &(Admission, Proof),
    (what, kind): (&str, SignalKind),
    command: impl FnOnce(HoldId, Channel, Vec<Line>) -> Command,
) -> Result<Placed, Problem> {
    let channel = caller.channel();
    let mut envelope = envelope(node, caller, key, &[what, &slot.to_string()], form, &form.parties, order_of(form.order.as_deref())?)?;
    known_before(node, &[slot], &form.parties, &mut envelope);
    // An offer is a hold too: whoever waits for one must not pass by those who wait for the opening.
    let passage = waiting_rooms::passage(node, (slot, &envelope), (slot, channel), admission, &form.parties).await?;
    let lines = priced(node, slot, caller, &form.lines, &envelope).await?;
    let id = HoldId::new(slot, random());
    let asked = Asked { kind, channel, hold: id, lines: &lines, proven: caller.is_desk() };
    let parties = acting::weigh(node, &mut envelope, asked, proof).await?;
    let command = command(id, channel, lines).drawn(draw());
    let answer = rooms::through(passage, pin!(node.slot(slot, envelope, command))).await;
    let record = answer.map_err(|failure| alternatives(node, slot, channel, failure))?;
    Ok(Placed { record, id, parties })
}

/// Keep places.
///
/// All or nothing, at today's prices (an operator's as they were agreed with it), for the time that the museum sets. Where places are short the answer names the nearest slots that have them,
/// and the waiting list. While a waiting room is open for the slot, web shops send what it gave to their buyer. Where one more proof is asked for
/// (`step_up_required`), the same request is repeated with it. Whose hold in a slot that is nearly full has just run out, or was given back, holds none there for a while (`hold_renewed`,
/// with Retry-After). So after a payment that failed, begin the next one for the same hold, hold further places beside the first, and let a hold that is too large keep fewer
/// (`PUT /v1/holds/{hold}/lines`) rather than hold anew.
#[utoipa::path(
    tag = "Holds", operation_id = "create_hold", security(("key" = ["book"])),
    request_body(content = HoldForm, example = json!({"lines": [{"category": "full", "count": 2}, {"category": "under-18", "count": 1}]})),
    params(("slot" = String, Path, description = "The slot"), ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Waiting-Room-Admission" = Option<String>, Header, description = "What lets a web buyer through, while a waiting room is open for the slot"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 201, description = "The places are kept", body = HoldView), crate::openapi::Problems),
)]
#[post("/slots/{slot}/holds")]
pub async fn create(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<HoldForm>,
    given: (Admission, Proof),
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Book, slot.museum())?;
    let command = |hold, channel, lines| Command::Hold { hold, channel, lines };
    let Placed { record, id, parties } = place(&node, slot, (&caller, &key), &form, &given, ("hold", SignalKind::Held), command).await?;
    let held = record.events.iter().find_map(|event| if let Event::Held(held) = event { Some(held) } else { None });
    let held = held.ok_or_else(not_rebuilt)?;
    // A repeat is told what was held then; what is by now, which may be fewer, the slot knows.
    if held.hold == id {
        node.scoring().remember(held.hold, held.channel, &held.lines, parties);
    }
    let view = HoldView::new(held.hold, held.channel, &held.lines, held.expires_at);
    created(format!("/v1/holds/{}", held.hold), &view)
}

/// Read a hold.
///
/// One that has ended is answered as it is to whoever would confirm it: `hold_expired` (with `at`, its deadline) or `hold_released` for a day, `hold_sold` if it has become a sale.
/// One of another caller is unknown, whatever has become of it.
#[utoipa::path(
    tag = "Holds", operation_id = "get_hold", security(("key" = ["book"])),
    params(("hold" = String, Path, description = "The hold")),
    responses((status = 200, description = "The hold lives", body = HoldView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[get("/holds/{hold}")]
pub async fn get(node: web::Data<Node>, caller: Caller, hold: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let (id, owner, now) = (hold.into_inner(), caller.owner(), node.now());
    caller.may_at(Scope::Book, id.slot().museum())?;
    let hold = node.look(id.slot(), move |slot| slot.held(now, id, owner).cloned()).await??;
    Ok(HttpResponse::Ok().json(HoldView::new(id, hold.channel, &hold.lines, hold.expires_at)))
}

/// Extend a hold, once.
#[utoipa::path(
    tag = "Holds", operation_id = "extend_hold", security(("key" = ["book"])),
    params(("hold" = String, Path, description = "The hold"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The hold lives longer", body = ExtendedView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/holds/{hold}/extend")]
pub async fn extend(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, hold: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let hold = hold.into_inner();
    caller.may_at(Scope::Book, hold.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["extend", &hold.to_string()], &(), &[], None)?;
    let record = node.slot(hold.slot(), envelope, Command::Extend { hold, owner: caller.owner() }).await?;
    let extended = record.events.iter().find_map(|event| if let Event::Extended(extended) = event { Some(extended) } else { None });
    let extended = extended.ok_or_else(not_rebuilt)?;
    Ok(HttpResponse::Ok().json(ExtendedView { hold: hold.to_string(), expires_at: extended.expires_at.to_string() }))
}

/// What is kept of a hold, or waited for from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShrinkForm {
    /// How many people of each category from now on: as many as are held, or wait, or fewer. A category that is not named is given up.
    #[schema(min_items = 1, max_items = 16)]
    pub lines: Vec<LineForm>,
}

/// What a hold has kept.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ShrunkView {
    /// Its id.
    #[schema(max_length = 26)]
    hold: String,
    /// What is held, at the prices that it had.
    #[schema(max_items = 16)]
    lines: Vec<LineView>,
    /// For how many people.
    people: u32,
    /// What is due, in euro cents.
    total_cents: i64,
}

/// Keep fewer places of a hold.
///
/// For a buyer of four who wants three after all. What is left keeps its prices and lives as long as before; more places, or other categories, are held anew. Not while a payment for
/// the hold can still be paid: cancel that first. Where a museum lets places rest (`rest_max_s`), what a web shop gives back of a slot that is nearly full is not free at once, and its
/// buyer can hold no other places there meanwhile; what is left can be bought.
#[utoipa::path(
    tag = "Holds", operation_id = "shrink_hold", security(("key" = ["book"])),
    request_body(content = ShrinkForm, example = json!({"lines": [{"category": "full", "count": 1}]})),
    params(("hold" = String, Path, description = "The hold"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The hold has fewer places", body = ShrunkView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[put("/holds/{hold}/lines")]
pub async fn shrink(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    hold: web::Path<HoldId>,
    form: Json<ShrinkForm>,
) -> Result<HttpResponse, Problem> {
    let hold = hold.into_inner();
    caller.may_at(Scope::Book, hold.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["shrink", &hold.to_string()], &*form, &[], None)?;
    let counts = form.lines.iter().map(|line| (line.category, line.count)).collect();
    let kept = payments::shrink(&node, hold, envelope, (counts, draw()), caller.owner()).await?.ok_or_else(not_rebuilt)?;
    Ok(HttpResponse::Ok().json(ShrunkView {
        hold: hold.to_string(),
        lines: kept.iter().map(LineView::from).collect(),
        people: people_of(&kept),
        total_cents: total(&kept).get(),
    }))
}

/// How a hold becomes a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmForm {
    /// How it is paid.
    pub settlement: SettlementForm,
    /// Whom to write to. It is kept apart, encrypted, until 90 days after the visit.
    #[serde(default)]
    pub contact: Option<ContactForm>,
    /// Whose name stands on all tickets: somebody who comes along, and shows a document at the gate. Where `step_up_required` offers `named_ticket`, that is the proof. It is
    /// kept apart, encrypted, until 90 days after the visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderForm>,
    /// Who takes part, the buyer first.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub parties: Vec<PartyForm>,
}

/// Make a hold a sale.
///
/// Who may settle how: web shops what is free; desks and kiosks what they were paid; resellers and operators on their own account; the group office and administrators on any account,
/// within its limit. Anything else is refused with `settlement_not_allowed`: it is paid by a payment (`POST /v1/payments`), which makes the sale by itself.
///
/// A hold for which a payment can still be paid is sold by that payment alone, and refused here with `hold_kept`. Cancel the payment first, or let it be paid, at a desk too
/// (`POST /v1/payments/{payment}/desk`).
#[utoipa::path(
    tag = "Holds", operation_id = "confirm_hold", security(("key" = ["book"])),
    request_body(content = ConfirmForm, example = json!({"settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}})),
    params(("hold" = String, Path, description = "The hold"), ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 201, description = "The places are sold", body = SaleView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/holds/{hold}/confirm")]
pub async fn confirm(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    hold: web::Path<HoldId>,
    form: Json<ConfirmForm>,
    proof: Proof,
) -> Result<HttpResponse, Problem> {
    let (hold, owner) = (hold.into_inner(), caller.owner());
    caller.may_at(Scope::Book, hold.slot().museum())?;
    let settlement = form.settlement.by(&caller)?;
    let mut envelope = envelope(&node, &caller, &key, &["confirm", &hold.to_string()], &*form, &form.parties, None)?;
    // What somebody has was looked at when they held, if they were named then.
    if !form.parties.is_empty() && !node.scoring().held(hold).is_some_and(|held| held.names_buyer()) {
        known_before(&node, &[hold.slot()], &form.parties, &mut envelope);
    }
    let proven = form.holder.is_some() || caller.is_desk();
    acting::weigh_held(&node, &mut envelope, SignalKind::Sold { held: true }, hold, proven, &proof).await?;
    let mut confirmation = Confirmation::new(hold, owner);
    let names = form.contact.is_some() || form.holder.is_some();
    let _turn = people::turn(&node, hold.slot().museum(), &envelope, names).await?;
    let wanted = names && Box::pin(may_name(&node, (hold, owner), &envelope, &settlement, &mut confirmation)).await?;
    let kept = people::keep_both(&node, hold.slot(), &envelope, (form.contact.as_ref(), form.holder.as_ref()), wanted).await?;
    let record = sell(&node, hold, envelope, &settlement, &mut confirmation, kept).await;
    if matches!(record, Err(Failure::Refused(_) | Failure::KeyReused)) && wanted {
        Box::pin(people::drop_unsold(&node, kept.0.into_iter().chain(kept.1))).await?;
    }
    let record = record?;
    sales::answer(&record)
}

/// Whether somebody may be named for a hold: it lives, is the caller's, and would be sold. A repeat finds it sold, and the contact where the first request put it.
async fn may_name(
    node: &Node,
    (hold, owner): (HoldId, Option<KeyId>),
    envelope: &Envelope,
    settlement: &Settlement,
    confirmation: &mut Confirmation,
) -> Result<bool, Problem> {
    let lives = move |slot: &Slot| slot.hold_of(hold).is_some_and(|hold| owner.is_none_or(|owner| owner == hold.who));
    if !node.look(hold.slot(), lives).await? {
        return Ok(false);
    }
    confirmation.look(node).await?;
    node.rehearse(hold.slot(), envelope, &confirmation.command(settlement, None)).await?;
    Ok(true)
}

/// Makes the sale, to whoever is to be written to and with whose name the tickets bear. What a payment keeps is sold only if that needs it no more, which is looked at when
/// the slot asks for it.
async fn sell(
    node: &Node,
    hold: HoldId,
    envelope: Envelope,
    settlement: &Settlement,
    confirmation: &mut Confirmation,
    (contact, holder): (Option<PersonId>, Option<PersonId>),
) -> Result<Record<Event>, Failure<accounts::Refusal>> {
    let sold = sales::sold(node, hold.slot(), envelope.clone(), settlement, confirmation.command(settlement, contact).named(holder)).await;
    let is_kept = matches!(sold, Err(Failure::Refused(accounts::Refusal::Slot(slot::Refusal::HoldKept { .. }))));
    if is_kept && Box::pin(confirmation.look(node)).await.map_err(|failure| failure.map(accounts::Refusal::Slot))? {
        return sales::sold(node, hold.slot(), envelope, settlement, confirmation.command(settlement, contact).named(holder)).await;
    }
    sold
}

/// Give held places back.
///
/// Not while a payment for them can still be paid: cancel that first. The options of a quote are given back by what becomes of the quote. Where a museum lets places rest
/// (`rest_max_s`), what a web shop gives back of a slot that is nearly full is not free at once, and its buyer can hold no other places there meanwhile.
#[utoipa::path(
    tag = "Holds", operation_id = "release_hold", security(("key" = ["book"])),
    params(("hold" = String, Path, description = "The hold"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 204, description = "The places are given back"), crate::openapi::Problems, crate::openapi::Ended),
)]
#[delete("/holds/{hold}")]
pub async fn release(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, hold: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let hold = hold.into_inner();
    caller.may_at(Scope::Book, hold.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["release", &hold.to_string()], &(), &[], None)?;
    payments::release(&node, hold, envelope, caller.owner()).await?;
    Ok(HttpResponse::NoContent().finish())
}
