//! Fraud cases over HTTP: what an analyst sees and decides, and what follows at the gate; and the report.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::cases;
use tornello_actors::keys::{Museums, Role};
use tornello_engine::attempts::{Attempt, Ending, day_of};
use tornello_engine::case::{self, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope, Outcome, Party, PartyKind};
use tornello_engine::ids::{AttemptId, HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, DeskMethod, Line, Settlement};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use crate::support::{App, MARE, TORRE, code, expect, slot};

/// What a scorer said of a command, with a device that takes part.
pub fn assessed(key: u128, device: u128, outcome: Outcome, score: u8) -> Envelope {
    let assessment = Assessment {
        model: code("forest-1"),
        rules_version: 3,
        at: Timestamp::from_micros(0),
        position: 1,
        features: Digest(5),
        score,
        reasons: vec![code("person_unsold_1h"), code("device_cards_1d")],
        outcome,
        rules: vec![code("hoarding")],
        probability_ppm: None,
        basis: None,
    };
    let parties = vec![Party { kind: PartyKind::Device, pseudonym: Digest(device) }];
    Envelope {
        who: KeyId(9),
        key: Digest(key),
        body: Digest(key),
        parties,
        assessment: Some(Box::new(assessment)),
        order: None,
        formerly: Vec::new(),
    }
}

pub fn lines(count: u16) -> Vec<Line> {
    vec![Line { category: code("under-18"), count, price_cents: Cents::ZERO, proof: Proof::Age }]
}

/// Sells to somebody of whom the scorer said that; answers the sale.
pub async fn sell_assessed(app: &App, slot: SlotId, n: u64, device: u128, outcome: Outcome, score: u8) -> HoldId {
    let sale = HoldId::new(slot, n);
    let hold = Command::Hold { hold: sale, channel: Channel::Web, lines: lines(2) };
    let envelope = assessed(u128::from(n), device, outcome, score);
    app.node().slot(slot, envelope, hold).await.unwrap();
    let sell = Command::Sell { hold: sale, owner: None, settlement: Settlement::Free, contact: None };
    let key = Digest(1_000 + u128::from(n));
    let confirm = Envelope { who: KeyId(9), key, body: key, parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().slot(slot, confirm, sell).await.unwrap();
    sale
}

/// Two places are held by somebody of whom the scorer said that; answers the hold.
async fn hold_assessed(app: &App, slot: SlotId, n: u64, device: u128, outcome: Outcome) -> HoldId {
    let hold = HoldId::new(slot, n);
    let command = Command::Hold { hold, channel: Channel::Web, lines: lines(2) };
    app.node().slot(slot, assessed(u128::from(n), device, outcome, 90), command).await.unwrap();
    hold
}

/// Lets the lists catch up, opens what wants a case, and lets them catch up with that.
pub async fn look(app: &App) {
    for _ in 0..2 {
        app.node().files().unwrap().views.reach(app.node().head().number).await;
        cases::resume(app.node()).await.unwrap();
    }
    app.node().files().unwrap().views.reach(app.node().head().number).await;
}

/// What the gate says of the first ticket of a sale: the code of the refusal, or `admitted`.
pub async fn at_gate(app: &App, sale: HoldId, key: &str) -> String {
    let gate = app.key(Role::Gate).await;
    let body = json!({"ticket": sale.ticket(0).to_string(), "gate": "north", "museum": "torre"});
    let (status, answer) = app.post("/v1/admissions", &gate, key, &body).await;
    answer[if status == StatusCode::OK { "verdict" } else { "code" }].as_str().unwrap().to_owned()
}

pub fn case_path(sale: HoldId) -> String {
    format!("/v1/fraud/cases/{}", cases::case_of(Subject::Sale(sale)))
}

#[actix_rt::test]
async fn the_queue_is_ordered_by_what_may_be_lost_and_survives_a_crash() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let free = sell_assessed(&app, fifteen, 1, 70, Outcome::Review, 60).await;
    let settlement = Settlement::Desk { till: code("t"), method: DeskMethod::Card, reference: "R".into() };
    let line = Line { price_cents: Cents::new(1_200), proof: Proof::None, category: code("full"), ..lines(2)[0].clone() };
    let dear = HoldId::new(fifteen, 2);
    let direct = Command::SellDirect { sale: dear, channel: Channel::Kiosk, lines: vec![line], settlement, contact: None };
    app.node().slot(fifteen, assessed(2, 70, Outcome::Review, 50), direct).await.unwrap();
    sell_assessed(&app, slot(MARE, 15), 3, 71, Outcome::Allow, 5).await;
    // The process ends before anybody has opened a case.
    let app = app.restart().await;
    look(&app).await;
    let page = app.get("/v1/fraud/cases?limit=1", &analyst).await;
    assert_eq!((&page["items"][0]["subject"], &page["items"][0]["expected_loss_cents"]), (&json!(dear.to_string()), &json!(1_200)), "{page}");
    let next = app.get(&format!("/v1/fraud/cases?limit=1&cursor={}", page["next_cursor"].as_str().unwrap()), &analyst).await;
    assert_eq!((&next["items"][0]["subject"], &next["items"][0]["score"]), (&json!(free.to_string()), &json!(60)), "{next}");
    assert_eq!(next["items"][0]["expected_loss_cents"], 600, "two free places are worth ten euros");
    assert_eq!(
        app.get("/v1/fraud/cases?museum=mare", &analyst).await["items"],
        json!([]),
        "nobody suspects it, and chance picks from hours that are over"
    );
    for (query, count) in [("channel=kiosk", 1), ("channel=reseller", 0), ("state=decided", 0), ("museum=torre", 2)] {
        let page = app.get(&format!("/v1/fraud/cases?{query}"), &analyst).await;
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}: {page}");
    }
    // Every one with its slot's own words: who took part in both, and why, in both languages.
    let seen = app.get(&case_path(free), &analyst).await;
    assert_eq!((&seen["sale"], &seen["origin"], &seen["state"]), (&json!(free.to_string()), &json!("review"), &json!("open")));
    let assessment = &seen["assessment"];
    assert_eq!((&assessment["model"], &assessment["outcome"], &assessment["rules"]), (&json!("forest-1"), &json!("review"), &json!(["hoarding"])));
    assert_eq!(assessment["reasons"][1]["it"], "Stesso dispositivo: molte carte in un giorno");
    let link = &seen["linked"][0];
    assert_eq!((&link["kind"], &link["others"], &link["subjects"]), (&json!("device"), &json!(1), &json!([dear.to_string()])), "{seen}");
    // A key for some museums learns how much there is elsewhere, not what.
    let far = sell_assessed(&app, slot(MARE, 16), 4, 70, Outcome::Allow, 5).await;
    look(&app).await;
    let nearby = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    let (all, some) = (app.get(&case_path(free), &analyst).await, app.get(&case_path(free), &nearby).await);
    assert_eq!((&all["linked"][0]["others"], &some["linked"][0]["others"]), (&json!(2), &json!(2)), "{some}");
    assert!(all["linked"][0]["subjects"].as_array().unwrap().contains(&json!(far.to_string())), "{all}");
    assert_eq!(some["linked"][0]["subjects"], json!([dear.to_string()]));
    // A key for another museum sees none of it.
    let elsewhere = app.key_for(Role::Analyst, Museums::Only(vec![MARE])).await;
    assert_eq!(app.request(Method::GET, &case_path(free), &elsewhere).send().await.unwrap().status(), 404);
    // The lists can be built again without another case being opened.
    let before = app.get("/v1/fraud/cases", &analyst).await["items"].clone();
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], before);
    app.stop().await;
}

