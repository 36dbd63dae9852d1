//! Reporting flows, fetched from the platform (FdR, organizations API, as published): which were issued for our creditors, and what stands in them. A flow that is
//! fetched becomes the document that it would be in a folder (FlussoRiversamento), and is taken in like one; so a flow that came on both ways counts once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use quick_xml::escape::partial_escape;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::time::{DAY_S, Timestamp};

use super::reconciliation::{Reconciliation, TakeError};
use super::settings::{Creditor, Service, Settings};
use super::wire::{CallError, Wire};

/// How often the platform is asked.
const PULL_EVERY: Duration = Duration::from_secs(3_600);
/// How far back is asked at start, and while something is left, in seconds: sixty days. What was taken in before is not fetched again.
const BACK_S: i64 = 60 * DAY_S;
/// How much earlier than the last answer is asked, in seconds: what is published while we ask is in the next answer.
const OVERLAP_S: i64 = DAY_S;
/// How many rows a page has: one of payments stays well below the largest answer that is read.
const PAGE: &str = "1000";
/// The most pages of one list.
const PAGES_MAX: u32 = 1_000;
/// The outcome of what was taken back, in a document.
const REVOKED: u8 = 3;

/// Why a flow is not fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The platform.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was fetched and cannot be taken in.
    #[error(transparent)]
    Take(#[from] TakeError),
}

/// What came of asking for the flows of a creditor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulled {
    /// How many were taken in.
    pub taken: u32,
    /// How many could not be, and are to be fetched again.
    pub left: u32,
}

/// The platform's service of flows.
#[derive(Debug)]
pub struct FlowService(Wire);

