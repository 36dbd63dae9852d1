//! What Tornello is measured against: bare HTTP servers that take the same requests.
//!
//! `ceiling` parses the request and answers something of the same form, and nothing else: no key, no slot, no disk. `postgres` and `redis` know the caller's key,
//! insist on an idempotency key and answer a repeat as before, and keep the places of a slot in a procedure with a row lock, or in a script. Compared with Tornello
//! they are spared much: prices, channels, quotas, expiry, lists, live counters, middleware, a chained journal.

pub mod postgres;
pub mod redis;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The only key that the fronts know.
pub const BEARER: &str = "tn_bench_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";

/// Who keeps the places.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Backend {
    /// Nobody: what HTTP and JSON cost on this machine.
    Ceiling,
    /// A PostgreSQL procedure.
    Postgres {
        /// The folder of its socket.
        socket: String,
        /// How many connections all workers have together.
        connections: usize,
    },
    /// A Redis script.
    Redis {
        /// Its socket.
        socket: String,
    },
}

#[derive(Debug, Deserialize, Hash)]
#[serde(deny_unknown_fields)]
struct LineForm {
    category: String,
    count: u16,
}

#[derive(Debug, Deserialize, Hash)]
#[serde(deny_unknown_fields)]
struct HoldForm {
    lines: Vec<LineForm>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Settlement {
    Free {},
    Desk { till: String, method: String, reference: String },
    OnAccount { account: String },
}

#[derive(Debug, Deserialize, Hash)]
#[serde(deny_unknown_fields)]
struct ConfirmForm {
    settlement: Settlement,
}

#[derive(Debug, Deserialize)]
struct CapacityForm {
    capacity: i32,
}

#[derive(Debug, Serialize)]
struct LineView<'a> {
    category: &'a str,
    count: u16,
    price_cents: i64,
}

#[derive(Debug, Serialize)]
struct HoldView<'a> {
    hold: &'a str,
    slot: &'a str,
    channel: &'a str,
    lines: Vec<LineView<'a>>,
    people: u32,
    total_cents: i64,
    expires_at: &'a str,
}

#[derive(Debug, Serialize)]
struct TicketView<'a> {
    ticket: &'a str,
    number: u16,
    category: &'a str,
    price_cents: i64,
    proof_it: &'a str,
    proof_en: &'a str,
}

#[derive(Debug, Serialize)]
struct SaleView<'a> {
    sale: &'a str,
    slot: &'a str,
    channel: &'a str,
    lines: Vec<LineView<'a>>,
    people: u32,
    tickets: Vec<TicketView<'a>>,
    total_cents: i64,
    settlement: &'a Settlement,
    sold_at: &'a str,
}

/// A free port of this machine.
const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// How many connections may wait to be taken, as in Tornello.
const BACKLOG: u32 = 4_096;
const AT: &str = "2026-11-23T08:30:00.123456Z";
const PRICE_CENTS: i64 = 1_200;

/// What a hold or a sale came to.
pub enum Became {
    /// It was done, now or before; the id of the hold, and of how many people.
    Done { hold: String, people: u32 },
    /// No place, no such hold, or the key was used for something else.
    Refused(&'static str),
}

/// What is asked of a backend.
pub struct Asked<'a> {
    /// The caller's number and idempotency key, in one.
    pub key: &'a str,
    /// A digest of what was asked.
    pub digest: i64,
    /// The slot of a hold; empty for a sale.
    pub slot: &'a str,
    /// The hold, or a new id for one.
    pub hold: &'a str,
    /// For how many people.
    pub people: u32,
    /// How it is paid; empty for a hold.
    pub settlement: &'a str,
}

/// A worker's way to what keeps the places.
#[derive(Clone)]
enum Store {
    Postgres(Rc<postgres::Pool>),
    Redis(Rc<redis::Scripts>),
}

impl Store {
    async fn ask(&self, asked: &Asked<'_>) -> anyhow::Result<Became> {
        match self {
            Self::Postgres(pool) => pool.ask(asked).await,
            Self::Redis(scripts) => scripts.ask(asked).await,
        }
    }
}

