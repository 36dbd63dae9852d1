//! Lists of payments: pages for programs, tables for a spreadsheet.

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_actors::views::payments::{PaymentFilter, PaymentRow};
use tornello_engine::ids::{MuseumId, OrderId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::notice::NoticeNumber;

use super::{Connected, creditor_of};
use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::{files, instant_of, museum_of, page, page_size, prefers};

/// Which payments to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaymentsQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only in this state: `created`, `pending`, `paid`, `failed`, `expired` or `cancelled`.
    state: Option<String>,
    /// Only opened at this instant or later (RFC 3339).
    from: Option<String>,
    /// Only opened before this instant (RFC 3339).
    to: Option<String>,
    /// Only of this order.
    order: Option<String>,
    /// Only with this notice number (18 digits), as a payer or a bank shows it.
    #[param(pattern = "^[0-9]{18}$")]
    notice_number: Option<String>,
    /// Only those of which money is owed back, or of which none is.
    owing: Option<bool>,
    /// Only those of the caller's key. Without desk rights it sees no others, but an operator those of its quotes.
    #[serde(default)]
    mine: bool,
    /// Whether a table is for a spreadsheet, which keeps 15 digits of a number and no leading zero: texts that begin with a digit are then formulas that say them, as
    /// `="302000000000000057"`. Programs leave it out.
    #[serde(default)]
    spreadsheet: bool,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<PaymentId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The most rows of an exported table.
pub const TABLE_ROWS_MAX: u32 = 20_000;

const STATES: [&str; 6] = ["created", "pending", "paid", "failed", "expired", "cancelled"];

impl PaymentsQuery {
    fn filter(&self, node: &Node, connected: &Connected, caller: &Caller) -> Result<PaymentFilter, Problem> {
        if self.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
            return Err(Problem::malformed("state: created, pending, paid, failed, expired or cancelled is expected"));
        }
        let (from, to) = (instant_of("from", self.from.as_deref())?, instant_of("to", self.to.as_deref())?);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(Problem::invalid("let `from` not be after `to`"));
        }
        let order = self.order.as_deref().map(str::parse::<OrderId>).transpose().map_err(|error| Problem::malformed(format!("order: {error}")))?;
        let notice = self.notice_number.as_deref().map(str::parse::<NoticeNumber>).transpose();
        let notice = notice.map_err(|error| Problem::malformed(format!("notice_number: {error}")))?;
        let who = if self.mine { Some(caller.id()) } else { caller.owner() };
        Ok(PaymentFilter {
            museums: museums(node, caller, Scope::Book, self.museum.as_deref())?,
            state: self.state.clone(),
            who: who.map(|who| who.to_string()),
            // An operator sees what is due for quotes that the office has drafted for it, too.
            account: caller.account_of_operator().filter(|_| !self.mine),
            from,
            to,
            order: order.map(|order| order.to_string()),
            owing: self.owing,
            among: notice.map(|notice| payments_of(connected, notice)),
            after: self.cursor,
        })
    }
}

/// The payments that may bear a notice number: of each creditor one at most.
fn payments_of(connected: &Connected, notice: NoticeNumber) -> Vec<PaymentId> {
    let creditors = connected.0.as_ref().map(|pagopa| pagopa.settings().creditors());
    creditors.into_iter().flatten().filter_map(|creditor| creditor.payment(notice)).collect()
}

/// The museums of a list: the one that is named, or the caller's own; none: all.
pub fn museums(node: &Node, caller: &Caller, scope: Scope, named: Option<&str>) -> Result<Option<Vec<MuseumId>>, Problem> {
    match (named, &caller.0.museums) {
        (Some(name), _) => Ok(Some(vec![museum_of(node, caller, scope, name)?.museum.id()])),
        (None, Museums::Only(museums)) => Ok(Some(museums.clone())),
        (None, Museums::All) => Ok(None),
    }
}

