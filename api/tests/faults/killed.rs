//! Killed with SIGKILL at full load, again and again: what the server had answered is there after the restart, to the ticket and the cent; what it had not
//! answered is done at most once; nothing is oversold; the journal verifies. The clients hold, extend, confirm, release, sell, cancel and admit, and keep their
//! own log of answers; the server's word is compared with theirs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

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

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Hold,
    Extend,
    Release,
    Confirm,
    Sell,
    Cancel,
    Admit { ticket: usize },
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
    paid_cents: i64,
    refunded_cents: i64,
    expires_at: String,
}

impl Booking {
    fn id(&self) -> Option<&str> {
        let first = &self.steps.first()?.answer.as_ref()?.body;
        first["hold"].as_str().or(first["sale"].as_str())
    }

    fn is_settled(&self) -> bool {
        self.steps.iter().all(|step| step.answer.is_some())
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
                What::Cancel => {
                    expected.cancelled.extend(body["tickets"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()));
                    expected.refunded_cents += body["refund_cents"].as_i64().unwrap();
                }
                What::Admit { ticket } => expected.admitted.push(ticket as u64),
            }
        }
        expected
    }
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
    /// The slot that is short of places, and the one that runs now.
    slots: [String; 2],
    answers: AtomicU64,
    /// The server is killed when it has given so many answers.
    killed_after: u64,
    enough: Notify,
}

impl Desk {
    /// Asks until there is an answer that says whether it was done; false when the server is gone.
    async fn take(&self, booking: &mut Booking, what: What, method: Method, path: String, name: &str, body: Value) -> bool {
        let idempotency_key = format!("{name}-{}", booking.steps.len());
        booking.steps.push(Step { what, method, path, idempotency_key, body, answer: None });
        let step = booking.steps.last_mut().unwrap();
        loop {
            let Some(answer) = self.ask(step).await else { return false };
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            let fine = answer.status.is_success() || ["not_enough_places", "slot_over", "sale_over", "too_late"].contains(&answer.code());
            assert!(fine, "{step:?}: {answer:?}");
            let done = answer.status.is_success();
            step.answer = Some(answer);
            if self.answers.fetch_add(1, Ordering::Relaxed) + 1 == self.killed_after {
                self.enough.notify_one();
            }
            return done;
        }
    }

    async fn ask(&self, step: &Step) -> Option<Answer> {
        server::ask(&self.client, &self.base, step.method.clone(), &step.path, &self.key, &step.idempotency_key, &step.body).await
    }

    /// One client: books until the server is gone. What it knows is its log.
    async fn books(&self, name: &str, mut dice: Dice) -> Vec<Booking> {
        let mut log: Vec<Booking> = Vec::new();
        for n in 0.. {
            let mut booking = Booking { slot: self.slots[(dice.below(3) / 2) as usize].clone(), steps: Vec::new() };
            self.book(&mut booking, &format!("{name}-{n}"), &mut dice).await;
            let gone = !booking.is_settled();
            log.push(booking);
            if gone {
                break;
            }
        }
        log
    }

    /// Holds or sells, and goes on from there, until something is refused or the server is gone.
    async fn book(&self, booking: &mut Booking, name: &str, dice: &mut Dice) -> Option<()> {
        let (people, runs) = (1 + dice.below(3), booking.slot == self.slots[1]);
        let lines = json!([{"category": "full", "count": people}]);
        let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": name}});
        let next = |done: bool| done.then_some(());
        let slot = booking.slot.clone();
        if !runs && dice.below(2) == 0 {
            let path = format!("/v1/slots/{slot}/holds");
            next(self.take(booking, What::Hold, Method::POST, path, name, json!({"lines": lines})).await)?;
            let id = booking.id()?.to_owned();
            if dice.below(3) == 0 {
                next(self.take(booking, What::Extend, Method::POST, format!("/v1/holds/{id}/extend"), name, Value::Null).await)?;
            }
            match dice.below(4) {
                0 => return None,
                1 => {
                    self.take(booking, What::Release, Method::DELETE, format!("/v1/holds/{id}"), name, Value::Null).await;
                    return None;
                }
                _ => {
                    let path = format!("/v1/holds/{id}/confirm");
                    next(self.take(booking, What::Confirm, Method::POST, path, name, json!({"settlement": settlement})).await)?;
                }
            }
        } else {
            let path = format!("/v1/slots/{slot}/sales");
            next(self.take(booking, What::Sell, Method::POST, path, name, json!({"lines": lines, "settlement": settlement})).await)?;
        }
        let id = booking.id()?.to_owned();
        if dice.below(2) == 0 {
            let body = json!({"tickets": [0], "cause": "visitor"});
            next(self.take(booking, What::Cancel, Method::POST, format!("/v1/sales/{id}/cancel"), name, body).await)?;
        }
        if runs && people > 1 {
            let sold = &booking.steps.iter().find(|step| [What::Sell, What::Confirm].contains(&step.what))?.answer.as_ref()?.body;
            let body = json!({"ticket": sold["tickets"][1]["ticket"], "gate": "north", "museum": "parco-colosseo"});
            self.take(booking, What::Admit { ticket: 1 }, Method::POST, "/v1/admissions".to_owned(), name, body).await;
        }
        Some(())
    }

