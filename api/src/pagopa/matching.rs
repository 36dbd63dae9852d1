//! Whether what banks report of the money they send is what we know: [`reconcile`] holds one flow against the bank's statement and our receipts, [`unreported`] says which
//! receipts no flow has. All pure; what a flow is, and which of its issues counts, is `fdr`'s.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use tornello_engine::calendar::{self, is_working_day};
use tornello_engine::ids::PaymentId;
use tornello_engine::money::Cents;
use tornello_engine::notice::FiscalCode;
use tornello_engine::time::Timestamp;

use super::fdr::{Code, Flow, Flows, Quarantine, Reading, Reported, flow_id};

const REMITTANCE: &str = "/PUR/LGPE-RIVERSAMENTO/TXT/";
/// Working days after the day of a payment by which its flow is due (SACI 3.2.1).
const DUE_WORKING_DAYS: u32 = 2;
/// The hour in Rome at which the platform's business day ends.
const BUSINESS_DAY_ENDS: i8 = 13;

/// A line of the bank's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankLine {
    /// The bank's name of it.
    pub id: String,
    /// What the sender wrote; banks may have broken it with blanks.
    pub remittance: String,
    /// How much came; below zero: went.
    pub amount: Cents,
}

impl BankLine {
    /// The flows that it may quote, the likelier first; none: it quotes none. Banks break what the sender wrote with blanks, also within the name of the flow, and some add words of
    /// their own after it: so the name is all without blanks, or ends at the first of them. That it does is likelier where it is whole by then.
    #[must_use]
    pub fn flow_ids(&self) -> Vec<String> {
        let (mut plain, mut blanks) = (String::new(), Vec::new());
        for c in self.remittance.chars() {
            if c.is_whitespace() {
                blanks.push(plain.len());
            } else {
                plain.push(c);
            }
        }
        let Some((_, rest)) = plain.split_once(REMITTANCE) else { return Vec::new() };
        let Some((progressive, rest)) = rest.split_once("/URI/") else { return Vec::new() };
        if progressive.len() != 1 || !progressive.bytes().all(|byte| byte.is_ascii_digit()) {
            return Vec::new();
        }
        let (begin, all) = (plain.len() - rest.len(), rest.split('/').next().unwrap_or_default());
        let word = blanks.iter().map(|at| at.saturating_sub(begin)).find(|at| *at > 0).and_then(|at| all.get(..at)).unwrap_or(all);
        let (all, word) = (flow_id(all), flow_id(word));
        let ids = if word.as_deref().is_some_and(is_whole_name) { [word, all] } else { [all, word] };
        let mut ids: Vec<String> = ids.into_iter().flatten().collect();
        ids.dedup();
        ids
    }
}

/// What a transfer says that quotes flows, without a word beside: the same are read from it, in the same order.
#[must_use]
pub fn quoting(flows: &[String]) -> String {
    let (shorter, longer) = (flows.iter().min_by_key(|flow| flow.len()), flows.iter().max_by_key(|flow| flow.len()));
    let Some((shorter, longer)) = shorter.zip(longer) else { return String::new() };
    let rest = longer.strip_prefix(shorter.as_str()).unwrap_or_default();
    format!("{REMITTANCE}0/URI/{shorter} {rest}").trim_end().to_owned()
}

/// Whether a flow's name has all of its parts: the day of settlement, who sends the money, and, after a hyphen, what tells it from others (SACI 3.2.1).
fn is_whole_name(id: &str) -> bool {
    let is_told_apart = |rest: &str| rest.split_once('-').is_some_and(|(sender, free)| !sender.is_empty() && !free.is_empty());
    id.split_at_checked(10).is_some_and(|(day, rest)| day.parse::<Date>().is_ok() && is_told_apart(rest))
}

/// What we know of a payment, by the IUV of its notice. It has one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub payment: PaymentId,
    /// The receipts that came.
    pub receipts: Vec<KnownReceipt>,
}

/// A receipt that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReceipt {
    /// Its id.
    pub id: String,
    /// How much.
    pub amount: Cents,
    /// When it was paid.
    pub paid_at: Timestamp,
}

/// How a flow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How its total comes about, or why it is set aside: then nothing of it counts.
    pub reading: Result<Reading, Quarantine>,
    /// Whether its money came.
    pub transfer: Transfer,
    /// What its payments are, in its order; none if it is set aside.
    pub payments: Vec<Match>,
}

