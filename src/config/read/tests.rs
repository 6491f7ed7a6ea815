//! Requests with what is expected of them: `[[test]]`, beside the routes or in a file of their own.

use super::filters::{HEADERS, fields};
use super::handlers::{RESPOND, respond};
use crate::config::mistake::{At, Mistake};
use crate::config::node::Table;
use crate::config::shape::{Key, Kind, Shape, TEXTS};
use crate::config::trial::{Expected, ExpectedField, TestCase};

pub(in crate::config) const TEST: Shape = Shape::new(
    "a test",
    &[
        Key::new("name", Kind::Text, "What it shows. Default: the request."),
        Key::required(
            "request",
            Kind::Text,
            "Method and URL, such as \"GET https://example.com/api\", or a path alone for GET.",
        ),
        Key::new("headers", HEADERS, "Fields of the request."),
        Key::new("body", Kind::Text, "The body of the request."),
        Key::new(
            "answer",
            Kind::Table(&RESPOND),
            "What the upstream answers, if the request is forwarded. Default: 200 without a body.",
        ),
        Key::required("expect", Kind::Table(&EXPECT), "What is expected."),
    ],
);

const EXPECT: Shape = Shape::new(
    "an expectation",
    &[
        Key::new("status", Kind::Count(100, 999), "The status."),
        Key::new(
            "headers",
            Kind::Map("names of fields", &Kind::Either(&[Kind::Bool, Kind::Text])),
            "Fields of the response: a value, true for any, or false for none.",
        ),
        Key::new("body", Kind::Text, "A text that the body contains."),
        Key::new("site", Kind::Text, "The host of the site, or \"default\"."),
        Key::new("route", Kind::Text, "The path of the route, or method and path such as \"GET /x\"."),
        Key::new("upstream", TEXTS, "The upstream that the request is forwarded to."),
        Key::new("path", Kind::Text, "Path and query as they are forwarded."),
    ],
);

/// A file of tests alone.
pub(in crate::config) const TEST_FILE: Shape =
    Shape::new("a file of tests", &[Key::new("test", Kind::List(&Kind::Table(&TEST)), "The tests.")]);

/// A test; `None` after its mistakes were reported.
pub(in crate::config) fn test(table: Table<'_>, place: String) -> Option<TestCase> {
    let request = table.text("request")?;
    let (method, url) = request.split_once(' ').unwrap_or(("GET", &request));
    let is_url =
        url.starts_with('/') || url.starts_with("http://") || url.starts_with("https://") || url == "*";
    if !is_url || url.contains(char::is_whitespace) {
        let mistake = Mistake::new(table.value_at("request"), "this is no request");
        table.reader.report(mistake.help("write \"GET /path\" or \"POST https://example.com/path\""));
    }
    let name = table.text("name").unwrap_or_else(|| request.clone());
    let expect = table.table("expect")?;
    if expect.entries.is_empty() {
        let at: At = table.key_at("expect");
        table
            .reader
            .report(Mistake::new(at, "nothing is expected").help("add status, route, upstream or others"));
    }
    Some(TestCase {
        name,
        place,
        method: method.to_owned(),
        url: url.trim().to_owned(),
        headers: table.entry("headers").map(fields).unwrap_or_default(),
        body: table.text("body").unwrap_or_default(),
        answer: table.entry("answer").and_then(respond).unwrap_or_default(),
        expected: expected(expect),
    })
}

fn expected(table: Table<'_>) -> Expected {
    let headers = table.table("headers").map(Table::in_order).unwrap_or_default();
    let field = |name: &str, is: Option<bool>, text: Option<String>| {
        let wanted = match (is, text) {
            (Some(true), _) => ExpectedField::Any,
            (Some(false), _) => ExpectedField::None,
            (None, text) => ExpectedField::Value(text?),
        };
        Some((name.to_owned(), wanted))
    };
    Expected {
        status: table.count("status").and_then(|status| u16::try_from(status).ok()),
        headers: headers
            .iter()
            .filter_map(|entry| {
                field(entry.name, entry.node.raw().map_or(entry.node.bool(), |_| None), entry.node.text())
            })
            .collect(),
        body: table.text("body"),
        site: table.text("site"),
        route: table.text("route"),
        upstream: table.has("upstream").then(|| table.texts("upstream")),
        path: table.text("path"),
    }
}
