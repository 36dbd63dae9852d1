//! What becomes of those who misuse the shop, over HTTP: each rule that refuses or asks for a step-up, and that whoever did nothing notices nothing. What is a proof, and
//! for what, is in `routes_acting_proofs`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::cases::case_of;
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::challenge::solve;
use tornello_actors::fraud::fold::{digest_of, replay_to};
use tornello_actors::journal::StreamId;
use tornello_actors::keys::Role;
use tornello_engine::attempts::{Aim, day_of};
use tornello_engine::case::Subject;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Outcome, Party, PartyKind};
use tornello_engine::ids::{AttemptId, HoldId, KeyId, PaymentId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{Command, Gateway, Item, Opened};
use tornello_engine::slot::{Event, Line};
use tornello_engine::tariff::Proof;

use crate::routes_fraud::{look, sell_assessed};
use crate::routes_fraud_again::all_is_said_again;
use crate::support::{App, TORRE, body_of, code, slot};

pub const HOUR_S: i64 = 3_600;

pub fn wanted(buyer: &str, count: u16) -> Value {
    json!({"lines": [{"category": "full", "count": count}], "parties": [{"kind": "buyer", "value": buyer}, {"kind": "device", "value": format!("d-{buyer}")}]})
}

/// Asks for places, with a proof if there is one, when the scorers have heard of all before.
pub async fn ask(app: &App, key: &str, slot: SlotId, name: &str, buyer: &str, proof: Option<&str>) -> (StatusCode, Value) {
    app.node().scoring().counters().heard(app.node().head().number).await;
    let mut request = app.request(Method::POST, &format!("/v1/slots/{slot}/holds"), key).header("Idempotency-Key", name).json(&wanted(buyer, 1));
    if let Some(proof) = proof {
        request = request.header("Step-Up-Proof", proof);
    }
    let response = request.send().await.unwrap();
    (response.status(), body_of(response).await)
}

/// Holds places and gives them back, so many times with a pause in between; as a bot that keeps places out of sale.
pub async fn hoard(app: &App, key: &str, slot: SlotId, buyer: &str, times: usize, pause_s: i64) {
    for i in 0..times {
        let (status, held) = ask(app, key, slot, &format!("{buyer}-{i}-{times}"), buyer, None).await;
        assert_eq!(status, StatusCode::CREATED, "{i}: {held}");
        let path = format!("/v1/holds/{}", held["hold"].as_str().unwrap());
        let (status, _) = app.ask(Method::DELETE, &path, key, &format!("{buyer}-{i}-{times}-back"), &Value::Null).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        app.pass(pause_s).await;
    }
}

#[actix_rt::test]
async fn too_many_holds_in_a_minute_are_refused_with_a_sentence_and_a_code_to_appeal() {
    let app = App::start().await;
    let (web, desk, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 11));
    // All at once, so that only their number speaks against them: they are bought, or it would be hoarding before. The last is not: buying it would be one too many.
    for i in 0..10 {
        let free = json!({"lines": [{"category": "under-18", "count": 1}], "parties": [{"kind": "buyer", "value": "bot"}]});
        let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, &format!("v-{i}"), &free).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
        if i < 9 {
            assert_eq!(app.post(&confirm, &web, &format!("c-{i}"), &json!({"settlement": {"free": {}}})).await.0, StatusCode::CREATED);
        }
    }
    let (status, problem) = ask(&app, &web, slot, "v-10", "bot", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    assert_eq!(
        (&problem["rules"][0]["rule"], &problem["rules"][0]["en"]),
        (&json!("velocity"), &json!("Too many places were asked for within a minute."))
    );
    assert!(problem["rules"][0]["it"].as_str().is_some_and(|it| !it.is_empty()) && problem["appeal"].as_str().is_some_and(|code| code.len() == 13));
    let again = ask(&app, &web, slot, "v-10", "bot", None).await.1;
    assert_eq!(again["appeal"], problem["appeal"], "the same request has one code");
    let attempt: AttemptId = problem["appeal"].as_str().unwrap().parse().unwrap();
    let figures = app.node().look_attempts(attempt.day(), move |attempts| attempts.get(attempt).and_then(|found| found.figures.clone()));
    let figures = figures.await.unwrap().expect("what was asked for is written with it, to learn from what an appeal brings out");
    assert_eq!((figures.aim, figures.people, figures.cents), (Aim::Hold, 1, Cents::new(1_200)));
    // What was done is answered as before; others, and people at a desk, notice nothing.
    assert_eq!(
        app.post(
            &format!("/v1/slots/{slot}/holds"),
            &web,
            "v-0",
            &json!({"lines": [{"category": "under-18", "count": 1}],
        "parties": [{"kind": "buyer", "value": "bot"}]})
        )
        .await
        .0,
        StatusCode::CREATED
    );
    assert_eq!(ask(&app, &web, slot, "family", "maria@example.it", None).await.0, StatusCode::CREATED);
    assert_eq!(ask(&app, &desk, slot, "desk", "bot", None).await.0, StatusCode::CREATED);
    app.pass(HOUR_S / 6).await;
    assert_eq!(ask(&app, &web, slot, "v-11", "bot", None).await.0, StatusCode::CREATED, "it is forgotten in minutes");
    app.stop().await;
}

