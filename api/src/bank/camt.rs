//! Bank statements as ISO 20022 writes them (camt.053, any version of the message): the booked entries, one for each transfer that a collective booking lists.
//!
//! No document type, no entities of its own, no processing instructions; limits of size and depth. Names of elements are taken without their prefix, and only
//! those that an [`Entry`] needs are looked at.

use jiff::civil::Date;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use tornello_engine::iban::Iban;
use tornello_engine::money::Cents;

use super::statement::{CENTS_MAX, Direction, ENTRIES_MAX, Entry, Fault, StatementError, text_of};

const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.";
const DEPTH_MAX: usize = 32;
/// What SEPA writes where there is no reference.
const NOT_PROVIDED: &str = "NOTPROVIDED";

/// The booked entries of a statement, or of several in one file. A collective booking that lists its transfers with their amounts becomes one entry for each
/// of them; entries that are not booked yet are passed over.
///
/// # Errors
/// The first place that cannot be understood.
pub fn read_camt053(file: &[u8]) -> Result<Vec<Entry>, StatementError> {
    let document = tree(text_of(file)?)?;
    let is_ours = document.name == "Document" && document.namespaces.iter().any(|namespace| namespace.starts_with(NAMESPACE));
    let message = document.child("BkToCstmrStmt").filter(|_| is_ours).ok_or_else(|| Fault::NotAStatement.at(document.line))?;
    let mut entries = Vec::new();
    for statement in message.all("Stmt") {
        let account = statement.at(&["Acct", "Id", "IBAN"]).and_then(|iban| iban.text.trim().parse().ok());
        for booking in statement.all("Ntry") {
            read_booking(booking, account, &mut entries)?;
            if entries.len() > ENTRIES_MAX {
                return Err(Fault::TooMany.at(booking.line));
            }
        }
    }
    if entries.is_empty() { Err(Fault::Empty.at(document.line)) } else { Ok(entries) }
}

fn read_booking(booking: &Element, account: Option<Iban>, entries: &mut Vec<Entry>) -> Result<(), StatementError> {
    let missing = |what| Fault::Missing(what).at(booking.line);
    let status = booking.child("Sts").ok_or_else(|| missing("Sts"))?;
    // A plain code up to version 7, a choice since.
    let status = status.child("Cd").unwrap_or(status).text.trim();
    if status != "BOOK" {
        return Ok(());
    }
    let amount = amount(booking.child("Amt").ok_or_else(|| missing("Amt"))?)?;
    let day = booking.child("BookgDt").and_then(|day| day.child("Dt").or_else(|| day.child("DtTm"))).ok_or_else(|| missing("BookgDt"))?;
    let booked_on = day_of(&day.text).ok_or_else(|| Fault::Date.at(day.line))?;
    let direction = direction(booking)?.ok_or_else(|| missing("CdtDbtInd"))?;
    let details: Vec<&Element> = booking.all("NtryDtls").flat_map(|details| details.all("TxDtls")).collect();
    let entry = |element: &Element, amount, direction, details: &[&Element]| Entry {
        line: element.line,
        account,
        booked_on,
        amount,
        direction,
        remittance: remittance(details, booking),
        end_to_end_id: one(details, &["Refs", "EndToEndId"]).filter(|id| id != NOT_PROVIDED),
        bank_reference: one(details, &["Refs", "AcctSvcrRef"]).or_else(|| booking.child("AcctSvcrRef").map(Element::line_of_text)),
        return_reason: one(details, &["RtrInf", "Rsn", "Cd"]),
    };
    let amounts: Vec<Option<Cents>> = details.iter().map(|details| amount_of_details(details)).collect::<Result<_, _>>()?;
    if details.len() < 2 || amounts.iter().all(Option::is_none) {
        if let [Some(of_details)] = amounts[..]
            && of_details != amount
        {
            return Err(Fault::Sum.at(booking.line));
        }
        entries.push(entry(booking, amount, direction, &details));
        return Ok(());
    }
    let mut sum = 0_i64;
    for (details, amount) in details.iter().zip(amounts) {
        let amount = amount.ok_or_else(|| Fault::Missing("Amt").at(details.line))?;
        let own = self::direction(details)?.unwrap_or(direction);
        sum = sum.saturating_add(if own == direction { amount.get() } else { -amount.get() });
        entries.push(entry(details, amount, own, std::slice::from_ref(details)));
    }
    if sum == amount.get() { Ok(()) } else { Err(Fault::Sum.at(booking.line)) }
}

