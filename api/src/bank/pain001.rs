//! Refunds as one file for the bank: a SEPA credit transfer initiation (ISO 20022 pain.001.001.09, EPC132-08 for the customer-to-bank space).
//!
//! One payment information for each account and day, in the order in which they first come; each transfer booked by itself, so that a statement gives its
//! reference back. Names and texts are put into SEPA's characters ([`sepa_text`]); identifiers must have them already. The same initiation gives the same bytes.

use std::fmt::Write as _;

use jiff::civil::Date;
use tornello_engine::iban::Iban;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use super::spelling::{Spelling, is_sepa, lost, sepa_text};

const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";
/// The most transfers of one file; more is a second file.
pub const TRANSFERS_MAX: usize = 10_000;
/// The longest identifier, name and text of a transfer in SEPA, in characters.
const ID_MAX: usize = 35;
const NAME_MAX: usize = 70;
const REMITTANCE_MAX: usize = 140;
/// The largest amount of a transfer in SEPA, in cents.
const CENTS_MAX: i64 = 99_999_999_999;

/// An order to the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiation {
    /// Its own identifier, which must never come twice: at most 29 characters, so that those of its parts fit.
    pub message_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who gives the order.
    pub initiator: String,
    /// The code under which the bank knows the initiator (in Italy its CUC), if it asks for one.
    pub initiator_code: Option<String>,
    /// How its names and texts are spelled.
    pub spelling: Spelling,
    /// The transfers: at least one.
    pub transfers: Vec<Transfer>,
}

/// An account that money is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debtor {
    /// In whose name it is.
    pub name: String,
    /// The account.
    pub iban: Iban,
    /// The bank's BIC (ISO 9362), where it asks for it.
    pub bic: Option<String>,
}

/// One refund.
#[derive(Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Where the money comes from.
    pub debtor: Debtor,
    /// The day on which the bank is to carry it out.
    pub execute_on: Date,
    /// The refund's identifier, which the statement gives back: at most 35 characters.
    pub end_to_end_id: String,
    /// How much: from one cent to 999,999,999.99 euros.
    pub amount: Cents,
    /// In whose name the account is to which it goes.
    pub creditor: String,
    /// That account.
    pub creditor_iban: Iban,
    /// What the transfer says; cut after 140 characters.
    pub remittance: String,
}

/// Names and accounts of people are not printed.
impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { execute_on, end_to_end_id, amount, creditor_iban, .. } = self;
        write!(f, "Transfer({end_to_end_id}, {amount} to {} on {execute_on})", creditor_iban.masked())
    }
}

/// Why an initiation cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitiationError {
    /// No transfer.
    #[error("there is nothing to transfer")]
    Nothing,
    /// Too many transfers for one file.
    #[error("{count} transfers are too many for one file: {TRANSFERS_MAX} are the most")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// The identifier of the message, or the code of the initiator, is no identifier of SEPA.
    #[error("{0:?} cannot be an identifier: characters of SEPA are expected, not too many, no slash at an end and no two together")]
    Identifier(String),
    /// Two transfers of the same identifier.
    #[error("{0} comes twice")]
    Twice(String),
    /// A name of which nothing is left in SEPA's characters: of the initiator, or in the transfer named.
    #[error("a name is missing or has no letters that banks can take: {0}")]
    Name(String),
    /// An amount that no transfer has.
    #[error("{0}: from 0.01 to 999999999.99 euros can be transferred")]
    Amount(String),
    /// Not a BIC.
    #[error("{0:?} is no BIC")]
    Bic(String),
}

/// The transfers of one account on one day.
struct Batch<'a> {
    debtor: &'a Debtor,
    execute_on: Date,
    transfers: Vec<&'a Transfer>,
}

