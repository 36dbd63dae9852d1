//! Reconciliation: what banks report of the money they send, held against the receipts that came and the lines of the bank's statement.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::{HttpResponse, get, post, web};
use futures_util::Stream;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_actors::views::payments::ReceiptRow;
use tornello_engine::calendar;
use tornello_engine::ids::{KeyId, PaymentId};
use tornello_engine::money::Cents;

use crate::auth::{Caller, Scope};
use crate::bank::statement::STATEMENT_BYTES_MAX;
use crate::entrance::Shared;
use crate::pagopa::fdr::{self, Collection, FLOW_MAX, Flow, Quarantine, Reading, Taken};
use crate::pagopa::gateway::Pagopa;
use crate::pagopa::matching::{self, BankLine, KnownReceipt, Match, Transfer};
use crate::pagopa::reconciliation::{Papers, Reconciliation, TakeError, blocking, known, payment_of};
use crate::pagopa::settings::Creditor;
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Turn, Turns, next_piece};
use crate::routes::payments::Connected;
use crate::routes::{files, to_its_end};
use crate::server::BODY_MAX;

/// What was taken in so far, if there is a data folder to keep it.
pub type Kept = web::ThinData<Option<Arc<Reconciliation>>>;

/// The days that a report covers if the caller does not say, up to today.
const DAYS: i64 = 30;
/// The most flows of one report.
const FLOWS_MAX: usize = 500;
/// The most receipts that a report looks through for those that no flow has.
const RECEIPTS_MAX: u32 = 50_000;
/// How many flows and statements that are larger than other requests are read and taken in at once: a flow may be 64 megabytes, and each is taken in after the one before.
const LARGE_MAX: usize = 4;
/// How many of them of one key.
const LARGE_OF_KEY_MAX: usize = 2;

/// The turns of large ones.
static LARGE: Turns = Turns::new(LARGE_MAX, LARGE_OF_KEY_MAX);

/// The connection, for keys that are good for all museums: a flow is over all that a creditor was paid.
fn open<'a>(caller: &Caller, connected: &'a Connected, kept: &'a Kept) -> Result<(&'a Arc<Pagopa>, &'a Arc<Reconciliation>), Problem> {
    caller.may(Scope::Settle)?;
    if caller.0.museums != Museums::All {
        return Err(Problem::not_found().detail("Flows and statements are for keys that are good for every museum."));
    }
    match (&connected.0, &kept.0) {
        (Some(pagopa), Some(kept)) => Ok((pagopa, kept)),
        _ => Err(Problem::not_found().detail("No money comes over pagoPA here: start with `serve --pagopa FILE`.")),
    }
}

/// A document of at most so many bytes; with its turn, to be kept until it is taken in, if it is larger than other requests.
async fn body(
    mut payload: impl Stream<Item = Result<web::Bytes, PayloadError>> + Unpin,
    max: usize,
    key: KeyId,
    within: Duration,
) -> Result<(Vec<u8>, Option<Turn>), Problem> {
    let (mut body, mut turn) = (Vec::new(), None);
    while let Some(chunk) = next_piece(&mut payload, turn.as_mut(), within).await? {
        if body.len() + chunk.len() > max {
            return Err(Problem::too_large(max));
        }
        if turn.is_none() && body.len() + chunk.len() > BODY_MAX {
            turn = Some(LARGE.take(key)?);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, turn))
}

/// What becomes of a document. Its turn is over when that is known, also if whoever has sent it goes away before: it is in memory for so long.
async fn taken_in<T: 'static>(turn: Option<Turn>, taking: impl Future<Output = Result<T, TakeError>> + 'static) -> Result<T, Problem> {
    let kept = async move {
        let _turn = turn;
        taking.await
    };
    to_its_end(kept).await
}

impl From<TakeError> for Problem {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Flow(_) | TakeError::Receiver(_) | TakeError::Statement(_) => Self::invalid(error.to_string()),
            TakeError::File(error) => {
                tracing::error!(%error, "a flow or statement cannot be kept");
                Self::unavailable("the file cannot be kept now")
            }
            TakeError::Payment(failure) => failure.into(),
        }
    }
}

