//! What a clerk needs of a bank statement: per entry the day, the amount, in or out, what the transfer says, and our own reference where the bank gives it back.
//!
//! [`read_csv`] reads the table that most banks export. It is strict: an entry that cannot be understood is an error with its line, never left out.

use jiff::civil::Date;
use tornello_engine::iban::Iban;
use tornello_engine::money::Cents;

use crate::csv::{CsvFault, records};

/// The largest statement that is read, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 8 << 20;
/// The most entries of one statement.
pub const ENTRIES_MAX: usize = 50_000;
/// The most cents of one entry: what fits pagoPA's and SEPA's documents.
pub(super) const CENTS_MAX: i64 = 99_999_999_999_999;

/// How the columns that are read may be called, in lower case.
const DAY: [&str; 6] = ["date", "data", "data contabile", "data operazione", "booking date", "data registrazione"];
const AMOUNT: [&str; 3] = ["amount", "importo", "importo euro"];
const REMITTANCE: [&str; 5] = ["remittance", "causale", "descrizione", "descrizione operazione", "remittance information"];
const END_TO_END: [&str; 3] = ["end_to_end_id", "end to end id", "riferimento end to end"];

/// Into the account or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Money came in.
    Credit,
    /// Money went out.
    Debit,
}

/// One booking on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line of the file on which it begins, from 1.
    pub line: u32,
    /// The account, where the statement names it.
    pub account: Option<Iban>,
    /// The day on which the bank booked it.
    pub booked_on: Date,
    /// How much; always more than nothing.
    pub amount: Cents,
    /// Into the account or out of it.
    pub direction: Direction,
    /// What the transfer says; may be empty.
    pub remittance: String,
    /// The reference that whoever ordered the transfer gave it: for a refund, ours.
    pub end_to_end_id: Option<String>,
    /// The bank's own reference.
    pub bank_reference: Option<String>,
    /// Why a transfer came back (ISO 20022 code), if this is one that did.
    pub return_reason: Option<String>,
}

impl Entry {
    /// The reporting flow whose payments this transfer brings together, if its text has the form that pagoPA prescribes
    /// (SACI 3.2.1: `/PUR/LGPE-RIVERSAMENTO/TXT/<number>/URI/<flow>`). The flow is for the caller to know.
    #[must_use]
    pub fn flow(&self) -> Option<&str> {
        let (_, rest) = self.remittance.split_once("/PUR/LGPE-RIVERSAMENTO")?;
        let (_, flow) = rest.split_once("/URI/")?;
        let end = flow.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(flow.len());
        let flow = &flow[..end];
        (self.direction == Direction::Credit && (1..=35).contains(&flow.len())).then_some(flow)
    }
}

