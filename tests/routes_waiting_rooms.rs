//! Waiting rooms over HTTP: announced with the digest of their seed, joined, waited in, passed; every refusal once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::fraud::challenge::solve;
use tornello_actors::keys::{Museums, Role};
use tornello_engine::ids::SlotId;

use crate::routes_acting::{hoard, wanted};
use crate::routes_sales::{lines, refuses, sell};
use crate::support::{App, MARE, TORRE, body_of, slot};

/// Where rooms of `torre` are announced.
pub const ROOMS: &str = "/v1/museums/torre/waiting-rooms";
/// Where buyers come to the one of these tests.
pub const ROOM: &str = "/v1/waiting-room/torre/spring";

/// It.
pub fn room() -> Value {
    json!({"code": "spring", "slots_from": "2026-11-23T00:00:00Z", "slots_to": "2026-12-24T00:00:00Z", "opens_at": "2026-11-23T09:00:00Z",
        "closes_at": "2026-11-23T10:00:00Z", "per_minute": 60})
}

/// Who comes.
pub fn who(buyer: &str) -> Value {
    json!({"parties": [{"kind": "buyer", "value": buyer}]})
}

/// Joins for the first time: does the work that is asked for.
pub async fn join(app: &App, key: &str, parties: &Value) -> Value {
    let (status, problem) = app.post(ROOM, key, "none", parties).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "{problem}");
    assert_eq!(problem["ways"], json!(["proof_of_work"]), "{problem}");
    let proof = solve(problem["challenge"].as_str().unwrap(), u8::try_from(problem["bits"].as_u64().unwrap()).unwrap());
    let (status, place) = join_with(app, key, parties, &proof).await;
    assert_eq!(status, StatusCode::OK, "{place}");
    place
}

async fn join_with(app: &App, key: &str, parties: &Value, proof: &str) -> (StatusCode, Value) {
    let response = app.request(Method::POST, ROOM, key).header("Step-Up-Proof", proof).json(parties).send().await.unwrap();
    (response.status(), body_of(response).await)
}

async fn place(app: &App, key: &str, token: &str) -> (StatusCode, Value) {
    let response = app.request(Method::GET, ROOM, key).header("Waiting-Room-Token", token).send().await.unwrap();
    (response.status(), body_of(response).await)
}

async fn hold(app: &App, key: &str, slot: SlotId, name: &str, buyer: &str, admission: Option<&str>) -> (StatusCode, Value) {
    let mut body = lines("full", 1);
    body["parties"] = who(buyer)["parties"].clone();
    let mut request = app.request(Method::POST, &format!("/v1/slots/{slot}/holds"), key).header("Idempotency-Key", name).json(&body);
    if let Some(admission) = admission {
        request = request.header("Waiting-Room-Admission", admission);
    }
    let response = request.send().await.unwrap();
    (response.status(), body_of(response).await)
}

