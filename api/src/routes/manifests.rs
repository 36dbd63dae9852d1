//! What a gate takes along when it has no network: the slots of some days with their tickets, and the keys that verify codes. Nothing in it is about a person.
//!
//! The same form is written here and read by `tornello gate`; what a gate does with it is `engine::offline`.

use std::iter::successors;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, get, web};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::availability::{self, Asked};
use tornello_actors::digest::digest;
use tornello_actors::museums::Known;
use tornello_actors::node::{FORGET_AFTER_S, Node};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, MuseumId, SlotId, TicketId};
use tornello_engine::offline::{Listed, Listing, OfflineGate};
use tornello_engine::slot::verdict::Window;
use tornello_engine::slot::{Reentry, Ticket, TicketState};
use tornello_engine::tariff::Proof;
use tornello_engine::ticket::{KeyError, Keyring, PublicKey};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::revisions::has;
use crate::routes::tickets::TicketKeyView;
use crate::routes::{days_of, files, museum_of};
use crate::words::ProofWord;

/// The version of the form: a gate that does not know it refuses the whole manifest.
const FORMAT: u32 = 1;
/// The most days of one manifest.
const DAYS_MAX: i32 = 7;
/// Slots that began so many days before it at most may be in it, as people may come back by them.
const DAYS_BACK_MAX: i32 = 7;
/// Slots that begin so many days after it at most may be in it, as gates may open for them days before.
const DAYS_AHEAD_MAX: i32 = 7;

/// Which days.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// The first day, in Rome; absent: today.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-16")]
    from: Option<Date>,
    /// The last day, in Rome, at most 7 days in all; absent: the first.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-16")]
    to: Option<Date>,
}

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateView {
    /// Not used yet.
    #[default]
    Valid,
    /// Its holder is inside.
    Inside,
    /// Its holder has left.
    Outside,
    /// It counts no more.
    Cancelled,
    /// On its way to another slot.
    Moving,
    /// It has become a ticket of another slot.
    Moved,
}

/// A ticket. What is usual is left out: the first issue, `valid`, no proof, not blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestTicket {
    /// Its id.
    #[schema(value_type = String, max_length = 26)]
    ticket: TicketId,
    /// The issue that counts; absent: 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    issue: u16,
    /// Its category.
    #[schema(value_type = String, max_length = 23, examples("full"))]
    category: Code,
    /// What the gate has to look at; absent: nothing.
    #[serde(default, skip_serializing_if = "is_usual")]
    #[schema(value_type = Option<ProofWord>)]
    proof: Proof,
    /// What became of it; absent: `valid`.
    #[serde(default, skip_serializing_if = "is_usual")]
    state: StateView,
    /// Since when (RFC 3339, UTC); of tickets that are `inside` or `outside`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    since: Option<String>,
    /// When it was first let in (RFC 3339, UTC); of tickets that are `inside` or `outside`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    first_at: Option<String>,
    /// How many times it was let in; absent: 0.
    #[serde(default, skip_serializing_if = "is_usual")]
    entries: u8,
    /// Why it is blocked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    blocked: Option<Code>,
    /// Before then it lets nobody in, as its sale is being looked at (RFC 3339, UTC); absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    review_until: Option<String>,
}

const fn first() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_first(issue: &u16) -> bool {
    *issue == 1
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Listed> for ManifestTicket {
    fn from(listed: Listed) -> Self {
        let Listed { id, ticket: Ticket { issue, state, blocked, review_until }, category, proof } = listed;
        let (state, since, first_at, entries) = match state {
            TicketState::Valid => (StateView::Valid, None, None, 0),
            TicketState::Inside { first_at, since, entries } => (StateView::Inside, Some(since), Some(first_at), entries),
            TicketState::Outside { first_at, left_at, entries } => (StateView::Outside, Some(left_at), Some(first_at), entries),
            TicketState::Cancelled => (StateView::Cancelled, None, None, 0),
            TicketState::Moving => (StateView::Moving, None, None, 0),
            TicketState::Moved => (StateView::Moved, None, None, 0),
        };
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            ticket: id,
            issue,
            category,
            proof,
            state,
            since: text(since),
            first_at: text(first_at),
            entries,
            blocked,
            review_until: text(review_until),
        }
    }
}

impl ManifestTicket {
    fn listed(self) -> Result<Listed, BadManifest> {
        let at = |text: Option<String>| instant(&text.unwrap_or_default());
        let state = match self.state {
            StateView::Valid => TicketState::Valid,
            StateView::Inside => TicketState::Inside { first_at: at(self.first_at)?, since: at(self.since)?, entries: self.entries },
            StateView::Outside => TicketState::Outside { first_at: at(self.first_at)?, left_at: at(self.since)?, entries: self.entries },
            StateView::Cancelled => TicketState::Cancelled,
            StateView::Moving => TicketState::Moving,
            StateView::Moved => TicketState::Moved,
        };
        let review_until = self.review_until.as_deref().map(instant).transpose()?;
        let ticket = Ticket { issue: self.issue, state, blocked: self.blocked, review_until };
        Ok(Listed { id: self.ticket, ticket, category: self.category, proof: self.proof })
    }
}

