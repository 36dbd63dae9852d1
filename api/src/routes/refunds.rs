//! Refunds: money that goes back. pagoPA has no way to pay back, so what is not a voucher's is a task for an operator: name the account, send it to the bank with
//! others as a SEPA file, and note what the bank says; or pay it out at a till.

use std::fmt;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, post, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::people::{Contact, ContactError, Payee};
use tornello_actors::views::payments::{BatchRow, RefundFilter, RefundRow, way};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::iban::Iban;
use tornello_engine::ids::{BadId, Code, KeyId, MuseumId, PaymentId, PersonId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Command, PaidBackBy, Refund, RefundState};
use tornello_engine::recall::Recall;
use tornello_engine::slot::DeskMethod;
use tornello_engine::till;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::bank::pain001::{self, Debtor, Initiation, Transfer};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::payments::{csv_answer, museums, seen, wants_csv};
use crate::routes::people;
use crate::routes::{files, page, page_size};
use crate::words::DeskMethodWord;

/// How many refunds one file takes at most.
const TRANSFERS_MAX: u32 = 1_000;

/// A refund: its payment and its number in it, as `0r2e000102r4e-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefundId {
    /// The payment.
    pub payment: PaymentId,
    /// Its number in the payment, from 0.
    pub number: u32,
}

impl fmt::Display for RefundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.payment, self.number)
    }
}

/// Text that is not the id of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a refund: a payment's, a hyphen and a number are expected")]
pub struct BadRefundId;

impl From<BadId> for BadRefundId {
    fn from(_: BadId) -> Self {
        Self
    }
}

impl FromStr for RefundId {
    type Err = BadRefundId;
    fn from_str(text: &str) -> Result<Self, BadRefundId> {
        let (payment, number) = text.split_once('-').ok_or(BadRefundId)?;
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
        let number = number.parse().ok().filter(|_| plain).ok_or(BadRefundId)?;
        Ok(Self { payment: payment.parse()?, number })
    }
}

impl Serialize for RefundId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RefundId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Money that goes back.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefundView {
    /// Its id.
    refund: String,
    /// Its payment.
    payment: String,
    /// The museum that the money belonged to.
    museum: u16,
    /// How much, in euro cents.
    amount_cents: i64,
    /// `amount_too_small`, `excess`, `double_payment`, `unfulfilled`, `extras`, `cancelled` or `extras_cancelled`.
    why: &'static str,
    /// `open`, `exported` or `paid_back`.
    state: &'static str,
    /// Since when it is known (RFC 3339, UTC).
    opened_at: String,
    /// The file with which it went to the bank, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    batch: Option<Code>,
    /// On which way it was paid back: `transfer`, `till` or `voucher`.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    /// The bank's or desk's reference, once it is paid back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// On which day it was paid back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    executed_on: Option<Date>,
    /// Why the bank returned it last, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    returned: Option<Code>,
    /// Whom it goes to, kept apart under this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    payee: Option<String>,
    /// The account that it goes to, its middle left out; only where one refund is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

impl RefundView {
    /// A refund as it is now.
    #[must_use]
    pub fn new(payment: PaymentId, museum: MuseumId, refund: &Refund) -> Self {
        let (state, batch, paid_back) = match &refund.state {
            RefundState::Open => ("open", None, None),
            RefundState::Exported { batch } => ("exported", Some(*batch), None),
            RefundState::PaidBack { by, reference, executed_on } => ("paid_back", None, Some((way(*by), reference.clone(), *executed_on))),
        };
        Self {
            refund: RefundId { payment, number: refund.number }.to_string(),
            payment: payment.to_string(),
            museum: museum.0,
            amount_cents: refund.amount_cents.get(),
            why: refund.why.name(),
            state,
            opened_at: refund.opened_at.to_string(),
            batch,
            way: paid_back.as_ref().map(|(way, ..)| *way),
            reference: paid_back.as_ref().map(|(_, reference, _)| reference.clone()),
            executed_on: paid_back.map(|(.., day)| day),
            returned: refund.returned,
            payee: refund.payee.map(|payee| payee.to_string()),
            account: None,
        }
    }
}

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
    /// `open`, `exported` or `paid_back`.
    state: String,
    /// Since when (RFC 3339, UTC).
    changed_at: String,
    /// The file with which it went to the bank; empty if it is not there.
    batch: String,
    /// `transfer`, `till` or `voucher`; empty while it is owed.
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
    /// Only in this state: `open`, `exported` or `paid_back`.
    state: Option<String>,
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
/// offset.
#[utoipa::path(
    tag = "Refunds", operation_id = "list_refunds", security(("key" = ["settle"])), params(RefundsQuery),
    responses((status = 200, description = "A page of refunds", content((RefundPage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/refunds", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<RefundsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    if query.state.as_deref().is_some_and(|state| !["open", "exported", "paid_back"].contains(&state)) {
        return Err(Problem::malformed("state: open, exported or paid_back is expected"));
    }
    let filter = RefundFilter {
        museums: museums(&node, &caller, Scope::Settle, query.museum.as_deref())?,
        state: query.state.clone(),
        with_payee: false,
        after: query.cursor.map(|after| (after.payment, after.number)),
    };
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, more) = page(views.refunds(&filter, size + 1).await?, size);
    if wants_csv(&request) {
        return Ok(csv(&rows));
    }
    let items: Vec<RefundItem> = rows.iter().map(RefundItem::from).collect();
    let next_cursor = items.last().filter(|_| more).map(|item| item.refund.clone());
    Ok(HttpResponse::Ok().json(RefundPage { items, next_cursor, as_of_batch }))
}

fn csv(rows: &[RefundRow]) -> HttpResponse {
    const HEADS: [&str; 11] = ["refund", "museum", "opened_at", "amount", "why", "state", "batch", "way", "reference", "executed_on", "returned"];
    let mut table = CsvWriter::new(CsvForm::ITALIAN, HEADS);
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
            CsvCell::Text(&item.executed_on),
            CsvCell::Text(&item.returned),
        ]);
    }
    csv_answer(table.take())
}