/// What transfers say, free text first, in the order of the file.
fn remittance(details: &[&Element], booking: &Element) -> String {
    let texts = details.iter().flat_map(|details| details.all("RmtInf")).flat_map(|information| {
        let structured = information.all("Strd").filter_map(|structured| structured.at(&["CdtrRefInf", "Ref"]));
        information.all("Ustrd").chain(structured)
    });
    let text = texts.map(Element::line_of_text).collect::<Vec<_>>().join(" ");
    if text.is_empty() { booking.child("AddtlNtryInf").map(Element::line_of_text).unwrap_or_default() } else { text }
}

/// A value of the only details that there are.
fn one(details: &[&Element], path: &[&str]) -> Option<String> {
    let [details] = details else { return None };
    details.at(path).map(Element::line_of_text).filter(|text| !text.is_empty())
}

fn amount_of_details(details: &Element) -> Result<Option<Cents>, StatementError> {
    details.child("Amt").or_else(|| details.at(&["AmtDtls", "TxAmt", "Amt"])).map(amount).transpose()
}

fn direction(element: &Element) -> Result<Option<Direction>, StatementError> {
    let Some(indicator) = element.child("CdtDbtInd") else { return Ok(None) };
    match indicator.text.trim() {
        "CRDT" => Ok(Some(Direction::Credit)),
        "DBIT" => Ok(Some(Direction::Debit)),
        _ => Err(Fault::Missing("CdtDbtInd").at(indicator.line)),
    }
}

/// Euros with up to five decimals, those after the second zeros (ISO 20022: ActiveOrHistoricCurrencyAndAmount).
fn amount(element: &Element) -> Result<Cents, StatementError> {
    if element.currency.as_deref() != Some("EUR") {
        return Err(Fault::Currency.at(element.line));
    }
    let text = element.text.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (cents, rest) = decimals.split_at_checked(2).unwrap_or((decimals, ""));
    let is_sound = !whole.is_empty() && is_number(whole) && is_number(decimals) && decimals.len() <= 5 && rest.bytes().all(|byte| byte == b'0');
    let cents = is_sound.then(|| format!("{whole}{cents:0<2}").parse().ok()).flatten();
    cents.filter(|cents| (1..=CENTS_MAX).contains(cents)).map(Cents::new).ok_or_else(|| Fault::Amount.at(element.line))
}

/// The day of a date or of an instant, as the bank writes it: its own calendar.
fn day_of(text: &str) -> Option<Date> {
    let text = text.trim();
    let day = text.get(..10)?;
    let is_end = matches!(text.as_bytes().get(10), None | Some(b'T' | b'Z' | b'+' | b'-'));
    day.parse().ok().filter(|_| is_end)
}

/// An element with what stands in it.
#[derive(Default)]
struct Element {
    name: String,
    line: u32,
    text: String,
    currency: Option<String>,
    namespaces: Vec<String>,
    children: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// Its text in one line.
    fn line_of_text(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn of(start: &BytesStart<'_>, line: u32) -> Result<Self, StatementError> {
        let mut element = Self { name: start.local_name().as_ref().to_owned(), line, ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Fault::Malformed.at(line))?;
            let (key, value) = (attribute.key.as_ref(), attribute.value.into_owned());
            if key == "Ccy" {
                element.currency = Some(value);
            } else if key == "xmlns" || key.starts_with("xmlns:") {
                element.namespaces.push(value);
            }
        }
        Ok(element)
    }
}

/// The document as a tree.
fn tree(text: &str) -> Result<Element, StatementError> {
    let mut reader = Reader::from_str(text);
    let (mut open, mut root): (Vec<Element>, Option<Element>) = (Vec::new(), None);
    let (mut line, mut seen) = (1_u32, 0_usize);
    loop {
        let event = reader.read_event();
        let begun = line;
        let read = usize::try_from(reader.buffer_position()).unwrap_or(text.len()).min(text.len()).max(seen);
        line += text.as_bytes()[seen..read].iter().filter(|&&byte| byte == b'\n').count() as u32;
        seen = read;
        let event = event.map_err(|_| Fault::Malformed.at(line))?;
        let mut closed = None;
        match &event {
            Event::Start(start) => {
                if open.len() == DEPTH_MAX {
                    return Err(Fault::TooDeep.at(begun));
                }
                open.push(Element::of(start, begun)?);
            }
            Event::Empty(start) => closed = Some(Element::of(start, begun)?),
            Event::End(_) => closed = open.pop(),
            Event::Text(text) => match open.last_mut() {
                Some(element) => element.text.push_str(&text.xml10_content()),
                None if text.xml10_content().trim().is_empty() => {}
                None => return Err(Fault::Malformed.at(begun)),
            },
            Event::CData(text) => match open.last_mut() {
                Some(element) => element.text.push_str(&text.xml10_content()),
                None => return Err(Fault::Malformed.at(begun)),
            },
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(character)) => character,
                    Ok(None) => named(&reference.xml10_content()).ok_or_else(|| Fault::Forbidden.at(begun))?,
                    Err(_) => return Err(Fault::Malformed.at(begun)),
                };
                open.last_mut().ok_or_else(|| Fault::Malformed.at(begun))?.text.push(character);
            }
            Event::Decl(declaration) => {
                let is_utf8 = match declaration.encoding() {
                    None => true,
                    Some(Ok(encoding)) => ["utf-8", "us-ascii"].iter().any(|ours| encoding.eq_ignore_ascii_case(ours)),
                    Some(Err(_)) => false,
                };
                if !is_utf8 {
                    return Err(Fault::Encoding.at(begun));
                }
            }
            Event::DocType(_) | Event::PI(_) => return Err(Fault::Forbidden.at(begun)),
            Event::Comment(_) => {}
            Event::Eof => break,
        }
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None if root.is_none() => root = Some(element),
                None => return Err(Fault::Malformed.at(begun)),
            }
        }
    }
    root.filter(|_| open.is_empty()).ok_or_else(|| Fault::Malformed.at(line))
}

