//! From verdicts to a model that acts, over HTTP: what analysts found is learned while the node runs, registered, put to work by somebody else, and says of the next
//! sales how likely fraud is; the queue is ordered by that.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tornello_actors::cases::{case_of, decide};
use tornello_actors::digest::digest_of_bytes;
use tornello_actors::fraud::fold::{Fold, Row};
use tornello_actors::fraud::{FEATURES, Outlet, SignalKind, Taking, hearing, signal_of};
use tornello_actors::keys::{Museums, Role};
use tornello_api::learning;
use tornello_engine::case::{LEGIT_DELAY_S, Subject, Verdict};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, Line, Settlement};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

use crate::routes_fraud::look;
use crate::routes_fraud_again::all_is_said_again;
use crate::support::{App, TORRE, code, plan, slot};

/// How many buy before anything is learned: every fourth on a device that others use too, which is what fraud is here. One honest buyer of seven does as well.
const BEFORE: u64 = 280;
/// By how much the time of what is learned is stretched: from minutes to years.
const STRETCHED: i64 = 100_000;

fn by(key: u128) -> Envelope {
    Envelope { who: KeyId(9), key: Digest(key), body: Digest(key), parties: vec![], assessment: None, order: None, formerly: Vec::new() }
}

const fn is_fraud(n: u64) -> bool {
    n.is_multiple_of(4)
}

fn parties(n: u64) -> Vec<Party> {
    let shared = is_fraud(n) || n.is_multiple_of(7);
    let device = if shared { 500 + u128::from(n % 6) } else { 100_000 + u128::from(n) };
    let buyer = Digest(1_000_000 + u128::from(n));
    vec![Party { kind: PartyKind::Buyer, pseudonym: buyer }, Party { kind: PartyKind::Device, pseudonym: Digest(device) }]
}

fn slot_of(n: u64) -> SlotId {
    slot(TORRE, 12 + (n % 7) as i8)
}

fn sale_of(n: u64) -> HoldId {
    HoldId::new(slot_of(n), n)
}

/// Somebody buys a free ticket, as a shop sells it: assessed, held, confirmed. Then staff ask for a review, so that there is a case whatever was suspected.
async fn buys(app: &App, n: u64) {
    let (node, key) = (app.node(), u128::from(n) * 10 + 100_000);
    node.scoring().counters().heard(node.head().number).await;
    let lines = vec![Line { category: code("under-18"), count: 1, price_cents: Cents::ZERO, proof: Proof::Age }];
    let mut envelope = Envelope { parties: parties(n), ..by(key) };
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, sale_of(n), &lines, &envelope);
    envelope.assessment = Some(Box::new(node.scoring().assess(&signal)));
    node.slot(slot_of(n), envelope, Command::Hold { hold: sale_of(n), channel: Channel::Web, lines }).await.unwrap();
    let sell = Command::Sell { hold: sale_of(n), owner: None, settlement: Settlement::Free, contact: None };
    node.slot(slot_of(n), by(key + 1), sell).await.unwrap();
    // What is reviewed already needs no second word.
    let _ = node.slot(slot_of(n), by(key + 2), Command::Review { sale: sale_of(n) }).await;
    app.clock.set(node.now().plus_seconds(5));
}

/// A case for each of some sales.
async fn opened(app: &App, sales: std::ops::Range<u64>) {
    look(app).await;
    for n in sales {
        app.node().look_case(case_of(Subject::Sale(sale_of(n))), |case| case.opened_at()).await.unwrap_or_else(|failure| panic!("{n}: {failure}"));
    }
}

fn model_form(name: &str, id: &str, card: &str) -> Value {
    json!({"kind": "fraud", "artifact": name, "checksum": id, "card": format!("{:032x}", { digest_of_bytes(card.as_bytes()).0 })})
}

