//! Sales: made from a hold or at once, read, cancelled, blocked. What a sale became is asked of its slot; what it looks like is in `view`, lists are in `lists`.

pub mod lists;
mod view;

pub use view::{SaleView, entries_of, moved_to, state_of};

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::accounts;
use tornello_actors::cases;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::SignalKind;
use tornello_actors::keys::Role;
use tornello_actors::node::Node;
use tornello_actors::quotes;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, SlotId};
use tornello_engine::record::Record;
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Event, FRAUD, Refusal, Sale, Settlement, Slot};

use crate::acting::{self, Asked, Proof};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, PartyForm, envelope, known_before, random};
use crate::routes::holds::{LineForm, order_of, priced};
use crate::routes::people::{self as contacts, ContactForm, HolderForm};
use crate::routes::{alternatives, created, files, is_reference, not_rebuilt};
use crate::words::{CancelCauseWord, DeskMethodWord};
use view::SaleNowView;

/// How a sale is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SettlementForm {
    /// Nothing is due.
    Free {},
    /// Paid at a desk or kiosk.
    Desk {
        /// Which till.
        #[schema(value_type = String, max_length = 23, examples("till-1"))]
        till: Code,
        /// `cash` or `card`.
        #[schema(value_type = DeskMethodWord)]
        method: DeskMethod,
        /// Receipt or terminal reference: printable characters, no name of a person.
        #[schema(min_length = 1, max_length = 64, examples("R-2026-000123"))]
        reference: String,
    },
    /// To be invoiced to a reseller or group.
    OnAccount {
        /// Which account: the key's own; for the group office and administrators any.
        #[schema(value_type = String, max_length = 23)]
        account: Code,
    },
}

impl SettlementForm {
    /// What the slot is told. Whether the channel may settle like that is the slot's to say; whose account it is only the key knows.
    pub fn by(&self, caller: &Caller) -> Result<Settlement, Problem> {
        match self {
            Self::Free {} => Ok(Settlement::Free),
            Self::Desk { reference, .. } if !is_reference(reference) => {
                Err(Problem::invalid("settlement.desk.reference: 1 to 64 printable characters are expected"))
            }
            Self::Desk { till, method, reference } => Ok(Settlement::Desk { till: *till, method: *method, reference: reference.clone() }),
            Self::OnAccount { account } => may_charge(caller, *account).map(|()| Settlement::OnAccount { account: *account }),
        }
    }
}

/// Asserts that a caller may settle on an account: on its own, the group office and administrators on any.
pub fn may_charge(caller: &Caller, account: Code) -> Result<(), Problem> {
    if caller.0.account == Some(account) || matches!(caller.0.role, Role::GroupOffice | Role::Admin) {
        return Ok(());
    }
    let refusal = Refusal::SettlementNotAllowed { channel: caller.channel() };
    Err(Problem::from(refusal).detail("The account is not this key's own: only the group office settles on that of others."))
}

/// Asserts that a caller may sell without a hold before it, settled like that: without desk rights on its own account only.
pub fn may_sell_at_once(caller: &Caller, settlement: &Settlement) -> Result<(), Problem> {
    if caller.owner().is_none() || matches!(settlement, Settlement::OnAccount { .. }) {
        return Ok(());
    }
    let refusal = Refusal::SettlementNotAllowed { channel: caller.channel() };
    Err(Problem::from(refusal).detail("Without desk rights a sale without a hold is made on the key's own account: hold the places first."))
}

/// A sale without a hold before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaleForm {
    /// Categories and counts, each category once.
    #[schema(min_items = 1, max_items = 16)]
    pub lines: Vec<LineForm>,
    /// How it is paid.
    pub settlement: SettlementForm,
    /// Whom to write to. It is kept apart, encrypted, until 90 days after the visit.
    #[serde(default)]
    pub contact: Option<ContactForm>,
    /// Whose name stands on all tickets: somebody who comes along, and shows a document at the gate. Where `step_up_required` offers `named_ticket`, that is the proof. It is
    /// kept apart, encrypted, until 90 days after the visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderForm>,
    /// Who takes part, the buyer first.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub parties: Vec<PartyForm>,
    /// The order that the sale belongs to, if there is one: 26 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 26)]
    pub order: Option<String>,
}

