//! The waiting list of a slot: parties join it, see where they stand and why, become smaller, and leave it. An offer is a hold with the entry's id: it is confirmed, extended and
//! given back like any other.

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use tornello_actors::fraud::SignalKind;
use tornello_actors::node::Node;
use tornello_actors::payments;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{HoldId, SlotId};
use tornello_engine::slot::{Command, Event, Offer, Slot, Standing, Waiting, WaitingEnd, people as people_of, total};

use crate::acting::Proof;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, draw, envelope};
use crate::routes::holds::{HoldForm, HoldView, LineView, Placed, ShrinkForm, place};
use crate::routes::waiting_rooms::Admission;
use crate::routes::{created, not_rebuilt, page, page_size};
use crate::words::ChannelWord;

/// The most overtakings that an entry shows, the latest ones.
const OVERTAKINGS_SHOWN: usize = 20;

/// A party that has joined the list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct JoinedView {
    /// The new entry: its id, and that of the hold which it becomes.
    #[schema(max_length = 26)]
    entry: String,
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The how-manieth to join the list of this slot, from 1: parties are served in this order, each as soon as it fits wholly.
    number: u64,
    /// Where it stood in the list when it joined, from 1.
    position: u32,
    /// How many people waited before it then.
    people_ahead: u32,
    /// The channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// For what it waits.
    #[schema(max_items = 16)]
    lines: Vec<LineView>,
    /// How many people they are.
    people: u32,
    /// What will be due, in euro cents: prices are those of when it joined.
    total_cents: i64,
    /// Since when it waits (RFC 3339, UTC).
    #[schema(format = DateTime)]
    since: String,
}

/// Why somebody who joined later was served before: so many places were free for this entry's channel then, fewer than it needed then.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OvertakingView {
    /// The how-manieth to join the list the other party was.
    number: u64,
    /// How many people it was.
    people: u32,
    /// How many places this entry's channel might have taken then.
    free: u32,
    /// When it was served (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
}

impl OvertakingView {
    /// How many parties that joined later were served while an entry waited, and the last of them to join.
    pub(super) fn of(slot: &Slot, entry: HoldId) -> (u32, Vec<Self>) {
        let channel = slot.waited_through(entry);
        let why = |offer: &Offer| Self {
            number: offer.number,
            people: offer.people,
            free: channel.map_or(0, |channel| offer.free[channel.index()]),
            at: offer.at.to_string(),
        };
        (slot.overtakers_of(entry).count() as u32, slot.overtakers_of(entry).rev().take(OVERTAKINGS_SHOWN).map(why).collect())
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EntryView {
    /// The entry.
    #[schema(max_length = 26)]
    entry: String,
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// `waiting`, `offered`; or how it ended: `left`, `sales_ended`, `taken` (the sale has the same id), `declined`, `lapsed`.
    #[schema(max_length = 16, examples("waiting"))]
    state: &'static str,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    since: String,
    /// The how-manieth to join the list; absent when it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    /// Where it stands in the list, from 1; absent when it does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    /// How many people wait before it; absent when it does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    people_ahead: Option<u32>,
    /// For what it waits; absent when it does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 16)]
    lines: Option<Vec<LineView>>,
    /// How many parties that joined later were served while it waited, because this one did not fit: also when it has its own offer by now, or has ended, as long as
    /// the entry is known.
    overtaken: u32,
    /// The last of them to join, at most 20.
    #[schema(max_items = 20)]
    overtaken_by: Vec<OvertakingView>,
    /// How many parties that joined earlier went on waiting when it had its offer, because they did not fit; absent before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed_over: Option<u32>,
    /// The offer: a hold to confirm, extend or give back; absent when there is none. While the slot is closed it does not run out, also when the time that it names is over: it has
    /// as long as a new one when the slot reopens.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldView>,
}

impl EntryView {
    fn bare(slot: &Slot, entry: HoldId, state: &'static str, since: impl ToString) -> Self {
        let (overtaken, overtaken_by) = OvertakingView::of(slot, entry);
        Self {
            entry: entry.to_string(),
            slot: entry.slot().to_string(),
            state,
            since: since.to_string(),
            number: None,
            position: None,
            people_ahead: None,
            lines: None,
            overtaken,
            overtaken_by,
            passed_over: None,
            hold: None,
        }
    }

    fn of(slot: &Slot, entry: HoldId, standing: Standing<'_>) -> Self {
        match standing {
            Standing::Waiting(party) => Self::waiting(slot, party),
            Standing::Offered(offer) => Self::offered(slot, entry, offer),
            Standing::Ended(end) => Self::bare(slot, entry, end_name(end.how), end.at),
        }
    }

    fn waiting(slot: &Slot, party: &Waiting) -> Self {
        let (parties_ahead, people_ahead) = slot.ahead_of(party);
        Self {
            number: Some(party.number),
            position: Some(parties_ahead + 1),
            people_ahead: Some(people_ahead),
            lines: Some(party.lines.iter().map(LineView::from).collect()),
            ..Self::bare(slot, party.entry, "waiting", party.since)
        }
    }

    fn offered(slot: &Slot, entry: HoldId, offer: &Offer) -> Self {
        let hold = slot.hold_of(entry).map(|hold| HoldView::new(entry, hold.channel, &hold.lines, hold.expires_at));
        Self { number: Some(offer.number), passed_over: Some(offer.passed_over), hold, ..Self::bare(slot, entry, "offered", offer.at) }
    }
}

const fn end_name(how: WaitingEnd) -> &'static str {
    match how {
        WaitingEnd::Left => "left",
        WaitingEnd::SalesEnded => "sales_ended",
        WaitingEnd::Taken => "taken",
        WaitingEnd::Declined => "declined",
        WaitingEnd::Lapsed => "lapsed",
    }
}

/// A party in the list, as staff see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QueueItem {
    /// The entry.
    #[schema(max_length = 26)]
    entry: String,
    /// The how-manieth to join.
    number: u64,
    /// The channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// How many people they are.
    people: u32,
    /// Which key joined for them.
    #[schema(max_length = 13)]
    who: String,
    /// Since when they wait (RFC 3339, UTC).
    #[schema(format = DateTime)]
    since: String,
}

