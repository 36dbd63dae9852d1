//! Tickets that go to another slot, and tickets that go to another person. Whether they may is for the slots to say; here is looked up what they must be told: what the
//! tickets cost in the other slot, and under which number a name is kept.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::fraud::UNREAD;
use tornello_actors::fraud::in_force::built_in;
use tornello_actors::moves::{move_tickets, named_along, said_when_sold, trail_back, would_take};
use tornello_actors::node::Node;
use tornello_actors::rooms;
use tornello_engine::calendar;
use tornello_engine::case::Subject;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Outcome};
use tornello_engine::fraud_rules::{Action, Rules};
use tornello_engine::ids::{Code, HoldId, SlotId, TicketId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, Event, Line, Slot};

use crate::acting::{self, Proof};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, PartyForm, envelope, known_before, random};
use crate::routes::holds::agreed;
use crate::routes::people::{self, HolderForm};
use crate::routes::sales::{SaleView, account_of, owner, seen};
use crate::routes::tickets::Issued;
use crate::routes::waiting_rooms::{self, Admission};
use crate::routes::{alternatives_but, files, not_rebuilt};

/// Where tickets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveForm {
    /// The other slot, of the same museum.
    #[schema(value_type = String, min_length = 13, max_length = 13, examples("000a000102r4e"))]
    pub slot: SlotId,
    /// Numbers of tickets, from 0; empty: all that still stand.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub tickets: Vec<u16>,
    /// Who takes part, the buyer first: whom the waiting room of the other slot has let through, if one is open for it. The move is assessed as of them, and of whoever
    /// bought the tickets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub parties: Vec<PartyForm>,
}

/// What the categories of a sale cost in another slot; those that it does not sell are left out. What was sold at the price agreed with an account costs what is agreed
/// there.
async fn prices(node: &Node, (sale, to): (HoldId, SlotId), channel: Channel, lines: &[Line]) -> Result<Vec<(Code, Cents)>, Problem> {
    let (Some(known), date) = (node.museums().get(to.museum()), calendar::local_day(to.start())) else { return Ok(Vec::new()) };
    let Some((_, tariff)) = known.museum.tariff_on(date) else { return Ok(Vec::new()) };
    let price = |line: &Line| Some(Line { price_cents: tariff.quote(date, channel, line.category).ok()?.total(), ..line.clone() });
    let by_tariff: Vec<Line> = lines.iter().filter_map(price).collect();
    let account = if channel == Channel::Group { account_of(node, sale).await? } else { None };
    let by_agreement = match account {
        Some(account) => agreed(node, to, account, by_tariff.clone()).await?,
        None => Vec::new(),
    };
    let paid = |line: &Line| lines.iter().find(|sold| sold.category == line.category).map(|sold| sold.price_cents);
    let as_paid = |line: &&Line| paid(line) == Some(line.price_cents);
    let priced = |line: &Line| {
        let agreed = by_agreement.iter().filter(as_paid).find(|agreed| agreed.category == line.category);
        (line.category, agreed.unwrap_or(line).price_cents)
    };
    Ok(by_tariff.iter().map(priced).collect())
}

