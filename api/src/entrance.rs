//! What every request passes on its way in and out, in one layer because each costs: it gets a number, its caller is known by the key and held to its limit,
//! and what became of it is counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, AcceptEncoding, Encoding, Header, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use futures_util::{StreamExt, stream};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter, clock::DefaultClock};
use metrics::{Counter, Histogram, counter, histogram};
use tornello_actors::keys::Denied;
use tornello_actors::node::Node;
use tornello_engine::ids::KeyId;
use tornello_engine::time::Timestamp;

use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::station;
use crate::server::{BODY_MAX, ServerSettings};
use crate::unread::Unread;

/// Whom a limit counts: a key, or for callers without one the address (of IPv6 the /64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limited {
    /// A key's number.
    Key(u64),
    /// Where the caller is.
    Address(IpAddr),
}

/// Counts requests by caller.
pub type Limiter = RateLimiter<Limited, DefaultKeyedStateStore<Limited>, DefaultClock, StateInformationMiddleware>;

/// What every worker shares. Each has one of its own for all of its requests: a copy for each would count up and down what all workers count in, again and again.
#[derive(Clone)]
pub struct Shared {
    node: web::Data<Node>,
    limiter: Arc<Limiter>,
    burst: u32,
    /// That, as every answer has it.
    limit: HeaderValue,
    in_flight: Arc<InFlight>,
    in_flight_max: usize,
    body_within: Duration,
    unread: Arc<Unread>,
}

impl Shared {
    /// For a node, with limits.
    #[must_use]
    pub fn new(node: Arc<Node>, settings: &ServerSettings) -> Self {
        let quota = Quota::per_second(settings.per_second).allow_burst(settings.burst);
        let limiter = Arc::new(RateLimiter::keyed(quota).with_middleware());
        Self {
            node: web::Data::from(node),
            limiter,
            burst: settings.burst.get(),
            limit: settings.burst.get().into(),
            in_flight: Arc::default(),
            in_flight_max: settings.in_flight,
            body_within: settings.body_within,
            unread: Arc::default(),
        }
    }

    /// For one worker, with a text of its own of what stands in every answer.
    #[must_use]
    pub fn of_worker(&self) -> Rc<Self> {
        Rc::new(Self { limit: self.burst.into(), ..self.clone() })
    }

    /// The installation.
    #[must_use]
    pub fn node(&self) -> web::Data<Node> {
        self.node.clone()
    }

    /// How long somebody without a key may take to send a body, and for how long nothing of one may come from whoever has a key.
    #[must_use]
    pub const fn body_within(&self) -> Duration {
        self.body_within
    }

    /// A place for what finishes something that was begun; none if there are too many.
    #[must_use]
    pub fn place_to_finish(self: &Rc<Self>) -> Option<Place> {
        Place::within(self, self.in_flight_max * 2)
    }

    /// What is kept of a key's secret now.
    fn secret_of(&self, key: KeyId) -> Option<[u8; 32]> {
        self.node.files()?.keys.fingerprint(key)
    }

    /// Why whoever came by that secret of a key is let in no more.
    fn denied(&self, key: KeyId, secret: Option<[u8; 32]>) -> Option<Denied> {
        self.node.files()?.keys.denied(key, secret, self.node.now())
    }

    /// Who asked how much lately.
    #[must_use]
    pub fn limiter(&self) -> Arc<Limiter> {
        Arc::clone(&self.limiter)
    }
}

/// The layer. A key that is not good is refused here, before anything is read.
pub async fn pass(
    shared: web::ThinData<Rc<Shared>>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = shared.node.now();
    let method = method_name(request.method());
    let changes = !request.method().is_safe();
    // What is read can be asked for without its body too; no route has to know.
    let is_head = request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    forget_impossible_codings(&mut request);
    // More than the house can do is turned away before it costs anything, so that what is let in is done soon.
    let (mut response, remaining, reset_s) = match Place::take(&shared, &request) {
        Some(place) => served(&shared, request, next, (place, begun)).await?,
        None => (Box::pin(turned_away(&shared, request, &Problem::busy())).await, shared.burst, 0),
    };
    // Nobody can guess it, so what a caller quotes is what it was told.
    let number = format!("{:032x}", rand::random::<u128>());
    let seconds = Duration::from_micros(shared.node.now().micros_since(begun).max(0).unsigned_abs()).as_secs_f64();
    count(&response, method, changes, (begun, seconds), &number);
    let headers = response.headers_mut();
    headers.insert(LIMIT, shared.limit.clone());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, if reset_s == 0 { HeaderValue::from_static("0") } else { reset_s.into() });
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(number) = HeaderValue::try_from(number) {
        headers.insert(REQUEST_ID, number);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(if is_head { response.map_body(|_, body| unsent(body)) } else { response })
}

