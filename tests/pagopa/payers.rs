//! Many payers at once: they hold, get notices, pay at banks over the emulated node whose connections break, change their minds, come late; the house is
//! started anew in between. In the end every receipt is known once, every cent is tickets or a refund, and no slot has more people than places.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::Role;

use super::node::{No, PagopaNode, Version};
use crate::support::{App, TORRE, slot};

const PAYERS: u64 = 60;

/// What a payer has in hand.
struct Notice {
    path: String,
    number: String,
    cents: i64,
}

/// Holds one to three places in one of two slots, and asks for a notice.
async fn notice(app: &App, web: &str, node: &PagopaNode, payer: u64) -> Option<Notice> {
    let (hour, count) = (15 + node.below(2) as i8, 1 + node.below(3));
    let lines = json!({"lines": [{"category": "full", "count": count}]});
    let (status, held) = app.post(&format!("/v1/slots/{}/holds", slot(TORRE, hour)), web, &format!("hold-{payer}"), &lines).await;
    if status == StatusCode::CONFLICT {
        return None;
    }
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let form = json!({"holds": [held["hold"]], "gateway": {"notice": {}}});
    // Whoever does not hear asks again, with the same key.
    let mut opened = Value::Null;
    for _ in 0..2 {
        let (status, body) = app.post("/v1/payments", web, &format!("pay-{payer}"), &form).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        assert!(opened.is_null() || opened["payment"] == body["payment"], "{body}");
        opened = body;
    }
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    Some(Notice { path: format!("/v1/payments/{}", text("payment")), number: text("notice_number"), cents: opened["amount_cents"].as_i64().unwrap() })
}

/// A payer's day.
async fn payer(app: &App, web: &str, node: &PagopaNode, payer: u64) -> Option<Notice> {
    let notice = notice(app, web, node, payer).await?;
    match node.below(10) {
        // Thinks better of it, and may have paid all the same.
        0 => {
            app.post(&format!("{}/cancel", notice.path), web, &format!("cancel-{payer}"), &json!({})).await;
            if node.below(2) == 0 {
                node.charge(&notice.number, notice.cents, false, Version::Second);
            }
        }
        // Pays twice, at two banks.
        1 => {
            node.charge(&notice.number, notice.cents, true, Version::First);
            node.charge(&notice.number, notice.cents, false, Version::Second);
        }
        // Pays another sum.
        2 => drop(node.charge(&notice.number, notice.cents + 50 - 100 * node.below(2) as i64, false, Version::First)),
        // Never pays, or much later.
        3 => {}
        _ => {
            let paid = node.pay(&notice.number, notice.cents).await;
            assert!(matches!(paid, Ok(_) | Err(No::Silence)), "{paid:?}");
        }
    }
    if node.below(3) == 0 {
        node.deliver().await;
    }
    Some(notice)
}

#[actix_rt::test]
async fn many_payers_at_once_and_every_cent_is_somewhere() {
    for seed in [1, 2, 3] {
        many_payers(seed).await;
    }
}