/// A payment in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentItem {
    /// Its id.
    payment: String,
    /// The museum that the money belongs to.
    museum: u16,
    /// When it was opened (RFC 3339, UTC).
    opened_at: String,
    /// Which key asked for it.
    who: String,
    /// Through which channel the places are sold.
    channel: String,
    /// `notice`, `checkout`, `desk`, `voucher` or `free`.
    gateway: String,
    /// The notice number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice_number: Option<String>,
    /// The order that it belongs to; empty if none.
    order: String,
    /// The quote that it belongs to; empty if none.
    quote: String,
    /// What the payer reads.
    subject: String,
    /// What is due, in euro cents.
    amount_cents: i64,
    /// From when on it can no longer be begun to pay (RFC 3339, UTC).
    due_at: String,
    /// `created`, `pending`, `paid`, `failed`, `expired` or `cancelled`.
    state: String,
    /// Since when (RFC 3339, UTC).
    changed_at: String,
    /// When it was paid, which is what counts in law, and may be days before it was heard of (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<String>,
    /// All that came, in euro cents.
    received_cents: i64,
    /// What of it is to go back, in euro cents.
    owed_cents: i64,
    /// What of it has gone back from here, in euro cents: what payers' banks took back stands beside.
    paid_back_cents: i64,
    /// Whether a dispute is open.
    disputed: bool,
    /// Whether the last dispute was decided for the payer: their bank takes the money back, though it stands in `received_cents`.
    charged_back: bool,
    /// What of `received_cents` payers' banks took back, in euro cents.
    taken_back_cents: i64,
}

impl PaymentItem {
    fn new(row: PaymentRow, connected: &Connected) -> Self {
        let is_position = ["notice", "checkout"].contains(&row.gateway.as_str());
        let notice_number = creditor_of(connected, row.payment).filter(|_| is_position).map(|creditor| creditor.notice(row.payment).to_string());
        Self {
            payment: row.payment.to_string(),
            museum: row.museum.0,
            opened_at: row.opened_at.to_string(),
            who: row.who,
            channel: row.channel,
            gateway: row.gateway,
            notice_number,
            order: row.order,
            quote: row.quote,
            subject: row.subject,
            amount_cents: row.amount_cents,
            due_at: row.due_at.to_string(),
            state: row.state,
            changed_at: row.changed_at.to_string(),
            paid_at: row.paid_at.map(|at| at.to_string()),
            received_cents: row.received_cents,
            owed_cents: row.owed_cents,
            paid_back_cents: row.paid_back_cents,
            disputed: row.disputed,
            charged_back: row.charged_back,
            taken_back_cents: row.taken_back_cents,
        }
    }
}

/// A page of payments.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentPage {
    /// The payments, in the order of their ids.
    items: Vec<PaymentItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List payments.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far. Callers without desk rights see their own. With `Accept: text/csv` the page
/// is a table, and the header `Link` names the next one (`rel="next"`), if there is one.
#[utoipa::path(
    tag = "Payments", operation_id = "list_payments", security(("key" = ["book"])), params(PaymentsQuery),
    responses((status = 200, description = "A page of payments", content((PaymentPage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/payments", wrap = "Compress::default()")]
pub async fn list(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    request: HttpRequest,
    query: web::Query<PaymentsQuery>,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let (filter, size, views) = (query.filter(&node, &connected, &caller)?, page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, next_cursor) = page(views.payments(&filter, size + 1).await?, size, |row| row.payment.to_string());
    if wants_csv(&request) {
        return Ok(csv_page(&request, table(&rows, &connected, query.spreadsheet), next_cursor));
    }
    let items = rows.into_iter().map(|row| PaymentItem::new(row, &connected)).collect();
    Ok(HttpResponse::Ok().json(PaymentPage { items, next_cursor, as_of_batch }))
}

/// Export payments as a table.
///
/// All that fit, up to 20,000, in the order of their ids: what a spreadsheet opens, with instants by the clocks of Rome and their offset. If there are more, the header `Link`
/// names the table that goes on (`rel="next"`). `limit` does not count.
#[utoipa::path(
    tag = "Payments", operation_id = "export_payments", security(("key" = ["book"])), params(PaymentsQuery),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), crate::openapi::Problems),
)]
#[get("/payments/export.csv", wrap = "Compress::default()")]
pub async fn export(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    request: HttpRequest,
    query: web::Query<PaymentsQuery>,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let filter = query.filter(&node, &connected, &caller)?;
    let (rows, last) = page(files(&node)?.views.payments(&filter, TABLE_ROWS_MAX + 1).await?, TABLE_ROWS_MAX, |row| row.payment.to_string());
    Ok(csv_page(&request, table(&rows, &connected, query.spreadsheet), last))
}

