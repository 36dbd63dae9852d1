//! What a payment looks like: what it is for, what came and went, and what its records post in double entry.

use serde::Serialize;
use tornello_actors::journal::StreamId;
use tornello_actors::node::Node;
use tornello_actors::streams::all_of;
use tornello_actors::views::payments::{gateway as gateway_name, source as source_name};
use tornello_engine::ids::{Code, PaymentId};
use tornello_engine::ledger::{self, Account};
use tornello_engine::money::Cents;
use tornello_engine::notice::Qr;
use tornello_engine::payment::{self, Item, ItemEnd, Opened, Payment, Receipt, Refunded, Source, Stage};
use tornello_engine::slot::DeskMethod;

use crate::pagopa::settings::Creditor;
use crate::problem::Problem;
use crate::routes::people::PersonView;
use crate::routes::refunds::RefundView;
use crate::words::{DeskMethodWord, RefundedWord};

/// What is paid for.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaidForView {
    /// The hold.
    hold: String,
    /// What it costs, in euro cents.
    amount_cents: i64,
    /// `open`, `sold` or `paid_back`.
    state: &'static str,
    /// The sale that it has become, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
    /// Why it could not be had any more, if it could not: the code of the slot's refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What of it was paid back since, or is to be, in euro cents.
    refunded_cents: i64,
}

/// Something beside tickets.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentExtraView {
    /// Which.
    #[schema(value_type = String)]
    code: Code,
    /// How many.
    count: u16,
    /// For each, in euro cents.
    price_cents: i64,
}

/// What a desk took in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DeskReceiptView {
    /// At which till.
    #[schema(value_type = String)]
    till: Code,
    /// `cash` or `card`.
    #[schema(value_type = DeskMethodWord)]
    method: DeskMethod,
    /// Receipt or terminal reference.
    reference: String,
}

/// Proof that money came.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentReceiptView {
    /// Its id.
    receipt: String,
    /// `node`, `report`, `desk`, `voucher`, `free`, or `sale` (of a desk, without a payment).
    source: &'static str,
    /// How much came, in euro cents.
    amount_cents: i64,
    /// When it was paid: what counts in law (RFC 3339, UTC).
    paid_at: String,
    /// Which payment service provider; empty if that is not said.
    psp: String,
    /// With what; empty if that is not said.
    method: String,
    /// What a desk said of what it took in; of `desk` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    desk: Option<DeskReceiptView>,
    /// Whether it was paid while our station could not be asked.
    stand_in: bool,
    /// What of it the payer's bank took back, in euro cents.
    taken_back_cents: i64,
}

/// A line of the double entry of a payment.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LedgerLineView {
    /// By which record of the payment.
    seq: u64,
    /// When (RFC 3339, UTC).
    at: String,
    /// Which account.
    #[schema(schema_with = account)]
    account: Account,
    /// By how much, in euro cents: debits are above zero, credits below. The lines of a record sum to zero.
    amount_cents: i64,
}

/// An account by its name, or, where there are several of a kind, by which of them it is.
fn account() -> utoipa::openapi::Schema {
    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String))
        .item(ObjectBuilder::new().schema_type(Type::Object))
        .description(Some("Which account: `treasury`, `vouchers`, `vouchers_issued`, `unallotted`, `transit` or `refunds`; of those of which there are several, an object under the kind: `till`, `receivable`, `tickets`, `extras` or `taken_back`."))
        .into()
}

/// A payment, and what became of it.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct PaymentView {
    /// Its id.
    payment: String,
    /// `created`, `pending`, `paid`, `failed`, `expired` or `cancelled`.
    pub state: &'static str,
    /// Why it failed or was cancelled, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Code>,
    /// The museum that the money belongs to.
    museum: u16,
    /// `notice`, `checkout`, `desk`, `voucher` or `free`.
    gateway: &'static str,
    /// What is due, in euro cents.
    amount_cents: i64,
    /// What the payer reads.
    subject: String,
    /// When it was opened (RFC 3339, UTC).
    opened_at: String,
    /// From when on it can no longer be begun to pay (RFC 3339, UTC).
    due_at: String,
    /// Until when somebody may be paying (RFC 3339, UTC); none if nobody has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_until: Option<String>,
    /// The notice number (NAV, 18 digits), where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice_number: Option<String>,
    /// The identifier of the payment (IUV, 17 digits), where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    iuv: Option<String>,
    /// The fiscal code of the creditor, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    creditor: Option<String>,
    /// What the QR code of the notice says, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    qr: Option<String>,
    /// Where to send the browser, in the answer to whoever asks for a payment page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_url: Option<String>,
    /// The order that it belongs to, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    /// The quote that it belongs to, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<String>,
    /// What is paid for.
    items: Vec<PaidForView>,
    /// What else is paid for.
    extras: Vec<PaymentExtraView>,
    /// The money that came, in the order in which it did.
    receipts: Vec<PaymentReceiptView>,
    /// The money that goes back.
    refunds: Vec<RefundView>,
    /// How much of what paid has gone or is to go back: `none`, `part` or `whole`.
    #[schema(value_type = RefundedWord)]
    refunded: Refunded,
    /// Whether a dispute is open.
    disputed: bool,
    /// Whether the last dispute was decided for the payer: their bank takes the money back.
    charged_back: bool,
    /// What payers' banks took back of all that came, in euro cents: it is not there any more, whatever the tickets cost. Of disputes that ended before this was noted it is not known.
    taken_back_cents: i64,
    /// Who pays, for callers with desk rights who read the payment, while it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<PersonView>,
    /// The double entry of it all, for callers with the scope `settle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Vec<LedgerLineView>>,
}

