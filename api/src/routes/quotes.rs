//! Quotes of the group office. Here is looked up what a quote must be told: prices of the tariff, slots for a day and a time, who acts for whom. What a visit costs and
//! what may be done to a quote is decided in `engine::quote`; what follows from it is driven in `actors::quotes`. The documents of a quote are in `quote_files`.

use actix_web::http::StatusCode;
use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, post, put, web};
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use tornello_actors::availability::{Status as Bookable, of_museum};
use tornello_actors::failure::Failure;
use tornello_actors::journal::StreamId;
use tornello_actors::keys::{Key, Role};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::people::RETENTION_S;
use tornello_actors::quotes::{self, Refusal};
use tornello_actors::streams::records;
use tornello_actors::views::quotes::{
    QuoteFilter, QuoteRow, cause as cause_name, deadline as deadline_name, kind as kind_name, settle as settle_name,
};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, KeyId, PaymentId, QuoteId, RouteId, SlotId};
use tornello_engine::institution::{BodyCode, Institution};
use tornello_engine::money::Cents;
use tornello_engine::notice::Qr;
use tornello_engine::payment::Payment;
use tornello_engine::quote::pricing::price;
use tornello_engine::quote::{self, About, Asked, CancelCause, Command, Event, Extra, Kind, Offer, Part, Quote, Settle, Stage, Status, Work};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Line, people as people_of, total};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::{self, Problem};
use crate::request::{IdempotencyKey, envelope};
use crate::routes::holds::LineForm;
use crate::routes::payments::{Connected, csv_answer, museums, wants_csv};
use crate::routes::people::{self, ContactForm, PersonView};
use crate::routes::tickets::category_name;
use crate::routes::{alternatives, files, local, museum_of, page, page_size};

/// The most rows of an exported table.
const ROWS_MAX: u32 = 20_000;

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
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date, examples("2027-03-18"))]
    pub day: Option<Date>,
    /// From which time of that day on.
    #[serde(default)]
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
    #[schema(max_length = 23, examples("parco-colosseo"))]
    pub museum: String,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    #[schema(value_type = String, pattern = "^(school|tour_operator|company|association|other)$", examples("school"))]
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

/// How many people of one category, at which price and why.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotedLineView {
    /// The category.
    #[schema(value_type = String)]
    category: Code,
    /// Its name, in Italian.
    name_it: String,
    /// Its name, in English.
    name_en: String,
    /// How many people.
    count: u16,
    /// For each of them, in euro cents.
    price_cents: i64,
    /// For all of them, in euro cents.
    total_cents: i64,
    /// Where the price comes from: `tariff`, `free_day`, `agreement` (of the account), `escort` (free by the museum's rules), or `as_quoted` if the tariff has changed
    /// since.
    why: &'static str,
    /// What to show at the gate, in Italian; empty if the code is enough.
    proof_it: &'static str,
}

/// People who go round together.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PartView {
    /// The slot.
    slot: String,
    /// When it starts (RFC 3339, UTC).
    starts_at: String,
    /// When it starts, as the clocks in Rome show it.
    local_start: String,
    /// How many people, escorts included.
    people: u32,
    /// Who, at which prices.
    lines: Vec<QuotedLineView>,
    /// What they cost, in euro cents.
    total_cents: i64,
    /// The option that keeps the places, while one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<String>,
    /// The sale that it has become, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
}

/// A fee, or something else beside tickets.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotedExtraView {
    /// Its short name; `booking-fee` is the fee.
    #[schema(value_type = String)]
    code: Code,
    /// How many are paid.
    count: u32,
    /// How many more cost nothing.
    free: u32,
    /// For each, in euro cents.
    price_cents: i64,
    /// For all, in euro cents.
    total_cents: i64,
}

/// Until when what must be done (RFC 3339, UTC).
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DeadlinesView {
    /// The signed form must come back before.
    sign_by: String,
    /// It must be paid before.
    pay_by: String,
    /// Or before, if it is paid at the desk; absent if it cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    desk_by: Option<String>,
    /// Whether the office has to confirm what is accepted.
    confirmation: bool,
}

/// Who accepted, and how.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AcceptanceView {
    /// Which revision.
    revision: u32,
    /// When (RFC 3339, UTC).
    at: String,
    /// The key that noted it.
    who: String,
    /// `operator`: the operator itself, online; `office`: the office, on a signed form.
    by: &'static str,
    /// How it is to be paid: `notice`, `checkout`, `desk` or `on_account`.
    settle: &'static str,
    /// Whether nobody has to confirm it any more.
    confirmed: bool,
}

