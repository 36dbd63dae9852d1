//! The step-up over HTTP: the work and the names that are proofs, what they are good for, and who is never asked for one.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::cases::case_of;
use tornello_actors::journal::StreamId;
use tornello_actors::keys::Role;
use tornello_engine::attempts::{Ending, day_of};
use tornello_engine::case::Subject;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Envelope, Outcome, PartyKind};
use tornello_engine::ids::HoldId;
use tornello_engine::slot::{Command, Event};

use crate::routes_acting::{HOUR_S, ask, fail_payments, hoard, in_force, solved};
use crate::routes_fraud::{assessed, lines, look};
use crate::support::{App, TORRE, body_of, code, slot};

#[actix_rt::test]
async fn whoever_hoards_and_asks_for_many_free_tickets_does_the_work_and_is_looked_at() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    hoard(&app, &web, slot, "spin", 6, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let path = format!("/v1/slots/{slot}/holds");
    let eight = json!({"lines": [{"category": "under-18", "count": 8}], "parties": [{"kind": "buyer", "value": "spin"}]});
    let (status, problem) = app.post(&path, &web, "eight", &eight).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "a look comes after the sale: {problem}");
    let request = app.request(Method::POST, &path, &web).header("Idempotency-Key", "eight").header("Step-Up-Proof", solved(&problem).await);
    let response = request.json(&eight).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let held: HoldId = body_of(response).await["hold"].as_str().unwrap().parse().unwrap();
    let records = tornello_actors::streams::all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    let is_it = |event: &Event| matches!(event, Event::Held(found) if found.hold == held);
    let record = records.iter().find(|record| record.events.iter().any(is_it)).unwrap();
    let assessment = record.envelope.as_ref().unwrap().assessment.as_ref().unwrap();
    assert_eq!((assessment.outcome, assessment.rules.as_slice()), (Outcome::Review, &[code("unsold-holds"), code("price-zero")][..]));
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_tries_cards_does_the_work_also_where_payments_are_looked_at() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 12));
    let hold = app.hold(slot, &web, "h1", json!([{"category": "full", "count": 1}])).await;
    in_force(&app, "any-amount", json!([{"feature": "cents", "op": "at_least", "threshold_milli": 1_000}]), "review").await;
    fail_payments(&app, slot, false).await;
    let pay = json!({"holds": [hold], "gateway": {"notice": {}},
        "parties": [{"kind": "buyer", "value": "tester"}, {"kind": "device", "value": "d-tester"}]});
    // By the key under which the places were held it is another request than that.
    for name in ["pay", "h1"] {
        let (status, problem) = app.post("/v1/payments", &web, name, &pay).await;
        assert_eq!(
            (status, &problem["code"], &problem["ways"]),
            (StatusCode::FORBIDDEN, &json!("step_up_required"), &json!(["proof_of_work"])),
            "{name}: {problem}"
        );
    }
    // Nor does it pass where a rule refuses; what has begun is answered as it was.
    let other = app.hold(slot, &web, "h2", json!([{"category": "full", "count": 1}])).await;
    let honest = json!({"holds": [other], "gateway": {"notice": {}}});
    let (status, begun) = app.post("/v1/payments", &web, "h2", &honest).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    in_force(&app, "no-amount", json!([{"feature": "cents", "op": "at_least", "threshold_milli": 1_000}]), "block").await;
    let (status, problem) = app.post("/v1/payments", &web, "h1", &pay).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    let (status, again) = app.post("/v1/payments", &web, "h2", &honest).await;
    assert_eq!((status, &again["payment"]), (StatusCode::CREATED, &begun["payment"]), "{again}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_name_on_every_ticket_is_a_proof_and_a_contact_is_none() {
    let app = App::start().await;
    let (web, desk, gate, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await, slot(TORRE, 15));
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let two = json!({"lines": [{"category": "under-18", "count": 2}], "parties": [{"kind": "buyer", "value": "spin"}]});
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "kept", &two).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    app.node().scoring().counters().heard(app.node().head().number).await;
    let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
    let contact = json!({"given_name": "Pippo", "family_name": "Pluto", "email": "throwaway@example.com"});
    let nobody = json!({"settlement": {"free": {}}, "contact": contact});
    let (status, problem) = app.post(&confirm, &web, "nobody", &nobody).await;
    assert_eq!((status, &problem["ways"]), (StatusCode::FORBIDDEN, &json!(["proof_of_work", "named_ticket"])), "an address costs nothing: {problem}");
    let named =
        |given_name: &str| json!({"settlement": {"free": {}}, "contact": contact, "holder": {"given_name": given_name, "family_name": "Rossi"}});
    let (status, problem) = app.post(&confirm, &web, "unreadable", &named("王")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("holder_unprintable")), "{problem}");
    // The second letter is Cyrillic: no gate could tell that the name is not Maria.
    let (status, problem) = app.post(&confirm, &web, "disguised", &named("M\u{430}ria")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("holder_mixed_alphabets")), "{problem}");
    let (status, sale) = app.post(&confirm, &web, "named", &named("Maria")).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    assert_eq!(app.post(&confirm, &web, "named", &named("Maria")).await, (status, sale.clone()), "a repeat is answered the same");

    // Every ticket bears the name, apart from the contact; the journal has numbers only.
    let tickets: Vec<&str> = sale["tickets"].as_array().unwrap().iter().map(|ticket| ticket["ticket"].as_str().unwrap()).collect();
    assert_eq!(tickets.len(), 2);
    for ticket in &tickets {
        let shown = app.get(&format!("/v1/tickets/{ticket}"), &desk).await;
        let holder = &shown["holder"];
        assert_eq!((&holder["given_name"], &holder["family_name"], holder.get("email")), (&json!("Maria"), &json!("Rossi"), None), "{shown}");
        assert_eq!(app.get(&format!("/v1/tickets/{ticket}"), &web).await.get("holder"), None);
    }
    let sold = app.get(&format!("/v1/sales/{}", sale["sale"].as_str().unwrap()), &desk).await;
    assert_eq!(sold["contact"]["given_name"], "Pippo", "{sold}");
    let records = tornello_actors::streams::all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    let written = format!("{records:?}");
    assert!(!written.contains("Maria") && !written.contains("Pippo"));

    // The gate sees whom to expect, whether the code is read or the ticket typed; of a ticket without a name nothing is said.
    let other = json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R"}}});
    let (_, unnamed) = app.post(&format!("/v1/slots/{slot}/sales"), &desk, "other", &other).await;
    let code = app.get(&format!("/v1/tickets/{}", tickets[0]), &web).await["code"].clone();
    app.pass(5 * HOUR_S + 30 * 60).await;
    let (status, admitted) = app.post("/v1/admissions", &gate, "in", &json!({"code": code, "gate": "north", "museum": "torre"})).await;
    assert_eq!((status, &admitted["holder"]), (StatusCode::OK, &json!("Maria Rossi")), "{admitted}");
    let typed = json!({"ticket": unnamed["tickets"][0]["ticket"], "gate": "north", "museum": "torre"});
    let (status, admitted) = app.post("/v1/admissions", &gate, "too", &typed).await;
    assert_eq!((status, admitted.get("holder")), (StatusCode::OK, None), "{admitted}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_proof_is_good_for_its_request_until_that_is_done() {
    let app = App::start().await;
    let (web, kiosk, slot) = (app.key(Role::Web).await, app.key(Role::Kiosk).await, slot(TORRE, 11));
    hoard(&app, &web, slot, "spin", 6, 30).await;
    app.hold(slot, &kiosk, "full-a", json!([{"category": "full", "count": 15}])).await;
    let last = app.hold(slot, &kiosk, "full-b", json!([{"category": "full", "count": 5}])).await;
    let (_, problem) = ask(&app, &web, slot, "more", "spin", None).await;
    let proof = solved(&problem).await;
    // Refused for another reason, the work is not lost, however often; nor is whoever did it noted as one whose proof did not hold.
    for _ in 0..2 {
        let (status, problem) = ask(&app, &web, slot, "more", "spin", Some(&proof)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_enough_places")), "{problem}");
    }
    let (status, _) = app.ask(Method::DELETE, &format!("/v1/holds/{last}"), &kiosk, "back", &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let held = ask(&app, &web, slot, "more", "spin", Some(&proof)).await;
    assert_eq!(held.0, StatusCode::CREATED, "{}", held.1);
    assert_eq!(ask(&app, &web, slot, "more", "spin", Some(&proof)).await, held, "a repeat is the same hold");
    assert_eq!(ask(&app, &web, slot, "another", "spin", Some(&proof)).await.1["proof"], "foreign", "it is no proof for a second one");
    let day = day_of(app.node().now());
    let failed =
        app.node().look_attempts(day, |attempts| attempts.entries().filter(|attempt| attempt.ending == Ending::Failed).count()).await.unwrap();
    assert_eq!(failed, 1, "only the one for another request");
    app.stop().await;
}

#[actix_rt::test]
async fn a_name_that_was_a_proof_goes_along_with_its_ticket_and_only_a_desk_changes_it() {
    let app = App::start().await;
    let (web, desk, gate, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await, slot(TORRE, 15));
    let earlier = self::slot(TORRE, 14);
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let three = json!({"lines": [{"category": "under-18", "count": 3}], "parties": [{"kind": "buyer", "value": "spin"}]});
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "kept", &three).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    app.node().scoring().counters().heard(app.node().head().number).await;
    let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
    let named = json!({"settlement": {"free": {}}, "holder": {"given_name": "Maria", "family_name": "Rossi"}});
    let nobody = json!({"settlement": {"free": {}}});
    assert_eq!(app.post(&confirm, &web, "nobody", &nobody).await.1["code"], "step_up_required");
    let (status, sale) = app.post(&confirm, &web, "named", &named).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let ticket = |of: &Value, number: usize| of["tickets"][number]["ticket"].as_str().unwrap().to_owned();

    // A shop changes the name neither here nor where the ticket has moved; somebody at a desk does.
    let other = json!({"holder": {"given_name": "Luca", "family_name": "Neri"}});
    let rename = |ticket: &str| format!("/v1/tickets/{ticket}/rename");
    let move_path = format!("/v1/sales/{}/move", sale["sale"].as_str().unwrap());
    let (status, moved) = app.post(&move_path, &desk, "move", &json!({"slot": earlier.to_string(), "tickets": [1]})).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    for (name, ticket) in [("here", ticket(&sale, 0)), ("there", ticket(&moved, 0))] {
        let (status, problem) = app.post(&rename(&ticket), &web, name, &other).await;
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("named_as_proof")), "{name}: {problem}");
    }
    assert_eq!(app.post(&rename(&ticket(&sale, 2)), &desk, "at-the-desk", &other).await.0, StatusCode::OK);
    // Of one whom nobody suspected a shop changes it, as often as they like.
    let honest = json!({"lines": [{"category": "under-18", "count": 1}], "parties": [{"kind": "buyer", "value": "anna@example.it"}]});
    let (_, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "honest", &honest).await;
    let (status, bought) = app.post(&format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap()), &web, "honest-named", &named).await;
    assert_eq!(status, StatusCode::CREATED, "{bought}");
    assert_eq!(app.post(&rename(&ticket(&bought, 0)), &web, "gift", &other).await.0, StatusCode::OK);

    // The gate hears the name also of the ticket that has moved, by the code that it has there.
    let code = app.get(&format!("/v1/tickets/{}", ticket(&moved, 0)), &desk).await["code"].clone();
    app.pass(4 * HOUR_S + 30 * 60).await;
    let (status, admitted) = app.post("/v1/admissions", &gate, "in", &json!({"code": code, "gate": "north", "museum": "torre"})).await;
    assert_eq!((status, &admitted["holder"]), (StatusCode::OK, &json!("Maria Rossi")), "{admitted}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_desk_is_never_asked_for_a_proof_also_of_what_was_held_over_the_web() {
    let app = App::start().await;
    let (web, desk, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 15));
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let two = json!({"lines": [{"category": "under-18", "count": 2}], "parties": [{"kind": "buyer", "value": "spin"}]});
    let (_, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "kept", &two).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
    let free = json!({"settlement": {"free": {}}});
    assert_eq!(app.post(&confirm, &web, "web", &free).await.1["code"], "step_up_required");
    let (status, sold) = app.post(&confirm, &desk, "desk", &free).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    // Nor of its own places, by a rule that speaks of desks.
    let rule = json!({"name": "work", "when": [{"feature": "people", "op": "at_least", "threshold_milli": 1_000}], "action": "step_up",
        "sentence_it": "Troppo.", "sentence_en": "Too much."});
    assert_eq!(app.post("/v1/fraud/rules", &app.key(Role::Analyst).await, "draft", &rule).await.0, StatusCode::CREATED);
    let go = app.post("/v1/fraud/rules/work/activate", &app.key(Role::Manager).await, "go", &json!({"draft": 1})).await;
    assert_eq!(go.0, StatusCode::OK, "{}", go.1);
    assert_eq!(ask(&app, &web, slot, "web-asks", "anna", None).await.1["code"], "step_up_required", "it is in force");
    assert_eq!(ask(&app, &desk, slot, "desk-asks", "anna", None).await.0, StatusCode::CREATED);
    app.stop().await;
}