#[derive(Debug, Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default = "Vec::new")]
    data: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    tot_page: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    fdr: String,
    psp_id: String,
    revision: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    fdr: String,
    fdr_date: String,
    regulation: String,
    regulation_date: String,
    bic_code_pouring_bank: Option<String>,
    sender: Sender,
    receiver: Receiver,
    tot_payments: u64,
    sum_payments: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sender {
    r#type: String,
    id: String,
    psp_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receiver {
    organization_id: String,
    organization_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    iuv: String,
    iur: String,
    /// The place in the flow; in the first version of the service that of the transfer.
    index: u64,
    id_transfer: Option<u64>,
    pay: Box<RawValue>,
    pay_status: String,
    pay_date: String,
}

impl FlowService {
    /// Where the settings say.
    pub fn new(service: &Service) -> Result<Self, CallError> {
        Wire::new(service).map(Self)
    }

    /// Fetches the flows that were published for a creditor since then, and takes in those that are new; answers how many, and how many could not be.
    ///
    /// # Errors
    /// What keeps the platform from being asked. A flow that cannot be taken in keeps none of the others from it, and is to be fetched again.
    pub async fn pull(
        &self,
        node: &Arc<Node>,
        settings: &Settings,
        creditor: &Creditor,
        kept: &Reconciliation,
        since: Timestamp,
    ) -> Result<Pulled, PullError> {
        let (code, since) = (creditor.fiscal_code.to_string(), since.to_string());
        let issued: Vec<Issued> = self.pages(&["organizations", &code, "fdrs"], &[("publishedGt", &since)]).await?;
        let mut pulled = Pulled::default();
        for flow in issued {
            if kept.papers().flows.has(&flow.fdr, &code, flow.revision) {
                continue;
            }
            match self.fetch(&code, &flow).await {
                Ok(document) => match kept.take_flow(node, settings, document, flow.revision).await {
                    Ok(done) => {
                        tracing::info!(flow = flow.fdr, taken = ?done.taken, reported = done.reported, paid = done.paid, "a flow was fetched");
                        pulled.taken += 1;
                    }
                    Err(error) => {
                        tracing::error!(%error, flow = flow.fdr, "a flow was fetched and cannot be taken in");
                        pulled.left += 1;
                    }
                },
                // The service is there, and has not this one.
                Err(error @ (CallError::NotFound | CallError::Refused { .. } | CallError::Unusable(_))) => {
                    tracing::error!(%error, flow = flow.fdr, "a flow cannot be fetched");
                    pulled.left += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pulled)
    }

    async fn fetch(&self, code: &str, flow: &Issued) -> Result<Vec<u8>, CallError> {
        let revision = flow.revision.to_string();
        let path = ["organizations", code, "fdrs", &flow.fdr, "revisions", &revision, "psps", &flow.psp_id];
        let head: Head = self.get(&path, &[]).await?;
        let payments: Vec<Paid> = self.pages(&[&path[..], &["payments"]].concat(), &[]).await?;
        document(&head, &payments).ok_or(CallError::Unusable("it says of a flow what no flow can have"))
    }

    /// All rows of a list.
    async fn pages<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        for number in 1..=PAGES_MAX {
            let number_text = number.to_string();
            let query = [query, &[("page", number_text.as_str()), ("size", PAGE)]].concat();
            let page: Page<T> = self.get(path, &query).await?;
            let is_last = page.data.is_empty() || number >= page.metadata.tot_page;
            all.extend(page.data);
            if is_last {
                return Ok(all);
            }
        }
        Err(CallError::Unusable("it has more pages than there can be"))
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, CallError> {
        let answer = self.0.send(Method::GET, path, query, None::<&()>).await?;
        if answer.status == StatusCode::OK { answer.json() } else { Err(answer.error()) }
    }
}

/// The flow as a document; none if it says what cannot stand in one.
fn document(head: &Head, payments: &[Paid]) -> Option<Vec<u8>> {
    let kind = match head.sender.r#type.as_str() {
        "LEGAL_PERSON" => "G",
        "ABI_CODE" => "A",
        "BIC_CODE" => "B",
        _ => return None,
    };
    let party = |kind: &str, code: &str| {
        format!(
            "<tipoIdentificativoUnivoco>{kind}</tipoIdentificativoUnivoco><codiceIdentificativoUnivoco>{}</codiceIdentificativoUnivoco>",
            partial_escape(code)
        )
    };
    let named =
        |name: &str, text: &Option<String>| text.as_ref().map(|text| format!("<{name}>{}</{name}>", partial_escape(text))).unwrap_or_default();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<FlussoRiversamento xmlns=\"http://www.digitpa.gov.it/schemas/2011/Pagamenti/\">\
        <versioneOggetto>1.0</versioneOggetto><identificativoFlusso>{}</identificativoFlusso><dataOraFlusso>{}</dataOraFlusso>\
        <identificativoUnivocoRegolamento>{}</identificativoUnivocoRegolamento><dataRegolamento>{}</dataRegolamento>\
        <istitutoMittente><identificativoUnivocoMittente>{}</identificativoUnivocoMittente>{}</istitutoMittente>{}\
        <istitutoRicevente><identificativoUnivocoRicevente>{}</identificativoUnivocoRicevente>{}</istitutoRicevente>\
        <numeroTotalePagamenti>{}</numeroTotalePagamenti><importoTotalePagamenti>{}</importoTotalePagamenti>",
        partial_escape(&head.fdr),
        partial_escape(&head.fdr_date),
        partial_escape(&head.regulation),
        day(&head.regulation_date)?,
        party(kind, &head.sender.id),
        named("denominazioneMittente", &head.sender.psp_name),
        named("codiceBicBancaDiRiversamento", &head.bic_code_pouring_bank),
        party("G", &head.receiver.organization_id),
        named("denominazioneRicevente", &head.receiver.organization_name),
        head.tot_payments,
        amount(&head.sum_payments)?,
    );
    for paid in payments {
        let code = match paid.pay_status.as_str() {
            "EXECUTED" => 0,
            "REVOKED" => REVOKED,
            "STAND_IN" => 4,
            "STAND_IN_NO_RPT" => 8,
            "NO_RPT" => 9,
            _ => return None,
        };
        write!(
            out,
            "<datiSingoliPagamenti><identificativoUnivocoVersamento>{}</identificativoUnivocoVersamento>\
            <identificativoUnivocoRiscossione>{}</identificativoUnivocoRiscossione><indiceDatiSingoloPagamento>{}</indiceDatiSingoloPagamento>\
            <singoloImportoPagato>{}</singoloImportoPagato><codiceEsitoSingoloPagamento>{code}</codiceEsitoSingoloPagamento>\
            <dataEsitoSingoloPagamento>{}</dataEsitoSingoloPagamento></datiSingoliPagamenti>",
            partial_escape(&paid.iuv),
            partial_escape(&paid.iur),
            paid.id_transfer.unwrap_or(paid.index),
            if code == REVOKED { signed(&paid.pay)? } else { amount(&paid.pay)? },
            day(&paid.pay_date)?,
        )
        .ok()?;
    }
    out.push_str("</FlussoRiversamento>");
    Some(out.into_bytes())
}

/// A number of the answer as euros with two decimals, digit for digit: no amount is ever a float.
fn amount(number: &RawValue) -> Option<String> {
    decimal(number.get())
}

/// As [`amount`], of what was taken back: it may be below zero (SACI 3.2.1).
fn signed(number: &RawValue) -> Option<String> {
    match number.get().strip_prefix('-') {
        Some(number) => decimal(number).map(|amount| format!("-{amount}")),
        None => amount(number),
    }
}

fn decimal(number: &str) -> Option<String> {
    let (euros, cents) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let cents = cents.trim_end_matches('0');
    if euros.is_empty() || !digits(euros) || !digits(cents) || cents.len() > 2 {
        return None;
    }
    Some(format!("{euros}.{cents:0<2}"))
}

/// The day in Rome of an instant, or the day that is said.
fn day(text: &str) -> Option<String> {
    match text.parse::<Timestamp>() {
        Ok(at) => Some(calendar::local_day(at).to_string()),
        Err(_) => text.parse::<jiff::civil::Date>().ok().map(|day| day.to_string()),
    }
}

/// Fetches what is new for every creditor, now and then again and again. Runs until dropped.
pub async fn follow(service: &FlowService, node: &Arc<Node>, settings: &Settings, kept: &Reconciliation) {
    let mut since = node.now().plus_seconds(-BACK_S);
    loop {
        let now = node.now();
        let mut all = true;
        for creditor in settings.creditors() {
            match service.pull(node, settings, creditor, kept, since).await {
                Ok(Pulled { taken, left }) => {
                    all &= left == 0;
                    tracing::info!(creditor = %creditor.fiscal_code, taken, left, "the platform was asked for flows");
                }
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, creditor = %creditor.fiscal_code, "flows cannot be fetched now");
                }
            }
        }
        since = since_next(since, now, all);
        tokio::time::sleep(PULL_EVERY).await;
    }
}

