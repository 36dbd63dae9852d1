//! Places that were held over the web and not bought, and who let them go, over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_engine::time::Timestamp;

use crate::support::{App, TORRE, body_of, plan, slot};

const REST_MAX_S: u32 = 60;

async fn resting() -> App {
    let app = App::start().await;
    let mut plan = plan();
    plan.routes[0].policy.limits.rest_max_s = REST_MAX_S;
    app.set_plan(plan).await;
    app
}

fn asked(count: u32, buyer: &str, device: &str) -> Value {
    let parties = json!([{"kind": "buyer", "value": buyer}, {"kind": "device", "value": device}]);
    json!({"lines": [{"category": "full", "count": count}], "parties": parties})
}

#[actix_rt::test]
async fn what_a_buyer_lets_go_of_a_slot_that_is_nearly_full_is_for_others_first() {
    let app = resting().await;
    let (web, manager, fifteen) = (app.key(Role::Web).await, app.key(Role::Manager).await, slot(TORRE, 15));
    let (holds, view) = (format!("/v1/slots/{fifteen}/holds"), format!("/v1/slots/{fifteen}"));
    let code_of = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned());
    let (status, held) = app.post(&holds, &web, "1", &asked(18, "anna@example.it", "d-1")).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let hold = held["hold"].as_str().unwrap().to_owned();
    assert_eq!(app.ask(Method::DELETE, &format!("/v1/holds/{hold}"), &web, "2", &Value::Null).await.0, StatusCode::NO_CONTENT);
    let released_at = app.node().now();

    // They rest: nobody has them, and staff see them.
    let seen = app.get(&view, &manager).await;
    assert_eq!([&seen["held"], &seen["resting"], &seen["available"]], [0, 18, 2], "{seen}");
    assert_eq!(code_of(app.post(&holds, &web, "3", &asked(3, "bruno@example.it", "d-2")).await), (409, "not_enough_places".to_owned()));
    let until = released_at.plus_seconds(i64::from(REST_MAX_S));
    let history = app.get(&format!("{view}/history?at={released_at}"), &manager).await;
    assert_eq!(history["state"]["resting"], 18, "{history}");
    let events: Vec<&Value> = history["records"].as_array().unwrap().iter().flat_map(|record| record["events"].as_array().unwrap()).collect();
    let rested = events.iter().find(|event| event["kind"] == "rested").unwrap();
    let free_at: Timestamp = rested["fields"]["until"].as_str().unwrap().parse().unwrap();
    assert!(released_at < free_at && free_at <= until, "{rested}");
    assert_eq!(rested["fields"]["barred_until"], until.to_string(), "{rested}");

    // The same buyer and the same device wait as long as any rest may take, and are told so; whoever else asks is not.
    let again =
        |buyer, device| app.request(Method::POST, &holds, &web).header("Idempotency-Key", format!("{buyer}{device}")).json(&asked(1, buyer, device));
    for (buyer, device) in [("Anna@example.it", "d-3"), ("carla@example.it", "d-1")] {
        let response = again(buyer, device).send().await.unwrap();
        let (status, retry_after) = (response.status(), response.headers()["Retry-After"].to_str().unwrap().to_owned());
        let problem = body_of(response).await;
        assert_eq!((status.as_u16(), &problem["code"], &problem["again_at"]), (409, &json!("hold_renewed"), &json!(until.to_string())), "{problem}");
        assert_eq!((retry_after, &problem["wait_s"]), (REST_MAX_S.to_string(), &json!(REST_MAX_S)), "{problem}");
    }
    // So is whoever asks for the reason afterwards, by the name, by the device, or by both.
    let refused_at = app.node().now();
    let why = async |buyer: &str, device: &str| {
        let path = format!("{view}/history?at={refused_at}&command=hold&channel=web&people=1&category=full");
        let request = app.request(Method::GET, &path, &manager).header("Buyer", buyer).header("Device", device);
        body_of(request.send().await.unwrap()).await["decision"].clone()
    };
    for (buyer, device, code, step) in [
        ("anna@example.it", "d-3", json!("hold_renewed"), json!(7)),
        ("carla@example.it", "d-1", json!("hold_renewed"), json!(7)),
        ("carla@example.it", "d-3", Value::Null, Value::Null),
    ] {
        let decision = why(buyer, device).await;
        assert_eq!((&decision["problem"]["code"], &decision["rule"]["step"]), (&code, &step), "{buyer} at {device}: {decision}");
    }
    let beside = format!("{view}/history?command=hold&channel=web&people=1&device=d-1");
    let response = app.request(Method::GET, &beside, &manager).header("Device", "d-1").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "in one place");
    let waiting = app.post(&format!("/v1/slots/{fifteen}/waiting"), &web, "4", &asked(5, "anna@example.it", "d-1")).await;
    assert_eq!(code_of(waiting), (409, "hold_renewed".to_owned()));
    assert_eq!(app.post(&holds, &web, "5", &asked(1, "bruno@example.it", "d-2")).await.0, StatusCode::CREATED);

    // After a restart as before; when the rest is over they are there for all, and whoever let them go may hold again.
    let app = app.restart().await;
    assert_eq!(app.get(&view, &manager).await["resting"], 18);
    app.pass(i64::from(REST_MAX_S)).await;
    let seen = app.get(&view, &manager).await;
    assert_eq!([&seen["resting"], &seen["available"]], [0, 19], "{seen}");
    assert_eq!(app.post(&holds, &web, "6", &asked(1, "anna@example.it", "d-1")).await.0, StatusCode::CREATED);
    app.stop().await;
}

