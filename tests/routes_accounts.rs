//! Operators' accounts over HTTP: what was agreed, what is owed, and who may see and change it.

use jiff::civil::date;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, NewKey, Role};
use tornello_engine::account::{AgreedPrice, Agreement, Command};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{KeyId, MuseumId, RouteId, SlotId};

use crate::routes_museums::example;
use crate::support::{App, MARE, TORRE, code, slot};

#[actix_rt::test]
async fn an_account_is_opened_changed_settled_and_listed() {
    let app = App::start().await;
    let (office, operator) = (app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    let (status, opened) = app.post("/v1/accounts", &office, "o", &example("/v1/accounts", "post")).await;
    assert_eq!(
        (status, &opened["account"], &opened["limit_cents"], &opened["owed_cents"]),
        (StatusCode::CREATED, &json!("roma-tours"), &json!(500_000), &json!(0)),
        "{opened}"
    );
    assert_eq!(
        app.post("/v1/accounts", &office, "o", &example("/v1/accounts", "post")).await,
        (status, opened.clone()),
        "a repeat gives the first answer"
    );
    let path = "/v1/accounts/roma-tours";
    let written = async || app.node().look_account(code("roma-tours"), |account| account.seq()).await.unwrap();
    let before = written().await;
    // What is left out was forgotten: no limit falls, and nobody who is suspended is charged again by that.
    for (forgotten, body) in
        [("limit_cents", json!({"institution": {}, "suspended": true})), ("suspended", json!({"institution": {}, "limit_cents": 1}))]
    {
        let (status, problem) = app.ask(Method::PUT, path, &office, forgotten, &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{problem}");
        assert!(problem["title"].as_str().unwrap().contains(&format!("`{forgotten}`")), "{problem}");
    }
    let change = json!({"institution": {"vat": "12345678903"}, "limit_cents": null, "suspended": true});
    let (status, changed) = app.ask(Method::PUT, path, &office, "c", &change).await;
    assert_eq!(
        (status.as_u16(), changed.get("limit_cents"), &changed["suspended"], &changed["institution"]["vat"]),
        (200, None, &json!(true), &json!("12345678903"))
    );
    assert_eq!(written().await, before + 1, "one record: nothing of it can be written without the rest");
    let agreements = example("/v1/accounts/{account}/agreements", "put");
    let (status, agreed) = app.ask(Method::PUT, &format!("{path}/agreements"), &office, "g", &agreements).await;
    assert_eq!((status.as_u16(), &agreed["agreements"]), (200, &agreements["agreements"]), "{agreed}");
    let settlement = example("/v1/accounts/{account}/settlements", "post");
    let (status, settled) = app.post(&format!("{path}/settlements"), &office, "s", &settlement).await;
    assert_eq!(
        (status.as_u16(), &settled["owed_cents"], &settled["payments"][0]["reference"]),
        (200, &json!(-24_000), &json!("CRO-0123456789")),
        "{settled}"
    );
    assert_eq!(app.get(path, &office).await, settled);

    app.post("/v1/accounts", &office, "t", &json!({"account": "tour-op"})).await;
    assert_eq!(app.get("/v1/accounts/tour-op", &operator).await["account"], "tour-op", "an operator reads its own");
    assert_eq!(app.request(Method::GET, path, &operator).send().await.unwrap().status(), 404);
    assert_eq!(app.request(Method::GET, "/v1/accounts", &operator).send().await.unwrap().status(), 403);
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let first = app.get("/v1/accounts?limit=1", &office).await;
    assert_eq!(
        (&first["items"][0]["account"], &first["items"][0]["owed_cents"], &first["items"][0]["agreements"]),
        (&json!("roma-tours"), &json!(-24_000), &json!(2)),
        "{first}"
    );
    let second = app.get(&format!("/v1/accounts?limit=1&cursor={}", first["next_cursor"].as_str().unwrap()), &office).await;
    assert_eq!((&second["items"][0]["account"], second.get("next_cursor")), (&json!("tour-op"), None));
    app.stop().await;
}

#[actix_rt::test]
async fn what_an_account_says_no_to() {
    let app = App::start().await;
    let (office, operator) = (app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    app.post("/v1/accounts", &office, "t", &json!({"account": "tour-op"})).await;
    let agreement = |from: &str, to: &str, price: Value| json!({"category": "full", "price": price, "from": from, "to": to});
    let percent = |from, to| agreement(from, to, json!({"percent_off": 10}));
    let overlapping = json!({"agreements": [percent("2027-01-01", "2027-12-31"), percent("2027-12-31", "2028-01-31")]});
    let bad = json!({"agreements": [agreement("2027-01-01", "2027-12-31", json!({"percent_off": 0}))]});
    let settlement = |cents: i64, reference: &str| json!({"amount_cents": cents, "reference": reference});
    app.post("/v1/accounts/tour-op/settlements", &office, "first", &settlement(1, "CRO-1")).await;
    let cases: Vec<(Method, &str, Value, u16, &str)> = vec![
        (Method::POST, "/v1/accounts", json!({"account": "tour-op"}), 409, "account_already_open"),
        (Method::POST, "/v1/accounts", json!({"account": "Not A Code"}), 422, "invalid"),
        (Method::POST, "/v1/accounts", json!({"account": "x", "institution": {"fiscal_code": "80213750580"}}), 422, "invalid"),
        // Nor is it there without the limit that was asked for.
        (Method::POST, "/v1/accounts", json!({"account": "unlimited", "limit_cents": -1}), 422, "bad_amount"),
        (Method::GET, "/v1/accounts/unlimited", json!({}), 404, "not_found"),
        (Method::POST, "/v1/accounts", json!({"account": "unlimited", "limit_cents": 1_000_000_001}), 422, "bad_amount"),
        (Method::GET, "/v1/accounts/unlimited", json!({}), 404, "not_found"),
        (Method::PUT, "/v1/accounts/nobody", json!({"institution": {}, "limit_cents": null, "suspended": false}), 404, "unknown_account"),
        (Method::PUT, "/v1/accounts/tour-op", json!({"institution": {}, "limit_cents": -1, "suspended": false}), 422, "bad_amount"),
        (Method::PUT, "/v1/accounts/tour-op/agreements", overlapping, 422, "agreements_overlap"),
        (Method::PUT, "/v1/accounts/tour-op/agreements", bad, 422, "bad_agreement"),
        (Method::PUT, "/v1/accounts/nobody/agreements", json!({"agreements": []}), 404, "unknown_account"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(0, "CRO-2"), 422, "bad_amount"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(1, "caffè"), 422, "bad_reference"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(2, "CRO-1"), 409, "already_settled"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(2, " CRO-1 "), 409, "already_settled"),
        (Method::GET, "/v1/accounts/nobody", json!({}), 404, "not_found"),
    ];
    for (number, (method, path, body, status, code)) in cases.into_iter().enumerate() {
        let (found, problem) = app.ask(method, path, &office, &number.to_string(), &body).await;
        assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{path} {body}: {problem}");
    }
    for (method, path) in [(Method::POST, "/v1/accounts"), (Method::PUT, "/v1/accounts/tour-op"), (Method::POST, "/v1/accounts/tour-op/settlements")]
    {
        let body = if path == "/v1/accounts" {
            json!({"account": "y"})
        } else if method == Method::PUT {
            json!({"institution": {}, "limit_cents": null, "suspended": false})
        } else {
            settlement(1, "a")
        };
        assert_eq!(app.ask(method, path, &operator, path, &body).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    // A key of one museum leaves the agreements of others alone.
    let mare = app.key_for(Role::GroupOffice, Museums::Only(vec![MARE])).await;
    let at = |museum: u16| json!({"museum": museum, "category": "full", "price": {"percent_off": 10}, "from": "2027-01-01", "to": "2027-12-31"});
    app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, "both", &json!({"agreements": [at(1), at(2)]})).await;
    for (number, (agreements, status)) in [(json!([at(2)]), 422), (json!([]), 422), (json!([at(1)]), 200)].into_iter().enumerate() {
        let body = json!({"agreements": agreements});
        let (found, answer) = app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &mare, &number.to_string(), &body).await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn an_agreement_names_a_museum_that_is_there_by_slug_or_number() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    app.post("/v1/accounts", &office, "t", &json!({"account": "tour-op"})).await;
    let at = |museum: &Value| json!({"museum": museum, "category": "full", "price": {"percent_off": 10}, "from": "2027-01-01", "to": "2027-12-31"});
    let agree = async |key: &str, agreements: Value| {
        app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, key, &json!({"agreements": agreements})).await
    };
    for (key, museum) in [("slug", json!("torre")), ("text", json!("1")), ("number", json!(1))] {
        let (status, agreed) = agree(key, json!([at(&museum)])).await;
        assert_eq!((status, &agreed["agreements"]), (StatusCode::OK, &json!([at(&json!(1))])), "{museum}");
    }
    // Whatever it is named by, and beside whatever stands.
    for (key, museum) in [("no-slug", json!("nowhere")), ("no-text", json!("999")), ("no-number", json!(999)), ("no-name", json!("No Slug"))] {
        let (status, problem) = agree(key, json!([at(&json!(1)), at(&museum)])).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{museum}: {problem}");
        let (title, detail) = (problem["title"].as_str().unwrap(), problem["detail"].as_str().unwrap());
        assert_eq!(title, format!("agreements: there is no museum {}", museum.as_str().unwrap_or("999")));
        assert!(detail.contains("GET /v1/museums"), "{detail}");
    }
    assert_eq!(app.get("/v1/accounts/tour-op", &office).await["agreements"], json!([at(&json!(1))]));

    // One that was agreed before museums were looked up stays where it is sent again, and goes where it is left out.
    let day = date(2027, 1, 1);
    let old =
        Agreement { museum: Some(MuseumId(999)), category: code("full"), price: AgreedPrice::PercentOff(10), from: day, to: date(2027, 12, 31) };
    let envelope = Envelope { who: KeyId(9), key: Digest(1), body: Digest(1), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().account(code("tour-op"), envelope, Command::SetAgreements { agreements: vec![old] }).await.unwrap();
    assert_eq!(agree("kept", json!([at(&json!(999)), at(&json!(2))])).await.0, StatusCode::OK);
    assert_eq!(agree("gone", json!([at(&json!(2))])).await.0, StatusCode::OK);
    assert_eq!(agree("kept", json!([at(&json!(999)), at(&json!(2))])).await.0, StatusCode::OK, "a repeat does nothing, and is answered");
    assert_eq!(app.get("/v1/accounts/tour-op", &office).await["agreements"], json!([at(&json!(2))]));
    assert_eq!(agree("again", json!([at(&json!(999))])).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    app.stop().await;
}

async fn key_of(app: &App, account: &str) -> String {
    let new = NewKey { name: account.to_owned(), role: Role::Operator, museums: Museums::All, account: Some(code(account)), expires_at: None };
    let (text, _) = app.node().files().unwrap().keys.create(new, app.node().now()).await.unwrap();
    text.expose().to_owned()
}

fn on_account(account: &str) -> Value {
    json!({"on_account": {"account": account}})
}

#[actix_rt::test]
async fn an_operator_sells_on_its_own_account_within_its_limit_and_touches_nothing_of_others() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let (own, colleague, rival) = (key_of(&app, "tour-op").await, key_of(&app, "tour-op").await, key_of(&app, "rival").await);
    // Far enough ahead that a cancellation pays all back.
    let at = |hour: i8| SlotId::new(TORRE, RouteId(1), calendar::instant(date(2026, 12, 16).at(hour, 0, 0, 0)));
    let (noon, full) = (at(12), |count: u16| json!([{"category": "full", "count": count}]));
    let confirm = |hold: &str| format!("/v1/holds/{hold}/confirm");
    let sell = async |key: &str, name: &str, count: u16, settlement: Value| {
        app.post(&format!("/v1/slots/{noon}/sales"), key, name, &json!({"lines": full(count), "settlement": settlement})).await
    };
    let owed = async || app.get("/v1/accounts/tour-op", &own).await["owed_cents"].clone();

    // Before the account is open there is nothing to charge.
    let (status, early) = sell(&own, "early", 1, on_account("tour-op")).await;
    assert_eq!((status.as_u16(), &early["code"]), (404, &json!("unknown_account")), "{early}");
    for account in ["tour-op", "rival"] {
        app.post("/v1/accounts", &office, account, &json!({"account": account, "limit_cents": 3_000})).await;
    }
    let agreed = json!({"agreements": [{"museum": 1, "category": "full", "price": {"percent_off": 25}, "from": "2026-11-01", "to": "2026-12-31"}]});
    assert_eq!(app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, "g", &agreed).await.0, StatusCode::OK);

    // From a hold, at what was agreed; nobody else confirms it, and not on another account.
    let held = app.hold(noon, &own, "h", full(2)).await;
    let (desk, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    for (key, account, status, problem) in [
        (&own, "rival", 422, "settlement_not_allowed"),
        (&rival, "rival", 404, "unknown_hold"),
        (&rival, "tour-op", 422, "settlement_not_allowed"),
        (&desk, "tour-op", 422, "settlement_not_allowed"),
        (&desk, "rival", 422, "settlement_not_allowed"),
        (&manager, "tour-op", 422, "settlement_not_allowed"),
    ] {
        let (found, refused) = app.post(&confirm(&held), key, account, &json!({"settlement": on_account(account)})).await;
        assert_eq!((found.as_u16(), &refused["code"]), (status, &json!(problem)), "{account}: {refused}");
    }
    let (status, sale) = app.post(&confirm(&held), &own, "c", &json!({"settlement": on_account("tour-op")})).await;
    assert_eq!((status.as_u16(), &sale["total_cents"], owed().await), (201, &json!(1_800), json!(1_800)), "{sale}");

    // At once, as often as the limit allows; a repeat is charged once.
    let (status, direct) = sell(&own, "direct", 1, on_account("tour-op")).await;
    assert_eq!((status.as_u16(), &direct["total_cents"], &direct["channel"]), (201, &json!(900), &json!("group")), "{direct}");
    assert_eq!(sell(&own, "direct", 1, on_account("tour-op")).await, (status, direct.clone()));
    let (status, beyond) = sell(&own, "beyond", 1, on_account("tour-op")).await;
    assert_eq!((status.as_u16(), &beyond["code"], owed().await), (409, &json!("credit_limit"), json!(2_700)), "{beyond}");
    let web = app.key(Role::Web).await;
    for (number, (key, settlement)) in [
        (&own, on_account("rival")),
        (&own, json!({"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}})),
        (&own, json!({"free": {}})),
        (&web, json!({"free": {}})),
        (&web, on_account("tour-op")),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, refused) = sell(key, &number.to_string(), 1, settlement.clone()).await;
        assert_eq!((status.as_u16(), &refused["code"]), (422, &json!("settlement_not_allowed")), "{settlement}: {refused}");
    }
    let places = app.get(&format!("/v1/slots/{noon}"), &office).await;
    assert_eq!(places["sold"], 3, "what was refused took no place: {places}");

    // The office settles on any account.
    let by_office = app.hold(noon, &rival, "o", full(1)).await;
    let (status, sale) = app.post(&confirm(&by_office), &office, "o", &json!({"settlement": on_account("rival")})).await;
    assert_eq!((status.as_u16(), &sale["settlement"]), (201, &on_account("rival")), "{sale}");
    let undone = app.post(&format!("/v1/sales/{by_office}/cancel"), &rival, "u", &json!({"cause": "visitor"})).await;
    assert_eq!(undone.0, StatusCode::OK, "it is that account's, though the office has sold it: {}", undone.1);

    // What was sold on the account is its own with every key of it, at once, and nothing to others.
    let path = format!("/v1/sales/{}", direct["sale"].as_str().unwrap());
    assert_eq!(app.request(Method::GET, &path, &colleague).send().await.unwrap().status(), 200, "no list has to know it");
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let listed = async |key: &str| app.get("/v1/sales", key).await["items"].as_array().unwrap().len();
    assert_eq!([listed(&own).await, listed(&colleague).await, listed(&rival).await], [2, 2, 1]);
    for what in ["", "/tickets.pdf"] {
        assert_eq!(app.request(Method::GET, &format!("{path}{what}"), &colleague).send().await.unwrap().status(), 200, "{what}");
        assert_eq!(app.request(Method::GET, &format!("{path}{what}"), &rival).send().await.unwrap().status(), 404, "{what}");
    }
    for (what, body) in [("cancel", json!({"cause": "visitor"})), ("move", json!({"slot": at(15).to_string()}))] {
        assert_eq!(app.post(&format!("{path}/{what}"), &rival, what, &body).await.0, StatusCode::NOT_FOUND, "{what}");
    }
    let named = json!({"holder": {"given_name": "Ada", "family_name": "Neri"}});
    let ticket = direct["tickets"][0]["ticket"].as_str().unwrap();
    assert_eq!(app.post(&format!("/v1/tickets/{ticket}/rename"), &rival, "n", &named).await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.post(&format!("/v1/tickets/{ticket}/rename"), &colleague, "n", &named).await.0, StatusCode::OK);
    let moved = app.post(&format!("{path}/move"), &colleague, "m", &json!({"slot": at(15).to_string()})).await;
    assert_eq!((moved.0, &moved.1["total_cents"]), (StatusCode::OK, &json!(900)), "{}", moved.1);
    // Of tickets that have moved the lists know where they were bought: whoever asks waits for them.
    let there = format!("/v1/sales/{}", moved.1["sale"].as_str().unwrap());
    assert_eq!(app.request(Method::GET, &there, &rival).send().await.unwrap().status(), 404);
    assert_eq!(app.post(&format!("{there}/cancel"), &colleague, "x", &json!({"cause": "visitor"})).await.0, StatusCode::OK);
    tornello_actors::payments::resume(app.node()).await;
    assert_eq!((owed().await, app.get("/v1/accounts/rival", &rival).await["owed_cents"].clone()), (json!(1_800), json!(0)));
    let suspended = json!({"institution": {}, "limit_cents": 3_000, "suspended": true});
    app.ask(Method::PUT, "/v1/accounts/tour-op", &office, "s", &suspended).await;
    assert_eq!(sell(&own, "later", 1, on_account("tour-op")).await.1["code"], "account_suspended");
    app.stop().await;
}

#[actix_rt::test]
async fn a_key_of_one_museum_sees_of_accounts_what_concerns_that_museum() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let at = |museums: &[MuseumId]| Museums::Only(museums.to_vec());
    let (torre, mare) = (app.key_for(Role::GroupOffice, at(&[TORRE])).await, app.key_for(Role::GroupOffice, at(&[MARE])).await);
    for account in ["a-charged", "b-agreed", "c-everywhere", "d-quoted", "e-elsewhere"] {
        app.post("/v1/accounts", &office, account, &json!({"account": account, "limit_cents": 100_000})).await;
    }
    let agree = async |account: &str, agreements: Value| {
        let path = format!("/v1/accounts/{account}/agreements");
        assert_eq!(app.ask(Method::PUT, &path, &office, &format!("agree-{account}"), &json!({"agreements": agreements})).await.0, StatusCode::OK);
    };
    let price = |museum: Value| json!({"museum": museum, "category": "full", "price": {"percent_off": 10}, "from": "2027-01-01", "to": "2027-12-31"});
    agree("b-agreed", json!([price(json!(1)), price(json!(2))])).await;
    agree("c-everywhere", json!([{"category": "full", "price": {"percent_off": 5}, "from": "2027-01-01", "to": "2027-12-31"}])).await;
    agree("e-elsewhere", json!([price(json!(2))])).await;
    // Agreements that are no more concern nobody.
    agree("a-charged", json!([price(json!(2))])).await;
    let none = json!({"agreements": []});
    app.ask(Method::PUT, "/v1/accounts/a-charged/agreements", &office, "none", &none).await;
    for (museum, count) in [(TORRE, 2), (MARE, 5)] {
        let form = json!({"lines": [{"category": "full", "count": count}], "settlement": on_account("a-charged")});
        let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(museum, 15)), &office, &museum.0.to_string(), &form).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
    }
    let visit = json!({"day": "2026-12-16", "time": "10:00", "lines": [{"category": "full", "count": 10}]});
    let form = json!({"museum": "torre", "kind": "tour_operator", "visit": visit, "account": "d-quoted"});
    let (_, quote) = app.post("/v1/quotes", &office, "q", &form).await;
    app.node().files().unwrap().views.reach(app.node().head().number).await;

    let listed = async |app: &App, key: &str| {
        let page = app.get("/v1/accounts", key).await;
        let item = |item: &Value| (item["account"].as_str().unwrap().to_owned(), item["charged_cents"].as_i64().unwrap(), item["agreements"].clone());
        page["items"].as_array().unwrap().iter().map(item).collect::<Vec<_>>()
    };
    let expected =
        |rows: &[(&str, i64, u32)]| rows.iter().map(|(account, cents, agreed)| ((*account).to_owned(), *cents, json!(agreed))).collect::<Vec<_>>();
    let all = [("a-charged", 8_400, 0), ("b-agreed", 0, 2), ("c-everywhere", 0, 1), ("d-quoted", 0, 0), ("e-elsewhere", 0, 1)];
    assert_eq!(listed(&app, &office).await, expected(&all));
    let of_torre = expected(&[("a-charged", 2_400, 0), ("b-agreed", 0, 1), ("c-everywhere", 0, 1), ("d-quoted", 0, 0)]);
    assert_eq!(listed(&app, &torre).await, of_torre);
    assert_eq!(listed(&app, &mare).await, expected(&[("a-charged", 6_000, 0), ("b-agreed", 0, 1), ("c-everywhere", 0, 1), ("e-elsewhere", 0, 1)]));
    let first = app.get("/v1/accounts?limit=1", &torre).await;
    assert_eq!(
        (&first["items"][0]["account"], first["items"][0].get("owed_cents"), first["items"][0].get("limit_cents")),
        (&json!("a-charged"), None, None)
    );
    let second = app.get("/v1/accounts?limit=1&cursor=a-charged", &torre).await;
    assert_eq!((&first["next_cursor"], &second["items"][0]["account"]), (&json!("a-charged"), &json!("b-agreed")));

    // What is not in a key's list does not exist for it.
    for (account, by_torre, by_mare) in
        [("a-charged", 200, 200), ("b-agreed", 200, 200), ("c-everywhere", 200, 200), ("d-quoted", 200, 404), ("e-elsewhere", 404, 200)]
    {
        for (key, expected) in [(&torre, by_torre), (&mare, by_mare)] {
            let found = app.request(Method::GET, &format!("/v1/accounts/{account}"), key).send().await.unwrap();
            assert_eq!(found.status().as_u16(), expected, "{account}");
        }
    }

    // One account: its own charges, and nothing of what is owed as a whole.
    let whole = app.get("/v1/accounts/a-charged", &office).await;
    assert_eq!((&whole["owed_cents"], &whole["credit_left_cents"], whole["charges"].as_array().unwrap().len()), (&json!(8_400), &json!(91_600), 2));
    let seen = app.get("/v1/accounts/a-charged", &torre).await;
    assert_eq!(seen["charges"].as_array().unwrap().iter().map(|charge| &charge["amount_cents"]).collect::<Vec<_>>(), [2_400], "{seen}");
    for sum in ["owed_cents", "credit_left_cents", "limit_cents"] {
        assert_eq!(seen.get(sum), None, "{seen}");
    }

    // A quote that is charged counts where its visit is, and less when its tickets are cancelled; lists that are built anew say the same.
    let path = format!("/v1/quotes/{}", quote["quote"].as_str().unwrap());
    app.post(&format!("{path}/send"), &office, "send", &json!({})).await;
    let (status, done) = app.post(&format!("{path}/accept"), &office, "accept", &json!({"revision": 1, "settle": "on_account"})).await;
    assert_eq!((status.as_u16(), &done["state"]), (200, &json!("ticketed")), "{done}");
    let cancel = format!("/v1/sales/{}/cancel", done["parts"][0]["sale"].as_str().unwrap());
    assert_eq!(app.post(&cancel, &office, "cancel", &json!({"cause": "museum", "tickets": [0]})).await.0, StatusCode::OK);
    tornello_actors::payments::resume(app.node()).await;
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let mut then = of_torre;
    then[3].1 = 10_800;
    assert_eq!(listed(&app, &torre).await, then);
    let app = app.restart_without_views().await;
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    assert_eq!(listed(&app, &torre).await, then);
    app.stop().await;
}
