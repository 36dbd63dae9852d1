//! The waiting list over HTTP: joined in order, served without anybody asking, explained, left; every refusal once, repeats, other callers' entries.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::ids::SlotId;
use tornello_engine::slot::people;

use crate::routes_museums::example;
use crate::routes_sales::{desk, hold, lines, refuses};
use crate::support::{App, MARE, TORRE, slot};

fn list_of(slot: SlotId) -> String {
    format!("/v1/slots/{slot}/waiting")
}

/// Joins a waiting list and answers the entry's id.
async fn join(app: &App, key: &str, slot: SlotId, count: u16, name: &str) -> String {
    let (status, joined) = app.post(&list_of(slot), key, name, &lines("full", count)).await;
    assert_eq!(status, StatusCode::CREATED, "{joined}");
    joined["entry"].as_str().unwrap().to_owned()
}

async fn delete(app: &App, path: &str, key: &str, name: &str) -> (StatusCode, Value) {
    app.ask(Method::DELETE, path, key, name, &Value::Null).await
}

#[actix_rt::test]
async fn who_finds_no_places_waits_is_offered_some_and_takes_them() {
    let app = App::start().await;
    let (kiosk, slot) = (app.key(Role::Kiosk).await, slot(TORRE, 11));
    let first = hold(&app, &kiosk, slot, "full", 20, "all").await;
    let wanted = example("/v1/slots/{slot}/waiting", "post");
    let (status, short) = app.post(&format!("/v1/slots/{slot}/holds"), &kiosk, "none", &wanted).await;
    assert_eq!((status, &short["code"]), (StatusCode::CONFLICT, &json!("not_enough_places")));

    let (status, joined) = app.post(short["waiting_list"].as_str().unwrap(), &kiosk, "wait", &wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{joined}");
    for (name, value) in [
        ("slot", json!(slot.to_string())),
        ("number", json!(1)),
        ("position", json!(1)),
        ("people_ahead", json!(0)),
        ("people", json!(3)),
        ("total_cents", json!(2_400)),
        ("channel", json!("kiosk")),
        ("since", json!("2026-11-23T08:30:00Z")),
    ] {
        assert_eq!(joined[name], value, "{name}");
    }
    let entry = format!("/v1/waiting/{}", joined["entry"].as_str().unwrap());
    let waiting = app.get(&entry, &kiosk).await;
    assert_eq!((&waiting["state"], &waiting["position"], &waiting["overtaken"]), (&json!("waiting"), &json!(1), &json!(0)));
    assert_eq!((&waiting["lines"], waiting.get("hold")), (&joined["lines"], None));
    assert_eq!(app.get(&format!("/v1/slots/{slot}"), &kiosk).await["waiting"], 1);

    // The hold ends by itself, and in the same moment its places are somebody's.
    app.pass(900).await;
    let offered = app.get(&entry, &kiosk).await;
    assert_eq!((&offered["state"], &offered["since"], &offered["passed_over"]), (&json!("offered"), &json!("2026-11-23T08:45:00Z"), &json!(0)));
    assert_eq!((&offered["hold"]["hold"], &offered["hold"]["expires_at"]), (&joined["entry"], &json!("2026-11-23T09:00:00Z")));
    assert_eq!(offered["hold"]["lines"], joined["lines"]);
    let seen = app.get(&format!("/v1/slots/{slot}"), &kiosk).await;
    assert_eq!((&seen["held"], &seen["available"], &seen["waiting"]), (&json!(3), &json!(17), &json!(0)));
    assert_eq!(delete(&app, &format!("/v1/holds/{first}"), &kiosk, "late").await.0, StatusCode::GONE);

    let confirm = format!("/v1/holds/{}/confirm", joined["entry"].as_str().unwrap());
    let (status, sale) = app.post(&confirm, &kiosk, "confirm", &json!({"settlement": desk("R-1")})).await;
    assert_eq!((status, &sale["sale"], &sale["people"]), (StatusCode::CREATED, &joined["entry"], &json!(3)), "{sale}");
    assert_eq!(app.get(&entry, &kiosk).await["state"], "taken");
    // A repeat is answered like the first, whatever has happened since, also by the next start.
    let app = app.restart().await;
    assert_eq!(app.post(&list_of(slot), &kiosk, "wait", &wanted).await, (StatusCode::CREATED, joined));
    assert_eq!(app.get(&entry, &kiosk).await["state"], "taken");
    app.stop().await;
}

#[actix_rt::test]
async fn parties_are_served_in_order_and_it_is_said_why_one_was_before_another() {
    let app = App::start().await;
    let (web, office, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let (large, small) = (hold(&app, &web, slot, "full", 15, "h15").await, hold(&app, &web, slot, "full", 5, "h5").await);
    let mut entries = Vec::new();
    for (name, count) in [("a", 8), ("b", 4), ("c", 3), ("d", 2)] {
        entries.push(join(&app, &web, slot, count, name).await);
    }
    let queue = app.get(&list_of(slot), &office).await;
    let order = |page: &Value| page["items"].as_array().unwrap().iter().map(|item| item["people"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((order(&queue), queue.get("next_cursor")), (vec![8, 4, 3, 2], None));
    let first = app.get(&format!("{}?limit=3", list_of(slot)), &office).await;
    let rest = app.get(&format!("{}?limit=3&cursor={}", list_of(slot), first["next_cursor"]), &office).await;
    assert_eq!((order(&first), order(&rest), rest.get("next_cursor")), (vec![8, 4, 3], vec![2], None));
    let third = app.get(&format!("/v1/waiting/{}", entries[2]), &web).await;
    assert_eq!((&third["position"], &third["people_ahead"], &third["number"]), (&json!(3), &json!(12), &json!(3)));

    // Five places: not enough for the eight, so the four are served; then nothing fits in one place.
    assert_eq!(delete(&app, &format!("/v1/holds/{small}"), &web, "r5").await.0, StatusCode::NO_CONTENT);
    app.pass(60).await;
    let states = |expected: [&'static str; 4]| {
        let (app, web, entries) = (&app, &web, &entries);
        async move {
            for (entry, expected) in entries.iter().zip(expected) {
                assert_eq!(app.get(&format!("/v1/waiting/{entry}"), web).await["state"], expected, "{entry}");
            }
        }
    };
    states(["waiting", "offered", "waiting", "waiting"]).await;
    let front = app.get(&format!("/v1/waiting/{}", entries[0]), &web).await;
    assert_eq!((&front["position"], &front["overtaken"]), (&json!(1), &json!(1)));
    assert_eq!(front["overtaken_by"], json!([{"number": 2, "people": 4, "free": 5, "at": "2026-11-23T08:30:00Z"}]));
    assert_eq!(app.get(&format!("/v1/waiting/{}", entries[1]), &web).await["passed_over"], 1);
    // Nobody who comes now takes what is released: the eight come first, then the others, and two places are left.
    assert_eq!(delete(&app, &format!("/v1/holds/{large}"), &web, "r15").await.0, StatusCode::NO_CONTENT);
    let (status, short) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "late", &lines("full", 4)).await;
    assert_eq!((status, &short["available"]), (StatusCode::CONFLICT, &json!(3)), "{short}");
    states(["offered", "offered", "offered", "offered"]).await;
    // Why the four were served before the eight is told as long as the entry is known, to the party and to staff; who was served after them was not before them.
    let told = |why: &'static str| {
        let (app, keys, entry, front) = (&app, [&web, &office], format!("/v1/waiting/{}", entries[0]), &front);
        async move {
            for key in keys {
                let read = app.get(&entry, key).await;
                assert_eq!((&read["overtaken"], &read["overtaken_by"]), (&json!(1), &front["overtaken_by"]), "{why}: {read}");
            }
        }
    };
    told("with an offer").await;
    assert_eq!(app.get(&format!("/v1/waiting/{}", entries[1]), &web).await["overtaken_by"], json!([]));

    // Given back, left, lapsed.
    assert_eq!(delete(&app, &format!("/v1/waiting/{}", entries[0]), &web, "no-a").await.0, StatusCode::NO_CONTENT);
    assert_eq!(delete(&app, &format!("/v1/holds/{}", entries[1]), &web, "no-b").await.0, StatusCode::NO_CONTENT);
    app.pass(900).await;
    states(["declined", "declined", "lapsed", "lapsed"]).await;
    told("given back").await;
    assert_eq!(app.get(&format!("/v1/slots/{slot}"), &web).await["available"], 20);
    let app = app.restart().await;
    assert_eq!(app.get(&format!("/v1/waiting/{}", entries[0]), &web).await["overtaken_by"], front["overtaken_by"], "after a restart");
    app.stop().await;
}

/// A party of five that is three by now is served as one of three, in the turn that it had.
#[actix_rt::test]
async fn a_party_that_waits_becomes_smaller_and_keeps_its_turn() {
    let app = App::start().await;
    let (web, other, slot) = (app.key(Role::Web).await, app.key(Role::Reseller).await, slot(TORRE, 11));
    hold(&app, &web, slot, "full", 17, "h17").await;
    let small = hold(&app, &web, slot, "full", 3, "h3").await;
    let (first, second) = (join(&app, &web, slot, 5, "a").await, join(&app, &web, slot, 2, "b").await);
    let fewer = async |entry: &str, key: &str, name: &str, count: u16| {
        app.ask(Method::PUT, &format!("/v1/waiting/{entry}/lines"), key, name, &lines("full", count)).await
    };
    // Three places: not enough for the five, so the two are served.
    assert_eq!(delete(&app, &format!("/v1/holds/{small}"), &web, "r3").await.0, StatusCode::NO_CONTENT);
    app.pass(60).await;
    let path = format!("/v1/waiting/{first}");
    let before = app.get(&path, &web).await;
    assert_eq!((&before["state"], &before["overtaken_by"][0]["free"]), (&json!("waiting"), &json!(3)), "{before}");
    for (entry, key, name, count, code) in
        [(&first, &web, "more", 6, "bad_lines"), (&first, &web, "nobody", 0, "party_empty"), (&first, &other, "theirs", 1, "unknown_entry")]
    {
        let (_, problem) = fewer(entry, key, name, count).await;
        assert_eq!(problem["code"], code, "{problem}");
    }
    let held = app.ask(Method::PUT, &format!("/v1/holds/{first}/lines"), &web, "no-hold", &lines("full", 3)).await;
    assert_eq!((held.0, &held.1["code"]), (StatusCode::NOT_FOUND, &json!("unknown_hold")), "it is not a hold yet");
    let (status, smaller) = fewer(&first, &web, "three", 3).await;
    assert_eq!((status, &smaller["people"], &smaller["total_cents"]), (StatusCode::OK, &json!(3), &json!(3_600)), "{smaller}");
    assert_eq!(fewer(&first, &web, "three", 3).await, (status, smaller.clone()), "a repeat is answered like the first");
    let after = app.get(&path, &web).await;
    assert_eq!((&after["lines"], &after["position"], &after["number"]), (&smaller["lines"], &json!(1), &json!(1)), "{after}");
    assert_eq!((&after["since"], &after["overtaken_by"]), (&before["since"], &before["overtaken_by"]), "{after}");

    // The two go, and the three have their places, also after a restart.
    assert_eq!(delete(&app, &format!("/v1/waiting/{second}"), &web, "r2").await.0, StatusCode::NO_CONTENT);
    app.pass(60).await;
    let app = app.restart().await;
    let offered = app.get(&path, &web).await;
    assert_eq!((&offered["state"], &offered["hold"]["lines"]), (&json!("offered"), &smaller["lines"]), "{offered}");
    // Of the offer places are given back as of any hold, and when it is over there is nothing to make smaller.
    let fewer = async |name: &str, count: u16| app.ask(Method::PUT, &format!("{path}/lines"), &web, name, &lines("full", count)).await;
    let (status, two) = fewer("two", 2).await;
    assert_eq!((status, &two["people"]), (StatusCode::OK, &json!(2)), "{two}");
    assert_eq!(app.get(&format!("/v1/slots/{slot}"), &web).await["held"], 19);
    assert_eq!(delete(&app, &path, &web, "gone").await.0, StatusCode::NO_CONTENT);
    let (status, problem) = fewer("one", 1).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("entry_ended")), "{problem}");
    app.stop().await;
}

