//! What a slot's history says of the steps that come before the slot: each of them, for the moment that is asked about, and none left out.

use jiff::civil::time;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::ids::SlotId;

use crate::support::{App, MARE, TORRE, plan, slot};

/// All steps, in their order.
const STEPS: [&str; 13] = [
    "entrance",
    "key",
    "code",
    "settlement",
    "waiting_room",
    "prices",
    "fraud",
    "names",
    "payment",
    "account",
    "buyer_over_slots",
    "building",
    "plan",
];

/// The slot of so many days after today at that hour.
fn later(days: i64, hour: i8) -> SlotId {
    let today = slot(TORRE, hour);
    SlotId::new(TORRE, today.route(), today.start().plus_seconds(days * 86_400))
}

/// The number of a key, as records name it.
fn number(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

/// What would have been said, with every step in its place.
async fn asked(app: &App, key: &str, slot: SlotId, question: &str) -> Value {
    let said = app.get(&format!("/v1/slots/{slot}/history?{question}"), key).await["decision"].clone();
    let steps = said["asked_before"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, STEPS, "{question}");
    for step in steps {
        assert!(step["sentence"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{question}: {step}");
        assert_eq!(step.get("problem").is_some(), step["said"] == "refused", "{question}: {step}");
    }
    let of = |word: &str| steps.iter().filter(|step| step["said"] == word).map(|step| &step["step"]).collect::<Vec<_>>();
    assert_eq!(said["not_decided"], json!(of("not_decided")), "{question}");
    assert_eq!(said.get("refused_before"), of("refused").first().copied(), "{question}");
    said
}

/// What one step says, and the code of the problem if it refuses.
fn step<'a>(said: &'a Value, name: &str) -> (&'a str, Option<&'a str>) {
    let found = said["asked_before"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap();
    (found["said"].as_str().unwrap(), found["problem"]["code"].as_str())
}

fn kinds(said: &Value) -> Vec<&str> {
    said["events"].as_array().map_or_else(Vec::new, |events| events.iter().map(|event| event["kind"].as_str().unwrap()).collect())
}

#[actix_rt::test]
async fn what_a_buyer_had_in_other_slots_then_is_counted() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let mut limited = plan();
    let limits = &mut limited.routes[0].policy.limits;
    (limits.day_max, limits.holds_max) = (Some(4), Some(2));
    app.set_plan(limited).await;
    let (ten, eleven, after) = (later(1, 10), later(1, 11), later(2, 10));
    let hold = async |slot: SlotId, name: &str, count: u16| {
        let body = json!({"lines": [{"category": "full", "count": count}], "parties": [{"kind": "buyer", "value": "ada"}]});
        app.post(&format!("/v1/slots/{slot}/holds"), &web, name, &body).await
    };
    app.pass(60).await;
    let before = app.node().now();
    app.pass(60).await;
    assert_eq!(hold(ten, "a", 3).await.0, StatusCode::CREATED);
    app.pass(60).await;
    let one = app.node().now();
    let (status, refused) = hold(eleven, "b", 2).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("too_many_for_day")), "{refused}");

    let day = ("refused", Some("too_many_for_day"));
    for (at, channel, buyer, expected) in [
        (before, "web", "&buyer=ada", ("passed", None)),
        (one, "web", "&buyer=ada", day),
        (one, "web", "&buyer=bob", ("passed", None)),
        (one, "web", "", ("not_decided", None)),
        (one, "box_office", "&buyer=ada", ("not_asked", None)),
    ] {
        let said = asked(&app, &manager, eleven, &format!("at={at}&command=hold&channel={channel}&people=2&category=full{buyer}")).await;
        assert_eq!(
            (&said["outcome"], step(&said, "buyer_over_slots")),
            (&json!("accepted"), expected),
            "{at} {channel} {buyer}: the slot knows nothing of it"
        );
        if expected == day {
            let told = said["asked_before"][10]["problem"].clone();
            assert_eq!(
                ["title", "detail", "max", "has"].map(|name| &told[name]),
                ["title", "detail", "max", "has"].map(|name| &refused[name]),
                "as the caller was told"
            );
            assert_eq!(said["refused_before"], "buyer_over_slots");
        }
    }

    // Of another day only the open holds count: one then, two now, none when they have ended.
    app.pass(60).await;
    assert_eq!(hold(ten, "c", 1).await.0, StatusCode::CREATED);
    app.pass(60).await;
    let two = app.node().now();
    app.pass(12 * 3_600).await;
    let ended = app.node().now();
    for (at, expected) in [(one, ("passed", None)), (two, ("refused", Some("too_many_open_holds"))), (ended, ("passed", None))] {
        let said = asked(&app, &manager, after, &format!("at={at}&command=hold&channel=web&people=1&category=full&buyer=ada")).await;
        assert_eq!(step(&said, "buyer_over_slots"), expected, "{at}");
    }
    // What a slot that is long over had is not at hand: that is said, and nothing is guessed.
    let question = format!("at={one}&command=hold&channel=web&people=2&category=full&buyer=ada");
    assert_eq!(step(&asked(&app, &manager, ten, &question).await, "buyer_over_slots"), day);
    app.pass(5 * 86_400).await;
    assert_eq!(step(&asked(&app, &manager, ten, &question).await, "buyer_over_slots"), ("not_decided", None));
    app.stop().await;
}

