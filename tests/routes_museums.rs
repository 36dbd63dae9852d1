//! Museums, their plans, tariffs and ceilings: the examples of the contract work when copied, a repeat gives the first answer, nobody overwrites unseen.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::Role;
use tornello_api::server::{self, ServerSettings};
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::MuseumId;
use tornello_engine::museum::{Command, Profile};

use crate::support::{App, code, expect, settings};

/// The body that the contract shows for an operation.
pub fn example(path: &str, method: &str) -> Value {
    let contract = serde_json::to_value(server::contract()).unwrap();
    contract["paths"][path][method]["requestBody"]["content"]["application/json"]["example"].clone()
}

#[actix_rt::test]
async fn of_many_who_register_with_one_slug_at_once_one_has_it() {
    let app = App::start().await;
    let admin = app.key(Role::Admin).await;
    let (asked_of, key) = (&app, &admin);
    let asked = (10_u16..26).map(|number| async move {
        let profile = json!({"slug": "colle", "name": format!("Museo {number}"), "city": "Siena", "region": "Toscana",
            "latitude_microdeg": 43_318_000, "longitude_microdeg": 11_330_000});
        asked_of.post("/v1/museums", key, &format!("m-{number}"), &json!({"number": number, "profile": profile})).await
    });
    let answers = join_all(asked).await;
    let made: Vec<&Value> = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).map(|(_, made)| made).collect();
    let [made] = made[..] else { panic!("{answers:?}") };
    for (status, problem) in answers.iter().filter(|(status, _)| *status != StatusCode::CREATED) {
        assert_eq!((status.as_u16(), &problem["code"], &problem["number"]), (409, &json!("slug_taken"), &made["number"]), "{problem}");
    }
    assert_eq!(&app.get("/v1/museums/colle", &admin).await, made);
    app.stop().await;
}

#[actix_rt::test]
async fn museums_are_registered_read_and_listed_in_pages() {
    let app = App::start().await;
    let (admin, web) = (app.key(Role::Admin).await, app.key(Role::Web).await);
    let profile = json!({"slug": "colle", "name": "Museo del Colle", "city": "Siena", "region": "Toscana",
        "latitude_microdeg": 43_318_000, "longitude_microdeg": 11_330_000, "patron": "12-01"});
    let body = json!({"number": 7, "profile": profile});
    let (status, made) = app.post("/v1/museums", &admin, "one", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!((&made["number"], &made["slug"], &made["patron"]), (&json!(7), &json!("colle"), &json!("12-01")));
    assert_eq!(app.post("/v1/museums", &admin, "one", &body).await, (status, made.clone()), "a repeat gives the first answer");
    for (body, expected, code) in [
        (body.clone(), 409, "already_registered"),
        (json!({"number": 8, "profile": profile}), 409, "slug_taken"),
        (json!({"number": 0, "profile": profile}), 422, "invalid"),
        (json!({"number": 9, "profile": profile, "more": 1}), 422, "invalid"),
    ] {
        let (status, problem) = app.post("/v1/museums", &admin, "two", &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (expected, &json!(code)), "{problem}");
    }
    assert_eq!(app.get("/v1/museums/colle", &web).await, made);
    assert_eq!(app.get("/v1/museums/7", &web).await, made);
    let first = app.get("/v1/museums?limit=2", &web).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("/v1/museums?limit=2&cursor={cursor}"), &web).await;
    assert_eq!(second, json!({"items": [made]}));
    app.stop().await;
}

