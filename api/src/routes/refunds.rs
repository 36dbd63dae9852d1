//! Refunds: money that goes back. pagoPA has no way to pay back, so what is not a voucher's is a task for an operator: name the account, send it to the bank with
//! others as a SEPA file (`bank_files`), and note what the bank says; or pay it out at a till. Lists are in `lists`.

pub mod bank_files;
pub mod lists;

pub use bank_files::RefundExportForm;

use std::fmt;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::payments;
use tornello_actors::people::{Contact, ContactError, Payee};
use tornello_actors::views::payments::way;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::ids::{BadId, Code, MuseumId, PaymentId, PersonId};
use tornello_engine::payment::{Command, Event, PaidBackBy, Payment, Refund, RefundState};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::DeskMethod;
use tornello_engine::till;

use crate::auth::{Caller, Scope};
use crate::bank::{pain001, spelling};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::payments::{done_before, seen};
use crate::routes::people;
use crate::routes::{files, not_rebuilt};
use crate::words::DeskMethodWord;

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
    /// `open`, `contested` (the payer's bank contests the payment, or took back of what came with this receipt: nothing goes back until somebody says so), `exported` or `paid_back`.
    state: &'static str,
    /// Since when it is known (RFC 3339, UTC).
    opened_at: String,
    /// The file with which it went to the bank, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    batch: Option<Code>,
    /// On which way it was paid back: `transfer`, `till`, `voucher` or `payers_bank` (of what that took back over a dispute).
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
    /// A refund of a payment.
    #[must_use]
    pub fn new(of: &Payment, museum: MuseumId, refund: &Refund) -> Self {
        let payment = of.id();
        let (state, batch, paid_back) = match &refund.state {
            RefundState::Open if of.is_contested(refund) => ("contested", None, None),
            RefundState::Open | RefundState::Released => ("open", None, None),
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

/// A refund as it is now, for whoever may settle.
async fn view(node: &Node, caller: &Caller, id: RefundId) -> Result<(RefundView, Option<PersonId>), Problem> {
    let found = seen(node, caller, Scope::Settle, id.payment, move |payment, opened| {
        let refund = payment.refunds().get(id.number as usize)?;
        Some((RefundView::new(payment, opened.museum, refund), refund.payee))
    });
    found.await?.ok_or_else(Problem::not_found)
}

async fn answer(node: &Node, caller: &Caller, id: RefundId) -> Result<HttpResponse, Problem> {
    shown(node, view(node, caller, id).await?).await
}

/// Answers with a refund as it is, or, where the request was done before, as that left it: `GET` says what has become of it.
async fn answer_to(node: &Node, caller: &Caller, id: RefundId, done: Option<u64>) -> Result<HttpResponse, Problem> {
    let Some(seq) = done else { return answer(node, caller, id).await };
    let payment = node.payment_after(id.payment, seq, to_voucher).await?;
    let (opened, refund) = payment.opened().zip(payment.refunds().get(id.number as usize)).ok_or_else(not_rebuilt)?;
    shown(node, (RefundView::new(&payment, opened.museum, refund), refund.payee)).await
}

/// What a voucher has at once of what may go is part of letting it go.
fn to_voucher(_: &Payment, record: &Record<Event>) -> bool {
    record.events.iter().all(|event| matches!(event, Event::RefundConfirmed(confirmed) if matches!(confirmed.by, PaidBackBy::Voucher { .. })))
}

/// With the account, while that is known.
async fn shown(node: &Node, (mut view, payee): (RefundView, Option<PersonId>)) -> Result<HttpResponse, Problem> {
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
        .with("characters", spelling::lost(payee.holder())))
}

/// Say whom a refund goes to.
///
/// While it is open. Name and account are kept apart, encrypted, and can be erased like any contact. Those before are erased by the new ones, unless money went out to them.
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
    // Nobody is stored for what is refused: neither under a key of another request, nor for a refund that is not open.
    let done = done_before(&node, id.payment, &envelope).await?;
    if done.is_none() {
        let (now, number) = (node.now(), id.number);
        let decide = move |payment: &Payment| payment.decide(now, &Command::SetPayee { refund: number, person: PersonId(0) }).map(drop);
        node.look_payment(id.payment, decide).await??;
    }
    let recall = envelope.clone();
    let named = async || -> Result<bool, Problem> {
        let recall = recall.clone();
        Ok(node.look_payment(id.payment, move |payment| payment.recall(&recall) != Recall::New).await?)
    };
    let _turn = people::turn(&node, museum, &envelope, true).await?;
    let person = people::keep_payee(&node, museum, &envelope, &contact, named).await?;
    let set = node.payment(id.payment, envelope, Command::SetPayee { refund: id.number, person }).await;
    // It went out, or was paid back, in the moment since.
    if matches!(set, Err(Failure::Refused(_) | Failure::KeyReused)) {
        people::drop_unsold(&node, [person]).await?;
    }
    let replaced = replaced_by(&node, id, set?.seq).await?;
    people::drop_unsold(&node, replaced).await?;
    answer_to(&node, &caller, id, done).await
}

