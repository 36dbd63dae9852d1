//! Contacts: kept apart, shown to the museum's own staff, gone for good when erased.

use std::path::Path;
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_actors::people::Contact;
use tornello_api::routes::people::{drop_unsold, keep_payee, name_of, turn};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{PersonId, RouteId, SlotId};

use crate::routes_sales::hold;
use crate::support::{App, MARE, TORRE, plan, slot};

const CANARIES: [&str; 4] = ["Zebedea", "Canarini", "zebedea.canarini", "3290099887"];

fn contact() -> Value {
    json!({"given_name": "Zebedea", "family_name": "Canarini", "email": "zebedea.canarini@example.org", "phone": "+39 3290099887", "language": "it"})
}

/// The files of a folder in which one of the canaries can be read.
pub fn sightings(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        found.extend(
            CANARIES
                .iter()
                .filter(|canary| bytes.windows(canary.len()).any(|window| window == canary.as_bytes()))
                .map(|canary| format!("{canary} in {}", path.display())),
        );
    }
    found
}

#[actix_rt::test]
async fn an_erased_person_is_nowhere_and_does_not_come_back() {
    let mut app = App::start().await;
    let (web, office, admin) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Admin).await);
    let held = hold(&app, &web, slot(TORRE, 11), "under-18", 1, "hold").await;
    let (confirm, body) = (format!("/v1/holds/{held}/confirm"), json!({"settlement": {"free": {}}, "contact": contact()}));
    let (status, sale) = app.post(&confirm, &web, "confirm", &body).await;
    assert_eq!(status, StatusCode::CREATED);

    // Whoever sold does not read it back; the desk does.
    let path = format!("/v1/sales/{held}");
    assert_eq!(app.get(&path, &web).await.get("contact"), None);
    let shown = app.get(&path, &office).await["contact"].clone();
    let person = format!("/v1/people/{}", shown["person"].as_str().unwrap());
    assert_eq!(shown["email"], "zebedea.canarini@example.org");
    assert_eq!(app.get(&person, &office).await, shown);
    assert_eq!(app.post(&confirm, &web, "confirm", &body).await, (status, sale.clone()), "a repeat makes no second person");
    assert_eq!(app.get(&path, &office).await["contact"]["person"], shown["person"]);
    let status_of = async |app: &App, method: Method, path: &str, key: &str| app.request(method, path, key).send().await.unwrap().status().as_u16();
    let elsewhere = app.key_for(Role::BoxOffice, Museums::Only(vec![MARE])).await;
    for (method, path, key, status) in [
        (Method::GET, &person, &web, 403),
        (Method::GET, &person, &elsewhere, 404),
        (Method::DELETE, &person, &office, 403),
        (Method::GET, &"/v1/people/x".to_owned(), &office, 404),
    ] {
        assert_eq!(status_of(&app, method, path, key).await, status, "{path}");
    }
    assert_eq!(sightings(app.folder()), Vec::<String>::new(), "while it is kept");

    for _ in 0..2 {
        assert_eq!(status_of(&app, Method::DELETE, &person, &admin).await, 204);
        assert_eq!(status_of(&app, Method::GET, &person, &office).await, 404);
    }
    assert_eq!(sightings(app.folder()), Vec::<String>::new(), "when it is erased");
    // The journal is replayed: the sale is there, the person is not.
    app = app.restart().await;
    assert_eq!(status_of(&app, Method::GET, &person, &office).await, 404);
    assert_eq!(app.get(&path, &office).await.get("contact"), None);
    assert_eq!(app.post(&confirm, &web, "confirm", &body).await, (status, sale), "the first answer still stands");
    assert_eq!(status_of(&app, Method::GET, &person, &office).await, 404, "and a repeat brings nobody back");
    assert_eq!(sightings(app.folder()), Vec::<String>::new(), "after a restart");
    app.stop().await;
}

