//! Killed with SIGKILL at full load, again and again, and started again on whatever that left: what the server had answered is there, to the ticket and the cent; what
//! it had not answered is done at most once, and what was under way goes on by itself; nothing is oversold; the journal verifies. The clients hold, extend, confirm, pay,
//! release, sell, cancel, move, rename, admit, send scans in, wait for places and leave, and keep their own log of answers; the server's word is compared with theirs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use futures_util::{StreamExt as _, stream};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::clock::RealClock;
use tornello_engine::ids::HoldId;

use crate::server::{self, Answer, Server, key_of, slots, tornello};

/// How often the server is killed, unless `TORNELLO_KILLS` says otherwise.
const KILLS: usize = 20;
const CLIENTS: u64 = 24;
/// Places of the slot that all clients want and that is sold out soon, again and again, as some give back what they took.
const SCARCE: u64 = 120;
/// Places of the slot that runs now, where tickets are let in.
const PLENTY: u64 = 100_000;
/// How many of the server's answers a client waits for at once when it compares.
const AT_ONCE: usize = 16;
/// For how long the server is loaded before it is killed, in milliseconds: short more often than long, as all that was answered is compared afterwards.
const LOAD_MS: (u64, u64) = (100, 3_000);
/// How long the server may take to finish what was under way, or to do what is due.
const WITHIN: Duration = Duration::from_secs(20);
/// Every how many kills the journal is verified, which needs a stop.
const VERIFIED_EVERY: usize = 5;
/// Refusals that are no fault: places run out, the list of those who wait is full, the hour is over.
const FINE: [&str; 7] = ["not_enough_places", "places_available", "waiting_list_full", "too_many_waiting", "slot_over", "sale_over", "too_late"];

/// What a client asked for, and what it was answered.
#[derive(Debug, Clone)]
struct Step {
    what: What,
    method: Method,
    path: String,
    idempotency_key: String,
    body: Value,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Hold,
    Extend,
    Release,
    Confirm,
    /// At a desk, by a payment.
    Pay,
    Sell,
    Cancel,
    /// The second ticket, to another slot.
    Move,
    /// The second ticket, to another person.
    Rename,
    /// The second ticket.
    Admit,
    /// The second ticket, as a gate without a network has noted it.
    Scan,
    Wait,
    Leave,
}

/// One client's dealings with one booking, in order. Only the last step of the last booking of a client may be without an answer.
#[derive(Debug, Clone, Default)]
struct Booking {
    slot: String,
    steps: Vec<Step>,
}

/// What a booking must be, by the answers that its client has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// Places held.
    held: u64,
    /// Tickets sold, and of them cancelled and let in.
    sold: u64,
    cancelled: Vec<u64>,
    admitted: Vec<u64>,
    moved: Vec<u64>,
    paid_cents: i64,
    refunded_cents: i64,
    expires_at: String,
}

impl Booking {
    /// Of the hold and the sale, or of the entry in the waiting list.
    fn id(&self) -> Option<&str> {
        let first = &self.steps.first()?.answer.as_ref()?.body;
        first["hold"].as_str().or(first["sale"].as_str()).or(first["entry"].as_str())
    }

    fn is_settled(&self) -> bool {
        self.steps.iter().all(|step| step.answer.is_some())
    }

    fn waits(&self) -> bool {
        self.steps.first().is_some_and(|step| step.what == What::Wait)
    }

    /// The answer to a step that was done.
    fn done(&self, what: What) -> Option<&Value> {
        let answers = self.steps.iter().filter(|step| step.what == what).filter_map(|step| step.answer.as_ref());
        answers.filter(|answer| answer.status.is_success()).map(|answer| &answer.body).next()
    }

