//! Fields, cookies both ways, and the peer.

use std::time::Duration;

use quoit::http::cookie::SetCookie;
use quoit::service::{Cookies, Headers, Json, Peer, Response, Router};

use crate::common::Client;
use crate::{get, host};

fn router() -> Router {
    Router::new()
        .get("/headers", async |headers: Headers| {
            let all: Vec<_> = headers.all("x-a").map(String::from_utf8_lossy).collect();
            format!("{:?} {all:?} {}", headers.text("X-A"), headers.iter().count())
        })
        .get("/cookies", async |cookies: Cookies| {
            let names: Vec<&str> = cookies.iter().map(|(name, _)| name).collect();
            format!("{names:?} {:?} {:?}", cookies.get("a"), cookies.get_bytes("b"))
        })
        .get("/peer", async |peer: Peer| peer.addr().is_some_and(|addr| addr.ip().is_loopback()).to_string())
        .get("/both", async |cookies: Cookies, peer: Peer, headers: Headers| {
            Json((cookies.get("a").map(str::to_owned), peer.addr().is_some(), headers.text("host").is_some()))
        })
        .get("/login", async || {
            let session = SetCookie::new("__Host-id", "31d4").secure().max_age(Duration::from_secs(60));
            Response::text("in").with_cookie(&session).with_cookie(&SetCookie::removal("old"))
        })
}

#[test]
fn fields_are_lent() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let request = "GET /headers HTTP/1.1\r\nHost: a\r\nx-a: 1\r\nX-B: 2\r\nX-A: \t2 \r\n\r\n";
    client.ask(request).is(200, r#"Some("1") ["1", "2"] 4"#);
    get(&mut client, "/headers").is(200, "None [] 1");
    client.ask("GET /headers HTTP/1.1\r\nHost: a\r\nX-A: \u{e4}\r\n\r\n").is(200, "Some(\"ä\") [\"ä\"] 2");
}

#[test]
fn cookies_are_read_from_all_lines() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let request = "GET /cookies HTTP/1.1\r\nHost: a\r\nCookie: a=\"1\"; x\r\ncookie: a=2;b=\u{e4}\r\n\r\n";
    client.ask(request).is(200, r#"["a", "a", "b"] Some("1") Some([195, 164])"#);
    get(&mut client, "/cookies").is(200, "[] None None");
}

#[test]
fn cookies_are_set() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let answer = get(&mut client, "/login");
    let set: Vec<&str> = answer
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(
        set,
        [
            "__Host-id=31d4; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax",
            "old=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"
        ]
    );
}

#[test]
fn the_peer_and_several_arguments_at_once() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    get(&mut client, "/peer").is(200, "true");
    client.ask("GET /both HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n").is(200, r#"["b",true,true]"#);
}