/// Whether a caller would rather have a table.
pub fn wants_csv(request: &HttpRequest) -> bool {
    prefers(request, "text/csv")
}

/// An answer that is a table.
pub fn csv_answer(table: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))).body(table)
}

/// An answer that is a table of some rows of a list. If others follow, the header `Link` names the table that goes on after the last of these: a table has no place for it, and
/// a part must not look like the whole.
pub fn csv_page(request: &HttpRequest, table: Vec<u8>, last: Option<String>) -> HttpResponse {
    let mut answer = csv_answer(table);
    if let Some(link) = last.and_then(|last| HeaderValue::from_bytes(next_link(request.path(), request.query_string(), &last).as_bytes()).ok()) {
        answer.headers_mut().insert(header::LINK, link);
    }
    answer
}

/// Where a list goes on after a row, asked for as before.
fn next_link(path: &str, query: &str, last: &str) -> String {
    let cursor = format!("cursor={last}");
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    format!("<{path}?{}>; rel=\"next\"", others.chain([cursor.as_str()]).collect::<Vec<_>>().join("&"))
}

fn table(rows: &[PaymentRow], connected: &Connected, as_texts: bool) -> Vec<u8> {
    const HEADS: [&str; 19] = [
        "payment",
        "museum",
        "opened_at",
        "channel",
        "gateway",
        "notice_number",
        "order",
        "quote",
        "subject",
        "amount",
        "due_at",
        "state",
        "paid_at",
        "received",
        "owed",
        "paid_back",
        "disputed",
        "charged_back",
        "taken_back",
    ];
    let mut table = CsvWriter::new(CsvForm::ITALIAN.with_texts(as_texts), HEADS);
    for row in rows {
        let item = PaymentItem::new(row.clone(), connected);
        let euros = |cents| CsvCell::Euros(Cents::new(cents));
        table.row([
            CsvCell::Text(&item.payment),
            CsvCell::Count(i64::from(item.museum)),
            CsvCell::Instant(row.opened_at),
            CsvCell::Text(&item.channel),
            CsvCell::Text(&item.gateway),
            CsvCell::Text(item.notice_number.as_deref().unwrap_or_default()),
            CsvCell::Text(&item.order),
            CsvCell::Text(&item.quote),
            CsvCell::Text(&item.subject),
            euros(row.amount_cents),
            CsvCell::Instant(row.due_at),
            CsvCell::Text(&item.state),
            row.paid_at.map_or(CsvCell::Empty, CsvCell::Instant),
            euros(row.received_cents),
            euros(row.owed_cents),
            euros(row.paid_back_cents),
            CsvCell::Count(i64::from(row.disputed)),
            CsvCell::Count(i64::from(row.charged_back)),
            euros(row.taken_back_cents),
        ]);
    }
    table.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_as_it_was_asked_for() {
        for (query, expected) in [
            ("", "</v1/payments?cursor=b>; rel=\"next\""),
            ("museum=torre&limit=1", "</v1/payments?museum=torre&limit=1&cursor=b>; rel=\"next\""),
            ("cursor=a&state=paid", "</v1/payments?state=paid&cursor=b>; rel=\"next\""),
        ] {
            assert_eq!(next_link("/v1/payments", query, "b"), expected, "{query}");
        }
    }
}