/// Which issue of a flow this is.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FlowQuery {
    /// The revision, as the platform's REST interface names it; 0 if not said. Of several issues the last one counts: by its revision, or, where one says none, by when it was made.
    #[serde(default)]
    revision: u32,
}

/// What a flow did.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FlowTaken {
    /// `new`, `same`, `replaced` or `outdated`.
    taken: &'static str,
    /// How many payments were told of it now.
    reported: u32,
    /// How many were paid by it, because no receipt had come.
    paid: u32,
}

/// Take a reporting flow in.
///
/// A FlussoRiversamento document. It is kept as it came, and doing it again changes nothing. A payment that it names and that has no such receipt is paid by it: its
/// receipt says `report`. What it names as revoked is taken back of the receipt that had come. Of flows and statements beyond 64 KiB four are taken in at once, two of one key; one of which less
/// than 64 KiB come in 15 seconds is given up (`malformed`).
#[utoipa::path(
    tag = "Reconciliation", operation_id = "take_flow", security(("key" = ["settle"])), params(FlowQuery, ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    request_body(content = String, content_type = "application/xml", example = "<FlussoRiversamento/>"),
    responses((status = 200, description = "It is taken in", body = FlowTaken), crate::openapi::Problems),
)]
#[post("/reconciliation/flows")]
pub async fn take_flow(
    node: web::Data<Node>,
    shared: web::ThinData<Rc<Shared>>,
    here: (Connected, Kept),
    caller: Caller,
    _key: IdempotencyKey,
    query: web::Query<FlowQuery>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (pagopa, kept) = open(&caller, &here.0, &here.1)?;
    let (document, turn) = body(payload, FLOW_MAX, caller.id(), shared.body_within()).await?;
    let (pagopa, kept, node, revision) = (Arc::clone(pagopa), Arc::clone(kept), node.into_inner(), query.revision);
    let done = taken_in(turn, async move { kept.take_flow(&node, pagopa.settings(), document, revision).await }).await?;
    let taken = match done.taken {
        Taken::New => "new",
        Taken::Same => "same",
        Taken::Replaced => "replaced",
        Taken::Outdated => "outdated",
    };
    Ok(HttpResponse::Ok().json(FlowTaken { taken, reported: done.reported, paid: done.paid }))
}

/// What a statement brought.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StatementTaken {
    /// How many lines are new, of money that came in or that a bank has booked back.
    lines: u32,
}

/// Take a bank's statement in.
///
/// As CSV or camt.053. It is kept as it came until 90 days after its last day, then its lines that quote flows alone; a line that is known counts once. One that went out, quotes a flow and is as much as one that came books that back. Those beyond 64 KiB have their
/// turns, and their time, together with flows.
#[utoipa::path(
    tag = "Reconciliation", operation_id = "take_statement", security(("key" = ["settle"])),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    request_body(content = String, content_type = "text/csv", example = json!("data;importo;descrizione\n15/01/2027;24,00;/PUR/LGPE-RIVERSAMENTO/TXT/1/URI/2027-01-14BANCA-1\n")),
    responses((status = 200, description = "It is taken in", body = StatementTaken), crate::openapi::Problems),
)]
#[post("/reconciliation/statements")]
pub async fn take_statement(
    shared: web::ThinData<Rc<Shared>>,
    connected: Connected,
    kept: Kept,
    caller: Caller,
    _key: IdempotencyKey,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (_, kept) = open(&caller, &connected, &kept)?;
    let (document, turn) = body(payload, STATEMENT_BYTES_MAX, caller.id(), shared.body_within()).await?;
    let kept = Arc::clone(kept);
    let lines = taken_in(turn, async move { kept.take_statement(document).await }).await?;
    Ok(HttpResponse::Ok().json(StatementTaken { lines: lines as u32 }))
}

/// Which flows to report on.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// From this day of settlement on; 30 days before `to` if not said.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// Until this day, which counts; today if not said.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Date>,
}

