//! What banks report of the money they send (*flusso di rendicontazione*): the document, and which of its issues counts.
//!
//! [`read`] takes a document (FlussoRiversamento 1.0 and 1.1, as its schema has it), [`Flows`] keeps the last word on each flow; whether that is what we know is for
//! `matching`. All pure: the same flow twice changes nothing. Two traps of the papers: a revoked payment (code 3) is negative by SACI 3.2.1 and cannot be by the schema, so both
//! signs are taken, and it is subtracted if the total wants that; the total has two decimals whatever the schema's comment says. A flow whose total fits in no reading is set aside
//! whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

use super::xml::{Limits, XmlError, XmlReader, amount, amount_above_zero, day, instant, text, whole};

/// The largest flow that is read, in bytes: some 150,000 payments.
pub const FLOW_MAX: usize = 64 * 1024 * 1024;

const SPACE: &str = "http://www.digitpa.gov.it/schemas/2011/Pagamenti/";
const LIMITS: Limits = Limits { bytes: FLOW_MAX, depth: 6 };

/// What became of a payment, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 0: done.
    Executed,
    /// 3: taken back.
    Revoked,
    /// 4: done while our station was down.
    StandIn,
    /// 8: the same, and nobody had asked for it.
    StandInUnasked,
    /// 9: done, and nobody had asked for it or had a receipt.
    Unasked,
}

/// One payment of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Which notice.
    pub iuv: String,
    /// Which payment of it: the id of the receipt.
    pub iur: String,
    /// Which transfer of the receipt, from 1; missing: the first.
    pub index: u64,
    /// How much, without its sign.
    pub amount: Cents,
    /// What became of it.
    pub code: Code,
    /// When.
    pub on: Date,
}

impl Reported {
    /// Of which transfer it is.
    #[must_use]
    pub fn collection(&self) -> Collection {
        (self.iuv.clone(), self.iur.clone(), self.index)
    }
}

/// What one bank transfer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name, which the transfer quotes.
    pub id: String,
    /// Which issue of it; 0 if who gave it does not say.
    pub revision: u32,
    /// When it was made.
    pub at: Timestamp,
    /// The bank's name of the transfer.
    pub settlement: String,
    /// When the transfer was made.
    pub settled_on: Date,
    /// Who sends the money.
    pub sender: String,
    /// To whom.
    pub receiver: String,
    /// How many payments it says that it has.
    pub count: u64,
    /// How much it says that they make.
    pub total: Cents,
    /// The payments.
    pub payments: Vec<Reported>,
}

/// How a flow's total comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Revoked payments are subtracted, if there are any.
    Subtracted,
    /// Revoked payments were added like others: somebody has to look at them, and nothing is taken back by it.
    Added,
}

/// Why a flow is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quarantine {
    /// Its total fits its payments in no reading.
    Total,
    /// It has another number of payments than it says.
    Count,
    /// It has a payment twice.
    Repeated,
    /// It is for another creditor.
    Receiver,
}

/// Reads a flow. `revision` is which issue it is, as whoever gave it said.
pub fn read(document: &[u8], revision: u32) -> Result<Flow, XmlError> {
    let mut reader = XmlReader::new(document, LIMITS, Some(SPACE))?;
    let reader = &mut reader;
    let version = |text: &str| matches!(text, "1.0" | "1.1").then_some(());
    reader.enter("FlussoRiversamento")?;
    reader.value("versioneOggetto", version)?;
    let id = reader.value("identificativoFlusso", flow_id)?;
    let at = reader.value("dataOraFlusso", instant)?;
    let settlement = reader.value("identificativoUnivocoRegolamento", text::<1, 35>)?;
    let settled_on = reader.value("dataRegolamento", day)?;
    reader.enter("istitutoMittente")?;
    let sender = party(reader, "identificativoUnivocoMittente", &["G", "A", "B"])?;
    reader.value_if("denominazioneMittente", text::<3, 70>)?;
    reader.leave()?;
    reader.value_if("codiceBicBancaDiRiversamento", text::<1, 35>)?;
    reader.enter("istitutoRicevente")?;
    let receiver = party(reader, "identificativoUnivocoRicevente", &["G"])?;
    reader.value_if("denominazioneRicevente", text::<1, 140>)?;
    reader.leave()?;
    let count = reader.value("numeroTotalePagamenti", whole::<1, 999_999_999_999_999>)?;
    let total = reader.value("importoTotalePagamenti", amount)?;
    let mut payments = Vec::new();
    while reader.enter_if("datiSingoliPagamenti")? {
        payments.push(reported(reader)?);
        reader.leave()?;
    }
    if payments.is_empty() {
        return Err(reader.expected("datiSingoliPagamenti"));
    }
    reader.leave()?;
    reader.end()?;
    Ok(Flow { id, revision, at, settlement, settled_on, sender, receiver, count, total, payments })
}