/// Of a caller who takes none of the codings that there are, not even none at all, is passed over what it takes (RFC 9110, 12.1): else what compresses answers by itself, before
/// anybody has looked at who asks, and with what the contract does not know.
fn forget_impossible_codings(request: &mut ServiceRequest) {
    // Nothing is ruled out but by a weight, which hardly anybody gives.
    let is_weighed = request.headers().get_all(header::ACCEPT_ENCODING).any(|accepted| accepted.as_bytes().contains(&b';'));
    if !is_weighed {
        return;
    }
    let ours = [Encoding::identity(), Encoding::gzip(), Encoding::deflate()];
    if AcceptEncoding::parse(&*request).is_ok_and(|accepted| accepted.negotiate(ours.iter()).is_none()) {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
}

/// A body of which only the length is told: the connection knows that nothing of it is sent. One without an end, as live events, would be waited for all the same.
fn unsent(body: BoxBody) -> BoxBody {
    if body.size() == BodySize::Stream { BoxBody::new(body::None::new()) } else { body }
}

/// The answer, how many requests the caller may send at once now, and in how many seconds again if none.
async fn served(
    shared: &Rc<Shared>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    (mut place, begun): (Place, Timestamp),
) -> Result<(ServiceResponse<BoxBody>, u32, u32), Error> {
    let is_read = request.method().is_safe();
    // The node of pagoPA has no key of ours, and may send headers of its own.
    let caller = if request.path() == station::PATH { Ok(None) } else { authenticate(shared, &request, begun) };
    let limited = match &caller {
        Ok(Some(caller)) => Limited::Key(caller.id().0),
        Ok(None) | Err(_) => Limited::Address(prefix(request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip()))),
    };
    let mut barred = None;
    let denied = match caller {
        Ok(Some(caller)) => {
            let key = caller.id();
            let has_place = place.claim_for(key);
            request.extensions_mut().insert(caller);
            if !request.method().is_safe() {
                barred = Some(end_if_silent(&mut request, shared, key));
            }
            (!has_place).then(too_many_of_key)
        }
        Ok(None) => None,
        Err(problem) => Some(problem),
    };
    match shared.limiter.check_key(&limited) {
        Ok(state) => {
            let response = match denied {
                Some(problem) => {
                    drop(place);
                    Box::pin(turned_away(shared, request, &problem)).await
                }
                None => {
                    let _place = place;
                    let response = next.call(request).await?.map_into_boxed_body();
                    let response = match barred.and_then(|barred| barred.get()) {
                        Some(denied) => response.into_response(HttpResponse::from_error(let_in_no_more(denied))),
                        None => response,
                    };
                    shared.unread.give(limited, is_read, response)
                }
            };
            Ok((response, state.remaining_burst_capacity(), 0))
        }
        Err(until) => {
            drop(place);
            let wait = until.wait_time_from(governor::clock::Clock::now(&DefaultClock::default()));
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests").retry_after(seconds);
            Ok((Box::pin(turned_away(shared, request, &problem)).await, 0, seconds))
        }
    }
}

/// Ends a body of which nothing more comes: whoever has lost the network in the middle of a request would keep its place, and the connection, for good. And one that goes on when
/// its key is good no more: by one that leaked many requests could be begun, and ended long after it was revoked. Why it is not is noted for the answer.
fn end_if_silent(request: &mut ServiceRequest, shared: &Rc<Shared>, key: KeyId) -> Rc<Cell<Option<Denied>>> {
    let (mut body, shared, barred) = (request.take_payload(), Rc::clone(shared), Rc::new(Cell::new(None)));
    let noted = Rc::clone(&barred);
    let mut silent: Option<Pin<Box<tokio::time::Sleep>>> = None;
    // What was kept of the key's secret when something was waited for the first time.
    let mut secret: Option<Option<[u8; 32]>> = None;
    let pieces = stream::poll_fn(move |context| match body.poll_next_unpin(context) {
        Poll::Ready(piece) => {
            if silent.take().is_some()
                && let Some(denied) = shared.denied(key, secret.flatten())
            {
                noted.set(Some(denied));
                return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::PermissionDenied.into()))));
            }
            Poll::Ready(piece)
        }
        // Only now is there something to wait for: most bodies come whole with their request.
        Poll::Pending => {
            secret.get_or_insert_with(|| shared.secret_of(key));
            let silent = silent.get_or_insert_with(|| Box::pin(tokio::time::sleep(shared.body_within)));
            silent.as_mut().poll(context).map(|()| Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))))
        }
    });
    request.set_payload(Payload::Stream { payload: Box::pin(pieces) });
    barred
}

