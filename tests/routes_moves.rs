//! Sales that move to another slot and tickets that go to another person: what is answered, every refusal once, repeats, and which code opens the gate.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum;
use tornello_engine::slot::Command;
use tornello_engine::tariff::Tariff;

use crate::routes_people::sightings;
use crate::routes_sales::{desk, refuses, sell, tell, ticket};
use crate::support::{App, MARE, TORRE, code, slot, today};

fn to(slot: SlotId, tickets: &[u16]) -> Value {
    json!({"slot": slot.to_string(), "tickets": tickets})
}

fn holder(given_name: &str, family_name: &str) -> Value {
    json!({"holder": {"given_name": given_name, "family_name": family_name}})
}

async fn code_of(app: &App, key: &str, ticket: &str) -> String {
    app.get(&format!("/v1/tickets/{ticket}"), key).await["code"].as_str().unwrap().to_owned()
}

async fn show(app: &App, gate: &str, name: &str, code: &str) -> (StatusCode, Value) {
    app.post("/v1/admissions", gate, name, &json!({"code": code, "gate": "north", "museum": "torre"})).await
}

/// Sells at the desk, at the full price, and answers the sale.
async fn sell_full(app: &App, office: &str, slot: SlotId, count: u16, name: &str) -> String {
    let body = json!({"lines": [{"category": "full", "count": count}], "settlement": desk(name)});
    let (status, sale) = app.post(&format!("/v1/slots/{slot}/sales"), office, name, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    sale["sale"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_sale_moves_and_its_new_codes_open_the_gate() {
    let mut app = App::start().await;
    let (office, gate) = (app.key(Role::BoxOffice).await, app.key(Role::Gate).await);
    let (eleven, twelve) = (slot(TORRE, 11), slot(TORRE, 12));
    let sale = sell_full(&app, &office, eleven, 3, "R-1").await;
    let old = code_of(&app, &office, &ticket(&sale, 1)).await;
    let stays = code_of(&app, &office, &ticket(&sale, 0)).await;

    let path = format!("/v1/sales/{sale}/move");
    let (status, moved) = app.post(&path, &office, "move", &to(twelve, &[2, 1])).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    let new = moved["sale"].as_str().unwrap().to_owned();
    assert_eq!((&moved["slot"], &moved["people"], &moved["total_cents"]), (&json!(twelve.to_string()), &json!(2), &json!(2_400)));
    assert_eq!((&moved["settlement"], &moved["channel"]), (&json!({"moved": {"from": sale}}), &json!("box_office")));
    assert_eq!(moved["tickets"].as_array().unwrap().len(), 2);

    let before = app.get(&format!("/v1/sales/{sale}"), &office).await;
    let tickets: Vec<_> =
        before["tickets"].as_array().unwrap().iter().map(|ticket| (ticket["state"].as_str().unwrap(), ticket["moved_to"].as_str())).collect();
    let (first, second) = (ticket(&new, 0), ticket(&new, 1));
    assert_eq!(tickets, [("valid", None), ("moved", Some(&*first)), ("moved", Some(&*second))]);
    assert_eq!((&before["total_cents"], &before["carried_cents"], &before["refunded_cents"]), (&json!(3_600), &json!(2_400), &json!(0)));
    let gone = app.get(&format!("/v1/tickets/{}", ticket(&sale, 1)), &office).await;
    assert_eq!((gone["state"].as_str(), gone["moved_to"].as_str(), gone.get("code")), (Some("moved"), Some(&*first), None));
    let after = app.get(&format!("/v1/sales/{new}"), &office).await;
    assert_eq!((&after["settlement"], &after["carried_cents"]), (&json!({"moved": {"from": sale}}), &json!(0)));
    let states: Vec<&str> = after["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["valid"; 2]);

    // The list shows both, and counts no cent twice.
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let list = app.get("/v1/sales", &office).await;
    let items = list["items"].as_array().unwrap();
    let cents = |name: &str| items.iter().map(|item| item[name].as_i64().unwrap()).sum::<i64>();
    assert_eq!((items.len(), cents("total_cents") - cents("carried_cents"), cents("moved")), (2, 3_600, 2));

    // A repeat is answered the same, also after a restart; another request under its key is not.
    for round in ["at once", "after a restart"] {
        assert_eq!(app.post(&path, &office, "move", &to(twelve, &[2, 1])).await, (StatusCode::OK, moved.clone()), "{round}");
        let (status, problem) = app.post(&path, &office, "move", &to(twelve, &[0])).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("idempotency_key_reused")), "{round}");
        app = app.restart().await;
    }

    // Five to twelve: both slots may be entered, each ticket once, by its newest code.
    app.pass(2 * 3_600 + 25 * 60).await;
    let (status, problem) = show(&app, &gate, "old", &old).await;
    assert_eq!((status.as_u16(), problem["code"].as_str(), problem["verdict"].as_str()), (409, Some("ticket_moved"), Some("refused")));
    assert_eq!(problem["to"].as_str(), Some(&*first));
    let fresh = code_of(&app, &office, &first).await;
    for (name, code) in [("new", &fresh), ("stays", &stays)] {
        let (status, answer) = show(&app, &gate, name, code).await;
        assert_eq!(status, StatusCode::OK, "{name}: {answer}");
    }
    assert_eq!(show(&app, &gate, "twice", &fresh).await.1["code"], "ticket_inside");
    for (path, status) in [(format!("/v1/sales/{new}/tickets.pdf"), 200), (format!("/v1/tickets/{}/pdf", ticket(&sale, 1)), 409)] {
        assert_eq!(app.request(Method::GET, &path, &office).send().await.unwrap().status().as_u16(), status, "{path}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn where_the_web_sells_no_more_the_desk_moves_a_visitor_of_the_web() {
    let app = App::start().await;
    let (web, office) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await);
    let (ten, eleven) = (slot(TORRE, 10), slot(TORRE, 11));
    let sale = sell(&app, &web, eleven, 2, "web").await["sale"].as_str().unwrap().to_owned();
    // Five past ten: they have come early, and ten o'clock runs already.
    app.pass(35 * 60).await;
    let path = format!("/v1/sales/{sale}/move");
    refuses(&app, &[("the web is too late", path.clone(), &web, to(ten, &[]), 409, "sale_over")]).await;
    let (status, moved) = app.post(&path, &office, "desk", &to(ten, &[])).await;
    assert_eq!((status, moved["channel"].as_str()), (StatusCode::OK, Some("web")), "{moved}");
    let mine = app.get(&format!("/v1/sales/{}", moved["sale"].as_str().unwrap()), &web).await;
    assert_eq!(mine["people"], 2, "it is still the shop's own sale");
    app.pass(2 * 3_600).await;
    refuses(&app, &[("over", path, &office, to(slot(TORRE, 14), &[]), 409, "slot_over")]).await;
    app.stop().await;
}

#[actix_rt::test]
async fn whoever_finds_the_other_slot_full_is_not_led_back_to_their_own() {
    let app = App::start().await;
    let (office, eleven, twelve) = (app.key(Role::BoxOffice).await, slot(TORRE, 11), slot(TORRE, 12));
    sell_full(&app, &office, twelve, 20, "R-1").await;
    let sale = sell_full(&app, &office, eleven, 2, "R-2").await;
    let named = |problem: &Value| -> Vec<Value> { problem["alternatives"].as_array().unwrap().iter().map(|other| other["slot"].clone()).collect() };
    let (status, problem) = app.post(&format!("/v1/sales/{sale}/move"), &office, "move", &to(twelve, &[])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_enough_places")), "{problem}");
    assert_eq!(named(&problem), [13, 10, 14].map(|hour| json!(slot(TORRE, hour).to_string())), "{problem}");
    // Whoever has none yet may go there.
    let body = json!({"lines": [{"category": "full", "count": 2}]});
    let (_, problem) = app.post(&format!("/v1/slots/{twelve}/holds"), &office, "hold", &body).await;
    assert_eq!(named(&problem), [11, 13, 10].map(|hour| json!(slot(TORRE, hour).to_string())), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn every_refusal_of_a_move_has_its_status_and_code() {
    let app = App::start().await;
    let (web, other, office, gate) = (app.key(Role::Web).await, app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await);
    let (eleven, twelve, tomorrow) =
        (slot(TORRE, 11), slot(TORRE, 12), SlotId::new(TORRE, slot(TORRE, 11).route(), slot(TORRE, 11).start().plus_seconds(86_400)));
    let mut dearer = Tariff::state_museum(Cents::new(1_400));
    dearer.categories.retain(|category| category.code != code("under-18"));
    let envelope =
        Envelope { who: KeyId::SYSTEM, key: Digest(99), body: Digest(99), parties: vec![], assessment: None, order: None, formerly: Vec::new() };
    let valid_from = today().tomorrow().unwrap();
    app.node().museum(TORRE, envelope, museum::Command::SetTariff { valid_from, tariff: dearer }).await.unwrap();

    let mine = sell(&app, &web, eleven, 3, "mine").await["sale"].as_str().unwrap().to_owned();
    let paid = sell_full(&app, &office, eleven, 2, "R-1").await;
    sell_full(&app, &office, twelve, 19, "R-2").await;
    tell(&app, slot(TORRE, 14), 14, Command::Close { reason: code("strike") }).await;
    tell(&app, eleven, 1, Command::Block { sale: mine.parse().unwrap(), tickets: vec![2], reason: code("review") }).await;
    let unplanned = SlotId::new(TORRE, eleven.route(), eleven.start().plus_seconds(60));
    let unknown = tornello_engine::ids::HoldId::new(eleven, 1).to_string();
    let path = |sale: &str| format!("/v1/sales/{sale}/move");
    refuses(
        &app,
        &[
            ("same slot", path(&mine), &web, to(eleven, &[0]), 422, "same_slot"),
            ("another museum", path(&mine), &web, to(slot(MARE, 12), &[0]), 422, "other_museum"),
            ("no such slot", path(&mine), &web, to(unplanned, &[0]), 404, "unknown_slot"),
            ("no such sale", path(&unknown), &web, to(twelve, &[0]), 404, "not_found"),
            ("another shop's", path(&mine), &other, to(twelve, &[0]), 404, "not_found"),
            ("no such ticket", path(&mine), &web, to(twelve, &[3]), 404, "unknown_ticket"),
            ("blocked", path(&mine), &web, to(slot(TORRE, 13), &[]), 409, "ticket_blocked"),
            ("not sold there", path(&mine), &web, to(tomorrow, &[0]), 409, "not_sold_there"),
            ("dearer there", path(&paid), &office, to(tomorrow, &[]), 409, "price_differs"),
            ("full there", path(&paid), &office, to(twelve, &[]), 409, "not_enough_places"),
            ("closed there", path(&paid), &office, to(slot(TORRE, 14), &[]), 409, "slot_closed"),
            ("over there", path(&mine), &web, to(slot(TORRE, 9), &[0]), 409, "sale_over"),
            ("a gate", path(&mine), &gate, to(twelve, &[0]), 403, "forbidden"),
            ("nobody", path(&mine), "", to(twelve, &[0]), 401, "unauthorized"),
            ("no slot", path(&mine), &web, json!({}), 422, "invalid"),
            ("a price of one's own", path(&mine), &web, json!({"slot": twelve.to_string(), "price_cents": 1}), 422, "invalid"),
        ],
    )
    .await;
    let (_, problem) = app.post(&path(&paid), &office, "dear", &to(tomorrow, &[])).await;
    assert_eq!((&problem["paid_cents"], &problem["price_cents"]), (&json!(2_400), &json!(2_800)));
    let (_, problem) = app.post(&path(&paid), &office, "full", &to(twelve, &[])).await;
    assert!(!problem["alternatives"].as_array().unwrap().is_empty(), "{problem}");
    // Nothing of all that has left a trace.
    let now = app.get(&format!("/v1/sales/{mine}"), &web).await;
    let states: Vec<_> = now["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["valid", "valid", "blocked"]);
    // What was moved is not moved again from here, nor cancelled.
    assert_eq!(app.post(&path(&mine), &web, "one", &to(twelve, &[0])).await.0, StatusCode::OK);
    let cancel = json!({"cause": "visitor", "tickets": [0]});
    let moved = [
        ("move again", path(&mine), web.as_str(), to(slot(TORRE, 13), &[0]), 409, "ticket_moved"),
        ("cancel", format!("/v1/sales/{mine}/cancel"), &web, cancel, 409, "ticket_moved"),
        ("rename", format!("/v1/tickets/{}/rename", ticket(&mine, 0)), &web, holder("Ada", "Neri"), 409, "ticket_moved"),
    ];
    refuses(&app, &moved).await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_of_a_full_slot_goes_to_another_person_under_a_new_code() {
    let mut app = App::start().await;
    let (web, office, gate) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Gate).await);
    let ten = slot(TORRE, 10);
    // Nobody is suspected of anything: so the shop may change names.
    let sale = sell(&app, &web, ten, 7, "some").await["sale"].as_str().unwrap().to_owned();
    for (count, name) in [(7, "more"), (6, "rest")] {
        sell(&app, &web, ten, count, name).await;
    }
    let id = ticket(&sale, 4);
    let path = format!("/v1/tickets/{id}/rename");
    let first = code_of(&app, &web, &id).await;
    let (status, renamed) = app.post(&path, &web, "rename", &holder(" Ada ", "Neri")).await;
    assert_eq!(status, StatusCode::OK, "{renamed}");
    assert_eq!((&renamed["ticket"], &renamed["issue"]), (&json!(id), &json!(2)));
    let second = renamed["code"].as_str().unwrap().to_owned();
    assert_eq!(code_of(&app, &web, &id).await, second);

    // The museum's own staff see the name, the shop does not; it can be printed.
    let shown = app.get(&format!("/v1/tickets/{id}"), &office).await;
    assert_eq!(
        (&shown["holder"]["given_name"], &shown["holder"]["family_name"], shown["holder"].get("email")),
        (&json!("Ada"), &json!("Neri"), None)
    );
    assert_eq!(app.get(&format!("/v1/tickets/{id}"), &web).await.get("holder"), None);
    let ada = format!("/v1/people/{}", shown["holder"]["person"].as_str().unwrap());
    assert_eq!(app.get(&ada, &office).await["family_name"], "Neri");
    let pdf = app.request(Method::GET, &format!("/v1/tickets/{id}/pdf"), &web).send().await.unwrap();
    assert_eq!(pdf.status(), StatusCode::OK);

    // Another name: the one before is gone for good, and a repeat brings neither name nor code back.
    let (_, again) = app.post(&path, &web, "again", &holder("Zebedea", "Canarini")).await;
    assert_eq!(again["issue"], 3);
    let status_of = async |app: &App, path: &str| app.request(Method::GET, path, &office).send().await.unwrap().status().as_u16();
    assert_eq!(status_of(&app, &ada).await, 404);
    for round in ["at once", "after a restart"] {
        assert_eq!(app.post(&path, &web, "rename", &holder(" Ada ", "Neri")).await, (StatusCode::OK, renamed.clone()), "{round}");
        assert_eq!(status_of(&app, &ada).await, 404, "{round}");
        let (_, problem) = app.post(&path, &web, "again", &holder("Ada", "Neri")).await;
        assert_eq!(problem["code"], "idempotency_key_reused", "{round}");
        assert_eq!(app.get(&format!("/v1/tickets/{id}"), &office).await["holder"]["given_name"], "Zebedea", "{round}");
        assert_eq!(sightings(app.folder()), Vec::<String>::new(), "names stand in no file");
        app = app.restart().await;
    }

    // At the gate: only the newest code.
    app.pass(20 * 60).await;
    for (name, code, expected) in [("first", &first, 2), ("second", &second, 2)] {
        let (status, problem) = show(&app, &gate, name, code).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (409, Some("code_outdated")), "{name} of {expected} old codes");
    }
    refuses(
        &app,
        &[
            ("no name", path.clone(), &web, holder(" ", "Neri"), 422, "invalid_contact"),
            ("a name that turns round", path.clone(), &web, holder("Ada", "\u{202e}ireN"), 422, "invalid_contact"),
            ("a name without a letter", path.clone(), &web, holder("Ada", "-1"), 422, "invalid"),
            ("a name that no ticket shows", path.clone(), &web, holder("Ada", "王小明"), 422, "holder_unprintable"),
            ("a Cyrillic letter in a Latin word", path.clone(), &web, holder("Ada", "N\u{435}ri"), 422, "holder_mixed_alphabets"),
            ("a Greek letter behind a hyphen", path.clone(), &web, holder("Anna-\u{391}da", "Neri"), 422, "holder_mixed_alphabets"),
            ("an email", path.clone(), &web, json!({"holder": {"given_name": "A", "family_name": "B", "email": "a@example.it"}}), 422, "invalid"),
            ("nobody", path.clone(), "", holder("Ada", "Neri"), 401, "unauthorized"),
            ("a gate", path.clone(), &gate, holder("Ada", "Neri"), 403, "forbidden"),
            ("no such ticket", format!("/v1/tickets/{}/rename", ticket(&sale, 20)), &web, holder("Ada", "Neri"), 404, "unknown_ticket"),
            ("another shop's", path.clone(), &app.key(Role::Web).await, holder("Ada", "Neri"), 404, "unknown_sale"),
        ],
    )
    .await;
    let (_, problem) = app.post(&path, &web, "which", &holder("Ярослав", "王 Ñandú 🎟王")).await;
    assert_eq!((&problem["member"], &problem["characters"]), (&json!("holder.family_name"), &json!("王🎟")), "{problem}");
    let (_, problem) = app.post(&path, &web, "where", &holder("Ада", "D'N\u{435}ri")).await;
    let letter = "`\u{435}` is Cyrillic where those before it are Latin";
    assert_eq!(
        (&problem["member"], &problem["letter"]),
        (&json!("holder.family_name"), &json!(letter)),
        "a word for each alphabet is well: {problem}"
    );
    let (status, answer) = show(&app, &gate, "newest", again["code"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    refuses(&app, &[("used", path, &web, holder("Ada", "Neri"), 409, "ticket_used")]).await;
    let kept = app.node().files().unwrap().people.erase_due(app.node().now().plus_seconds(10 * 365 * 86_400)).await.unwrap();
    assert_eq!(kept, 1, "whoever was refused is not kept");
    app.stop().await;
}

#[actix_rt::test]
async fn a_name_is_erased_with_the_last_ticket_that_bears_it_wherever_that_has_moved() {
    let app = App::start().await;
    let office = app.key(Role::BoxOffice).await;
    let (eleven, twelve, thirteen) = (slot(TORRE, 11), slot(TORRE, 12), slot(TORRE, 13));
    let status_of = async |path: &str| app.request(Method::GET, path, &office).send().await.unwrap().status().as_u16();
    // The first ticket stays, the second moves once and the third twice; they are renamed in one order, and in the other.
    for order in [[0_usize, 1, 2], [2, 1, 0]] {
        let name = |what: &str| format!("{what}-{}", order[0]);
        let (ada, settlement) = (json!({"given_name": "Ada", "family_name": "Neri"}), desk(&name("R")));
        let body = json!({"lines": [{"category": "full", "count": 3}], "settlement": settlement, "holder": ada});
        let (status, sale) = app.post(&format!("/v1/slots/{eleven}/sales"), &office, &name("sell"), &body).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        let first = sale["sale"].as_str().unwrap().to_owned();
        let moves = async |sale: &str, what: &str, slot, tickets: &[u16]| {
            let (status, moved) = app.post(&format!("/v1/sales/{sale}/move"), &office, &name(what), &to(slot, tickets)).await;
            assert_eq!(status, StatusCode::OK, "{moved}");
            moved["sale"].as_str().unwrap().to_owned()
        };
        let second = moves(&first, "once", twelve, &[1, 2]).await;
        let third = moves(&second, "twice", thirteen, &[1]).await;
        let tickets = [ticket(&first, 0), ticket(&second, 0), ticket(&third, 0)];
        let shown = app.get(&format!("/v1/tickets/{}", tickets[0]), &office).await;
        let person = format!("/v1/people/{}", shown["holder"]["person"].as_str().unwrap());
        for (place, renamed) in order.into_iter().enumerate() {
            for number in &order[place..] {
                let bears = app.get(&format!("/v1/tickets/{}", tickets[*number]), &office).await;
                assert_eq!(bears["holder"]["given_name"], "Ada", "{number} of {order:?}: {bears}");
            }
            let path = format!("/v1/tickets/{}/rename", tickets[renamed]);
            let (status, answer) = app.post(&path, &office, &name("rename"), &holder("Zebedea", "Canarini")).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(status_of(&person).await, if place == 2 { 404 } else { 200 }, "{place} of {order:?}");
        }
    }
    // One that was cancelled bears it no more, here or where the others have moved.
    for (name, gone, left, moves) in [("here", 0, 1, false), ("there", 1, 0, true)] {
        let ada = json!({"given_name": "Ada", "family_name": "Neri"});
        let body = json!({"lines": [{"category": "full", "count": 2}], "settlement": desk(name), "holder": ada});
        let (status, sale) = app.post(&format!("/v1/slots/{eleven}/sales"), &office, &format!("sell-{name}"), &body).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        let first = sale["sale"].as_str().unwrap().to_owned();
        let (cancel, cancelled) = (format!("/v1/sales/{first}/cancel"), json!({"cause": "museum", "tickets": [gone]}));
        let (status, answer) = app.post(&cancel, &office, &format!("cancel-{name}"), &cancelled).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let mut bears = ticket(&first, left);
        if moves {
            let (status, moved) = app.post(&format!("/v1/sales/{first}/move"), &office, &format!("move-{name}"), &to(twelve, &[left])).await;
            assert_eq!(status, StatusCode::OK, "{moved}");
            bears = ticket(moved["sale"].as_str().unwrap(), 0);
        }
        let shown = app.get(&format!("/v1/tickets/{bears}"), &office).await;
        let person = format!("/v1/people/{}", shown["holder"]["person"].as_str().unwrap());
        let renamed = app.post(&format!("/v1/tickets/{bears}/rename"), &office, &format!("rename-{name}"), &holder("Zebedea", "Canarini")).await;
        assert_eq!((renamed.0, status_of(&person).await), (StatusCode::OK, 404), "{name}: {}", renamed.1);
    }
    app.stop().await;
}
