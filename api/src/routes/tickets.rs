//! Tickets: read, drawn as QR codes, printed, listed; and the public keys with which gates verify codes without a network. A code is signed whenever a ticket is
//! read, with the current key; it is stored nowhere.

use actix_web::http::header;
use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::hex::Hex;
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::views::TicketRow;
use tornello_engine::calendar;
use tornello_engine::ids::{Code, HoldId, PersonId, SlotId, TicketId};
use tornello_engine::slot::verdict::Window;
use tornello_engine::slot::{Line, Opening, Refusal, Sale, Ticket, TicketState, line_of};
use tornello_engine::text::Text;
use tornello_engine::ticket::{Payload, PublicKey};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::print::{PrintError, PrintedTicket, TICKETS_MAX, qr_png, qr_svg, tickets_pdf};
use crate::problem::Problem;
use crate::routes::people::{self, PersonView};
use crate::routes::sales::{entries_of, moved_to, seen, state_of};
use crate::routes::{files, page, page_size};

/// The side of one module of a QR code in a PNG, in pixels: 61 modules with the quiet zone are about 500 pixels.
const MODULE_PX: u32 = 8;

/// The name of a category for visitors, by the tariff of the slot's day; its code if the tariff does not know it any more.
pub fn category_name(known: &Known, slot: SlotId, category: Code) -> Text {
    let tariff = known.museum.tariff_on(calendar::local_day(slot.start()));
    let named = tariff.and_then(|(_, tariff)| tariff.category(category));
    named.map_or_else(|| Text::new(category.as_str(), category.as_str()), |category| category.name.clone())
}

/// A ticket with what is needed to show it.
pub struct Issued {
    id: TicketId,
    ticket: Ticket,
    line: Line,
    /// How many tickets its sale has.
    count: usize,
    opening: Opening,
    moved_to: Option<TicketId>,
    /// Whose name stands on it, if somebody's does.
    holder: Option<PersonId>,
}

impl Issued {
    fn of(opening: &Opening, sale: &Sale, id: TicketId) -> Option<Self> {
        let ticket = sale.tickets.get(usize::from(id.number()))?.clone();
        let line = line_of(&sale.lines, id.number())?.clone();
        let (moved_to, holder) = (moved_to(sale, id.number()), sale.holders.get(&id.number()).copied());
        Some(Self { id, ticket, line, count: sale.tickets.len(), opening: opening.clone(), moved_to, holder })
    }

    /// Those of a sale that still stand, from a number on.
    pub fn standing(opening: &Opening, sale: &Sale, id: HoldId, from: u16) -> Vec<Self> {
        let all = (0..).zip(&sale.tickets).skip(usize::from(from)).filter_map(|(number, _)| Self::of(opening, sale, id.ticket(number)));
        all.filter(|issued| !matches!(issued.ticket.state, TicketState::Cancelled | TicketState::Moving | TicketState::Moved)).collect()
    }

