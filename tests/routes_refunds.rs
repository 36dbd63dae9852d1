//! Refunds over HTTP: an operator's way from a task to money that has gone back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::digest::digest;
use tornello_actors::journal::Journal;
use tornello_actors::keys::{Museums, Role};
use tornello_api::routes::refunds::{RefundExportForm, RefundId};
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, KeyId, PaymentId};
use tornello_engine::payment::Command;

use crate::routes_reconciliation::Worn;
use crate::support::{App, MARE, TORRE, receipt, settings, slot};

/// A sale over two full tickets that a desk was paid for, cancelled by the museum: the refund's path.
async fn refund(app: &App, desk: &str, name: &str) -> String {
    let hold = app.hold(slot(TORRE, 15), desk, &format!("h{name}"), json!([{"category": "full", "count": 2}])).await;
    let form = json!({"holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": name}}});
    let (status, paid) = app.post("/v1/payments", desk, &format!("p{name}"), &form).await;
    assert_eq!(status, StatusCode::CREATED, "{paid}");
    let (status, body) = app.post(&format!("/v1/sales/{hold}/cancel"), desk, &format!("c{name}"), &json!({"cause": "museum"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    tornello_actors::payments::resume(app.node()).await;
    let refund = format!("{}-0", paid["payment"].as_str().unwrap());
    let path = format!("/v1/refunds/{refund}");
    let seen = app.get(&path, desk).await;
    assert_eq!((&seen["state"], &seen["why"], &seen["amount_cents"]), (&json!("open"), &json!("cancelled"), &json!(2_400)), "{seen}");
    path
}

/// A session at the first desk, with 100 euros in the drawer.
async fn open_till(app: &App, key: &str) -> String {
    let form = json!({"museum": "torre", "till": "till-1", "float_cents": 10_000});
    let (status, opened) = app.post("/v1/tills", key, "open", &form).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    format!("/v1/tills/{}", opened["session"].as_str().unwrap())
}

/// What a desk sold without a payment is a task too when it is cancelled: paid out at an open till, which then has less to count.
#[actix_rt::test]
async fn a_cancelled_sale_of_a_desk_is_paid_out_at_a_till() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let session = open_till(&app, &office).await;
    let form = json!({"lines": [{"category": "full", "count": 2}], "settlement": {"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}}});
    let desk = app.key(Role::BoxOffice).await;
    let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &desk, "s", &form).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let cancel = format!("/v1/sales/{}/cancel", sale["sale"].as_str().unwrap());
    let (status, cancelled) = app.post(&cancel, &desk, "c", &json!({"cause": "museum", "tickets": [1]})).await;
    assert_eq!((status, &cancelled["refund_cents"]), (StatusCode::OK, &json!(1_200)), "{cancelled}");
    tornello_actors::payments::resume(app.node()).await;
    let listed = app.until("/v1/refunds?state=open&museum=torre", &office, |page| page["items"].as_array().unwrap().len() == 1).await;
    let path = format!("/v1/refunds/{}", listed["items"][0]["refund"].as_str().unwrap());
    assert_eq!((&listed["items"][0]["amount_cents"], &listed["items"][0]["why"]), (&json!(1_200), &json!("cancelled")));
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-2"});
    let (status, paid) = app.post(&format!("{path}/payout"), &office, "o", &out).await;
    assert_eq!((status.as_u16(), &paid["state"]), (200, &json!("paid_back")), "{paid}");
    // 100.00 and two tickets of 12.00, less one of them.
    assert_eq!(app.get(&session, &office).await["expected_cents"], 11_200);
    let payment = app.get(&format!("/v1/payments/{}", paid["payment"].as_str().unwrap()), &office).await;
    assert_eq!(
        (&payment["state"], &payment["gateway"], &payment["items"][0]["state"]),
        (&json!("paid"), &json!("desk"), &json!("sold")),
        "{payment}"
    );
    app.stop().await;
}

/// Ninety days after the visit everybody is forgotten but those who wait for their money: there is nobody to pay else, and nobody to ask for an account.
#[actix_rt::test]
async fn whoever_is_owed_money_is_known_until_they_have_it() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let mut sales = Vec::new();
    for name in ["1", "2"] {
        let hold = app.hold(slot(TORRE, 15), &office, &format!("h{name}"), json!([{"category": "full", "count": 1}])).await;
        let form = json!({
            "holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": name}},
            "payer": {"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"},
        });
        let (status, paid) = app.post("/v1/payments", &office, &format!("p{name}"), &form).await;
        assert_eq!(status, StatusCode::CREATED, "{paid}");
        sales.push((format!("/v1/sales/{hold}"), format!("/v1/refunds/{}-0", paid["payment"].as_str().unwrap())));
    }
    let [(owed, refund), (visited, _)] = &sales[..] else { panic!("two sales") };
    let (status, body) = app.post(&format!("{owed}/cancel"), &office, "c", &json!({"cause": "museum"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    tornello_actors::payments::resume(app.node()).await;
    let payee = json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"});
    assert_eq!(app.ask(Method::PUT, &format!("{refund}/payee"), &office, "n", &payee).await.0, StatusCode::OK);
    let is_known = async |sale: &str| app.get(sale, &office).await.get("contact").is_some();
    assert!(is_known(owed).await && is_known(visited).await);

    app.pass(91 * 86_400).await;
    app.node().erase_due().await.unwrap();
    assert!(is_known(owed).await && !is_known(visited).await);
    assert_eq!(app.get(refund, &office).await["account"], json!("IT…3456"));
    let gone = json!({"reference": "CRO 1", "executed_on": "2026-11-25"});
    let (status, confirmed) = app.post(&format!("{refund}/confirm"), &office, "o", &gone).await;
    assert_eq!((status, &confirmed["state"]), (StatusCode::OK, &json!("paid_back")), "{confirmed}");
    app.pass(86_400).await;
    app.node().erase_due().await.unwrap();
    assert!(!is_known(owed).await);
    assert_eq!(app.get(refund, &office).await.get("account"), None);
    app.stop().await;
}

/// Whom a payment owes money that cannot be read nobody can tell, but that they are of its museum: all others are forgotten as ever.
#[actix_rt::test]
async fn a_payment_that_cannot_be_read_keeps_nobody_of_another_museum() {
    let app = App::start().await;
    let (office, desk) = (app.key(Role::GroupOffice).await, app.key(Role::BoxOffice).await);
    let owed = refund(&app, &office, "1").await;
    let payment: PaymentId = owed.trim_start_matches("/v1/refunds/").trim_end_matches("-0").parse().unwrap();
    let mut sales = Vec::new();
    for museum in [TORRE, MARE] {
        let form = json!({
            "lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}},
            "contact": {"given_name": "Anna", "family_name": "Verdi", "email": "anna.verdi@example.it"},
        });
        let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(museum, 15)), &desk, "s", &form).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        sales.push(format!("/v1/sales/{}", sale["sale"].as_str().unwrap()));
    }
    let known = async |app: &App| {
        let mut known = Vec::new();
        for sale in &sales {
            known.push(app.get(sale, &desk).await.get("contact").is_some());
        }
        known
    };
    let is_worn: Arc<AtomicBool> = Arc::default();
    let worn = |journal| Arc::new(Worn { journal, payment, is_worn: Arc::clone(&is_worn), read: Arc::default() }) as Arc<dyn Journal>;
    let app = app.restart_threaded(settings(), 1, worn).await;
    app.pass(91 * 86_400).await;
    for _ in 0..2 {
        app.node().tidy().await;
    }
    is_worn.store(true, Ordering::SeqCst);
    app.node().erase_due().await.unwrap();
    assert_eq!(known(&app).await, [true, false]);
    // Since it can be read again it is known that nobody of them is owed anything. A start after so long a time erases nobody for a day.
    let app = app.restart().await;
    app.pass(2 * 86_400).await;
    app.node().erase_due().await.unwrap();
    assert_eq!(known(&app).await, [false, false]);
    app.stop().await;
}

fn export(refunds: &[&str]) -> Value {
    let refunds: Vec<&str> = refunds.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    json!({"debtor": {"name": "Musei di prova", "iban": "IT60X0542811101000000123456"}, "execution_date": "2026-11-25", "refunds": refunds})
}

#[actix_rt::test]
async fn a_refund_is_sent_returned_sent_again_and_confirmed() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    let (status, missing) = app.post("/v1/refunds/export", &office, "e0", &export(&[&path])).await;
    assert_eq!((status.as_u16(), &missing["code"]), (409, &json!("payee_missing")), "{missing}");
    let (status, nothing) = app
        .post(
            "/v1/refunds/export",
            &office,
            "e1",
            &json!({"debtor": {"name": "M", "iban": "IT60X0542811101000000123456"}, "execution_date": "2026-11-25"}),
        )
        .await;
    assert_eq!((status.as_u16(), &nothing["code"]), (409, &json!("nothing_to_export")), "{nothing}");

    let payee = json!({"iban": "IT60 X054 2811 1010 0000 0123 456", "holder": "Maria Rossi"});
    let (status, bad) = app.ask(Method::PUT, &format!("{path}/payee"), &office, "b", &json!({"iban": "IT60", "holder": "Maria Rossi"})).await;
    assert_eq!((status.as_u16(), &bad["code"]), (422, &json!("invalid_contact")));
    for (key, holder) in [("none", " ".to_owned()), ("long", "x".repeat(71)), ("turned", "\u{202e}Maria".to_owned())] {
        let body = json!({"iban": "IT60X0542811101000000123456", "holder": holder});
        let (_, bad) = app.ask(Method::PUT, &format!("{path}/payee"), &office, key, &body).await;
        assert!(bad["code"] == "invalid_contact" && bad["title"].as_str().unwrap().starts_with("holder: "), "{bad}");
    }
    // What no bank takes is said while whoever asks can still be asked; what can be put into Latin letters is taken.
    let body = |holder: &str| json!({"iban": "IT60X0542811101000000123456", "holder": holder});
    for holder in ["李雷", "«…»", "محمد علي"] {
        let (status, bad) = app.ask(Method::PUT, &format!("{path}/payee"), &office, holder.len().to_string().as_str(), &body(holder)).await;
        assert_eq!((status.as_u16(), &bad["code"]), (422, &json!("invalid_contact")), "{holder}: {bad}");
        assert!(bad["title"].as_str().unwrap().starts_with("holder: banks take a-z, A-Z, 0-9"), "{bad}");
        assert!(bad["detail"].as_str().unwrap().contains("Latin letters"), "{bad}");
    }
    let (_, lost) = app.ask(Method::PUT, &format!("{path}/payee"), &office, "lost", &body("李雷 1")).await;
    assert_eq!(lost["characters"], json!("李雷"), "{lost}");
    // A letter that looks like another: Cyrillic а among Latin ones, Latin a among Cyrillic ones, Greek Η.
    for (key, holder, told) in [
        ("latin", "Mаria Rossi", "`а` is Cyrillic where those before it are Latin"),
        ("bulgarian", "Мaрия Първанова", "`a` is Latin where those before it are Cyrillic"),
        ("helena", "Ηelena Neri", "`e` is Latin where those before it are Greek"),
        ("both", "Ada 名", "`名` is of another script where those before it are Latin"),
    ] {
        let (status, bad) = app.ask(Method::PUT, &format!("{path}/payee"), &office, key, &body(holder)).await;
        assert_eq!((status.as_u16(), &bad["code"]), (422, &json!("invalid_contact")), "{holder}: {bad}");
        assert_eq!(bad["title"], format!("holder: letters of one alphabet are expected, and {told}"), "{bad}");
        assert!(bad["detail"].as_str().unwrap().contains("one alphabet"), "{bad}");
    }
    for (key, holder) in
        [("greek", "Δήμος Αθηναίων"), ("cyrillic", "Лесь Курбас"), ("accents", "Łucja Żółć"), ("maltese", "Ġorġ Ħaż-Żebbuġ"), ("bulgaria", "Щърков")]
    {
        let (status, named) = app.ask(Method::PUT, &format!("{path}/payee"), &office, key, &body(holder)).await;
        assert_eq!(status.as_u16(), 200, "{holder}: {named}");
    }
    let (status, named) = app.ask(Method::PUT, &format!("{path}/payee"), &office, "n", &payee).await;
    assert_eq!((status.as_u16(), &named["account"]), (200, &json!("IT…3456")), "{named}");

    let mut late = export(&[&path]);
    late["execution_date"] = json!("2026-11-22");
    let (status, late) = app.post("/v1/refunds/export", &office, "late", &late).await;
    assert_eq!((status.as_u16(), &late["code"]), (422, &json!("invalid")), "no bank carries out what was due yesterday: {late}");
    assert!(late["title"].as_str().unwrap().starts_with("execution_date: "), "{late}");

    let send =
        |key: &'static str| app.request(Method::POST, "/v1/refunds/export", &office).header("Idempotency-Key", key).json(&export(&[&path])).send();
    let first = send("e2").await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let batch = first.headers()["refund-batch"].to_str().unwrap().to_owned();
    let file = first.text().await.unwrap();
    assert!(file.contains("pain.001.001.09") && file.contains("24.00") && file.contains("Maria Rossi"), "{file}");
    assert_eq!(send("e2").await.unwrap().text().await.unwrap(), file, "a repeat gives the same bytes");
    let (status, twice) = app.post("/v1/refunds/export", &office, "e3", &export(&[&path])).await;
    assert_eq!((status.as_u16(), &twice["code"]), (409, &json!("refund_not_open")));
    let seen = app.get(&format!("/v1/refunds/batches/{batch}"), &office).await;
    assert_eq!((&seen["total_cents"], &seen["refunds"][0]["state"]), (&json!(2_400), &json!("exported")), "{seen}");

    let (status, unsaid) = app.post(&format!("{path}/return"), &office, "r0", &json!({"why": "account closed"})).await;
    assert_eq!((status.as_u16(), &unsaid["code"]), (422, &json!("invalid")));
    assert!(unsaid["title"].as_str().unwrap().starts_with("why: "), "{unsaid}");
    // Banks write their reasons in capitals.
    let (status, back) = app.post(&format!("{path}/return"), &office, "r", &json!({"why": "AC04"})).await;
    assert_eq!((status.as_u16(), &back["state"], &back["returned"]), (200, &json!("open"), &json!("ac04")), "{back}");
    assert_eq!(send("e4").await.unwrap().status(), StatusCode::OK);
    let (status, early) = app.post(&format!("{path}/confirm"), &office, "k0", &json!({"reference": "CRO 1", "executed_on": "2026-11-24"})).await;
    assert_eq!((status.as_u16(), &early["code"]), (422, &json!("invalid")), "nothing was carried out tomorrow: {early}");
    assert!(early["title"].as_str().unwrap().starts_with("executed_on: "), "{early}");
    let (status, done) = app.post(&format!("{path}/confirm"), &office, "k", &json!({"reference": "CRO 1", "executed_on": "2026-11-23"})).await;
    assert_eq!((status.as_u16(), &done["state"], &done["way"]), (200, &json!("paid_back"), &json!("transfer")), "{done}");
    let (status, again) = app.post(&format!("{path}/confirm"), &office, "k2", &json!({"reference": "CRO 1", "executed_on": "2026-11-23"})).await;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("refund_not_open")));
    let listed = app.until("/v1/refunds?state=paid_back", &office, |page| page["items"].as_array().unwrap().len() == 1).await;
    assert_eq!((&listed["items"][0]["reference"], &listed["items"][0]["executed_on"]), (&json!("CRO 1"), &json!("2026-11-23")));
    let table = app.request(Method::GET, "/v1/refunds", &office).header("Accept", "text/csv").send().await.unwrap().text().await.unwrap();
    assert!(table.contains("24,00") && table.contains("CRO 1"), "{table}");
    app.stop().await;
}