/// Move a sale, or some of its tickets, to another slot.
///
/// All or nothing, within the museum, at the price that was paid; what costs something else there is to be cancelled and booked anew. The answer is the new sale: its tickets
/// have new codes, and the old ones are good no more. If the other slot refuses, everything stands as before; the refusal is answered, where places are short with the nearest
/// slots that have them. What is under review is moved by keys of desks alone, and to others is `ticket_under_review`; the review goes on in the other slot until the same time, or
/// until half an hour before the gate opens there. While a waiting room is open for the other slot, web shops send what it gave to their buyer, as with a hold, and the buyer in `parties`. Places are
/// taken in the other slot: a move is assessed as a hold that is bought at once. Where one more proof is asked for (`step_up_required`), the same request is repeated with it.
/// After `outcome_unknown` the move goes on by itself: repeat to hear how it ended.
#[utoipa::path(
    tag = "Sales", operation_id = "move_sale", security(("key" = ["book"])),
    request_body(content = MoveForm, example = json!({"slot": "000a000102r4e", "tickets": [0, 1]})),
    params(("sale" = String, Path, description = "The sale"), ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("Waiting-Room-Admission" = Option<String>, Header, description = "What lets a web buyer through, while a waiting room is open for the other slot"),
        ("Step-Up-Proof" = Option<String>, Header, description = "The solved challenge of `step_up_required`")),
    responses((status = 200, description = "The tickets have moved: the new sale", body = SaleView), crate::openapi::Problems),
)]
#[post("/sales/{sale}/move")]
pub async fn to_slot(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    sale: web::Path<HoldId>,
    form: Json<MoveForm>,
    given: (Admission, Proof),
) -> Result<HttpResponse, Problem> {
    let sale = sale.into_inner();
    caller.may_at(Scope::Book, sale.slot().museum())?;
    let mut envelope = envelope(&node, &caller, &key, &["move", &sale.to_string()], &*form, &form.parties, None)?;
    known_before(&node, &[form.slot], &form.parties, &mut envelope);
    let (MoveForm { slot: to, tickets, parties }, (admission, proof)) = (form.into_inner(), given);
    // A ticket for a quiet day must not be a way past those who wait.
    let passage = waiting_rooms::passage(&node, (sale.slot(), &envelope), (to, caller.channel()), &admission, &parties).await?;
    let (who, channel, lines) = seen(&node, &caller, sale, |_, sale| (sale.who, sale.channel, sale.lines.clone())).await?;
    let prices = prices(&node, (sale, to), channel, &lines).await?;
    // Of a sale of an operator's account whoever sold it is meant: only staff name nobody, as what is under review is moved by them alone.
    let owner = (!caller.is_desk()).then_some(who);
    let arrival = HoldId::new(to, random());
    let via = caller.channel();
    let command = Command::BeginMove { sale, owner, tickets, arrival, via, prices };
    let refused = |failure| alternatives_but(&node, to, Some(sale.slot()), channel, failure);
    let taken = would_take(&node, sale.slot(), &envelope, &command).await.map_err(refused)?;
    let parties = match &taken {
        Some(lines) => acting::weigh_move(&node, &mut envelope, (sale, arrival), (via, caller.is_desk()), lines, &proof).await?,
        None => Vec::new(),
    };
    let moved = rooms::through(passage, move_tickets(&node, sale.slot(), envelope, command)).await.map_err(refused)?;
    if taken.is_some() {
        node.scoring().remember(moved.id, moved.sale.channel, &moved.sale.lines, parties);
    }
    let view = SaleView::new(moved.id, moved.sale.channel, &moved.sale.lines, &moved.sale.settlement, moved.sale.sold_at);
    Ok(HttpResponse::Ok().insert_header(("Location", format!("/v1/sales/{}", moved.id))).json(view))
}

/// To whom a ticket goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameForm {
    /// Whose name stands on the ticket from now on. It is kept apart, encrypted, until 90 days after the visit; the name before is erased with the last ticket that bears it.
    pub holder: HolderForm,
}

/// A ticket whose code was issued anew.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RenamedView {
    /// Its id, as before.
    ticket: String,
    /// Its sale.
    sale: String,
    /// Which issue of its code counts.
    issue: u16,
    /// The text of the new QR code; the old one is good no more.
    code: String,
    /// When (RFC 3339, UTC).
    renamed_at: String,
}

/// Whether one more proof was, or may have been, due of what was said of a sale: the record of it has the greater of a proof and a look. A look alone is by a model, or by rules
/// of which none asks for a proof; what a rule that is there no more, or has another form by now, had asked for nobody knows.
fn was_proof_due(rules: &Rules, said: &Assessment) -> bool {
    let asks = |name: &Code| match rules.active().find(|written| written.rule.name == *name) {
        Some(written) => written.in_force.is_none_or(|(.., version)| version > said.rules_version) || written.rule.action == Action::StepUp,
        None if rules.version() == said.rules_version => built_in().iter().any(|rule| rule.name == *name && rule.action == Action::StepUp),
        None => true,
    };
    match said.outcome {
        Outcome::Allow => false,
        Outcome::StepUp | Outcome::Block => true,
        Outcome::Review => said.reasons.iter().any(|reason| reason.as_str() == UNREAD) || said.rules.iter().any(asks),
    }
}

