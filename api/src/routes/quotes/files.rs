//! The documents of a quote: the quote itself, to be signed, and the tickets of all its parts. What they say is looked up here; how they look is known to `print`.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use tornello_actors::journal::StreamId;
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::streams::all_of;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::ids::{Code, HoldId, QuoteId};
use tornello_engine::institution::Institution;
use tornello_engine::museum::{self, Profile};
use tornello_engine::payment::{self, Payment};
use tornello_engine::quote::pricing::fee_code;
use tornello_engine::quote::{About, Conditions, Event, Extra, GroupPolicy, Kind, Offer, Part, Quote, Refusal, Stage};
use tornello_engine::slot::Slot;
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

use super::{seen, seen_slot, with_moved};
use crate::auth::{Caller, Scope};
use crate::pagopa::settings::Creditor;
use crate::print::{Letterhead, PrintedNotice, PrintedQuote, QuotedExtra, QuotedPart, QuotedPeople, TICKETS_MAX, notice_pdf, quote_pdf, tickets_pdf};
use crate::problem::Problem;
use crate::routes::payments::{Connected, closed, creditor_of_museum};
use crate::routes::tickets::{File, Issued, PdfQuery, category_name, document, drawn};
use crate::routes::{files, not_rebuilt};

/// A quote to print and sign, A4.
///
/// The revision in force, with its deadlines; of a draft without them.
#[utoipa::path(
    tag = "Quotes", operation_id = "get_quote_pdf", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote")),
    responses((status = 200, description = "The quote", body = File, content_type = "application/pdf"), crate::openapi::Problems),
)]
#[get("/quotes/{quote}/quote.pdf")]
pub async fn quote_document(node: web::Data<Node>, connected: Connected, caller: Caller, quote: web::Path<QuoteId>) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let quote = seen(&node, &caller, Scope::Quote, id).await?;
    let printed = printed(&node, &connected, &quote).await?;
    Ok(document(&format!("preventivo-{id}"), drawn(move || quote_pdf(&printed)).await?))
}

async fn printed(node: &Node, connected: &Connected, quote: &Quote) -> Result<PrintedQuote, Problem> {
    let (Some(about), Some(offer)) = (quote.about(), quote.offer()) else { return Err(Problem::not_found()) };
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let profile = known.museum.profile().ok_or_else(Problem::not_found)?;
    let (contact, contact_address) = match about.contact {
        Some(person) => contact(node, person).await?,
        None => (String::new(), String::new()),
    };
    let creditor = creditor_of_museum(connected, about.museum);
    let day = offer.day().unwrap_or_default();
    let policy = match quote.conditions() {
        Some(conditions) => policy_of(node, &known, day, conditions.policy).await?,
        None => known.museum.group_policy_on(day).1,
    };
    let escorts = policy.terms(about.kind).escorts.map(|escorts| escorts.category);
    let is_escort = |category: Code| Some(category) == escorts;
    let free_escorts =
        offer.parts.iter().flat_map(|part| &part.lines).filter(|line| is_escort(line.category)).map(|line| u32::from(line.count)).sum();
    let escorts_of = |part: &Part| part.lines.iter().filter(|line| is_escort(line.category)).map(|line| u32::from(line.count)).sum::<u32>();
    let escorts_most = offer.parts.iter().map(escorts_of).max().unwrap_or_default();
    let issued_at = written_at(node, quote).await?;
    let due = quote.conditions().map(|conditions| due(conditions, issued_at));
    let at_desk = due.is_some_and(|(_, at_desk)| at_desk);
    let (payment_it, payment_en) = payment_words(quote.conditions(), at_desk);
    let (institution, institution_code) = institution_words(about);
    Ok(PrintedQuote {
        issuer: letterhead(profile, creditor),
        number: quote.id().to_string(),
        revision: quote.revision(),
        issued_on: calendar::local_day(issued_at),
        museum: profile.name.clone(),
        visit: visit_words(about.kind).to_owned(),
        institution,
        institution_code,
        contact,
        contact_address,
        parts: offer.parts.iter().map(|part| quoted_part(node, &known, part)).collect(),
        extras: offer.extras.iter().flat_map(|extra| quoted_extras(&policy, extra)).collect(),
        fee: offer.fee.as_ref().filter(|fee| fee.count > 0).and_then(|fee| quoted_extras(&policy, fee).into_iter().next()),
        free_escorts,
        sign_by: quote.conditions().map(|conditions| calendar::last_day(conditions.sign_by)),
        pay_by: due.filter(|_| !offer.total_cents.is_zero()).map(|(due_at, _)| calendar::last_day(due_at)),
        payment_it,
        payment_en,
        conditions: conditions(offer, &policy, quote.conditions(), (escorts_most, at_desk)),
    })
}

