//! What concerns the process and not a request: listeners, cores, the access log.

use crate::config::TlsUnit;
use crate::config::mistake::{At, Mistake};
use crate::config::node::Node;
use crate::config::shape::{Key, Kind, Shape};
use crate::net::Address;
use crate::observe::access::{Destination, Format};
use crate::plan::{Listener, TlsReference};

pub(in crate::config) const LISTENER: Shape = Shape::new(
    "a listener",
    &[
        Key::required(
            "address",
            Kind::Text,
            "ADDR:PORT, PORT for this machine alone, :PORT for every interface, or unix:PATH.",
        ),
        Key::new(
            "tls",
            Kind::Either(&[Kind::Bool, Kind::Text]),
            "The name of a TLS configuration, or true for the only one. Default: plain HTTP.",
        ),
    ],
);

pub(in crate::config) const LOG: Shape = Shape::new(
    "an access log",
    &[
        Key::required("file", Kind::Path, "The file, or \"-\" for standard output."),
        Key::new(
            "format",
            Kind::Choice(&["auto", "json", "pretty", "common", "combined"]),
            "How lines look. Default auto: pretty for a terminal, json otherwise.",
        ),
    ],
);

/// The address and the value that names its TLS.
pub(in crate::config) struct ListenerNode<'d> {
    pub(in crate::config) at: At,
    pub(in crate::config) address: Address,
    pub(in crate::config) tls: Option<Node<'d>>,
}

/// A listener; `None` after its mistake was reported.
pub(in crate::config) fn listener_node(node: Node<'_>) -> Option<ListenerNode<'_>> {
    let (address, tls) = match node.table() {
        Some(table) => (table.entry("address")?, table.entry("tls")),
        None => (node, None),
    };
    let text = address.text()?;
    match text.parse::<Address>() {
        Ok(address_of) => {
            let tls = tls.filter(|node| node.bool() != Some(false));
            Some(ListenerNode { at: address.at, address: address_of, tls })
        }
        Err(_) => {
            let mistake = Mistake::new(address.at, "this is no address to listen on");
            node.reader.report(mistake.help(
                "write 127.0.0.1:8080, [::1]:8080, 8080 for this machine alone, :8080 for every interface, \
                 or \
                 unix:/run/quoit.sock",
            ));
            None
        }
    }
}

/// The listeners, each once.
pub(in crate::config) fn listeners(
    nodes: Vec<ListenerNode<'_>>,
    units: &[TlsUnit],
    names: &[String],
    report: &dyn Fn(Mistake),
) -> Vec<Listener> {
    let mut listeners: Vec<(At, Listener)> = Vec::new();
    for ListenerNode { at, address, tls } in nodes {
        // The kernel chooses another port for each 0.
        let is_fixed = !matches!(&address, Address::Inet(addr) if addr.port() == 0);
        let known = listeners.iter().find(|(_, known)| is_fixed && known.address == address);
        if let Some((first, _)) = known {
            report(Mistake::new(at, "this address is listened on twice").other(*first, "here first"));
        }
        let server = tls.and_then(|node| super::tls::named(node, units, names));
        let tls = server.map(|server| TlsReference::from(server.clone()));
        listeners.push((at, Listener { address, tls }));
    }
    listeners.into_iter().map(|(_, listener)| listener).collect()
}

/// The access log, with the path of its file.
pub(in crate::config) fn access_log(node: Node<'_>) -> Option<(Destination, Option<Format>)> {
    let (file, format) = match node.table() {
        Some(table) => (table.entry("file")?, table.text("format")),
        None => (node, None),
    };
    let destination = match file.text()?.as_str() {
        "-" => Destination::Stdout,
        _ => Destination::File(file.path()?),
    };
    let format = match format.as_deref() {
        Some("json") => Some(Format::Json),
        Some("pretty") => Some(Format::Pretty { coloured: std::env::var_os("NO_COLOR").is_none() }),
        Some("common") => Some(Format::Common),
        Some("combined") => Some(Format::Combined),
        _ => None,
    };
    Some((destination, format))
}

/// The permissions of socket files, in octal.
pub(in crate::config) fn unix_mode(node: Node<'_>) -> Option<u32> {
    let text = node.text()?;
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = is_octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        node.report(
            "these are no permissions in octal",
            "write \"660\" for owner and group, or \"666\" for everybody",
        );
    }
    mode
}

/// The numbers of CPUs: `[0, 2, "4-7"]` or `"0,2,4-7"`.
pub(in crate::config) fn cpus(node: Node<'_>) -> Vec<usize> {
    let mut cpus = Vec::new();
    for element in node.list() {
        let text = element.count().map(|count| count.to_string()).or_else(|| element.text());
        for part in text.unwrap_or_default().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u16>().ok().map(usize::from);
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => element.report("this is no list of CPUs", "write [0, 2] or \"0,2-3\""),
            }
        }
    }
    if let Some(twice) = cpus.iter().enumerate().find(|(index, cpu)| cpus[..*index].contains(cpu)) {
        node.report(format!("CPU {} is named twice", twice.1), "name each CPU once");
    }
    cpus
}

/// Whether anything of a table needs a Unix socket.
pub(in crate::config) fn has_unix(listeners: &[Listener]) -> bool {
    listeners.iter().any(|listener| matches!(listener.address, Address::Unix(_)))
}
