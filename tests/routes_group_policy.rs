//! A museum's rules for groups over HTTP: the defaults, versions by day, and what cannot be a rule.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use crate::routes_museums::example;
use crate::support::{App, expect};

const PATH: &str = "/v1/museums/torre/group-policy";

#[actix_rt::test]
async fn rules_hold_from_a_day_on_and_nobody_overwrites_unseen() {
    let app = App::start().await;
    let (manager, operator) = (app.key(Role::Manager).await, app.key(Role::Operator).await);
    let defaults = app.get(PATH, &operator).await;
    assert_eq!((&defaults["revision"], defaults.get("valid_from")), (&json!(0), None), "{defaults}");
    assert_eq!((&defaults["policy"]["group_max"], &defaults["policy"]["school"]["escorts"]["one_per"]), (&json!(25), &json!(15)));
    let body = example("/v1/museums/{museum}/group-policy", "put");
    let (status, set) = app.ask(Method::PUT, PATH, &manager, "one", &body).await;
    assert_eq!((status, &set["revision"], &set["valid_from"]), (StatusCode::OK, &json!(1), &json!("2027-01-01")), "{set}");
    assert_eq!(app.ask(Method::PUT, PATH, &manager, "one", &body).await, (status, set.clone()), "a repeat gives the first answer");
    assert_eq!(app.get(&format!("{PATH}?on=2027-03-01"), &operator).await, set, "what is read is what was set");
    assert_eq!(app.get(&format!("{PATH}?on=2026-12-31"), &operator).await["revision"], 0, "it does not hold before");
    let read = app.request(Method::GET, &format!("{PATH}?on=2027-03-01"), &operator).header("If-None-Match", "\"1\"").send().await.unwrap();
    assert_eq!(read.status(), StatusCode::NOT_MODIFIED);
    let again = app.request(Method::PUT, PATH, &manager).header("Idempotency-Key", "two").header("If-Match", "\"7\"").json(&body);
    let problem = expect(again.send().await.unwrap(), StatusCode::PRECONDITION_FAILED).await;
    assert_eq!(problem["revision"], 1);
    app.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_a_rule_is_refused() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    let body = example("/v1/museums/{museum}/group-policy", "put");
    type Change = fn(&mut Value);
    let cases: [(Change, u16, &str); 8] = [
        (|body| body["valid_from"] = json!("2026-11-22"), 422, "valid_from_past"),
        (|body| body["policy"]["group_min"] = json!(0), 422, "invalid_group_policy"),
        (|body| body["policy"]["school"]["escorts"]["one_per"] = json!(0), 422, "invalid_group_policy"),
        (|body| body["policy"]["other"]["fee"]["amount_cents"] = json!(-1), 422, "invalid_group_policy"),
        (|body| body["policy"]["extras"][0]["name"]["it"] = json!(""), 422, "invalid_group_policy"),
        (|body| body["policy"]["signature_days"] = json!(0), 422, "invalid_group_policy"),
        (|body| body["policy"]["desk_for"] = json!(["army"]), 422, "invalid"),
        (|body| body["policy"]["more"] = json!(1), 422, "invalid"),
    ];
    for (number, (change, status, code)) in cases.into_iter().enumerate() {
        let mut body = body.clone();
        change(&mut body);
        let (found, problem) = app.ask(Method::PUT, PATH, &manager, &number.to_string(), &body).await;
        assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{body}: {problem}");
    }
    assert_eq!(app.ask(Method::PUT, PATH, &office, "o", &body).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.ask(Method::PUT, "/v1/museums/nowhere/group-policy", &manager, "n", &body).await.0, StatusCode::NOT_FOUND);
    app.stop().await;
}