/// When the revision in force was sent, or, of a draft, when it was drafted or revised. What became of the quote since makes no other document of what was signed.
async fn written_at(node: &Node, quote: &Quote) -> Result<Timestamp, Problem> {
    let failed = |error: tornello_actors::journal::JournalError| {
        tracing::error!(%error, quote = %quote.id(), "the records of a quote cannot be read");
        Problem::unavailable("the records cannot be read now")
    };
    let records = all_of::<Event>(node.journal().as_ref(), StreamId::Quote(quote.id())).await.map_err(failed)?;
    let writes = |event: &Event| matches!(event, Event::Drafted(_) | Event::Revised(_) | Event::Optioned(_));
    let written = records.iter().take_while(|record| record.seq <= quote.seq()).filter(|record| record.events.iter().any(writes)).last();
    written.map(|record| record.at).ok_or_else(not_rebuilt)
}

/// The rules for groups that a quote was sent under, also where others are in force by now: what was signed is what is printed.
async fn policy_of(node: &Node, known: &Known, day: jiff::civil::Date, revision: u32) -> Result<GroupPolicy, Problem> {
    let (in_force, policy) = known.museum.group_policy_on(day);
    if revision == in_force {
        return Ok(policy);
    }
    if revision == 0 {
        return Ok(GroupPolicy::default());
    }
    let failed = |error: tornello_actors::journal::JournalError| {
        tracing::error!(%error, "the records of a museum cannot be read");
        Problem::unavailable("the records cannot be read now")
    };
    let stream = StreamId::Museum(known.museum.id());
    let records = all_of::<museum::Event>(node.journal().as_ref(), stream).await.map_err(failed)?;
    let set = records.into_iter().flat_map(|record| record.events).find_map(|event| match event {
        museum::Event::GroupPolicySet(set) if set.revision == revision => Some(set.policy),
        _ => None,
    });
    Ok(set.unwrap_or(policy))
}

fn letterhead(profile: &Profile, creditor: Option<&Creditor>) -> Letterhead {
    Letterhead {
        name: creditor.map_or_else(|| profile.name.clone(), |creditor| creditor.company_name.clone()),
        office: "Ufficio Gruppi · Group office".to_owned(),
        address: profile.city.clone(),
        fiscal_code: creditor.map(|creditor| creditor.fiscal_code.to_string()).unwrap_or_default(),
        contact: String::new(),
    }
}

/// The name of a person, and how to reach them, while both are known.
async fn contact(node: &Node, person: tornello_engine::ids::PersonId) -> Result<(String, String), Problem> {
    let Some(contact) = files(node)?.people.get(person).await? else { return Ok((String::new(), String::new())) };
    let reach = [contact.email(), contact.phone().unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
    Ok((format!("{} {}", contact.given_name(), contact.family_name()), reach))
}

const fn visit_words(kind: Kind) -> &'static str {
    match kind {
        Kind::School => "Visita d'istruzione · School visit",
        Kind::TourOperator => "Gruppo di operatore turistico · Tour operator's group",
        Kind::Company => "Gruppo aziendale · Company group",
        Kind::Association => "Gruppo di associazione · Association",
        Kind::Other => "Visita di gruppo · Group visit",
    }
}

/// Who they are, as far as it is known without names of persons; and the codes beside that.
fn institution_words(about: &About) -> (String, String) {
    let codes = codes_words(&about.institution);
    match (about.account, about.institution.ipa) {
        (Some(account), _) => (account.to_string(), codes),
        (None, Some(ipa)) => (ipa.to_string(), codes),
        (None, None) if codes.is_empty() => ("—".to_owned(), codes),
        (None, None) => (codes, String::new()),
    }
}

