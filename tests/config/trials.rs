//! `[[test]]`: what is expected of requests is held against what the plan does.

use super::config;

const SERVED: &str = r#"
filters = ["request_id", { headers = { X-Site = "default" } }]

[tls.main]
self_signed = "shop.test"

[upstreams.api]
endpoints = ["127.0.0.1:1"]

[upstreams.canary]
endpoints = ["127.0.0.1:2"]

[[route]]
prefix = "/api"
proxy = "api"

[[route]]
prefix = "/old"
proxy = { to = "api", strip_prefix = "/old", add_prefix = "/new%20x" }

[[route]]
path = "/split"
proxy = { to = { api = 95, canary = 5, off = 0 } }

[upstreams.off]
endpoints = ["127.0.0.1:3"]

[[route]]
path = "/login"
methods = "POST"
respond = { status = 403, json = "{\"error\":\"no\"}" }

[[route]]
path = "/version"
respond = "one"

[[route]]
path = "/version"
when = { headers = { X-Version = "2" } }
respond = "two"

[[route]]
path = "/version"
methods = "GET"
when = { headers = { X-Version = "2" }, query = { preview = true, old = false } }
respond = "three"

[[site]]
host = "*.shop.test"
filters = [{ https = { redirect_to = 443 } }]
redirect = "/elsewhere"
"#;

/// The differences of this test, a line each.
fn run(test: &str) -> Vec<String> {
    let config = config(&format!("{SERVED}\n[[test]]\n{test}\n"));
    assert_eq!(config.tests.len(), 1);
    config.tests[0].run(&config).iter().map(ToString::to_string).collect()
}

#[test]
fn what_holds_has_no_differences() {
    for test in [
        "request = \"GET /api/users?a=b\"\nexpect = { status = 200, upstream = \"api\", route = \
         \"/api/{*rest}\" }",
        "request = \"GET /split\"\nexpect = { upstream = [\"canary\", \"api\"], route = \"any /split\" }",
        "request = \"POST /login\"\nbody = \"x\"\nexpect = { status = 403, body = \"error\", site = \
         \"default\" }",
        "request = \"GET /login\"\nexpect = { status = 405, headers = { Allow = \"POST, OPTIONS\" } }",
        "request = \"/none\"\nexpect = { status = 404, headers = { X-Request-Id = true, X-Site = \
         \"default\" } }",
        "request = \"http://a.shop.test/x\"\nexpect = { status = 308, site = \"*.shop.test\" }",
        "request = \"https://a.shop.test/x\"\nexpect = { status = 307, headers = { Location = \
         \"/elsewhere\" } }",
        "request = \"GET /x\"\nheaders = { Host = \"b.shop.test\" }\nexpect = { site = \"*.shop.test\" }",
        "request = \"GET /version\"\nexpect = { body = \"one\", route = \"/version\" }",
        "request = \"GET /version\"\nheaders = { X-Version = \"2\" }\nexpect = { body = \"two\", route = \
         \"any /version\" }",
        "request = \"GET /version?preview\"\nheaders = { x-version = \"2\" }\nexpect = { body = \"three\", \
         route = 'GET /version when field X-Version is \"2\" and query parameter old is not there and query \
         parameter preview is there' }",
        "request = \"POST /version?preview\"\nheaders = { x-version = \"2\" }\nexpect = { body = \"two\" }",
        "request = \"/version?preview&old\"\nheaders = { x-version = \"2\" }\nexpect = { body = \"two\" }",
        "request = \"GET /old/a%2Fb?c\"\nexpect = { path = \"/new%20x/a%2Fb?c\" }",
        "request = \"GET /old\"\nexpect = { path = \"/new%20x/\" }",
        "request = \"GET //api/./x\"\nexpect = { path = \"/api/x\" }",
        "request = \"GET /api\"\nanswer = { status = 503, text = \"busy\" }\nexpect = { status = 503, body \
         = \"busy\" }",
    ] {
        assert_eq!(run(test), [""; 0], "{test}");
    }
}

/// No spelling reaches what an access rule keeps, and none passes for a prefix that it only looks like.
#[test]
fn edges_of_prefixes_and_hosts() {
    const CONFIG: &str = r#"
respond = "other"
[[route]]
prefix = "/api"
respond = "api"
[[route]]
prefix = "/admin"
respond = { status = 403, text = "kept" }
[[site]]
host = "a.test"
respond = "a"
[[site]]
host = "*.w.test"
respond = "w"
[[site]]
host = "xn--e1a.test"
respond = "x"
"#;
    let parent = "400, the path has a .. segment";
    let mut tests = String::new();
    for (target, body) in [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api?x", "api"),
        ("/%61pi", "api"),
        ("//api", "api"),
        ("/./api", "api"),
        ("/apix", "other"),
        ("/API", "other"),
        ("/api%2Fx", "other"),
        ("/api;v=1/x", "other"),
        ("/admin", "kept"),
        ("/%61dmin/x", "kept"),
        ("//admin", "kept"),
        ("/api/./%2e/x", "api"),
        ("/./admin//x", "kept"),
        ("http://a.test/", "a"),
        ("http://A.TEST/", "a"),
        ("http://a.test./", "a"),
        ("http://a.test:8080/", "a"),
        ("http://a.test:0443/", "a"),
        ("http://b.a.test/", "other"),
        ("http://x.y.w.test/", "w"),
        ("http://w.test/", "other"),
        ("http://xn--e1a.test/", "x"),
        ("http://[::1]:80/", "other"),
    ] {
        tests += &format!("[[test]]\nrequest = \"{target}\"\nexpect = {{ body = \"{body}\" }}\n");
    }
    for target in ["/x/../api", "/api/../admin", "/api/%2e%2e/admin", "/..", "/api/.%2E"] {
        tests += &format!("[[test]]\nrequest = \"{target}\"\nexpect = {{ route = \"{parent}\" }}\n");
    }
    let config = config(&format!("{CONFIG}{tests}"));
    for test in &config.tests {
        let found: Vec<String> = test.run(&config).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{test:?}: {found:?}");
    }
}

#[test]
fn what_does_not_hold_is_told_with_what_was_found() {
    for (test, expected) in [
        (
            "request = \"GET /login\"\nexpect = { status = 200, route = \"/login\" }",
            &[
                "route: expected /login, found 405, allowed are POST, OPTIONS",
                "status: expected 200, found 405",
            ][..],
        ),
        (
            "request = \"GET /api/x?y\"\nexpect = { upstream = \"canary\", path = \"/x\" }",
            &["upstream: expected canary, found api", "path: expected /x, found /api/x?y"],
        ),
        (
            "request = \"POST /login\"\nexpect = { upstream = \"api\", body = \"yes\" }",
            &[
                "body: expected one with \"yes\", found \"{\\\"error\\\":\\\"no\\\"}\"",
                "upstream: expected api, found not forwarded",
            ],
        ),
        (
            "request = \"/\"\nexpect = { site = \"a.test\", headers = { X-Site = false, X-No = true, Via = \
             \"q\" } }",
            &[
                "site: expected a.test, found default",
                "header X-Site: expected none, found default",
                "header X-No: expected any value, found none",
                "header Via: expected q, found none",
            ],
        ),
    ] {
        assert_eq!(run(test), expected, "{test}");
    }
    let refused = run("request = \"GET /a\"\nheaders = { Host = \"a b\" }\nexpect = { status = 200 }");
    assert!(
        refused[0].starts_with("request: expected an answer, found a server refuses this with 400"),
        "{refused:?}"
    );
}
