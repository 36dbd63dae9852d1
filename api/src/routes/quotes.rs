//! Quotes of the group office. Here is looked up what a quote must be told: prices of the tariff, slots for a day and a time, who acts for whom. What a visit costs and
//! what may be done to a quote is decided in `engine::quote`; what follows from it is driven in `actors::quotes`. `view` is what a quote looks like, `lists` are its
//! lists, `options` those that keep others out, `files` its documents.

pub mod files;
pub mod lists;
pub mod options;
mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, put, web};
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use tornello_actors::availability::{self, SlotAvailability, Status as Bookable, of_slot, starting_on};
use tornello_actors::failure::Failure;
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::quotes::{self, Refusal};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, QuoteId, RouteId, SlotId};
use tornello_engine::institution::{BodyCode, Institution};
use tornello_engine::money::Cents;
use tornello_engine::quote::pricing::price;
use tornello_engine::quote::{self, About, Asked, CancelCause, Command, Extra, Kind, Quote, Settle, Status};
use tornello_engine::recall::Recall;
use tornello_engine::slot::{self, Line, people as people_of, sale_ends_at, sale_opens_at};

use crate::auth::{Caller, Scope};
use crate::problem::{self, Problem};
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::holds::LineForm;
use crate::routes::payments::{Connected, creditor_of_museum, has_payment_pages, no_payment_pages, not_connected};
use crate::routes::people::{self, ContactForm};
use crate::routes::readings::MuseumName;
use crate::routes::{alternatives, created, museum_of, not_rebuilt};
use crate::words::{GroupKindWord, SettleWord};
use view::{QuoteView, view, view_after};

/// The most sales that are followed to where their tickets have moved.
const MOVES_MAX: usize = 256;

/// Something beside tickets that a group wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraForm {
    /// Its short name: one of the museum's rules for groups, which have its price, or any other with a price of the office's.
    #[schema(value_type = String, max_length = 23, examples("guided-tour"))]
    pub code: Code,
    /// How many.
    #[schema(minimum = 1, maximum = 2000)]
    pub count: u32,
    /// For each, in euro cents: from the office only, and only for what the rules do not price.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub price_cents: Option<i64>,
}

/// Who wants to come when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitForm {
    /// A slot for each part that the group is split into, all on one day; empty: those from `time` on that have the places.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 40, examples(json!(["0009000102r4e"])))]
    pub slots: Vec<SlotId>,
    /// The day in Rome, instead of slots.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[schema(value_type = Option<String>, format = Date, examples("2027-03-18"))]
    pub day: Option<Date>,
    /// From which time of that day on.
    #[serde(default, deserialize_with = "crate::strict::time_if")]
    #[schema(value_type = Option<String>, max_length = 8, examples("10:00"))]
    pub time: Option<Time>,
    /// On which route, by its code; absent: the first of the plan.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 23, examples("main"))]
    pub route: Option<Code>,
    /// The members of the group by categories of the tariff, each once.
    #[schema(min_items = 1, max_items = 15)]
    pub lines: Vec<LineForm>,
    /// Who comes with them, free by the museum's rules.
    #[serde(default)]
    #[schema(maximum = 2000, examples(2))]
    pub escorts: u16,
    /// What they want beside what they have to take.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub extras: Vec<ExtraForm>,
}

/// Who a group comes from, by codes that are checked: no personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InstitutionForm {
    /// Its fiscal code: 11 digits, the last a check digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 11, examples("80213750583"))]
    pub fiscal_code: Option<String>,
    /// Its VAT number, often the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 11)]
    pub vat: Option<String>,
    /// Its code in the index of public administrations (IPA).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 23, examples("istsc_rmis00100x"))]
    pub ipa: Option<String>,
}

