//! The contract: complete, in the form that the Italian guidelines ask for, readable without a call to anybody else.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tornello_actors::keys::Role;

use crate::routes_museums::example;
use crate::support::{App, TORRE, slot};

#[actix_rt::test]
async fn every_operation_says_all_that_a_caller_needs() {
    let app = App::start().await;
    let contract = app.get("/openapi.json", "").await;
    assert_eq!(contract["openapi"], "3.1.0");
    assert!(contract["info"]["x-summary"].is_string() && contract["info"]["contact"]["url"].is_string());
    let mut missing = Vec::new();
    let headings: Vec<&str> = contract["tags"].as_array().unwrap().iter().filter_map(|tag| tag["name"].as_str()).collect();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut want = |good: bool, what: &str| missing.extend((!good).then(|| format!("{method} {path}: {what}")));
            for what in ["summary", "description", "operationId"] {
                want(operation[what].is_string(), what);
            }
            let tag = operation["tags"].as_array().filter(|tags| tags.len() == 1).and_then(|tags| tags[0].as_str());
            want(tag.is_some_and(|tag| headings.contains(&tag)), "one tag, of those that are described");
            want(operation["security"].is_array(), "security");
            for status in ["429", "503"] {
                let headers = &operation["responses"][status]["headers"];
                want(headers["Retry-After"].is_object(), &format!("Retry-After of {status}"));
            }
            // A reading is known by its sensor and instant, a scan by its ticket, gate and instant; to erase somebody twice changes nothing; a what-if changes
            // nothing at all, nor does a rule that is tried, nor what is looked up; who joins a waiting room twice stands in one place.
            let keyless = [
                "/v1/readings",
                "/v1/people/{person}",
                "/v1/admissions/batch",
                "/v1/museums/{museum}/what-if",
                "/v1/fraud/rules/dry-run",
                "/v1/waiting-room/{museum}/{room}",
                "/v1/voucher-lookups",
                "/v1/fraud/appeal-lookups",
            ];
            let changes = ["post", "put", "delete"].contains(&method.as_str()) && !keyless.contains(&path.as_str());
            let keyed = operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["name"] == "Idempotency-Key");
            want(changes == keyed, "an Idempotency-Key where something is changed");
            for (status, response) in operation["responses"].as_object().unwrap() {
                want(response["headers"]["RateLimit-Limit"].is_object(), &format!("RateLimit-Limit of {status}"));
            }
        }
    }
    numbers_have_formats(&contract, "", &mut missing);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    app.stop().await;
}

/// Reads that the state of things may be against: of what is over, not paid, or not good any more.
const READS_AGAINST: [&str; 9] = [
    "get_hold",
    "get_notice_pdf",
    "get_quote_notice_pdf",
    "get_quote_tickets_pdf",
    "get_receipt_pdf",
    "get_sale_pdf",
    "get_ticket_pdf",
    "get_ticket_png",
    "get_ticket_svg",
];
/// What ends by itself: holds, payments, entries of waiting lists.
const ENDING: [&str; 18] = [
    "accept_quote",
    "cancel_payment",
    "confirm_hold",
    "confirm_quote",
    "create_payment",
    "extend_hold",
    "get_hold",
    "get_notice_pdf",
    "get_quote_notice_pdf",
    "leave_waiting_list",
    "open_cart",
    "open_checkout",
    "pay_at_desk",
    "release_hold",
    "revise_quote",
    "send_quote",
    "shrink_hold",
    "wait_for_fewer",
];
/// Operations that name nothing which might not be there.
const NAMING_NOTHING: [&str; 8] =
    ["get_forecast_report", "get_metrics", "get_status", "list_accounts", "list_fraud_rules", "list_models", "list_museums", "list_ticket_keys"];

