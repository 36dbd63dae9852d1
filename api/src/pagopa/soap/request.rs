//! What the node asks: messages of `paForNode` read against their schema, each rule once.

use jiff::civil::Date;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use crate::pagopa::xml::{Limits, XmlError, XmlReader, amount, amount_above_zero, boolean, day, digits, instant, text, whole};

/// The largest message that is taken, in bytes.
pub const BODY_MAX: usize = 256 * 1024;
/// The namespace of messages; what is in them has none.
pub const SPACE: &str = "http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd";
pub(super) const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

const LIMITS: Limits = Limits { bytes: BODY_MAX, depth: 16 };
const METADATA_MAX: usize = 15;
const TRANSFERS_MAX: usize = 5;

/// What the station can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Whether a notice can be paid, and how much is due.
    Verify,
    /// Everything needed to pay it.
    Get,
    /// The same, second version.
    GetV2,
    /// It was paid.
    Receipt,
    /// The same, second version.
    ReceiptV2,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Verify, Self::Get, Self::GetV2, Self::Receipt, Self::ReceiptV2];

    /// Its name, as the header SOAPAction has it.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Verify => "paVerifyPaymentNotice",
            Self::Get => "paGetPayment",
            Self::GetV2 => "paGetPaymentV2",
            Self::Receipt => "paSendRT",
            Self::ReceiptV2 => "paSendRTV2",
        }
    }

    /// The root of its request.
    #[must_use]
    pub const fn request(self) -> &'static str {
        match self {
            Self::Verify => "paVerifyPaymentNoticeReq",
            Self::Get => "paGetPaymentReq",
            Self::GetV2 => "paGetPaymentV2Request",
            Self::Receipt => "paSendRTReq",
            Self::ReceiptV2 => "paSendRTV2Request",
        }
    }

    /// The root of its response.
    #[must_use]
    pub const fn response(self) -> &'static str {
        match self {
            Self::Verify => "paVerifyPaymentNoticeRes",
            Self::Get => "paGetPaymentRes",
            Self::GetV2 => "paGetPaymentV2Response",
            Self::Receipt => "paSendRTRes",
            Self::ReceiptV2 => "paSendRTV2Response",
        }
    }
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// `idPA`: the creditor's fiscal code.
    pub creditor: String,
    /// `idBrokerPA`.
    pub broker: String,
    /// `idStation`.
    pub station: String,
}

/// Which notice, of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeKey {
    /// 11 digits.
    pub fiscal_code: String,
    /// 18 digits.
    pub notice_number: String,
}

/// Which account should be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferType {
    /// A postal one.
    Postal,
    /// Any.
    Pagopa,
}

/// What comes with a get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetDetails {
    /// What the payer was shown; what is due now may differ.
    pub amount: Option<Cents>,
    /// The id of our own cart, if it is paid through a payment page.
    pub payment_note: Option<String>,
    /// Which account should be paid.
    pub transfer_type: Option<TransferType>,
    /// The day that was shown.
    pub due_on: Option<Date>,
}

/// Somebody who owes or pays. Personal data: not for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// A natural person, rather than an organization.
    pub natural: bool,
    /// Fiscal code or VAT number, 2 to 16 characters.
    pub code: String,
    /// 1 to 70 characters.
    pub full_name: String,
    /// The address of e-mail.
    pub email: Option<String>,
}

/// A part of what was paid, to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// 1 to 5: the index of a report.
    pub id: u64,
    /// Its amount.
    pub amount: Cents,
    /// To whom.
    pub fiscal_code: String,
    /// To which account.
    pub iban: String,
}

/// That a notice was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The token of the payment, which reports call IUR.
    pub id: String,
    /// Which notice.
    pub notice: NoticeKey,
    /// Whether it was paid: receipts of anything else are not sent.
    pub paid: bool,
    /// The IUV.
    pub creditor_reference: String,
    /// How much.
    pub amount: Cents,
    /// Who owed it.
    pub debtor: Person,
    /// To whom it goes.
    pub transfers: Vec<Transfer>,
    /// Which bank or other provider took it.
    pub psp: String,
    /// Its name.
    pub psp_name: String,
    /// Through which channel.
    pub channel: String,
    /// In its words.
    pub channel_description: String,
    /// Who paid, if that is known.
    pub payer: Option<Person>,
    /// How.
    pub method: Option<String>,
    /// The id of our own cart; second version only.
    pub payment_note: Option<String>,
    /// What the payer paid the provider for it.
    pub fee: Option<Cents>,
    /// The legal time of the payment (SACI, transfer of funds).
    pub paid_at: Option<Timestamp>,
    /// Whether the platform answered in our place.
    pub stand_in: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub operation: Operation,
    /// Of whom.
    pub routing: Routing,
    /// About what.
    pub content: Content,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A notice.
    Verify(NoticeKey),
    /// A notice, to be paid.
    Get(NoticeKey, GetDetails),
    /// A payment.
    Receipt(Box<Receipt>),
}