#[actix_rt::test]
async fn a_buyer_waits_for_the_opening_and_is_let_through_in_their_turn() {
    let app = App::start().await;
    let (manager, web, kiosk, slot) = (app.key(Role::Manager).await, app.key(Role::Web).await, app.key(Role::Kiosk).await, slot(TORRE, 14));
    let (status, announced) = app.post(ROOMS, &manager, "announce", &room()).await;
    assert_eq!((status, announced.get("seed")), (StatusCode::CREATED, None), "{announced}");
    assert_eq!(
        app.post(ROOMS, &manager, "announce", &room()).await.1["seed_sha256"],
        announced["seed_sha256"],
        "a repeat is answered like the first"
    );

    let early = join(&app, &web, &who("maria@example.it")).await;
    assert_eq!((early.get("position"), early.get("admission")), (None, None), "{early}");
    let (status, again) = app.post(ROOM, &web, "none", &who("maria@example.it")).await;
    assert_eq!((status, &again["token"]), (StatusCode::OK, &early["token"]), "who has come needs no more work");
    let (status, problem) = hold(&app, &web, slot, "early", "maria@example.it", None).await;
    assert_eq!((status, &problem["code"], &problem["room"]), (StatusCode::FORBIDDEN, &json!("waiting_room"), &json!("spring")), "{problem}");
    assert_eq!(hold(&app, &kiosk, slot, "kiosk", "x", None).await.0, StatusCode::CREATED, "who stands there does not wait");

    app.pass(1_800).await;
    let listed = app.get(ROOMS, &web).await;
    assert!(listed["items"][0]["seed"].as_str().is_some_and(|seed| seed.len() == 64), "{listed}");
    let token = early["token"].as_str().unwrap();
    assert_eq!((place(&app, &web, token).await.1)["position"], 1);
    let late = join(&app, &web, &who("luca@example.it")).await;
    assert_eq!((&late["position"], &late["wait_s"]), (&json!(2), &json!(2)));

    app.pass(1).await;
    let (_, turn) = place(&app, &web, token).await;
    let admission = turn["admission"].as_str().unwrap_or_else(|| panic!("{turn}"));
    assert_eq!(place(&app, &web, late["token"].as_str().unwrap()).await.1.get("admission"), None);
    assert_eq!(hold(&app, &web, slot, "stolen", "luca@example.it", Some(admission)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(hold(&app, &web, slot, "mine", "maria@example.it", Some(admission)).await.0, StatusCode::CREATED);
    assert_eq!(hold(&app, &web, slot, "mine", "maria@example.it", None).await.0, StatusCode::CREATED, "a repeat is answered without");
    let mut others = lines("full", 1);
    others["parties"] = json!([{"kind": "buyer", "value": "luca@example.it"}, {"kind": "buyer", "value": "maria@example.it"}]);
    let request = app.request(Method::POST, &format!("/v1/slots/{slot}/holds"), &web).header("Idempotency-Key", "taken-along");
    let response = request.header("Waiting-Room-Admission", admission).json(&others).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "it is the first buyer's alone");
    for (name, status) in [("mine", 201), ("two", 201), ("three", 201), ("four", 403), ("three", 201)] {
        assert_eq!(hold(&app, &web, slot, name, "maria@example.it", Some(admission)).await.0.as_u16(), status, "{name}");
    }
    assert_eq!(place(&app, &web, token).await.1.get("admission"), None, "three holds are made");

    // The room survives a restart, and ends.
    let app = app.restart().await;
    assert_eq!(hold(&app, &web, slot, "after", "luca@example.it", None).await.0, StatusCode::FORBIDDEN);
    assert_eq!((place(&app, &web, token).await.1)["position"], 1);
    app.pass(3_600).await;
    assert_eq!(hold(&app, &web, slot, "free", "luca@example.it", None).await.0, StatusCode::CREATED);
    app.stop().await;
}

async fn move_to(app: &App, key: &str, sale: &str, slot: SlotId, name: &str, buyer: Option<(&str, &str)>) -> (StatusCode, Value) {
    let mut body = json!({"slot": slot.to_string()});
    let mut request = app.request(Method::POST, &format!("/v1/sales/{sale}/move"), key).header("Idempotency-Key", name);
    if let Some((buyer, admission)) = buyer {
        body["parties"] = who(buyer)["parties"].clone();
        if !admission.is_empty() {
            request = request.header("Waiting-Room-Admission", admission);
        }
    }
    let response = request.json(&body).send().await.unwrap();
    (response.status(), body_of(response).await)
}

#[actix_rt::test]
async fn a_ticket_of_another_day_is_no_way_past_those_who_wait() {
    let app = App::start().await;
    let (manager, web, office) = (app.key(Role::Manager).await, app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let (noon, two, three) = (slot(TORRE, 12), slot(TORRE, 14), slot(TORRE, 15));
    let sale = async |name: &'static str| sell(&app, &web, noon, 1, name).await["sale"].as_str().unwrap().to_owned();
    let (first, second, third) = (sale("first").await, sale("second").await, sale("third").await);
    // From two o'clock on.
    let mut guarded = room();
    guarded["slots_from"] = json!("2026-11-23T12:30:00Z");
    assert_eq!(app.post(ROOMS, &manager, "announce", &guarded).await.0, StatusCode::CREATED);
    let early = join(&app, &web, &who("maria@example.it")).await;

    for (name, buyer) in [("bare", None), ("named", Some(("maria@example.it", ""))), ("forged", Some(("maria@example.it", "a1.0.9.0")))] {
        let (status, problem) = move_to(&app, &web, &first, two, name, buyer).await;
        assert_eq!((status, &problem["code"], &problem["room"]), (StatusCode::FORBIDDEN, &json!("waiting_room"), &json!("spring")), "{name}");
    }
    assert_eq!(move_to(&app, &web, &third, slot(TORRE, 13), "elsewhere", None).await.0, StatusCode::OK, "no room guards that slot");
    assert_eq!(move_to(&app, &office, &second, two, "at-the-desk", None).await.0, StatusCode::OK, "a desk's visitor stands there");

    app.pass(1_801).await;
    let (_, turn) = place(&app, &web, early["token"].as_str().unwrap()).await;
    let admission = turn["admission"].as_str().unwrap_or_else(|| panic!("{turn}"));
    assert_eq!(move_to(&app, &web, &first, two, "stolen", Some(("luca@example.it", admission))).await.0, StatusCode::FORBIDDEN);
    let moved = move_to(&app, &web, &first, two, "mine", Some(("maria@example.it", admission))).await;
    assert_eq!(moved.0, StatusCode::OK, "{}", moved.1);
    assert_eq!(move_to(&app, &web, &first, two, "mine", Some(("maria@example.it", ""))).await, moved, "a repeat is answered without");
    // What is refused is given back; what was moved counts as a hold.
    assert_eq!(move_to(&app, &web, &first, three, "gone", Some(("maria@example.it", admission))).await.1["code"], "ticket_moved");
    for (name, status) in [("two", 201), ("three", 201), ("four", 403)] {
        assert_eq!(hold(&app, &web, three, name, "maria@example.it", Some(admission)).await.0.as_u16(), status, "{name}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn who_moves_tickets_to_another_museum_hears_that_and_nothing_of_a_waiting_room_there() {
    let app = App::start().await;
    let (manager, everywhere) = (app.key(Role::Manager).await, app.key(Role::Web).await);
    let at_torre = app.key_for(Role::Web, Museums::Only(vec![TORRE])).await;
    assert_eq!(app.post("/v1/museums/mare/waiting-rooms", &manager, "announce", &room()).await.0, StatusCode::CREATED);
    for (key, name) in [(&at_torre, "torre"), (&everywhere, "all")] {
        let sale = sell(&app, key, slot(TORRE, 12), 1, name).await["sale"].as_str().unwrap().to_owned();
        let (status, problem) = move_to(&app, key, &sale, slot(MARE, 14), &format!("move-{name}"), None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("other_museum")), "{name}: {problem}");
        assert_eq!((problem.get("room"), problem.get("opens_at")), (None, None), "{name}: {problem}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_waiting_list_is_no_way_past_those_who_wait() {
    let app = App::start().await;
    let (manager, web, kiosk, full) = (app.key(Role::Manager).await, app.key(Role::Web).await, app.key(Role::Kiosk).await, slot(TORRE, 14));
    assert_eq!(app.post(ROOMS, &manager, "announce", &room()).await.0, StatusCode::CREATED);
    let early = join(&app, &web, &who("maria@example.it")).await;
    let fill = async |name: &'static str| {
        for (count, part) in [(15, "a"), (5, "b")] {
            app.hold(full, &kiosk, &format!("{name}-{part}"), json!([{"category": "full", "count": count}])).await;
        }
    };
    let join = async |name: &'static str, admission: Option<&str>| {
        let mut body = lines("full", 1);
        body["parties"] = who("maria@example.it")["parties"].clone();
        let mut request = app.request(Method::POST, &format!("/v1/slots/{full}/waiting"), &web).header("Idempotency-Key", name).json(&body);
        if let Some(admission) = admission {
            request = request.header("Waiting-Room-Admission", admission);
        }
        let response = request.send().await.unwrap();
        (response.status(), body_of(response).await)
    };
    fill("before").await;
    let (status, problem) = join("early", None).await;
    assert_eq!((status, &problem["code"], &problem["room"]), (StatusCode::FORBIDDEN, &json!("waiting_room"), &json!("spring")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("three holds, entries of waiting lists or moves"), "{problem}");

    app.pass(1_801).await;
    fill("after").await;
    assert_eq!(join("bare", None).await.0, StatusCode::FORBIDDEN);
    let (_, turn) = place(&app, &web, early["token"].as_str().unwrap()).await;
    let admission = turn["admission"].as_str().unwrap_or_else(|| panic!("{turn}"));
    let joined = join("mine", Some(admission)).await;
    assert_eq!(joined.0, StatusCode::CREATED, "{}", joined.1);
    assert_eq!(join("mine", None).await, joined, "a repeat is answered without");
    // An entry counts as the hold that it may become.
    for (name, status) in [("two", 201), ("three", 201), ("four", 403)] {
        assert_eq!(hold(&app, &web, slot(TORRE, 15), name, "maria@example.it", Some(admission)).await.0.as_u16(), status, "{name}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_device_with_many_names_waits_in_one_place_and_each_new_one_works_for_it() {
    let app = App::start().await;
    let (manager, web, slot) = (app.key(Role::Manager).await, app.key(Role::Web).await, slot(TORRE, 14));
    assert_eq!(app.post(ROOMS, &manager, "announce", &room()).await.0, StatusCode::CREATED);
    let on = |buyer: &str, device: &str| json!({"parties": [{"kind": "buyer", "value": buyer}, {"kind": "device", "value": device}]});
    let number = |place: &Value| place["token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let first = join(&app, &web, &on("bot-0@example.it", "d-1")).await;
    for n in 1..30 {
        let (status, again) = app.post(ROOM, &web, "none", &on(&format!("bot-{n}@example.it"), "d-1")).await;
        assert_eq!((status, number(&again)), (StatusCode::OK, number(&first)), "{n}: {again}");
    }
    let (_, elsewhere) = app.post(ROOM, &web, "none", &on("bot-0@example.it", "d-2")).await;
    assert_eq!(number(&elsewhere), number(&first), "{elsewhere}");
    // Somebody else on another device is somebody else, and works for it; by the proof of another nobody comes in. Who has an account needs none.
    let (_, problem) = app.post(ROOM, &web, "none", &on("anna@example.it", "d-3")).await;
    let proof = solve(problem["challenge"].as_str().unwrap(), u8::try_from(problem["bits"].as_u64().unwrap()).unwrap());
    let (status, stolen) = join_with(&app, &web, &on("anna@example.it", "d-4"), &proof).await;
    assert_eq!((status, &stolen["proof"]), (StatusCode::FORBIDDEN, &json!("foreign")), "{stolen}");
    let (status, anna) = join_with(&app, &web, &on("anna@example.it", "d-3"), &proof).await;
    assert_eq!(status, StatusCode::OK, "{anna}");
    assert_ne!(number(&anna), number(&first));
    let mut known = on("luca@example.it", "d-5");
    known["parties"].as_array_mut().unwrap().push(json!({"kind": "account", "value": "customer-7"}));
    assert_eq!(app.post(ROOM, &web, "none", &known).await.0, StatusCode::OK);

    // All names of the device together hold three times.
    app.pass(1_860).await;
    let (mut held, mut waited) = (0, 0);
    for n in 0..5 {
        let buyer = format!("bot-{n}@example.it");
        let (_, turn) = app.post(ROOM, &web, "none", &on(&buyer, "d-1")).await;
        match turn["admission"].as_str() {
            Some(admission) => {
                let made = hold(&app, &web, slot, &buyer, &buyer, Some(admission)).await;
                assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);
                held += 1;
            }
            None => waited += 1,
        }
    }
    assert_eq!((held, waited), (3, 2));
    app.stop().await;
}

#[actix_rt::test]
async fn who_keeps_places_and_buys_none_works_for_a_place_also_with_an_account() {
    let app = App::start().await;
    let (manager, web) = (app.key(Role::Manager).await, app.key(Role::Web).await);
    hoard(&app, &web, slot(TORRE, 11), "bot", 5, 1).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    assert_eq!(app.post(ROOMS, &manager, "announce", &room()).await.0, StatusCode::CREATED);
    let with_account = |buyer: &str| {
        let mut joining = wanted(buyer, 1)["parties"].take();
        joining.as_array_mut().unwrap().push(json!({"kind": "account", "value": format!("customer-{buyer}")}));
        json!({"parties": joining})
    };
    assert_eq!(app.post(ROOM, &web, "none", &with_account("luca@example.it")).await.0, StatusCode::OK, "who has an account works for nothing");
    let place = join(&app, &web, &with_account("bot")).await;
    assert!(place["token"].is_string(), "{place}");
    // Who has come needs no more work, whatever is known of them.
    assert_eq!(app.post(ROOM, &web, "none", &with_account("bot")).await.0, StatusCode::OK);
    app.stop().await;
}

#[actix_rt::test]
async fn a_device_joins_and_its_buyer_is_named_only_at_the_hold() {
    let app = App::start().await;
    let (manager, web, slot) = (app.key(Role::Manager).await, app.key(Role::Web).await, slot(TORRE, 14));
    assert_eq!(app.post(ROOMS, &manager, "announce", &room()).await.0, StatusCode::CREATED);
    let device = |device: &str| json!([{"kind": "device", "value": device}]);
    let joined = join(&app, &web, &json!({"parties": device("d-1")})).await;
    app.pass(1_801).await;
    let (_, turn) = place(&app, &web, joined["token"].as_str().unwrap()).await;
    let admission = turn["admission"].as_str().unwrap_or_else(|| panic!("{turn}"));
    let hold = async |name: &'static str, buyer: &'static str, on: &'static str| {
        let mut body = lines("full", 1);
        body["parties"] = device(on);
        body["parties"].as_array_mut().unwrap().push(json!({"kind": "buyer", "value": buyer}));
        let request = app.request(Method::POST, &format!("/v1/slots/{slot}/holds"), &web).header("Idempotency-Key", name);
        request.header("Waiting-Room-Admission", admission).json(&body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(hold("elsewhere", "maria@example.it", "d-2").await, 403);
    for (name, buyer, status) in [("one", "maria", 201), ("two", "luca", 201), ("three", "anna", 201), ("four", "ada", 403), ("one", "maria", 201)] {
        assert_eq!(hold(name, buyer, "d-1").await, status, "{name}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn every_refusal_of_a_waiting_room() {
    let app = App::start().await;
    let (manager, web) = (app.key(Role::Manager).await, app.key(Role::Web).await);
    assert_eq!(app.post(ROOMS, &manager, "announce", &room()).await.0, StatusCode::CREATED);
    let with = |name: &str, value: Value| {
        let mut room = room();
        room["code"] = json!("other");
        room[name] = value;
        room
    };
    refuses(
        &app,
        &[
            ("name taken", ROOMS.to_owned(), &manager, room(), 409, "waiting_room_exists"),
            ("slots of another", ROOMS.to_owned(), &manager, with("per_minute", json!(30)), 409, "waiting_room_overlaps"),
            ("opens in the past", ROOMS.to_owned(), &manager, with("opens_at", json!("2026-11-23T08:00:00Z")), 422, "invalid_waiting_room"),
            ("closes before", ROOMS.to_owned(), &manager, with("closes_at", json!("2026-11-23T08:45:00Z")), 422, "invalid_waiting_room"),
            ("lets nobody through", ROOMS.to_owned(), &manager, with("per_minute", json!(0)), 422, "invalid_waiting_room"),
            ("unknown member", ROOMS.to_owned(), &manager, with("seed", json!("mine")), 422, "invalid"),
            ("a shop announces", ROOMS.to_owned(), &web, room(), 403, "forbidden"),
            ("nobody joins", ROOM.to_owned(), &web, json!({"parties": [{"kind": "card", "value": "4"}]}), 422, "invalid"),
            ("no such room", "/v1/waiting-room/torre/autumn".to_owned(), &web, who("m"), 404, "not_found"),
        ],
    )
    .await;
    let (status, problem) = place(&app, &web, "w1.0.e.0").await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_waiting_room_token")));
    let (_, problem) = app.post(ROOMS, &manager, "overlap", &with("per_minute", json!(30))).await;
    assert_eq!(problem["room"], "spring", "{problem}");
    // One day each, of the next year.
    let of_day = |code: &str, day: u32| {
        let mut room = with("code", json!(code));
        (room["slots_from"], room["slots_to"]) = (json!(format!("2027-01-{day:02}T00:00:00Z")), json!(format!("2027-01-{:02}T00:00:00Z", day + 1)));
        room
    };
    for i in 0..15 {
        let (status, problem) = app.post(ROOMS, &manager, &format!("more-{i}"), &of_day(&format!("room-{i}"), i + 1)).await;
        assert_eq!(status, StatusCode::CREATED, "{problem}");
    }
    refuses(&app, &[("too many", ROOMS.to_owned(), &manager, of_day("one-more", 20), 409, "too_many_waiting_rooms")]).await;
    let withdraw = |name: &'static str| app.ask(Method::DELETE, "/v1/museums/torre/waiting-rooms/spring", &manager, name, &Value::Null);
    assert_eq!(withdraw("w-1").await.0, StatusCode::NO_CONTENT);
    let (status, problem) = withdraw("w-2").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_waiting_room")));
    app.stop().await;
}