    /// Adds up what was acknowledged; what was refused has done nothing.
    fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        let done = |step: &&Step| step.answer.as_ref().is_some_and(|answer| answer.status.is_success());
        for step in self.steps.iter().filter(done) {
            let body = &step.answer.as_ref().unwrap().body;
            match step.what {
                What::Hold => (expected.held, expected.expires_at) = (body["people"].as_u64().unwrap(), text(&body["expires_at"])),
                What::Extend => expected.expires_at = text(&body["expires_at"]),
                What::Release => expected.held = 0,
                What::Confirm | What::Sell => {
                    (expected.held, expected.sold) = (0, body["tickets"].as_array().unwrap().len() as u64);
                    expected.paid_cents = body["total_cents"].as_i64().unwrap();
                }
                What::Pay => {
                    (expected.held, expected.sold) = (0, expected.held);
                    expected.paid_cents = body["amount_cents"].as_i64().unwrap();
                }
                What::Cancel => {
                    expected.cancelled.extend(body["tickets"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()));
                    expected.refunded_cents += body["refund_cents"].as_i64().unwrap();
                }
                What::Move => expected.moved.push(1),
                What::Admit => expected.admitted.push(1),
                What::Scan if was_taken_in(body) => expected.admitted.push(1),
                // Which name, and who waits, is compared by itself.
                What::Scan | What::Rename | What::Wait | What::Leave => {}
            }
        }
        expected
    }
}

/// Whether the one scan of a batch counts, now or since before.
fn was_taken_in(batch: &Value) -> bool {
    batch["merged"] == 1 || batch["duplicates"] == 1
}