/// A refund as it is now, for whoever may settle.
async fn view(node: &Node, caller: &Caller, id: RefundId) -> Result<(RefundView, Option<PersonId>), Problem> {
    let found = seen(node, caller, Scope::Settle, id.payment, move |payment, opened| {
        let refund = payment.refunds().get(id.number as usize)?;
        Some((RefundView::new(id.payment, opened.museum, refund), refund.payee))
    });
    found.await?.ok_or_else(Problem::not_found)
}

async fn answer(node: &Node, caller: &Caller, id: RefundId) -> Result<HttpResponse, Problem> {
    let (mut view, payee) = view(node, caller, id).await?;
    if let Some(person) = payee {
        view.account = account_of(node, person).await?.map(|payee| payee.iban().masked());
    }
    Ok(HttpResponse::Ok().json(view))
}

/// The account of somebody, while it is known.
async fn account_of(node: &Node, person: PersonId) -> Result<Option<Payee>, Problem> {
    Ok(files(node)?.people.get(person).await?.and_then(|contact| contact.payee().cloned()))
}

/// Read a refund.
#[utoipa::path(
    tag = "Refunds", operation_id = "get_refund", security(("key" = ["settle"])),
    params(("refund" = String, Path, description = "The refund")),
    responses((status = 200, description = "The refund", body = RefundView), crate::openapi::Problems),
)]
#[get("/refunds/{refund}")]
pub async fn get(node: web::Data<Node>, caller: Caller, refund: web::Path<RefundId>) -> Result<HttpResponse, Problem> {
    answer(&node, &caller, refund.into_inner()).await
}

/// The account that money goes to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayeeForm {
    /// An account of SEPA.
    #[schema(max_length = 42, examples("IT60X0542811101000000123456"))]
    pub iban: String,
    /// In whose name it is, as the bank has it, in letters of one alphabet: in a-z, A-Z, 0-9, spaces and / - ? : ( ) . , ' +, which is what SEPA takes. Accents, and Greek
    /// and Cyrillic letters, become Latin ones in the file for the bank; of other scripts nothing would be left, so write such a name in Latin letters.
    #[schema(min_length = 1, max_length = 70, examples("Maria Rossi"))]
    pub holder: String,
}

/// Never printed.
impl fmt::Debug for PayeeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayeeForm(..)")
    }
}

