//! Probes and figures.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use tornello_api::server::ServerSettings;
use tornello_engine::ids::HoldId;

use crate::support::{App, TORRE, settings, slot};

#[actix_rt::test]
async fn status_says_where_the_journal_ends() {
    let app = App::start().await;
    let response = app.request(Method::GET, "/status", "").send().await.unwrap();
    assert_eq!((response.status(), &response.headers()["content-type"]), (StatusCode::OK, &"application/problem+json".parse().unwrap()));
    let status: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((&status["status"], &status["title"]), (&json!(200), &json!("it works")));
    assert_eq!(status["journal"]["batch"], app.node().head().number);
    assert_eq!(status["journal"]["hash"].as_str().unwrap().len(), 64);
    assert_eq!(status["started"], json!({"batch": 0, "records": 0}));
    app.stop().await;
}

#[actix_rt::test]
async fn figures_count_requests_by_route_and_commands_by_outcome() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let path = format!("/v1/slots/{}/holds", slot(TORRE, 15));
    for (people, status) in [(1, StatusCode::CREATED), (20, StatusCode::CONFLICT)] {
        let (found, _) = app.post(&path, &web, &people.to_string(), &json!({"lines": [{"category": "full", "count": people}]})).await;
        assert_eq!(found, status);
    }
    let text = app.request(Method::GET, "/metrics", "").send().await.unwrap().text().await.unwrap();
    for figure in [
        "http_requests_total{method=\"POST\",route=\"/v1/slots/{slot}/holds\",status=\"201\"}",
        "http_request_seconds_bucket{method=\"POST\",route=\"/v1/slots/{slot}/holds\",le=\"0.01\"}",
        "tornello_commands_total{route=\"/v1/slots/{slot}/holds\",outcome=\"done\"}",
        "tornello_commands_total{route=\"/v1/slots/{slot}/holds\",outcome=\"not_enough_places\"}",
        "tornello_journal_batches_total",
        "tornello_slot_owners",
        "tornello_slots_on_board",
        "tornello_views_lag_batches",
    ] {
        assert!(text.contains(figure), "{figure} is missing in:\n{text}");
    }
    for figure in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(text.contains(&format!("# HELP {figure} ")), "nobody is told what {figure} says");
    }
    assert!(!text.contains(&web[3..16]), "no key is a label");
    app.stop().await;
}

/// Asserts that there is a figure.
async fn counts(app: &App, figure: &str) {
    let text = app.request(Method::GET, "/metrics", "").send().await.unwrap().text().await.unwrap();
    assert!(text.contains(figure), "{figure} is missing in:\n{text}");
}

#[actix_rt::test]
async fn callers_with_a_bad_key_are_counted_and_every_answer_has_its_headers() {
    let app = App::start().await;
    let good = app.key(Role::Web).await;
    for key in ["tn_nonsense", "tn_nonsense", good.as_str()] {
        let response = app.request(Method::GET, "/v1/museums", key).send().await.unwrap();
        assert_eq!(response.status() == StatusCode::OK, key == good, "{key}");
        let headers = response.headers();
        assert!(
            ["request-id", "cache-control", "x-content-type-options", "ratelimit-limit", "ratelimit-reset"]
                .iter()
                .all(|name| headers.contains_key(*name))
        );
        let figure = |name| headers[name].to_str().unwrap().parse::<u32>().unwrap();
        assert!(figure("ratelimit-remaining") < figure("ratelimit-limit"), "{key} counts");
    }
    let door = app.request(Method::GET, "/", &good).send().await.unwrap();
    assert!(door.url().path().starts_with("/docs/"), "the front door leads to the docs, not to {}", door.url());
    app.stop().await;
}

