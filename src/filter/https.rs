//! From HTTP to HTTPS: a redirect of requests without TLS, and `Strict-Transport-Security`.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::http::status::Status;
use crate::http::target::split_authority;
use crate::net::tls::TlsServer;
use crate::service::{Context, Filter, Request, Response};

/// The default port of `https` URLs.
const HTTPS_PORT: u16 = 443;

/// From HTTP to HTTPS. Default: neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpsOptions {
    /// Redirects requests without TLS to this port, as clients reach it; see [`HttpsRedirect`].
    pub redirect_to_port: Option<u16>,
    /// Makes browsers require HTTPS; see [`Hsts`].
    pub hsts: Option<HstsOptions>,
}

/// Options of [`Hsts`].
#[derive(Clone)]
pub struct HstsOptions {
    /// The TLS whose certificates have to be from a public authority.
    pub tls: Arc<TlsServer>,
    /// Time for which browsers remember it, after each visit.
    pub max_age: Duration,
}

/// Equal if the time is equal and the TLS is the same instance.
impl PartialEq for HstsOptions {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tls, &other.tls) && self.max_age == other.max_age
    }
}

impl Eq for HstsOptions {}

/// Without the TLS, which holds keys.
impl fmt::Debug for HstsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HstsOptions").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

/// Redirects every request that came without TLS to the same URL with `https` (308, so that methods and
/// bodies survive). Those with TLS pass. What must be answered without TLS, such as challenges of ACME,
/// belongs outside of this filter.
#[derive(Clone, Copy, Debug)]
pub struct HttpsRedirect {
    port: u16,
}

impl HttpsRedirect {
    /// To this port, as clients reach it.
    pub fn to_port(port: u16) -> Self {
        Self { port }
    }

    fn location(&self, host: &str, request: &Request) -> String {
        let head = request.head();
        let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = if head.path().starts_with('/') { head.path() } else { "/" };
        match self.port {
            HTTPS_PORT => format!("https://{host}{path}{query}"),
            port => format!("https://{host}:{port}{path}{query}"),
        }
    }
}

impl Filter for HttpsRedirect {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        if request.context().tls().is_some() {
            return ControlFlow::Continue(());
        }
        let host = split_authority(request.head().authority()).0;
        if host.is_empty() {
            let detail = "the request names no host to be redirected to; use HTTP/1.1, or https";
            return ControlFlow::Break(Response::error(Status::BAD_REQUEST, detail));
        }
        let location = self.location(host, request);
        let mut response = Response::new(Status::PERMANENT_REDIRECT);
        match response.add_field("Location", location) {
            Ok(()) => ControlFlow::Break(response),
            Err(error) => ControlFlow::Break(Response::error(Status::BAD_REQUEST, &error.to_string())),
        }
    }
}

/// Makes browsers use HTTPS alone for this host (RFC 6797): `Strict-Transport-Security` on responses over
/// TLS, and only while all certificates are from an authority: with a self-signed one, browsers would lock
/// visitors out without an override.
#[derive(Clone, Debug)]
pub struct Hsts {
    tls: Arc<TlsServer>,
    line: Vec<u8>,
}

impl Hsts {
    /// The name of the field.
    const NAME: &str = "Strict-Transport-Security";

    /// With these options.
    pub fn with_options(options: &HstsOptions) -> Self {
        Self::new(options.tls.clone(), options.max_age)
    }

    /// For this long after each visit. Subdomains are not included, because others may operate them.
    pub fn new(tls: Arc<TlsServer>, max_age: Duration) -> Self {
        Self { tls, line: format!("{}: max-age={}\r\n", Self::NAME, max_age.as_secs()).into_bytes() }
    }
}

impl Filter for Hsts {
    fn before(&self, _request: &mut Request) -> ControlFlow<Response> {
        ControlFlow::Continue(())
    }

    fn after(&self, context: &Context, response: &mut Response) {
        if context.tls().is_some() && response.field_value(Self::NAME).is_none() && self.tls.is_real() {
            response.add_lines(&self.line);
        }
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        self.after(context, response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Call, on_core};
    use crate::service::Router;

    #[test]
    fn who_comes_without_tls_is_sent_to_the_same_url_with_it() {
        on_core(async |_core| {
            for (port, host, target, location) in [
                (443, "example.com", "/a%20b?c=d", "https://example.com/a%20b?c=d"),
                (8443, "example.com:8080", "/", "https://example.com:8443/"),
                (443, "[::1]:80", "/x", "https://[::1]/x"),
            ] {
                let routes = Router::new().filter(HttpsRedirect::to_port(port)).get("/", async || "inside");
                let routes = routes.build().unwrap();
                let response = Call::new("POST", target).header("Host", host).send(&routes).await;
                assert_eq!(response.status(), 308);
                assert_eq!(response.header("Location"), Some(location));
            }
        });
    }
}
