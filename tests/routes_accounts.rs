//! Operators' accounts over HTTP: what was agreed, what is owed, and who may see and change it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};

use crate::routes_museums::example;
use crate::support::{App, MARE};

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
    let (status, changed) = app.ask(Method::PUT, path, &office, "c", &json!({"institution": {"vat": "12345678903"}, "suspended": true})).await;
    assert_eq!(
        (status.as_u16(), changed.get("limit_cents"), &changed["suspended"], &changed["institution"]["vat"]),
        (200, None, &json!(true), &json!("12345678903"))
    );
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
        (Method::PUT, "/v1/accounts/nobody", json!({"institution": {}}), 404, "unknown_account"),
        (Method::PUT, "/v1/accounts/tour-op", json!({"institution": {}, "limit_cents": -1}), 422, "bad_amount"),
        (Method::PUT, "/v1/accounts/tour-op/agreements", overlapping, 422, "agreements_overlap"),
        (Method::PUT, "/v1/accounts/tour-op/agreements", bad, 422, "bad_agreement"),
        (Method::PUT, "/v1/accounts/nobody/agreements", json!({"agreements": []}), 404, "unknown_account"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(0, "CRO-2"), 422, "bad_amount"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(1, "caffè"), 422, "bad_reference"),
        (Method::POST, "/v1/accounts/tour-op/settlements", settlement(2, "CRO-1"), 409, "already_settled"),
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
            json!({"institution": {}})
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