impl InstitutionForm {
    /// What it says, checked.
    pub fn parse(&self) -> Result<Institution, Problem> {
        let body = |name: &str, text: &Option<String>| -> Result<Option<BodyCode>, Problem> {
            let parsed = text.as_deref().map(|text| text.trim().parse::<BodyCode>()).transpose();
            parsed.map_err(|error| Problem::invalid(format!("institution.{name}: {error}")))
        };
        let ipa = self.ipa.as_deref().map(|ipa| ipa.trim().to_ascii_lowercase().parse()).transpose();
        Ok(Institution {
            fiscal_code: body("fiscal_code", &self.fiscal_code)?,
            vat: body("vat", &self.vat)?,
            ipa: ipa.map_err(|error| Problem::invalid(format!("institution.ipa: {error}")))?,
        })
    }

    /// For people.
    #[must_use]
    pub fn of(institution: &Institution) -> Self {
        let Institution { fiscal_code, vat, ipa } = institution;
        Self { fiscal_code: fiscal_code.map(|code| code.to_string()), vat: vat.map(|code| code.to_string()), ipa: ipa.map(|ipa| ipa.to_string()) }
    }
}

/// A group that asks for a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteForm {
    /// Where they want to go: slug or number of the museum.
    pub museum: MuseumName,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    #[schema(value_type = GroupKindWord)]
    pub kind: Kind,
    /// Who wants to come when.
    pub visit: VisitForm,
    /// Who they are; absent: those of the account.
    #[serde(default)]
    pub institution: InstitutionForm,
    /// Whom to write to: kept apart, encrypted, until 90 days after the visit.
    #[serde(default)]
    pub contact: Option<ContactForm>,
    /// The operator's account that it is for; an operator's own if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 23)]
    pub account: Option<Code>,
}