/// Since when is asked the next time, after it was asked `since` then at `now`: while something is left of that, as far back as before, but no further than at a start.
fn since_next(since: Timestamp, now: Timestamp, is_all_taken: bool) -> Timestamp {
    if is_all_taken { now.plus_seconds(-OVERLAP_S) } else { since.max(now.plus_seconds(-BACK_S)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fdr::{self, Code, Reading};
    use super::*;

    fn head() -> serde_json::Value {
        json!({"status": "PUBLISHED", "revision": 2, "fdr": "2026-11-20BANK-1", "fdrDate": "2026-11-21T09:21:37.810000Z", "regulation": "SEPA <1>",
            "regulationDate": "2026-11-20T23:30:00Z", "bicCodePouringBank": "UNCRITMMXXX", "totPayments": 2, "sumPayments": 24.1,
            "sender": {"type": "BIC_CODE", "id": "SELBIT2B", "pspId": "60000000001", "pspName": "Banca & Co", "pspBrokerId": "7", "channelId": "8"},
            "receiver": {"id": "APPBIT2B", "organizationId": "77777777777", "organizationName": "Musei"}})
    }

    fn paid(iuv: &str, pay: serde_json::Value, status: &str) -> serde_json::Value {
        json!({"iuv": iuv, "iur": format!("r-{iuv}"), "index": 1, "pay": pay, "payStatus": status, "payDate": "2026-11-20T12:00:30.900000Z"})
    }

    fn made(head: &serde_json::Value, payments: &[serde_json::Value]) -> Option<fdr::Flow> {
        let head: Head = serde_json::from_str(&head.to_string()).unwrap();
        let payments: Vec<Paid> = payments.iter().map(|paid| serde_json::from_str(&paid.to_string()).unwrap()).collect();
        document(&head, &payments).map(|document| fdr::read(&document, 2).unwrap())
    }

    #[test]
    fn what_the_service_says_is_the_flow_that_a_folder_would_have() {
        let mut second = paid("2", json!(12), "NO_RPT");
        second["index"] = json!(7);
        second["idTransfer"] = json!(2);
        let flow = made(&head(), &[paid("1", json!(12.1), "EXECUTED"), second]).unwrap();
        assert_eq!(
            (flow.id.as_str(), flow.revision, flow.sender.as_str(), flow.receiver.as_str()),
            ("2026-11-20BANK-1", 2, "SELBIT2B", "77777777777")
        );
        assert_eq!((flow.settlement.as_str(), flow.settled_on.to_string(), flow.total.get()), ("SEPA <1>", "2026-11-21".to_owned(), 2_410));
        let payments: Vec<_> = flow.payments.iter().map(|paid| (paid.iuv.as_str(), paid.index, paid.amount.get(), paid.code)).collect();
        assert_eq!(payments, [("1", 1, 1_210, Code::Executed), ("2", 2, 1_200, Code::Unasked)]);
        assert_eq!(flow.reading(), Ok(Reading::Subtracted));
    }

    #[test]
    fn what_was_left_is_asked_for_again_as_long_as_at_a_start() {
        let (day_s, start) = (86_400, Timestamp::from_seconds(1_795_000_000));
        let mut since = start.plus_seconds(-BACK_S);
        for (day, is_all_taken, back_days) in [(0, true, 1), (1, false, 2), (5, false, 6), (58, false, 59), (90, false, 60), (91, true, 1)] {
            let now = start.plus_seconds(day * day_s);
            since = since_next(since, now, is_all_taken);
            assert_eq!(since, now.plus_seconds(-back_days * day_s), "on day {day}");
        }
    }

    #[test]
    fn what_was_revoked_may_be_below_zero() {
        for pay in [json!(-12.1), json!(12.1)] {
            let mut head = head();
            head["sumPayments"] = json!(11.9);
            let flow = made(&head, &[paid("1", json!(24), "EXECUTED"), paid("2", pay.clone(), "REVOKED")]).unwrap();
            assert_eq!(
                (flow.payments[1].amount.get(), flow.payments[1].code, flow.reading()),
                (1_210, Code::Revoked, Ok(Reading::Subtracted)),
                "{pay}"
            );
        }
        assert_eq!(made(&head(), &[paid("1", json!("-12"), "REVOKED")]), None);
    }

    #[test]
    fn what_no_flow_can_have_makes_none() {
        for (pay, status) in [(json!(12.001), "EXECUTED"), (json!(-12), "EXECUTED"), (json!("12"), "EXECUTED"), (json!(12), "PERHAPS")] {
            assert_eq!(made(&head(), &[paid("1", pay.clone(), status)]), None, "{pay} {status}");
        }
        let mut unknown = head();
        unknown["sender"]["type"] = json!("PERSON");
        assert_eq!(made(&unknown, &[paid("1", json!(12), "EXECUTED")]), None);
    }
}
