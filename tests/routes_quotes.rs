//! Quotes over HTTP: what a visit costs and why, places that are kept and given back, who may see what, and the way of a school from a price to its tickets.

use jiff::civil::{date, time};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_actors::quotes;
use tornello_engine::calendar;
use tornello_engine::ids::{MuseumId, RouteId, SlotId};
use tornello_engine::plan::Session;

use crate::support::{App, MARE, TORRE, get_payment, plan, receipt};

const DAY: &str = "2026-12-16";

/// A slot of Wednesday 16 December: 20 places.
fn slot(museum: MuseumId, hour: i8) -> SlotId {
    SlotId::new(museum, RouteId(1), calendar::instant(date(2026, 12, 16).at(hour, 0, 0, 0)))
}

fn visit(time: &str, category: &str, count: u16) -> Value {
    json!({"day": DAY, "time": time, "lines": [{"category": category, "count": count}]})
}

fn company(time: &str, count: u16) -> Value {
    json!({"museum": "torre", "kind": "company", "visit": visit(time, "full", count), "institution": {"vat": "12345678903"}})
}

fn contact() -> Value {
    json!({"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"})
}

async fn draft(app: &App, key: &str, idempotency_key: &str, form: &Value) -> Value {
    let (status, body) = app.post("/v1/quotes", key, idempotency_key, form).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body
}

fn path(quote: &Value) -> String {
    format!("/v1/quotes/{}", quote["quote"].as_str().unwrap())
}

/// Does something to a quote, which must work.
async fn act(app: &App, key: &str, quote: &Value, what: &str, body: &Value) -> Value {
    let (status, body) = app.post(&format!("{}/{what}", path(quote)), key, &format!("{what}-{}", quote["quote"].as_str().unwrap()), body).await;
    assert_eq!(status, StatusCode::OK, "{what}: {body}");
    body
}

/// How many places a channel may still take.
async fn available(app: &App, key: &str, slot: SlotId) -> u64 {
    let seen = app.get(&format!("/v1/museums/{}/availability?from={DAY}&to={DAY}", slot.museum().0), key).await;
    let items = seen["items"].as_array().unwrap();
    items.iter().find(|item| item["slot"] == slot.to_string()).unwrap()["available"].as_u64().unwrap()
}

async fn set_policy(app: &App, key: &str, policy: Value) {
    let body = json!({"valid_from": "2026-11-23", "policy": policy});
    let (status, set) = app.ask(Method::PUT, "/v1/museums/torre/group-policy", key, &policy.to_string().len().to_string(), &body).await;
    assert_eq!(status, StatusCode::OK, "{set}");
}

fn policy() -> Value {
    json!({"group_min": 10, "group_max": 18, "school": {"escorts": {"one_per": 9, "category": "school-escort", "proof": "school_list"}},
        "extras": [{"code": "audio-system", "name": {"it": "Audio", "en": "Audio"}, "price_cents": 120, "above": 10, "free_one_in": 10}],
        "signature_days": 10, "payment_working_days": 3, "reminder_days": 3, "desk_for": ["association"]})
}

fn words(history: &Value) -> Vec<&str> {
    history["history"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap()).collect()
}