#[actix_rt::test]
async fn a_verdict_reaches_the_gate_and_is_undone_there() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let sale = sell_assessed(&app, fifteen, 1, 70, Outcome::Review, 80).await;
    look(&app).await;
    let path = case_path(sale);
    assert_eq!(at_gate(&app, sale, "1").await, "ticket_under_review");
    let shown = app.get(&format!("/v1/tickets/{}", sale.ticket(0)), &app.key(Role::BoxOffice).await).await;
    assert_eq!((&shown["state"], &shown["review_until"]), (&json!("valid"), &json!("2026-11-23T13:15:00Z")), "{shown}");
    let say = |verdict: &str| json!({"verdict": verdict, "reason": "checked"});
    let (status, decided) = app.post(&format!("{path}/verdict"), &analyst, "fraud", &say("fraud")).await;
    assert_eq!(
        (status, &decided["state"], &decided["verdict"]["verdict"], &decided["acting"]),
        (StatusCode::OK, &json!("decided"), &json!("fraud"), &json!(false))
    );
    assert_eq!((at_gate(&app, sale, "2").await.as_str(), &decided["labels"][0]["source"]), ("ticket_blocked", &json!("verdict")));
    let (status, repeated) = app.post(&format!("{path}/verdict"), &analyst, "fraud", &say("fraud")).await;
    assert_eq!((status, &repeated["state"]), (StatusCode::OK, &json!("decided")), "a repeat changes nothing");
    let (status, problem) = app.post(&format!("{path}/verdict"), &analyst, "other", &say("legit")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("case_decided")));
    assert_eq!(app.post(&format!("{path}/undo"), &analyst, "undo", &json!(null)).await.0, StatusCode::OK);
    assert_eq!(at_gate(&app, sale, "3").await, "ticket_under_review", "the review goes on");
    assert_eq!(app.post(&format!("{path}/verdict"), &analyst, "legit", &say("legit")).await.0, StatusCode::OK);
    assert_eq!(at_gate(&app, sale, "4").await, "too_early", "it is valid at once");
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/report", &analyst).await["total"]["good_hurt"], 0, "the block was undone by whoever gave it");
    let (status, undone) = app.post(&format!("{path}/undo"), &analyst, "undo-2", &json!(null)).await;
    assert_eq!((status, &undone["labels"], &undone["state"]), (StatusCode::OK, &json!([]), &json!("open")));
    assert_eq!(at_gate(&app, sale, "5").await, "ticket_under_review");
    // Nobody looks: three quarters of an hour before the visit it is valid by itself, and the case lapses.
    app.pass(5 * 3_600).await;
    look(&app).await;
    assert_eq!(app.get(&path, &analyst).await["state"], "lapsed");
    app.pass(1_800).await;
    assert_eq!(at_gate(&app, sale, "6").await, "admitted");
    app.stop().await;
}