impl From<&Waiting> for QueueItem {
    fn from(party: &Waiting) -> Self {
        Self {
            entry: party.entry.to_string(),
            number: party.number,
            channel: party.channel,
            people: party.people(),
            who: party.who.to_string(),
            since: party.since.to_string(),
        }
    }
}

/// A page of the list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QueuePage {
    /// Those who wait, in the order in which they are served.
    #[schema(max_items = 200)]
    items: Vec<QueueItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<u64>,
}

/// Which part of the list.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QueueQuery {
    /// Go on after the page that gave this.
    #[param(minimum = 0)]
    cursor: Option<u64>,
    /// How many on a page, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Wait for places.
///
/// All or nothing, at today's prices. Whenever places come free the list is gone through from the front, in the order of joining, and each party that fits wholly
/// in what its channel may take has an offer: a hold with the entry's id, which lives as long as any hold of this museum and is confirmed, extended and given
/// back like one. A party that does not fit keeps its place and is passed over. An offer that lapses or is given back ends the entry; so does the end of sales. While the slot
/// is closed no offer lapses: each begins anew when it reopens.
/// Refused with `places_available` when the places can be held at once, and with `not_enough_places` when the slot never has so many for the channel. Read the entry now and then to see the offer, or watch `/v1/live` for changes of the slot.
#[utoipa::path(
    tag = "Waiting", operation_id = "join_waiting_list", security(("key" = ["book"])),
    request_body(content = HoldForm, example = json!({"lines": [{"category": "full", "count": 2}, {"category": "under-18", "count": 1}]})),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Waiting-Room-Admission" = Option<String>, Header, description = "What lets a web buyer through, while a waiting room is open for the slot"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 201, description = "The party waits", body = JoinedView), crate::openapi::Problems),
)]
#[post("/slots/{slot}/waiting")]
pub async fn join(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<HoldForm>,
    given: (Admission, Proof),
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Book, slot.museum())?;
    let command = |entry, channel, lines| Command::Wait { entry, who: caller.id(), channel, lines };
    let Placed { record, id, parties } = place(&node, slot, (&caller, &key), &form, &given, ("wait", SignalKind::Waited), command).await?;
    let waited = record.events.iter().find_map(|event| if let Event::Waited(waited) = event { Some(waited) } else { None });
    let waited = waited.ok_or_else(not_rebuilt)?;
    // Whoever waited takes part when the offer is bought, whatever name is given then. A repeat is told for how many they waited at first, which may be fewer by now.
    if waited.entry == id {
        node.scoring().remember(waited.entry, waited.channel, &waited.lines, parties);
    }
    let view = JoinedView {
        entry: waited.entry.to_string(),
        slot: slot.to_string(),
        number: waited.number,
        position: waited.parties_ahead + 1,
        people_ahead: waited.people_ahead,
        channel: waited.channel,
        lines: waited.lines.iter().map(LineView::from).collect(),
        people: people_of(&waited.lines),
        total_cents: total(&waited.lines).get(),
        since: record.at.to_string(),
    };
    created(format!("/v1/waiting/{}", waited.entry), &view)
}