/// What is bought is assessed as what it is by then, also where whoever held it or waited asks for that once more.
#[actix_rt::test]
async fn a_repeat_of_what_was_asked_first_does_not_speak_for_what_is_fewer_by_now() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    let (kept, entry) = (hold(&app, &web, slot, "full", 17, "h").await, join(&app, &web, slot, 5, "w").await);
    for (path, name, count) in [(format!("/v1/holds/{kept}/lines"), "h-fewer", 16), (format!("/v1/waiting/{entry}/lines"), "w-fewer", 3)] {
        let (status, fewer) = app.ask(Method::PUT, &path, &web, name, &lines("full", count)).await;
        assert_eq!((status, &fewer["people"]), (StatusCode::OK, &json!(count)), "{fewer}");
    }
    // Nothing is remembered of them: the slot is asked.
    let app = app.restart().await;
    let again = (hold(&app, &web, slot, "full", 17, "h").await, join(&app, &web, slot, 5, "w").await);
    assert_eq!(again, (kept.clone(), entry.clone()), "a repeat is answered like the first");
    for (id, count) in [(kept, 16), (entry, 3)] {
        let known = app.node().scoring().held(id.parse().unwrap()).map(|held| people(&held.lines));
        assert!(known.is_none_or(|known| known == count), "{id}: {known:?} people, and there are {count}");
    }
    app.stop().await;
}