/// What matches, and what does not.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReconciliationView {
    /// From this day of settlement on.
    from: String,
    /// Until this day.
    to: String,
    /// Whether there is more than is said here, of flows or of receipts: ask for fewer days.
    truncated: bool,
    /// The flows, up to 500.
    flows: Vec<FlowView>,
    /// Lines of the bank that quote a flow which was not taken in.
    lines_without_flow: Vec<BankLineView>,
    /// Receipts that no flow has, though it is due: two working days after they were paid.
    receipts_without_flow: Vec<UnreportedView>,
}

/// How a flow stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FlowView {
    /// Its name, which the transfer quotes.
    flow: String,
    /// Who sends the money.
    sender: String,
    /// The creditor that it is for.
    receiver: String,
    /// Which issue counts.
    revision: u32,
    /// When the transfer was made.
    settled_on: String,
    /// What it says that it makes, in euro cents.
    total_cents: i64,
    /// How many payments it says that it has.
    payments: u64,
    /// `sound`, `added` (revoked payments were added to the total: look at them, nothing is posted), or why it is set aside: `total`, `count`, `repeated` or `receiver`.
    reading: &'static str,
    /// `came`, `missing`, `differs`, or `not_due` where it makes nothing: then nothing is sent.
    transfer: &'static str,
    /// The lines of the bank that quote it.
    lines: Vec<String>,
    /// How many of its payments are as we know them.
    matched: u32,
    /// The others.
    unmatched: Vec<UnmatchedView>,
}

/// A payment of a flow that is not as we know it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct UnmatchedView {
    /// Which notice.
    iuv: String,
    /// Which payment of it: the id of the receipt.
    iur: String,
    /// Our payment, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    /// How much, in euro cents.
    amount_cents: i64,
    /// `paid_by_report` (no receipt came), `not_told` (nor did the report reach the payment yet: that follows by itself), `amount_differs`, `revoked` (what had come
    /// with that receipt is taken back: see `taken_back_cents` of the payment), `sent_again` (another flow has the same transfer of the same receipt, and none took it back:
    /// what was paid once was sent twice), `no_such_transfer` or `unknown`.
    what: &'static str,
}

/// A line of the bank.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BankLineView {
    /// The bank's name of it.
    line: String,
    /// The flow that it quotes.
    flow: String,
    /// How much came, in euro cents.
    amount_cents: i64,
}

/// A receipt that is not reported.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct UnreportedView {
    /// Its payment.
    payment: String,
    /// Its id.
    receipt: String,
    /// How much, in euro cents.
    amount_cents: i64,
    /// When it was paid (RFC 3339, UTC).
    paid_at: String,
}

/// Report on what matches and what does not.
#[utoipa::path(
    tag = "Reconciliation", operation_id = "get_reconciliation", security(("key" = ["settle"])), params(ReportQuery),
    responses((status = 200, description = "The report", body = ReconciliationView), crate::openapi::Problems, crate::openapi::Absent),
)]
#[get("/reconciliation")]
pub async fn get(
    node: web::Data<Node>,
    connected: Connected,
    kept: Kept,
    caller: Caller,
    query: web::Query<ReportQuery>,
) -> Result<HttpResponse, Problem> {
    let (pagopa, kept) = open(&caller, &connected, &kept)?;
    let today = calendar::local_day(node.now());
    let to = query.to.unwrap_or(today);
    let from = query.from.unwrap_or_else(|| to.saturating_sub(DAYS.days()));
    // First the flows, then what the payments say: what was told of a flow that is seen here is seen too.
    let (papers, views) = (kept.papers(), &files(&node)?.views);
    views.catch_up(node.head().number).await?;
    let mut chosen: Vec<Arc<Flow>> = papers.flows.iter().filter(|flow| (from..=to).contains(&flow.settled_on)).take(FLOWS_MAX + 1).cloned().collect();
    let mut truncated = chosen.len() > FLOWS_MAX;
    chosen.truncate(FLOWS_MAX);
    let all = Arc::clone(&papers);
    let again = Arc::new(computed(move || all.flows.sent_again()).await?);
    let mut seen = Vec::new();
    for flow in chosen {
        let Some(creditor) = pagopa.settings().creditor_of_code(&flow.receiver).cloned() else { continue };
        let mut named: Vec<PaymentId> = flow.payments.iter().filter_map(|reported| payment_of(&creditor, &reported.iuv)).collect();
        named.sort_unstable();
        named.dedup();
        let (receipts, existing) = (views.receipts_of(&named).await?, views.existing(&named).await?);
        let (papers, again) = (Arc::clone(&papers), Arc::clone(&again));
        seen.push(computed(move || held_against(&flow, &creditor, &papers, receipts, &existing, &again)).await?);
    }
    let instant = |day: Date| calendar::instant(day.at(0, 0, 0, 0));
    let mut rows = views.receipts_between(instant(from), instant(to.saturating_add(1.day())), RECEIPTS_MAX + 1).await?;
    truncated |= rows.len() > RECEIPTS_MAX as usize;
    rows.truncate(RECEIPTS_MAX as usize);
    let creditors = pagopa.settings().creditors().to_vec();
    let (lines_without_flow, receipts_without_flow) = computed(move || (strays(&papers), missing(&creditors, &papers, &rows, today))).await?;
    let (from, to) = (from.to_string(), to.to_string());
    Ok(HttpResponse::Ok().json(ReconciliationView { from, to, truncated, flows: seen, lines_without_flow, receipts_without_flow }))
}