#[actix_rt::test]
async fn what_was_mistyped_of_a_museum_is_corrected_but_for_its_slug() {
    let app = App::start().await;
    let (admin, manager) = (app.key(Role::Admin).await, app.key(Role::Manager).await);
    let profile = |slug: &str, name: &str, city: &str| {
        json!({"slug": slug, "name": name, "city": city, "region": "Toscana",
            "latitude_microdeg": 43_318_000, "longitude_microdeg": 11_330_000})
    };
    let mistyped = json!({"number": 7, "profile": profile("colle", "Museo del Colle", "Sienna")});
    let (_, made) = app.post("/v1/museums", &admin, "made", &mistyped).await;
    assert_eq!(made["city"], "Sienna");
    // What is not set yet is told as that, and not as a museum that the key is not good for.
    for kind in ["plan", "tariff", "ceiling"] {
        let missing = app.request(Method::GET, &format!("/v1/museums/colle/{kind}"), &manager).send().await.unwrap();
        let missing = expect(missing, StatusCode::NOT_FOUND).await;
        assert!(missing["detail"].as_str().unwrap().contains("PUT"), "{kind}: {missing}");
    }
    let visit = json!({"day": "2027-03-18", "time": "10:00", "lines": [{"category": "full", "count": 12}]});
    let (status, problem) = app.post("/v1/quotes", &manager, "quote", &json!({"museum": "colle", "kind": "company", "visit": visit})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("no tariff"), "{problem}");
    let path = "/v1/museums/colle";
    let right = profile("colle", "Museo del Colle", "Siena");
    let (status, problem) = app.ask(Method::PUT, path, &manager, "not-hers", &right).await;
    assert_eq!((status, &problem["scope"]), (StatusCode::FORBIDDEN, &json!("administer")), "{problem}");
    for (body, code) in [
        (profile("colline", "Museo del Colle", "Siena"), "invalid"),
        (json!({"slug": "colle", "city": "Siena"}), "invalid"),
        (profile("colle", "", "Siena"), "invalid_profile"),
    ] {
        let (status, problem) = app.ask(Method::PUT, path, &admin, "wrong", &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)), "{problem}");
    }
    let changed = app.ask(Method::PUT, path, &admin, "right", &right).await;
    assert_eq!((changed.0, &changed.1["number"], &changed.1["city"]), (StatusCode::OK, &json!(7), &json!("Siena")), "{}", changed.1);
    assert_eq!(app.ask(Method::PUT, path, &admin, "right", &right).await, changed, "a repeat gives the first answer");
    assert_eq!(app.get(path, &manager).await, changed.1);
    assert_eq!(app.get("/v1/museums/7", &manager).await, changed.1);
    app.stop().await;
}