/// The answer to whoever made a sale, from what the slot wrote down.
pub fn answer(record: &Record<Event>) -> Result<HttpResponse, Problem> {
    let sold = record.events.iter().find_map(|event| if let Event::Sold(sold) = event { Some(sold) } else { None }).ok_or_else(not_rebuilt)?;
    let view = SaleView::new(sold.sale, sold.channel, &sold.lines, &sold.settlement, record.at);
    created(format!("/v1/sales/{}", sold.sale), &view)
}

/// Sell at once.
///
/// As at a desk, without a hold before it: all or nothing, at today's prices, those of an operator as they were agreed with it. Keys without desk rights sell like that on
/// their own account only. Where places are short the answer names the nearest slots that have them.
#[utoipa::path(
    tag = "Sales", operation_id = "create_sale", security(("key" = ["book"])),
    request_body(content = SaleForm, example = json!({"lines": [{"category": "full", "count": 2}],
        "settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}})),
    params(("slot" = String, Path, description = "The slot"), ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 201, description = "The places are sold", body = SaleView), crate::openapi::Problems),
)]
#[post("/slots/{slot}/sales")]
pub async fn create(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    slot: web::Path<SlotId>,
    form: Json<SaleForm>,
    proof: Proof,
) -> Result<HttpResponse, Problem> {
    let (slot, channel) = (slot.into_inner(), caller.channel());
    caller.may_at(Scope::Book, slot.museum())?;
    let settlement = form.settlement.by(&caller)?;
    may_sell_at_once(&caller, &settlement)?;
    let mut envelope = envelope(&node, &caller, &key, &["sell", &slot.to_string()], &*form, &form.parties, order_of(form.order.as_deref())?)?;
    known_before(&node, &[slot], &form.parties, &mut envelope);
    let lines = priced(&node, slot, &caller, &form.lines, &envelope).await?;
    let sale = new_sale(slot, &settlement, &envelope);
    let asked =
        Asked { kind: SignalKind::Sold { held: false }, channel, hold: sale, lines: &lines, proven: form.holder.is_some() || caller.is_desk() };
    acting::weigh(&node, &mut envelope, asked, &proof).await?;
    let command = |contact| Command::SellDirect { sale, channel, lines: lines.clone(), settlement: settlement.clone(), contact };
    let refused = |failure| alternatives(&node, slot, channel, failure);
    let names = form.contact.is_some() || form.holder.is_some();
    let _turn = contacts::turn(&node, slot.museum(), &envelope, names).await?;
    if names {
        node.rehearse(slot, &envelope, &command(None)).await.map_err(refused)?;
    }
    let (contact, holder) = contacts::keep_both(&node, slot, &envelope, (form.contact.as_ref(), form.holder.as_ref()), true).await?;
    let record = sold(&node, slot, envelope, &settlement, command(contact).named(holder)).await;
    if matches!(record, Err(Failure::Refused(_) | Failure::KeyReused)) {
        contacts::drop_unsold(&node, contact.into_iter().chain(holder)).await?;
    }
    answer(&record.map_err(|failure| match failure {
        Failure::Refused(accounts::Refusal::Slot(why)) => refused(Failure::Refused(why)),
        other => other.into(),
    })?)
}

/// An id for a sale without a hold. One that an account is charged for has to be the same when it is asked for again.
fn new_sale(slot: SlotId, settlement: &Settlement, envelope: &Envelope) -> HoldId {
    let random = match settlement {
        Settlement::OnAccount { .. } => digest(&[b"sale on account", &envelope.who.get().to_be_bytes(), &envelope.key.0.to_be_bytes()]).0 as u64,
        _ => random(),
    };
    HoldId::new(slot, random)
}

/// Gives a slot a command that sells; what is settled on account is charged first.
pub async fn sold(
    node: &Node,
    slot: SlotId,
    envelope: Envelope,
    settlement: &Settlement,
    command: Command,
) -> Result<Record<Event>, Failure<accounts::Refusal>> {
    match settlement {
        // In a future of its own: it takes much room, which others need not carry about.
        Settlement::OnAccount { account } => Box::pin(accounts::sell(node, *account, envelope, command)).await,
        _ => node.slot(slot, envelope, command).await.map_err(|failure| failure.map(accounts::Refusal::Slot)),
    }
}