/// The payment of a quote.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotePaymentView {
    /// Its id.
    payment: String,
    /// `created`, `pending`, `paid`, `failed`, `expired` or `cancelled`.
    state: &'static str,
    /// What is due, in euro cents.
    amount_cents: i64,
    /// From when on it can no longer be begun to pay (RFC 3339, UTC).
    due_at: String,
    /// The notice number (NAV), where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice_number: Option<String>,
    /// What the QR code of the notice says, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    qr: Option<String>,
}

/// Why options or a settlement were refused last.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RefusedView {
    /// The code of what said no.
    reason: String,
    /// The slot that did, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
}

/// Something that happened to a quote.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HistoryItem {
    /// By which record of the quote.
    seq: u64,
    /// When (RFC 3339, UTC).
    at: String,
    /// What: `drafted`, `revised`, `options_asked`, `sent`, `options_refused`, `options_released`, `accepted`, `confirmed`, `settlement_refused`, `payment_begun`,
    /// `payment_ended`, `reopened`, `paid`, `ticketed`, `lapsed`, `refused`, `cancelled` or `reminded`.
    what: &'static str,
    /// The key that asked for it; absent if it happened by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    /// What the holder of that key is.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// Of which revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    /// What that costs, in euro cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_cents: Option<i64>,
    /// More in one word: how it is settled, which deadline, why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A quote.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct QuoteView {
    /// Its id.
    quote: String,
    /// `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused` or `cancelled`.
    state: &'static str,
    /// Since when (RFC 3339, UTC).
    since: String,
    /// Whether something is done for it just now: read it again in a moment.
    under_way: bool,
    /// The revision in force, from 1.
    revision: u32,
    /// The museum's number.
    museum: u16,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    kind: &'static str,
    /// The operator's account that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    account: Option<Code>,
    /// Who they are.
    institution: InstitutionForm,
    /// Whom to write to, while it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<PersonView>,
    /// Which key drafted it.
    drafted_by: String,
    /// When (RFC 3339, UTC).
    drafted_at: String,
    /// The day of the visit, in Rome.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    day: Option<Date>,
    /// Who goes when.
    parts: Vec<PartView>,
    /// The booking fee, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<QuotedExtraView>,
    /// All else beside tickets.
    extras: Vec<QuotedExtraView>,
    /// How many people, escorts included.
    people: u32,
    /// What all of it costs, in euro cents.
    total_cents: i64,
    /// Until when what must be done; absent before it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadlines: Option<DeadlinesView>,
    /// Who accepted the revision in force, if somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptance: Option<AcceptanceView>,
    /// The last payment begun for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<QuotePaymentView>,
    /// Parts (from 0) for which there were no places any more when it was paid; their money goes back.
    missing: Vec<u16>,
    /// Why the last attempt took no options, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    options_refused: Option<RefusedView>,
    /// Why it could not be settled as it was accepted, if it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_refused: Option<RefusedView>,
    /// Everything that happened, in order: revisions and reminders among it.
    history: Vec<HistoryItem>,
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

/// What somebody wants, at the prices of the tariff, with a slot for each part.
fn asked(node: &Node, caller: &Caller, known: &Known, kind: Kind, form: &VisitForm) -> Result<Asked, Problem> {
    let day = match (form.slots.first(), form.day) {
        (Some(first), None) if form.time.is_none() && form.route.is_none() => calendar::local_day(first.start()),
        (None, Some(day)) => day,
        _ => return Err(Problem::invalid("visit: either slots, or a day (with a time and a route if you like), are expected")),
    };
    if form.slots.iter().any(|slot| slot.museum() != known.museum.id()) {
        return Err(quote::Refusal::BadSlots.into());
    }
    let (_, tariff) = known.museum.tariff_on(day).ok_or_else(Problem::not_found)?;
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
        asked.slots = slots_from(node, known, kind, day, form, &asked)?;
    }
    Ok(asked)
}

