//! Results as JSON, as `schema/run-1.json` describes it: written, and read with the cause and the remedy
//! where a file is something else.

use serde::Deserialize;

use crate::result::{RunResult, SCHEMA};

/// The whole result.
pub(crate) fn text(result: &RunResult) -> String {
    let mut text = serde_json::to_string_pretty(result).expect("a result has string keys and no cycles");
    text.push('\n');
    text
}

/// A result that [`text`] wrote. The error has the cause and the remedy.
pub(crate) fn read(text: &str) -> Result<RunResult, String> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let no_result = |error| format!("no result of `loadgen bench -o json=FILE`: {error}");
    let head: Head = serde_json::from_str(text).map_err(no_result)?;
    if head.schema != SCHEMA {
        return Err(format!(
            "its schema is {:?}, and loadgen {} reads {SCHEMA:?}: use the loadgen that wrote it, or measure \
             again",
            head.schema,
            env!("CARGO_PKG_VERSION"),
        ));
    }
    let result: RunResult = serde_json::from_str(text).map_err(no_result)?;
    let lengths = result.intervals.iter().map(|interval| interval.length_s);
    if lengths.chain([result.measured_s]).any(|length_s| length_s < 0.0) {
        return Err("a length of time in it is negative: it was not written by loadgen".to_string());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        for result in [fixture::open_loop(), fixture::closed_loop(), fixture::empty(), fixture::hostile()] {
            let written = text(&result);
            assert_eq!(text(&read(&written).unwrap()), written);
        }
    }

    /// tests/readers.py holds this file against the schema, and other tools read it.
    #[test]
    fn the_file_is_as_it_was_agreed() {
        let mut result = fixture::open_loop_of(3, 3, 1_500);
        result.endpoints.insert("GET /".to_string(), result.total.clone());
        result.connections.tls = Some(fixture::handshakes());
        result.merged = vec![fixture::merged_run()];
        crate::report::golden::holds("run.json", &text(&result));
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../schema/run-1.json")).expect("it is JSON");
        let mut result = fixture::open_loop();
        result.plan.stages = vec![crate::result::StageFacts { rate: 1.0, length_s: 10.0 }];
        result.total.own.get_or_insert_default().note(2_000_000, 1_000_000, true);
        result.total.unfinished = 1;
        result.slo.iter_mut().for_each(|verdict| verdict.needs = Some(1_000));
        result.endpoints.insert("GET /".to_string(), result.total.clone());
        result.connections.tls = Some(fixture::handshakes());
        result.merged = vec![fixture::merged_run()];
        names_agree(&schema, &schema, &serde_json::to_value(&result).unwrap(), "");
    }

    /// Fails where an object of the value has a field that its schema does not name, or the reverse.
    fn names_agree(root: &serde_json::Value, at: &serde_json::Value, value: &serde_json::Value, place: &str) {
        let at = match at["$ref"].as_str() {
            Some(name) => root.pointer(&name[1..]).expect("a definition"),
            None => at,
        };
        if let Some(unless_null) = at["anyOf"].get(1).filter(|_| !value.is_null()) {
            return names_agree(root, unless_null, value, place);
        }
        if let (Some(values), items) = (value.as_array(), &at["items"]) {
            values.iter().for_each(|value| names_agree(root, items, value, place));
        }
        let Some(fields) = value.as_object() else { return };
        for (name, value) in fields {
            let inner = at["properties"].get(name).unwrap_or(&at["additionalProperties"]);
            assert!(inner.is_object(), "the schema has no {place}.{name}");
            names_agree(root, inner, value, &format!("{place}.{name}"));
        }
        for name in at["properties"].as_object().into_iter().flat_map(|names| names.keys()) {
            assert!(fields.contains_key(name), "only the schema has {place}.{name}");
        }
    }

    #[test]
    fn another_version_is_refused_with_the_remedy() {
        let text = text(&fixture::open_loop()).replace(SCHEMA, "quoit-loadgen/2");
        let error = read(&text).unwrap_err();
        assert!(error.contains("\"quoit-loadgen/2\"") && error.contains("measure again"), "{error}");
    }

    #[test]
    fn what_is_no_result_is_told() {
        let written = text(&fixture::open_loop());
        for (text, cause) in [
            ("", "EOF"),
            ("wrk says hello", "expected value"),
            ("[]", "invalid length"),
            ("{}", "missing field `schema`"),
            (r#"{"schema":"quoit-loadgen/1"}"#, "missing field `version`"),
            (&written[..written.len() / 2], "EOF"),
            (&written.replace("\"measured_s\": 10.0", "\"measured_s\": -1.0"), "negative"),
            (&written.replace("HISTFA", "HISTGA"), "histogram that cannot be read"),
        ] {
            let error = read(text).expect_err(cause);
            assert!(error.contains(cause), "{error}");
        }
    }
}
