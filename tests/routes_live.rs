//! Watching live: first how things are, then a hold as it happens; the stream ends with its key.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::civil::time;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::server::ServerSettings;
use tornello_engine::envelope::Outcome;
use tornello_engine::plan::Session;

use crate::routes_fraud::{look, sell_assessed};
use crate::support::{App, MARE, TORRE, plan, settings, slot};

/// Reads events one by one, each within some seconds.
struct Events {
    response: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>>>>,
    rest: String,
    /// The id that was told last.
    last: String,
}

impl Events {
    fn new(response: Response) -> Self {
        Self { response: Box::pin(response.bytes_stream().map(|chunk| chunk.unwrap().to_vec())), rest: String::new(), last: String::new() }
    }

    /// The next event as name and data; a comment has no name. None at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
                let event = (field("event: "), serde_json::from_str(&field("data: ")).unwrap_or(Value::Null));
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last = id.to_owned();
                }
                self.rest = rest.to_owned();
                return Some(event);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.next()).await.expect("an event in time")?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that is not a comment.
    async fn named(&mut self) -> (String, Value) {
        loop {
            match self.next().await.expect("the stream goes on") {
                (name, _) if name.is_empty() => {}
                event => return event,
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if wanted(&name, &data) {
                return data;
            }
        }
    }
}

#[actix_rt::test]
async fn a_watcher_sees_the_day_and_then_what_happens() {
    let app = App::start().await;
    let (web, sensor) = (app.key(Role::Web).await, app.key(Role::Sensor).await);
    // Compression would hold events back: it is offered here, and not taken.
    let request = app.request(Method::GET, "/v1/live?museum=torre", &web).header("Accept-Encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for (name, value) in [("content-type", "text/event-stream"), ("x-accel-buffering", "no"), ("content-encoding", "identity")] {
        assert_eq!(response.headers()[name], value);
    }
    let mut events = Events::new(response);
    for hour in 9..19 {
        let (name, data) = events.named().await;
        assert_eq!((name.as_str(), &data["slot"], &data["seq"]), ("slot", &json!(slot(TORRE, hour).to_string()), &json!(0)));
    }
    let fifteen = slot(TORRE, 15).to_string();
    let (status, _) = app.post(&format!("/v1/slots/{fifteen}/holds"), &web, "h", &json!({"lines": [{"category": "full", "count": 4}]})).await;
    assert_eq!(status, StatusCode::CREATED);
    let (name, change) = events.named().await;
    assert_eq!((name.as_str(), &change["slot"], &change["held"], &change["available"]), ("slot", &json!(fifteen), &json!(4), &json!(16)));
    assert_eq!((&change["seq"], &change["at"]), (&json!(1), &json!("2026-11-23T08:30:00Z")));
    let reading = json!({"museum": "torre", "sensor": "door-1", "at": "2026-11-23T08:30:00Z", "inside": {"people": 9}});
    assert_eq!(app.post("/v1/readings", &sensor, "r", &reading).await.0, StatusCode::OK);
    let occupancy = events.until(|name, _| name == "occupancy").await;
    assert_eq!((&occupancy["inside"], &occupancy["museum"]), (&json!(9), &json!(1)));
    drop(events);
    app.stop().await;
}

/// Whoever names a museum again and again sees its day once.
#[actix_rt::test]
async fn a_museum_that_is_named_twice_is_shown_once() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut events = Events::new(app.request(Method::GET, "/v1/live?museum=torre,1,mare,torre", &web).send().await.unwrap());
    let mut shown = Vec::new();
    for _ in 0..20 {
        shown.push(events.named().await.1["slot"].as_str().unwrap().to_owned());
    }
    let expected: Vec<String> = [TORRE, MARE].into_iter().flat_map(|museum| (9..19).map(move |hour| slot(museum, hour).to_string())).collect();
    assert_eq!(shown, expected);
    app.hold(slot(TORRE, 15), &web, "h", json!([{"category": "full", "count": 4}])).await;
    assert_eq!(events.named().await.1["held"], json!(4), "and then what happens");
    drop(events);
    app.stop().await;
}