/// The first slots of a day, from a time on, that have the places of a part each.
fn slots_from(node: &Node, known: &Known, kind: Kind, day: Date, form: &VisitForm, asked: &Asked) -> Result<Vec<SlotId>, Problem> {
    let museum = known.museum.id();
    let (_, plan) = known.museum.plan_on(day).ok_or_else(Problem::not_found)?;
    let route = plan.routes.iter().find(|route| form.route.is_none_or(|code| code == route.code)).map(|route| route.id);
    let route: RouteId = route.ok_or_else(Problem::not_found)?;
    let from = calendar::instant(day.to_datetime(form.time.unwrap_or(Time::midnight())));
    let open = of_museum(known, node.board(), day, day, Some(route), Channel::Group, node.now());
    // How many parts there are the price itself knows: it is asked for one.
    let (_, policy) = known.museum.group_policy_on(day);
    let any = SlotId::new(museum, route, from);
    let parts = match price(&policy, kind, &Asked { slots: vec![any], ..asked.clone() }, 0) {
        Ok(_) => 1,
        Err(quote::Refusal::WrongNumberOfSlots { parts }) => parts,
        Err(refusal) => return Err(refusal.into()),
    };
    let people = people_of(&asked.members) + u32::from(asked.escorts);
    let has_places =
        |places: u32, bookable: Bookable| matches!(bookable, Bookable::Available | Bookable::Few) && places >= people.div_ceil(parts.max(1));
    let on_day = |slot: SlotId| slot.start() >= from && calendar::local_day(slot.start()) == day;
    let good = open.iter().filter(|seen| on_day(seen.slot) && has_places(seen.available, seen.status));
    let slots: Vec<SlotId> = good.take(parts as usize).map(|seen| seen.slot).collect();
    if slots.len() == parts as usize {
        return Ok(slots);
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
    form: web::Json<QuoteForm>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Quote, &form.museum)?;
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
    let museum = known.museum.id();
    let asked = asked(&node, &caller, &known, form.kind, &form.visit)?;
    // A contact is stored for what can be quoted.
    let day = asked.slots.first().map(|slot| calendar::local_day(slot.start())).unwrap_or_default();
    price(&known.museum.group_policy_on(day).1, form.kind, &asked, 0)?;
    let visit_at = asked.slots.iter().map(|slot| slot.start()).max().unwrap_or_else(|| node.now());
    let contact = people::keep_for(&node, museum, &envelope, form.contact.as_ref(), visit_at.plus_seconds(RETENTION_S)).await?;
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
    Ok(HttpResponse::Created().insert_header(("Location", format!("/v1/quotes/{id}"))).json(view))
}

/// Revise a quote.
///
/// A draft is changed in place. Of one that was sent the places of the new revision are taken first, and only then are the old ones given back; if there are not
/// enough, the old revision stands. What was accepted must be accepted anew.
#[utoipa::path(
    tag = "Quotes", operation_id = "revise_quote", security(("key" = ["quote"])),
    request_body(content = VisitForm, example = json!({"day": "2027-03-18", "time": "10:00", "lines": [{"category": "school-pupil", "count": 22}], "escorts": 2})),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The revision in force", body = QuoteView), crate::openapi::Problems),
)]
#[put("/quotes/{quote}")]
pub async fn revise(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
    form: web::Json<VisitForm>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let found = seen(&node, &caller, Scope::Quote, id).await?;
    let about = found.about().ok_or_else(Problem::not_found)?;
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let envelope = envelope(&node, &caller, &key, &["revise quote", &id.to_string()], &*form, &[], None)?;
    let asked = asked(&node, &caller, &known, about.kind, &form)?;
    if let (Some(person), Some(last)) = (about.contact, asked.slots.iter().map(|slot| slot.start()).max()) {
        files(&node)?.people.keep_until(person, last.plus_seconds(RETENTION_S)).await?;
    }
    quotes::revise(&node, id, envelope, caller.acts_for()?, asked).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
}

