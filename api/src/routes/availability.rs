//! What can be booked, slot by slot and day by day, from the published counters: nobody's mailbox is asked. What a counter means is known to `engine`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::iter::successors;
use std::sync::Arc;

use actix_web::http::header::{self, ContentType, HeaderName};
use actix_web::middleware::Compress;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::availability::{self, SlotAvailability, Status};
use tornello_actors::keys::Role;
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, MuseumId, RouteId};
use tornello_engine::slot::LimitedBy;
use tornello_engine::tariff::FreeDay;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::{days_of, local, museum_of};
use crate::words::{ChannelWord, FreeDayWord, LimitedByWord};

/// The most days of slots.
const SLOT_DAYS_MAX: i32 = 31;
/// The most days of a calendar.
const CALENDAR_DAYS_MAX: i32 = 400;

/// Which days, of what, for whom.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// The first day in Rome; absent: today.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-16")]
    from: Option<Date>,
    /// The last day, included; absent: the first.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-17")]
    to: Option<Date>,
    /// Only the route with this code.
    #[param(value_type = Option<String>, max_length = 23, example = "main")]
    route: Option<Code>,
    /// For which channel: `web`, `kiosk`, `box_office`, `group` or `reseller`; absent: the key's own. Others are for desks, managers and the ministry.
    #[param(value_type = Option<String>, pattern = "^(web|kiosk|box_office|group|reseller)$")]
    channel: Option<Channel>,
}

/// A slot as a channel sees it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SlotLine {
    /// The slot.
    #[schema(max_length = 13, examples("0009000102r4e"))]
    slot: String,
    /// The route's code; absent if today's plan does not have the route any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23, examples("main"))]
    route: Option<Code>,
    /// When it starts (RFC 3339, UTC).
    #[schema(format = DateTime, examples("2027-01-16T08:00:00Z"))]
    starts_at: String,
    /// When it ends (RFC 3339, UTC).
    #[schema(format = DateTime, examples("2027-01-16T09:00:00Z"))]
    ends_at: String,
    /// When it starts, as the clocks in Rome show it.
    #[schema(format = DateTime, examples("2027-01-16T09:00:00+01:00"))]
    local_start: String,
    /// Its places.
    capacity: u32,
    /// How many this channel may take now.
    available: u32,
    /// `available`, `few` (less than one in ten), `reserved` (for other channels, as on a day of free entry on which tickets are given on site alone), `sold_out`, `closed`, `not_open`
    /// (too soon, or the day has no tariff yet) or `over`.
    #[schema(max_length = 16, examples("available"))]
    status: &'static str,
    /// Where none is available: `capacity`, `other_quotas`, `own_limit` or `live_cap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LimitedByWord>)]
    limited_by: Option<LimitedBy>,
    /// When something happened to it last; absent if nothing ever did (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    changed_at: Option<String>,
}

/// The slots of some days.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AvailabilityView {
    /// The museum's number.
    museum: u16,
    /// For which channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// When it was like this (RFC 3339, UTC).
    #[schema(format = DateTime)]
    as_of: String,
    /// By start, then route.
    items: Vec<SlotLine>,
}

/// One day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DayLine {
    /// The date in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// How many slots start on it.
    slots: u32,
    /// Their places.
    capacity: u32,
    /// How many this channel may take now.
    available: u32,
    /// The best of its slots, as in their list; `closed` if there is none.
    #[schema(max_length = 16, examples("available"))]
    status: &'static str,
    /// Why entry is free for all, if it is: `first_sunday`, `national` or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<FreeDayWord>)]
    free_day: Option<FreeDay>,
}

/// A calendar.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CalendarView {
    /// The museum's number.
    museum: u16,
    /// For which channel.
    #[schema(value_type = ChannelWord)]
    channel: Channel,
    /// When it was like this (RFC 3339, UTC).
    #[schema(format = DateTime)]
    as_of: String,
    /// Every day, in order.
    #[schema(max_items = 400)]
    items: Vec<DayLine>,
}

/// What was asked, read.
#[derive(Debug, Clone, Copy)]
struct Asked {
    museum: MuseumId,
    from: Date,
    to: Date,
    route: Option<RouteId>,
    channel: Channel,
    now: Timestamp,
}

/// The name of a status.
#[must_use]
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Available => "available",
        Status::Few => "few",
        Status::Reserved => "reserved",
        Status::SoldOut => "sold_out",
        Status::Closed => "closed",
        Status::NotOpen => "not_open",
        Status::Over => "over",
    }
}