fn codes_words(institution: &Institution) -> String {
    let fiscal_code = institution.fiscal_code.map(|code| format!("C.F. {code}"));
    let vat = institution.vat.map(|code| format!("P. IVA {code}"));
    fiscal_code.into_iter().chain(vat).collect::<Vec<_>>().join(" · ")
}

fn quoted_part(node: &Node, known: &Known, part: &Part) -> QuotedPart {
    let day = calendar::local_day(part.slot.start());
    let end = seen_slot(node, known, part.slot).map_or_else(|| part.slot.start(), |seen| seen.end);
    let route = known.museum.plan_on(day).and_then(|(_, plan)| plan.route(part.slot.route()));
    let people = |line: &tornello_engine::slot::Line| {
        let name = category_name(known, part.slot, line.category);
        QuotedPeople { category_it: name.it, category_en: name.en, count: u32::from(line.count), price: line.price_cents }
    };
    QuotedPart {
        day,
        enter_from: calendar::local(part.slot.start()).time(),
        enter_until: calendar::local(end).time(),
        route: route.map(|route| route.name.it.clone()).unwrap_or_default(),
        people: part.lines.iter().map(people).collect(),
    }
}

/// An extra, and beside it those of it that cost nothing.
fn quoted_extras(policy: &GroupPolicy, extra: &Extra) -> Vec<QuotedExtra> {
    let ruled = policy.extras.iter().find(|ruled| ruled.code == extra.code).map(|ruled| ruled.name.clone());
    let name = match ruled {
        Some(name) => name,
        None if extra.code == fee_code() => Text::new("Diritto di prenotazione", "Booking fee"),
        None => Text::new(extra.code.as_str(), extra.code.as_str()),
    };
    let free = tornello_engine::money::Cents::ZERO;
    let paid = QuotedExtra { name_it: name.it.clone(), name_en: name.en.clone(), count: extra.count, price: extra.price_cents };
    let gift = QuotedExtra { name_it: format!("{} (gratuiti)", name.it), name_en: format!("{} (free)", name.en), count: extra.free, price: free };
    [paid, gift].into_iter().filter(|extra| extra.count > 0).collect()
}

/// By when it is to be paid, and whether at the desk alone: who was sent it when no notice could be paid in time any more has time until then.
fn due(conditions: &Conditions, sent_at: Timestamp) -> (Timestamp, bool) {
    match conditions.desk_by {
        Some(desk_by) if conditions.pay_by <= sent_at => (desk_by, true),
        _ => (conditions.pay_by, false),
    }
}

fn payment_words(conditions: Option<&Conditions>, at_desk: bool) -> (String, String) {
    match conditions.and_then(|conditions| conditions.desk_by) {
        Some(_) if at_desk => ("In cassa.".to_owned(), "At the ticket desk.".to_owned()),
        Some(_) => ("Avviso pagoPA, oppure in cassa.".to_owned(), "By pagoPA notice, or at the ticket desk.".to_owned()),
        None => ("Avviso pagoPA, oppure su conto convenzionato.".to_owned(), "By pagoPA notice, or on an account by agreement.".to_owned()),
    }
}

/// How long before the visit it is to be paid.
fn due_words(working_days: u16, at_desk: bool) -> Text {
    if at_desk {
        return Text::new("Il pagamento deve avvenire entro il termine indicato.", "Payment is due by the time that is given.");
    }
    let (it, en) = match working_days {
        0 => return Text::new("Il pagamento deve avvenire prima della visita.", "Payment is due before the visit."),
        1 => ("1 giorno lavorativo".to_owned(), "1 working day".to_owned()),
        more => (format!("{more} giorni lavorativi"), format!("{more} working days")),
    };
    Text::new(
        &format!("Il pagamento deve avvenire almeno {it} prima della visita, esclusi quelli del pagamento e della visita."),
        &format!("Payment is due at least {en} before the visit, the days of payment and visit excluded."),
    )
}

