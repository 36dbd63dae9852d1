//! What goes to the bank and comes from it as files: refunds as SEPA credit transfers (`pain001`, in the characters of `spelling`), statements to confirm them by and
//! to find pagoPA's collective transfers in (`statement` for CSV, `camt` for ISO 20022).
//!
//! Pure functions: bytes and plain values in, bytes and plain values out. Who may pay out what is decided elsewhere.

pub mod camt;
pub mod pain001;
pub mod spelling;
pub mod statement;
