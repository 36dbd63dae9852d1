//! The HTTP server: middleware, limits, wiring. Used by the binary and by tests alike. Gates may have a listener of their own: an address with workers, limits and
//! counts that nobody else uses, so that whatever the others ask, a gate waits for no request but another gate's. The station of pagoPA has one too, where only the
//! proxy comes that knows the platform: it asks for no key, and takes the word of whoever reaches it that a payment was made.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tornello_actors::clock::Stopwatch;
use tornello_actors::node::Node;
use utoipa::openapi::OpenApi;
use utoipa_actix_web::AppExt;

use crate::contract::Contract;
use crate::entrance::{self, Shared};
use crate::misread;
use crate::mqtt::Link;
use crate::pagopa::gateway::Pagopa;
use crate::pagopa::reconciliation::Reconciliation;
use crate::problem::Problem;
use crate::request::unread;
use crate::routes::live::Pulse;
use crate::routes::museums::Regions;
use crate::routes::{Routes, health};
use crate::{openapi, routes};

/// How many connections may wait to be taken. When sales open everybody comes in the same second, and who finds no room is kept waiting for seconds by TCP.
const BACKLOG: u32 = 4_096;
/// How many files may be open for each connection that a listener takes, where everybody comes, at gates and at the station: each leaves the others room however crowded it is, and
/// the house's own files.
const FILES_EACH: u64 = 2;
const FILES_EACH_AT_GATES: u64 = 4;
const FILES_EACH_AT_STATION: u64 = 16;
/// The most connections of one thread, however many files may be open.
const CONNECTIONS_MAX: u64 = 25_600;
/// How many threads answer the node of pagoPA where the station has a listener of its own.
const STATION_WORKERS: usize = 1;
/// How many seconds whoever is being answered has when a server stops: half of what everything together has, see `Running::stop_since`.
const STOP_S: u64 = 5;
/// The largest body of an ordinary request, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// How the server listens and whom it limits.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where.
    pub listen: SocketAddr,
    /// How many threads answer.
    pub workers: usize,
    /// Where gates have a listener of their own, and how many threads answer there; none: they come with all others.
    pub gates: Option<(SocketAddr, usize)>,
    /// Where the station of pagoPA has a listener of its own; none: it answers on the one for everybody, as only a demo may.
    pub station: Option<SocketAddr>,
    /// Whether slots run on the threads that answer, rather than on threads of their own.
    pub lend_threads: bool,
    /// Requests per second of one key, on average.
    pub per_second: NonZeroU32,
    /// Requests that one key may send at once.
    pub burst: NonZeroU32,
    /// How many changes may be under way at once before new ones are turned away; gates are not counted.
    pub in_flight: usize,
    /// How long somebody without a key may take to send a body, and for how long nothing of one may come from whoever has a key.
    pub body_within: Duration,
    /// How often those who watch hear that the server is there.
    pub heartbeat: Duration,
    /// How readings over MQTT go, if they are followed: for `/status`.
    pub mqtt: Option<Link>,
    /// What connects this installation to pagoPA, if it is.
    pub pagopa: Option<Arc<Pagopa>>,
    /// The flows and statements that were taken in, if they are kept.
    pub reconciliation: Option<Arc<Reconciliation>>,
    /// The regions beside Italy's that a museum may be in: those of which a file tells when schools are closed.
    pub regions: BTreeSet<String>,
}

impl ServerSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
        const BURST: NonZeroU32 = NonZeroU32::new(4_000).expect("not zero");
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            listen,
            workers,
            gates: None,
            station: None,
            lend_threads: false,
            per_second: PER_SECOND,
            burst: BURST,
            in_flight: 8_192,
            body_within: Duration::from_secs(15),
            heartbeat: Duration::from_secs(15),
            mqtt: None,
            pagopa: None,
            reconciliation: None,
            regions: BTreeSet::new(),
        }
    }
}

/// How bodies, paths and queries are read, and what is said when they cannot be.
fn limits(config: &mut web::ServiceConfig) {
    let json = web::JsonConfig::default().limit(BODY_MAX).error_handler(|error, _| unread(&error).into());
    let path = web::PathConfig::default().error_handler(|_, _| Problem::not_found().into());
    let query = web::QueryConfig::default().error_handler(|error, request| misread::query(request, &error).into());
    config.app_data(json).app_data(path).app_data(query).app_data(web::PayloadConfig::new(BODY_MAX));
}

