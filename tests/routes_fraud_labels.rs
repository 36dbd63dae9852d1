//! What gates and banks say later of what was sold, over HTTP: a case and a label each.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Outcome};
use tornello_engine::ids::{HoldId, KeyId};
use tornello_engine::slot::{Command, ConflictReason, Direction, Event, Scan, Settlement};

use crate::routes_fraud::{assessed, case_path, lines, look};
use crate::support::{App, TORRE, code, receipt, slot};

#[actix_rt::test]
async fn what_a_gate_or_a_bank_says_later_is_a_label() {
    let app = App::start().await;
    let (analyst, manager, nine) = (app.key(Role::Analyst).await, app.key(Role::Manager).await, slot(TORRE, 9));
    let sale = HoldId::new(nine, 4);
    let direct = Command::SellDirect { sale, channel: Channel::Kiosk, lines: lines(1), settlement: Settlement::Free, contact: None };
    let by = Envelope { who: KeyId(9), key: Digest(4), body: Digest(4), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().slot(nine, by, direct).await.unwrap();
    for (n, gate) in [(1, "pda-1"), (2, "pda-2")] {
        let scan = Scan { ticket: sale.ticket(0), scanned_at: app.node().now().plus_seconds(-60 + n), gate: code(gate), direction: Direction::In };
        let key = Digest(50 + u128::from(n.unsigned_abs()));
        let by = Envelope { who: KeyId(9), key, body: key, parties: vec![], assessment: None, order: None, formerly: Vec::new() };
        app.node().slot(nine, by, Command::Merge { scan, issue: Some(1), museum: TORRE }).await.unwrap();
    }
    look(&app).await;
    let seen = app.get(&case_path(sale), &analyst).await;
    assert_eq!(
        (&seen["origin"], &seen["labels"][0]["source"], &seen["labels"][0]["label"]),
        (&json!("conflict"), &json!("gate_refusal"), &json!("fraud")),
        "{seen}"
    );
    assert_eq!(app.get("/v1/fraud/cases", &manager).await["items"][0]["label"], "fraud", "who runs a museum may look too");
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_that_two_gates_with_a_network_meet_is_a_case() {
    let app = App::start().await;
    let (analyst, gate, nine) = (app.key(Role::Analyst).await, app.key(Role::Gate).await, slot(TORRE, 9));
    let sale = HoldId::new(nine, 6);
    let direct = Command::SellDirect { sale, channel: Channel::Kiosk, lines: lines(2), settlement: Settlement::Free, contact: None };
    let by = Envelope { who: KeyId(9), key: Digest(6), body: Digest(6), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().slot(nine, by, direct).await.unwrap();
    let shown = async |number: u16, at: &str, key: &str| {
        let body = json!({"ticket": sale.ticket(number).to_string(), "gate": at, "museum": "torre"});
        let (_, answer) = app.post("/v1/admissions", &gate, key, &body).await;
        answer["code"].as_str().unwrap_or("admitted").to_owned()
    };
    assert_eq!(shown(0, "north", "in-0").await, "admitted");
    assert_eq!(shown(1, "north", "in-1").await, "admitted");
    assert_eq!(shown(1, "north", "read-twice").await, "ticket_inside");
    assert!(app.node().note_refusals().await);
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], json!([]), "one gate that reads a ticket twice has met nobody else");
    for n in 0..5 {
        assert_eq!(shown(0, "south", &format!("again-{n}")).await, "ticket_inside");
    }
    assert!(app.node().note_refusals().await);
    look(&app).await;
    let seen = app.get(&case_path(sale), &analyst).await;
    let labels = seen["labels"].as_array().unwrap();
    assert_eq!(
        (&seen["origin"], labels.len(), &labels[0]["source"], &labels[0]["label"]),
        (&json!("conflict"), 1, &json!("gate_refusal"), &json!("fraud")),
        "{seen}"
    );
    let timeline: Vec<&str> = seen["timeline"].as_array().unwrap().iter().filter_map(|moment| moment["what"].as_str()).collect();
    for times in [1, 4] {
        let met = format!("{} refused at gate south: ticket_inside (time {times} that day)", sale.ticket(0));
        assert_eq!(timeline.iter().filter(|what| **what == met).count(), 1, "{timeline:?}");
    }
    assert_eq!(timeline.iter().filter(|what| what.contains("refused at gate")).count(), 2, "{timeline:?}");
    // The lists can be built again, and say the same.
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get(&case_path(sale), &analyst).await["timeline"], seen["timeline"]);
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_that_is_refused_at_another_gate_within_the_hour_is_read_and_is_no_sign() {
    let app = App::start().await;
    let (analyst, gate, nine) = (app.key(Role::Analyst).await, app.key(Role::Gate).await, slot(TORRE, 9));
    let sales: Vec<HoldId> = [6, 7, 8].map(|n| HoldId::new(nine, n)).to_vec();
    let shown = async |sale: HoldId, at: &str, key: &str| {
        let body = json!({"ticket": sale.ticket(0).to_string(), "gate": at, "museum": "torre"});
        let (_, answer) = app.post("/v1/admissions", &gate, key, &body).await;
        answer["code"].as_str().unwrap_or("admitted").to_owned()
    };
    for (n, sale) in (0..).zip(&sales) {
        let direct = Command::SellDirect { sale: *sale, channel: Channel::Kiosk, lines: lines(2), settlement: Settlement::Free, contact: None };
        app.node().slot(nine, assessed(100 + n, 70 + n, Outcome::Allow, 5), direct).await.unwrap();
        assert_eq!(shown(*sale, "north", &format!("in-{n}")).await, "admitted");
    }
    app.pass(1_500).await;
    assert_eq!(shown(sales[0], "south", "elsewhere").await, "ticket_inside");
    assert_eq!(shown(sales[1], "north", "back").await, "ticket_inside");
    app.pass(2_400).await;
    assert_eq!(shown(sales[2], "south", "late").await, "ticket_inside");
    assert!(app.node().note_refusals().await);
    look(&app).await;
    let page = app.get("/v1/fraud/cases", &analyst).await;
    let opened: Vec<(&Value, &Value)> = page["items"].as_array().unwrap().iter().map(|item| (&item["subject"], &item["origin"])).collect();
    assert_eq!(
        opened,
        [(&json!(sales[0].to_string()), &json!("conflict"))],
        "who comes back where they came in, or after an hour, is most likely honest"
    );
    let seen = app.get(&case_path(sales[0]), &analyst).await;
    assert_eq!(seen["labels"], json!([]), "once is no sign: {seen}");
    let before = page["items"].clone();
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], before);
    app.stop().await;
}

