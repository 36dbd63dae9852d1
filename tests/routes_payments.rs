//! Payments over HTTP: what is due for holds, what came, and who may see it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::ids::HoldId;

use crate::support::{App, MARE, TORRE, slot};

fn notice(holds: &[&str]) -> Value {
    json!({"holds": holds, "gateway": {"notice": {}}})
}

fn desk(holds: &[&str], reference: &str) -> Value {
    json!({"holds": holds, "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": reference}}})
}

async fn pay(app: &App, key: &str, idempotency_key: &str, form: &Value) -> Value {
    let (status, body) = app.post("/v1/payments", key, idempotency_key, form).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body
}

#[actix_rt::test]
async fn what_is_paid_at_a_desk_becomes_a_sale_at_once_and_the_ledger_sums_to_zero() {
    let app = App::start().await;
    let (box_office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let one = app.hold(slot(TORRE, 12), &box_office, "h1", json!([{"category": "full", "count": 2}])).await;
    let two = app.hold(slot(TORRE, 13), &box_office, "h2", json!([{"category": "full", "count": 1}])).await;
    let paid = pay(&app, &box_office, "p1", &desk(&[&one, &two], "R-1")).await;
    assert_eq!((&paid["state"], &paid["amount_cents"], &paid["gateway"]), (&json!("paid"), &json!(3_600), &json!("desk")), "{paid}");
    assert_eq!(paid["items"].as_array().unwrap().iter().map(|item| &item["state"]).collect::<Vec<_>>(), ["sold", "sold"], "{paid}");
    assert_eq!(paid["receipts"][0]["source"], "desk");
    assert_eq!(paid["receipts"][0]["desk"], json!({"till": "till-1", "method": "cash", "reference": "R-1"}));
    assert!(paid.get("notice_number").is_none() && paid.get("ledger").is_none(), "{paid}");
    let id = paid["payment"].as_str().unwrap();
    let sale = app.get(&format!("/v1/sales/{one}"), &box_office).await;
    assert_eq!(sale["settlement"], json!({"payment": {"id": id}}));

    assert_eq!(pay(&app, &box_office, "p1", &desk(&[&one, &two], "R-1")).await, paid, "a repeat is answered the same");
    let (status, reused) = app.post("/v1/payments", &box_office, "p1", &desk(&[&one], "R-1")).await;
    assert_eq!((status.as_u16(), &reused["code"]), (422, &json!("idempotency_key_reused")));

    let seen = app.get(&format!("/v1/payments/{id}"), &manager).await;
    let lines = seen["ledger"].as_array().unwrap();
    assert_eq!(lines.iter().map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>(), 0);
    assert!(lines.len() >= 6, "{seen}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_notice_is_payable_keeps_its_places_and_can_be_cancelled() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let hold = app.hold(slot(TORRE, 15), &web, "h1", json!([{"category": "full", "count": 1}])).await;
    let before = app.get(&format!("/v1/holds/{hold}"), &web).await["expires_at"].as_str().unwrap().to_owned();
    let opened = pay(&app, &web, "p1", &notice(&[&hold])).await;
    assert_eq!((&opened["state"], &opened["amount_cents"]), (&json!("pending"), &json!(1_200)), "{opened}");
    let number = opened["notice_number"].as_str().unwrap();
    assert_eq!((number.len(), opened["iuv"].as_str().unwrap()), (18, &number[1..]));
    assert_eq!(opened["qr"], format!("PAGOPA|002|{number}|77777777777|1200"));
    assert!(app.get(&format!("/v1/holds/{hold}"), &web).await["expires_at"].as_str().unwrap() > before.as_str());

    let file = app.request(Method::GET, &format!("/v1/payments/{}/notice.pdf", opened["payment"].as_str().unwrap()), &web).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "application/pdf");
    assert!(file.bytes().await.unwrap().starts_with(b"%PDF-"));

    let (status, kept) = app.post("/v1/payments", &web, "p2", &notice(&[&hold])).await;
    assert_eq!((status.as_u16(), &kept["code"], &kept["payment"]), (409, &json!("hold_kept"), &opened["payment"]), "{kept}");
    let path = format!("/v1/payments/{}", opened["payment"].as_str().unwrap());
    let (status, cancelled) = app.post(&format!("{path}/cancel"), &web, "c1", &json!({})).await;
    assert_eq!((status.as_u16(), &cancelled["state"]), (200, &json!("cancelled")), "{cancelled}");
    let (status, again) = app.post(&format!("{path}/cancel"), &web, "c2", &json!({})).await;
    assert_eq!((status.as_u16(), &again["code"]), (410, &json!("payment_cancelled")));
    let third = pay(&app, &web, "p3", &notice(&[&hold])).await;
    assert_eq!(third["state"], "pending", "the hold can be paid for again");

    // A desk takes the money: the notice is closed, and not taken twice.
    let third_path = format!("/v1/payments/{}/desk", third["payment"].as_str().unwrap());
    let till = json!({"till": "till-1", "method": "card", "reference": "R-9"});
    let (status, paid) = app.post(&third_path, &manager, "d1", &till).await;
    assert_eq!((status.as_u16(), &paid["state"], &paid["items"][0]["state"]), (200, &json!("paid"), &json!("sold")), "{paid}");
    // Whose slip that is, is told for as long as the payment is.
    assert_eq!(app.get(&third_path.replace("/desk", ""), &manager).await["receipts"][0]["desk"], till);
    for (name, code) in [("receipt", None), ("notice", Some("already_paid"))] {
        let path = third_path.replace("/desk", &format!("/{name}.pdf"));
        let file = app.request(Method::GET, &path, &web).send().await.unwrap();
        match code {
            None => assert!(file.bytes().await.unwrap().starts_with(b"%PDF-")),
            Some(code) => assert_eq!(crate::support::body_of(file).await["code"], code),
        }
    }
    let (status, same) = app.post(&third_path, &manager, "d2", &till).await;
    assert_eq!((status.as_u16(), same["receipts"].as_array().unwrap().len()), (200, 1));
    let (status, twice) = app.post(&third_path, &manager, "d3", &json!({"till": "till-2", "method": "cash", "reference": "R-10"})).await;
    assert_eq!((status.as_u16(), &twice["code"]), (409, &json!("already_paid")));
    app.stop().await;
}

/// Somebody comes with the slip of a desk: their sale is found, however the desk took the money and wherever the tickets are by now.
#[actix_rt::test]
async fn the_reference_of_a_desk_finds_what_was_paid_there_and_where_its_tickets_went() {
    let mut app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let one = app.hold(slot(TORRE, 12), &web, "h1", json!([{"category": "full", "count": 2}])).await;
    let opened = pay(&app, &web, "p1", &notice(&[&one])).await;
    let till = json!({"till": "till-1", "method": "card", "reference": "R-9"});
    let (status, paid) = app.post(&format!("/v1/payments/{}/desk", opened["payment"].as_str().unwrap()), &office, "d1", &till).await;
    assert_eq!((status, &paid["items"][0]["state"]), (StatusCode::OK, &json!("sold")), "{paid}");
    let other = app.hold(slot(TORRE, 13), &office, "h2", json!([{"category": "full", "count": 1}])).await;
    pay(&app, &office, "p2", &desk(&[&other], "R-8")).await;
    let to = json!({"slot": slot(TORRE, 15).to_string(), "tickets": [0]});
    let (status, moved) = app.post(&format!("/v1/sales/{one}/move"), &office, "m1", &to).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    let mut expected = vec![one, moved["sale"].as_str().unwrap().to_owned()];
    expected.sort();
    for round in ["as it happens", "from the journal"] {
        let reached = app.node().head().number;
        app.node().files().unwrap().views.reach(reached).await;
        let page = app.get("/v1/sales?reference=R-9", &office).await;
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|item| item["sale"].as_str().unwrap()).collect::<Vec<_>>(), expected, "{round}");
        assert!(items.iter().all(|item| item["reference"] == "R-9"), "{round}: {page}");
        app = app.restart_without_views().await;
    }
    app.stop().await;
}

