//! What gates without a network have done, sent in later: merged with its own times, known when it comes again, a conflict if it cannot stand.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::HoldId;
use tornello_engine::slot::Reentry;

use crate::routes_sales::{desk, ticket};
use crate::support::{App, MARE, TORRE, expect, plan, slot};

async fn send(app: &App, key: &str, scans: &[Value]) -> Value {
    let lines: String = scans.iter().map(|scan| format!("{scan}\n")).collect();
    let request = app.request(Method::POST, "/v1/admissions/batch", key).header("Content-Type", "application/x-ndjson").body(lines);
    expect(request.send().await.unwrap(), StatusCode::OK).await
}

/// Outcome and code of each line.
fn outcomes(answer: &Value) -> Vec<(&str, Option<&str>)> {
    let items = answer["items"].as_array().unwrap();
    assert!(items.is_sorted_by_key(|item| item["line"].as_u64().unwrap()), "{answer}");
    items.iter().map(|item| (item["outcome"].as_str().unwrap(), item["code"].as_str())).collect()
}

/// How many scans that were sent in before have become conflicts by a batch, and how many are none any more.
fn told_elsewhere(answer: &Value) -> (u64, u64) {
    (answer["conflicts_elsewhere"].as_u64().unwrap(), answer["withdrawn_elsewhere"].as_u64().unwrap())
}

fn scan(ticket: &str, gate: &str, at: &str, direction: &str) -> Value {
    json!({"ticket": ticket, "issue": 1, "gate": gate, "museum": "torre", "scanned_at": format!("2026-11-23T{at}Z"), "direction": direction})
}