fn party(reader: &mut XmlReader<'_>, name: &'static str, kinds: &[&str]) -> Result<String, XmlError> {
    reader.enter(name)?;
    reader.value("tipoIdentificativoUnivoco", |text| kinds.contains(&text).then_some(()))?;
    let code = reader.value("codiceIdentificativoUnivoco", text::<1, 35>)?;
    reader.leave()?;
    Ok(code)
}

fn reported(reader: &mut XmlReader<'_>) -> Result<Reported, XmlError> {
    let iuv = reader.value("identificativoUnivocoVersamento", text::<1, 35>)?;
    let iur = reader.value("identificativoUnivocoRiscossione", text::<1, 35>)?;
    let index = reader.value_if("indiceDatiSingoloPagamento", whole::<1, 5>)?.unwrap_or(1);
    let (negative, amount) = reader.value("singoloImportoPagato", signed)?;
    let code = |text: &str| {
        Some(match text {
            "0" if !negative => Code::Executed,
            "3" => Code::Revoked,
            "4" if !negative => Code::StandIn,
            "8" if !negative => Code::StandInUnasked,
            "9" if !negative => Code::Unasked,
            _ => return None,
        })
    };
    let code = reader.value("codiceEsitoSingoloPagamento", code)?;
    let on = reader.value("dataEsitoSingoloPagamento", day)?;
    Ok(Reported { iuv, iur, index, amount, code, on })
}

fn signed(text: &str) -> Option<(bool, Cents)> {
    match text.trim_matches([' ', '\t', '\n', '\r']).strip_prefix('-') {
        Some(amount) if amount.starts_with(|c: char| c.is_ascii_digit()) => Some((true, amount_above_zero(amount)?)),
        Some(_) => None,
        None => Some((false, amount_above_zero(text)?)),
    }
}

/// A name that a flow can have.
pub(super) fn flow_id(text: &str) -> Option<String> {
    let plain = (1..=35).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    plain.then(|| text.to_owned())
}

impl Flow {
    /// What it takes back, by IUV and IUR: whatever else it says of these, their money has not come by it.
    #[must_use]
    pub fn taken_back(&self) -> BTreeSet<(&str, &str)> {
        self.payments.iter().filter(|payment| payment.code == Code::Revoked).map(|payment| (payment.iuv.as_str(), payment.iur.as_str())).collect()
    }

    /// How its total comes about; or why it is set aside.
    pub fn reading(&self) -> Result<Reading, Quarantine> {
        if self.payments.len() as u64 != self.count {
            return Err(Quarantine::Count);
        }
        let keys: BTreeSet<_> =
            self.payments.iter().map(|payment| (&payment.iuv, &payment.iur, payment.index, payment.code == Code::Revoked)).collect();
        if keys.len() != self.payments.len() {
            return Err(Quarantine::Repeated);
        }
        let sum =
            |revoked| self.payments.iter().filter(|payment| (payment.code == Code::Revoked) == revoked).map(|payment| payment.amount).sum::<Cents>();
        let (paid, revoked) = (sum(false), sum(true));
        if self.total == paid.minus(revoked) {
            Ok(Reading::Subtracted)
        } else if self.total == paid.plus(revoked) {
            Ok(Reading::Added)
        } else {
            Err(Quarantine::Total)
        }
    }
}

/// The last word on each flow, by sender and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flows {
    last: BTreeMap<FlowKey, Arc<Flow>>,
    /// Of flows of which some issues came with a revision and some without: the last of those, if the one that counts is of these; or the other way round.
    beside: BTreeMap<FlowKey, Arc<Flow>>,
    /// What other issues of a flow name, and that one does not.
    no_more_named: BTreeMap<FlowKey, BTreeSet<Collection>>,
}

/// Whose flow it is, and its name.
type FlowKey = (String, String);

/// One transfer of what was collected: IUV, IUR and index.
pub type Collection = (String, String, u64);

/// What became of a flow that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not there.
    New,
    /// It is there already.
    Same,
    /// It takes the place of an older issue.
    Replaced,
    /// A newer issue is there already.
    Outdated,
}

