//! Lists of quotes: pages for programs, tables for a clerk's spreadsheet.

use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_actors::views::quotes::{QuoteFilter, QuoteRow, kind as kind_name};
use tornello_engine::ids::{Code, QuoteId};
use tornello_engine::money::Cents;
use tornello_engine::quote::Kind;
use tornello_engine::time::Timestamp;

use super::options::{basis_name, lapse_of, told};
use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::{TABLE_ROWS_MAX, csv_page, museums, wants_csv};
use crate::routes::{files, instant_of, page, page_size};
use crate::words::GroupKindWord;

/// Which quotes to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QuotesQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only in one of these states, with commas between them: `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused`, `cancelled`; or `open`, which is the
    /// first four.
    state: Option<String>,
    /// Only of this operator's account.
    #[param(value_type = Option<String>, max_length = 23)]
    account: Option<Code>,
    /// Only of this kind: `school`, `tour_operator`, `company`, `association` or `other`.
    #[param(inline, value_type = Option<GroupKindWord>)]
    kind: Option<Kind>,
    /// Only of an institution with this fiscal code, VAT number or IPA code.
    #[param(min_length = 1)]
    institution: Option<String>,
    /// Only for visits on this day or later.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// Only for visits on this day or earlier.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Date>,
    /// Only those with a deadline that ends before this instant (RFC 3339).
    #[param(format = DateTime)]
    due_before: Option<String>,
    /// Whether a table is for a spreadsheet, which keeps 15 digits of a number and no leading zero: texts that begin with a digit are then formulas that say them, as
    /// `="302000000000000057"`. Programs leave it out.
    #[serde(default)]
    spreadsheet: bool,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<QuoteId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

const STATES: [&str; 8] = ["draft", "sent", "accepted", "paid", "ticketed", "lapsed", "refused", "cancelled"];
/// How many of them are open.
const OPEN: usize = 4;

impl QuotesQuery {
    fn filter(&self, node: &Node, caller: &Caller) -> Result<QuoteFilter, Problem> {
        let mut states: Option<Vec<String>> = None;
        for state in self.state.iter().flat_map(|states| states.split(',')).map(str::trim) {
            let named = if state == "open" { &STATES[..OPEN] } else { std::slice::from_ref(&state) };
            if !named.iter().all(|state| STATES.contains(state)) {
                return Err(Problem::malformed(format!("state: open, or some of {}, are expected", STATES.join(", "))));
            }
            states.get_or_insert_default().extend(named.iter().map(|state| (*state).to_owned()));
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(Problem::invalid("let `from` not be after `to`"));
        }
        let institution = self.institution.as_ref().map(|code| code.trim().to_ascii_lowercase());
        // Codes that are not known are empty: whoever has left the field of a form empty would be shown the quotes of all who lack one.
        if institution.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::malformed("institution: a fiscal code, VAT number or IPA code is expected; leave it out to list all"));
        }
        let account = match (caller.acts_for()?, self.account) {
            (Some(own), Some(other)) if own != other => return Err(Problem::not_found()),
            (own, named) => own.or(named),
        };
        Ok(QuoteFilter {
            museums: museums(node, caller, Scope::Quote, self.museum.as_deref())?,
            states,
            account,
            kind: self.kind.map(|kind| kind_name(kind).to_owned()),
            institution,
            from: self.from.map(|day| day.to_string()),
            to: self.to.map(|day| day.to_string()),
            due_before: instant_of("due_before", self.due_before.as_deref())?,
            after: self.cursor,
        })
    }
}

/// A quote in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuoteItem {
    /// Its id.
    quote: String,
    /// The museum's number.
    museum: u16,
    /// `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused` or `cancelled`.
    state: String,
    /// Since when (RFC 3339, UTC).
    changed_at: String,
    /// The revision in force.
    revision: u32,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    kind: String,
    /// The operator's account; empty if it is for none.
    account: String,
    /// The institution's fiscal code; empty if not known.
    fiscal_code: String,
    /// Its VAT number; empty if not known.
    vat: String,
    /// Its code in the index of public administrations; empty if not known.
    ipa: String,
    /// The day of the visit, in Rome.
    day: String,
    /// When the first part goes in (RFC 3339, UTC).
    starts_at: String,
    /// How many parts go round.
    parts: u32,
    /// How many people come, escorts included.
    people: u32,
    /// What it costs, in euro cents.
    total_cents: i64,
    /// When it was drafted (RFC 3339, UTC).
    drafted_at: String,
    /// Until when the signed form must come back (RFC 3339, UTC); absent before it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_by: Option<String>,
    /// Until when it must be paid (RFC 3339, UTC); absent before it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_by: Option<String>,
    /// Until when, if it is paid at the desk (RFC 3339, UTC); absent if it cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    desk_by: Option<String>,
    /// The deadline that runs: `signature` or `payment`; empty if none does.
    deadline: String,
    /// When that is (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// How it is to be paid; empty before it is accepted.
    settle: String,
    /// The last payment begun for it; empty if none was.
    payment: String,
    /// How that stands; empty if there is none.
    payment_state: String,
    /// When it was paid (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<String>,
    /// Why it ended, or was not settled; empty if neither is so.
    reason: String,
    /// When the group was last reminded (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    reminded_at: Option<String>,
    /// How likely it is never paid, 0 to 1, while it keeps places; for staff only.
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse_probability: Option<f64>,
    /// What that rests on: an `assumption`, as long as too few quotes have ended here; the `rate` of past quotes of that kind that waited as long; or a `model` of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse_by: Option<&'static str>,
}

