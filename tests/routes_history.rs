//! What a slot was, what led there, and what it would have said: a refusal of yesterday is explained today.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum::Command;
use tornello_engine::tariff::Tariff;

use crate::support::{App, MARE, NOW, TORRE, expect, plan, slot, today};

/// The first event that comes of a command, or the code of its refusal and the step.
type Expected = Result<&'static str, (&'static str, u64)>;

/// Tomorrow at ten.
fn tomorrow() -> SlotId {
    SlotId::new(TORRE, slot(TORRE, 10).route(), slot(TORRE, 10).start().plus_seconds(86_400))
}

fn kinds(history: &Value) -> Vec<(u64, &str)> {
    let records = history["records"].as_array().unwrap();
    let events = |record: &'_ Value| record["seq"].as_u64().unwrap();
    records
        .iter()
        .flat_map(|record| record["events"].as_array().unwrap().iter().map(move |event| (events(record), event["kind"].as_str().unwrap())))
        .collect()
}

#[actix_rt::test]
async fn a_hold_refused_yesterday_is_explained_though_places_are_free_now() {
    let app = App::start().await;
    let (web, manager) = (app.key(Role::Web).await, app.key(Role::Manager).await);
    let path = format!("/v1/slots/{}", tomorrow());
    let history = format!("{path}/history");
    let planned = app.get(&history, &manager).await;
    assert_eq!((&planned["seq"], &planned["state"]["opened"], &planned["state"]["sellable"]), (&json!(0), &json!(false), &json!(20)));
    assert_eq!(planned["records"], json!([]));

    app.pass(60).await;
    let (status, held) = app.post(&format!("{path}/holds"), &web, "a", &json!({"lines": [{"category": "full", "count": 18}]})).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    app.pass(60).await;
    let refused_at = app.node().now().to_string();
    let (status, refused) = app.post(&format!("{path}/holds"), &web, "b", &json!({"lines": [{"category": "full", "count": 3}]})).await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("not_enough_places")));
    app.pass(12 * 3600).await;
    assert_eq!(app.get(&path, &manager).await["available"], 20, "the hold has ended");

    let ask = "command=hold&channel=web&people=3";
    let then = app.get(&format!("{history}?at={refused_at}&{ask}"), &manager).await;
    assert_eq!((&then["seq"], &then["state"]["held"], &then["state"]["live_holds"]), (&json!(1), &json!(18), &json!(1)));
    assert_eq!(then["state"]["holds"][0]["hold"], held["hold"]);
    assert_eq!((&then["state"]["channels"][0]["available"], &then["state"]["channels"][0]["limited_by"]), (&json!(2), &json!("capacity")));
    assert_eq!(kinds(&then), [(1, "opened"), (1, "held")]);
    let record = &then["records"][0];
    assert_eq!((&record["at"], record["key"].is_string()), (&json!("2026-11-23T08:31:00Z"), true));
    assert_eq!(record["events"][1]["fields"]["expires_at"], held["expires_at"]);
    let decision = &then["decision"];
    assert_eq!(decision["outcome"], "refused");
    let told = ["code", "title", "detail", "asked", "available", "limited_by", "status"].map(|name| &decision["problem"][name]);
    assert_eq!(told, ["code", "title", "detail", "asked", "available", "limited_by", "status"].map(|name| &refused[name]), "as the caller was told");
    let sentence = "Step 6 of 7, places: there are not enough places (2 left for 3 people: all places are taken).";
    assert_eq!(decision["rule"], json!({"step": 6, "steps": 7, "sentence": sentence}));

    let today = app.get(&format!("{history}?{ask}&category=full"), &manager).await;
    assert_eq!(kinds(&today), [(1, "opened"), (1, "held"), (2, "expired")]);
    assert_eq!(today["records"][1].get("key"), None, "nobody asked for that");
    assert_eq!((&today["decision"]["outcome"], &today["decision"]["events"][0]["kind"]), (&json!("accepted"), &json!("held")));
    assert_eq!(today["decision"]["events"][0]["fields"]["lines"][0]["price_cents"], 1_200);
    assert_eq!(app.get(&path, &manager).await["held"], 0, "nothing was done");

    let before = app.get(&format!("{history}?at={NOW}&{ask}"), &manager).await;
    assert_eq!((&before["seq"], &before["state"]["held"], &before["decision"]["outcome"]), (&json!(0), &json!(0), &json!("accepted")));
    assert_eq!(before["records"], json!([]));
    // The hold was over when its time was, not when somebody noted it.
    let ended = app.get(&format!("{history}?at={}", held["expires_at"].as_str().unwrap()), &manager).await;
    assert_eq!((&ended["seq"], &ended["state"]["held"]), (&json!(1), &json!(0)));
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_sale_and_a_ticket_would_have_been_told() {
    let app = App::start().await;
    let (desk, gate, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Gate).await, app.key(Role::Manager).await);
    let nine = slot(TORRE, 9);
    let sale = json!({"lines": [{"category": "full", "count": 1}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (status, sold) = app.post(&format!("/v1/slots/{nine}/sales"), &desk, "a", &sale).await;
    assert_eq!(status, StatusCode::CREATED, "{sold}");
    let sold_at = app.node().now();
    let (ticket, sale) = (sold["tickets"][0]["ticket"].as_str().unwrap(), sold["sale"].as_str().unwrap());
    app.pass(60).await;
    let (status, body) = app.post("/v1/admissions", &gate, "b", &json!({"ticket": ticket, "gate": "north", "museum": "torre"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let history = format!("/v1/slots/{nine}/history");
    for (when, command, outcome, code, step) in [
        (format!("at={sold_at}&"), format!("admit&ticket={ticket}"), "accepted", Value::Null, Value::Null),
        (String::new(), format!("admit&ticket={ticket}"), "refused", json!("ticket_inside"), json!(8)),
        (format!("at={sold_at}&"), format!("cancel&sale={sale}"), "accepted", Value::Null, Value::Null),
        (String::new(), format!("cancel&sale={sale}"), "refused", json!("ticket_used"), json!(4)),
        (String::new(), format!("cancel&sale={sale}&key=0000000000000"), "refused", json!("unknown_sale"), json!(2)),
        (String::new(), format!("confirm&hold={sale}"), "refused", json!("hold_sold"), json!(2)),
        (String::new(), format!("exit&ticket={ticket}"), "accepted", Value::Null, Value::Null),
        (String::new(), "sell&channel=web&people=1&category=full".to_owned(), "refused", json!("sale_over"), json!(3)),
        (String::new(), "sell&channel=box_office&people=1&category=full".to_owned(), "accepted", Value::Null, Value::Null),
    ] {
        let said = app.get(&format!("{history}?{when}command={command}"), &manager).await;
        let decision = &said["decision"];
        assert_eq!(
            (&decision["outcome"], &decision["problem"]["code"], &decision["rule"]["step"]),
            (&json!(outcome), &code, &step),
            "{when}{command}"
        );
    }
    app.stop().await;
}

async fn set(app: &App, key: u128, command: Command) {
    let key = Digest(key);
    let by = Envelope { who: KeyId::SYSTEM, key, body: key, parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    app.node().museum(TORRE, by, command).await.unwrap();
}

#[actix_rt::test]
async fn a_command_is_decided_as_it_was_given() {
    let app = App::start().await;
    let (web, desk, manager) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let mut limited = plan();
    limited.routes[0].policy.limits.tickets_max = Some(4);
    set(&app, 90, Command::SetPlan { valid_from: today(), plan: limited }).await;
    let (ten, nine) = (tomorrow(), slot(TORRE, 9));
    let hold = |count: u16| json!({"lines": [{"category": "full", "count": count}], "parties": [{"kind": "buyer", "value": "ada"}]});
    let (status, held) = app.post(&format!("/v1/slots/{ten}/holds"), &web, "a", &hold(3)).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let (_, refused) = app.post(&format!("/v1/slots/{ten}/holds"), &web, "b", &hold(2)).await;
    assert_eq!(refused["code"], "too_many_for_buyer", "{refused}");
    let sold = json!({"lines": [{"category": "full", "count": 2}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let mut sales = Vec::new();
    for (slot, name) in [(ten, "c"), (nine, "d")] {
        let (status, sold) = app.post(&format!("/v1/slots/{slot}/sales"), &desk, name, &sold).await;
        assert_eq!(status, StatusCode::CREATED, "{sold}");
        sales.push(sold);
    }
    let (hold, sale) = (held["hold"].as_str().unwrap(), sales[0]["sale"].as_str().unwrap());
    let holder = json!({"holder": {"given_name": "Ada", "family_name": "Neri"}});
    let renamed = app.post(&format!("/v1/tickets/{}/rename", sales[1]["sale"].as_str().unwrap()), &desk, "e", &holder).await;
    assert_eq!(renamed.0, StatusCode::OK, "{}", renamed.1);
    let ticket = sales[1]["tickets"][0]["ticket"].as_str().unwrap();

    let eleven = SlotId::new(TORRE, ten.route(), ten.start().plus_seconds(3_600));
    let (never, elsewhere) = (SlotId::new(TORRE, ten.route(), ten.start().plus_seconds(-6 * 3_600)), slot(MARE, 10));
    let scan = |rest: &str| format!("scan&ticket={ticket}&gate=north&{rest}");
    // Of which slot, what is asked, which event comes of it, or the code of the refusal and the step.
    let cases: Vec<(SlotId, String, Expected)> = vec![
        (ten, "hold&channel=web&people=2&category=full&buyer=ada".to_owned(), Err(("too_many_for_buyer", 7))),
        (ten, "hold&channel=web&people=1&category=full&buyer=ada".to_owned(), Ok("held")),
        (ten, "hold&channel=web&people=2&category=full&buyer=bob".to_owned(), Ok("held")),
        (ten, "hold&channel=web&people=2&category=full".to_owned(), Ok("held")),
        (ten, "hold&channel=web&lines=full:1,under-18:1".to_owned(), Ok("held")),
        (ten, "sell&channel=web&people=1&category=full".to_owned(), Ok("sold")),
        (ten, "sell&channel=web&people=1&category=full&settlement=desk".to_owned(), Err(("settlement_not_allowed", 5))),
        (ten, format!("confirm&hold={hold}"), Ok("sold")),
        (ten, format!("confirm&hold={hold}&settlement=payment"), Ok("sold")),
        (ten, format!("confirm&hold={hold}&settlement=on_account"), Err(("settlement_not_allowed", 5))),
        (ten, format!("confirm&hold={hold}&settlement=free"), Err(("settlement_mismatch", 5))),
        (ten, "wait&channel=web&people=1&category=full".to_owned(), Err(("places_available", 6))),
        (ten, format!("leave&entry={hold}"), Err(("unknown_entry", 2))),
        (ten, format!("move&sale={sale}&to={eleven}&tickets=1"), Ok("move_begun")),
        (ten, format!("move&sale={sale}&to={ten}"), Err(("same_slot", 1))),
        (ten, format!("move&sale={sale}&to={elsewhere}"), Err(("other_museum", 1))),
        (ten, format!("move&sale={sale}&to={never}"), Err(("unknown_slot", 2))),
        (ten, format!("rename&sale={sale}&tickets=0"), Ok("renamed")),
        (ten, format!("block&sale={sale}&tickets=1&reason=resold"), Ok("blocked")),
        (ten, format!("unblock&sale={sale}"), Err(("not_blocked", 4))),
        (nine, format!("admit&ticket={ticket}"), Ok("admitted")),
        (nine, format!("admit&ticket={ticket}&issue=2"), Ok("admitted")),
        (nine, format!("admit&ticket={ticket}&issue=1"), Err(("code_outdated", 3))),
        (nine, scan("direction=in&scanned_at=2026-11-23T08:20:00Z"), Ok("admitted")),
        // Its first code counted then.
        (nine, scan("direction=in&scanned_at=2026-11-23T08:20:00Z&issue=1"), Ok("admitted")),
        (nine, scan("direction=out&scanned_at=2026-11-23T08:20:00Z"), Ok("scans_judged")),
        (nine, scan("direction=out&scanned_at=2026-11-23T09:20:00Z"), Err(("scan_in_future", 4))),
    ];
    for (slot, command, expected) in cases {
        let said = app.get(&format!("/v1/slots/{slot}/history?command={command}"), &manager).await;
        let decision = &said["decision"];
        match expected {
            Ok(kind) => {
                assert_eq!((&decision["outcome"], &decision["events"][0]["kind"]), (&json!("accepted"), &json!(kind)), "{command}: {decision}");
            }
            Err((code, step)) => {
                assert_eq!((&decision["problem"]["code"], &decision["rule"]["step"]), (&json!(code), &json!(step)), "{command}: {decision}");
            }
        }
    }
    // The buyer in a header, so that no log of addresses has it: once, and not beside another one.
    let of = async |buyer: &str, rest: &str| {
        let path = format!("/v1/slots/{ten}/history?command=hold&channel=web&people=2&category=full{rest}");
        let response = app.request(Method::GET, &path, &manager).header("Buyer", buyer).send().await.unwrap();
        let status = response.status().as_u16();
        let said: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, said["decision"]["problem"]["code"].clone())
    };
    assert_eq!(of("ada", "").await, (200, json!("too_many_for_buyer")));
    assert_eq!(of("bob", "").await, (200, Value::Null));
    assert_eq!(of("", "").await.0, 422);
    assert_eq!(of("ada", "&buyer=ada").await.0, 422);
    // What a cancellation pays back depends on which tickets, and why.
    for (asked, tickets, cents) in [("", json!([0, 1]), 1_200), ("&tickets=0", json!([0]), 600), ("&tickets=0&cause=museum", json!([0]), 1_200)] {
        let said = app.get(&format!("/v1/slots/{ten}/history?command=cancel&sale={sale}{asked}"), &manager).await;
        let fields = &said["decision"]["events"][0]["fields"];
        assert_eq!((&fields["tickets"], &fields["refund_cents"]), (&tickets, &json!(cents)), "{asked}: {said}");
    }
    for (bad, status) in [
        ("command=hold&channel=web&lines=full", 400),
        ("command=hold&channel=web&lines=full:1&people=1", 422),
        ("command=hold&channel=web&people=1&buyer=", 422),
        ("command=scan&ticket=x", 400),
        ("command=leave", 422),
        ("command=cancel&sale=x", 400),
    ] {
        let response = app.request(Method::GET, &format!("/v1/slots/{ten}/history?{bad}"), &manager).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{bad}");
    }

    // Prices are those of the tariff as it was then.
    let before = app.node().now().to_string();
    app.pass(60).await;
    set(&app, 91, Command::SetTariff { valid_from: today(), tariff: Tariff::state_museum(Cents::new(1_500)) }).await;
    for (when, cents) in [(format!("at={before}&"), 1_200), (String::new(), 1_500)] {
        let said = app.get(&format!("/v1/slots/{ten}/history?{when}command=hold&channel=web&people=1&category=full"), &manager).await;
        assert_eq!(said["decision"]["events"][0]["fields"]["lines"][0]["price_cents"], cents, "{when}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn who_waited_then_and_who_was_served_before_them_is_told() {
    let app = App::start().await;
    let (web, manager, ten) = (app.key(Role::Web).await, app.key(Role::Manager).await, tomorrow());
    let lines = |count: u16| json!({"lines": [{"category": "full", "count": count}]});
    let mut holds = Vec::new();
    for (count, name) in [(15, "a"), (5, "b")] {
        holds.push(app.post(&format!("/v1/slots/{ten}/holds"), &web, name, &lines(count)).await.1["hold"].as_str().unwrap().to_owned());
    }
    let mut entries = Vec::new();
    for (count, name) in [(8, "c"), (4, "d")] {
        entries.push(app.post(&format!("/v1/slots/{ten}/waiting"), &web, name, &lines(count)).await.1["entry"].as_str().unwrap().to_owned());
    }
    let history = format!("/v1/slots/{ten}/history");
    let joined = app.node().now().to_string();
    app.pass(60).await;
    let released = app.request(Method::DELETE, &format!("/v1/holds/{}", holds[1]), &web).header("Idempotency-Key", "e").send().await.unwrap();
    assert_eq!(released.status(), StatusCode::NO_CONTENT);
    app.pass(60).await;
    let served = app.node().now().to_string();
    app.pass(600).await;
    let left = app.request(Method::DELETE, &format!("/v1/waiting/{}", entries[0]), &web).header("Idempotency-Key", "f").send().await.unwrap();
    assert_eq!(left.status(), StatusCode::NO_CONTENT);

    let waited = |then: &Value| {
        let waiting = then["state"]["waiting"].as_array().unwrap();
        waiting.iter().map(|party| (party["entry"].as_str().unwrap().to_owned(), party["overtaken"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    let then = app.get(&format!("{history}?at={joined}"), &manager).await;
    assert_eq!(waited(&then), [(entries[0].clone(), 0), (entries[1].clone(), 0)]);
    let then = app.get(&format!("{history}?at={served}"), &manager).await;
    assert_eq!(waited(&then), [(entries[0].clone(), 1)]);
    let first = &then["state"]["waiting"][0];
    assert_eq!((&first["number"], &first["people"], &first["channel"]), (&json!(1), &json!(8), &json!("web")));
    let by = &first["overtaken_by"][0];
    assert_eq!((&by["number"], &by["people"], &by["free"]), (&json!(2), &json!(4), &json!(5)));
    assert!(waited(&app.get(&history, &manager).await).is_empty());
    app.stop().await;
}

#[actix_rt::test]
async fn a_move_and_a_rename_are_told_in_both_slots() {
    let app = App::start().await;
    let (desk, manager) = (app.key(Role::BoxOffice).await, app.key(Role::Manager).await);
    let (eleven, twelve) = (slot(TORRE, 11), slot(TORRE, 12));
    let sale = json!({"lines": [{"category": "full", "count": 2}], "settlement": {"desk": {"till": "t", "method": "cash", "reference": "R"}}});
    let (_, sold) = app.post(&format!("/v1/slots/{eleven}/sales"), &desk, "a", &sale).await;
    let from = sold["sale"].as_str().unwrap();
    let holder = json!({"holder": {"given_name": "Ada", "family_name": "Neri"}});
    let (status, renamed) = app.post(&format!("/v1/tickets/{from}/rename"), &desk, "b", &holder).await;
    assert_eq!(status, StatusCode::OK, "{renamed}");
    let (status, moved) = app.post(&format!("/v1/sales/{from}/move"), &desk, "c", &json!({"slot": twelve.to_string()})).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    let of = async |slot: SlotId| app.get(&format!("/v1/slots/{slot}/history"), &manager).await;
    let (here, there) = (of(eleven).await, of(twelve).await);
    assert_eq!(kinds(&here), [(1, "opened"), (1, "sold"), (2, "renamed"), (3, "move_begun"), (4, "moved_out")]);
    assert_eq!(kinds(&there), [(1, "opened"), (1, "arrived"), (1, "renamed")], "the names come along");
    let fields = |history: &Value, record: usize, event: usize| history["records"][record]["events"][event]["fields"].clone();
    assert_eq!(fields(&here, 1, 0)["tickets"], json!([[0, 2]]), "ticket and issue");
    let begun = fields(&here, 2, 0);
    assert_eq!((&begun["arrival"], &begun["tickets"], &begun["via"]), (&moved["sale"], &json!([0, 1]), &json!("box_office")));
    assert_eq!((&fields(&here, 3, 0)["carried_cents"], &fields(&there, 0, 1)["from"]), (&json!(2_400), &json!(from)));
    app.stop().await;
}

#[actix_rt::test]
async fn a_long_history_comes_in_pages_and_only_for_those_who_manage() {
    let app = App::start().await;
    let manager = app.key_for(Role::Manager, Museums::Only(vec![TORRE])).await;
    let path = format!("/v1/slots/{}", tomorrow());
    for n in 1..=7 {
        let (status, body) = app.ask(Method::PUT, &format!("{path}/capacity"), &manager, &format!("k{n}"), &json!({"capacity": n})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let history = format!("{path}/history");
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = app.get(&format!("{history}?limit=3{cursor}"), &manager).await;
        assert_eq!((&page["seq"], &page["state"]["capacity"]), (&json!(7), &json!(7)), "every page shows the same moment");
        found.push(page["records"].as_array().unwrap().iter().map(|record| record["seq"].as_u64().unwrap()).collect::<Vec<_>>());
        let Some(next) = page["next_cursor"].as_u64() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, [vec![5, 6, 7], vec![2, 3, 4], vec![1]]);
    let app = app.restart().await;
    assert_eq!(app.get(&history, &manager).await["seq"], 7);

    let bad = [
        ("limit=0", 400),
        ("limit=1001", 400),
        ("at=noon", 400),
        ("command=hold&channel=web&people=0", 400),
        ("command=hold&channel=web&people=1001", 400),
        ("at=2027-01-01T00:00:00Z", 422),
        ("command=hold", 422),
        ("command=confirm", 422),
        ("command=admit&ticket=0001000102r4e0000000000000", 422),
        ("command=steal", 400),
        ("people=-1", 400),
    ];
    for (query, status) in bad {
        let response = app.request(Method::GET, &format!("{history}?{query}"), &manager).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{query}");
    }
    let clerk = app.key(Role::BoxOffice).await;
    for (path, key, status) in [
        (history.clone(), &clerk, StatusCode::FORBIDDEN),
        (format!("/v1/slots/{}/history", slot(MARE, 10)), &manager, StatusCode::NOT_FOUND),
        (format!("/v1/slots/{}/history", slot(TORRE, 3)), &manager, StatusCode::NOT_FOUND),
    ] {
        expect(app.request(Method::GET, &path, key).send().await.unwrap(), status).await;
    }
    app.stop().await;
}