/// What is offered is given back with the place in the list, unless a payment is under way for it; one that is over keeps nobody.
#[actix_rt::test]
async fn an_offer_is_left_when_no_payment_is_under_way_for_it() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 15));
    let all = hold(&app, &web, slot, "full", 20, "all").await;
    let id = join(&app, &web, slot, 2, "join").await;
    assert_eq!(delete(&app, &format!("/v1/holds/{all}"), &web, "release").await.0, StatusCode::NO_CONTENT);
    app.pass(60).await;
    let entry = format!("/v1/waiting/{id}");
    assert_eq!(app.get(&entry, &web).await["state"], "offered");
    let (status, opened) = app.post("/v1/payments", &web, "pay", &json!({"holds": [id], "gateway": {"notice": {}}})).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    let (status, kept) = delete(&app, &entry, &web, "leave").await;
    assert_eq!((status, &kept["code"], &kept["payment"]), (StatusCode::CONFLICT, &json!("hold_kept"), &opened["payment"]));
    let (status, cancelled) = app.post(&format!("/v1/payments/{}/cancel", opened["payment"].as_str().unwrap()), &web, "cancel", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    for _ in 0..2 {
        assert_eq!(delete(&app, &entry, &web, "leave-again").await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(app.get(&entry, &web).await["state"], "declined");
    app.stop().await;
}

#[actix_rt::test]
async fn nobody_is_sent_to_wait_for_more_places_than_their_channel_ever_has() {
    let app = App::start().await;
    let (web, manager, slot) = (app.key(Role::Web).await, app.key(Role::Manager).await, slot(TORRE, 11));
    let quotas = json!({"quotas": [{"channel": "web", "reserved": 0, "limit": 5, "release_s": 0}]});
    assert_eq!(app.ask(Method::PUT, &format!("/v1/slots/{slot}/quotas"), &manager, "quotas", &quotas).await.0, StatusCode::OK);
    hold(&app, &web, slot, "full", 5, "all").await;
    for (people, waits) in [(5, true), (6, false)] {
        let (wanted, name) = (lines("full", people), people.to_string());
        let (_, short) = app.post(&format!("/v1/slots/{slot}/holds"), &web, &format!("hold-{name}"), &wanted).await;
        assert_eq!((&short["code"], short.get("waiting_list").is_some()), (&json!("not_enough_places"), waits), "{short}");
        let (status, answer) = app.post(&list_of(slot), &web, &format!("wait-{name}"), &wanted).await;
        assert_eq!(status, if waits { StatusCode::CREATED } else { StatusCode::CONFLICT }, "{answer}");
    }
}

#[actix_rt::test]
async fn every_refusal_of_the_waiting_list_has_its_status_and_code() {
    let app = App::start().await;
    let (web, other, manager) = (app.key(Role::Web).await, app.key(Role::Reseller).await, app.key(Role::Manager).await);
    let elsewhere = app.key_for(Role::Web, Museums::Only([MARE].into())).await;
    let (eleven, twelve) = (slot(TORRE, 11), slot(TORRE, 12));
    hold(&app, &web, eleven, "full", 20, "all").await;
    let entry = join(&app, &web, eleven, 2, "join").await;
    let gone = join(&app, &web, eleven, 2, "join-2").await;
    assert_eq!(delete(&app, &format!("/v1/waiting/{gone}"), &web, "leave").await.0, StatusCode::NO_CONTENT);
    assert_eq!(delete(&app, &format!("/v1/waiting/{gone}"), &web, "leave").await.0, StatusCode::NO_CONTENT, "a repeat is answered like the first");
    assert_eq!(app.post(&format!("/v1/slots/{twelve}/close"), &manager, "close", &json!({"reason": "strike"})).await.0, StatusCode::OK);
    refuses(
        &app,
        &[
            ("places", list_of(slot(TORRE, 10)), &web, lines("full", 2), 409, "places_available"),
            ("closed", list_of(twelve), &web, lines("full", 2), 409, "slot_closed"),
            ("over", list_of(slot(TORRE, 9)), &web, lines("full", 2), 409, "sale_over"),
            ("nobody", list_of(eleven), &web, lines("full", 0), 422, "party_empty"),
            ("too many", list_of(eleven), &web, lines("full", 31), 422, "party_too_large"),
            ("more than there are", list_of(slot(TORRE, 10)), &web, lines("full", 21), 409, "not_enough_places"),
            ("no category", list_of(eleven), &web, lines("gold", 1), 422, "unknown_category"),
            ("of another museum", list_of(eleven), &elsewhere, lines("full", 1), 404, "not_found"),
            ("not a hold yet", format!("/v1/holds/{entry}/confirm"), &web, json!({"settlement": {"free": {}}}), 404, "unknown_hold"),
        ],
    )
    .await;
    for (what, path, key, status, code) in [
        ("left twice", &gone, &web, 410, "entry_ended"),
        ("another's", &entry, &other, 404, "unknown_entry"),
        ("of another museum", &entry, &elsewhere, 404, "not_found"),
    ] {
        let (found, problem) = delete(&app, &format!("/v1/waiting/{path}"), key, what.replace(' ', "-").as_str()).await;
        assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{what}");
    }
    for key in [&other, &elsewhere] {
        assert_eq!(app.request(Method::GET, &format!("/v1/waiting/{entry}"), key).send().await.unwrap().status(), 404);
    }
    assert_eq!(app.get(&format!("/v1/waiting/{entry}"), &manager).await["state"], "waiting", "staff see everybody's");
    assert_eq!(app.get(&format!("/v1/waiting/{gone}"), &web).await["state"], "left");
    // Sales end, and who still waits has waited in vain.
    assert_eq!(app.ask(Method::PUT, &format!("/v1/slots/{eleven}/capacity"), &manager, "cut", &json!({"capacity": 1})).await.0, StatusCode::OK);
    app.pass(3 * 3_600).await;
    assert_eq!(app.get(&format!("/v1/waiting/{entry}"), &web).await["state"], "sales_ended");
    app.stop().await;
}