async fn many_payers(seed: u64) {
    let app = App::start().await;
    let (web, manager, box_office) = (app.key(Role::Web).await, app.key(Role::Manager).await, app.key(Role::BoxOffice).await);
    let node = PagopaNode::new(app.address, seed, 30);
    let notices: Vec<Notice> = join_all((0..PAYERS).map(|number| payer(&app, &web, &node, number))).await.into_iter().flatten().collect();
    assert!(notices.len() > 10, "seed {seed}: {}", notices.len());
    node.deliver().await;
    // Whoever has not paid by now has lost their places, which others buy; then they pay all the same.
    app.pass(3 * 3_600).await;
    for (number, hour) in [(1, 15), (2, 16)] {
        let places = app.node().board().head(slot(TORRE, hour)).map_or(20, |head| 20 - head.places.held.iter().chain(&head.places.sold).sum::<u32>());
        if places > 0 {
            let form = json!({"lines": [{"category": "full", "count": places.min(10)}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
            app.post(&format!("/v1/slots/{}/sales", slot(TORRE, hour)), &box_office, &format!("others-{number}"), &form).await;
        }
    }
    for late in notices.iter().step_by(5) {
        node.charge(&late.number, late.cents, true, Version::Second);
    }
    node.deliver().await;
    let app = app.restart().await;
    node.ask_at(app.address);
    for _ in 0..50 {
        if node.deliver().await == 0 {
            break;
        }
        node.support();
    }
    assert_eq!(node.deliver().await, 0, "seed {seed}");
    audit(&app, &manager, &node, &notices, seed).await;
    app.stop().await;
}

/// Adds everything up, from what the node of pagoPA knows and what is shown over HTTP.
async fn audit(app: &App, manager: &str, node: &PagopaNode, notices: &[Notice], seed: u64) {
    let mut paid: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for rt in node.acknowledged() {
        paid.entry(rt.notice).or_default().push((rt.token, rt.cents));
    }
    // Whoever was driven by nobody is resumed a second later.
    app.pass(2).await;
    let (mut tickets, mut back) = (0, 0);
    for notice in notices {
        let settled = |seen: &Value| seen["state"] != "paid" || seen["items"].as_array().unwrap().iter().all(|item| item["state"] != "open");
        let seen = app.until(&notice.path, manager, settled).await;
        let list = |name: &str| seen[name].as_array().unwrap().clone();
        let mut known: Vec<(String, i64)> =
            list("receipts").iter().map(|one| (one["receipt"].as_str().unwrap().to_owned(), one["amount_cents"].as_i64().unwrap())).collect();
        let mut expected = paid.remove(&notice.number).unwrap_or_default();
        known.sort();
        expected.sort();
        assert_eq!(known, expected, "seed {seed}: every receipt is known once: {seen}");
        let sold: i64 = list("items").iter().filter(|item| item["state"] == "sold").map(|_| notice.cents).sum();
        let refunds: i64 = list("refunds").iter().map(|one| one["amount_cents"].as_i64().unwrap()).sum();
        let came: i64 = known.iter().map(|(_, cents)| cents).sum();
        assert_eq!(came, sold + refunds, "seed {seed}: every cent is tickets or a refund: {seen}");
        assert_eq!(seen["state"] == "paid", known.iter().any(|(_, cents)| *cents >= notice.cents), "seed {seed}: {seen}");
        assert_eq!(seen["ledger"].as_array().unwrap().iter().map(|line| line["amount_cents"].as_i64().unwrap()).sum::<i64>(), 0);
        (tickets, back) = (tickets + sold, back + refunds);
    }
    assert!(paid.is_empty(), "seed {seed}: somebody paid for what is not known: {paid:?}");
    let mut of_slots = 0;
    for hour in [15, 16] {
        let taken = app.node().board().head(slot(TORRE, hour)).map_or(0, |head| head.places.held.iter().chain(&head.places.sold).sum::<u32>());
        assert!(taken <= 20, "seed {seed}: {taken} people for 20 places");
        let by_payment = |slot: &tornello_engine::slot::Slot| -> i64 {
            let is_paid = |sale: &&tornello_engine::slot::Sale| matches!(sale.settlement, tornello_engine::slot::Settlement::Payment { .. });
            slot.sales().map(|(_, sale)| sale).filter(is_paid).map(|sale| tornello_engine::slot::total(&sale.lines).get()).sum()
        };
        of_slots += app.node().look(slot(TORRE, hour), by_payment).await.unwrap();
    }
    assert_eq!(of_slots, tickets, "seed {seed}: tickets are those of payments");
    let seen = node.seen();
    assert!(tickets > 0 && back > 0 && seen.duplicates > 0 && seen.silent > 0 && seen.resent > 0 && seen.stand_ins > 0, "seed {seed}: {seen:?}");
}
