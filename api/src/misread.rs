//! What of a request cannot be read, in the words of its contract: which parameter of a query and what it should be, and JSON without the names of our types.

use std::borrow::Cow;

use actix_web::error::QueryPayloadError;
use actix_web::{HttpRequest, web};
use serde_json::Value;
use tornello_engine::time::Timestamp;

use crate::contract::Contract;
use crate::problem::Problem;
use crate::strict::day_of;

/// A query that cannot be read: the reader says what is wrong, but not of which parameter. The contract knows what each may be.
pub fn query(request: &HttpRequest, error: &QueryPayloadError) -> Problem {
    let said = match error {
        QueryPayloadError::Deserialize(error) => error.to_string(),
        other => other.to_string(),
    };
    // These name it.
    let named = ["unknown field", "missing field", "duplicate field"].iter().any(|beginning| said.starts_with(beginning));
    let fault = if named { None } else { at_fault(request, &said) };
    // Who asks there for another form is told where forms are asked for.
    let by_header = "; tables, pictures and calendars are asked for by the Accept header: text/csv, image/svg+xml or text/calendar";
    let more = if said.starts_with("unknown field `format`") {
        by_header.to_owned()
    } else if said.starts_with("missing field") {
        in_the_query(request)
    } else {
        String::new()
    };
    Problem::malformed(fault.unwrap_or(said) + &more)
}

/// Where a parameter is missing, and what is taken there: whoever has sent it in a body believes that it is not.
fn in_the_query(request: &HttpRequest) -> String {
    taken(request).map_or_else(|| " in the query".to_owned(), |names| format!(" in the query, which takes {names}"))
}

/// The names of what the query of a request's operation takes.
fn taken(request: &HttpRequest) -> Option<String> {
    let contract = request.app_data::<web::Data<Contract>>()?;
    let parameters = contract.query(&request.match_pattern()?, request.method())?;
    Some(parameters.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

/// What is wrong with the first parameter that is not as the contract says; if that cannot be told, which ones it may be.
fn at_fault(request: &HttpRequest, said: &str) -> Option<String> {
    let contract = request.app_data::<web::Data<Contract>>()?;
    let parameters = contract.query(&request.match_pattern()?, request.method())?;
    let given = web::Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
    let mut unclear = Vec::new();
    for (name, text) in given.iter() {
        let Some((_, schema)) = parameters.iter().find(|(known, _)| known == name) else { continue };
        match expected(schema, text) {
            Some((true, _)) => {}
            Some((false, expected)) => return Some(format!("{name}: {expected} is expected")),
            None => unclear.push(name.as_str()),
        }
    }
    // What is in a cursor is ours to know.
    if unclear == ["cursor"] {
        return Some("cursor: give the one of the page before".to_owned());
    }
    (!unclear.is_empty()).then(|| format!("{}: {said}", unclear.join(" or ")))
}

/// Whether a text is what a schema allows, and what that is; none if the schema does not say enough.
fn expected(schema: &Value, text: &str) -> Option<(bool, String)> {
    let is = |kind: &str| schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind));
    if is("integer") {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let number = text.parse::<i64>().ok().map(|number| number as f64);
        let within = number.is_some_and(|number| least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most));
        let bounds = match (least, most) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(least), None) => format!(" from {least} on"),
            (None, Some(most)) => format!(" up to {most}"),
            (None, None) => String::new(),
        };
        return Some((within, format!("a whole number{bounds}")));
    }
    if is("number") {
        return Some((text.parse::<f64>().is_ok(), "a number".to_owned()));
    }
    if is("boolean") {
        return Some((["true", "false"].contains(&text), "true or false".to_owned()));
    }
    let list: Option<Vec<&str>> = schema["enum"].as_array().map(|words| words.iter().filter_map(Value::as_str).collect());
    let pattern = || -> Option<Vec<&str>> { Some(schema["pattern"].as_str()?.strip_prefix("^(")?.strip_suffix(")$")?.split('|').collect()) };
    if let Some(words) = list.or_else(pattern) {
        let (last, others) = words.split_last()?;
        let told = if others.is_empty() { (*last).to_owned() } else { format!("{} or {last}", others.join(", ")) };
        return Some((words.contains(&text), told));
    }
    match schema["format"].as_str()? {
        "date" => Some((day_of(text).is_some(), "a day, as 2027-01-31,".to_owned())),
        "date-time" => Some((text.parse::<Timestamp>().is_ok(), "an instant, as 2027-01-31T09:00:00Z,".to_owned())),
        _ => None,
    }
}