/// Refuses a request after its body has been read: what is left unread would cost the caller its connection, and us the next one. It holds no place meanwhile, and
/// who sends too slowly is not waited for. To be boxed, as those who are served have no room for it.
async fn turned_away(shared: &Shared, request: ServiceRequest, problem: &Problem) -> ServiceResponse<BoxBody> {
    let (request, mut payload) = request.into_parts();
    let drained = async {
        let mut left = BODY_MAX;
        while let Some(Ok(chunk)) = payload.next().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(shared.body_within, drained).await;
    // With the problem beside it, by which it is counted.
    ServiceResponse::new(request, HttpResponse::from_error(problem.clone()))
}

/// How many changes are under way.
#[derive(Debug, Default)]
struct InFlight {
    all: AtomicUsize,
    /// With each key that any is under way with.
    of_keys: Mutex<HashMap<KeyId, usize>>,
}

impl InFlight {
    fn of_keys(&self) -> MutexGuard<'_, HashMap<KeyId, usize>> {
        self.of_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever begins changes and does not go on with them takes nobody else's place.
fn too_many_of_key() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "as many changes as may are under way with this key").retry_after(1)
}

/// The place of one change that is under way: one of all that there are, and of those one of its key's.
pub struct Place {
    /// Where it is counted; none: it needs none.
    shared: Option<Rc<Shared>>,
    key: Option<KeyId>,
    /// How many one key may have.
    of_key_max: usize,
}

impl Place {
    /// Reads and gates need none: an opening of sales holds up no turnstile. What was begun is finished before something new begins. The station takes its place when
    /// it has read the message: it is sent without a key, and nobody is to hold places by sending slowly.
    fn take(shared: &Rc<Shared>, request: &ServiceRequest) -> Option<Self> {
        let path = request.path();
        if request.method().is_safe() || path.starts_with("/v1/admissions") || path.starts_with("/v1/exits") || path == station::PATH {
            return Some(Self { shared: None, key: None, of_key_max: 0 });
        }
        if path.ends_with("/confirm") { shared.place_to_finish() } else { Self::within(shared, shared.in_flight_max) }
    }