/// Whose sale it must be for the caller to see or change it; an operator's are all that its account was charged with, or that were made for its quotes.
pub async fn owner(node: &Node, caller: &Caller, id: HoldId) -> Result<Option<KeyId>, Problem> {
    let of_account = match caller.account_of_operator() {
        Some(account) => {
            let found = node.look(id.slot(), move |slot| slot.sale_of(id).map(|sale| sale.who)).await?;
            found.is_some_and(|who| who != caller.id()) && account_of(node, id).await? == Some(account)
        }
        None => false,
    };
    Ok(caller.owner().filter(|_| !of_account))
}

/// The account that was charged with a sale, or whose quote it was made for: of tickets that have moved, where they were bought. What the sale does not say itself is in
/// the lists, which may not have it yet: then they are waited for.
pub async fn account_of(node: &Node, id: HoldId) -> Result<Option<Code>, Problem> {
    match node.look(id.slot(), move |slot| slot.sale_of(id).map(|sale| sale.settlement.clone())).await? {
        None => return Ok(None),
        Some(Settlement::OnAccount { account } | Settlement::Quoted { account, .. }) => return Ok(Some(account)),
        Some(Settlement::Free | Settlement::Desk { .. } | Settlement::Moved { .. } | Settlement::Payment { .. }) => {}
    }
    let views = &files(node)?.views;
    if let Some(account) = views.account_of(id).await? {
        return Ok(Some(account));
    }
    views.catch_up(node.head().number).await?;
    Ok(views.account_of(id).await?)
}

/// A sale that the caller may see.
pub async fn seen<R: Send + 'static>(
    node: &Node,
    caller: &Caller,
    id: HoldId,
    read: impl Fn(&Slot, &Sale) -> R + Clone + Send + 'static,
) -> Result<R, Problem> {
    let owner = owner(node, caller, id).await?;
    let found = node.look(id.slot(), move |slot| {
        let sale = slot.sale_of(id).filter(|sale| owner.is_none_or(|owner| owner == sale.who))?;
        Some(read(slot, sale))
    });
    found.await?.ok_or_else(Problem::not_found)
}

/// Read a sale.
///
/// As it is now: every ticket with its state, what was paid and paid back.
#[utoipa::path(
    tag = "Sales", operation_id = "get_sale", security(("key" = ["book"])),
    params(("sale" = String, Path, description = "The sale")),
    responses((status = 200, description = "The sale", body = SaleNowView), crate::openapi::Problems),
)]
#[get("/sales/{sale}")]
pub async fn get(node: web::Data<Node>, caller: Caller, sale: web::Path<HoldId>) -> Result<HttpResponse, Problem> {
    let id = sale.into_inner();
    caller.may_at(Scope::Book, id.slot().museum())?;
    let sale = seen(&node, &caller, id, |_, sale| sale.clone()).await?;
    let contact = match sale.contact.filter(|_| caller.owner().is_none()) {
        Some(person) => contacts::known(&node, person).await?,
        None => None,
    };
    Ok(HttpResponse::Ok().json(SaleNowView::new(id, &sale, contact)))
}

/// What to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelForm {
    /// Numbers of tickets, from 0; empty: all that still stand.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub tickets: Vec<u16>,
    /// `visitor`: the refund policy decides. `museum`: all that the tickets cost is paid back; needs desk rights.
    #[schema(value_type = CancelCauseWord)]
    pub cause: CancelCause,
    /// Whether another cause was named by mistake: nothing is cancelled then, but of all tickets of the sale that are cancelled already what was not paid back is. With the cause
    /// `museum` and no tickets alone: what a visitor was promised is not taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub corrects: bool,
}

/// Tickets were cancelled.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CancelledView {
    /// Of which sale.
    sale: String,
    /// Their numbers, ascending; none where the cause was corrected of those that were cancelled before.
    tickets: Vec<u16>,
    /// What is to be paid back, in euro cents.
    refund_cents: i64,
    /// Why.
    #[schema(value_type = CancelCauseWord)]
    cause: CancelCause,
    /// When (RFC 3339, UTC).
    cancelled_at: String,
}

