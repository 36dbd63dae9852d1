//! Concurrent clients of one slot over HTTP, and whether what they were answered is linearizable. 20 histories of some 200 operations with the tests;
//! `TORNELLO_HISTORIES=1000` for more. Each history has a slot of its own, on a server with several workers and slots on threads of their own; the clients come from a
//! seed that is the history's number, what the machine makes of them differs each time, so a history that fails is printed whole.
//!
//! Clients ask again under the same key, above all for what they gave up; time passes, so that holds end; places are added and taken away; visitors come and go. Of four
//! histories one is on a journal that fails now and then, and in one the server is stopped, in whatever it does, and started again. At the end of each all is written, and
//! everybody sees it.

mod checker;
mod flaky;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use jiff::ToSpan;
use jiff::civil::Weekday;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tornello_actors::clock::ManualClock;
use tornello_actors::keys::Role;
use tornello_api::server::ServerSettings;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::ids::{HoldId, RouteId, SlotId};
use tornello_engine::slot::Slot;

use self::checker::{Answer, Call, Gates, Operation, is_linearizable};
use self::flaky::Faults;
use crate::support::{App, MARE, TORRE, settings, today};

const HISTORIES: u64 = 20;
const CLIENTS: u64 = 8;
const OPERATIONS: u64 = 25;
/// Places of every slot, as it opens.
const CAPACITY: u32 = 20;
/// A history begins so long before its slot, and takes less than 40 minutes: gates are open all the while, and sales do not end.
const BEFORE_S: i64 = 600;
const WORKERS: usize = 4;
const ARBITERS: usize = 2;

/// Small numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        // Splitmix of 64 bits.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

/// What befalls a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// The journal fails now and then.
    Journal,
    Restart,
}

/// The keys of those who ask.
struct Keys {
    office: String,
    manager: String,
    gate: String,
}

/// What is known under an id: a hold, or a sale.
#[derive(Clone)]
struct Booking {
    number: usize,
    id: String,
    is_hold: bool,
    people: u32,
}

/// What the clients of one history share.
struct History<'a> {
    /// Where the server listens, as it changes.
    address: watch::Receiver<std::net::SocketAddr>,
    client: Client,
    clock: Arc<ManualClock>,
    keys: &'a Keys,
    slot: SlotId,
    trouble: Trouble,
    faults: &'a Faults,
    ticks: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    bookings: Mutex<Vec<Booking>>,
}

/// A call that a client made.
#[derive(Clone)]
struct Given {
    call: Call,
    first: usize,
    key: String,
}