/// How the reader of days and times begins: it goes on with digits, and says nothing of what to write.
const OF_TIMES: [&str; 6] =
    ["failed to parse ", "parsed date is not valid", "parsed value ", "expected four digit ", "expected two digit ", "cannot parse civil "];

/// What the reader of JSON says, with what it expected in words of JSON rather than by the names of our types.
#[must_use]
pub fn json(message: &str) -> String {
    if message == "EOF while parsing a value at line 1 column 0" {
        return "nothing was sent, where JSON is expected".to_owned();
    }
    let (what, place) = message.rfind(" at line ").map_or((message, ""), |at| message.split_at(at));
    if let Some(within) = what.strip_prefix("EOF while parsing ") {
        return format!("it ends too early, within {within}{place}");
    }
    if ["expected value", "expected ident"].contains(&what) {
        return format!("a value is expected{place}");
    }
    if what.starts_with("data did not match any variant of untagged enum") {
        return format!("none of the forms that this may have fits{place}");
    }
    if OF_TIMES.iter().any(|beginning| what.starts_with(beginning)) {
        return format!(
            "a day as 2027-01-31, a time as 09:30 or an instant as 2027-01-31T09:00:00Z, whichever the contract names, is expected{place}"
        );
    }
    match what.rsplit_once(", expected ") {
        Some((found, expected)) => format!("{}, expected {}{place}", found_in_json(found), of_json(expected)),
        None => message.to_owned(),
    }
}

fn found_in_json(found: &str) -> String {
    match found {
        "invalid type: unit variant" => "invalid type: a word alone".to_owned(),
        "invalid type: map" => "invalid type: an object".to_owned(),
        "invalid type: sequence" => "invalid type: a list".to_owned(),
        _ => found.replacen("unknown variant ", "unknown word ", 1),
    }
}