/// A slot and its tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSlot {
    /// The slot.
    #[schema(value_type = String, max_length = 13)]
    slot: SlotId,
    /// When the gate opens for it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    gate_opens_at: String,
    /// Until when the gate lets its tickets in for the first time (RFC 3339, UTC).
    #[schema(format = DateTime)]
    gate_closes_at: String,
    /// How many times somebody who left may come back.
    reentry_times_max: u8,
    /// For how many seconds after the first admission.
    reentry_within_s: u32,
    /// All its tickets, also those that are cancelled, in the order of their ids.
    #[schema(max_items = 100_000)]
    tickets: Vec<ManifestTicket>,
}

impl From<Listing> for ManifestSlot {
    fn from(listing: Listing) -> Self {
        let Listing { slot, window: Window { opens_at, closes_at, reentry }, tickets } = listing;
        Self {
            slot,
            gate_opens_at: opens_at.to_string(),
            gate_closes_at: closes_at.to_string(),
            reentry_times_max: reentry.times_max,
            reentry_within_s: reentry.within_s,
            tickets: tickets.into_iter().map(ManifestTicket::from).collect(),
        }
    }
}

impl ManifestSlot {
    fn listing(self) -> Result<Listing, BadManifest> {
        let reentry = Reentry { times_max: self.reentry_times_max, within_s: self.reentry_within_s };
        let window = Window { opens_at: instant(&self.gate_opens_at)?, closes_at: instant(&self.gate_closes_at)?, reentry };
        let tickets = self.tickets.into_iter().map(ManifestTicket::listed).collect::<Result<_, _>>()?;
        Ok(Listing { slot: self.slot, window, tickets })
    }
}

/// What a gate needs to work without a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form: 1. A gate that does not know the version must not use it.
    pub format: u32,
    /// The museum's number.
    pub museum: u16,
    /// The first day, in Rome.
    #[schema(value_type = String, format = Date)]
    pub from: Date,
    /// The last day, in Rome.
    #[schema(value_type = String, format = Date)]
    pub to: Date,
    /// When it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub made_at: String,
    /// The journal's batch up to which it is complete at least.
    pub as_of_batch: u64,
    /// The keys that verify codes.
    #[schema(max_items = 1_000)]
    pub keys: Vec<TicketKeyView>,
    /// Every slot of the museum that lets anybody in on these days, also those that nobody has bought from yet.
    #[schema(max_items = 10_000)]
    pub slots: Vec<ManifestSlot>,
}

/// A manifest that a gate cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// Another program wrote it.
    #[error("the manifest has format {0}, this program knows format {FORMAT}: update the gate")]
    Format(u32),
    /// Something in it is no instant.
    #[error("the manifest says {0:?} where an RFC 3339 instant is expected")]
    Instant(String),
    /// Something in it is no key.
    #[error("the manifest has a key that cannot be read")]
    KeyText,
    /// The keys cannot be a keyring.
    #[error("the manifest's keys cannot be used: {0}")]
    Keys(#[from] KeyError),
}

impl Manifest {
    /// The gate that works by this manifest.
    ///
    /// # Errors
    /// If the format is unknown, or something in it cannot be read.
    pub fn gate(self) -> Result<OfflineGate, BadManifest> {
        if self.format != FORMAT {
            return Err(BadManifest::Format(self.format));
        }
        let keys = self.keys.iter().map(|key| key.public().ok_or(BadManifest::KeyText)).collect::<Result<Vec<PublicKey>, _>>()?;
        let list = self.slots.into_iter().map(ManifestSlot::listing).collect::<Result<Vec<_>, _>>()?;
        Ok(OfflineGate::new(MuseumId(self.museum), Keyring::new(keys)?, list))
    }
}

fn instant(text: &str) -> Result<Timestamp, BadManifest> {
    text.parse().map_err(|_| BadManifest::Instant(text.to_owned()))
}

