//! Who may do what: every operation of the contract, asked without a key and with a key of every role. The scope that is published is the one that is asked for.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::auth::Scope;
use tornello_api::server;
use tornello_engine::envelope::Outcome;

use crate::routes_fraud::{case_path, look, sell_assessed};
use crate::routes_sales::{desk, lines, ticket};
use crate::routes_waiting_rooms::{ROOMS, room};
use crate::support::{App, MARE, TORRE, body_of, slot};

/// Open to everybody, and published.
const PUBLIC: [&str; 3] = ["get_metrics", "get_status", "list_ticket_keys"];
/// Open to everybody, and not part of the contract.
const UNPUBLISHED: [&str; 4] = ["/docs/", "/docs/problems", "/docs/swagger-ui.css", "/openapi.json"];

/// What is no museum's own: accounts, models and rules are there for all, and a voucher for whoever has its code.
const SHARED: [&str; 4] = ["{account}", "{artifact}", "{rule}", "/v1/vouchers/{code}"];
/// Where each kind of thing is read.
const READ: [(&str, &str); 13] = [
    ("museums", "museum"),
    ("slots", "slot"),
    ("holds", "hold"),
    ("sales", "sale"),
    ("tickets", "ticket"),
    ("people", "person"),
    ("payments", "payment"),
    ("refunds", "refund"),
    ("refunds/batches", "batch"),
    ("quotes", "quote"),
    ("tills", "session"),
    ("waiting", "entry"),
    ("fraud/cases", "case"),
];

struct Operation {
    id: String,
    method: Method,
    path: String,
    scope: Option<Scope>,
    body: Option<(String, Value)>,
    /// The statuses that it may answer with, as the contract says.
    statuses: Vec<u16>,
}

/// Every operation of the contract, with an address that leads nowhere and a body that can be read.
fn operations() -> Vec<Operation> {
    let contract = serde_json::to_value(server::contract()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scopes = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path} names no scope"));
            let scope = scopes[0].get("key").map(|names| {
                let [name] = names.as_array().unwrap().as_slice() else { panic!("{method} {path} names more than one scope") };
                Scope::ALL.into_iter().find(|scope| scope.name() == name).unwrap()
            });
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: nowhere(path, operation),
                scope,
                body: body(&contract, operation),
                statuses: operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect(),
            });
        }
    }
    operations
}

fn nowhere(path: &str, operation: &Value) -> String {
    let mut filled = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str().unwrap() {
            "path" => {
                let id = match name {
                    "slot" => "000a000102r4e".to_owned(),
                    "museum" => "nowhere".to_owned(),
                    "date" => "2027-01-16".to_owned(),
                    "hold" | "sale" | "ticket" | "person" | "order" | "entry" => "000a000102r4e0000000000000".to_owned(),
                    "payment" | "code" | "session" | "quote" | "case" => "000a000102r4e".to_owned(),
                    "refund" => "000a000102r4e-0".to_owned(),
                    _ => "nothing".to_owned(),
                };
                filled = filled.replace(&format!("{{{name}}}"), &id);
            }
            "query" if parameter["required"] == true => query.push(format!("{name}=nowhere")),
            _ => {}
        }
    }
    if query.is_empty() { filled } else { format!("{filled}?{}", query.join("&")) }
}

fn body(contract: &Value, operation: &Value) -> Option<(String, Value)> {
    let (kind, content) = operation["requestBody"]["content"].as_object()?.iter().next()?;
    let example = content.get("example").cloned().unwrap_or_else(|| sample(contract, &content["schema"]));
    Some((kind.clone(), example))
}

/// The least that a schema allows.
fn sample(contract: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(contract, contract.pointer(reference.trim_start_matches('#')).unwrap());
    }
    if let Some(example) = schema["examples"].get(0).or(schema.get("example")) {
        return example.clone();
    }
    if let Some(one) = schema["oneOf"].get(0).or(schema["allOf"].get(0)) {
        return sample(contract, one);
    }
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    match schema["type"].as_str().unwrap_or("object") {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), sample(contract, &schema["properties"][name]))).collect::<serde_json::Map<_, _>>().into()
        }
        "array" if schema["minItems"].as_u64().unwrap_or(0) > 0 => json!([sample(contract, &schema["items"])]),
        "array" => json!([]),
        "integer" => schema.get("minimum").cloned().filter(|least| *least != 0).unwrap_or(json!(1)),
        "boolean" => json!(false),
        _ => json!("x"),
    }
}