/// Staff had blocked a ticket before the verdict, and lift that: what the verdict says stands, and the case shows how much of it could be done. Nothing of it is paid back to a visitor.
#[actix_rt::test]
async fn a_verdict_holds_until_it_is_undone_and_pays_no_visitor_back() {
    let app = App::start().await;
    let (analyst, manager, fifteen) = (app.key(Role::Analyst).await, app.key(Role::Manager).await, slot(TORRE, 15));
    let box_office = app.key(Role::BoxOffice).await;
    let sale = sell_assessed(&app, fifteen, 1, 70, Outcome::Review, 80).await;
    look(&app).await;
    let (path, of) = (case_path(sale), format!("/v1/sales/{sale}"));
    let cancel = async |key: &str, cause: &str| app.post(&format!("{of}/cancel"), &box_office, key, &json!({"cause": cause})).await;
    let (status, problem) = cancel("c1", "visitor").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("ticket_under_review")), "{problem}");
    let lost = json!({"reason": "lost", "tickets": [0]});
    assert_eq!(app.post(&format!("{of}/block"), &manager, "b1", &lost).await.0, StatusCode::OK);
    let own = json!({"reason": "fraud"});
    assert_eq!(app.post(&format!("{of}/block"), &manager, "b2", &own).await.0, StatusCode::UNPROCESSABLE_ENTITY, "that is a verdict's word");
    let fraud = json!({"verdict": "fraud", "reason": "resold"});
    let (status, decided) = app.post(&format!("{path}/verdict"), &analyst, "v", &fraud).await;
    assert_eq!((status, &decided["acted"]["action"], &decided["acted"]["done"]), (StatusCode::OK, &json!("block"), &json!(true)), "{decided}");
    let people = decided["blocked"]["of"].clone();
    assert_eq!(decided["blocked"]["tickets"], people, "{decided}");
    // What staff said is lifted, and no more.
    let (status, lifted) = app.post(&format!("{of}/unblock"), &manager, "u1", &json!({})).await;
    assert_eq!((status, &lifted["tickets"], &lifted["still_blocked"]), (StatusCode::OK, &json!([]), &json!([0])), "{lifted}");
    for (key, body) in [("u2", json!({})), ("u3", json!({"reason": "fraud"}))] {
        let (status, problem) = app.post(&format!("{of}/unblock"), &manager, key, &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("ticket_blocked")), "{key}: {problem}");
    }
    let (status, none) = app.post(&format!("{of}/unblock"), &manager, "u4", &json!({"reason": "lost"})).await;
    assert_eq!((status, &none["code"]), (StatusCode::CONFLICT, &json!("not_blocked")), "{none}");
    assert_eq!(at_gate(&app, sale, "1").await, "ticket_blocked");
    assert_eq!(cancel("c2", "visitor").await.1["code"], "ticket_blocked");
    // The verdict is undone; a repeat of it is still answered as it was.
    let (_, undone) = app.post(&format!("{path}/undo"), &analyst, "undo", &json!(null)).await;
    assert_eq!(
        (&undone["state"], &undone["blocked"]["tickets"], &undone["acted"]["action"]),
        (&json!("open"), &json!(0), &json!("unblock")),
        "{undone}"
    );
    let (status, repeated) = app.post(&format!("{path}/verdict"), &analyst, "v", &fraud).await;
    for member in ["state", "verdict", "labels", "acting", "acted", "timeline"] {
        assert_eq!((status, &repeated[member]), (StatusCode::OK, &decided[member]), "{member}: {repeated}");
    }
    let seen = app.get(&path, &analyst).await;
    assert_eq!((&seen["state"], seen.get("verdict")), (&json!("open"), None), "{seen}");
    let moments = seen["timeline"].as_array().unwrap().iter().filter_map(|moment| moment["what"].as_str());
    let told: Vec<&str> = moments.filter(|what| !what.contains("refused at gate")).collect();
    assert_eq!(told, ["opened", "decided: fraud", "fraud said by verdict", "tickets blocked", "undone: fraud", "block lifted"]);
    assert_eq!(cancel("c3", "museum").await.0, StatusCode::OK, "the museum knows what it does");
    app.stop().await;
}