/// Send a quote.
///
/// Its places are kept from now on, all or none, in the `group` quota of its slots, and its deadlines run.
#[utoipa::path(
    tag = "Quotes", operation_id = "send_quote", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is sent", body = QuoteView), crate::openapi::Problems),
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
    quotes::send(&node, id, envelope, caller.acts_for()?).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
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
    #[schema(value_type = String, pattern = "^(notice|checkout|desk|on_account)$", examples("notice"))]
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
    responses((status = 200, description = "It is accepted", body = QuoteView), crate::openapi::Problems),
)]
#[post("/quotes/{quote}/accept")]
pub async fn accept(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    key: IdempotencyKey,
    quote: web::Path<QuoteId>,
    form: web::Json<AcceptForm>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let found = seen(&node, &caller, Scope::Quote, id).await?;
    let (about, owner) = (found.about().ok_or_else(Problem::not_found)?, caller.acts_for()?);
    let envelope = envelope(&node, &caller, &key, &["accept quote", &id.to_string()], &*form, &[], None)?;
    let creditor = connected.0.as_ref().and_then(|pagopa| pagopa.settings().creditor_of_museum(about.museum));
    let is_due = found.offer().is_some_and(|offer| !offer.total_cents.is_zero());
    let by_pagopa = matches!(form.settle, Settle::Notice | Settle::Checkout);
    if is_due && by_pagopa && creditor.is_none() && found.status() == Status::Sent {
        return Err(Problem::new(StatusCode::CONFLICT, "gateway_off", "money does not come on that way here")
            .detail("This installation is not connected to pagoPA for that museum: pay on another way."));
    }
    let AcceptForm { revision, settle } = form.into_inner();
    let creditor = creditor.map_or(0, |creditor| creditor.number);
    let command = Command::Accept { owner, revision, settle, creditor, by_office: owner.is_none() };
    quotes::accept(&node, id, envelope, command).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
}

/// Confirm an acceptance.
///
/// Where the museum's rules ask for it, what an operator has accepted counts only when the office has confirmed it.
#[utoipa::path(
    tag = "Quotes", operation_id = "confirm_quote", security(("key" = ["settle"])),
    params(("quote" = String, Path, description = "The quote"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is confirmed", body = QuoteView), crate::openapi::Problems),
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
    quotes::accept(&node, id, envelope, Command::Confirm).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
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
    quotes::ask(&node, id, envelope, Command::Reopen).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
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
    quotes::ask(&node, id, envelope, command).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
}

/// Why a quote is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelQuoteForm {
    /// `group`: it comes no more. `museum`: it cannot keep its word; for the office only.
    #[schema(value_type = String, pattern = "^(group|museum)$", examples("group"))]
    pub cause: CancelCause,
}

