//! What a quote looks like: who goes when, every price with where it comes from, deadlines, payment, and what its own records say happened.

use jiff::civil::Date;
use serde::Serialize;
use tornello_actors::failure::Failure;
use tornello_actors::journal::StreamId;
use tornello_actors::keys::{Key, Role};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::quotes::QuoteHead;
use tornello_actors::streams::all_of;
use tornello_actors::views::quotes::{cause as cause_name, deadline as deadline_name, kind as kind_name, settle as settle_name};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, QuoteId, SlotId};
use tornello_engine::notice::Qr;
use tornello_engine::payment::Payment;
use tornello_engine::quote::{About, Event, Extra, Offer, Part, Quote, Stage, Status, Work};
use tornello_engine::record::Record;
use tornello_engine::slot::{Line, people as people_of, total};

use super::options::{basis_name, lapse_of, told};
use super::{InstitutionForm, seen, with_moved};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::payments::Connected;
use crate::routes::people::{self, PersonView};
use crate::routes::tickets::category_name;
use crate::routes::{files, local};

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
    /// The sales in other slots to which tickets of it have moved since: they are cancelled, moved and printed there.
    moved_to: Vec<String>,
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
    /// `payment_ended`, `reopened`, `paid`, `ticketed`, `lapsed`, `refused`, `cancelled`, `paid_back` (of what the museum cancelled when it had tickets: none of them stands,
    /// and what beside them is to go back is owed) or `reminded`.
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
    /// How likely it is never paid, 0 to 1, while it keeps places; for staff only.
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse_probability: Option<f64>,
    /// What that rests on: an `assumption`, as long as too few quotes have ended here; the `rate` of past quotes of that kind that waited as long; or a `model` of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse_by: Option<&'static str>,
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

/// A quote as it is now, for whoever may see it.
pub async fn view(node: &Node, connected: &Connected, caller: &Caller, id: QuoteId) -> Result<QuoteView, Problem> {
    // Whoever was let in with another scope that the office has sees it too.
    let quote = seen(node, caller, Scope::Quote, id).await?;
    shown(node, connected, caller, (id, quote), false).await
}

/// A quote right after one of its records and what followed from that by itself, for whoever may see it: what a step is answered with, however often it is asked for.
pub async fn view_after(node: &Node, connected: &Connected, caller: &Caller, id: QuoteId, seq: u64) -> Result<QuoteView, Problem> {
    seen(node, caller, Scope::Quote, id).await?;
    let quote = node.quote_after(id, seq).await?;
    shown(node, connected, caller, (id, quote), true).await
}

/// A quote, with its payment as it is, or where it waits for that, as it was begun.
async fn shown(node: &Node, connected: &Connected, caller: &Caller, (id, quote): (QuoteId, Quote), as_begun: bool) -> Result<QuoteView, Problem> {
    let (Some(about), Some(offer), Some((who, at))) = (quote.about(), quote.offer(), quote.drafted()) else { return Err(Problem::not_found()) };
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let history = history(node, id, quote.seq()).await?;
    let chance = lapse_of(node, caller, Some(&QuoteHead::of(&quote)))?;
    let contact = match about.contact {
        Some(person) => people::known(node, person).await?,
        None => None,
    };
    let payment = match quote.payment() {
        Some(payment) => payment_view(node, connected, payment, as_begun && quote.status() == Status::Accepted).await?,
        None => None,
    };
    let (sales, missing) = match quote.stage() {
        Stage::Ticketed { sales, missing } | Stage::CalledOff { sales, missing, .. } => (sales.as_slice(), missing.clone()),
        _ => (&[][..], Vec::new()),
    };
    let mut sold = Vec::with_capacity(sales.len());
    for &sale in sales {
        sold.push((sale, with_moved(node, sale).await?.split_off(1)));
    }
    let mut sold = sold.iter();
    let holds = quote.options_in_force().map(|options| options.holds.as_slice()).unwrap_or_default();
    let part = |(number, part): (u16, &Part)| {
        let sale = if missing.contains(&number) { None } else { sold.next() };
        let option = holds.get(usize::from(number)).filter(|_| sale.is_none());
        part_view(&known, about, part, option.map(ToString::to_string), sale)
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
        lapse_probability: chance.map(told),
        lapse_by: chance.map(|chance| basis_name(chance.basis)),
        acceptance: history.acceptance.filter(|acceptance| acceptance.revision == quote.revision()),
        payment,
        missing,
        options_refused: quote.options_refused().map(|refused| RefusedView { reason: refused.why.code().to_owned(), slot: slot_of(refused.part) }),
        settlement_refused: quote.settlement_refused().map(|why| RefusedView { reason: why.to_string(), slot: None }),
        history: history.items,
    })
}

fn part_view(known: &Known, about: &About, part: &Part, option: Option<String>, sale: Option<&(HoldId, Vec<HoldId>)>) -> PartView {
    PartView {
        slot: part.slot.to_string(),
        starts_at: part.slot.start().to_string(),
        local_start: local(part.slot.start()),
        people: people_of(&part.lines),
        lines: part.lines.iter().map(|line| line_view(known, about, part.slot, line)).collect(),
        total_cents: total(&part.lines).get(),
        option,
        sale: sale.map(|(sale, _)| sale.to_string()),
        moved_to: sale.iter().flat_map(|(_, moved_to)| moved_to).map(ToString::to_string).collect(),
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

async fn payment_view(node: &Node, connected: &Connected, id: PaymentId, as_begun: bool) -> Result<Option<QuotePaymentView>, Problem> {
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
    let found = if as_begun { node.payment_as_begun(id).await.map(|payment| look(&payment)) } else { node.look_payment(id, look).await };
    match found {
        Ok(found) => Ok(found),
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// What happened to a quote, from its own records up to one.
struct History {
    items: Vec<HistoryItem>,
    /// The last acceptance.
    acceptance: Option<AcceptanceView>,
}

async fn history(node: &Node, id: QuoteId, seq: u64) -> Result<History, Problem> {
    let failed = |error: tornello_actors::journal::JournalError| {
        tracing::error!(%error, quote = %id, "the records of a quote cannot be read");
        Problem::unavailable("the records cannot be read now")
    };
    let stream = StreamId::Quote(id);
    let records = all_of::<Event>(node.journal().as_ref(), stream).await.map_err(failed)?;
    let keys = files(node)?.keys.list();
    let mut found = History { items: Vec::new(), acceptance: None };
    for record in records.iter().take_while(|record| record.seq <= seq) {
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
            Event::CalledOff(called) => ("cancelled", None, None, Some(cause_name(called.cause).to_owned())),
            Event::Unwound(_) => ("paid_back", None, None, None),
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