#[actix_rt::test]
async fn a_wrong_method_is_told_apart_from_nothing_there() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    for (method, path, status, allow) in [
        (Method::DELETE, "/v1/museums", 405, Some("GET, HEAD, POST")),
        (Method::POST, "/v1/museums/torre/plan", 405, Some("GET, HEAD, PUT")),
        (Method::PUT, "/v1/admissions", 405, Some("POST")),
        (Method::GET, "/v1/museums/torre/plans", 404, None),
        (Method::GET, "/v1/", 404, None),
    ] {
        let response = app.request(method.clone(), path, &manager).send().await.unwrap();
        let told = response.headers().get("allow").map(|allow| allow.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), told.as_deref()), (status, allow), "{method} {path}");
    }
    counts(&app, "tornello_commands_total{route=\"/v1/museums\",outcome=\"method_not_allowed\"}").await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_head_is_what_get_answers_without_its_body() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    for (path, key, status) in [
        ("/docs/problems", "", 200),
        ("/v1/museums", manager.as_str(), 200),
        ("/v1/museums/torre/plan", manager.as_str(), 200),
        ("/v1/museums/nowhere", manager.as_str(), 404),
        ("/v1/museums", "tn_nonsense", 401),
        ("/v1/admissions", manager.as_str(), 405),
    ] {
        let head = app.request(Method::HEAD, path, key).send().await.unwrap();
        let read = app.request(Method::GET, path, key).send().await.unwrap();
        assert_eq!((head.status().as_u16(), read.status().as_u16()), (status, status), "{path}");
        for name in ["content-type", "content-length", "etag", "allow"] {
            assert_eq!(head.headers().get(name), read.headers().get(name), "{name} of {path}");
        }
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
    // What has no end is not waited for.
    let live = app.request(Method::HEAD, "/v1/live?museum=torre", &manager).send().await.unwrap();
    assert_eq!((live.status(), &live.headers()["content-type"]), (StatusCode::OK, &"text/event-stream".parse().unwrap()));
    assert_eq!(live.text().await.unwrap(), "");
    app.stop().await;
}

#[actix_rt::test]
async fn a_request_has_one_idempotency_key() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let path = format!("/v1/slots/{}/holds", slot(TORRE, 15));
    let body = json!({"lines": [{"category": "full", "count": 1}]});
    for (second, status) in [("b", StatusCode::BAD_REQUEST), ("a", StatusCode::CREATED)] {
        let request = app.request(Method::POST, &path, &web).header("Idempotency-Key", "a").header("Idempotency-Key", second);
        assert_eq!(request.json(&body).send().await.unwrap().status(), status, "a and {second}");
    }
    app.stop().await;
}

/// What is packed as zlib has it (RFC 1950, 1951), and no smaller.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    let length = bytes.len() as u16;
    [&[0x78_u8, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes, &(b << 16 | a).to_be_bytes()].concat()
}

/// A few kilobytes could be tens of megabytes, which would be in memory before anybody looks how large they are.
#[actix_rt::test]
async fn no_body_is_unpacked() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let body = json!({"lines": [{"category": "full", "count": 1}]}).to_string().into_bytes();
    let holds = format!("/v1/slots/{}/holds", slot(TORRE, 15));
    for (method, path, key, coding, status) in [
        (Method::POST, holds.as_str(), &web, "identity", 201),
        (Method::POST, holds.as_str(), &web, "deflate", 415),
        (Method::POST, holds.as_str(), &web, "gzip", 415),
        (Method::PUT, "/v1/museums/torre/plan", &manager, "deflate", 415),
    ] {
        let request = app.request(method, path, key).header("Idempotency-Key", coding).header("Content-Encoding", coding);
        let sent = if coding == "identity" { body.clone() } else { packed(&body) };
        let answer = request.header("Content-Type", "application/json").body(sent).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{coding} to {path}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_crowded_house_turns_changes_away_and_neither_reads_nor_gates() {
    let app = App::start_with(ServerSettings { in_flight: 0, ..settings() }).await;
    let (web, gate) = (app.key(Role::Web).await, app.key(Role::Gate).await);
    let slot = slot(TORRE, 15);
    let body = json!({"lines": [{"category": "full", "count": 1}]});
    let hold = app.request(Method::POST, &format!("/v1/slots/{slot}/holds"), &web).header("Idempotency-Key", "1").json(&body).send().await.unwrap();
    assert_eq!((hold.status(), &hold.headers()["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap()));
    assert!(hold.headers().contains_key("request-id"));
    let problem: Value = serde_json::from_str(&hold.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "busy");
    app.get("/v1/museums/torre/availability", &web).await;
    let ticket = HoldId::new(slot, 1).ticket(0).to_string();
    let (status, answer) = app.post("/v1/admissions", &gate, "1", &json!({"ticket": ticket, "gate": "north", "museum": "torre"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("unknown_ticket")), "{answer}");
    // What was not let in is not counted as done.
    counts(&app, "tornello_commands_total{route=\"/v1/slots/{slot}/holds\",outcome=\"busy\"}").await;
    app.stop().await;
}