/// What is wrong with an account, by the names of the form: a contact calls its parts otherwise.
fn of_payee(error: ContactError) -> Problem {
    match error {
        ContactError::GivenName | ContactError::FamilyName | ContactError::AccountHolder => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_contact",
            "holder: 1 to 70 characters are expected, none that controls or hides text",
        ),
        ContactError::MixedScripts(mixed) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_contact",
            format!("holder: letters of one alphabet are expected, and {mixed}"),
        )
        .detail(
            "Write the whole name in one alphabet, as the bank has it: letters of two can look the same, and nobody would see whose account it is.",
        ),
        other => other.into(),
    }
}

/// A name that banks can take whole, and its account. Of those that are known it is asked again before they go into a file: a version before may have asked less.
fn payee_for_banks(iban: &str, holder: &str) -> Result<Payee, Problem> {
    let payee = Payee::new(iban, holder).map_err(of_payee)?;
    if pain001::takes_name(payee.holder()) {
        return Ok(payee);
    }
    let title = "holder: banks take a-z, A-Z, 0-9, spaces and / - ? : ( ) . , ' + only, and this name cannot be put into these whole";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_contact", title)
        .detail(
            "Write it in Latin letters, as the bank has it: accents, and Greek and Cyrillic letters, are put into Latin ones by themselves. `characters` are the letters \
             that would be lost.",
        )
        .with("characters", pain001::lost(payee.holder())))
}

/// Say whom a refund goes to.
///
/// While it is open. Name and account are kept apart, encrypted, and can be erased like any contact.
#[utoipa::path(
    tag = "Refunds", operation_id = "set_payee", security(("key" = ["settle"])),
    request_body(content = PayeeForm, example = json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"})),
    params(("refund" = String, Path, description = "The refund"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is known whom it goes to", body = RefundView), crate::openapi::Problems),
)]
#[put("/refunds/{refund}/payee")]
pub async fn set_payee(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    refund: web::Path<RefundId>,
    form: Json<PayeeForm>,
) -> Result<HttpResponse, Problem> {
    let id = refund.into_inner();
    let museum = seen(&node, &caller, Scope::Settle, id.payment, |_, opened| opened.museum).await?;
    let envelope = envelope(&node, &caller, &key, &["payee", &id.to_string()], &*form, &[], None)?;
    let holder = form.holder.trim();
    let (given, family) = holder.split_once(' ').unwrap_or((holder, holder));
    let payee = payee_for_banks(&form.iban, holder)?;
    let contact = Contact::holder(given, family).and_then(|contact| contact.with_payee(Some(payee))).map_err(of_payee)?;
    let recall = envelope.clone();
    let named = async || -> Result<bool, Problem> {
        let recall = recall.clone();
        Ok(node.look_payment(id.payment, move |payment| payment.recall(&recall) != Recall::New).await?)
    };
    let person = people::keep_payee(&node, museum, &envelope, &contact, named).await?;
    node.payment(id.payment, envelope, Command::SetPayee { refund: id.number, person }).await?;
    answer(&node, &caller, id).await
}

/// The account that refunds are paid from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DebtorForm {
    /// In whose name it is.
    #[schema(min_length = 1, max_length = 70, examples("Museo Esempio"))]
    pub name: String,
    /// The account.
    #[schema(max_length = 42, examples("IT60X0542811101000000123456"))]
    pub iban: String,
    /// The bank's BIC, where it asks for it.
    #[serde(default)]
    #[schema(max_length = 11)]
    pub bic: Option<String>,
    /// The code under which the bank knows who gives the order (in Italy its CUC), if it asks for one.
    #[serde(default)]
    #[schema(max_length = 35)]
    pub code: Option<String>,
}

/// What to send to the bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundExportForm {
    /// The account that they are paid from.
    pub debtor: DebtorForm,
    /// The day on which the bank is to carry them out: today, in Rome, or later.
    #[schema(value_type = String, format = Date, examples("2026-11-25"))]
    pub execution_date: Date,
    /// Which; none: all that are open and of which it is known whom they go to, up to 1000.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 1000)]
    pub refunds: Option<Vec<RefundId>>,
}

