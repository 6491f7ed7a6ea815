//! Parameters of the path, and the query.

use proptest::prelude::*;
use quoit::service::{ExtractLimits, Json, Path, Problem, Query, Router};
use serde::{Deserialize, Serialize};

use crate::common::Client;
use crate::{get, host, is_problem};

#[derive(Debug, Deserialize, Serialize)]
struct Place {
    year: u16,
    title: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Search {
    q: String,
    page: Option<u32>,
    #[serde(default)]
    tag: Vec<String>,
    #[serde(default)]
    order: Order,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    #[default]
    ByName,
    ByDate,
}

fn router() -> Router {
    Router::new()
        .get("/users/{id}", async |Path(id): Path<u64>| id.to_string())
        .get("/flags/{flag}", async |Path(flag): Path<bool>| flag.to_string())
        .get("/names/{name}", async |Path(name): Path<String>| name)
        .get("/orders/{order}", async |Path(order): Path<Order>| Json(order))
        .get("/pairs/{a}/{b}", async |Path((a, b)): Path<(i8, char)>| format!("{a} {b}"))
        .get("/posts/{year}/{title}", async |Path(place): Path<Place>| Json(place))
        .get("/five/{a}/{b}/{c}/{d}/{e}", async |Path(all): Path<Vec<String>>| Json(all))
        .get("/files/{*path}", async |Path(path): Path<String>| path)
        .get("/wrong/{a}/{b}", async |Path(a): Path<u8>| a.to_string())
        .get("/search", async |Query(search): Query<Search>| Json(search))
        .get("/pairs", async |Query(pairs): Query<Vec<(String, String)>>| Json(pairs))
        .get("/maybe/{id}", async |id: Result<Path<u8>, Problem>| match id {
            Ok(Path(id)) => id.to_string(),
            Err(problem) => format!("refused with {}", problem.status().code()),
        })
        .limits(ExtractLimits { pairs_max: 4, ..ExtractLimits::DEFAULT })
}

#[test]
fn parameters_of_the_path_become_types() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (target, body) in [
        ("/users/18446744073709551615", "18446744073709551615"),
        ("/users/%37", "7"),
        ("/flags/true", "true"),
        ("/names/a%20b+%C3%A4%2F", "a b+ä/"),
        ("/orders/by-date", "\"by-date\""),
        ("/pairs/-128/%C3%A4", "-128 ä"),
        ("/posts/2026/x%22y", r#"{"year":2026,"title":"x\"y"}"#),
        ("/five/1/2/3/4/5", r#"["1","2","3","4","5"]"#),
        ("/files/a/b%20c", "a/b c"),
        ("/maybe/7", "7"),
        ("/maybe/x", "refused with 400"),
    ] {
        get(&mut client, target).is(200, body);
    }
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (target, field) in [
        ("/users/x", "id: must be a whole number from 0 up, not \"x\""),
        ("/users/-1", "id: must be a whole number from 0 up, not \"-1\""),
        ("/users/18446744073709551616", "id: must be a whole number from 0 up, not \"18446744073709551616\""),
        ("/flags/yes", "flag: must be true or false, not \"yes\""),
        ("/orders/%3Cscript%3E", "order: must be by-name or by-date, not \"<script>\""),
        ("/pairs/128/a", "a: must be a whole number from -128 to 127, not \"128\""),
        ("/pairs/1/ab", "b: must be one character, not \"ab\""),
        ("/posts/x/y", "year: must be a whole number from 0 to 65535, not \"x\""),
        ("/names/%ff", "name: is not UTF-8 once its percent signs are decoded"),
    ] {
        let detail = format!("the path does not fit: {}", field.replacen(':', "", 1));
        is_problem(&get(&mut client, target), 400, &detail, field);
    }
    let agree = "the route and its handler do not agree on the path's parameters";
    is_problem(&get(&mut client, "/wrong/1/2"), 500, agree, "");
}

#[test]
fn queries_become_types() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (target, body) in [
        ("/search?q=a+b%26", r#"{"q":"a b&","page":null,"tag":[],"order":"by-name"}"#),
        ("/search?tag=1&q&page=&tag=2", r#"{"q":"","page":null,"tag":["1","2"],"order":"by-name"}"#),
        ("/search?q=&page=7&order=by-date&x=1", r#"{"q":"","page":7,"tag":[],"order":"by-date"}"#),
        ("/pairs?b=1&a=2&b=%3D", r#"[["b","1"],["a","2"],["b","="]]"#),
        ("/pairs", "[]"),
        ("/pairs?", "[]"),
    ] {
        get(&mut client, target).is(200, body);
    }
}

#[test]
fn queries_that_do_not_fit_are_named() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    for (target, field) in [
        ("/search", "q: is missing"),
        ("/search?q=1&q=2", "q: must be given once, not 2 times"),
        ("/search?q=1&page=x", "page: must be a whole number from 0 to 4294967295, not \"x\""),
        ("/search?q=1&order=x", "order: must be by-name or by-date, not \"x\""),
        ("/search?q=%ff", "q: is not UTF-8 once its percent signs are decoded"),
    ] {
        let detail = format!("the query does not fit: {}", field.replacen(':', "", 1));
        is_problem(&get(&mut client, target), 400, &detail, field);
    }
    let many = get(&mut client, "/pairs?a=1&b=2&c=3&d=4&e=5");
    is_problem(&many, 400, "the query has more than 4 fields", "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a client encodes, whatever it is, arrives as it was.
    #[test]
    fn any_text_arrives(texts in proptest::collection::vec("\\PC{0,20}", 40)) {
        let server = host(router);
        let mut client = Client::connect(server.addr);
        for text in texts {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let answer = get(&mut client, &format!("/pairs?{encoded}={encoded}"));
            prop_assert_eq!(answer.text(), serde_json::to_string(&[[&text, &text]]).unwrap());
            // Dots are not valid names, and an empty text is not a segment.
            if !["", ".", ".."].contains(&text.as_str()) {
                prop_assert_eq!(get(&mut client, &format!("/names/{encoded}")).text(), text);
            }
        }
    }
}
