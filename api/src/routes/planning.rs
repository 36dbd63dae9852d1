//! How a museum plans its days, as callers write it. What makes a policy sound is known to `engine::planning`, what follows from it to `models::staffing`.

use actix_web::{HttpRequest, HttpResponse, get, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::money::Cents;
use tornello_engine::planning::policy::{Exhibition, Span};
use tornello_engine::planning::{Command, Event, Policy, PolicySet};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::museum_of;
use crate::routes::revisions::{On, expected_revisions, in_force, newly_set};

/// Some days in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanForm {
    /// The first day.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2026-12-23"))]
    pub from: Date,
    /// The last day.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-06"))]
    pub to: Date,
}

/// An occasion that draws visitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExhibitionForm {
    /// The first day.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-03-01"))]
    pub from: Date,
    /// The last day.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-07-31"))]
    pub to: Date,
    /// What it is called.
    #[schema(max_length = 200, examples("Caravaggio"))]
    pub name: String,
}

/// What an hour of work costs, in euro cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WagesForm {
    /// At a ticket desk.
    #[schema(minimum = 0, maximum = 50_000, examples(2000))]
    pub desk: i64,
    /// At a gate.
    #[schema(minimum = 0, maximum = 50_000, examples(1800))]
    pub gate: i64,
    /// In the rooms.
    #[schema(minimum = 0, maximum = 50_000, examples(1800))]
    pub guard: i64,
}

/// How a museum plans. Whatever is left out keeps its default, which is an assumption and nothing measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanningBody {
    /// Share of visitors who buy at a desk, in percent.
    #[schema(maximum = 100, examples(40))]
    pub desk_percent: u8,
    /// People in a party that buys there, in tenths.
    #[schema(minimum = 1, maximum = 1_000, examples(22))]
    pub party_tenths: u16,
    /// How long a desk serves one party, in seconds.
    #[schema(minimum = 1, maximum = 3_600, examples(75))]
    pub service_s: u16,
    /// A party shall not wait longer at a desk, in seconds.
    #[schema(maximum = 7_200, examples(300))]
    pub wait_s: u16,
    /// Except such a share of parties, in percent.
    #[schema(maximum = 100, examples(10))]
    pub late_percent: u8,
    /// People whom one gate lets in in a minute.
    #[schema(minimum = 1, maximum = 200, examples(8))]
    pub gate_per_minute: u16,
    /// Share of an hour's visitors who come in its busiest quarter, in percent.
    #[schema(minimum = 1, maximum = 100, examples(35))]
    pub peak_percent: u8,
    /// Rooms that are watched whoever is there.
    #[schema(maximum = 1_000, examples(4))]
    pub rooms: u16,
    /// One more guard for so many people inside; 0: none.
    #[schema(maximum = 65_535, examples(80))]
    pub people_per_guard: u16,
    /// What an hour of work costs.
    pub hour_cents: WagesForm,
    /// Share of those who enter that pass a gate, in percent, if the museum knows it: counters of entries are held against the gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100, examples(92))]
    pub gated_percent: Option<u8>,
    /// By how many thousandths visitors change with a thousandth of price: an assumption for what-ifs, learned from nothing.
    #[schema(minimum = -3_000, maximum = 0, examples(-300))]
    pub price_elasticity_permille: i16,
    /// The greatest probability, in thousandths, that anybody with a ticket is turned away; 0: slots are never sold beyond their places. Not for capacity that is
    /// fire safety. With it forecasts say how many more might be sold; whether they are, `sell_beyond_places` says.
    #[schema(maximum = 50, examples(0))]
    pub turn_away_permille: u16,
    /// When schools are closed here, beside what is known of the region. Of Christmas, Easter or a summer that these meet, nothing is assumed any more.
    #[schema(max_items = 100)]
    pub school_breaks: Vec<SpanForm>,
    /// Exhibitions and other occasions that draw visitors.
    #[schema(max_items = 100)]
    pub exhibitions: Vec<ExhibitionForm>,
    /// Sell slots beyond their places by itself, as far as `turn_away_permille` allows; it matters only where that is above 0. **Whoever sets it states that the
    /// places of a slot are a matter of comfort in this museum, and not of fire safety**: what protects people then is the building's ceiling, which always holds.
    pub sell_beyond_places: bool,
}

impl Default for PlanningBody {
    fn default() -> Self {
        Self::from(&Policy::default())
    }
}

impl Default for WagesForm {
    fn default() -> Self {
        PlanningBody::default().hour_cents
    }
}

