//! What visitors and staff go through, from the first request to the gate.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use crate::routes_sales::{desk, free, hold, lines, ticket};
use crate::routes_tickets::{bytes, scan};
use crate::support::{App, TORRE, slot};

async fn done(app: &App, path: &str, key: &str, name: &str, body: Value) -> Value {
    let (status, answer) = app.post(path, key, name, &body).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

#[actix_rt::test]
async fn a_family_books_on_the_web_and_enters_with_the_code_on_the_telephone() {
    let app = App::start().await;
    let (web, gate, ten) = (app.key(Role::Web).await, app.key(Role::Gate).await, slot(TORRE, 10));
    let hold = hold(&app, &web, ten, "under-18", 2, "hold").await;
    let mut body = free();
    body["contact"] = json!({"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"});
    let sale = done(&app, &format!("/v1/holds/{hold}/confirm"), &web, "confirm", body).await;
    let tickets: Vec<_> = sale["tickets"].as_array().unwrap().iter().map(|ticket| ticket["ticket"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tickets.len(), 2);

    app.pass(16 * 60).await;
    for ticket in &tickets {
        let code = scan(&bytes(&app, &format!("/v1/tickets/{ticket}/qr.png"), &web, "image/png").await);
        let admitted = done(&app, "/v1/admissions", &gate, ticket, json!({"code": code, "gate": "north", "museum": "torre"})).await;
        assert_eq!((&admitted["verdict"], &admitted["ticket"], &admitted["entry"]), (&json!("admitted"), &json!(ticket), &json!(1)));
        assert!(admitted["proof_it"].as_str().unwrap().contains("18 anni"), "the gate looks at the age: {admitted}");
    }
    let now = app.get(&format!("/v1/sales/{hold}"), &web).await;
    assert!(now["tickets"].as_array().unwrap().iter().all(|ticket| ticket["state"] == "inside"));
    app.stop().await;
}

#[actix_rt::test]
async fn a_couple_buys_at_the_box_office_goes_in_and_out_and_not_in_again() {
    let app = App::start().await;
    let (office, gate, nine) = (app.key(Role::BoxOffice).await, app.key(Role::Gate).await, slot(TORRE, 9));
    let mut body = lines("full", 2);
    body["settlement"] = desk("R-2026-000123");
    let sale = done(&app, &format!("/v1/slots/{nine}/sales"), &office, "sell", body).await;
    assert_eq!((&sale["total_cents"], &sale["settlement"]), (&json!(2_400), &desk("R-2026-000123")));
    let id = sale["sale"].as_str().unwrap();
    assert!(bytes(&app, &format!("/v1/sales/{id}/tickets.pdf"), &office, "application/pdf").await.len() > 10_000);

    let at_gate = json!({"ticket": ticket(id, 0), "gate": "north", "museum": "torre"});
    assert_eq!(done(&app, "/v1/admissions", &gate, "in", at_gate.clone()).await["verdict"], "admitted");
    assert_eq!(app.get(&format!("/v1/tickets/{}", ticket(id, 0)), &office).await["state"], "inside");
    done(&app, "/v1/exits", &gate, "out", at_gate.clone()).await;
    let (status, problem) = app.post("/v1/admissions", &gate, "again", &at_gate).await;
    assert_eq!((status, &problem["code"], &problem["verdict"]), (StatusCode::CONFLICT, &json!("ticket_used"), &json!("refused")));

    let reached = app.node().head().number;
    app.node().files().unwrap().views.reach(reached).await;
    let found = app.get("/v1/sales?reference=R-2026-000123", &office).await;
    assert_eq!((&found["items"][0]["sale"], &found["items"][0]["admitted"]), (&json!(id), &json!(1)), "the receipt finds the sale");
    app.stop().await;
}

#[actix_rt::test]
async fn a_reseller_sells_on_its_own_account() {
    let app = App::start().await;
    let (reseller, twelve) = (app.key(Role::Reseller).await, slot(TORRE, 12));
    let hold = hold(&app, &reseller, twelve, "full", 4, "hold").await;
    let path = format!("/v1/holds/{hold}/confirm");
    let on = |account: &str| json!({"settlement": {"on_account": {"account": account}}});
    let (status, problem) = app.post(&path, &reseller, "other", &on("other")).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("settlement_not_allowed")));
    let sale = done(&app, &path, &reseller, "own", on("tour-op")).await;
    assert_eq!((&sale["total_cents"], &sale["settlement"]), (&json!(4_800), &on("tour-op")["settlement"]));
    let cancelled = done(&app, &format!("/v1/sales/{hold}/cancel"), &reseller, "cancel", json!({"cause": "visitor", "tickets": [3]})).await;
    assert_eq!(cancelled["tickets"], json!([3]));

    let reached = app.node().head().number;
    app.node().files().unwrap().views.reach(reached).await;
    let listed = app.get("/v1/sales?mine=true", &reseller).await;
    let item = &listed["items"][0];
    assert_eq!((&item["account"], &item["people"], &item["cancelled"]), (&json!("tour-op"), &json!(4), &json!(1)));
    app.stop().await;
}
