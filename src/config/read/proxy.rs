//! Handlers that forward requests: `proxy = "NAME"`, or a table.

use std::sync::Arc;

use super::filters::{HEADERS, fields};
use super::upstreams::UpstreamNames;
use crate::config::mistake::Mistake;
use crate::config::node::{Node, Table};
use crate::config::shape::{Key, Kind, Shape, TEXTS};
use crate::handler::{ForwardedForm, ForwardedOptions, HostPolicy, Network, ProxyOptions};
use crate::plan::HandlerOptions;
use crate::upstream::UpstreamOptions;

pub(in crate::config) const PROXY: Shape = Shape::new(
    "a proxy",
    &[
        Key::required(
            "to",
            Kind::Either(&[Kind::Text, Kind::Map("names of upstreams", &Kind::Count(0, u32::MAX as u64))]),
            "The name of an upstream, HOST:PORT or unix:PATH; or several names with their shares.",
        ),
        Key::new(
            "host",
            Kind::Text,
            "The Host that the server is told: \"keep\" the client's, that of the \"endpoint\", or this one. \
             Default keep.",
        ),
        Key::new("strip_prefix", Kind::Text, "A prefix of the path that is not forwarded."),
        Key::new(
            "add_prefix",
            Kind::Text,
            "A prefix that is put before the path, after the other was stripped.",
        ),
        Key::new(
            "forwarded",
            Kind::Choice(&["x-forwarded", "forwarded", "both", "none"]),
            "The fields that describe the client. Default x-forwarded.",
        ),
        Key::new("trusted", TEXTS, "Networks of proxies whose own fields are believed, such as 10.0.0.0/8."),
        Key::new(
            "via",
            Kind::Either(&[Kind::Bool, Kind::Text]),
            "The name of this proxy in Via, or false for none. Default `quoit`.",
        ),
        Key::new("set_headers", HEADERS, "Fields that are set in every request to the server."),
        Key::new("remove_headers", TEXTS, "Fields of the client that are not forwarded."),
    ],
);

/// The handler; `None` after its mistakes were reported.
pub(in crate::config) fn proxy(node: Node<'_>, names: &UpstreamNames) -> Option<HandlerOptions> {
    let Some(table) = node.table() else {
        return Some(HandlerOptions::proxy(ProxyOptions::to(names.of(&node.text()?, node)?)));
    };
    let upstreams = upstreams(table.entry("to")?, names)?;
    let (_, first) = upstreams.first()?;
    let mut options = ProxyOptions { upstreams: upstreams.clone(), ..ProxyOptions::to(first.clone()) };
    options.host = match table.text("host").as_deref() {
        None | Some("keep") => HostPolicy::Keep,
        Some("endpoint") => HostPolicy::Endpoint,
        Some(host) => HostPolicy::Fixed(host.to_owned()),
    };
    options.strip_prefix = prefix(table, "strip_prefix");
    options.add_prefix = prefix(table, "add_prefix");
    options.forwarded = forwarded(table);
    if let Some(via) = table.entry("via") {
        match (via.bool(), via.text()) {
            (Some(false), _) => options.via = None,
            (Some(true), _) => {}
            (None, Some(name)) => options.via = Some(name),
            (None, None) => {}
        }
    }
    if let Some(set) = table.entry("set_headers") {
        options.set_fields = fields(set);
        let values = set.table().map(Table::in_order).unwrap_or_default();
        values.into_iter().flat_map(|entry| entry.node.list()).chain(set.list()).for_each(Node::keep_back);
    }
    options.remove_fields = table.texts("remove_headers");
    Some(HandlerOptions::proxy(options))
}

fn upstreams(node: Node<'_>, names: &UpstreamNames) -> Option<Vec<(u32, Arc<UpstreamOptions>)>> {
    let Some(table) = node.table() else {
        return Some(vec![(1, names.of(&node.text()?, node)?)]);
    };
    let entries = table.in_order();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            let upstream = names.of_at(entry.name, entry.node, entry.key_at)?;
            Some((u32::try_from(entry.node.count()?).ok()?, upstream))
        })
        .collect();
    let upstreams: Vec<_> = found.iter().flatten().cloned().collect();
    if found.len() == upstreams.len() && upstreams.iter().all(|(share, _)| *share == 0) {
        node.report("no upstream has a share above 0", "write { stable = 95, canary = 5 }");
        return None;
    }
    (found.len() == upstreams.len()).then_some(upstreams)
}

/// A prefix of whole segments; empty for none.
fn prefix(table: Table<'_>, key: &str) -> Option<String> {
    let text = table.text(key)?;
    let plain = text.strip_suffix('/').unwrap_or(&text);
    if !text.starts_with('/') {
        table
            .entry(key)?
            .report("a prefix of paths begins with a slash", "write /like/this, percent-encoded");
        return None;
    }
    (!plain.is_empty()).then(|| plain.to_owned())
}

fn forwarded(table: Table<'_>) -> ForwardedOptions {
    let form = match table.text("forwarded").as_deref() {
        Some("forwarded") => ForwardedForm::Forwarded,
        Some("both") => ForwardedForm::Both,
        Some("none") => ForwardedForm::None,
        _ => ForwardedForm::XForwarded,
    };
    let mut trusted = Vec::new();
    for node in table.list("trusted") {
        match node.text().map(|text| text.parse::<Network>()) {
            Some(Ok(network)) => trusted.push(network),
            Some(Err(_)) => {
                let mistake = Mistake::new(node.at, "this is no network");
                node.reader
                    .report(mistake.help("write an address with a prefix, such as 10.0.0.0/8, or \"unix\""));
            }
            None => {}
        }
    }
    ForwardedOptions { form, trusted }
}
