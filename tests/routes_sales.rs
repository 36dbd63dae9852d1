//! Holds confirmed, sales at once, cancelled, blocked, listed: what is answered, every refusal once, repeats, other callers' things, and a race for the places.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{KeyId, MuseumId, SlotId};
use tornello_engine::museum;
use tornello_engine::slot::Command;
use tornello_engine::tariff::{FreeDayBooking, FreeDays, Tariff};

use crate::support::{App, MARE, TORRE, code, expect, slot, today};

/// One request that is refused: what it is, path, key, body, status and code.
pub type Case<'a> = (&'a str, String, &'a str, Value, u16, &'a str);

/// Sends every case with a key of its own and compares status and code.
pub async fn refuses(app: &App, cases: &[Case<'_>]) {
    for (what, path, key, body, status, code) in cases {
        let (found, problem) = app.post(path, key, &format!("case: {what}").replace(' ', "-"), body).await;
        assert_eq!((found.as_u16(), problem["code"].as_str()), (*status, Some(*code)), "{what}: {problem}");
    }
}

pub fn lines(category: &str, count: u16) -> Value {
    json!({"lines": [{"category": category, "count": count}]})
}

pub fn free() -> Value {
    json!({"settlement": {"free": {}}})
}

pub fn desk(reference: &str) -> Value {
    json!({"desk": {"till": "till-1", "method": "cash", "reference": reference}})
}

/// Holds places and answers the hold's id.
pub async fn hold(app: &App, key: &str, slot: SlotId, category: &str, count: u16, name: &str) -> String {
    let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), key, name, &lines(category, count)).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    held["hold"].as_str().unwrap().to_owned()
}

/// Holds free places, confirms them and answers the sale.
pub async fn sell(app: &App, key: &str, slot: SlotId, count: u16, name: &str) -> Value {
    let hold = hold(app, key, slot, "under-18", count, &format!("{name}-hold")).await;
    let (status, sale) = app.post(&format!("/v1/holds/{hold}/confirm"), key, &format!("{name}-confirm"), &free()).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    sale
}

/// Gives a slot a command that has no route here.
pub async fn tell(app: &App, slot: SlotId, number: u128, command: Command) {
    let envelope = Envelope {
        who: KeyId::SYSTEM,
        key: Digest(number),
        body: Digest(number),
        parties: vec![],
        assessment: None,
        order: None,
        formerly: Vec::new(),
    };
    app.node().slot(slot, envelope, command).await.unwrap();
}

