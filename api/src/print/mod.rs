//! Tickets as people take them along: QR codes for screens and mails, and a PDF to print at home.
//!
//! Pure functions: no I/O, no clock, and the same input gives the same bytes. The caller looks everything up and hands over a [`PrintedTicket`]; whether the
//! ticket is paid, cancelled or used is not asked here. `qr` draws one code, `pdf` lays out and writes the pages, `text` fits sentences into boxes.

mod pdf;
mod qr;
mod text;

use jiff::civil::{Date, Time};
use tornello_engine::money::Cents;

pub use pdf::tickets_pdf;
pub use qr::{CODE_LENGTH_MAX, qr_png, qr_svg};

/// How many tickets one PDF may have: two school classes with their teachers.
pub const TICKETS_MAX: usize = 60;

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

/// Why something cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// The text is empty, too long or has characters outside QR's compact alphabet.
    #[error("the text cannot be a ticket code: 1 to {} characters of digits, capitals and $%*+-./: or space are expected", CODE_LENGTH_MAX)]
    NotACode,
    /// A PDF without a ticket.
    #[error("there is no ticket to print")]
    Nothing,
    /// More tickets than one PDF may have.
    #[error("{count} tickets are too many for one file: {TICKETS_MAX} are the most")]
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