/// Who may ask.
type Callers = Arc<HashMap<String, u64>>;

static IDS: AtomicU64 = AtomicU64::new(1);

/// A new id, as long as Tornello's.
fn id() -> String {
    format!("{:026}", IDS.fetch_add(1, Ordering::Relaxed))
}

fn digest(of: &impl Hash) -> i64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish().cast_signed()
}

fn held(hold: &str, slot: &str, lines: &[LineForm]) -> HttpResponse {
    let people = lines.iter().map(|line| u32::from(line.count)).sum();
    let lines = lines.iter().map(|line| LineView { category: &line.category, count: line.count, price_cents: PRICE_CENTS }).collect();
    let total_cents = PRICE_CENTS * i64::from(people);
    let location = ("location", format!("/v1/holds/{hold}"));
    let view = HoldView { hold, slot, channel: "box_office", lines, people, total_cents, expires_at: AT };
    HttpResponse::Created().insert_header(location).json(view)
}

fn sold(hold: &str, people: u32, settlement: &Settlement) -> HttpResponse {
    let ticket = |number| TicketView { ticket: hold, number, category: "full", price_cents: PRICE_CENTS, proof_it: "", proof_en: "" };
    let lines = vec![LineView { category: "full", count: people as u16, price_cents: PRICE_CENTS }];
    let tickets = (0..people as u16).map(ticket).collect();
    let total_cents = PRICE_CENTS * i64::from(people);
    let view = SaleView { sale: hold, slot: "0009000102r4e", channel: "box_office", lines, people, tickets, total_cents, settlement, sold_at: AT };
    HttpResponse::Created().json(view)
}

async fn bare_hold(slot: web::Path<String>, form: web::Json<HoldForm>) -> HttpResponse {
    held(&id(), &slot, &form.lines)
}

async fn bare_sale(hold: web::Path<String>, form: web::Json<ConfirmForm>) -> HttpResponse {
    sold(&hold, 1, &form.settlement)
}

/// An answer as long as the one that it is compared with.
async fn bare_read(length: web::Path<usize>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(vec![b' '; *length])
}

/// As [`bare_read`] for what is asked with a body, whatever it is.
async fn bare_answer(length: web::Path<usize>, form: web::Json<serde_json::Value>) -> HttpResponse {
    drop(form);
    HttpResponse::Ok().content_type("application/json").body(vec![b' '; *length])
}

/// The caller's idempotency key, made one with the caller's number; or why not.
fn key_of(request: &HttpRequest, callers: &Callers) -> Result<String, StatusCode> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let caller = header("authorization").and_then(|text| text.strip_prefix("Bearer ")).and_then(|key| callers.get(key));
    let Some(caller) = caller else { return Err(StatusCode::UNAUTHORIZED) };
    let Some(key) = header("idempotency-key") else { return Err(StatusCode::BAD_REQUEST) };
    Ok(format!("{caller}:{key}"))
}

fn failed(error: &anyhow::Error) -> HttpResponse {
    eprintln!("front: {error:#}");
    HttpResponse::InternalServerError().finish()
}

async fn hold(
    request: HttpRequest,
    callers: web::Data<Callers>,
    store: web::Data<Store>,
    slot: web::Path<String>,
    form: web::Json<HoldForm>,
) -> HttpResponse {
    let key = match key_of(&request, &callers) {
        Ok(key) => key,
        Err(denied) => return HttpResponse::new(denied),
    };
    let people = form.lines.iter().map(|line| u32::from(line.count)).sum();
    let asked = Asked { key: &key, digest: digest(&("hold", slot.as_str(), &*form)), slot: &slot, hold: &id(), people, settlement: "" };
    match store.ask(&asked).await {
        Ok(Became::Done { hold, .. }) => held(&hold, &slot, &form.lines),
        Ok(Became::Refused(why)) => HttpResponse::Conflict().body(why),
        Err(error) => failed(&error),
    }
}