/// Cancel a quote.
///
/// Until it is paid: its places are free again, its payment is withdrawn. What is paid is cancelled sale by sale.
#[utoipa::path(
    tag = "Quotes", operation_id = "cancel_quote", security(("key" = ["quote"])), request_body = CancelQuoteForm,
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
    form: web::Json<CancelQuoteForm>,
) -> Result<HttpResponse, Problem> {
    let (id, cause) = (quote.into_inner(), form.cause);
    seen(&node, &caller, Scope::Quote, id).await?;
    if cause == CancelCause::Museum {
        caller.may(Scope::Settle)?;
    }
    let envelope = envelope(&node, &caller, &key, &["cancel quote", &id.to_string()], &*form, &[], None)?;
    let command = Command::Cancel { owner: caller.acts_for()?, cause };
    quotes::ask(&node, id, envelope, command).await.map_err(|failure| refused(&node, failure))?;
    Ok(HttpResponse::Ok().json(view(&node, &connected, &caller, id).await?))
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

/// A quote as it is now, for whoever may see it.
async fn view(node: &Node, connected: &Connected, caller: &Caller, id: QuoteId) -> Result<QuoteView, Problem> {
    // Whoever was let in with another scope that the office has sees it too.
    let quote = seen(node, caller, Scope::Quote, id).await?;
    let (Some(about), Some(offer), Some((who, at))) = (quote.about(), quote.offer(), quote.drafted()) else { return Err(Problem::not_found()) };
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let history = history(node, id).await?;
    let contact = match about.contact {
        Some(person) => people::known(node, person).await?,
        None => None,
    };
    let payment = match quote.payment() {
        Some(payment) => payment_view(node, connected, payment).await?,
        None => None,
    };
    let (sales, missing) = match quote.stage() {
        Stage::Ticketed { sales, missing } => (sales.as_slice(), missing.clone()),
        _ => (&[][..], Vec::new()),
    };
    let mut sold = sales.iter();
    let holds = quote.options_in_force().map(|options| options.holds.as_slice()).unwrap_or_default();
    let part = |(number, part): (u16, &Part)| {
        let sale = if missing.contains(&number) { None } else { sold.next() };
        let option = holds.get(usize::from(number)).filter(|_| sale.is_none());
        part_view(&known, about, part, option.map(ToString::to_string), sale.map(ToString::to_string))
    };
    let parts = (0..).zip(&offer.parts).map(part).collect();
    let slot_of = |part: u16| offer.parts.get(usize::from(part)).map(|part| part.slot.to_string());
    Ok(QuoteView {
        quote: id.to_string(),
        state: quote.status().name(),
        since: quote.since().to_string(),
        under_way: quote.work().is_some_and(|work| !matches!(work, Work::GiveBack(_))) || quote.status() == Status::Paid,
        revision: quote.revision(),
        museum: about.museum.0,
        kind: kind_name(about.kind),
        account: about.account,
        institution: InstitutionForm::of(&about.institution),
        contact,
        drafted_by: who.to_string(),
        drafted_at: at.to_string(),
        day: offer.day(),
        parts,
        fee: offer.fee.as_ref().map(extra_view),
        extras: offer.extras.iter().map(extra_view).collect(),
        people: offer.people(),
        total_cents: offer.total_cents.get(),
        deadlines: quote.conditions().map(|conditions| DeadlinesView {
            sign_by: conditions.sign_by.to_string(),
            pay_by: conditions.pay_by.to_string(),
            desk_by: conditions.desk_by.map(|at| at.to_string()),
            confirmation: conditions.confirmation,
        }),
        acceptance: history.acceptance.filter(|acceptance| acceptance.revision == quote.revision()),
        payment,
        missing,
        options_refused: quote.options_refused().map(|refused| RefusedView { reason: refused.why.code().to_owned(), slot: slot_of(refused.part) }),
        settlement_refused: quote.settlement_refused().map(|why| RefusedView { reason: why.to_string(), slot: None }),
        history: history.items,
    })
}

fn part_view(known: &Known, about: &About, part: &Part, option: Option<String>, sale: Option<String>) -> PartView {
    PartView {
        slot: part.slot.to_string(),
        starts_at: part.slot.start().to_string(),
        local_start: local(part.slot.start()),
        people: people_of(&part.lines),
        lines: part.lines.iter().map(|line| line_view(known, about, part.slot, line)).collect(),
        total_cents: total(&part.lines).get(),
        option,
        sale,
    }
}

fn line_view(known: &Known, about: &About, slot: SlotId, line: &Line) -> QuotedLineView {
    let (day, name) = (calendar::local_day(slot.start()), category_name(known, slot, line.category));
    QuotedLineView {
        category: line.category,
        name_it: name.it,
        name_en: name.en,
        count: line.count,
        price_cents: line.price_cents.get(),
        total_cents: line.price_cents.times(u32::from(line.count)).get(),
        why: why(known, about, day, line),
        proof_it: line.proof.show_it(),
    }
}

/// Where a price comes from, as far as the rules and the tariff of today still say.
fn why(known: &Known, about: &About, day: Date, line: &Line) -> &'static str {
    let (_, policy) = known.museum.group_policy_on(day);
    if policy.terms(about.kind).escorts.is_some_and(|escorts| escorts.category == line.category) {
        return "escort";
    }
    let Some((_, tariff)) = known.museum.tariff_on(day) else { return "as_quoted" };
    match tariff.quote(day, Channel::Group, line.category) {
        Ok(price) if price.total() == line.price_cents && tariff.free_days.on(day).is_some() => "free_day",
        Ok(price) if price.total() == line.price_cents => "tariff",
        Ok(price) if price.total() > line.price_cents && about.account.is_some() => "agreement",
        _ => "as_quoted",
    }
}

fn extra_view(extra: &Extra) -> QuotedExtraView {
    QuotedExtraView { code: extra.code, count: extra.count, free: extra.free, price_cents: extra.price_cents.get(), total_cents: extra.total().get() }
}