#[actix_rt::test]
async fn a_chargeback_is_fraud_until_the_dispute_is_won() {
    let app = App::start().await;
    let (analyst, box_office, manager) = (app.key(Role::Analyst).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let hold = app.hold(slot(TORRE, 12), &box_office, "h", json!([{"category": "full", "count": 1}])).await;
    let form = json!({"holds": [&hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}}});
    let (status, paid) = app.post("/v1/payments", &box_office, "p", &form).await;
    assert_eq!(status, StatusCode::CREATED, "{paid}");
    let open = format!("/v1/payments/{}/disputes", paid["payment"].as_str().unwrap());
    let resolve = format!("{open}/resolve");
    let taken_back = json!({"reason": "not_recognised", "reference": "CASE-1"});
    let (won, lost) = (json!({"upheld": false}), json!({"upheld": true}));
    let case = case_path(hold.parse().unwrap());
    // What a rule against everybody would have stopped is good as far as the bank says so.
    let rule = json!({"rule": {"name": "nobody", "when": [{"feature": "people", "op": "at_least", "threshold_milli": 1_000}], "action": "block",
        "sentence_it": "Nessuno.", "sentence_en": "Nobody."}});
    let good = async |app: &App, label: &str| {
        let (status, tried) = app.post("/v1/fraud/rules/dry-run", &analyst, "none", &rule).await;
        assert_eq!((status, &tried["stopped"], &tried["good"]), (StatusCode::OK, &json!(1), &json!(u8::from(label == "legit"))), "{label}: {tried}");
    };
    good(&app, "legit").await;
    let steps = [
        (&open, &taken_back, "chargeback", "fraud"),
        (&resolve, &won, "dispute", "legit"),
        // The bank may take the money back once more, and be right.
        (&open, &taken_back, "chargeback", "fraud"),
        (&resolve, &lost, "dispute", "fraud"),
    ];
    for (n, (path, form, source, label)) in steps.into_iter().enumerate() {
        app.clock.set(app.node().now().plus_seconds(60));
        let (status, answer) = app.post(path, &manager, &format!("d{n}"), form).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        good(&app, label).await;
        look(&app).await;
        // Whoever looks once more writes nothing.
        look(&app).await;
        let seen = app.get(&case, &analyst).await;
        let labels = seen["labels"].as_array().unwrap();
        assert_eq!((labels.len(), &labels[n]["source"], &labels[n]["label"]), (n + 1, &json!(source), &json!(label)), "{seen}");
        let listed = app.get("/v1/fraud/cases", &analyst).await;
        assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["label"]), (1, &json!(label)), "{listed}");
    }
    // The lists can be built again without anything being said again.
    let before = app.get(&case, &analyst).await;
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get(&case, &analyst).await["labels"], before["labels"]);
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"][0]["label"], "fraud");
    app.stop().await;
}

