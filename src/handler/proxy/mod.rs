//! The reverse proxy: forwards requests to an upstream, and its responses back.
//!
//! ```text
//! request ─► check ─► pick an endpoint ─► a connection, kept or fresh ─► the exchange ─► response
//!                          ▲                                                 │
//!                          └───────────── again, where that is safe ◄────────┘
//! ```
//!
//! Nothing runs beside the client's own task: the request's body is sent, and the response received, as that
//! task is polled. Bodies are never held, but for small ones that may have to be sent again.

mod body;
mod call;
mod options;
mod request;
mod response;
mod tunnel;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use self::options::{ForwardedForm, ForwardedOptions, HostPolicy, ProxyMistake, ProxyOptions};
use self::request::NotForwarded;
use crate::http::message::{RequestHead, push_field};
use crate::http::method::Method;
use crate::http::path;
use crate::http::status::Status;
use crate::http::target::is_authority;
use crate::service::{CoreContext, Request, Response, Service};
use crate::upstream::{Group, LocalUpstream, TrailerRule, UpstreamMistake, UpstreamOptions};

/// Forwards requests to its upstreams.
pub struct Proxy {
    options: ProxyOptions,
    /// Those with a share.
    // INVARIANT: not empty.
    upstreams: Vec<(u32, Rc<LocalUpstream>)>,
    /// Chooses among several upstreams.
    draw: Cell<u64>,
    /// For the field lines of the request that is being written.
    scratch: RefCell<Vec<u8>>,
    /// Which trailers of requests are forwarded.
    trailers: TrailerRule,
}

impl Proxy {
    /// With these options, on this core.
    ///
    /// # Errors
    /// Every mistake.
    pub fn with_options(options: &ProxyOptions, core: &CoreContext) -> Result<Self, Vec<ProxyMistake>> {
        options.check()?;
        let mut upstreams = Vec::new();
        for (share, upstream) in options.upstreams.iter().filter(|(share, _)| *share > 0) {
            let upstream = LocalUpstream::new(upstream, core).map_err(|mistake| vec![mistake.into()])?;
            upstreams.push((*share, upstream));
        }
        let ruled = options.clone();
        Ok(Self {
            trailers: TrailerRule::new(move |name| request::may_follow(&ruled, name)),
            options: options.clone(),
            upstreams,
            draw: Cell::new(core.worker as u64),
            scratch: RefCell::default(),
        })
    }

    /// The upstream of the next request, by the shares.
    fn choose(&self) -> Rc<LocalUpstream> {
        let [(_, first), others @ ..] = &self.upstreams[..] else {
            unreachable!("a proxy has an upstream");
        };
        if others.is_empty() {
            return first.clone();
        }
        // Multiples of the golden ratio are spread evenly, whatever the shares.
        let draw = self.draw.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.draw.set(draw);
        let shares: u64 = self.upstreams.iter().map(|(share, _)| u64::from(*share)).sum();
        let mut at = ((u128::from(draw) * u128::from(shares)) >> 64) as u64;
        for (share, upstream) in &self.upstreams {
            match at.checked_sub(u64::from(*share)) {
                None => return upstream.clone(),
                Some(left) => at = left,
            }
        }
        first.clone()
    }

    #[cold]
    fn answer_here(&self, request: &Request, reason: NotForwarded) -> Response {
        let via = self.options.via.as_deref();
        match reason {
            NotForwarded::LastHop if request.method() == Method::Options => Response::new(Status::NO_CONTENT),
            NotForwarded::LastHop => {
                let detail = "this proxy is the last one that the request may reach, and does not answer it";
                response::error(Status::BAD_GATEWAY, "http_request_denied", detail, via)
            }
            NotForwarded::Loop => {
                let detail = "the request came through this proxy again and again";
                response::error(Status::BAD_GATEWAY, "proxy_loop_detected", detail, via)
            }
            NotForwarded::Content => {
                let detail = "a TRACE request has no content";
                response::error(Status::BAD_REQUEST, "http_request_error", detail, via)
            }
            NotForwarded::Connect => {
                let detail = "this proxy opens no tunnels to other hosts";
                response::error(Status::NOT_IMPLEMENTED, "http_request_denied", detail, via)
            }
        }
    }
}

impl Service for Proxy {
    async fn call(&self, request: Request) -> Response {
        if let Err(reason) = request::check(request.head(), self.options.via.as_deref()) {
            return self.answer_here(&request, reason);
        }
        let (context, body) = request.into_parts();
        self.forward(context, body).await
    }

