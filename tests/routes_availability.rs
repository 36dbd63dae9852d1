//! What can be booked: it agrees with what was sold, at once, and each channel sees its own.

use jiff::civil::date;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{MuseumId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{Command, Profile};
use tornello_engine::tariff::{FreeDayBooking, FreeDays, Tariff};

use crate::support::{App, TORRE, code, plan, slot, today};

async fn line(app: &App, key: &str, hour: i8) -> Value {
    let list = app.get("/v1/museums/torre/availability", key).await;
    let slot = slot(TORRE, hour).to_string();
    list["items"].as_array().unwrap().iter().find(|line| line["slot"] == slot.as_str()).unwrap().clone()
}

#[actix_rt::test]
async fn a_day_is_listed_and_agrees_with_what_was_held() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let day = app.get("/v1/museums/torre/availability", &web).await;
    let items = day["items"].as_array().unwrap();
    assert_eq!((items.len(), &day["channel"], &day["as_of"]), (10, &json!("web"), &json!("2026-11-23T08:30:00Z")));
    // Half past nine: the web shop's sales of the slot that runs are over, those of the next one are not.
    assert_eq!((&items[0]["local_start"], &items[0]["status"]), (&json!("2026-11-23T09:00:00+01:00"), &json!("over")));
    assert_eq!((&items[1]["available"], &items[1]["status"], &items[1]["route"]), (&json!(20), &json!("available"), &json!("main")));
    assert!(items[1].get("changed_at").is_none());
    let path = format!("/v1/slots/{}/holds", slot(TORRE, 15));
    for (left, people, status) in [(1, 19, "few"), (0, 1, "sold_out")] {
        let (made, hold) = app.post(&path, &web, &format!("{people}"), &json!({"lines": [{"category": "full", "count": people}]})).await;
        assert_eq!(made, StatusCode::CREATED, "{hold}");
        let line = line(&app, &web, 15).await;
        assert_eq!((&line["available"], &line["status"]), (&json!(left), &json!(status)), "fresh after each hold");
    }
    assert_eq!(line(&app, &web, 15).await["limited_by"], "capacity");
    app.pass(901).await;
    let (made, _) = app.post(&path, &web, "after", &json!({"lines": [{"category": "full", "count": 20}]})).await;
    assert_eq!(made, StatusCode::CREATED, "holds have expired");
    app.stop().await;
}

#[actix_rt::test]
async fn a_channel_sees_its_own_and_staff_see_all() {
    let app = App::start().await;
    let (web, desk, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let quotas = json!({"quotas": [{"channel": "group", "reserved": 15}]});
    let (status, set) = app.ask(Method::PUT, &format!("/v1/slots/{}/quotas", slot(TORRE, 15)), &manager, "q", &quotas).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    assert_eq!(line(&app, &web, 15).await["available"], 5);
    let other = app.request(Method::GET, "/v1/museums/torre/availability?channel=group", &web).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::FORBIDDEN);
    let groups = app.get("/v1/museums/torre/availability?channel=group", &desk).await;
    assert_eq!(groups["items"][6]["available"], 20);
    app.stop().await;
}

