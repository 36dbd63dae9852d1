//! Rules against fraud and models over HTTP: drafted by one, put in force by another, and refused if they could never fire, or always.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::keys::{Museums, Role};
use tornello_engine::envelope::Envelope;
use tornello_engine::fraud_rules;
use tornello_engine::ids::{KeyId, MuseumId};
use tornello_engine::text::Text;

use crate::support::{App, MARE, TORRE, code};

#[actix_rt::test]
async fn a_rule_that_was_drafted_before_as_much_was_asked_of_rules_is_looked_at_again_when_it_is_to_be_in_force() {
    let app = App::start().await;
    let (analyst, admin) = (app.key(Role::Analyst).await, app.key(Role::Admin).await);
    // As a journal has them that was written by an older version: nobody drafts them over HTTP any more.
    let drafted = async |name: &str, feature: &str, threshold_milli: i64, museum: MuseumId| {
        let when = vec![fraud_rules::Condition { feature: code(feature), op: fraud_rules::Op::AtLeast, threshold_milli }];
        let (action, sentence) = (fraud_rules::Action::Block, Text::new("Troppo.", "Too much."));
        let rule = Box::new(fraud_rules::Rule { name: code(name), when, channels: Vec::new(), museums: vec![museum], action, sentence });
        let key = tornello_actors::digest::digest(&[name.as_bytes(), feature.as_bytes()]);
        app.node().rules(Envelope::by_system(key), fraud_rules::Command::Draft { rule, replaces: None, by: KeyId(9) }).await.unwrap();
    };
    drafted("never", "person_unsold_share_1d", 2_000, TORRE).await;
    drafted("unknown", "shoe_size", 1_000, TORRE).await;
    drafted("nowhere", "person_holds_1h", 5_000, MuseumId(999)).await;
    drafted("sound", "person_holds_1h", 5_000, MARE).await;
    let activate = async |name: &str, draft: u64| {
        app.post(&format!("/v1/fraud/rules/{name}/activate"), &admin, &format!("{name}-{draft}"), &json!({"draft": draft})).await
    };
    for (name, draft, told) in [("never", 1, "threshold_milli of 0 to 1000"), ("unknown", 2, "shoe_size"), ("nowhere", 3, "there is no museum 999: ")]
    {
        let (status, problem) = activate(name, draft).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{name}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{name}: {problem}");
    }
    let (status, active) = activate("sound", 4).await;
    let names: Vec<&Value> = active["in_force"].as_array().unwrap().iter().map(|rule| &rule["rule"]["name"]).collect();
    assert_eq!((status, names, active["drafts"].as_array().unwrap().len()), (StatusCode::OK, vec![&json!("sound")], 3), "{active}");
    // Drafted anew it can be in force, in the place of the other key's.
    let rule = json!({"name": "never", "replaces": 1, "when": [{"feature": "person_unsold_share_1d", "op": "at_least", "threshold_milli": 1_000}], "action": "review",
        "sentence_it": "Troppe prenotazioni", "sentence_en": "Too many holds"});
    let (status, again) = app.post("/v1/fraud/rules", &analyst, "anew", &rule).await;
    let of_never = again["drafts"].as_array().unwrap().iter().find(|draft| draft["rule"]["name"] == "never").unwrap();
    assert_eq!((status, &of_never["draft"]), (StatusCode::CREATED, &json!(6)), "the fifth record put the other one in force: {again}");
    assert_eq!(activate("never", 6).await.0, StatusCode::OK);
    // What was done is answered as it was, whatever was drafted since.
    drafted("sound", "shoe_size", 1_000, MARE).await;
    assert_eq!(activate("sound", 4).await.0, StatusCode::OK);
    app.stop().await;
}

