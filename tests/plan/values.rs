//! Plans as values: printed, compared, explained, and refused with all their mistakes at once.

use std::convert::Infallible;
use std::time::Duration;

use quoit::filter::{
    BasicAuthOptions, CompressOptions, CorsOptions, ErrorPagesOptions, FieldsOptions, HttpsOptions,
    PageSource, RequestIdOptions, SecurityHeadersOptions, TimeoutOptions,
};
use quoit::handler::{DirectoryOptions, FilesOptions, MountsOptions, RedirectOptions, RespondOptions};
use quoit::http::status::Status;
use quoit::net::tls::{TlsOptions, TlsServer};
use quoit::plan::{
    CustomFilter, FilterOptions, HandlerOptions, Plan, PlanChangeKind, Reason, Responder, Route, Site,
};
use quoit::service::{Context, Filter, Request, Response};

fn text(text: &'static str) -> HandlerOptions {
    HandlerOptions::text(text)
}

fn custom(name: &str) -> HandlerOptions {
    HandlerOptions::custom(name, |_core| Ok::<_, Infallible>(async |_: Request| Response::text("custom")))
}

struct Nothing;

impl Filter for Nothing {
    fn after(&self, _context: &Context, _response: &mut Response) {}
}

/// A plan with a bit of everything that needs no file.
fn plan() -> Plan {
    let api = Site::new()
        .filter(FilterOptions::RequestId(RequestIdOptions::default()))
        .filter(FilterOptions::Cors(CorsOptions::default()))
        .route(Route::get("/users/{id}", text("user")))
        .route(Route::new(["DELETE"], "/users/{id}", text("gone")))
        .route(Route::get("/users/me", text("me")).filter(FilterOptions::Timeout(TimeoutOptions::default())))
        .route(Route::any("/files/{*path}", text("file")));
    let old = HandlerOptions::Redirect(RedirectOptions {
        status: Status::PERMANENT_REDIRECT,
        location: "https://api.test/".into(),
    });
    Plan::builder()
        .listen("127.0.0.1:8080".parse().unwrap())
        .listen("unix:/run/a.sock".parse().unwrap())
        .site("api.test", api)
        .site("*.old.test", Site::of(old))
        .default_site(Site::of(HandlerOptions::Welcome))
        .build()
}

#[test]
fn a_plan_is_printed_as_a_tree() {
    assert_eq!(
        plan().to_string(),
        "plan\n\
         ├─ listen on http://127.0.0.1:8080\n\
         ├─ listen on unix:/run/a.sock\n\
         ├─ site api.test\n\
         │  ├─ filter request-id\n\
         │  ├─ filter cors for every origin\n\
         │  ├─ route GET /users/{id}\n\
         │  │  └─ respond 200 OK, 4 bytes, Content-Type: text/plain; charset=utf-8\n\
         │  ├─ route DELETE /users/{id}\n\
         │  │  └─ respond 200 OK, 4 bytes, Content-Type: text/plain; charset=utf-8\n\
         │  ├─ route GET /users/me\n\
         │  │  ├─ filter timeout after 30 s\n\
         │  │  └─ respond 200 OK, 2 bytes, Content-Type: text/plain; charset=utf-8\n\
         │  ├─ route any /files/{*path}\n\
         │  │  └─ respond 200 OK, 4 bytes, Content-Type: text/plain; charset=utf-8\n\
         │  └─ otherwise 404\n\
         ├─ site *.old.test\n\
         │  └─ otherwise redirect 308 to https://api.test/\n\
         └─ default site\n   \
            └─ otherwise welcome page"
    );
}

#[test]
fn every_option_that_is_not_the_default_is_printed() {
    let files = FilesOptions {
        prefix: "/docs".into(),
        list: true,
        index: vec!["a.html".into(), "b.html".into()],
        cache_control: vec!["*.css=no-cache".parse().unwrap()],
        ..FilesOptions::default()
    };
    let below = vec![DirectoryOptions { path: "/srv/docs".into(), files }];
    let mounts = MountsOptions { root: DirectoryOptions::new("/srv/site"), below };
    assert_eq!(
        HandlerOptions::Mounts(mounts).to_string(),
        "files /srv/site; /docs = /srv/docs, list, index a.html b.html, cache-control *.css=no-cache"
    );
    for (filter, line) in [
        (
            FilterOptions::Https(HttpsOptions { redirect_to_port: Some(443), hsts: None }),
            "https, redirects to port 443",
        ),
        (FilterOptions::Compress(CompressOptions::default()), "compress from 1024 bytes"),
        (
            FilterOptions::BasicAuth(BasicAuthOptions::new("/etc/users")),
            "basic-auth `restricted`, users in /etc/users",
        ),
        (
            FilterOptions::Cors(CorsOptions {
                origins: Some(vec!["https://a.test".into()]),
                credentials: true,
                max_age: Duration::from_secs(5),
                ..CorsOptions::default()
            }),
            "cors for https://a.test, with credentials, remembered for 5 s",
        ),
        (
            FilterOptions::ErrorPages(ErrorPagesOptions {
                pages: vec![
                    (Status::NOT_FOUND, PageSource::File("404.html".into())),
                    (Status::INTERNAL_SERVER_ERROR, PageSource::Html("oh".into())),
                ],
            }),
            "error-pages 404 404.html, 500 (2 bytes)",
        ),
        (FilterOptions::Fields(FieldsOptions { fields: vec![("A".into(), "b".into())] }), "fields A: b"),
        (FilterOptions::Custom(CustomFilter::new("n", |_| Ok::<_, Infallible>(Nothing))), "custom `n`"),
    ] {
        assert_eq!(filter.to_string(), line);
    }
}

