//! Till sessions: one desk's cash from its opening float to its count. What the desk takes for tickets and pays back stands in sales, payments and refunds; at the close
//! it is summed from the read models and held against the count. How far it was summed is written with it, so that what comes in the meantime is in the next sum.

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::tills;
use tornello_actors::views::payments::{TillFilter, TillRow, TillSum};
use tornello_engine::ids::{Code, TillId};
use tornello_engine::money::Cents;
use tornello_engine::till::{Command, Direction, Event, Refusal, Till};

use crate::acting;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::payments::museums;
use crate::routes::readings::MuseumName;
use crate::routes::{created, files, museum_of, not_rebuilt, page, page_size};
use crate::words::CashDirectionWord;

/// A session to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TillOpenForm {
    /// The museum where the desk stands: its slug or number.
    pub museum: MuseumName,
    /// Which desk.
    #[schema(value_type = String, max_length = 23, examples("till-1"))]
    pub till: Code,
    /// The cash in the drawer, in euro cents.
    #[schema(minimum = 0, maximum = 100_000_000, examples(10_000))]
    pub float_cents: i64,
}

/// Cash that is put in or taken out beside sales.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CashForm {
    /// `in` or `out`.
    #[schema(value_type = CashDirectionWord)]
    pub direction: Direction,
    /// How much, in euro cents.
    #[schema(minimum = 1, maximum = 100_000_000, examples(5_000))]
    pub amount_cents: i64,
    /// Why, in one word.
    #[schema(value_type = String, max_length = 23, examples("safe"))]
    pub reason: Code,
}

/// The drawer, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TillCloseForm {
    /// What was counted, in euro cents.
    #[schema(minimum = 0, maximum = 99_999_999_999_i64, examples(10_000))]
    pub counted_cents: i64,
}

/// What came in and went out on one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TillMethodView {
    /// `cash` or `card`.
    method: String,
    /// What was taken for tickets, less what was paid back, in euro cents.
    taken_cents: i64,
}