impl Flows {
    /// Takes a flow in: of several issues, the last one counts. Of those that say which they are it is the one with the highest revision, of the others the one that was made last;
    /// and where there are both, of these two the one that was made last, as a folder knows of no revision whatever it gives. If both were made at once, the one that says it.
    pub fn take(&mut self, flow: Arc<Flow>) -> Taken {
        let key = (flow.sender.clone(), flow.id.clone());
        let Some(there) = self.last.get(&key).cloned() else {
            self.last.insert(key, flow);
            return Taken::New;
        };
        if there == flow {
            return Taken::Same;
        }
        let issues: Vec<Arc<Flow>> = self.beside.get(&key).into_iter().chain([&there, &flow]).cloned().collect();
        let last_that = |says: bool| issues.iter().filter(|issue| (issue.revision > 0) == says).max_by_key(|issue| (issue.revision, issue.at));
        let (last, beside) = match (last_that(true), last_that(false)) {
            (Some(said), Some(unsaid)) if unsaid.at > said.at => (unsaid, Some(said)),
            (Some(said), unsaid) => (said, unsaid),
            (None, unsaid) => (unsaid.unwrap_or(&flow), None),
        };
        let named: BTreeSet<Collection> = last.payments.iter().map(Reported::collection).collect();
        let no_more = self.no_more_named.entry(key.clone()).or_default();
        no_more.extend([&there, &flow].into_iter().flat_map(|issue| issue.payments.iter().map(Reported::collection)));
        no_more.retain(|collection| !named.contains(collection));
        if let Some(beside) = beside {
            self.beside.insert(key.clone(), Arc::clone(beside));
        }
        let taken = if Arc::ptr_eq(last, &flow) { Taken::Replaced } else { Taken::Outdated };
        self.last.insert(key, Arc::clone(last));
        taken
    }

    /// Whether an issue of a flow for that receiver is here that has this revision, or a later one.
    #[must_use]
    pub fn has(&self, id: &str, receiver: &str, revision: u32) -> bool {
        self.last.values().chain(self.beside.values()).any(|known| known.id == id && known.receiver == receiver && known.revision >= revision)
    }

