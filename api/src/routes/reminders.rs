//! Whom to remind of a visit: the sales of a day to come that are likeliest to be lost. Nothing is mailed from here: a channel knows its buyers, and this list knows none.

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, web};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::forecaster::{AHEAD_DAYS, Reminder};
use tornello_actors::node::Node;
use tornello_engine::calendar;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::forecasts::{apart, thousandths};
use crate::routes::{files, local, museum_of, page, page_size};

/// The most sales of a day that are looked at.
const SALES_MAX: u32 = 20_000;

/// Which day, and which part of its list.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemindersQuery {
    /// The day of the visits in Rome, today to 60 days ahead; absent: tomorrow.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-03-18")]
    date: Option<Date>,
    /// Where the page before said to go on: so many come before it.
    #[param(minimum = 0, maximum = 1_000_000)]
    cursor: Option<u32>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A sale that may be lost.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReminderItem {
    /// The sale.
    #[schema(max_length = 26)]
    sale: String,
    /// Its slot.
    #[schema(max_length = 13)]
    slot: String,
    /// When that starts, by the clocks in Rome (RFC 3339).
    #[schema(format = DateTime)]
    starts_at: String,
    /// How many of its people still have a place.
    people: u32,
    /// How likely nobody of them comes, 0 to 1.
    lost_probability: f64,
    /// The day in Rome on which to remind them, so that what they give back can be sold again: so many days before the visit as half of all bookings are made later than (1
    /// to 14), or today if that day has gone by.
    #[schema(value_type = String, format = Date)]
    remind_on: Date,
}

/// A page of reminders.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReminderPage {
    /// The museum's number.
    museum: u16,
    /// The day of the visits.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// The sales, the likeliest lost first.
    #[schema(max_items = 200)]
    items: Vec<ReminderItem>,
    /// Why nothing can be said of any sale: `no_model` (too few bookings of both fates are known yet) or `no_better_than_a_rate` (the model of bookings tells them apart no
    /// better than one rate for all would); absent where a model serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32)]
    why_empty: Option<&'static str>,
    /// Where to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<u32>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List visitors to remind.
///
/// The sales of a day to come, by the probability that nobody comes, with the day on which a reminder still lets their places be sold again. There is no personal data in it: who sold knows
/// whom to write to. Sales of slots that are closed, as on a day that is called off, are left out. From the read models; callers without desk rights see what was sold with their own key.
/// Empty, with the reason, where no model of bookings serves.
#[utoipa::path(
    tag = "Sales", operation_id = "list_reminders", security(("key" = ["book"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), RemindersQuery),
    responses((status = 200, description = "A page of sales", body = ReminderPage), crate::openapi::Problems),
)]
#[get("/museums/{museum}/reminders", wrap = "Compress::default()")]
pub async fn list(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    query: web::Query<RemindersQuery>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Book, &museum)?;
    let (now, size, before) = (node.now(), page_size(query.limit)?, query.cursor.unwrap_or(0));
    let today = calendar::local_day(now);
    let date = query.date.unwrap_or_else(|| today.saturating_add(1.day()));
    if !(today..=today.saturating_add(AHEAD_DAYS.days())).contains(&date) {
        return Err(Problem::invalid("date: today to 60 days ahead"));
    }
    let (museum, views) = (known.museum.id(), &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let midnight = |date: Date| calendar::instant(date.at(0, 0, 0, 0));
    let (from, to) = (midnight(date), midnight(date.saturating_add(1.day())));
    let card = node.forecaster().bookings_card();
    let bookings =
        if card.is_some_and(|card| card.serves()) { views.bookings_at(museum, (from, to), caller.owner(), SALES_MAX).await? } else { Vec::new() };
    let listed = apart(move || node.forecaster().reminders(&node, &bookings, now)).await?;
    let why_empty = listed.is_none().then(|| if card.is_some() { "no_better_than_a_rate" } else { "no_model" });
    let listed = listed.into_iter().flatten().skip(before as usize).take(size as usize + 1).collect();
    let (rows, next_cursor) = page(listed, size, |_| before.saturating_add(size));
    let items = rows.iter().map(item).collect();
    Ok(HttpResponse::Ok().json(ReminderPage { museum: museum.0, date, items, why_empty, next_cursor, as_of_batch }))
}

fn item(reminder: &Reminder) -> ReminderItem {
    let slot = reminder.sale.slot();
    ReminderItem {
        sale: reminder.sale.to_string(),
        slot: slot.to_string(),
        starts_at: local(slot.start()),
        people: reminder.people,
        lost_probability: thousandths(reminder.lost),
        remind_on: reminder.remind_on,
    }
}