impl History<'_> {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn now(&self) -> i64 {
        use tornello_actors::clock::Clock;
        self.clock.now().as_seconds()
    }

    async fn client(&self, number: u64, mut dice: Dice) {
        let mut given: Vec<Given> = Vec::new();
        for n in 0..OPERATIONS {
            // Now and then somebody does not wait for the answer.
            let patient = dice.below(25) > 0;
            let is_unknown = |given: &&Given| self.operations.lock().unwrap()[given.first].answer.is_none();
            let unknown: Vec<Given> = given.iter().filter(is_unknown).cloned().collect();
            let again = if !unknown.is_empty() && dice.below(3) == 0 {
                Some(unknown[dice.below(unknown.len() as u64) as usize].clone())
            } else if !given.is_empty() && dice.below(8) == 0 {
                Some(given[given.len() - 1 - dice.below(given.len().min(4) as u64) as usize].clone())
            } else {
                None
            };
            if let Some(Given { call, first, key }) = again {
                self.ask(call, Some(first), &key, patient).await;
                continue;
            }
            let (call, key) = (self.choose(&mut dice), format!("{}-{number}-{n}", self.slot));
            let first = self.ask(call, None, &key, patient).await;
            if call.changes() {
                given.push(Given { call, first, key });
            }
        }
    }

    fn choose(&self, dice: &mut Dice) -> Call {
        let bookings = self.bookings.lock().unwrap();
        // One of the latest: others are busy with it too.
        let recent = &bookings[bookings.len().saturating_sub(8)..];
        let some = |dice: &mut Dice, is_hold: bool| {
            let of_kind: Vec<(usize, u32)> =
                recent.iter().filter(|booking| booking.is_hold == is_hold).map(|booking| (booking.number, booking.people)).collect();
            (!of_kind.is_empty()).then(|| of_kind[dice.below(of_kind.len() as u64) as usize])
        };
        let people = 1 + dice.below(5) as u32;
        let ticket = |dice: &mut Dice, people: u32| dice.below(u64::from(people)) as usize;
        let call = match dice.below(20) {
            0..=3 => Some(Call::Hold { people }),
            4..=5 => Some(Call::Sell { people }),
            6 => some(dice, true).map(|(hold, _)| Call::Release { hold }),
            7 => some(dice, true).map(|(hold, _)| Call::Extend { hold }),
            8..=9 => some(dice, true).map(|(hold, _)| Call::Confirm { hold }),
            10 => some(dice, true).map(|(hold, _)| Call::Look { hold }),
            11 => some(dice, false).map(|(sale, _)| Call::Cancel { sale }),
            12 => Some(Call::SetCapacity { capacity: 12 + dice.below(16) as u32 }),
            13..=14 => some(dice, false).map(|(sale, people)| Call::Admit { sale, ticket: ticket(dice, people) }),
            15 => some(dice, false).map(|(sale, people)| Call::Exit { sale, ticket: ticket(dice, people) }),
            _ => Some(Call::Read),
        };
        call.unwrap_or(Call::Read)
    }

    /// What is asked of which path, by whom.
    fn request(&self, call: Call) -> (Method, String, Value, &str) {
        let Keys { office, manager, gate } = self.keys;
        let lines = |people: u32| json!([{"category": "full", "count": people}]);
        let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
        let id = |of: usize| self.bookings.lock().unwrap().iter().find(|booking| booking.number == of).unwrap().id.clone();
        let passage = |sale: usize, ticket: usize| {
            let ticket = id(sale).parse::<HoldId>().unwrap().ticket(ticket as u16);
            json!({"ticket": ticket.to_string(), "gate": "north", "museum": self.slot.museum().0.to_string()})
        };
        match call {
            Call::Hold { people } => (Method::POST, format!("/v1/slots/{}/holds", self.slot), json!({"lines": lines(people)}), office),
            Call::Sell { people } => {
                (Method::POST, format!("/v1/slots/{}/sales", self.slot), json!({"lines": lines(people), "settlement": settlement}), office)
            }
            Call::Extend { hold } => (Method::POST, format!("/v1/holds/{}/extend", id(hold)), Value::Null, office),
            Call::Release { hold } => (Method::DELETE, format!("/v1/holds/{}", id(hold)), Value::Null, office),
            Call::Confirm { hold } => (Method::POST, format!("/v1/holds/{}/confirm", id(hold)), json!({"settlement": settlement}), office),
            Call::Cancel { sale } => (Method::POST, format!("/v1/sales/{}/cancel", id(sale)), json!({"cause": "visitor"}), office),
            Call::SetCapacity { capacity } => (Method::PUT, format!("/v1/slots/{}/capacity", self.slot), json!({"capacity": capacity}), manager),
            Call::Admit { sale, ticket } => (Method::POST, "/v1/admissions".to_owned(), passage(sale, ticket), gate),
            Call::Exit { sale, ticket } => (Method::POST, "/v1/exits".to_owned(), passage(sale, ticket), gate),
            Call::Look { hold } => (Method::GET, format!("/v1/holds/{}", id(hold)), Value::Null, office),
            Call::Read | Call::Pass { .. } | Call::Settle | Call::Merge => (Method::GET, format!("/v1/slots/{}", self.slot), Value::Null, office),
        }
    }

    fn begin(&self, call: Call, first: Option<usize>) -> usize {
        let mut operations = self.operations.lock().unwrap();
        let (number, now) = (operations.len(), self.now());
        let (first, asked) = (first.unwrap_or(number), self.tick());
        operations.push(Operation { call, first, answer: None, asked, answered: u64::MAX, clock: (now, i64::MAX) });
        number
    }

    fn end(&self, number: usize, answered: u64, answer: Answer) {
        let now = self.now();
        let operation = &mut self.operations.lock().unwrap()[number];
        (operation.answer, operation.answered, operation.clock.1) = (Some(answer), answered, now);
    }

    /// That surely nothing was done is as if nothing had been asked: so it is asked for what is always true.
    fn nothing(&self, number: usize, answered: u64) {
        self.operations.lock().unwrap()[number].call = Call::Pass { seconds: 0 };
        self.end(number, answered, Answer::Done);
    }

    /// Answers the number of the call.
    async fn ask(&self, call: Call, first: Option<usize>, idempotency_key: &str, patient: bool) -> usize {
        let (method, path, body, key) = self.request(call);
        let (number, mut address) = (self.begin(call, first), self.address.clone());
        let at = *address.borrow_and_update();
        let request = self.client.request(method, format!("http://{at}{path}")).bearer_auth(key).header("Idempotency-Key", idempotency_key);
        let mut request = if body.is_null() { request } else { request.json(&body) };
        if !patient {
            request = request.timeout(Duration::from_micros(300));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                if error.is_connect() && !error.is_timeout() {
                    // The server is not there: what it was not asked it has not done. It comes back elsewhere.
                    self.nothing(number, self.tick());
                    if at == *address.borrow() {
                        let _ = address.changed().await;
                    }
                }
                return number;
            }
        };
        let status = response.status();
        // As soon as it is there, and not when its body is: the narrower, the stricter.
        let answered = self.tick();
        let Ok(text) = response.text().await else { return number };
        let body: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        let count = |name: &str| u32::try_from(body[name].as_u64().unwrap()).unwrap();
        let answer = match (status, call) {
            (StatusCode::SERVICE_UNAVAILABLE, _) if body["code"] == "journal_unavailable" || body["code"] == "busy" => {
                self.nothing(number, answered);
                return number;
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => return number,
            // On a machine that has much else to do the server may wait in vain for what a client is about to send.
            (StatusCode::REQUEST_TIMEOUT, _) if body.is_null() => return number,
            // A server that is stopped lets go of what it does, and says nothing of it.
            (status, _) if self.trouble == Trouble::Restart && !status.is_success() && body.is_null() => return number,
            (StatusCode::OK, Call::Read) => {
                let (admitted, inside) = (count("admitted"), count("inside"));
                Answer::Counters { held: count("held"), sold: count("sold"), capacity: count("capacity"), admitted, inside }
            }
            (StatusCode::ACCEPTED, Call::Admit { .. } | Call::Exit { .. }) => Answer::Told,
            (status, _) if status.is_success() => Answer::Done,
            (_, Call::Hold { .. } | Call::Sell { .. }) => {
                assert_eq!(body["code"], "not_enough_places", "{status} {body}");
                Answer::TooFew { available: count("available") }
            }
            (StatusCode::CONFLICT | StatusCode::GONE | StatusCode::NOT_FOUND, _) => Answer::Refused,
            _ => panic!("{call:?}: {status} {body}"),
        };
        if answer == Answer::Done {
            self.book(call, first.unwrap_or(number), &body);
        }
        self.end(number, answered, answer);
        number
    }

    /// Notes what there is now to be asked for. A repeat is answered the same as the first time.
    fn book(&self, call: Call, first: usize, body: &Value) {
        let mut bookings = self.bookings.lock().unwrap();
        let (number, people, is_hold) = match call {
            Call::Hold { people } => (first, people, true),
            Call::Sell { people } => (first, people, false),
            // A sale has the id of its hold.
            Call::Confirm { hold } => (hold, bookings.iter().find(|booking| booking.number == hold).unwrap().people, false),
            _ => return,
        };
        let id = body[if is_hold { "hold" } else { "sale" }].as_str().unwrap().to_owned();
        match bookings.iter().find(|booking| booking.number == number) {
            Some(known) if known.id != id => panic!("call {first} was answered {id}, and {} before", known.id),
            Some(known) if known.is_hold == is_hold => {}
            _ => bookings.push(Booking { number, id, is_hold, people }),
        }
    }

    /// Time passes, and what is due ends.
    async fn pass(&self, app: &App, seconds: i64) {
        let number = self.begin(Call::Pass { seconds }, None);
        let now = app.node().now().plus_seconds(seconds);
        self.clock.set(now);
        self.end(number, self.tick(), Answer::Done);
        let number = self.begin(Call::Settle, None);
        app.node().wake_due().await;
        // A look is answered when all that it sees is on the disk. Whom a journal that fails stops is not woken, nor is who comes after it: whoever wakes asks again.
        let is_due = move |slot: &Slot| slot.wake_at().is_some_and(|due| due <= now);
        let seen = app.node().look(self.slot, is_due).await;
        if seen.is_err() || seen == Ok(true) && self.faults.failed.load(Ordering::SeqCst) > 0 {
            self.nothing(number, self.tick());
        } else {
            self.end(number, self.tick(), Answer::Done);
        }
    }

    /// The journal fails no more: what is due ends, what gates were told is written, and then everybody sees all that was done.
    async fn come_to_rest(&self, app: &App) {
        self.faults.may_fail.store(false, Ordering::SeqCst);
        self.faults.away.store(0, Ordering::SeqCst);
        // The first that comes asks the journal whether it is back.
        self.ask(Call::SetCapacity { capacity: CAPACITY }, None, &format!("{}-rest", self.slot), true).await;
        let number = self.begin(Call::Merge, None);
        while !app.node().end_forks().await {
            tokio::task::yield_now().await;
        }
        self.end(number, self.tick(), Answer::Done);
        self.pass(app, 0).await;
        self.ask(Call::Read, None, "", true).await;
        let bookings = self.bookings.lock().unwrap().clone();
        for hold in bookings.iter().filter(|booking| booking.is_hold) {
            self.ask(Call::Look { hold: hold.number }, None, "", true).await;
        }
    }

    /// Ends when clients have come so far.
    async fn until(&self, operations: usize) {
        while self.operations.lock().unwrap().len() < operations {
            tokio::task::yield_now().await;
        }
    }
}

