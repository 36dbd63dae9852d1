//! One slot, and what staff change of it: answers come from what was written, so that a repeat gives the first one whatever has happened since.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tornello_actors::keys::Role;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::SlotId;
use tornello_engine::museum::Command;

use crate::support::{App, TORRE, slot, today};

#[actix_rt::test]
async fn a_slot_is_read_with_what_the_caller_may_see() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let path = format!("/v1/slots/{}", slot(TORRE, 15));
    let (status, _) = app.post(&format!("{path}/holds"), &web, "h", &json!({"lines": [{"category": "full", "count": 3}]})).await;
    assert_eq!(status, StatusCode::CREATED);
    let seen = app.get(&path, &web).await;
    for (name, value) in [
        ("starts_at", json!("2026-11-23T14:00:00Z")),
        ("ends_at", json!("2026-11-23T15:00:00Z")),
        ("local_start", json!("2026-11-23T15:00:00+01:00")),
        ("gate_opens_at", json!("2026-11-23T13:45:00Z")),
        ("gate_closes_at", json!("2026-11-23T15:15:00Z")),
        ("sale_ends_at", json!("2026-11-23T14:00:00Z")),
        ("capacity", json!(20)),
        ("held", json!(3)),
        ("available", json!(17)),
        ("ceiling", json!(60)),
        ("over", json!(0)),
        ("status", json!("available")),
        ("route", json!("main")),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert_eq!(seen["channels"].as_array().unwrap().len(), 1);
    assert_eq!(app.get(&path, &manager).await["channels"].as_array().unwrap().len(), 5);
    // Of one whose sales have not begun no channel may take any yet.
    let far = SlotId::new(TORRE, slot(TORRE, 15).route(), slot(TORRE, 15).start().plus_seconds(120 * 86_400));
    let seen = app.get(&format!("/v1/slots/{far}"), &manager).await;
    assert_eq!((&seen["status"], &seen["available"], &seen["capacity"]), (&json!("not_open"), &json!(0), &json!(20)), "{seen}");
    let available: Vec<u64> = seen["channels"].as_array().unwrap().iter().map(|channel| channel["available"].as_u64().unwrap()).collect();
    assert_eq!(available, [0; 5], "{seen}");
    // Days later, when the board has forgotten it, it is read back.
    app.pass(5 * 86_400).await;
    let past = app.get(&path, &manager).await;
    assert_eq!((&past["held"], &past["status"], &past["available"]), (&json!(0), &json!("over"), &json!(0)));
    for id in ["0000000000000", "nonsense", &slot(TORRE, 3).to_string()] {
        let response = app.request(Method::GET, &format!("/v1/slots/{id}"), &web).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{id}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn staff_cut_share_close_and_reopen() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let path = format!("/v1/slots/{}", slot(TORRE, 15));
    let hold = json!({"lines": [{"category": "full", "count": 10}]});
    assert_eq!(app.post(&format!("{path}/holds"), &web, "h", &hold).await.0, StatusCode::CREATED);

    let capacity = format!("{path}/capacity");
    let (status, cut) = app.ask(Method::PUT, &capacity, &manager, "cut", &json!({"capacity": 8})).await;
    assert_eq!((status, &cut["capacity"], &cut["over"], &cut["above_ceiling"]), (StatusCode::OK, &json!(8), &json!(2), &json!(0)), "{cut}");
    assert_eq!(app.get(&path, &manager).await["over"], 2);
    let (_, raised) = app.ask(Method::PUT, &capacity, &manager, "raise", &json!({"capacity": 30})).await;
    assert_eq!((&raised["capacity"], &raised["over"], &raised["ceiling"]), (&json!(30), &json!(0), &json!(60)));
    assert_eq!(app.ask(Method::PUT, &capacity, &manager, "cut", &json!({"capacity": 8})).await.1, cut, "the first answer, and nothing is cut");
    assert_eq!(app.get(&path, &manager).await["capacity"], 30);
    let other = format!("/v1/slots/{}/capacity", slot(TORRE, 16));
    let (_, wide) = app.ask(Method::PUT, &other, &manager, "wide", &json!({"capacity": 100_000})).await;
    assert_eq!((&wide["capacity"], &wide["above_ceiling"]), (&json!(100_000), &json!(99_940)), "as it was asked, with a warning");
    for (key, body, code) in [("cut", json!({"capacity": 9}), "idempotency_key_reused"), ("more", json!({"capacity": 100_001}), "invalid")] {
        let (status, problem) = app.ask(Method::PUT, &capacity, &manager, key, &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!(code)));
    }

    let quotas = json!({"quotas": [{"channel": "group", "reserved": 5, "limit": 10, "release_s": 3600}]});
    let (status, shared) = app.ask(Method::PUT, &format!("{path}/quotas"), &manager, "q", &quotas).await;
    assert_eq!((status, &shared["quotas"]), (StatusCode::OK, &quotas["quotas"]), "{shared}");
    for bad in [
        json!([{"channel": "web"}, {"channel": "web"}]),
        json!([{"channel": "web", "reserved": 4_000_000_000_u32}]),
        json!([{"channel": "web", "reserved": 5, "limit": 4}]),
        json!([{"channel": "web", "release_s": 31_536_001}]),
    ] {
        let (status, problem) = app.ask(Method::PUT, &format!("{path}/quotas"), &manager, "bad", &json!({"quotas": bad})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }

    let close = json!({"reason": "strike"});
    let (status, closed) = app.post(&format!("{path}/close"), &manager, "c", &close).await;
    assert_eq!((status, &closed["closed"], &closed["reason"]), (StatusCode::OK, &json!(true), &json!("strike")));
    assert_eq!(app.post(&format!("{path}/close"), &manager, "c2", &close).await, (status, closed), "closing twice changes nothing");
    let (status, problem) = app.post(&format!("{path}/holds"), &web, "h2", &hold).await;
    assert_eq!((status.as_u16(), &problem["code"], &problem["reason"]), (409, &json!("slot_closed"), &json!("strike")));
    let (status, open) = app.post(&format!("{path}/reopen"), &manager, "o", &json!({})).await;
    assert_eq!((status, &open["closed"]), (StatusCode::OK, &json!(false)));
    assert_eq!(app.post(&format!("{path}/holds"), &web, "h2", &hold).await.0, StatusCode::CREATED, "a refusal is not kept under its key");
    app.stop().await;
}

#[actix_rt::test]
async fn the_ceiling_of_a_slot_is_that_of_its_day_as_it_is_now() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let path = format!("/v1/slots/{}", slot(TORRE, 15));
    let set = async |key: u128, ceiling| {
        let command = Command::SetCeiling { valid_from: today(), ceiling };
        app.node().museum(TORRE, Envelope::by_system(Digest(key)), command).await.unwrap();
    };
    let (status, _) = app.post(&format!("{path}/holds"), &web, "h", &json!({"lines": [{"category": "full", "count": 3}]})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(app.get(&path, &manager).await["ceiling"], 60, "as when it was opened");
    app.pass(60).await;
    set(90, Some(25)).await;
    assert_eq!(app.get(&path, &manager).await["ceiling"], 25);
    let capacity = format!("{path}/capacity");
    let raise = async || app.ask(Method::PUT, &capacity, &manager, "raise", &json!({"capacity": 30})).await.1;
    let raised = raise().await;
    assert_eq!((&raised["ceiling"], &raised["above_ceiling"]), (&json!(25), &json!(5)), "{raised}");
    app.pass(60).await;
    set(91, None).await;
    assert_eq!(app.get(&path, &manager).await.get("ceiling"), None);
    assert_eq!(raise().await, raised, "what was so then");
    app.stop().await;
}