/// What somebody may still pay for is not sold at the desk beside it: it is told which payment to let be paid, or to cancel.
#[actix_rt::test]
async fn a_desk_does_not_sell_what_a_payment_keeps() {
    let app = App::start().await;
    let box_office = app.key(Role::BoxOffice).await;
    let hold = app.hold(slot(TORRE, 12), &box_office, "h", json!([{"category": "full", "count": 1}])).await;
    let opened = pay(&app, &box_office, "p", &notice(&[&hold])).await;
    let confirm = format!("/v1/holds/{hold}/confirm");
    let plain = json!({"settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}});
    let mut named = plain.clone();
    named["contact"] = json!({"given_name": "Ada", "family_name": "Neri", "email": "ada@example.it"});
    for (key, form) in [("c1", &plain), ("c2", &named)] {
        let (status, kept) = app.post(&confirm, &box_office, key, form).await;
        assert_eq!((status.as_u16(), &kept["code"], &kept["payment"]), (409, &json!("hold_kept"), &opened["payment"]), "{kept}");
        assert!(kept["detail"].as_str().is_some_and(|detail| detail.contains("cancel it")), "{kept}");
    }
    let payment = format!("/v1/payments/{}", opened["payment"].as_str().unwrap());
    assert_eq!(app.get(&payment, &box_office).await["state"], "pending");
    assert_eq!(app.post(&format!("{payment}/cancel"), &box_office, "x", &json!({})).await.0, StatusCode::OK);
    let (status, sale) = app.post(&confirm, &box_office, "c1", &plain).await;
    assert_eq!((status, &sale["sale"]), (StatusCode::CREATED, &json!(hold)), "{sale}");
    assert_eq!(app.post(&confirm, &box_office, "c1", &plain).await, (status, sale), "a repeat is the same sale");
    let (status, sold) = app.post(&confirm, &box_office, "c2", &named).await;
    assert_eq!((status.as_u16(), &sold["code"]), (409, &json!("hold_sold")), "{sold}");

    // With a contact it is looked at before that is stored.
    let hold = app.hold(slot(TORRE, 13), &box_office, "h2", json!([{"category": "full", "count": 1}])).await;
    let opened = pay(&app, &box_office, "p2", &notice(&[&hold])).await;
    let cancel = format!("/v1/payments/{}/cancel", opened["payment"].as_str().unwrap());
    assert_eq!(app.post(&cancel, &box_office, "x2", &json!({})).await.0, StatusCode::OK);
    let (status, sale) = app.post(&format!("/v1/holds/{hold}/confirm"), &box_office, "c3", &named).await;
    assert_eq!((status, &sale["sale"]), (StatusCode::CREATED, &json!(hold)), "{sale}");
    app.stop().await;
}

/// Of many who ask at once, each with a key of its own, one begins to pay for a hold; the same request twice at once is one payment.
#[actix_rt::test]
async fn of_many_who_pay_for_a_hold_at_once_one_does() {
    let app = App::start().await;
    let (box_office, office) = (app.key(Role::BoxOffice).await, app.key(Role::GroupOffice).await);
    let issue = json!({"amount_cents": 9_000, "valid_until": "2027-01-01T00:00:00Z"});
    let voucher = app.post("/v1/vouchers", &office, "v", &issue).await.1["code"].as_str().unwrap().to_owned();
    for (hour, way) in [(12, "desk"), (13, "notice"), (14, "voucher"), (15, "free")] {
        let category = if way == "free" { "under-18" } else { "full" };
        let hold = app.hold(slot(TORRE, hour), &box_office, way, json!([{"category": category, "count": 1}])).await;
        let form = |n: usize| match way {
            "desk" => desk(&[&hold], &format!("R-{n}")),
            "notice" => notice(&[&hold]),
            "voucher" => json!({"holds": [hold], "gateway": {"voucher": {"code": voucher}}}),
            _ => json!({"holds": [hold], "gateway": {"free": {}}}),
        };
        let forms: Vec<(String, Value)> = (0..8).map(|n| (format!("{way}-{}", n / 2), form(n / 2))).collect();
        let asked = forms.iter().map(|(key, form)| app.post("/v1/payments", &box_office, key, form));
        let answers = futures_util::future::join_all(asked).await;
        let begun: Vec<&Value> = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).map(|(_, body)| body).collect();
        assert!(!begun.is_empty() && begun.iter().all(|body| body["payment"] == begun[0]["payment"]), "{way}: {answers:?}");
        for (status, body) in answers.iter().filter(|(status, _)| *status != StatusCode::CREATED) {
            let why = body["code"].as_str().unwrap();
            assert!(status.is_client_error() && ["hold_kept", "hold_sold"].contains(&why), "{way}: {body}");
        }
        assert_eq!(begun.len(), 2, "{way}: the one request is answered as often as it was made: {answers:?}");
    }
    let listed = app.until("/v1/payments", &office, |page| page["items"].as_array().is_some_and(|items| items.len() == 4)).await;
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item["state"] == "paid" || item["gateway"] == "notice"), "{listed}");
    assert_eq!(app.get(&format!("/v1/vouchers/{voucher}"), &office).await["balance_cents"], 7_800);
    app.stop().await;
}