/// How many go round together: the limit of the rules does not count free escorts, whom the quote counts among its people.
fn group_words(most: u16, escorts: u32) -> Text {
    let (besides_it, besides_en) = match escorts {
        0 => (String::new(), String::new()),
        1 => (" oltre a 1 accompagnatore gratuito".to_owned(), " besides 1 free escort".to_owned()),
        more => (format!(" oltre a {more} accompagnatori gratuiti"), format!(" besides {more} free escorts")),
    };
    Text::new(
        &format!(
            "Ogni gruppo entra insieme, al massimo {most} persone{besides_it}, con un accompagnatore responsabile; chi arriva tardi perde la precedenza."
        ),
        &format!("Each group enters together, {most} people at most{besides_en}, with a leader who answers for it; who comes late loses priority."),
    )
}

/// What holds between the museum and the group, by its rules. `escorts_most` is how many come in free with one part, at most; `at_desk`: it can be paid there alone.
fn conditions(offer: &Offer, policy: &GroupPolicy, conditions: Option<&Conditions>, (escorts_most, at_desk): (u32, bool)) -> Vec<Text> {
    let mut texts = vec![Text::new(
        "I posti sono riservati dall'invio del preventivo fino alla scadenza per la firma; se il modulo firmato non torna in tempo, tornano liberi.",
        "Places are kept from the sending of this quote until the deadline for its signature; if the signed form is not back in time, they are free again.",
    )];
    if !offer.total_cents.is_zero() {
        texts.push(due_words(policy.payment_working_days, at_desk));
    }
    if conditions.is_some_and(|conditions| conditions.confirmation) {
        texts.push(Text::new("La prenotazione vale solo dopo la conferma dell'ufficio.", "The booking holds only once the office has confirmed it."));
    }
    texts.push(group_words(policy.group_max, escorts_most));
    texts
}

/// The payment notice of an accepted quote to print, A4.
///
/// With its number and QR code, while it can be paid, and while no slot of the visit is closed (`slot_closed`).
#[utoipa::path(
    tag = "Quotes", operation_id = "get_quote_notice_pdf", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote")),
    responses((status = 200, description = "The notice", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Ended),
)]
#[get("/quotes/{quote}/notice.pdf")]
pub async fn notice_document(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    quote: web::Path<QuoteId>,
) -> Result<HttpResponse, Problem> {
    let id = quote.into_inner();
    let quote = seen(&node, &caller, Scope::Quote, id).await?;
    let about = quote.about().ok_or_else(Problem::not_found)?;
    let payment = quote.payment().ok_or_else(|| Problem::from(Refusal::WrongState { state: quote.status() }))?;
    let now = node.now();
    let due = move |payment: &Payment| {
        let payable = payment.payable(now)?;
        let holds = |opened: &payment::Opened| opened.items.iter().map(|item| item.hold).collect::<Vec<HoldId>>();
        Ok(payment.opened().filter(|opened| opened.gateway.is_position()).map(|opened| (payable, opened.subject.clone(), holds(opened))))
    };
    let due = node.look_payment(payment, due).await?.map_err(|refusal: payment::Refusal| Problem::from(refusal))?;
    let creditor = connected.0.as_ref().and_then(|pagopa| pagopa.settings().creditor(payment.creditor()));
    let (Some((payable, subject, holds)), Some(creditor)) = (due, creditor) else { return Err(Refusal::WrongState { state: quote.status() }.into()) };
    if let Some(problem) = closed(&node, &holds).await? {
        return Err(problem);
    }
    let known = node.museums().get(about.museum).ok_or_else(Problem::not_found)?;
    let profile = known.museum.profile().ok_or_else(Problem::not_found)?;
    let payer = match about.contact {
        Some(person) => contact(&node, person).await?.0,
        None => institution_words(about).0,
    };
    let (due_on, due_until) = calendar::last_day(payable.due_at);
    let printed = PrintedNotice {
        issuer: letterhead(profile, Some(creditor)),
        payer,
        payer_code: about.institution.fiscal_code.or(about.institution.vat).map(|code| code.to_string()).unwrap_or_default(),
        subject,
        amount: payable.amount_cents,
        due_on,
        due_until,
        notice_number: creditor.notice(payment).to_string(),
        reference: id.to_string(),
    };
    Ok(document(&format!("avviso-{id}"), drawn(move || notice_pdf(&printed)).await?))
}