/// It has the case of the sale that it was of, and no other.
#[actix_rt::test]
async fn what_a_desk_moves_under_review_is_kept_from_the_gate_there_until_somebody_has_looked() {
    let app = App::start().await;
    let (analyst, office) = (app.key(Role::Analyst).await, app.key(Role::BoxOffice).await);
    let sale = sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 80).await;
    look(&app).await;
    let to = json!({"slot": slot(TORRE, 16).to_string(), "tickets": [0]});
    let (status, moved) = app.post(&format!("/v1/sales/{sale}/move"), &office, "move", &to).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    let there: HoldId = moved["sale"].as_str().unwrap().parse().unwrap();
    look(&app).await;
    let shown = app.get(&format!("/v1/tickets/{}", there.ticket(0)), &office).await;
    assert_eq!((&shown["state"], &shown["review_until"]), (&json!("valid"), &json!("2026-11-23T13:15:00Z")), "as where it was: {shown}");
    assert_eq!(at_gate(&app, there, "1").await, "ticket_under_review");
    let queue = app.get("/v1/fraud/cases", &analyst).await;
    let subjects: Vec<&Value> = queue["items"].as_array().unwrap().iter().map(|item| &item["subject"]).collect();
    assert_eq!(subjects, [&json!(sale.to_string())], "{queue}");
    let legit = json!({"verdict": "legit", "reason": "checked"});
    assert_eq!(app.post(&format!("{}/verdict", case_path(sale)), &analyst, "legit", &legit).await.0, StatusCode::OK);
    assert_eq!(at_gate(&app, there, "2").await, "too_early", "it is valid at once");
    app.stop().await;
}

/// The first suspicious thing opens the case; what tells most comes later.
#[actix_rt::test]
async fn a_case_shows_the_most_suspicious_thing_that_the_same_person_did_on_that_day() {
    let app = App::start().await;
    let analyst = app.key(Role::Analyst).await;
    let first = sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 60).await;
    let other = sell_assessed(&app, slot(TORRE, 15), 2, 71, Outcome::Review, 95).await;
    let later = hold_assessed(&app, slot(TORRE, 16), 3, 70, Outcome::Review).await;
    let far = sell_assessed(&app, slot(MARE, 15), 4, 70, Outcome::Review, 97).await;
    look(&app).await;
    let seen = app.get(&case_path(first), &analyst).await;
    let strongest = &seen["strongest"];
    assert_eq!((&strongest["about"], &strongest["sale"], &strongest["museum"]), (&json!("sale"), &json!(far.to_string()), &json!(MARE.0)), "{seen}");
    assert_eq!((&strongest["assessment"]["score"], &seen["assessment"]["score"]), (&json!(97), &json!(60)), "{seen}");
    assert_eq!(strongest["assessment"]["reasons"][1]["it"], "Stesso dispositivo: molte carte in un giorno");
    // A key for this museum alone is told of what was done here.
    let nearby = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    let here = app.get(&case_path(first), &nearby).await["strongest"].clone();
    assert_eq!((&here["about"], &here["hold"], &here["assessment"]["score"]), (&json!("hold"), &json!(later.to_string()), &json!(90)), "{here}");
    assert_eq!(here.get("sale"), None);
    for highest in [other, far] {
        let seen = app.get(&case_path(highest), &analyst).await;
        assert!(seen["assessment"].is_object() && seen.get("strongest").is_none(), "{seen}");
    }
    app.stop().await;
}

/// One list has sales and holds: their ids are alike.
#[actix_rt::test]
async fn the_list_says_what_a_case_is_about_and_why_there_is_one() {
    let app = App::start().await;
    let analyst = app.key(Role::Analyst).await;
    let sale = sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 80).await;
    look(&app).await;
    let listed = |path: &'static str| {
        let (app, analyst) = (&app, &analyst);
        async move { app.get(path, analyst).await["items"].as_array().unwrap().clone() }
    };
    let items = listed("/v1/fraud/cases").await;
    assert_eq!((items.len(), &items[0]["about"], &items[0]["sale"]), (1, &json!("sale"), &json!(sale.to_string())), "{items:?}");
    assert_eq!((items[0].get("hold"), items[0].get("attempt"), items[0].get("till")), (None, None, None));
    assert_eq!(listed("/v1/fraud/cases?origin=review").await, items);
    assert!(listed("/v1/fraud/cases?origin=appeal").await.is_empty());
    let hold = HoldId::new(slot(TORRE, 16), 9);
    let opened = case_opened(Subject::Hold(hold), &app);
    let by = Envelope { who: KeyId::SYSTEM, key: Digest(99), body: Digest(99), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().case(cases::case_of(Subject::Hold(hold)), by, opened).await.unwrap();
    look(&app).await;
    let items = listed("/v1/fraud/cases?origin=appeal").await;
    assert_eq!((items.len(), &items[0]["about"], &items[0]["hold"]), (1, &json!("hold"), &json!(hold.to_string())), "{items:?}");
    assert_eq!(items[0].get("sale"), None);
    let wrong = app.request(Method::GET, "/v1/fraud/cases?origin=hunch", &analyst).send().await.unwrap();
    assert!(wrong.status().is_client_error(), "{}", wrong.status());
    app.stop().await;
}

