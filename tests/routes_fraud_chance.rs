//! What chance picks for analysts of what nobody suspected: which, when, in which place of the queue, and what it stands for.

use reqwest::StatusCode;
use serde_json::json;
use tornello_actors::keys::Role;
use tornello_actors::views::fraud::is_picked;
use tornello_engine::attempts::{Attempt, Ending, day_of};
use tornello_engine::case::Subject;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Outcome};
use tornello_engine::ids::{AttemptId, HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{CancelCause, Command};
use tornello_engine::time::Timestamp;

use crate::routes_fraud::{assessed, case_about, lines, look, sell_assessed};
use crate::support::{App, TORRE, slot};

/// Whether chance picks the sale of that number.
fn is_drawn(slot: SlotId, n: u64) -> bool {
    is_picked(Subject::Sale(HoldId::new(slot, n)))
}

#[actix_rt::test]
async fn chance_picks_from_an_hour_that_is_over_and_from_all_of_it_alike() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let is_drawn = |n: &u64| is_drawn(fifteen, *n);
    let drawn: Vec<u64> = (1..1_000).filter(is_drawn).take(5).collect();
    let spared = (1..1_000).find(|n| !is_drawn(n)).unwrap();
    let mut sales = Vec::new();
    for n in &drawn[..3] {
        sales.push(sell_assessed(&app, fifteen, *n, 70, Outcome::Allow, 5).await.to_string());
    }
    sell_assessed(&app, fifteen, spared, 70, Outcome::Allow, 5).await;
    app.pass(1_200).await;
    for n in &drawn[3..] {
        sales.push(sell_assessed(&app, fifteen, *n, 70, Outcome::Allow, 5).await.to_string());
    }
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], json!([]), "the hour is not over");
    // Five minutes past the next hour: those that came first have taken no place from the others.
    app.pass(900).await;
    look(&app).await;
    let cases = app.get("/v1/fraud/cases", &analyst).await["items"].clone();
    let mut about: Vec<&str> = cases.as_array().unwrap().iter().map(|case| case["subject"].as_str().unwrap()).collect();
    about.sort_unstable();
    sales.sort_unstable();
    assert_eq!(about, sales, "{cases}");
    assert!(cases.as_array().unwrap().iter().all(|case| case["origin"] == "picked"), "{cases}");
    // Chance picks the same ones again, also from lists that were built anew.
    let app = app.restart_without_views().await;
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], cases);
    app.stop().await;
}