    /// Its number in its sale, from 0: it keeps that whatever becomes of others.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.id.number()
    }

    /// A ticket that the caller may see.
    pub async fn find(node: &Node, caller: &Caller, id: TicketId) -> Result<Self, Problem> {
        seen(node, caller, id.sale(), move |slot, sale| Self::of(slot.opening(), sale, id)).await?.ok_or_else(Problem::not_found)
    }

    fn valid_from(&self) -> Timestamp {
        Window::of(&self.opening).opens_at
    }

    fn valid_until(&self) -> Timestamp {
        Window::of(&self.opening).closes_at
    }

    /// The text of its code, signed now. A ticket that does not stand has none.
    fn code(&self, node: &Node) -> Result<String, Problem> {
        match (self.ticket.state, self.moved_to) {
            (TicketState::Cancelled, _) => Err(Refusal::TicketCancelled.into()),
            (TicketState::Moving, _) => Err(Refusal::TicketMoving.into()),
            (TicketState::Moved, to) => Err(Refusal::TicketMoved { to }.into()),
            _ => self.code_of(node, self.ticket.issue),
        }
    }

    /// The text of the code of an issue, signed now.
    pub fn code_of(&self, node: &Node, issue: u16) -> Result<String, Problem> {
        let codes = &files(node)?.codes;
        let until = self.valid_until().min(codes.until_max());
        Ok(codes.sign(&Payload::new(self.id, issue, self.line.proof, self.valid_from(), until)))
    }

    /// The name that stands on it, if one does and it is still known.
    async fn name(&self, node: &Node) -> Result<String, Problem> {
        let Some(person) = self.holder else { return Ok(String::new()) };
        Ok(people::name_of(node, person).await?.unwrap_or_default())
    }

    /// What is printed on it: the slot's own times, as they were booked; what the gate allows before and after stays its own.
    pub async fn printed(&self, node: &Node, known: &Known) -> Result<PrintedTicket, Problem> {
        let (profile, slot) = (known.museum.profile().ok_or_else(Problem::not_found)?, self.id.slot());
        let (from, until) = (calendar::local(slot.start()), calendar::local(self.opening.end));
        let day = calendar::local_day(slot.start());
        let route = known.museum.plan_on(day).and_then(|(_, plan)| plan.route(slot.route()));
        let category = category_name(known, slot, self.line.category);
        Ok(PrintedTicket {
            museum: profile.name.clone(),
            city: profile.city.clone(),
            route: route.map(|route| route.name.it.clone()).unwrap_or_default(),
            day,
            enter_from: from.time(),
            enter_until: until.time(),
            category_it: category.it,
            category_en: category.en,
            price: self.line.price_cents,
            holder: self.name(node).await?,
            show_it: self.line.proof.show_it().to_owned(),
            show_en: self.line.proof.show_en().to_owned(),
            reference: self.id.sale().to_string(),
            ticket: self.id.to_string(),
            number: u32::from(self.id.number()) + 1,
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            code: self.code(node)?,
        })
    }
}

/// A ticket.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct TicketView {
    /// Its id, for a gate that cannot read the code.
    ticket: String,
    /// Its sale.
    sale: String,
    /// Its slot.
    slot: String,
    /// Its museum's number.
    museum: u16,
    /// Its category.
    #[schema(value_type = String)]
    category: Code,
    /// The category, in Italian.
    category_it: String,
    /// The category, in English.
    category_en: String,
    /// What it cost, in euro cents.
    price_cents: i64,
    /// What to show at the gate, in Italian; empty if the code is enough.
    proof_it: &'static str,
    /// What to show at the gate, in English; empty if the code is enough.
    proof_en: &'static str,
    /// `valid`, `blocked`, `inside`, `outside`, `cancelled`, `moving` or `moved`.
    state: &'static str,
    /// Why it is blocked, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Code>,
    /// Before then it lets nobody in, as its sale is being looked at; it is valid by itself then, or sooner (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    review_until: Option<String>,
    /// How many times it was let in.
    entries: u8,
    /// When it was first let in, if it was (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    admitted_at: Option<String>,
    /// When it may first enter (RFC 3339, UTC).
    valid_from: String,
    /// Until when it may first enter (RFC 3339, UTC).
    valid_until: String,
    /// Which issue of its code counts: a new name brings a new one.
    issue: u16,
    /// The ticket of another slot that it has become, if it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
    /// Whose name stands on it, for callers with desk rights, if somebody's does and it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<PersonView>,
    /// The text of its QR code; a ticket that is cancelled, moving or moved has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// Read a ticket.
