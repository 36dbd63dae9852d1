//! The options that keep others out: what a clerk looks through when a day fills up. Nothing is released from here: that is the cancellation of its quote, a clerk's
//! decision, as an option is a promise until its deadline.

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::forecaster::{Basis, LapseChance, OptionSlot, Releasable};
use tornello_actors::node::Node;
use tornello_actors::quotes::QuoteHead;
use tornello_actors::views::quotes::{deadline as deadline_name, kind as kind_name};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::forecasts::{apart, rounded, thousandths};
use crate::routes::{local, museum_of, page, page_size};

/// Which part of a list that is worked out anew each time.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OptionsQuery {
    /// Where the page before said to go on: so many come before it.
    #[param(minimum = 0, maximum = 1_000_000)]
    cursor: Option<u32>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// What an option keeps in a slot, and what is expected there.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OptionSlotView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// When it starts, by the clocks in Rome (RFC 3339).
    #[schema(format = DateTime)]
    starts_at: String,
    /// Places that the option keeps.
    places: u32,
    /// How many people are expected in all, those who have booked and groups among them.
    expected: f64,
    /// Places sold so far.
    booked: u32,
    /// Its places.
    capacity: u32,
    /// Places that options keep, of all quotes.
    options: u32,
    /// How many of these are expected back.
    options_expected_back: f64,
    /// Places that are neither sold nor kept by options.
    free: u32,
    /// How many more would come than find a free place.
    short: f64,
    /// Places of this option that are expected back and that others are thought to want.
    worth: f64,
}

/// A quote whose options keep others out.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OptionItem {
    /// The quote.
    #[schema(max_length = 13)]
    quote: String,
    /// `sent` or `accepted`.
    #[schema(max_length = 16)]
    state: &'static str,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    #[schema(max_length = 16)]
    kind: &'static str,
    /// How likely it is never paid, 0 to 1.
    lapse_probability: f64,
    /// What that rests on: an `assumption`, as long as too few quotes have ended here; the `rate` of past quotes of that kind that waited as long; or a `model` of them.
    #[schema(max_length = 16)]
    lapse_by: &'static str,
    /// The deadline that runs: `signature` or `payment`. Until then the option is a promise.
    #[schema(max_length = 16)]
    deadline: &'static str,
    /// When that is (RFC 3339, UTC).
    #[schema(format = DateTime)]
    due_at: String,
    /// Places that are expected back and that others are thought to want, over all its slots.
    worth: f64,
    /// Its slots.
    #[schema(max_items = 40)]
    slots: Vec<OptionSlotView>,
}

/// A page of options.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OptionPage {
    /// The quotes, the one worth most first.
    #[schema(max_items = 200)]
    items: Vec<OptionItem>,
    /// Where to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<u32>,
}

/// What a quote's chance rests on, in one word.
pub(super) const fn basis_name(basis: Basis) -> &'static str {
    match basis {
        Basis::Assumption => "assumption",
        Basis::Rate => "rate",
        Basis::Model => "model",
    }
}

/// How likely a quote that keeps places is never paid, for staff: an operator is not told what is thought of it.
pub(super) fn lapse_of(node: &Node, caller: &Caller, head: Option<&QuoteHead>) -> Result<Option<LapseChance>, Problem> {
    let is_staff = caller.acts_for()?.is_none();
    Ok(head.filter(|_| is_staff).and_then(|head| node.forecaster().lapse(head, node.now())))
}

/// The probability as it is told.
pub(super) fn told(chance: LapseChance) -> f64 {
    thousandths(chance.probability)
}

/// List options worth releasing.
///
/// Quotes that keep places in slots to which more people are expected than find a free place, as far ahead as forecasts reach. They are ordered by how many places would come back that others
/// would use. It is advice: an option is a promise until its deadline, and releasing it is a clerk's decision (`POST /v1/quotes/{quote}/cancel`). Not for operators.
#[utoipa::path(
    tag = "Quotes", operation_id = "list_options", security(("key" = ["quote"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), OptionsQuery),
    responses((status = 200, description = "A page of options", body = OptionPage), crate::openapi::Problems),
)]
#[get("/museums/{museum}/options", wrap = "Compress::default()")]
pub async fn list(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    query: web::Query<OptionsQuery>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Quote, &museum)?;
    if caller.acts_for()?.is_some() {
        return Err(Problem::not_found());
    }
    let (before, size) = (query.cursor.unwrap_or(0), page_size(query.limit)?);
    let listed = apart(move || node.forecaster().releasable(&node, &known)).await?;
    let listed = listed.into_iter().skip(before as usize).take(size as usize + 1).collect();
    let (rows, next_cursor) = page(listed, size, |_| before.saturating_add(size));
    Ok(HttpResponse::Ok().json(OptionPage { items: rows.iter().map(item).collect(), next_cursor }))
}

fn item(of: &Releasable) -> OptionItem {
    OptionItem {
        quote: of.quote.to_string(),
        state: of.status.name(),
        kind: kind_name(of.kind),
        lapse_probability: told(of.chance),
        lapse_by: basis_name(of.chance.basis),
        deadline: deadline_name(of.deadline.0),
        due_at: of.deadline.1.to_string(),
        worth: rounded(of.worth),
        slots: of.slots.iter().map(slot_view).collect(),
    }
}

fn slot_view(slot: &OptionSlot) -> OptionSlotView {
    OptionSlotView {
        slot: slot.slot.to_string(),
        starts_at: local(slot.slot.start()),
        places: slot.places,
        expected: rounded(slot.expected),
        booked: slot.booked,
        capacity: slot.capacity,
        options: slot.options.0,
        options_expected_back: rounded(slot.options.1),
        free: slot.free,
        short: rounded(slot.short),
        worth: rounded(slot.worth),
    }
}