/// A quote that the caller may see: an operator sees its own.
pub async fn seen(node: &Node, caller: &Caller, scope: Scope, id: QuoteId) -> Result<Quote, Problem> {
    caller.may(scope)?;
    let (owner, key) = (caller.acts_for()?, caller.0.clone());
    let is_seen = move |about: &About| key.museums.allows(about.museum) && owner.is_none_or(|owner| about.account == Some(owner));
    match node.look_quote(id, move |quote| quote.about().is_some_and(&is_seen).then(|| quote.clone())).await {
        Ok(found) => found.ok_or_else(Problem::not_found),
        Err(Failure::Refused(_)) => Err(Problem::not_found()),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether a quote is for the account that the caller acts for.
pub async fn is_for(node: &Node, caller: &Caller, id: QuoteId) -> Result<bool, Problem> {
    let Some(own) = caller.acts_for()? else { return Ok(false) };
    match node.look_quote(id, move |quote| quote.about().is_some_and(|about| about.account == Some(own))).await {
        Ok(is_own) => Ok(is_own),
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// The sale of a part, and all to which its tickets have moved since, in the order in which they did.
pub async fn with_moved(node: &Node, sale: HoldId) -> Result<Vec<HoldId>, Problem> {
    let (mut sales, mut at) = (vec![sale], 0);
    while let Some(&sale) = sales.get(at).filter(|_| at < MOVES_MAX) {
        let arrivals = |sale: &slot::Sale| sale.moves.iter().filter(|moved| moved.is_done()).map(|moved| moved.begun.arrival).collect::<Vec<_>>();
        sales.extend(node.look(sale.slot(), move |slot| slot.sale_of(sale).map(arrivals)).await?.unwrap_or_default());
        at += 1;
    }
    Ok(sales)
}

/// What a caller is told when a quote's flow says no.
fn refused(node: &Node, failure: Failure<Refusal>) -> Problem {
    failure
        .map::<Problem>(|refusal| match refusal {
            Refusal::Quote(why) => why.into(),
            Refusal::UnknownMuseum => Problem::not_found(),
            Refusal::Slot { slot, why: slot::Refusal::UnknownSlot } => Problem::not_found().with("slot", slot),
            Refusal::Slot { slot, why } => alternatives(node, slot, Channel::Group, Failure::Refused(why)).with("slot", slot),
            Refusal::Account(why) => why.into(),
            Refusal::Settlement { why } => problem::of_code(why.as_str()).unwrap_or_else(|| {
                Problem::new(StatusCode::CONFLICT, "settlement_refused", "the quote could not be settled like that")
                    .detail("`reason` says why. The quote stands as it was sent: accept it with another way to pay.")
                    .with("reason", why)
            }),
        })
        .into()
}

/// What a caller is told of a step of a quote's flow: the quote as it is after it, or why the flow says no.
async fn after(
    node: &Node,
    connected: &Connected,
    caller: &Caller,
    (id, by): (QuoteId, Envelope),
    step: impl Future<Output = quotes::Step<()>>,
) -> Result<HttpResponse, Problem> {
    let key = by.clone();
    let is_new = node.look_quote(id, move |quote| quote.recall(&key) == Recall::New).await?;
    step.await.map_err(|failure| refused(node, failure))?;
    let told = if is_new { view(node, connected, caller, id).await? } else { told(node, connected, caller, (id, by)).await? };
    Ok(HttpResponse::Ok().json(told))
}

/// The quote right after what this key did to it, whatever has become of it since: `GET` says that.
async fn told(node: &Node, connected: &Connected, caller: &Caller, (id, by): (QuoteId, Envelope)) -> Result<QuoteView, Problem> {
    match node.look_quote(id, move |quote| quote.recall(&by)).await? {
        Recall::Done { seq } => view_after(node, connected, caller, id, seq).await,
        Recall::New | Recall::OtherBody => Err(not_rebuilt()),
    }
}

/// Places that a quote keeps already, which its revision has to itself.
type Kept = Vec<(SlotId, u32)>;

fn kept_by(quote: &Quote) -> Kept {
    let parts = quote.options_in_force().map(|asked| &asked.offer.parts).into_iter().flatten();
    parts.map(|part| (part.slot, people_of(&part.lines))).collect()
}

/// What somebody wants, at the prices of the tariff, with a slot for each part.
fn asked(node: &Node, caller: &Caller, known: &Known, kind: Kind, form: &VisitForm, kept: &Kept) -> Result<Asked, Problem> {
    let day = match (form.slots.first(), form.day) {
        (Some(first), None) if form.time.is_none() && form.route.is_none() => calendar::local_day(first.start()),
        (None, Some(day)) => day,
        _ => return Err(Problem::invalid("visit: either slots, or a day (with a time and a route if you like), are expected")),
    };
    if form.slots.iter().any(|slot| slot.museum() != known.museum.id()) {
        return Err(quote::Refusal::BadSlots.into());
    }
    not_over(node, known, form, day)?;
    let (_, tariff) =
        known.museum.tariff_on(day).ok_or_else(|| Problem::not_found().detail("The museum has no tariff for that day: a manager sets it first."))?;
    let (_, policy) = known.museum.group_policy_on(day);
    let line = |form: &LineForm| {
        let price = tariff.quote(day, Channel::Group, form.category).map_err(|error| Problem::from(error).with("category", form.category))?;
        Ok(Line { category: form.category, count: form.count, price_cents: price.total(), proof: price.proof })
    };
    let extra = |form: &ExtraForm| {
        let ruled = policy.extras.iter().find(|extra| extra.code == form.code);
        let price_cents = match (ruled, form.price_cents) {
            (Some(ruled), None) => ruled.price,
            (None, Some(cents)) if caller.acts_for()?.is_none() => Cents::new(cents),
            _ => {
                let problem =
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "extra_not_priced", "the extra has no price, or one that is not yours to set");
                return Err(problem
                    .detail("Name an extra of the museum's rules for groups without a price; others are for the office to price.")
                    .with("extra", form.code));
            }
        };
        Ok(Extra { code: form.code, count: form.count, price_cents, free: 0 })
    };
    let mut asked = Asked {
        slots: form.slots.clone(),
        members: form.lines.iter().map(line).collect::<Result<_, Problem>>()?,
        escorts: form.escorts,
        extras: form.extras.iter().map(extra).collect::<Result<_, Problem>>()?,
    };
    if asked.slots.is_empty() {
        asked.slots = slots_from(node, known, kind, (day, form), &asked, kept)?;
    }
    Ok(asked)
}

/// Whether the day of a visit, or each slot that is named for it, is still to come or runs: what is over has no price and no places.
fn not_over(node: &Node, known: &Known, form: &VisitForm, day: Date) -> Result<(), Problem> {
    let over = |ended_at| Problem::from(slot::Refusal::SlotOver { ended_at });
    for &named in &form.slots {
        let end = seen_slot(node, known, named).map(|seen| seen.end);
        if let Some(ended_at) = end.filter(|end| *end <= node.now()) {
            return Err(over(ended_at).with("slot", named));
        }
    }
    match day.tomorrow().map(|next| calendar::instant(next.to_datetime(Time::midnight()))) {
        Ok(ended_at) if ended_at <= node.now() => Err(over(ended_at)),
        _ => Ok(()),
    }
}

/// Why a day has no slots for anybody yet, or any more.
fn closed_day(on_day: &[&SlotAvailability]) -> Option<slot::Refusal> {
    let not_open = on_day.iter().filter(|seen| matches!(seen.status, Bookable::NotOpen));
    if let Some(opens_at) = not_open.map(|seen| sale_opens_at(seen.slot, &seen.policy)).min() {
        return Some(slot::Refusal::SaleNotOpen { opens_at });
    }
    let is_over = on_day.iter().all(|seen| matches!(seen.status, Bookable::Over));
    let closed_at = on_day.iter().map(|seen| sale_ends_at(seen.slot, seen.end, &seen.policy, Channel::Group)).max();
    closed_at.filter(|_| is_over).map(|closed_at| slot::Refusal::SaleOver { closed_at })
}

/// A slot as it was opened, or as it is planned.
fn seen_slot(node: &Node, known: &Known, slot: SlotId) -> Option<SlotAvailability> {
    of_slot(known, node.board(), slot, Channel::Group, node.now())
}

/// The most people whom each of some slots takes in one hold.
fn party_max(node: &Node, known: &Known, slots: &[SlotId]) -> u16 {
    slots.iter().filter_map(|slot| seen_slot(node, known, *slot)).map(|seen| seen.policy.party_max).min().unwrap_or(u16::MAX)
}

/// The first slots of a day, from a time on, that have the places of a part each.
fn slots_from(node: &Node, known: &Known, kind: Kind, (day, form): (Date, &VisitForm), asked: &Asked, kept: &Kept) -> Result<Vec<SlotId>, Problem> {
    let museum = known.museum.id();
    let (_, plan) =
        known.museum.plan_on(day).ok_or_else(|| Problem::not_found().detail("The museum has no plan for that day: a manager sets it first."))?;
    let route = plan.routes.iter().find(|route| form.route.is_none_or(|code| code == route.code)).map(|route| route.id);
    let route: RouteId = route
        .ok_or_else(|| Problem::not_found().detail("visit.route: the museum has no such route on that day. Its plan has those that there are."))?;
    let from = calendar::instant(day.to_datetime(form.time.unwrap_or(Time::midnight())));
    let on_that_day = availability::Asked { from: day, to: day, route: Some(route), channel: Channel::Group, now: node.now() };
    let open = starting_on(known, node.board(), on_that_day);
    // How many parts there are the price itself knows: it is asked for one.
    let (_, policy) = known.museum.group_policy_on(day);
    let any = SlotId::new(museum, route, from);
    let at_most = party_max(node, known, &open.iter().filter(|seen| seen.slot.start() >= from).map(|seen| seen.slot).collect::<Vec<_>>());
    let parts = match price(&policy, kind, &Asked { slots: vec![any], ..asked.clone() }, 0, at_most) {
        Ok(_) => 1,
        Err(quote::Refusal::WrongNumberOfSlots { parts }) => parts,
        Err(refusal) => return Err(refusal.into()),
    };
    let people = people_of(&asked.members) + u32::from(asked.escorts);
    let has_places = |seen: &SlotAvailability| {
        let own = kept.iter().find(|(slot, _)| *slot == seen.slot).map_or(0, |(_, people)| *people);
        let is_open = match seen.status {
            Bookable::Available | Bookable::Few => true,
            Bookable::Reserved | Bookable::SoldOut => own > 0,
            Bookable::Closed | Bookable::NotOpen | Bookable::Over => false,
        };
        is_open && seen.available + own >= people.div_ceil(parts.max(1))
    };
    let good = open.iter().filter(|seen| seen.slot.start() >= from && has_places(seen));
    let slots: Vec<SlotId> = good.take(parts as usize).map(|seen| seen.slot).collect();
    if slots.len() == parts as usize {
        return Ok(slots);
    }
    if let Some(why) = closed_day(&open.iter().filter(|seen| seen.slot.start() >= from).collect::<Vec<_>>()) {
        return Err(why.into());
    }
    Err(Problem::new(StatusCode::CONFLICT, "no_slots_for_group", "not enough slots have the places from that time on")
        .detail("The group goes round in `parts` parts: choose another time or day, or name the slots.")
        .with("parts", parts)
        .with("found", slots.len()))
}

/// Draft a quote.
///
/// Priced by the tariff of the day, the account's agreements and the museum's rules for groups; a group larger than the rules allow is split over several slots. A draft
/// keeps no places: send it for that.
#[utoipa::path(
    tag = "Quotes", operation_id = "draft_quote", security(("key" = ["quote"])),
    request_body(content = QuoteForm, example = json!({"museum": "parco-colosseo", "kind": "school",
        "visit": {"day": "2027-03-18", "time": "10:00", "lines": [{"category": "school-pupil", "count": 24}], "escorts": 2},
        "institution": {"fiscal_code": "80213750583"},
        "contact": {"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"}})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The draft", body = QuoteView), crate::openapi::Problems),
)]
#[post("/quotes")]
pub async fn draft(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    form: Json<QuoteForm>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Quote, &form.museum.text())?;
    let owner = caller.acts_for()?;
    let account = match (owner, form.account) {
        (Some(own), Some(other)) if own != other => return Err(tornello_engine::account::Refusal::UnknownAccount.into()),
        (own, named) => own.or(named),
    };
    let mut institution = form.institution.parse()?;
    if let Some(account) = account.filter(|_| institution.is_unknown()) {
        institution = node.look_account(account, |account| account.opened().map(|opened| opened.institution)).await?.unwrap_or_default();
    }
    let envelope = envelope(&node, &caller, &key, &["draft quote"], &*form, &[], None)?;
    // A repeat is answered with what was drafted, whatever slots and prices have become.
    let (id, is_new) = quotes::free_id(&node, &envelope).await.map_err(|failure| refused(&node, failure))?;
    if !is_new {
        let view = told(&node, &connected, &caller, (id, envelope)).await?;
        return created(format!("/v1/quotes/{id}"), &view);
    }
    let museum = known.museum.id();
    let asked = asked(&node, &caller, &known, form.kind, &form.visit, &Kept::new())?;
    // A contact is stored for what can be quoted.
    let day = asked.slots.first().map(|slot| calendar::local_day(slot.start())).unwrap_or_default();
    price(&known.museum.group_policy_on(day).1, form.kind, &asked, 0, party_max(&node, &known, &asked.slots))?;
    let until = quotes::contact_until(&node, &asked.slots);
    let drafted = async || -> Result<bool, Problem> { Ok(quotes::free_id(&node, &envelope).await.is_ok_and(|(_, is_new)| !is_new)) };
    let _turn = people::turn(&node, museum, &envelope, form.contact.is_some()).await?;
    let contact = people::keep_for(&node, museum, &envelope, form.contact.as_ref(), until, drafted).await?;
    let about = About { museum, kind: form.kind, contact, institution, account };
    let id = match quotes::draft(&node, envelope, about, asked).await {
        Ok(id) => id,
        Err(failure) => {
            if matches!(failure, Failure::Refused(_) | Failure::KeyReused) {
                people::drop_unsold(&node, contact).await?;
            }
            return Err(refused(&node, failure));
        }
    };
    let view = view(&node, &connected, &caller, id).await?;
    created(format!("/v1/quotes/{id}"), &view)
}

/// Revise a quote.
///
/// A draft is changed in place. Of one that was sent the places of the new revision are taken first, and only then are the old ones given back; if there are not
/// enough, the old revision stands. A part that stays in its slot keeps the places that it has, and needs only those that it has not. What was accepted must be
/// accepted anew.
#[utoipa::path(
    tag = "Quotes", operation_id = "revise_quote", security(("key" = ["quote"])),
    request_body(content = VisitForm, example = json!({"day": "2027-03-18", "time": "10:00", "lines": [{"category": "school-pupil", "count": 22}], "escorts": 2})),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The revision in force", body = QuoteView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[put("/quotes/{quote}")]
pub async fn revise(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
    form: Json<VisitForm>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let found = seen(&node, &caller, Scope::Quote, id).await?;
    let about = found.about().ok_or_else(Problem::not_found)?;
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let envelope = envelope(&node, &caller, &key, &["revise quote", &id.to_string()], &*form, &[], None)?;
    if quotes::revised_before(&node, id, &envelope).await.map_err(|failure| refused(&node, failure))? {
        return Ok(HttpResponse::Ok().json(told(&node, &connected, &caller, (id, envelope)).await?));
    }
    let asked = asked(&node, &caller, &known, about.kind, &form, &kept_by(&found))?;
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::revise(&node, id, envelope, caller.acts_for()?, asked)).await
}

