//! The schema for editors accepts what is accepted, and refuses what has unknown keys or values of another
//! kind.

use std::fs;

use quoit::config::Config;
use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

/// What a TOML document is as JSON.
fn as_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => json!(i64::from_str_radix(number.as_str(), number.radix()).unwrap()),
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().unwrap()),
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(values) => values.iter().map(|value| as_json(value.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(table_as_json(table)),
    }
}

fn table_as_json(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), as_json(value.get_ref()))).collect()
}

/// Whether a value fits: what the schema uses of draft 7, but for patterns of numbers and units.
fn fits(schema: &Value, value: &Value) -> bool {
    let is_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{other} is not known here"),
    };
    let is_one_of = |key: &str, test: &dyn Fn(&Value) -> bool| {
        schema[key].as_array().is_none_or(|all| all.iter().any(test))
    };
    let in_range = value.as_f64().is_none_or(|number| {
        schema["minimum"].as_f64().is_none_or(|min| number >= min)
            && schema["maximum"].as_f64().is_none_or(|max| number <= max)
    });
    let elements =
        value.as_array().is_none_or(|values| values.iter().all(|value| fits(&schema["items"], value)));
    let entries = value.as_object().is_none_or(|entries| {
        let known = entries.iter().all(|(key, value)| {
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => false,
                (Value::Null, Value::Null) => true,
                (Value::Null, more) => fits(more, value),
                (property, _) => fits(property, value),
            }
        });
        let required = schema["required"].as_array();
        let size = entries.len() as u64;
        known
            && required
                .is_none_or(|names| names.iter().all(|name| entries.contains_key(name.as_str().unwrap())))
            && schema["maxProperties"].as_u64().is_none_or(|max| size <= max)
            && schema["minProperties"].as_u64().is_none_or(|min| size >= min)
    });
    // Of patterns the one alone that is the only way to a choice by a variable.
    let is_variable = schema["pattern"] != "\\$\\{" || value.as_str().is_none_or(|text| text.contains("${"));
    // A schema of a list is that of its elements or of the list.
    is_type
        && is_variable
        && in_range
        && elements
        && entries
        && is_one_of("anyOf", &|schema| fits(schema, value))
        && is_one_of("enum", &|allowed| allowed == value)
}

fn accepts(text: &str) -> bool {
    let schema: Value = serde_json::from_str(&Config::schema()).unwrap();
    let document = DeTable::parse(text).unwrap_or_else(|error| panic!("{error}"));
    fits(&schema, &Value::Object(table_as_json(document.get_ref())))
}

#[test]
fn every_example_fits() {
    let mut examples = 0;
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            assert!(accepts(&fs::read_to_string(&path).unwrap()), "{}", path.display());
            examples += 1;
        }
    }
    assert_eq!(examples, 5);
}

#[test]
fn what_is_refused_does_not_fit() {
    assert!(accepts("workers = 2\nlisten = [\"80\", { address = \"81\", tls = true }]\nfilters = \"cors\""));
    for text in [
        "lisen = \"80\"",
        "workers = 0",
        "workers = true",
        "quiet = 1",
        "listen = 80",
        "[[listen]]\ntls = true",
        "filters = [\"gzip\"]",
        "filters = [{ cors = {}, compress = {} }]",
        "filters = [{ cors = { origin = \"x\" } }]",
        "[[route]]\npath = 5\nrespond = \"x\"",
        "respond = { status = 99 }",
        "[upstreams.a]\nendpoint = \"a:1\"",
        "[upstreams.a]\nendpoints = [{ weight = 1 }]",
        "[limits]\nidle_timeout = 30",
    ] {
        assert!(!accepts(text), "{text}");
    }
}