#[actix_rt::test]
async fn a_calendar_has_a_line_for_each_day() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let response = app.request(Method::GET, "/v1/museums/torre/calendar?from=2026-12-05&to=2027-03-31", &web).send().await.unwrap();
    for (name, value) in [("age", "0"), ("cache-control", "private, max-age=1"), ("vary", "Authorization")] {
        assert_eq!(response.headers()[name], value);
    }
    let calendar: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let days = calendar["items"].as_array().unwrap();
    assert_eq!(days.len(), 117);
    assert_eq!(days[0], json!({"date": "2026-12-05", "slots": 10, "capacity": 200, "available": 200, "status": "available"}));
    assert_eq!(days[1]["free_day"], "first_sunday");
    assert_eq!((&days[116]["status"], &days[116]["available"]), (&json!("not_open"), &json!(0)), "sales begin 90 days before");
    let year = app.get("/v1/museums/torre/calendar?from=2026-12-01&to=2028-01-04&route=main", &web).await;
    assert_eq!(year["items"].as_array().unwrap().len(), 400);
    for query in [
        "calendar?from=2026-12-01&to=2028-01-05",
        "calendar?from=2026-12-02&to=2026-12-01",
        "availability?from=2026-12-01&to=2027-01-01",
        "availability?route=nowhere",
        "availability?from=-009999-01-01&to=9999-12-31",
    ] {
        let response = app.request(Method::GET, &format!("/v1/museums/torre/{query}"), &web).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    for query in ["availability?from=yesterday", "availability?day=2026-12-01", "availability?channel=pigeon"] {
        let response = app.request(Method::GET, &format!("/v1/museums/torre/{query}"), &web).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_route_of_some_weeks_is_found_in_the_calendar_of_a_longer_time() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut exhibition = plan();
    let mut rare = exhibition.routes[0].clone();
    (rare.id, rare.code) = (RouteId(2), code("rare"));
    exhibition.routes.push(rare);
    for (n, valid_from, plan) in [(1, "2026-12-01", exhibition), (2, "2026-12-08", plan())] {
        let set = Command::SetPlan { valid_from: valid_from.parse().unwrap(), plan };
        app.node().museum(TORRE, Envelope::by_system(Digest(800 + n)), set).await.unwrap();
    }
    let calendar = app.get("/v1/museums/torre/calendar?from=2026-11-25&to=2026-12-20&route=rare", &web).await;
    let days = calendar["items"].as_array().unwrap();
    let open: Vec<&str> = days.iter().filter(|day| day["slots"] == 10).map(|day| day["date"].as_str().unwrap()).collect();
    assert_eq!((days.len(), open.len(), open[0], open[6]), (26, 7, "2026-12-01", "2026-12-07"), "{calendar}");
    let list = app.get("/v1/museums/torre/availability?from=2026-11-25&to=2026-12-20&route=rare", &web).await;
    let items = list["items"].as_array().unwrap();
    assert!(items.len() == 70 && items.iter().all(|line| line["route"] == "rare"), "{list}");
    let never = app.request(Method::GET, "/v1/museums/torre/calendar?from=2026-12-10&to=2026-12-20&route=rare", &web).send().await.unwrap();
    assert_eq!(never.status(), StatusCode::UNPROCESSABLE_ENTITY);
    app.stop().await;
}

#[actix_rt::test]
async fn a_day_of_free_entry_that_nobody_books_has_places_on_site_alone() {
    let app = App::start().await;
    let (web, desk) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let free = date(2026, 11, 24);
    let tariff = Tariff {
        free_days: FreeDays { dates: vec![free], ..FreeDays::default() },
        free_day_booking: FreeDayBooking::Impossible,
        ..Tariff::state_museum(Cents::new(1_200))
    };
    let set = Command::SetTariff { valid_from: today(), tariff };
    app.node().museum(TORRE, Envelope::by_system(Digest(810)), set).await.unwrap();
    let eleven = SlotId::new(TORRE, RouteId(1), calendar::instant(free.at(11, 0, 0, 0)));

    let refused = app.post(&format!("/v1/slots/{eleven}/holds"), &web, "h", &json!({"lines": [{"category": "full", "count": 1}]})).await;
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_booking_on_free_day")),
        "what the list is held against"
    );
    for (key, available, status, limited_by) in [(&web, 0, "reserved", json!("own_limit")), (&desk, 20, "available", Value::Null)] {
        let list = app.get(&format!("/v1/museums/torre/availability?from={free}"), key).await;
        let line = &list["items"][2];
        assert_eq!((&line["slot"], &line["available"]), (&json!(eleven.to_string()), &json!(available)), "{line}");
        assert_eq!((&line["status"], &line["limited_by"]), (&json!(status), &limited_by), "{line}");
        let calendar = app.get("/v1/museums/torre/calendar?from=2026-11-24&to=2026-11-25", key).await;
        let [day, next] = [&calendar["items"][0], &calendar["items"][1]];
        assert_eq!((&day["available"], &day["status"], &day["free_day"]), (&json!(10 * available), &json!(status), &json!("local")), "{day}");
        assert_eq!((&next["available"], &next["status"]), (&json!(200), &json!("available")), "{next}");
        let seen = app.get(&format!("/v1/slots/{eleven}"), key).await;
        assert_eq!((&seen["available"], &seen["status"]), (&json!(available), &json!(status)), "{seen}");
        for of in seen["channels"].as_array().unwrap() {
            let on_site = ["box_office", "kiosk"].contains(&of["channel"].as_str().unwrap());
            assert_eq!(of["available"], if on_site { 20 } else { 0 }, "{of}");
        }
    }
    // Whoever finds the evening before full is led to no slot that nobody lets them have.
    let leads_there = |channel| app.node().near(slot(TORRE, 18), channel).iter().any(|near| near.slot == eleven);
    assert_eq!((leads_there(Channel::Web), leads_there(Channel::BoxOffice)), (false, true));
    app.stop().await;
}

#[actix_rt::test]
async fn a_museum_without_a_tariff_has_not_begun_to_sell() {
    let app = App::start().await;
    let (desk, number) = (app.key(Role::BoxOffice).await, MuseumId(3));
    let profile = Profile {
        slug: code("nuovo"),
        name: "Museo nuovo".to_owned(),
        city: "Roma".to_owned(),
        region: "Lazio".to_owned(),
        latitude_microdeg: 41_900_000,
        longitude_microdeg: 12_480_000,
        patron: None,
    };
    let set = [Command::Register { profile }, Command::SetPlan { valid_from: today(), plan: plan() }];
    for (n, command) in (1..).zip(set) {
        app.node().museum(number, Envelope::by_system(Digest(820 + n)), command).await.unwrap();
    }
    let path = format!("/v1/slots/{}/holds", slot(number, 11));
    let (status, _) = app.post(&path, &desk, "h-1", &json!({"lines": [{"category": "full", "count": 1}]})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "a place has no price");
    let seen = async || {
        let list = app.get("/v1/museums/nuovo/availability", &desk).await;
        (list["items"][2]["status"].clone(), list["items"][2]["available"].clone())
    };
    assert_eq!(seen().await, (json!("not_open"), json!(0)));
    let set = Command::SetTariff { valid_from: today(), tariff: Tariff::state_museum(Cents::new(1_200)) };
    app.node().museum(number, Envelope::by_system(Digest(829)), set).await.unwrap();
    assert_eq!(seen().await, (json!("available"), json!(20)));
    app.stop().await;
}