/// Whom a refund went to before that record of its payment named another one, if nothing needs them any more: what went out to the bank once is written again as it was.
async fn replaced_by(node: &Node, id: RefundId, seq: u64) -> Result<Option<PersonId>, Problem> {
    let before = node.payment_after(id.payment, seq.saturating_sub(1), |_, _| false).await?;
    let refund = before.refunds().get(id.number as usize).filter(|refund| refund.returned.is_none());
    Ok(refund.and_then(|refund| refund.payee))
}

/// Let a refund of a contested payment go.
///
/// While the payer's bank contests a payment, and once it was right, it takes the money back by itself. A refund beside that would pay twice, so it waits as `contested`. This says that it may
/// go all the same, as when nothing was taken back; a voucher has its money at once. A released refund that is still open waits again when another dispute begins, or is decided for the
/// payer, or a reporting flow names the payment as revoked, after that. A dispute that the bank loses lets all of them go, unless it took money back over an earlier one. Where it is known of
/// which receipt's money the bank took, and no other dispute is open, refunds of other receipts do not wait.
#[utoipa::path(
    tag = "Refunds", operation_id = "release_refund", security(("key" = ["settle"])),
    params(("refund" = String, Path, description = "The refund"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It may go", body = RefundView), crate::openapi::Problems),
)]
#[post("/refunds/{refund}/release")]
pub async fn release(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, refund: web::Path<RefundId>) -> Result<HttpResponse, Problem> {
    let id = refund.into_inner();
    view(&node, &caller, id).await?;
    let envelope = envelope(&node, &caller, &key, &["release refund", &id.to_string()], &(), &[], None)?;
    let done = done_before(&node, id.payment, &envelope).await?;
    node.payment(id.payment, envelope, Command::ReleaseRefund { refund: id.number }).await?;
    // What a voucher is to have it has at once, or a little later by itself.
    if let Err(failure) = payments::drive(&node, id.payment).await {
        tracing::warn!(payment = %id.payment, ?failure, "a refund that may go is seen to later");
    }
    answer_to(&node, &caller, id, done).await
}

/// What the bank said of a transfer that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundConfirmForm {
    /// The bank's reference.
    #[schema(min_length = 1, max_length = 200, examples("CRO 12345678901"))]
    pub reference: String,
    /// On which day: today, in Rome, or before.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2026-11-25"))]
    pub executed_on: Date,
    /// Whether no transfer was: the payer has it from their bank, of what that took back over a dispute. The refund may be `contested` then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_payers_bank: bool,
}

/// Note that a transfer was carried out.
///
/// Of a refund that was exported, or of an open one that somebody paid by hand. Or that the payer's bank has paid it, by what it took back of the same receipt (`by_payers_bank`).
#[utoipa::path(
    tag = "Refunds", operation_id = "confirm_refund", security(("key" = ["settle"])),
    request_body(content = RefundConfirmForm, example = json!({"reference": "CRO 12345678901", "executed_on": "2026-11-25"})),
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
    let RefundConfirmForm { reference, executed_on, by_payers_bank } = form.into_inner();
    let today = calendar::local_day(node.now());
    if executed_on > today {
        return Err(Problem::invalid(format!("executed_on: {today} or an earlier day is expected")));
    }
    let done = done_before(&node, id.payment, &envelope).await?;
    let by = if by_payers_bank { PaidBackBy::PayersBank } else { PaidBackBy::Transfer };
    node.payment(id.payment, envelope, Command::ConfirmRefund { refund: id.number, by, reference, executed_on }).await?;
    answer_to(&node, &caller, id, done).await
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
    tag = "Refunds", operation_id = "return_refund", security(("key" = ["settle"])),
    request_body(content = RefundReturnForm, example = json!({"why": "AC04"})),
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
    let done = done_before(&node, id.payment, &envelope).await?;
    node.payment(id.payment, envelope, Command::ReturnRefund { refund: id.number, why }).await?;
    answer_to(&node, &caller, id, done).await
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
    let done = done_before(&node, id.payment, &envelope).await?;
    // A repeat is answered also when the session is over.
    if done.is_none() && node.tills().at(MuseumId(view.museum), form.till).is_none() {
        return Err(till::Refusal::NotOpen.into());
    }
    let PayoutForm { till, method, reference } = form.into_inner();
    let executed_on = calendar::local_day(node.now());
    let command = Command::ConfirmRefund { refund: id.number, by: PaidBackBy::Till { till, method }, reference, executed_on };
    node.payment(id.payment, envelope, command).await?;
    answer_to(&node, &caller, id, done).await
}