/// Send a quote.
///
/// Its places are kept from now on, all or none, in the `group` quota of its slots, and its deadlines run.
#[utoipa::path(
    tag = "Quotes", operation_id = "send_quote", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is sent", body = QuoteView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/quotes/{quote}/send")]
pub async fn send(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    seen(&node, &caller, Scope::Quote, id).await?;
    let envelope = envelope(&node, &caller, &key, &["send quote", &id.to_string()], &(), &[], None)?;
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::send(&node, id, envelope, caller.acts_for()?)).await
}

/// What is accepted, and how it will be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptForm {
    /// The revision that was read, or stands on the signed form.
    #[schema(minimum = 1, examples(1))]
    pub revision: u32,
    /// `notice` (pagoPA), `checkout` (pagoPA's page), `desk` (for the kinds of group that the museum's rules name) or `on_account`. Of a visit that costs nothing it
    /// does not count.
    #[schema(value_type = SettleWord)]
    pub settle: Settle,
}

/// Accept a quote.
///
/// An operator accepts its own; the office notes the acceptance of a signed form: `acceptance` says who did it and how. Where the museum's rules ask for it the office has
/// to confirm before it counts. Then a notice is published, the account is charged, or the tickets are issued if nothing is due. If it cannot be settled like that, it
/// stands as it was sent.
#[utoipa::path(
    tag = "Quotes", operation_id = "accept_quote", security(("key" = ["quote"])),
    request_body(content = AcceptForm, example = json!({"revision": 1, "settle": "notice"})),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is accepted", body = QuoteView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/quotes/{quote}/accept")]