/// A caller that handles what the contract names handles everything, and nothing that never comes.
#[test]
fn an_operation_names_the_statuses_that_it_may_answer_with_and_no_others() {
    let contract = serde_json::to_value(tornello_api::server::contract()).unwrap();
    let (mut wrong, mut reads_against, mut ending, mut naming_nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let says = |status: &str| operation["responses"][status].is_object();
            let parameters = || operation["parameters"].as_array().into_iter().flatten();
            let takes = |place: &str| parameters().any(|parameter| parameter["in"] == place);
            let is_read = method == "get";
            let keyed = parameters().any(|parameter| parameter["name"] == "Idempotency-Key");
            let body = operation["requestBody"].is_object();
            // A key that is not good is told so by all, also where none is needed.
            for (status, named) in [
                ("400", body || keyed || takes("query")),
                ("401", true),
                ("403", operation["security"] != serde_json::json!([{}])),
                ("413", body),
                ("415", body),
                ("429", true),
                ("503", true),
            ] {
                if says(status) != named {
                    wrong.push(format!("{method} {path}: {status} is named: {}", says(status)));
                }
            }
            if !is_read && keyed && !(says("409") && says("422")) {
                wrong.push(format!("{method} {path}: what it changes may be against it, and its key may be another request's"));
            }
            if is_read && !takes("query") && !takes("header") && says("422") {
                wrong.push(format!("{method} {path}: nothing is asked that could not be done"));
            }
            reads_against.extend((is_read && says("409")).then_some(id));
            ending.extend(says("410").then_some(id));
            naming_nothing.extend((!says("404")).then_some(id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (mut found, expected) in [(reads_against, READS_AGAINST.as_slice()), (ending, ENDING.as_slice()), (naming_nothing, NAMING_NOTHING.as_slice())]
    {
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

fn numbers_have_formats(value: &Value, at: &str, missing: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let is_number = |kind: &Value| kind == "integer" || kind == "number";
            let kind = &value["type"];
            if (is_number(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_number))) && !value["format"].is_string() {
                missing.push(format!("{at}: a number without a format"));
            }
            members.iter().for_each(|(name, member)| numbers_have_formats(member, &format!("{at}/{name}"), missing));
        }
        Value::Array(items) => items.iter().for_each(|item| numbers_have_formats(item, at, missing)),
        _ => {}
    }
}

#[actix_rt::test]
async fn the_pages_bear_our_name_and_load_nothing_from_elsewhere() {
    let app = App::start().await;
    for page in ["/docs/", "/docs/swagger-initializer.js", "/docs/problems"] {
        let response = app.request(Method::GET, page, "").send().await.unwrap();
        assert_eq!(response.status(), 200, "{page}");
        assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"), "{page}");
        let text = response.text().await.unwrap();
        assert!(!text.contains("src=\"http") && !text.contains("<link rel=\"stylesheet\" href=\"http"), "{page}");
    }
    for (page, title) in [("/docs/", "Interface"), ("/docs/index.html", "Interface"), ("/docs/problems", "Problems")] {
        let text = app.request(Method::GET, page, "").send().await.unwrap().text().await.unwrap();
        assert!(text.contains(&format!("<title>{title} - Tornello</title>")), "{page}");
        assert!(text.contains("<html lang=\"en\">") && text.contains("name=\"viewport\""), "a telephone shows {page} in its own width");
    }
    let problems = app.request(Method::GET, "/docs/problems", "").send().await.unwrap().text().await.unwrap();
    let bare = app.request(Method::GET, "/docs/", "").send().await.unwrap().text().await.unwrap();
    let said = bare.split_once("<noscript>").and_then(|(_, rest)| rest.split_once("</noscript>")).map(|(said, _)| said).unwrap();
    assert!(said.contains("href=\"/openapi.json\"") && said.contains("href=\"/docs/problems\""), "without scripts the page is not empty: {said}");
    assert!(problems.contains("@media (max-width: 45rem) {\ntable, tbody, tr, td { display: block }"), "a telephone has no room for four columns");
    assert!(problems.contains("<tr id=\"not_enough_places\">") && problems.contains("<tr id=\"outcome_unknown\">"));
    app.stop().await;
}

/// A page that says what is the matter and not what to do helps nobody: each row of it says both.
#[actix_rt::test]
async fn the_page_of_problems_says_of_each_what_to_do() {
    let app = App::start().await;
    let page = app.request(Method::GET, "/docs/problems", "").send().await.unwrap().text().await.unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("<tr id=")).collect();
    assert!(rows.len() > 200, "{} rows", rows.len());
    let silent = rows.iter().filter(|row| row.contains("<td></td>"));
    assert_eq!(silent.collect::<Vec<_>>(), Vec::<&&str>::new());
    for (code, way) in
        [("settlement_mismatch", "POST /v1/payments"), ("not_a_code", "<code>ticket</code>"), ("not_enough_places", "<code>live_cap</code>")]
    {
        let row = rows.iter().find(|row| row.contains(&format!("id=\"{code}\"")));
        assert!(row.is_some_and(|row| row.contains(way)), "{code} does not name {way}: {row:?}");
    }
    // What an example was made with is no instant of anything.
    assert!(!page.contains("1970-") && !page.contains("0000-01"), "made-up instants");
    app.stop().await;
}

#[actix_rt::test]
async fn the_examples_of_holding_and_selling_work_as_they_stand() {
    let app = App::start().await;
    let (kiosk, office, eleven) = (app.key(Role::Kiosk).await, app.key(Role::BoxOffice).await, slot(TORRE, 11));
    let held = app.post(&format!("/v1/slots/{eleven}/holds"), &kiosk, "h", &example("/v1/slots/{slot}/holds", "post")).await;
    assert_eq!(held.0, StatusCode::CREATED, "{held:?}");
    let confirm = format!("/v1/holds/{}/confirm", held.1["hold"].as_str().unwrap());
    let sold = [
        app.post(&confirm, &kiosk, "c", &example("/v1/holds/{hold}/confirm", "post")).await,
        app.post(&format!("/v1/slots/{eleven}/sales"), &office, "s", &example("/v1/slots/{slot}/sales", "post")).await,
    ];
    assert!(sold.iter().all(|(status, _)| *status == StatusCode::CREATED), "{sold:?}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_read_is_named_in_words_of_the_contract() {
    let app = App::start().await;
    let (web, analyst) = (app.key(Role::Web).await, app.key(Role::Analyst).await);
    for (path, key, told) in [
        ("/v1/sales?limit=-1", &web, "limit: a whole number from 1 to 200 is expected"),
        ("/v1/sales?mine=perhaps", &web, "mine: true or false is expected"),
        ("/v1/sales?museum=torre&slot=nonsense", &web, "museum or slot: "),
        ("/v1/fraud/cases?channel=boat", &analyst, "channel: web, kiosk, box_office, group or reseller is expected"),
        ("/v1/sales?colour=red", &web, "unknown field `colour`"),
    ] {
        let problem = crate::support::expect(app.request(Method::GET, path, key).send().await.unwrap(), StatusCode::BAD_REQUEST).await;
        let title = problem["title"].as_str().unwrap();
        assert!(problem["code"] == "malformed" && title.starts_with(told), "{path}: {title}");
    }
    let holds = format!("/v1/slots/{}/holds", slot(TORRE, 15));
    for (key, body, told) in [
        ("count", serde_json::json!({"lines": [{"category": "full", "count": "two"}]}), "expected a whole number from 0 to 65535"),
        ("form", serde_json::json!("full"), "expected an object"),
        ("lines", serde_json::json!({"lines": 2}), "expected a list"),
    ] {
        let (status, problem) = app.post(&holds, &web, key, &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &serde_json::json!("invalid")), "{problem}");
        assert!(problem["title"].as_str().unwrap().contains(told), "{problem}");
    }
    let confirm = "/v1/holds/0001000102r4e0000000000000/confirm";
    let (office, ministry) = (app.key(Role::GroupOffice).await, app.key(Role::Ministry).await);
    let (word, object) = ("a word alone, expected an object whose one member has that name", "an object, expected one of the words or objects");
    let agreed = serde_json::json!({"agreements": [{"category": "full", "price": {}, "from": "2027-01-01", "to": "2027-12-31"}]});
    for (method, path, key, body, told) in [
        (Method::POST, holds.as_str(), &web, serde_json::json!([[{"category": "full", "count": 1}]]), "a list, expected an object"),
        (Method::POST, holds.as_str(), &web, serde_json::json!({"lines": [["full", 1]]}), "a list, expected an object"),
        (Method::POST, "/v1/museums/torre/what-if", &ministry, serde_json::json!([]), "a list, expected an object"),
        (
            Method::PUT,
            "/v1/museums/torre/plan",
            &app.key(Role::Manager).await,
            serde_json::json!(["2027-01-01", {"routes": []}]),
            "a list, expected an object",
        ),
        (
            Method::PUT,
            "/v1/museums/torre/plan",
            &app.key(Role::Manager).await,
            serde_json::json!({"valid_from": "2027-01-01T14:00", "plan": {"routes": []}}),
            "a day as 2027-01-31, without a time, is expected",
        ),
        (Method::POST, confirm, &web, serde_json::json!({"settlement": {"desk": ["till-1", "card", "R-1"]}}), "a list, expected an object"),
        (Method::POST, confirm, &web, serde_json::json!({"settlement": "free"}), word),
        (Method::PUT, "/v1/accounts/tour-op/agreements", &office, agreed, object),
    ] {
        let (status, problem) = app.ask(method, path, key, "list", &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &serde_json::json!("invalid")), "{path}: {problem}");
        assert!(problem["title"].as_str().unwrap().contains(told), "{path}: {problem}");
    }
    let mistyped = serde_json::json!({"account": "tour-op", "institution": {"vat": "12345678900"}});
    let (_, problem) = app.post("/v1/accounts", &office, "vat", &mistyped).await;
    assert_eq!(problem["title"], "institution.vat: the check character does not fit: look for a mistyped character");
    app.stop().await;
}

