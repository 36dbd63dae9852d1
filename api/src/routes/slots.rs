//! One slot: its counters for those who run it, and what staff change. A change is answered from the events that it became.

use actix_web::{HttpResponse, get, post, put, web};
use serde::{Deserialize, Serialize};
use tornello_actors::availability::{self, SlotAvailability, Status};
use tornello_actors::board::SlotHead;
use tornello_actors::failure::Failure;
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, SlotId};
use tornello_engine::museum::Museum;
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Event, Live, Refusal, Slot, sale_ends_at, sale_opens_at};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::availability::{route_code, sees_all_channels, status_name};
use crate::routes::forecasts::apart;
use crate::routes::plans::{PolicyForm, QuotaForm, quota_forms, quotas};
use crate::routes::{local, not_rebuilt};
use crate::words::ChannelWord;

/// The most places of one slot.
const CAPACITY_MAX: u32 = 100_000;

/// What one channel has and may have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChannelView {
    /// The channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// Places in live holds.
    held: u32,
    /// Places sold and not cancelled.
    sold: u32,
    /// Places reserved for it.
    reserved: u32,
    /// The most that it may take before the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// When its quota ends (RFC 3339, UTC).
    #[schema(format = DateTime)]
    release_at: String,
    /// How many places it may take now.
    available: u32,
}

/// What a sensor said last.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LiveView {
    /// Which sensor.
    #[schema(value_type = String, max_length = 23)]
    sensor: Code,
    /// People in the building.
    inside: u32,
    /// The standard deviation.
    sd: u32,
    /// The upper bound that counts: two standard deviations above.
    upper: u32,
    /// When it was measured (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// Whether it is too old to count.
    stale: bool,
    /// The most places that may be taken because of it; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    sellable: Option<u32>,
}

impl LiveView {
    /// What sensors said last, as of `now`.
    #[must_use]
    pub fn new(live: &Live, now: Timestamp) -> Self {
        Self {
            sensor: live.source,
            inside: live.people,
            sd: live.sd,
            upper: live.upper(),
            at: live.measured_at.to_string(),
            stale: now >= live.until,
            sellable: live.sellable,
        }
    }
}

/// A slot, counted.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SlotView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The museum's number.
    museum: u16,
    /// The route's code; absent if the plan does not have the route any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    route: Option<Code>,
    /// When it starts (RFC 3339, UTC).
    #[schema(format = DateTime)]
    starts_at: String,
    /// When it ends (RFC 3339, UTC).
    #[schema(format = DateTime)]
    ends_at: String,
    /// When it starts, as the clocks in Rome show it.
    #[schema(format = DateTime)]
    local_start: String,
    /// When sales begin (RFC 3339, UTC).
    #[schema(format = DateTime)]
    sale_opens_at: String,
    /// When sales end for the key's channel (RFC 3339, UTC).
    #[schema(format = DateTime)]
    sale_ends_at: String,
    /// When the gate opens for it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    gate_opens_at: String,
    /// When the gate closes for it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    gate_closes_at: String,
    /// Whether the key's channel may book now, as in the list of availability.
    #[schema(max_length = 16, examples("available"))]
    status: &'static str,
    /// Why it is closed for sale, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    closed_reason: Option<Code>,
    /// Its places.
    capacity: u32,
    /// How many more than these are for sale, to the public only, because some of those who have tickets will not come: 0 unless the planning policy of the museum
    /// says that slots are sold beyond their places, and 0 where staff set the places of this one by hand.
    beyond: u32,
    /// The probability that anybody with a ticket is turned away, as it is sold now; only where `beyond` is above 0 and the slot is not over, and for desks, managers
    /// and the ministry.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_away: Option<f64>,
    /// How many places may be taken now, in all.
    sellable: u32,
    /// Places in live holds.
    held: u32,
    /// Places that were held over the web and not bought, and are not free yet: they count as taken.
    resting: u32,
    /// Places sold and not cancelled.
    sold: u32,
    /// Places taken beyond those that may be: after a cut, or when the building is full.
    over: u32,
    /// Tickets let in at least once.
    admitted: u32,
    /// Tickets whose holders are inside.
    inside: u32,
    /// Scans of gates without a network that could not stand beside what was known.
    conflicts: u32,
    /// How many places the key's channel may take now.
    available: u32,
    /// How many parties wait for places.
    waiting: u32,
    /// The channels: all for desks, managers and the ministry, its own for another key.
    #[schema(max_items = 5)]
    channels: Vec<ChannelView>,
    /// How it is sold and entered.
    policy: PolicyForm,
    /// The most people inside the building at once; absent: no ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<u32>,
    /// What sensors said last; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveView>,
    /// When something happened to it last; absent if nothing ever did (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    changed_at: Option<String>,
    /// When it was like this (RFC 3339, UTC).
    #[schema(format = DateTime)]
    as_of: String,
}

