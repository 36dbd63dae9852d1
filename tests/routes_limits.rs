//! What one buyer may have over HTTP: in a slot, at once, and of a day, however and in whichever month it is bought.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::journal::StreamId;
use tornello_actors::keys::Role;
use tornello_actors::streams::all_of;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::{RouteId, SlotId};
use tornello_engine::slot::Event;
use tornello_engine::time::Timestamp;

use crate::support::{App, TORRE, code, plan, slot};

#[actix_rt::test]
async fn one_buyer_has_so_much_and_no_more() {
    let app = App::start().await;
    let (web, fifteen, sixteen) = (app.key(Role::Web).await, slot(TORRE, 15), slot(TORRE, 16));
    let mut plan = plan();
    let limits = &mut plan.routes[0].policy.limits;
    (limits.tickets_max, limits.holds_max, limits.day_max) = (Some(4), Some(2), Some(6));
    app.set_plan(plan).await;
    let hold = |count: u32, buyer: &str| json!({"lines": [{"category": "full", "count": count}], "parties": [{"kind": "buyer", "value": buyer}]});
    let path = |slot: SlotId| format!("/v1/slots/{slot}/holds");
    let cases = [
        (fifteen, "1", 3, "anna@example.it", 201, ""),
        (fifteen, "2", 2, "Anna@example.it", 409, "too_many_for_buyer"),
        (fifteen, "3", 2, "bruno@example.it", 201, ""),
        (fifteen, "4", 1, "anna@example.it", 201, ""),
        (fifteen, "5", 1, "bruno@example.it", 201, ""),
        (fifteen, "6", 1, "bruno@example.it", 409, "too_many_open_holds"),
        (sixteen, "7", 3, "anna@example.it", 409, "too_many_for_day"),
        // Of which slot a hold is makes no difference, nor how its buyer is written.
        (sixteen, "8", 2, "anna@example.it", 409, "too_many_open_holds"),
        (sixteen, "9", 2, "carla@example.it", 201, ""),
        (fifteen, "10", 2, " Carla@ example.it", 201, ""),
        (sixteen, "11", 1, "CARLA@EXAMPLE.IT", 409, "too_many_open_holds"),
        // Mail to a name with a plus may go to somebody else.
        (sixteen, "12", 1, "carla+museum@example.it", 201, ""),
        (fifteen, "1", 3, "anna@example.it", 201, ""),
    ];
    for (slot, key, count, buyer, status, expected) in cases {
        let (found, answer) = app.post(&path(slot), &web, key, &hold(count, buyer)).await;
        assert_eq!((found.as_u16(), answer["code"].as_str().unwrap_or_default()), (status, expected), "{key}: {answer}");
    }
    app.stop().await;
}

/// A shop that asks for the address at the checkout names its buyers with the payment: from then on the hold is one of theirs.
#[actix_rt::test]
async fn a_hold_of_nobody_is_open_for_whoever_is_named_with_its_payment() {
    let app = App::start().await;
    let (web, [fifteen, sixteen, seventeen]) = (app.key(Role::Web).await, [15, 16, 17].map(|hour| slot(TORRE, hour)));
    let mut plan = plan();
    plan.routes[0].policy.limits.holds_max = Some(2);
    app.set_plan(plan).await;
    let lines = || json!([{"category": "full", "count": 1}]);
    let party = |buyer: &str| json!([{"kind": "buyer", "value": buyer}]);
    let code_of = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned());
    let mut holds = Vec::new();
    for (slot, key) in [(fifteen, "h1"), (sixteen, "h2"), (seventeen, "h3")] {
        holds.push(app.hold(slot, &web, key, lines()).await);
    }
    let begin = async |hold: &str, key: &str, buyer: &str| {
        let body = json!({"holds": [hold], "gateway": {"notice": {}}, "parties": party(buyer)});
        code_of(app.post("/v1/payments", &web, key, &body).await)
    };
    let (begun, refused) = ((201, String::new()), (409, "too_many_open_holds".to_owned()));
    assert_eq!(begin(&holds[0], "p1", "anna@example.it").await, begun);
    assert_eq!(begin(&holds[1], "p2", "anna@example.it").await, begun);
    assert_eq!(begin(&holds[2], "p3", "anna@example.it").await, refused);
    assert_eq!(begin(&holds[0], "p1", "anna@example.it").await, begun, "a repeat is answered the same");
    // Nor does she have room for another one at once, also right after a restart without the lists.
    let app = app.restart_without_views().await;
    let more = json!({"lines": lines(), "parties": party("anna@example.it")});
    assert_eq!(code_of(app.post(&format!("/v1/slots/{seventeen}/holds"), &web, "h4", &more).await), refused);
    let body = json!({"holds": [holds[2]], "gateway": {"notice": {}}, "parties": party("bruno@example.it")});
    assert_eq!(code_of(app.post("/v1/payments", &web, "p4", &body).await), begun, "it is still nobody's");
    app.stop().await;
}

