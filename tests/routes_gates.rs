//! Tickets at a gate: every verdict once, with its status and code; and the listener that gates have for themselves.

use std::num::NonZeroU32;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::server::{self, ServerSettings};
use tornello_engine::ids::{HoldId, TicketId};
use tornello_engine::slot::{Command, Words};
use tornello_engine::tariff::Proof;
use tornello_engine::ticket::{Payload, SigningKey, TicketCode};

use crate::routes_sales::{desk, refuses, sell, tell, ticket};
use crate::support::{App, MARE, TORRE, body_of, code, plan, settings, slot};

fn shown(what: &str, value: &str) -> Value {
    json!({what: value, "gate": "north", "museum": "torre"})
}

#[actix_rt::test]
async fn every_verdict_of_the_gate_has_its_status_and_code() {
    let app = App::start().await;
    let (gate, office, web) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Web).await);
    let manager = app.key(Role::Manager).await;
    let (nine, ten) = (slot(TORRE, 9), slot(TORRE, 10));
    let body = json!({"lines": [{"category": "full", "count": 5}], "settlement": desk("R")});
    let sale = app.post(&format!("/v1/slots/{nine}/sales"), &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned();
    let later = sell(&app, &web, ten, 1, "later").await["sale"].as_str().unwrap().to_owned();
    let at_mare = sell(&app, &web, slot(MARE, 10), 1, "mare").await["sale"].as_str().unwrap().to_owned();
    let block = json!({"tickets": [1], "reason": "resold"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/block"), &manager, "block", &block).await.0, StatusCode::OK);
    let cancel = json!({"tickets": [2], "cause": "museum"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/cancel"), &office, "cancel", &cancel).await.0, StatusCode::OK);

    let id: TicketId = ticket(&sale, 3).parse().unwrap();
    let now = app.node().now();
    let codes = &app.node().files().unwrap().codes;
    let payload = |issue| Payload::new(id, issue, Proof::None, now, now.plus_seconds(3_600));
    let good = codes.sign(&payload(1));
    let (status, answer) = app.post("/v1/admissions", &gate, "good", &json!({"code": format!("{good}\n"), "gate": "north", "museum": "1"})).await;
    assert_eq!((status, &answer["verdict"], &answer["entry"]), (StatusCode::OK, &json!("admitted"), &json!(1)), "{answer}");
    assert_eq!((&answer["recorded"], answer.get("scan")), (&json!(true), None));
    assert_eq!((&answer["category_it"], &answer["category_en"], &answer["proof_it"]), (&json!("Intero"), &json!("Full price"), &json!("")));

    let far = Payload::new(id, 1, Proof::None, now, now.plus_seconds(1_500 * 86_400));
    // The last two bits of the text are padding: one of them is set here.
    let mut padded = good.clone().into_bytes();
    padded[157] += 1;
    let mut other_signature = good.clone().into_bytes();
    other_signature[100] = if other_signature[100] == b'0' { b'1' } else { b'0' };
    let stranger = SigningKey::new(77, &[7; 32]);
    let nobody = HoldId::new(nine, 1).ticket(0).to_string();
    let admissions = || "/v1/admissions".to_owned();
    let cases = [
        ("nonsense", "code", "hello".to_owned(), 422, "not_a_code"),
        ("another version", "code", good.replacen("TN1.", "TN2.", 1), 422, "unknown_version"),
        ("another's key", "code", TicketCode::sign(&stranger, &payload(1)), 422, "unknown_key"),
        ("forged", "code", String::from_utf8(other_signature).unwrap(), 422, "bad_signature"),
        ("padding", "code", String::from_utf8(padded).unwrap(), 422, "not_a_code"),
        ("beyond the key", "code", codes.sign(&far), 422, "key_not_valid"),
        ("an old issue", "code", codes.sign(&payload(0)), 409, "code_outdated"),
        ("inside", "code", good.clone(), 409, "ticket_inside"),
        ("blocked", "ticket", ticket(&sale, 1), 409, "ticket_blocked"),
        ("cancelled", "ticket", ticket(&sale, 2), 409, "ticket_cancelled"),
        ("unknown", "ticket", nobody, 404, "unknown_ticket"),
        ("unknown slot", "ticket", "0".repeat(26), 404, "unknown_ticket"),
        ("too early", "ticket", ticket(&later, 0), 409, "too_early"),
        ("another museum's", "ticket", ticket(&at_mare, 0), 409, "wrong_museum"),
    ];
    for (what, field, value, status, code) in cases {
        let (found, problem) = app.post("/v1/admissions", &gate, &what.replace(' ', "-"), &shown(field, &value)).await;
        assert_eq!((found.as_u16(), problem["code"].as_str()), (status, Some(code)), "{what}: {problem}");
        assert_eq!(problem["verdict"], "refused", "{what}");
    }
    assert_eq!(app.node().forged(), [(TORRE, code("north"), 2)], "another's key, and a wrong signature");
    let at_torre_only = app.key_for(Role::Gate, Museums::Only(vec![TORRE])).await;
    let at_mare_gate = json!({"code": good, "gate": "north", "museum": "mare"});
    refuses(
        &app,
        &[
            ("both", admissions(), &gate, json!({"code": good, "ticket": ticket(&sale, 0), "gate": "n", "museum": "1"}), 422, "invalid"),
            ("neither", admissions(), &gate, json!({"gate": "n", "museum": "1"}), 422, "invalid"),
            ("unknown field", admissions(), &gate, json!({"code": good, "gate": "n", "museum": "1", "force": true}), 422, "invalid"),
            ("no such museum", admissions(), &gate, json!({"code": good, "gate": "n", "museum": "louvre"}), 404, "not_found"),
            ("not this gate's museum", admissions(), &at_torre_only, at_mare_gate.clone(), 404, "not_found"),
            ("right code at the wrong museum", admissions(), &gate, at_mare_gate, 409, "wrong_museum"),
            ("web at the gate", admissions(), &web, shown("code", &good), 403, "forbidden"),
            ("not inside", "/v1/exits".to_owned(), &gate, shown("ticket", &ticket(&sale, 0)), 409, "not_inside"),
            ("exit unknown", "/v1/exits".to_owned(), &gate, shown("ticket", &HoldId::new(nine, 2).ticket(0).to_string()), 404, "unknown_ticket"),
        ],
    )
    .await;
    let (status, left) = app.post("/v1/exits", &gate, "out", &shown("code", &good)).await;
    assert_eq!((status, &left["verdict"]), (StatusCode::OK, &json!("left")));
    refuses(&app, &[("back again", admissions(), &gate, shown("code", &good), 409, "ticket_used")]).await;

    // The building is full: wait, the ticket stays good.
    let (source, ceiling, words) = (code("door"), Some(60), Words::default());
    tell(&app, nine, 60, Command::Observe { source, inside: 60, sd: 0, measured_at: now, ceiling, grant: None, words }).await;
    let waiting = shown("ticket", &ticket(&sale, 0));
    let (status, problem) = app.post("/v1/admissions", &gate, "wait", &waiting).await;
    assert_eq!((status, &problem["code"], &problem["verdict"]), (StatusCode::CONFLICT, &json!("wait"), &json!("wait")), "{problem}");
    app.pass(901).await;
    let (status, answer) = app.post("/v1/admissions", &gate, "wait", &waiting).await;
    assert_eq!(status, StatusCode::OK, "a refusal is decided anew, under the same key: {answer}");
    app.pass(2 * 3_600).await;
    refuses(&app, &[("too late", admissions(), &gate, shown("ticket", &ticket(&sale, 4)), 409, "too_late")]).await;
    app.stop().await;
}

#[actix_rt::test]
async fn slots_whose_gates_are_open_at_once_let_in_no_more_than_the_building_has_room_for() {
    let app = App::start().await;
    let (gate, office, sensor) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Sensor).await);
    let manager = app.key(Role::Manager).await;
    let body = json!({"lines": [{"category": "full", "count": 4}], "settlement": desk("R")});
    let mut sales = Vec::new();
    for hour in [9, 10] {
        let path = format!("/v1/slots/{}/sales", slot(TORRE, hour));
        sales.push(app.post(&path, &office, &format!("sell-{hour}"), &body).await.1["sale"].as_str().unwrap().to_owned());
    }
    // Ten minutes before the later slot begins both let in. There may be 60 people, and there are 57.
    app.pass(20 * 60).await;
    let read = async |app: &App, at: &str, people: u32| {
        let reading = json!({"museum": "torre", "sensor": "door-1", "at": format!("2026-11-23T{at}Z"), "inside": {"people": people, "sd": 0}});
        let response = app.request(reqwest::Method::POST, "/v1/readings", &sensor).json(&reading).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{at}");
    };
    let enter = async |app: &App, of: usize, number: u16, key: &str| {
        let (_, answer) = app.post("/v1/admissions", &gate, key, &shown("ticket", &ticket(&sales[of], number))).await;
        answer["verdict"].as_str().unwrap().to_owned()
    };
    let inside = async |app: &App| {
        let seen = app.get("/v1/museums/torre/occupancy", &office).await;
        ["inside", "inside_now", "upper_now"].map(|what| seen[what].as_u64().unwrap())
    };
    read(&app, "08:50:00", 57).await;
    assert_eq!(inside(&app).await, [57, 57, 57]);
    for (key, of, number, expected) in
        [("a", 0, 0, "admitted"), ("b", 1, 0, "admitted"), ("c", 0, 1, "admitted"), ("d", 1, 1, "wait"), ("e", 0, 2, "wait")]
    {
        assert_eq!(enter(&app, of, number, key).await, expected, "{key}");
    }
    assert_eq!(inside(&app).await, [57, 60, 60]);
    // The later slot knows of one of the three; so its history does not say that nothing else can have kept anybody out.
    let question = format!("/v1/slots/{}/history?command=admit&ticket={}", slot(TORRE, 10), ticket(&sales[1], 1));
    let said = app.get(&question, &manager).await["decision"].clone();
    assert_eq!(said["outcome"], "accepted", "{said}");
    assert!(said["not_decided"].as_array().unwrap().contains(&json!("building")), "{said}");
    // Who leaves by a gate of one slot makes room for another's.
    assert_eq!(app.post("/v1/exits", &gate, "out", &shown("ticket", &ticket(&sales[0], 0))).await.0, StatusCode::OK);
    assert_eq!((enter(&app, 1, 1, "d").await.as_str(), enter(&app, 0, 2, "e").await.as_str()), ("admitted", "wait"));
    // A restart forgets nobody, and the next reading has counted them.
    let app = app.restart().await;
    assert_eq!((inside(&app).await, enter(&app, 0, 2, "e").await.as_str()), ([57, 60, 60], "wait"));
    app.pass(60).await;
    read(&app, "08:51:00", 59).await;
    assert_eq!((enter(&app, 0, 2, "e").await.as_str(), enter(&app, 1, 2, "f").await.as_str()), ("admitted", "wait"));
    assert_eq!(inside(&app).await, [59, 60, 60]);
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_that_lets_in_for_longer_than_its_key_signs_is_read_by_the_gate() {
    let app = App::start().await;
    let mut open = plan();
    open.routes[0].policy.admit_late_s = 5 * 366 * 86_400;
    app.set_plan(open).await;
    let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
    let body = json!({"lines": [{"category": "full", "count": 1}], "settlement": desk("R")});
    let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 9)), &office, "sell", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let id = ticket(sale["sale"].as_str().unwrap(), 0);
    let shown_code = app.get(&format!("/v1/tickets/{id}"), &office).await["code"].as_str().unwrap().to_owned();
    let (status, answer) = app.post("/v1/admissions", &gate, "in", &shown("code", &shown_code)).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::OK, &json!("admitted")), "{answer}");
    app.stop().await;
}