/// The initiation as a file, in UTF-8.
///
/// # Errors
/// The first part of it that no bank takes.
pub fn write(initiation: &Initiation) -> Result<Vec<u8>, InitiationError> {
    let Initiation { message_id, created_at, initiator, initiator_code, spelling, transfers } = initiation;
    // The batches append `-0001` and so on, up to five digits.
    if !is_identifier(message_id) || message_id.len() > ID_MAX - 6 {
        return Err(InitiationError::Identifier(message_id.clone()));
    }
    check(transfers)?;
    let mut xml = Xml::new();
    xml.open("CstmrCdtTrfInitn");
    xml.open("GrpHdr");
    xml.text("MsgId", message_id);
    xml.text("CreDtTm", &Timestamp::from_seconds(created_at.as_seconds()).to_string());
    xml.totals(transfers.iter());
    xml.open("InitgPty");
    xml.text("Nm", &name(initiator, message_id, *spelling)?);
    if let Some(code) = initiator_code {
        if !is_identifier(code) {
            return Err(InitiationError::Identifier(code.clone()));
        }
        xml.wrapped(&["Id", "OrgId", "Othr", "Id"], code);
    }
    xml.close("InitgPty");
    xml.close("GrpHdr");
    for (batch, number) in batches(transfers).iter().zip(1_u32..) {
        write_batch(&mut xml, batch, &format!("{message_id}-{number:04}"), *spelling)?;
    }
    xml.close("CstmrCdtTrfInitn");
    Ok(xml.end())
}

fn check(transfers: &[Transfer]) -> Result<(), InitiationError> {
    if transfers.is_empty() {
        return Err(InitiationError::Nothing);
    }
    if transfers.len() > TRANSFERS_MAX {
        return Err(InitiationError::TooMany { count: transfers.len() });
    }
    let mut seen = std::collections::HashSet::with_capacity(transfers.len());
    for Transfer { end_to_end_id, amount, debtor, .. } in transfers {
        if !is_identifier(end_to_end_id) {
            return Err(InitiationError::Identifier(end_to_end_id.clone()));
        }
        if !seen.insert(end_to_end_id) {
            return Err(InitiationError::Twice(end_to_end_id.clone()));
        }
        if !(1..=CENTS_MAX).contains(&amount.get()) {
            return Err(InitiationError::Amount(end_to_end_id.clone()));
        }
        if let Some(bic) = debtor.bic.as_ref().filter(|bic| !is_bic(bic)) {
            return Err(InitiationError::Bic(bic.clone()));
        }
    }
    Ok(())
}

fn batches(transfers: &[Transfer]) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for transfer in transfers {
        let Transfer { debtor, execute_on, .. } = transfer;
        // An order has few accounts and days.
        match batches.iter_mut().find(|batch| batch.debtor.iban == debtor.iban && batch.execute_on == *execute_on) {
            Some(batch) => batch.transfers.push(transfer),
            None => batches.push(Batch { debtor, execute_on: *execute_on, transfers: vec![transfer] }),
        }
    }
    batches
}

fn write_batch(xml: &mut Xml, batch: &Batch<'_>, id: &str, spelling: Spelling) -> Result<(), InitiationError> {
    let Batch { debtor, execute_on, transfers } = batch;
    xml.open("PmtInf");
    xml.text("PmtInfId", id);
    xml.text("PmtMtd", "TRF");
    xml.text("BtchBookg", "false");
    xml.totals(transfers.iter().copied());
    xml.wrapped(&["PmtTpInf", "SvcLvl", "Cd"], "SEPA");
    xml.wrapped(&["ReqdExctnDt", "Dt"], &execute_on.to_string());
    xml.wrapped(&["Dbtr", "Nm"], &name(&debtor.name, id, spelling)?);
    xml.wrapped(&["DbtrAcct", "Id", "IBAN"], debtor.iban.as_str());
    match &debtor.bic {
        Some(bic) => xml.wrapped(&["DbtrAgt", "FinInstnId", "BICFI"], bic),
        None => xml.wrapped(&["DbtrAgt", "FinInstnId", "Othr", "Id"], "NOTPROVIDED"),
    }
    xml.text("ChrgBr", "SLEV");
    for transfer in transfers {
        xml.open("CdtTrfTxInf");
        xml.wrapped(&["PmtId", "EndToEndId"], &transfer.end_to_end_id);
        xml.open("Amt");
        // The amount of a transfer, and no other text, has an attribute.
        let _ = write!(xml.written, "<InstdAmt Ccy=\"EUR\">{}</InstdAmt>", transfer.amount);
        xml.close("Amt");
        xml.wrapped(&["Cdtr", "Nm"], &name(&transfer.creditor, &transfer.end_to_end_id, spelling)?);
        xml.wrapped(&["CdtrAcct", "Id", "IBAN"], transfer.creditor_iban.as_str());
        let remittance = sepa_text(&transfer.remittance, REMITTANCE_MAX, spelling);
        if !remittance.is_empty() {
            xml.wrapped(&["RmtInf", "Ustrd"], &remittance);
        }
        xml.close("CdtTrfTxInf");
    }
    xml.close("PmtInf");
    Ok(())
}