/// Why a statement cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct StatementError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than are read.
    #[error("the file is larger than {} bytes", STATEMENT_BYTES_MAX)]
    TooLarge,
    /// More entries than are read.
    #[error("the file has more than {} entries", ENTRIES_MAX)]
    TooMany,
    /// Other bytes than UTF-8, or another encoding declared.
    #[error("the file must be in UTF-8")]
    Encoding,
    /// Nothing in it.
    #[error("the file has no entries")]
    Empty,
    /// No column of that kind.
    #[error("there is no column {0}")]
    NoColumn(&'static str),
    /// Two columns that could be it.
    #[error("there are two columns {0}")]
    TwoColumns(&'static str),
    /// The table is not one.
    #[error(transparent)]
    Csv(#[from] CsvFault),
    /// Not a date.
    #[error("a date such as 2026-11-23 or 23/11/2026 is expected")]
    Date,
    /// Not an amount.
    #[error("an amount with two decimals such as 1234.56 or 1.234,56 is expected, not zero")]
    Amount,
    /// Another currency.
    #[error("only euros are read")]
    Currency,
    /// Not well-formed XML.
    #[error("this is not well-formed XML")]
    Malformed,
    /// A document type, a processing instruction or an entity of its own.
    #[error("document types, entities and processing instructions are not read")]
    Forbidden,
    /// Elements in elements beyond the limit.
    #[error("elements are too deep in one another")]
    TooDeep,
    /// Another document.
    #[error("this is not a statement of the kind camt.053")]
    NotAStatement,
    /// An element that must be there.
    #[error("{0} is missing or has another form")]
    Missing(&'static str),
    /// Details that do not come to the amount of their entry.
    #[error("the details do not add up to the amount of the entry")]
    Sum,
}

impl Fault {
    pub(super) const fn at(self, line: u32) -> StatementError {
        StatementError { line, fault: self }
    }
}

/// Bytes that may be read, as text without a byte order mark.
pub(super) fn text_of(file: &[u8]) -> Result<&str, StatementError> {
    if file.len() > STATEMENT_BYTES_MAX {
        return Err(Fault::TooLarge.at(1));
    }
    let text = std::str::from_utf8(file).map_err(|error| {
        let lines = file[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        Fault::Encoding.at(u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The entries of a table with a line of names: a day, an amount (less than zero: out of the account), what the transfer says, and where there is one our
/// reference. Other columns are not looked at. Cells stand apart by semicolons, commas or tabs: whatever the first line has.
///
/// # Errors
/// The first line that cannot be understood.
pub fn read_csv(file: &[u8]) -> Result<Vec<Entry>, StatementError> {
    let text = text_of(file)?;
    let first = text.lines().next().unwrap_or_default();
    let separator = [';', '\t'].into_iter().find(|&separator| first.contains(separator)).unwrap_or(',');
    let mut records = records(text, separator);
    let heads = match records.next() {
        None => return Err(Fault::Empty.at(1)),
        Some(heads) => heads.map_err(|(line, fault)| Fault::Csv(fault).at(line))?.cells,
    };
    let heads: Vec<String> = heads.iter().map(|head| head.trim().to_lowercase()).collect();
    let column = |name, names: &[&str]| {
        let mut found = (0..heads.len()).filter(|&at| names.contains(&heads[at].as_str()));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Fault::TwoColumns(name).at(1)),
            (found, _) => Ok(found),
        }
    };
    let needed = |name, names: &[&str]| column(name, names)?.ok_or_else(|| Fault::NoColumn(name).at(1));
    let (day, amount) = (needed("date", &DAY)?, needed("amount", &AMOUNT)?);
    let (remittance, end_to_end) = (needed("remittance", &REMITTANCE)?, column("end_to_end_id", &END_TO_END)?);
    let mut entries = Vec::new();
    for record in records {
        let record = record.map_err(|(line, fault)| Fault::Csv(fault).at(line))?;
        if entries.len() == ENTRIES_MAX {
            return Err(Fault::TooMany.at(record.line));
        }
        let cell = |at: usize| record.cells.get(at).map_or("", |cell| cell.trim());
        let signed = amount_of(cell(amount)).ok_or_else(|| Fault::Amount.at(record.line))?;
        entries.push(Entry {
            line: record.line,
            account: None,
            booked_on: day_of(cell(day)).ok_or_else(|| Fault::Date.at(record.line))?,
            amount: Cents::new(signed.abs()),
            direction: if signed < 0 { Direction::Debit } else { Direction::Credit },
            remittance: cell(remittance).to_owned(),
            end_to_end_id: end_to_end.map(cell).filter(|id| !id.is_empty()).map(str::to_owned),
            bank_reference: None,
            return_reason: None,
        });
    }
    if entries.is_empty() { Err(Fault::Empty.at(1)) } else { Ok(entries) }
}

/// `2026-11-23`, `23/11/2026`, `23-11-2026` or `23.11.2026`.
fn day_of(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return None };
    if !parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let (year, month, day) = match (a.len(), b.len(), c.len()) {
        (4, 2, 2) if text.contains('-') => (a, b, c),
        (1..=2, 1..=2, 4) => (c, b, a),
        _ => return None,
    };
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// Cents, not zero, of an amount with two decimals: `1234.56`, `1.234,56`, `-0,50`, `+12.00`, with or without a sign for euros.
fn amount_of(text: &str) -> Option<i64> {
    let text = text.trim_start_matches('€').trim_end_matches('€').trim_end_matches("EUR").trim();
    let (is_negative, text) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (point, _) = text.char_indices().rev().find(|(_, c)| matches!(c, '.' | ','))?;
    let (whole, decimals) = (&text[..point], &text[point + 1..]);
    let thousands = if text.as_bytes()[point] == b',' { '.' } else { ',' };
    let groups: Vec<&str> = whole.split(thousands).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = groups.len() == 1 || (groups[0].len() <= 3 && groups[1..].iter().all(|group| group.len() == 3));
    if !grouped || decimals.len() != 2 || !is_number(decimals) || !groups.iter().all(|group| is_number(group)) {
        return None;
    }
    let cents: i64 = (groups.concat() + decimals).parse().ok().filter(|cents| (1..=CENTS_MAX).contains(cents))?;
    Some(if is_negative { -cents } else { cents })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_table_of_an_italian_bank_is_read() {
        let file = "\u{feff}Data contabile;Valuta;Importo;Causale;End to end id\r\n\
                    23/11/2026;EUR;302,00;/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-23PSPXYZ01-0000000042;\r\n\
                    24/11/2026;EUR;-1.234,50;\"Rimborso; \"\"visita\"\" annullata\nseconda riga\";000g00g1rksp8\r\n\
                    2026-11-25;EUR;€ 0,05 ;;\r\n";
        let entries = read_csv(file.as_bytes()).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 3, 5]);
        assert_eq!(entries[0].flow(), Some("2026-11-23PSPXYZ01-0000000042"));
        assert_eq!((entries[0].amount, entries[0].direction, entries[0].booked_on), (Cents::new(30_200), Direction::Credit, date(2026, 11, 23)));
        assert_eq!((entries[1].amount, entries[1].direction), (Cents::new(123_450), Direction::Debit));
        assert_eq!(
            (&*entries[1].remittance, entries[1].end_to_end_id.as_deref()),
            ("Rimborso; \"visita\" annullata\nseconda riga", Some("000g00g1rksp8"))
        );
        assert_eq!((entries[2].amount, entries[2].end_to_end_id.as_deref(), entries[2].flow()), (Cents::new(5), None, None));
    }

    #[test]
    fn the_first_line_that_is_wrong_is_named() {
        let good = "date,amount,remittance\n2026-11-23,10.00,a\n";
        assert_eq!(read_csv(good.as_bytes()).unwrap().len(), 1);
        let cases: [(&str, u32, Fault); 12] = [
            ("", 1, Fault::Empty),
            ("date,amount,remittance\n", 1, Fault::Empty),
            ("date,amount\n2026-11-23,10.00\n", 1, Fault::NoColumn("remittance")),
            ("date,data,amount,remittance\n", 1, Fault::TwoColumns("date")),
            (&format!("{good}2026-13-01,10.00,b\n"), 3, Fault::Date),
            (&format!("{good}11/23/2026,10.00,b\n"), 3, Fault::Date),
            (&format!("{good}2026-11-24,10,b\n"), 3, Fault::Amount),
            (&format!("{good}2026-11-24,0.00,b\n"), 3, Fault::Amount),
            (&format!("{good}2026-11-24,1.000,b\n"), 3, Fault::Amount),
            (&format!("{good}2026-11-24,10.00\n"), 3, Fault::Csv(CsvFault::Cells { expected: 3, found: 2 })),
            (&format!("{good}2026-11-24,10.00,\"b\n\n"), 3, Fault::Csv(CsvFault::OpenQuote)),
            (&format!("{good}2026-11-24,10.00,b\"c\n"), 3, Fault::Csv(CsvFault::StrayQuote)),
        ];
        for (file, line, fault) in cases {
            assert_eq!(read_csv(file.as_bytes()), Err(fault.at(line)), "{file}");
        }
        assert_eq!(read_csv(b"date,amount,remittance\n2026-11-23,10.00,a\n2026-11-24,1.00,\xff\n"), Err(Fault::Encoding.at(3)));
        assert_eq!(read_csv(&vec![b' '; STATEMENT_BYTES_MAX + 1]), Err(Fault::TooLarge.at(1)));
        let many = "date,amount,remittance\n".to_owned() + &"2026-11-23,10.00,a\n".repeat(ENTRIES_MAX + 1);
        assert_eq!(read_csv(many.as_bytes()), Err(Fault::TooMany.at(50_002)));
        let most = many.strip_suffix("2026-11-23,10.00,a\n").unwrap();
        assert_eq!(read_csv(most.as_bytes()).map(|entries| entries.len()), Ok(ENTRIES_MAX));
        assert_ne!(read_csv(&vec![b' '; STATEMENT_BYTES_MAX]), Err(Fault::TooLarge.at(1)));
        assert_eq!(Fault::Date.at(3).to_string(), "line 3: a date such as 2026-11-23 or 23/11/2026 is expected");
    }

    #[test]
    fn amounts_are_read_one_way_or_not_at_all() {
        for (text, cents) in [
            ("0.01", Some(1)),
            ("1234,56", Some(123_456)),
            ("1.234,56", Some(123_456)),
            ("1,234,567.89", Some(123_456_789)),
            ("-12.00", Some(-1_200)),
            ("+12,00 EUR", Some(1_200)),
            ("\u{2212}12,00", Some(-1_200)),
            ("1.234", None),
            ("12", None),
            ("12.5", None),
            ("12.505", None),
            ("1.23.456,00", None),
            (".50", None),
            ("1 234,00", None),
            ("--1,00", None),
            ("1e2.00", None),
            ("0,00", None),
            ("99999999999999999999,00", None),
        ] {
            assert_eq!(amount_of(text), cents, "{text}");
        }
    }

    #[test]
    fn only_pagopas_form_names_a_flow() {
        let entry = |remittance: &str, direction| Entry {
            line: 1,
            account: None,
            booked_on: date(2026, 11, 23),
            amount: Cents::new(1),
            direction,
            remittance: remittance.to_owned(),
            end_to_end_id: None,
            bank_reference: None,
            return_reason: None,
        };
        let prescribed = "BONIFICO /PUR/LGPE-RIVERSAMENTO/TXT/12/URI/2026-11-23ABI03069-42 ORD. BANCA";
        assert_eq!(entry(prescribed, Direction::Credit).flow(), Some("2026-11-23ABI03069-42"));
        for (remittance, direction) in [
            (prescribed, Direction::Debit),
            ("/URI/2026-11-23ABI03069-42", Direction::Credit),
            ("/PUR/LGPE-RIVERSAMENTO/TXT/12/URI/", Direction::Credit),
            (&format!("/PUR/LGPE-RIVERSAMENTO/URI/{}", "1".repeat(36)), Direction::Credit),
        ] {
            assert_eq!(entry(remittance, direction).flow(), None, "{remittance}");
        }
    }
}