#[actix_rt::test]
async fn a_name_that_was_a_proof_is_one_also_where_a_look_was_asked_for_of_the_hold_before() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    // A model has the hold looked at, and acts no more when it is bought: then a rule asks for a proof, and nothing else.
    let hold = HoldId::new(slot, 77);
    let (who, parties) = {
        let files = app.node().files().unwrap();
        let who = files.keys.authenticate(&web, app.node().now()).unwrap().id;
        (who, vec![files.pseudonymiser.party(PartyKind::Buyer, "spin", app.node().now())])
    };
    let mut suspected = Envelope { who, parties, ..assessed(77, 7, Outcome::Review, 90) };
    suspected.assessment.as_mut().unwrap().rules.clear();
    let command = Command::Hold { hold, channel: Channel::Web, lines: lines(1) };
    app.node().slot(slot, suspected, command).await.unwrap();
    app.node().scoring().counters().heard(app.node().head().number).await;
    let confirm = format!("/v1/holds/{hold}/confirm");
    let named = json!({"settlement": {"free": {}}, "holder": {"given_name": "Maria", "family_name": "Rossi"}});
    assert_eq!(app.post(&confirm, &web, "nobody", &json!({"settlement": {"free": {}}})).await.1["code"], "step_up_required");
    let (status, sale) = app.post(&confirm, &web, "named", &named).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    // Nobody looks, and the review is over when the gate opens.
    app.pass(4 * HOUR_S + 50 * 60).await;
    let other = json!({"holder": {"given_name": "Luca", "family_name": "Neri"}});
    let rename = format!("/v1/tickets/{}/rename", sale["tickets"][0]["ticket"].as_str().unwrap());
    let (status, problem) = app.post(&rename, &web, "gift", &other).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("named_as_proof")), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_name_that_somebody_gave_where_only_a_look_was_asked_for_is_the_shops_to_change() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    let eight = json!({"lines": [{"category": "under-18", "count": 8}], "parties": [{"kind": "buyer", "value": "anna@example.it"}]});
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "held", &eight).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    app.node().scoring().counters().heard(app.node().head().number).await;
    let named = json!({"settlement": {"free": {}}, "holder": {"given_name": "Maria", "family_name": "Rossi"}});
    let (status, sale) = app.post(&format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap()), &web, "named", &named).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let id: HoldId = sale["sale"].as_str().unwrap().parse().unwrap();
    let views = &app.node().files().unwrap().views;
    views.reach(app.node().head().number).await;
    let said = views.assessed_for_case(Subject::Sale(id)).await.unwrap().and_then(|found| found.assessment).unwrap();
    assert_eq!((said.outcome, said.rules), (Outcome::Review, vec![code("price-zero")]));
    look(&app).await;
    let (case, legit) = (case_of(Subject::Sale(id)), json!({"verdict": "legit", "reason": "family"}));
    let (status, case) = app.post(&format!("/v1/fraud/cases/{case}/verdict"), &app.key(Role::Analyst).await, "family", &legit).await;
    assert_eq!(status, StatusCode::OK, "{case}");
    look(&app).await;
    let other = json!({"holder": {"given_name": "Luca", "family_name": "Neri"}});
    let path = format!("/v1/tickets/{}/rename", sale["tickets"][0]["ticket"].as_str().unwrap());
    let (status, renamed) = app.post(&path, &web, "gift", &other).await;
    assert_eq!(status, StatusCode::OK, "{renamed}");
    app.stop().await;
}