/// Why a message was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not one that this station knows.
    NotOurs,
    /// It has a header that must be understood.
    MustUnderstand,
    /// It is not of the form it must have. Says which it is, as far as that was read.
    Form(Option<Operation>, XmlError),
}

/// Reads a message. If the header says which it is, it must be that.
pub fn read(body: &[u8], action: Option<Operation>) -> Result<Request, Unread> {
    let form = |error| Unread::Form(action, error);
    let mut reader = XmlReader::new(body, LIMITS, Some(ENVELOPE)).map_err(form)?;
    let must_understand = open_envelope(&mut reader).map_err(form)?;
    if must_understand {
        return Err(Unread::MustUnderstand);
    }
    let found = reader.next_element().map_err(form)?;
    let named = Operation::ALL.into_iter().find(|operation| found == Some((operation.request(), Some(SPACE))));
    let Some(operation) = action.or(named) else { return Err(if found.is_some() { Unread::NotOurs } else { form(reader.expected("a message")) }) };
    content(&mut reader, operation).map_err(|error| Unread::Form(Some(operation), error))
}

/// Goes to the message in the body. Answers whether there is a header that must be understood.
fn open_envelope(reader: &mut XmlReader<'_>) -> Result<bool, XmlError> {
    let wrapped = |reader: &mut XmlReader<'_>, name| if reader.wrapped_in(name)? { Ok(()) } else { Err(reader.expected(name)) };
    wrapped(reader, "Envelope")?;
    let must_understand = reader.wrapped_in("Header")? && reader.skip()?;
    wrapped(reader, "Body")?;
    Ok(must_understand)
}

fn content(reader: &mut XmlReader<'_>, operation: Operation) -> Result<Request, XmlError> {
    reader.within(Some(SPACE));
    reader.enter(operation.request())?;
    reader.within(None);
    let routing = Routing {
        creditor: reader.value("idPA", text::<1, 35>)?,
        broker: reader.value("idBrokerPA", text::<1, 35>)?,
        station: reader.value("idStation", text::<1, 35>)?,
    };
    let content = match operation {
        Operation::Verify => Content::Verify(notice(reader)?),
        Operation::Get | Operation::GetV2 => Content::Get(notice(reader)?, details(reader)?),
        Operation::Receipt => Content::Receipt(Box::new(receipt(reader, false)?)),
        Operation::ReceiptV2 => Content::Receipt(Box::new(receipt(reader, true)?)),
    };
    reader.leave()?;
    reader.within(Some(ENVELOPE));
    reader.leave()?;
    reader.leave()?;
    reader.end()?;
    Ok(Request { operation, routing, content })
}

fn notice(reader: &mut XmlReader<'_>) -> Result<NoticeKey, XmlError> {
    reader.enter("qrCode")?;
    let key = NoticeKey { fiscal_code: reader.value("fiscalCode", digits::<11>)?, notice_number: reader.value("noticeNumber", digits::<18>)? };
    reader.leave()?;
    Ok(key)
}

fn details(reader: &mut XmlReader<'_>) -> Result<GetDetails, XmlError> {
    let transfer_type = |text: &str| match text {
        "POSTAL" => Some(TransferType::Postal),
        "PAGOPA" => Some(TransferType::Pagopa),
        _ => None,
    };
    Ok(GetDetails {
        amount: reader.value_if("amount", amount)?,
        payment_note: reader.value_if("paymentNote", text::<1, 210>)?,
        transfer_type: reader.value_if("transferType", transfer_type)?,
        due_on: reader.value_if("dueDate", day)?,
    })
}