/// Whoever asks from an hour of a day on, where days are asked for, would be answered with all of the day, and not hear that.
#[actix_rt::test]
async fn no_query_takes_a_day_with_a_time() {
    let (app, mut asked, mut wrong) = (App::start().await, 0, Vec::new());
    let (contract, key) = (serde_json::to_value(tornello_api::server::contract()).unwrap(), app.key(Role::Admin).await);
    for (path, item) in contract["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "query" || parameter["schema"]["format"] != "date" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let path = format!("{}?{name}=2026-11-24T14:00", path.replace("{museum}", "torre"));
            let answer = app.request(Method::GET, &path, &key).send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            asked += 1;
            if status != StatusCode::BAD_REQUEST || !text.contains(&format!("{name}: a day, as 2027-01-31, is expected")) {
                wrong.push(format!("{path}: {status} {text}"));
            }
        }
    }
    assert!(asked > 20, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

#[actix_rt::test]
async fn the_example_of_a_statement_is_one() {
    let app = App::start().await;
    let office = app.key(Role::GroupOffice).await;
    let contract = serde_json::to_value(tornello_api::server::contract()).unwrap();
    let content = &contract["paths"]["/v1/reconciliation/statements"]["post"]["requestBody"]["content"]["text/csv"];
    let statement = content["example"].as_str().unwrap().to_owned();
    let request =
        app.request(Method::POST, "/v1/reconciliation/statements", &office).header("Idempotency-Key", "k").header("Content-Type", "text/csv");
    let taken = crate::support::expect(request.body(statement).send().await.unwrap(), StatusCode::OK).await;
    assert_eq!(taken["lines"], 1);
    app.stop().await;
}

#[test]
fn words_that_are_taken_stand_in_the_contract() {
    let contract = serde_json::to_value(tornello_api::server::contract()).unwrap();
    let schemas = &contract["components"]["schemas"];
    let channels = ["web", "kiosk", "box_office", "group", "reseller"];
    let cases: [(&str, &str, &[&str]); 11] = [
        ("AppealView", "state", &["received", "granted", "refused", "lapsed"]),
        ("CancelForm", "cause", &["visitor", "museum"]),
        ("DeskForm", "method", &["cash", "card"]),
        ("PayoutForm", "method", &["cash", "card"]),
        ("CashForm", "direction", &["in", "out"]),
        ("OverrideForm", "role", &["desk", "gate", "guard"]),
        ("VerdictForm", "verdict", &["fraud", "legit", "unsure"]),
        ("AcceptForm", "settle", &["notice", "checkout", "desk", "on_account"]),
        ("HoldView", "channel", &channels),
        ("FeatureDriftView", "asks", &["stable", "look", "retrain"]),
        ("PartyForm", "kind", &["buyer", "device", "card", "account", "network", "kiosk", "operator", "group"]),
    ];
    for (shape, member, words) in cases {
        let property = &schemas[shape]["properties"][member];
        assert!(property["description"].is_string(), "{shape}.{member}: {property}");
        let list = contract.pointer(property["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        assert_eq!((&list["type"], &list["enum"]), (&serde_json::json!("string"), &serde_json::json!(words)), "{shape}.{member}");
    }
    let channel =
        contract["paths"]["/v1/fraud/cases"]["get"]["parameters"].as_array().unwrap().iter().find(|parameter| parameter["name"] == "channel");
    assert_eq!(channel.unwrap()["schema"]["enum"], serde_json::json!(channels));
    let empty = schemas.as_object().unwrap().iter().filter(|(_, schema)| schema["enum"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(empty.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Whoever is asked for one more proof, or to wait for an opening, is told by the contract where that goes, and by no operation that reads no such header.
#[test]
fn headers_that_let_a_request_through_stand_in_the_contract() {
    let contract = serde_json::to_value(tornello_api::server::contract()).unwrap();
    let operations = || contract["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let taking = |header: &str| {
        let takes = |operation: &&Value| {
            operation["parameters"].as_array().is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == header))
        };
        let mut names: Vec<&str> = operations().filter(takes).map(|operation| operation["operationId"].as_str().unwrap()).collect();
        names.sort_unstable();
        names
    };
    let proving = ["confirm_hold", "create_hold", "create_payment", "create_sale", "join_waiting_list", "join_waiting_room", "move_sale"];
    assert_eq!(taking("Step-Up-Proof"), proving);
    assert_eq!(taking("Waiting-Room-Admission"), ["create_hold", "join_waiting_list", "move_sale"]);
}

#[actix_rt::test]
async fn long_answers_are_compressed_for_who_asks() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    for path in ["/openapi.json", "/v1/museums", "/v1/museums/torre/availability?from=2026-11-23&to=2026-11-24"] {
        let answer = app.request(Method::GET, path, &web).header("Accept-Encoding", "gzip").send().await.unwrap();
        assert_eq!((answer.status(), answer.headers()["content-encoding"].to_str().unwrap()), (StatusCode::OK, "gzip"), "{path}");
    }
    // The contract was packed before it is asked for, so how long it is can be told. Whoever takes no coding has it as it is.
    let ask = async |accepted: &str| app.request(Method::GET, "/openapi.json", "").header("Accept-Encoding", accepted).send().await.unwrap();
    let (packed, plain) = (ask("gzip").await, ask("identity").await);
    for answer in [&packed, &plain] {
        assert_eq!(answer.headers()["vary"], "accept-encoding");
    }
    assert!(!plain.headers().contains_key("content-encoding"));
    let told: usize = packed.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let (packed, plain) = (packed.bytes().await.unwrap(), plain.bytes().await.unwrap());
    assert!(packed.len() == told && packed.len() < plain.len() / 4 && packed.starts_with(&[0x1f, 0x8b]), "{} of {}", packed.len(), plain.len());
    app.stop().await;
}

/// Whatever somebody takes of codings, they are answered what the contract has.
#[actix_rt::test]
async fn a_caller_who_takes_no_coding_is_answered_without_one() {
    let app = App::start().await;
    let web = app.key(Role::Web).await;
    for (accepted, coding) in [
        ("identity;q=0", None),
        ("br, *;q=0", None),
        ("gzip;q=0, deflate;q=0, identity;q=0", None),
        ("gzip, *;q=0", Some("gzip")),
        ("gzip;q=0.5, identity;q=0.1", Some("gzip")),
        ("gzip;q=0", None),
    ] {
        let ask = async |key: &str| app.request(Method::GET, "/v1/museums", key).header("Accept-Encoding", accepted).send().await.unwrap();
        let answer = ask(&web).await;
        let found = answer.headers().get("content-encoding").map(|coding| coding.to_str().unwrap().to_owned());
        assert_eq!((answer.status(), found.as_deref()), (StatusCode::OK, coding), "{accepted}");
        let problem = crate::support::expect(ask("").await, StatusCode::UNAUTHORIZED).await;
        if coding.is_none() {
            assert_eq!(problem["code"], "unauthorized", "{accepted}");
        }
    }
    app.stop().await;
}