/// Of what is not bought after all no sale names who was to pay: nobody could write to them, nor erase them.
#[actix_rt::test]
async fn a_desk_reads_who_was_to_pay_also_where_nothing_was_bought_and_they_can_be_erased() {
    let app = App::start().await;
    let (web, office, admin) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Admin).await);
    let held = hold(&app, &web, slot(TORRE, 11), "full", 1, "hold").await;
    let body = json!({"holds": [held], "gateway": {"notice": {}}, "payer": contact()});
    let (status, begun) = app.post("/v1/payments", &web, "pay", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let path = format!("/v1/payments/{}", begun["payment"].as_str().unwrap());
    let (status, over) = app.post(&format!("{path}/cancel"), &web, "cancel", &json!({})).await;
    assert_eq!((status, &over["state"]), (StatusCode::OK, &json!("cancelled")), "{over}");
    assert_eq!(app.get(&path, &web).await.get("payer"), None, "whoever sells does not read it back");
    let payer = app.get(&path, &office).await["payer"].clone();
    assert_eq!(payer["email"], "zebedea.canarini@example.org");
    let person = format!("/v1/people/{}", payer["person"].as_str().unwrap());
    assert_eq!(app.get(&person, &office).await, payer);
    assert_eq!(app.request(Method::DELETE, &person, &admin).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(app.get(&path, &office).await.get("payer"), None);
    app.stop().await;
}

#[actix_rt::test]
async fn a_backup_that_is_put_back_brings_nobody_back_who_was_erased_since() {
    let app = App::start().await;
    let (web, office, admin) = (app.key(Role::Web).await, app.key(Role::BoxOffice).await, app.key(Role::Admin).await);
    let mut people = Vec::new();
    for n in 0..2 {
        let held = hold(&app, &web, slot(TORRE, 11), "under-18", 1, &format!("hold-{n}")).await;
        let body = json!({"settlement": {"free": {}}, "contact": contact()});
        let (status, sale) = app.post(&format!("/v1/holds/{held}/confirm"), &web, &format!("confirm-{n}"), &body).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        let shown = app.get(&format!("/v1/sales/{held}"), &office).await["contact"].clone();
        people.push(format!("/v1/people/{}", shown["person"].as_str().unwrap()));
    }
    // On Monday a copy is made of the databases of people, on Tuesday somebody asks to be erased, on Wednesday the disk is lost.
    let copies = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        for name in ["people.db", "people-keys.db"] {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    copy(app.folder(), copies.path());
    assert_eq!(app.request(Method::DELETE, &people[0], &admin).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let app = app.restart_after(|folder| copy(copies.path(), folder)).await;
    assert_eq!(app.request(Method::GET, &people[0], &office).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(app.get(&people[1], &office).await["family_name"], "Canarini");
    app.stop().await;
}

#[actix_rt::test]
async fn a_contact_is_erased_ninety_days_after_the_visit() {
    let app = App::start().await;
    let (office, eleven) = (app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let body = json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}, "contact": contact()});
    let (_, sale) = app.post(&format!("/v1/slots/{eleven}/sales"), &office, "sell", &body).await;
    let path = format!("/v1/sales/{}", sale["sale"].as_str().unwrap());
    let people = &app.node().files().unwrap().people;
    // The gate lets in for a quarter of an hour after the slot.
    let end = eleven.start().plus_seconds(3_600 + 900);
    assert_eq!(people.erase_due(end.plus_seconds(90 * 86_400 - 1)).await.unwrap(), 0);
    assert!(app.get(&path, &office).await.get("contact").is_some());
    assert_eq!(people.erase_due(end.plus_seconds(90 * 86_400)).await.unwrap(), 1);
    assert_eq!(app.get(&path, &office).await.get("contact"), None);
    app.stop().await;
}

/// A ticket of a slot may let in for a season, and whoever comes last is to be compared with the name on it.
#[actix_rt::test]
async fn a_name_is_known_as_long_as_its_ticket_lets_in_and_ninety_days_more() {
    const SEASON_S: u32 = 120 * 86_400;
    let app = App::start().await;
    let mut season = plan();
    season.routes[0].policy.admit_late_s = SEASON_S;
    app.set_plan(season).await;
    let (office, eleven) = (app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let body = json!({
        "lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}, "contact": contact(),
        "holder": {"given_name": "Zebedea", "family_name": "Canarini"},
    });
    let (status, sale) = app.post(&format!("/v1/slots/{eleven}/sales"), &office, "sell", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{sale}");
    let closes_at = eleven.start().plus_seconds(3_600 + i64::from(SEASON_S));
    let people = &app.node().files().unwrap().people;
    assert_eq!(people.erase_due(closes_at.plus_seconds(90 * 86_400 - 1)).await.unwrap(), 0);
    assert_eq!(people.erase_due(closes_at.plus_seconds(90 * 86_400)).await.unwrap(), 2, "whom to write to, and the name");
    app.stop().await;
}

#[actix_rt::test]
async fn a_reused_key_changes_nobodys_contact() {
    let app = App::start().await;
    let (office, eleven) = (app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let path = format!("/v1/slots/{eleven}/sales");
    let mut body = json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}, "contact": contact()});
    let (_, sale) = app.post(&path, &office, "key", &body).await;
    body["contact"]["email"] = json!("somebody.else@example.org");
    let (status, problem) = app.post(&path, &office, "key", &body).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("idempotency_key_reused")));
    let now = app.get(&format!("/v1/sales/{}", sale["sale"].as_str().unwrap()), &office).await;
    assert_eq!(now["contact"]["email"], "zebedea.canarini@example.org");
    // Nor is anybody kept for a request that was never carried out, whatever the key was used for before.
    let held = hold(&app, &office, eleven, "under-18", 1, "hold").await;
    let confirm = json!({"settlement": {"free": {}}, "contact": contact()});
    let (status, problem) = app.post(&format!("/v1/holds/{held}/confirm"), &office, "hold", &confirm).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("idempotency_key_reused")));
    let stored = app.node().files().unwrap().people.erase_due(app.node().now().plus_seconds(10 * 365 * 86_400)).await.unwrap();
    assert_eq!(stored, 1, "the buyer's contact and no other");
    app.stop().await;
}