impl From<&Policy> for PlanningBody {
    fn from(policy: &Policy) -> Self {
        let [desk, gate, guard] = policy.hour_cents.map(Cents::get);
        let show = |show: &Exhibition| ExhibitionForm { from: show.from, to: show.to, name: show.name.clone() };
        Self {
            desk_percent: policy.desk_percent,
            party_tenths: policy.party_tenths,
            service_s: policy.service_s,
            wait_s: policy.wait_s,
            late_percent: policy.late_percent,
            gate_per_minute: policy.gate_per_minute,
            peak_percent: policy.peak_percent,
            rooms: policy.rooms,
            people_per_guard: policy.people_per_guard,
            hour_cents: WagesForm { desk, gate, guard },
            gated_percent: policy.gated_percent,
            price_elasticity_permille: policy.price_elasticity_permille,
            turn_away_permille: policy.turn_away_permille,
            school_breaks: policy.school_breaks.iter().map(|span| SpanForm { from: span.from, to: span.to }).collect(),
            exhibitions: policy.exhibitions.iter().map(show).collect(),
            sell_beyond_places: policy.sell_beyond_places,
        }
    }
}

impl From<PlanningBody> for Policy {
    fn from(body: PlanningBody) -> Self {
        let WagesForm { desk, gate, guard } = body.hour_cents;
        let show = |show: ExhibitionForm| Exhibition { from: show.from, to: show.to, name: show.name };
        Self {
            desk_percent: body.desk_percent,
            party_tenths: body.party_tenths,
            service_s: body.service_s,
            wait_s: body.wait_s,
            late_percent: body.late_percent,
            gate_per_minute: body.gate_per_minute,
            peak_percent: body.peak_percent,
            rooms: body.rooms,
            people_per_guard: body.people_per_guard,
            hour_cents: [desk, gate, guard].map(Cents::new),
            gated_percent: body.gated_percent,
            price_elasticity_permille: body.price_elasticity_permille,
            turn_away_permille: body.turn_away_permille,
            school_breaks: body.school_breaks.into_iter().map(|span| Span { from: span.from, to: span.to }).collect(),
            exhibitions: body.exhibitions.into_iter().map(show).collect(),
            sell_beyond_places: body.sell_beyond_places,
        }
    }
}

/// A policy with the day from which it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanningForm {
    /// The first day in Rome, today at the earliest.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub valid_from: Date,
    /// The policy.
    pub policy: PlanningBody,
}

/// A policy in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlanningView {
    /// Counts the museum's policies from 1; 0: nobody has set any, these are the defaults.
    revision: u32,
    /// The first day in Rome; absent for the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    valid_from: Option<Date>,
    /// The policy.
    policy: PlanningBody,
}

/// Read the planning policy.
///
/// The one in force on a day; where nobody has set any, the defaults as revision 0. `ETag` is its revision.
#[utoipa::path(
    tag = "Planning", operation_id = "get_planning_policy", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), On,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that you have")),
    responses((status = 200, description = "The policy", body = PlanningView, headers(("ETag" = String, description = "The revision"),
        ("Cache-Control" = String, description = "`private, no-cache`: keep it, and ask with `If-None-Match` whether it still holds"))),
        (status = 304, description = "You have it"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/planning-policy")]
pub async fn get_policy(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<On>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let (date, planning) = (on.day(&node), node.plans().get(known.museum.id()));
    let ((revision, policy), valid_from) = (planning.policy_on(date), planning.policy_since(date));
    Ok(in_force(&request, revision, PlanningView { revision, valid_from, policy: PlanningBody::from(&policy) }))
}

/// Set the planning policy.
///
/// It holds from a day on, until a policy with a later day: rosters and what-ifs of those days follow it, and what is sold beyond the places of their slots.
#[utoipa::path(
    tag = "Planning", operation_id = "set_planning_policy", security(("key" = ["manage"])),
    request_body(content = PlanningForm, example = json!({"valid_from": "2027-01-01", "policy": {
        "desk_percent": 35, "service_s": 80, "wait_s": 300, "late_percent": 10, "gate_per_minute": 8, "rooms": 12, "people_per_guard": 100,
        "hour_cents": {"desk": 2000, "gate": 1800, "guard": 1800}, "gated_percent": 92,
        "school_breaks": [{"from": "2026-12-23", "to": "2027-01-06"}],
        "exhibitions": [{"from": "2027-03-01", "to": "2027-07-31", "name": "Caravaggio"}]
    }})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you change")),
    responses((status = 200, description = "The policy is set", body = PlanningView, headers(("ETag" = String, description = "The revision"))),
        (status = 412, description = "Another revision is in force", body = crate::problem::Body, content_type = "application/problem+json"),
        crate::openapi::Problems),
)]
#[put("/museums/{museum}/planning-policy")]
pub async fn set_policy(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    request: HttpRequest,
    form: Json<PlanningForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["planning policy"], &*form, &[], None)?;
    let PlanningForm { valid_from, policy } = form.into_inner();
    let command = Command::SetPolicy { valid_from, policy: Box::new(policy.into()), only_if: expected_revisions(&request)? };
    let record = node.planning(id, envelope, command).await?;
    newly_set(&record.events, |event| {
        let &Event::PolicySet(PolicySet { revision, valid_from, ref policy }) = event else { return None };
        Some((revision, PlanningView { revision, valid_from: Some(valid_from), policy: PlanningBody::from(policy) }))
    })
}