/// The slot of a history: there are ten on each day of each museum. On some Sundays entry is free, and nothing can be settled at a desk.
fn slot_of(history: u64) -> SlotId {
    let mut days = (1..400).map(|ahead| today().saturating_add(ahead.days())).filter(|day| day.weekday() != Weekday::Sunday);
    let day = days.nth(history as usize / 20).unwrap();
    let museum = if history.is_multiple_of(2) { MARE } else { TORRE };
    SlotId::new(museum, RouteId(1), calendar::instant(day.at(9 + (history / 2 % 10) as i8, 0, 0, 0)))
}

fn server() -> ServerSettings {
    ServerSettings { workers: WORKERS, ..settings() }
}

/// One history after the other on one installation.
struct Run {
    app: App,
    faults: Arc<Faults>,
    keys: Keys,
}

impl Run {
    async fn start() -> Self {
        let faults = Arc::new(Faults::new(Dice(1)));
        let app = App::start_threaded(server(), ARBITERS, |journal| Arc::clone(&faults).over(journal)).await;
        let keys = Keys { office: app.key(Role::BoxOffice).await, manager: app.key(Role::Manager).await, gate: app.key(Role::Gate).await };
        Self { app, faults, keys }
    }

    /// Runs a history; answers the installation, and the history with the time at which it began.
    async fn history(self, number: u64) -> (Self, i64, Vec<Operation>) {
        let Self { app, faults, keys } = self;
        let slot = slot_of(number);
        app.clock.set(app.node().now().max(slot.start().plus_seconds(-BEFORE_S)));
        let trouble = match number % 4 {
            1 => Trouble::Journal,
            2 => Trouble::Restart,
            _ => Trouble::None,
        };
        let (moved, address) = watch::channel(app.address);
        let history = History {
            address,
            client: tornello_api::client::loopback().unwrap(),
            clock: Arc::clone(&app.clock),
            keys: &keys,
            slot,
            trouble,
            faults: &faults,
            ticks: AtomicU64::new(0),
            operations: Mutex::default(),
            bookings: Mutex::default(),
        };
        let began = history.now();
        faults.may_fail.store(trouble == Trouble::Journal, Ordering::SeqCst);
        let all = (CLIENTS * OPERATIONS) as usize;
        let mut dice = Dice(number ^ 0x7469_6d65);
        let house = async {
            let mut app = app;
            for part in 1..=4 {
                history.until(all * part / 6).await;
                if trouble == Trouble::Restart && part == 2 {
                    app = app.restart_threaded(server(), ARBITERS, |journal| Arc::clone(&faults).over(journal)).await;
                    moved.send_replace(app.address);
                }
                history.pass(&app, 60 + dice.below(500) as i64).await;
            }
            app
        };
        let clients = join_all((0..CLIENTS).map(|client| history.client(client, Dice(number * CLIENTS + client))));
        let (app, _) = join(house, clients).await;
        history.come_to_rest(&app).await;
        let operations = history.operations.into_inner().unwrap();
        (Self { app, faults, keys }, began, operations)
    }
}

