//! What was said of commands over HTTP is said again from the journal and the folder of models alone: of the web and of desks, of what was done and what was refused, before and
//! after a restart.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::again::{Again, Wanted, say_again};
use tornello_actors::fraud::challenge::solve;
use tornello_actors::fraud::shelf::Shelf;
use tornello_actors::keys::Role;

use crate::routes_acting::{ask, bought, hoard, in_force, wanted};
use crate::support::{App, TORRE, slot};

/// Everything that was said is said again: nothing differs, and nothing is left out. Answers what came of it.
pub async fn all_is_said_again(app: &App) -> Again {
    let (journal, shelf) = (app.node().journal().as_ref(), Some(Shelf::in_folder(app.folder())));
    let again = say_again(journal, shelf, Wanted::All { told: 100 }, Sizes::default().parties).await.unwrap();
    assert!(again.told.is_empty() && again.left_out.is_empty(), "{:?} {:?}", again.told, again.left_out);
    assert_eq!((again.same, again.differ), (again.assessed, 0));
    again
}

async fn heard(app: &App) {
    app.node().scoring().counters().heard(app.node().head().number).await;
}

/// Asks for something that is done; answers what came of it.
async fn done(app: &App, key: &str, path: &str, name: &str, form: &Value) -> Value {
    heard(app).await;
    let (status, body) = app.post(path, key, name, form).await;
    assert!(status.is_success(), "{path}: {status} {body}");
    body
}

/// Asks for something that a rule refuses.
async fn refused(app: &App, key: &str, path: &str, name: &str, form: &Value) {
    heard(app).await;
    let (status, problem) = app.post(path, key, name, form).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("blocked_by_rule")), "{path}: {problem}");
}

fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("{field}: {body}"))
}

#[actix_rt::test]
async fn what_was_said_of_the_web_and_of_desks_follows_from_the_journal() {
    let app = App::start().await;
    let (web, desk, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::GroupOffice).await);
    let holds = |hour: i8| format!("/v1/slots/{}/holds", slot(TORRE, hour));
    let sales = |hour: i8| format!("/v1/slots/{}/sales", slot(TORRE, hour));

    // Who holds and does not buy is asked for work, and does it.
    hoard(&app, &web, slot(TORRE, 14), "spin", 6, 30).await;
    let (status, asked) = ask(&app, &web, slot(TORRE, 14), "once-more", "spin", None).await;
    assert_eq!((status, &asked["code"]), (StatusCode::FORBIDDEN, &json!("step_up_required")), "{asked}");
    let proof = solve(text(&asked, "challenge"), u8::try_from(asked["bits"].as_u64().unwrap()).unwrap());
    assert_eq!(ask(&app, &web, slot(TORRE, 14), "once-more", "spin", Some(&proof)).await.0, StatusCode::CREATED);

    // Bought over the web, given back in part at a desk (one ticket, which is named twice), and the rest moved.
    let sale = bought(&app, &web, slot(TORRE, 15), "maria@example.it", 2).await;
    done(&app, &desk, &format!("/v1/sales/{sale}/cancel"), "back", &json!({"tickets": [0, 0], "cause": "visitor"})).await;
    let there = json!({"slot": slot(TORRE, 16).to_string(), "tickets": [1]});
    done(&app, &web, &format!("/v1/sales/{sale}/move"), "move", &there).await;

    // A desk from its float to its count: sold and taken back, and paid for what was held.
    let till = done(&app, &desk, "/v1/tills", "open", &json!({"museum": "torre", "till": "till-1", "float_cents": 10_000})).await;
    let cash = json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": "till-1", "method": "cash", "reference": "R-1"}}});
    let sold = done(&app, &desk, &sales(15), "cash", &cash).await;
    done(&app, &desk, &format!("/v1/sales/{}/cancel", text(&sold, "sale")), "void", &json!({"cause": "museum"})).await;
    let hold = app.hold(slot(TORRE, 16), &office, "group", json!([{"category": "full", "count": 2}])).await;
    let paying = json!({"holds": [hold], "gateway": {"desk": {"till": "till-1", "method": "cash", "reference": "R-2"}}});
    done(&app, &office, "/v1/payments", "at-desk", &paying).await;
    done(&app, &office, &format!("/v1/sales/{hold}/cancel"), "part", &json!({"cause": "museum", "tickets": [0]})).await;
    done(&app, &desk, &format!("/v1/tills/{}/close", text(&till, "session")), "close", &json!({"counted_cents": 10_000})).await;

    // A payment that comes to nothing, and somebody who waits.
    let held = done(&app, &web, &holds(13), "luca", &wanted("luca", 1)).await;
    let by_card = |holds: &[&str]| json!({"holds": holds, "gateway": {"notice": {}}, "parties": [{"kind": "card", "value": "card-1"}]});
    let payment = done(&app, &web, "/v1/payments", "notice", &by_card(&[text(&held, "hold")])).await;
    done(&app, &web, &format!("/v1/payments/{}/cancel", text(&payment, "payment")), "off", &json!({})).await;
    for (count, name) in [(15, "h15"), (5, "h5")] {
        app.hold(slot(TORRE, 11), &web, name, json!([{"category": "full", "count": count}])).await;
    }
    done(&app, &web, &format!("/v1/slots/{}/waiting", slot(TORRE, 11)), "wait", &wanted("wait", 2)).await;

    // What rules refuse: to pay for the places of two, and to give back. Whoever held something before a restart buys it after that.
    let (anna, bruno) =
        (done(&app, &web, &holds(12), "anna", &wanted("anna", 1)).await, done(&app, &web, &holds(13), "bruno", &wanted("bruno", 2)).await);
    let many = bought(&app, &web, slot(TORRE, 15), "carla@example.it", 3).await;
    let free = json!({"lines": [{"category": "under-18", "count": 1}], "parties": [{"kind": "buyer", "value": "dora"}, {"kind": "device", "value": "d-dora"}]});
    let kept = done(&app, &web, &holds(12), "dora", &free).await;
    in_force(&app, "dear", json!([{"feature": "cents", "op": "at_least", "threshold_milli": 3_000_000}]), "block").await;
    refused(&app, &web, "/v1/payments", "both", &by_card(&[text(&anna, "hold"), text(&bruno, "hold")])).await;
    in_force(&app, "no-return", json!([{"feature": "people", "op": "at_least", "threshold_milli": 2_000}]), "block").await;
    refused(&app, &web, &format!("/v1/sales/{many}/cancel"), "all-back", &json!({"cause": "visitor"})).await;
    let before = all_is_said_again(&app).await;
    assert!(before.assessed >= 30 && before.carried == 1, "{before:?}");

    let app = app.restart().await;
    let dora = text(&kept, "hold");
    done(&app, &web, &format!("/v1/holds/{dora}/confirm"), "dora-buys", &json!({"settlement": {"free": {}}})).await;
    done(&app, &web, &format!("/v1/sales/{dora}/cancel"), "dora-back", &json!({"cause": "visitor"})).await;
    let (status, _) = app.ask(Method::DELETE, &format!("/v1/holds/{}", text(&anna, "hold")), &web, "anna-back", &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(all_is_said_again(&app).await.assessed, before.assessed + 2);
    app.stop().await;
}