/// List those who wait for a slot.
///
/// In the order in which they are served, as it is now.
#[utoipa::path(
    tag = "Waiting", operation_id = "list_waiting", security(("key" = ["desk"])),
    params(("slot" = String, Path, description = "The slot", max_length = 13, example = "0009000102r4e"), QueueQuery),
    responses((status = 200, description = "A page of the list", body = QueuePage), crate::openapi::Problems),
)]
#[get("/slots/{slot}/waiting")]
pub async fn list(node: web::Data<Node>, caller: Caller, slot: web::Path<SlotId>, query: web::Query<QueueQuery>) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Desk, slot.museum())?;
    let (size, after) = (page_size(query.limit)?, query.cursor.unwrap_or(0));
    let read = move |slot: &Slot| -> Vec<QueueItem> {
        slot.waiting().filter(|party| party.number > after).take(size as usize + 1).map(QueueItem::from).collect()
    };
    let (items, next_cursor) = page(node.look(slot, read).await?, size, |item| item.number);
    Ok(HttpResponse::Ok().json(QueuePage { items, next_cursor }))
}

/// Read an entry of a waiting list.
///
/// Where it stands; its offer; or how it ended, for a day. And who was served before it although they joined later, with the reason, for as long: the party reads its
/// own entry, staff any.
#[utoipa::path(
    tag = "Waiting", operation_id = "get_waiting", security(("key" = ["book"])),
    params(("entry" = String, Path, description = "The entry", max_length = 26)),
    responses((status = 200, description = "Where the entry stands", body = EntryView), crate::openapi::Problems),
)]
#[get("/waiting/{entry}")]
pub async fn get(node: web::Data<Node>, caller: Caller, entry: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let (entry, owner) = (entry.into_inner(), caller.owner());
    caller.may_at(Scope::Book, entry.slot().museum())?;
    let read = move |slot: &Slot| {
        let standing = slot.standing_of(entry)?;
        let who = match standing {
            Standing::Waiting(party) => party.who,
            Standing::Offered(_) => slot.hold_of(entry)?.who,
            Standing::Ended(end) => end.who,
        };
        owner.is_none_or(|owner| owner == who).then(|| EntryView::of(slot, entry, standing))
    };
    let view = node.look(entry.slot(), read).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(view))
}

/// What an entry waits for from now on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FewerView {
    /// The entry.
    #[schema(max_length = 26)]
    entry: String,
    /// For what it waits, or what its offer has kept, at the prices that they had.
    #[schema(max_items = 16)]
    lines: Vec<LineView>,
    /// How many people they are.
    people: u32,
    /// What will be due, in euro cents.
    total_cents: i64,
}

/// Wait for fewer places.
///
/// For a party of five that is three by now. It keeps its turn and its prices, and has its offer as soon as it fits and nobody before it does. For more people, or others, join anew. Of an
/// offer the other places are given back, as of a hold (`PUT /v1/holds/{hold}/lines`).
#[utoipa::path(
    tag = "Waiting", operation_id = "wait_for_fewer", security(("key" = ["book"])),
    request_body(content = ShrinkForm, example = json!({"lines": [{"category": "full", "count": 1}]})),
    params(("entry" = String, Path, description = "The entry", max_length = 26),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The party is smaller", body = FewerView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[put("/waiting/{entry}/lines")]
pub async fn fewer(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    entry: web::Path<HoldId>,
    form: Json<ShrinkForm>,
) -> Result<HttpResponse, Problem> {
    let entry = entry.into_inner();
    caller.may_at(Scope::Book, entry.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["wait for fewer", &entry.to_string()], &*form, &[], None)?;
    let counts = form.lines.iter().map(|line| (line.category, line.count)).collect();
    let kept = payments::wait_for_fewer(&node, entry, envelope, (counts, draw()), caller.owner()).await?.ok_or_else(not_rebuilt)?;
    Ok(HttpResponse::Ok().json(FewerView {
        entry: entry.to_string(),
        lines: kept.iter().map(LineView::from).collect(),
        people: people_of(&kept),
        total_cents: total(&kept).get(),
    }))
}

/// Leave a waiting list.
///
/// An offer is given back with it, unless a payment is under way for it: cancel that first.
#[utoipa::path(
    tag = "Waiting", operation_id = "leave_waiting_list", security(("key" = ["book"])),
    params(("entry" = String, Path, description = "The entry", max_length = 26),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 204, description = "The party waits no longer"), crate::openapi::Problems, crate::openapi::Ended),
)]
#[delete("/waiting/{entry}")]
pub async fn leave(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, entry: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let entry = entry.into_inner();
    caller.may_at(Scope::Book, entry.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["leave", &entry.to_string()], &(), &[], None)?;
    payments::leave_waiting(&node, entry, envelope, caller.owner()).await?;
    Ok(HttpResponse::NoContent().finish())
}