/// Whether a flow's money came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transfer {
    /// As it says, with this line.
    Came {
        /// Which line.
        line: String,
    },
    /// No line quotes it.
    Missing,
    /// No line quotes it, and none will: it makes nothing, as what it took back is as much as what it has.
    NotDue,
    /// The lines that quote it make another amount, or are several.
    Differs {
        /// Which lines.
        lines: Vec<String>,
        /// What they make.
        amount: Cents,
    },
}

/// What a reported payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// We have its receipt.
    Received {
        /// Which payment.
        payment: PaymentId,
    },
    /// The money came and its receipt did not: the payment is paid by this report, as soon as it is told of it.
    WithoutReceipt {
        /// Which payment.
        payment: PaymentId,
    },
    /// Its receipt says another amount.
    AmountDiffers {
        /// Which payment.
        payment: PaymentId,
        /// What the receipt says.
        received: Cents,
    },
    /// It was taken back.
    Revoked {
        /// Which payment.
        payment: PaymentId,
    },
    /// Of a payment of ours, a transfer that it does not have.
    NoSuchTransfer {
        /// Which payment.
        payment: PaymentId,
    },
    /// It is none of ours.
    Unknown,
}

/// Holds a flow against the bank's statement and what we know of the payments of its receiver, `creditor`.
#[must_use]
pub fn reconcile(flow: &Flow, creditor: FiscalCode, bank: &[BankLine], known: &BTreeMap<String, Known>) -> Report {
    let reading = if flow.receiver == creditor.to_string() { flow.reading() } else { Err(Quarantine::Receiver) };
    let lines = standing(bank.iter().filter(|line| line.flow_ids().contains(&flow.id)));
    let transfer = match lines[..] {
        [] if flow.total.is_zero() => Transfer::NotDue,
        [] => Transfer::Missing,
        [line] if line.amount == flow.total => Transfer::Came { line: line.id.clone() },
        _ => Transfer::Differs { lines: lines.iter().map(|line| line.id.clone()).collect(), amount: lines.iter().map(|line| line.amount).sum() },
    };
    let taken_back = flow.taken_back();
    let payments = if reading.is_ok() { flow.payments.iter().map(|reported| matched(reported, known, &taken_back)).collect() } else { Vec::new() };
    Report { reading, transfer, payments }
}

/// The lines of money that came, but for those that the bank has booked back: of each amount as many as went. What went and is as much as none that came, as a fee, is no matter.
fn standing<'a>(lines: impl Iterator<Item = &'a BankLine>) -> Vec<&'a BankLine> {
    let (mut came, went): (Vec<&BankLine>, Vec<&BankLine>) = lines.partition(|line| line.amount > Cents::ZERO);
    for back in went {
        if let Some(place) = came.iter().position(|line| line.amount.plus(back.amount).is_zero()) {
            came.remove(place);
        }
    }
    came
}

fn matched(reported: &Reported, known: &BTreeMap<String, Known>, taken_back: &BTreeSet<(&str, &str)>) -> Match {
    let Some(ours) = known.get(&reported.iuv) else { return Match::Unknown };
    let payment = ours.payment;
    if reported.index != 1 {
        return Match::NoSuchTransfer { payment };
    }
    if reported.code == Code::Revoked {
        return Match::Revoked { payment };
    }
    match ours.receipts.iter().find(|receipt| receipt.id == reported.iur) {
        Some(receipt) if receipt.amount == reported.amount => Match::Received { payment },
        Some(receipt) => Match::AmountDiffers { payment, received: receipt.amount },
        None if taken_back.contains(&(reported.iuv.as_str(), reported.iur.as_str())) => Match::Revoked { payment },
        None => Match::WithoutReceipt { payment },
    }
}