/// Buys nine times within a minute and holds once more: one more is too many.
async fn rush(app: &App, key: &str, slot: SlotId, buyer: &str) {
    for i in 0..10 {
        let free = json!({"lines": [{"category": "under-18", "count": 1}], "parties": [{"kind": "buyer", "value": buyer}]});
        let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), key, &format!("{buyer}-{i}"), &free).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
        if i < 9 {
            let (status, sold) = app.post(&confirm, key, &format!("{buyer}-{i}-bought"), &json!({"settlement": {"free": {}}})).await;
            assert_eq!(status, StatusCode::CREATED, "{sold}");
        }
    }
}

/// The case about the attempt of an appeal's code.
fn case_of_code(code: &str) -> String {
    format!("/v1/fraud/cases/{}", case_of(Subject::Attempt(code.parse().unwrap())))
}

#[actix_rt::test]
async fn who_was_refused_and_is_found_honest_passes_the_same_rule_also_after_a_restart() {
    let app = App::start().await;
    let (web, analyst, slot) = (app.key(Role::Web).await, app.key(Role::Analyst).await, slot(TORRE, 11));
    rush(&app, &web, slot, "school").await;
    let (status, problem) = ask(&app, &web, slot, "more", "school", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    let code = problem["appeal"].as_str().unwrap().to_owned();
    let path = format!("/v1/fraud/appeals/{code}");
    let unknown = app.request(Method::GET, &path, &web).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND, "nobody has appealed");
    let made = app.post("/v1/fraud/appeals", &web, "appeal", &json!({"code": code})).await;
    assert_eq!((made.0, &made.1["state"]), (StatusCode::ACCEPTED, &json!("received")), "{}", made.1);
    assert_eq!(app.get(&path, &web).await, made.1);
    assert_eq!(ask(&app, &web, slot, "more", "school", None).await.0, StatusCode::FORBIDDEN, "an appeal alone opens nothing");
    let verdict = json!({"verdict": "legit", "reason": "school"});
    assert_eq!(app.post(&format!("{}/verdict", case_of_code(&code)), &analyst, "v", &verdict).await.0, StatusCode::OK);
    let standing = app.get(&path, &web).await;
    let mut names: Vec<&String> = standing.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["due_at", "passes_until", "state"], "nothing of whoever decided, nor of whom: {standing}");
    assert_eq!((&standing["state"], &standing["passes_until"]), (&json!("granted"), &json!("2026-11-30T08:30:00Z")));
    assert_eq!(app.post("/v1/fraud/appeals", &web, "appeal", &json!({"code": code})).await, made, "a repeat is told what the first was");
    assert_eq!(ask(&app, &web, slot, "more", "school", None).await.0, StatusCode::CREATED, "the same request");
    // It is a pass for them, and for nobody else.
    rush(&app, &web, self::slot(TORRE, 12), "scalper").await;
    assert_eq!(ask(&app, &web, self::slot(TORRE, 12), "scalper", "scalper", None).await.1["code"], "blocked_by_rule");
    let app = app.restart().await;
    assert_eq!(ask(&app, &web, slot, "after", "school", None).await.0, StatusCode::CREATED, "it follows from the journal");
    // Taken back, it is worth nothing.
    assert_eq!(app.post(&format!("{}/undo", case_of_code(&code)), &analyst, "u", &Value::Null).await.0, StatusCode::OK);
    assert_eq!(ask(&app, &web, slot, "undone", "school", None).await.1["code"], "blocked_by_rule");
    let app = app.restart().await;
    assert_eq!(ask(&app, &web, slot, "undone", "school", None).await.1["code"], "blocked_by_rule");
    // Whom rules spared they spare when it is said again.
    all_is_said_again(&app).await;
    app.stop().await;
}

