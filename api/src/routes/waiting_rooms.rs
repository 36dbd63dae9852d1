//! Waiting rooms for the opening of sales: announced by the museum, joined by shops for their buyers. Where somebody stands follows from the token that they carry;
//! what lets them through goes with the hold.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest, HttpResponse, delete, get, post, web};
use rand::TryRng;
use serde::{Deserialize, Serialize};
use tornello_actors::digest::digest;
use tornello_actors::hex::Hex;
use tornello_actors::node::Node;
use tornello_actors::people::Month;
use tornello_actors::rooms::{Comer, Guarded, Passage, Place, RoomRefusal, commitment};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Envelope, PartyKind};
use tornello_engine::ids::{Code, RouteId, SlotId};
use tornello_engine::museum::{Command, Event};
use tornello_engine::room::{Announced, Room};
use tornello_engine::time::Timestamp;

use crate::acting::{self, Proof};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, PartyForm, envelope, is_name, named_now};
use crate::routes::{files, museum_of, not_rebuilt};

/// The header with what somebody was given when they joined.
const TOKEN: HeaderName = HeaderName::from_static("waiting-room-token");
/// The header with what lets somebody through.
const ADMISSION: HeaderName = HeaderName::from_static("waiting-room-admission");

/// A waiting room to announce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomForm {
    /// Its name within the museum.
    #[schema(value_type = String, max_length = 23, examples("spring"))]
    pub code: Code,
    /// For the slots of this route only; absent: of all.
    #[serde(default)]
    #[schema(value_type = Option<u16>)]
    pub route: Option<RouteId>,
    /// For slots that start from then on (RFC 3339).
    #[schema(format = DateTime)]
    pub slots_from: String,
    /// For slots that start before (RFC 3339).
    #[schema(format = DateTime)]
    pub slots_to: String,
    /// When sales open (RFC 3339).
    #[schema(format = DateTime)]
    pub opens_at: String,
    /// When places can be held without it again, within 7 days (RFC 3339).
    #[schema(format = DateTime)]
    pub closes_at: String,
    /// How many parties are let through in a minute.
    #[schema(minimum = 1, maximum = 60000)]
    pub per_minute: u32,
}

/// A waiting room.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RoomView {
    /// Its name within the museum.
    #[schema(value_type = String)]
    code: Code,
    /// For the slots of this route only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>)]
    route: Option<RouteId>,
    /// For slots that start from then on (RFC 3339, UTC).
    slots_from: String,
    /// For slots that start before (RFC 3339, UTC).
    slots_to: String,
    /// When sales open (RFC 3339, UTC).
    opens_at: String,
    /// When places can be held without it again (RFC 3339, UTC).
    closes_at: String,
    /// How many parties are let through in a minute.
    per_minute: u32,
    /// SHA-256 of the seed that decides the lot, in hexadecimal.
    #[schema(max_length = 64)]
    seed_sha256: String,
    /// The seed itself, in hexadecimal, once sales are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    seed: Option<String>,
}

impl RoomView {
    fn new(room: &Room, now: Timestamp) -> Self {
        Self {
            code: room.code,
            route: room.route,
            slots_from: room.slots_from.to_string(),
            slots_to: room.slots_to.to_string(),
            opens_at: room.opens_at.to_string(),
            closes_at: room.closes_at.to_string(),
            per_minute: room.per_minute,
            seed_sha256: commitment(&room.seed),
            seed: (now >= room.opens_at).then(|| Hex(room.seed).to_string()),
        }
    }
}

/// The waiting rooms of a museum.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RoomList {
    /// By name; without those that have closed.
    items: Vec<RoomView>,
}

/// Who joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinForm {
    /// Who takes part: a buyer and the device, or the device alone if nobody is known yet. The same buyer, or the device where none was named, must stand in the hold, which may
    /// be the first to name the buyer. Who has an `account` with the shop, and is named by it as well, needs no proof, unless something speaks against them.
    #[schema(min_items = 1, max_items = 8)]
    pub parties: Vec<PartyForm>,
}

/// Where somebody stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlaceView {
    /// To be sent in `Waiting-Room-Token` to ask again. It holds the place, also after a restart.
    #[schema(max_length = 128)]
    token: String,
    /// When sales open (RFC 3339, UTC).
    opens_at: String,
    /// The place, from 1; absent before the opening, when nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// How long it will take, in seconds; absent before the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_s: Option<u64>,
    /// To be sent in `Waiting-Room-Admission` with the hold, the entry of a waiting list or the move, good for three of them; absent until one's turn, and when they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    admission: Option<String>,
    /// Until when it lets through (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    admission_expires_at: Option<String>,
}

impl PlaceView {
    fn new(of: Place, room: &Announced) -> Self {
        let (admission, until) = of.admission.unzip();
        Self {
            token: of.token,
            opens_at: room.room.opens_at.to_string(),
            position: of.position,
            wait_s: of.wait_s,
            admission,
            admission_expires_at: until.map(|until| until.to_string()),
        }
    }
}

