//! What visitors and staff go through, from the first request to the gate.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use crate::pagopa;
use crate::pagopa::platform::Platform;
use crate::routes_sales::{desk, free, hold, lines, ticket};
use crate::routes_tickets::{bytes, scan};
use crate::support::{App, TORRE, receipt, settings, slot};

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
    let states: Vec<&str> = now["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["inside"; 2]);
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
    let (status, unopened) = app.post(&path, &reseller, "early", &on("tour-op")).await;
    assert_eq!((status.as_u16(), unopened["code"].as_str()), (404, Some("unknown_account")));
    let office = app.key(Role::GroupOffice).await;
    done(&app, "/v1/accounts", &office, "account", json!({"account": "tour-op", "limit_cents": 5_000})).await;
    let sale = done(&app, &path, &reseller, "own", on("tour-op")).await;
    assert_eq!((&sale["total_cents"], &sale["settlement"]), (&json!(4_800), &on("tour-op")["settlement"]));
    let cancelled = done(&app, &format!("/v1/sales/{hold}/cancel"), &office, "cancel", json!({"cause": "museum", "tickets": [3]})).await;
    assert_eq!(cancelled["tickets"], json!([3]));
    tornello_actors::payments::resume(app.node()).await;
    let account = app.get("/v1/accounts/tour-op", &office).await;
    assert_eq!((&account["owed_cents"], &account["charges"][0]["sale"]), (&json!(3_600), &json!(hold)), "{account}");
    let more = self::hold(&app, &reseller, twelve, "full", 2, "more").await;
    let (status, beyond) = app.post(&format!("/v1/holds/{more}/confirm"), &reseller, "beyond", &on("tour-op")).await;
    assert_eq!((status.as_u16(), beyond["code"].as_str()), (409, Some("credit_limit")), "{beyond}");

    let reached = app.node().head().number;
    app.node().files().unwrap().views.reach(reached).await;
    let listed = app.get("/v1/sales?mine=true", &reseller).await;
    let item = &listed["items"][0];
    assert_eq!((&item["account"], &item["people"], &item["cancelled"]), (&json!("tour-op"), &json!(4), &json!(1)));
    app.stop().await;
}

#[actix_rt::test]
async fn a_buyer_pays_by_checkout_has_tickets_cancels_and_gets_the_money_back() {
    let platform = Platform::start();
    let connected = tornello_api::pagopa::gateway::Pagopa::new(pagopa::settings(&platform.address)).unwrap();
    let app = App::start_with(tornello_api::server::ServerSettings { pagopa: Some(std::sync::Arc::new(connected)), ..settings() }).await;
    let (web, office, fifteen) = (app.key(Role::Web).await, app.key(Role::GroupOffice).await, slot(TORRE, 15));
    let held = hold(&app, &web, fifteen, "full", 2, "hold").await;
    let urls = json!({"ok": "https://tickets.example.it/ok", "cancel": "https://tickets.example.it/no", "error": "https://tickets.example.it/error"});
    let form = json!({"holds": [held], "gateway": {"checkout": {"return_urls": urls}},
        "payer": {"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"}});
    let begun = done(&app, "/v1/payments", &web, "pay", form).await;
    assert_eq!((&begun["state"], &begun["amount_cents"]), (&json!("pending"), &json!(2_400)), "{begun}");
    assert!(begun["checkout_url"].as_str().unwrap().starts_with("http"), "{begun}");
    let (id, number) = (begun["payment"].as_str().unwrap(), begun["notice_number"].as_str().unwrap());
    let path = format!("/v1/payments/{id}");
    let creditor = begun["creditor"].as_str().unwrap();
    assert_eq!(platform.stored(creditor, &format!("tornello-{id}")).unwrap().status, "VALID", "the position is registered");

    // The browser's return proves nothing; the receipt does.
    assert_eq!(app.get(&path, &web).await["state"], "pending");
    let ours = |message: String| message.replace("77777777777_01", &format!("{creditor}_01")).replace("77777777777", creditor);
    let (_, answer) = app.soap("paSendRT", &ours(receipt("token", number, "24.00", "2026-11-23T09:31:00"))).await;
    assert!(answer.contains("<outcome>OK</outcome>"), "{answer}");
    app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    let tickets = app.request(reqwest::Method::GET, &format!("/v1/sales/{held}/tickets.pdf"), &web).send().await.unwrap();
    assert_eq!(tickets.status(), StatusCode::OK);

    let cancelled = done(&app, &format!("/v1/sales/{held}/cancel"), &office, "cancel", json!({"cause": "museum"})).await;
    assert_eq!(cancelled["refund_cents"], 2_400);
    tornello_actors::payments::resume(app.node()).await;
    let refund = format!("/v1/refunds/{id}-0");
    assert_eq!(app.get(&refund, &office).await["state"], "open");
    let account = json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"});
    assert_eq!(app.ask(reqwest::Method::PUT, &format!("{refund}/payee"), &office, "payee", &account).await.0, StatusCode::OK);
    let order = json!({"debtor": {"name": "Direzione generale Musei", "iban": "IT60X0542811101000000123456"}, "execution_date": "2026-11-25"});
    let file = done(&app, "/v1/refunds/export", &office, "export", order).await;
    assert!(file.as_str().unwrap().contains(&format!("{id}-0")), "{file}");
    done(&app, &format!("{refund}/confirm"), &office, "confirm", json!({"reference": "CRO 1", "executed_on": "2026-11-23"})).await;
    let end = app.get(&path, &office).await;
    assert_eq!((&end["refunded"], &end["refunds"][0]["state"]), (&json!("whole"), &json!("paid_back")), "{end}");
    let lines = end["ledger"].as_array().unwrap();
    assert_eq!(lines.iter().map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>(), 0, "{end}");
    let treasury = lines.iter().filter(|line| line["account"] == "treasury").map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(treasury, 0, "what came has gone back");
    app.stop().await;
    platform.stop().await;
}

