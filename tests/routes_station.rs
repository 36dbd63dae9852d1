//! The station as the node of pagoPA meets it: verify, get and receipt, each state's fault, and money that is never lost.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tornello_actors::keys::Role;
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::server::{self, ServerSettings};
use tornello_engine::ids::PaymentId;

use crate::support::{App, TORRE, get_payment, receipt, settings, slot, verify};

const PAID_AT: &str = "2026-11-23T09:31:00";

/// A payment by notice over one full ticket: its path and notice number, and the hold.
async fn notice(app: &App, web: &str, name: &str) -> (String, String, String) {
    let hold = app.hold(slot(TORRE, 15), web, &format!("hold {name}").replace(' ', "-"), json!([{"category": "full", "count": 1}])).await;
    let (status, opened) = app.post("/v1/payments", web, name, &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    (format!("/v1/payments/{}", opened["payment"].as_str().unwrap()), opened["notice_number"].as_str().unwrap().to_owned(), hold)
}

async fn says(app: &App, action: &str, body: &str, expected: &str) {
    let (status, answer) = app.soap(action, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer.contains(expected), "{action}: {expected} is not in {answer}");
}

#[actix_rt::test]
async fn a_notice_is_verified_got_and_paid_once() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let (path, number, hold) = notice(&app, &web, "p").await;
    for _ in 0..2 {
        says(&app, "paVerifyPaymentNotice", &verify(&number), "<amount>12.00</amount>").await;
    }
    app.pass(25 * 60).await;
    says(&app, "paGetPayment", &get_payment(&number), "<paymentAmount>12.00</paymentAmount>").await;
    let got = app.get(&path, &web).await;
    assert_eq!(got["active_until"], "2026-11-23T09:30:00Z", "{got}");
    assert!(app.get(&format!("/v1/holds/{hold}"), &web).await["expires_at"].as_str().unwrap() >= "2026-11-23T09:30:00Z");
    app.pass(30 * 60).await;
    says(&app, "paSendRT", &receipt("token-1", &number, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    let paid = app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    assert_eq!((&paid["state"], &paid["receipts"][0]["receipt"]), (&json!("paid"), &json!("token-1")));
    assert_eq!(paid["receipts"][0]["paid_at"], "2026-11-23T08:31:00Z", "the node's clock is that of Rome");

    says(&app, "paSendRT", &receipt("token-1", &number, "12.00", PAID_AT), "PAA_RECEIPT_DUPLICATA").await;
    says(&app, "paVerifyPaymentNotice", &verify(&number), "PAA_PAGAMENTO_DUPLICATO").await;
    says(&app, "paGetPayment", &get_payment(&number), "PAA_PAGAMENTO_DUPLICATO").await;
    says(&app, "paSendRT", &receipt("token-2", &number, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    let twice = app.get(&path, &manager).await;
    assert_eq!((&twice["refunds"][0]["why"], &twice["refunds"][0]["amount_cents"]), (&json!("double_payment"), &json!(1_200)), "{twice}");
    assert_eq!(twice["ledger"].as_array().unwrap().iter().map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>(), 0);

    // What was acknowledged is on the disk.
    let app = app.restart().await;
    assert_eq!(app.get(&path, &web).await["receipts"].as_array().unwrap().len(), 2);
    says(&app, "paSendRT", &receipt("token-2", &number, "12.00", PAID_AT), "PAA_RECEIPT_DUPLICATA").await;
    app.stop().await;
}

#[actix_rt::test]
async fn money_that_comes_late_or_wrong_is_taken_all_the_same() {
    let app = App::start().await;
    let (web, box_office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let (cancelled, number, hold) = notice(&app, &web, "cancelled").await;
    app.post(&format!("{cancelled}/cancel"), &web, "c", &json!({})).await;
    says(&app, "paVerifyPaymentNotice", &verify(&number), "PAA_PAGAMENTO_ANNULLATO").await;
    app.ask(Method::DELETE, &format!("/v1/holds/{hold}"), &web, "d", &json!({})).await;
    says(&app, "paSendRT", &receipt("late", &number, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    let sold = app.until(&cancelled, &web, |seen| seen["items"][0]["state"] == "sold").await;
    assert_ne!(sold["items"][0]["sale"], hold.as_str(), "the places were had again, in a new sale");

    let (small, number, _) = notice(&app, &web, "small").await;
    says(&app, "paSendRT", &receipt("small", &number, "11.99", PAID_AT), "<outcome>OK</outcome>").await;
    let seen = app.get(&small, &web).await;
    assert_eq!((&seen["state"], &seen["refunds"][0]["why"]), (&json!("pending"), &json!("amount_too_small")), "{seen}");

    let (expired, number, _) = notice(&app, &web, "expired").await;
    app.pass(3 * 3_600).await;
    says(&app, "paVerifyPaymentNotice", &verify(&number), "PAA_PAGAMENTO_SCADUTO").await;
    // Nothing is left of the slot when the money comes: it goes back.
    let full = json!({"lines": [{"category": "full", "count": 19}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (status, body) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &box_office, "s", &full).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    says(&app, "paSendRT", &receipt("expired", &number, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    let back = app.until(&expired, &web, |seen| seen["items"][0]["state"] != "open").await;
    assert_eq!((&back["state"], &back["items"][0]["state"]), (&json!("paid"), &json!("paid_back")), "{back}");
    assert_eq!((&back["refunds"][0]["why"], &back["refunded"]), (&json!("unfulfilled"), &json!("whole")));
    app.stop().await;
}

/// A notice goes wherever its payer takes it: a shop that is told nothing of a strike cannot keep anybody from paying, but the station can.
#[actix_rt::test]
async fn nobody_is_asked_at_a_bank_for_what_does_not_take_place() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let ((waits, number, hold), (paying, other, _)) = (notice(&app, &web, "waits").await, notice(&app, &web, "paying").await);
    says(&app, "paGetPayment", &get_payment(&other), "<paymentAmount>12.00</paymentAmount>").await;
    let fifteen = format!("/v1/slots/{}", slot(TORRE, 15));
    assert_eq!(app.post(&format!("{fifteen}/close"), &manager, "close", &json!({"reason": "strike"})).await.0, StatusCode::OK);
    let app = app.restart().await;
    says(&app, "paVerifyPaymentNotice", &verify(&number), "PAA_PAGAMENTO_ANNULLATO").await;
    says(&app, "paGetPayment", &get_payment(&number), "PAA_PAGAMENTO_ANNULLATO").await;
    let seen = app.get(&waits, &web).await;
    assert_eq!((&seen["state"], seen.get("active_until")), (&json!("pending"), None), "it stands, and nobody pays: {seen}");
    let printed = app.request(Method::GET, &format!("{waits}/notice.pdf"), &web).send().await.unwrap();
    let (status, refused) = (printed.status(), printed.json::<Value>().await.unwrap());
    assert_eq!((status.as_u16(), &refused["code"], &refused["hold"]), (409, &json!("slot_closed"), &json!(hold)), "{refused}");
    // Whoever had begun before is believed as ever.
    says(&app, "paSendRT", &receipt("late", &other, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    let back = app.until(&paying, &web, |seen| seen["items"][0]["state"] != "open").await;
    assert_eq!((&back["items"][0]["state"], &back["refunds"][0]["why"]), (&json!("paid_back"), &json!("unfulfilled")), "{back}");

    assert_eq!(app.post(&format!("{fifteen}/reopen"), &manager, "reopen", &json!({})).await.0, StatusCode::OK);
    says(&app, "paGetPayment", &get_payment(&number), "<paymentAmount>12.00</paymentAmount>").await;
    says(&app, "paSendRT", &receipt("paid", &number, "12.00", PAID_AT), "<outcome>OK</outcome>").await;
    app.until(&waits, &web, |seen| seen["items"][0]["state"] == "sold").await;
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_not_ours_gets_its_fault_and_the_station_needs_no_key() {
    let app = App::start().await;
    let (web, box_office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let (_, number, _) = notice(&app, &web, "p").await;
    let unknown = "300000000000000000";
    says(&app, "paVerifyPaymentNotice", &verify(unknown), "PAA_PAGAMENTO_SCONOSCIUTO").await;
    says(&app, "paSendRT", &receipt("x", unknown, "12.00", PAID_AT), "PAA_PAGAMENTO_SCONOSCIUTO").await;
    for (from, to, fault) in [
        ("<idPA>77777777777", "<idPA>11111111111", "PAA_ID_DOMINIO_ERRATO"),
        ("<idBrokerPA>77777777777", "<idBrokerPA>11111111111", "PAA_ID_INTERMEDIARIO_ERRATO"),
        ("77777777777_01", "77777777777_02", "PAA_STAZIONE_INT_ERRATA"),
        ("<idPA>77777777777</idPA>", "", "PAA_SINTASSI_EXTRAXSD"),
    ] {
        says(&app, "paVerifyPaymentNotice", &verify(&number).replace(from, to), fault).await;
    }
    // A desk's payment is no position: nobody outside knows a number for it.
    let hold = app.hold(slot(TORRE, 16), &box_office, "h", json!([{"category": "full", "count": 1}])).await;
    let form = json!({"holds": [hold], "gateway": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (_, desk) = app.post("/v1/payments", &box_office, "desk", &form).await;
    assert_eq!(desk["notice_number"], Value::Null);
    // Nor does one who guesses it hear how it stands.
    let desk: PaymentId = desk["payment"].as_str().unwrap().parse().unwrap();
    let number = Pagopa::demo_settings().unwrap().creditors()[0].notice(desk).to_string();
    assert_eq!(app.get(&format!("/v1/payments/{desk}"), &box_office).await["state"], "paid");
    for (action, body) in
        [("paVerifyPaymentNotice", verify(&number)), ("paGetPayment", get_payment(&number)), ("paSendRT", receipt("x", &number, "12.00", PAID_AT))]
    {
        says(&app, action, &body, "PAA_PAGAMENTO_SCONOSCIUTO").await;
    }
    let response = app.request(Method::POST, "/pagopa", "tn_nonsense").body(verify(&number)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "what the node sends as authorization is not looked at");
    assert_eq!(app.request(Method::GET, "/pagopa", "").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let (status, _) = app.soap("paVerifyPaymentNotice", &"x".repeat(300 * 1024)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = app.soap("paDemandPaymentNotice", &verify(&number)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    app.stop().await;
}

/// A connection that says that a body of 10 bytes follows, and sends none of it. The server has begun to wait for it.
async fn begun(app: &App, path: &str, headers: &str) -> TcpStream {
    begun_of(app, path, headers, 10).await
}

async fn begun_of(app: &App, path: &str, headers: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: tornello\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

const NO_KEY: &str = "Authorization: Bearer tn_nonsense\r\n";

#[actix_rt::test]
async fn who_sends_slowly_without_a_key_takes_nobodys_place() {
    // One change at a time, or two that finish something.
    let app = App::start_with(ServerSettings { in_flight: 1, ..settings() }).await;
    let web = app.key(Role::Web).await;
    let slow = [begun(&app, "/pagopa", "").await, begun(&app, "/pagopa", "").await, begun(&app, "/v1/payments", NO_KEY).await];
    notice(&app, &web, "p").await;
    drop(slow);
    app.stop().await;
}

#[actix_rt::test]
async fn who_sends_too_slowly_is_answered_without_the_rest() {
    let app = App::start_with(ServerSettings { body_within: Duration::from_millis(20), ..settings() }).await;
    for (path, headers, expected) in [("/pagopa", "", b"HTTP/1.1 408"), ("/v1/payments", NO_KEY, b"HTTP/1.1 401")] {
        let mut stream = begun(&app, path, headers).await;
        stream.write_all(b"<").await.unwrap();
        let mut told = [0; 12];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, expected, "{path}");
    }
    app.stop().await;
}

/// By a key that leaked many requests could be begun before it is revoked, and ended whenever somebody likes.
#[actix_rt::test]
async fn a_request_that_ends_when_its_key_was_revoked_is_not_done() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let body = json!({"lines": [{"category": "full", "count": 1}]}).to_string();
    let headers = format!("Authorization: Bearer {web}\r\nContent-Type: application/json\r\nIdempotency-Key: slow\r\n");
    let mut stream = begun_of(&app, &format!("/v1/slots/{}/holds", slot(TORRE, 15)), &headers, body.len()).await;
    let keys = &app.node().files().unwrap().keys;
    let key = keys.list().into_iter().find(|key| key.role == Role::Web).unwrap();
    keys.revoke(key.id, app.node().now()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut told = [0; 12];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 401");
    let mut rest = Vec::new();
    while !String::from_utf8_lossy(&rest).contains("key_revoked") {
        let mut piece = [0; 1_024];
        let length = stream.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&rest));
        rest.extend_from_slice(&piece[..length]);
    }
    assert_eq!(app.get(&format!("/v1/slots/{}", slot(TORRE, 15)), &manager).await["held"], 0);
    drop(stream);
    app.stop().await;
}

/// As from a program that begins requests and does not go on with them.
#[actix_rt::test]
async fn who_sends_slowly_with_a_key_takes_the_places_of_no_other_key() {
    let app = App::start_with(ServerSettings { in_flight: 2, ..settings() }).await;
    let (stuck, web) = (app.key(Role::Web).await, app.key(Role::Web).await);
    let headers = |number: u8| format!("Authorization: Bearer {stuck}\r\nContent-Type: application/json\r\nIdempotency-Key: {number}\r\n");
    let slow = [begun(&app, "/v1/payments", &headers(1)).await, begun(&app, "/v1/payments", &headers(2)).await];
    notice(&app, &web, "p").await;
    let asked = app.request(Method::POST, "/v1/payments", &stuck).header("Idempotency-Key", "3").json(&json!({})).send().await.unwrap();
    assert_eq!((asked.status(), &asked.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    drop(slow);
    app.stop().await;
}

/// A shop whose network is gone in the middle of a request sends nothing more, and never hangs up.
#[actix_rt::test]
async fn who_falls_silent_with_a_key_gives_the_place_back() {
    let app = App::start_with(ServerSettings { in_flight: 1, body_within: Duration::from_millis(500), ..settings() }).await;
    let web = app.key(Role::Web).await;
    let headers = format!("Authorization: Bearer {web}\r\nContent-Type: application/json\r\nIdempotency-Key: 1\r\n");
    let mut stream = begun(&app, "/v1/payments", &headers).await;
    stream.write_all(b"{").await.unwrap();
    let mut told = [0; 12];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 400");
    notice(&app, &web, "p").await;
    app.stop().await;
}

#[actix_rt::test]
async fn where_the_station_has_a_listener_of_its_own_nobody_else_can_say_that_money_came() {
    let apart = ServerSettings { station: Some(settings().listen), ..settings() };
    let app = App::start_with(apart.clone()).await;
    let web = app.key(Role::Web).await;
    let (serving, listen) = server::start_station(app.shared_node(), &apart, settings().listen).unwrap();
    let (handle, serving) = (serving.handle(), actix_web::rt::spawn(serving));
    let (path, number, _) = notice(&app, &web, "p").await;
    let forged = receipt("forged", &number, "12.00", PAID_AT);
    let (status, answer) = app.soap("paSendRT", &forged).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let seen = app.get(&path, &web).await;
    assert_eq!((&seen["state"], &seen["receipts"]), (&json!("pending"), &json!([])), "{seen}");

    let true_one = receipt("true", &number, "12.00", PAID_AT);
    let request = app.client.post(format!("http://{listen}/pagopa")).header("SOAPAction", "paSendRT").body(true_one);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("<outcome>OK</outcome>"), "{answer}");
    app.until(&path, &web, |seen| seen["items"][0]["state"] == "sold").await;
    for other in ["/status", "/v1/museums", "/docs/", "/metrics"] {
        let response = app.client.get(format!("http://{listen}{other}")).bearer_auth(&web).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{other}");
    }
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
    app.stop().await;
}

#[actix_rt::test]
async fn who_cannot_pay_to_a_postal_account_keeps_no_places() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let (path, number, hold) = notice(&app, &web, "p").await;
    let at_post_office = get_payment(&number).replace("</qrCode>", "</qrCode><transferType>POSTAL</transferType>");
    app.pass(10 * 60).await;
    let until = app.get(&format!("/v1/holds/{hold}"), &web).await["expires_at"].clone();
    says(&app, "paGetPayment", &at_post_office, "PAA_SEMANTICA").await;
    assert_eq!(app.get(&path, &web).await["active_until"], Value::Null, "nobody pays");
    assert_eq!(app.get(&format!("/v1/holds/{hold}"), &web).await["expires_at"], until);
    app.post(&format!("{path}/cancel"), &web, "c", &json!({})).await;
    says(&app, "paGetPayment", &at_post_office, "PAA_PAGAMENTO_ANNULLATO").await;
    app.stop().await;
}

#[actix_rt::test]
async fn without_settings_there_is_no_station_and_no_notice() {
    let app = App::start_with(ServerSettings { pagopa: None, ..settings() }).await;
    let web = app.key(Role::Web).await;
    assert_eq!(app.soap("paVerifyPaymentNotice", &verify("300000000000000000")).await.0, StatusCode::NOT_FOUND);
    let hold = app.hold(slot(TORRE, 16), &web, "h", json!([{"category": "full", "count": 1}])).await;
    let (status, refused) = app.post("/v1/payments", &web, "p", &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("gateway_off")));
    app.stop().await;
}