#[actix_rt::test]
async fn a_payment_over_nothing_is_paid_at_once_and_every_other_one_needs_a_gateway() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let free = app.hold(slot(TORRE, 12), &web, "h1", json!([{"category": "under-18", "count": 3}])).await;
    let dear = app.hold(slot(TORRE, 12), &web, "h2", json!([{"category": "full", "count": 1}])).await;
    let other = app.hold(slot(MARE, 12), &web, "h3", json!([{"category": "full", "count": 1}])).await;
    let unknown = |count: u64| (0..count).map(|n| HoldId::new(slot(TORRE, 12), n).to_string()).collect::<Vec<_>>();
    for (form, code) in [
        (json!({"holds": [free], "gateway": {"notice": {}}}), "gateway_mismatch"),
        (json!({"holds": [dear], "gateway": {"free": {}}}), "gateway_mismatch"),
        (json!({"holds": [], "gateway": {"free": {}}}), "invalid"),
        (json!({"holds": [dear, dear], "gateway": {"notice": {}}}), "invalid"),
        (json!({"holds": [dear, other], "gateway": {"notice": {}}}), "invalid"),
        (json!({"holds": unknown(8), "gateway": {"notice": {}}}), "unknown_hold"),
        (json!({"holds": unknown(9), "gateway": {"notice": {}}}), "invalid"),
        (json!({"holds": ["000a000102r4e0000000000000"], "gateway": {"notice": {}}}), "not_found"),
        (json!({"holds": [dear], "gateway": {"voucher": {"code": "0000000000001"}}}), "unknown_voucher"),
        (
            json!({"holds": [dear], "gateway": {"checkout": {"return_urls": {"ok": "https://a.it", "cancel": "https://a.it", "error": "https://a.it"}}}}),
            "gateway_off",
        ),
        (
            json!({"holds": [dear], "gateway": {"checkout": {"return_urls": {"ok": "javascript:1", "cancel": "https://a.it", "error": "https://a.it"}}}}),
            "invalid",
        ),
        (desk(&[&dear], "R"), "forbidden"),
    ] {
        let (_, refused) = app.post("/v1/payments", &web, &form.to_string().len().to_string(), &form).await;
        assert_eq!(refused["code"], code, "{form}: {refused}");
    }
    let paid = pay(&app, &web, "p", &json!({"holds": [free], "gateway": {"free": {}}})).await;
    assert_eq!((&paid["state"], &paid["items"][0]["state"], &paid["amount_cents"]), (&json!("paid"), &json!("sold"), &json!(0)), "{paid}");
    assert!(paid.get("notice_number").is_none(), "nothing due has no notice");
    app.stop().await;
}