/// Whether a name is left whole in SEPA's characters: something of it stays, and for each of its letters there is one.
#[must_use]
pub fn takes_name(text: &str) -> bool {
    name(text, "", Spelling::IN_USE).is_ok() && lost(text).is_empty()
}

/// A name as banks take it; `of` says whose if there is none.
fn name(text: &str, of: &str, spelling: Spelling) -> Result<String, InitiationError> {
    let name = sepa_text(text, NAME_MAX, spelling);
    if name.bytes().any(|byte| byte.is_ascii_alphanumeric()) { Ok(name) } else { Err(InitiationError::Name(of.to_owned())) }
}

/// Whether a text is an identifier (EPC132-08, 1.8): SEPA's characters, not too many, no slash at either end nor two together.
fn is_identifier(text: &str) -> bool {
    let is_sepa = text.trim() == text && text.chars().all(is_sepa);
    is_sepa && (1..=ID_MAX).contains(&text.len()) && !text.starts_with('/') && !text.ends_with('/') && !text.contains("//")
}

/// Eight or eleven letters and digits: institution, country, place, branch.
fn is_bic(text: &str) -> bool {
    let is = |from: usize, to: usize, letter_only: bool| {
        let part = text.as_bytes().get(from..to).unwrap_or_default();
        part.iter().all(|byte| byte.is_ascii_uppercase() || (!letter_only && byte.is_ascii_digit()))
    };
    matches!(text.len(), 8 | 11) && is(0, 6, true) && is(6, text.len(), false)
}

/// XML on its way out: elements without attributes, texts escaped.
struct Xml {
    written: String,
}