/// Whether the name on a ticket may have been the proof by which it was sold: it bears one, and of its sale, or of one that it was of before it moved, one more proof was due.
/// What was said of sales is in the lists, which are waited for.
async fn may_be_proof(node: &Node, ticket: TicketId) -> Result<bool, Problem> {
    let sale = ticket.sale();
    let is_named = move |slot: &Slot| slot.sale_of(sale).is_some_and(|sale| sale.holders.contains_key(&ticket.number()));
    if !node.look(ticket.slot(), is_named).await? {
        return Ok(false);
    }
    let views = &files(node)?.views;
    views.catch_up(node.head().number).await?;
    let (trail, rules) = (trail_back(node, sale).await?, node.defences().rules());
    for sale in &trail {
        let said = views.assessed_for_case(Subject::Sale(*sale)).await?.and_then(|found| found.assessment);
        if said.is_some_and(|assessment| was_proof_due(&rules, &assessment)) {
            return Ok(true);
        }
    }
    // Where only a look was asked for of the hold the lists have that, whatever was asked for when it was bought.
    let bought = match trail.last() {
        Some(bought) => said_when_sold(node, *bought).await?,
        None => None,
    };
    Ok(bought.is_some_and(|assessment| was_proof_due(&rules, &assessment)))
}

/// Rename a ticket.
///
/// It takes no place, so it also works in a slot that is sold out and after sales have ended, until the slot is over. The code is issued anew: a gate refuses the old one with
/// `code_outdated`. A name that was given where `step_up_required` asked for one is changed by a key of a desk (`named_as_proof`), where somebody sees who asks.
#[utoipa::path(
    tag = "Tickets", operation_id = "rename_ticket", security(("key" = ["book"])),
    request_body(content = RenameForm, example = json!({"holder": {"given_name": "Maria", "family_name": "Rossi"}})),
    params(("ticket" = String, Path, description = "The ticket"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The ticket has another name and a new code", body = RenamedView), crate::openapi::Problems),
)]
#[post("/tickets/{ticket}/rename")]
pub async fn rename(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    ticket: web::Path<TicketId>,
    form: Json<RenameForm>,
) -> Result<HttpResponse, Problem> {
    let id = ticket.into_inner();
    let slot = id.slot();
    caller.may_at(Scope::Book, slot.museum())?;
    let envelope = envelope(&node, &caller, &key, &["rename", &id.to_string()], &*form, &[], None)?;
    let owner = owner(&node, &caller, id.sale()).await?;
    let command = |holder| Command::Rename { sale: id.sale(), owner, tickets: vec![id.number()], holder };
    node.rehearse(slot, &envelope, &command(None)).await?;
    // Else a shop that lets its customers rename takes the proof back.
    if caller.owner().is_some() && !node.knows(slot, &envelope).await? && may_be_proof(&node, id).await? {
        let problem = Problem::new(StatusCode::FORBIDDEN, "named_as_proof", "the name on this ticket was a proof: a shop does not change it");
        return Err(problem.detail("Nothing was changed. Ask the museum: a key of a desk may, where somebody sees who asks."));
    }
    let _turn = people::turn(&node, slot.museum(), &envelope, true).await?;
    let holder = people::keep_holder(&node, slot, &envelope, &form.holder).await?;
    let record = node.slot(slot, envelope, command(Some(holder))).await;
    if matches!(record, Err(Failure::Refused(_) | Failure::KeyReused)) {
        people::drop_unsold(&node, [holder]).await?;
    }
    let record = record?;
    let renamed = record.events.iter().find_map(|event| if let Event::Renamed(renamed) = event { Some(renamed) } else { None });
    let renamed = renamed.ok_or_else(not_rebuilt)?;
    if !renamed.replaced.is_empty() {
        // One that stands on no ticket of this sale any more may stand on those that have moved, or have not.
        let named = named_along(&node, id.sale()).await?;
        people::drop_unsold(&node, renamed.replaced.iter().copied().filter(|person| !named.contains(person))).await?;
    }
    let (_, issue) = renamed.tickets.iter().find(|(number, _)| *number == id.number()).copied().ok_or_else(not_rebuilt)?;
    let code = Issued::find(&node, &caller, id).await?.code_of(&node, issue)?;
    let (ticket, sale, renamed_at) = (id.to_string(), id.sale().to_string(), record.at.to_string());
    Ok(HttpResponse::Ok().json(RenamedView { ticket, sale, issue, code, renamed_at }))
}