/// The five entities that XML has by itself.
fn named(entity: &str) -> Option<char> {
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt>\n\
                        <GrpHdr><MsgId>S1</MsgId></GrpHdr><Stmt><Id>1</Id><Acct><Id><IBAN>IT60X0542811101000000123456</IBAN></Id></Acct>\n";
    const TAIL: &str = "</Stmt></BkToCstmrStmt></Document>\n";

    fn booking(amount: &str, direction: &str, status: &str, details: &str) -> String {
        format!(
            "<Ntry><Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts>{status}</Sts><BookgDt><Dt>2026-11-23</Dt></BookgDt>\
             <AcctSvcrRef>B-1</AcctSvcrRef>{details}</Ntry>\n"
        )
    }

    fn details(inner: &str) -> String {
        format!("<NtryDtls>{inner}</NtryDtls>")
    }

    fn read(bookings: &str) -> Result<Vec<Entry>, StatementError> {
        read_camt053(format!("{HEAD}{bookings}{TAIL}").as_bytes())
    }

    #[test]
    fn entries_of_both_generations_are_read() {
        let collective = "<TxDtls><RmtInf><Ustrd>/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-23PSPXYZ01-0000000042</Ustrd></RmtInf></TxDtls>";
        let refund = "<TxDtls><Refs><EndToEndId>000g00g1rksp8</EndToEndId><AcctSvcrRef>B-2</AcctSvcrRef></Refs><Amt Ccy=\"EUR\">10.5</Amt>\
                      <RmtInf><Ustrd>Rimborso\n  visita</Ustrd><Ustrd>S&amp;P &#233;</Ustrd></RmtInf></TxDtls>";
        let bookings = booking("302.00", "CRDT", "<Cd>BOOK</Cd>", &details(collective))
            + &booking("10.50", "DBIT", "BOOK", &details(refund))
            + &booking("7.00", "CRDT", "PDNG", "")
            + &booking("3", "CRDT", "BOOK", "<AddtlNtryInf>Versamento</AddtlNtryInf>");
        let entries = read(&bookings).unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].amount, entries[0].direction, entries[0].line), (Cents::new(30_200), Direction::Credit, 4));
        assert_eq!((entries[0].flow(), entries[0].end_to_end_id.as_deref()), (Some("2026-11-23PSPXYZ01-0000000042"), None));
        assert_eq!(entries[0].account.map(|account| account.to_string()).as_deref(), Some("IT60 X054 2811 1010 0000 0123 456"));
        assert_eq!((entries[1].amount, entries[1].booked_on), (Cents::new(1_050), date(2026, 11, 23)));
        assert_eq!((entries[1].end_to_end_id.as_deref(), entries[1].bank_reference.as_deref()), (Some("000g00g1rksp8"), Some("B-2")));
        assert_eq!(entries[1].remittance, "Rimborso visita S&P é");
        assert_eq!((&*entries[2].remittance, entries[2].amount, entries[2].bank_reference.as_deref()), ("Versamento", Cents::new(300), Some("B-1")));
    }

    #[test]
    fn a_collective_booking_becomes_its_transfers() {
        let transfer = |id: &str, amount: &str| {
            format!(
                "<TxDtls><Refs><EndToEndId>{id}</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy=\"EUR\">{amount}</Amt></TxAmt></AmtDtls>\n\
                 <RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls>\n"
            )
        };
        let both = transfer("R1", "10.00") + &transfer("NOTPROVIDED", "5.00");
        let entries = read(&booking("15.00", "DBIT", "BOOK", &details(&both))).unwrap();
        assert_eq!(entries.iter().map(|entry| (entry.amount.get(), entry.line)).collect::<Vec<_>>(), [(1_000, 4), (500, 6)]);
        assert_eq!((entries[0].end_to_end_id.as_deref(), entries[1].end_to_end_id.as_deref()), (Some("R1"), None));
        assert_eq!(entries[0].return_reason.as_deref(), Some("AC04"));
        assert_eq!(read(&booking("16.00", "DBIT", "BOOK", &details(&both))), Err(Fault::Sum.at(4)));
        let some = transfer("R1", "10.00") + "<TxDtls><Refs/></TxDtls>";
        assert_eq!(read(&booking("15.00", "DBIT", "BOOK", &details(&some))), Err(Fault::Missing("Amt").at(6)));
        // Without amounts of its own the booking stays one entry, and nobody's reference is given to it.
        let none = "<TxDtls><Refs><EndToEndId>R1</EndToEndId></Refs></TxDtls>".repeat(2);
        let entries = read(&booking("15.00", "DBIT", "BOOK", &details(&none))).unwrap();
        assert_eq!((entries.len(), entries[0].amount, entries[0].end_to_end_id.as_deref()), (1, Cents::new(1_500), None));
        assert_eq!(read(&booking("15.00", "DBIT", "BOOK", &details(&transfer("R1", "10.00")))), Err(Fault::Sum.at(4)));
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_its_line() {
        let good = booking("1.00", "CRDT", "BOOK", "");
        for (bad, fault) in [
            (good.replace("EUR", "USD"), Fault::Currency),
            (good.replace("1.00", "1.001"), Fault::Amount),
            (good.replace("1.00", "0.00"), Fault::Amount),
            (good.replace("1.00", "-1.00"), Fault::Amount),
            (good.replace("1.00", "1e2"), Fault::Amount),
            (good.replace("1.00", "99999999999999999999.00"), Fault::Amount),
            (good.replace("CRDT", "BOTH"), Fault::Missing("CdtDbtInd")),
            (good.replace("<CdtDbtInd>CRDT</CdtDbtInd>", ""), Fault::Missing("CdtDbtInd")),
            (good.replace("<Sts>BOOK</Sts>", ""), Fault::Missing("Sts")),
            (good.replace("2026-11-23", "2026-02-30"), Fault::Date),
            (good.replace("2026-11-23", "23/11/2026"), Fault::Date),
            (good.replace("<Dt>2026-11-23</Dt>", ""), Fault::Missing("BookgDt")),
            (good.replace("B-1", "&evil;"), Fault::Forbidden),
            (good.replace("B-1", "<?php ?>"), Fault::Forbidden),
            (good.replace("B-1", &"<a>".repeat(DEPTH_MAX)), Fault::TooDeep),
        ] {
            assert_eq!(read(&format!("{good}{bad}")), Err(fault.at(5)), "{bad}");
        }
        assert!(matches!(read(&good.replace("</Amt>", "</Amount>")), Err(StatementError { fault: Fault::Malformed, .. })));
        let file = format!("{HEAD}{good}{TAIL}");
        for (file, fault) in [
            ("", Fault::Malformed),
            ("date;amount", Fault::Malformed),
            ("<a/>", Fault::NotAStatement),
            ("<a/><b/>", Fault::Malformed),
            (&file.replace("camt.053", "camt.054"), Fault::NotAStatement),
            (&file.replace("UTF-8", "ISO-8859-1"), Fault::Encoding),
            (&format!("{HEAD}{TAIL}"), Fault::Empty),
            (&format!("{HEAD}{good}"), Fault::Malformed),
        ] {
            assert_eq!(read_camt053(file.as_bytes()).map_err(|error| error.fault), Err(fault), "{file}");
        }
        let declared = file.replace("?>\n", "?>\n<!DOCTYPE d [<!ENTITY a \"b\">]>\n");
        assert_eq!(read_camt053(declared.as_bytes()), Err(Fault::Forbidden.at(2)));
        assert_eq!(read_camt053(&vec![b' '; super::super::statement::STATEMENT_BYTES_MAX + 1]), Err(Fault::TooLarge.at(1)));
    }

    /// Every shortened file is an error or fewer entries, never a panic.
    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let file = format!("{HEAD}{}{TAIL}", booking("1.00", "CRDT", "BOOK", &details("<TxDtls><RmtInf><Ustrd>è &amp; €</Ustrd></RmtInf></TxDtls>")));
        for end in 0..file.trim_end().len() {
            assert!(read_camt053(&file.as_bytes()[..end]).is_err(), "{end}");
        }
        assert_eq!(read_camt053(file.as_bytes()).unwrap().len(), 1);
    }
}