/// Send refunds to the bank.
///
/// As a SEPA credit transfer initiation (pain.001.001.09). What is in the file is `exported` until it is confirmed or returned; if no file can be made of what is
/// asked, nothing is. The header `Refund-Batch` names the file; `Refund-Skipped` says how many stay open because they cannot go now: their account is not known any
/// more, or banks would not take the name. Of a list that is named none is skipped, unless it was exported or paid out in the same moment. A repeat with the same key
/// answers the same bytes.
#[utoipa::path(
    tag = "Refunds", operation_id = "export_refunds", security(("key" = ["settle"])),
    request_body(content = RefundExportForm, example = json!({"debtor": {"name": "Museo Esempio", "iban": "IT60X0542811101000000123456"}, "execution_date": "2099-01-01"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The file", body = String, content_type = "application/xml"), crate::openapi::Problems),
)]
#[post("/refunds/export")]
pub async fn export(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<RefundExportForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    let form = form.into_inner();
    let iban: Iban = form.debtor.iban.parse().map_err(|error| Problem::invalid(format!("debtor.iban: {error}")))?;
    let asked = envelope(&node, &caller, &key, &["export refunds"], &form, &[], None)?;
    // The file's name follows from who asks what under which key.
    let opaque = digest(&[b"refund batch", &asked.who.get().to_be_bytes(), &asked.key.0.to_be_bytes(), &asked.body.0.to_be_bytes()]);
    let batch: Code = format!("r{}", KeyId((opaque.0 >> 64) as u64)).parse().map_err(|_| Problem::unavailable("the file cannot be named"))?;
    let views = &files(&node)?.views;
    // One at a time: a repeat that comes while the first is not answered yet must not take half a file for a whole one.
    let _exporting = EXPORTING.lock().await;
    views.catch_up(node.head().number).await?;
    let mut sent = views.batch(batch.as_str()).await?;
    // A file that was made stays what it is, also when its day has come.
    let today = calendar::local_day(node.now());
    if sent.is_empty() && form.execution_date < today {
        return Err(Problem::invalid(format!("execution_date: {today} or a later day is expected")));
    }
    let (chosen, mut skipped) = match &form.refunds {
        Some(named) => named_for(&node, &caller, batch, named, &sent).await?,
        None if sent.is_empty() => open_for(&node, &caller, batch).await?,
        // The choice is made once: what a repeat finds in the file is the file.
        None => (Vec::new(), 0),
    };
    if sent.is_empty() && chosen.is_empty() {
        return Err(Problem::new(StatusCode::CONFLICT, "nothing_to_export", "no refund can go to the bank")
            .detail(
                "Name the accounts first: PUT /v1/refunds/{refund}/payee. `skipped` have one that is erased, or in a name that banks do not take.",
            )
            .with("skipped", skipped));
    }
    if !chosen.is_empty() {
        // Nothing goes out with a file that cannot be made.
        let mut all = transfers(&node, &form, iban, &sent).await?;
        all.extend(chosen.iter().map(|(id, amount, payee)| transfer(&form, iban, *id, *amount, payee)));
        written(&form, batch, node.now(), all)?;
        for (id, ..) in &chosen {
            skipped += u32::from(!put_into(&node, batch, *id).await?);
        }
        views.catch_up(node.head().number).await?;
        sent = views.batch(batch.as_str()).await?;
    }
    let made_at = sent.iter().map(|row| row.exported_at).min().unwrap_or(Timestamp::MIN);
    let bytes = written(&form, batch, made_at, transfers(&node, &form, iban, &sent).await?)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/xml")))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{batch}.xml\"")))
        .insert_header(("Refund-Batch", batch.to_string()))
        .insert_header(("Refund-Skipped", skipped.to_string()))
        .body(bytes))
}

/// Whoever makes a file.
static EXPORTING: Mutex<()> = Mutex::const_new(());

/// A refund that can go into a file, how much it is, and to whom it goes.
type Ready = (RefundId, Cents, Payee);

