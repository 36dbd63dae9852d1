//! Suspected fraud: the queue of cases, one case with all that an analyst needs to decide, verdicts one by one or many at once, and appeals of those who were refused. What a case
//! looks like is in `view`; rules, models and the report are beside it.

pub mod models;
pub mod report;
pub mod rules;
pub mod trial;
mod view;

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::cases;
use tornello_actors::cases::appeals::{self, Appealed, Standing};
use tornello_actors::node::Node;
use tornello_actors::views::fraud::{After, CaseFilter};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::case::{AppealState, Command, Origin, Refusal, Verdict};
use tornello_engine::channel::Channel;
use tornello_engine::ids::{CaseId, Code, KeyId, MuseumId};
use tornello_engine::recall::Recall;

use crate::auth::{Caller, Scope};
use crate::problem::{Body, Problem};
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::payments::museums;
use crate::routes::{files, page, page_size};
use crate::words::{AppealStateWord, CaseOriginWord, CaseVerdictWord, ChannelWord};
use view::{CaseItem, CaseView, seen, view, view_after};

/// The most verdicts of one request.
const VERDICTS_MAX: usize = 100;

/// Which cases to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CasesQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only through this channel.
    #[param(inline, value_type = Option<ChannelWord>)]
    channel: Option<Channel>,
    /// Only in this state: `open`, `appealed`, `decided` or `lapsed`; those that somebody should look at if not said.
    #[param(max_length = 16)]
    state: Option<String>,
    /// Only those that this key looks at.
    #[param(value_type = Option<String>)]
    assignee: Option<KeyId>,
    /// Only those for which there is a case because of this.
    #[param(inline, value_type = Option<CaseOriginWord>)]
    origin: Option<Origin>,
    /// Where the page before said to go on.
    #[param(max_length = 96)]
    cursor: Option<String>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A page of the queue.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CasePage {
    /// The cases, what may cost most first, and among these, by lot, what was picked at random; every fifth is an appeal, as long as one waits, by `due_at`.
    #[schema(max_items = 200)]
    items: Vec<CaseItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// What stands in a cursor for nothing.
const NONE: &str = "-";

fn cursor(text: &str) -> Result<After, Problem> {
    let of = |place: &str, case: &str| -> Option<Option<(i64, CaseId)>> {
        if (place, case) == (NONE, NONE) { Some(None) } else { Some(Some((place.parse().ok()?, case.parse().ok()?))) }
    };
    let read = || match text.split('.').collect::<Vec<_>>()[..] {
        [count, urgency, case, due, appealed] => Some(After { count: count.parse().ok()?, case: of(urgency, case)?, appeal: of(due, appealed)? }),
        _ => None,
    };
    read().ok_or_else(|| Problem::malformed("cursor: give the one of the page before"))
}

fn cursor_of(after: After) -> String {
    let of = |read: Option<(i64, CaseId)>| read.map_or_else(|| format!("{NONE}.{NONE}"), |(place, case)| format!("{place}.{case}"));
    format!("{}.{}.{}", after.count, of(after.case), of(after.appeal))
}

fn states(state: Option<&str>) -> Result<Vec<String>, Problem> {
    match state {
        None => Ok(["open", "appealed"].map(str::to_owned).into()),
        Some(state @ ("open" | "appealed" | "decided" | "lapsed")) => Ok(vec![state.to_owned()]),
        Some(_) => Err(Problem::malformed("state: `open`, `appealed`, `decided` or `lapsed` is expected")),
    }
}

/// List fraud cases.
///
/// The queue of those who look into fraud. What may cost most comes first; what was picked at random stands among it by lot. Every fifth place is for an appeal, as long as one waits, by when
/// somebody should look: what was refused has cost nothing, so its amount says nothing.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_fraud_cases", security(("key" = ["investigate"])), params(CasesQuery),
    responses((status = 200, description = "A page of the queue", body = CasePage), crate::openapi::Problems),
)]
#[get("/fraud/cases", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<CasesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let filter = CaseFilter {
        museums: museums(&node, &caller, Scope::Investigate, query.museum.as_deref())?,
        channel: query.channel.map(|channel| channel.name().to_owned()),
        states: Some(states(query.state.as_deref())?),
        assignee: query.assignee.map(|key| key.to_string()),
        origin: query.origin.map(|origin| origin.name().to_owned()),
        opened_from: None,
        after: query.cursor.as_deref().map(cursor).transpose()?,
    };
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, last) = page(views.fraud_cases(&filter, size + 1).await?, size, |_| ());
    let next_cursor = last.map(|()| cursor_of(filter.after.unwrap_or_default().read(&rows)));
    let items = rows.into_iter().map(|row| CaseItem::new(row, &node)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(CasePage { items, next_cursor, as_of_batch }))
}

