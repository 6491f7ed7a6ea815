//! The example `aggregate` as a process: it asks both services at once, and says which one fails.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use crate::common::{Binary, Client, Response};
use crate::lab::Endpoint;

fn json(text: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// A service that answers by its path.
fn service(answers: &'static [(&'static str, &'static str)]) -> Endpoint {
    Endpoint::new(move |wire, _| {
        while let Some(head) = wire.head() {
            let path = head.split(' ').nth(1).unwrap();
            match answers.iter().find(|(known, _)| *known == path) {
                Some((_, "never")) => wire.until_closed(),
                Some((_, text)) => wire.send(json(text)),
                None => wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            }
        }
    })
}

fn aggregate(prices: &Endpoint, stock: &Endpoint) -> Binary {
    let url = |endpoint: &Endpoint| format!("http://{}", endpoint.addr);
    Binary::example("aggregate", &["--prices", &url(prices), "--stock", &url(stock)])
}

fn ask(binary: &Binary, id: u32) -> Response {
    Client::connect(binary.addr).ask(format!("GET /items/{id} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn two_answers_become_one() {
    let prices = service(&[
        ("/prices/1", r#"{"cents":250}"#),
        ("/prices/2", r#"{"cents":100}"#),
        ("/prices/3", r#"{"cents":"free"}"#),
        ("/prices/4", "never"),
    ]);
    let stock = service(&[
        ("/stock/1", r#"{"count":3}"#),
        ("/stock/2", "never"),
        ("/stock/3", r#"{"count":3}"#),
        ("/stock/4", r#"{"count":3}"#),
        ("/stock/5", r#"{"count":3}"#),
    ]);
    let binary = aggregate(&prices, &stock);
    let item = |id| -> Value { serde_json::from_slice(&ask(&binary, id).has_status(200).body).unwrap() };
    assert_eq!(item(1), json!({"id": 1, "price_cents": 250, "in_stock": 3}));
    assert_eq!(item(2), json!({"id": 2, "price_cents": 100, "in_stock": null}));
    ask(&binary, 3).has_status(502);
    ask(&binary, 4).has_status(504);
    ask(&binary, 5).has_status(404);
    let said = binary.lines().join("\n");
    assert!(said.contains("/prices/3: /cents must be"), "{said}");
    assert!(said.contains("without stock: GET http://"), "{said}");
}

#[test]
fn both_are_asked_at_once() {
    let barrier = Arc::new(Barrier::new(2));
    let meeting = |text: &'static str| {
        let barrier = barrier.clone();
        Endpoint::new(move |wire, _| {
            wire.head();
            // Each waits until the other was asked too.
            barrier.wait();
            wire.send(json(text));
        })
    };
    let (prices, stock) = (meeting(r#"{"cents":1}"#), meeting(r#"{"count":2}"#));
    let binary = aggregate(&prices, &stock);
    let response = ask(&binary, 1);
    let item: Value = serde_json::from_slice(&response.has_status(200).body).unwrap();
    assert_eq!(item, json!({"id": 1, "price_cents": 1, "in_stock": 2}));
}
