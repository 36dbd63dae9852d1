//! Planning over HTTP: attendance brought in and read, forecasts with their bands, pictures and tables, closures, rosters with what a manager decides, what-ifs.

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::forecaster::SchoolBreaks;
use tornello_actors::keys::{Museums, Role};
use tornello_actors::nightly;
use tornello_actors::{attended, beyond};
use tornello_engine::attendance::{self, SlotCount};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, KeyId, RouteId};
use tornello_engine::planning::policy::Span;
use tornello_engine::slot::Command;

use crate::routes_museums::example;
use crate::routes_sales::desk as at_desk;
use crate::support::{App, TORRE, code, expect, slot, today};

/// Sells so many tickets at the full price, at a desk, for a slot that begins at an hour of today.
async fn sell(app: &App, desk: &str, hour: i8, count: u16) {
    let body = json!({"lines": [{"category": "full", "count": count}], "settlement": at_desk("R1")});
    let (status, sold) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, hour)), desk, &format!("s{hour}"), &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
}

/// The first day of the past that tests bring in: 300 days before they begin.
const FIRST: &str = "2026-01-27";

/// 300 days of a past: 120 visitors on weekdays, 180 at weekends, a few more or less.
async fn with_past(app: &App, manager: &str) {
    let first: jiff::civil::Date = FIRST.parse().unwrap();
    let day = |ahead: i64| {
        let date = first.saturating_add(jiff::Span::new().days(ahead));
        let usual = if matches!(date.weekday(), jiff::civil::Weekday::Saturday | jiff::civil::Weekday::Sunday) { 180 } else { 120 };
        json!({"date": date.to_string(), "people": usual + ahead * 7 % 13 - 6})
    };
    let days: Vec<Value> = (0..300).map(day).collect();
    let (status, taken) =
        app.ask(Method::PUT, "/v1/museums/torre/attendance", manager, "past", &json!({"source": "register of 2026", "days": days})).await;
    assert_eq!((status, &taken["days"], &taken["kept"]), (StatusCode::OK, &json!(300), &json!(0)), "{taken}");
}

async fn text_of(app: &App, path: &str, key: &str, accept: &str) -> (String, String) {
    let response = app.request(Method::GET, path, key).header(ACCEPT, accept).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, response.text().await.unwrap())
}

/// Of queries that make no sense each is refused.
async fn refuses(app: &App, path: &str, key: &str, queries: &[&str]) {
    for bad in queries {
        let status = app.request(Method::GET, &format!("{path}{bad}"), key).send().await.unwrap().status();
        assert!([400, 422].contains(&status.as_u16()), "{bad}: {status}");
    }
}

fn sum(slots: &Value) -> f64 {
    slots.as_array().unwrap().iter().map(|slot| slot["people"]["expected"].as_f64().unwrap()).sum()
}

#[actix_rt::test]
async fn attendance_is_brought_in_read_and_kept_over_a_restart() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/attendance";
    let (status, taken) = app.ask(Method::PUT, path, &manager, "one", &example("/v1/museums/{museum}/attendance", "put")).await;
    assert_eq!((status, &taken["days"], &taken["from"]), (StatusCode::OK, &json!(2), &json!("2025-06-10")), "{taken}");
    let csv = app.request(Method::PUT, &format!("{path}?source=table"), &manager).header("Idempotency-Key", "two").header("Content-Type", "text/csv");
    let taken = expect(csv.body("date;people\r\n2025-06-11;9\r\n2025-06-20;11\r\n").send().await.unwrap(), StatusCode::OK).await;
    assert_eq!((&taken["days"], &taken["to"]), (&json!(2), &json!("2025-06-20")));
    let read = app.get(&format!("{path}?from=2025-06-01&to=2025-06-30"), &ministry).await;
    let days: Vec<(&str, u64)> =
        read["days"].as_array().unwrap().iter().map(|day| (day["date"].as_str().unwrap(), day["people"].as_u64().unwrap())).collect();
    assert_eq!(days, [("2025-06-10", 1840), ("2025-06-11", 9), ("2025-06-20", 11)]);
    assert_eq!((&read["imported_from"], &read["days"][0]["provenance"]), (&json!("table"), &json!("imported")));
    let (kind, table) = text_of(&app, &format!("{path}?from=2025-06-01&to=2025-06-30"), &ministry, "text/csv").await;
    assert!(kind.starts_with("text/csv") && table.contains("2025-06-20;11;imported"), "{table}");
    for (body, code) in [
        (json!({"source": "x", "days": [{"date": "2026-11-23", "people": 1}]}), "day_not_over"),
        (json!({"source": "x", "days": [{"date": "2026-11-01", "people": 1_000_001}]}), "invalid_attendance"),
        (json!({"source": "", "days": [{"date": "2026-11-01", "people": 1}]}), "invalid_attendance"),
        (json!({"source": "x", "days": []}), "invalid"),
    ] {
        let (status, problem) = app.ask(Method::PUT, path, &manager, &format!("bad {body}").replace(['"', ' '], ""), &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!(code)), "{problem}");
    }
    let csv =
        app.request(Method::PUT, &format!("{path}?sorce=table"), &manager).header("Idempotency-Key", "three").header("Content-Type", "text/csv");
    let problem = expect(csv.body("date;people\n2025-06-12;9\n").send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    assert!(problem["title"].as_str().unwrap().contains("unknown field `sorce`"), "{problem}");
    let app = app.restart_without_views().await;
    assert_eq!(app.get(&format!("{path}?from=2025-06-01&to=2025-06-30"), &ministry).await, read);
    app.stop().await;
}

