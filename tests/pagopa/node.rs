//! An emulator of the node of pagoPA, written from its published behaviour (SANP 3.12): it verifies and gets notices at the station over HTTP, gives tokens,
//! takes the payers' money and sends receipts until they are acknowledged. Connections break before, in and after an answer; receipts are queued, sent again
//! in any order, and left lying after so many tries until somebody asks support. It reads answers by its own small means and has no code of the station in
//! it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tornello_actors::keys::Role;

use super::contracts::valid_xml;
use crate::support::{App, TORRE, slot};

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SPACE: &str = "http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd";
const SCHEMA: &str = "paForNode-v2-profile.xsd";
/// How often a receipt is sent by itself.
const SENDS_MAX: u32 = 8;
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which primitives are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    First,
    Second,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primitive {
    Verify,
    Get,
    Receipt,
}

impl Primitive {
    /// The action, and the roots of request and response.
    const fn names(self, version: Version) -> [&'static str; 3] {
        match (self, version) {
            (Self::Verify, _) => ["paVerifyPaymentNotice", "paVerifyPaymentNoticeReq", "paVerifyPaymentNoticeRes"],
            (Self::Get, Version::First) => ["paGetPayment", "paGetPaymentReq", "paGetPaymentRes"],
            (Self::Get, Version::Second) => ["paGetPaymentV2", "paGetPaymentV2Request", "paGetPaymentV2Response"],
            (Self::Receipt, Version::First) => ["paSendRT", "paSendRTReq", "paSendRTRes"],
            (Self::Receipt, Version::Second) => ["paSendRTV2", "paSendRTV2Request", "paSendRTV2Response"],
        }
    }
}

/// What becomes of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// The answer has begun when the connection breaks: it was done.
    AnswerLost,
    /// The connection breaks as soon as everything is sent: it may have been done.
    Gone,
    /// The connection breaks while it is sent: it was not done.
    CutOff,
}

/// Why there is nothing to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// The station says so, by this code.
    Fault(String),
    /// It says nothing in time.
    Silence,
}

/// Whom the node believes to ask.
#[derive(Debug, Clone)]
pub struct Routing {
    pub creditor: String,
    pub broker: String,
    pub station: String,
}

/// A receipt, as it is queued.
#[derive(Debug, Clone)]
pub struct Rt {
    pub token: String,
    pub notice: String,
    pub cents: i64,
    pub stand_in: bool,
    pub version: Version,
    /// How often it was sent.
    sent: u32,
}

/// What was sent and seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub verified: u32,
    pub got: u32,
    pub silent: u32,
    pub duplicates: u32,
    pub stand_ins: u32,
    pub acknowledged: u32,
    pub resent: u32,
}

struct State {
    seed: u64,
    queue: Vec<Rt>,
    acknowledged: Vec<Rt>,
    left_lying: Vec<Rt>,
    /// Tokens that live: the node lets nobody else begin to pay meanwhile.
    tokens: BTreeMap<String, String>,
    answers: Vec<String>,
    seen: Seen,
}

/// The node.
pub struct PagopaNode {
    address: Mutex<SocketAddr>,
    routing: Routing,
    /// Of a hundred exchanges, how many break.
    pub breaks: u64,
    state: Mutex<State>,
}

impl PagopaNode {
    /// A node that asks the station of the demo's creditor there.
    pub fn new(address: SocketAddr, seed: u64, breaks: u64) -> Self {
        let name = |text: &str| text.to_owned();
        let routing = Routing { creditor: name("77777777777"), broker: name("77777777777"), station: name("77777777777_01") };
        let state = State {
            seed,
            queue: Vec::new(),
            acknowledged: Vec::new(),
            left_lying: Vec::new(),
            tokens: BTreeMap::new(),
            answers: Vec::new(),
            seen: Seen::default(),
        };
        Self { address: Mutex::new(address), routing, breaks, state: Mutex::new(state) }
    }

    /// The station is somewhere else now.
    pub fn ask_at(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = address;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn seen(&self) -> Seen {
        self.state().seen
    }

    /// All receipts that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Rt> {
        self.state().acknowledged.clone()
    }