/// Cancel a sale, or some of its tickets.
///
/// All or nothing: a ticket that was let in cannot be cancelled. With cause `visitor` neither can one that is blocked or under review; the museum can. The answer says what is to be paid back for tickets. The fee and the extras of a group's quote are not of
/// a sale: they go back when the museum cancels the quote, or the last of its tickets; the quote is `cancelled` then.
///
/// Where `visitor` was named and the museum was the cause, `corrects` pays back the rest of all that is cancelled of the sale, once: after that it is `nothing_to_pay_back`. A quote that is
/// cancelled with its tickets becomes the museum's doing by it.
#[utoipa::path(
    tag = "Sales", operation_id = "cancel_sale", security(("key" = ["book"])),
    request_body(content = CancelForm, example = json!({"tickets": [0], "cause": "visitor"})),
    params(("sale" = String, Path, description = "The sale"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The tickets are cancelled", body = CancelledView), crate::openapi::Problems),
)]
#[post("/sales/{sale}/cancel")]
pub async fn cancel(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    sale: web::Path<HoldId>,
    form: Json<CancelForm>,
) -> Result<HttpResponse, Problem> {
    let sale = sale.into_inner();
    caller.may_at(Scope::Book, sale.slot().museum())?;
    if form.cause == CancelCause::Museum {
        caller.may(Scope::Desk)?;
    }
    if form.corrects && (form.cause != CancelCause::Museum || !form.tickets.is_empty()) {
        return Err(Problem::invalid("corrects: the cause `museum` and no tickets are expected with it"));
    }
    let mut envelope = envelope(&node, &caller, &key, &["cancel", &sale.to_string()], &*form, &[], None)?;
    let CancelForm { tickets, cause, corrects } = form.into_inner();
    let returned = if corrects { None } else { Some(tickets.as_slice()) };
    acting::weigh_return(&node, &mut envelope, cause, sale, caller.channel(), returned).await?;
    let owner = owner(&node, &caller, sale).await?;
    let command = if corrects { Command::CorrectCause { sale, owner } } else { Command::Cancel { sale, owner, tickets, cause } };
    let record = node.slot(sale.slot(), envelope, command).await?;
    let cancelled = record.events.iter().find_map(|event| if let Event::Cancelled(cancelled) = event { Some(cancelled) } else { None });
    let cancelled = cancelled.ok_or_else(not_rebuilt)?;
    // Where money goes back, whoever hands that over tells the quote. Where none does it hears of it here, or else from whoever resumes quotes.
    if cancelled.refund_cents.is_zero()
        && let Ok(Some(quote)) = files(&node)?.views.quote_of(sale).await
        && let Err(failure) = quotes::tickets_cancelled(&node, quote, cause).await
    {
        tracing::warn!(%quote, ?failure, "a quote will be told later that its tickets are cancelled");
    }
    Ok(HttpResponse::Ok().json(CancelledView {
        sale: sale.to_string(),
        tickets: cancelled.tickets.clone(),
        refund_cents: cancelled.refund_cents.get(),
        cause: cancelled.cause,
        cancelled_at: record.at.to_string(),
    }))
}

/// What to block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockForm {
    /// Numbers of tickets, from 0; empty: all that still stand.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub tickets: Vec<u16>,
    /// Why, in one word; shown at the gate. It takes the place of what staff said before; `fraud` is what a verdict says, and of nobody else.
    #[schema(value_type = String, max_length = 23, examples("resold"))]
    pub reason: Code,
}

/// What to unblock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnblockForm {
    /// Numbers of tickets, from 0; empty: all that are blocked.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub tickets: Vec<u16>,
    /// Only where they are blocked for this; absent: for whatever, but not for `fraud` while the verdict stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23, examples("resold"))]
    pub reason: Option<Code>,
}

/// Tickets were blocked, or are no longer.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BlockedView {
    /// Of which sale.
    sale: String,
    /// Their numbers, ascending.
    tickets: Vec<u16>,
    /// Whether they are blocked now.
    blocked: bool,
    /// Those of which a block was lifted and that stay blocked, for another reason; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    still_blocked: Vec<u16>,
    /// When that began (RFC 3339, UTC).
    changed_at: String,
}

