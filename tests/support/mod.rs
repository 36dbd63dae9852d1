//! A whole Tornello for one test: node and server on a free port, a folder of its own, a clock that stands still, a key for every role and two museums. The
//! first, `torre`, has 20 places in every slot of an hour, a ceiling of 60 people and the tariff of state museums at 12 euros; `mare` is like it, without a
//! ceiling.

#![allow(dead_code, reason = "each suite uses its own part of this")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use jiff::civil::{Date, time};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tornello_actors::clock::ManualClock;
use tornello_actors::journal::Journal;
use tornello_actors::journal::file::FileJournal;
use tornello_actors::keys::{Museums, NewKey, Role};
use tornello_actors::node::{Node, Running, Settings};
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::pagopa::reconciliation::Reconciliation;
use tornello_api::server::{self, ServerSettings};
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, KeyId, MuseumId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{Command, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::Policy;
use tornello_engine::tariff::Tariff;
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

/// When every test begins: a Monday in November, half past nine in Rome; the first slot of the day runs.
pub const NOW: &str = "2026-11-23T08:30:00Z";
/// The number of `torre`.
pub const TORRE: MuseumId = MuseumId(1);
/// The number of `mare`.
pub const MARE: MuseumId = MuseumId(2);

/// A running installation.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// Speaks HTTP.
    pub client: Client,
    /// Set it to let time pass.
    pub clock: Arc<ManualClock>,
    /// Its flows and statements, if it is connected to pagoPA.
    pub reconciliation: Option<Arc<Reconciliation>>,
    running: Running,
    server: ServerHandle,
    serving: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
    folder: TempDir,
}

impl App {
    /// As [`App::start_with`], with so many threads for slots, and something between it and its journal.
    pub async fn start_threaded(settings: ServerSettings, arbiters: usize, between: impl FnOnce(FileJournal) -> Arc<dyn Journal>) -> Self {
        let clock = Arc::new(ManualClock::new(NOW.parse().unwrap()));
        let app = Self::open_threaded(tempfile::tempdir().unwrap(), clock, settings, arbiters, between).await;
        app.register_both().await;
        app
    }

    /// Stops in whatever it does, so that who is being served is answered or not, and starts again as [`App::start_threaded`] does.
    pub async fn restart_threaded(self, settings: ServerSettings, arbiters: usize, between: impl FnOnce(FileJournal) -> Arc<dyn Journal>) -> Self {
        drop(self.client);
        self.server.stop(false).await;
        self.serving.await.unwrap().unwrap();
        self.running.stop().await;
        Self::open_threaded(self.folder, self.clock, settings, arbiters, between).await
    }

    async fn open_threaded(
        folder: TempDir,
        clock: Arc<ManualClock>,
        settings: ServerSettings,
        arbiters: usize,
        between: impl FnOnce(FileJournal) -> Arc<dyn Journal>,
    ) -> Self {
        let of_node = Settings { arbiters, ..Settings::new(folder.path()) };
        let running = Node::start_over(&of_node, Arc::clone(&clock) as _, |_| {}, between).await.unwrap();
        Self::serve(running, folder, clock, settings)
    }

    /// Starts with `torre` and `mare`.
    pub async fn start() -> Self {
        Self::start_with(settings()).await
    }

