//! What people take along, sign or keep: tickets, payment notices, quotes and certificates of payment as PDF files, and QR codes for screens and mails.
//!
//! Pure functions: no I/O, no clock, and the same input gives the same bytes. The caller looks everything up and hands over a [`PrintedTicket`],
//! [`PrintedNotice`], [`PrintedQuote`] or [`PrintedReceipt`]; whether it is paid, cancelled or used is not asked here. Each kind of document has a file that says
//! what stands where, with `layout` (boxes on one sheet) and `flow` (texts and tables over several); `pdf` writes the sheets, `qr` draws codes, `text` fits
//! sentences into boxes, `words` writes days and amounts.

mod flow;
mod layout;
mod notice;
mod pdf;
mod qr;
mod quote;
mod receipt;
mod text;
mod ticket;
mod words;

use jiff::civil::{Date, DateTime, Time};
use tornello_engine::money::Cents;
use tornello_engine::text::Text;

pub use notice::{notice_code, notice_pdf};
pub use qr::{CODE_LENGTH_MAX, qr_png, qr_svg};
pub use quote::quote_pdf;
pub use receipt::receipt_pdf;
pub use text::unprintable;
pub use ticket::tickets_pdf;

/// How many tickets one PDF may have: two school classes with their teachers.
pub const TICKETS_MAX: usize = 60;
/// How many rows one quote or certificate may have: some thirty sheets.
pub const PRINTED_ROWS_MAX: usize = 1_000;

/// What is printed on one ticket. Dates and times are those of the clock on the museum's wall. Texts may hold anything: what does not fit is cut with an
/// ellipsis, what has no glyph becomes a replacement sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedTicket {
    /// The museum's name.
    pub museum: String,
    /// Where it is; may be empty.
    pub city: String,
    /// The route through the museum; may be empty where there is only one.
    pub route: String,
    /// The day of the visit.
    pub day: Date,
    /// When the ticket may first enter.
    pub enter_from: Time,
    /// From when on it may no longer.
    pub enter_until: Time,
    /// The category, in Italian.
    pub category_it: String,
    /// The category, in English.
    pub category_en: String,
    /// What was paid for this ticket.
    pub price: Cents,
    /// Whose name stands on it; empty if nobody's does.
    pub holder: String,
    /// What to show at the gate, in Italian; empty if the code is enough.
    pub show_it: String,
    /// What to show at the gate, in English; empty if the code is enough.
    pub show_en: String,
    /// The sale, as the visitor quotes it to the box office.
    pub reference: String,
    /// The ticket's id, for a gate that cannot read the code.
    pub ticket: String,
    /// Which ticket of the sale this is, from 1.
    pub number: u32,
    /// How many tickets the sale has.
    pub count: u32,
    /// The text of the ticket code.
    pub code: String,
}

/// Who issues a document. All but the name may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Letterhead {
    /// Its name; the first letters of it stand where a logo would.
    pub name: String,
    /// The office, or the museum; empty where the name says it.
    pub office: String,
    /// Its postal address.
    pub address: String,
    /// Its fiscal code: 11 digits.
    pub fiscal_code: String,
    /// Where to ask: a mail address, a telephone number.
    pub contact: String,
}

/// What is printed on a payment notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedNotice {
    /// The creditor; its fiscal code is part of the QR code.
    pub issuer: Letterhead,
    /// Who is to pay.
    pub payer: String,
    /// The payer's fiscal code or VAT number; may be empty.
    pub payer_code: String,
    /// What for, without personal data.
    pub subject: String,
    /// What is due: at least one cent.
    pub amount: Cents,
    /// The last day to pay, on the museum's calendar.
    pub due_on: Date,
    /// Until when on that day, if not until its end.
    pub due_until: Option<Time>,
    /// The notice number (NAV): 18 digits.
    pub notice_number: String,
    /// The payment or quote, as the payer quotes it to the office; may be empty.
    pub reference: String,
}

