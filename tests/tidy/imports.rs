//! Who uses whom: every path that starts at `crate`, `super`, `self`, `std` or `quoit`, from its root.
//!
//! Knows modules by their files and nothing of items: `crate::http::head::Head` uses the file
//! `http::head`, because no file is called `http::head::Head`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token};

/// A path as it resolves from the crate's root.
#[derive(Debug, PartialEq)]
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// The module that a file is, from the crate's root: `src/http/h1/mod.rs` is `[http, h1]`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let mut module: Vec<String> = inner.split('/').map(str::to_string).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Every use of another module, groups taken apart.
pub(crate) fn uses(source: &Source) -> Vec<Use> {
    let tokens = source.tokens();
    let mut found = Vec::new();
    // Inline modules that are open here: their names, and the brace depth at which each ends.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let next = |n: usize| tokens.get(at + n).map_or("", |t| t.text);
        match tokens[at].text {
            "mod" if next(2) == "{" => inline.push((next(1).to_string(), depth)),
            "{" => depth += 1,
            "}" => {
                depth = usize::saturating_sub(depth, 1);
                inline.retain(|(_, ends)| *ends < depth);
            }
            "crate" | "super" | "self" | "std" | "quoit" if next(1) == "::" && !follows_path(&tokens, at) => {
                let mut base = module_of(&source.path);
                base.extend(inline.iter().map(|(name, _)| name.clone()));
                at = resolve(&tokens, at, base, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn follows_path(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && (tokens[at - 1].text == "::" || tokens[at - 1].text == "$")
}

/// Reads one path or group that begins at `at`; gives the place after it.
fn resolve(tokens: &[Token<'_>], mut at: usize, mut path: Vec<String>, found: &mut Vec<Use>) -> usize {
    let line = tokens[at].line;
    loop {
        match tokens.get(at).map_or("", |t| t.text) {
            "crate" => path.clear(),
            root @ ("std" | "quoit") => path = vec![root.to_string()],
            "super" => drop(path.pop()),
            "self" => {}
            "{" => return resolve_group(tokens, at + 1, &path, found),
            word if word.starts_with(|c: char| c == '_' || c.is_alphabetic()) => path.push(word.to_string()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).map_or("", |t| t.text) != "::" {
            break;
        }
        at += 1;
    }
    found.push(Use { line, path });
    at
}

fn resolve_group(tokens: &[Token<'_>], mut at: usize, path: &[String], found: &mut Vec<Use>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "as" => at += 2,
            "," | "*" => at += 1,
            _ => at = resolve(tokens, at, path.to_vec(), found).max(at + 1),
        }
    }
    at
}

/// Circles of files within one folder. A module and its own children may know each other: the parent
/// is their front, so the children's ways to it and its re-exports of them are not counted.
pub(crate) fn cycles(sources: &[Source]) -> Vec<Vec<String>> {
    let modules: BTreeSet<Vec<String>> =
        sources.iter().filter(|s| s.path.starts_with("src/")).map(|s| module_of(&s.path)).collect();
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let from = module_of(&source.path);
        for used in uses(source) {
            let to = (1..=used.path.len()).rev().map(|n| &used.path[..n]).find(|p| modules.contains(*p));
            if let Some(to) = to
                && !to.starts_with(&from)
                && !from.starts_with(to)
                && to[0] == from[0]
            {
                edges.entry(from.clone()).or_default().insert(to.to_vec());
            }
        }
    }
    let mut circles: Vec<Vec<String>> = Vec::new();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        walk(start, &edges, &mut Vec::new(), &mut done, &mut circles);
    }
    circles
}

/// Depth first; a module met again while it is still on the way closes a circle.
fn walk(
    module: &[String],
    edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    way: &mut Vec<Vec<String>>,
    done: &mut BTreeSet<Vec<String>>,
    circles: &mut Vec<Vec<String>>,
) {
    if let Some(begin) = way.iter().position(|m| m == module) {
        circles.push(way[begin..].iter().map(|m| m.join("::")).collect());
        return;
    }
    if !done.insert(module.to_vec()) {
        return;
    }
    way.push(module.to_vec());
    for next in edges.get(module).into_iter().flatten() {
        walk(next, edges, way, done, circles);
    }
    way.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        uses(&Source::new(path, text)).iter().map(|u| u.path.join("::")).collect()
    }

    #[test]
    fn groups_and_renames_are_taken_apart() {
        let text = "use crate::{http::{self, head::Head as H}, ring::*};\nfn f() { crate::net::go() }";
        assert_eq!(paths("src/server/a.rs", text), ["http", "http::head::Head", "ring", "net::go"]);
    }

    #[test]
    fn super_counts_inline_modules() {
        let text =
            "use super::date;\nmod tests { use super::own; use super::super::range; }\nuse super::path;";
        assert_eq!(
            paths("src/http/head.rs", text),
            ["http::date", "http::head::own", "http::range", "http::path"]
        );
        assert_eq!(paths("src/http/h1/mod.rs", "use super::super::ring::X;"), ["ring::X"]);
    }

    #[test]
    fn circles_are_found() {
        let circle = [
            Source::new("src/http/a.rs", "use super::b::B;"),
            Source::new("src/http/b.rs", "use crate::http::c;"),
            Source::new("src/http/c.rs", "use crate::http::{a::A};"),
        ];
        assert_eq!(cycles(&circle), [["http::a", "http::b", "http::c"]]);
    }

    #[test]
    fn a_parent_and_its_children_are_no_circle() {
        let family = [
            Source::new("src/http/h1/mod.rs", "pub use self::parse::Parser; pub struct Limits;"),
            Source::new("src/http/h1/parse.rs", "use super::Limits; use crate::http::head::Head;"),
            Source::new("src/http/head.rs", ""),
        ];
        assert!(cycles(&family).is_empty());
    }
}
