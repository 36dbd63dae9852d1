//! The platform's services, emulated on a free port of this machine: the archive of debt positions with its states, sums and conflicts, and payment pages. What
//! is asked is held against the published contracts; so is what is answered. It can be told to be in trouble.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use tornello_api::pagopa::settings::Settings;

use super::contracts::{faults, schema};

/// Before this nothing may be due.
const NOW: &str = "2026-11-23T08:30:00Z";

/// What goes wrong with the next request.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It is answered with this status, and not done.
    Status(u16),
    /// It is not done and not answered.
    Hang,
    /// It is done and not answered.
    LoseAnswer,
    /// It is answered with a redirect: status, and where to.
    Redirect(u16, Option<String>),
    /// It is answered with this as the body, and not done.
    Body(u16, Vec<u8>),
}

/// A position: what was sent, and what became of it.
#[derive(Debug, Clone)]
pub struct Stored {
    pub model: Value,
    pub status: &'static str,
    pub paid_at: Option<String>,
}

#[derive(Default)]
struct State {
    positions: BTreeMap<(String, String), Stored>,
    troubles: VecDeque<Trouble>,
    refused_by_pages: Vec<String>,
    carts: Vec<Value>,
    asked: Vec<String>,
    wrong: Vec<String>,
}

struct Contracts {
    position: Validator,
    paid: Validator,
    found: Validator,
    carts: [Validator; 2],
}

/// The emulator.
pub struct Platform {
    pub address: String,
    state: Arc<Mutex<State>>,
    server: ServerHandle,
    serving: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
}

impl Platform {
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let contracts = Data::new(Contracts {
            position: schema("gpd_external_v1.json", "PaymentPositionModel", Draft::Draft202012),
            paid: schema("gpd_external_v1.json", "AlreadyPaidPaymentOptionModel", Draft::Draft202012),
            found: schema("gpd_external_v1.json", "PaymentPositionModelBaseResponse", Draft::Draft202012),
            carts: ["v1", "v2"].map(|version| schema(&format!("checkout_payment_requests_{version}.json"), "CartRequest", Draft::Draft4)),
        });
        let shared = Data::from(Arc::clone(&state));
        let app = move || App::new().app_data(shared.clone()).app_data(contracts.clone()).default_service(web::to(handle));
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0].to_string();
        let server = server.run();
        let handle = server.handle();
        Self { address, state, server: handle, serving: actix_web::rt::spawn(server) }
    }

    pub fn settings(&self) -> Settings {
        super::settings(&self.address)
    }

    /// What goes wrong with the next requests.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state.lock().unwrap().troubles.extend(troubles);
    }

    /// What is there of a position.
    pub fn stored(&self, creditor: &str, iupd: &str) -> Option<Stored> {
        self.state.lock().unwrap().positions.get(&(creditor.to_owned(), iupd.to_owned())).cloned()
    }

    /// Changes what is there.
    pub fn change(&self, iupd: &str, change: impl FnOnce(&mut Stored)) {
        change(self.state.lock().unwrap().positions.iter_mut().find(|((_, name), _)| name == iupd).unwrap().1);
    }

    /// Gives what is there another name.
    pub fn rename(&self, iupd: &str, to: &str) {
        let mut state = self.state.lock().unwrap();
        let key = state.positions.keys().find(|(_, name)| name == iupd).unwrap().clone();
        let stored = state.positions.remove(&key).unwrap();
        state.positions.insert((key.0, to.to_owned()), stored);
    }

    /// Lets the pages refuse a notice.
    pub fn refuse(&self, notice: &str) {
        self.state.lock().unwrap().refused_by_pages.push(notice.to_owned());
    }

    /// The carts that were left since the last time.
    pub fn carts(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().unwrap().carts)
    }

    /// What was asked since the last time: method and path.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// Stops. Nothing that was sent or answered may be against the contracts.
    pub async fn stop(self) {
        self.server.stop(false).await;
        self.serving.await.unwrap().unwrap();
        let state = self.state.lock().unwrap();
        assert_eq!(state.wrong, Vec::<String>::new());
        assert!(state.troubles.is_empty(), "troubles that never came: {:?}", state.troubles);
    }
}

