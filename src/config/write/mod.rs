//! The file that says what a plan and its settings say: `quoit serve … --print-config`. Read again, it gives
//! an equal plan. Writes no secrets: what came from a variable of its own is written as that variable.

mod text;
mod upstreams;

use std::fmt;
use std::path::Path;

use self::text::{Entries, Item, render};
use super::environment::escape;
use super::read::filters::PLAIN;
use super::units::{write_byte_rate, write_duration, write_size};
use super::{Settings, TlsUnit};
use crate::acme::{AcmeOptions, ChallengeType, LETS_ENCRYPT};
use crate::exchange::Limits;
use crate::filter::{
    BasicAuthOptions, CompressOptions, CorsOptions, HttpsOptions, PageSource, SecurityHeadersOptions,
};
use crate::handler::{Assets, DirectoryOptions, FilesOptions, MountsOptions, RespondOptions};
use crate::net::Address;
use crate::net::tls::{CipherPreference, ClientAuth, TlsOptions, TlsServer, TlsVersion};
use crate::observe::access::{Destination, Format};
use crate::plan::{FilterOptions, HandlerOptions, Plan, Route, Site};
use crate::service::router::{ConditionPart, ConditionTest};
use crate::service::{BodyPolicy, Condition};

/// What has no form in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// A part that is written in Rust.
    #[error("{0} is written in Rust, and a file has no form for it")]
    Custom(String),
    /// Two upstreams with one name.
    #[error("there are two upstreams of the name {0}, and a file has one of each name")]
    SameName(String),
    /// A path or a body that is not UTF-8.
    #[error("{0} is not UTF-8, and a file is")]
    NotText(String),
}

type Written<T> = Result<T, Unwritable>;

/// Writes a configuration.
pub(super) struct Writer<'p> {
    pub(super) tls: &'p [TlsUnit],
    pub(super) limits: &'p Limits,
}

fn text(value: impl fmt::Display) -> Item {
    Item::text(&escape(&value.to_string()))
}

fn texts<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> Item {
    Item::List(values.into_iter().map(text).collect())
}

fn path(path: &Path) -> Written<Item> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = absolute.to_str().ok_or_else(|| Unwritable::NotText(path.display().to_string()))?;
    Ok(text(shown))
}

fn address(address: &Address) -> Item {
    match address {
        Address::Inet(addr) => text(addr),
        unix => text(unix),
    }
}

fn body_text(bytes: &[u8], what: &str) -> Written<Item> {
    std::str::from_utf8(bytes).map(text).map_err(|_| Unwritable::NotText(what.to_owned()))
}

/// Adds the entry if the value is not the default.
fn unless<'v, T: PartialEq>(
    entries: &mut Entries,
    key: &str,
    value: &'v T,
    default: &T,
    item: impl FnOnce(&'v T) -> Item,
) {
    if value != default {
        entries.push(key, item(value));
    }
}