#[actix_rt::test]
async fn without_a_model_of_bookings_nobody_is_to_be_reminded_and_it_says_why() {
    let app = App::start().await;
    let (web, ministry) = (app.key(Role::Web).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/reminders";
    let listed = app.get(path, &web).await;
    assert_eq!((&listed["date"], &listed["museum"], &listed["items"]), (&json!("2026-11-24"), &json!(1), &json!([])), "tomorrow");
    assert_eq!((&listed["why_empty"], listed.get("next_cursor")), (&json!("no_model"), None));
    assert_eq!(app.get(&format!("{path}?date=2026-12-16&limit=5&cursor=5"), &web).await["date"], "2026-12-16");
    for bad in ["?date=2026-11-22", "?date=2027-02-01", "?limit=0", "?date=soon", "?day=2026-12-16"] {
        let status = app.request(Method::GET, &format!("{path}{bad}"), &web).send().await.unwrap().status();
        assert!([400, 422].contains(&status.as_u16()), "{bad}: {status}");
    }
    assert_eq!(app.request(Method::GET, path, &ministry).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let report = app.get("/v1/forecasts/report", &ministry).await;
    assert_eq!(report["lapses"], json!({"quotes": 0}), "no quote has ended yet");
    app.stop().await;
}

#[actix_rt::test]
async fn forecasts_have_bands_add_up_and_are_zero_when_it_is_closed() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/forecast";
    // Without any past the places and other museums are all there is.
    let bare = app.get(&format!("{path}?days=2"), &ministry).await;
    assert_eq!((&bare["known_days"], &bare["days"][0]["rests_on"]), (&json!(0), &json!("other_sites")));
    assert!(bare["days"][0]["people"]["expected"].as_f64().unwrap() > 0.0);
    with_past(&app, &manager).await;
    // Closed on 8 December.
    let mut plan = app.get("/v1/museums/torre/plan", &manager).await["plan"].clone();
    plan["routes"][0]["exceptions"] = json!([{"date": "2026-12-08", "sessions": [], "reason": "works"}]);
    let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/plan", &manager, "plan", &json!({"valid_from": "2026-11-23", "plan": plan})).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    let forecast = app.get(&format!("{path}?from=2026-11-23&days=28&by=slot"), &ministry).await;
    let days = forecast["days"].as_array().unwrap();
    assert_eq!((days.len(), &forecast["known_days"], &forecast["region"]), (28, &json!(300), &json!("Lazio")));
    for day in days {
        let number = |name: &str| day["people"][name].as_f64().unwrap();
        if day["date"] == "2026-12-08" {
            assert_eq!((number("expected"), number("high_95"), &day["rests_on"]), (0.0, 0.0, &json!("plan")));
            assert_eq!(day["why"], json!({"in_words": "closed by the plan"}));
            continue;
        }
        let [low_95, low_80, expected, high_80, high_95] = ["low_95", "low_80", "expected", "high_80", "high_95"].map(number);
        assert!(low_95 <= low_80 && low_80 <= expected && expected <= high_80 && high_80 <= high_95, "{day}");
        assert!((sum(&day["slots"]) - expected).abs() < 1.0, "slots add up to the day: {day}");
        let is_weekend = day["date"].as_str().unwrap().parse::<jiff::civil::Date>().unwrap().weekday().to_monday_zero_offset() >= 5;
        assert!((expected - if is_weekend { 180.0 } else { 120.0 }).abs() < 25.0, "{day}");
    }
    let how_good = &forecast["how_good"][0];
    assert!(how_good["wape"].as_f64().unwrap() < 0.1 && how_good["judged_days"].as_u64().unwrap() >= 60, "{how_good}");
    let (kind, svg) = text_of(&app, path, &ministry, "image/svg+xml").await;
    assert!(kind.starts_with("image/svg+xml") && svg.starts_with("<svg") && svg.contains("Museo torre"));
    let (_, table) = text_of(&app, &format!("{path}?days=3"), &ministry, "text/csv").await;
    assert_eq!(table.lines().count(), 4, "{table}");
    let report = app.get("/v1/forecasts/report", &ministry).await;
    let lazio: f64 =
        report["regions"].as_array().unwrap().iter().filter(|row| row["date"] == "2026-11-23").map(|row| row["expected"].as_f64().unwrap()).sum();
    let mare = app.get("/v1/museums/mare/forecast?days=1", &ministry).await["days"][0]["people"]["expected"].as_f64().unwrap();
    let torre = days[0]["people"]["expected"].as_f64().unwrap();
    assert!((lazio - mare - torre).abs() < 0.3, "museums add up to their region");
    refuses(&app, path, &ministry, &["?days=0", "?days=61", "?from=2026-11-22", "?from=2027-06-01", "?by=year"]).await;
    // Who asks for a table where there is none is told where.
    let problem = expect(app.request(Method::GET, &format!("{path}?format=csv"), &ministry).send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    assert!(problem["title"].as_str().unwrap().contains("Accept header: text/csv"), "{problem}");
    let problem = expect(app.request(Method::GET, &format!("{path}?year=1"), &ministry).send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    assert!(!problem["title"].as_str().unwrap().contains("Accept"), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn slots_of_today_that_are_over_have_who_came() {
    let app = App::start().await;
    let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    with_past(&app, &manager).await;
    let path = "/v1/museums/torre/forecast?days=1&by=slot";
    sell(&app, &desk, 10, 3).await;
    let before = app.get(path, &manager).await["days"][0].clone();
    let of = |day: &Value, hour: i8| {
        let id = slot(TORRE, hour).to_string();
        day["slots"].as_array().unwrap().iter().find(|slot| slot["slot"] == id).unwrap().clone()
    };
    assert_eq!((&of(&before, 9)["over"], &of(&before, 9)["shows_by"]), (&json!(false), &json!("rate")), "it runs");
    // Half past twelve.
    app.pass(3 * 3_600).await;
    let day = app.get(path, &manager).await["days"][0].clone();
    for (hour, came) in [(9, 0.0), (10, 3.0), (11, 0.0)] {
        let slot = of(&day, hour);
        let people = ["expected", "low_80", "high_80", "low_95", "high_95"].map(|name| slot["people"][name].as_f64());
        assert_eq!((people, &slot["over"], &slot["walk_in"]), ([Some(came); 5], &json!(true), &json!(0)), "{slot}");
        assert_eq!((slot["shows"].as_f64(), &slot["shows_by"]), (Some(came), &json!("count")), "{slot}");
    }
    let twelve = of(&day, 12);
    assert!(twelve["over"] == false && twelve["people"]["expected"].as_f64().unwrap() > 5.0 && twelve["walk_in"] == 20, "{twelve}");
    assert_eq!(twelve["people"], of(&before, 12)["people"], "what is to come stays");
    let expected = day["people"]["expected"].as_f64().unwrap();
    assert!((sum(&day["slots"]) - expected).abs() < 1.0 && expected < before["people"]["expected"].as_f64().unwrap() - 20.0, "{day}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_museum_without_a_plan_is_told_so_and_every_day_of_attendance_is_known() {
    let app = App::start().await;
    let [admin, manager, ministry] = [app.key(Role::Admin).await, app.key(Role::Manager).await, app.key(Role::Ministry).await];
    let profile = json!({"slug": "colle", "name": "Museo del Colle", "city": "Siena", "region": "Toscana",
        "latitude_microdeg": 43_318_000, "longitude_microdeg": 11_330_000});
    let (status, made) = app.post("/v1/museums", &admin, "new", &json!({"number": 7, "profile": profile})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let day = app.get("/v1/museums/colle/forecast?days=1", &ministry).await["days"][0].clone();
    assert_eq!((&day["rests_on"], &day["why"]), (&json!("no_plan"), &json!({"in_words": "no opening plan holds on that day"})), "{day}");
    let open = async || {
        let months = app.get("/v1/museums/colle/forecast/months?months=2", &ministry).await;
        [0, 1].map(|month: usize| months["months"][month]["open_days"].as_u64())
    };
    assert_eq!(open().await, [Some(0); 2], "nobody has said that it is open");
    // It was when somebody came; a day on which nobody did is known as well.
    let days = json!([{"date": "2026-11-10", "people": 0}, {"date": "2026-11-11", "people": 7}]);
    let taken = app.ask(Method::PUT, "/v1/museums/colle/attendance", &manager, "past", &json!({"source": "register", "days": days})).await;
    assert_eq!(taken.0, StatusCode::OK, "{}", taken.1);
    assert_eq!(open().await, [Some(1), Some(0)]);
    assert_eq!(app.get("/v1/museums/colle/forecast?days=1", &ministry).await["known_days"], 2);
    app.stop().await;
}

#[actix_rt::test]
async fn a_line_that_was_decided_tells_what_comes_of_it_and_whatever_is_decided_can_be_read() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    with_past(&app, &manager).await;
    let (path, overrides) = ("/v1/museums/torre/roster?day=2026-12-24", "/v1/museums/torre/roster/overrides");
    let of = |roster: &Value, from: &str| {
        roster["lines"].as_array().unwrap().iter().find(|line| line["role"] == "desk" && line["from"] == from).unwrap().clone()
    };
    let proposed = of(&app.get(path, &office).await, "11:00");
    assert_eq!(proposed.get("as_proposed"), None, "{proposed}");
    let body = json!({"day": "2026-12-24", "role": "desk", "from": "11:00", "to": "12:00", "people": 0, "note": "strike"});
    let (status, decided) = app.ask(Method::PUT, overrides, &manager, "none", &body).await;
    assert_eq!(status, StatusCode::OK, "{decided}");
    let decided = of(&decided, "11:00");
    assert_eq!((&decided["people"], &decided["proposed"]), (&json!(0), &proposed["proposed"]), "{decided}");
    assert_eq!((decided["driver"]["late"].as_f64(), decided["driver"].get("mean_wait_s"), decided.get("one_less")), (Some(1.0), None, None));
    for name in ["driver", "one_less", "one_more"] {
        assert_eq!(decided["as_proposed"][name], proposed[name], "{name}");
    }
    assert_eq!(decided["driver"]["parties_per_hour"], proposed["driver"]["parties_per_hour"]);
    let (_, table) = text_of(&app, path, &office, "text/csv").await;
    let row = table.lines().find(|row| row.contains("11:00;12:00;desk")).unwrap();
    assert!(row.contains("100.0% wait too long; the line grows") && row.contains("strike"), "{row}");
    assert!(row.contains(proposed["driver"]["in_words"].as_str().unwrap()), "{row}");
    let (_, file) = text_of(&app, path, &office, "text/calendar").await;
    assert!(file.starts_with("BEGIN:VCALENDAR"), "{file}");

    // As far ahead as there are rosters, and no farther.
    let line = |day: &str, from: &str, to: &str| json!({"day": day, "role": "guard", "from": from, "to": to, "people": 3});
    let (status, far) = app.ask(Method::PUT, overrides, &manager, "far", &line("2027-01-21", "11:00", "12:00")).await;
    assert_eq!((status, far["lines"].as_array().map(Vec::is_empty)), (StatusCode::OK, Some(false)), "{far}");
    assert_eq!(app.get("/v1/museums/torre/roster?day=2027-01-21", &office).await, far);
    let (status, problem) = app.ask(Method::PUT, overrides, &manager, "farther", &line("2027-01-22", "11:00", "12:00")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("plan_too_far_ahead")), "{problem}");
    // On 28 March the clocks go from two to three.
    app.clock.set("2027-03-01T08:00:00Z".parse().unwrap());
    for (key, from, to, expected) in
        [("a", "02:30", "03:30", 422), ("b", "01:00", "02:30", 422), ("c", "01:00", "02:00", 200), ("d", "03:00", "04:00", 200)]
    {
        let (status, answer) = app.ask(Method::PUT, overrides, &manager, key, &line("2027-03-28", from, to)).await;
        assert_eq!(status.as_u16(), expected, "{from} to {to}: {answer}");
        assert!(expected == 200 || answer["code"] == "invalid_roster_line", "{answer}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_decision_that_overlaps_another_one_is_refused_and_that_one_named() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let overrides = "/v1/museums/torre/roster/overrides";
    let line = |role: &str, from: &str, to: &str| json!({"day": "2026-12-24", "role": role, "from": from, "to": to, "people": 4});
    assert_eq!(app.ask(Method::PUT, overrides, &manager, "all", &line("desk", "11:00", "24:00")).await.0, StatusCode::OK);
    for (key, from, to) in [("within", "11:30", "12:30"), ("into", "10:00", "11:30"), ("around", "10:00", "24:00"), ("as-shown", "23:00", "00:00")] {
        let (status, problem) = app.ask(Method::PUT, overrides, &manager, key, &line("desk", from, to)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("overlapping_override")), "{key}: {problem}");
        assert_eq!([&problem["from"], &problem["to"], &problem["people"]], [&json!("11:00"), &json!("24:00"), &json!(4)], "{problem}");
        assert_eq!(problem.get("from_min"), None, "{problem}");
    }
    // Another role, what goes before, and what takes its place.
    for (key, role, from, to) in [("gate", "gate", "11:30", "12:30"), ("before", "desk", "10:00", "11:00"), ("anew", "desk", "11:00", "11:30")] {
        let (status, answer) = app.ask(Method::PUT, overrides, &manager, key, &line(role, from, to)).await;
        assert_eq!(status, StatusCode::OK, "{key}: {answer}");
    }
    assert_eq!(
        app.ask(Method::PUT, overrides, &manager, "within", &line("desk", "11:30", "12:30")).await.0,
        StatusCode::OK,
        "a refusal is decided anew"
    );
    app.stop().await;
}

#[actix_rt::test]
async fn a_forecast_says_whether_schools_are_closed_and_by_whose_word() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let closed = async || -> Vec<(String, String)> {
        let forecast = app.get("/v1/museums/torre/forecast?from=2026-12-01&days=45", &ministry).await;
        let days = forecast["days"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        days.filter_map(|day| day.get("school_break").map(|word| (text(&day["date"]), text(word)))).collect()
    };
    assert!(closed().await.is_empty(), "nobody has told any breaks");
    let mut breaks = SchoolBreaks::default();
    assert!(breaks.add("Lazio", Span { from: "2026-12-07".parse().unwrap(), to: "2026-12-07".parse().unwrap() }));
    app.node().forecaster().know_school_breaks(breaks);
    let policy = json!({"valid_from": "2026-11-23", "policy": {"school_breaks": [{"from": "2026-12-10", "to": "2026-12-11"}]}});
    let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/planning-policy", &manager, "breaks", &policy).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    let christmas =
        (24..=31).map(|day| format!("2026-12-{day}")).chain((1..=6).map(|day| format!("2027-01-{day:02}"))).map(|day| (day, "assumed".to_owned()));
    let told = ["2026-12-07", "2026-12-10", "2026-12-11"].map(|day| (day.to_owned(), "told".to_owned()));
    assert_eq!(closed().await, told.into_iter().chain(christmas).collect::<Vec<_>>());
    app.stop().await;
}

#[actix_rt::test]
async fn books_move_a_forecast_and_a_closed_slot_has_nobody() {
    let app = App::start().await;
    let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    with_past(&app, &manager).await;
    let path = "/v1/museums/torre/forecast?from=2026-11-23&days=1&by=slot";
    let (ten, eleven) = (slot(TORRE, 10), slot(TORRE, 11));
    sell(&app, &desk, 10, 15).await;
    assert_eq!(app.post(&format!("/v1/slots/{eleven}/close"), &manager, "c", &json!({"reason": "strike"})).await.0, StatusCode::OK);
    let day = app.get(path, &manager).await["days"][0].clone();
    let of =
        |slot: tornello_engine::ids::SlotId| day["slots"].as_array().unwrap().iter().find(|other| other["slot"] == slot.to_string()).unwrap().clone();
    assert_eq!((&of(ten)["booked"], &of(eleven)["people"]["expected"], &of(eleven)["capacity"]), (&json!(15), &json!(0.0), &json!(0)));
    assert!(of(ten)["people"]["expected"].as_f64().unwrap() >= 13.0, "who has booked comes: {}", of(ten));
    assert_eq!(day["booked"], 15);
    app.stop().await;
}

#[actix_rt::test]
async fn a_night_counts_the_day_that_is_over_once() {
    let app = App::start().await;
    let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    sell(&app, &desk, 15, 3).await;
    app.pass(24 * 3_600).await;
    let node = app.shared_node();
    nightly::night(&node).await.unwrap().await.unwrap();
    assert_eq!(attended::count_days(&node).await, 0, "a day is counted once");
    drop(node);
    let read = app.get("/v1/museums/torre/attendance", &manager).await;
    assert_eq!(read["days"], json!([{"date": "2026-11-23", "people": 3, "provenance": "counted"}]));
    assert_eq!(app.get("/v1/museums/mare/attendance", &manager).await["days"], json!([]), "nothing says that anybody was there");
    let (_, taken) = app
        .ask(Method::PUT, "/v1/museums/torre/attendance", &manager, "i", &json!({"source": "x", "days": [{"date": "2026-11-23", "people": 99}]}))
        .await;
    assert_eq!((&taken["days"], &taken["kept"]), (&json!(1), &json!(1)), "what was counted here stays: {taken}");
    assert_eq!(app.get("/v1/museums/torre/attendance", &manager).await, json!({"museum": 1, "imported_from": "x", "days": read["days"]}));
    app.stop().await;
}

#[actix_rt::test]
async fn days_that_nobody_counted_are_counted_after_weeks_and_books_are_known_that_nobody_looked_at() {
    let app = App::start().await;
    let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    sell(&app, &desk, 15, 3).await;
    // Nobody runs the program for twelve days: the slot has left the board.
    app.pass(12 * 86_400).await;
    let app = app.restart().await;
    assert!(app.node().board().head(slot(TORRE, 15)).is_none());
    let node = app.shared_node();
    nightly::night(&node).await.unwrap().await.unwrap();
    assert_eq!(attended::count_days(&node).await, 0, "a day is counted once");
    drop(node);
    let read = app.get("/v1/museums/torre/attendance", &manager).await;
    assert_eq!(read["days"], json!([{"date": "2026-11-23", "people": 3, "provenance": "counted"}]));
    app.stop().await;
}

#[actix_rt::test]
async fn nobody_came_by_what_was_called_off_though_it_is_counted_only_after_weeks() {
    for (from, came) in [(None, 0), (Some("12:00"), 2)] {
        let app = App::start().await;
        let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
        for (hour, count) in [(10, 2), (15, 3)] {
            sell(&app, &desk, hour, count).await;
        }
        let mut flood = json!({"reason": "flood"});
        if let Some(from) = from {
            flood["from"] = json!(from);
        }
        let (status, told) = app.post("/v1/museums/torre/days/2026-11-23/close", &manager, "flood", &flood).await;
        assert_eq!((status, &told["done"]), (StatusCode::OK, &json!(true)), "{told}");
        // The water is in the room of the server, too.
        app.pass(12 * 86_400).await;
        let app = app.restart().await;
        assert_eq!(attended::count_days(app.node()).await, 1);
        let read = app.get("/v1/museums/torre/attendance", &manager).await;
        assert_eq!(read["days"], json!([{"date": "2026-11-23", "people": came, "provenance": "counted"}]), "{from:?}");
        app.stop().await;
    }
}

#[actix_rt::test]
async fn a_day_of_which_some_slots_have_left_the_board_is_counted_whole() {
    let app = App::start().await;
    let (manager, desk) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    for (hour, count) in [(10, 2), (15, 3)] {
        sell(&app, &desk, hour, count).await;
    }
    // Nobody runs the program until the third day after, early in the afternoon.
    app.pass(3 * 86_400 + 4 * 3_600).await;
    let app = app.restart().await;
    assert_eq!([10, 15].map(|hour| app.node().board().head(slot(TORRE, hour)).is_some()), [false, true]);
    assert_eq!(attended::count_days(app.node()).await, 1);
    let read = app.get("/v1/museums/torre/attendance", &manager).await;
    assert_eq!(read["days"], json!([{"date": "2026-11-23", "people": 5, "provenance": "counted"}]));
    app.stop().await;
}

#[actix_rt::test]
async fn months_are_forecast_for_the_budget_and_days_add_up_to_them() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/forecast/months";
    let bare = app.get(&format!("{path}?months=2"), &ministry).await;
    assert!(bare["months"][1]["people"]["expected"].as_f64().unwrap() > 0.0, "places and other museums are all there is: {bare}");
    with_past(&app, &manager).await;
    let told = app.get(path, &ministry).await;
    let months = told["months"].as_array().unwrap();
    assert_eq!((months.len(), &months[0]["month"], &months[11]["month"]), (12, &json!("2026-11-01"), &json!("2027-10-01")));
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap();
    for month in months {
        let people = &month["people"];
        let ends = ["low_95", "low_80", "expected", "high_80", "high_95"].map(|name| number(people, name));
        assert!(ends.is_sorted() && ends[0] >= number(month, "came"), "{month}");
        // Some 137 visitors a day.
        let each = ends[2] / number(month, "open_days");
        assert!((115.0..160.0).contains(&each), "{month}");
    }
    // From 22 days of November that are over, and eight that are forecast.
    let days = app.get("/v1/museums/torre/forecast?from=2026-11-23&days=39", &ministry).await;
    let sum = |month: &str| {
        days["days"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|day| day["date"].as_str().unwrap().starts_with(month))
            .map(|day| number(&day["people"], "expected"))
            .sum::<f64>()
    };
    assert!(
        number(&months[0], "came") > 2_500.0 && (number(&months[0]["people"], "expected") - number(&months[0], "came") - sum("2026-11")).abs() < 1.0
    );
    assert!((number(&months[1]["people"], "expected") - sum("2026-12")).abs() < 2.5, "days add up to their month");
    let all: f64 = months.iter().map(|month| number(&month["people"], "high_80")).sum();
    assert!((number(&told["together"], "high_80") - all).abs() < 2.0, "together they are no surer than each");
    let (kind, table) = text_of(&app, &format!("{path}?months=3"), &ministry, "text/csv").await;
    assert!(kind.starts_with("text/csv") && table.lines().count() == 4, "{table}");
    refuses(&app, path, &ministry, &["?months=0", "?months=19", "?years=1"]).await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_day_that_was_told_of_years_ago_changes_no_month_to_come() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    with_past(&app, &manager).await;
    // From the fourth month on no day is forecast by itself.
    let later = async || app.get("/v1/museums/torre/forecast/months", &ministry).await["months"].as_array().unwrap()[3..].to_vec();
    let before = later().await;
    assert_eq!(before.len(), 9);
    let day = json!({"source": "guest book", "days": [{"date": "2020-06-14", "people": 40}]});
    let taken = app.ask(Method::PUT, "/v1/museums/torre/attendance", &manager, "stray", &day).await;
    assert_eq!(taken.0, StatusCode::OK, "{}", taken.1);
    assert_eq!(later().await, before, "of the years between nobody said anything");
    app.stop().await;
}

#[actix_rt::test]
async fn open_days_of_this_month_that_nobody_counted_have_had_visitors_too() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let first = jiff::civil::date(2026, 4, 1);
    // Until 12 November; the ten days since are over.
    let days: Vec<Value> =
        (0..226_i64).map(|ahead| json!({"date": first.saturating_add(jiff::Span::new().days(ahead)).to_string(), "people": 100})).collect();
    app.ask(Method::PUT, "/v1/museums/torre/attendance", &manager, "past", &json!({"source": "register", "days": days})).await;
    let told = app.get("/v1/museums/torre/forecast/months?months=1", &ministry).await;
    let month = &told["months"][0];
    assert_eq!((month["came"].as_f64(), month["open_days"].as_f64()), (Some(1_200.0), Some(30.0)), "{month}");
    let expected = month["people"]["expected"].as_f64().unwrap();
    assert!((2_700.0..3_300.0).contains(&expected), "{month}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_roster_says_why_and_keeps_what_a_manager_decides() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    with_past(&app, &manager).await;
    let path = "/v1/museums/torre/roster?day=2026-12-24";
    let roster = app.get(path, &office).await;
    let lines = roster["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 30, "ten hours, three roles");
    let of = |roster: &Value, role: &str, from: &str| {
        roster["lines"].as_array().unwrap().iter().find(|line| line["role"] == role && line["from"] == from).unwrap().clone()
    };
    let eleven = of(&roster, "desk", "11:00");
    assert!(eleven["people"].as_u64().unwrap() >= 1 && eleven["driver"]["in_words"].as_str().unwrap().contains("parties an hour"), "{eleven}");
    assert!(eleven["planned_for"].as_f64().unwrap() > eleven["expected"].as_f64().unwrap());
    assert!(eleven["one_less"]["late"].as_f64().unwrap() > 0.1 && eleven["one_more"]["late"].as_f64().unwrap() < 0.1, "{eleven}");
    assert_eq!(of(&roster, "guard", "11:00")["one_costs_cents"], 1_800);
    let body = example("/v1/museums/{museum}/roster/overrides", "put");
    let (status, decided) = app.ask(Method::PUT, "/v1/museums/torre/roster/overrides", &manager, "d", &body).await;
    assert_eq!(status, StatusCode::OK, "{decided}");
    assert_eq!(app.ask(Method::PUT, "/v1/museums/torre/roster/overrides", &manager, "d", &body).await.0, StatusCode::OK, "a repeat does no harm");
    assert_eq!((&of(&decided, "desk", "11:00")["people"], &of(&decided, "desk", "12:00")["decided"]), (&json!(4), &json!("school groups")));
    assert_eq!(of(&decided, "desk", "13:00")["decided"], Value::Null);
    // A new forecast changes what is proposed, not what was decided; nor does a restart.
    let many: Vec<Value> = (1..=20).map(|day| json!({"date": format!("2026-11-{day:02}"), "people": 20})).collect();
    app.ask(Method::PUT, "/v1/museums/torre/attendance", &manager, "few", &json!({"source": "corrected", "days": many})).await;
    let node = app.shared_node();
    nightly::night(&node).await.unwrap().await.unwrap();
    drop(node);
    let app = app.restart().await;
    let later = app.get(path, &office).await;
    assert_ne!(of(&later, "desk", "14:00")["expected"], of(&roster, "desk", "14:00")["expected"]);
    assert_eq!(of(&later, "desk", "11:00")["people"], 4);
    // The night fitted a model, and the restart found it.
    let forecast = app.get("/v1/museums/torre/forecast?from=2026-12-01&days=2&by=slot", &office).await;
    let day = &forecast["days"][0];
    assert_eq!(day["rests_on"], "model", "{day}");
    for day in forecast["days"].as_array().unwrap() {
        // What is told of a forecast adds up to it, and what it does not rest on is not told.
        let why = &day["why"];
        let moved: f64 = why["moved"].as_array().unwrap().iter().map(|moved| moved["visitors"].as_f64().unwrap()).sum();
        let (base, expected) = (why["base"].as_f64().unwrap(), day["people"]["expected"].as_f64().unwrap());
        assert!((base + moved - expected).abs() < 0.6, "{day}");
        let words = why["in_words"].as_str().unwrap();
        assert!(words.starts_with(&format!("{base:.0} visitors on an average day")), "{words}");
        assert_eq!(["level", "kind_of_day", "season", "books"].map(|name| why.get(name)), [None; 4], "{why}");
    }
    let many_days = app.get("/v1/museums/torre/forecast?from=2026-12-01&days=15", &office).await["days"][0]["why"].clone();
    assert_eq!((many_days.get("base"), many_days.get("moved"), many_days.get("level")), (None, None, None), "{many_days}");
    assert!(
        !day["why"]["moved"].as_array().unwrap().is_empty() && (sum(&day["slots"]) - day["people"]["expected"].as_f64().unwrap()).abs() < 1.0,
        "{day}"
    );
    assert_eq!(app.get("/v1/forecasts/report", &office).await["fitted_on"], "2026-11-22");
    // It is not fitted again before its time, unless somebody brings much more of a past in.
    let node = app.shared_node();
    assert!(!nightly::night(&node).await.unwrap().await.unwrap());
    let more: Vec<Value> =
        (1..=28).flat_map(|day| ["04", "05", "06"].map(|month| json!({"date": format!("2025-{month}-{day:02}"), "people": 90}))).collect();
    app.ask(Method::PUT, "/v1/museums/mare/attendance", &manager, "mare", &json!({"source": "register", "days": more})).await;
    assert!(nightly::night(&node).await.unwrap().await.unwrap());
    drop(node);
    // What is new does not serve before it has shown that it is better, and the report says how it stands.
    let report = app.get("/v1/forecasts/report", &office).await;
    let trials = report["trials"].as_array().unwrap();
    assert_eq!(trials.last().map(|trial| &trial["verdict"]), Some(&json!("first")), "{report}");
    assert!(trials.len() == 2 && ["on_trial", "took_over"].contains(&trials[0]["verdict"].as_str().unwrap()), "{report}");
    for side in ["champion", "challenger", "last_weekday", "median_weekday"] {
        assert!(trials[0][side]["judged"].as_u64().unwrap() > 200 && trials[0][side]["sql"].as_f64().unwrap() > 0.0, "{side}: {report}");
    }
    assert_eq!((&trials[0]["from"], &trials[0]["to"]), (&json!("2026-09-28"), &json!("2026-11-22")));
    let (kind, table) = text_of(&app, path, &office, "text/csv").await;
    assert!(kind.starts_with("text/csv") && table.contains("11:00;12:00;desk;4;") && table.lines().count() == 31, "{table}");
    let (kind, file) = text_of(&app, path, &office, "text/calendar").await;
    assert!(kind.starts_with("text/calendar"));
    let unfolded = file.replace("\r\n ", "");
    assert!(unfolded.contains("DTSTART:20261224T100000Z\r\nDTEND:20261224T120000Z\r\nSUMMARY:Museo torre: 4 x desk\r\n"), "{unfolded}");
    assert_eq!(unfolded.matches("BEGIN:VEVENT").count(), unfolded.matches("END:VEVENT").count());
    let back = "/v1/museums/torre/roster/overrides?day=2026-12-24&role=desk&from=11:00";
    let in_body = json!({"day": "2026-12-24", "role": "desk", "from": "11:00"});
    let (status, problem) = app.ask(Method::DELETE, "/v1/museums/torre/roster/overrides", &manager, "a", &in_body).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("malformed")), "{problem}");
    assert_eq!(problem["title"], "missing field `day` in the query, which takes `day`, `role`, `from`");
    assert_eq!(app.ask(Method::DELETE, back, &manager, "b", &Value::Null).await.0, StatusCode::OK);
    let (status, problem) = app.ask(Method::DELETE, back, &manager, "c", &Value::Null).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("unknown_override")));
    for (change, code) in [
        (json!({"day": "2026-11-22"}), "plan_in_past"),
        (json!({"day": "2028-01-01"}), "plan_too_far_ahead"),
        (json!({"to": "11:00"}), "invalid_roster_line"),
        (json!({"people": 1_001}), "invalid_roster_line"),
        (json!({"from": "25:00"}), "invalid"),
        (json!({"role": "cook"}), "invalid"),
    ] {
        let mut body = body.clone();
        change.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let (status, problem) =
            app.ask(Method::PUT, "/v1/museums/torre/roster/overrides", &manager, &format!("{code}{}", change.to_string().len()), &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!(code)), "{change}: {problem}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_planning_policy_holds_from_its_day_on() {
    let app = App::start().await;
    let (manager, ministry) = (app.key(Role::Manager).await, app.key(Role::Ministry).await);
    let path = "/v1/museums/torre/planning-policy";
    let defaults = app.get(path, &ministry).await;
    assert_eq!((&defaults["revision"], &defaults["policy"]["turn_away_permille"]), (&json!(0), &json!(0)), "{defaults}");
    assert_eq!(defaults["policy"]["sell_beyond_places"], false, "{defaults}");
    let body = example("/v1/museums/{museum}/planning-policy", "put");
    let (status, set) = app.ask(Method::PUT, path, &manager, "one", &body).await;
    assert_eq!((status, &set["revision"], &set["policy"]["rooms"]), (StatusCode::OK, &json!(1), &json!(12)), "{set}");
    assert_eq!(app.get(&format!("{path}?on=2027-03-01"), &ministry).await, set, "what is read is what was set");
    assert_eq!(app.get(path, &ministry).await, defaults, "it does not hold before");
    let again = app.request(Method::PUT, path, &manager).header("Idempotency-Key", "two").header("If-Match", "\"7\"").json(&body);
    let problem = expect(again.send().await.unwrap(), StatusCode::PRECONDITION_FAILED).await;
    assert_eq!((&problem["code"], &problem["revision"]), (&json!("planning_policy_changed"), &json!(1)));
    let mut bad = body.clone();
    bad["policy"]["turn_away_permille"] = json!(51);
    let (status, problem) = app.ask(Method::PUT, path, &manager, "three", &bad).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid_planning_policy")));
    app.stop().await;
}

fn by(n: u128) -> Envelope {
    Envelope { who: KeyId::SYSTEM, key: Digest(n), body: Digest(n), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

/// Eight days on which fifteen of twenty people came by each slot.
async fn with_no_shows(app: &App) {
    for before in 1..=8_u32 {
        let date = today().saturating_sub(jiff::Span::new().days(before));
        let slots = (9..19_u16).map(|hour| SlotCount { route: RouteId(1), from_min: hour * 60, sold: 20, admitted: 15 }).collect();
        let count = attendance::Command::Count { date, people: 150, slots, doors: None, books: Vec::new(), beyond: Vec::new() };
        app.node().attendance(TORRE, by(before.into()), count).await.unwrap();
    }
}

#[actix_rt::test]
async fn slots_are_sold_beyond_their_places_where_a_museum_says_so_and_it_is_told_what_came_of_it() {
    let app = App::start().await;
    let (manager, desk, web) = (app.key(Role::Manager).await, app.key(Role::BoxOffice).await, app.key(Role::Web).await);
    with_no_shows(&app).await;
    let fifteen = slot(TORRE, 15);
    let look = async || beyond::look(&app.shared_node()).await;
    let (path, sales) = (format!("/v1/slots/{fifteen}"), format!("/v1/slots/{fifteen}/sales"));
    let body = |count: u16, reference: &str| json!({"lines": [{"category": "full", "count": count}], "settlement": at_desk(reference)});
    let (status, full) = app.post(&sales, &desk, "full", &body(20, "R1")).await;
    assert_eq!(status, StatusCode::CREATED, "{full}");
    let policy = async |name: &str, sell_beyond_places: bool| {
        let policy = json!({"turn_away_permille": 50, "sell_beyond_places": sell_beyond_places});
        let form = json!({"valid_from": "2026-11-23", "policy": policy});
        let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/planning-policy", &manager, name, &form).await;
        assert_eq!((status, &set["policy"]["sell_beyond_places"]), (StatusCode::OK, &json!(sell_beyond_places)), "{set}");
    };
    // A risk alone is advice.
    policy("advice", false).await;
    assert_eq!(look().await, 0);
    let forecast = app.get("/v1/museums/torre/forecast?days=1&by=slot", &manager).await;
    let told = forecast["days"][0]["slots"].as_array().unwrap().iter().find(|told| told["slot"] == fifteen.to_string()).unwrap();
    assert!(told["oversell"] == 2 && told["turn_away"].as_f64().unwrap() <= 0.05, "{told}");
    let (status, problem) = app.post(&sales, &desk, "advice", &body(1, "R2")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_enough_places")));
    // The switch sells them.
    policy("sell", true).await;
    assert_eq!((look().await, look().await), (1, 0), "once");
    let seen = app.get(&path, &manager).await;
    assert_eq!([&seen["capacity"], &seen["beyond"], &seen["sellable"], &seen["over"]], [20, 2, 22, 0], "{seen}");
    assert_eq!(seen["turn_away"].as_f64(), Some(0.0), "no more are sold than there are");
    let (status, more) = app.post(&sales, &desk, "more", &body(1, "R3")).await;
    assert_eq!(status, StatusCode::CREATED, "{more}");
    let seen = app.get(&path, &manager).await;
    let turn_away = seen["turn_away"].as_f64().unwrap();
    assert!(turn_away > 0.0 && turn_away < told["turn_away"].as_f64().unwrap(), "{seen}");
    let by_web = app.get(&path, &web).await;
    assert_eq!((&by_web["beyond"], by_web.get("turn_away")), (&json!(2), None), "that is for those who run it");
    // What is not sold is taken back when the museum changes its mind; what was, and what was decided when, stays.
    policy("stop", false).await;
    assert_eq!((look().await, look().await), (1, 0));
    let seen = app.get(&path, &manager).await;
    assert_eq!([&seen["capacity"], &seen["beyond"], &seen["sellable"], &seen["sold"], &seen["over"]], [20, 1, 21, 21, 0], "{seen}");
    let history = app.get(&format!("{path}/history"), &manager).await;
    let kinds: Vec<&Value> = history["records"].as_array().unwrap().iter().flat_map(|record| record["events"].as_array().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|event| event["kind"] == "beyond_set").count(), 2, "{history}");
    assert_eq!((&history["state"]["capacity"], &history["state"]["beyond"]), (&json!(20), &json!(1)));

    // All of them come.
    app.clock.set(fifteen.start().plus_seconds(60));
    let tickets = [(&full, 20_u16), (&more, 1)].map(|(sale, people)| (sale["sale"].as_str().unwrap().parse::<HoldId>().unwrap(), people));
    let tickets = tickets.into_iter().flat_map(|(sale, people)| (0..people).map(move |number| sale.ticket(number)));
    for (key, ticket) in (100..).zip(tickets) {
        let admit = Command::Admit { ticket, issue: None, gate: code("north"), museum: TORRE };
        app.node().slot(fifteen, by(key), admit).await.unwrap();
    }
    app.pass(86_400).await;
    assert_eq!(attended::count_days(app.node()).await, 1);
    let app = app.restart().await;
    let report = app.get("/v1/forecasts/report", &manager).await;
    let told = &report["museums"][0]["sold_beyond"];
    let counts = ["slots", "people", "scanned", "slots_over", "people_over"].map(|name| told[name].as_u64());
    assert_eq!(counts, [Some(1); 5], "{report}");
    assert!((0.001..0.05).contains(&told["promised"].as_f64().unwrap()), "{told}");
    assert_eq!(report["museums"][1].get("sold_beyond"), None, "nothing was sold beyond there");
    app.stop().await;
}

#[actix_rt::test]
async fn a_what_if_moves_each_figure_in_its_own_direction() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    with_past(&app, &manager).await;
    let path = "/v1/museums/torre/what-if";
    let ask = |body: Value| {
        let request = app.request(Method::POST, path, &manager).json(&body);
        async move { expect(request.send().await.unwrap(), StatusCode::OK).await }
    };
    let answer = ask(example("/v1/museums/{museum}/what-if", "post")).await;
    assert_eq!((answer["days"].as_array().unwrap().len(), &answer["assumed"]["price_elasticity"]), (7, &json!(-0.3)));
    let figure = |answer: &Value, side: &str, name: &str| answer["days"][5][side][name].as_f64().unwrap();
    let dearer = ask(json!({"price_percent": 120})).await;
    assert!(figure(&dearer, "changed", "wanted") < figure(&dearer, "as_is", "wanted"));
    assert!(figure(&dearer, "changed", "revenue_cents") > figure(&dearer, "as_is", "revenue_cents"), "visitors fall less than prices rise");
    let smaller = ask(json!({"capacity_percent": 50})).await;
    assert!(figure(&smaller, "changed", "refused") > figure(&smaller, "as_is", "refused") + 5.0, "{smaller}");
    let fewer = ask(json!({"desks": 0})).await;
    assert_eq!(fewer["days"][5]["changed"].get("mean_wait_s"), None, "without a desk the line grows");
    let bad = app.request(Method::POST, path, &manager).json(&json!({"capacity_percent": 1_001})).send().await.unwrap();
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let long = app.request(Method::POST, path, &manager).json(&json!({"days": 61})).send().await.unwrap();
    assert_eq!(long.status(), StatusCode::UNPROCESSABLE_ENTITY);
    // A Saturday, and the first Sunday of the month, on which nobody pays.
    let dearer = ask(json!({"from": "2026-12-05", "days": 2, "price_percent": 200})).await;
    let of = |answer: &Value, day: usize, side: &str, name: &str| answer["days"][day][side][name].as_f64().unwrap();
    assert!(of(&dearer, 0, "changed", "wanted") < of(&dearer, 0, "as_is", "wanted") - 10.0, "{dearer}");
    assert_eq!((of(&dearer, 1, "as_is", "revenue_cents"), of(&dearer, 1, "changed", "revenue_cents")), (0.0, 0.0), "{dearer}");
    assert_eq!(dearer["days"][1]["changed"], dearer["days"][1]["as_is"], "a price moves nobody where entry is free");
    assert_eq!(dearer["assumed"]["price_percent_least"], 1.0, "{dearer}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_what_if_opens_and_shuts_each_route_by_its_own_clock() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    with_past(&app, &manager).await;
    // A second route around the clock; both are closed on the ninth.
    let mut plan = app.get("/v1/museums/torre/plan", &manager).await["plan"].clone();
    plan["routes"][0]["exceptions"] = json!([{"date": "2026-12-09", "sessions": [], "reason": "works"}]);
    let mut round = plan["routes"][0].clone();
    (round["number"], round["code"]) = (json!(2), json!("round"));
    for day in ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] {
        round["week"][day] = json!([{"opens": "00:00", "closes": "00:00", "slot_minutes": 60, "last_entry": "23:00", "capacity": 20}]);
    }
    plan["routes"].as_array_mut().unwrap().push(round);
    let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/plan", &manager, "plan", &json!({"valid_from": "2026-11-24", "plan": plan})).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    let ask = async |body: Value| {
        expect(app.request(Method::POST, "/v1/museums/torre/what-if", &manager).json(&body).send().await.unwrap(), StatusCode::OK).await
    };
    let figures = |answer: &Value, side: &str| ["wanted", "sold", "refused"].map(|name| answer["days"][0][side][name].as_f64().unwrap());
    // Shut doors and no places are the same to whoever wants to come.
    let shut = ask(json!({"from": "2026-12-08", "days": 2, "opens_earlier_minutes": -720, "closes_later_minutes": -720})).await;
    let none = ask(json!({"from": "2026-12-08", "days": 2, "capacity_percent": 0})).await;
    for answer in [&shut, &none] {
        let wanted = figures(answer, "as_is")[0];
        assert!(wanted > 50.0, "{answer}");
        assert_eq!(figures(answer, "changed"), [wanted, 0.0, wanted], "{answer}");
        // Nothing is written as less than nothing, least of all on a day that the plan closes.
        let text = answer.to_string();
        assert!(!text.contains("-0.0,") && !text.contains("-0.0}"), "{answer}");
        assert_eq!(answer["days"][1]["changed"]["wanted"], 0.0, "{answer}");
    }
    let longer = ask(json!({"from": "2026-12-08", "days": 1, "closes_later_minutes": 60})).await;
    assert!(figures(&longer, "changed")[0] > figures(&longer, "as_is")[0], "{longer}");
    let shorter = ask(json!({"from": "2026-12-08", "days": 1, "closes_later_minutes": -60})).await;
    let [wanted, sold, refused] = figures(&shorter, "changed");
    assert_eq!(wanted, figures(&shorter, "as_is")[0], "shorter hours make nobody want less");
    assert!((wanted - sold - refused).abs() < 0.2 && refused > figures(&shorter, "as_is")[2], "{shorter}");
    app.stop().await;
}

#[actix_rt::test]
async fn plans_of_another_museum_do_not_exist() {
    let app = App::start().await;
    let manager = app.key_for(Role::Manager, Museums::Only(vec![crate::support::MARE])).await;
    for path in ["forecast", "forecast/months", "attendance", "roster", "planning-policy", "presence"] {
        let there = app.request(Method::GET, &format!("/v1/museums/torre/{path}"), &manager).send().await.unwrap();
        assert_eq!(there.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let report = app.get("/v1/forecasts/report", &manager).await;
    assert_eq!(report["museums"].as_array().unwrap().iter().map(|museum| &museum["slug"]).collect::<Vec<_>>(), ["mare"]);
    app.stop().await;
}
