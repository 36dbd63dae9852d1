//! What sensors say: one reading, a batch with bad lines, and the live cap that follows.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};

use crate::support::{App, MARE, TORRE, expect, slot};

async fn send(app: &App, key: &str, kind: &str, body: String) -> (StatusCode, Value) {
    let response = app.request(Method::POST, "/v1/readings", key).header("Content-Type", kind).body(body).send().await.unwrap();
    let status = response.status();
    (status, expect(response, status).await)
}

#[actix_rt::test]
async fn a_reading_limits_sales_until_it_is_stale() {
    let app = App::start().await;
    let (sensor, desk) = (app.key(Role::Sensor).await, app.key(Role::BoxOffice).await);
    let nobody = app.request(Method::GET, "/v1/museums/torre/occupancy", &desk).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::NOT_FOUND);
    let reading = json!({"museum": "torre", "sensor": "door-1", "at": "2026-11-23T09:29:30+01:00", "inside": {"people": 52, "sd": 2}});
    let (status, taken) = send(&app, &sensor, "application/json", reading.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{taken}");
    let expected = json!({"museum": 1, "inside": 52, "sd": 2, "upper": 56, "at": "2026-11-23T08:29:30Z", "sensor": "door-1", "age_s": 30,
        "stale": false, "ceiling": 60, "quality": "good", "inside_now": 52, "upper_now": 56});
    assert_eq!(taken, expected);
    let mut with_today = expected.clone();
    with_today["today"] = json!([{"at": "2026-11-23T08:29:30Z", "inside": 52, "sd": 2}]);
    assert_eq!(app.get("/v1/museums/torre/occupancy", &desk).await, with_today);
    assert_eq!(send(&app, &sensor, "application/json", reading.to_string()).await, (status, taken), "sent again, it is known");
    let running = format!("/v1/slots/{}", slot(TORRE, 9));
    let seen = app.get(&running, &desk).await;
    assert_eq!((&seen["sellable"], &seen["available"], &seen["live"]["upper"]), (&json!(4), &json!(4), &json!(56)));
    app.pass(901).await;
    assert_eq!(app.get(&running, &desk).await["sellable"], 20, "a stale sensor falls back to the plan");
    assert_eq!(app.get("/v1/museums/torre/occupancy", &desk).await["stale"], true);
    app.stop().await;
}

#[actix_rt::test]
async fn a_reading_that_cannot_be_is_refused() {
    let app = App::start().await;
    let sensor = app.key_for(Role::Sensor, Museums::Only(vec![TORRE])).await;
    let good = json!({"museum": 1, "sensor": "door-1", "at": "2026-11-23T08:30:00Z", "entries": {"people": 3}});
    let (status, _) = send(&app, &sensor, "application/json", good.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    for (name, value, expected, code) in [
        ("at", json!("2026-11-23T08:29:00Z"), 409, "reading_out_of_order"),
        ("at", json!("2026-11-23T09:30:00Z"), 422, "reading_in_future"),
        ("at", json!("2026-11-23T07:00:00Z"), 422, "reading_stale"),
        ("at", json!("noon"), 422, "invalid"),
        ("museum", json!("mare"), 404, "not_found"),
        ("museum", json!("nowhere"), 404, "not_found"),
        ("inside", json!({"people": 3}), 422, "invalid"),
        ("entries", json!({"people": -3}), 422, "invalid"),
        ("who", json!("x"), 422, "invalid"),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let (status, problem) = send(&app, &sensor, "application/json", bad.to_string()).await;
        assert_eq!((status.as_u16(), &problem["code"]), (expected, &json!(code)), "{bad}: {problem}");
    }
    let long = format!("{good}{}", " ".repeat(64 * 1024));
    for (kind, body, expected) in [("text/plain", "x".to_owned(), 415), ("application/json", "{".to_owned(), 400), ("application/json", long, 413)] {
        assert_eq!(send(&app, &sensor, kind, body).await.0.as_u16(), expected, "{kind}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn each_line_of_a_batch_is_judged_on_its_own() {
    let app = App::start().await;
    let sensor = app.key_for(Role::Sensor, Museums::Only(vec![TORRE])).await;
    let line = |museum: &str, second: u32, people: u32| {
        json!({"museum": museum, "sensor": "door-1", "at": format!("2026-11-23T08:00:{second:02}Z"), "inside": {"people": people}}).to_string()
    };
    let lines = [
        line("torre", 1, 10),
        "not json".to_owned(),
        line("mare", 2, 10),
        String::new(),
        line("torre", 5, 12),
        line("torre", 4, 11),
        json!({"museum": "torre"}).to_string(),
        line("1", 6, 13),
    ];
    let (status, became) = send(&app, &sensor, "application/x-ndjson", lines.join("\n")).await;
    assert_eq!(status, StatusCode::OK, "{became}");
    assert_eq!(became["accepted"], 3);
    let rejected: Vec<(u64, &str)> =
        became["rejected"].as_array().unwrap().iter().map(|line| (line["line"].as_u64().unwrap(), line["code"].as_str().unwrap())).collect();
    assert_eq!(rejected, [(2, "malformed"), (3, "not_found"), (6, "reading_out_of_order"), (7, "invalid")]);
    assert_eq!(app.node().sensors().occupancy(TORRE).unwrap().inside.people, 13);
    assert_eq!(app.node().sensors().occupancy(MARE), None);
    app.stop().await;
}

#[actix_rt::test]
async fn a_batch_beyond_the_limit_says_how_far_it_was_taken() {
    let app = App::start().await;
    let sensor = app.key(Role::Sensor).await;
    let line = |i: u32| {
        let at = format!("2026-11-23T08:{:02}:{:02}.{:03}Z", i / 60_000, i / 1000 % 60, i % 1000);
        json!({"museum": 1, "sensor": "d", "at": at, "inside": {"people": i % 7}}).to_string()
    };
    let most: Vec<String> = (0..10_000).map(line).collect();
    let (status, became) = send(&app, &sensor, "application/x-ndjson", most.join("\n")).await;
    assert_eq!((status, &became), (StatusCode::OK, &json!({"accepted": 10_000, "rejected": []})));
    let more: Vec<String> = (10_000..20_001).map(line).collect();
    let (status, problem) = send(&app, &sensor, "application/x-ndjson", more.join("\n")).await;
    assert_eq!(
        (status.as_u16(), &problem["code"], &problem["accepted"], &problem["lines"]),
        (413, &json!("body_too_large"), &json!(10_000), &json!(10_000))
    );
    app.stop().await;
}