///
/// The code is signed anew with the current key: it may differ from an earlier one, and both are good.
#[utoipa::path(
    tag = "Tickets", operation_id = "get_ticket", security(("key" = ["book"])),
    params(("ticket" = String, Path, description = "The ticket")),
    responses((status = 200, description = "The ticket", body = TicketView), crate::openapi::Problems),
)]
#[get("/tickets/{ticket}")]
pub async fn get(node: web::Data<Node>, caller: Caller, ticket: web::Path<TicketId>) -> Result<HttpResponse, Problem> {
    let id = ticket.into_inner();
    caller.may_at(Scope::Book, id.slot().museum())?;
    let issued = Issued::find(&node, &caller, id).await?;
    let known = node.museums().get(id.slot().museum()).ok_or_else(Problem::not_found)?;
    let holder = match issued.holder.filter(|_| caller.owner().is_none()) {
        Some(person) => people::known(&node, person).await?,
        None => None,
    };
    let (name, (state, reason)) = (category_name(&known, id.slot(), issued.line.category), state_of(&issued.ticket));
    Ok(HttpResponse::Ok().json(TicketView {
        ticket: id.to_string(),
        sale: id.sale().to_string(),
        slot: id.slot().to_string(),
        museum: id.slot().museum().0,
        category: issued.line.category,
        category_it: name.it,
        category_en: name.en,
        price_cents: issued.line.price_cents.get(),
        proof_it: issued.line.proof.show_it(),
        proof_en: issued.line.proof.show_en(),
        state,
        reason,
        review_until: issued.ticket.review_until.filter(|until| node.now() < *until).map(|until| until.to_string()),
        entries: entries_of(&issued.ticket),
        admitted_at: issued.ticket.state.first_at().map(|at| at.to_string()),
        valid_from: issued.valid_from().to_string(),
        valid_until: issued.valid_until().to_string(),
        issue: issued.ticket.issue,
        moved_to: issued.moved_to.map(|to| to.to_string()),
        holder,
        code: issued.code(&node).ok(),
    }))
}

/// A picture or document.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct File(String);

/// Draws away from the threads that answer: it takes milliseconds.
pub async fn drawn<T: Send + 'static>(draw: impl FnOnce() -> Result<T, PrintError> + Send + 'static) -> Result<T, Problem> {
    Ok(web::block(draw).await.map_err(|_| Problem::unavailable("the ticket cannot be printed now"))??)
}

/// A PDF file as an answer.
pub fn document(name: &str, bytes: Vec<u8>) -> HttpResponse {
    let disposition = (header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}.pdf\""));
    HttpResponse::Ok().content_type("application/pdf").insert_header(disposition).body(bytes)
}