/// Of the refunds that are named, those that are to go into a file beside what stands in it; and how many of them are left out. Each may be seen by the caller.
async fn named_for(node: &Node, caller: &Caller, batch: Code, named: &[RefundId], sent: &[BatchRow]) -> Result<(Vec<Ready>, u32), Problem> {
    if named.is_empty() || named.len() > TRANSFERS_MAX as usize {
        return Err(Problem::invalid("refunds: 1 to 1000 are expected"));
    }
    let (mut ready, mut left_out) = (Vec::with_capacity(named.len()), 0);
    for id in named {
        if sent.iter().any(|row| (row.payment, row.number) == (id.payment, id.number)) {
            continue;
        }
        view(node, caller, *id).await?;
        match rehearse(node, batch, *id).await? {
            // A file that was begun is finished with what was open all the time: one that has come back to be open since would change a file that was answered.
            Ok(refund) if !sent.is_empty() && refund.returned.is_some() => left_out += 1,
            Err(_) if !sent.is_empty() => left_out += 1,
            Ok(refund) => {
                let payee = payee_of(node, &refund).await?.ok_or_else(|| payee_missing(*id))?;
                match payee_for_banks(payee.iban().as_str(), payee.holder()) {
                    Ok(payee) => ready.push((*id, refund.amount_cents, payee)),
                    Err(_) if !sent.is_empty() => left_out += 1,
                    Err(problem) => return Err(problem.with("refund", id)),
                }
            }
            Err(refusal) => return Err(Problem::from(refusal).with("refund", id)),
        }
    }
    Ok((ready, left_out))
}

/// The open refunds of which it is known whom they go to, as many as one file takes; and how many of them cannot go.
async fn open_for(node: &Node, caller: &Caller, batch: Code) -> Result<(Vec<Ready>, u32), Problem> {
    let museums = museums(node, caller, Scope::Settle, None)?;
    let mut filter = RefundFilter { museums, state: Some("open".to_owned()), with_payee: true, after: None };
    let (mut ready, mut left_out) = (Vec::new(), 0);
    loop {
        let rows = files(node)?.views.refunds(&filter, TRANSFERS_MAX).await?;
        for row in &rows {
            let id = RefundId { payment: row.payment, number: row.number };
            let payee = match rehearse(node, batch, id).await? {
                Ok(refund) => payee_of(node, &refund).await?.map(|payee| (id, refund.amount_cents, payee)),
                Err(_) => None,
            };
            match payee.filter(|(.., payee)| payee_for_banks(payee.iban().as_str(), payee.holder()).is_ok()) {
                Some(found) => ready.push(found),
                None => left_out += 1,
            }
            if ready.len() == TRANSFERS_MAX as usize {
                return Ok((ready, left_out));
            }
        }
        match rows.last() {
            Some(last) if rows.len() == TRANSFERS_MAX as usize => filter.after = Some((last.payment, last.number)),
            _ => return Ok((ready, left_out)),
        }
    }
}

/// Whether a refund could go into a file now, without sending it.
async fn rehearse(node: &Node, batch: Code, id: RefundId) -> Result<Result<Refund, payment::Refusal>, Problem> {
    let now = node.now();
    let decide = move |found: &payment::Payment| {
        found.decide(now, &Command::ExportRefund { refund: id.number, batch })?;
        found.refunds().get(id.number as usize).cloned().ok_or(payment::Refusal::UnknownRefund)
    };
    Ok(node.look_payment(id.payment, decide).await?)
}

async fn payee_of(node: &Node, refund: &Refund) -> Result<Option<Payee>, Problem> {
    match refund.payee {
        Some(person) => account_of(node, person).await,
        None => Ok(None),
    }
}

fn payee_missing(id: RefundId) -> Problem {
    Problem::new(StatusCode::CONFLICT, "payee_missing", "it is not known to which account the refund goes")
        .detail("Name it: PUT /v1/refunds/{refund}/payee. One that was exported already is to be returned first: POST /v1/refunds/{refund}/return.")
        .with("refund", id)
}

