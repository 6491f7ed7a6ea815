//! Host, path, method; nesting; misses; and mistakes reported when routes are built.

use quoit::http::status::Status;
use quoit::service::{Context, Html, IntoResponse, Problem, Request, Response, RouteMistake, Router, State};

use crate::common::{Client, Hosted, lenient, serve_with};

/// Responds with the route and its parameters.
async fn show(context: Context) -> String {
    let mut text = context.route();
    context.each_parameter(|name, value| text.push_str(&format!(" {name}={value}")));
    text
}

fn host(make: impl Fn() -> Router + Clone + Send + Sync + 'static) -> Hosted {
    serve_with(1, lenient(), move |_| make().build().expect("sound routes"))
}

fn ask(client: &mut Client, method: &str, path: &str) -> crate::common::Response {
    client.ask(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
}

#[test]
fn the_most_specific_route_answers() {
    let server = host(|| {
        let versioned = Router::new().get("/", show).get("/{x}", show).fallback(async || "nested miss");
        Router::new()
            .get("/", show)
            .get("/users/{id}", show)
            .get("/users/me", show)
            .get("/files/{*path}", show)
            .get("/{a}/{b}/{c}", show)
            .nest("/v/{version}", versioned)
    });
    let mut client = Client::connect(server.addr);
    for (path, body) in [
        ("/", "/"),
        ("/users/7", "/users/{id} id=7"),
        ("/users/me", "/users/me"),
        ("/users/%6De", "/users/me"),
        ("/users/a%2Fb?q=/x", "/users/{id} id=a%2Fb"),
        ("/files/", "/files/{*path} path="),
        ("/files/a/b", "/files/{*path} path=a/b"),
        ("/users/7/x", "/{a}/{b}/{c} a=users b=7 c=x"),
        ("/v/1", "/v/{version} version=1"),
        ("/v/1/y", "/v/{version}/{x} version=1 x=y"),
        ("/v/1/y/z", "nested miss"),
        ("http://other/users/9", "/users/{id} id=9"),
    ] {
        ask(&mut client, "GET", path).is(200, body);
    }
}

#[test]
fn methods_follow_the_path() {
    let server = host(|| {
        Router::new()
            .get("/a", show)
            .post("/a", async || (Status::CREATED, "made"))
            .on("PROPFIND", "/a", async || "found")
            .any("/any", async |request: Request| request.head().method_str().to_owned())
            .delete("/any", async || ())
    });
    let mut client = Client::connect(server.addr);
    ask(&mut client, "GET", "/a").is(200, "/a");
    ask(&mut client, "POST", "/a").is(201, "made");
    ask(&mut client, "PROPFIND", "/a").is(200, "found");
    ask(&mut client, "BREW", "/any").is(200, "BREW");
    // RFC 9110 §9.1: a method of another path is known, one of no path is not.
    ask(&mut client, "PROPFIND", "/any-but-this").has_status(404);
    ask(&mut client, "BREW", "/a").has_status(501);
    ask(&mut client, "brew", "/nowhere").has_status(501);
    ask(&mut client, "get", "/a").has_status(501);
    ask(&mut client, "TRACE", "/a").has_status(405);
    ask(&mut client, "OPTIONS", "/any").is(200, "OPTIONS");
    assert_eq!(ask(&mut client, "DELETE", "/any").status, 204);

    let head = client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").response_to("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("2")));
    let options = ask(&mut client, "OPTIONS", "/a");
    assert_eq!((options.status, options.field("allow")), (204, Some("GET, HEAD, POST, PROPFIND, OPTIONS")));
    let refused = ask(&mut client, "DELETE", "/a");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, POST, PROPFIND, OPTIONS")));
    assert_eq!(refused.field("content-type"), Some("application/problem+json"));
    assert!(refused.text().contains("DELETE is not among"), "{}", refused.text());
    assert_eq!(ask(&mut client, "OPTIONS", "*").status, 204);
}

