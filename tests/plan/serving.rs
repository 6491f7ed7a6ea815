//! Plans that are built and served: hosts, routes, filters and handlers work as planned.

use std::convert::Infallible;
use std::fs;

use quoit::filter::{FieldsOptions, RequestIdOptions};
use quoit::handler::{DirectoryOptions, RedirectOptions};
use quoit::harness::{Call, on_core};
use quoit::http::status::Status;
use quoit::net::Address;
use quoit::plan::{CustomFilter, FilterOptions, HandlerOptions, Plan, Route, Site};
use quoit::service::{BodyPolicy, Next, Request, Response, Router};
use quoit::{RunError, Server};

use crate::common::Client;

fn field(name: &str, value: &str) -> FilterOptions {
    FilterOptions::Fields(FieldsOptions { fields: vec![(name.to_owned(), value.to_owned())] })
}

#[test]
fn requests_reach_what_the_plan_names() {
    let api = HandlerOptions::custom("api", |_core| {
        Router::new().get("/v1/{name}", async |request: Request| request.head().path().to_owned()).build()
    });
    let around = CustomFilter::around("around", |_core| {
        Ok::<_, Infallible>(async |request: Request, next: Next<'_>| -> Response {
            next.run(request).await.field("X-Around", "yes").unwrap()
        })
    });
    let moved = RedirectOptions { status: Status::SEE_OTHER, location: "/new".into() };
    let site = Site::new()
        .filter(field("X-Site", "a"))
        .filter(FilterOptions::RequestId(RequestIdOptions::default()))
        .route(Route::any("/v1/{*rest}", api).filter(FilterOptions::Custom(around)))
        .route(Route::get("/old", HandlerOptions::Redirect(moved)))
        .route(Route::new(["GET", "POST"], "/both", HandlerOptions::text("both")));
    let default = Site::of(HandlerOptions::text("default"));
    let plan = Plan::builder()
        .site("a.test", site)
        .site("*.a.test", Site::new())
        .default_site(default.filter(field("X-Site", "default")))
        .build();
    on_core(async move |core| {
        let service = plan.build(&core).unwrap_or_else(|errors| panic!("{errors}"));
        let ask = async |method: &str, host: &str, path: &str| {
            Call::new(method, path).header("Host", host).send(&service).await
        };
        let response = ask("GET", "a.test", "/v1/x").await;
        assert_eq!((response.status(), response.text()), (200, "/v1/x"));
        assert_eq!(response.header("X-Site"), Some("a"));
        assert_eq!(response.header("X-Around"), Some("yes"));
        assert!(response.header("X-Request-Id").is_some());
        let response = ask("GET", "a.test", "/old").await;
        assert_eq!((response.status(), response.header("Location")), (303, Some("/new")));
        assert_eq!(response.header("X-Around"), None);
        for method in ["GET", "POST"] {
            assert_eq!(ask(method, "a.test", "/both").await.text(), "both");
        }
        let response = ask("PUT", "a.test", "/both").await;
        assert_eq!((response.status(), response.header("Allow")), (405, Some("GET, HEAD, POST, OPTIONS")));
        let response = ask("GET", "a.test", "/nothing").await;
        assert_eq!((response.status(), response.header("X-Site")), (404, Some("a")));
        // A site takes over nothing from the default one.
        let response = ask("GET", "b.a.test", "/").await;
        assert_eq!((response.status(), response.header("X-Site")), (404, None));
        let response = ask("GET", "else.test", "/v1/x").await;
        assert_eq!((response.text(), response.header("X-Site")), ("default", Some("default")));
    });
}

#[test]
fn a_plan_with_mistakes_starts_no_server() {
    let any = || Address::Inet(([127, 0, 0, 1], 0).into());
    let missing = HandlerOptions::Files(DirectoryOptions::new("/no/such/dir"));
    let plan = Plan::builder().listen(any()).default_site(Site::of(missing)).build();
    match Server::new().workers(1).quiet(true).start_plan(plan) {
        Err(error @ RunError::Plan(_)) => {
            assert!(error.to_string().starts_with("cannot serve /no/such/dir: "))
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it started"),
    }
    // What can only be seen on a core is found there, and ends the start as well.
    let failing = HandlerOptions::custom("app", |_core| {
        Err::<fn(Request) -> std::future::Ready<Response>, _>("no database")
    });
    let plan = Plan::builder().listen(any()).default_site(Site::of(failing)).build();
    let error = Server::new().workers(1).quiet(true).start_plan(plan).err().expect("it has no database");
    assert_eq!(error.to_string(), "custom `app`: no database");
}

#[test]
fn a_plan_without_listeners_is_served_where_the_server_listens() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "here").unwrap();
    let files = HandlerOptions::Files(DirectoryOptions::new(dir.path()));
    let plan = Plan::builder().default_site(Site::of(files)).build();
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let running = Server::new().listen(any.clone()).workers(1).quiet(true).start_plan(plan).unwrap();
    assert_eq!(running.plan().unwrap().listeners[0].address, any);
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    Client::connect(addr).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "here");
    running.stop().unwrap();
}

#[test]
fn bodies_are_judged_by_the_nearest_policy() {
    let up_to = |bytes| BodyPolicy { bytes_max: Some(bytes), ..BodyPolicy::default() };
    let site = Site::of(HandlerOptions::text("taken"))
        .body_policy(up_to(4))
        .route(Route::any("/more", HandlerOptions::text("taken")).body_policy(up_to(8)));
    let plan = Plan::builder().default_site(site).build();
    assert!(
        plan.to_string().contains("route any /more\n   │  ├─ bodies up to 8 bytes, 240 bytes/s over 30 s")
    );
    assert_eq!(plan.explain("PUT", "/more", &[]).unwrap().body_policy, Some(up_to(8)));
    assert_eq!(plan.explain("PUT", "/", &[]).unwrap().body_policy, Some(up_to(4)));
    let mut other = plan.clone();
    other.default_site.body_policy = None;
    let change = "- default site, bodies: bodies up to 4 bytes, 240 bytes/s over 30 s";
    assert_eq!(plan.diff(&other).to_string(), change);
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let running = Server::new().listen(any).workers(1).quiet(true).start_plan(plan).unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    for (path, length, status) in [("/", 4, 200), ("/", 5, 413), ("/more", 8, 200), ("/more", 9, 413)] {
        let mut client = Client::connect(addr);
        client.send(format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        client.send(vec![b'x'; length]);
        client.response().has_status(status);
    }
    running.stop().unwrap();
}
