//! The hosts that a client of one core knows: an upstream for each, made when it is first asked, and the
//! addresses of its name. As many as the options allow; the one that was not used for longest goes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::error::{ClientError, ClientErrorKind, TimeoutKind};
use super::options::ClientOptions;
use super::proxies::ForwardProxy;
use super::url::Url;
use crate::observe::log;
use crate::ring::{Ring, Wakers, later};
use crate::service::CoreContext;
use crate::upstream::{
    ConnectTunnel, EndpointAddress, EndpointOptions, ExchangeError, ExchangeFailure, LocalUpstream,
    NameState, UpstreamOptions, UpstreamProtocol, look_up,
};

/// Look-ups of one core at once. Each takes one of the core's threads for blocking work for as long as the
/// resolver takes, and other work needs some.
const LOOK_UPS_MAX: usize = 4;

/// How long a look-up waits before it looks for room again.
const LOOK_UP_TICK: Duration = Duration::from_millis(10);

/// How long a name that has no address is not looked up again.
const FAILURE_TIME: Duration = Duration::from_secs(1);

/// The hosts of one client.
pub(super) struct Origins {
    known: RefCell<HashMap<String, Rc<Origin>>>,
    /// Counts uses.
    clock: Cell<u64>,
    looking: Rc<Cell<usize>>,
}

/// A host, a scheme and a port, and the proxy on the way.
pub(super) struct Origin {
    pub(super) upstream: Rc<LocalUpstream>,
    name: Option<Rc<OriginName>>,
    last_use: Cell<u64>,
}

/// The addresses of an origin's name.
struct OriginName {
    host: String,
    port: u16,
    /// The operator has chosen it, so that the rule for addresses does not apply.
    is_proxy: bool,
    state: Arc<NameState>,
    valid_until: Cell<Option<Instant>>,
    is_looking: Cell<bool>,
    failure: RefCell<Option<NameFailure>>,
    waiting: RefCell<Wakers>,
}

#[derive(Clone)]
enum NameFailure {
    /// Every address is refused by the options.
    Denied,
    Unknown(io::ErrorKind, String),
}

impl Origins {
    pub(super) fn new() -> Self {
        Self { known: RefCell::default(), clock: Cell::new(0), looking: Rc::default() }
    }

    /// The origin of this URL, with at least one address.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(super) async fn get(
        &self,
        url: &Url,
        proxy: Option<&ForwardProxy>,
        options: &Rc<ClientOptions>,
        core: &CoreContext,
    ) -> Result<Rc<Origin>, ClientError> {
        if let Some(ip) = url.ip()
            && !options.allows(ip)
        {
            return Err(denied());
        }
        let origin = self.find(url, proxy, options, core)?;
        if let Some(name) = &origin.name {
            self.resolve(name, options, &core.ring).await?;
        }
        Ok(origin)
    }

    fn find(
        &self,
        url: &Url,
        proxy: Option<&ForwardProxy>,
        options: &ClientOptions,
        core: &CoreContext,
    ) -> Result<Rc<Origin>, ClientError> {
        // A proxy gets the requests to all plain hosts over the same connections.
        let (scheme, at) =
            if url.is_https() { ("https", url) } else { ("http", proxy.map_or(url, |p| &p.url)) };
        let mut key = format!("{scheme}://{}:{}", at.host(), at.port());
        if let Some(proxy) = proxy {
            key.push_str(if url.is_https() { " by " } else { " (proxy)" });
            key.push_str(if url.is_https() { proxy.url.authority() } else { "" });
        }
        self.clock.set(self.clock.get() + 1);
        let known = self.known.borrow().get(&key).cloned();
        if let Some(origin) = known {
            origin.last_use.set(self.clock.get());
            return Ok(origin);
        }
        let origin = Rc::new(make(&key, url, proxy, options, core)?);
        origin.last_use.set(self.clock.get());
        let forgotten = self.make_room(options.hosts_max);
        self.known.borrow_mut().insert(key, origin.clone());
        // After the borrow: it closes connections.
        drop(forgotten);
        Ok(origin)
    }

    /// Forgets the origin that was not used for longest, if there are as many as allowed.
    fn make_room(&self, hosts_max: usize) -> Option<Rc<Origin>> {
        let mut known = self.known.borrow_mut();
        if known.len() < hosts_max.max(1) {
            return None;
        }
        let oldest = known.iter().min_by_key(|(_, origin)| origin.last_use.get()).map(|(key, _)| key.clone());
        known.remove(&oldest?)
    }

    /// Waits until the name has addresses. Known ones are used while they are looked up again.
    async fn resolve(
        &self,
        name: &Rc<OriginName>,
        options: &Rc<ClientOptions>,
        ring: &Ring,
    ) -> Result<(), ClientError> {
        let is_valid = || name.valid_until.get().is_some_and(|until| ring.now() < until);
        if !is_valid() {
            self.look_up(name, options, ring);
        }
        let resolved = poll_fn(|cx| {
            if !name.state.found().is_empty() {
                return Poll::Ready(());
            }
            if is_valid() || !name.is_looking.get() {
                return Poll::Ready(());
            }
            name.waiting.borrow_mut().add(cx);
            Poll::Pending
        });
        if ring.within(options.timeouts.connect, resolved).await.is_none() {
            let late = "the look-up of its name takes too long";
            return Err(ClientError::late(TimeoutKind::Name, late, true));
        }
        if !name.state.found().is_empty() {
            return Ok(());
        }
        match name.failure.borrow().clone() {
            Some(NameFailure::Denied) => Err(denied()),
            Some(NameFailure::Unknown(kind, text)) => {
                Err(ClientError::exchange(unresolved(io::Error::new(kind, text))))
            }
            None => Err(ClientError::exchange(unresolved(io::ErrorKind::NotFound.into()))),
        }
    }

    /// Looks a name up in a task of its own, which completes even if its requests are dropped.
    fn look_up(&self, name: &Rc<OriginName>, options: &Rc<ClientOptions>, ring: &Ring) {
        if name.is_looking.replace(true) {
            return;
        }
        let (weak, looking) = (Rc::downgrade(name), self.looking.clone());
        let task = look_up_on(weak, looking, options.clone(), ring.clone());
        ring.spawn(task, |panic| {
            log::line(format_args!("a look-up of a name panicked: {}", log::panic_text(&*panic)));
        });
    }
}