    /// As [`App::start`], with settings of its own.
    pub async fn start_with(settings: ServerSettings) -> Self {
        let app = Self::open_with(tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(NOW.parse().unwrap())), settings).await;
        app.register_both().await;
        app
    }

    async fn register_both(&self) {
        for (number, slug, ceiling) in [(TORRE, "torre", Some(60)), (MARE, "mare", None)] {
            register(self.node(), number, slug, ceiling).await;
        }
    }

    /// Starts on a folder, whatever it holds.
    async fn open(folder: TempDir, clock: Arc<ManualClock>) -> Self {
        Self::open_with(folder, clock, settings()).await
    }

    async fn open_with(folder: TempDir, clock: Arc<ManualClock>, settings: ServerSettings) -> Self {
        let running = Node::start(&Settings::new(folder.path()), Arc::clone(&clock) as _, |_| {}).await.unwrap();
        Self::serve(running, folder, clock, settings)
    }

    fn serve(running: Running, folder: TempDir, clock: Arc<ManualClock>, settings: ServerSettings) -> Self {
        let batches = running.node().started().head.number;
        let reconciliation = settings.pagopa.is_some().then(|| Arc::new(Reconciliation::open(folder.path(), batches).unwrap()));
        let settings = ServerSettings { reconciliation: reconciliation.clone(), ..settings };
        let (server, address) = server::start(Arc::clone(running.node()), &settings).unwrap();
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        Self { address, client: tornello_api::client::loopback().unwrap(), clock, reconciliation, running, server: handle, serving, folder }
    }

    /// Stops as a server does: what was asked is on the disk.
    pub async fn stop(self) {
        drop(self.client);
        self.server.stop(true).await;
        self.serving.await.unwrap().unwrap();
        self.running.stop().await;
        self.folder.close().unwrap();
    }

    /// Stops, and starts again on the same folder.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// As [`App::restart`], without the read models: they are built again.
    pub async fn restart_without_views(self) -> Self {
        let remove = |folder: &Path| {
            for file in ["views.db", "views.db-wal", "views.db-shm"] {
                let _ = std::fs::remove_file(folder.join(file));
            }
        };
        self.restart_after(remove).await
    }

    /// As [`App::restart`], after something was done to the folder.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        drop(self.client);
        self.server.stop(true).await;
        self.serving.await.unwrap().unwrap();
        self.running.stop().await;
        change(self.folder.path());
        Self::open(self.folder, self.clock).await
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The node behind it. Do not keep it beyond [`App::stop`].
    pub fn node(&self) -> &Node {
        self.running.node()
    }

    /// The node, for a second server on it.
    pub fn shared_node(&self) -> Arc<Node> {
        Arc::clone(self.running.node())
    }

    /// Lets time pass, and ends what is due.
    pub async fn pass(&self, seconds: i64) {
        let now = self.node().now().plus_seconds(seconds);
        let due = self.node().board().due(now);
        self.clock.set(now);
        self.node().wake_due().await;
        for slot in due {
            // A look is answered when all that it sees is on the disk, and so on the board.
            self.node().look(slot, |_| ()).await.unwrap();
        }
    }

    /// A new key of a role for all museums; resellers sell on the account `tour-op`.
    pub async fn key(&self, role: Role) -> String {
        self.key_for(role, Museums::All).await
    }

    /// Gives the first museum another plan, from today on: once in a test.
    pub async fn set_plan(&self, plan: OpeningPlan) {
        let set = Command::SetPlan { valid_from: today(), plan };
        self.node().museum(TORRE, Envelope::by_system(Digest(99)), set).await.unwrap();
    }

    /// A new key of a role for some museums.
    pub async fn key_for(&self, role: Role, museums: Museums) -> String {
        let account = matches!(role, Role::Reseller | Role::Operator).then(|| code("tour-op"));
        let new = NewKey { name: format!("{role} of a test"), role, museums, account, expires_at: None };
        let (text, _) = self.node().files().unwrap().keys.create(new, self.node().now()).await.unwrap();
        text.expose().to_owned()
    }

    /// A request with a key; an empty key sends none.
    pub fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    /// Reads something that must be there.
    pub async fn get(&self, path: &str, key: &str) -> Value {
        let response = self.request(Method::GET, path, key).send().await.unwrap();
        expect(response, StatusCode::OK).await
    }

    /// Asks for a change under an idempotency key, and answers status and body.
    pub async fn ask(&self, method: Method, path: &str, key: &str, idempotency_key: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.request(method.clone(), path, key).header("Idempotency-Key", idempotency_key).json(body);
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), body_of(response).await);
        assert!(is_published(&method, path, status), "{method} {path}: {status} is not in the contract: {body}");
        (status, body)
    }

    /// Holds places, and answers the hold's id.
    pub async fn hold(&self, slot: SlotId, key: &str, idempotency_key: &str, lines: Value) -> String {
        let (status, held) = self.post(&format!("/v1/slots/{slot}/holds"), key, idempotency_key, &serde_json::json!({"lines": lines})).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        held["hold"].as_str().unwrap().to_owned()
    }

    /// Reads something until it is as it should be: what follows from a change by itself, moments later.
    pub async fn until(&self, path: &str, key: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..2_000 {
            let seen = self.get(path, key).await;
            if is_right(&seen) {
                return seen;
            }
            tokio::task::yield_now().await;
        }
        panic!("{path} does not become what it should: {}", self.get(path, key).await)
    }

    /// As the node of pagoPA: sends a message to the station, and answers status and body.
    pub async fn soap(&self, action: &str, body: &str) -> (StatusCode, String) {
        let request = self.client.post(format!("http://{}/pagopa", self.address)).header("SOAPAction", action);
        let response = request.header("Content-Type", "text/xml; charset=utf-8").body(body.to_owned()).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// As [`App::ask`] with POST.
    pub async fn post(&self, path: &str, key: &str, idempotency_key: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, key, idempotency_key, body).await
    }
}