/// A limit for each buyer is none for a machine that names no buyer: a museum can ask that somebody is named.
#[actix_rt::test]
async fn a_museum_can_keep_places_over_the_web_for_somebody_only() {
    let app = App::start().await;
    let (web, office, fifteen) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 15));
    let mut plan = plan();
    plan.routes[0].policy.limits.buyer_required = true;
    app.set_plan(plan).await;
    let path = format!("/v1/slots/{fifteen}/holds");
    let asked = |parties: Value| json!({"lines": [{"category": "under-18", "count": 1}], "parties": parties});
    let network = json!([{"kind": "network", "value": "203.0.113.9"}]);
    for (key, parties) in [("nobody", json!([])), ("network", network)] {
        let (status, problem) = app.post(&path, &web, key, &asked(parties)).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("buyer_missing")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("`parties`"), "{problem}");
    }
    // The same request with somebody is another request, and passes; so does a desk, which sees whom it serves.
    let (status, held) = app.post(&path, &web, "buyer", &asked(json!([{"kind": "buyer", "value": "anna@example.it"}]))).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    assert_eq!(app.post(&path, &web, "device", &asked(json!([{"kind": "device", "value": "d-1"}]))).await.0, StatusCode::CREATED);
    assert_eq!(app.post(&path, &office, "desk", &asked(json!([]))).await.0, StatusCode::CREATED);
    let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
    assert_eq!(app.post(&confirm, &web, "buy", &json!({"settlement": {"free": {}}})).await.0, StatusCode::CREATED);
    // The plan that is read says so, and it holds after a restart as well.
    let app = app.restart().await;
    let read = app.get("/v1/museums/torre/plan", &app.key(Role::Manager).await).await;
    assert_eq!(read["plan"]["routes"][0]["policy"]["buyer_required"], true, "{read}");
    assert_eq!(app.post(&path, &web, "still", &asked(json!([]))).await.1["code"], "buyer_missing");
    app.stop().await;
}

/// Where nobody has to be named, a machine that names nobody buys; it moves nothing of that to where somebody has to be.
#[actix_rt::test]
async fn tickets_that_nobody_was_named_for_come_to_a_route_that_asks_for_somebody_at_a_desk_alone() {
    let app = App::start().await;
    let (web, office, fifteen) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 15));
    let mut plan = plan();
    let mut rare = plan.routes[0].clone();
    (rare.id, rare.code, rare.policy.limits.buyer_required) = (RouteId(2), code("rare"), true);
    plan.routes.push(rare);
    app.set_plan(plan).await;
    let there = json!({"slot": SlotId::new(TORRE, RouteId(2), fifteen.start()).to_string()});
    for (name, parties, expected) in [("nobody", json!([]), 422), ("somebody", json!([{"kind": "buyer", "value": "anna@example.it"}]), 200)] {
        let asked = json!({"lines": [{"category": "under-18", "count": 2}], "parties": parties});
        let (status, held) = app.post(&format!("/v1/slots/{fifteen}/holds"), &web, &format!("hold-{name}"), &asked).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let sale = held["hold"].as_str().unwrap();
        let confirm = format!("/v1/holds/{sale}/confirm");
        assert_eq!(app.post(&confirm, &web, &format!("buy-{name}"), &json!({"settlement": {"free": {}}})).await.0, StatusCode::CREATED);
        let path = format!("/v1/sales/{sale}/move");
        let (status, moved) = app.post(&path, &web, &format!("move-{name}"), &there).await;
        assert_eq!(status.as_u16(), expected, "{name}: {moved}");
        if expected == 422 {
            assert_eq!(moved["code"], "buyer_missing", "{moved}");
            assert_eq!(app.post(&path, &office, &format!("desk-{name}"), &there).await.0, StatusCode::OK);
        }
    }
    app.stop().await;
}

