//! The station: what the node of pagoPA asks a creditor by SOAP 1.1, document/literal (SANP 3.12, `paForNode`), and what is answered.
//!
//! [`answer`] takes a message and gives bytes; what stands behind is a [`Station`], which knows nothing of XML. Whatever is sent, the answer is one of these
//! forms: the operation's own, `OK` or `KO` with one of the [`Fault`]s, with status 200; or a fault of SOAP, where no operation of ours can be meant, with
//! status 400, and 413 if it was too large to be read. SOAP 1.1 (6.2) would have 500 there, which here means only that this program failed.

mod fault;
mod request;
mod response;
#[cfg(test)]
mod tests;

use futures_util::future::LocalBoxFuture;
use tornello_engine::calendar;
use tornello_engine::iban::Iban;
use tornello_engine::ids::{MuseumId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::notice::{AMOUNT_MAX, NoticeNumber};
use tornello_engine::time::Timestamp;

use super::settings::{Creditor, Settings};
use super::xml::XmlError;
pub use fault::Fault;
pub use request::{
    BODY_MAX, Content, GetDetails, NoticeKey, Operation, Person, Receipt, Request, Routing, SPACE, Transfer, TransferType, Unread, read,
};
pub use response::Debtor;
use response::Due;

/// The type of every answer's body.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// The longest id of a receipt (`stPaymentToken`).
const RECEIPT_ID_MAX: usize = 35;

/// Whom and what is asked about: one of our payments, whether it exists or not.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// To whom it is due.
    pub creditor: &'a Creditor,
    /// Which payment.
    pub payment: PaymentId,
    /// Its notice number.
    pub notice: NoticeNumber,
}

/// What is due for a payment that can be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// How much.
    pub amount: Cents,
    /// Until when; what is said is the last day in Rome on which it can be paid.
    pub due_at: Timestamp,
    /// What for, without personal data; what is beyond 140 characters is cut.
    pub description: String,
    /// Whose account is paid.
    pub museum: MuseumId,
    /// Who owes it.
    pub debtor: Debtor,
}

/// What stands behind the station. Asking twice gives the same answer as long as nothing happened.
pub trait Station {
    /// Whether a payment can be made now.
    fn verify<'a>(&'a self, asked: Asked<'a>) -> LocalBoxFuture<'a, Result<Position, Fault>>;
    /// The same when it is about to be made: for half an hour or longer, money may come.
    fn get<'a>(&'a self, asked: Asked<'a>, details: &'a GetDetails) -> LocalBoxFuture<'a, Result<Position, Fault>>;
    /// Money came. To be answered when that is on the disk: who hears nothing sends it again.
    fn receipt<'a>(&'a self, asked: Asked<'a>, receipt: &'a Receipt) -> LocalBoxFuture<'a, Result<(), Fault>>;
}

/// Answers a message: status and body.
pub async fn answer(station: &dyn Station, settings: &Settings, soap_action: Option<&str>, body: &[u8]) -> (u16, Vec<u8>) {
    let action = soap_action.map(|action| action.trim().trim_matches('"')).filter(|action| !action.is_empty());
    let named = match action {
        None => None,
        Some(action) => match Operation::ALL.into_iter().find(|operation| operation.action() == action) {
            Some(operation) => Some(operation),
            None => return (400, response::soap_fault("soapenv:Client", "this station has no such operation")),
        },
    };
    let request = match read(body, named) {
        Ok(request) => request,
        Err(Unread::Form(_, error @ XmlError::TooLarge { .. })) => return (413, response::soap_fault("soapenv:Client", &error.to_string())),
        Err(Unread::Form(Some(operation), error)) => {
            return (200, response::refused(operation, Fault::Syntax, &settings.broker, &error.to_string()));
        }
        Err(Unread::Form(None, error)) => return (400, response::soap_fault("soapenv:Client", &error.to_string())),
        Err(Unread::NotOurs) => return (400, response::soap_fault("soapenv:Client", "this station has no such operation")),
        Err(Unread::MustUnderstand) => return (400, response::soap_fault("soapenv:MustUnderstand", "no header is understood")),
    };
    let creditor = settings.creditor_of_code(&request.routing.creditor);
    let emitter = creditor.map_or_else(|| settings.broker.clone(), |creditor| creditor.fiscal_code.to_string());
    match done(station, settings, creditor, &request).await {
        Ok(body) => (200, body),
        Err((fault, description)) => (200, response::refused(request.operation, fault, &emitter, description)),
    }
}

