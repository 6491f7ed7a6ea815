//! Filters: `filters = ["request_id", { headers = { … } }]`, outermost first.

use std::time::Duration;

use crate::config::TlsUnit;
use crate::config::mistake::Mistake;
use crate::config::node::{Node, Table};
use crate::config::shape::{BYTES, CENTURY, Key, Kind, Shape, TEXTS, WAIT};
use crate::filter::{
    BasicAuthOptions, CompressOptions, CorsOptions, ErrorPagesOptions, FieldsOptions, HstsOptions,
    HttpsOptions, PageSource, RequestIdOptions, SecurityHeadersOptions, TimeoutOptions,
};
use crate::http::message::push_field;
use crate::http::status::Status;
use crate::plan::FilterOptions;

/// Fields by name, or as lines.
pub(in crate::config) const HEADERS: Kind = Kind::Either(&[
    Kind::Map("names of fields", &Kind::Either(&[Kind::Value, Kind::List(&Kind::Value)])),
    Kind::List(&Kind::Value),
]);

/// Filters that need no options.
pub(in crate::config) const PLAIN: &[&str] =
    &["request_id", "security_headers", "cors", "compress", "timeout"];

pub(in crate::config) const FILTERS: Kind =
    Kind::List(&Kind::Either(&[Kind::Choice(PLAIN), Kind::Table(&FILTER)]));

pub(in crate::config) const FILTER: Shape = Shape::choice(
    "a filter",
    &[
        Key::new("request_id", Kind::Table(&REQUEST_ID), "Gives every request an id, in X-Request-Id."),
        Key::new("headers", HEADERS, "Adds fields to every response, in place of those of the same name."),
        Key::new(
            "security_headers",
            Kind::Table(&SECURITY_HEADERS),
            "Adds the fields with which browsers protect a site's users.",
        ),
        Key::new("cors", Kind::Table(&CORS), "Allows cross-origin requests."),
        Key::new("compress", Kind::Table(&COMPRESS), "Compresses responses as they are sent."),
        Key::new(
            "error_pages",
            Kind::Map("statuses from 400 to 599", &Kind::Either(&[Kind::Path, Kind::Table(&HTML)])),
            "Replaces the bodies of errors, for clients that accept HTML.",
        ),
        Key::new(
            "basic_auth",
            Kind::Either(&[Kind::Path, Kind::Table(&BASIC_AUTH)]),
            "Requires a name and a password, from a file as htpasswd -B writes it.",
        ),
        Key::new("timeout", WAIT, "Answers 503 when a response has not begun this long after its request."),
        Key::new("https", Kind::Table(&HTTPS), "Redirects to HTTPS, and makes browsers require it."),
    ],
);

const REQUEST_ID: Shape = Shape::new(
    "the options of request_id",
    &[Key::new("keep_incoming", Kind::Bool, "Whether the id of a request is kept. Default false.")],
);

const SECURITY_HEADERS: Shape = Shape::new(
    "the options of security_headers",
    &[Key::new("policy", Kind::Value, "The Content-Security-Policy; {nonce} becomes one for each request.")],
);

const CORS: Shape = Shape::new(
    "the options of cors",
    &[
        Key::new("origins", TEXTS, "Origins that may call. Default: every origin, without credentials."),
        Key::new("credentials", Kind::Bool, "Whether cookies may be sent along. Default false."),
        Key::new("methods", TEXTS, "Methods that may be used. Default: those of the route."),
        Key::new("headers", TEXTS, "Request fields that may be sent. Default: those that are asked for."),
        Key::new("exposed", TEXTS, "Response fields that scripts may read."),
        Key::new(
            "max_age",
            Kind::Time(Duration::ZERO, CENTURY),
            "Time for which browsers may remember a preflight. Default 10m.",
        ),
    ],
);

const COMPRESS: Shape = Shape::new(
    "the options of compress",
    &[
        Key::new("min_size", BYTES, "Smallest body that is compressed. Default 1 KiB."),
        Key::new(
            "streams",
            Kind::Count(0, u32::MAX as u64),
            "Long bodies that a core compresses at the same time. Default 64.",
        ),
    ],
);

const HTML: Shape = Shape::new("an error page", &[Key::required("html", Kind::Value, "The page itself.")]);

const BASIC_AUTH: Shape = Shape::new(
    "the options of basic_auth",
    &[
        Key::required("users", Kind::Path, "The file of users, as htpasswd -B writes it."),
        Key::new("realm", Kind::Text, "The text of the password prompt. Default `restricted`."),
    ],
);

const HTTPS: Shape = Shape::new(
    "the options of https",
    &[
        Key::new(
            "redirect_to",
            Kind::Count(1, 65_535),
            "Redirects requests without TLS to this port, as clients reach it.",
        ),
        Key::new(
            "hsts",
            Kind::Time(Duration::ZERO, CENTURY),
            "Time for which browsers require HTTPS, after each visit.",
        ),
        Key::new("tls", Kind::Text, "The TLS whose certificates hsts depends on. Default: the only one."),
    ],
);

/// What filters refer to.
#[derive(Clone, Copy)]
pub(in crate::config) struct TlsNames<'u> {
    pub(in crate::config) units: &'u [TlsUnit],
    pub(in crate::config) names: &'u [String],
}

/// The filters of a site or route.
pub(in crate::config) fn filters(table: Table<'_>, tls: TlsNames<'_>) -> Vec<FilterOptions> {
    table.list("filters").into_iter().filter_map(|node| filter(node, tls)).collect()
}