#[actix_rt::test]
async fn a_hold_becomes_a_sale_with_a_ticket_for_each() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 11));
    let body = json!({"lines": [{"category": "under-18", "count": 1}, {"category": "disability", "count": 2}]});
    let (_, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, "h", &body).await;
    let hold = held["hold"].as_str().unwrap();
    let (status, sale) = app.post(&format!("/v1/holds/{hold}/confirm"), &web, "c", &free()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(sale["sale"], *hold);
    assert_eq!(sale["slot"], slot.to_string());
    assert_eq!(sale["settlement"], json!({"free": {}}));
    assert_eq!(sale["sold_at"], "2026-11-23T08:30:00Z");
    let tickets = sale["tickets"].as_array().unwrap();
    let categories: Vec<_> = tickets.iter().map(|ticket| (ticket["number"].as_u64().unwrap(), ticket["category"].as_str().unwrap())).collect();
    assert_eq!(categories, [(0, "under-18"), (1, "disability"), (2, "disability")]);
    assert!(tickets.iter().all(|ticket| !ticket["proof_it"].as_str().unwrap().is_empty() && !ticket["proof_en"].as_str().unwrap().is_empty()));

    let read = app.get(&format!("/v1/sales/{hold}"), &web).await;
    assert_eq!((&read["people"], &read["total_cents"], &read["refunded_cents"]), (&json!(3), &json!(0), &json!(0)));
    let states: Vec<&str> = read["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["valid"; 3]);
    app.stop().await;
}

#[actix_rt::test]
async fn every_refusal_of_holds_and_sales_has_its_status_and_code() {
    let app = App::start().await;
    let (web, office, reseller, manager) =
        (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Reseller).await, app.key(Role::Manager).await);
    let (admin, ten) = (app.key(Role::Admin).await, slot(TORRE, 10));
    let holds = |slot: SlotId| format!("/v1/slots/{slot}/holds");
    let sales = |slot: SlotId| format!("/v1/slots/{slot}/sales");
    let confirm = |hold: &str| format!("/v1/holds/{hold}/confirm");
    let far = SlotId::new(TORRE, ten.route(), ten.start().plus_seconds(100 * 86_400));
    let unplanned = SlotId::new(TORRE, ten.route(), ten.start().plus_seconds(60));

    let sold = sell(&app, &web, ten, 2, "sold").await["sale"].as_str().unwrap().to_owned();
    let dear = hold(&app, &web, ten, "full", 1, "dear").await;
    let account = hold(&app, &reseller, ten, "full", 1, "account").await;
    let given = hold(&app, &web, ten, "under-18", 1, "given").await;
    let released = app.ask(Method::DELETE, &format!("/v1/holds/{given}"), &web, "release", &Value::Null).await;
    assert_eq!(released.0, StatusCode::NO_CONTENT);
    let nobody = ten_unknown(ten);
    tell(&app, slot(TORRE, 16), 16, Command::Close { reason: code("strike") }).await;
    let tariff = Tariff {
        free_days: FreeDays { dates: vec![today()], ..FreeDays::default() },
        free_day_booking: FreeDayBooking::Impossible,
        ..app.node().museums().get(MARE).unwrap().museum.tariff_on(today()).unwrap().1.clone()
    };
    let envelope =
        Envelope { who: KeyId::SYSTEM, key: Digest(99), body: Digest(99), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().museum(MARE, envelope, museum::Command::SetTariff { valid_from: today(), tariff }).await.unwrap();

    let sale = |category: &str, count: u16, settlement: Value| json!({"lines": [{"category": category, "count": count}], "settlement": settlement});
    refuses(
        &app,
        &[
            ("no lines", holds(ten), &web, json!({"lines": []}), 422, "bad_lines"),
            ("nobody", holds(ten), &web, lines("full", 0), 422, "party_empty"),
            ("too large a party", holds(ten), &web, lines("full", 31), 422, "party_too_large"),
            ("no such category", holds(ten), &web, lines("gold", 1), 422, "unknown_category"),
            ("school by web", holds(ten), &web, lines("school-pupil", 1), 422, "group_only"),
            ("free day", holds(slot(MARE, 11)), &web, lines("full", 1), 422, "no_booking_on_free_day"),
            ("not a code", holds(ten), &web, lines("Full Price", 1), 422, "invalid"),
            ("unknown field", holds(ten), &web, json!({"lines": [], "price_cents": 1}), 422, "invalid"),
            ("no such slot", holds(unplanned), &web, lines("full", 1), 404, "not_found"),
            ("no slot at all", "/v1/slots/here/holds".to_owned(), &web, lines("full", 1), 404, "not_found"),
            ("before sales", holds(far), &web, lines("full", 1), 409, "sale_not_open"),
            ("after sales", holds(slot(TORRE, 9)), &web, lines("full", 1), 409, "sale_over"),
            ("closed", holds(slot(TORRE, 16)), &web, lines("full", 1), 409, "slot_closed"),
            ("full house", holds(ten), &web, lines("full", 21), 409, "not_enough_places"),
            ("full house at the desk", sales(ten), &office, sale("full", 21, desk("R1")), 409, "not_enough_places"),
            ("sold", confirm(&sold), &web, free(), 409, "hold_sold"),
            ("given back", confirm(&given), &web, free(), 410, "hold_released"),
            ("unknown", confirm(&nobody), &web, free(), 404, "unknown_hold"),
            ("no hold at all", "/v1/holds/x/confirm".to_owned(), &web, free(), 404, "not_found"),
            ("not free", confirm(&dear), &web, free(), 422, "settlement_mismatch"),
            ("web at a desk", confirm(&dear), &web, json!({"settlement": desk("R1")}), 422, "settlement_not_allowed"),
            (
                "another account",
                confirm(&account),
                &reseller,
                json!({"settlement": {"on_account": {"account": "other"}}}),
                422,
                "settlement_not_allowed",
            ),
            ("an administrator at a desk", sales(ten), &admin, sale("full", 1, desk("R1")), 422, "settlement_not_allowed"),
            ("blank reference", sales(ten), &office, sale("full", 1, desk(" ")), 422, "invalid"),
            ("long reference", sales(ten), &office, sale("full", 1, desk(&"x".repeat(65))), 422, "invalid"),
            ("odd reference", sales(ten), &office, sale("full", 1, desk("a\nb")), 422, "invalid"),
            ("unknown settlement", sales(ten), &office, sale("full", 1, json!({"gold": {}})), 422, "invalid"),
            ("by a payment at once", sales(ten), &office, sale("full", 1, json!({"payment": {"id": "0000000000001"}})), 422, "invalid"),
            ("by a payment", confirm(&dear), &web, json!({"settlement": {"payment": {"id": "0000000000001"}}}), 422, "invalid"),
            ("free with more", sales(ten), &office, sale("under-18", 1, json!({"free": {"x": 1}})), 422, "invalid"),
            (
                "bad contact",
                sales(ten),
                &office,
                json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}},
                    "contact": {"given_name": "A", "family_name": "B", "email": "nobody"}}),
                422,
                "invalid_contact",
            ),
            ("web sells at once", sales(ten), &web, sale("under-18", 1, json!({"free": {}})), 422, "settlement_not_allowed"),
            ("no key", sales(ten), "", sale("under-18", 1, json!({"free": {}})), 401, "unauthorized"),
            ("cancel unknown", format!("/v1/sales/{nobody}/cancel"), &web, json!({"cause": "visitor"}), 404, "unknown_sale"),
            (
                "cancel a ticket too many",
                format!("/v1/sales/{sold}/cancel"),
                &web,
                json!({"cause": "visitor", "tickets": [2]}),
                404,
                "unknown_ticket",
            ),
            ("cancel for the museum", format!("/v1/sales/{sold}/cancel"), &web, json!({"cause": "museum"}), 403, "forbidden"),
            ("cancel for nothing", format!("/v1/sales/{sold}/cancel"), &web, json!({}), 422, "invalid"),
            ("block by web", format!("/v1/sales/{sold}/block"), &web, json!({"reason": "x"}), 403, "forbidden"),
            ("unblock none", format!("/v1/sales/{sold}/unblock"), &manager, json!({}), 409, "not_blocked"),
        ],
    )
    .await;

    // What only an earlier step makes wrong.
    let extend = format!("/v1/holds/{dear}/extend");
    assert_eq!(app.post(&extend, &web, "extend-1", &Value::Null).await.0, StatusCode::OK);
    refuses(&app, &[("extend twice", extend, &web, Value::Null, 409, "already_extended")]).await;
    app.pass(16 * 60).await;
    let gate = json!({"ticket": ticket(&sold, 1), "gate": "north", "museum": "torre"});
    assert_eq!(app.post("/v1/admissions", &office, "in", &gate).await.0, StatusCode::OK);
    let cancel = |tickets: &[u16]| json!({"cause": "visitor", "tickets": tickets});
    let path = format!("/v1/sales/{sold}/cancel");
    refuses(&app, &[("cancel a used one", path.clone(), &web, cancel(&[0, 1]), 409, "ticket_used")]).await;
    assert_eq!(app.post(&path, &web, "cancel-0", &cancel(&[0])).await.0, StatusCode::OK);
    refuses(&app, &[("cancel twice", path.clone(), &web, cancel(&[0]), 409, "ticket_cancelled")]).await;
    // The slot is over.
    app.pass(3 * 3_600).await;
    let late = [
        ("expired", confirm(&dear), web.as_str(), free(), 410, "hold_expired"),
        ("visitor too late", path, &web, cancel(&[1]), 409, "slot_over"),
        ("desk too late", sales(ten), &office, sale("full", 1, desk("R2")), 409, "slot_over"),
    ];
    refuses(&app, &late).await;
    app.stop().await;
}