#[test]
fn equal_plans_are_equal_and_custom_parts_by_their_function() {
    assert_eq!(plan(), plan());
    assert_eq!(plan().diff(&plan()).to_string(), "no changes");
    let one = Plan { default_site: Site::of(custom("app")), ..plan() };
    assert_eq!(one, one.clone());
    let other = Plan { default_site: Site::of(custom("app")), ..plan() };
    // Two closures of one place in the text may be one function; their boxes are two.
    assert_ne!(one, other);
    assert_eq!(
        one.diff(&other).to_string(),
        "~ default site, fallback: custom `app`, replaced by another of the same description"
    );
}

#[test]
fn a_diff_tells_what_changes_route_by_route() {
    let before = plan();
    let mut after = plan();
    after.listeners.pop();
    after.sites[0].1.filters.pop();
    after.sites[0].1.routes[0].handler = text("another user");
    after.sites[0].1.routes.remove(1);
    after.sites[0].1.routes.push(Route::any("/new", custom("new")));
    after.sites.remove(1);
    let diff = before.diff(&after);
    assert_eq!(
        diff.to_string(),
        "~ site api.test, filters: request-id > cors for every origin -> request-id\n\
         ~ site api.test, route GET /users/{id}: respond 200 OK, 4 bytes, Content-Type: text/plain; \
         charset=utf-8 -> respond 200 OK, 12 bytes, Content-Type: text/plain; charset=utf-8\n\
         + site api.test, route any /new: custom `new`\n\
         - listener unix:/run/a.sock: unix:/run/a.sock\n\
         - site api.test, route DELETE /users/{id}: respond 200 OK, 4 bytes, Content-Type: text/plain; \
         charset=utf-8\n\
         - site *.old.test: a site\n\
         - site *.old.test, fallback: redirect 308 to https://api.test/"
    );
    let back = after.diff(&before);
    assert_eq!(back.changes.len(), diff.changes.len());
    let mut reordered = plan();
    reordered.sites[0].1.routes.reverse();
    let kinds: Vec<_> = before.diff(&reordered).changes.into_iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [PlanChangeKind::Reordered]);
}

#[test]
fn an_explanation_says_what_responds_and_why_nothing_else_does() {
    let explanation = plan().explain("GET", "http://api.test:8080/users/me?x=1", &[]).unwrap();
    assert_eq!(
        explanation.to_string(),
        "listener: http://127.0.0.1:8080\n\
         site: api.test\n\
         filter: request-id\n\
         filter: cors for every origin\n\
         filter: timeout after 30 s, of the route\n\
         response: route GET /users/me: respond 200 OK, 2 bytes, Content-Type: text/plain; charset=utf-8\n\
         request bodies: as the server's limits say (limits)\n\
         not listener unix:/run/a.sock: another port\n\
         not site *.old.test: another host\n\
         not route GET /users/{id}: it matches, but is less specific\n\
         not route DELETE /users/{id}: its methods are DELETE\n\
         not route any /files/{*path}: segment 1 of the path is `users`, not `files`"
    );
    let asked = |method: &str, url: &str| plan().explain(method, url, &[("Host", "api.test")]).unwrap();
    let route = |name: &str| Responder::Route {
        route: name.to_owned(),
        handler: "respond 200 OK, 4 bytes, Content-Type: text/plain; charset=utf-8".to_owned(),
    };
    let allow = |methods: &str| methods.to_owned();
    for (method, url, responder) in [
        ("HEAD", "/users/7", route("GET /users/{id}")),
        ("DELETE", "/users/7", route("DELETE /users/{id}")),
        ("PROPFIND", "/files/a/b", route("any /files/{*path}")),
        ("PUT", "/users/7", Responder::MethodNotAllowed { allow: allow("GET, HEAD, DELETE, OPTIONS") }),
        ("OPTIONS", "/users/7", Responder::Options { allow: allow("GET, HEAD, DELETE, OPTIONS") }),
        ("GET", "/users", Responder::NotFound),
        ("GET", "/files/../x", Responder::ParentSegment),
    ] {
        assert_eq!(asked(method, url).responder, responder, "{method} {url}");
    }
    assert_eq!(
        asked("PUT", "/users/me").filters.len(),
        3,
        "405 passes the filters of its path's first route"
    );
    let explanation = plan().explain("GET", "https://a.b.OLD.test/x", &[]).unwrap();
    assert_eq!((explanation.site.as_str(), explanation.listener), ("*.old.test", None));
    assert_eq!(explanation.passed_over[0].reason, Reason::Scheme);
    let explanation = plan().explain("GET", "/x", &[("host", "else.test:1")]).unwrap();
    assert_eq!(explanation.site, "default site");
    assert_eq!(explanation.responder, Responder::Fallback { handler: "welcome page".to_owned() });
    assert!(plan().explain("GET", "ftp://x/", &[]).unwrap_err().to_string().contains("`ftp://x/`"));
}