/// Each step is answered as it was, however far the refund has gone since.
#[actix_rt::test]
async fn a_repeat_of_a_step_is_answered_with_the_refund_as_that_left_it() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    let payee = json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"});
    let sent = json!({"reference": "CRO 1", "executed_on": "2026-11-23"});
    let steps = [
        (Method::PUT, "payee", payee, "open"),
        (Method::POST, "confirm", sent, "paid_back"),
        (Method::POST, "return", json!({"why": "AC04"}), "open"),
        (Method::POST, "confirm", json!({"reference": "CRO 2", "executed_on": "2026-11-23"}), "paid_back"),
    ];
    let mut told = Vec::new();
    for round in 0..2 {
        for (n, (method, step, body, state)) in steps.iter().enumerate() {
            let answer = app.ask(method.clone(), &format!("{path}/{step}"), &office, &format!("{step}-{n}"), body).await;
            assert_eq!((answer.0, &answer.1["state"]), (StatusCode::OK, &json!(state)), "{round}, {n}: {}", answer.1);
            if round == 0 {
                told.push(answer);
            } else {
                assert_eq!(answer, told[n], "{n}");
            }
        }
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_till_pays_out_what_is_open_and_others_do_not_see_it() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    let (web, mare) = (app.key(Role::Web).await, app.key_for(Role::Manager, Museums::Only(vec![MARE])).await);
    assert_eq!(app.request(Method::GET, &path, &web).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(app.request(Method::GET, &path, &mare).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(app.request(Method::GET, "/v1/refunds/nothing", &office).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let unknown = path.replace("-0", "-7");
    assert_eq!(app.request(Method::GET, &unknown, &office).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let (status, early) = app.post(&format!("{path}/return"), &office, "r", &json!({"why": "ac01"})).await;
    assert_eq!((status.as_u16(), &early["code"]), (409, &json!("refund_not_sent")));
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-2"});
    let (status, shut) = app.post(&format!("{path}/payout"), &office, "o", &out).await;
    assert_eq!((status.as_u16(), &shut["code"]), (409, &json!("till_not_open")), "{shut}");
    let session = open_till(&app, &office).await;
    let (status, paid) = app.post(&format!("{path}/payout"), &office, "o", &out).await;
    assert_eq!((status.as_u16(), &paid["state"], &paid["way"]), (200, &json!("paid_back"), &json!("till")), "{paid}");
    let seen = app.get(&session, &office).await;
    assert_eq!((&seen["expected_cents"], &seen["by_method"][0]["taken_cents"]), (&json!(7_600), &json!(-2_400)), "{seen}");
    assert_eq!(app.post(&format!("{session}/close"), &office, "x", &json!({"counted_cents": 7_600})).await.0, StatusCode::OK);
    assert_eq!(app.post(&format!("{path}/payout"), &office, "o", &out).await.1, paid, "a repeat pays nothing twice");
    let (status, named) =
        app.ask(Method::PUT, &format!("{path}/payee"), &office, "n", &json!({"iban": "IT60X0542811101000000123456", "holder": "M R"})).await;
    assert_eq!((status.as_u16(), &named["code"]), (409, &json!("refund_not_open")));
    app.stop().await;
}

async fn name_payee(app: &App, key: &str, path: &str, holder: &str) -> Value {
    let payee = json!({"iban": "IT60X0542811101000000123456", "holder": holder});
    let (status, named) = app.ask(Method::PUT, &format!("{path}/payee"), key, &format!("n{path}"), &payee).await;
    assert_eq!(status, StatusCode::OK, "{named}");
    named
}

/// A name and an account that no refund bears are kept nowhere.
#[actix_rt::test]
async fn a_payee_who_is_refused_leaves_nobody_behind() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    let stored = async || app.node().files().unwrap().people.erase_due(app.node().now().plus_seconds(10 * 365 * 86_400)).await.unwrap();
    let name = async |key: &str, holder: &str| {
        let payee = json!({"iban": "IT60X0542811101000000123456", "holder": holder});
        let (status, told) = app.ask(Method::PUT, &format!("{path}/payee"), &office, key, &payee).await;
        (status.as_u16(), told["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(name("n", "Maria Rossi").await, (200, String::new()));
    assert_eq!(name("n", "Anna Verdi").await, (422, "idempotency_key_reused".to_owned()));
    assert_eq!(stored().await, 1, "whom the refund goes to, and nobody else");
    open_till(&app, &office).await;
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-2"});
    assert_eq!(app.post(&format!("{path}/payout"), &office, "o", &out).await.0, StatusCode::OK);
    assert_eq!(name("late", "Ugo Neri").await, (409, "refund_not_open".to_owned()));
    assert_eq!(stored().await, 0, "it has gone back to somebody else");
    app.stop().await;
}

/// Whose account was named by mistake is not kept for it, but as long as a file for the bank is to be written again with it.
#[actix_rt::test]
async fn a_payee_is_erased_by_the_next_one_unless_money_went_out_to_them() {
    let app = App::start().await;
    let (office, desk) = (app.key(Role::GroupOffice).await, app.key(Role::BoxOffice).await);
    let path = refund(&app, &office, "1").await;
    let name = async |key: &str, holder: &str| {
        let payee = json!({"iban": "IT60X0542811101000000123456", "holder": holder});
        let (status, named) = app.ask(Method::PUT, &format!("{path}/payee"), &office, key, &payee).await;
        assert_eq!(status, StatusCode::OK, "{named}");
        named["payee"].as_str().unwrap().to_owned()
    };
    let status_of = async |person: &str| app.request(Method::GET, &format!("/v1/people/{person}"), &desk).send().await.unwrap().status().as_u16();
    let first = name("1", "Maria Rossi").await;
    assert_eq!(status_of(&first).await, 200);
    let second = name("2", "Anna Verdi").await;
    assert_eq!((status_of(&first).await, status_of(&second).await), (404, 200));
    assert_eq!(name("1", "Maria Rossi").await, first, "a repeat is answered as it was");
    assert_eq!((status_of(&first).await, status_of(&second).await), (404, 200), "and brings nobody back");

    let file = send_file(&app, &office, "e", &export(&[&path])).await.text().await.unwrap();
    assert!(file.contains("Anna Verdi"), "{file}");
    assert_eq!(app.post(&format!("{path}/return"), &office, "r", &json!({"why": "AC04"})).await.0, StatusCode::OK);
    let third = name("3", "Ugo Neri").await;
    assert_eq!((status_of(&second).await, status_of(&third).await), (200, 200));
    assert_eq!(send_file(&app, &office, "e", &export(&[&path])).await.text().await.unwrap(), file, "a repeat gives the same bytes");
    app.stop().await;
}

async fn send_file(app: &App, key: &str, idempotency_key: &str, form: &Value) -> reqwest::Response {
    let sent = app.request(Method::POST, "/v1/refunds/export", key).header("Idempotency-Key", idempotency_key).json(form).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    sent
}

#[actix_rt::test]
async fn nothing_is_sent_unless_the_file_can_be_made() {
    let app = App::start().await;
    let (office, admin) = (app.key(Role::GroupOffice).await, app.key(Role::Admin).await);
    let mut paths = Vec::new();
    for (name, holder) in [("1", "Maria Rossi"), ("2", "Anna Verdi"), ("3", "Ugo Neri")] {
        let path = refund(&app, &office, name).await;
        let named = name_payee(&app, &office, &path, holder).await;
        paths.push((path, named["payee"].as_str().unwrap().to_owned()));
    }
    let [(first, _), (second, payee), (third, _)] = &paths[..] else { panic!("three refunds") };
    for (field, value) in [("bic", "x"), ("code", "//"), ("name", "…")] {
        let mut form = export(&[first, second]);
        form["debtor"][field] = json!(value);
        let (status, refused) = app.post("/v1/refunds/export", &office, field, &form).await;
        assert_eq!((status.as_u16(), &refused["code"]), (422, &json!("invalid")), "{field}: {refused}");
    }
    open_till(&app, &office).await;
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-2"});
    assert_eq!(app.post(&format!("{third}/payout"), &office, "o", &out).await.0, StatusCode::OK);
    let (status, refused) = app.post("/v1/refunds/export", &office, "e1", &export(&[first, third])).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("refund_not_open")), "{refused}");
    assert_eq!(refused["refund"], third.rsplit('/').next().unwrap());
    let erased = app.request(Method::DELETE, &format!("/v1/people/{payee}"), &admin).send().await.unwrap();
    assert!(erased.status().is_success());
    let (status, refused) = app.post("/v1/refunds/export", &office, "e2", &export(&[first, second])).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("payee_missing")), "{refused}");
    for path in [first, second] {
        assert_eq!(app.get(path, &office).await["state"], "open", "nothing is sent with a file that cannot be made");
    }
    // Without a list, those that can go do.
    let mut all = export(&[]);
    all.as_object_mut().unwrap().remove("refunds");
    let sent = send_file(&app, &office, "e3", &all).await;
    assert_eq!(sent.headers()["refund-skipped"], "1");
    let file = sent.text().await.unwrap();
    assert!(file.contains("Maria Rossi") && file.contains("<NbOfTxs>1</NbOfTxs>"), "{file}");
    assert_eq!(app.get(second, &office).await["state"], "open");
    app.pass(2 * 86_400).await;
    assert_eq!(send_file(&app, &office, "e3", &all).await.text().await.unwrap(), file, "a repeat gives the same bytes");
    let (status, nothing) = app.post("/v1/refunds/export", &office, "e4", &all).await;
    assert_eq!((status.as_u16(), &nothing["code"]), (409, &json!("nothing_to_export")), "{nothing}");
    app.stop().await;
}

/// The file that a request makes, as its answer named it before there was a second way to spell names.
fn batch_of(app: &App, key: &str, form: &Value) -> Code {
    let form: RefundExportForm = serde_json::from_value(form.clone()).unwrap();
    let who = app.node().files().unwrap().keys.list().into_iter().find(|known| known.role == Role::GroupOffice).unwrap().id;
    let body = digest(&[key.as_bytes(), b"export refunds", &serde_json::to_vec(&form).unwrap()]);
    let key = digest(&[key.as_bytes()]);
    let batch = digest(&[b"refund batch", &who.get().to_be_bytes(), &key.0.to_be_bytes(), &body.0.to_be_bytes()]);
    format!("r{}", KeyId((batch.0 >> 64) as u64)).parse().unwrap()
}

#[actix_rt::test]
async fn a_file_that_was_begun_is_finished_with_what_can_still_go() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let mut paths = Vec::new();
    for (name, holder) in [("1", "Maria Rossi"), ("2", "Anna Verdi"), ("3", "Ugo Neri")] {
        let path = refund(&app, &office, name).await;
        name_payee(&app, &office, &path, holder).await;
        paths.push(path);
    }
    let form = export(&[&paths[0], &paths[1], &paths[2]]);
    // The machine stopped after the first; before it is asked again, a till pays the third.
    let batch = batch_of(&app, "e", &form);
    let id: RefundId = paths[0].rsplit('/').next().unwrap().parse().unwrap();
    let by = digest(&[b"before the machine stopped"]);
    let asked = Envelope { who: KeyId::SYSTEM, key: by, body: by, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    app.node().payment(id.payment, asked, Command::ExportRefund { refund: id.number, batch }).await.unwrap();
    open_till(&app, &office).await;
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-2"});
    assert_eq!(app.post(&format!("{}/payout", paths[2]), &office, "o", &out).await.0, StatusCode::OK);

    let sent = send_file(&app, &office, "e", &form).await;
    assert_eq!(sent.headers()["refund-batch"], *batch.to_string());
    assert_eq!(sent.headers()["refund-skipped"], "1");
    let file = sent.text().await.unwrap();
    assert!(file.contains("Maria Rossi") && file.contains("Anna Verdi") && !file.contains("Ugo Neri"), "{file}");
    assert_eq!(send_file(&app, &office, "e", &form).await.text().await.unwrap(), file, "a repeat gives the same bytes");
    app.stop().await;
}

/// Who has lost the answer asks again, and at midnight for another day: all of it is sent already, and the file that has it would be nobody's.
#[actix_rt::test]
async fn no_other_file_is_made_under_the_key_of_one() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    name_payee(&app, &office, &path, "Maria Rossi").await;
    let (first, mut other) = (export(&[&path]), export(&[&path]));
    other["execution_date"] = json!("2099-12-31");
    let sent = send_file(&app, &office, "e", &first).await;
    let (batch, file) = (sent.headers()["refund-batch"].clone(), sent.text().await.unwrap());
    let app = app.restart().await;
    let (status, reused) = app.post("/v1/refunds/export", &office, "e", &other).await;
    assert_eq!((status.as_u16(), &reused["code"]), (422, &json!("idempotency_key_reused")), "{reused}");
    let again = send_file(&app, &office, "e", &first).await;
    assert_eq!((again.headers()["refund-batch"].clone(), again.text().await.unwrap()), (batch, file));
    for (key, after_s) in [("e2", 0), ("e", 86_401)] {
        app.pass(after_s).await;
        let (status, sent) = app.post("/v1/refunds/export", &office, key, &other).await;
        assert_eq!((status.as_u16(), &sent["code"]), (409, &json!("refund_not_open")), "another key, and one that is forgotten: {sent}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_file_is_spelled_again_as_it_was_when_it_was_made() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let mut paths = Vec::new();
    for name in ["1", "2"] {
        let path = refund(&app, &office, name).await;
        name_payee(&app, &office, &path, "Βασίλης Χατζής").await;
        paths.push(path);
    }
    // A program of before made the first file.
    let (before, after) = (export(&[&paths[0]]), export(&[&paths[1]]));
    let batch = batch_of(&app, "before", &before);
    let id: RefundId = paths[0].rsplit('/').next().unwrap().parse().unwrap();
    let by = digest(&[b"by the program of before"]);
    let asked = Envelope { who: KeyId::SYSTEM, key: by, body: by, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    app.node().payment(id.payment, asked, Command::ExportRefund { refund: id.number, batch }).await.unwrap();
    let sent = send_file(&app, &office, "before", &before).await;
    assert_eq!(sent.headers()["refund-batch"], *batch.to_string());
    let file = sent.text().await.unwrap();
    assert!(file.contains("Basilis CHatzis"), "{file}");
    let sent = send_file(&app, &office, "after", &after).await;
    assert!(sent.headers()["refund-batch"].to_str().unwrap().ends_with("-2"));
    let other = sent.text().await.unwrap();
    assert!(other.contains("Vasilis CHatzis"), "{other}");
    for (key, form, file) in [("before", &before, &file), ("after", &after, &other)] {
        assert_eq!(&send_file(&app, &office, key, form).await.text().await.unwrap(), file, "a repeat gives the same bytes");
    }
    app.stop().await;
}

/// The payer's bank takes the money back by itself: until somebody says that it may, nothing of it goes back beside that, on no way.
#[actix_rt::test]
async fn what_the_payers_bank_contests_is_not_paid_back_as_well() {
    let app = App::start().await;
    let (office, manager) = (app.key(Role::GroupOffice).await, app.key(Role::Manager).await);
    open_till(&app, &office).await;
    let issue = json!({"museum": "torre", "amount_cents": 10_000, "valid_until": "2027-12-31"});
    let (status, voucher) = app.post("/v1/vouchers", &manager, "v", &issue).await;
    assert_eq!(status, StatusCode::CREATED, "{voucher}");
    let code = voucher["code"].as_str().unwrap();
    let balance = async || app.get(&format!("/v1/vouchers/{code}"), &manager).await["balance_cents"].clone();
    let web = app.key(Role::Web).await;
    let hold = app.hold(slot(TORRE, 16), &web, "h", json!([{"category": "full", "count": 2}])).await;
    let (status, paid) = app.post("/v1/payments", &web, "p", &json!({"holds": [&hold], "gateway": {"voucher": {"code": code}}})).await;
    assert_eq!((status, &paid["state"]), (StatusCode::CREATED, &json!("paid")), "{paid}");
    let disputes = format!("/v1/payments/{}/disputes", paid["payment"].as_str().unwrap());
    let (status, _) = app.post(&disputes, &office, "d", &json!({"reason": "not_recognised", "reference": "CASE-1"})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = app.post(&format!("/v1/sales/{hold}/cancel"), &office, "c", &json!({"cause": "museum"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    tornello_actors::payments::resume(app.node()).await;
    let to_voucher = format!("/v1/refunds/{}-0", paid["payment"].as_str().unwrap());
    assert_eq!((&app.get(&to_voucher, &office).await["state"], balance().await), (&json!("contested"), json!(7_600)));

    let by_desk = refund(&app, &office, "1").await;
    let of_desk = format!("/v1/payments/{}/disputes", app.get(&by_desk, &office).await["payment"].as_str().unwrap());
    app.post(&of_desk, &office, "e", &json!({"reason": "not_recognised", "reference": "CASE-2"})).await;
    app.post(&format!("{of_desk}/resolve"), &office, "r", &json!({"upheld": true})).await;
    app.ask(Method::PUT, &format!("{by_desk}/payee"), &office, "y", &json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"})).await;
    let out = json!({"till": "till-1", "method": "cash", "reference": "R-9"});
    let by_hand = json!({"reference": "CRO 1", "executed_on": "2026-11-23"});
    for (what, path, body) in [
        ("export", "/v1/refunds/export".to_owned(), export(&[&by_desk])),
        ("payout", format!("{by_desk}/payout"), out.clone()),
        ("hand", format!("{by_desk}/confirm"), by_hand),
    ] {
        let (status, problem) = app.post(&path, &office, what, &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("refund_contested")), "{what}: {problem}");
    }
    let all = json!({"debtor": {"name": "M", "iban": "IT60X0542811101000000123456"}, "execution_date": "2026-11-25"});
    assert_eq!(app.post("/v1/refunds/export", &office, "all", &all).await.1["code"], "nothing_to_export");
    let listed = app.until("/v1/refunds?state=contested", &office, |page| page["items"].as_array().unwrap().len() == 2).await;
    assert_eq!(listed["items"][0]["state"], "contested", "{listed}");

    // Whoever settles says that they may go.
    let box_office = app.key(Role::BoxOffice).await;
    assert_eq!(app.post(&format!("{by_desk}/release"), &box_office, "l0", &json!(null)).await.0, StatusCode::FORBIDDEN);
    let (status, released) = app.post(&format!("{by_desk}/release"), &office, "l1", &json!(null)).await;
    assert_eq!((status, &released["state"]), (StatusCode::OK, &json!("open")), "{released}");
    assert_eq!(app.post(&format!("{by_desk}/release"), &office, "l2", &json!(null)).await.1["code"], "refund_not_contested");
    let (status, paid_out) = app.post(&format!("{by_desk}/payout"), &office, "payout-2", &out).await;
    assert_eq!((status, &paid_out["state"]), (StatusCode::OK, &json!("paid_back")), "{paid_out}");
    let (status, restored) = app.post(&format!("{to_voucher}/release"), &office, "l3", &json!(null)).await;
    assert_eq!((status, &restored["state"], balance().await), (StatusCode::OK, &json!("paid_back"), json!(10_000)), "{restored}");
    app.until("/v1/refunds?state=contested", &office, |page| page["items"].as_array().unwrap().is_empty()).await;
    app.stop().await;
}

/// A notice that was paid twice: whoever paid it the second time is not kept waiting for a dispute over the first one that is decided.
#[actix_rt::test]
async fn a_dispute_that_is_decided_keeps_back_what_came_with_its_receipt_alone() {
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::GroupOffice).await);
    let hold = app.hold(slot(TORRE, 15), &web, "h", json!([{"category": "full", "count": 1}])).await;
    let (_, opened) = app.post("/v1/payments", &web, "p", &json!({"holds": [hold], "gateway": {"notice": {}}})).await;
    let (id, number) = (opened["payment"].as_str().unwrap(), opened["notice_number"].as_str().unwrap());
    for token in ["token-1", "token-2"] {
        let (_, answer) = app.soap("paSendRT", &receipt(token, number, "12.00", "2026-11-23T09:31:00")).await;
        assert!(answer.contains("<outcome>OK</outcome>"), "{answer}");
    }
    app.until(&format!("/v1/payments/{id}"), &office, |seen| seen["refunds"][0]["why"] == "double_payment").await;
    let disputes = format!("/v1/payments/{id}/disputes");
    let states = async |expected: &str| {
        assert_eq!(app.get(&format!("/v1/refunds/{id}-0"), &office).await["state"], expected);
        app.until(&format!("/v1/refunds?state={expected}"), &office, |page| page["items"][0]["refund"] == format!("{id}-0").as_str()).await;
    };
    for (key, receipt, after) in [("1", "token-1", "open"), ("2", "token-2", "contested")] {
        let case = json!({"reason": "not_recognised", "reference": format!("CASE-{key}")});
        let (status, contested) = app.post(&disputes, &office, &format!("d{key}"), &case).await;
        assert_eq!(status, StatusCode::OK, "{contested}");
        states("contested").await;
        let form = json!({"upheld": true, "receipt": receipt});
        let (status, over) = app.post(&format!("{disputes}/resolve"), &office, &format!("r{key}"), &form).await;
        assert_eq!((status, &over["refunds"][0]["state"]), (StatusCode::OK, &json!(after)), "{over}");
        states(after).await;
    }
    app.stop().await;
}

#[actix_rt::test]
async fn what_was_let_go_waits_again_when_the_payers_bank_wins_after_that() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let path = refund(&app, &office, "1").await;
    app.ask(Method::PUT, &format!("{path}/payee"), &office, "y", &json!({"iban": "IT60X0542811101000000123456", "holder": "Maria Rossi"})).await;
    let disputes = format!("/v1/payments/{}/disputes", app.get(&path, &office).await["payment"].as_str().unwrap());
    let (status, _) = app.post(&disputes, &office, "d", &json!({"reason": "not_recognised", "reference": "CASE-1"})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, released) = app.post(&format!("{path}/release"), &office, "l", &json!(null)).await;
    assert_eq!((status, &released["state"]), (StatusCode::OK, &json!("open")), "{released}");
    let (status, _) = app.post(&format!("{disputes}/resolve"), &office, "r", &json!({"upheld": true})).await;
    assert_eq!((status, &app.get(&path, &office).await["state"]), (StatusCode::OK, &json!("contested")));
    app.until("/v1/refunds?state=contested", &office, |page| page["items"].as_array().unwrap().len() == 1).await;
    let all = json!({"debtor": {"name": "M", "iban": "IT60X0542811101000000123456"}, "execution_date": "2026-11-25"});
    assert_eq!(app.post("/v1/refunds/export", &office, "all", &all).await.1["code"], "nothing_to_export", "it would be paid back twice");
    app.stop().await;
}
