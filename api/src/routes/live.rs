//! What happens now, as server-sent events: first how things are, then every change as it is committed. A watcher who is too slow is told so and shown anew how
//! things are; nobody who sells ever waits for one.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, get, web};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tornello_actors::availability::{self, Asked};
use tornello_actors::board::{Change, SlotHead};
use tornello_actors::cases::board::{Before, News};
use tornello_actors::digest::digest;
use tornello_actors::keys::{Denied, Museums};
use tornello_actors::node::Node;
use tornello_actors::sensors::Occupancy;
use tornello_engine::calendar;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::{KeyId, MuseumId, SlotId};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::random;
use crate::routes::availability::status_name;
use crate::routes::museum_of;
use crate::routes::readings::{OccupancyView, estimate};

/// How many may watch at once.
const WATCHERS_MAX: usize = 2_000;
/// How many of them with one key: of a program that opens streams and forgets them the others notice nothing.
const WATCHERS_OF_KEY_MAX: usize = 1_000;
/// When to try again who finds that its key has no place left, in seconds.
const KEY_RETRY_S: u32 = 10;
/// The most museums of one watcher.
const MUSEUMS_MAX: usize = 50;

/// The header with the id of the event that whoever comes again has heard last, which browsers send by themselves.
const LAST_ID: &str = "Last-Event-ID";

/// What the ids of this process are made with: from them nobody can tell how many cases there are elsewhere.
static RUN: LazyLock<u64> = LazyLock::new(random);

static WATCHERS: Semaphore = Semaphore::const_new(WATCHERS_MAX);

/// How many watch with each key that anybody watches with.
static OF_KEYS: Mutex<BTreeMap<KeyId, usize>> = Mutex::new(BTreeMap::new());

fn of_keys() -> MutexGuard<'static, BTreeMap<KeyId, usize>> {
    OF_KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one who watches: one of all that there are, and one of its key's.
struct Place {
    key: KeyId,
    _of_all: SemaphorePermit<'static>,
}

impl Place {
    /// A place, if there is one and this key has fewer than `most`.
    fn take(key: KeyId, most: usize) -> Result<Self, Problem> {
        let of_all = WATCHERS.try_acquire().map_err(|_| Problem::unavailable("too many watch at once"))?;
        let mut of_keys = of_keys();
        let count = of_keys.entry(key).or_default();
        if *count >= most {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "as many watch with this key as may");
            return Err(problem.retry_after(KEY_RETRY_S));
        }
        *count += 1;
        Ok(Self { key, _of_all: of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = of_keys().entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What a stream of events needs to know of its server.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// How often a comment keeps the connection alive, and the key is looked at again where nothing happens.
    pub heartbeat: Duration,
    /// Becomes true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// Which museums.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Slugs or numbers with commas between them, at most 50.
    #[param(max_length = 1200, example = "parco-colosseo,parco-pompei")]
    museum: String,
}

/// A slot right after a commit: the data of a `slot` event.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SlotEvent {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// The museum's number.
    museum: u16,
    /// When it starts (RFC 3339, UTC).
    #[schema(format = DateTime)]
    starts_at: String,
    /// Its places.
    capacity: u32,
    /// Places in live holds.
    held: u32,
    /// Places that were held over the web and not bought, and are not free yet: they count as taken.
    resting: u32,
    /// Places sold and not cancelled.
    sold: u32,
    /// Tickets let in at least once.
    admitted: u32,
    /// Tickets whose holders are inside.
    inside: u32,
    /// How many places the key's channel may take now.
    available: u32,
    /// As in the list of availability.
    #[schema(max_length = 16)]
    status: &'static str,
    /// How many parties wait for places.
    waiting: u32,
    /// Counts the slot's records: a smaller number is older news. 0: nothing has happened yet.
    seq: u64,
    /// When it was committed; absent if nothing has happened yet (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// A case that somebody should look at: the data of a `fraud_case` event.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CaseEvent {
    /// The case.
    #[schema(max_length = 13)]
    case: String,
    /// The museum's number.
    museum: u16,
    /// Why there is a case.
    origin: &'static str,
    /// What the scorer said, 0 to 100; absent if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<u8>,
    /// What is at stake, in euro cents.
    amount_cents: i64,
    /// When somebody should have looked (RFC 3339, UTC).
    #[schema(format = DateTime)]
    due_at: String,
}

impl From<News> for CaseEvent {
    fn from(news: News) -> Self {
        let News { case, museum, origin, score, amount_cents, due_at, number: _ } = news;
        Self { case: case.to_string(), museum: museum.0, origin: origin.name(), score, amount_cents: amount_cents.get(), due_at: due_at.to_string() }
    }
}

/// How many changes of all museums were lost: the data of a `lagged` event. How things are follows it. To a key that is not good for all museums it is 0, and of cases to each: from
/// it nobody is to tell how much happens at museums that are none of theirs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Lagged {
    lost: u64,
}

