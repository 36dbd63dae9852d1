//! What would be under other rules: asked with a change, answered day by day beside what is forecast as it is.

use actix_web::{HttpResponse, post, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_actors::outcomes::{self, Change, Compared, Outcome, Question};

use super::{By, Span, apart, rounded, thousandths};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::Json;
use crate::routes::museum_of;

/// A question: what would be if. Whatever is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhatIfForm {
    /// The first day in Rome; absent: today.
    #[serde(deserialize_with = "crate::strict::day_if")]
    #[schema(value_type = Option<String>, format = Date, examples("2027-01-01"))]
    pub from: Option<Date>,
    /// How many days.
    #[schema(minimum = 1, maximum = 60, examples(7))]
    pub days: Option<u32>,
    /// Places of each slot, in percent of today's.
    #[schema(minimum = 0, maximum = 1_000, examples(120))]
    pub capacity_percent: Option<u16>,
    /// Prices, in percent of today's.
    #[schema(minimum = 0, maximum = 1_000, examples(110))]
    pub price_percent: Option<u16>,
    /// Minutes before the opening of each route as it is; below zero: after it. No route opens the evening before, or for more than a day.
    #[schema(minimum = -720, maximum = 720, examples(0))]
    pub opens_earlier_minutes: i32,
    /// Minutes after the closing of each route as it is; below zero: before it.
    #[schema(minimum = -720, maximum = 720, examples(60))]
    pub closes_later_minutes: i32,
    /// Ticket desks that are open; absent: as many as the roster has in its busiest hour.
    #[schema(maximum = 200, examples(3))]
    pub desks: Option<u32>,
    /// By how many thousandths visitors change with a thousandth of price, below zero; absent: as the planning policy says.
    #[schema(minimum = -3_000, maximum = 0, examples(-300))]
    pub price_elasticity_permille: Option<i16>,
}

/// What is to be expected of a day.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct OutcomeView {
    /// Visitors who want to come, at that price: also those who would when doors are shut by the change. 0 where the plan closes the day.
    wanted: f64,
    /// Visitors who have a place.
    sold: f64,
    /// Visitors who find no place, or doors that the change shuts: all who are wanted and not sold to.
    refused: f64,
    /// Desks that are open.
    desks: u32,
    /// The mean wait at the desks when most come, over all routes, in seconds; absent: the line grows as long as that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_wait_s: Option<f64>,
    /// Share of parties that then wait longer than five minutes.
    late: f64,
    /// What visitors pay, in euro cents.
    revenue_cents: i64,
}

/// A day as it is forecast and as it would be.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ComparedView {
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// As it is.
    as_is: OutcomeView,
    /// As it would be.
    changed: OutcomeView,
}

/// What was assumed: none of it was learned here.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct AssumedView {
    /// Percent of visitors for a percent of price; on days of free entry a price moves nobody.
    price_elasticity: f64,
    /// Prices below so many percent of today's, none at all too, move visitors as this one does.
    price_percent_least: f64,
    /// Percent of visitors for a percent of hours.
    hours_elasticity: f64,
    /// Share of those who find a slot full that take the one beside it.
    shifts: f64,
    /// Share of visitors who pay.
    paying: f64,
}

/// The answer to a what-if.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WhatIfView {
    /// What was assumed.
    assumed: AssumedView,
    /// The days.
    #[schema(max_items = 60)]
    days: Vec<ComparedView>,
}

/// Ask what would be if.
///
/// Other capacity, hours, prices or desks on some days: who would come, be refused, wait and pay, by the models that forecast and plan. Nothing is changed by it. Each
/// route opens and closes by its own clock. What a price does is an assumption that comes with the question, not a finding.
#[utoipa::path(
    tag = "Planning", operation_id = "ask_what_if", security(("key" = ["plan"])),
    request_body(content = WhatIfForm, example = json!({"days": 7, "capacity_percent": 120, "price_percent": 110, "closes_later_minutes": 60, "desks": 3})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "Day by day", body = WhatIfView), crate::openapi::Problems),
)]
#[post("/museums/{museum}/what-if")]
pub async fn ask(node: web::Data<Node>, caller: Caller, museum: web::Path<String>, form: Json<WhatIfForm>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let span = Span { from: form.from, days: form.days, by: By::Day };
    // In a body a figure out of its bounds is one that can be read.
    let (from, days) = span.days(&node).map_err(|problem| Problem::invalid(problem.title()))?;
    let percents = [form.capacity_percent, form.price_percent].into_iter().flatten().all(|percent| percent <= 1_000);
    let minutes = [form.opens_earlier_minutes, form.closes_later_minutes].iter().all(|minutes| (-720..=720).contains(minutes));
    let rest = form.desks.is_none_or(|desks| desks <= 200) && form.price_elasticity_permille.is_none_or(|permille| (-3_000..=0).contains(&permille));
    if !percents || !minutes || !rest {
        return Err(Problem::invalid("let percents be at most 1000, minutes -720 to 720, desks at most 200, the elasticity -3000 to 0"));
    }
    let factor = |percent: Option<u16>| f64::from(percent.unwrap_or(100)) / 100.0;
    let change = Change {
        capacity: factor(form.capacity_percent),
        price: factor(form.price_percent),
        opens_earlier_min: form.opens_earlier_minutes,
        closes_later_min: form.closes_later_minutes,
    };
    let question = Question { change, desks: form.desks, price_elasticity_permille: form.price_elasticity_permille };
    let assumed = outcomes::assumptions(&node.plans().policy_on(known.museum.id(), from), &question);
    let compared = apart(move || outcomes::compare(&node, &known, from, days, &question)).await?;
    Ok(HttpResponse::Ok().json(WhatIfView {
        assumed: AssumedView {
            price_elasticity: assumed.price_elasticity,
            price_percent_least: rounded(assumed.price_least * 100.0),
            hours_elasticity: assumed.hours_elasticity,
            shifts: assumed.shifts,
            paying: assumed.paying,
        },
        days: compared.iter().map(compared_view).collect(),
    }))
}

fn compared_view(compared: &Compared) -> ComparedView {
    let view = |outcome: &Outcome, desks| OutcomeView {
        wanted: rounded(outcome.demand),
        sold: rounded(outcome.sold),
        refused: rounded(outcome.refused),
        desks,
        mean_wait_s: outcome.busiest_wait_s.map(rounded),
        late: thousandths(outcome.busiest_late),
        revenue_cents: outcome.revenue_cents,
    };
    ComparedView { date: compared.date, as_is: view(&compared.as_is, compared.desks_as_is), changed: view(&compared.changed, compared.desks_changed) }
}