impl Writer<'_> {
    pub(super) fn config(&self, plan: &Plan, settings: &Settings) -> Written<String> {
        let mut root = Entries::default();
        self.listeners(&mut root, plan);
        self.settings(&mut root, settings)?;
        self.site(&mut root, &plan.default_site)?;
        for unit in self.tls {
            root.table_in("tls", &unit.name, self.tls_unit(&unit.options, unit.acme_options.as_ref())?);
        }
        for upstream in upstreams::all(plan)? {
            root.table_in("upstreams", &upstream.name, upstreams::upstream(&upstream)?);
        }
        let mut sites = Vec::new();
        for (host, site) in &plan.sites {
            let mut entries = Entries::default();
            entries.push("host", text(host));
            self.site(&mut entries, site)?;
            sites.push(entries);
        }
        if !sites.is_empty() {
            root.push("site", Item::Tables(sites));
        }
        Ok(render(&root))
    }

    fn name_of(&self, server: &std::sync::Arc<TlsServer>) -> Option<&str> {
        let is_it = |unit: &&TlsUnit| std::sync::Arc::ptr_eq(&unit.server, server);
        self.tls.iter().find(is_it).map(|unit| &*unit.name)
    }

    fn listeners(&self, root: &mut Entries, plan: &Plan) {
        if plan.listeners.iter().all(|listener| listener.tls.is_none()) {
            let list = plan.listeners.iter().map(|listener| address(&listener.address)).collect::<Vec<_>>();
            if !list.is_empty() {
                root.push("listen", Item::List(list));
            }
            return;
        }
        let tables = plan.listeners.iter().map(|listener| {
            let mut entries = Entries::default();
            entries.push("address", address(&listener.address));
            if let Some(name) = listener.tls.as_ref().and_then(|tls| self.name_of(tls.server())) {
                entries.push("tls", text(name));
            }
            entries
        });
        root.push("listen", Item::Tables(tables.collect()));
    }

    fn settings(&self, root: &mut Entries, settings: &Settings) -> Written<()> {
        let Settings { workers, cpus, unix_mode, quiet, limits, access_log, admin, metrics } = settings;
        root.option("workers", workers.as_ref(), Item::plain);
        root.option("cpus", cpus.as_ref(), |cpus| Item::List(cpus.iter().map(Item::plain).collect()));
        root.option("unix_mode", unix_mode.as_ref(), |mode| text(format_args!("{mode:o}")));
        unless(root, "quiet", quiet, &false, Item::plain);
        if let Some((destination, format)) = access_log {
            let file = match destination {
                Destination::Stdout => text("-"),
                Destination::File(file) => path(file)?,
            };
            let mut log = Entries::default();
            log.push("file", file);
            log.option("format", format.as_ref(), |format| match format {
                Format::Json => text("json"),
                Format::Pretty { .. } => text("pretty"),
                Format::Common => text("common"),
                Format::Combined => text("combined"),
            });
            root.push("access_log", log.inline());
        }
        if let Some(admin) = admin {
            root.push("admin", path(admin)?);
        }
        root.option("metrics", metrics.as_ref(), address);
        let limits = limits_of(limits);
        if !limits.is_empty() {
            root.push("limits", Item::Table(limits));
        }
        Ok(())
    }

    fn tls_unit(&self, options: &TlsOptions, acme: Option<&AcmeOptions>) -> Written<Entries> {
        let mut entries = Entries::default();
        let mut certificates = Vec::new();
        for files in &options.certificates {
            let mut certificate = Entries::default();
            certificate.push("certificate", path(&files.chain)?);
            certificate.push("key", path(&files.key)?);
            certificates.push(certificate.inline());
        }
        if !certificates.is_empty() {
            entries.push("certificates", Item::List(certificates));
        }
        if !options.self_signed.is_empty() {
            entries.push("self_signed", texts(&options.self_signed));
        }
        if let ClientAuth::Optional(trust) | ClientAuth::Required(trust) = &options.client_auth {
            entries.push("client_ca", path(&trust.authorities)?);
            let is_optional = matches!(options.client_auth, ClientAuth::Optional(_));
            entries.push("client_auth", text(if is_optional { "optional" } else { "required" }));
            if !trust.crls.is_empty() {
                let crls = trust.crls.iter().map(|crl| path(crl)).collect::<Written<_>>()?;
                entries.push("crl", Item::List(crls));
            }
        }
        unless(&mut entries, "min", &options.version_min, &TlsVersion::V1_2, |_| text("1.3"));
        let aes_128 = CipherPreference::Aes128;
        unless(&mut entries, "prefer", &options.cipher_preference, &aes_128, |_| text("aes-256"));
        unless(&mut entries, "http2", &options.http2, &true, Item::plain);
        if let Some(acme) = acme {
            entries.push("acme", Item::Table(acme_of(acme)?));
        }
        Ok(entries)
    }

    fn site(&self, entries: &mut Entries, site: &Site) -> Written<()> {
        self.filters(entries, &site.filters)?;
        if let Some(policy) = &site.body_policy {
            entries.push("body", self.body(policy));
        }
        if let Some(handler) = &site.fallback {
            push_handler(entries, handler)?;
        }
        let routes = site.routes.iter().map(|route| self.route(route)).collect::<Written<Vec<_>>>()?;
        if !routes.is_empty() {
            entries.push("route", Item::Tables(routes));
        }
        Ok(())
    }

    fn route(&self, route: &Route) -> Written<Entries> {
        let Route { methods, pattern, conditions, filters, handler, body_policy } = route;
        let mut entries = Entries::default();
        entries.push("path", text(pattern));
        if !methods.is_empty() {
            entries.push("methods", texts(methods));
        }
        if !conditions.is_empty() {
            entries.push("when", when(conditions));
        }
        self.filters(&mut entries, filters)?;
        if let Some(policy) = body_policy {
            entries.push("body", self.body(policy));
        }
        push_handler(&mut entries, handler)?;
        Ok(entries)
    }

    fn body(&self, policy: &BodyPolicy) -> Item {
        let mut entries = Entries::default();
        let size = policy.bytes_max.map_or_else(|| text("none"), |bytes| text(write_size(bytes)));
        unless(&mut entries, "size", &policy.bytes_max, &self.limits.body.body_bytes_max, |_| size);
        let stall = policy.stall_timeout.map_or_else(|| text("none"), |time| text(write_duration(time)));
        let default = Some(self.limits.stall_timeout);
        unless(&mut entries, "stall_timeout", &policy.stall_timeout, &default, |_| stall);
        unless(&mut entries, "rate_min", &policy.rate_min, &self.limits.rate_min, |rate| {
            text(write_byte_rate(*rate))
        });
        entries.inline()
    }

    fn filters(&self, entries: &mut Entries, filters: &[FilterOptions]) -> Written<()> {
        let mut items = Vec::new();
        for filter in filters {
            items.extend(self.filter(filter)?);
        }
        if !items.is_empty() {
            entries.push("filters", Item::Lines(items));
        }
        Ok(())
    }

    /// `None` for what follows from the rest of the file.
    fn filter(&self, filter: &FilterOptions) -> Written<Option<Item>> {
        let (name, options) = match filter {
            FilterOptions::AcmeChallenges(_) => return Ok(None),
            FilterOptions::Https(https) => ("https", self.https(https)),
            FilterOptions::RequestId(options) => {
                let mut entries = Entries::default();
                unless(&mut entries, "keep_incoming", &options.keep_incoming, &false, Item::plain);
                ("request_id", entries.inline())
            }
            FilterOptions::Fields(options) => ("headers", headers(&options.fields)),
            FilterOptions::SecurityHeaders(SecurityHeadersOptions { policy }) => {
                let mut entries = Entries::default();
                entries.option("policy", policy.as_ref(), text);
                ("security_headers", entries.inline())
            }
            FilterOptions::Cors(options) => ("cors", cors(options)),
            FilterOptions::Compress(options) => {
                let (mut entries, default) = (Entries::default(), CompressOptions::default());
                unless(&mut entries, "min_size", &options.min_bytes, &default.min_bytes, |bytes| {
                    text(write_size(*bytes as u64))
                });
                unless(&mut entries, "streams", &options.streams_max, &default.streams_max, Item::plain);
                ("compress", entries.inline())
            }
            FilterOptions::ErrorPages(options) => {
                let mut entries = Entries::default();
                for (status, page) in &options.pages {
                    let item = match page {
                        PageSource::File(file) => path(file)?,
                        PageSource::Html(html) => {
                            let mut page = Entries::default();
                            page.push("html", body_text(html, "an error page")?);
                            page.inline()
                        }
                    };
                    // The last page of a status counts.
                    entries.replace(&status.code().to_string(), item);
                }
                ("error_pages", entries.inline())
            }
            FilterOptions::BasicAuth(BasicAuthOptions { users, realm }) => {
                let mut entries = Entries::default();
                entries.push("users", path(users)?);
                entries.push("realm", text(realm));
                ("basic_auth", entries.inline())
            }
            FilterOptions::Timeout(options) => ("timeout", text(write_duration(options.after))),
            FilterOptions::Custom(custom) => return Err(Unwritable::Custom(custom.to_string())),
        };
        if matches!(&options, Item::Inline(options) if options.is_empty()) && PLAIN.contains(&name) {
            return Ok(Some(text(name)));
        }
        let mut entries = Entries::default();
        entries.push(name, options);
        Ok(Some(entries.inline()))
    }

    fn https(&self, options: &HttpsOptions) -> Item {
        let mut entries = Entries::default();
        entries.option("redirect_to", options.redirect_to_port.as_ref(), Item::plain);
        if let Some(hsts) = &options.hsts {
            entries.push("hsts", text(write_duration(hsts.max_age)));
            entries.option("tls", self.name_of(&hsts.tls), text);
        }
        entries.inline()
    }
}