async fn sale(
    request: HttpRequest,
    callers: web::Data<Callers>,
    store: web::Data<Store>,
    hold: web::Path<String>,
    form: web::Json<ConfirmForm>,
) -> HttpResponse {
    let key = match key_of(&request, &callers) {
        Ok(key) => key,
        Err(denied) => return HttpResponse::new(denied),
    };
    let Ok(settlement) = serde_json::to_string(&form.settlement) else { return HttpResponse::BadRequest().finish() };
    let asked = Asked { key: &key, digest: digest(&("sale", hold.as_str(), &*form)), slot: "", hold: &hold, people: 0, settlement: &settlement };
    match store.ask(&asked).await {
        Ok(Became::Done { hold, people }) => sold(&hold, people, &form.settlement),
        Ok(Became::Refused(why)) => HttpResponse::Conflict().body(why),
        Err(error) => failed(&error),
    }
}

/// Makes a slot.
async fn open(store: web::Data<Store>, slot: web::Path<String>, form: web::Json<CapacityForm>) -> HttpResponse {
    let opened = match &**store {
        Store::Postgres(pool) => pool.open(&slot, form.capacity).await,
        Store::Redis(scripts) => scripts.open(&slot, form.capacity).await,
    };
    opened.map_or_else(|error| failed(&error), |()| HttpResponse::Ok().json(serde_json::json!({"capacity": form.capacity})))
}

/// How many places of a slot are sold.
async fn read(store: web::Data<Store>, slot: web::Path<String>) -> HttpResponse {
    let sold = match &**store {
        Store::Postgres(pool) => pool.sold(&slot).await,
        Store::Redis(scripts) => scripts.sold(&slot).await,
    };
    sold.map_or_else(|error| failed(&error), |sold| HttpResponse::Ok().json(serde_json::json!({"sold": sold})))
}

/// Says where it listens.
fn say(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    println!("{}", addresses.first().context("it listens nowhere")?);
    Ok(std::io::stdout().flush()?)
}

/// Serves until it is told to stop; says on the standard output where.
pub fn serve(backend: &Backend, workers: usize) -> anyhow::Result<()> {
    let backend = backend.clone();
    let callers: Callers = Arc::new(HashMap::from([(BEARER.to_owned(), 1)]));
    actix_web::rt::System::new().block_on(async move {
        if let Backend::Ceiling = backend {
            let app = || {
                App::new()
                    .route("/v1/slots/{slot}/holds", web::post().to(bare_hold))
                    .route("/v1/holds/{hold}/confirm", web::post().to(bare_sale))
                    .route("/bytes/{length}", web::get().to(bare_read))
                    .route("/bytes/{length}", web::post().to(bare_answer))
            };
            let server = HttpServer::new(app).workers(workers).backlog(BACKLOG).bind(ANYWHERE)?;
            say(&server.addrs())?;
            return server.run().await.context("the ceiling stopped");
        }
        let app = move || {
            let (backend, callers) = (backend.clone(), Arc::clone(&callers));
            let store = move || {
                let backend = backend.clone();
                async move {
                    match backend {
                        Backend::Redis { socket } => redis::Scripts::connect(&socket).await.map(|scripts| Store::Redis(Rc::new(scripts))),
                        Backend::Postgres { socket, connections } => {
                            postgres::Pool::connect(&socket, connections.div_ceil(workers)).await.map(|pool| Store::Postgres(Rc::new(pool)))
                        }
                        Backend::Ceiling => anyhow::bail!("the ceiling keeps nothing"),
                    }
                }
            };
            App::new()
                .app_data(web::Data::new(callers))
                .data_factory(store)
                .route("/v1/slots/{slot}/holds", web::post().to(hold))
                .route("/v1/holds/{hold}/confirm", web::post().to(sale))
                .route("/v1/slots/{slot}/capacity", web::put().to(open))
                .route("/v1/slots/{slot}", web::get().to(read))
        };
        let server = HttpServer::new(app).workers(workers).backlog(BACKLOG).bind(ANYWHERE)?;
        say(&server.addrs())?;
        server.run().await.context("the front stopped")
    })
}