/// A number of places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityForm {
    /// How many.
    #[schema(maximum = 100_000, examples(15))]
    pub capacity: u32,
}

/// The channels' shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotasForm {
    /// Each channel at most once; channels that are not named have none.
    #[schema(max_items = 5)]
    pub quotas: Vec<QuotaForm>,
}

/// Why a slot is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseForm {
    /// In one word.
    #[schema(value_type = String, max_length = 23, examples("strike"))]
    pub reason: Code,
}

/// A slot's places after a change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CapacityView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// Its places.
    capacity: u32,
    /// Places taken beyond those that may be, right after the change: they stay sold, and nothing is sold until as many are given back.
    over: u32,
    /// The most people inside the building at once; absent: no ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<u32>,
    /// How many places more there are now than the building may hold at once: a warning if it is not 0.
    above_ceiling: u32,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
}

/// A slot's quotas after a change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotasView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The channels that have one.
    #[schema(max_items = 5)]
    quotas: Vec<QuotaForm>,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
}

/// Whether a slot is for sale after a change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ClosingView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// Whether it is closed for sale.
    closed: bool,
    /// Why, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    reason: Option<Code>,
}

/// A slot as its counters show it; one that is past and has left the board is read back.
async fn seen(node: &Node, slot: SlotId, channel: Channel) -> Result<SlotAvailability, Problem> {
    let known = node.museums().get(slot.museum()).ok_or_else(Problem::not_found)?;
    let now = node.now();
    if node.board().head(slot).is_some() || slot.start() > now {
        return availability::of_slot(&known, node.board(), slot, channel, now).ok_or_else(Problem::not_found);
    }
    let (head, is_opened) = node.look(slot, |slot| (SlotHead::of(slot), slot.is_opened())).await?;
    let (available, limited_by) = head.places.available(channel, now);
    let over = now >= sale_ends_at(slot, head.end, &head.policy, channel);
    let changed_at = is_opened.then_some(head.at);
    let status = if over { Status::Over } else { Status::Available };
    let available = if over { 0 } else { available };
    let planned = availability::of_slot(&known, node.board(), slot, channel, now);
    Ok(match planned {
        Some(planned) if !is_opened => planned,
        _ => SlotAvailability { slot, end: head.end, policy: head.policy, places: head.places, available, limited_by, status, changed_at },
    })
}

fn channel_view(known: Option<&Known>, seen: &SlotAvailability, channel: Channel, now: Timestamp) -> ChannelView {
    let (places, i) = (&seen.places, channel.index());
    let sells = (sale_opens_at(seen.slot, &seen.policy)..sale_ends_at(seen.slot, seen.end, &seen.policy, channel)).contains(&now)
        && known.is_some_and(|known| availability::books(known, seen.slot, channel) == Some(true));
    ChannelView {
        channel,
        held: places.held[i],
        sold: places.sold[i],
        reserved: places.quotas[i].reserved,
        limit: places.quotas[i].limit,
        release_at: places.release_at(channel).to_string(),
        available: if sells { places.available(channel, now).0 } else { 0 },
    }
}

/// The most people inside the building at once on the day of a slot: that of today's word, whatever held when the slot was opened.
fn ceiling_of(museum: &Museum, slot: SlotId) -> Option<u32> {
    museum.ceiling_on(calendar::local_day(slot.start()))
}