/// Read a fraud case.
///
/// What was suspected and why, in words; what shares a buyer, device, card or network with it; what is known by now.
#[utoipa::path(
    tag = "Fraud", operation_id = "get_fraud_case", security(("key" = ["investigate"])),
    params(("case" = String, Path, description = "The case")),
    responses((status = 200, description = "The case", body = CaseView), crate::openapi::Problems),
)]
#[get("/fraud/cases/{case}")]
pub async fn get(node: web::Data<Node>, caller: Caller, case: web::Path<CaseId>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    Ok(HttpResponse::Ok().json(view(&node, &caller, case.into_inner()).await?))
}

/// Who is to look at a case.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignForm {
    /// The key of whoever is to: one that is good, looks into fraud (an analyst's, manager's or administrator's) and is for the museum of the case; absent: the caller's own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    to: Option<KeyId>,
    /// Whether nobody in particular is to.
    #[serde(default)]
    nobody: bool,
}

/// Asserts that a key can look at a case of that museum: else the case would be nobody's, and look as if it were somebody's.
fn can_look(node: &Node, to: KeyId, museum: MuseumId) -> Result<(), Problem> {
    let known = files(node)?.keys.get(to);
    let can = known.is_some_and(|key| key.is_good(node.now()) && Scope::Investigate.is_open_to(key.role) && key.museums.allows(museum));
    if can {
        return Ok(());
    }
    Err(Problem::invalid(format!("to: no key {to} is good, looks into fraud and is for the museum of the case")).detail(
        "Name the id of an analyst's, manager's or administrator's key, as `tornello keys list` shows it; leave `to` out to take the case yourself, or say `nobody`.",
    ))
}

/// Assign a fraud case.
#[utoipa::path(
    tag = "Fraud", operation_id = "assign_fraud_case", security(("key" = ["investigate"])),
    request_body(content = AssignForm, example = json!({"to": "000000000000c"})),
    params(("case" = String, Path, description = "The case"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is noted", body = CaseView), crate::openapi::Problems),
)]
#[post("/fraud/cases/{case}/assign")]
pub async fn assign(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    case: web::Path<CaseId>,
    form: Json<AssignForm>,
) -> Result<HttpResponse, Problem> {
    let id = case.into_inner();
    let case = seen(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["assign case", &id.to_string()], &*form, &[], None)?;
    let to = if form.nobody { None } else { Some(form.to.unwrap_or_else(|| caller.id())) };
    // What was done is answered as before, whatever has become of the key since.
    if let (Some(to), Some(opened), Recall::New) = (to, case.opened(), case.recall(&envelope)) {
        can_look(&node, to, opened.museum)?;
    }
    let assigned = node.case(id, envelope, Command::Assign { to }).await?;
    Ok(HttpResponse::Ok().json(view_after(&node, &caller, id, assigned.seq).await?))
}

/// What a case is.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictForm {
    /// `fraud`: the tickets are blocked; `legit`: they are valid at once; `unsure`: they are valid when the review is over.
    #[schema(value_type = CaseVerdictWord)]
    verdict: Verdict,
    /// Why, in one word, never a name.
    #[schema(value_type = String, max_length = 23, examples("known-family"))]
    reason: Code,
}

/// Decide a fraud case.
///
/// What follows is done at once, or by itself a little later; `acted` and `blocked` say what could be done. What `fraud` blocks stands whatever staff block and lift, until the verdict
/// is undone or another one is given. Money is not paid back by a verdict: cancel the sale for that, as the museum. A repeat is answered with the case as it was decided: `GET` says
/// what has become of it.
#[utoipa::path(
    tag = "Fraud", operation_id = "decide_fraud_case", security(("key" = ["investigate"])),
    request_body(content = VerdictForm, example = json!({"verdict": "legit", "reason": "known-family"})),
    params(("case" = String, Path, description = "The case"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is decided", body = CaseView), crate::openapi::Problems),
)]
#[post("/fraud/cases/{case}/verdict")]
pub async fn decide(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    case: web::Path<CaseId>,
    form: Json<VerdictForm>,
) -> Result<HttpResponse, Problem> {
    let id = case.into_inner();
    seen(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["decide case", &id.to_string()], &*form, &[], None)?;
    let said = cases::decide(&node, id, envelope, form.verdict, form.reason).await?;
    Ok(HttpResponse::Ok().json(view_after(&node, &caller, id, said).await?))
}