#[actix_rt::test]
async fn a_key_that_is_used_again_after_its_day_names_another_person() {
    let app = App::start().await;
    let (office, admin) = (app.key(Role::BoxOffice).await, app.key(Role::Admin).await);
    let later = SlotId::new(TORRE, RouteId(1), slot(TORRE, 11).start().plus_seconds(3 * 86_400));
    let path = format!("/v1/slots/{later}/sales");
    let body = json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}, "contact": contact()});
    let sell = async |key: &str| {
        let (status, sale) = app.post(&path, &office, key, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        format!("/v1/sales/{}", sale["sale"].as_str().unwrap())
    };
    let first = sell("key").await;
    app.pass(86_401).await;
    // Something else is written, and with it the key is forgotten.
    sell("other").await;
    let second = sell("key").await;
    assert_ne!(first, second);
    let person = async |sale: &str| app.get(sale, &office).await["contact"]["person"].as_str().map(str::to_owned);
    let (kept, erased) = (person(&first).await.unwrap(), person(&second).await.unwrap());
    let gone = app.request(Method::DELETE, &format!("/v1/people/{erased}"), &admin).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!((person(&first).await, person(&second).await), (Some(kept), None));
    app.stop().await;
}

#[actix_rt::test]
async fn a_sale_that_is_refused_leaves_no_contact_behind() {
    let app = App::start().await;
    let (office, eleven) = (app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let path = format!("/v1/slots/{eleven}/sales");
    let people = |folder: &Path| std::fs::metadata(folder.join("people.db")).unwrap().len();
    let before = people(app.folder());
    for (key, count, settlement) in
        [("crowd", 21, json!({"free": {}})), ("paid", 1, json!({"desk": {"till": "t", "method": "cash", "reference": "R"}}))]
    {
        let body = json!({"lines": [{"category": "under-18", "count": count}], "settlement": settlement, "contact": contact()});
        let (status, problem) = app.post(&path, &office, key, &body).await;
        assert!(status.is_client_error(), "{problem}");
    }
    let stored = app.node().files().unwrap().people.erase_due(app.node().now().plus_seconds(10 * 365 * 86_400)).await.unwrap();
    assert_eq!((stored, people(app.folder())), (0, before));
    app.stop().await;
}

#[actix_rt::test]
async fn who_was_refused_in_a_crowd_and_asks_again_keeps_the_contact() {
    let app = App::start().await;
    let office = app.key(Role::BoxOffice).await;
    let path = format!("/v1/slots/{}/sales", slot(TORRE, 15));
    let body = json!({"lines": [{"category": "under-18", "count": 20}], "settlement": {"free": {}}, "contact": contact()});
    // All are told that there are places, and store their contacts; one gets them.
    let keys = ["crowd-0", "crowd-1", "crowd-2", "crowd-3"];
    let answers = join_all(keys.map(|key| app.post(&path, &office, key, &body))).await;
    let mut sold = answers.iter().find(|(status, _)| *status == StatusCode::CREATED).unwrap().1["sale"].as_str().unwrap().to_owned();
    for (key, (before, problem)) in keys.iter().zip(&answers).filter(|(_, (before, _))| *before != StatusCode::CREATED) {
        assert_eq!(*before, StatusCode::CONFLICT, "{problem}");
        let (status, _) = app.post(&format!("/v1/sales/{sold}/cancel"), &office, &format!("cancel-{key}"), &json!({"cause": "visitor"})).await;
        assert_eq!(status, StatusCode::OK);
        for _ in 0..2 {
            let (status, sale) = app.post(&path, &office, key, &body).await;
            assert_eq!(status, StatusCode::CREATED, "{sale}");
            sold = sale["sale"].as_str().unwrap().to_owned();
            assert_eq!(app.get(&format!("/v1/sales/{sold}"), &office).await["contact"]["family_name"], "Canarini");
        }
    }
    app.stop().await;
}

/// As when the last place goes to somebody else, and comes free before who was refused is told: the same request, sent again, has it.
#[actix_rt::test]
async fn whoever_is_refused_erases_nobody_whom_the_same_request_names_again() {
    let app = App::start().await;
    let (node, contact) = (app.node(), Contact::holder("Zebedea", "Canarini").unwrap());
    let envelope = Envelope::by_system(Digest(7));
    let name = async || keep_payee(node, TORRE, &envelope, &contact, async || Ok(false)).await.unwrap();
    let first = turn(node, TORRE, &envelope, true).await.unwrap();
    let refused = name().await;
    let mut again = Box::pin(async {
        let _turn = turn(node, TORRE, &envelope, true).await.unwrap();
        name().await
    });
    assert!(again.as_mut().now_or_never().is_none());
    drop_unsold(node, [refused]).await.unwrap();
    drop(first);
    let named = again.await;
    assert_ne!(named, refused);
    assert_eq!((name_of(node, refused).await.unwrap(), name_of(node, named).await.unwrap()), (None, Some("Zebedea Canarini".to_owned())));
    app.stop().await;
}

#[actix_rt::test]
async fn a_request_that_names_somebody_waits_for_the_one_that_it_repeats() {
    let app = App::start().await;
    let office = app.key(Role::BoxOffice).await;
    let held = hold(&app, &office, slot(TORRE, 12), "under-18", 1, "hold").await;
    let body = json!({"settlement": {"free": {}}, "contact": contact()});
    let at_once = json!({"lines": [{"category": "under-18", "count": 1}], "settlement": {"free": {}}, "contact": contact()});
    for (path, body) in [(format!("/v1/slots/{}/sales", slot(TORRE, 11)), at_once), (format!("/v1/holds/{held}/confirm"), body)] {
        let (status, sale) = app.post(&path, &office, "key", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{sale}");
        let shown = app.get(&format!("/v1/sales/{}", sale["sale"].as_str().unwrap()), &office).await;
        let person: PersonId = shown["contact"]["person"].as_str().unwrap().parse().unwrap();
        let turn = app.node().files().unwrap().people.turn(person).await;
        let mut repeat = pin!(app.post(&path, &office, "key", &body));
        // Others are answered meanwhile, one after the other.
        let others = pin!(async {
            for _ in 0..20 {
                app.get("/v1/museums", &office).await;
            }
        });
        assert!(matches!(select(repeat.as_mut(), others).await, Either::Right(_)), "{path}");
        drop(turn);
        assert_eq!(repeat.await, (status, sale));
    }
    app.stop().await;
}
