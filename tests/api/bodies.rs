//! Bodies taken whole: JSON, forms, text, bytes.

use bytes::Bytes;
use quoit::service::{ExtractLimits, Form, Json, RequestBody, Router};
use serde::{Deserialize, Serialize};

use crate::common::Client;
use crate::{host, is_problem, post, posted};

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    price: f64,
    count: u8,
}

#[derive(Debug, Deserialize, Serialize)]
struct Login {
    user: String,
    #[serde(default)]
    remember: bool,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn router() -> Router {
    Router::new()
        .post("/json", async |Json(order): Json<Order>| Json(order))
        .post("/form", async |Form(login): Form<Login>| Json(login))
        .post("/text", async |text: String| text)
        .post("/bytes", async |bytes: Bytes| bytes)
        .post("/stream", async |mut body: RequestBody| {
            let mut length = 0;
            while let Some(Ok(piece)) = body.next().await {
                length += piece.len();
            }
            length.to_string()
        })
        .limits(ExtractLimits {
            json_bytes_max: 200,
            form_bytes_max: 100,
            pairs_max: 4,
            whole_bytes_max: 10,
            ..ExtractLimits::DEFAULT
        })
}

#[test]
fn json_that_fits() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let order = r#"{"customer":"ä","items":[{"price":1.5,"count":2}]}"#;
    for content_type in [JSON, "Application/JSON; charset=utf-8", "application/vnd.order+json"] {
        post(&mut client, "/json", content_type, order).is(200, order).keeps();
    }
    let spaced = r#" { "x": null, "items" : [], "customer" : "" } "#;
    post(&mut client, "/json", JSON, spaced).is(200, r#"{"customer":"","items":[]}"#);
}

#[test]
fn json_that_does_not_fit_is_pointed_at() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (body, field) in [
        ("{}", "/customer: is missing"),
        (r#"{"customer":1}"#, "/customer: must be text, not 1"),
        (r#"{"customer":"","items":{}}"#, "/items: must be an array, not an object"),
        (
            r#"{"customer":"","items":[{"price":1,"count":1},{"price":"x"}]}"#,
            "/items/1/price: must be a number, not \"x\"",
        ),
        (
            r#"{"customer":"","items":[{"price":1,"count":-1}]}"#,
            "/items/0/count: must be a whole number from 0 to 255, not -1",
        ),
        (
            r#"{"customer":"","items":[{"prize":1}]}"#,
            "/items/0/prize: is not known here; known are price or count",
        ),
    ] {
        let detail = format!("the JSON does not fit: {}", field.replacen(':', "", 1));
        let answer = post(&mut client, "/json", JSON, body);
        is_problem(&answer, 422, &detail, field);
        answer.keeps();
        for internal in ["Order", "Item", "u8", "f64", "struct", "serde"] {
            assert!(!answer.text().contains(internal), "{}", answer.text());
        }
    }
    is_problem(
        &post(&mut client, "/json", JSON, "[]"),
        422,
        "the JSON must be an object, not of length 0",
        "",
    );
}

#[test]
fn json_that_is_none() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (body, detail) in [
        ("", "the JSON is malformed in line 1, column 0: EOF while parsing a value"),
        ("{\n\"customer\" 1}", "the JSON is malformed in line 2, column 12: expected `:`"),
        (r#"{"customer":"","items":[]}]"#, "the JSON is malformed in line 1, column 27: trailing characters"),
        ("{\"customer\" ", "the JSON is malformed in line 1, column 12: EOF while parsing an object"),
    ] {
        is_problem(&post(&mut client, "/json", JSON, body), 400, detail, "");
    }
    let foreign = "the JSON is malformed in line 1, column 2: invalid unicode code point";
    is_problem(&post(&mut client, "/json", JSON, b"\"\xff\""), 400, foreign, "");
}

#[test]
fn wrong_types_and_too_much() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let json = "the body must be JSON: send Content-Type: application/json";
    for content_type in ["", "text/plain", "text/json", "application/jsonx", "application/json, text/plain"] {
        is_problem(&post(&mut client, "/json", content_type, "{}"), 415, json, "");
    }
    let form = "the body must be a form: send Content-Type: application/x-www-form-urlencoded";
    for content_type in ["", JSON, "multipart/form-data; boundary=x"] {
        is_problem(&post(&mut client, "/form", content_type, "user=1"), 415, form, "");
    }
    is_problem(
        &post(&mut client, "/text", "text/plain; charset=latin1", "a"),
        415,
        "the text must be UTF-8",
        "",
    );
    for (path, content_type, limit) in
        [("/json", JSON, 200), ("/form", FORM, 100), ("/text", "", 10), ("/bytes", "", 10)]
    {
        let body = vec![b' '; limit + 1];
        let detail = format!("the body is longer than {limit} bytes");
        is_problem(&post(&mut client, path, content_type, &body), 413, &detail, "");
        // The same without an announced length.
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nTransfer-Encoding: \
             chunked\r\n\r\n"
        );
        for byte in &body {
            request += &format!("1\r\n{}\r\n", char::from(*byte));
        }
        is_problem(&client.ask(request + "0\r\n\r\n"), 413, &detail, "");
    }
    post(&mut client, "/bytes", "", "0123456789").is(200, "0123456789");
    post(&mut client, "/stream", "", vec![b'x'; 100_000]).is(200, "100000");
}

#[test]
fn forms() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    post(&mut client, "/form", FORM, "user=a+b%2B&remember=on").is(200, r#"{"user":"a b+","remember":true}"#);
    post(&mut client, "/form", &format!("{FORM};charset=UTF-8"), "user=ä")
        .is(200, r#"{"user":"ä","remember":false}"#);
    for (body, status, field) in [
        ("", 422, "user: is missing"),
        ("user=a&user=b", 422, "user: must be given once, not 2 times"),
        ("user=a&remember=x", 422, "remember: must be true or false, not \"x\""),
        ("user=%zz", 422, "user: has a percent sign without two hexadecimal digits; write %25 for one"),
    ] {
        let status = if body.contains('%') { 400 } else { status };
        let detail = format!("the form does not fit: {}", field.replacen(':', "", 1));
        is_problem(&post(&mut client, "/form", FORM, body), status, &detail, field);
    }
    is_problem(&post(&mut client, "/form", FORM, b"user=\xff"), 400, "the form is not UTF-8 at byte 5", "");
    is_problem(&post(&mut client, "/form", FORM, "a&b&c&d&e"), 413, "the form has more than 4 fields", "");
}

#[test]
fn text() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    post(&mut client, "/text", "text/plain; charset=\"UTF-8\"", "ä").is(200, "ä");
    post(&mut client, "/text", "", "").is(200, "");
    is_problem(&post(&mut client, "/text", "", b"ab\xff"), 400, "the body is not UTF-8 at byte 2", "");
}

/// Whatever a client sends is answered, and never with a 5xx status.
#[test]
fn any_bytes_are_answered() {
    use proptest::prelude::*;

    let server = host(router);
    let client = std::cell::RefCell::new(Client::connect(server.addr));
    proptest!(ProptestConfig::with_cases(300), |(
        path in prop_oneof![Just(("/json", JSON)), Just(("/form", FORM)), Just(("/text", ""))],
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            r#"[{"customer":,\[\]pricount0-9 truefalsn]{0,60}"#.prop_map(String::into_bytes),
            "[user=%&+0-9a-f]{0,40}".prop_map(String::into_bytes),
        ],
    )| {
        let answer = client.borrow_mut().ask(posted(path.0, path.1, &body));
        prop_assert!([200, 400, 413, 422].contains(&answer.status), "{}", answer.status);
    });
}