/// What is printed on a quote of the group office. It is added up here: the total is always that of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedQuote {
    /// The group office.
    pub issuer: Letterhead,
    /// The quote, as the institution quotes it.
    pub number: String,
    /// Which revision of it, from 1.
    pub revision: u32,
    /// When it was written.
    pub issued_on: Date,
    /// The museum that is visited.
    pub museum: String,
    /// The kind of visit.
    pub visit: String,
    /// Who comes.
    pub institution: String,
    /// Its fiscal code, VAT number or code in the index of public administrations; may be empty.
    pub institution_code: String,
    /// The person who answers for it; may be empty.
    pub contact: String,
    /// How to reach that person; may be empty.
    pub contact_address: String,
    /// The visits: at least one.
    pub parts: Vec<QuotedPart>,
    /// What is taken besides places.
    pub extras: Vec<QuotedExtra>,
    /// The fee for booking, if there is one.
    pub fee: Option<QuotedExtra>,
    /// How many escorts enter free; they are among the people of the parts.
    pub free_escorts: u32,
    /// The last day on which it can be signed, if it is to be, and until which time of it; none: until it is over.
    pub sign_by: Option<(Date, Option<Time>)>,
    /// The same of its payment.
    pub pay_by: Option<(Date, Option<Time>)>,
    /// How it is paid, in Italian; may be empty.
    pub payment_it: String,
    /// How it is paid, in English; may be empty.
    pub payment_en: String,
    /// The conditions, in their order; of each the first 2,000 characters are printed.
    pub conditions: Vec<Text>,
}

impl PrintedQuote {
    /// What all rows come to.
    #[must_use]
    pub fn total(&self) -> Cents {
        let people = self.parts.iter().flat_map(|part| &part.people).map(|line| line.price.times(line.count));
        people.chain(self.extras.iter().chain(&self.fee).map(|extra| extra.price.times(extra.count))).sum()
    }
}

/// One visit of a quote: a group that enters together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotedPart {
    /// The day.
    pub day: Date,
    /// When it may first enter.
    pub enter_from: Time,
    /// From when on it may no longer.
    pub enter_until: Time,
    /// The route through the museum; may be empty.
    pub route: String,
    /// Who comes.
    pub people: Vec<QuotedPeople>,
}

/// People of one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotedPeople {
    /// The category, in Italian.
    pub category_it: String,
    /// The category, in English.
    pub category_en: String,
    /// How many.
    pub count: u32,
    /// What each pays.
    pub price: Cents,
}

/// What is sold by the piece besides places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotedExtra {
    /// What it is, in Italian.
    pub name_it: String,
    /// What it is, in English.
    pub name_en: String,
    /// How many.
    pub count: u32,
    /// What each costs.
    pub price: Cents,
}

/// What is printed on a certificate of payment. What is empty is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedReceipt {
    /// Who received the money.
    pub issuer: Letterhead,
    /// The day on which the certificate is written.
    pub issued_on: Date,
    /// Who paid.
    pub payer: String,
    /// The payer's fiscal code or VAT number.
    pub payer_code: String,
    /// What was paid for, row by row.
    pub items: Vec<PaidItem>,
    /// How much was received.
    pub amount: Cents,
    /// How much of it was paid back since.
    pub refunded: Cents,
    /// How much of it is to be paid back, and was not yet.
    pub owed: Cents,
    /// Whether it was contested, and the payer's bank takes it back.
    pub charged_back: bool,
    /// How much of it that bank took, as far as is known.
    pub taken_back: Cents,
    /// When it was paid, on the museum's clock.
    pub paid_at: DateTime,
    /// How, in Italian.
    pub method_it: String,
    /// How, in English.
    pub method_en: String,
    /// The payment service provider.
    pub psp: String,
    /// The notice number.
    pub notice_number: String,
    /// The identifier of the payment (IUV).
    pub iuv: String,
    /// The identifier of the receipt.
    pub receipt: String,
    /// The payment, order or quote.
    pub reference: String,
}

/// A row of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidItem {
    /// What was paid for, in Italian.
    pub what_it: String,
    /// What was paid for, in English.
    pub what_en: String,
    /// How many.
    pub count: u32,
    /// What it came to.
    pub amount: Cents,
}

/// Why something cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// The text is empty, too long or has characters outside QR's compact alphabet.
    #[error("the text cannot be a ticket code: 1 to {} characters of digits, capitals and $%*+-./: or space are expected", CODE_LENGTH_MAX)]
    NotACode,
    /// A payment notice with numbers that no notice has.
    #[error("a payment notice needs a notice number of 18 digits, a fiscal code of 11 and an amount from 0.01 to 999999999.99")]
    NotANotice,
    /// A document without a ticket or a visit.
    #[error("there is nothing to print")]
    Nothing,
    /// More tickets than one PDF may have, or more rows.
    #[error("{count} are too many for one file: {TICKETS_MAX} tickets or {PRINTED_ROWS_MAX} rows are the most")]
    TooMany {
        /// How many were asked for.
        count: usize,
    },
    /// The image or document could not be written: a fault of this program.
    #[error("the file could not be written: {reason}")]
    Unwritable {
        /// What the library said.
        reason: String,
    },
}

impl PrintError {
    fn unwritable(reason: impl std::fmt::Display) -> Self {
        Self::Unwritable { reason: reason.to_string() }
    }
}
