//! Till sessions over HTTP: a drawer from its float to its count.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tornello_actors::keys::{Museums, Role};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::KeyId;
use tornello_engine::money::Cents;
use tornello_engine::till;

use crate::support::{App, MARE, TORRE, slot};

#[actix_rt::test]
async fn a_drawer_is_expected_to_hold_what_sales_and_refunds_made_of_its_float() {
    let app = App::start().await;
    let (desk, office) = (app.key(Role::BoxOffice).await, app.key(Role::GroupOffice).await);
    let form = json!({"museum": "torre", "till": "till-1", "float_cents": 10_000});
    let (status, opened) = app.post("/v1/tills", &desk, "o", &form).await;
    assert_eq!((status.as_u16(), &opened["state"], &opened["expected_cents"]), (201, &json!("open"), &json!(10_000)), "{opened}");
    assert_eq!(app.post("/v1/tills", &desk, "o", &form).await.1, opened);
    let (status, twice) = app.post("/v1/tills", &desk, "o2", &form).await;
    assert_eq!((status.as_u16(), &twice["code"]), (409, &json!("till_already_open")));
    let path = format!("/v1/tills/{}", opened["session"].as_str().unwrap());
    app.clock.set(app.node().now().plus_seconds(60));

    // A sale at once, in cash; a payment in cash that is paid back in part; a card; and another till's money.
    let sell = |method: &str, till: &str| json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": till, "method": method, "reference": "R"}}});
    for (key, method, till) in [("s1", "cash", "till-1"), ("s2", "card", "till-1"), ("s3", "cash", "till-2")] {
        let (status, body) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &desk, key, &sell(method, till)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
    let hold = app.hold(slot(TORRE, 16), &office, "h", json!([{"category": "full", "count": 2}])).await;
    let paying = json!({"holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}}});
    let (_, paid) = app.post("/v1/payments", &office, "p", &paying).await;
    let (status, body) = app.post(&format!("/v1/sales/{hold}/cancel"), &office, "c", &json!({"cause": "museum", "tickets": [0]})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    tornello_actors::payments::resume(app.node()).await;
    let refund = format!("/v1/refunds/{}-0/payout", paid["payment"].as_str().unwrap());
    let (status, body) = app.post(&refund, &office, "out", &json!({"till": "till-1", "method": "cash", "reference": "R-2"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (status, moved) =
        app.post(&format!("{path}/movements"), &desk, "m", &json!({"direction": "out", "amount_cents": 5_000, "reason": "safe"})).await;
    assert_eq!((status.as_u16(), &moved["expected_cents"]), (200, &json!(10_000 + 1_200 + 2_400 - 1_200 - 5_000)), "{moved}");
    let (status, bad) = app.post(&format!("{path}/movements"), &desk, "m2", &json!({"direction": "in", "amount_cents": 0, "reason": "safe"})).await;
    assert_eq!((status.as_u16(), &bad["code"]), (422, &json!("bad_cash_amount")));

    let (status, closed) = app.post(&format!("{path}/close"), &desk, "x", &json!({"counted_cents": 7_300})).await;
    assert_eq!((status.as_u16(), &closed["expected_cents"], &closed["difference_cents"]), (200, &json!(7_400), &json!(-100)), "{closed}");
    assert_eq!(closed["by_method"], json!([{"method": "card", "taken_cents": 1_200}, {"method": "cash", "taken_cents": 2_400}]));
    assert_eq!(app.post(&format!("{path}/close"), &desk, "x", &json!({"counted_cents": 7_300})).await.1, closed, "a repeat counts nothing again");
    let (status, over) = app.post(&format!("{path}/close"), &desk, "x2", &json!({"counted_cents": 0})).await;
    assert_eq!((status.as_u16(), &over["code"]), (409, &json!("till_closed")));
    let listed = app.until("/v1/tills?museum=torre&open=false", &desk, |page| page["items"].as_array().unwrap().len() == 1).await;
    assert_eq!((&listed["items"][0]["difference_cents"], &listed["items"][0]["till"]), (&json!(-100), &json!("till-1")));
    assert_eq!(app.post("/v1/tills", &desk, "o3", &form).await.0, StatusCode::CREATED, "the next one begins");
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_sold_while_a_session_is_being_closed_or_while_none_is_open_is_in_no_other_sum_and_is_not_lost() {
    let app = App::start().await;
    let desk = app.key(Role::BoxOffice).await;
    let sell = async |key: &str, count: u32| {
        let settlement = json!({"desk": {"till": "till-1", "method": "cash", "reference": "R"}});
        let form = json!({"lines": [{"category": "full", "count": count}], "settlement": settlement});
        let (status, body) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &desk, key, &form).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    };
    let open = async |key: &str| {
        let (status, opened) = app.post("/v1/tills", &desk, key, &json!({"museum": "torre", "till": "till-1", "float_cents": 10_000})).await;
        assert_eq!(status, StatusCode::CREATED, "{opened}");
        (format!("/v1/tills/{}", opened["session"].as_str().unwrap()), opened)
    };
    let cash = |cents: i64| json!([{"method": "cash", "taken_cents": cents}]);

    sell("before", 1).await;
    let (first, opened) = open("o1").await;
    assert_eq!((&opened["by_method"], &opened["outside_cents"], &opened["expected_cents"]), (&json!([]), &json!(1_200), &json!(10_000)), "{opened}");
    sell("in-the-first", 2).await;
    // It is summed, then somebody sells, then it is closed: as the route does it, held up in between.
    let summed_to = app.node().head().number;
    sell("in-between", 3).await;
    let session = first.rsplit('/').next().unwrap().parse().unwrap();
    let envelope =
        Envelope { who: KeyId::SYSTEM, key: Digest(1), body: Digest(1), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    let close = till::Command::Close { counted_cents: Cents::new(12_400), taken_cents: Cents::new(2_400), summed_to };
    app.node().till(session, envelope, close).await.unwrap();
    let closed = app.get(&first, &desk).await;
    assert_eq!(
        (&closed["by_method"], &closed["expected_cents"], &closed["outside_cents"]),
        (&cash(2_400), &json!(12_400), &json!(1_200)),
        "{closed}"
    );

    sell("in-none", 4).await;
    let (second, opened) = open("o2").await;
    let said = (&opened["by_method"], &opened["outside_cents"], &opened["expected_cents"]);
    assert_eq!(said, (&cash(3_600), &json!(4_800), &json!(13_600)), "{opened}");
    sell("in-the-second", 5).await;
    let (status, closed) = app.post(&format!("{second}/close"), &desk, "x", &json!({"counted_cents": 19_600})).await;
    assert_eq!((status, &closed["by_method"], &closed["outside_cents"]), (StatusCode::OK, &cash(9_600), &json!(4_800)), "{closed}");
    assert_eq!((&closed["expected_cents"], &closed["difference_cents"]), (&json!(19_600), &json!(0)));

    let app = app.restart_without_views().await;
    for (path, taken, outside) in [(first, 2_400, 1_200), (second, 9_600, 4_800)] {
        let again = app.get(&path, &desk).await;
        assert_eq!((&again["by_method"], &again["outside_cents"]), (&cash(taken), &json!(outside)), "{again}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_drawer_with_more_than_is_moved_at_once_is_counted_and_closed() {
    let app = App::start().await;
    let desk = app.key(Role::BoxOffice).await;
    let most = 100_000_000;
    let (_, opened) = app.post("/v1/tills", &desk, "o", &json!({"museum": "torre", "till": "till-1", "float_cents": most})).await;
    let path = format!("/v1/tills/{}", opened["session"].as_str().unwrap());
    let safe = json!({"direction": "in", "amount_cents": most, "reason": "safe"});
    assert_eq!(app.post(&format!("{path}/movements"), &desk, "m", &safe).await.1["expected_cents"], 2 * most);
    let (status, problem) = app.post(&format!("{path}/close"), &desk, "x1", &json!({"counted_cents": 100_000_000_000_i64})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("bad_cash_amount")), "{problem}");
    let (status, closed) = app.post(&format!("{path}/close"), &desk, "x2", &json!({"counted_cents": 2 * most - 5})).await;
    assert_eq!((status.as_u16(), &closed["state"], &closed["difference_cents"]), (200, &json!("closed"), &json!(-5)), "{closed}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_session_of_another_museum_does_not_exist() {
    let app = App::start().await;
    let (desk, mare) = (app.key(Role::BoxOffice).await, app.key_for(Role::BoxOffice, Museums::Only(vec![MARE])).await);
    let form = json!({"museum": 1, "till": "till-1", "float_cents": 0});
    let session = app.post("/v1/tills", &desk, "o", &form).await.1["session"].as_str().unwrap().to_owned();
    for path in [format!("/v1/tills/{session}"), "/v1/tills/0000000000007".to_owned()] {
        assert_eq!(app.request(Method::GET, &path, &mare).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(app.post("/v1/tills", &mare, "o", &form).await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v1/tills", &mare).await["items"], json!([]));
    app.stop().await;
}