async fn payment_view(node: &Node, connected: &Connected, id: PaymentId) -> Result<Option<QuotePaymentView>, Problem> {
    let creditor = connected.0.as_ref().and_then(|pagopa| pagopa.settings().creditor(id.creditor())).cloned();
    let look = move |payment: &Payment| {
        let opened = payment.opened()?;
        let notice = creditor.as_ref().filter(|_| opened.gateway.is_position()).map(|creditor| (creditor.notice(id), creditor.fiscal_code));
        Some(QuotePaymentView {
            payment: id.to_string(),
            state: payment.stage().name(),
            amount_cents: opened.amount_cents.get(),
            due_at: opened.due_at.to_string(),
            notice_number: notice.map(|(notice, _)| notice.to_string()),
            qr: notice.and_then(|(notice, creditor)| Qr::new(notice, creditor, opened.amount_cents)).map(|qr| qr.to_string()),
        })
    };
    match node.look_payment(id, look).await {
        Ok(found) => Ok(found),
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// What happened to a quote, from its own records.
struct History {
    items: Vec<HistoryItem>,
    /// The last acceptance.
    acceptance: Option<AcceptanceView>,
}

async fn history(node: &Node, id: QuoteId) -> Result<History, Problem> {
    let failed = |error: tornello_actors::journal::JournalError| {
        tracing::error!(%error, quote = %id, "the records of a quote cannot be read");
        Problem::unavailable("the records cannot be read now")
    };
    let stream = StreamId::Quote(id);
    let batches = node.journal().batches_of(stream, 0).await.map_err(failed)?;
    let records = records::<Event>(&batches, stream, 0).map_err(failed)?;
    let keys = files(node)?.keys.list();
    let mut found = History { items: Vec::new(), acceptance: None };
    for record in &records {
        for event in &record.events {
            found.take(record, event, &keys);
        }
    }
    Ok(found)
}

impl History {
    fn take(&mut self, record: &Record<Event>, event: &Event, keys: &[Key]) {
        let who = record.envelope.as_ref().map(|envelope| envelope.who).filter(|who| *who != KeyId::SYSTEM);
        let role = who.and_then(|who| keys.iter().find(|key| key.id == who)).map(|key| key.role);
        let of_offer = |offer: &Offer| Some(offer.total_cents.get());
        let (what, revision, total_cents, detail) = match event {
            Event::Drafted(drafted) => ("drafted", Some(1), of_offer(&drafted.offer), None),
            Event::Revised(revised) => ("revised", Some(1), of_offer(&revised.offer), None),
            Event::OptionsAsked(asked) => ("options_asked", Some(asked.revision), of_offer(&asked.offer), None),
            Event::Optioned(_) => ("sent", None, None, None),
            Event::OptionsRefused(refused) => ("options_refused", None, None, Some(refused.why.code().to_owned())),
            Event::OptionsReleased(_) => ("options_released", None, None, None),
            Event::Accepted(accepted) => {
                let settle = settle_name(accepted.settle);
                self.acceptance = Some(AcceptanceView {
                    revision: accepted.revision,
                    at: record.at.to_string(),
                    who: who.map(|who| who.to_string()).unwrap_or_default(),
                    by: if role == Some(Role::Operator) { "operator" } else { "office" },
                    settle,
                    confirmed: accepted.confirmed,
                });
                ("accepted", Some(accepted.revision), None, Some(settle.to_owned()))
            }
            Event::Confirmed(_) => {
                if let Some(acceptance) = &mut self.acceptance {
                    acceptance.confirmed = true;
                }
                ("confirmed", None, None, None)
            }
            Event::SettlementRefused(refused) => {
                self.acceptance = None;
                ("settlement_refused", None, None, Some(refused.why.to_string()))
            }
            Event::PaymentAttached(attached) => ("payment_begun", None, None, Some(attached.payment.to_string())),
            Event::PaymentDetached(detached) => ("payment_ended", None, None, Some(detached.payment.to_string())),
            Event::Reopened(_) => {
                self.acceptance = None;
                ("reopened", None, None, None)
            }
            Event::Paid(paid) => ("paid", None, None, paid.payment.map(|payment| payment.to_string())),
            Event::Ticketed(_) => ("ticketed", None, None, None),
            Event::Lapsed(lapsed) => ("lapsed", None, None, Some(deadline_name(lapsed.deadline).to_owned())),
            Event::Refused(_) => ("refused", None, None, None),
            Event::Cancelled(cancelled) => ("cancelled", None, None, Some(cause_name(cancelled.cause).to_owned())),
            Event::Reminded(reminded) => ("reminded", None, None, Some(deadline_name(reminded.deadline).to_owned())),
        };
        self.items.push(HistoryItem {
            seq: record.seq,
            at: record.at.to_string(),
            what,
            who: who.map(|who| who.to_string()),
            role: role.map(Role::as_str),
            revision,
            total_cents,
            detail,
        });
    }
}

/// Which quotes to list; all conditions hold together.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QuotesQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Only in one of these states, with commas between them: `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused`, `cancelled`; or `open`, which is the
    /// first four.
    state: Option<String>,
    /// Only of this operator's account.
    #[param(value_type = Option<String>, max_length = 23)]
    account: Option<Code>,
    /// Only of this kind: `school`, `tour_operator`, `company`, `association` or `other`.
    #[param(value_type = Option<String>)]
    kind: Option<Kind>,
    /// Only of an institution with this fiscal code, VAT number or IPA code.
    institution: Option<String>,
    /// Only for visits on this day or later.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// Only for visits on this day or earlier.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Date>,
    /// Only those with a deadline that ends before this instant (RFC 3339).
    #[param(format = DateTime)]
    due_before: Option<String>,
    /// Where the page before said to go on.
    #[param(value_type = Option<String>)]
    cursor: Option<QuoteId>,
    /// How many at most: 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

const STATES: [&str; 8] = ["draft", "sent", "accepted", "paid", "ticketed", "lapsed", "refused", "cancelled"];
/// How many of them are open.
const OPEN: usize = 4;

impl QuotesQuery {
    fn filter(&self, node: &Node, caller: &Caller) -> Result<QuoteFilter, Problem> {
        let mut states: Option<Vec<String>> = None;
        for state in self.state.iter().flat_map(|states| states.split(',')).map(str::trim) {
            let named = if state == "open" { &STATES[..OPEN] } else { std::slice::from_ref(&state) };
            if !named.iter().all(|state| STATES.contains(state)) {
                return Err(Problem::invalid(format!("state: open, or some of {}, are expected", STATES.join(", "))));
            }
            states.get_or_insert_default().extend(named.iter().map(|state| (*state).to_owned()));
        }
        let due_before = self.due_before.as_deref().map(str::parse::<Timestamp>).transpose();
        let account = match (caller.acts_for()?, self.account) {
            (Some(own), Some(other)) if own != other => return Err(Problem::not_found()),
            (own, named) => own.or(named),
        };
        Ok(QuoteFilter {
            museums: museums(node, caller, Scope::Quote, self.museum.as_deref())?,
            states,
            account,
            kind: self.kind.map(|kind| kind_name(kind).to_owned()),
            institution: self.institution.as_ref().map(|code| code.trim().to_ascii_lowercase()),
            from: self.from.map(|day| day.to_string()),
            to: self.to.map(|day| day.to_string()),
            due_before: due_before.map_err(|error| Problem::invalid(format!("due_before: {error}")))?,
            after: self.cursor,
        })
    }
}

/// A quote in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuoteItem {
    /// Its id.
    quote: String,
    /// The museum's number.
    museum: u16,
    /// `draft`, `sent`, `accepted`, `paid`, `ticketed`, `lapsed`, `refused` or `cancelled`.
    state: String,
    /// Since when (RFC 3339, UTC).
    changed_at: String,
    /// The revision in force.
    revision: u32,
    /// `school`, `tour_operator`, `company`, `association` or `other`.
    kind: String,
    /// The operator's account; empty if it is for none.
    account: String,
    /// The institution's fiscal code; empty if not known.
    fiscal_code: String,
    /// Its code in the index of public administrations; empty if not known.
    ipa: String,
    /// The day of the visit, in Rome.
    day: String,
    /// When the first part goes in (RFC 3339, UTC).
    starts_at: String,
    /// How many parts go round.
    parts: u32,
    /// How many people come, escorts included.
    people: u32,
    /// What it costs, in euro cents.
    total_cents: i64,
    /// When it was drafted (RFC 3339, UTC).
    drafted_at: String,
    /// The deadline that runs: `signature` or `payment`; empty if none does.
    deadline: String,
    /// When that is (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// How it is to be paid; empty before it is accepted.
    settle: String,
    /// The last payment begun for it; empty if none was.
    payment: String,
    /// How that stands; empty if there is none.
    payment_state: String,
    /// When it was paid (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<String>,
    /// Why it ended, or was not settled; empty if neither is so.
    reason: String,
    /// When the group was last reminded (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    reminded_at: Option<String>,
}

impl From<QuoteRow> for QuoteItem {
    fn from(row: QuoteRow) -> Self {
        Self {
            quote: row.quote.to_string(),
            museum: row.museum.0,
            state: row.state,
            changed_at: row.changed_at.to_string(),
            revision: row.revision,
            kind: row.kind,
            account: row.account,
            fiscal_code: row.fiscal_code,
            ipa: row.ipa,
            day: row.day,
            starts_at: row.starts_at.to_string(),
            parts: row.parts,
            people: row.people,
            total_cents: row.total_cents,
            drafted_at: row.drafted_at.to_string(),
            deadline: row.deadline,
            due_at: row.due_at.map(|at| at.to_string()),
            settle: row.settle,
            payment: row.payment,
            payment_state: row.payment_state,
            paid_at: row.paid_at.map(|at| at.to_string()),
            reason: row.reason,
            reminded_at: row.reminded_at.map(|at| at.to_string()),
        }
    }
}

/// A page of quotes.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuotePage {
    /// The quotes, in the order of their ids.
    items: Vec<QuoteItem>,
    /// Where to go on; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The journal's batch up to which the list is complete.
    as_of_batch: u64,
}

