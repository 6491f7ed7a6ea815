//! Redirects: which are followed, with which method, content and credentials.

use bytes::Bytes;
use quoit::client::{ClientBody, ClientErrorKind, ClientOptions, RequestBuilder};
use quoit::http::status::Status;

use crate::lab::{Endpoint, field};

/// Answers `/STATUS?TARGET` with a redirect to the target, and everything else with the method, the path, the
/// content and what matters of the fields.
fn site() -> Endpoint {
    Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            let body = String::from_utf8(wire.body(&head)).unwrap();
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let text = match path.split_once('?') {
                Some((status, to)) => format!(
                    "HTTP/1.1 {} Moved\r\nLocation: {to}\r\nContent-Length: 5\r\n\r\n{}",
                    &status[1..],
                    if method == "HEAD" { "" } else { "moved" },
                ),
                None => {
                    let shown = ["authorization", "cookie", "content-type", "x-a"];
                    let shown = shown.map(|name| field(&head, name).unwrap_or("-")).join(" ");
                    let text = format!("{method} {path} {body} {shown}");
                    let length = text.len();
                    let text = if method == "HEAD" { String::new() } else { text };
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}")
                }
            };
            wire.send(text);
        }
    })
}

async fn text(request: RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

#[test]
fn method_and_content_change_as_the_status_says() {
    let site = site();
    crate::default(async move |client, _| {
        for (status, method, expected) in [
            (301, "POST", "GET /b  - - - a"),
            (302, "POST", "GET /b  - - - a"),
            (303, "POST", "GET /b  - - - a"),
            (307, "POST", "POST /b abc - - x/y a"),
            (308, "POST", "POST /b abc - - x/y a"),
            (301, "PUT", "PUT /b abc - - x/y a"),
            (302, "DELETE", "DELETE /b abc - - x/y a"),
            (303, "PUT", "GET /b  - - - a"),
            (303, "GET", "GET /b abc - - x/y a"),
        ] {
            let request = client.request(method, format!("http://{}/{status}?/a/../b", site.addr));
            let request = request.body("abc").header("Content-Type", "x/y").header("X-A", "a");
            assert_eq!(text(request).await, expected, "{status} {method}");
        }
        let head = client.head(format!("http://{}/303?/b", site.addr)).send().await.unwrap();
        assert!(head.status() == Status::OK && head.url().ends_with("/b"));
        assert_eq!(site.seen.accepted(), 1, "small responses do not cost the connection");
    });
}

#[test]
fn credentials_stay_with_their_origin() {
    let (site, other) = (site(), site());
    crate::default(async move |client, _| {
        let get = |to: &str| {
            let request = client.get(format!("http://{}/302?{to}", site.addr));
            request.bearer_auth("t").header("Cookie", "c=1").header("X-A", "a")
        };
        assert_eq!(text(get("/b")).await, "GET /b  Bearer t c=1 - a");
        assert_eq!(text(get(&format!("http://{}/b", site.addr))).await, "GET /b  Bearer t c=1 - a");
        // Another port is another origin.
        assert_eq!(text(get(&format!("http://{}/b", other.addr))).await, "GET /b  - - - a");
        assert_eq!(text(get(&format!("//{}/b", other.addr))).await, "GET /b  - - - a");
        // Nor do they come back.
        let back = format!("http://{}/302?http://{}/b", other.addr, site.addr);
        assert_eq!(text(get(&back)).await, "GET /b  - - - a");
    });
}

#[test]
fn what_is_not_followed() {
    let site = site();
    crate::default(async move |client, _| {
        let at = |path: &str| format!("http://{}/{path}", site.addr);
        // A loop ends after ten.
        let before = site.seen.requests();
        let looping = client.get(at("302?302?302")).redirects_max(10);
        drop(looping);
        let error = client.get(at("302??")).send().await.unwrap_err();
        assert_eq!((error.kind(), error.may_retry()), (ClientErrorKind::Redirect, false), "{error}");
        assert_eq!(site.seen.requests() - before, 11);
        let response = client.get(at("302?/b")).redirects_max(0).send().await.unwrap();
        assert_eq!((response.status().code(), response.header("location")), (302, Some("/b")));
        assert_eq!(response.text().await.unwrap(), "moved");
        for wrong in ["javascript:alert(1)", "http://user@a.test/", "file:///etc/passwd", "http://127.1/"] {
            let error = client.get(at(&format!("302?{wrong}"))).send().await.unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::Redirect, "{error}");
        }
        // 300 and 304 are no redirects.
        let response = client.get(at("300?/b")).send().await.unwrap();
        assert_eq!(response.status().code(), 300);
        // A stream that was sent is gone.
        let pieces = || futures_util::stream::iter([Ok::<_, String>(Bytes::from(vec![b'a'; 100_000]))]);
        let error = client.post(at("307?/b")).body(ClientBody::stream(pieces())).send().await.unwrap_err();
        assert_eq!((error.kind(), error.may_retry()), (ClientErrorKind::Redirect, false), "{error}");
        let found = text(client.post(at("303?/b")).body(ClientBody::stream(pieces()))).await;
        assert_eq!(found, "GET /b  - - - -");
    });
}

#[test]
fn content_in_memory_is_sent_again_whatever_its_size() {
    let site = site();
    crate::default(async move |client, _| {
        let large = "a".repeat(1 << 20);
        let request = client.post(format!("http://{}/308?/b", site.addr)).body(large.clone());
        assert_eq!(text(request).await, format!("POST /b {large} - - - -"));
    });
}

#[test]
fn options_are_for_every_hop() {
    let site = site();
    let fields = vec![("User-Agent".to_owned(), "me".to_owned()), ("X-A".to_owned(), "default".to_owned())];
    crate::with(ClientOptions { fields, ..ClientOptions::default() }, async move |client, _| {
        let at = format!("http://{}/302?/b", site.addr);
        assert_eq!(text(client.get(&at)).await, "GET /b  - - - default");
        assert_eq!(text(client.get(&at).header("x-a", "own")).await, "GET /b  - - - own");
        assert_eq!(field(&site.seen.head(1), "user-agent"), Some("me"));
    });
}