#[actix_web::test]
async fn histories_of_a_slot_are_linearizable() {
    let histories = std::env::var("TORNELLO_HISTORIES").map_or(HISTORIES, |text| text.parse().expect("TORNELLO_HISTORIES is a number"));
    assert!(histories <= 6_000, "there are slots for 6,000 histories");
    let mut run = Run::start().await;
    let (mut operations, mut unknown, mut again, mut failed, mut told) = (0, 0, 0, 0, 0);
    for number in 0..histories {
        let (next, began, history) = run.history(number).await;
        run = next;
        operations += history.len();
        unknown += history.iter().filter(|operation| operation.answer.is_none()).count();
        again += history.iter().enumerate().filter(|(number, operation)| operation.first != *number).count();
        let failures = run.faults.failed.swap(0, Ordering::SeqCst);
        failed += failures;
        told += history.iter().filter(|operation| operation.answer == Some(Answer::Told)).count();
        let gates = if failures == 0 { Gates::Ask } else { Gates::MayGoOn };
        let lines = || history.iter().enumerate().map(|(n, operation)| format!("{n:3} {operation:?}")).collect::<Vec<_>>().join("\n");
        assert!(is_linearizable(CAPACITY, began, gates, &history), "history {number} is not linearizable:\n{}", lines());
        if (number + 1) % 100 == 0 {
            println!(
                "{} histories, {operations} operations, {unknown} of them without an answer, {again} asked again, {failed} failures, {told} told at gates",
                number + 1
            );
        }
    }
    println!(
        "{histories} histories, {operations} operations, {unknown} of them without an answer, {again} asked again, {failed} failures, {told} told at gates"
    );
    assert!(again > 0 && (histories < 4 || failed > 0), "nobody asks again, or the journal never fails");
    run.app.stop().await;
}