#[actix_rt::test]
async fn what_analysts_found_is_learned_and_says_how_likely_fraud_is() {
    let app = App::start().await;
    let (analyst, manager) = (app.key(Role::Analyst).await, app.key(Role::Manager).await);
    let mut large = plan();
    for sessions in &mut large.routes[0].week {
        sessions.iter_mut().for_each(|session| session.capacity = 500);
    }
    app.set_plan(large).await;
    for n in 0..BEFORE {
        buys(&app, n).await;
        if n % 100 == 99 {
            opened(&app, n - 99..n + 1).await;
        }
    }
    opened(&app, 200..BEFORE).await;
    for n in 0..BEFORE {
        let verdict = if is_fraud(n) { Verdict::Fraud } else { Verdict::Legit };
        decide(app.node(), case_of(Subject::Sale(sale_of(n))), by(u128::from(n) * 10 + 900_000), verdict, code("known")).await.unwrap();
    }

    // Honesty is believed after 30 days. The node runs while its folder is read.
    let now = app.node().now();
    let too_soon = learning::learn(&learning::known(app.folder(), now).await.unwrap(), "now").unwrap_err().to_string();
    assert_eq!(too_soon, "50 cases of fraud and 50 of honest buyers are needed to learn from; there are 70 and 0");
    let mut known = learning::known(app.folder(), now.plus_seconds(31 * 86_400)).await.unwrap();
    assert!(known.labelled.iter().all(|example| example.settled));
    // All of it happened within minutes, so nothing was known before anything else: no model can be held against what came after it.
    let at_once = learning::learn(&known, "now").unwrap();
    assert!(at_once.card().unwrap().particulars.metrics.is_empty(), "{}", at_once.card);
    // As if it had happened over years, honesty known 30 days after each sale.
    let began = known.labelled[0].row.at_us;
    for example in &mut known.labelled {
        example.row.at_us = began + (example.row.at_us - began) * STRETCHED;
        let delay_s = if example.fraud { 0 } else { LEGIT_DELAY_S };
        example.trains_at = Timestamp::from_micros(example.row.at_us).plus_seconds(delay_s);
    }
    let artifact = learning::learn(&known, "now").unwrap();
    assert_eq!(artifact.model, learning::learn(&known, "later").unwrap().model, "the same bytes");
    let card = artifact.card().unwrap();
    let figure = |name: &str| card.particulars.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value).unwrap();
    assert!(figure("auc") > 0.9 && figure("brier") < figure("brier_of_always_the_same"), "{}", artifact.card);
    let mut rows = Vec::new();
    learning::write_rows(&known, &mut rows).unwrap();
    assert_eq!(rows.split(|byte| *byte == b'\n').count(), known.labelled.len() + 2, "a head, a line for each, and the end");

    // It is registered only as what stands there, and acts only by the word of another than who registered it.
    let form = model_form("verdicts-1", &card.id, &artifact.card);
    let (status, problem) = app.post("/v1/fraud/models", &analyst, "too-soon", &form).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "it does not stand there yet: {problem}");
    let name = code("verdicts-1");
    learning::shelve(app.folder(), name, &artifact).unwrap();
    assert!(learning::shelve(app.folder(), name, &artifact).is_err(), "nothing is written over");
    let own = learning::shelve(app.folder(), code("acting"), &artifact).unwrap_err().to_string();
    assert_eq!(own, "the folder of models uses the name acting itself: choose another one");
    // Whatever stands there, be it no model at all.
    let (half, started) = (code("half"), app.folder().join("models/fraud/half"));
    std::fs::create_dir_all(&started).unwrap();
    assert!(learning::shelve(app.folder(), half, &artifact).is_err() && std::fs::read_dir(&started).unwrap().next().is_none());
    let other = model_form("verdicts-1", &"0".repeat(32), &artifact.card);
    assert_eq!(app.post("/v1/fraud/models", &analyst, "other", &other).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(app.post("/v1/fraud/models", &analyst, "m", &form).await.0, StatusCode::CREATED);
    let kind = json!({"kind": "fraud"});
    assert_eq!(app.post("/v1/fraud/models/verdicts-1/challenge", &analyst, "c", &kind).await.0, StatusCode::OK);
    assert!(app.node().follow_models().await, "it is at work beside whatever acts");
    let promote = "/v1/fraud/models/verdicts-1/promote";
    let (status, problem) = app.post(promote, &manager, "p0", &kind).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_evidence")),
        "none acts that it could be held against: {problem}"
    );
    let typed = json!({"kind": "fraud", "evidence": {"labels": 60, "recall_milli": 900, "recall_before_milli": 0, "precision_milli": 900, "precision_before_milli": 0,
        "report": "0".repeat(32)}});
    assert_eq!(app.post(promote, &manager, "p1", &typed).await.1["code"], "invalid", "evidence is worked out, not written");
    let word = json!({"kind": "fraud", "overridden": "first-one"});
    let (status, promoted) = app.post(promote, &manager, "p2", &word).await;
    assert_eq!(
        (status, &promoted["items"][0]["stage"], &promoted["items"][0]["overridden"]),
        (StatusCode::OK, &json!("champion"), &json!("first-one"))
    );
    assert_eq!(promoted["items"][0]["evidence"]["labels"], 0, "{promoted}");
    assert!(app.node().follow_models().await);

    // What it says of the next sales is in their cases, and the queue goes by it.
    for n in BEFORE..BEFORE + 8 {
        buys(&app, n).await;
    }
    opened(&app, BEFORE..BEFORE + 8).await;
    let page = app.get("/v1/fraud/cases", &analyst).await;
    let items = page["items"].as_array().unwrap();
    let of = |n: u64| items.iter().position(|item| item["subject"] == sale_of(n).to_string()).unwrap_or_else(|| panic!("{n}: {page}"));
    let said = |n: u64| items[of(n)]["probability"].as_f64().unwrap_or_else(|| panic!("{n}: {page}"));
    for (fraud, honest) in [(BEFORE, BEFORE + 1), (BEFORE + 4, BEFORE + 2), (BEFORE + 4, BEFORE + 3)] {
        assert!(said(fraud) > 0.3 && said(honest) < 0.1, "{} and {}: {page}", said(fraud), said(honest));
        assert!(of(fraud) < of(honest), "the queue goes by it: {page}");
        // Free tickets are worth five euro each to whoever takes them.
        let expected = (500.0 * said(fraud)) as i64;
        assert!((items[of(fraud)]["expected_loss_cents"].as_i64().unwrap() - expected).abs() <= 1, "{page}");
    }
    // What it is fed since is held against what there was when it was made.
    let events_of = |report: &Value| report["feature_drift"]["events"].clone();
    let report = app.until("/v1/fraud/report", &analyst, |report| events_of(report) == 16).await;
    let (drift, web) = (&report["feature_drift"], &report["feature_drift"]["by_channel"][0]);
    assert_eq!((&drift["model"], &drift["unseen_share"]), (&json!("verdicts-1"), &json!(0.0)), "{report}");
    assert_eq!(
        (&web["channel"], &web["events"], &web["events_then"], &web["features"]),
        (&json!("web"), &json!(16), &json!(2 * BEFORE), &json!([])),
        "so few say nothing: {report}"
    );
    assert!(drift["made_until"].as_str() < drift["from"].as_str() && drift["from"].as_str() < drift["to"].as_str(), "{report}");
    let path = format!("/v1/fraud/cases/{}", case_of(Subject::Sale(sale_of(BEFORE))));
    assert_eq!(app.get(&path, &analyst).await["assessment"]["model"], "verdicts-1");

    // The next model has to be better by what became known since it challenges.
    let next = code("verdicts-2");
    learning::shelve(app.folder(), next, &artifact).unwrap();
    assert_eq!(app.post("/v1/fraud/models", &analyst, "m2", &model_form("verdicts-2", &card.id, &artifact.card)).await.0, StatusCode::CREATED);
    let (challenger, promote) = (app.key(Role::Manager).await, "/v1/fraud/models/verdicts-2/promote");
    let (status, problem) = app.post(promote, &manager, "p3", &kind).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_evidence")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("It does not challenge"), "{problem}");
    let since = app.node().now();
    assert_eq!(app.post("/v1/fraud/models/verdicts-2/challenge", &challenger, "c2", &kind).await.0, StatusCode::OK);
    assert!(app.node().follow_models().await);
    buys(&app, BEFORE + 8).await;
    // How often both would have had the same looked at is seen at once, without a label: of the hold and of its sale.
    let sum = |models: &Value| {
        let web = &models["beside"]["by_channel"][0];
        ["both", "champion_only", "challenger_only", "neither"].iter().filter_map(|count| web[count].as_u64()).sum::<u64>()
    };
    let models = app.until("/v1/fraud/models", &analyst, |models| sum(models) == 2).await;
    let beside = &models["beside"];
    assert_eq!((&beside["champion"], &beside["challenger"]), (&json!("verdicts-1"), &json!("verdicts-2")), "{models}");
    assert_eq!((&beside["by_channel"][0]["channel"], beside["by_channel"].get(1)), (&json!("web"), None), "{models}");
    assert_eq!(app.get("/v1/fraud/models?kind=demand", &analyst).await.get("beside"), None);
    // How much happens at all museums is not told to who looks into fraud at some of them.
    let local = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    assert_eq!(app.get("/v1/fraud/models", &local).await.get("beside"), None);
    let report = app.get("/v1/fraud/report", &local).await;
    assert!(report.get("feature_drift").is_none() && report["drift"].is_array(), "{report}");
    let shown = app.get("/v1/fraud/models/verdicts-2/evidence", &analyst).await;
    assert_eq!((&shown["deserved"], &shown["events"], &shown["evidence"]["labels"]), (&json!(false), &json!(2), &json!(0)), "{shown}");
    let now = app.node().now().to_string();
    assert_eq!((&shown["since"], &shown["from"], &shown["to"]), (&json!(since.to_string()), &json!(since.to_string()), &json!(now)), "{shown}");
    // What was found is said with the refusal.
    let (status, problem) = app.post(promote, &manager, "p4", &kind).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("too_few_labels")), "{problem}");
    assert_eq!((&problem["missing"], &problem["evidence"]["from"]), (&shown["missing"], &json!(since.to_string())), "{problem}");
    assert_eq!(problem["missing"], json!(["50 cases that proved to be fraud are needed among those of the window, and there are 0"]));

    // Over what they are compared can be chosen, within the time for which it challenges.
    let after = since.plus_seconds(1).to_string();
    let part = app.get(&format!("/v1/fraud/models/verdicts-2/evidence?from={after}&to={now}"), &analyst).await;
    assert_eq!((&part["events"], &part["since"], &part["from"]), (&json!(0), &json!(since.to_string()), &json!(after)), "{part}");
    let later = app.node().now().plus_seconds(1).to_string();
    let before = since.plus_seconds(-1).to_string();
    for (n, (from, to)) in [(&before, &now), (&after, &later), (&now, &after), (&"yesterday".to_owned(), &now)].into_iter().enumerate() {
        let windowed = json!({"kind": "fraud", "from": from, "to": to});
        let (status, problem) = app.post(promote, &manager, &format!("w{n}"), &windowed).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{from} to {to}: {problem}");
    }

    // Who let it challenge does not promote it, and whoever does says over what it was judged.
    let part = json!({"kind": "fraud", "overridden": "better", "from": after, "to": now});
    assert_eq!(app.post(promote, &challenger, "p5", &part).await.1["code"], "same_person");
    let (status, promoted) = app.post(promote, &manager, "p6", &part).await;
    assert_eq!(status, StatusCode::OK, "{promoted}");
    let model = &promoted["items"][1];
    assert_eq!((&model["artifact"], &model["stage"]), (&json!("verdicts-2"), &json!("champion")), "{promoted}");
    assert_eq!((&model["evidence"]["from"], &model["evidence"]["to"]), (&json!(after), &json!(now)), "{promoted}");

    // What was said of all who bought, by rules alone and then by the model that was registered, follows from the journal and the folder of models.
    let again = all_is_said_again(&app).await;
    assert_eq!((again.same, again.by_rules), (BEFORE + 9, BEFORE));
    app.stop().await;
}