#[test]
fn what_is_not_there_is_a_problem_document() {
    let server = host(|| Router::new().get("/a/{x}", show).get("/b/{*rest}", show));
    let mut client = Client::connect(server.addr);
    let missing = ask(&mut client, "GET", "/nothing");
    let text =
        r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"nothing is at this path"}"#;
    missing.is(404, text);
    assert_eq!(missing.field("content-type"), Some("application/problem+json"));
    ask(&mut client, "GET", "/b/...").is(200, "/b/{*rest} rest=...");
    ask(&mut client, "GET", "//b/./x").is(200, "/b/{*rest} rest=x");
    for path in ["/a/..", "/a/%2e%2E", "/b/x/../y", "/b/x%2F..%2Fy"] {
        let mut client = Client::connect(server.addr);
        ask(&mut client, "GET", path).has_status(400).says_close();
    }
}

#[test]
fn hosts_have_routes_of_their_own() {
    let server = host(|| {
        Router::new()
            .get("/", async || "any")
            .host("API.example.com", Router::new().get("/", async || "api"))
            .host("*.example.com", Router::new().get("/", async || "below"))
            .host("*.deep.example.com", Router::new().get("/", async || "deep"))
    });
    let mut client = Client::connect(server.addr);
    for (host, body) in [
        ("api.example.com", "api"),
        ("Api.Example.com:8080", "api"),
        ("api.example.com.", "api"),
        ("x.example.com", "below"),
        ("a.deep.example.com", "deep"),
        ("example.com", "any"),
        ("notexample.com", "any"),
        ("127.0.0.1", "any"),
    ] {
        client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is(200, body);
    }
    assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: api.example.com\r\n\r\n").status, 404);
}

#[test]
fn problems_are_told_in_one_place() {
    struct Broke(&'static str);
    impl IntoResponse for Broke {
        fn into_response(self) -> Response {
            Problem::new(Status::CONFLICT).detail(self.0).into_response()
        }
    }
    let server = host(|| {
        let inner = Router::new()
            .get("/fails", async || Err::<(), _>(Broke("twice")))
            .get("/plain", async || (Status::CONFLICT, "plain"));
        Router::new().nest("/inner", inner).problems(|context, problem| {
            let text =
                format!("{}: {} {}", context.head().path(), problem.status().code(), problem.detail_text());
            Html(text).into_response().with_status(problem.status())
        })
    });
    let mut client = Client::connect(server.addr);
    ask(&mut client, "GET", "/inner/fails").is(409, "/inner/fails: 409 twice");
    ask(&mut client, "GET", "/inner/plain").is(409, "plain");
    ask(&mut client, "GET", "/no").is(404, "/no: 404 nothing is at this path");
    ask(&mut client, "PUT", "/inner/fails").is(405, "/inner/fails: 405 PUT is not among GET, HEAD, OPTIONS");
}

#[test]
fn states_come_from_the_nearest_router() {
    struct Name(&'static str);
    async fn name(name: State<Name>) -> &'static str {
        name.0
    }
    let server = host(|| {
        let inner = Router::new().get("/", name).state(Name("inner"));
        Router::new().get("/outer", name).nest("/inner", inner).state(Name("outer"))
    });
    let mut client = Client::connect(server.addr);
    ask(&mut client, "GET", "/outer").is(200, "outer");
    ask(&mut client, "GET", "/inner").is(200, "inner");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let router = Router::new()
        .get("/u/{id}", show)
        .get("/u/{name}", show)
        .get("nothing", show)
        .on("B@D", "/", show)
        .get("/state", async |_: State<u8>| "")
        .post("/twice", async |_: String, _: Request| "")
        .nest("/x/", Router::new())
        .nest("/y", Router::new().host("a.b", Router::new()))
        .host("a b", Router::new())
        .host("c.d", Router::new())
        .host("C.d", Router::new());
    let errors = router.build().err().expect("mistakes");
    let text = errors.to_string();
    for part in [
        "route GET /u/{name} (tests/router/routes.rs:",
        "it answers the same requests as GET /u/{id} (tests/router/routes.rs:",
        "route GET nothing (",
        "a path begins with a slash",
        "route B@D / (",
        "route GET /state (",
        "State<u8>",
        "route POST /twice (",
        "more than one of its arguments takes the body",
        "route /x/ (",
        "route a.b (",
        "route a b (",
        "route C.d (",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(errors.iter().count(), 9, "{text}");
    assert!(errors.iter().any(|error| matches!(error.mistake, RouteMistake::Conflict { .. })));
}
