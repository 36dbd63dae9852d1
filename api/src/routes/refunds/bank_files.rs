//! Refunds on their way to the bank: which of them go into a file, the file, and what stands in it. How a file is written is known to [`pain001`].

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, get, post, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::owner::Kept;
use tornello_actors::people::Payee;
use tornello_actors::registry::ANSWER_WITHIN;
use tornello_actors::views::Views;
use tornello_actors::views::payments::{BatchRow, RefundFilter};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::iban::Iban;
use tornello_engine::ids::{Code, KeyId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, Command, Refund};
use tornello_engine::recall::REMEMBERED_S;
use tornello_engine::time::{MICROS_PER_S, Timestamp};

use super::{RefundId, account_of, payee_for_banks, view};
use crate::auth::{Caller, Scope};
use crate::bank::pain001::{self, Debtor, Initiation, Transfer};
use crate::bank::spelling::Spelling;
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::files;
use crate::routes::payments::museums;

/// How many refunds one file takes at most.
const TRANSFERS_MAX: u32 = 1_000;
/// From which of its 13 characters on what was asked for stands in the name of its file: 6 of them, so that it is no longer than a name may be.
const BODY_AT: usize = 7;

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
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2026-11-25"))]
    pub execution_date: Date,
    /// Which; none: all that are open and of which it is known whom they go to, up to 1000.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 1000)]
    pub refunds: Option<Vec<RefundId>>,
}

/// Send refunds to the bank.
///
/// As a SEPA credit transfer initiation (pain.001.001.09). Refunds in the file are `exported` until they are confirmed or returned; if no file can be made of what is asked for, none of them
/// is. The header `Refund-Batch` names the file. `Refund-Skipped` says how many stay open because they cannot go now: their account is not known any more, or banks would not take the
/// name. If the refunds are named in a list none is skipped, unless it was exported or paid out in the same moment. A repeat with the same key answers the same bytes.
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
    let views = &files(&node)?.views;
    // One at a time: a repeat that comes while the first is not answered yet must not take half a file for a whole one.
    let exporting = Arc::new(tokio::time::timeout(ANSWER_WITHIN, EXPORTING.lock()).await.map_err(|_| Problem::busy())?);
    // To the end that the journal itself knows: everybody else is told of its last batch a moment after whoever had the turn before.
    let last = node.journal().head().await.map_or(0, |head| head.number);
    views.catch_up(last.max(node.head().number)).await?;
    let (batch, spelling, mut sent) = file_of(views, &asked, node.now()).await?;
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
        written(&form, (batch, spelling), node.now(), all)?;
        for (id, ..) in &chosen {
            skipped += u32::from(!put_into(&node, batch, *id, Kept::new(Arc::clone(&exporting))).await?);
        }
        views.catch_up(node.head().number).await?;
        sent = views.batch(batch.as_str()).await?;
    }
    let made_at = sent.iter().map(|row| row.exported_at).min().unwrap_or(Timestamp::MIN);
    let bytes = written(&form, (batch, spelling), made_at, transfers(&node, &form, iban, &sent).await?)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/xml")))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{batch}.xml\"")))
        .insert_header(("Refund-Batch", batch.to_string()))
        .insert_header(("Refund-Skipped", skipped.to_string()))
        .body(bytes))
}

/// Whoever makes a file, until it is known of each refund whether it is in it, also if the caller goes away before, or is told that nobody knows: a repeat that is answered with the
/// others alone would leave one marked as sent that no bank has heard of.
static EXPORTING: Mutex<()> = Mutex::const_new(());

/// The file that a request makes: its name, how it is spelled, and what stands in it. One that was begun has the name, and with it the spelling, that it was begun with, whatever
/// this program would do by now.
///
/// The name follows from who asks what under which key, and begins with the key alone: as long as keys are remembered nobody makes another file under that of one. Whoever has lost the
/// answer, and asks anew for another day, would be told that nothing is left to send, and the file that has it would be nobody's.
async fn file_of(views: &Views, asked: &Envelope, now: Timestamp) -> Result<(Code, Spelling, Vec<BatchRow>), Problem> {
    let (who, key, body) = (asked.who.get().to_be_bytes(), asked.key.0.to_be_bytes(), asked.body.0.to_be_bytes());
    let opaque = |parts: &[&[u8]]| KeyId((digest(parts).0 >> 64) as u64).to_string();
    let (of_key, of_all) = (opaque(&[b"refund file", &who, &key]), opaque(&[b"refund batch", &who, &key, &body]));
    let named = |name: &str, spelling: Spelling| {
        format!("{name}{}", spelling.mark()).parse::<Code>().map_err(|_| Problem::unavailable("the file cannot be named"))
    };
    // Before names began with the key they had what was asked alone.
    let (name, before) = (format!("r{of_key}{}", of_all.split_at(BODY_AT).1), format!("r{of_all}"));
    for name in [&name, &before] {
        for spelling in Spelling::ALL {
            let batch = named(name, spelling)?;
            let sent = views.batch(batch.as_str()).await?;
            if !sent.is_empty() {
                return Ok((batch, spelling, sent));
            }
        }
    }
    let last = views.last_batch(&format!("r{of_key}")).await?;
    if last.is_some_and(|last| now.micros_since(last) <= REMEMBERED_S * MICROS_PER_S) {
        return Err(Failure::<payment::Refusal>::KeyReused.into());
    }
    Ok((named(&name, Spelling::IN_USE)?, Spelling::IN_USE, Vec::new()))
}

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
async fn put_into(node: &Node, batch: Code, id: RefundId, exporting: Kept) -> Result<bool, Problem> {
    let step = digest(&[b"export", batch.as_str().as_bytes(), &id.payment.get().to_be_bytes(), &id.number.to_be_bytes()]);
    let envelope = Envelope { who: KeyId::SYSTEM, key: step, body: step, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    match node.payment_keeping(id.payment, envelope, Command::ExportRefund { refund: id.number, batch }, exporting).await {
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

/// The bytes of a file: they follow from what was asked, what is in it and how it is spelled.
fn written(
    form: &RefundExportForm,
    (batch, spelling): (Code, Spelling),
    created_at: Timestamp,
    transfers: Vec<Transfer>,
) -> Result<Vec<u8>, Problem> {
    let (initiator, initiator_code) = (form.debtor.name.clone(), form.debtor.code.clone());
    let initiation = Initiation { message_id: batch.to_string(), created_at, initiator, initiator_code, spelling, transfers };
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