impl From<RoomRefusal> for Problem {
    fn from(refusal: RoomRefusal) -> Self {
        match refusal {
            RoomRefusal::Unknown => Self::not_found(),
            RoomRefusal::BadToken => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_waiting_room_token", "the token is not of this waiting room")
                .detail("Join the room, and send the `token` of the answer as it is."),
            RoomRefusal::NotWritten(failure) => failure.into(),
        }
    }
}

impl From<Guarded> for Problem {
    fn from(Guarded { code, opens_at, closes_at }: Guarded) -> Self {
        Self::new(StatusCode::FORBIDDEN, "waiting_room", "places of this slot are held through its waiting room")
            .detail(
                "Join the room named by `room`, wait for the turn, and send its `admission` in Waiting-Room-Admission, with the same buyer or device. It is good \
                 for three holds, entries of waiting lists or moves.",
            )
            .with("room", code)
            .with("opens_at", opens_at.to_string())
            .with("closes_at", closes_at.to_string())
    }
}

/// An instant that a member of the body names.
fn instant(member: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| Problem::invalid(format!("{member}: an RFC 3339 instant is expected")))
}

fn secret() -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|_| Problem::unavailable("no random numbers"))?;
    Ok(bytes)
}

/// Who comes, under pseudonyms that do not change while a room is open; none if nobody is named who can be told from others.
fn comer(node: &Node, room: &Room, parties: &[PartyForm]) -> Result<Option<Comer>, Problem> {
    let (files, month) = (files(node)?, Month::of(room.opens_at));
    let first = |kind: PartyKind| parties.iter().find(|party| party.kind == kind && is_name(&party.value));
    let of = |kind: PartyKind| first(kind).map(|party| files.pseudonymiser.party_in(kind, &party.value, month).pseudonym);
    let (buyer, device) = (of(PartyKind::Buyer), of(PartyKind::Device));
    Ok(buyer.or(device).map(|who| Comer { who, device }))
}

/// Announce a waiting room.
///
/// Until it closes, web shops hold places of its slots only for those whom it lets through. Those who come before the opening are drawn by lot: the seed is drawn now,
/// its digest is public at once, the seed itself when sales open. It is refused if another room that has not closed has some of the slots (`waiting_room_overlaps`, with that room's name in `room`).
#[utoipa::path(
    tag = "Waiting rooms", operation_id = "announce_waiting_room", security(("key" = ["manage"])),
    request_body(content = RoomForm, example = json!({"code": "spring", "slots_from": "2027-04-01T00:00:00Z", "slots_to": "2027-07-01T00:00:00Z",
        "opens_at": "2027-03-01T09:00:00Z", "closes_at": "2027-03-02T09:00:00Z", "per_minute": 120})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The room is announced", body = RoomView), crate::openapi::Problems),
)]
#[post("/museums/{museum}/waiting-rooms")]
pub async fn announce(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    form: Json<RoomForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["waiting room"], &*form, &[], None)?;
    let RoomForm { code, route, slots_from, slots_to, opens_at, closes_at, per_minute } = form.into_inner();
    let room = Room {
        code,
        route,
        slots_from: instant("slots_from", &slots_from)?,
        slots_to: instant("slots_to", &slots_to)?,
        opens_at: instant("opens_at", &opens_at)?,
        closes_at: instant("closes_at", &closes_at)?,
        per_minute,
        seed: secret()?,
        signing: secret()?,
    };
    let record = node.museum(id, envelope, Command::AnnounceRoom { room: Box::new(room) }).await?;
    let announced = record.events.iter().find_map(|event| if let Event::RoomAnnounced(announced) = event { Some(announced) } else { None });
    Ok(HttpResponse::Created().json(RoomView::new(&announced.ok_or_else(not_rebuilt)?.room, record.at)))
}

/// List the waiting rooms of a museum.
#[utoipa::path(
    tag = "Waiting rooms", operation_id = "list_waiting_rooms", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "Those that have not closed", body = RoomList), crate::openapi::Problems),
)]
#[get("/museums/{museum}/waiting-rooms")]
pub async fn list(node: web::Data<Node>, caller: Caller, museum: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let now = node.now();
    let open = known.museum.rooms().iter().filter(|known| known.room.closes_at > now);
    Ok(HttpResponse::Ok().json(RoomList { items: open.map(|known| RoomView::new(&known.room, now)).collect() }))
}