/// The checks in their order, then what is asked.
async fn done(station: &dyn Station, settings: &Settings, creditor: Option<&Creditor>, request: &Request) -> Result<Vec<u8>, (Fault, &'static str)> {
    let plain = |fault| (fault, "");
    let creditor = creditor.ok_or((Fault::Creditor, "idPA"))?;
    if request.routing.broker != settings.broker {
        return Err((Fault::Broker, "idBrokerPA"));
    }
    if request.routing.station != settings.station {
        return Err((Fault::Station, "idStation"));
    }
    let key = match &request.content {
        Content::Verify(key) | Content::Get(key, _) => key,
        Content::Receipt(receipt) => &receipt.notice,
    };
    if key.fiscal_code != creditor.fiscal_code.to_string() {
        return Err((Fault::Creditor, "fiscalCode"));
    }
    // Numbers whose check digits do not fit, or which others gave out, are as good as unknown: test material of the platform has them on purpose.
    let notice: NoticeNumber = key.notice_number.parse().map_err(|_| plain(Fault::Unknown))?;
    let payment = creditor.payment(notice).ok_or(plain(Fault::Unknown))?;
    let asked = Asked { creditor, payment, notice };
    match &request.content {
        Content::Verify(_) => {
            let position = station.verify(asked).await.map_err(plain)?;
            due(asked, &position, None, response::verified)
        }
        Content::Get(_, details) => {
            if details.transfer_type == Some(TransferType::Postal) && creditor.postal_iban.is_none() {
                // Nothing is kept for who cannot pay so; what the payment itself has to say comes first.
                station.verify(asked).await.map_err(plain)?;
                return Err((Fault::Semantics, "transferType"));
            }
            let position = station.get(asked, details).await.map_err(plain)?;
            due(asked, &position, details.transfer_type, |due| response::got(request.operation, due))
        }
        Content::Receipt(receipt) => {
            sound(receipt)?;
            station.receipt(asked, receipt).await.map_err(plain)?;
            Ok(response::received(request.operation))
        }
    }
}

/// What a receipt cannot be, whatever the payment is. Anything else is taken: it certifies that somebody paid.
fn sound(receipt: &Receipt) -> Result<(), (Fault, &'static str)> {
    if !receipt.paid {
        return Err((Fault::Semantics, "outcome"));
    }
    if !(1..=RECEIPT_ID_MAX).contains(&receipt.id.chars().count()) {
        return Err((Fault::Semantics, "receiptId"));
    }
    Ok(())
}

/// Makes an answer of what is due.
fn due(
    asked: Asked<'_>,
    position: &Position,
    transfer_type: Option<TransferType>,
    write: impl FnOnce(&Due<'_>) -> Vec<u8>,
) -> Result<Vec<u8>, (Fault, &'static str)> {
    if position.amount <= Cents::ZERO || position.amount > AMOUNT_MAX {
        tracing::error!(payment = %asked.payment, "what is due for a payment cannot be asked for");
        return Err((Fault::System, ""));
    }
    let creditor = asked.creditor;
    let (postal, own) = (creditor.postal_iban, creditor.iban(position.museum));
    let postal = postal.as_ref().map(Iban::as_str);
    let (iban, beside) = match (transfer_type, postal) {
        (Some(TransferType::Postal), Some(postal)) => (postal, None),
        (Some(TransferType::Postal), None) => return Err((Fault::Semantics, "transferType")),
        (Some(TransferType::Pagopa), postal) => (own.as_str(), postal),
        (None, _) => (own.as_str(), None),
    };
    let (reference, category) = (asked.notice.iuv(), creditor.taxonomy.to_string());
    Ok(write(&Due {
        amount: position.amount,
        due_on: calendar::last_day(position.due_at).0,
        description: &position.description,
        creditor: creditor.fiscal_code,
        company_name: &creditor.company_name,
        office_name: creditor.office_name.as_deref(),
        creditor_reference: &reference,
        debtor: &position.debtor,
        iban,
        postal_iban_beside: beside,
        category: &category,
        all_postal: postal.is_some(),
    }))
}