#[actix_rt::test]
async fn one_payment_of_an_order_is_under_way_at_a_time() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let order = "00000000000000000000000042";
    let mut holds = Vec::new();
    for hour in [12, 13] {
        holds.push(app.hold(slot(TORRE, hour), &web, &format!("h{hour}"), json!([{"category": "full", "count": 1}])).await);
    }
    let form = |hold: &str| json!({"holds": [hold], "gateway": {"notice": {}}, "order": order});
    let first = pay(&app, &web, "p1", &form(&holds[0])).await;
    assert_eq!(first["order"], order);
    let (status, refused) = app.post("/v1/payments", &web, "p2", &form(&holds[1])).await;
    assert_eq!((status.as_u16(), &refused["code"], &refused["payment"]), (409, &json!("payment_under_way"), &first["payment"]));
    app.post(&format!("/v1/payments/{}/cancel", first["payment"].as_str().unwrap()), &web, "c", &json!({})).await;
    pay(&app, &web, "p3", &form(&holds[1])).await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_desk_or_kiosk_that_says_nothing_sound_keeps_nothing() {
    let app = App::start().await;
    for (hour, role) in [(12, Role::Kiosk), (13, Role::BoxOffice)] {
        let key = app.key(role).await;
        let hold = app.hold(slot(TORRE, hour), &key, "h", json!([{"category": "full", "count": 1}])).await;
        for (number, reference) in ["", "a\nb", &"x".repeat(65)].into_iter().enumerate() {
            let (status, refused) = app.post("/v1/payments", &key, &format!("bad{number}"), &desk(&[&hold], reference)).await;
            assert_eq!((status.as_u16(), &refused["code"]), (422, &json!("invalid")), "{refused}");
        }
        let paid = pay(&app, &key, "good", &desk(&[&hold], "R-1")).await;
        assert_eq!(paid["state"], "paid", "no payment of before keeps the hold: {paid}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_payer_is_known_also_if_the_payment_was_refused_first() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut holds = Vec::new();
    for hour in [12, 13] {
        holds.push(app.hold(slot(TORRE, hour), &web, &format!("h{hour}"), json!([{"category": "full", "count": 1}])).await);
    }
    let form = |hold: &str| {
        json!({"holds": [hold], "gateway": {"notice": {}}, "order": "00000000000000000000000042",
            "payer": {"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"}})
    };
    let first = pay(&app, &web, "p1", &form(&holds[0])).await;
    let (_, refused) = app.post("/v1/payments", &web, "p2", &form(&holds[1])).await;
    assert_eq!(refused["code"], "payment_under_way");
    app.post(&format!("/v1/payments/{}/cancel", first["payment"].as_str().unwrap()), &web, "c", &json!({})).await;
    let second = pay(&app, &web, "p2", &form(&holds[1])).await;
    let id = second["payment"].as_str().unwrap().parse().unwrap();
    let payer = app.node().look_payment(id, |payment| payment.opened().unwrap().payer).await.unwrap().unwrap();
    let known = app.node().files().unwrap().people.get(payer).await.unwrap().unwrap();
    assert_eq!(known.email(), "maria.rossi@example.it");
    assert_eq!(pay(&app, &web, "p2", &form(&holds[1])).await["payment"], second["payment"], "a repeat is answered the same");
    app.stop().await;
}

/// Whoever lost the first answer is told what was begun, and not that it was cancelled since, or paid by somebody else.
#[actix_rt::test]
async fn a_repeat_is_answered_with_the_payment_as_it_was_begun() {
    let app = App::start().await;
    let (web, box_office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let mut begun = Vec::new();
    for hour in [12, 13] {
        let hold = app.hold(slot(TORRE, hour), &web, &format!("h{hour}"), json!([{"category": "full", "count": 1}])).await;
        let form = notice(&[&hold]);
        let first = pay(&app, &web, &format!("p{hour}"), &form).await;
        assert_eq!(first["state"], "pending", "{first}");
        begun.push((form, format!("p{hour}"), first));
    }
    let path = |n: usize| format!("/v1/payments/{}", begun[n].2["payment"].as_str().unwrap());
    assert_eq!(app.post(&format!("{}/cancel", path(0)), &web, "c", &json!(null)).await.1["state"], "cancelled");
    let taken = json!({"till": "till-1", "method": "cash", "reference": "R-1"});
    assert_eq!(app.post(&format!("{}/desk", path(1)), &box_office, "d", &taken).await.1["state"], "paid");
    for (n, now) in ["cancelled", "paid"].into_iter().enumerate() {
        let (form, key, first) = &begun[n];
        assert_eq!(&pay(&app, &web, key, form).await, first, "{now} since");
        assert_eq!(app.get(&path(n), &web).await["state"], now);
    }
    app.stop().await;
}

/// Whoever comes to a desk with a notice that is over, for places that others have by now, is told so: what the desk took would go back by a transfer.
#[actix_rt::test]
async fn a_desk_takes_no_money_for_places_that_are_gone() {
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let mut due = Vec::new();
    for (name, count) in [("gone", 2), ("there", 1), ("again", 2)] {
        let hold = app.hold(slot(TORRE, 15), &web, &format!("h-{name}"), json!([{"category": "full", "count": count}])).await;
        let opened = pay(&app, &web, name, &notice(&[&hold])).await;
        due.push((hold, format!("/v1/payments/{}", opened["payment"].as_str().unwrap())));
    }
    app.pass(3 * 3_600).await;
    let others = json!({"lines": [{"category": "full", "count": 18}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &office, "others", &others).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let till = |reference: &str| json!({"till": "till-1", "method": "cash", "reference": reference});
    let at_desk = async |n: usize| app.post(&format!("{}/desk", due[n].1), &office, &format!("d-{n}"), &till(&format!("R-{n}"))).await;
    // What is expired is not gone: two are left, for one of them and not for two more.
    let (status, there) = at_desk(1).await;
    assert_eq!((status, &there["items"][0]["state"]), (StatusCode::OK, &json!("sold")), "{there}");
    let (status, refused) = at_desk(0).await;
    assert_eq!((status.as_u16(), &refused["code"], &refused["hold"]), (409, &json!("not_enough_places"), &json!(due[0].0)), "{refused}");
    assert_eq!(app.get(&due[0].1, &web).await["receipts"], json!([]), "nothing was taken");
    // Others come no more: then there are places again.
    let back = format!("/v1/sales/{}/cancel", sold["sale"].as_str().unwrap());
    assert_eq!(app.post(&back, &office, "back", &json!({"cause": "museum"})).await.0, StatusCode::OK);
    let (status, again) = at_desk(2).await;
    assert_eq!((status, &again["state"], &again["items"][0]["state"]), (StatusCode::OK, &json!("paid"), &json!("sold")), "{again}");
    // When it is over nobody pays for it.
    app.pass(6 * 3_600).await;
    let (status, late) = at_desk(0).await;
    assert_eq!((status.as_u16(), app.get(&due[0].1, &web).await["receipts"].as_array().map(Vec::len)), (409, Some(0)), "{late}");
    assert_eq!(at_desk(2).await.1["state"], "paid", "what was taken before is answered as ever");
    app.stop().await;
}

/// What came of it since, money that came late or back and a dispute, is said by `GET`.
#[actix_rt::test]
async fn a_repeat_of_a_step_is_answered_with_the_payment_as_that_left_it() {
    let app = App::start().await;
    let (web, box_office, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let begun = async |hour: i8, key: &'static str| {
        let hold = app.hold(slot(TORRE, hour), &web, &format!("h-{key}"), json!([{"category": "full", "count": 1}])).await;
        let paid = pay(&app, &web, key, &notice(&[&hold])).await;
        (hold, format!("/v1/payments/{}", paid["payment"].as_str().unwrap()))
    };
    let ((_, cancelled), (sale, paid)) = (begun(12, "one").await, begun(13, "two").await);
    let desk = |reference: &str| json!({"till": "till-1", "method": "cash", "reference": reference});
    // Whoever pays at a desk what was cancelled meanwhile is told so from then on, and not whoever had cancelled it.
    let cancel = app.post(&format!("{cancelled}/cancel"), &web, "c", &json!(null)).await;
    assert_eq!((cancel.0.as_u16(), &cancel.1["state"]), (200, &json!("cancelled")), "{}", cancel.1);
    let late = app.post(&format!("{cancelled}/desk"), &box_office, "late", &desk("R-1")).await;
    assert_eq!((late.0.as_u16(), late.1["receipts"].as_array().unwrap().len()), (200, 1), "{}", late.1);
    assert_eq!(app.post(&format!("{cancelled}/cancel"), &web, "c", &json!(null)).await, cancel);

    let taken = app.post(&format!("{paid}/desk"), &box_office, "d", &desk("R-2")).await;
    assert_eq!((taken.0.as_u16(), &taken.1["state"], &taken.1["items"][0]["state"]), (200, &json!("paid"), &json!("sold")), "{}", taken.1);
    let case = json!({"reason": "not_recognised", "reference": "CASE-1"});
    let (open, resolve) = (format!("{paid}/disputes"), format!("{paid}/disputes/resolve"));
    let disputed = app.post(&open, &manager, "o", &case).await;
    assert_eq!((disputed.0.as_u16(), &disputed.1["disputed"]), (200, &json!(true)), "{}", disputed.1);
    let resolved = app.post(&resolve, &manager, "r", &json!({"upheld": false})).await;
    assert_eq!((resolved.0.as_u16(), &resolved.1["disputed"]), (200, &json!(false)), "{}", resolved.1);
    let (status, back) = app.post(&format!("/v1/sales/{sale}/cancel"), &box_office, "b", &json!({"cause": "museum"})).await;
    assert_eq!(status.as_u16(), 200, "{back}");
    tornello_actors::payments::resume(app.node()).await;
    assert_eq!(app.get(&paid, &manager).await["refunds"].as_array().unwrap().len(), 1);
    // The same money under another key is the same money.
    for key in ["d", "d2"] {
        assert_eq!(app.post(&format!("{paid}/desk"), &box_office, key, &desk("R-2")).await, taken, "{key}");
    }
    assert_eq!(app.post(&open, &manager, "o", &case).await, disputed);
    assert_eq!(app.post(&resolve, &manager, "r", &json!({"upheld": false})).await, resolved);
    app.stop().await;
}

#[actix_rt::test]
async fn owners_see_their_own_and_desks_see_those_of_their_museums() {
    let app = App::start().await;
    let (web, reseller) = (app.key(Role::Web).await, app.key(Role::Reseller).await);
    let mare = app.key_for(Role::BoxOffice, Museums::Only(vec![MARE])).await;
    let manager = app.key(Role::Manager).await;
    let hold = app.hold(slot(TORRE, 12), &web, "h", json!([{"category": "full", "count": 1}])).await;
    let (_, refused) = app.post("/v1/payments", &reseller, "p0", &notice(&[&hold])).await;
    assert_eq!(refused["code"], "unknown_hold");
    let payment = pay(&app, &web, "p", &notice(&[&hold])).await["payment"].as_str().unwrap().to_owned();
    for (key, found) in [(&web, true), (&manager, true), (&reseller, false), (&mare, false)] {
        let response = app.request(Method::GET, &format!("/v1/payments/{payment}"), key).send().await.unwrap();
        assert_eq!(response.status() == StatusCode::OK, found);
        let is_listed = |page: &Value| page["items"].as_array().unwrap().iter().any(|item| item["payment"] == payment.as_str());
        if found {
            let listed = app.until("/v1/payments?state=pending", key, is_listed).await;
            assert!(listed["items"][0]["notice_number"].is_string(), "{listed}");
        } else {
            assert!(!is_listed(&app.get("/v1/payments", key).await));
        }
        let (status, body) = app.post(&format!("/v1/payments/{payment}/cancel"), if found { "" } else { key }, "c", &json!({})).await;
        assert_eq!((status.as_u16(), body["code"].as_str().unwrap()), if found { (401, "unauthorized") } else { (404, "not_found") });
    }
    for (query, count) in
        [("from=2026-11-23T08:30:00Z", 1), ("to=2026-11-23T08:30:00Z", 0), ("museum=mare", 0), ("owing=false&museum=torre&mine=false", 1)]
    {
        assert_eq!(app.get(&format!("/v1/payments?{query}"), &manager).await["items"].as_array().unwrap().len(), count, "{query}");
    }
    let table = app.request(Method::GET, "/v1/payments/export.csv", &manager).send().await.unwrap();
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    let table = table.text().await.unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with(&payment) && table.contains(";12,00;"), "{table}");
    let same = app.request(Method::GET, "/v1/payments", &manager).header("Accept", "text/csv").send().await.unwrap().text().await.unwrap();
    assert_eq!(same, table);
    // A spreadsheet would show 3.02E+17 for the number of a notice: whoever asks for that is told all of its digits, also on the next page.
    let listed = app.get("/v1/payments", &manager).await;
    let notice = listed["items"][0]["notice_number"].as_str().unwrap();
    assert!(table.contains(&format!(";{notice};")), "{table}");
    // Who comes with a printed notice has its number, and nothing else that names the payment.
    let mistyped = format!("{}{}", &notice[..17], (notice.as_bytes()[17] - b'0' + 1) % 10);
    let other = mistyped.as_str();
    for (number, key, count) in [(notice, &manager, 1), (notice, &web, 1), (notice, &mare, 0), (notice, &reseller, 0), (other, &manager, 0)] {
        let found = app.get(&format!("/v1/payments?notice_number={number}"), key).await;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{number}: {found}");
    }
    let short = app.request(Method::GET, "/v1/payments?notice_number=3020", &manager).send().await.unwrap();
    assert_eq!(short.status(), StatusCode::BAD_REQUEST);
    for path in ["/v1/payments?spreadsheet=true", "/v1/payments/export.csv?spreadsheet=true"] {
        let table = app.request(Method::GET, path, &manager).header("Accept", "text/csv").send().await.unwrap().text().await.unwrap();
        assert!(table.contains(&format!(";\"=\"\"{notice}\"\"\";")) && table.contains(";12,00;"), "{path}: {table}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_voucher_pays_until_it_is_used_up_and_takes_back_what_is_cancelled() {
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::GroupOffice).await);
    let form = json!({"amount_cents": 3_000, "valid_until": "2027-01-01T00:00:00Z"});
    let (status, voucher) = app.post("/v1/vouchers", &office, "v", &form).await;
    assert_eq!((status.as_u16(), &voucher["balance_cents"]), (201, &json!(3_000)), "{voucher}");
    assert_eq!(app.post("/v1/vouchers", &office, "v", &form).await.1, voucher, "a repeat makes no second one");
    let code = voucher["code"].as_str().unwrap();
    let (_, to_a_day) = app.post("/v1/vouchers", &office, "day", &json!({"amount_cents": 5, "valid_until": "2026-12-31"})).await;
    assert_eq!(to_a_day["valid_until"], "2026-12-31T23:00:00Z", "the day's end in Rome");
    for (form, code) in [
        (json!({"amount_cents": 0, "valid_until": "2027-01-01T00:00:00Z"}), "bad_amount"),
        (json!({"amount_cents": 5, "valid_until": "2026-01-01T00:00:00Z"}), "invalid"),
        (json!({"amount_cents": 5, "valid_until": "2026-11-22"}), "invalid"),
        (json!({"amount_cents": 5, "valid_until": "next year"}), "invalid"),
    ] {
        assert_eq!(app.post("/v1/vouchers", &office, code, &form).await.1["code"], code);
    }
    let (status, beyond) = app.post("/v1/vouchers", &office, "beyond", &json!({"amount_cents": 5, "valid_until": "9999-12-31"})).await;
    assert!(status == 422 && beyond["title"].as_str().is_some_and(|title| title.contains("9999-12-30 at the latest")), "{beyond}");
    let (status, last) = app.post("/v1/vouchers", &office, "last", &json!({"amount_cents": 5, "valid_until": "9999-12-30", "museum": 1})).await;
    assert_eq!((status.as_u16(), &last["museum"]), (201, &json!(1)), "{last}");
    let hold = app.hold(slot(TORRE, 15), &web, "h1", json!([{"category": "full", "count": 2}])).await;
    let paid = pay(&app, &web, "p1", &json!({"holds": [hold], "gateway": {"voucher": {"code": code}}})).await;
    assert_eq!((&paid["state"], &paid["receipts"][0]["source"]), (&json!("paid"), &json!("voucher")), "{paid}");
    let read = app.get(&format!("/v1/vouchers/{code}"), &web).await;
    assert_eq!(read["balance_cents"], 600);
    // The same without the code in an address; a code that was never given is none either way.
    assert_eq!(app.post("/v1/voucher-lookups", &web, "look", &json!({"code": code})).await, (StatusCode::OK, read));
    let (status, none) = app.post("/v1/voucher-lookups", &web, "look", &json!({"code": "zzzzzzzzzzzzz"})).await;
    assert_eq!((status.as_u16(), &none["code"]), (404, &json!("unknown_voucher")), "{none}");
    let more = app.hold(slot(TORRE, 16), &web, "h2", json!([{"category": "full", "count": 1}])).await;
    let (status, refused) = app.post("/v1/payments", &web, "p2", &json!({"holds": [more], "gateway": {"voucher": {"code": code}}})).await;
    assert_eq!((status.as_u16(), &refused["code"], &refused["balance_cents"]), (409, &json!("balance_too_low"), &json!(600)));
    let (status, cancelled) = app.post(&format!("/v1/sales/{hold}/cancel"), &office, "x", &json!({"cause": "museum"})).await;
    assert_eq!((status.as_u16(), &cancelled["refund_cents"]), (200, &json!(2_400)));
    tornello_actors::payments::resume(app.node()).await;
    assert_eq!(app.get(&format!("/v1/vouchers/{code}"), &web).await["balance_cents"], 3_000);
    app.stop().await;
}

#[actix_rt::test]
async fn a_dispute_is_noted_and_resolved_once() {
    let app = App::start().await;
    let (box_office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let hold = app.hold(slot(TORRE, 12), &box_office, "h", json!([{"category": "full", "count": 1}])).await;
    let id = pay(&app, &box_office, "p", &desk(&[&hold], "R-1")).await["payment"].as_str().unwrap().to_owned();
    let (open, resolve) = (format!("/v1/payments/{id}/disputes"), format!("/v1/payments/{id}/disputes/resolve"));
    let case = json!({"reason": "not_recognised", "reference": "CASE-1"});
    let ask = |path: String, key: &'static str, body: Value| {
        let (app, manager) = (&app, &manager);
        async move {
            let (status, body) = app.post(&path, manager, key, &body).await;
            (status.as_u16(), body["code"].clone(), body["disputed"].clone())
        }
    };
    assert_eq!(ask(resolve.clone(), "r0", json!({"upheld": false})).await, (409, json!("no_dispute"), Value::Null));
    assert_eq!(ask(open.clone(), "d1", case.clone()).await, (200, Value::Null, json!(true)));
    assert_eq!(ask(open, "d2", case).await, (409, json!("dispute_open"), Value::Null));
    assert_eq!(ask(resolve, "r1", json!({"upheld": true})).await, (200, Value::Null, json!(false)));
    app.stop().await;
}

#[actix_rt::test]
async fn what_the_payers_bank_took_back_is_told_also_when_the_dispute_is_over() {
    let app = App::start().await;
    let (box_office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    for (name, upheld) in [("1", true), ("2", false)] {
        let hold = app.hold(slot(TORRE, 12), &box_office, &format!("h{name}"), json!([{"category": "full", "count": 1}])).await;
        let by_card = json!({"holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "card", "reference": format!("R-{name}")}}});
        let id = pay(&app, &box_office, &format!("p{name}"), &by_card).await["payment"].as_str().unwrap().to_owned();
        let disputes = format!("/v1/payments/{id}/disputes");
        let certificate = async || {
            let printed = app.request(Method::GET, &format!("/v1/payments/{id}/receipt.pdf"), &manager).send().await.unwrap();
            assert_eq!(printed.status(), StatusCode::OK);
            printed.bytes().await.unwrap()
        };
        let before = certificate().await;
        let case = json!({"reason": "not_recognised", "reference": format!("CASE-{name}")});
        let (_, open) = app.post(&disputes, &manager, &format!("d{name}"), &case).await;
        assert_eq!((&open["disputed"], &open["charged_back"]), (&json!(true), &json!(false)), "{open}");
        let (_, over) = app.post(&format!("{disputes}/resolve"), &manager, &format!("r{name}"), &json!({"upheld": upheld})).await;
        assert_eq!((&over["disputed"], &over["charged_back"]), (&json!(false), &json!(upheld)), "{over}");
        let cents = if upheld { 1_200 } else { 0 };
        assert_eq!((&over["taken_back_cents"], &over["receipts"][0]["taken_back_cents"]), (&json!(cents), &json!(cents)), "{over}");
        let read = app.get(&format!("/v1/payments/{id}"), &manager).await;
        let posted = |account: &Value| -> i64 {
            let lines = read["ledger"].as_array().unwrap().iter().filter(|line| line["account"] == *account);
            lines.map(|line| line["amount_cents"].as_i64().unwrap()).sum()
        };
        let museum = &read["museum"];
        let (terminal, bank) = (json!({"till": {"till": "till-1", "method": "card"}}), json!({"taken_back": {"museum": museum}}));
        assert_eq!((posted(&terminal), posted(&bank)), (1_200 - cents, cents), "{read}");
        let is_listed = |page: &Value| {
            let mut items = page["items"].as_array().unwrap().iter();
            items.any(|item| {
                item["payment"] == id.as_str()
                    && (&item["disputed"], &item["charged_back"], &item["taken_back_cents"]) == (&json!(false), &json!(upheld), &json!(cents))
            })
        };
        app.until("/v1/payments", &manager, is_listed).await;
        let table = app.request(Method::GET, "/v1/payments/export.csv", &manager).send().await.unwrap().text().await.unwrap();
        let row = table.lines().find(|line| line.starts_with(&id)).unwrap();
        assert!(row.ends_with(if upheld { ";0;1;12,00" } else { ";0;0;0,00" }), "{row}");
        assert_eq!(certificate().await != before, upheld, "a certificate says so too, and of a bank that was wrong nothing");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn how_much_the_payers_bank_took_back_can_be_said() {
    let app = App::start().await;
    let (box_office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let hold = app.hold(slot(TORRE, 12), &box_office, "h", json!([{"category": "full", "count": 2}])).await;
    let by_card = json!({"holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}});
    let paid = pay(&app, &box_office, "p", &by_card).await;
    let (id, receipt) = (paid["payment"].as_str().unwrap(), &paid["receipts"][0]["receipt"]);
    let disputes = format!("/v1/payments/{id}/disputes");
    let resolve = format!("{disputes}/resolve");
    let case = json!({"reason": "not_recognised", "reference": "CASE-1"});
    assert_eq!(app.post(&disputes, &manager, "d1", &case).await.0, StatusCode::OK);
    for (key, form, status, code) in [
        ("r1", json!({"upheld": false, "taken_back_cents": 1}), 422, "invalid"),
        ("r2", json!({"upheld": true, "taken_back_cents": -1}), 422, "invalid"),
        ("r3", json!({"upheld": true, "taken_back_cents": 2_401}), 409, "taken_too_large"),
        ("r4", json!({"upheld": true, "receipt": "none"}), 404, "unknown_receipt"),
    ] {
        let (answered, problem) = app.post(&resolve, &manager, key, &form).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(code)), "{form}: {problem}");
    }
    let part = json!({"upheld": true, "receipt": receipt, "taken_back_cents": 1_000});
    let (status, over) = app.post(&resolve, &manager, "r5", &part).await;
    assert_eq!((status, &over["taken_back_cents"]), (StatusCode::OK, &json!(1_000)), "{over}");
    assert_eq!(app.post(&resolve, &manager, "r5", &part).await.1, over, "a repeat takes nothing more");
    // The next dispute takes the rest.
    assert_eq!(app.post(&disputes, &manager, "d2", &case).await.0, StatusCode::OK);
    let (_, over) = app.post(&resolve, &manager, "r6", &json!({"upheld": true})).await;
    assert_eq!(over["taken_back_cents"], 2_400, "{over}");
    app.until("/v1/payments", &manager, |page| page["items"][0]["taken_back_cents"] == 2_400).await;

    // What is cancelled after that waits, until it is noted that the payer has it from their bank.
    let (status, body) = app.post(&format!("/v1/sales/{hold}/cancel"), &box_office, "c", &json!({"cause": "museum"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    tornello_actors::payments::resume(app.node()).await;
    let refund = format!("/v1/refunds/{id}-0");
    assert_eq!(app.get(&refund, &manager).await["state"], "contested");
    let by_hand = json!({"reference": "CASE-1", "executed_on": "2026-11-23"});
    assert_eq!(app.post(&format!("{refund}/confirm"), &manager, "f1", &by_hand).await.1["code"], "refund_contested");
    let by_bank = json!({"reference": "CASE-1", "executed_on": "2026-11-23", "by_payers_bank": true});
    let (status, done) = app.post(&format!("{refund}/confirm"), &manager, "f2", &by_bank).await;
    assert_eq!((status, &done["state"], &done["way"]), (StatusCode::OK, &json!("paid_back"), &json!("payers_bank")), "{done}");
    let is_done = |page: &Value| {
        let sums = ["owed_cents", "paid_back_cents", "taken_back_cents"].map(|sum| page["items"][0][sum].as_i64());
        sums == [Some(0), Some(0), Some(2_400)]
    };
    app.until("/v1/payments", &manager, is_done).await;
    app.stop().await;
}
