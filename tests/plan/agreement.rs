//! Whatever is asked, the explanation names what responds. The text of each handler is its own name.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use quoit::handler::{DirectoryOptions, MountsOptions};
use quoit::harness::{Call, on_core};
use quoit::plan::{HandlerOptions, Plan, PlanService, Responder, Route, Site};
use quoit::service::Condition;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"];
const HOSTS: [&str; 5] = ["a.test", "A.TEST:80", "b.test", "x.a.test", "else"];
const PATHS: [&str; 20] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/%61/b",
    "/a/x",
    "/a/x/",
    "/c",
    "/c/",
    "/c/d",
    "/c/d/e",
    "/c/d/e/f",
    "/c/./d",
    "/o",
    "//",
    "/nothing",
    "//a//%62",
    "/m/in.txt",
    "/m/",
    "/top.txt",
];
const QUERIES: [&str; 6] = ["", "?v=1", "?v=2", "?v=1&v=2", "?%76=1", "?v=%zz&w"];
const FIELDS: [&[(&str, &str)]; 6] = [
    &[],
    &[("X-A", "1")],
    &[("x-a", "2")],
    &[("X-A", "1"), ("X-A", "2")],
    &[("X-A", "12"), ("X-B", "")],
    &[("X-B", "1")],
];

fn route(host: &str, method: &str, pattern: &str, conditions: Vec<Condition>) -> Route {
    let methods = [method].into_iter().filter(|method| !method.is_empty());
    let route = Route::new(methods, pattern, HandlerOptions::Welcome);
    let named = conditions.into_iter().fold(route, Route::when);
    // Its name as plans are printed.
    let plan = Plan { default_site: Site::new().route(named.clone()), ..Plan::default() };
    let text = plan.to_string();
    let name = text.lines().find_map(|line| line.split_once("route ")).expect("it has a line").1.to_owned();
    Route { handler: HandlerOptions::text(format!("{host}: {name}")), ..named }
}

/// Two directories as one tree, behind the routes of a site.
fn mounts(dir: &std::path::Path) -> HandlerOptions {
    fs::write(dir.join("top.txt"), "mounts").unwrap();
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join("below/in.txt"), "mounts").unwrap();
    let mut below = DirectoryOptions::new(dir.join("below"));
    below.files.prefix = "/m".into();
    HandlerOptions::Mounts(MountsOptions { root: DirectoryOptions::new(dir), below: vec![below] })
}

struct Question {
    method: &'static str,
    host: &'static str,
    target: String,
    fields: &'static [(&'static str, &'static str)],
}

/// Holds the explanation against the response: its status.
async fn compare(plan: &Plan, service: &PlanService, question: &Question) -> u16 {
    let Question { method, host, target, fields } = question;
    let at = format!("{method} {host}{target} {fields:?}\n{plan}");
    let headers: Vec<_> = std::iter::once(("Host", *host)).chain(fields.iter().copied()).collect();
    let explanation = plan.explain(method, target, &headers).unwrap();
    let call = headers.iter().fold(Call::new(method, target), |call, (name, value)| call.header(name, value));
    let response = call.send(service).await;
    let (status, allow) = (response.status(), response.header("Allow").unwrap_or_default());
    let is_read = *method != "HEAD";
    match &explanation.responder {
        Responder::Route { route, .. } => {
            assert_eq!(status, 200, "{at}");
            let name = format!("{}: {route}", explanation.site);
            assert!(!is_read || response.text() == name, "{at}: {name}, {}", response.text());
        }
        Responder::Fallback { handler } if handler.starts_with("files ") => {
            let exists = target.starts_with("/m/in.txt") || target.starts_with("/top.txt");
            let expected = match *method {
                "GET" | "HEAD" if exists => 200,
                "GET" | "HEAD" => 404,
                "OPTIONS" => 204,
                "PROPFIND" => 501,
                _ => 405,
            };
            assert_eq!(status, expected, "{at}");
            assert!(status != 200 || !is_read || response.text() == "mounts", "{at}");
        }
        Responder::Fallback { .. } => assert!(!is_read || response.text() == "a.test: fallback", "{at}"),
        Responder::Options { allow: methods } => assert_eq!((status, allow), (204, &**methods), "{at}"),
        Responder::MethodNotAllowed { allow: methods } => {
            let knows = allow.contains(method) || plan.to_string().contains("PROPFIND");
            let expected = if *method == "PROPFIND" && !knows { 501 } else { 405 };
            assert_eq!((status, allow), (expected, &**methods), "{at}");
            assert!(!allow.is_empty(), "{at}");
        }
        Responder::ParentSegment => unreachable!("no path has one"),
        Responder::NotFound if *method == "PROPFIND" && !plan.to_string().contains("PROPFIND") => {
            assert_eq!(status, 501, "{at}");
        }
        Responder::NotFound => assert_eq!(status, 404, "{at}"),
    }
    // Every other route of the site is there, with a reason.
    let site = plan.sites.iter().find(|(known, _)| *known == explanation.site).map(|(_, site)| site);
    let routes = site.unwrap_or(&plan.default_site).routes.len();
    let passed = explanation.passed_over.iter().filter(|passed| passed.part.starts_with("route ")).count();
    let is_route = matches!(explanation.responder, Responder::Route { .. });
    assert_eq!(passed, routes - usize::from(is_route), "{at}");
    status
}