/// The first and the last day on which slots start that let anybody in within some days, from when they begin to when they end. A night may go on into the first day; where people
/// may come back for days, tickets of the days before let in as well, and where gates open days before, those of the days after.
fn days_letting_in(node: &Node, known: &Known, (from, to): (Date, Date), (begin, end): (Timestamp, Timestamp)) -> (Date, Date) {
    let (eve, after) = (from.yesterday().unwrap_or(from), to.tomorrow().unwrap_or(to));
    let heads = node.board().heads_of(known.museum.id());
    let windows = || heads.iter().map(|(slot, head)| (slot.start(), Window::planned(*slot, head.end, &head.policy)));
    let first = windows().filter(|(_, window)| window.over_at() >= begin).map(|(start, _)| calendar::local_day(start)).min();
    let last = windows().filter(|(_, window)| window.opens_at < end).map(|(start, _)| start).max().map(calendar::local_day);
    // What ended days ago has left the board, and lets in by its plan all the same.
    let furthest = from.saturating_sub(DAYS_BACK_MAX.days());
    let lets_in = |day: &Date| known.day(*day).iter().any(|opening| Window::of(opening).over_at() >= begin);
    let planned = successors(Some(furthest), |day| day.tomorrow().ok()).take_while(|day| *day < eve).find(lets_in);
    let first = first.into_iter().chain(planned).fold(eve, Date::min).max(furthest);
    let farthest = to.saturating_add(DAYS_AHEAD_MAX.days());
    let opens = |day: &Date| known.day(*day).iter().any(|opening| Window::of(opening).opens_at < end);
    let planned = successors(Some(farthest), |day| day.yesterday().ok()).take_while(|day| *day > after).find(opens);
    let last = last.into_iter().chain(planned).fold(after, Date::max).min(farthest.max(after));
    (first, last)
}

/// The slots that let anybody in from the first day's begin to the last one's end. One owner at a time is asked for its tickets, and only of slots that somebody
/// has bought from.
async fn slots(node: &Node, known: &Known, from: Date, to: Date) -> Result<Vec<Listing>, Problem> {
    let day = |date: Date| calendar::instant(date.at(0, 0, 0, 0));
    let (begin, end) = (day(from), day(to.tomorrow().unwrap_or(to)));
    let (first, last) = days_letting_in(node, known, (from, to), (begin, end));
    let forgotten_by = node.now().plus_seconds(-FORGET_AFTER_S);
    let asked = Asked { from: first, to: last, route: None, channel: Channel::BoxOffice, now: node.now() };
    let planned = availability::of_museum(known, node.board(), asked);
    let mut slots = Vec::new();
    for seen in planned {
        let window = Window::planned(seen.slot, seen.end, &seen.policy);
        if window.opens_at >= end || window.over_at() < begin {
            continue;
        }
        slots.push(match seen.changed_at {
            Some(_) => node.look(seen.slot, Listing::of).await?,
            None if seen.end <= forgotten_by => node.look(seen.slot, Listing::of).await?,
            None => Listing { slot: seen.slot, window, tickets: Vec::new() },
        });
    }
    Ok(slots)
}

/// What a gate takes along.
///
/// Everything that a gate needs to let people in without a network, for some days (at most 7; absent: today): every slot that lets anybody in then, with all its
/// tickets (where people may come back for longer than a week, none that began more than a week before; where gates open more than a week before, none that begins later than
/// that), and the keys that verify codes. A code of a ticket that is not in it was sold later, or is of another museum: its signature and its times speak for it. Ask now and then with
/// `If-None-Match`: 304 if neither tickets nor keys have changed. Nothing in it is about a person. `tornello gate` works by it; what it has let in is sent to `/v1/admissions/batch`.
#[utoipa::path(
    tag = "Gates", operation_id = "get_manifest", security(("key" = ["gate"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Span,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the manifest that the gate has")),
    responses((status = 200, description = "The manifest", body = Manifest,
        headers(("ETag" = String, description = "What is in it, but for when it was made"), ("Cache-Control" = String, description = "`private, no-cache`: ask whether it has changed"))),
        (status = 304, description = "Nothing has changed"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/manifest")]
pub async fn get(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    span: web::Query<Span>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Gate, &museum)?;
    let (from, to) = days_of(node.now(), span.from, span.to, DAYS_MAX)?;
    // What is looked at from here on is at least so new.
    let (made_at, as_of_batch) = (node.now().to_string(), node.head().number);
    let keys = files(&node)?.codes.public_keys().into_iter().map(TicketKeyView::from).collect();
    let list = slots(&node, &known, from, to).await?;
    let museum = known.museum.id().0;
    let written = web::block(move || {
        let slots: Vec<ManifestSlot> = list.into_iter().map(ManifestSlot::from).collect();
        let manifest = Manifest { format: FORMAT, museum, from, to, made_at, as_of_batch, keys, slots };
        let body = serde_json::to_vec(&manifest)?;
        let content = serde_json::to_vec(&(manifest.format, museum, from, to, &manifest.keys, &manifest.slots))?;
        Ok::<_, serde_json::Error>((body, format!("W/\"{:032x}\"", { digest(&[&content]).0 })))
    });
    let written = written.await.ok().and_then(Result::ok).and_then(|(body, tag)| Some((body, HeaderValue::try_from(tag).ok()?)));
    let (body, tag) = written.ok_or_else(|| Problem::unavailable("the manifest could not be made"))?;
    let unchanged = has(request.headers(), &tag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "private, no-cache"));
    Ok(if unchanged { response.finish() } else { response.content_type("application/json").body(body) })
}