/// Undo a verdict.
///
/// What followed from it is undone as far as it still can be: a block is lifted (what staff block stays), the review of what was suspected begins anew if there is time for one.
#[utoipa::path(
    tag = "Fraud", operation_id = "undo_fraud_verdict", security(("key" = ["investigate"])),
    params(("case" = String, Path, description = "The case"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is undone", body = CaseView), crate::openapi::Problems),
)]
#[post("/fraud/cases/{case}/undo")]
pub async fn undo(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, case: web::Path<CaseId>) -> Result<HttpResponse, Problem> {
    let id = case.into_inner();
    seen(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["undo verdict", &id.to_string()], &(), &[], None)?;
    let said = cases::undo(&node, id, envelope).await?;
    Ok(HttpResponse::Ok().json(view_after(&node, &caller, id, said).await?))
}

/// Several verdicts.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictsForm {
    /// Which cases, at most 100.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100, examples(json!(["000a000102r4e"])))]
    cases: Vec<CaseId>,
    /// As for one case.
    #[schema(value_type = CaseVerdictWord)]
    verdict: Verdict,
    /// Why, in one word, never a name.
    #[schema(value_type = String, max_length = 23, examples("known-family"))]
    reason: Code,
}

/// What became of one of several verdicts.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VerdictOutcome {
    /// The case.
    case: String,
    /// Whether it is decided so.
    decided: bool,
    /// Why not, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Body>,
}

/// What became of several verdicts.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VerdictOutcomes {
    /// In the order in which they were asked for.
    #[schema(max_items = 100)]
    items: Vec<VerdictOutcome>,
}

/// Decide many fraud cases.
///
/// Each by itself: one that cannot be decided keeps no other one from it.
#[utoipa::path(
    tag = "Fraud", operation_id = "decide_fraud_cases", security(("key" = ["investigate"])),
    request_body(content = VerdictsForm, example = json!({"cases": ["000a000102r4e"], "verdict": "legit", "reason": "known-family"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "What became of each", body = VerdictOutcomes), crate::openapi::Problems),
)]
#[post("/fraud/verdicts")]
pub async fn decide_many(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<VerdictsForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    if !(1..=VERDICTS_MAX).contains(&form.cases.len()) {
        return Err(Problem::invalid("cases: 1 to 100 are expected"));
    }
    let mut items = Vec::with_capacity(form.cases.len());
    for id in &form.cases {
        let envelope = envelope(&node, &caller, &key, &["decide cases", &id.to_string()], &*form, &[], None)?;
        let outcome = match seen(&node, &caller, *id).await {
            Ok(_) => cases::decide(&node, *id, envelope, form.verdict, form.reason).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        items.push(VerdictOutcome { case: id.to_string(), decided: outcome.is_ok(), problem: outcome.err().map(Problem::into_body) });
    }
    Ok(HttpResponse::Ok().json(VerdictOutcomes { items }))
}

/// Somebody who was refused asks for another look.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppealForm {
    /// The appeal code of the refusal, or the id of the sale whose tickets were blocked.
    #[schema(min_length = 13, max_length = 2_048, examples("000a000102r4e"))]
    code: String,
}

/// An appeal: how it stands, and nothing of whoever made it or decided it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AppealView {
    /// `received`: somebody is to look at it; `granted`: what was refused may be tried again, or the tickets are good; `refused`: somebody has looked, and it stands; `lapsed`:
    /// nobody has looked in time, or another one of the same card or network was looked at first, and it may be appealed once more.
    #[schema(value_type = AppealStateWord)]
    state: AppealState,
    /// By when somebody should look, or should have (RFC 3339, UTC).
    #[schema(format = DateTime)]
    due_at: String,
    /// Until when the buyer and the device that were refused are not refused by the same rules (RFC 3339, UTC); absent where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    passes_until: Option<String>,
}

impl From<Standing> for AppealView {
    fn from(Standing { state, due_at, passes_until }: Standing) -> Self {
        Self { state, due_at: due_at.to_string(), passes_until: passes_until.map(|until| until.to_string()) }
    }
}