fn ten_unknown(slot: SlotId) -> String {
    tornello_engine::ids::HoldId::new(slot, 1).to_string()
}

pub fn ticket(sale: &str, number: u16) -> String {
    sale.parse::<tornello_engine::ids::HoldId>().unwrap().ticket(number).to_string()
}

#[actix_rt::test]
async fn a_refusal_for_lack_of_places_names_the_nearest_slots() {
    let app = App::start().await;
    let (office, eleven) = (app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let body = json!({"lines": [{"category": "full", "count": 20}], "settlement": desk("R")});
    assert_eq!(app.post(&format!("/v1/slots/{eleven}/sales"), &office, "all", &body).await.0, StatusCode::CREATED);
    let (_, problem) = app.post(&format!("/v1/slots/{eleven}/sales"), &office, "more", &body).await;
    let nearest: Vec<_> = problem["alternatives"].as_array().unwrap().iter().map(|other| other["slot"].as_str().unwrap().to_owned()).collect();
    assert!(nearest.contains(&slot(TORRE, 10).to_string()) && nearest.contains(&slot(TORRE, 12).to_string()), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_repeated_key_gives_the_same_bytes_also_after_a_restart() {
    let mut app = App::start().await;
    let (office, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let nine = slot(TORRE, 9);
    let contact = json!({"given_name": "Ada", "family_name": "Neri", "email": "ada@example.it"});
    let held = hold(&app, &office, nine, "full", 2, "hold").await;
    let steps = [
        (format!("/v1/slots/{nine}/holds"), &office, lines("full", 2)),
        (format!("/v1/holds/{held}/extend"), &office, Value::Null),
        (format!("/v1/holds/{held}/confirm"), &office, json!({"settlement": desk("R-7"), "contact": contact})),
        (
            format!("/v1/slots/{nine}/sales"),
            &office,
            json!({"lines": [{"category": "under-18", "count": 3}], "settlement": {"free": {}}, "contact": contact}),
        ),
        (format!("/v1/sales/{held}/block"), &manager, json!({"tickets": [1], "reason": "resold"})),
        (format!("/v1/sales/{held}/unblock"), &manager, json!({})),
        ("/v1/admissions".to_owned(), &office, json!({"ticket": ticket(&held, 0), "gate": "north", "museum": "1"})),
        ("/v1/exits".to_owned(), &office, json!({"ticket": ticket(&held, 0), "gate": "south", "museum": "torre"})),
        (format!("/v1/sales/{held}/cancel"), &manager, json!({"cause": "museum", "tickets": [1]})),
    ];
    let mut first = Vec::new();
    for (step, (path, key, body)) in steps.iter().enumerate() {
        let answer = raw(&app, path, key, &format!("step-{step}"), body).await;
        assert!(answer.0.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.1));
        first.push(answer);
    }
    assert_eq!(
        first[8].1,
        br#"{"sale":"HOLD","tickets":[1],"refund_cents":1200,"cause":"museum","cancelled_at":"2026-11-23T08:30:00Z"}"#.to_vec().replace(&held)
    );
    for round in ["at once", "later", "after a restart"] {
        match round {
            "later" => app.pass(3_000).await,
            "after a restart" => app = app.restart().await,
            _ => {}
        }
        for (step, (path, key, body)) in steps.iter().enumerate() {
            assert_eq!(raw(&app, path, key, &format!("step-{step}"), body).await, first[step], "{path} {round}");
        }
    }
    let page = app.get("/v1/sales?reference=R-7", &office).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    for path in ["/v1/sales?reference=", "/v1/sales/export.csv?reference="] {
        let nothing = app.request(Method::GET, path, &office).send().await.unwrap();
        assert_eq!(expect(nothing, StatusCode::BAD_REQUEST).await["code"], "malformed", "{path}: no desk has given it");
    }
    app.stop().await;
}

trait ReplaceHold {
    fn replace(self, hold: &str) -> Self;
}

impl ReplaceHold for Vec<u8> {
    fn replace(self, hold: &str) -> Self {
        String::from_utf8(self).unwrap().replace("HOLD", hold).into_bytes()
    }
}

async fn raw(app: &App, path: &str, key: &str, name: &str, body: &Value) -> (StatusCode, Vec<u8>) {
    let response = app.request(Method::POST, path, key).header("Idempotency-Key", name).json(body).send().await.unwrap();
    (response.status(), response.bytes().await.unwrap().to_vec())
}

#[actix_rt::test]
async fn a_key_is_needed_and_is_for_one_request() {
    let app = App::start().await;
    let (office, slot) = (app.key(Role::BoxOffice).await, slot(TORRE, 10));
    let (path, body) = (format!("/v1/slots/{slot}/sales"), json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}}));
    let missing = app.request(Method::POST, &path, &office).json(&body).send().await.unwrap();
    assert_eq!(expect(missing, StatusCode::BAD_REQUEST).await["code"], "idempotency_key_missing");
    assert_eq!(app.post(&path, &office, "a b", &body).await.1["code"], "malformed");

    // Two at once, and a third later: one sale, one answer.
    let (one, two) = futures_util::future::join(raw(&app, &path, &office, "same", &body), raw(&app, &path, &office, "\"same\"", &body)).await;
    assert_eq!(one.0, StatusCode::CREATED);
    assert_eq!(one, two);
    assert_eq!(raw(&app, &path, &office, "same", &body).await, one);
    let other = json!({"lines": [{"category": "under-18", "count": 2}], "settlement": {"free": {}}});
    let (status, problem) = app.post(&path, &office, "same", &other).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("idempotency_key_reused")));
    let head = app.node().board().head(slot).unwrap();
    assert_eq!(head.places.sold.iter().sum::<u32>(), 1);
    // A key is the caller's own.
    let second = app.key(Role::BoxOffice).await;
    assert_ne!(raw(&app, &path, &second, "same", &body).await, one);
    app.stop().await;
}