/// The receipts that no flow has, though it is due: two working days after the platform's business day on which they were paid are over. Flows that are set
/// aside have nothing.
#[must_use]
pub fn unreported<'a>(flows: &Flows, known: &'a BTreeMap<String, Known>, today: Date) -> Vec<(PaymentId, &'a KnownReceipt)> {
    let sound = flows.iter().filter(|flow| flow.reading().is_ok());
    let reported: BTreeSet<_> = sound.flat_map(|flow| &flow.payments).map(|payment| (payment.iuv.as_str(), payment.iur.as_str())).collect();
    let all = known.iter().flat_map(|(iuv, known)| known.receipts.iter().map(move |receipt| (iuv, known.payment, receipt)));
    let missing = all.filter(|(iuv, _, receipt)| !reported.contains(&(iuv.as_str(), receipt.id.as_str())) && due_on(receipt.paid_at) < today);
    missing.map(|(_, payment, receipt)| (payment, receipt)).collect()
}

/// The day on which the flow of a payment is due.
fn due_on(paid_at: Timestamp) -> Date {
    let paid = calendar::local(paid_at);
    let next = |date: Date| date.tomorrow().unwrap_or(Date::MAX);
    let mut date = if paid.hour() < BUSINESS_DAY_ENDS { paid.date() } else { next(paid.date()) };
    let works = |date: Date| is_working_day(date, None) || date == Date::MAX;
    while !works(date) {
        date = next(date);
    }
    for _ in 0..DUE_WORKING_DAYS {
        date = next(date);
        while !works(date) {
            date = next(date);
        }
    }
    date
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fdr::tests::{CREDITOR, document, flow, line};
    use super::super::fdr::{Taken, read};
    use super::super::xml::XmlError;
    use super::*;
    use jiff::civil::date;
    use serde_json::Value;

    fn creditor() -> FiscalCode {
        CREDITOR.parse().unwrap()
    }

    fn known(receipts: &[(&str, &str, i64)]) -> BTreeMap<String, Known> {
        let mut known = BTreeMap::new();
        for (number, (iuv, id, cents)) in receipts.iter().enumerate() {
            let entry = known.entry((*iuv).to_owned());
            let payment: &mut Known = entry.or_insert_with(|| Known { payment: PaymentId::new(1, number as u64), receipts: Vec::new() });
            let paid_at = "2026-11-23T09:00:00Z".parse().unwrap();
            payment.receipts.extend((!id.is_empty()).then(|| KnownReceipt { id: (*id).to_owned(), amount: Cents::new(*cents), paid_at }));
        }
        known
    }

    #[test]
    fn the_published_case_is_reconciled() {
        let vectors: Value = serde_json::from_str(include_str!("../../../engine/src/testdata/pagopa_vectors.json")).unwrap();
        let case = &vectors["reconciliation"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let payments = case["payments"].as_array().unwrap();
        let lines: String = payments
            .iter()
            .map(|paid| {
                line(
                    &text(&paid["iuv"]),
                    &text(&paid["iur"]),
                    &Cents::new(paid["amount_cents"].as_i64().unwrap()).to_string(),
                    &paid["code"].to_string(),
                )
            })
            .collect();
        let document = document(&text(&case["flow_id"]), "2026-11-24T06:00:00", payments.len(), "302.00", &lines);
        let flow = read(document.as_bytes(), 0).unwrap();
        let bank = [
            BankLine { id: "other".to_owned(), remittance: "rent".to_owned(), amount: Cents::new(1) },
            BankLine {
                id: "sct".to_owned(),
                remittance: text(&case["sct_remittance"]),
                amount: Cents::new(case["sct_amount_cents"].as_i64().unwrap()),
            },
        ];
        // The first was received; of the second, no receipt came.
        let known = known(&[(&text(&payments[0]["iuv"]), &text(&payments[0]["iur"]), 30_000), (&text(&payments[1]["iuv"]), "", 0)]);
        let report = reconcile(&flow, creditor(), &bank, &known);
        let payment = |number| PaymentId::new(1, number);
        let expected = Report {
            reading: Ok(Reading::Subtracted),
            transfer: Transfer::Came { line: "sct".to_owned() },
            payments: vec![Match::Received { payment: payment(0) }, Match::WithoutReceipt { payment: payment(1) }],
        };
        assert_eq!(report, expected);
        assert_eq!(flow.payments[1].code, Code::Unasked);
        let mut flows = Flows::default();
        let flow = Arc::new(flow);
        assert_eq!((flows.take(Arc::clone(&flow)), flows.take(flow)), (Taken::New, Taken::Same));
        assert_eq!(unreported(&flows, &known, date(2027, 1, 1)), []);
    }

    #[test]
    fn revoked_payments_are_subtracted_whatever_their_sign() {
        let plain = line("1", "a", "10.00", "0");
        for (revoked, total, expected) in [
            ("4.00", "6.00", Ok(Reading::Subtracted)),
            ("-4.00", "6.00", Ok(Reading::Subtracted)),
            ("4.00", "14.00", Ok(Reading::Added)),
            ("-4.00", "14.00", Ok(Reading::Added)),
            ("4.00", "10.00", Err(Quarantine::Total)),
        ] {
            let flow = flow(total, &[plain.clone(), line("2", "b", revoked, "3")]);
            assert_eq!(flow.reading(), expected, "{revoked} {total}");
            let report = reconcile(&flow, creditor(), &[], &known(&[("1", "a", 1_000), ("2", "b", 400)]));
            let matches = [Match::Received { payment: PaymentId::new(1, 0) }, Match::Revoked { payment: PaymentId::new(1, 1) }];
            assert_eq!(report.payments, if expected.is_ok() { matches.to_vec() } else { Vec::new() });
        }
        for code in ["0", "4", "8", "9"] {
            let negative = document("F", "2026-11-24T06:00:00", 1, "10.00", &line("1", "a", "-10.00", code));
            assert!(matches!(read(negative.as_bytes(), 0), Err(XmlError::Value { path }) if path.ends_with("codiceEsitoSingoloPagamento")), "{code}");
        }
    }

    #[test]
    fn what_does_not_fit_is_set_aside() {
        let two = [line("1", "a", "10.00", "0"), line("1", "a", "10.00", "0")];
        assert_eq!(flow("20.00", &two).reading(), Err(Quarantine::Repeated));
        let mut counted = flow("10.00", &two[..1]);
        counted.count = 2;
        assert_eq!(counted.reading(), Err(Quarantine::Count));
        let other = reconcile(&flow("10.00", &two[..1]), "77777777777".parse().unwrap(), &[], &BTreeMap::new());
        assert_eq!((other.reading, other.payments), (Err(Quarantine::Receiver), Vec::new()));
        // A flow that is set aside reports nothing.
        let mut flows = Flows::default();
        flows.take(Arc::new(counted));
        let known = known(&[("1", "a", 1_000)]);
        assert_eq!(unreported(&flows, &known, date(2026, 12, 1)).len(), 1);
    }

    #[test]
    fn payments_are_matched_by_iuv_iur_and_index() {
        let lines = [line("1", "a", "10.00", "0"), line("1", "b", "10.00", "4"), line("2", "c", "9.99", "0"), line("9", "d", "1.00", "8")];
        let mut flow = flow("30.99", &lines);
        let (first, second) = (PaymentId::new(1, 0), PaymentId::new(1, 1));
        let known = known(&[("1", "a", 1_000), ("2", "c", 1_000)]);
        let expected = vec![
            Match::Received { payment: first },
            Match::WithoutReceipt { payment: first },
            Match::AmountDiffers { payment: second, received: Cents::new(1_000) },
            Match::Unknown,
        ];
        assert_eq!(reconcile(&flow, creditor(), &[], &known).payments, expected);
        flow.payments[0].index = 2;
        assert_eq!(reconcile(&flow, creditor(), &[], &known).payments[0], Match::NoSuchTransfer { payment: first });
    }

    #[test]
    fn the_bank_line_is_the_one_that_quotes_the_flow() {
        let flow = flow("10.00", &[line("1", "a", "10.00", "0")]);
        let line = |id: &str, remittance: &str, cents| BankLine { id: id.to_owned(), remittance: remittance.to_owned(), amount: Cents::new(cents) };
        let good = "/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/2026-11-23PSP-1";
        for (lines, expected) in [
            (vec![], Transfer::Missing),
            (vec![line("1", good, 1_000)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("1", "RI1/PUR/LGPE-RIVER SAMENTO/TXT/0/URI/2026-\n11-23PSP-1/", 1_000)], Transfer::Came { line: "1".to_owned() }),
            // Words of the bank after it are none of it, and a name that is broken where it could be whole is read both ways.
            (vec![line("1", &format!("{good} ORD. BANCA 12"), 1_000)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("1", &format!("{good}\nCRO"), 1_000)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("1", &good.replace("PSP", "P SP"), 1_000)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("1", &good.replace("PSP-1", "PSP- 1"), 1_000)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("1", good, 999)], Transfer::Differs { lines: vec!["1".to_owned()], amount: Cents::new(999) }),
            (
                vec![line("1", good, 1_000), line("2", good, 1_000)],
                Transfer::Differs { lines: vec!["1".to_owned(), "2".to_owned()], amount: Cents::new(2_000) },
            ),
            // What the bank has booked back has not come; what it takes for itself is none of it.
            (vec![line("1", good, 1_000), line("2", good, -1_000)], Transfer::Missing),
            (vec![line("1", good, 1_000), line("2", good, -1_000), line("3", good, 1_000)], Transfer::Came { line: "3".to_owned() }),
            (vec![line("1", good, 1_000), line("2", good, -50)], Transfer::Came { line: "1".to_owned() }),
            (vec![line("2", good, -1_000)], Transfer::Missing),
            (vec![line("1", &format!("{good}0"), 1_000)], Transfer::Missing),
            (vec![line("1", "/PUR/LGPE-RIVERSAMENTO/TXT/x/URI/2026-11-23PSP-1", 1_000)], Transfer::Missing),
            (vec![line("1", "/URI/2026-11-23PSP-1", 1_000)], Transfer::Missing),
        ] {
            assert_eq!(reconcile(&flow, creditor(), &lines, &BTreeMap::new()).transfer, expected);
        }
        // No bank sends nothing.
        let nothing = self::flow("0.00", &[self::line("1", "a", "10.00", "0"), self::line("1", "a", "10.00", "3")]);
        assert_eq!(nothing.reading(), Ok(Reading::Subtracted));
        assert_eq!(reconcile(&nothing, creditor(), &[], &BTreeMap::new()).transfer, Transfer::NotDue);
        let came = reconcile(&nothing, creditor(), &[line("1", good, 1_000)], &BTreeMap::new()).transfer;
        assert_eq!(came, Transfer::Differs { lines: vec!["1".to_owned()], amount: Cents::new(1_000) });
    }

    #[test]
    fn a_line_names_the_likelier_flow_first() {
        for (after, expected) in [
            ("2026-11-23PSP-42", vec!["2026-11-23PSP-42"]),
            ("2026-11-23PSP-42 ORD BANCA", vec!["2026-11-23PSP-42", "2026-11-23PSP-42ORDBANCA"]),
            ("2026-11-23PSP-42/ORD BANCA", vec!["2026-11-23PSP-42"]),
            ("2026-11-23PSP-42 ORD. BANCA", vec!["2026-11-23PSP-42"]),
            (" 2026-11-23 PSP-42", vec!["2026-11-23PSP-42", "2026-11-23"]),
            ("2026-11-23PSP-4 2", vec!["2026-11-23PSP-4", "2026-11-23PSP-42"]),
            ("à 1", vec![]),
            ("", vec![]),
        ] {
            let remittance = format!("/PUR/LGPE-RIVERSAMENTO/TXT/0/URI/{after}");
            let line = BankLine { id: "1".to_owned(), remittance, amount: Cents::new(1) };
            let ids = line.flow_ids();
            assert_eq!(ids, expected, "{after}");
            let bare = BankLine { remittance: quoting(&ids), ..line };
            assert_eq!(bare.flow_ids(), expected, "{after}: {}", bare.remittance);
        }
    }

    #[test]
    fn flows_are_due_after_two_working_days() {
        for (paid_at, expected) in [
            // A Monday morning, afternoon, and a Friday afternoon before a Monday.
            ("2026-11-23T11:59:59Z", date(2026, 11, 25)),
            ("2026-11-23T12:00:00Z", date(2026, 11, 26)),
            ("2026-11-27T15:00:00Z", date(2026, 12, 2)),
            // Over Christmas and Saint Stephen's, which is a Saturday.
            ("2026-12-24T08:00:00Z", date(2026, 12, 29)),
        ] {
            assert_eq!(due_on(paid_at.parse().unwrap()), expected, "{paid_at}");
        }
        let known = known(&[("1", "a", 1_000)]);
        assert_eq!(unreported(&Flows::default(), &known, date(2026, 11, 25)), []);
        assert_eq!(unreported(&Flows::default(), &known, date(2026, 11, 26)).len(), 1);
    }
}