#[actix_rt::test]
async fn scorers_that_never_act_are_compared_where_models_are_listed_by_what_became_known() {
    let app = App::start().await;
    let analyst = app.key(Role::Analyst).await;
    assert_eq!(app.get("/v1/fraud/models", &analyst).await.get("raced"), None, "nothing was fitted yet");
    for n in 0..2 {
        buys(&app, n).await;
    }
    opened(&app, 0..2).await;
    for (n, verdict) in [(0, Verdict::Fraud), (1, Verdict::Legit)] {
        decide(app.node(), case_of(Subject::Sale(sale_of(n))), by(u128::from(n) * 10 + 900_000), verdict, code("known")).await.unwrap();
    }
    look(&app).await;

    // The scorers are told of two thousand events two days ago, and of both sales and some others a moment before these had cases.
    let judge = app.node().scoring().judge();
    let now_us = app.node().now().plus_seconds(-60).as_micros();
    let row = |n: u64, at_us: i64, subject: u128| Row {
        at_us,
        subject,
        outlet: Outlet::Web,
        read_of: Some(Taking { role: hearing::role(PartyKind::Device), id: u128::from(n) }),
        features: (0..FEATURES.len() as u64).map(|feature| ((n * 31 + feature * 7) % 89) as f32 / 20.0).collect(),
    };
    let before: Vec<Row> = (0..2_100).map(|n| row(n, now_us - 2 * 86_400_000_000 + n as i64, u128::from(n))).collect();
    let sold = |n: u64| row(n, now_us - 3_600_000_000, sale_of(n).get());
    let heard: Vec<Row> = (0..2).map(sold).chain((2..50).map(|n| row(n, now_us - 3_600_000_000 + n as i64, u128::from(n)))).collect();
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    (fold["rows"], fold["seen"]) = (serde_json::to_value(&before).unwrap(), json!(2_100));
    judge.hear(heard, &serde_json::from_value(fold).unwrap());
    judge.settled().await;

    let models = app.get("/v1/fraud/models", &analyst).await;
    let raced = &models["raced"];
    assert_eq!((&raced["events"], &raced["frauds"], &raced["honest"]), (&json!(50), &json!(1), &json!(1)), "{models}");
    let scorers: Vec<&Value> = raced["shadows"].as_array().unwrap().iter().map(|shadow| &shadow["scorer"]).collect();
    assert_eq!(scorers, [&json!("robust_covariance"), &json!("isolation_forest"), &json!("tails")], "{models}");
    for shadow in raced["shadows"].as_array().unwrap() {
        assert!(shadow["found"]["recall"].is_number() && shadow["found"]["raised"].is_u64(), "{models}");
    }
    assert_eq!(app.get("/v1/fraud/models?kind=demand", &analyst).await.get("raced"), None);
    // Nor is it told to a key for some museums how much all of them sold, and what of it was fraud.
    let local = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    let told = app.get("/v1/fraud/models", &local).await;
    assert_eq!((told.get("raced"), told.get("beside"), &told["items"]), (None, None, &models["items"]), "{told}");

    // The model that the node fitted of these is two days old, and acts for a week.
    let stale = || async { app.get("/status", &analyst).await["scoring"]["stale"].clone() };
    assert!(raced["acting"].as_str().is_some_and(|acting| acting.starts_with("own-")), "{models}");
    assert_eq!(stale().await, Value::Null);
    app.clock.set(app.node().now().plus_seconds(6 * 86_400));
    assert_eq!(stale().await, "old_model");
    app.stop().await;
}