#[actix_rt::test]
async fn an_analyst_is_told_looks_decides_and_the_honest_go_in() {
    use crate::routes_fraud::{at_gate, look, sell_assessed};
    use tornello_engine::envelope::Outcome;
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let watch = app.request(reqwest::Method::GET, "/v1/live?museum=torre", &analyst).send().await.unwrap();
    let scalper = sell_assessed(&app, fifteen, 1, 70, Outcome::Review, 90).await;
    let family = sell_assessed(&app, fifteen, 2, 71, Outcome::Review, 55).await;
    look(&app).await;
    let (mut stream, mut told) = (Box::pin(watch.bytes_stream()), String::new());
    while told.matches("event: fraud_case").count() < 2 {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), futures_util::StreamExt::next(&mut stream)).await.expect("in time");
        told.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    drop(stream);
    let queue = app.get("/v1/fraud/cases", &analyst).await;
    let case = |sale: tornello_engine::ids::HoldId| {
        let items = queue["items"].as_array().unwrap();
        items.iter().find(|item| item["subject"] == sale.to_string()).unwrap()["case"].as_str().unwrap().to_owned()
    };
    for (sale, verdict) in [(scalper, "fraud"), (family, "legit")] {
        let seen = app.get(&format!("/v1/fraud/cases/{}", case(sale)), &analyst).await;
        assert_eq!(seen["assessment"]["reasons"][0]["en"], "Same buyer: holds that were never paid within an hour", "{seen}");
        done(&app, &format!("/v1/fraud/cases/{}/verdict", case(sale)), &analyst, verdict, json!({"verdict": verdict, "reason": "looked"})).await;
    }
    // On the day: who was honest goes in, who was not does not.
    app.pass(5 * 3_600 + 1_800).await;
    assert_eq!((at_gate(&app, family, "f").await.as_str(), at_gate(&app, scalper, "s").await.as_str()), ("admitted", "ticket_blocked"));
    look(&app).await;
    let report = app.get("/v1/fraud/report", &analyst).await;
    assert_eq!((&report["total"]["precision"], &report["total"]["good_hurt"]), (&json!(0.5), &json!(0)), "{report}");
    app.stop().await;
}