pub async fn accept(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
    form: Json<AcceptForm>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let found = seen(&node, &caller, Scope::Quote, id).await?;
    let (about, owner) = (found.about().ok_or_else(Problem::not_found)?, caller.acts_for()?);
    let envelope = envelope(&node, &caller, &key, &["accept quote", &id.to_string()], &*form, &[], None)?;
    let creditor = creditor_of_museum(&connected, about.museum);
    let is_due = found.status() == Status::Sent && found.offer().is_some_and(|offer| !offer.total_cents.is_zero());
    match form.settle {
        Settle::Notice | Settle::Checkout if is_due && creditor.is_none() => return Err(not_connected()),
        Settle::Checkout if is_due && !has_payment_pages(&connected) => return Err(no_payment_pages()),
        _ => {}
    }
    let AcceptForm { revision, settle } = form.into_inner();
    let creditor = creditor.map_or(0, |creditor| creditor.number);
    let command = Command::Accept { owner, revision, settle, creditor, by_office: owner.is_none() };
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::accept(&node, id, envelope, command)).await
}

/// Confirm an acceptance.
///
/// Where the museum's rules ask for it, what an operator has accepted counts only when the office has confirmed it.
#[utoipa::path(
    tag = "Quotes", operation_id = "confirm_quote", security(("key" = ["settle"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is confirmed", body = QuoteView), crate::openapi::Problems, crate::openapi::Ended),
)]
#[post("/quotes/{quote}/confirm")]
pub async fn confirm(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    seen(&node, &caller, Scope::Settle, id).await?;
    let envelope = envelope(&node, &caller, &key, &["confirm quote", &id.to_string()], &(), &[], None)?;
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::accept(&node, id, envelope, Command::Confirm)).await
}