/// The fields in the order of the schema, which is the only one that is taken; those that nobody needs are held to their form all the same.
fn receipt(reader: &mut XmlReader<'_>, second: bool) -> Result<Receipt, XmlError> {
    reader.enter("receipt")?;
    let id = reader.value("receiptId", text::<0, { usize::MAX }>)?;
    let notice_number = reader.value("noticeNumber", digits::<18>)?;
    let fiscal_code = reader.value("fiscalCode", digits::<11>)?;
    let paid = reader.value("outcome", outcome)?;
    let creditor_reference = reader.value("creditorReferenceId", text::<1, 35>)?;
    let paid_amount = reader.value("paymentAmount", amount)?;
    reader.value("description", text::<1, 140>)?;
    reader.value("companyName", text::<1, 140>)?;
    reader.value_if("officeName", text::<1, 140>)?;
    let debtor = person(reader, "debtor")?.ok_or_else(|| reader.expected("debtor"))?;
    let transfers = transfers(reader, second)?;
    let psp = reader.value("idPSP", text::<1, 35>)?;
    reader.value_if("pspFiscalCode", text::<1, 70>)?;
    reader.value_if("pspPartitaIVA", text::<1, 20>)?;
    let psp_name = reader.value("PSPCompanyName", text::<1, 70>)?;
    let channel = reader.value("idChannel", text::<1, 35>)?;
    let channel_description = reader.value("channelDescription", text::<1, 35>)?;
    let payer = person(reader, "payer")?;
    let method = reader.value_if("paymentMethod", text::<1, 35>)?;
    let payment_note = if second { reader.value_if("paymentNote", text::<1, 210>)? } else { None };
    let fee = reader.value_if("fee", amount)?;
    if second {
        reader.value_if("primaryCiIncurredFee", amount)?;
        reader.value_if("idBundle", text::<1, 70>)?;
        reader.value_if("idCiBundle", text::<1, 70>)?;
    }
    let paid_at = reader.value_if("paymentDateTime", instant)?;
    reader.value_if("applicationDate", day)?;
    reader.value_if("transferDate", day)?;
    metadata(reader)?;
    let stand_in = reader.value_if("standIn", boolean)?.unwrap_or(false);
    reader.leave()?;
    let notice = NoticeKey { fiscal_code, notice_number };
    Ok(Receipt {
        id,
        notice,
        paid,
        creditor_reference,
        amount: paid_amount,
        debtor,
        transfers,
        psp,
        psp_name,
        channel,
        channel_description,
        payer,
        method,
        payment_note,
        fee,
        paid_at,
        stand_in,
    })
}

fn outcome(text: &str) -> Option<bool> {
    match text {
        "OK" => Some(true),
        "KO" => Some(false),
        _ => None,
    }
}

fn person(reader: &mut XmlReader<'_>, name: &'static str) -> Result<Option<Person>, XmlError> {
    if !reader.enter_if(name)? {
        return Ok(None);
    }
    let kind = |text: &str| match text {
        "F" => Some(true),
        "G" => Some(false),
        _ => None,
    };
    let country = |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(());
    reader.enter("uniqueIdentifier")?;
    let natural = reader.value("entityUniqueIdentifierType", kind)?;
    let code = reader.value("entityUniqueIdentifierValue", text::<2, 16>)?;
    reader.leave()?;
    let full_name = reader.value("fullName", text::<1, 70>)?;
    reader.value_if("streetName", text::<1, 70>)?;
    reader.value_if("civicNumber", text::<1, 16>)?;
    reader.value_if("postalCode", text::<1, 16>)?;
    reader.value_if("city", text::<1, 35>)?;
    reader.value_if("stateProvinceRegion", text::<1, 35>)?;
    reader.value_if("country", country)?;
    let email = reader.value_if("e-mail", email)?;
    reader.leave()?;
    Ok(Some(Person { natural, code, full_name, email }))
}

/// As the schema's pattern has it: one `@`, parts between dots on its right.
fn email(text: &str) -> Option<String> {
    let (local, host) = text.split_once('@')?;
    let all = |part: &str, more: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    (text.len() <= 256 && all(local, "_.+-") && host.split('.').all(|part| all(part, "-"))).then(|| text.to_owned())
}

fn transfers(reader: &mut XmlReader<'_>, second: bool) -> Result<Vec<Transfer>, XmlError> {
    reader.enter("transferList")?;
    let mut transfers = Vec::new();
    while transfers.len() < TRANSFERS_MAX && reader.enter_if("transfer")? {
        let id = reader.value("idTransfer", whole::<1, 5>)?;
        let amount = reader.value("transferAmount", amount_above_zero)?;
        let fiscal_code = reader.value("fiscalCodePA", digits::<11>)?;
        if second {
            reader.value_if("companyName", text::<1, 140>)?;
        }
        let iban = reader.value("IBAN", text::<1, 35>)?;
        reader.value("remittanceInformation", text::<1, 140>)?;
        reader.value("transferCategory", text::<1, 140>)?;
        metadata(reader)?;
        reader.leave()?;
        transfers.push(Transfer { id, amount, fiscal_code, iban });
    }
    if transfers.is_empty() {
        return Err(reader.expected("transfer"));
    }
    reader.leave()?;
    Ok(transfers)
}

fn metadata(reader: &mut XmlReader<'_>) -> Result<(), XmlError> {
    if !reader.enter_if("metadata")? {
        return Ok(());
    }
    let mut entries = 0;
    while entries < METADATA_MAX && reader.enter_if("mapEntry")? {
        reader.value("key", text::<1, 140>)?;
        reader.value("value", text::<1, 140>)?;
        reader.leave()?;
        entries += 1;
    }
    if entries == 0 { Err(reader.expected("mapEntry")) } else { reader.leave() }
}
