//! Lists of refunds, from the read models: pages for programs, tables for a spreadsheet.

use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_actors::views::payments::{RefundFilter, RefundRow};
use tornello_engine::money::Cents;

use super::RefundId;
use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::{csv_page, museums, wants_csv};
use crate::routes::{files, page, page_size};

/// A refund in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefundItem {
    /// Its id.
    refund: String,
    /// Its payment.
    payment: String,
    /// The museum that the money belonged to.
    museum: u16,
    /// Since when it is known (RFC 3339, UTC).
    opened_at: String,
    /// How much, in euro cents.
    amount_cents: i64,
    /// `amount_too_small`, `excess`, `double_payment`, `unfulfilled`, `extras`, `cancelled` or `extras_cancelled`.
    why: String,
    /// `open`, `contested` (the payer's bank contests the payment, or took back of what came with this receipt: nothing goes back until somebody says so), `exported` or `paid_back`.
    state: String,
    /// Since when (RFC 3339, UTC).
    changed_at: String,
    /// The file with which it went to the bank; empty if it is not there.
    batch: String,
    /// `transfer`, `till`, `voucher` or `payers_bank`; empty while it is owed.
    way: String,
    /// The bank's or desk's reference; empty while it is owed.
    reference: String,
    /// The day on which it was paid back; empty while it is owed.
    executed_on: String,
    /// Why the bank returned it last; empty if it did not.
    returned: String,
    /// Whether it is known whom it goes to.
    has_payee: bool,
}

impl From<&RefundRow> for RefundItem {
    fn from(row: &RefundRow) -> Self {
        Self {
            refund: RefundId { payment: row.payment, number: row.number }.to_string(),
            payment: row.payment.to_string(),
            museum: row.museum.0,
            opened_at: row.opened_at.to_string(),
            amount_cents: row.amount_cents,
            why: row.why.clone(),
            state: row.state.clone(),
            changed_at: row.changed_at.to_string(),
            batch: row.batch.clone(),
            way: row.way.clone(),
            reference: row.reference.clone(),
            executed_on: row.executed_on.clone(),
            returned: row.returned.clone(),
            has_payee: !row.payee.is_empty(),
        }
    }
}

/// A page of refunds.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefundPage {
    /// The refunds, by payment and number.
    items: Vec<RefundItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// Which refunds to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefundsQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only in this state: `open`, `contested`, `exported` or `paid_back`.
    state: Option<String>,
    /// Whether a table is for a spreadsheet, which keeps 15 digits of a number and no leading zero: texts that begin with a digit are then formulas that say them, as
    /// `="302000000000000057"`. Programs leave it out.
    #[serde(default)]
    spreadsheet: bool,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<RefundId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// List refunds.
///
/// From the read models: `as_of_batch` says how far. With `Accept: text/csv` the page is a table, with instants by the clocks of Rome and their
/// offset, and the header `Link` names the next one (`rel="next"`), if there is one.
#[utoipa::path(
    tag = "Refunds", operation_id = "list_refunds", security(("key" = ["settle"])), params(RefundsQuery),
    responses((status = 200, description = "A page of refunds", content((RefundPage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/refunds", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<RefundsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    if query.state.as_deref().is_some_and(|state| !["open", "contested", "exported", "paid_back"].contains(&state)) {
        return Err(Problem::malformed("state: open, contested, exported or paid_back is expected"));
    }
    let filter = RefundFilter {
        museums: museums(&node, &caller, Scope::Settle, query.museum.as_deref())?,
        state: query.state.clone(),
        with_payee: false,
        after: query.cursor.map(|after| (after.payment, after.number)),
    };
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let id = |row: &RefundRow| RefundId { payment: row.payment, number: row.number }.to_string();
    let (rows, next_cursor) = page(views.refunds(&filter, size + 1).await?, size, id);
    if wants_csv(&request) {
        return Ok(csv_page(&request, table(&rows, query.spreadsheet), next_cursor));
    }
    Ok(HttpResponse::Ok().json(RefundPage { items: rows.iter().map(RefundItem::from).collect(), next_cursor, as_of_batch }))
}

fn table(rows: &[RefundRow], as_texts: bool) -> Vec<u8> {
    const HEADS: [&str; 11] = ["refund", "museum", "opened_at", "amount", "why", "state", "batch", "way", "reference", "executed_on", "returned"];
    let mut table = CsvWriter::new(CsvForm::ITALIAN.with_texts(as_texts), HEADS);
    for row in rows {
        let item = RefundItem::from(row);
        table.row([
            CsvCell::Text(&item.refund),
            CsvCell::Count(i64::from(item.museum)),
            CsvCell::Instant(row.opened_at),
            CsvCell::Euros(Cents::new(row.amount_cents)),
            CsvCell::Text(&item.why),
            CsvCell::Text(&item.state),
            CsvCell::Text(&item.batch),
            CsvCell::Text(&item.way),
            CsvCell::Text(&item.reference),
            item.executed_on.parse().map_or(CsvCell::Empty, CsvCell::Day),
            CsvCell::Text(&item.returned),
        ]);
    }
    table.take()
}