async fn handle(request: HttpRequest, body: Bytes, state: Data<Mutex<State>>, contracts: Data<Contracts>) -> HttpResponse {
    let trouble = {
        let mut state = state.lock().unwrap();
        let query = if request.query_string().is_empty() { String::new() } else { format!("?{}", request.query_string()) };
        state.asked.push(format!("{} {}{query}", request.method(), request.path()));
        state.troubles.pop_front()
    };
    match trouble {
        Some(Trouble::Status(status)) => return problem(status, "in trouble"),
        Some(Trouble::Hang) => pending().await,
        Some(Trouble::Redirect(status, to)) => {
            let mut response = HttpResponse::build(status.try_into().unwrap());
            if let Some(to) = to {
                response.insert_header(("location", to));
            }
            return response.finish();
        }
        Some(Trouble::Body(status, body)) => return HttpResponse::build(status.try_into().unwrap()).content_type("application/json").body(body),
        Some(Trouble::LoseAnswer) | None => {}
    }
    let response = served(&request, &body, &mut state.lock().unwrap(), &contracts);
    if matches!(trouble, Some(Trouble::LoseAnswer)) { pending().await } else { response }
}

fn problem(status: u16, detail: &str) -> HttpResponse {
    HttpResponse::build(status.try_into().unwrap()).json(json!({"title": "problem", "status": status, "detail": detail}))
}

fn served(request: &HttpRequest, body: &[u8], state: &mut State, contracts: &Contracts) -> HttpResponse {
    let parts: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
    let key = request.headers().get("ocp-apim-subscription-key").and_then(|key| key.to_str().ok());
    let method = request.method().as_str();
    let publish = request.query_string() == "toPublish=true";
    match (method, &parts[..]) {
        (_, ["gpd", ..]) if key != Some("key-of-GPD") => problem(401, "no key"),
        (_, ["checkout", ..]) if key != Some("key-of-CHECKOUT") => problem(401, "no key"),
        ("POST", ["gpd", _, "v1", "organizations", creditor, "debtpositions"]) => put(creditor, None, body, publish, state, contracts),
        ("PUT", ["gpd", _, "v1", "organizations", creditor, "debtpositions", iupd]) => put(creditor, Some(iupd), body, publish, state, contracts),
        ("GET", ["gpd", _, "v1", "organizations", creditor, "debtpositions", iupd]) => found(creditor, iupd, state, contracts),
        ("POST", ["gpd", _, "v1", "organizations", creditor, "debtpositions", iupd, step]) => {
            let (from, to): (&[&str], _) = if *step == "publish" { (&["DRAFT"], "VALID") } else { (&["PUBLISHED", "VALID"], "INVALID") };
            match state.positions.get_mut(&((*creditor).to_owned(), (*iupd).to_owned())) {
                None => problem(404, "no such position"),
                Some(stored) if !from.contains(&stored.status) => problem(409, "not from there"),
                Some(stored) => {
                    stored.status = to;
                    HttpResponse::Ok().json(&stored.model)
                }
            }
        }
        ("POST", ["gpd", _, "v1", "organizations", creditor, "paymentoptions", "paids", nav]) => paid(creditor, nav, body, state, contracts),
        ("POST", ["checkout", "ec", version, "carts"]) => cart(version, body, state, contracts),
        _ => problem(404, "no such path"),
    }
}

/// The body, if it is as the contract says; it is noted if it is not.
fn read(body: &[u8], schema: &Validator, state: &mut State) -> Option<Value> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let faults = faults(schema, &value);
    let sound = faults.is_empty();
    state.wrong.extend(faults);
    sound.then_some(value)
}

fn misshapen() -> HttpResponse {
    problem(400, "not as the contract says")
}