    fn within(shared: &Rc<Shared>, max: usize) -> Option<Self> {
        let place = Self { shared: Some(Rc::clone(shared)), key: None, of_key_max: (max / 2).max(1) };
        (shared.in_flight.all.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }

    /// Counts it as one of a key's; false if that has as many as one key may: half of all.
    fn claim_for(&mut self, key: KeyId) -> bool {
        let Some(shared) = &self.shared else { return true };
        let mut of_keys = shared.in_flight.of_keys();
        let count = of_keys.entry(key).or_default();
        let is_free = *count < self.of_key_max;
        if is_free {
            *count += 1;
            self.key = Some(key);
        }
        is_free
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        shared.in_flight.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = self.key
            && let Entry::Occupied(mut count) = shared.in_flight.of_keys().entry(key)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

fn authenticate(shared: &Shared, request: &ServiceRequest, now: Timestamp) -> Result<Option<Caller>, Problem> {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let text = header.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, text) = text.ok_or_else(Problem::unauthorized)?;
    let files = shared.node.files().ok_or_else(Problem::unauthorized)?;
    match files.keys.authenticate(text.trim(), now) {
        Ok(key) => Ok(Some(Caller(key))),
        Err(denied) => Err(let_in_no_more(denied)),
    }
}

/// What whoever has a key is told that is not good, or is good no more.
fn let_in_no_more(denied: Denied) -> Problem {
    Problem::unauthorized().with("reason", denied.code())
}

/// Callers without a key are counted by address; of IPv6 a network of 2^64 addresses is one household.
fn prefix(address: IpAddr) -> IpAddr {
    // On a listener for both, one of version 4 comes as one of version 6, and all of these would be one household.
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// The figures of one kind of request with one kind of answer.
struct Figures {
    seconds: Histogram,
    requests: Counter,
    commands: Option<Counter>,
}

/// Method, status and outcome.
type Answered = (&'static str, u16, &'static str);

thread_local! {
    /// The figures that this worker has counted before, by template of the route, then by method, status and outcome: looking them up by their names costs as much as
    /// a small answer.
    static FIGURES: RefCell<HashMap<String, HashMap<Answered, Figures>>> = RefCell::default();
    /// Of whom this worker has not told.
    static UNSERVED: RefCell<Unserved> = RefCell::default();
}

/// When somebody was last told of requests that were not served, by the code of their problem, and how many there were since. Of each there is a line a second: in a crowd
/// writing one for everybody would keep those waiting who are served, and gates with them.
#[derive(Debug, Default)]
struct Unserved(HashMap<&'static str, (Timestamp, u64)>);

impl Unserved {
    /// How long nobody is told again.
    const TOLD_EVERY_US: i64 = 1_000_000;

    /// Whether to tell of one more, and of how many nothing was told meanwhile.
    fn tell(&mut self, code: &'static str, now: Timestamp) -> Option<u64> {
        let (told, untold) = self.0.entry(code).or_insert((Timestamp::MIN, 0));
        if (0..Self::TOLD_EVERY_US).contains(&now.micros_since(*told)) {
            *untold += 1;
            return None;
        }
        *told = now;
        Some(std::mem::take(untold))
    }
}

/// Counts a request by its route's template, and what became of a change that was asked for.
fn count(response: &ServiceResponse<BoxBody>, method: &'static str, changes: bool, (begun, seconds): (Timestamp, f64), number: &str) {
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let (status, problem) =
        (response.status().as_u16(), response.response().error().and_then(|error| error.as_error::<Problem>()).map(Problem::code));
    // A line for each request costs as much as the request. The query stays out, it may name a desk's reference.
    if tracing::enabled!(target: "tornello::access", tracing::Level::DEBUG) {
        let key = response.request().extensions().get::<Caller>().map(|caller| caller.id().to_string());
        tracing::debug!(target: "tornello::access", request_id = number, method, route, status, problem, seconds, key);
    }
    if status >= 500
        && let Some(untold) = UNSERVED.with_borrow_mut(|unserved| unserved.tell(problem.unwrap_or("none"), begun))
    {
        tracing::warn!(request_id = number, method, route, status, problem, untold, "a request was not served");
    }
    FIGURES.with_borrow_mut(|known| {
        let known = match known.get_mut(&route) {
            Some(known) => known,
            None => known.entry(route.clone()).or_default(),
        };
        let outcome = problem.unwrap_or("done");
        let figures = known.entry((method, status, outcome)).or_insert_with(|| Figures {
            seconds: histogram!("http_request_seconds", "method" => method, "route" => route.clone()),
            requests: counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string()),
            commands: changes.then(|| counter!("tornello_commands_total", "route" => route.clone(), "outcome" => outcome)),
        });
        figures.seconds.record(seconds);
        figures.requests.increment(1);
        if let Some(commands) = &figures.commands {
            commands.increment(1);
        }
    });
}

/// One of few names: what a caller makes up is no label.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_without_a_key_share_no_limit_but_in_one_household() {
        for (address, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let [address, counted]: [IpAddr; 2] = [address, counted].map(|text| text.parse().unwrap());
            assert_eq!(prefix(address), counted, "{address}");
        }
    }

    #[test]
    fn a_crowd_that_is_turned_away_is_a_line_a_second() {
        let at = |millis: u32| Timestamp::from_seconds(1_800_000_000).plus_millis(millis);
        let mut unserved = Unserved::default();
        assert_eq!(unserved.tell("busy", at(0)), Some(0));
        assert_eq!((1..1_000).filter_map(|millis| unserved.tell("busy", at(millis))).count(), 0);
        assert_eq!(unserved.tell("journal_unavailable", at(500)), Some(0), "another reason is told at once");
        assert_eq!((unserved.tell("busy", at(1_000)), unserved.tell("busy", at(1_001))), (Some(999), None));
        assert_eq!(unserved.tell("busy", at(9_000)), Some(1));
    }
}
