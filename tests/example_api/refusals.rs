//! What cannot be taken: the status, the field, and nothing of what is inside.

use serde_json::json;

use crate::client::{Api, FORM, JSON, command, is_problem, json_of, titled};

#[test]
fn json_that_does_not_fit() {
    let api = Api::start();
    let long = |count: usize| "x".repeat(count);
    for (body, status, fields) in [
        ("".to_owned(), 400, &[][..]),
        ("{".to_owned(), 400, &[]),
        ("{\"title\":\"a\"}}".to_owned(), 400, &[]),
        ("{'title':'a'}".to_owned(), 400, &[]),
        ("\u{feff}{\"title\":\"a\"}".to_owned(), 400, &[]),
        ("[]".to_owned(), 422, &[]),
        ("null".to_owned(), 422, &[]),
        ("{}".to_owned(), 422, &["/title"]),
        (json!({"title": 1}).to_string(), 422, &["/title"]),
        (json!({"title": null}).to_string(), 422, &["/title"]),
        (json!({"title": ["a"]}).to_string(), 422, &["/title"]),
        (r#"{"title":"a","title":"b"}"#.to_owned(), 422, &["/title"]),
        (json!({"title": ""}).to_string(), 422, &["/title"]),
        (json!({"title": " \u{3000}"}).to_string(), 422, &["/title"]),
        (json!({"title": "a\nb"}).to_string(), 422, &["/title"]),
        (json!({"title": "a\u{0}"}).to_string(), 422, &["/title"]),
        (json!({"title": long(201)}).to_string(), 422, &["/title"]),
        (json!({"title": "a", "text": long(10_001)}).to_string(), 422, &["/text"]),
        (json!({"title": "a", "text": "\u{7}"}).to_string(), 422, &["/text"]),
        (json!({"title": "a", "tag": " "}).to_string(), 422, &["/tag"]),
        (json!({"title": "a", "tag": long(101)}).to_string(), 422, &["/tag"]),
        (json!({"title": "a", "pinned": 1}).to_string(), 422, &["/pinned"]),
        (json!({"title": "a", "pinned": "true"}).to_string(), 422, &["/pinned"]),
        (json!({"title": "a", "link": "ftp://a/"}).to_string(), 422, &["/link"]),
        (json!({"title": "a", "id": 7}).to_string(), 422, &["/id"]),
        (json!({"title": "a", "version": 7}).to_string(), 422, &["/version"]),
        (json!({"title": "", "text": "\u{0}", "link": "x"}).to_string(), 422, &["/title", "/text", "/link"]),
    ] {
        is_problem(&api.post(&body), status, fields);
    }
    let deep = "[".repeat(100_000);
    is_problem(&api.post(&deep), 422, &["/0"]);
    is_problem(&api.post(&json!({"title": "a", "text": long(200_000)}).to_string()), 413, &[]);
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"] {
        let reply = api.send("POST", "/notes", &[("Content-Type", content_type)], "{\"title\":\"a\"}");
        is_problem(&reply, 415, &[]);
    }
    assert!(api.all().is_empty());
}