async fn look_up_on(
    name: Weak<OriginName>,
    looking: Rc<Cell<usize>>,
    options: Rc<ClientOptions>,
    ring: Ring,
) {
    while looking.get() >= LOOK_UPS_MAX {
        // All requests that waited may have been dropped meanwhile.
        if name.strong_count() == 0 {
            return;
        }
        ring.sleep(LOOK_UP_TICK).await;
    }
    let Some(name) = name.upgrade() else { return };
    let running = RunningLookUp::begin(looking, name);
    let (host, port) = (running.name.host.clone(), running.name.port);
    let found = ring.blocking(move || look_up(&host, port)).await;
    running.name.take(found, &options, ring.now());
}

/// A look-up in progress, until it is dropped.
struct RunningLookUp {
    looking: Rc<Cell<usize>>,
    name: Rc<OriginName>,
}

impl RunningLookUp {
    fn begin(looking: Rc<Cell<usize>>, name: Rc<OriginName>) -> Self {
        looking.set(looking.get() + 1);
        Self { looking, name }
    }
}

impl Drop for RunningLookUp {
    fn drop(&mut self) {
        self.looking.set(self.looking.get() - 1);
        self.name.is_looking.set(false);
        self.name.waiting.take().wake();
    }
}

impl OriginName {
    /// Takes the outcome of a look-up. After a failure known addresses stay in use.
    fn take(&self, found: io::Result<Vec<SocketAddr>>, options: &ClientOptions, now: Instant) {
        let (found, failure) = match found {
            Ok(all) => {
                let is_allowed = |addr: &SocketAddr| self.is_proxy || options.allows(addr.ip());
                let allowed: Vec<_> = all.into_iter().filter(is_allowed).collect();
                let failure = allowed.is_empty().then_some(NameFailure::Denied);
                (Some(allowed), failure)
            }
            Err(error) => (None, Some(NameFailure::Unknown(error.kind(), error.to_string()))),
        };
        let time = if failure.is_some() { FAILURE_TIME } else { options.names_time };
        self.valid_until.set(Some(later(now, time)));
        self.failure.replace(failure);
        if let Some(found) = found {
            self.state.set(found);
        }
    }
}

fn denied() -> ClientError {
    ClientError::text(ClientErrorKind::Denied, "its address is not allowed (ClientOptions::allow)")
}

fn unresolved(error: io::Error) -> ExchangeError {
    ExchangeError::unsent(ExchangeFailure::Name(error))
}

/// An upstream for this origin.
fn make(
    key: &str,
    url: &Url,
    proxy: Option<&ForwardProxy>,
    options: &ClientOptions,
    core: &CoreContext,
) -> Result<Origin, ClientError> {
    let at = proxy.map_or(url, |proxy| &proxy.url);
    let address = EndpointAddress::Tcp { host: at.host().to_owned(), port: at.port() };
    let name = at.ip().is_none().then(|| {
        Rc::new(OriginName {
            host: at.host().to_owned(),
            port: at.port(),
            is_proxy: proxy.is_some(),
            state: Arc::new(NameState::new(at.host(), at.port())),
            valid_until: Cell::default(),
            is_looking: Cell::default(),
            failure: RefCell::default(),
            waiting: RefCell::default(),
        })
    });
    let mut upstream = UpstreamOptions::of(format!("client {key}"), vec![EndpointOptions::new(address)]);
    upstream.timeouts = options.timeouts;
    upstream.pool = options.pool;
    upstream.retries = options.retries.clone();
    upstream.response_limits = options.response_limits;
    upstream.response_bytes_max = options.response_bytes_max;
    // What is sent to a proxy in clear is HTTP/1.1.
    let is_forwarded = proxy.is_some() && !url.is_https();
    upstream.protocol = if is_forwarded { UpstreamProtocol::Http1 } else { options.protocol };
    if url.is_https() {
        let mut tls = options.tls.clone();
        tls.server_name.get_or_insert_with(|| url.host().trim_end_matches('.').to_owned());
        upstream.tls = Some(tls);
    }
    let tunnel = proxy.filter(|_| url.is_https()).map(|proxy| ConnectTunnel {
        target: url.host_with_port(),
        authorization: proxy.authorization.clone(),
    });
    let state = name.as_ref().map(|name| name.state.clone());
    let upstream = LocalUpstream::of_origin(&Arc::new(upstream), state, tunnel, core)
        .map_err(|mistake| ClientError::new(ClientErrorKind::Request, mistake))?;
    Ok(Origin { upstream, name, last_use: Cell::new(0) })
}