#[actix_rt::test]
async fn what_goes_back_of_a_fraud_was_not_saved() {
    let app = App::start().await;
    let (analyst, box_office) = (app.key(Role::Analyst).await, app.key(Role::BoxOffice).await);
    let hold = app.hold(slot(TORRE, 15), &box_office, "h", json!([{"category": "full", "count": 1}])).await;
    let form = json!({"holds": [&hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}}});
    let (status, paid) = app.post("/v1/payments", &box_office, "p", &form).await;
    assert_eq!(status, StatusCode::CREATED, "{paid}");
    let about = Subject::Sale(hold.parse().unwrap());
    let by = Envelope { who: KeyId::SYSTEM, key: Digest(99), body: Digest(99), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().case(cases::case_of(about), by, case_opened(about, &app)).await.unwrap();
    let (status, decided) =
        app.post(&format!("{}/verdict", case_about(about)), &analyst, "v", &json!({"verdict": "fraud", "reason": "resold"})).await;
    assert_eq!((status, &decided["acted"]["done"]), (StatusCode::OK, &json!(true)), "{decided}");
    let saved = async || {
        look(&app).await;
        app.get("/v1/fraud/report", &analyst).await["total"]["saved_cents"].clone()
    };
    assert_eq!(saved().await, 1_200);
    let (status, back) = app.post(&format!("/v1/sales/{hold}/cancel"), &box_office, "c", &json!({"cause": "museum"})).await;
    assert_eq!((status, &back["refund_cents"]), (StatusCode::OK, &json!(1_200)), "{back}");
    assert_eq!(saved().await, 0);
    app.stop().await;
}

fn case_opened(subject: Subject, app: &App) -> case::Command {
    let now = app.node().now();
    case::Command::Open(Box::new(case::Opened {
        subject,
        origin: case::Origin::Appeal,
        assessment: None,
        slot: None,
        museum: TORRE,
        channel: Channel::Web,
        amount_cents: Cents::new(1_200),
        parties: vec![],
        due_at: now.plus_seconds(3_600),
        lapses_at: now.plus_seconds(7_200),
    }))
}

#[actix_rt::test]
async fn many_are_decided_at_once_and_each_by_itself() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let mut sales = Vec::new();
    for n in 1..4 {
        sales.push(sell_assessed(&app, fifteen, n, 70, Outcome::Review, 80).await);
    }
    look(&app).await;
    let ids: Vec<String> = sales.iter().map(|sale| case_path(*sale).rsplit_once('/').unwrap().1.to_owned()).collect();
    let (status, assigned) = app.post(&format!("/v1/fraud/cases/{}/assign", ids[0]), &analyst, "a", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{assigned}");
    look(&app).await;
    let mine = app.get(&format!("/v1/fraud/cases?assignee={}", assigned["assignee"].as_str().unwrap()), &analyst).await;
    assert_eq!(mine["items"].as_array().unwrap().len(), 1, "{mine}");
    let first = json!({"verdict": "unsure", "reason": "no-time"});
    assert_eq!(app.post(&format!("/v1/fraud/cases/{}/verdict", ids[0]), &analyst, "first", &first).await.0, StatusCode::OK);
    let all = json!({"cases": [ids[0], ids[1], ids[2], "000000000000z"], "verdict": "legit", "reason": "family"});
    let (status, outcome) = app.post("/v1/fraud/verdicts", &analyst, "all", &all).await;
    let items = outcome["items"].as_array().unwrap();
    let decided: Vec<&Value> = items.iter().map(|item| &item["decided"]).collect();
    assert_eq!((status, decided), (StatusCode::OK, vec![&json!(false), &json!(true), &json!(true), &json!(false)]), "{outcome}");
    assert_eq!((&items[0]["problem"]["code"], &items[3]["problem"]["code"]), (&json!("case_decided"), &json!("unknown_case")));
    for (count, expected) in [(0, 422), (100, 200), (101, 422)] {
        let many = json!({"cases": vec!["000000000000z"; count], "verdict": "legit", "reason": "family"});
        let (status, outcome) = app.post("/v1/fraud/verdicts", &analyst, &format!("of-{count}"), &many).await;
        assert_eq!(status.as_u16(), expected, "{count}: {outcome}");
    }
    look(&app).await;
    let report = app.get("/v1/fraud/report?days=7", &analyst).await;
    assert_eq!(
        (&report["total"]["cases"], &report["total"]["decided"], &report["total"]["precision"]),
        (&json!(3), &json!(3), &json!(0.0)),
        "{report}"
    );
    assert_eq!((&report["by_channel"][0]["of"], &report["by_museum"][0]["of"]), (&json!("web"), &json!("1")));
    assert_eq!((&report["total"]["in_time"], report["total"].get("recall")), (&json!(1.0), None));
    app.stop().await;
}