impl From<QuoteRow> for QuoteItem {
    fn from(row: QuoteRow) -> Self {
        Self {
            quote: row.quote.to_string(),
            museum: row.museum.0,
            state: row.state,
            changed_at: row.changed_at.to_string(),
            revision: row.revision,
            kind: row.kind,
            account: row.account,
            fiscal_code: row.fiscal_code,
            vat: row.vat,
            ipa: row.ipa,
            day: row.day,
            starts_at: row.starts_at.to_string(),
            parts: row.parts,
            people: row.people,
            total_cents: row.total_cents,
            drafted_at: row.drafted_at.to_string(),
            sign_by: row.sign_by.map(|at| at.to_string()),
            pay_by: row.pay_by.map(|at| at.to_string()),
            desk_by: row.desk_by.map(|at| at.to_string()),
            deadline: row.deadline,
            due_at: row.due_at.map(|at| at.to_string()),
            settle: row.settle,
            payment: row.payment,
            payment_state: row.payment_state,
            paid_at: row.paid_at.map(|at| at.to_string()),
            reason: row.reason,
            reminded_at: row.reminded_at.map(|at| at.to_string()),
            lapse_probability: None,
            lapse_by: None,
        }
    }
}

impl QuoteItem {
    /// With how likely it is never paid, as it stands now.
    fn with_lapse(row: QuoteRow, node: &Node, caller: &Caller) -> Result<Self, Problem> {
        let chance = lapse_of(node, caller, node.quotes().head(row.quote).as_ref())?;
        Ok(Self { lapse_probability: chance.map(told), lapse_by: chance.map(|chance| basis_name(chance.basis)), ..Self::from(row) })
    }
}

/// A page of quotes.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotePage {
    /// The quotes, in the order of their ids.
    items: Vec<QuoteItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List quotes.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far. An operator sees its own. With `Accept: text/csv` the page is a table,
/// and the header `Link` names the next one (`rel="next"`), if there is one.
#[utoipa::path(
    tag = "Quotes", operation_id = "list_quotes", security(("key" = ["quote"])), params(QuotesQuery),
    responses((status = 200, description = "A page of quotes", content((QuotePage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/quotes", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<QuotesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Quote)?;
    let (filter, size, views) = (query.filter(&node, &caller)?, page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, next_cursor) = page(views.quotes(&filter, size + 1).await?, size, |row| row.quote.to_string());
    if wants_csv(&request) {
        return Ok(csv_page(&request, table(&rows, query.spreadsheet), next_cursor));
    }
    let items = rows.into_iter().map(|row| QuoteItem::with_lapse(row, &node, &caller)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(QuotePage { items, next_cursor, as_of_batch }))
}

/// Export quotes as a table.
///
/// With deadlines and the state of payments: all that fit, up to 20,000, in the order of their ids, with instants by the clocks of Rome and their offset. If there are more,
/// the header `Link` names the table that goes on (`rel="next"`). `limit` does not count.
#[utoipa::path(
    tag = "Quotes", operation_id = "export_quotes", security(("key" = ["quote"])), params(QuotesQuery),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), crate::openapi::Problems),
)]
#[get("/quotes/export.csv", wrap = "Compress::default()")]
pub async fn export(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<QuotesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Quote)?;
    let filter = query.filter(&node, &caller)?;
    let (rows, last) = page(files(&node)?.views.quotes(&filter, TABLE_ROWS_MAX + 1).await?, TABLE_ROWS_MAX, |row| row.quote.to_string());
    Ok(csv_page(&request, table(&rows, query.spreadsheet), last))
}

fn table(rows: &[QuoteRow], as_texts: bool) -> Vec<u8> {
    const HEADS: [&str; 26] = [
        "quote",
        "museum",
        "day",
        "starts_at",
        "state",
        "since",
        "kind",
        "account",
        "fiscal_code",
        "vat",
        "ipa",
        "revision",
        "parts",
        "people",
        "total",
        "sign_by",
        "pay_by",
        "desk_by",
        "deadline",
        "due_at",
        "settle",
        "payment",
        "payment_state",
        "paid_at",
        "reminded_at",
        "reason",
    ];
    let instant = |at: Option<Timestamp>| at.map_or(CsvCell::Empty, CsvCell::Instant);
    let mut table = CsvWriter::new(CsvForm::ITALIAN.with_texts(as_texts), HEADS);
    for row in rows {
        let id = row.quote.to_string();
        table.row([
            CsvCell::Text(&id),
            CsvCell::Count(i64::from(row.museum.0)),
            row.day.parse().map_or(CsvCell::Empty, CsvCell::Day),
            CsvCell::Instant(row.starts_at),
            CsvCell::Text(&row.state),
            CsvCell::Instant(row.changed_at),
            CsvCell::Text(&row.kind),
            CsvCell::Text(&row.account),
            CsvCell::Text(&row.fiscal_code),
            CsvCell::Text(&row.vat),
            CsvCell::Text(&row.ipa),
            CsvCell::Count(i64::from(row.revision)),
            CsvCell::Count(i64::from(row.parts)),
            CsvCell::Count(i64::from(row.people)),
            CsvCell::Euros(Cents::new(row.total_cents)),
            instant(row.sign_by),
            instant(row.pay_by),
            instant(row.desk_by),
            CsvCell::Text(&row.deadline),
            instant(row.due_at),
            CsvCell::Text(&row.settle),
            CsvCell::Text(&row.payment),
            CsvCell::Text(&row.payment_state),
            instant(row.paid_at),
            instant(row.reminded_at),
            CsvCell::Text(&row.reason),
        ]);
    }
    table.take()
}
