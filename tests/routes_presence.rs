//! People in and around a museum over HTTP: doors that count both ways with gates beside them, zones, and microcells whose small counts are never told.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_actors::nightly;

use crate::routes_sales::{desk as at_desk, ticket};
use crate::support::{App, TORRE, expect, slot};

async fn read(app: &App, sensor: &str, reading: Value) -> Value {
    let response = app.request(Method::POST, "/v1/readings", sensor).json(&reading).send().await.unwrap();
    expect(response, StatusCode::OK).await
}

fn at(app: &App) -> String {
    app.node().now().to_string()
}

#[actix_rt::test]
async fn doors_that_count_both_ways_are_followed_and_limit_sales() {
    let app = App::start().await;
    let (sensor, desk) = (app.key(Role::Sensor).await, app.key(Role::BoxOffice).await);
    for minute in 0..20 {
        let flow = json!({"museum": "torre", "sensor": "door-1", "at": at(&app), "flow": {"entered": 4, "left": if minute >= 15 { 2 } else { 0 }}});
        let seen = read(&app, &sensor, flow).await;
        assert_eq!(seen["quality"], "uncalibrated");
        app.pass(60).await;
    }
    let occupancy = app.get("/v1/museums/torre/occupancy", &desk).await;
    let (inside, sd) = (occupancy["inside"].as_u64().unwrap(), occupancy["sd"].as_u64().unwrap());
    assert!((60..=80).contains(&inside) && sd >= 2, "80 came and 10 went: {occupancy}");
    assert!(occupancy["today"].as_array().unwrap().len() >= 4, "{occupancy}");
    // The ceiling is 60: nothing more is sold for the running slot.
    let head = app.node().board().head(slot(TORRE, 9)).unwrap();
    assert_eq!(head.places.available(tornello_engine::channel::Channel::BoxOffice, app.node().now()).0, 0);
    let twice = json!({"museum": "torre", "sensor": "door-1", "at": "2026-11-23T08:31:00Z", "flow": {"entered": 3, "left": 0}});
    let response = app.request(Method::POST, "/v1/readings", &sensor).json(&twice).send().await.unwrap();
    assert_eq!(expect(response, StatusCode::CONFLICT).await["code"], "reading_out_of_order");
    // After a restart those who were inside still are, as the slots were told.
    let app = app.restart().await;
    let flow = json!({"museum": "torre", "sensor": "door-1", "at": at(&app), "flow": {"entered": 1, "left": 0}});
    let seen = read(&app, &sensor, flow).await["inside"].as_u64().unwrap();
    assert!(seen.abs_diff(inside) <= 5, "{seen} after {inside}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_door_that_is_dead_is_replaced_by_the_gates_and_its_day_teaches_nothing() {
    let app = App::start().await;
    let (sensor, desk, gate) = (app.key(Role::Sensor).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await);
    let body = json!({"lines": [{"category": "full", "count": 12}], "settlement": at_desk("R1")});
    let (status, sold) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 9)), &desk, "s", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let door = |app: &App| json!({"museum": "torre", "sensor": "door-1", "at": at(app), "flow": {"entered": 0, "left": 0}});
    read(&app, &sensor, door(&app)).await;
    let sale = sold["sale"].as_str().unwrap().to_owned();
    for number in 0..12 {
        let body = json!({"ticket": ticket(&sale, number), "gate": "north", "museum": "torre"});
        let (status, admitted) = app.post("/v1/admissions", &gate, &format!("a{number}"), &body).await;
        assert_eq!(status, StatusCode::OK, "{admitted}");
        app.pass(60).await;
        app.node().pass_minute().await;
    }
    app.pass(60).await;
    let seen = read(&app, &sensor, door(&app)).await;
    assert_eq!(seen["quality"], "dead_entries", "{seen}");
    let inside = seen["inside"].as_u64().unwrap();
    assert!((8..=12).contains(&inside), "twelve came by the gates: {seen}");
    app.pass(24 * 3_600).await;
    let node = app.shared_node();
    nightly::night(&node).await.unwrap().await.unwrap();
    let detail = node.attended().get(TORRE).details().values().next().and_then(|detail| detail.doors).unwrap();
    assert!(detail.dead_minutes > 0 && detail.scanned == 12, "{detail:?}");
    assert!(!tornello_actors::attended::balance_of(&node.attended().get(TORRE)).is_calibrated());
    drop(node);
    app.stop().await;
}