/// Sells `count` tickets for nine o'clock and answers the sale.
async fn sell(app: &App, count: u16) -> String {
    let office = app.key(Role::BoxOffice).await;
    let body = json!({"lines": [{"category": "full", "count": count}], "settlement": desk("R")});
    app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 9)), &office, "sell", &body).await.1["sale"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_batch_is_merged_with_the_times_of_its_scans_and_may_be_sent_again() {
    let app = App::start().await;
    let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
    let sale = sell(&app, 4).await;
    let id = |number| ticket(&sale, number);
    let shown = app.get(&format!("/v1/tickets/{}", id(1)), &office).await["code"].as_str().unwrap().to_owned();
    app.pass(3 * 3_600).await;
    let by_code = json!({"scan": 7, "code": shown, "gate": "pda", "museum": 1, "scanned_at": "2026-11-23T08:41:00Z", "direction": "in"});
    // The exit stands before the admission: a ticket's scans are taken in the order in which they happened.
    let batch = [
        scan(&id(0), "pda", "09:10:00.5", "out"),
        scan(&id(0), "pda", "08:40:00.25", "in"),
        by_code,
        scan(&id(2), "pda", "09:15:00", "in"),
        scan(&HoldId::new(slot(TORRE, 9), 1).ticket(0).to_string(), "pda", "08:40:00", "in"),
        scan(&id(3), "pda", "11:31:01", "in"),
        json!({"gate": "pda", "museum": "torre", "scanned_at": "2026-11-23T08:40:00Z", "direction": "in"}),
        json!("hello"),
        scan(&id(3), "pda", "08:50:00", "out"),
        json!({"ticket": id(3), "gate": "pda", "museum": "torre", "scanned_at": "yesterday", "direction": "in"}),
        scan(&"0".repeat(26), "pda", "08:40:00", "in"),
        json!({"code": "TN1.X", "gate": "pda", "museum": "torre", "scanned_at": "2026-11-23T08:40:00Z", "direction": "in"}),
        json!({"ticket": id(3), "gate": "pda", "museum": "mare", "scanned_at": "2026-11-23T08:40:00Z", "direction": "in"}),
        json!({"ticket": id(3), "gate": "pda", "museum": "torre", "scanned_at": "2026-11-16T11:29:59Z", "direction": "in"}),
    ];
    let answer = send(&app, &gate, &batch).await;
    let expected = [
        ("merged", None),
        ("merged", None),
        ("merged", None),
        ("merged", None),
        ("refused", Some("unknown_ticket")),
        ("failed", Some("scan_in_future")),
        ("refused", Some("invalid")),
        ("refused", Some("invalid")),
        ("left_unseen", None),
        ("refused", Some("invalid")),
        ("refused", Some("unknown_ticket")),
        ("refused", Some("not_a_code")),
        ("refused", Some("wrong_museum")),
        ("refused", Some("scan_too_old")),
    ];
    assert_eq!(outcomes(&answer), expected, "{answer}");
    assert_eq!((&answer["merged"], &answer["refused"], &answer["items"][2]["scan"]), (&json!(4), &json!(8), &json!(7)));
    assert_eq!((&answer["failed"], &answer["left_unseen"]), (&json!(1), &json!(1)));

    // The original times, in the ticket and in the list.
    let read = app.get(&format!("/v1/tickets/{}", id(0)), &office).await;
    assert_eq!((&read["state"], &read["entries"], &read["admitted_at"]), (&json!("outside"), &json!(1), &json!("2026-11-23T08:40:00.25Z")));
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    // What the node notes by itself elsewhere may come later.
    let written = async |app: &App| app.node().look(slot(TORRE, 9), |slot| slot.seq()).await.unwrap();
    let reached = written(&app).await;
    let listed = app.get(&format!("/v1/slots/{}/tickets", slot(TORRE, 9)), &office).await;
    let changed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| (item["state"].as_str(), item["changed_at"].as_str())).collect();
    assert_eq!(changed[0], (Some("outside"), Some("2026-11-23T09:10:00.5Z")));
    assert_eq!(changed[1], (Some("inside"), Some("2026-11-23T08:41:00Z")));

    // Again, as a JSON array too, and after a restart: nothing changes.
    let again = send(&app, &gate, &batch).await;
    assert_eq!((&again["duplicates"], &again["merged"], &again["conflicts"]), (&json!(5), &json!(0), &json!(0)), "{again}");
    let app = app.restart().await;
    let request = app.request(Method::POST, "/v1/admissions/batch", &gate).json(&batch);
    let again = expect(request.send().await.unwrap(), StatusCode::OK).await;
    assert_eq!((&again["duplicates"], &again["refused"], again["items"].as_array().unwrap().len()), (&json!(5), &json!(8), 14), "{again}");
    assert_eq!(written(&app).await, reached, "nothing is written of the slot");
    let counted = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
    assert_eq!((&counted["admitted"], &counted["inside"], &counted["conflicts"]), (&json!(3), &json!(2), &json!(0)));
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_batch_changes_of_itself_is_told_on_its_lines_and_not_as_changed() {
    let app = App::start().await;
    let gate = app.key(Role::Gate).await;
    let id = ticket(&sell(&app, 2).await, 0);
    app.pass(600).await;
    // In one instant the gates stand in the order of their names, whichever line comes first.
    let (later, first) = (scan(&id, "pda-2", "08:31:00", "in"), scan(&id, "pda-1", "08:31:00", "in"));
    let told = send(&app, &gate, &[later, first.clone()]).await;
    assert_eq!(outcomes(&told), [("conflict", Some("ticket_inside")), ("merged", None)], "{told}");
    assert_eq!((told_elsewhere(&told), &told["changed"]), ((0, 0), &json!([])), "{told}");
    assert_eq!((&told["merged"], &told["conflicts"]), (&json!(1), &json!(1)));
    // What was known is told as changed, also where the batch has it again.
    let before = scan(&id, "pda-3", "08:30:30", "in");
    let told = send(&app, &gate, &[first, before]).await;
    assert_eq!(outcomes(&told), [("duplicate", None), ("merged", None)], "{told}");
    let changed: Vec<_> = told["changed"].as_array().unwrap().iter().map(|scan| (&scan["gate"], &scan["was"], &scan["outcome"])).collect();
    assert_eq!((told_elsewhere(&told), changed), ((1, 0), vec![(&json!("pda-1"), &json!("merged"), &json!("conflict"))]), "{told}");
    app.stop().await;
}

#[actix_rt::test]
async fn two_gates_on_one_ticket_are_one_admission_and_one_conflict_in_either_order() {
    for order in [[0, 1], [1, 0]] {
        let app = App::start().await;
        let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
        let sale = sell(&app, 2).await;
        let id = ticket(&sale, 0);
        let logs = [scan(&id, "pda-1", "08:31:00", "in"), scan(&id, "pda-2", "08:32:00", "in")];
        app.pass(600).await;
        let first = send(&app, &gate, &[logs[order[0]].clone()]).await;
        assert_eq!(outcomes(&first), [("merged", None)]);
        let second = send(&app, &gate, &[logs[order[1]].clone()]).await;
        let expected = if order[1] == 1 { ("conflict", Some("ticket_inside")) } else { ("merged", None) };
        assert_eq!(outcomes(&second), [expected]);
        // The gate that comes second hears of the other one's scan that it has made a conflict, and of none else; once.
        let elsewhere = json!({"ticket": id, "gate": "pda-2", "scanned_at": "2026-11-23T08:32:00Z", "direction": "in", "was": "merged", "outcome": "conflict",
            "code": "ticket_inside"});
        let changed = if order[1] == 1 { json!([]) } else { json!([elsewhere]) };
        assert_eq!((told_elsewhere(&first), &first["changed"]), ((0, 0), &json!([])), "{first}");
        assert_eq!((told_elsewhere(&second), &second["changed"]), ((u64::from(order[1] == 0), 0), &changed), "{second}");
        let again = send(&app, &gate, &logs).await;
        assert_eq!((outcomes(&again), &again["changed"]), (vec![("duplicate", None), ("duplicate", None)], &json!([])), "{again}");
        let counted = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
        assert_eq!((&counted["admitted"], &counted["inside"], &counted["conflicts"]), (&json!(1), &json!(1), &json!(1)));
        // Whoever came later was one too many, whichever gate says so first.
        let late = &logs[1];
        let conflict = json!({"ticket": id, "gate": late["gate"], "scanned_at": late["scanned_at"], "reason": "ticket_inside"});
        let path = format!("/v1/slots/{}/conflicts", slot(TORRE, 9));
        let app = app.restart().await;
        assert_eq!(app.get(&path, &office).await["items"], json!([conflict]));
        app.stop().await;
    }
}

#[actix_rt::test]
async fn it_does_not_matter_which_gate_sends_first_when_somebody_comes_back() {
    for order in [[0, 1], [1, 0]] {
        let app = App::start().await;
        let mut plan = plan();
        plan.routes[0].policy.reentry = Reentry { times_max: 1, within_s: 7_200 };
        app.set_plan(plan).await;
        let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
        let sale = sell(&app, 2).await;
        let id = ticket(&sale, 0);
        app.pass(3_600).await;
        let batches = [vec![scan(&id, "pda-1", "08:31:00", "in"), scan(&id, "pda-1", "08:50:00", "in")], vec![scan(&id, "pda-2", "08:40:00", "out")]];
        let mut answers = Vec::new();
        for batch in order.map(|batch| &batches[batch]) {
            answers.push(send(&app, &gate, batch).await);
        }
        let said: Vec<_> = answers.iter().map(|answer| outcomes(answer)).collect();
        let (merged, unseen, conflict) = (("merged", None), ("left_unseen", None), ("conflict", Some("ticket_inside")));
        let expected = if order[0] == 0 { vec![vec![merged, conflict], vec![merged]] } else { vec![vec![unseen], vec![merged, merged]] };
        assert_eq!(said, expected);
        // What the second batch has made of the first.
        let (gate, at, way, was) = if order[0] == 0 { ("pda-1", "08:50:00", "in", "conflict") } else { ("pda-2", "08:40:00", "out", "left_unseen") };
        let scanned_at = format!("2026-11-23T{at}Z");
        let changed = json!([{"ticket": id, "gate": gate, "scanned_at": scanned_at, "direction": way, "was": was, "outcome": "merged"}]);
        assert_eq!((told_elsewhere(&answers[0]), &answers[0]["changed"]), ((0, 0), &json!([])), "{order:?}");
        assert_eq!((told_elsewhere(&answers[1]), &answers[1]["changed"]), ((0, u64::from(order[0] == 0)), &changed), "{order:?}");
        // The conflict was none, and everything says so: the slot, its ticket, the lists, and the signs against the sale.
        let counted = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
        assert_eq!((&counted["admitted"], &counted["inside"], &counted["conflicts"]), (&json!(1), &json!(1), &json!(0)), "{order:?}");
        let conflicts = app.get(&format!("/v1/slots/{}/conflicts", slot(TORRE, 9)), &office).await;
        assert_eq!(conflicts["items"], json!([]), "{order:?}");
        let read = app.get(&format!("/v1/tickets/{id}"), &office).await;
        assert_eq!((&read["state"], &read["entries"], &read["admitted_at"]), (&json!("inside"), &json!(2), &json!("2026-11-23T08:31:00Z")));
        let views = &app.node().files().unwrap().views;
        views.reach(app.node().head().number).await;
        assert!(views.fraud_signs(10).await.unwrap().is_empty(), "{order:?}");
        let listed = app.get(&format!("/v1/slots/{}/tickets", slot(TORRE, 9)), &office).await;
        assert_eq!((&listed["items"][0]["state"], &listed["items"][0]["changed_at"]), (&json!("inside"), &json!("2026-11-23T08:50:00Z")));
        app.stop().await;
    }
}

#[actix_rt::test]
async fn a_scan_of_a_request_that_was_written_after_all_is_that_passage_also_after_a_restart() {
    let app = App::start().await;
    let (gate, office) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await);
    let sale = sell(&app, 2).await;
    app.pass(5).await;
    let shown = json!({"ticket": ticket(&sale, 0), "gate": "north", "museum": "torre"});
    assert_eq!(app.post("/v1/admissions", &gate, "in", &shown).await.0, StatusCode::OK);
    app.pass(60).await;
    let kept = |number: u16, asked_at: &str| {
        let mut kept = scan(&ticket(&sale, number), "north", "08:30:10", "in");
        kept["asked_at"] = json!(format!("2026-11-23T{asked_at}Z"));
        kept
    };
    let app = app.restart().await;
    // Of the second ticket nothing was written.
    let batch = [kept(0, "08:30:04"), kept(1, "08:30:04"), kept(0, "08:30:11"), kept(0, "then")];
    let expected = [("duplicate", None), ("merged", None), ("refused", Some("invalid")), ("refused", Some("invalid"))];
    assert_eq!(outcomes(&send(&app, &gate, &batch).await), expected);
    let counted = async || {
        let slot = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
        (slot["admitted"].clone(), slot["inside"].clone(), slot["conflicts"].clone())
    };
    assert_eq!(counted().await, (json!(2), json!(2), json!(0)));
    let again = send(&app, &gate, &batch[..2]).await;
    assert_eq!(outcomes(&again), [("duplicate", None), ("duplicate", None)]);
    // Who was asked for after that passage is somebody else.
    assert_eq!(outcomes(&send(&app, &gate, &[kept(0, "08:30:06")]).await), [("conflict", Some("ticket_inside"))]);
    assert_eq!(counted().await, (json!(2), json!(2), json!(1)));
    app.stop().await;
}

