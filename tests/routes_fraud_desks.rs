//! Cases about desks, over HTTP: tickets that they take back, and counts of cash that are far off.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tornello_actors::keys::{Museums, Role};
use tornello_engine::case::Subject;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Outcome;
use tornello_engine::ids::HoldId;
use tornello_engine::money::Cents;
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Line, Settlement};
use tornello_engine::tariff::Proof;

use crate::routes_fraud::{assessed, case_about, lines, look};
use crate::support::{App, MARE, TORRE, code, slot};

#[actix_rt::test]
async fn tickets_that_a_desk_takes_back_are_a_case_about_the_desk() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let sold = |n: u64| {
        let settlement = Settlement::Desk { till: code("t"), method: DeskMethod::Cash, reference: "R".into() };
        let line = Line { price_cents: Cents::new(1_200), proof: Proof::None, category: code("full"), ..lines(2)[0].clone() };
        Command::SellDirect { sale: HoldId::new(fifteen, n), channel: Channel::BoxOffice, lines: vec![line], settlement, contact: None }
    };
    let back = |n: u64, cause| Command::Cancel { sale: HoldId::new(fifteen, n), owner: None, tickets: vec![], cause };
    for n in 1..=3 {
        app.node().slot(fifteen, assessed(n.into(), 70 + u128::from(n), Outcome::Allow, 5), sold(n)).await.unwrap();
    }
    let voided = app.node().slot(fifteen, assessed(11, 90, Outcome::Review, 66), back(1, CancelCause::Museum)).await.unwrap();
    // What a visitor asks for at the desk that sold it is the desk's doing as well; what nobody suspects is no case.
    let refunded = app.node().slot(fifteen, assessed(12, 91, Outcome::Review, 61), back(2, CancelCause::Visitor)).await.unwrap();
    app.node().slot(fifteen, assessed(13, 92, Outcome::Allow, 3), back(3, CancelCause::Museum)).await.unwrap();
    // The process ends before anybody has opened a case.
    let app = app.restart().await;
    look(&app).await;
    let page = app.get("/v1/fraud/cases?channel=box_office", &analyst).await;
    let suspected: Vec<_> = page["items"].as_array().unwrap().iter().filter(|item| item["origin"] == "review").collect();
    let subject = |n: u64, seq: u64| Subject::Return { sale: HoldId::new(fifteen, n), seq };
    let [first, second] = [subject(1, voided.seq), subject(2, refunded.seq)];
    let subjects: Vec<_> = suspected.iter().map(|item| item["subject"].as_str().unwrap().to_owned()).collect();
    assert_eq!(subjects, [first.to_string(), second.to_string()], "{page}");
    assert_eq!((&suspected[0]["amount_cents"], &suspected[0]["score"]), (&json!(2_400), &json!(66)));
    let seen = app.get(&case_about(first), &analyst).await;
    assert_eq!((&seen["about"], &seen["sale"], &seen["origin"]), (&json!("return"), &json!(HoldId::new(fifteen, 1).to_string()), &json!("review")));
    let linked = seen["linked"].as_array().unwrap();
    let operator = linked.iter().find(|link| link["kind"] == "operator" && link["depth"] == 1).unwrap();
    assert!(operator["subjects"].as_array().unwrap().contains(&json!(second.to_string())), "the operator's other return: {seen}");
    assert!(
        linked.iter().any(|link| link["kind"] == "device" && link["subjects"] == json!([HoldId::new(fifteen, 1).to_string()])),
        "whose sale it was: {seen}"
    );
    // It is decided, labelled and reported like any other; nothing is done to tickets that are gone.
    let say = json!({"verdict": "fraud", "reason": "kept-cash"});
    let (status, decided) = app.post(&format!("{}/verdict", case_about(first)), &analyst, "v", &say).await;
    assert_eq!((status, &decided["state"], &decided["acting"]), (StatusCode::OK, &json!("decided"), &json!(false)), "{decided}");
    assert_eq!((&decided["labels"][0]["label"], &decided["labels"][0]["source"]), (&json!("fraud"), &json!("verdict")));
    let report = app.until("/v1/fraud/report?days=28&museum=torre", &analyst, |report| report["total"]["decided"] == 1).await;
    assert_eq!(report["total"]["precision"], json!(1.0), "{report}");
    let (_, undone) = app.post(&format!("{}/undo", case_about(first)), &analyst, "u", &json!(null)).await;
    assert_eq!((&undone["state"], &undone["labels"]), (&json!("open"), &json!([])));
    // The lists can be built again without another case being opened.
    let before = app.until("/v1/fraud/cases", &analyst, |page| page["items"].as_array().is_some_and(|items| items.len() == 2)).await["items"].clone();
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], before);
    app.stop().await;
}