/// A notice that was paid twice: the payer's bank takes the second payment back, and has nothing against what was sold for the first.
#[actix_rt::test]
async fn a_dispute_over_what_was_paid_twice_is_no_fraud_of_the_sale() {
    let app = App::start().await;
    let (analyst, web, office) = (app.key(Role::Analyst).await, app.key(Role::Web).await, app.key(Role::GroupOffice).await);
    let hold = app.hold(slot(TORRE, 15), &web, "h", json!([{"category": "full", "count": 1}])).await;
    let (_, opened) = app.post("/v1/payments", &web, "p", &json!({"holds": [&hold], "gateway": {"notice": {}}})).await;
    let (id, number) = (opened["payment"].as_str().unwrap(), opened["notice_number"].as_str().unwrap());
    for token in ["token-1", "token-2"] {
        let (_, answer) = app.soap("paSendRT", &receipt(token, number, "12.00", "2026-11-23T09:31:00")).await;
        assert!(answer.contains("<outcome>OK</outcome>"), "{answer}");
    }
    let is_settled = |seen: &Value| seen["items"][0]["state"] == "sold" && seen["refunds"][0]["why"] == "double_payment";
    app.until(&format!("/v1/payments/{id}"), &office, is_settled).await;
    let rule = json!({"rule": {"name": "nobody", "when": [{"feature": "people", "op": "at_least", "threshold_milli": 1_000}], "action": "block",
        "sentence_it": "Nessuno.", "sentence_en": "Nobody."}});
    let disputes = format!("/v1/payments/{id}/disputes");
    let case = case_path(hold.parse().unwrap());
    let resolve = format!("{disputes}/resolve");
    let of = |receipt: &str| json!({"upheld": true, "receipt": receipt});
    let begun = json!({"reason": "not_recognised", "reference": "CASE-1"});
    let good = async |app: &App| {
        let (status, tried) = app.post("/v1/fraud/rules/dry-run", &analyst, "none", &rule).await;
        assert_eq!(status, StatusCode::OK, "{tried}");
        tried["good"].as_u64().unwrap()
    };
    // Nobody says which receipt it is about until it is over. One about what paid is fraud; one about other money says nothing of the sale.
    let steps = [
        (&disputes, begun.clone(), vec!["chargeback"]),
        (&resolve, of("token-2"), vec![]),
        (&disputes, begun, vec!["chargeback"]),
        (&resolve, of("token-1"), vec!["chargeback", "dispute"]),
    ];
    for (n, (path, form, says)) in steps.into_iter().enumerate() {
        app.clock.set(app.node().now().plus_seconds(60));
        let (status, answer) = app.post(path, &office, &format!("d{n}"), &form).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        look(&app).await;
        assert_eq!(good(&app).await, u64::from(says.is_empty()), "{n}");
        // Whoever looks once more writes nothing.
        look(&app).await;
        let seen = app.get(&case, &analyst).await;
        let labels: Vec<(&Value, &Value)> = seen["labels"].as_array().unwrap().iter().map(|label| (&label["source"], &label["label"])).collect();
        let (said, fraud): (Vec<Value>, _) = (says.iter().map(|source| json!(source)).collect(), json!("fraud"));
        assert_eq!(labels, said.iter().map(|source| (source, &fraud)).collect::<Vec<_>>(), "{seen}");
        if says.is_empty() {
            // Where the bank says nothing, what an analyst says counts.
            let found = json!({"verdict": "fraud", "reason": "resold"});
            let (status, decided) = app.post(&format!("{case}/verdict"), &analyst, "v", &found).await;
            assert_eq!((status, &decided["labels"][0]["source"]), (StatusCode::OK, &json!("verdict")), "{decided}");
            look(&app).await;
            assert_eq!(app.get("/v1/fraud/cases?state=decided", &analyst).await["items"][0]["label"], "fraud");
            assert_eq!(good(&app).await, 0);
            let (status, undone) = app.post(&format!("{case}/undo"), &analyst, "u", &json!(null)).await;
            assert_eq!((status, &undone["labels"]), (StatusCode::OK, &json!([])), "{undone}");
        }
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_that_a_verdict_blocked_is_no_sign_of_its_own() {
    let app = App::start().await;
    let (analyst, nine) = (app.key(Role::Analyst).await, slot(TORRE, 9));
    let sale = HoldId::new(nine, 5);
    let direct = Command::SellDirect { sale, channel: Channel::Kiosk, lines: lines(1), settlement: Settlement::Free, contact: None };
    app.node().slot(nine, assessed(5, 70, Outcome::Review, 80), direct).await.unwrap();
    look(&app).await;
    let (status, _) = app.post(&format!("{}/verdict", case_path(sale)), &analyst, "v", &json!({"verdict": "fraud", "reason": "bot"})).await;
    assert_eq!(status, StatusCode::OK);
    let scan = Scan { ticket: sale.ticket(0), scanned_at: app.node().now(), gate: code("pda-1"), direction: Direction::In };
    let by = Envelope { who: KeyId(9), key: Digest(50), body: Digest(50), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    let merged = app.node().slot(nine, by, Command::Merge { scan, issue: Some(1), museum: TORRE }).await.unwrap();
    let met = |event: &Event| matches!(event, Event::AdmissionConflict(conflict) if conflict.reason == ConflictReason::TicketBlocked);
    assert!(merged.events.iter().any(met), "{merged:?}");
    look(&app).await;
    let seen = app.get(&case_path(sale), &analyst).await;
    assert_eq!((seen["labels"].as_array().unwrap().len(), &seen["labels"][0]["source"]), (1, &json!("verdict")), "{seen}");
    app.stop().await;
}