#[actix_rt::test]
async fn the_key_and_the_waiting_room_of_then_are_looked_at() {
    let app = App::start().await;
    let (web, desk, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let ten = later(1, 10);
    let hold = format!("command=hold&people=1&category=full&key={}", number(&web));
    let said = asked(&app, &manager, ten, &hold).await;
    assert_eq!((&said["outcome"], &said["events"][1]["fields"]["channel"]), (&json!("accepted"), &json!("web")), "the key's own channel: {said}");
    let steps = ["key", "code", "settlement", "waiting_room", "prices", "fraud", "buyer_over_slots"].map(|name| step(&said, name).0);
    assert_eq!(steps, ["passed", "not_asked", "not_asked", "passed", "passed", "not_decided", "not_asked"], "{said}");
    assert_eq!(said["not_decided"], json!(["entrance", "fraud"]));
    let free = app.node().now();

    app.pass(60).await;
    let room = json!({"code": "spring", "slots_from": "2026-11-23T00:00:00Z", "slots_to": "2026-12-24T00:00:00Z", "opens_at": "2026-11-23T09:00:00Z",
        "closes_at": "2026-11-23T10:00:00Z", "per_minute": 60});
    assert_eq!(app.post("/v1/museums/torre/waiting-rooms", &manager, "room", &room).await.0, StatusCode::CREATED);
    let announced = app.node().now();
    let said = asked(&app, &manager, ten, &hold).await;
    assert_eq!((&said["refused_before"], &said["asked_before"][4]["problem"]["room"]), (&json!("waiting_room"), &json!("spring")), "{said}");
    app.pass(3_600).await;
    assert_eq!(step(&asked(&app, &manager, ten, &hold).await, "waiting_room"), ("not_decided", None), "whom it has let through is not kept");
    app.pass(3_600).await;
    for (at, question, expected) in [
        (free, hold.as_str(), ("passed", None)),
        (announced, hold.as_str(), ("refused", Some("waiting_room"))),
        (announced, "command=wait&channel=web&people=1", ("refused", Some("waiting_room"))),
        (announced, "command=hold&channel=kiosk&people=1", ("not_asked", None)),
        (announced, "command=sell&channel=box_office&people=1", ("not_asked", None)),
        (app.node().now(), hold.as_str(), ("passed", None)),
    ] {
        assert_eq!(step(&asked(&app, &manager, ten, &format!("at={at}&{question}")).await, "waiting_room"), expected, "{at} {question}");
    }

    // What a key may do.
    let sale = json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{ten}/sales"), &desk, "sale", &sale).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let (sale, ticket) = (sold["sale"].as_str().unwrap(), sold["tickets"][0]["ticket"].as_str().unwrap());
    let (gate, other_desk, reseller) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Reseller).await);
    for (question, key, outcome, expected) in [
        ("hold&people=1&category=full".to_owned(), &gate, "accepted", ("refused", Some("forbidden"))),
        (format!("cancel&sale={sale}"), &other_desk, "accepted", ("passed", None)),
        (format!("cancel&sale={sale}"), &web, "refused", ("passed", None)),
        (format!("cancel&sale={sale}&cause=museum"), &reseller, "refused", ("refused", Some("forbidden"))),
        (format!("cancel&sale={sale}&cause=museum"), &desk, "accepted", ("passed", None)),
        (format!("block&sale={sale}&reason=resold"), &desk, "accepted", ("refused", Some("forbidden"))),
        (format!("block&sale={sale}&reason=resold"), &manager, "accepted", ("passed", None)),
        (format!("admit&ticket={ticket}"), &web, "refused", ("refused", Some("forbidden"))),
        (format!("admit&ticket={ticket}"), &gate, "refused", ("passed", None)),
    ] {
        let said = asked(&app, &manager, ten, &format!("command={question}&key={}", number(key))).await;
        assert_eq!((&said["outcome"], step(&said, "key")), (&json!(outcome), expected), "{question}: {said}");
    }
    // A key of another museum is like one that there is not.
    let elsewhere = app.key_for(Role::Web, Museums::Only(vec![MARE])).await;
    let of = async |key: &str| asked(&app, &manager, ten, &format!("command=hold&channel=web&people=1&key={key}")).await["asked_before"][1].clone();
    let theirs = of(number(&elsewhere)).await;
    assert_eq!((&theirs, &theirs["problem"]["code"]), (&of("0000000000009").await, &json!("not_found")));
    let named = format!("/v1/slots/{ten}/history?command=hold&channel=kiosk&people=1&key={}", number(&web));
    let response = app.request(Method::GET, &named, &manager).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "a web shop's key sells through no totem");
    // A key is as good as it was then.
    app.pass(60).await;
    let good = app.node().now();
    app.pass(60).await;
    app.node().files().unwrap().keys.revoke(number(&web).parse().unwrap(), app.node().now()).await.unwrap();
    assert_eq!(step(&asked(&app, &manager, ten, &format!("at={good}&{hold}")).await, "key"), ("passed", None));
    let said = asked(&app, &manager, ten, &hold).await;
    assert_eq!((step(&said, "key"), &said["asked_before"][1]["problem"]["reason"]), (("refused", Some("unauthorized")), &json!("key_revoked")));
    app.stop().await;
}