#[test]
fn an_explanation_knows_the_filters_that_respond_themselves() {
    let https = FilterOptions::Https(HttpsOptions { redirect_to_port: Some(443), hsts: None });
    let site = Site::of(text("x"))
        .filter(https)
        .filter(FilterOptions::Cors(CorsOptions::default()))
        .filter(FilterOptions::BasicAuth(BasicAuthOptions::new("users")));
    let plan = Plan::builder().default_site(site).build();
    let responds = |method: &str, url: &str, headers: &[(&str, &str)]| {
        let explanation = plan.explain(method, url, headers).unwrap();
        explanation.filters.into_iter().map(|filter| filter.responds.is_some()).collect::<Vec<_>>()
    };
    let password = ("Authorization", "Basic eDp5");
    let preflight = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "PUT"), password];
    assert_eq!(responds("GET", "http://a.test/", &[password]), [true, false, false]);
    assert_eq!(responds("GET", "https://a.test/", &[password]), [false, false, false]);
    assert_eq!(responds("GET", "https://a.test/", &[]), [false, false, true]);
    assert_eq!(responds("OPTIONS", "https://a.test/", &preflight), [false, true, false]);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let broken = Site::new()
        .filter(FilterOptions::SecurityHeaders(SecurityHeadersOptions { policy: Some("a\nb".into()) }))
        .filter(FilterOptions::Cors(CorsOptions { credentials: true, ..CorsOptions::default() }))
        .route(Route::get("users", text("x")))
        .route(Route::get("/a/{b}", text("x")))
        .route(Route::new(["GET", "P UT"], "/a/{c}", text("x")))
        .route(Route::any(
            "/pages",
            HandlerOptions::Respond(RespondOptions {
                status: Status::NO_CONTENT,
                body: "x".into(),
                ..RespondOptions::default()
            }),
        ))
        .fallback(HandlerOptions::Files(DirectoryOptions::new("/no/such/dir")));
    let plan = Plan::builder()
        .site("a.test", broken)
        .site("A.test", Site::new())
        .site("a test", Site::new())
        .default_site(Site::new().filter(FilterOptions::BasicAuth(BasicAuthOptions::new("/no/such/users"))))
        .build();
    let errors = plan.check().unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "site A.test: another site has the same host; join them",
            "site a test: a host is example.com, or *.example.com for every name below it, without a port",
            "site a.test, route GET users: a path begins with a slash",
            "site a.test, route GET /a/{c}: it matches the same requests as GET /a/{b}; remove one or change \
             its pattern",
            "site a.test, route P UT /a/{c}: a method is letters, such as PROPFIND",
            "default site: /no/such/users: there is no such file of users; make one with `htpasswd -cB FILE \
             NAME`",
            "site a.test: a response field's value holds control byte 0x0a; remove or encode it",
            "site a.test: CORS with credentials needs a list of origins; a response to any origin cannot \
             have them",
            "site a.test, route any /pages: a response with the status 204 has no body",
            "site a.test: cannot serve /no/such/dir: there is no such directory; check the spelling, or make \
             it with mkdir",
        ]
    );
    assert!(std::error::Error::source(errors.iter().last().unwrap()).is_some(), "the kernel's reason");
    assert!(plan.explain("GET", "/", &[]).unwrap_err().to_string().contains("same host"));
}

#[test]
fn no_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    std::fs::write(&users, format!("a:{hash}")).unwrap();
    let self_signed = vec!["localhost".to_owned()];
    let tls = TlsServer::new(TlsOptions { self_signed, ..TlsOptions::default() }).unwrap();
    tls.challenges().put_token("t0ken", "t0ken.thumbprint");
    let challenges = quoit::filter::AcmeChallenges::new(tls.challenges().clone());
    let hsts = quoit::filter::HstsOptions { tls: tls.clone(), max_age: Duration::from_secs(60) };
    let site = Site::new()
        .filter(FilterOptions::AcmeChallenges(challenges))
        .filter(FilterOptions::Https(HttpsOptions { redirect_to_port: None, hsts: Some(hsts) }))
        .filter(FilterOptions::BasicAuth(BasicAuthOptions::new(&users)));
    let plan = Plan::builder().listen_tls("127.0.0.1:0".parse().unwrap(), tls).default_site(site).build();
    plan.check().unwrap();
    for printed in [format!("{plan}"), format!("{plan:?}"), format!("{plan:#?}")] {
        assert!(printed.contains("localhost"), "{printed}");
        for secret in ["$2y$", "t0ken", "PRIVATE", "secret"] {
            assert!(!printed.contains(secret), "{secret}: {printed}");
        }
        assert!(printed.len() < 2000, "nothing large is printed: {printed}");
    }
    assert_eq!(plan, plan.clone());
}