/// Why nothing follows: the data of an `end` event.
#[derive(Debug, Clone, Copy, Serialize)]
struct End {
    reason: &'static str,
}

/// An id of the case that was told with that number, another one each time: whoever comes again sees by none whether a case was told to others meanwhile.
fn id_of(number: u64) -> String {
    id_with(random(), number)
}

fn id_with(salt: u64, number: u64) -> String {
    let Digest(bits) = digest(&[b"live", &RUN.to_be_bytes(), &salt.to_be_bytes(), &number.to_be_bytes()]);
    format!("{salt:016x}{:016x}", bits as u64)
}

/// Whether this process gave that id for that number.
fn is_id_of(id: &str, number: u64) -> bool {
    let salt = id.get(..16).and_then(|salt| u64::from_str_radix(salt, 16).ok());
    salt.is_some_and(|salt| id == id_with(salt, number))
}

fn case_event(news: News) -> Bytes {
    let (id, data) = (id_of(news.number), serde_json::to_string(&CaseEvent::from(news)).unwrap_or_default());
    Bytes::from(format!("id: {id}\nevent: fraud_case\ndata: {data}\n\n"))
}

struct Watcher {
    node: web::Data<Node>,
    caller: Caller,
    /// What was kept of the key's secret when it came.
    secret: Option<[u8; 32]>,
    museums: Vec<MuseumId>,
    changes: Receiver<Change>,
    estimates: Receiver<Occupancy>,
    /// New fraud cases, for those who look into them.
    cases: Option<Receiver<News>>,
    pulse: Pulse,
    beat: tokio::time::Interval,
    ready: VecDeque<Bytes>,
    /// Of which museums it is to be shown yet how things are: of one after the other, when what came before has been read. All of them together are megabytes, for each who opens a
    /// stream and reads nothing.
    unshown: VecDeque<MuseumId>,
    /// What was missed of cases, to be told after that.
    missed: Option<Before>,
    ended: bool,
    _place: Place,
}

/// What a watcher waits for.
enum Heard {
    Change(Box<Change>),
    Estimate(Occupancy),
    Case(News),
    Lagged(u64),
    Beat,
    Stopping,
}