#[actix_rt::test]
async fn a_draft_that_was_exchanged_since_it_was_read_is_not_put_in_force() {
    let app = App::start().await;
    let (analyst, manager) = (app.key(Role::Analyst).await, app.key(Role::Manager).await);
    let velocity = |threshold_milli: u64| {
        json!({"name": "velocity", "when": [{"feature": "person_holds_1m", "op": "at_least", "threshold_milli": threshold_milli}], "channels": ["web"],
            "action": "block", "sentence_it": "Troppo.", "sentence_en": "Too much."})
    };
    let (_, read) = app.post("/v1/fraud/rules", &analyst, "one", &velocity(9_000)).await;
    let (_, swapped) = app.post("/v1/fraud/rules", &analyst, "two", &velocity(900_000_000)).await;
    let number = |rules: &Value| json!({"draft": rules["drafts"][0]["draft"]});
    let path = "/v1/fraud/rules/velocity/activate";
    let (status, problem) = app.post(path, &manager, "go", &number(&read)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PRECONDITION_FAILED, &json!("draft_changed")), "{problem}");
    assert_eq!(problem["draft"], swapped["drafts"][0]["draft"], "{problem}");
    assert_eq!(app.get("/v1/fraud/rules", &manager).await["in_force"], json!([]));
    let (status, active) = app.post(path, &manager, "seen", &number(&swapped)).await;
    assert_eq!((status, &active["in_force"][0]["rule"]["when"][0]["threshold_milli"]), (StatusCode::OK, &json!(900_000_000)), "{active}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_draft_of_another_key_is_replaced_only_by_whoever_names_it() {
    let app = App::start().await;
    let [ann, bob] = [app.key(Role::Analyst).await, app.key(Role::Analyst).await];
    let hoarding = |threshold_milli: u64, replaces: Value| {
        let mut rule = json!({"name": "hoarding", "when": [{"feature": "person_holds_1h", "op": "at_least", "threshold_milli": threshold_milli}],
            "action": "block", "sentence_it": "Troppo.", "sentence_en": "Too much."});
        if replaces != Value::Null {
            rule["replaces"] = replaces;
        }
        rule
    };
    let path = "/v1/fraud/rules";
    let (status, first) = app.post(path, &ann, "one", &hoarding(9_000, Value::Null)).await;
    assert_eq!((status, &first["drafts"][0]["draft"]), (StatusCode::CREATED, &json!(1)), "{first}");
    let (status, own) = app.post(path, &ann, "two", &hoarding(8_000, Value::Null)).await;
    assert_eq!((status, &own["drafts"][0]["draft"]), (StatusCode::CREATED, &json!(2)), "one's own is replaced freely: {own}");
    for (key, replaces) in [("unread", Value::Null), ("older", json!(1))] {
        let (status, problem) = app.post(path, &bob, key, &hoarding(7_000, replaces)).await;
        assert_eq!((status, &problem["code"], &problem["draft"]), (StatusCode::CONFLICT, &json!("draft_pending"), &json!(2)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("`replaces`"), "it says what to do: {problem}");
    }
    assert_eq!(app.get(path, &bob).await["drafts"], own["drafts"], "nothing was exchanged");
    let (status, read) = app.post(path, &bob, "read", &hoarding(7_000, json!(2))).await;
    let draft = &read["drafts"][0];
    assert_eq!((status, &draft["draft"], &draft["rule"]["when"][0]["threshold_milli"]), (StatusCode::CREATED, &json!(3), &json!(7_000)), "{read}");
    assert_eq!(draft["rule"].get("replaces"), None, "{read}");
    // The same request again is answered as before, although its draft is there no more to be replaced.
    assert_eq!(app.post(path, &bob, "read", &hoarding(7_000, json!(2))).await.0, StatusCode::CREATED);
    let (status, problem) = app.post(path, &ann, "back", &hoarding(8_000, Value::Null)).await;
    assert_eq!((status, &problem["draft"]), (StatusCode::CONFLICT, &json!(3)), "it is the other's now: {problem}");
    app.stop().await;
}

#[actix_rt::test]
async fn a_key_for_some_museums_reads_what_holds_there_and_nothing_of_others() {
    let app = App::start().await;
    let (analyst, manager) = (app.key(Role::Analyst).await, app.key(Role::Manager).await);
    let rule = |name: &str, museums: Value| {
        json!({"name": name, "when": [{"feature": "person_holds_1h", "op": "at_least", "threshold_milli": 50_000}], "museums": museums,
            "action": "review", "sentence_it": "Troppo.", "sentence_en": "Too much."})
    };
    for (name, museums) in [("everywhere", json!([])), ("both", json!(["torre", "mare"])), ("there", json!(["mare"])), ("here", json!(["torre"]))] {
        let (status, drafted) = app.post("/v1/fraud/rules", &analyst, name, &rule(name, museums)).await;
        assert_eq!(status, StatusCode::CREATED, "{drafted}");
    }
    for (name, draft) in [("both", 2), ("there", 3)] {
        let (status, active) = app.post(&format!("/v1/fraud/rules/{name}/activate"), &manager, name, &json!({"draft": draft})).await;
        assert_eq!(status, StatusCode::OK, "{active}");
    }
    let told = |rules: &Value, of: &str| {
        let museums = |rule: &Value| format!("{} {}", rule["rule"]["name"].as_str().unwrap(), rule["rule"]["museums"]);
        rules[of].as_array().unwrap().iter().map(museums).collect::<Vec<String>>().join(", ")
    };
    let all = app.get("/v1/fraud/rules", &analyst).await;
    assert_eq!([told(&all, "in_force"), told(&all, "drafts")], ["both [1,2], there [2]", "everywhere [], here [1]"], "{all}");
    let local = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    let own = app.get("/v1/fraud/rules", &local).await;
    assert_eq!([told(&own, "in_force"), told(&own, "drafts")], ["both [1]", "everywhere [], here [1]"], "{own}");
    assert_eq!((&own["built_in"], &own["version"]), (&all["built_in"], &json!(2)));
    // Whoever drafts is told no more.
    let (_, drafted) = app.post("/v1/fraud/rules", &local, "own", &rule("own", json!(["torre"]))).await;
    assert_eq!([told(&drafted, "in_force"), told(&drafted, "drafts")], ["both [1]", "everywhere [], here [1], own [1]"], "{drafted}");
    // Nor does a draft take the place of one for others, which they would miss and nobody would know.
    assert_eq!(app.post("/v1/fraud/rules", &analyst, "far", &rule("far", json!(["mare"]))).await.0, StatusCode::CREATED);
    for (name, museums) in [("far", json!(["torre"])), ("everywhere", json!(["torre"])), ("everywhere", json!([]))] {
        let key = format!("taken {name} {museums}").replace(['"', ' '], "-");
        let (status, problem) = app.post("/v1/fraud/rules", &local, &key, &rule(name, museums)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("draft_of_others")), "{problem}");
    }
    let all = app.get("/v1/fraud/rules", &analyst).await;
    assert_eq!(told(&all, "drafts"), "everywhere [], far [2], here [1], own [1]", "{all}");
    app.stop().await;
}

