//! Concurrent clients of one slot over HTTP, and whether what they were answered is linearizable. 20 histories of some 200 operations with the tests;
//! `TORNELLO_HISTORIES=1000` for more. Each history has a slot of its own; the clients come from a seed that is the history's number, what the machine makes of
//! them differs each time, so a history that fails is printed whole.

mod checker;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::ToSpan;
use jiff::civil::Weekday;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_engine::calendar;
use tornello_engine::ids::{RouteId, SlotId};

use self::checker::{Answer, Call, Operation, is_linearizable};
use crate::support::{App, MARE, TORRE, today};

const HISTORIES: u64 = 20;
const CLIENTS: u64 = 8;
const OPERATIONS: u64 = 25;
/// Places of every slot.
const CAPACITY: u32 = 20;

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

/// What the clients of one history share.
struct History<'a> {
    app: &'a App,
    key: &'a str,
    slot: SlotId,
    ticks: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    /// Holds and sales that were answered: the number of the call, and the id.
    bookings: Mutex<Vec<(usize, String, bool)>>,
}

impl History<'_> {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    async fn client(&self, number: u64, mut dice: Dice) {
        for n in 0..OPERATIONS {
            let call = self.choose(&mut dice);
            // Now and then somebody does not wait for the answer.
            let patient = dice.below(40) > 0;
            self.ask(call, &format!("{}-{number}-{n}", self.slot), patient).await;
        }
    }

    fn choose(&self, dice: &mut Dice) -> Call {
        let bookings = self.bookings.lock().unwrap();
        // One of the latest: others are busy with it too.
        let recent = &bookings[bookings.len().saturating_sub(6)..];
        let some = |dice: &mut Dice, is_hold: bool| {
            let of_kind: Vec<usize> = recent.iter().filter(|(_, _, hold)| *hold == is_hold).map(|(number, _, _)| *number).collect();
            (!of_kind.is_empty()).then(|| of_kind[dice.below(of_kind.len() as u64) as usize])
        };
        let people = 1 + dice.below(5) as u32;
        let call = match dice.below(12) {
            0..=2 => Some(Call::Hold { people }),
            3 => Some(Call::Sell { people }),
            4..=5 => some(dice, true).map(|hold| Call::Release { hold }),
            6 => some(dice, true).map(|hold| Call::Confirm { hold }),
            7 => some(dice, true).map(|hold| Call::Look { hold }),
            8 => some(dice, false).map(|sale| Call::Cancel { sale }),
            _ => Some(Call::Read),
        };
        call.unwrap_or(Call::Read)
    }

    async fn ask(&self, call: Call, idempotency_key: &str, patient: bool) {
        let lines = |people: u32| json!([{"category": "full", "count": people}]);
        let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
        let id = |of: usize| self.bookings.lock().unwrap().iter().find(|(number, _, _)| *number == of).unwrap().1.clone();
        let (method, path, body) = match call {
            Call::Hold { people } => (Method::POST, format!("/v1/slots/{}/holds", self.slot), json!({"lines": lines(people)})),
            Call::Sell { people } => {
                (Method::POST, format!("/v1/slots/{}/sales", self.slot), json!({"lines": lines(people), "settlement": settlement}))
            }
            Call::Release { hold } => (Method::DELETE, format!("/v1/holds/{}", id(hold)), Value::Null),
            Call::Confirm { hold } => (Method::POST, format!("/v1/holds/{}/confirm", id(hold)), json!({"settlement": settlement})),
            Call::Cancel { sale } => (Method::POST, format!("/v1/sales/{}/cancel", id(sale)), json!({"cause": "visitor"})),
            Call::Read => (Method::GET, format!("/v1/slots/{}", self.slot), Value::Null),
            Call::Look { hold } => (Method::GET, format!("/v1/holds/{}", id(hold)), Value::Null),
        };
        let mut request = self.app.request(method, &path, self.key).header("Idempotency-Key", idempotency_key).json(&body);
        if !patient {
            request = request.timeout(Duration::from_micros(300));
        }
        let number = {
            let mut operations = self.operations.lock().unwrap();
            operations.push(Operation { call, answer: None, asked: self.tick(), answered: u64::MAX });
            operations.len() - 1
        };
        let Ok(response) = request.send().await else { return };
        let status = response.status();
        // As soon as it is there, and not when its body is: the narrower, the stricter.
        let answered = self.tick();
        let Ok(text) = response.text().await else { return };
        let body: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        let count = |name: &str| u32::try_from(body[name].as_u64().unwrap()).unwrap();
        let answer = match (status, call) {
            (StatusCode::SERVICE_UNAVAILABLE, _) => return,
            (StatusCode::OK, Call::Read) => Answer::Counters { held: count("held"), sold: count("sold") },
            (status, _) if status.is_success() => Answer::Done,
            (_, Call::Hold { .. } | Call::Sell { .. }) => {
                assert_eq!(body["code"], "not_enough_places", "{body}");
                Answer::TooFew { available: count("available") }
            }
            (StatusCode::CONFLICT | StatusCode::GONE | StatusCode::NOT_FOUND, _) => Answer::Refused,
            _ => panic!("{call:?}: {status} {body}"),
        };
        let booked = body["hold"].as_str().map(|id| (id, true)).or(body["sale"].as_str().map(|id| (id, false)));
        if let (Call::Hold { .. } | Call::Sell { .. }, Some((id, is_hold))) = (call, booked) {
            self.bookings.lock().unwrap().push((number, id.to_owned(), is_hold));
        }
        let operation = &mut self.operations.lock().unwrap()[number];
        (operation.answer, operation.answered) = (Some(answer), answered);
    }
}

/// The slot of a history: there are ten on each day, and sales open 90 days before. On some Sundays entry is free, and nothing can be settled at a desk.
fn slot_of(history: u64) -> SlotId {
    let mut days = (3..90).map(|ahead| today().saturating_add(ahead.days())).filter(|day| day.weekday() != Weekday::Sunday);
    let day = days.nth(history as usize / 10 % 70).unwrap();
    let museum = if history < 700 { MARE } else { TORRE };
    SlotId::new(museum, RouteId(1), calendar::instant(day.at(9 + (history % 10) as i8, 0, 0, 0)))
}

#[actix_web::test]
async fn histories_of_a_slot_are_linearizable() {
    let histories = std::env::var("TORNELLO_HISTORIES").map_or(HISTORIES, |text| text.parse().expect("TORNELLO_HISTORIES is a number"));
    assert!(histories <= 1_400, "there are slots for 1,400 histories");
    let app = App::start().await;
    let key = app.key(Role::BoxOffice).await;
    let (mut operations, mut unknown) = (0, 0);
    for number in 0..histories {
        let (ticks, operations_of, bookings) = Default::default();
        let history = History { app: &app, key: &key, slot: slot_of(number), ticks, operations: operations_of, bookings };
        join_all((0..CLIENTS).map(|client| history.client(client, Dice(number * CLIENTS + client)))).await;
        let history = history.operations.into_inner().unwrap();
        operations += history.len();
        unknown += history.iter().filter(|operation| operation.answer.is_none()).count();
        let lines = || history.iter().enumerate().map(|(n, operation)| format!("{n:3} {operation:?}")).collect::<Vec<_>>().join("\n");
        assert!(is_linearizable(CAPACITY, &history), "history {number} is not linearizable:\n{}", lines());
        if (number + 1) % 100 == 0 {
            println!("{} histories, {operations} operations, {unknown} of them without an answer", number + 1);
        }
    }
    println!("{histories} histories, {operations} operations, {unknown} of them without an answer");
    app.stop().await;
}