fn filter(node: Node<'_>, tls: TlsNames<'_>) -> Option<FilterOptions> {
    let Some(table) = node.table() else { return plain(&node.text()?) };
    let entry = table.in_order().into_iter().next()?;
    let (node, options) = (entry.node, entry.node.table());
    Some(match entry.name {
        "request_id" => {
            let keep_incoming = options?.bool("keep_incoming").unwrap_or(false);
            FilterOptions::RequestId(RequestIdOptions { keep_incoming })
        }
        "headers" => FilterOptions::Fields(FieldsOptions { fields: fields(node) }),
        "security_headers" => {
            FilterOptions::SecurityHeaders(SecurityHeadersOptions { policy: options?.secret("policy") })
        }
        "cors" => FilterOptions::Cors(cors(options?)),
        "compress" => {
            let (options, default) = (options?, CompressOptions::default());
            FilterOptions::Compress(CompressOptions {
                min_bytes: options.size("min_size").map_or(default.min_bytes, |bytes| bytes as usize),
                streams_max: options.count("streams").map_or(default.streams_max, |count| count as usize),
            })
        }
        "error_pages" => error_pages(options?),
        "basic_auth" => FilterOptions::BasicAuth(basic_auth(node)?),
        "timeout" => FilterOptions::Timeout(TimeoutOptions { after: node.time()? }),
        "https" => FilterOptions::Https(https(options?, tls)),
        _ => return None,
    })
}

fn plain(name: &str) -> Option<FilterOptions> {
    Some(match name {
        "request_id" => FilterOptions::RequestId(RequestIdOptions::default()),
        "security_headers" => FilterOptions::SecurityHeaders(SecurityHeadersOptions::default()),
        "cors" => FilterOptions::Cors(CorsOptions::default()),
        "compress" => FilterOptions::Compress(CompressOptions::default()),
        "timeout" => FilterOptions::Timeout(TimeoutOptions::default()),
        _ => return None,
    })
}

/// Names and values in their order. Those that cannot be sent are reported.
pub(in crate::config) fn fields(node: Node<'_>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut push =
        |name: &str, value: String, node: Node<'_>| match push_field(&mut Vec::new(), name, value.as_bytes())
        {
            Ok(()) => fields.push((name.to_owned(), value)),
            Err(error) => node.reader.report(Mistake::new(node.at, error.to_string())),
        };
    match node.table() {
        Some(table) => {
            for entry in table.in_order() {
                for value in entry.node.list() {
                    if let Some(text) = value.secret() {
                        push(entry.name, text, value);
                    }
                }
            }
        }
        None => {
            for line in node.list() {
                match line.secret().as_deref().and_then(|text| text.split_once(':')) {
                    Some((name, value)) => push(name, value.trim().to_owned(), line),
                    None => line.report("this is no field", "write \"Name: value\""),
                }
            }
        }
    }
    fields
}

fn joined(table: Table<'_>, key: &str) -> Option<String> {
    table.has(key).then(|| table.texts(key).join(", "))
}

fn cors(table: Table<'_>) -> CorsOptions {
    let default = CorsOptions::default();
    CorsOptions {
        origins: table.has("origins").then(|| table.texts("origins")),
        credentials: table.bool("credentials").unwrap_or(default.credentials),
        methods: joined(table, "methods"),
        headers: joined(table, "headers"),
        exposed: joined(table, "exposed"),
        max_age: table.time("max_age").unwrap_or(default.max_age),
    }
}

fn error_pages(table: Table<'_>) -> FilterOptions {
    let mut pages = Vec::new();
    for entry in table.in_order() {
        let status = entry.name.parse().ok().and_then(Status::new);
        let Some(status) = status.filter(|status| (400..600).contains(&status.code())) else {
            let mistake = Mistake::new(entry.key_at, format!("`{}` is no status of an error", entry.name));
            table.reader.report(mistake.help("errors are 400 to 599"));
            continue;
        };
        let source = match entry.node.table() {
            Some(page) => page.secret("html").map(|html| PageSource::Html(html.into())),
            None => entry.node.path().map(|path| {
                table.reader.name_file(&path);
                PageSource::File(path)
            }),
        };
        pages.extend(source.map(|source| (status, source)));
    }
    FilterOptions::ErrorPages(ErrorPagesOptions { pages })
}

fn basic_auth(node: Node<'_>) -> Option<BasicAuthOptions> {
    let (users, realm) = match node.table() {
        Some(table) => (table.path("users")?, table.text("realm")),
        None => (node.path()?, None),
    };
    node.reader.name_file(&users);
    let mut options = BasicAuthOptions::new(users);
    options.realm = realm.unwrap_or(options.realm);
    Some(options)
}

fn https(table: Table<'_>, tls: TlsNames<'_>) -> HttpsOptions {
    let redirect_to_port = table.count("redirect_to").and_then(|port| u16::try_from(port).ok());
    let hsts = table.time("hsts").and_then(|max_age| {
        // Its own name, or the only TLS there is.
        let node = table.entry("tls").or_else(|| table.entry("hsts"))?;
        let server = match table.entry("tls") {
            Some(node) => super::tls::named(node, tls.units, tls.names)?.clone(),
            None => match tls.names {
                [name] => tls.units.iter().find(|unit| unit.name == *name)?.server.clone(),
                _ => {
                    node.report(
                        "hsts depends on the certificates of one TLS configuration",
                        "name it: tls = \"NAME\", and [tls.NAME] with its certificates",
                    );
                    return None;
                }
            },
        };
        Some(HstsOptions { tls: server, max_age })
    });
    HttpsOptions { redirect_to_port, hsts }
}