impl BlockedView {
    /// What a record blocked or unblocked; none if it did neither.
    fn of(sale: HoldId, record: &Record<Event>) -> Option<Self> {
        let (mut changed, mut still_blocked) = (None, Vec::new());
        for event in &record.events {
            match event {
                Event::Blocked(blocked) => changed = Some((blocked.tickets.clone(), true)),
                Event::Unblocked(unblocked) => changed = Some((unblocked.tickets.clone(), false)),
                Event::BlockLifted(lifted) => still_blocked.extend_from_slice(&lifted.tickets),
                _ => {}
            }
        }
        still_blocked.sort_unstable();
        let (tickets, blocked) = changed.or_else(|| (!still_blocked.is_empty()).then(|| (Vec::new(), false)))?;
        Some(Self { sale: sale.to_string(), tickets, blocked, still_blocked, changed_at: record.at.to_string() })
    }
}

/// Block tickets.
///
/// The gate refuses a blocked ticket and shows the reason.
#[utoipa::path(
    tag = "Sales", operation_id = "block_tickets", security(("key" = ["manage"])),
    request_body(content = BlockForm, example = json!({"tickets": [0, 1], "reason": "resold"})),
    params(("sale" = String, Path, description = "The sale"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The tickets are blocked", body = BlockedView), crate::openapi::Problems),
)]
#[post("/sales/{sale}/block")]
pub async fn block(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    sale: web::Path<HoldId>,
    form: Json<BlockForm>,
) -> Result<HttpResponse, Problem> {
    let sale = sale.into_inner();
    caller.may_at(Scope::Manage, sale.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["block", &sale.to_string()], &*form, &[], None)?;
    let BlockForm { tickets, reason } = form.into_inner();
    if reason.as_str() == FRAUD {
        return Err(Problem::invalid("reason: `fraud` is what the verdict of a fraud case says; another word is expected"));
    }
    let record = node.slot(sale.slot(), envelope, Command::Block { sale, tickets, reason }).await?;
    Ok(HttpResponse::Ok().json(BlockedView::of(sale, &record).ok_or_else(not_rebuilt)?))
}

/// Unblock tickets.
///
/// What staff block. What the verdict of a fraud case blocks (`fraud`) is lifted by undoing the verdict: until then it is answered `ticket_blocked`.
#[utoipa::path(
    tag = "Sales", operation_id = "unblock_tickets", security(("key" = ["manage"])),
    request_body(content = UnblockForm, example = json!({"tickets": [0, 1], "reason": "resold"})),
    params(("sale" = String, Path, description = "The sale"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The tickets are good again", body = BlockedView), crate::openapi::Problems),
)]
#[post("/sales/{sale}/unblock")]
pub async fn unblock(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    sale: web::Path<HoldId>,
    form: Json<UnblockForm>,
) -> Result<HttpResponse, Problem> {
    let sale = sale.into_inner();
    caller.may_at(Scope::Manage, sale.slot().museum())?;
    let envelope = envelope(&node, &caller, &key, &["unblock", &sale.to_string()], &*form, &[], None)?;
    // Where no verdict says so (any more) it is a word like any other: if it stood before the verdict was asked about, as one may come in between.
    let is_fraud = |reason: &Code| reason.as_str() == FRAUD;
    let stands =
        move |slot: &Slot| slot.sale_of(sale).is_some_and(|sale| sale.tickets.iter().filter_map(|ticket| ticket.blocked.as_ref()).any(is_fraud));
    let stood = node.look(sale.slot(), stands).await?;
    let is_word = stood && cases::fraud_said_of(&node, sale).await?.is_none();
    let keeps = if is_word { None } else { FRAUD.parse().ok() };
    let UnblockForm { tickets, reason } = form.into_inner();
    let record = node.slot(sale.slot(), envelope, Command::Unblock { sale, tickets, reason, keeps }).await?;
    Ok(HttpResponse::Ok().json(BlockedView::of(sale, &record).ok_or_else(not_rebuilt)?))
}
