//! Lists of sales, from the read models: pages for programs, tables for a spreadsheet.

use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_actors::views::{SaleFilter, SaleRow};
use tornello_engine::calendar;
use tornello_engine::ids::{HoldId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::{TABLE_ROWS_MAX, csv_page, wants_csv};
use crate::routes::{files, museum_of, page, page_size};

/// Which sales to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SalesQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only of this slot.
    #[param(value_type = Option<String>)]
    slot: Option<SlotId>,
    /// Only with this reference of a desk: under which it took the money for the sale, for its payment, or where the tickets were bought that have moved.
    #[param(min_length = 1)]
    reference: Option<String>,
    /// Only those that were made with the caller's key. Without desk rights it sees no others, and of what it held also what a desk sold; but an operator those that its account
    /// was charged with, or that were made for its quotes.
    #[serde(default)]
    mine: bool,
    /// Only for visits on this day, in Rome, or later. With `from` or `to` the list is in the order of visits.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// Only for visits on this day or earlier.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Date>,
    /// Only those that were sold on this day, in Rome, or later. With `sold_from` or `sold_to`, and neither `from` nor `to`, the list is in the order in which they were sold.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    sold_from: Option<Date>,
    /// Only those that were sold on this day or earlier.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    sold_to: Option<Date>,
    /// Whether a table is for a spreadsheet, which keeps 15 digits of a number and no leading zero: texts that begin with a digit are then formulas that say them, as
    /// `="302000000000000057"`. Programs leave it out.
    #[serde(default)]
    spreadsheet: bool,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<HoldId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl SalesQuery {
    fn filter(&self, node: &Node, caller: &Caller) -> Result<SaleFilter, Problem> {
        if let Some(slot) = self.slot {
            caller.may_at(Scope::Book, slot.museum())?;
        }
        // Whoever has left the field of a form empty would be shown all that no desk took money for.
        if self.reference.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::malformed("reference: that of a desk is expected; leave it out to list all"));
        }
        let museums = match (&self.museum, &caller.0.museums) {
            (Some(name), _) => Some(vec![museum_of(node, caller, Scope::Book, name)?.museum.id()]),
            (None, Museums::Only(museums)) => Some(museums.clone()),
            (None, Museums::All) => None,
        };
        let who = if self.mine { Some(caller.id()) } else { caller.owner() };
        // An operator sees what was sold on its account, or drafted for it, with other keys, too.
        let account = caller.account_of_operator().filter(|_| !self.mine);
        let (reference, who) = (self.reference.clone(), who.map(|who| who.to_string()));
        // Who serves others may have sold what they had held, through their channel.
        let through = caller.owner().map(|_| caller.channel());
        let (visits, sold) = (days(["from", "to"], self.from, self.to)?, days(["sold_from", "sold_to"], self.sold_from, self.sold_to)?);
        Ok(SaleFilter { museums, slot: self.slot, reference, who, through, account, visits, sold, after: self.cursor })
    }
}

/// From which instant up to before which one the days are that a query names, in Rome; none if it names none.
fn days([first, last]: [&str; 2], from: Option<Date>, to: Option<Date>) -> Result<Option<(Timestamp, Timestamp)>, Problem> {
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::invalid(format!("let `{first}` not be after `{last}`")));
    }
    let begin = |day: Date| calendar::instant(day.at(0, 0, 0, 0));
    let end = to.and_then(|to| to.tomorrow().ok()).map_or(Timestamp::MAX, begin);
    Ok((from.is_some() || to.is_some()).then(|| (from.map_or(Timestamp::MIN, begin), end)))
}

/// A sale in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SaleItem {
    /// Its id.
    sale: String,
    /// Its slot.
    slot: String,
    /// When it was sold (RFC 3339, UTC).
    sold_at: String,
    /// Through which channel.
    channel: String,
    /// `free`, `desk`, `on_account`, `moved` or `payment`.
    settlement: String,
    /// The reference under which a desk took the money; empty if none did.
    reference: String,
    /// The account, till or payment; empty if none.
    account: String,
    /// For how many people.
    people: u32,
    /// What was due, in euro cents.
    total_cents: i64,
    /// What of it was paid back, or is to be, in euro cents.
    refunded_cents: i64,
    /// How many of its tickets are cancelled.
    cancelled: u32,
    /// How many of its tickets were let in.
    admitted: u32,
    /// What of it stands in other slots, because tickets have moved there, in euro cents.
    carried_cents: i64,
    /// How many of its tickets have moved to other slots.
    moved: u32,
    /// The quote that it, or the sale from which its tickets have moved, was made for; empty if none.
    quote: String,
}