    /// Every answer's message, to be held against the schema.
    pub fn answers(&self) -> Vec<String> {
        self.state().answers.clone()
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        let mut state = self.state();
        state.seed = state.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn version(&self) -> Version {
        if self.below(2) == 0 { Version::First } else { Version::Second }
    }

    fn fate(&self) -> Fate {
        if self.below(100) >= self.breaks {
            return Fate::Answered;
        }
        [Fate::AnswerLost, Fate::AnswerLost, Fate::Gone, Fate::CutOff][self.below(4) as usize]
    }

    /// One exchange: the answer's message, or nothing.
    async fn exchange(&self, primitive: Primitive, version: Version, routing: &Routing, content: &str, fate: Fate) -> Result<String, No> {
        let [action, request, response] = primitive.names(version);
        let Routing { creditor, broker, station } = routing;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><soapenv:Envelope xmlns:soapenv=\"{ENVELOPE}\" xmlns:paf=\"{SPACE}\"><soapenv:Body>\
            <paf:{request}><idPA>{creditor}</idPA><idBrokerPA>{broker}</idBrokerPA><idStation>{station}</idStation>{content}</paf:{request}>\
            </soapenv:Body></soapenv:Envelope>"
        );
        let address = *self.address.lock().unwrap();
        let sent = tokio::task::spawn_blocking(move || send(address, action, &body, fate)).await.unwrap();
        let Some((status, answer)) = sent else {
            self.state().seen.silent += 1;
            return Err(No::Silence);
        };
        assert_eq!(status, 200, "{action}: {answer}");
        let message = between(&answer, "<soapenv:Body>", "</soapenv:Body>").unwrap_or_else(|| panic!("no body in {answer}"));
        assert!(message.contains(&format!(":{response} ")) || message.contains(&format!(":{response}>")), "{action} is answered by {message}");
        self.state().answers.push(message.to_owned());
        match element(message, "outcome") {
            Some("OK") => Ok(message.to_owned()),
            Some("KO") => {
                // A KO without its bean is itself an error.
                let [code, ..] =
                    ["faultCode", "faultString", "id"].map(|name| element(message, name).unwrap_or_else(|| panic!("no {name} in {message}")));
                assert!(code.starts_with("PAA_"), "{message}");
                Err(No::Fault(code.to_owned()))
            }
            _ => panic!("no outcome in {message}"),
        }
    }

    /// Whether a notice can be paid, and how much is due in cents.
    pub async fn verify(&self, notice: &str, fate: Fate) -> Result<i64, No> {
        let message = self.exchange(Primitive::Verify, Version::First, &self.routing, &self.key(notice), fate).await?;
        in_order(
            &message,
            &[
                "outcome",
                "paymentList",
                "paymentOptionDescription",
                "amount",
                "options",
                "allCCP",
                "paymentDescription",
                "fiscalCodePA",
                "companyName",
            ],
        );
        assert_eq!((message.matches("<paymentOptionDescription>").count(), element(&message, "options")), (1, Some("EQ")), "{message}");
        self.state().seen.verified += 1;
        Ok(cents(element(&message, "amount").unwrap()))
    }

    /// Everything about a notice that somebody is about to pay; how much is due in cents.
    pub async fn get(&self, notice: &str, version: Version, fate: Fate) -> Result<i64, No> {
        let content = format!("{}<amount>1.00</amount><transferType>PAGOPA</transferType>", self.key(notice));
        let message = self.exchange(Primitive::Get, version, &self.routing, &content, fate).await?;
        in_order(
            &message,
            &[
                "outcome",
                "data",
                "creditorReferenceId",
                "paymentAmount",
                "dueDate",
                "description",
                "companyName",
                "debtor",
                "fullName",
                "transferList",
                "transfer",
            ],
        );
        let due = cents(element(&message, "paymentAmount").unwrap());
        let parts: i64 = message.split("<transferAmount>").skip(1).map(|rest| cents(rest.split('<').next().unwrap())).sum();
        assert_eq!((parts, element(&message, "creditorReferenceId")), (due, Some(&notice[1..])), "{message}");
        assert!(["IBAN", "remittanceInformation", "transferCategory"].iter().all(|name| element(&message, name).is_some()), "{message}");
        self.state().seen.got += 1;
        Ok(due)
    }