#[actix_rt::test]
async fn people_around_are_told_only_when_they_are_many() {
    let app = App::start().await;
    let (sensor, ministry) = (app.key(Role::Sensor).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/presence";
    assert_eq!(app.request(Method::GET, path, &ministry).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let cell = |sensor: &str, operator: &str, devices: u32| json!({"museum": "torre", "sensor": sensor, "at": at(&app), "cell": {"operator": operator, "devices": devices, "share_permille": 300, "share_sd_permille": 10}});
    assert_eq!(read(&app, &sensor, cell("cell-1", "op-a", 14)).await, json!({"accepted": 1, "rejected": []}));
    let few = app.get(path, &ministry).await;
    assert_eq!((few.get("present"), few.get("conversion"), &few["suppressed_below"]), (None, None, &json!(15)), "{few}");
    read(&app, &sensor, cell("cell-2", "op-a", 286)).await;
    read(&app, &sensor, cell("cell-1", "op-b", 3)).await;
    let present = app.get(path, &ministry).await["present"].clone();
    assert_eq!(
        (&present["people"], &present["operators"]),
        (&json!(1_000), &json!(1)),
        "cells of an operator add up, small ones of another are not used"
    );
    assert_eq!(
        app.request(Method::GET, "/v1/museums/torre/occupancy", &ministry).send().await.unwrap().status(),
        StatusCode::NOT_FOUND,
        "nobody is inside by that"
    );
    for bad in [json!({"operator": "op-a", "devices": 1, "share_permille": 0, "share_sd_permille": 0}), json!({"operator": "op-a", "devices": 1})] {
        let body = json!({"museum": "torre", "sensor": "cell-3", "at": at(&app), "cell": bad});
        let response = app.request(Method::POST, "/v1/readings", &sensor).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let zones = |zone: &str, people: u32| json!({"museum": "torre", "sensor": zone, "at": at(&app), "zone": {"people": people, "sd": 3}});
    read(&app, &sensor, zones("hall", 10)).await;
    let both = read(&app, &sensor, zones("garden", 7)).await;
    assert_eq!((&both["inside"], &both["sd"]), (&json!(17), &json!(5)), "all parts together are the building");
    app.stop().await;
}

#[actix_rt::test]
async fn the_share_of_people_around_who_come_in_does_not_hang_on_who_asks() {
    let app = App::start().await;
    let (sensor, desk, gate) = (app.key(Role::Sensor).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await);
    let ministry = app.key(Role::Ministry).await;
    let cell = |app: &App| json!({"museum": "torre", "sensor": "cell-1", "at": at(app), "cell": {"operator": "op-a", "devices": 300, "share_permille": 300, "share_sd_permille": 10}});
    read(&app, &sensor, cell(&app)).await;
    app.node().pass_minute().await;
    let body = json!({"lines": [{"category": "full", "count": 15}], "settlement": at_desk("R1")});
    let (status, sold) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 9)), &desk, "s", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let sale = sold["sale"].as_str().unwrap().to_owned();
    for number in 0..15 {
        let body = json!({"ticket": ticket(&sale, number), "gate": "north", "museum": "torre"});
        assert_eq!(app.post("/v1/admissions", &gate, &format!("a{number}"), &body).await.0, StatusCode::OK);
    }
    app.pass(600).await;
    app.node().pass_minute().await;
    read(&app, &sensor, cell(&app)).await;
    // Nobody has asked before.
    let seen = app.get("/v1/museums/torre/presence", &ministry).await;
    assert_eq!((&seen["present"]["people"], &seen["conversion"]["share"]), (&json!(1_000), &json!(0.015)), "{seen}");
    app.stop().await;
}