/// Reopen an accepted quote.
///
/// It stands as it was sent, to be revised or paid on another way; its payment is withdrawn.
#[utoipa::path(
    tag = "Quotes", operation_id = "reopen_quote", security(("key" = ["settle"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It stands as it was sent", body = QuoteView), crate::openapi::Problems),
)]
#[post("/quotes/{quote}/reopen")]
pub async fn reopen(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    seen(&node, &caller, Scope::Settle, id).await?;
    let envelope = envelope(&node, &caller, &key, &["reopen quote", &id.to_string()], &(), &[], None)?;
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::ask(&node, id, envelope, Command::Reopen)).await
}

/// Refuse a quote.
///
/// The group does not want it: its places are free again.
#[utoipa::path(
    tag = "Quotes", operation_id = "refuse_quote", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is refused", body = QuoteView), crate::openapi::Problems),
)]
#[post("/quotes/{quote}/refuse")]
pub async fn refuse(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    seen(&node, &caller, Scope::Quote, id).await?;
    let envelope = envelope(&node, &caller, &key, &["refuse quote", &id.to_string()], &(), &[], None)?;
    let command = Command::Refuse { owner: caller.acts_for()? };
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::ask(&node, id, envelope, command)).await
}

/// Who takes a quote back. That there are no places any more is found by Tornello alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBackBy {
    /// The group.
    Group,
    /// The museum.
    Museum,
}

