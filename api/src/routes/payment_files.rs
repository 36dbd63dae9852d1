//! What is printed of a payment: the notice that a payer takes along, and the certificate of what was paid.

use actix_web::{HttpResponse, get, web};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::ids::{HoldId, PaymentId, PersonId};
use tornello_engine::payment::{Opened, Payment, Receipt, Refusal, Source, Stage};
use tornello_engine::slot::{DeskMethod, Line};

use crate::auth::{Caller, Scope};
use crate::pagopa::settings::Creditor;
use crate::print::{Letterhead, PaidItem, PrintedNotice, PrintedReceipt, notice_pdf, receipt_pdf};
use crate::problem::Problem;
use crate::routes::files;
use crate::routes::payments::{Connected, closed, creditor_of, seen};
use crate::routes::tickets::{File, document, drawn};

/// Who issues what is printed: the creditor, or the museum where there is none.
fn issuer(known: &Known, creditor: Option<&Creditor>) -> Letterhead {
    let profile = known.museum.profile();
    let name = profile.map(|profile| profile.name.clone()).unwrap_or_default();
    Letterhead {
        name: creditor.map_or_else(|| name.clone(), |creditor| creditor.company_name.clone()),
        // A museum that issues it itself is named once.
        office: creditor.map(|creditor| creditor.office_name.clone().unwrap_or(name)).unwrap_or_default(),
        address: profile.map(|profile| profile.city.clone()).unwrap_or_default(),
        fiscal_code: creditor.map(|creditor| creditor.fiscal_code.to_string()).unwrap_or_default(),
        contact: String::new(),
    }
}

/// The name of who pays, while it is known.
async fn payer_name(node: &Node, payer: Option<PersonId>) -> Result<String, Problem> {
    let Some(person) = payer else { return Ok(String::new()) };
    let contact = files(node)?.people.get(person).await?;
    Ok(contact.map(|contact| format!("{} {}", contact.given_name(), contact.family_name())).unwrap_or_default())
}

/// The notice of a payment, to print.
///
/// With the QR code that every bank and shop reads. Only while it can be paid, and while no slot of its places is closed (`slot_closed`).
#[utoipa::path(
    tag = "Payments", operation_id = "get_notice_pdf", security(("key" = ["book"])),
    params(("payment" = String, Path, description = "The payment")),
    responses((status = 200, description = "The notice", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Ended),
)]
#[get("/payments/{payment}/notice.pdf")]
pub async fn notice_file(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    payment: web::Path<PaymentId>,
) -> Result<HttpResponse, Problem> {
    let (id, now) = (payment.into_inner(), node.now());
    let look = move |payment: &Payment, opened: &Opened| (payment.payable(now), opened.clone());
    let (payable, opened) = seen(&node, &caller, Scope::Book, id, look).await?;
    let creditor = creditor_of(&connected, id).filter(|_| opened.gateway.is_position()).ok_or_else(Problem::not_found)?;
    let payable = payable?;
    let holds: Vec<HoldId> = opened.items.iter().map(|item| item.hold).collect();
    if let Some(problem) = closed(&node, &holds).await? {
        return Err(problem);
    }
    let known = node.museums().get(opened.museum).ok_or_else(Problem::not_found)?;
    let (due_on, due_until) = calendar::last_day(payable.due_at);
    let printed = PrintedNotice {
        issuer: issuer(&known, Some(&creditor)),
        payer: payer_name(&node, opened.payer).await?,
        payer_code: String::new(),
        subject: opened.subject,
        amount: payable.amount_cents,
        due_on,
        due_until,
        notice_number: creditor.notice(id).to_string(),
        reference: id.to_string(),
    };
    Ok(document(&id.to_string(), drawn(move || notice_pdf(&printed)).await?))
}