#[actix_rt::test]
async fn who_wants_fewer_places_than_they_hold_keeps_these_and_the_others_rest() {
    let app = resting().await;
    let (web, manager, fifteen) = (app.key(Role::Web).await, app.key(Role::Manager).await, slot(TORRE, 15));
    let (holds, view) = (format!("/v1/slots/{fifteen}/holds"), format!("/v1/slots/{fifteen}"));
    let (status, held) = app.post(&holds, &web, "1", &asked(18, "anna@example.it", "d-1")).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let hold = format!("/v1/holds/{}", held["hold"].as_str().unwrap());
    let keep = async |key: &str, count: u32| {
        let body = json!({"lines": [{"category": "full", "count": count}]});
        app.ask(Method::PUT, &format!("{hold}/lines"), &web, key, &body).await
    };
    let (status, kept) = keep("2", 17).await;
    assert_eq!((status, &kept["people"], &kept["total_cents"]), (StatusCode::OK, &json!(17), &json!(17 * 1_200)), "{kept}");
    assert_eq!(keep("2", 17).await, (StatusCode::OK, kept), "a repeat");
    let seen = app.get(&view, &manager).await;
    assert_eq!([&seen["held"], &seen["resting"], &seen["available"]], [17, 1, 2], "{seen}");
    let read = app.get(&hold, &web).await;
    assert_eq!((&read["people"], &read["expires_at"]), (&json!(17), &held["expires_at"]), "it lives as long as before");
    let (status, refused) = keep("3", 18).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_lines")), "what was given back is gone: {refused}");
    let (status, refused) = app.post(&holds, &web, "4", &asked(1, "anna@example.it", "d-1")).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("hold_renewed")), "{refused}");
    app.pass(i64::from(REST_MAX_S)).await;
    let seen = app.get(&view, &manager).await;
    assert_eq!([&seen["held"], &seen["resting"], &seen["available"]], [17, 0, 3], "{seen}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_desk_gives_back_is_free_at_once_and_a_plan_says_how_long_places_rest() {
    let app = resting().await;
    let (web, office, fifteen) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 15));
    let view = format!("/v1/slots/{fifteen}");
    // A hold of the web, by somebody who stands at a desk by now; and one of the desk.
    for (key, by) in [("web", &web), ("desk", &office)] {
        let hold = app.hold(fifteen, by, key, json!([{"category": "full", "count": 20}])).await;
        let released = app.ask(Method::DELETE, &format!("/v1/holds/{hold}"), &office, &format!("release-{key}"), &Value::Null).await;
        assert_eq!(released.0, StatusCode::NO_CONTENT);
        let seen = app.get(&view, &office).await;
        assert_eq!([&seen["resting"], &seen["available"]], [0, 20], "{key}: {seen}");
    }
    // One that runs out rests.
    app.hold(fifteen, &web, "late", json!([{"category": "full", "count": 20}])).await;
    app.pass(900).await;
    let seen = app.get(&view, &office).await;
    assert_eq!([&seen["resting"], &seen["available"]], [20, 0], "{seen}");
    app.pass(i64::from(REST_MAX_S)).await;
    assert_eq!(app.get(&view, &office).await["available"], 20);
    let read = app.get("/v1/museums/torre/plan", &app.key(Role::Manager).await).await;
    assert_eq!(read["plan"]["routes"][0]["policy"]["rest_max_s"], REST_MAX_S, "{read}");
    app.stop().await;
}