/// Opens a till with so many cents and closes it with as many as were counted; answers its session.
async fn count_cash(app: &App, desk: &str, key: &str, [float_cents, counted_cents]: [i64; 2]) -> String {
    let open = json!({"museum": "torre", "till": "till-1", "float_cents": float_cents});
    let (status, opened) = app.post("/v1/tills", desk, &format!("o{key}"), &open).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    let session = opened["session"].as_str().unwrap().to_owned();
    let close = format!("/v1/tills/{session}/close");
    let (status, closed) = app.post(&close, desk, &format!("c{key}"), &json!({"counted_cents": counted_cents})).await;
    assert_eq!(status, StatusCode::OK, "whatever is suspected, it is noted: {closed}");
    session
}

#[actix_rt::test]
async fn a_count_of_cash_that_is_far_off_is_a_case_about_whoever_counted() {
    let app = App::start().await;
    let (analyst, admin, desk) = (app.key(Role::Analyst).await, app.key(Role::Admin).await, app.key(Role::BoxOffice).await);
    let rule = json!({"name": "cash-gap", "when": [{"feature": "operator_gap_7d", "op": "at_least", "threshold_milli": 5_000_000}], "action": "review",
        "sentence_it": "Cassa lontana dal dovuto", "sentence_en": "Cash far from what is due"});
    assert_eq!(app.post("/v1/fraud/rules", &analyst, "draft", &rule).await.0, StatusCode::CREATED);
    assert_eq!(app.post("/v1/fraud/rules/cash-gap/activate", &admin, "go", &json!({"draft": 1})).await.0, StatusCode::OK);
    count_cash(&app, &desk, "1", [10_000, 9_800]).await;
    let short = count_cash(&app, &desk, "2", [10_000, 3_000]).await;
    look(&app).await;
    let page = app.get("/v1/fraud/cases?channel=box_office&museum=torre", &analyst).await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{page}");
    assert_eq!((&items[0]["subject"], &items[0]["amount_cents"]), (&json!(format!("till.{short}")), &json!(7_000)), "{page}");
    let path = case_about(Subject::Till(short.parse().unwrap()));
    let seen = app.get(&path, &analyst).await;
    assert_eq!((&seen["about"], &seen["till"], &seen["assessment"]["rules"]), (&json!("count"), &json!(short), &json!(["cash-gap"])), "{seen}");
    let operator = &seen["linked"][0];
    assert_eq!((&operator["kind"], &operator["others"]), (&json!("operator"), &json!(1)), "the same one counted before: {seen}");
    let (status, decided) = app.post(&format!("{path}/verdict"), &analyst, "v", &json!({"verdict": "legit", "reason": "bank-run"})).await;
    assert_eq!((status, &decided["labels"][0]["label"]), (StatusCode::OK, &json!("legit")), "{decided}");
    // A key for another museum sees none of it.
    let elsewhere = app.key_for(Role::Analyst, Museums::Only(vec![MARE])).await;
    assert_eq!(app.request(Method::GET, &path, &elsewhere).send().await.unwrap().status(), 404);
    app.stop().await;
}

/// Without any rule of the museum's own: a desk is guarded from the first day on.
#[actix_rt::test]
async fn a_built_in_rule_looks_at_a_desk_whose_cash_is_far_from_what_is_due() {
    let app = App::start().await;
    let (analyst, desk) = (app.key(Role::Analyst).await, app.key(Role::BoxOffice).await);
    count_cash(&app, &desk, "1", [100_000, 95_000]).await;
    let short = count_cash(&app, &desk, "2", [100_000, 60_000]).await;
    look(&app).await;
    let page = app.get("/v1/fraud/cases?channel=box_office&museum=torre", &analyst).await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["subject"]).collect::<Vec<_>>(), [&json!(format!("till.{short}"))], "fifty euros are none: {page}");
    let seen = app.get(&case_about(Subject::Till(short.parse().unwrap())), &analyst).await;
    assert_eq!(seen["assessment"]["rules"], json!(["desk-gap"]), "{seen}");
    let reasons: Vec<_> = seen["assessment"]["reasons"].as_array().unwrap().iter().map(|reason| &reason["code"]).collect();
    assert_eq!(reasons, [&json!("operator_gap_7d")], "nobody was in it: {seen}");
    // Whoever buys at that desk afterwards does not wait for anybody.
    let lines = json!([{"category": "under-18", "count": 2}]);
    let sold = json!({"lines": lines, "settlement": {"free": {}}});
    let (status, sale) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &desk, "sale", &sold).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let ticket = app.get(&format!("/v1/tickets/{}", sale["tickets"][0]["ticket"].as_str().unwrap()), &desk).await;
    assert_eq!((&ticket["state"], ticket.get("review_until")), (&json!("valid"), None), "{ticket}");
    app.stop().await;
}