/// The certificate of a payment, to print.
///
/// What was paid for, when and how, what of it was paid back since, and what is still to be; and what the payer's bank took back, or that it does, where a dispute was decided for them.
#[utoipa::path(
    tag = "Payments", operation_id = "get_receipt_pdf", security(("key" = ["book"])),
    params(("payment" = String, Path, description = "The payment")),
    responses((status = 200, description = "The certificate", body = File, content_type = "application/pdf"), crate::openapi::Problems, crate::openapi::Against),
)]
#[get("/payments/{payment}/receipt.pdf")]
pub async fn receipt_file(
    node: web::Data<Node>,
    connected: Connected,
    caller: Caller,
    payment: web::Path<PaymentId>,
) -> Result<HttpResponse, Problem> {
    let id = payment.into_inner();
    let look = |payment: &Payment, opened: &Opened| match payment.stage() {
        Stage::Paid { receipt, .. } => {
            let (back, taken) = (payment.back_of(receipt), (payment.is_charged_back(receipt), payment.taken_of(receipt)));
            payment.receipts().get(receipt as usize).cloned().map(|receipt| (receipt, back, taken, opened.clone()))
        }
        _ => None,
    };
    let (receipt, back, taken, opened) = seen(&node, &caller, Scope::Book, id, look).await?.ok_or(Refusal::NotPaid)?;
    let ((refunded, owed), (charged_back, taken_back)) = (back, taken);
    let creditor = creditor_of(&connected, id).filter(|_| opened.gateway.is_position());
    let known = node.museums().get(opened.museum).ok_or_else(Problem::not_found)?;
    let notice = creditor.as_ref().map(|creditor| creditor.notice(id));
    let (number, (method_it, method_en)) = (number_of(&receipt, id), method_words(&receipt));
    let tickets = opened.items.iter().flat_map(|item| item.lines.iter().map(|line| paid_item(&known, item.hold.slot(), line)));
    let extras = opened.extras.iter().map(|extra| PaidItem {
        what_it: extra.code.to_string(),
        what_en: String::new(),
        count: u32::from(extra.count),
        amount: extra.price_cents.times(u32::from(extra.count)),
    });
    let printed = PrintedReceipt {
        issuer: issuer(&known, creditor.as_ref()),
        issued_on: calendar::local_day(node.now()),
        payer: payer_name(&node, opened.payer).await?,
        payer_code: String::new(),
        items: tickets.chain(extras).collect(),
        amount: receipt.amount_cents,
        refunded,
        owed,
        charged_back,
        taken_back,
        paid_at: calendar::local(receipt.paid_at),
        method_it,
        method_en,
        psp: receipt.psp,
        notice_number: notice.map(|notice| notice.to_string()).unwrap_or_default(),
        iuv: notice.map(|notice| notice.iuv()).unwrap_or_default(),
        receipt: number,
        reference: id.to_string(),
    };
    Ok(document(&id.to_string(), drawn(move || receipt_pdf(&printed)).await?))
}

fn paid_item(known: &Known, slot: tornello_engine::ids::SlotId, line: &Line) -> PaidItem {
    let day = calendar::local_day(slot.start());
    let name = known.museum.tariff_on(day).and_then(|(_, tariff)| tariff.category(line.category)).map(|category| category.name.clone());
    let when = calendar::local(slot.start()).strftime("%d/%m/%Y %H:%M").to_string();
    let (it, en) = name.map_or_else(|| (line.category.to_string(), line.category.to_string()), |name| (name.it, name.en));
    PaidItem { what_it: format!("{it}, {when}"), what_en: en, count: u32::from(line.count), amount: line.price_cents.times(u32::from(line.count)) }
}

fn method_words(receipt: &Receipt) -> (String, String) {
    let (it, en) = match receipt.source {
        Source::Node | Source::Report => ("pagoPA", "pagoPA"),
        Source::Desk { method: DeskMethod::Cash, .. } => ("Contanti alla cassa", "Cash at the desk"),
        Source::Desk { method: DeskMethod::Card, .. } => ("Carta alla cassa", "Card at the desk"),
        Source::Voucher { .. } => ("Buono", "Voucher"),
        Source::Free => ("Gratuito", "Free"),
        Source::Sale { .. } => ("Alla cassa", "At the desk"),
    };
    (it.to_owned(), en.to_owned())
}

/// The number under which a receipt is found again. What a desk had taken before there was a payment has that of its sale, which its tickets show; nothing at all, that of
/// the payment.
fn number_of(receipt: &Receipt, payment: PaymentId) -> String {
    match receipt.source {
        Source::Sale { sale } => sale.to_string(),
        Source::Free => payment.to_string(),
        _ => receipt.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::money::Cents;
    use tornello_engine::time::Timestamp;

    #[test]
    fn what_is_printed_bears_numbers_that_people_know() {
        let (sale, payment): (HoldId, PaymentId) = ("00040660e8pcm0mmqqwvbz4000".parse().unwrap(), "00004zz2801d5".parse().unwrap());
        for (id, source, expected) in [
            ("sale", Source::Sale { sale }, "00040660e8pcm0mmqqwvbz4000"),
            ("free", Source::Free, "00004zz2801d5"),
            ("a1b2c3d4", Source::Node, "a1b2c3d4"),
        ] {
            let receipt = Receipt::without_provider(id.to_owned(), source, Cents::new(3_600), Timestamp::from_micros(0));
            assert_eq!(number_of(&receipt, payment), expected);
        }
    }
}