    fn key(&self, notice: &str) -> String {
        format!("<qrCode><fiscalCode>{}</fiscalCode><noticeNumber>{notice}</noticeNumber></qrCode>", self.routing.creditor)
    }

    /// A payer at a bank: what is shown, what is got, a token, and then their money is gone. The bank asks again when it hears nothing. If the station says nothing
    /// at all, the platform answers in its place, now and then.
    pub async fn pay(&self, notice: &str, shown_cents: i64) -> Result<String, No> {
        if self.state().tokens.contains_key(notice) {
            return Err(No::Fault("PPT_PAGAMENTO_IN_CORSO".to_owned()));
        }
        let version = self.version();
        let mut due = Err(No::Silence);
        for _ in 0..3 {
            due = self.verify(notice, self.fate()).await;
            if due == Err(No::Silence) {
                continue;
            }
            due = self.get(notice, version, self.fate()).await;
            if due != Err(No::Silence) {
                break;
            }
        }
        let (cents, stand_in) = match due {
            Ok(cents) => (cents, false),
            Err(No::Silence) if self.below(2) == 0 => (shown_cents, true),
            Err(no) => return Err(no),
        };
        Ok(self.charge(notice, cents, stand_in, version))
    }

    /// The payer's money is gone: a receipt is queued.
    pub fn charge(&self, notice: &str, cents: i64, stand_in: bool, version: Version) -> String {
        let token = format!("{:016x}{:016x}", self.below(u64::MAX), self.below(u64::MAX));
        let mut state = self.state();
        state.seen.stand_ins += u32::from(stand_in);
        state.tokens.insert(notice.to_owned(), token.clone());
        state.queue.push(Rt { token: token.clone(), notice: notice.to_owned(), cents, stand_in, version, sent: 0 });
        token
    }

    /// Sends one receipt; whether it need not be sent again.
    pub async fn send(&self, rt: &Rt, fate: Fate) -> Result<(), No> {
        let said = self.exchange(Primitive::Receipt, rt.version, &self.routing, &self.receipt(rt), fate).await;
        let mut state = self.state();
        match said {
            Ok(_) => Ok(()),
            Err(No::Fault(code)) if code == "PAA_RECEIPT_DUPLICATA" => {
                state.seen.duplicates += 1;
                Ok(())
            }
            Err(no) => Err(no),
        }
    }

    fn receipt(&self, rt: &Rt) -> String {
        let (creditor, notice, iuv) = (&self.routing.creditor, &rt.notice, &rt.notice[1..]);
        let euros = format!("{}.{:02}", rt.cents / 100, rt.cents % 100);
        let second = rt.version == Version::Second;
        let [company, note] = [("<companyName>Musei di prova</companyName>", second), ("<paymentNote>cart</paymentNote>", second)]
            .map(|(text, is_there)| if is_there { text } else { "" });
        let stand_in = if rt.stand_in { "<standIn>true</standIn>" } else { "" };
        format!(
            "<receipt><receiptId>{}</receiptId><noticeNumber>{notice}</noticeNumber><fiscalCode>{creditor}</fiscalCode><outcome>OK</outcome>\
            <creditorReferenceId>{iuv}</creditorReferenceId><paymentAmount>{euros}</paymentAmount><description>Biglietti</description>\
            <companyName>Musei di prova</companyName><debtor><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType>\
            <entityUniqueIdentifierValue>ANONIMO</entityUniqueIdentifierValue></uniqueIdentifier><fullName>ANONIMO</fullName></debtor>\
            <transferList><transfer><idTransfer>1</idTransfer><transferAmount>{euros}</transferAmount><fiscalCodePA>{creditor}</fiscalCodePA>{company}\
            <IBAN>IT60X0542811101000000123456</IBAN><remittanceInformation>Biglietti</remittanceInformation>\
            <transferCategory>9/0000000IM/</transferCategory></transfer></transferList><idPSP>BANCA</idPSP><PSPCompanyName>Banca</PSPCompanyName>\
            <idChannel>BANCA_01</idChannel><channelDescription>app</channelDescription><paymentMethod>creditCard</paymentMethod>{note}\
            <fee>1.00</fee><paymentDateTime>2026-11-23T09:31:00</paymentDateTime>{stand_in}</receipt>",
            rt.token
        )
    }