#[actix_rt::test]
async fn what_a_rule_said_before_is_told_with_who_stood_for_it_and_until_when() {
    let app = App::start().await;
    let (analyst, manager) = (app.key(Role::Analyst).await, app.key(Role::Manager).await);
    let rule = |threshold_milli: u64, museums: Value| {
        json!({"name": "crowd", "when": [{"feature": "person_holds_1h", "op": "at_least", "threshold_milli": threshold_milli}], "museums": museums,
            "action": "review", "sentence_it": "Troppo.", "sentence_en": "Too much."})
    };
    let (path, none) = ("/v1/fraud/rules/crowd/versions", json!({"items": [], "left_out": 0}));
    let of_mare = app.key_for(Role::Analyst, Museums::Only(vec![MARE])).await;
    let status = async |path: &str, key: &str| app.request(Method::GET, path, key).send().await.unwrap().status();
    assert_eq!(status(path, &analyst).await, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v1/fraud/rules/velocity/versions", &analyst).await, none, "it holds by itself");
    // In force for all, then for one museum, then for none; and of what was only drafted in between nothing was in force.
    let begun = app.node().now();
    for (draft, form) in [(1, rule(9_000, json!([]))), (3, rule(8_000, json!(["torre"])))] {
        assert_eq!(app.post("/v1/fraud/rules", &analyst, &format!("d{draft}"), &form).await.0, StatusCode::CREATED);
        if draft == 1 {
            assert_eq!(app.get(path, &analyst).await, none, "a draft is not in force");
        }
        let go = app.post("/v1/fraud/rules/crowd/activate", &manager, &format!("a{draft}"), &json!({"draft": draft})).await;
        assert_eq!(go.0, StatusCode::OK, "{}", go.1);
        app.clock.set(app.node().now().plus_seconds(60));
    }
    for (n, drafted) in [("r1", true), ("r2", false)] {
        if drafted {
            assert_eq!(app.post("/v1/fraud/rules", &analyst, "d5", &rule(7_000, json!([]))).await.0, StatusCode::CREATED);
        }
        let retired = app.post("/v1/fraud/rules/crowd/retire", &manager, n, &json!(null)).await;
        assert_eq!(retired.0, if drafted { StatusCode::OK } else { StatusCode::NOT_FOUND }, "{}", retired.1);
    }
    let told = app.get(path, &analyst).await;
    let [newer, older] = told["items"].as_array().unwrap().as_slice() else { panic!("{told}") };
    let threshold = |form: &Value| form["was"]["rule"]["when"][0]["threshold_milli"].clone();
    let numbers = |form: &Value| [form["was"]["version"].clone(), form["until_version"].clone(), form["was"]["draft"].clone()];
    assert_eq!([threshold(newer), threshold(older)], [json!(8_000), json!(9_000)], "{told}");
    assert_eq!([numbers(newer), numbers(older)], [[2, 3, 3], [1, 2, 1]].map(|form| form.map(|number| json!(number))), "{told}");
    let at = |seconds: i64| json!(begun.plus_seconds(seconds).to_string());
    assert_eq!((&older["was"]["in_force_since"], &older["in_force_until"]), (&at(0), &at(60)), "{told}");
    assert_eq!((&newer["was"]["in_force_since"], &newer["in_force_until"]), (&at(60), &at(120)), "{told}");
    assert!(older["was"]["author"] != older["was"]["approver"] && older["was"]["approver"].is_string(), "{told}");
    // Whoever looks at another museum is told what held there too; and nobody else who may not look at all.
    let there = app.get(path, &of_mare).await;
    assert_eq!((there["items"].as_array().unwrap().len(), threshold(&there["items"][0])), (1, json!(9_000)), "{there}");
    assert_eq!(status(path, &app.key(Role::Web).await).await, StatusCode::FORBIDDEN);
    // It is told the same after a restart.
    let app = app.restart().await;
    assert_eq!(app.get(path, &analyst).await, told);
    app.stop().await;
}

#[actix_rt::test]
async fn rules_and_models_are_put_in_force_by_somebody_else() {
    let app = App::start().await;
    let (analyst, manager, admin) = (app.key(Role::Analyst).await, app.key(Role::Manager).await, app.key(Role::Admin).await);
    let rule = json!({"name": "hoarding", "when": [{"feature": "person_unsold_1h", "op": "at_least", "threshold_milli": 5_000}], "action": "review",
        "sentence_it": "Troppe prenotazioni", "sentence_en": "Too many holds"});
    let (status, drafted) = app.post("/v1/fraud/rules", &manager, "draft", &rule).await;
    assert_eq!(
        (status, &drafted["version"], &drafted["drafts"][0]["rule"]["name"]),
        (StatusCode::CREATED, &json!(0), &json!("hoarding")),
        "{drafted}"
    );
    let path = "/v1/fraud/rules/hoarding/activate";
    let read = json!({"draft": drafted["drafts"][0]["draft"]});
    assert_eq!(app.post(path, &analyst, "analyst", &read).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.post(path, &admin, "unread", &json!(null)).await.0, StatusCode::UNPROCESSABLE_ENTITY, "what was read has to be named");
    let (status, problem) = app.post(path, &manager, "self", &read).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("same_person")));
    let local = app.key_for(Role::Manager, Museums::Only(vec![TORRE])).await;
    assert_eq!(app.post(path, &local, "local", &read).await.0, StatusCode::FORBIDDEN, "it concerns all museums");
    let (status, active) = app.post(path, &admin, "go", &read).await;
    assert_eq!((status, &active["version"], &active["in_force"][0]["rule"]["action"]), (StatusCode::OK, &json!(1), &json!("review")), "{active}");
    let built_in: Vec<(&str, bool)> =
        active["built_in"].as_array().unwrap().iter().map(|rule| (rule["rule"]["name"].as_str().unwrap(), rule["replaced"] == true)).collect();
    assert!(built_in.len() == 13 && built_in.contains(&("velocity", false)) && built_in.contains(&("hoarding", true)), "{active}");
    assert_eq!((&active["built_in"][0]["version"], &active["built_in"][0]["rule"]["when"][0]["threshold_milli"]), (&json!(3), &json!(10_000)));
    let bad = json!({"name": "empty", "when": [], "action": "block", "sentence_it": "x", "sentence_en": "x"});
    assert_eq!(app.post("/v1/fraud/rules", &analyst, "bad", &bad).await.1["code"], "bad_rule");
    let long = json!({"name": "long", "when": rule["when"], "action": "block", "sentence_it": "è".repeat(201), "sentence_en": "x"});
    let (status, problem) = app.post("/v1/fraud/rules", &analyst, "long", &long).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{problem}");
    assert!(problem["title"].as_str().unwrap().contains("200 characters"), "how long it may be is told: {problem}");
    // One that could never fire, or always: at a museum that there is not, or at what its feature never is.
    let odd = |museum: u16, feature: &str, threshold_milli: i64| {
        json!({"name": "odd", "when": [{"feature": feature, "op": "at_least", "threshold_milli": threshold_milli}], "museums": [1, museum],
            "action": "block", "sentence_it": "x", "sentence_en": "x"})
    };
    for (key, rule, told) in [
        ("museum", odd(999, "person_holds_1h", 5_000), "there is no museum 999: "),
        ("count", odd(2, "person_holds_1h", 1_000_000_000_000_000_000), "give a threshold_milli of 0 to 1000000000000"),
        ("share", odd(2, "person_unsold_share_1d", 2_000), "give a threshold_milli of 0 to 1000"),
        ("negative", odd(2, "person_holds_1h", -1), "not a number from 0 on"),
    ] {
        for (path, body) in [("/v1/fraud/rules", rule.clone()), ("/v1/fraud/rules/dry-run", json!({"rule": rule}))] {
            let (status, problem) = app.post(path, &analyst, key, &body).await;
            assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{key}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(told), "{key}: {problem}");
        }
    }
    assert_eq!(app.get("/v1/fraud/rules", &analyst).await["drafts"], json!([]), "none of them was drafted");
    let (status, drafted) = app.post("/v1/fraud/rules", &analyst, "sound", &odd(2, "person_unsold_share_1d", 1_000)).await;
    assert_eq!((status, &drafted["drafts"][0]["rule"]["museums"]), (StatusCode::CREATED, &json!([1, 2])), "{drafted}");
    // A museum is named as elsewhere, and told by its number.
    let mut somewhere = rule.clone();
    (somewhere["name"], somewhere["museums"]) = (json!("somewhere"), json!(["torre", 2]));
    let (status, drafted) = app.post("/v1/fraud/rules", &analyst, "somewhere", &somewhere).await;
    let kept = drafted["drafts"].as_array().unwrap().iter().find(|draft| draft["rule"]["name"] == "somewhere").unwrap();
    assert_eq!((status, &kept["rule"]["museums"]), (StatusCode::CREATED, &json!([1, 2])), "{drafted}");
    somewhere["museums"] = json!(["nowhere"]);
    for (path, body) in [("/v1/fraud/rules", somewhere.clone()), ("/v1/fraud/rules/dry-run", json!({"rule": somewhere}))] {
        let (status, problem) = app.post(path, &analyst, "nowhere", &body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("there is no museum nowhere: "), "{path}: {problem}");
    }
    // Nor is another museum's there for a key of one: it cannot find out by drafting which there are.
    let of_torre = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    for name in [json!("mare"), json!(2), json!("nowhere"), json!(999)] {
        somewhere["museums"] = json!([name]);
        let (status, problem) = app.post("/v1/fraud/rules", &of_torre, "theirs", &somewhere).await;
        let told = format!("there is no museum {}: ", name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad_rule")), "{name}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&told), "{name}: {problem}");
    }

    // What nobody has to look at before: a model of fraud must stand where the node finds it, see `routes_fraud_learning`.
    let digits = "0123456789abcdef0123456789abcdef";
    let model = json!({"kind": "demand", "artifact": "forest-2", "checksum": digits, "card": digits});
    let nearby = app.key_for(Role::Analyst, Museums::Only(vec![TORRE])).await;
    assert_eq!(app.post("/v1/fraud/models", &nearby, "m0", &model).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.post("/v1/fraud/models", &analyst, "m", &model).await.0, StatusCode::CREATED);
    let challenge = "/v1/fraud/models/forest-2/challenge";
    assert_eq!(app.post(challenge, &nearby, "c0", &json!({"kind": "demand"})).await.0, StatusCode::FORBIDDEN, "it concerns all museums");
    assert_eq!(app.post(challenge, &analyst, "c", &json!({"kind": "demand"})).await.1["items"][0]["stage"], "challenger");
    let promote = "/v1/fraud/models/forest-2/promote";
    let (status, problem) = app.post(promote, &manager, "p0", &json!({"kind": "demand"})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("no_evidence")));
    let evidence = |labels: u32| {
        let shares = json!({"labels": labels, "recall_milli": 800, "recall_before_milli": 700, "precision_milli": 500, "precision_before_milli": 500, "report": digits});
        json!({"kind": "demand", "evidence": shares})
    };
    assert_eq!(app.post(promote, &manager, "p1", &evidence(9)).await.1["code"], "too_few_labels");
    let (status, promoted) = app.post(promote, &manager, "p2", &evidence(60)).await;
    assert_eq!((status, &promoted["items"][0]["stage"]), (StatusCode::OK, &json!("champion")), "{promoted}");
    // All of it is in the journal.
    let app = app.restart().await;
    let rules = app.get("/v1/fraud/rules", &analyst).await;
    assert_eq!((&rules["version"], &rules["in_force"][0]["rule"]["name"]), (&json!(1), &json!("hoarding")));
    assert_eq!(app.get("/v1/fraud/models?kind=demand", &analyst).await["items"][0]["stage"], "champion");
    assert_eq!(app.post("/v1/fraud/models/forest-2/retire", &manager, "r", &json!({"kind": "demand"})).await.1["items"][0]["stage"], "retired");
    assert_eq!(app.post("/v1/fraud/rules/hoarding/retire", &manager, "r", &json!(null)).await.1["in_force"], json!([]));
    app.stop().await;
}
