//! A museum's day, called off and taken up again: a strike, a flood. Its slots are closed one by one, and the answer says of each what was done and who has tickets.

use std::sync::Arc;

use actix_web::{HttpResponse, post, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::days::{self, Outcome, Stands};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::ids::Code;
use tornello_engine::money::Cents;

use crate::auth::{Caller, Scope};
use crate::problem::{Body, Problem};
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::availability::route_code;
use crate::routes::plans::ClockTime;
use crate::routes::{local, museum_of, to_its_end};
use crate::strict::day_of;

/// Why a day is called off, and from when on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseDayForm {
    /// In one word, which buyers are told, and by which the day is reopened.
    #[schema(value_type = String, max_length = 23, examples("strike"))]
    reason: Code,
    /// Only the slots that start at this time in Rome or later; absent: the whole day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 8, examples("14:00"))]
    from: Option<ClockTime>,
}

/// A day takes place after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReopenDayForm {
    /// For which reason it was called off: slots that are closed for another one stay closed.
    #[schema(value_type = String, max_length = 23, examples("strike"))]
    reason: Code,
}

/// Who has places of a slot, right after it was closed or reopened.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StandsView {
    /// Sales with tickets that were not used.
    sales: u32,
    /// Tickets that were sold and not used, also those that are blocked or under review.
    tickets: u32,
    /// What is paid back, in euro cents, if the museum cancels all of these.
    refund_cents: i64,
    /// Places in live holds: they end by themselves, and none becomes a sale while the slot is closed.
    held: u32,
    /// Parties that wait for places.
    waiting: u32,
}

/// One slot of the day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DaySlotView {
    /// The slot.
    #[schema(max_length = 13, examples("0009000102r4e"))]
    slot: String,
    /// The route's code; absent if the plan does not have the route any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23, examples("main"))]
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
    /// `closed` or `reopened`: by this request. `stays_closed`: it was closed already; or it is closed for another reason than the one that is taken back, or the plan has it no
    /// more and nobody has anything of it. `stays_open`: it was not closed. `over`: nothing is to be done. `failed`: it was not done yet, or that is not known: it goes on by itself.
    #[schema(max_length = 16, examples("closed"))]
    outcome: &'static str,
    /// Why it is closed, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23, examples("strike"))]
    reason: Option<Code>,
    /// Who has places; absent if it is over, or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands: Option<StandsView>,
    /// Why not, if it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Body>,
}

/// What became of a day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CalledOffView {
    /// The museum's number.
    museum: u16,
    /// The date in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// Whether all is done. If not, it goes on by itself: repeat the request with the same key to hear what has become of it.
    done: bool,
    /// Tickets of these slots that were sold and not used.
    tickets: u32,
    /// What is paid back for them, in euro cents, if the museum cancels them all.
    refund_cents: i64,
    /// By start, then route.
    items: Vec<DaySlotView>,
}

impl From<Stands> for StandsView {
    fn from(Stands { unused, held, waiting }: Stands) -> Self {
        Self { sales: unused.sales, tickets: unused.tickets, refund_cents: unused.refund_cents.get(), held, waiting }
    }
}

