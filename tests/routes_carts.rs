//! Carts over HTTP: payments of several museums that are made at once on one payment page.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::server::ServerSettings;

use crate::pagopa::platform::{Platform, Trouble};
use crate::support::{App, MARE, TORRE, receipt, settings, slot};

async fn connected(platform: &Platform) -> App {
    let pagopa = Pagopa::new(platform.settings()).unwrap();
    App::start_with(ServerSettings { pagopa: Some(Arc::new(pagopa)), ..settings() }).await
}

/// The payment of a notice for so many people, at once.
async fn due(app: &App, key: &str, (museum, hour): (tornello_engine::ids::MuseumId, i8), count: u16) -> Value {
    let name = format!("{}-{hour}", museum.0);
    let hold = app.hold(slot(museum, hour), key, &name, json!([{"category": "full", "count": count}])).await;
    let (status, due) = app.post("/v1/payments", key, &name, &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!((status, &due["state"]), (StatusCode::CREATED, &json!("pending")), "{due}");
    due
}

fn cart(payments: &[&Value]) -> Value {
    let urls = json!({"ok": "https://tickets.example.it/ok", "cancel": "https://tickets.example.it/no", "error": "https://tickets.example.it/error"});
    json!({"payments": payments.iter().map(|due| &due["payment"]).collect::<Vec<_>>(), "return_urls": urls})
}

#[actix_rt::test]
async fn tickets_of_two_museums_are_paid_on_one_page_each_by_its_own_receipt() {
    let platform = Platform::start();
    let app = connected(&platform).await;
    let web = app.key(Role::Web).await;
    let (one, two) = (due(&app, &web, (TORRE, 15), 2).await, due(&app, &web, (MARE, 17), 1).await);
    let (status, opened) = app.post("/v1/carts", &web, "c", &cart(&[&one, &two])).await;
    let first = one["payment"].as_str().unwrap();
    assert_eq!((status.as_u16(), &opened["checkout_url"]), (200, &json!(format!("https://checkout.example.it/c/{first}"))), "{opened}");
    assert_eq!(
        (&opened["payments"], &opened["total_cents"]),
        (&json!([{"payment": first, "amount_cents": 2_400}, {"payment": two["payment"], "amount_cents": 1_200}]), &json!(3_600))
    );
    let carts = platform.carts();
    let [left] = carts.as_slice() else { panic!("{carts:?}") };
    let notices: Vec<_> = left["paymentNotices"].as_array().unwrap().iter().map(|notice| (&notice["noticeNumber"], &notice["amount"])).collect();
    assert_eq!(notices, [(&one["notice_number"], &json!(2_400)), (&two["notice_number"], &json!(1_200))]);
    assert_eq!((&left["idCart"], &left["returnUrls"]["returnOkUrl"]), (&json!(first), &json!("https://tickets.example.it/ok")));

    // One of the two receipts comes: that one is paid, the other waits.
    let creditor = one["creditor"].as_str().unwrap();
    let ours = |message: String| message.replace("77777777777_01", &format!("{creditor}_01")).replace("77777777777", creditor);
    let token = receipt("token", one["notice_number"].as_str().unwrap(), "24.00", "2026-11-23T09:31:00");
    assert!(app.soap("paSendRT", &ours(token)).await.1.contains("<outcome>OK</outcome>"));
    app.until(&format!("/v1/payments/{first}"), &web, |seen| seen["items"][0]["state"] == "sold").await;
    assert_eq!(app.get(&format!("/v1/payments/{}", two["payment"].as_str().unwrap()), &web).await["state"], "pending");
    app.stop().await;
    platform.stop().await;
}

#[actix_rt::test]
async fn a_cart_takes_what_can_be_paid_and_nothing_of_others() {
    let platform = Platform::start();
    let app = connected(&platform).await;
    let (web, other, mare) = (app.key(Role::Web).await, app.key(Role::Web).await, app.key_for(Role::Web, Museums::Only(vec![MARE])).await);
    let mut dues = Vec::new();
    for hour in 12..18 {
        dues.push(due(&app, &web, (TORRE, hour), 1).await);
    }
    let [one, two, ..] = dues.as_slice() else { panic!("{dues:?}") };
    let cancelled = format!("/v1/payments/{}/cancel", two["payment"].as_str().unwrap());
    assert_eq!(app.post(&cancelled, &web, "cancel", &json!({})).await.0, StatusCode::OK);
    let free = app.hold(slot(TORRE, 12), &web, "free", json!([{"category": "under-18", "count": 1}])).await;
    let free = app.post("/v1/payments", &web, "free", &json!({"holds": [free], "gateway": {"free": {}}})).await.1;
    let unsafe_urls = json!({"payments": [one["payment"]], "return_urls": {"ok": "javascript:1", "cancel": "https://a.it", "error": "https://a.it"}});
    for (key, form, status, code) in [
        (&web, cart(&[]), 422, "invalid"),
        (&web, cart(&[one, one]), 422, "invalid"),
        (&web, cart(&dues.iter().collect::<Vec<_>>()), 422, "invalid"),
        (&web, unsafe_urls, 422, "invalid"),
        (&web, cart(&[one, two]), 410, "payment_cancelled"),
        (&web, cart(&[one, &free]), 409, "already_paid"),
        (&other, cart(&[one]), 404, "not_found"),
        (&mare, cart(&[one]), 404, "not_found"),
    ] {
        let (found, refused) = app.post("/v1/carts", key, &form.to_string().len().to_string(), &form).await;
        assert_eq!((found.as_u16(), &refused["code"]), (status, &json!(code)), "{form}: {refused}");
    }
    let none: Vec<Value> = Vec::new();
    assert_eq!(platform.carts(), none, "nothing of it was left at the pages");

    // Nobody is led to a page to pay for what does not take place.
    let manager = app.key(Role::Manager).await;
    let fifteen = format!("/v1/slots/{}", slot(TORRE, 15));
    assert_eq!(app.post(&format!("{fifteen}/close"), &manager, "close", &json!({"reason": "strike"})).await.0, StatusCode::OK);
    let (status, refused) = app.post("/v1/carts", &web, "closed", &cart(&[one, &dues[3]])).await;
    assert_eq!((status.as_u16(), &refused["code"], &refused["reason"]), (409, &json!("slot_closed"), &json!("strike")), "{refused}");
    assert_eq!((&refused["payment"], &refused["hold"]), (&dues[3]["payment"], &dues[3]["items"][0]["hold"]), "{refused}");
    assert_eq!(platform.carts(), none);
    assert_eq!(app.post(&format!("{fifteen}/reopen"), &manager, "reopen", &json!({})).await.0, StatusCode::OK);

    // The pages say no, or nothing: every payment stands.
    platform.refuse(one["notice_number"].as_str().unwrap());
    let (status, refused) = app.post("/v1/carts", &web, "r", &cart(&[one, &dues[2]])).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("checkout_refused")), "{refused}");
    platform.trouble([Trouble::Status(500)]);
    let (status, later) = app.post("/v1/carts", &web, "l", &cart(&[&dues[2], &dues[3]])).await;
    assert_eq!((status.as_u16(), &later["code"]), (503, &json!("gateway_unavailable")), "{later}");
    assert_eq!(app.get(&format!("/v1/payments/{}", one["payment"].as_str().unwrap()), &web).await["state"], "pending");
    app.stop().await;
    platform.stop().await;

    // Without payment pages there are no carts.
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let one = due(&app, &web, (TORRE, 15), 1).await;
    let off = app.post("/v1/carts", &web, "c", &cart(&[&one])).await.1;
    assert!(off["code"] == "gateway_off" && off["detail"].as_str().unwrap().contains("by a notice"), "{off}");
    app.stop().await;
}