/// Whichever way a buyer goes, a day has so many places for them and no more, also right after a restart without the lists.
#[actix_rt::test]
async fn one_buyer_has_so_much_of_a_day_however_it_is_bought() {
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let [fifteen, sixteen, seventeen, eighteen] = [15, 16, 17, 18].map(|hour| slot(TORRE, hour));
    let mut plan = plan();
    plan.routes[0].policy.limits.day_max = Some(4);
    app.set_plan(plan).await;
    let party = |buyer: &str| json!([{"kind": "buyer", "value": buyer}]);
    let asked = |count: u32, buyer: &str| json!({"lines": [{"category": "under-18", "count": count}], "parties": party(buyer)});
    let waiting = |slot: SlotId| format!("/v1/slots/{slot}/waiting");
    let holds = |slot: SlotId| format!("/v1/slots/{slot}/holds");
    let all = json!([{"category": "full", "count": 20}]);
    let first = app.hold(fifteen, &office, "all-15", all.clone()).await;
    for (slot, key) in [(sixteen, "all-16"), (seventeen, "all-17")] {
        app.hold(slot, &office, key, all.clone()).await;
    }
    let code_of = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned());
    let refused = (409, "too_many_for_day".to_owned());

    // Waiting lists of several slots.
    let (status, joined) = app.post(&waiting(fifteen), &web, "wait-15", &asked(4, "anna@example.it")).await;
    assert_eq!(status, StatusCode::CREATED, "{joined}");
    assert_eq!(code_of(app.post(&waiting(sixteen), &web, "wait-16", &asked(4, "anna@example.it")).await), refused);
    let entry = format!("/v1/waiting/{}", joined["entry"].as_str().unwrap());
    assert_eq!(app.ask(Method::DELETE, &entry, &web, "leave-15", &Value::Null).await.0, StatusCode::NO_CONTENT);
    let (status, joined) = app.post(&waiting(fifteen), &web, "wait-15-again", &asked(3, "anna@example.it")).await;
    assert_eq!(status, StatusCode::CREATED, "{joined}");
    let entry = joined["entry"].as_str().unwrap().to_owned();
    // What is offered, and sold without naming anybody, is still hers.
    assert_eq!(app.ask(Method::DELETE, &format!("/v1/holds/{first}"), &office, "release-15", &Value::Null).await.0, StatusCode::NO_CONTENT);
    app.pass(60).await;
    assert_eq!(app.get(&format!("/v1/waiting/{entry}"), &web).await["state"], "offered");
    assert_eq!(code_of(app.post(&waiting(sixteen), &web, "wait-16-offered", &asked(2, "anna@example.it")).await), refused);
    let (status, sale) = app.post(&format!("/v1/holds/{entry}/confirm"), &web, "confirm-15", &json!({"settlement": {"free": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    assert_eq!(code_of(app.post(&waiting(sixteen), &web, "wait-16-sold", &asked(2, "anna@example.it")).await), refused);

    // Who is named when a hold is confirmed, and not before.
    let free = |count: u32| json!([{"category": "under-18", "count": count}]);
    let confirm = async |hold: &str, key: &str, buyer: &str| {
        let body = json!({"settlement": {"free": {}}, "parties": party(buyer)});
        code_of(app.post(&format!("/v1/holds/{hold}/confirm"), &web, key, &body).await)
    };
    let (one, two) = (app.hold(eighteen, &web, "hold-18", free(3)).await, app.hold(eighteen, &web, "hold-18-again", free(2)).await);
    assert_eq!(confirm(&one, "confirm-one", "bruno@example.it").await, (201, String::new()));
    assert_eq!(confirm(&two, "confirm-two", "bruno@example.it").await, refused);
    assert_eq!(confirm(&two, "confirm-two-again", "carla@example.it").await, (201, String::new()));

    // Nobody has to wait for the lists: what was sold counts at once.
    let app = app.restart_without_views().await;
    let cases = [("anna", 2, 409), ("bruno", 2, 409), ("carla", 3, 409), ("anna", 1, 201), ("bruno", 1, 201), ("anna", 1, 409)];
    for (n, (buyer, count, status)) in cases.into_iter().enumerate() {
        let buyer = format!("{buyer}@example.it");
        let (found, answer) = app.post(&holds(eighteen), &web, &format!("after-{n}"), &asked(count, &buyer)).await;
        assert_eq!(found.as_u16(), status, "{n}: {answer}");
        assert!(status == 201 || answer["code"] == "too_many_for_day", "{n}: {answer}");
    }
    app.stop().await;
}

/// Each route has a policy of its own: what was bought where nobody is limited counts once it comes to where everybody is.
#[actix_rt::test]
async fn tickets_of_a_route_that_limits_nobody_are_no_way_past_the_limit_of_another_one_on_the_same_day() {
    let app = App::start().await;
    let (web, [fifteen, sixteen]) = (app.key(Role::Web).await, [15, 16].map(|hour| slot(TORRE, hour)));
    let mut plan = plan();
    let mut rare = plan.routes[0].clone();
    (rare.id, rare.code, rare.policy.limits.day_max) = (RouteId(2), code("rare"), Some(2));
    plan.routes.push(rare);
    app.set_plan(plan).await;
    let of_rare = |slot: SlotId| SlotId::new(TORRE, RouteId(2), slot.start());
    let asked = |count: u32| json!({"lines": [{"category": "under-18", "count": count}], "parties": [{"kind": "buyer", "value": "anna@example.it"}]});
    let code_of = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned());
    let refused = (409, "too_many_for_day".to_owned());
    let (status, held) = app.post(&format!("/v1/slots/{fifteen}/holds"), &web, "hold", &asked(4)).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let sale = held["hold"].as_str().unwrap().to_owned();
    assert_eq!(app.post(&format!("/v1/holds/{sale}/confirm"), &web, "buy", &json!({"settlement": {"free": {}}})).await.0, StatusCode::CREATED);
    let there = |slot: SlotId, tickets: &[u16]| json!({"slot": slot.to_string(), "tickets": tickets});
    let path = format!("/v1/sales/{sale}/move");
    assert_eq!(code_of(app.post(&path, &web, "all", &there(of_rare(fifteen), &[])).await), refused);
    let (status, moved) = app.post(&path, &web, "two", &there(of_rare(fifteen), &[0, 1])).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(code_of(app.post(&path, &web, "one-more", &there(of_rare(sixteen), &[2])).await), refused);
    // What counts already moves freely, and the limit is nobody's on the other route.
    let again = format!("/v1/sales/{}/move", moved["sale"].as_str().unwrap());
    assert_eq!(app.post(&again, &web, "later", &there(of_rare(sixteen), &[])).await.0, StatusCode::OK);
    assert_eq!(app.post(&path, &web, "same-route", &there(sixteen, &[2, 3])).await.0, StatusCode::OK);
    app.stop().await;
}

/// What a buyer has of a day counts in whichever month it was bought; what says so is written nowhere.
#[actix_rt::test]
async fn what_was_bought_in_another_month_counts_until_the_day_is_over() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let mut plan = plan();
    let policy = &mut plan.routes[0].policy;
    policy.sale_opens_s = 120 * 86_400;
    (policy.limits.tickets_max, policy.limits.day_max) = (Some(3), Some(4));
    app.set_plan(plan).await;
    let at = |start: &str| SlotId::new(TORRE, slot(TORRE, 9).route(), start.parse().unwrap());
    let (one, two, day_after) = (at("2027-01-20T10:00:00Z"), at("2027-01-20T14:00:00Z"), at("2027-01-21T10:00:00Z"));
    let asked =
        |count: u32, buyer: &str| json!({"lines": [{"category": "under-18", "count": count}], "parties": [{"kind": "buyer", "value": buyer}]});
    let buy = async |app: &App, slot: SlotId, key: &str, count: u32, buyer: &str| {
        let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, &format!("hold-{key}"), &asked(count, buyer)).await;
        let Some(hold) = held["hold"].as_str() else { return (status.as_u16(), held["code"].as_str().unwrap_or_default().to_owned()) };
        let (status, sale) = app.post(&format!("/v1/holds/{hold}/confirm"), &web, &format!("sell-{key}"), &json!({"settlement": {"free": {}}})).await;
        (status.as_u16(), sale["code"].as_str().unwrap_or_default().to_owned())
    };
    let sold = (201, String::new());
    let [of_day, of_slot] = ["too_many_for_day", "too_many_for_buyer"].map(|code| (409, code.to_owned()));
    let until = async |app: &App, instant: &str| {
        let instant: Timestamp = instant.parse().unwrap();
        app.pass((instant.as_micros() - app.node().now().as_micros()) / 1_000_000).await;
    };

    until(&app, "2026-12-01T10:00:00Z").await;
    assert_eq!(buy(&app, one, "first", 3, "anna@example.it").await, sold);
    assert_eq!(buy(&app, two, "first-two", 1, "anna@example.it").await, sold);
    assert_eq!(buy(&app, one, "first-carla", 3, "carla@example.it").await, sold);
    // Later in the same month, right after its end, when two pseudonyms go along, and when only the new one does.
    for (n, instant) in ["2026-12-20T10:00:00Z", "2027-01-02T10:00:00Z", "2027-01-12T10:00:00Z"].into_iter().enumerate() {
        until(&app, instant).await;
        assert_eq!(buy(&app, two, &format!("again-{n}"), 1, "Anna@example.it").await, of_day, "{instant}");
        assert_eq!(buy(&app, one, &format!("slot-{n}"), 1, "carla@example.it").await, of_slot, "{instant}: the day has room for one more");
    }
    // Whichever way she goes: named when she confirms, when she pays, when she waits, and not before.
    let code_of = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned());
    let anna = json!([{"kind": "buyer", "value": "anna@example.it"}]);
    let unnamed = app.hold(two, &web, "unnamed", json!([{"category": "under-18", "count": 1}])).await;
    let (confirm, pay) =
        (json!({"settlement": {"free": {}}, "parties": anna}), json!({"holds": [unnamed], "gateway": {"free": {}}, "parties": anna}));
    assert_eq!(code_of(app.post(&format!("/v1/holds/{unnamed}/confirm"), &web, "named-late", &confirm).await), of_day);
    assert_eq!(code_of(app.post("/v1/payments", &web, "named-later", &pay).await), of_day);
    assert_eq!(app.ask(Method::DELETE, &format!("/v1/holds/{unnamed}"), &web, "give-back", &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(code_of(app.post(&format!("/v1/slots/{two}/waiting"), &web, "waits", &asked(1, "anna@example.it")).await), of_day);
    assert_eq!(buy(&app, two, "other", 3, "bruno@example.it").await, sold, "nobody else has less for it");
    assert_eq!(buy(&app, day_after, "day-after", 2, "anna@example.it").await, sold, "nor another day");
    // Nor by tickets that come from where there was room: who is named for the move is looked up as who buys.
    let (status, held) = app.post(&format!("/v1/slots/{day_after}/holds"), &web, "to-move", &asked(1, "anna@example.it")).await;
    let there = held["hold"].as_str().unwrap_or_else(|| panic!("{status}: {held}")).to_owned();
    assert_eq!(app.post(&format!("/v1/holds/{there}/confirm"), &web, "sell-to-move", &json!({"settlement": {"free": {}}})).await.0.as_u16(), 201);
    for (to, refused) in [(two, &of_day), (one, &of_slot)] {
        let form = json!({"slot": to.to_string(), "parties": anna});
        assert_eq!(&code_of(app.post(&format!("/v1/sales/{there}/move"), &web, &format!("move-{to}"), &form).await), refused);
    }
    let tickets = app.get(&format!("/v1/sales/{there}"), &web).await;
    assert_eq!(tickets["tickets"][0]["state"], "valid", "they stand as before: {tickets}");
    let app = app.restart_without_views().await;
    assert_eq!(buy(&app, two, "restarted", 1, "anna@example.it").await, of_day);

    // Nothing in the journal says that the buyers of December and of January are one.
    let (december, january) = (named_first(&app, two).await, named_first(&app, day_after).await);
    assert!(january.len() == 1 && !december.is_empty() && !december.contains(&january[0]), "{december:?} and {january:?}");
    app.stop().await;
}

/// By which pseudonyms the buyer of the first hold of a slot stands in the journal.
async fn named_first(app: &App, slot: SlotId) -> Vec<Digest> {
    let records = all_of::<Event>(app.node().journal().as_ref(), StreamId::Slot(slot)).await.unwrap();
    let first = records.iter().find(|record| record.events.iter().any(|event| matches!(event, Event::Held(_)))).unwrap();
    first.envelope.as_ref().unwrap().buyers().collect()
}