#[actix_rt::test]
async fn a_school_goes_from_a_price_to_its_tickets() {
    let app = App::start().await;
    let (manager, office, web) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await, app.key(Role::Web).await);
    set_policy(&app, &manager, policy()).await;
    let mut visit = visit("10:00", "school-pupil", 18);
    visit["escorts"] = json!(2);
    let form = json!({"museum": "torre", "kind": "school", "visit": visit, "institution": {"fiscal_code": "80213750583"}, "contact": contact()});
    let drafted = draft(&app, &office, "d", &form).await;
    assert_eq!(draft(&app, &office, "d", &form).await["quote"], drafted["quote"], "a repeat makes no second quote");
    assert_eq!((&drafted["state"], &drafted["people"], &drafted["total_cents"]), (&json!("draft"), &json!(20), &json!(18 * 120)), "{drafted}");
    assert_eq!(drafted["extras"], json!([{"code": "audio-system", "count": 18, "free": 2, "price_cents": 120, "total_cents": 2_160}]));
    let [part] = drafted["parts"].as_array().unwrap().as_slice() else { panic!("one part: {drafted}") };
    assert_eq!((&part["slot"], &part["people"]), (&json!(slot(TORRE, 10).to_string()), &json!(20)));
    let whys: Vec<_> = part["lines"].as_array().unwrap().iter().map(|line| (&line["category"], &line["why"])).collect();
    assert_eq!(whys, [(&json!("school-pupil"), &json!("tariff")), (&json!("school-escort"), &json!("escort"))]);
    assert_eq!(drafted["contact"]["family_name"], "Rossi");
    assert_eq!(available(&app, &web, slot(TORRE, 10)).await, 20, "a draft keeps nothing");

    let sent = act(&app, &office, &drafted, "send", &json!({})).await;
    assert_eq!((&sent["state"], &sent["deadlines"]["sign_by"]), (&json!("sent"), &json!("2026-12-07T23:00:00Z")), "{sent}");
    // Three working days before Wednesday: Friday to Tuesday.
    assert_eq!(sent["deadlines"]["pay_by"], "2026-12-10T23:00:00Z");
    assert_eq!(available(&app, &web, slot(TORRE, 10)).await, 0, "its places are kept");
    let pdf = app.request(Method::GET, &format!("{}/quote.pdf", path(&sent)), &office).send().await.unwrap();
    assert_eq!((pdf.status(), pdf.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, "application/pdf"));
    assert!(pdf.bytes().await.unwrap().starts_with(b"%PDF"));
    let early = app.request(Method::GET, &format!("{}/tickets.pdf", path(&sent)), &office).send().await.unwrap();
    assert_eq!(early.status(), StatusCode::CONFLICT, "there are no tickets yet");

    let accepted = act(&app, &office, &sent, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!(
        (&accepted["state"], &accepted["acceptance"]["by"], &accepted["payment"]["state"]),
        (&json!("accepted"), &json!("office"), &json!("pending")),
        "{accepted}"
    );
    assert_eq!((&accepted["payment"]["amount_cents"], &accepted["acceptance"]["settle"]), (&json!(2_160), &json!("notice")));
    let notice = accepted["payment"]["notice_number"].as_str().unwrap();
    assert_eq!(accepted["payment"]["qr"], format!("PAGOPA|002|{notice}|77777777777|2160"));
    let printed = app.request(Method::GET, &format!("{}/notice.pdf", path(&sent)), &office).send().await.unwrap();
    assert_eq!(printed.status(), StatusCode::OK);
    assert!(printed.bytes().await.unwrap().starts_with(b"%PDF"));
    let (status, told) = app.soap("paGetPayment", &get_payment(notice)).await;
    assert!(status == StatusCode::OK && told.contains("<outcome>OK</outcome>"), "{told}");
    let (status, told) = app.soap("paSendRT", &receipt("receipt-1", notice, "21.60", "2026-11-23T10:00:00")).await;
    assert!(status == StatusCode::OK && told.contains("<outcome>OK</outcome>"), "{told}");
    let payment = format!("/v1/payments/{}", accepted["payment"]["payment"].as_str().unwrap());
    app.until(&payment, &office, |seen| seen["items"].as_array().unwrap().iter().all(|item| item["state"] == "sold")).await;
    quotes::resume(app.node()).await;
    let ticketed = app.get(&path(&sent), &office).await;
    assert_eq!(
        (&ticketed["state"], &ticketed["missing"], &ticketed["payment"]["state"]),
        (&json!("ticketed"), &json!([]), &json!("paid")),
        "{ticketed}"
    );
    let sale = ticketed["parts"][0]["sale"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/sales/{sale}"), &office).await["people"], 20);
    let pdf = app.request(Method::GET, &format!("{}/tickets.pdf", path(&sent)), &office).send().await.unwrap();
    assert_eq!((pdf.status(), pdf.headers().get("link").is_some()), (StatusCode::OK, false));
    assert!(pdf.bytes().await.unwrap().starts_with(b"%PDF"));
    let again = app.request(Method::GET, &format!("{}/notice.pdf", path(&sent)), &office).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT, "what is paid has no notice to pay");
    assert_eq!(words(&ticketed), ["drafted", "options_asked", "sent", "accepted", "payment_begun", "paid", "ticketed"]);
    let who = &ticketed["history"][3];
    assert_eq!((&who["role"], &who["detail"]), (&json!("group_office"), &json!("notice")));

    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let listed = app.get("/v1/quotes?state=ticketed&museum=torre&institution=80213750583", &office).await;
    let [item] = listed["items"].as_array().unwrap().as_slice() else { panic!("one quote: {listed}") };
    assert_eq!((&item["payment_state"], &item["deadline"], &item["people"], &item["day"]), (&json!("paid"), &json!(""), &json!(20), &json!(DAY)));
    assert_eq!(item["paid_at"], "2026-11-23T09:00:00Z", "when the receipt says that it was paid");
    for nobody in ["", "%20"] {
        let asked = app.request(Method::GET, &format!("/v1/quotes?institution={nobody}"), &office).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::BAD_REQUEST, "{nobody:?} is nobody's code");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn a_quote_is_printed_as_it_was_sent_whatever_has_become_of_it() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let print = async |quote: &Value| {
        let printed = app.request(Method::GET, &format!("{}/quote.pdf", path(quote)), &office).send().await.unwrap();
        assert_eq!(printed.status(), StatusCode::OK);
        printed.bytes().await.unwrap()
    };
    let next_day = || app.clock.set(app.node().now().plus_seconds(86_400));
    let drafted = draft(&app, &office, "d", &company("10:00", 10)).await;
    next_day();
    let sent = act(&app, &office, &drafted, "send", &json!({})).await;
    let to_sign = print(&sent).await;
    next_day();
    let accepted = act(&app, &office, &sent, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!(accepted["state"], "accepted", "{accepted}");
    assert!(print(&sent).await == to_sign, "what was signed has the day on which it was sent");
    next_day();
    let cancelled = act(&app, &office, &sent, "cancel", &json!({"cause": "group"})).await;
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    assert!(print(&sent).await == to_sign, "also when it is over");
    app.stop().await;
}

#[actix_rt::test]
async fn a_visit_that_costs_nothing_has_tickets_at_once_and_a_large_group_is_split() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let mut visit = visit("12:00", "school-pupil", 30);
    visit["escorts"] = json!(2);
    let form = json!({"museum": "torre", "kind": "school", "visit": visit});
    let drafted = draft(&app, &office, "d", &form).await;
    let starts: Vec<_> = drafted["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["slot"].as_str().unwrap().to_owned(), part["people"].as_u64().unwrap()))
        .collect();
    assert_eq!(starts, [(slot(TORRE, 12).to_string(), 16), (slot(TORRE, 13).to_string(), 16)]);
    act(&app, &office, &drafted, "send", &json!({})).await;
    let done = act(&app, &office, &drafted, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((&done["state"], &done["total_cents"], done.get("payment").is_some()), (&json!("ticketed"), &json!(0), false), "{done}");
    let sold = done["parts"].as_array().unwrap().iter().filter(|part| part["sale"].is_string()).count();
    assert_eq!((sold, done["parts"].as_array().map(Vec::len)), (2, Some(2)), "{done}");
    let pdf = app.request(Method::GET, &format!("{}/tickets.pdf?from=30", path(&drafted)), &office).send().await.unwrap();
    assert_eq!(pdf.status(), StatusCode::OK);
    app.stop().await;
}

#[actix_rt::test]
async fn a_ticket_that_is_cancelled_between_two_files_keeps_no_other_one_out_of_both() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    set_policy(&app, &manager, json!({"group_min": 10, "group_max": 18, "signature_days": 10, "payment_working_days": 3})).await;
    let form = json!({"museum": "torre", "kind": "school", "visit": visit("10:00", "school-pupil", 72)});
    let drafted = draft(&app, &office, "d", &form).await;
    act(&app, &office, &drafted, "send", &json!({})).await;
    let done = act(&app, &office, &drafted, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((&done["state"], done["parts"].as_array().unwrap().len()), (&json!("ticketed"), 4), "{done}");
    let file = |from: u16| format!("{}/tickets.pdf?from={from}", path(&drafted));
    let next_of = async |from: u16| {
        let printed = app.request(Method::GET, &file(from), &office).send().await.unwrap();
        assert_eq!(printed.status(), StatusCode::OK, "{from}");
        printed.headers().get("link").map(|link| link.to_str().unwrap().to_owned())
    };
    let link = |from: u16| Some(format!("<{}>; rel=\"next\"", file(from)));
    assert_eq!((next_of(0).await, next_of(60).await), (link(60), None));
    let cancel = format!("/v1/sales/{}/cancel", done["parts"][0]["sale"].as_str().unwrap());
    let (status, cancelled) = app.post(&cancel, &office, "c", &json!({"cause": "museum", "tickets": [0, 1]})).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    assert_eq!((next_of(60).await, next_of(71).await), (None, None), "the second file ends with the last, as before");
    assert_eq!(next_of(0).await, link(62), "sixty are in the first one all the same");
    app.stop().await;
}

#[actix_rt::test]
async fn what_nobody_signs_lapses_by_itself_after_a_reminder() {
    let app = App::start().await;
    let (office, web) = (app.key(Role::GroupOffice).await, app.key(Role::Web).await);
    let drafted = draft(&app, &office, "d", &company("10:00", 12)).await;
    act(&app, &office, &drafted, "send", &json!({})).await;
    assert_eq!(available(&app, &web, slot(TORRE, 10)).await, 8);
    // Signed within ten working days, until Monday 7 December; reminded three days before.
    app.pass(12 * 86_400).await;
    let reminded = app.until(&path(&drafted), &office, |seen| words(seen).contains(&"reminded")).await;
    assert_eq!(reminded["state"], "sent");
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let due = app.get("/v1/quotes?due_before=2026-12-08T00:00:00Z&state=open", &office).await;
    let item = &due["items"][0];
    assert_eq!((&item["deadline"], &item["due_at"]), (&json!("signature"), &json!("2026-12-07T23:00:00Z")), "{due}");
    assert_eq!((&item["sign_by"], &item["pay_by"], &item["vat"]), (&item["due_at"], &json!("2026-12-10T23:00:00Z"), &json!("12345678903")));
    app.pass(3 * 86_400).await;
    let lapsed = app.until(&path(&drafted), &office, |seen| seen["state"] == "lapsed").await;
    assert_eq!(lapsed["history"].as_array().unwrap().iter().find(|item| item["what"] == "lapsed").unwrap()["detail"], "signature");
    quotes::resume(app.node()).await;
    assert_eq!(available(&app, &web, slot(TORRE, 10)).await, 20, "its places are free again");
    let (status, late) = app.post(&format!("{}/accept", path(&drafted)), &office, "a", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((status.as_u16(), &late["code"], &late["state"]), (409, &json!("quote_in_other_state"), &json!("lapsed")));
    app.stop().await;
}

#[actix_rt::test]
async fn staff_see_how_likely_a_quote_lapses_and_which_options_keep_others_out() {
    let app = App::start().await;
    let (manager, office, operator) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    let opened = app.post("/v1/accounts", &office, "a", &json!({"account": "tour-op", "institution": {"vat": "12345678903"}})).await;
    assert_eq!(opened.0, StatusCode::CREATED, "{opened:?}");
    let drafted = draft(&app, &office, "d", &company("10:00", 12)).await;
    assert_eq!(drafted.get("lapse_probability"), None, "a draft keeps nothing");
    let sent = act(&app, &office, &drafted, "send", &json!({})).await;
    let lapse = sent["lapse_probability"].as_f64().unwrap();
    assert!(lapse > 0.1 && lapse < 0.9 && sent["lapse_by"] == "assumption", "{sent}");
    let own = draft(&app, &operator, "o", &json!({"museum": "torre", "kind": "tour_operator", "visit": visit("11:00", "full", 10)})).await;
    let own = act(&app, &operator, &own, "send", &json!({})).await;
    assert_eq!((own.get("lapse_probability"), own.get("lapse_by")), (None, None), "an operator is not told what is thought of it");
    assert!(app.get(&path(&own), &office).await["lapse_probability"].is_number());
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    let seen = async |key: &str| {
        let listed = app.get("/v1/quotes?state=sent", key).await;
        let items = listed["items"].as_array().unwrap();
        (items.len(), items.iter().filter(|item| item["lapse_probability"].is_number() && item["lapse_by"] == "assumption").count())
    };
    assert_eq!((seen(office.as_str()).await, seen(operator.as_str()).await), ((2, 2), (1, 0)));

    // Slot by slot in the forecast, and in its table.
    let forecast = app.get(&format!("/v1/museums/torre/forecast?from={DAY}&days=1&by=slot"), &manager).await;
    let slots = forecast["days"][0]["slots"].as_array().unwrap();
    let options: Vec<u64> = slots.iter().map(|slot| slot["options"].as_u64().unwrap()).filter(|options| *options > 0).collect();
    assert_eq!(options, [12, 10], "{forecast}");
    let ten = slots.iter().find(|seen| seen["slot"] == slot(TORRE, 10).to_string()).unwrap();
    assert!((ten["options_expected_back"].as_f64().unwrap() - 12.0 * lapse).abs() < 0.1, "{ten}");
    let request = app.request(Method::GET, &format!("/v1/museums/torre/forecast?from={DAY}&days=1"), &manager).header("Accept", "text/csv");
    let table = request.send().await.unwrap().text().await.unwrap();
    assert!(table.lines().next().unwrap().ends_with("capacity;options;options_expected_back"), "{table}");
    assert!(table.lines().nth(1).unwrap().contains(";22;"), "{table}");

    // Nobody is kept out, until more come every day than there are places.
    let path_of = "/v1/museums/torre/options";
    assert_eq!(app.get(path_of, &office).await, json!({"items": []}));
    let days: Vec<Value> =
        (0..200).map(|ahead| json!({"date": date(2026, 5, 1).saturating_add(jiff::Span::new().days(ahead)).to_string(), "people": 400})).collect();
    let past = json!({"source": "register", "days": days});
    assert_eq!(app.ask(Method::PUT, "/v1/museums/torre/attendance", &manager, "past", &past).await.0, StatusCode::OK);
    let listed = app.get(path_of, &office).await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["quote"]).collect::<Vec<_>>(), [&sent["quote"], &own["quote"]], "{listed}");
    let first = &items[0];
    assert_eq!((&first["state"], &first["kind"], &first["deadline"]), (&json!("sent"), &json!("company"), &json!("signature")));
    assert_eq!((&first["due_at"], &first["lapse_probability"]), (&sent["deadlines"]["sign_by"], &sent["lapse_probability"]));
    let kept = &first["slots"][0];
    assert_eq!((&kept["places"], &kept["options"], &kept["free"], &kept["capacity"]), (&json!(12), &json!(12), &json!(8), &json!(20)), "{kept}");
    assert!(kept["short"].as_f64().unwrap() > 0.0 && first["worth"].as_f64() >= items[1]["worth"].as_f64(), "{listed}");
    let page = app.get(&format!("{path_of}?limit=1"), &office).await;
    assert_eq!((&page["items"][0]["quote"], &page["next_cursor"]), (&sent["quote"], &json!(1)));
    let page = app.get(&format!("{path_of}?limit=1&cursor=1"), &office).await;
    assert_eq!((&page["items"][0]["quote"], page.get("next_cursor")), (&own["quote"], None));
    assert_eq!(app.request(Method::GET, path_of, &operator).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    // A clerk decides.
    act(&app, &office, &sent, "cancel", &json!({"cause": "group"})).await;
    let left = app.get(path_of, &office).await;
    assert_eq!(left["items"].as_array().unwrap().iter().map(|item| &item["quote"]).collect::<Vec<_>>(), [&own["quote"]], "{left}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_revision_moves_places_in_one_step_or_not_at_all() {
    let app = App::start().await;
    let (office, web) = (app.key(Role::GroupOffice).await, app.key(Role::Web).await);
    let one = draft(&app, &office, "one", &company("10:00", 12)).await;
    let two = draft(&app, &office, "two", &company("11:00", 10)).await;
    act(&app, &office, &one, "send", &json!({})).await;
    act(&app, &office, &two, "send", &json!({})).await;
    let slots = |hour: i8, count: u16| json!({"slots": [slot(TORRE, hour).to_string()], "lines": [{"category": "full", "count": count}]});
    let (status, full) = app.ask(Method::PUT, &path(&one), &office, "r1", &slots(11, 12)).await;
    assert_eq!(
        (status.as_u16(), &full["code"], &full["available"], &full["slot"]),
        (409, &json!("not_enough_places"), &json!(10), &json!(slot(TORRE, 11).to_string()))
    );
    assert!(full["alternatives"].is_array(), "{full}");
    let stands = app.get(&path(&one), &office).await;
    assert_eq!(
        (&stands["state"], &stands["revision"], &stands["options_refused"]["reason"]),
        (&json!("sent"), &json!(1), &json!("not_enough_places"))
    );
    assert_eq!((available(&app, &web, slot(TORRE, 10)).await, available(&app, &web, slot(TORRE, 11)).await), (8, 10));
    let (status, revised) = app.ask(Method::PUT, &path(&one), &office, "r2", &slots(11, 10)).await;
    assert_eq!((status.as_u16(), &revised["revision"], &revised["total_cents"]), (200, &json!(2), &json!(12_000)), "{revised}");
    assert_eq!((available(&app, &web, slot(TORRE, 10)).await, available(&app, &web, slot(TORRE, 11)).await), (20, 0));
    let (status, other) = app.post(&format!("{}/accept", path(&one)), &office, "a", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((status.as_u16(), &other["code"], &other["revision"]), (409, &json!("other_revision"), &json!(2)));

    // What is accepted is reopened to be paid on another way, or cancelled; both give back what they kept.
    let accepted = act(&app, &office, &one, "accept", &json!({"revision": 2, "settle": "notice"})).await;
    let (status, busy) = app.ask(Method::PUT, &path(&one), &office, "r3", &slots(12, 10)).await;
    assert_eq!((status.as_u16(), &busy["code"]), (409, &json!("payment_under_way")));
    let reopened = act(&app, &office, &one, "reopen", &json!({})).await;
    assert_eq!((&reopened["state"], &reopened["payment"]["state"]), (&json!("sent"), &json!("cancelled")), "{accepted} {reopened}");
    let cancelled = act(&app, &office, &one, "cancel", &json!({"cause": "group"})).await;
    assert_eq!(cancelled["state"], "cancelled");
    let refused = act(&app, &office, &two, "refuse", &json!({})).await;
    assert_eq!(refused["state"], "refused");
    assert_eq!(available(&app, &web, slot(TORRE, 11)).await, 20);
    app.stop().await;
}

#[actix_rt::test]
async fn a_contact_is_kept_for_the_visit_that_a_quote_is_revised_to_and_not_for_one_that_is_refused() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let at = |day: i8, hour: i8| SlotId::new(TORRE, RouteId(1), calendar::instant(date(2026, 12, day).at(hour, 0, 0, 0)));
    let to = |hour: i8| json!({"slots": [at(23, hour).to_string()], "lines": [{"category": "full", "count": 12}]});
    let mut quotes = Vec::new();
    for hour in 10..=13 {
        let mut form = company(&format!("{hour}:00"), 12);
        form["contact"] = contact();
        quotes.push(draft(&app, &office, &format!("draft-{hour}"), &form).await);
    }
    let [refused, without_places, moved, drafted] = &quotes[..] else { panic!("four quotes") };
    for quote in [refused, without_places, moved] {
        act(&app, &office, quote, "send", &json!({})).await;
    }
    act(&app, &office, refused, "refuse", &json!({})).await;
    let mut others = company("14:00", 12);
    others["visit"] = to(10);
    act(&app, &office, &draft(&app, &office, "others", &others).await, "send", &json!({})).await;
    let revised =
        [(refused, 14, Some("quote_in_other_state")), (without_places, 10, Some("not_enough_places")), (moved, 11, None), (drafted, 12, None)];
    for (quote, hour, code) in revised {
        let (status, body) = app.ask(Method::PUT, &path(quote), &office, &format!("revise-{hour}"), &to(hour)).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (if code.is_some() { 409 } else { 200 }, code), "{body}");
    }
    // The gate lets in for a quarter of an hour after the slot.
    let due = |day, hour| at(day, hour).start().plus_seconds(3_600 + 900 + 90 * 86_400);
    let people = &app.node().files().unwrap().people;
    assert_eq!(people.erase_due(due(16, 13)).await.unwrap(), 2, "no visit of theirs is on the later day");
    assert_eq!(people.erase_due(due(23, 11).plus_seconds(-1)).await.unwrap(), 0);
    assert_eq!(people.erase_due(due(23, 12)).await.unwrap(), 2);
    app.stop().await;
}

#[actix_rt::test]
async fn an_operator_has_its_own_quotes_at_its_own_prices() {
    let app = App::start().await;
    let (office, operator) = (app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    let opened =
        app.post("/v1/accounts", &office, "a", &json!({"account": "tour-op", "institution": {"vat": "12345678903"}, "limit_cents": 15_000})).await;
    assert_eq!(opened.0, StatusCode::CREATED, "{opened:?}");
    let agreed = json!({"agreements": [{"museum": 1, "category": "full", "price": {"percent_off": 10}, "from": "2026-12-01", "to": "2026-12-31"}]});
    assert_eq!(app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, "g", &agreed).await.0, StatusCode::OK);
    let form = json!({"museum": "torre", "kind": "tour_operator", "visit": visit("10:00", "full", 10)});
    let own = draft(&app, &operator, "d", &form).await;
    assert_eq!(
        (&own["account"], &own["total_cents"], &own["institution"]["vat"]),
        (&json!("tour-op"), &json!(10_800), &json!("12345678903")),
        "{own}"
    );
    assert_eq!(own["parts"][0]["lines"][0]["why"], "agreement");
    let other = draft(&app, &office, "o", &company("11:00", 10)).await;
    for what in ["", "/quote.pdf", "/tickets.pdf"] {
        assert_eq!(app.request(Method::GET, &format!("{}{what}", path(&other)), &operator).send().await.unwrap().status(), 404, "{what}");
    }
    for what in ["send", "accept", "refuse", "cancel"] {
        let body = if what == "accept" { json!({"revision": 1, "settle": "notice"}) } else { json!({"cause": "group"}) };
        assert_eq!(app.post(&format!("{}/{what}", path(&other)), &operator, what, &body).await.0, StatusCode::NOT_FOUND, "{what}");
    }
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    assert_eq!(app.get("/v1/quotes", &operator).await["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/v1/quotes", &office).await["items"].as_array().unwrap().len(), 2);
    assert_eq!(app.request(Method::GET, "/v1/quotes?account=other", &operator).send().await.unwrap().status(), 404);
    let (status, foreign) = app
        .post(
            "/v1/quotes",
            &operator,
            "f",
            &json!({"museum": "torre", "kind": "tour_operator", "visit": visit("10:00", "full", 10), "account": "other"}),
        )
        .await;
    assert_eq!((status.as_u16(), &foreign["code"]), (404, &json!("unknown_account")));
    let (status, priced) = app
        .post("/v1/quotes", &operator, "e", &{
            let mut form = form.clone();
            form["visit"]["extras"] = json!([{"code": "guide", "count": 1, "price_cents": 1}]);
            form
        })
        .await;
    assert_eq!((status.as_u16(), &priced["code"]), (422, &json!("extra_not_priced")));

    // What the office drafts for its account is its own too, and what is due for that.
    let for_it = json!({"museum": "torre", "kind": "tour_operator", "visit": visit("15:00", "full", 10), "account": "tour-op"});
    let for_it = draft(&app, &office, "i", &for_it).await;
    act(&app, &operator, &for_it, "send", &json!({})).await;
    let due = act(&app, &operator, &for_it, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    let payment = format!("/v1/payments/{}", due["payment"]["payment"].as_str().unwrap());
    assert_eq!((&app.get(&payment, &operator).await["amount_cents"], &due["acceptance"]["by"]), (&json!(10_800), &json!("operator")));
    let web = app.key(Role::Web).await;
    assert_eq!(app.request(Method::GET, &payment, &web).send().await.unwrap().status(), 404);

    // It accepts its own, on its account; what goes beyond the limit is not settled, and stands as it was sent.
    act(&app, &operator, &own, "send", &json!({})).await;
    let done = act(&app, &operator, &own, "accept", &json!({"revision": 1, "settle": "on_account"})).await;
    assert_eq!((&done["state"], &done["acceptance"]["by"]), (&json!("ticketed"), &json!("operator")), "{done}");
    assert_eq!(
        app.get(&format!("/v1/sales/{}", done["parts"][0]["sale"].as_str().unwrap()), &operator).await["settlement"],
        json!({"on_account": {"account": "tour-op", "quote": own["quote"]}})
    );
    let more = draft(&app, &operator, "m", &json!({"museum": "torre", "kind": "tour_operator", "visit": visit("12:00", "full", 10)})).await;
    act(&app, &operator, &more, "send", &json!({})).await;
    let (status, beyond) = app.post(&format!("{}/accept", path(&more)), &operator, "b", &json!({"revision": 1, "settle": "on_account"})).await;
    assert_eq!((status.as_u16(), &beyond["code"]), (409, &json!("credit_limit")), "{beyond}");
    let stands = app.get(&path(&more), &operator).await;
    assert_eq!((&stands["state"], &stands["settlement_refused"]["reason"]), (&json!("sent"), &json!("credit_limit")));

    // What a quote keeps is given back and paid by the quote alone, also by the office.
    let option = format!("/v1/holds/{}", stands["parts"][0]["option"].as_str().unwrap());
    let freed = app.request(Method::DELETE, &option, &office).header("Idempotency-Key", "x").send().await.unwrap();
    assert_eq!((freed.status().as_u16(), &freed.json::<Value>().await.unwrap()["code"]), (409, &json!("hold_quoted")));
    assert_eq!(app.request(Method::DELETE, &option, &operator).header("Idempotency-Key", "x").send().await.unwrap().status(), 404);
    assert_eq!(app.post(&format!("{option}/confirm"), &operator, "y", &json!({"settlement": {"free": {}}})).await.0, StatusCode::NOT_FOUND);
    let paying = json!({"holds": [stands["parts"][0]["option"]], "gateway": {"notice": {}}});
    assert_eq!(app.post("/v1/payments", &operator, "z", &paying).await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.get(&path(&more), &operator).await["state"], "sent");

    // What the office drafts for it, it sees also when it is tickets.
    let theirs = json!({"museum": "torre", "kind": "tour_operator", "visit": visit("16:00", "under-18", 10), "account": "tour-op"});
    let theirs = draft(&app, &office, "t", &theirs).await;
    act(&app, &office, &theirs, "send", &json!({})).await;
    let done = act(&app, &office, &theirs, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    let sale = done["parts"][0]["sale"].as_str().unwrap();
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    assert_eq!(app.get(&format!("/v1/sales/{sale}"), &operator).await["people"], 10);
    assert_eq!(app.request(Method::GET, &format!("/v1/sales/{sale}"), &web).send().await.unwrap().status(), 404);
    let due = async |key: &str| {
        app.get("/v1/payments", key).await["items"].as_array().unwrap().iter().any(|item| payment.ends_with(item["payment"].as_str().unwrap()))
    };
    assert_eq!([due(&operator).await, due(&office).await, due(&web).await], [true, true, false], "what is due for a quote that the office drafted");
    let listed = |page: Value| page["items"].as_array().unwrap().iter().any(|item| item["sale"] == *sale && item["quote"] == theirs["quote"]);
    assert!(listed(app.get("/v1/sales", &operator).await) && !listed(app.get("/v1/sales?mine=true", &operator).await));
    app.stop().await;
}

/// Tickets of a quote that go to another slot stay the quote's, however often they go: in its documents, in the lists, for its account, and when they are cancelled.
#[actix_rt::test]
async fn tickets_that_move_stay_with_their_quote() {
    let app = App::start().await;
    let (office, operator) = (app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    app.post("/v1/accounts", &office, "a", &json!({"account": "tour-op", "limit_cents": 15_000})).await;
    let agreed = json!({"agreements": [{"category": "full", "price": {"percent_off": 10}, "from": "2026-12-01", "to": "2026-12-31"}]});
    assert_eq!(app.ask(Method::PUT, "/v1/accounts/tour-op/agreements", &office, "g", &agreed).await.0, StatusCode::OK);
    // The office drafts it, so the sale is made with another key than the operator's.
    let form = json!({"museum": "torre", "kind": "tour_operator", "visit": visit("10:00", "full", 10), "account": "tour-op"});
    let quote = draft(&app, &office, "d", &form).await;
    act(&app, &operator, &quote, "send", &json!({})).await;
    let done = act(&app, &operator, &quote, "accept", &json!({"revision": 1, "settle": "on_account"})).await;
    let bought = done["parts"][0]["sale"].as_str().unwrap().to_owned();
    assert_eq!((&done["total_cents"], &done["parts"][0]["moved_to"]), (&json!(10_800), &json!([])), "{done}");
    let reach = async |app: &App| app.node().files().unwrap().views.reach(app.node().head().number).await;
    reach(&app).await;

    let mut sales = vec![bought];
    for (hour, tickets) in [(11, json!([0, 1, 2])), (12, json!([0, 2]))] {
        let from = sales.last().unwrap();
        let to = json!({"slot": slot(TORRE, hour).to_string(), "tickets": tickets});
        let (status, moved) = app.post(&format!("/v1/sales/{from}/move"), &operator, &hour.to_string(), &to).await;
        assert_eq!((status.as_u16(), &moved["lines"][0]["price_cents"]), (200, &json!(1_080)), "{moved}");
        sales.push(moved["sale"].as_str().unwrap().to_owned());
        reach(&app).await;
    }
    let seen = app.get(&path(&quote), &operator).await;
    assert_eq!((&seen["parts"][0]["sale"], &seen["parts"][0]["moved_to"]), (&json!(sales[0]), &json!(sales[1..])));
    let print = async |from: u16| app.request(Method::GET, &format!("{}/tickets.pdf?from={from}", path(&quote)), &operator).send().await.unwrap();
    // Ten were bought, three and two are what they became in other slots.
    assert_eq!([print(14).await.status(), print(15).await.status()], [StatusCode::OK, StatusCode::CONFLICT], "all of them, wherever they are");
    let linked = async |app: &App, key: &str| {
        let listed = app.get("/v1/sales", key).await;
        let of_it = |sale: &String| listed["items"].as_array().unwrap().iter().any(|item| item["sale"] == *sale && item["quote"] == quote["quote"]);
        sales.iter().all(of_it)
    };
    assert!(linked(&app, &operator).await && linked(&app, &office).await);
    let table = app.request(Method::GET, "/v1/sales/export.csv", &office).send().await.unwrap().text().await.unwrap();
    assert_eq!(table.lines().filter(|line| line.ends_with(&format!(";{}", quote["quote"].as_str().unwrap()))).count(), 3, "{table}");
    let web = app.key(Role::Web).await;
    for sale in &sales {
        assert_eq!(app.request(Method::GET, &format!("/v1/sales/{sale}"), &operator).send().await.unwrap().status(), 200);
        assert_eq!(app.request(Method::GET, &format!("/v1/sales/{sale}"), &web).send().await.unwrap().status(), 404);
    }

    // One that has moved twice is cancelled, and the account owes less, once.
    let cancel = format!("/v1/sales/{}/cancel", sales[2]);
    let (status, cancelled) = app.post(&cancel, &operator, "c", &json!({"cause": "visitor", "tickets": [1]})).await;
    assert_eq!((status.as_u16(), &cancelled["refund_cents"]), (200, &json!(1_080)), "{cancelled}");
    for _ in 0..2 {
        tornello_actors::payments::resume(app.node()).await;
        let account = app.get("/v1/accounts/tour-op", &operator).await;
        assert_eq!((&account["owed_cents"], &account["charges"][0]["taken_back_cents"]), (&json!(9_720), &json!(1_080)), "{account}");
    }
    assert_eq!([print(13).await.status(), print(14).await.status()], [StatusCode::OK, StatusCode::CONFLICT]);
    // Lists that are built anew say the same.
    let app = app.restart_without_views().await;
    reach(&app).await;
    assert!(linked(&app, &operator).await);
    app.stop().await;
}

/// Whoever lost an answer is told what was done then, and not what has become of the quote since.
#[actix_rt::test]
async fn a_repeat_is_answered_with_the_quote_as_it_was_then() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let form = company("10:00", 12);
    let drafted = draft(&app, &office, "d", &form).await;
    let sent = act(&app, &office, &drafted, "send", &json!({})).await;
    let accepted = act(&app, &office, &drafted, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((&accepted["state"], &accepted["payment"]["state"]), (&json!("accepted"), &json!("pending")), "{accepted}");
    let reopened = act(&app, &office, &drafted, "reopen", &json!({})).await;
    let cancelled = act(&app, &office, &drafted, "cancel", &json!({"cause": "group"})).await;
    assert_eq!((&reopened["state"], &cancelled["state"]), (&json!("sent"), &json!("cancelled")));
    let same = |what: &str, first: &Value, again: &Value| {
        for member in ["state", "since", "revision", "parts", "total_cents", "deadlines", "acceptance", "history"] {
            assert_eq!(again.get(member), first.get(member), "{what}, {member}");
        }
    };
    same("draft", &drafted, &draft(&app, &office, "d", &form).await);
    for (what, first, body) in [
        ("send", &sent, json!({})),
        ("accept", &accepted, json!({"revision": 1, "settle": "notice"})),
        ("reopen", &reopened, json!({})),
        ("cancel", &cancelled, json!({"cause": "group"})),
    ] {
        let again = act(&app, &office, &drafted, what, &body).await;
        same(what, first, &again);
    }
    assert_eq!(app.get(&path(&drafted), &office).await["state"], "cancelled");
    app.stop().await;
}

/// A repeat is answered with what it did, though the slots that it would find now are others, or none.
#[actix_rt::test]
async fn a_repeat_by_day_and_time_is_answered_before_slots_are_looked_for() {
    let app = App::start().await;
    let (office, manager) = (app.key(Role::GroupOffice).await, app.key(Role::Manager).await);
    let form = company("10:00", 12);
    let drafted = draft(&app, &office, "d", &form).await;
    act(&app, &office, &drafted, "send", &json!({})).await;
    let change = visit("10:00", "full", 14);
    let (status, revised) = app.ask(Method::PUT, &path(&drafted), &office, "r", &change).await;
    assert_eq!((status.as_u16(), &revised["revision"]), (200, &json!(2)), "{revised}");
    for hour in 9..=18 {
        let close = format!("/v1/slots/{}/close", slot(TORRE, hour));
        assert_eq!(app.post(&close, &manager, &format!("c{hour}"), &json!({"reason": "strike"})).await.0, StatusCode::OK);
    }
    assert_eq!(draft(&app, &office, "d", &form).await["quote"], drafted["quote"]);
    let (status, again) = app.ask(Method::PUT, &path(&drafted), &office, "r", &change).await;
    assert_eq!((status.as_u16(), &again["revision"], &again["parts"]), (200, &json!(2), &revised["parts"]), "{again}");
    let (status, other) = app.ask(Method::PUT, &path(&drafted), &office, "r", &visit("10:00", "full", 15)).await;
    assert_eq!((status.as_u16(), &other["code"]), (422, &json!("idempotency_key_reused")), "{other}");
    assert_eq!(app.post("/v1/quotes", &office, "e", &form).await.1["code"], "no_slots_for_group");
    app.stop().await;
}

#[actix_rt::test]
async fn a_confirmation_is_the_offices() {
    let app = App::start().await;
    let (manager, office, operator) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    let mut rules = policy();
    rules["confirmation"] = json!(true);
    set_policy(&app, &manager, rules).await;
    app.post("/v1/accounts", &office, "a", &json!({"account": "tour-op"})).await;
    let own = draft(&app, &operator, "d", &json!({"museum": "torre", "kind": "tour_operator", "visit": visit("10:00", "full", 10)})).await;
    act(&app, &operator, &own, "send", &json!({})).await;
    let accepted = act(&app, &operator, &own, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!(
        (&accepted["state"], &accepted["acceptance"]["confirmed"], accepted.get("payment").is_some()),
        (&json!("accepted"), &json!(false), false)
    );
    assert_eq!(app.post(&format!("{}/confirm", path(&own)), &operator, "c", &json!({})).await.0, StatusCode::FORBIDDEN);
    let confirmed = act(&app, &office, &own, "confirm", &json!({})).await;
    assert_eq!((&confirmed["acceptance"]["confirmed"], &confirmed["payment"]["state"]), (&json!(true), &json!("pending")), "{confirmed}");
    let (status, again) = app.post(&format!("{}/confirm", path(&own)), &office, "c2", &json!({})).await;
    assert_eq!((status.as_u16(), &again["code"]), (409, &json!("nothing_to_confirm")));
    app.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_quoted_is_refused_with_its_reason() {
    let app = App::start().await;
    let (manager, office, web) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await, app.key(Role::Web).await);
    set_policy(&app, &manager, policy()).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut form = company("10:00", 12);
        change(&mut form);
        form
    };
    let slots =
        |slots: &[SlotId]| json!({"slots": slots.iter().map(ToString::to_string).collect::<Vec<_>>(), "lines": [{"category": "full", "count": 12}]});
    let cases: Vec<(Value, u16, &str)> = vec![
        (with(&|form| form["museum"] = json!("nowhere")), 404, "not_found"),
        (with(&|form| form["kind"] = json!("army")), 422, "invalid"),
        (with(&|form| form["visit"]["lines"][0]["count"] = json!(9)), 422, "group_too_small"),
        (with(&|form| form["visit"]["lines"][0]["category"] = json!("nobody")), 422, "unknown_category"),
        (with(&|form| form["visit"]["lines"] = json!([])), 422, "bad_lines"),
        (with(&|form| form["visit"]["escorts"] = json!(1)), 422, "too_many_escorts"),
        (with(&|form| form["visit"]["extras"] = json!([{"code": "audio-system", "count": 12}])), 422, "extra_twice"),
        (with(&|form| form["visit"]["extras"] = json!([{"code": "guide", "count": 1}])), 422, "extra_not_priced"),
        (with(&|form| form["visit"]["extras"] = json!([{"code": "guide", "count": 0, "price_cents": 1}])), 422, "bad_extras"),
        (with(&|form| form["institution"] = json!({"vat": "12345678900"})), 422, "invalid"),
        (with(&|form| form["account"] = json!("nobody")), 404, "unknown_account"),
        (with(&|form| form["contact"] = json!({"given_name": "A", "family_name": "B", "email": "nobody"})), 422, "invalid_contact"),
        (with(&|form| form["visit"]["slots"] = json!([slot(TORRE, 10).to_string()])), 422, "invalid"),
        (with(&|form| form["visit"]["day"] = json!(null)), 422, "invalid"),
        (with(&|form| form["visit"]["time"] = json!("18:30")), 409, "no_slots_for_group"),
        (with(&|form| form["visit"]["route"] = json!("nowhere")), 404, "not_found"),
        (with(&|form| form["visit"] = slots(&[slot(TORRE, 10), slot(TORRE, 11)])), 422, "wrong_number_of_slots"),
        (with(&|form| form["visit"] = slots(&[slot(MARE, 10)])), 422, "bad_slots"),
        (with(&|form| form["visit"] = slots(&[slot(TORRE, 3)])), 404, "not_found"),
        (
            json!({"museum": "torre", "kind": "school", "visit": {"day": DAY, "lines": [{"category": "school-escort", "count": 10}], "escorts": 1}}),
            422,
            "escort_category",
        ),
        (
            json!({"museum": "torre", "kind": "school", "visit": {"day": DAY,
                "lines": [{"category": "school-pupil", "count": 10}, {"category": "school-escort", "count": 5}]}}),
            422,
            "escort_category",
        ),
    ];
    for (number, (form, status, code)) in cases.into_iter().enumerate() {
        let (found, problem) = app.post("/v1/quotes", &office, &number.to_string(), &form).await;
        assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{form}: {problem}");
    }
    let nowhere = with(&|form| form["visit"]["route"] = json!("nowhere"));
    let (_, problem) = app.post("/v1/quotes", &office, "nowhere", &nowhere).await;
    assert!(problem["detail"].as_str().unwrap().starts_with("visit.route: "), "{problem}");
    assert_eq!(app.post("/v1/quotes", &web, "w", &company("10:00", 12)).await.0, StatusCode::FORBIDDEN);
    let mare = app.key_for(Role::GroupOffice, Museums::Only(vec![MARE])).await;
    assert_eq!(app.post("/v1/quotes", &mare, "m", &company("10:00", 12)).await.0, StatusCode::NOT_FOUND);

    let drafted = draft(&app, &office, "d", &company("10:00", 12)).await;
    assert_eq!(app.request(Method::GET, &path(&drafted), &mare).send().await.unwrap().status(), 404);
    let (status, reused) = app.post("/v1/quotes", &office, "d", &company("11:00", 12)).await;
    assert_eq!((status.as_u16(), &reused["code"]), (422, &json!("idempotency_key_reused")));
    let soon =
        json!({"museum": "torre", "kind": "company", "visit": {"day": "2026-11-25", "time": "10:00", "lines": [{"category": "full", "count": 12}]}});
    let soon = draft(&app, &office, "s", &soon).await;
    for (key, museum) in [("number", json!(1)), ("text", json!("1"))] {
        let drafted = draft(&app, &office, key, &with(&|form| form["museum"] = museum.clone())).await;
        assert_eq!(drafted["museum"], 1, "{drafted}");
    }
    for (quote, what, body, status, code) in [
        (&drafted, "accept", json!({"revision": 1, "settle": "notice"}), 409, "quote_in_other_state"),
        (&drafted, "reopen", json!({}), 409, "quote_in_other_state"),
        (&drafted, "confirm", json!({}), 409, "quote_in_other_state"),
        (&soon, "send", json!({}), 409, "too_late_to_pay"),
        (&drafted, "cancel", json!({"cause": "no_places"}), 422, "invalid"),
    ] {
        let (found, problem) = app.post(&format!("{}/{what}", path(quote)), &office, &format!("x{what}"), &body).await;
        assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{what}: {problem}");
    }
    act(&app, &office, &drafted, "send", &json!({})).await;
    for (settle, code) in [("desk", "settle_not_allowed"), ("on_account", "settle_not_allowed"), ("gold", "invalid")] {
        let (_, problem) = app.post(&format!("{}/accept", path(&drafted)), &office, settle, &json!({"revision": 1, "settle": settle})).await;
        assert_eq!(problem["code"], code, "{settle}: {problem}");
    }
    for (query, status) in [
        ("state=gone", 400),
        ("from=yesterday", 400),
        ("due_before=yesterday", 400),
        ("limit=0", 400),
        ("more=1", 400),
        ("from=2026-12-02&to=2026-12-01", 422),
        ("from=2026-12-01&to=2026-12-01", 200),
    ] {
        let answer = app.request(Method::GET, &format!("/v1/quotes?{query}"), &office).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{query}");
    }
    app.stop().await;
}

#[actix_rt::test]
async fn lists_are_tables_for_who_wants_them_and_are_built_again() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    for hour in 10..13 {
        let drafted = draft(&app, &office, &hour.to_string(), &company(&format!("{hour}:00"), 10)).await;
        act(&app, &office, &drafted, "send", &json!({})).await;
    }
    let views = &app.node().files().unwrap().views;
    views.reach(app.node().head().number).await;
    let first = app.get("/v1/quotes?limit=2", &office).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("/v1/quotes?limit=2&cursor={cursor}"), &office).await;
    assert_eq!(
        (first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len(), second.get("next_cursor").is_some()),
        (2, 1, false)
    );
    assert!(first["as_of_batch"].as_u64().unwrap() > 0);
    let accept = app.request(Method::GET, "/v1/quotes", &office).header("Accept", "text/csv").send().await.unwrap().text().await.unwrap();
    let export = app.request(Method::GET, "/v1/quotes/export.csv?state=sent", &office).send().await.unwrap().text().await.unwrap();
    assert_eq!(accept, export);
    let lines: Vec<&str> = export.trim_start_matches('\u{feff}').lines().collect();
    assert!(
        lines.len() == 4
            && lines[0].starts_with("quote;museum;day;starts_at;state")
            && lines[1].contains(";120,00;2026-12-08T00:00:00+01:00;2026-12-11T00:00:00+01:00;;signature;"),
        "{export}"
    );
    // A table that is not the whole list says where it goes on.
    let part = app.request(Method::GET, "/v1/quotes?limit=2", &office).header("Accept", "text/csv").send().await.unwrap();
    assert_eq!(part.headers()["link"], format!("</v1/quotes?limit=2&cursor={cursor}>; rel=\"next\"").as_str());
    for goes_on in ["/v1/quotes?limit=2", "/v1/quotes/export.csv?limit=2"] {
        let rest = app.request(Method::GET, &format!("{goes_on}&cursor={cursor}"), &office).header("Accept", "text/csv").send().await.unwrap();
        assert!(rest.headers().get("link").is_none());
        let rest = rest.text().await.unwrap();
        assert_eq!(rest.lines().collect::<Vec<_>>()[1..], lines[3..], "{goes_on}");
    }
    // A clerk reads the hour of the visit as visitors do.
    let begins = |line: &&str| line.split(';').nth(3).is_some_and(|at| at.len() == 25 && at.ends_with(":00:00+01:00"));
    assert_eq!(lines[1..].iter().filter(|line| begins(line)).count(), 3, "{export}");
    let sales = app.request(Method::GET, "/v1/sales/export.csv", &office).send().await.unwrap().text().await.unwrap();
    assert!(sales.trim_start_matches('\u{feff}').starts_with("sale;museum;slot;"), "{sales}");

    // A projection: thrown away and built again it says the same.
    let before = app.get("/v1/quotes", &office).await;
    let app = app.restart_without_views().await;
    app.node().files().unwrap().views.reach(app.node().head().number).await;
    assert_eq!(app.get("/v1/quotes", &office).await["items"], before["items"]);
    app.stop().await;
}

#[actix_rt::test]
async fn a_day_that_is_over_or_not_on_sale_yet_says_so() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    set_policy(&app, &manager, policy()).await;
    let form = |visit: Value| {
        let mut form = company("10:00", 12);
        form["visit"] = visit;
        form
    };
    let lines = || json!([{"category": "full", "count": 12}]);
    let day = |day: &str| form(json!({"day": day, "lines": lines()}));
    let (status, over) = app.post("/v1/quotes", &office, "past", &day("2026-11-22")).await;
    assert_eq!((status.as_u16(), &over["code"]), (409, &json!("slot_over")), "{over}");
    let (status, early) = app.post("/v1/quotes", &office, "early", &day("2027-11-23")).await;
    assert_eq!((status.as_u16(), &early["code"]), (409, &json!("sale_not_open")), "{early}");
    assert!(early["opens_at"].as_str().is_some_and(|at| at.starts_with("2027-")), "{early}");
    app.pass(3_600).await;
    let ended = SlotId::new(TORRE, RouteId(1), calendar::instant(date(2026, 11, 23).at(9, 0, 0, 0))).to_string();
    let named = form(json!({"slots": [ended], "lines": lines()}));
    let (status, over) = app.post("/v1/quotes", &office, "named", &named).await;
    assert_eq!((status.as_u16(), &over["code"], &over["slot"]), (409, &json!("slot_over"), &json!(ended)), "{over}");
    app.stop().await;
}

#[actix_rt::test]
async fn where_there_is_no_payment_page_none_is_promised() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    set_policy(&app, &manager, policy()).await;
    let sent = draft(&app, &office, "d", &company("10:00", 12)).await;
    act(&app, &office, &sent, "send", &json!({})).await;
    let (status, off) = app.post(&format!("{}/accept", path(&sent)), &office, "a", &json!({"revision": 1, "settle": "checkout"})).await;
    assert_eq!((status.as_u16(), &off["code"]), (409, &json!("gateway_off")), "{off}");
    assert_eq!(app.get(&path(&sent), &office).await["state"], "sent", "it stands as it was sent");
    let accepted = act(&app, &office, &sent, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!(accepted["state"], "accepted");
    app.stop().await;
}

/// Neither is accepted what does not take place, nor does a desk take money for it: the quote would be cancelled, and the money would have to go back.
#[actix_rt::test]
async fn for_what_does_not_take_place_no_money_is_taken_and_the_quote_stands() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    let (owes, sent) = (draft(&app, &office, "d", &company("10:00", 12)).await, draft(&app, &office, "e", &company("14:00", 12)).await);
    for quote in [&owes, &sent] {
        act(&app, &office, quote, "send", &json!({})).await;
    }
    let accepted = act(&app, &office, &owes, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    let desk = format!("/v1/payments/{}/desk", accepted["payment"]["payment"].as_str().unwrap());
    let day = format!("/v1/museums/torre/days/{DAY}");
    let strike = json!({"reason": "strike"});
    assert_eq!(app.post(&format!("{day}/close"), &manager, "close", &strike).await.0, StatusCode::OK);

    let (status, off) = app.post(&format!("{}/accept", path(&sent)), &office, "a", &json!({"revision": 1, "settle": "notice"})).await;
    assert_eq!((status.as_u16(), &off["code"], off.get("reason")), (409, &json!("slot_closed"), None), "{off}");
    assert!(!off["detail"].as_str().unwrap().contains('`'), "nothing is named that is not there: {off}");
    let till = json!({"till": "till-1", "method": "cash", "reference": "R-1"});
    let (status, off) = app.post(&desk, &office, "pay", &till).await;
    assert_eq!((status.as_u16(), &off["code"], &off["reason"]), (409, &json!("slot_closed"), &json!("strike")), "{off}");
    let (_, told) = app.soap("paGetPayment", &get_payment(accepted["payment"]["notice_number"].as_str().unwrap())).await;
    assert!(told.contains("PAA_PAGAMENTO_ANNULLATO"), "{told}");
    let printed = app.request(Method::GET, &format!("{}/notice.pdf", path(&owes)), &office).send().await.unwrap();
    assert_eq!(printed.status(), StatusCode::CONFLICT, "no notice is printed that cannot be paid");
    quotes::resume(app.node()).await;
    for (quote, state) in [(&owes, "accepted"), (&sent, "sent")] {
        assert_eq!(app.get(&path(quote), &office).await["state"], state);
    }

    assert_eq!(app.post(&format!("{day}/reopen"), &manager, "reopen", &strike).await.0, StatusCode::OK);
    assert_eq!(app.post(&desk, &office, "pay", &till).await.0, StatusCode::OK);
    quotes::resume(app.node()).await;
    assert_eq!(app.get(&path(&owes), &office).await["state"], "ticketed");
    app.stop().await;
}

/// A desk takes no money that would have to go back: not on the notice of an earlier revision, nor for what was paid by another notice.
#[actix_rt::test]
async fn a_desk_takes_no_money_that_a_quote_would_not_keep() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let quote = draft(&app, &office, "d", &company("10:00", 12)).await;
    act(&app, &office, &quote, "send", &json!({})).await;
    let first = act(&app, &office, &quote, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    act(&app, &office, &quote, "reopen", &json!({})).await;
    let (status, revised) = app.ask(Method::PUT, &path(&quote), &office, "r", &visit("10:00", "full", 11)).await;
    assert_eq!((status.as_u16(), &revised["revision"]), (200, &json!(2)), "{revised}");
    let desk = |accepted: &Value| format!("/v1/payments/{}/desk", accepted["payment"]["payment"].as_str().unwrap());
    let till = |reference: &str| json!({"till": "till-1", "method": "cash", "reference": reference});
    let (status, off) = app.post(&desk(&first), &office, "pay-1", &till("R-1")).await;
    assert_eq!((status.as_u16(), &off["code"], &off["revision"]), (409, &json!("other_revision"), &json!(2)), "{off}");

    let (accept, notice) = (format!("{}/accept", path(&quote)), json!({"revision": 2, "settle": "notice"}));
    let (_, withdrawn) = app.post(&accept, &office, "a-2", &notice).await;
    assert_eq!(app.post(&format!("{}/reopen", path(&quote)), &office, "o-2", &json!({})).await.0, StatusCode::OK);
    let (_, newer) = app.post(&accept, &office, "a-3", &notice).await;
    let paid = app.post(&desk(&newer), &office, "pay-2", &till("R-2")).await;
    assert_eq!((paid.0.as_u16(), &paid.1["state"]), (200, &json!("paid")), "{}", paid.1);
    let (status, off) = app.post(&desk(&withdrawn), &office, "pay-3", &till("R-3")).await;
    assert_eq!((status.as_u16(), &off["code"]), (409, &json!("already_paid")), "{off}");
    let (status, again) = app.post(&desk(&newer), &office, "pay-4", &till("R-2")).await;
    assert_eq!((status.as_u16(), &again["state"]), (200, &json!("paid")), "what was taken is answered again: {again}");
    app.stop().await;
}

/// The museum cannot keep its word: the quote says so, and all of its money is to go back.
#[actix_rt::test]
async fn what_has_tickets_is_cancelled_by_the_museum_with_what_it_cost_beside_them() {
    let app = App::start().await;
    let (manager, office, operator) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await, app.key(Role::Operator).await);
    set_policy(&app, &manager, policy()).await;
    let sent = draft(&app, &office, "d", &company("10:00", 12)).await;
    act(&app, &office, &sent, "send", &json!({})).await;
    let accepted = act(&app, &office, &sent, "accept", &json!({"revision": 1, "settle": "notice"})).await;
    let payment = format!("/v1/payments/{}", accepted["payment"]["payment"].as_str().unwrap());
    let till = json!({"till": "till-1", "method": "card", "reference": "R-1"});
    assert_eq!(app.post(&format!("{payment}/desk"), &manager, "pay", &till).await.0, StatusCode::OK);
    quotes::resume(app.node()).await;
    let ticketed = app.get(&path(&sent), &office).await;
    assert_eq!(ticketed["state"], "ticketed", "{ticketed}");
    let cancel = format!("{}/cancel", path(&sent));
    let (status, group) = app.post(&cancel, &office, "g", &json!({"cause": "group"})).await;
    assert_eq!((status.as_u16(), &group["code"]), (409, &json!("quote_in_other_state")), "{group}");
    assert_eq!(app.post(&cancel, &operator, "o", &json!({"cause": "museum"})).await.0.as_u16() / 100, 4);
    let (status, cancelled) = app.post(&cancel, &office, "m", &json!({"cause": "museum"})).await;
    assert_eq!((status.as_u16(), &cancelled["state"]), (200, &json!("cancelled")), "{cancelled}");
    let history: Vec<&str> = cancelled["history"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap()).collect();
    assert!(history.ends_with(&["ticketed", "cancelled", "paid_back"]), "{history:?}");
    assert_eq!(app.post(&cancel, &office, "m", &json!({"cause": "museum"})).await.1["state"], "cancelled", "a repeat is answered the same");
    tornello_actors::payments::resume(app.node()).await;
    let back = app.get(&payment, &office).await;
    assert_eq!(back["refunded"], "whole", "{back}");
    let refunds = back["refunds"].as_array().unwrap();
    assert_eq!(
        refunds.iter().map(|refund| refund["amount_cents"].as_i64().unwrap()).sum::<i64>(),
        ticketed["total_cents"].as_i64().unwrap(),
        "{back}"
    );
    assert!(refunds.iter().any(|refund| refund["why"] == "extras_cancelled"), "{back}");
    app.until("/v1/quotes?state=cancelled", &office, |page| page["items"].as_array().is_some_and(|items| items.len() == 1)).await;
    app.stop().await;
}

#[actix_rt::test]
async fn a_group_that_comes_after_midnight_finds_the_slots_of_the_evening_before() {
    let app = App::start().await;
    let (manager, office) = (app.key(Role::Manager).await, app.key(Role::GroupOffice).await);
    set_policy(&app, &manager, policy()).await;
    let mut nights = plan();
    let night = Session { opens: time(22, 0, 0, 0), closes: time(2, 0, 0, 0), last_entry: time(1, 0, 0, 0), ..nights.routes[0].week[0][0].clone() };
    nights.routes[0].week = std::array::from_fn(|_| vec![night.clone()]);
    app.set_plan(nights).await;
    let list = app.get(&format!("/v1/museums/torre/availability?from={DAY}"), &office).await;
    let listed: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|line| &line["slot"]).collect();
    let hours = [0, 1, 22, 23].map(|hour| json!(slot(TORRE, hour).to_string()));
    assert_eq!(listed, hours.each_ref(), "{list}");
    for (time, expected) in [("00:00", &hours[0]), ("00:30", &hours[1]), ("02:00", &hours[2])] {
        let drafted = draft(&app, &office, time, &company(time, 12)).await;
        assert_eq!(&drafted["parts"][0]["slot"], expected, "from {time} on: {drafted}");
    }
    app.stop().await;
}