/// Whether a caller sees what channels other than its own have.
#[must_use]
pub fn sees_all_channels(caller: &Caller) -> bool {
    Scope::Desk.is_open_to(caller.0.role) || Scope::Manage.is_open_to(caller.0.role) || caller.0.role == Role::Ministry
}

impl Asked {
    fn read(node: &Node, caller: &Caller, known: &Known, span: &Span, days_max: i32) -> Result<Self, Problem> {
        let now = node.now();
        let (from, to) = days_of(now, span.from, span.to, days_max)?;
        let channel = span.channel.unwrap_or_else(|| caller.channel());
        if channel != caller.channel() && !sees_all_channels(caller) {
            return Err(Problem::forbidden(Scope::Desk));
        }
        let route = span.route.map(|code| route_of(known, from, to, code).ok_or_else(|| Problem::invalid("there is no such route in these days")));
        Ok(Self { museum: known.museum.id(), from, to, route: route.transpose()?, channel, now })
    }

    const fn key(&self) -> AskedOf {
        (self.museum, self.from, self.to, self.route, self.channel)
    }

    fn slots(&self, node: &Node, known: &Known) -> Vec<SlotAvailability> {
        let Self { from, to, route, channel, now, .. } = *self;
        availability::starting_on(known, node.board(), availability::Asked { from, to, route, channel, now })
    }

    fn days(&self, node: &Node, known: &Known) -> Vec<DayLine> {
        let mut by_day: BTreeMap<Date, Vec<SlotAvailability>> = BTreeMap::new();
        for slot in self.slots(node, known) {
            by_day.entry(calendar::local_day(slot.slot.start())).or_default().push(slot);
        }
        let mut days = Vec::new();
        let mut next = Some(self.from);
        while let Some(date) = next.filter(|date| *date <= self.to) {
            days.push(day_line(known, date, by_day.get(&date).map_or(&[], Vec::as_slice)));
            next = date.tomorrow().ok();
        }
        days
    }
}

/// The number of the route with this code in the plan of any of these days, the first that has it; or of the day before, of whose evening sessions the first slots may be.
fn route_of(known: &Known, from: Date, to: Date, code: Code) -> Option<RouteId> {
    let days = successors(Some(from), |date| date.tomorrow().ok()).take_while(|date| *date <= to);
    days.chain(from.yesterday().ok())
        .find_map(|date| known.museum.plan_on(date)?.1.routes.iter().find(|route| route.code == code).map(|route| route.id))
}

/// The code of a slot's route, by the plan of its day.
#[must_use]
pub fn route_code(known: &Known, date: Date, route: RouteId) -> Option<Code> {
    let on = |date: Date| known.museum.plan_on(date)?.1.route(route).map(|route| route.code);
    on(date).or_else(|| on(date.yesterday().ok()?))
}

fn line(known: &Known, seen: &SlotAvailability) -> SlotLine {
    let start = seen.slot.start();
    SlotLine {
        slot: seen.slot.to_string(),
        route: route_code(known, calendar::local_day(start), seen.slot.route()),
        starts_at: start.to_string(),
        ends_at: seen.end.to_string(),
        local_start: local(start),
        capacity: seen.places.capacity,
        available: seen.available,
        status: status_name(seen.status),
        limited_by: matches!(seen.status, Status::Reserved | Status::SoldOut).then_some(seen.limited_by),
        changed_at: seen.changed_at.map(|at| at.to_string()),
    }
}

fn day_line(known: &Known, date: Date, slots: &[SlotAvailability]) -> DayLine {
    const BEST_FIRST: [Status; 7] =
        [Status::Available, Status::Few, Status::Reserved, Status::SoldOut, Status::NotOpen, Status::Over, Status::Closed];
    let best = BEST_FIRST.into_iter().find(|status| slots.iter().any(|slot| slot.status == *status));
    DayLine {
        date,
        slots: u32::try_from(slots.len()).unwrap_or(u32::MAX),
        capacity: slots.iter().map(|slot| slot.places.capacity).fold(0, u32::saturating_add),
        available: slots.iter().map(|slot| slot.available).fold(0, u32::saturating_add),
        status: status_name(best.unwrap_or(Status::Closed)),
        free_day: known.museum.tariff_on(date).and_then(|(_, tariff)| tariff.free_days.on(date)),
    }
}

/// An answer that is true now, and for a second good enough.
fn fresh(body: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "private, max-age=1"))
        .insert_header((header::VARY, "Authorization"))
        .insert_header((HeaderName::from_static("age"), "0"))
        .content_type(ContentType::json())
        .body(body)
}

fn written(view: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(view).map(Bytes::from).map_err(|_| Problem::unavailable("the answer could not be written"))
}