#[actix_rt::test]
async fn a_case_is_given_to_a_key_that_can_look_at_it() {
    let app = App::start().await;
    let (analyst, now) = (app.key(Role::Analyst).await, app.node().now());
    let sale = sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 80).await;
    look(&app).await;
    let path = format!("{}/assign", case_path(sale));
    // The number of a key stands in its text: `tn_`, the number, `_` and the secret.
    let number = |text: &str| text.split('_').nth(1).unwrap().to_owned();
    let [web, manager, gone] = [app.key(Role::Web).await, app.key(Role::Manager).await, app.key(Role::Analyst).await];
    let elsewhere = app.key_for(Role::Analyst, Museums::Only(vec![MARE])).await;
    let nearby = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    let keys = &app.node().files().unwrap().keys;
    let first = json!({"to": number(&gone)});
    assert_eq!(app.post(&path, &analyst, "first", &first).await.0, StatusCode::OK);
    keys.revoke(number(&gone).parse().unwrap(), now).await.unwrap();
    for (key, to) in [("none", "0000000000001".to_owned()), ("web", number(&web)), ("elsewhere", number(&elsewhere)), ("gone", number(&gone))] {
        let (status, problem) = app.post(&path, &analyst, key, &json!({"to": to})).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{key}: {problem}");
        let (title, detail) = (problem["title"].as_str().unwrap(), problem["detail"].as_str().unwrap());
        assert!(title.starts_with(&format!("to: no key {to}")) && detail.contains("keys list"), "{problem}");
    }
    assert_eq!(app.get(&case_path(sale), &analyst).await["assignee"], number(&gone), "a refusal changes nothing");
    assert_eq!(app.post(&path, &analyst, "first", &first).await.0, StatusCode::OK, "a repeat is answered as before");
    for (key, to) in [("manager", &manager), ("nearby", &nearby), ("own", &analyst)] {
        let (status, given) = app.post(&path, &analyst, key, &json!({"to": number(to)})).await;
        assert_eq!((status, &given["assignee"]), (StatusCode::OK, &json!(number(to))), "{key}: {given}");
    }
    let (status, given) = app.post(&path, &analyst, "nobody", &json!({"nobody": true})).await;
    assert_eq!((status, given.get("assignee")), (StatusCode::OK, None), "{given}");
    app.stop().await;
}