#[actix_rt::test]
async fn what_was_right_when_it_was_scanned_stays_right_whatever_came_later() {
    let app = App::start().await;
    let (gate, office, manager) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let sale = sell(&app, 3).await;
    app.pass(120).await;
    let block = json!({"tickets": [0], "reason": "lost"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/block"), &manager, "block", &block).await.0, StatusCode::OK);
    for number in [1, 2] {
        let holder = json!({"holder": {"given_name": "Ada", "family_name": "Neri"}});
        let path = format!("/v1/tickets/{}/rename", ticket(&sale, number));
        let (status, renamed) = app.post(&path, &office, &format!("rename-{number}"), &holder).await;
        assert_eq!(status, StatusCode::OK, "{renamed}");
    }
    // The first two were let in before that; the code of the third was good no more.
    let batch = [0, 1, 2].map(|number| scan(&ticket(&sale, number), "pda", if number == 2 { "08:32:00" } else { "08:31:00" }, "in"));
    let expected = [("merged", None), ("merged", None), ("conflict", Some("code_outdated"))];
    assert_eq!(outcomes(&send(&app, &gate, &batch).await), expected);
    let counted = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
    assert_eq!((&counted["admitted"], &counted["inside"], &counted["conflicts"]), (&json!(3), &json!(3), &json!(1)));
    let shown = json!({"ticket": ticket(&sale, 1), "gate": "north", "museum": "torre"});
    let (status, problem) = app.post("/v1/admissions", &gate, "again", &shown).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("ticket_inside")), "nobody comes in on it twice");
    app.stop().await;
}

