//! A day that is called off, and takes place after all: what is said of each slot, who may cancel for how much, repeats, and what stays as staff have set it by itself.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use crate::routes_sales::{desk, lines, refuses, ticket};
use crate::support::{App, TORRE, slot};

const CLOSE: &str = "/v1/museums/torre/days/2026-11-23/close";
const REOPEN: &str = "/v1/museums/torre/days/2026-11-23/reopen";

/// Sells at the desk, at the full price, and answers the sale.
async fn sell_full(app: &App, office: &str, hour: i8, count: u16, name: &str) -> String {
    let body = json!({"lines": [{"category": "full", "count": count}], "settlement": desk(name)});
    let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, hour)), office, name, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    sale["sale"].as_str().unwrap().to_owned()
}

/// Of each slot by its hour, in order, what became of it.
fn outcomes(told: &Value) -> Vec<(String, String)> {
    let items = told["items"].as_array().unwrap().iter();
    items.map(|item| (item["local_start"].as_str().unwrap()[11..13].to_owned(), item["outcome"].as_str().unwrap().to_owned())).collect()
}

fn count(told: &Value, outcome: &str) -> usize {
    outcomes(told).iter().filter(|(_, found)| found == outcome).count()
}

#[actix_rt::test]
async fn a_strike_closes_the_day_and_says_who_has_tickets() {
    let mut app = App::start().await;
    let (web, office, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let sale = sell_full(&app, &office, 11, 3, "R-1").await;
    let early = sell_full(&app, &office, 9, 2, "R-2").await;
    let shown = json!({"ticket": ticket(&early, 0), "gate": "north", "museum": "torre"});
    assert_eq!(app.post("/v1/admissions", &office, "in", &shown).await.0, StatusCode::OK);
    let held = app.hold(slot(TORRE, 13), &web, "held", json!([{"category": "under-18", "count": 2}])).await;
    let works = format!("/v1/slots/{}/close", slot(TORRE, 12));
    assert_eq!(app.post(&works, &manager, "works", &json!({"reason": "works"})).await.0, StatusCode::OK);

    let strike = json!({"reason": "strike"});
    let (status, told) = app.post(CLOSE, &manager, "strike", &strike).await;
    assert_eq!((status, &told["done"], &told["date"], &told["museum"]), (StatusCode::OK, &json!(true), &json!("2026-11-23"), &json!(1)), "{told}");
    assert_eq!((&told["tickets"], &told["refund_cents"]), (&json!(4), &json!(4_800)), "all but who is inside");
    let items = told["items"].as_array().unwrap();
    assert_eq!((items.len(), count(&told, "closed"), count(&told, "stays_closed")), (10, 9, 1));
    assert_eq!((&items[3]["reason"], &items[4]["reason"]), (&json!("works"), &json!("strike")));
    let stands = |sales: u32, tickets: u32, cents: u32, held: u32| json!({"sales": sales, "tickets": tickets, "refund_cents": cents, "held": held, "waiting": 0});
    assert_eq!(
        (&items[0]["stands"], &items[2]["stands"], &items[4]["stands"]),
        (&stands(1, 1, 1_200, 0), &stands(1, 3, 3_600, 0), &stands(0, 0, 0, 2))
    );
    assert_eq!(items[2]["slot"], slot(TORRE, 11).to_string());

    // Nothing is sold any more, also not what was held; who has a ticket is paid back in full, on the very day.
    let (status, problem) = app.post(&format!("/v1/slots/{}/holds", slot(TORRE, 15)), &web, "late", &lines("full", 1)).await;
    assert_eq!((status.as_u16(), &problem["code"], &problem["reason"]), (409, &json!("slot_closed"), &json!("strike")));
    let (status, problem) = app.post(&format!("/v1/holds/{held}/confirm"), &web, "confirm", &json!({"settlement": {"free": {}}})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("slot_closed")));
    let (status, back) = app.post(&format!("/v1/sales/{sale}/cancel"), &office, "back", &json!({"cause": "visitor"})).await;
    assert_eq!((status, &back["refund_cents"]), (StatusCode::OK, &json!(3_600)), "{back}");

    // A repeat is told what was so then, and its key is good for no other request.
    for round in ["at once", "after a restart"] {
        assert_eq!(app.post(CLOSE, &manager, "strike", &strike).await, (StatusCode::OK, told.clone()), "{round}");
        app = app.restart().await;
    }
    let (status, problem) = app.post(CLOSE, &manager, "strike", &json!({"reason": "flood"})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("idempotency_key_reused")));

    // The strike is called off: what was closed for it is for sale, and the works go on.
    let (status, again) = app.post(REOPEN, &manager, "again", &strike).await;
    assert_eq!((status, &again["done"], &again["tickets"]), (StatusCode::OK, &json!(true), &json!(1)), "{again}");
    assert_eq!((count(&again, "reopened"), count(&again, "stays_closed")), (9, 1));
    assert_eq!((&again["items"][3]["reason"], again["items"][4].get("reason")), (&json!("works"), None));
    assert_eq!(app.post(CLOSE, &manager, "strike", &strike).await.1, told, "a late repeat closes nothing");
    let (status, _) = app.post(&format!("/v1/slots/{}/holds", slot(TORRE, 15)), &web, "late", &lines("full", 1)).await;
    assert_eq!(status, StatusCode::CREATED);
    app.stop().await;
}