impl SlotView {
    fn new(node: &Node, caller: &Caller, seen: &SlotAvailability) -> Self {
        let (now, channel, places, policy) = (node.now(), caller.channel(), &seen.places, &seen.policy);
        let start = seen.slot.start();
        let known = node.museums().get(seen.slot.museum());
        let ceiling = known.as_ref().and_then(|known| ceiling_of(&known.museum, seen.slot));
        let shown = |other: &Channel| *other == channel || sees_all_channels(caller);
        let live = places.live.as_ref().map(|live| LiveView::new(live, now));
        Self {
            slot: seen.slot.to_string(),
            museum: seen.slot.museum().0,
            route: known.as_deref().and_then(|known| route_code(known, calendar::local_day(start), seen.slot.route())),
            starts_at: start.to_string(),
            ends_at: seen.end.to_string(),
            local_start: local(start),
            sale_opens_at: sale_opens_at(seen.slot, policy).to_string(),
            sale_ends_at: sale_ends_at(seen.slot, seen.end, policy, channel).to_string(),
            gate_opens_at: start.plus_seconds(-i64::from(policy.admit_early_s)).to_string(),
            gate_closes_at: seen.end.plus_seconds(i64::from(policy.admit_late_s)).to_string(),
            status: status_name(seen.status),
            closed_reason: places.closed,
            capacity: places.capacity,
            beyond: places.beyond(),
            turn_away: None,
            sellable: places.sellable(now),
            held: places.held.iter().sum(),
            resting: places.resting,
            sold: places.sold.iter().sum(),
            over: places.over(now),
            admitted: places.admitted,
            inside: places.inside,
            conflicts: places.conflicts,
            available: seen.available,
            waiting: node.board().head(seen.slot).map_or(0, |head| head.waiting),
            channels: Channel::ALL.iter().filter(|other| shown(other)).map(|other| channel_view(known.as_deref(), seen, *other, now)).collect(),
            policy: PolicyForm::from(policy),
            ceiling,
            live,
            changed_at: seen.changed_at.map(|at| at.to_string()),
            as_of: now.to_string(),
        }
    }
}

/// Read a slot.
///
/// Its counters right after the last commit, its windows and its policy.
#[utoipa::path(
    tag = "Slots", operation_id = "get_slot", security(("key" = ["read"])),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e")),
    responses((status = 200, description = "The slot", body = SlotView), crate::openapi::Problems),
)]
#[get("/slots/{slot}")]
pub async fn get(node: web::Data<Node>, caller: Caller, slot: web::Path<SlotId>) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Read, slot.museum())?;
    let seen = seen(&node, slot, caller.channel()).await?;
    let turn_away = turn_away(&node, &caller, &seen).await?;
    Ok(HttpResponse::Ok().json(SlotView { turn_away, ..SlotView::new(&node, &caller, &seen) }))
}

/// How likely anybody is turned away from a slot that sells beyond its places, for those who run it.
async fn turn_away(node: &web::Data<Node>, caller: &Caller, seen: &SlotAvailability) -> Result<Option<f64>, Problem> {
    let known = node.museums().get(seen.slot.museum());
    let Some(known) = known.filter(|_| seen.places.beyond() > 0 && node.now() < seen.end && sees_all_channels(caller)) else { return Ok(None) };
    let (node, slot, places) = (node.clone(), seen.slot, seen.places);
    let turn_away = apart(move || node.forecaster().turn_away(&node, &known, slot, places.capacity, places.sold.iter().sum())).await?;
    Ok(Some((turn_away * 10_000.0).round() / 10_000.0))
}

async fn change(
    node: &Node,
    caller: &Caller,
    key: &IdempotencyKey,
    slot: SlotId,
    what: &str,
    form: &impl Serialize,
    command: Command,
) -> Result<Record<Event>, Problem> {
    let envelope = envelope(node, caller, key, &[what, &slot.to_string()], form, &[], None)?;
    Ok(node.slot(slot, envelope, command).await?)
}