/// What no route takes: a path of the contract with another method, or nothing that there is.
async fn nowhere(request: HttpRequest, contract: web::Data<Contract>) -> HttpResponse {
    // With the problem beside it, by which it is counted.
    let Some(methods) = contract.methods(request.path()) else { return HttpResponse::from_error(Problem::not_found()) };
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this cannot be done to that").with("allow", &methods);
    let mut response = HttpResponse::from_error(problem);
    if let Ok(allow) = HeaderValue::try_from(methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The published contract of this version.
#[must_use]
pub fn contract() -> OpenApi {
    contract_of(routes::ALL)
}

fn contract_of(routes: Routes) -> OpenApi {
    openapi::finished(App::new().into_utoipa_app().openapi(openapi::frame()).configure(routes.publish).split_for_parts().1)
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// For everybody.
    pub all: SocketAddr,
    /// For gates, if they have a listener of their own.
    pub gates: Option<SocketAddr>,
    /// For the proxy before the station of pagoPA, if that has a listener of its own.
    pub station: Option<SocketAddr>,
}

/// Binds the address and starts the workers; runs when awaited, until it is told to stop. Answers the server and where it listens. Who watches live holds a
/// graceful stop up for its whole time: [`serve`] sends them away first.
pub fn start(node: Arc<Node>, settings: &ServerSettings) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    // Without its sender the flag never changes.
    start_until(node, settings, watch::channel(false).1, false)
}

fn start_until(
    node: Arc<Node>,
    settings: &ServerSettings,
    stopping: watch::Receiver<bool>,
    own_signals: bool,
) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    let unpublished = if settings.station.is_some() { routes::unpublished } else { routes::unpublished_with_station };
    listen(node, settings, (settings.listen, settings.workers, FILES_EACH), (routes::ALL, unpublished), stopping, own_signals)
}

/// As [`start`], for the listener of the gates.
pub fn start_gates(node: Arc<Node>, settings: &ServerSettings, at: (SocketAddr, usize)) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    start_gates_until(node, settings, at, false)
}

fn start_gates_until(
    node: Arc<Node>,
    settings: &ServerSettings,
    (at, workers): (SocketAddr, usize),
    own_signals: bool,
) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    // Slots do not run here: one that sells would hold up the gates of all.
    let settings = ServerSettings { lend_threads: false, ..settings.clone() };
    listen(node, &settings, (at, workers, FILES_EACH_AT_GATES), (routes::AT_GATES, |_| {}), watch::channel(false).1, own_signals)
}

/// As [`start`], for the listener of the station: nothing else is there.
pub fn start_station(node: Arc<Node>, settings: &ServerSettings, at: SocketAddr) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    start_station_until(node, settings, at, false)
}

fn start_station_until(
    node: Arc<Node>,
    settings: &ServerSettings,
    at: SocketAddr,
    own_signals: bool,
) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    let settings = ServerSettings { lend_threads: false, ..settings.clone() };
    listen(node, &settings, (at, STATION_WORKERS, FILES_EACH_AT_STATION), (routes::NONE, routes::at_station), watch::channel(false).1, own_signals)
}