#[actix_rt::test]
async fn every_operation_asks_for_the_scope_that_it_publishes_and_answers_with_a_status_that_it_publishes() {
    let app = App::start().await;
    let operations = operations();
    assert!(operations.len() > 20, "only {} operations were found", operations.len());
    let public: Vec<&str> = operations.iter().filter(|operation| operation.scope.is_none()).map(|operation| operation.id.as_str()).collect();
    assert_eq!(public, PUBLIC);
    let mut wrong = Vec::new();
    for role in [None].into_iter().chain(Role::ALL.map(Some)) {
        let key = match role {
            Some(role) => app.key(role).await,
            None => String::new(),
        };
        for Operation { id, method, path, scope, body, statuses } in &operations {
            let Some(scope) = scope else { continue };
            let mut request = app.request(method.clone(), path, &key).header("Idempotency-Key", format!("{id}-{role:?}"));
            if let Some((kind, body)) = body {
                request = request.header("Content-Type", kind).body(body.to_string());
            }
            let status = request.send().await.unwrap().status().as_u16();
            let good = match role {
                None => status == 401,
                Some(role) if !scope.is_open_to(role) => status == 403,
                Some(_) => (200..500).contains(&status) && ![401, 403].contains(&status),
            };
            wrong.extend((!good).then(|| format!("{id} ({}) as {role:?}: {status}", scope.name())));
            wrong.extend((!statuses.contains(&status)).then(|| format!("{id} as {role:?}: {status} is none of {statuses:?}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

/// Whoever writes a client begins with what the contract shows: a whole body for each operation that takes one, and one that can be read.
#[actix_rt::test]
async fn every_body_has_an_example_that_can_be_read() {
    let (app, contract, mut wrong) = (App::start().await, serde_json::to_value(server::contract()).unwrap(), Vec::new());
    let key = app.key(Role::Admin).await;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let Some(example) = content.get("example") else {
                    wrong.push(format!("{id}: there is none of {kind}"));
                    continue;
                };
                if kind != "application/json" {
                    continue;
                }
                let request = app.request(method.to_uppercase().parse().unwrap(), &nowhere(path, operation), &key);
                let answer = request.header("Idempotency-Key", id).header("Content-Type", kind).body(example.to_string()).send().await.unwrap();
                // What was read, and leads nowhere, is refused without saying where in it something stands.
                let told = body_of(answer).await;
                wrong.extend(told["title"].as_str().filter(|title| title.contains(" at line ")).map(|title| format!("{id}: {title}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

#[actix_rt::test]
async fn a_refusal_names_the_roles_that_may() {
    let app = App::start().await;
    let desk = app.key(Role::BoxOffice).await;
    let (status, problem) = app.post("/v1/vouchers", &desk, "v", &json!({"amount_cents": 5, "valid_until": "2027-01-01"})).await;
    assert_eq!((status.as_u16(), &problem["scope"]), (403, &json!("settle")), "{problem}");
    assert_eq!(problem["roles"], json!(["group_office", "manager", "admin"]));
    app.stop().await;
}

#[actix_rt::test]
async fn what_is_public_is_listed_here() {
    let app = App::start().await;
    for path in UNPUBLISHED.into_iter().chain(["/status", "/metrics"]) {
        assert_eq!(app.request(Method::GET, path, "").send().await.unwrap().status(), 200, "{path}");
    }
    let bad = app.request(Method::GET, "/status", "tn_nonsense").send().await.unwrap();
    assert_eq!(bad.status(), 401);
    app.stop().await;
}

#[actix_rt::test]
async fn the_things_of_another_museum_do_not_exist() {
    let app = App::start().await;
    let manager = app.key_for(Role::Manager, Museums::Only(vec![MARE])).await;
    let (ours, theirs) = (slot(MARE, 15), slot(TORRE, 15));
    for (there, here) in [
        ("/v1/museums/torre".to_owned(), "/v1/museums/mare".to_owned()),
        ("/v1/museums/1/plan".to_owned(), "/v1/museums/2/plan".to_owned()),
        ("/v1/museums/torre/availability".to_owned(), "/v1/museums/mare/availability".to_owned()),
        (format!("/v1/slots/{theirs}"), format!("/v1/slots/{ours}")),
        (format!("/v1/slots/{theirs}/history"), format!("/v1/slots/{ours}/history")),
        ("/v1/live?museum=mare,torre".to_owned(), "/v1/live?museum=mare".to_owned()),
    ] {
        assert_eq!(app.request(Method::GET, &there, &manager).send().await.unwrap().status(), 404, "{there}");
        assert_eq!(app.request(Method::GET, &here, &manager).send().await.unwrap().status(), 200, "{here}");
    }
    let listed = app.get("/v1/museums", &manager).await;
    assert_eq!(listed["items"].as_array().unwrap().iter().map(|museum| &museum["slug"]).collect::<Vec<_>>(), ["mare"]);
    let (status, body) = app.post(&format!("/v1/slots/{theirs}/close"), &manager, "k", &json!({"reason": "strike"})).await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!("not_found")));
    app.stop().await;
}

/// One thing of each kind at `torre`, by the names that paths have for them.
async fn things_of_torre(app: &App) -> BTreeMap<&'static str, String> {
    let (key, sixteen, full) = (app.key(Role::Manager).await, slot(TORRE, 16), slot(TORRE, 17));
    let post = async |path: &str, name: &str, body: Value| -> Value {
        let (status, answer) = app.post(path, &key, name, &body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let contact = json!({"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"});
    let bought = json!({"lines": [{"category": "full", "count": 2}], "settlement": desk("R-1"), "contact": contact});
    let sale = text(&post(&format!("/v1/slots/{sixteen}/sales"), "sale", bought).await["sale"]);
    let person = text(&app.get(&format!("/v1/sales/{sale}"), &key).await["contact"]["person"]);
    let hold = app.hold(sixteen, &key, "hold", json!([{"category": "full", "count": 1}])).await;
    // Money that goes back, in a file for the bank.
    let paid = app.hold(sixteen, &key, "paid", json!([{"category": "full", "count": 2}])).await;
    let payment = text(&post("/v1/payments", "payment", json!({"holds": [paid], "gateway": desk("R-2")})).await["payment"]);
    post(&format!("/v1/sales/{paid}/cancel"), "cancel", json!({"cause": "museum"})).await;
    tornello_actors::payments::resume(app.node()).await;
    let (refund, iban) = (format!("{payment}-0"), "IT60X0542811101000000123456");
    let payee = json!({"iban": iban, "holder": "Maria Rossi"});
    let (status, named) = app.ask(Method::PUT, &format!("/v1/refunds/{refund}/payee"), &key, "payee", &payee).await;
    assert!(status.is_success(), "{named}");
    let file = json!({"debtor": {"name": "Musei di prova", "iban": iban}, "execution_date": "2026-11-25", "refunds": [refund]});
    let sent = app.request(Method::POST, "/v1/refunds/export", &key).header("Idempotency-Key", "file").json(&file).send().await.unwrap();
    let batch = sent.headers()["refund-batch"].to_str().unwrap().to_owned();
    let visit = json!({"day": "2026-12-16", "time": "10:00", "lines": [{"category": "full", "count": 12}]});
    let group = json!({"museum": "torre", "kind": "company", "visit": visit, "institution": {"vat": "12345678903"}});
    let quote = text(&post("/v1/quotes", "quote", group).await["quote"]);
    let session = text(&post("/v1/tills", "session", json!({"museum": "torre", "till": "till-9", "float_cents": 10_000})).await["session"]);
    app.hold(full, &key, "all", json!([{"category": "full", "count": 20}])).await;
    let entry = text(&post(&format!("/v1/slots/{full}/waiting"), "entry", lines("full", 2)).await["entry"]);
    let suspected = sell_assessed(app, slot(TORRE, 15), 1, 70, Outcome::Review, 80).await;
    look(app).await;
    let case = case_path(suspected).rsplit_once('/').unwrap().1.to_owned();
    post(ROOMS, "room", room()).await;
    BTreeMap::from([
        ("museum", "torre".to_owned()),
        ("date", "2026-12-24".to_owned()),
        ("room", "spring".to_owned()),
        ("slot", sixteen.to_string()),
        ("hold", hold),
        ("ticket", ticket(&sale, 0)),
        ("code", sale.clone()),
        ("sale", sale),
        ("person", person),
        ("payment", payment),
        ("refund", refund),
        ("batch", batch),
        ("quote", quote),
        ("session", session),
        ("entry", entry),
        ("case", case),
    ])
}

/// Where an operation asks for something of `torre`; none if it names nothing that is a museum's.
fn at_torre(template: &str, operation: &Value, things: &BTreeMap<&str, String>) -> Option<String> {
    if SHARED.iter().any(|shared| template.contains(shared)) {
        return None;
    }
    let named = |place: &str| -> Vec<&str> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.filter(|parameter| parameter["in"] == place).map(|parameter| parameter["name"].as_str().unwrap()).collect()
    };
    let mut filled = template.to_owned();
    for name in named("path") {
        let thing = things.get(name).unwrap_or_else(|| panic!("{template}: make a {name} at torre"));
        filled = filled.replace(&format!("{{{name}}}"), thing);
    }
    let of_museum = named("query").contains(&"museum");
    if filled == template && !of_museum {
        return None;
    }
    let path = nowhere(&filled, operation).replace("museum=nowhere", "museum=torre");
    if !of_museum || path.contains("museum=torre") {
        return Some(path);
    }
    Some(format!("{path}{}museum=torre", if path.contains('?') { '&' } else { '?' }))
}

/// What names a thing of `torre` in its body.
fn in_bodies(things: &BTreeMap<&str, String>) -> Vec<(&'static str, Scope, Value)> {
    let at_gate = json!({"ticket": things["ticket"], "gate": "north", "museum": "torre"});
    let visit = json!({"day": "2026-12-16", "time": "10:00", "lines": [{"category": "full", "count": 12}]});
    let debtor = json!({"name": "Musei di prova", "iban": "IT60X0542811101000000123456"});
    let urls = json!({"ok": "https://shop.example.it/ok", "cancel": "https://shop.example.it/no", "error": "https://shop.example.it/error"});
    vec![
        ("/v1/admissions", Scope::Gate, at_gate.clone()),
        ("/v1/exits", Scope::Gate, at_gate),
        ("/v1/payments", Scope::Book, json!({"holds": [things["hold"]], "gateway": {"notice": {}}})),
        ("/v1/carts", Scope::Book, json!({"payments": [things["payment"]], "return_urls": urls})),
        ("/v1/quotes", Scope::Quote, json!({"museum": "torre", "kind": "company", "visit": visit, "institution": {"vat": "12345678903"}})),
        ("/v1/tills", Scope::Desk, json!({"museum": "torre", "till": "till-8", "float_cents": 0})),
        ("/v1/vouchers", Scope::Settle, json!({"museum": "torre", "amount_cents": 5_000, "valid_until": "2027-12-31"})),
        ("/v1/refunds/export", Scope::Settle, json!({"debtor": debtor, "execution_date": "2026-11-25", "refunds": [things["refund"]]})),
    ]
}

/// Every role that may do something, at another museum, with a thing that there is: by every operation it is as if there were none.
#[actix_rt::test]
async fn by_no_operation_does_any_role_find_a_thing_of_another_museum() {
    let app = App::start().await;
    let things = things_of_torre(&app).await;
    let theirs = app.key_for(Role::Manager, Museums::Only(vec![TORRE])).await;
    let stand = async || {
        for (list, kind) in READ {
            app.get(&format!("/v1/{list}/{}", things[kind]), &theirs).await;
        }
    };
    stand().await;
    let contract = serde_json::to_value(server::contract()).unwrap();
    let mut asked = Vec::new();
    for (template, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(path) = at_torre(template, operation, &things) else { continue };
            let name = operation["security"][0]["key"][0].as_str().unwrap_or_else(|| panic!("{method} {path} names no scope"));
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name).unwrap();
            asked.push((method.to_uppercase().parse::<Method>().unwrap(), path, scope, body(&contract, operation)));
        }
    }
    let json = |body: Value| Some(("application/json".to_owned(), body));
    asked.extend(in_bodies(&things).into_iter().map(|(path, scope, body)| (Method::POST, path.to_owned(), scope, json(body))));
    assert!(asked.len() > 100, "only {} operations ask for something of a museum", asked.len());
    let mut wrong = Vec::new();
    for role in Role::ALL {
        let key = app.key_for(role, Museums::Only(vec![MARE])).await;
        for (number, (method, path, scope, body)) in asked.iter().enumerate() {
            if !scope.is_open_to(role) {
                continue;
            }
            let mut request = app.request(method.clone(), path, &key).header("Idempotency-Key", number.to_string());
            if let Some((kind, body)) = body {
                request = request.header("Content-Type", kind).body(body.to_string());
            }
            let status = request.send().await.unwrap().status().as_u16();
            wrong.extend((status != 404).then(|| format!("{method} {path} as {role:?}: {status}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stand().await;
    app.stop().await;
}
