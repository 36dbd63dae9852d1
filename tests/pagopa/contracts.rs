//! The published contracts: OpenAPI's schemas for what we send and read, XML schemas by a reader that is not ours.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// A file of the contracts.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contracts/pagopa").join(name)
}

/// A component schema. Stricter than published: properties that it does not know are wrong, so that none of ours is misspelt, and so are read-only ones.
pub fn schema(contract: &str, component: &str, draft: Draft) -> Validator {
    let mut document: Value = serde_json::from_str(&fs::read_to_string(file(contract)).unwrap()).unwrap();
    let mut components = document["components"].take();
    components["schemas"].as_object_mut().unwrap().values_mut().for_each(close);
    assert!(components["schemas"][component].is_object(), "{component}");
    let whole = json!({"$ref": format!("#/components/schemas/{component}"), "components": components});
    jsonschema::options().with_draft(draft).should_validate_formats(true).build(&whole).unwrap()
}

fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|_, property| property["readOnly"] != true || property.get("enum").is_some());
        properties.values_mut().for_each(close);
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(items) = object.get_mut("items") {
        close(items);
    }
}

/// What is wrong with a value.
pub fn faults(schema: &Validator, value: &Value) -> Vec<String> {
    schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Which of the documents are valid against an XML schema of the contracts, by libxml2.
pub fn valid_xml(contract: &str, documents: &[String]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..documents.len()).map(|number| format!("{number}.xml")).collect();
    for (name, document) in names.iter().zip(documents) {
        fs::write(folder.path().join(name), document).unwrap();
    }
    let schema = file(contract);
    let mut xmllint = Command::new("xmllint");
    let output = xmllint.args(["--noout", "--nonet", "--schema"]).arg(&schema).args(&names).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let valid: std::collections::HashSet<&str> = said.lines().filter_map(|line| line.strip_suffix(" validates")).collect();
    let judged = valid.len() + said.lines().filter(|line| line.ends_with(" fails to validate")).count();
    let unread = names.iter().filter(|name| !valid.contains(name.as_str()) && said.contains(&format!("{name}:"))).count();
    assert!(judged >= valid.len() && valid.len() + unread == names.len(), "{said}");
    names.iter().map(|name| valid.contains(name.as_str())).collect()
}

#[test]
fn the_schemas_refuse_what_they_should() {
    let position = schema("gpd_external_v1.json", "PaymentPositionModel", Draft::Draft202012);
    let good = json!({"iupd": "x", "type": "F", "fiscalCode": "ANONIMO", "fullName": "x", "companyName": "x", "switchToExpired": true});
    assert_eq!(faults(&position, &good), Vec::<String>::new());
    for (field, value) in
        [("type", json!("X")), ("iupd", json!(1)), ("unknown", json!(1)), ("companyName", json!("x".repeat(141))), ("paymentDate", json!("x"))]
    {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!faults(&position, &bad).is_empty(), "{bad}");
    }
    let documents = [
        "<a/>".to_owned(),
        "<a>".to_owned(),
        "<paSendRTRes xmlns='http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd'><outcome xmlns=''>OK</outcome></paSendRTRes>".to_owned(),
    ];
    assert_eq!(valid_xml("paForNode-v2-profile.xsd", &documents), [false, false, true]);
}