fn heard<T>(received: Result<T, RecvError>, what: impl FnOnce(T) -> Heard) -> Heard {
    match received {
        Ok(received) => what(received),
        Err(RecvError::Lagged(lost)) => Heard::Lagged(lost),
        Err(RecvError::Closed) => Heard::Stopping,
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

impl Watcher {
    fn slot_event(&self, slot: SlotId, head: Option<SlotHead>) -> Option<SlotEvent> {
        let known = self.node.museums().get(slot.museum())?;
        let seen = availability::of_slot(&known, self.node.board(), slot, self.caller.channel(), self.node.now())?;
        let places = head.map_or(seen.places, |head| head.places);
        Some(SlotEvent {
            slot: slot.to_string(),
            museum: slot.museum().0,
            starts_at: slot.start().to_string(),
            capacity: places.capacity,
            held: places.held.iter().sum(),
            resting: places.resting,
            sold: places.sold.iter().sum(),
            admitted: places.admitted,
            inside: places.inside,
            available: seen.available,
            status: status_name(seen.status),
            waiting: head.map_or(0, |head| head.waiting),
            seq: head.map_or(0, |head| head.seq),
            at: head.map(|head| head.at.to_string()),
        })
    }

    /// How things are is to be shown, of all museums.
    fn show_all(&mut self) {
        self.unshown = self.museums.iter().copied().collect();
    }

    /// How things are at a museum: the slots of today and those of the evening before that are not over, and who is inside.
    fn show(&mut self, museum: MuseumId) {
        let Some(known) = self.node.museums().get(museum) else { return };
        let now = self.node.now();
        let today = calendar::local_day(now);
        let eve = today.yesterday().unwrap_or(today);
        let asked = Asked { from: eve, to: today, route: None, channel: self.caller.channel(), now };
        let mut slots = availability::of_museum(&known, self.node.board(), asked);
        slots.retain(|seen| now < seen.end || calendar::local_day(seen.slot.start()) >= today);
        for seen in slots {
            let head = self.node.board().head(seen.slot);
            self.ready.extend(self.slot_event(seen.slot, head).map(|data| event("slot", &data)));
        }
        self.ready.extend(estimate(&self.node, museum).map(|data| event("occupancy", &data)));
    }

    /// What whoever comes again has missed of cases; if another process told what they heard last, nobody knows of what came before this one.
    fn show_missed(&mut self, before: &Before) {
        if !before.is_whole {
            self.ready.push_back(event("lagged", &Lagged { lost: 0 }));
        }
        let own = before.missed.iter().filter(|news| self.museums.contains(&news.museum));
        self.ready.extend(own.map(|news| case_event(*news)));
    }

    /// What can be told now; none: all that there was.
    fn next_ready(&mut self) -> Option<Bytes> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            if self.unshown.is_empty() && self.missed.is_none() {
                return None;
            }
            if let Some(reason) = self.barred() {
                self.end(reason);
            } else if let Some(museum) = self.unshown.pop_front() {
                self.show(museum);
            } else if let Some(before) = self.missed.take() {
                self.show_missed(&before);
            }
        }
    }

    fn end(&mut self, reason: &'static str) {
        self.unshown.clear();
        self.missed = None;
        self.ready.push_back(event("end", &End { reason }));
        self.ended = true;
    }

    /// Why the key may not watch any more.
    fn barred(&self) -> Option<&'static str> {
        let keys = &self.node.files()?.keys;
        keys.denied(self.caller.id(), self.secret, self.node.now()).map(Denied::code)
    }

    async fn hear(&mut self) -> Heard {
        let stopping = async {
            // A server that cannot be told to stop like this never says so.
            if self.pulse.stopping.wait_for(|stopping| *stopping).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            change = self.changes.recv() => heard(change, |change| Heard::Change(Box::new(change))),
            estimate = self.estimates.recv() => heard(estimate, Heard::Estimate),
            news = async { match &mut self.cases { Some(cases) => cases.recv().await, None => std::future::pending().await } } => match news {
                Err(RecvError::Lagged(_)) => Heard::Lagged(0),
                news => heard(news, Heard::Case),
            },
            _ = self.beat.tick() => Heard::Beat,
            () = stopping => Heard::Stopping,
        }
    }

    /// Whether it is about one of the museums that are watched, or about all.
    fn concerns(&self, heard: &Heard) -> bool {
        let museum = match heard {
            Heard::Change(change) => change.slot.museum(),
            Heard::Estimate(occupancy) => occupancy.museum,
            Heard::Case(news) => news.museum,
            Heard::Lagged(_) | Heard::Beat | Heard::Stopping => return true,
        };
        self.museums.contains(&museum)
    }

    fn tell(&mut self, heard: Heard) {
        if !self.concerns(&heard) {
            return;
        }
        // Asked before each word, and not with each beat alone: whoever has a key that leaked would watch on until then.
        if let Some(reason) = self.barred() {
            self.end(reason);
            return;
        }
        match heard {
            Heard::Change(change) => {
                let data = self.slot_event(change.slot, Some(change.head));
                self.ready.extend(data.map(|data| event("slot", &data)));
            }
            Heard::Estimate(occupancy) => self.ready.push_back(event("occupancy", &OccupancyView::new(&self.node, &occupancy))),
            Heard::Case(news) => self.ready.push_back(case_event(news)),
            Heard::Lagged(lost) => {
                let lost = if self.caller.0.museums == Museums::All { lost } else { 0 };
                self.ready.push_back(event("lagged", &Lagged { lost }));
                self.show_all();
            }
            Heard::Beat => self.ready.push_back(Bytes::from_static(b": still here\n\n")),
            Heard::Stopping => self.end("stopping"),
        }
    }

    fn events(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, |mut watcher| async move {
            loop {
                if let Some(next) = watcher.next_ready() {
                    return Some((Ok(next), watcher));
                }
                if watcher.ended {
                    return None;
                }
                let heard = watcher.hear().await;
                watcher.tell(heard);
            }
        })
    }
}