/// When the slots start that are shown first to who begins to watch at half past midnight in Rome, so many of them; every day has these evening sessions of one route.
async fn shown_after_midnight(evening: impl Fn(&mut Session), count: usize) -> Vec<String> {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut late = plan();
    late.routes[0].week.iter_mut().flatten().for_each(evening);
    app.set_plan(late).await;
    app.pass(15 * 3_600).await;
    let mut events = Events::new(app.request(Method::GET, "/v1/live?museum=torre", &web).send().await.unwrap());
    let mut shown = Vec::new();
    for _ in 0..count {
        let (name, data) = events.named().await;
        assert_eq!(name, "slot", "{data}");
        shown.push(data["starts_at"].as_str().unwrap().to_owned());
    }
    drop(events);
    app.stop().await;
    shown
}

#[actix_rt::test]
async fn who_watches_after_midnight_is_shown_the_slots_of_the_night_that_runs() {
    let hours = |session: &mut Session| (session.opens, session.closes, session.last_entry) = (time(20, 0, 0, 0), time(2, 0, 0, 0), time(1, 0, 0, 0));
    // Those that run and come, and none of the evening that are over; then those of the next evening.
    let expected = ["23T23", "24T00", "24T19", "24T20", "24T21", "24T22", "24T23", "25T00"].map(|hour| format!("2026-11-{hour}:00:00Z"));
    assert_eq!(shown_after_midnight(hours, expected.len()).await, expected);
}

#[actix_rt::test]
async fn after_midnight_a_watcher_sees_the_slot_that_still_runs_before_those_of_the_new_day() {
    let hours = |session: &mut Session| {
        (session.opens, session.closes, session.last_entry) = (time(21, 0, 0, 0), time(1, 0, 0, 0), time(23, 0, 0, 0));
        session.slot_minutes = 120;
    };
    let expected = ["2026-11-23T22:00:00Z", "2026-11-24T20:00:00Z", "2026-11-24T22:00:00Z"];
    assert_eq!(shown_after_midnight(hours, expected.len()).await, expected);
}