    /// Whether the server says of a booking what its client knows of it.
    async fn compare(&self, booking: &Booking) {
        let Some(id) = booking.id() else { return };
        let expected = booking.expected();
        let get = async |path: String| {
            server::ask(&self.client, &self.base, Method::GET, &path, &self.key, "", &Value::Null).await.expect("the restarted server answers")
        };
        let hold = get(format!("/v1/holds/{id}")).await;
        if expected.held > 0 {
            let hold = hold.expect(StatusCode::OK);
            assert_eq!((hold["people"].as_u64(), &hold["expires_at"]), (Some(expected.held), &json!(expected.expires_at)), "{booking:?}");
        } else {
            // Not there, given back or over, or sold.
            let ended = [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::CONFLICT];
            assert!(ended.contains(&hold.status), "a hold that had ended lives: {booking:?}: {hold:?}");
        }
        let sale = get(format!("/v1/sales/{id}")).await;
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
            paid_cents: sale["total_cents"].as_i64().unwrap(),
            refunded_cents: sale["refunded_cents"].as_i64().unwrap(),
            expires_at: expected.expires_at.clone(),
        };
        assert_eq!(found, expected, "an acknowledged effect is not there: {booking:?}");
    }

    /// Asks everything again under its own key. What was answered is answered with the same words; what was not is done now, once, or refused.
    async fn repeat(&self, booking: &mut Booking) {
        // Refusals are not kept: what was refused is not asked again.
        let refused = |step: &&mut Step| step.answer.as_ref().is_some_and(|answer| !answer.status.is_success());
        for step in booking.steps.iter_mut().filter(|step| !refused(step)) {
            let again = self.ask(step).await.expect("the restarted server answers");
            match &step.answer {
                Some(before) if before.status.is_success() => assert_eq!(&again, before, "an answered step was lost or done again: {step:?}"),
                _ => step.answer = Some(again),
            }
        }
    }
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
    let (begun, mut steps, mut unanswered) = (Instant::now(), 0, 0);
    for cycle in 0..kills {
        // Scarce is another slot in each cycle, days ahead; the one that runs is the same for an hour.
        let day = 3 + (cycle / 23) as i64;
        let scarce = slots(&server, &key, day..day + 1).await.swap_remove(cycle % 23)["slot"].as_str().unwrap().to_owned();
        let now = server::running(&slots(&server, &key, 0..2).await);
        for (slot, capacity) in [(&scarce, SCARCE), (&now, PLENTY)] {
            let path = format!("/v1/slots/{slot}/capacity");
            let idempotency_key = format!("{cycle}-capacity-{slot}");
            server.ask(Method::PUT, &path, &manager, &idempotency_key, &json!({"capacity": capacity})).await.expect(StatusCode::OK);
        }
        let killed_after = 100 + Dice(cycle as u64 + 1).below(1 << 40) % 300;
        let desk = |server: &Server| {
            let ((client, base), slots) = (server.parts(), [scarce.clone(), now.clone()]);
            Desk { client, base, key: key.clone(), slots, answers: AtomicU64::new(0), killed_after, enough: Notify::new() }
        };
        let busy = Arc::new(desk(&server));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let busy = Arc::clone(&busy);
                tokio::spawn(async move { busy.books(&format!("{cycle}-{number}"), Dice(1 + number + 1_000 * cycle as u64)).await })
            })
            .collect();
        tokio::time::timeout(Duration::from_secs(60), busy.enough.notified()).await.expect("enough is answered in time");
        server.kill();
        let mut log = Vec::new();
        for client in clients {
            log.extend(client.await.unwrap());
        }

        let verified = tornello().args(["verify", "--cut-torn-tail", "--data"]).arg(folder.path()).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        server = Server::start(folder.path());

        // First as it is, where everything was answered; then everything asked again; then all of it, with the sums of the slots.
        let desk = &desk(&server);
        let count = |log: &[Booking]| log.iter().flat_map(|booking| &booking.steps).filter(|step| step.answer.is_some()).count();
        let answered = count(&log);
        assert!(answered as u64 >= killed_after, "{answered} steps were answered before the kill");
        stream::iter(log.iter().filter(|booking| booking.is_settled())).for_each_concurrent(AT_ONCE, |booking| desk.compare(booking)).await;
        stream::iter(&mut log).for_each_concurrent(AT_ONCE, |booking| desk.repeat(booking)).await;
        stream::iter(&log).for_each_concurrent(AT_ONCE, |booking| desk.compare(booking)).await;
        (steps, unanswered) = (steps + count(&log), unanswered + count(&log) - answered);
        for booking in &log {
            let (expected, sums) = (booking.expected(), slot_sums.entry(booking.slot.clone()).or_default());
            sums.held += expected.held;
            sums.sold += expected.sold - expected.cancelled.len() as u64;
            sums.admitted += expected.admitted.len() as u64;
        }
        for (slot, capacity) in [(&scarce, SCARCE), (&now, PLENTY)] {
            let sums = slot_sums.get(slot).copied().unwrap_or_default();
            let found = server::counters(&server, &key, slot).await;
            assert_eq!(found, [sums.sold, sums.held, sums.admitted], "cycle {cycle}: sold, held and admitted of {slot}");
            assert!(found[0] + found[1] <= capacity, "cycle {cycle}: {slot} is oversold: {found:?}");
        }
        if (cycle + 1) % 50 == 0 {
            println!("{} kills in {:.0?}", cycle + 1, begun.elapsed());
        }
    }
    server.kill();
    println!("{kills} kills in {:.0?}: {steps} steps compared, {unanswered} of them unanswered when the server died", begun.elapsed());
}