/// The second ticket of a sale.
fn second(sale: &str) -> String {
    sale.parse::<HoldId>().unwrap().ticket(1).to_string()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Small numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        // Xorshift of 64 bits.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What all clients of a cycle share.
struct Desk {
    client: Client,
    base: String,
    key: String,
    manager: String,
    /// The slot that is short of places, the one that runs now, and the one to which tickets move.
    slots: [String; 3],
}

impl Desk {
    /// Asks until there is an answer that says whether it was done; false when the server is gone, or it was refused.
    async fn take(&self, booking: &mut Booking, what: What, method: Method, path: String, name: &str, body: Value) -> bool {
        // Scans have no keys: a slot knows those that it has seen.
        let idempotency_key = if what == What::Scan { String::new() } else { format!("{name}-{}", booking.steps.len()) };
        booking.steps.push(Step { what, method, path, idempotency_key, body, answer: None });
        let step = booking.steps.last_mut().unwrap();
        loop {
            let Some(answer) = self.ask(step).await else { return false };
            if answer.status == StatusCode::SERVICE_UNAVAILABLE || answer.body["failed"] == 1 {
                continue;
            }
            let is_fine = match what {
                _ if !answer.status.is_success() => FINE.contains(&answer.code()),
                What::Scan => was_taken_in(&answer.body) || FINE.contains(&answer.body["items"][0]["code"].as_str().unwrap_or_default()),
                _ => true,
            };
            assert!(is_fine, "{step:?}: {answer:?}");
            let done = answer.status.is_success();
            step.answer = Some(answer);
            return done;
        }
    }

    async fn ask(&self, step: &Step) -> Option<Answer> {
        server::ask(&self.client, &self.base, step.method.clone(), &step.path, &self.key, &step.idempotency_key, &step.body).await
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        server::ask(&self.client, &self.base, Method::GET, path, key, "", &Value::Null).await.expect("the restarted server answers")
    }

    /// One client: books until the server is gone. What it knows is its log.
    async fn books(&self, name: &str, mut dice: Dice) -> Vec<Booking> {
        let mut log: Vec<Booking> = Vec::new();
        for n in 0.. {
            let mut booking = Booking { slot: self.slots[(dice.below(3) / 2) as usize].clone(), steps: Vec::new() };
            self.book(&mut booking, &format!("{name}-{n}"), &mut dice).await;
            let (mut gone, was_short) = (!booking.is_settled(), booking.id().is_none());
            let slot = booking.slot.clone();
            log.push(booking);
            // Now and then whoever finds no places waits for some.
            if !gone && was_short && slot == self.slots[0] && dice.below(4) == 0 {
                let mut waiting = Booking { slot, steps: Vec::new() };
                self.wait(&mut waiting, &format!("{name}-{n}-waits"), &mut dice).await;
                gone = !waiting.is_settled();
                log.push(waiting);
            }
            if gone {
                break;
            }
        }
        log
    }

    async fn wait(&self, booking: &mut Booking, name: &str, dice: &mut Dice) {
        let lines = json!({"lines": [{"category": "full", "count": 1 + dice.below(3)}]});
        let path = format!("/v1/slots/{}/waiting", booking.slot);
        if self.take(booking, What::Wait, Method::POST, path, name, lines).await && dice.below(4) == 0 {
            let path = format!("/v1/waiting/{}", booking.id().unwrap());
            self.take(booking, What::Leave, Method::DELETE, path, name, Value::Null).await;
        }
    }

    /// Holds or sells, and goes on from there, until something is refused or the server is gone.
    async fn book(&self, booking: &mut Booking, name: &str, dice: &mut Dice) -> Option<()> {
        let (people, runs) = (1 + dice.below(3), booking.slot == self.slots[1]);
        let lines = json!([{"category": "full", "count": people}]);
        let desk = json!({"desk": {"till": "till-1", "method": "card", "reference": name}});
        let next = |done: bool| done.then_some(());
        let slot = booking.slot.clone();
        if !runs && dice.below(2) == 0 {
            let path = format!("/v1/slots/{slot}/holds");
            next(self.take(booking, What::Hold, Method::POST, path, name, json!({"lines": lines})).await)?;
            let id = booking.id()?.to_owned();
            if dice.below(3) == 0 {
                next(self.take(booking, What::Extend, Method::POST, format!("/v1/holds/{id}/extend"), name, Value::Null).await)?;
            }
            match dice.below(6) {
                0 => return None,
                1 => {
                    self.take(booking, What::Release, Method::DELETE, format!("/v1/holds/{id}"), name, Value::Null).await;
                    return None;
                }
                2 | 3 => {
                    let body = json!({"holds": [id], "gateway": desk});
                    next(self.take(booking, What::Pay, Method::POST, "/v1/payments".to_owned(), name, body).await)?;
                }
                _ => {
                    let path = format!("/v1/holds/{id}/confirm");
                    next(self.take(booking, What::Confirm, Method::POST, path, name, json!({"settlement": desk})).await)?;
                }
            }
        } else {
            let path = format!("/v1/slots/{slot}/sales");
            next(self.take(booking, What::Sell, Method::POST, path, name, json!({"lines": lines, "settlement": desk})).await)?;
        }
        let id = booking.id()?.to_owned();
        if dice.below(2) == 0 {
            let body = json!({"tickets": [0], "cause": "visitor"});
            next(self.take(booking, What::Cancel, Method::POST, format!("/v1/sales/{id}/cancel"), name, body).await)?;
        }
        if people == 1 {
            return Some(());
        }
        match (runs, dice.below(3)) {
            (true, 0) => {
                let at = RealClock::wall().plus_seconds(-1).to_string();
                let scan = json!([{"ticket": second(&id), "gate": "south", "museum": "parco-colosseo", "scanned_at": at, "direction": "in"}]);
                self.take(booking, What::Scan, Method::POST, "/v1/admissions/batch".to_owned(), name, scan).await;
            }
            (true, _) => {
                let body = json!({"ticket": second(&id), "gate": "north", "museum": "parco-colosseo"});
                self.take(booking, What::Admit, Method::POST, "/v1/admissions".to_owned(), name, body).await;
            }
            (false, 0) => {
                let body = json!({"slot": self.slots[2], "tickets": [1]});
                self.take(booking, What::Move, Method::POST, format!("/v1/sales/{id}/move"), name, body).await;
            }
            (false, 1) => {
                let body = json!({"holder": {"given_name": "Ada", "family_name": "Neri"}});
                self.take(booking, What::Rename, Method::POST, format!("/v1/tickets/{}/rename", second(&id)), name, body).await;
            }
            _ => {}
        }
        Some(())
    }

    /// Whether the server says of a booking what its client knows of it.
    async fn compare(&self, booking: &Booking) {
        let Some(id) = booking.id() else { return };
        if booking.waits() {
            return self.compare_entry(booking, id).await;
        }
        let expected = booking.expected();
        let path = format!("/v1/sales/{id}");
        let mut sale = self.get(&path, &self.key).await;
        if booking.done(What::Pay).is_some() {
            // What is paid becomes a sale by itself.
            let sold = async {
                while sale.status != StatusCode::OK {
                    sale = self.get(&path, &self.key).await;
                }
            };
            tokio::time::timeout(WITHIN, sold).await.unwrap_or_else(|_| panic!("what was paid is not sold: {booking:?}"));
        }
        let hold = self.get(&format!("/v1/holds/{id}"), &self.key).await;
        if expected.held > 0 {
            let hold = hold.expect(StatusCode::OK);
            assert_eq!((hold["people"].as_u64(), &hold["expires_at"]), (Some(expected.held), &json!(expected.expires_at)), "{booking:?}");
        } else {
            // Not there, given back or over, or sold.
            let ended = [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::CONFLICT];
            assert!(ended.contains(&hold.status), "a hold that had ended lives: {booking:?}: {hold:?}");
        }
        if expected.sold == 0 {
            assert_eq!(sale.status, StatusCode::NOT_FOUND, "{booking:?}: {sale:?}");
            return;
        }
        let sale = sale.expect(StatusCode::OK);
        let tickets = sale["tickets"].as_array().unwrap();
        let in_state = |state: &str| -> Vec<u64> {
            tickets.iter().filter(|ticket| ticket["state"] == state).map(|ticket| ticket["number"].as_u64().unwrap()).collect()
        };
        let found = Expected {
            held: 0,
            sold: tickets.len() as u64,
            cancelled: in_state("cancelled"),
            admitted: in_state("inside"),
            moved: in_state("moved"),
            paid_cents: sale["total_cents"].as_i64().unwrap(),
            refunded_cents: sale["refunded_cents"].as_i64().unwrap(),
            expires_at: expected.expires_at.clone(),
        };
        assert_eq!(found, expected, "an acknowledged effect is not there: {booking:?}");
        if let Some(moved) = booking.done(What::Move) {
            let there = self.get(&format!("/v1/sales/{}", moved["sale"].as_str().unwrap()), &self.key).await.expect(StatusCode::OK);
            assert_eq!((&there["slot"], &there["people"]), (&json!(self.slots[2]), &json!(1)), "{booking:?}");
            assert_eq!(tickets[1]["moved_to"], there["tickets"][0]["ticket"], "{booking:?}");
        }
        if let Some(renamed) = booking.done(What::Rename) {
            let ticket = self.get(&format!("/v1/tickets/{}", second(id)), &self.key).await.expect(StatusCode::OK);
            assert_eq!(ticket["code"], renamed["code"], "{booking:?}");
        }
        if let Some(paid) = booking.done(What::Pay) {
            let payment = self.get(&format!("/v1/payments/{}", paid["payment"].as_str().unwrap()), &self.manager).await.expect(StatusCode::OK);
            let lines = payment["ledger"].as_array().unwrap().iter().map(|line| line["amount_cents"].as_i64().unwrap());
            assert_eq!((lines.sum::<i64>(), &payment["amount_cents"]), (0, &json!(expected.paid_cents)), "{booking:?}: {payment}");
        }
    }

    async fn compare_entry(&self, booking: &Booking, id: &str) {
        let entry = self.get(&format!("/v1/waiting/{id}"), &self.key).await.expect(StatusCode::OK);
        let possible = if booking.done(What::Leave).is_some() { ["left", "declined"] } else { ["waiting", "offered"] };
        assert!(possible.contains(&entry["state"].as_str().unwrap()), "{booking:?}: {entry}");
        if entry["state"] == "waiting" {
            assert_eq!(&entry["number"], &booking.done(What::Wait).unwrap()["number"], "{booking:?}");
        }
    }

    /// Waits until what was under way of a booking when the server was killed has ended by itself; whether there was anything.
    async fn is_resumed(&self, booking: &Booking) -> bool {
        let Some(id) = booking.id().filter(|_| booking.steps.last().is_some_and(|step| step.what == What::Move)) else { return false };
        let is_moving = async || {
            let sale = self.get(&format!("/v1/sales/{id}"), &self.key).await.expect(StatusCode::OK);
            sale["tickets"].as_array().unwrap().iter().any(|ticket| ticket["state"] == "moving")
        };
        let begun = is_moving().await;
        let ends = async { while is_moving().await {} };
        tokio::time::timeout(WITHIN, ends).await.unwrap_or_else(|_| panic!("a move that was under way does not end: {booking:?}"));
        begun
    }

    /// Asks everything again under its own key. What was answered is answered with the same words; what was not is done now, once, or refused.
    async fn repeat(&self, booking: &mut Booking) {
        // Refusals are not kept: what was refused is not asked again.
        let refused = |step: &&mut Step| step.answer.as_ref().is_some_and(|answer| !answer.status.is_success());
        for step in booking.steps.iter_mut().filter(|step| !refused(step)) {
            let mut asked = self.ask(step).await;
            // What is under way may have to end first.
            let ends = async {
                while asked.as_ref().is_some_and(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE) {
                    asked = self.ask(step).await;
                }
            };
            tokio::time::timeout(WITHIN, ends).await.unwrap_or_else(|_| panic!("it cannot be asked again: {step:?}"));
            let again = asked.expect("the restarted server answers");
            match &step.answer {
                Some(before) if before.status.is_success() => {
                    assert!(is_same(step.what, before, &again), "an answered step was lost or done again: {step:?}: {again:?}");
                }
                _ => step.answer = Some(again),
            }
        }
    }

    /// Whether a slot holds what its clients know of it, as soon as what is due there is done: those who have an offer by then hold places as well.
    async fn is_as_booked(&self, server: &Server, slot: &str, sums: Sums, log: &[Booking]) {
        let entries: Vec<(String, u64)> = log
            .iter()
            .filter(|booking| booking.slot == slot)
            .filter_map(|booking| Some((booking.id()?.to_owned(), booking.done(What::Wait)?["people"].as_u64()?)))
            .collect();
        let mut seen = ([0; 3], 0);
        let agrees = async {
            loop {
                let offered = stream::iter(&entries).map(|(id, people)| async move {
                    let entry = self.get(&format!("/v1/waiting/{id}"), &self.key).await.expect(StatusCode::OK);
                    if entry["state"] == "offered" { *people } else { 0 }
                });
                let offered: u64 = offered.buffer_unordered(AT_ONCE).fold(0, |sum, people| async move { sum + people }).await;
                seen = (server::counters(server, &self.key, slot).await, offered);
                if seen.0 == [sums.sold, sums.held + offered, sums.admitted] {
                    break;
                }
            }
        };
        if tokio::time::timeout(WITHIN, agrees).await.is_err() {
            panic!("sold, held and admitted of {slot}, and offered of it, are {seen:?}; its clients know of {sums:?}");
        }
    }
}

/// Whether an answer is the one that was given before. A payment goes on, and a scan is taken in once.
fn is_same(what: What, before: &Answer, again: &Answer) -> bool {
    match what {
        What::Scan if was_taken_in(&before.body) => again.body["duplicates"] == 1,
        What::Scan => true,
        What::Pay => ["payment", "amount_cents"].iter().all(|name| again.body[name] == before.body[name]) && again.status == before.status,
        _ => again == before,
    }
}

fn verify(data: &Path) {
    let verified = tornello().args(["verify", "--data"]).arg(data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// What is in a slot by the logs of all clients of all cycles.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    sold: u64,
    held: u64,
    admitted: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_and_nothing_is_done_twice() {
    let kills = std::env::var("TORNELLO_KILLS").map_or(KILLS, |text| text.parse().expect("TORNELLO_KILLS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (key, manager) = (key_of(folder.path(), "box_office"), key_of(folder.path(), "manager"));
    let mut slot_sums: HashMap<String, Sums> = HashMap::new();
    server::charge_every_day(&server, &manager).await;
    let (begun, mut done, mut unanswered, mut resumed, mut torn) = (Instant::now(), BTreeMap::new(), 0, 0, 0);
    for cycle in 0..kills {
        // Scarce, and where tickets move to, is another slot in each cycle, days ahead; the one that runs is the same for an hour.
        let on = async |day: i64| slots(&server, &key, day..day + 1).await.swap_remove(cycle % 23)["slot"].as_str().unwrap().to_owned();
        let (days, now) = ((cycle / 23) as i64, server::running(&slots(&server, &key, 0..2).await));
        let (scarce, other) = (on(3 + days).await, on(30 + days).await);
        let in_use = [(&scarce, SCARCE), (&now, PLENTY), (&other, PLENTY)];
        for (slot, capacity) in in_use {
            let path = format!("/v1/slots/{slot}/capacity");
            let idempotency_key = format!("{cycle}-capacity-{slot}");
            server.ask(Method::PUT, &path, &manager, &idempotency_key, &json!({"capacity": capacity})).await.expect(StatusCode::OK);
        }
        let desk = |server: &Server| {
            let ((client, base), slots) = (server.parts(), [scarce.clone(), now.clone(), other.clone()]);
            Desk { client, base, key: key.clone(), manager: manager.clone(), slots }
        };
        let busy = Arc::new(desk(&server));
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let busy = Arc::clone(&busy);
                tokio::spawn(async move { busy.books(&format!("{cycle}-{number}"), Dice(1 + number + 1_000 * cycle as u64)).await })
            })
            .collect();
        let chance = Dice(0x9e37_79b9_7f4a_7c15 ^ (cycle as u64 + 1)).below(1_000);
        let load = Duration::from_millis(LOAD_MS.0 + (LOAD_MS.1 - LOAD_MS.0) * chance * chance / 1_000_000);
        let ended = tokio::time::timeout(load, select_all(&mut clients)).await.is_ok();
        assert!(!ended, "a client ended while the server ran");
        server.kill();
        let mut log = Vec::new();
        for client in clients {
            log.extend(client.await.unwrap());
        }

        // As whoever runs it would: nothing is put in order before.
        server = Server::start(folder.path());
        let started = server.get("/status", &key).await.expect(StatusCode::OK);
        torn += u64::from(started["started"]["cut"].is_u64());

        // First as it is, where everything was answered, and what was under way when it has ended by itself; then everything asked again; then that which was not
        // answered, with the sums of the slots.
        let desk = &desk(&server);
        let count = |log: &[Booking]| log.iter().flat_map(|booking| &booking.steps).filter(|step| step.answer.is_some()).count();
        let answered = count(&log);
        stream::iter(log.iter().filter(|booking| booking.is_settled())).for_each_concurrent(AT_ONCE, |booking| desk.compare(booking)).await;
        let open: Vec<usize> = (0..log.len()).filter(|index| !log[*index].is_settled()).collect();
        for index in &open {
            resumed += u64::from(desk.is_resumed(&log[*index]).await);
        }
        stream::iter(&mut log).for_each_concurrent(AT_ONCE, |booking| desk.repeat(booking)).await;
        stream::iter(&open).for_each_concurrent(AT_ONCE, |index| desk.compare(&log[*index])).await;
        unanswered += count(&log) - answered;
        for booking in &log {
            for step in booking.steps.iter().filter(|step| step.answer.as_ref().is_some_and(|answer| answer.status.is_success())) {
                *done.entry(step.what).or_insert(0_u64) += 1;
            }
            let (expected, sums) = (booking.expected(), slot_sums.entry(booking.slot.clone()).or_default());
            let moved = expected.moved.len() as u64;
            sums.held += expected.held;
            sums.sold += expected.sold - expected.cancelled.len() as u64 - moved;
            sums.admitted += expected.admitted.len() as u64;
            slot_sums.entry(other.clone()).or_default().sold += moved;
        }
        for (slot, capacity) in in_use {
            desk.is_as_booked(&server, slot, slot_sums.get(slot).copied().unwrap_or_default(), &log).await;
            let found = server::counters(&server, &key, slot).await;
            assert!(found[0] + found[1] <= capacity, "cycle {cycle}: {slot} is oversold: {found:?}");
        }
        if (cycle + 1) % VERIFIED_EVERY == 0 {
            assert!(server.stop().success());
            verify(folder.path());
            server = Server::start(folder.path());
        }
        if (cycle + 1) % 50 == 0 {
            println!("{} kills in {:.0?}", cycle + 1, begun.elapsed());
        }
    }
    server.kill();
    println!(
        "{kills} kills in {:.0?}: {done:?}; {unanswered} unanswered when the server died, {resumed} moves resumed, {torn} torn ends",
        begun.elapsed()
    );
    let all = [
        What::Hold,
        What::Extend,
        What::Release,
        What::Confirm,
        What::Pay,
        What::Sell,
        What::Cancel,
        What::Move,
        What::Rename,
        What::Admit,
        What::Scan,
        What::Wait,
        What::Leave,
    ];
    assert!(unanswered > 0 && all.iter().all(|what| done.contains_key(what)), "{unanswered}: {done:?}");
}