impl Xml {
    fn new() -> Self {
        Self { written: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"{NAMESPACE}\">") }
    }

    fn open(&mut self, tag: &str) {
        self.written.extend(["<", tag, ">"]);
    }

    fn close(&mut self, tag: &str) {
        self.written.extend(["</", tag, ">"]);
    }

    fn text(&mut self, tag: &str, text: &str) {
        self.open(tag);
        self.written.push_str(&quick_xml::escape::escape(text));
        self.close(tag);
    }

    /// A text in elements in one another.
    fn wrapped(&mut self, tags: &[&str], text: &str) {
        if let Some((inner, outer)) = tags.split_last() {
            outer.iter().for_each(|tag| self.open(tag));
            self.text(inner, text);
            outer.iter().rev().for_each(|tag| self.close(tag));
        }
    }

    /// How many transfers, and what they come to.
    fn totals<'a>(&mut self, transfers: impl Iterator<Item = &'a Transfer> + Clone) {
        self.text("NbOfTxs", &transfers.clone().count().to_string());
        self.text("CtrlSum", &transfers.map(|transfer| transfer.amount).sum::<Cents>().to_string());
    }

    fn end(mut self) -> Vec<u8> {
        self.close("Document");
        self.written.push('\n');
        self.written.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/contracts/pain001-profile.xsd");

    fn a_transfer(number: u32) -> Transfer {
        let name = "Ministero della cultura – Direzione generale Musei".to_owned();
        Transfer {
            debtor: Debtor { name, iban: "IT60X0542811101000000123456".parse().unwrap(), bic: Some("BPPIITRRXXX".to_owned()) },
            execute_on: date(2026, 11, 26),
            end_to_end_id: format!("{number:013}"),
            amount: Cents::new(1_000 + i64::from(number)),
            creditor: "Niccolò D'Acquì & figli".to_owned(),
            creditor_iban: "DE89370400440532013000".parse().unwrap(),
            remittance: "Rimborso biglietti – visita del 10 giugno 2026 «Museo»".to_owned(),
        }
    }

    fn an_initiation(transfers: Vec<Transfer>) -> Initiation {
        let initiator = "Direzione generale Musei".to_owned();
        let created_at = Timestamp::from_micros(1_764_064_800_123_456);
        Initiation {
            message_id: "R-000g00g1rksp8".to_owned(),
            created_at,
            initiator,
            initiator_code: Some("97832870584".to_owned()),
            spelling: Spelling::IN_USE,
            transfers,
        }
    }

    /// What the validator says of a file; empty if it is sound.
    fn verdict(file: &[u8]) -> String {
        let mut command = Command::new("xmllint");
        command.args(["--noout", "--nonet", "--schema", PROFILE, "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut xmllint = command.spawn().expect("xmllint, of libxml2-utils, is installed");
        xmllint.stdin.take().unwrap().write_all(file).unwrap();
        let output = xmllint.wait_with_output().unwrap();
        if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    fn text(file: &[u8]) -> String {
        String::from_utf8(file.to_vec()).unwrap()
    }

    /// The texts of all elements of a name, in order.
    fn values(file: &[u8], tag: &str) -> Vec<String> {
        let text = text(file);
        text.split(&format!("<{tag}>")).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn accounts_and_days_make_batches_with_their_sums() {
        let other = "IT60X0542811101000000123456".parse::<Iban>().unwrap();
        let mut transfers: Vec<Transfer> = (0..6).map(a_transfer).collect();
        transfers[2].execute_on = date(2026, 11, 27);
        transfers[3].debtor.iban = "SM86U0322509800000000270100".parse().unwrap();
        transfers[3].debtor.bic = None;
        transfers[4].remittance = String::new();
        let file = write(&an_initiation(transfers)).unwrap();
        assert_eq!(verdict(&file), "");
        assert_eq!(values(&file, "PmtInfId"), ["R-000g00g1rksp8-0001", "R-000g00g1rksp8-0002", "R-000g00g1rksp8-0003"]);
        assert_eq!(values(&file, "NbOfTxs"), ["6", "4", "1", "1"]);
        assert_eq!(values(&file, "CtrlSum"), ["60.15", "40.10", "10.02", "10.03"]);
        assert_eq!(values(&file, "Dt"), ["2026-11-26", "2026-11-27", "2026-11-26"]);
        assert_eq!(values(&file, "CreDtTm"), ["2025-11-25T10:00:00Z"]);
        assert_eq!(values(&file, "EndToEndId").concat().len(), 6 * 13);
        assert_eq!(values(&file, "Ustrd").len(), 5);
        assert_eq!(values(&file, "Ustrd")[0], "Rimborso biglietti - visita del 10 giugno 2026 .Museo.");
        assert_eq!(values(&file, "Nm")[1..3], ["Ministero della cultura - Direzione generale Musei", "Niccolo D&apos;Acqui + figli"]);
        assert_eq!(values(&file, "IBAN")[0], other.as_str());
        assert_eq!((values(&file, "BICFI").len(), values(&file, "Id").contains(&"NOTPROVIDED".to_owned())), (2, true));
        assert_eq!(write(&an_initiation((0..6).map(a_transfer).collect())), write(&an_initiation((0..6).map(a_transfer).collect())));
    }

    #[test]
    fn the_extremes_are_sound_files() {
        let hostile = ["é".repeat(500), "ß".repeat(100), "<&>\"']]>".repeat(40), "名前 A".to_owned(), "a\0\u{1}\u{ffff}\u{202e}b".to_owned()];
        let transfers = hostile.iter().zip(0..).map(|(text, number)| {
            let amount = Cents::new(if number % 2 == 0 { 1 } else { CENTS_MAX });
            Transfer { creditor: format!("X{text}"), remittance: text.clone(), amount, ..a_transfer(number) }
        });
        let mut initiation = an_initiation(transfers.collect());
        initiation.message_id = "M".repeat(29);
        initiation.initiator_code = None;
        let file = write(&initiation).unwrap();
        assert_eq!(verdict(&file), "");
        assert_eq!(values(&file, "Ustrd").iter().map(String::len).collect::<Vec<_>>()[..2], [140, 140]);
        let many = an_initiation((0..10_000).map(a_transfer).collect());
        assert_eq!(verdict(&write(&many).unwrap()), "");
    }

    #[test]
    fn what_no_bank_takes_is_not_written() {
        let with = |change: fn(&mut Transfer)| {
            let mut transfers = vec![a_transfer(1), a_transfer(2)];
            change(&mut transfers[1]);
            write(&an_initiation(transfers)).map(drop)
        };
        let id = || "0000000000002".to_owned();
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|transfer| transfer.end_to_end_id = a_transfer(1).end_to_end_id), Err(InitiationError::Twice("0000000000001".into())));
        assert_eq!(with(|transfer| transfer.amount = Cents::ZERO), Err(InitiationError::Amount(id())));
        assert_eq!(with(|transfer| transfer.amount = Cents::new(-1)), Err(InitiationError::Amount(id())));
        assert_eq!(with(|transfer| transfer.amount = Cents::new(CENTS_MAX + 1)), Err(InitiationError::Amount(id())));
        assert_eq!(with(|transfer| transfer.creditor = " 名 ".to_owned()), Err(InitiationError::Name(id())));
        assert_eq!(with(|transfer| transfer.debtor.bic = Some("bppiitrr".to_owned())), Err(InitiationError::Bic("bppiitrr".into())));
        assert_eq!(with(|transfer| transfer.debtor.bic = Some("BPPIITRRX".to_owned())), Err(InitiationError::Bic("BPPIITRRX".into())));
        for bad in ["", "/a", "a/", "a//b", " a", "a_b", "è", &"1".repeat(36)] {
            let transfer = Transfer { end_to_end_id: bad.to_owned(), ..a_transfer(1) };
            assert_eq!(write(&an_initiation(vec![transfer])), Err(InitiationError::Identifier(bad.to_owned())));
            assert!(write(&Initiation { message_id: bad.to_owned(), ..an_initiation(vec![a_transfer(1)]) }).is_err(), "{bad}");
        }
        assert!(write(&an_initiation(vec![Transfer { end_to_end_id: "1".repeat(35), ..a_transfer(1) }])).is_ok());
        // The batches have their numbers behind it.
        assert!(write(&Initiation { message_id: "M".repeat(30), ..an_initiation(vec![a_transfer(1)]) }).is_err());
        assert_eq!(write(&an_initiation(Vec::new())), Err(InitiationError::Nothing));
        assert_eq!(write(&an_initiation((0..10_001).map(a_transfer).collect())), Err(InitiationError::TooMany { count: 10_001 }));
        assert!(!format!("{:?}", a_transfer(1)).contains("Niccol"));
    }

    /// The validator is worth something only if it finds what is wrong.
    #[test]
    fn the_profile_refuses_what_is_out_of_order_or_form() {
        let file = text(&write(&an_initiation(vec![a_transfer(1), a_transfer(2)])).unwrap());
        for (from, to) in [
            ("<PmtMtd>TRF</PmtMtd><BtchBookg>false</BtchBookg>", "<BtchBookg>false</BtchBookg><PmtMtd>TRF</PmtMtd>"),
            ("<NbOfTxs>2</NbOfTxs>", ""),
            ("<Dt>2026-11-26</Dt>", "<Dt>26/11/2026</Dt>"),
            ("Ccy=\"EUR\"", "Ccy=\"USD\""),
            ("10.01</InstdAmt>", "10.015</InstdAmt>"),
            ("10.01</InstdAmt>", "0.00</InstdAmt>"),
            ("<IBAN>IT60", "<IBAN>it60"),
            ("Niccolo", "Niccolò"),
            ("<ChrgBr>SLEV", "<ChrgBr>OUR"),
            ("pain.001.001.09", "pain.001.001.03"),
            ("<MsgId>R-", "<MsgId>/R-"),
        ] {
            assert!(file.contains(from), "{from}");
            assert!(verdict(file.replacen(from, to, 1).as_bytes()).contains("fails to validate"), "{from} -> {to}");
        }
    }
}