/// A message of the node to the demo's station: `root` names the operation, `rest` what comes after the routing.
pub fn envelope(root: &str, rest: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:pafn=\"http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd\">\
        <soapenv:Header/><soapenv:Body><pafn:{root}><idPA>77777777777</idPA><idBrokerPA>77777777777</idBrokerPA>\
        <idStation>77777777777_01</idStation>{rest}</pafn:{root}></soapenv:Body></soapenv:Envelope>"
    )
}

/// Asks whether a notice can be paid.
pub fn verify(notice: &str) -> String {
    envelope("paVerifyPaymentNoticeReq", &format!("<qrCode><fiscalCode>77777777777</fiscalCode><noticeNumber>{notice}</noticeNumber></qrCode>"))
}

/// Asks for everything about a notice that is about to be paid.
pub fn get_payment(notice: &str) -> String {
    envelope("paGetPaymentReq", &format!("<qrCode><fiscalCode>77777777777</fiscalCode><noticeNumber>{notice}</noticeNumber></qrCode>"))
}

/// Says that a notice was paid.
pub fn receipt(id: &str, notice: &str, euros: &str, paid_at: &str) -> String {
    let iuv = &notice[1..];
    envelope(
        "paSendRTReq",
        &format!(
            "<receipt><receiptId>{id}</receiptId><noticeNumber>{notice}</noticeNumber><fiscalCode>77777777777</fiscalCode><outcome>OK</outcome>\
            <creditorReferenceId>{iuv}</creditorReferenceId><paymentAmount>{euros}</paymentAmount><description>Biglietti</description>\
            <companyName>Musei di prova</companyName><debtor><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType>\
            <entityUniqueIdentifierValue>ANONIMO</entityUniqueIdentifierValue></uniqueIdentifier><fullName>ANONIMO</fullName></debtor>\
            <transferList><transfer><idTransfer>1</idTransfer><transferAmount>{euros}</transferAmount><fiscalCodePA>77777777777</fiscalCodePA>\
            <IBAN>IT60X0542811101000000123456</IBAN><remittanceInformation>Biglietti</remittanceInformation>\
            <transferCategory>9/0000000IM/</transferCategory></transfer></transferList><idPSP>BANCA</idPSP><PSPCompanyName>Banca</PSPCompanyName>\
            <idChannel>BANCA_01</idChannel><channelDescription>app</channelDescription><paymentMethod>creditCard</paymentMethod>\
            <paymentDateTime>{paid_at}</paymentDateTime></receipt>"
        ),
    )
}