impl PaymentView {
    pub fn new(payment: &Payment, opened: &Opened, creditor: Option<&Creditor>) -> Self {
        let notice = creditor.filter(|_| opened.gateway.is_position()).map(|creditor| (creditor, creditor.notice(payment.id())));
        let reason = match payment.stage() {
            Stage::Failed { code } => Some(code),
            Stage::Cancelled { cause, .. } => Some(cause),
            _ => None,
        };
        Self {
            payment: payment.id().to_string(),
            state: payment.stage().name(),
            reason,
            museum: opened.museum.0,
            gateway: gateway_name(opened.gateway),
            amount_cents: opened.amount_cents.get(),
            subject: opened.subject.clone(),
            opened_at: payment.opened_at().to_string(),
            due_at: opened.due_at.to_string(),
            active_until: payment.active_until().map(|until| until.to_string()),
            notice_number: notice.map(|(_, notice)| notice.to_string()),
            iuv: notice.map(|(_, notice)| notice.iuv()),
            creditor: notice.map(|(creditor, _)| creditor.fiscal_code.to_string()),
            qr: notice.and_then(|(creditor, notice)| Qr::new(notice, creditor.fiscal_code, opened.amount_cents)).map(|qr| qr.to_string()),
            checkout_url: None,
            order: opened.order.map(|order| order.to_string()),
            quote: opened.quote.map(|quote| quote.to_string()),
            items: opened.items.iter().zip(payment.items()).map(|(item, end)| item_view(item, end)).collect(),
            extras: opened.extras.iter().map(|e| PaymentExtraView { code: e.code, count: e.count, price_cents: e.price_cents.get() }).collect(),
            receipts: (0..).zip(payment.receipts()).map(|(place, receipt)| receipt_view(receipt, payment.taken_of(place))).collect(),
            refunds: payment.refunds().iter().map(|refund| RefundView::new(payment, opened.museum, refund)).collect(),
            refunded: payment.refunded(),
            disputed: payment.is_disputed(),
            charged_back: payment.dispute().is_some_and(|dispute| dispute.upheld == Some(true)),
            taken_back_cents: payment.taken_back().get(),
            payer: None,
            ledger: None,
        }
    }
}

fn item_view(item: &Item, end: &ItemEnd) -> PaidForView {
    let (state, sale, reason, refunded) = match end {
        ItemEnd::Open => ("open", None, None, Cents::ZERO),
        ItemEnd::Sold { sale, refunded_cents } => ("sold", Some(sale.to_string()), None, *refunded_cents),
        ItemEnd::PaidBack { why } => ("paid_back", None, Some(why.code()), item.amount_cents),
    };
    PaidForView { hold: item.hold.to_string(), amount_cents: item.amount_cents.get(), state, sale, reason, refunded_cents: refunded.get() }
}

fn receipt_view(receipt: &Receipt, taken_back: Cents) -> PaymentReceiptView {
    PaymentReceiptView {
        receipt: receipt.id.clone(),
        source: source_name(&receipt.source),
        amount_cents: receipt.amount_cents.get(),
        paid_at: receipt.paid_at.to_string(),
        psp: receipt.psp.clone(),
        method: receipt.method.clone(),
        desk: match &receipt.source {
            Source::Desk { till, method, reference } => Some(DeskReceiptView { till: *till, method: *method, reference: reference.clone() }),
            _ => None,
        },
        stand_in: receipt.stand_in,
        taken_back_cents: taken_back.get(),
    }
}

/// What all records of a payment post.
pub async fn ledger_of(node: &Node, id: PaymentId) -> Result<Vec<LedgerLineView>, Problem> {
    let failed = |error: tornello_actors::journal::JournalError| {
        tracing::error!(%error, payment = %id, "the records of a payment cannot be read");
        Problem::unavailable("the records cannot be read now")
    };
    let stream = StreamId::Payment(id);
    let records = all_of::<payment::Event>(node.journal().as_ref(), stream).await.map_err(failed)?;
    let payment = Payment::replay(id, &records);
    let line = |record: &tornello_engine::record::Record<_>, line: ledger::Line| LedgerLineView {
        seq: record.seq,
        at: record.at.to_string(),
        account: line.account,
        amount_cents: line.amount_cents.get(),
    };
    Ok(records.iter().flat_map(|record| ledger::of_payment(&payment, record).into_iter().map(move |posted| line(record, posted))).collect())
}