/// A mistyped one had no school breaks, and nobody was told.
#[actix_rt::test]
async fn a_region_is_one_whose_school_breaks_can_be_known_and_a_museum_of_before_stays() {
    let app = App::start_with(ServerSettings { regions: ["San Marino".to_owned()].into(), ..settings() }).await;
    let admin = app.key(Role::Admin).await;
    let profile = |slug: &str, name: &str, region: &str| {
        json!({"slug": slug, "name": name, "city": "Siena", "region": region,
            "latitude_microdeg": 43_318_000, "longitude_microdeg": 11_330_000})
    };
    let mistyped = json!({"number": 7, "profile": profile("colle", "Museo del Colle", "Toskana")});
    let (status, problem) = app.post("/v1/museums", &admin, "mistyped", &mistyped).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid")), "{problem}");
    assert!(problem["title"].as_str().unwrap().starts_with("region: "), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(["Toscana", "Provincia autonoma di Trento", "San Marino"].iter().all(|known| detail.contains(known)), "{problem}");
    // However it is written, it is one: reports add the museums of a region up.
    for (number, slug, written, region) in [(7, "colle", "TOSCANA", "Toscana"), (8, "monte", "san marino", "San Marino")] {
        let body = json!({"number": number, "profile": profile(slug, "Museo", written)});
        let (status, made) = app.post("/v1/museums", &admin, slug, &body).await;
        assert_eq!((status, &made["region"]), (StatusCode::CREATED, &json!(region)), "{made}");
    }
    let before = Profile {
        slug: code("vecchio"),
        name: "Museo vecchio".to_owned(),
        city: "Siena".to_owned(),
        region: "Toskana".to_owned(),
        latitude_microdeg: 43,
        longitude_microdeg: 11,
        patron: None,
    };
    app.node().museum(MuseumId(9), Envelope::by_system(Digest(820)), Command::Register { profile: before }).await.unwrap();
    let path = "/v1/museums/vecchio";
    for (region, status, expected) in [("Toskana", 200, Some("Toskana")), ("Toskanna", 422, None), ("toscana", 200, Some("Toscana"))] {
        let mut body = profile("vecchio", "Museo antico", region);
        (body["latitude_microdeg"], body["longitude_microdeg"]) = (json!(43), json!(11));
        let (told, answer) = app.ask(Method::PUT, path, &admin, region, &body).await;
        assert_eq!((told.as_u16(), answer["region"].as_str()), (status, expected), "{answer}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_museum_is_in_italy_and_degrees_are_no_millionths_of_them() {
    let app = App::start().await;
    let admin = app.key(Role::Admin).await;
    let profile = |latitude: i32, longitude: i32| {
        json!({"slug": "colle", "name": "Museo del Colle", "city": "Siena", "region": "Toscana",
            "latitude_microdeg": latitude, "longitude_microdeg": longitude})
    };
    for (latitude, longitude, member) in [(43, 11, "latitude"), (43_318_000, 11, "longitude"), (11_330_000, 43_318_000, "latitude")] {
        let body = json!({"number": 7, "profile": profile(latitude, longitude)});
        let (status, problem) = app.post("/v1/museums", &admin, "far", &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid")), "{problem}");
        assert!(problem["title"].as_str().unwrap().starts_with(&format!("{member}_microdeg: millionths of a degree")), "{problem}");
    }
    // Lampedusa, the Vetta d'Italia, and the ends in the west and east.
    let ends = [(35_493_000, 12_604_000), (47_092_000, 12_120_000), (45_103_000, 6_627_000), (40_107_000, 18_520_000)];
    let (first, others) = ends.split_first().unwrap();
    let (status, made) = app.post("/v1/museums", &admin, "first", &json!({"number": 7, "profile": profile(first.0, first.1)})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for (latitude, longitude) in others {
        let (status, changed) = app.ask(Method::PUT, "/v1/museums/colle", &admin, &latitude.to_string(), &profile(*latitude, *longitude)).await;
        assert_eq!(status, StatusCode::OK, "{changed}");
    }
    let (status, problem) = app.ask(Method::PUT, "/v1/museums/colle", &admin, "far", &profile(43, 11)).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid")), "{problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn plans_tariffs_and_ceilings_are_set_as_the_contract_shows() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    for kind in ["plan", "tariff", "ceiling"] {
        let path = format!("/v1/museums/torre/{kind}");
        let body = example(&format!("/v1/museums/{{museum}}/{kind}"), "put");
        let (status, set) = app.ask(Method::PUT, &path, &manager, kind, &body).await;
        assert_eq!(status, StatusCode::OK, "{set}");
        assert_eq!((&set["revision"], &set["valid_from"]), (&json!(2), &body["valid_from"]));
        assert_eq!(app.ask(Method::PUT, &path, &manager, kind, &body).await, (status, set.clone()), "a repeat gives the first answer");
        // What is read is what was set, and may be sent back as it is.
        let read = app.get(&format!("{path}?on=2027-05-05"), &manager).await;
        assert_eq!(read, set);
        let again = json!({"valid_from": "2027-06-01", kind: read[kind]});
        let (status, set) = app.ask(Method::PUT, &path, &manager, &format!("{kind}-again"), &again).await;
        assert_eq!((status, &set["revision"]), (StatusCode::OK, &json!(3)), "{set}");
        assert_eq!(set[kind], read[kind]);
        // Today's is as before.
        assert_eq!(app.get(&path, &manager).await["revision"], 1);
        let past = json!({"valid_from": "2020-01-01", kind: read[kind]});
        let (status, problem) = app.ask(Method::PUT, &path, &manager, "past", &past).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("valid_from_past")));
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_ceiling_is_taken_away_by_whoever_says_so_and_not_by_whoever_forgets_it() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let path = "/v1/museums/torre/ceiling";
    let (day, before) = (json!("2027-01-01"), app.get(path, &manager).await);
    let (status, problem) = app.ask(Method::PUT, path, &manager, "forgotten", &json!({"valid_from": day})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{problem}");
    assert!(problem["title"].as_str().unwrap().contains("`ceiling`"), "{problem}");
    assert_eq!(app.get(&format!("{path}?on=2027-05-05"), &manager).await, before);
    let (status, none) = app.ask(Method::PUT, path, &manager, "none", &json!({"valid_from": day, "ceiling": null})).await;
    assert_eq!((status, &none), (StatusCode::OK, &json!({"revision": 2, "valid_from": day, "ceiling": null})));
    // It is read as it can be sent.
    assert_eq!(app.get(&format!("{path}?on=2027-05-05"), &manager).await, none);
    app.stop().await;
}

#[actix_rt::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let path = "/v1/museums/mare/tariff";
    let response = app.request(Method::GET, path, &manager).send().await.unwrap();
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let seen = expect(response, StatusCode::OK).await;
    let known = app.request(Method::GET, path, &manager).header("If-None-Match", &tag).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    // A proxy that packs answers calls the tag weak.
    let weak = format!("\"99\", W/{tag}");
    let known = app.request(Method::GET, path, &manager).header("If-None-Match", weak).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let put = |key: &'static str, fee: i64| {
        let mut tariff = seen["tariff"].clone();
        tariff["booking_fee_cents"] = json!(fee);
        let body = json!({"valid_from": seen["valid_from"], "tariff": tariff});
        app.request(Method::PUT, path, &manager).header("If-Match", &tag).header("Idempotency-Key", key).json(&body)
    };
    let first = expect(put("a", 100).send().await.unwrap(), StatusCode::OK).await;
    let late = expect(put("b", 200).send().await.unwrap(), StatusCode::PRECONDITION_FAILED).await;
    assert_eq!((&late["code"], &late["revision"]), (&json!("precondition_failed"), &json!(2)));
    // A weak tag is never the one in force, also not of what is: a change asks for the very same.
    let body = json!({"valid_from": seen["valid_from"], "tariff": seen["tariff"]});
    let cases = [
        ("c", "W/\"2\"", 412),
        ("d", "W/2", 400),
        ("e", "\"2", 400),
        ("f", "\"1\", \"3\"", 412),
        ("g", "\"1\", W/\"2\"", 412),
        ("h", "\"1\", *", 400),
        ("i", ",", 400),
    ];
    for (key, tag, status) in cases {
        let asked = app.request(Method::PUT, path, &manager).header("If-Match", tag).header("Idempotency-Key", key).json(&body);
        assert_eq!(asked.send().await.unwrap().status().as_u16(), status, "{tag}");
    }
    // Whoever names several has read one of them: in one header or in two, that is the same list.
    let listed = app.request(Method::PUT, path, &manager).header("If-Match", "\"1\",\"2\"").header("Idempotency-Key", "j").json(&body);
    assert_eq!(expect(listed.send().await.unwrap(), StatusCode::OK).await["revision"], 3);
    let twice = app.request(Method::PUT, path, &manager).header("If-Match", "\"3\"").header("If-Match", "\"9\"");
    let twice = twice.header("Idempotency-Key", "k").json(&body);
    assert_eq!(expect(twice.send().await.unwrap(), StatusCode::OK).await["revision"], 4);
    // The answer was lost: the repeat is the same change, not a late one.
    assert_eq!(expect(put("a", 100).send().await.unwrap(), StatusCode::OK).await, first);
    app.stop().await;
}

#[actix_rt::test]
async fn a_plan_that_shuts_a_museum_is_taken_with_the_word_for_it_only() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let (path, day) = ("/v1/museums/torre/plan", "2026-12-01");
    let before = app.get(&format!("{path}?on={day}"), &manager).await;
    // No route; a route without sessions; one that has none on a day either.
    let mut idle = before["plan"].clone();
    idle["routes"][0]["week"] = json!({});
    let mut closed = idle.clone();
    closed["routes"][0]["exceptions"] = json!([{"date": "2026-12-08", "sessions": [], "reason": "works"}]);
    // And one that had them on a day before it holds.
    let mut past = idle.clone();
    past["routes"][0]["exceptions"] = json!([{"date": "2026-11-30", "sessions": before["plan"]["routes"][0]["week"]["monday"], "reason": "feast"}]);
    for (key, plan) in [("none", json!({"routes": []})), ("idle", idle.clone()), ("closed", closed), ("past", past.clone())] {
        let (status, problem) = app.ask(Method::PUT, path, &manager, key, &json!({"valid_from": day, "plan": plan})).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{key}: {problem}");
        assert!(problem["title"].as_str().unwrap().contains("shut the museum from 2026-12-01 on"), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("\"closed\": true"), "{problem}");
    }
    assert_eq!(app.get(&format!("{path}?on={day}"), &manager).await, before, "nothing was set");
    let contrary = json!({"valid_from": day, "plan": before["plan"], "closed": true});
    let (status, problem) = app.ask(Method::PUT, path, &manager, "contrary", &contrary).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{problem}");
    assert!(problem["title"].as_str().unwrap().starts_with("closed: "), "{problem}");
    // One day of the year is enough to be open.
    let mut once = idle;
    once["routes"][0]["exceptions"] = json!([{"date": "2026-12-08", "sessions": before["plan"]["routes"][0]["week"]["monday"], "reason": "feast"}]);
    assert_eq!(app.ask(Method::PUT, path, &manager, "once", &json!({"valid_from": day, "plan": once})).await.0, StatusCode::OK);
    let said = json!({"valid_from": day, "plan": past, "closed": true});
    assert_eq!(app.ask(Method::PUT, path, &manager, "said", &said).await.0, StatusCode::OK, "the days of before stay in it");
    let shut = json!({"valid_from": day, "plan": {"routes": []}, "closed": true});
    let (status, set) = app.ask(Method::PUT, path, &manager, "shut", &shut).await;
    assert_eq!((status, &set["plan"]["routes"]), (StatusCode::OK, &json!([])), "{set}");
    let availability = format!("/v1/museums/torre/availability?from={day}&to={day}");
    assert_eq!(app.get(&availability, &manager).await["items"], json!([]));
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_wrong_with_a_plan_is_told() {
    let app = App::start().await;
    let manager = app.key(Role::Manager).await;
    let good = example("/v1/museums/{museum}/plan", "put");
    let route = "/plan/routes/0";
    for (pointer, value, code) in [
        ("/week/tuesday/0/slot_minutes", json!(1), "invalid_plan"),
        ("/week/tuesday/0/opens", json!("25:00"), "invalid"),
        ("/week/tuesday/0/quotas/0/channel", json!("pigeon"), "invalid"),
        ("/policy", json!({"refund_part_percent": 101}), "invalid_plan"),
        ("/policy", json!({"rest_max_s": 3601}), "invalid_plan"),
        ("/policy", json!({"ceiling": 5}), "invalid"),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(&format!("{route}{pointer}")).unwrap() = value;
        let (status, problem) = app.ask(Method::PUT, "/v1/museums/torre/plan", &manager, pointer, &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!(code)), "{pointer}: {problem}");
    }
    // Larger than an ordinary body, as a year of exceptions may be.
    let mut large = good.clone();
    let exceptions = (0..900).map(|day| {
        json!({"date": jiff::civil::date(2027, 1, 1).saturating_add(jiff::Span::new().days(day)).to_string(),
        "reason": "Chiuso per lavori, ci scusiamo con i visitatori"})
    });
    large["plan"]["routes"][0]["exceptions"] = exceptions.collect();
    assert!(large.to_string().len() > 64 * 1024);
    let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/plan", &manager, "large", &large).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    app.stop().await;
}

/// They are larger than other bodies, and as many may be sent at once as there are changes.
#[actix_rt::test]
async fn a_plan_or_a_tariff_is_read_of_nobody_who_may_not_set_it() {
    let app = App::start().await;
    let (manager, web) = (app.key(Role::Manager).await, app.key(Role::Web).await);
    for path in ["/v1/museums/torre/plan", "/v1/museums/torre/tariff"] {
        // Whoever reads it says that it is none.
        for (key, status) in [(&manager, 422), (&web, 403), (&String::new(), 401)] {
            let (told, problem) = app.ask(Method::PUT, path, key, "none", &json!({"valid_from": true})).await;
            assert_eq!(told.as_u16(), status, "{path}: {problem}");
        }
    }
    app.stop().await;
}
