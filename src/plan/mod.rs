//! What a server serves, as a value: listeners, sites by host, routes, filters in order, handlers. A plan can
//! be built, compared, printed, explained and checked without a server, and swapped on a running one.
//!
//! ```
//! use quoit::filter::SecurityHeadersOptions;
//! use quoit::handler::DirectoryOptions;
//! use quoit::plan::{FilterOptions, HandlerOptions, Plan, Route, Site};
//!
//! let files = HandlerOptions::Files(DirectoryOptions::new("/srv/site"));
//! let site = Site::new()
//!     .filter(FilterOptions::SecurityHeaders(SecurityHeadersOptions::default()))
//!     .route(Route::get("/health", HandlerOptions::text("fine")))
//!     .fallback(files);
//! let plan = Plan::builder().listen("127.0.0.1:8080".parse().unwrap()).site("example.com", site).build();
//!
//! let explanation = plan.explain("GET", "http://example.com:8080/health", &[]).unwrap();
//! assert_eq!(explanation.site, "example.com");
//! assert_eq!(explanation.filters[0].filter, "security-headers");
//! assert!(explanation.responder.to_string().starts_with("route GET /health: respond 200 OK, 4 bytes"));
//! ```
//!
//! ```text
//! Plan ─ Listener   address, TLS
//!      └ Site       one for each host, and the default one
//!         ├ FilterOptions …    outermost first
//!         ├ Route              pattern, methods
//!         │  ├ FilterOptions …
//!         │  └ HandlerOptions
//!         └ HandlerOptions     the fallback, for requests that match no route
//! ```
//!
//! [`Plan::build`] creates the service of one core. It knows no server: the supervisor distributes plans to
//! the cores and decides about requests in progress. The options of each filter and handler are defined with
//! the filter and handler.

mod assemble;
mod build;
mod custom;
mod diff;
mod error;
mod explain;
mod options;
mod secrets;
mod service;
mod show;
mod site;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::custom::{CustomFilter, CustomHandler};
pub use self::diff::{PlanChange, PlanChangeKind, PlanDiff};
pub use self::error::{PlanError, PlanErrors, PlanMistake};
pub use self::explain::{
    ExplainError, ExplainedFilter, ExplainedSetting, Explanation, Origin, PassedOver, Reason, Responder,
};
pub use self::options::{FilterOptions, HandlerOptions};
pub(crate) use self::secrets::keys;
pub use self::secrets::{ExposedSecret, Secret, SecretKind};
pub use self::service::PlanService;
pub use self::site::{Route, Site};
use crate::net::Address;
use crate::net::tls::TlsServer;

/// What a server serves; see the [module](self). Equal plans serve alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The addresses to listen on. If empty, the server's own configuration applies.
    pub listeners: Vec<Listener>,
    /// Handles requests for hosts without a site. Default: 404 for everything.
    pub default_site: Site,
    /// Hosts and their sites: `example.com`, or `*.example.com` for every name below it. An exact name has
    /// precedence over the longest suffix, whatever the order.
    pub sites: Vec<(String, Site)>,
    /// Files that no directory serves, such as those of the configuration.
    pub kept_back: KeptBack,
}

/// Files that are served by no name. Equal whatever they are: where a plan was read from makes it no other.
#[derive(Clone, Debug, Default)]
pub struct KeptBack(pub Vec<PathBuf>);

impl PartialEq for KeptBack {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// The TLS configuration; plain HTTP without.
    pub tls: Option<TlsReference>,
}

/// The TLS configuration of a listener, shared with its other users. Equal only if it is the same object,
/// because it changes: files are reloaded while it is in use.
#[derive(Clone)]
pub struct TlsReference(Arc<TlsServer>);

impl TlsReference {
    /// The configuration.
    pub fn server(&self) -> &Arc<TlsServer> {
        &self.0
    }
}

impl From<Arc<TlsServer>> for TlsReference {
    fn from(tls: Arc<TlsServer>) -> Self {
        Self(tls)
    }
}

impl PartialEq for TlsReference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsReference {}

/// The names of its certificates. Contains no secrets.
impl fmt::Debug for TlsReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsReference({self})")
    }
}

/// The names of its certificates.
impl fmt::Display for TlsReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.inventory().iter().map(|facts| facts.name_list()).collect();
        f.write_str(if names.is_empty() { "no certificate yet" } else { "" })?;
        f.write_str(&names.join("; "))
    }
}

impl Plan {
    /// Starts an empty plan.
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }
}

/// Collects the parts of a plan. Errors are found by [`Plan::check`] and [`Plan::build`], all at once.
#[derive(Clone, Debug, Default)]
pub struct PlanBuilder {
    plan: Plan,
}

impl PlanBuilder {
    /// Listens on this address too, over plain HTTP.
    pub fn listen(mut self, address: Address) -> Self {
        self.plan.listeners.push(Listener { address, tls: None });
        self
    }

    /// Listens on this address too, over TLS.
    pub fn listen_tls(mut self, address: Address, tls: Arc<TlsServer>) -> Self {
        self.plan.listeners.push(Listener { address, tls: Some(tls.into()) });
        self
    }

    /// Serves a host: `example.com`, or `*.example.com` for every name below it.
    pub fn site(mut self, host: &str, site: Site) -> Self {
        self.plan.sites.push((host.to_owned(), site));
        self
    }

    /// Handles requests for hosts without a site, and replaces an earlier default site.
    pub fn default_site(mut self, site: Site) -> Self {
        self.plan.default_site = site;
        self
    }

    /// The plan.
    pub fn build(self) -> Plan {
        self.plan
    }
}
