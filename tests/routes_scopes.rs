//! Who may do what: every operation of the contract, asked without a key and with a key of every role. The scope that is published is the one that is asked for.

use reqwest::Method;
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_api::auth::Scope;
use tornello_api::server;

use crate::support::{App, MARE, TORRE, body_of, slot};

/// Open to everybody, and published.
const PUBLIC: [&str; 3] = ["get_metrics", "get_status", "list_ticket_keys"];
/// Open to everybody, and not part of the contract.
const UNPUBLISHED: [&str; 4] = ["/docs/", "/docs/problems", "/docs/swagger-ui.css", "/openapi.json"];

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