/// What takes long to compute, where nobody waits for it.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    blocking(work).await.map_err(|_| Problem::unavailable("the report cannot be made now"))
}

/// One flow, held against the bank's lines, what the read models know of its payments, and what flows have sent again.
fn held_against(
    flow: &Flow,
    creditor: &Creditor,
    papers: &Papers,
    receipts: Vec<ReceiptRow>,
    existing: &[PaymentId],
    again: &BTreeSet<Collection>,
) -> FlowView {
    let by_report = receipts.iter().filter(|row| row.source == "report").map(|row| (row.payment, row.receipt.clone())).collect();
    let receipts = receipts.into_iter().map(|row| (row.payment, known_receipt(row.receipt, row.amount_cents, row.paid_at))).collect();
    let found = matching::reconcile(flow, creditor.fiscal_code, papers.lines_of(&flow.id), &known(creditor, receipts, existing));
    flow_view(flow, &found, &by_report, again)
}

/// Lines of the bank that quote a flow which is not there.
fn strays(papers: &Papers) -> Vec<BankLineView> {
    let taken: BTreeSet<&str> = papers.flows.iter().map(|flow| flow.id.as_str()).collect();
    let view = |(flows, line): (Vec<String>, &BankLine)| {
        let flow = flows.into_iter().next().unwrap_or_default();
        BankLineView { line: line.id.clone(), flow, amount_cents: line.amount.get() }
    };
    papers.lines().filter(|(flows, _)| !flows.iter().any(|flow| taken.contains(flow.as_str()))).map(view).collect()
}

/// Receipts that no flow has, though it is due.
fn missing(creditors: &[Creditor], papers: &Papers, rows: &[ReceiptRow], today: Date) -> Vec<UnreportedView> {
    let mut missing = Vec::new();
    for creditor in creditors {
        let ours = rows.iter().filter(|row| row.payment.creditor() == creditor.number);
        let receipts = ours.map(|row| (row.payment, known_receipt(row.receipt.clone(), row.amount_cents, row.paid_at))).collect();
        let known = known(creditor, receipts, &[]);
        missing.extend(matching::unreported(&papers.flows, &known, today).into_iter().map(|(payment, receipt)| UnreportedView {
            payment: payment.to_string(),
            receipt: receipt.id.clone(),
            amount_cents: receipt.amount.get(),
            paid_at: receipt.paid_at.to_string(),
        }));
    }
    missing
}

fn known_receipt(id: String, amount_cents: i64, paid_at: tornello_engine::time::Timestamp) -> KnownReceipt {
    KnownReceipt { id, amount: Cents::new(amount_cents), paid_at }
}