/// Answers that were given before and are still true: nothing of the museum has changed since, neither its counters nor its plan, and hardly any time has passed.
#[derive(Debug, Default)]
struct Remembered(HashMap<AskedOf, Answer>);

/// Museum, days, route and channel.
type AskedOf = (MuseumId, Date, Date, Option<RouteId>, Channel);

#[derive(Debug)]
struct Answer {
    known: Arc<Known>,
    changes: u64,
    at: Timestamp,
    body: Bytes,
}

impl Remembered {
    /// Sales open and quotas end by the clock.
    const HOLDS_US: i64 = 250_000;
    /// Of more answers, all are forgotten.
    const ANSWERS_MAX: usize = 128;
    /// A longer answer, in bytes, is asked for by few.
    const BODY_MAX: usize = 16 * 1024;

    fn get(&self, asked: &Asked, known: &Arc<Known>, changes: u64) -> Option<Bytes> {
        let answer = self.0.get(&asked.key())?;
        let holds =
            answer.changes == changes && Arc::ptr_eq(&answer.known, known) && (0..Self::HOLDS_US).contains(&asked.now.micros_since(answer.at));
        holds.then(|| answer.body.clone())
    }

    fn put(&mut self, asked: &Asked, answer: Answer) {
        if answer.body.len() > Self::BODY_MAX {
            return;
        }
        if self.0.len() >= Self::ANSWERS_MAX {
            self.0.clear();
        }
        self.0.insert(asked.key(), answer);
    }
}

thread_local! {
    /// Each thread that answers has its own.
    static REMEMBERED: RefCell<Remembered> = RefCell::default();
}

/// What can be booked.
///
/// The slots that start on some days (at most 31; absent: today) as one channel sees them. It is read from counters that follow every commit: who has sold
/// sees the sale here. The final word is the hold's.
#[utoipa::path(
    tag = "Availability", operation_id = "list_availability", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Span),
    responses((status = 200, description = "The slots", body = AvailabilityView,
        headers(("Age" = u32, description = "Seconds since `as_of`"), ("Cache-Control" = String, description = "`private, max-age=1`: good enough for a second, for this key only"),
            ("Vary" = String, description = "What else the answer depends on"))), crate::openapi::Problems),
)]
#[get("/museums/{museum}/availability", wrap = "Compress::default()")]
pub async fn list_slots(node: web::Data<Node>, caller: Caller, museum: web::Path<String>, span: web::Query<Span>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let asked = Asked::read(&node, &caller, &known, &span, SLOT_DAYS_MAX)?;
    // Taken before the counters are read: what changes in between is seen by the next one who asks.
    let changes = node.board().changes(asked.museum);
    if let Some(body) = REMEMBERED.with_borrow(|remembered| remembered.get(&asked, &known, changes)) {
        return Ok(fresh(body));
    }
    let items = asked.slots(&node, &known).iter().map(|seen| line(&known, seen)).collect();
    let body = written(&AvailabilityView { museum: asked.museum.0, channel: asked.channel, as_of: asked.now.to_string(), items })?;
    let answer = Answer { known, changes, at: asked.now, body: body.clone() };
    REMEMBERED.with_borrow_mut(|remembered| remembered.put(&asked, answer));
    Ok(fresh(body))
}

/// A calendar.
///
/// One line for each day (at most 400; absent: today): how much is left, whether entry is free for all.
#[utoipa::path(
    tag = "Availability", operation_id = "get_calendar", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Span),
    responses((status = 200, description = "The days", body = CalendarView,
        headers(("Age" = u32, description = "Seconds since `as_of`"), ("Cache-Control" = String, description = "`private, max-age=1`: good enough for a second, for this key only"),
            ("Vary" = String, description = "What else the answer depends on"))), crate::openapi::Problems),
)]
#[get("/museums/{museum}/calendar", wrap = "Compress::default()")]
pub async fn list_days(node: web::Data<Node>, caller: Caller, museum: web::Path<String>, span: web::Query<Span>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let asked = Asked::read(&node, &caller, &known, &span, CALENDAR_DAYS_MAX)?;
    let (museum, on_its_thread) = (known.museum.id().0, (node.clone(), Arc::clone(&known)));
    // A year of slots is worked out away from the threads that answer.
    let days = web::block(move || asked.days(&on_its_thread.0, &on_its_thread.1)).await;
    let items = days.map_err(|_| Problem::unavailable("the calendar could not be worked out"))?;
    Ok(fresh(written(&CalendarView { museum, channel: asked.channel, as_of: asked.now.to_string(), items })?))
}