    /// Everything that is queued is sent once, in any order; what is not acknowledged is queued again, and left lying after so many times. Answers how many are left.
    pub async fn deliver(&self) -> usize {
        let mut queue = std::mem::take(&mut self.state().queue);
        for last in (1..queue.len()).rev() {
            queue.swap(last, self.below(last as u64 + 1) as usize);
        }
        for mut rt in queue {
            let done = self.send(&rt, self.fate()).await;
            let mut state = self.state();
            state.seen.resent += u32::from(rt.sent > 0);
            rt.sent += 1;
            match done {
                Ok(()) => {
                    state.seen.acknowledged += 1;
                    state.tokens.remove(&rt.notice);
                    state.acknowledged.push(rt);
                }
                Err(_) if rt.sent < SENDS_MAX => state.queue.push(rt),
                Err(_) => state.left_lying.push(rt),
            }
        }
        let state = self.state();
        state.queue.len() + state.left_lying.len()
    }

    /// Somebody has asked support to send again what was left lying.
    pub fn support(&self) {
        let mut state = self.state();
        let again: Vec<Rt> = state.left_lying.drain(..).map(|rt| Rt { sent: 0, ..rt }).collect();
        state.queue.extend(again);
    }
}

/// Sends a message, and answers status and body; nothing if the connection was to break.
fn send(address: SocketAddr, action: &str, body: &str, fate: Fate) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /pagopa HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"{action}\"\r\nContent-Length: {}\r\n\
        Connection: close\r\n\r\n",
        body.len()
    );
    let sent = if fate == Fate::CutOff { &body.as_bytes()[..body.len() / 2] } else { body.as_bytes() };
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(sent).ok()?;
    match fate {
        Fate::CutOff | Fate::Gone => return None,
        Fate::AnswerLost => {
            let _ = stream.read(&mut [0; 1]);
            return None;
        }
        Fate::Answered => {}
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// The text of the first element of that name, which is not empty.
fn element<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    between(message, &format!("<{name}>"), &format!("</{name}>")).filter(|text| !text.is_empty())
}

/// The elements stand in that order.
fn in_order(message: &str, names: &[&str]) {
    let mut from = 0;
    for name in names {
        let at = message[from..].find(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}, or not in its place, in {message}"));
        from += at;
    }
}

fn cents(amount: &str) -> i64 {
    let (euros, cents) = amount.split_once('.').unwrap();
    assert_eq!(cents.len(), 2, "{amount}");
    euros.parse::<i64>().unwrap() * 100 + cents.parse::<i64>().unwrap()
}