impl DaySlotView {
    /// `done` is what is said of a slot with which it was done, and why that is closed now.
    fn new(known: &Known, date: Date, told: days::DaySlot, done: (&'static str, Option<Code>)) -> Self {
        let days::DaySlot { slot, end, outcome, stands } = told;
        let (outcome, reason, problem) = match outcome {
            Outcome::Done => (done.0, done.1, None),
            Outcome::StaysClosed(reason) => ("stays_closed", Some(reason), None),
            Outcome::StaysOpen => ("stays_open", None, None),
            Outcome::Over => ("over", None, None),
            Outcome::Failed(failure) => ("failed", None, Some(Problem::from(failure).into_body())),
        };
        Self {
            slot: slot.to_string(),
            route: route_code(known, date, slot.route()),
            starts_at: slot.start().to_string(),
            ends_at: end.to_string(),
            local_start: local(slot.start()),
            outcome,
            reason,
            stands: stands.map(StandsView::from),
            problem,
        }
    }
}

impl CalledOffView {
    fn new(known: &Known, date: Date, told: Vec<days::DaySlot>, done: (&'static str, Option<Code>)) -> Self {
        let unused = || told.iter().filter_map(|slot| slot.stands).map(|stands| stands.unused);
        Self {
            museum: known.museum.id().0,
            date,
            done: !told.iter().any(|slot| matches!(slot.outcome, Outcome::Failed(_))),
            tickets: unused().map(|unused| unused.tickets).sum(),
            refund_cents: unused().map(|unused| unused.refund_cents).sum::<Cents>().get(),
            items: told.into_iter().map(|slot| DaySlotView::new(known, date, slot, done)).collect(),
        }
    }
}

/// The date in a path. Whoever writes none is told what one looks like: elsewhere a path that cannot be read leads nowhere, and here it leads to a museum.
fn date_of(text: &str) -> Result<Date, Problem> {
    day_of(text).ok_or_else(|| Problem::malformed("date: a day, as 2027-01-31, is expected"))
}

/// Call off a day.
///
/// For a strike, a flood, a closure by the authorities: all slots that start on the day, or from a time of it on, and are not over, are closed for sale. One that is closed already keeps its own
/// reason. Tickets stay good at the gate, and payments that come in now go back as refunds. The answer says of each slot what was done, and how many tickets stand and what they cost. **Nothing is
/// paid back by this**: visitors may cancel with a full refund from now on, or move to another slot, and a desk cancels for the museum (`POST /v1/sales/{sale}/cancel` with cause `museum`) what
/// `GET /v1/sales` lists for the day. Slots that a later plan adds to the day are closed from the beginning. What is cut off half way goes on by itself; `POST /v1/slots/{slot}/reopen` opens a slot
/// of the day that takes place all the same.
#[utoipa::path(
    tag = "Slots", operation_id = "close_day", security(("key" = ["manage"])),
    request_body(content = CloseDayForm, example = json!({"reason": "strike", "from": "14:00"})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("date" = String, Path, description = "The date in Rome", format = Date, example = "2027-01-16"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "What became of each slot", body = CalledOffView), crate::openapi::Problems),
)]
#[post("/museums/{museum}/days/{date}/close")]
pub async fn close(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<(String, String)>,
    form: Json<CloseDayForm>,
) -> Result<HttpResponse, Problem> {
    let (museum, date) = path.into_inner();
    let date = date_of(&date)?;
    let known = museum_of(&node, &caller, Scope::Manage, &museum)?;
    let by = envelope(&node, &caller, &key, &["close day", &known.museum.id().0.to_string(), &date.to_string()], &*form, &[], None)?;
    let (from, reason) = (form.from.map(|from| calendar::instant(date.to_datetime(from.time()))), form.reason);
    let of_day = Arc::clone(&known);
    let told = to_its_end(async move { days::close(&node, &of_day, date, from, &by, reason).await }).await?;
    Ok(HttpResponse::Ok().json(CalledOffView::new(&known, date, told, ("closed", Some(reason)))))
}

/// Reopen a day.
///
/// It takes place after all: its slots that are closed for this reason, and not over, are for sale again. Slots that are closed for another reason stay closed, and so do all of which the day is
/// called off for another one as well: `reason` names that one from then on. Slots that the plan has no more, and of which nobody has anything, stay closed; others are for sale as they are
/// planned by now, if nobody has bought, holds or waits for anything of them and nobody has set their places by hand, and else as they were. What was cancelled meanwhile stays cancelled.
#[utoipa::path(
    tag = "Slots", operation_id = "reopen_day", security(("key" = ["manage"])),
    request_body(content = ReopenDayForm, example = json!({"reason": "strike"})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("date" = String, Path, description = "The date in Rome", format = Date, example = "2027-01-16"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "What became of each slot that has been written to", body = CalledOffView), crate::openapi::Problems),
)]
#[post("/museums/{museum}/days/{date}/reopen")]
pub async fn reopen(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    path: web::Path<(String, String)>,
    form: Json<ReopenDayForm>,
) -> Result<HttpResponse, Problem> {
    let (museum, date) = path.into_inner();
    let date = date_of(&date)?;
    let known = museum_of(&node, &caller, Scope::Manage, &museum)?;
    let by = envelope(&node, &caller, &key, &["reopen day", &known.museum.id().0.to_string(), &date.to_string()], &*form, &[], None)?;
    let (of_day, reason) = (Arc::clone(&known), form.reason);
    let told = to_its_end(async move { days::reopen(&node, &of_day, date, &by, reason).await }).await?;
    Ok(HttpResponse::Ok().json(CalledOffView::new(&known, date, told, ("reopened", None))))
}