fn when(conditions: &[Condition]) -> Item {
    let mut when = Entries::default();
    for (key, part) in [("headers", ConditionPart::Field), ("query", ConditionPart::Query)] {
        let mut entries = Entries::default();
        for condition in conditions.iter().filter(|condition| condition.part == part) {
            let item = match &condition.test {
                ConditionTest::Present => Item::plain(true),
                ConditionTest::Absent => Item::plain(false),
                ConditionTest::OneOf(values) if values.len() == 1 => text(&values[0]),
                ConditionTest::OneOf(values) => texts(values),
                ConditionTest::Prefix(prefix) => {
                    let mut table = Entries::default();
                    table.push("prefix", text(prefix));
                    table.inline()
                }
            };
            entries.push(&condition.name, item);
        }
        if !entries.is_empty() {
            when.push(key, entries.inline());
        }
    }
    when.inline()
}

/// By name, or as lines where a name comes twice.
fn headers(fields: &[(String, String)]) -> Item {
    let repeats = |(index, (name, _)): (usize, &(String, String))| {
        fields[..index].iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if fields.iter().enumerate().any(repeats) {
        return texts(fields.iter().map(|(name, value)| format!("{name}: {value}")));
    }
    let mut entries = Entries::default();
    fields.iter().for_each(|(name, value)| entries.push(name, text(value)));
    entries.inline()
}

fn cors(options: &CorsOptions) -> Item {
    let mut entries = Entries::default();
    let default = CorsOptions::default();
    entries.option("origins", options.origins.as_ref(), texts);
    unless(&mut entries, "credentials", &options.credentials, &default.credentials, Item::plain);
    entries.option("methods", options.methods.as_ref(), text);
    entries.option("headers", options.headers.as_ref(), text);
    entries.option("exposed", options.exposed.as_ref(), text);
    unless(&mut entries, "max_age", &options.max_age, &default.max_age, |time| text(write_duration(*time)));
    entries.inline()
}

fn push_handler(entries: &mut Entries, handler: &HandlerOptions) -> Written<()> {
    match handler {
        HandlerOptions::Files(directory) => {
            entries.push("files", Item::Table(directory_of(directory, &FilesOptions::default())?));
        }
        HandlerOptions::Mounts(MountsOptions { root, below }) => {
            let mut files = directory_of(root, &FilesOptions::default())?;
            let mut mounts = Entries::default();
            for mount in below {
                let prefix = mount.files.prefix.clone();
                let inherited = FilesOptions { prefix: prefix.clone(), spa: false, ..root.files.clone() };
                let options = directory_of(mount, &inherited)?;
                mounts.push(&prefix, options.inline());
            }
            files.push("mounts", Item::Table(mounts));
            entries.push("files", Item::Table(files));
        }
        HandlerOptions::Welcome => entries.push("welcome", Item::plain(true)),
        HandlerOptions::Respond(options) => entries.push("respond", respond(options)?),
        HandlerOptions::Redirect(options) => {
            let mut redirect = Entries::default();
            redirect.push("to", text(&options.location));
            redirect.push("status", Item::plain(options.status.code()));
            entries.push("redirect", redirect.inline());
        }
        HandlerOptions::Custom(custom) => return Err(Unwritable::Custom(custom.to_string())),
        HandlerOptions::Proxy(options) => entries.push("proxy", upstreams::proxy(options)),
    }
    Ok(())
}

fn respond(options: &RespondOptions) -> Written<Item> {
    let RespondOptions { status, fields, body } = options;
    let mut entries = Entries::default();
    if status.code() != 200 {
        entries.push("status", Item::plain(status.code()));
    }
    let plain = [("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    let is_text = fields[..] == plain;
    if !is_text && !fields.is_empty() {
        entries.push("headers", headers(fields));
    }
    if is_text || !body.is_empty() {
        entries.push(if is_text { "text" } else { "body" }, body_text(body, "the body of a response")?);
    }
    Ok(entries.inline())
}

/// The options that are not these.
fn directory_of(directory: &DirectoryOptions, default: &FilesOptions) -> Written<Entries> {
    let DirectoryOptions { path: root, files } = directory;
    let mut entries = Entries::default();
    entries.push("root", path(root)?);
    unless(&mut entries, "strip", &files.prefix, &default.prefix, text);
    unless(&mut entries, "index", &files.index, &default.index, texts);
    for (key, value, default) in [
        ("list", files.list, default.list),
        ("spa", files.spa, default.spa),
        ("clean_urls", files.clean_urls, default.clean_urls),
        ("follow_links", files.follow_links, default.follow_links),
        ("siblings", files.siblings, default.siblings),
    ] {
        unless(&mut entries, key, &value, &default, Item::plain);
    }
    let size = |bytes: &u64| text(write_size(*bytes));
    unless(&mut entries, "cache_size", &files.cache_bytes_max, &default.cache_bytes_max, size);
    let cached = &default.cached_file_bytes_max;
    unless(&mut entries, "cached_file_size", &files.cached_file_bytes_max, cached, size);
    unless(&mut entries, "charset", &files.charset, &default.charset, text);
    if files.assets != default.assets {
        match files.assets.bytes_max() {
            None => entries.push("compress", Item::plain(false)),
            Some(Assets::BYTES_MAX) => entries.push("compress", Item::plain(true)),
            Some(bytes) => entries.push("compressed_size", size(&bytes)),
        }
    }
    if files.cache_control != default.cache_control {
        let mut rules = Entries::default();
        // The first rule that fits decides.
        files.cache_control.iter().for_each(|rule| rules.push_new(&rule.glob.to_string(), text(&rule.value)));
        entries.push("cache_control", rules.inline());
    }
    if files.preload != default.preload {
        let mut rules = Entries::default();
        for rule in &files.preload {
            let of_same = files.preload.iter().filter(|other| other.glob == rule.glob);
            rules.push_new(&rule.glob.to_string(), texts(of_same.map(|rule| &rule.link)));
        }
        entries.push("preload", rules.inline());
    }
    unless(&mut entries, "download", &files.download, &default.download, texts);
    Ok(entries)
}

fn acme_of(options: &AcmeOptions) -> Written<Entries> {
    let mut entries = Entries::default();
    let names = options.certificates.iter().map(|names| texts(names.as_slice()));
    entries.push("names", Item::List(names.collect()));
    let usual = LETS_ENCRYPT.to_owned();
    unless(&mut entries, "directory", &options.directory, &usual, text);
    entries.option("email", options.contact.as_ref(), text);
    entries.push("state", path(&options.state)?);
    match &options.challenge {
        ChallengeType::Dns01(command) => entries.push("dns_hook", text(command)),
        challenge => entries.push("challenge", text(challenge.name())),
    }
    if let Some(root) = &options.ca_root {
        entries.push("ca_root", path(root)?);
    }
    if options.binding.is_some() {
        entries.push("eab", Item::text("${QUOIT_ACME_EAB}"));
    }
    Ok(entries)
}

fn limits_of(limits: &Limits) -> Entries {
    let (mut entries, default) = (Entries::default(), Limits::default());
    for (key, value, default) in [
        ("head_timeout", limits.head_timeout, default.head_timeout),
        ("handshake_timeout", limits.handshake_timeout, default.handshake_timeout),
        ("idle_timeout", limits.idle_timeout, default.idle_timeout),
        ("stall_timeout", limits.stall_timeout, default.stall_timeout),
        ("half_closed_timeout", limits.half_closed_timeout, default.half_closed_timeout),
        ("linger_timeout", limits.linger_timeout, default.linger_timeout),
        ("drain_timeout", limits.drain_timeout, default.drain_timeout),
        ("drain_grace", limits.drain_grace, default.drain_grace),
        ("drain_stall_timeout", limits.drain_stall_timeout, default.drain_stall_timeout),
        ("reload_drain_timeout", limits.reload_drain_timeout, default.reload_drain_timeout),
    ] {
        unless(&mut entries, key, &value, &default, |time| text(write_duration(*time)));
    }
    unless(&mut entries, "rate_min", &limits.rate_min, &default.rate_min, |rate| {
        text(write_byte_rate(*rate))
    });
    entries.option("connection_age", limits.connection_age_max.as_ref(), |age| text(write_duration(*age)));
    entries.option("connections", limits.connections_max.as_ref(), Item::plain);
    unless(&mut entries, "handshakes", &limits.handshakes_max, &default.handshakes_max, Item::plain);
    let mut derived = default.clone();
    if limits.head.head_bytes_max != default.head.head_bytes_max {
        entries.push("head_size", text(write_size(limits.head.head_bytes_max.into())));
        derived.set_head_bytes_max(limits.head.head_bytes_max);
    }
    let line = limits.head.request_line_bytes_max;
    unless(&mut entries, "request_line_size", &line, &derived.head.request_line_bytes_max, |bytes| {
        text(write_size(u64::from(*bytes)))
    });
    unless(&mut entries, "fields", &limits.head.fields_max, &default.head.fields_max, Item::plain);
    let bytes = limits.body.body_bytes_max;
    unless(&mut entries, "body_size", &bytes, &default.body.body_bytes_max, |bytes| {
        bytes.map_or_else(|| text("none"), |bytes| text(write_size(bytes)))
    });
    unless(&mut entries, "discard_size", &limits.discard_bytes_max, &default.discard_bytes_max, |bytes| {
        text(write_size(*bytes))
    });
    unless(&mut entries, "streams", &limits.h2.streams_max, &default.h2.streams_max, Item::plain);
    entries
}