/// Status and body of an answer.
async fn answer(app: &App, method: Method, path: &str, key: &str, body: Option<&Value>) -> (u16, Value) {
    let request = app.request(method, path, key);
    let request = match body {
        Some(body) => request.header("Idempotency-Key", "alike").json(body),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status();
    (status.as_u16(), expect(response, status).await)
}

/// Asserts that a key cannot tell two codes of appeals from each other, whether it appeals or asks; answers with the code of the problem.
async fn alike(app: &App, key: &str, given: &str, never: &str) -> String {
    let mut told = Vec::new();
    for code in [given, never] {
        let appealed = answer(app, Method::POST, "/v1/fraud/appeals", key, Some(&json!({"code": code}))).await;
        told.push((appealed, answer(app, Method::GET, &format!("/v1/fraud/appeals/{code}"), key, None).await));
    }
    assert_eq!(told[0], told[1]);
    let ((status, appealed), (asked, problem)) = &told[0];
    assert_eq!((*status, *asked, &appealed["code"]), (404, 404, &problem["code"]));
    problem["code"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn who_was_refused_appeals_without_a_name() {
    let app = App::start().await;
    let (analyst, web) = (app.key(Role::Analyst).await, app.key(Role::Web).await);
    let now = app.node().now();
    let attempt = Attempt {
        id: AttemptId::new(day_of(now), 77),
        at: now,
        channel: Channel::Web,
        museum: TORRE,
        slot: Some(slot(TORRE, 15)),
        people: 2,
        amount_cents: Cents::new(2_400),
        parties: vec![Party { kind: PartyKind::Device, pseudonym: Digest(70) }],
        assessment: None,
        ending: Ending::Blocked,
        figures: None,
    };
    let by = Envelope { who: KeyId(9), key: Digest(1), body: Digest(1), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().attempt(by, attempt.clone()).await.unwrap();
    let appeal = |code: String| json!({"code": code});
    let elsewhere = app.key_for(Role::Web, Museums::Only(vec![MARE])).await;
    // Of another museum: the answers are those to codes that nobody was given, to the letter.
    let never = AttemptId::new(day_of(now), 78);
    assert_eq!(alike(&app, &elsewhere, &attempt.id.to_string(), &never.to_string()).await, "unknown_case");
    let (carried, forged) = (app.node().files().unwrap().appeals.write(&attempt).unwrap(), format!("a1.{}", "0".repeat(200)));
    assert_eq!(alike(&app, &elsewhere, &carried, &forged).await, "unknown_case");
    let (status, received) = app.post("/v1/fraud/appeals", &web, "a", &appeal(attempt.id.to_string())).await;
    assert_eq!(
        (status, &received["state"], &received["due_at"]),
        (StatusCode::ACCEPTED, &json!("received"), &json!("2026-11-23T13:15:00Z")),
        "half an hour before the gate opens: {received}"
    );
    let (status, problem) = app.post("/v1/fraud/appeals", &web, "b", &appeal(attempt.id.to_string())).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("already_appealed")));
    for (key, code, status) in [("c", "000a000102r4e", 404), ("d", "hello", 422), ("e", "000a000102r4e0000000000000", 409)] {
        assert_eq!(app.post("/v1/fraud/appeals", &web, key, &appeal(code.to_owned())).await.0.as_u16(), status, "{code}");
    }
    // A sale whose tickets were blocked: the verdict stands until somebody has looked again.
    let sale = sell_assessed(&app, slot(TORRE, 15), 5, 70, Outcome::Review, 90).await;
    look(&app).await;
    // Nobody learns from that whether a sale is looked at: there is a case about the first, and none about the second.
    let other = sell_assessed(&app, slot(TORRE, 15), 6, 71, Outcome::Allow, 1).await;
    for (key, sale) in [("f", sale), ("h", other)] {
        let (status, problem) = app.post("/v1/fraud/appeals", &web, key, &appeal(sale.to_string())).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("nothing_to_appeal")), "{key}");
    }
    let say = |verdict: &str| json!({"verdict": verdict, "reason": "checked"});
    let path = case_path(sale);
    app.post(&format!("{path}/verdict"), &analyst, "v", &say("fraud")).await;
    assert_eq!(app.post("/v1/fraud/appeals", &web, "g", &appeal(sale.to_string())).await.0, StatusCode::ACCEPTED);
    look(&app).await;
    let queue = app.get("/v1/fraud/cases?state=appealed", &analyst).await;
    assert_eq!((&queue["items"][0]["subject"], at_gate(&app, sale, "1").await.as_str()), (&json!(sale.to_string()), "ticket_blocked"), "{queue}");
    let standing = |state: &str, due_at: &str| json!({"state": state, "due_at": due_at});
    let due_at = "2026-11-23T13:15:00Z";
    assert_eq!(app.get(&format!("/v1/fraud/appeals/{sale}"), &web).await, standing("received", due_at));
    let looked = app.post("/v1/fraud/appeal-lookups", &web, "none", &appeal(sale.to_string())).await;
    assert_eq!(looked, (StatusCode::OK, standing("received", due_at)), "the same without the code in an address");
    let (status, decided) = app.post(&format!("{path}/verdict"), &analyst, "w", &say("legit")).await;
    assert_eq!((status, at_gate(&app, sale, "2").await.as_str()), (StatusCode::OK, "too_early"), "{decided}");
    assert_eq!(
        app.get(&format!("/v1/fraud/appeals/{sale}"), &web).await,
        standing("granted", due_at),
        "the tickets are good, and nobody needs a pass"
    );
    look(&app).await;
    let total = &app.get("/v1/fraud/report", &analyst).await["total"];
    assert_eq!((&total["good_hurt"], &total["hurt_known"]), (&json!(1), &json!(1)), "an honest buyer was blocked");
    // The attempt was refused, and somebody finds that rightly so. That there is an appeal by now, and a case, is told to no key of another museum, nor of the sale.
    let about = format!("/v1/fraud/appeals/{}", attempt.id);
    let nothing = HoldId::new(slot(TORRE, 15), 7_777);
    for (given, never) in [(attempt.id.to_string(), never.to_string()), (carried, forged), (sale.to_string(), nothing.to_string())] {
        assert_eq!(alike(&app, &elsewhere, &given, &never).await, "unknown_case", "{given}");
    }
    let analyst_elsewhere = app.key_for(Role::Analyst, Museums::Only(vec![MARE])).await;
    let (theirs, none) = (case_path(sale), case_path(nothing));
    assert_eq!(answer(&app, Method::GET, &theirs, &analyst_elsewhere, None).await, answer(&app, Method::GET, &none, &analyst_elsewhere, None).await);
    for (what, body) in [("assign", json!({})), ("verdict", json!({"verdict": "legit", "reason": "checked"})), ("undo", json!(null))] {
        let of = async |path: &str| answer(&app, Method::POST, &format!("{path}/{what}"), &analyst_elsewhere, Some(&body)).await;
        let (status, problem) = of(&theirs).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_case")), "{what}");
        assert_eq!((status, problem), of(&none).await, "{what}");
    }
    let ids = [&theirs, &none].map(|path| path.rsplit_once('/').unwrap().1.to_owned());
    let many = json!({"cases": ids, "verdict": "legit", "reason": "checked"});
    let (_, outcome) = app.post("/v1/fraud/verdicts", &analyst_elsewhere, "many", &many).await;
    assert_eq!((&outcome["items"][0]["problem"], &outcome["items"][0]["decided"]), (&outcome["items"][1]["problem"], &json!(false)), "{outcome}");
    assert_eq!(outcome["items"][0]["problem"]["code"], "unknown_case", "{outcome}");
    assert_eq!(app.get(&about, &web).await, standing("received", due_at));
    let path = case_about(Subject::Attempt(attempt.id));
    assert_eq!(app.post(&format!("{path}/verdict"), &analyst, "x", &say("fraud")).await.0, StatusCode::OK);
    assert_eq!(app.get(&about, &web).await, standing("refused", due_at));
    look(&app).await;
    let total = &app.get("/v1/fraud/report", &analyst).await["total"];
    assert_eq!((&total["good_hurt"], &total["hurt_known"], total.get("refused_good")), (&json!(1), &json!(2), None), "{total}");
    for code in ["000a000102r4e", "000a000102r4e0000000000000", "hello", "a1.00"] {
        let asked = app.request(Method::GET, &format!("/v1/fraud/appeals/{code}"), &web).send().await.unwrap();
        assert_eq!(expect(asked, StatusCode::NOT_FOUND).await["code"], "unknown_case", "{code}");
    }
    app.stop().await;
}