/// Asserts that the caller's key is good where a code was given. A code of another museum is answered as one that was never given: nobody learns from it where there is
/// something to appeal.
async fn may_appeal(node: &Node, caller: &Caller, appealed: &Appealed) -> Result<(), Problem> {
    caller.may(Scope::Book)?;
    match appealed.museum(node).await {
        Some(museum) if caller.0.museums.allows(museum) => Ok(()),
        Some(_) | None => Err(Refusal::UnknownCase.into()),
    }
}

/// Appeal a refusal.
///
/// For those who were refused, by the code that the refusal named; no name is needed. Somebody looks at it within a day, or half an hour before the gate opens if that is sooner; until then the
/// refusal stands. `GET` with the code says what came of it. If nobody has looked in a week it may be appealed once more.
///
/// Of those who have a buyer, a device, a card or a network in common one appeal waits at a time at each museum; more join it. What is said of it holds for those of the same buyer or device. For
/// the others the state is `lapsed` when it is decided, and they appeal once more, with a new `Idempotency-Key`.
///
/// A repeat is answered as the appeal stood when it was made. A code of a museum that the key is not good for is `unknown_case`, like one that was never given.
#[utoipa::path(
    tag = "Fraud", operation_id = "appeal_refusal", security(("key" = ["book"])),
    request_body(content = AppealForm, example = json!({"code": "000a000102r4e"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 202, description = "Somebody looks at it", body = AppealView), crate::openapi::Problems),
)]
#[post("/fraud/appeals")]
pub async fn appeal(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<AppealForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let by = envelope(&node, &caller, &key, &["appeal", &form.code], &*form, &[], None)?;
    let no_code = || Problem::invalid("code: the appeal code of a refusal, or the id of a sale, is expected");
    // What looks like a code in which an attempt is carried, and was not written here, is like one of another museum.
    let unread = || if appeals::looks_carried(&form.code) { Problem::from(Refusal::UnknownCase) } else { no_code() };
    let appealed = Appealed::read(&node, &form.code).ok_or_else(unread)?;
    may_appeal(&node, &caller, &appealed).await?;
    let case = appeals::appeal_to_its_end(&node, &appealed, by.clone()).await?;
    let view = match appeals::as_made(&node, case, &appealed, &by).await? {
        Some(standing) => standing.into(),
        None => standing(&node, &appealed).await?,
    };
    Ok(HttpResponse::Accepted().json(view))
}

async fn standing(node: &Node, appealed: &Appealed) -> Result<AppealView, Problem> {
    Ok(appeals::standing(node, appealed).await?.ok_or(Refusal::UnknownCase)?.into())
}

/// How the appeal of a code stands, for a key that is good where the code was given.
async fn told(node: &Node, caller: &Caller, code: &str) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Book)?;
    let appealed = Appealed::read(node, code).ok_or(Refusal::UnknownCase)?;
    may_appeal(node, caller, &appealed).await?;
    Ok(HttpResponse::Ok().json(standing(node, &appealed).await?))
}

/// Look an appeal up.
///
/// As `GET` with the code, which stands in the body here: no proxy writes it into its log.
#[utoipa::path(
    tag = "Fraud", operation_id = "look_up_appeal", security(("key" = ["book"])),
    request_body(content = AppealForm, example = json!({"code": "000a000102r4e"})),
    responses((status = 200, description = "How it stands", body = AppealView), crate::openapi::Problems),
)]
#[post("/fraud/appeal-lookups")]
pub async fn look_up_appeal(node: web::Data<Node>, caller: Caller, form: Json<AppealForm>) -> Result<HttpResponse, Problem> {
    told(&node, &caller, &form.code).await
}

/// Read an appeal.
///
/// For the shop that has the code, to tell whoever was refused: what came of it, and no more. Once it is granted the same request is not refused by the same rules until
/// `passes_until`. A code of a museum that the key is not good for is `unknown_case`, like one that was never given.
#[utoipa::path(
    tag = "Fraud", operation_id = "get_appeal", security(("key" = ["book"])),
    params(("code" = String, Path, description = "The appeal code of the refusal, or the id of the sale", max_length = 2_048)),
    responses((status = 200, description = "How it stands", body = AppealView), crate::openapi::Problems),
)]
#[get("/fraud/appeals/{code}")]
pub async fn get_appeal(node: web::Data<Node>, caller: Caller, code: web::Path<String>) -> Result<HttpResponse, Problem> {
    // As with any path, what is no code leads nowhere.
    told(&node, &caller, &code).await
}