#[actix_rt::test]
async fn what_was_cancelled_or_blocked_after_the_manifest_is_a_conflict() {
    let app = App::start().await;
    let (gate, office, manager) = (app.key(Role::Gate).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let sale = sell(&app, 3).await;
    let cancel = json!({"tickets": [0], "cause": "museum"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/cancel"), &office, "cancel", &cancel).await.0, StatusCode::OK);
    let block = json!({"tickets": [1], "reason": "resold"});
    assert_eq!(app.post(&format!("/v1/sales/{sale}/block"), &manager, "block", &block).await.0, StatusCode::OK);
    let mut old = scan(&ticket(&sale, 2), "pda", "08:30:02", "in");
    old["issue"] = json!(0);
    let batch = [scan(&ticket(&sale, 0), "pda", "08:30:00", "in"), scan(&ticket(&sale, 1), "pda", "08:30:01", "in"), old];
    let answer = send(&app, &gate, &batch).await;
    let expected = [("conflict", Some("ticket_cancelled")), ("conflict", Some("ticket_blocked")), ("conflict", Some("code_outdated"))];
    assert_eq!(outcomes(&answer), expected);
    let counted = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &office).await;
    assert_eq!((&counted["admitted"], &counted["conflicts"]), (&json!(2), &json!(3)), "the blocked ticket is used, and the one of the old code");

    let (web, elsewhere) = (app.key(Role::Web).await, app.key_for(Role::Manager, Museums::Only(vec![MARE])).await);
    let path = format!("/v1/slots/{}/conflicts", slot(TORRE, 9));
    for (key, status) in [(&web, 403), (&gate, 403), (&elsewhere, 404)] {
        assert_eq!(app.request(Method::GET, &path, key).send().await.unwrap().status().as_u16(), status);
    }
    // A key of another museum sends nothing here.
    let gate = app.key_for(Role::Gate, Museums::Only(vec![MARE])).await;
    assert_eq!(outcomes(&send(&app, &gate, &batch[..1]).await), [("refused", Some("not_found"))]);
    let mut at_mare = batch[0].clone();
    at_mare["museum"] = json!("mare");
    assert_eq!(outcomes(&send(&app, &gate, &[at_mare]).await), [("refused", Some("wrong_museum"))]);

    let many: String = (0..10_001).map(|_| "{}\n").collect();
    for (kind, body, status, code) in [
        ("application/x-ndjson", many, 413, "body_too_large"),
        ("application/x-ndjson", " ".repeat(4 * 1024 * 1024 + 1), 413, "body_too_large"),
        ("application/json", "{}".to_owned(), 422, "invalid"),
        ("application/json", "[".to_owned(), 400, "malformed"),
        ("text/plain", String::new(), 415, "unsupported_media_type"),
    ] {
        let request = app.request(Method::POST, "/v1/admissions/batch", &gate).header("Content-Type", kind).body(body);
        let problem = expect(request.send().await.unwrap(), StatusCode::from_u16(status).unwrap()).await;
        assert_eq!(problem["code"], code, "{kind}: {problem}");
    }
    app.stop().await;
}