/// A ticket's code as an SVG.
#[utoipa::path(
    tag = "Tickets", operation_id = "get_ticket_svg", security(("key" = ["book"])),
    params(("ticket" = String, Path, description = "The ticket")),
    responses((status = 200, description = "The QR code", body = String, content_type = "image/svg+xml"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/tickets/{ticket}/qr.svg")]
pub async fn svg(node: web::Data<Node>, caller: Caller, ticket: web::Path<TicketId>) -> Result<HttpResponse, Problem> {
    let id = ticket.into_inner();
    caller.may_at(Scope::Book, id.slot().museum())?;
    let code = Issued::find(&node, &caller, id).await?.code(&node)?;
    Ok(HttpResponse::Ok().content_type("image/svg+xml").body(drawn(move || qr_svg(&code)).await?))
}

/// A ticket's code as a PNG.
#[utoipa::path(
    tag = "Tickets", operation_id = "get_ticket_png", security(("key" = ["book"])),
    params(("ticket" = String, Path, description = "The ticket")),
    responses((status = 200, description = "The QR code", body = File, content_type = "image/png"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/tickets/{ticket}/qr.png")]
pub async fn png(node: web::Data<Node>, caller: Caller, ticket: web::Path<TicketId>) -> Result<HttpResponse, Problem> {
    let id = ticket.into_inner();
    caller.may_at(Scope::Book, id.slot().museum())?;
    let code = Issued::find(&node, &caller, id).await?.code(&node)?;
    Ok(HttpResponse::Ok().content_type("image/png").body(drawn(move || qr_png(&code, MODULE_PX)).await?))
}

/// A ticket to print, A4.
#[utoipa::path(
    tag = "Tickets", operation_id = "get_ticket_pdf", security(("key" = ["book"])),
    params(("ticket" = String, Path, description = "The ticket")),
    responses((status = 200, description = "The ticket", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/tickets/{ticket}/pdf")]
pub async fn pdf(node: web::Data<Node>, caller: Caller, ticket: web::Path<TicketId>) -> Result<HttpResponse, Problem> {
    let id = ticket.into_inner();
    caller.may_at(Scope::Book, id.slot().museum())?;
    let known = node.museums().get(id.slot().museum()).ok_or_else(Problem::not_found)?;
    let printed = Issued::find(&node, &caller, id).await?.printed(&node, &known).await?;
    Ok(document(&id.to_string(), drawn(move || tickets_pdf(&[printed])).await?))
}

/// Where to begin.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PdfQuery {
    /// The number of the first ticket, from 0.
    #[serde(default)]
    from: u16,
}

impl PdfQuery {
    /// The number of the first ticket.
    #[must_use]
    pub const fn from(&self) -> u16 {
        self.from
    }
}

/// A sale's tickets to print, A4, two to a sheet.
///
/// Those that still stand, at most 60 in one file; if there are more, the header `Link` names the next file (`rel="next"`).
#[utoipa::path(
    tag = "Tickets", operation_id = "get_sale_pdf", security(("key" = ["book"])),
    params(("sale" = String, Path, description = "The sale"), PdfQuery),
    responses((status = 200, description = "The tickets", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/sales/{sale}/tickets.pdf")]
pub async fn of_sale_pdf(
    node: web::Data<Node>,
    caller: Caller,
    sale: web::Path<HoldId>,
    query: web::Query<PdfQuery>,
) -> Result<HttpResponse, Problem> {
    let (id, from) = (sale.into_inner(), query.from);
    caller.may_at(Scope::Book, id.slot().museum())?;
    let known = node.museums().get(id.slot().museum()).ok_or_else(Problem::not_found)?;
    let mut issued = seen(&node, &caller, id, move |slot, sale| Issued::standing(slot.opening(), sale, id, from)).await?;
    let next = issued.get(TICKETS_MAX).map(|next| format!("</v1/sales/{id}/tickets.pdf?from={}>; rel=\"next\"", next.id.number()));
    issued.truncate(TICKETS_MAX);
    if issued.is_empty() {
        // Nothing is left to print: the first ticket says why.
        let why = Issued::find(&node, &caller, id.ticket(from)).await?.code(&node).err();
        return Err(why.unwrap_or_else(|| Refusal::TicketCancelled.into()));
    }
    let mut printed = Vec::with_capacity(issued.len());
    for issued in &issued {
        printed.push(issued.printed(&node, &known).await?);
    }
    let mut response = document(&id.to_string(), drawn(move || tickets_pdf(&printed)).await?);
    if let Some(link) = next.and_then(|link| header::HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Which tickets of a slot to list.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TicketsQuery {
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<TicketId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A ticket in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TicketItem {
    /// Its id.
    ticket: String,
    /// Its sale.
    sale: String,
    /// Its category.
    category: String,
    /// `valid`, `blocked`, `inside`, `outside`, `cancelled`, `moving` or `moved`.
    state: String,
    /// When that began (RFC 3339, UTC).
    changed_at: String,
}

impl From<TicketRow> for TicketItem {
    fn from(row: TicketRow) -> Self {
        Self { ticket: row.ticket, sale: row.sale, category: row.category, state: row.state, changed_at: row.changed_at.to_string() }
    }
}

/// A page of tickets.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TicketPage {
    /// The tickets, in the order of their ids.
    items: Vec<TicketItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List the tickets of a slot.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far.
#[utoipa::path(
    tag = "Tickets", operation_id = "list_slot_tickets", security(("key" = ["desk"])),
    params(("slot" = String, Path, description = "The slot"), TicketsQuery),
    responses((status = 200, description = "A page of tickets", body = TicketPage), crate::openapi::Problems),
)]
#[get("/slots/{slot}/tickets", wrap = "Compress::default()")]
pub async fn of_slot(
    node: web::Data<Node>,
    caller: Caller,
    slot: web::Path<SlotId>,
    query: web::Query<TicketsQuery>,
) -> Result<HttpResponse, Problem> {
    let slot = slot.into_inner();
    caller.may_at(Scope::Desk, slot.museum())?;
    let (size, views) = (page_size(query.limit)?, &files(&node)?.views);
    let after = query.cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
    let as_of_batch = views.as_of_batch();
    let (rows, next_cursor) = page(views.tickets(slot, &after, size + 1).await?, size, |row| row.ticket.clone());
    Ok(HttpResponse::Ok().json(TicketPage { items: rows.into_iter().map(TicketItem::from).collect(), next_cursor, as_of_batch }))
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketKeyView {
    /// Its number, which every code that it signed carries.
    key_id: u32,
    /// The 32 bytes of the public key (RFC 8032), in lower-case hexadecimal.
    #[schema(min_length = 64, max_length = 64)]
    public_key: String,
    /// `Ed25519`.
    #[schema(max_length = 16)]
    algorithm: String,
    /// It is good for tickets that may enter from then on (RFC 3339, UTC).
    valid_from: String,
    /// It is good for tickets that may enter until then at the latest (RFC 3339, UTC).
    valid_until: String,
}

impl From<PublicKey> for TicketKeyView {
    fn from(key: PublicKey) -> Self {
        Self {
            key_id: key.id,
            public_key: Hex(key.bytes).to_string(),
            algorithm: "Ed25519".to_owned(),
            valid_from: key.from.to_string(),
            valid_until: key.until.to_string(),
        }
    }
}

impl TicketKeyView {
    /// The key itself, if it can be read.
    #[must_use]
    pub fn public(&self) -> Option<PublicKey> {
        if self.algorithm != "Ed25519" {
            return None;
        }
        let Hex(bytes) = self.public_key.parse::<Hex<[u8; 32]>>().ok()?;
        Some(PublicKey { id: self.key_id, bytes, from: self.valid_from.parse().ok()?, until: self.valid_until.parse().ok()? })
    }
}

/// The public keys.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TicketKeysView {
    /// The keys, oldest first.
    items: Vec<TicketKeyView>,
}

/// The keys that verify ticket codes.
///
/// Gates keep them, so that they can verify codes without a network; ask once a day. A code is `TN1.` and 96 bytes in upper-case Crockford base 32 (154
/// characters, the last two bits zero). The bytes, numbers big-endian: version (u8, 1), key id (u32), ticket id (u128), issue (u16), what to check
/// (u8), valid from and valid until (u32 each, whole minutes since 1970 UTC, the second not included), then 64 bytes of Ed25519 signature. It signs the 24 bytes
/// `tornello ticket code v1\0` and the 32 bytes before it. A code is good if the key is known and its times lie within those of the key. The number of the
/// slot is the first 64 bits of the ticket id, the museum's the first 16. Whether a ticket was cancelled, blocked or used is not in the code.
#[utoipa::path(
    tag = "Tickets", operation_id = "list_ticket_keys", security(()),
    responses((status = 200, description = "The keys", body = TicketKeysView), crate::openapi::Problems),
)]
#[get("/ticket-keys")]
pub async fn keys(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let items = files(&node)?.codes.public_keys().into_iter().map(TicketKeyView::from).collect();
    Ok(HttpResponse::Ok().json(TicketKeysView { items }))
}