#[actix_rt::test]
async fn accounts_and_payments_are_as_they_were_then() {
    let app = App::start().await;
    let (operator, office, desk, web) =
        (app.key(Role::Operator).await, app.key(Role::GroupOffice).await, app.key(Role::BoxOffice).await, app.key(Role::Web).await);
    let (manager, noon) = (app.key(Role::Manager).await, later(23, 12));
    let sell = format!("command=sell&people=1&category=full&key={}", number(&operator));
    let unopened = app.node().now();
    app.pass(60).await;
    let (status, opened) = app.post("/v1/accounts", &office, "open", &json!({"account": "tour-op", "limit_cents": 1_000})).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    let opened = app.node().now();
    app.pass(60).await;
    let agreed = json!({"agreements": [{"category": "full", "price": {"percent_off": 50}, "from": "2026-11-01", "to": "2026-12-31"}]});
    assert_eq!(app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, "agree", &agreed).await.0, StatusCode::OK);
    for (at, cents, expected) in [
        (unopened, 1_200, ("refused", Some("unknown_account"))),
        (opened, 1_200, ("refused", Some("credit_limit"))),
        (app.node().now(), 600, ("passed", None)),
    ] {
        let said = asked(&app, &manager, noon, &format!("at={at}&{sell}")).await;
        let sold = said["events"].as_array().unwrap().iter().find(|event| event["kind"] == "sold").unwrap();
        assert_eq!((&sold["fields"]["lines"][0]["price_cents"], step(&said, "account")), (&json!(cents), expected), "{said}");
        assert_eq!((step(&said, "settlement"), step(&said, "prices")), (("passed", None), ("passed", None)), "{said}");
    }
    let not_allowed = ("refused", Some("settlement_not_allowed"));
    for (question, settlement, account) in [
        (format!("{sell}&account=rival"), not_allowed, ("refused", Some("unknown_account"))),
        (format!("command=sell&people=1&category=under-18&key={}", number(&web)), not_allowed, ("not_asked", None)),
        (
            format!("command=sell&people=1&category=full&settlement=on_account&account=tour-op&key={}", number(&office)),
            ("passed", None),
            ("refused", Some("credit_limit")),
        ),
        ("command=sell&channel=group&people=1&category=full".to_owned(), ("not_decided", None), ("not_decided", None)),
        ("command=hold&channel=group&people=1&category=full".to_owned(), ("not_asked", None), ("not_asked", None)),
    ] {
        let said = asked(&app, &manager, noon, &question).await;
        assert_eq!((step(&said, "settlement"), step(&said, "account")), (settlement, account), "{question}: {said}");
    }

    // A payment keeps a hold as long as it can be paid, and no longer.
    let hold = app.hold(noon, &desk, "h", json!([{"category": "full", "count": 1}])).await;
    let confirm = format!("command=confirm&hold={hold}&settlement=desk");
    assert_eq!(step(&asked(&app, &manager, noon, &confirm).await, "payment"), ("not_asked", None));
    let (status, payment) = app.post("/v1/payments", &desk, "p", &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{payment}");
    let kept = app.node().now();
    app.pass(60).await;
    let cancel = format!("/v1/payments/{}/cancel", payment["payment"].as_str().unwrap());
    assert_eq!(app.post(&cancel, &desk, "x", &json!({})).await.0, StatusCode::OK);
    for (at, outcome, code) in [(kept, "refused", json!("hold_kept")), (app.node().now(), "accepted", Value::Null)] {
        let said = asked(&app, &manager, noon, &format!("at={at}&{confirm}")).await;
        assert_eq!((&said["outcome"], &said["problem"]["code"], step(&said, "payment")), (&json!(outcome), &code, ("passed", None)), "{at}: {said}");
        let released = asked(&app, &manager, noon, &format!("at={at}&command=release&hold={hold}")).await;
        assert_eq!((&released["outcome"], &released["problem"]["code"]), (&json!(outcome), &code), "{at}: {released}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn tickets_of_an_operators_account_are_its_own_also_where_they_have_moved_to() {
    let app = App::start().await;
    let (operator, office, manager) = (app.key(Role::Operator).await, app.key(Role::GroupOffice).await, app.key(Role::Manager).await);
    let (ten, eleven) = (later(1, 10), later(1, 11));
    assert_eq!(app.post("/v1/accounts", &office, "open", &json!({"account": "tour-op"})).await.0, StatusCode::CREATED);
    let body = json!({"lines": [{"category": "full", "count": 2}], "settlement": {"on_account": {"account": "tour-op"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{ten}/sales"), &office, "s", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let there = json!({"slot": eleven.to_string(), "tickets": [0]});
    let (status, moved) = app.post(&format!("/v1/sales/{}/move", sold["sale"].as_str().unwrap()), &office, "m", &there).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    app.pass(60).await;
    for (slot, sale) in [(ten, &sold["sale"]), (eleven, &moved["sale"])] {
        let sale = sale.as_str().unwrap();
        for command in ["cancel".to_owned(), "rename".to_owned(), format!("move&to={}", later(1, 12))] {
            let said = asked(&app, &manager, slot, &format!("command={command}&sale={sale}&key={}", number(&operator))).await;
            assert_eq!(said["outcome"], "accepted", "{command} of {sale}: {said}");
        }
        let (status, cancelled) = app.post(&format!("/v1/sales/{sale}/cancel"), &operator, sale, &json!({"cause": "visitor"})).await;
        assert_eq!(status, StatusCode::OK, "as it may: {cancelled}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn tickets_that_are_named_when_they_are_sold_are_asked_about_and_no_command_skips_a_step() {
    let app = App::start().await;
    let (web, desk, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let (ten, eleven) = (later(1, 10), later(1, 11));
    let hold = app.hold(ten, &web, "h", json!([{"category": "under-18", "count": 2}])).await;
    let sale = json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (_, sold) = app.post(&format!("/v1/slots/{ten}/sales"), &desk, "s", &sale).await;
    let (sale, ticket) = (sold["sale"].as_str().unwrap(), sold["tickets"][0]["ticket"].as_str().unwrap());

    let sell = "command=sell&channel=box_office&people=2&category=full";
    let confirm = format!("command=confirm&hold={hold}&key={}", number(&web));
    for question in [sell, confirm.as_str()] {
        let (plain, named) = (asked(&app, &manager, ten, question).await, asked(&app, &manager, ten, &format!("{question}&named=true")).await);
        assert_eq!((kinds(&plain), kinds(&named)), (vec!["sold"], vec!["sold", "renamed"]), "{question}");
        assert_eq!(named["events"][1]["fields"]["tickets"], json!([[0, 2], [1, 2]]), "every ticket bears the name, under a second issue of its code");
        assert_eq!((step(&plain, "names"), step(&named, "names")), (("not_asked", None), ("not_decided", None)), "{question}");
        assert_eq!((step(&plain, "fraud"), step(&named, "fraud")), (("not_decided", None), ("not_decided", None)), "{question}");
        let sentence = |said: &Value| said["asked_before"][6]["sentence"].as_str().unwrap().to_owned();
        assert!(sentence(&plain).contains("step_up_required") && sentence(&named).contains("the names on the tickets are it"), "{question}");
    }

    // Which steps say something of each command; the helper sees to it that none is left out.
    for (question, told) in [
        ("hold&channel=web&people=1&category=full".to_owned(), vec!["waiting_room", "prices", "fraud"]),
        ("wait&channel=web&people=1&category=full".to_owned(), vec!["waiting_room", "prices", "fraud"]),
        ("sell&channel=box_office&people=1&category=full".to_owned(), vec!["settlement", "prices", "fraud"]),
        (format!("confirm&hold={hold}"), vec!["settlement", "fraud"]),
        (format!("extend&hold={hold}"), vec![]),
        (format!("release&hold={hold}"), vec![]),
        (format!("shrink&hold={hold}&lines=under-18:1"), vec![]),
        (format!("leave&entry={hold}"), vec![]),
        (format!("cancel&sale={sale}"), vec!["fraud"]),
        (format!("move&sale={sale}&to={eleven}&channel=web"), vec!["waiting_room", "prices", "fraud"]),
        (format!("rename&sale={sale}"), vec!["names"]),
        (format!("block&sale={sale}&reason=resold"), vec![]),
        (format!("unblock&sale={sale}"), vec![]),
        (format!("admit&ticket={ticket}&issue=1"), vec!["code", "building"]),
        (format!("exit&ticket={ticket}"), vec!["code"]),
        (format!("scan&ticket={ticket}&issue=1&direction=in&scanned_at=2026-11-23T08:29:00Z"), vec!["code"]),
    ] {
        let said = asked(&app, &manager, ten, &format!("command={question}")).await;
        let steps = said["asked_before"].as_array().unwrap().iter().filter(|step| step["said"] != "not_asked");
        let names: Vec<&str> = steps.map(|step| step["step"].as_str().unwrap()).collect();
        assert_eq!(names, [vec!["entrance", "key"], told, vec!["plan"]].concat(), "{question}: of every request, and of this one");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_category_that_was_not_sold_is_refused_by_the_step_that_prices_it() {
    let app = App::start().await;
    let (manager, ten) = (app.key(Role::Manager).await, later(1, 10));
    for question in
        ["hold&channel=web&people=1&category=nobody", "wait&channel=web&lines=full:1,nobody:2", "sell&channel=kiosk&lines=nobody:1,full:1"]
    {
        let said = asked(&app, &manager, ten, &format!("command={question}")).await;
        assert_eq!((step(&said, "prices"), &said["refused_before"]), (("refused", Some("unknown_category")), &json!("prices")), "{question}");
        assert_eq!(said["asked_before"][5]["problem"]["category"], "nobody", "{question}: {said}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_slot_that_nobody_had_written_to_is_as_the_plan_of_then_has_it() {
    let app = App::start().await;
    let (manager, ten, evening) = (app.key(Role::Manager).await, later(1, 10), later(1, 20));
    let before = app.node().now();
    app.pass(60).await;
    let mut longer = plan();
    for sessions in &mut longer.routes[0].week {
        (sessions[0].closes, sessions[0].last_entry, sessions[0].capacity) = (time(22, 0, 0, 0), time(21, 0, 0, 0), 5);
    }
    app.set_plan(longer).await;
    let since = app.node().now();
    for (slot, at, capacity, expected) in [
        (ten, before, 20, ("passed", None)),
        (ten, since, 5, ("passed", None)),
        (evening, before, 5, ("refused", Some("not_found"))),
        (evening, since, 5, ("passed", None)),
    ] {
        let question = format!("at={at}&command=hold&channel=kiosk&people=1");
        let shown = app.get(&format!("/v1/slots/{slot}/history?{question}"), &manager).await;
        assert_eq!((&shown["state"]["capacity"], &shown["state"]["opened"]), (&json!(capacity), &json!(false)), "{slot} {at}");
        assert_eq!(step(&asked(&app, &manager, slot, &question).await, "plan"), expected, "{slot} {at}");
    }
    app.stop().await;
}