#[actix_rt::test]
async fn one_of_the_refused_attempts_is_looked_at_by_chance() {
    let app = App::start().await;
    let (analyst, now) = (app.key(Role::Analyst).await, app.node().now());
    let id = |n: u64| AttemptId::new(day_of(now), n);
    let picked = (1..10_000).find(|n| is_picked(Subject::Attempt(id(*n)))).unwrap();
    let spared = (1..10_000).find(|n| !is_picked(Subject::Attempt(id(*n)))).unwrap();
    // One that was only asked for a proof was not refused.
    let unproven = (picked + 1..10_000).find(|n| is_picked(Subject::Attempt(id(*n)))).unwrap();
    for (n, ending) in [(picked, Ending::Blocked), (spared, Ending::Blocked), (unproven, Ending::Abandoned)] {
        let attempt = Attempt {
            id: id(n),
            at: now,
            channel: Channel::Web,
            museum: TORRE,
            slot: Some(slot(TORRE, 15)),
            people: 2,
            amount_cents: Cents::new(2_400),
            parties: vec![],
            assessment: None,
            ending,
            figures: None,
        };
        let key = Digest(u128::from(n));
        let by = Envelope { who: KeyId(9), key, body: key, parties: vec![], assessment: None, order: None, formerly: Vec::new() };
        app.node().attempt(by, attempt).await.unwrap();
    }
    look(&app).await;
    assert_eq!(app.get("/v1/fraud/cases", &analyst).await["items"], json!([]), "the hour is not over");
    app.pass(3_600).await;
    look(&app).await;
    let cases = app.get("/v1/fraud/cases", &analyst).await["items"].clone();
    assert_eq!(cases.as_array().unwrap().len(), 1, "{cases}");
    assert_eq!((&cases[0]["subject"], &cases[0]["origin"]), (&json!(id(picked).to_string()), &json!("picked")), "{cases}");
    let path = case_about(Subject::Attempt(id(picked)));
    let honest = json!({"verdict": "legit", "reason": "family"});
    assert_eq!(app.post(&format!("{path}/verdict"), &analyst, "v", &honest).await.0, StatusCode::OK);
    look(&app).await;
    let report = app.get("/v1/fraud/report", &analyst).await;
    let total = &report["total"];
    assert_eq!((&total["good_hurt"], &total["hurt_known"], &total["refused_good"]), (&json!(1), &json!(1), &json!(1.0)), "{total}");
    assert_eq!((&report["blocked_attempts"], total.get("recall")), (&json!(2), None), "it says nothing of what nobody suspected: {total}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_chance_has_picked_stands_among_the_others_by_lot() {
    let app = App::start().await;
    let (analyst, fifteen) = (app.key(Role::Analyst).await, slot(TORRE, 15));
    let is_drawn = |n: &u64| is_drawn(fifteen, *n);
    let spared: Vec<u64> = (1..1_000).filter(|n| !is_drawn(n)).take(3).collect();
    for (n, score) in spared.iter().zip([90, 80, 70]) {
        sell_assessed(&app, fifteen, *n, 70, Outcome::Review, score).await;
    }
    look(&app).await;
    for n in (1..1_000).filter(is_drawn).take(6) {
        sell_assessed(&app, fifteen, n, 71, Outcome::Allow, 1).await;
    }
    app.pass(3_600).await;
    look(&app).await;
    let mut read = Vec::new();
    let mut path = "/v1/fraud/cases?limit=2".to_owned();
    loop {
        let page = app.get(&path, &analyst).await;
        read.extend(page["items"].as_array().unwrap().iter().map(|case| (case["origin"] == "picked", case["expected_loss_cents"].clone())));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/fraud/cases?limit=2&cursor={cursor}");
    }
    assert_eq!((read.len(), read.iter().filter(|(picked, _)| *picked).count()), (9, 6), "{read:?}");
    // By what they may cost, ten cents, they would all be last.
    assert!(read.iter().filter(|(picked, _)| *picked).all(|(_, loss)| *loss == 10), "{read:?}");
    assert!(read.iter().rposition(|(picked, _)| !picked) > Some(2), "some stand before the last of the others: {read:?}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_picked_stands_for_what_could_have_been() {
    let app = App::start().await;
    let fifteen = slot(TORRE, 15);
    let honest = sell_assessed(&app, fifteen, 1, 70, Outcome::Allow, 5).await;
    sell_assessed(&app, fifteen, 2, 71, Outcome::Review, 60).await;
    // Held and never bought: chance picks sales, not holds.
    let hold = Command::Hold { hold: HoldId::new(fifteen, 3), channel: Channel::Web, lines: lines(2) };
    app.node().slot(fifteen, assessed(3, 72, Outcome::Allow, 5), hold).await.unwrap();
    look(&app).await;
    assert_eq!(app.node().files().unwrap().views.unsuspected(Timestamp::MIN).await.unwrap()["web"], 1);
    let back = Command::Cancel { sale: honest, owner: None, tickets: vec![], cause: CancelCause::Museum };
    app.node().slot(fifteen, assessed(4, 73, Outcome::Allow, 5), back).await.unwrap();
    look(&app).await;
    assert_eq!(app.node().files().unwrap().views.unsuspected(Timestamp::MIN).await.unwrap()["web"], 2, "a return is picked by itself");
    app.stop().await;
}