/// List quotes.
///
/// From the read models, which follow the journal within moments: `as_of_batch` says how far. An operator sees its own. With `Accept: text/csv` the page is a table.
#[utoipa::path(
    tag = "Quotes", operation_id = "list_quotes", security(("key" = ["quote"])), params(QuotesQuery),
    responses((status = 200, description = "A page of quotes", content((QuotePage = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/quotes", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, request: HttpRequest, query: web::Query<QuotesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Quote)?;
    let (filter, size, views) = (query.filter(&node, &caller)?, page_size(query.limit)?, &files(&node)?.views);
    let as_of_batch = views.as_of_batch();
    let (rows, more) = page(views.quotes(&filter, size + 1).await?, size);
    if wants_csv(&request) {
        return Ok(csv_answer(table(&rows)));
    }
    let next_cursor = rows.last().filter(|_| more).map(|row| row.quote.to_string());
    Ok(HttpResponse::Ok().json(QuotePage { items: rows.into_iter().map(QuoteItem::from).collect(), next_cursor, as_of_batch }))
}

/// Export quotes as a table.
///
/// With deadlines and the state of payments: all that fit, up to 20,000, in the order of their ids. `cursor` and `limit` do not count.
#[utoipa::path(
    tag = "Quotes", operation_id = "export_quotes", security(("key" = ["quote"])), params(QuotesQuery),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"), crate::openapi::Problems),
)]
#[get("/quotes/export.csv", wrap = "Compress::default()")]
pub async fn export(node: web::Data<Node>, caller: Caller, query: web::Query<QuotesQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Quote)?;
    let filter = QuoteFilter { after: None, ..query.filter(&node, &caller)? };
    Ok(csv_answer(table(&files(&node)?.views.quotes(&filter, ROWS_MAX).await?)))
}