/// Withdraw a waiting room.
///
/// Places of its slots can be held without it from then on, whether or not it had opened.
#[utoipa::path(
    tag = "Waiting rooms", operation_id = "withdraw_waiting_room", security(("key" = ["manage"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("room" = String, Path, description = "Its name", max_length = 23, example = "spring"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 204, description = "It is withdrawn"), crate::openapi::Problems),
)]
#[delete("/museums/{museum}/waiting-rooms/{room}")]
pub async fn withdraw(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, path: web::Path<(String, Code)>) -> Result<HttpResponse, Problem> {
    let (museum, code) = path.into_inner();
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["withdraw waiting room", code.as_str()], &(), &[], None)?;
    node.museum(id, envelope, Command::WithdrawRoom { code }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Join a waiting room.
///
/// Those who join before the opening take part in the lot, once, however often they join; those who join later are served in that order. A buyer and a device stand in one place: a second
/// name on the same device, or a second device of the same name, has the place that there is, and its three holds are theirs together. A first request is answered `step_up_required`, unless
/// an `account` is named and nothing speaks against them: do the work, and repeat the request with it.
#[utoipa::path(
    tag = "Waiting rooms", operation_id = "join_waiting_room", security(("key" = ["book"])),
    request_body(content = JoinForm, example = json!({"parties": [{"kind": "buyer", "value": "maria.rossi@example.it"}]})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("room" = String, Path, description = "Its name", max_length = 23, example = "spring"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 200, description = "The party waits, or may hold places", body = PlaceView), crate::openapi::Problems),
)]
#[post("/waiting-room/{museum}/{room}")]
pub async fn join(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(String, Code)>,
    form: Json<JoinForm>,
    proof: Proof,
) -> Result<HttpResponse, Problem> {
    let (museum, code) = path.into_inner();
    let known = museum_of(&node, &caller, Scope::Book, &museum)?;
    let announced = known.museum.room(code).ok_or_else(Problem::not_found)?;
    let (id, room) = (known.museum.id(), &announced.room);
    let comer = comer(&node, room, &form.parties)?.ok_or_else(|| Problem::invalid("parties: a buyer or a device is expected"))?;
    let has_account = form.parties.iter().any(|party| party.kind == PartyKind::Account && is_name(&party.value));
    if node.now() < room.closes_at && !node.has_come(id, room, comer) {
        let (opens_at, who) = (room.opens_at.as_micros().to_be_bytes(), u128::to_be_bytes(comer.who.0));
        let device = comer.device.map_or([0; 16], |device| u128::to_be_bytes(device.0));
        let bound = digest(&[b"join", &id.0.to_be_bytes(), code.as_str().as_bytes(), &opens_at, &who, &device]);
        acting::weigh_join(&node, id, &named_now(&node, &form.parties), has_account, bound, &proof)?;
    }
    let taken = node.join_room(id, code, comer).await?;
    Ok(HttpResponse::Ok().json(PlaceView::new(taken, announced)))
}

/// Ask where somebody stands.
///
/// When their turn has come the answer holds what lets them through.
#[utoipa::path(
    tag = "Waiting rooms", operation_id = "get_waiting_room_place", security(("key" = ["book"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("room" = String, Path, description = "Its name", max_length = 23, example = "spring"),
        ("Waiting-Room-Token" = String, Header, description = "The `token` that joining gave", max_length = 128)),
    responses((status = 200, description = "The place now", body = PlaceView), crate::openapi::Problems),
)]
#[get("/waiting-room/{museum}/{room}")]
pub async fn place(node: web::Data<Node>, caller: Caller, path: web::Path<(String, Code)>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (museum, code) = path.into_inner();
    let known = museum_of(&node, &caller, Scope::Book, &museum)?;
    let announced = known.museum.room(code).ok_or_else(Problem::not_found)?;
    let token = request.headers().get(TOKEN).and_then(|header| header.to_str().ok()).unwrap_or_default();
    let taken = node.room_place(known.museum.id(), code, token)?;
    Ok(HttpResponse::Ok().json(PlaceView::new(taken, announced)))
}

/// What a request for places carries from a waiting room, if it does.
#[derive(Debug, Clone, Default)]
pub struct Admission(Option<String>);

impl FromRequest for Admission {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        std::future::ready(Ok(Self(request.headers().get(ADMISSION).and_then(|header| header.to_str().ok()).map(str::to_owned))))
    }
}

/// What lets these hold places of a slot through a channel, or asserts that they need nothing: over the web while a waiting room is open only those may whom it lets
/// through. What a stream has done for this envelope is answered as it was, whoever is let through by now.
///
/// Only the first buyer counts, or the device where no buyer was named when it came: one who was let through takes no others along.
///
/// No room of another museum than the stream's is asked: nothing moves there, as the stream says, and what is announced there may be none of the caller's.
pub async fn passage<'a>(
    node: &'a Node,
    (stream, asked): (SlotId, &Envelope),
    (slot, channel): (SlotId, Channel),
    admission: &Admission,
    parties: &[PartyForm],
) -> Result<Option<Passage<'a>>, Problem> {
    if slot.museum() != stream.museum() {
        return Ok(None);
    }
    let refused = match let_through(node, asked, (slot, channel), admission, parties) {
        Ok(passage) => return Ok(passage),
        Err(refused) => refused,
    };
    if node.knows(stream, asked).await? { Ok(None) } else { Err(refused) }
}

fn let_through<'a>(
    node: &'a Node,
    asked: &Envelope,
    (slot, channel): (SlotId, Channel),
    admission: &Admission,
    parties: &[PartyForm],
) -> Result<Option<Passage<'a>>, Problem> {
    if channel != Channel::Web {
        return Ok(None);
    }
    let comer = |room: &Room| comer(node, room, parties).ok().flatten();
    node.room_lets_through(slot, asked, admission.0.as_deref(), comer).map_err(Problem::from)
}