/// What the case about that is.
pub fn case_about(subject: Subject) -> String {
    format!("/v1/fraud/cases/{}", cases::case_of(subject))
}

#[actix_rt::test]
async fn places_that_somebody_held_and_did_not_buy_are_a_case_about_whoever_held_them() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let mut holds = Vec::new();
    for (n, device, outcome) in [(1, 70, Outcome::Review), (2, 70, Outcome::Review), (3, 71, Outcome::Review), (4, 72, Outcome::StepUp)] {
        holds.push(hold_assessed(&app, fifteen, n, device, outcome).await);
        app.pass(1).await;
    }
    let bought = sell_assessed(&app, fifteen, 5, 73, Outcome::Review, 80).await;
    look(&app).await;
    let subjects = async |app: &App| {
        let page = app.get("/v1/fraud/cases", &analyst).await;
        let mut subjects: Vec<String> = page["items"].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()).collect();
        subjects.sort();
        subjects
    };
    let of = |holds: &[HoldId]| {
        let mut texts: Vec<String> = holds.iter().map(HoldId::to_string).collect();
        texts.sort();
        texts
    };
    assert_eq!(subjects(&app).await, of(&[bought]), "as long as places are held they may still be bought, and they stand");
    // One gives its places back, the others let their time pass.
    app.node().slot(fifteen, assessed(20, 71, Outcome::Allow, 0), Command::Release { hold: holds[2], owner: None }).await.unwrap();
    look(&app).await;
    assert_eq!(subjects(&app).await, of(&[bought, holds[2]]));
    app.pass(3_600).await;
    look(&app).await;
    assert_eq!(
        subjects(&app).await,
        of(&[bought, holds[2], holds[0]]),
        "one for each who held on a day; whoever was asked for a proof is read by nobody"
    );

    let path = case_about(Subject::Hold(holds[0]));
    let seen = app.get(&path, &analyst).await;
    assert_eq!((&seen["about"], &seen["hold"], &seen["sale"]), (&json!("hold"), &json!(holds[0].to_string()), &json!(null)), "{seen}");
    assert_eq!((&seen["origin"], &seen["state"], &seen["channel"]), (&json!("review"), &json!("open"), &json!("web")));
    let link = &seen["linked"][0];
    assert_eq!((&link["kind"], &link["others"], &link["subjects"]), (&json!("device"), &json!(1), &json!([holds[1].to_string()])), "{seen}");
    let page = app.get("/v1/fraud/cases", &analyst).await;
    let item = page["items"].as_array().unwrap().iter().find(|item| item["subject"] == holds[0].to_string()).unwrap();
    assert_eq!(item["expected_loss_cents"], 900, "two free places are worth ten euros: {page}");
    // A verdict is a label, and there is nothing to block.
    let (status, decided) = app.post(&format!("{path}/verdict"), &analyst, "v", &json!({"verdict": "fraud", "reason": "hoards"})).await;
    assert_eq!((status, &decided["labels"][0]["label"], &decided["acting"]), (StatusCode::OK, &json!("fraud"), &json!(false)), "{decided}");
    assert_eq!(app.get(&case_about(Subject::Hold(holds[2])), &analyst).await["linked"], json!([]), "another device");

    // Lists that are built again find the same ones, and on another day it is another case.
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(subjects(&app).await, of(&[bought, holds[2]]), "decided is not in the queue");
    app.pass(86_400).await;
    let wednesday = SlotId::new(MARE, slot(MARE, 15).route(), slot(MARE, 15).start().plus_seconds(2 * 86_400));
    let again = hold_assessed(&app, wednesday, 6, 70, Outcome::Review).await;
    app.pass(3_600).await;
    look(&app).await;
    assert!(subjects(&app).await.contains(&again.to_string()));
    let seen = app.get(&case_about(Subject::Hold(again)), &analyst).await;
    let fraud = seen["linked"].as_array().unwrap().iter().map(|link| link["fraud"].as_u64().unwrap()).max();
    assert_eq!(fraud, Some(1), "what was found of the same device is shown: {seen}");
    app.stop().await;
}