/// Whether the contract says that an operation may answer so. What is none of its operations may answer anything.
fn is_published(method: &Method, path: &str, status: StatusCode) -> bool {
    static PATHS: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(server::contract()).unwrap()["paths"].take());
    let given: Vec<&str> = path.split(['?', '#']).next().unwrap_or_default().split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == given.len() && parts.iter().zip(&given).all(|(part, given)| part == given || part.starts_with('{'))
    };
    // Of two that fit, as `/verdicts/one` and `/verdicts/{case}`, the one that says more.
    let templates = PATHS.as_object().unwrap().iter().map(|(template, item)| (template.as_str(), item));
    let found = templates.filter(|&(template, _)| fits(template)).min_by_key(|&(template, _)| template.matches('{').count());
    let operation = found.and_then(|(_, item)| item.get(method.as_str().to_lowercase()));
    operation.is_none_or(|operation| operation["responses"].get(status.as_str()).is_some())
}

/// The body of a response that must have this status.
pub async fn expect(response: Response, status: StatusCode) -> Value {
    let (found, url) = (response.status(), response.url().clone());
    let body = body_of(response).await;
    assert_eq!(found, status, "{url}: {body}");
    body
}

/// A body as JSON; null if it is empty.
pub async fn body_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

/// The slot of the main route that starts today at that hour in Rome.
pub fn slot(museum: MuseumId, hour: i8) -> SlotId {
    SlotId::new(museum, RouteId(1), calendar::instant(today().at(hour, 0, 0, 0)))
}

/// The day on which every test begins.
pub fn today() -> Date {
    calendar::local_day(NOW.parse::<Timestamp>().unwrap())
}

/// A code that is known to be one.
pub fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// Open every day from 9 to 19, in slots of an hour, with 20 places each.
pub fn plan() -> OpeningPlan {
    let at = |hour: i8| time(hour, 0, 0, 0);
    let session = Session { opens: at(9), closes: at(19), slot_minutes: 60, last_entry: at(18), capacity: 20, quotas: Default::default() };
    let route = Route {
        id: RouteId(1),
        code: code("main"),
        name: Text::new("Percorso di visita", "Main route"),
        week: std::array::from_fn(|_| vec![session.clone()]),
        exceptions: Vec::new(),
        policy: Policy::default(),
    };
    OpeningPlan { routes: vec![route] }
}

/// One worker on a free port, the demo's creditor at pagoPA, and a quick heartbeat: a server sees that a watcher has gone when it next writes.
pub fn settings() -> ServerSettings {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let pagopa = Pagopa::new(Pagopa::demo_settings().unwrap()).unwrap();
    ServerSettings { workers: 1, heartbeat: Duration::from_millis(50), pagopa: Some(Arc::new(pagopa)), ..ServerSettings::new(address) }
}

async fn register(node: &Node, number: MuseumId, slug: &str, ceiling: Option<u32>) {
    let profile = Profile {
        slug: code(slug),
        name: format!("Museo {slug}"),
        city: "Roma".to_owned(),
        region: "Lazio".to_owned(),
        latitude_microdeg: 41_900_000,
        longitude_microdeg: 12_480_000,
        patron: None,
    };
    let valid_from = today();
    let commands = [
        Command::Register { profile },
        Command::SetPlan { valid_from, plan: plan() },
        Command::SetTariff { valid_from, tariff: Tariff::state_museum(Cents::new(1_200)) },
        Command::SetCeiling { valid_from, ceiling },
    ];
    for (step, command) in (1..).zip(commands) {
        let envelope = Envelope {
            who: KeyId::SYSTEM,
            key: Digest(step),
            body: Digest(step),
            parties: Vec::new(),
            assessment: None,
            order: None,
            formerly: Vec::new(),
        };
        node.museum(number, envelope, command).await.unwrap();
    }
}