/// Change a slot's places.
///
/// Fewer places than are taken are accepted: what was sold stays sold, nothing more is, and `over` says how many that are too many. More places than the building may hold at once are accepted
/// too, with a warning in `above_ceiling`; the gates keep the ceiling. From then on this slot is not sold beyond its places by itself, whatever the planning policy says.
#[utoipa::path(
    tag = "Slots", operation_id = "set_capacity", security(("key" = ["manage"])),
    request_body(content = CapacityForm, example = json!({"capacity": 15})),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The places are changed", body = CapacityView), crate::openapi::Problems),
)]
#[put("/slots/{slot}/capacity")]
pub async fn set_capacity(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<CapacityForm>,
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Manage, slot.museum())?;
    if form.capacity > CAPACITY_MAX {
        return Err(Problem::invalid("capacity must be 0 to 100000"));
    }
    let envelope = envelope(&node, &caller, &key, &["capacity", &slot.to_string()], &*form, &[], None)?;
    let look = |slot: &Slot| slot.places().over(slot.last_at());
    let (record, after) = node.slot_and_after(slot, envelope, Command::SetCapacity { capacity: form.capacity }, look).await?;
    let set = record.events.iter().find_map(|event| if let Event::CapacitySet(set) = event { Some(set.capacity) } else { None });
    let capacity = set.ok_or_else(not_rebuilt)?;
    // A repeat is told what was so then. What is written is written: where it cannot be read back now, a repeat is answered.
    let over = match after {
        Some(over) => over,
        None => look(&node.slot_after(slot, record.seq).await.map_err(|_| Failure::<Refusal>::OutcomeUnknown)?),
    };
    let ceiling = match node.museums().get(slot.museum()) {
        Some(known) if known.museum.last_at() <= record.at => ceiling_of(&known.museum, slot),
        _ => ceiling_of(&node.museum_then(slot.museum(), record.at).await.map_err(|_| Failure::<Refusal>::OutcomeUnknown)?, slot),
    };
    let above_ceiling = ceiling.map_or(0, |ceiling| capacity.saturating_sub(ceiling));
    Ok(HttpResponse::Ok().json(CapacityView { slot: slot.to_string(), capacity, over, ceiling, above_ceiling, at: record.at.to_string() }))
}

/// Change a slot's quotas.
#[utoipa::path(
    tag = "Slots", operation_id = "set_quotas", security(("key" = ["manage"])),
    description = "All channels at once: those that are not named have no quota any more. What was sold stays sold.",
    request_body(content = QuotasForm, example = json!({"quotas": [{"channel": "group", "reserved": 5, "limit": 10, "release_s": 86400}]})),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The quotas are changed", body = QuotasView), crate::openapi::Problems),
)]
#[put("/slots/{slot}/quotas")]
pub async fn set_quotas(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<QuotasForm>,
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Manage, slot.museum())?;
    let command = Command::SetQuotas { quotas: quotas(&form.quotas)? };
    let record = change(&node, &caller, &key, slot, "quotas", &*form, command).await?;
    let set = record.events.iter().find_map(|event| if let Event::QuotasSet(set) = event { Some(set.quotas) } else { None });
    let quotas = quota_forms(&set.ok_or_else(not_rebuilt)?);
    Ok(HttpResponse::Ok().json(QuotasView { slot: slot.to_string(), quotas, at: record.at.to_string() }))
}

/// Close a slot for sale.
///
/// What was sold stays sold, enters, and may be cancelled with a full refund.
#[utoipa::path(
    tag = "Slots", operation_id = "close_slot", security(("key" = ["manage"])),
    request_body(content = CloseForm, example = json!({"reason": "strike"})),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The slot is closed", body = ClosingView), crate::openapi::Problems),
)]
#[post("/slots/{slot}/close")]
pub async fn close(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<CloseForm>,
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Manage, slot.museum())?;
    // No event: it was closed for this reason before.
    change(&node, &caller, &key, slot, "close", &*form, Command::Close { reason: form.reason }).await?;
    Ok(HttpResponse::Ok().json(ClosingView { slot: slot.to_string(), closed: true, reason: Some(form.reason) }))
}

/// Reopen a slot.
///
/// It sells again; nothing happens if it was open. Whoever has an offer of its waiting list has as long for it as for a new one.
#[utoipa::path(
    tag = "Slots", operation_id = "reopen_slot", security(("key" = ["manage"])),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The slot is open", body = ClosingView), crate::openapi::Problems),
)]
#[post("/slots/{slot}/reopen")]
pub async fn reopen(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, slot: web::Path<SlotId>) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Manage, slot.museum())?;
    change(&node, &caller, &key, slot, "reopen", &(), Command::Reopen).await?;
    Ok(HttpResponse::Ok().json(ClosingView { slot: slot.to_string(), closed: false, reason: None }))
}