impl From<TillSum> for TillMethodView {
    fn from(sum: TillSum) -> Self {
        Self { method: sum.method, taken_cents: sum.taken_cents }
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TillView {
    /// Its id.
    session: String,
    /// The museum where the desk stands.
    museum: u16,
    /// Which desk.
    #[schema(value_type = String)]
    till: Code,
    /// `open` or `closed`.
    state: &'static str,
    /// Which key opened it.
    opened_by: String,
    /// When (RFC 3339, UTC).
    opened_at: String,
    /// The float with what was put in and taken out beside sales, in euro cents.
    drawer_cents: i64,
    /// What sales brought in so far, by method; with what came at this desk while its last session was being closed, and is not counted there.
    by_method: Vec<TillMethodView>,
    /// Cash of this desk that is in no session, less what was paid back: it came while none was open, since the last one or ever, before this one began. In euro cents;
    /// it is not part of what is expected.
    outside_cents: i64,
    /// What should be in the drawer, in euro cents.
    expected_cents: i64,
    /// What was counted, once it is closed, in euro cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_cents: Option<i64>,
    /// What was counted less what should have been there, once it is closed, in euro cents: below zero if cash is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_cents: Option<i64>,
    /// When it was closed (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
}

/// A session that the caller may see.
async fn seen(node: &Node, caller: &Caller, id: TillId) -> Result<Till, Problem> {
    caller.may(Scope::Desk)?;
    let museums = caller.0.museums.clone();
    let found = node.look_till(id, move |till| till.opened().is_some_and(|opened| museums.allows(opened.museum)).then(|| till.clone()));
    match found.await {
        Ok(found) => found.ok_or_else(Problem::not_found),
        Err(Failure::Refused(_)) => Err(Problem::not_found()),
        Err(failure) => Err(failure.into()),
    }
}

/// What the desk of a session took, by method: everything that is in the journal by now, or was when it was summed. And up to which batch that is now.
async fn taken(node: &Node, session: TillId, is_open: bool) -> Result<(Vec<TillSum>, u64), Problem> {
    let (views, now) = (&files(node)?.views, node.head().number);
    views.catch_up(now).await?;
    Ok((views.till_money(session, is_open.then_some(now)).await?, now))
}

fn cash(sums: &[TillSum]) -> Option<&TillSum> {
    sums.iter().find(|sum| sum.method == "cash")
}

async fn view(node: &Node, caller: &Caller, id: TillId) -> Result<TillView, Problem> {
    let till = seen(node, caller, id).await?;
    let (Some(opened), Some((who, at))) = (till.opened(), till.opened_by()) else { return Err(Problem::not_found()) };
    let closed = till.closed();
    let (sums, _) = taken(node, id, till.is_open()).await?;
    let taken_cents = cash(&sums).map_or(0, |sum| sum.taken_cents);
    let expected_cents = closed.map_or_else(|| till.drawer_cents().get() + taken_cents, |(closed, _)| closed.expected_cents.get());
    Ok(TillView {
        session: id.to_string(),
        museum: opened.museum.0,
        till: opened.till,
        state: if closed.is_some() { "closed" } else { "open" },
        opened_by: who.to_string(),
        opened_at: at.to_string(),
        drawer_cents: till.drawer_cents().get(),
        outside_cents: cash(&sums).map_or(0, |sum| sum.outside_cents),
        by_method: sums.into_iter().filter(|sum| sum.is_taken).map(TillMethodView::from).collect(),
        expected_cents,
        counted_cents: closed.map(|(closed, _)| closed.counted_cents.get()),
        difference_cents: closed.map(|(closed, _)| closed.difference_cents.get()),
        closed_at: closed.map(|(_, at)| at.to_string()),
    })
}

/// Open a till session.
///
/// One is open at a desk at a time.
#[utoipa::path(
    tag = "Tills", operation_id = "open_till", security(("key" = ["desk"])),
    request_body(content = TillOpenForm, example = json!({"museum": "parco-colosseo", "till": "till-1", "float_cents": 10_000})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The session is open", body = TillView), crate::openapi::Problems),
)]
#[post("/tills")]
pub async fn open(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<TillOpenForm>) -> Result<HttpResponse, Problem> {
    let museum = museum_of(&node, &caller, Scope::Desk, &form.museum.text())?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["open till"], &*form, &[], None)?;
    let id = tills::open(&node, envelope, museum, form.till, Cents::new(form.float_cents)).await?;
    created(format!("/v1/tills/{id}"), &view(&node, &caller, id).await?)
}

/// Which sessions to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TillsQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only those that are open, or those that are not.
    open: Option<bool>,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<TillId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A session in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TillItem {
    /// Its id.
    session: String,
    /// The museum where the desk stands.
    museum: u16,
    /// Which desk.
    till: String,
    /// Which key opened it.
    opened_by: String,
    /// When (RFC 3339, UTC).
    opened_at: String,
    /// When it was closed (RFC 3339, UTC); none while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<String>,
    /// What should have been there, once it is closed, in euro cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_cents: Option<i64>,
    /// What was counted less that, in euro cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_cents: Option<i64>,
}

impl From<TillRow> for TillItem {
    fn from(row: TillRow) -> Self {
        Self {
            session: row.session.to_string(),
            museum: row.museum.0,
            till: row.till,
            opened_by: row.opened_by,
            opened_at: row.opened_at.to_string(),
            closed_at: row.closed_at.map(|at| at.to_string()),
            expected_cents: row.expected_cents,
            difference_cents: row.difference_cents,
        }
    }
}

/// A page of sessions.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TillPage {
    /// The sessions, in the order of their ids.
    items: Vec<TillItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List till sessions.
#[utoipa::path(
    tag = "Tills", operation_id = "list_tills", security(("key" = ["desk"])), params(TillsQuery),
    responses((status = 200, description = "A page of sessions", body = TillPage), crate::openapi::Problems),
)]
#[get("/tills", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<TillsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Desk)?;
    let filter = TillFilter { museums: museums(&node, &caller, Scope::Desk, query.museum.as_deref())?, open: query.open, after: query.cursor };
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, next_cursor) = page(views.till_sessions(&filter, size + 1).await?, size, |row| row.session.to_string());
    Ok(HttpResponse::Ok().json(TillPage { items: rows.into_iter().map(TillItem::from).collect(), next_cursor, as_of_batch }))
}

