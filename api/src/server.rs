//! The HTTP server: middleware, limits, wiring. Used by the binary and by tests alike.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::JsonPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Compress, Next, from_fn};
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter, clock::DefaultClock};
use tokio::sync::watch;
use tornello_actors::node::Node;
use tracing_actix_web::RequestId;
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_actix_web::AppExt;

use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::health;
use crate::routes::live::Pulse;
use crate::{openapi, routes};

/// The largest body of an ordinary request, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// How the server listens and whom it limits.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where.
    pub listen: SocketAddr,
    /// How many threads answer.
    pub workers: usize,
    /// Requests per second of one key, on average.
    pub per_second: NonZeroU32,
    /// Requests that one key may send at once.
    pub burst: NonZeroU32,
    /// How often those who watch hear that the server is there.
    pub heartbeat: Duration,
}

impl ServerSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(2_000).expect("not zero");
        const BURST: NonZeroU32 = NonZeroU32::new(4_000).expect("not zero");
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self { listen, workers, per_second: PER_SECOND, burst: BURST, heartbeat: Duration::from_secs(15) }
    }
}

/// Whom a limit counts: a key, or for callers without one the address (of IPv6 the /64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Limited {
    Key(u64),
    Address(IpAddr),
}

type Limiter = RateLimiter<Limited, DefaultKeyedStateStore<Limited>, DefaultClock, StateInformationMiddleware>;

/// What every worker shares.
#[derive(Clone)]
pub struct Shared {
    node: web::Data<Node>,
    limiter: Arc<Limiter>,
    burst: u32,
}

impl Shared {
    /// For a node, with limits.
    #[must_use]
    pub fn new(node: Arc<Node>, settings: &ServerSettings) -> Self {
        let quota = Quota::per_second(settings.per_second).allow_burst(settings.burst);
        let limiter = Arc::new(RateLimiter::keyed(quota).with_middleware());
        Self { node: web::Data::from(node), limiter, burst: settings.burst.get() }
    }
}

/// How bodies, paths and queries are read, and what is said when they cannot be.
fn limits(config: &mut web::ServiceConfig) {
    let json = web::JsonConfig::default().limit(BODY_MAX).error_handler(|error, _| {
        let problem = match &error {
            JsonPayloadError::ContentType => Problem::unsupported("send the body as application/json"),
            JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => Problem::too_large(BODY_MAX),
            JsonPayloadError::Deserialize(error) => Problem::of_json(error),
            other => Problem::malformed(other.to_string()),
        };
        problem.into()
    });
    let path = web::PathConfig::default().error_handler(|_, _| Problem::not_found().into());
    let query = web::QueryConfig::default().error_handler(|error, _| Problem::malformed(error.to_string()).into());
    config.app_data(json).app_data(path).app_data(query).app_data(web::PayloadConfig::new(BODY_MAX));
}

/// Knows the caller by its key and holds it to its limit. A key that is not good is refused here, before anything is read.
async fn known_and_limited(
    shared: web::ThinData<Shared>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let caller = authenticate(&shared, &request);
    let limited = match &caller {
        Ok(Some(caller)) => Limited::Key(caller.id().0),
        Ok(None) | Err(_) => Limited::Address(prefix(request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip()))),
    };
    let denied = match caller {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            None
        }
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    let id = request.extensions().get::<RequestId>().map(RequestId::to_string);
    let (mut response, remaining, reset_s) = match shared.limiter.check_key(&limited) {
        Ok(state) => {
            let response = match denied {
                Some(problem) => request.into_response(problem.error_response()),
                None => next.call(request).await?.map_into_boxed_body(),
            };
            (response, state.remaining_burst_capacity(), 0)
        }
        Err(until) => {
            let wait = until.wait_time_from(governor::clock::Clock::now(&DefaultClock::default()));
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests").retry_after(seconds);
            (request.into_response(problem.error_response()), 0, seconds)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [("ratelimit-limit", shared.burst), ("ratelimit-remaining", remaining), ("ratelimit-reset", reset_s)] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(id) = id.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(HeaderName::from_static("request-id"), id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn authenticate(shared: &Shared, request: &ServiceRequest) -> Result<Option<Caller>, Problem> {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let text = header.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, text) = text.ok_or_else(Problem::unauthorized)?;
    let files = shared.node.files().ok_or_else(Problem::unauthorized)?;
    match files.keys.authenticate(text.trim(), shared.node.now()) {
        Ok(key) => Ok(Some(Caller(key))),
        Err(denied) => Err(Problem::unauthorized().with("reason", denied.code())),
    }
}

/// Callers without a key are counted by address; of IPv6 a network of 2^64 addresses is one household.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// What no route takes: a path of the contract with another method, or nothing that there is.
async fn nowhere(request: HttpRequest, contract: web::Data<OpenApi>) -> HttpResponse {
    let Some(methods) = contract.paths.paths.iter().find(|(template, _)| fits(template, request.path())).map(|(_, item)| methods(item)) else {
        return Problem::not_found().error_response();
    };
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this cannot be done to that").with("allow", &methods);
    let mut response = problem.error_response();
    if let Ok(allow) = HeaderValue::try_from(methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Whether a path has the form of a template, where `{name}` stands for any one part.
fn fits(template: &str, path: &str) -> bool {
    let (mut parts, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let all = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete), ("PATCH", &item.patch)];
    all.into_iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| name).collect()
}

/// The published contract of this version.
#[must_use]
pub fn contract() -> OpenApi {
    openapi::finished(App::new().into_utoipa_app().openapi(openapi::frame()).configure(routes::all).split_for_parts().1)
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
    let listener = TcpListener::bind(settings.listen)?;
    let address = listener.local_addr()?;
    let shared = Shared::new(node, settings);
    let limiter = Arc::clone(&shared.limiter);
    let contract = web::Data::new(contract());
    let pulse = Pulse { heartbeat: settings.heartbeat, stopping };
    let figures = health::recorder();
    let server = HttpServer::new(move || {
        let (app, _) = App::new().into_utoipa_app().openapi(openapi::frame()).configure(routes::all).split_for_parts();
        app.app_data(shared.node.clone())
            .app_data(web::ThinData(shared.clone()))
            .app_data(contract.clone())
            .app_data(web::ThinData(pulse.clone()))
            .configure(limits)
            .configure(routes::unpublished)
            .default_service(web::to(nowhere))
            .wrap(from_fn(known_and_limited))
            .wrap(from_fn(health::measured))
            .wrap(Compress::default())
            .wrap(tracing_actix_web::TracingLogger::default())
    })
    .workers(settings.workers.max(1))
    .shutdown_timeout(10);
    let server = if own_signals { server.disable_signals() } else { server };
    let server = server.listen(listener)?.run();
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

/// Listens, and serves when awaited until Ctrl-C or SIGTERM, then sends those away who watch, and finishes what runs. Answers where it listens as well.
pub fn serve(node: Arc<Node>, settings: &ServerSettings) -> std::io::Result<(impl Future<Output = std::io::Result<()>> + use<>, SocketAddr)> {
    let (stop, stopping) = watch::channel(false);
    let (server, address) = start_until(node, settings, stopping, true)?;
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
        }
        stop.send_replace(true);
        handle.stop(true).await;
    });
    Ok((server, address))
}
