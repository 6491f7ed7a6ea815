//! Scripts, thrown at everything that the page shows: the page keeps its elements and attributes, and shows
//! the text as it was sent. The browser's own view of this is in `tests/browser`.

use serde_json::json;

use crate::client::{Api, JSON, encoded, is_problem, json_of};
use crate::common::Response;
use crate::html::{Piece, attribute_of, parse, skeleton, text_of};
use crate::payloads;

/// The page, which must be HTML under a strict policy.
#[track_caller]
fn page_of(reply: &Response, status: u16) -> Vec<Piece> {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.field("x-frame-options"), Some("DENY"));
    let policy = reply.field("content-security-policy").expect("a policy");
    let pieces = parse(std::str::from_utf8(&reply.body).expect("UTF-8"));
    let nonce = attribute_of(&pieces, "script", None, "nonce").expect("the script has one");
    assert_eq!(nonce.len(), 32);
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.contains(&format!("script-src 'nonce-{nonce}'; ")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    pieces
}

#[test]
fn stored_text_is_shown_as_text() {
    let api = Api::start();
    api.make(json!({"title": "older"}));
    let plain = api.make(json!({"title": "a", "text": "b", "tag": "c", "link": "https://e.example/"}));
    let page = |id: i64| page_of(&api.get(&format!("/?limit=1&after={}", id + 1)), 200);
    let made_by_template = skeleton(&page(plain["id"].as_i64().unwrap()));
    for payload in payloads::all() {
        let line = if payloads::is_line(payload) { payload } else { "t" };
        // What of it an address can hold.
        let address: String = payload.chars().filter(char::is_ascii_graphic).collect();
        let link = format!("https://e.example/{address}");
        let note = api.make(json!({"title": line, "text": payload, "tag": line, "link": link}));
        let page = page(note["id"].as_i64().unwrap());
        assert_eq!(skeleton(&page), made_by_template, "{payload}");
        assert_eq!(text_of(&page, "h2", None), Some(line));
        assert_eq!(text_of(&page, "p", Some("text")), Some(payload));
        assert_eq!(text_of(&page, "a", Some("tag")), Some(&*format!("#{line}")));
        assert_eq!(attribute_of(&page, "a", Some("tag"), "href"), Some(&*format!("/?tag={}", encoded(line))));
        assert_eq!(attribute_of(&page, "a", Some("link"), "href"), Some(&*link));
        assert_eq!(text_of(&page, "a", Some("link")), Some(&*link));
        // The link of its tag leads to it.
        let found = page_of(&api.get(&format!("/?tag={}&limit=1", encoded(line))), 200);
        assert_eq!(text_of(&found, "h2", None), Some(line));
    }
}

#[test]
fn what_a_query_says_is_shown_as_text() {
    let api = Api::start();
    let empty = skeleton(&page_of(&api.get("/?q=nothing"), 200));
    for payload in payloads::lines() {
        let page = page_of(&api.get(&format!("/?q={}", encoded(payload))), 200);
        assert_eq!(skeleton(&page), empty, "{payload}");
        assert_eq!(attribute_of(&page, "input", None, "value"), Some(payload));
    }
    let tagged = |payload: &str| {
        api.make(json!({"title": "t", "tag": payload}));
        api.make(json!({"title": "t", "tag": payload}));
        page_of(&api.get(&format!("/?tag={}&limit=1", encoded(payload))), 200)
    };
    let plain = skeleton(&tagged("plain"));
    for payload in payloads::lines() {
        let page = tagged(payload);
        assert_eq!(skeleton(&page), plain, "{payload}");
        let older = page.iter().rev().find_map(|piece| match piece {
            Piece::Open { name, attributes } if name == "a" => Some(attributes[1].1.clone()),
            _ => None,
        });
        let older = older.expect("there is an older one");
        assert!(older.starts_with(&format!("/?tag={}&limit=1&after=", encoded(payload))), "{older}");
    }
}

#[test]
fn what_a_form_gets_wrong_is_shown_as_text() {
    let api = Api::start();
    let plain = skeleton(&page_of(&api.form(&[("title", "t"), ("plain", "x")]), 422));
    let shown = |page: &[Piece]| text_of(page, "p", Some("wrong")).expect("it says what is wrong").to_owned();
    for payload in payloads::all() {
        let name = page_of(&api.form(&[("title", "t"), (payload, "x")]), 422);
        assert_eq!(skeleton(&name), plain, "{payload}");
        let start: String = payload.chars().take(20).collect();
        assert!(shown(&name).starts_with(&start), "{payload}: {}", shown(&name));
        let value = page_of(&api.form(&[("title", "t"), ("pinned", payload)]), 422);
        assert_eq!(skeleton(&value), plain, "{payload}");
        assert!(shown(&value).starts_with("pinned must be true or false"), "{payload}: {}", shown(&value));
        let link = page_of(&api.form(&[("title", "t"), ("link", payload)]), 422);
        assert_eq!(skeleton(&link), plain, "{payload}");
        assert_eq!(shown(&link), "link must be an http:// or https:// address");
    }
    assert!(api.all().is_empty());
}

#[test]
fn links_that_run_are_refused() {
    let api = Api::start();
    let wrong =
        ["http:", "https://", "https:///x", "http://\"><b>", "https://e.example/a b", " https://e.example/"];
    for link in payloads::all().chain(wrong) {
        let body = json!({"title": "t", "link": link}).to_string();
        is_problem(&api.post(&body), 422, &["/link"]);
    }
    assert!(api.all().is_empty());
}

#[test]
fn what_is_no_page_is_never_taken_for_one() {
    let api = Api::start();
    let id = api.make(json!({"title": "<script>alert(1)</script>"}))["id"].as_i64().unwrap();
    let note = api.get(&format!("/notes/{id}"));
    assert_eq!(note.field("content-type"), Some("application/json"));
    assert_eq!(json_of(&note)["title"], "<script>alert(1)</script>");
    for payload in payloads::all() {
        let accept = ("Accept", "text/html");
        for reply in [
            api.get(&format!("/{}", encoded(payload))),
            api.get(&format!("/notes/{}", encoded(payload))),
            api.get(&format!("/notes?limit={}", encoded(payload))),
            api.send("POST", "/notes", &[JSON, accept], payload),
        ] {
            assert!((400..500).contains(&reply.status));
            match reply.field("content-type") {
                Some("application/problem+json") => {}
                Some("text/html; charset=utf-8") => assert!(!has_foreign_markup(&reply.text()), "{payload}"),
                other => panic!("{payload}: {other:?}"),
            }
            assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
            assert!(reply.field("content-security-policy").is_some());
        }
    }
}

/// Whether an error's page has other tags than its own, all of which are without attributes that a payload
/// could be in.
fn has_foreign_markup(page: &str) -> bool {
    const OWN: [&str; 11] = [
        "<!DOCTYPE html>",
        "<html lang=\"en\">",
        "<meta charset=\"utf-8\">",
        "<title>",
        "</title>",
        "<h1>",
        "</h1>",
        "<p>",
        "</p>",
        "<code>",
        "</code>",
    ];
    OWN.iter().fold(page.to_owned(), |rest, tag| rest.replace(tag, "")).contains(['<', '>'])
}

#[test]
fn nonces_are_used_once() {
    let api = Api::start();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let page = page_of(&api.get("/"), 200);
        assert!(seen.insert(attribute_of(&page, "script", None, "nonce").unwrap().to_owned()));
    }
}