    /// Those that count.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.last.values()
    }

    /// What other issues of a flow name, and the last one does not.
    #[must_use]
    pub fn no_more_named(&self, flow: &Flow) -> Vec<Collection> {
        self.no_more_named.get(&(flow.sender.clone(), flow.id.clone())).into_iter().flatten().cloned().collect()
    }

    /// What they say to have sent more than once, as of a payment that was made while the station was down and is reported again: what took it back is counted off. Flows that
    /// are set aside have nothing, and of those that added what they took back it is not known that it went.
    #[must_use]
    pub fn sent_again(&self) -> BTreeSet<Collection> {
        let mut times: BTreeMap<(&str, &str, u64), i64> = BTreeMap::new();
        for (flow, reading) in self.iter().filter_map(|flow| Some((flow, flow.reading().ok()?))) {
            for payment in &flow.payments {
                let times = times.entry((payment.iuv.as_str(), payment.iur.as_str(), payment.index)).or_default();
                match (payment.code, reading) {
                    (Code::Revoked, Reading::Subtracted) => *times -= 1,
                    (Code::Revoked, Reading::Added) => {}
                    (Code::Executed | Code::StandIn | Code::StandInUnasked | Code::Unasked, _) => *times += 1,
                }
            }
        }
        times.into_iter().filter(|(_, times)| *times > 1).map(|((iuv, iur, index), _)| (iuv.to_owned(), iur.to_owned(), index)).collect()
    }
}
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const CREDITOR: &str = "97832870584";

    pub fn line(iuv: &str, iur: &str, amount: &str, code: &str) -> String {
        format!(
            "<datiSingoliPagamenti><identificativoUnivocoVersamento>{iuv}</identificativoUnivocoVersamento>\
             <identificativoUnivocoRiscossione>{iur}</identificativoUnivocoRiscossione><indiceDatiSingoloPagamento>1</indiceDatiSingoloPagamento>\
             <singoloImportoPagato>{amount}</singoloImportoPagato><codiceEsitoSingoloPagamento>{code}</codiceEsitoSingoloPagamento>\
             <dataEsitoSingoloPagamento>2026-11-23</dataEsitoSingoloPagamento></datiSingoliPagamenti>"
        )
    }

    pub fn document(id: &str, at: &str, count: usize, total: &str, lines: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><FlussoRiversamento xmlns=\"{SPACE}\"><versioneOggetto>1.0</versioneOggetto>\
             <identificativoFlusso>{id}</identificativoFlusso><dataOraFlusso>{at}</dataOraFlusso>\
             <identificativoUnivocoRegolamento>TRN1</identificativoUnivocoRegolamento><dataRegolamento>2026-11-24</dataRegolamento>\
             <istitutoMittente><identificativoUnivocoMittente><tipoIdentificativoUnivoco>B</tipoIdentificativoUnivoco>\
             <codiceIdentificativoUnivoco>PSPXYZ01</codiceIdentificativoUnivoco></identificativoUnivocoMittente></istitutoMittente>\
             <istitutoRicevente><identificativoUnivocoRicevente><tipoIdentificativoUnivoco>G</tipoIdentificativoUnivoco>\
             <codiceIdentificativoUnivoco>{CREDITOR}</codiceIdentificativoUnivoco></identificativoUnivocoRicevente></istitutoRicevente>\
             <numeroTotalePagamenti>{count}</numeroTotalePagamenti><importoTotalePagamenti>{total}</importoTotalePagamenti>{lines}</FlussoRiversamento>"
        )
    }

    pub fn flow(total: &str, lines: &[String]) -> Flow {
        read(document("2026-11-23PSP-1", "2026-11-24T06:00:00", lines.len(), total, &lines.concat()).as_bytes(), 0).unwrap()
    }

    #[test]
    fn the_last_issue_counts_in_whatever_order_they_come() {
        let issue = |revision, at: &str, amount: &str| {
            Arc::new(read(document("F", at, 1, amount, &line("1", "a", amount, "0")).as_bytes(), revision).unwrap())
        };
        let (first, second, third) =
            (issue(1, "2026-11-24T06:00:00", "1.00"), issue(1, "2026-11-24T07:00:00", "2.00"), issue(2, "2026-11-24T05:00:00", "3.00"));
        let all = [&first, &second, &third];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut flows = Flows::default();
            for number in order.into_iter().chain(order) {
                flows.take(Arc::clone(all[number]));
            }
            assert_eq!(flows.iter().collect::<Vec<_>>(), [&third], "{order:?}");
        }
        let mut flows = Flows::default();
        assert_eq!(all.map(|flow| flows.take(Arc::clone(flow))), [Taken::New, Taken::Replaced, Taken::Replaced]);
        assert_eq!(flows.take(first), Taken::Outdated);
    }

    #[test]
    fn an_issue_without_a_revision_counts_by_when_it_was_made() {
        let issue = |revision, hour: u8, amount: &str, iuv: &str| {
            let document = document("F", &format!("2026-11-24T{hour:02}:00:00"), 1, amount, &line(iuv, "a", amount, "0"));
            Arc::new(read(document.as_bytes(), revision).unwrap())
        };
        let (first, from_folder, second) = (issue(1, 6, "1.00", "1"), issue(0, 7, "2.00", "2"), issue(2, 8, "3.00", "3"));
        let again = issue(0, 6, "1.00", "1");
        // Which issues came, and the one that counts.
        for (all, counts) in [
            (vec![&first, &from_folder], &from_folder),
            (vec![&first, &from_folder, &second], &second),
            (vec![&first, &from_folder, &again], &from_folder),
            // The same issue on both ways.
            (vec![&first, &again], &first),
        ] {
            for begin in 0..all.len() {
                let mut flows = Flows::default();
                let order: Vec<&&Arc<Flow>> = all.iter().cycle().skip(begin).take(all.len()).collect();
                for flow in order.iter().chain(order.iter().rev()) {
                    flows.take(Arc::clone(flow));
                }
                assert_eq!(flows.iter().collect::<Vec<_>>(), [counts], "{begin} of {all:?}");
                let mut others: BTreeSet<Collection> = all.iter().map(|flow| flow.payments[0].collection()).collect();
                others.remove(&counts.payments[0].collection());
                assert_eq!(flows.no_more_named(counts), Vec::from_iter(others), "{begin} of {all:?}");
                assert!(flows.has("F", CREDITOR, 1) && !flows.has("F", CREDITOR, 3), "{begin} of {all:?}: what the platform gave is fetched once");
            }
        }
        let mut flows = Flows::default();
        assert_eq!([first, from_folder, again].map(|flow| flows.take(flow)), [Taken::New, Taken::Replaced, Taken::Outdated]);
    }

    #[test]
    fn what_the_last_issue_does_not_name_is_known_in_whatever_order_they_come() {
        let issue =
            |at: &str, total: &str, lines: &[String]| Arc::new(read(document("F", at, lines.len(), total, &lines.concat()).as_bytes(), 0).unwrap());
        let plain = line("9", "x", "20.00", "0");
        let first = issue("2026-11-24T06:00:00", "7.00", &[plain.clone(), line("1", "a", "10.00", "3"), line("2", "b", "3.00", "3")]);
        let second = issue("2026-11-24T07:00:00", "22.00", &[plain.clone(), line("3", "c", "2.00", "0")]);
        let last = issue("2026-11-24T08:00:00", "23.00", &[plain, line("2", "b", "3.00", "0")]);
        let gone = |iuv: &str, iur: &str| -> Collection { (iuv.to_owned(), iur.to_owned(), 1) };
        let all = [&first, &second, &last];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut flows = Flows::default();
            for number in order.into_iter().chain(order) {
                flows.take(Arc::clone(all[number]));
            }
            assert_eq!(flows.no_more_named(&last), [gone("1", "a"), gone("3", "c")], "{order:?}");
        }
        let mut flows = Flows::default();
        flows.take(Arc::clone(&first));
        assert!(flows.no_more_named(&first).is_empty());
    }

    #[test]
    fn what_two_flows_have_was_sent_again_unless_it_was_taken_back_between() {
        let issue = |name: &str, total: &str, lines: &[String]| {
            Arc::new(read(document(name, "2026-11-24T06:00:00", lines.len(), total, &lines.concat()).as_bytes(), 0).unwrap())
        };
        let again = |issues: &[Arc<Flow>]| {
            let mut flows = Flows::default();
            for flow in issues {
                flows.take(Arc::clone(flow));
            }
            flows.sent_again()
        };
        let stand_in = issue("F-1", "15.00", &[line("1", "a", "10.00", "8"), line("2", "b", "5.00", "0")]);
        let executed = issue("F-2", "10.00", &[line("1", "a", "10.00", "0")]);
        let revoked = issue("F-3", "10.00", &[line("1", "a", "10.00", "3"), line("3", "c", "20.00", "0")]);
        let added = issue("F-4", "30.00", &[line("1", "a", "10.00", "3"), line("3", "d", "20.00", "0")]);
        let aside = issue("F-5", "11.00", &[line("1", "a", "10.00", "0")]);
        let expected = BTreeSet::from([("1".to_owned(), "a".to_owned(), 1)]);
        assert_eq!(again(&[Arc::clone(&stand_in), aside]), BTreeSet::new());
        assert_eq!(again(&[Arc::clone(&stand_in), Arc::clone(&executed)]), expected);
        assert_eq!(again(&[Arc::clone(&stand_in), Arc::clone(&executed), added]), expected);
        assert_eq!(again(&[stand_in, executed, revoked]), BTreeSet::new());
    }

    #[test]
    fn documents_of_another_form_are_refused() {
        let good = document("F-1", "2026-11-24T06:00:00", 1, "10.00", &line("1", "a", "10.00", "0"));
        assert!(read(good.as_bytes(), 0).is_ok());
        for (from, to) in [
            ("<versioneOggetto>1.0", "<versioneOggetto>2.0"),
            ("F-1", "F 1"),
            ("F-1", "F-1234567890123456789012345678901234"),
            ("2026-11-24T06:00:00", "2026-11-24"),
            ("TRN1", ""),
            ("<tipoIdentificativoUnivoco>B", "<tipoIdentificativoUnivoco>X"),
            ("<tipoIdentificativoUnivoco>G", "<tipoIdentificativoUnivoco>B"),
            ("<numeroTotalePagamenti>1", "<numeroTotalePagamenti>0"),
            ("<importoTotalePagamenti>10.00", "<importoTotalePagamenti>1000"),
            ("<importoTotalePagamenti>10.00", "<importoTotalePagamenti>-10.00"),
            ("<singoloImportoPagato>10.00", "<singoloImportoPagato>0.00"),
            ("<singoloImportoPagato>10.00", "<singoloImportoPagato>--1.00"),
            ("<indiceDatiSingoloPagamento>1", "<indiceDatiSingoloPagamento>6"),
            ("<codiceEsitoSingoloPagamento>0", "<codiceEsitoSingoloPagamento>1"),
            ("2011/Pagamenti", "2012/Pagamenti"),
            ("</FlussoRiversamento>", ""),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(read(good.replacen(from, to, 1).as_bytes(), 0).is_err(), "{from} {to}");
        }
        let none = document("F", "2026-11-24T06:00:00", 1, "10.00", "");
        assert!(matches!(read(none.as_bytes(), 0), Err(XmlError::Expected { .. })));
    }
}