fn table(rows: &[QuoteRow]) -> Vec<u8> {
    const HEADS: [&str; 26] = [
        "quote",
        "museum",
        "day",
        "starts_at",
        "state",
        "since",
        "kind",
        "account",
        "fiscal_code",
        "vat",
        "ipa",
        "revision",
        "parts",
        "people",
        "total",
        "sign_by",
        "pay_by",
        "desk_by",
        "deadline",
        "due_at",
        "settle",
        "payment",
        "payment_state",
        "paid_at",
        "reminded_at",
        "reason",
    ];
    let instant = |at: Option<Timestamp>| at.map_or(CsvCell::Empty, CsvCell::Instant);
    let mut table = CsvWriter::new(CsvForm::ITALIAN, HEADS);
    for row in rows {
        let id = row.quote.to_string();
        table.row([
            CsvCell::Text(&id),
            CsvCell::Count(i64::from(row.museum.0)),
            row.day.parse().map_or(CsvCell::Empty, CsvCell::Day),
            CsvCell::Instant(row.starts_at),
            CsvCell::Text(&row.state),
            CsvCell::Instant(row.changed_at),
            CsvCell::Text(&row.kind),
            CsvCell::Text(&row.account),
            CsvCell::Text(&row.fiscal_code),
            CsvCell::Text(&row.vat),
            CsvCell::Text(&row.ipa),
            CsvCell::Count(i64::from(row.revision)),
            CsvCell::Count(i64::from(row.parts)),
            CsvCell::Count(i64::from(row.people)),
            CsvCell::Euros(Cents::new(row.total_cents)),
            instant(row.sign_by),
            instant(row.pay_by),
            instant(row.desk_by),
            CsvCell::Text(&row.deadline),
            instant(row.due_at),
            CsvCell::Text(&row.settle),
            CsvCell::Text(&row.payment),
            CsvCell::Text(&row.payment_state),
            instant(row.paid_at),
            instant(row.reminded_at),
            CsvCell::Text(&row.reason),
        ]);
    }
    table.take()
}