fn of_json(expected: &str) -> Cow<'_, str> {
    let unsigned = |most: u64| Cow::Owned(format!("a whole number from 0 to {most}"));
    let signed = |least: i32, most: i32| Cow::Owned(format!("a whole number from {least} to {most}"));
    match expected {
        "u8" => unsigned(u8::MAX.into()),
        "u16" => unsigned(u16::MAX.into()),
        "u32" => unsigned(u32::MAX.into()),
        "u64" | "usize" => "a whole number from 0 on".into(),
        "i8" => signed(i8::MIN.into(), i8::MAX.into()),
        "i16" => signed(i16::MIN.into(), i16::MAX.into()),
        "i32" => signed(i32::MIN, i32::MAX),
        "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "unit" => "null".into(),
        "struct variant" | "newtype variant" | "tuple variant" => "an object whose one member has that name".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        _ if expected.starts_with("struct ") => "an object".into(),
        _ if expected.starts_with("tuple ") || expected.starts_with("a tuple ") => "a list".into(),
        _ if expected == "enum" || expected.contains("enum ") => "one of the words or objects that the contract names".into(),
        _ => expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict;
    use jiff::civil::Date;
    use serde_json::json;

    #[test]
    fn a_text_is_held_against_its_schema() {
        let (count, words) = (json!({"type": "integer", "minimum": 1, "maximum": 200}), json!({"type": "string", "enum": ["web", "kiosk", "group"]}));
        for (schema, text, good, told) in [
            (&count, "200", true, "a whole number from 1 to 200"),
            (&count, "201", false, "a whole number from 1 to 200"),
            (&count, "-1", false, "a whole number from 1 to 200"),
            (&json!({"type": ["integer", "null"]}), "x", false, "a whole number"),
            (&json!({"type": "boolean"}), "yes", false, "true or false"),
            (&words, "boat", false, "web, kiosk or group"),
            (&words, "kiosk", true, "web, kiosk or group"),
            (&json!({"type": "string", "pattern": "^(day|slot)$"}), "week", false, "day or slot"),
            (&json!({"type": "string", "format": "date"}), "2027-02-30", false, "a day, as 2027-01-31,"),
            (&json!({"type": "string", "format": "date"}), "2027-01-31T14:00", false, "a day, as 2027-01-31,"),
            (&json!({"type": "string", "format": "date"}), "2027-01-31", true, "a day, as 2027-01-31,"),
        ] {
            assert_eq!(expected(schema, text), Some((good, told.to_owned())), "{text}");
        }
        assert_eq!(expected(&json!({"type": "string", "pattern": "^[0-9]{1,5}$"}), "x"), None);
    }

    #[test]
    fn a_day_or_time_that_cannot_be_read_is_told_by_what_to_write() {
        for text in ["", "x", "2027-1-1", "2027-02-30", "2027-13-01", "2027-01-31T00:00:00Z", "31/01/2027", "2027-01-31x"] {
            let told = json(&serde_json::from_str::<Date>(&format!("\"{text}\"")).unwrap_err().to_string());
            assert!(told.starts_with("a day as 2027-01-31, a time as 09:30 or an instant") && told.contains(" at line 1 column "), "{text}: {told}");
        }
        for text in ["", "ten", "10:0", "25:00", "10:60", "10.30", "10:00 am"] {
            let told = json(&serde_json::from_str::<jiff::civil::Time>(&format!("\"{text}\"")).unwrap_err().to_string());
            assert!(told.starts_with("a day as 2027-01-31, a time as 09:30 or an instant"), "{text}: {told}");
        }
    }

    #[test]
    fn json_is_told_without_our_types() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Way {
            On { count: u16 },
            By(u8),
            To(i32),
            Off,
        }
        for (text, told) in [
            (r#"{"on": {"count": "two"}}"#, r#"invalid type: string "two", expected a whole number from 0 to 65535 at line 1 column "#),
            (r#"{"on": {"count": 70000}}"#, "invalid value: integer `70000`, expected a whole number from 0 to 65535 at line 1 column "),
            (
                r#"{"to": 99999999999}"#,
                "invalid value: integer `99999999999`, expected a whole number from -2147483648 to 2147483647 at line 1 column ",
            ),
            (r#"{"on": 5}"#, "invalid type: integer `5`, expected an object at line 1 column "),
            (r#"{"on": [5]}"#, "invalid type: a list, expected an object at line 1 column "),
            (r#"{"far": {}}"#, "unknown word `far`, expected one of `on`, `by`, `to`, `off` at line 1 column "),
            (r#"{"on": {}}"#, "missing field `count` at line 1 column "),
            (r#""on""#, "invalid type: a word alone, expected an object whose one member has that name at line 1 column "),
            (r#""by""#, "invalid type: a word alone, expected an object whose one member has that name at line 1 column "),
            (r#"{"off": true}"#, "invalid type: boolean `true`, expected null at line 1 column "),
            ("{}", "invalid type: an object, expected one of the words or objects that the contract names at line 1 column "),
            ("[]", "invalid type: a list, expected one of the words or objects that the contract names at line 1 column "),
            (r#"{"on": }"#, "a value is expected at line 1 column "),
            (r#"{"on": {"count": 1"#, "it ends too early, within an object at line 1 column "),
            (" ", "it ends too early, within a value at line 1 column "),
            ("", "nothing was sent, where JSON is expected"),
        ] {
            let error = strict::from_slice::<Way>(text.as_bytes()).map(|way| format!("{way:?}")).unwrap_err();
            assert!(json(&error.to_string()).starts_with(told), "{text}: {error}");
        }
    }
}