/// Whoever stands at the desk with a shop's notice is told that it does not take place, and not asked for money that would go back by a transfer.
#[actix_rt::test]
async fn a_desk_takes_no_money_for_what_does_not_take_place() {
    let app = App::start().await;
    let (web, office, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let notice = async |hour: i8, name: &'static str| {
        let held = app.hold(slot(TORRE, hour), &web, &format!("h-{name}"), json!([{"category": "full", "count": 1}])).await;
        let (status, begun) = app.post("/v1/payments", &web, name, &json!({"holds": [held], "gateway": {"notice": {}}})).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        (held, format!("/v1/payments/{}", begun["payment"].as_str().unwrap()))
    };
    let ((_, paid), (held, waits)) = (notice(13, "paid").await, notice(14, "waits").await);
    let till = |reference: &str| json!({"till": "till-1", "method": "cash", "reference": reference});
    let taken = app.post(&format!("{paid}/desk"), &office, "taken", &till("R-1")).await;
    assert_eq!((taken.0, &taken.1["state"]), (StatusCode::OK, &json!("paid")), "{}", taken.1);
    assert_eq!(app.post(CLOSE, &manager, "strike", &json!({"reason": "strike"})).await.0, StatusCode::OK);

    let (status, problem) = app.post(&format!("{waits}/desk"), &office, "late", &till("R-2")).await;
    assert_eq!(
        (status, &problem["code"], &problem["reason"], &problem["hold"]),
        (StatusCode::CONFLICT, &json!("slot_closed"), &json!("strike"), &json!(held)),
        "{problem}"
    );
    assert_eq!(app.get(&waits, &web).await["state"], "pending", "nothing was taken");
    assert_eq!(app.post(&format!("{paid}/desk"), &office, "taken", &till("R-1")).await, taken, "what was taken before is answered as it was then");

    assert_eq!(app.post(REOPEN, &manager, "again", &json!({"reason": "strike"})).await.0, StatusCode::OK);
    let (status, late) = app.post(&format!("{waits}/desk"), &office, "late", &till("R-2")).await;
    assert_eq!((status, &late["state"], &late["items"][0]["state"]), (StatusCode::OK, &json!("paid"), &json!("sold")), "{late}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_day_is_called_off_from_an_hour_on_and_what_is_over_stays_as_it_is() {
    let app = App::start().await;
    let (office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    // Half past twelve in Rome: three slots are over.
    app.pass(3 * 3_600).await;
    let (status, flood) = app.post(CLOSE, &manager, "flood", &json!({"reason": "flood", "from": "15:00"})).await;
    assert_eq!(status, StatusCode::OK, "{flood}");
    let hours: Vec<String> = outcomes(&flood).into_iter().map(|(hour, _)| hour).collect();
    assert_eq!((hours, count(&flood, "closed")), (["15", "16", "17", "18"].map(str::to_owned).to_vec(), 4));
    let (_, whole) = app.post(CLOSE, &manager, "whole", &json!({"reason": "strike"})).await;
    assert_eq!((count(&whole, "over"), count(&whole, "closed"), count(&whole, "stays_closed")), (3, 3, 4), "{whole}");
    assert_eq!((&whole["items"][0]["outcome"], whole["items"][0].get("stands")), (&json!("over"), None));

    // The flood is over, and the strike is not: what was closed for the flood stays closed, and for the strike from now on.
    let (_, back) = app.post(REOPEN, &manager, "back", &json!({"reason": "flood"})).await;
    assert_eq!((count(&back, "reopened"), count(&back, "stays_closed"), outcomes(&back).len()), (0, 7, 7), "{back}");
    assert!(back["items"].as_array().unwrap().iter().all(|item| item["reason"] == "strike"), "{back}");
    assert_eq!(app.post(REOPEN, &manager, "back", &json!({"reason": "flood"})).await.1, back, "a repeat is told the same");
    let (_, open) = app.post(REOPEN, &manager, "open", &json!({"reason": "strike"})).await;
    assert_eq!((count(&open, "reopened"), outcomes(&open).len()), (7, 7), "{open}");
    let (_, open) = app.post(REOPEN, &manager, "still-open", &json!({"reason": "strike"})).await;
    assert_eq!((count(&open, "stays_open"), outcomes(&open).len()), (7, 7), "{open}");

    let (close, strike) = (CLOSE.to_owned(), json!({"reason": "strike"}));
    refuses(
        &app,
        &[
            ("a desk", close.clone(), &office, strike.clone(), 403, "forbidden"),
            ("no reason", close.clone(), &manager, json!({}), 422, "invalid"),
            ("no time", close, &manager, json!({"reason": "strike", "from": "25:00"}), 422, "invalid"),
            ("no date", "/v1/museums/torre/days/tomorrow/close".to_owned(), &manager, strike.clone(), 400, "malformed"),
            ("no such date", "/v1/museums/torre/days/2026-13-40/reopen".to_owned(), &manager, strike.clone(), 400, "malformed"),
            ("a time beside it", "/v1/museums/torre/days/2026-11-24T15:00/close".to_owned(), &manager, strike.clone(), 400, "malformed"),
            ("no hyphens", "/v1/museums/torre/days/20261124/close".to_owned(), &manager, strike.clone(), 400, "malformed"),
            ("last year", "/v1/museums/torre/days/2025-11-23/close".to_owned(), &manager, strike.clone(), 422, "day_over"),
            ("no museum", "/v1/museums/nowhere/days/2026-11-23/reopen".to_owned(), &manager, strike, 404, "not_found"),
        ],
    )
    .await;
    app.stop().await;
}