#[actix_rt::test]
async fn gates_have_a_listener_whose_workers_limits_and_routes_are_their_own() {
    // One request a second, and slots run on the one thread that answers.
    let one = NonZeroU32::MIN;
    let app = App::start_with(ServerSettings { per_second: one, burst: one, in_flight: 0, lend_threads: true, ..settings() }).await;
    let office = app.key(Role::BoxOffice).await;
    let address = settings().listen;
    let (serving, listen) = server::start_gates(app.shared_node(), &settings(), (address, 1)).unwrap();
    let (handle, serving) = (serving.handle(), actix_web::rt::spawn(serving));
    let get = async |path: &str| {
        let response = app.client.get(format!("http://{listen}{path}")).bearer_auth(&office).send().await.unwrap();
        (response.status().as_u16(), body_of(response).await)
    };

    // What is theirs is served, and nothing else; whatever the key has used up elsewhere.
    for status in [200, 429] {
        assert_eq!(app.request(reqwest::Method::GET, "/v1/museums", &office).send().await.unwrap().status(), status);
    }
    for (path, status) in [("/status", 200), ("/v1/ticket-keys", 200), ("/v1/museums/torre/manifest", 200), ("/v1/museums", 404), ("/docs/", 404)] {
        let (found, body) = get(path).await;
        assert_eq!(found, status, "{path}: {body}");
    }
    let nobody = HoldId::new(slot(TORRE, 9), 1).ticket(0).to_string();
    let request = app.client.post(format!("http://{listen}/v1/admissions")).bearer_auth(&office).header("Idempotency-Key", "1");
    let answer = request.json(&shown("ticket", &nobody)).send().await.unwrap();
    assert_eq!(body_of(answer).await["code"], "unknown_ticket");

    // The other listener's thread is busy: it answers when it is free again, and this one at once.
    let (entered, busy) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let hold_up = Arc::new(Mutex::new((Some(entered), released)));
    let node = app.shared_node();
    let looking = actix_web::rt::spawn(async move {
        let look = move |_: &tornello_engine::slot::Slot| {
            let mut hold_up = hold_up.lock().unwrap();
            if let Some(entered) = hold_up.0.take() {
                entered.send(()).unwrap();
            }
            let _ = hold_up.1.recv();
        };
        node.look(slot(TORRE, 11), look).await
    });
    busy.await.unwrap();
    let elsewhere = actix_web::rt::spawn(app.request(reqwest::Method::GET, "/status", "").send());
    for _ in 0..3 {
        assert_eq!(get("/status").await.0, 200);
    }
    assert!(!elsewhere.is_finished());
    drop(release);
    assert_eq!(elsewhere.await.unwrap().unwrap().status(), StatusCode::OK);
    looking.await.unwrap().unwrap();
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
    app.stop().await;
}