/// Why a quote is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelQuoteForm {
    /// `group`: it comes no more. `museum`: it cannot keep its word; for the office only.
    #[schema(value_type = String, pattern = "^(group|museum)$", examples("group"))]
    pub cause: TakenBackBy,
}

/// Cancel a quote.
///
/// Until it is paid: its places are free again, its payment is withdrawn. When it has tickets, the `museum` cancels all of it: every ticket that still stands, wherever it
/// has moved, and the fee and the extras; all of that is to go back as refunds of its payment, or is taken off its account. Tickets that were let in stay used. A `group`
/// that comes no more cancels its tickets, sale by sale, and the refund policy decides. If that was the museum's doing after all, a quote that is cancelled with its tickets is cancelled
/// again by the `museum`: fee and extras go back then; what the tickets cost, by `corrects` of each sale.
#[utoipa::path(
    tag = "Quotes", operation_id = "cancel_quote", security(("key" = ["quote"])),
    request_body(content = CancelQuoteForm, example = json!({"cause": "group"})),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is cancelled", body = QuoteView), crate::openapi::Problems),
)]
#[post("/quotes/{quote}/cancel")]
pub async fn cancel(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
    form: Json<CancelQuoteForm>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    seen(&node, &caller, Scope::Quote, id).await?;
    let cause = match form.cause {
        TakenBackBy::Group => CancelCause::Group,
        TakenBackBy::Museum => {
            caller.may(Scope::Settle)?;
            CancelCause::Museum
        }
    };
    let envelope = envelope(&node, &caller, &key, &["cancel quote", &id.to_string()], &*form, &[], None)?;
    let command = Command::Cancel { owner: caller.acts_for()?, cause };
    // What follows is resumed by itself if it cannot be done now.
    after(&node, &connected, &caller, (id, envelope.clone()), quotes::ask(&node, id, envelope, command)).await
}

/// Read a quote.
///
/// As it is now: who goes when, every price with where it comes from, deadlines, payment, and everything that happened to it.
#[utoipa::path(
    tag = "Quotes", operation_id = "get_quote", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote")),
    responses((status = 200, description = "The quote", body = QuoteView), crate::openapi::Problems),
)]
#[get("/quotes/{quote}")]
pub async fn read(node: web::Data<Node>, connected: Connected, caller: Caller, quote: web::Path<QuoteId>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, quote.into_inner()).await?))
}
