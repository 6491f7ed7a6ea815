//! What people try: text that would mean something to a database or a browser, if it were ever taken for
//! more than text. The lists are in `payloads.json`, by class, for the tests with a browser have the same.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Deserialize)]
struct Lists {
    /// Tautologies, comments, UNION, stacked statements, functions, encodings, and what is special to LIKE.
    sql: BTreeMap<String, Vec<String>>,
    /// Elements, attributes broken out of, URLs, encodings, and what parsers differ about.
    xss: BTreeMap<String, Vec<String>>,
}

static LISTS: LazyLock<Lists> =
    LazyLock::new(|| serde_json::from_str(include_str!("payloads.json")).expect("two lists of classes"));

pub(crate) fn sql() -> impl Iterator<Item = &'static str> + Clone {
    LISTS.sql.values().flatten().map(String::as_str)
}

pub(crate) fn xss() -> impl Iterator<Item = &'static str> + Clone {
    LISTS.xss.values().flatten().map(String::as_str)
}

pub(crate) fn all() -> impl Iterator<Item = &'static str> + Clone {
    sql().chain(xss())
}

/// Those that fit a line: titles and tags have no others.
pub(crate) fn lines() -> impl Iterator<Item = &'static str> {
    all().filter(|payload| is_line(payload))
}

pub(crate) fn is_line(payload: &str) -> bool {
    !payload.contains(char::is_control)
}

#[test]
fn the_lists_are_long_and_without_repetition() {
    for mut list in [sql().collect::<Vec<_>>(), xss().collect()] {
        let length = list.len();
        list.sort_unstable();
        list.dedup();
        assert!(length >= 50 && list.len() == length, "{length} and {}", list.len());
    }
    assert_ne!(lines().count(), all().count());
}