#[test]
fn limits_are_where_they_are_said_to_be() {
    let api = Api::start();
    // Four bytes each: characters are counted.
    let wide = |count: usize| "\u{1f600}".repeat(count);
    api.make(json!({"title": wide(200), "text": wide(10_000), "tag": wide(100)}));
    let link = format!("https://e.example/{}", "x".repeat(2_000 - "https://e.example/".len()));
    api.make(json!({"title": "a", "link": link}));
    is_problem(&api.post(&json!({"title": "a", "link": link + "x"}).to_string()), 422, &["/link"]);
    api.make(json!({"title": "a", "text": "line\r\nline\ttab"}));
    api.make(json!({"title": "nothing else", "tag": null, "link": null}));
    // The longest text, each character as an escape.
    let escaped = format!(r#"{{"title":"a","text":"{}"}}"#, r"\ud83d\ude00".repeat(10_000));
    assert_eq!(json_of(&api.post(&escaped))["text"], *wide(10_000));
}

#[test]
fn targets_that_do_not_fit() {
    let api = Api::start();
    for (target, field) in [
        ("/notes?limit=0", "limit"),
        ("/notes?limit=101", "limit"),
        ("/notes?limit=-1", "limit"),
        ("/notes?limit=x", "limit"),
        ("/notes?limit=1&limit=2", "limit"),
        ("/notes?after=x", "after"),
        ("/notes?after=9223372036854775808", "after"),
        ("/notes?pinned=perhaps", "pinned"),
        ("/notes?q=%ff", "q"),
        ("/notes?q=a%00b", "q"),
        ("/notes?colour=red", "colour"),
        ("/?limit=x", "limit"),
    ] {
        is_problem(&api.get(target), 400, &[field]);
    }
    is_problem(&api.get(&format!("/notes?q={}", "x".repeat(201))), 400, &["q"]);
    is_problem(&api.get(&format!("/notes?{}", "q&".repeat(300))), 400, &[]);
    for id in ["x", "1.0", "1%20", "9223372036854775808", "%ff", "1e3", ""] {
        let reply = api.get(&format!("/notes/{id}"));
        assert!([400, 404].contains(&reply.status), "{id}: {}", reply.text());
        assert_eq!(reply.field("content-type"), Some("application/problem+json"));
    }
    for id in ["0", "-1", "7", "9223372036854775807"] {
        is_problem(&api.get(&format!("/notes/{id}")), 404, &[]);
        is_problem(&api.send("DELETE", &format!("/notes/{id}"), &[("If-Match", "*")], ""), 404, &[]);
    }
    is_problem(&api.get("/elsewhere"), 404, &[]);
    let reply = api.send("DELETE", "/notes", &[], "");
    is_problem(&reply, 405, &[]);
    assert_eq!(reply.field("allow"), Some("POST, GET, HEAD, OPTIONS"));
}

#[test]
fn forms_that_do_not_fit() {
    let api = Api::start();
    is_problem(&api.send("POST", "/", &[FORM], "title=%ff"), 400, &["title"]);
    is_problem(&api.send("POST", "/", &[JSON], &titled("a").to_string()), 415, &[]);
    is_problem(&api.send("POST", "/", &[("Content-Type", "multipart/form-data")], "x"), 415, &[]);
    for site in [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"), ("Origin", "null")] {
        is_problem(&api.send("POST", "/", &[FORM, site], "title=a"), 403, &[]);
    }
    assert!(api.all().is_empty());
    let own = [FORM, ("Sec-Fetch-Site", "same-origin")];
    api.send("POST", "/", &own, "title=a&pinned=on&tag=&link=").has_status(303);
    let note = api.all().remove(0);
    assert_eq!((&note["pinned"], &note["tag"], &note["link"]), (&json!(true), &json!(null), &json!(null)));
}

#[test]
fn changes_without_a_condition_are_refused() {
    let api = Api::start();
    let id = api.make(titled("a"))["id"].as_i64().unwrap();
    let target = format!("/notes/{id}");
    is_problem(&api.send("PUT", &target, &[JSON], &titled("b").to_string()), 428, &["If-Match"]);
    is_problem(&api.send("DELETE", &target, &[], ""), 428, &["If-Match"]);
    for stale in ["\"0\"", "\"2\"", "W/\"1\"", "1", "\"1", "\"\"", "\"2\", \"3\""] {
        is_problem(&api.put(id, stale, &titled("b")), 412, &[]);
        is_problem(&api.send("DELETE", &target, &[("If-Match", stale)], ""), 412, &[]);
    }
    assert_eq!(json_of(&api.get(&target))["title"], "a");
}

#[test]
fn a_database_that_cannot_be_opened_is_told_in_one_line() {
    for file in ["/nowhere/notes.db", "/dev/null/notes.db", env!("CARGO_MANIFEST_DIR"), file!()] {
        let ended = command().args(["--db", file, "--listen", "127.0.0.1:0"]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.lines().count() == 1, "{said}");
        assert!(said.starts_with("api: the database cannot be opened: ") && said.contains("--db"), "{said}");
    }
}