#[actix_rt::test]
async fn fifty_museums_are_watched_by_one_request_and_no_more() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    for (count, expected) in [(50, StatusCode::NOT_FOUND), (51, StatusCode::BAD_REQUEST)] {
        // The last one is not there: of fifty each is looked for.
        let museums = "torre,".repeat(count - 1) + "nowhere";
        let response = app.request(Method::GET, &format!("/v1/live?museum={museums}"), &web).send().await.unwrap();
        assert_eq!(response.status(), expected, "{count}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn it_beats_and_ends_when_the_key_is_revoked() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let response = app.request(Method::GET, "/v1/live?museum=mare", &web).send().await.unwrap();
    let mut events = Events::new(response);
    // The first comment is the pause before a new try, the second one a heartbeat.
    events.until(|name, _| name.is_empty()).await;
    events.until(|name, _| name.is_empty()).await;
    let keys = &app.node().files().unwrap().keys;
    let key = keys.authenticate(&web, app.node().now()).unwrap();
    keys.revoke(key.id, app.node().now()).await.unwrap();
    assert_eq!(events.until(|name, _| name == "end").await, json!({"reason": "key_revoked"}));
    assert!(events.next().await.is_none());
    app.stop().await;
}

#[actix_rt::test]
async fn nothing_that_happens_is_told_by_a_key_that_was_revoked() {
    // Within this test no beat comes that would look at the key.
    let app = App::start_with(ServerSettings { heartbeat: Duration::from_secs(3_600), ..settings() }).await;
    let (web, desk) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let mut events = Events::new(app.request(Method::GET, "/v1/live?museum=torre", &web).send().await.unwrap());
    for _ in 9..19 {
        assert_eq!(events.named().await.0, "slot");
    }
    let keys = &app.node().files().unwrap().keys;
    let id = keys.authenticate(&web, app.node().now()).unwrap().id;
    keys.revoke(id, app.node().now()).await.unwrap();
    app.hold(slot(TORRE, 15), &desk, "h", json!([{"category": "full", "count": 4}])).await;
    assert_eq!(events.named().await, ("end".to_owned(), json!({"reason": "key_revoked"})));
    assert!(events.next().await.is_none());
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_watches_by_a_secret_that_was_exchanged_is_sent_away() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut events = Events::new(app.request(Method::GET, "/v1/live?museum=mare", &web).send().await.unwrap());
    events.until(|name, _| name.is_empty()).await;
    let keys = &app.node().files().unwrap().keys;
    let id = keys.authenticate(&web, app.node().now()).unwrap().id;
    keys.renew(id, None, app.node().now()).await.unwrap();
    assert_eq!(events.until(|name, _| name == "end").await, json!({"reason": "key_unknown"}));
    assert!(events.next().await.is_none());
    app.stop().await;
}

#[actix_rt::test]
async fn a_watcher_who_is_too_slow_is_told_and_shown_anew() {
    let app = App::start().await;
    let keys = [app.key(Role::Web).await, app.key_for(Role::Web, Museums::Only(vec![TORRE])).await];
    let mut watchers = Vec::new();
    for key in &keys {
        watchers.push(app.request(Method::GET, "/v1/live?museum=torre", key).send().await.unwrap());
    }
    let node = Arc::clone(&app.shared_node());
    let fifteen = slot(TORRE, 15);
    let known = node.museums().get(TORRE).unwrap();
    let head = tornello_actors::board::SlotHead::of(&tornello_engine::slot::Slot::planned(known.museum.opening(fifteen).unwrap()));
    // Published faster than anybody reads: buffers of the connection fill, then the feed.
    for _ in 0..40_000 {
        node.board().publish(fifteen, head);
    }
    drop((known, node));
    // What is lost is of all museums: a key of one is told that something is, and not how much.
    for (response, is_counted) in watchers.into_iter().zip([true, false]) {
        let mut events = Events::new(response);
        let lagged = events.until(|name, _| name == "lagged").await;
        assert_eq!(lagged["lost"].as_u64().unwrap() > 0, is_counted);
        let first = events.until(|name, _| name == "slot").await;
        assert_eq!(first["slot"], slot(TORRE, 9).to_string(), "how things are follows");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn who_comes_again_is_told_of_the_cases_that_were_opened_meanwhile() {
    let app = App::start().await;
    let analyst = app.key(Role::Analyst).await;
    let watch = async |museum: &str, last: &str| {
        let request = app.request(Method::GET, &format!("/v1/live?museum={museum}"), &analyst);
        let request = if last.is_empty() { request } else { request.header("Last-Event-ID", last) };
        Events::new(request.send().await.unwrap())
    };
    let mut events = watch("torre", "").await;
    events.until(|name, _| name == "slot").await;
    let first = events.last.clone();
    // The connection is lost, and a case is opened.
    drop(events);
    sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 90).await;
    look(&app).await;
    let mut events = watch("torre", &first).await;
    assert_eq!(events.until(|name, _| ["lagged", "fraud_case"].contains(&name)).await["score"], 90);
    let second = events.last.clone();
    drop(events);
    sell_assessed(&app, slot(TORRE, 15), 2, 71, Outcome::Review, 55).await;
    look(&app).await;
    // What was heard is not told again, nor is anything of another museum.
    for (museum, last, scores) in [("torre", second.as_str(), vec![55]), ("torre", &first, vec![90, 55]), ("mare", &first, vec![])] {
        let mut events = watch(museum, last).await;
        // The first comment is the pause before a new try, the one behind what was missed a heartbeat.
        events.until(|name, _| name.is_empty()).await;
        for score in scores {
            assert_eq!(events.until(|name, _| ["lagged", "fraud_case"].contains(&name)).await["score"], score, "{museum}");
        }
        assert_eq!(events.until(|name, _| ["lagged", "fraud_case", ""].contains(&name)).await, Value::Null, "{museum}");
    }
    // Another process told it: how many are lost nobody knows, and what this one remembers follows.
    let mut events = watch("torre", "0-7").await;
    assert_eq!(events.until(|name, _| ["lagged", "fraud_case"].contains(&name)).await, json!({"lost": 0}));
    assert_eq!(events.until(|name, _| name == "fraud_case").await["score"], 90);
    drop(events);
    app.stop().await;
}