impl From<SaleRow> for SaleItem {
    fn from(row: SaleRow) -> Self {
        Self {
            sale: row.sale.to_string(),
            slot: row.slot.to_string(),
            sold_at: row.sold_at.to_string(),
            channel: row.channel,
            settlement: row.settlement,
            reference: row.reference,
            account: row.account,
            people: row.people,
            total_cents: row.total_cents,
            refunded_cents: row.refunded_cents,
            cancelled: row.cancelled,
            admitted: row.admitted,
            carried_cents: row.carried_cents,
            moved: row.moved,
            quote: row.quote,
        }
    }
}

/// A page of sales.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SalePage {
    /// The sales, in the order of their ids, or in that of the days that were asked for.
    items: Vec<SaleItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List sales.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far. Callers without desk rights see their own. Those of some days are asked for by
/// the days of the visits (`from`, `to`) or those on which they were sold (`sold_from`, `sold_to`): one day by naming it as both. With `Accept: text/csv` the page
/// is a table, and the header `Link` names the next one (`rel="next"`), if there is one.
#[utoipa::path(
    tag = "Sales", operation_id = "list_sales", security(("key" = ["book"])), params(SalesQuery),
    responses((status = 200, description = "A page of sales", content((SalePage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/sales", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<SalesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let (filter, size, views) = (query.filter(&node, &caller)?, page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, next_cursor) = page(views.sales(&filter, size + 1).await?, size, |row| row.sale.to_string());
    if wants_csv(&request) {
        return Ok(csv_page(&request, table(&rows, query.spreadsheet), next_cursor));
    }
    Ok(HttpResponse::Ok().json(SalePage { items: rows.into_iter().map(SaleItem::from).collect(), next_cursor, as_of_batch }))
}

/// Export sales as a table.
///
/// All that fit, up to 20,000, in the order of the list: the bookings of a museum, a slot or a day for a spreadsheet, with instants by the clocks of Rome and their
/// offset. If there are more, the header `Link` names the table that goes on (`rel="next"`). `limit` does not count.
#[utoipa::path(
    tag = "Sales", operation_id = "export_sales", security(("key" = ["book"])), params(SalesQuery),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), crate::openapi::Problems),
)]
#[get("/sales/export.csv", wrap = "Compress::default()")]
pub async fn export(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<SalesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let filter = query.filter(&node, &caller)?;
    let (rows, last) = page(files(&node)?.views.sales(&filter, TABLE_ROWS_MAX + 1).await?, TABLE_ROWS_MAX, |row| row.sale.to_string());
    Ok(csv_page(&request, table(&rows, query.spreadsheet), last))
}

fn table(rows: &[SaleRow], as_texts: bool) -> Vec<u8> {
    const HEADS: [&str; 17] = [
        "sale",
        "museum",
        "slot",
        "starts_at",
        "sold_at",
        "channel",
        "settlement",
        "reference",
        "account",
        "people",
        "total",
        "refunded",
        "cancelled",
        "admitted",
        "carried",
        "moved",
        "quote",
    ];
    let euros = |cents| CsvCell::Euros(Cents::new(cents));
    let mut table = CsvWriter::new(CsvForm::ITALIAN.with_texts(as_texts), HEADS);
    for row in rows {
        let (sale, slot) = (row.sale.to_string(), row.slot.to_string());
        table.row([
            CsvCell::Text(&sale),
            CsvCell::Count(i64::from(row.slot.museum().0)),
            CsvCell::Text(&slot),
            CsvCell::Instant(row.slot.start()),
            CsvCell::Instant(row.sold_at),
            CsvCell::Text(&row.channel),
            CsvCell::Text(&row.settlement),
            CsvCell::Text(&row.reference),
            CsvCell::Text(&row.account),
            CsvCell::Count(i64::from(row.people)),
            euros(row.total_cents),
            euros(row.refunded_cents),
            CsvCell::Count(i64::from(row.cancelled)),
            CsvCell::Count(i64::from(row.admitted)),
            euros(row.carried_cents),
            CsvCell::Count(i64::from(row.moved)),
            CsvCell::Text(&row.quote),
        ]);
    }
    table.take()
}
