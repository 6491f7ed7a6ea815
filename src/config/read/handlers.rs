//! What answers: `files`, `respond`, `redirect`, `proxy`, `welcome`. One of them stands in a route; in a site
//! it answers what no route does.

use crate::config::mistake::Mistake;
use crate::config::node::{Node, Table, View};
use crate::config::read::filters::{HEADERS, fields};
use crate::config::read::upstreams::UpstreamNames;
use crate::config::shape::{Key, Kind, Shape};
use crate::handler::{RedirectOptions, RespondOptions};
use crate::http::status::Status;
use crate::plan::HandlerOptions;

/// The keys of handlers, for the shapes of sites and routes.
macro_rules! handler_keys {
    ($($more:expr),* $(,)?) => {
        &[
            $($more,)*
            Key::new(
                "files",
                Kind::Either(&[Kind::Path, Kind::Table(&$crate::config::read::files::FILES)]),
                "Serves the files of a directory.",
            ),
            Key::new(
                "respond",
                Kind::Either(&[Kind::Value, Kind::Table(&$crate::config::read::handlers::RESPOND)]),
                "Sends this text, or this response.",
            ),
            Key::new(
                "redirect",
                Kind::Either(&[Kind::Value, Kind::Table(&$crate::config::read::handlers::REDIRECT)]),
                "Redirects to this location, with 307 unless a status is given.",
            ),
            Key::new(
                "proxy",
                Kind::Either(&[Kind::Text, Kind::Table(&$crate::config::read::proxy::PROXY)]),
                "Forwards requests to an upstream, by its name, or to HOST:PORT.",
            ),
            Key::new("welcome", Kind::Bool, "Serves a page for a server without content."),
        ]
    };
}
pub(in crate::config) use handler_keys;

/// Names of the keys above.
pub(in crate::config) const HANDLERS: [&str; 5] = ["files", "respond", "redirect", "proxy", "welcome"];

pub(in crate::config) const RESPOND: Shape = Shape::new(
    "a response",
    &[
        Key::new("status", Kind::Count(200, 999), "The status. Default 200."),
        Key::new("headers", HEADERS, "Its fields."),
        Key::new("text", Kind::Value, "The body as plain text, with its Content-Type."),
        Key::new("html", Kind::Value, "The body as HTML, with its Content-Type."),
        Key::new("json", Kind::Value, "The body as JSON, with its Content-Type."),
        Key::new("body", Kind::Value, "The body, with the Content-Type among the headers."),
    ],
);

pub(in crate::config) const REDIRECT: Shape = Shape::new(
    "a redirect",
    &[
        Key::required("to", Kind::Value, "An absolute URL, or a path on the same host; percent-encoded."),
        Key::new("status", Kind::Count(300, 399), "301, 302, 303, 307 or 308. Default 307."),
    ],
);

/// The handler of a route or site below this prefix; `None` without any, or after its mistakes were reported.
pub(in crate::config) fn handler(
    table: Table<'_>,
    prefix: &str,
    upstreams: &UpstreamNames,
) -> Option<HandlerOptions> {
    let given: Vec<&str> = HANDLERS.into_iter().filter(|key| is_given(table, key)).collect();
    if let [first, second, ..] = given[..] {
        let mistake =
            Mistake::new(table.key_at(second), format!("`{first}` and `{second}` exclude each other"));
        let mistake = mistake.other(table.key_at(first), "this one answers already");
        table.reader.report(mistake.help("keep one of them, or give the other a route of its own"));
    }
    let key = *given.first()?;
    let node = table.entry(key)?;
    match key {
        "files" => super::files::files(node, prefix),
        "respond" => respond(node).map(HandlerOptions::Respond),
        "redirect" => redirect(node).map(HandlerOptions::Redirect),
        "proxy" => super::proxy::proxy(node, upstreams),
        "welcome" => Some(HandlerOptions::Welcome),
        _ => None,
    }
}

/// `welcome = false` is none.
fn is_given(table: Table<'_>, key: &str) -> bool {
    table.has(key) && (key != "welcome" || table.bool(key) != Some(false))
}

/// A fixed response.
pub(in crate::config) fn respond(node: Node<'_>) -> Option<RespondOptions> {
    let is_secret_file = node.table().is_some_and(|table| table.entries.len() == 1 && table.has("file"));
    let Some(table) = node.table().filter(|_| !is_secret_file) else {
        return Some(RespondOptions::text(node.secret()?));
    };
    let mut options = RespondOptions::default();
    if let Some(status) = table.count("status") {
        options.status = u16::try_from(status).ok().and_then(Status::new)?;
    }
    let kinds = [
        ("text", Some("text/plain; charset=utf-8")),
        ("html", Some("text/html; charset=utf-8")),
        ("json", Some("application/json")),
        ("body", None),
    ];
    let given: Vec<_> = kinds.into_iter().filter(|(key, _)| table.has(key)).collect();
    if let [(first, _), (second, _), ..] = given[..] {
        let title = format!("`{first}` and `{second}` are both the body");
        table
            .reader
            .report(Mistake::new(table.key_at(second), title).other(table.key_at(first), "the other"));
    }
    if let Some((key, content_type)) = given.first() {
        let body = table.secret(key)?;
        let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&body);
        if let (Err(error), "json", View::Real) = (parsed, *key, table.reader.view) {
            // Its text could quote the value.
            let at = format!("line {}, column {}", error.line(), error.column());
            table.entry(key)?.report(format!("this is no JSON, at {at} of it"), "");
        }
        options.body = body.into();
        options.fields.extend(content_type.map(|value| ("Content-Type".to_owned(), value.to_owned())));
    }
    if let Some(headers) = table.entry("headers") {
        options.fields.extend(fields(headers));
    }
    Some(options)
}

fn redirect(node: Node<'_>) -> Option<RedirectOptions> {
    let is_secret_file = node.table().is_some_and(|table| table.has("file"));
    let Some(table) = node.table().filter(|_| !is_secret_file) else {
        return Some(RedirectOptions { status: Status::TEMPORARY_REDIRECT, location: node.secret()? });
    };
    let status = match table.count("status") {
        Some(status) => u16::try_from(status).ok().and_then(Status::new)?,
        None => Status::TEMPORARY_REDIRECT,
    };
    Some(RedirectOptions { status, location: table.secret("to")? })
}