/// Puts a refund into a file, once; answers whether it is there.
async fn put_into(node: &Node, batch: Code, id: RefundId) -> Result<bool, Problem> {
    let step = digest(&[b"export", batch.as_str().as_bytes(), &id.payment.get().to_be_bytes(), &id.number.to_be_bytes()]);
    let envelope = Envelope { who: KeyId::SYSTEM, key: step, body: step, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    match node.payment(id.payment, envelope, Command::ExportRefund { refund: id.number, batch }).await {
        Ok(_) => Ok(true),
        // In the moment since it was looked at it was paid back, or went into another file.
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn transfer(form: &RefundExportForm, iban: Iban, id: RefundId, amount: Cents, payee: &Payee) -> Transfer {
    Transfer {
        debtor: Debtor { name: form.debtor.name.clone(), iban, bic: form.debtor.bic.clone() },
        execute_on: form.execution_date,
        end_to_end_id: id.to_string(),
        amount,
        creditor: payee.holder().to_owned(),
        creditor_iban: payee.iban(),
        remittance: format!("Rimborso {id}"),
    }
}

/// What stands in a file.
async fn transfers(node: &Node, form: &RefundExportForm, iban: Iban, sent: &[BatchRow]) -> Result<Vec<Transfer>, Problem> {
    let mut transfers = Vec::with_capacity(sent.len());
    for row in sent {
        let id = RefundId { payment: row.payment, number: row.number };
        let person = row.payee.parse().map_err(|_| Problem::unavailable("a payee cannot be read"))?;
        let payee = account_of(node, person).await?.ok_or_else(|| payee_missing(id))?;
        transfers.push(transfer(form, iban, id, Cents::new(row.amount_cents), &payee));
    }
    Ok(transfers)
}

/// The bytes of a file: they follow from what was asked and what is in it.
fn written(form: &RefundExportForm, batch: Code, created_at: Timestamp, transfers: Vec<Transfer>) -> Result<Vec<u8>, Problem> {
    let (initiator, initiator_code) = (form.debtor.name.clone(), form.debtor.code.clone());
    let initiation = Initiation { message_id: batch.to_string(), created_at, initiator, initiator_code, transfers };
    pain001::write(&initiation).map_err(|error| Problem::invalid(error.to_string()))
}

/// A file that went to the bank.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefundBatchView {
    /// Its name: the message's id.
    batch: String,
    /// When it was made (RFC 3339, UTC).
    exported_at: String,
    /// What is in it, in euro cents.
    total_cents: i64,
    /// What is in it, and how far each is now.
    refunds: Vec<RefundBatchItem>,
}

/// A refund in a file.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefundBatchItem {
    /// Its id: the transfer's end-to-end id.
    refund: String,
    /// How much, in euro cents.
    amount_cents: i64,
    /// `open` (it came back), `exported` or `paid_back`.
    state: String,
}

/// Read a file that went to the bank.
#[utoipa::path(
    tag = "Refunds", operation_id = "get_refund_batch", security(("key" = ["settle"])),
    params(("batch" = String, Path, description = "The file's name")),
    responses((status = 200, description = "What is in it", body = RefundBatchView), crate::openapi::Problems),
)]
#[get("/refunds/batches/{batch}")]
pub async fn get_batch(node: web::Data<Node>, caller: Caller, batch: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Settle)?;
    let batch = batch.into_inner();
    let rows = files(&node)?.views.batch(&batch).await?;
    let rows: Vec<_> = rows.into_iter().filter(|row| caller.0.museums.allows(row.museum)).collect();
    let exported_at = rows.iter().map(|row| row.exported_at).min().ok_or_else(Problem::not_found)?;
    let item = |row: &BatchRow| RefundBatchItem {
        refund: RefundId { payment: row.payment, number: row.number }.to_string(),
        amount_cents: row.amount_cents,
        state: row.state.clone(),
    };
    Ok(HttpResponse::Ok().json(RefundBatchView {
        batch,
        exported_at: exported_at.to_string(),
        total_cents: rows.iter().map(|row| row.amount_cents).sum(),
        refunds: rows.iter().map(item).collect(),
    }))
}

/// What the bank said of a transfer that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundConfirmForm {
    /// The bank's reference.
    #[schema(min_length = 1, max_length = 200, examples("CRO 12345678901"))]
    pub reference: String,
    /// On which day: today, in Rome, or before.
    #[schema(value_type = String, format = Date, examples("2026-11-25"))]
    pub executed_on: Date,
}