fn flow_view(flow: &Flow, report: &matching::Report, paid_by_report: &BTreeSet<(PaymentId, String)>, again: &BTreeSet<Collection>) -> FlowView {
    let reading = match report.reading {
        Ok(Reading::Subtracted) => "sound",
        Ok(Reading::Added) => "added",
        Err(Quarantine::Total) => "total",
        Err(Quarantine::Count) => "count",
        Err(Quarantine::Repeated) => "repeated",
        Err(Quarantine::Receiver) => "receiver",
    };
    let (transfer, lines) = match &report.transfer {
        Transfer::Came { line } => ("came", vec![line.clone()]),
        Transfer::Missing => ("missing", Vec::new()),
        Transfer::NotDue => ("not_due", Vec::new()),
        Transfer::Differs { lines, .. } => ("differs", lines.clone()),
    };
    let unmatched = |(reported, found): (&fdr::Reported, &Match)| {
        let is_again = || again.contains(&(reported.iuv.clone(), reported.iur.clone(), reported.index));
        let (payment, what) = match *found {
            Match::Received { payment } if is_again() => (Some(payment), "sent_again"),
            Match::Received { payment } if paid_by_report.contains(&(payment, reported.iur.clone())) => (Some(payment), "paid_by_report"),
            Match::Received { .. } => return None,
            Match::WithoutReceipt { payment } => (Some(payment), "not_told"),
            Match::AmountDiffers { payment, .. } => (Some(payment), "amount_differs"),
            Match::Revoked { payment } => (Some(payment), "revoked"),
            Match::NoSuchTransfer { payment } => (Some(payment), "no_such_transfer"),
            Match::Unknown => (None, "unknown"),
        };
        let payment = payment.map(|payment| payment.to_string());
        Some(UnmatchedView { iuv: reported.iuv.clone(), iur: reported.iur.clone(), payment, amount_cents: reported.amount.get(), what })
    };
    let others: Vec<UnmatchedView> = flow.payments.iter().zip(&report.payments).filter_map(unmatched).collect();
    FlowView {
        flow: flow.id.clone(),
        sender: flow.sender.clone(),
        receiver: flow.receiver.clone(),
        revision: flow.revision,
        settled_on: flow.settled_on.to_string(),
        total_cents: flow.total.get(),
        payments: flow.count,
        reading,
        transfer,
        lines,
        matched: (report.payments.len() - others.len()) as u32,
        unmatched: others,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use tokio::sync::oneshot;

    use super::*;

    #[actix_rt::test]
    async fn the_turn_of_whoever_goes_away_is_over_when_what_they_have_sent_is_taken_in() {
        static TURNS: Turns = Turns::new(1, 1);
        let (key, (done, waits)) = (KeyId(7), oneshot::channel::<()>());
        let turn = TURNS.take(key).unwrap();
        let taking = async move { Ok::<_, TakeError>(waits.await.is_ok()) };
        assert!(taken_in(Some(turn), taking).now_or_never().is_none(), "it takes longer than they stay");
        tokio::task::yield_now().await;
        assert!(TURNS.take(key).is_err(), "all of it is in memory yet");
        done.send(()).unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(TURNS.take(key).is_ok());
    }

    #[tokio::test]
    async fn a_flow_that_is_larger_than_other_requests_waits_for_its_turn() {
        let (key, max) = (KeyId(7), 2 * BODY_MAX);
        let read = async |length: usize| {
            let pieces = [length / 2, length - length / 2].map(|length| Ok::<_, PayloadError>(web::Bytes::from(vec![b' '; length])));
            let read = body(stream::iter(pieces), max, key, Duration::from_secs(15)).await;
            read.map(|(body, turn)| (body.len(), turn.is_some())).map_err(|problem| problem.code())
        };
        let mut turns: Vec<Turn> = (0..LARGE_OF_KEY_MAX).map(|_| LARGE.take(key).unwrap()).collect();
        assert_eq!(read(BODY_MAX).await, Ok((BODY_MAX, false)), "most are small, and wait for nobody");
        assert_eq!(read(BODY_MAX + 1).await, Err("too_many_requests"));
        turns.pop();
        assert_eq!(read(BODY_MAX + 1).await, Ok((BODY_MAX + 1, true)));
        assert_eq!(read(max).await, Ok((max, true)));
        assert_eq!(read(max + 1).await, Err("body_too_large"));
    }
}