    /// The endpoint has its own limit, unless the route or the options have one.
    fn judges_bodies(&self) -> bool {
        true
    }
}

impl ProxyOptions {
    /// The target as an endpoint gets it: path and query of the request, rewritten as the options say.
    pub fn forwarded_target<'a>(&self, head: &'a RequestHead) -> Cow<'a, str> {
        request::target(head, self)
    }

    /// Finds what is wrong with the options without a core; reads the files that they name.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(&self) -> Result<(), Vec<ProxyMistake>> {
        self.check_with(Group::check_files)
    }

    /// As [`check`](Self::check), without files: what is wrong on every machine.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check_alone(&self) -> Result<(), Vec<ProxyMistake>> {
        self.check_with(Group::check)
    }

    fn check_with(
        &self,
        check: impl Fn(&UpstreamOptions) -> Result<(), UpstreamMistake>,
    ) -> Result<(), Vec<ProxyMistake>> {
        let mut mistakes = Vec::new();
        if self.upstreams.iter().all(|(share, _)| *share == 0) {
            mistakes.push(ProxyMistake::NoUpstream);
        }
        let upstreams = self.upstreams.iter().map(|(_, upstream)| check(upstream));
        mistakes.extend(upstreams.filter_map(|checked| checked.err().map(ProxyMistake::from)));
        let prefixes = self.strip_prefix.iter().chain(&self.add_prefix);
        mistakes.extend(prefixes.filter(|prefix| !is_prefix(prefix)).cloned().map(ProxyMistake::Prefix));
        let removed = self.remove_fields.iter().map(|name| (&**name, ""));
        let fields = self.set_fields.iter().map(|(name, value)| (&**name, &**value)).chain(removed);
        mistakes.extend(
            fields
                .filter(|(name, value)| !is_field(name, value))
                .map(|(name, _)| ProxyMistake::Field(name.into())),
        );
        let host = match &self.host {
            HostPolicy::Fixed(host) => Some(host),
            HostPolicy::Keep | HostPolicy::Endpoint => None,
        };
        let hosts = host.into_iter().chain(&self.via);
        mistakes.extend(hosts.filter(|host| !is_authority(host.as_bytes())).cloned().map(ProxyMistake::Host));
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

/// Whether paths that are matched can begin with it.
fn is_prefix(prefix: &str) -> bool {
    let mut normal = Vec::new();
    prefix.len() > 1
        && !prefix.ends_with('/')
        && path::normalize(prefix.as_bytes(), &mut normal).is_ok()
        && normal == prefix.as_bytes()
}

/// Fields that are written by the proxy itself, from the request's framing and its own options.
const OWN: [&str; 7] = ["expect", "host", "max-forwards", "te", "trailer", "upgrade", "via"];

fn is_field(name: &str, value: &str) -> bool {
    !OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
        && push_field(&mut Vec::new(), name, value.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Context, RequestBody};

    /// A request costs one allocation for its future, from the allocator's lists of small blocks.
    #[test]
    fn the_future_of_a_request_is_small() {
        crate::harness::on_core(async |core| {
            let options = ProxyOptions::to(UpstreamOptions::new("a", ["127.0.0.1:1"]).unwrap());
            let proxy = Proxy::with_options(&options, &core).unwrap();
            let request = Request::new(Context::take(), RequestBody::empty());
            let size = size_of_val(&proxy.call(request));
            assert!(size <= 1024, "{size}");
        });
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let proxy = ProxyOptions::to(UpstreamOptions::new("a", ["a:1"]).unwrap());
        assert_eq!(proxy.check(), Ok(()));
        let fine = ProxyOptions {
            strip_prefix: Some("/api/v1".into()),
            add_prefix: Some("/t%20x".into()),
            host: HostPolicy::Fixed("a.test:8080".into()),
            set_fields: vec![("X-A".into(), "b".into())],
            via: None,
            ..proxy.clone()
        };
        assert_eq!(fine.check(), Ok(()));
        let wrong = ProxyOptions {
            upstreams: vec![(0, UpstreamOptions::of("b", Vec::new()).into())],
            strip_prefix: Some("/api/".into()),
            add_prefix: Some("a b".into()),
            host: HostPolicy::Fixed("a b".into()),
            set_fields: vec![("Host".into(), "x".into()), ("X-A".into(), "a\r\nb".into())],
            remove_fields: vec!["A B".into()],
            ..proxy
        };
        assert_eq!(wrong.check().unwrap_err().len(), 8);
    }
}
