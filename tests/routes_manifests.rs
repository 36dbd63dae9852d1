//! What a gate takes along when it has no network: everything that it needs, nothing about a person, and 304 while it is the same.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::routes::manifests::Manifest;
use tornello_engine::ids::SlotId;
use tornello_engine::offline::Verdict;
use tornello_engine::slot::{Command, Direction, Reentry, Refusal, Words};

use crate::routes_sales::{desk, free, hold, tell, ticket};
use crate::support::{App, MARE, TORRE, body_of, code, plan, slot};

const PATH: &str = "/v1/museums/torre/manifest";

/// Status, tag and body.
async fn ask(app: &App, path: &str, key: &str, tag: &str) -> (StatusCode, String, Value) {
    let response = app.request(Method::GET, path, key).header("If-None-Match", tag).send().await.unwrap();
    let (status, tag) = (response.status(), response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned()));
    (status, tag.unwrap_or_default(), body_of(response).await)
}

#[actix_rt::test]
async fn a_manifest_is_all_that_a_gate_needs() {
    let app = App::start().await;
    let (gate, office, manager, web) =
        (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await, app.key(Role::Web).await);
    let nine = slot(TORRE, 9);
    let body = json!({"lines": [{"category": "full", "count": 4}], "settlement": desk("R")});
    let sale = app.post(&format!("/v1/slots/{nine}/sales"), &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned();
    let block = json!({"tickets": [1], "reason": "resold"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/block"), &manager, "block", &block).await.0, StatusCode::OK);
    let cancel = json!({"tickets": [2], "cause": "museum"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/cancel"), &office, "cancel", &cancel).await.0, StatusCode::OK);
    let inside = json!({"ticket": ticket(&sale, 3), "gate": "north", "museum": "torre"});
    assert_eq!(app.post("/v1/admissions", &gate, "in", &inside).await.0, StatusCode::OK);
    let held = hold(&app, &web, slot(TORRE, 10), "under-18", 1, "held").await;
    let mut confirm = free();
    confirm["contact"] = json!({"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"});
    assert_eq!(app.post(&format!("/v1/holds/{held}/confirm"), &web, "confirm", &confirm).await.0, StatusCode::CREATED);

    let (status, _, manifest) = ask(&app, PATH, &gate, "").await;
    assert_eq!(status, StatusCode::OK, "{manifest}");
    assert_eq!((&manifest["format"], &manifest["museum"], &manifest["from"]), (&json!(1), &json!(1), &json!("2026-11-23")));
    assert_eq!(manifest["as_of_batch"], json!(app.node().head().number));
    assert_eq!(manifest["keys"], app.get("/v1/ticket-keys", "").await["items"]);
    let slots = manifest["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 10, "the slots that nobody has bought from as well");
    let mut tickets = slots[0]["tickets"].as_array().unwrap().clone();
    assert_eq!((&slots[0]["slot"], tickets.len()), (&json!(nine), 4));
    assert_eq!(tickets.remove(0), json!({"ticket": ticket(&sale, 0), "category": "full"}), "what is usual is left out");
    let states: Vec<_> = tickets.iter().map(|ticket| (ticket["state"].as_str(), ticket["blocked"].as_str(), ticket["since"].as_str())).collect();
    assert_eq!(states, [(None, Some("resold"), None), (Some("cancelled"), None, None), (Some("inside"), None, Some("2026-11-23T08:30:00Z"))]);
    assert_eq!(slots[1]["tickets"], json!([{"ticket": ticket(&held, 0), "category": "under-18", "proof": "age"}]));
    let text = manifest.to_string();
    assert!(!["Maria", "Rossi", "example.it"].iter().any(|personal| text.contains(personal)), "{text}");

    // A gate that works by it says what the server says.
    let offline = serde_json::from_value::<Manifest>(manifest.clone()).unwrap().gate().unwrap();
    let codes = [0, 1, 3].map(|number| ticket(&sale, number));
    for id in &codes {
        let shown = app.get(&format!("/v1/tickets/{id}"), &office).await["code"].as_str().unwrap().to_owned();
        let said = match offline.judge(&shown, code("north"), Direction::In, app.node().now()) {
            Verdict::Admitted { listed: true, .. } => (StatusCode::OK, None),
            Verdict::Refused(refusal) => (StatusCode::CONFLICT, Some(refusal.code())),
            other => panic!("{id}: {other:?}"),
        };
        let (status, online) = app.post("/v1/admissions", &gate, id, &json!({"code": shown, "gate": "north", "museum": "torre"})).await;
        assert_eq!(said, (status, online["code"].as_str()), "{id}");
    }
    let cancelled = offline.judge(&ticket(&sale, 2), code("north"), Direction::In, app.node().now());
    assert_eq!(cancelled, Verdict::Refused(Refusal::TicketCancelled));
    let mut newer = manifest;
    newer["format"] = json!(2);
    assert!(serde_json::from_value::<Manifest>(newer).unwrap().gate().is_err(), "a gate does not guess");
    app.stop().await;
}

/// What a gate sends of the first ticket of a sale.
fn shown(sale: &str) -> Value {
    json!({"ticket": ticket(sale, 0), "gate": "north", "museum": "torre"})
}

/// Two have tickets for nine o'clock with which they may come back once within so many seconds. One of them has come and left. The gate's key, and the sale.
async fn came_and_left(app: &App, within_s: u32) -> (String, String) {
    let mut plan = plan();
    plan.routes[0].policy.reentry = Reentry { times_max: 1, within_s };
    app.set_plan(plan).await;
    let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
    let body = json!({"lines": [{"category": "full", "count": 2}], "settlement": desk("R")});
    let path = format!("/v1/slots/{}/sales", slot(TORRE, 9));
    let sale = app.post(&path, &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned();
    for path in ["/v1/admissions", "/v1/exits"] {
        assert_eq!(app.post(path, &gate, path, &shown(&sale)).await.0, StatusCode::OK);
    }
    (gate, sale)
}

#[actix_rt::test]
async fn whoever_may_come_back_for_days_is_in_the_manifests_of_these_days() {
    let app = App::start().await;
    let (gate, sale) = came_and_left(&app, 3 * 86_400).await;
    app.pass(2 * 86_400).await;
    let (_, _, manifest) = ask(&app, PATH, &gate, "").await;
    let offline = serde_json::from_value::<Manifest>(manifest).unwrap().gate().unwrap();
    let said = offline.judge(&ticket(&sale, 0), code("north"), Direction::In, app.node().now());
    assert!(matches!(said, Verdict::Admitted { entry: 2, listed: true, .. }), "{said:?}");
    let (status, online) = app.post("/v1/admissions", &gate, "back", &shown(&sale)).await;
    assert_eq!((status, &online["entry"]), (StatusCode::OK, &json!(2)), "{online}");
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_may_come_back_is_in_the_manifests_also_when_the_board_has_forgotten_the_slot() {
    let app = App::start().await;
    let (gate, sale) = came_and_left(&app, 6 * 86_400).await;
    app.pass(4 * 86_400).await;
    // As if its head were saved.
    drop(app.node().board().take_unsaved());
    app.node().tidy().await;
    assert!(app.node().board().head(slot(TORRE, 9)).is_none(), "it ended more than three days ago");
    let (_, _, manifest) = ask(&app, PATH, &gate, "").await;
    let offline = serde_json::from_value::<Manifest>(manifest).unwrap().gate().unwrap();
    let said = |number: u16| offline.judge(&ticket(&sale, number), code("north"), Direction::In, app.node().now());
    assert!(matches!(said(0), Verdict::Admitted { entry: 2, listed: true, .. }), "{:?}", said(0));
    assert!(matches!(said(1), Verdict::Refused(Refusal::TooLate { .. })), "nobody had come by it: {:?}", said(1));
    let (status, online) = app.post("/v1/admissions", &gate, "back", &shown(&sale)).await;
    assert_eq!((status, &online["entry"]), (StatusCode::OK, &json!(2)), "{online}");
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_may_come_days_before_is_in_the_manifests_of_these_days() {
    let app = App::start().await;
    let mut early = plan();
    early.routes[0].policy.admit_early_s = 3 * 86_400;
    app.set_plan(early).await;
    let (gate, office, manager) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let on = |days: i64| SlotId::new(TORRE, slot(TORRE, 9).route(), slot(TORRE, 9).start().plus_seconds(days * 86_400));
    let body = json!({"lines": [{"category": "full", "count": 2}], "settlement": desk("R")});
    let sale = app.post(&format!("/v1/slots/{}/sales", on(3)), &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned();
    let block = json!({"tickets": [1], "reason": "resold"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/block"), &manager, "block", &block).await.0, StatusCode::OK);

    let (_, _, manifest) = ask(&app, PATH, &gate, "").await;
    let listed = |slot: SlotId| manifest["slots"].as_array().unwrap().iter().any(|line| line["slot"] == json!(slot));
    // The gates of today have opened for the slots of Thursday too, also those that nobody has bought from, and for none of Friday.
    let later = SlotId::new(TORRE, on(3).route(), on(3).start().plus_seconds(9 * 3_600));
    assert_eq!([on(0), on(2), on(3), later, on(4)].map(listed), [true, true, true, true, false]);
    let offline = serde_json::from_value::<Manifest>(manifest.clone()).unwrap().gate().unwrap();
    let said = |number: u16| offline.judge(&ticket(&sale, number), code("north"), Direction::In, app.node().now());
    assert!(matches!(said(0), Verdict::Admitted { entry: 1, listed: true, .. }), "{:?}", said(0));
    assert_eq!(said(1), Verdict::Refused(Refusal::TicketBlocked { reason: code("resold") }));
    assert_eq!(app.post("/v1/admissions", &gate, "in", &shown(&sale)).await.0, StatusCode::OK, "as the server says");
    app.stop().await;
}

#[actix_rt::test]
async fn it_is_sent_again_only_when_tickets_or_keys_have_changed() {
    let app = App::start().await;
    let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
    let nine = slot(TORRE, 9);
    let sell = json!({"lines": [{"category": "full", "count": 1}], "settlement": desk("R")});
    assert_eq!(app.post(&format!("/v1/slots/{nine}/sales"), &office, "first", &sell).await.0, StatusCode::CREATED);
    let (_, first, _) = ask(&app, PATH, &gate, "").await;
    assert!(first.starts_with("W/\""), "{first}");
    app.pass(60).await;
    let now = app.node().now();
    let (source, ceiling, words) = (code("door"), Some(60), Words::default());
    tell(&app, nine, 60, Command::Observe { source, inside: 5, sd: 0, measured_at: now, ceiling, grant: None, words }).await;
    let (status, tag, body) = ask(&app, PATH, &gate, &format!("\"other\", {first}")).await;
    assert_eq!((status, &tag, body), (StatusCode::NOT_MODIFIED, &first, Value::Null), "what sensors say does not matter to it");
    for tags in [["\"other\"", first.as_str()], ["\"other\"", "*"]] {
        let request = app.request(Method::GET, PATH, &gate).header("If-None-Match", tags[0]).header("If-None-Match", tags[1]);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_MODIFIED, "{tags:?}");
    }
    assert_eq!(app.post(&format!("/v1/slots/{nine}/sales"), &office, "second", &sell).await.0, StatusCode::CREATED);
    let (status, second, _) = ask(&app, PATH, &gate, &first).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first, second);

    // At half past midnight a slot of the evening before would still be in it; none is so late here.
    let (_, _, days) = ask(&app, &format!("{PATH}?from=2026-11-24&to=2026-11-30"), &gate, "").await;
    assert_eq!(days["slots"].as_array().unwrap().len(), 70);
    let torre_only = app.key_for(Role::Gate, Museums::Only(vec![TORRE])).await;
    let web = app.key(Role::Web).await;
    for (path, key, status, code) in [
        (format!("{PATH}?from=2026-11-24&to=2026-12-01"), &gate, 422, "invalid"),
        (format!("{PATH}?from=2026-11-24&to=2026-11-23"), &gate, 422, "invalid"),
        (format!("{PATH}?day=1"), &gate, 400, "malformed"),
        (format!("/v1/museums/{}/manifest", MARE.0), &torre_only, 404, "not_found"),
        (PATH.to_owned(), &web, 403, "forbidden"),
    ] {
        let (found, _, problem) = ask(&app, &path, key, "").await;
        assert_eq!((found.as_u16(), problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    app.stop().await;
}