/// A notice over one full ticket: the payment's path and the notice number.
async fn notice(app: &App, web: &str, name: &str) -> (String, String) {
    let hold = app.hold(slot(TORRE, 15), web, &format!("hold-{name}"), json!([{"category": "full", "count": 1}])).await;
    let (status, opened) = app.post("/v1/payments", web, name, &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    (format!("/v1/payments/{}", opened["payment"].as_str().unwrap()), opened["notice_number"].as_str().unwrap().to_owned())
}

#[actix_rt::test]
async fn the_node_pays_in_both_versions_and_every_answer_is_valid() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let node = PagopaNode::new(app.address, 1, 0);
    for version in [Version::First, Version::Second] {
        let (path, number) = notice(&app, &web, &format!("p{version:?}")).await;
        assert_eq!(node.verify(&number, Fate::Answered).await, Ok(1_200));
        assert_eq!(node.get(&number, version, Fate::Answered).await, Ok(1_200));
        node.charge(&number, 1_200, false, version);
        assert_eq!(node.deliver().await, 0);
        app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
        assert_eq!(node.get(&number, version, Fate::Answered).await, Err(No::Fault("PAA_PAGAMENTO_DUPLICATO".to_owned())));
    }
    let answers = node.answers();
    assert!(answers.len() >= 8 && valid_xml(SCHEMA, &answers).iter().all(|valid| *valid), "{answers:?}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_asked_again_because_nobody_answered_is_done_once() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let node = PagopaNode::new(app.address, 2, 0);
    let fates = [Fate::AnswerLost, Fate::Gone, Fate::CutOff];
    for (number, (verify, get)) in fates.iter().flat_map(|verify| fates.map(|get| (*verify, get))).enumerate() {
        let (path, notice) = notice(&app, &web, &format!("p{number}")).await;
        let version = if number % 2 == 0 { Version::First } else { Version::Second };
        assert_eq!(node.verify(&notice, verify).await, Err(No::Silence));
        assert_eq!(node.verify(&notice, Fate::Answered).await, Ok(1_200));
        assert_eq!(node.get(&notice, version, get).await, Err(No::Silence));
        assert_eq!(node.get(&notice, version, Fate::Answered).await, Ok(1_200));
        node.charge(&notice, 1_200, false, version);
        let rt = node.state().queue[0].clone();
        for fate in fates {
            assert_eq!(node.send(&rt, fate).await, Err(No::Silence));
        }
        assert_eq!(node.deliver().await, 0, "known or not, the receipt is acknowledged");
        let paid = app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
        assert_eq!((paid["receipts"].as_array().unwrap().len(), paid["refunds"].as_array().unwrap().len()), (1, 0), "{paid}");
    }
    assert_eq!(node.seen().duplicates, 9, "each was taken when its first answer was lost");
    app.stop().await;
}

#[actix_rt::test]
async fn the_wrong_door_the_wrong_sum_and_stand_in() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut node = PagopaNode::new(app.address, 3, 0);
    let (path, number) = notice(&app, &web, "p").await;
    let right = node.routing.clone();
    let fault = |code: &str| No::Fault(code.to_owned());
    for (wrong, code) in [
        (Routing { creditor: "11111111111".to_owned(), ..right.clone() }, "PAA_ID_DOMINIO_ERRATO"),
        (Routing { broker: "11111111111".to_owned(), ..right.clone() }, "PAA_ID_INTERMEDIARIO_ERRATO"),
        (Routing { station: "77777777777_99".to_owned(), ..right.clone() }, "PAA_STAZIONE_INT_ERRATA"),
    ] {
        node.routing = wrong;
        let rt = Rt { token: "wrong".to_owned(), notice: number.clone(), cents: 1_200, stand_in: false, version: Version::Second, sent: 0 };
        assert_eq!(node.verify(&number, Fate::Answered).await, Err(fault(code)));
        assert_eq!(node.get(&number, Version::Second, Fate::Answered).await, Err(fault(code)));
        assert_eq!(node.send(&rt, Fate::Answered).await, Err(fault(code)));
    }
    node.routing = right;
    assert_eq!(app.get(&path, &web).await["receipts"], json!([]), "nothing came through the wrong door");
    node.charge(&number, 1_199, false, Version::First);
    node.charge(&number, 1_200, true, Version::Second);
    node.charge(&number, 1_300, false, Version::Second);
    assert_eq!(node.deliver().await, 0);
    // In which order they come, the first over enough pays; every other cent goes back.
    let paid = app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let sum = |list: &str| paid[list].as_array().unwrap().iter().map(|one| one["amount_cents"].as_i64().unwrap()).sum::<i64>();
    assert_eq!((paid["state"].as_str(), sum("receipts"), sum("refunds")), (Some("paid"), 3_699, 2_499), "{paid}");
    app.stop().await;
}