/// Read a till session.
///
/// What should be in the drawer by now, or what was counted at the end.
#[utoipa::path(
    tag = "Tills", operation_id = "get_till", security(("key" = ["desk"])),
    params(("session" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = TillView), crate::openapi::Problems),
)]
#[get("/tills/{session}")]
pub async fn get(node: web::Data<Node>, caller: Caller, session: web::Path<TillId>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Desk)?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, session.into_inner()).await?))
}

/// Put cash in or take it out.
///
/// Beside sales, as when the drawer is emptied into the safe.
#[utoipa::path(
    tag = "Tills", operation_id = "move_cash", security(("key" = ["desk"])),
    request_body(content = CashForm, example = json!({"direction": "out", "amount_cents": 5_000, "reason": "safe"})),
    params(("session" = String, Path, description = "The session"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is noted", body = TillView), crate::openapi::Problems),
)]
#[post("/tills/{session}/movements")]
pub async fn move_cash(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    session: web::Path<TillId>,
    form: Json<CashForm>,
) -> Result<HttpResponse, Problem> {
    let id = session.into_inner();
    seen(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["move cash", &id.to_string()], &*form, &[], None)?;
    let CashForm { direction, amount_cents, reason } = form.into_inner();
    node.till(id, envelope, Command::MoveCash { direction, amount_cents: Cents::new(amount_cents), reason }).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, id).await?))
}

/// Close a till session.
///
/// With the drawer counted: the answer says what should have been there, and the difference. Cards are summed too; no drawer holds them.
#[utoipa::path(
    tag = "Tills", operation_id = "close_till", security(("key" = ["desk"])),
    request_body(content = TillCloseForm, example = json!({"counted_cents": 13_600})),
    params(("session" = String, Path, description = "The session"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The session is over", body = TillView), crate::openapi::Problems),
)]
#[post("/tills/{session}/close")]
pub async fn close(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    session: web::Path<TillId>,
    form: Json<TillCloseForm>,
) -> Result<HttpResponse, Problem> {
    let id = session.into_inner();
    seen(&node, &caller, id).await?;
    let mut envelope = envelope(&node, &caller, &key, &["close till", &id.to_string()], &*form, &[], None)?;
    let (sums, summed_to) = taken(&node, id, true).await?;
    let taken_cents = Cents::new(cash(&sums).map_or(0, |sum| sum.taken_cents));
    let counted_cents = Cents::new(form.counted_cents);
    // Of one that is closed already the session says so itself.
    let known = |till: &Till| {
        let opener = till.opened_by().map(|(who, _)| who);
        till.opened().filter(|_| till.is_open()).map(|opened| (opened.museum, till.drawer_cents(), opener))
    };
    if let Ok(Some((museum, drawer_cents, opener))) = node.look_till(id, known).await {
        acting::weigh_count(&node, &mut envelope, museum, counted_cents.minus(drawer_cents.plus(taken_cents)), opener);
    }
    let command = Command::Close { counted_cents, taken_cents, summed_to };
    let record = node.till(id, envelope, command).await?;
    if !record.events.iter().any(|event| matches!(event, Event::Closed(_))) {
        return Err(not_rebuilt());
    }
    Ok(HttpResponse::Ok().json(view(&node, &caller, id).await?))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use actix_web::http::StatusCode;
        let (status, detail) = match refusal {
            Refusal::AlreadyOpen => (StatusCode::CONFLICT, "Go on with it, or close it first: GET /v1/tills has it."),
            Refusal::NotOpen => (StatusCode::CONFLICT, "Open a session: POST /v1/tills."),
            Refusal::Closed { .. } => (StatusCode::CONFLICT, "It was closed at `at`: open a new one."),
            Refusal::BadAmount => (StatusCode::UNPROCESSABLE_ENTITY, "Correct the amount: it is in cents."),
            Refusal::TooManyMoves => (StatusCode::CONFLICT, "Count the cash, close the session, and open a new one."),
        };
        let problem = match refusal {
            // Its instant stands beside.
            Refusal::Closed { at } => Self::new(status, refusal.code(), "the till session is closed").with("at", at.to_string()),
            _ => Self::new(status, refusal.code(), refusal.to_string()),
        };
        problem.detail(detail)
    }
}