#[actix_rt::test]
async fn who_is_refused_beyond_what_is_kept_carries_the_attempt_in_the_code() {
    let app = App::start().await;
    let (web, analyst, slot) = (app.key(Role::Web).await, app.key(Role::Analyst).await, slot(TORRE, 11));
    rush(&app, &web, slot, "school").await;
    let mut codes = Vec::new();
    for n in 0..22 {
        let (_, problem) = ask(&app, &web, slot, &format!("more-{n}"), "school", None).await;
        codes.push(problem["appeal"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned());
    }
    assert!(codes[..20].iter().all(|code| code.len() == 13) && codes[20..].iter().all(|code| code.starts_with("a2.")), "{codes:?}");
    let kept = async |app: &App| {
        let day = day_of(app.node().now());
        app.node().look_attempts(day, |attempts| attempts.entries().len()).await.unwrap()
    };
    assert_eq!(kept(&app).await, 20, "nothing is written of those that are carried");
    let app = app.restart().await;
    let code = codes[21].as_str();
    for _ in 0..2 {
        let (status, received) = app.post("/v1/fraud/appeals", &web, "appeal", &json!({"code": code})).await;
        assert_eq!((status, &received["state"]), (StatusCode::ACCEPTED, &json!("received")), "{received}");
    }
    assert_eq!(app.post("/v1/fraud/appeals", &web, "again", &json!({"code": code})).await.1["code"], "already_appealed");
    assert_eq!(kept(&app).await, 21, "it is written when it is appealed");
    look(&app).await;
    let queue = app.get("/v1/fraud/cases", &analyst).await["items"].clone();
    assert_eq!((queue.as_array().unwrap().len(), &queue[0]["origin"], &queue[0]["museum"]), (1, &json!("appeal"), &json!(1)), "{queue}");
    let case = format!("/v1/fraud/cases/{}", queue[0]["case"].as_str().unwrap());
    let seen = app.get(&case, &analyst).await;
    assert_eq!((&seen["about"], &seen["assessment"]["rules"]), (&json!("attempt"), &json!(["velocity"])), "{seen}");
    let verdict = json!({"verdict": "legit", "reason": "school"});
    assert_eq!(app.post(&format!("{case}/verdict"), &analyst, "v", &verdict).await.0, StatusCode::OK);
    assert_eq!(app.get(&format!("/v1/fraud/appeals/{code}"), &web).await["state"], "granted");
    assert_eq!(ask(&app, &web, slot, "passed", "school", None).await.0, StatusCode::CREATED);
    // What was changed is answered as a code of another museum is: as one that was never given.
    let forged = format!("{}{}", &code[..code.len() - 1], if code.ends_with('0') { '1' } else { '0' });
    assert_eq!(app.post("/v1/fraud/appeals", &web, "forged", &json!({"code": forged})).await.0, StatusCode::NOT_FOUND);
    app.stop().await;
}

#[actix_rt::test]
async fn one_device_that_throws_names_away_stands_in_the_queue_once() {
    let app = App::start().await;
    let (web, analyst, slot) = (app.key(Role::Web).await, app.key(Role::Analyst).await, slot(TORRE, 11));
    let holds = format!("/v1/slots/{slot}/holds");
    let asked = |n: usize, category: &str, count: u16| {
        let parties = json!([{"kind": "buyer", "value": format!("thrown-{n}@example.it")}, {"kind": "device", "value": "one"}]);
        json!({"lines": [{"category": category, "count": count}], "parties": parties})
    };
    for n in 0..10 {
        let (status, held) = app.post(&holds, &web, &format!("t-{n}"), &asked(n, "under-18", 1)).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        if n < 9 {
            let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
            let (status, sold) = app.post(&confirm, &web, &format!("c-{n}"), &json!({"settlement": {"free": {}}})).await;
            assert_eq!(status, StatusCode::CREATED, "{sold}");
        }
    }
    app.node().scoring().counters().heard(app.node().head().number).await;
    let mut codes = Vec::new();
    for n in 10..30 {
        let (_, problem) = app.post(&holds, &web, &format!("t-{n}"), &asked(n, "full", 10)).await;
        codes.push(problem["appeal"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned());
    }
    for (n, code) in codes.iter().enumerate() {
        let (status, received) = app.post("/v1/fraud/appeals", &web, &format!("a-{n}"), &json!({"code": code})).await;
        assert_eq!((status, &received["state"]), (StatusCode::ACCEPTED, &json!("received")), "{n}: {received}");
    }
    assert_eq!(app.post("/v1/fraud/appeals", &web, "again", &json!({"code": codes[7]})).await.1["code"], "already_appealed");
    look(&app).await;
    let queue = app.get("/v1/fraud/cases", &analyst).await["items"].clone();
    assert_eq!((queue.as_array().unwrap().len(), &queue[0]["origin"], &queue[0]["subject"]), (1, &json!("appeal"), &json!(codes[0])), "{queue}");
    let case = case_of_code(&codes[0]);
    let seen = app.get(&case, &analyst).await;
    let joined = seen["joined"].as_array().unwrap();
    assert_eq!((joined.len(), &joined[18]["attempt"], &joined[18]["same"]), (19, &json!(codes[19]), &json!(true)), "{seen}");
    assert_eq!(joined[0]["rules"], json!(["velocity"]), "{seen}");
    let verdict = json!({"verdict": "fraud", "reason": "bot"});
    assert_eq!(app.post(&format!("{case}/verdict"), &analyst, "v", &verdict).await.0, StatusCode::OK);
    let app = app.restart().await;
    for code in &codes {
        assert_eq!(app.get(&format!("/v1/fraud/appeals/{code}"), &web).await["state"], "refused", "{code}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn holds_that_are_not_bought_ask_for_work_and_then_are_refused() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    hoard(&app, &web, slot, "spin", 6, 30).await;
    let (status, problem) = ask(&app, &web, slot, "more", "spin", None).await;
    assert_eq!(
        (status, &problem["code"], &problem["ways"]),
        (StatusCode::FORBIDDEN, &json!("step_up_required"), &json!(["proof_of_work"])),
        "{problem}"
    );
    let proof = solved(&problem).await;
    // For another request it is worth nothing, nor damaged.
    let (_, other) = ask(&app, &web, slot, "another", "spin", Some(&proof)).await;
    assert_eq!((&other["code"], &other["proof"]), (&json!("step_up_required"), &json!("foreign")));
    let (_, damaged) = ask(&app, &web, slot, "more", "spin", Some(&format!("{proof}x"))).await;
    assert_eq!(damaged["code"], "step_up_required", "{damaged}");
    assert_eq!(ask(&app, &web, slot, "more", "spin", Some(&proof)).await.0, StatusCode::CREATED);
    assert_eq!(ask(&app, &web, slot, "more", "spin", None).await.0, StatusCode::CREATED, "a repeat is answered without");
    assert_eq!(ask(&app, &web, slot, "honest", "maria@example.it", None).await.0, StatusCode::CREATED);

    // Where no rule asks, as at a desk, they go on; over the web they are refused from then on.
    hoard(&app, &app.key(Role::BoxOffice).await, slot, "spin", 8, 30).await;
    let (_, problem) = ask(&app, &web, slot, "last", "spin", None).await;
    assert_eq!((&problem["code"], &problem["rules"][0]["rule"]), (&json!("blocked_by_rule"), &json!("hoarding")), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_counted_survives_the_turn_of_the_month_and_a_restart() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    // In the last minutes of November; a minute into December the pseudonym is another one, and the old one goes along for a week.
    app.pass(7 * 86_400 + 15 * HOUR_S + 25 * 60).await;
    let later = SlotId::new(TORRE, slot.route(), "2026-12-03T10:00:00Z".parse().unwrap());
    hoard(&app, &web, later, "spin", 6, 30).await;
    app.pass(180).await;
    let app = app.restart().await;
    let (_, problem) = ask(&app, &web, later, "december", "spin", None).await;
    assert_eq!(problem["code"], "step_up_required", "{problem}: it is {}", app.node().now());
    let status = app.get("/status", &web).await;
    assert_eq!((&status["scoring"]["caught_up"], &status["scoring"]["model"]), (&json!(true), &Value::Null), "{status}");
    app.stop().await;
}

/// Seven payments that come to nothing, of one buyer and device: each with a card of its own, or without any.
pub async fn fail_payments(app: &App, slot: SlotId, with_cards: bool) {
    let now = app.node().now();
    let line = Line { category: code("full"), count: 1, price_cents: Cents::new(1_200), proof: Proof::None };
    for i in 0..7_u64 {
        let party = |kind, value: &str| app.node().files().unwrap().pseudonymiser.party(kind, value, now);
        let mut parties = vec![party(PartyKind::Buyer, "tester"), party(PartyKind::Device, "d-tester")];
        if with_cards {
            parties.push(party(PartyKind::Card, &format!("card-{i}")));
        }
        let envelope = |key: u64| {
            let key = Digest(u128::from(key));
            Envelope { who: KeyId(9), key, body: key, parties: parties.clone(), assessment: None, order: None, formerly: Vec::new() }
        };
        let opened = Opened {
            who: KeyId(9),
            order: None,
            quote: None,
            channel: Channel::Web,
            items: vec![Item { hold: HoldId::new(slot, 100 + i), lines: vec![line.clone()], amount_cents: Cents::new(1_200) }],
            extras: Vec::new(),
            amount_cents: Cents::new(1_200),
            payer: None,
            museum: TORRE,
            subject: "Biglietti".to_owned(),
            gateway: Gateway::Notice,
            due_at: now.plus_seconds(900),
        };
        let payment = PaymentId::new(0, 1_000 + i);
        app.node().payment(payment, envelope(70_000 + 2 * i), Command::Open { opened: Box::new(opened) }).await.unwrap();
        app.node().payment(payment, envelope(70_001 + 2 * i), Command::FailPublish { code: code("declined") }).await.unwrap();
    }
    app.node().scoring().counters().heard(app.node().head().number).await;
}

#[actix_rt::test]
async fn cards_that_are_tried_one_after_the_other_are_stopped() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    fail_payments(&app, slot, true).await;
    let (status, problem) = ask(&app, &web, slot, "hold", "tester", None).await;
    assert_eq!(
        (status, &problem["code"], &problem["rules"][0]["rule"]),
        (StatusCode::FORBIDDEN, &json!("blocked_by_rule"), &json!("card-testing")),
        "{problem}"
    );
    assert_eq!(ask(&app, &web, slot, "honest", "maria@example.it", None).await.0, StatusCode::CREATED);
    app.stop().await;
}

#[actix_rt::test]
async fn many_free_tickets_are_sold_and_looked_at() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    let free = json!({"lines": [{"category": "under-18", "count": 8}], "parties": [{"kind": "buyer", "value": "scuola@example.it"}]});
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "hold", &free).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
    let (status, sale) = app.post(&confirm, &web, "confirm", &json!({"settlement": {"free": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "selling does not wait: {sale}");
    let records = tornello_actors::streams::all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    let sold = records.iter().find(|record| record.events.iter().any(|event| matches!(event, Event::Sold(_)))).unwrap();
    let assessment = sold.envelope.as_ref().unwrap().assessment.as_ref().unwrap();
    assert_eq!((assessment.outcome, assessment.rules.as_slice()), (Outcome::Review, &[code("price-zero")][..]));
    app.stop().await;
}

/// The work that a problem asks for, done: on a thread apart, so that connections that are ended meanwhile, as nobody used them for long, are not used again.
pub async fn solved(problem: &Value) -> String {
    assert_eq!(problem["code"], "step_up_required", "{problem}");
    let (challenge, bits) = (problem["challenge"].as_str().unwrap().to_owned(), u8::try_from(problem["bits"].as_u64().unwrap()).unwrap());
    actix_rt::task::spawn_blocking(move || solve(&challenge, bits)).await.unwrap()
}

#[actix_rt::test]
async fn a_rule_is_tried_before_anybody_puts_it_in_force() {
    let app = App::start().await;
    let (web, analyst, slot) = (app.key(Role::Web).await, app.key(Role::Analyst).await, slot(TORRE, 11));
    hoard(&app, &web, slot, "spin", 4, 30).await;
    let trial = |feature: &str| {
        json!({"rule": {"name": "strict", "when": [{"feature": feature, "op": "at_least", "threshold_milli": 2_000}], "action": "block",
            "sentence_it": "Troppe.", "sentence_en": "Too many."}})
    };
    let (status, tried) = app.post("/v1/fraud/rules/dry-run", &analyst, "none", &trial("person_holds_1h")).await;
    assert_eq!(status, StatusCode::OK, "{tried}");
    assert_eq!(["asked", "block", "stopped", "good"].map(|name| tried[name].as_u64()), [Some(4), Some(1), Some(1), Some(0)], "{tried}");
    let (status, problem) = app.post("/v1/fraud/rules/dry-run", &analyst, "none", &trial("shoe_size")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{problem}");
    let turn = app.node().scoring().trials().try_acquire().unwrap();
    let (status, problem) = app.post("/v1/fraud/rules/dry-run", &analyst, "none", &trial("person_holds_1h")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("busy")), "one at a time: {problem}");
    drop(turn);
    app.stop().await;
}

/// Puts a rule in force: drafted by an analyst, activated by a manager.
pub async fn in_force(app: &App, name: &str, when: Value, action: &str) {
    let rule = json!({"name": name, "when": when, "channels": ["web"], "action": action, "sentence_it": "Troppo.", "sentence_en": "Too much."});
    let (status, drafted) = app.post("/v1/fraud/rules", &app.key(Role::Analyst).await, &format!("draft-{name}"), &rule).await;
    assert_eq!(status, StatusCode::CREATED, "{drafted}");
    let activate = format!("/v1/fraud/rules/{name}/activate");
    let of_name = drafted["drafts"].as_array().unwrap().iter().find(|draft| draft["rule"]["name"] == name).unwrap();
    let read = json!({"draft": of_name["draft"]});
    let (status, active) = app.post(&activate, &app.key(Role::Manager).await, &format!("go-{name}"), &read).await;
    assert_eq!(status, StatusCode::OK, "{active}");
}

#[actix_rt::test]
async fn after_a_restart_a_hold_and_a_sale_are_still_of_the_buyer_who_was_named() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    let free = |buyer: &str| json!({"lines": [{"category": "under-18", "count": 2}], "parties": [{"kind": "buyer", "value": buyer}]});
    let unnamed = json!({"settlement": {"free": {}}});
    let (_, bought) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "honest", &free("maria@example.it")).await;
    let sale = bought["hold"].as_str().unwrap();
    assert_eq!(app.post(&format!("/v1/holds/{sale}/confirm"), &web, "bought", &unnamed).await.0, StatusCode::CREATED);
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let (status, kept) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "kept", &free("spin")).await;
    assert_eq!(status, StatusCode::CREATED, "{kept}");

    let app = app.restart().await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    // Whoever buys it names nobody: it is the one who held it and does not buy.
    let confirm = format!("/v1/holds/{}/confirm", kept["hold"].as_str().unwrap());
    let (status, problem) = app.post(&confirm, &web, "buy", &unnamed).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "{problem}");

    // All tickets of a sale go back, of a buyer who is known: as many people as still stand.
    let when =
        json!([{"feature": "people", "op": "at_least", "threshold_milli": 2_000}, {"feature": "anonymous", "op": "at_most", "threshold_milli": 0}]);
    in_force(&app, "known-return", when, "review").await;
    let (status, back) = app.post(&format!("/v1/sales/{sale}/cancel"), &web, "back", &json!({"cause": "visitor"})).await;
    assert_eq!(status, StatusCode::OK, "{back}");
    let records = tornello_actors::streams::all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    let cancelled = records.iter().find(|record| record.events.iter().any(|event| matches!(event, Event::Cancelled(_)))).unwrap();
    let assessment = cancelled.envelope.as_ref().unwrap().assessment.as_ref().unwrap();
    assert!(assessment.rules.contains(&code("known-return")), "{assessment:?}");
    app.stop().await;
}

/// Buys free places for somebody over the web, and answers the sale.
pub async fn bought(app: &App, key: &str, slot: SlotId, buyer: &str, count: u16) -> String {
    let parties = json!([{"kind": "buyer", "value": buyer}, {"kind": "device", "value": format!("d-{buyer}")}]);
    let free = json!({"lines": [{"category": "under-18", "count": count}], "parties": parties});
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), key, &format!("hold-{buyer}"), &free).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let sale = held["hold"].as_str().unwrap().to_owned();
    let (status, sold) = app.post(&format!("/v1/holds/{sale}/confirm"), key, &format!("buy-{buyer}"), &json!({"settlement": {"free": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    app.node().scoring().counters().heard(app.node().head().number).await;
    sale
}

/// The envelope of the first command of a slot that did what is looked for.
async fn envelope_of(app: &App, slot: SlotId, is_it: impl Fn(&Event) -> bool) -> Envelope {
    let records = tornello_actors::streams::all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    records.into_iter().find(|record| record.events.iter().any(&is_it)).unwrap().envelope.unwrap()
}

/// Money alone goes back where a cause is corrected: it counts for whoever does it as a ticket that they take back, and is assessed as it is heard.
#[actix_rt::test]
async fn a_clerk_who_corrects_a_cause_is_a_party_of_it() {
    let app = App::start().await;
    let (office, slot) = (app.key(Role::BoxOffice).await, slot(TORRE, 15));
    let desk = json!({"lines": [{"category": "full", "count": 3}], "settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{slot}/sales"), &office, "sell", &desk).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let id: HoldId = sold["sale"].as_str().unwrap().parse().unwrap();
    for (name, form) in [("back", json!({"tickets": [0, 1], "cause": "visitor"})), ("correct", json!({"cause": "museum", "corrects": true}))] {
        app.node().scoring().counters().heard(app.node().head().number).await;
        let (status, done) = app.post(&format!("/v1/sales/{id}/cancel"), &office, name, &form).await;
        assert_eq!(status, StatusCode::OK, "{done}");
    }
    let envelope = envelope_of(&app, slot, |event| matches!(event, Event::Cancelled(cancelled) if cancelled.tickets.is_empty())).await;
    assert_eq!(envelope.parties, [Party { kind: PartyKind::Operator, pseudonym: Digest(u128::from(envelope.who.get())) }]);
    let (fold, _) = replay_to(app.node().journal().as_ref(), app.node().head().number, Sizes::default().parties).await.unwrap();
    let row = fold.rows().filter(|row| row.subject == id.get()).last().unwrap();
    let heard = digest_of(row.features.as_slice().try_into().unwrap());
    assert_eq!(Some(heard), envelope.assessment.map(|assessment| assessment.features), "assessed as it is heard");
    app.stop().await;
}

#[actix_rt::test]
async fn a_clerk_who_gives_back_what_the_web_sold_is_a_party_of_it() {
    let app = App::start().await;
    let (web, office, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 15));
    let sale = bought(&app, &web, slot, "maria@example.it", 2).await;
    let cancel = format!("/v1/sales/{sale}/cancel");
    // The clerk takes back what they sold, so that there is something to be known of them.
    let desk = json!({"lines": [{"category": "full", "count": 2}], "settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{slot}/sales"), &office, "sell", &desk).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let own = format!("/v1/sales/{}/cancel", sold["sale"].as_str().unwrap());
    assert_eq!(app.post(&own, &office, "own", &json!({"cause": "museum"})).await.0, StatusCode::OK);
    app.node().scoring().counters().heard(app.node().head().number).await;
    let (status, back) = app.post(&cancel, &office, "back", &json!({"tickets": [0], "cause": "visitor"})).await;
    assert_eq!(status, StatusCode::OK, "{back}");
    let id: HoldId = sale.parse().unwrap();
    let envelope = envelope_of(&app, slot, |event| matches!(event, Event::Cancelled(cancelled) if cancelled.sale == id)).await;
    let clerk = Party { kind: PartyKind::Operator, pseudonym: Digest(u128::from(envelope.who.get())) };
    assert_eq!(envelope.parties, [clerk]);
    let (fold, _) = replay_to(app.node().journal().as_ref(), app.node().head().number, Sizes::default().parties).await.unwrap();
    let row = fold.rows().filter(|row| row.subject == id.get()).last().unwrap();
    let heard = digest_of(row.features.as_slice().try_into().unwrap());
    assert_eq!(Some(heard), envelope.assessment.map(|assessment| assessment.features), "assessed as it is heard");
    app.stop().await;
}

#[actix_rt::test]
async fn tickets_of_a_quiet_slot_are_no_way_into_a_full_one_past_the_rules() {
    let app = App::start().await;
    let (web, quiet, rush) = (app.key(Role::Web).await, slot(TORRE, 12), slot(TORRE, 15));
    let sale = bought(&app, &web, quiet, "spin", 1).await;
    hoard(&app, &web, rush, "spin", 6, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let path = format!("/v1/sales/{sale}/move");
    let there = json!({"slot": rush.to_string()});
    // Whoever moves names nobody: it is the one who bought.
    let (status, problem) = app.post(&path, &web, "move", &there).await;
    assert_eq!(
        (status, &problem["code"], &problem["ways"]),
        (StatusCode::FORBIDDEN, &json!("step_up_required"), &json!(["proof_of_work"])),
        "{problem}"
    );
    // A key under which something was held in the full slot is another request's: it is the quiet one that remembers moves.
    let (status, other) = app.post(&path, &web, "spin-0-6", &there).await;
    assert_eq!((status, &other["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "{other}");
    let proof = solve(problem["challenge"].as_str().unwrap(), u8::try_from(problem["bits"].as_u64().unwrap()).unwrap());
    let proven = app.request(Method::POST, &path, &web).header("Idempotency-Key", "move").header("Step-Up-Proof", proof).json(&there);
    let response = proven.send().await.unwrap();
    let (status, moved) = (response.status(), body_of(response).await);
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(app.post(&path, &web, "move", &there).await, (StatusCode::OK, moved), "a repeat is answered without");
    let envelope = envelope_of(&app, quiet, |event| matches!(event, Event::MoveBegun(_))).await;
    assert!(envelope.assessment.is_some_and(|assessment| assessment.rules.contains(&code("unsold-holds"))));
    // At a desk somebody sees who is there.
    let other = bought(&app, &web, quiet, "maria@example.it", 1).await;
    let office = app.key(Role::BoxOffice).await;
    in_force(&app, "nobody-moves", json!([{"feature": "people", "op": "at_least", "threshold_milli": 1_000}]), "block").await;
    let path = format!("/v1/sales/{other}/move");
    let (status, problem) = app.post(&path, &web, "other", &there).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    let attempt: AttemptId = problem["appeal"].as_str().unwrap().parse().unwrap();
    let noted = app.node().look_attempts(attempt.day(), move |attempts| attempts.get(attempt).cloned()).await.unwrap().unwrap();
    assert_eq!((noted.slot, noted.people, noted.parties.len()), (Some(rush), 1, 2), "where they would have gone, and whose they are");
    assert_eq!(app.post(&path, &office, "desk", &there).await.0, StatusCode::OK);
    app.stop().await;
}

#[actix_rt::test]
async fn after_a_restart_a_hold_is_still_of_the_device_that_held_it() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    hoard(&app, &web, slot, "spin", 5, 30).await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    // Another name on the same browser.
    let free = json!({"lines": [{"category": "under-18", "count": 2}],
        "parties": [{"kind": "buyer", "value": "new@example.it"}, {"kind": "device", "value": "d-spin"}]});
    let (status, kept) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "kept", &free).await;
    assert_eq!(status, StatusCode::CREATED, "{kept}");
    let app = app.restart().await;
    app.node().scoring().counters().heard(app.node().head().number).await;
    let confirm = format!("/v1/holds/{}/confirm", kept["hold"].as_str().unwrap());
    let (status, problem) = app.post(&confirm, &web, "buy", &json!({"settlement": {"free": {}}})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_waited_is_remembered_for_when_the_offer_is_bought() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    for (count, name) in [(15, "h15"), (5, "h5")] {
        app.hold(slot, &web, name, json!([{"category": "full", "count": count}])).await;
    }
    let (status, joined) = app.post(&format!("/v1/slots/{slot}/waiting"), &web, "wait", &wanted("spin", 2)).await;
    assert_eq!(status, StatusCode::CREATED, "{joined}");
    let entry: HoldId = joined["entry"].as_str().unwrap().parse().unwrap();
    let waited = app.node().scoring().held(entry).expect("an entry is remembered like a hold");
    assert_eq!((waited.channel, waited.lines[0].count, waited.parties.len()), (Channel::Web, 2, 2), "{waited:?}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_refused_payment_is_noted_with_all_that_was_to_be_paid() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    in_force(&app, "dear", json!([{"feature": "cents", "op": "at_least", "threshold_milli": 3_000_000}]), "block").await;
    let held = async |hour: i8, name: &str, count: u16| {
        let (status, held) = app.post(&format!("/v1/slots/{}/holds", slot(TORRE, hour)), &web, name, &wanted(name, count)).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        held["hold"].as_str().unwrap().to_owned()
    };
    hoard(&app, &web, slot(TORRE, 14), "luca", 2, 30).await;
    let holds = [held(12, "maria", 1).await, held(13, "luca", 2).await];
    let pay = async |name: &'static str| {
        app.node().scoring().counters().heard(app.node().head().number).await;
        let paying = json!({"holds": holds, "gateway": {"notice": {}}, "parties": [{"kind": "card", "value": "card-1"}]});
        let (status, problem) = app.post("/v1/payments", &web, name, &paying).await;
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
        let attempt: AttemptId = problem["appeal"].as_str().unwrap().parse().unwrap();
        app.node().look_attempts(attempt.day(), move |attempts| attempts.get(attempt).cloned()).await.unwrap().unwrap()
    };
    let noted = pay("pay").await;
    assert_eq!((noted.amount_cents, noted.people), (Cents::new(3_600), 3), "what is at stake is more than its first hold");
    let kinds: Vec<PartyKind> = noted.parties.iter().map(|party| party.kind).collect();
    let [card, buyer, device] = [PartyKind::Card, PartyKind::Buyer, PartyKind::Device];
    assert_eq!(kinds, [card, buyer, device, buyer, device], "who pays, and who held the places of each hold");
    // Nobody is covered by whoever held the first of them.
    in_force(&app, "leaves-holds", json!([{"feature": "person_unsold_1h", "op": "at_least", "threshold_milli": 1_500}]), "block").await;
    assert!(pay("pay-again").await.assessment.is_some_and(|assessment| assessment.rules.contains(&code("leaves-holds"))));
    app.stop().await;
}

#[actix_rt::test]
async fn a_refused_return_is_noted_with_how_many_would_have_come_back() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let free = json!({"lines": [{"category": "under-18", "count": 3}], "parties": [{"kind": "buyer", "value": "maria@example.it"}]});
    let (_, held) = app.post(&format!("/v1/slots/{}/holds", slot(TORRE, 15)), &web, "hold", &free).await;
    let sale = held["hold"].as_str().unwrap();
    let (status, sold) = app.post(&format!("/v1/holds/{sale}/confirm"), &web, "buy", &json!({"settlement": {"free": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    in_force(&app, "no-return", json!([{"feature": "people", "op": "at_least", "threshold_milli": 2_000}]), "block").await;
    let (status, problem) = app.post(&format!("/v1/sales/{sale}/cancel"), &web, "back", &json!({"cause": "visitor"})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    let attempt: AttemptId = problem["appeal"].as_str().unwrap().parse().unwrap();
    let people = app.node().look_attempts(attempt.day(), move |attempts| attempts.get(attempt).map(|found| found.people)).await.unwrap();
    assert_eq!(people, Some(3));
    // The museum takes them back whatever rules say of whoever bought them.
    let office = app.key(Role::BoxOffice).await;
    let (status, back) = app.post(&format!("/v1/sales/{sale}/cancel"), &office, "closed", &json!({"cause": "museum"})).await;
    assert_eq!(status, StatusCode::OK, "{back}");
    app.stop().await;
}

/// What holds by itself refuses places to whoever asks for too many in a minute, and does not keep them from giving some back.
#[actix_rt::test]
async fn whoever_is_refused_places_gives_theirs_back_all_the_same() {
    let app = App::start().await;
    let (web, fifteen) = (app.key(Role::Web).await, slot(TORRE, 15));
    let sale = bought(&app, &web, fifteen, "maria@example.it", 1).await;
    app.pass(HOUR_S / 6).await;
    rush(&app, &web, fifteen, "maria@example.it").await;
    let (status, problem) = ask(&app, &web, fifteen, "more", "maria@example.it", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{problem}");
    let (status, back) = app.post(&format!("/v1/sales/{sale}/cancel"), &web, "back", &json!({"cause": "visitor"})).await;
    assert_eq!(status, StatusCode::OK, "{back}");
    let envelope = envelope_of(&app, fifteen, |event| matches!(event, Event::Cancelled(_))).await;
    let said = envelope.assessment.unwrap();
    assert_eq!((said.outcome, said.rules.contains(&code("velocity"))), (Outcome::Review, true), "{said:?}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_verdict_reaches_tickets_where_they_have_moved_and_whoever_has_them_appeals() {
    let app = App::start().await;
    let (web, office, analyst) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Analyst).await);
    let sale = sell_assessed(&app, slot(TORRE, 15), 1, 70, Outcome::Review, 60).await;
    look(&app).await;
    let path = format!("/v1/fraud/cases/{}", case_of(Subject::Sale(sale)));
    let decide = async |verdict: &str| {
        let body = json!({"verdict": verdict, "reason": "known"});
        let (status, case) = app.post(&format!("{path}/verdict"), &analyst, verdict, &body).await;
        assert_eq!(status, StatusCode::OK, "{case}");
    };
    decide("legit").await;
    let there = json!({"slot": slot(TORRE, 16).to_string(), "tickets": [0]});
    let (status, moved) = app.post(&format!("/v1/sales/{sale}/move"), &office, "move", &there).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    let arrival: HoldId = moved["sale"].as_str().unwrap().parse().unwrap();
    let (status, undone) = app.post(&format!("{path}/undo"), &analyst, "undo", &Value::Null).await;
    assert_eq!((status, &undone["moved_to"]), (StatusCode::OK, &json!([arrival.to_string()])), "{undone}");
    decide("fraud").await;
    for (ticket, expected) in [(sale.ticket(0), "moved"), (sale.ticket(1), "blocked"), (arrival.ticket(0), "blocked")] {
        assert_eq!(app.get(&format!("/v1/tickets/{ticket}"), &office).await["state"], expected, "{ticket}");
    }
    let (status, appeal) = app.post("/v1/fraud/appeals", &web, "appeal", &json!({"code": arrival.to_string()})).await;
    assert_eq!((status, &appeal["state"]), (StatusCode::ACCEPTED, &json!("received")), "{appeal}");
    assert_eq!(app.get(&path, &analyst).await["state"], "appealed");
    assert_eq!(app.get(&format!("/v1/fraud/appeals/{arrival}"), &web).await["state"], "received", "it is read by the same code");
    app.stop().await;
}
