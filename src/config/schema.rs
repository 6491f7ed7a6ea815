//! The shapes of a configuration as a JSON schema (draft 7), for editors. Made of the same data that files
//! are held against, so that it cannot lag behind.

use serde_json::{Map, Value, json};

use super::read::root::ROOT;
use super::shape::{Kind, Shape};

/// What a variable makes of a text, for patterns.
const VARIABLE: &str = r"\$\{";

/// The schema.
pub(super) fn schema() -> Value {
    let mut schema = object(&ROOT);
    schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".into(), "Configuration of quoit".into());
    Value::Object(schema)
}

fn object(shape: &Shape) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in shape.keys {
        let mut of = kind(&key.kind);
        of.insert("description".into(), key.doc.into());
        properties.insert(key.name.into(), Value::Object(of));
    }
    let required: Vec<&str> = shape.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), Value::Object(properties));
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    if shape.is_choice {
        object.insert("minProperties".into(), 1.into());
        object.insert("maxProperties".into(), 1.into());
    }
    object
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A text that is read as another value.
fn text_like(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{pattern}|{VARIABLE}") })
}

fn kind(kind_of: &Kind) -> Map<String, Value> {
    let any = |kinds: Vec<Value>| json!({ "anyOf": kinds });
    map(match kind_of {
        Kind::Bool => any(vec![json!({ "type": "boolean" }), text_like("^(true|false)$")]),
        Kind::Count(min, max) => {
            let mut number = json!({ "type": "integer", "minimum": min });
            if *max < u64::MAX {
                number["maximum"] = (*max).into();
            }
            any(vec![number, text_like("^[0-9]+$")])
        }
        Kind::Number => {
            any(vec![json!({ "type": "number", "minimum": 0 }), text_like(r"^[0-9]+(\.[0-9]+)?$")])
        }
        Kind::Time(..) => text_like(
            r"^ *(0|([0-9]+(\.[0-9]+)? *(d|days?|h|hours?|m|min|minutes?|s|sec|seconds?|ms|us|µs|ns) *)+) *$",
        ),
        Kind::Size(..) => any(vec![
            json!({ "type": "integer", "minimum": 0 }),
            text_like(r"^ *[0-9]+(\.[0-9]+)? *([bB]|bytes?|[kKmMgGtT]([iI]?[bB])?)? *$"),
        ]),
        Kind::ByteRate => text_like(r"^ *[0-9]+(\.[0-9]+)? *([bB]|bytes?|[kKmMgGtT]([iI]?[bB])?)?/s *$"),
        Kind::Text => json!({ "type": "string" }),
        Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Value => any(vec![
            json!({ "type": "string" }),
            json!({
                "type": "object",
                "properties": { "file": { "type": "string", "minLength": 1 } },
                "required": ["file"],
                "additionalProperties": false,
            }),
        ]),
        Kind::Choice(words) => {
            any(vec![json!({ "enum": words }), json!({ "type": "string", "pattern": VARIABLE })])
        }
        Kind::List(of) => {
            let of = Value::Object(kind(of));
            any(vec![of.clone(), json!({ "type": "array", "items": of })])
        }
        Kind::Table(shape) => Value::Object(object(shape)),
        Kind::Map(_, of) => json!({ "type": "object", "additionalProperties": Value::Object(kind(of)) }),
        Kind::Either(kinds) => any(kinds.iter().map(|of| Value::Object(kind(of))).collect()),
    })
}