fn put(creditor: &str, iupd: Option<&str>, body: &[u8], publish: bool, state: &mut State, contracts: &Contracts) -> HttpResponse {
    let Some(model) = read(body, &contracts.position, state) else { return misshapen() };
    let options = model["paymentOption"].as_array().cloned().unwrap_or_default();
    for option in &options {
        let sum: i64 = option["transfer"].as_array().unwrap().iter().map(|transfer| transfer["amount"].as_i64().unwrap()).sum();
        if option["amount"] != sum || option["dueDate"].as_str().unwrap() < NOW {
            return problem(400, "sum or date");
        }
    }
    let key = (creditor.to_owned(), model["iupd"].as_str().unwrap().to_owned());
    let there = state.positions.get(&key).map(|stored| stored.status);
    match (iupd, there) {
        (Some(_), None) => return problem(404, "no such position"),
        (Some(named), Some(_)) if named != key.1 => return problem(400, "another name"),
        (Some(_), Some("DRAFT" | "PUBLISHED" | "VALID" | "EXPIRED")) | (None, None) => {}
        _ => return problem(409, "there already"),
    }
    let taken = |field: &str| {
        let others = state.positions.iter().filter(|(other, _)| other.0 == key.0 && other.1 != key.1);
        let used: Vec<Value> =
            others.flat_map(|(_, stored)| stored.model["paymentOption"].as_array().unwrap().iter().map(|option| option[field].clone())).collect();
        options.iter().any(|option| used.contains(&option[field]))
    };
    if taken("iuv") || taken("nav") {
        return problem(409, "IUV or NAV of another position");
    }
    let status = if publish { "VALID" } else { "DRAFT" };
    state.positions.insert(key, Stored { model: model.clone(), status, paid_at: None });
    if iupd.is_some() { HttpResponse::Ok().json(model) } else { HttpResponse::Created().json(model) }
}

fn found(creditor: &str, iupd: &str, state: &mut State, contracts: &Contracts) -> HttpResponse {
    let Some(stored) = state.positions.get(&(creditor.to_owned(), iupd.to_owned())) else { return problem(404, "no such position") };
    let mut options = stored.model["paymentOption"].clone();
    for option in options.as_array_mut().unwrap() {
        option["organizationFiscalCode"] = json!(creditor);
        option["status"] = json!(if stored.paid_at.is_some() { "PO_PAID" } else { "PO_UNPAID" });
        if let Some(paid_at) = &stored.paid_at {
            option["paymentDate"] = json!(paid_at);
        }
        for transfer in option["transfer"].as_array_mut().unwrap() {
            transfer["status"] = json!("T_UNREPORTED");
        }
    }
    let mut position = json!({
        "iupd": iupd, "organizationFiscalCode": creditor, "type": stored.model["type"], "companyName": stored.model["companyName"],
        "status": stored.status, "paymentOption": options,
    });
    let faults = faults(&contracts.found, &position);
    state.wrong.extend(faults);
    // Dates without a zone are told, too, whatever the contract says.
    for option in position["paymentOption"].as_array_mut().unwrap() {
        let zoned = option["dueDate"].as_str().unwrap().trim_end_matches('Z').to_owned();
        option["dueDate"] = json!(zoned);
    }
    HttpResponse::Ok().json(position)
}

fn paid(creditor: &str, nav: &str, body: &[u8], state: &mut State, contracts: &Contracts) -> HttpResponse {
    let Some(paid) = read(body, &contracts.paid, state) else { return misshapen() };
    let of_nav = |stored: &Stored| stored.model["paymentOption"].as_array().unwrap().iter().any(|option| option["nav"] == nav);
    let Some((_, stored)) = state.positions.iter_mut().find(|((owner, _), stored)| owner == creditor && of_nav(stored)) else {
        return problem(404, "no such notice");
    };
    match stored.status {
        "PAID" | "REPORTED" => problem(409, "paid already"),
        "VALID" => {
            stored.status = "PAID";
            stored.paid_at = paid["paymentDate"].as_str().map(str::to_owned);
            HttpResponse::Ok().json(json!({"nav": nav, "status": "PO_PAID"}))
        }
        _ => problem(422, "not to be paid"),
    }
}

fn cart(version: &str, body: &[u8], state: &mut State, contracts: &Contracts) -> HttpResponse {
    let schema = &contracts.carts[usize::from(version == "v2")];
    let Some(cart) = read(body, schema, state) else { return misshapen() };
    let notices = cart["paymentNotices"].as_array().unwrap();
    if notices.iter().any(|notice| state.refused_by_pages.iter().any(|refused| notice["noticeNumber"] == refused.as_str())) {
        return problem(422, "a notice cannot be paid");
    }
    let id = cart["idCart"].as_str().unwrap_or("new").to_owned();
    state.carts.push(cart);
    HttpResponse::Found().insert_header(("location", format!("https://checkout.example.it/c/{id}"))).finish()
}