fn listen(
    node: Arc<Node>,
    settings: &ServerSettings,
    (listen, workers, files_each): (SocketAddr, usize, u64),
    (routes, unpublished): (Routes, fn(&mut web::ServiceConfig)),
    stopping: watch::Receiver<bool>,
    own_signals: bool,
) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    if let Some(pagopa) = &settings.pagopa {
        // A second server on the same node finds it connected.
        node.connect(Arc::clone(pagopa) as _);
    }
    let shared = Shared::new(node, settings);
    let limiter = shared.limiter();
    let contract = web::Data::new(Contract::of(&contract_of(routes)).map_err(std::io::Error::other)?);
    let pulse = Pulse { heartbeat: settings.heartbeat, stopping };
    let figures = health::recorder();
    let lend_threads = settings.lend_threads;
    let mqtt = settings.mqtt.clone();
    let (pagopa, reconciliation) = (settings.pagopa.clone(), settings.reconciliation.clone());
    let regions = Regions(Arc::new(settings.regions.clone()));
    let server = HttpServer::new(move || {
        if lend_threads {
            shared.node().lend(actix_rt::Arbiter::current());
        }
        App::new()
            .configure(routes.serve)
            .app_data(shared.node())
            .app_data(web::ThinData(shared.of_worker()))
            .app_data(contract.clone())
            .app_data(web::ThinData(pulse.clone()))
            .app_data(web::ThinData(mqtt.clone()))
            .app_data(web::ThinData(pagopa.clone()))
            .app_data(web::ThinData(reconciliation.clone()))
            .app_data(web::ThinData(regions.clone()))
            .configure(limits)
            .configure(unpublished)
            .default_service(web::to(nowhere))
            .wrap(from_fn(entrance::pass))
    })
    .workers(workers.max(1))
    .max_connections(connections_max(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), files_each, workers))
    .shutdown_timeout(STOP_S);
    let server = if own_signals { server.disable_signals() } else { server };
    let server = server.backlog(BACKLOG).bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    let server = server.run();
    actix_web::rt::spawn(async move {
        // Callers that have not been seen for a while need no memory, nor do figures that were read.
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            limiter.retain_recent();
            figures.run_upkeep();
        }
    });
    Ok((server, address))
}

/// How many connections each thread of a listener takes. Who comes when all are taken waits until one of them ends.
fn connections_max(files: u64, files_each: u64, workers: usize) -> usize {
    let of_thread = files / files_each / workers.max(1) as u64;
    usize::try_from(of_thread.clamp(1, CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// Lets the process have as many files open as the system allows it. What it begins with is often 1,024: a crowd of connections would fill that.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the process may not have as many files open as the system would allow: it takes fewer connections");
    }
}

/// Listens, and serves when awaited until Ctrl-C or SIGTERM, then sends those away who watch, finishes what runs, and says since when it stops. Answers where it
/// listens as well.
pub fn serve(node: Arc<Node>, settings: &ServerSettings) -> std::io::Result<(impl Future<Output = std::io::Result<Stopwatch>> + use<>, Listening)> {
    use tokio::signal::unix::{SignalKind, signal};
    raise_open_files();
    // Before anybody can know that it listens, so that an early signal is not the end of the process.
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopping) = watch::channel(false);
    let (server, all) = start_until(Arc::clone(&node), settings, stopping, true)?;
    let (gates, at_gates) = settings.gates.map(|at| start_gates_until(Arc::clone(&node), settings, at, true)).transpose()?.unzip();
    let (station, at_station) = settings.station.map(|at| start_station_until(node, settings, at, true)).transpose()?.unzip();
    let handles: Vec<_> = std::iter::once(&server).chain(&gates).chain(&station).map(actix_web::dev::Server::handle).collect();
    let stopped = actix_web::rt::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        let begun = Stopwatch::start();
        stop.send_replace(true);
        // Side by side: whoever does not read holds up one of them only as long as all.
        futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
        begun
    });
    let serving = async {
        futures_util::future::try_join_all(std::iter::once(server).chain(gates).chain(station)).await?;
        stopped.await.map_err(std::io::Error::other)
    };
    Ok((serving, Listening { all, gates: at_gates, station: at_station }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_connections_leaves_gates_and_the_house_their_files() {
        for (files, workers) in [(1_024, 2), (1_024, 3), (20_000, 8), (u64::MAX, 64)] {
            let taken = |files_each, workers: usize| connections_max(files, files_each, workers) as u64 * workers as u64;
            let (all, gates, station) = (taken(FILES_EACH, workers), taken(FILES_EACH_AT_GATES, 1), taken(FILES_EACH_AT_STATION, STATION_WORKERS));
            assert!(all >= 500 && gates >= 250 && station >= 60, "of {files} files: {all}, {gates}, {station}");
            assert!(files - all - gates - station >= 190, "of {files} files: {all}, {gates}, {station}");
        }
        assert_eq!(connections_max(20, FILES_EACH, 64), 1, "one at least");
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        raise_open_files();
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
    }
}