/// Note that a transfer was carried out.
///
/// Of a refund that was exported, or of an open one that somebody paid by hand.
#[utoipa::path(
    tag = "Refunds", operation_id = "confirm_refund", security(("key" = ["settle"])), request_body = RefundConfirmForm,
    params(("refund" = String, Path, description = "The refund"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The money has gone back", body = RefundView), crate::openapi::Problems),
)]
#[post("/refunds/{refund}/confirm")]
pub async fn confirm(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    refund: web::Path<RefundId>,
    form: Json<RefundConfirmForm>,
) -> Result<HttpResponse, Problem> {
    let id = refund.into_inner();
    view(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["confirm refund", &id.to_string()], &*form, &[], None)?;
    let RefundConfirmForm { reference, executed_on } = form.into_inner();
    let today = calendar::local_day(node.now());
    if executed_on > today {
        return Err(Problem::invalid(format!("executed_on: {today} or an earlier day is expected")));
    }
    node.payment(id.payment, envelope, Command::ConfirmRefund { refund: id.number, by: PaidBackBy::Transfer, reference, executed_on }).await?;
    answer(&node, &caller, id).await
}

/// Why a transfer came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundReturnForm {
    /// In one word: the bank's reason (of ISO 20022, as `AC04`) or one of your own. Capitals do not count: it is kept in lower case.
    #[schema(min_length = 1, max_length = 23, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,22}$", examples("AC04"))]
    pub why: String,
}

impl RefundReturnForm {
    fn reason(&self) -> Result<Code, Problem> {
        let expected = "why: the bank's reason is expected, as `AC04`, or another word: 1 to 23 letters, digits, hyphens, underscores and dots";
        self.why.to_ascii_lowercase().parse().map_err(|_| Problem::invalid(expected))
    }
}

/// Note that a transfer came back.
///
/// The refund is open again: name another account, and send it again.
#[utoipa::path(
    tag = "Refunds", operation_id = "return_refund", security(("key" = ["settle"])), request_body = RefundReturnForm,
    params(("refund" = String, Path, description = "The refund"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is open again", body = RefundView), crate::openapi::Problems),
)]
#[post("/refunds/{refund}/return")]
pub async fn came_back(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    refund: web::Path<RefundId>,
    form: Json<RefundReturnForm>,
) -> Result<HttpResponse, Problem> {
    let (id, why) = (refund.into_inner(), form.reason()?);
    view(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["return refund", &id.to_string()], &*form, &[], None)?;
    node.payment(id.payment, envelope, Command::ReturnRefund { refund: id.number, why }).await?;
    answer(&node, &caller, id).await
}

/// Money paid out over a counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutForm {
    /// Which till.
    #[schema(value_type = String, max_length = 23, examples("till-1"))]
    pub till: Code,
    /// `cash` or `card`.
    #[schema(value_type = DeskMethodWord)]
    pub method: DeskMethod,
    /// Receipt or terminal reference: printable characters, no name of a person.
    #[schema(min_length = 1, max_length = 64, examples("R-2026-000124"))]
    pub reference: String,
}

/// Pay a refund out at a till.
///
/// At a desk of the refund's museum whose session is open: what is paid out there is part of what it should have at the end.
#[utoipa::path(
    tag = "Refunds", operation_id = "pay_refund_out", security(("key" = ["settle"])),
    request_body(content = PayoutForm, example = json!({"till": "till-1", "method": "cash", "reference": "R-2026-000124"})),
    params(("refund" = String, Path, description = "The refund"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The money has gone back", body = RefundView), crate::openapi::Problems),
)]
#[post("/refunds/{refund}/payout")]
pub async fn pay_out(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    refund: web::Path<RefundId>,
    form: Json<PayoutForm>,
) -> Result<HttpResponse, Problem> {
    let id = refund.into_inner();
    let (view, _) = view(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["pay refund out", &id.to_string()], &*form, &[], None)?;
    let recall = envelope.clone();
    let is_new = node.look_payment(id.payment, move |payment| payment.recall(&recall) == Recall::New).await?;
    // A repeat is answered also when the session is over.
    if is_new && node.tills().at(MuseumId(view.museum), form.till).is_none() {
        return Err(till::Refusal::NotOpen.into());
    }
    let PayoutForm { till, method, reference } = form.into_inner();
    let executed_on = calendar::local_day(node.now());
    let command = Command::ConfirmRefund { refund: id.number, by: PaidBackBy::Till { till, method }, reference, executed_on };
    node.payment(id.payment, envelope, command).await?;
    answer(&node, &caller, id).await
}