#[actix_rt::test]
async fn a_hold_ends_by_itself_and_then_cannot_be_confirmed() {
    let app = App::start().await;
    let (web, slot) = (app.key(Role::Web).await, slot(TORRE, 12));
    let hold = hold(&app, &web, slot, "under-18", 4, "hold").await;
    app.pass(899).await;
    let path = format!("/v1/holds/{hold}");
    app.get(&path, &web).await;
    // Nobody was there to note it for a minute.
    app.pass(61).await;
    let held = app.node().look(slot, |slot| slot.places().held.iter().sum::<u32>()).await.unwrap();
    assert_eq!(held, 0, "nobody asked, and the places are free");
    let contact = json!({"given_name": "Ada", "family_name": "Neri", "email": "ada@example.it"});
    let body = json!({"settlement": {"free": {}}, "contact": contact});
    let confirm = format!("{path}/confirm");
    let asks = [(Method::GET, &path, Value::Null), (Method::DELETE, &path, Value::Null), (Method::POST, &confirm, body)];
    for (method, path, body) in &asks {
        let (status, problem) = app.ask(method.clone(), path, &web, &format!("late-{method}"), body).await;
        let told = (status.as_u16(), problem["code"].as_str(), problem["at"].as_str());
        assert_eq!(told, (410, Some("hold_expired"), Some("2026-11-23T08:45:00Z")), "{method}: {problem}");
    }
    // To somebody else it is as unknown as it was while it lived.
    let other = app.key(Role::Web).await;
    for (method, path, body) in &asks {
        let (status, problem) = app.ask(method.clone(), path, &other, &format!("other-{method}"), body).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (404, Some("unknown_hold")), "{method}: {problem}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_visitor_cancels_is_paid_back_by_policy() {
    let app = App::start().await;
    let office = app.key(Role::BoxOffice).await;
    for (days, cause, refund_cents) in [(3, "visitor", 2_400), (0, "visitor", 0), (0, "museum", 2_400)] {
        let slot = SlotId::new(TORRE, slot(TORRE, 15).route(), slot(TORRE, 15).start().plus_seconds(days * 86_400));
        let body = json!({"lines": [{"category": "full", "count": 3}], "settlement": desk("R")});
        let (_, sale) = app.post(&format!("/v1/slots/{slot}/sales"), &office, &format!("sell-{days}-{cause}"), &body).await;
        let sale = sale["sale"].as_str().unwrap();
        let cancel = json!({"cause": cause, "tickets": [2, 0, 0]});
        let (status, cancelled) = app.post(&format!("/v1/sales/{sale}/cancel"), &office, &format!("cancel-{days}-{cause}"), &cancel).await;
        assert_eq!(status, StatusCode::OK, "{cancelled}");
        assert_eq!((&cancelled["tickets"], &cancelled["refund_cents"]), (&json!([0, 2]), &json!(refund_cents)), "{days} {cause}");
        let now = app.get(&format!("/v1/sales/{sale}"), &office).await;
        let states: Vec<_> = now["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap().to_owned()).collect();
        assert_eq!((states, &now["refunded_cents"]), (vec!["cancelled".into(), "valid".into(), "cancelled".into()], &json!(refund_cents)));
    }
    app.stop().await;
}

/// A desk that named the visitor as the cause names the museum: the rest goes back, once, also after a restart.
#[actix_rt::test]
async fn a_desk_corrects_a_cause_that_it_named_by_mistake() {
    let app = App::start().await;
    let (office, web, group) = (app.key(Role::BoxOffice).await, app.key(Role::Web).await, app.key(Role::GroupOffice).await);
    let body = json!({"lines": [{"category": "full", "count": 3}], "settlement": desk("R")});
    let (_, sale) = app.post(&format!("/v1/slots/{}/sales", slot(TORRE, 15)), &office, "sell", &body).await;
    let sale = sale["sale"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/sales/{sale}/cancel");
    let corrects = json!({"cause": "museum", "corrects": true});
    let (status, early) = app.post(&cancel, &office, "early", &corrects).await;
    assert_eq!((status.as_u16(), &early["code"]), (409, &json!("nothing_to_pay_back")), "{early}");
    assert!(early["detail"].as_str().unwrap().contains("without `corrects`"), "who would cancel all of it is told how: {early}");
    let (status, cancelled) = app.post(&cancel, &office, "cancel", &json!({"cause": "visitor", "tickets": [0, 2]})).await;
    assert_eq!((status, &cancelled["refund_cents"]), (StatusCode::OK, &json!(0)), "{cancelled}");
    let wrong = [("w1", json!({"cause": "visitor", "corrects": true})), ("w2", json!({"cause": "museum", "corrects": true, "tickets": [0]}))];
    for (name, wrong) in wrong {
        let (status, refused) = app.post(&cancel, &office, name, &wrong).await;
        assert_eq!((status.as_u16(), &refused["code"]), (422, &json!("invalid")), "{refused}");
    }
    assert_eq!(app.post(&cancel, &web, "shop", &corrects).await.0, StatusCode::FORBIDDEN);
    let (status, corrected) = app.post(&cancel, &office, "correct", &corrects).await;
    assert_eq!((status, &corrected["refund_cents"], &corrected["tickets"]), (StatusCode::OK, &json!(2_400), &json!([])), "{corrected}");
    let app = app.restart().await;
    assert_eq!(app.post(&cancel, &office, "correct", &corrects).await, (StatusCode::OK, corrected), "a repeat");
    let (status, again) = app.post(&cancel, &office, "again", &corrects).await;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("nothing_to_pay_back")), "{again}");
    let now = app.get(&format!("/v1/sales/{sale}"), &office).await;
    let states: Vec<&str> = now["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap()).collect();
    assert_eq!((states, &now["refunded_cents"]), (vec!["cancelled", "valid", "cancelled"], &json!(2_400)), "{now}");
    // What its till took goes back as one task.
    tornello_actors::payments::resume(app.node()).await;
    let open = app.until("/v1/refunds?state=open&museum=torre", &group, |page| !page["items"].as_array().unwrap().is_empty()).await;
    let amounts: Vec<&Value> = open["items"].as_array().unwrap().iter().map(|refund| &refund["amount_cents"]).collect();
    assert_eq!(amounts, [&json!(2_400)], "{open}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_desk_sells_of_a_shops_holds_stays_the_shops_and_is_listed_for_both() {
    let app = App::start().await;
    let (web, other, office) = (app.key(Role::Web).await, app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let given = app.hold(slot(TORRE, 11), &web, "h1", json!([{"category": "under-18", "count": 1}])).await;
    let paid = app.hold(slot(TORRE, 12), &web, "h2", json!([{"category": "full", "count": 1}])).await;
    let (status, sale) = app.post(&format!("/v1/holds/{given}/confirm"), &office, "c1", &free()).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let form = json!({"holds": [paid], "gateway": desk("R-1")});
    let (status, payment) = app.post("/v1/payments", &office, "p1", &form).await;
    assert_eq!((status, &payment["items"][0]["state"]), (StatusCode::CREATED, &json!("sold")), "{payment}");
    let reached = app.node().head().number;
    app.node().files().unwrap().views.reach(reached).await;
    let in_slot = format!("/v1/sales?slot={}", slot(TORRE, 11));
    let lists = [
        ("/v1/sales", &web, 2),
        ("/v1/sales?mine=true", &web, 2),
        (in_slot.as_str(), &web, 1),
        ("/v1/sales?from=2026-11-23&to=2026-11-23", &web, 2),
        ("/v1/sales?mine=true", &office, 2),
        ("/v1/sales", &other, 0),
    ];
    for (path, key, expected) in lists {
        let page = app.get(path, key).await;
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{path}: {page}");
    }
    // The shop sees each by itself as well, as before.
    for sale in [&given, &paid] {
        assert_eq!(app.get(&format!("/v1/sales/{sale}"), &web).await["sale"].as_str(), Some(sale.as_str()));
    }
    app.stop().await;
}

#[actix_rt::test]
async fn lists_go_page_by_page_and_each_sees_its_own() {
    let app = App::start().await;
    let (web, other, office) = (app.key(Role::Web).await, app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let mare_office = app.key_for(Role::BoxOffice, Museums::Only(vec![MARE])).await;
    for (number, (key, slot)) in
        [(&web, slot(TORRE, 11)), (&web, slot(TORRE, 11)), (&web, slot(MARE, 12)), (&other, slot(TORRE, 12))].into_iter().enumerate()
    {
        sell(&app, key, slot, 1, &format!("sale-{number}")).await;
    }
    let reached = app.node().head().number;
    app.node().files().unwrap().views.reach(reached).await;
    let count = async |path: &str, key: &str| app.get(path, key).await["items"].as_array().unwrap().len();
    assert_eq!(count("/v1/sales", &office).await, 4);
    assert_eq!(count("/v1/sales?mine=true", &office).await, 0);
    assert_eq!(count("/v1/sales", &web).await, 3);
    assert_eq!(count("/v1/sales?museum=mare", &web).await, 1);
    assert_eq!(count("/v1/sales?museum=2", &web).await, 1);
    assert_eq!(count("/v1/sales", &mare_office).await, 1);
    assert_eq!(count(&format!("/v1/sales?slot={}", slot(TORRE, 11)), &office).await, 2);
    assert_eq!(count(&format!("/v1/slots/{}/tickets", slot(TORRE, 11)), &office).await, 2);

    let (mut path, mut found) = ("/v1/sales?limit=3".to_owned(), Vec::new());
    loop {
        let page = app.get(&path, &office).await;
        assert!(page["as_of_batch"].as_u64().unwrap() >= reached);
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["sale"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/sales?limit=3&cursor={next}");
    }
    assert_eq!(found.len(), 4);
    assert!(found.is_sorted_by(|a, b| a < b), "each once, in order");

    for (path, key, status) in [
        ("/v1/sales?limit=0", &office, 400),
        ("/v1/sales?limit=201", &office, 400),
        ("/v1/sales?cursor=x", &office, 400),
        ("/v1/sales?colour=red", &office, 400),
        ("/v1/sales?museum=nowhere", &office, 404),
        ("/v1/sales?museum=torre", &mare_office, 404),
        (&format!("/v1/sales?slot={}", slot(TORRE, 11)), &mare_office, 404),
        (&format!("/v1/slots/{}/tickets", slot(TORRE, 11)), &web, 403),
        (&format!("/v1/slots/{}/tickets", slot(TORRE, 11)), &mare_office, 404),
    ] {
        assert_eq!(app.request(Method::GET, path, key).send().await.unwrap().status().as_u16(), status, "{path}");
    }
    app.stop().await;
}

/// Whoever asks who comes tomorrow, or what was sold yesterday, need not read everything that was ever sold.
#[actix_rt::test]
async fn sales_are_listed_by_the_day_of_the_visit_and_by_that_of_the_sale() {
    const DAY_S: i64 = 86_400;
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let in_days = |museum: MuseumId, days: i64| {
        let first = slot(museum, 11);
        SlotId::new(museum, first.route(), first.start().plus_seconds(days * DAY_S))
    };
    let mut sold = Vec::new();
    for (name, slot) in [("later", in_days(TORRE, 2)), ("sea", in_days(MARE, 1)), ("next", in_days(TORRE, 1))] {
        sold.push(sell(&app, &web, slot, 1, name).await["sale"].as_str().unwrap().to_owned());
    }
    // Half past midnight in Rome, which is the day before in UTC.
    app.pass(15 * 3_600).await;
    sold.push(sell(&app, &web, in_days(TORRE, 1), 1, "night").await["sale"].as_str().unwrap().to_owned());
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let [later, sea, next, night] = <[String; 4]>::try_from(sold).unwrap();
    let listed = async |query: &str, key: &str| {
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = app.get(&format!("/v1/sales?limit=1&{query}{cursor}"), key).await;
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["sale"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { return found };
            cursor = format!("&cursor={next}");
        }
    };
    let mut tomorrow = vec![next, night.clone()];
    tomorrow.sort_unstable();
    assert_eq!(listed("museum=torre&from=2026-11-24&to=2026-11-24", &office).await, tomorrow);
    assert_eq!(listed("from=2026-11-25", &office).await, [later]);
    assert_eq!(listed("to=2026-11-24", &web).await.len(), 3);
    assert_eq!(listed("sold_from=2026-11-23&sold_to=2026-11-23&museum=torre", &office).await.len(), 2);
    assert_eq!(listed("sold_from=2026-11-24", &office).await, std::slice::from_ref(&night));
    assert_eq!(listed("sold_to=2026-11-23&from=2026-11-24&to=2026-11-24&museum=mare", &office).await, [sea]);
    assert_eq!(listed("sold_to=2026-11-22", &office).await, Vec::<String>::new());
    let table = app.request(Method::GET, "/v1/sales/export.csv?sold_from=2026-11-24", &office).send().await.unwrap().text().await.unwrap();
    assert!(table.lines().count() == 2 && table.contains(&night), "{table}");
    for (query, status) in [
        ("from=2026-11-24&to=2026-11-23", 422),
        ("sold_from=2026-11-24&sold_to=2026-11-23", 422),
        ("from=tomorrow", 400),
        ("sold_to=2026-11-23T00:00:00Z", 400),
    ] {
        let path = format!("/v1/sales?{query}");
        assert_eq!(app.request(Method::GET, &path, &office).send().await.unwrap().status().as_u16(), status, "{path}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_another_callers_or_another_museums_is_not_there() {
    let app = App::start().await;
    let (owner, eleven) = (app.key(Role::Web).await, slot(TORRE, 11));
    let held = hold(&app, &owner, eleven, "under-18", 1, "hold").await;
    let sale = sell(&app, &owner, eleven, 1, "sale").await["sale"].as_str().unwrap().to_owned();
    let ticket = ticket(&sale, 0);
    let elsewhere = || Museums::Only(vec![MARE]);
    let strangers = [
        ("another web shop", app.key(Role::Web).await),
        ("a reseller", app.key(Role::Reseller).await),
        ("a kiosk", app.key(Role::Kiosk).await),
        ("another museum's desk", app.key_for(Role::BoxOffice, elsewhere()).await),
        ("another museum's manager", app.key_for(Role::Manager, elsewhere()).await),
        ("another museum's web shop", app.key_for(Role::Web, elsewhere()).await),
    ];
    let reads = [
        format!("/v1/holds/{held}"),
        format!("/v1/sales/{sale}"),
        format!("/v1/sales/{sale}/tickets.pdf"),
        format!("/v1/tickets/{ticket}"),
        format!("/v1/tickets/{ticket}/qr.svg"),
        format!("/v1/tickets/{ticket}/qr.png"),
        format!("/v1/tickets/{ticket}/pdf"),
    ];
    let writes = [
        (Method::DELETE, format!("/v1/holds/{held}"), Value::Null),
        (Method::POST, format!("/v1/holds/{held}/extend"), Value::Null),
        (Method::POST, format!("/v1/holds/{held}/confirm"), free()),
        (Method::POST, format!("/v1/sales/{sale}/cancel"), json!({"cause": "visitor"})),
    ];
    for (who, key) in &strangers {
        for path in &reads {
            assert_eq!(app.request(Method::GET, path, key).send().await.unwrap().status(), StatusCode::NOT_FOUND, "{who} reads {path}");
        }
        for (method, path, body) in &writes {
            let (status, problem) = app.ask(method.clone(), path, key, "stranger", body).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{who} at {path}: {problem}");
        }
    }
    let manager = &strangers[4].1;
    for (path, body) in [(format!("/v1/sales/{sale}/block"), json!({"reason": "x"})), (format!("/v1/sales/{sale}/unblock"), json!({}))] {
        assert_eq!(app.post(&path, manager, &path, &body).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    // The owner and the museum's own desk see all of it.
    let desk = app.key_for(Role::BoxOffice, Museums::Only(vec![TORRE])).await;
    for (path, key) in reads.iter().flat_map(|path| [(path, &owner), (path, &desk)]) {
        assert_eq!(app.request(Method::GET, path, key).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    app.stop().await;
}

/// A shop whose key has leaked gets another secret: by another key it would have none of what it sold.
#[actix_rt::test]
async fn a_shop_whose_secret_is_exchanged_has_what_it_held_and_sold() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    let sold = hold(&app, &web, slot(TORRE, 11), "under-18", 1, "sold").await;
    let confirm = (format!("/v1/holds/{sold}/confirm"), free());
    let (status, sale) = app.post(&confirm.0, &web, "confirm", &confirm.1).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let held = hold(&app, &web, slot(TORRE, 11), "under-18", 1, "held").await;
    let keys = &app.node().files().unwrap().keys;
    let id = keys.authenticate(&web, app.node().now()).unwrap().id;
    keys.revoke(id, app.node().now()).await.unwrap();
    let (renewed, _) = keys.renew(id, None, app.node().now()).await.unwrap();
    let path = format!("/v1/sales/{sold}");
    let refused = expect(app.request(Method::GET, &path, &web).send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(refused["reason"], "key_unknown");
    assert!(refused["detail"].as_str().unwrap().contains("`reason`"), "{refused}");
    assert_eq!(app.get(&path, renewed.expose()).await["sale"], json!(sold));
    app.until("/v1/sales", renewed.expose(), |seen| seen["items"][0]["sale"] == json!(sold)).await;
    app.get(&format!("/v1/holds/{held}"), renewed.expose()).await;
    // What was asked under the secret before is not done twice under the next one.
    assert_eq!(app.post(&confirm.0, renewed.expose(), "confirm", &confirm.1).await, (status, sale));
    app.stop().await;
}

#[actix_rt::test]
async fn forty_race_for_twenty_places_and_exactly_twenty_are_sold() {
    let app = App::start().await;
    let (web, office, slot) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 14));
    let buy = async |number: usize| {
        if number.is_multiple_of(2) {
            let body = json!({"lines": [{"category": "full", "count": 1}], "settlement": desk("R")});
            return app.post(&format!("/v1/slots/{slot}/sales"), &office, &format!("buy-{number}"), &body).await;
        }
        let (status, held) = app.post(&format!("/v1/slots/{slot}/holds"), &web, &format!("hold-{number}"), &lines("under-18", 1)).await;
        if status != StatusCode::CREATED {
            return (status, held);
        }
        app.post(&format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap()), &web, &format!("buy-{number}"), &free()).await
    };
    let answers = join_all((0..40).map(buy)).await;
    let sold = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    let refused = answers.iter().filter(|(status, problem)| *status == StatusCode::CONFLICT && problem["code"] == "not_enough_places").count();
    assert_eq!((sold, refused), (20, 20));
    let places = app.node().board().head(slot).unwrap().places;
    assert_eq!((places.sold.iter().sum::<u32>(), places.held.iter().sum::<u32>()), (20, 0));
    app.stop().await;
}

#[actix_rt::test]
async fn a_repeat_is_answered_like_the_first_whatever_the_tariff_has_become() {
    let app = App::start().await;
    let (web, office, eleven) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let held = (format!("/v1/slots/{eleven}/holds"), json!({"lines": [{"category": "full", "count": 2}]}));
    let sold = (format!("/v1/slots/{eleven}/sales"), json!({"lines": [{"category": "full", "count": 1}], "settlement": desk("R1")}));
    let first = [app.post(&held.0, &web, "h", &held.1).await, app.post(&sold.0, &office, "s", &sold.1).await];
    assert!(first.iter().all(|(status, _)| *status == StatusCode::CREATED), "{first:?}");
    let mut tariff = app.node().museums().get(TORRE).unwrap().museum.tariff_on(today()).unwrap().1.clone();
    tariff.categories.iter_mut().filter(|category| category.code == code("full")).for_each(|category| category.code = code("intero"));
    let envelope =
        Envelope { who: KeyId::SYSTEM, key: Digest(98), body: Digest(98), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().museum(TORRE, envelope, museum::Command::SetTariff { valid_from: today(), tariff }).await.unwrap();
    let again = [app.post(&held.0, &web, "h", &held.1).await, app.post(&sold.0, &office, "s", &sold.1).await];
    assert_eq!(again, first);
    assert_eq!(app.post(&held.0, &web, "new", &held.1).await.1["code"], "unknown_category");
    app.stop().await;
}