/// All tickets of a quote to print, A4, two to a sheet.
///
/// Those of all parts that still stand, also in slots to which they have moved, at most 60 in one file; if there are more, the header `Link` names the next file (`rel="next"`).
#[utoipa::path(
    tag = "Quotes", operation_id = "get_quote_tickets_pdf", security(("key" = ["quote"])),
    params(("quote" = String, Path, description = "The quote"), PdfQuery),
    responses((status = 200, description = "The tickets", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/quotes/{quote}/tickets.pdf")]
pub async fn tickets_document(
    node: web::Data<Node>,
    caller: Caller,
    quote: web::Path<QuoteId>,
    query: web::Query<PdfQuery>,
) -> Result<HttpResponse, Problem> {
    let (id, from) = (quote.into_inner(), usize::from(query.from()));
    let quote = seen(&node, &caller, Scope::Quote, id).await?;
    let Stage::Ticketed { sales, .. } = quote.stage() else { return Err(Refusal::WrongState { state: quote.status() }.into()) };
    let (mut issued, mut before) = (Vec::new(), 0_usize);
    for &bought in sales {
        for sale in with_moved(&node, bought).await? {
            let standing = move |slot: &Slot| slot.sale_of(sale).map(|found| (Issued::standing(slot.opening(), found, sale, 0), found.tickets.len()));
            let Some((standing, count)) = node.look(sale.slot(), standing).await? else { continue };
            // Counted with those that stand no more: else one that is cancelled between two files would move another one out of both.
            issued.extend(standing.into_iter().map(|ticket| (before + usize::from(ticket.number()), ticket)));
            before += count;
        }
    }
    let known = quote.about().and_then(|about| node.museums().get(about.museum)).ok_or_else(Problem::not_found)?;
    issued.retain(|(number, _)| *number >= from);
    let next = issued.get(TICKETS_MAX).map(|(number, _)| format!("</v1/quotes/{id}/tickets.pdf?from={number}>; rel=\"next\""));
    issued.truncate(TICKETS_MAX);
    let mut printed = Vec::with_capacity(issued.len());
    for (_, ticket) in &issued {
        printed.push(ticket.printed(&node, &known).await?);
    }
    if printed.is_empty() {
        return Err(tornello_engine::slot::Refusal::TicketCancelled.into());
    }
    let mut response = document(&format!("biglietti-{id}"), drawn(move || tickets_pdf(&printed)).await?);
    if let Some(link) = next.and_then(|link| header::HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_group_says_that_it_counts_no_escorts() {
        for (escorts, it, en) in [
            (0, "al massimo 25 persone, con", "25 people at most, with"),
            (1, "al massimo 25 persone oltre a 1 accompagnatore gratuito, con", "25 people at most besides 1 free escort, with"),
            (2, "al massimo 25 persone oltre a 2 accompagnatori gratuiti, con", "25 people at most besides 2 free escorts, with"),
        ] {
            let words = group_words(25, escorts);
            assert!(words.it.contains(it) && words.en.contains(en), "{words:?}");
        }
    }

    #[test]
    fn who_can_pay_at_the_desk_alone_is_told_until_when_and_no_day_that_is_past() {
        let at = |day: &str| format!("{day}T08:00:00Z").parse::<Timestamp>().unwrap();
        let of = |desk_by: Option<&str>| Conditions {
            policy: 1,
            sign_by: at("2026-12-16"),
            pay_by: at("2026-12-11"),
            desk_by: desk_by.map(at),
            remind_s: 0,
            confirmation: false,
        };
        let desk = of(Some("2026-12-16"));
        for (conditions, sent, due_at, at_desk) in [
            (of(None), "2026-12-10", "2026-12-11", false),
            (desk, "2026-12-10", "2026-12-11", false),
            (desk, "2026-12-11", "2026-12-16", true),
            (desk, "2026-12-15", "2026-12-16", true),
        ] {
            assert_eq!(due(&conditions, at(sent)), (at(due_at), at_desk), "{sent}");
        }
        assert_eq!(payment_words(Some(&desk), true).0, "In cassa.");
        let words = |days, at_desk| due_words(days, at_desk).it;
        assert!(words(3, false).contains("almeno 3 giorni lavorativi prima") && words(1, false).contains("almeno 1 giorno lavorativo prima"));
        assert!(words(0, false).contains("prima della visita") && !words(0, false).contains('0') && words(3, true).contains("entro il termine"));
    }
}
