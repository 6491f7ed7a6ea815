//! SQL, thrown at every input: it comes back as the text it is, finds nothing but itself, and the database
//! holds what was asked for and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{Api, FORM, JSON, encoded, json_of, tells_no_internals, titled};
use crate::common::Response;
use crate::payloads;

/// The notes that should be there, by id.
type Expected = BTreeMap<i64, Value>;

fn note_id(note: &Value) -> i64 {
    note["id"].as_i64().unwrap()
}

/// Refused, and without a word about the inside.
#[track_caller]
fn refused(reply: &Response, statuses: &[u16], payload: &str) {
    assert!(statuses.contains(&reply.status), "{payload}: {} {}", reply.status, reply.text());
    tells_no_internals(&reply.text());
}

/// Asserts that list and file hold exactly these notes, in the one table there is.
#[track_caller]
fn holds_exactly(api: &Api, expected: &Expected) {
    let listed: Expected = api.all().into_iter().map(|note| (note_id(&note), note)).collect();
    assert_eq!(&listed, expected);
    let database = api.database();
    let mut schema = database.prepare("SELECT name FROM sqlite_master ORDER BY name").unwrap();
    let names: Vec<String> = schema.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(names, ["notes", "notes_by_tag", "sqlite_sequence"]);
    let count: i64 = database.query_one("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(count as usize, expected.len());
    let health: String = database.query_one("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(health, "ok");
}

/// Notes that must survive, with something for a tautology to find.
fn bystanders(api: &Api) -> Expected {
    let drafts = [
        json!({"title": "first", "text": "a secret", "tag": "a"}),
        json!({"title": "second", "pinned": true}),
    ];
    drafts.into_iter().map(|draft| api.make(draft)).map(|note| (note_id(&note), note)).collect()
}

#[test]
fn as_values_it_is_text() {
    let api = Api::start();
    let mut expected = bystanders(&api);
    for payload in payloads::all() {
        let line = if payloads::is_line(payload) { payload } else { "t" };
        // In, by JSON; `make` compares what comes back.
        let note = api.make(json!({"title": line, "text": payload, "tag": line}));
        let id = note_id(&note);
        assert_eq!(json_of(&api.get(&format!("/notes/{id}"))), note);
        // Changed, twice: what is in the database is used again.
        let reply = api.put(id, "\"1\"", &json!({"title": "t", "text": payload, "tag": line}));
        assert_eq!(json_of(&reply)["text"], payload);
        let reply = api.put(id, "\"2\"", &json!({"title": line, "text": note["text"], "tag": note["tag"]}));
        expected.insert(id, json_of(&reply));
        // In, by the form.
        api.form(&[("title", line), ("text", payload), ("tag", "form")]).has_status(303);
        let newest = json_of(&api.get("/notes?limit=1"))["items"][0].clone();
        assert_eq!((newest["title"].as_str(), newest["text"].as_str()), (Some(line), Some(payload)));
        expected.insert(note_id(&newest), newest);
    }
    holds_exactly(&api, &expected);
    // After a restart too: what was stored does no harm when it is opened.
    holds_exactly(&api.restart(), &expected);
}

#[test]
fn in_queries_it_finds_itself() {
    let api = Api::start();
    let mut expected = bystanders(&api);
    for payload in payloads::lines() {
        let note = api.make(json!({"title": "t", "text": payload, "tag": payload}));
        expected.insert(note_id(&note), note);
    }
    for payload in payloads::lines() {
        let ids = |target: String| -> Vec<i64> {
            let reply = api.get(&target);
            assert_eq!(reply.status, 200, "{target}: {}", reply.text());
            json_of(&reply)["items"].as_array().unwrap().iter().map(note_id).collect()
        };
        let wanted = |holds: &dyn Fn(&Value) -> bool| -> Vec<i64> {
            expected.iter().rev().filter(|(_, note)| holds(note)).map(|(id, _)| *id).collect()
        };
        let lower = payload.to_ascii_lowercase();
        let contains = |note: &Value| {
            let fields = [&note["title"], &note["text"]];
            fields.iter().any(|text| text.as_str().unwrap().to_ascii_lowercase().contains(&lower))
        };
        let mut found = wanted(&contains);
        found.truncate(100);
        assert_eq!(ids(format!("/notes?limit=100&q={}", encoded(payload))), found, "q={payload}");
        let tagged = wanted(&|note| note["tag"] == payload);
        assert_eq!(ids(format!("/notes?tag={}", encoded(payload))), tagged, "tag={payload}");
        assert_eq!(tagged.len(), 1);
        // Where a number or a truth value is expected, and as a name.
        for name in ["after", "limit", "pinned"] {
            refused(&api.get(&format!("/notes?{name}={}", encoded(payload))), &[400], payload);
            refused(&api.get(&format!("/?{name}={}", encoded(payload))), &[400], payload);
        }
        refused(&api.get(&format!("/notes?{}=1", encoded(payload))), &[400], payload);
    }
    holds_exactly(&api, &expected);
}

#[test]
fn elsewhere_it_is_refused() {
    let api = Api::start();
    let expected = bystanders(&api);
    let some_id = *expected.keys().next().unwrap();
    for payload in payloads::all() {
        // The path.
        for method in ["GET", "DELETE", "PUT"] {
            for path in
                [format!("/notes/{}", encoded(payload)), format!("/notes/{some_id}{}", encoded(payload))]
            {
                let fields = [("If-Match", "*"), JSON];
                let body = if method == "PUT" { r#"{"title":"owned"}"# } else { "" };
                refused(&api.send(method, &path, &fields, body), &[400, 404], payload);
            }
        }
        // JSON: not as a document, a number, a truth value, or a name.
        let quoted = Value::from(payload).to_string();
        refused(&api.post(payload), &[400, 422], payload);
        refused(&api.post(&format!(r#"{{"title":"t","pinned":{quoted}}}"#)), &[422], payload);
        refused(&api.post(&format!(r#"{{"title":"t",{quoted}:1}}"#)), &[422], payload);
        refused(&api.post(&format!(r#"{{"title":"t","id":{quoted}}}"#)), &[422], payload);
        // A form: as a name and as a ticked box.
        refused(&api.form(&[("title", "t"), (payload, "x")]), &[422], payload);
        refused(&api.form(&[("title", "t"), ("pinned", payload)]), &[422], payload);
    }
    holds_exactly(&api, &expected);
}

#[test]
fn in_fields_it_is_nothing() {
    let api = Api::start();
    let expected = bystanders(&api);
    let (&id, note) = expected.iter().next().unwrap();
    let path = format!("/notes/{id}");
    // A field cannot carry line ends; the server refuses them before the example sees any.
    for payload in payloads::lines() {
        for name in ["X-Request-Id", "User-Agent", "Referer", "Cookie", "Accept", "Accept-Encoding", "Origin"]
        {
            assert_eq!(json_of(&api.send("GET", &path, &[(name, payload)], "")), *note, "{name}: {payload}");
        }
        assert_eq!(json_of(&api.send("GET", &path, &[("If-None-Match", payload)], "")), *note);
        let reply = api.put(id, payload, &titled("owned"));
        refused(&reply, &[412], payload);
        refused(&api.send("DELETE", &path, &[("If-Match", payload)], ""), &[412], payload);
        let typed = [("Content-Type", payload), ("If-Match", "*")];
        refused(&api.send("PUT", &path, &typed, r#"{"title":"owned"}"#), &[415], payload);
        // A form of another site.
        let foreign = [FORM, ("Origin", payload)];
        refused(&api.send("POST", "/", &foreign, "title=owned"), &[403], payload);
    }
    holds_exactly(&api, &expected);
}