/// Every question to one plan that has something of everything.
#[test]
fn explanations_agree_with_what_is_served() {
    let patterns = [
        ("GET", "/", vec![]),
        ("GET", "/a", vec![]),
        ("GET", "/a/{x}", vec![]),
        ("POST", "/a/{y}", vec![Condition::field("X-A").is("1")]),
        ("PUT", "/a/b", vec![]),
        ("", "/c/{*rest}", vec![]),
        ("GET", "/c/d", vec![Condition::query("v")]),
        ("GET", "/c/d", vec![Condition::query("v").is("1")]),
        ("", "/c/d", vec![Condition::query("v").is("1"), Condition::field("X-A").is_absent()]),
        ("GET", "/c/d/{x}", vec![]),
        ("OPTIONS", "/o", vec![]),
    ];
    let site = |host: &str| {
        let routes = patterns.clone().into_iter();
        routes
            .fold(Site::new(), |site, (method, pattern, when)| site.route(route(host, method, pattern, when)))
    };
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::builder()
        .site("a.test", site("a.test").fallback(HandlerOptions::text("a.test: fallback")))
        .site("*.test", site("*.test"))
        .site("b.test", site("b.test").fallback(mounts(dir.path())))
        .default_site(site("default site"))
        .build();
    on_core(async move |core| {
        let service = plan.build(&core).unwrap_or_else(|errors| panic!("{errors}"));
        let mut seen = BTreeSet::new();
        for host in HOSTS {
            for (index, path) in PATHS.into_iter().enumerate() {
                for (number, method) in METHODS.into_iter().enumerate() {
                    let fields = FIELDS[(index + number) % FIELDS.len()];
                    let target = format!("{path}{}", QUERIES[(index / 2 + number) % QUERIES.len()]);
                    seen.insert(compare(&plan, &service, &Question { method, host, target, fields }).await);
                }
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [200, 204, 404, 405, 501]);
    });
}

fn condition() -> impl Strategy<Value = Condition> {
    let names = prop_oneof![
        select(vec!["X-A", "x-b"]).prop_map(Condition::field),
        select(vec!["v", "w"]).prop_map(Condition::query),
    ];
    (names, 0..5).prop_map(|(condition, test)| match test {
        0 => condition,
        1 => condition.is("1"),
        2 => condition.is_one_of(["2", ""]),
        3 => condition.begins_with("1"),
        _ => condition.is_absent(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any routes, without those that are a mistake beside the others.
    #[test]
    fn explanations_of_any_plan_agree_with_what_is_served(
        routes in prop::collection::vec((
            select(vec!["", "GET", "POST", "HEAD", "OPTIONS", "PROPFIND"]),
            select(vec!["/", "/a", "/a/{x}", "/a/b", "/c/{*rest}", "/c/d", "/{y}/d", "/{*all}"]),
            prop::collection::vec(condition(), 0..3),
            select(vec![0, 1, 2]),
        ), 1..12),
        questions in subsequence((0..PATHS.len() * METHODS.len()).collect::<Vec<_>>(), 30),
        shift in 0usize..100,
    ) {
        let mut plan = Plan::builder().site("a.test", Site::new()).site("*.test", Site::new()).build();
        for (method, pattern, conditions, site) in routes {
            let before = plan.clone();
            let (name, site) = match site {
                0 => ("default site".to_owned(), &mut plan.default_site),
                index => (plan.sites[index - 1].0.clone(), &mut plan.sites[index - 1].1),
            };
            site.routes.push(route(&name, method, pattern, conditions));
            if plan.check().is_err() {
                plan = before;
            }
        }
        on_core(async move |core| {
            let service = plan.build(&core).unwrap_or_else(|errors| panic!("{errors}"));
            for number in questions {
                let (path, method) = (PATHS[number % PATHS.len()], METHODS[number / PATHS.len()]);
                let (host, fields) = (HOSTS[(number + shift) % 5], FIELDS[(number / 2 + shift) % 6]);
                let target = format!("{path}{}", QUERIES[(number / 3 + shift) % 6]);
                compare(&plan, &service, &Question { method, host, target, fields }).await;
            }
        });
    }
}