/// Watch museums live.
///
/// Server-sent events. First how things are: a `slot` event for each of today's slots, and for those of the evening before that are not over, and an `occupancy` event
/// for each museum with sensors; then the same events as things change, of slots of any day. Who looks into fraud is told of new cases, of appeals, and of cases whose verdict is taken back, too (`fraud_case`). `lagged` says that changes were lost, and how things are follows again: of cases it may be
/// that some were lost, and their list says which. Its `lost` is how many changes of all museums that were; 0 where that is not told, as to a key that is good for some of them. Who comes again with the id of the last event (`Last-Event-ID`) is told of the cases that came meanwhile, behind `lagged` where
/// that need not be all of them. A comment comes every 15 seconds; the
/// stream ends with an `end` event when the key is revoked, or has another secret, or the server stops: nothing else is told by such a key. There may be 2,000 streams at once, 1,000 of one key.
#[utoipa::path(
    tag = "Live", operation_id = "watch_live", security(("key" = ["read"])),
    params(Which, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard, of who comes again")),
    responses((status = 200, description = "Events without end; the data of `slot` events is described here", body = SlotEvent,
        content_type = "text/event-stream"), crate::openapi::Problems),
)]
#[get("/live")]
pub async fn follow(
    node: web::Data<Node>,
    caller: Caller,
    which: web::Query<Which>,
    pulse: web::ThinData<Pulse>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Read)?;
    let names: Vec<&str> = which.museum.split(',').map(str::trim).collect();
    if names.len() > MUSEUMS_MAX {
        return Err(Problem::malformed("museum: at most 50 are expected"));
    }
    let mut museums = Vec::with_capacity(names.len());
    for name in names {
        let museum = museum_of(&node, &caller, Scope::Read, name)?.museum.id();
        if !museums.contains(&museum) {
            museums.push(museum);
        }
    }
    let place = Place::take(caller.id(), WATCHERS_OF_KEY_MAX)?;
    let secret = node.files().and_then(|files| files.keys.fingerprint(caller.id()));
    // Changes count from here on, before the first look: what happens in between comes twice, not never.
    let (changes, estimates) = (node.board().watch(), node.sensors().watch());
    let again = request.headers().get(LAST_ID).and_then(|id| id.to_str().ok());
    let is_last = |number: u64| again.is_some_and(|id| is_id_of(id, number));
    let is_last = again.map(|_| &is_last as &dyn Fn(u64) -> bool);
    let looks = Scope::Investigate.is_open_to(caller.0.role);
    let (cases, before) = looks.then(|| node.cases().watch_after(is_last)).unzip();
    let mut beat = tokio::time::interval(pulse.heartbeat);
    beat.reset();
    let pulse = pulse.0;
    let id = before.as_ref().map_or_else(String::new, |before| format!("id: {}\n", id_of(before.known())));
    let mut watcher = Watcher {
        node,
        caller,
        secret,
        museums,
        changes,
        estimates,
        cases,
        pulse,
        beat,
        ready: VecDeque::new(),
        unshown: VecDeque::new(),
        missed: before,
        ended: false,
        _place: place,
    };
    watcher.ready.push_back(Bytes::from(format!("retry: 2000\n{id}\n")));
    watcher.show_all();
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // As it is: compression would hold events back.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(watcher.events()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tornello_actors::clock::ManualClock;
    use tornello_actors::journal::writer::Limits;
    use tornello_actors::keys::Role;

    use super::*;

    #[actix_rt::test]
    async fn of_one_museum_after_the_other_it_is_shown_how_things_are_as_that_is_read() {
        let now = "2026-11-25T09:00:00Z".parse().unwrap();
        let running = Node::start_in_memory(Arc::new(ManualClock::new(now)), Limits::default()).await.unwrap();
        crate::demo::seed(running.node()).await.unwrap();
        let node = web::Data::from(Arc::clone(running.node()));
        let pulse = Pulse { heartbeat: Duration::from_secs(60), stopping: watch::channel(false).1 };
        let mut watcher = Watcher {
            caller: Caller::sample(Role::Web),
            secret: None,
            museums: node.museums().all().iter().map(|known| known.museum.id()).collect(),
            changes: node.board().watch(),
            estimates: node.sensors().watch(),
            cases: None,
            beat: tokio::time::interval(pulse.heartbeat),
            pulse,
            ready: VecDeque::new(),
            unshown: VecDeque::new(),
            missed: None,
            ended: false,
            _place: Place::take(KeyId(9), 1).unwrap(),
            node,
        };
        watcher.show_all();
        let (mut shown, mut waiting) = (0, 0);
        while watcher.next_ready().is_some() {
            shown += 1;
            waiting = waiting.max(watcher.ready.len());
        }
        assert!(waiting > 0 && shown > 4 * waiting, "{shown} were shown, and {waiting} waited at once");
        drop(watcher);
        running.stop().await;
    }

    #[test]
    fn nobody_counts_the_cases_of_others_by_the_ids_of_their_own() {
        let (one, again, next) = (id_of(1), id_of(1), id_of(2));
        assert!(one != again, "whoever comes again has another one, whether a case was told to others meanwhile or not");
        assert!([&one, &again].iter().all(|id| id.len() == 32 && is_id_of(id, 1) && !is_id_of(id, 2)), "{one} and {again}");
        assert!(is_id_of(&next, 2) && !is_id_of(&next, 1), "{next}");
        assert!(["", "0-7", "0000000000000001", "+00000000000000f"].iter().all(|id| !is_id_of(id, 1)));
    }

    #[test]
    fn one_key_does_not_take_the_places_of_all() {
        let (one, other) = (KeyId(7), KeyId(8));
        let mut places: Vec<Place> = (0..3).map(|_| Place::take(one, 3).unwrap()).collect();
        assert_eq!(Place::take(one, 3).err().map(|problem| problem.code()), Some("too_many_requests"));
        assert!(Place::take(other, 3).is_ok(), "others have theirs");
        places.pop();
        assert!(Place::take(one, 3).is_ok(), "whoever goes leaves a place");
        drop(places);
        assert!(!of_keys().contains_key(&one) && !of_keys().contains_key(&other), "nothing is kept of those who have gone");
    }
}
